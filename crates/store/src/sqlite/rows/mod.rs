//! Between states and rows. Only here is it known how a state is spelled in a column; what is
//! written here reads back as itself, and an unknown spelling is an error, never a guess.

mod call;
mod event;
mod key;
mod step;
mod task;

pub(super) use call::{LedgerRow, cost_number, read_hold, read_receipt};
pub(super) use event::EventRow;
pub(super) use key::{read_key, scopes_text};
pub(super) use step::{StepRow, awaits_number, needs_text, read_lease, read_step};
pub(super) use task::{OPEN_STATES, StateRow, list_states, read_line, read_task};

use octollm_contract::{ContentHash, Priority, TaskId, Timestamp};
use octollm_lifecycle::{Failure, FailureReason};
use rusqlite::Row;
use std::str::FromStr;

/// A stored value that no version up to this one has written.
#[derive(Debug, thiserror::Error)]
#[error("{found:?} is no {what} that this version knows")]
pub(super) struct Unreadable {
    what: &'static str,
    found: String,
}

pub(super) fn unreadable(what: &'static str, found: impl ToString) -> Unreadable {
    Unreadable { what, found: found.to_string() }
}

/// Why a row could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error(transparent)]
    Value(#[from] Unreadable),
    #[error(transparent)]
    Column(#[from] rusqlite::Error),
}

pub(super) fn word<T: FromStr>(what: &'static str, text: &str) -> Result<T, Unreadable> {
    text.parse().map_err(|_| unreadable(what, text))
}

/// Urgency as a number that sorts.
pub(super) const fn priority_number(priority: Priority) -> i64 {
    match priority {
        Priority::Low => 0,
        Priority::Medium => 1,
        Priority::High => 2,
        Priority::Critical => 3,
    }
}

pub(super) fn read_priority(number: i64) -> Result<Priority, Unreadable> {
    let known = Priority::ALL.iter().copied().find(|priority| priority_number(*priority) == number);
    known.ok_or_else(|| unreadable("priority", number))
}

pub(super) fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, rusqlite::Error> {
    row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)
}

pub(super) fn text_if<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r str>, rusqlite::Error> {
    row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)
}

pub(super) fn moment(row: &Row<'_>, column: usize) -> Result<Timestamp, rusqlite::Error> {
    Ok(Timestamp::from_millis(row.get(column)?))
}

pub(super) fn moment_if(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, rusqlite::Error> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

pub(super) fn task_id(row: &Row<'_>, column: usize) -> Result<TaskId, rusqlite::Error> {
    Ok(TaskId::from_bytes(row.get(column)?))
}

pub(super) fn content_hash(row: &Row<'_>, column: usize) -> Result<ContentHash, rusqlite::Error> {
    Ok(ContentHash::from_bytes(row.get(column)?))
}

/// SQLite's integers are signed; the same 64 bits read back as the same number.
pub(super) const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// A `LIMIT`.
pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

pub(super) fn failure(
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

#[cfg(test)]
mod tests;
