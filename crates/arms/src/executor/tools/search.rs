//! `search`: lines that hold a text or a match, as `path:line: text`, or how many these are.

use super::{DATA_ENTRIES, Site, Source};
use crate::{
    Undone,
    executor::{
        files::{Faults, files, pieces},
        glob::Glob,
        outcome::Found,
        text::{Sheet, counted, exact, grouped, shown_line, shown_path},
        walk::{Entry, Tally},
    },
};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Lines are looked at up to this many bytes at a time; in a longer one what lies across such a border is not found.
const LINE_BYTES: usize = 16 << 20;
/// Of a line so many bytes are shown at most.
const SHOWN_BYTES: usize = 500;
/// So many of them before a match that lies further behind.
const BEFORE_BYTES: usize = 100;
/// A file with a NUL byte in its beginning is no text.
const PROBE_BYTES: usize = 8 << 10;
/// A compiled pattern takes at most so many bytes.
const PATTERN_SIZE: usize = 1 << 20;
/// A text is gone through in pieces of this many bytes; between two the tool may be stopped.
const TEXT_PIECE: usize = 64 << 10;

pub(super) struct Wish {
    pub(super) pattern: String,
    pub(super) regex: bool,
    pub(super) ignore_case: bool,
    pub(super) name: Option<String>,
    pub(super) count: bool,
}

pub(super) fn search(site: &Site, wish: &Wish, from: Source) -> Result<Found, Undone> {
    let pattern = if wish.regex { wish.pattern.clone() } else { regex::escape(&wish.pattern) };
    let compiled = RegexBuilder::new(&pattern)
        .case_insensitive(wish.ignore_case)
        .size_limit(PATTERN_SIZE)
        .dfa_size_limit(PATTERN_SIZE)
        .build();
    let pattern = compiled.map_err(|e| Undone::for_good(format!("the pattern cannot be used: {e}")))?;
    match from {
        Source::Text(text) => {
            let mut lines = Lines::new(&pattern, None);
            for piece in text.as_bytes().chunks(TEXT_PIECE) {
                site.stop.check()?;
                lines.take(piece);
            }
            lines.end();
            let number = lines.count;
            if wish.count {
                let (text, data) = (format!("{}\n", counted(number, "line")), json!({ "total": number }));
                return Ok(Found { text, data, number: Some(number), ..Found::default() });
            }
            let mut sheet = Sheet::default();
            lines.shown.iter().for_each(|(_, line)| sheet.line(line));
            let mut sheet = sheet.end();
            if number == 0 {
                sheet.remark("no line matches");
            } else if number > lines.shown.len() as u64 {
                sheet.remark(format!("(and {})", counted(number - lines.shown.len() as u64, "more line")));
                sheet.not_whole();
            }
            let data =
                json!({ "total": number, "matches": lines.data(), "cut": number > DATA_ENTRIES as u64 });
            let (text, body) = sheet.finish();
            Ok(Found { text, body, data, paths: Some(Vec::new()), number: Some(number), ..Found::default() })
        }
        Source::Paths(paths) => in_files(site, wish, &pattern, &paths),
    }
}

/// Of at most so many files that are named or handed on it is also told which have no such line.
const NONE_IN_MAX: usize = 100;

fn in_files(site: &Site, wish: &Wish, pattern: &Regex, paths: &[String]) -> Result<Found, Undone> {
    let glob = Glob::of(wish.name.as_deref())?;
    let wanted = |entry: &Entry<'_>| glob.as_ref().is_none_or(|glob| glob.fits(entry.name()));
    let (mut faults, mut sheet) = (Faults::default(), Sheet::default());
    let (mut looked_at, mut binary, mut total, mut more) = (0_u64, 0_u64, 0_u64, false);
    // Of one file that is named its own number is the answer.
    let mut alone = false;
    let mut with: Vec<PathBuf> = Vec::new();
    let mut matches: Vec<Value> = Vec::new();
    let tally = files(&site.reach, paths, &site.stop, &wanted, &mut faults, &mut |looked, faults| {
        let mut lines = Lines::new(pattern, Some(looked.path.to_owned()));
        let read = pieces(&looked.file, &site.stop, |piece| lines.take(piece))?;
        if let Err(error) = read {
            looked.fault(faults, &error);
            return Ok(());
        }
        lines.end();
        looked_at += 1;
        if lines.binary {
            binary += 1;
            return Ok(());
        }
        let path = || shown_path(looked.path);
        alone = looked.named && paths.len() == 1;
        // As with `grep -c`: of a file that is named also that it has none, unless that would be most of the answer.
        if wish.count && (lines.count > 0 || (looked.named && paths.len() <= NONE_IN_MAX)) {
            sheet.line(format!("{} in {}", counted(lines.count, "line"), path()));
        }
        if lines.count > 0 && !wish.count {
            let path = path();
            lines.shown.iter().for_each(|(at, line)| sheet.line(format!("{path}:{at}: {line}")));
            if lines.count > lines.shown.len() as u64 {
                more = true;
                sheet.line(format!(
                    "{path}: (and {})",
                    counted(lines.count - lines.shown.len() as u64, "more line")
                ));
            }
            let room = DATA_ENTRIES - matches.len().min(DATA_ENTRIES);
            matches.extend(lines.data().into_iter().take(room));
        }
        if lines.count > 0 {
            total += lines.count;
            with.push(looked.path.to_owned());
        }
        Ok(())
    })?;
    let remarks = faults.remarks(looked_at + tally.seen)?;
    let mut sheet = sheet.end();
    if wish.count {
        if !alone {
            // A remark is told however long the list is.
            let (with, all) = (grouped(with.len() as u64), counted(looked_at - binary, "file"));
            sheet.remark(format!("{} in {with} of {all}", counted(total, "line")));
        }
    } else if total == 0 {
        sheet.remark(format!("no line matches in {}", counted(looked_at - binary, "file")));
    } else {
        sheet.remark(format!("({} in {})", counted(total, "line"), counted(with.len() as u64, "file")));
    }
    if binary > 0 {
        sheet.remark(format!("({} of binary data not searched)", counted(binary, "file")));
    }
    sheet.remarks(&remarks);
    sheet.remarks(&tally.remarks());
    if more || tally.cut {
        sheet.not_whole();
    }
    with.sort();
    let data = data(total, &matches, with.len(), &tally, faults.count());
    let paths = (!tally.cut).then(|| with.iter().map(|path| exact(path)).collect());
    let (text, body) = sheet.finish();
    faults.settle(Found { text, body, data, paths, number: Some(total), ..Found::default() }, &tally)
}

fn data(total: u64, matches: &[Value], files: usize, tally: &Tally, faults: u64) -> Value {
    let cut = (!matches.is_empty() && matches.len() as u64 != total) || tally.cut;
    json!({ "total": total, "files": files, "matches": matches, "cut": cut, "unreadable": tally.unreadable + faults })
}

/// Cuts pieces into lines and keeps those that match.
struct Lines<'a> {
    pattern: &'a Regex,
    path: Option<PathBuf>,
    line: Vec<u8>,
    number: u64,
    count: u64,
    /// The line that goes on has matched already.
    counted: bool,
    begun: bool,
    binary: bool,
    shown: Vec<(u64, String)>,
}

impl<'a> Lines<'a> {
    /// In one file this many matching lines are kept, the rest is counted.
    const SHOWN: usize = 10_000;

    fn new(pattern: &'a Regex, path: Option<PathBuf>) -> Self {
        let (number, count) = (1, 0);
        Lines {
            pattern,
            path,
            line: Vec::new(),
            number,
            count,
            counted: false,
            begun: false,
            binary: false,
            shown: Vec::new(),
        }
    }

    /// Whether more is wanted.
    fn take(&mut self, piece: &[u8]) -> bool {
        if !self.begun {
            self.begun = true;
            self.binary = self.path.is_some() && piece[..piece.len().min(PROBE_BYTES)].contains(&0);
        }
        if self.binary {
            return false;
        }
        for part in piece.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.line_over();
                self.number += 1;
                self.counted = false;
            } else if self.line.len() >= LINE_BYTES {
                self.line_over();
            }
        }
        true
    }

    fn end(&mut self) {
        if !self.line.is_empty() {
            self.line_over();
        }
    }

    fn line_over(&mut self) {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        // What ends a line for `$` is the line feed alone, as with `grep`.
        if let Some(found) = self.pattern.find(line).filter(|_| !self.counted) {
            self.counted = true;
            self.count += 1;
            if self.shown.len() < Self::SHOWN {
                self.shown.push((self.number, around(line, found.start(), found.end())));
            }
        }
        self.line.clear();
    }

    fn data(&self) -> Vec<Value> {
        let path = self.path.as_ref().map(|path| path.to_string_lossy());
        let row = |(at, line): &(u64, String)| json!({ "path": path, "line": at, "text": line });
        self.shown.iter().take(DATA_ENTRIES).map(row).collect()
    }
}

/// The line, or so much of a long one that its first match is seen.
fn around(line: &[u8], start: usize, end: usize) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let from = if end <= SHOWN_BYTES { 0 } else { start.saturating_sub(BEFORE_BYTES) };
    let from = whole_from(line, from);
    let until = whole_from(line, (from + SHOWN_BYTES).min(line.len()));
    let (before, behind) = (if from > 0 { "…" } else { "" }, if until < line.len() { "…" } else { "" });
    format!("{before}{}{behind}", shown_line(&line[from..until]))
}

/// Where a character begins, at `at` or a little before.
fn whole_from(line: &[u8], at: usize) -> usize {
    let begins = |at: &usize| line.get(*at).is_none_or(|b| b & 0xc0 != 0x80);
    (at.saturating_sub(3)..=at).rev().find(begins).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_line_the_part_around_the_match_is_shown() {
        assert_eq!(around(b"a needle\r", 2, 8), "a needle");
        let line = format!("{}needle{}", "ä".repeat(2000), "z".repeat(2000));
        let shown = around(line.as_bytes(), 4000, 4006);
        assert!(shown.starts_with("…ää") && shown.contains("äneedlez") && shown.ends_with("z…"), "{shown}");
        let end = format!("{}needle", "x".repeat(3000));
        let shown = around(end.as_bytes(), 3000, 3006);
        assert!(shown.starts_with("…x") && shown.ends_with("needle"), "{shown}");
        assert!(around(end.as_bytes(), 0, 1).ends_with("x…"));
    }
}
