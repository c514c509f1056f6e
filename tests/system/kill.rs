//! P1–P3 under kill -9: of the server, of its workers, of both, at random moments and at every
//! commit and reply, under load from many clients.

use crate::{
    chance::Chance,
    checker,
    server::{ADMIN, Api, Octo},
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// What a client was told: an idempotency key and the id it stands for.
pub(crate) type Told = Vec<(String, String, Value)>;

/// What clients ask for: what any key may, in one step or two.
pub(crate) const GOALS: &[&str] = &[
    "List the files in /tmp directory",
    "Count the files in /tmp",
    "Find all files in /tmp with the extension .none and then count the files in /tmp",
];

/// Clients that submit at any of some servers, all the time, until they are stopped.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    running: Vec<JoinHandle<Told>>,
}

impl Clients {
    pub(crate) fn start(
        count: u32,
        servers: &[Api],
        goals: &'static [&'static str],
        chance: &mut Chance,
    ) -> Self {
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let running = (0..count).map(|n| {
            let (stop, accepted) = (Arc::clone(&stop), Arc::clone(&accepted));
            tokio::spawn(client(
                servers.to_vec(),
                goals,
                format!("client-{n}"),
                chance.child(),
                stop,
                accepted,
            ))
        });
        Clients { running: running.collect(), stop, accepted }
    }

    /// So many tasks were accepted by now.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Stops them; all that they were told.
    pub(crate) async fn stopped(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let mut told = Told::new();
        for client in self.running {
            told.extend(client.await.expect("no client saw a fault"));
        }
        told
    }
}

/// Submits until told to stop, at any of the servers; repeats each submit with its key until it is
/// answered, each time at the next server, and then once more: the answers must name the same task.
async fn client(
    servers: Vec<Api>,
    goals: &'static [&'static str],
    name: String,
    mut chance: Chance,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
) -> Told {
    let mut told = Told::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{name}-{}", told.len());
        let body = json!({"goal": goals[chance.below(goals.len() as u64) as usize]});
        let turn = chance.below(servers.len() as u64) as usize;
        let first = until_answered(&servers, turn, &body, &key).await;
        let Some(first) = first else { continue };
        accepted.fetch_add(1, Ordering::Relaxed);
        if chance.below(4) == 0
            && let Some(second) = until_answered(&servers, turn + 1, &body, &key).await
        {
            assert_eq!(first, second, "P3: one key, two tasks");
        }
        told.push((key, first, body));
        tokio::time::sleep(Duration::from_millis(20 + chance.below(80))).await;
    }
    told
}

/// The task's id, repeating across restarts, each time at the next server; `None` when the server sheds load.
pub(crate) async fn until_answered(
    servers: &[Api],
    mut turn: usize,
    body: &Value,
    key: &str,
) -> Option<String> {
    let began = Instant::now();
    loop {
        let api = &servers[turn % servers.len()];
        turn += 1;
        match api.post("/api/v1/tasks", body, Some(key)).await {
            Ok((202, answer)) => return Some(answer["task_id"].as_str().expect("an id").to_owned()),
            Ok((503 | 429, _)) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok((status, answer)) => panic!("a valid task was answered {status}: {answer}"),
        }
        assert!(began.elapsed() < Duration::from_secs(90), "the server does not come back");
    }
}

/// P1, P2, P3: whatever is killed and whenever, every task that got a 202 reaches one end,
/// each step's result is recorded once, and a key stands for one task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_task_ends_once_whatever_is_killed() {
    let minutes: u64 = std::env::var("OCTOLLM_TEST_SOAK_MINUTES").map_or(0, |m| m.parse().expect("a number"));
    let faults_for = if minutes > 0 { Duration::from_secs(minutes * 60) } else { Duration::from_secs(12) };
    let mut chance = Chance::for_test("every_accepted_task_ends_once_whatever_is_killed");
    let mut octo = Octo::start(&["--workers", "executor=2"]);
    let clients = Clients::start(16, &[octo.client()], GOALS, &mut chance);
    // Act one: faults.
    let began = Instant::now();
    let (mut kills, mut worker_kills) = (0, 0);
    while began.elapsed() < faults_for {
        tokio::time::sleep(Duration::from_millis(100 + chance.below(900))).await;
        match chance.below(4) {
            0 => {
                let workers = octo.workers();
                if let Some(victim) = workers.get(chance.below(workers.len().max(1) as u64) as usize) {
                    crate::server::kill(*victim, rustix::process::Signal::KILL);
                    worker_kills += 1;
                }
            }
            1 => {
                octo.kill_server();
                octo.start_again();
                kills += 1;
            }
            _ => {
                octo.kill_all();
                octo.start_again();
                kills += 1;
            }
        }
    }
    // Act two: no more faults; everything must end.
    let told = clients.stopped().await;
    println!("{} tasks accepted, {kills} kills of the server, {worker_kills} of a worker alone", told.len());
    assert!(kills > 3 && told.len() > 50, "too little happened to prove anything");
    check(&[octo.client()], &told).await;
}

/// P1–P3 at every commit and every reply: the process ends right there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_task_ends_once_at_every_failpoint() {
    let mut chance = Chance::for_test("every_accepted_task_ends_once_at_every_failpoint");
    let mut octo = Octo::start(&[]);
    let clients = Clients::start(8, &[octo.client()], GOALS, &mut chance);
    for point in ["store.before_commit", "store.after_commit", "store.before_reply"] {
        for _ in 0..2 {
            octo.kill_all();
            let pass = 1 + chance.below(60);
            octo.set_environment(&[("OCTOLLM_FAILPOINTS", &format!("{point}=exit:{pass}"))]);
            if octo.try_start_again() {
                crate::server::wait_until("the failpoint ends the server", || octo.has_ended().then_some(()));
            }
            // The process aborts there: no destructor runs, no exit code is given.
            assert_eq!(octo.reap(), None, "{point}: the failpoint did not fire; {}", octo.log());
            octo.set_environment(&[]);
            octo.start_again();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let told = clients.stopped().await;
    check(&[octo.client()], &told).await;
}

/// Every task that a client was told of has ended once, with a whole history, and its key
/// still stands for it, at every server. No sweeper has found anything between states.
/// How many leases have run out.
pub(crate) async fn check(servers: &[Api], told: &Told) -> usize {
    let mut lapsed = 0;
    let one = async |(key, id, body): &(String, String, Value)| {
        let task = servers[0].ended(id).await;
        let events = servers[0].events(id).await;
        let faults = checker::faults(&task, &events);
        assert!(faults.is_empty(), "{id}: {faults:#?}\n{events:#?}");
        for turn in 0..servers.len() {
            let again = until_answered(servers, turn, body, key).await;
            assert_eq!(again.as_deref(), Some(&**id), "P3: the key {key} stands for another task now");
        }
        events.iter().filter(|event| event["event"] == "step.lapsed").count()
    };
    for some in told.chunks(16) {
        lapsed += futures_util::future::join_all(some.iter().map(one)).await.iter().sum::<usize>();
    }
    for server in servers {
        let (_, metrics) = server.with_key(ADMIN).get_text("/metrics").await.expect("metrics");
        let found = metrics.lines().find(|l| l.starts_with("octollm_sweep_repairs_total")).unwrap_or("none");
        assert!(found.ends_with(" 0"), "the sweeper found tasks between states: {found}");
    }
    lapsed
}
