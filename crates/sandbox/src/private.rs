//! Folders that hold what is every tenant's: data folders, artefacts, what steps of an arm work on (P7).
//!
//! Whoever keeps such a folder marks it, wherever it lies. A room that may read a folder above one is opened
//! around it, so all folders below a granted root are looked through for marks when the room is opened, those of
//! the system and of the kernel's file systems aside. One that this process may not list is passed over: its
//! programs may not list it either. What is marked later is open to a room that is open by then.

use octollm_contract::names::{
    DATA_FOLDER_DATABASE, DATA_FOLDER_LOCK, DATA_FOLDER_WITHOUT_DATABASE, PRIVATE_FOLDER,
    marks_a_private_folder,
};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

/// So many folders below a root are looked through. One takes about 10 µs where the kernel knows it already: a
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
/// its owner's or root's: whoever may write into `/tmp` is not to close it to everybody.
pub fn is_private(folder: BorrowedFd<'_>) -> bool {
    let stat = |name: &str| rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    marks_a_private_folder(|mark| {
        let Some(found) = stat(mark) else { return false };
        mark != PRIVATE_FOLDER
            || found.st_uid == 0
            || rustix::fs::fstat(folder).is_ok_and(|own| own.st_uid == found.st_uid)
    })
}

/// The private folders at and below `root`, without those in `known` or below one of them, which are not
/// looked into.
pub(crate) fn below(root: &Path, known: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut ahead, mut looked) = (Vec::new(), vec![root.to_owned()], 0);
    while let Some(folder) = ahead.pop() {
        if known.iter().any(|known| folder.starts_with(known)) {
            continue;
        }
        let Some(fd) = opened(&folder).filter(|fd| !is_magic(fd.as_fd())) else { continue };
        looked += 1;
        if looked > FOLDERS_MAX {
            let why = format!(
                "more than {FOLDERS_MAX} folders lie in it, too many to look through for those of other tenants; \
                 grant those that are needed"
            );
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
        }
        let (may_be, folders) = look(&fd);
        if may_be && is_private(fd.as_fd()) {
            found.push(folder);
        } else {
            ahead.extend(folders.iter().map(|name| folder.join(OsStr::from_bytes(name))));
        }
    }
    Ok(found)
}

/// A folder, and no link to one. Nothing, for what is no folder, has gone or is not this process's to list.
fn opened(folder: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, folder, flags, Mode::empty()).ok()
}

/// Whether a folder has a name in it that may mark it, and the names of the folders in it.
fn look(folder: &OwnedFd) -> (bool, Vec<Vec<u8>>) {
    const MARKS: [&str; 4] =
        [PRIVATE_FOLDER, DATA_FOLDER_LOCK, DATA_FOLDER_DATABASE, DATA_FOLDER_WITHOUT_DATABASE];
    let (mut may_be, mut folders) = (false, Vec::new());
    let Ok(entries) = Dir::read_from(folder) else { return (true, folders) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_bytes();
        may_be |= MARKS.iter().any(|mark| mark.as_bytes() == name);
        // Some file systems do not say what an entry is; what is none is not opened as a folder.
        let folder = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
        if folder && name != b"." && name != b".." {
            folders.push(name.to_owned());
        }
    }
    (may_be, folders)
}
