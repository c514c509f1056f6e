//! Rules of the prometheus-adapter: as the ConfigMap that its Deployment mounts, and as Helm values.

use crate::read::{Node, Span};

use super::value::{At, text};

/// Where the rules stand, which decides who reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterForm {
    /// `data` of a ConfigMap: read if a Deployment mounts it.
    ConfigMap,
    /// `rules.custom` and its neighbours in the values of the Helm chart.
    HelmValues,
}

/// Which API a rule serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// `custom.metrics.k8s.io`: Pods and Object metrics.
    Custom,
    /// `external.metrics.k8s.io`: External metrics.
    External,
}

/// All rules of one configuration.
#[derive(Debug, Clone)]
pub struct AdapterRules {
    /// Where they stand.
    pub form: AdapterForm,
    /// The rules.
    pub rules: Vec<AdapterRule>,
    /// Whether the chart's default rules are on (Helm values only; on unless switched off).
    pub defaults: bool,
}

/// One discovery rule.
#[derive(Debug, Clone)]
pub struct AdapterRule {
    /// The whole rule.
    pub span: Span,
    /// Which API it serves.
    pub section: Section,
    /// `seriesQuery`.
    pub series_query: Option<At<String>>,
    /// `name.matches`, a regular expression on the series' name.
    pub matches: Option<At<String>>,
    /// `name.as`.
    pub renamed: Option<At<String>>,
    /// `metricsQuery`.
    pub query: Option<At<String>>,
}

impl AdapterRules {
    /// From the content of a ConfigMap: `rules` and `externalRules`.
    pub(crate) fn of_config(root: &Node) -> Option<Self> {
        let mut rules = Vec::new();
        let mut any = false;
        for (key, section) in [("rules", Section::Custom), ("externalRules", Section::External)] {
            if let Some(list) = root.get(key) {
                let is_rule =
                    |item: &Node| item.get("seriesQuery").is_some() || item.get("metricsQuery").is_some();
                any |= list.items().iter().any(is_rule);
                rules.extend(list.items().iter().map(|item| AdapterRule::of(item, section)));
            }
        }
        any.then_some(Self { form: AdapterForm::ConfigMap, rules, defaults: false })
    }

    /// From Helm values: `rules.custom`, `rules.external`.
    pub(crate) fn of_values(root: &Node) -> Option<Self> {
        let block = root.get("rules")?;
        let keys = [("custom", Section::Custom), ("external", Section::External)];
        if !keys.iter().any(|(key, _)| block.entry(key).is_some()) {
            return None;
        }
        let mut rules = Vec::new();
        for (key, section) in keys {
            let items = block.get(key).map_or(&[][..], Node::items);
            rules.extend(items.iter().map(|item| AdapterRule::of(item, section)));
        }
        let defaults = block.text_at(&["default"]) != Some("false");
        Some(Self { form: AdapterForm::HelmValues, rules, defaults })
    }
}

impl AdapterRule {
    fn of(node: &Node, section: Section) -> Self {
        Self {
            span: node.span,
            section,
            series_query: text(node, &["seriesQuery"]),
            matches: text(node, &["name", "matches"]),
            renamed: text(node, &["name", "as"]),
            query: text(node, &["metricsQuery"]),
        }
    }

    /// The series that `seriesQuery` names, if it names one: `a_total{pod!=""}` names `a_total`.
    pub fn series(&self) -> Option<&str> {
        let query = self.series_query.as_ref()?.value.trim();
        let end =
            query.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(query.len());
        (end > 0).then(|| &query[..end])
    }

    /// The metric that the rule serves; `None` when it serves several or a computed name (`${1}`).
    pub fn metric(&self) -> Option<&str> {
        match &self.renamed {
            Some(renamed) if !renamed.value.is_empty() => {
                (!renamed.value.contains('$')).then_some(renamed.value.as_str())
            }
            Some(_) | None => {
                // `matches` without `as` keeps the first group or the whole name: only a plain name is certain.
                let plain = self.matches.as_ref().is_none_or(|matches| !matches.value.contains('('));
                if plain { self.series() } else { None }
            }
        }
    }
}
