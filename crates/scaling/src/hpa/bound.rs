//! From a recommendation to replicas: history steadies it, then rates and bounds cut it.
//!
//! Two code paths, as upstream has them. Without behavior: the largest recommendation of one window
//! (an age equal to the window counts), then a clamp to twice the current replicas. With behavior:
//! a window for each direction (strictly younger), then rate limits from remembered events.

use super::arithmetic::{ceil_to_i32, clamp_to_i32, trunc_to_i32};
use super::behavior::{Behavior, Direction, Policy, PolicyKind, Rules, SelectPolicy};
use super::condition::Reason;
use super::history::{History, Recommendation, change_within};
use super::spec::Spec;
use crate::moment::Moment;

/// Every step from the recommendation to the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded {
    /// What the metrics recommended.
    pub recommendation: i32,
    /// After history.
    pub stabilized: Stabilized,
    /// After rates and bounds.
    pub limit: Limit,
}

impl Bounded {
    /// The replicas that come out.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.limit.replicas
    }
}

/// A recommendation after history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stabilized {
    /// Replicas.
    pub replicas: i32,
    /// Whether history changed the recommendation.
    pub steadiness: Steadiness,
    /// The lowest recommendation of the up window, the new one included.
    pub lowest: i32,
    /// The highest recommendation of the down window, the new one included.
    pub highest: i32,
}

/// What history did to a recommendation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steadiness {
    /// Nothing.
    Ready,
    /// It asked for more than, or as much as, there is, and was held.
    UpStabilized,
    /// It asked for less than there is and was held.
    DownStabilized,
}

impl Steadiness {
    /// The reason of the AbleToScale condition.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Steadiness::Ready => Reason::ReadyForNewScale,
            Steadiness::UpStabilized => Reason::ScaleUpStabilized,
            Steadiness::DownStabilized => Reason::ScaleDownStabilized,
        }
    }
}

/// A number after rates and bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Replicas.
    pub replicas: i32,
    /// What cut the number, if anything did.
    pub kind: LimitKind,
    /// What the rate policies allowed in the direction asked for; `None` if no rate applied.
    pub rate: Option<i32>,
}

/// What cut a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// Nothing.
    WithinRange,
    /// The rate of scaling up.
    UpRate,
    /// The rate of scaling down.
    DownRate,
    /// `maxReplicas`.
    Max,
    /// `minReplicas`.
    Min,
}

impl LimitKind {
    /// The reason of the ScalingLimited condition.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            LimitKind::WithinRange => Reason::DesiredWithinRange,
            LimitKind::UpRate => Reason::ScaleUpLimit,
            LimitKind::DownRate => Reason::ScaleDownLimit,
            LimitKind::Max => Reason::TooManyReplicas,
            LimitKind::Min => Reason::TooFewReplicas,
        }
    }
}

/// Steadies and cuts `recommendation` when the target has `current` replicas. The first sync of all
/// remembers the current replicas before it decides.
#[must_use]
pub fn bound(spec: &Spec, current: i32, recommendation: i32, history: &History, now: Moment) -> Bounded {
    let initial = [Recommendation { replicas: current, at: now }];
    let recommendations = history.recommendations.as_deref().unwrap_or(&initial);
    let (stabilized, limit) = match &spec.behavior {
        None => {
            let window = spec.controller.downscale_window_seconds;
            let stabilized = stabilize_by_default(recommendation, recommendations, window, now);
            (stabilized, limit_by_default(spec, current, stabilized.replicas))
        }
        Some(behavior) => {
            let stabilized = stabilize_by_behavior(current, recommendation, recommendations, behavior, now);
            (stabilized, limit_by_behavior(spec, behavior, current, stabilized.replicas, history, now))
        }
    };
    Bounded { recommendation, stabilized, limit }
}

/// Without behavior: the largest recommendation not older than the window, the new one included.
#[must_use]
pub fn stabilize_by_default(
    recommendation: i32,
    recommendations: &[Recommendation],
    window_seconds: i32,
    now: Moment,
) -> Stabilized {
    let cutoff = now.plus_seconds(-i64::from(window_seconds));
    let highest = recommendations
        .iter()
        .filter(|slot| slot.at >= cutoff)
        .map(|slot| slot.replicas)
        .fold(recommendation, i32::max);
    let steadiness = if highest == recommendation { Steadiness::Ready } else { Steadiness::DownStabilized };
    Stabilized { replicas: highest, steadiness, lowest: recommendation, highest }
}

/// With behavior: the current replicas, raised to the lowest recommendation of the up window, then
/// lowered to the highest of the down window. Both include the new one.
#[must_use]
pub fn stabilize_by_behavior(
    current: i32,
    recommendation: i32,
    recommendations: &[Recommendation],
    behavior: &Behavior,
    now: Moment,
) -> Stabilized {
    let up_cutoff = now.plus_seconds(-i64::from(behavior.up.stabilization_seconds));
    let down_cutoff = now.plus_seconds(-i64::from(behavior.down.stabilization_seconds));
    let (mut lowest, mut highest) = (recommendation, recommendation);
    for slot in recommendations {
        if slot.at > up_cutoff {
            lowest = lowest.min(slot.replicas);
        }
        if slot.at > down_cutoff {
            highest = highest.max(slot.replicas);
        }
    }
    let replicas = current.max(lowest).min(highest);
    let steadiness = if replicas == recommendation {
        Steadiness::Ready
    } else if recommendation >= current {
        Steadiness::UpStabilized
    } else {
        Steadiness::DownStabilized
    };
    Stabilized { replicas, steadiness, lowest, highest }
}

/// Without behavior: between `min` and the smaller of `max` and max(factor × current, 4).
#[must_use]
pub fn limit_by_default(spec: &Spec, current: i32, desired: i32) -> Limit {
    let factor = spec.controller.upscale_limit_factor.max(1.0);
    let rate = trunc_to_i32((factor * f64::from(current)).max(4.0));
    let (most, kind) = if spec.max_replicas > rate {
        (rate, LimitKind::UpRate)
    } else {
        (spec.max_replicas, LimitKind::Max)
    };
    if desired < spec.min_replicas {
        Limit { replicas: spec.min_replicas, kind: LimitKind::Min, rate: Some(rate) }
    } else if desired > most {
        Limit { replicas: most, kind, rate: Some(rate) }
    } else {
        Limit { replicas: desired, kind: LimitKind::WithinRange, rate: Some(rate) }
    }
}

/// With behavior: a step up ends at the rate or `max`, a step down at the rate or `min`. A rate that
/// would turn the direction around means no step.
#[must_use]
pub fn limit_by_behavior(
    spec: &Spec,
    behavior: &Behavior,
    current: i32,
    desired: i32,
    history: &History,
    now: Moment,
) -> Limit {
    if desired > current {
        let rate = rate(Direction::Up, &behavior.up, current, history, now).max(current);
        let (most, kind) = if spec.max_replicas > rate {
            (rate, LimitKind::UpRate)
        } else {
            (spec.max_replicas, LimitKind::Max)
        };
        if desired > most {
            return Limit { replicas: most, kind, rate: Some(rate) };
        }
        return Limit { replicas: desired, kind: LimitKind::WithinRange, rate: Some(rate) };
    }
    if desired < current {
        let rate = rate(Direction::Down, &behavior.down, current, history, now).min(current);
        let (least, kind) = if spec.min_replicas < rate {
            (rate, LimitKind::DownRate)
        } else {
            (spec.min_replicas, LimitKind::Min)
        };
        if desired < least {
            return Limit { replicas: least, kind, rate: Some(rate) };
        }
        return Limit { replicas: desired, kind: LimitKind::WithinRange, rate: Some(rate) };
    }
    Limit { replicas: desired, kind: LimitKind::WithinRange, rate: None }
}

/// How far the policies of one direction allow to go from `current`.
fn rate(direction: Direction, rules: &Rules, current: i32, history: &History, now: Moment) -> i32 {
    let ends = rules.policies.iter().map(|policy| end_of_step(direction, policy, current, history, now));
    match (rules.select, direction) {
        (SelectPolicy::Disabled, _) => current,
        (SelectPolicy::Min, Direction::Up) => ends.min().unwrap_or(i32::MAX),
        (SelectPolicy::Max, Direction::Up) => ends.max().unwrap_or(i32::MIN),
        (SelectPolicy::Min, Direction::Down) => ends.max().unwrap_or(i32::MIN),
        (SelectPolicy::Max, Direction::Down) => ends.min().unwrap_or(i32::MAX),
    }
}

fn end_of_step(direction: Direction, policy: &Policy, current: i32, history: &History, now: Moment) -> i32 {
    let added = change_within(&history.ups, policy.period_seconds, now);
    let removed = change_within(&history.downs, policy.period_seconds, now);
    let base = clamp_to_i32(i64::from(current) - added + removed);
    let fraction = f64::from(policy.value) / 100.0;
    match (direction, policy.kind) {
        (Direction::Up, PolicyKind::Pods) => base.saturating_add(policy.value),
        (Direction::Up, PolicyKind::Percent) => ceil_to_i32(f64::from(base) * (1.0 + fraction)),
        (Direction::Down, PolicyKind::Pods) => base.saturating_sub(policy.value),
        (Direction::Down, PolicyKind::Percent) => trunc_to_i32(f64::from(base) * (1.0 - fraction)),
    }
}
