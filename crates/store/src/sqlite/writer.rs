//! The thread that owns the writing connection. It takes what is queued, does it in one
//! transaction, commits, and leaves it to [`Disk`] to answer when all of it is on disk (P1). When a
//! statement fails, the transaction is rolled back and each unit of it is done again in a
//! transaction of its own, so that a bad one fails alone. Requests know nothing of this: they run
//! inside [`Writer::unit`].

use super::{
    copies::Copies,
    disk::{Disk, SyncFailed},
    failpoints::{Failpoints, Point},
    fault::{Fault, Outage},
    space::Space,
    statements::Statements,
    views::Views,
};
use crate::{
    Clock, Entropy, FIGURES_KEPT, Hints, StoreError,
    columns::{FiguresRow, subject_word},
};
use octollm_access::KeyRecord;
use octollm_contract::{ArmName, KeyId, TaskId, TenantId, Timestamp};
use octollm_lifecycle::Tally;
use rusqlite::{Connection, params};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{mpsc, oneshot};

/// At most so many units share a transaction.
const BATCH_MAX: usize = 256;

/// What the writer and the callers share.
pub(super) struct Shared {
    /// Where the callers run, as far as it is known.
    pub(super) runtime: Option<tokio::runtime::Handle>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) failpoints: Failpoints,
    pub(super) hints: Hints,
    /// Commits begun: what a reader may have seen.
    pub(super) commits: AtomicU64,
    /// For the database and its log.
    pub(super) space: Space,
    /// Every key there is; what is on disk, nothing else.
    pub(super) keys: RwLock<BTreeMap<KeyId, KeyRecord>>,
}

/// Something to be done in a transaction.
pub(super) trait Request: Send + 'static {
    /// What the caller gets.
    type Answer: Send;
    /// Does it. May be called again after a rollback.
    fn run(&self, writer: &mut Writer<'_>) -> Result<Self::Answer, Fault>;
    /// The answer when it could not be done.
    fn failed(&self, why: &mut dyn FnMut() -> StoreError) -> Self::Answer;
    /// How many units it has.
    fn units(&self) -> usize {
        1
    }
}

/// A queued request.
pub(super) trait Job: Send {
    fn run(&mut self, writer: &mut Writer<'_>) -> Result<(), Fault>;
    fn fail(&mut self, why: &mut dyn FnMut() -> StoreError);
    fn reply(self: Box<Self>);
    fn units(&self) -> usize;
}

pub(super) struct Pending<R: Request> {
    pub(super) request: R,
    pub(super) answer: Option<R::Answer>,
    pub(super) reply: oneshot::Sender<R::Answer>,
}

impl<R: Request> Job for Pending<R> {
    fn run(&mut self, writer: &mut Writer<'_>) -> Result<(), Fault> {
        self.answer = None;
        self.answer = match self.request.run(writer) {
            Err(Fault::Corrupt(backend)) => {
                let mut why = Some(StoreError::Corrupt(backend));
                Some(self.request.failed(&mut || why.take().unwrap_or_else(unreadable_too)))
            }
            Err(sql @ Fault::Sql(_)) => return Err(sql),
            Ok(answer) => Some(answer),
        };
        Ok(())
    }

    fn fail(&mut self, why: &mut dyn FnMut() -> StoreError) {
        self.answer = Some(self.request.failed(why));
    }

    fn reply(self: Box<Self>) {
        if let Some(answer) = self.answer {
            // A caller that went away needs no answer.
            let _gone = self.reply.send(answer);
        }
    }

    fn units(&self) -> usize {
        self.request.units()
    }
}

fn unreadable_too() -> StoreError {
    StoreError::Corrupt(crate::Backend::new("it shares the request with a row that cannot be read"))
}

/// What waits for the writer.
pub(super) struct Queue {
    jobs: mpsc::Receiver<Box<dyn Job>>,
    /// One that did not fit.
    next: Option<Box<dyn Job>>,
    /// To wait for a job or for the disk.
    waiting: tokio::runtime::Runtime,
}

impl Queue {
    pub(super) fn new(jobs: mpsc::Receiver<Box<dyn Job>>) -> std::io::Result<Self> {
        let waiting = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Queue { jobs, next: None, waiting })
    }

    /// The first of a batch; none when every sender is gone.
    fn first(&mut self) -> Option<Box<dyn Job>> {
        self.next.take().or_else(|| self.jobs.blocking_recv())
    }

    /// One more that has room, if there is one before the disk is free.
    fn another(&mut self, room: usize, disk: &mut Disk) -> Option<Box<dyn Job>> {
        let job = match self.jobs.try_recv() {
            Ok(job) => job,
            Err(_) if disk.is_free() => return None,
            Err(_) => self.waiting.block_on(async {
                tokio::select! {
                    biased;
                    job = self.jobs.recv() => job,
                    () = disk.freed() => None,
                }
            })?,
        };
        if job.units() > room {
            self.next = Some(job);
            return None;
        }
        Some(job)
    }
}

/// The writing side of the store, on its thread.
pub(super) struct Writer<'c> {
    connection: &'c Connection,
    pub(super) sql: Statements<'c>,
    pub(super) shared: &'c Arc<Shared>,
    pub(super) views: Views,
    /// Leases alive, by tenant.
    pub(super) running: BTreeMap<TenantId, u32>,
    /// What the transaction will have changed once it is committed.
    pub(super) news: News,
    pub(super) audit: super::requests::Audit,
    /// Where the last claim for an arm stopped looking for tenants.
    pub(super) rotation: BTreeMap<ArmName, String>,
    /// Ways round an arm's tenants that the next claim goes on with, as long as nothing new is there.
    pub(super) rounds: BTreeMap<ArmName, super::requests::Round>,
    /// The earliest expiry that the sweeper was told of.
    pub(super) told_expiry: Option<Timestamp>,
    /// When an arm's next step starts, as the last claim that found nothing was told: whoever
    /// waits for the arm wakes by then.
    pub(super) told_start: BTreeMap<ArmName, Timestamp>,
    alone: bool,
    /// What was committed and nobody was told of.
    untold: Vec<News>,
}

/// What a transaction leads to outside of the database.
#[derive(Default)]
pub(super) struct News {
    pub(super) tasks: BTreeSet<TaskId>,
    pub(super) arms: BTreeSet<ArmName>,
    pub(super) expiry: bool,
    pub(super) keys: Vec<KeyRecord>,
    pub(super) finished: BTreeMap<(ArmName, i64), i64>,
    pub(super) usage: BTreeMap<TenantId, Tally>,
}

impl News {
    /// Tells of a change that is on disk.
    pub(super) fn tell(self, shared: &Shared) {
        let News { tasks, arms, expiry, keys, finished: _, usage: _ } = self;
        if !keys.is_empty() {
            let mut known = shared.keys.write().unwrap_or_else(PoisonError::into_inner);
            known.extend(keys.into_iter().map(|key| (key.id.clone(), key)));
        }
        for task in tasks {
            shared.hints.task_changed(task);
        }
        for arm in arms {
            shared.hints.step_ready(arm);
        }
        if expiry {
            shared.hints.expiry_set();
        }
    }
}

/// How a transaction failed.
enum Broken {
    Statement(Fault),
    Commit(Outage),
}

impl<'c> Writer<'c> {
    pub(super) fn start(connection: &'c Connection, shared: &'c Arc<Shared>) -> Result<Self, Fault> {
        let mut writer = Writer {
            connection,
            sql: Statements::prepare(connection)?,
            shared,
            views: Views::default(),
            running: BTreeMap::new(),
            news: News::default(),
            audit: super::requests::Audit::default(),
            rotation: BTreeMap::new(),
            rounds: BTreeMap::new(),
            told_expiry: None,
            told_start: BTreeMap::new(),
            alone: false,
            untold: Vec::new(),
        };
        writer.count_leases()?;
        Ok(writer)
    }

    /// Serves until every sender is gone. It never waits for a batch to fill: it takes what comes
    /// while the disk is busy with the batch before, and commits as soon as the disk is free.
    pub(super) fn serve(&mut self, mut queue: Queue, mut disk: Disk, copies: &mut Copies) {
        Copies::watch(self.connection);
        while let Some(job) = queue.first() {
            if catch_unwind(AssertUnwindSafe(|| self.batch(job, &mut queue, &mut disk))).is_err() {
                // Its callers have seen their reply dropped.
                tracing::error!("the store's writer panicked; the transaction is rolled back");
                self.alone = false;
                self.recover();
                disk.hand_over(Vec::new(), std::mem::take(&mut self.untold));
            }
            copies.look(self.connection);
        }
    }

    fn batch(&mut self, mut first: Box<dyn Job>, queue: &mut Queue, disk: &mut Disk) {
        if disk.is_gone() {
            first.fail(&mut || StoreError::Unreachable(crate::Backend::new(SyncFailed)));
            return first.reply();
        }
        let mut jobs = vec![first];
        let together = self.transaction(|writer| {
            let mut units = jobs[0].units();
            jobs[0].run(writer)?;
            while let Some(mut job) = queue.another(BATCH_MAX.saturating_sub(units), disk) {
                units = units.saturating_add(job.units());
                let done = job.run(writer);
                jobs.push(job);
                done?;
            }
            queue.waiting.block_on(disk.freed());
            Ok(())
        });
        match together {
            Ok(()) => {}
            Err(Broken::Statement(_)) => {
                self.alone = true;
                for job in &mut jobs {
                    if let Err(fault) = job.run(self) {
                        let mut fault = Some(fault);
                        let mut again = None::<Outage>;
                        job.fail(&mut || explain(&mut fault, &mut again));
                    }
                }
                self.alone = false;
            }
            Err(Broken::Commit(outage)) => {
                for job in &mut jobs {
                    job.fail(&mut || outage.clone().into());
                }
            }
        }
        disk.hand_over(jobs, std::mem::take(&mut self.untold));
    }

    /// Does one unit of a request. `Ok(Err(_))` is the failure of this unit alone; `Err(_)` ends
    /// the transaction that it shares with others, and it will be done again alone.
    pub(super) fn unit<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Result<T, StoreError>, Fault> {
        if self.alone {
            return Ok(self.transaction(work).map_err(|broken| match broken {
                Broken::Statement(fault) => fault.into(),
                Broken::Commit(outage) => outage.into(),
            }));
        }
        match work(self) {
            Ok(done) => Ok(Ok(done)),
            Err(Fault::Corrupt(backend)) => Ok(Err(StoreError::Corrupt(backend))),
            Err(sql @ Fault::Sql(_)) => Err(sql),
        }
    }

    fn transaction<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Broken> {
        let done = self.sql.begin.execute([]).map_err(Fault::from).and_then(|_| {
            let done = work(self)?;
            self.write_finished()?;
            self.write_usage()?;
            Ok(done)
        });
        let done = match done {
            Ok(done) => done,
            Err(fault) => {
                if let Fault::Sql(error) = &fault {
                    self.tell_of_a_full_disk(error);
                }
                self.recover();
                return Err(Broken::Statement(fault));
            }
        };
        self.shared.failpoints.pass(Point::BeforeCommit);
        self.shared.commits.fetch_add(1, Ordering::SeqCst);
        if let Err(error) = self.sql.commit.execute([]) {
            tracing::error!(error = &error as &dyn std::error::Error, "a commit failed");
            self.tell_of_a_full_disk(&error);
            self.recover();
            return Err(Broken::Commit(Outage::of_commit(error)));
        }
        self.shared.failpoints.pass(Point::AfterCommit);
        self.views.commit();
        self.untold.push(std::mem::take(&mut self.news));
        Ok(done)
    }

    fn tell_of_a_full_disk(&self, error: &rusqlite::Error) {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            self.shared.space.ran_out();
        }
    }

    /// Rolls back, and brings what is kept beside the database back to what is in it.
    fn recover(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(error = &error as &dyn std::error::Error, "a rollback failed");
        }
        self.views.clear();
        self.news = News::default();
        self.told_expiry = None;
        self.told_start.clear();
        self.rounds.clear();
        if let Err(fault) = self.count_leases() {
            // Fairness suffers until the next recovery; nothing else depends on the counts.
            tracing::error!(?fault, "the leases cannot be counted");
        }
    }

    fn count_leases(&mut self) -> Result<(), Fault> {
        self.running.clear();
        let mut rows = self.sql.lease_counts.query([])?;
        while let Some(row) = rows.next()? {
            let tenant = super::rows::word("tenant", super::rows::text(row, 0)?)
                .map_err(super::rows::RowError::from)?;
            self.running.insert(tenant, row.get(1)?);
        }
        Ok(())
    }

    fn write_finished(&mut self) -> Result<(), Fault> {
        for ((arm, minute), steps) in &self.news.finished {
            self.sql.add_finished.execute((arm.as_str(), minute, steps))?;
            self.sql.forget_finished.execute((arm.as_str(), minute - 60))?;
        }
        Ok(())
    }

    fn write_usage(&mut self) -> Result<(), Fault> {
        let mut newest = None;
        for (tenant, tally) in &self.news.usage {
            for ((day, subject), figures) in &tally.0 {
                let FiguresRow(
                    [done, failed, cancelled, attempts, took, worst, calls, unpriced, cost, tokens],
                ) = figures.into();
                self.sql.add_usage.execute(params![
                    tenant.as_str(),
                    day.number(),
                    subject_word(*subject),
                    done,
                    failed,
                    cancelled,
                    attempts,
                    took,
                    worst,
                    calls,
                    unpriced,
                    cost,
                    tokens,
                ])?;
                newest = newest.max(Some(*day));
            }
        }
        if let Some(newest) = newest {
            self.sql.forget_usage.execute([newest.before(FIGURES_KEPT).number()])?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn limit_pages(&self, most: u32) -> Result<(), rusqlite::Error> {
        self.connection.pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Fresh random bytes.
    pub(super) fn draw<const N: usize>(&self) -> [u8; N] {
        let mut drawn = [0; N];
        self.shared.entropy.fill(&mut drawn);
        drawn
    }
}

/// The first telling keeps the cause itself, the others share it.
fn explain(fault: &mut Option<Fault>, again: &mut Option<Outage>) -> StoreError {
    match fault.take() {
        Some(Fault::Sql(error)) => {
            let outage = Outage::of_statement(error);
            *again = Some(outage.clone());
            outage.into()
        }
        Some(corrupt @ Fault::Corrupt(_)) => corrupt.into(),
        None => again.clone().map_or_else(unreadable_too, StoreError::from),
    }
}
