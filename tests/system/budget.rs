//! Money under kill -9 (P5): servers and workers are killed at random moments while a model answers,
//! cuts, fails and limits its rate. The accounts are read from the store itself whenever the server
//! is down, and the simulated model's log is the witness of what was done.

use crate::{
    chance::Chance,
    model_server::{Sim, receipts, tokens},
    server::{Api, Octo, kill},
};
use rusqlite::{Connection, OpenFlags};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

pub(crate) const FAULTS: &str = "[faults]\nerror = 0.05\nrate_limit = 0.03\nretry_after_seconds = 0\ncut = 0.03\n\
                      malformed = 0.02\n\n[[rule]]";
/// Slow enough that a kill meets a call.
pub(crate) const SLOW: (&str, &str) = ("first_token_ms = { fixed = 20 }", "first_token_ms = { fixed = 120 }");

/// What a task is asked with: its goal's mark, and what it is granted.
pub(crate) struct Wish {
    pub(crate) mark: String,
    tokens: u64,
    micros: i64,
}

impl Wish {
    pub(crate) fn drawn(chance: &mut Chance, number: usize) -> Self {
        let mark = format!("task-{number:04}-mark");
        let tokens = 9_000 + chance.below(120_000);
        let micros = 20_000 + chance.below(400_000).cast_signed();
        Wish { mark, tokens, micros }
    }

    pub(crate) fn body(&self) -> Value {
        json!({
            "goal": format!("Write a Python function to sort a list ({})", self.mark),
            "budget": { "max_tokens": self.tokens, "max_cost_usd": format!("0.{:06}", self.micros) },
        })
    }
}

/// A task that was accepted.
pub(crate) struct Granted {
    pub(crate) wish: Wish,
    pub(crate) id: String,
}

pub(crate) async fn submit(api: &Api, chance: &mut Chance, number: usize) -> Granted {
    let wish = Wish::drawn(chance, number);
    Granted { id: api.submit(&wish.body()).await, wish }
}

/// How many accounts are overdrawn, or hold what no call holds.
pub(crate) const OVERDRAWN: &str =
    "SELECT count(*) FROM ledger WHERE money_spent + money_held > money_granted
    OR tokens_spent + tokens_held > tokens_granted OR money_spent < 0 OR money_held < 0
    OR tokens_spent < 0 OR tokens_held < 0
    OR money_held <> (SELECT coalesce(sum(cost), 0) FROM hold WHERE hold.task = ledger.task)
    OR tokens_held <> (SELECT coalesce(sum(tokens), 0) FROM hold WHERE hold.task = ledger.task)";

/// granted = spent + held + free in every account, by the store's own rows; and what is held is
/// what the open calls hold.
fn audit(data: &Path) {
    let database = data.join("tasks.sqlite3");
    // A copy, so that the log of a killed writer stays for its successor to read.
    let copy = tempfile::tempdir().expect("a temporary folder");
    let to = copy.path().join("copy.db");
    for suffix in ["", "-wal"] {
        let from = format!("{}{suffix}", database.display());
        if Path::new(&from).exists() {
            std::fs::copy(&from, format!("{}{suffix}", to.display())).expect("a copy");
        }
    }
    let store = Connection::open_with_flags(&to, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("the store opens");
    let wrong: i64 = store.query_row(OVERDRAWN, [], |row| row.get(0)).expect("the accounts are read");
    assert_eq!(wrong, 0, "P5: an account is overdrawn, or holds what no call holds");
}

/// P5: whatever is killed and whenever, no account is overdrawn, no task spends above its limits,
/// and each call that the provider did is charged once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_overspends_a_budget_or_forgets_a_call() {
    let minutes: u64 = std::env::var("OCTOLLM_TEST_SOAK_MINUTES").map_or(0, |m| m.parse().expect("a number"));
    let faults_for = Duration::from_secs(if minutes > 0 { minutes * 60 } else { 12 });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sim = Sim::start(&[SLOW, ("[[rule]]", FAULTS)], folder.path());
    let environment = [("OCTOLLM_MODEL_URL", sim.model_url()), ("OCTOLLM_LEASE_TTL", "3s".to_owned())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut octo = Octo::start_with(&[], &environment);
    let api = octo.client();
    let mut chance = Chance::for_test("budget::no_kill_overspends_a_budget_or_forgets_a_call");
    let mut tasks = Vec::new();
    let (mut kills, mut worker_kills, mut cancels) = (0u32, 0u32, 0u32);
    // Act one: faults.
    let began = Instant::now();
    while began.elapsed() < faults_for {
        for _ in 0..(2 + chance.below(4)) {
            tasks.push(submit(&api, &mut chance, tasks.len()).await);
        }
        if chance.below(3) == 0 {
            let id = &tasks[chance.below(tasks.len() as u64) as usize].id;
            let cancel = format!("/api/v1/tasks/{id}/cancel");
            let _it_may_have_ended = api.post(&cancel, &json!({}), None).await;
            cancels += 1;
        }
        tokio::time::sleep(Duration::from_millis(200 + chance.below(1200))).await;
        if chance.below(2) == 0 {
            octo.workers().into_iter().for_each(|worker| kill(worker, Signal::KILL));
            worker_kills += 1;
        } else {
            octo.kill_all();
            audit(&octo.data());
            octo.start_again();
            kills += 1;
        }
    }
    // Act two: none; everything ends.
    let mut ended = Vec::new();
    for task in &tasks {
        ended.push(api.ended(&task.id).await);
    }
    octo.kill_all();
    audit(&octo.data());
    let log = sim.log().await;
    println!(
        "{} tasks, {kills} kills of all, {worker_kills} of the workers, {cancels} cancels, {} calls",
        tasks.len(),
        log.len()
    );
    assert!(kills > 1 && worker_kills > 1 && log.len() > 30, "too little happened to prove anything");
    check_all(&tasks, &ended, &log);
}

/// P5, of each task as it ended: by what the provider says that it did.
pub(crate) fn check_all(tasks: &[Granted], ended: &[Value], log: &[Value]) {
    let mut done: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for call in log.iter().filter(|call| call["outcome"] != "failed" && call["outcome"] != "unmatched") {
        let question = call["question"].as_str().expect("the log keeps questions");
        let task = tasks.iter().find(|task| question.contains(&task.wish.mark));
        done.entry(task.map_or("nobody's", |task| &task.wish.mark)).or_default().push(call);
    }
    for (task, view) in tasks.iter().zip(ended) {
        check(&task.wish, view, done.get(task.wish.mark.as_str()).map_or(&[], Vec::as_slice));
    }
}

fn check(task: &Wish, view: &Value, done: &[&Value]) {
    let spent = view["usage"]["tokens"].as_u64().expect("tokens");
    let cost: f64 = view["usage"]["cost_usd"].as_str().expect("a known cost").parse().expect("a number");
    let micros = (cost * 1e6).round() as i64;
    assert!(spent <= task.tokens && micros <= task.micros, "P5: {} of {}: {view:#}", spent, task.tokens);
    let all = receipts(view);
    // What is presumed spent says nothing else; it stands for a call that was made, or was about to be.
    let presumed: Vec<&Value> = all.iter().filter(|receipt| receipt["presumed"] == true).collect();
    let made = |receipt: &&Value| receipt["presumed"] != true && receipt["outcome"]["not_made"].is_null();
    let settled: Vec<&Value> = all.iter().filter(made).collect();
    // One that was given up unheard may have been lost on its way: it is charged whole by an estimate.
    let unheard = |receipt: &&&Value| {
        receipt["usage"]["counted"] == "estimated" && !receipt["outcome"]["failed"].is_null()
    };
    let heard = settled.len() - settled.iter().filter(unheard).count();
    // A call that a rate limit or an error preceded is one receipt with several tries.
    assert!(
        heard <= done.len() && done.len() <= settled.len() + presumed.len(),
        "P5: {} calls were done for {}, {} are settled and {} presumed: {view:#} {done:#?}",
        done.len(),
        task.mark,
        settled.len(),
        presumed.len(),
    );
    let did: u64 = done.iter().map(|call| tokens(call)).sum();
    assert!(spent >= did, "P5: {did} tokens were used for {}, {spent} are charged: {view:#}", task.mark);
    let told: u64 = settled.iter().map(|receipt| tokens(&receipt["usage"])).sum();
    let whole: u64 = presumed.iter().map(|receipt| receipt["tokens"].as_u64().expect("tokens")).sum();
    assert_eq!(spent, told + whole, "{view:#}");
}
