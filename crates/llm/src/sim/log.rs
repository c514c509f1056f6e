//! The calls that arrived, each once, and what became of them: the witness of tests about money.

use serde::Serialize;
use std::{
    collections::VecDeque,
    fs::File,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

/// Calls that are remembered; the oldest make room. The file has all.
const CALLS_MAX: usize = 200_000;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The order of arrival, from 0.
    pub number: u64,
    /// The id that the answer carries.
    pub id: String,
    /// The model that was asked for.
    pub model: String,
    /// The rule that answered; `None`: there was none.
    pub rule: Option<String>,
    /// Tokens read.
    pub input: u64,
    /// Tokens written so far.
    pub output: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// All that was asked, a message a paragraph; only where that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is being answered.
    Open,
    /// The whole answer was sent; a provider bills it.
    Finished,
    /// Answered with an error status, as the script says; not billed.
    Failed,
    /// Refused, for no rule of the script matches; not billed.
    Unmatched,
    /// The answer was cut, broken or stalled on purpose; a provider bills what it wrote.
    Broken,
    /// The client went away before the end; a provider bills what it wrote.
    Abandoned,
}

#[derive(Debug)]
pub(super) struct Log {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    calls: VecDeque<Call>,
    next: u64,
    file: Option<File>,
}

impl Log {
    pub(super) fn new(file: Option<File>) -> Self {
        Log { inner: Mutex::new(Inner { calls: VecDeque::new(), next: 0, file }) }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).calls.iter().cloned().collect()
    }

    /// How many calls made room.
    pub(super) fn forgotten(&self) -> u64 {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.next - inner.calls.len() as u64
    }

    /// Notes a call that arrived. It is [`Outcome::Abandoned`] unless its ticket is told otherwise.
    pub(super) fn open(
        self: &Arc<Self>,
        id: &str,
        model: &str,
        rule: Option<&str>,
        input: u64,
        question: Option<String>,
    ) -> Ticket {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let number = inner.next;
        inner.next += 1;
        if inner.calls.len() == CALLS_MAX {
            inner.calls.pop_front();
        }
        let call = Call {
            number,
            id: id.to_owned(),
            model: model.to_owned(),
            rule: rule.map(str::to_owned),
            input,
            output: 0,
            outcome: Outcome::Open,
            question,
        };
        inner.calls.push_back(call.clone());
        Ticket { log: Arc::clone(self), call }
    }

    fn close(&self, call: &Call) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let first = inner.next - inner.calls.len() as u64;
        let at = call.number.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(noted) = at.and_then(|at| inner.calls.get_mut(at)) {
            noted.clone_from(call);
        }
        if let Some(file) = &mut inner.file
            && let Ok(line) = serde_json::to_string(call)
            && let Err(error) = file.write_all(format!("{line}\n").as_bytes())
        {
            tracing::error!(%error, "the log file cannot be written; no more calls go to it");
            inner.file = None;
        }
    }
}

/// An open call; dropping it closes the call in the log.
#[derive(Debug)]
pub(super) struct Ticket {
    log: Arc<Log>,
    call: Call,
}

impl Ticket {
    pub(super) const fn wrote(&mut self, tokens: u64) {
        self.call.output += tokens;
    }

    pub(super) const fn is(&mut self, outcome: Outcome) {
        self.call.outcome = outcome;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.call.outcome == Outcome::Open {
            self.call.outcome = Outcome::Abandoned;
        }
        self.log.close(&self.call);
    }
}
