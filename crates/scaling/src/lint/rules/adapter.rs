//! Rules of the prometheus-adapter.

use crate::lint::context::Context;
use crate::lint::finding::Severity;
use crate::lint::fix::Edit;
use crate::manifest::{AdapterForm, AdapterRule, Expression, Object, ObjectId};

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] = &[&QUERY_TEMPLATE, &UNREAD_CONFIG, &COUNTER_AS_GAUGE, &RATE_OF_GAUGE];

macro_rules! adapter {
    ($series:expr, $query:expr) => {
        concat!(
            "rules:\n  default: false\n  custom:\n    - seriesQuery: ",
            $series,
            "\n      metricsQuery: ",
            $query,
            "\n"
        )
    };
}

fn each_rule<'a>(
    context: &Context<'a>,
) -> impl Iterator<Item = (ObjectId, &'a Object, &'a AdapterRule)> + use<'a> {
    context
        .adapters()
        .flat_map(|(id, object, adapter)| adapter.rules.iter().map(move |rule| (id, object, rule)))
}

static QUERY_TEMPLATE: Rule = Rule {
    id: "adapter-query-template",
    severity: Severity::Error,
    title: "a `metricsQuery` without the adapter's placeholders",
    explain: "The adapter fills `<<.Series>>`, `<<.LabelMatchers>>` (namespace and pods asked for) and \
              `<<.GroupBy>>` (the resource's label). Without the matchers the query reads every namespace; without \
              `by (<<.GroupBy>>)` each label set comes back as a series of its own, and the adapter takes whichever \
              it meets, or none, for a pod.",
    check: |context, sink| {
        for (id, object, rule) in each_rule(context) {
            let Some(query) = &rule.query else { continue };
            let lacks: Vec<&str> = ["<<.Series>>", "<<.LabelMatchers>>", "<<.GroupBy>>"]
                .into_iter()
                .filter(|placeholder| {
                    let inner = placeholder.trim_start_matches("<<").trim_end_matches(">>");
                    // `.GroupBySlice` and templates with functions count as well.
                    let by_values = inner == ".LabelMatchers" && query.value.contains(".LabelValuesByName");
                    !query.value.contains(inner) && !by_values
                })
                .collect();
            // A query that names its series itself and still matches and groups is unusual but sound.
            if lacks.is_empty() || lacks == ["<<.Series>>"] {
                continue;
            }
            let effect = match (lacks.contains(&"<<.LabelMatchers>>"), lacks.contains(&"<<.GroupBy>>")) {
                (true, true) => {
                    "it reads all namespaces and gives one series a label set instead of one a pod"
                }
                (true, false) => "it reads the pods of all namespaces",
                (false, _) => "it gives one series a label set instead of one a pod",
            };
            let message = format!("{}: this query lacks {}: {effect}", object.label(), lacks.join(", "));
            let reported = sink.at(id, query.span, message);
            if let Some(corrected) = corrected(rule, &query.value) {
                reported.fix(vec![Edit::replace(query.span, format!("'{corrected}'"))]);
            }
        }
    },
    fixture: Fixture {
        fires: adapter!("http_requests_total", "rate(http_requests_total[1m])"),
        silent: adapter!(
            "http_requests_total",
            "sum(rate(<<.Series>>{<<.LabelMatchers>>}[1m])) by (<<.GroupBy>>)"
        ),
    },
};

/// The query with its series matched and the whole summed by the resource.
fn corrected(rule: &AdapterRule, query: &str) -> Option<String> {
    let series = rule.series()?;
    let scan = Expression::scan(query);
    let [only] = scan.series.as_slice() else { return None };
    if only.name != series || query.contains('\'') || query.contains("<<") {
        return None;
    }
    let own = if only.labels.is_empty() { String::new() } else { format!(",{}", only.labels) };
    let written =
        if only.labels.is_empty() { only.name.clone() } else { format!("{}{{{}}}", only.name, only.labels) };
    let matched = query.replacen(&written, &format!("<<.Series>>{{<<.LabelMatchers>>{own}}}"), 1);
    let counter = series.ends_with("_total") || series.ends_with("_count");
    let aggregation = if counter || query.contains("sum") { "sum" } else { "max" };
    Some(format!("{aggregation}({matched}) by (<<.GroupBy>>)"))
}

static UNREAD_CONFIG: Rule = Rule {
    id: "adapter-config-unread",
    severity: Severity::Error,
    title: "adapter rules in a ConfigMap that nothing in the set mounts",
    explain: "The Helm chart of the prometheus-adapter reads its rules from the values `rules.custom` and \
              `rules.external`; a ConfigMap handed to it with `-f` is read as values, has none of these keys, and \
              is ignored: the adapter runs with its defaults and no metric of yours exists. A ConfigMap counts \
              only where the adapter's own Deployment mounts it. The adapter is being retired in favour of KEDA: \
              new set-ups should use ScaledObjects.",
    check: |context, sink| {
        for (id, object, adapter) in context.adapters() {
            if adapter.form != AdapterForm::ConfigMap {
                continue;
            }
            let mounted = context.workloads().any(|(_, other, workload)| {
                other.shares_namespace(object)
                    && workload.template.config_maps.iter().any(|name| name == object.name())
            });
            if !mounted {
                sink.at(
                    id,
                    object.span(),
                    format!(
                        "{}: no workload of the set mounts it. Helm's chart reads `rules.custom` of its values and \
                         ignores a ConfigMap handed to it, so its {} rules would not exist; write them as values, or \
                         move to KEDA, which replaces the adapter",
                        object.label(),
                        adapter.rules.len()
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: "\
apiVersion: v1
kind: ConfigMap
metadata: {name: adapter-config}
data:
  config.yaml: |
    rules:
      - seriesQuery: jobs_running
        metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
",
        silent: "\
rules:
  default: false
  custom:
    - seriesQuery: jobs_running
      metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
",
    },
};

static COUNTER_AS_GAUGE: Rule = Rule {
    id: "adapter-counter-without-rate",
    severity: Severity::Error,
    title: "an adapter rule serves a counter as it stands",
    explain: "A counter only grows: an HPA on it scales to the maximum sooner or later and never comes back. Take \
              its `rate()`.",
    check: |context, sink| {
        for (id, object, rule) in each_rule(context) {
            let (Some(query), Some(series)) = (&rule.query, rule.series()) else { continue };
            let is_counter = series.ends_with("_total") || series.ends_with("_count");
            let differs = ["rate(", "increase(", "delta(", "resets("].iter().any(|f| query.value.contains(f));
            if is_counter && !differs {
                sink.at(
                    id,
                    query.span,
                    format!(
                        "{}: {series} is a counter and only grows; take rate(…[2m]) of it",
                        object.label()
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: adapter!("http_requests_total", "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)"),
        silent: adapter!(
            "http_requests_total",
            "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)"
        ),
    },
};

static RATE_OF_GAUGE: Rule = Rule {
    id: "adapter-rate-of-gauge",
    severity: Severity::Error,
    title: "an adapter rule takes the rate of a gauge",
    explain: "`rate()` takes every fall of its series for a restart of a counter: over a gauge it gives a number \
              that means nothing. Use the gauge itself, or `deriv()`.",
    check: |context, sink| {
        for (id, object, rule) in each_rule(context) {
            let (Some(query), Some(series)) = (&rule.query, rule.series()) else { continue };
            let rated = ["rate(", "increase("].iter().any(|f| query.value.contains(f));
            if rated && super::promql::is_gauge(series) {
                sink.at(
                    id,
                    query.span,
                    format!(
                        "{}: {series} is a gauge; its rate means nothing. Use the gauge itself",
                        object.label()
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: adapter!(
            "mail_queue_depth",
            "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)"
        ),
        silent: adapter!("mail_queue_depth", "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)"),
    },
};
