//! From a manifest to a directory.

use crate::{
    manifest::{Entry, Manifest, WorkspacePath},
    shelf::Shelf,
};
use bytes::Bytes;
use octollm_contract::ContentHash;
use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat, openat},
    io::Errno,
};
use std::{
    fs::{self, File},
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why a manifest did not become a directory. What was written so far is left; the directory
/// was the caller's and empty, so the caller removes it.
#[derive(Debug, thiserror::Error)]
pub enum MaterialiseError<E: std::error::Error + 'static> {
    /// The directory holds something already.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A file's bytes could not be had.
    #[error("{path} could not be fetched")]
    Fetch {
        /// Which.
        path: WorkspacePath,
        /// Why.
        source: E,
    },
    /// A file's bytes are not those that the manifest names.
    #[error("{path} was fetched with other bytes than the manifest names")]
    Corrupt {
        /// Which.
        path: WorkspacePath,
    },
    /// The directory cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes the manifest's files below `directory`, which exists and is empty. Files are for
/// their owner alone. Not synced: the manifest is what lasts.
pub async fn materialise<S: Shelf>(
    manifest: &Manifest,
    directory: &Path,
    shelf: &S,
) -> Result<(), MaterialiseError<S::Error>> {
    let unwritten = |path: &Path, source| MaterialiseError::Write { path: path.to_owned(), source };
    let mut entries = fs::read_dir(directory).map_err(|e| unwritten(directory, e))?;
    if entries.next().is_some() {
        return Err(MaterialiseError::NotEmpty(directory.to_owned()));
    }
    let root = openat(CWD, directory, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = Arc::new(root.map_err(|e| unwritten(directory, e.into()))?);
    for (path, entry) in manifest.files() {
        let bytes = match shelf.get(entry.sha256).await {
            Ok(bytes) => bytes,
            Err(source) => return Err(MaterialiseError::Fetch { path: path.clone(), source }),
        };
        if bytes.len() as u64 != entry.bytes || ContentHash::of(&bytes) != entry.sha256 {
            return Err(MaterialiseError::Corrupt { path: path.clone() });
        }
        let (root, at, entry) = (Arc::clone(&root), path.clone(), *entry);
        let written = tokio::task::spawn_blocking(move || write(&root, &at, entry, &bytes)).await;
        written
            .unwrap_or_else(|lost| Err(io::Error::other(lost)))
            .map_err(|e| unwritten(&directory.join(path.as_str()), e))?;
    }
    Ok(())
}

/// Writes one file, name by name from `root`, through no link.
fn write(root: &OwnedFd, path: &WorkspacePath, entry: Entry, bytes: &Bytes) -> io::Result<()> {
    let through = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fresh = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = if entry.executable { Mode::RWXU } else { Mode::RUSR | Mode::WUSR };
    let mut directory = None;
    let mut names = path.names().peekable();
    while let Some(name) = names.next() {
        let here = directory.as_ref().unwrap_or(root);
        if names.peek().is_none() {
            return File::from(openat(here, name, fresh, mode)?).write_all(bytes);
        }
        match mkdirat(here, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        directory = Some(openat(here, name, through, Mode::empty())?);
    }
    Ok(())
}
