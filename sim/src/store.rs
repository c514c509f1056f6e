//! The simulated store: the memory model, with a check after every transaction, the events as
//! they were told, and the broken variants.

use crate::{message::Report, rng::Rng};
use octollm_access::TenantScope;
use octollm_contract::{ArmName, Document, LeaseToken, Millis, StepId, TaskId, Timestamp, WorkerId};
use octollm_lifecycle::{Changes, Command, Dice, Event, Refusal, StepState, Task, Wait, invariants};
use octollm_store::{
    AcceptError, Accepted, Claims, DecideError, Directed, Lost, Order, Receipt, TaskRecord, Wanted,
    memory::Memory,
};
use std::collections::BTreeMap;

/// A defect that the simulation must find. Each is a mistake that a store or a server around
/// the sound machine could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Broken {
    /// A wrong token is taken for the right one.
    Fencing,
    /// The terminal event is told twice.
    DoubleEnd,
    /// Leases and deadlines never run out.
    LostExpiry,
    /// A completion is decided on the state before the last transaction and overwrites it.
    LostUpdate,
    /// Idempotency keys are not kept.
    ForgottenKey,
    /// The 202 is sent although the commit failed.
    EarlyAnswer,
    /// A step that is handed back counts as failed.
    BurnedAttempt,
    /// Reads come from a replica that lags.
    StaleRead,
    /// A read does not look whose task it is.
    OpenTenants,
    /// A settlement of a call that is not under way is charged all the same.
    DoubleCharge,
    /// A hold is confirmed and not kept.
    UnheldCall,
    /// A settlement is confirmed and not kept.
    ForgottenSettlement,
}

/// How the receipt of a call begins that nobody has settled.
pub(crate) const PRESUMED: &str = r#"{"presumed":true,"#;

pub(crate) struct Store {
    memory: Memory,
    broken: Option<Broken>,
    /// Before the last transaction; kept for the variants that need it.
    before: Option<Box<Memory>>,
    shadow: BTreeMap<TaskId, Task>,
    told: BTreeMap<TaskId, Vec<Event>>,
    /// The first thing that was wrong.
    pub(crate) violation: Option<String>,
    pub(crate) commits: u64,
}

impl Store {
    pub(crate) fn new(broken: Option<Broken>) -> Self {
        Store {
            memory: Memory::default(),
            broken,
            before: None,
            shadow: BTreeMap::new(),
            told: BTreeMap::new(),
            violation: None,
            commits: 0,
        }
    }

    pub(crate) fn accept(&mut self, mut order: Order, rng: &mut Rng) -> Result<Accepted, AcceptError> {
        if self.broken == Some(Broken::ForgottenKey) {
            order.idempotency = None;
        }
        if self.broken == Some(Broken::EarlyAnswer) && rng.chance(20) {
            let status = octollm_contract::api::TaskStatus::Queued;
            return Ok(Accepted { task: order.new.id, status, replayed: false });
        }
        self.remember();
        let answer = self.memory.accept(order);
        self.committed();
        answer
    }

    pub(crate) fn claim(&mut self, wanted: &Wanted, now: Timestamp, rng: &mut Rng) -> Claims {
        self.remember();
        let claims = self.memory.claim(wanted, now, &mut |bytes| rng.fill(bytes));
        if !claims.granted.is_empty() {
            self.committed();
        }
        claims
    }

    pub(crate) fn decide(
        &mut self,
        task: TaskId,
        scope: TenantScope,
        command: Command,
        now: Timestamp,
        rng: &mut Rng,
    ) -> Result<Changes, DecideError> {
        let command = self.tamper(task, command);
        match (self.broken, &command, self.before.take()) {
            (Some(Broken::LostUpdate), Command::Complete { .. }, Some(before)) => self.memory = *before,
            (_, _, before) => self.before = before,
        }
        self.remember();
        let kept = match (self.broken, &command) {
            (Some(Broken::UnheldCall), Command::Hold { .. })
            | (Some(Broken::ForgottenSettlement), Command::Settle { .. })
                if rng.chance(20) =>
            {
                Some(self.memory.clone())
            }
            _ => None,
        };
        let directed = Directed { task, scope, command };
        let mut answer = self.memory.decide(&directed, now, Dice(rng.draw()));
        if self.broken == Some(Broken::DoubleCharge)
            && matches!(answer, Err(DecideError::Refused(Refusal::NoSuchHold)))
        {
            answer = self.charge_again(&directed, now);
        }
        if let Some(kept) = kept {
            self.memory = kept;
            return answer;
        }
        if answer.as_ref().is_ok_and(|changes| !changes.is_empty()) {
            self.committed();
        }
        answer
    }

    pub(crate) fn sweep(&mut self, now: Timestamp, rng: &mut Rng) {
        if self.broken == Some(Broken::LostExpiry) {
            return;
        }
        let swept = self.memory.sweep((64, None), now, &mut || Dice(rng.draw()));
        if swept.repaired > 0 {
            self.fail(|| format!("the sweep repaired {} tasks of whole transactions", swept.repaired));
        }
        if swept.tasks > 0 {
            self.committed();
        }
    }

    /// Holds what a settlement spends, under whatever lease there is, and settles it.
    fn charge_again(&mut self, directed: &Directed, now: Timestamp) -> Result<Changes, DecideError> {
        let Command::Settle { call, spent, .. } = directed.command else { return Err(DecideError::NotFound) };
        let task = directed.task;
        let places = self.memory.task(task, &TenantScope::System).map_or(0, |record| record.steps.len());
        let leased = (0u16..).take(places).find_map(|place| Some((place, self.lease_of(task, place)?)));
        let Some((place, token)) = leased else { return Err(DecideError::Refused(Refusal::NoSuchHold)) };
        let command = Command::Hold { place, token, call, number: 1, worst: spent };
        let hold = Directed { task, scope: TenantScope::System, command };
        self.memory.decide(&hold, now, Dice(0))?;
        self.committed();
        self.memory.decide(directed, now, Dice(0))
    }

    /// Nobody that the store knows is alive.
    pub(crate) fn lose_all(&mut self, now: Timestamp, rng: &mut Rng) {
        if self.broken == Some(Broken::LostExpiry) {
            return;
        }
        if self.memory.lose(&Lost::Everyone, now, &mut || Dice(rng.draw())).tasks > 0 {
            self.committed();
        }
    }

    /// Whether a call of this number was answered, by its receipt.
    pub(crate) fn answered(&self, step: StepId, number: u32) -> bool {
        let record = self.memory.task(step.task, &TenantScope::System);
        let step = record.and_then(|record| record.steps.get(usize::from(step.place)));
        step.is_some_and(|step| {
            let own = |receipt: &&Receipt| receipt.number == number;
            step.receipts.iter().filter(own).any(|receipt| !receipt.body.as_str().starts_with(PRESUMED))
        })
    }

    pub(crate) fn lose(&mut self, worker: &WorkerId, now: Timestamp, rng: &mut Rng) {
        if self.broken == Some(Broken::LostExpiry) {
            return;
        }
        if self.memory.lose(&Lost::Worker(worker.clone()), now, &mut || Dice(rng.draw())).tasks > 0 {
            self.committed();
        }
    }

    pub(crate) fn read(&self, task: TaskId, scope: &TenantScope) -> Option<&TaskRecord> {
        match (self.broken, &self.before) {
            (Some(Broken::StaleRead), Some(before)) => before.task(task, scope),
            (Some(Broken::OpenTenants), _) => self.memory.task(task, &TenantScope::System),
            _ => self.memory.task(task, scope),
        }
    }

    pub(crate) fn must_stop(&self, step: StepId, now: Timestamp) -> bool {
        let record = self.memory.task(step.task, &TenantScope::System);
        record.is_some_and(|record| record.task.must_stop(step.place, now))
    }

    pub(crate) fn tasks(&self) -> impl Iterator<Item = &TaskRecord> {
        self.memory.all().map(|(record, _)| record)
    }

    /// The events as they were told.
    pub(crate) fn told(&self) -> &BTreeMap<TaskId, Vec<Event>> {
        &self.told
    }

    fn tamper(&self, task: TaskId, command: Command) -> Command {
        match (self.broken, command) {
            (Some(Broken::Fencing), Command::Complete { place, token, output, artefacts, verdict }) => {
                let token = self.lease_of(task, place).unwrap_or(token);
                Command::Complete { place, token, output, artefacts, verdict }
            }
            (Some(Broken::BurnedAttempt), Command::Release { place, token, wait: _ }) => Command::Fail {
                place,
                token,
                message: "handed back".to_owned(),
                retryable: true,
                mendable: true,
            },
            (_, command) => command,
        }
    }

    fn lease_of(&self, task: TaskId, place: u16) -> Option<LeaseToken> {
        let step = self.memory.task(task, &TenantScope::System)?.task.step(place)?;
        let StepState::Leased(lease) = &step.state else { return None };
        Some(lease.token)
    }

    fn remember(&mut self) {
        if matches!(self.broken, Some(Broken::LostUpdate | Broken::StaleRead)) {
            self.before = Some(Box::new(self.memory.clone()));
        }
    }

    /// Checks every task that changed since the last transaction.
    fn committed(&mut self) {
        self.commits += 1;
        for (record, events) in self.memory.all() {
            let task = &record.task;
            let old = self.shadow.get(&task.id);
            if old == Some(task) {
                continue;
            }
            let seen = usize::try_from(old.map_or(0, |old| old.events)).unwrap_or(usize::MAX);
            let new = events.get(seen..).unwrap_or_default();
            let violations = invariants::check(old, task, new);
            if !violations.is_empty() && self.violation.is_none() {
                self.violation = Some(format!("{} breaks {violations:?} after {new:?}", task.id));
            }
            let told = self.told.entry(task.id).or_default();
            told.extend_from_slice(new);
            if self.broken == Some(Broken::DoubleEnd) && new.iter().any(|event| event.kind.is_terminal()) {
                told.extend(new.last().cloned());
            }
            self.shadow.insert(task.id, task.clone());
        }
    }

    fn fail(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(what());
        }
    }
}

/// A worker's report as the state machine's command.
pub(crate) fn command_of(
    step: StepId,
    token: LeaseToken,
    report: &Report,
    plan: Vec<octollm_lifecycle::NewStep>,
) -> Command {
    use octollm_lifecycle::{Awaits, NewStep, Verdict};
    let place = step.place;
    match report {
        Report::Complete { output, accepted } => {
            let verdict = accepted.map(|accepted| {
                if accepted {
                    Verdict::Accepted
                } else {
                    Verdict::Refused { evidence: "not good".to_owned() }
                }
            });
            Command::Complete { place, token, output: output.clone(), artefacts: Vec::new(), verdict }
        }
        Report::Revise { output, shape: _ } => {
            let (output, specs) = (output.clone(), vec![output.clone(); plan.len()]);
            Command::Revise { place, token, output, plan: Document::from_json("{}"), steps: plan, specs }
        }
        Report::Ask { output } => {
            let next = NewStep {
                arm: ArmName::Planner,
                needs: vec![place],
                awaits: Awaits::Answer,
                time_limit: Millis::from_secs(60),
            };
            Command::Ask { place, token, output: output.clone(), next, spec: output.clone() }
        }
        Report::Fail { retryable, mendable } => {
            let message = "it did not work".to_owned();
            Command::Fail { place, token, message, retryable: *retryable, mendable: *mendable }
        }
        Report::Release { waits } => {
            let (at_least, why) = (Millis::from_secs(3), "nobody is there".to_owned());
            let wait = waits.map(|waits_for| Wait { at_least, waits_for, why });
            Command::Release { place, token, wait }
        }
    }
}
