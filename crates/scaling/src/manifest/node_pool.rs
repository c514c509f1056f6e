//! Node pools: our own small kind, since every cloud describes them elsewhere.
//!
//! ```yaml
//! apiVersion: octollm.dev/v1
//! kind: NodePool
//! metadata:
//!   name: spot
//! spec:
//!   min: 0                # nodes
//!   max: 10
//!   machine:
//!     type: c6i.2xlarge   # a name for people
//!     cpu: "8"            # allocatable, per node
//!     memory: 15Gi
//!     pods: 58            # default 110
//!   pricePerHour: 0.12    # US dollars a node
//!   spot: true
//!   labels: {node-type: spot}
//!   taints: [{key: spot, value: "true", effect: NoSchedule}]
//!   kubernetesVersion: "1.36"
//! ```

use crate::quantity::Quantity;
use crate::read::Node;

use super::value::{At, integer, pairs, quantity, text, texts};

/// A pool of equal nodes.
#[derive(Debug, Clone)]
pub struct NodePool {
    /// Fewest nodes.
    pub min: Option<At<i64>>,
    /// Most nodes.
    pub max: Option<At<i64>>,
    /// What the machine is called.
    pub machine: Option<At<String>>,
    /// Allocatable cores a node.
    pub cpu: Option<At<Quantity>>,
    /// Allocatable bytes a node.
    pub memory: Option<At<Quantity>>,
    /// Most pods a node.
    pub pods: i64,
    /// The zones that its nodes are spread over.
    pub zones: Vec<String>,
    /// US dollars a node and hour.
    pub price_per_hour: Option<f64>,
    /// Whether nodes may be taken away at short notice.
    pub spot: bool,
    /// Labels of its nodes.
    pub labels: Vec<(String, String)>,
    /// Taints of its nodes.
    pub taints: Vec<Taint>,
    /// The Kubernetes version of its nodes, such as `1.36`.
    pub kubernetes: Option<At<String>>,
}

/// A taint, which keeps away the pods that do not tolerate it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, possibly empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl NodePool {
    pub(crate) fn of(root: &Node) -> Self {
        let empty = Node { span: root.span, value: crate::read::Value::Null };
        let spec = root.get("spec").unwrap_or(&empty);
        let taints = spec.get("taints").map_or(&[][..], Node::items);
        let word = |node: &Node, key: &str| node.text_at(&[key]).unwrap_or("").to_owned();
        Self {
            min: integer(spec, &["min"]),
            max: integer(spec, &["max"]),
            machine: text(spec, &["machine", "type"]),
            cpu: quantity(spec, &["machine", "cpu"]),
            memory: quantity(spec, &["machine", "memory"]),
            pods: integer(spec, &["machine", "pods"]).map_or(110, |pods| pods.value),
            zones: texts(spec, &["machine", "zones"]).into_iter().map(|at| at.value).collect(),
            price_per_hour: spec.text_at(&["pricePerHour"]).and_then(|text| text.parse().ok()),
            spot: spec.text_at(&["spot"]) == Some("true"),
            labels: pairs(spec, &["labels"]).into_iter().map(|(key, at)| (key, at.value)).collect(),
            taints: taints
                .iter()
                .map(|node| Taint {
                    key: word(node, "key"),
                    value: word(node, "value"),
                    effect: word(node, "effect"),
                })
                .collect(),
            kubernetes: text(spec, &["kubernetesVersion"]),
        }
    }
}
