//! A day: a date of UTC, by which figures are counted. Nothing here reads a clock.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type},
};

const LENGTH: i64 = 86_400_000;

/// A day of UTC: days since 1970-01-01. Text form: `2026-11-26`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// The day in which `moment` lies.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        let number = moment.as_millis().div_euclid(LENGTH);
        Day(i32::try_from(number).expect("a moment that can be written lies in such a day"))
    }

    /// The day of this number, moved to the nearest one that can be written.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        Day::of(Timestamp::from_millis(i64::from(number) * LENGTH))
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The day so many days before this one.
    #[must_use]
    pub fn before(self, days: u16) -> Self {
        Day::from_number(self.0 - i32::from(days))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = Timestamp::from_millis(i64::from(self.0) * LENGTH).to_string();
        f.pad(start.split('T').next().unwrap_or_default())
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a day such as 2026-11-26")]
pub struct ParseDayError(String);

impl FromStr for Day {
    type Err = ParseDayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let start = format!("{text}T00:00:00Z").parse::<Timestamp>().map(Day::of);
        let day = start.ok().filter(|day| day.to_string() == text);
        day.ok_or_else(|| ParseDayError(text.chars().take(80).collect()))
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl PartialSchema for Day {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
            .description(Some("A day of UTC"))
            .into()
    }
}

impl ToSchema for Day {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_day_reads_back_as_itself(number: i32) {
            let day = Day::from_number(number);
            prop_assert_eq!(day.to_string().parse(), Ok(day));
            prop_assert_eq!(Day::from_number(day.number()), day);
        }

        #[test]
        fn a_moment_lies_in_its_day(millis: i64) {
            let moment = Timestamp::from_millis(millis);
            let text = Day::of(moment).to_string();
            prop_assert!(moment.to_string().starts_with(&text), "{} {}", moment, text);
        }
    }

    #[test]
    fn a_day_is_read_in_one_form() {
        assert_eq!("2026-11-26".parse::<Day>().unwrap().number(), 20_783);
        assert_eq!("1970-01-01".parse::<Day>().unwrap().before(1).to_string(), "1969-12-31");
        for bad in ["", "2026-11-31", "20261126", "2026-1-1", "today", "2026-11-26T00:00:00Z", " 2026-11-26"]
        {
            assert!(bad.parse::<Day>().is_err(), "{bad}");
        }
    }
}
