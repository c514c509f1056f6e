//! `compare`: whether two files hold the same bytes, and where they first differ.

use super::Site;
use crate::{
    Undone,
    executor::{
        outcome::Found,
        text::{counted, grouped, shown_path, size},
    },
};
use serde_json::json;
use std::{
    fs::File,
    io::{self, Read as _},
};

pub(super) fn compare(site: &Site, left: &str, right: &str) -> Result<Found, Undone> {
    let open = |path| site.reach.file(path).map_err(|e| Undone::for_good(e.to_string()));
    let ((left, left_file, left_stat), (right, right_file, right_stat)) = (open(left)?, open(right)?);
    let (left, right) = (shown_path(&left), shown_path(&right));
    let sizes = [left_stat.st_size, right_stat.st_size].map(|size| u64::try_from(size).unwrap_or(0));
    let unreadable = |error: io::Error| Undone::for_good(format!("one of the files cannot be read: {error}"));
    let found = first_difference(left_file, right_file, site)?.map_err(unreadable)?;
    let (text, data) = match found {
        Difference::None { bytes } => (
            format!("{left} and {right} are the same: {}\n", size(bytes)),
            json!({ "same": true, "bytes": bytes }),
        ),
        Difference::At { byte, line } => (
            format!(
                "{left} and {right} differ, first at byte {} in line {} ({} and {})\n",
                grouped(byte),
                grouped(line),
                size(sizes[0]),
                size(sizes[1]),
            ),
            json!({ "same": false, "first_byte": byte, "first_line": line, "bytes": sizes }),
        ),
        Difference::End { shorter_left, bytes } => {
            let (shorter, longer) = if shorter_left { (&left, &right) } else { (&right, &left) };
            (
                format!(
                    "{shorter} ends after {}, where {longer} goes on; up to there they are the same\n",
                    counted(bytes, "byte")
                ),
                json!({ "same": false, "first_byte": bytes + 1, "bytes": sizes }),
            )
        }
    };
    Ok(Found { text, data, ..Found::default() })
}

enum Difference {
    None {
        bytes: u64,
    },
    /// Both counted from 1.
    At {
        byte: u64,
        line: u64,
    },
    End {
        shorter_left: bool,
        bytes: u64,
    },
}

fn first_difference(mut left: File, mut right: File, site: &Site) -> Result<io::Result<Difference>, Undone> {
    const PIECE: usize = 128 << 10;
    let (mut a, mut b) = (vec![0; PIECE], vec![0; PIECE]);
    let (mut bytes, mut line) = (0_u64, 1_u64);
    loop {
        site.stop.check()?;
        let (read_a, read_b) = match (fill(&mut left, &mut a), fill(&mut right, &mut b)) {
            (Ok(read_a), Ok(read_b)) => (read_a, read_b),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        };
        let both = read_a.min(read_b);
        if let Some(at) = a[..both].iter().zip(&b[..both]).position(|(x, y)| x != y) {
            line += newlines(&a[..at]);
            return Ok(Ok(Difference::At { byte: bytes + at as u64 + 1, line }));
        }
        bytes += both as u64;
        if read_a != read_b {
            return Ok(Ok(Difference::End { shorter_left: read_a < read_b, bytes }));
        }
        if both < PIECE {
            return Ok(Ok(Difference::None { bytes }));
        }
        line += newlines(&a[..both]);
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|b| u64::from(*b == b'\n')).sum()
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
