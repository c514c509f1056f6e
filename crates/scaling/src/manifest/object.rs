//! One object of a set.

use crate::read::{Node, Span};

use super::adapter::AdapterRules;
use super::check::Fault;
use super::dashboard::Dashboard;
use super::hpa::Hpa;
use super::monitor::{Monitor, MonitorKind};
use super::node_pool::NodePool;
use super::pdb::Pdb;
use super::promql::PromRules;
use super::scaled_object::ScaledObject;
use super::service::Service;
use super::value::{At, pairs, text};
use super::vpa::Vpa;
use super::workload::{Workload, WorkloadKind};

/// Which object of a [`super::Set`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub(crate) usize);

/// An object: what it is called, what it holds, what is wrong with its fields.
#[derive(Debug, Clone)]
pub struct Object {
    /// `apiVersion`; empty for files that are no Kubernetes object.
    pub api_version: String,
    /// `kind`; for files that are no Kubernetes object, what they are in words.
    pub kind: String,
    /// `metadata.name`.
    pub name: Option<At<String>>,
    /// `metadata.namespace`; empty when the manifest leaves it open.
    pub namespace: String,
    /// `metadata.labels`.
    pub labels: Vec<(String, String)>,
    /// `metadata.annotations`.
    pub annotations: Vec<(String, At<String>)>,
    /// The whole object.
    pub root: Node,
    /// What the kind means to scaling.
    pub detail: Detail,
    /// What the field tables refuse.
    pub faults: Vec<Fault>,
}

/// The typed content, for the kinds that rules and the engine look at.
#[derive(Debug, Clone)]
pub enum Detail {
    /// Deployment, StatefulSet, DaemonSet, ReplicaSet.
    Workload(Box<Workload>),
    /// HorizontalPodAutoscaler.
    Hpa(Box<Hpa>),
    /// VerticalPodAutoscaler.
    Vpa(Box<Vpa>),
    /// ScaledObject.
    ScaledObject(Box<ScaledObject>),
    /// PodDisruptionBudget.
    Pdb(Pdb),
    /// Service.
    Service(Service),
    /// ServiceMonitor or PodMonitor.
    Monitor(Monitor),
    /// Rules of the prometheus-adapter.
    Adapter(AdapterRules),
    /// Prometheus rules.
    PromRules(PromRules),
    /// A Grafana dashboard.
    Dashboard(Dashboard),
    /// A ConfigMap that holds none of these.
    ConfigMap(Vec<Node>),
    /// A node pool.
    NodePool(Box<NodePool>),
    /// A kind that is known but says nothing about scaling.
    Plain,
    /// A kind without a field table.
    Unknown,
}

impl Object {
    /// `Kind name`, for messages.
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {}", self.kind, name.value),
            None => self.kind.clone(),
        }
    }

    /// The name, or nothing.
    pub fn name(&self) -> &str {
        self.name.as_ref().map_or("", |name| name.value.as_str())
    }

    /// Where to point for the object as a whole: its name, else its beginning.
    pub fn span(&self) -> Span {
        self.name.as_ref().map_or(self.root.span, |name| name.span)
    }

    /// Whether it may stand in the same namespace as `other`: a manifest that names none may go anywhere.
    pub fn shares_namespace(&self, other: &Object) -> bool {
        self.namespace.is_empty() || other.namespace.is_empty() || self.namespace == other.namespace
    }

    /// The workload, if it is one.
    pub fn workload(&self) -> Option<&Workload> {
        match &self.detail {
            Detail::Workload(workload) => Some(workload),
            _ => None,
        }
    }
}

/// What a built-in or custom kind means to scaling.
pub(super) fn detail(api_version: &str, kind: &str, root: &Node, known: bool) -> Detail {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let workload = |kind| Detail::Workload(Box::new(Workload::of(root, kind)));
    match (group, kind) {
        ("apps", "Deployment") => workload(WorkloadKind::Deployment),
        ("apps", "StatefulSet") => workload(WorkloadKind::StatefulSet),
        ("apps", "DaemonSet") => workload(WorkloadKind::DaemonSet),
        ("apps", "ReplicaSet") => workload(WorkloadKind::ReplicaSet),
        ("autoscaling", "HorizontalPodAutoscaler") => Detail::Hpa(Box::new(Hpa::of(root))),
        ("autoscaling.k8s.io", "VerticalPodAutoscaler") => Detail::Vpa(Box::new(Vpa::of(root))),
        ("keda.sh", "ScaledObject") => Detail::ScaledObject(Box::new(ScaledObject::of(root))),
        ("policy", "PodDisruptionBudget") => Detail::Pdb(Pdb::of(root)),
        ("", "Service") => Detail::Service(Service::of(root)),
        ("monitoring.coreos.com", "ServiceMonitor") => {
            Detail::Monitor(Monitor::of(root, MonitorKind::Service))
        }
        ("monitoring.coreos.com", "PodMonitor") => Detail::Monitor(Monitor::of(root, MonitorKind::Pod)),
        ("monitoring.coreos.com", "PrometheusRule") => {
            Detail::PromRules(root.get("spec").map_or(PromRules { rules: Vec::new() }, PromRules::of))
        }
        ("octollm.dev", "NodePool") => Detail::NodePool(Box::new(NodePool::of(root))),
        _ if known => Detail::Plain,
        _ => Detail::Unknown,
    }
}

/// The object that `root` is, without its detail and faults.
pub(super) fn heading(root: Node) -> Object {
    let word = |keys: &[&str]| root.text_at(keys).unwrap_or("").to_owned();
    Object {
        api_version: word(&["apiVersion"]),
        kind: word(&["kind"]),
        name: text(&root, &["metadata", "name"]),
        namespace: word(&["metadata", "namespace"]),
        labels: pairs(&root, &["metadata", "labels"]).into_iter().map(|(key, at)| (key, at.value)).collect(),
        annotations: pairs(&root, &["metadata", "annotations"]),
        root,
        detail: Detail::Unknown,
        faults: Vec::new(),
    }
}
