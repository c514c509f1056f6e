//! Triggers of ScaledObjects: their types, their metadata, and what they measure.

use crate::hpa::{Metric, Reading, ResourceTarget};
use crate::keda::{self, TriggerKind};
use crate::lint::finding::Severity;
use crate::lint::fix::Edit;
use crate::lint::what_if::{self, MOST_REPLICAS};
use crate::manifest::{At, ScaledObject};
use crate::slip::slips;

use super::hpa_signals::is_latency;
use super::keda::{scaled, triggers};
use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] =
    &[&METADATA, &UNKNOWN_TRIGGER, &LATENCY_QUERY, &MEMORY_TRIGGER, &MISSING_REQUEST, &CRON_BEYOND_MAX];

/// What a trigger's metadata must hold; `a|b` is one of them. Values may come from an authentication.
const REQUIRED: [(&str, &[&str]); 8] = [
    ("cron", &["timezone", "start", "end", "desiredReplicas"]),
    ("prometheus", &["serverAddress", "query", "threshold"]),
    ("metrics-api", &["url", "valueLocation", "targetValue"]),
    ("postgresql", &["query", "targetQueryValue"]),
    ("cpu", &["value"]),
    ("memory", &["value"]),
    ("kafka", &["topic", "consumerGroup|topic"]),
    ("redis", &["listName"]),
];

static METADATA: Rule = Rule {
    id: "keda-trigger-metadata",
    severity: Severity::Error,
    title: "a trigger lacks what its scaler needs, or holds a number that is none",
    explain: "KEDA cannot build the scaler: the ScaledObject is not ready and makes no HPA for it. All values of \
              `metadata` are strings; targets must be positive numbers.",
    check: |context, sink| {
        for (id, object, trigger) in triggers(context) {
            let Some((kind, keys)) = REQUIRED.iter().find(|(kind, _)| *kind == trigger.kind.value) else {
                continue;
            };
            let label = object.label();
            for key in *keys {
                let from_env = format!("{key}FromEnv");
                let has =
                    key.split('|').any(|key| trigger.get(key).is_some()) || trigger.get(&from_env).is_some();
                if !has && !trigger.authenticated {
                    let span = trigger.metadata_span.unwrap_or(trigger.span);
                    sink.at(
                        id,
                        span,
                        format!(
                            "{label}: the {kind} trigger needs `metadata.{key}`; KEDA cannot use it as it is"
                        ),
                    );
                }
            }
            for key in ["threshold", "targetValue", "targetQueryValue", "desiredReplicas"] {
                let Some(at) = trigger.get(key) else { continue };
                let is_positive = at.value.trim().parse::<f64>().is_ok_and(|value| value > 0.0);
                let may_be_zero = key == "desiredReplicas" && at.value.trim() == "0";
                if !is_positive && !may_be_zero {
                    sink.at(id, at.span, format!("{label}: `{key}: {}` must be a number above 0", at.value));
                }
            }
        }
    },
    fixture: Fixture {
        fires: scaled!(
            "  minReplicaCount: 2\n",
            "    - type: prometheus\n      metadata: {serverAddress: \"http://prometheus\", query: sum(jobs)}\n"
        ),
        silent: scaled!(
            "  minReplicaCount: 2\n",
            "    - type: prometheus\n      metadata: {serverAddress: \"http://prometheus\", query: sum(jobs), threshold: \"8\"}\n"
        ),
    },
};

/// The trigger types of KEDA 2.18 and those that earlier 2.x releases had.
const TRIGGERS: [&str; 71] = [
    "activemq",
    "apache-kafka",
    "arangodb",
    "artemis-queue",
    "aws-cloudwatch",
    "aws-dynamodb",
    "aws-dynamodb-streams",
    "aws-kinesis-stream",
    "aws-sqs-queue",
    "azure-app-insights",
    "azure-blob",
    "azure-data-explorer",
    "azure-eventhub",
    "azure-log-analytics",
    "azure-monitor",
    "azure-pipelines",
    "azure-queue",
    "azure-servicebus",
    "beanstalkd",
    "cassandra",
    "couchdb",
    "cpu",
    "cron",
    "datadog",
    "dynatrace",
    "elasticsearch",
    "etcd",
    "external",
    "external-push",
    "forgejo-runner",
    "gcp-cloudtasks",
    "gcp-pubsub",
    "gcp-stackdriver",
    "gcp-storage",
    "github-runner",
    "graphite",
    "huawei-cloudeye",
    "ibmmq",
    "influxdb",
    "kafka",
    "kubernetes-workload",
    "liiklus",
    "loki",
    "memory",
    "metrics-api",
    "mongodb",
    "mssql",
    "mysql",
    "nats-jetstream",
    "new-relic",
    "nsq",
    "openstack-metric",
    "openstack-swift",
    "postgresql",
    "predictkube",
    "prometheus",
    "pulsar",
    "rabbitmq",
    "redis",
    "redis-cluster",
    "redis-cluster-streams",
    "redis-sentinel",
    "redis-sentinel-streams",
    "redis-streams",
    "selenium-grid",
    "solace-event-queue",
    "solarwinds",
    "solr",
    "splunk",
    "stan",
    "temporal",
];

static UNKNOWN_TRIGGER: Rule = Rule {
    id: "keda-trigger-unknown",
    severity: Severity::Error,
    title: "a trigger type that only a near miss of exists",
    explain: "KEDA has no scaler of this name: the ScaledObject is not ready and makes no HPA. The rule speaks only when \
              the name is nearly that of a known one, since KEDA gains new ones with each release.",
    check: |context, sink| {
        for (id, object, trigger) in triggers(context) {
            let written = trigger.kind.value.as_str();
            if TRIGGERS.contains(&written) {
                continue;
            }
            let near = TRIGGERS
                .iter()
                .filter_map(|known| Some((slips(known, &written.to_lowercase(), 2)?, *known)))
                .filter(|(distance, known)| distance * 4 <= known.len())
                .min();
            if let Some((_, near)) = near {
                let message =
                    format!("{}: KEDA has no trigger `{written}`; did you mean `{near}`?", object.label());
                sink.at(id, trigger.kind.span, message).fix(vec![Edit::replace(trigger.kind.span, near)]);
            }
        }
    },
    fixture: Fixture {
        fires: scaled!(
            "  minReplicaCount: 2\n",
            "    - type: promethues\n      metadata: {serverAddress: \"http://prometheus\", query: sum(jobs), threshold: \"8\"}\n"
        ),
        silent: scaled!(
            "  minReplicaCount: 2\n",
            "    - type: prometheus\n      metadata: {serverAddress: \"http://prometheus\", query: sum(jobs), threshold: \"8\"}\n"
        ),
    },
};

static LATENCY_QUERY: Rule = Rule {
    id: "keda-latency-query",
    severity: Severity::Warning,
    title: "a prometheus trigger scales on latency",
    explain: "Latency rises for reasons that more replicas do not cure (a slow dependency, a lock, a cold cache, a bad \
              release). With metricType Value the fleet is then driven to its maximum; with AverageValue, which is the \
              default, the one figure is divided by the threshold as if it were a sum over the pods, so a fleet of any \
              size is set to the same small number. Scale on queue depth, requests in flight or request rate.",
    check: |context, sink| {
        for (id, object, scaled) in context.scaled_objects() {
            for (index, trigger) in scaled.triggers.iter().enumerate() {
                let query = trigger.get("query").filter(|_| trigger.kind.value == "prometheus");
                let Some(query) = query.filter(|query| asks_for_latency(&query.value)) else { continue };
                let message = format!(
                    "{}: {}; scale on queue depth, requests in flight or rate",
                    object.label(),
                    set_by_latency(scaled, index)
                );
                sink.at(id, query.span, message);
            }
        }
    },
    fixture: Fixture {
        fires: scaled!(
            "  minReplicaCount: 2\n  maxReplicaCount: 10\n",
            "    - type: prometheus\n      metadata: {serverAddress: \"http://prometheus\", query: \"histogram_quantile(0.95, sum(rate(http_request_duration_seconds_bucket[2m])) by (le))\", threshold: \"0.5\"}\n"
        ),
        silent: scaled!(
            "  minReplicaCount: 2\n  maxReplicaCount: 10\n",
            "    - type: prometheus\n      metadata: {serverAddress: \"http://prometheus\", query: \"sum(rate(http_request_duration_seconds_count[2m]))\", threshold: \"50\"}\n"
        ),
    },
};

/// Whether a query's value is a time: a percentile, or a series named after a latency.
fn asks_for_latency(query: &str) -> bool {
    query.contains("histogram_quantile")
        || query
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
            .any(|word| word.contains('_') && !word.ends_with("_bucket") && is_latency(word))
}

/// What one trigger makes of a fleet while a dependency doubles the latency.
fn set_by_latency(scaled: &ScaledObject, index: usize) -> String {
    let keda = scaled.spec();
    let mut spec = keda.hpa();
    let sound = spec.min_replicas <= spec.max_replicas && spec.max_replicas <= MOST_REPLICAS;
    let (target, averaged) = match keda.triggers.get(index).filter(|_| sound) {
        Some(keda::Trigger { kind: TriggerKind::Prometheus(target), metric_type, .. }) => {
            (target.target_milli, *metric_type == keda::MetricType::AverageValue)
        }
        Some(_) | None => return "a slow dependency alone decides how many replicas run".to_owned(),
    };
    spec.metrics = vec![spec.metrics.swap_remove(index)];
    let from = if averaged { spec.max_replicas } else { spec.min_replicas };
    let double = target.saturating_mul(2);
    let course = what_if::run(&spec, from, 240, &|_, _| vec![Reading::Series(vec![double])]);
    let landed = course.last().copied().unwrap_or(from);
    format!(
        "when something else makes the latency twice its threshold, {from} replicas go to {landed} within an hour, \
         whatever the load is"
    )
}

static MEMORY_TRIGGER: Rule = Rule {
    id: "keda-memory-trigger",
    severity: Severity::Warning,
    title: "a ScaledObject scales on memory",
    explain: "Most programs keep the memory they once took (heap, caches, arenas): utilization does not fall when load \
              falls, so memory blocks scale-down, or lets it happen in steps as new pods lower the average. Size memory \
              with requests (a VPA recommends them) and scale on CPU or on work.",
    check: |context, sink| {
        for (id, object, scaled) in context.scaled_objects() {
            for (index, trigger) in scaled.triggers.iter().enumerate() {
                if trigger.kind.value == "memory" {
                    let message = format!("{}: {}", object.label(), held_by_memory(scaled, index));
                    sink.at(id, trigger.kind.span, message);
                }
            }
        }
    },
    fixture: Fixture {
        fires: scaled!(
            "  minReplicaCount: 2\n  maxReplicaCount: 10\n",
            "    - type: memory\n      metricType: Utilization\n      metadata: {value: \"80\"}\n"
        ),
        silent: scaled!(
            "  minReplicaCount: 2\n  maxReplicaCount: 10\n",
            "    - type: cpu\n      metricType: Utilization\n      metadata: {value: \"80\"}\n"
        ),
    },
};

/// The load is gone, the memory of each pod stays where it was.
fn held_by_memory(scaled: &ScaledObject, index: usize) -> String {
    let mut spec = scaled.spec().hpa();
    let sound = spec.min_replicas <= spec.max_replicas && spec.max_replicas <= MOST_REPLICAS;
    let percent = match spec.metrics.get(index).filter(|_| sound) {
        Some(Metric::Resource { target: ResourceTarget::Utilization(percent), .. }) if *percent > 0 => {
            i64::from(*percent)
        }
        Some(_) | None => {
            return "memory that a program keeps after the load has gone holds the replicas up".to_owned();
        }
    };
    spec.metrics = vec![spec.metrics.swap_remove(index)];
    let peak = spec.max_replicas;
    let kept = percent * 95 / 100;
    let course =
        what_if::run(&spec, peak, 120, &|replicas, now| vec![what_if::at_percent(replicas, kept, now)]);
    let landed = course.last().copied().unwrap_or(peak);
    format!(
        "when the load has gone but each pod keeps its memory at {kept} % of its request (target {percent} %), {peak} \
         replicas are still {landed} after 30 min where {} would do",
        spec.min_replicas
    )
}

static MISSING_REQUEST: Rule = Rule {
    id: "keda-missing-request",
    severity: Severity::Error,
    title: "a cpu or memory trigger wants a share of a request that a container does not make",
    explain: "The trigger becomes a Resource metric of the HPA: usage over request, summed over all containers of a pod. \
              One container without a request fails it for the whole target, and a failed metric forbids scaling down. \
              KEDA's webhook refuses such a ScaledObject. Sidecars count too.",
    check: |context, sink| {
        for (id, object, scaled) in context.scaled_objects() {
            let target = scaled.target.as_ref().and_then(|target| context.target(object, target));
            let Some((_, workload_object, workload)) = target else { continue };
            if context.has_limit_range(workload_object) {
                continue;
            }
            for trigger in &scaled.triggers {
                let resource = trigger.kind.value.as_str();
                let is_share = |key: &str| trigger.get(key).is_some_and(|at| at.value == "Utilization");
                let shared = trigger.metric_type.as_ref().is_some_and(|at| at.value == "Utilization")
                    || is_share("type");
                let pod_asks = workload.template.requests.get(resource).is_some();
                if !matches!(resource, "cpu" | "memory") || !shared || pod_asks {
                    continue;
                }
                let wanted = trigger.get("containerName").map(|at| at.value.as_str());
                let lacking = workload.template.running().find(|container| {
                    wanted.is_none_or(|name| name == container.label())
                        && container.requests.get(resource).is_none()
                });
                if let Some(container) = lacking {
                    let message = format!(
                        "{}: container {} of {} ({}) requests no {resource}: the trigger fails at every sync with \"missing \
                         request for {resource}\", and nothing scales down",
                        object.label(),
                        container.label(),
                        workload_object.label(),
                        context.place(container.span)
                    );
                    sink.at(id, trigger.kind.span, message);
                }
            }
        }
    },
    fixture: Fixture {
        fires: concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n",
            "  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: web, resources: {requests: {memory: 64Mi}}}]}\n---\n",
            scaled!(
                "  minReplicaCount: 2\n",
                "    - type: cpu\n      metricType: Utilization\n      metadata: {value: \"80\"}\n"
            )
        ),
        silent: concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n",
            "  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: web, resources: {requests: {cpu: 100m, memory: 64Mi}}}]}\n---\n",
            scaled!(
                "  minReplicaCount: 2\n",
                "    - type: cpu\n      metricType: Utilization\n      metadata: {value: \"80\"}\n"
            )
        ),
    },
};

static CRON_BEYOND_MAX: Rule = Rule {
    id: "keda-cron-beyond-max",
    severity: Severity::Warning,
    title: "a cron trigger asks for more replicas than the maximum",
    explain: "The HPA that KEDA makes never goes above maxReplicaCount (100 where it is not written): the trigger gets the \
              maximum and no more.",
    check: |context, sink| {
        for (id, object, scaled) in context.scaled_objects() {
            let most = scaled.max_replicas();
            let beyond = |at: &&At<String>| at.value.trim().parse::<i64>().is_ok_and(|wanted| wanted > most);
            for trigger in scaled.triggers.iter().filter(|trigger| trigger.kind.value == "cron") {
                if let Some(at) = trigger.get("desiredReplicas").filter(beyond) {
                    let message = format!(
                        "{}: this cron trigger asks for {} replicas and gets {most}, which is maxReplicaCount",
                        object.label(),
                        at.value.trim()
                    );
                    sink.at(id, at.span, message);
                }
            }
        }
    },
    fixture: Fixture {
        fires: scaled!(
            "  minReplicaCount: 2\n  maxReplicaCount: 10\n",
            "    - type: cron\n      metadata: {timezone: UTC, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: \"20\"}\n"
        ),
        silent: scaled!(
            "  minReplicaCount: 2\n  maxReplicaCount: 20\n",
            "    - type: cron\n      metadata: {timezone: UTC, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: \"20\"}\n"
        ),
    },
};
