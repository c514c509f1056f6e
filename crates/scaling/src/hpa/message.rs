//! What the controller writes beside its reasons: condition messages and the rescale event.

use std::fmt;

use super::condition::{ConditionKind, Reason};
use super::decide::{Decision, Path, Rescale, RescaleReason};
use super::metric::MetricError;
use super::observe::{Observed, Selector};
use super::spec::{Metric, Spec};

/// The SuccessfulRescale event of a rescale. `Display` gives its text.
#[derive(Debug, Clone, Copy)]
pub struct RescaleEvent<'a> {
    rescale: Rescale,
    spec: &'a Spec,
}

impl Rescale {
    /// The event that the controller writes for this rescale.
    #[must_use]
    pub fn event<'a>(&self, spec: &'a Spec) -> RescaleEvent<'a> {
        RescaleEvent { rescale: *self, spec }
    }
}

impl fmt::Display for RescaleEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "New size: {}; reason: ", self.rescale.to)?;
        match self.rescale.reason {
            RescaleReason::AboveMax => f.write_str("Current number of replicas above Spec.MaxReplicas"),
            RescaleReason::BelowMin => f.write_str("Current number of replicas below Spec.MinReplicas"),
            RescaleReason::AllBelowTarget => f.write_str("All metrics below target"),
            RescaleReason::MetricAboveTarget { metric } => match self.spec.metrics.get(metric) {
                Some(metric) => write!(f, "{metric} above target"),
                None => f.write_str("metric above target"),
            },
        }
    }
}

impl Decision {
    /// The message of a condition that this decision sets; `None` for one it does not set.
    #[must_use]
    pub fn message(&self, kind: ConditionKind, spec: &Spec, observed: &Observed) -> Option<String> {
        let (_, condition) = self.conditions.iter().find(|(set, _)| *set == kind)?;
        Some(match condition.reason {
            Reason::SucceededRescale => format!("{} to {}", condition.reason.message(), self.replicas),
            Reason::ValidMetricFound => match self.winner(spec) {
                Some(metric) => format!("{} from {metric}", condition.reason.message()),
                None => condition.reason.message().to_owned(),
            },
            Reason::AmbiguousSelector => match &observed.selector {
                Selector::Ambiguous { hpas } => {
                    format!("pods by selector are controlled by multiple HPAs: [{}]", hpas.join(" "))
                }
                Selector::Unique => condition.reason.message().to_owned(),
            },
            Reason::InvalidMetricSourceType
            | Reason::FailedGetResourceMetric
            | Reason::FailedGetContainerResourceMetric
            | Reason::FailedGetPodsMetric
            | Reason::FailedGetObjectMetric
            | Reason::FailedGetExternalMetric => self.failure(spec),
            Reason::SucceededGetScale
            | Reason::ReadyForNewScale
            | Reason::ScaleDownStabilized
            | Reason::ScaleUpStabilized
            | Reason::ScalingDisabled
            | Reason::NoMetrics
            | Reason::DesiredWithinRange
            | Reason::ScaleUpLimit
            | Reason::ScaleDownLimit
            | Reason::TooManyReplicas
            | Reason::TooFewReplicas
            | Reason::ScaledToZero
            | Reason::NotScaledToZero => condition.reason.message().to_owned(),
        })
    }

    fn winner<'a>(&self, spec: &'a Spec) -> Option<&'a Metric> {
        match self.path {
            Path::Computed { winner, .. } => spec.metrics.get(winner),
            Path::Disabled
            | Path::AboveMax
            | Path::BelowMin
            | Path::Ambiguous
            | Path::NoMetrics
            | Path::Failed { .. } => None,
        }
    }

    fn failure(&self, spec: &Spec) -> String {
        let first = spec.metrics.iter().zip(&self.metrics).find_map(|(metric, outcome)| match outcome {
            Err(error) => Some(failed(metric, error)),
            Ok(_) => None,
        });
        format!("the HPA was unable to compute the replica count: {}", first.unwrap_or_default())
    }
}

fn failed(metric: &Metric, error: &MetricError) -> String {
    let message = error.message(metric);
    match metric {
        Metric::Resource { resource, .. } => format!("failed to get {resource} utilization: {message}"),
        Metric::ContainerResource { resource, .. } => {
            format!("failed to get {resource} container metric: {message}")
        }
        Metric::Pods { .. } | Metric::Object { .. } | Metric::External { .. } | Metric::Unknown { .. } => {
            message
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpa::{
        Controller, History, Pod, Reading, Request, Resource, ResourceTarget, Sample, ValueTarget, decide,
    };
    use crate::moment::Moment;

    const NOW: Moment = Moment::from_millis(1_700_000_000_000);

    fn spec() -> Spec {
        Spec {
            min_replicas: 1,
            max_replicas: 10,
            metrics: vec![
                Metric::Resource { resource: Resource::Cpu, target: ResourceTarget::Utilization(50) },
                Metric::External { name: "queue".into(), target: ValueTarget::AverageMilli(1000) },
            ],
            behavior: None,
            controller: Controller::default(),
        }
    }

    fn told(request: Request, queue: i64) -> String {
        let spec = spec();
        let observed = Observed {
            spec_replicas: 2,
            status_replicas: 2,
            pods: vec![Pod::steady("web-1"), Pod::steady("web-2")],
            readings: vec![
                Reading::PerPod {
                    samples: vec![Some(Sample { milli: 100, at: NOW, window_millis: 15_000 }); 2],
                    requests: vec![Request::Milli(400), request],
                    strays: Vec::new(),
                },
                Reading::Series(vec![queue]),
            ],
            scaled_to_zero: None,
            selector: Selector::Unique,
        };
        let decision = decide(&spec, &observed, &History::default(), NOW);
        let mut lines: Vec<String> = decision
            .conditions
            .iter()
            .map(|(kind, condition)| {
                let message = decision.message(kind, &spec, &observed).unwrap_or_default();
                format!("{kind}: {}: {message}", condition.reason)
            })
            .collect();
        lines.extend(decision.rescale.map(|rescale| rescale.event(&spec).to_string()));
        lines.join("\n")
    }

    #[test]
    fn a_decision_is_told_in_the_controllers_words() {
        insta::assert_snapshot!(told(Request::Milli(400), 4000), @r"
        AbleToScale: SucceededRescale: the HPA controller was able to update the target scale to 4
        ScalingActive: ValidMetricFound: the HPA was able to successfully calculate a replica count from external metric queue
        ScalingLimited: DesiredWithinRange: the desired count is within the acceptable range
        New size: 4; reason: external metric queue above target
        ");
    }

    #[test]
    fn a_failure_names_the_pod_and_the_container() {
        insta::assert_snapshot!(told(Request::MissingIn("sidecar".into()), 1000), @r"
        AbleToScale: SucceededGetScale: the HPA controller was able to get the target's current scale
        ScalingActive: FailedGetResourceMetric: the HPA was unable to compute the replica count: failed to get cpu utilization: missing request for cpu in container sidecar of Pod web-2
        ");
    }
}
