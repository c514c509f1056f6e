//! The independent checker: reads what clients and workers saw and the events that were told,
//! and says which promise was broken.
//!
//! Must not know: the state machine, the store, the simulation. It is written against the
//! design's promises; the plan's shape is the one that the client sent.

mod calls;

pub use calls::receipt;

use crate::message::{Floor, Report, Taken};
use octollm_contract::{CallId, Document, StepId, TaskId, TenantId, Timestamp, WorkerId, api::TaskStatus};
use octollm_lifecycle::{Awaits, Budget, CRASHES_MAX, Event, EventKind, FailureReason, NewStep, Spent};
use std::collections::BTreeMap;

/// What was ordered.
pub struct Order<'a> {
    /// By whom.
    pub tenant: &'a TenantId,
    /// Its first plan.
    pub steps: &'a [NewStep],
    /// No step starts before.
    pub not_before: Option<Timestamp>,
    /// Handled failures that each step may have and still be tried again.
    pub max_retries: u32,
    /// What its model calls may use.
    pub budget: Budget,
}

/// Something that a client, a worker, an orchestrator or the model's provider saw, in the order
/// of seeing.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A 202; `other`: for another body under the same key.
    Accepted {
        /// The order's place.
        order: usize,
        /// The answer.
        task: TaskId,
        /// It was another body.
        other: bool,
    },
    /// A 409.
    KeyReused {
        /// The order's place.
        order: usize,
        /// The task that the answer names.
        first: TaskId,
        /// It was another body.
        other: bool,
    },
    /// A task as it was read.
    View {
        /// Which.
        task: TaskId,
        /// By its owner.
        own: bool,
        /// What the reader had seen before it asked.
        floor: Floor,
        /// Its status.
        status: TaskStatus,
        /// How many events it had.
        events: u64,
    },
    /// A 404.
    NoSuchTask {
        /// Which.
        task: TaskId,
        /// Its owner asked.
        own: bool,
    },
    /// The answer to a cancel.
    Cancelled {
        /// Which.
        task: TaskId,
        /// It had not ended.
        done: bool,
    },
    /// A worker was given a step.
    Granted {
        /// Who.
        worker: WorkerId,
        /// Which.
        step: StepId,
        /// Which attempt.
        attempt: u32,
        /// The outputs it was given, by place.
        inputs: Vec<(u16, Document)>,
    },
    /// A worker heard what its report came to.
    Reported {
        /// Who.
        worker: WorkerId,
        /// Which step.
        step: StepId,
        /// Under which attempt.
        attempt: u32,
        /// What it had reported.
        report: Report,
        /// What it was told.
        taken: Taken,
    },
    /// An orchestrator was told that a model call is held.
    Held {
        /// The call.
        call: CallId,
        /// For which step.
        step: StepId,
        /// Which of its calls.
        number: u32,
        /// What is held.
        worst: Spent,
    },
    /// The provider was called: a line of its own log.
    Called {
        /// By which call.
        call: CallId,
        /// What it will charge.
        used: Spent,
    },
    /// The orchestrator that made a call was told what its settlement came to.
    Settled {
        /// The call.
        call: CallId,
        /// It counts.
        taken: bool,
    },
    /// After all: what is kept of a call.
    Receipt {
        /// The call.
        call: CallId,
        /// The step that it is kept with.
        step: StepId,
        /// What is kept.
        body: Document,
    },
    /// After all: what a task spent.
    Account {
        /// Which.
        task: TaskId,
        /// Micro-dollars, tokens, and calls without a price.
        spent: (u64, u64, u32),
        /// How many calls it still holds.
        open: usize,
    },
    /// After all: a step's result.
    Result {
        /// Which.
        step: StepId,
        /// The result.
        output: Document,
    },
    /// After all: how a task ended.
    End {
        /// Which.
        task: TaskId,
        /// How.
        status: TaskStatus,
    },
}

type Verdict = Result<(), String>;

/// Holds `seen` and the events `told` against the promises.
pub fn check(orders: &[Order<'_>], seen: &[Seen], told: &BTreeMap<TaskId, Vec<Event>>) -> Verdict {
    let mut accepted: Vec<Option<TaskId>> = vec![None; orders.len()];
    for one in seen {
        if let Seen::Accepted { order, task, other: _ } = one {
            let first = *accepted[*order].get_or_insert(*task);
            must(first == *task, || format!("P3: one key gave {first} and {task}"))?;
        }
    }
    for (task, events) in told {
        let order = accepted.iter().position(|known| *known == Some(*task)).map(|at| &orders[at]);
        let order = order.ok_or_else(|| format!("P3: {task} came of no order's key"))?;
        history(*task, order, events)?;
    }
    for one in seen {
        saw(one, &accepted, told)?;
    }
    calls::check(orders, &accepted, seen)
}

fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

/// What one step's events say so far.
#[derive(Clone, Default)]
struct Story {
    attempts: u32,
    holder: Option<WorkerId>,
    lapses: u32,
    retries: u32,
    closed: bool,
    done: bool,
    approved: bool,
}

/// The events of one task by themselves.
fn history(task: TaskId, order: &Order<'_>, events: &[Event]) -> Verdict {
    let mut steps: BTreeMap<u16, Story> = BTreeMap::new();
    let mut ended = false;
    for (number, event) in (1u64..).zip(events) {
        let wrong = |what: &str| Err(format!("{what}: {task} told {event:?}"));
        must(event.number == number, || format!("P4: {task} told {event:?} as number {number}"))?;
        if ended {
            return wrong("P2: after the end");
        }
        ended = event.kind.is_terminal();
        if (number == 1) != (event.kind == EventKind::TaskAccepted) {
            return wrong("P1: the accept is the first event, once");
        }
        let Some(place) = event.kind.place() else { continue };
        let story = steps.entry(place).or_default();
        let about_the_step = !matches!(event.kind, EventKind::TaskResumed { .. } | EventKind::TaskFailed(_));
        if story.closed && about_the_step {
            return wrong("P2: a closed step goes on");
        }
        match &event.kind {
            EventKind::StepStarted { worker, attempt, place } => {
                story.attempts += 1;
                if story.holder.is_some() || *attempt != story.attempts {
                    return wrong("P2: a step has two holders");
                }
                story.holder = Some(worker.clone());
                let approved = story.approved;
                let planned = order.steps.get(usize::from(*place));
                if order.not_before.is_some_and(|not_before| event.at < not_before) {
                    return wrong("a step starts too early");
                }
                if planned.is_some_and(|step| step.awaits != Awaits::Nothing) && !approved {
                    return wrong("a step starts without its approval");
                }
                let needs = planned.map_or(&[][..], |step| &step.needs);
                if !needs.iter().all(|need| steps.get(need).is_some_and(|step| step.done)) {
                    return wrong("a step starts before what it needs");
                }
            }
            EventKind::StepCheckpointed { .. } if story.holder.is_none() => {
                return wrong("P2: a checkpoint without a holder");
            }
            EventKind::StepCompleted { .. }
            | EventKind::StepReleased { .. }
            | EventKind::StepRetrying { .. }
            | EventKind::StepLapsed { .. }
            | EventKind::StepFailed { .. }
                if story.holder.take().is_none() =>
            {
                return wrong("P2: a step comes back without a holder");
            }
            EventKind::StepCompleted { .. } => (story.closed, story.done) = (true, true),
            EventKind::StepCancelled { .. } => (story.closed, story.holder) = (true, None),
            EventKind::StepRetrying { .. } => {
                story.retries += 1;
                if story.retries > order.max_retries {
                    return wrong("P2: more retries than were agreed");
                }
            }
            EventKind::StepLapsed { crashes, .. } => {
                story.lapses += 1;
                if story.lapses != *crashes || *crashes >= CRASHES_MAX {
                    return wrong("P2: crashes are miscounted");
                }
            }
            EventKind::StepFailed { failure, .. } => {
                story.closed = true;
                let poison = failure.reason == FailureReason::Poison;
                if poison && story.lapses != CRASHES_MAX - 1 {
                    return wrong("P2: poison before the third crash");
                }
            }
            EventKind::TaskResumed { .. } => story.approved = true,
            EventKind::StepReleased { .. }
            | EventKind::StepCheckpointed { .. }
            | EventKind::TaskAccepted
            | EventKind::TaskWaiting { .. }
            | EventKind::TaskCancelling
            | EventKind::TaskCompleted
            | EventKind::TaskFailed(_)
            | EventKind::TaskCancelled
            | EventKind::PlanWritten { .. } => {}
        }
    }
    must(ended, || format!("P1: {task} has no end"))
}

/// Who did the attempt, by the events.
fn holder(events: &[Event], place: u16, attempt: u32) -> Option<&WorkerId> {
    events.iter().find_map(|event| match &event.kind {
        EventKind::StepStarted { place: at, worker, attempt: number }
            if (*at, *number) == (place, attempt) =>
        {
            Some(worker)
        }
        _ => None,
    })
}

fn last_attempt(events: &[Event], place: u16) -> u32 {
    let started =
        |event: &&Event| matches!(event.kind, EventKind::StepStarted { place: at, .. } if at == place);
    u32::try_from(events.iter().filter(started).count()).unwrap_or(u32::MAX)
}

/// How the attempt came back, by the events: what follows its start.
fn came_back(events: &[Event], place: u16, attempt: u32) -> Option<&EventKind> {
    let start = events.iter().position(|event| {
        matches!(event.kind, EventKind::StepStarted { place: at, attempt: number, .. } if (at, number) == (place, attempt))
    })?;
    let after = events[start + 1..].iter().map(|event| &event.kind);
    after.into_iter().find(|kind| match kind {
        EventKind::StepCompleted { place: at }
        | EventKind::StepReleased { place: at, .. }
        | EventKind::StepRetrying { place: at, .. }
        | EventKind::StepLapsed { place: at, .. }
        | EventKind::StepFailed { place: at, .. }
        | EventKind::StepCancelled { place: at } => *at == place,
        EventKind::StepStarted { .. }
        | EventKind::StepCheckpointed { .. }
        | EventKind::TaskAccepted
        | EventKind::TaskWaiting { .. }
        | EventKind::TaskResumed { .. }
        | EventKind::TaskCancelling
        | EventKind::TaskCompleted
        | EventKind::TaskFailed(_)
        | EventKind::TaskCancelled
        | EventKind::PlanWritten { .. } => false,
    })
}

/// What was seen, against what was told.
fn saw(one: &Seen, accepted: &[Option<TaskId>], told: &BTreeMap<TaskId, Vec<Event>>) -> Verdict {
    let events = |task: &TaskId| told.get(task).map_or(&[][..], Vec::as_slice);
    let wrong = |what: &str| Err(format!("{what}: {one:?}"));
    match one {
        Seen::Accepted { task, other, order: _ } => {
            must(!other, || format!("P3: another body under the same key is accepted as {task}"))?;
            must(told.contains_key(task), || format!("P1: {task} was accepted and is lost"))
        }
        Seen::KeyReused { order, first, other } => {
            must(*other && accepted[*order] == Some(*first), || format!("P3: a false conflict: {one:?}"))
        }
        Seen::View { task: _, own, floor, status, events } => {
            let after_cancel = match status {
                TaskStatus::Cancelling | TaskStatus::Cancelled | TaskStatus::Running | TaskStatus::Failed => {
                    true
                }
                TaskStatus::Queued | TaskStatus::Planning | TaskStatus::Waiting | TaskStatus::Completed => {
                    false
                }
            };
            if !own {
                return wrong("P7: another tenant reads the task");
            }
            if *events < floor.events || floor.ended.is_some_and(|ended| ended != *status) {
                return wrong("P4: the task goes back in time");
            }
            must(!floor.cancelled || after_cancel, || format!("P4: a cancel is forgotten: {one:?}"))
        }
        Seen::NoSuchTask { task, own } => must(!own, || format!("P4: the owner of {task} does not find it")),
        Seen::Cancelled { task, done } => {
            let last = events(task).last().map(|event| &event.kind);
            must(!done || last != Some(&EventKind::TaskCompleted), || {
                format!("P2: {task} completed after its cancel was confirmed")
            })
        }
        Seen::Granted { worker, step, attempt, inputs } => {
            let told = events(&step.task);
            must(holder(told, step.place, *attempt) == Some(worker), || {
                format!("P2: a grant that no event tells of: {one:?}")
            })?;
            let start = |kind: &EventKind, need: u16| matches!(kind, EventKind::StepCompleted { place } if *place == need);
            must(inputs.iter().all(|(need, _)| told.iter().any(|event| start(&event.kind, *need))), || {
                format!("P2: an input that was never made: {one:?}")
            })
        }
        Seen::Reported { worker, step, attempt, report, taken } => {
            if *taken != Taken::Yes {
                return Ok(());
            }
            let told = events(&step.task);
            if holder(told, step.place, *attempt) != Some(worker) {
                return wrong("P2: a report of someone who did not hold the step");
            }
            let came = came_back(told, step.place, *attempt);
            let fits = match (report, came) {
                (
                    Report::Complete { .. } | Report::Revise { .. } | Report::Ask { .. },
                    Some(EventKind::StepCompleted { .. }),
                ) => true,
                (Report::Release { waits }, Some(EventKind::StepReleased { waits: told, .. })) => {
                    waits.is_some() == told.is_some()
                }
                // There was no time left to wait in.
                (Report::Release { waits: Some(_) }, Some(EventKind::StepFailed { failure, .. })) => {
                    failure.reason == FailureReason::Deadline
                }
                (
                    Report::Fail { .. },
                    Some(EventKind::StepRetrying { .. } | EventKind::StepFailed { .. }),
                ) => true,
                // A task that is being stopped has no use for the step any more.
                (Report::Fail { .. } | Report::Release { .. }, Some(EventKind::StepCancelled { .. })) => true,
                (
                    Report::Complete { .. }
                    | Report::Revise { .. }
                    | Report::Ask { .. }
                    | Report::Fail { .. }
                    | Report::Release { .. },
                    _,
                ) => false,
            };
            must(fits, || format!("P2: a confirmed report came to {came:?}: {one:?}"))
        }
        // The ledger is checked as a whole.
        Seen::Held { .. }
        | Seen::Called { .. }
        | Seen::Settled { .. }
        | Seen::Receipt { .. }
        | Seen::Account { .. } => Ok(()),
        Seen::Result { step, output } => {
            let told = events(&step.task);
            let attempt = last_attempt(told, step.place);
            let made = holder(told, step.place, attempt).map(|worker| format!("\"{worker}#{attempt}\""));
            must(made.as_deref() == Some(output.as_str()), || {
                format!("P2: the result of {step} is {output:?}, its last holder would have made {made:?}")
            })
        }
        Seen::End { task, status } => {
            let last = events(task).last().map(|event| &event.kind);
            let fits = match status {
                TaskStatus::Completed => last == Some(&EventKind::TaskCompleted),
                TaskStatus::Failed => matches!(last, Some(EventKind::TaskFailed(_))),
                TaskStatus::Cancelled => last == Some(&EventKind::TaskCancelled),
                TaskStatus::Queued
                | TaskStatus::Planning
                | TaskStatus::Running
                | TaskStatus::Waiting
                | TaskStatus::Cancelling => false,
            };
            must(fits, || format!("P1: {task} is {status:?}, its last event is {last:?}"))
        }
    }
}
