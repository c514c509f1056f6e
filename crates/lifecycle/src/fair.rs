//! Which ready steps are handed out next: fair over tenants, by priority within a tenant.
//!
//! Promises: a tenant with ready steps is served no later than every other tenant with
//! ready steps has been served as often as the work it has running allows (max-min over
//! running steps); inside a tenant the more urgent goes first, and waiting makes urgent, so
//! that nothing waits for ever. Priority never reaches over to another tenant.

use octollm_contract::{Millis, Priority, StepId, TenantId, Timestamp};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
};

/// A step that may be claimed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Whose it is.
    pub tenant: TenantId,
    /// How urgent its task is.
    pub priority: Priority,
    /// Since when it could have been claimed.
    pub since: Timestamp,
    /// The step.
    pub step: StepId,
}

/// Waiting this long counts as much as one level of priority.
pub const AGING: Millis = Millis::from_secs(60);

/// At most `wanted` of `candidates`, in the order in which they are to be handed out.
///
/// `running` says how many steps of each tenant are leased now (absent: none); where all candidates are one
/// tenant's it need not be known. The answer does not depend on the order of `candidates`.
#[must_use]
pub fn choose(
    candidates: &[Candidate],
    running: &BTreeMap<TenantId, u32>,
    wanted: usize,
    now: Timestamp,
) -> Vec<StepId> {
    let mut queues: BTreeMap<&TenantId, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        queues.entry(&candidate.tenant).or_default().push(candidate);
    }
    let mut queues: Vec<(u32, &TenantId, VecDeque<&Candidate>)> = queues
        .into_iter()
        .map(|(tenant, mut queue)| {
            queue.sort_by_key(|c| (Reverse(urgency(c, now)), c.since, c.step));
            (running.get(tenant).copied().unwrap_or(0), tenant, queue.into())
        })
        .collect();
    let mut chosen = Vec::with_capacity(wanted.min(candidates.len()));
    while chosen.len() < wanted {
        // The tenant with the least at work; among equals the one whose head has waited longest.
        let next = queues
            .iter_mut()
            .filter_map(|(at_work, tenant, queue)| {
                queue.front().map(|c| (*at_work, c.since, *tenant)).map(|key| (key, at_work, queue))
            })
            .min_by_key(|(key, _, _)| *key);
        let Some((_, at_work, queue)) = next else { break };
        *at_work = at_work.saturating_add(1);
        chosen.extend(queue.pop_front().map(|c| c.step));
    }
    chosen
}

fn urgency(candidate: &Candidate, now: Timestamp) -> u64 {
    let level = match candidate.priority {
        Priority::Low => 0,
        Priority::Medium => 1,
        Priority::High => 2,
        Priority::Critical => 3,
    };
    level + now.since(candidate.since).get() / AGING.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_contract::TaskId;
    use proptest::prelude::*;

    fn candidate(tenant: &str, priority: Priority, since: i64, n: u8) -> Candidate {
        Candidate {
            tenant: tenant.parse().unwrap(),
            priority,
            since: Timestamp::from_millis(since),
            step: TaskId::from_bytes([n; 16]).step(0),
        }
    }

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    /// P7 as fairness: one task of a quiet tenant is in the first round, whatever the others queue.
    #[test]
    fn a_single_task_is_served_in_the_first_round() {
        let mut all: Vec<Candidate> = (0..200).map(|n| candidate("busy", Priority::Critical, 0, n)).collect();
        all.push(candidate("quiet", Priority::Low, 999_999, 250));
        let chosen = choose(&all, &BTreeMap::new(), 2, NOW);
        assert!(chosen.contains(&all[200].step));
    }

    #[test]
    fn a_tenant_with_much_at_work_waits_for_one_with_little() {
        let all = [candidate("a", Priority::Critical, 0, 1), candidate("b", Priority::Low, 5, 2)];
        let running = BTreeMap::from([("a".parse().unwrap(), 3)]);
        assert_eq!(choose(&all, &running, 1, NOW), [all[1].step]);
    }

    #[test]
    fn urgent_goes_first_and_waiting_makes_urgent() {
        let (old_low, new_high) =
            (candidate("a", Priority::Low, 0, 1), candidate("a", Priority::High, 999_999, 2));
        let new_low = candidate("a", Priority::Low, 999_999, 3);
        assert_eq!(
            choose(&[new_low.clone(), new_high.clone()], &BTreeMap::new(), 2, NOW),
            [new_high.step, new_low.step]
        );
        assert_eq!(choose(&[new_high.clone(), old_low.clone()], &BTreeMap::new(), 1, NOW), [old_low.step]);
    }

    proptest! {
        #[test]
        fn nobody_gets_two_more_than_another_who_still_waits(
            queue in proptest::collection::vec((0u8..4, 0i64..1_000_000), 1..60), wanted in 1usize..40
        ) {
            let all: Vec<Candidate> = (0u8..).zip(&queue)
                .map(|(n, (tenant, since))| candidate(["a", "b", "c", "d"][usize::from(*tenant)], Priority::Medium, *since, n))
                .collect();
            let chosen = choose(&all, &BTreeMap::new(), wanted, NOW);
            prop_assert_eq!(chosen.len(), wanted.min(all.len()));
            let mut reversed = all.clone();
            reversed.reverse();
            prop_assert_eq!(&chosen, &choose(&reversed, &BTreeMap::new(), wanted, NOW));
            let count = |name: &str, of_chosen: bool| all.iter()
                .filter(|c| c.tenant.as_str() == name && chosen.contains(&c.step) == of_chosen).count();
            for one in ["a", "b", "c", "d"] {
                for other in ["a", "b", "c", "d"] {
                    if count(other, false) > 0 {
                        prop_assert!(count(one, true) <= count(other, true) + 1);
                    }
                }
            }
        }
    }
}
