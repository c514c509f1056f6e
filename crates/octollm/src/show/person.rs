//! The person at the terminal, who can be asked.
//!
//! Promises: whoever asks can stop waiting for the answer; what was typed before a question is no
//! answer to it.
//!
//! Must not know: tasks.

use super::note;
use octollm_contract::{
    StepId,
    api::{Awaited, TaskInput},
};
use rustix::termios::{QueueSelector, tcflush};
use std::io::{BufRead as _, IsTerminal as _};
use tokio::sync::mpsc;

/// Lines that were typed and not asked for; more of them wait in the terminal.
const AHEAD: usize = 16;

/// Somebody who reads standard error and types on standard input, if it is a terminal.
pub(crate) struct Person {
    lines: Option<mpsc::Receiver<String>>,
}

impl Person {
    /// Nothing is read before the first question.
    pub(crate) fn new() -> Self {
        Person { lines: None }
    }

    /// Puts a question; false when nobody is there.
    pub(crate) fn ask(&mut self, question: &str, awaits: Awaited) -> bool {
        if !std::io::stdin().is_terminal() {
            return false;
        }
        // What the terminal holds, and what was read of it.
        if let Err(error) = tcflush(std::io::stdin(), QueueSelector::IFlush) {
            tracing::warn!(%error, "what was typed before the question may count as its answer");
        }
        let lines = self.lines.get_or_insert_with(typed);
        while lines.try_recv().is_ok() {}
        note(&match awaits {
            Awaited::Answer => format!("{question}\n(Answer in a line; Ctrl-C cancels the task.)"),
            Awaited::Approval => format!("{question}\n(yes or no; Ctrl-C cancels the task.)"),
        });
        true
    }

    /// The answer to what `step` asks; none when there will be none. What is no answer is asked for again. The
    /// future may be dropped.
    pub(crate) async fn answer(&mut self, awaits: Awaited, step: Option<StepId>) -> Option<TaskInput> {
        let lines = self.lines.as_mut()?;
        loop {
            let line = lines.recv().await?;
            match input(line.trim(), awaits) {
                Some(input) => return Some(TaskInput { step_id: step, ..input }),
                None if awaits == Awaited::Approval => note("Please answer yes or no."),
                None => note("An empty line is no answer. Please answer in a line."),
            }
        }
    }
}

/// What a line means as an answer.
fn input(line: &str, awaits: Awaited) -> Option<TaskInput> {
    let yes_or_no = |approve| Some(TaskInput { text: None, approve: Some(approve), step_id: None });
    match (awaits, line.to_ascii_lowercase().as_str()) {
        (Awaited::Approval, "y" | "yes") => yes_or_no(true),
        (Awaited::Approval, "n" | "no") => yes_or_no(false),
        (Awaited::Approval, _) | (Awaited::Answer, "") => None,
        (Awaited::Answer, _) => Some(TaskInput { text: Some(line.to_owned()), approve: None, step_id: None }),
    }
}

/// Lines of standard input, from a thread that nobody waits for: a read of a terminal cannot be
/// broken off, and the process may end before one comes.
fn typed() -> mpsc::Receiver<String> {
    let (typed, lines) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            if typed.blocking_send(text).is_err() {
                return;
            }
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_line_is_no_answer_and_only_yes_and_no_approve() {
        assert_eq!(input("", Awaited::Answer), None);
        assert_eq!(input("three", Awaited::Answer).and_then(|input| input.text).as_deref(), Some("three"));
        for (line, approve) in [("Yes", Some(true)), ("n", Some(false)), ("", None), ("perhaps", None)] {
            assert_eq!(input(line, Awaited::Approval).and_then(|input| input.approve), approve, "{line}");
        }
    }
}
