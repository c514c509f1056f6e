//! Which pods a per-pod metric counts.
//!
//! The order matters: deleting or failed pods are ignored before anything else, pending ones are
//! unready, then a pod without a sample is missing. Only CPU has the readiness rules that follow:
//! a pod that is warming up burns CPU that says nothing about load.

use super::observe::{ConditionStatus, Phase, Pod, Sample};
use super::spec::Controller;
use crate::moment::Moment;

/// What a pod is to one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodClass {
    /// Its sample counts.
    Ready,
    /// It is not ready; counts as 0 if the others ask for more, else not at all.
    Unready,
    /// It has no sample; a conservative value is filled in.
    Missing,
    /// Deleting or failed; does not exist for the metric.
    Ignored,
}

/// How many pods are in each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PodCounts {
    /// Pods whose sample counts.
    pub ready: usize,
    /// Pods that are not ready.
    pub unready: usize,
    /// Pods without a sample.
    pub missing: usize,
    /// Deleting or failed pods.
    pub ignored: usize,
}

impl PodCounts {
    pub(super) fn add(&mut self, class: PodClass) {
        match class {
            PodClass::Ready => self.ready += 1,
            PodClass::Unready => self.unready += 1,
            PodClass::Missing => self.missing += 1,
            PodClass::Ignored => self.ignored += 1,
        }
    }
}

/// The class of `pod` for a metric whose sample it has or lacks. `cpu` turns on the readiness rules.
#[must_use]
pub fn classify(
    pod: &Pod,
    sample: Option<&Sample>,
    cpu: bool,
    controller: &Controller,
    now: Moment,
) -> PodClass {
    if pod.deleting || pod.phase == Phase::Failed {
        return PodClass::Ignored;
    }
    if pod.phase == Phase::Pending {
        return PodClass::Unready;
    }
    let Some(sample) = sample else { return PodClass::Missing };
    if cpu && is_warming_up(pod, sample, controller, now) { PodClass::Unready } else { PodClass::Ready }
}

fn is_warming_up(pod: &Pod, sample: &Sample, controller: &Controller, now: Moment) -> bool {
    let (Some(ready), Some(started)) = (pod.ready, pod.started) else { return true };
    let not_ready = ready.status == ConditionStatus::False;
    if started.plus_seconds(controller.cpu_initialization_seconds) > now {
        // One whole window has to be measured after the last change, else the start is in it.
        not_ready || sample.at < ready.since.plus_millis(sample.window_millis)
    } else {
        // Never ready: the last change is the kubelet's first word, right after the start.
        not_ready && started.plus_seconds(controller.initial_readiness_delay_seconds) > ready.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpa::observe::ReadyCondition;

    const NOW: Moment = Moment::from_millis(1_000_000_000);

    fn pod(age_seconds: i64, status: ConditionStatus, since_seconds: i64) -> Pod {
        Pod {
            started: Some(NOW.plus_seconds(-age_seconds)),
            ready: Some(ReadyCondition { status, since: NOW.plus_seconds(-since_seconds) }),
            ..Pod::steady("p")
        }
    }

    fn class(pod: &Pod, cpu: bool) -> PodClass {
        let sample = Sample { milli: 1, at: NOW, window_millis: 60_000 };
        classify(pod, Some(&sample), cpu, &Controller::default(), NOW)
    }

    #[test]
    fn a_deleting_pod_is_ignored_even_when_it_is_pending() {
        let pod = Pod { deleting: true, phase: Phase::Pending, ..Pod::steady("p") };
        assert_eq!(class(&pod, true), PodClass::Ignored);
    }

    #[test]
    fn a_young_ready_pod_counts_once_a_whole_window_lies_after_the_transition() {
        assert_eq!(class(&pod(100, ConditionStatus::True, 61), true), PodClass::Ready);
        assert_eq!(class(&pod(100, ConditionStatus::True, 60), true), PodClass::Ready);
        assert_eq!(class(&pod(100, ConditionStatus::True, 59), true), PodClass::Unready);
    }

    #[test]
    fn an_old_pod_that_was_once_ready_counts_although_it_is_not_ready() {
        assert_eq!(class(&pod(900, ConditionStatus::False, 100), true), PodClass::Ready);
        assert_eq!(class(&pod(900, ConditionStatus::False, 880), true), PodClass::Unready);
    }

    #[test]
    fn readiness_matters_for_cpu_only() {
        assert_eq!(class(&pod(10, ConditionStatus::False, 5), false), PodClass::Ready);
    }
}
