//! `search`: lines that hold a text or a match, as `path:line: text`.

use super::{DATA_ENTRIES, Site, Source};
use crate::{
    Undone,
    executor::{
        files::{Faults, Paths, files, pieces},
        glob::Glob,
        outcome::Found,
        text::{Sheet, counted, exact, shown_line, shown_path},
        walk::{Entry, Tally},
    },
};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Lines are looked at up to this many bytes at a time; a longer one counts as several.
const LINE_BYTES: usize = 1 << 20;
/// A line in the answer is cut at this many bytes.
const SHOWN_BYTES: usize = 500;
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

fn in_files(site: &Site, wish: &Wish, pattern: &Regex, paths: &Paths) -> Result<Found, Undone> {
    let glob = Glob::of(wish.name.as_deref())?;
    let wanted = |entry: &Entry<'_>| glob.as_ref().is_none_or(|glob| glob.fits(entry.name()));
    let (mut faults, mut sheet) = (Faults::default(), Sheet::default());
    let (mut looked_at, mut binary, mut total, mut more) = (0_u64, 0_u64, 0_u64, false);
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
        if lines.count > 0 {
            let path = shown_path(looked.path);
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
            total += lines.count;
            with.push(looked.path.to_owned());
        }
        Ok(())
    })?;
    let remarks = faults.remarks(looked_at + tally.seen)?;
    let mut sheet = sheet.end();
    if total == 0 {
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
    faults.settle(Found { text, body, data, paths, number: Some(total), ..Found::default() })
}

fn data(total: u64, matches: &[Value], files: usize, tally: &Tally, faults: u64) -> Value {
    let cut = matches.len() as u64 != total || tally.cut;
    json!({ "total": total, "files": files, "matches": matches, "cut": cut, "unreadable": tally.unreadable + faults })
}

/// Cuts pieces into lines and keeps those that match.
struct Lines<'a> {
    pattern: &'a Regex,
    path: Option<PathBuf>,
    line: Vec<u8>,
    number: u64,
    count: u64,
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
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.pattern.is_match(line) {
            self.count += 1;
            if self.shown.len() < Self::SHOWN {
                let mut text = shown_line(&line[..line.len().min(SHOWN_BYTES)]);
                if line.len() > SHOWN_BYTES {
                    text.push('…');
                }
                self.shown.push((self.number, text));
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
