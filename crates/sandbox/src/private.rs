//! Folders that hold what is every tenant's: data folders, artefacts, what steps of an arm work on (P7).
//!
//! Whoever keeps such a folder marks it, wherever it lies. A room that may read a folder above one is opened
//! around it, so all folders below a granted root are looked through for marks when the room is opened, those of
//! the system and of the kernel's file systems aside. One that this process may enter and not list is closed, too;
//! one that it may not enter is passed over, for its programs may not either. What is marked later is open to a
//! room that is open by then.

use crate::error::RoomError;
use octollm_contract::names::{MARKS, PRIVATE_FOLDER, marks_a_private_folder};
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags},
    io::Errno,
};
use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

/// So many folders below the roots of a room are looked through. One takes about 10 µs where the kernel knows it already: a
/// full home folder of 100,000 a second.
const FOLDERS_MAX: usize = 1_000_000;

/// File systems in which files are not files (`linux/magic.h`): proc, sysfs, debugfs, tracefs,
/// securityfs, cgroup, cgroup2, bpf, devpts, binfmt_misc, pstore, efivarfs.
const MAGIC: [u64; 12] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x0027_e0eb,
    0x6367_7270,
    0xcafe_4a11,
    0x1cd1,
    0x4249_4e4d,
    0x6165_676c,
    0xde5e_81e4,
];

/// Whether a descriptor lies in a file system whose files are not files.
pub fn is_magic(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(fd)
        .is_ok_and(|fs| u64::try_from(fs.f_type).is_ok_and(|kind| MAGIC.contains(&(kind & 0xffff_ffff))))
}

/// Whether a folder is a server's or an arm's own. The mark by which one that is no data folder says so must be
/// the folder's owner's or root's: whoever else may write into `/tmp` is not to close it to everybody. Below it
/// anybody can mark a folder of their own.
pub fn is_private(folder: BorrowedFd<'_>) -> bool {
    let stat = |name: &str| rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    marks_a_private_folder(|mark| {
        let Some(found) = stat(mark) else { return false };
        mark != PRIVATE_FOLDER
            || found.st_uid == 0
            || rustix::fs::fstat(folder).is_ok_and(|own| own.st_uid == found.st_uid)
    })
}

/// Why the folders below a root were not looked through.
#[derive(Debug)]
pub(crate) enum NotLooked {
    /// Whoever wanted the room wants it no more.
    Stopped,
    /// A folder of which nobody can say what lies in it.
    Unreadable(PathBuf, io::Error),
    /// There are more than [`FOLDERS_MAX`].
    TooMany,
}

impl From<NotLooked> for RoomError {
    fn from(why: NotLooked) -> Self {
        match why {
            NotLooked::Stopped => RoomError::Stopped,
            NotLooked::TooMany => RoomError::TooManyFolders { most: FOLDERS_MAX },
            NotLooked::Unreadable(_, source)
                if matches!(
                    Errno::from_io_error(&source),
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM)
                ) =>
            {
                RoomError::Exhausted(source)
            }
            NotLooked::Unreadable(path, source) => RoomError::NotLookedThrough { path, source },
        }
    }
}

/// The folders at and below `roots` that are closed to programs, without those in `known` or below one of them,
/// which are not looked into: those that are private, and those that can be entered and not listed, of
/// which nobody can say what lies in them.
pub(crate) fn below(
    roots: &[PathBuf],
    known: &[PathBuf],
    stop: &dyn Fn() -> bool,
) -> Result<Vec<PathBuf>, NotLooked> {
    // What lies below another root is met there.
    let is_met = |root: &PathBuf| roots.iter().any(|other| other != root && root.starts_with(other));
    let mut ahead: Vec<PathBuf> = roots.iter().filter(|root| !is_met(root)).cloned().collect();
    ahead.sort();
    ahead.dedup();
    let (mut found, mut looked) = (Vec::new(), 0);
    while let Some(folder) = ahead.pop() {
        if stop() {
            return Err(NotLooked::Stopped);
        }
        if known.iter().any(|known| folder.starts_with(known)) {
            continue;
        }
        let unreadable = |errno: Errno| NotLooked::Unreadable(folder.clone(), errno.into());
        let fd = match opened(&folder) {
            Ok(fd) => fd,
            // Gone, or no folder.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(Errno::ACCESS) => {
                if can_be_entered(&folder) {
                    found.push(folder);
                }
                continue;
            }
            Err(errno) => return Err(unreadable(errno)),
        };
        if is_magic(fd.as_fd()) {
            continue;
        }
        looked += 1;
        if looked > FOLDERS_MAX {
            return Err(NotLooked::TooMany);
        }
        let (may_be, folders) = match look(&fd) {
            Ok(seen) => seen,
            // Removed while it was looked at.
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(unreadable(errno)),
        };
        if may_be && is_private(fd.as_fd()) {
            found.push(folder);
        } else {
            ahead.extend(folders.iter().map(|name| folder.join(OsStr::from_bytes(name))));
        }
    }
    Ok(found)
}

/// A folder, and no link to one.
fn opened(folder: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, folder, flags, Mode::empty())
}

/// Whether a folder that cannot be listed lets in who knows a name in it (mode 0711). Whatever is no clear no
/// counts as a yes.
fn can_be_entered(folder: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let entered = rustix::fs::openat(CWD, folder, flags, Mode::empty())
        .and_then(|fd| rustix::fs::statat(&fd, ".", AtFlags::SYMLINK_NOFOLLOW));
    !matches!(entered, Err(Errno::ACCESS | Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

/// Whether a folder has a name in it that may mark it, and the names of the folders in it.
fn look(folder: &OwnedFd) -> Result<(bool, Vec<Vec<u8>>), Errno> {
    let (mut may_be, mut folders) = (false, Vec::new());
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        may_be |= MARKS.iter().any(|mark| mark.as_bytes() == name);
        // Some file systems do not say what an entry is; what is none is not opened as a folder.
        let folder = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
        if folder && name != b"." && name != b".." {
            folders.push(name.to_owned());
        }
    }
    Ok((may_be, folders))
}
