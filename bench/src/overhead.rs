//! Submit to completed of a one-step task whose arm does nothing: what the system itself costs.

use crate::figures::Sample;
use octollm_access::Policy;
use octollm_arms::{Arm, Worker, WorkerSettings, bench::NullArm};
use octollm_artefacts::Artefacts;
use octollm_contract::{ArmName, Millis, api::SubmitTask};
use octollm_orchestrator::{App, Caller, LocalLeases, Parts, Settings};
use octollm_store::{
    OsEntropy, Seen, SystemClock,
    sqlite::{Options, SqliteStore},
};
use std::{sync::Arc, time::Instant};
use tokio_util::sync::CancellationToken;

const TASKS: usize = 1000;

pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let sample = runtime.block_on(measure())?;
    println!("submit to completed, one step, durable, in one process: {}", sample.line());
    Ok(())
}

async fn measure() -> anyhow::Result<Sample> {
    let folder = tempfile::Builder::new().prefix("octollm-bench-").tempdir_in(".")?;
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    let store = SqliteStore::open(folder.path(), clock.clone(), entropy.clone(), Options::default())?;
    let artefacts = Artefacts::in_folder(&folder.path().join("artefacts"), 1 << 20)?;
    let parts = Parts { store: Arc::new(store), artefacts, clock, entropy };
    let app = App::new(parts, Settings::default());
    let settings = WorkerSettings {
        worker: "bench".parse()?,
        leased_from: "this process".to_owned(),
        slots: 4,
        poll: Millis::from_secs(5),
        grace: Millis::ZERO,
    };
    let shutdown = CancellationToken::new();
    let leases = Arc::new(LocalLeases::new(Arc::clone(&app)));
    let arm: Arc<dyn Arm> = Arc::new(NullArm(ArmName::Executor));
    let worker = Worker::new(leases, [arm], settings);
    let working = tokio::spawn(worker.run(shutdown.clone()));
    let caller = Caller::local(Policy::default_admin());
    let mut all = Vec::with_capacity(TASKS);
    for _ in 0..TASKS {
        let request: SubmitTask = serde_json::from_str(r#"{"goal":"Count the files in /tmp"}"#)?;
        let began = Instant::now();
        let task = app.submit(&caller, request, None).await?.task;
        let view = app.task_after(&caller, Seen::NOTHING, task, Millis::from_secs(30)).await?;
        anyhow::ensure!(view.status.is_terminal(), "{task} has not ended");
        all.push(began.elapsed());
    }
    shutdown.cancel();
    app.drain();
    working.await?;
    Ok(Sample::of(all))
}
