//! From a directory to a manifest. The directory is hostile: an untrusted command made it, and
//! may still be changing it.
//!
//! Every directory and file is opened by its name in a directory that is open already, without
//! following links and without waiting (a FIFO would wait for a writer). What is opened is then
//! asked what it is, so that nothing can be exchanged between the look and the read.

use crate::{
    manifest::{Entry, InvalidManifest, Manifest, WorkspacePath},
    shelf::Shelf,
};
use bytes::Bytes;
use octollm_contract::{
    ContentHash,
    names::{OUTPUTS_FOLDER, PRIVATE_FOLDER},
};
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat},
    io::Errno,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CStr,
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};
use tokio::sync::mpsc;

/// How much a directory may hold. Beyond a bound the whole is refused, so that no file is lost
/// without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Names of every kind, directories included; at most [`Manifest::FILES_MAX`] files of them.
    pub entries: usize,
    /// Bytes of one file, which are held in memory at once.
    pub file_bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
}

impl Default for Bounds {
    /// 20,000 names, 64 MiB a file, 1 GiB in all.
    fn default() -> Self {
        Bounds { entries: 20_000, file_bytes: 64 << 20, total_bytes: 1 << 30 }
    }
}

/// What became of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// Its regular files. Their bytes are stored.
    pub manifest: Manifest,
    /// What is not part of a workspace, in the order of the paths.
    pub skipped: Vec<Skipped>,
}

/// Something that a manifest does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Where it lies, for people; not a path to open.
    pub path: String,
    /// Why it was left out.
    pub why: Why,
}

/// Why something was left out of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A symbolic link; where it leads was not looked at.
    Link,
    /// A FIFO, a socket or a device.
    Special,
    /// Its name is not UTF-8, holds a control character, or its path is too long or too deep.
    Name,
    /// It marks a folder that no tool goes into ([`PRIVATE_FOLDER`]): whoever took it home would close his own.
    Mark,
    /// It has the name under which whole outputs lie among the artefacts ([`OUTPUTS_FOLDER`]).
    Outputs,
    /// Its permissions don't let this process read it.
    Unreadable,
}

/// Why a directory did not become a manifest.
#[derive(Debug, thiserror::Error)]
pub enum CollectError<E: std::error::Error + 'static> {
    /// More names than the bound.
    #[error("the workspace holds more than {limit} files and directories")]
    TooMany {
        /// [`Bounds::entries`].
        limit: usize,
    },
    /// One file is larger than the bound.
    #[error("{path} has more than {limit} bytes")]
    FileTooLarge {
        /// Which.
        path: WorkspacePath,
        /// [`Bounds::file_bytes`].
        limit: u64,
    },
    /// All files together are larger than the bound.
    #[error("the files of the workspace have more than {limit} bytes")]
    TooLarge {
        /// [`Bounds::total_bytes`].
        limit: u64,
    },
    /// The files are not a manifest: see there.
    #[error("the workspace is not a manifest")]
    Manifest(#[source] InvalidManifest),
    /// The directory cannot be read.
    #[error("the workspace cannot be read at {}", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file's bytes could not be stored.
    #[error("{path} could not be stored")]
    Store {
        /// Which.
        path: WorkspacePath,
        /// Why.
        source: E,
    },
}

/// Stores the regular files below `directory` and gives their manifest.
///
/// `before` is the manifest that the directory was made from, or the empty one: bytes that it
/// refers to are stored already and are not put again.
pub async fn collect<S: Shelf>(
    directory: &Path,
    before: &Manifest,
    bounds: Bounds,
    shelf: &S,
) -> Result<Collected, CollectError<S::Error>> {
    // One file waits while another is stored; more would only take memory.
    let (found, mut inbox) = mpsc::channel(1);
    let root = directory.to_owned();
    let walking = tokio::task::spawn_blocking(move || {
        let mut walk = Walk { bounds, entries: 0, bytes: 0, skipped: Vec::new(), found };
        walk.root(&root).map(|()| walk.skipped)
    });
    let stored: BTreeSet<ContentHash> = before.hashes().collect();
    let mut files = BTreeMap::new();
    while let Some(Found { path, executable, bytes }) = inbox.recv().await {
        let sha256 = ContentHash::of(&bytes);
        let entry = Entry { sha256, bytes: bytes.len() as u64, executable };
        if !stored.contains(&sha256)
            && let Err(source) = shelf.put(bytes).await
        {
            return Err(CollectError::Store { path, source });
        }
        files.insert(path, entry);
    }
    let walked =
        walking.await.unwrap_or_else(|lost| Err(Stop::Read(directory.to_owned(), io::Error::other(lost))));
    let mut skipped = walked.map_err(|stop| stop.into_error(bounds))?;
    skipped.sort();
    Ok(Collected { manifest: Manifest::new(files).map_err(CollectError::Manifest)?, skipped })
}

struct Found {
    path: WorkspacePath,
    executable: bool,
    bytes: Bytes,
}

enum Stop {
    TooMany,
    FileTooLarge(WorkspacePath),
    TooLarge,
    Read(PathBuf, io::Error),
    /// Nobody reads on: storing failed, or the caller has gone.
    Unwanted,
}

impl Stop {
    fn into_error<E: std::error::Error>(self, bounds: Bounds) -> CollectError<E> {
        match self {
            Stop::TooMany => CollectError::TooMany { limit: bounds.entries },
            Stop::FileTooLarge(path) => CollectError::FileTooLarge { path, limit: bounds.file_bytes },
            Stop::TooLarge => CollectError::TooLarge { limit: bounds.total_bytes },
            Stop::Read(path, source) => CollectError::Read { path, source },
            Stop::Unwanted => {
                CollectError::Read { path: PathBuf::new(), source: io::ErrorKind::BrokenPipe.into() }
            }
        }
    }
}

struct Walk {
    bounds: Bounds,
    entries: usize,
    bytes: u64,
    skipped: Vec<Skipped>,
    found: mpsc::Sender<Found>,
}

const LOOK: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

impl Walk {
    fn root(&mut self, root: &Path) -> Result<(), Stop> {
        let failed = |e: Errno| Stop::Read(root.to_owned(), e.into());
        let fd = openat(CWD, root, LOOK | OFlags::DIRECTORY, Mode::empty()).map_err(failed)?;
        self.directory(fd, "")
    }

    /// `prefix` is empty, or the directory's path with a `/` behind it.
    fn directory(&mut self, fd: OwnedFd, prefix: &str) -> Result<(), Stop> {
        let failed = |e: Errno| Stop::Read(prefix.into(), e.into());
        for entry in Dir::read_from(&fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.entries > self.bounds.entries {
                return Err(Stop::TooMany);
            }
            self.entry(&fd, entry.file_name(), prefix)?;
        }
        Ok(())
    }

    fn entry(&mut self, directory: &OwnedFd, name: &CStr, prefix: &str) -> Result<(), Stop> {
        let shown = format!("{prefix}{}", name.to_string_lossy());
        let Some(path) =
            name.to_str().ok().and_then(|name| format!("{prefix}{name}").parse::<WorkspacePath>().ok())
        else {
            self.skip(shown, Why::Name);
            return Ok(());
        };
        if name.to_bytes() == PRIVATE_FOLDER.as_bytes() {
            self.skip(shown, Why::Mark);
            return Ok(());
        }
        if path.as_str() == OUTPUTS_FOLDER {
            self.skip(shown, Why::Outputs);
            return Ok(());
        }
        // The look decides what may be opened at all: opening some devices has effects.
        let kind = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(Stop::Read(shown.into(), error.into())),
        };
        match kind {
            FileType::Symlink => self.skip(shown, Why::Link),
            FileType::Directory => match openat(directory, name, LOOK | OFlags::DIRECTORY, Mode::empty()) {
                Ok(fd) => return self.directory(fd, &format!("{path}/")),
                Err(error) => return self.unopened(shown, error),
            },
            FileType::RegularFile => match openat(directory, name, LOOK, Mode::empty()) {
                Ok(fd) => return self.file(fd, path),
                Err(error) => return self.unopened(shown, error),
            },
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => self.skip(shown, Why::Special),
        }
        Ok(())
    }

    fn file(&mut self, fd: OwnedFd, path: WorkspacePath) -> Result<(), Stop> {
        let stat = fstat(fd.as_fd()).map_err(|e| Stop::Read(path.as_str().into(), e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            self.skip(path.into(), Why::Special);
            return Ok(());
        }
        let mut bytes = Vec::new();
        // The file may grow while it is read: the bound is on the reading, not on its length.
        let read = File::from(fd).take(self.bounds.file_bytes.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|e| Stop::Read(path.as_str().into(), e))?;
        let length = bytes.len() as u64;
        if length > self.bounds.file_bytes {
            return Err(Stop::FileTooLarge(path));
        }
        self.bytes = self.bytes.saturating_add(length);
        if self.bytes > self.bounds.total_bytes {
            return Err(Stop::TooLarge);
        }
        let executable = stat.st_mode & 0o100 != 0;
        self.found.blocking_send(Found { path, executable, bytes: bytes.into() }).map_err(|_| Stop::Unwanted)
    }

    /// What could be looked at but not opened: closed, or exchanged for something else since.
    fn unopened(&mut self, shown: String, error: Errno) -> Result<(), Stop> {
        match error {
            Errno::ACCESS | Errno::PERM => self.skip(shown, Why::Unreadable),
            Errno::LOOP => self.skip(shown, Why::Link),
            Errno::NOTDIR | Errno::NXIO | Errno::NODEV => self.skip(shown, Why::Special),
            Errno::NOENT => {}
            error => return Err(Stop::Read(shown.into(), error.into())),
        }
        Ok(())
    }

    fn skip(&mut self, path: String, why: Why) {
        // As many as entries at most, which are bounded.
        self.skipped.push(Skipped { path, why });
    }
}
