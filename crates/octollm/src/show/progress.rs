//! Steps as they happen: a spinner and lines on a terminal, plain lines when piped, JSON lines
//! for programs. Text goes to standard error, so that standard output is the result alone.

use super::{line, note, on_terminal};
use indicatif::{ProgressBar, ProgressStyle};
use octollm_contract::{
    StepId, Timestamp,
    api::{EventView, StepView},
};
use octollm_screen::text::neutralise;
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
                let text = neutralise(&text).into_owned();
                if event.event == "step.started" {
                    bar.set_message(text);
                } else {
                    bar.println(format!("{} {text}", mark.drawn()));
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
            |step| format!("{} ({})", step.instruction, step.arm),
        );
        let said = |name: &str| event.data.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
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
            "step.cancelled" => (Mark::Failed, format!("{what}: cancelled")),
            // Whoever asks the person puts the question.
            "task.waiting" if self.asks => return None,
            "task.waiting" => {
                let input =
                    if said("awaits") == "approval" { "--approve or --refuse" } else { "\"your answer\"" };
                let how = format!("octollm task input {} {input}", event.task_id);
                (Mark::Asks, format!("{}\n  waits for a person: {how}", said("question")))
            }
            "plan.written" => {
                let first = event.data.get("version").and_then(|version| version.as_u64()) == Some(1);
                (Mark::Done, if first { "the plan was written" } else { "a new plan was written" }.into())
            }
            _ => return None,
        })
    }
}

#[derive(Clone, Copy)]
enum Mark {
    Begin,
    Done,
    Again,
    Asks,
    Failed,
}

impl Mark {
    fn plain(self) -> &'static str {
        match self {
            Mark::Begin => "started:",
            Mark::Done => "done:",
            Mark::Again => "again:",
            Mark::Asks => "asks:",
            Mark::Failed => "failed:",
        }
    }

    fn drawn(self) -> &'static str {
        match self {
            Mark::Begin => "\u{1b}[36m·\u{1b}[0m",
            Mark::Done => "\u{1b}[32m✓\u{1b}[0m",
            Mark::Again => "\u{1b}[33m↻\u{1b}[0m",
            Mark::Asks => "\u{1b}[33m?\u{1b}[0m",
            Mark::Failed => "\u{1b}[31m✗\u{1b}[0m",
        }
    }
}
