//! Memory of an idle server with its worker, and how it grows with finished tasks.

use crate::{
    http::{Connection, get, submit},
    processes::pss,
    server::{NOW, Server},
};
use std::time::Duration;

/// After these, the caches are as large as they get.
const WARM: usize = 20_000;
const MORE: usize = 100_000;

pub(crate) fn run() -> anyhow::Result<()> {
    let server = Server::start()?;
    let settled = || {
        std::thread::sleep(Duration::from_secs(2));
        pss(server.pid())
    };
    let (idle, processes) = settled()?;
    println!("idle: {:.1} MB PSS over {processes} processes (wanted: at most 40)", megabytes(idle));
    finish(&server, WARM, 1)?;
    println!("after {WARM} finished tasks: {:.1} MB PSS", megabytes(settled()?.0));
    finish(&server, MORE, 2)?;
    println!("after {MORE} more: {:.1} MB PSS", megabytes(settled()?.0));
    Ok(())
}

/// Submits tasks from eight connections and waits until all have ended.
pub(crate) fn finish(server: &Server, tasks: usize, round: usize) -> anyhow::Result<()> {
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let address = server.address.clone();
            std::thread::spawn(move || -> anyhow::Result<()> {
                let mut connection = Connection::open(&address)?;
                for task in 0..tasks / 8 {
                    let (status, body) =
                        connection.call(&submit(NOW, &format!("bench-{round}-{n}-{task}")))?;
                    anyhow::ensure!(status == 202, "{status}: {body}");
                }
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a connection's thread failed"))??;
    }
    // Opened now: the server closes one that is idle for as long as the submits take.
    let mut connection = Connection::open(&server.address)?;
    loop {
        let (_, body) = connection.call(&get("/api/v1/scaling/executor"))?;
        let scaling: serde_json::Value = serde_json::from_str(&body)?;
        if scaling["ready"] == 0 && scaling["leased"] == 0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
fn megabytes(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1024.0
}
