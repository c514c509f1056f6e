//! Goals put together at random from the grammar's words, and texts that are no goals at all.

use octollm_plan::rules::{NotUnderstood, Place, plan};
use octollm_plan::{Arg, Instruction, ToolCall};
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn here() -> Place {
    Place { home: Some("/home/me".into()), cwd: Some("/home/me/work".into()), ..Place::default() }
}

const WORDS: &[&str] = &[
    "list",
    "find",
    "read",
    "count",
    "search",
    "hash",
    "show",
    "compare",
    "fetch",
    "run",
    "the",
    "all",
    "files",
    "folders",
    "lines",
    "words",
    "in",
    "of",
    "for",
    "and",
    "then",
    ",",
    ";",
    ".",
    "it",
    "them",
    "their",
    "the output",
    "/tmp",
    "/etc/hosts",
    "~/a b",
    "a.txt",
    "'x y'",
    "\"q\"",
    "`uname -a`",
    "*.log",
    ".log",
    "larger than",
    "10 MB",
    "older than",
    "2 days",
    "5",
    "largest",
    "first",
    "with",
    "to",
    "https://example.org/",
    "recursively",
    "including hidden files",
    "containing",
    "named",
    "sorted by size",
    "disk usage",
    "how many",
    "are",
    "is",
    "does",
    "contain",
    "please",
    "1.",
    "-",
    "\n",
    "not",
    "only",
    "sha512",
    "the word",
    "grep",
    "|",
    "$HOME",
    "../..",
];

/// A clause that the grammar understands, with one of several paths in it.
fn any_clause() -> impl Strategy<Value = String> {
    let path = prop::sample::select(&["/tmp", "/var/log", "~/docs", "src/", "'/srv/my data'", "/a/../b"][..]);
    let file = prop::sample::select(
        &["/etc/hosts", "notes.txt", "~/a.md", "'/srv/my data/x.csv'", "./Makefile"][..],
    );
    let noun = prop::sample::select(
        &["files", "the 5 largest files", "all .log files", "*.txt files", "hidden files"][..],
    );
    let extra = prop::sample::select(
        &["", " larger than 10 MB", " older than 2 weeks", " recursively", " modified in the last hour"][..],
    );
    prop_oneof![
        (noun.clone(), path.clone(), extra.clone()).prop_map(|(n, p, e)| format!("list {n} in {p}{e}")),
        (noun, path.clone(), extra).prop_map(|(n, p, e)| format!("find {n} in {p}{e}")),
        file.clone().prop_map(|f| format!("read {f}")),
        (file.clone(), 1u32..99).prop_map(|(f, n)| format!("show the last {n} lines of {f}")),
        file.clone().prop_map(|f| format!("count the words in {f}")),
        path.clone().prop_map(|p| format!("how many folders are in {p}")),
        (file.clone(), path.clone())
            .prop_map(|(f, p)| format!("search for 'x y' in {f} and search {p} for TODO")),
        file.clone().prop_map(|f| format!("compute the md5 of {f}")),
        path.prop_map(|p| format!("show the disk usage of {p}")),
        (file.clone(), file).prop_map(|(a, b)| format!("compare {a} with {b}")),
        Just("fetch https://example.org:8443/x and search for 'y' in it".to_owned()),
        Just("run `git log -1` and count the lines in the output".to_owned()),
        // Behind another search "their" might be of both.
        Just("read notes.txt, find .rs files in /src and count their lines, then hash them".to_owned()),
    ]
}

proptest! {
    /// Joined goals are understood, pass the check under the policy that is exactly theirs, and
    /// their steps read below the named paths only.
    #[test]
    fn joined_clauses_make_a_plan_that_passes(
        clauses in proptest::collection::vec(any_clause(), 1..6),
        joint in prop::sample::select(&[" and ", ", then ", "; ", ". ", "\n", ", and finally "][..]),
    ) {
        let goal = clauses.join(joint);
        let plan = plan(&goal, &here());
        prop_assert!(plan.is_ok(), "{goal}: {plan:?}");
        let Ok(plan) = plan else { return Ok(()) };
        let checked = plan.clone().check(&plan.exactly());
        prop_assert!(checked.is_ok(), "{goal}: {checked:?}");
        for step in &plan.steps {
            prop_assert!(step.capability.read_roots.iter().all(|root| root.starts_with('/') && !root.contains("..")));
            if let Instruction::Tool(ToolCall::ReadFile { paths: Arg::Given(paths), .. }) = &step.instruction {
                prop_assert!(paths.iter().all(|path| step.capability.read_roots.contains(path)), "{goal}");
            }
        }
    }

    /// A word that no rule knows refuses the goal, wherever it stands outside quotes.
    #[test]
    fn a_strange_word_anywhere_refuses_the_goal(clause in any_clause(), at in any::<prop::sample::Index>()) {
        let mut words: Vec<&str> = clause.split(' ').collect();
        let at = at.index(words.len() + 1);
        let quotes = words[..at].iter().map(|w| w.matches(['\'', '`']).count()).sum::<usize>();
        prop_assume!(quotes % 2 == 0);
        words.insert(at, "frobnicate");
        prop_assert!(plan(&words.join(" "), &here()).is_err(), "{}", words.join(" "));
    }

    /// P8: whatever is thrown at the planner is planned or refused without a panic, and a plan
    /// that comes out passes the check.
    #[test]
    fn words_in_any_order_are_planned_soundly_or_refused(words in proptest::collection::vec(prop::sample::select(WORDS), 0..14)) {
        let goal = words.join(" ");
        if let Ok(plan) = plan(&goal, &here()) {
            let checked = plan.clone().check(&plan.exactly());
            prop_assert!(checked.is_ok(), "{goal}: {checked:?}");
        }
    }

    #[test]
    fn any_text_is_planned_or_refused(text in "\\PC{0,200}|[ -~\\n]{0,400}|(list|read|'|\"|`|/| |\\\\|and|,){0,200}") {
        let _planned = plan(&text, &here()).is_ok();
        prop_assert!(plan(&text, &Place::default()).is_err() || plan(&text, &here()).is_ok());
    }
}

/// P8: hostile goals end in a refusal well within the second that a bad request may take.
#[test]
fn hostile_goals_are_refused_quickly() {
    let started = Instant::now();
    let mut goals = vec![
        "a".repeat(20_000),
        "list ".repeat(1600),
        "'".repeat(8000),
        "' ".repeat(4000),
        "and ".repeat(2000),
        "/".repeat(8000),
        format!("list {}", "/tmp and ".repeat(900)),
        format!("list {}", "/tmp, ".repeat(1300)),
        "list /tmp then ".repeat(540),
        format!("read {}", "../".repeat(2600)),
        "\\".repeat(8001),
        format!("read /{}", "a".repeat(8000)),
        format!("run `{}`", "'".repeat(8001)),
        "find files in /tmp ".to_owned() + &"older than 2 days ".repeat(400),
        "“‘«".repeat(800),
        "\u{202e}list /tmp".to_owned(),
        "list /tmp\0".to_owned(),
        "Ｌist the files in /tmp".to_owned(),
        "list the files in ⁄tmp".to_owned(),
        "1. ".repeat(2500),
        "- ".repeat(4000),
        "please ".repeat(1100),
        "\n".repeat(8000),
        format!("run {}", "echo ".repeat(1600) + "| x"),
        format!("count the {} in a.txt", "lines and words, ".repeat(450)),
    ];
    goals.push(String::new());
    for goal in &goals {
        assert!(plan(goal, &here()).is_err(), "{}", goal.chars().take(60).collect::<String>());
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?} for {} goals", started.elapsed(), goals.len());
}

/// In `serve` there is neither a folder of the client's nor a home.
#[test]
fn without_a_place_relative_paths_are_refused_with_the_reason() {
    let nowhere = Place::default();
    assert!(
        matches!(plan("read notes.txt", &nowhere), Err(NotUnderstood::RelativePath { path }) if path == "notes.txt")
    );
    assert!(matches!(plan("list files in ~/docs", &nowhere), Err(NotUnderstood::NoHome { .. })));
    assert!(matches!(plan("list files here", &nowhere), Err(NotUnderstood::RelativePath { .. })));
    assert!(plan("list the files in /tmp", &nowhere).is_ok());
    let refusal = plan("read my mind", &nowhere).unwrap_err();
    assert!(refusal.needs_model());
    insta::assert_snapshot!(refusal, @r#"without a model these words are not understood: "mind". Rephrase the goal (docs/offline-goals.md lists what is understood), or set OCTOLLM_MODEL_URL to an OpenAI-compatible server so that a model can plan it"#);
}

/// P8: what means harm is refused or is taken for nothing but a path, and soon.
#[test]
fn hostile_goals_are_refused() {
    let many = "please ".repeat(5_000);
    for hostile in [
        "list files in /tmp\0",
        "list files in '/tmp\0'",
        "read \u{202e}txt.exe",
        "list 'files in /tmp",
        "list files in \"/tmp'",
        "list files in `/tmp",
        "\u{2013}la",
        "''''''''",
        "\\\\\\\\",
        "/../../../../..",
        "\u{feff}list /tmp",
        many.as_str(),
    ] {
        let refused = plan(hostile, &here());
        assert!(refused.is_err(), "{hostile:?}: {refused:?}");
    }
}

/// A command's file in the user's folder is read there, because the command runs elsewhere; two
/// commands that may write are ordered, whatever joins them.
#[test]
fn a_command_reads_the_user_s_files_and_writes_its_own() {
    let here = Place { entries: ["notes.txt".to_owned(), "test".to_owned()].into(), ..here() };
    let made = plan("run cat notes.txt and run `cargo test` and run `echo other.txt`", &here).unwrap();
    let argv = |at: usize| match &made.steps[at].instruction {
        Instruction::Tool(ToolCall::Shell { argv, .. }) => argv.join(" "),
        other => panic!("{other:?}"),
    };
    assert_eq!(argv(0), "cat /home/me/work/notes.txt");
    assert!(made.steps[0].capability.read_roots.contains("/home/me/work/notes.txt"));
    assert_eq!((argv(1).as_str(), argv(2).as_str()), ("cargo test", "echo other.txt"));
    assert!(made.steps.iter().all(|step| step.capability.writes_workspace));
    let checked = made.clone().check(&made.exactly()).expect("the writers are ordered");
    assert_eq!(checked.steps()[2].needs, [1]);
}
