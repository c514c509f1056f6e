//! Tasks, steps, events, keys and the ledger's rows, behind small traits.
//!
//! Promises (P1–P4, P7): what a method returned `Ok` for is durable; each method is one
//! transaction; a change is decided by [`octollm_lifecycle::decide`] on a view loaded under
//! the same lock that the change is written under; a bad item of a batch never fails its
//! neighbours; every read of tenants' data needs a [`TenantScope`].
//!
//! Must not know: what a decision is. It claims, loads, applies; no `if` on states here, no
//! decision in SQL. Nor what goals, plans and results say: they are documents.

mod columns;
mod error;
mod hints;
pub mod memory;
pub mod postgres;
#[cfg(test)]
mod samples;
mod seen;
pub mod sqlite;
pub mod suite;
mod time;
mod usage;

pub use error::{AcceptError, Backend, DecideError, StoreError};
pub use hints::{Hints, Watch};
pub use memory::MemoryStore;
pub use seen::{Freshness, NotSeen, Seen};
pub use time::{Clock, Entropy, OsEntropy, SystemClock};
pub use usage::{Counted, DayLine, DayListing, FIGURES_KEPT, Period, Sums};

use async_trait::async_trait;
use octollm_access::{KeyRecord, Revocation, RingKey, TenantScope};
use octollm_contract::{
    ArmName, CallId, ContentHash, Document, Edition, IdempotencyKey, KeyId, LeaseToken, Millis, Priority,
    SessionId, StepId, TaskId, TenantId, Timestamp, WorkerId, api::TaskStatus,
};
use octollm_lifecycle::{Changes, Command, Event, Failure, ItsWorkers, NewTask, Task, Unheard};
use std::collections::BTreeSet;

/// Every trait that the orchestrator needs of one store.
pub trait Store: Tasks + TaskReads + Keys {}

impl<T: Tasks + TaskReads + Keys> Store for T {}

/// Changes to tasks.
#[async_trait]
pub trait Tasks: Send + Sync + 'static {
    /// Writes a task, its first steps, its ledger's hold, its idempotency key and its first
    /// events. Durable before it returns; concurrent calls share a commit.
    async fn accept(&self, order: Order) -> Result<Accepted, AcceptError>;

    /// Leases up to `wanted.most` ready steps, chosen by [`octollm_lifecycle::fair::choose`].
    async fn claim(&self, wanted: Wanted) -> Result<Claims, StoreError>;

    /// Decides and applies commands; the answers stand in the order of the commands. A refused
    /// command changes nothing and fails no other.
    async fn decide(&self, commands: Vec<Directed>) -> Vec<Result<Changes, DecideError>>;

    /// Sends [`Command::Expire`] to at most `most` tasks in which a lease has run out, a
    /// deadline has passed or a model call was not settled for too long, and to tasks that a crash
    /// may have left between states. What ran out `unheard` counts as handed back. An error may have ended some.
    async fn sweep(&self, most: usize, unheard: Option<Unheard>) -> Result<Swept, StoreError>;

    /// Sends [`Command::WorkerLost`] or [`Command::ServerLost`] to every task with a lease of those that are
    /// lost, and when everyone is, [`Command::CallerLost`] to every task with a model call under way.
    async fn lose(&self, lost: Lost) -> Result<Swept, StoreError>;

    /// Sends [`Command::CallerLost`] for the model calls of processes that share this store and have died:
    /// those that have given no sign of life for some looks. For whoever sweeps; a look a few seconds
    /// after the last one does nothing. A store that one process has knows of no others.
    async fn bury(&self) -> Result<Swept, StoreError> {
        Ok(Swept::default())
    }

    /// What an orchestrator does first: ends what an earlier owner of this store left under way. In one
    /// that several share nothing is: there, leases run out by themselves, and [`Tasks::bury`] finds whose
    /// calls nobody makes any more.
    async fn take_over(&self, gone: Gone) -> Result<Swept, StoreError>;

    /// Whether this process is the one that sweeps, from now on for some seconds; asked again before
    /// each sweep. Of all that share a store at most one is told so at a time. Who asks is alive: one that
    /// has not for a while is taken for dead, and what its model calls hold counts as spent.
    async fn leads(&self) -> Result<bool, StoreError>;

    /// Removes at most `most` tasks that ended before `ended_before`, with all that belongs to
    /// them, and idempotency keys of such tasks. Returns how many.
    async fn prune(&self, ended_before: Timestamp, most: usize) -> Result<usize, StoreError>;

    /// Sums at most `most` of the notes of what has ended into the figures by day, and removes figures
    /// that are older than [`FIGURES_KEPT`]. Returns how many notes. Reads count notes as well, so that
    /// nothing depends on when this is called but their cost; [`Swept::notes`] says that there are some.
    /// A store that one process writes has none: it sums with the change itself.
    async fn roll_up(&self, most: usize) -> Result<usize, StoreError>;

    /// Whether the disk of this process is full: a write found no space, and there is none yet. A store that many
    /// processes share never says so: its disk is nobody's own, and all of them would cease to be ready at once.
    fn is_full(&self) -> bool {
        false
    }

    /// What every program over this store reads of plans, as far as was seen: what is written in a later edition
    /// is not to be stored, for the others would fail its task.
    fn read_by_all(&self) -> Edition;

    /// Where to wait for changes. A hint may come late or for nothing; none is needed for
    /// correctness.
    fn hints(&self) -> &Hints;
}

/// Reads of tasks. Every answer shows what was committed before the call.
#[async_trait]
pub trait TaskReads: Send + Sync + 'static {
    /// A task, whole; `None` when there is none in `scope`.
    async fn task(&self, id: TaskId, scope: &TenantScope) -> Result<Option<TaskRecord>, StoreError>;

    /// Tasks of `scope`, newest first.
    async fn list(&self, scope: &TenantScope, wanted: &Listing) -> Result<Vec<TaskLine>, StoreError>;

    /// At most `most` events of a task with numbers over `after`, in order; `None` when there
    /// is no such task in `scope`.
    async fn events(
        &self,
        id: TaskId,
        scope: &TenantScope,
        after: u64,
        most: usize,
    ) -> Result<Option<Vec<Event>>, StoreError>;

    /// What waits and runs for an arm, over all tenants.
    async fn backlog(&self, arm: ArmName) -> Result<Backlog, StoreError>;

    /// Whether `token` proves the lease of `step` now.
    async fn holds(&self, step: StepId, token: LeaseToken) -> Result<bool, StoreError>;

    /// What is to be known of the last settled model call of this number of a step.
    async fn receipt(&self, step: StepId, number: u32) -> Result<Option<Document>, StoreError>;

    /// At most `most` tasks of `tenant` that belong to `session` and have ended, with ids below
    /// `before`, newest first, whole; none when `scope` does not allow the tenant.
    async fn session(
        &self,
        scope: &TenantScope,
        tenant: &TenantId,
        session: &SessionId,
        before: TaskId,
        most: usize,
    ) -> Result<Vec<TaskRecord>, StoreError>;

    /// Whether the task has ever kept a document that refers to `artefact`.
    async fn refers(&self, task: TaskId, artefact: ContentHash) -> Result<bool, StoreError>;

    /// The task that was accepted under `key` of `tenant`, and the hash of what was asked for.
    async fn accepted_under(
        &self,
        tenant: &TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<(TaskId, ContentHash)>, StoreError>;

    /// Every artefact that any kept document refers to, for garbage collection.
    async fn artefacts(&self) -> Result<BTreeSet<ContentHash>, StoreError>;

    /// How many tasks have not ended.
    async fn open_tasks(&self) -> Result<u64, StoreError>;

    /// What ended in `scope`, and what model calls used, by day, tenant and the subject's name: the first
    /// of the `wanted` lines in that order. Pruning takes nothing away from it. For a client, as
    /// [`TaskReads::task_for`].
    async fn usage_days(
        &self,
        fresh: Freshness,
        scope: &TenantScope,
        wanted: &DayListing,
    ) -> Result<(Counted<Vec<DayLine>>, Seen), StoreError>;

    /// The same, summed over days and tenants; what did not happen is left out.
    async fn usage_sums(
        &self,
        fresh: Freshness,
        scope: &TenantScope,
        period: Period,
    ) -> Result<(Counted<Sums>, Seen), StoreError>;

    /// What whoever is answered now may have written, and whoever has read the newest has seen. A store
    /// with one copy of its data has nothing to tell of it.
    fn reached(&self) -> Seen {
        Seen::NOTHING
    }

    /// [`TaskReads::task`] for a client: it may come from a replica that is `fresh` enough. With it comes
    /// what the client has seen then. A task that a replica does not know is looked for at the primary.
    async fn task_for(
        &self,
        _fresh: Freshness,
        id: TaskId,
        scope: &TenantScope,
    ) -> Result<(Option<TaskRecord>, Seen), StoreError> {
        Ok((self.task(id, scope).await?, Seen::NOTHING))
    }

    /// [`TaskReads::list`] for a client, as [`TaskReads::task_for`].
    async fn list_for(
        &self,
        _fresh: Freshness,
        scope: &TenantScope,
        wanted: &Listing,
    ) -> Result<(Vec<TaskLine>, Seen), StoreError> {
        Ok((self.list(scope, wanted).await?, Seen::NOTHING))
    }

    /// [`TaskReads::events`] for a client, as [`TaskReads::task_for`].
    async fn events_for(
        &self,
        _fresh: Freshness,
        id: TaskId,
        scope: &TenantScope,
        after: u64,
        most: usize,
    ) -> Result<(Option<Vec<Event>>, Seen), StoreError> {
        Ok((self.events(id, scope, after, most).await?, Seen::NOTHING))
    }

    /// The replicas that reads may go to, and how they are.
    async fn replicas(&self) -> Vec<ReplicaView> {
        Vec::new()
    }
}

/// A replica as it was seen last, a second ago at most.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaView {
    /// Where it is: host and port, never who comes in and how.
    pub name: String,
    /// How far it is behind, as it says itself; `None` when it does not say so.
    pub lag: Option<std::time::Duration>,
    /// Reads may go to it.
    pub serves: bool,
    /// So many reads it has answered to this process.
    pub reads: u64,
}

/// API keys, and the keys of step tokens.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// Keeps a new key, or replaces the one of the same id.
    async fn put_key(&self, key: KeyRecord) -> Result<(), StoreError>;

    /// Keeps the key if there is none yet, revoked ones included; whether it did. Of several callers at
    /// once, one does.
    async fn put_first_key(&self, key: KeyRecord) -> Result<bool, StoreError>;

    /// The key of this id, revoked or not.
    async fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>, StoreError>;

    /// All keys in `scope`, by the time they were made.
    async fn keys(&self, scope: &TenantScope) -> Result<Vec<KeyRecord>, StoreError>;

    /// Revokes a key for ever, if [`Revocation::of`] lets it go. Of the last two that make all others, one stays,
    /// whoever revokes them at once.
    async fn revoke_key(
        &self,
        id: &KeyId,
        scope: &TenantScope,
        at: Timestamp,
    ) -> Result<Revocation, StoreError>;

    /// The keys that step tokens are signed with, by when they begin to sign.
    async fn ring(&self) -> Result<Vec<RingKey>, StoreError>;

    /// Adds a key to the ring, and forgets those that open nothing any more at `now`.
    async fn add_to_ring(&self, key: RingKey, now: Timestamp) -> Result<(), StoreError>;
}

/// Who is known to be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A worker, alone.
    Worker(WorkerId),
    /// The workers that a server had as processes of its own, with it.
    WorkersOf {
        /// How their names begin.
        label: String,
    },
    /// Nobody that the store knows is alive.
    Everyone,
}

impl Lost {
    /// What tasks with leases of those that are lost are told.
    pub(crate) fn command(&self) -> Command {
        match self {
            Lost::Worker(worker) => Command::WorkerLost { worker: worker.clone() },
            Lost::WorkersOf { label } => Command::ServerLost(ItsWorkers::Labelled(label.clone())),
            Lost::Everyone => Command::ServerLost(ItsWorkers::All),
        }
    }

    /// Whether the worker of this name is one of them.
    pub(crate) fn has(&self, worker: &WorkerId) -> bool {
        match self {
            Lost::Worker(lost) => lost == worker,
            Lost::WorkersOf { label } => ItsWorkers::Labelled(label.clone()).has(worker),
            Lost::Everyone => ItsWorkers::All.has(worker),
        }
    }
}

/// Who is gone with an earlier owner of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Its workers, too: nobody holds a lease, as after [`Lost::Everyone`].
    All,
    /// Only who called models. Workers elsewhere have outlived it.
    Callers,
}

/// A task that is to be accepted, with its documents.
#[derive(Clone, Debug)]
pub struct Order {
    /// What the state machine sees of it.
    pub new: NewTask,
    /// What was asked for.
    pub goal: String,
    /// The client's request as it was understood.
    pub request: Document,
    /// What belongs to the plan as a whole.
    pub plan: Document,
    /// For each of `new.steps` what it is to do.
    pub specs: Vec<Document>,
    /// The client's idempotency key and the hash of what it asked for under it.
    pub idempotency: Option<(IdempotencyKey, ContentHash)>,
    /// The conversation that the task belongs to.
    pub session: Option<SessionId>,
}

/// The answer to an accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The task: the new one, or the one that was accepted under the same key before.
    pub task: TaskId,
    /// Where it stands now.
    pub status: TaskStatus,
    /// It was accepted before; this call changed nothing.
    pub replayed: bool,
}

/// What a worker wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Who asks.
    pub worker: WorkerId,
    /// For which arms.
    pub arms: Vec<ArmName>,
    /// At most so many steps.
    pub most: usize,
    /// How long each lease lasts without a heartbeat.
    pub ttl: Millis,
}

/// What a worker gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The leased steps.
    pub granted: Vec<Claimed>,
    /// When there is nothing more now: the moment at which the next step becomes ready by
    /// itself, if one will.
    pub next: Option<Timestamp>,
}

/// A leased step, with all that its worker needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The step.
    pub step: StepId,
    /// Its arm.
    pub arm: ArmName,
    /// Whose task it is.
    pub tenant: TenantId,
    /// What proves the lease.
    pub token: LeaseToken,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the lease was granted.
    pub granted_at: Timestamp,
    /// When it lapses without a heartbeat.
    pub expires_at: Timestamp,
    /// How long the attempt may take.
    pub time_limit: Millis,
    /// What the step is to do.
    pub spec: Document,
    /// The outputs of the steps that it needs, by place.
    pub inputs: Vec<(u16, Document)>,
    /// Where an earlier attempt was.
    pub checkpoint: Option<Document>,
    /// What a person answered to the question that the step goes on from.
    pub answer: Option<Document>,
}

/// A command and its task.
#[derive(Clone, Debug)]
pub struct Directed {
    /// The task.
    pub task: TaskId,
    /// Whose tasks the caller may touch; a worker's report is [`TenantScope::System`], for its
    /// lease fences it.
    pub scope: TenantScope,
    /// What to do.
    pub command: Command,
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Tasks that something was changed in.
    pub tasks: usize,
    /// Steps whose lease had run out or was lost.
    pub lapsed: usize,
    /// Tasks whose deadline had passed.
    pub overdue: usize,
    /// Model calls that nobody settled and that count as spent at their worst case.
    pub presumed: usize,
    /// The tasks of those calls, each once.
    pub presumed_of: Vec<TaskId>,
    /// Tasks found between states: zero in healthy runs.
    pub repaired: usize,
    /// There is something to [`Tasks::roll_up`].
    pub notes: bool,
    /// When the next lease runs out or deadline comes, as far as is known now.
    pub next: Option<Timestamp>,
}

impl Swept {
    /// So many of a task's calls count as spent.
    pub(crate) fn presume(&mut self, task: TaskId, calls: usize) {
        self.presumed += calls;
        if calls > 0 && !self.presumed_of.contains(&task) {
            self.presumed_of.push(task);
        }
    }
}

/// A task, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// What the state machine sees of it.
    pub task: Task,
    /// What was asked for.
    pub goal: String,
    /// The client's request.
    pub request: Document,
    /// What belongs to the plan as a whole, in its last version.
    pub plan: Document,
    /// The conversation that the task belongs to.
    pub session: Option<SessionId>,
    /// The documents of its steps, by place.
    pub steps: Vec<StepRecord>,
}

/// The documents of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// What it is to do. Absent for a planner step that a revision put in.
    pub spec: Option<Document>,
    /// Its result.
    pub output: Option<Document>,
    /// Where its attempt is.
    pub checkpoint: Option<Document>,
    /// What a person answered to the question that it goes on from.
    pub answer: Option<Document>,
    /// Its settled model calls by their numbers; those of one number in the order of settling.
    pub receipts: Vec<Receipt>,
}

impl StepRecord {
    /// The record of a step of which nothing is known but what it is to do.
    #[must_use]
    pub const fn new(spec: Option<Document>) -> Self {
        StepRecord { spec, output: None, checkpoint: None, answer: None, receipts: Vec::new() }
    }
}

/// What is to be known of a settled model call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which of the step's calls it was. A later attempt may have made it again.
    pub number: u32,
    /// The call.
    pub call: CallId,
    /// What is to be known; JSON that begins with `{"presumed":true` when nobody said.
    pub body: Document,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only tasks with this status.
    pub status: Option<TaskStatus>,
    /// Only tasks with a step that failed as `poison`.
    pub poison: bool,
    /// Only tasks with smaller ids: the last id of the page before.
    pub before: Option<TaskId>,
    /// At most so many.
    pub most: usize,
}

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskLine {
    /// The task.
    pub id: TaskId,
    /// Where it stands.
    pub status: TaskStatus,
    /// What was asked for.
    pub goal: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When its first lease was granted.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// No step starts before.
    pub not_before: Option<Timestamp>,
    /// It fails if it has not ended by then.
    pub deadline: Option<Timestamp>,
}

/// What waits and runs for an arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Steps that could be claimed now.
    pub ready: u64,
    /// Steps that are leased.
    pub leased: u64,
    /// Since when the oldest ready step could have been claimed.
    pub oldest: Option<Timestamp>,
    /// Steps that ended (done or failed) in the last whole minute.
    pub ended_last_minute: u64,
}
