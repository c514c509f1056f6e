//! Time: a moment is whole milliseconds since the epoch, a length is whole milliseconds.
//! Nothing here reads a clock.

use serde::{Deserialize, Serialize};
use std::{fmt, ops::Add, str::FromStr, time::Duration};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type},
};

/// A moment: milliseconds since 1970-01-01T00:00:00Z. Text form: RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The first moment that RFC 3339 can write (year 0000 is left out), and the last one that in any zone
/// lies in a year of four digits, which is as far as a calendar goes here.
const FIRST: i64 = -62_135_596_800_000;
const LAST: i64 = 253_402_207_200_000;

impl Timestamp {
    /// The moment `millis` after the epoch, moved to the nearest one that RFC 3339 can write.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(if millis < FIRST {
            FIRST
        } else if millis > LAST {
            LAST
        } else {
            millis
        })
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Millis {
        Millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Millis> for Timestamp {
    type Output = Timestamp;

    fn add(self, length: Millis) -> Timestamp {
        Timestamp::from_millis(self.0.saturating_add(i64::try_from(length.0).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = jiff::Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{at:.3}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a moment here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseTimestampError {
    /// It is none of RFC 3339.
    #[error("{0:?} is not a time such as 2026-11-25T18:00:00Z (RFC 3339)")]
    NoTime(String),
    /// It is one, and lies beyond the calendar.
    #[error("{0:?} is too far away; times from {first} to {last} are taken", first = Timestamp(FIRST), last = Timestamp(LAST))]
    TooFar(String),
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at: jiff::Timestamp = text.parse().map_err(|_| {
            let shown = text.chars().take(80).collect();
            match jiff::fmt::temporal::Pieces::parse(text) {
                Ok(pieces) if pieces.time().is_some() && pieces.offset().is_some() => {
                    ParseTimestampError::TooFar(shown)
                }
                Ok(_) | Err(_) => ParseTimestampError::NoTime(shown),
            }
        })?;
        let millis = at.as_millisecond();
        if !(FIRST..=LAST).contains(&millis) {
            return Err(ParseTimestampError::TooFar(text.chars().take(80).collect()));
        }
        Ok(Timestamp(millis))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339, UTC, milliseconds"))
            .into()
    }
}

impl ToSchema for Timestamp {}

/// A length of time in whole milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Millis(u64);

impl Millis {
    /// No time at all.
    pub const ZERO: Millis = Millis(0);

    /// `millis` milliseconds.
    #[must_use]
    pub const fn new(millis: u64) -> Self {
        Millis(millis)
    }

    /// `seconds` seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Millis(seconds.saturating_mul(1000))
    }

    /// The number of milliseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The same length `times` over, or the longest there is.
    #[must_use]
    pub const fn times(self, times: u64) -> Self {
        Millis(self.0.saturating_mul(times))
    }

    /// For timers.
    #[must_use]
    pub const fn to_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0s"),
            ms if ms % 60_000 == 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

impl fmt::Debug for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a length of time such as 500ms, 30s, 5m or 2h (a bare number is seconds)")]
pub struct ParseMillisError(String);

impl FromStr for Millis {
    type Err = ParseMillisError;

    /// A whole number with its unit (`ms`, `s`, `m`, `h`); a bare number means seconds.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refusal = || ParseMillisError(text.chars().take(80).collect());
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let each: u64 = match unit {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(refusal()),
        };
        let number: u64 = number.parse().map_err(|_| refusal())?;
        number.checked_mul(each).map(Millis).ok_or_else(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_moment_reads_back_as_itself(millis in FIRST..=LAST) {
            let at = Timestamp::from_millis(millis);
            prop_assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at));
        }

        #[test]
        fn a_length_reads_back_as_itself(millis: u64) {
            prop_assert_eq!(Millis(millis).to_string().parse::<Millis>(), Ok(Millis(millis)));
        }

        #[test]
        fn adding_never_wraps(at: i64, length: u64) {
            let at = Timestamp::from_millis(at);
            prop_assert!(at + Millis(length) >= at);
        }
    }

    /// P8: what is no length is refused with what is one.
    #[test]
    fn a_length_is_a_number_and_its_unit_or_seconds() {
        assert_eq!("5".parse(), Ok(Millis::from_secs(5)));
        for none in ["", "s", "5 s", "-5s", "1.5s", "5d", "99999999999999999999", "99999999999999999h"] {
            let told = none.parse::<Millis>().map_err(|error| error.to_string());
            assert!(told.is_err_and(|told| told.contains("such as 500ms, 30s, 5m or 2h")), "{none}");
        }
    }

    /// P8: a moment beyond the calendar is not called no moment.
    #[test]
    fn a_moment_that_is_too_far_away_is_told_with_the_limits() {
        for far in [
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "9999-12-30T23:00:00Z",
            "9999-12-31T23:59:59.999+00:00",
        ] {
            let told = far.parse::<Timestamp>().unwrap_err().to_string();
            let limits = "times from 0001-01-01T00:00:00.000Z to 9999-12-30T22:00:00.000Z are taken";
            assert_eq!(told, format!("{far:?} is too far away; {limits}"));
        }
        for none in ["soon", "9999-12-31", "10000-01-01T00:00:00Z", "2026-13-01T00:00:00Z", ""] {
            let told = none.parse::<Timestamp>().unwrap_err();
            assert_eq!(told, ParseTimestampError::NoTime(none.to_owned()));
        }
    }

    #[test]
    fn the_first_and_the_last_moment_can_be_written() {
        for (millis, text) in [(i64::MIN, "0001-01-01T00:00:00.000Z"), (i64::MAX, "9999-12-30T22:00:00.000Z")]
        {
            let at = Timestamp::from_millis(millis);
            assert_eq!((at.to_string().as_str(), text.parse()), (text, Ok(at)));
        }
    }

    #[test]
    fn a_moment_is_written_in_utc_with_milliseconds() {
        let at: Timestamp = "2026-11-25T20:41:01.5+02:00".parse().unwrap();
        assert_eq!(at.to_string(), "2026-11-25T18:41:01.500Z");
    }
}
