//! KEDA's ScaledObject v1alpha1.

use crate::read::{Node, Span};

use super::hpa::{Behavior, TargetRef};
use super::value::{At, integer, pairs, text};

/// A ScaledObject as written.
#[derive(Debug, Clone)]
pub struct ScaledObject {
    /// What it scales.
    pub target: Option<TargetRef>,
    /// `minReplicaCount`; absent means 0.
    pub min: Option<At<i64>>,
    /// `maxReplicaCount`; absent means 100.
    pub max: Option<At<i64>>,
    /// `idleReplicaCount`.
    pub idle: Option<At<i64>>,
    /// `pollingInterval`, in seconds; absent means 30.
    pub polling: Option<At<i64>>,
    /// `cooldownPeriod`, in seconds; absent means 300.
    pub cooldown: Option<At<i64>>,
    /// `triggers`.
    pub triggers: Vec<Trigger>,
    /// `advanced.horizontalPodAutoscalerConfig.behavior`.
    pub behavior: Option<Behavior>,
    /// `fallback.replicas`.
    pub fallback: Option<At<i64>>,
    /// `fallback.failureThreshold`.
    pub fallback_threshold: Option<At<i64>>,
    /// Whether a formula combines the triggers.
    pub formula: bool,
}

/// One trigger.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// The whole entry.
    pub span: Span,
    /// `type`.
    pub kind: At<String>,
    /// `name`.
    pub name: Option<At<String>>,
    /// `metricType`.
    pub metric_type: Option<At<String>>,
    /// `metadata`, in the order of the text.
    pub metadata: Vec<(String, At<String>)>,
    /// Where `metadata` stands.
    pub metadata_span: Option<Span>,
    /// Whether an `authenticationRef` may bring further values.
    pub authenticated: bool,
}

impl ScaledObject {
    pub(crate) fn of(root: &Node) -> Self {
        let empty = Node { span: root.span, value: crate::read::Value::Null };
        let spec = root.get("spec").unwrap_or(&empty);
        let triggers = spec.get("triggers").map_or(&[][..], Node::items);
        Self {
            target: spec.get("scaleTargetRef").and_then(|node| TargetRef::of(node, "Deployment")),
            min: integer(spec, &["minReplicaCount"]),
            max: integer(spec, &["maxReplicaCount"]),
            idle: integer(spec, &["idleReplicaCount"]),
            polling: integer(spec, &["pollingInterval"]),
            cooldown: integer(spec, &["cooldownPeriod"]),
            triggers: triggers.iter().filter_map(Trigger::of).collect(),
            behavior: spec.at(&["advanced", "horizontalPodAutoscalerConfig", "behavior"]).map(Behavior::of),
            fallback: integer(spec, &["fallback", "replicas"]),
            fallback_threshold: integer(spec, &["fallback", "failureThreshold"]),
            formula: spec.at(&["advanced", "scalingModifiers", "formula"]).is_some(),
        }
    }

    /// `minReplicaCount`, defaulted.
    pub fn min_replicas(&self) -> i64 {
        self.min.as_ref().map_or(0, |min| min.value)
    }

    /// `maxReplicaCount`, defaulted.
    pub fn max_replicas(&self) -> i64 {
        self.max.as_ref().map_or(100, |max| max.value)
    }
}

impl Trigger {
    fn of(node: &Node) -> Option<Self> {
        Some(Self {
            span: node.span,
            kind: text(node, &["type"])?,
            name: text(node, &["name"]),
            metric_type: text(node, &["metricType"]),
            metadata: pairs(node, &["metadata"]),
            metadata_span: node.get("metadata").map(|node| node.span),
            authenticated: node.get("authenticationRef").is_some(),
        })
    }

    /// A value of `metadata`.
    pub fn get(&self, key: &str) -> Option<&At<String>> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}
