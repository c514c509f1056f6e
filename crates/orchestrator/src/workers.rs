//! Which workers were seen lately. Kept in memory: it is news, not truth.

use octollm_client::LeaseAsk;
use octollm_contract::{ArmName, Edition, Millis, Timestamp, WorkerId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// A worker that was not seen for so long is forgotten.
const LATELY: Millis = Millis::from_secs(60);
/// So many are remembered at most.
const WORKERS_MAX: usize = 10_000;
/// Of an arm's tools so many are remembered, and so much of each name.
const TOOLS_MAX: usize = 64;
const TOOL_CHARACTERS_MAX: usize = 64;

#[derive(Default)]
pub(crate) struct Workers {
    seen: Mutex<BTreeMap<WorkerId, Seen>>,
}

struct Seen {
    /// The arms that it asked for, each with its tools.
    arms: BTreeMap<ArmName, Vec<String>>,
    reads: Edition,
    at: Timestamp,
    leaving: CancellationToken,
}

impl Workers {
    /// A worker asked for steps of its arms, which have these tools. What is given back fires when it leaves.
    pub(crate) fn asked(&self, ask: &LeaseAsk, now: Timestamp) -> CancellationToken {
        let LeaseAsk { worker, arms, tools, reads, most: _, wait: _ } = ask;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, other| now.since(other.at) <= LATELY);
        if seen.len() < WORKERS_MAX || seen.contains_key(worker) {
            let cut = |tool: &String| tool.chars().take(TOOL_CHARACTERS_MAX).collect();
            let of = |arm| tools.get(arm).into_iter().flatten().take(TOOLS_MAX).map(cut).collect();
            let arms = arms.iter().map(|arm| (*arm, of(arm))).collect();
            let leaving = seen.get(worker).map(|own| own.leaving.clone()).unwrap_or_default();
            seen.insert(worker.clone(), Seen { arms, reads: *reads, at: now, leaving: leaving.clone() });
            return leaving;
        }
        CancellationToken::new()
    }

    /// A worker goes away: it is forgotten, and its wishes for steps are answered.
    pub(crate) fn left(&self, worker: &WorkerId) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = seen.remove(worker) {
            own.leaving.cancel();
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
        let lately = seen.values().filter(|w| now.since(w.at) <= LATELY && w.arms.contains_key(&arm));
        u32::try_from(lately.count()).unwrap_or(u32::MAX)
    }

    /// The edition of plans that all workers of `arm` read that were seen within a minute, if any was. A claim asks
    /// for no edition: a step that one of them cannot read would wander among them.
    pub(crate) fn reads(&self, arm: ArmName, now: Timestamp) -> Option<Edition> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = seen.values().filter(|w| now.since(w.at) <= LATELY && w.arms.contains_key(&arm));
        lately.map(|worker| worker.reads).min()
    }

    /// What workers of `arm` that were seen within a minute can be asked for.
    pub(crate) fn tools(&self, arm: ArmName, now: Timestamp) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = seen.values().filter(|worker| now.since(worker.at) <= LATELY);
        let tools: BTreeSet<&String> = lately.filter_map(|worker| worker.arms.get(&arm)).flatten().collect();
        tools.into_iter().cloned().collect()
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
        let tools = BTreeMap::from([(ArmName::Executor, vec!["list".to_owned(), "find".to_owned()])]);
        let ask = LeaseAsk {
            worker: worker.clone(),
            arms: vec![ArmName::Executor],
            tools,
            most: 1,
            wait: Millis::new(1),
            reads: Edition::First,
        };
        workers.asked(&ask, at(0));
        assert_eq!(workers.reads(ArmName::Executor, at(60)), Some(Edition::First));
        let newer = LeaseAsk { worker: "w-2".parse().unwrap(), reads: Edition::NEWEST, ..ask.clone() };
        workers.asked(&newer, at(0));
        assert_eq!(workers.tools(ArmName::Executor, at(60)), ["find", "list"]);
        assert_eq!(workers.reads(ArmName::Executor, at(60)), Some(Edition::First), "the oldest");
        workers.beat(&newer.worker, at(30));
        assert_eq!(workers.reads(ArmName::Executor, at(61)), Some(Edition::NEWEST), "the older one has gone");
        assert_eq!(workers.reads(ArmName::Executor, at(91)), None);
        assert!(workers.tools(ArmName::Judge, at(60)).is_empty());
        assert!(workers.tools(ArmName::Executor, at(91)).is_empty(), "nobody is there to use them");
        workers.asked(&ask, at(0));
        workers.beat(&worker, at(30));
        assert_eq!(workers.seen_lately(ArmName::Executor, at(90)), 2);
        assert_eq!(workers.seen_lately(ArmName::Judge, at(90)), 0);
        assert_eq!(workers.seen_lately(ArmName::Executor, at(91)), 0);
    }
}
