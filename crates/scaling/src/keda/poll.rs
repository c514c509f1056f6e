//! One turn of KEDA's own loop: activity, and the way between 0 (or idle) and 1.
//!
//! KEDA moves the target only at the lower end; everything above is the HPA's. Cooldown counts from
//! the last poll that found a trigger active, and ends strictly after its period.

use super::spec::Spec;
use super::trigger::{Measured, Said};
use crate::moment::Moment;

/// What KEDA keeps in the ScaledObject's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// When the ScaledObject was created.
    pub created: Moment,
    /// The last poll that found it active.
    pub last_active: Option<Moment>,
}

/// What one poll does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// The replicas after it.
    pub replicas: i32,
    /// What it did to them.
    pub act: Act,
    /// Why.
    pub because: Because,
    /// Indices of the triggers that are active.
    pub active: Vec<usize>,
    /// The state to keep.
    pub state: State,
}

/// What a poll did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// Scaled the target.
    Scaled {
        /// From these replicas.
        from: i32,
    },
}

/// Why a poll did what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The ScaledObject is paused at a number of replicas.
    Paused,
    /// A trigger is active and the target was at zero or idle.
    Activated,
    /// A trigger is active and replicas run: the HPA's business.
    Active,
    /// No trigger is active, replicas run, and the cooldown is not over.
    CoolingDown {
        /// Until when, exclusive.
        until: Moment,
    },
    /// No trigger is active and the cooldown is over.
    Deactivated,
    /// A source failed and there is no fallback: replicas stay.
    Failing,
    /// Sources failed and the fallback's replicas stand in.
    FallenBack,
    /// No trigger is active and there are fewer replicas than the minimum.
    RaisedToMin,
    /// No trigger is active and nothing is to be done.
    Inactive,
}

/// One poll when the target has `current` replicas. `measured` holds the answer of each trigger's
/// source.
#[must_use]
pub fn poll(spec: &Spec, state: State, current: i32, measured: &[Measured], now: Moment) -> Poll {
    if let Some(paused) = spec.paused_at {
        return done(current, paused, Because::Paused, Vec::new(), state);
    }
    let mut active = Vec::new();
    let (mut failing, mut fallback_due) = (false, false);
    for (index, trigger) in spec.triggers.iter().enumerate() {
        match trigger.said(measured.get(index), now) {
            Said::Value { active: true, .. } => active.push(index),
            Said::Error { times, .. } => {
                failing = true;
                fallback_due |= spec.fallback.is_some_and(|fallback| times > fallback.failure_threshold);
            }
            Said::Value { active: false, .. } | Said::Silent => {}
        }
    }
    if !active.is_empty() {
        let state = State { last_active: Some(now), ..state };
        let asleep = current == 0 || (spec.idle_replicas.is_some() && current < spec.min_replicas);
        return if asleep {
            done(current, spec.min_replicas.max(1), Because::Activated, active, state)
        } else {
            done(current, current, Because::Active, active, state)
        };
    }
    if failing {
        return match spec.fallback {
            Some(fallback) if fallback_due && fallback.replicas != 0 => {
                done(current, fallback.replicas, Because::FallenBack, active, state)
            }
            Some(_) | None => done(current, current, Because::Failing, active, state),
        };
    }
    let above_idle = spec.idle_replicas.is_some_and(|idle| current > idle);
    if above_idle || (current > 0 && spec.min_replicas == 0) {
        let until = match state.last_active {
            Some(last) => last.plus_seconds(spec.cooldown_seconds),
            None => state.created.plus_seconds(spec.initial_cooldown_seconds),
        };
        return if until < now {
            done(current, spec.idle_replicas.unwrap_or(0), Because::Deactivated, active, state)
        } else {
            done(current, current, Because::CoolingDown { until }, active, state)
        };
    }
    if current < spec.min_replicas && spec.idle_replicas.is_none() {
        return done(current, spec.min_replicas, Because::RaisedToMin, active, state);
    }
    done(current, current, Because::Inactive, active, state)
}

fn done(from: i32, replicas: i32, because: Because, active: Vec<usize>, state: State) -> Poll {
    let act = if replicas == from { Act::Nothing } else { Act::Scaled { from } };
    Poll { replicas, act, because, active, state }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keda::{Fallback, MetricType, Target, Trigger, TriggerKind};

    const NOW: Moment = Moment::from_millis(1_700_000_000_000);

    fn spec() -> Spec {
        let target = Target { target_milli: 5000, activation_milli: 0 };
        let kind = TriggerKind::MetricsApi(target);
        Spec {
            triggers: vec![Trigger { name: None, kind, metric_type: MetricType::default() }],
            ..Spec::default()
        }
    }

    fn run(spec: &Spec, last_active_seconds: Option<i64>, current: i32, measured: Measured) -> Poll {
        let last_active = last_active_seconds.map(|ago| NOW.plus_seconds(-ago));
        poll(spec, State { created: NOW.plus_seconds(-9999), last_active }, current, &[measured], NOW)
    }

    #[test]
    fn an_active_trigger_wakes_the_target_to_one_or_the_minimum() {
        assert_eq!(run(&spec(), None, 0, Measured::Value(1.0)).replicas, 1);
        let minimum = Spec { min_replicas: 3, idle_replicas: Some(0), ..spec() };
        assert_eq!(run(&minimum, None, 0, Measured::Value(1.0)).replicas, 3);
    }

    #[test]
    fn the_cooldown_ends_strictly_after_its_period() {
        let at_the_end = run(&spec(), Some(300), 4, Measured::Value(0.0));
        assert_eq!(at_the_end.because, Because::CoolingDown { until: NOW });
        let after = run(&spec(), Some(301), 4, Measured::Value(0.0));
        assert_eq!((after.replicas, after.because), (0, Because::Deactivated));
    }

    #[test]
    fn a_target_that_was_never_active_sleeps_without_cooldown() {
        assert_eq!(run(&spec(), None, 2, Measured::Value(0.0)).because, Because::Deactivated);
    }

    #[test]
    fn a_failing_source_keeps_the_replicas_until_the_fallback_stands_in() {
        let failed = |times| Measured::Failed { times, message: "no route".into() };
        assert_eq!(run(&spec(), Some(999), 4, failed(9)).because, Because::Failing);
        let with = Spec { fallback: Some(Fallback { failure_threshold: 3, replicas: 6 }), ..spec() };
        assert_eq!(run(&with, Some(999), 4, failed(3)).because, Because::Failing);
        assert_eq!(run(&with, Some(999), 4, failed(4)).replicas, 6);
    }

    #[test]
    fn a_minimum_above_zero_never_sleeps() {
        let minimum = Spec { min_replicas: 2, ..spec() };
        assert_eq!(run(&minimum, Some(9999), 4, Measured::Value(0.0)).because, Because::Inactive);
        assert_eq!(run(&minimum, Some(9999), 1, Measured::Value(0.0)).because, Because::RaisedToMin);
    }
}
