//! Ctrl-C on a terminal, as a person types it.

use crate::server::{alive, kill, program, wait_until};
use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A length of time that no other test sleeps, to find the process by.
const NAP: &str = "86213";

/// The process that sleeps for [`NAP`].
fn sleeper() -> Option<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let nap = format!("\0{NAP}\0");
    pids.find(|pid| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(nap.as_bytes()))
    })
}

/// `octollm run` on a terminal of its own, with a model that asks before it plans.
struct Asked {
    folder: tempfile::TempDir,
    script: std::process::Child,
    _sim: crate::model_server::Sim,
}

/// Its planner asks; what is answered is the name of the folder to count in.
const ASKS: &str = r#"[[rule]]
name = "answered"
system = 'You plan how a goal is reached'
user = '(?s)juggle.*the client answered: three'
[[rule.answer]]
json = '''{"kind": "plan", "result": ["a"], "steps": [{"name": "a", "arm": "executor", "summary": "count",
 "tool": {"tool": "count", "arguments": {"what": "words", "text": "one two three"}}}]}'''
[[rule]]
name = "ask"
system = 'You plan how a goal is reached'
user = 'juggle'
[[rule.answer]]
json = '''{"kind": "question", "question": "How many balls?"}'''

[[rule]]"#;

impl Asked {
    fn start(options: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let sim = crate::model_server::Sim::start(&[("[[rule]]", ASKS)], folder.path());
        let inner = format!(
            "trap : INT; '{}' run 'Please juggle' {options} > out; echo $? > code",
            program().display()
        );
        let script = Command::new("script")
            .args(["--quiet", "--flush", "--command", &inner, "typescript"])
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", folder.path())
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .env("OCTOLLM_MODEL_URL", sim.model_url())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("script starts");
        Asked { folder, script, _sim: sim }
    }

    fn file(&self, name: &str) -> String {
        std::fs::read(self.folder.path().join(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn until_it_says(&mut self, what: &str) {
        wait_until(what, || Some(()).filter(|()| self.file("typescript").contains(what)));
    }

    fn types(&mut self, keys: &[u8]) {
        let keyboard = self.script.stdin.as_mut().expect("stdin is a pipe");
        keyboard.write_all(keys).and_then(|()| keyboard.flush()).expect("the terminal takes the keys");
    }

    /// Its exit code.
    fn ends(mut self) -> (String, String) {
        wait_until("the run ends", || Some(()).filter(|()| !self.file("code").is_empty()));
        drop(self.script.stdin.take());
        wait_until("script ends", || self.script.try_wait().expect("a child can be waited for"));
        (self.file("code").trim().to_owned(), self.file("typescript"))
    }
}

/// A question is put to the person; an empty line is no answer, nor is what was typed before it.
#[test]
fn a_question_is_asked_until_it_is_answered() {
    let mut run = Asked::start("");
    run.types(b"three\n");
    run.until_it_says("How many balls?");
    run.types(b"\n");
    run.until_it_says("An empty line is no answer");
    run.types(b"three\n");
    let (code, told) = run.ends();
    assert_eq!(code, "0", "{told}");
}

/// Ctrl-C is heard while the run waits for an answer, and so is the end of its time.
#[test]
fn a_question_keeps_no_run_from_ending() {
    let mut run = Asked::start("");
    run.until_it_says("How many balls?");
    let begun = Instant::now();
    run.types(b"\x03");
    let (code, told) = run.ends();
    assert_eq!(code, "130", "{told}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let mut run = Asked::start("--max-time 2");
    run.until_it_says("How many balls?");
    let (code, told) = run.ends();
    assert!(code == "1" && told.contains("deadline"), "{code}: {told}");
}

/// Where nobody can answer, the task is cancelled, the question told, and what to do.
#[test]
fn a_question_that_nobody_can_answer_ends_the_run() {
    for options in ["< /dev/null", "--json < /dev/null"] {
        let run = Asked::start(options);
        let folder = run.folder.path().to_owned();
        let out = || std::fs::read_to_string(folder.join("out")).unwrap_or_default();
        wait_until("the run ends", || Some(()).filter(|()| !run.file("code").is_empty()));
        let printed = out();
        let (code, told) = run.ends();
        assert_eq!(code, "1", "{told}");
        assert!(told.contains("How many balls?") && told.contains("into the goal"), "{told}");
        if options.contains("--json") {
            let line = |line| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON");
            let mut backwards = printed.lines().rev().map(line);
            assert_eq!(backwards.next().expect("how it ended")["error"]["reason"], "unanswered");
            assert_eq!(backwards.next().expect("the task")["status"], "cancelled");
        }
    }
}

/// P4: an interrupted run ends within two seconds, its programs are gone, and the terminal's line
/// discipline is as it was: `script` gives the program a terminal of its own, and `stty` compares.
#[test]
fn ctrl_c_ends_a_run_and_all_that_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = format!(
        "trap : INT; stty -g > before; '{}' run 'run `sleep {NAP}`'; echo $? > code; stty -g > after",
        program().display()
    );
    let mut script = Command::new("script")
        .args(["--quiet", "--command", &inner, "typescript"])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", folder.path())
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("script starts");
    let typed = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap_or_default();
    let pid = wait_until("the program of the step runs", || {
        let ended = script.try_wait().expect("a child can be waited for");
        assert!(ended.is_none(), "it ended early: {}", typed("typescript"));
        sleeper()
    });
    let mut keyboard = script.stdin.take().expect("stdin is a pipe");
    let begun = Instant::now();
    keyboard.write_all(b"\x03").expect("the terminal takes the key");
    wait_until("the run ends", || Some(()).filter(|()| !typed("code").is_empty()));
    let took = begun.elapsed();
    let survived = alive(pid);
    kill(pid, rustix::process::Signal::KILL);
    drop(keyboard);
    wait_until("script ends", || script.try_wait().expect("a child can be waited for"));
    assert_eq!(typed("code").trim(), "130", "{}", typed("typescript"));
    assert!(!survived, "the program of the step outlived the run");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(typed("before"), typed("after"));
}
