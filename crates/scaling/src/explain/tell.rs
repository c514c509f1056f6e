//! An explanation as text and as JSON, from the same steps.

use serde_json::{Value, json};

use crate::hpa::{Decision, LimitKind, MetricOutcome, MissingAs, Path, Proposal, Steadiness, Usage, Verdict};
use crate::keda::{Act, Because, Poll};
use crate::quantity::Quantity;

use super::Explanation;

/// The decision step by step, for people.
pub fn text(explanation: &Explanation) -> String {
    let e = explanation;
    let mut out = format!(
        "{} ({}) scales {}: {} replicas now, {} to {} allowed\n",
        e.scaler, e.place, e.target, e.replicas, e.least, e.spec.max_replicas
    );
    let mut step = |line: String| {
        out.push_str("  ");
        out.push_str(&line);
        out.push('\n');
    };
    if let Some(poll) = &e.keda {
        step(format!("KEDA: {}", keda_words(poll, e.replicas)));
    }
    if let Some(decision) = &e.decision {
        for (index, metric) in e.spec.metrics.iter().enumerate() {
            let (key, value) =
                e.given.get(index).map_or(("", None), |(key, value)| (key.as_str(), value.as_deref()));
            let given =
                value.map_or_else(|| format!("no value given for {key}"), |value| format!("{key} = {value}"));
            step(format!("{metric} ({given})"));
            match decision.metrics.get(index) {
                Some(Ok(proposal)) => {
                    proposal_lines(proposal).into_iter().for_each(|line| step(format!("  {line}")))
                }
                Some(Err(error)) => {
                    step(format!("  fails: {} ({})", error.message(metric), error.reason(metric)))
                }
                None => step("  not looked at".to_owned()),
            }
        }
        for line in path_lines(e, decision) {
            step(line);
        }
        for (kind, condition) in decision.conditions.iter() {
            step(format!(
                "{kind}={:?} {}: {}",
                condition.status,
                condition.reason,
                condition.reason.message()
            ));
        }
    }
    step(format!("result: {} → {} replicas", e.replicas, e.result));
    match &e.next {
        Some(next) => step(format!(
            "next change, if the values stay: to {} in {} s",
            next.replicas,
            next.at.millis_since(e.now) / 1000
        )),
        None => step("next change, if the values stay: none".to_owned()),
    }
    out
}

fn shown(milli: i64) -> String {
    Quantity::from_milli(milli).to_string()
}

fn usage_words(usage: Usage) -> String {
    match usage {
        Usage::Utilization { percent, average_milli } => {
            format!("{percent} % of the request ({} a pod)", shown(average_milli))
        }
        Usage::AverageMilli(milli) => format!("{} a pod", shown(milli)),
        Usage::TotalMilli(milli) => format!("{} in all", shown(milli)),
    }
}

fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Scaled => "ratio × pods, rounded up",
        Verdict::WithinTolerance => "within tolerance: stays",
        Verdict::WithinToleranceFilled => "within tolerance once pods without a sample are filled in: stays",
        Verdict::RatioReversed => "filling in pods without a sample turns the direction around: stays",
        Verdict::CountReversed => "the count of pods would turn the direction around: stays",
    }
}

fn proposal_lines(proposal: &Proposal) -> Vec<String> {
    let mut lines = vec![match proposal.ratio {
        Some(ratio) => format!("value {}, ratio {ratio:.3} to its target", usage_words(proposal.usage)),
        None => format!("value {}", usage_words(proposal.usage)),
    }];
    let counts = proposal.counts;
    if counts.ready + counts.unready + counts.missing + counts.ignored > 0 {
        lines.push(format!(
            "pods: {} counted, {} not ready, {} without a sample, {} ignored",
            counts.ready, counts.unready, counts.missing, counts.ignored
        ));
    }
    if let Some(filled) = &proposal.filled {
        let missing = match filled.missing_as {
            Some(MissingAs::Zero) => ", missing ones as 0".to_owned(),
            Some(MissingAs::PercentOfRequest(percent)) => {
                format!(", missing ones as {percent} % of the request")
            }
            Some(MissingAs::TargetMilli(milli)) => format!(", missing ones as the target {}", shown(milli)),
            None => String::new(),
        };
        let unready = if filled.unready_as_zero { ", unready ones as 0" } else { "" };
        lines.push(format!(
            "filled in{missing}{unready}: ratio {:.3} over {} pods",
            filled.ratio, filled.counted
        ));
    }
    lines.push(format!("proposes {} ({})", proposal.replicas, verdict_words(proposal.verdict)));
    lines
}

fn path_lines(e: &Explanation, decision: &Decision) -> Vec<String> {
    match decision.path {
        Path::Disabled => vec!["0 replicas switch the HPA off".to_owned()],
        Path::AboveMax => {
            vec![format!("more than maxReplicas {}: corrected at once, metrics unseen", e.spec.max_replicas)]
        }
        Path::BelowMin => {
            vec![format!("fewer than minReplicas {}: corrected at once, metrics unseen", e.spec.min_replicas)]
        }
        Path::Ambiguous => vec!["several HPAs select these pods: none acts".to_owned()],
        Path::NoMetrics => vec!["no metrics: nothing to decide".to_owned()],
        Path::Failed { failed, .. } => {
            let fail =
                if failed == 1 { "1 metric fails".to_owned() } else { format!("{failed} metrics fail") };
            vec![format!("{fail} and the others ask for no more: a failed metric forbids scaling down")]
        }
        Path::Computed { winner, failed, bounded, raised_to_min } => {
            let name = e.spec.metrics.get(winner).map_or(String::new(), ToString::to_string);
            let mut lines =
                vec![format!("wins: {name}, recommending {} (the largest proposal)", bounded.recommendation)];
            if failed > 0 {
                lines.push(format!("metrics that fail: {failed}, which does not hinder scaling up"));
            }
            lines.push(match bounded.stabilized.steadiness {
                Steadiness::Ready => format!("stabilization leaves it at {}", bounded.stabilized.replicas),
                Steadiness::UpStabilized => format!(
                    "stabilization holds it at {}: the lowest recommendation of the scale-up window is {}",
                    bounded.stabilized.replicas, bounded.stabilized.lowest
                ),
                Steadiness::DownStabilized => format!(
                    "stabilization holds it at {}: the highest recommendation of the scale-down window is {}",
                    bounded.stabilized.replicas, bounded.stabilized.highest
                ),
            });
            let rate = bounded.limit.rate.map_or(String::new(), |rate| format!(" (the rates allow {rate})"));
            lines.push(match bounded.limit.kind {
                LimitKind::WithinRange => format!("nothing cuts it{rate}"),
                LimitKind::UpRate => format!("the scale-up rate cuts it to {}{rate}", bounded.limit.replicas),
                LimitKind::DownRate => {
                    format!("the scale-down rate holds it at {}{rate}", bounded.limit.replicas)
                }
                LimitKind::Max => format!("maxReplicas cuts it to {}{rate}", bounded.limit.replicas),
                LimitKind::Min => format!("minReplicas raises it to {}{rate}", bounded.limit.replicas),
            });
            if raised_to_min {
                lines.push(format!("raised to minReplicas {}", e.spec.min_replicas));
            }
            lines
        }
    }
}

fn keda_words(poll: &Poll, before: i32) -> String {
    let why = match poll.because {
        Because::Paused => "paused",
        Because::Activated => "a trigger is active and nothing runs: woken",
        Because::Active => "a trigger is active: the HPA decides",
        Because::CoolingDown { .. } => "no trigger is active, the cooldown is not over",
        Because::Deactivated => "no trigger has been active for the whole cooldown",
        Because::Failing => "a source fails and there is no fallback: KEDA itself changes nothing",
        Because::FallenBack => "sources fail: the fallback stands in",
        Because::RaisedToMin => "fewer than the minimum",
        Because::Inactive => "no trigger is active and nothing is to be done",
    };
    match poll.act {
        Act::Nothing => why.to_owned(),
        Act::Scaled { .. } => format!("{why}: {before} → {}", poll.replicas),
    }
}

/// The same as one JSON object.
pub fn json(explanation: &Explanation) -> Value {
    let e = explanation;
    let metrics: Vec<Value> = e
        .spec
        .metrics
        .iter()
        .enumerate()
        .map(|(index, metric)| {
            let outcome = e.decision.as_ref().and_then(|decision| decision.metrics.get(index));
            let (key, given) =
                e.given.get(index).map_or((None, None), |(key, value)| (Some(key), value.as_ref()));
            let mut value = json!({"metric": metric.to_string(), "key": key, "given": given});
            merge(&mut value, &outcome_json(outcome, metric));
            value
        })
        .collect();
    let conditions: Vec<Value> = e
        .decision
        .iter()
        .flat_map(|decision| decision.conditions.iter())
        .map(|(kind, condition)| {
            json!({
                "type": kind.to_string(),
                "status": format!("{:?}", condition.status),
                "reason": condition.reason.to_string(),
                "message": condition.reason.message(),
            })
        })
        .collect();
    let mut value = json!({
        "scaler": e.scaler,
        "file": e.place.file,
        "line": e.place.line,
        "target": e.target,
        "min_replicas": e.least,
        "max_replicas": e.spec.max_replicas,
        "replicas": e.replicas,
        "metrics": metrics,
        "steps": e.decision.as_ref().map(|decision| path_lines(e, decision)),
        "conditions": conditions,
        "keda": e.keda.as_ref().map(|poll| keda_words(poll, e.replicas)),
        "result": e.result,
        "next_change": e.next.map(|next| {
            json!({"replicas": next.replicas, "after_seconds": next.at.millis_since(e.now) / 1000})
        }),
    });
    if let Some(Path::Computed { winner, bounded, .. }) = e.decision.as_ref().map(|decision| decision.path) {
        merge(
            &mut value,
            &json!({
                "winner": e.spec.metrics.get(winner).map(ToString::to_string),
                "recommendation": bounded.recommendation,
                "stabilized": bounded.stabilized.replicas,
                "stabilization": bounded.stabilized.steadiness.reason().to_string(),
                "limit": bounded.limit.kind.reason().to_string(),
            }),
        );
    }
    value
}

fn outcome_json(outcome: Option<&MetricOutcome>, metric: &crate::hpa::Metric) -> Value {
    match outcome {
        None => json!({}),
        Some(Err(error)) => {
            json!({"error": error.message(metric), "reason": error.reason(metric).to_string()})
        }
        Some(Ok(proposal)) => json!({
            "value": usage_words(proposal.usage),
            "ratio": proposal.ratio,
            "proposal": proposal.replicas,
            "why": verdict_words(proposal.verdict),
            "pods": {
                "counted": proposal.counts.ready,
                "not_ready": proposal.counts.unready,
                "without_sample": proposal.counts.missing,
                "ignored": proposal.counts.ignored,
            },
        }),
    }
}

fn merge(into: &mut Value, from: &Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}
