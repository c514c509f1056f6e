//! What is particular to this store; what every store promises is in the suite.

mod batches;
mod calls;
mod durable;
mod migrated;
mod plans;
mod queue;
mod requests;
mod usage;

use super::{OpenError, Options, SqliteStore};
use crate::samples;
use crate::{Clock, Directed, OsEntropy, Tasks, Wanted};
use octollm_access::TenantScope;
use octollm_contract::{ArmName, Document, LeaseToken, Millis, StepId, Timestamp};
use octollm_lifecycle::Command;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// A clock that tests set.
#[derive(Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A store in a folder of its own.
struct Bench {
    store: SqliteStore,
    clock: Arc<Hands>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hands(AtomicI64::new(10_000)));
        let store = open(&folder, &clock);
        Bench { store, clock, folder }
    }

    fn reopen(self) -> Self {
        drop(self.store);
        Bench { store: open(&self.folder, &self.clock), clock: self.clock, folder: self.folder }
    }

    fn advance(&self, by: Millis) {
        self.clock.0.fetch_add(i64::try_from(by.get()).unwrap(), Ordering::Relaxed);
    }

    /// A connection beside the store's, to break things with.
    fn side(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("tasks.sqlite3")).unwrap()
    }

    async fn claim(&self, most: usize) -> Vec<crate::Claimed> {
        self.store.claim(wanted(most)).await.unwrap().granted
    }
}

fn open(folder: &tempfile::TempDir, clock: &Arc<Hands>) -> SqliteStore {
    let mut opened = None;
    // A program that another test starts holds the lock of a store that was closed, until it has begun.
    octollm_testkit::poll_until(std::time::Duration::from_secs(30), || {
        let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
        let tried = SqliteStore::open(folder.path(), clock, Arc::new(OsEntropy), Options::default());
        let in_use = matches!(tried, Err(OpenError::InUse { .. }));
        opened = Some(tried);
        !in_use
    });
    opened.expect("it was tried").unwrap()
}

fn wanted(most: usize) -> Wanted {
    Wanted { worker: "w1".parse().unwrap(), arms: vec![ArmName::Executor], most, ttl: Millis::from_secs(30) }
}

fn complete(step: StepId, token: LeaseToken) -> Directed {
    let command = Command::Complete {
        place: step.place,
        token,
        output: Document::from_json(r#"{"text":"done"}"#),
        artefacts: vec![],
        verdict: None,
    };
    Directed { task: step.task, scope: TenantScope::System, command }
}
