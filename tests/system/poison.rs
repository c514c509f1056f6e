//! P2: a step whose worker dies three times fails as poison; other tasks go on, and a server's death is another thing.

use crate::server::{Octo, kill, wait_until};
use octollm_testkit::postgres::shared;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_loses_its_worker_three_times_is_poison_and_others_go_on() {
    let octo = Octo::start(&["--workers", "executor=2"]);
    let key = crate::cancel::key_with_commands(&octo, &["sleep"]).await;
    let api = octo.client().with_key(&key);
    let poison = api.submit(&json!({"goal": "run `sleep 9876`"})).await;
    for _ in 0..3 {
        // The worker is the process whose descendants hold the program.
        let worker = wait_until("the step is being done", || {
            octo.workers().into_iter().find(|worker| holds(*worker, "9876"))
        });
        kill(worker, rustix::process::Signal::KILL);
        wait_until("the worker is gone", || (!holds(worker, "9876")).then_some(()));
    }
    let task = api.ended(&poison).await;
    assert_eq!(task["status"], "failed", "{task:#}");
    assert_eq!(task["error"]["reason"], "poison", "{task:#}");
    assert_eq!(task["steps"][0]["deliveries"]["crashes"], 3, "{task:#}");
    let other = api.submit(&json!({"goal": "Count the files in /tmp"})).await;
    assert_eq!(api.ended(&other).await["status"], "completed");
    let (_, page) = api.get("/api/v1/tasks?poison=true").await.expect("an answer");
    assert_eq!(page["tasks"].as_array().map(Vec::len), Some(1), "{page:#}");
    assert_eq!(page["tasks"][0]["task_id"], json!(poison));
}

/// P2: how a server ended is no evidence against what its workers did, on its own store and over a database
/// that may be others', too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_poisons_nothing() {
    let database = shared().url(&shared().database().unwrap());
    for environment in [vec![], vec![("OCTOLLM_DATABASE_URL", database.as_str())]] {
        let mut octo = Octo::start_with(&[], &environment);
        let key = crate::cancel::key_with_commands(&octo, &["sleep"]).await;
        let task = octo.client().with_key(&key).submit(&json!({"goal": "run `sleep 8765`"})).await;
        for _ in 0..4 {
            wait_until("the step is being done", || holds(octo.pid(), "8765").then_some(()));
            octo.kill_server();
            octo.start_again();
        }
        let api = octo.client().with_key(&key);
        let (_, task) = api.get(&format!("/api/v1/tasks/{task}")).await.expect("an answer");
        assert_eq!(task["status"], "running", "{environment:?}: {task:#}");
        let deliveries = &task["steps"][0]["deliveries"];
        assert_eq!((&deliveries["crashes"], &deliveries["releases"]), (&json!(0), &json!(4)), "{task:#}");
    }
}

/// Whether a process has one below it whose command line says so.
pub(crate) fn holds(pid: u32, name: &str) -> bool {
    crate::server::children(pid).into_iter().any(|child| {
        let own = std::fs::read(format!("/proc/{child}/cmdline"))
            .is_ok_and(|l| String::from_utf8_lossy(&l).contains(name));
        own || holds(child, name)
    })
}
