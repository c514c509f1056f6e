//! The worker loop: leases as many steps as it has free slots, has its arms do them, keeps
//! the leases alive with one heartbeat for all, and goes away without losing any.
//!
//! Promises: every granted step is owned by one task that is joined; a step ends in one
//! report, or in none when its lease is lost (P2); nothing is sent while nothing runs but the
//! long poll; no loop spins, whatever the orchestrator answers; a drain hands back what it
//! cannot finish, so that it burns no attempt.
//!
//! Must not know: how a step is done; how the protocol travels.

mod attempt;
mod away;
mod halt;
pub(crate) mod pace;
pub(crate) mod slots;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod unreliable;

use crate::{Arm, Link, Work, clock, handed::Room};
use attempt::attempt;
use away::{Away, Refusals};
use halt::{Cause, Halt};
use octollm_access::StepToken;
use octollm_client::{Beat, Grant, LeaseAsk, LeaseError, Leases};
use octollm_contract::{ArmName, Edition, Millis, WorkerId};
use pace::Pace;
pub use slots::LOANS_MAX;
use slots::Slots;
use std::{
    collections::{BTreeMap, HashMap},
    future::pending,
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    task::{Id, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// The bounds of a heartbeat's period, whatever a grant says: a cancel must reach its step
/// within two seconds, and no grant may make the loop spin.
const BEAT_AT_LEAST: Duration = Duration::from_millis(50);
const BEAT_AT_MOST: Duration = Duration::from_millis(1500);
/// A heartbeat that is not answered by then is taken for lost, so that the next one goes out. The
/// client asks three orchestrators within this time.
const BEAT_FOR: Duration = Duration::from_secs(3);
/// After a drain's grace: for arms to stop and for the last reports.
const LAST_REPORTS: Duration = Duration::from_secs(3);
/// An empty answer to a long poll that comes sooner than this is followed by a wait.
const TOO_SOON: Duration = Duration::from_millis(100);

/// How a worker behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who it says it is: one run of one process.
    pub worker: WorkerId,
    /// Where its steps come from, for the log: addresses, and the setting that names them.
    pub leased_from: String,
    /// How many steps it does at once; at least one. A step that waits for a model is none of them.
    pub slots: u16,
    /// How long a long poll waits. A drain asks for its answer, and may have to wait this long for it, because
    /// dropping the call could lose the steps that it brings.
    pub poll: Millis,
    /// How long running steps may go on once the worker is told to go away.
    pub grace: Millis,
}

/// Leases steps and has them done.
pub struct Worker {
    leases: Arc<dyn Leases>,
    arms: BTreeMap<ArmName, Arc<dyn Arm>>,
    tools: BTreeMap<ArmName, Vec<String>>,
    slots: Arc<Slots>,
    room: Arc<Room>,
    settings: Settings,
}

type LeaseCall = Pin<Box<dyn Future<Output = Result<Vec<Grant>, LeaseError>> + Send>>;
/// The answer to a heartbeat, by the task of the step.
type Beats = Vec<(Id, Option<Beat>)>;
type BeatCall = Pin<Box<dyn Future<Output = Result<Beats, LeaseError>> + Send>>;

/// What runs, and when the next heartbeat is due.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    held: HashMap<Id, Held>,
}

struct Held {
    token: StepToken,
    halt: Halt,
    beat_every: Duration,
}

impl Worker {
    /// A worker for the queues of `arms`; of two arms of one name the later one counts.
    #[must_use]
    pub fn new(
        leases: Arc<dyn Leases>,
        arms: impl IntoIterator<Item = Arc<dyn Arm>>,
        settings: Settings,
    ) -> Self {
        let arms: BTreeMap<_, _> = arms.into_iter().map(|arm| (arm.name(), arm)).collect();
        let told = |arm: &Arc<dyn Arm>| arm.tools().into_iter().map(str::to_owned).collect();
        let tools = arms.iter().map(|(name, arm)| (*name, told(arm))).collect();
        Worker { leases, arms, tools, slots: Slots::new(settings.slots), room: Arc::default(), settings }
    }

    /// Works until `shutdown` fires, then drains: asks for no more, lets running steps finish
    /// within the grace, stops and hands back the rest. Returns at most three seconds after
    /// the grace (or the long poll, when that is longer). Dropping the future drops all work.
    ///
    /// Boxed, so that it is compiled here, once.
    pub fn run(self, shutdown: CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.running(shutdown))
    }

    async fn running(self, shutdown: CancellationToken) {
        let mut running = Running::default();
        let mut asking: Option<(Instant, LeaseCall)> = None;
        let mut beating: Option<BeatCall> = None;
        let (mut ask_from, mut beat_from) = (Instant::now(), Instant::now());
        let (mut pace, mut away) = (Pace::new(), <(Away, Refusals)>::default());
        while !shutdown.is_cancelled() {
            if asking.is_none() && self.slots.free() > 0 && ask_from <= Instant::now() {
                asking = Some((Instant::now(), self.ask(self.slots.free())));
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                answer = answered(&mut asking) => {
                    let asked = asking.take().map_or_else(Instant::now, |(asked, _)| asked);
                    ask_from = Instant::now() + self.take_in(answer, asked, &mut running, (&mut pace, &mut away));
                }
                () = sleep_until(ask_from), if asking.is_none() && self.slots.free() > 0 => {}
                () = self.slots.freed(), if asking.is_none() => {}
                () = running.keep_alive(&mut beating, &mut beat_from, &self) => {}
            }
        }
        self.drain(running, asking, beating, beat_from).await;
    }

    fn ask(&self, most: u16) -> LeaseCall {
        let ask = LeaseAsk {
            worker: self.settings.worker.clone(),
            arms: self.arms.keys().copied().collect(),
            tools: self.tools.clone(),
            most,
            wait: self.settings.poll,
            reads: Edition::NEWEST,
        };
        let leases = Arc::clone(&self.leases);
        Box::pin(async move { leases.lease(ask).await })
    }

    /// Begins what was granted, and says how long to wait before asking again.
    fn take_in(
        &self,
        answer: Result<Vec<Grant>, LeaseError>,
        asked: Instant,
        running: &mut Running,
        (pace, away): (&mut Pace, &mut (Away, Refusals)),
    ) -> Duration {
        self.tell(answer.as_ref().err(), away);
        let wait = match &answer {
            Ok(grants) if grants.is_empty() && asked.elapsed() < TOO_SOON => return pace.next_wait(),
            Ok(_) => {
                *pace = Pace::new();
                Duration::ZERO
            }
            Err(LeaseError::Busy { retry_after }) => pace.at_least(*retry_after),
            Err(error @ (LeaseError::Unreachable(_) | LeaseError::Lost)) => {
                tracing::debug!(error = error as &dyn std::error::Error, "asking for steps failed");
                pace.next_wait()
            }
            Err(LeaseError::Refused(_)) => pace.next_wait(),
        };
        for grant in answer.unwrap_or_default() {
            self.begin(grant, running);
        }
        wait
    }

    /// Tells whoever reads the log that nobody gives this worker any steps, or that somebody does again.
    fn tell(&self, failed: Option<&LeaseError>, (away, refusals): &mut (Away, Refusals)) {
        let from = &self.settings.leased_from;
        match failed {
            Some(LeaseError::Refused(problem)) => {
                if refusals.again(&problem.to_string(), Instant::now()) {
                    tracing::error!("asking for steps was refused: {problem}; steps are leased from {from}");
                }
            }
            None if refusals.over() => tracing::warn!("steps are given again; they are leased from {from}"),
            Some(LeaseError::Unreachable(_) | LeaseError::Busy { .. } | LeaseError::Lost) | None => {}
        }
        match failed {
            Some(error @ LeaseError::Unreachable(_)) => {
                if let Some(lasts) = away.again(Instant::now()) {
                    let seconds = lasts.as_secs();
                    let error = error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        seconds,
                        "no orchestrator can be reached; steps are leased from {from}"
                    );
                }
            }
            Some(LeaseError::Busy { .. } | LeaseError::Lost | LeaseError::Refused(_)) | None => {
                if away.over() {
                    tracing::warn!("an orchestrator answers again; steps are leased from {from}");
                }
            }
        }
    }

    /// Begins a step, which waits under its lease where the slot that it was asked for is taken by one
    /// that goes on; hands it back at once when it is not for this worker.
    fn begin(&self, grant: Grant, running: &mut Running) {
        if running.held.values().any(|held| held.token == grant.token) {
            return; // the same answer, delivered twice
        }
        let span = tracing::info_span!("step", task = %grant.step.task, step = %grant.step);
        let leases = Arc::clone(&self.leases);
        let arm = self.arms.get(&grant.spec.arm).map(Arc::clone);
        let halt = Halt::default();
        let held = Held {
            token: grant.token.clone(),
            halt: halt.clone(),
            beat_every: grant.heartbeat_every.to_duration().clamp(BEAT_AT_LEAST, BEAT_AT_MOST),
        };
        let begun = match arm {
            Some(arm) => {
                let (slots, worker) = (Arc::clone(&self.slots), self.settings.worker.clone());
                let room = Arc::clone(&self.room);
                // At once, so that no more is asked for than there are slots.
                let free = slots.take();
                let attempt = async move {
                    let slot = match free {
                        Some(slot) => slot,
                        None => tokio::select! {
                            biased;
                            slot = slots.next() => slot,
                            () = halt.token().cancelled() => {
                                return hand_back(&grant.token, halt.cause(), leases.as_ref()).await;
                            }
                        },
                    };
                    let work = Work {
                        cancel: halt.token().clone(),
                        link: Link::new(Arc::clone(&leases), grant.token.clone())
                            .lending(slot.clone())
                            .keeping_in(room),
                        worker,
                        started: clock::now(),
                        refused: Vec::new(),
                        grant: Arc::new(grant),
                    };
                    attempt(arm, work, halt, leases).await;
                    // Held until its report is made.
                    drop(slot);
                };
                running.tasks.spawn(attempt.instrument(span))
            }
            None => {
                let handed_back = async move {
                    tracing::warn!("a step that this worker did not ask for is handed back");
                    hand_back(&grant.token, None, leases.as_ref()).await;
                };
                running.tasks.spawn(handed_back.instrument(span))
            }
        };
        running.held.insert(begun.id(), held);
    }

    async fn drain(
        &self,
        mut running: Running,
        mut asking: Option<(Instant, LeaseCall)>,
        mut beating: Option<BeatCall>,
        mut beat_from: Instant,
    ) {
        let grace_over = Instant::now() + self.settings.grace.to_duration();
        let poll_over = Instant::now() + self.settings.poll.to_duration() + TOO_SOON;
        let mut give_up = None;
        tracing::info!(steps = running.held.len(), "draining");
        if asking.is_some() {
            let (leases, me) = (Arc::clone(&self.leases), self.settings.worker.clone());
            running.tasks.spawn(async move {
                if let Err(error) = leases.leave(&me).await {
                    tracing::debug!("the wish for steps is answered in its time: {error}");
                }
            });
        }
        while asking.is_some() || !running.tasks.is_empty() {
            if give_up.is_none() && grace_over <= Instant::now() {
                running.tell_all(Cause::Drain);
                give_up = Some(Instant::now() + LAST_REPORTS);
            }
            let deadline =
                give_up.map_or(grace_over, |at| if asking.is_some() { at.max(poll_over) } else { at });
            tokio::select! {
                answer = answered(&mut asking) => {
                    // What came too late is handed back before it is begun.
                    asking = None;
                    for grant in answer.unwrap_or_default() {
                        let leases = Arc::clone(&self.leases);
                        running.tasks.spawn(async move {
                            hand_back(&grant.token, None, leases.as_ref()).await;
                        });
                    }
                }
                () = running.keep_alive(&mut beating, &mut beat_from, self) => {}
                () = sleep_until(deadline) => {
                    if give_up.is_some() {
                        tracing::warn!(steps = running.held.len(), "the grace is over; leases will lapse");
                        return;
                    }
                }
            }
        }
    }
}

/// Hands back what was not begun, unless its lease is lost.
async fn hand_back(token: &StepToken, cause: Option<Cause>, leases: &dyn Leases) {
    if cause == Some(Cause::Lost) {
        return;
    }
    if let Err(error) = leases.release(token, None).await {
        tracing::warn!("handing a step back failed: {error}");
    }
}

/// Waits for the call, or for ever when there is none. The caller clears it.
async fn answered(asking: &mut Option<(Instant, LeaseCall)>) -> Result<Vec<Grant>, LeaseError> {
    match asking {
        Some((_, call)) => call.await,
        None => pending().await,
    }
}

impl Running {
    fn tell_all(&self, cause: Cause) {
        self.held.values().for_each(|held| held.halt.tell(cause));
    }

    /// Waits for the next thing that running steps bring: an end, a heartbeat that is due, its
    /// answer. Each call does one of them and may be dropped while it waits.
    async fn keep_alive(&mut self, beating: &mut Option<BeatCall>, beat_from: &mut Instant, worker: &Worker) {
        let every = self.held.values().map(|held| held.beat_every).min();
        let due = every.filter(|_| beating.is_none()).map(|every| *beat_from + every);
        tokio::select! {
            Some(ended) = self.tasks.join_next_with_id() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => {
                        tracing::error!("a step's task ended badly; its lease will lapse: {error}");
                        error.id()
                    }
                };
                self.held.remove(&id);
            }
            answer = beat_answered(beating) => {
                *beating = None;
                self.heed(answer);
            }
            () = due_at(due) => {
                *beat_from = Instant::now();
                *beating = Some(self.beat(worker));
            }
        }
    }

    fn beat(&self, worker: &Worker) -> BeatCall {
        let leases = Arc::clone(&worker.leases);
        let me = worker.settings.worker.clone();
        let (ids, tokens): (Vec<Id>, Vec<StepToken>) =
            self.held.iter().map(|(id, held)| (*id, held.token.clone())).unzip();
        Box::pin(async move {
            let unanswered = |gone| LeaseError::Unreachable(Box::new(gone));
            let beats = timeout(BEAT_FOR, leases.heartbeat(&me, &tokens)).await.map_err(unanswered)??;
            Ok(ids.into_iter().zip(beats).collect())
        })
    }

    fn heed(&self, answer: Result<Beats, LeaseError>) {
        let beats = match answer {
            Ok(beats) => beats,
            Err(error) => return tracing::debug!("a heartbeat was not answered: {error}"),
        };
        for (id, beat) in beats {
            let Some(held) = self.held.get(&id) else { continue };
            match beat {
                Some(Beat::Alive) | None => {}
                Some(Beat::Stop) => held.halt.tell(Cause::WantedBack),
                Some(Beat::Lost) => held.halt.tell(Cause::Lost),
            }
        }
    }
}

async fn beat_answered(beating: &mut Option<BeatCall>) -> Result<Beats, LeaseError> {
    match beating {
        Some(call) => call.await,
        None => pending().await,
    }
}

async fn due_at(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
