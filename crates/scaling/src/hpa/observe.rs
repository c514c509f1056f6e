//! What the controller sees at one sync: replicas, pods and the readings of each metric.
//!
//! A reading belongs to the metric of the same index in `spec.metrics`; per-pod samples belong to
//! the pod of the same index in `pods`. A list that is too short counts as "nothing there", never
//! as an error of the engine.

use crate::moment::Moment;

/// Everything one sync looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// `scale.spec.replicas`: what was last asked for.
    pub spec_replicas: i32,
    /// `scale.status.replicas`: what exists. AverageValue of Object and External divides by it.
    pub status_replicas: i32,
    /// The pods that the target's selector finds.
    pub pods: Vec<Pod>,
    /// One reading for each metric of the spec, in its order.
    pub readings: Vec<Reading>,
    /// The HPA's ScaledToZero condition before this sync.
    pub scaled_to_zero: Option<ConditionStatus>,
    /// Whether the pods belong to this HPA alone.
    pub selector: Selector,
}

/// A pod as the HPA sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    /// Its name, for messages only.
    pub name: String,
    /// `status.phase`.
    pub phase: Phase,
    /// A deletion timestamp is set.
    pub deleting: bool,
    /// The Ready condition, if the pod has one.
    pub ready: Option<ReadyCondition>,
    /// `status.startTime`, if the kubelet has seen the pod.
    pub started: Option<Moment>,
}

impl Pod {
    /// A pod that runs, is ready and has been so for ever.
    #[must_use]
    pub fn steady(name: impl Into<String>) -> Self {
        Pod {
            name: name.into(),
            phase: Phase::Running,
            deleting: false,
            ready: Some(ReadyCondition { status: ConditionStatus::True, since: Moment::UNSET }),
            started: Some(Moment::UNSET),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.is_some_and(|ready| ready.status == ConditionStatus::True)
    }
}

/// The Ready condition of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyCondition {
    /// Whether it is ready.
    pub status: ConditionStatus,
    /// The last change of the status.
    pub since: Moment,
}

/// Status of a Kubernetes condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody knows.
    Unknown,
}

/// `status.phase` of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Accepted, not all containers started.
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well. The controller treats it like a running pod.
    Succeeded,
    /// A container ended badly and stays so.
    Failed,
    /// The node does not answer.
    Unknown,
}

/// What the metrics API answered for one metric.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// For Resource, ContainerResource and Pods metrics.
    PerPod {
        /// Sample of the pod of the same index; `None` where the API had none. An API that had none
        /// at all is [`ReadingError::NoMetrics`].
        samples: Vec<Option<Sample>>,
        /// The request of the pod of the same index for the metric's resource (of the named
        /// container, if one is named). Looked at for Utilization only.
        requests: Vec<Request>,
        /// Samples of pods that the selector did not find; the controller counts them in places.
        strays: Vec<i64>,
    },
    /// For Object (its first) and External metrics (their sum), in thousandths.
    Series(Vec<i64>),
    /// The API gave no usable answer.
    Failed(ReadingError),
}

/// Why a metric has no reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadingError {
    /// The API answered with an empty list, or knows no such metric.
    NoMetrics,
    /// The API could not be reached or refused.
    Api(String),
}

/// One pod's sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The value in thousandths.
    pub milli: i64,
    /// The end of the window it was measured over.
    pub at: Moment,
    /// The length of that window in milliseconds.
    pub window_millis: i64,
}

/// What a pod requests of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The sum over its containers, in thousandths.
    Milli(i64),
    /// This container has no request; a Utilization metric cannot be computed.
    MissingIn(Box<str>),
    /// The pod has no container of the name that the metric names.
    NoSuchContainer,
}

/// Whether the target's selector is this HPA's alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selector {
    /// No other HPA selects these pods.
    #[default]
    Unique,
    /// Other HPAs select them too; none of them acts.
    Ambiguous {
        /// Names of all HPAs that select them.
        hpas: Vec<String>,
    },
}
