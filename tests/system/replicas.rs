//! A primary, two standbys, and servers that read from them, as processes: what clients see while a
//! standby lags, while analysts read there, when the primary dies; and how quiet all is when nobody asks.

use crate::server::{ADMIN, Octo, PATIENCE};
use octollm_testkit::{poll_until, postgres::Server};
use octollm_tls::Trust;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const GOAL: &str = "Count the files in /tmp";

/// The servers of one database.
struct Databases {
    primary: Server,
    standbys: [Server; 2],
}

impl Databases {
    fn start(settings: &[&str]) -> Self {
        let primary = Server::start(settings).expect("a primary");
        let standbys = ["one", "two"].map(|name| primary.standby(name).expect("a standby"));
        Databases { primary, standbys }
    }

    /// A server over them. The first standby may become the primary.
    fn serve(&self) -> Octo {
        let ports = [self.primary.port(), self.standbys[0].port()];
        let primary = format!("postgresql://octo@127.0.0.1:{},127.0.0.1:{}/postgres", ports[0], ports[1]);
        let replicas: Vec<_> = self.standbys.iter().map(|standby| standby.tcp_url("postgres")).collect();
        Octo::start_with(
            &[],
            &[("OCTOLLM_DATABASE_URL", &primary), ("OCTOLLM_DATABASE_REPLICAS", &replicas.join(","))],
        )
    }

    fn replica(&self, at: usize) -> String {
        format!("127.0.0.1:{}", self.standbys[at].port())
    }
}

/// A client that may carry what it has seen.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    key: String,
    /// `None`: it sends nothing of it.
    seen: Option<String>,
}

/// Connections that nothing encrypts.
pub(crate) fn plain_http() -> reqwest::Client {
    crate::server::http(&Trust::Nobody, None)
}

impl Client {
    fn new(key: &str, carries: bool) -> Self {
        Client { http: plain_http(), key: key.to_owned(), seen: carries.then(String::new) }
    }

    /// Status and body; what the answer carries is kept.
    async fn ask(&mut self, octo: &Octo, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut request = self
            .http
            .request(method.parse().expect("a method"), octo.client().url(path))
            .bearer_auth(&self.key);
        if let Some(seen) = self.seen.as_ref().filter(|seen| !seen.is_empty()) {
            request = request.header("Octollm-Seen", seen);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.expect("an answer");
        if let (Some(seen), Some(carried)) = (&mut self.seen, answer.headers().get("octollm-seen")) {
            *seen = carried.to_str().expect("visible ASCII").to_owned();
        }
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.expect("a body")).unwrap_or_default())
    }

    async fn get(&mut self, octo: &Octo, path: &str) -> Value {
        let (status, body) = self.ask(octo, "GET", path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn submit(&mut self, octo: &Octo) -> String {
        let (status, body) = self.ask(octo, "POST", "/api/v1/tasks", &json!({ "goal": GOAL })).await;
        assert_eq!(status, 202, "{body}");
        body["task_id"].as_str().expect("an id").to_owned()
    }
}

/// How far a task is: it never goes back.
fn rank(status: &Value) -> usize {
    let order = ["queued", "planning", "running", "completed"];
    order.iter().position(|name| Some(*name) == status.as_str()).unwrap_or_else(|| panic!("{status}"))
}

/// A figure of `/metrics` for a replica.
async fn figure(octo: &Octo, name: &str, replica: &str) -> Option<f64> {
    let (status, text) = octo.client().get_text("/metrics").await.ok()?;
    let wanted = format!("{name}{{replica=\"{replica}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&wanted)).filter(|_| status == 200)?;
    line.parse().ok()
}

async fn until_figure(octo: &Octo, name: &str, replica: &str, wanted: impl Fn(f64) -> bool) {
    let began = Instant::now();
    loop {
        let found = figure(octo, name, replica).await;
        if found.is_some_and(&wanted) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{name} of {replica} is {found:?}; {}", octo.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn all_serve(octo: &Octo, databases: &Databases) {
    for at in [0, 1] {
        until_figure(octo, "octollm_replica_serves", &databases.replica(at), |serves| serves == 1.0).await;
    }
}

/// Has a standby's replay `pause` or `resume`. The statement itself may be in the way of what is replayed.
fn replay(standby: &Server, how: &str) {
    let sql = format!("SELECT pg_wal_replay_{how}()");
    let mut said = None;
    let done = poll_until(PATIENCE, || {
        said = standby.sql("postgres", &sql).err();
        said.is_none()
    });
    assert!(done, "{how}: {said:?}");
}

/// P4: replay stands still on one of two replicas, analysts keep the other one busy: everybody reads
/// what they wrote, nobody sees anything go back, no read fails. One client sends nothing and stays with
/// one server; another one carries what it has seen between two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_time_go_back_while_a_replica_stands_still() {
    let minutes: u64 = std::env::var("OCTOLLM_TEST_SOAK_MINUTES").map_or(0, |m| m.parse().expect("a number"));
    let paused_for = Duration::from_secs(if minutes > 0 { minutes * 60 } else { 4 });
    let databases = Databases::start(&["max_standby_streaming_delay = 300ms"]);
    let servers = Arc::new([databases.serve(), databases.serve()]);
    for octo in servers.iter() {
        all_serve(octo, &databases).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let reads = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for n in 0..4usize {
        let (servers, stop, reads) = (Arc::clone(&servers), Arc::clone(&stop), Arc::clone(&reads));
        let (_, made) =
            servers[0].client().post("/api/v1/keys", &json!({ "role": "user" }), None).await.unwrap();
        let key = made["key"].as_str().expect("a key").to_owned();
        clients.push(tokio::spawn(async move {
            let carries = n % 2 == 1;
            let mut client = Client::new(&key, carries);
            let at = |turn: usize| if carries { &servers[turn % 2] } else { &servers[0] };
            let mut furthest: BTreeMap<String, usize> = BTreeMap::new();
            let mut turn = 0;
            while !stop.load(Ordering::Relaxed) {
                let task = client.submit(at(turn)).await;
                furthest.insert(task.clone(), 0);
                for _ in 0..6 {
                    turn += 1;
                    let list = client.get(at(turn), "/api/v1/tasks?limit=50").await;
                    let lines = list["tasks"].as_array().expect("tasks");
                    // Ids grow with time: it is there unless the page is full of newer ones.
                    let oldest = lines.last().and_then(|line| line["task_id"].as_str()).unwrap_or_default();
                    let there = lines.iter().any(|line| line["task_id"] == *task);
                    assert!(
                        there || (lines.len() == 50 && *oldest > *task),
                        "{n}: {task} was accepted: {list}"
                    );
                    turn += 1;
                    let whole = client.get(at(turn), &format!("/api/v1/tasks/{task}")).await;
                    for line in lines.iter().chain([&whole]) {
                        let id = line["task_id"].as_str().expect("an id");
                        let now = rank(&line["status"]);
                        let before = furthest.insert(id.to_owned(), now).unwrap_or_default();
                        // The list was read before the task.
                        assert!(now >= before, "{n}: {id} went back from {before} to {now}");
                    }
                    reads.fetch_add(2, Ordering::Relaxed);
                }
            }
        }));
    }
    let analyst = {
        let (stop, standby) = (Arc::clone(&stop), databases.standbys[1].tcp_url("postgres"));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // It is cut off when it is in the way of the replay: that is its own affair.
                let sql = "SELECT count(*), pg_sleep(0.4) FROM octollm.event, octollm.ready";
                let _may_be_cut_off =
                    std::process::Command::new("psql").args([&standby, "-X", "-c", sql]).output();
            }
        })
    };
    replay(&databases.standbys[0], "pause");
    // What is written anew is locked on the way: whoever reads it at a standby is in the way.
    let began = Instant::now();
    while began.elapsed() < paused_for {
        for table in ["ready", "lease", "event"] {
            databases.primary.sql("postgres", &format!("VACUUM octollm.{table}")).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    until_figure(&servers[0], "octollm_replica_serves", &databases.replica(0), |serves| serves == 0.0).await;
    until_figure(&servers[0], "octollm_replica_lag_seconds", &databases.replica(0), |lag| lag > 1.0).await;
    replay(&databases.standbys[0], "resume");
    until_figure(&servers[0], "octollm_replica_serves", &databases.replica(0), |serves| serves == 1.0).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("every read held");
    }
    analyst.join().expect("the analyst");
    let of = async |at| {
        figure(&servers[0], "octollm_replica_reads_total", &databases.replica(at)).await.unwrap_or_default()
    };
    println!("{reads:?} reads; of the first server's, replicas answered {} and {}", of(0).await, of(1).await);
    // On a busy machine they may have been behind all the while; now that nobody writes they are not.
    let mut reader = Client::new(ADMIN, false);
    let began = Instant::now();
    while of(0).await + of(1).await == 0.0 {
        assert!(began.elapsed() < PATIENCE, "no replica answers anything: {}", servers[0].log());
        reader.get(&servers[0], "/api/v1/tasks?limit=1").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// P1, P4: kill -9 of the primary, a standby becomes it: servers and the other replica follow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_and_replicas_follow_a_promotion() {
    let mut databases = Databases::start(&[]);
    let octo = databases.serve();
    all_serve(&octo, &databases).await;
    let mut client = Client::new(ADMIN, true);
    let before = client.submit(&octo).await;
    let ended = client.get(&octo, &format!("/api/v1/tasks/{before}?wait=30s")).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    // What the standbys do not have yet would be lost, as they are not synchronous here; and the one that
    // has more could not follow the other.
    let written = || databases.primary.sql("postgres", "SELECT pg_current_wal_flush_lsn()").ok();
    let has = |standby: &Server| standby.sql("postgres", "SELECT pg_last_wal_receive_lsn()").ok();
    assert!(poll_until(PATIENCE, || {
        let written = written();
        written.is_some() && databases.standbys.iter().all(|standby| has(standby) == written)
    }));
    databases.primary.kill();
    databases.standbys[0].promote().unwrap();
    let promoted = Instant::now();
    let after = loop {
        let (status, body) = client.ask(&octo, "POST", "/api/v1/tasks", &json!({ "goal": GOAL })).await;
        match status {
            202 => break body["task_id"].as_str().expect("an id").to_owned(),
            503 => assert!(promoted.elapsed() < PATIENCE, "nobody follows: {}", octo.log()),
            _ => panic!("{status}: {body}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    println!("accepts followed {:?} after the promotion", promoted.elapsed());
    let follow = format!(
        "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port={} user=octo'",
        databases.standbys[0].port()
    );
    for sql in [follow.as_str(), "ALTER SYSTEM SET primary_slot_name = ''", "SELECT pg_reload_conf()"] {
        databases.standbys[1].sql("postgres", sql).unwrap();
    }
    for task in [&before, &after] {
        let ended = client.get(&octo, &format!("/api/v1/tasks/{task}?wait=30s")).await;
        assert_eq!(ended["status"], "completed", "{ended}");
    }
    until_figure(&octo, "octollm_replica_serves", &databases.replica(1), |serves| serves == 1.0).await;
    assert_eq!(figure(&octo, "octollm_replica_serves", &databases.replica(0)).await, Some(0.0));
    for task in [&before, &after] {
        assert_eq!(client.get(&octo, &format!("/api/v1/tasks/{task}")).await["status"], "completed");
    }
    let began = Instant::now();
    while figure(&octo, "octollm_replica_reads_total", &databases.replica(1)).await.is_none_or(|n| n == 0.0) {
        assert!(began.elapsed() < PATIENCE, "the replica never answers; {}", octo.log());
        client.get(&octo, &format!("/api/v1/tasks/{after}")).await;
    }
    // A replica that dies and is started again costs no read, and is back by itself.
    databases.standbys[1].kill();
    client.get(&octo, &format!("/api/v1/tasks/{after}")).await;
    until_figure(&octo, "octollm_replica_serves", &databases.replica(1), |serves| serves == 0.0).await;
    databases.standbys[1].run().unwrap();
    until_figure(&octo, "octollm_replica_serves", &databases.replica(1), |serves| serves == 1.0).await;
}

/// An event that one server makes is told by another one, and nothing is asked while nobody waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_cross_servers_and_idle_servers_are_quiet() {
    let databases = Databases::start(&["shared_preload_libraries = 'pg_stat_statements'"]);
    databases.primary.sql("postgres", "CREATE EXTENSION pg_stat_statements").unwrap();
    let (one, other) = (databases.serve(), databases.serve());
    let later = json!({ "goal": GOAL, "not_before": "2099-01-01T00:00:00Z" });
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let task = one.client().submit(&later).await;
        let url = other.client().url(&format!("/api/v1/tasks/{task}/events"));
        let mut stream = plain_http().get(url).bearer_auth(ADMIN).send().await.unwrap();
        let mut text = String::new();
        let mut until = async |what: &str| {
            let read = async {
                while !text.contains(what) {
                    let chunk = stream.chunk().await.expect("the stream goes on").expect("and has not ended");
                    text.push_str(&String::from_utf8_lossy(&chunk));
                }
            };
            tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("no {what} is told"));
        };
        until("task.accepted").await;
        let began = Instant::now();
        let (status, _) =
            one.client().post(&format!("/api/v1/tasks/{task}/cancel"), &json!(null), None).await.unwrap();
        assert_eq!(status, 200);
        until("task.cancelled").await;
        slowest = slowest.max(began.elapsed());
    }
    // Far sooner than anything that is looked for from time to time would tell it.
    assert!(slowest < Duration::from_secs(5), "it took {slowest:?}");
    println!("from the cancel at one server to the event at the other: at most {slowest:?}");
    // Whatever is asked just after a read has ended by then.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let statements = || -> [u64; 3] {
        let sql = "SELECT sum(calls) FROM pg_stat_statements";
        let of = |server: &Server| server.sql("postgres", sql).unwrap().parse().unwrap();
        [of(&databases.primary), of(&databases.standbys[0]), of(&databases.standbys[1])]
    };
    let (before, began) = (statements(), Instant::now());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (after, seconds) = (statements(), began.elapsed().as_secs() + 1);
    let asked: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    println!("two idle servers asked {asked:?} in {seconds} s");
    for (server, asked) in asked.iter().enumerate() {
        assert!(*asked <= 5 * seconds, "{server}: {asked} statements in {seconds} s");
    }
}

/// P8: what no answer carried is refused, and what one carried is taken, by a server without replicas, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_that_no_answer_carried_is_refused() {
    let octo = Octo::start(&[]);
    let task = octo.client().submit(&json!({ "goal": GOAL })).await;
    let paths =
        ["".to_owned(), format!("/{task}"), format!("/{task}/events"), format!("/{task}/artefacts/x")];
    for path in paths {
        let url = octo.client().url(&format!("/api/v1/tasks{path}"));
        let ask = async |seen: &[&[u8]]| {
            let mut request = plain_http().get(&url).bearer_auth(ADMIN);
            for value in seen {
                request =
                    request.header("Octollm-Seen", reqwest::header::HeaderValue::from_bytes(value).unwrap());
            }
            request.send().await.unwrap()
        };
        let good = b"00000001-0000000000000010";
        let bad: [&[&[u8]]; 6] = [
            &[b"x"],
            &[b""],
            &[b"1-10"],
            &[b"00000001-00000000000000\xff0"],
            &[b"00000001-0000000000000010", b"00000001-0000000000000010"],
            &[b"00000001-0000000000000010, 00000001-0000000000000010"],
        ];
        for values in bad {
            let answer = ask(values).await;
            assert_eq!(answer.status().as_u16(), 400, "{path}: {values:?}");
            assert!(answer.text().await.unwrap().contains("Octollm-Seen"), "{path}: {values:?}");
        }
        let most = b"ffffffff-ffffffffffffffff";
        for value in [good, most] {
            assert_ne!(ask(&[value]).await.status().as_u16(), 400, "{path}");
        }
    }
}
