//! The tools, one a file.

mod address;
mod compare;
mod count;
mod disk_use;
mod find;
mod hash;
pub(super) mod http_fetch;
mod list;
mod read_file;
mod search;
pub(super) mod shell;
mod write_file;

use super::{Stop, outcome::Found, paths_of, reach::Reach};
use crate::Undone;
use jiff::tz::TimeZone;
use octollm_contract::Timestamp;
use octollm_plan::{Arg, FindKind, InputName, InputValue, SortBy, ToolCall};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf};

/// Data for programs holds at most this many entries; it says when there are more.
const DATA_ENTRIES: usize = 1000;

/// Where a tool works.
pub(super) struct Site {
    pub(super) reach: Reach,
    pub(super) stop: Stop,
    pub(super) now: Timestamp,
    /// Where days of the calendar begin.
    pub(super) zone: TimeZone,
    pub(super) inputs: BTreeMap<InputName, InputValue>,
    pub(super) workspace: Option<PathBuf>,
}

/// Runs a tool that reads or writes files.
pub(super) fn run(call: ToolCall, site: &Site) -> Result<Found, Undone> {
    if let Some(why) = call.fault_of_lines() {
        return Err(Undone::for_good(why.to_owned()));
    }
    match call {
        ToolCall::List { path, hidden, recursive, kind, sort, limit, details } => {
            list::list(site, &path, &list::Wish { hidden, recursive, kind, sort, limit, details })
        }
        ToolCall::Find {
            path,
            name,
            max_depth,
            hidden,
            kind,
            newer_than,
            older_than,
            changed,
            size,
            sort,
            limit,
            details,
            required,
            itself,
            if_there,
            count,
        } => {
            let range = find::range(max_depth, hidden);
            let wish = find::Wish {
                name,
                range,
                kind,
                newer_than,
                older_than,
                changed,
                size,
                sort,
                limit,
                details,
                required,
                itself,
                if_there,
                count,
            };
            find::find(site, &path, &wish)
        }
        ToolCall::ReadFile { paths, first_lines, last_lines, from_line } => {
            let asked = read_file::Asked { from: from_line, first: first_lines, last: last_lines };
            read_file::read_file(site, &paths_of(&paths, &site.inputs)?, asked)
        }
        ToolCall::WriteFile { path, content } => {
            write_file::write_file(site, &path, &super::text_of(&content, &site.inputs)?)
        }
        ToolCall::Count { what, paths, text, name, recursive } => {
            let from = source(paths.as_ref(), text.as_ref(), site)?;
            count::count(site, what, from, name.as_deref(), recursive)
        }
        ToolCall::Search { pattern, regex, ignore_case, paths, text, name, count } => {
            let from = source(paths.as_ref(), text.as_ref(), site)?;
            search::search(site, &search::Wish { pattern, regex, ignore_case, name, count }, from)
        }
        ToolCall::Hash { kind, paths, text } => {
            hash::hash(site, kind, source(paths.as_ref(), text.as_ref(), site)?)
        }
        ToolCall::DiskUse { paths } => disk_use::disk_use(site, &paths_of(&paths, &site.inputs)?),
        ToolCall::Compare { left, right } => compare::compare(site, &left, &right),
        ToolCall::HttpFetch { .. } | ToolCall::Shell { .. } | ToolCall::ShellString { .. } => {
            Err(Undone::for_good("this tool does not run here"))
        }
    }
}

/// A tool's name as it is written in plans.
pub(super) fn name(call: &ToolCall) -> &'static str {
    match call {
        ToolCall::List { .. } => "list",
        ToolCall::Find { .. } => "find",
        ToolCall::ReadFile { .. } => "read_file",
        ToolCall::WriteFile { .. } => "write_file",
        ToolCall::Count { .. } => "count",
        ToolCall::Search { .. } => "search",
        ToolCall::Hash { .. } => "hash",
        ToolCall::DiskUse { .. } => "disk_use",
        ToolCall::Compare { .. } => "compare",
        ToolCall::HttpFetch { .. } => "http_fetch",
        ToolCall::Shell { .. } => "shell",
        ToolCall::ShellString { .. } => "shell_string",
    }
}

/// The paths that a call reads.
pub(super) fn paths(call: &ToolCall, inputs: &BTreeMap<InputName, InputValue>) -> Vec<String> {
    let of = |arg: &Arg<Vec<String>>| paths_of(arg, inputs).unwrap_or_default();
    match call {
        ToolCall::List { path, .. } | ToolCall::Find { path, .. } => vec![path.clone()],
        ToolCall::ReadFile { paths, .. } | ToolCall::DiskUse { paths } => of(paths),
        ToolCall::Count { paths, .. } | ToolCall::Search { paths, .. } | ToolCall::Hash { paths, .. } => {
            paths.as_ref().map(of).unwrap_or_default()
        }
        ToolCall::Compare { left, right } => vec![left.clone(), right.clone()],
        ToolCall::WriteFile { .. }
        | ToolCall::HttpFetch { .. }
        | ToolCall::Shell { .. }
        | ToolCall::ShellString { .. } => Vec::new(),
    }
}

/// What a tool works on.
enum Source {
    Paths(Vec<String>),
    Text(String),
}

fn source(
    paths: Option<&Arg<Vec<String>>>,
    text: Option<&Arg<String>>,
    site: &Site,
) -> Result<Source, Undone> {
    match (paths, text) {
        (Some(paths), None) => paths_of(paths, &site.inputs).map(Source::Paths),
        (None, Some(text)) => super::text_of(text, &site.inputs).map(Source::Text),
        (Some(_), Some(_)) | (None, None) => {
            Err(Undone::for_good("exactly one of paths and text must be given"))
        }
    }
}

fn wants(kind: FindKind, is: super::reach::Kind) -> bool {
    match kind {
        FindKind::Any => true,
        FindKind::File => is == super::reach::Kind::File,
        FindKind::Folder => is == super::reach::Kind::Folder,
    }
}

/// An entry that is kept for the answer.
struct Row {
    path: PathBuf,
    kind: super::reach::Kind,
    mode: u32,
    bytes: u64,
    modified: i64,
    /// What of its last change is less than a millisecond: files that are written together differ in it.
    modified_nanos: u32,
}

impl Row {
    fn of(entry: &super::walk::Entry<'_>) -> Self {
        Row {
            path: entry.path.clone(),
            kind: entry.kind,
            mode: entry.stat.st_mode,
            bytes: entry.bytes(),
            modified: entry.modified(),
            modified_nanos: u32::try_from(entry.stat.st_mtime_nsec % 1_000_000).unwrap_or(0),
        }
    }

    /// A line for people, under this name.
    fn line(&self, name: &std::path::Path, details: bool, zone: &TimeZone) -> String {
        let slash = if self.kind == super::reach::Kind::Folder { "/" } else { "" };
        let name = super::text::shown_path(name);
        if !details {
            return format!("{name}{slash}");
        }
        let changed = jiff::Timestamp::from_millisecond(self.modified).map_or_else(
            |_| "-".to_owned(),
            |at| at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string(),
        );
        let (rights, bytes) = (rights(self.kind, self.mode), super::text::grouped(self.bytes));
        format!("{rights} {bytes:>15} {changed:>16} {name}{slash}")
    }

    fn data(&self) -> Value {
        json!({
            "path": self.path.to_string_lossy(),
            "kind": self.kind.word(),
            "bytes": self.bytes,
            "modified": Timestamp::from_millis(self.modified),
        })
    }
}

/// `drwxr-xr-x`, as `ls -l` has it, without the bits that mean something else to programs and folders.
fn rights(kind: super::reach::Kind, mode: u32) -> String {
    let kind = match kind {
        super::reach::Kind::Folder => 'd',
        super::reach::Kind::File => '-',
        super::reach::Kind::Link => 'l',
        super::reach::Kind::Special(_) => '?',
    };
    let right = |(at, letter): (usize, char)| if mode >> (8 - at) & 1 == 1 { letter } else { '-' };
    std::iter::once(kind).chain("rwxrwxrwx".chars().enumerate().map(right)).collect()
}

/// Puts rows in order; rows that are alike in it stand by path.
fn sort(rows: &mut [Row], by: SortBy) {
    rows.sort_unstable_by(|a, b| {
        let changed = |row: &Row| (row.modified, row.modified_nanos);
        let first = match by {
            SortBy::Name => std::cmp::Ordering::Equal,
            SortBy::Largest => b.bytes.cmp(&a.bytes),
            SortBy::Smallest => a.bytes.cmp(&b.bytes),
            SortBy::Newest => changed(b).cmp(&changed(a)),
            SortBy::Oldest => changed(a).cmp(&changed(b)),
        };
        first.then_with(|| a.path.cmp(&b.path))
    });
}

/// Rows as data: the first of them, how many there are, and whether some are missing.
fn rows_data(rows: &[Row], total: u64, complete: bool) -> Value {
    let entries: Vec<Value> = rows.iter().take(DATA_ENTRIES).map(Row::data).collect();
    let cut = !complete || entries.len() as u64 != total;
    json!({ "total": total, "entries": entries, "cut": cut })
}

/// Of folders that were met at the depth where a search ended: "older than a week" may be meant for what lies in them.
fn not_looked_into(folders: u64) -> Option<String> {
    let told = || {
        format!("(not looked into: {} there; \"recursively\" does)", super::text::counted(folders, "folder"))
    };
    (folders > 0).then(told)
}

/// The paths of rows for a later step.
fn exact_paths(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| super::text::exact(&row.path)).collect()
}
