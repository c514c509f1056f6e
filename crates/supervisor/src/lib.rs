//! Worker processes on this machine: start, watch, restart with backoff, drain.
//!
//! Promises: a worker that dies is replaced, at first at once and then ever more slowly; every
//! death is told, so that its leases need not be waited for; a drain sends SIGTERM, waits the
//! grace, kills what is left, and leaves no process behind. A worker is told its orders
//! through its standard input, a descriptor that it inherits: no key stands in an argument,
//! in the environment or on the disk. The same descriptor tells it when its supervisor is
//! gone, even by kill -9.
//!
//! Must not know: tasks, leases, HTTP. What an order says is the caller's.

mod backoff;
mod process;

pub use backoff::Backoff;
pub use process::{Lifeline, OrderError, read_order};

use octollm_contract::{Millis, WorkerId};
use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

/// How to start a worker process.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable: normally this one.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// What happens to workers, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A worker process runs.
    Started {
        /// Which run of which worker.
        worker: WorkerId,
        /// Its process.
        pid: u32,
    },
    /// A worker process is gone; its leases are nobody's.
    Gone {
        /// Which run of which worker.
        worker: WorkerId,
        /// How it ended, for people.
        how: String,
    },
}

/// Makes the order for a new run of a worker: the line that its standard input begins with.
pub trait Orders<G>: Send + Sync + 'static {
    /// An order for `worker`, which does the work of `group`.
    fn order(&self, group: &G, worker: &WorkerId) -> impl Future<Output = Result<String, OrderError>> + Send;
}

/// How the names of the workers of a supervisor with this label begin, and no others.
#[must_use]
pub fn names_begin_with(label: &str) -> String {
    format!("{label}-")
}

/// Keeps the workers of some groups running until it is told to drain.
pub struct Supervisor<G, O> {
    /// How a worker is started.
    pub program: Program,
    /// One worker process for each entry.
    pub groups: Vec<G>,
    /// What they are told.
    pub orders: Arc<O>,
    /// What the names of its workers begin with: letters and digits that no other supervisor of the
    /// same store has, for process numbers repeat from host to host.
    pub label: String,
    /// How long a drained worker may take.
    pub grace: Millis,
}

impl<G, O> Supervisor<G, O>
where
    G: Clone + Send + Sync + 'static,
    O: Orders<G>,
{
    /// Runs until `shutdown`, then drains. Returns when no worker process is left.
    pub async fn run(self, shutdown: CancellationToken, happenings: mpsc::Sender<Happening>) {
        let mut keepers = JoinSet::new();
        for (number, group) in self.groups.iter().enumerate() {
            let keeper = Keeper {
                number,
                label: self.label.clone(),
                group: group.clone(),
                program: self.program.clone(),
                orders: Arc::clone(&self.orders),
                grace: self.grace.to_duration(),
                happenings: happenings.clone(),
            };
            keepers.spawn(keeper.run(shutdown.clone()));
        }
        while let Some(ended) = keepers.join_next().await {
            if let Err(panic) = ended {
                tracing::error!(%panic, "a worker's keeper failed");
            }
        }
    }
}

/// Keeps one worker process running.
struct Keeper<G, O> {
    number: usize,
    label: String,
    group: G,
    program: Program,
    orders: Arc<O>,
    grace: Duration,
    happenings: mpsc::Sender<Happening>,
}

impl<G: Send + Sync + 'static, O: Orders<G>> Keeper<G, O> {
    async fn run(self, shutdown: CancellationToken) {
        let mut backoff = Backoff::default();
        for run in 0u64.. {
            if shutdown.is_cancelled() {
                return;
            }
            let began = Instant::now();
            let name =
                format!("{}{}-{}-{run}", names_begin_with(&self.label), std::process::id(), self.number);
            let worker: WorkerId = name.parse().expect("letters, digits and dashes are a worker id");
            let how = self.run_once(&worker, &shutdown).await;
            // Whoever listens may be gone in a shutdown; then nobody needs to know.
            let _listener_may_be_gone =
                self.happenings.send(Happening::Gone { worker: worker.clone(), how: how.clone() }).await;
            if shutdown.is_cancelled() {
                return;
            }
            let lived = Millis::new(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
            let wait = backoff.after(lived);
            tracing::warn!(%worker, how, wait = %wait, "a worker process ended; another one follows");
            tokio::select! {
                () = tokio::time::sleep(wait.to_duration()) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// One process from its start to its end; says how it ended.
    async fn run_once(&self, worker: &WorkerId, shutdown: &CancellationToken) -> String {
        let order = match self.orders.order(&self.group, worker).await {
            Ok(order) => order,
            Err(error) => return format!("no order could be made for it: {error}"),
        };
        let mut process = match process::Process::start(&self.program, &order).await {
            Ok(process) => process,
            Err(error) => return format!("it could not be started: {error}"),
        };
        let started = Happening::Started { worker: worker.clone(), pid: process.pid() };
        let _listener_may_be_gone = self.happenings.send(started).await;
        tokio::select! {
            how = process.ended() => how,
            () = shutdown.cancelled() => process.drain(self.grace).await,
        }
    }
}
