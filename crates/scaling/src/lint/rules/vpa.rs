//! VPAs: what they apply to, and whom they fight.

use crate::lint::context::{Context, Scaler};
use crate::lint::finding::Severity;
use crate::lint::fix::Edit;
use crate::manifest::{MetricSource, Object, ObjectId, TargetRef, Vpa};

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] = &[&FIGHTS_HPA, &MODE_AUTO, &SKIPS_SINGLE, &TWO_VPAS];

macro_rules! vpa {
    ($mode:expr, $policy:expr) => {
        concat!(
            "apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: v}\nspec:\n",
            "  targetRef: {apiVersion: apps/v1, kind: Deployment, name: a}\n  updatePolicy: {updateMode: \"",
            $mode,
            "\"}\n",
            $policy
        )
    };
}

macro_rules! deployment {
    ($replicas:expr) => {
        concat!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  replicas: ",
            $replicas,
            "\n  selector: {matchLabels: {app: a}}\n  template:\n    metadata: {labels: {app: a}}\n",
            "    spec: {containers: [{name: web, image: a, resources: {requests: {cpu: 500m, memory: 1Gi}}}]}\n"
        )
    };
}

pub(super) use {deployment, vpa};

macro_rules! hpa {
    ($metric:expr) => {
        concat!(
            "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec:\n",
            "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}\n  minReplicas: 2\n  maxReplicas: 10\n",
            "  behavior: {scaleDown: {stabilizationWindowSeconds: 300}}\n  metrics:\n    - ",
            $metric,
            "\n"
        )
    };
}

/// The names of a scaler's metrics on `cpu` or `memory`.
fn resources_of(scaler: Scaler<'_>) -> Vec<&str> {
    match scaler {
        Scaler::Hpa(hpa) => hpa
            .metrics
            .iter()
            .filter(|metric| {
                matches!(metric.source, MetricSource::Resource | MetricSource::ContainerResource)
            })
            .map(|metric| metric.label())
            .collect(),
        Scaler::Keda(scaled) => {
            let kinds = scaled.triggers.iter().map(|trigger| trigger.kind.value.as_str());
            kinds.filter(|kind| matches!(*kind, "cpu" | "memory")).collect()
        }
    }
}

fn same_target(one: &TargetRef, other: &TargetRef) -> bool {
    one.kind == other.kind && one.name.value == other.name.value
}

static FIGHTS_HPA: Rule = Rule {
    id: "vpa-fights-hpa",
    severity: Severity::Error,
    title: "a VPA changes the requests that an HPA on the same target divides by",
    explain: "HPA utilization is usage over request. When the VPA raises the request, utilization falls and the HPA \
              takes pods away; the load on each grows and the VPA raises again (and the other way down). Let the VPA \
              recommend only (`updateMode: \"Off\"`), or give the HPA external metrics alone and the VPA the \
              resources.",
    check: |context, sink| {
        for (id, object, vpa) in context.vpas() {
            let Some(target) = vpa.target.as_ref().filter(|_| vpa.changes_requests()) else { continue };
            for (_, scaler_object, scaler) in context.scalers() {
                let hits = scaler.target().is_some_and(|other| same_target(other, target));
                if !hits || !scaler_object.shares_namespace(object) {
                    continue;
                }
                let fought: Vec<&str> =
                    resources_of(scaler).into_iter().filter(|name| vpa.controls(name)).collect();
                if fought.is_empty() {
                    continue;
                }
                let mode = vpa.mode.as_ref().map_or("Recreate (the default)", |mode| mode.value.as_str());
                let message = format!(
                    "{} in mode {mode} changes the {} request of {} {}, and {} ({}) scales on its utilization: with the \
                     request doubled, 80 % becomes 40 % and the HPA halves the pods while the load is the same",
                    object.label(),
                    fought.join(" and "),
                    target.kind,
                    target.name.value,
                    scaler_object.label(),
                    context.place(scaler_object.span())
                );
                let span = vpa.mode.as_ref().map_or(object.span(), |mode| mode.span);
                let reported = sink.at(id, span, message);
                if vpa.mode.is_some() {
                    reported.fix(vec![Edit::replace(span, "\"Off\"")]);
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            vpa!("Recreate", ""),
            hpa!(
                "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}"
            )
        ),
        silent: concat!(
            vpa!("Off", ""),
            hpa!(
                "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}"
            )
        ),
    },
};

static MODE_AUTO: Rule = Rule {
    id: "vpa-mode-auto",
    severity: Severity::Warning,
    title: "`updateMode: Auto` is deprecated and means Recreate",
    explain: "Auto evicts pods to apply a recommendation, exactly as Recreate does, and will be removed. Write what you \
              mean: Off (recommend only), Initial, Recreate, or InPlaceOrRecreate (Kubernetes 1.33 and later, resizes \
              without a restart where it can).",
    check: |context, sink| {
        for (id, object, vpa) in context.vpas() {
            if let Some(mode) = vpa.mode.as_ref().filter(|mode| mode.value == "Auto") {
                sink.at(
                    id,
                    mode.span,
                    format!(
                        "{}: updateMode Auto is deprecated and evicts pods as Recreate does; write Recreate, or \
                         InPlaceOrRecreate on Kubernetes 1.33 and later",
                        object.label()
                    ),
                )
                .safe_fix(vec![Edit::replace(mode.span, "Recreate")]);
            }
        }
    },
    fixture: Fixture {
        fires: concat!(vpa!("Auto", ""), deployment!("2")),
        silent: concat!(vpa!("Recreate", ""), deployment!("2")),
    },
};

static SKIPS_SINGLE: Rule = Rule {
    id: "vpa-skips-single-replica",
    severity: Severity::Warning,
    title: "a VPA that evicts points at a target with fewer replicas than its updater acts on",
    explain: "The updater leaves targets with fewer than two live replicas alone (`--min-replicas`, \
              `updatePolicy.minReplicas`), so that it never takes the last pod: the recommendation is never applied to \
              running pods.",
    check: |context, sink| {
        for (id, object, vpa) in context.vpas() {
            let Some(target) = vpa.target.as_ref().filter(|_| vpa.acts_on_running_pods()) else { continue };
            let least = i64::from(vpa.spec().min_replicas);
            let Some((replicas, of)) = fewest(context, object, target) else { continue };
            if replicas < least && replicas > 0 {
                let span = vpa.mode.as_ref().map_or(object.span(), |mode| mode.span);
                sink.at(
                    id,
                    span,
                    format!(
                        "{}: {} {} may have {replicas} replica ({of}); the updater acts from {least} on, so at the \
                         minimum nothing is ever applied",
                        object.label(),
                        target.kind,
                        target.name.value
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: concat!(vpa!("Recreate", ""), deployment!("1")),
        silent: concat!(vpa!("Recreate", ""), deployment!("2")),
    },
};

/// The fewest replicas of a target, and what says so.
fn fewest(context: &Context<'_>, object: &Object, target: &TargetRef) -> Option<(i64, String)> {
    let scaler = context.scalers().find(|(_, other, scaler)| {
        other.shares_namespace(object) && scaler.target().is_some_and(|other| same_target(other, target))
    });
    if let Some((_, scaler_object, scaler)) = scaler {
        return Some((scaler.min(), scaler_object.label()));
    }
    let (_, workload_object, workload) = context.target(object, target)?;
    workload.replicas.as_ref().map(|replicas| (replicas.value, workload_object.label()))
}

static TWO_VPAS: Rule = Rule {
    id: "two-vpas",
    severity: Severity::Error,
    title: "two VPAs size the same target",
    explain: "The recommender and the admission webhook pick one of them for a pod, and which one is not defined.",
    check: |context, sink| {
        let mut seen: Vec<(ObjectId, &Object, &Vpa)> = Vec::new();
        for (id, object, vpa) in context.vpas() {
            let Some(target) = &vpa.target else { continue };
            let twin = seen.iter().find(|(_, other, twin)| {
                other.shares_namespace(object)
                    && twin.target.as_ref().is_some_and(|other| same_target(other, target))
            });
            if let Some((_, other, _)) = twin.filter(|(_, other, _)| other.name() != object.name()) {
                sink.at(
                    id,
                    object.span(),
                    format!(
                        "{} and {} ({}) both size {} {}; keep one",
                        object.label(),
                        other.label(),
                        context.place(other.span()),
                        target.kind,
                        target.name.value
                    ),
                );
            }
            seen.push((id, object, vpa));
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: v}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  updatePolicy: {updateMode: \"Off\"}
---
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: w}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  updatePolicy: {updateMode: \"Off\"}
",
        silent: "\
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: v}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  updatePolicy: {updateMode: \"Off\"}
---
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: w}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: b}
  updatePolicy: {updateMode: \"Off\"}
",
    },
};
