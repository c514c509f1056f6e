//! `read_file`: the text of files.

use super::Site;
use crate::{
    Undone,
    executor::{
        files::{Faults, pieces},
        outcome::{Content, Found},
        text::{SHEET_BYTES, Sheet, counted, shown_path, size},
        walk::Tally,
    },
};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{Seek as _, SeekFrom},
};

/// Which lines are asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// None before this one; the first line is 1.
    pub(super) from: Option<u32>,
    pub(super) first: Option<u32>,
    pub(super) last: Option<u32>,
}

pub(super) fn read_file(site: &Site, paths: &[String], asked: Asked) -> Result<Found, Undone> {
    let (mut faults, mut sheet) = (Faults::default(), Sheet::default());
    let mut rows: Vec<Value> = Vec::new();
    let (mut whole, mut cut) = (String::new(), false);
    for path in paths {
        let (path, file, stat) = match site.reach.file(path) {
            Ok(opened) => opened,
            Err(error) => {
                faults.add_named(error);
                continue;
            }
        };
        let bytes = u64::try_from(stat.st_size).unwrap_or(0);
        let part = match part(&file, bytes, asked, site)? {
            Ok(part) => part,
            Err(error) => {
                faults.add_named(format!("{}: {error}", shown_path(&path)));
                continue;
            }
        };
        if paths.len() > 1 {
            sheet.line(format!("== {} ==", shown_path(&path)));
        }
        let text = String::from_utf8_lossy(&part.bytes).replace('\0', "\u{fffd}");
        let utf8 = std::str::from_utf8(&part.bytes).is_ok();
        whole.push_str(&text);
        cut |= part.cut;
        let body = text.strip_suffix('\n').unwrap_or(&text);
        if !text.is_empty() {
            sheet.line(body);
        } else if bytes == 0 {
            sheet.line(format!("({} is empty)", shown_path(&path)));
        }
        if let Some(lines) = part.only.filter(|_| bytes > 0) {
            sheet.line(format!("({} has only {})", shown_path(&path), counted(lines, "line")));
        }
        if part.cut {
            sheet.line(format!("(only {} of {} are shown)", size(part.bytes.len() as u64), size(bytes)));
        }
        if !utf8 {
            sheet.line("(not all of it is UTF-8 text; what is not is shown as \u{fffd})");
        }
        rows.push(json!({ "path": path.to_string_lossy(), "bytes": bytes, "utf8": utf8, "cut": part.cut }));
    }
    let remarks = faults.remarks(rows.len() as u64)?;
    remarks.iter().for_each(|remark| sheet.line(remark));
    if paths.is_empty() {
        sheet.line("there are no files to read");
    }
    let data = json!({ "files": rows, "unreadable": faults.count() });
    let body = if cut || faults.count() > 0 { Content::Partial } else { Content::Only(whole) };
    // The sheet has remarks between the files: what they hold is kept apart.
    let (text, _) = sheet.end().finish();
    faults.settle(Found { text, data, body, ..Found::default() }, &Tally::default())
}

struct Part {
    bytes: Vec<u8>,
    /// The bound on bytes took something away that was asked for.
    cut: bool,
    /// The file has so many lines, and fewer than a range of lines names.
    only: Option<u64>,
}

fn part(mut file: &File, size: u64, asked: Asked, site: &Site) -> Result<std::io::Result<Part>, Undone> {
    let Asked { from, first, last } = asked;
    let before = u64::from(from.unwrap_or(1).saturating_sub(1));
    let most = SHEET_BYTES - 64 * 1024;
    if first.is_none()
        && last.is_some()
        && let Err(error) = file.seek(SeekFrom::Start(size.saturating_sub(most as u64)))
    {
        return Ok(Err(error));
    }
    // How many lines have ended, and whether another has begun since.
    let (mut bytes, mut lines, mut cut, mut begun) = (Vec::new(), 0_u64, false, false);
    let read = pieces(file, &site.stop, |piece| {
        let mut piece = piece;
        begun = !piece.ends_with(b"\n");
        while lines < before {
            let Some(end) = piece.iter().position(|b| *b == b'\n') else { return true };
            lines += 1;
            piece = &piece[end + 1..];
        }
        if let Some(first) = first {
            let left = u64::from(first).saturating_sub(lines);
            let ends = piece.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
            let mut seen = 0;
            for end in ends {
                seen += 1;
                if seen == left {
                    piece = &piece[..end];
                    break;
                }
            }
            if left == 0 {
                return false;
            }
            lines += seen;
        }
        let room = most - bytes.len();
        cut = piece.len() > room;
        bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        !cut && first.is_none_or(|first| lines < u64::from(first))
    })?;
    if let Err(error) = read {
        return Ok(Err(error));
    }
    if let Some(last) = last {
        let whole = size <= most as u64 || first.is_some();
        let keep = last_lines(&bytes, last);
        cut |= !whole && keep == 0;
        bytes.drain(..keep);
    }
    let counted = lines + u64::from(begun);
    let wanted = u64::from(first.unwrap_or(0)).max(before + 1);
    // Behind what is shown lines are not counted, and need not be.
    let only = (from.is_some() && !cut && (first.is_some() || bytes.is_empty()) && counted < wanted)
        .then_some(counted);
    Ok(Ok(Part { bytes, cut, only }))
}

/// Where the last `count` lines begin.
fn last_lines(bytes: &[u8], count: u32) -> usize {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if count == 0 {
        return bytes.len();
    }
    let nth = usize::try_from(count - 1).unwrap_or(usize::MAX);
    body.iter().enumerate().rev().filter(|(_, b)| **b == b'\n').nth(nth).map_or(0, |(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_begin_after_a_line_end() {
        let check = |text: &str, count, wanted: &str| {
            assert_eq!(&text[last_lines(text.as_bytes(), count)..], wanted);
        };
        check("a\nb\nc\n", 2, "b\nc\n");
        check("a\nb\nc", 1, "c");
        check("a\nb\n", 9, "a\nb\n");
        check("a\n", 0, "");
        check("", 3, "");
    }
}
