//! From a manifest and values to what the controllers would see.
//!
//! A pod is running, ready and long started unless its values say otherwise. Where the target's workload is in the
//! set its own requests are used, so that amounts and percentages agree; else a request of one core and one GiB
//! stands in, which a percentage does not show.

use crate::hpa::{
    ConditionStatus, Observed, Phase, Pod, Reading, ReadingError, ReadyCondition, Request, Sample, Selector,
};
use crate::keda::{self, Measured, TriggerKind};
use crate::manifest::{Metric, MetricSource, Trigger, Workload};
use crate::moment::Moment;

use super::values::{PodValues, Values};
use super::{ExplainError, key_of};

/// The key a value was looked for under, and the value.
type Given = (String, Option<String>);

pub(super) fn observed(values: &Values, replicas: i32, readings: Vec<Reading>, now: Moment) -> Observed {
    let count = usize::try_from(replicas).unwrap_or(0);
    let nothing = PodValues::default();
    let pods = (0..count).map(|index| pod(index, values.pods.get(&index).unwrap_or(&nothing), now));
    Observed {
        spec_replicas: replicas,
        status_replicas: replicas,
        pods: pods.collect(),
        readings,
        scaled_to_zero: None,
        selector: Selector::Unique,
    }
}

fn pod(index: usize, values: &PodValues, now: Moment) -> Pod {
    let phase = values.phase.unwrap_or(Phase::Running);
    let is_ready = values.ready.unwrap_or(phase == Phase::Running);
    let started = values.age_seconds.map_or(Moment::UNSET, |age| now.plus_seconds(-age.max(0)));
    Pod {
        name: format!("pod-{index}"),
        phase,
        deleting: values.deleting,
        ready: Some(ReadyCondition {
            status: if is_ready { ConditionStatus::True } else { ConditionStatus::False },
            since: started,
        }),
        started: (phase != Phase::Pending).then_some(started),
    }
}

pub(super) fn hpa_readings(
    metrics: &[Metric],
    workload: Option<&Workload>,
    values: &Values,
    replicas: i32,
    now: Moment,
) -> (Vec<Reading>, Vec<Given>) {
    let mut readings = Vec::new();
    let mut given = Vec::new();
    for metric in metrics {
        let key = key_of(metric);
        let value = values.readings.get(&key).copied().flatten();
        let has_pods = values.pods.values().any(|pod| pod.readings.contains_key(&key));
        given.push((
            key.clone(),
            value.map(|value| value.to_string()).or(has_pods.then(|| "by pod".to_owned())),
        ));
        let reading = match metric.source {
            MetricSource::Resource => {
                let requests = Requests::of(workload, metric.label(), None);
                per_pod(&key, value, values, replicas, now, &requests)
            }
            MetricSource::ContainerResource => {
                let container = metric.container.as_ref().map(|name| name.value.as_str());
                let requests = Requests::of(workload, metric.label(), container);
                per_pod(&key, value, values, replicas, now, &requests)
            }
            MetricSource::Pods => per_pod(&key, value, values, replicas, now, &Requests::none()),
            MetricSource::Object | MetricSource::External => match value {
                Some(value) => Reading::Series(vec![milli(value)]),
                None => Reading::Failed(ReadingError::NoMetrics),
            },
        };
        readings.push(reading);
    }
    (readings, given)
}

/// What the pods of the target request of one resource.
struct Requests {
    each: Request,
    /// Thousandths that 100 % are.
    whole: i64,
    /// Whether the values are percentages of it.
    percent: bool,
}

impl Requests {
    fn none() -> Self {
        Self { each: Request::Milli(0), whole: 0, percent: false }
    }

    fn of(workload: Option<&Workload>, resource: &str, container: Option<&str>) -> Self {
        let stand_in = if resource == "memory" { (1_i64 << 30) * 1000 } else { 1000 };
        let known = |milli: i64| Self { each: Request::Milli(milli), whole: milli, percent: true };
        let Some(workload) = workload else { return known(stand_in) };
        match container {
            Some(name) => match workload.template.running().find(|container| container.label() == name) {
                Some(container) => match container.requests.get(resource) {
                    Some(request) => known(request.value.milli()),
                    None => Self { each: Request::MissingIn(name.into()), whole: stand_in, percent: true },
                },
                None => Self { each: Request::NoSuchContainer, whole: stand_in, percent: true },
            },
            None => match workload.template.request_milli(resource) {
                Some(milli) => known(milli),
                None => {
                    let lacking = workload
                        .template
                        .running()
                        .find(|container| container.requests.get(resource).is_none());
                    let name = lacking.map_or("container", |container| container.label());
                    Self { each: Request::MissingIn(name.into()), whole: stand_in, percent: true }
                }
            },
        }
    }

    fn amount(&self, value: f64) -> i64 {
        if self.percent {
            #[expect(clippy::cast_precision_loss, reason = "a request in thousandths is far below 2^53")]
            let whole = self.whole as f64;
            // Rounded up, so that 24 % of 333m reads as 24 % again after the controller has truncated. Below a
            // request of 100m a thousandth of a core is more than a percent, in a cluster as here.
            milli((whole * value / 100.0).ceil() / 1000.0)
        } else {
            milli(value)
        }
    }
}

fn milli(value: f64) -> i64 {
    keda::milli_of(value)
}

fn per_pod(
    key: &str,
    all: Option<f64>,
    values: &Values,
    replicas: i32,
    now: Moment,
    requests: &Requests,
) -> Reading {
    let count = usize::try_from(replicas).unwrap_or(0);
    let samples: Vec<Option<Sample>> = (0..count)
        .map(|index| {
            let own = values.pods.get(&index).and_then(|pod| pod.readings.get(key));
            let value = own.copied().unwrap_or(all)?;
            Some(Sample { milli: requests.amount(value), at: now, window_millis: 30_000 })
        })
        .collect();
    if samples.iter().all(Option::is_none) {
        return Reading::Failed(ReadingError::NoMetrics);
    }
    Reading::PerPod { samples, requests: vec![requests.each.clone(); count], strays: Vec::new() }
}

/// What the sources of a ScaledObject's triggers answer.
pub(super) fn measured(
    triggers: &[Trigger],
    values: &Values,
) -> Result<(Vec<Measured>, Vec<Given>), ExplainError> {
    let mut measured = Vec::new();
    let mut given = Vec::new();
    for (index, trigger) in triggers.iter().enumerate() {
        if trigger.spec().is_none() {
            return Err(ExplainError::Value {
                key: format!("triggers[{index}]"),
                why: format!("the {} trigger cannot be read; `scale lint` says why", trigger.kind.value),
            });
        }
        let kind = trigger.kind.value.as_str();
        if kind == "cron" {
            given.push(("the time".to_owned(), Some("now".to_owned())));
            measured.push(Measured::Nothing);
            continue;
        }
        if matches!(kind, "cpu" | "memory") {
            let value = values.readings.get(kind).copied().flatten();
            given.push((kind.to_owned(), value.map(|value| value.to_string())));
            measured.push(Measured::Nothing);
            continue;
        }
        let keys = keys(index, trigger);
        let value = keys.iter().find_map(|key| values.readings.get(key).copied().flatten());
        given.push((keys[0].clone(), value.map(|value| value.to_string())));
        measured.push(match value {
            Some(value) => Measured::Value(value),
            None => Measured::Failed { times: 1, message: format!("no value given for {}", keys[0]) },
        });
    }
    Ok((measured, given))
}

/// The keys that a trigger's value may be given under, the plainest first: its own name, the field it reads, its type
/// with its index, its type.
fn keys(index: usize, trigger: &Trigger) -> Vec<String> {
    let named =
        ["metricName", "valueLocation"].iter().filter_map(|key| trigger.get(key)).map(|at| at.value.clone());
    let mut keys: Vec<String> = trigger
        .name
        .iter()
        .map(|name| name.value.clone())
        .chain(named)
        .map(|name| format!("metric.{name}"))
        .collect();
    keys.push(format!("metric.{}-{index}", trigger.kind.value));
    keys.push(format!("metric.{}", trigger.kind.value));
    keys
}

/// Puts the readings of cpu and memory triggers in: KEDA leaves them to the resource metrics API.
pub(super) fn resource_readings(
    readings: &mut [Reading],
    spec: &keda::Spec,
    workload: Option<&Workload>,
    values: &Values,
    replicas: i32,
    now: Moment,
) {
    for (reading, trigger) in readings.iter_mut().zip(&spec.triggers) {
        if let TriggerKind::Resource { resource, container, .. } = &trigger.kind {
            let key = resource.to_string();
            let all = values.readings.get(&key).copied().flatten();
            let requests = Requests::of(workload, &key, container.as_deref());
            *reading = per_pod(&key, all, values, replicas, now, &requests);
        }
    }
}
