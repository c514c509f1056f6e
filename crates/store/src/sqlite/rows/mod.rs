//! From SQLite's rows. How a state is spelled in a column stands in [`crate::columns`].

mod call;
mod event;
mod key;
mod step;
mod task;
mod usage;

pub(super) use call::{read_hold, read_receipt};
pub(super) use event::read_event;
pub(super) use key::read_key;
pub(super) use step::{read_lease, read_step};
pub(super) use task::{read_line, read_task};
pub(super) use usage::read_usage;

use crate::columns::Unreadable;
pub(super) use crate::columns::{
    AccountRow, EventRow, FiguresRow, LedgerRow, OPEN_STATES, StateRow, StepRow, awaits_number, cost_number,
    is_poisoned, list_states, needs_text, priority_number, read_awaits, read_cost, read_needs, read_priority,
    read_subject, scopes_text, signed, unreadable, word,
};
use call::ledger;
use octollm_contract::{ContentHash, TaskId, Timestamp};
use rusqlite::Row;

/// Why a row could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error(transparent)]
    Value(#[from] Unreadable),
    #[error(transparent)]
    Column(#[from] rusqlite::Error),
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

/// A `LIMIT`.
pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}
