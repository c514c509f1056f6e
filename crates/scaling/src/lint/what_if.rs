//! Hypothetical states for rules: a rule names the state, the engine computes what happens in it.
//!
//! Pods are steady (running, ready, past every start-up window) and have no history unless a rule runs
//! several syncs; moments count from an arbitrary now.

use crate::hpa::{
    ConditionStatus, Decision, History, Observed, Phase, Pod, Reading, ReadingError, ReadyCondition, Request,
    Sample, Selector, Spec, decide,
};
use crate::manifest::{At, Hpa, Metric, MetricSource};
use crate::moment::Moment;
use crate::quantity::Quantity;

/// An arbitrary now, far enough from zero that windows reach back.
pub(super) const NOW: Moment = Moment::from_millis(1_700_000_000_000);

/// The most replicas for which a state is made. A manifest may name two thousand million; beyond this a rule says
/// what it knows without figures.
pub(super) const MOST_REPLICAS: i32 = 1000;

/// The spec of an HPA for which states can be made.
pub(super) fn spec_of(hpa: &Hpa) -> Option<Spec> {
    hpa.spec().filter(|spec| spec.max_replicas <= MOST_REPLICAS && spec.min_replicas <= MOST_REPLICAS)
}

/// So many steady pods, each requesting 100 of whatever is asked, with these readings.
pub(super) fn state(replicas: i32, readings: Vec<Reading>) -> Observed {
    let pods = (0..replicas.max(0)).map(|index| Pod {
        name: format!("pod-{index}"),
        phase: Phase::Running,
        deleting: false,
        ready: Some(ReadyCondition { status: ConditionStatus::True, since: Moment::UNSET }),
        started: Some(Moment::UNSET),
    });
    Observed {
        spec_replicas: replicas,
        status_replicas: replicas,
        pods: pods.collect(),
        readings,
        scaled_to_zero: None,
        selector: Selector::Unique,
    }
}

/// Every pod of `replicas` uses `percent` of its request.
pub(super) fn at_percent(replicas: i32, percent: i64, now: Moment) -> Reading {
    per_pod(replicas, percent.saturating_mul(1000), now)
}

/// Every pod of `replicas` shows `milli` thousandths.
pub(super) fn per_pod(replicas: i32, milli: i64, now: Moment) -> Reading {
    let count = usize::try_from(replicas).unwrap_or(0);
    Reading::PerPod {
        samples: vec![Some(Sample { milli, at: now, window_millis: 30_000 }); count],
        requests: vec![Request::Milli(100_000); count],
        strays: Vec::new(),
    }
}

/// A metric at a third of its target, with words for it: `24 % CPU`.
pub(super) fn third_of_target(metric: &Metric, replicas: i32) -> (Reading, Option<String>) {
    if let Some(percent) = &metric.target.utilization {
        let third = percent.value / 3;
        let name = if metric.label() == "cpu" { "CPU".to_owned() } else { metric.label().to_owned() };
        return (at_percent(replicas, third, NOW), Some(format!("{third} % {name}")));
    }
    let milli = |at: &Option<At<Quantity>>| at.as_ref().map(|at| at.value.milli() / 3);
    let shown = |milli: i64| Quantity::from_milli(milli).to_string();
    let words = |milli: i64| Some(format!("{} = {}", metric.label(), shown(milli)));
    match metric.source {
        MetricSource::Object | MetricSource::External => {
            let average =
                milli(&metric.target.average).map(|third| third.saturating_mul(i64::from(replicas)));
            let value = milli(&metric.target.value).or(average).unwrap_or(0);
            (Reading::Series(vec![value]), words(value))
        }
        MetricSource::Resource | MetricSource::ContainerResource | MetricSource::Pods => {
            let value = milli(&metric.target.average).unwrap_or(0);
            (per_pod(replicas, value, NOW), words(value))
        }
    }
}

/// No adapter serves the metric.
pub(super) fn unserved() -> Reading {
    Reading::Failed(ReadingError::NoMetrics)
}

/// One sync without history.
pub(super) fn decide_once(spec: &Spec, replicas: i32, readings: Vec<Reading>) -> Decision {
    decide(spec, &state(replicas, readings), &History::default(), NOW)
}

/// Where the replicas are after each sync of 15 seconds, when `readings` answers for the replicas of the
/// moment. Runs `most` syncs.
pub(super) fn run(
    spec: &Spec,
    from: i32,
    most: usize,
    readings: &dyn Fn(i32, Moment) -> Vec<Reading>,
) -> Vec<i32> {
    let mut history = History::default();
    let mut replicas = from;
    let mut course = Vec::with_capacity(most);
    for sync in 0..most {
        let now = NOW.plus_seconds(15 * i64::try_from(sync).unwrap_or(0));
        let decision = decide(spec, &state(replicas, readings(replicas, now)), &history, now);
        history.remember(spec, &decision.remembered, now);
        replicas = decision.replicas;
        course.push(replicas);
    }
    course
}
