//! The annotations that silence rules.

use crate::lint::finding::Severity;
use crate::lint::silence::PREFIX;

use super::{Fixture, Rule, find};

pub(super) const RULES: &[&Rule] = &[&SILENCE_WITHOUT_REASON];

static SILENCE_WITHOUT_REASON: Rule = Rule {
    id: "silence-without-reason",
    severity: Severity::Warning,
    title: "an annotation silences a rule without a reason, or names no rule",
    explain: "A silenced finding is a decision; the next reader needs to know why. Without a reason the \
              annotation silences nothing.",
    check: |context, sink| {
        for (id, object) in context.set.iter() {
            for (key, value) in &object.annotations {
                let Some(rule) = key.strip_prefix(PREFIX) else { continue };
                let message = if find(rule).is_none() {
                    format!("{}: there is no rule `{rule}`; see `scale lint --explain`", object.label())
                } else if value.value.trim().is_empty() {
                    format!(
                        "{}: say why `{rule}` does not apply here; without a reason it still does",
                        object.label()
                    )
                } else {
                    continue;
                };
                sink.at(id, value.span, message);
            }
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: a
  annotations: {octollm.dev/lint-ignore.duplicate-object: \"\"}
",
        silent: "\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: a
  annotations: {octollm.dev/lint-ignore.duplicate-object: applied by two tools on purpose}
",
    },
};
