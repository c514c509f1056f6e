//! What the tools answer where a shell's programs answer, too: the same.

use super::{Site, find, list, search};
use octollm_plan::{Arg, CountWhat, FindKind, SortBy, ToolCall};
use std::fs;

fn given(paths: &[&str]) -> Arg<Vec<String>> {
    Arg::Given(paths.iter().map(|path| (*path).to_owned()).collect())
}

/// As with `grep -c`: numbers alone, of each file that is named or has such lines; below a folder also of how many.
#[tokio::test]
async fn a_search_that_counts_tells_numbers_alone() {
    let site = Site::new();
    let (one, two) = (site.write("d/one", "x\nyx\nz\n"), site.write("d/two", "z\n"));
    let counting = async |paths: &[&str]| {
        let mut call = search("x", "");
        if let ToolCall::Search { count, paths: of, .. } = &mut call {
            (*count, *of) = (true, Some(given(paths)));
        }
        let output = site.run(call).await;
        (output.text, output.number)
    };
    assert_eq!(counting(&[&one]).await, (format!("2 lines in {one}\n"), Some(2)));
    let both = format!("2 lines in {one}\n0 lines in {two}\n2 lines in 1 of 2 files\n");
    assert_eq!(counting(&[&one, &two]).await, (both, Some(2)));
    let folder = site.path("d");
    let below = format!("2 lines in {one}\n2 lines in 1 of 2 files\n");
    assert_eq!(counting(&[&folder]).await.0, below);
    let mut of_text = search("x", "");
    if let ToolCall::Search { count, paths, text, .. } = &mut of_text {
        (*count, *paths, *text) = (true, None, Some(Arg::Given("x\ny\nx".into())));
    }
    assert_eq!(site.run(of_text).await.text, "2 lines\n");
}

#[tokio::test]
async fn the_end_of_a_line_is_the_line_feed_alone() {
    let site = Site::new();
    let file = site.write("dos", "x\r\nx\n");
    let mut call = search("x$", &file);
    if let ToolCall::Search { regex, .. } = &mut call {
        *regex = true;
    }
    assert_eq!(site.run(call).await.text, format!("{file}:2: x\n(1 line in 1 file)\n"));
}

#[tokio::test]
async fn a_match_far_behind_in_a_line_is_seen_and_counts_once() {
    let site = Site::new();
    let file = site.write(
        "long",
        [vec![b'q'; 3 << 20], b"needle".to_vec(), vec![b'q'; 3 << 20], b"needle\n".to_vec()].concat(),
    );
    let output = site.run(search("needle", &file)).await;
    assert_eq!(output.number, Some(1));
    assert!(output.text.contains("qneedleq"), "{}", &output.text[..200]);
}

#[tokio::test]
async fn lines_are_read_by_their_numbers() {
    let site = Site::new();
    let file = site.write("f", "1\n2\n3\n4");
    let lines = async |from: u32, to: Option<u32>| {
        let call = ToolCall::ReadFile {
            paths: given(&[&file]),
            first_lines: to,
            last_lines: None,
            from_line: Some(from),
        };
        site.run(call).await.text
    };
    let only = format!("({file} has only 4 lines)\n");
    assert_eq!(lines(2, Some(3)).await, "2\n3\n");
    assert_eq!(lines(4, Some(4)).await, "4\n");
    assert_eq!(lines(3, None).await, "3\n4\n");
    assert_eq!(lines(3, Some(9)).await, format!("3\n4\n{only}"));
    assert_eq!(lines(5, Some(5)).await, only);
    assert_eq!(lines(5, None).await, only);
}

/// Which lines are meant must be clear: a model takes one number for another.
#[tokio::test]
async fn lines_that_contradict_themselves_are_refused() {
    let site = Site::new();
    let file = site.write("f", "1\n2\n3\n4");
    for (from, first, last) in [(4, Some(2), None), (0, None, None), (2, None, Some(1))] {
        let call = ToolCall::ReadFile {
            paths: given(&[&file]),
            first_lines: first,
            last_lines: last,
            from_line: Some(from),
        };
        assert!(site.refused(call).await.contains("from_line"), "{from} {first:?} {last:?}");
    }
}

/// `find d` begins with `d`; a folder that is not there holds nothing, where that is what is asked.
#[tokio::test]
async fn a_search_for_names_may_begin_with_the_folder_and_ask_for_it() {
    let site = Site::new();
    fs::create_dir_all(site.open("d/e")).unwrap();
    let mut call = find(&site.path("d"), None);
    if let ToolCall::Find { itself, kind, .. } = &mut call {
        (*itself, *kind) = (true, FindKind::Folder);
    }
    assert_eq!(site.run(call).await.paths, Some(vec![site.path("d"), site.path("d/e")]));
    site.write("file", "");
    for nowhere in ["nowhere", "file", "file/below"] {
        let mut call = find(&site.path(nowhere), Some("x"));
        assert!(!site.refused(call.clone()).await.is_empty());
        if let ToolCall::Find { if_there, .. } = &mut call {
            *if_there = true;
        }
        let output = site.run(call).await;
        assert!(output.text.starts_with("nothing found: ") && output.number == Some(0), "{}", output.text);
    }
}

/// As with `du`: what is named twice, or lies in two folders that are named, counts once in all.
#[tokio::test]
async fn in_a_sum_of_disk_use_everything_counts_once() {
    let site = Site::new();
    let file = site.write("d/one", "123");
    fs::hard_link(&file, site.open("two")).unwrap();
    let used = async |paths: &[&str]| {
        let output = site.run(ToolCall::DiskUse { paths: given(paths) }).await;
        (output.number, output.text)
    };
    let (two, folder) = (site.path("two"), site.path("d"));
    for paths in
        [[file.as_str(), two.as_str()], [&file, &file], [&folder, &two], [&folder, &file], [&file, &folder]]
    {
        let (number, text) = used(&paths).await;
        assert_eq!(number, Some(3), "{text}");
        assert!(text.contains("counts once") && text.matches("3 bytes in 1 file").count() == 2, "{text}");
    }
    site.write("other", "4567");
    let (number, text) = used(&[&file, &site.path("other")]).await;
    assert!(number == Some(7) && !text.contains("once"), "{text}");
}

/// A number that leaves folders out says so.
#[tokio::test]
async fn a_number_of_files_tells_of_folders_that_it_leaves_out() {
    let site = Site::new();
    site.write("a", "");
    let count = |recursive| ToolCall::Count {
        what: CountWhat::Files,
        paths: Some(given(&[&site.path("")])),
        text: None,
        name: None,
        recursive,
    };
    assert!(!site.run(count(false)).await.text.contains("not looked"));
    site.write("d/b", "");
    assert!(site.run(count(false)).await.text.contains("(not looked into: 1 folder there"));
    let all = site.run(count(true)).await;
    assert!(all.number == Some(2) && !all.text.contains("not looked"), "{}", all.text);
}

/// P10: what is deeper than any walk goes is not passed over in silence, nor in a number.
#[tokio::test]
async fn what_lies_too_deep_fails_what_gives_a_number() {
    let site = Site::new();
    let deep = vec!["d"; 130].join("/");
    site.write(&format!("{deep}/f"), "x");
    site.write("near", "x");
    let count = ToolCall::Count {
        what: CountWhat::Files,
        paths: Some(given(&[&site.path("")])),
        text: None,
        name: None,
        recursive: true,
    };
    let required = {
        let mut call = find(&site.path(""), Some("*"));
        if let ToolCall::Find { required, .. } = &mut call {
            *required = true;
        }
        call
    };
    for call in [count, search("x", &site.path("")), required] {
        let said = site.refused(call).await;
        assert!(said.contains("deeper than 128 folders") && said.contains("of the others: "), "{said}");
    }
    let mut all = list(&site.path(""));
    if let ToolCall::List { recursive, .. } = &mut all {
        *recursive = true;
    }
    assert!(site.run(all).await.text.contains("deeper than 128 folders"), "a listing says so");
}

/// The bytes of what was no text are gone once it is a step's output.
#[tokio::test]
async fn what_was_no_text_is_not_measured_as_one() {
    let site = Site::new();
    let count = |what| {
        let text = Some(Arg::Given("a\u{fffd}b\n".into()));
        ToolCall::Count { what, paths: None, text, name: None, recursive: false }
    };
    assert!(site.refused(count(CountWhat::Bytes)).await.contains("not all UTF-8 text"));
    assert!(site.refused(count(CountWhat::Characters)).await.contains("characters can be counted in a file"));
    assert_eq!(site.run(count(CountWhat::Lines)).await.number, Some(1));
    let text = Some(Arg::Given("a\u{fffd}b\n".into()));
    let hash = ToolCall::Hash { kind: octollm_plan::HashKind::Sha256, paths: None, text };
    assert!(site.refused(hash).await.contains("not all UTF-8 text"));
}

/// The newest of files that were written within a millisecond.
#[tokio::test]
async fn the_newest_is_the_newest_to_the_nanosecond() {
    let site = Site::new();
    let at = |nanos| std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, nanos);
    for (name, nanos) in [("a", 100), ("b", 900), ("c", 500)] {
        let path = site.write(&format!("d/{name}"), "");
        fs::File::options().write(true).open(path).unwrap().set_modified(at(nanos)).unwrap();
    }
    let mut call = find(&site.path("d"), None);
    if let ToolCall::Find { sort, .. } = &mut call {
        *sort = SortBy::Newest;
    }
    let newest = ["b", "c", "a"].map(|name| site.path(&format!("d/{name}")));
    assert_eq!(site.run(call).await.paths, Some(newest.to_vec()));
}
