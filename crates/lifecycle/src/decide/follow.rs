//! What follows from the steps' states for the other steps and for the task. It runs after
//! every command, and running it twice is running it once.

use super::Draft;
use crate::{Awaits, EventKind, Step, StepState, StopInto, TaskState};

impl Draft {
    pub(crate) fn follow(&mut self) {
        if self.ended() {
            return;
        }
        if !self.stopping() {
            self.unblock();
            self.ask();
        }
        self.end();
    }

    /// A blocked step whose needs are done and which awaits nothing of a person becomes ready.
    fn unblock(&mut self) {
        let free: Vec<u16> = self
            .task
            .places()
            .filter(|(place, step)| step.awaits == Awaits::Nothing && self.could_start(*place))
            .map(|(place, _)| place)
            .collect();
        for place in free {
            self.again(place, self.now);
        }
    }

    /// A task whose step could start but for what a person must give waits for it, one at a time.
    fn ask(&mut self) {
        if let TaskState::Waiting { place } = self.task.state
            && !self.task.step(place).is_some_and(|step| self.waits(place, step))
        {
            // A revision cancelled the step that was waited for.
            self.task.state = self.at_work();
        }
        let may_ask = matches!(self.task.state, TaskState::Queued | TaskState::Planning | TaskState::Running);
        let asks = self.task.places().find(|(place, step)| self.waits(*place, step));
        if let (true, Some((place, _))) = (may_ask, asks) {
            self.task.state = TaskState::Waiting { place };
            self.tell(EventKind::TaskWaiting { place });
        }
    }

    /// The step could start but for what a person must give.
    fn waits(&self, place: u16, step: &Step) -> bool {
        step.awaits != Awaits::Nothing && self.could_start(place)
    }

    pub(super) fn could_start(&self, place: u16) -> bool {
        let done = |need: &u16| self.task.step(*need).is_some_and(|step| step.state == StepState::Done);
        self.task
            .step(place)
            .is_some_and(|step| step.state == StepState::Blocked && step.needs.iter().all(done))
    }

    /// A task with nothing left to do ends, but never while a lease is alive.
    fn end(&mut self) {
        if let TaskState::Stopping { .. } = self.task.state {
            let unstarted: Vec<u16> = self
                .task
                .places()
                .filter(|(_, step)| matches!(step.state, StepState::Blocked | StepState::Ready { .. }))
                .map(|(place, _)| place)
                .collect();
            for place in unstarted {
                self.cancel_step(place);
            }
        }
        let open = self.task.steps.iter().any(|step| match step.state {
            StepState::Blocked | StepState::Ready { .. } | StepState::Leased(_) => true,
            StepState::Done | StepState::Failed(_) | StepState::Cancelled => false,
        });
        if open {
            return;
        }
        let at = self.now;
        let (state, event) = match self.task.state.clone() {
            TaskState::Stopping { into: StopInto::Cancelled, .. } => {
                (TaskState::Cancelled { at }, EventKind::TaskCancelled)
            }
            TaskState::Stopping { into: StopInto::Failed(failure), .. } => {
                (TaskState::Failed { failure: failure.clone(), at }, EventKind::TaskFailed(failure))
            }
            TaskState::Queued | TaskState::Planning | TaskState::Running | TaskState::Waiting { .. } => {
                (TaskState::Completed { at }, EventKind::TaskCompleted)
            }
            TaskState::Completed { .. } | TaskState::Failed { .. } | TaskState::Cancelled { .. } => return,
        };
        self.task.state = state;
        self.tell(event);
    }
}
