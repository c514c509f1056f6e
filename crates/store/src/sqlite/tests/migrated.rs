//! What earlier versions wrote is read for ever.

use super::{Bench, Hands, open, samples, wanted};
use crate::{TaskReads, Tasks};
use octollm_access::TenantScope;
use octollm_contract::{Document, Timestamp};
use octollm_lifecycle::{Awaits, Budget, Command, Given, Ledger, StepState, TaskState};
use std::sync::{Arc, atomic::AtomicI64};

/// A data folder as schema 1 left it: a task that waits for an approval, and one that is done.
const VERSION_1: &str = include_str!("version_1.sql");

fn old() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let side = rusqlite::Connection::open(folder.path().join("tasks.sqlite3")).unwrap();
    side.execute_batch(include_str!("../migrations/0001_start.sql")).unwrap();
    side.execute_batch(VERSION_1).unwrap();
    drop(side);
    let clock = Arc::new(Hands(AtomicI64::new(10_000)));
    let store = open(&folder, &clock);
    Bench { store, clock, folder }
}

/// P1, P4: an accepted task outlives the version that accepted it.
#[tokio::test]
async fn rows_of_version_1_are_read_and_worked_on() {
    let bench = old();
    let read = async |n| bench.store.task(samples::id(n), &TenantScope::System).await.unwrap().unwrap();
    let waiting = read(1).await;
    assert_eq!(waiting.task.state, TaskState::Waiting { place: 0 });
    assert_eq!(waiting.task.steps[0].awaits, Awaits::Approval);
    assert_eq!(waiting.task.steps[1].awaits, Awaits::Nothing);
    assert_eq!(waiting.task.ledger, Ledger::granting(Budget::UNLIMITED));
    assert_eq!((waiting.task.questions, waiting.session), (0, None));
    assert_eq!(waiting.steps[1].spec, Some(Document::from_json(r#"{"step":1}"#)));
    let done = read(2).await;
    assert_eq!(done.task.state, TaskState::Completed { at: Timestamp::from_millis(3000) });
    assert_eq!(done.steps[0].output, Some(Document::from_json(r#"{"text":"done"}"#)));
    let approve = crate::Directed {
        task: samples::id(1),
        scope: TenantScope::System,
        command: Command::Input(Given::Approve { place: 0 }),
    };
    bench.store.decide(vec![approve]).await.remove(0).unwrap();
    let claimed = bench.store.claim(wanted(5)).await.unwrap().granted;
    assert_eq!(claimed.len(), 1);
    assert!(matches!(read(1).await.task.steps[0].state, StepState::Leased(_)));
    assert_eq!(bench.store.sweep(10, None).await.unwrap().repaired, 0);
    assert_eq!(bench.store.prune(Timestamp::from_millis(9000), 10).await.unwrap(), 1);
}
