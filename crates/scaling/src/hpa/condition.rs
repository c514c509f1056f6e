//! The conditions of an HPA, with reasons and messages in the controller's words.

use std::fmt;

use super::observe::ConditionStatus;

/// The conditions one sync sets. What an earlier sync set and this one did not touch is not here,
/// except ScaledToZero, which is an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// AbleToScale: always set.
    pub able_to_scale: Condition,
    /// ScalingActive: set unless a bound was corrected without looking at metrics.
    pub scaling_active: Option<Condition>,
    /// ScalingLimited: set when metrics were computed.
    pub scaling_limited: Option<Condition>,
    /// ScaledToZero: with its gate on only.
    pub scaled_to_zero: Option<Condition>,
}

impl Conditions {
    /// The conditions that are set, each with its kind.
    pub fn iter(&self) -> impl Iterator<Item = (ConditionKind, Condition)> {
        [
            (ConditionKind::AbleToScale, Some(self.able_to_scale)),
            (ConditionKind::ScalingActive, self.scaling_active),
            (ConditionKind::ScalingLimited, self.scaling_limited),
            (ConditionKind::ScaledToZero, self.scaled_to_zero),
        ]
        .into_iter()
        .filter_map(|(kind, condition)| condition.map(|condition| (kind, condition)))
    }
}

/// Status and reason of one condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why.
    pub reason: Reason,
}

impl Condition {
    pub(super) const fn holds(reason: Reason) -> Self {
        Condition { status: ConditionStatus::True, reason }
    }

    pub(super) const fn fails(reason: Reason) -> Self {
        Condition { status: ConditionStatus::False, reason }
    }
}

/// `type` of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionKind {
    /// Whether the target can be scaled.
    AbleToScale,
    /// Whether the metrics give a number.
    ScalingActive,
    /// Whether bounds or rates cut the number.
    ScalingLimited,
    /// Whether the HPA itself scaled the target to zero.
    ScaledToZero,
}

impl fmt::Display for ConditionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConditionKind::AbleToScale => "AbleToScale",
            ConditionKind::ScalingActive => "ScalingActive",
            ConditionKind::ScalingLimited => "ScalingLimited",
            ConditionKind::ScaledToZero => "ScaledToZero",
        })
    }
}

macro_rules! reasons {
    ($($name:ident: $message:literal,)*) => {
        /// `reason` of a condition; `Display` gives the controller's word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $(#[doc = concat!("\"", $message, "\"")] $name,)*
        }

        impl Reason {
            /// What the controller writes beside the reason.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Reason::$name => $message,)* }
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Reason::$name => stringify!($name),)* })
            }
        }
    };
}

reasons! {
    SucceededGetScale: "the HPA controller was able to get the target's current scale",
    SucceededRescale: "the HPA controller was able to update the target scale",
    ReadyForNewScale: "recommended size matches current size",
    ScaleDownStabilized: "recent recommendations were higher than current one, applying the highest recent recommendation",
    ScaleUpStabilized: "recent recommendations were lower than current one, applying the lowest recent recommendation",
    ScalingDisabled: "scaling is disabled since the replica count of the target is zero",
    ValidMetricFound: "the HPA was able to successfully calculate a replica count",
    AmbiguousSelector: "pods by the target's selector are controlled by several HPAs",
    InvalidMetricSourceType: "the HPA was unable to compute the replica count: unknown metric source type",
    FailedGetResourceMetric: "the HPA was unable to compute the replica count: failed to get resource metric",
    FailedGetContainerResourceMetric: "the HPA was unable to compute the replica count: failed to get container resource metric",
    FailedGetPodsMetric: "the HPA was unable to compute the replica count: failed to get pods metric",
    FailedGetObjectMetric: "the HPA was unable to compute the replica count: failed to get object metric",
    FailedGetExternalMetric: "the HPA was unable to compute the replica count: failed to get external metric",
    NoMetrics: "the HPA has no metrics",
    DesiredWithinRange: "the desired count is within the acceptable range",
    ScaleUpLimit: "the desired replica count is increasing faster than the maximum scale rate",
    ScaleDownLimit: "the desired replica count is decreasing faster than the maximum scale rate",
    TooManyReplicas: "the desired replica count is more than the maximum replica count",
    TooFewReplicas: "the desired replica count is less than the minimum replica count",
    ScaledToZero: "the HPA controller scaled the workload to zero",
    NotScaledToZero: "the HPA controller did not scale the workload to zero",
}
