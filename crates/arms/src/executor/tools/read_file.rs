//! `read_file`: the text of files.

use super::Site;
use crate::{
    Undone,
    executor::{
        files::{Faults, Paths, pieces},
        outcome::{Content, Found},
        text::{SHEET_BYTES, Sheet, shown_path, size},
    },
};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{Seek as _, SeekFrom},
};

pub(super) fn read_file(
    site: &Site,
    paths: &Paths,
    first_lines: Option<u32>,
    last_lines: Option<u32>,
) -> Result<Found, Undone> {
    let (mut faults, mut sheet) = (Faults::default(), Sheet::default());
    let mut rows: Vec<Value> = Vec::new();
    let (mut whole, mut cut) = (String::new(), false);
    for path in paths.all() {
        let (path, file, stat) = match site.reach.file(path) {
            Ok(opened) => opened,
            Err(error) => {
                paths.fault(&mut faults, error);
                continue;
            }
        };
        let bytes = u64::try_from(stat.st_size).unwrap_or(0);
        let part = match part(&file, bytes, first_lines, last_lines, site)? {
            Ok(part) => part,
            Err(error) => {
                paths.fault(&mut faults, format!("{}: {error}", shown_path(&path)));
                continue;
            }
        };
        if paths.all().len() > 1 {
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
    if paths.all().is_empty() {
        sheet.line("there are no files to read");
    }
    let data = json!({ "files": rows, "unreadable": faults.count() });
    let body = if cut || faults.count() > 0 { Content::Partial } else { Content::Only(whole) };
    // The sheet has remarks between the files: what they hold is kept apart.
    let (text, _) = sheet.end().finish();
    faults.settle(Found { text, data, body, ..Found::default() })
}

struct Part {
    bytes: Vec<u8>,
    /// The bound on bytes took something away that was asked for.
    cut: bool,
}

fn part(
    mut file: &File,
    size: u64,
    first: Option<u32>,
    last: Option<u32>,
    site: &Site,
) -> Result<std::io::Result<Part>, Undone> {
    let most = SHEET_BYTES - 64 * 1024;
    if first.is_none()
        && last.is_some()
        && let Err(error) = file.seek(SeekFrom::Start(size.saturating_sub(most as u64)))
    {
        return Ok(Err(error));
    }
    let (mut bytes, mut lines, mut cut) = (Vec::new(), 0_u64, false);
    let read = pieces(file, &site.stop, |piece| {
        let mut piece = piece;
        if let Some(first) = first {
            let left = u64::from(first) - lines;
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
    Ok(Ok(Part { bytes, cut }))
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
