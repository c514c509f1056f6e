//! What steps have put under leases that are alive, and what is known to belong to their tasks.
//!
//! Promises: P7, a step names artefacts of its own task only; each is looked up once a lease.
//!
//! Must not know: bytes, stores.

use octollm_access::StepClaims;
use octollm_contract::{ContentHash, Timestamp};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What steps have put under leases that are alive.
#[derive(Default)]
pub(super) struct Put {
    by_lease: Mutex<HashMap<[u8; 16], PutUnder>>,
}

struct PutUnder {
    hashes: BTreeSet<ContentHash>,
    until: Timestamp,
}

impl Put {
    pub(super) fn note(&self, claims: &StepClaims, hash: ContentHash, now: Timestamp) {
        let mut all = self.lock();
        all.retain(|_, under| now < under.until);
        let under = all
            .entry(claims.lease.to_bytes())
            .or_insert_with(|| PutUnder { hashes: BTreeSet::new(), until: claims.expires });
        under.hashes.insert(hash);
    }

    pub(super) fn has(&self, claims: &StepClaims, hash: ContentHash) -> bool {
        self.lock().get(&claims.lease.to_bytes()).is_some_and(|under| under.hashes.contains(&hash))
    }

    pub(super) fn forget(&self, claims: &StepClaims) {
        self.lock().remove(&claims.lease.to_bytes());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 16], PutUnder>> {
        self.by_lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
