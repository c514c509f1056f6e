//! Label selectors of Kubernetes.

use std::collections::BTreeMap;

/// Labels of a pod or a node.
pub(super) type Labels = BTreeMap<String, String>;

/// A selector; without requirements it matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    /// `matchLabels`.
    pub labels: BTreeMap<String, String>,
    /// `matchExpressions`.
    pub expressions: Vec<Expression>,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
}

/// How a label is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// Its value is one of these.
    In(Vec<String>),
    /// It is absent or its value is none of these.
    NotIn(Vec<String>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
    /// Its value is a number above this (node affinity only).
    Gt(i64),
    /// Its value is a number below this (node affinity only).
    Lt(i64),
}

impl LabelSelector {
    /// Matches exactly these labels.
    pub fn of<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        LabelSelector { labels, expressions: Vec::new() }
    }

    /// Whether `labels` meet every requirement.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.expressions.iter().all(|expression| expression.holds(labels))
    }
}

impl Expression {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt(least) => number().is_some_and(|number| number > *least),
            Operator::Lt(most) => number().is_some_and(|number| number < *most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_is_absent_is_not_in_any_list() {
        let not_in = |key: &str| LabelSelector {
            expressions: vec![Expression { key: key.into(), operator: Operator::NotIn(vec!["spot".into()]) }],
            ..LabelSelector::default()
        };
        let labels = BTreeMap::from([("tier".to_owned(), "spot".to_owned())]);
        assert!(!not_in("tier").matches(&labels));
        assert!(not_in("zone").matches(&labels));
        assert!(LabelSelector::default().matches(&labels));
    }
}
