//! Grafana dashboards: panels with their queries, as far as rules look at them.

use crate::read::{Node, Span};

use super::value::{At, text};

/// A dashboard as exported, with or without the API's `dashboard` wrapper.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// Its title.
    pub title: Option<String>,
    /// Its panels, those of rows included.
    pub panels: Vec<Panel>,
}

/// One panel.
#[derive(Debug, Clone)]
pub struct Panel {
    /// `title`.
    pub title: String,
    /// `type`.
    pub kind: Option<At<String>>,
    /// The PromQL of its targets.
    pub expressions: Vec<At<String>>,
    /// A legacy alert inside the panel: the span of its key.
    pub alert: Option<Span>,
}

/// How deep rows may hold rows; Grafana knows one level.
const MAX_ROWS: usize = 4;

impl Dashboard {
    /// The dashboard, if `root` is one.
    pub(crate) fn of(root: &Node) -> Option<Self> {
        let body = root.get("dashboard").filter(|body| body.get("panels").is_some()).unwrap_or(root);
        let is_dashboard = body.get("panels").is_some_and(|panels| !panels.items().is_empty())
            || body.get("rows").is_some() && body.get("schemaVersion").is_some();
        if !is_dashboard || root.get("apiVersion").is_some() {
            return None;
        }
        let mut panels = Vec::new();
        collect(body, 0, &mut panels);
        Some(Self { title: body.text_at(&["title"]).map(str::to_owned), panels })
    }
}

fn collect(node: &Node, depth: usize, out: &mut Vec<Panel>) {
    for row in node.get("rows").map_or(&[][..], Node::items) {
        collect(row, depth + 1, out);
    }
    for panel in node.get("panels").map_or(&[][..], Node::items) {
        let targets = panel.get("targets").map_or(&[][..], Node::items);
        out.push(Panel {
            title: panel.text_at(&["title"]).unwrap_or("(untitled)").to_owned(),
            kind: text(panel, &["type"]),
            expressions: targets.iter().filter_map(|target| text(target, &["expr"])).collect(),
            alert: panel
                .entry("alert")
                .filter(|entry| entry.value.get("conditions").is_some())
                .map(|entry| entry.key_span),
        });
        if depth < MAX_ROWS {
            collect(panel, depth + 1, out);
        }
    }
}
