//! `count`: lines, words, bytes or characters of files or of a text, or files and folders.

use super::{DATA_ENTRIES, Site, Source};
use crate::{
    Undone,
    executor::{
        files::{Faults, Paths, files, pieces},
        glob::Glob,
        outcome::Found,
        reach::{Kind, Opened},
        text::{Sheet, counted, grouped, shown_path},
        walk::{DEPTH_MAX, Entry, Range, Tally, walk},
    },
};
use octollm_plan::CountWhat;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(super) fn count(
    site: &Site,
    what: CountWhat,
    from: Source,
    name: Option<&str>,
    recursive: bool,
) -> Result<Found, Undone> {
    let glob = Glob::of(name)?;
    match (from, what) {
        (Source::Paths(paths), CountWhat::Files | CountWhat::Folders) => {
            entries(site, what, &paths, glob.as_ref(), recursive)
        }
        (Source::Text(_), CountWhat::Files | CountWhat::Folders) => {
            Err(Undone::for_good("files and folders cannot be counted in a text"))
        }
        (
            Source::Text(text),
            CountWhat::Lines
            | CountWhat::LineEnds
            | CountWhat::Words
            | CountWhat::Bytes
            | CountWhat::Characters,
        ) => {
            let mut counter = Counter::new(what);
            counter.take(text.as_bytes());
            let number = counter.total();
            let text = format!("{}\n", counted(number, unit(what)));
            Ok(Found { text, data: json!({ "total": number }), number: Some(number), ..Found::default() })
        }
        (
            Source::Paths(paths),
            CountWhat::Lines
            | CountWhat::LineEnds
            | CountWhat::Words
            | CountWhat::Bytes
            | CountWhat::Characters,
        ) => contents(site, what, &paths, glob.as_ref()),
    }
}

fn unit(what: CountWhat) -> &'static str {
    match what {
        CountWhat::Lines => "line",
        CountWhat::LineEnds => "line end",
        CountWhat::Words => "word",
        CountWhat::Bytes => "byte",
        CountWhat::Characters => "character",
        CountWhat::Files => "file",
        CountWhat::Folders => "folder",
    }
}

fn contents(site: &Site, what: CountWhat, paths: &Paths, glob: Option<&Glob>) -> Result<Found, Undone> {
    let mut faults = Faults::default();
    let mut each: Vec<(PathBuf, u64)> = Vec::new();
    let wanted = |entry: &Entry<'_>| glob.is_none_or(|glob| glob.fits(entry.name()));
    let tally = files(&site.reach, paths, &site.stop, &wanted, &mut faults, &mut |looked, faults| {
        let mut counter = Counter::new(what);
        let read = pieces(&looked.file, &site.stop, |piece| {
            counter.take(piece);
            true
        })?;
        match read {
            Ok(()) => each.push((looked.path.to_owned(), counter.total())),
            Err(error) => looked.fault(faults, &error),
        }
        Ok(())
    })?;
    each.sort();
    summary(what, &each, &faults, &tally, each.len() as u64)
}

/// One line for each, and the total when there are several.
fn summary(
    what: CountWhat,
    each: &[(PathBuf, u64)],
    faults: &Faults,
    tally: &Tally,
    files: u64,
) -> Result<Found, Undone> {
    let remarks = faults.remarks(files)?;
    let total: u64 = each.iter().map(|(_, number)| number).sum();
    let mut sheet = Sheet::default();
    for (path, number) in each {
        sheet.line(format!("{} in {}", counted(*number, unit(what)), shown_path(path)));
    }
    if each.len() != 1 {
        sheet.line(format!("{} in {}", counted(total, unit(what)), counted(files, "file")));
    }
    let mut sheet = sheet.end();
    sheet.remarks(&remarks);
    sheet.remarks(&tally.remarks());
    let data = data(total, each, faults.count() + tally.unreadable);
    let (text, body) = sheet.finish();
    faults.settle(Found { text, body, data, number: Some(total), ..Found::default() })
}

fn data(total: u64, each: &[(PathBuf, u64)], unreadable: u64) -> Value {
    let row = |(path, number): &(PathBuf, u64)| json!({ "path": path.to_string_lossy(), "count": number });
    let rows: Vec<Value> = each.iter().take(DATA_ENTRIES).map(row).collect();
    json!({ "total": total, "entries": rows, "cut": each.len() > DATA_ENTRIES, "unreadable": unreadable })
}

fn entries(
    site: &Site,
    what: CountWhat,
    paths: &Paths,
    glob: Option<&Glob>,
    recursive: bool,
) -> Result<Found, Undone> {
    let wanted = if what == CountWhat::Folders { Kind::Folder } else { Kind::File };
    let fits = |path: &Path| glob.is_none_or(|glob| glob.fits(path.file_name().unwrap_or_default()));
    let range = Range { depth: if recursive { DEPTH_MAX } else { 1 }, hidden: true };
    let (mut faults, mut tally) = (Faults::default(), Tally::default());
    let mut each: Vec<(PathBuf, u64)> = Vec::new();
    for path in paths.all() {
        match site.reach.open(path) {
            Err(error) => paths.fault(&mut faults, error),
            Ok((path, Opened::File(..))) => {
                let number = u64::from(wanted == Kind::File && fits(&path));
                each.push((path, number));
            }
            Ok((path, Opened::Folder(folder))) => {
                let mut number = 0;
                let below = walk(folder, &path, range, &site.stop, &mut |entry| {
                    number += u64::from(entry.kind == wanted && fits(&entry.path));
                    Ok(())
                })?;
                tally.add(below);
                each.push((path, number));
            }
        }
    }
    let remarks = faults.remarks(each.len() as u64)?;
    let total: u64 = each.iter().map(|(_, number)| number).sum();
    let mut sheet = Sheet::default();
    for (path, number) in &each {
        sheet.line(format!("{} in {}", counted(*number, unit(what)), shown_path(path)));
    }
    if each.len() > 1 {
        sheet.line(format!(
            "{} {} in all",
            grouped(total),
            if total == 1 { unit(what).to_owned() } else { format!("{}s", unit(what)) }
        ));
    }
    let mut sheet = sheet.end();
    sheet.remarks(&remarks);
    sheet.remarks(&tally.remarks());
    let data = data(total, &each, faults.count() + tally.unreadable);
    let (text, body) = sheet.finish();
    faults.settle(Found { text, body, data, number: Some(total), ..Found::default() })
}

/// Counts over pieces, wherever they are cut.
struct Counter {
    what: CountWhat,
    total: u64,
    /// Whether the last byte was inside a line or a word.
    inside: bool,
}

impl Counter {
    fn new(what: CountWhat) -> Self {
        Counter { what, total: 0, inside: false }
    }

    fn take(&mut self, piece: &[u8]) {
        match self.what {
            CountWhat::Lines | CountWhat::LineEnds => {
                self.total += piece.iter().map(|b| u64::from(*b == b'\n')).sum::<u64>();
                self.inside = piece.last().map_or(self.inside, |b| *b != b'\n');
            }
            CountWhat::Words => {
                for byte in piece {
                    let inside = !byte.is_ascii_whitespace() && *byte != 0x0b;
                    self.total += u64::from(inside && !self.inside);
                    self.inside = inside;
                }
            }
            CountWhat::Bytes => self.total += piece.len() as u64,
            // Every byte that does not continue a character begins one.
            CountWhat::Characters => {
                self.total += piece.iter().map(|b| u64::from(b & 0xc0 != 0x80)).sum::<u64>();
            }
            CountWhat::Files | CountWhat::Folders => {}
        }
    }

    fn total(&self) -> u64 {
        let last_line = self.what == CountWhat::Lines && self.inside;
        self.total + u64::from(last_line)
    }
}
