//! One metric → one proposal of replicas, or the reason why there is none.
//!
//! [`propose`] chooses the calculation by the kind of metric; `per_pod` and `value` hold them. A
//! [`Proposal`] keeps what a reader needs to follow it: value, ratio, who counted, what was filled
//! in, and which rule ended it.

use super::classify::{PodClass, PodCounts};
use super::condition::Reason;
use super::observe::{Observed, Reading, ReadingError};
use super::spec::{Controller, Metric, Resource, ResourceTarget, Spec, Tolerances, ValueTarget};
use super::{per_pod, value};
use crate::moment::Moment;

/// What became of one metric.
pub type MetricOutcome = Result<Proposal, MetricError>;

/// A metric's proposal and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Replicas proposed; not yet steadied or bounded, and possibly 0 or negative.
    pub replicas: i32,
    /// The metric's current value, as `status.currentMetrics` shows it.
    pub usage: Usage,
    /// Usage over target from the pods that count. `None` at zero replicas of an average.
    pub ratio: Option<f64>,
    /// What was filled in for pods without a usable sample, and the ratio that it gave.
    pub filled: Option<Filled>,
    /// Which rule gave `replicas`.
    pub verdict: Verdict,
    /// How many pods are in each class; empty for metrics that look at no pod.
    pub counts: PodCounts,
    /// The class of the pod of the same index; empty for metrics that look at no pod.
    pub classes: Vec<PodClass>,
}

/// A metric's current value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Of a Utilization target.
    Utilization {
        /// Percent of the request, truncated.
        percent: i32,
        /// Mean per pod in thousandths, truncated.
        average_milli: i64,
    },
    /// Mean per pod or replica, in thousandths.
    AverageMilli(i64),
    /// The whole value, in thousandths.
    TotalMilli(i64),
}

/// The second calculation, with stand-ins for pods that have no usable sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filled {
    /// Usage over target including the stand-ins.
    pub ratio: f64,
    /// How many samples, stand-ins included, the proposal multiplies by.
    pub counted: usize,
    /// What a missing pod counts as; `None` if no pod is missing or the ratio was exactly 1.
    pub missing_as: Option<MissingAs>,
    /// Unready pods were counted as 0.
    pub unready_as_zero: bool,
}

/// The stand-in for a missing sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingAs {
    /// 0: the others ask for more.
    Zero,
    /// This percent of the pod's request: the others ask for less.
    PercentOfRequest(i32),
    /// The target: the others ask for less.
    TargetMilli(i64),
}

/// Which rule a proposal ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The ratio times the count, rounded up.
    Scaled,
    /// The ratio is within tolerance: the current replicas.
    WithinTolerance,
    /// Filling in brought the ratio within tolerance: the current replicas.
    WithinToleranceFilled,
    /// Filling in turned the ratio's direction around: the current replicas.
    RatioReversed,
    /// The count of samples would turn the direction around: the current replicas.
    CountReversed,
}

/// Why a metric makes no proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricError {
    /// The metrics API gave nothing.
    NoReading(ReadingError),
    /// The selector finds no pod.
    NoPods,
    /// No pod has a sample that counts.
    NoUsableSample,
    /// A selected pod has no request for the resource.
    MissingRequest {
        /// Container without the request.
        container: String,
        /// Name of its pod.
        pod: String,
    },
    /// A selected pod lacks the container that the metric names.
    NoSuchContainer {
        /// Name of the pod.
        pod: String,
    },
    /// The requests of the pods with samples add up to 0.
    NoRequests,
    /// The target is not positive. The API server refuses such a spec.
    TargetNotPositive,
    /// Neither kind of target is set. The API server refuses such a spec.
    TargetUnset,
    /// The metric's type is unknown.
    UnknownSource,
}

impl MetricError {
    /// The controller's reason for the ScalingActive condition.
    #[must_use]
    pub fn reason(&self, metric: &Metric) -> Reason {
        match metric {
            Metric::Resource { .. } => Reason::FailedGetResourceMetric,
            Metric::ContainerResource { .. } => Reason::FailedGetContainerResourceMetric,
            Metric::Pods { .. } => Reason::FailedGetPodsMetric,
            Metric::Object { .. } => Reason::FailedGetObjectMetric,
            Metric::External { .. } => Reason::FailedGetExternalMetric,
            Metric::Unknown { .. } => Reason::InvalidMetricSourceType,
        }
    }

    /// The error in the controller's words.
    #[must_use]
    pub fn message(&self, metric: &Metric) -> String {
        match self {
            MetricError::NoReading(why) => no_reading(why, metric),
            MetricError::NoPods => match metric {
                Metric::Object { .. } | Metric::External { .. } => {
                    "unable to calculate ready pods: no pods returned by selector while calculating replica count".into()
                }
                Metric::Resource { .. }
                | Metric::ContainerResource { .. }
                | Metric::Pods { .. }
                | Metric::Unknown { .. } => "no pods returned by selector while calculating replica count".into(),
            },
            MetricError::NoUsableSample => {
                "did not receive metrics for targeted pods (pods might be unready)".into()
            }
            MetricError::MissingRequest { container, pod } => {
                format!("missing request for {} in container {container} of Pod {pod}", resource_of(metric))
            }
            MetricError::NoSuchContainer { pod } => match metric {
                Metric::ContainerResource { container, .. } => {
                    format!("container {container} not found in Pod {pod}")
                }
                Metric::Resource { .. }
                | Metric::Pods { .. }
                | Metric::Object { .. }
                | Metric::External { .. }
                | Metric::Unknown { .. } => format!("container not found in Pod {pod}"),
            },
            MetricError::NoRequests => "no metrics returned matched known pods".into(),
            MetricError::TargetNotPositive => format!("the target of the {metric} is not positive"),
            MetricError::TargetUnset => match metric {
                Metric::Resource { .. } => {
                    "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set".into()
                }
                Metric::ContainerResource { .. } => {
                    "invalid container resource metric source: neither an average utilization target nor an average value (usage) target was set".into()
                }
                Metric::Object { .. } => {
                    "invalid object metric source: neither a value target nor an average value target was set".into()
                }
                Metric::External { .. } => {
                    "invalid external metric source: neither a value target nor an average value target was set".into()
                }
                Metric::Pods { .. } | Metric::Unknown { .. } => "no target was set".into(),
            },
            MetricError::UnknownSource => match metric {
                Metric::Unknown { source } => format!("unknown metric source type {source:?}"),
                Metric::Resource { .. }
                | Metric::ContainerResource { .. }
                | Metric::Pods { .. }
                | Metric::Object { .. }
                | Metric::External { .. } => "unknown metric source type".into(),
            },
        }
    }
}

fn resource_of(metric: &Metric) -> String {
    match metric {
        Metric::Resource { resource, .. } | Metric::ContainerResource { resource, .. } => {
            resource.to_string()
        }
        Metric::Pods { name, .. } | Metric::Object { name, .. } | Metric::External { name, .. } => {
            name.clone()
        }
        Metric::Unknown { source } => source.clone(),
    }
}

fn no_reading(why: &ReadingError, metric: &Metric) -> String {
    let (what, api) = match metric {
        Metric::Resource { resource, .. } | Metric::ContainerResource { resource, .. } => {
            (format!("unable to get metrics for resource {resource}"), "resource metrics API")
        }
        Metric::Pods { name, .. } => (format!("unable to get metric {name}"), "custom metrics API"),
        Metric::Object { name, described, .. } => {
            (format!("unable to get metric {name}: {described}"), "custom metrics API")
        }
        Metric::External { name, .. } => {
            (format!("unable to get external metric {name}"), "external metrics API")
        }
        Metric::Unknown { source } => (format!("unable to get metric of type {source}"), "metrics API"),
    };
    match why {
        ReadingError::NoMetrics => format!("{what}: no metrics returned from {api}"),
        ReadingError::Api(message) => format!("{what}: {message}"),
    }
}

/// What the metric at `index` of `spec.metrics` proposes.
///
/// # Errors
/// The reason why it proposes nothing; other metrics may still scale up.
pub fn propose(
    spec: &Spec,
    index: usize,
    observed: &Observed,
    tolerances: Tolerances,
    now: Moment,
) -> MetricOutcome {
    let Some(metric) = spec.metrics.get(index) else { return Err(MetricError::UnknownSource) };
    let calculation = Calculation { observed, tolerances, controller: &spec.controller, now };
    let reading = observed.readings.get(index);
    match metric {
        Metric::Resource { resource, target } | Metric::ContainerResource { resource, target, .. } => {
            let cpu = *resource == Resource::Cpu;
            match target {
                ResourceTarget::Utilization(percent) => {
                    per_pod::utilization(&calculation, reading, cpu, *percent)
                }
                ResourceTarget::AverageMilli(milli) => per_pod::average(&calculation, reading, cpu, *milli),
                ResourceTarget::Unset => Err(MetricError::TargetUnset),
            }
        }
        Metric::Pods { average_milli, .. } => per_pod::average(&calculation, reading, false, *average_milli),
        Metric::Object { target, .. } => {
            let total =
                series(reading)?.first().copied().ok_or(MetricError::NoReading(ReadingError::NoMetrics))?;
            match target {
                ValueTarget::Milli(milli) => value::total(&calculation, total, *milli),
                ValueTarget::AverageMilli(milli) => value::per_replica(&calculation, total, *milli),
                ValueTarget::Unset => Err(MetricError::TargetUnset),
            }
        }
        Metric::External { target, .. } => {
            let series = series(reading)?;
            match target {
                ValueTarget::Milli(milli) => value::total(&calculation, value::capped_sum(series), *milli),
                ValueTarget::AverageMilli(milli) => {
                    value::per_replica(&calculation, value::positive_sum(series), *milli)
                }
                ValueTarget::Unset => Err(MetricError::TargetUnset),
            }
        }
        Metric::Unknown { .. } => Err(MetricError::UnknownSource),
    }
}

/// What every calculation looks at.
pub(super) struct Calculation<'a> {
    pub(super) observed: &'a Observed,
    pub(super) tolerances: Tolerances,
    pub(super) controller: &'a Controller,
    pub(super) now: Moment,
}

fn series(reading: Option<&Reading>) -> Result<&[i64], MetricError> {
    match reading {
        Some(Reading::Series(values)) if !values.is_empty() => Ok(values),
        Some(Reading::Failed(why)) => Err(MetricError::NoReading(why.clone())),
        Some(Reading::Series(_) | Reading::PerPod { .. }) | None => {
            Err(MetricError::NoReading(ReadingError::NoMetrics))
        }
    }
}
