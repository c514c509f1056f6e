//! The arrows of the design's §3, as tables. One decision may take several at once: a task is
//! accepted, begins and waits for an approval; a stop ends at once when no lease is alive.

use crate::{StepState, StopInto, TaskState};

/// Whether the design lets a task go from `from` to `to` in one decision.
#[must_use]
pub fn task_transition_allowed(from: &TaskState, to: &TaskState) -> bool {
    use TaskState::{Cancelled, Completed, Failed, Planning, Queued, Running, Stopping, Waiting};
    match (from, to) {
        (Queued, Queued | Planning | Running | Waiting { .. }) => true,
        (Planning, Planning | Running | Waiting { .. }) => true,
        (Running, Running | Waiting { .. } | Completed { .. }) => true,
        (Waiting { .. }, Waiting { .. } | Planning | Running) => true,
        (
            Queued | Planning | Running | Waiting { .. },
            Stopping { .. } | Failed { .. } | Cancelled { .. },
        ) => true,
        // What was decided first stays.
        (Stopping { into, since }, Stopping { into: later, since: until }) => into == later && since == until,
        (Stopping { into: StopInto::Cancelled, .. }, Cancelled { .. }) => true,
        (Stopping { into: StopInto::Failed(why), .. }, Failed { failure, .. }) => why == failure,
        (Completed { .. } | Failed { .. } | Cancelled { .. }, _) => from == to,
        (Planning | Running | Waiting { .. } | Stopping { .. }, Queued)
        | (Running | Stopping { .. }, Planning)
        | (Stopping { .. }, Running | Waiting { .. })
        | (Queued | Planning | Waiting { .. } | Stopping { .. }, Completed { .. })
        | (Stopping { into: StopInto::Cancelled, .. }, Failed { .. })
        | (Stopping { into: StopInto::Failed(_), .. }, Cancelled { .. }) => false,
    }
}

/// Whether the design lets a step go from `from` to `to` in one decision.
#[must_use]
pub fn step_transition_allowed(from: &StepState, to: &StepState) -> bool {
    use StepState::{Blocked, Cancelled, Done, Failed, Leased, Ready};
    match (from, to) {
        (Blocked, Blocked | Ready { .. } | Cancelled) => true,
        (Ready { from: was }, Ready { from: is }) => was == is,
        (Ready { .. }, Leased(_) | Cancelled) => true,
        (Leased(_), Leased(_) | Ready { .. } | Done | Failed(_) | Cancelled) => true,
        (Done | Failed(_) | Cancelled, _) => from == to,
        (Blocked, Leased(_) | Done | Failed(_))
        | (Ready { .. }, Blocked | Done | Failed(_))
        | (Leased(_), Blocked) => false,
    }
}
