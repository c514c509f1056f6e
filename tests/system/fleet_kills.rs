//! kill -9 in a fleet over one PostgreSQL database: of orchestrators while clients turn to the other
//! one, and of arms every other moment while one step takes each arm with it (P1–P3).

use crate::{
    chance::Chance,
    checker,
    fleet::{Arm, Fleet, faults_for, here},
    kill::{self, Clients, Told},
    poison::holds,
    server::{ADMIN, Api, PATIENCE},
};
use octollm_testkit::{
    postgres::shared,
    tcp_proxy::{Place, TcpProxy},
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// P1, P2, P3: whichever orchestrator is killed and whenever, and sometimes both: every task that got a
/// 202 ends once, and a key stands for one task at both. The moments are drawn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_task_ends_once_whichever_orchestrator_is_killed() {
    let mut chance = Chance::for_test("every_accepted_task_ends_once_whichever_orchestrator_is_killed");
    let url = shared().url(&shared().database().expect("a database"));
    let mut fleet = Fleet::here(&url, 2).await;
    let _arms = [fleet.arm("arm:executor,arm:judge", 8), fleet.arm("arm:executor,arm:judge", 8)];
    let clients = Clients::start(8, &fleet.clients(), kill::GOALS, &mut chance);
    let mut kills = 0;
    let began = Instant::now();
    // Both run when it ends. A machine that is slow to start them gets three kills all the same.
    while began.elapsed() < faults_for(6) || kills < 3 || clients.accepted() < 20 {
        assert!(began.elapsed() < faults_for(6) + PATIENCE, "nobody accepts");
        tokio::time::sleep(Duration::from_millis(100 + chance.below(700))).await;
        let victim = chance.below(2) as usize;
        let victims = if chance.below(5) == 0 { vec![victim, 1 - victim] } else { vec![victim] };
        for at in &victims {
            fleet.orchestrators[*at].kill_server();
            kills += 1;
        }
        tokio::time::sleep(Duration::from_millis(chance.below(400))).await;
        for at in &victims {
            fleet.orchestrators[*at].start_again();
        }
    }
    let told = clients.stopped().await;
    println!("{} tasks accepted, {kills} kills of an orchestrator", told.len());
    all_end(&fleet.clients()[0], &told).await;
    let lapsed = kill::check(&fleet.clients(), &told).await;
    println!("{lapsed} leases ran out");
}

/// P1, P2, P3, at the very moments: an orchestrator dies when a transaction is about to be committed, when
/// it is and the orchestrator has not heard so, and when a client is about to be answered. Connections
/// stand still there, at a proxy before the database and at one before the orchestrator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_task_ends_once_at_every_commit_and_reply() {
    let mut chance = Chance::for_test("every_accepted_task_ends_once_at_every_commit_and_reply");
    let name = shared().database().expect("a database");
    let local = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let database = TcpProxy::start(local(shared().port())).await.expect("a proxy");
    let direct = shared().tcp_url(&name);
    let watched = format!("postgresql://octo@{}/{name}", database.address());
    let victim = here();
    let front = TcpProxy::start(victim.address.parse().expect("an address")).await.expect("a proxy");
    let places = [(victim, &[("OCTOLLM_DATABASE_URL", &*watched)][..]), (here(), &[])];
    let mut fleet = Fleet::start(&direct, &places).await;
    let _arms = [fleet.arm("arm:executor,arm:judge", 8), fleet.arm("arm:executor,arm:judge", 8)];
    let front_url = Arc::new(RwLock::new(format!("http://{}", front.address())));
    let servers = vec![Api::new(front_url, ADMIN), fleet.orchestrators[1].client()];
    let clients = Clients::start(6, &servers, kill::GOALS, &mut chance);
    let points = [
        (&database, &b"COMMIT"[..], Place::BeforeAsk),
        (&database, b"COMMIT", Place::BeforeAnswer),
        (&front, b"POST /api/v1/tasks", Place::BeforeAnswer),
    ];
    let began = Instant::now();
    let mut kills = 0;
    while kills < 6 || (began.elapsed() < faults_for(0)) {
        let (proxy, ask, place) = points[kills % points.len()];
        tokio::time::sleep(Duration::from_millis(chance.below(200))).await;
        proxy.stop_at(ask, place);
        let happened = tokio::time::timeout(PATIENCE, proxy.happened()).await;
        assert!(happened.is_ok(), "nobody came to {place:?} of {:?}", String::from_utf8_lossy(ask));
        fleet.orchestrators[0].kill_server();
        fleet.orchestrators[0].start_again();
        kills += 1;
    }
    let told = clients.stopped().await;
    println!("{} tasks accepted, {kills} kills of an orchestrator", told.len());
    all_end(&servers[1], &told).await;
    let lapsed = kill::check(&servers, &told).await;
    println!("{lapsed} leases ran out");
}

/// P1: nothing that was accepted still runs a minute after the last fault.
pub(crate) async fn all_end(api: &Api, told: &Told) {
    let all = async {
        for (_, id, _) in told {
            api.ended(id).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, all).await;
    assert!(in_time.is_ok(), "something has not ended {PATIENCE:?} after the last fault");
}

/// What the program of the poison step is told: whoever runs it is found by it.
const POISON: &str = "9876";

/// P2: of eight arms one is killed at every other moment, and one step costs each arm its life that takes
/// it: that step fails as poison after its third delivery, and no other task fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_step_fails_alone_in_a_fleet_whose_arms_die() {
    let mut chance = Chance::for_test("a_poison_step_fails_alone_in_a_fleet_whose_arms_die");
    let database = shared().database().expect("a database");
    let fleet = Fleet::here(&shared().url(&database), 2).await;
    let mut arms: Vec<Arm> = (0..8).map(|_| fleet.arm("arm:executor", 2)).collect();
    let clients = fleet.clients_with(&["sleep"]).await;
    let poison = clients[0].submit(&json!({ "goal": format!("run `sleep {POISON}`") })).await;
    let stop = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..6)
        .map(|n| tokio::spawn(one_after_the_other(clients[n % 2].clone(), Arc::clone(&stop))))
        .collect();
    let (mut kills, mut next) = (0, Instant::now());
    let began = Instant::now();
    let every = if faults_for(0).is_zero() { 700 } else { 2000 };
    let mut poisoned = None;
    while began.elapsed() < faults_for(8) || poisoned.is_none() || kills < 4 {
        assert!(began.elapsed() < faults_for(8) + PATIENCE, "the poison step does not fail, or nobody dies");
        tokio::time::sleep(Duration::from_millis(50)).await;
        if poisoned.is_none() {
            let (_, task) = clients[0].get(&format!("/api/v1/tasks/{poison}")).await.expect("an answer");
            poisoned = (task["status"] == "failed").then_some(task);
        }
        let takes_it = arms.iter().position(|arm| holds(arm.pid(), POISON));
        let drawn = (next <= Instant::now()).then(|| chance.below(8) as usize);
        let Some(victim) = takes_it.or(drawn) else { continue };
        // Whose third loss would be chance and not poison is spared: nobody is killed until it is done.
        if on_its_last_chance(&database) {
            continue;
        }
        arms[victim].kill();
        arms[victim].start_again();
        if takes_it.is_none() {
            kills += 1;
            next = Instant::now() + Duration::from_millis(every);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let task = poisoned.expect("the loop waits for it");
    assert_eq!(task["error"]["reason"], "poison", "{task:#}");
    let deliveries = &task["steps"][0]["deliveries"];
    assert_eq!((&deliveries["attempts"], &deliveries["crashes"]), (&json!(3), &json!(3)), "{task:#}");
    let (mut done, mut crashes) = (0, 0);
    for client in others {
        for task in tokio::time::timeout(PATIENCE, client).await.expect("it ends").expect("no fault") {
            done += 1;
            crashes += task["steps"][0]["deliveries"]["crashes"].as_u64().expect("a number");
        }
    }
    println!("{done} other tasks completed; {kills} kills of arms drawn, {crashes} of their steps lost");
    let (_, page) = clients[1].get("/api/v1/tasks?poison=true").await.expect("an answer");
    assert_eq!(page["tasks"].as_array().map(Vec::len), Some(1), "{page:#}");
}

/// Submits a task, waits for its end, checks its history, until told to stop; the tasks.
async fn one_after_the_other(api: Api, stop: Arc<AtomicBool>) -> Vec<Value> {
    let mut tasks = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let id = api.submit(&json!({ "goal": "run `sleep 0.4`" })).await;
        let task = api.ended(&id).await;
        let faults = checker::faults(&task, &api.events(&id).await);
        assert!(faults.is_empty() && task["status"] == "completed", "{faults:#?} {task:#}");
        tasks.push(task);
    }
    tasks
}

/// Whether a step other than the poison has lost two arms and is not done.
fn on_its_last_chance(database: &str) -> bool {
    let sql = format!(
        "SELECT count(*) FROM octollm.step s WHERE crashes >= 2 AND spec NOT LIKE '%{POISON}%' AND \
         (EXISTS (SELECT FROM octollm.lease l WHERE (l.task, l.place) = (s.task, s.place)) OR \
          EXISTS (SELECT FROM octollm.ready r WHERE (r.task, r.place) = (s.task, s.place)))"
    );
    shared().sql(database, &sql).expect("an answer") != "0"
}
