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
