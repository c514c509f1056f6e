//! P50/P95/P99 of the 202 at a constant arrival rate, against a bare fsynced commit.

use crate::{
    accepts,
    figures::Sample,
    load::{self, Pace},
    raw,
    server::{LATER, Server},
};
use std::time::Duration;

/// More than ever wait at once at these rates.
const CONNECTIONS: usize = 64;
const FOR: Duration = Duration::from_secs(8);

pub(crate) fn run() -> anyhow::Result<()> {
    let capacity = accepts::over_http()?.rate;
    for (name, rate) in [("1,000/s".to_owned(), 1000.0), (format!("30 % of {capacity:.0}/s"), capacity * 0.3)]
    {
        let commit = commit()?;
        let sample = at(rate)?;
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

fn commit() -> anyhow::Result<Sample> {
    let (_folder, database, id) = accepts::stopped_after_one()?;
    Ok(Sample::of(raw::commits(&database, &id, 3000)?))
}

fn at(rate: f64) -> anyhow::Result<Sample> {
    let server = Server::start()?;
    let pace = Pace::Every(Duration::from_secs_f64(rate.recip()));
    Ok(load::accepts(&server.address, LATER, CONNECTIONS, pace, FOR)?.latencies)
}
