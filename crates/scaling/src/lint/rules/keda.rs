//! ScaledObjects.

use crate::keda::{Cron, Measured, TriggerKind, Zone, settle};
use crate::lint::context::{Context, Scaler};
use crate::lint::finding::Severity;
use crate::lint::fix::Edit;
use crate::lint::what_if::{MOST_REPLICAS, NOW};
use crate::manifest::{Object, ObjectId, ScaledObject, Trigger};
use crate::moment::Moment;

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] =
    &[&CRON_INVALID, &CRON_MISSES, &ZERO_FRONT, &SIGNAL_FROM_SELF, &ZERO_NEEDS_ACTIVATION, &SHORT_COOLDOWN];

macro_rules! scaled {
    ($bounds:expr, $trigger:expr) => {
        concat!(
            "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: a}\nspec:\n",
            "  scaleTargetRef: {name: web}\n",
            $bounds,
            "  triggers:\n",
            $trigger
        )
    };
}

pub(super) use scaled;

/// Every trigger of the set with its object.
pub(super) fn triggers<'a>(
    context: &Context<'a>,
) -> impl Iterator<Item = (ObjectId, &'a Object, &'a Trigger)> + use<'a> {
    context
        .scaled_objects()
        .flat_map(|(id, object, scaled)| scaled.triggers.iter().map(move |trigger| (id, object, trigger)))
}

static CRON_INVALID: Rule = Rule {
    id: "keda-cron-invalid",
    severity: Severity::Error,
    title: "a cron trigger with an expression or time zone that cannot be read",
    explain: "KEDA reads five fields (minute, hour, day of month, month, day of week) and IANA time zones. A trigger \
              that cannot be read fails at every poll; the replicas stay where they are. `start` and `end` must \
              differ, and both must come: 31 February does not.",
    check: |context, sink| {
        for (id, object, trigger) in triggers(context).filter(|(_, _, trigger)| trigger.kind.value == "cron")
        {
            let label = object.label();
            for key in ["start", "end"] {
                let Some(at) = trigger.get(key) else { continue };
                match Cron::parse(&at.value) {
                    Err(error) => {
                        sink.at(id, at.span, format!("{label}: `{key}: {}`: {error}", at.value));
                    }
                    Ok(cron) if Zone::named("UTC").is_ok_and(|utc| cron.next(&utc, NOW).is_none()) => {
                        let message = format!(
                            "{label}: `{key}: {}` names a day that no year has: the trigger never turns; write one that \
                             comes",
                            at.value
                        );
                        sink.at(id, at.span, message);
                    }
                    Ok(_) => {}
                }
            }
            if let Some(zone) = trigger.get("timezone")
                && let Err(error) = Zone::named(&zone.value)
            {
                sink.at(id, zone.span, format!("{label}: `timezone: {}`: {error}", zone.value));
            }
            if let (Some(start), Some(end)) = (trigger.get("start"), trigger.get("end"))
                && start.value == end.value
            {
                sink.at(
                    id,
                    end.span,
                    format!("{label}: start and end are both `{}`; KEDA refuses it", end.value),
                );
            }
        }
    },
    fixture: Fixture {
        fires: scaled!(
            "  minReplicaCount: 2\n",
            "    - type: cron\n      metadata: {timezone: Europe/Berlin, start: 0 8 * * 8, end: 0 18 * * 1-5, desiredReplicas: \"5\"}\n"
        ),
        silent: scaled!(
            "  minReplicaCount: 2\n",
            "    - type: cron\n      metadata: {timezone: Europe/Berlin, start: 0 8 * * 1-5, end: 0 18 * * 1-5, desiredReplicas: \"5\"}\n"
        ),
    },
};

static CRON_MISSES: Rule = Rule {
    id: "keda-cron-tolerance",
    severity: Severity::Warning,
    title: "a cron trigger that lands on another number than it asks for",
    explain: "KEDA turns a cron trigger into an HPA metric: value desiredReplicas, average target 1. The HPA leaves \
              everything within 10 % of the current replicas alone, so a trigger that asks for nearly as many as run \
              changes nothing: 45 asked where 50 run stay 50. The rule runs KEDA's loop and the HPA's to rest from \
              the replicas that the other cron triggers ask for, the minimum and the maximum.",
    check: |context, sink| {
        for (id, object, scaled) in context.scaled_objects() {
            let spec = scaled.spec();
            // Only where time is the only signal is it certain what the others say.
            let only_cron = spec.triggers.iter().all(|trigger| matches!(trigger.kind, TriggerKind::Cron(_)));
            let few = spec.max_replicas <= MOST_REPLICAS && spec.min_replicas <= MOST_REPLICAS;
            let sound = spec.max_replicas >= spec.min_replicas.max(1);
            if !few || !sound || !only_cron || spec.triggers.len() != scaled.triggers.len() || scaled.formula
            {
                continue;
            }
            let mut starts: Vec<i32> = vec![spec.min_replicas.max(1), spec.max_replicas];
            for trigger in &spec.triggers {
                if let TriggerKind::Cron(cron) = &trigger.kind {
                    starts.push(cron.desired_replicas.min(MOST_REPLICAS));
                }
            }
            for (trigger, written) in spec.triggers.iter().zip(&scaled.triggers) {
                let TriggerKind::Cron(cron) = &trigger.kind else { continue };
                let Some(at) = inside(cron) else { continue };
                let wanted = cron.desired_replicas.clamp(spec.min_replicas.max(1), spec.max_replicas);
                let mut alone = spec.clone();
                alone.triggers = vec![trigger.clone()];
                let missed = starts.iter().filter(|start| **start > 0).find_map(|start| {
                    let landing = settle(&alone, *start, &[Measured::Nothing], at);
                    (landing.replicas != wanted).then_some((*start, landing.replicas))
                });
                if let Some((start, landed)) = missed {
                    let span = written.get("desiredReplicas").map_or(written.span, |at| at.span);
                    sink.at(
                        id,
                        span,
                        format!(
                            "{}: from {start} replicas this cron trigger asks for {wanted} and gets {landed}: the \
                             difference is within the HPA's tolerance of 10 %; ask for a number further away",
                            object.label()
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: scaled!(
            "  minReplicaCount: 10\n  maxReplicaCount: 50\n",
            "    - type: cron\n      metadata: {timezone: UTC, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: \"46\"}\n"
        ),
        silent: scaled!(
            "  minReplicaCount: 10\n  maxReplicaCount: 50\n",
            "    - type: cron\n      metadata: {timezone: UTC, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: \"30\"}\n"
        ),
    },
};

/// A moment at which the trigger is on.
fn inside(cron: &crate::keda::CronTrigger) -> Option<Moment> {
    let start = cron.start.next(&cron.zone, NOW)?;
    let at = start.plus_seconds(1);
    cron.is_active(at).then_some(at)
}

/// Names of what accepts requests, where the workload itself cannot be looked at.
const FRONT_WORDS: [&str; 11] = [
    "orchestrator",
    "gateway",
    "api",
    "front",
    "web",
    "server",
    "ingress",
    "proxy",
    "router",
    "reflex",
    "edge",
];

static ZERO_FRONT: Rule = Rule {
    id: "keda-zero-wakes-by-clock",
    severity: Severity::Warning,
    title: "a target that takes requests scales to zero and only the clock brings it back",
    explain: "At zero replicas a Service has no endpoints: connections are refused, and a signal that the target \
              itself reports (a backlog it accepts and counts) goes with it. Outside the cron window nothing can wake \
              it. Keep one replica of whatever accepts requests, or put something in front that answers 503 with \
              Retry-After and reports demand to a trigger. Workloads that no Service selects are left alone; where the workload is \
              not in the set its name decides.",
    check: |context, sink| {
        for (id, object, scaled) in context.scaled_objects() {
            let only_cron =
                !scaled.triggers.is_empty() && scaled.triggers.iter().all(|t| t.kind.value == "cron");
            if scaled.min_replicas() != 0 || !only_cron {
                continue;
            }
            let Some(target) = &scaled.target else { continue };
            let name = target.name.value.as_str();
            let takes_requests = match context.target(object, target) {
                Some((_, workload_object, workload)) => {
                    !context.services_of(workload_object, workload).is_empty()
                }
                // Not in the set: its name has to say it.
                None => FRONT_WORDS.iter().any(|word| name.contains(word)),
            };
            if !takes_requests {
                continue;
            }
            let window =
                scaled.triggers[0].get("end").map_or(String::new(), |end| format!(" (`{}`)", end.value));
            let span = scaled.min.as_ref().map_or(object.span(), |min| min.span);
            let message = format!(
                "{}: after the window ends{window} {name} has 0 pods and only the clock brings it back: what sends \
                 requests is refused, and no backlog that {name} itself accepts or reports can wake it. Keep 1, or \
                 let something in front answer 503 with Retry-After",
                object.label()
            );
            let reported = sink.at(id, span, message);
            if scaled.min.is_some() {
                reported.fix(vec![Edit::replace(span, "1")]);
            }
        }
    },
    fixture: Fixture {
        fires: scaled!(
            "  minReplicaCount: 0\n  maxReplicaCount: 3\n",
            "    - type: cron\n      metadata: {timezone: UTC, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: \"1\"}\n"
        ),
        silent: scaled!(
            "  minReplicaCount: 1\n  maxReplicaCount: 3\n",
            "    - type: cron\n      metadata: {timezone: UTC, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: \"3\"}\n"
        ),
    },
};

static SIGNAL_FROM_SELF: Rule = Rule {
    id: "keda-signal-from-target",
    severity: Severity::Error,
    title: "a target that scales to zero is the one that reports the signal to wake it",
    explain: "At zero replicas the metrics-api trigger has nobody to ask: it fails at every poll, the ScaledObject \
              never becomes active again. Ask a component that stays, or keep one replica.",
    check: |context, sink| {
        for (id, object, scaled) in context.scaled_objects() {
            if scaled.min_replicas() != 0 {
                continue;
            }
            let Some(target) = &scaled.target else { continue };
            let Some((_, workload_object, workload)) = context.target(object, target) else { continue };
            let services = context.services_of(workload_object, workload);
            for trigger in &scaled.triggers {
                let Some(url) = trigger.get("url") else { continue };
                let host = host_of(&url.value);
                let own =
                    services.iter().any(|(_, service, _)| host.split('.').next() == Some(service.name()));
                let others = scaled.triggers.iter().any(|other| {
                    !std::ptr::eq(other, trigger) && other.kind.value != "cpu" && other.kind.value != "memory"
                });
                if own && !others {
                    sink.at(
                        id,
                        url.span,
                        format!(
                            "{}: {host} is served by {} itself; at 0 replicas nobody answers and it never wakes. Keep 1 \
                             replica or ask a component that stays",
                            object.label(),
                            workload_object.label()
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            scaled!(
                "  minReplicaCount: 0\n",
                "    - type: metrics-api\n      metadata: {url: \"http://web.n:80/load\", valueLocation: ready, targetValue: \"5\"}\n"
            ),
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n",
            "  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: a}]}\n---\n",
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n",
        ),
        silent: concat!(
            scaled!(
                "  minReplicaCount: 0\n",
                "    - type: metrics-api\n      metadata: {url: \"http://front.n:80/load\", valueLocation: ready, targetValue: \"5\"}\n"
            ),
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n",
            "  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: a}]}\n---\n",
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n",
        ),
    },
};

/// The host of a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':', '?']).next().unwrap_or(rest)
}

static ZERO_NEEDS_ACTIVATION: Rule = Rule {
    id: "keda-zero-needs-activation",
    severity: Severity::Error,
    title: "a ScaledObject that may be zero has only cpu and memory triggers",
    explain: "At zero pods there is no CPU or memory to measure, so these triggers never activate anything: KEDA's \
              webhook refuses such an object. `minReplicaCount` is 0 where it is not written.",
    check: |context, sink| {
        for (id, object, scaled) in context.scaled_objects() {
            let only = !scaled.triggers.is_empty()
                && scaled.triggers.iter().all(|t| matches!(t.kind.value.as_str(), "cpu" | "memory"));
            if scaled.min_replicas() == 0 && only {
                let span = scaled.min.as_ref().map_or(object.span(), |min| min.span);
                let written = if scaled.min.is_some() { "is 0" } else { "is not written and so 0" };
                let reported = sink.at(
                    id,
                    span,
                    format!(
                        "{}: minReplicaCount {written}, but cpu and memory cannot wake a target that has no pods; KEDA \
                         refuses it. Write minReplicaCount: 1",
                        object.label()
                    ),
                );
                if scaled.min.is_some() {
                    reported.fix(vec![Edit::replace(span, "1")]);
                }
            }
        }
    },
    fixture: Fixture {
        fires: scaled!("", "    - {type: cpu, metricType: Utilization, metadata: {value: \"70\"}}\n"),
        silent: scaled!(
            "  minReplicaCount: 1\n",
            "    - {type: cpu, metricType: Utilization, metadata: {value: \"70\"}}\n"
        ),
    },
};

static SHORT_COOLDOWN: Rule = Rule {
    id: "keda-cooldown-below-polling",
    severity: Severity::Warning,
    title: "the cooldown is not longer than the polling interval",
    explain: "KEDA looks at its triggers once a polling interval (30 s) and scales to zero when the last active look \
              is longer ago than the cooldown (300 s). With a cooldown not longer than one interval a single quiet \
              look takes the last pod away, and the next request waits for a cold start.",
    check: |context, sink| {
        for (id, object, scaled) in context.scaled_objects() {
            let Some(cooldown) = scaled.cooldown.as_ref().filter(|_| can_be_zero(scaled)) else { continue };
            let polling = scaled.polling.as_ref().map_or(30, |polling| polling.value);
            if cooldown.value <= polling {
                sink.at(
                    id,
                    cooldown.span,
                    format!(
                        "{}: cooldownPeriod {} s is not longer than the polling interval of {polling} s: one quiet look \
                         takes the last pod away",
                        object.label(),
                        cooldown.value
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: scaled!(
            "  minReplicaCount: 0\n  cooldownPeriod: 30\n",
            "    - type: prometheus\n      metadata: {serverAddress: \"http://prometheus\", query: sum(jobs), threshold: \"8\"}\n"
        ),
        silent: scaled!(
            "  minReplicaCount: 0\n  cooldownPeriod: 300\n",
            "    - type: prometheus\n      metadata: {serverAddress: \"http://prometheus\", query: sum(jobs), threshold: \"8\"}\n"
        ),
    },
};

fn can_be_zero(scaled: &ScaledObject) -> bool {
    Scaler::Keda(scaled).min() == 0 || scaled.idle.as_ref().is_some_and(|idle| idle.value == 0)
}
