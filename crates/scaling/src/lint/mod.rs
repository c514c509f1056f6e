//! Finds what will go wrong, before a cluster does.
//!
//! A rule is one value ([`Rule`]): id, severity, title, explanation, check and a pair of fixtures; the
//! registry is the only list of them, and `explain`, SARIF and the tests read it. [`lint`] runs all rules
//! over each set of what [`crate::manifest::load`] gave. A finding names its place, says what will happen in
//! the manifest's own numbers (the rule names the hypothetical state, the engine computes it) and carries the
//! corrected lines where they can be known.
//!
//! Promises: a rule fires on its first fixture and is silent on its second; no input makes a rule panic;
//! time is linear in the objects of a set for each rule, up to look-ups by name; findings come in the order
//! of the files. A rule that lacks the other half of what it compares stays silent, or says that it cannot
//! check. Knows no files and no command line: [`render`] makes text, JSON and SARIF.

mod context;
mod finding;
mod fix;
mod index;
mod pack;
pub mod render;
mod rules;
mod silence;
mod what_if;

pub use context::Context;
pub use finding::{Finding, Report, Severity, Silenced};
pub use fix::{Edit, Fix, apply_safe, patch};
pub use rules::{Fixture, Rule, find, rules};

use crate::manifest::Loaded;

/// Runs every rule over everything that was loaded.
pub fn lint(loaded: &Loaded) -> Report {
    run(loaded, rules().iter().copied())
}

/// Runs the rules about what reading cannot accept: fields, duplicate keys, kustomizations. Whoever computes with
/// manifests asks this first and refuses on any finding.
pub fn refusals(loaded: &Loaded) -> Report {
    run(loaded, rules::of_reading())
}

fn run(loaded: &Loaded, rules: impl Iterator<Item = &'static Rule> + Clone) -> Report {
    let mut found = Vec::new();
    let mut silenced = Vec::new();
    for set in &loaded.sets {
        let context = Context::new(loaded, set);
        let mut findings = Vec::new();
        for rule in rules.clone() {
            let mut sink = finding::Sink::new(rule, &mut findings);
            (rule.check)(&context, &mut sink);
        }
        silence::split(&context, findings, &mut found, &mut silenced);
    }
    found.sort_by(|a, b| a.order().cmp(&b.order()));
    // A base that two overlays share is linted in both: what they agree on is said once.
    found.dedup_by(|a, b| a.same_as(b));
    silenced.sort_by(|a: &Silenced, b| a.finding.order().cmp(&b.finding.order()));
    silenced.dedup_by(|a, b| a.finding.same_as(&b.finding));
    let unknown = context::unknown_kinds(loaded);
    Report { findings: found, silenced, unreadable: loaded.unreadable.clone(), unknown }
}

#[cfg(test)]
mod tests;
