//! What 100 workers cost that wait for work, and nobody sends any: an orchestrator over PostgreSQL.

use crate::{postgres, processes, server};
use anyhow::Context;
use octollm_client::{LeaseAsk, Leases as _, http::HttpLeases};
use octollm_contract::{ArmName, Edition, Millis};
use std::{sync::Arc, time::Duration};

const WORKERS: usize = 100;
const FOR: Duration = Duration::from_secs(30);
/// Until all wait.
const SETTLED: Duration = Duration::from_secs(5);
/// As an arm waits.
const WAIT: Millis = Millis::from_secs(30);

pub(crate) fn run() -> anyhow::Result<()> {
    let database = postgres::server()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let url = postgres::fresh(&database, &runtime)?;
    let server =
        server::Server::start_with(&[("OCTOLLM_DATABASE_URL", &url), ("OCTOLLM_ROLE", "orchestrator")])?;
    let key = server.arm_key()?;
    runtime.block_on(async {
        let base = format!("http://{}", server.address);
        let mut waiting = Vec::new();
        for number in 0..WORKERS {
            let leases = Arc::new(HttpLeases::new(std::slice::from_ref(&base), key.clone(), number)?);
            waiting.push(tokio::spawn(async move {
                loop {
                    let ask = LeaseAsk {
                        worker: format!("bench-{number}").parse()?,
                        arms: vec![ArmName::Executor],
                        tools: [].into(),
                        most: 1,
                        wait: WAIT,
                        reads: Edition::NEWEST,
                    };
                    let given = leases.lease(ask).await?;
                    anyhow::ensure!(given.is_empty(), "there is no task");
                }
                #[expect(unreachable_code, reason = "it names the type of the error")]
                anyhow::Ok(())
            }));
        }
        tokio::time::sleep(SETTLED).await;
        let client = postgres::connect(&url).await?;
        let statements = async || {
            // What this connection asks is no more than a few of them.
            client.execute("SELECT pg_stat_clear_snapshot()", &[]).await?;
            let row = client
                .query_one("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()", &[])
                .await?;
            anyhow::Ok(row.try_get::<_, i64>(0)?)
        };
        let postgres = database.pid().context("PostgreSQL runs")?.as_raw_nonzero().get();
        let postgres = u32::try_from(postgres).context("a process's id")?;
        let cpu = || anyhow::Ok((processes::cpu(server.pid())?, processes::cpu(postgres)?));
        let (asked, before) = (statements().await?, cpu()?);
        tokio::time::sleep(FOR).await;
        let (asked, after) = (statements().await? - asked, cpu()?);
        if let Some(ended) = waiting.iter().position(tokio::task::JoinHandle::is_finished) {
            waiting.swap_remove(ended).await?.context("a worker does not wait")?;
        }
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
        let per_second = |figure: f64| figure / FOR.as_secs_f64();
        let percent = |before: Duration, after: Duration| {
            100.0 * per_second(after.saturating_sub(before).as_secs_f64())
        };
        println!(
            "{WORKERS} workers wait: {:.1} transactions/s, {:.2} % of a processor for the server, {:.2} % for PostgreSQL",
            per_second(f64::from(i32::try_from(asked)?)),
            percent(before.0, after.0),
            percent(before.1, after.1)
        );
        Ok(())
    })
}
