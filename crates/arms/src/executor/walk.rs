//! Going through the entries of a folder and of those below: bounded, never through a link,
//! never into the kernel's own file systems; what cannot be read is counted, not fatal.

use super::{
    Stop,
    reach::{self, Kind, Opened},
    text::{counted, shown_path},
};
use crate::Undone;
use rustix::{
    fs::{AtFlags, Dir, Stat},
    io::Errno,
};
use std::{
    ffi::OsStr,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

/// A walk looks at no more entries than this.
pub(super) const ENTRIES_MAX: u64 = 1_000_000;
/// A walk goes no deeper than this; each level holds a descriptor.
pub(super) const DEPTH_MAX: u32 = 128;

/// An entry that a walk met.
pub(super) struct Entry<'a> {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) stat: Stat,
    folder: BorrowedFd<'a>,
}

impl<'a> Entry<'a> {
    /// The folder itself that a walk begins at.
    pub(super) fn of_folder(path: &Path, folder: BorrowedFd<'a>) -> Option<Self> {
        let stat = rustix::fs::fstat(folder).ok()?;
        Some(Entry { path: path.to_owned(), kind: reach::kind(&stat), stat, folder })
    }

    pub(super) fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    /// Last change of the contents, in milliseconds since the epoch.
    pub(super) fn modified(&self) -> i64 {
        modified(&self.stat)
    }

    /// Opens it, if it is a regular file.
    pub(super) fn open(&self) -> Option<std::fs::File> {
        match reach::open_entry(self.folder, self.name(), &self.path) {
            Ok(Opened::File(file, _)) => Some(file),
            Ok(Opened::Folder(_)) | Err(_) => None,
        }
    }
}

pub(super) fn modified(stat: &Stat) -> i64 {
    let millis = i64::try_from(stat.st_mtime_nsec / 1_000_000).unwrap_or(0);
    stat.st_mtime.saturating_mul(1000).saturating_add(millis)
}

/// What a walk met beside what it showed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Entries looked at.
    pub(super) seen: u64,
    /// Folders and entries that could not be read.
    pub(super) unreadable: u64,
    /// The first of those, as text.
    named: Vec<String>,
    /// Folders that were left out because they are of the kernel's own file systems.
    left_out: u64,
    /// Folders that were too deep to be entered, and the first of them.
    too_deep: u64,
    first_too_deep: Option<PathBuf>,
    /// The walk was ended at its bound.
    pub(super) cut: bool,
}

impl Tally {
    /// So many of those that could not be read are named.
    const NAMED: usize = 5;

    fn unread(&mut self, path: &Path) {
        self.unreadable += 1;
        if self.named.len() < Self::NAMED {
            self.named.push(shown_path(path));
        }
    }

    pub(super) fn add(&mut self, other: Tally) {
        self.seen += other.seen;
        self.unreadable += other.unreadable;
        self.named.extend(other.named);
        self.named.truncate(Self::NAMED);
        self.left_out += other.left_out;
        self.too_deep += other.too_deep;
        self.first_too_deep = self.first_too_deep.take().or(other.first_too_deep);
        self.cut |= other.cut;
    }

    /// Nothing was left out but what is no file.
    pub(super) fn is_whole(&self) -> bool {
        self.unreadable == 0 && self.bounds().is_empty()
    }

    /// What the walk's own bounds have left out.
    pub(super) fn bounds(&self) -> Vec<String> {
        let mut bounds = Vec::new();
        if let Some(first) = &self.first_too_deep {
            bounds.push(format!(
                "(not looked into: {} deeper than {DEPTH_MAX} folders, the first of them {})",
                counted(self.too_deep, "folder"),
                shown_path(first)
            ));
        }
        if self.cut {
            bounds.push(format!("(stopped after {}; there are more)", counted(self.seen, "entry")));
        }
        bounds
    }

    /// A sentence for each thing that makes the result less than whole.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.unreadable > 0 {
            let (could_not, named) = (counted(self.unreadable, "entry"), self.named.join(", "));
            let more = match self.unreadable.saturating_sub(self.named.len() as u64) {
                0 => String::new(),
                more => format!(" and {}", counted(more, "more entry")),
            };
            remarks.push(format!("({could_not} could not be read: {named}{more})"));
        }
        if self.left_out > 0 {
            remarks.push(format!("({} not entered: no real files)", counted(self.left_out, "folder")));
        }
        remarks.extend(self.bounds());
        remarks
    }
}

/// How far a walk goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// 1 is the folder's own entries.
    pub(super) depth: u32,
    /// Entries whose names begin with a dot, and what is below them.
    pub(super) hidden: bool,
}

impl Range {
    pub(super) const ALL: Range = Range { depth: DEPTH_MAX, hidden: true };
}

/// Shows every entry below `folder` to `visit`, each folder before what is in it.
pub(super) fn walk(
    folder: OwnedFd,
    path: &Path,
    range: Range,
    stop: &Stop,
    visit: &mut dyn FnMut(&Entry<'_>) -> Result<(), Undone>,
) -> Result<Tally, Undone> {
    let mut tally = Tally::default();
    let mut open = vec![(path.to_owned(), listing(folder, path, &mut tally))];
    loop {
        let level = u32::try_from(open.len()).unwrap_or(u32::MAX);
        let Some((path, Some(entries))) = open.last_mut() else { break };
        let Some(entry) = entries.read() else {
            open.pop();
            continue;
        };
        stop.check()?;
        let Ok(entry) = entry else {
            tally.unread(path);
            open.pop();
            continue;
        };
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." || (!range.hidden && name.as_bytes().starts_with(b".")) {
            continue;
        }
        if tally.seen >= ENTRIES_MAX {
            tally.cut = true;
            break;
        }
        tally.seen += 1;
        let path = path.join(name);
        let met = entries.fd().and_then(|folder| {
            rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| (folder, stat))
        });
        let (folder, stat) = match met {
            Ok(met) => met,
            // It went away since its folder was read: it is none of what is there.
            Err(Errno::NOENT) => continue,
            Err(_) => {
                tally.unread(&path);
                continue;
            }
        };
        let met = Entry { path, kind: reach::kind(&stat), stat, folder };
        visit(&met)?;
        if met.kind != Kind::Folder {
            continue;
        }
        if level >= range.depth {
            if level >= DEPTH_MAX {
                tally.too_deep += 1;
                tally.first_too_deep.get_or_insert(met.path);
            }
            continue;
        }
        match reach::open_entry(met.folder, met.name(), &met.path) {
            Ok(Opened::Folder(below)) => {
                let path = met.path;
                let below = listing(below, &path, &mut tally);
                if below.is_some() {
                    open.push((path, below));
                }
            }
            Err(reach::NoAccess::Special(..)) => tally.left_out += 1,
            Err(reach::NoAccess::Missing(_)) => {}
            Ok(Opened::File(..)) | Err(_) => tally.unread(&met.path),
        }
    }
    Ok(tally)
}

fn listing(folder: OwnedFd, path: &Path, tally: &mut Tally) -> Option<Dir> {
    match Dir::new(folder) {
        Ok(entries) => Some(entries),
        Err(_) => {
            tally.unread(path);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P10: which entries could not be read is told by name.
    #[test]
    fn what_could_not_be_read_is_named() {
        let mut tally = Tally::default();
        (0..7).for_each(|at| tally.unread(Path::new(&format!("/x/{at}"))));
        let remark = "(7 entries could not be read: /x/0, /x/1, /x/2, /x/3, /x/4 and 2 more entries)";
        assert_eq!(tally.remarks(), [remark]);
    }
}
