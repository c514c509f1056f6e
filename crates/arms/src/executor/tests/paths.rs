//! What becomes of paths that are missing, cannot be read, or are not text.

use super::{Site, find, list, read};
use crate::{Undone, executor::reach::Reach};
use octollm_access::Capability;
use octollm_plan::{Arg, CountWhat, FindKind, HashKind, InputValue, ToolCall};
use std::{fs, os::unix::ffi::OsStrExt as _};

/// P10: what the plan names and is not there fails the step, whatever lies beside it.
#[tokio::test]
async fn a_named_path_that_is_missing_fails_the_step() {
    let site = Site::new();
    let there = site.write("there", "1\n2\n3\n");
    let missing = site.path("missing");
    let both = || Arg::Given(vec![there.clone(), missing.clone()]);
    assert!(site.refused(read(&[&missing])).await.contains("does not exist"));
    let what = |what| ToolCall::Count { what, paths: Some(both()), text: None, name: None, recursive: false };
    for (call, others) in [
        (read(&[&there, &missing]), "3"),
        (what(CountWhat::Lines), "3 lines in "),
        (what(CountWhat::Files), "1 file"),
        (ToolCall::Hash { kind: HashKind::Md5, paths: Some(both()), text: None }, "  "),
        (ToolCall::DiskUse { paths: both() }, "6 bytes in 1 file"),
        (
            ToolCall::Search {
                pattern: "2".into(),
                regex: false,
                ignore_case: false,
                paths: Some(both()),
                text: None,
                name: None,
                count: false,
            },
            "there:2: 2",
        ),
    ] {
        let said = site.refused(call).await;
        assert!(said.starts_with(&format!("{missing} does not exist\n")), "{said}");
        assert!(said.contains(others), "what the others gave is told: {said}");
    }
    let (paths, what) = (Some(Arg::Input("paths".parse().unwrap())), CountWhat::Lines);
    let call = ToolCall::Count { what, paths, text: None, name: None, recursive: false };
    let found = InputValue::Paths(vec![there.clone(), missing.clone()]);
    let Err(Undone::Failed { message, .. }) = site.perform(site.work_on(call, found)).await else { panic!() };
    assert!(
        message.contains("missing does not exist\nof the others: 3 lines in "),
        "what is gone: {message}"
    );
}

/// What stands for names must name something, as in a shell; what describes files need not.
#[tokio::test]
async fn a_pattern_that_must_fit_something_fails_where_it_fits_nothing() {
    let site = Site::new();
    site.write("a.txt", "");
    let mut call = find(&site.path(""), Some("*.rs"));
    if let ToolCall::Find { required, .. } = &mut call {
        *required = true;
    }
    assert!(site.refused(call).await.ends_with("matches *.rs"));
    let paths = Arg::Input("paths".parse().unwrap());
    let call = ToolCall::ReadFile { paths, first_lines: None, last_lines: None, from_line: None };
    let none = site.work_on(call, InputValue::Paths(vec![]));
    assert_eq!(site.perform(none).await.unwrap().text, "there are no files to read\n");
}

/// A pattern in the place of names takes links for what they lead to, and what leads nowhere is told.
#[tokio::test]
async fn a_pattern_takes_links_to_files_for_files() {
    let site = Site::new();
    site.write("a.txt", "1\n");
    fs::create_dir(site.open("d")).unwrap();
    for (to, name) in [("a.txt", "b.txt"), ("nowhere", "c.txt"), ("d", "d.txt")] {
        std::os::unix::fs::symlink(to, site.open("").join(name)).unwrap();
    }
    let names = |paths: Option<Vec<String>>| {
        let paths = paths.unwrap().into_iter().map(|path| path.rsplit('/').next().unwrap().to_owned());
        paths.collect::<Vec<_>>()
    };
    let mut call = find(&site.path(""), Some("*.txt"));
    if let ToolCall::Find { required, kind, .. } = &mut call {
        (*required, *kind) = (true, FindKind::File);
    }
    let output = site.run(call.clone()).await;
    assert_eq!(names(output.paths.clone()), ["a.txt", "b.txt", "c.txt"]);
    let (paths, what) = (Some(Arg::Input("paths".parse().unwrap())), CountWhat::Lines);
    let count = ToolCall::Count { what, paths, text: None, name: None, recursive: false };
    let counted = site.perform(site.work_on(count, InputValue::Paths(output.paths.unwrap()))).await;
    let Err(Undone::Failed { message, .. }) = counted else { panic!("{counted:?}") };
    assert!(message.contains("c.txt does not exist") && message.contains("2 lines in 2 files"), "{message}");
    if let ToolCall::Find { required, .. } = &mut call {
        *required = false;
    }
    assert_eq!(names(site.run(call).await.paths), ["a.txt"]);
}

/// In a task's files no link is followed, and the refusal says which it was.
#[test]
fn what_lies_behind_a_link_is_refused_with_the_link() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("d")).unwrap();
    fs::write(folder.path().join("d/a.txt"), "1\n").unwrap();
    std::os::unix::fs::symlink("d", folder.path().join("linked")).unwrap();
    let reach = Reach::new(&Capability::default(), Some(folder.path()));
    assert!(reach.file("d/a.txt").is_ok());
    for (path, why) in [
        ("linked/a.txt", "linked/a.txt lies behind linked, which is a link; links are not followed there"),
        ("d/a.txt/b", "a.txt is not a folder"),
    ] {
        assert_eq!(reach.file(path).map(drop).unwrap_err().to_string(), why);
    }
}

#[tokio::test]
async fn hostile_names_are_shown_safely() {
    let site = Site::new();
    let name = std::ffi::OsStr::from_bytes(b"a\nb\xff\x1b[2J");
    fs::write(site.open("").join(name), "x").unwrap();
    let output = site.run(list(&site.path(""))).await;
    assert_eq!(output.text, "a\\nb\u{fffd}\\u{1b}[2J\n");
    // A later step gets the very file.
    let (paths, what) = (Some(Arg::Input("paths".parse().unwrap())), CountWhat::Bytes);
    let call = ToolCall::Count { what, paths, text: None, name: None, recursive: false };
    let found = InputValue::Paths(output.paths.unwrap());
    assert_eq!(site.perform(site.work_on(call, found)).await.unwrap().number, Some(1));
}
