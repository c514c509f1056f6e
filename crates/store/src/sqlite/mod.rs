//! The store in a data folder: SQLite, nothing to install, one process.
//!
//! Promises: what the traits promise (P1–P4, P7). One thread writes (`writer.rs`): it takes what
//! is queued, runs it in one transaction and commits once for all of it; a bad request fails alone.
//! A second one (`disk.rs`) waits for the disk and then answers, so that concurrent callers share
//! that wait; a third (`copies.rs`) copies SQLite's log into the database. A few connections
//! read. Claims, sweeps, lists and reads find their rows by index: what has ended does not slow
//! them. The folder has one owner ([`OpenError::InUse`]); [`Failpoints`] name the places at which
//! a test may kill it.
//!
//! Must not know: what a decision is. States are spelled as columns in `rows` and nowhere else.

mod apply;
mod copies;
mod disk;
mod failpoints;
mod fault;
mod folder;
mod reads;
mod requests;
mod rows;
mod schema;
mod space;
mod statements;
#[cfg(test)]
mod tests;
mod usage;
mod views;
mod writer;

pub use failpoints::{Failpoints, InvalidFailpoint};
pub use folder::{Durability, OpenError, Owner};

use crate::{
    AcceptError, Accepted, Backend, Backlog, Claims, Clock, Counted, DayLine, DayListing, DecideError,
    Directed, Entropy, Freshness, Gone, Hints, Keys, Listing, Lost, Order, Period, Seen, StoreError, Sums,
    Swept, TaskLine, TaskReads, TaskRecord, Tasks, Wanted,
};
use async_trait::async_trait;
use copies::Copies;
use disk::Disk;
use fault::{Fault, NoAnswer, WriterStopped};
use folder::Folder;
use octollm_access::{KeyRecord, Revocation, RingKey, TenantScope};
use octollm_contract::{
    ArmName, ContentHash, Document, Edition, IdempotencyKey, KeyId, LeaseToken, SessionId, StepId, TaskId,
    TenantId, Timestamp,
};
use octollm_lifecycle::{Changes, Event, Unheard};
use reads::Readers;
use requests::{AddToRing, Lose, LoseCallers, Prune, PutKey, RevokeKey, Sweep};
use space::Space;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
};
use tokio::sync::{mpsc, oneshot};
use writer::{Job, Pending, Queue, Request, Shared, Writer};

/// So many requests wait for the writer; further callers wait to enqueue theirs.
const QUEUE_MAX: usize = 1024;
/// A prune removes so many tasks a transaction, so that others get their turn in between.
const PRUNE_SLICE: usize = 128;
/// A disk with so many bytes free takes some accepts.
const SPACE_LEAST: u64 = 1 << 20;

/// How a store is opened.
#[derive(Debug, Default)]
pub struct Options {
    /// What a committed change survives.
    pub durability: Durability,
    /// Places at which the process ends; for tests.
    pub failpoints: Failpoints,
}

/// The store in a data folder.
pub struct SqliteStore {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    readers: Arc<Readers>,
    shared: Arc<Shared>,
    folder: PathBuf,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the store in `folder`, which is made if it is missing and belongs to this store
    /// until it is dropped. Blocks for the disk.
    pub fn open(
        folder: &Path,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: Options,
    ) -> Result<Self, OpenError> {
        Self::open_with(folder, clock, entropy, options, Folder::log)
    }

    /// The same, where a test brings a log of its own.
    fn open_with(
        path: &Path,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: Options,
        log: fn(&Folder) -> Result<Option<std::fs::File>, OpenError>,
    ) -> Result<Self, OpenError> {
        let folder = Folder::take(path, options.durability)?;
        let connection = folder.writer()?;
        let keys = reads::keys(&connection).map_err(opening)?;
        let shared = Arc::new(Shared {
            runtime: tokio::runtime::Handle::try_current().ok(),
            clock,
            entropy,
            failpoints: options.failpoints,
            hints: Hints::default(),
            commits: AtomicU64::new(0),
            space: Space::default(),
            keys: RwLock::new(keys.into_iter().map(|key| (key.id.clone(), key)).collect()),
        });
        // What makes the writer start is tried here, where its failure can be told.
        Writer::start(&connection, &shared).map_err(opening)?;
        let disk = Disk::start(log(&folder)?, &shared).map_err(|source| folder.unusable(source))?;
        let readers = Arc::new(Readers::open(&folder, disk.shown())?);
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let jobs = Queue::new(jobs).map_err(|source| folder.unusable(source))?;
        let of_writer = Arc::clone(&shared);
        let mut copies = Copies::start(&folder)?;
        let writer = std::thread::Builder::new().name("store".into()).spawn(move || {
            match Writer::start(&connection, &of_writer) {
                Ok(mut writer) => writer.serve(jobs, disk, &mut copies),
                Err(fault) => tracing::error!(?fault, "the store's writer does not start"),
            }
            drop(connection);
            drop(copies);
            drop(folder);
        });
        let writer = writer.map_err(|source| OpenError::Folder { folder: path.to_owned(), source })?;
        Ok(SqliteStore { queue: Some(queue), readers, shared, folder: path.to_owned(), writer: Some(writer) })
    }

    async fn ask<R: Request>(&self, request: R) -> Result<R::Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending { request, answer: None, reply });
        let queue = self.queue.as_ref().expect("the queue is closed when the store is dropped");
        queue.send(job).await.map_err(|_| StoreError::Unreachable(Backend::new(WriterStopped)))?;
        answer.await.map_err(|_| StoreError::Unconfirmed(Backend::new(NoAnswer)))
    }
}

fn opening(fault: Fault) -> OpenError {
    match fault {
        Fault::Corrupt(backend) => OpenError::Contents(backend),
        Fault::Sql(error) => OpenError::Database(error),
    }
}

impl Drop for SqliteStore {
    /// Waits until what is queued is done and the folder is free again.
    fn drop(&mut self) {
        self.queue = None;
        // The last to close the database copies the WAL into it, and readers cannot.
        self.readers.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}

#[async_trait]
impl Tasks for SqliteStore {
    async fn accept(&self, order: Order) -> Result<Accepted, AcceptError> {
        self.ask(order).await?
    }

    async fn claim(&self, wanted: Wanted) -> Result<Claims, StoreError> {
        self.ask(wanted).await?
    }

    async fn decide(&self, commands: Vec<Directed>) -> Vec<Result<Changes, DecideError>> {
        let count = commands.len();
        match self.ask(commands).await {
            Ok(answers) => answers,
            Err(error) => {
                let unreachable = matches!(error, StoreError::Unreachable(_));
                let again = || {
                    let why = Backend::new(NoAnswer);
                    if unreachable { StoreError::Unreachable(why) } else { StoreError::Unconfirmed(why) }
                };
                (0..count).map(|_| Err(DecideError::Store(again()))).collect()
            }
        }
    }

    async fn sweep(&self, most: usize, unheard: Option<Unheard>) -> Result<Swept, StoreError> {
        self.ask(Sweep { most, unheard }).await?
    }

    async fn lose(&self, lost: Lost) -> Result<Swept, StoreError> {
        self.ask(Lose(lost)).await?
    }

    async fn take_over(&self, gone: Gone) -> Result<Swept, StoreError> {
        match gone {
            Gone::All => self.lose(Lost::Everyone).await,
            Gone::Callers => self.ask(LoseCallers).await?,
        }
    }

    /// Nobody may write any more who was told of it: the disk itself is asked.
    fn is_full(&self) -> bool {
        if !self.shared.space.is_missing() {
            return false;
        }
        let free = rustix::fs::statvfs(&self.folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let is_full = free.is_ok_and(|bytes| bytes < SPACE_LEAST);
        if !is_full {
            self.shared.space.is_there();
        }
        is_full
    }

    async fn leads(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn prune(&self, ended_before: Timestamp, most: usize) -> Result<usize, StoreError> {
        let mut removed = 0;
        while removed < most {
            let slice = PRUNE_SLICE.min(most - removed);
            let done = self.ask(Prune { ended_before, most: slice }).await??;
            removed += done;
            if done < slice {
                break;
            }
        }
        Ok(removed)
    }

    /// There are no notes: the sums are made with the change itself.
    async fn roll_up(&self, _most: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    /// It has one owner.
    fn read_by_all(&self) -> Edition {
        Edition::NEWEST
    }

    fn hints(&self) -> &Hints {
        &self.shared.hints
    }
}

#[async_trait]
impl TaskReads for SqliteStore {
    async fn task(&self, id: TaskId, scope: &TenantScope) -> Result<Option<TaskRecord>, StoreError> {
        let scope = scope.clone();
        self.readers.read(move |c| reads::task(c, id, &scope)).await
    }

    async fn list(&self, scope: &TenantScope, wanted: &Listing) -> Result<Vec<TaskLine>, StoreError> {
        let (scope, wanted) = (scope.clone(), wanted.clone());
        self.readers.read(move |c| reads::list(c, &scope, &wanted)).await
    }

    async fn events(
        &self,
        id: TaskId,
        scope: &TenantScope,
        after: u64,
        most: usize,
    ) -> Result<Option<Vec<Event>>, StoreError> {
        let scope = scope.clone();
        self.readers.read(move |c| reads::events(c, id, &scope, after, most)).await
    }

    async fn backlog(&self, arm: ArmName) -> Result<Backlog, StoreError> {
        let now = self.shared.clock.now();
        self.readers.read(move |c| reads::backlog(c, arm, now)).await
    }

    async fn holds(&self, step: StepId, token: LeaseToken) -> Result<bool, StoreError> {
        let now = self.shared.clock.now();
        self.readers.read(move |c| reads::holds(c, step, token, now)).await
    }

    async fn receipt(&self, step: StepId, number: u32) -> Result<Option<Document>, StoreError> {
        self.readers.read(move |c| reads::receipt(c, step, number)).await
    }

    async fn session(
        &self,
        scope: &TenantScope,
        tenant: &TenantId,
        session: &SessionId,
        before: TaskId,
        most: usize,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        let (scope, tenant, session) = (scope.clone(), tenant.clone(), session.clone());
        self.readers.read(move |c| reads::session(c, &scope, (&tenant, &session), before, most)).await
    }

    async fn refers(&self, task: TaskId, artefact: ContentHash) -> Result<bool, StoreError> {
        self.readers.read(move |c| reads::refers(c, task, artefact)).await
    }

    async fn accepted_under(
        &self,
        tenant: &TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<(TaskId, ContentHash)>, StoreError> {
        let (tenant, key) = (tenant.clone(), key.clone());
        self.readers.read(move |c| reads::accepted_under(c, &tenant, &key)).await
    }

    async fn artefacts(&self) -> Result<BTreeSet<ContentHash>, StoreError> {
        self.readers.read(reads::artefacts).await
    }

    async fn open_tasks(&self) -> Result<u64, StoreError> {
        self.readers.read(reads::open_tasks).await
    }

    async fn usage_days(
        &self,
        _fresh: Freshness,
        scope: &TenantScope,
        wanted: &DayListing,
    ) -> Result<(Counted<Vec<DayLine>>, Seen), StoreError> {
        let (scope, wanted, as_of) = (scope.clone(), wanted.clone(), self.shared.clock.now());
        let figures = self.readers.read(move |c| usage::days(c, &scope, &wanted)).await?;
        Ok((Counted { as_of, figures }, Seen::NOTHING))
    }

    async fn usage_sums(
        &self,
        _fresh: Freshness,
        scope: &TenantScope,
        period: Period,
    ) -> Result<(Counted<Sums>, Seen), StoreError> {
        let (scope, as_of) = (scope.clone(), self.shared.clock.now());
        let figures = self.readers.read(move |c| usage::sums(c, &scope, period)).await?;
        Ok((Counted { as_of, figures }, Seen::NOTHING))
    }
}

#[async_trait]
impl Keys for SqliteStore {
    async fn put_key(&self, key: KeyRecord) -> Result<(), StoreError> {
        self.ask(PutKey { key, if_first: false }).await?.map(|_kept| ())
    }

    async fn put_first_key(&self, key: KeyRecord) -> Result<bool, StoreError> {
        self.ask(PutKey { key, if_first: true }).await?
    }

    async fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.shared.keys.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned())
    }

    async fn keys(&self, scope: &TenantScope) -> Result<Vec<KeyRecord>, StoreError> {
        let known = self.shared.keys.read().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<_> = known.values().filter(|key| scope.allows(&key.tenant)).cloned().collect();
        keys.sort_by_key(|key| key.created_at);
        Ok(keys)
    }

    async fn revoke_key(
        &self,
        id: &KeyId,
        scope: &TenantScope,
        at: Timestamp,
    ) -> Result<Revocation, StoreError> {
        self.ask(RevokeKey { id: id.clone(), scope: scope.clone(), at }).await?
    }

    async fn ring(&self) -> Result<Vec<RingKey>, StoreError> {
        self.readers.read(reads::ring).await
    }

    async fn add_to_ring(&self, key: RingKey, now: Timestamp) -> Result<(), StoreError> {
        self.ask(AddToRing { key, now }).await?
    }
}
