//! Which workers were seen lately. Kept in memory: it is news, not truth.

use octollm_contract::{ArmName, Millis, Timestamp, WorkerId};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// A worker that was not seen for so long is forgotten.
const LATELY: Millis = Millis::from_secs(60);
/// So many are remembered at most.
const WORKERS_MAX: usize = 10_000;

#[derive(Default)]
pub(crate) struct Workers {
    seen: Mutex<BTreeMap<WorkerId, Seen>>,
}

struct Seen {
    arms: Vec<ArmName>,
    at: Timestamp,
}

impl Workers {
    /// A worker asked for steps of these arms.
    pub(crate) fn asked(&self, worker: &WorkerId, arms: &[ArmName], now: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, other| now.since(other.at) <= LATELY);
        if seen.len() < WORKERS_MAX || seen.contains_key(worker) {
            seen.insert(worker.clone(), Seen { arms: arms.to_vec(), at: now });
        }
    }

    /// A worker beat.
    pub(crate) fn beat(&self, worker: &WorkerId, now: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = seen.get_mut(worker) {
            own.at = now;
        }
    }

    /// How many workers of `arm` were seen within a minute.
    pub(crate) fn seen_lately(&self, arm: ArmName, now: Timestamp) -> u32 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = seen.values().filter(|w| now.since(w.at) <= LATELY && w.arms.contains(&arm));
        u32::try_from(lately.count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_seen_for_a_minute_after_its_last_sign() {
        let workers = Workers::default();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let worker: WorkerId = "w-1".parse().unwrap();
        workers.asked(&worker, &[ArmName::Executor], at(0));
        workers.beat(&worker, at(30));
        assert_eq!(workers.seen_lately(ArmName::Executor, at(90)), 1);
        assert_eq!(workers.seen_lately(ArmName::Judge, at(90)), 0);
        assert_eq!(workers.seen_lately(ArmName::Executor, at(91)), 0);
    }
}
