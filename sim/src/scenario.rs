//! The tasks of a schedule: chains, joins, diamonds, judged ones, ones that a planner plans.

use crate::rng::Rng;
use octollm_contract::{
    ArmName, ContentHash, Document, IdempotencyKey, MicroUsd, Millis, Priority, TaskId, TenantId, Timestamp,
    WorkerId,
};
use octollm_lifecycle::{Awaits, Budget, Limit, NewStep, NewTask, Replans, Terms};
use octollm_store::Order;
use std::sync::Arc;

/// Names that every schedule uses; made once, for making them costs more than a schedule's step.
pub struct Names {
    pub(crate) tenants: Vec<TenantId>,
    pub(crate) workers: Vec<Vec<WorkerId>>,
    pub(crate) keys: Vec<IdempotencyKey>,
    pub(crate) empty: Document,
}

/// Workers that a schedule has.
pub(crate) const WORKERS: usize = 3;
/// Runs of one worker that have names of their own.
const RUNS: usize = 64;

impl Default for Names {
    fn default() -> Self {
        let parse = |text: String| text.parse().expect("the name keeps to its alphabet");
        let run = |worker| move |run| format!("w{worker}.{run}").parse().expect("a worker's name");
        Names {
            tenants: ["ant", "bee"].map(|name| name.parse().expect("a tenant's name")).into(),
            workers: (0..WORKERS).map(|worker| (0..RUNS).map(run(worker)).collect()).collect(),
            keys: (0..8).map(|key| parse(format!("key-{key}"))).collect(),
            empty: Document::from_json("{}"),
        }
    }
}

impl Names {
    pub(crate) fn worker(&self, worker: usize, run: u32) -> WorkerId {
        let runs = &self.workers[worker];
        runs[usize::try_from(run).unwrap_or(0).min(runs.len() - 1)].clone()
    }
}

/// What a client wants, before it is sent. The same order is sent again on a retry.
pub(crate) struct Plan {
    pub(crate) tenant: TenantId,
    pub(crate) key: IdempotencyKey,
    pub(crate) body: ContentHash,
    pub(crate) priority: Priority,
    pub(crate) steps: Vec<NewStep>,
    pub(crate) not_before: Option<i64>,
    pub(crate) deadline: Option<i64>,
    pub(crate) max_retries: u32,
    pub(crate) replans: Replans,
    pub(crate) budget: Budget,
}

impl Plan {
    pub(crate) fn draw(names: &Names, at: usize, start: i64, rng: &mut Rng) -> Self {
        let replans = if rng.chance(60) { Replans::UpTo(2) } else { Replans::No };
        let steps = if rng.chance(20) { vec![step(ArmName::Planner, &[], false)] } else { shape(0, rng) };
        let mut body = [0; 32];
        body[0] = u8::try_from(at).unwrap_or(u8::MAX);
        Plan {
            tenant: names.tenants[at % names.tenants.len()].clone(),
            key: names.keys[at].clone(),
            body: ContentHash::from_bytes(body),
            priority: Priority::ALL[rng.index(Priority::ALL.len())],
            steps,
            not_before: rng.chance(25).then(|| start + rng.between(1_000, 8_000)),
            deadline: rng.chance(20).then(|| start + rng.between(5_000, 60_000)),
            max_retries: u32::try_from(rng.below(3)).unwrap_or(0),
            replans,
            budget: budget(rng),
        }
    }

    /// The order as an orchestrator makes it at its own `now`.
    pub(crate) fn order(&self, names: &Names, now: Timestamp, entropy: [u8; 10]) -> Order {
        let terms = Terms {
            accepted_at: now,
            not_before: self.not_before.map(Timestamp::from_millis),
            deadline: self.deadline.map(Timestamp::from_millis),
            max_retries: self.max_retries,
            replans: self.replans,
        };
        Order {
            new: NewTask {
                id: TaskId::new(now, entropy),
                tenant: self.tenant.clone(),
                priority: self.priority,
                terms,
                budget: self.budget,
                steps: self.steps.clone(),
            },
            goal: String::new(),
            request: names.empty.clone(),
            plan: names.empty.clone(),
            specs: vec![names.empty.clone(); self.steps.len()],
            idempotency: Some((self.key.clone(), self.body)),
            session: None,
        }
    }
}

/// Often without limits; limits allow a few calls.
fn budget(rng: &mut Rng) -> Budget {
    let mut drawn = |most| rng.chance(40).then(|| rng.below(most));
    let (money, tokens) = (drawn(120), drawn(1_200));
    Budget {
        money: money.map_or(Limit::Unlimited, |most| Limit::Of(MicroUsd::new(most))),
        tokens: tokens.map_or(Limit::Unlimited, Limit::Of),
    }
}

/// The steps of a plan whose first step gets the place `first`.
pub(crate) fn shape(first: u16, rng: &mut Rng) -> Vec<NewStep> {
    let arms = [ArmName::Executor, ArmName::Coder, ArmName::Retriever];
    let arm = |rng: &mut Rng| arms[rng.index(arms.len())];
    let any = |needs: &[u16], rng: &mut Rng| {
        let needs: Vec<u16> = needs.iter().map(|need| first + need).collect();
        let approval = rng.chance(8);
        step(arm(rng), &needs, approval)
    };
    let mut steps = match rng.below(4) {
        0 => vec![any(&[], rng), any(&[0], rng), any(&[1], rng)],
        1 => vec![any(&[], rng), any(&[], rng), any(&[0, 1], rng)],
        2 => vec![any(&[], rng), any(&[0], rng), any(&[0], rng), any(&[1, 2], rng)],
        _ => vec![any(&[], rng), any(&[], rng), any(&[], rng)],
    };
    if rng.chance(35) {
        let needs: Vec<u16> = (0..).zip(&steps).map(|(place, _): (u16, _)| first + place).collect();
        steps.push(step(ArmName::Judge, &needs, false));
    } else if first == 0 && rng.chance(10) {
        // A planner in the middle of a plan: it waits for a step that may fail.
        steps.push(step(ArmName::Planner, &[0], false));
    }
    steps
}

fn step(arm: ArmName, needs: &[u16], approval: bool) -> NewStep {
    let awaits = if approval { Awaits::Approval } else { Awaits::Nothing };
    NewStep { arm, needs: needs.to_vec(), awaits, time_limit: Millis::from_secs(60) }
}

/// The result of an attempt: it names who made it, so that a checker can tell.
pub(crate) fn output(worker: &WorkerId, attempt: u32) -> Document {
    let text: Arc<str> = format!("\"{worker}#{attempt}\"").into();
    Document::from_json(text)
}
