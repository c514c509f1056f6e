//! What happened to a task, as its owner is told. Events are numbered without gaps and
//! written in the transaction of the change they tell of.

use crate::Failure;
use octollm_contract::{Timestamp, WorkerId};

/// One event of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// From 1, without gaps, in the task.
    pub number: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The task was accepted.
    TaskAccepted,
    /// A person must give what the step awaits: leave to start, or an answer.
    TaskWaiting {
        /// The step.
        place: u16,
    },
    /// It was given.
    TaskResumed {
        /// The step.
        place: u16,
    },
    /// A client cancelled the task; leases are still alive.
    TaskCancelling,
    /// The task ended with a result.
    TaskCompleted,
    /// The task ended without.
    TaskFailed(Failure),
    /// The task ended because a client wished so.
    TaskCancelled,
    /// A planner wrote a plan.
    PlanWritten {
        /// The plan's version.
        version: u32,
    },
    /// A worker took the step.
    StepStarted {
        /// The step.
        place: u16,
        /// Who.
        worker: WorkerId,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// The worker saved where it is.
    StepCheckpointed {
        /// The step.
        place: u16,
    },
    /// The step has its result.
    StepCompleted {
        /// The step.
        place: u16,
    },
    /// The arm reported a failure; the step is tried again.
    StepRetrying {
        /// The step.
        place: u16,
        /// What the arm said.
        message: std::sync::Arc<str>,
        /// When it may start again.
        from: Timestamp,
    },
    /// The worker handed the step back, or was lost with its server.
    StepReleased {
        /// The step.
        place: u16,
        /// What it waits for, if for anything.
        waits: Option<Waits>,
    },
    /// The lease ran out or its worker died by itself; the step is tried again.
    StepLapsed {
        /// The step.
        place: u16,
        /// How often this has happened to it.
        crashes: u32,
        /// When it may start again.
        from: Timestamp,
    },
    /// The step failed for good.
    StepFailed {
        /// The step.
        place: u16,
        /// Why.
        failure: Failure,
    },
    /// The step will not be done.
    StepCancelled {
        /// The step.
        place: u16,
    },
}

/// Why and until when a step that was handed back waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// What it waits for.
    pub why: std::sync::Arc<str>,
    /// When it may start again.
    pub from: Timestamp,
}

impl EventKind {
    /// The `event:` name on the stream.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            EventKind::TaskAccepted => "task.accepted",
            EventKind::TaskWaiting { .. } => "task.waiting",
            EventKind::TaskResumed { .. } => "task.resumed",
            EventKind::TaskCancelling => "task.cancelling",
            EventKind::TaskCompleted => "task.completed",
            EventKind::TaskFailed(_) => "task.failed",
            EventKind::TaskCancelled => "task.cancelled",
            EventKind::PlanWritten { .. } => "plan.written",
            EventKind::StepStarted { .. } => "step.started",
            EventKind::StepCheckpointed { .. } => "step.checkpointed",
            EventKind::StepCompleted { .. } => "step.completed",
            EventKind::StepRetrying { .. } => "step.retrying",
            EventKind::StepReleased { .. } => "step.released",
            EventKind::StepLapsed { .. } => "step.lapsed",
            EventKind::StepFailed { .. } => "step.failed",
            EventKind::StepCancelled { .. } => "step.cancelled",
        }
    }

    /// The step it happened to, if it did to one.
    #[must_use]
    pub const fn place(&self) -> Option<u16> {
        match self {
            EventKind::TaskAccepted
            | EventKind::TaskCancelling
            | EventKind::TaskCompleted
            | EventKind::TaskCancelled
            | EventKind::PlanWritten { .. } => None,
            EventKind::TaskFailed(failure) => failure.place,
            EventKind::TaskWaiting { place }
            | EventKind::TaskResumed { place }
            | EventKind::StepStarted { place, .. }
            | EventKind::StepCheckpointed { place }
            | EventKind::StepCompleted { place }
            | EventKind::StepRetrying { place, .. }
            | EventKind::StepReleased { place, .. }
            | EventKind::StepLapsed { place, .. }
            | EventKind::StepFailed { place, .. }
            | EventKind::StepCancelled { place } => Some(*place),
        }
    }

    /// The task has ended with this event.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, EventKind::TaskCompleted | EventKind::TaskFailed(_) | EventKind::TaskCancelled)
    }
}
