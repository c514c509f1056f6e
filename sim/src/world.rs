//! One schedule: the clock, the network, the queue of what happens next.

use crate::{
    Broken,
    calls::UnderWay,
    checker::{self, Order, Seen},
    client::Client,
    fault::Fault,
    message::{Answer, Asker, Envelope},
    orchestrator::Orchestrator,
    rng::Rng,
    scenario::{Names, Plan, WORKERS},
    store::Store,
    worker::Worker,
};
use octollm_contract::Timestamp;
use octollm_lifecycle::{HOLD_GRACE, Spent};
use octollm_store::TaskRecord;
use std::{cmp::Reverse, collections::BinaryHeap, fmt};

pub(crate) const ORCHESTRATORS: usize = 2;
/// When the simulated clock starts: long after the epoch, so that it can be set back.
pub(crate) const START: i64 = 1_700_000_000_000;
/// Faults end then.
const ACT_ONE_ENDS: i64 = START + 20_000;
/// Every accepted task has ended by then: each step may crash three times, with a lease of
/// ten seconds and waits between, in plans that are revised twice.
const ACT_TWO_ENDS: i64 = ACT_ONE_ENDS + 1_500_000;
/// A schedule does not end before so much has happened.
const EVENTS_MIN: u64 = 60;

/// What a schedule came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Things that happened: messages, wake-ups, ticks, faults.
    pub events: u64,
    /// Transactions that changed something.
    pub commits: u64,
    /// Faults that were put in on purpose, beside lost, late and doubled messages.
    pub faults: u64,
    /// Tasks that were accepted.
    pub tasks: u64,
    /// Model calls that reached the provider.
    pub calls: u64,
}

/// Something that happens at a moment.
#[derive(Debug)]
pub(crate) enum Happening {
    Arrives { orchestrator: usize, envelope: Envelope },
    Processed { orchestrator: usize, run: u32, envelope: Envelope },
    Answered { asker: Asker, answer: Answer },
    WorkerWakes { worker: usize, ticket: u64 },
    ClientWakes { order: usize },
    Tick { orchestrator: usize, run: u32 },
    CallBegins(UnderWay),
    CallEnds { way: UnderWay, used: Spent },
    SettlesAgain { way: UnderWay, used: Spent },
    Strikes(Fault),
}

struct Entry {
    at: i64,
    number: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Everything that a schedule consists of.
pub(crate) struct World<'a> {
    pub(crate) names: &'a Names,
    pub(crate) rng: Rng,
    pub(crate) now: i64,
    number: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    pub(crate) store: Store,
    pub(crate) orchestrators: Vec<Orchestrator>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) clients: Vec<Client>,
    pub(crate) plans: Vec<Plan>,
    pub(crate) seen: Vec<Seen>,
    /// Until then the network is worse.
    pub(crate) storm_until: i64,
    /// The power has failed, and nobody has started since.
    pub(crate) dark: bool,
    outcome: Outcome,
    faults_due: u64,
    trace: Option<&'a mut dyn FnMut(String)>,
}

/// Runs the `schedule`-th schedule under `seed`; the error says what was wrong.
///
/// `trace` is told what happens, a line each.
pub fn run<'a>(
    names: &'a crate::Names,
    seed: u64,
    schedule: u64,
    broken: Option<Broken>,
    trace: Option<&'a mut dyn FnMut(String)>,
) -> Result<Outcome, String> {
    let mut world = World::new(names, Rng::of_schedule(seed, schedule), broken, trace);
    world.play()?;
    world.outlive_calls()?;
    world.seen_results();
    let orders: Vec<Order<'_>> = world
        .plans
        .iter()
        .map(|plan| Order {
            tenant: &plan.tenant,
            steps: &plan.steps,
            not_before: plan.not_before.map(Timestamp::from_millis),
            max_retries: plan.max_retries,
            budget: plan.budget,
        })
        .collect();
    checker::check(&orders, &world.seen, world.store.told())?;
    let calls = world.seen.iter().filter(|one| matches!(one, Seen::Called { .. })).count() as u64;
    let tasks = world.store.tasks().count() as u64;
    Ok(Outcome { commits: world.store.commits, tasks, calls, ..world.outcome })
}

impl<'a> World<'a> {
    fn new(
        names: &'a Names,
        mut rng: Rng,
        broken: Option<Broken>,
        trace: Option<&'a mut dyn FnMut(String)>,
    ) -> Self {
        let orders = 3 + rng.index(2);
        let plans: Vec<Plan> = (0..orders).map(|at| Plan::draw(names, at, START, &mut rng)).collect();
        let mut world = World {
            names,
            rng,
            now: START,
            number: 0,
            queue: BinaryHeap::with_capacity(64),
            store: Store::new(broken),
            orchestrators: (0..ORCHESTRATORS).map(|_| Orchestrator::default()).collect(),
            workers: (0..WORKERS).map(|_| Worker::default()).collect(),
            clients: (0..orders).map(|_| Client::default()).collect(),
            plans,
            seen: Vec::with_capacity(128),
            storm_until: START,
            dark: false,
            outcome: Outcome::default(),
            faults_due: 0,
            trace,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for orchestrator in 0..ORCHESTRATORS {
            let offset = self.rng.between(-2_000, 2_000);
            self.orchestrators[orchestrator].offset = offset;
            self.schedule(500, Happening::Tick { orchestrator, run: 0 });
        }
        for worker in 0..WORKERS {
            self.wake_worker_in(worker, 1);
        }
        for order in 0..self.clients.len() {
            let delay = self.rng.between(0, 3_000);
            self.schedule(delay, Happening::ClientWakes { order });
        }
        self.faults_due = 3 + self.rng.below(4);
        for _ in 0..self.faults_due {
            let (delay, fault) = Fault::draw(&mut self.rng);
            self.schedule(delay, Happening::Strikes(fault));
        }
    }

    fn play(&mut self) -> Result<(), String> {
        while !self.is_over() {
            let Some(Reverse(Entry { at, number: _, what })) = self.queue.pop() else { break };
            let was_act_one = self.act_one();
            self.now = at;
            if was_act_one && !self.act_one() {
                self.calm();
            }
            if self.now > ACT_TWO_ENDS {
                return Err(self.unfinished());
            }
            self.happens(what);
            if let Some(violation) = self.store.violation.take() {
                return Err(violation);
            }
        }
        Ok(())
    }

    fn happens(&mut self, what: Happening) {
        self.outcome.events += 1;
        if self.trace.is_some() {
            let at = self.now - START;
            self.note(|| format!("{at:>8} {what:?}"));
        }
        match what {
            Happening::Arrives { orchestrator, envelope } => self.arrives(orchestrator, envelope),
            Happening::Processed { orchestrator, run, envelope } => self.process(orchestrator, run, envelope),
            Happening::Answered { asker, answer } => match asker {
                Asker::Client(order) => self.client_hears(order, answer),
                Asker::Worker { worker, run } => self.worker_hears(worker, run, answer),
                Asker::Nobody => {}
            },
            Happening::WorkerWakes { worker, ticket } => self.worker_wakes(worker, ticket),
            Happening::ClientWakes { order } => self.client_wakes(order),
            Happening::Tick { orchestrator, run } => self.tick(orchestrator, run),
            Happening::CallBegins(way) => self.call_begins(way),
            Happening::CallEnds { way, used } => self.call_ends(way, used),
            Happening::SettlesAgain { way, used } => {
                self.settle(way, used);
            }
            Happening::Strikes(fault) => {
                self.outcome.faults += 1;
                self.strikes(fault);
            }
        }
    }

    /// All faults have struck, every order is accepted and has been seen to end.
    fn is_over(&self) -> bool {
        self.outcome.events >= EVENTS_MIN
            && self.outcome.faults == self.faults_due
            && self.clients.iter().all(Client::is_content)
    }

    fn unfinished(&self) -> String {
        let open: Vec<String> = self
            .store
            .tasks()
            .filter(|record| record.task.state.ended_at().is_none())
            .map(|record| format!("{:?}", record.task))
            .collect();
        format!("P1: not every order ended within the bound after the faults; open tasks: {open:#?}")
    }

    /// Long after all: what dead orchestrators held counts as spent.
    fn outlive_calls(&mut self) -> Result<(), String> {
        let open = |record: &TaskRecord| !record.task.holds.is_empty();
        if !self.store.tasks().any(open) {
            return Ok(());
        }
        while let Some(Reverse(Entry { at, number: _, what })) = self.queue.pop() {
            // Whoever lives still settles what it has called.
            if let Happening::CallBegins(_) | Happening::CallEnds { .. } | Happening::SettlesAgain { .. } =
                &what
            {
                self.now = at.max(self.now);
                self.happens(what);
            }
        }
        self.now += i64::try_from(HOLD_GRACE.get()).unwrap_or(i64::MAX);
        self.store.sweep(Timestamp::from_millis(self.now), &mut self.rng);
        self.store.violation.take().map_or(Ok(()), Err)
    }

    /// The faults end: clocks agree again.
    fn calm(&mut self) {
        self.storm_until = self.now;
        for orchestrator in &mut self.orchestrators {
            orchestrator.offset = 0;
            orchestrator.replies_to_drop = 0;
        }
    }

    pub(crate) fn act_one(&self) -> bool {
        self.now < ACT_ONE_ENDS
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace(line());
        }
    }

    /// A client or a worker saw this.
    pub(crate) fn saw(&mut self, seen: Seen) {
        if self.trace.is_some() {
            let line = format!("         saw {seen:?}");
            self.note(|| line);
        }
        self.seen.push(seen);
    }

    pub(crate) fn schedule(&mut self, delay: i64, what: Happening) {
        self.number += 1;
        self.queue.push(Reverse(Entry { at: self.now + delay, number: self.number, what }));
    }

    /// Puts a request on the network, toward any orchestrator.
    pub(crate) fn send(&mut self, envelope: Envelope) {
        let copies = self.copies();
        for _ in 0..copies {
            let orchestrator = self.rng.index(ORCHESTRATORS);
            let delay = self.delay();
            self.schedule(delay, Happening::Arrives { orchestrator, envelope: envelope.clone() });
        }
    }

    /// Puts an answer on the network.
    pub(crate) fn answer(&mut self, orchestrator: usize, asker: Asker, answer: Answer) {
        if asker == Asker::Nobody {
            return;
        }
        if self.orchestrators[orchestrator].replies_to_drop > 0 {
            self.orchestrators[orchestrator].replies_to_drop -= 1;
            return;
        }
        let copies = self.copies();
        for _ in 0..copies {
            let delay = self.delay();
            self.schedule(delay, Happening::Answered { asker, answer: answer.clone() });
        }
    }

    /// How often a message arrives.
    fn copies(&mut self) -> usize {
        if !self.act_one() {
            return 1;
        }
        let (lost, doubled) = if self.now < self.storm_until { (30, 15) } else { (2, 2) };
        match self.rng.below(100) {
            drawn if drawn < lost => 0,
            drawn if drawn < lost + doubled => 2,
            _ => 1,
        }
    }

    fn delay(&mut self) -> i64 {
        if self.act_one() && self.rng.chance(3) {
            self.rng.between(500, 14_000)
        } else {
            self.rng.between(1, 20)
        }
    }

    /// What everyone can read once all is over.
    fn seen_results(&mut self) {
        for record in self.store.tasks() {
            for (place, step) in (0u16..).zip(&record.steps) {
                if let Some(output) = &step.output {
                    let step = record.task.id.step(place);
                    self.seen.push(Seen::Result { step, output: output.clone() });
                }
            }
            for (place, step) in (0u16..).zip(&record.steps) {
                let step_id = record.task.id.step(place);
                self.seen.extend(step.receipts.iter().map(|receipt| Seen::Receipt {
                    call: receipt.call,
                    step: step_id,
                    body: receipt.body.clone(),
                }));
            }
            let ledger = record.task.ledger;
            let spent = (ledger.money().spent().get(), ledger.tokens().spent(), ledger.unpriced());
            self.seen.push(Seen::Account { task: record.task.id, spent, open: record.task.holds.len() });
            let (task, status) = (record.task.id, record.task.state.status());
            self.seen.push(Seen::End { task, status });
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { events, commits, faults, tasks, calls } = self;
        write!(f, "{events} events, {commits} commits, {faults} faults, {tasks} tasks, {calls} model calls")
    }
}
