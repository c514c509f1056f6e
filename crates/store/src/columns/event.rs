//! What happened to a task, as columns.

use super::{Unreadable, failure, unreadable, word};
use octollm_contract::Timestamp;
use octollm_lifecycle::{EventKind, Waits};

/// The columns that say what happened. `count` is a plan version, an attempt, a number of
/// crashes, or the place of a step's failure; `moment` is from when a step may start again;
/// `text` is a worker or a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventRow<'a> {
    pub(crate) kind: &'a str,
    pub(crate) place: Option<u16>,
    pub(crate) count: Option<u32>,
    pub(crate) moment: Option<Timestamp>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) text: Option<&'a str>,
}

impl<'a> From<&'a EventKind> for EventRow<'a> {
    fn from(kind: &'a EventKind) -> Self {
        let row = EventRow { kind: kind.name(), place: kind.place(), ..EventRow::default() };
        match kind {
            EventKind::TaskAccepted
            | EventKind::TaskWaiting { .. }
            | EventKind::TaskResumed { .. }
            | EventKind::TaskCancelling
            | EventKind::TaskCompleted
            | EventKind::TaskCancelled
            | EventKind::StepCheckpointed { .. }
            | EventKind::StepCompleted { .. }
            | EventKind::StepCancelled { .. } => row,
            EventKind::TaskFailed(failure) => {
                EventRow { reason: Some(failure.reason.as_str()), text: Some(&failure.message), ..row }
            }
            EventKind::PlanWritten { version } => EventRow { count: Some(*version), ..row },
            EventKind::StepStarted { worker, attempt, .. } => {
                EventRow { count: Some(*attempt), text: Some(worker.as_str()), ..row }
            }
            EventKind::StepReleased { waits, .. } => EventRow {
                moment: waits.as_ref().map(|waits| waits.from),
                text: waits.as_ref().map(|waits| &*waits.why),
                ..row
            },
            EventKind::StepRetrying { message, from, .. } => {
                EventRow { moment: Some(*from), text: Some(message), ..row }
            }
            EventKind::StepLapsed { crashes, from, .. } => {
                EventRow { count: Some(*crashes), moment: Some(*from), ..row }
            }
            EventKind::StepFailed { failure, .. } => EventRow {
                count: failure.place.map(u32::from),
                reason: Some(failure.reason.as_str()),
                text: Some(&failure.message),
                ..row
            },
        }
    }
}

impl EventRow<'_> {
    pub(crate) fn read(self) -> Result<EventKind, Unreadable> {
        let missing = |what| move || unreadable(what, "nothing");
        let place = || self.place.ok_or_else(missing("place of an event"));
        let count = || self.count.ok_or_else(missing("count of an event"));
        let from = || self.moment.ok_or_else(missing("moment of an event"));
        let text = || self.text.ok_or_else(missing("text of an event"));
        Ok(match self.kind {
            "task.accepted" => EventKind::TaskAccepted,
            "task.waiting" => EventKind::TaskWaiting { place: place()? },
            "task.resumed" => EventKind::TaskResumed { place: place()? },
            "task.cancelling" => EventKind::TaskCancelling,
            "task.completed" => EventKind::TaskCompleted,
            "task.failed" => EventKind::TaskFailed(failure(self.reason, self.text, self.place)?),
            "task.cancelled" => EventKind::TaskCancelled,
            "plan.written" => EventKind::PlanWritten { version: count()? },
            "step.started" => EventKind::StepStarted {
                place: place()?,
                worker: word("worker", text()?)?,
                attempt: count()?,
            },
            "step.checkpointed" => EventKind::StepCheckpointed { place: place()? },
            "step.completed" => EventKind::StepCompleted { place: place()? },
            "step.retrying" => {
                EventKind::StepRetrying { place: place()?, message: text()?.into(), from: from()? }
            }
            "step.released" => {
                let waits = self.moment.map(|from| Ok(Waits { why: text()?.into(), from })).transpose()?;
                EventKind::StepReleased { place: place()?, waits }
            }
            "step.lapsed" => EventKind::StepLapsed { place: place()?, crashes: count()?, from: from()? },
            "step.failed" => {
                let at = self.count.map(u16::try_from).transpose();
                let at = at.map_err(|_| unreadable("place of a failure", self.count.unwrap_or_default()))?;
                EventKind::StepFailed { place: place()?, failure: failure(self.reason, self.text, at)? }
            }
            "step.cancelled" => EventKind::StepCancelled { place: place()? },
            other => return Err(unreadable("kind of event", other)),
        })
    }
}
