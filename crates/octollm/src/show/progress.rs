//! Steps as they happen: a spinner and lines on a terminal, plain lines when piped, JSON lines
//! for programs. Text goes to standard error, so that standard output is the result alone.

use super::{LINE_CHARS, how_to_answer, line, note, on_terminal, one_line, unbroken};
use indicatif::{ProgressBar, ProgressStyle};
use octollm_contract::{
    StepId, Timestamp,
    api::{Awaited, EventView, StepView},
};
use std::{collections::HashMap, time::Duration};

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// Tells of a task's events, each once.
pub(crate) struct Progress {
    how: How,
    started: HashMap<StepId, Timestamp>,
    asks: bool,
}

enum How {
    Json,
    Plain,
    Terminal(ProgressBar),
}

impl Progress {
    /// As JSON lines, or as text for whatever standard error is.
    pub(crate) fn new(json: bool) -> Self {
        let how = if json {
            How::Json
        } else if on_terminal() {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(TICK);
            How::Terminal(bar)
        } else {
            How::Plain
        };
        Progress { how, started: HashMap::new(), asks: false }
    }

    /// The same, beside somebody who puts the task's questions to a person.
    pub(crate) fn beside_questions(self) -> Self {
        Progress { asks: true, ..self }
    }

    /// Puts the spinner back after [`Progress::finish`].
    pub(crate) fn resume(&self) {
        if let How::Terminal(bar) = &self.how {
            bar.reset();
            bar.enable_steady_tick(TICK);
        }
    }

    /// Tells of one event; `steps` are the task's steps as far as they are known.
    pub(crate) fn tell(&mut self, event: &EventView, steps: &[StepView]) {
        if let How::Json = self.how {
            line(&serde_json::to_string(event).unwrap_or_default());
            return;
        }
        let Some((mark, text)) = self.describe(event, steps) else { return };
        match &self.how {
            How::Json => {}
            How::Plain => note(&format!("{} {text}", mark.plain())),
            How::Terminal(bar) => {
                if event.event == "step.started" {
                    bar.set_message(text);
                } else {
                    bar.println(format!("{} {text}", mark.drawn(coloured())));
                }
            }
        }
    }

    /// Takes the spinner away.
    pub(crate) fn finish(&self) {
        if let How::Terminal(bar) = &self.how {
            bar.finish_and_clear();
        }
    }

    fn describe(&mut self, event: &EventView, steps: &[StepView]) -> Option<(Mark, String)> {
        let step = event.step_id.and_then(|id| steps.iter().find(|step| step.step_id == id));
        let what = step.map_or_else(
            || event.step_id.map_or(String::new(), |id| id.to_string()),
            |step| format!("{} ({})", one_line(&step.instruction, LINE_CHARS), step.arm),
        );
        let text = |name: &str| event.data.get(name).and_then(|v| v.as_str()).unwrap_or_default();
        let said = |name: &str| one_line(text(name), LINE_CHARS);
        Some(match event.event.as_str() {
            "step.started" => {
                self.started.extend(event.step_id.map(|id| (id, event.at)));
                (Mark::Begin, what)
            }
            "step.completed" => {
                let since = event.step_id.and_then(|id| self.started.get(&id));
                let took = since.map_or(String::new(), |since| format!(" in {}", event.at.since(*since)));
                (Mark::Done, format!("{what}{took}"))
            }
            "step.retrying" => (Mark::Again, format!("{what}: {}; it is tried again", said("message"))),
            "step.released" if event.data.get("message").is_some() => {
                (Mark::Again, format!("{what}: {}; it waits until {}", said("message"), said("retry_at")))
            }
            "step.lapsed" => (Mark::Again, format!("{what}: its worker was lost; it is tried again")),
            "step.failed" => (Mark::Failed, format!("{what}: {}", said("message"))),
            "step.cancelled" => (Mark::Cancelled, what),
            // Whoever asks the person puts the question.
            "task.waiting" if self.asks => return None,
            "task.waiting" => {
                let awaits = if said("awaits") == "approval" { Awaited::Approval } else { Awaited::Answer };
                let how = how_to_answer(event.task_id, event.step_id, awaits);
                // Who approves reads all of it.
                let question = unbroken(text("question"));
                (Mark::Asks, format!("{question}\n  waits for a person: {how}"))
            }
            "plan.written" => {
                let first = event.data.get("version").and_then(|version| version.as_u64()) == Some(1);
                (Mark::Done, if first { "the plan was written" } else { "a new plan was written" }.into())
            }
            _ => return None,
        })
    }
}

/// Nobody has asked for none (<https://no-color.org>).
fn coloured() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|said| said.is_empty())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Begin,
    Done,
    Again,
    Asks,
    Failed,
    Cancelled,
}

impl Mark {
    fn plain(self) -> &'static str {
        match self {
            Mark::Begin => "started:",
            Mark::Done => "done:",
            Mark::Again => "again:",
            Mark::Asks => "asks:",
            Mark::Failed => "failed:",
            Mark::Cancelled => "cancelled:",
        }
    }

    fn drawn(self, coloured: bool) -> String {
        let (colour, sign) = match self {
            Mark::Begin => (36, "·"),
            Mark::Done => (32, "✓"),
            Mark::Again => (33, "↻"),
            Mark::Asks => (33, "?"),
            Mark::Failed => (31, "✗"),
            // No colour says it.
            Mark::Cancelled => return "cancelled:".to_owned(),
        };
        if coloured { format!("\u{1b}[{colour}m{sign}\u{1b}[0m") } else { sign.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const STEP: &str = "step_00000000-0000-7000-8000-000000000000.0";

    fn told(event: &str, data: Value, instruction: &str) -> String {
        marked(event, data, instruction).1
    }

    fn marked(event: &str, data: Value, instruction: &str) -> (Mark, String) {
        let event = json!({
            "id": 1, "event": event, "task_id": "task_00000000-0000-7000-8000-000000000000",
            "step_id": STEP, "at": "2026-01-01T00:00:00Z", "data": data,
        });
        let step = json!({
            "step_id": STEP, "name": "a", "arm": "coder", "instruction": instruction, "status": "leased",
            "plan_version": 1, "deliveries": { "attempts": 1, "failures": 0, "crashes": 0, "releases": 0 },
        });
        let mut progress = Progress { how: How::Plain, started: HashMap::new(), asks: false };
        let event = serde_json::from_value(event).expect("an event");
        let steps = [serde_json::from_value(step).expect("a step")];
        progress.describe(&event, &steps).expect("something to tell")
    }

    #[test]
    fn who_wants_no_colours_gets_none_and_a_cancelled_step_has_not_failed() {
        let (mark, text) = marked("step.cancelled", json!({}), "look");
        assert_eq!((mark.plain(), text.as_str()), ("cancelled:", "look (coder)"));
        for mark in [Mark::Begin, Mark::Done, Mark::Again, Mark::Asks, Mark::Failed, Mark::Cancelled] {
            assert!(!mark.drawn(false).contains('\u{1b}'), "{mark:?}");
        }
        assert_eq!(Mark::Done.drawn(true), "\u{1b}[32m✓\u{1b}[0m");
    }

    /// P10: what a model wrote is not taken for our word of what happened.
    #[test]
    fn what_a_model_wrote_forges_no_line() {
        let evil = "look\nstarted: evil\r\u{1b}[2Kdone: evil";
        for (event, data) in [
            ("step.started", json!({})),
            ("step.completed", json!({})),
            ("step.failed", json!({ "message": evil })),
            ("step.retrying", json!({ "message": evil })),
            ("step.released", json!({ "message": evil, "retry_at": evil })),
        ] {
            let text = told(event, data, evil);
            assert!(text.starts_with("look started: evil") && !text.contains(char::is_control), "{text:?}");
        }
        let asked = told("task.waiting", json!({ "question": evil, "awaits": "answer" }), "i");
        let lines: Vec<&str> = asked.lines().collect();
        assert!(lines.len() == 2 && lines[1].starts_with("  waits for a person: "), "{asked:?}");
        assert!(lines[1].contains(" --step step_"), "it answers what was shown: {asked:?}");
        let long = told("step.failed", json!({ "message": "x".repeat(100_000) }), "i");
        assert!(long.len() < 600, "{}", long.len());
    }
}
