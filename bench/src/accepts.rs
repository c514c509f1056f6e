//! Durable accepts/s over HTTP at 64 connections, against the bare loop.

use crate::{
    figures::rate,
    http::{Connection, submit},
    raw,
    server::{LATER, Server, database},
};
use anyhow::Context;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

const CONNECTIONS: usize = 64;
const FOR: Duration = Duration::from_secs(8);
const RAW_TASKS: usize = 128_000;

pub(crate) fn run() -> anyhow::Result<()> {
    // In turn, twice, so that a slower minute of the machine meets both.
    let mut ratios = Vec::new();
    for _ in 0..2 {
        let bare = bare()?;
        let http = capacity()?;
        println!("over HTTP {http:.0}/s, bare loop in batches of 64 {bare:.0}/s, ratio {:.2}", http / bare);
        ratios.push(http / bare);
    }
    println!("mean ratio {:.2} (wanted: at least 0.75)", ratios.iter().sum::<f64>() / 2.0);
    Ok(())
}

/// Accepts/s of the bare loop.
fn bare() -> anyhow::Result<f64> {
    let (server, database, id) = stopped_after_one()?;
    let took = raw::accepts(&database, &id, RAW_TASKS, 64)?;
    drop(server);
    Ok(rate(RAW_TASKS, took))
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

/// Accepts/s over HTTP.
pub(crate) fn capacity() -> anyhow::Result<f64> {
    let server = Server::start()?;
    let began = Instant::now();
    let until = began + FOR;
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|n| {
            let address = server.address.clone();
            std::thread::spawn(move || -> anyhow::Result<usize> {
                let mut connection = Connection::open(&address)?;
                let mut accepted = 0;
                while Instant::now() < until {
                    let (status, body) = connection.call(&submit(LATER, &format!("bench-{n}-{accepted}")))?;
                    anyhow::ensure!(status == 202, "{status}: {body}");
                    accepted += 1;
                }
                Ok(accepted)
            })
        })
        .collect();
    let mut accepted = 0;
    for thread in threads {
        accepted += thread.join().map_err(|_| anyhow::anyhow!("a connection's thread failed"))??;
    }
    Ok(rate(accepted, began.elapsed()))
}
