//! The store on PostgreSQL, fsync on, everything on the same machine: durable accepts over HTTP and
//! through the store, and whole life cycles, each against a bare loop of the same rows in the same run.

use crate::{
    accepts,
    figures::{Sample, rate},
    own_sql,
};
use anyhow::Context;
use octollm_access::TenantScope;
use octollm_contract::{ArmName, ContentHash, Document, Millis, Priority, TaskId};
use octollm_lifecycle::{Awaits, Budget, Command, NewStep, NewTask, Replans, Terms};
use octollm_store::{
    Clock, Directed, Order, OsEntropy, Tasks, Wanted,
    postgres::{Moments, PostgresStore},
};
use octollm_testkit::postgres::Server;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// Callers at once: as many as with the embedded store, and somewhat more than the bare loop has in flight.
const CALLERS: [u32; 2] = [64, 256];
pub(crate) const ACCEPTS: u32 = 64_000;
pub(crate) const CYCLES: u32 = 20_000;
pub(crate) const OUTPUT: &str = r#"{"text":"a.txt\nb.txt\nc.txt","data":{"entries":3},"artefacts":[]}"#;
pub(crate) const REQUEST: &str = r#"{"goal":"List the files in /tmp/folder","priority":"medium"}"#;
pub(crate) const PLAN: &str = r#"{"criteria":[],"planner":"rules"}"#;
pub(crate) const SPEC: &str = r#"{"arm":"executor","tool":"list","arguments":{"path":"/tmp/folder"},"capability":{"read_roots":["/tmp/folder"]}}"#;

pub(crate) fn run() -> anyhow::Result<()> {
    let (server, runtime) = (server()?, runtime()?);
    for round in 1..=2 {
        let url = fresh(&server, &runtime)?;
        let bare = runtime.block_on(bare_accepts(&url, ACCEPTS, 100, 2))?;
        println!("round {round}: accepts/s bare (100 × 2) {bare:.0}");
        for callers in CALLERS {
            let url = fresh(&server, &runtime)?;
            let ours = runtime.block_on(store_accepts(&url, callers))?;
            let url = fresh(&server, &runtime)?;
            let http = accepts::over_http_with(&[("OCTOLLM_DATABASE_URL", &url)], callers as usize)?;
            println!(
                "round {round}: accepts/s with {callers} callers: store {ours:.0} ({:.0} %), over HTTP {:.0} ({:.0} %; wanted 50 %; {})",
                100.0 * ours / bare,
                http.rate,
                100.0 * http.rate / bare,
                http.cpu
            );
        }
        for batch in [100, 1000] {
            let url = fresh(&server, &runtime)?;
            let bare = runtime.block_on(bare_cycles(&url, CYCLES, batch))?;
            let url = fresh(&server, &runtime)?;
            let own_sql = runtime.block_on(own_sql::cycles(&url, batch))?;
            let url = fresh(&server, &runtime)?;
            let ours = runtime.block_on(store_cycles(&url, batch))?;
            println!(
                "round {round}: life cycles/s in batches of {batch}: bare {bare:.0}, the store's statements alone \
                 {own_sql:.0} ({:.0} %), store {ours:.0} ({:.0} %; wanted 70 %)",
                100.0 * own_sql / bare,
                100.0 * ours / bare
            );
        }
    }
    let url = fresh(&server, &runtime)?;
    runtime.block_on(hints(&url))
}

/// The server of all benches on PostgreSQL: what is committed is on the disk.
pub(crate) fn server() -> anyhow::Result<Server> {
    let settings = ["fsync = on", "synchronous_commit = on", "shared_buffers = 512MB", "max_wal_size = 4GB"];
    Ok(Server::start(&settings)?)
}

pub(crate) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// From the answer to an accept at one orchestrator to the hint at another.
async fn hints(url: &str) -> anyhow::Result<()> {
    let (one, other) = (store(url).await?, store(url).await?);
    let clock = one.clock();
    let mut took = Vec::new();
    for n in 0..500 {
        let order = order(n, 0, &*clock);
        let mut watch = octollm_store::Tasks::hints(&*other).watch_task(order.new.id);
        one.accept(order).await?;
        let began = Instant::now();
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.context("a hint was lost")?;
        took.push(began.elapsed());
    }
    println!("a hint at another orchestrator: {} (wanted: 100 ms)", Sample::of(took).line());
    Ok(())
}

/// A new database with the schema; its URL.
pub(crate) fn fresh(server: &Server, runtime: &Runtime) -> anyhow::Result<String> {
    let url = server.url(&server.database()?);
    runtime.block_on(octollm_store::postgres::migrate(&url.parse()?))?;
    server.sql("postgres", "CHECKPOINT")?;
    Ok(url)
}

pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    client
        .batch_execute(
            "SET search_path = octollm; SET enable_seqscan = off; SET enable_hashjoin = off;
             SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan; SET jit = off",
        )
        .await?;
    Ok(client)
}

/// The statements of the bare loop: the rows that the store writes, with what need not differ written
/// into the statement.
struct Bare {
    client: Client,
    accept: Vec<tokio_postgres::Statement>,
    claim: tokio_postgres::Statement,
    claimed: Vec<tokio_postgres::Statement>,
    complete: Vec<tokio_postgres::Statement>,
}

impl Bare {
    async fn new(url: &str) -> anyhow::Result<Self> {
        let client = connect(url).await?;
        let prepare = async |statements: &[String]| {
            let mut prepared = Vec::new();
            for sql in statements {
                prepared.push(client.prepare(sql).await?);
            }
            Ok::<_, tokio_postgres::Error>(prepared)
        };
        let ids = "unnest($1::uuid[]) AS u(id)";
        // A join by the id would be planned, while the table is small, as a walk over every first step.
        let steps = "WHERE task = ANY($1::uuid[]) AND place = 0";
        let accept = prepare(&[
            format!("INSERT INTO idempotency SELECT 'default', 'client-' || id::text, decode(repeat('ab', 32), 'hex'), id FROM {ids}"),
            format!("INSERT INTO task (id, tenant, state, priority, accepted_at, max_retries, plan_version, revisions, questions, events, poison, counted) SELECT id, 'default', 'queued', 1, 1, 2, 1, 0, 0, 1, false, false FROM {ids}"),
            format!("INSERT INTO paper SELECT id, 'client-' || id::text, NULL, 'List the files in /tmp/folder', '{REQUEST}', '{PLAN}' FROM {ids}"),
            format!("INSERT INTO step (task, place, arm, plan_version, needs, awaits, time_limit, state, state_at, attempts, failures, crashes, releases, spec) SELECT id, 0, 'executor', 1, '', 0, 300000, 'ready', 1, 0, 0, 0, 0, '{SPEC}' FROM {ids}"),
            format!("INSERT INTO ready SELECT 'executor', 'default', 1, 1, id, 0 FROM {ids}"),
            format!("INSERT INTO event (task, number, at, kind) SELECT id, 1, 1, 'task.accepted' FROM {ids}"),
        ])
        .await?;
        let claim = client
            .prepare("DELETE FROM ready WHERE ctid = ANY(ARRAY(SELECT ctid FROM ready WHERE arm = 'executor' AND tenant = 'default' AND priority = 1 ORDER BY since, task, place LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING task")
            .await?;
        let claimed = prepare(&[
            format!("UPDATE task SET state = 'running', started_at = 1, events = 2 FROM {ids} WHERE task.id = u.id"),
            format!("UPDATE step SET state = 'leased', state_at = NULL, attempts = 1 {steps}"),
            format!("INSERT INTO lease SELECT id, 0, 'default', 'executor', decode(repeat('ab', 16), 'hex'), 'worker-1', 1, 30001 FROM {ids}"),
            format!("INSERT INTO event (task, number, at, kind, place, count, text) SELECT id, 2, 1, 'step.started', 0, 1, 'worker-1' FROM {ids}"),
            format!("SELECT spec FROM step {steps}"),
        ])
        .await?;
        let complete = prepare(&[
            format!("UPDATE task SET state = 'completed', state_at = 1, ended_at = 1, events = 4 FROM {ids} WHERE task.id = u.id"),
            format!("UPDATE step SET state = 'done', output = '{OUTPUT}' {steps}"),
            format!("DELETE FROM lease {steps}"),
            format!("INSERT INTO event (task, number, at, kind, place) SELECT id, 3, 1, 'step.completed', 0 FROM {ids}"),
            format!("INSERT INTO event (task, number, at, kind) SELECT id, 4, 1, 'task.completed' FROM {ids}"),
        ])
        .await?;
        Ok(Bare { client, accept, claim, claimed, complete })
    }

    /// One transaction of these statements, sent in one round trip.
    async fn transaction(
        &self,
        statements: &[tokio_postgres::Statement],
        ids: &Vec<Uuid>,
    ) -> anyhow::Result<()> {
        let run =
            statements.iter().map(|statement| async move { self.client.query(statement, &[ids]).await });
        let begin = async { self.client.batch_execute("BEGIN").await };
        let commit = async { self.client.batch_execute("COMMIT").await };
        tokio::try_join!(biased; begin, futures_util::future::try_join_all(run), commit)?;
        Ok(())
    }

    async fn accept(&self, count: u32) -> anyhow::Result<()> {
        self.transaction(&self.accept, &(0..count).map(|_| next_id()).collect()).await
    }

    async fn cycle(&self, count: u32) -> anyhow::Result<()> {
        self.accept(count).await?;
        self.client.batch_execute("BEGIN").await?;
        let claimed = self.client.query(&self.claim, &[&i64::from(count)]).await?;
        let ids: Vec<Uuid> = claimed.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let run = self.claimed.iter().map(|statement| async { self.client.query(statement, &[&ids]).await });
        let commit = async { self.client.batch_execute("COMMIT").await };
        tokio::try_join!(biased; futures_util::future::try_join_all(run), commit)?;
        self.transaction(&self.complete, &ids).await
    }
}

/// Ids that sort as they are made.
pub(crate) fn next_id() -> Uuid {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Uuid::from_bytes(bytes)
}

async fn bare_accepts(url: &str, count: u32, batch: u32, connections: u32) -> anyhow::Result<f64> {
    let mut loops = Vec::new();
    for _ in 0..connections {
        loops.push(Bare::new(url).await?);
    }
    let began = Instant::now();
    let running: Vec<_> = loops
        .into_iter()
        .map(|bare| {
            tokio::spawn(async move {
                for _ in 0..count / connections / batch {
                    bare.accept(batch).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for one in running {
        one.await??;
    }
    Ok(rate(count as usize, began.elapsed()))
}

/// How long each of so many accepts takes that are committed one by one.
pub(crate) async fn bare_commits(url: &str, count: u32) -> anyhow::Result<Vec<Duration>> {
    let bare = Bare::new(url).await?;
    let mut all = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        bare.accept(1).await?;
        all.push(began.elapsed());
    }
    Ok(all)
}

pub(crate) async fn bare_cycles(url: &str, count: u32, batch: u32) -> anyhow::Result<f64> {
    let bare = Bare::new(url).await?;
    let began = Instant::now();
    for _ in 0..count / batch {
        bare.cycle(batch).await?;
    }
    Ok(rate(count as usize, began.elapsed()))
}

pub(crate) async fn store(url: &str) -> anyhow::Result<Arc<PostgresStore>> {
    let store = PostgresStore::open(url.parse()?, Moments::Database, Arc::new(OsEntropy)).await;
    Ok(Arc::new(store.context("the store opens")?))
}

pub(crate) fn order(n: u32, client: u32, clock: &dyn Clock) -> Order {
    let mut entropy = [0; 10];
    entropy[..4].copy_from_slice(&n.to_be_bytes());
    entropy[4..8].copy_from_slice(&client.to_be_bytes());
    let now = clock.now();
    Order {
        new: NewTask {
            id: TaskId::new(now, entropy),
            tenant: "default".parse().expect("a tenant"),
            priority: Priority::Medium,
            terms: Terms {
                accepted_at: now,
                not_before: None,
                deadline: None,
                max_retries: 2,
                replans: Replans::No,
            },
            budget: Budget::UNLIMITED,
            steps: vec![NewStep {
                arm: ArmName::Executor,
                needs: Vec::new(),
                awaits: Awaits::Nothing,
                time_limit: Millis::from_secs(300),
            }],
        },
        goal: "List the files in /tmp/folder".to_owned(),
        request: Document::from_json(REQUEST),
        plan: Document::from_json(PLAN),
        specs: vec![Document::from_json(SPEC)],
        idempotency: Some((
            format!("client-{client}-{n}").parse().expect("a key"),
            ContentHash::of(REQUEST.as_bytes()),
        )),
        session: None,
    }
}

pub(crate) async fn store_accepts(url: &str, callers: u32) -> anyhow::Result<f64> {
    let store = store(url).await?;
    let clock = store.clock();
    let began = Instant::now();
    let running: Vec<_> = (0..callers)
        .map(|client| {
            let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
            tokio::spawn(async move {
                for n in 0..ACCEPTS / callers {
                    store.accept(order(n, client, &*clock)).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for one in running {
        one.await??;
    }
    Ok(rate(ACCEPTS as usize, began.elapsed()))
}

pub(crate) async fn claim_and_complete(store: &PostgresStore, most: u32) -> anyhow::Result<(u32, Duration)> {
    let wanted = Wanted {
        worker: "worker-1".parse().expect("a worker"),
        arms: vec![ArmName::Executor],
        most: most as usize,
        ttl: Millis::from_secs(30),
    };
    let began = Instant::now();
    let claimed = store.claim(wanted).await?.granted;
    let took = began.elapsed();
    let commands: Vec<Directed> = claimed
        .iter()
        .map(|claimed| Directed {
            task: claimed.step.task,
            scope: TenantScope::System,
            command: Command::Complete {
                place: claimed.step.place,
                token: claimed.token,
                output: Document::from_json(OUTPUT),
                artefacts: Vec::new(),
                verdict: None,
            },
        })
        .collect();
    let count = u32::try_from(commands.len()).unwrap_or(u32::MAX);
    for answer in store.decide(commands).await {
        answer?;
    }
    Ok((count, took))
}

pub(crate) async fn store_cycles(url: &str, batch: u32) -> anyhow::Result<f64> {
    let store = store(url).await?;
    let clock = store.clock();
    let began = Instant::now();
    for round in 0..CYCLES / batch {
        let accepts = (0..batch).map(|n| store.accept(order(n, round, &*clock)));
        for accepted in futures_util::future::join_all(accepts).await {
            accepted?;
        }
        let mut done = 0;
        while done < batch {
            let (more, _) = claim_and_complete(&store, batch - done).await?;
            done += more;
        }
    }
    Ok(rate(CYCLES as usize, began.elapsed()))
}
