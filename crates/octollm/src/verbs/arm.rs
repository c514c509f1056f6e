//! `octollm serve --role arm:<name>`: a worker for some arms, alone on its machine or beside others,
//! that leases from orchestrators over the network.
//!
//! Promises: it holds an arm key and step tokens, and no data of the orchestrators'; SIGTERM drains
//! it; what a killed one leaves behind is removed by the next one on the same folder.

use super::{Usage, data, drawn, log, run, signals};
use crate::{config::Config, show};
use anyhow::Context;
use octollm_arms::{Worker, WorkerSettings};
use octollm_client::http::HttpLeases;
use octollm_contract::{ArmName, Millis, WorkerId, names::PRIVATE_FOLDER};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

/// How long a long poll for steps waits. A drain waits for its answer: nobody may lose the steps that
/// it brings.
const POLL: Millis = Millis::from_secs(5);

pub(super) fn serve(config: &Config, arms: &BTreeSet<ArmName>) -> anyhow::Result<ExitCode> {
    log::configured(config)?;
    super::runtime(2)?.block_on(serving(config, arms))
}

async fn serving(config: &Config, wanted: &BTreeSet<ArmName>) -> anyhow::Result<ExitCode> {
    let shutdown = signals::shutdown()?;
    if config.orchestrators.is_empty() {
        return Err(usage(
            "an arm needs to know its orchestrators: set orchestrators, such as http://10.0.0.1:8412 (OCTOLLM_ORCHESTRATORS)",
        ));
    }
    let Some(key) = config.arm_key.clone() else {
        return Err(usage(
            "an arm needs a key of the role arm: make one with `octollm keys create --role arm` and set arm_key (OCTOLLM_ARM_KEY)",
        ));
    };
    let folder = data::folder(config)?;
    let worker = worker_id();
    let place = Place::take(&folder, &worker)?;
    let mut arms = run::arms(&place.scratch, data::closed(&folder, config));
    arms.retain(|arm| wanted.contains(&arm.name()));
    // Drawn, so that the workers of a fleet spread over the orchestrators.
    let first = usize::try_from(drawn() >> 32)?;
    let leases = HttpLeases::over(&config.orchestrators, key, first, &config.arm_tls.load()?)?;
    let names: Vec<&str> = wanted.iter().map(|arm| arm.as_str()).collect();
    show::line(&format!(
        "worker {worker} for {} leases from {}",
        names.join(", "),
        config.orchestrators.join(", ")
    ));
    let leased_from =
        format!("{} (setting orchestrators, OCTOLLM_ORCHESTRATORS)", config.orchestrators.join(", "));
    let (slots, grace) = (config.slots, config.drain_grace);
    let settings = WorkerSettings { worker, leased_from, slots, poll: POLL, grace };
    Worker::new(Arc::new(leases), arms, settings).run(shutdown).await;
    Ok(ExitCode::SUCCESS)
}

fn usage(why: &str) -> anyhow::Error {
    Usage(why.to_owned()).into()
}

/// One run of this process: a pod that restarts under the same name is another worker.
fn worker_id() -> WorkerId {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String =
        host.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).take(60).collect();
    format!("{host}:{:016x}", drawn())
        .parse()
        .expect("it has the characters of a worker's id, and not too many")
}

/// Where this worker's steps work: a folder of its own, held by a lock beside it.
struct Place {
    scratch: PathBuf,
    lock: PathBuf,
    _held: File,
}

impl Place {
    fn take(data: &Path, worker: &WorkerId) -> anyhow::Result<Self> {
        let all = data.join("arms");
        fs::create_dir_all(&all).with_context(|| format!("{} cannot be made", all.display()))?;
        let all = fs::canonicalize(&all)?;
        // What lies in it is other tenants' to the tools of a step.
        let marked = File::options().append(true).create(true).open(all.join(PRIVATE_FOLDER));
        marked.with_context(|| format!("{} cannot be used", all.display()))?;
        // One at a time: a lock that is made and not held yet looks abandoned.
        let turn = Turn::take(&all)?;
        remove_abandoned(&all)?;
        let lock = all.join(format!("{worker}.lock"));
        let held = File::create_new(&lock).with_context(|| format!("{} cannot be made", lock.display()))?;
        held.try_lock().with_context(|| format!("{} cannot be locked", lock.display()))?;
        let scratch = all.join(worker.as_str());
        fs::create_dir(&scratch).with_context(|| format!("{} cannot be made", scratch.display()))?;
        drop(turn);
        Ok(Place { scratch, lock, _held: held })
    }
}

/// The right to make and remove places below a folder; it goes with its file, so that nothing is left of it.
///
/// Only who holds the lock on the file that has the name removes the name. Who has waited on a file that was
/// removed meanwhile holds a lock that says nothing, and takes the file that has the name now.
struct Turn {
    path: PathBuf,
    _held: File,
}

impl Turn {
    fn take(all: &Path) -> anyhow::Result<Self> {
        let path = all.join(".lock");
        loop {
            let held = File::create(&path).with_context(|| format!("{} cannot be used", all.display()))?;
            held.lock().with_context(|| format!("{} cannot be locked", all.display()))?;
            let file = held.metadata().with_context(|| format!("{} cannot be used", all.display()))?;
            let has_the_name = |named: fs::Metadata| (named.dev(), named.ino()) == (file.dev(), file.ino());
            if fs::metadata(&path).is_ok_and(has_the_name) {
                return Ok(Turn { path, _held: held });
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // While it is held. What stays is an empty file that the next turn takes.
        let _removed = fs::remove_file(&self.path);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for removed in [fs::remove_dir_all(&self.scratch), fs::remove_file(&self.lock)] {
            if let Err(error) = removed {
                tracing::warn!(%error, folder = %self.scratch.display(), "a worker's folder is left behind");
            }
        }
    }
}

/// Removes the folders of workers that are gone: those whose lock is free.
fn remove_abandoned(all: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(all)?.flatten() {
        let lock = entry.path();
        if lock.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(file) = File::open(&lock) else { continue };
        if file.try_lock().is_err() {
            continue;
        }
        // The folder first: without its lock nobody would find it.
        let folder = lock.with_extension("");
        if folder.exists()
            && let Err(error) = fs::remove_dir_all(&folder)
        {
            tracing::warn!(%error, folder = %folder.display(), "an abandoned folder is left behind");
            continue;
        }
        let _another_was_faster = fs::remove_file(&lock);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_place_is_its_workers_and_goes_with_it() {
        let data = tempfile::tempdir().unwrap();
        let (one, two) = ("host:1".parse().unwrap(), "host:2".parse().unwrap());
        let first = Place::take(data.path(), &one).unwrap();
        let second = Place::take(data.path(), &two).unwrap();
        assert!(first.scratch.is_dir() && second.scratch.is_dir());
        let gone = first.scratch.clone();
        drop(first);
        assert!(!gone.exists());
        // As one that was killed: its lock is free, its folder there.
        let abandoned = data.path().join("arms/host.3");
        fs::create_dir(&abandoned).unwrap();
        File::create_new(data.path().join("arms/host.3.lock")).unwrap();
        let third = Place::take(data.path(), &one).unwrap();
        assert!(!abandoned.exists() && second.scratch.is_dir());
        drop((second, third));
        let left: Vec<_> = fs::read_dir(data.path().join("arms")).unwrap().collect();
        // The mark that no tool goes into it (P7).
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(data.path().join("arms").join(PRIVATE_FOLDER).exists());
    }

    /// The file goes with each turn, and still there is one at a time: also for those who have waited on a file
    /// that is gone.
    #[test]
    fn turns_are_taken_one_at_a_time_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let inside = AtomicU32::new(0);
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    for _ in 0..200 {
                        let _turn = Turn::take(folder.path()).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two have a turn");
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
