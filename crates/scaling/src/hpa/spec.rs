//! What an HPA asks for, and the controller's own settings.
//!
//! Values are plain and already defaulted (`minReplicas` 1, behavior rules filled in). Quantities
//! are thousandths, as the controller computes with `MilliValue`. [`Spec::faults`] names what the
//! API server would refuse; [`super::decide`] stays total on such a spec all the same.

use std::fmt;

use super::behavior::{Behavior, Rules};

/// One HPA and the settings of the controller that runs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// `spec.minReplicas`; 1 where the manifest is silent.
    pub min_replicas: i32,
    /// `spec.maxReplicas`.
    pub max_replicas: i32,
    /// `spec.metrics` in the manifest's order.
    pub metrics: Vec<Metric>,
    /// `spec.behavior`, defaulted. `None` is a code path of its own, not a default behavior.
    pub behavior: Option<Behavior>,
    /// The flags of the controller.
    pub controller: Controller,
}

/// One entry of `spec.metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metric {
    /// Usage of a resource by whole pods.
    Resource {
        /// The resource.
        resource: Resource,
        /// What is aimed at.
        target: ResourceTarget,
    },
    /// Usage of a resource by one container of each pod.
    ContainerResource {
        /// The container's name.
        container: String,
        /// The resource.
        resource: Resource,
        /// What is aimed at.
        target: ResourceTarget,
    },
    /// A custom metric of each pod; its target is an average only.
    Pods {
        /// The metric's name.
        name: String,
        /// Target for the average over pods, in thousandths.
        average_milli: i64,
    },
    /// A custom metric of one other object.
    Object {
        /// The metric's name.
        name: String,
        /// The object, as `Kind/name`.
        described: String,
        /// What is aimed at.
        target: ValueTarget,
    },
    /// A metric of something outside the cluster, summed over its series.
    External {
        /// The metric's name.
        name: String,
        /// What is aimed at.
        target: ValueTarget,
    },
    /// A `type` that the controller does not know; always fails.
    Unknown {
        /// The type as written.
        source: String,
    },
}

/// A resource name. Only CPU has the readiness rules of [`super::classify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// `cpu`, in millicores.
    Cpu,
    /// `memory`, in thousandths of a byte.
    Memory,
    /// Any other resource.
    Named(String),
}

impl Resource {
    /// The resource with this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "cpu" => Resource::Cpu,
            "memory" => Resource::Memory,
            other => Resource::Named(other.to_owned()),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::Cpu => "cpu",
            Resource::Memory => "memory",
            Resource::Named(name) => name,
        })
    }
}

/// Target of a Resource or ContainerResource metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceTarget {
    /// `averageUtilization`: percent of the request.
    Utilization(i32),
    /// `averageValue`, in thousandths.
    AverageMilli(i64),
    /// Neither is set; the metric fails.
    Unset,
}

/// Target of an Object or External metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueTarget {
    /// `value`, in thousandths.
    Milli(i64),
    /// `averageValue`, in thousandths.
    AverageMilli(i64),
    /// Neither is set; the metric fails.
    Unset,
}

/// How far a ratio may be from 1 without a change: finite and not negative.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Tolerance(f64);

impl Tolerance {
    /// The controller's default, 0.1.
    pub const DEFAULT: Tolerance = Tolerance(0.1);

    /// `None` for what is negative, infinite or not a number.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value >= 0.0).then_some(Tolerance(value))
    }

    /// The fraction.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// The tolerance of each direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerances {
    /// Applies to ratios above 1.
    pub up: Tolerance,
    /// Applies to ratios below 1.
    pub down: Tolerance,
}

impl Tolerances {
    /// Inclusive on both sides: 45 of 50 is 0.9 and stays. An undefined ratio is never within.
    #[must_use]
    pub fn hold(self, ratio: f64) -> bool {
        (1.0 - self.down.0) <= ratio && ratio <= (1.0 + self.up.0)
    }
}

/// Flags of the controller manager that a decision depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Controller {
    /// `--horizontal-pod-autoscaler-tolerance`.
    pub tolerance: Tolerance,
    /// `--horizontal-pod-autoscaler-downscale-stabilization`, in seconds.
    pub downscale_window_seconds: i32,
    /// `--horizontal-pod-autoscaler-cpu-initialization-period`, in seconds.
    pub cpu_initialization_seconds: i64,
    /// `--horizontal-pod-autoscaler-initial-readiness-delay`, in seconds.
    pub initial_readiness_delay_seconds: i64,
    /// Without behavior a step up ends at this multiple of the current replicas (and at least at 4).
    /// A constant of the controller, 2; below 1 it counts as 1.
    pub upscale_limit_factor: f64,
    /// Feature gates.
    pub gates: Gates,
}

impl Default for Controller {
    fn default() -> Self {
        Controller {
            tolerance: Tolerance::DEFAULT,
            downscale_window_seconds: 300,
            cpu_initialization_seconds: 300,
            initial_readiness_delay_seconds: 30,
            upscale_limit_factor: 2.0,
            gates: Gates { scale_to_zero: false, configurable_tolerance: true },
        }
    }
}

/// Feature gates of the HPA, with the defaults of 1.36 in [`Controller::default`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gates {
    /// `HPAScaleToZero`: off up to 1.36, on from 1.37.
    pub scale_to_zero: bool,
    /// `HPAConfigurableTolerance`: on from 1.35. Off: a tolerance in behavior is ignored.
    pub configurable_tolerance: bool,
}

impl Spec {
    /// The tolerance of each direction: the HPA's own where it has one and the gate is on.
    #[must_use]
    pub fn tolerances(&self) -> Tolerances {
        let own = |rules: fn(&Behavior) -> &Rules| {
            self.behavior
                .as_ref()
                .filter(|_| self.controller.gates.configurable_tolerance)
                .and_then(|behavior| rules(behavior).tolerance)
                .unwrap_or(self.controller.tolerance)
        };
        Tolerances { up: own(|b| &b.up), down: own(|b| &b.down) }
    }

    /// Whether a metric keeps its meaning at zero replicas: Object and External ones do.
    #[must_use]
    pub fn has_object_or_external_metric(&self) -> bool {
        self.metrics.iter().any(|m| matches!(m, Metric::Object { .. } | Metric::External { .. }))
    }

    /// What the API server would refuse, in the order of the fields.
    #[must_use]
    pub fn faults(&self) -> Vec<SpecFault> {
        let mut faults = Vec::new();
        if self.min_replicas < 0 {
            faults.push(SpecFault::MinNegative);
        }
        if self.min_replicas == 0 && !self.has_object_or_external_metric() {
            faults.push(SpecFault::ZeroWithoutExternalMetric);
        }
        if self.min_replicas == 0 && !self.controller.gates.scale_to_zero {
            faults.push(SpecFault::ZeroWithoutGate);
        }
        if self.max_replicas < 1 {
            faults.push(SpecFault::MaxNotPositive);
        }
        if self.max_replicas < self.min_replicas {
            faults.push(SpecFault::MaxBelowMin);
        }
        for (index, metric) in self.metrics.iter().enumerate() {
            if !metric.target_is_positive() {
                faults.push(SpecFault::TargetNotPositive { metric: index });
            }
        }
        if let Some(behavior) = &self.behavior {
            for (direction, rules) in behavior.each() {
                rules.faults(direction, &mut faults);
            }
        }
        faults
    }
}

impl Metric {
    fn target_is_positive(&self) -> bool {
        match self {
            Metric::Resource { target, .. } | Metric::ContainerResource { target, .. } => match target {
                ResourceTarget::Utilization(percent) => *percent > 0,
                ResourceTarget::AverageMilli(milli) => *milli > 0,
                ResourceTarget::Unset => false,
            },
            Metric::Pods { average_milli, .. } => *average_milli > 0,
            Metric::Object { target, .. } | Metric::External { target, .. } => match target {
                ValueTarget::Milli(milli) | ValueTarget::AverageMilli(milli) => *milli > 0,
                ValueTarget::Unset => false,
            },
            Metric::Unknown { .. } => false,
        }
    }
}

impl fmt::Display for Metric {
    /// The controller's own name of the metric, as in its messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Metric::Resource { resource, target: ResourceTarget::Utilization(_) } => {
                write!(f, "{resource} resource utilization (percentage of request)")
            }
            Metric::Resource { resource, .. } => write!(f, "{resource} resource"),
            Metric::ContainerResource { container, resource, target: ResourceTarget::Utilization(_) } => {
                write!(f, "{resource} container resource utilization (percentage of request) of {container}")
            }
            Metric::ContainerResource { container, resource, .. } => {
                write!(f, "{resource} container resource of {container}")
            }
            Metric::Pods { name, .. } => write!(f, "pods metric {name}"),
            Metric::Object { name, described, .. } => write!(f, "{described} metric {name}"),
            Metric::External { name, .. } => write!(f, "external metric {name}"),
            Metric::Unknown { source } => write!(f, "metric of unknown type {source:?}"),
        }
    }
}

/// Something the API server refuses in an HPA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpecFault {
    /// `minReplicas` below 0.
    #[error("minReplicas must not be negative")]
    MinNegative,
    /// `minReplicas` 0 with nothing that can be measured at 0 replicas.
    #[error("minReplicas 0 needs at least one Object or External metric")]
    ZeroWithoutExternalMetric,
    /// `minReplicas` 0 where the cluster does not allow it.
    #[error("minReplicas 0 needs the HPAScaleToZero gate (off up to Kubernetes 1.36)")]
    ZeroWithoutGate,
    /// `maxReplicas` below 1.
    #[error("maxReplicas must be greater than 0")]
    MaxNotPositive,
    /// `maxReplicas` below `minReplicas`.
    #[error("maxReplicas must not be less than minReplicas")]
    MaxBelowMin,
    /// A target that is absent, zero or negative.
    #[error("metrics[{metric}]: the target must be set and positive")]
    TargetNotPositive {
        /// Index into `spec.metrics`.
        metric: usize,
    },
    /// A stabilization window outside 0..=3600.
    #[error("behavior.{direction}.stabilizationWindowSeconds must be from 0 to 3600")]
    WindowOutOfRange {
        /// Which rules.
        direction: super::Direction,
    },
    /// An empty policy list.
    #[error("behavior.{direction}.policies must not be empty")]
    NoPolicies {
        /// Which rules.
        direction: super::Direction,
    },
    /// A policy value below 1.
    #[error("behavior.{direction}.policies[{policy}].value must be greater than 0")]
    PolicyValueNotPositive {
        /// Which rules.
        direction: super::Direction,
        /// Index of the policy.
        policy: usize,
    },
    /// A policy period outside 1..=1800.
    #[error("behavior.{direction}.policies[{policy}].periodSeconds must be from 1 to 1800")]
    PeriodOutOfRange {
        /// Which rules.
        direction: super::Direction,
        /// Index of the policy.
        policy: usize,
    },
}
