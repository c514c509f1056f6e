//! What the API server's strict decoding refuses, and what it lets pass in silence.

use std::collections::BTreeMap;

use crate::lint::context::Context;
use crate::lint::finding::Severity;
use crate::lint::fix::Edit;
use crate::manifest::nearest_quantity;
use crate::manifest::{Fault, FaultKind, Object, ObjectId, Set};
use crate::read::{FileId, Span};

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] =
    &[&DUPLICATE_KEY, &UNKNOWN_FIELD, &MISSING_FIELD, &WRONG_TYPE, &NEEDS_QUOTES, &BAD_QUANTITY, &BAD_VALUE];

static DUPLICATE_KEY: Rule = Rule {
    id: "duplicate-key",
    severity: Severity::Error,
    title: "a key stands twice in one map",
    explain: "The decoder keeps the last of two equal keys and drops the first without a word; \
              `kubectl --validate=strict` lets it pass. Whatever the first one asked for is gone. Merge both \
              into one key.",
    check: |context, sink| {
        if context.loaded.duplicates.is_empty() {
            return;
        }
        let here = Places::of(std::iter::once(context.set));
        let everywhere = Places::of(context.loaded.sets.iter());
        for duplicate in &context.loaded.duplicates {
            let at = duplicate.again;
            let owner = here.holding(at);
            let owned = everywhere.holding(at).is_some();
            // What belongs to no object (Helm values, a kustomization) is said once, with the first set.
            let is_first = std::ptr::eq(context.set, &context.loaded.sets[0]);
            let first = context.line(duplicate.first);
            let dropped = match context.line(at).saturating_sub(1) {
                last if last > first => format!("what lines {first} to {last} ask for"),
                _ => "what the first one asks for".to_owned(),
            };
            let message = format!(
                "`{}` stands on line {first} and again here: {dropped} is dropped, only the last one counts; merge them",
                duplicate.key
            );
            match owner {
                Some(id) => {
                    sink.at(id, at, message);
                }
                None if !owned && is_first => {
                    sink.anywhere(at, message);
                }
                None => {}
            }
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers: [{name: a, image: a}]
  affinity:
    podAntiAffinity: {}
    podAntiAffinity: {}
",
        silent: "\
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers: [{name: a, image: a}]
  affinity:
    podAntiAffinity: {}
",
    },
};

/// Where objects begin and end, in the order of the text.
struct Places(BTreeMap<(FileId, u32), (u32, ObjectId)>);

impl Places {
    fn of<'a>(sets: impl Iterator<Item = &'a Set>) -> Self {
        let objects = sets.flat_map(Set::iter);
        let spans = objects.map(|(id, object)| (object.root.span, id));
        Self(spans.map(|(span, id)| ((span.file, span.start), (span.end, id))).collect())
    }

    fn holding(&self, at: Span) -> Option<ObjectId> {
        let ((file, _), (end, id)) = self.0.range(..=(at.file, at.start)).next_back()?;
        (*file == at.file && at.start <= *end).then_some(*id)
    }
}

fn faults<'a>(context: &Context<'a>) -> impl Iterator<Item = (ObjectId, &'a Object, &'a Fault)> + use<'a> {
    context.set.iter().flat_map(|(id, object)| object.faults.iter().map(move |fault| (id, object, fault)))
}

static UNKNOWN_FIELD: Rule = Rule {
    id: "unknown-field",
    severity: Severity::Error,
    title: "the kind has no such field",
    explain: "The API server drops a field that its kind does not have (or refuses the object, with strict \
              validation): the setting never applies. Most often it is a typo or stands one level too deep or \
              too high. The tables hold the fields of Kubernetes 1.30 to 1.37, KEDA, VPA and the Prometheus \
              Operator.",
    check: |context, sink| {
        for (id, object, fault) in faults(context) {
            let FaultKind::Unknown { meant } = &fault.what else { continue };
            let (path, label) = (&fault.path, object.label());
            match meant {
                Some(meant) => {
                    let message = format!(
                        "{label}: `{path}` is no field of {} and is ignored; did you mean `{meant}`?",
                        object.kind
                    );
                    let reported = sink.at(id, fault.span, message);
                    let edits = vec![Edit::replace(fault.span, *meant)];
                    let last = path.rsplit('.').next().unwrap_or(path);
                    // Only the case differs: nothing else can have been meant.
                    if last.eq_ignore_ascii_case(meant) {
                        reported.safe_fix(edits)
                    } else {
                        reported.fix(edits)
                    }
                }
                None => {
                    sink.at(
                        id,
                        fault.span,
                        format!(
                            "{label}: `{path}` is no field of {} and is ignored; remove or move it",
                            object.kind
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: v1
kind: Service
metadata: {name: a}
spec:
  selectr: {app: a}
  ports: [{port: 80}]
",
        silent: "\
apiVersion: v1
kind: Service
metadata: {name: a}
spec:
  selector: {app: a}
  ports: [{port: 80}]
",
    },
};

static MISSING_FIELD: Rule = Rule {
    id: "missing-field",
    severity: Severity::Error,
    title: "a required field is absent",
    explain: "The API server rejects the object: nothing of it is applied.",
    check: |context, sink| {
        for (id, object, fault) in faults(context) {
            if fault.what == FaultKind::Missing {
                sink.at(
                    id,
                    fault.span,
                    format!(
                        "{}: `{}` is required; the API server rejects the object as it is",
                        object.label(),
                        fault.path
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
",
        silent: "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  maxReplicas: 4
",
    },
};

static WRONG_TYPE: Rule = Rule {
    id: "wrong-type",
    severity: Severity::Error,
    title: "a value is of another type than its field",
    explain: "The API server cannot decode the object and rejects it whole.",
    check: |context, sink| {
        for (id, object, fault) in faults(context) {
            let FaultKind::WrongType { wanted, got } = &fault.what else { continue };
            let text = &context.sources().text(fault.span.file)[fault.span.range()];
            let number = text.trim_matches(['"', '\'']);
            let hint = if text.starts_with("{{") {
                "; this is a template: lint what `helm template` makes of it"
            } else {
                ""
            };
            let message = format!(
                "{}: `{}` must be {wanted}, here it is {got}; the object is rejected{hint}",
                object.label(),
                fault.path
            );
            let reported = sink.at(id, fault.span, message);
            // A number in quotes where a number must be: only the quotes are wrong.
            if number != text && *wanted == "a whole number" && number.parse::<i64>().is_ok() {
                reported.safe_fix(vec![Edit::replace(fault.span, number)]);
            }
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  maxReplicas: \"4\"
",
        silent: "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  maxReplicas: 4
",
    },
};

static NEEDS_QUOTES: Rule = Rule {
    id: "needs-quotes",
    severity: Severity::Error,
    title: "a bare word that YAML takes for a boolean or a number stands where a string must be",
    explain: "Kubernetes reads YAML 1.1: bare `Off`, `no` and `yes` are booleans, `80` is a number. Where the \
              field is a string (updateMode, environment values, annotations, KEDA trigger metadata) the object \
              is rejected. Put it in quotes.",
    check: |context, sink| {
        for (id, object, fault) in faults(context) {
            let FaultKind::NeedsQuotes { got, meant } = &fault.what else { continue };
            let text = &context.sources().text(fault.span.file)[fault.span.range()];
            let right = meant.unwrap_or(text);
            let message = format!(
                "{}: `{}` must be a string, but bare {text} is {got} in YAML; the object is rejected. Write \"{right}\"",
                object.label(),
                fault.path
            );
            sink.at(id, fault.span, message)
                .safe_fix(vec![Edit::replace(fault.span, format!("\"{right}\""))]);
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: a}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  updatePolicy: {updateMode: Off}
",
        silent: "\
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: a}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  updatePolicy: {updateMode: \"Off\"}
",
    },
};

static BAD_QUANTITY: Rule = Rule {
    id: "bad-quantity",
    severity: Severity::Error,
    title: "not a Kubernetes quantity",
    explain: "Quantities are a number and a suffix: n, u, m, k, M, G, T, P, E (powers of 1000), Ki, Mi, Gi, Ti, \
              Pi, Ei (powers of 1024) or an exponent. The API server rejects all else. `m` is a thousandth: \
              `512m` of memory is half a byte.",
    check: |context, sink| {
        for (id, object, fault) in faults(context) {
            let FaultKind::BadQuantity { why } = &fault.what else { continue };
            let text = &context.sources().text(fault.span.file)[fault.span.range()];
            let bare = text.trim_matches(['"', '\'']);
            let message = format!("{}: `{}`: {bare} is no quantity: {why}", object.label(), fault.path);
            let reported = sink.at(id, fault.span, message);
            if let Some(near) = nearest_quantity(bare) {
                reported.fix(vec![Edit::replace(fault.span, near)]);
            }
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
    - name: a
      image: a
      resources: {requests: {cpu: 100m, memory: 512MB}}
",
        silent: "\
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
    - name: a
      image: a
      resources: {requests: {cpu: 100m, memory: 512M}}
",
    },
};

static BAD_VALUE: Rule = Rule {
    id: "bad-value",
    severity: Severity::Error,
    title: "not one of the values that the field may have",
    explain: "The field has a closed set of values; the API server rejects all others.",
    check: |context, sink| {
        for (id, object, fault) in faults(context) {
            let FaultKind::BadValue { allowed } = &fault.what else { continue };
            let text = context.sources().text(fault.span.file)[fault.span.range()].to_owned();
            let bare = text.trim_matches(['"', '\'']);
            let message = format!(
                "{}: `{}` cannot be {bare}; the values are {}",
                object.label(),
                fault.path,
                allowed.join(", ")
            );
            let reported = sink.at(id, fault.span, message);
            if let Some(meant) = allowed.iter().find(|value| value.eq_ignore_ascii_case(bare)) {
                let quoted = if *meant == "Off" { "\"Off\"".to_owned() } else { (*meant).to_owned() };
                reported.safe_fix(vec![Edit::replace(fault.span, quoted)]);
            }
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: a}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  updatePolicy: {updateMode: recreate}
",
        silent: "\
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: a}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  updatePolicy: {updateMode: Recreate}
",
    },
};
