//! The folder of a run, removed at its end; and those of runs that were killed, removed by the next.

use super::data;
use anyhow::Context;
use octollm_contract::names::PRIVATE_FOLDER;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

const PREFIX: &str = ".octollm-run-";
/// Whoever runs holds a lock on this file in the folder.
const LOCK: &str = "lock";
/// Where less is free, a run may not even begin.
const FREE_BYTES: u64 = 16 << 20;
/// A younger folder may not be locked yet.
const YOUNG: Duration = Duration::from_secs(60);

/// A folder that is removed when it is dropped.
pub(super) struct Temporary {
    folder: tempfile::TempDir,
    _lock: File,
}

impl Temporary {
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn close(self) -> std::io::Result<()> {
        self.folder.close()
    }
}

/// A folder in the user's cache: not among the files of `/tmp`, which goals speak of, if it can be helped.
pub(super) fn folder() -> anyhow::Result<Temporary> {
    let cache = match (std::env::var_os("XDG_CACHE_HOME"), data::home()) {
        (Some(cache), _) if !cache.is_empty() => Some(PathBuf::from(cache)),
        (_, home) => home.map(|home| home.join(".cache")),
    };
    let cached = cache.filter(|cache| fs::create_dir_all(cache).is_ok() && !is_full(cache));
    let cached = cached.and_then(|cache| make(&cache).ok());
    match cached {
        Some(made) => Ok(made),
        None => {
            let temporary = std::env::temp_dir();
            make(&temporary).with_context(|| {
                format!(
                    "no folder for the run can be made in {}: make room there, name another one in TMPDIR, or keep \
                     the run's data with --data",
                    temporary.display()
                )
            })
        }
    }
}

/// Whether the disk of this folder has no room for a run. Of one that does not say how large it is nothing is known.
fn is_full(folder: &Path) -> bool {
    let disk = rustix::fs::statvfs(folder);
    disk.is_ok_and(|disk| disk.f_blocks > 0 && disk.f_bavail.saturating_mul(disk.f_frsize) < FREE_BYTES)
}

fn make(among: &Path) -> std::io::Result<Temporary> {
    clear(among, YOUNG);
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(among)?;
    let lock = File::create_new(folder.path().join(LOCK))?;
    // No step of a server that may read all of a home folder goes into it.
    File::create_new(folder.path().join(PRIVATE_FOLDER))?;
    lock.lock()?;
    Ok(Temporary { folder, _lock: lock })
}

/// Removes what runs have left that were killed. What cannot be removed is somebody else's.
fn clear(among: &Path, young: Duration) {
    for entry in fs::read_dir(among).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if ours && is_left(&entry.path(), young) {
            let _not_ours = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether nobody uses the folder any more.
fn is_left(folder: &Path, young: Duration) -> bool {
    let Ok(lock) = File::open(folder.join(LOCK)) else { return false };
    let age = lock.metadata().and_then(|data| data.modified()).ok().and_then(|made| made.elapsed().ok());
    age.is_some_and(|age| age >= young) && lock.try_lock().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What does not say how large it is is tried: `/proc` has no blocks.
    #[test]
    fn a_disk_that_says_nothing_is_not_full() {
        assert!(!is_full(Path::new("/proc")) && !is_full(Path::new("/nowhere")));
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_another_uses_stays() {
        let among = tempfile::tempdir().unwrap();
        let (used, left) = (make(among.path()).unwrap(), make(among.path()).unwrap());
        let left = {
            let Temporary { folder, _lock } = left;
            fs::create_dir(folder.path().join("data")).unwrap();
            folder.keep()
        };
        let others = among.path().join(".octollm-run-of-somebody");
        fs::create_dir(&others).unwrap();
        clear(among.path(), YOUNG);
        assert!(left.exists(), "it may only have begun");
        clear(among.path(), Duration::ZERO);
        assert!(!left.exists() && used.path().exists() && others.exists());
    }
}
