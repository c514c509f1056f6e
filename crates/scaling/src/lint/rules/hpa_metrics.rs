//! The metrics of HPAs: which exist, which say something about load, which can be met at all.

use crate::hpa::Reading;
use crate::lint::context::Context;
use crate::lint::finding::Severity;
use crate::lint::what_if;
use crate::manifest::{AdapterForm, Hpa, Metric, MetricSource, Section};
use crate::slip::slips;

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] =
    &[&UNSERVED, &MISSING_REQUEST, &CONTAINER_MISSING, &TARGET_KIND, &ABOVE_LIMIT];

macro_rules! hpa_on {
    ($metric:expr) => {
        concat!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}\nspec:\n",
            "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}\n  minReplicas: 2\n",
            "  maxReplicas: 10\n  behavior: {scaleDown: {stabilizationWindowSeconds: 300}}\n  metrics:\n",
            $metric
        )
    };
}

macro_rules! deployment {
    ($resources:expr) => {
        concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n",
            "  selector: {matchLabels: {app: a}}\n  template:\n    metadata: {labels: {app: a}}\n",
            "    spec: {containers: [{name: web, image: a, resources: ",
            $resources,
            "}]}\n---\n"
        )
    };
}

/// Metrics that some adapter of the set serves; `None` when no adapter is in the set.
struct Served {
    custom: Vec<String>,
    external: Vec<String>,
    /// Whether some rule serves names that cannot be told.
    open: bool,
}

impl Served {
    fn of(context: &Context<'_>) -> Option<Self> {
        let mut served = Served { custom: Vec::new(), external: Vec::new(), open: false };
        let mut any = false;
        for (_, _, adapter) in context.adapters() {
            any = true;
            // The chart's default rules serve every counter and gauge of a container under its own name.
            served.open |= adapter.form == AdapterForm::HelmValues && adapter.defaults;
            for rule in &adapter.rules {
                match (rule.metric(), rule.section) {
                    (Some(metric), Section::Custom) => served.custom.push(metric.to_owned()),
                    (Some(metric), Section::External) => served.external.push(metric.to_owned()),
                    (None, _) => served.open = true,
                }
            }
        }
        any.then_some(served)
    }

    fn serves(&self, metric: &Metric) -> bool {
        let names = match metric.source {
            MetricSource::Pods | MetricSource::Object => &self.custom,
            MetricSource::External => &self.external,
            MetricSource::Resource | MetricSource::ContainerResource => return true,
        };
        self.open || metric.name.as_ref().is_none_or(|name| names.contains(&name.value))
    }
}

static UNSERVED: Rule = Rule {
    id: "hpa-metric-unserved",
    severity: Severity::Error,
    title: "an HPA names a metric that no adapter rule serves",
    explain: "A metric that the metrics API does not know fails at every sync. The others may still scale up, but \
              a failed metric forbids scaling down: the replicas stay at the highest they ever were. If all \
              metrics fail, nothing scales at all. The rule compares with the prometheus-adapter rules of the \
              set and is silent when the set holds none.",
    check: |context, sink| {
        let Some(served) = Served::of(context) else { return };
        for (id, object, hpa) in context.hpas() {
            for (index, metric) in hpa.metrics.iter().enumerate() {
                if served.serves(metric) {
                    continue;
                }
                let consequence = stuck(hpa, index, &served);
                let span = metric.name.as_ref().map_or(metric.span, |name| name.span);
                let message =
                    format!("{}: {consequence}: metric {} has no rule", object.label(), metric.label());
                let hint = near(&served, metric).map_or(String::new(), |near| format!("; {near} has one"));
                sink.at(id, span, message + &hint);
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: adapter}\ndata:\n  config.yaml: |\n    rules:\n",
            "      - seriesQuery: jobs_running\n        metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)\n---\n",
            hpa_on!(
                "    - type: Resource\n      resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}\n    - type: Pods\n      pods: {metric: {name: jobs_waiting}, target: {type: AverageValue, averageValue: 8}}\n"
            ),
        ),
        silent: concat!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: adapter}\ndata:\n  config.yaml: |\n    rules:\n",
            "      - seriesQuery: jobs_running\n        metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)\n---\n",
            hpa_on!(
                "    - type: Resource\n      resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}\n    - type: Pods\n      pods: {metric: {name: jobs_running}, target: {type: AverageValue, averageValue: 8}}\n"
            ),
        ),
    },
};

fn near<'a>(served: &'a Served, metric: &Metric) -> Option<&'a str> {
    let names = match metric.source {
        MetricSource::External => &served.external,
        _ => &served.custom,
    };
    let wanted = metric.label();
    names.iter().filter_map(|name| Some((slips(name, wanted, 3)?, name.as_str()))).min().map(|(_, name)| name)
}

/// What happens half way up at a third of the resource target while the metrics without a rule fail.
fn stuck(hpa: &Hpa, index: usize, served: &Served) -> String {
    let Some(spec) = what_if::spec_of(hpa) else { return "the metric fails at every sync".to_owned() };
    let replicas = (spec.max_replicas / 2).max(spec.min_replicas.saturating_add(1)).min(spec.max_replicas);
    let mut described = Vec::new();
    let readings: Vec<Reading> = hpa
        .metrics
        .iter()
        .enumerate()
        .map(|(other, metric)| {
            if other == index || !served.serves(metric) {
                return what_if::unserved();
            }
            let (reading, words) = what_if::third_of_target(metric, replicas);
            described.extend(words);
            reading
        })
        .collect();
    let decision = what_if::decide_once(&spec, replicas, readings);
    if described.is_empty() {
        return format!(
            "every metric fails, so it never scales: {replicas} replicas stay {}",
            decision.replicas
        );
    }
    let state = described.join(" and ");
    if decision.replicas >= replicas {
        format!(
            "at {state} this stays at {} replicas, since a failed metric forbids scaling down",
            decision.replicas
        )
    } else {
        format!(
            "at {state} this goes from {replicas} to {} replicas, the metric fails at every sync",
            decision.replicas
        )
    }
}

static MISSING_REQUEST: Rule = Rule {
    id: "hpa-missing-request",
    severity: Severity::Error,
    title: "an HPA wants a share of a request that a container does not make",
    explain: "Utilization is usage over request, summed over all containers of a pod. One container without a \
              request fails the metric for the whole target (\"missing request for cpu\"): the HPA reports \
              FailedGetResourceMetric and never scales on it. Sidecars count too.",
    check: |context, sink| {
        for (id, object, hpa) in context.hpas() {
            let Some((_, workload_object, workload)) =
                hpa.target.as_ref().and_then(|target| context.target(object, target))
            else {
                continue;
            };
            // A LimitRange of the namespace writes requests that no manifest shows.
            if context.has_limit_range(workload_object) {
                continue;
            }
            for metric in &hpa.metrics {
                let Some(name) = metric.name.as_ref().filter(|_| metric.target.utilization.is_some()) else {
                    continue;
                };
                let concerns = |container: &&crate::manifest::Container| match metric.source {
                    MetricSource::Resource => workload.template.requests.get(&name.value).is_none(),
                    MetricSource::ContainerResource => {
                        metric.container.as_ref().is_some_and(|wanted| wanted.value == container.label())
                    }
                    MetricSource::Pods | MetricSource::Object | MetricSource::External => false,
                };
                let lacking = workload.template.running().filter(concerns).find(|container| {
                    matches!(name.value.as_str(), "cpu" | "memory")
                        && container.requests.get(&name.value).is_none()
                });
                if let Some(container) = lacking {
                    sink.at(
                        id,
                        name.span,
                        format!(
                            "{}: container {} of {} ({}) requests no {}: the metric fails at every sync with \
                             \"missing request for {}\"{}",
                            object.label(),
                            container.label(),
                            workload_object.label(),
                            context.place(container.span),
                            name.value,
                            name.value,
                            if hpa.metrics.len() == 1 {
                                ", and nothing ever scales"
                            } else {
                                ", and nothing ever scales down"
                            }
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            deployment!("{requests: {memory: 1Gi}}"),
            hpa_on!(
                "    - type: Resource\n      resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}\n"
            )
        ),
        silent: concat!(
            deployment!("{requests: {cpu: 1, memory: 1Gi}}"),
            hpa_on!(
                "    - type: Resource\n      resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}\n"
            )
        ),
    },
};

static CONTAINER_MISSING: Rule = Rule {
    id: "hpa-container-missing",
    severity: Severity::Error,
    title: "a ContainerResource metric names a container that the target does not have",
    explain: "The metric fails at every sync; if it is the only one nothing scales.",
    check: |context, sink| {
        for (id, object, hpa) in context.hpas() {
            let Some((_, target, workload)) =
                hpa.target.as_ref().and_then(|target| context.target(object, target))
            else {
                continue;
            };
            let names: Vec<&str> = workload.template.running().map(|container| container.label()).collect();
            for metric in hpa.metrics.iter().filter(|metric| metric.source == MetricSource::ContainerResource)
            {
                let Some(wanted) = &metric.container else { continue };
                if !names.contains(&wanted.value.as_str()) {
                    sink.at(
                        id,
                        wanted.span,
                        format!(
                            "{}: {} has no container {}; it has {}",
                            object.label(),
                            target.label(),
                            wanted.value,
                            names.join(", ")
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            deployment!("{requests: {cpu: 1}}"),
            hpa_on!(
                "    - type: ContainerResource\n      containerResource: {name: cpu, container: app, target: {type: Utilization, averageUtilization: 80}}\n"
            )
        ),
        silent: concat!(
            deployment!("{requests: {cpu: 1}}"),
            hpa_on!(
                "    - type: ContainerResource\n      containerResource: {name: cpu, container: web, target: {type: Utilization, averageUtilization: 80}}\n"
            )
        ),
    },
};

static TARGET_KIND: Rule = Rule {
    id: "hpa-target-type",
    severity: Severity::Error,
    title: "a metric's target has a type or value that its source does not take",
    explain: "Pods metrics take only AverageValue; Resource metrics take Utilization or AverageValue; Object and \
              External ones Value or AverageValue. The value must be set for the type and be above 0. The API \
              server rejects the HPA otherwise.",
    check: |context, sink| {
        for (id, object, hpa) in context.hpas() {
            for metric in &hpa.metrics {
                let Some(fault) = target_fault(metric) else { continue };
                sink.at(id, metric.span, format!("{}: metric {}: {fault}", object.label(), metric.label()));
            }
        }
    },
    fixture: Fixture {
        fires: hpa_on!(
            "    - type: Pods\n      pods: {metric: {name: jobs_running}, target: {type: Value, value: 8}}\n"
        ),
        silent: hpa_on!(
            "    - type: Pods\n      pods: {metric: {name: jobs_running}, target: {type: AverageValue, averageValue: 8}}\n"
        ),
    },
};

fn target_fault(metric: &Metric) -> Option<String> {
    let kind = metric.target.kind.as_ref()?.value.as_str();
    let allowed: &[&str] = match metric.source {
        MetricSource::Resource | MetricSource::ContainerResource => &["Utilization", "AverageValue"],
        MetricSource::Pods => &["AverageValue"],
        MetricSource::Object | MetricSource::External => &["Value", "AverageValue"],
    };
    if !allowed.contains(&kind) {
        return Some(format!("target type {kind} is rejected; this source takes {}", allowed.join(" or ")));
    }
    let (field, value) = match kind {
        "Utilization" => {
            ("averageUtilization", metric.target.utilization.as_ref().map(|at| at.value.saturating_mul(1000)))
        }
        "AverageValue" => ("averageValue", metric.target.average.as_ref().map(|at| at.value.milli())),
        _ => ("value", metric.target.value.as_ref().map(|at| at.value.milli())),
    };
    match value {
        None => Some(format!("target type {kind} needs {field}")),
        Some(value) if value <= 0 => Some(format!("{field} must be above 0")),
        Some(_) => None,
    }
}

static ABOVE_LIMIT: Rule = Rule {
    id: "hpa-target-above-limit",
    severity: Severity::Error,
    title: "a utilization target that the pods' limits keep out of reach",
    explain: "Usage cannot pass the limit. If the target is more than limit / request, utilization never reaches it \
              and the HPA never scales up on that resource: CPU is throttled, memory is killed, at the minimum of \
              replicas.",
    check: |context, sink| {
        for (id, object, hpa) in context.hpas() {
            let Some((_, target, workload)) =
                hpa.target.as_ref().and_then(|target| context.target(object, target))
            else {
                continue;
            };
            for metric in hpa.metrics.iter().filter(|metric| metric.source == MetricSource::Resource) {
                let (Some(name), Some(percent)) = (&metric.name, &metric.target.utilization) else {
                    continue;
                };
                let Some(request) =
                    workload.template.request_milli(&name.value).filter(|request| *request > 0)
                else {
                    continue;
                };
                let limits = workload.template.running().try_fold(0_i64, |sum, container| {
                    container.limits.get(&name.value).map(|limit| sum.saturating_add(limit.value.milli()))
                });
                let Some(most) = limits.map(|limit| limit.saturating_mul(100) / request) else { continue };
                // Within the tolerance of 10 % above the target nothing happens either.
                if percent.value.saturating_mul(11) / 10 >= most {
                    sink.at(
                        id,
                        percent.span,
                        format!(
                            "{}: pods of {} can use at most {most} % of their {} request, and up to {} % counts as within \
                             tolerance of the target {} %: it never scales up on {}",
                            object.label(),
                            target.label(),
                            name.value,
                            percent.value.saturating_mul(11) / 10,
                            percent.value,
                            name.value
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            deployment!("{requests: {cpu: 1}, limits: {cpu: 1}}"),
            hpa_on!(
                "    - type: Resource\n      resource: {name: cpu, target: {type: Utilization, averageUtilization: 95}}\n"
            )
        ),
        silent: concat!(
            deployment!("{requests: {cpu: 1}, limits: {cpu: 1}}"),
            hpa_on!(
                "    - type: Resource\n      resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}\n"
            )
        ),
    },
};
