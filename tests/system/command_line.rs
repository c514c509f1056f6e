//! `octollm run` and the other verbs, as a person or a program calls them.

use crate::server::program;
use serde_json::Value;
use std::process::{Command, Output};

fn octollm(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    octollm_in(folder.path(), arguments)
}

fn octollm_in(folder: &std::path::Path, arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", folder)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn run_prints_the_result_and_exits_0() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("apple.txt"), "a\nb\n").expect("a file");
    let out = octollm_in(
        folder.path(),
        &["run", &format!("List the files in {} directory", folder.path().display())],
    );
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("apple.txt"));
    assert!(text(&out.stderr).contains("done:"), "{}", text(&out.stderr));
    let counted = octollm_in(folder.path(), &["run", "count the lines of apple.txt"]);
    assert!(text(&counted.stdout).contains('2'), "{}", text(&counted.stdout));
}

/// P10: what needs a model is refused plainly, and says how to configure one.
#[test]
fn a_goal_that_needs_a_model_is_refused_with_the_setting_to_make() {
    for goal in ["List the countries in Europe", "Write a Python function to sort a list"] {
        let out = octollm(&["run", goal]);
        assert_eq!(out.status.code(), Some(1));
        assert!(text(&out.stderr).contains("OCTOLLM_MODEL_URL"), "{}", text(&out.stderr));
        assert!(out.stdout.is_empty());
    }
}

#[test]
fn json_lines_end_with_the_task() {
    let out = octollm(&["run", "List the files in /tmp directory", "--json"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let lines: Vec<Value> =
        text(&out.stdout).lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let names: Vec<&str> = lines.iter().filter_map(|l| l["event"].as_str()).collect();
    assert_eq!(names, ["task.accepted", "step.started", "step.completed", "task.completed"]);
    assert_eq!(lines.last().expect("a line")["status"], "completed");
}

/// P8: whoever asked for JSON is told in JSON how it ended, whatever went wrong; the exit code is the same.
#[test]
fn a_failure_is_a_line_of_json_for_whoever_asked_for_it() {
    let key = crate::server::ADMIN;
    // Nothing listens there.
    let away = ["--key", key, "--url", "http://127.0.0.1:9"];
    let to_a_server = |verb: &[&'static str]| verb.iter().copied().chain(away).collect::<Vec<_>>();
    let cases = [
        (vec!["run", "x", "--max-time", "soon"], 2, "usage", "--max-time"),
        (vec!["run", "count the files in /tmp", "--max-cost", "1"], 2, "usage", "--max-cost"),
        (vec!["task", "list"], 2, "usage", "OCTOLLM_KEY"),
        (vec!["run", "count the files in /tmp", "--model", "notaurl"], 2, "configuration", "flag --model:"),
        (
            vec!["--config", "/nowhere/o.toml", "run", "count the files in /tmp"],
            2,
            "configuration",
            "/nowhere",
        ),
        (vec!["run", "count the files in /tmp", "--data", "/proc/none"], 1, "failed", "/proc/none"),
        (vec!["run", "List the countries in Europe"], 1, "refused", "OCTOLLM_MODEL_URL"),
        (to_a_server(&["task", "list"]), 1, "unreachable", "--url"),
        (to_a_server(&["task", "submit", "count the files in /tmp"]), 1, "unreachable", "--url"),
        (to_a_server(&["keys", "list"]), 1, "unreachable", "--url"),
        (to_a_server(&["usage"]), 1, "unreachable", "--url"),
    ];
    for (arguments, code, reason, named) in cases {
        let plain = octollm(&arguments);
        assert_eq!(plain.status.code(), Some(code), "{arguments:?}: {}", text(&plain.stderr));
        assert!(plain.stdout.is_empty(), "{arguments:?}: {}", text(&plain.stdout));
        let out = octollm(&[&arguments[..], &["--json"]].concat());
        let (line, said) = (text(&out.stdout), text(&out.stderr));
        assert_eq!((out.status.code(), line.lines().count()), (Some(code), 1), "{arguments:?}: {line}{said}");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["error"]["reason"], reason, "{arguments:?}");
        let message = line["error"]["message"].as_str().expect("a message");
        assert!(message.contains(named), "{arguments:?}: {message}");
    }
}

#[test]
fn wrong_usage_exits_2_and_a_failed_goal_exits_1_with_the_reason() {
    assert_eq!(octollm(&["run"]).status.code(), Some(2));
    assert_eq!(octollm(&["run", "x", "--max-time", "soon"]).status.code(), Some(2));
    assert_eq!(octollm(&["run", "Count the files in /tmp", "--max-cost", "1"]).status.code(), Some(2));
    let missing = octollm(&["run", "read the file /tmp/there-is-no-such-file-here"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("there-is-no-such-file-here"), "{}", text(&missing.stderr));
}

/// P6: `run` may read what the goal names, and a link out of it leads nowhere.
#[test]
fn run_reads_nothing_beyond_what_the_goal_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).expect("a folder");
    std::fs::write(folder.path().join("secret.txt"), "needle\n").expect("a file");
    std::os::unix::fs::symlink("../secret.txt", inside.join("link.txt")).expect("a link");
    let out = octollm(&["run", &format!("search for needle in {}", inside.display())]);
    assert!(!text(&out.stdout).contains("link.txt:1"), "{}", text(&out.stdout));
    let beside = octollm(&["run", &format!("search for needle in {}", folder.path().display())]);
    assert!(text(&beside.stdout).contains("secret.txt"), "{}", text(&beside.stdout));
}

/// P6: a named command runs in its room: it sees nothing of the caller's environment.
#[test]
fn a_named_command_runs_with_an_empty_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = Command::new(program())
        .args(["run", "run `env`"])
        .env("SECRET_OF_THE_CALLER", "x")
        .env("HOME", folder.path())
        .output()
        .expect("the program starts");
    let (shown, said) = (text(&out.stdout), text(&out.stderr));
    if out.status.code() == Some(1) && said.contains("landlock") {
        println!("this kernel has no rooms: {said}");
        return;
    }
    assert_eq!(out.status.code(), Some(0), "{said}");
    assert!(shown.contains("PATH=") && !shown.contains("SECRET_OF_THE_CALLER"), "{shown}");
}

#[test]
fn a_data_folder_has_one_owner() {
    let octo = crate::server::Octo::start(&[]);
    let data = octo.data();
    let second = octollm(&["serve", "--listen", "127.0.0.1:0", "--data", &data.display().to_string()]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains(&data.display().to_string()), "{}", text(&second.stderr));
}

#[test]
fn an_unknown_setting_is_an_error_that_names_the_nearest_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("octollm.toml");
    std::fs::write(&file, "lisen = \"127.0.0.1:1\"\n").expect("a file");
    let out = octollm(&["--config", &file.display().to_string(), "config", "show"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("did you mean listen?"), "{}", text(&out.stderr));
    let shown = text(&octollm(&["config", "show"]).stdout);
    assert!(shown.contains("listen = 127.0.0.1:8410") && shown.contains("from default"), "{shown}");
    // A value that does not fit is shown among the others, and named as `serve` names it.
    std::fs::write(&file, "database_replicas = \"postgresql://me:pw@replica/db\"\n").expect("a file");
    let out = octollm(&["--config", &file.display().to_string(), "config", "show"]);
    let (shown, said) = (text(&out.stdout), text(&out.stderr));
    assert!(shown.contains("database_replicas = ") && shown.contains("prices = "), "{shown}");
    let served = octollm(&["--config", &file.display().to_string(), "serve"]);
    assert_eq!((out.status.code(), &said), (served.status.code(), &text(&served.stderr)));
    assert!(said.contains("database_url names no primary") && !said.contains("me:pw"), "{said}");
}

/// P8: a key's policy is checked before anything is sent: nothing listens at the address here.
#[test]
fn a_policy_that_cannot_be_honoured_is_refused_with_its_flag() {
    for (flag, value) in [("--read-root", "tmp"), ("--command", "ls -l"), ("--read-root", "/tmp/..")] {
        let key = crate::server::ADMIN;
        let out = octollm(&[
            "keys",
            "create",
            "--role",
            "user",
            flag,
            value,
            "--key",
            key,
            "--url",
            "http://127.0.0.1:9",
        ]);
        assert_eq!(out.status.code(), Some(2), "{flag} {value}");
        assert!(text(&out.stderr).contains(flag), "{}", text(&out.stderr));
    }
}

/// P8: a log filter that cannot be read is refused by every verb, with its name and place.
#[test]
fn a_bad_log_filter_is_refused_before_anything_starts() {
    for arguments in [&["config", "show"][..], &["serve"], &["run", "List the files in /tmp"]] {
        let folder = tempfile::tempdir().expect("a folder");
        let out = Command::new(program())
            .args(arguments)
            .env_clear()
            .env("HOME", folder.path())
            .env("OCTOLLM_LOG", "octollm=loud")
            .output()
            .expect("the program starts");
        assert_eq!(out.status.code(), Some(2), "{arguments:?}");
        assert!(text(&out.stderr).contains("environment OCTOLLM_LOG: log = "), "{}", text(&out.stderr));
    }
}

/// Whoever sets a flag by its variable may say yes in any word, and is told by its name of what is none.
#[test]
fn a_flags_variable_takes_a_yes_in_any_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |json: &str| {
        Command::new(program())
            .args(["run", "Count the files in /tmp"])
            .env_clear()
            .env("HOME", folder.path())
            .env("OCTOLLM_JSON", json)
            .output()
            .expect("the program starts")
    };
    for (json, is_json) in [("1", true), ("yes", true), ("true", true), ("0", false), ("no", false)] {
        let out = run(json);
        assert_eq!(out.status.code(), Some(0), "{json}: {}", text(&out.stderr));
        assert_eq!(text(&out.stdout).starts_with('{'), is_json, "{json}: {}", text(&out.stdout));
    }
    for json in ["", "maybe"] {
        let out = run(json);
        assert_eq!(out.status.code(), Some(2), "{json}");
        assert!(text(&out.stderr).contains("OCTOLLM_JSON takes"), "{}", text(&out.stderr));
    }
}

/// P6: what is not fetched without leave says how leave is given.
#[test]
fn a_host_of_ones_own_network_is_refused_with_the_flag_that_grants_it() {
    let out = octollm(&["run", "fetch http://127.0.0.1:9/"]);
    assert_eq!(out.status.code(), Some(1));
    let said = text(&out.stderr);
    assert!(said.contains("--allow-host 127.0.0.1") && said.contains("--private-host"), "{said}");
}

/// The names of all members of a document, those of lists' elements together.
fn members(document: &Value, at: &str, names: &mut std::collections::BTreeSet<String>) {
    match document {
        Value::Object(inner) => inner.iter().for_each(|(name, value)| {
            names.insert(format!("{at}.{name}"));
            members(value, &format!("{at}.{name}"), names);
        }),
        Value::Array(inner) => inner.iter().for_each(|value| members(value, at, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The last line of `run --json` is the task as the API gives it, but that nothing of its text is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_ends_with_the_task_as_a_server_gives_it() {
    let octo = crate::server::Octo::start(&[]);
    let api = octo.client();
    let folder = tempfile::tempdir().expect("a folder");
    let long = folder.path().join("long.txt");
    std::fs::write(&long, "a line\n".repeat(20_000)).expect("a file");
    let goal = format!("read {} and count the lines in it", long.display());
    let (out, whole) = (octollm_in(folder.path(), &["run", &goal, "--json"]), 7 * 20_000);
    let shown = text(&out.stdout);
    let own: Value = serde_json::from_str(shown.lines().last().expect("a line")).expect("JSON");
    let theirs = api.ended(&api.submit(&serde_json::json!({ "goal": goal })).await).await;
    let names = |task: &Value| {
        let mut names = std::collections::BTreeSet::new();
        members(task, "", &mut names);
        names
    };
    assert_eq!(names(&own), names(&theirs));
    assert_eq!(own["result"]["artefacts"], theirs["result"]["artefacts"]);
    assert_eq!(own["result"]["data"], theirs["result"]["data"]);
    assert_eq!(theirs["result"]["artefacts"][0]["bytes"], whole);
    assert!(own["result"]["text"].as_str().is_some_and(|text| text.len() > whole));
    assert!(theirs["result"]["text"].as_str().is_some_and(|text| text.len() < whole));
}

/// Whoever asked for JSON reads that the key is revoked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_a_line_of_json() {
    let octo = crate::server::Octo::start(&[]);
    let url = octo.client().url("");
    let keys = |more: &[&str]| {
        let out =
            octollm(&[&["keys"], more, &["--json", "--key", crate::server::ADMIN, "--url", &url]].concat());
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        serde_json::from_str::<Value>(&text(&out.stdout)).expect("one object")
    };
    let id = keys(&["create", "--role", "user"])["about"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(keys(&["revoke", &id]), serde_json::json!({ "id": id, "revoked": true }));
}

/// What tasks came to is shown as a table for people, and as the API gives it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_shows_what_tasks_came_to() {
    let octo = crate::server::Octo::start(&[]);
    let api = octo.client();
    let usage = |more: &[&str]| {
        let server = ["usage", "--key", crate::server::ADMIN, "--url", &api.url("")];
        let out = octollm(&server.into_iter().chain(more.iter().copied()).collect::<Vec<_>>());
        (out.status.code(), text(&out.stdout), text(&out.stderr))
    };
    let (code, shown, said) = usage(&[]);
    assert!(code == Some(0) && shown.ends_with(": nothing ended\n"), "{shown} {said}");
    api.ended(&api.submit(&serde_json::json!({"goal": "Count the files in /tmp"})).await).await;
    let (code, shown, said) = usage(&[]);
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[1].starts_with("day ") && lines[1].ends_with("US dollars"), "{shown}");
    let cells: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(cells[1..], ["default", "1", "0", "0", "0", "0", "0.00"], "{shown}");
    let (code, shown, said) = usage(&["--by-arm"]);
    assert!(code == Some(0) && shown.contains("\nexecutor "), "{shown} {said}");
    let (_, page, _) = usage(&["--json"]);
    let page: Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!(page["days"][0]["tasks"]["completed"], 1, "{page}");
    // The server's word on days that it has not, and ours on what is no day.
    let (code, _, said) = usage(&["--from", "0001-01-01"]);
    assert!(code == Some(1) && said.contains("is the first one up to"), "{said}");
    assert_eq!(usage(&["--to", "today"]).0, Some(2));
}
