//! A task and its row in `task`.

use super::{
    LedgerRow, RowError, StateRow, ledger, moment, moment_if, read_priority, task_id, text, text_if, word,
};
use crate::TaskLine;
use octollm_lifecycle::{Budget, Hold, Ledger, Replans, Step, Task, TaskState, Terms};
use rusqlite::Row;

/// The columns of one state from a row, `first` being that of `state`.
fn state<'r>(row: &'r Row<'_>, first: usize) -> Result<StateRow<'r>, rusqlite::Error> {
    Ok(StateRow {
        state: text(row, first)?,
        at: moment_if(row, first + 1)?,
        place: row.get(first + 2)?,
        reason: text_if(row, first + 3)?,
        message: text_if(row, first + 4)?,
    })
}

/// Reads the columns of the statement `task`, in its order.
///
/// `holds` gives the calls under way; it is asked of tasks that have made one.
pub(crate) fn read_task(
    row: &Row<'_>,
    steps: Vec<Step>,
    holds: impl FnOnce() -> Result<Vec<Hold>, RowError>,
) -> Result<Task, RowError> {
    let accounts = ledger(row, 18)?;
    Ok(Task {
        id: task_id(row, 0)?,
        tenant: word("tenant", text(row, 1)?)?,
        state: state(row, 2)?.read()?,
        priority: read_priority(row.get(7)?)?,
        terms: Terms {
            accepted_at: moment(row, 8)?,
            not_before: moment_if(row, 9)?,
            deadline: moment_if(row, 10)?,
            max_retries: row.get(11)?,
            replans: row.get::<_, Option<u32>>(12)?.map_or(Replans::No, Replans::UpTo),
        },
        started_at: moment_if(row, 13)?,
        plan_version: row.get(14)?,
        revisions: row.get(15)?,
        questions: row.get(16)?,
        events: row.get::<_, i64>(17)?.cast_unsigned(),
        holds: if accounts.is_some() { holds()? } else { Vec::new() },
        ledger: accounts.map_or(Ok(Ledger::granting(Budget::UNLIMITED)), LedgerRow::read)?,
        steps,
    })
}

/// Reads the columns of a line of a list, in the order of its statement.
pub(crate) fn read_line(row: &Row<'_>) -> Result<TaskLine, RowError> {
    let stands = state(row, 1)?.read()?;
    let failure = match &stands {
        TaskState::Failed { failure, .. } => Some(failure.clone()),
        TaskState::Queued
        | TaskState::Planning
        | TaskState::Running
        | TaskState::Waiting { .. }
        | TaskState::Stopping { .. }
        | TaskState::Completed { .. }
        | TaskState::Cancelled { .. } => None,
    };
    Ok(TaskLine {
        id: task_id(row, 0)?,
        status: stands.status(),
        failure,
        priority: read_priority(row.get(6)?)?,
        accepted_at: moment(row, 7)?,
        started_at: moment_if(row, 8)?,
        ended_at: stands.ended_at(),
        not_before: moment_if(row, 9)?,
        deadline: moment_if(row, 10)?,
        goal: row.get(11)?,
    })
}
