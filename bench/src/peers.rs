//! The store on PostgreSQL beside other queues that live there, pg-boss and graphile-worker: single
//! durable accepts, and whole life cycles in batches, on one server in one run, in turn.
//!
//! Each runs as its documentation advises for many tasks; the scripts in `bench/peers` say how. What
//! they need, Node included, comes from npm into the target folder, in the versions of the lock file
//! there. What we store and they do not (events, leases, idempotency keys) is not taken out; what its
//! rows alone cost, a bare loop says.

use crate::{
    figures::rate,
    postgres::{
        self, CYCLES, OUTPUT, REQUEST, bare_cycles, fresh, runtime, server, store_accepts, store_cycles,
    },
};
use anyhow::Context;
use octollm_testkit::postgres::Server;
use serde_json::{Value, json};
use std::{
    fs, io,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

const ROUNDS: u32 = 2;
const WORK: [Work; 3] = [Work::Accepts, Work::Cycles { batch: 100 }, Work::Cycles { batch: 1000 }];
/// Who accept and are answered one task at a time, together.
const CALLERS: u32 = 64;
/// Of the others; fewer than our own, for one by one they take so much longer.
const ACCEPTS: u32 = 16_000;

/// Each with what is wanted of ours, as a multiple of it: single accepts, life cycles. graphile-worker
/// deletes what is finished, and we keep it; to pass it is an aim.
const PEERS: [(&str, f64, f64); 2] = [("pg-boss", 10.0, 1.3), ("graphile-worker", 10.0, 1.0)];

const PACKAGES: &str = include_str!("../peers/package.json");
const FILES: [(&str, &str); 5] = [
    ("package.json", PACKAGES),
    ("package-lock.json", include_str!("../peers/package-lock.json")),
    ("measured.mjs", include_str!("../peers/measured.mjs")),
    ("pg-boss.mjs", include_str!("../peers/pg-boss.mjs")),
    ("graphile-worker.mjs", include_str!("../peers/graphile-worker.mjs")),
];

#[derive(Clone, Copy)]
enum Work {
    Accepts,
    Cycles { batch: u32 },
}

pub(crate) fn run() -> anyhow::Result<()> {
    let scripts = Scripts::install()?;
    let (server, runtime) = (server()?, runtime()?);
    let asked = |name| server.sql("postgres", &format!("SHOW {name}"));
    println!(
        "{}; PostgreSQL {}, fsync {}, synchronous_commit {}",
        scripts.versions()?,
        asked("server_version")?,
        asked("fsync")?,
        asked("synchronous_commit")?
    );
    // In turn, so that a slower minute of the machine meets all.
    for round in 1..=ROUNDS {
        for work in WORK {
            println!("round {round}: {} (load {})", work.words(), load()?);
            let url = fresh(&server, &runtime)?;
            let ours = Measured::of(&server, work.own_count(), || match work {
                Work::Accepts => runtime.block_on(store_accepts(&url, CALLERS)),
                Work::Cycles { batch } => runtime.block_on(store_cycles(&url, batch)),
            })?;
            println!("  {:<16}{}", "ours", ours.line());
            if let Work::Cycles { batch } = work {
                let url = fresh(&server, &runtime)?;
                let bare =
                    Measured::of(&server, CYCLES, || runtime.block_on(bare_cycles(&url, CYCLES, batch)))?;
                println!("  {:<16}{}", "our rows, bare", bare.line());
            }
            for (peer, accepts, cycles) in PEERS {
                let url = server.url(&server.database()?);
                server.sql("postgres", "CHECKPOINT")?;
                let theirs = Measured::of(&server, work.their_count(), || scripts.rate(peer, work, &url))?;
                let wanted = match work {
                    Work::Accepts => accepts,
                    Work::Cycles { .. } => cycles,
                };
                let ratio = ours.rate / theirs.rate;
                println!("  {peer:<16}{}; ours is {ratio:.2} × that (wanted: {wanted})", theirs.line());
            }
        }
    }
    Ok(())
}

impl Work {
    fn words(self) -> String {
        match self {
            Work::Accepts => format!("single durable accepts/s, {CALLERS} in flight"),
            Work::Cycles { batch } => format!("life cycles/s in batches of {batch}"),
        }
    }

    fn own_count(self) -> u32 {
        match self {
            Work::Accepts => postgres::ACCEPTS,
            Work::Cycles { .. } => CYCLES,
        }
    }

    fn their_count(self) -> u32 {
        match self {
            Work::Accepts => ACCEPTS,
            Work::Cycles { .. } => CYCLES,
        }
    }

    /// What a script is told.
    fn argument(self, url: &str) -> anyhow::Result<String> {
        let (what, width) = match self {
            Work::Accepts => ("accepts", CALLERS),
            Work::Cycles { batch } => ("cycles", batch),
        };
        let (request, output): (Value, Value) =
            (serde_json::from_str(REQUEST)?, serde_json::from_str(OUTPUT)?);
        let count = self.their_count();
        Ok(json!({"url": url, "what": what, "count": count, "width": width, "request": request, "output": output})
            .to_string())
    }
}

/// A rate, and what of the server's log it took.
struct Measured {
    rate: f64,
    log_bytes: f64,
    tasks_a_sync: f64,
}

impl Measured {
    /// `measure` does `count` tasks. The log is counted with what is set up before they begin.
    fn of(
        server: &Server,
        count: u32,
        measure: impl FnOnce() -> anyhow::Result<f64>,
    ) -> anyhow::Result<Self> {
        let (bytes, syncs) = log(server)?;
        let rate = measure()?;
        let (bytes_then, syncs_then) = log(server)?;
        let count = f64::from(count);
        let (log_bytes, tasks_a_sync) = ((bytes_then - bytes) / count, count / (syncs_then - syncs));
        Ok(Measured { rate, log_bytes, tasks_a_sync })
    }

    fn line(&self) -> String {
        let Measured { rate, log_bytes, tasks_a_sync } = self;
        format!("{rate:>6.0}/s ({:.1} kB of log each, {tasks_a_sync:.1} a sync)", log_bytes / 1000.0)
    }
}

/// Bytes written to the server's log since it began, and how often it was synced.
fn log(server: &Server) -> anyhow::Result<(f64, f64)> {
    let row = server.sql("postgres", "SELECT wal_bytes, wal_sync FROM pg_stat_wal")?;
    let (bytes, syncs) = row.split_once('|').context("two columns")?;
    Ok((bytes.parse()?, syncs.parse()?))
}

fn load() -> io::Result<String> {
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(load.split(' ').next().unwrap_or_default().to_owned())
}

/// The scripts with what they need, in a folder that cargo calls its own.
struct Scripts(PathBuf);

impl Scripts {
    fn install() -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let folder = own.parent().and_then(|profile| profile.parent()).context("target/<profile>")?;
        let folder = folder.join("bench-peers");
        fs::create_dir_all(&folder)?;
        for (name, text) in FILES {
            fs::write(folder.join(name), text)?;
        }
        println!("npm brings pg-boss, graphile-worker and Node (200 MB) to {}", folder.display());
        let npm = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output();
        let npm = match npm {
            Err(error) if error.kind() == io::ErrorKind::NotFound => anyhow::bail!(
                "npm is not installed, which brings the queues to compare with; any will do: apt-get install npm"
            ),
            npm => npm.context("npm cannot be started")?,
        };
        anyhow::ensure!(
            npm.status.success(),
            "npm could not bring what bench/peers/package-lock.json names; is its registry reachable? It said:\n{}",
            String::from_utf8_lossy(&npm.stderr).trim()
        );
        Ok(Scripts(folder))
    }

    /// The names and versions of what is compared with.
    fn versions(&self) -> anyhow::Result<String> {
        let packages: Value = serde_json::from_str(PACKAGES)?;
        let packages = packages["dependencies"].as_object().context("dependencies")?;
        let node = Command::new(self.node()).arg("--version").output().context(
            "there is no Node for this machine in bench/peers/package.json: x86-64 and aarch64 are named",
        )?;
        let mut line = format!("Node {}", String::from_utf8_lossy(&node.stdout).trim());
        for (name, version) in packages {
            line += &format!(", {name} {}", version.as_str().unwrap_or_default());
        }
        Ok(line)
    }

    fn node(&self) -> PathBuf {
        self.0.join("node_modules/.bin/node")
    }

    /// Tasks a second, as a script measures itself.
    fn rate(&self, peer: &str, work: Work, url: &str) -> anyhow::Result<f64> {
        let ran = Command::new(self.node())
            .arg(format!("{peer}.mjs"))
            .arg(work.argument(url)?)
            .current_dir(&self.0)
            .env("NODE_ENV", "production")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        anyhow::ensure!(ran.status.success(), "{peer} failed ({})", ran.status);
        let said = String::from_utf8_lossy(&ran.stdout);
        let seconds = said.trim().parse().with_context(|| format!("{peer} said {said:?}"))?;
        Ok(rate(work.their_count() as usize, Duration::try_from_secs_f64(seconds)?))
    }
}
