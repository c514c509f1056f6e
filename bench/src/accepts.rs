//! Durable accepts/s over HTTP at 64 connections, against the bare loop.

use crate::{
    figures::rate,
    http::{Connection, submit},
    load::{self, Pace},
    processes, raw,
    server::{LATER, Server, database},
};
use anyhow::Context;
use std::{path::PathBuf, time::Duration};

const CONNECTIONS: usize = 64;
const FOR: Duration = Duration::from_secs(8);
const ROUNDS: u32 = 3;
const RAW_TASKS: usize = 128_000;

/// A rate and what of it took how much processor time.
pub(crate) struct Accepts {
    pub(crate) rate: f64,
    pub(crate) cpu: String,
}

pub(crate) fn run() -> anyhow::Result<()> {
    // In turn, so that a slower minute of the machine meets both.
    let mut ratios = 0.0;
    for _ in 0..ROUNDS {
        let bare = bare()?;
        let http = over_http()?;
        let ratio = http.rate / bare.rate;
        println!(
            "over HTTP {:.0}/s ({}), bare loop in batches of 64 {:.0}/s ({}), ratio {ratio:.2}",
            http.rate, http.cpu, bare.rate, bare.cpu
        );
        ratios += ratio;
    }
    println!("mean ratio {:.2} (wanted: at least 0.75)", ratios / f64::from(ROUNDS));
    Ok(())
}

/// Accepts/s of the bare loop.
fn bare() -> anyhow::Result<Accepts> {
    let (_folder, database, id) = stopped_after_one()?;
    let before = processes::cpu_of_this_thread()?;
    let took = raw::accepts(&database, &id, RAW_TASKS, 64)?;
    let cpu = processes::cpu_of_this_thread()?.saturating_sub(before);
    Ok(Accepts { rate: rate(RAW_TASKS, took), cpu: format!("CPU {} µs each", each(cpu, RAW_TASKS)) })
}

/// A data folder whose server has stopped after one accept.
pub(crate) fn stopped_after_one() -> anyhow::Result<(tempfile::TempDir, PathBuf, [u8; 16])> {
    let mut server = Server::start()?;
    let (status, body) = Connection::open(&server.address)?.call(&submit(LATER, "bench-0"))?;
    anyhow::ensure!(status == 202, "{status}: {body}");
    let task: serde_json::Value = serde_json::from_str(&body)?;
    let id = raw::id_bytes(task["task_id"].as_str().context("a task id")?)?;
    let folder = server.stop_and_keep()?;
    let database = database(&folder.path().join("data"))?;
    Ok((folder, database, id))
}

/// As many accepts over HTTP as there can be.
pub(crate) fn over_http() -> anyhow::Result<Accepts> {
    over_http_with(&[], CONNECTIONS)
}

/// The same over so many connections, of a server with more variables in its environment.
pub(crate) fn over_http_with(environment: &[(&str, &str)], connections: usize) -> anyhow::Result<Accepts> {
    let server = Server::start_with(environment)?;
    let before = processes::cpu(server.pid())?;
    let seen = load::accepts(&server.address, LATER, connections, Pace::Saturating, FOR)?;
    let cpu = processes::cpu(server.pid())?.saturating_sub(before);
    let count = seen.latencies.count();
    let (server, generator) = (each(cpu, count), each(seen.own_cpu, count));
    Ok(Accepts {
        rate: rate(count, seen.took),
        cpu: format!("CPU {server} µs each and {generator} µs for the generator"),
    })
}

fn each(cpu: Duration, count: usize) -> u128 {
    cpu.as_micros() / (count as u128).max(1)
}
