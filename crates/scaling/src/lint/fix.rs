//! Corrected lines: edits of the text, shown as a patch, and written by `--fix` where they are safe.

use std::collections::BTreeMap;

use crate::read::{FileId, Sources, Span};

use super::finding::Report;

/// Replaces the bytes of `span` with `text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; empty to insert.
    pub span: Span,
    /// What stands there then.
    pub text: String,
}

/// Corrected lines of one finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// The edits; they do not overlap.
    pub edits: Vec<Edit>,
    /// Whether `--fix` may write them.
    pub safe: bool,
}

impl Edit {
    /// Replaces a span.
    pub(super) fn replace(span: Span, text: impl Into<String>) -> Self {
        Self { span, text: text.into() }
    }

    /// Inserts whole lines after the line on which `span` ends. `lines` are indented as they shall stand.
    pub(super) fn insert_after(sources: &Sources, span: Span, lines: &str) -> Self {
        let last = Span { start: span.end.saturating_sub(1).max(span.start), ..span };
        let end = sources.line_range(span.file, sources.line(last)).end;
        Self { span: Span::point(span.file, end), text: format!("\n{lines}") }
    }

    /// Removes the whole lines from the one on which `span` begins to the one on which it ends.
    pub(super) fn remove_lines(sources: &Sources, span: Span) -> Self {
        let last = Span { start: span.end.saturating_sub(1).max(span.start), ..span };
        let start = sources.line_range(span.file, sources.line(span)).start;
        let end = sources.line_range(span.file, sources.line(last)).end;
        let text = sources.text(span.file);
        let end = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
        Self { span: Span::new(span.file, start, end), text: String::new() }
    }
}

/// The indentation of the line on which `span` begins, with a list's dash counted as spaces.
pub(super) fn indent_of(sources: &Sources, span: Span) -> String {
    " ".repeat(sources.place(span).column - 1)
}

/// How many unchanged lines a patch shows around a change.
const CONTEXT_LINES: usize = 1;

/// A patch repeats its lines. A file that is one long line could ask for as many copies of itself as it has faults.
const LINE_BYTES_MAX: usize = 4096;

/// The edits of a fix as a unified diff with one line of context, for people and `git apply --unidiff-zero`. Empty
/// where a line is too long to be shown; `--fix` writes it all the same.
pub fn patch(sources: &Sources, fix: &Fix) -> String {
    let mut out = String::new();
    let is_long = |edit: &Edit| {
        let first = sources.line(edit.span);
        let around = first.saturating_sub(CONTEXT_LINES)..=last_line(sources, edit) + CONTEXT_LINES;
        around.into_iter().any(|line| sources.line_range(edit.span.file, line).len() > LINE_BYTES_MAX)
    };
    if fix.edits.iter().any(is_long) {
        return out;
    }
    for (file, edits) in by_file(&fix.edits) {
        let path = sources.path(file);
        out.push_str(&format!("--- a/{path}\n+++ b/{path}\n"));
        let mut shift = 0_i64;
        for hunk in hunks(sources, file, &edits) {
            out.push_str(&hunk.show(&mut shift));
        }
    }
    out
}

fn by_file(edits: &[Edit]) -> BTreeMap<FileId, Vec<&Edit>> {
    let mut files: BTreeMap<FileId, Vec<&Edit>> = BTreeMap::new();
    for edit in edits {
        files.entry(edit.span.file).or_default().push(edit);
    }
    for edits in files.values_mut() {
        edits.sort_by_key(|edit| edit.span);
    }
    files
}

/// A run of lines and what replaces them.
struct Hunk {
    first_line: usize,
    before: Vec<String>,
    after: Vec<String>,
    lead: Vec<String>,
    tail: Vec<String>,
}

fn hunks(sources: &Sources, file: FileId, edits: &[&Edit]) -> Vec<Hunk> {
    let text = sources.text(file);
    let mut hunks = Vec::new();
    let mut index = 0;
    while index < edits.len() {
        // Edits whose lines touch belong to one hunk.
        let first = sources.line(edits[index].span);
        let mut last = last_line(sources, edits[index]);
        let mut end = index + 1;
        while end < edits.len() && sources.line(edits[end].span) <= last + 1 {
            last = last.max(last_line(sources, edits[end]));
            end += 1;
        }
        let start_byte = sources.line_range(file, first).start;
        let end_byte = sources.line_range(file, last).end;
        let mut changed = String::new();
        let mut at = start_byte;
        for edit in &edits[index..end] {
            let range = edit.span.range();
            changed.push_str(text.get(at..range.start.min(end_byte)).unwrap_or(""));
            changed.push_str(&edit.text);
            at = range.end;
        }
        changed.push_str(text.get(at..end_byte).unwrap_or(""));
        let before = text.get(start_byte..end_byte).unwrap_or("");
        let removes_lines =
            edits[index..end].iter().all(|edit| edit.text.is_empty()) && changed.trim().is_empty();
        let line = |number: usize| text[sources.line_range(file, number)].to_owned();
        let total = sources.line_count(file);
        hunks.push(Hunk {
            first_line: first,
            before: before.lines().map(str::to_owned).collect(),
            after: if removes_lines { Vec::new() } else { changed.lines().map(str::to_owned).collect() },
            lead: (first.saturating_sub(CONTEXT_LINES).max(1)..first).map(line).collect(),
            tail: (last + 1..=(last + CONTEXT_LINES).min(total)).map(line).collect(),
        });
        index = end;
    }
    hunks
}

fn last_line(sources: &Sources, edit: &Edit) -> usize {
    let at = edit.span.end.saturating_sub(1).max(edit.span.start);
    sources.line(Span { start: at, ..edit.span })
}

impl Hunk {
    fn show(&self, shift: &mut i64) -> String {
        let around = self.lead.len() + self.tail.len();
        let start = self.first_line - self.lead.len();
        let count = |lines: usize| i64::try_from(lines).unwrap_or(i64::MAX);
        let new_start = count(start) + *shift;
        let (old, new) = (self.before.len() + around, self.after.len() + around);
        *shift += count(self.after.len()) - count(self.before.len());
        let mut out = format!("@@ -{start},{old} +{new_start},{new} @@\n");
        let mut push = |mark: char, lines: &[String]| {
            for line in lines {
                out.push(mark);
                out.push_str(line);
                out.push('\n');
            }
        };
        push(' ', &self.lead);
        push('-', &self.before);
        push('+', &self.after);
        push(' ', &self.tail);
        out
    }
}

/// What `--fix` writes: the new text of each file that a safe fix changes. Of two fixes that touch the same
/// bytes the first wins; running again brings the other.
pub fn apply_safe(sources: &Sources, report: &Report) -> Vec<(String, String)> {
    let mut taken: BTreeMap<FileId, BTreeMap<(Span, usize), &Edit>> = BTreeMap::new();
    for fix in report.findings.iter().filter_map(|finding| finding.fix.as_ref()).filter(|fix| fix.safe) {
        let free = fix.edits.iter().all(|edit| {
            let nearest = |edits: &BTreeMap<(Span, usize), &Edit>| {
                let upto = Span { start: edit.span.end, end: u32::MAX, ..edit.span };
                edits.range(..=(upto, usize::MAX)).next_back().is_none_or(|(_, other)| apart(edit, other))
            };
            taken.get(&edit.span.file).is_none_or(nearest)
        });
        if free {
            for edit in &fix.edits {
                let edits = taken.entry(edit.span.file).or_default();
                // Two insertions at one place keep their order.
                edits.insert((edit.span, edits.len()), edit);
            }
        }
    }
    taken
        .into_iter()
        .map(|(file, edits)| {
            let text = sources.text(file);
            let mut out = String::with_capacity(text.len());
            let mut at = 0;
            for edit in edits.into_values() {
                let range = edit.span.range();
                out.push_str(text.get(at..range.start).unwrap_or(""));
                out.push_str(&edit.text);
                at = range.end;
            }
            out.push_str(text.get(at..).unwrap_or(""));
            (sources.path(file).to_owned(), out)
        })
        .collect()
}

fn apart(one: &Edit, other: &Edit) -> bool {
    one.span.end < other.span.start || other.span.end < one.span.start
}
