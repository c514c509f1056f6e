//! A cancel reaches a running program and all that it started, within two seconds.

use crate::server::{Octo, alive, children, wait_until};
use serde_json::json;
use std::time::{Duration, Instant};

/// A key whose tasks may run these programs.
pub(crate) async fn key_with_commands(octo: &Octo, commands: &[&str]) -> String {
    let body = json!({"role": "user", "policy": {"commands": commands, "read_roots": ["/tmp"]}});
    let (status, answer) = octo.client().post("/api/v1/keys", &body, None).await.expect("an answer");
    assert_eq!(status, 201, "{answer}");
    answer["key"].as_str().expect("the key is shown once").to_owned()
}

fn descendants(pid: u32) -> Vec<u32> {
    children(pid).into_iter().flat_map(|child| std::iter::once(child).chain(descendants(child))).collect()
}

fn runs(pid: u32, name: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_processes_of_a_cancelled_task_are_gone_within_two_seconds() {
    let octo = Octo::start(&[]);
    let key = key_with_commands(&octo, &["sleep"]).await;
    let api = octo.client().with_key(&key);
    let id = api.submit(&json!({"goal": "run `sleep 4321`"})).await;
    let sleeper =
        wait_until("the program runs", || descendants(octo.pid()).into_iter().find(|pid| runs(*pid, "4321")));
    let began = Instant::now();
    let (status, answer) =
        api.post(&format!("/api/v1/tasks/{id}/cancel"), &json!({}), None).await.expect("an answer");
    assert!(status == 200 || status == 202, "{answer}");
    wait_until("the program is gone", || (!alive(sleeper)).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
    let task = api.ended(&id).await;
    assert_eq!(task["status"], "cancelled");
}
