//! VerticalPodAutoscaler v1.

use crate::quantity::Quantity;
use crate::read::{Node, Span};

use super::hpa::TargetRef;
use super::value::{At, integer, quantity, text, texts};

/// A VPA as written.
#[derive(Debug, Clone)]
pub struct Vpa {
    /// What it sizes.
    pub target: Option<TargetRef>,
    /// `updatePolicy.updateMode`; absent means Recreate.
    pub mode: Option<At<String>>,
    /// `updatePolicy.minReplicas`.
    pub min_replicas: Option<At<i64>>,
    /// `resourcePolicy.containerPolicies`.
    pub containers: Vec<ContainerPolicy>,
}

/// The policy of one container, or of all others (`*`).
#[derive(Debug, Clone)]
pub struct ContainerPolicy {
    /// The whole entry.
    pub span: Span,
    /// `containerName`.
    pub name: Option<At<String>>,
    /// `mode`.
    pub mode: Option<At<String>>,
    /// `minAllowed.cpu`, `minAllowed.memory`.
    pub min: [Option<At<Quantity>>; 2],
    /// `maxAllowed.cpu`, `maxAllowed.memory`.
    pub max: [Option<At<Quantity>>; 2],
    /// `controlledValues`; absent means requests and limits.
    pub values: Option<At<String>>,
    /// `controlledResources`; `None` means both.
    pub controlled: Option<Vec<At<String>>>,
}

impl Vpa {
    pub(crate) fn of(root: &Node) -> Self {
        let spec = root.get("spec");
        let policies = spec
            .and_then(|spec| spec.at(&["resourcePolicy", "containerPolicies"]))
            .map_or(&[][..], Node::items);
        Self {
            target: spec.and_then(|spec| spec.get("targetRef")).and_then(|node| TargetRef::of(node, "")),
            mode: spec.and_then(|spec| text(spec, &["updatePolicy", "updateMode"])),
            min_replicas: spec.and_then(|spec| integer(spec, &["updatePolicy", "minReplicas"])),
            containers: policies.iter().map(ContainerPolicy::of).collect(),
        }
    }

    /// Whether the updater may evict or resize running pods.
    pub fn acts_on_running_pods(&self) -> bool {
        !matches!(self.mode.as_ref().map(|mode| mode.value.as_str()), Some("Off" | "off" | "Initial"))
    }

    /// Whether it changes what pods request, at their start or later.
    pub fn changes_requests(&self) -> bool {
        !matches!(self.mode.as_ref().map(|mode| mode.value.as_str()), Some("Off" | "off"))
    }

    /// Whether some container's `resource` is under its control.
    pub fn controls(&self, resource: &str) -> bool {
        let on = |policy: &ContainerPolicy| {
            policy.mode.as_ref().is_none_or(|mode| mode.value != "Off")
                && policy
                    .controlled
                    .as_ref()
                    .is_none_or(|names| names.iter().any(|name| name.value == resource))
        };
        self.containers.is_empty() || self.containers.iter().any(on)
    }
}

impl ContainerPolicy {
    fn of(node: &Node) -> Self {
        let bounds = |key: &str| [quantity(node, &[key, "cpu"]), quantity(node, &[key, "memory"])];
        Self {
            span: node.span,
            name: text(node, &["containerName"]),
            mode: text(node, &["mode"]),
            min: bounds("minAllowed"),
            max: bounds("maxAllowed"),
            values: text(node, &["controlledValues"]),
            controlled: node.get("controlledResources").map(|_| texts(node, &["controlledResources"])),
        }
    }
}
