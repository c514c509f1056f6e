//! `decide`: one function a command, and what every command has in common.

mod calls;
mod follow;
mod report;
mod steer;

pub use report::PLANNER_TIME_LIMIT;

use crate::{Command, Dice, Event, EventKind, LostCalls, Refusal, Spent, Task, TaskState};
use octollm_contract::{CallId, ContentHash, Document, Timestamp};
use std::collections::BTreeSet;

/// What a command does to a task. A store writes all of it in one transaction, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The task afterwards.
    pub after: Task,
    /// The task itself changed, beyond its steps and its count of events.
    pub moved: bool,
    /// The places of the steps that changed or were added, ascending.
    pub steps: Vec<u16>,
    /// What there is to tell, in order.
    pub events: Vec<Event>,
    /// Documents to keep with steps, in order. Those that say what a new step is to do come
    /// before anything else that is kept with it.
    pub kept: Vec<Kept>,
    /// The document that takes the place of the task's plan.
    pub plan: Option<Document>,
    /// The task was found in a state that no whole transaction leaves behind, and repaired.
    pub repaired: bool,
}

/// A document to keep with a step, and the artefacts that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The step.
    pub place: u16,
    /// What the document is to the step.
    pub as_: KeptAs,
    /// The document.
    pub document: Document,
    /// Artefacts to keep as long as the task.
    pub artefacts: Vec<ContentHash>,
}

/// What a kept document is to its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptAs {
    /// What it is to do; of a step that is added along.
    Spec,
    /// Its result; written once.
    Output,
    /// Where its attempt is; the last one counts.
    Checkpoint,
    /// What a person answered to the question that it goes on from; written once.
    Answer,
    /// What is to be known of a model call that it made. Each call has one of its own.
    Receipt {
        /// The call.
        call: CallId,
        /// Which of the step's calls it is. A later attempt may make a call of this number again.
        number: u32,
        /// What it is charged.
        spent: Spent,
    },
}

impl Changes {
    /// How many model calls are settled.
    #[must_use]
    pub fn settled(&self) -> usize {
        self.kept.iter().filter(|kept| matches!(kept.as_, KeptAs::Receipt { .. })).count()
    }

    /// Nothing is to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.moved
            && self.steps.is_empty()
            && self.events.is_empty()
            && self.kept.is_empty()
            && self.plan.is_none()
            && !self.repaired
    }
}

/// Decides what `command` does to `task` at `now`.
///
/// Depends on its arguments only. `dice` is used for the jitter of waits. A refusal changes
/// nothing. Whatever order commands come in and however often, the invariants of the crate
/// hold afterwards.
pub fn decide(task: &Task, command: &Command, now: Timestamp, dice: Dice) -> Result<Changes, Refusal> {
    let mut draft = Draft::of(task, now);
    match command {
        Command::Claim { place, worker, token, ttl } => draft.claim(*place, worker, *token, *ttl)?,
        Command::Heartbeat { place, token, ttl } => draft.heartbeat(*place, *token, *ttl)?,
        Command::Checkpoint { place, token, state, artefacts } => {
            draft.checkpoint(*place, *token, state, artefacts)?;
        }
        Command::Complete { place, token, output, artefacts, verdict } => {
            draft.complete(*place, *token, output, artefacts, verdict.as_ref())?;
        }
        Command::Revise { place, token, output, plan, steps, specs } => {
            draft.revise(*place, *token, output, plan, steps, specs)?;
        }
        Command::Ask { place, token, output, next, spec } => {
            draft.asks(*place, *token, output, next, spec)?;
        }
        Command::Hold { place, token, call, number, worst } => {
            draft.hold(*place, *token, *call, *number, *worst)?;
        }
        Command::Settle { call, spent, receipt, artefacts } => {
            draft.settle(*call, *spent, receipt, artefacts)?;
        }
        Command::Fail { place, token, message, retryable, mendable } => {
            draft.fail(*place, *token, message, (*retryable, *mendable), dice)?;
        }
        Command::Release { place, token, wait } => draft.release(*place, *token, wait.as_ref(), dice)?,
        Command::Cancel => draft.cancel()?,
        Command::Input(given) => draft.input(given)?,
        Command::Expire { unheard } => draft.expire(unheard.as_ref(), dice),
        Command::WorkerLost { worker } => draft.worker_lost(worker, dice),
        Command::ServerLost(workers) => draft.server_lost(workers),
        Command::CallerLost(LostCalls::All) => draft.presume(|_any| true),
        Command::CallerLost(LostCalls::These(calls)) => draft.presume(|hold| calls.contains(&hold.call)),
    }
    draft.follow();
    Ok(draft.into_changes(task))
}

/// A task while a decision is being made about it.
pub(crate) struct Draft {
    task: Task,
    now: Timestamp,
    touched: BTreeSet<u16>,
    events: Vec<Event>,
    kept: Vec<Kept>,
    plan: Option<Document>,
    repaired: bool,
}

impl Draft {
    pub(crate) fn of(task: &Task, now: Timestamp) -> Self {
        Draft {
            task: task.clone(),
            now,
            touched: BTreeSet::new(),
            events: Vec::new(),
            kept: Vec::new(),
            plan: None,
            repaired: false,
        }
    }

    pub(crate) fn tell(&mut self, kind: EventKind) {
        let event = self.task.number(self.now, kind);
        self.events.push(event);
    }

    pub(crate) fn into_changes(self, before: &Task) -> Changes {
        Changes {
            moved: self.moved(before),
            after: self.task,
            steps: self.touched.into_iter().collect(),
            events: self.events,
            kept: self.kept,
            plan: self.plan,
            repaired: self.repaired,
        }
    }

    fn moved(&self, before: &Task) -> bool {
        let after = &self.task;
        after.state != before.state
            || after.started_at != before.started_at
            || after.plan_version != before.plan_version
            || after.revisions != before.revisions
            || after.ledger != before.ledger
            || after.holds != before.holds
            || after.questions != before.questions
    }

    /// The state of a task whose steps are being done and which waits for nobody.
    fn at_work(&self) -> TaskState {
        if self.task.plan_version == 0 { TaskState::Planning } else { TaskState::Running }
    }

    fn ended(&self) -> bool {
        self.task.state.ended_at().is_some()
    }

    fn stopping(&self) -> bool {
        matches!(self.task.state, TaskState::Stopping { .. })
    }
}

#[cfg(test)]
mod tests;
