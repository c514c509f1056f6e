//! What a decision about a task may depend on: the task's view, with the states' data inside
//! the states.

use crate::{Event, HOLD_GRACE, Ledger, Spent};
use octollm_contract::{
    ArmName, CallId, Cost, LeaseToken, Millis, Priority, StepId, TaskId, TenantId, Timestamp, WorkerId,
    api::{StepStatus, TaskStatus},
};
use std::sync::Arc;

/// A task as the state machine sees it. What the goal says is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its owner.
    pub tenant: TenantId,
    /// How urgent it is.
    pub priority: Priority,
    /// What was agreed at the accept.
    pub terms: Terms,
    /// Where it stands.
    pub state: TaskState,
    /// When its first lease was granted.
    pub started_at: Option<Timestamp>,
    /// The version of its plan: 0 before it has one.
    pub plan_version: u32,
    /// How often the plan was revised.
    pub revisions: u32,
    /// Its steps by place. Places only grow.
    pub steps: Vec<Step>,
    /// What its model calls may use and have used.
    pub ledger: Ledger,
    /// Its model calls under way, in the order of their ids.
    pub holds: Vec<Hold>,
    /// How often a planner has asked its client a question.
    pub questions: u32,
    /// How many events it has had.
    pub events: u64,
}

/// What was agreed at the accept and never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// When the task was accepted.
    pub accepted_at: Timestamp,
    /// No step starts before.
    pub not_before: Option<Timestamp>,
    /// The task fails if it has not ended by then: the earlier of its deadline and its time budget.
    pub deadline: Option<Timestamp>,
    /// Handled failures that each step may have and still be tried again.
    pub max_retries: u32,
    /// What happens when a step has failed for good or a verdict refuses the result.
    pub replans: Replans,
}

impl Terms {
    /// The task's time, for whoever set it as a moment or as a length: which of the two ends first is not kept.
    pub(crate) fn time_until(&self, deadline: Timestamp) -> String {
        let (began, from) = match self.not_before {
            Some(start) => (start, "not_before"),
            None => (self.accepted_at, "the accept"),
        };
        let length = deadline.since(began);
        format!(
            "time of {length} from {from}, until {deadline} (the earlier of deadline and budget.max_time_seconds)"
        )
    }
}

/// Whether a plan that failed is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replans {
    /// No planner can run: the task fails with the evidence.
    No,
    /// A planner step sees the evidence and writes the next plan version, at most so often.
    UpTo(u32),
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// No step has started.
    Queued,
    /// A planner is at work on the first plan.
    Planning,
    /// Steps are being done.
    Running,
    /// A person must give the step at this place what it awaits.
    Waiting {
        /// The step that waits.
        place: u16,
    },
    /// The end is decided, but leases are still alive. Clients see `cancelling` or `running`.
    Stopping {
        /// Where this ends.
        into: StopInto,
        /// Since when workers are told to stop.
        since: Timestamp,
    },
    /// Ended with a result.
    Completed {
        /// When.
        at: Timestamp,
    },
    /// Ended without.
    Failed {
        /// Why.
        failure: Failure,
        /// When.
        at: Timestamp,
    },
    /// Ended because a client wished so.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

/// Where a task that is being stopped ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopInto {
    /// A client cancelled it.
    Cancelled,
    /// It cannot succeed any more.
    Failed(Failure),
}

/// Why a step or a task failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, as one word for programs.
    pub reason: FailureReason,
    /// What happened, for people.
    pub message: Arc<str>,
    /// The step at which it happened.
    pub place: Option<u16>,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// The arm reported a failure that no retry mends, or the retries are used up.
    StepFailed,
    /// The step's workers died or vanished three times.
    Poison,
    /// The step came back more than a hundred times without a crash or a failure of its own.
    Released,
    /// The deadline or the time budget passed.
    Deadline,
    /// The judge refused the result.
    Refused,
    /// A person refused the approval.
    NotApproved,
}

impl FailureReason {
    /// Every kind.
    pub const ALL: &'static [FailureReason] = &[
        FailureReason::StepFailed,
        FailureReason::Poison,
        FailureReason::Released,
        FailureReason::Deadline,
        FailureReason::Refused,
        FailureReason::NotApproved,
    ];

    /// As the API and the store write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            FailureReason::StepFailed => "step_failed",
            FailureReason::Poison => "poison",
            FailureReason::Released => "released_too_often",
            FailureReason::Deadline => "deadline",
            FailureReason::Refused => "refused",
            FailureReason::NotApproved => "not_approved",
        }
    }
}

/// A step as the state machine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The arm that does it.
    pub arm: ArmName,
    /// The plan version that brought it.
    pub plan_version: u32,
    /// The places of the steps that must be done before.
    pub needs: Arc<[u16]>,
    /// What a person must give before it starts, and has not yet.
    pub awaits: Awaits,
    /// How long one attempt may take.
    pub time_limit: Millis,
    /// Where it stands.
    pub state: StepState,
    /// How often it was handed out, and how that ended.
    pub deliveries: Deliveries,
}

/// What a step waits for from a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Awaits {
    /// Nothing.
    Nothing,
    /// Leave to start.
    Approval,
    /// The answer to a planner's question.
    Answer,
}

/// A model call under way: what it may use at most is held until it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The call.
    pub call: CallId,
    /// The step that asked for it.
    pub place: u16,
    /// Which of the step's calls it is, from 1, by the arm's own count.
    pub number: u32,
    /// What it may cost at most.
    pub cost: Cost,
    /// Tokens that it may take at most.
    pub tokens: u64,
    /// Since when.
    pub at: Timestamp,
}

impl Hold {
    /// The most that the call can use.
    #[must_use]
    pub const fn worst(&self) -> Spent {
        Spent { cost: self.cost, tokens: self.tokens }
    }
}

/// A step that a plan adds to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStep {
    /// The arm that does it.
    pub arm: ArmName,
    /// The places of the steps that must be done before: of done ones, or of ones added along.
    pub needs: Vec<u16>,
    /// What a person must give before it starts.
    pub awaits: Awaits,
    /// How long one attempt may take.
    pub time_limit: Millis,
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Waits for other steps or for an approval.
    Blocked,
    /// May be claimed from this moment on.
    Ready {
        /// Not earlier.
        from: Timestamp,
    },
    /// A worker has it.
    Leased(Lease),
    /// Has its result.
    Done,
    /// Failed for good.
    Failed(Failure),
    /// Was not done, or not to the end, because the task ended or its plan was revised.
    Cancelled,
}

/// The time-bound, fenced right to do a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What proves it: random, new for every grant.
    pub token: LeaseToken,
    /// Who has it.
    pub worker: WorkerId,
    /// When it was granted, by the store's clock.
    pub granted_at: Timestamp,
    /// When it lapses unless a heartbeat extends it.
    pub expires_at: Timestamp,
}

/// How often a step was handed out. Each way back is counted apart and bounded apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Leases granted.
    pub attempts: u32,
    /// Failures that the arm reported.
    pub failures: u32,
    /// Leases that ran out or whose worker died by itself.
    pub crashes: u32,
    /// Leases handed back, such as in a drain, or lost with the server.
    pub releases: u32,
}

impl Task {
    /// The id of the step at `place`.
    #[must_use]
    pub fn step_id(&self, place: u16) -> StepId {
        self.id.step(place)
    }

    /// The step at `place`, if there is one.
    #[must_use]
    pub fn step(&self, place: u16) -> Option<&Step> {
        self.steps.get(usize::from(place))
    }

    /// The hold of `call`, if it is under way.
    #[must_use]
    pub fn hold(&self, call: CallId) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.call == call)
    }

    /// Steps with their places.
    pub fn places(&self) -> impl Iterator<Item = (u16, &Step)> {
        (0u16..).zip(&self.steps)
    }

    /// Whether a worker that has the step at `place` must stop: its task is ending, or its
    /// attempt has taken longer than it may.
    #[must_use]
    pub fn must_stop(&self, place: u16, now: Timestamp) -> bool {
        let stopping = matches!(self.state, TaskState::Stopping { .. });
        // A clock that was set back does not take back a stop that is decided.
        self.stop_since(place).is_some_and(|since| stopping || since <= now)
    }

    /// The moment from which the worker at `place` must stop, if that is decided.
    pub(crate) fn stop_since(&self, place: u16) -> Option<Timestamp> {
        let step = self.step(place)?;
        let StepState::Leased(lease) = &step.state else { return None };
        let overtime = lease.granted_at + step.time_limit;
        match &self.state {
            TaskState::Stopping { since, .. } => Some(overtime.min(*since)),
            TaskState::Queued
            | TaskState::Planning
            | TaskState::Running
            | TaskState::Waiting { .. }
            | TaskState::Completed { .. }
            | TaskState::Failed { .. }
            | TaskState::Cancelled { .. } => Some(overtime),
        }
    }

    /// The earliest moment at which [`crate::Command::Expire`] would change something, if any:
    /// a lease that lapses, a deadline, or a hold that nobody settles.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        let leases = self.steps.iter().filter_map(|step| match &step.state {
            StepState::Leased(lease) => Some(lease.expires_at),
            StepState::Blocked
            | StepState::Ready { .. }
            | StepState::Done
            | StepState::Failed(_)
            | StepState::Cancelled => None,
        });
        leases.chain(self.next_due()).min()
    }

    /// The earliest moment at which the task itself, without its leases, is due to
    /// [`crate::Command::Expire`].
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let held = self.holds.iter().map(|hold| hold.at + HOLD_GRACE);
        self.next_deadline().into_iter().chain(held).min()
    }

    /// The deadline, as long as it can still end the task.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match self.state {
            TaskState::Queued | TaskState::Planning | TaskState::Running | TaskState::Waiting { .. } => {
                self.terms.deadline
            }
            TaskState::Stopping { .. }
            | TaskState::Completed { .. }
            | TaskState::Failed { .. }
            | TaskState::Cancelled { .. } => None,
        }
    }

    /// Applies what [`crate::decide`] decided; for views that are kept in memory.
    pub fn apply(&mut self, changes: &crate::Changes) {
        self.clone_from(&changes.after);
    }

    /// The number that the next event of this task gets.
    pub(crate) fn number(&mut self, at: Timestamp, kind: crate::EventKind) -> Event {
        self.events += 1;
        Event { number: self.events, at, kind }
    }
}

impl TaskState {
    /// As clients see it.
    #[must_use]
    pub const fn status(&self) -> TaskStatus {
        match self {
            TaskState::Queued => TaskStatus::Queued,
            TaskState::Planning => TaskStatus::Planning,
            TaskState::Running | TaskState::Stopping { into: StopInto::Failed(_), .. } => TaskStatus::Running,
            TaskState::Waiting { .. } => TaskStatus::Waiting,
            TaskState::Stopping { into: StopInto::Cancelled, .. } => TaskStatus::Cancelling,
            TaskState::Completed { .. } => TaskStatus::Completed,
            TaskState::Failed { .. } => TaskStatus::Failed,
            TaskState::Cancelled { .. } => TaskStatus::Cancelled,
        }
    }

    /// The place of the step that waits for a person, if one does.
    #[must_use]
    pub const fn waits_at(&self) -> Option<u16> {
        match self {
            TaskState::Waiting { place } => Some(*place),
            TaskState::Queued
            | TaskState::Planning
            | TaskState::Running
            | TaskState::Stopping { .. }
            | TaskState::Completed { .. }
            | TaskState::Failed { .. }
            | TaskState::Cancelled { .. } => None,
        }
    }

    /// When the task ended, if it has.
    #[must_use]
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match self {
            TaskState::Completed { at } | TaskState::Failed { at, .. } | TaskState::Cancelled { at } => {
                Some(*at)
            }
            TaskState::Queued
            | TaskState::Planning
            | TaskState::Running
            | TaskState::Waiting { .. }
            | TaskState::Stopping { .. } => None,
        }
    }
}

impl StepState {
    /// As clients see it.
    #[must_use]
    pub const fn status(&self) -> StepStatus {
        match self {
            StepState::Blocked => StepStatus::Blocked,
            StepState::Ready { .. } => StepStatus::Ready,
            StepState::Leased(_) => StepStatus::Leased,
            StepState::Done => StepStatus::Done,
            StepState::Failed(_) => StepStatus::Failed,
            StepState::Cancelled => StepStatus::Cancelled,
        }
    }
}
