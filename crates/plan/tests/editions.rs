//! What an older program reads of the tool calls that this one writes. The older one's types stand here as they
//! were, and are never edited: an edition more gets a module more.

use octollm_contract::Edition;
use octollm_plan::{
    Instruction, ToolCall,
    rules::{Place, plan},
};
use serde_json::json;

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

/// `*.{py,rs}`.
fn names_several(call: &ToolCall) -> bool {
    let written = serde_json::to_value(call).expect("a call is JSON");
    !written["arguments"]["name"]["one_of"].is_null()
}

/// The goals of the grammar's tests, each with the tool calls of its plan.
fn planned_for(readers: Edition) -> Vec<(String, Vec<ToolCall>)> {
    let here = Place {
        home: Some("/home/me".into()),
        cwd: Some("/home/me/work".into()),
        readers,
        ..Place::default()
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

/// What a goal leaves to the planner is written so that the readers can read it; what it asks for is not left
/// out, and says that it is newer.
#[test]
fn plans_are_written_for_who_reads_them() {
    let newest: std::collections::BTreeMap<_, _> = planned_for(Edition::NEWEST).into_iter().collect();
    for (goal, calls) in planned_for(Edition::First) {
        let explicit = [
            "hidden",
            "visible",
            "line ends",
            "line endings",
            "newlines",
            "detail",
            "permissions",
            "sizes",
            "modif",
            "when",
            "how old",
            "age of",
            "last change",
            "lines 2",
            "line 2",
        ];
        let asks = explicit.iter().any(|word| goal.to_lowercase().contains(word));
        for call in &calls {
            assert!(asks || names_several(call) || call.since() == Edition::First, "{goal}: {call:?}");
        }
        // What the older have no word for may take a step more.
        assert!(calls.len() >= newest[&goal].len(), "{goal}");
    }
    let here = Place { readers: Edition::First, ..Place::default() };
    let since = |goal: &str| plan(goal, &here).unwrap().steps[0].since();
    assert_eq!(since("list .log files in /var/log"), Edition::First);
    assert_eq!(since("list .log files in /var/log without hidden files"), Edition::Second);
    assert_eq!(since("list files in /var/log with sizes"), Edition::Second);
    assert_eq!(since("ls -l /var/log"), Edition::First);
    assert_eq!(since("wc -l /etc/passwd"), Edition::First);
    assert_eq!(since("count the line ends in /etc/passwd"), Edition::Second);
}
