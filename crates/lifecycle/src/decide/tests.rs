//! The state machine against its table, small spaces whole, large ones at random.

mod calls;
mod exhaustive;
mod figures;
mod questions;
mod random;
mod table;

use crate::{
    Awaits, Budget, Changes, Command, Dice, Given, ItsWorkers, NewStep, NewTask, Refusal, Replans, Spent,
    StepState, Tally, Task, TaskState, Terms, Unheard, Verdict, Wait, accept, decide, invariants,
};
use octollm_contract::{
    ArmName, CallId, Cost, Document, LeaseToken, MicroUsd, Millis, Priority, TaskId, Timestamp, WorkerId,
    model::WaitsFor,
};

const START: Timestamp = Timestamp::from_millis(1_000_000_000);
const TTL: Millis = Millis::from_secs(30);

fn step(arm: ArmName, needs: &[u16]) -> NewStep {
    NewStep { arm, needs: needs.to_vec(), awaits: Awaits::Nothing, time_limit: Millis::from_secs(600) }
}

fn approved(step: NewStep) -> NewStep {
    NewStep { awaits: Awaits::Approval, ..step }
}

fn order(steps: Vec<NewStep>, replans: Replans) -> NewTask {
    let terms = Terms { accepted_at: START, not_before: None, deadline: None, max_retries: 1, replans };
    let id = TaskId::from_bytes([1; 16]);
    let tenant = "ant".parse().unwrap();
    NewTask { id, tenant, priority: Priority::Medium, terms, budget: Budget::UNLIMITED, steps }
}

fn worker() -> WorkerId {
    "w1".parse().unwrap()
}

/// The token of a step's n-th attempt.
fn token(place: u16, attempt: u32) -> LeaseToken {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&place.to_le_bytes());
    bytes[2..6].copy_from_slice(&attempt.to_le_bytes());
    LeaseToken::from_bytes(bytes)
}

fn document() -> Document {
    Document::from_json("{}")
}

fn complete(place: u16, token: LeaseToken, verdict: Option<Verdict>) -> Command {
    Command::Complete { place, token, output: document(), artefacts: Vec::new(), verdict }
}

fn revise(place: u16, token: LeaseToken, steps: Vec<NewStep>) -> Command {
    let specs = vec![document(); steps.len()];
    Command::Revise { place, token, output: document(), plan: document(), steps, specs }
}

/// A planner's question, and the planner that goes on with the answer.
fn question(place: u16, token: LeaseToken) -> Command {
    let next = NewStep { awaits: Awaits::Answer, ..step(ArmName::Planner, &[place]) };
    Command::Ask { place, token, output: document(), next, spec: document() }
}

/// A person's answer to the planner at `place`.
fn answer(place: u16) -> Given {
    Given::Answer { place: Some(place), answer: document() }
}

fn waiting(waits_for: WaitsFor) -> Wait {
    Wait { at_least: Millis::from_secs(2), waits_for, why: "nobody is there".to_owned() }
}

/// The `n`-th call of a test.
fn call(n: u8) -> CallId {
    CallId::from_bytes([n; 16])
}

fn spent(micros: u64, tokens: u64) -> Spent {
    Spent { cost: Cost::Known(MicroUsd::new(micros)), tokens }
}

fn hold(place: u16, token: LeaseToken, n: u8, worst: Spent) -> Command {
    Command::Hold { place, token, call: call(n), number: u32::from(n), worst }
}

fn settle(n: u8, spent: Spent) -> Command {
    Command::Settle { call: call(n), spent, receipt: document(), artefacts: Vec::new() }
}

/// Whoever has a lease is gone, and its server.
fn server_lost() -> Command {
    Command::ServerLost(ItsWorkers::All)
}

fn fail(place: u16, token: LeaseToken, retryable: bool) -> Command {
    Command::Fail { place, token, message: "no".to_owned(), retryable, mendable: true }
}

fn refused() -> Option<Verdict> {
    Some(Verdict::Refused { evidence: "bad".to_owned() })
}

/// A task that is driven by commands and checked after each.
#[derive(Clone)]
struct Driver {
    task: Task,
    now: Timestamp,
    /// What all decisions together have added to the figures.
    tally: Tally,
}

impl Driver {
    fn new(new: NewTask) -> Self {
        let (task, events) = accept(new);
        assert_eq!(invariants::check(None, &task, &events), []);
        Driver { task, now: START, tally: Tally::default() }
    }

    /// P2: whatever is asked, the invariants hold; the answer depends on the arguments alone;
    /// what is settled stays settled.
    fn ask(&mut self, command: &Command) -> Result<Changes, Refusal> {
        let dice = Dice(0x1234_5678_9abc_def0);
        let answer = decide(&self.task, command, self.now, dice);
        assert_eq!(answer, decide(&self.task, command, self.now, dice), "the same twice");
        if let Ok(changes) = &answer {
            let found = invariants::check(Some(&self.task), &changes.after, &changes.events);
            assert_eq!(found, [], "{command:?} on {:#?} made {changes:#?}", self.task);
            assert_eq!(
                changes.is_empty(),
                changes.after == self.task && changes.kept.is_empty() && changes.plan.is_none(),
                "{changes:?}"
            );
            assert!(!changes.repaired, "{command:?} found something to repair in {:#?}", self.task);
            self.tally.add(&Tally::of(&self.task, changes, self.now));
            self.task.apply(changes);
            figures::check(self);
            if self.task.next_expiry().is_none_or(|at| at > self.now) {
                let again = decide(&self.task, &Command::Expire { unheard: None }, self.now, dice).unwrap();
                assert!(again.is_empty(), "settled twice: {again:#?}");
            }
        }
        answer
    }

    fn claim(&mut self, place: u16) -> LeaseToken {
        let attempt = self.task.steps[usize::from(place)].deliveries.attempts + 1;
        let token = token(place, attempt);
        self.ask(&Command::Claim { place, worker: worker(), token, ttl: TTL }).unwrap();
        token
    }

    fn pass(&mut self, millis: i64) {
        self.now = Timestamp::from_millis(self.now.as_millis() + millis);
    }

    /// The token under which the step was leased last.
    fn last_token(&self, place: u16) -> LeaseToken {
        token(place, self.task.step(place).map_or(0, |step| step.deliveries.attempts))
    }

    /// P1: with workers that work and people that answer, the task ends within a bound.
    fn finish(&mut self) {
        for _ in 0..600 {
            if self.task.state.ended_at().is_some() {
                return;
            }
            self.pass(61_000);
            self.ask(&Command::Expire { unheard: None }).unwrap();
            if let TaskState::Waiting { place } = self.task.state {
                let given = match self.task.steps[usize::from(place)].awaits {
                    Awaits::Answer => answer(place),
                    Awaits::Approval | Awaits::Nothing => Given::Approve { place },
                };
                self.ask(&Command::Input(given)).unwrap();
            }
            let ready: Vec<(u16, ArmName)> = self
                .task
                .places()
                .filter(|(_, step)| matches!(step.state, StepState::Ready { from } if from <= self.now))
                .map(|(place, step)| (place, step.arm))
                .collect();
            for (place, arm) in ready {
                if !matches!(self.task.steps[usize::from(place)].state, StepState::Ready { .. }) {
                    continue;
                }
                let token = self.claim(place);
                let done = match arm {
                    ArmName::Planner => revise(place, token, vec![step(ArmName::Executor, &[])]),
                    ArmName::Judge => complete(place, token, Some(Verdict::Accepted)),
                    ArmName::Executor | ArmName::Coder | ArmName::Guardian | ArmName::Retriever => {
                        complete(place, token, None)
                    }
                };
                self.ask(&done).unwrap();
            }
        }
        panic!("not ended: {:#?}", self.task);
    }
}
