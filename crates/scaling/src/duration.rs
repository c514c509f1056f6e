//! Durations as Go (`1m30s`, `0.5h`) and Prometheus (`1d12h`) write them, exact to the nanosecond.
//!
//! Go's `time.ParseDuration` allows fractions, any order of units and a sign; Prometheus allows `d`, `w`, `y`
//! but neither fractions nor repeats, and wants the units from large to small. Both overflow at about 292
//! years, where this type refuses.

use std::fmt;

/// A span of time that is never negative, in whole nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    nanos: u64,
}

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No number, or no unit after one.
    #[error("write a number and a unit, such as 30s or 5m")]
    Malformed,
    /// A unit that this dialect does not have, or units out of order.
    #[error("unknown or misplaced unit")]
    Unit,
    /// Below zero, where no duration can be.
    #[error("below zero")]
    Negative,
    /// More than about 292 years.
    #[error("longer than 292 years")]
    TooLong,
}

const GO: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// From large to small, as Prometheus wants them.
const PROMETHEUS: [(&str, u64); 7] = [
    ("y", 31_536_000_000_000_000),
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

impl Duration {
    /// So many whole seconds; `None` beyond 292 years.
    pub fn from_secs(seconds: u64) -> Option<Self> {
        seconds.checked_mul(1_000_000_000).and_then(Self::bounded)
    }

    /// In whole nanoseconds.
    pub fn nanos(self) -> u64 {
        self.nanos
    }

    /// In whole milliseconds, cut off.
    pub fn millis(self) -> u64 {
        self.nanos / 1_000_000
    }

    fn bounded(nanos: u64) -> Option<Self> {
        i64::try_from(nanos).ok().map(|_| Self { nanos })
    }

    /// Reads Go's form.
    ///
    /// # Errors
    /// [`DurationError`] for what `time.ParseDuration` refuses, and for negative spans.
    pub fn parse_go(text: &str) -> Result<Self, DurationError> {
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self { nanos: 0 });
        }
        if rest.is_empty() {
            return Err(DurationError::Malformed);
        }
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let (number, unit, after) = part(rest)?;
            let (_, scale) = GO.iter().find(|(name, _)| *name == unit).ok_or(DurationError::Unit)?;
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
                return Err(DurationError::Malformed);
            }
            total = total.saturating_add(scaled(whole, *scale)?);
            total = total.saturating_add(scaled_fraction(fraction, *scale));
            rest = after;
        }
        if negative && total > 0 {
            return Err(DurationError::Negative);
        }
        u64::try_from(total).ok().and_then(Self::bounded).ok_or(DurationError::TooLong)
    }

    /// Reads Prometheus' form.
    ///
    /// # Errors
    /// [`DurationError`] for what Prometheus' `model.ParseDuration` refuses.
    pub fn parse_prometheus(text: &str) -> Result<Self, DurationError> {
        if text == "0" {
            return Ok(Self { nanos: 0 });
        }
        if text.is_empty() {
            return Err(DurationError::Malformed);
        }
        let mut rest = text;
        let mut allowed = PROMETHEUS.iter();
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let (number, unit, after) = part(rest)?;
            let (_, scale) = allowed.by_ref().find(|(name, _)| *name == unit).ok_or(DurationError::Unit)?;
            if number.contains('.') {
                return Err(DurationError::Malformed);
            }
            total = total.saturating_add(scaled(number, *scale)?);
            rest = after;
        }
        u64::try_from(total).ok().and_then(Self::bounded).ok_or(DurationError::TooLong)
    }
}

/// Cuts `12.5ms…` into number, unit and the rest.
fn part(text: &str) -> Result<(&str, &str, &str), DurationError> {
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(DurationError::Malformed)?;
    if number == 0 {
        return Err(DurationError::Malformed);
    }
    let (number, rest) = text.split_at(number);
    let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit);
    Ok((number, unit, rest))
}

fn scaled(digits: &str, scale: u64) -> Result<u128, DurationError> {
    if digits.is_empty() {
        return Ok(0);
    }
    let value: u64 = digits.parse().map_err(|_| DurationError::TooLong)?;
    Ok(u128::from(value) * u128::from(scale))
}

/// The share of `scale` that `0.digits` is, cut off below a nanosecond as Go does.
fn scaled_fraction(digits: &str, scale: u64) -> u128 {
    let kept = &digits[..digits.len().min(18)];
    let value: u128 = kept.parse().unwrap_or(0);
    let divisor = (0..kept.len()).fold(1_u128, |divisor, _| divisor * 10);
    value * u128::from(scale) / divisor
}

impl fmt::Display for Duration {
    /// Go's form, largest unit first, without fractions: `1h0m0.5s` is printed as `1h500ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.nanos;
        for (unit, scale) in GO.iter().rev().filter(|(unit, _)| *unit != "µs") {
            let count = rest / scale;
            rest %= scale;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_dialects_read_their_forms() {
        assert_eq!(Duration::parse_go("1m30.5s").unwrap().nanos(), 90_500_000_000);
        assert_eq!(Duration::parse_go("1.5h").unwrap().millis(), 5_400_000);
        assert_eq!(Duration::parse_go("100µs").unwrap().nanos(), 100_000);
        assert_eq!(Duration::parse_prometheus("1d12h").unwrap().millis(), 129_600_000);
        assert_eq!(Duration::parse_prometheus("30s").unwrap().millis(), 30_000);
        assert_eq!(Duration::parse_prometheus("250ms").unwrap().millis(), 250);
    }

    #[test]
    fn each_dialect_refuses_what_its_own_reader_refuses() {
        assert_eq!(Duration::parse_go("5"), Err(DurationError::Malformed));
        assert_eq!(Duration::parse_go("5d"), Err(DurationError::Unit));
        assert_eq!(Duration::parse_go("-5s"), Err(DurationError::Negative));
        assert_eq!(Duration::parse_go("300000h10000000h"), Err(DurationError::TooLong));
        assert_eq!(Duration::parse_prometheus("1.5h"), Err(DurationError::Malformed));
        assert_eq!(Duration::parse_prometheus("5m1h"), Err(DurationError::Unit));
        assert_eq!(Duration::parse_prometheus(""), Err(DurationError::Malformed));
        assert_eq!(Duration::parse_prometheus("300y"), Err(DurationError::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(nanos in 0..=u64::MAX / 2) {
            let duration = Duration { nanos };
            prop_assert_eq!(Duration::parse_go(&duration.to_string()), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.hmsuµnydw]{0,16}") {
            let _ = Duration::parse_go(&text);
            let _ = Duration::parse_prometheus(&text);
        }
    }
}
