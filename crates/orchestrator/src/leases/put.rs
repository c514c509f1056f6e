//! What steps have put under leases that are alive, and what is known to belong to their tasks.
//!
//! Promises: P7, a step names artefacts of its own task only; each is looked up once a lease. Under one lease
//! so many are put, and so many bytes, at most.
//!
//! Must not know: bytes, stores.

use octollm_access::StepClaims;
use octollm_contract::{ContentHash, Timestamp};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Under one lease so many different artefacts are put: a workspace has 20,000 files at most.
const PUTS_MAX: usize = 100_000;
/// And so many bytes: a workspace has 1 GiB at most.
const PUT_BYTES_MAX: u64 = 8 << 30;

/// A lease under which as much was put as may be.
#[derive(Debug, thiserror::Error)]
#[error("a step hands over at most {PUTS_MAX} artefacts and {} GiB under one lease", PUT_BYTES_MAX >> 30)]
pub(super) struct TooMuch;

/// What steps have put under leases that are alive.
#[derive(Default)]
pub(super) struct Put {
    by_lease: Mutex<HashMap<[u8; 16], PutUnder>>,
}

struct PutUnder {
    hashes: BTreeSet<ContentHash>,
    /// Of what was put, not of what the task had already.
    count: usize,
    bytes: u64,
    until: Timestamp,
}

impl Put {
    /// Whether so many bytes more may be put.
    pub(super) fn room(&self, claims: &StepClaims, bytes: u64) -> Result<(), TooMuch> {
        let all = self.lock();
        let (count, put) =
            all.get(&claims.lease.to_bytes()).map_or((0, 0), |under| (under.count, under.bytes));
        let fits = count < PUTS_MAX && put.saturating_add(bytes) <= PUT_BYTES_MAX;
        if fits { Ok(()) } else { Err(TooMuch) }
    }

    /// So many bytes were put.
    pub(super) fn put(&self, claims: &StepClaims, hash: ContentHash, bytes: u64, now: Timestamp) {
        self.add(claims, hash, Some(bytes), now);
    }

    /// The task refers to it already.
    pub(super) fn note(&self, claims: &StepClaims, hash: ContentHash, now: Timestamp) {
        self.add(claims, hash, None, now);
    }

    fn add(&self, claims: &StepClaims, hash: ContentHash, put: Option<u64>, now: Timestamp) {
        let mut all = self.lock();
        all.retain(|_, under| now < under.until);
        let empty = || PutUnder { hashes: BTreeSet::new(), count: 0, bytes: 0, until: claims.expires };
        let under = all.entry(claims.lease.to_bytes()).or_insert_with(empty);
        if under.hashes.insert(hash)
            && let Some(bytes) = put
        {
            under.count += 1;
            under.bytes = under.bytes.saturating_add(bytes);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::{LeaseToken, TaskId};

    fn claims(lease: u8) -> StepClaims {
        let step = TaskId::from_bytes([1; 16]).step(0);
        let expires = Timestamp::from_millis(1000);
        StepClaims { step, lease: LeaseToken::from_bytes([lease; 16]), expires }
    }

    fn hash(n: usize) -> ContentHash {
        ContentHash::of(&n.to_le_bytes())
    }

    /// P6, P9: no step fills the store of artefacts, be it with many or with large ones.
    #[test]
    fn what_is_put_under_one_lease_is_bounded() {
        let (put, now) = (Put::default(), Timestamp::from_millis(0));
        for n in 0..PUTS_MAX {
            put.room(&claims(1), 1).unwrap();
            put.put(&claims(1), hash(n), 1, now);
            put.put(&claims(1), hash(n), 1, now);
        }
        assert!(put.room(&claims(1), 1).is_err());
        put.room(&claims(2), PUT_BYTES_MAX).unwrap();
        put.note(&claims(2), hash(0), now);
        put.put(&claims(2), hash(1), PUT_BYTES_MAX - 1, now);
        put.room(&claims(2), 1).unwrap();
        assert!(put.room(&claims(2), 2).is_err());
        let told = put.room(&claims(2), 2).unwrap_err().to_string();
        assert_eq!(told, "a step hands over at most 100000 artefacts and 8 GiB under one lease");
    }
}
