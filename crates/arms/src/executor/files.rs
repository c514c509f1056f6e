//! Reading regular files in pieces, and what becomes of paths that cannot be read.

use super::{
    Stop,
    outcome::Found,
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

/// What went wrong with some of several paths.
#[derive(Default)]
pub(super) struct Faults {
    /// With those that the tool is pointed at, by the plan or by what an earlier step has found: the step fails.
    named: Several,
    /// With what lies below folders.
    others: Several,
}

/// The first few are named, the rest counted.
#[derive(Default)]
struct Several {
    first: Vec<String>,
    count: u64,
}

impl Several {
    const NAMED: usize = 5;

    fn add(&mut self, fault: impl ToString) {
        self.count += 1;
        if self.first.len() < Self::NAMED {
            self.first.push(fault.to_string());
        }
    }

    fn more(&self) -> u64 {
        self.count.saturating_sub(self.first.len() as u64)
    }
}

impl Faults {
    /// A failure quotes so much of what the other paths gave.
    const QUOTED_BYTES: usize = 4 << 10;

    pub(super) fn add(&mut self, fault: impl ToString) {
        self.others.add(fault);
    }

    /// Takes down why a path that the tool is pointed at was not read.
    pub(super) fn add_named(&mut self, fault: impl ToString) {
        self.named.add(fault);
    }

    /// The remarks for the text; an error when nothing at all could be read.
    pub(super) fn remarks(&self, read: u64) -> Result<Vec<String>, Undone> {
        if self.count() > 0 && read == 0 {
            let all: Vec<&str> =
                [&self.named, &self.others].iter().flat_map(|s| &s.first).map(String::as_str).collect();
            return Err(Undone::for_good(all.join("; ")));
        }
        let mut remarks: Vec<String> =
            self.others.first.iter().map(|fault| format!("(not read: {fault})")).collect();
        if self.others.more() > 0 {
            remarks.push(format!("(and {} could not be read)", counted(self.others.more(), "more path")));
        }
        Ok(remarks)
    }

    /// What was found, unless a path is missing that the tool is pointed at, or the bounds of the walk have left
    /// something out: the failure says what, and what the others gave.
    pub(super) fn settle(&self, found: Found, tally: &Tally) -> Result<Found, Undone> {
        let bounds = tally.bounds();
        if self.named.count == 0 && bounds.is_empty() {
            return Ok(found);
        }
        let more =
            (self.named.more() > 0).then(|| format!("and {}", counted(self.named.more(), "more path")));
        let mut told =
            self.named.first.iter().cloned().chain(more).chain(bounds).collect::<Vec<_>>().join("; ");
        let text = found.text.trim_end();
        let quoted = beginning(text, Self::QUOTED_BYTES);
        told.push_str(&format!("\nof the others: {quoted}"));
        if quoted.len() < text.len() {
            told.push_str(" …");
        }
        Err(Undone::for_good(told))
    }

    pub(super) fn count(&self) -> u64 {
        self.named.count + self.others.count
    }
}

/// The first `bytes` of a text, or a little less where a character would be cut.
fn beginning(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

/// A regular file that a tool looks at.
pub(super) struct Looked<'a> {
    pub(super) path: &'a Path,
    pub(super) file: File,
    /// The tool is pointed at it, and it does not only lie below a folder.
    pub(super) named: bool,
}

impl Looked<'_> {
    /// Takes down that reading it broke off.
    pub(super) fn fault(&self, faults: &mut Faults, error: &io::Error) {
        let fault = format!("{}: {error}", shown_path(self.path));
        if self.named { faults.add_named(fault) } else { faults.add(fault) }
    }
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
            Err(error) => faults.add_named(error),
            Ok((path, Opened::File(file, _))) => visit(Looked { path: &path, file, named: true }, faults)?,
            Ok((path, Opened::Folder(folder))) => {
                let below = walk(folder, &path, Range::ALL, stop, &mut |entry| {
                    if entry.kind != super::reach::Kind::File || !wanted(entry) {
                        return Ok(());
                    }
                    match entry.open() {
                        Some(file) => visit(Looked { path: &entry.path, file, named: false }, faults),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A digest or a number of what could not be read whole is none, also when other files gave theirs.
    #[test]
    fn a_named_file_that_breaks_off_fails_the_step() {
        let folder = std::env::temp_dir();
        let settled = |named| {
            let mut faults = Faults::default();
            // A folder opens as a file does, and breaks off when it is read.
            let looked = Looked { path: &folder, file: File::open(&folder).unwrap(), named };
            let stop = Stop(tokio_util::sync::CancellationToken::new());
            let error = pieces(&looked.file, &stop, |_| true).unwrap().unwrap_err();
            looked.fault(&mut faults, &error);
            (faults.remarks(1).unwrap().len(), faults.settle(Found::default(), &Tally::default()).is_ok())
        };
        assert_eq!(settled(true), (0, false));
        assert_eq!(settled(false), (1, true), "what lies below a folder is a remark");
    }
}
