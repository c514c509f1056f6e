//! What is counted of tasks, steps and model calls when they end: what one decision adds, and how
//! that is summed.
//!
//! Promises: a task, a step and a settlement count once, with the decision that ends them, on the day
//! of its moment; a call without a known price is counted as such and never as one that was free (P5).
//! Sums do not depend on the order and stop at the greatest number.
//!
//! Must not know: where sums are kept.

use crate::{Changes, KeptAs, Spent, StepState, Task, TaskState};
use octollm_contract::{ArmName, Cost, Day, MicroUsd, Millis, Timestamp};
use std::collections::BTreeMap;

/// What figures are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Whole tasks.
    Tasks,
    /// The steps of an arm, and the model calls that they made.
    Steps(ArmName),
}

/// Sums over what has ended. All of them only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Ended with a result.
    pub done: u64,
    /// Ended without.
    pub failed: u64,
    /// Not brought to an end.
    pub cancelled: u64,
    /// Leases that all these steps took; of tasks, none.
    pub attempts: u64,
    /// How long those with a result took: a task from its accept, a step from its last lease.
    pub took: Millis,
    /// The longest of these.
    pub worst: Millis,
    /// Model calls that were settled; those of a task count with its steps. One that used nothing, neither
    /// money nor a token, was not made and does not count.
    pub calls: u64,
    /// Those of them whose cost nobody knows.
    pub unpriced: u64,
    /// What the others cost.
    pub cost: MicroUsd,
    /// Tokens, of questions and answers together.
    pub tokens: u64,
}

impl Figures {
    /// Adds what was counted elsewhere, or later.
    pub fn add(&mut self, more: &Figures) {
        let plus = u64::saturating_add;
        *self = Figures {
            done: plus(self.done, more.done),
            failed: plus(self.failed, more.failed),
            cancelled: plus(self.cancelled, more.cancelled),
            attempts: plus(self.attempts, more.attempts),
            took: Millis::new(plus(self.took.get(), more.took.get())),
            worst: self.worst.max(more.worst),
            calls: plus(self.calls, more.calls),
            unpriced: plus(self.unpriced, more.unpriced),
            cost: MicroUsd::new(plus(self.cost.get(), more.cost.get())),
            tokens: plus(self.tokens, more.tokens),
        };
    }

    fn count(&mut self, end: End, took: Option<Millis>) {
        match end {
            End::Done => {
                let took = took.unwrap_or_default();
                self.done += 1;
                self.took = Millis::new(self.took.get().saturating_add(took.get()));
                self.worst = self.worst.max(took);
            }
            End::Failed => self.failed += 1,
            End::Cancelled => self.cancelled += 1,
        }
    }
}

/// What a decision adds to the figures of a day; what is added to nothing is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(pub BTreeMap<(Day, Subject), Figures>);

impl Tally {
    /// What changed the task `before` at `now`.
    #[must_use]
    pub fn of(before: &Task, changes: &Changes, now: Timestamp) -> Self {
        let (mut tally, day, after) = (Tally::default(), Day::of(now), &changes.after);
        let ended = End::of_task(&after.state).filter(|_| before.state.ended_at().is_none());
        if let Some(end) = ended {
            let of_tasks = tally.0.entry((day, Subject::Tasks)).or_default();
            of_tasks.count(end, Some(now.since(after.terms.accepted_at)));
        }
        for place in &changes.steps {
            let Some(step) = after.step(*place) else { continue };
            let was = before.step(*place).map(|step| &step.state);
            let Some(end) = End::of_step(&step.state).filter(|_| was.and_then(End::of_step).is_none()) else {
                continue;
            };
            let of_arm = tally.0.entry((day, Subject::Steps(step.arm))).or_default();
            of_arm.attempts += u64::from(step.deliveries.attempts);
            of_arm.count(end, was.and_then(leased_at).map(|since| now.since(since)));
        }
        for kept in &changes.kept {
            let (KeptAs::Receipt { spent, .. }, Some(step)) = (kept.as_, after.step(kept.place)) else {
                continue;
            };
            // A provider did not take it, and charges nothing for it: it was not made.
            if spent == (Spent { cost: Cost::Known(MicroUsd::ZERO), tokens: 0 }) {
                continue;
            }
            let of_arm = tally.0.entry((day, Subject::Steps(step.arm))).or_default();
            of_arm.calls += 1;
            of_arm.tokens = of_arm.tokens.saturating_add(spent.tokens);
            match spent.cost {
                Cost::Known(cost) => {
                    of_arm.cost = of_arm.cost.checked_add(cost).unwrap_or(MicroUsd::new(u64::MAX));
                }
                Cost::Unknown => of_arm.unpriced += 1,
            }
        }
        tally
    }

    /// Adds what another decision has added.
    pub fn add(&mut self, more: &Tally) {
        for (key, figures) in &more.0 {
            self.0.entry(*key).or_default().add(figures);
        }
    }
}

/// How a task or a step ended.
#[derive(Clone, Copy)]
enum End {
    Done,
    Failed,
    Cancelled,
}

impl End {
    fn of_task(state: &TaskState) -> Option<End> {
        match state {
            TaskState::Completed { .. } => Some(End::Done),
            TaskState::Failed { .. } => Some(End::Failed),
            TaskState::Cancelled { .. } => Some(End::Cancelled),
            TaskState::Queued
            | TaskState::Planning
            | TaskState::Running
            | TaskState::Waiting { .. }
            | TaskState::Stopping { .. } => None,
        }
    }

    fn of_step(state: &StepState) -> Option<End> {
        match state {
            StepState::Done => Some(End::Done),
            StepState::Failed(_) => Some(End::Failed),
            StepState::Cancelled => Some(End::Cancelled),
            StepState::Blocked | StepState::Ready { .. } | StepState::Leased(_) => None,
        }
    }
}

fn leased_at(state: &StepState) -> Option<Timestamp> {
    match state {
        StepState::Leased(lease) => Some(lease.granted_at),
        StepState::Blocked
        | StepState::Ready { .. }
        | StepState::Done
        | StepState::Failed(_)
        | StepState::Cancelled => None,
    }
}
