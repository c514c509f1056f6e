//! A time zone with bundled rules, as KEDA's library looks it up.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// A time zone by its IANA name.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// Why a name is not a time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// No such zone.
    #[error("unknown time zone {name:?}: use an IANA name such as Europe/Berlin or UTC")]
    Unknown {
        /// The name given.
        name: String,
    },
}

impl Zone {
    /// The zone called `name`.
    ///
    /// # Errors
    /// [`ZoneError::Unknown`] for anything that is not an IANA name.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        let rules = TimeZoneDatabase::bundled()
            .get(name)
            .map_err(|_not_found| ZoneError::Unknown { name: name.to_owned() })?;
        Ok(Zone { name: name.to_owned(), rules })
    }

    /// The name it was looked up by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seconds to add to UTC at this second.
    pub(super) fn offset_at(&self, utc_seconds: i64) -> i64 {
        let clamped = utc_seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        let at = Timestamp::from_second(clamped).unwrap_or(Timestamp::UNIX_EPOCH);
        i64::from(self.rules.to_offset(at).seconds())
    }

    /// The UTC second of a wall clock reading (given as if it were UTC). A reading that does not
    /// exist, or exists twice, is resolved as Go's `time.Date` resolves it.
    pub(super) fn utc_of_wall(&self, wall_seconds: i64) -> i64 {
        match self.offset_at(wall_seconds) {
            0 => wall_seconds,
            guess => wall_seconds - self.offset_at(wall_seconds - guess),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_zone_is_refused() {
        assert!(Zone::named("Europe/Berlin").is_ok());
        assert_eq!(Zone::named("Berlin"), Err(ZoneError::Unknown { name: "Berlin".into() }));
    }

    #[test]
    fn offsets_follow_daylight_saving() {
        let berlin = Zone::named("Europe/Berlin").expect("bundled");
        assert_eq!(berlin.offset_at(1_768_000_000), 3600); // January 2026
        assert_eq!(berlin.offset_at(1_783_000_000), 7200); // July 2026
    }
}
