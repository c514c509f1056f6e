//! What a kustomization asks for and cannot get.

use crate::lint::finding::Severity;

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] = &[&KUSTOMIZATION];

static KUSTOMIZATION: Rule = Rule {
    id: "kustomization",
    severity: Severity::Error,
    title: "a kustomization names a file that is not there, a patch that changes nothing, or itself",
    explain: "`kustomize build` fails on a missing file, on a patch without a target and on a circle: nothing is \
              applied. What this reader does not carry out (replacements, Helm charts, remote bases) is listed as \
              not checked; lint the output of `kustomize build` to have it looked at.",
    check: |context, sink| {
        if std::ptr::eq(context.set, &context.loaded.sets[0]) {
            for refusal in &context.loaded.refused {
                sink.refusal(refusal);
            }
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: v1
kind: ServiceAccount
metadata: {name: a}
#=== over/kustomization.yaml
resources: [../manifest.yaml]
patches:
  - patch: |
      kind: ServiceAccount
      metadata: {name: b, labels: {x: y}}
",
        silent: "\
apiVersion: v1
kind: ServiceAccount
metadata: {name: a}
#=== over/kustomization.yaml
resources: [../manifest.yaml]
patches:
  - patch: |
      kind: ServiceAccount
      metadata: {name: a, labels: {x: y}}
",
    },
};
