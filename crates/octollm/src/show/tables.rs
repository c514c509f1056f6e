//! Tasks, keys and settings as text.

use crate::config::{SETTINGS, Shown, Sources, shown_url};
use octollm_contract::{
    Cost,
    api::{TaskPage, TaskView},
};
use std::fmt::Write as _;

/// Every setting with its value, its origin and its meaning.
pub(crate) fn config(sources: &Sources) -> String {
    let mut text = String::new();
    for setting in SETTINGS {
        let shown = Shown(setting, sources);
        let _infallible = write!(
            text,
            "{} = {}\n    from {}; variable {}\n    {}\n",
            setting.key,
            shown.value(),
            shown.origin(),
            setting.variable,
            setting.meaning
        );
    }
    for provider in sources.providers() {
        let models =
            if provider.models.is_empty() { "the first it lists".into() } else { provider.models.join(", ") };
        let _infallible = write!(
            text,
            "providers: {} = {}\n    from {}\n    {:?}; models: {models}\n",
            provider.name,
            shown_url(&provider.url),
            sources.providers_origin(),
            provider.kind,
        );
    }
    text
}

/// What is said under a result: a verdict for each criterion, and what models have cost.
pub(crate) fn closing(view: &TaskView) -> Option<String> {
    let mut lines: Vec<String> = view
        .verdicts
        .iter()
        .map(|verdict| {
            let word = if verdict.holds { "holds" } else { "does not hold" };
            format!("{} {word}: {}", verdict.criterion, verdict.evidence)
        })
        .collect();
    let calls = view.steps.iter().filter_map(|step| step.provenance.as_ref()?.get("calls")?.as_array());
    let calls: Vec<_> = calls.flatten().collect();
    if !calls.is_empty() {
        let simulated =
            calls.iter().any(|call| call.get("simulated").and_then(|s| s.as_bool()) == Some(true));
        let cost = match view.usage.cost_usd {
            Cost::Known(cost) => format!("{cost} US dollars"),
            Cost::Unknown => "cost unknown".to_owned(),
        };
        lines.push(format!(
            "{} model call{}, {} tokens, {cost}{}",
            calls.len(),
            if calls.len() == 1 { "" } else { "s" },
            view.usage.tokens,
            if simulated { "; SIMULATED answers, not a real model's" } else { "" },
        ));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// A task, whole.
pub(crate) fn task(view: &TaskView) -> String {
    let mut text = format!("{}  {}  {}\n", view.task_id, view.status.as_str(), one_line(&view.goal, 80));
    for step in &view.steps {
        let deliveries = &step.deliveries;
        let mut counts = Vec::new();
        for (count, one, more) in [
            (deliveries.failures, "failure", "failures"),
            (deliveries.crashes, "crash", "crashes"),
            (deliveries.releases, "release", "releases"),
        ] {
            match count {
                0 => {}
                1 => counts.push(format!("1 {one}")),
                _ => counts.push(format!("{count} {more}")),
            }
        }
        let counts = if counts.is_empty() { String::new() } else { format!("  ({})", counts.join(", ")) };
        let status = serde_json::to_value(step.status).unwrap_or_default();
        let status = status.as_str().unwrap_or_default().to_owned();
        let _infallible =
            writeln!(text, "  {status:<9} {:<9} {}{counts}", step.arm, one_line(&step.instruction, 70));
    }
    if let Some(question) = &view.question {
        let _infallible = writeln!(text, "waits: {question}");
    }
    if let Some(error) = &view.error {
        let _infallible = writeln!(text, "failed ({}): {}", error.reason, error.message);
    }
    if let Some(result) = &view.result {
        let _infallible = write!(text, "\n{}", result.text);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    if let Some(closing) = closing(view) {
        let _infallible = writeln!(text, "\n{closing}");
    }
    text
}

/// A page of tasks.
pub(crate) fn task_list(page: &TaskPage) -> String {
    let mut text = String::new();
    for task in &page.tasks {
        let reason = task.reason.as_deref().map_or(String::new(), |reason| format!(" ({reason})"));
        let _infallible = writeln!(
            text,
            "{}  {}  {:<10} {}{reason}",
            task.task_id,
            task.timestamps.accepted_at,
            task.status.as_str(),
            one_line(&task.goal, 60)
        );
    }
    if let Some(cursor) = &page.next_cursor {
        let _infallible = writeln!(text, "more: --cursor {cursor}");
    }
    if page.tasks.is_empty() {
        text.push_str("no tasks\n");
    }
    text
}

/// The start of a text that has one line and nothing that moves a cursor.
fn one_line(text: &str, most: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let cut: String = clean.clone().take(most).collect();
    if clean.count() > most { format!("{cut}…") } else { cut }
}
