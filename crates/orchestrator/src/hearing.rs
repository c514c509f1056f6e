//! Whether what workers say could be written. Where it could not, a lease that runs out tells nothing of its
//! worker. Kept in memory, by the store's clock: of several orchestrators the one that sweeps has mostly seen the
//! store fail, too (decision 0024 says when not).

use octollm_contract::{Millis, Timestamp};
use octollm_lifecycle::Unheard;
use std::sync::{Mutex, PoisonError};

/// What was seen of the store.
pub(crate) struct Hearing(Mutex<Seen>);

struct Seen {
    /// When it was last known to do all that it is asked.
    sound_at: Timestamp,
    /// The time in which it did not: since it was sound before, until it last failed.
    failing: Option<(Timestamp, Timestamp)>,
}

impl Hearing {
    pub(crate) fn new(now: Timestamp) -> Self {
        Hearing(Mutex::new(Seen { sound_at: now, failing: None }))
    }

    /// The store did not do what it was asked.
    pub(crate) fn failed(&self, now: Timestamp) {
        let mut seen = self.seen();
        let since = seen.failing.map_or(seen.sound_at, |(since, _)| since);
        seen.failing = Some((since.min(now), now));
    }

    /// The store has done all that was due `at` this moment. What ran out unheard before it is known.
    pub(crate) fn is_sound(&self, at: Timestamp, ttl: Millis) {
        let mut seen = self.seen();
        seen.sound_at = at;
        seen.failing = seen.failing.filter(|(_, last)| at <= *last + ttl);
    }

    /// When leases of this length ran out that could not be renewed, as far as is known now: one that was
    /// renewed since lasts longer.
    pub(crate) fn unheard(&self, ttl: Millis) -> Option<Unheard> {
        self.seen().failing.map(|(from, last)| Unheard { from, to: last + ttl })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Millis = Millis::from_secs(15);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    /// A lease that was renewed at 9 s runs out at 24 s.
    #[test]
    fn a_lease_is_unheard_that_the_store_could_not_renew() {
        let hearing = Hearing::new(at(0));
        hearing.is_sound(at(10), TTL);
        assert_eq!(hearing.unheard(TTL), None);
        hearing.failed(at(13));
        hearing.is_sound(at(16), TTL);
        hearing.failed(at(40));
        let unheard = Some(Unheard { from: at(10), to: at(55) });
        assert_eq!(hearing.unheard(TTL), unheard);
        hearing.is_sound(at(55), TTL);
        assert_eq!(hearing.unheard(TTL), unheard, "what ran out then is yet to be swept");
        hearing.is_sound(at(56), TTL);
        assert_eq!(hearing.unheard(TTL), None);
        hearing.failed(at(57));
        assert_eq!(hearing.unheard(TTL), Some(Unheard { from: at(56), to: at(72) }));
    }
}
