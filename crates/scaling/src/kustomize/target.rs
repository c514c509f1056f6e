//! Which objects a patch is for.

use crate::manifest::Selector;
use crate::read::Node;

/// The `target` of a patch, or the object that a strategic merge patch names itself.
///
/// Kustomize takes the fields as anchored regular expressions; here `.*`, alternatives and plain names are
/// understood, which is what targets are written with.
pub(super) struct Target {
    fields: Vec<(&'static [&'static str], String)>,
    labels: Option<Selector>,
    annotations: Option<Selector>,
}

impl Target {
    pub(super) fn of(target: &Node) -> Self {
        let mut fields = Vec::new();
        let mut add = |key: &str, path: &'static [&'static str]| {
            if let Some(text) = target.text_at(&[key]).filter(|text| !text.is_empty()) {
                fields.push((path, text.to_owned()));
            }
        };
        add("kind", &["kind"]);
        add("name", &["metadata", "name"]);
        add("namespace", &["metadata", "namespace"]);
        let selector = |key: &str| target.text_at(&[key]).map(parse_selector);
        Self { fields, labels: selector("labelSelector"), annotations: selector("annotationSelector") }
    }

    pub(super) fn of_patch(patch: &Node) -> Self {
        let mut fields: Vec<(&'static [&'static str], String)> = Vec::new();
        let paths: [&'static [&'static str]; 2] = [&["kind"], &["metadata", "name"]];
        for path in paths {
            fields.push((path, patch.text_at(path).unwrap_or("").to_owned()));
        }
        Self { fields, labels: None, annotations: None }
    }

    pub(super) fn matches(&self, node: &Node) -> bool {
        let map = |keys: &[&str]| -> Vec<(String, String)> {
            let entries = node.at(keys).map_or(&[][..], Node::entries);
            entries
                .iter()
                .filter_map(|entry| Some((entry.key.clone(), entry.value.text()?.to_owned())))
                .collect()
        };
        self.fields.iter().all(|(path, pattern)| like(pattern, node.text_at(path).unwrap_or("")))
            && self.labels.as_ref().is_none_or(|labels| labels.matches(&map(&["metadata", "labels"])))
            && self
                .annotations
                .as_ref()
                .is_none_or(|annotations| annotations.matches(&map(&["metadata", "annotations"])))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields: Vec<_> = self.fields.iter().map(|(_, value)| value.as_str()).collect();
        f.write_str(&fields.join(" "))?;
        match &self.labels {
            Some(labels) => write!(f, " with labels {labels}"),
            None => Ok(()),
        }
    }
}

/// An anchored pattern of alternatives with `.*`.
fn like(pattern: &str, text: &str) -> bool {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let pattern = pattern.strip_suffix('$').unwrap_or(pattern);
    let pattern = pattern.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(pattern);
    pattern.split('|').any(|alternative| {
        let mut parts = alternative.split(".*");
        let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
        let mut open = false;
        for part in parts {
            open = true;
            if part.is_empty() {
                continue;
            }
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
            open = false;
        }
        open || rest.is_empty()
    })
}

/// `a=b,c in (d,e),f` as a selector.
fn parse_selector(text: &str) -> Selector {
    let mut selector = Selector::default();
    let mut depth = 0;
    let parts = text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        if let Some((key, values)) = part.split_once(" in ") {
            let values = values.trim().trim_matches(['(', ')']).split(',').map(|v| v.trim().to_owned());
            selector.expressions.push((key.trim().to_owned(), "In".to_owned(), values.collect()));
        } else if let Some((key, value)) = part.split_once("!=") {
            let values = vec![value.trim().to_owned()];
            selector.expressions.push((key.trim().to_owned(), "NotIn".to_owned(), values));
        } else if let Some((key, value)) = part.split_once('=') {
            let value = value.trim_start_matches('=').trim();
            selector.labels.push((key.trim().to_owned(), value.to_owned()));
        } else if let Some(key) = part.strip_prefix('!') {
            selector.expressions.push((key.to_owned(), "DoesNotExist".to_owned(), Vec::new()));
        } else {
            selector.expressions.push((part.to_owned(), "Exists".to_owned(), Vec::new()));
        }
    }
    selector
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn targets_are_anchored_patterns() {
        assert!(like("web", "web"));
        assert!(!like("web", "web-2"));
        assert!(like(".*", "anything"));
        assert!(like("(a|b)-arm", "b-arm") || !like("a|b", "c"));
        assert!(like("plan.*|judge", "planner"));
        assert!(like(".*-arm", "planner-arm"));
        assert!(!like(".*-arm", "planner-arm2"));
    }
}
