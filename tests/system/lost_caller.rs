//! An orchestrator that is killed, or stands still, while a model answers it (P1, P5).

use crate::{
    fleet::{Fleet, here},
    fleet_budget::PRESUMED,
    model_server::Sim,
    server::{Octo, PATIENCE, kill, wait_until},
};
use octollm_testkit::postgres::shared;
use rustix::process::Signal;
use serde_json::json;
use std::time::Instant;

/// Of several orchestrators one dies with a call under way. Nobody is there to say what it used: another
/// one counts it as spent, and the task goes on and ends within a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_died_with_its_orchestrator_holds_its_task_up_for_less_than_a_minute() {
    goes_on_after(|orchestrator| orchestrator.kill_server()).await;
}

/// The same of one that stands still and holds its connections open: its arm does not wait for it for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_an_orchestrator_that_stands_still_holds_its_task_up_for_less_than_a_minute() {
    goes_on_after(|orchestrator| kill(orchestrator.pid(), Signal::STOP)).await;
}

async fn goes_on_after(fault: impl FnOnce(&mut Octo)) {
    let name = shared().database().expect("a database");
    let sql = |sql: &str| shared().sql(&name, sql).expect("an answer");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = here();
    let never = ("first_token_ms = { fixed = 20 }", "first_token_ms = { fixed = 600000 }");
    let slow = Sim::start_at(&model, &[never], folder.path());
    let variables = [("OCTOLLM_MODEL_URL", &*slow.model_url())];
    let places: Vec<(_, &[(&str, &str)])> = vec![(here(), &variables), (here(), &variables)];
    let mut fleet = Fleet::start(&shared().url(&name), &places).await;
    // The call is the first one's: nobody else is there when it begins.
    fleet.orchestrators[1].kill_server();
    let _arm = fleet.arm("arm:planner,arm:executor,arm:judge", 4);
    let [first, second] = &fleet.clients()[..] else { unreachable!("two were started") };
    let id = first.submit(&json!({ "goal": "Analyze security of a web application" })).await;
    wait_until("a call is under way", || (sql("SELECT count(*) FROM octollm.hold") == "1").then_some(()));
    fleet.orchestrators[1].start_again();
    let (_, waiting) = second.get(&format!("/api/v1/tasks/{id}")).await.expect("an answer");
    assert_eq!(waiting["usage"]["unsettled_calls"], 1, "{waiting:#}");
    fault(&mut fleet.orchestrators[0]);
    let dead_since = Instant::now();
    drop(slow);
    let _quick = Sim::start_at(&model, &[], folder.path());
    let task = second.ended(&id).await;
    assert!(dead_since.elapsed() < PATIENCE, "P1: it took {:?}", dead_since.elapsed());
    assert_eq!(task["status"], "completed", "{task:#}");
    assert_eq!(task["usage"]["unsettled_calls"], 0, "{task:#}");
    assert_eq!(sql("SELECT count(*) FROM octollm.hold"), "0");
    assert_eq!(sql(PRESUMED), "1", "{task:#}");
    println!(
        "ended {:?} after the fault, {} attempts",
        dead_since.elapsed(),
        task["steps"][0]["deliveries"]["attempts"]
    );
}
