//! One decision, told step by step: what a manifest's scaler does with given values, and why.
//!
//! [`Values`] are what is known (`replicas=5`, `cpu=24`, `metric.jobs=30`, `pods.2.ready=false`); [`explain`] makes the
//! state of the cluster from them, lets the engine decide one sync, and returns an [`Explanation`]; [`text`] and
//! [`json`] show it. A metric without a value counts as failing, which is told. There is no history: the controller
//! has just started, so the present replicas are its only recommendation.
//!
//! Promises the engine's own decision, nothing computed twice. Knows no files and no clock: `now` comes in.

mod observe;
mod tell;
mod values;

pub use tell::{json, text};
pub use values::{PodValues, Values, ValuesError};

use crate::hpa::{self, Decision, History, NextChange};
use crate::keda;
use crate::manifest::{Detail, Loaded, Metric, Object, Set, Workload};
use crate::moment::Moment;
use crate::read::Place;

/// The most replicas for which a state is made: one pod each.
pub const MOST_REPLICAS: i32 = 10_000;

/// How often the HPA's controller syncs, in seconds.
const SYNC_SECONDS: i64 = 15;

/// Why nothing can be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The manifests hold faults; `lint` names them.
    #[error("{place}: {label} has faults in its fields; `scale lint` names them")]
    Faulty {
        /// The first fault.
        place: Place,
        /// The object.
        label: String,
    },
    /// No HPA and no ScaledObject, or none of the name asked for.
    #[error("no HorizontalPodAutoscaler or ScaledObject{which}; there are: {known}")]
    NoScaler {
        /// ` of the name …`, or nothing.
        which: String,
        /// Those that there are, or `none`.
        known: String,
    },
    /// A value is missing or out of range.
    #[error("{key}: {why}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong and how to write it.
        why: String,
    },
}

/// One decision with all its steps.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The scaler, as `Kind name`.
    pub scaler: String,
    /// Where it stands.
    pub place: Place,
    /// What it scales, as `Kind/name`.
    pub target: String,
    /// Replicas before.
    pub replicas: i32,
    /// The fewest replicas there may be; 0 where KEDA may put the target to sleep.
    pub least: i32,
    /// The spec that decided.
    pub spec: hpa::Spec,
    /// For each metric: the key that its value came from and the value as given, or nothing.
    pub given: Vec<(String, Option<String>)>,
    /// KEDA's own turn, for a ScaledObject.
    pub keda: Option<keda::Poll>,
    /// The HPA's decision; `None` when KEDA alone decided (from or to zero).
    pub decision: Option<Decision>,
    /// The next change, if the values stay.
    pub next: Option<NextChange>,
    /// The moment of the decision.
    pub now: Moment,
    /// Replicas after.
    pub result: i32,
}

/// Explains every scaler of the manifests, or the one named `name`.
///
/// # Errors
/// [`ExplainError`] when the manifests have faults, hold no such scaler, or a value cannot be used.
pub fn explain(
    loaded: &Loaded,
    name: Option<&str>,
    values: &Values,
    now: Moment,
) -> Result<Vec<Explanation>, ExplainError> {
    let mut explanations = Vec::new();
    let mut known = Vec::new();
    for set in &loaded.sets {
        for object in &set.objects {
            if !matches!(object.detail, Detail::Hpa(_) | Detail::ScaledObject(_)) {
                continue;
            }
            known.push(object.label());
            if name.is_some_and(|name| object.name() != name) {
                continue;
            }
            if let Some(fault) = object.faults.first() {
                let place = loaded.sources.place(fault.span);
                return Err(ExplainError::Faulty { place, label: object.label() });
            }
            explanations.push(one(loaded, set, object, values, now)?);
        }
    }
    if explanations.is_empty() {
        let which = name.map_or(String::new(), |name| format!(" of the name {name}"));
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(ExplainError::NoScaler { which, known });
    }
    all_used(values, &explanations, name)?;
    Ok(explanations)
}

/// A value that nothing looks at is most likely a slip: a misspelt metric, a pod beyond the last one.
fn all_used(values: &Values, explanations: &[Explanation], name: Option<&str>) -> Result<(), ExplainError> {
    let pods = explanations.iter().map(|explanation| explanation.replicas).max().unwrap_or(0);
    let beyond = |index: &&usize| i32::try_from(**index).map_or(true, |index| index >= pods);
    if let Some(index) = values.pods.keys().find(beyond) {
        let why = format!("there are {pods} pods, counted from 0; correct it, or give replicas=");
        return Err(ExplainError::Value { key: format!("pods.{index}"), why });
    }
    // Values for other scalers may stand beside; a trigger of KEDA's may be called by several names.
    if name.is_some() || explanations.iter().any(|explanation| explanation.keda.is_some()) {
        return Ok(());
    }
    let known: Vec<&str> = explanations.iter().flat_map(|e| &e.given).map(|(key, _)| key.as_str()).collect();
    let stray =
        values.readings.keys().find(|key| key.starts_with("metric.") && !known.contains(&key.as_str()));
    match stray {
        Some(key) => {
            let why = format!("no metric goes by it; there are: {}", known.join(", "));
            Err(ExplainError::Value { key: key.clone(), why })
        }
        None => Ok(()),
    }
}

fn one(
    loaded: &Loaded,
    set: &Set,
    object: &Object,
    values: &Values,
    now: Moment,
) -> Result<Explanation, ExplainError> {
    let place = loaded.sources.place(object.span());
    match &object.detail {
        Detail::Hpa(hpa) => {
            let spec = hpa.spec().ok_or_else(|| missing("maxReplicas", "the HPA needs it"))?;
            let replicas = replicas(values, &spec)?;
            let target = hpa.target.as_ref();
            let workload = target.and_then(|target| workload(set, object, &target.kind, &target.name.value));
            let (readings, given) = observe::hpa_readings(&hpa.metrics, workload, values, replicas, now);
            let observed = observe::observed(values, replicas, readings, now);
            let history = History::default();
            let decision = hpa::decide(&spec, &observed, &history, now);
            let next = hpa::next_change(&spec, &decision, &history, now);
            let target = target.map_or(String::new(), |t| format!("{}/{}", t.kind, t.name.value));
            let result = decision.replicas;
            let scaler = object.label();
            Ok(Explanation {
                scaler,
                place,
                target,
                replicas,
                least: spec.min_replicas,
                spec,
                given,
                keda: None,
                decision: Some(decision),
                next,
                now,
                result,
            })
        }
        Detail::ScaledObject(scaled) => {
            let keda_spec = scaled.spec();
            let spec = keda_spec.hpa();
            let replicas = replicas(values, &spec)?;
            let target = scaled.target.as_ref();
            let workload = target.and_then(|target| workload(set, object, &target.kind, &target.name.value));
            let (measured, given) = observe::measured(&scaled.triggers, values)?;
            // Past the cooldown with nothing active: what KEDA would do in the long run.
            let idle_since = now.plus_seconds(-keda_spec.cooldown_seconds.saturating_add(1));
            let state = keda::State { created: idle_since, last_active: Some(idle_since) };
            let poll = keda::poll(&keda_spec, state, replicas, &measured, now);
            let mut result = poll.replicas;
            let mut decision = None;
            let mut next = None;
            if poll.replicas > 0 {
                // What KEDA has just woken the HPA sees at its next sync.
                let current = if replicas > 0 { replicas } else { poll.replicas };
                let mut readings = keda_spec.readings(&measured, now);
                observe::resource_readings(&mut readings, &keda_spec, workload, values, current, now);
                let observed = observe::observed(values, current, readings, now);
                let history = History::default();
                let decided = hpa::decide(&spec, &observed, &history, now);
                if replicas > 0 {
                    next = hpa::next_change(&spec, &decided, &history, now);
                    result = decided.replicas;
                    decision = Some(decided);
                } else if decided.replicas != current {
                    next =
                        Some(NextChange { at: now.plus_seconds(SYNC_SECONDS), replicas: decided.replicas });
                }
            }
            let target = target.map_or(String::new(), |t| format!("{}/{}", t.kind, t.name.value));
            let scaler = object.label();
            Ok(Explanation {
                scaler,
                place,
                target,
                replicas,
                least: keda_spec.idle_replicas.unwrap_or(keda_spec.min_replicas),
                spec,
                given,
                keda: Some(poll),
                decision,
                next,
                now,
                result,
            })
        }
        _ => Err(missing("kind", "only an HPA or a ScaledObject can be explained")),
    }
}

fn missing(key: &str, why: &str) -> ExplainError {
    ExplainError::Value { key: key.to_owned(), why: why.to_owned() }
}

fn replicas(values: &Values, spec: &hpa::Spec) -> Result<i32, ExplainError> {
    let replicas = values.replicas.unwrap_or(spec.min_replicas.max(1));
    if !(0..=MOST_REPLICAS).contains(&replicas) {
        return Err(missing(
            "replicas",
            &format!("write a number from 0 to {MOST_REPLICAS}, such as replicas=5"),
        ));
    }
    Ok(replicas)
}

/// The workload that a scaler points at, if it is in the set.
fn workload<'a>(set: &'a Set, from: &Object, kind: &str, name: &str) -> Option<&'a Workload> {
    set.objects
        .iter()
        .filter(|object| object.kind == kind && object.name() == name && object.shares_namespace(from))
        .find_map(Object::workload)
}

/// The key under which a metric's value is given.
fn key_of(metric: &Metric) -> String {
    use crate::manifest::MetricSource;
    match metric.source {
        MetricSource::Resource | MetricSource::ContainerResource => metric.label().to_owned(),
        MetricSource::Pods | MetricSource::Object | MetricSource::External => {
            format!("metric.{}", metric.label())
        }
    }
}

#[cfg(test)]
mod tests;
