//! What the store adds to bare SQL on the same rows, as ratios inside one run.
//!
//! `cargo bench -p octollm-store --bench sqlite` prints: a bare fsynced commit; durable accepts
//! through the trait by 64 callers against a bare loop that commits the same rows 64 at a time;
//! whole life cycles (accept, claim, complete, 50 at a time) against bare SQL of the same shape;
//! what 100,000 finished tasks do to single calls.
//! `OCTOLLM_BENCH_ROUNDS` (default 3) repeats the pairs, so that drift of the disk shows.

#[path = "sqlite/bare.rs"]
mod bare;
#[path = "sqlite/full.rs"]
mod full;

use octollm_access::TenantScope;
use octollm_contract::{ArmName, ContentHash, Document, Millis, Priority, TaskId, Timestamp};
use octollm_lifecycle::{Awaits, Budget, Command, NewStep, NewTask, Replans, Terms};
use octollm_store::{
    Clock, Directed, Order, OsEntropy, SystemClock, Tasks, Wanted,
    sqlite::{Options, SqliteStore},
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const CALLERS: u32 = 64;
const ACCEPTS_A_CALLER: u32 = 500;
const CYCLE_BATCH: usize = 50;
const CYCLE_DRIVERS: u32 = 4;
const CYCLE_BATCHES_A_DRIVER: u32 = 60;

fn main() {
    let rounds = std::env::var("OCTOLLM_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fresh = |name: String| {
        let path = folder.path().join(name);
        (open(&path), path)
    };
    for round in 0..rounds {
        let (store, path) = fresh(format!("commit-{round}"));
        drop(store);
        let commits = bare::commits(&path, 400);
        say(&format!("bare commit: P50 {:?}, P95 {:?}", commits[200], commits[380]));

        let (store, path) = fresh(format!("accepts-bare-{round}"));
        drop(store);
        let (bare, bare_cpu) = with_cpu(|| bare::accepts(&path, CALLERS * ACCEPTS_A_CALLER, CALLERS));
        let (store, _) = fresh(format!("accepts-{round}"));
        let (ours, our_cpu) = with_cpu(|| runtime.block_on(accepts(Arc::new(store))));
        say(&format!(
            "accepts/s, {CALLERS} callers: {ours:.0} of {bare:.0} bare at batches of 64: {:.0} %; CPU {our_cpu:.1} µs each \
             with the callers' share, {bare_cpu:.1} µs bare",
            100.0 * ours / bare
        ));

        let batch = u32::try_from(CYCLE_BATCH).expect("a small number");
        let cycles = batch * CYCLE_DRIVERS * CYCLE_BATCHES_A_DRIVER;
        let (store, path) = fresh(format!("cycles-bare-{round}"));
        drop(store);
        let (bare, bare_cpu) = with_cpu(|| bare::cycles(&path, cycles, batch));
        let (store, _) = fresh(format!("cycles-{round}"));
        let (ours, our_cpu) = with_cpu(|| runtime.block_on(life_cycles(Arc::new(store))));
        say(&format!(
            "life cycles/s, batches of {batch}: {ours:.0} of {bare:.0} bare: {:.0} %; CPU {our_cpu:.1} µs each with \
             the callers' share, {bare_cpu:.1} µs bare",
            100.0 * ours / bare
        ));
    }
    runtime.block_on(full::compare(folder.path()));
}

#[expect(clippy::print_stdout, reason = "the figures are what the program is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

fn rate((count, took): (u32, Duration)) -> f64 {
    f64::from(count) / took.as_secs_f64()
}

/// The rate of a run, and the processor time of one thing in it, in microseconds: that holds
/// on a busy machine too.
fn with_cpu(run: impl FnOnce() -> (u32, Duration)) -> (f64, f64) {
    let before = cpu_ticks();
    let (count, took) = run();
    let ticks = cpu_ticks() - before;
    (rate((count, took)), f64::from(ticks) * 10_000.0 / f64::from(count))
}

/// Processor time of this process in hundredths of a second (proc(5), `stat`, utime and stime).
fn cpu_ticks() -> u32 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux says");
    let fields = stat.rsplit(')').next().expect("the name stands in parentheses");
    fields.split_ascii_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum()
}

pub(crate) fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, Arc::new(SystemClock), Arc::new(OsEntropy), Options::default())
        .expect("the store opens")
}

/// The `n`-th order of a client; ids sort as accepts come.
pub(crate) fn order(n: u32, client: u32) -> Order {
    let mut entropy = [0; 10];
    entropy[..4].copy_from_slice(&n.to_be_bytes());
    entropy[4..8].copy_from_slice(&client.to_be_bytes());
    let now = SystemClock.now();
    let goal = format!("List the files in /tmp/folder-{n}");
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
        request: Document::from_json(format!(r#"{{"goal":"{goal}","priority":"medium"}}"#)),
        plan: Document::from_json(r#"{"criteria":[],"planner":"rules"}"#),
        specs: vec![Document::from_json(format!(
            r#"{{"arm":"executor","tool":"list","arguments":{{"path":"/tmp/folder-{n}"}},"capability":{{"read_roots":["/tmp/folder-{n}"]}}}}"#
        ))],
        idempotency: Some((
            format!("client-{client}-{n}").parse().expect("a key"),
            ContentHash::of(goal.as_bytes()),
        )),
        session: None,
        goal,
    }
}

pub(crate) const OUTPUT: &str = r#"{"text":"a.txt\nb.txt\nc.txt","data":{"entries":3},"artefacts":[]}"#;

async fn accepts(store: Arc<SqliteStore>) -> (u32, Duration) {
    let start = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|client| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..ACCEPTS_A_CALLER {
                    store.accept(order(n, client)).await.expect("accepted");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
    (CALLERS * ACCEPTS_A_CALLER, start.elapsed())
}

async fn life_cycles(store: Arc<SqliteStore>) -> (u32, Duration) {
    let start = Instant::now();
    let drivers: Vec<_> = (0..CYCLE_DRIVERS)
        .map(|client| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut done = 0;
                for batch in 0..CYCLE_BATCHES_A_DRIVER {
                    done += life_cycle_batch(&store, client, batch).await;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for driver in drivers {
        done += driver.await.expect("no panic");
    }
    // What a driver left to another at its end.
    done += finish(&store).await;
    (done, start.elapsed())
}

async fn life_cycle_batch(store: &SqliteStore, client: u32, batch: u32) -> u32 {
    let count = u32::try_from(CYCLE_BATCH).expect("a small number");
    let accepts = (0..count).map(|n| store.accept(order(batch * count + n, client)));
    for accepted in futures_util::future::join_all(accepts).await {
        accepted.expect("accepted");
    }
    finish(store).await
}

/// Claims a batch and completes it.
async fn finish(store: &SqliteStore) -> u32 {
    let wanted = Wanted {
        worker: "worker-1".parse().expect("a worker"),
        arms: vec![ArmName::Executor],
        most: CYCLE_BATCH,
        ttl: Millis::from_secs(30),
    };
    let claimed = store.claim(wanted).await.expect("claimed").granted;
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
    let answers = store.decide(commands).await;
    assert!(answers.iter().all(Result::is_ok), "every completion is taken");
    u32::try_from(answers.len()).expect("a small number")
}

/// For the bare loops: moments as the store takes them.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}
