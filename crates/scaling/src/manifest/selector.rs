//! Label selectors.

use crate::read::Node;

use super::value::{pairs, text, texts};

/// A label selector: all its parts must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// `matchLabels`, or the plain map of a Service.
    pub labels: Vec<(String, String)>,
    /// `matchExpressions`: key, operator, values.
    pub expressions: Vec<(String, String, Vec<String>)>,
}

impl Selector {
    /// From a node with `matchLabels` and `matchExpressions`.
    pub(crate) fn of(node: &Node) -> Self {
        let labels = pairs(node, &["matchLabels"]).into_iter().map(|(key, at)| (key, at.value)).collect();
        let expressions = node.at(&["matchExpressions"]).map_or(&[][..], Node::items);
        let expressions = expressions
            .iter()
            .filter_map(|item| {
                let key = text(item, &["key"])?.value;
                let operator = text(item, &["operator"])?.value;
                let values = texts(item, &["values"]).into_iter().map(|at| at.value).collect();
                Some((key, operator, values))
            })
            .collect();
        Self { labels, expressions }
    }

    /// From the plain map of a Service.
    pub(crate) fn of_map(node: &Node) -> Self {
        let labels = pairs(node, &[]).into_iter().map(|(key, at)| (key, at.value)).collect();
        Self { labels, expressions: Vec::new() }
    }

    /// Whether it has no part: it then selects everything (a PDB) or nothing (a Service).
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.expressions.is_empty()
    }

    /// Whether a thing with these labels is selected. Operators that Kubernetes lacks select nothing.
    pub fn matches(&self, labels: &[(String, String)]) -> bool {
        let get = |key: &str| labels.iter().find(|(k, _)| k == key).map(|(_, value)| value);
        self.labels.iter().all(|(key, value)| get(key) == Some(value))
            && self.expressions.iter().all(|(key, operator, values)| match operator.as_str() {
                "In" => get(key).is_some_and(|value| values.contains(value)),
                "NotIn" => get(key).is_none_or(|value| !values.contains(value)),
                "Exists" => get(key).is_some(),
                "DoesNotExist" => get(key).is_none(),
                _ => false,
            })
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels = self.labels.iter().map(|(key, value)| format!("{key}={value}"));
        let expressions = self.expressions.iter().map(|(key, operator, values)| match operator.as_str() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        });
        f.write_str(&labels.chain(expressions).collect::<Vec<_>>().join(","))
    }
}
