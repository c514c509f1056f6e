//! Silencing: an annotation `octollm.dev/lint-ignore.<rule>: reason` on the object a finding is about.
//!
//! Without a reason it silences nothing; `silence-without-reason` says so.

use super::context::Context;
use super::finding::{Finding, Silenced};

/// What an annotation's key begins with; the rule's id follows.
pub(super) const PREFIX: &str = "octollm.dev/lint-ignore.";

/// Parts findings into those that stand and those that an annotation silences.
pub(super) fn split(
    context: &Context<'_>,
    findings: Vec<Finding>,
    found: &mut Vec<Finding>,
    silenced: &mut Vec<Silenced>,
) {
    for finding in findings {
        let reason = finding.object.and_then(|id| {
            let key = format!("{PREFIX}{}", finding.rule.id);
            let annotations = &context.set.get(id).annotations;
            annotations
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, reason)| reason.value.trim().to_owned())
        });
        match reason {
            Some(reason) if !reason.is_empty() => silenced.push(Silenced { finding, reason }),
            Some(_) | None => found.push(finding),
        }
    }
}
