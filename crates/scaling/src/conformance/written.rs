//! The pieces that several kinds of cases share, as the files write them.

use serde::{Deserialize, Deserializer};

use crate::hpa::{
    Behavior, ConditionStatus, Event, Phase, Pod, Policy, PolicyKind, ReadyCondition, Recommendation,
    RulesAsWritten, Sample, SelectPolicy, Tolerance,
};
use crate::moment::Moment;
use crate::quantity::Quantity;

/// The moment every case happens at.
pub(super) const NOW: Moment = Moment::from_millis(1_700_000_000_000);

/// Seconds, possibly with a fraction, as whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        #[expect(clippy::cast_possible_truncation, reason = "float to int casts saturate")]
        let millis = (seconds * 1000.0).round() as i64;
        Ok(Seconds(millis))
    }
}

impl Seconds {
    /// The moment this long ago.
    pub(super) fn ago(self) -> Moment {
        NOW.plus_millis(self.0.saturating_neg())
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct RecommendationWritten {
    age_s: Seconds,
    recommendation: i32,
}

pub(super) fn recommendations(written: &[RecommendationWritten]) -> Vec<Recommendation> {
    written.iter().map(|r| Recommendation { replicas: r.recommendation, at: r.age_s.ago() }).collect()
}

#[derive(Debug, Deserialize)]
pub(super) struct EventWritten {
    age_s: Seconds,
    replica_change: i32,
}

pub(super) fn events(written: Option<&[EventWritten]>) -> Vec<Event> {
    let events = written.unwrap_or_default().iter();
    events.map(|event| Event { change: event.replica_change, at: event.age_s.ago() }).collect()
}

/// `spec.behavior` as a user writes it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct BehaviorWritten {
    #[serde(rename = "scaleUp")]
    scale_up: Option<RulesWritten>,
    #[serde(rename = "scaleDown")]
    scale_down: Option<RulesWritten>,
}

impl BehaviorWritten {
    pub(super) fn defaulted(&self, window_seconds: i32) -> Behavior {
        behavior(self.scale_up.as_ref(), self.scale_down.as_ref(), window_seconds)
    }
}

/// One direction of `spec.behavior`.
#[derive(Debug, Deserialize)]
pub(super) struct RulesWritten {
    #[serde(rename = "stabilizationWindowSeconds")]
    stabilization_window_seconds: Option<i32>,
    #[serde(rename = "selectPolicy")]
    select_policy: Option<SelectWritten>,
    policies: Option<Vec<PolicyWritten>>,
    tolerance: Option<QuantityWritten>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum SelectWritten {
    Max,
    Min,
    Disabled,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct PolicyWritten {
    #[serde(rename = "type")]
    kind: PolicyKindWritten,
    value: i32,
    #[serde(rename = "periodSeconds")]
    period_seconds: i32,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum PolicyKindWritten {
    Pods,
    Percent,
}

impl RulesWritten {
    fn as_written(&self) -> RulesAsWritten {
        let policy = |written: &PolicyWritten| Policy {
            kind: match written.kind {
                PolicyKindWritten::Pods => PolicyKind::Pods,
                PolicyKindWritten::Percent => PolicyKind::Percent,
            },
            value: written.value,
            period_seconds: written.period_seconds,
        };
        RulesAsWritten {
            stabilization_seconds: self.stabilization_window_seconds,
            select: self.select_policy.map(|select| match select {
                SelectWritten::Max => SelectPolicy::Max,
                SelectWritten::Min => SelectPolicy::Min,
                SelectWritten::Disabled => SelectPolicy::Disabled,
            }),
            policies: self.policies.as_ref().map(|policies| policies.iter().map(policy).collect()),
            tolerance: self
                .tolerance
                .and_then(|QuantityWritten(tolerance)| Tolerance::new(tolerance.as_f64())),
        }
    }
}

pub(super) fn behavior(
    up: Option<&RulesWritten>,
    down: Option<&RulesWritten>,
    window_seconds: i32,
) -> Behavior {
    Behavior::defaulted(up.map(RulesWritten::as_written), down.map(RulesWritten::as_written), window_seconds)
}

/// A Kubernetes quantity, as text or as a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct QuantityWritten(pub(super) Quantity);

impl<'de> Deserialize<'de> for QuantityWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            other => return Err(serde::de::Error::custom(format!("{other} is not a quantity"))),
        };
        text.parse()
            .map(QuantityWritten)
            .map_err(|error| serde::de::Error::custom(format!("{text:?} is not a quantity: {error}")))
    }
}

/// The lists that describe pods, one entry a pod; a list that is absent or short leaves defaults.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PodsWritten {
    pub(super) pod_phase: Option<Vec<PhaseWritten>>,
    pod_ready: Option<Vec<StatusWritten>>,
    pod_age_s: Option<Vec<Seconds>>,
    pod_deleting: Option<Vec<bool>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) enum PhaseWritten {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) enum StatusWritten {
    True,
    False,
    Unknown,
}

impl StatusWritten {
    pub(super) fn status(self) -> ConditionStatus {
        match self {
            StatusWritten::True => ConditionStatus::True,
            StatusWritten::False => ConditionStatus::False,
            StatusWritten::Unknown => ConditionStatus::Unknown,
        }
    }
}

impl PodsWritten {
    /// `test-pod-0` to `test-pod-<count - 1>`.
    pub(super) fn pods(&self, count: usize) -> Vec<Pod> {
        (0..count).map(|index| self.pod(index)).collect()
    }

    fn pod(&self, index: usize) -> Pod {
        let mut pod = Pod::steady(format!("test-pod-{index}"));
        if let Some(phase) = nth(self.pod_phase.as_deref(), index) {
            pod.phase = match phase {
                PhaseWritten::Pending => Phase::Pending,
                PhaseWritten::Running => Phase::Running,
                PhaseWritten::Succeeded => Phase::Succeeded,
                PhaseWritten::Failed => Phase::Failed,
                PhaseWritten::Unknown => Phase::Unknown,
            };
        }
        if let Some(ready) = nth(self.pod_ready.as_deref(), index) {
            pod.ready = Some(ReadyCondition { status: ready.status(), since: Moment::UNSET });
        }
        if let Some(age) = nth(self.pod_age_s.as_deref(), index) {
            pod.started = Some(age.ago());
        }
        pod.deleting = nth(self.pod_deleting.as_deref(), index).unwrap_or(false);
        pod
    }
}

fn nth<T: Copy>(list: Option<&[T]>, index: usize) -> Option<T> {
    list.and_then(|list| list.get(index)).copied()
}

/// Splits samples into those of the first `pods` pods and those of pods nobody selected.
pub(super) fn samples(
    values: &[Option<i64>],
    pods: usize,
    at: Moment,
    window_millis: i64,
) -> (Vec<Option<Sample>>, Vec<i64>) {
    let known = values.iter().take(pods);
    let known = known.map(|value| value.map(|milli| Sample { milli, at, window_millis })).collect();
    let strays = values.iter().skip(pods).flatten().copied().collect();
    (known, strays)
}
