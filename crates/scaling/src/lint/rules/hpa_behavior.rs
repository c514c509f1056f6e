//! `behavior` of HPAs and of KEDA's: absent, or beyond what the API server accepts.

use crate::lint::context::Context;
use crate::lint::finding::Severity;
use crate::lint::fix::{Edit, indent_of};
use crate::lint::what_if;
use crate::manifest::{At, Hpa, MetricSource, Object, ObjectId, Rules};

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] = &[&NO_BEHAVIOR, &WINDOW_BOUND, &PERIOD_BOUND, &POLICY_VALUE];

/// An HPA with this one line under `behavior`.
macro_rules! with_behavior {
    ($line:expr) => {
        concat!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}\nspec:\n",
            "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}\n  minReplicas: 2\n",
            "  maxReplicas: 10\n  behavior:\n    ",
            $line,
            "\n"
        )
    };
}

macro_rules! behavior_fixture {
    ($fires:expr, $silent:expr $(,)?) => {
        Fixture { fires: with_behavior!($fires), silent: with_behavior!($silent) }
    };
}

/// Whether the pods cannot ask for more than one step of the default rate: CPU and memory are all that is looked at, and
/// pods that use all that their limits allow stay within max(2 × start, 4).
fn burst_is_bounded(context: &Context<'_>, object: &Object, hpa: &Hpa, start: i32) -> bool {
    let target = hpa.target.as_ref().and_then(|target| context.target(object, target));
    let Some((_, _, workload)) = target else { return false };
    let step = i128::from(start.saturating_mul(2).max(4));
    hpa.metrics.iter().all(|metric| {
        let resource = metric.label();
        let is_resource =
            matches!(metric.source, MetricSource::Resource) && matches!(resource, "cpu" | "memory");
        let limits = workload.template.running().map(|container| container.limits.get(resource));
        let most = limits.map(|limit| limit.map(|at| at.value.milli())).sum::<Option<i64>>();
        let request = workload.template.request_milli(resource);
        let percent = metric.target.utilization.as_ref().map(|percent| percent.value);
        let (true, Some(most), Some(request), Some(percent)) = (is_resource, most, request, percent) else {
            return false;
        };
        let wanted = i128::from(start) * i128::from(most) * 100;
        wanted <= step * i128::from(request) * i128::from(percent)
    })
}

static NO_BEHAVIOR: Rule = Rule {
    id: "hpa-no-behavior",
    severity: Severity::Info,
    title: "an HPA without `behavior` doubles or adds four every 15 seconds",
    explain: "Without `behavior` the controller takes its oldest code path: up to max(2 × current, 4) replicas \
              at each sync of 15 seconds on the word of a single sample, and down to the target at once when \
              the 300-second window ends. Write the rates that the target can start and drain at. The rule is \
              silent where CPU and memory are all that is looked at and the limits of the target's containers keep a burst \
              within one such step.",
    check: |context, sink| {
        for (id, object, hpa) in context.hpas() {
            // The first version of the API has no behavior to write.
            if hpa.behavior.is_some() || hpa.metrics.is_empty() || object.api_version.ends_with("/v1") {
                continue;
            }
            let Some(mut spec) = what_if::spec_of(hpa) else { continue };
            if spec.max_replicas <= 4 || spec.max_replicas <= spec.min_replicas {
                continue;
            }
            // A burst: one metric at ten times its target, nothing else to hold it.
            spec.metrics = vec![crate::hpa::Metric::Pods { name: "load".to_owned(), average_milli: 1000 }];
            let start = spec.min_replicas.max(1);
            if burst_is_bounded(context, object, hpa, start) {
                continue;
            }
            let course = what_if::run(&spec, start, 40, &|replicas, now| {
                vec![what_if::per_pod(replicas, 10_000, now)]
            });
            let steps: Vec<String> = course
                .iter()
                .take_while(|replicas| **replicas < spec.max_replicas)
                .chain(course.iter().find(|replicas| **replicas >= spec.max_replicas))
                .map(i32::to_string)
                .collect();
            let seconds = steps.len() * 15;
            let message = format!(
                "{}: without behavior one burst goes {start} → {} within {seconds} s, and every pod started for \
                 it is taken away at once {} s after the last high sample; write scaleUp and scaleDown",
                object.label(),
                steps.join(" → "),
                spec.controller.downscale_window_seconds
            );
            let reported = sink.at(id, object.span(), message);
            let Some(max) = &hpa.max else { continue };
            let indent =
                max_key_indent(context, object).unwrap_or_else(|| indent_of(context.sources(), max.span));
            reported.fix(vec![Edit::insert_after(
                context.sources(),
                last_of_spec(object, max),
                &behavior_lines(&indent),
            )]);
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}
",
        silent: "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}
  behavior:
    scaleUp:
      policies: [{type: Pods, value: 2, periodSeconds: 60}]
    scaleDown:
      stabilizationWindowSeconds: 300
      policies: [{type: Pods, value: 1, periodSeconds: 60}]
",
    },
};

fn max_key_indent(context: &Context<'_>, object: &Object) -> Option<String> {
    let entry = object.root.get("spec")?.entry("maxReplicas")?;
    Some(indent_of(context.sources(), entry.key_span))
}

/// The span after which `spec` ends.
fn last_of_spec(object: &Object, fallback: &At<i64>) -> crate::read::Span {
    object.root.get("spec").map_or(fallback.span, |spec| spec.span)
}

fn behavior_lines(indent: &str) -> String {
    [
        "behavior:",
        "  scaleUp:",
        "    policies:",
        "      - {type: Pods, value: 2, periodSeconds: 60}",
        "  scaleDown:",
        "    stabilizationWindowSeconds: 300",
        "    policies:",
        "      - {type: Pods, value: 1, periodSeconds: 60}",
    ]
    .map(|line| format!("{indent}{line}"))
    .join("\n")
}

/// The rules of both directions of every scaler.
fn each_rules<'a>(context: &Context<'a>) -> Vec<(ObjectId, &'a Object, &'static str, &'a Rules)> {
    let mut all = Vec::new();
    for (id, object, scaler) in context.scalers() {
        let Some(behavior) = scaler.behavior() else { continue };
        for (name, rules) in [("scaleUp", &behavior.up), ("scaleDown", &behavior.down)] {
            if let Some(rules) = rules {
                all.push((id, object, name, rules));
            }
        }
    }
    all
}

static WINDOW_BOUND: Rule = Rule {
    id: "hpa-window-bound",
    severity: Severity::Error,
    title: "a stabilization window is longer than an hour or negative",
    explain: "The API server accepts 0 to 3600 seconds and rejects the HPA otherwise (KEDA's own HPA included).",
    check: |context, sink| {
        for (id, object, direction, rules) in each_rules(context) {
            let Some(window) = rules.window.as_ref().filter(|window| !(0..=3600).contains(&window.value))
            else {
                continue;
            };
            let bound = window.value.clamp(0, 3600);
            let message = format!(
                "{}: {direction}.stabilizationWindowSeconds is {}; the API server allows 0 to 3600 and rejects the HPA",
                object.label(),
                window.value
            );
            sink.at(id, window.span, message).fix(vec![Edit::replace(window.span, bound.to_string())]);
        }
    },
    fixture: behavior_fixture!(
        "scaleDown: {stabilizationWindowSeconds: 7200}",
        "scaleDown: {stabilizationWindowSeconds: 3600}",
    ),
};

static PERIOD_BOUND: Rule = Rule {
    id: "hpa-period-bound",
    severity: Severity::Error,
    title: "a policy's period is longer than half an hour or not positive",
    explain: "`periodSeconds` must be from 1 to 1800; the API server rejects the HPA otherwise.",
    check: |context, sink| {
        for (id, object, direction, rules) in each_rules(context) {
            for period in rules.policies.iter().flatten().filter_map(|policy| policy.period.as_ref()) {
                if (1..=1800).contains(&period.value) {
                    continue;
                }
                let message = format!(
                    "{}: a {direction} policy has periodSeconds {}; the API server allows 1 to 1800 and rejects the HPA",
                    object.label(),
                    period.value
                );
                let bound = period.value.clamp(1, 1800);
                sink.at(id, period.span, message).fix(vec![Edit::replace(period.span, bound.to_string())]);
            }
        }
    },
    fixture: behavior_fixture!(
        "scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 3600}]}",
        "scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 1800}]}",
    ),
};

static POLICY_VALUE: Rule = Rule {
    id: "hpa-policy-value",
    severity: Severity::Error,
    title: "a policy allows nothing, or a list of policies is empty",
    explain: "`value` must be above 0 and `policies` must not be empty; the API server rejects the HPA. To forbid \
              a direction write `selectPolicy: Disabled`.",
    check: |context, sink| {
        for (id, object, direction, rules) in each_rules(context) {
            let label = object.label();
            let Some(policies) = &rules.policies else { continue };
            let behavior = object.root.get("spec").map_or(object.root.span, |spec| spec.span);
            if policies.is_empty() {
                sink.at(
                    id,
                    behavior,
                    format!(
                        "{label}: {direction}.policies is empty; leave it out or write selectPolicy: Disabled"
                    ),
                );
            }
            for value in policies.iter().filter_map(|policy| policy.value.as_ref()).filter(|v| v.value < 1) {
                sink.at(
                    id,
                    value.span,
                    format!(
                        "{label}: a {direction} policy has value {}; it must be above 0. To forbid {direction} write \
                         selectPolicy: Disabled",
                        value.value
                    ),
                );
            }
        }
    },
    fixture: behavior_fixture!(
        "scaleDown: {policies: [{type: Pods, value: 0, periodSeconds: 60}]}",
        "scaleDown: {selectPolicy: Disabled, policies: [{type: Pods, value: 1, periodSeconds: 60}]}",
    ),
};
