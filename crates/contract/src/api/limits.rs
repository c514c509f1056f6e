//! Whole numbers with limits, which are told to whoever sends something else.

use super::Budget;
use serde::{
    Deserializer,
    de::{Error, Unexpected, Visitor},
};
use std::fmt;

pub(super) fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    read(deserializer, 0, Budget::TOKENS_MAX)
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    read(deserializer, 1, Budget::TIME_SECONDS_MAX)
}

pub(super) fn retries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    read(deserializer, 0, Budget::RETRIES_MAX)
}

/// A number from `least` to `most`, or none. One beyond them that the type can hold is left to whoever judges the
/// whole request.
fn read<'de, D: Deserializer<'de>, T: TryFrom<u64> + fmt::Display>(
    deserializer: D,
    least: T,
    most: T,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_option(Limits { least, most })
}

struct Limits<T> {
    least: T,
    most: T,
}

impl<'de, T: TryFrom<u64> + fmt::Display> Visitor<'de> for Limits<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", self.least, self.most)
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_u64(self)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<T>, E> {
        match T::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{api::Budget, in_words};

    /// P8: whoever sends a number that no type of ours holds is told what is taken.
    #[test]
    fn a_number_that_is_none_of_a_limit_is_answered_with_what_is_taken() {
        for (json, told) in [
            (r#"{"max_time_seconds":-1}"#, "a whole number from 1 to 604800 is wanted, not the number -1"),
            (
                r#"{"max_time_seconds":4294967296}"#,
                "a whole number from 1 to 604800 is wanted, not the number",
            ),
            (r#"{"max_time_seconds":"5"}"#, "a whole number from 1 to 604800 is wanted, not the text"),
            (
                r#"{"max_tokens":-1}"#,
                "a whole number from 0 to 9223372036854775807 is wanted, not the number -1",
            ),
            (r#"{"max_retries":1.5}"#, "a whole number from 0 to 20 is wanted, not the number 1.5"),
        ] {
            let said = serde_json::from_str::<Budget>(json).unwrap_err().to_string();
            let plain = in_words(&said, "an object");
            assert!(plain.starts_with(told), "{json}: {plain}");
        }
        let budget: Budget = serde_json::from_str(r#"{"max_time_seconds":null,"max_retries":3}"#).unwrap();
        assert_eq!((budget.max_time_seconds, budget.max_tokens, budget.max_retries), (None, None, Some(3)));
    }
}
