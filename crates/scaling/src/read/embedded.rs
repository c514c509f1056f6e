//! Where the text inside a block scalar stands in the file.
//!
//! The adapter's rules live in a ConfigMap's `config.yaml: |`; a finding in them must name the file's own
//! line. A literal block is the file's lines less their indentation, so the mapping is exact; all other
//! styles change the text, and every offset maps to the scalar's start.

use super::{Scalar, Span, Style};

/// Maps offsets in a scalar's text to offsets in the file.
#[derive(Debug)]
pub(super) struct Offsets {
    start: usize,
    /// For each line of the text: its offset there and in the file. Empty when not exact.
    lines: Vec<(usize, usize)>,
}

impl Offsets {
    pub(super) fn to_file(&self, at: usize) -> usize {
        let line = self.lines.partition_point(|(text, _)| *text <= at);
        match line.checked_sub(1).map(|index| self.lines[index]) {
            Some((text, file)) => file + (at - text),
            None => self.start,
        }
    }
}

pub(super) fn offsets(file: &str, span: Span, scalar: &Scalar) -> Offsets {
    let start = span.start as usize;
    let inexact = Offsets { start, lines: Vec::new() };
    if scalar.style != Style::Literal {
        return inexact;
    }
    // The span may begin at the `|` or at the content's first line; the content begins after the line of
    // the indicator in the first case.
    let Some(rest) = file.get(start..) else { return inexact };
    let mut at = if rest.starts_with('|') {
        match rest.find('\n') {
            Some(line_break) => start + line_break + 1,
            None => return inexact,
        }
    } else {
        file[..start].rfind('\n').map_or(0, |line_break| line_break + 1)
    };
    let mut lines = Vec::new();
    let mut in_text = 0;
    for line in scalar.text.split_inclusive('\n') {
        let body = line.strip_suffix('\n').unwrap_or(line);
        let Some(rest) = file.get(at..) else { return inexact };
        let in_file = rest.split('\n').next().unwrap_or("");
        let Some(indent) = in_file.trim_end_matches('\r').strip_suffix(body).map(str::len) else {
            return inexact;
        };
        lines.push((in_text, at + indent));
        in_text += line.len();
        at += in_file.len() + 1;
    }
    Offsets { start, lines }
}
