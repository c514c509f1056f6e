//! What a step does, in words for people.

use super::refusal::cut;
use crate::{Arg, CountWhat, HashKind, InputName, Reference, ToolCall};
use std::collections::BTreeMap;

/// One line, at most 200 characters.
pub(super) fn summary(call: &ToolCall, inputs: &BTreeMap<InputName, Reference>) -> String {
    let paths = |arg: &Arg<Vec<String>>| match arg {
        Arg::Given(paths) => paths.join(", "),
        Arg::Input(name) => given_by(inputs.get(name)),
    };
    let place = |arg: &Option<Arg<Vec<String>>>, text: &Option<Arg<String>>| match (arg, text) {
        (Some(arg), _) => paths(arg),
        (None, Some(Arg::Input(name))) => given_by(inputs.get(name)),
        (None, Some(Arg::Given(_)) | None) => "the text".to_owned(),
    };
    let line = match call {
        ToolCall::List { path, .. } => format!("List {path}"),
        ToolCall::Find { path, name, .. } => match name {
            Some(name) => format!("Find {name} in {path}"),
            None => format!("Find files in {path}"),
        },
        ToolCall::ReadFile { paths: of, first_lines: Some(last), from_line: Some(from), .. }
            if from == last =>
        {
            format!("Read line {from} of {}", paths(of))
        }
        ToolCall::ReadFile { paths: of, first_lines: Some(last), from_line: Some(from), .. } => {
            format!("Read the lines {from} to {last} of {}", paths(of))
        }
        ToolCall::ReadFile { paths: of, from_line: Some(from), .. } => {
            format!("Read from line {from} of {}", paths(of))
        }
        ToolCall::ReadFile { paths: of, first_lines, last_lines, from_line: None } => {
            match (first_lines, last_lines) {
                (Some(1), _) => format!("Read the first line of {}", paths(of)),
                (Some(n), _) => format!("Read the first {n} lines of {}", paths(of)),
                (None, Some(1)) => format!("Read the last line of {}", paths(of)),
                (None, Some(n)) => format!("Read the last {n} lines of {}", paths(of)),
                (None, None) => format!("Read {}", paths(of)),
            }
        }
        ToolCall::WriteFile { path, .. } => format!("Write {path}"),
        ToolCall::Count { what, paths, text, .. } => {
            format!("Count the {} in {}", things(*what), place(paths, text))
        }
        ToolCall::Search { pattern, paths, text, count: true, .. } => {
            format!("Count the lines with {pattern:?} in {}", place(paths, text))
        }
        ToolCall::Search { pattern, paths, text, .. } => {
            format!("Search for {pattern:?} in {}", place(paths, text))
        }
        ToolCall::Hash { kind, paths, text } => format!("{} of {}", function(*kind), place(paths, text)),
        ToolCall::DiskUse { paths: of } => format!("Disk use of {}", paths(of)),
        ToolCall::Compare { left, right } => format!("Compare {left} with {right}"),
        ToolCall::HttpFetch { url } => format!("Fetch {url}"),
        ToolCall::Shell { argv, .. } => format!("Run {}", argv.join(" ")),
        ToolCall::ShellString { script, .. } => format!("Run in a shell: {script}"),
    };
    cut(&line, 200)
}

fn given_by(from: Option<&Reference>) -> String {
    from.map_or_else(String::new, |from| format!("what {} gives", from.step))
}

fn things(what: CountWhat) -> &'static str {
    match what {
        CountWhat::Lines => "lines",
        CountWhat::LineEnds => "line ends",
        CountWhat::Words => "words",
        CountWhat::Bytes => "bytes",
        CountWhat::Characters => "characters",
        CountWhat::Files => "files",
        CountWhat::Folders => "folders",
    }
}

fn function(kind: HashKind) -> &'static str {
    match kind {
        HashKind::Sha256 => "SHA-256",
        HashKind::Sha512 => "SHA-512",
        HashKind::Sha1 => "SHA-1",
        HashKind::Md5 => "MD5",
    }
}

/// The word for a call inside a step's name.
pub(super) fn verb(call: &ToolCall) -> &'static str {
    match call {
        ToolCall::List { .. } => "list",
        ToolCall::Find { .. } => "find",
        ToolCall::ReadFile { .. } => "read",
        ToolCall::WriteFile { .. } => "write",
        ToolCall::Count { .. } => "count",
        ToolCall::Search { .. } => "search",
        ToolCall::Hash { .. } => "hash",
        ToolCall::DiskUse { .. } => "disk-use",
        ToolCall::Compare { .. } => "compare",
        ToolCall::HttpFetch { .. } => "fetch",
        ToolCall::Shell { .. } | ToolCall::ShellString { .. } => "run",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_a_line_and_more_are_lines() {
        let of = |first_lines, last_lines| {
            let paths = Arg::Given(vec!["/a".to_owned(), "/b".to_owned()]);
            summary(&ToolCall::ReadFile { paths, first_lines, last_lines, from_line: None }, &BTreeMap::new())
        };
        assert_eq!(of(Some(1), None), "Read the first line of /a, /b");
        assert_eq!(of(Some(2), None), "Read the first 2 lines of /a, /b");
        assert_eq!(of(None, Some(1)), "Read the last line of /a, /b");
        assert_eq!(of(None, Some(10)), "Read the last 10 lines of /a, /b");
        assert_eq!(of(None, None), "Read /a, /b");
    }
}
