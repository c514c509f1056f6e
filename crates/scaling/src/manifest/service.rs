//! Service v1.

use crate::read::Node;

use super::selector::Selector;
use super::value::{At, integer, text};

/// A Service as written.
#[derive(Debug, Clone)]
pub struct Service {
    /// The pods behind it; empty means endpoints are set by hand.
    pub selector: Selector,
    /// Whether `clusterIP` is `None`: each pod has a DNS name of its own.
    pub headless: bool,
    /// `type`.
    pub kind: Option<At<String>>,
    /// `clusterIP`.
    pub cluster_ip: Option<At<String>>,
    /// `ports`.
    pub ports: Vec<ServicePort>,
}

/// One port of a Service.
#[derive(Debug, Clone)]
pub struct ServicePort {
    /// `name`.
    pub name: Option<At<String>>,
    /// `port`.
    pub port: Option<At<i64>>,
    /// `targetPort`, a number or the name of a container's port.
    pub target: Option<At<String>>,
}

impl Service {
    pub(crate) fn of(root: &Node) -> Self {
        let ports = root.at(&["spec", "ports"]).map_or(&[][..], Node::items);
        let cluster_ip = text(root, &["spec", "clusterIP"]);
        Self {
            selector: root.at(&["spec", "selector"]).map(Selector::of_map).unwrap_or_default(),
            headless: cluster_ip.as_ref().is_some_and(|ip| ip.value == "None"),
            kind: text(root, &["spec", "type"]),
            cluster_ip,
            ports: ports
                .iter()
                .map(|port| ServicePort {
                    name: text(port, &["name"]),
                    port: integer(port, &["port"]),
                    target: text(port, &["targetPort"]),
                })
                .collect(),
        }
    }
}
