//! One whole sync.

use serde::Deserialize;

use super::outcome::Differences;
use super::written::{
    NOW, PodsWritten, QuantityWritten, RecommendationWritten, RulesWritten, StatusWritten, behavior,
    recommendations, samples,
};
use crate::hpa::{
    ConditionStatus, Controller, Decision, Gates, History, Metric, Observed, Reading, ReadingError, Request,
    Resource, ResourceTarget, Selector, Spec, Tolerance, Usage, ValueTarget, decide,
};
use crate::moment::Moment;

#[derive(Debug, Deserialize)]
pub(super) struct Case {
    spec_replicas: i32,
    status_replicas: i32,
    min_replicas: i32,
    max_replicas: i32,
    metrics_spec: Option<Vec<MetricWritten>>,
    cpu_target_pct: Option<i32>,
    cpu_requests_milli: Option<Vec<i64>>,
    usage_milli_per_pod: Option<Vec<i64>>,
    scale_up: Option<RulesWritten>,
    scale_down: Option<RulesWritten>,
    recommendations: Option<Vec<RecommendationWritten>>,
    scale_to_zero_gate: Option<bool>,
    configurable_tolerance_gate: Option<bool>,
    status_scaled_to_zero: Option<StatusWritten>,
    upscale_limit_factor: Option<f64>,
    #[serde(flatten)]
    pods: PodsWritten,
    expected_desired_replicas: i32,
    expected_conditions: Option<Vec<ConditionWritten>>,
    expected_cpu_current_pct: Option<i32>,
}

#[derive(Debug, Deserialize)]
struct ConditionWritten {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
}

/// One entry of `spec.metrics` of autoscaling/v2.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricWritten {
    #[serde(rename = "type")]
    source: String,
    resource: Option<ResourceWritten>,
    container_resource: Option<ResourceWritten>,
    pods: Option<CustomWritten>,
    object: Option<CustomWritten>,
    external: Option<CustomWritten>,
}

#[derive(Debug, Deserialize)]
struct ResourceWritten {
    name: String,
    container: Option<String>,
    target: TargetWritten,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomWritten {
    metric: MetricName,
    described_object: Option<DescribedObject>,
    target: TargetWritten,
}

#[derive(Debug, Deserialize)]
struct MetricName {
    name: String,
}

#[derive(Debug, Deserialize)]
struct DescribedObject {
    kind: String,
    name: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetWritten {
    value: Option<QuantityWritten>,
    average_value: Option<QuantityWritten>,
    average_utilization: Option<i32>,
}

impl TargetWritten {
    fn of_resource(self) -> ResourceTarget {
        match (self.average_value, self.average_utilization) {
            (Some(QuantityWritten(average)), _) => ResourceTarget::AverageMilli(average.milli()),
            (None, Some(percent)) => ResourceTarget::Utilization(percent),
            (None, None) => ResourceTarget::Unset,
        }
    }

    fn of_value(self) -> ValueTarget {
        match (self.average_value, self.value) {
            (Some(QuantityWritten(average)), _) => ValueTarget::AverageMilli(average.milli()),
            (None, Some(QuantityWritten(value))) => ValueTarget::Milli(value.milli()),
            (None, None) => ValueTarget::Unset,
        }
    }
}

impl MetricWritten {
    fn metric(&self) -> Metric {
        let unknown = || Metric::Unknown { source: self.source.clone() };
        match (self.source.as_str(), self) {
            ("Resource", MetricWritten { resource: Some(written), .. }) => {
                let resource = Resource::named(&written.name);
                Metric::Resource { resource, target: written.target.of_resource() }
            }
            ("ContainerResource", MetricWritten { container_resource: Some(written), .. }) => {
                Metric::ContainerResource {
                    container: written.container.clone().unwrap_or_default(),
                    resource: Resource::named(&written.name),
                    target: written.target.of_resource(),
                }
            }
            ("Pods", MetricWritten { pods: Some(written), .. }) => {
                let average_milli = written.target.average_value.map_or(0, |QuantityWritten(q)| q.milli());
                Metric::Pods { name: written.metric.name.clone(), average_milli }
            }
            ("Object", MetricWritten { object: Some(written), .. }) => {
                let described = written
                    .described_object
                    .as_ref()
                    .map(|object| format!("{}/{}", object.kind, object.name));
                Metric::Object {
                    name: written.metric.name.clone(),
                    described: described.unwrap_or_default(),
                    target: written.target.of_value(),
                }
            }
            ("External", MetricWritten { external: Some(written), .. }) => {
                Metric::External { name: written.metric.name.clone(), target: written.target.of_value() }
            }
            _ => unknown(),
        }
    }
}

pub(super) fn check(case: &Case, differences: &mut Differences) {
    let spec = case.spec();
    let history = History {
        recommendations: case.recommendations.as_deref().map(recommendations),
        ..History::default()
    };
    let decision = decide(&spec, &case.observed(&spec), &history, NOW);
    differences.compare("expected_desired_replicas", case.expected_desired_replicas, decision.replicas);
    if let Some(expected) = &case.expected_conditions {
        differences.compare("expected_conditions", as_set(expected), got_set(&decision));
    }
    if let Some(expected) = case.expected_cpu_current_pct {
        let got = cpu_percent(&spec, &decision).map_or_else(|| "none".into(), |percent| percent.to_string());
        differences.compare("expected_cpu_current_pct", expected.to_string(), got);
    }
}

impl Case {
    fn spec(&self) -> Spec {
        let controller = Controller {
            tolerance: Tolerance::DEFAULT,
            downscale_window_seconds: 300,
            cpu_initialization_seconds: 120,
            initial_readiness_delay_seconds: 10,
            upscale_limit_factor: self.upscale_limit_factor.unwrap_or(2.0),
            gates: Gates {
                scale_to_zero: self.scale_to_zero_gate.unwrap_or(false),
                configurable_tolerance: self.configurable_tolerance_gate.unwrap_or(true),
            },
        };
        let mut metrics: Vec<Metric> =
            self.metrics_spec.iter().flatten().map(MetricWritten::metric).collect();
        if let Some(percent) = self.cpu_target_pct.filter(|percent| *percent > 0) {
            let target = ResourceTarget::Utilization(percent);
            metrics.push(Metric::Resource { resource: Resource::Cpu, target });
        }
        let has_behavior = self.scale_up.is_some() || self.scale_down.is_some();
        Spec {
            min_replicas: self.min_replicas,
            max_replicas: self.max_replicas,
            metrics,
            behavior: has_behavior.then(|| behavior(self.scale_up.as_ref(), self.scale_down.as_ref(), 300)),
            controller,
        }
    }

    fn observed(&self, spec: &Spec) -> Observed {
        let requests = self.cpu_requests_milli.as_deref().unwrap_or_default();
        let pods = if requests.is_empty() {
            usize::try_from(self.status_replicas).unwrap_or(0).min(100_000)
        } else {
            requests.len()
        };
        Observed {
            spec_replicas: self.spec_replicas,
            status_replicas: self.status_replicas,
            pods: self.pods.pods(pods),
            readings: spec.metrics.iter().map(|metric| self.reading(metric, pods)).collect(),
            scaled_to_zero: self.status_scaled_to_zero.map(StatusWritten::status),
            selector: Selector::Unique,
        }
    }

    fn reading(&self, metric: &Metric, pods: usize) -> Reading {
        let usage = self.usage_milli_per_pod.as_deref().unwrap_or_default();
        if usage.is_empty() {
            return Reading::Failed(ReadingError::NoMetrics);
        }
        match metric {
            Metric::Object { .. } | Metric::External { .. } => Reading::Series(usage.to_vec()),
            Metric::Resource { .. }
            | Metric::ContainerResource { .. }
            | Metric::Pods { .. }
            | Metric::Unknown { .. } => {
                let values: Vec<Option<i64>> = usage.iter().copied().map(Some).collect();
                let (samples, strays) = samples(&values, pods, Moment::UNSET, 60_000);
                let requests = self.cpu_requests_milli.as_deref().unwrap_or_default();
                let request = |pod: usize| match requests.get(pod) {
                    Some(milli) => Request::Milli(*milli),
                    None => Request::MissingIn("container1".into()),
                };
                Reading::PerPod { samples, requests: (0..pods).map(request).collect(), strays }
            }
        }
    }
}

fn as_set(conditions: &[ConditionWritten]) -> String {
    sorted(conditions.iter().map(|c| format!("{}={}:{}", c.kind, c.status, c.reason)).collect())
}

fn got_set(decision: &Decision) -> String {
    let status = |status| match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    };
    let each = decision.conditions.iter();
    sorted(each.map(|(kind, c)| format!("{kind}={}:{}", status(c.status), c.reason)).collect())
}

fn sorted(mut conditions: Vec<String>) -> String {
    conditions.sort_unstable();
    conditions.join(" ")
}

fn cpu_percent(spec: &Spec, decision: &Decision) -> Option<i32> {
    spec.metrics.iter().zip(&decision.metrics).find_map(|(metric, outcome)| {
        let of_cpu = matches!(
            metric,
            Metric::Resource { resource: Resource::Cpu, .. }
                | Metric::ContainerResource { resource: Resource::Cpu, .. }
        );
        match outcome {
            Ok(proposal) if of_cpu => match proposal.usage {
                Usage::Utilization { percent, .. } => Some(percent),
                Usage::AverageMilli(_) | Usage::TotalMilli(_) => None,
            },
            Ok(_) | Err(_) => None,
        }
    })
}
