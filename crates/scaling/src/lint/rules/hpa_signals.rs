//! Metrics of HPAs that exist and say the wrong thing: latency, figures of the whole system, memory.

use crate::hpa::Reading;
use crate::lint::finding::Severity;
use crate::lint::what_if;
use crate::manifest::{Hpa, MetricSource};

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] = &[&LATENCY, &GLOBAL_GAUGE, &MEMORY];

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

const LATENCY_WORDS: [&str; 7] = ["latency", "duration", "response_time", "p50", "p90", "p95", "p99"];

static LATENCY: Rule = Rule {
    id: "hpa-latency-metric",
    severity: Severity::Warning,
    title: "an HPA scales on latency",
    explain: "Latency rises for reasons that more replicas do not cure (a slow dependency, a lock, a cold cache, \
              a bad release): the fleet is then driven to its maximum and held there. A percentile of each pod \
              cannot be averaged over pods either. Scale on queue depth, requests in flight or request rate; \
              keep latency, from a histogram, for alerts.",
    check: |context, sink| {
        for (id, object, hpa) in context.hpas() {
            for (index, metric) in hpa.metrics.iter().enumerate() {
                let is_custom =
                    !matches!(metric.source, MetricSource::Resource | MetricSource::ContainerResource);
                let Some(name) = metric.name.as_ref().filter(|name| is_custom && is_latency(&name.value))
                else {
                    continue;
                };
                let averaged = matches!(metric.source, MetricSource::Pods)
                    && ["p50", "p90", "p95", "p99"].iter().any(|word| name.value.contains(word));
                let percentile =
                    if averaged { ", and a percentile of each pod cannot be averaged" } else { "" };
                let message = format!(
                    "{}: {}{percentile}; scale on queue depth, requests in flight or rate",
                    object.label(),
                    pinned(hpa, index)
                );
                sink.at(id, name.span, message);
            }
        }
    },
    fixture: Fixture {
        fires: hpa_on!(
            "    - type: Pods\n      pods: {metric: {name: http_latency_p95_seconds}, target: {type: AverageValue, averageValue: 500m}}\n"
        ),
        silent: hpa_on!(
            "    - type: Pods\n      pods: {metric: {name: http_requests_in_flight}, target: {type: AverageValue, averageValue: 20}}\n"
        ),
    },
};

/// Whether a metric's name is that of a time that requests take.
pub(super) fn is_latency(name: &str) -> bool {
    let name = name.to_lowercase();
    // The count of a latency histogram, or a rate of it, says how many, not how long.
    if ["_count", "_total", "_per_second", "_rate", "_rps", "_qps"].iter().any(|end| name.ends_with(end)) {
        return false;
    }
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    LATENCY_WORDS
        .iter()
        .any(|word| if word.starts_with('p') { words.contains(word) } else { name.contains(word) })
}

/// A dependency doubles the latency and no replica changes that.
fn pinned(hpa: &Hpa, index: usize) -> String {
    let Some(mut spec) = what_if::spec_of(hpa) else {
        return "a slow dependency alone drives it up".to_owned();
    };
    let average = hpa.metrics[index].target.average.as_ref().or(hpa.metrics[index].target.value.as_ref());
    let Some(target) = average.map(|average| average.value.milli()).filter(|target| *target > 0) else {
        return "a slow dependency alone drives it up".to_owned();
    };
    let metric = spec.metrics.swap_remove(index);
    let series = !matches!(hpa.metrics[index].source, MetricSource::Pods);
    spec.metrics = vec![metric];
    let from = spec.min_replicas.max(1);
    let double = target.saturating_mul(2);
    let course = what_if::run(&spec, from, 240, &|replicas, now| {
        if series {
            // A value that does not divide by replicas: the same however many there are.
            vec![Reading::Series(vec![double.saturating_mul(i64::from(replicas).max(1))])]
        } else {
            vec![what_if::per_pod(replicas, double, now)]
        }
    });
    let landed = course.last().copied().unwrap_or(from);
    let minutes =
        course.iter().position(|replicas| *replicas == landed).map_or(0, |sync| (sync + 1).div_ceil(4));
    format!(
        "when something else makes {} twice its target, more pods do not lower it: it goes from {from} to {landed} replicas \
         within {minutes} min and stays there",
        hpa.metrics[index].label()
    )
}

const GLOBAL_WORDS: [&str; 7] =
    ["queue_depth", "queue_length", "queue_size", "backlog", "queue_lag", "consumer_lag", "jobs_pending"];

static GLOBAL_GAUGE: Rule = Rule {
    id: "hpa-global-gauge",
    severity: Severity::Warning,
    title: "a figure of the whole system is used as a metric of each pod",
    explain: "The depth of a queue is one number. If every pod exports it and an HPA takes it as a Pods metric, \
              the average is the whole depth, so the wanted replicas are depth / target × replicas: more pods ask \
              for more pods, up to the maximum. If only the producer exports it, the metric does not exist on the \
              target's pods at all and fails. Use an External metric (KEDA metrics-api or prometheus trigger): \
              backlog / target, the same at any size.",
    check: |context, sink| {
        for (id, object, hpa) in context.hpas() {
            for (index, metric) in hpa.metrics.iter().enumerate() {
                if metric.source != MetricSource::Pods {
                    continue;
                }
                let Some(name) = metric.name.as_ref() else { continue };
                if !GLOBAL_WORDS.iter().any(|word| name.value.contains(word)) {
                    continue;
                }
                let target = hpa.target.as_ref().map_or("the target", |target| target.name.value.as_str());
                let message = format!(
                    "{}: {}; where only another component exports it, it does not exist on the pods of {target} and \
                     fails. Make it an External metric with AverageValue",
                    object.label(),
                    runaway(hpa, index)
                );
                sink.at(id, name.span, message);
            }
        }
    },
    fixture: Fixture {
        fires: hpa_on!(
            "    - type: Pods\n      pods: {metric: {name: mail_queue_depth}, target: {type: AverageValue, averageValue: 10}}\n"
        ),
        silent: hpa_on!(
            "    - type: External\n      external: {metric: {name: mail_queue_depth}, target: {type: AverageValue, averageValue: 10}}\n"
        ),
    },
};

/// A queue half again as deep as the target, reported in full by every pod.
fn runaway(hpa: &Hpa, index: usize) -> String {
    let target = hpa.metrics[index].target.average.as_ref().map_or(0, |average| average.value.milli());
    let name = hpa.metrics[index].label();
    let Some(mut spec) = what_if::spec_of(hpa).filter(|_| target > 0) else {
        return format!("every pod reports all of {name}, so more pods ask for more pods");
    };
    let metric = spec.metrics.swap_remove(index);
    spec.metrics = vec![metric];
    let depth = target.saturating_mul(3) / 2;
    let from = spec.min_replicas.max(1);
    let course =
        what_if::run(&spec, from, 240, &|replicas, now| vec![what_if::per_pod(replicas, depth, now)]);
    let landed = course.last().copied().unwrap_or(from);
    let needed = 2.max(from);
    format!(
        "if every pod reports the whole {name}, a depth of {} (work for 2 replicas at {} each) takes it from {from} to \
         {landed} replicas instead of {needed}",
        number(depth),
        number(target)
    )
}

fn number(milli: i64) -> String {
    crate::quantity::Quantity::from_milli(milli).as_f64().to_string()
}

static MEMORY: Rule = Rule {
    id: "hpa-memory-metric",
    severity: Severity::Warning,
    title: "an HPA scales on memory",
    explain: "Most programs keep the memory they once took (heap, caches, arenas): utilization does not fall when \
              load falls, so memory blocks scale-down, or lets it happen in steps as new pods lower the average. \
              Size memory with requests (a VPA recommends them) and scale on CPU or on work.",
    check: |context, sink| {
        for (id, object, hpa) in context.hpas() {
            for (index, metric) in hpa.metrics.iter().enumerate() {
                let is_resource =
                    matches!(metric.source, MetricSource::Resource | MetricSource::ContainerResource);
                let Some(name) = metric.name.as_ref().filter(|name| is_resource && name.value == "memory")
                else {
                    continue;
                };
                let message = format!("{}: {}", object.label(), held(hpa, index));
                sink.at(id, name.span, message);
            }
        }
    },
    fixture: Fixture {
        fires: hpa_on!(
            "    - type: Resource\n      resource: {name: memory, target: {type: Utilization, averageUtilization: 80}}\n"
        ),
        silent: hpa_on!(
            "    - type: Resource\n      resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}\n"
        ),
    },
};

/// The load is gone, the memory of each pod stays where it was.
fn held(hpa: &Hpa, index: usize) -> String {
    let percent = hpa.metrics[index].target.utilization.as_ref().map(|percent| percent.value);
    let (Some(mut spec), Some(percent)) = (what_if::spec_of(hpa), percent.filter(|percent| *percent > 0))
    else {
        return "memory that a program keeps after the load has gone holds the replicas up".to_owned();
    };
    let metric = spec.metrics.swap_remove(index);
    spec.metrics = vec![metric];
    let peak = spec.max_replicas;
    let kept = percent.saturating_mul(95) / 100;
    let course =
        what_if::run(&spec, peak, 120, &|replicas, now| vec![what_if::at_percent(replicas, kept, now)]);
    let landed = course.last().copied().unwrap_or(peak);
    format!(
        "when the load has gone but each pod keeps its memory at {kept} % of its request (target {percent} %), {peak} \
         replicas are still {landed} after 30 min where {} would do",
        spec.min_replicas
    )
}
