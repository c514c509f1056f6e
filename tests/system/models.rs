//! Goals that need thought, with the simulated model server as the witness of what was paid.

use crate::{
    chance::Chance,
    model_server::{Sim, receipts, tokens},
    server::{Octo, PATIENCE, kill},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// A server whose model is `sim`.
fn octo(sim: &Sim) -> Octo {
    Octo::start_with(&[], &[("OCTOLLM_MODEL_URL", &sim.model_url()), ("OCTOLLM_LEASE_TTL", "3s")])
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

const SORT: &str = "Write a Python function to sort a list";
/// Slow enough that a kill meets a call.
const SLOW: (&str, &str) = ("first_token_ms = { fixed = 20 }", "first_token_ms = { fixed = 250 }");

/// Questions that the model answered whole more than once: the same rule and the same length of
/// the question, which grows with each turn.
fn answered_again(log: &[Value]) -> usize {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for call in log.iter().filter(|call| call["outcome"] == "finished") {
        *seen.entry(format!("{} {}", call["rule"], call["input"])).or_default() += 1;
    }
    seen.values().map(|times| times - 1).sum()
}

/// The guide's three goals; what was simulated says so (P10).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_goals_are_reached_with_a_simulated_model() {
    let folder = scratch();
    let sim = Sim::start(&[], folder.path());
    let octo = octo(&sim);
    let api = octo.client();
    for goal in ["List files in /tmp directory", SORT, "Analyze security of a web application"] {
        let task = api.ended(&api.submit(&json!({ "goal": goal })).await).await;
        assert_eq!(task["status"], "completed", "{task:#}");
        assert!(receipts(&task).iter().all(|call| call["simulated"] == true), "{task:#}");
    }
}

/// P5: a worker that is killed again and again in the middle of a coder's loop costs no answered
/// question a second payment, and the loop goes on where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_pays_for_no_answer_twice() {
    let folder = scratch();
    let sim = Sim::start(&[SLOW], folder.path());
    let octo = octo(&sim);
    let api = octo.client();
    let mut chance = Chance::for_test("models::a_killed_worker_pays_for_no_answer_twice");
    let id = api.submit(&json!({ "goal": SORT })).await;
    // The third crash of a step would be its last.
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(200 + chance.below(500))).await;
        octo.workers().into_iter().for_each(|worker| kill(worker, rustix::process::Signal::KILL));
    }
    let task = api.ended(&id).await;
    assert_eq!(task["status"], "completed", "{task:#}");
    let log = sim.log().await;
    let failed = task["steps"].as_array().unwrap().iter().any(|step| step["status"] == "failed");
    assert!(!failed, "a step that is killed twice is no failure: {task:#}");
    assert_eq!(answered_again(&log), 0, "{log:#?}");
    let logged: u64 = log.iter().map(tokens).sum();
    let charged: u64 = receipts(&task).iter().map(|receipt| tokens(&receipt["usage"])).sum();
    assert!(charged >= logged, "{charged} charged, {logged} used: {log:#?} {task:#}");
    assert_eq!(task["usage"]["tokens"].as_u64(), Some(charged));
}

/// P1, P5: kill -9 of the server and its workers; the task ends, and everything that the provider
/// did is charged. What was answered is asked again only if the kill came before it was kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_charges_every_call_and_goes_on() {
    let folder = scratch();
    let sim = Sim::start(&[SLOW], folder.path());
    let mut octo = octo(&sim);
    let api = octo.client();
    let mut chance = Chance::for_test("models::a_killed_server_charges_every_call_and_goes_on");
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(api.submit(&json!({ "goal": SORT, "budget": { "max_cost_usd": "1.00" } })).await);
    }
    let kills = 2;
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(100 + chance.below(700))).await;
        octo.kill_all();
        octo.start_again();
    }
    let mut charged = 0;
    for id in &ids {
        let task = api.ended(id).await;
        assert_eq!(task["status"], "completed", "{task:#}");
        charged += task["usage"]["tokens"].as_u64().expect("tokens");
        let cost: f64 = task["usage"]["cost_usd"].as_str().expect("a known cost").parse().unwrap();
        assert!(cost <= 1.0, "{task:#}");
    }
    let log = sim.log().await;
    let logged: u64 = log.iter().map(tokens).sum();
    assert!(charged >= logged, "{charged} charged, {logged} used: {log:#?}");
    // Four tasks ask the same questions, once each; a kill may meet one call of each slot.
    assert!(answered_again(&log) <= 3 * 4 + kills * 4, "{log:#?}");
}

/// P5: whatever the provider does, no task spends above its limits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_provider_breaks_no_budget() {
    let folder = scratch();
    let faults = "[faults]\nerror = 0.05\nrate_limit = 0.05\nretry_after_seconds = 0\ncut = 0.1\nmalformed = 0.05\n\n[[rule]]";
    let sim = Sim::start(&[("[[rule]]", faults)], folder.path());
    let octo = octo(&sim);
    let api = octo.client();
    let mut ids = Vec::new();
    for n in 0..12 {
        let budget = json!({ "max_cost_usd": "0.05", "max_tokens": 40_000 + 1_000 * n });
        ids.push((n, api.submit(&json!({ "goal": SORT, "budget": budget })).await));
    }
    let mut charged = 0;
    for (n, id) in &ids {
        // A provider that fails so often is left alone for fifteen seconds now and then.
        let task = tokio::time::timeout(4 * PATIENCE, api.ended(id)).await.expect("an end");
        let cost: f64 = task["usage"]["cost_usd"].as_str().expect("a known cost").parse().unwrap();
        let used = task["usage"]["tokens"].as_u64().expect("tokens");
        assert!(cost <= 0.05 && used <= 40_000 + 1_000 * n, "{task:#}");
        assert_eq!(used, receipts(&task).iter().map(|receipt| tokens(&receipt["usage"])).sum::<u64>());
        charged += used;
    }
    let logged: u64 = sim.log().await.iter().map(tokens).sum();
    assert!(charged >= logged, "{charged} charged, {logged} used");
}

/// A planner's question waits for its answer, and a plan that fails is revised with what failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_waits_for_its_answer_and_a_failed_plan_is_revised() {
    let folder = scratch();
    let script = r#"[[rule]]
name = "revise"
system = 'You plan how a goal is reached'
user = '(?s)juggle.*revision 1 of the plan'
[[rule.answer]]
json = '''{"kind": "plan", "result": ["again"], "steps": [{"name": "again", "arm": "executor",
 "summary": "count the folders", "reads": ["/tmp"], "tool": {"tool": "count", "arguments": {"what": "folders", "paths": ["/tmp"]}}}]}'''
[[rule]]
name = "answered"
system = 'You plan how a goal is reached'
user = '(?s)juggle.*the client answered: three'
[[rule.answer]]
json = '''{"kind": "plan", "result": ["first"], "steps": [{"name": "first", "arm": "executor",
 "summary": "read what is not there", "reads": ["/tmp/nothing-is-here"], "tool": {"tool": "read_file", "arguments": {"paths": ["/tmp/nothing-is-here"]}}}]}'''
[[rule]]
name = "ask"
system = 'You plan how a goal is reached'
user = 'juggle'
[[rule.answer]]
json = '''{"kind": "question", "question": "How many balls? The key is sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD."}'''

[[rule]]"#;
    let sim = Sim::start(&[("[[rule]]", script)], folder.path());
    let octo = octo(&sim);
    let api = octo.client();
    let body = json!({ "goal": "Please juggle", "budget": { "max_retries": 0 } });
    let id = api.submit(&body).await;
    let waiting = loop {
        let (_, task) = api.get(&format!("/api/v1/tasks/{id}?wait=1s")).await.expect("an answer");
        if task["status"] == "waiting" {
            break task;
        }
        assert!(!matches!(task["status"].as_str(), Some("failed" | "completed")), "{task:#}");
    };
    let question = waiting["question"].as_str().expect("a question");
    assert!(question.starts_with("How many balls? The key is [masked "), "P7: {question}");
    assert_eq!(waiting["awaits"], "answer");
    let input = format!("/api/v1/tasks/{id}/input");
    let approve = json!({ "approve": true, "step_id": waiting["awaits_step_id"] });
    let (status, _) = api.post(&input, &approve, None).await.unwrap();
    assert_eq!(status, 409, "a question is not answered by an approval");
    let (status, answer) = api.post(&input, &json!({ "text": "three" }), None).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let task = api.ended(&id).await;
    assert_eq!(task["status"], "completed", "{task:#}");
    let events = api.events(&id).await;
    let asked = events.iter().find(|event| event["event"] == "task.waiting").expect("the question is told");
    assert_eq!(asked["data"], json!({ "awaits": "answer", "question": question }), "{asked:#}");
    assert!(asked["step_id"].is_string() && asked["step_id"] == waiting["awaits_step_id"]);
    let versions: Vec<u64> =
        task["steps"].as_array().unwrap().iter().filter_map(|step| step["plan_version"].as_u64()).collect();
    assert_eq!(versions.iter().max(), Some(&2), "{task:#}");
}

/// What a provider takes no question of is not planned anew: the next plan's questions would fare no better.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_takes_no_question_is_not_planned_around() {
    let folder = scratch();
    let script = r#"[[rule]]
name = "plan"
system = 'You plan how a goal is reached'
user = 'juggle'
[[rule.answer]]
json = '''{"kind": "plan", "result": ["write"], "steps": [{"name": "write", "arm": "coder",
 "summary": "write it", "writes": true, "instruction": "No rule of the script answers a coder that juggles."}]}'''

[[rule]]"#;
    let sim = Sim::start(&[("[[rule]]", script)], folder.path());
    let octo = octo(&sim);
    let api = octo.client();
    let task = api.ended(&api.submit(&json!({ "goal": "Please juggle" })).await).await;
    assert_eq!(task["status"], "failed", "{task:#}");
    let said = task["error"]["message"].as_str().expect("a reason");
    assert!(said.contains("no rule"), "{said}");
    let planned = sim.log().await.iter().filter(|call| call["rule"] == "plan").count();
    assert_eq!(planned, 1, "{task:#}");
}

/// A plan of the rules that fails because of what is there pays for no planner, and one that a planner
/// cannot mend either fails with what it met.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_plan_can_mend_pays_for_no_planner() {
    let folder = scratch();
    let refuses = r#"[[rule]]
name = "refuses"
system = 'You plan how a goal is reached'
[[rule.answer]]
json = '''{"kind": "refusal", "reason": "there is nothing to be done"}'''

[[rule]]"#;
    let sim = Sim::start(&[("[[rule]]", refuses)], folder.path());
    let octo = octo(&sim);
    let api = octo.client();
    let once = json!({ "max_retries": 0 });
    let missing = json!({ "goal": "Read /tmp/there-is-no-such-file", "budget": once });
    let task = api.ended(&api.submit(&missing).await).await;
    assert_eq!((&task["status"], task["usage"]["tokens"].as_u64()), (&json!("failed"), Some(0)), "{task:#}");
    assert!(task["error"]["message"].as_str().unwrap().contains("does not exist"), "{task:#}");
    let criteria = json!([{ "type": "contains", "text": "what is not there" }]);
    let missing = json!({ "goal": missing["goal"], "acceptance_criteria": criteria, "budget": once });
    let task = api.ended(&api.submit(&missing).await).await;
    assert!(task["error"]["message"].as_str().unwrap().contains("does not exist"), "{task:#}");
    assert_eq!(sim.log().await.len(), 0, "neither with criteria nor without");
    let judged = json!({ "goal": "List the files in /tmp", "acceptance_criteria": criteria, "budget": once });
    let task = api.ended(&api.submit(&judged).await).await;
    assert_eq!(task["error"]["reason"], "refused", "{task:#}");
    let message = task["error"]["message"].as_str().unwrap();
    let (first, then) = message.split_once("; and no other plan was made: ").expect("both are told");
    assert!(first.contains("judge refused") && then.contains("nothing to be done"), "{message}");
    assert_eq!(sim.log().await.len(), 1);
    let broke = json!({ "max_retries": 0, "max_tokens": 0 });
    let broke = json!({ "goal": "List the files in /tmp", "acceptance_criteria": criteria, "budget": broke });
    let task = api.ended(&api.submit(&broke).await).await;
    assert_eq!((&task["error"]["reason"], sim.log().await.len()), (&json!("refused"), 1), "{task:#}");
}
