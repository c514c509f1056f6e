//! SIGTERM: stops accepting, drains, exits 0 within its grace; nothing lost, no attempt burned.

use crate::server::{ADMIN, Octo, alive, wait_until};
use serde_json::json;
use std::time::{Duration, Instant};

/// P2: a drain burns no attempt, and what it hands back is done after the restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_in_time_loses_nothing_and_burns_no_attempt() {
    let mut octo = Octo::start(&["--drain-grace", "3s"]);
    let key = crate::cancel::key_with_commands(&octo, &["sleep"]).await;
    let api = octo.client().with_key(&key);
    let long = api.submit(&json!({"goal": "run `sleep 8`"})).await;
    let started = || async {
        let (_, task) = api.get(&format!("/api/v1/tasks/{long}")).await.expect("an answer");
        task["steps"][0]["status"] == "leased"
    };
    let began = Instant::now();
    while !started().await {
        assert!(began.elapsed() < Duration::from_secs(30), "the step was not started");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let workers = octo.workers();
    let began = Instant::now();
    assert_eq!(octo.terminate(), Some(0), "{}", octo.log());
    assert!(began.elapsed() < Duration::from_secs(10), "the drain took {:?}", began.elapsed());
    for worker in workers {
        wait_until("the workers are gone", || (!alive(worker)).then_some(()));
    }
    octo.start_again();
    let task = crate::server::Api::new(octo.base(), ADMIN).with_key(&key).ended(&long).await;
    assert_eq!(task["status"], "completed", "{task:#}");
    let deliveries = &task["steps"][0]["deliveries"];
    assert_eq!(deliveries["crashes"], 0, "{task:#}");
    assert_eq!(deliveries["failures"], 0, "{task:#}");
    assert_eq!(deliveries["releases"], 1, "{task:#}");
}
