//! Figures: noted with what they count, summed by the leader, read as both together.

use super::{Database, complete, wanted};
use crate::{
    Clock, DayLine, DayListing, Directed, Entropy as _, FIGURES_KEPT, Freshness, Listing, OsEntropy, Period,
    StoreError, Sums, TaskReads, Tasks, postgres::PostgresStore, samples,
};
use octollm_access::TenantScope;
use octollm_contract::{ArmName, CallId, Cost, Day, Document, MicroUsd, Millis, Timestamp, api::TaskStatus};
use octollm_lifecycle::{Command, Figures, Spent, StepState, Subject};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

fn always() -> Period {
    Period { from: Day::from_number(i32::MIN), to: Day::from_number(i32::MAX) }
}

async fn days(store: &PostgresStore) -> Vec<DayLine> {
    let wanted = DayListing { period: always(), behind: None, most: 1000 };
    let read = store.usage_days(Freshness::Latest, &TenantScope::System, &wanted).await;
    read.unwrap().0.figures
}

async fn sums(store: &PostgresStore) -> Sums {
    store.usage_sums(Freshness::Latest, &TenantScope::System, always()).await.unwrap().0.figures
}

fn notes(database: &Database) -> u64 {
    database.sql("SELECT count(*) FROM octollm.usage_note").parse().unwrap()
}

/// What all tasks that there are came to, without times.
async fn of_tasks(store: &PostgresStore) -> Sums {
    let mut sums = Sums::new();
    let mut add = |subject, figures| sums.entry(subject).or_default().add(&figures);
    let listed =
        store.list(&TenantScope::System, &Listing { most: 1000, ..Listing::default() }).await.unwrap();
    for line in listed {
        let none = Figures::default();
        match line.status {
            TaskStatus::Completed => add(Subject::Tasks, Figures { done: 1, ..none }),
            TaskStatus::Failed => add(Subject::Tasks, Figures { failed: 1, ..none }),
            TaskStatus::Cancelled => add(Subject::Tasks, Figures { cancelled: 1, ..none }),
            _ => {}
        }
        let record = store.task(line.id, &TenantScope::System).await.unwrap().unwrap();
        for (step, kept) in record.task.steps.iter().zip(&record.steps) {
            let attempts = u64::from(step.deliveries.attempts);
            let ended = match step.state {
                StepState::Done => Figures { done: 1, attempts, ..none },
                StepState::Failed(_) => Figures { failed: 1, attempts, ..none },
                StepState::Cancelled => Figures { cancelled: 1, attempts, ..none },
                _ => none,
            };
            let calls = kept.receipts.len() as u64;
            add(Subject::Steps(step.arm), Figures { calls, ..ended });
        }
        // Every task here has one step.
        let (ledger, arm) = (record.task.ledger, record.task.steps[0].arm);
        let (cost, tokens) = (ledger.money().spent(), ledger.tokens().spent());
        add(Subject::Steps(arm), Figures { cost, tokens, unpriced: ledger.unpriced().into(), ..none });
    }
    sums
}

fn without_times(mut sums: Sums) -> Sums {
    for figures in sums.values_mut() {
        (figures.took, figures.worst) = (Millis::ZERO, Millis::ZERO);
    }
    sums
}

fn cancel(n: u32) -> Directed {
    Directed { task: samples::id(n), scope: TenantScope::System, command: Command::Cancel }
}

async fn accept(store: &PostgresStore, tasks: std::ops::Range<u32>) {
    let orders = tasks.map(|n| store.accept(samples::order(samples::new(n))));
    assert!(futures_util::future::join_all(orders).await.iter().all(Result::is_ok));
}

/// P5: two that lead at a time, one of which is cut off again and again, sum what many end at once: nothing
/// twice, nothing lost, and whoever reads meanwhile sees each end once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_are_what_the_tasks_came_to_whoever_sums_and_dies() {
    const TASKS: u32 = 240;
    let database = Database::new();
    let store = Arc::new(database.store().await);
    accept(&store, 0..TASKS).await;
    let over = Arc::new(AtomicBool::new(false));
    let leaders: Vec<_> = futures_util::future::join_all((0..2).map(|_| database.store())).await;
    let leaders: Vec<_> = leaders
        .into_iter()
        .map(|leader| {
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                let mut rolled = 0;
                while !over.load(Ordering::Relaxed) {
                    // Cut off, it does not know.
                    let slice = leader.roll_up(3).await.unwrap_or(0);
                    rolled += slice;
                    if slice == 0 {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
                rolled
            })
        })
        .collect();
    let cuts = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'octollm upkeep' AND datname = current_database() AND random() < 0.5";
    let mut turn = 0u8;
    loop {
        let claimed = store.claim(wanted(16)).await.unwrap().granted;
        if claimed.is_empty() {
            break;
        }
        let mut commands = Vec::new();
        for claimed in &claimed {
            turn = turn.wrapping_add(1);
            let (place, token) = (claimed.step.place, claimed.token);
            let mut id = [0; 16];
            OsEntropy.fill(&mut id);
            let call = CallId::from_bytes(id);
            let cost = if turn.is_multiple_of(5) { Cost::Unknown } else { Cost::Known(MicroUsd::new(9)) };
            let worst = Spent { cost, tokens: 90 };
            let spent = Spent { cost, tokens: u64::from(turn % 90) };
            let receipt = Document::from_json("{}");
            let hold = Command::Hold { place, token, call, number: 1, worst };
            let settle = Command::Settle { call, spent, receipt, artefacts: vec![] };
            let fail = Command::Fail {
                place,
                token,
                message: "no".into(),
                retryable: turn.is_multiple_of(2),
                mendable: false,
            };
            let of = |command| Directed { task: claimed.step.task, scope: TenantScope::System, command };
            commands.extend([of(hold), of(settle)]);
            commands.push(match turn % 3 {
                0 => of(fail),
                1 => of(Command::Cancel),
                _ => complete(claimed.step, claimed.token),
            });
        }
        assert!(store.decide(commands).await.iter().all(Result::is_ok));
        database.sql(cuts);
        let ended = sums(&store).await.get(&Subject::Tasks).map_or(0, |f| f.done + f.failed + f.cancelled);
        let open = store.open_tasks().await.unwrap();
        assert_eq!(ended + open, u64::from(TASKS), "a reader has seen an end twice, or not");
    }
    over.store(true, Ordering::Relaxed);
    let mut rolled = 0;
    for leader in leaders {
        rolled += leader.await.unwrap();
    }
    assert!(rolled > 0, "they were cut off whenever they summed: nothing is proved");
    // Those that failed and are tried again wait: they end as well.
    let open = store.list(&TenantScope::System, &Listing { most: 1000, ..Listing::default() }).await.unwrap();
    let open = open.iter().filter(|line| !line.status.is_terminal());
    let cancels = open.map(|line| Directed { task: line.id, ..cancel(0) }).collect();
    assert!(store.decide(cancels).await.iter().all(Result::is_ok));
    let wanted = of_tasks(&store).await;
    assert_eq!(without_times(sums(&store).await), wanted);
    while store.roll_up(100).await.unwrap() > 0 {}
    assert_eq!(notes(&database), 0);
    assert_eq!(without_times(sums(&store).await), wanted);
}

/// A slice that does not come to its end leaves its notes, and the next one takes them.
#[tokio::test]
async fn a_slice_and_its_notes_go_together() {
    let database = Database::new();
    let store = database.store().await;
    accept(&store, 0..5).await;
    for n in 0..5 {
        store.decide(vec![cancel(n)]).await.remove(0).unwrap();
    }
    let before = days(&store).await;
    assert_eq!(store.roll_up(4).await.unwrap(), 4);
    database.sql(
        "CREATE FUNCTION octollm.bad() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'bad'; END $$;
         CREATE TRIGGER bad BEFORE UPDATE ON octollm.usage_day FOR EACH ROW EXECUTE FUNCTION octollm.bad()",
    );
    let noted = notes(&database);
    assert!(matches!(store.roll_up(4).await, Err(StoreError::Unreachable(_))));
    assert_eq!((notes(&database), days(&store).await), (noted, before.clone()));
    database.sql("DROP TRIGGER bad ON octollm.usage_day");
    assert_eq!(store.roll_up(100).await.unwrap(), usize::try_from(noted).unwrap());
    assert_eq!((notes(&database), days(&store).await), (0, before));
}

/// Whoever ends something waits for nobody who sums, and is not waited for.
#[tokio::test]
async fn a_slice_that_stands_still_holds_nobody_up() {
    let database = Database::new();
    let store = database.store().await;
    accept(&store, 0..3).await;
    store.decide(vec![cancel(0)]).await.remove(0).unwrap();
    store.roll_up(100).await.unwrap();
    let (other, connection) =
        database.target().host(0, "other").connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    store.decide(vec![cancel(1)]).await.remove(0).unwrap();
    other
        .batch_execute("BEGIN; DELETE FROM octollm.usage_note; SELECT FROM octollm.usage_day FOR UPDATE")
        .await
        .unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), store.decide(vec![cancel(2)])).await;
    ended.expect("it does not wait").remove(0).unwrap();
    let read = tokio::time::timeout(Duration::from_secs(30), sums(&store)).await.expect("nor who reads");
    assert_eq!(read[&Subject::Tasks].cancelled, 3);
    other.batch_execute("ROLLBACK").await.unwrap();
}

/// A clock that tests set.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// What a day came to is known when its tasks are gone, summed or not, and for as long as it is said.
#[tokio::test]
async fn figures_outlive_their_tasks_but_not_their_time() {
    let database = Database::new();
    let clock = Arc::new(Hands(AtomicI64::new(0)));
    let store = database.store_by(Arc::clone(&clock) as _, Arc::new(OsEntropy)).await;
    let cancelled = Figures { cancelled: 1, ..Figures::default() };
    let of_day = |day: u16| {
        let line = |subject| DayLine {
            day: Day::from_number(day.into()),
            tenant: "acme".parse().unwrap(),
            subject,
            figures: cancelled,
        };
        vec![line(Subject::Steps(ArmName::Executor)), line(Subject::Tasks)]
    };
    for (n, day) in [(0, 0), (1, FIGURES_KEPT), (2, FIGURES_KEPT + 1)] {
        clock.0.store(i64::from(day) * 86_400_000, Ordering::Relaxed);
        accept(&store, n..n + 1).await;
        store.decide(vec![cancel(n)]).await.remove(0).unwrap();
        assert_eq!(store.prune(Timestamp::from_millis(i64::MAX), 100).await.unwrap(), 1);
        assert!(days(&store).await.ends_with(&of_day(day)), "nothing summed them yet");
        assert_eq!(store.roll_up(100).await.unwrap(), 2);
    }
    assert_eq!(days(&store).await, [of_day(FIGURES_KEPT), of_day(FIGURES_KEPT + 1)].concat());
}

/// The issue wants next to nothing asked of the database while nothing happens: a sweep says whether there
/// is something to sum up, and looks for it every few seconds at most, in a question that it asks anyway.
#[tokio::test]
async fn a_sweep_says_whether_there_are_notes() {
    let database = Database::new();
    let store = database.store().await;
    accept(&store, 0..2).await;
    store.decide(vec![cancel(0)]).await.remove(0).unwrap();
    assert!(store.sweep(10, None).await.unwrap().notes);
    assert!(store.sweep(10, None).await.unwrap().notes, "nobody has summed them");
    assert_eq!(store.roll_up(1).await.unwrap(), 1);
    assert!(store.sweep(10, None).await.unwrap().notes, "the slice was full: there may be more");
    assert_eq!(store.roll_up(10).await.unwrap(), 1);
    store.decide(vec![cancel(1)]).await.remove(0).unwrap();
    assert!(!store.sweep(10, None).await.unwrap().notes, "it does not look again at once");
}

/// What cannot be summed up now is not tried with each sweep: a sweep is asked many times a second. Reads
/// need nobody who sums.
#[tokio::test]
async fn a_slice_that_fails_is_not_tried_again_at_once() {
    let database = Database::new();
    let store = database.store().await;
    accept(&store, 0..1).await;
    store.decide(vec![cancel(0)]).await.remove(0).unwrap();
    let before = days(&store).await;
    assert!(store.sweep(10, None).await.unwrap().notes);
    database.sql("ALTER TABLE octollm.usage_day RENAME TO gone");
    let began = Instant::now();
    assert!(store.roll_up(10).await.is_err());
    database.sql("ALTER TABLE octollm.gone RENAME TO usage_day");
    let notes = store.sweep(10, None).await.unwrap().notes;
    // A machine that took longer than the rest has looked again, and may.
    assert!(!notes || began.elapsed() >= Duration::from_secs(5), "each sweep would fail");
    assert_eq!(days(&store).await, before);
    assert_eq!(store.roll_up(10).await.unwrap(), 2);
}

/// A sum that would not fit stops at the greatest number, summed or not.
#[tokio::test]
async fn sums_stop_at_the_greatest_number() {
    let database = Database::new();
    let store = database.store().await;
    let (most, today) = (i64::MAX, Day::of(store.clock().now()).number());
    for table in ["usage_day", "usage_note", "usage_note"] {
        database.sql(&format!(
            "INSERT INTO octollm.{table} VALUES ('acme', {today}, 'task', 1, 0, 0, 0, {most}, 5, 0, 0, {most}, {most})"
        ));
    }
    let most = u64::try_from(most).unwrap();
    for _ in 0..2 {
        let sum = sums(&store).await[&Subject::Tasks];
        assert_eq!((sum.done, sum.took.get(), sum.cost.get(), sum.tokens), (3, most, most, most));
        store.roll_up(1).await.unwrap();
    }
    assert_eq!(notes(&database), 0);
}
