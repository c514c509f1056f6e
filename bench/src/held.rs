//! What a transaction that is held open does to claims on PostgreSQL, at a steady rate of tasks.

use crate::{
    figures::Sample,
    postgres::{claim_and_complete, connect, fresh, order, runtime, server, store},
};
use octollm_store::{Tasks, postgres::PostgresStore};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How fast tasks come, for how long, and how long the transaction is held open.
const RATE: u32 = 1000;
const BEFORE: Duration = Duration::from_secs(60);
const HELD_FOR: Duration = Duration::from_secs(120);
/// As often as an orchestrator sweeps that nobody wakes.
const SWEEP_EVERY: Duration = Duration::from_secs(3);

pub(crate) fn run() -> anyhow::Result<()> {
    let (server, runtime) = (server()?, runtime()?);
    let url = fresh(&server, &runtime)?;
    runtime.block_on(held_open(&url))
}

/// Claims at 1,000 tasks/s, first as they are, then beside a transaction that holds an old snapshot.
async fn held_open(url: &str) -> anyhow::Result<()> {
    let store = store(url).await?;
    let sweeping = sweep(Arc::clone(&store));
    let before = claims_at_rate(&store, BEFORE, 1).await?;
    let holder = connect(url).await?;
    holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM octollm.task").await?;
    let beside = claims_at_rate(&store, HELD_FOR, 2).await?;
    holder.batch_execute("COMMIT").await?;
    anyhow::ensure!(!sweeping.is_finished(), "a sweep failed");
    sweeping.abort();
    println!(
        "claims at {RATE}/s: {}; beside a transaction held open for {HELD_FOR:?}: {}; P99 ratio {:.1} (wanted: at most 3)",
        before.line(),
        beside.line(),
        beside.at(990).as_secs_f64() / before.at(990).as_secs_f64()
    );
    Ok(())
}

/// What an orchestrator does beside.
fn sweep(store: Arc<PostgresStore>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let (Ok(true), Ok(swept), Ok(_)) =
            (store.leads().await, store.sweep(256, None).await, store.bury().await)
        {
            if swept.notes && store.roll_up(2000).await.is_err() {
                return;
            }
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    })
}

async fn claims_at_rate(store: &Arc<PostgresStore>, length: Duration, client: u32) -> anyhow::Result<Sample> {
    let clock = store.clock();
    let accepting = {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let began = Instant::now();
            let mut n = 0;
            while began.elapsed() < length {
                let wave = (0..RATE / 50).map(|at| store.accept(order(n + at, client, &*clock)));
                for accepted in futures_util::future::join_all(wave).await {
                    accepted?;
                }
                n += RATE / 50;
                let due = Duration::from_millis(u64::from(n) * 1000 / u64::from(RATE));
                tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
            }
            anyhow::Ok(())
        })
    };
    let mut took = Vec::new();
    while !accepting.is_finished() {
        let (count, claim) = claim_and_complete(store, 64).await?;
        if count > 0 {
            took.push(claim);
        } else {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    accepting.await??;
    while claim_and_complete(store, 64).await?.0 > 0 {}
    Ok(Sample::of(took))
}
