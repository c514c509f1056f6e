//! One metric → one proposal.

use serde::Deserialize;

use super::outcome::Differences;
use super::written::{NOW, PodsWritten, Seconds, samples};
use crate::hpa::{
    Controller, Metric, MetricOutcome, Observed, Reading, ReadingError, Request, Resource, ResourceTarget,
    Selector, Spec, Tolerance, Tolerances, Usage, ValueTarget, propose,
};
use crate::moment::Moment;

#[derive(Debug, Deserialize)]
pub(super) struct Case {
    source: Source,
    current_replicas: i32,
    tolerance_up: f64,
    tolerance_down: f64,
    container: Option<String>,
    resource: Option<ResourceWritten>,
    metric: Option<MetricWritten>,
    metric_timestamp: Option<Timestamp>,
    cpu_initialization_period_s: Option<Seconds>,
    initial_readiness_delay_s: Option<Seconds>,
    metric_window_s: Option<Seconds>,
    #[serde(flatten)]
    pods: PodsWritten,
    expected_replicas: Option<i32>,
    expected_error_contains: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    Resource,
    Pods,
    Object,
    ObjectPerPod,
    External,
    ExternalPerPod,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Timestamp {
    Now,
    Zero,
}

#[derive(Debug, Deserialize)]
struct ResourceWritten {
    name: String,
    containers_per_pod: Option<usize>,
    requests_milli_per_container: Option<Vec<i64>>,
    target_utilization_pct: i32,
    usage_milli_per_pod_per_container: Option<Vec<Vec<i64>>>,
    metric_pod_names: Option<Vec<String>>,
    expected_utilization_pct: Option<i32>,
    expected_avg_value_milli: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct MetricWritten {
    levels_milli: Option<Vec<i64>>,
    #[serde(default)]
    target_milli: i64,
    #[serde(default)]
    per_pod_target_milli: i64,
    expected_usage_milli: Option<i64>,
}

pub(super) fn check(case: &Case, differences: &mut Differences) {
    let Some((metric, reading)) = case.metric_and_reading(differences) else { return };
    let Some(tolerances) = case.tolerances(differences) else { return };
    let seconds = |written: Option<Seconds>, default: i64| written.map_or(default, |s| s.0 / 1000);
    let controller = Controller {
        cpu_initialization_seconds: seconds(case.cpu_initialization_period_s, 120),
        initial_readiness_delay_seconds: seconds(case.initial_readiness_delay_s, 10),
        ..Controller::default()
    };
    let spec = Spec {
        min_replicas: 0,
        max_replicas: i32::MAX,
        metrics: vec![metric.clone()],
        behavior: None,
        controller,
    };
    let observed = Observed {
        spec_replicas: case.current_replicas,
        status_replicas: case.current_replicas,
        pods: case.pods.pods(case.pod_count()),
        readings: vec![reading],
        scaled_to_zero: None,
        selector: Selector::Unique,
    };
    case.compare(&metric, &propose(&spec, 0, &observed, tolerances, NOW), differences);
}

impl Case {
    fn pod_count(&self) -> usize {
        let phases = self.pods.pod_phase.as_ref().map_or(0, Vec::len);
        usize::try_from(self.current_replicas).unwrap_or(0).min(100_000).max(phases)
    }

    fn tolerances(&self, differences: &mut Differences) -> Option<Tolerances> {
        let tolerances = (Tolerance::new(self.tolerance_up), Tolerance::new(self.tolerance_down));
        let (Some(up), Some(down)) = tolerances else {
            let got = format!("{} and {}", self.tolerance_up, self.tolerance_down);
            differences.unreadable("tolerance_up, tolerance_down", "finite numbers from 0 up", got);
            return None;
        };
        Some(Tolerances { up, down })
    }

    fn metric_and_reading(&self, differences: &mut Differences) -> Option<(Metric, Reading)> {
        if let Source::Resource = self.source {
            let Some(resource) = &self.resource else {
                differences.unreadable(
                    "resource",
                    "an object, as the source is a resource",
                    "nothing".into(),
                );
                return None;
            };
            return Some((self.resource_metric(resource), self.resource_reading(resource)));
        }
        let Some(written) = &self.metric else {
            differences.unreadable("metric", "an object, as the source is a metric", "nothing".into());
            return None;
        };
        let name = "m".to_owned();
        let described = "Deployment/some-deployment".to_owned();
        let (value, average) = (
            ValueTarget::Milli(written.target_milli),
            ValueTarget::AverageMilli(written.per_pod_target_milli),
        );
        let levels = written.levels_milli.clone().unwrap_or_default();
        let series = if levels.is_empty() {
            Reading::Failed(ReadingError::NoMetrics)
        } else {
            Reading::Series(levels.clone())
        };
        Some(match self.source {
            Source::Resource | Source::Pods if levels.is_empty() => {
                (Metric::Pods { name, average_milli: written.target_milli }, series)
            }
            Source::Resource | Source::Pods => {
                let values: Vec<Option<i64>> = levels.into_iter().map(Some).collect();
                let (samples, strays) =
                    samples(&values, self.pod_count(), self.sampled_at(), self.window_millis());
                let reading = Reading::PerPod { samples, requests: Vec::new(), strays };
                (Metric::Pods { name, average_milli: written.target_milli }, reading)
            }
            Source::Object => (Metric::Object { name, described, target: value }, series),
            Source::ObjectPerPod => (Metric::Object { name, described, target: average }, series),
            Source::External => (Metric::External { name, target: value }, series),
            Source::ExternalPerPod => (Metric::External { name, target: average }, series),
        })
    }

    fn resource_metric(&self, written: &ResourceWritten) -> Metric {
        let resource = Resource::named(&written.name);
        let target = ResourceTarget::Utilization(written.target_utilization_pct);
        match self.container.clone().filter(|name| !name.is_empty()) {
            Some(container) => Metric::ContainerResource { container, resource, target },
            None => Metric::Resource { resource, target },
        }
    }

    fn resource_reading(&self, written: &ResourceWritten) -> Reading {
        let pods = self.pod_count();
        let container = self.container.as_deref().filter(|name| !name.is_empty());
        let per_pod = written.usage_milli_per_pod_per_container.as_deref().unwrap_or_default();
        let usage = |containers: &Vec<i64>| match container {
            None if containers.is_empty() => None,
            None => Some(containers.iter().fold(0, |sum: i64, milli| sum.saturating_add(*milli))),
            Some(name) => container_index(name).and_then(|index| containers.get(index)).copied(),
        };
        let mut values: Vec<Option<i64>> = per_pod.iter().map(usage).collect();
        if let Some(names) = &written.metric_pod_names {
            values = by_name(names, &values, pods);
        }
        if per_pod.is_empty() {
            return Reading::Failed(ReadingError::NoMetrics);
        }
        let (samples, strays) = samples(&values, pods, self.sampled_at(), self.window_millis());
        let requests = (0..pods).map(|pod| self.request(written, container, pod)).collect();
        Reading::PerPod { samples, requests, strays }
    }

    fn request(&self, written: &ResourceWritten, container: Option<&str>, pod: usize) -> Request {
        let containers = written.containers_per_pod.unwrap_or(2).min(1000);
        let requests = written.requests_milli_per_container.as_deref().unwrap_or_default();
        let named = container.map(container_index);
        if let Some(index) = named
            && index.is_none_or(|index| index >= containers)
        {
            return Request::NoSuchContainer;
        }
        match requests.get(pod) {
            None => Request::MissingIn(container.unwrap_or("container1").into()),
            Some(milli) if container.is_some() => Request::Milli(*milli),
            Some(milli) => Request::Milli((0..containers).fold(0, |sum: i64, _| sum.saturating_add(*milli))),
        }
    }

    fn sampled_at(&self) -> Moment {
        match self.metric_timestamp {
            Some(Timestamp::Now) => NOW,
            Some(Timestamp::Zero) | None => Moment::UNSET,
        }
    }

    fn window_millis(&self) -> i64 {
        self.metric_window_s.map_or(60_000, |window| window.0)
    }

    fn compare(&self, metric: &Metric, outcome: &MetricOutcome, differences: &mut Differences) {
        let wanted = self.expected_error_contains.as_deref().filter(|error| !error.is_empty());
        match (outcome, wanted) {
            (Ok(proposal), Some(error)) => {
                differences.compare(
                    "expected_error_contains",
                    error.to_owned(),
                    format!("{} replicas", proposal.replicas),
                );
            }
            (Err(got), Some(error)) => {
                let got = got.message(metric);
                if !got.contains(error) {
                    differences.compare("expected_error_contains", error.to_owned(), got);
                }
            }
            (Err(got), None) => {
                let replicas = self.expected_replicas.map_or_else(|| "no error".into(), |r| r.to_string());
                differences.compare("expected_replicas", replicas, got.message(metric));
            }
            (Ok(proposal), None) => {
                match self.expected_replicas {
                    Some(replicas) => differences.compare("expected_replicas", replicas, proposal.replicas),
                    None => differences.unreadable("expected_replicas", "a number", "nothing".into()),
                }
                self.compare_usage(proposal.usage, differences);
            }
        }
    }

    fn compare_usage(&self, usage: Usage, differences: &mut Differences) {
        match usage {
            Usage::Utilization { percent, average_milli } => {
                let resource = self.resource.as_ref();
                if let Some(expected) = resource.and_then(|r| r.expected_utilization_pct) {
                    differences.compare("resource.expected_utilization_pct", expected, percent);
                }
                if let Some(expected) = resource.and_then(|r| r.expected_avg_value_milli) {
                    differences.compare("resource.expected_avg_value_milli", expected, average_milli);
                }
            }
            Usage::AverageMilli(milli) | Usage::TotalMilli(milli) => {
                if let Some(expected) = self.metric.as_ref().and_then(|m| m.expected_usage_milli) {
                    differences.compare("metric.expected_usage_milli", expected, milli);
                }
            }
        }
    }
}

/// `container1` is the first.
fn container_index(name: &str) -> Option<usize> {
    name.strip_prefix("container")?.parse::<usize>().ok()?.checked_sub(1)
}

/// Puts each value at the place of the pod it names; unknown names go behind all pods.
fn by_name(names: &[String], values: &[Option<i64>], pods: usize) -> Vec<Option<i64>> {
    let mut placed = vec![None; pods];
    for (name, value) in names.iter().zip(values) {
        let index = name.strip_prefix("test-pod-").and_then(|index| index.parse::<usize>().ok());
        match index.and_then(|index| placed.get_mut(index)) {
            Some(place) => *place = *value,
            None => placed.push(*value),
        }
    }
    placed
}
