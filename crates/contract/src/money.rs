//! Money: whole micro-dollars inside, decimal US dollars outside.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema,
        schema::{SchemaType, Type},
    },
};

/// An amount in millionths of a US dollar. It adds and subtracts checked; it has no floats.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MicroUsd(u64);

impl MicroUsd {
    /// Nothing.
    pub const ZERO: MicroUsd = MicroUsd(0);

    /// `micros` millionths of a dollar.
    #[must_use]
    pub const fn new(micros: u64) -> Self {
        MicroUsd(micros)
    }

    /// The number of millionths.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum, unless it does not fit.
    #[must_use]
    pub const fn checked_add(self, other: MicroUsd) -> Option<MicroUsd> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(MicroUsd(sum)),
            None => None,
        }
    }

    /// The difference, unless it would be negative.
    #[must_use]
    pub const fn checked_sub(self, other: MicroUsd) -> Option<MicroUsd> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(MicroUsd(rest)),
            None => None,
        }
    }
}

/// What a call costs, where a price may be unknown. Unknown is not nothing (P5): it is written
/// as `null`, and it does not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Option<MicroUsd>", into = "Option<MicroUsd>")]
pub enum Cost {
    /// So much.
    Known(MicroUsd),
    /// Nobody knows a price for it.
    Unknown,
}

impl From<Option<MicroUsd>> for Cost {
    fn from(cost: Option<MicroUsd>) -> Self {
        cost.map_or(Cost::Unknown, Cost::Known)
    }
}

impl From<Cost> for Option<MicroUsd> {
    fn from(cost: Cost) -> Self {
        match cost {
            Cost::Known(cost) => Some(cost),
            Cost::Unknown => None,
        }
    }
}

impl PartialSchema for Cost {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some("US dollars, decimal, up to six digits after the point; null: unknown"))
            .into()
    }
}

impl ToSchema for Cost {}

impl fmt::Display for MicroUsd {
    /// Decimal dollars, at least two digits after the point, without trailing zeros beyond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = format!("{:06}", self.0 % 1_000_000);
        let kept = micros.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / 1_000_000, &micros[..kept])
    }
}

impl fmt::Debug for MicroUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${self}")
    }
}

/// A text that is not an amount in US dollars.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an amount in US dollars with at most six digits after the point, such as 0.25")]
pub struct ParseMoneyError(String);

impl FromStr for MicroUsd {
    type Err = ParseMoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refusal = || ParseMoneyError(text.chars().take(80).collect());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 6 {
            return Err(refusal());
        }
        let whole: u64 = whole.parse().map_err(|_| refusal())?;
        let part: u64 = format!("{part:0<6}").parse().map_err(|_| refusal())?;
        whole.checked_mul(1_000_000).and_then(|w| w.checked_add(part)).map(MicroUsd).ok_or_else(refusal)
    }
}

impl Serialize for MicroUsd {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MicroUsd {
    /// A decimal string, or a JSON number whose shortest form has at most six decimals.
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Amount;
        impl serde::de::Visitor<'_> for Amount {
            type Value = MicroUsd;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount in US dollars such as 0.25")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MicroUsd, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, dollars: u64) -> Result<MicroUsd, E> {
                dollars.to_string().parse().map_err(E::custom)
            }

            fn visit_f64<E: serde::de::Error>(self, dollars: f64) -> Result<MicroUsd, E> {
                dollars.to_string().parse().map_err(E::custom)
            }
        }
        d.deserialize_any(Amount)
    }
}

impl PartialSchema for MicroUsd {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("US dollars, decimal, up to six digits after the point"))
            .into()
    }
}

impl ToSchema for MicroUsd {}

impl MicroUsd {
    /// What is taken for an amount; it is always given as a text.
    pub(crate) fn taken() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Number]))
            .description(Some(
                "US dollars, decimal, up to six digits after the point: 0.25 as a text or as a number",
            ))
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_amount_reads_back_as_itself(micros: u64) {
            prop_assert_eq!(MicroUsd(micros).to_string().parse::<MicroUsd>(), Ok(MicroUsd(micros)));
        }
    }

    /// P5: an unknown cost is reported as unknown, never as nothing.
    #[test]
    fn an_unknown_cost_is_null_and_no_zero() {
        let text = |cost: Cost| serde_json::to_string(&cost).unwrap();
        assert_eq!(text(Cost::Unknown), "null");
        assert_eq!(text(Cost::Known(MicroUsd::ZERO)), r#""0.00""#);
        for cost in [Cost::Unknown, Cost::Known(MicroUsd::new(7))] {
            assert_eq!(serde_json::from_str::<Cost>(&text(cost)).unwrap(), cost);
        }
    }

    #[test]
    fn an_amount_is_read_exactly_or_refused() {
        for (text, micros) in [("0.25", 250_000), ("1", 1_000_000), ("0.000001", 1)] {
            assert_eq!(text.parse(), Ok(MicroUsd(micros)));
        }
        for bad in ["", "-1", "1e3", "0.0000001", ".5", "1.", "99999999999999999999", "NaN"] {
            assert!(bad.parse::<MicroUsd>().is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_str::<MicroUsd>("0.3").unwrap(), MicroUsd(300_000));
        assert!(serde_json::from_str::<MicroUsd>("-0.3").is_err());
    }
}
