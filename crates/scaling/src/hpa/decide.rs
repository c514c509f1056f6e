//! One sync of one HPA.

use super::bound::{Bounded, bound};
use super::combine::{Combined, combine, outcomes};
use super::condition::{Condition, Conditions, Reason};
use super::history::{History, Recommendation, Remembered};
use super::metric::MetricOutcome;
use super::observe::{ConditionStatus, Observed, Selector};
use super::spec::Spec;
use crate::moment::Moment;

/// What a sync decided, why, and what has to be remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The replicas that the target has after this sync.
    pub replicas: i32,
    /// The change, if there is one.
    pub rescale: Option<Rescale>,
    /// The conditions that this sync sets; never empty.
    pub conditions: Conditions,
    /// Which way the decision was made.
    pub path: Path,
    /// What became of each metric, in the spec's order; empty where no metric was looked at.
    pub metrics: Vec<MetricOutcome>,
    /// For [`History::remember`].
    pub remembered: Remembered,
}

/// A change of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rescale {
    /// Before.
    pub from: i32,
    /// After.
    pub to: i32,
    /// Why.
    pub reason: RescaleReason,
}

/// Why replicas change; the text of the SuccessfulRescale event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RescaleReason {
    /// There are more than `maxReplicas`.
    AboveMax,
    /// There are fewer than `minReplicas`.
    BelowMin,
    /// This metric asks for more.
    MetricAboveTarget {
        /// Index into `spec.metrics`.
        metric: usize,
    },
    /// Every metric asks for less.
    AllBelowTarget,
}

/// Which way a decision was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Zero replicas switch the HPA off.
    Disabled,
    /// Corrected to `maxReplicas` without looking at metrics, history or rates.
    AboveMax,
    /// Corrected to `minReplicas` without looking at metrics, history or rates.
    BelowMin,
    /// Several HPAs select the pods; nothing happens.
    Ambiguous,
    /// The spec has no metrics; nothing happens.
    NoMetrics,
    /// Failing metrics forbid a decision; nothing happens.
    Failed {
        /// Index of the first metric that failed.
        first: usize,
        /// How many failed.
        failed: usize,
    },
    /// Computed from the metrics.
    Computed {
        /// Index of the metric that won.
        winner: usize,
        /// How many metrics failed without consequence.
        failed: usize,
        /// Every step from the recommendation to the replicas.
        bounded: Bounded,
        /// The target was at zero and `minReplicas` has been raised since: its value overrides.
        raised_to_min: bool,
    },
}

/// Decides one sync.
///
/// Replicas outside the bounds are corrected at once; zero replicas switch the HPA off, unless the
/// gate is on and this HPA itself scaled to zero; otherwise metrics, history, rates and bounds
/// decide. The caller scales the target and passes [`Decision::remembered`] to
/// [`History::remember`].
#[must_use]
pub fn decide(spec: &Spec, observed: &Observed, history: &History, now: Moment) -> Decision {
    let current = observed.spec_replicas;
    let by_this_hpa =
        spec.controller.gates.scale_to_zero && observed.scaled_to_zero == Some(ConditionStatus::True);
    let wakes = by_this_hpa && (spec.min_replicas != 0 || spec.has_object_or_external_metric());
    if current == 0 && !wakes {
        return Draft::new(spec, observed, history, now).disabled();
    }
    if current != 0 && current > spec.max_replicas {
        return Draft::new(spec, observed, history, now).correct(Path::AboveMax);
    }
    if current != 0 && current < spec.min_replicas {
        return Draft::new(spec, observed, history, now).correct(Path::BelowMin);
    }
    if matches!(observed.selector, Selector::Ambiguous { .. }) {
        return Draft::new(spec, observed, history, now).stuck(Path::Ambiguous, Reason::AmbiguousSelector);
    }

    let mut draft = Draft::new(spec, observed, history, now);
    draft.metrics = outcomes(spec, observed, now);
    match combine(&draft.metrics, current) {
        Combined::NoMetrics => draft.stuck(Path::NoMetrics, Reason::NoMetrics),
        Combined::Failed { first, failed } => {
            let reason = match (spec.metrics.get(first), draft.metrics.get(first)) {
                (Some(metric), Some(Err(error))) => error.reason(metric),
                _ => Reason::NoMetrics,
            };
            draft.stuck(Path::Failed { first, failed }, reason)
        }
        Combined::Recommendation { replicas, winner, failed } => {
            let bounded = bound(spec, current, replicas, history, now);
            let raised_to_min = current == 0 && by_this_hpa && bounded.replicas() < spec.min_replicas;
            draft.computed(winner, failed, bounded, raised_to_min)
        }
    }
}

/// A decision in the making: what all paths share.
struct Draft<'a> {
    spec: &'a Spec,
    observed: &'a Observed,
    now: Moment,
    initial: Option<Recommendation>,
    metrics: Vec<MetricOutcome>,
}

impl<'a> Draft<'a> {
    fn new(spec: &'a Spec, observed: &'a Observed, history: &History, now: Moment) -> Self {
        let initial = match history.recommendations {
            None => Some(Recommendation { replicas: observed.spec_replicas, at: now }),
            Some(_) => None,
        };
        Draft { spec, observed, now, initial, metrics: Vec::new() }
    }

    fn disabled(self) -> Decision {
        let active = Condition::fails(Reason::ScalingDisabled);
        self.finish(
            Path::Disabled,
            None,
            None,
            Condition::holds(Reason::SucceededGetScale),
            Some(active),
            None,
        )
    }

    fn stuck(self, path: Path, reason: Reason) -> Decision {
        let active = Condition::fails(reason);
        self.finish(path, None, None, Condition::holds(Reason::SucceededGetScale), Some(active), None)
    }

    fn correct(self, path: Path) -> Decision {
        let (to, reason) = match path {
            Path::AboveMax => (self.spec.max_replicas, RescaleReason::AboveMax),
            Path::BelowMin
            | Path::Disabled
            | Path::Ambiguous
            | Path::NoMetrics
            | Path::Failed { .. }
            | Path::Computed { .. } => (self.spec.min_replicas, RescaleReason::BelowMin),
        };
        let rescale = Rescale { from: self.observed.spec_replicas, to, reason };
        self.finish(path, Some(rescale), None, Condition::holds(Reason::SucceededRescale), None, None)
    }

    fn computed(self, winner: usize, failed: usize, bounded: Bounded, raised_to_min: bool) -> Decision {
        let from = self.observed.spec_replicas;
        let to = if raised_to_min { self.spec.min_replicas } else { bounded.replicas() };
        let reason = if bounded.recommendation > from {
            RescaleReason::MetricAboveTarget { metric: winner }
        } else if bounded.recommendation < from {
            RescaleReason::AllBelowTarget
        } else {
            RescaleReason::BelowMin
        };
        let rescale = (to != from).then_some(Rescale { from, to, reason });
        let able = match rescale {
            Some(_) => Reason::SucceededRescale,
            None => bounded.stabilized.steadiness.reason(),
        };
        let limit = bounded.limit.kind.reason();
        let limited = if bounded.replicas() == bounded.stabilized.replicas {
            Condition::fails(limit)
        } else {
            Condition::holds(limit)
        };
        let recommendation = Recommendation { replicas: bounded.recommendation, at: self.now };
        let path = Path::Computed { winner, failed, bounded, raised_to_min };
        let active = Condition::holds(Reason::ValidMetricFound);
        self.finish(path, rescale, Some(recommendation), Condition::holds(able), Some(active), Some(limited))
    }

    fn finish(
        self,
        path: Path,
        rescale: Option<Rescale>,
        recommendation: Option<Recommendation>,
        able_to_scale: Condition,
        scaling_active: Option<Condition>,
        scaling_limited: Option<Condition>,
    ) -> Decision {
        let scaled_to_zero = self.scaled_to_zero(rescale);
        let change = rescale.map(|rescale| (rescale.from, rescale.to));
        Decision {
            replicas: rescale.map_or(self.observed.spec_replicas, |rescale| rescale.to),
            rescale,
            conditions: Conditions { able_to_scale, scaling_active, scaling_limited, scaled_to_zero },
            path,
            metrics: self.metrics,
            remembered: Remembered { initial: self.initial, recommendation, change },
        }
    }

    /// With its gate on, a rescale sets the condition and anything else leaves it; with its gate off
    /// the controller removes it.
    fn scaled_to_zero(&self, rescale: Option<Rescale>) -> Option<Condition> {
        if !self.spec.controller.gates.scale_to_zero {
            return None;
        }
        match rescale {
            Some(Rescale { from, to: 0, .. })
                if from > 0 && self.spec.min_replicas == 0 && self.spec.has_object_or_external_metric() =>
            {
                Some(Condition::holds(Reason::ScaledToZero))
            }
            Some(_) => Some(Condition::fails(Reason::NotScaledToZero)),
            None => self.observed.scaled_to_zero.map(|status| {
                let reason = match status {
                    ConditionStatus::True => Reason::ScaledToZero,
                    ConditionStatus::False | ConditionStatus::Unknown => Reason::NotScaledToZero,
                };
                Condition { status, reason }
            }),
        }
    }
}
