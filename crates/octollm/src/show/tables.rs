//! Tasks, keys and settings as text.

use super::{LINE_CHARS, how_to_answer, indented, one_line, unbroken};
use crate::config::{SETTINGS, Shown, Sources, shown_url};
use octollm_contract::{
    Cost,
    api::{TaskPage, TaskStatus, TaskView},
};
use serde_json::Value;
use std::fmt::{self, Write as _};

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
            let (criterion, evidence) = (&verdict.criterion, &verdict.evidence);
            format!("{} {word}: {}", one_line(criterion, LINE_CHARS), one_line(evidence, LINE_CHARS))
        })
        .collect();
    lines.extend(paid(view));
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// What the model calls have cost. What nobody counted is not given as paid (P5), what was simulated
/// not as real (P10).
fn paid(view: &TaskView) -> Option<String> {
    let calls = view.steps.iter().filter_map(|step| step.provenance.as_ref()?.get("calls")?.as_array());
    let calls: Vec<_> = calls.flatten().collect();
    if calls.is_empty() {
        return None;
    }
    let is = |call: &Value, name: &str| call.get(name) == Some(&Value::Bool(true));
    let ours = |call: &Value| call["usage"]["counted"] == "estimated" || is(call, "disputed");
    // Of these the most that they may have used is counted; of the rest of ours, about what they have.
    let in_vain =
        |call: &Value| is(call, "presumed") || call["outcome"].get("failed").is_some() && ours(call);
    let worst = calls.iter().filter(|call| in_vain(call)).count();
    let guessed =
        calls.iter().any(|call| !in_vain(call) && ours(call) && call["outcome"].get("not_made").is_none());
    let how_sure = match (guessed, worst) {
        (true, _) => "an estimated ",
        (false, 0) => "",
        (false, _) => "at most ",
    };
    let cost = match view.usage.cost_usd {
        Cost::Known(cost) => format!("{how_sure}{cost} US dollars"),
        Cost::Unknown => "cost unknown".to_owned(),
    };
    let s = if calls.len() == 1 { "" } else { "s" };
    let mut line = format!("{} model call{s}, {how_sure}{} tokens, {cost}", calls.len(), view.usage.tokens);
    if worst > 0 {
        let _infallible =
            write!(line, "; {worst} without an answer, counted at the most that may have been paid");
    }
    if calls.iter().any(|call| is(call, "simulated")) {
        line.push_str("; SIMULATED answers, not a real model's");
    }
    Some(line)
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
        let _infallible = writeln!(text, "waits: {}", unbroken(question));
        if let Some(awaits) = view.awaits {
            let how = how_to_answer(view.task_id, view.awaits_step_id, awaits);
            let _infallible = writeln!(text, "answer: {how}");
        }
    }
    if let Some(error) = &view.error {
        let _infallible = writeln!(text, "failed ({}): {}", error.reason, indented(&error.message));
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

/// A page of tasks, of those that `asked` tells.
pub(crate) fn task_list(page: &TaskPage, asked: &Asked) -> String {
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
        let _infallible = writeln!(text, "no tasks{asked}");
    }
    text
}

/// Which tasks a list was asked for; as words behind "no tasks", so that nobody takes an empty page for an
/// empty server.
pub(crate) struct Asked {
    /// With this status.
    pub(crate) status: Option<TaskStatus>,
    /// With a step that failed as poison.
    pub(crate) poison: bool,
    /// Behind another page.
    pub(crate) goes_on: bool,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map(|status| format!("with the status {}", status.as_str()));
        let poison = self.poison.then(|| "with a step that killed its workers three times".to_owned());
        let goes_on = self.goes_on.then(|| "behind that cursor".to_owned());
        for (place, words) in [status, poison, goes_on].into_iter().flatten().enumerate() {
            write!(f, "{}{words}", if place == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(calls: Value, usage: Value) -> Option<String> {
        let view = json!({
            "task_id": "task_00000000-0000-7000-8000-000000000000", "status": "failed", "goal": "g",
            "priority": "medium", "usage": usage,
            "steps": [{
                "step_id": "step_00000000-0000-7000-8000-000000000000.0", "name": "plan", "arm": "planner",
                "instruction": "i", "status": "failed", "plan_version": 1,
                "deliveries": { "attempts": 1, "failures": 1, "crashes": 0, "releases": 0 },
                "provenance": { "calls": calls },
            }],
            "timestamps": { "accepted_at": "2026-01-01T00:00:00Z" },
        });
        closing(&serde_json::from_value(view).expect("a task"))
    }

    #[test]
    fn an_empty_list_says_what_it_was_asked_for() {
        let none = TaskPage { tasks: Vec::new(), next_cursor: None };
        let shown = |status, poison, goes_on| task_list(&none, &Asked { status, poison, goes_on });
        assert_eq!(shown(None, false, false), "no tasks\n");
        assert_eq!(shown(Some(TaskStatus::Failed), false, false), "no tasks with the status failed\n");
        let all = "no tasks with the status queued, with a step that killed its workers three times, behind that cursor\n";
        assert_eq!(shown(Some(TaskStatus::Queued), true, true), all);
    }

    /// P5, P10: what calls in vain may have cost is not given as paid, and a simulation is named.
    #[test]
    fn the_last_line_says_how_sure_the_cost_is() {
        let call =
            |counted: &str, outcome: Value| json!({ "usage": { "counted": counted }, "outcome": outcome });
        let answered = |counted| call(counted, json!({ "answered": {} }));
        let lost = call("estimated", json!({ "failed": "it broke off" }));
        let usage = json!({ "cost_usd": "0.25", "tokens": 12 });
        let line = |calls| said(calls, usage.clone()).unwrap_or_default();
        assert_eq!(line(json!([answered("exact")])), "1 model call, 12 tokens, 0.25 US dollars");
        let worst = "; 1 without an answer, counted at the most that may have been paid";
        for lost in [lost.clone(), json!({ "presumed": true, "number": 1 })] {
            let most = format!("2 model calls, at most 12 tokens, at most 0.25 US dollars{worst}");
            assert_eq!(line(json!([answered("exact"), lost])), most);
        }
        let simulated = {
            let mut call = lost;
            call["simulated"] = json!(true);
            line(json!([call]))
        };
        assert!(simulated.contains("at most") && simulated.contains("SIMULATED"), "{simulated}");
        let estimated = "1 model call, an estimated 12 tokens, an estimated 0.25 US dollars";
        assert_eq!(line(json!([answered("estimated")])), estimated);
        // It was not made: nothing is counted, so nothing is unsure.
        let not_made = call("estimated", json!({ "not_made": "busy" }));
        assert_eq!(line(json!([not_made])), "1 model call, 12 tokens, 0.25 US dollars");
        let unknown = said(json!([answered("exact")]), json!({ "cost_usd": null, "tokens": 12 }));
        assert_eq!(unknown.as_deref(), Some("1 model call, 12 tokens, cost unknown"));
        assert_eq!(said(json!([]), usage), None);
    }
}
