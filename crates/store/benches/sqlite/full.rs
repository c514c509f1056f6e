//! Whether what has ended slows what is asked: the same calls on an empty store and on one
//! with 100,000 finished tasks.

use super::{bare, order, say};
use octollm_access::TenantScope;
use octollm_contract::{ArmName, Millis, TaskId, api::TaskStatus};
use octollm_store::{Listing, TaskReads, Tasks, Wanted, sqlite::SqliteStore};
use std::{
    path::Path,
    time::{Duration, Instant},
};

const FINISHED: u32 = 100_000;
const CALLS: usize = 300;

/// Prints the median of each call without and with finished tasks.
pub(crate) async fn compare(folder: &Path) {
    let empty = measure(&super::open(&folder.join("empty"))).await;
    let full = folder.join("full");
    drop(super::open(&full));
    bare::fill(&full, FINISHED);
    let full = measure(&super::open(&full)).await;
    for ((what, without), (_, with)) in empty.into_iter().zip(full) {
        say(&format!("{what}: {without:?} with none finished, {with:?} with {FINISHED}"));
    }
}

async fn measure(store: &SqliteStore) -> Vec<(&'static str, Duration)> {
    let scope = TenantScope::Only("default".parse().expect("a tenant"));
    let (mut accepts, mut claims, mut reads, mut lists, mut none_failed) =
        (vec![], vec![], vec![], vec![], vec![]);
    let wanted = Wanted {
        worker: "worker-1".parse().expect("a worker"),
        arms: vec![ArmName::Executor],
        most: 1,
        ttl: Millis::from_secs(30),
    };
    let page = Listing { most: 50, ..Listing::default() };
    let failed = Listing { status: Some(TaskStatus::Failed), ..page.clone() };
    for n in 0..CALLS {
        let start = Instant::now();
        let number = FINISHED + u32::try_from(n).expect("a small number");
        let task: TaskId = store.accept(order(number, 7)).await.expect("accepted").task;
        accepts.push(start.elapsed());
        let start = Instant::now();
        assert_eq!(store.claim(wanted.clone()).await.expect("claimed").granted.len(), 1);
        claims.push(start.elapsed());
        let start = Instant::now();
        assert!(store.task(task, &scope).await.expect("read").is_some());
        reads.push(start.elapsed());
        let start = Instant::now();
        assert!(!store.list(&scope, &page).await.expect("listed").is_empty());
        lists.push(start.elapsed());
        let start = Instant::now();
        assert!(store.list(&scope, &failed).await.expect("listed").is_empty());
        none_failed.push(start.elapsed());
    }
    let median = |mut all: Vec<Duration>| {
        all.sort_unstable();
        all[CALLS / 2]
    };
    vec![
        ("accept", median(accepts)),
        ("claim of one", median(claims)),
        ("read of a task", median(reads)),
        ("list of 50", median(lists)),
        ("list of failed ones, none there", median(none_failed)),
    ]
}
