//! HPAs as wholes: bounds, and who else acts on the same target.

use std::collections::BTreeMap;

use crate::lint::context::{Context, Scaler};
use crate::lint::finding::{Severity, Sink};
use crate::lint::fix::Edit;
use crate::manifest::{MetricSource, Object, ObjectId, TargetRef};
use crate::slip::slips;

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] = &[
    &MIN_ABOVE_MAX,
    &NO_ROOM,
    &ZERO_NEEDS_EXTERNAL,
    &SINGLE_REPLICA_MIN,
    &TWO_SCALERS,
    &TARGET_TYPO,
    &REPLICAS_FOUGHT_OVER,
];

/// An HPA on CPU with these lines for its bounds.
macro_rules! bounded {
    ($bounds:expr) => {
        concat!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}\nspec:\n",
            "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}\n  ",
            $bounds,
            "\n  metrics:\n    - type: Resource\n      resource: {name: cpu, target: {type: Utilization, \
             averageUtilization: 70}}\n  behavior: {scaleDown: {stabilizationWindowSeconds: 300}}\n"
        )
    };
}

static MIN_ABOVE_MAX: Rule = Rule {
    id: "hpa-min-above-max",
    severity: Severity::Error,
    title: "the minimum is above the maximum, or a bound is below what is allowed",
    explain: "The API server (KEDA's webhook for a ScaledObject) rejects an object whose minimum is above its \
              maximum, whose maximum is below 1 or whose minimum is negative. KEDA's `idleReplicaCount` must be \
              below `minReplicaCount`.",
    check: |context, sink| {
        for (id, object, scaler) in context.scalers() {
            let (min, max) = (scaler.min(), scaler.max());
            let label = object.label();
            let at = |keys: &[&str]| object.root.at(keys).map_or(object.span(), |node| node.span);
            let (min_key, max_key) = match scaler {
                Scaler::Hpa(_) => ("minReplicas", "maxReplicas"),
                Scaler::Keda(_) => ("minReplicaCount", "maxReplicaCount"),
            };
            if min < 0 {
                sink.at(
                    id,
                    at(&["spec", min_key]),
                    format!("{label}: {min_key} is {min}; it cannot be negative"),
                );
            }
            let Some(max) = max else { continue };
            if max < 1 {
                sink.at(
                    id,
                    at(&["spec", max_key]),
                    format!("{label}: {max_key} is {max}; it must be at least 1"),
                );
            } else if min > max {
                sink.at(
                    id,
                    at(&["spec", min_key]),
                    format!("{label}: {min_key} {min} is above {max_key} {max}; the object is rejected"),
                );
            }
            if let Scaler::Keda(scaled) = scaler
                && let Some(idle) = scaled.idle.as_ref().filter(|idle| idle.value >= min)
            {
                sink.at(
                    id,
                    idle.span,
                    format!("{label}: idleReplicaCount {} must be below minReplicaCount {min}", idle.value),
                );
            }
        }
    },
    fixture: Fixture {
        fires: bounded!("minReplicas: 10\n  maxReplicas: 5"),
        silent: bounded!("minReplicas: 2\n  maxReplicas: 5"),
    },
};

static NO_ROOM: Rule = Rule {
    id: "hpa-no-room",
    severity: Severity::Info,
    title: "minimum and maximum are the same: nothing can scale",
    explain: "The HPA keeps the replicas where they are whatever its metrics say. Set `replicas` on the workload \
              and drop the HPA, or give it room.",
    check: |context, sink| {
        for (id, object, scaler) in context.scalers() {
            let is_paused = matches!(scaler, Scaler::Keda(scaled) if scaled.triggers.is_empty());
            if scaler.max() == Some(scaler.min()) && !is_paused {
                sink.at(
                    id,
                    object.span(),
                    format!(
                        "{}: minimum and maximum are both {}; it never scales",
                        object.label(),
                        scaler.min()
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: bounded!("minReplicas: 3\n  maxReplicas: 3"),
        silent: bounded!("minReplicas: 3\n  maxReplicas: 5"),
    },
};

static ZERO_NEEDS_EXTERNAL: Rule = Rule {
    id: "hpa-zero-needs-external",
    severity: Severity::Error,
    title: "an HPA with minReplicas 0 has no metric that exists at zero pods",
    explain: "At zero replicas there is no pod to measure: `minReplicas: 0` needs an Object or External metric, \
              and the gate HPAScaleToZero (off up to Kubernetes 1.36, on from 1.37). Without them the API \
              server rejects the HPA. KEDA scales to zero by itself.",
    check: |context, sink| {
        for (id, object, hpa) in context.hpas() {
            let external = |source| matches!(source, MetricSource::Object | MetricSource::External);
            if hpa.min.as_ref().is_some_and(|min| min.value == 0)
                && !hpa.metrics.iter().any(|m| external(m.source))
            {
                let span = hpa.min.as_ref().map_or(object.span(), |min| min.span);
                sink.at(
                    id,
                    span,
                    format!(
                        "{}: minReplicas 0 without an Object or External metric is rejected; at zero pods none of \
                         its {} metrics exists",
                        object.label(),
                        hpa.metrics.len()
                    ),
                )
                .fix(vec![Edit::replace(span, "1")]);
            }
        }
    },
    fixture: Fixture {
        fires: bounded!("minReplicas: 0\n  maxReplicas: 5"),
        silent: bounded!("minReplicas: 1\n  maxReplicas: 5"),
    },
};

static SINGLE_REPLICA_MIN: Rule = Rule {
    id: "hpa-single-replica",
    severity: Severity::Info,
    title: "at the minimum one pod carries the service alone",
    explain: "With one replica every node drain, eviction and crash is an outage of as long as a new pod needs to \
              become ready; a PodDisruptionBudget can only block the drain. The VPA's updater skips targets with \
              one replica. If a pod is lost once a day for 90 seconds, that is 99.896 %: less than 99.9 %. Two \
              replicas need both to fail.",
    check: |context, sink| {
        for (id, object, scaler) in context.scalers() {
            let Some(max) = scaler.max().filter(|max| *max > 1) else { continue };
            if scaler.min() != 1 {
                continue;
            }
            let key = match scaler {
                Scaler::Hpa(_) => "minReplicas",
                Scaler::Keda(_) => "minReplicaCount",
            };
            let node = object.root.at(&["spec", key]);
            let span = node.map_or(object.span(), |node| node.span);
            let target = scaler.target().map_or("the target", |target| target.name.value.as_str());
            let has_vpa = context.vpas().any(|(_, other, vpa)| {
                vpa.acts_on_running_pods()
                    && other.shares_namespace(object)
                    && vpa.target.as_ref().is_some_and(|of| of.name.value == target)
            });
            let skipped = if has_vpa { ", and the VPA skips a target with one replica" } else { "" };
            let reported = sink.at(
                id,
                span,
                format!(
                    "{}: at the minimum one pod of {target} carries everything: each drain or crash is an outage \
                     until its successor is ready (90 s a day is 99.896 %){skipped}; the range is 1 to {max}",
                    object.label()
                ),
            );
            if node.is_some() {
                reported.fix(vec![Edit::replace(span, "2")]);
            }
        }
    },
    fixture: Fixture {
        fires: bounded!("minReplicas: 1\n  maxReplicas: 5"),
        silent: bounded!("minReplicas: 2\n  maxReplicas: 5"),
    },
};

/// Two objects that scale one target, or would after one is renamed.
fn shared_targets<'a>(context: &Context<'a>) -> Vec<(ObjectId, &'a Object, &'a Object, &'a TargetRef)> {
    let mut by_target: BTreeMap<(&str, &str), Vec<&'a Object>> = BTreeMap::new();
    let mut shared = Vec::new();
    for (id, object, scaler) in context.scalers() {
        let Some(target) = scaler.target() else { continue };
        let others = by_target.entry((target.kind.as_str(), target.name.value.as_str())).or_default();
        if let Some(first) = others.iter().find(|first| first.shares_namespace(object)) {
            shared.push((id, object, *first, target));
        }
        others.push(object);
    }
    shared
}

static TWO_SCALERS: Rule = Rule {
    id: "two-scalers",
    severity: Severity::Error,
    title: "two HPAs or ScaledObjects scale the same target",
    explain: "Two HPAs whose targets have the same pods both stop with AmbiguousSelector: nothing scales. A \
              ScaledObject makes an HPA of its own, so it counts as one; KEDA's webhook refuses the second.",
    check: |context, sink| {
        for (id, object, first, target) in shared_targets(context) {
            if object.kind == first.kind && object.name() == first.name() {
                continue; // The same object twice: `duplicate-object`.
            }
            sink.at(
                id,
                object.span(),
                format!(
                    "{} and {} ({}) both scale {} {}: both HPAs stop with AmbiguousSelector and neither acts; \
                     keep one, with the metrics of both",
                    object.label(),
                    first.label(),
                    context.place(first.span()),
                    target.kind,
                    target.name.value
                ),
            );
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: a}
spec:
  scaleTargetRef: {name: web}
  minReplicaCount: 2
  maxReplicaCount: 5
  triggers: [{type: cpu, metricType: Utilization, metadata: {value: \"70\"}}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: b}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 5
",
        silent: "\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: a}
spec:
  scaleTargetRef: {name: web}
  minReplicaCount: 2
  maxReplicaCount: 5
  triggers: [{type: cpu, metricType: Utilization, metadata: {value: \"70\"}}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: b}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: worker}
  maxReplicas: 5
",
    },
};

static TARGET_TYPO: Rule = Rule {
    id: "target-not-found",
    severity: Severity::Error,
    title: "a scaler or VPA points at a name that only a near miss of exists",
    explain: "An HPA whose target does not exist reports FailedGetScale and does nothing; a VPA never recommends. \
              The rule speaks only when the set has a workload whose name is nearly the same, or the same with the \
              prefix and suffix of the scaler (kustomize gives them to the target of an HPA, not to that of a \
              ScaledObject or VPA), or has the target in another namespace only: elsewhere the target may simply live in another set.",
    check: |context, sink| {
        let look = |id: ObjectId, object: &Object, target: &TargetRef, sink: &mut Sink<'_>| {
            if target.kind.is_empty() || context.target(object, target).is_some() {
                return;
            }
            let wanted = target.name.value.as_str();
            let near = context.workloads().map(|(_, other, _)| other).find(|other| {
                let alike = prefixed_alike(object.name(), other.name(), wanted);
                let slips = slips(other.name(), wanted, 2).filter(|slips| slips * 4 <= wanted.len());
                if !alike && slips.is_none() {
                    return false;
                }
                // `shard-1` and `shard-2` are two things, not one misspelt.
                let letters = |name: &str| name.replace(|c: char| c.is_ascii_digit(), "");
                let numbered = letters(other.name()) == letters(wanted);
                let close = alike || !numbered;
                let taken = context.scalers_of(other).iter().any(|(_, scaler, _)| scaler.kind == object.kind);
                other.shares_namespace(object) && close && !taken
            });
            if let Some(near) = near {
                let message = format!(
                    "{} points at {} {wanted}, which is not in the set; {} is ({})",
                    object.label(),
                    target.kind,
                    near.label(),
                    context.place(near.span())
                );
                let name = near.name().to_owned();
                sink.at(id, target.name.span, message).fix(vec![Edit::replace(target.name.span, name)]);
            } else if let Some(elsewhere) = in_another_namespace(context, object, target) {
                let message = format!(
                    "{} stands in namespace {} and points at {} {wanted}, which the set has in namespace {} ({}): a target is \
                     looked for in the scaler's own namespace only",
                    object.label(),
                    object.namespace,
                    target.kind,
                    elsewhere.namespace,
                    context.place(elsewhere.span())
                );
                sink.at(id, target.name.span, message);
            }
        };
        for (id, object, scaler) in context.scalers() {
            if let Some(target) = scaler.target() {
                look(id, object, target, sink);
            }
        }
        for (id, object, vpa) in context.vpas() {
            if let Some(target) = &vpa.target {
                look(id, object, target, sink);
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: payments}\nspec:\n  selector: {matchLabels: {a: b}}\n",
            "  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: a, image: a}]}\n---\n",
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}\nspec:\n",
            "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: payment}\n  maxReplicas: 5\n",
        ),
        silent: concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: payments}\nspec:\n  selector: {matchLabels: {a: b}}\n",
            "  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: a, image: a}]}\n---\n",
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}\nspec:\n",
            "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: payments}\n  maxReplicas: 5\n",
        ),
    },
};

/// The target in a namespace that is not the scaler's, if nothing scales it there and the set has no workload at all
/// in the scaler's.
fn in_another_namespace<'a>(context: &Context<'a>, from: &Object, target: &TargetRef) -> Option<&'a Object> {
    let has_company = context.workloads().any(|(_, other, _)| other.shares_namespace(from));
    let mut namesakes = context.named(&target.name.value).map(|(_, other)| other);
    namesakes.find(|other| {
        !has_company
            && other.kind == target.kind
            && other.workload().is_some()
            && context.scalers_of(other).is_empty()
    })
}

/// Whether `other` is `wanted` with the prefix and suffix that the scaler's own name has too: kustomize renames an
/// HPA's target along, a ScaledObject's and a VPA's not.
fn prefixed_alike(scaler: &str, other: &str, wanted: &str) -> bool {
    let Some((prefix, suffix)) = other.split_once(wanted).filter(|_| !wanted.is_empty()) else {
        return false;
    };
    let is_renamed = prefix.ends_with('-') || suffix.starts_with('-');
    is_renamed && scaler.starts_with(prefix) && scaler.ends_with(suffix)
}

static REPLICAS_FOUGHT_OVER: Rule = Rule {
    id: "replicas-and-scaler",
    severity: Severity::Warning,
    title: "a workload that a scaler owns also sets `replicas`",
    explain: "Every `kubectl apply` (and every sync of a GitOps tool) sets the replicas back to the number in the \
              manifest; until the next HPA sync the fleet is that size, whatever the load. Leave `replicas` out of \
              workloads that something scales.",
    check: |context, sink| {
        for (id, object, workload) in context.workloads() {
            let Some(replicas) = &workload.replicas else { continue };
            let scalers = context.scalers_of(object);
            let Some((_, scaler_object, scaler)) = scalers.first() else { continue };
            let range =
                scaler.max().map_or(String::new(), |max| format!(", which keeps {} to {max}", scaler.min()));
            let message = format!(
                "{}: replicas: {} is written back at every apply over what {} decided{range}; at the maximum an \
                 apply takes the fleet to {} at once",
                object.label(),
                replicas.value,
                scaler_object.label(),
                replicas.value
            );
            let reported = sink.at(id, replicas.span, message);
            let alone = object.root.at(&["spec"]).and_then(|spec| spec.entry("replicas"));
            if let Some(entry) = alone {
                let line = context.sources().line_range(entry.key_span.file, context.line(entry.key_span));
                let text = &context.sources().text(entry.key_span.file)[line];
                // Only where the key has a line to itself and the patch is where the object is.
                if text.trim_start().starts_with("replicas:") {
                    let edit = Edit::remove_lines(context.sources(), entry.key_span);
                    reported.safe_fix(vec![edit]);
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  replicas: 2\n",
            "  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n",
            "    spec: {containers: [{name: a, image: a, resources: {requests: {cpu: 1}}}]}\n---\n",
            bounded!("minReplicas: 2\n  maxReplicas: 5"),
        ),
        silent: concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n",
            "  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n",
            "    spec: {containers: [{name: a, image: a, resources: {requests: {cpu: 1}}}]}\n---\n",
            bounded!("minReplicas: 2\n  maxReplicas: 5"),
        ),
    },
};
