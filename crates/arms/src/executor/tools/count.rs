//! `count`: lines, words, bytes or characters of files or of a text, or files and folders.

use super::{DATA_ENTRIES, Site, Source, not_looked_into};
use crate::{
    Undone,
    executor::{
        files::{Faults, files, pieces},
        glob::Glob,
        outcome::Found,
        reach::{Kind, Opened},
        text::{Sheet, counted, shown_path},
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
            // What was no text has become one for people: how long it was cannot be told from that.
            if matches!(what, CountWhat::Bytes | CountWhat::Characters) && text.contains('\u{fffd}') {
                return Err(Undone::for_good(format!(
                    "what is to be counted was not all UTF-8 text, and is not kept as it was: its {}s can be counted in a file only",
                    unit(what)
                )));
            }
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

fn contents(site: &Site, what: CountWhat, paths: &[String], glob: Option<&Glob>) -> Result<Found, Undone> {
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
    if each.is_empty() && remarks.is_empty() {
        sheet.remark("(there are no files to count in)");
    }
    sheet.remarks(&remarks);
    sheet.remarks(&tally.remarks());
    let data = data(total, each, faults.count() + tally.unreadable);
    let (text, body) = sheet.finish();
    faults.settle(Found { text, body, data, number: Some(total), ..Found::default() }, tally)
}

fn data(total: u64, each: &[(PathBuf, u64)], unreadable: u64) -> Value {
    let row = |(path, number): &(PathBuf, u64)| json!({ "path": path.to_string_lossy(), "count": number });
    let rows: Vec<Value> = each.iter().take(DATA_ENTRIES).map(row).collect();
    json!({ "total": total, "entries": rows, "cut": each.len() > DATA_ENTRIES, "unreadable": unreadable })
}

fn entries(
    site: &Site,
    what: CountWhat,
    paths: &[String],
    glob: Option<&Glob>,
    recursive: bool,
) -> Result<Found, Undone> {
    let wanted = if what == CountWhat::Folders { Kind::Folder } else { Kind::File };
    let fits = |path: &Path| glob.is_none_or(|glob| glob.fits(path.file_name().unwrap_or_default()));
    let range = Range { depth: if recursive { DEPTH_MAX } else { 1 }, hidden: true };
    let (mut faults, mut tally) = (Faults::default(), Tally::default());
    let mut each: Vec<(PathBuf, u64)> = Vec::new();
    let (mut files, mut not_entered) = (0_usize, 0);
    for path in paths {
        match site.reach.open(path) {
            Err(error) => faults.add_named(error),
            Ok((path, Opened::File(..))) => {
                let number = u64::from(wanted == Kind::File && fits(&path));
                files += 1;
                each.push((path, number));
            }
            Ok((path, Opened::Folder(folder))) => {
                let (mut number, mut folders) = (0, 0_u64);
                let below = walk(folder, &path, range, &site.stop, &mut |entry| {
                    number += u64::from(entry.kind == wanted && fits(&entry.path));
                    folders += u64::from(entry.kind == Kind::Folder);
                    Ok(())
                })?;
                tally.add(below);
                not_entered += if recursive { 0 } else { folders };
                each.push((path, number));
            }
        }
    }
    let remarks = faults.remarks(each.len() as u64)?;
    let total: u64 = each.iter().map(|(_, number)| number).sum();
    let mut sheet = Sheet::default();
    // Of files that are found only the number is wanted.
    let alone = files == each.len();
    for (path, number) in each.iter().filter(|_| !alone) {
        sheet.line(format!("{} in {}", counted(*number, unit(what)), shown_path(path)));
    }
    if alone || each.len() > 1 {
        let of_all = if each.len() > 1 { " in all" } else { "" };
        sheet.line(format!("{}{of_all}", counted(total, unit(what))));
    }
    let mut sheet = sheet.end();
    not_looked_into(not_entered).iter().for_each(|remark| sheet.remark(remark));
    sheet.remarks(&remarks);
    sheet.remarks(&tally.remarks());
    let data = data(total, &each, faults.count() + tally.unreadable);
    let (text, body) = sheet.finish();
    faults.settle(Found { text, body, data, number: Some(total), ..Found::default() }, &tally)
}

/// Counts over pieces, wherever they are cut.
struct Counter {
    what: CountWhat,
    total: u64,
    /// Whether the last byte was inside a line or a word.
    inside: bool,
    /// The beginning of a character that the next piece ends.
    begun: Vec<u8>,
}

impl Counter {
    fn new(what: CountWhat) -> Self {
        Counter { what, total: 0, inside: false, begun: Vec::new() }
    }

    /// A character of a word or between two; one that cannot be seen neither begins nor ends a word, nor does a byte
    /// that is no character, as with GNU `wc`.
    fn letter(&mut self, c: char) {
        let inside = if parts_words(c) {
            false
        } else {
            self.inside || !(c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
        };
        self.total += u64::from(inside && !self.inside);
        self.inside = inside;
    }

    /// The characters of the pieces so far, wherever they are cut.
    fn characters(&mut self, piece: &[u8], each: impl Fn(&mut Self, char)) {
        let mut joined = std::mem::take(&mut self.begun);
        joined.extend_from_slice(piece);
        let whole = joined.len() - cut_off(&joined);
        for chunk in joined[..whole].utf8_chunks() {
            chunk.valid().chars().for_each(|c| each(self, c));
        }
        self.begun = joined.split_off(whole);
    }

    fn take(&mut self, piece: &[u8]) {
        match self.what {
            CountWhat::Lines | CountWhat::LineEnds => {
                self.total += piece.iter().map(|b| u64::from(*b == b'\n')).sum::<u64>();
                self.inside = piece.last().map_or(self.inside, |b| *b != b'\n');
            }
            CountWhat::Words => self.characters(piece, Self::letter),
            CountWhat::Bytes => self.total += piece.len() as u64,
            // A byte that is part of none is none, as with GNU `wc`.
            CountWhat::Characters => self.characters(piece, |counter, _| counter.total += 1),
            CountWhat::Files | CountWhat::Folders => {}
        }
    }

    fn total(&self) -> u64 {
        let last_line = self.what == CountWhat::Lines && self.inside;
        self.total + u64::from(last_line)
    }
}

/// What parts words in a UTF-8 locale: GNU `wc` takes the spaces that do not break a line, too.
fn parts_words(c: char) -> bool {
    matches!(
        c,
        '\t'..='\r' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{2060}' | '\u{3000}'
    )
}

/// How many bytes at the end of a piece are the beginning of a character that goes on behind it.
fn cut_off(piece: &[u8]) -> usize {
    let is_begun = |tail: &[u8]| {
        std::str::from_utf8(tail).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
    };
    (1..=piece.len().min(3)).find(|bytes| is_begun(&piece[piece.len() - bytes..])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(what: CountWhat, text: &[u8], number: u64) {
        for size in 1..=text.len().max(1) {
            let mut counter = Counter::new(what);
            text.chunks(size).for_each(|piece| counter.take(piece));
            assert_eq!(counter.total(), number, "{text:?} in pieces of {size}");
        }
    }

    /// As GNU `wc -m` counts them in a UTF-8 locale, wherever a piece ends.
    #[test]
    fn characters_are_those_of_wc() {
        let check = |text: &[u8], characters| counts(CountWhat::Characters, text, characters);
        check("äöü 𝕏x\n".as_bytes(), 7);
        check(b"caf\xe9 \xff\xfe\0z", 6);
        check(b"\xf0\x9d\x95", 0);
    }

    /// As GNU `wc -w` counts them in a UTF-8 locale, wherever a piece ends.
    #[test]
    fn words_are_those_of_wc() {
        let check = |text: &[u8], words| counts(CountWhat::Words, text, words);
        check("a b\u{a0}c\u{202f}d\u{3000}e\tf".as_bytes(), 6);
        check("a\u{85}b a\u{200b}b \u{2028}".as_bytes(), 2);
        check("äöü 𝕏x \u{1}".as_bytes(), 2);
        check(b"a\xffb \xff", 1);
        check(b"", 0);
    }
}
