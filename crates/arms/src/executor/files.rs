//! Reading regular files in pieces, and the paths that a tool is to look at.

use super::{
    Stop,
    reach::{NoAccess, Opened, Reach},
    text::{counted, shown_path},
    walk::{Entry, Range, Tally, walk},
};
use crate::Undone;
use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

const PIECE: usize = 128 << 10;

/// Gives a file to `take`, piece by piece, until it says that it has enough or the file ends.
pub(super) fn pieces(
    mut file: &File,
    stop: &Stop,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<io::Result<()>, Undone> {
    let mut piece = vec![0; PIECE];
    loop {
        stop.check()?;
        match file.read(&mut piece) {
            Ok(0) => return Ok(Ok(())),
            Ok(read) => {
                if !take(&piece[..read]) {
                    return Ok(Ok(()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// What went wrong with some of several paths: the first few are named, the rest counted.
#[derive(Default)]
pub(super) struct Faults {
    first: Vec<String>,
    count: u64,
}

impl Faults {
    const NAMED: usize = 5;

    pub(super) fn add(&mut self, fault: impl ToString) {
        self.count += 1;
        if self.first.len() < Self::NAMED {
            self.first.push(fault.to_string());
        }
    }

    /// The remarks for the text; an error when nothing at all could be read.
    pub(super) fn remarks(&self, read: u64) -> Result<Vec<String>, Undone> {
        if self.count > 0 && read == 0 {
            return Err(Undone::for_good(self.first.join("; ")));
        }
        let mut remarks: Vec<String> =
            self.first.iter().map(|fault| format!("(not read: {fault})")).collect();
        let more = self.count.saturating_sub(self.first.len() as u64);
        if more > 0 {
            remarks.push(format!("(and {} could not be read)", counted(more, "more path")));
        }
        Ok(remarks)
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// A regular file that a tool looks at.
pub(super) struct Looked<'a> {
    pub(super) path: &'a Path,
    pub(super) file: File,
}

/// Shows the regular files at `paths` and below those that are folders to `visit`, which says
/// whether it wants one before it is opened.
pub(super) fn files(
    reach: &Reach,
    paths: &[String],
    stop: &Stop,
    wanted: &dyn Fn(&Entry<'_>) -> bool,
    faults: &mut Faults,
    visit: &mut dyn FnMut(Looked<'_>, &mut Faults) -> Result<(), Undone>,
) -> Result<Tally, Undone> {
    let mut tally = Tally::default();
    for path in paths {
        stop.check()?;
        match reach.open(path) {
            Err(error) => faults.add(error),
            Ok((path, Opened::File(file, _))) => visit(Looked { path: &path, file }, faults)?,
            Ok((path, Opened::Folder(folder))) => {
                let below = walk(folder, &path, Range::ALL, stop, &mut |entry| {
                    if entry.kind != super::reach::Kind::File || !wanted(entry) {
                        return Ok(());
                    }
                    match entry.open() {
                        Some(file) => visit(Looked { path: &entry.path, file }, faults),
                        None => {
                            faults.add(NoAccess::Denied(shown_path(&entry.path)));
                            Ok(())
                        }
                    }
                })?;
                tally.add(below);
            }
        }
    }
    Ok(tally)
}
