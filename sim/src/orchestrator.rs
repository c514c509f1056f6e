//! An orchestrator: takes requests, asks the store, answers. What it holds in memory (requests
//! in work, parked lease asks) is gone when it crashes.

use crate::{
    message::{Answer, Ask, Beat, Envelope, Report, Taken},
    rng::Rng,
    scenario::shape,
    store::command_of,
    world::{Happening, World},
};
use octollm_access::TenantScope;
use octollm_contract::{ArmName, ContentHash, LeaseToken, Millis, StepId, Timestamp};
use octollm_lifecycle::{Awaits, Command, Refusal};
use octollm_store::{AcceptError, DecideError, TaskRecord, Wanted};

/// How long a lease lasts without a heartbeat.
pub(crate) const TTL: Millis = Millis::from_secs(10);
/// How long a lease ask is parked.
const PARKED: i64 = 8_000;
/// How often an orchestrator sweeps and looks again for those that wait.
const TICK: (i64, i64) = (1_000, 2_000);

#[derive(Default)]
pub(crate) struct Orchestrator {
    /// Counts its starts.
    pub(crate) run: u32,
    pub(crate) down: bool,
    /// How far its clock is ahead of the true time.
    pub(crate) offset: i64,
    pub(crate) replies_to_drop: u32,
    parked: Vec<(i64, Envelope)>,
}

impl World<'_> {
    pub(crate) fn arrives(&mut self, orchestrator: usize, envelope: Envelope) {
        let own = &self.orchestrators[orchestrator];
        if own.down {
            return;
        }
        let run = own.run;
        let delay = self.rng.between(1, 5);
        self.schedule(delay, Happening::Processed { orchestrator, run, envelope });
    }

    pub(crate) fn crash_orchestrator(&mut self, orchestrator: usize) {
        let own = &mut self.orchestrators[orchestrator];
        own.run += 1;
        own.down = true;
        own.parked.clear();
        let run = own.run;
        let delay = self.rng.between(200, 5_000);
        self.schedule(delay, Happening::Tick { orchestrator, run });
    }

    /// A request is processed, unless the orchestrator that took it has died since.
    pub(crate) fn process(&mut self, orchestrator: usize, run: u32, envelope: Envelope) {
        if self.orchestrators[orchestrator].run != run {
            return;
        }
        let before = self.store.commits;
        if let Some(answer) = self.perform(orchestrator, &envelope) {
            self.answer(orchestrator, envelope.asker, answer);
        }
        if self.store.commits != before {
            self.serve_parked(orchestrator);
        }
    }

    /// The sweep, and a new look for those that wait: other orchestrators give no hints.
    pub(crate) fn tick(&mut self, orchestrator: usize, run: u32) {
        let own = &mut self.orchestrators[orchestrator];
        if own.run != run {
            return;
        }
        own.down = false;
        let now = self.time_of(orchestrator);
        if std::mem::take(&mut self.dark) {
            self.store.lose_all(now, &mut self.rng);
        }
        self.store.sweep(now, &mut self.rng);
        self.serve_parked(orchestrator);
        let delay = self.rng.between(TICK.0, TICK.1);
        self.schedule(delay, Happening::Tick { orchestrator, run });
    }

    pub(crate) fn time_of(&self, orchestrator: usize) -> Timestamp {
        Timestamp::from_millis(self.now + self.orchestrators[orchestrator].offset)
    }

    fn serve_parked(&mut self, orchestrator: usize) {
        for (until, envelope) in std::mem::take(&mut self.orchestrators[orchestrator].parked) {
            if let Some(answer) = self.lease(orchestrator, &envelope, until) {
                self.answer(orchestrator, envelope.asker, answer);
            }
        }
    }

    /// Grants, or parks the ask, or gives up after its wait.
    fn lease(&mut self, orchestrator: usize, envelope: &Envelope, until: i64) -> Option<Answer> {
        let Ask::Lease { worker, most } = &envelope.ask else { return None };
        let (worker, arms) = (worker.clone(), ArmName::ALL.to_vec());
        let now = self.time_of(orchestrator);
        let wanted = Wanted { worker, arms, most: *most, ttl: TTL };
        let claims = self.store.claim(&wanted, now, &mut self.rng);
        if claims.granted.is_empty() && self.now < until {
            self.orchestrators[orchestrator].parked.push((until, envelope.clone()));
            return None;
        }
        Some(Answer::Granted(claims.granted))
    }

    fn perform(&mut self, orchestrator: usize, envelope: &Envelope) -> Option<Answer> {
        let now = self.time_of(orchestrator);
        match &envelope.ask {
            Ask::Submit { order, other } => Some(self.submit(*order, *other, now)),
            Ask::Read { task, tenant, floor } => {
                let (task, tenant, floor) = (*task, tenant.clone(), *floor);
                Some(match self.store.read(task, &TenantScope::Only(tenant.clone())) {
                    Some(record) => Answer::View {
                        task,
                        tenant,
                        floor,
                        status: record.task.state.status(),
                        events: record.task.events,
                        awaits: awaits(record),
                    },
                    None => Answer::NoSuchTask { task, tenant },
                })
            }
            Ask::Cancel { task, tenant } => {
                let scope = TenantScope::Only(tenant.clone());
                match self.store.decide(*task, scope, Command::Cancel, now, &mut self.rng) {
                    Ok(_) => Some(Answer::Cancelled { task: *task, done: true }),
                    Err(DecideError::Refused(_)) => Some(Answer::Cancelled { task: *task, done: false }),
                    Err(DecideError::NotFound) => {
                        Some(Answer::NoSuchTask { task: *task, tenant: tenant.clone() })
                    }
                    Err(DecideError::Store(_)) => None,
                }
            }
            Ask::Input { task, tenant, given } => {
                let (scope, command) = (TenantScope::Only(tenant.clone()), Command::Input(given.clone()));
                let answered = self.store.decide(*task, scope, command, now, &mut self.rng);
                answered.is_ok().then_some(Answer::InputTaken)
            }
            Ask::Lease { .. } => {
                let until = self.now + PARKED;
                self.lease(orchestrator, envelope, until)
            }
            Ask::Beat { step, token } => {
                let command = Command::Heartbeat { place: step.place, token: *token, ttl: TTL };
                let answered = self.store.decide(step.task, TenantScope::System, command, now, &mut self.rng);
                let beat = match answered {
                    Ok(_) if self.store.must_stop(*step, now) => Beat::Stop,
                    Ok(_) => Beat::Alive,
                    Err(_) => Beat::Lost,
                };
                Some(Answer::Beat { step: *step, token: *token, beat })
            }
            Ask::Checkpoint { step, token } => {
                let (place, token, state) = (step.place, *token, self.names.empty.clone());
                let command = Command::Checkpoint { place, token, state, artefacts: Vec::new() };
                // Nobody waits for it: a checkpoint that is lost costs work, not correctness.
                self.store.decide(step.task, TenantScope::System, command, now, &mut self.rng).ok();
                None
            }
            Ask::Report { step, token, report } => Some(self.report(*step, *token, report, now)),
            Ask::Think { step, token, number } => {
                self.think(orchestrator, envelope.asker, (*step, *token, *number), now)
            }
            Ask::WorkerGone { worker } => {
                self.store.lose(worker, now, &mut self.rng);
                None
            }
        }
    }

    fn submit(&mut self, order: usize, other: bool, now: Timestamp) -> Answer {
        let mut entropy = [0; 10];
        self.rng.fill(&mut entropy);
        let mut wanted = self.plans[order].order(self.names, now, entropy);
        if other && let Some((_, body)) = &mut wanted.idempotency {
            *body = ContentHash::from_bytes([255; 32]);
        }
        match self.store.accept(wanted, &mut self.rng) {
            Ok(accepted) => Answer::Accepted { task: accepted.task, other },
            Err(AcceptError::KeyReused { key: _, first }) => Answer::KeyReused { first, other },
            Err(AcceptError::Store(error)) => unreachable!("the memory model does not fail: {error}"),
        }
    }

    fn report(&mut self, step: StepId, token: LeaseToken, report: &Report, now: Timestamp) -> Answer {
        let plan = match report {
            Report::Revise { output: _, shape: seed } => {
                let record = self.store.read(step.task, &TenantScope::System);
                let first = record.map_or(0, |record| record.task.steps.len());
                shape(u16::try_from(first).unwrap_or(u16::MAX), &mut Rng::of_schedule(*seed, 0))
            }
            Report::Complete { .. } | Report::Ask { .. } | Report::Fail { .. } | Report::Release { .. } => {
                Vec::new()
            }
        };
        let command = command_of(step, token, report, plan);
        let answered = self.store.decide(step.task, TenantScope::System, command, now, &mut self.rng);
        let taken = match answered {
            Ok(_) => Taken::Yes,
            Err(DecideError::Refused(Refusal::BadPlan | Refusal::BadVerdict)) => Taken::Wrong,
            Err(_) => Taken::Lost,
        };
        Answer::Reported { step, token, report: report.clone(), taken }
    }
}

/// Which step of a waiting task waits, and for what.
fn awaits(record: &TaskRecord) -> (u16, Awaits) {
    let waits = record.task.state.waits_at();
    waits.map_or((0, Awaits::Nothing), |place| (place, record.task.steps[usize::from(place)].awaits))
}
