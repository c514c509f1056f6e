//! House rules that are checked as text: every promise has a test that cites it, no mark of
//! unfinished work stays behind, no test is switched off.

use std::{fs, path::Path};

/// Promises that no test can guard yet, each with the work that brings it. It may only shrink.
const NOT_YET: &[(&str, &str)] = &[];

const MARKS: &[&str] = &["todo!(", "unimplemented!(", "#[ignore", "FIXME"];

pub(crate) fn check() -> Result<(), String> {
    let mut files = Vec::new();
    for root in ["crates", "sim", "bench", "tests"] {
        collect(Path::new(root), &mut files);
    }
    let mut faults = Vec::new();
    let mut cited = [false; 10];
    for (path, text) in &files {
        for mark in MARKS {
            if text.contains(mark) {
                faults.push(format!("{path}: {mark} stays behind"));
            }
        }
        if !(text.contains("#[test]")
            || text.contains("#[tokio::test")
            || path.contains("tests/")
            || path.starts_with("sim/"))
        {
            continue;
        }
        for (number, cited) in (1..).zip(&mut cited) {
            *cited |= cites(text, number);
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

/// Whether `text` names `P<number>` as a word of its own.
fn cites(text: &str, number: u32) -> bool {
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
    fn p1_is_not_cited_by_p10() {
        assert!(cites("/// P1: nothing is lost", 1));
        assert!(!cites("/// P10: nothing is invented; HTTP1", 1));
    }
}
