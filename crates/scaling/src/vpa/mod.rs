//! The VerticalPodAutoscaler's recommender, exactly, and what its updater would do.
//!
//! Usage samples go into [`ContainerUsage`]: CPU into a decaying histogram, memory as one peak a
//! day. [`recommend`] reads target, lower and upper bound from them; [`Spec`] caps and filters; and
//! [`update`] says whether the updater would touch a pod, and why not. [`conflicts`] finds the HPA
//! that scales on what the VPA changes.
//!
//! Promised: the recommender's integers (`conformance` runs its recorded cases), also where they
//! hang on the last bit of a float: powers and exponentials are computed as Go computes them. Memory
//! is bounded by the number of buckets, whatever the number of samples.
//!
//! It knows no manifests and no metrics source.
//!
//! Upstream: `vertical-pod-autoscaler/pkg/recommender` and `pkg/updater` of kubernetes/autoscaler,
//! before 2026-05-01.

mod conflict;
mod go_math;
mod histogram;
mod policy;
mod recommend;
mod update;
mod usage;

pub use conflict::{Conflict, conflicts};
pub use histogram::Histogram;
pub use policy::{
    Amounts, ContainerPolicy, ContainerScope, Controlled, ControlledValues, ScalingMode, Spec, UpdateMode,
};
pub use recommend::{Bounds, Config, Percentiles, Recommendation, recommend};
pub use update::{LivePod, NotUpdated, Updated, Updater, evictable, update};
pub use usage::{ContainerUsage, OomError};
