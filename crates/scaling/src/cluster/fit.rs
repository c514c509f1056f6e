//! Why a pod does not fit on a node.

use super::model::{Effect, Node, Workload};

/// The first filter that refuses a pod on a node, in the scheduler's order. `Display` is the
/// scheduler's phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum NoFit {
    /// A taint that it does not tolerate.
    #[error("had untolerated taint")]
    Taint,
    /// `nodeSelector` or required node affinity.
    #[error("didn't match Pod's node affinity/selector")]
    NodeAffinity,
    /// As many pods as the node takes.
    #[error("Too many pods")]
    Pods,
    /// Requests more CPU than is free.
    #[error("Insufficient cpu")]
    Cpu,
    /// Requests more memory than is free.
    #[error("Insufficient memory")]
    Memory,
    /// Topology spread.
    #[error("didn't match pod topology spread constraints")]
    Spread,
    /// The node lacks the label that a topology spread constraint needs.
    #[error("didn't match pod topology spread constraints (missing required label)")]
    SpreadLabel,
    /// Required pod affinity.
    #[error("didn't match pod affinity rules")]
    Affinity,
    /// Its own required pod anti-affinity.
    #[error("didn't match pod anti-affinity rules")]
    AntiAffinity,
    /// Required anti-affinity of a pod that runs there.
    #[error("didn't satisfy existing pods anti-affinity rules")]
    ExistingAntiAffinity,
}

/// Node selector and required node affinity.
pub(super) fn selects(workload: &Workload, node: &Node) -> bool {
    workload.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && (workload.node_affinity.is_empty()
            || workload.node_affinity.iter().any(|term| term.selector.matches(&node.labels)))
}

/// Whether every taint that keeps pods away is tolerated.
pub(super) fn tolerates(workload: &Workload, node: &Node) -> bool {
    node.taints.iter().all(|taint| match taint.effect {
        Effect::PreferNoSchedule => true,
        Effect::NoSchedule | Effect::NoExecute => workload.tolerations.iter().any(|t| t.tolerates(taint)),
    })
}
