//! The registry of rules, one file a family.

mod adapter;
mod autoscaler;
mod budgets;
mod data_stores;
mod fields;
mod grafana;
mod hpa;
mod hpa_behavior;
mod hpa_metrics;
mod hpa_signals;
mod keda;
mod keda_triggers;
mod kustomization;
mod nodes;
mod objects;
mod pods;
mod promql;
mod services;
mod silences;
mod vpa;
mod vpa_containers;

use std::sync::OnceLock;

use super::context::Context;
use super::finding::{Severity, Sink};

/// One thing that can be wrong.
#[derive(Debug)]
pub struct Rule {
    /// Its name in output and annotations: words joined by `-`, at most 50 characters.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// One line: what is wrong.
    pub title: &'static str,
    /// Why it matters, what the controllers do, what to do instead.
    pub explain: &'static str,
    /// Looks at one set.
    pub check: fn(&Context<'_>, &mut Sink<'_>),
    /// The smallest set that it fires on, and its corrected twin.
    pub fixture: Fixture,
}

/// A pair of examples. A line `#=== path` begins a further file; the first is `manifest.yaml`.
#[derive(Debug)]
pub struct Fixture {
    /// The rule fires on it.
    pub fires: &'static str,
    /// The rule is silent on it.
    pub silent: &'static str,
}

/// All rules, by family.
pub fn rules() -> &'static [&'static Rule] {
    static RULES: OnceLock<Vec<&'static Rule>> = OnceLock::new();
    RULES.get_or_init(|| {
        [
            fields::RULES,
            objects::RULES,
            silences::RULES,
            kustomization::RULES,
            hpa::RULES,
            hpa_behavior::RULES,
            hpa_metrics::RULES,
            hpa_signals::RULES,
            adapter::RULES,
            keda::RULES,
            keda_triggers::RULES,
            vpa::RULES,
            vpa_containers::RULES,
            pods::RULES,
            budgets::RULES,
            nodes::RULES,
            services::RULES,
            data_stores::RULES,
            autoscaler::RULES,
            promql::RULES,
            grafana::RULES,
        ]
        .concat()
    })
}

/// The rules about what reading cannot accept.
pub(super) fn of_reading() -> impl Iterator<Item = &'static Rule> + Clone {
    fields::RULES.iter().chain(kustomization::RULES).copied()
}

/// The rule with this id.
pub fn find(id: &str) -> Option<&'static Rule> {
    rules().iter().find(|rule| rule.id == id).copied()
}
