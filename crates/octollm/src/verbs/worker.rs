//! `octollm worker`: a worker process, started by the supervisor of `serve`. Its orders come
//! on standard input; it ends when it is told to (SIGTERM) or when its supervisor is gone.

use super::{log, run, signals};
use anyhow::Context;
use octollm_access::ApiKey;
use octollm_arms::{Worker, WorkerSettings};
use octollm_client::http::HttpLeases;
use octollm_contract::{ArmName, Millis, WorkerId};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, process::ExitCode, sync::Arc};

/// What a worker is told, as one line of JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    /// Where the orchestrator is.
    pub(super) url: String,
    /// The arm key for this run.
    pub(super) key: String,
    /// Who the worker is.
    pub(super) worker: WorkerId,
    /// Which arms' steps it takes.
    pub(super) arms: Vec<ArmName>,
    /// How many at once.
    pub(super) slots: u16,
    /// How long a drain may take.
    pub(super) grace: Millis,
    /// Where workspaces of steps lie while they run.
    pub(super) scratch: PathBuf,
    /// The server's folders, which no program of a step may read.
    pub(super) closed: Vec<PathBuf>,
    /// The log's filter.
    pub(super) log: String,
    /// The log as JSON lines.
    pub(super) log_json: bool,
}

/// How long a long poll for steps waits.
const POLL: Millis = Millis::from_secs(20);

pub(super) fn work() -> anyhow::Result<ExitCode> {
    // Two threads, so that a step that computes for a moment does not hold up the heartbeats of
    // the others; what may compute long, and what blocks, has threads of its own.
    super::runtime(2)?.block_on(working())
}

async fn working() -> anyhow::Result<ExitCode> {
    let (order, lifeline) = octollm_supervisor::read_order().await?;
    let order: Order = serde_json::from_str(&order).context("the order cannot be read")?;
    log::start(&order.log, order.log_json)?;
    let key: ApiKey = order.key.parse().context("the order's key cannot be read")?;
    let mut arms = run::arms(&order.scratch, order.closed);
    arms.retain(|arm| order.arms.contains(&arm.name()));
    let leased_from = format!("{}, the server that started this process", order.url);
    let leases = HttpLeases::new(&[order.url], key, 0)?;
    let (worker, slots, grace) = (order.worker, order.slots, order.grace);
    let settings = WorkerSettings { worker, leased_from, slots, poll: POLL, grace };
    let shutdown = signals::shutdown()?;
    let worker = Worker::new(Arc::new(leases), arms, settings).run(shutdown);
    tokio::select! {
        () = worker => Ok(ExitCode::SUCCESS),
        // Killed with SIGKILL, the supervisor said nothing; whatever is reported now is fenced.
        // Leaving the function drops the running steps, and their rooms with them.
        () = lifeline.cut() => Ok(ExitCode::from(1)),
    }
}
