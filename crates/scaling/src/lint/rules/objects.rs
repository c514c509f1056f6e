//! Objects as wholes: versions that are gone, names that stand twice, selectors that miss.

use std::collections::BTreeMap;

use crate::lint::finding::Severity;
use crate::lint::fix::Edit;
use crate::manifest::table::table;
use crate::manifest::{Detail, WorkloadKind};

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] =
    &[&REMOVED_API, &DUPLICATE_OBJECT, &SELECTOR_MISMATCH, &LIMIT_BELOW_REQUEST];

/// API versions that no supported cluster serves: version, kind, since when it is gone, what to write.
const REMOVED: [(&str, &str, &str, &str); 14] = [
    ("autoscaling/v2beta1", "HorizontalPodAutoscaler", "1.25", "autoscaling/v2"),
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler", "1.26", "autoscaling/v2"),
    ("policy/v1beta1", "PodDisruptionBudget", "1.25", "policy/v1"),
    ("extensions/v1beta1", "Deployment", "1.16", "apps/v1"),
    ("apps/v1beta1", "Deployment", "1.16", "apps/v1"),
    ("apps/v1beta2", "Deployment", "1.16", "apps/v1"),
    ("apps/v1beta1", "StatefulSet", "1.16", "apps/v1"),
    ("apps/v1beta2", "StatefulSet", "1.16", "apps/v1"),
    ("extensions/v1beta1", "DaemonSet", "1.16", "apps/v1"),
    ("extensions/v1beta1", "Ingress", "1.22", "networking.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", "Ingress", "1.22", "networking.k8s.io/v1"),
    ("batch/v1beta1", "CronJob", "1.25", "batch/v1"),
    ("keda.k8s.io/v1alpha1", "ScaledObject", "KEDA 2.0", "keda.sh/v1alpha1"),
    ("autoscaling.k8s.io/v1beta1", "VerticalPodAutoscaler", "VPA 1.0", "autoscaling.k8s.io/v1"),
];

static REMOVED_API: Rule = Rule {
    id: "removed-api",
    severity: Severity::Error,
    title: "no supported cluster serves this API version",
    explain: "The version was removed; `kubectl apply` fails with \"no matches for kind\", and a scaler that points at \
              its target with it reports FailedGetScale and does nothing. Some fields moved with the new version: \
              compare them after the change.",
    check: |context, sink| {
        for (id, object) in context.set.iter() {
            let gone = REMOVED.iter().find(|(v, k, ..)| *v == object.api_version && *k == object.kind);
            let Some((version, kind, since, instead)) = gone else { continue };
            let Some(at) = object.root.get("apiVersion") else { continue };
            let known = table().versions(kind);
            let also =
                if known.len() > 1 { format!(" (served: {})", known.join(", ")) } else { String::new() };
            sink.at(
                id,
                at.span,
                format!("{}: {version} is gone since {since}; write {instead}{also}", object.label()),
            )
            .fix(vec![Edit::replace(at.span, *instead)]);
        }
        for (id, object, scaler) in context.scalers() {
            let Some((target, at)) =
                scaler.target().and_then(|target| Some((target, target.api_version.as_ref()?)))
            else {
                continue;
            };
            let gone = REMOVED.iter().find(|(v, k, ..)| *v == at.value && *k == target.kind);
            let Some((version, kind, since, instead)) = gone else { continue };
            let message = format!(
                "{}: the target's {version} is gone since {since}, so no {kind} is found and nothing scales; write \
                 {instead}",
                object.label()
            );
            sink.at(id, at.span, message).safe_fix(vec![Edit::replace(at.span, *instead)]);
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: policy/v1beta1
kind: PodDisruptionBudget
metadata: {name: a}
spec:
  maxUnavailable: 1
  selector: {matchLabels: {app: a}}
",
        silent: "\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: a}
spec:
  maxUnavailable: 1
  selector: {matchLabels: {app: a}}
",
    },
};

static DUPLICATE_OBJECT: Rule = Rule {
    id: "duplicate-object",
    severity: Severity::Error,
    title: "two objects have the same kind, name and namespace",
    explain: "They are one object to the cluster: whichever is applied last replaces the other, so the result \
              depends on the order of files. Give alternatives different names, or keep them in different \
              overlays.",
    check: |context, sink| {
        let mut seen: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (id, object) in context.set.iter() {
            let is_object = !object.api_version.is_empty() && !object.name().is_empty();
            if !is_object {
                continue;
            }
            let same = seen.entry((object.kind.as_str(), object.name())).or_default();
            let first = same.iter().map(|index| &context.set.objects[*index]).find(|other| {
                let group = |version: &str| version.rsplit_once('/').map(|(group, _)| group.to_owned());
                other.shares_namespace(object) && group(&other.api_version) == group(&object.api_version)
            });
            if let Some(first) = first {
                sink.at(
                    id,
                    object.span(),
                    format!(
                        "{} is also at {}: whichever is applied last replaces the other; name them apart",
                        object.label(),
                        context.place(first.span())
                    ),
                );
            }
            same.push(id.0);
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: v1
kind: ServiceAccount
metadata: {name: a, namespace: n}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: a, namespace: n}
",
        silent: "\
apiVersion: v1
kind: ServiceAccount
metadata: {name: a, namespace: n}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: a, namespace: m}
",
    },
};

static SELECTOR_MISMATCH: Rule = Rule {
    id: "selector-mismatch",
    severity: Severity::Error,
    title: "a workload's selector does not select its own pods",
    explain: "The API server rejects a Deployment or StatefulSet whose `spec.selector` does not match the \
              labels of `spec.template`.",
    check: |context, sink| {
        for (id, object, workload) in context.workloads() {
            let Some(selector) = &workload.selector else { continue };
            if selector.value.is_empty() || selector.value.matches(&workload.template.labels) {
                continue;
            }
            sink.at(
                id,
                selector.span,
                format!(
                    "{}: the selector `{}` does not match the template's labels ({}); the object is rejected",
                    object.label(),
                    selector.value,
                    labels(&workload.template.labels)
                ),
            );
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: b}}
    spec: {containers: [{name: a, image: a}]}
",
        silent: "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: a, image: a}]}
",
    },
};

/// Labels for a message.
fn labels(labels: &[(String, String)]) -> String {
    if labels.is_empty() {
        return "none".to_owned();
    }
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

static LIMIT_BELOW_REQUEST: Rule = Rule {
    id: "limit-below-request",
    severity: Severity::Error,
    title: "a container's limit is lower than its request",
    explain: "The API server rejects the pod; a Deployment is accepted and then makes no pods at all.",
    check: |context, sink| {
        for (id, object) in context.set.iter() {
            let Detail::Workload(workload) = &object.detail else { continue };
            for container in workload.template.running() {
                for resource in ["cpu", "memory"] {
                    let (Some(request), Some(limit)) =
                        (container.requests.get(resource), container.limits.get(resource))
                    else {
                        continue;
                    };
                    if limit.value < request.value {
                        let makes = match workload.kind {
                            WorkloadKind::StatefulSet | WorkloadKind::Deployment => "it makes no pods",
                            WorkloadKind::DaemonSet | WorkloadKind::ReplicaSet => "no pod is made",
                        };
                        sink.at(
                            id,
                            limit.span,
                            format!(
                                "{}: container {} requests {} {resource} with a limit of {}; {makes}",
                                object.label(),
                                container.label(),
                                request.value,
                                limit.value
                            ),
                        );
                    }
                }
            }
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec:
      containers:
        - name: a
          image: a
          resources: {requests: {memory: 1Gi}, limits: {memory: 512Mi}}
",
        silent: "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec:
      containers:
        - name: a
          image: a
          resources: {requests: {memory: 512Mi}, limits: {memory: 512Mi}}
",
    },
};
