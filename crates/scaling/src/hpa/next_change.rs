//! When the replicas can change next, if the metrics go on recommending the same.

use super::bound::bound;
use super::decide::{Decision, Path};
use super::history::History;
use super::spec::Spec;
use crate::moment::Moment;

/// How often the controller syncs, in seconds.
const SYNC_SECONDS: i64 = 15;

/// The next change to expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextChange {
    /// The sync that makes it.
    pub at: Moment,
    /// The replicas it leads to.
    pub replicas: i32,
}

/// The first sync after `now` that changes the replicas again while the recommendation stays what
/// `decision` found; `None` if none will. `history` is what `decision` was made from.
#[must_use]
pub fn next_change(spec: &Spec, decision: &Decision, history: &History, now: Moment) -> Option<NextChange> {
    let Path::Computed { bounded, .. } = decision.path else { return None };
    let mut history = history.clone();
    history.remember(spec, &decision.remembered, now);
    let current = decision.replicas;
    let mut moments: Vec<Moment> = turning_points(spec, &history).map(|at| next_sync(now, at)).collect();
    moments.push(now.plus_seconds(SYNC_SECONDS));
    moments.sort_unstable();
    moments.dedup();
    moments.into_iter().find_map(|at| {
        let replicas = bound(spec, current, bounded.recommendation, &history, at).replicas();
        (replicas != current).then_some(NextChange { at, replicas })
    })
}

/// Every moment at which something in the history stops counting.
fn turning_points<'a>(spec: &'a Spec, history: &'a History) -> impl Iterator<Item = Moment> + 'a {
    let windows: Vec<i64> = match &spec.behavior {
        // Here an age equal to the window still counts.
        None => vec![i64::from(spec.controller.downscale_window_seconds) * 1000 + 1],
        Some(behavior) => behavior.each().map(|(_, r)| i64::from(r.stabilization_seconds) * 1000).to_vec(),
    };
    let periods: Vec<i64> = spec
        .behavior
        .iter()
        .flat_map(|behavior| behavior.each().into_iter().flat_map(|(_, rules)| rules.policies.iter()))
        .map(|policy| i64::from(policy.period_seconds) * 1000)
        .collect();
    let aging = history
        .recommendations()
        .iter()
        .flat_map(move |slot| windows.clone().into_iter().map(move |window| slot.at.plus_millis(window)));
    let events =
        history.ups.iter().chain(&history.downs).flat_map(move |event| {
            periods.clone().into_iter().map(move |period| event.at.plus_millis(period))
        });
    aging.chain(events)
}

/// The first sync at or after `at`, and after `now`.
fn next_sync(now: Moment, at: Moment) -> Moment {
    let sync_millis = SYNC_SECONDS * 1000;
    let wait = at.millis_since(now).max(1);
    let syncs = wait.saturating_add(sync_millis - 1) / sync_millis;
    now.plus_millis(syncs.saturating_mul(sync_millis))
}
