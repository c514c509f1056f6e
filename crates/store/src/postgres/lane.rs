//! A lane: one connection, its owner, and the queue before it.
//!
//! Callers put what they want into the queue and wait for the answer. The owner takes what is queued,
//! lets those who are about to ask do so (one turn of the runtime, no time), does all of it in one
//! transaction, and answers once it is committed; while it waits for the commit, the next batch gathers:
//! one batch is in flight. A caller who goes away changes nothing
//! for the connection.
//!
//! When a transaction fails for what is in it, its halves are tried apart, down to the one request
//! that is at fault: that one fails alone. When the connection is lost, the next batch gets another
//! one, to whichever host can be written to then. Nobody waits longer than [`WAIT_MAX`].

use super::{
    clock::DatabaseClock,
    editions::Readers,
    fault::{Fault, OwnerGone, TooLate},
    link::Link,
    news::News,
    place::Reached,
    target::Target,
    told::Told,
};
use crate::{Backend, Entropy, StoreError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// So long a caller waits for an answer, whatever happens to the database.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(10);
/// A transaction that has not ended after this is cancelled, and given up with its connection when
/// that does not help. A commit that waited for a standby is then on the primary alone, and in doubt.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(60);
const CANCELLED_WITHIN: Duration = Duration::from_secs(2);
/// After so long without an answer the server is asked whether it answers at all: one that waits for its standby
/// does, one that stands still, or whose network swallows everything, does not.
const SILENT_AFTER: Duration = Duration::from_secs(3);
/// So many requests wait; further callers wait to enqueue theirs.
const QUEUE_MAX: usize = 1024;
/// At most so many units share a transaction.
pub(super) const BATCH_MAX: usize = 256;
/// A transaction that others were in the way of is tried again so often.
const ATTEMPTS_MAX: u32 = 5;
const BACKOFF_LEAST: Duration = Duration::from_millis(20);
const BACKOFF_MOST: Duration = Duration::from_secs(1);

/// What a lane does.
pub(super) trait Work: Send + Sync + 'static {
    /// What it is asked for.
    type Ask: Send + Sync + 'static;
    /// What the caller gets.
    type Answer: Send + 'static;

    /// How many units of a transaction it takes.
    fn units(&self, ask: &Self::Ask) -> usize;

    /// Does all of it in one transaction, commit included; the answers stand in the order of the asks.
    /// May be called again after it failed.
    fn run(
        &self,
        link: &Link,
        asks: &[&Self::Ask],
    ) -> impl Future<Output = Result<Done<Self::Answer>, Fault>> + Send;

    /// The answer when it could not be done.
    fn failed(&self, ask: &Self::Ask, why: &dyn Fn() -> StoreError) -> Self::Answer;

    /// `ask` in smaller parts, when it is more than one thing.
    fn split(&self, _ask: &Self::Ask) -> Option<(Self::Ask, Self::Ask)> {
        None
    }

    /// The answer to an ask from those to its parts.
    fn join(&self, first: Self::Answer, _second: Self::Answer) -> Self::Answer {
        first
    }
}

/// What a transaction did.
pub(super) struct Done<A> {
    pub(super) answers: Vec<A>,
    pub(super) news: News,
}

/// What all lanes of a store share.
pub(super) struct Shared {
    pub(super) target: Target,
    pub(super) clock: Arc<DatabaseClock>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// Which of the processes that share the database this one is.
    pub(super) process: Uuid,
    pub(super) told: Told,
    /// How far the primary's log was when it last said so.
    pub(super) reached: Arc<Reached>,
    /// What the programs that share the database read of plans.
    pub(super) readers: Readers,
    /// [`STUCK_AFTER`].
    pub(super) stuck_after: Duration,
}

impl Shared {
    /// What `run` gives, unless the host that it asks answers nobody any more.
    pub(super) async fn unless_silent<T>(
        &self,
        host: usize,
        run: impl Future<Output = T>,
    ) -> Result<T, TooLate> {
        let (mut run, began) = (std::pin::pin!(run), Instant::now());
        loop {
            if let Ok(ran) = tokio::time::timeout(SILENT_AFTER, &mut run).await {
                return Ok(ran);
            }
            tokio::select! {
                biased;
                ran = &mut run => return Ok(ran),
                answers = self.target.answers(host) => {
                    if !answers {
                        return Err(TooLate(began.elapsed()));
                    }
                }
            }
        }
    }

    /// Between half of `most` and all of it.
    pub(super) fn jitter(&self, most: Duration) -> Duration {
        let mut byte = [0; 1];
        self.entropy.fill(&mut byte);
        most / 2 + most.mul_f64(f64::from(byte[0]) / 512.0)
    }
}

const WAITS: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

struct Job<W: Work> {
    ask: W::Ask,
    reply: oneshot::Sender<W::Answer>,
    /// Whether its owner has begun with it, or its caller has given it up first.
    stage: Arc<AtomicU8>,
}

/// The callers' end of a lane.
pub(super) struct Lane<W: Work> {
    queue: mpsc::Sender<Job<W>>,
}

impl<W: Work> Lane<W> {
    /// A lane with its owner; `link` is its first connection, `name` what the server calls it.
    pub(super) fn start(
        work: W,
        link: Link,
        name: &'static str,
        shared: Arc<Shared>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let owner = Owner { work, host: link.host(), link: Some(link), name, shared, failures: 0 };
        (Lane { queue }, tokio::spawn(owner.serve(jobs)))
    }

    /// Asks, and waits for the answer, at most [`WAIT_MAX`].
    pub(super) async fn ask(&self, ask: W::Ask) -> Result<W::Answer, StoreError> {
        let stage = Arc::new(AtomicU8::new(WAITS));
        let (reply, answer) = oneshot::channel();
        let job = Job { ask, reply, stage: Arc::clone(&stage) };
        let asked = async {
            self.queue.send(job).await.map_err(|_| StoreError::Unreachable(Backend::new(OwnerGone)))?;
            answer.await.map_err(|_| StoreError::Unconfirmed(Backend::new(OwnerGone)))
        };
        match tokio::time::timeout(WAIT_MAX, asked).await {
            Ok(answered) => answered,
            Err(_elapsed) => {
                let late = Backend::new(TooLate(WAIT_MAX));
                let unbegun =
                    stage.compare_exchange(WAITS, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok();
                Err(if unbegun { StoreError::Unreachable(late) } else { StoreError::Unconfirmed(late) })
            }
        }
    }
}

/// Who owns a lane's connection.
struct Owner<W> {
    work: W,
    link: Option<Link>,
    name: &'static str,
    /// The host that worked last.
    host: usize,
    shared: Arc<Shared>,
    /// Connections that failed in a row.
    failures: u32,
}

impl<W: Work> Owner<W> {
    /// Serves until every caller's end is gone.
    async fn serve(mut self, mut queue: mpsc::Receiver<Job<W>>) {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        while queue.recv_many(&mut jobs, BATCH_MAX).await > 0 {
            // Whoever asks together is mostly still asking: one turn of the runtime, and they share the batch.
            tokio::task::yield_now().await;
            while jobs.len() < BATCH_MAX
                && let Ok(job) = queue.try_recv()
            {
                jobs.push(job);
            }
            while !jobs.is_empty() {
                let mut batch = self.next_batch(&mut jobs);
                batch.retain(|job| {
                    let begun = job.stage.compare_exchange(WAITS, BEGUN, Ordering::AcqRel, Ordering::Acquire);
                    begun.is_ok()
                });
                self.batch(batch).await;
            }
        }
    }

    /// Takes jobs until their units fill a transaction; one job may be larger than that.
    fn next_batch(&self, jobs: &mut Vec<Job<W>>) -> Vec<Job<W>> {
        let mut units = 0usize;
        let fits = jobs.iter().take_while(|job| {
            let first = units == 0;
            units = units.saturating_add(self.work.units(&job.ask).max(1));
            first || units <= BATCH_MAX
        });
        let count = fits.count();
        let rest = jobs.split_off(count);
        std::mem::replace(jobs, rest)
    }

    async fn batch(&mut self, jobs: Vec<Job<W>>) {
        let (asks, replies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.ask, job.reply)).unzip();
        let asks: Vec<&W::Ask> = asks.iter().collect();
        let answers = self.answers(&asks).await;
        for (reply, answer) in replies.into_iter().zip(answers) {
            // A caller that went away needs no answer.
            let _gone = reply.send(answer);
        }
    }

    /// Does `asks`, in as few transactions as it takes. The answers stand in the order of the asks.
    async fn answers(&mut self, asks: &[&W::Ask]) -> Vec<W::Answer> {
        let mut answers = Vec::with_capacity(asks.len());
        let mut parts = vec![asks];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.transaction(part).await {
                Ok(done) => answers.extend(done),
                Err(fault) if fault.is_about_the_rows() && part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.push(second);
                    parts.push(first);
                }
                Err(fault) => match part {
                    [one] if fault.is_about_the_rows() => answers.push(self.alone(one, &fault).await),
                    part => {
                        answers.extend(part.iter().map(|ask| self.work.failed(ask, &|| (&fault).into())));
                    }
                },
            }
        }
        answers
    }

    /// An ask that failed for what is in it: its own parts are tried apart.
    async fn alone(&mut self, ask: &W::Ask, fault: &Fault) -> W::Answer {
        let Some((first, second)) = self.work.split(ask) else {
            tracing::error!(lane = self.name, ?fault, "the database refused a request for what is in it");
            return self.work.failed(ask, &|| fault.into());
        };
        let mut done = Box::pin(self.answers(&[&first, &second])).await.into_iter();
        match (done.next(), done.next()) {
            (Some(first), Some(second)) => self.work.join(first, second),
            _ => self.work.failed(ask, &|| fault.into()),
        }
    }

    /// One transaction, tried again when others were in its way.
    async fn transaction(&mut self, asks: &[&W::Ask]) -> Result<Vec<W::Answer>, Fault> {
        for attempt in 1.. {
            let link = match self.link().await {
                Ok(link) => link,
                Err(fault) => return Err(fault),
            };
            let ran = self.watched(&link, self.work.run(&link, asks)).await;
            let fault = match ran {
                Ok(Ok(done)) => {
                    self.link = Some(link);
                    self.shared.told.tell(done.news);
                    return Ok(done.answers);
                }
                Ok(Err(fault)) => {
                    if link.forget().await {
                        self.link = Some(link);
                    }
                    fault
                }
                Err(TooLate(after)) => {
                    // Another host may be the primary by now.
                    self.host = link.host() + 1;
                    Fault::InDoubt(Arc::new(TooLate(after)))
                }
            };
            match fault {
                Fault::Lost(_) | Fault::InDoubt(_) => {
                    tracing::warn!(lane = self.name, ?fault, "a transaction was cut off");
                    if matches!(fault, Fault::Lost(_)) {
                        // What a standby or a dying server says is not worth keeping the connection.
                        self.link = None;
                    }
                    return Err(fault);
                }
                Fault::Again(_) if attempt < ATTEMPTS_MAX => {
                    tokio::time::sleep(self.shared.jitter(BACKOFF_LEAST * attempt)).await;
                }
                Fault::Again(_) | Fault::Statement(_) | Fault::Unable(_) | Fault::Corrupt(_) => {
                    return Err(fault);
                }
            }
        }
        unreachable!("attempts are bounded")
    }

    /// What `run` gives, unless the server is stuck with it or answers nobody any more.
    async fn watched<T>(&self, link: &Link, run: impl Future<Output = T>) -> Result<T, TooLate> {
        let mut run = std::pin::pin!(self.shared.unless_silent(link.host(), run));
        if let Ok(ran) = tokio::time::timeout(self.shared.stuck_after, &mut run).await {
            return ran;
        }
        // A commit that waits for a standby would keep its session at the server for ever.
        link.cancel().await;
        let ran = tokio::time::timeout(CANCELLED_WITHIN, run).await;
        ran.unwrap_or(Err(TooLate(self.shared.stuck_after)))
    }

    /// The connection, or another one.
    async fn link(&mut self) -> Result<Link, Fault> {
        if let Some(link) = self.link.take().filter(Link::is_open) {
            return Ok(link);
        }
        let began = Instant::now();
        loop {
            if self.failures > 0 {
                let most = (BACKOFF_LEAST * 2u32.saturating_pow(self.failures.min(10))).min(BACKOFF_MOST);
                tokio::time::sleep(self.shared.jitter(most)).await;
            }
            match Link::open(&self.shared, self.host, self.name).await {
                Ok(link) => {
                    self.failures = 0;
                    self.host = link.host();
                    return Ok(link);
                }
                Err(fault) => {
                    self.failures += 1;
                    // Those who wait are told; the next ones try again.
                    if began.elapsed() > RECONNECT_WITHIN {
                        tracing::warn!(lane = self.name, ?fault, "the database cannot be reached");
                        return Err(fault.before_anything());
                    }
                }
            }
        }
    }
}

/// So long a batch waits for a connection before its callers are told that there is none.
const RECONNECT_WITHIN: Duration = Duration::from_secs(2);
