//! Real processes: `sh` plays the worker.

use octollm_contract::{Millis, WorkerId};
use octollm_supervisor::{Happening, OrderError, Orders, Program, Supervisor};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

struct SayGroup;

impl Orders<&'static str> for SayGroup {
    async fn order(&self, group: &&'static str, _worker: &WorkerId) -> Result<String, OrderError> {
        Ok((*group).to_owned())
    }
}

struct Fixture {
    shutdown: CancellationToken,
    happenings: mpsc::Receiver<Happening>,
    supervisor: tokio::task::JoinHandle<()>,
}

fn supervise(script: &str, order: &'static str, grace: Millis) -> Fixture {
    let program = Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] };
    let supervisor =
        Supervisor { program, groups: vec![order], orders: Arc::new(SayGroup), label: "t".into(), grace };
    let shutdown = CancellationToken::new();
    let (sender, happenings) = mpsc::channel(64);
    let supervisor = tokio::spawn(supervisor.run(shutdown.clone(), sender));
    Fixture { shutdown, happenings, supervisor }
}

impl Fixture {
    async fn next(&mut self) -> Happening {
        let next = tokio::time::timeout(Duration::from_secs(20), self.happenings.recv()).await;
        next.expect("something happens within 20 s").expect("the supervisor lives")
    }

    async fn started(&mut self) -> u32 {
        match self.next().await {
            Happening::Started { pid, .. } => pid,
            Happening::Gone { how, .. } => panic!("the worker is gone: {how}"),
        }
    }
}

fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// P2: a worker that dies is told as gone and replaced by another worker.
#[tokio::test]
async fn a_worker_that_dies_is_told_and_replaced() {
    let mut fixture = supervise("read order; exec sleep 600", "x", Millis::from_secs(5));
    let first = fixture.started().await;
    let pid = rustix::process::Pid::from_raw(first.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let Happening::Gone { worker: gone, .. } = fixture.next().await else {
        panic!("the death is told first")
    };
    let Happening::Started { worker: next, .. } = fixture.next().await else { panic!("another one follows") };
    assert_ne!(gone, next);
    fixture.shutdown.cancel();
    fixture.supervisor.await.unwrap();
}

/// The order arrives on standard input, and a drain ends the process by SIGTERM.
#[tokio::test]
async fn a_drain_sends_sigterm_and_leaves_no_process() {
    let script =
        r#"read order; [ "$order" = hello ] || exit 9; trap 'exit 0' TERM; while :; do sleep 0.05; done"#;
    let mut fixture = supervise(script, "hello", Millis::from_secs(20));
    let pid = fixture.started().await;
    fixture.shutdown.cancel();
    let Happening::Gone { how, .. } = fixture.next().await else { panic!("it ends") };
    // The signal may come before the shell has set its trap.
    assert!(how == "exit status: 0" || how.starts_with("signal: 15"), "{how}");
    fixture.supervisor.await.unwrap();
    assert!(!alive(pid));
}

#[tokio::test]
async fn a_worker_that_does_not_drain_is_killed_after_the_grace() {
    let mut fixture =
        supervise("trap '' TERM; read order; echo; while :; do sleep 0.05; done", "x", Millis::new(300));
    let pid = fixture.started().await;
    fixture.shutdown.cancel();
    let Happening::Gone { how, .. } = fixture.next().await else { panic!("it ends") };
    assert!(how.contains("was killed") || how.starts_with("signal: 15"), "{how}");
    fixture.supervisor.await.unwrap();
    assert!(!alive(pid));
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_told_and_tried_again() {
    let supervisor = Supervisor {
        program: Program { path: "/does/not/exist".into(), arguments: vec![] },
        groups: vec!["x"],
        orders: Arc::new(SayGroup),
        label: "t".into(),
        grace: Millis::from_secs(1),
    };
    let shutdown = CancellationToken::new();
    let (sender, mut happenings) = mpsc::channel(64);
    let running = tokio::spawn(supervisor.run(shutdown.clone(), sender));
    for _ in 0..2 {
        let Some(Happening::Gone { how, .. }) = happenings.recv().await else { panic!("it is told") };
        assert!(how.contains("could not be started"), "{how}");
    }
    shutdown.cancel();
    running.await.unwrap();
}
