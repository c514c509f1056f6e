//! The accept: how a task begins.

use crate::{
    Budget, Deliveries, Event, EventKind, Ledger, NewStep, Step, StepState, Task, TaskState, Terms,
    decide::Draft,
};
use octollm_contract::{Priority, TaskId, TenantId};

/// A task that is to be accepted: what the client wants, already checked and planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// Its owner.
    pub tenant: TenantId,
    /// How urgent it is.
    pub priority: Priority,
    /// What is agreed. `accepted_at` is the moment of the accept.
    pub terms: Terms,
    /// What its model calls may use.
    pub budget: Budget,
    /// Its first steps: those of a plan made in the accept, or one planner step. A step needs
    /// earlier ones only.
    pub steps: Vec<NewStep>,
}

/// The task as it is stored first, and its first events.
///
/// A task without steps is complete at once; callers that plan never make one.
#[must_use]
pub fn accept(new: NewTask) -> (Task, Vec<Event>) {
    let now = new.terms.accepted_at;
    let planned = new.steps.iter().any(|step| step.arm != octollm_contract::ArmName::Planner);
    let version = u32::from(planned);
    let steps = new.steps.into_iter().map(|step| Step::new(step, version)).collect();
    let task = Task {
        id: new.id,
        tenant: new.tenant,
        priority: new.priority,
        terms: new.terms,
        state: TaskState::Queued,
        started_at: None,
        plan_version: version,
        revisions: 0,
        steps,
        ledger: Ledger::granting(new.budget),
        holds: Vec::new(),
        questions: 0,
        events: 0,
    };
    let mut draft = Draft::of(&task, now);
    draft.tell(EventKind::TaskAccepted);
    draft.follow();
    let changes = draft.into_changes(&task);
    (changes.after, changes.events)
}

impl Step {
    pub(crate) fn new(step: NewStep, plan_version: u32) -> Self {
        Step {
            arm: step.arm,
            plan_version,
            needs: step.needs.into(),
            awaits: step.awaits,
            time_limit: step.time_limit,
            state: StepState::Blocked,
            deliveries: Deliveries::default(),
        }
    }
}
