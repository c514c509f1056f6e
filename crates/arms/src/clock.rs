//! The wall clock, for provenance and for the ages of files.

use jiff::tz::TimeZone;
use octollm_contract::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, by this machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The time zone of this machine: `TZ`, else `/etc/localtime`, else UTC.
pub(crate) fn zone() -> TimeZone {
    TimeZone::system()
}
