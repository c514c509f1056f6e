//! What must hold of a task after every command, whoever sent it and in whatever order.
//!
//! One function for the tests of this crate, the model-based suite and the simulation. It is
//! written against the design's §3 and §4, not against [`crate::decide`]: it knows nothing of
//! commands. Cheap enough to run after every step: nothing is allocated while nothing is wrong.

mod arrows;

pub use arrows::{step_transition_allowed, task_transition_allowed};

use crate::{
    Account, Amount, Awaits, CRASHES_MAX, Event, EventKind, HOLDS_MAX, Limit, QUESTIONS_MAX, RELEASES_MAX,
    Replans, STEPS_MAX, Step, StepState, Task, TaskState,
};
use octollm_contract::{Cost, MicroUsd};

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Where: a step's place, if it is about one.
    pub place: Option<u16>,
}

/// The rules, each with the promise it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// P2: what has ended does not change, and tells nothing more; only its calls are settled.
    EndedIsEnded,
    /// P2: a task ends with exactly one terminal event, its last.
    OneEnd,
    /// P2: no lease is alive when a task has ended, and every step is closed.
    NoLeaseAfterTheEnd,
    /// P1: what has not ended has a step that a worker, a person or time will move.
    NeverStuck,
    /// P1: a completed task has done all steps of its last plan.
    CompletedMeansDone,
    /// P4: events are numbered on without gaps.
    EventsAreNumbered,
    /// §3: only the task's arrows are taken.
    TaskArrow,
    /// §3: only the step's arrows are taken.
    StepArrow,
    /// P2: a closed step stays as it closed.
    ClosedStepStays,
    /// P2: a lease changes its holder only through the queue.
    LeaseKeepsHolder,
    /// §3: steps start after what they need, after what they await of a person and not before
    /// `not_before`.
    StartsInOrder,
    /// §3: a waiting task waits for a step that could start but for what a person must give.
    WaitsForOne,
    /// §3: the counters only grow, each by one at most, each to its bound; together they
    /// account for every attempt, but for those that came back to wait for their turn.
    CountersAccount,
    /// Plans only grow: places, needs, arms and limits stay.
    PlanOnlyGrows,
    /// Plan versions grow by one; revisions are bounded.
    RevisionsBounded,
    /// What was agreed at the accept stays.
    TermsStay,
    /// P5: granted = spent + held + free in both accounts, and nothing spent comes back.
    LedgerConserved,
    /// P5: what is held is what the calls under way may use; each is held once, under a live
    /// lease, and spends at most its hold.
    HoldsAccount,
    /// The questions to the client are bounded.
    QuestionsBounded,
}

/// What is wrong with `after`, which `events` led to from `before` (`None`: the accept).
#[must_use]
pub fn check(before: Option<&Task>, after: &Task, events: &[Event]) -> Vec<Violation> {
    let mut found = Found(Vec::new());
    alone(after, &mut found);
    numbers(before.map_or(0, |task| task.events), after, events, &mut found);
    let ends = events.iter().filter(|event| event.kind.is_terminal()).count();
    let ended_before = before.is_some_and(|task| task.state.ended_at().is_some());
    let last_ends = events.last().is_some_and(|event| event.kind.is_terminal());
    let ends_now = after.state.ended_at().is_some() && !ended_before;
    found.unless(ends == usize::from(ends_now) && ends_now == last_ends, Rule::OneEnd, None);
    if let Some(before) = before {
        let stays = || same_but_calls(before, after) && events.is_empty();
        found.unless(!ended_before || stays(), Rule::EndedIsEnded, None);
        change(before, after, events, &mut found);
        calls(before, after, &mut found);
    }
    found.0
}

struct Found(Vec<Violation>);

impl Found {
    fn unless(&mut self, holds: bool, rule: Rule, place: Option<u16>) {
        if !holds {
            self.0.push(Violation { rule, place });
        }
    }
}

/// What must hold of one task by itself.
fn alone(task: &Task, found: &mut Found) {
    let (mut open, mut leased, mut startable) = (false, false, false);
    for (place, step) in task.places() {
        let needs_done = step.needs.iter().all(|need| task.step(*need).is_some_and(is_done));
        match &step.state {
            StepState::Blocked => open = true,
            StepState::Ready { from } => {
                (open, startable) = (true, true);
                let in_time = task.terms.not_before.is_none_or(|not_before| *from >= not_before);
                found.unless(
                    needs_done && step.awaits == Awaits::Nothing && in_time,
                    Rule::StartsInOrder,
                    Some(place),
                );
            }
            StepState::Leased(lease) => {
                (open, leased) = (true, true);
                let in_time = task.terms.not_before.is_none_or(|not_before| lease.granted_at >= not_before);
                found.unless(
                    needs_done && step.awaits == Awaits::Nothing && in_time,
                    Rule::StartsInOrder,
                    Some(place),
                );
            }
            StepState::Done | StepState::Failed(_) | StepState::Cancelled => {}
        }
        found.unless(accounts(step, task.terms.max_retries), Rule::CountersAccount, Some(place));
    }
    let waits = match &task.state {
        TaskState::Waiting { place } => task.step(*place).is_some_and(|step| {
            step.state == StepState::Blocked
                && step.awaits != Awaits::Nothing
                && step.needs.iter().all(|need| task.step(*need).is_some_and(is_done))
        }),
        TaskState::Queued
        | TaskState::Planning
        | TaskState::Running
        | TaskState::Stopping { .. }
        | TaskState::Completed { .. }
        | TaskState::Failed { .. }
        | TaskState::Cancelled { .. } => false,
    };
    match &task.state {
        TaskState::Completed { .. } => {
            found.unless(!open, Rule::NoLeaseAfterTheEnd, None);
            let all_done = task.steps.iter().all(|s| s.plan_version != task.plan_version || is_done(s));
            found.unless(all_done, Rule::CompletedMeansDone, None);
        }
        TaskState::Failed { .. } | TaskState::Cancelled { .. } => {
            found.unless(!open, Rule::NoLeaseAfterTheEnd, None);
        }
        TaskState::Stopping { .. } => {
            let unstarted = task
                .steps
                .iter()
                .any(|step| matches!(step.state, StepState::Blocked | StepState::Ready { .. }));
            found.unless(leased && !unstarted, Rule::NeverStuck, None);
        }
        TaskState::Waiting { .. } => {
            found.unless(waits, Rule::WaitsForOne, None);
        }
        TaskState::Queued | TaskState::Planning | TaskState::Running => {
            found.unless(leased || startable, Rule::NeverStuck, None);
        }
    }
    let unplanned = task.plan_version == 0;
    let fits = match task.state {
        TaskState::Planning => unplanned,
        TaskState::Running => !unplanned,
        TaskState::Queued => task.started_at.is_none(),
        TaskState::Waiting { .. }
        | TaskState::Stopping { .. }
        | TaskState::Completed { .. }
        | TaskState::Failed { .. }
        | TaskState::Cancelled { .. } => true,
    };
    found.unless(fits, Rule::TaskArrow, None);
    let most = match task.terms.replans {
        Replans::No => 0,
        Replans::UpTo(most) => most,
    };
    found.unless(task.revisions <= most && task.steps.len() <= STEPS_MAX, Rule::RevisionsBounded, None);
    holds(task, found);
    found.unless(task.questions <= QUESTIONS_MAX, Rule::QuestionsBounded, None);
}

/// The accounts cover what is used, and the calls under way account for what is held.
fn holds(task: &Task, found: &mut Found) {
    let (money, tokens) = (task.ledger.money(), task.ledger.tokens());
    found.unless(covers(money) && covers(tokens), Rule::LedgerConserved, None);
    let cost = task.holds.iter().try_fold(MicroUsd::ZERO, |sum, hold| match hold.cost {
        Cost::Known(cost) => sum.checked_add(cost),
        Cost::Unknown => Some(sum),
    });
    let took = task.holds.iter().try_fold(0u64, |sum, hold| sum.checked_add(hold.tokens));
    let once = task.holds.is_sorted_by(|one, next| one.call < next.call)
        && task.holds.iter().all(|hold| task.step(hold.place).is_some());
    let priced = |hold: &crate::Hold| hold.cost != Cost::Unknown || money.granted() == Limit::Unlimited;
    let accounts = cost == Some(money.held()) && took == Some(tokens.held());
    let sound = once && task.holds.len() <= HOLDS_MAX && task.holds.iter().all(priced);
    found.unless(accounts && sound, Rule::HoldsAccount, None);
}

fn covers<A: Amount>(account: Account<A>) -> bool {
    let used = account.spent().plus(account.held());
    match (account.granted(), account.free()) {
        (Limit::Of(granted), Limit::Of(free)) => used.and_then(|used| used.plus(free)) == Some(granted),
        (Limit::Unlimited, Limit::Unlimited) => used.is_some(),
        (Limit::Of(_), Limit::Unlimited) | (Limit::Unlimited, Limit::Of(_)) => false,
    }
}

fn is_done(step: &Step) -> bool {
    step.state == StepState::Done
}

/// Attempts that no counter accounts for; `None`: the counters account for more than there were.
fn uncounted(step: &Step) -> Option<u32> {
    let d = step.deliveries;
    let at_work = u32::from(matches!(step.state, StepState::Leased(_) | StepState::Done));
    d.attempts.checked_sub(d.failures + d.crashes + d.releases + at_work)
}

fn accounts(step: &Step, max_retries: u32) -> bool {
    let d = step.deliveries;
    d.failures <= max_retries.saturating_add(1)
        && d.crashes <= CRASHES_MAX
        && d.releases <= RELEASES_MAX + 1
        && uncounted(step).is_some()
}

fn numbers(before: u64, after: &Task, events: &[Event], found: &mut Found) {
    let consecutive = (before + 1..).zip(events).all(|(number, event)| event.number == number);
    let counted = before + events.len() as u64 == after.events;
    found.unless(consecutive && counted, Rule::EventsAreNumbered, None);
}

/// Whether nothing but the ledger and the calls under way differs.
fn same_but_calls(before: &Task, after: &Task) -> bool {
    before.id == after.id
        && before.tenant == after.tenant
        && before.priority == after.priority
        && before.terms == after.terms
        && before.state == after.state
        && before.started_at == after.started_at
        && before.plan_version == after.plan_version
        && before.revisions == after.revisions
        && before.steps == after.steps
        && before.questions == after.questions
        && before.events == after.events
}

/// What must hold of the ledger and the calls between a task and itself after one command.
fn calls(before: &Task, after: &Task, found: &mut Found) {
    let (old, new) = (before.ledger, after.ledger);
    let granted =
        old.money().granted() == new.money().granted() && old.tokens().granted() == new.tokens().granted();
    let grows = old.money().spent() <= new.money().spent()
        && old.tokens().spent() <= new.tokens().spent()
        && old.unpriced() <= new.unpriced();
    found.unless(granted && grows, Rule::LedgerConserved, None);
    if before.holds == after.holds {
        found.unless(old == new, Rule::HoldsAccount, None);
        return;
    }
    // What was held and is no more bounds what was spent; who is new has a live lease.
    let (mut cost, mut tokens, mut unpriced) = (MicroUsd::ZERO, 0u64, 0u32);
    for hold in before.holds.iter().filter(|hold| !after.holds.contains(hold)) {
        match hold.cost {
            Cost::Known(held) => cost = cost.checked_add(held).unwrap_or(Amount::MAX),
            Cost::Unknown => unpriced += 1,
        }
        tokens = tokens.saturating_add(hold.tokens);
    }
    let spent = new.money().spent().checked_sub(old.money().spent()).is_some_and(|spent| spent <= cost)
        && new.tokens().spent().checked_sub(old.tokens().spent()).is_some_and(|spent| spent <= tokens)
        && new.unpriced() - old.unpriced() <= unpriced;
    let mut fresh = after.holds.iter().filter(|hold| !before.holds.contains(hold));
    let leased =
        |place: u16| before.step(place).is_some_and(|step| matches!(step.state, StepState::Leased(_)));
    let stopping = before.state.ended_at().is_some() || matches!(before.state, TaskState::Stopping { .. });
    found.unless(spent && fresh.all(|hold| leased(hold.place) && !stopping), Rule::HoldsAccount, None);
}

/// What must hold between a task and the same task after one command.
fn change(before: &Task, after: &Task, events: &[Event], found: &mut Found) {
    found.unless(task_transition_allowed(&before.state, &after.state), Rule::TaskArrow, None);
    let started = before.started_at.is_none() || before.started_at == after.started_at;
    let same = before.id == after.id
        && before.tenant == after.tenant
        && before.priority == after.priority
        && before.terms == after.terms;
    found.unless(same && started, Rule::TermsStay, None);
    let versions = after.plan_version == before.plan_version || after.plan_version == before.plan_version + 1;
    let revisions = (before.revisions..=before.revisions + 1).contains(&after.revisions);
    let questions = (before.questions..=before.questions + 1).contains(&after.questions);
    found.unless(questions, Rule::QuestionsBounded, None);
    found.unless(versions && revisions, Rule::RevisionsBounded, None);
    found.unless(after.steps.len() >= before.steps.len(), Rule::PlanOnlyGrows, None);
    for ((place, old), new) in before.places().zip(&after.steps) {
        if old == new {
            continue;
        }
        let place = Some(place);
        found.unless(step_transition_allowed(&old.state, &new.state), Rule::StepArrow, place);
        let closed = matches!(old.state, StepState::Done | StepState::Failed(_) | StepState::Cancelled);
        found.unless(!closed, Rule::ClosedStepStays, place);
        if let (StepState::Leased(had), StepState::Leased(has)) = (&old.state, &new.state) {
            let same = had.token == has.token && had.worker == has.worker && had.granted_at == has.granted_at;
            found.unless(same && has.expires_at >= had.expires_at, Rule::LeaseKeepsHolder, place);
        }
        let same_plan = old.arm == new.arm
            && old.needs == new.needs
            && old.plan_version == new.plan_version
            && old.time_limit == new.time_limit
            && (old.awaits == new.awaits || new.awaits == Awaits::Nothing);
        found.unless(same_plan, Rule::PlanOnlyGrows, place);
        let (was, is) = (old.deliveries, new.deliveries);
        let by_one = |was: u32, is: u32| is == was || is == was + 1;
        let grow = by_one(was.attempts, is.attempts)
            && by_one(was.failures, is.failures)
            && by_one(was.crashes, is.crashes)
            && by_one(was.releases, is.releases);
        // An attempt that counts as nothing has come back to wait, and is told so.
        let turns = uncounted(new).unwrap_or(0).saturating_sub(uncounted(old).unwrap_or(0));
        let waits = |event: &Event| matches!(&event.kind, EventKind::StepReleased { place: at, waits: Some(_) } if Some(*at) == place);
        let told = turns == 0 || turns == 1 && events.iter().any(waits);
        found.unless(grow && told, Rule::CountersAccount, place);
    }
    for new in after.steps.iter().skip(before.steps.len()) {
        let fresh = matches!(new.state, StepState::Blocked | StepState::Ready { .. } | StepState::Cancelled);
        found.unless(fresh, Rule::StepArrow, None);
    }
}
