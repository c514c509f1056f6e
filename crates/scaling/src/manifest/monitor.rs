//! ServiceMonitor and PodMonitor v1 of the Prometheus Operator.

use crate::read::Node;

use super::selector::Selector;
use super::value::{At, text, texts};

/// Whose endpoints a monitor scrapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonitorKind {
    /// Those behind Services.
    Service,
    /// Those of pods.
    Pod,
}

/// A monitor as written.
#[derive(Debug, Clone)]
pub struct Monitor {
    /// Which of the two.
    pub kind: MonitorKind,
    /// What it selects.
    pub selector: Selector,
    /// Namespaces it looks in; `None` means its own.
    pub namespaces: Option<Vec<String>>,
    /// Whether it looks in all namespaces.
    pub any_namespace: bool,
    /// The port names that its endpoints name.
    pub ports: Vec<At<String>>,
    /// Each `interval` and `scrapeTimeout`.
    pub durations: Vec<At<String>>,
}

impl Monitor {
    pub(crate) fn of(root: &Node, kind: MonitorKind) -> Self {
        let empty = Node { span: root.span, value: crate::read::Value::Null };
        let spec = root.get("spec").unwrap_or(&empty);
        let key = match kind {
            MonitorKind::Service => "endpoints",
            MonitorKind::Pod => "podMetricsEndpoints",
        };
        let endpoints = spec.get(key).map_or(&[][..], Node::items);
        let durations = endpoints
            .iter()
            .flat_map(|endpoint| [text(endpoint, &["interval"]), text(endpoint, &["scrapeTimeout"])])
            .flatten()
            .collect();
        let names = texts(spec, &["namespaceSelector", "matchNames"]);
        Self {
            kind,
            selector: spec.get("selector").map(Selector::of).unwrap_or_default(),
            namespaces: (!names.is_empty()).then(|| names.into_iter().map(|at| at.value).collect()),
            any_namespace: spec.text_at(&["namespaceSelector", "any"]) == Some("true"),
            ports: endpoints.iter().filter_map(|endpoint| text(endpoint, &["port"])).collect(),
            durations,
        }
    }
}
