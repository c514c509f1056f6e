//! Between states and columns. Only here is it known how a state is spelled in a column; what is
//! written here reads back as itself, and an unknown spelling is an error, never a guess. Every
//! store that keeps rows spells them so.
//!
//! Must not know: any database.

mod call;
mod event;
mod figures;
mod step;
mod task;

pub(crate) use call::{AccountRow, LedgerRow, cost_number, read_cost};
pub(crate) use event::EventRow;
pub(crate) use figures::{FiguresRow, read_subject, subject_word};
pub(crate) use step::{StepRow, awaits_number, needs_text, read_awaits, read_needs};
pub(crate) use task::{OPEN_STATES, StateRow, list_states};

use octollm_access::Scope;
use octollm_contract::Priority;
use octollm_lifecycle::{Failure, FailureReason, StepState, Task};
use std::{collections::BTreeSet, str::FromStr};

/// A stored value that no version up to this one has written.
#[derive(Debug, thiserror::Error)]
#[error("{found:?} is no {what} that this version knows")]
pub(crate) struct Unreadable {
    what: &'static str,
    found: String,
}

pub(crate) fn unreadable(what: &'static str, found: impl ToString) -> Unreadable {
    Unreadable { what, found: found.to_string() }
}

pub(crate) fn word<T: FromStr>(what: &'static str, text: &str) -> Result<T, Unreadable> {
    text.parse().map_err(|_| unreadable(what, text))
}

/// Urgency as a number that sorts.
pub(crate) const fn priority_number(priority: Priority) -> i64 {
    match priority {
        Priority::Low => 0,
        Priority::Medium => 1,
        Priority::High => 2,
        Priority::Critical => 3,
    }
}

pub(crate) fn read_priority(number: i64) -> Result<Priority, Unreadable> {
    let known = Priority::ALL.iter().copied().find(|priority| priority_number(*priority) == number);
    known.ok_or_else(|| unreadable("priority", number))
}

/// The integers of databases are signed; the same 64 bits read back as the same number.
pub(crate) const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

pub(crate) fn failure(
    reason: Option<&str>,
    message: Option<&str>,
    place: Option<u16>,
) -> Result<Failure, Unreadable> {
    let word = reason.unwrap_or_default();
    let known = FailureReason::ALL.iter().copied().find(|known| known.as_str() == word);
    Ok(Failure {
        reason: known.ok_or_else(|| unreadable("reason of a failure", word))?,
        message: message.ok_or_else(|| unreadable("message of a failure", "nothing"))?.into(),
        place,
    })
}

/// Scopes as they are kept: their words with spaces between.
pub(crate) fn scopes_text(scopes: &BTreeSet<Scope>) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
}

/// A step of the task has killed its workers.
pub(crate) fn is_poisoned(task: &Task) -> bool {
    task.steps.iter().any(|step| match &step.state {
        StepState::Failed(failure) => failure.reason == FailureReason::Poison,
        StepState::Blocked
        | StepState::Ready { .. }
        | StepState::Leased(_)
        | StepState::Done
        | StepState::Cancelled => false,
    })
}

#[cfg(test)]
mod tests;
