//! The HorizontalPodAutoscaler v2 as its controller behaves in Kubernetes 1.36, quirks included.
//!
//! One sync is `decide(spec, observed, history, now)`: each metric becomes a proposal, the largest
//! wins, history steadies it, rate limits and bounds cut it. The [`Decision`] says what was decided
//! and every step of why, and what has to be remembered; [`History::remember`] remembers it.
//!
//! Promised: the figures and reasons of the controller (`conformance` runs its recorded cases);
//! truncation where the controller truncates; sums saturate at `i64`, replicas at `i32`; ages are
//! whole milliseconds. A decision allocates a few small vectors and formats no text.
//!
//! It knows no manifests: whoever reads them makes a [`Spec`].
//!
//! Upstream: `pkg/controller/podautoscaler` of Kubernetes 1.36.2 (`horizontal.go`,
//! `replica_calculator.go`, `metrics/utilization.go`).

mod arithmetic;
mod behavior;
mod bound;
mod classify;
mod combine;
mod condition;
mod decide;
mod history;
mod message;
mod metric;
mod next_change;
mod observe;
mod per_pod;
mod spec;
mod value;

pub use behavior::{Behavior, Direction, Policy, PolicyKind, Rules, RulesAsWritten, SelectPolicy};
pub use bound::{
    Bounded, Limit, LimitKind, Stabilized, Steadiness, bound, limit_by_behavior, limit_by_default,
    stabilize_by_behavior, stabilize_by_default,
};
pub use classify::{PodClass, PodCounts, classify};
pub use combine::Combined;
pub use condition::{Condition, ConditionKind, Conditions, Reason};
pub use decide::{Decision, Path, Rescale, RescaleReason, decide};
pub use history::{Event, History, Recommendation, Remembered, change_within};
pub use message::RescaleEvent;
pub use metric::{Filled, MetricError, MetricOutcome, MissingAs, Proposal, Usage, Verdict, propose};
pub use next_change::{NextChange, next_change};
pub use observe::{
    ConditionStatus, Observed, Phase, Pod, Reading, ReadingError, ReadyCondition, Request, Sample, Selector,
};
pub use spec::{
    Controller, Gates, Metric, Resource, ResourceTarget, Spec, SpecFault, Tolerance, Tolerances, ValueTarget,
};
