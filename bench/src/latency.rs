//! P50/P95/P99 of the 202 at a constant arrival rate, against a bare fsynced commit.

use crate::{
    accepts,
    figures::Sample,
    http::{Connection, submit},
    raw,
    server::{LATER, Server},
};
use std::time::{Duration, Instant};

const THREADS: u32 = 16;
const FOR: Duration = Duration::from_secs(8);

pub(crate) fn run() -> anyhow::Result<()> {
    let (folder, database, id) = accepts::stopped_after_one()?;
    let commit = Sample::of(raw::commits(&database, &id, 3000)?);
    drop(folder);
    println!("a bare fsynced commit of the same rows: {}", commit.line());
    let capacity = accepts::capacity()?;
    for (name, rate) in [("1,000/s".to_owned(), 1000.0), (format!("30 % of {capacity:.0}/s"), capacity * 0.3)]
    {
        let sample = at(rate)?;
        let ratio = sample.at(950).as_secs_f64() / commit.at(950).as_secs_f64();
        println!(
            "the 202 at {name}: {}; P95 is {ratio:.1} × the commit's (wanted: at most 4)",
            sample.line()
        );
    }
    Ok(())
}

/// Latencies at `rate` accepts/s, counted from the moment at which each was due, so that a
/// generator that falls behind cannot hide it (coordinated omission, Tene).
fn at(rate: f64) -> anyhow::Result<Sample> {
    let server = Server::start()?;
    let every = Duration::from_secs_f64(f64::from(THREADS) / rate);
    let began = Instant::now() + Duration::from_millis(50);
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let address = server.address.clone();
            std::thread::spawn(move || -> anyhow::Result<Vec<Duration>> {
                let mut connection = Connection::open(&address)?;
                let mut due = began + every.mul_f64(f64::from(n) / f64::from(THREADS));
                let mut all = Vec::new();
                while due < began + FOR {
                    // Sleep short of the moment, then spin: the kernel's timer slack is 50 µs.
                    std::thread::sleep(
                        due.saturating_duration_since(Instant::now())
                            .saturating_sub(Duration::from_micros(80)),
                    );
                    let (status, body) =
                        connection.call(&submit(LATER, &format!("bench-{n}-{}", all.len())))?;
                    anyhow::ensure!(status == 202, "{status}: {body}");
                    all.push(Instant::now().saturating_duration_since(due));
                    due += every;
                }
                Ok(all)
            })
        })
        .collect();
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.join().map_err(|_| anyhow::anyhow!("a connection's thread failed"))??);
    }
    Ok(Sample::of(all))
}
