//! P50/P95/P99 of the 202 at a constant arrival rate, against a bare fsynced commit.

use crate::{
    accepts,
    figures::Sample,
    load::{self, Pace},
    postgres, raw,
    server::{LATER, Server},
};
use std::time::Duration;

/// More than ever wait at once at these rates.
const CONNECTIONS: usize = 64;
const FOR: Duration = Duration::from_secs(8);

pub(crate) fn run() -> anyhow::Result<()> {
    compare(&[], || {
        let (_folder, database, id) = accepts::stopped_after_one()?;
        Ok(Sample::of(raw::commits(&database, &id, 3000)?))
    })
}

/// The same over PostgreSQL, fsync on.
pub(crate) fn on_postgres() -> anyhow::Result<()> {
    let server = postgres::server()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let url = postgres::fresh(&server, &runtime)?;
    compare(&[("OCTOLLM_DATABASE_URL", &url)], || {
        let url = postgres::fresh(&server, &runtime)?;
        Ok(Sample::of(runtime.block_on(postgres::bare_commits(&url, 3000))?))
    })
}

fn compare(environment: &[(&str, &str)], commit: impl Fn() -> anyhow::Result<Sample>) -> anyhow::Result<()> {
    let capacity = accepts::over_http_with(environment, CONNECTIONS)?.rate;
    for (name, rate) in [("1,000/s".to_owned(), 1000.0), (format!("30 % of {capacity:.0}/s"), capacity * 0.3)]
    {
        let commit = commit()?;
        let sample = at(rate, environment)?;
        let ratio = sample.at(950).as_secs_f64() / commit.at(950).as_secs_f64();
        println!(
            "a bare fsynced commit of the same rows: {}\nthe 202 at {name}: {}; P95 is {ratio:.1} × the commit's \
             (wanted: at most 4)",
            commit.line(),
            sample.line()
        );
    }
    Ok(())
}

fn at(rate: f64, environment: &[(&str, &str)]) -> anyhow::Result<Sample> {
    let server = Server::start_with(environment)?;
    let pace = Pace::Every(Duration::from_secs_f64(rate.recip()));
    Ok(load::accepts(&server.address, LATER, CONNECTIONS, pace, FOR)?.latencies)
}
