//! What an older program reads of the tool calls that this one writes. The older one's types stand here as they
//! were, and are never edited: an edition more gets a module more.

use octollm_contract::Edition;
use octollm_plan::{
    Instruction, ToolCall,
    rules::{Place, plan},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The tool calls of the first edition: field by field what its programs take.
mod first {
    #![expect(dead_code, reason = "only what can be read of it is asked")]

    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(tag = "tool", content = "arguments", rename_all = "snake_case", deny_unknown_fields)]
    pub(super) enum ToolCall {
        List {
            path: String,
            #[serde(default)]
            hidden: bool,
            #[serde(default)]
            recursive: bool,
            #[serde(default)]
            kind: Kind,
            #[serde(default)]
            sort: Sort,
            limit: Option<u32>,
        },
        Find {
            path: String,
            name: Option<String>,
            max_depth: Option<u32>,
            #[serde(default)]
            kind: Kind,
            newer_than: Option<u64>,
            older_than: Option<u64>,
            changed: Option<Changed>,
            #[serde(default)]
            size: Size,
            #[serde(default)]
            sort: Sort,
            limit: Option<u32>,
        },
        ReadFile {
            paths: Arg<Vec<String>>,
            first_lines: Option<u32>,
            last_lines: Option<u32>,
        },
        WriteFile {
            path: String,
            content: Arg<String>,
        },
        Count {
            what: What,
            paths: Option<Arg<Vec<String>>>,
            text: Option<Arg<String>>,
            name: Option<String>,
            #[serde(default)]
            recursive: bool,
        },
        Search {
            pattern: String,
            #[serde(default)]
            regex: bool,
            #[serde(default)]
            ignore_case: bool,
            paths: Option<Arg<Vec<String>>>,
            text: Option<Arg<String>>,
            name: Option<String>,
        },
        Hash {
            #[serde(default)]
            kind: Digest,
            paths: Option<Arg<Vec<String>>>,
            text: Option<Arg<String>>,
        },
        DiskUse {
            paths: Arg<Vec<String>>,
        },
        Compare {
            left: String,
            right: String,
        },
        HttpFetch {
            url: String,
        },
        Shell {
            argv: Vec<String>,
            stdin: Option<Arg<String>>,
            #[serde(default)]
            any_exit: bool,
        },
        ShellString {
            script: String,
            #[serde(default)]
            any_exit: bool,
        },
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    pub(super) enum Arg<T> {
        Given(T),
        Input(String),
    }

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Kind {
        #[default]
        Any,
        File,
        Folder,
    }

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Sort {
        #[default]
        Name,
        Largest,
        Smallest,
        Newest,
        Oldest,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Changed {
        Today,
        Yesterday,
        SinceYesterday,
        BeforeToday,
    }

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Size {
        at_least: Option<u64>,
        at_most: Option<u64>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum What {
        Lines,
        Words,
        Bytes,
        Characters,
        Files,
        Folders,
    }

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Digest {
        #[default]
        Sha256,
        Sha512,
        Sha1,
        Md5,
    }
}

/// Whether a program of the first edition reads what this one writes, and as it is meant.
fn was_readable(call: &ToolCall) -> bool {
    let written = serde_json::to_value(call).expect("a call is JSON");
    serde_json::from_value::<first::ToolCall>(written).is_ok()
}

/// The goals of the grammar's tests, each with the tool calls of its plan.
fn planned_for(readers: Edition) -> Vec<(String, Vec<ToolCall>)> {
    let here = Place {
        home: Some("/home/me".into()),
        cwd: Some("/home/me/work".into()),
        entries: ["src", "docs", "test"].map(str::to_owned).into(),
        folders: ["src", "docs"].map(str::to_owned).into(),
        readers,
    };
    let goals = include_str!("understood.txt").lines().filter(|line| !line.starts_with([' ', '#', '-']));
    let plans = goals.filter_map(|goal| Some((goal.to_owned(), plan(goal, &here).ok()?)));
    let calls = plans.map(|(goal, plan)| {
        let calls = plan.steps.into_iter().filter_map(|step| match step.instruction {
            Instruction::Tool(call) => Some(call),
            Instruction::Judge { .. } | Instruction::Think(_) => None,
        });
        (goal, calls.collect())
    });
    calls.collect()
}

/// Every tool call of the first edition in full, as plans that lie in databases have it. They are for ever.
#[test]
fn what_was_written_in_the_first_edition_is_read_and_written_as_it_was() {
    let given = json!({"given": ["/a"]});
    for arguments in [
        json!({"tool": "list", "arguments": {"path": "/a", "hidden": true, "recursive": true, "kind": "folder",
            "sort": "newest", "limit": 3}}),
        json!({"tool": "find", "arguments": {"path": "/a", "name": "*.log", "max_depth": 1, "kind": "file",
            "newer_than": 1, "older_than": 2, "changed": "since_yesterday",
            "size": {"at_least": 1, "at_most": 2}, "sort": "largest", "limit": 3}}),
        json!({"tool": "read_file", "arguments": {"paths": {"input": "x"}, "first_lines": 1, "last_lines": 2}}),
        json!({"tool": "write_file", "arguments": {"path": "a", "content": {"given": "x"}}}),
        json!({"tool": "count", "arguments": {"what": "lines", "paths": given, "text": {"given": "x"},
            "name": "*", "recursive": true}}),
        json!({"tool": "search", "arguments": {"pattern": "x", "regex": true, "ignore_case": true,
            "paths": given, "text": {"given": "x"}, "name": "*"}}),
        json!({"tool": "hash", "arguments": {"kind": "md5", "paths": given, "text": {"given": "x"}}}),
        json!({"tool": "disk_use", "arguments": {"paths": given}}),
        json!({"tool": "compare", "arguments": {"left": "/a", "right": "/b"}}),
        json!({"tool": "http_fetch", "arguments": {"url": "https://a.example/"}}),
        json!({"tool": "shell", "arguments": {"argv": ["ls"], "stdin": {"given": "x"}, "any_exit": true}}),
        json!({"tool": "shell_string", "arguments": {"script": "ls", "any_exit": true}}),
    ] {
        let call: ToolCall = serde_json::from_value(arguments.clone()).unwrap();
        assert_eq!(serde_json::to_value(&call).unwrap(), arguments);
        assert_eq!(call.since(), Edition::First, "{arguments}");
        assert!(was_readable(&call), "{arguments}");
    }
    // A brace was a character of a name, and an escaped one still is.
    let find = |name| {
        json!({"tool": "find", "arguments": {"path": "/a", "name": name, "size": {}, "kind": "any",
        "sort": "name"}})
    };
    let call: ToolCall = serde_json::from_value(find(json!("x{1,2}.txt"))).unwrap();
    assert!(matches!(&call, ToolCall::Find { name: Some(name), .. } if name == r"x\{1,2}.txt"), "{call:?}");
    assert!(call.since() == Edition::First && was_readable(&call));
    let several = find(json!({"one_of": "*.{py,rs}"}));
    let call: ToolCall = serde_json::from_value(several.clone()).unwrap();
    assert_eq!(serde_json::to_value(&call).unwrap(), several);
    assert!(call.since() == Edition::Second && !was_readable(&call));
    // With what was left out, the meaning is the old one.
    let bare: ToolCall =
        serde_json::from_value(json!({"tool": "find", "arguments": {"path": "/a"}})).unwrap();
    assert!(matches!(bare, ToolCall::Find { hidden: true, .. }), "{bare:?}");
}

/// A call says since when it can be read, and that is so.
#[test]
fn calls_say_since_when_they_can_be_read() {
    let (mut newer, mut all) = (0, 0);
    for (goal, calls) in planned_for(Edition::NEWEST) {
        for call in calls {
            assert_eq!(was_readable(&call), call.since() == Edition::First, "{goal}: {call:?}");
            newer += usize::from(call.since() > Edition::First);
            all += 1;
        }
    }
    assert!(all > 500 && newer > 20, "{newer} of {all}");
}

/// What of the second edition a goal asks for in so many words.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    /// No hidden entries.
    Hidden,
    /// Line ends, and not lines.
    LineEnds,
    /// A name that is one of several.
    Names,
    /// Lines by their numbers, of what is found.
    Lines,
    /// More of each entry than its name.
    Details,
}

/// The goals of the tests that do.
const ASKING: &[(&str, Asked)] = &[
    ("list the .log files in ./logs without hidden files", Asked::Hidden),
    ("find the 2 newest files in /tmp, not recursively, without hidden files", Asked::Hidden),
    ("find .log files in ./logs without hidden ones", Asked::Hidden),
    ("which files in src contain 'x' without hidden files?", Asked::Hidden),
    ("count the newlines in a.txt", Asked::LineEnds),
    ("find non-hidden files in src", Asked::Hidden),
    ("find visible .rs files in src", Asked::Hidden),
    ("count non-hidden files in ~", Asked::Hidden),
    ("how many non-hidden files are in ~?", Asked::Hidden),
    ("how many files without hidden files are in ~", Asked::Hidden),
    ("count files in ~ no hidden files", Asked::Hidden),
    ("list all files in src containing 'x' without hidden files", Asked::Hidden),
    ("count the line endings in docs/words.txt", Asked::LineEnds),
    ("count newlines and words in a.txt", Asked::LineEnds),
    ("list all .txt and .md files in /tmp", Asked::Names),
    ("find .py or .rs files", Asked::Names),
    ("find .py and .rs files in src", Asked::Names),
    ("find python or rust files in src, then count their lines", Asked::Names),
    ("count the words in all python and rust files in src", Asked::Names),
    ("list files with sizes", Asked::Details),
    ("list the files in src with details", Asked::Details),
    ("list files in src sorted by size with their sizes", Asked::Details),
    ("list files in src with size", Asked::Details),
    ("show lines 2 to 3 of *.txt", Asked::Lines),
    ("find a.txt in /srv and show line 2 of each file", Asked::Lines),
    ("when was a.txt last modified?", Asked::Details),
    ("when was /srv/data changed?", Asked::Details),
    ("when did a.txt change last?", Asked::Details),
    ("tell me when a.txt was last updated", Asked::Details),
    ("what is the modification time of a.txt?", Asked::Details),
    ("show the last modification date of src", Asked::Details),
    ("how old is a.txt?", Asked::Details),
    ("how old is the file a.txt", Asked::Details),
    ("When was /etc/hosts modified?", Asked::Details),
    ("how old is notes.txt", Asked::Details),
    ("when was notes.txt modified?", Asked::Details),
    ("count visible .txt files in /srv", Asked::Hidden),
    ("find *.csv *.json in docs", Asked::Names),
    ("ls *.txt *.md", Asked::Names),
    ("list *.csv *.json in docs", Asked::Names),
    ("show *.csv *.md", Asked::Names),
    ("count *.csv *.json *.md in docs", Asked::Names),
];

/// A call of the second edition in the words of the first: what the goal asks for stays as it is. `sought`: a text
/// is sought in what the call finds.
fn in_the_first_edition(call: &ToolCall, asked: Option<Asked>, sought: bool) -> Vec<Value> {
    let mut call = serde_json::to_value(call).expect("a call is JSON");
    let tool = call["tool"].clone();
    let of = call["arguments"].as_object_mut().expect("arguments are an object");
    // A bare `*` stood for all files, which were listed, or looked for where a text is sought in them.
    if tool == "find" && of.get("name") == Some(&json!("*")) && of.contains_key("required") {
        of.remove("name");
        if !sought {
            let list = json!({"path": of["path"], "hidden": false, "recursive": false, "kind": of["kind"],
                "sort": of["sort"]});
            return vec![json!({"tool": "list", "arguments": list})];
        }
    }
    if asked != Some(Asked::Lines)
        && let Some(from) = of.remove("from_line")
    {
        let last = of.get("first_lines").map_or("$".to_owned(), Value::to_string);
        let lines = format!("{from},{last}p");
        let paths = of["paths"]["given"].as_array().expect("paths are given").clone();
        let argv: Vec<Value> = ["sed", "-n", &lines].into_iter().map(Value::from).chain(paths).collect();
        return vec![json!({"tool": "shell", "arguments": {"argv": argv}})];
    }
    for newer in ["required", "itself", "if_there"] {
        of.remove(newer);
    }
    if asked != Some(Asked::Details) {
        of.remove("details");
    }
    if tool == "find" && asked != Some(Asked::Hidden) {
        of.remove("hidden");
    }
    if asked != Some(Asked::LineEnds) && of.get("what") == Some(&json!("line_ends")) {
        of.insert("what".to_owned(), json!("lines"));
    }
    // How many files there are was counted behind, and lines in a text, too; those of files were shown.
    let number = of.remove("count").is_some();
    let counts = |what: &str, of: &str, input: &str| {
        let arguments = json!({"what": what, of: {"input": input}, "recursive": false});
        json!({"tool": "count", "arguments": arguments})
    };
    let counted = match (number, of.contains_key("text")) {
        (true, true) => Some(counts("lines", "text", "text")),
        (true, false) if tool == "find" => Some(counts("files", "paths", "paths")),
        (_, _) => None,
    };
    std::iter::once(call).chain(counted).collect()
}

/// What a goal leaves to the planner is written so that the readers can read it; what it asks for is not left
/// out, and says that it is newer.
#[test]
fn plans_are_written_for_who_reads_them() {
    let newest: BTreeMap<_, _> = planned_for(Edition::NEWEST).into_iter().collect();
    let mut newer = Vec::new();
    for (goal, calls) in planned_for(Edition::First) {
        let asked = ASKING.iter().find(|(asking, _)| *asking == goal).map(|(_, asked)| *asked);
        if calls.iter().any(|call| call.since() > Edition::First) {
            newer.push(goal.clone());
        }
        let written: Vec<Value> =
            calls.iter().map(|call| serde_json::to_value(call).expect("a call is JSON")).collect();
        let newest = &newest[&goal];
        let sought = newest.iter().any(|call| matches!(call, ToolCall::Search { .. }));
        let older: Vec<Value> =
            newest.iter().flat_map(|call| in_the_first_edition(call, asked, sought)).collect();
        assert_eq!(written, older, "{goal}");
    }
    assert_eq!(newer, ASKING.iter().map(|(goal, _)| *goal).collect::<Vec<_>>());
    let here = Place { readers: Edition::First, ..Place::default() };
    let since = |goal: &str| plan(goal, &here).unwrap().steps[0].since();
    assert_eq!(since("list .log files in /var/log"), Edition::First);
    assert_eq!(since("list .log files in /var/log without hidden files"), Edition::Second);
    assert_eq!(since("list files in /var/log with sizes"), Edition::Second);
    assert_eq!(since("ls -l /var/log"), Edition::First);
    assert_eq!(since("wc -l /etc/passwd"), Edition::First);
    assert_eq!(since("count the line ends in /etc/passwd"), Edition::Second);
}
