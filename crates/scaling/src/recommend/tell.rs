//! Recommendations as text and as JSON.

use serde_json::{Value, json};

use crate::quantity::Quantity;
use crate::vpa::Bounds;

use super::{Recommended, Row};

fn cpu(milli: i64) -> String {
    Quantity::from_milli(milli).to_string()
}

/// Whole mebibytes, rounded up, as requests are written.
fn memory(bytes: i64) -> String {
    let mebi = bytes.div_euclid(1 << 20) + i64::from(bytes.rem_euclid(1 << 20) != 0);
    Quantity::from_bytes(mebi.saturating_mul(1 << 20)).to_string()
}

fn line(name: &str, request: Option<i64>, bounds: Option<Bounds>, shown: fn(i64) -> String) -> String {
    let written = request.map_or("not written".to_owned(), shown);
    let Some(bounds) = bounds else {
        return format!("  {name:<7} {written}: no samples, or not controlled\n");
    };
    let verdict = match request {
        None => "write it",
        Some(request) if request < bounds.lower => "too low: raise it",
        Some(request) if request > bounds.upper => "too high: lower it",
        Some(_) => "within bounds: may stay",
    };
    format!(
        "  {name:<7} {written} → {} (from {} to {} is fine): {verdict}\n",
        shown(bounds.target),
        shown(bounds.lower),
        shown(bounds.upper)
    )
}

/// For people: a paragraph a container, the sum at the end.
pub fn text(recommended: &Recommended) -> String {
    let mut out = String::new();
    for row in &recommended.rows {
        out.push_str(&format!(
            "{} / {} ({}), {} samples over {:.1} days, {:.1} pods\n",
            row.workload, row.container, row.place, row.samples, row.days, row.pods
        ));
        out.push_str(&line("cpu", row.requests.0, row.recommendation.cpu_milli, cpu));
        out.push_str(&line("memory", row.requests.1, row.recommendation.memory_bytes, memory));
        if let Some(saving) = saving(row) {
            out.push_str(&format!("  {saving}\n"));
        }
        out.push('\n');
    }
    for owner in &recommended.unmatched {
        out.push_str(&format!(
            "no workload for {}/{} container {}: its manifest is not among the files\n",
            owner.namespace, owner.pod, owner.container
        ));
    }
    if recommended.rows.is_empty() {
        out.push_str("nothing to recommend: no usage belongs to a workload of the manifests\n");
        return out;
    }
    let sum = |of: fn(&Row) -> Option<i64>| -> i64 {
        recommended.rows.iter().map(|row| scaled(of(row).unwrap_or(0), row.pods)).fold(0, i64::saturating_add)
    };
    let money: f64 = recommended.rows.iter().filter_map(|row| row.saving_usd_month).sum();
    let priced = recommended.rows.iter().any(|row| row.saving_usd_month.is_some());
    let money = if priced { format!(", {money:.2} USD a month") } else { String::new() };
    out.push_str(&format!(
        "in all: {} cores and {} of memory to be saved{money}\n",
        cpu(sum(Row::saving_cpu_milli)),
        memory(sum(Row::saving_memory_bytes))
    ));
    out
}

/// `amount` times a number of pods, rounded.
fn scaled(amount: i64, pods: f64) -> i64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a sum for a report; `as` saturates"
    )]
    let value = (amount as f64 * pods).round() as i64;
    value
}

fn saving(row: &Row) -> Option<String> {
    let (milli, bytes) = (row.saving_cpu_milli()?, row.saving_memory_bytes()?);
    let words = |amount: i64, text: String, zero: &str| match amount {
        0 => zero.to_owned(),
        amount if amount > 0 => format!("saves {text}"),
        _ => format!("costs {text}"),
    };
    let money = row.saving_usd_month.map_or(String::new(), |usd| format!(", {usd:.2} USD a month"));
    Some(format!(
        "{} CPU and {} memory over {:.1} pods{money}",
        words(milli, cpu(scaled(milli.saturating_abs(), row.pods)), "no change of"),
        words(bytes, memory(scaled(bytes.saturating_abs(), row.pods)), "no change of"),
        row.pods
    ))
}

/// The same as one JSON object; amounts in millicores and bytes.
pub fn json(recommended: &Recommended) -> Value {
    let bounds = |bounds: Option<Bounds>| {
        bounds.map(|b| json!({"target": b.target, "lower": b.lower, "upper": b.upper}))
    };
    let rows: Vec<Value> = recommended
        .rows
        .iter()
        .map(|row| {
            json!({
                "workload": row.workload,
                "namespace": row.namespace,
                "container": row.container,
                "file": row.place.file,
                "line": row.place.line,
                "samples": row.samples,
                "days": row.days,
                "pods": row.pods,
                "cpu_milli": {"request": row.requests.0, "recommended": bounds(row.recommendation.cpu_milli), "saving": row.saving_cpu_milli()},
                "memory_bytes": {"request": row.requests.1, "recommended": bounds(row.recommendation.memory_bytes), "saving": row.saving_memory_bytes()},
                "saving_usd_month": row.saving_usd_month,
            })
        })
        .collect();
    let unmatched: Vec<Value> = recommended
        .unmatched
        .iter()
        .map(|owner| json!({"namespace": owner.namespace, "pod": owner.pod, "container": owner.container}))
        .collect();
    json!({"recommendations": rows, "unmatched": unmatched})
}
