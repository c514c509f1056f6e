//! Points in time as whole milliseconds, so that "an age equal to the period" has one answer.
//!
//! Arithmetic saturates: a manifest or a trace cannot make it overflow. It must not know how time
//! is read; every moment comes in from outside.

use std::fmt;

/// A point in time in milliseconds since the Unix epoch. A simulation may count from 0 instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(i64);

impl Moment {
    /// The controllers' "no time was set": the first moment of the year 1.
    pub const UNSET: Moment = Moment(-62_135_596_800_000);

    /// The moment this many milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Moment(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This moment moved by `millis` (negative: earlier).
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Moment(self.0.saturating_add(millis))
    }

    /// This moment moved by `seconds` (negative: earlier).
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Moment(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// Milliseconds from `earlier` to here; negative if `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Moment) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_beyond_the_range_saturates() {
        assert_eq!(Moment::from_millis(i64::MAX).plus_seconds(i64::MAX).millis(), i64::MAX);
        assert_eq!(Moment::from_millis(i64::MIN).millis_since(Moment::from_millis(i64::MAX)), i64::MIN);
    }
}
