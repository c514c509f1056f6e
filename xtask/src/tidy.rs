//! House rules that are checked as text: every promise has a test whose comment cites it, no mark
//! of unfinished work stays behind, no test is switched off.

use std::{fs, path::Path};

/// Promises that no test can guard yet, each with the work that brings it. It may only shrink.
const NOT_YET: &[(&str, &str)] = &[];

/// The design's promises are P1 to this one.
const PROMISES: usize = 10;

const MARKS: &[&str] = &["todo!(", "unimplemented!(", "#[ignore", "// FIXME", "// TODO"];

pub(crate) fn check() -> Result<(), String> {
    let mut files = Vec::new();
    for root in ["crates", "sim", "bench", "testkit", "tests"] {
        collect(Path::new(root), &mut files);
    }
    let mut faults = Vec::new();
    let mut cited = [false; PROMISES];
    for (path, text) in &files {
        for mark in MARKS {
            if text.contains(mark) {
                faults.push(format!("{path}: {mark} stays behind"));
            }
        }
        let said = said_of_tests(path, text);
        for (number, cited) in (1..).zip(&mut cited) {
            *cited |= cites(&said, number);
        }
        if (PROMISES + 1..100).any(|number| cites(&said, number)) {
            faults.push(format!("{path}: a test cites a promise beyond P{PROMISES}"));
        }
    }
    for (number, cited) in (1..).zip(cited) {
        let name = format!("P{number}");
        let excused = NOT_YET.iter().find(|(promise, _)| *promise == name);
        match (cited, excused) {
            (false, None) => faults.push(format!("no test cites promise {name}")),
            (true, Some((_, work))) => {
                faults.push(format!(
                    "{name} is cited now; strike it from the list of those that wait for: {work}"
                ));
            }
            (true, None) | (false, Some(_)) => {}
        }
    }
    if faults.is_empty() {
        crate::say(&format!("tidy: {} files, every promise is cited by a test", files.len()));
        Ok(())
    } else {
        Err(faults.join("\n"))
    }
}

/// What a file says of its tests: the doc comment above each test, and the header of a file that
/// is nothing but tests. A promise named elsewhere, such as above what keeps it, guards nothing.
fn said_of_tests(path: &str, text: &str) -> String {
    let (mut said, mut above) = (String::new(), String::new());
    let mut has_tests = false;
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            above.push_str(comment);
            above.push('\n');
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            has_tests = true;
            said.push_str(&std::mem::take(&mut above));
        } else if !line.starts_with("#[") {
            above.clear();
        }
    }
    let only_tests = path.contains("/tests/") || path.starts_with("tests/") || path.ends_with("/tests.rs");
    if has_tests && only_tests {
        let header = text.lines().filter_map(|line| line.strip_prefix("//!"));
        said.extend(header.flat_map(|line| [line, "\n"]));
    }
    said
}

/// Whether `text` names `P<number>` as a word of its own.
fn cites(text: &str, number: usize) -> bool {
    let name = format!("P{number}");
    text.match_indices(&name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !word(before) && !word(after)
    })
}

fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs")
            && let Ok(text) = fs::read_to_string(&path)
        {
            files.push((path.display().to_string(), text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_above_a_test_is_said_of_it() {
        let text = "//! Keeps P1.\n/// Keeps P2.\nfn keep() {}\n/// P3: kept\n/// when late.\n#[tokio::test]\n\
                    // P5\nasync fn kept() {}\n/// P4\n\n#[test]\nfn bare() {}";
        for (path, cited) in [("crates/a/src/lib.rs", vec![3]), ("crates/a/tests/kept.rs", vec![1, 3])] {
            let said = said_of_tests(path, text);
            let found: Vec<usize> = (1..=PROMISES).filter(|number| cites(&said, *number)).collect();
            assert_eq!(found, cited, "{path}");
        }
        assert_eq!(said_of_tests("crates/a/tests/harness.rs", "//! P1"), "", "no test is in it");
    }

    #[test]
    fn p1_is_not_cited_by_p10() {
        assert!(cites("/// P1: nothing is lost", 1));
        assert!(!cites("/// P10: nothing is invented; HTTP1", 1));
    }
}
