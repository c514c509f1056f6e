//! A task and its row in `task`.

use super::{
    LedgerRow, RowError, Unreadable, failure, moment, moment_if, read_priority, task_id, text, text_if,
    unreadable, word,
};
use crate::TaskLine;
use octollm_contract::{Timestamp, api::TaskStatus};
use octollm_lifecycle::{Budget, Hold, Ledger, Replans, Step, StopInto, Task, TaskState, Terms};
use rusqlite::Row;

/// The columns that say where a task stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateRow<'a> {
    pub(crate) state: &'a str,
    pub(crate) at: Option<Timestamp>,
    pub(crate) place: Option<u16>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) message: Option<&'a str>,
}

/// How the states of tasks that have not ended are spelled.
pub(crate) const OPEN_STATES: &[&str] =
    &["queued", "planning", "running", "waiting", "cancelling", "failing"];

/// The states that a client sees as `status`; with `None` all of them.
pub(crate) const fn list_states(status: Option<TaskStatus>) -> &'static [&'static str] {
    match status {
        None => &[
            "queued",
            "planning",
            "running",
            "waiting",
            "cancelling",
            "failing",
            "completed",
            "failed",
            "cancelled",
        ],
        Some(TaskStatus::Queued) => &["queued"],
        Some(TaskStatus::Planning) => &["planning"],
        Some(TaskStatus::Running) => &["running", "failing"],
        Some(TaskStatus::Waiting) => &["waiting"],
        Some(TaskStatus::Cancelling) => &["cancelling"],
        Some(TaskStatus::Completed) => &["completed"],
        Some(TaskStatus::Failed) => &["failed"],
        Some(TaskStatus::Cancelled) => &["cancelled"],
    }
}

impl<'a> From<&'a TaskState> for StateRow<'a> {
    fn from(state: &'a TaskState) -> Self {
        let plain = |state| StateRow { state, ..StateRow::default() };
        let failed = |state, at, failure: &'a octollm_lifecycle::Failure| StateRow {
            state,
            at: Some(at),
            place: failure.place,
            reason: Some(failure.reason.as_str()),
            message: Some(&failure.message),
        };
        match state {
            TaskState::Queued => plain("queued"),
            TaskState::Planning => plain("planning"),
            TaskState::Running => plain("running"),
            TaskState::Waiting { place } => StateRow { place: Some(*place), ..plain("waiting") },
            TaskState::Stopping { into: StopInto::Cancelled, since } => {
                StateRow { at: Some(*since), ..plain("cancelling") }
            }
            TaskState::Stopping { into: StopInto::Failed(why), since } => failed("failing", *since, why),
            TaskState::Completed { at } => StateRow { at: Some(*at), ..plain("completed") },
            TaskState::Failed { failure, at } => failed("failed", *at, failure),
            TaskState::Cancelled { at } => StateRow { at: Some(*at), ..plain("cancelled") },
        }
    }
}

impl StateRow<'_> {
    pub(crate) fn read(self) -> Result<TaskState, Unreadable> {
        let at = || self.at.ok_or_else(|| unreadable("moment of a state", "nothing"));
        let why = || failure(self.reason, self.message, self.place);
        Ok(match self.state {
            "queued" => TaskState::Queued,
            "planning" => TaskState::Planning,
            "running" => TaskState::Running,
            "waiting" => TaskState::Waiting {
                place: self.place.ok_or_else(|| unreadable("place of a state", "nothing"))?,
            },
            "cancelling" => TaskState::Stopping { into: StopInto::Cancelled, since: at()? },
            "failing" => TaskState::Stopping { into: StopInto::Failed(why()?), since: at()? },
            "completed" => TaskState::Completed { at: at()? },
            "failed" => TaskState::Failed { failure: why()?, at: at()? },
            "cancelled" => TaskState::Cancelled { at: at()? },
            other => return Err(unreadable("state of a task", other)),
        })
    }

    /// The columns of one state from a row, `first` being that of `state`.
    fn of<'r>(row: &'r Row<'_>, first: usize) -> Result<StateRow<'r>, rusqlite::Error> {
        Ok(StateRow {
            state: text(row, first)?,
            at: moment_if(row, first + 1)?,
            place: row.get(first + 2)?,
            reason: text_if(row, first + 3)?,
            message: text_if(row, first + 4)?,
        })
    }
}

/// Reads the columns of the statement `task`, in its order.
///
/// `holds` gives the calls under way; it is asked of tasks that have made one.
pub(crate) fn read_task(
    row: &Row<'_>,
    steps: Vec<Step>,
    holds: impl FnOnce() -> Result<Vec<Hold>, RowError>,
) -> Result<Task, RowError> {
    let ledger = LedgerRow::of(row, 18)?;
    Ok(Task {
        id: task_id(row, 0)?,
        tenant: word("tenant", text(row, 1)?)?,
        state: StateRow::of(row, 2)?.read()?,
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
        holds: if ledger.is_some() { holds()? } else { Vec::new() },
        ledger: ledger.map_or(Ok(Ledger::granting(Budget::UNLIMITED)), LedgerRow::read)?,
        steps,
    })
}

/// Reads the columns of a line of a list, in the order of its statement.
pub(crate) fn read_line(row: &Row<'_>) -> Result<TaskLine, RowError> {
    let state = StateRow::of(row, 1)?.read()?;
    let failure = match &state {
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
        status: state.status(),
        failure,
        priority: read_priority(row.get(6)?)?,
        accepted_at: moment(row, 7)?,
        started_at: moment_if(row, 8)?,
        ended_at: state.ended_at(),
        not_before: moment_if(row, 9)?,
        deadline: moment_if(row, 10)?,
        goal: row.get(11)?,
    })
}
