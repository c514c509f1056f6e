//! PromQL in dashboards, Prometheus rules, KEDA triggers.

use crate::lint::context::Context;
use crate::lint::finding::Severity;
use crate::manifest::ObjectId;
use crate::manifest::{Call, Expression};
use crate::read::Span;

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] =
    &[&RATE_OF_GAUGE, &CPU_SHARE, &REMOVED_METRIC, &PENDING, &QUANTILE_WITHOUT_LE, &AVERAGED_QUANTILE];

macro_rules! alert {
    ($name:expr, $expr:expr) => {
        concat!("groups:\n  - name: g\n    rules:\n      - alert: ", $name, "\n        expr: ", $expr, "\n")
    };
}

/// One expression of the set.
struct Quoted<'a> {
    object: ObjectId,
    span: Span,
    text: &'a str,
    /// Under which title people see it.
    title: &'a str,
    /// The other expressions of the same panel.
    beside: Vec<&'a str>,
}

fn expressions<'a>(context: &Context<'a>) -> Vec<Quoted<'a>> {
    let mut all = Vec::new();
    for (id, _, dashboard) in context.dashboards() {
        for panel in &dashboard.panels {
            for expr in &panel.expressions {
                let beside = panel.expressions.iter().map(|other| other.value.as_str()).collect();
                all.push(Quoted {
                    object: id,
                    span: expr.span,
                    text: &expr.value,
                    title: &panel.title,
                    beside,
                });
            }
        }
    }
    for (id, _, rules) in context.prom_rules() {
        for rule in &rules.rules {
            let title = rule.name.as_ref().map_or("", |name| name.value.as_str());
            all.push(Quoted {
                object: id,
                span: rule.expr.span,
                text: &rule.expr.value,
                title,
                beside: Vec::new(),
            });
        }
    }
    for (id, object, scaled) in context.scaled_objects() {
        for trigger in scaled.triggers.iter().filter(|trigger| trigger.kind.value == "prometheus") {
            if let Some(query) = trigger.get("query") {
                let title = object.name();
                all.push(Quoted {
                    object: id,
                    span: query.span,
                    text: &query.value,
                    title,
                    beside: Vec::new(),
                });
            }
        }
    }
    all
}

/// Whether a series is a gauge by its name; `false` where the name does not say.
pub(super) fn is_gauge(name: &str) -> bool {
    const COUNTER: [&str; 5] = ["_total", "_count", "_sum", "_bucket", "_created"];
    const GAUGE: [&str; 14] = [
        "_replicas",
        "_depth",
        "_queue_length",
        "_queue_size",
        "_ratio",
        "_percent",
        "_in_flight",
        "_inflight",
        "_usage_bytes",
        "_utilization",
        "_temperature_celsius",
        "_limit_bytes",
        "_free_bytes",
        "_available_bytes",
    ];
    if COUNTER.iter().any(|suffix| name.ends_with(suffix)) {
        return false;
    }
    // kube-state-metrics names its counters *_total; the rest of kube_* are gauges.
    name == "up" || name.starts_with("kube_") || GAUGE.iter().any(|suffix| name.ends_with(suffix))
}

static RATE_OF_GAUGE: Rule = Rule {
    id: "promql-rate-of-gauge",
    severity: Severity::Warning,
    title: "`rate()` or `increase()` of a gauge",
    explain: "Both take every fall of a series for the restart of a counter and add the whole value back: over a gauge \
              they show numbers that never happened. Use `changes()` to count changes, `delta()` or `deriv()` for a \
              gauge's slope.",
    check: |context, sink| {
        for quoted in expressions(context) {
            let scan = Expression::scan(quoted.text);
            let calls =
                scan.calls.iter().filter(|call| matches!(call.name.as_str(), "rate" | "irate" | "increase"));
            for call in calls {
                if let Some(series) = scan.series_in(call).find(|series| is_gauge(&series.name)) {
                    sink.at(
                        quoted.object,
                        quoted.span,
                        format!(
                            "\"{}\": {} is a gauge, and {}() takes each fall for a counter's restart: a scale-down from 5 to 3 \
                             shows as +3. Use changes() or delta()",
                            quoted.title, series.name, call.name
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: alert!("Scaling", "rate(kube_horizontalpodautoscaler_status_current_replicas[5m]) > 1"),
        silent: alert!("Scaling", "changes(kube_horizontalpodautoscaler_status_current_replicas[5m]) > 1"),
    },
};

static CPU_SHARE: Rule = Rule {
    id: "promql-cpu-share",
    severity: Severity::Warning,
    title: "CPU as a share of a core is drawn against a target that is a share of the request",
    explain: "`rate(container_cpu_usage_seconds_total)` × 100 is percent of one core; an HPA's target is percent of the \
              pod's request. With a request of 500m the line reads half of what the HPA sees. Divide by \
              kube_pod_container_resource_requests{resource=\"cpu\"}, summed by pod.",
    check: |context, sink| {
        for quoted in expressions(context) {
            let scan = Expression::scan(quoted.text);
            let usage = scan.series.iter().any(|series| series.name == "container_cpu_usage_seconds_total");
            let divides = scan.series.iter().any(|series| series.name.contains("resource_requests"));
            let against = quoted.beside.iter().any(|other| {
                other.contains("kube_horizontalpodautoscaler_spec_target_metric") || other.contains("_hpa_spec_target_metric")
            });
            if usage && !divides && against {
                sink.at(
                    quoted.object,
                    quoted.span,
                    format!(
                        "\"{}\": this is percent of a core, the target beside it percent of the request: a pod with a request \
                         of 500m at its target of 70 % is drawn at 35. Divide by the pod's CPU requests",
                        quoted.title
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: "\
panels:
  - title: CPU against target
    type: timeseries
    targets:
      - expr: sum(rate(container_cpu_usage_seconds_total[5m])) by (pod) * 100
      - expr: kube_horizontalpodautoscaler_spec_target_metric{metric_name=\"cpu\"}
",
        silent: "\
panels:
  - title: CPU against target
    type: timeseries
    targets:
      - expr: sum(rate(container_cpu_usage_seconds_total[5m])) by (pod) / sum(kube_pod_container_resource_requests{resource=\"cpu\"}) by (pod) * 100
      - expr: kube_horizontalpodautoscaler_spec_target_metric{metric_name=\"cpu\"}
",
    },
};

/// Metrics that current components no longer have, and what to use.
const REMOVED: [(&str, &str); 8] = [
    ("scheduler_scheduling_duration_seconds", "scheduler_scheduling_attempt_duration_seconds"),
    ("scheduler_e2e_scheduling_duration_seconds", "scheduler_scheduling_attempt_duration_seconds"),
    ("scheduler_e2e_scheduling_latency_microseconds", "scheduler_scheduling_attempt_duration_seconds"),
    ("scheduler_pod_scheduling_duration_seconds", "scheduler_pod_scheduling_sli_duration_seconds"),
    ("kube_hpa_status_current_replicas", "kube_horizontalpodautoscaler_status_current_replicas"),
    ("kube_hpa_status_desired_replicas", "kube_horizontalpodautoscaler_status_desired_replicas"),
    ("kube_hpa_spec_max_replicas", "kube_horizontalpodautoscaler_spec_max_replicas"),
    ("kube_hpa_spec_min_replicas", "kube_horizontalpodautoscaler_spec_min_replicas"),
];

static REMOVED_METRIC: Rule = Rule {
    id: "promql-removed-metric",
    severity: Severity::Error,
    title: "a metric that current components no longer export",
    explain: "The panel stays empty and the alert never fires.",
    check: |context, sink| {
        for quoted in expressions(context) {
            for series in Expression::scan(quoted.text).series {
                let base = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|suffix| series.name.strip_suffix(suffix))
                    .unwrap_or(&series.name);
                if let Some((gone, instead)) = REMOVED.iter().find(|(gone, _)| *gone == base) {
                    let suffix = &series.name[gone.len()..];
                    sink.at(
                        quoted.object,
                        quoted.span,
                        format!("\"{}\": nothing exports {} any more, so this is always empty; use {instead}{suffix}", quoted.title, series.name),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: alert!(
            "Slow",
            "histogram_quantile(0.95, sum by (le) (rate(scheduler_scheduling_duration_seconds_bucket[5m]))) > 5"
        ),
        silent: alert!(
            "Slow",
            "histogram_quantile(0.95, sum by (le) (rate(scheduler_scheduling_attempt_duration_seconds_bucket[5m]))) > 5"
        ),
    },
};

static PENDING: Rule = Rule {
    id: "promql-pending-unschedulable",
    severity: Severity::Warning,
    title: "Pending pods are shown as unschedulable",
    explain: "A pod is Pending while its images are pulled and its volumes attached: every scale-up makes some. What no \
              node can take is `kube_pod_status_unschedulable`.",
    check: |context, sink| {
        for quoted in expressions(context) {
            let says = quoted.title.to_lowercase().contains("schedulable");
            let pending = Expression::scan(quoted.text)
                .series
                .iter()
                .any(|series| series.name == "kube_pod_status_phase" && series.labels.contains("Pending"));
            if says && pending {
                sink.at(
                    quoted.object,
                    quoted.span,
                    format!(
                        "\"{}\": Pending is not unschedulable: pods that pull an image count too, so every scale-up shows here; \
                         use kube_pod_status_unschedulable",
                        quoted.title
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: alert!("PodsUnschedulable", "sum(kube_pod_status_phase{phase=\"Pending\"}) > 5"),
        silent: alert!("PodsUnschedulable", "sum(kube_pod_status_unschedulable) > 5"),
    },
};

static QUANTILE_WITHOUT_LE: Rule = Rule {
    id: "promql-quantile-without-le",
    severity: Severity::Error,
    title: "`histogram_quantile` over an aggregation that drops `le`",
    explain: "The buckets are told apart by their label `le`; summed away, the function has nothing to work on and returns \
              nothing. Write `sum by (le, …)`.",
    check: |context, sink| {
        for quoted in expressions(context) {
            let scan = Expression::scan(quoted.text);
            for call in scan.calls.iter().filter(|call| call.name == "histogram_quantile") {
                let is_sum = |inner: &&Call| matches!(inner.name.as_str(), "sum" | "avg" | "max" | "min");
                let Some(inner) = scan.calls_in(call).find(is_sum) else { continue };
                let keeps = inner.without
                    || inner.by.as_ref().is_some_and(|labels| labels.iter().any(|label| label == "le"));
                let buckets = scan.series_in(call).any(|series| series.name.ends_with("_bucket"));
                if !keeps && buckets {
                    sink.at(
                        quoted.object,
                        quoted.span,
                        format!("\"{}\": {}(…) drops the label le, so histogram_quantile returns nothing; write {} by (le)", quoted.title, inner.name, inner.name),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: alert!("Slow", "histogram_quantile(0.9, sum by (pod) (rate(http_seconds_bucket[5m]))) > 1"),
        silent: alert!(
            "Slow",
            "histogram_quantile(0.9, sum by (pod, le) (rate(http_seconds_bucket[5m]))) > 1"
        ),
    },
};

static AVERAGED_QUANTILE: Rule = Rule {
    id: "promql-averaged-quantile",
    severity: Severity::Warning,
    title: "percentiles are averaged or summed",
    explain: "The mean of several pods' 95th percentiles is no percentile of anything: one slow pod among nine idle ones \
              disappears. Sum the buckets of a histogram by `le` and take the quantile of the sum.",
    check: |context, sink| {
        for quoted in expressions(context) {
            let scan = Expression::scan(quoted.text);
            for call in scan.calls.iter().filter(|call| matches!(call.name.as_str(), "avg" | "sum")) {
                let nested = scan.calls_in(call).any(|inner| inner.name == "histogram_quantile");
                let summary = scan.series_in(call).find(|series| {
                    let gauge =
                        ["_p50", "_p90", "_p95", "_p99"].iter().any(|word| series.name.contains(word));
                    gauge || series.labels.contains("quantile=\"0.9")
                });
                if nested || summary.is_some() {
                    sink.at(
                        quoted.object,
                        quoted.span,
                        format!(
                            "\"{}\": {}() of percentiles is no percentile; sum the buckets by le and take the quantile of that",
                            quoted.title, call.name
                        ),
                    );
                }
            }
        }
    },
    fixture: Fixture {
        fires: alert!("Slow", "avg(http_latency_p95_seconds) > 1"),
        silent: alert!("Slow", "max(http_latency_p95_seconds) > 1"),
    },
};
