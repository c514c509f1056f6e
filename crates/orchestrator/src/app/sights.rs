//! What each key has seen of the store, so that no read of it shows less (P4).
//!
//! Promises: whoever comes with a key is shown what was written with that key through this process, and
//! nothing older than it was shown before, on whatever replica it is read; also when it sends nothing of
//! what it was told. Memory is bounded: what is forgotten of one key counts for all. What a client says
//! that it has seen counts for its one read alone, so that nobody can make others' reads slow.
//!
//! A process starts with what had been written by then: it knows nothing of what its keys saw before.

use super::Caller;
use octollm_contract::KeyId;
use octollm_store::{Freshness, Seen};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keys that are remembered at once.
const REMEMBERED_MAX: usize = 10_000;

/// The memory.
pub(super) struct Sights(Mutex<Memory>);

struct Memory {
    keys: BTreeMap<KeyId, Seen>,
    /// What every key counts as having seen.
    all: Seen,
}

impl Memory {
    fn of(&self, caller: &Caller) -> Seen {
        let own = caller.key.as_ref().and_then(|key| self.keys.get(key)).copied();
        own.unwrap_or_default().and(self.all)
    }
}

impl Sights {
    pub(super) fn new(start: Seen) -> Self {
        Sights(Mutex::new(Memory { keys: BTreeMap::new(), all: start }))
    }

    /// How fresh a read must be of a caller that says that it has seen `told`.
    pub(super) fn since(&self, caller: &Caller, told: Seen) -> Freshness {
        Freshness::Since(self.lock().of(caller).and(told))
    }

    /// What the caller has seen, to be told to it; nothing in a store that has no positions.
    pub(super) fn carried(&self, caller: &Caller) -> Option<Seen> {
        Some(self.lock().of(caller)).filter(|seen| *seen != Seen::NOTHING)
    }

    /// The caller has seen this.
    pub(super) fn learn(&self, caller: &Caller, seen: Seen) {
        if seen == Seen::NOTHING {
            return;
        }
        let mut memory = self.lock();
        let Some(key) = &caller.key else {
            memory.all = memory.all.and(seen);
            return;
        };
        if let Some(before) = memory.keys.get_mut(key) {
            *before = before.and(seen);
            return;
        }
        if memory.keys.len() >= REMEMBERED_MAX {
            let forgotten = std::mem::take(&mut memory.keys);
            memory.all = forgotten.into_values().fold(memory.all, Seen::and);
        }
        memory.keys.insert(key.clone(), seen);
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_access::Policy;

    fn caller(name: &str) -> Caller {
        Caller { key: Some(name.parse().unwrap()), ..Caller::local(Policy::default_admin()) }
    }

    fn at(position: u64) -> Seen {
        Seen { timeline: 1, position }
    }

    /// P4.
    #[test]
    fn a_key_sees_no_less_than_before_and_its_word_is_nobody_elses() {
        let sights = Sights::new(at(10));
        let (one, other) = (caller("one1"), caller("two2"));
        sights.learn(&one, at(30));
        sights.learn(&one, at(20));
        assert_eq!(sights.since(&one, Seen::NOTHING), Freshness::Since(at(30)));
        assert_eq!(sights.since(&other, at(99)), Freshness::Since(at(99)));
        assert_eq!(sights.since(&other, Seen::NOTHING), Freshness::Since(at(10)));
        assert_eq!((sights.carried(&one), sights.carried(&other)), (Some(at(30)), Some(at(10))));
    }

    #[test]
    fn what_is_forgotten_of_one_key_counts_for_all() {
        let sights = Sights::new(Seen::NOTHING);
        assert_eq!(sights.carried(&caller("one1")), None);
        for n in 0..=REMEMBERED_MAX {
            sights.learn(&caller(&format!("key{n}")), at(n as u64 + 1));
        }
        assert_eq!(sights.lock().keys.len(), 1);
        assert_eq!(sights.since(&caller("key0"), Seen::NOTHING), Freshness::Since(at(REMEMBERED_MAX as u64)));
    }
}
