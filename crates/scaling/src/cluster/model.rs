//! A cluster as values: workloads, pods, nodes, pools.
//!
//! Pods refer to their workload, and to their node if they have one, by index; an index that points
//! nowhere counts as none.

use std::collections::BTreeMap;

use super::budget::Budget;
use super::selector::LabelSelector;

/// Everything the autoscaler looks at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cluster {
    /// Pod templates.
    pub workloads: Vec<Workload>,
    /// All pods, placed or pending.
    pub pods: Vec<Pod>,
    /// All nodes.
    pub nodes: Vec<Node>,
    /// The node pools.
    pub pools: Vec<Pool>,
    /// Disruption budgets.
    pub budgets: Vec<Budget>,
}

/// Amounts of what nodes have and pods ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Requests {
    /// In millicores.
    pub cpu_milli: i64,
    /// In bytes.
    pub memory_bytes: i64,
}

/// What the pods of one Deployment, StatefulSet or the like have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Workload {
    /// Namespace of its pods.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Labels of its pods.
    pub labels: BTreeMap<String, String>,
    /// Requests of one pod, all containers together.
    pub requests: Requests,
    /// `nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// Required node affinity: one of these terms has to match; none means no restriction.
    pub node_affinity: Vec<NodeTerm>,
    /// Required pod affinity: every term has to be met.
    pub affinity: Vec<PodTerm>,
    /// Required pod anti-affinity: no term may be met.
    pub anti_affinity: Vec<PodTerm>,
    /// `topologySpreadConstraints` with `DoNotSchedule`.
    pub spread: Vec<Spread>,
    /// `tolerations`.
    pub tolerations: Vec<Toleration>,
    /// Priority of its pods; below -10 they never make the autoscaler add a node.
    pub priority: i32,
    /// Whether its pods may be moved.
    pub eviction: Eviction,
}

/// A node selector term: all its requirements have to hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeTerm {
    /// Requirements on the node's labels.
    pub selector: LabelSelector,
}

/// Pods that are looked for in a topology domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodTerm {
    /// Which pods.
    pub selector: LabelSelector,
    /// In which namespaces; none means the pod's own.
    pub namespaces: Vec<String>,
    /// The node label whose value is the domain.
    pub topology_key: String,
}

/// A topology spread constraint with `DoNotSchedule`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spread {
    /// Which pods are counted, in the pod's own namespace.
    pub selector: LabelSelector,
    /// The node label whose value is the domain.
    pub topology_key: String,
    /// By how many pods a domain may lead the emptiest.
    pub max_skew: i32,
    /// With fewer eligible domains than this, the emptiest counts as empty.
    pub min_domains: Option<usize>,
}

/// Whether pods may be moved to empty a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Eviction {
    /// They may.
    #[default]
    Allowed,
    /// No controller would make them again.
    Naked,
    /// They keep data on the node.
    LocalStorage,
    /// `cluster-autoscaler.kubernetes.io/safe-to-evict: "false"`.
    Annotated,
    /// A DaemonSet's: neither moved nor in the way.
    Daemon,
}

/// `tolerations` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toleration {
    /// The taint's key; `None` tolerates every key (with `Exists`).
    pub key: Option<String>,
    /// How the value is compared.
    pub operator: TolerationOperator,
    /// The effect; `None` tolerates every effect.
    pub effect: Option<Effect>,
}

/// How a toleration compares the taint's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TolerationOperator {
    /// Any value.
    Exists,
    /// This value.
    Equal(String),
}

impl Toleration {
    /// Whether it covers `taint`.
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && match (&self.key, &self.operator) {
                (None, TolerationOperator::Exists) => true,
                (None, TolerationOperator::Equal(_)) => false,
                (Some(key), TolerationOperator::Exists) => *key == taint.key,
                (Some(key), TolerationOperator::Equal(value)) => *key == taint.key && *value == taint.value,
            }
    }
}

/// A taint of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Its effect.
    pub effect: Effect,
}

/// Effect of a taint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Pods that do not tolerate it are not placed here.
    NoSchedule,
    /// Pods that do not tolerate it are placed here last; the autoscaler ignores it.
    PreferNoSchedule,
    /// Pods that do not tolerate it are driven out.
    NoExecute,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Index of its workload.
    pub workload: usize,
    /// Index of its node; `None` while it is pending.
    pub node: Option<usize>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Index of its pool; `None` for a node the autoscaler does not manage.
    pub pool: Option<usize>,
    /// Its labels, `kubernetes.io/hostname` and zone included.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// What pods can request of it.
    pub allocatable: Requests,
    /// How many pods it takes.
    pub pods_max: usize,
}

/// The label that holds a node's own name.
pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";
/// The label that holds a node's zone.
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";

/// A pool of like nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// The autoscaler removes no node below this.
    pub min_nodes: usize,
    /// The autoscaler adds no node above this.
    pub max_nodes: usize,
    /// Labels of its nodes beside hostname and zone.
    pub labels: BTreeMap<String, String>,
    /// Taints of its nodes.
    pub taints: Vec<Taint>,
    /// What pods can request of a node; less what DaemonSets take.
    pub allocatable: Requests,
    /// How many pods a node takes.
    pub pods_max: usize,
    /// Zones in which nodes are made, evenly; none means nodes without zone.
    pub zones: Vec<String>,
}

impl Pool {
    /// A node as this pool makes it. `serial` makes its name; `zone` is one of the pool's.
    pub(super) fn node(&self, index: usize, serial: usize, zone: Option<&String>) -> Node {
        let name = format!("{}-new-{serial}", self.name);
        let mut labels = self.labels.clone();
        labels.insert(HOSTNAME.to_owned(), name.clone());
        if let Some(zone) = zone {
            labels.insert(ZONE.to_owned(), zone.clone());
        }
        Node {
            name,
            pool: Some(index),
            labels,
            taints: self.taints.clone(),
            allocatable: self.allocatable,
            pods_max: self.pods_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toleration_without_key_covers_every_taint() {
        let taint = Taint { key: "spot".into(), value: "true".into(), effect: Effect::NoSchedule };
        let all = Toleration { key: None, operator: TolerationOperator::Exists, effect: None };
        let other = Toleration {
            key: Some("spot".into()),
            operator: TolerationOperator::Equal("false".into()),
            effect: None,
        };
        assert!(all.tolerates(&taint));
        assert!(!other.tolerates(&taint));
    }
}
