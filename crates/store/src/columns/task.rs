//! Where a task stands, as columns.

use super::{Unreadable, failure, unreadable};
use octollm_contract::{Timestamp, api::TaskStatus};
use octollm_lifecycle::{StopInto, TaskState};

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
}
