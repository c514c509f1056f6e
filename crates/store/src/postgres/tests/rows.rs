//! What a row can be, and whom it harms.

use super::{Database, complete, wanted};
use crate::{DecideError, Directed, StoreError, TaskReads, Tasks, samples};
use octollm_access::TenantScope;
use octollm_contract::{Document, Timestamp};
use octollm_lifecycle::Command;
use std::sync::Arc;

/// P1: a bad row in a shared transaction fails alone, for accepts and for commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_row_never_fails_its_neighbours() {
    let database = Database::new();
    let store = Arc::new(database.store().await);
    database.sql(
        "CREATE FUNCTION octollm.bad() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'bad'; END $$;
         CREATE TRIGGER bad BEFORE INSERT ON octollm.paper FOR EACH ROW WHEN (new.goal LIKE 'bad%')
             EXECUTE FUNCTION octollm.bad();
         CREATE TRIGGER bad_output BEFORE UPDATE ON octollm.step FOR EACH ROW WHEN (new.output LIKE '%bad%')
             EXECUTE FUNCTION octollm.bad();",
    );
    let calls: Vec<_> = (0..60)
        .map(|n| {
            let store = Arc::clone(&store);
            let mut order = samples::order(samples::new(n));
            if n % 7 == 0 {
                order.goal = "bad".into();
            }
            tokio::spawn(async move { (n, store.accept(order).await) })
        })
        .collect();
    for call in calls {
        let (n, answer) = call.await.unwrap();
        let stored = store.task(samples::id(n), &TenantScope::System).await.unwrap().is_some();
        assert_eq!((answer.is_ok(), stored), (n % 7 != 0, n % 7 != 0), "{n}: {answer:?}");
    }
    let claimed = store.claim(wanted(100)).await.unwrap().granted;
    assert_eq!(claimed.len(), 51);
    let mut commands: Vec<_> = claimed.iter().map(|c| complete(c.step, c.token)).collect();
    if let Command::Complete { output, .. } = &mut commands[20].command {
        *output = Document::from_json(r#""bad""#);
    }
    let answers = store.decide(commands).await;
    let failed: Vec<_> = answers.iter().enumerate().filter(|(_, a)| a.is_err()).map(|(n, _)| n).collect();
    assert_eq!(failed, [20]);
    assert!(matches!(&answers[20], Err(DecideError::Store(StoreError::Unreachable(_)))));
    assert_eq!(store.open_tasks().await.unwrap(), 1);
    assert!(store.holds(claimed[20].step, claimed[20].token).await.unwrap());
}

/// A row that cannot be read is told to whoever asks for it, and stands in nobody's way.
#[tokio::test]
async fn a_corrupt_row_is_told_and_passed_by() {
    let database = Database::new();
    let store = database.store().await;
    for n in 0..5 {
        store.accept(samples::order(samples::new(n))).await.unwrap();
    }
    let broken = samples::id(0);
    database.sql("UPDATE octollm.task SET state = 'asleep', due = 1 WHERE id = (SELECT min(id::text) FROM octollm.task)::uuid");
    let read = store.task(broken, &TenantScope::System).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
    assert_eq!(store.claim(wanted(5)).await.unwrap().granted.len(), 4, "the queue goes on behind it");
    let cancel = Directed { task: broken, scope: TenantScope::System, command: Command::Cancel };
    let answers = store.decide(vec![cancel]).await;
    assert!(matches!(&answers[0], Err(DecideError::Store(StoreError::Corrupt(_)))));
    let swept = store.sweep(10, None).await.unwrap();
    assert!(swept.next.unwrap() > Timestamp::from_millis(10_000), "it is not met at once");
}

/// P1: what a crash could have left is put right and counted; a healthy store has nothing.
#[tokio::test]
async fn the_audit_puts_back_what_the_queue_lost() {
    let database = Database::new();
    let store = database.store().await;
    let orders = (0..600).map(|n| store.accept(samples::order(samples::new(n))));
    assert!(futures_util::future::join_all(orders).await.iter().all(Result::is_ok));
    let sweep_all = async |store: &crate::postgres::PostgresStore| {
        let mut repaired = 0;
        loop {
            let swept = store.sweep(100, None).await.unwrap();
            repaired += swept.repaired;
            if swept.next.is_none() {
                return repaired;
            }
        }
    };
    assert_eq!(sweep_all(&store).await, 0);
    database.sql(
        "DELETE FROM octollm.ready WHERE task IN (SELECT task FROM octollm.ready ORDER BY task LIMIT 2);
         UPDATE octollm.step SET state = 'blocked', state_at = NULL
             WHERE task = (SELECT max(id::text)::uuid FROM octollm.task);
         DELETE FROM octollm.ready WHERE task = (SELECT max(id::text)::uuid FROM octollm.task)",
    );
    let again = database.store().await;
    assert_eq!(sweep_all(&again).await, 3);
    let mut claimed = 0;
    loop {
        let granted = again.claim(wanted(256)).await.unwrap().granted.len();
        claimed += granted;
        if granted == 0 {
            break;
        }
    }
    assert_eq!(claimed, 600);
}

/// A transaction that somebody holds open keeps dead rows in the hot tables; a sweep gets rid of them
/// without a step lost or handed out twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worn_hot_tables_are_written_anew_while_all_work() {
    let database = Database::new();
    let store = Arc::new(database.store().await);
    let orders = (0..500).map(|n| store.accept(samples::order(samples::new(n))));
    assert!(futures_util::future::join_all(orders).await.iter().all(Result::is_ok));
    let held = store.claim(wanted(100)).await.unwrap().granted;
    database.sql(
        "INSERT INTO octollm.ready SELECT 'judge', 'dead', 0, n, gen_random_uuid(), 0 FROM generate_series(1, 11000) n;
         DELETE FROM octollm.ready WHERE tenant = 'dead';
         INSERT INTO octollm.lease SELECT gen_random_uuid(), 0, 'dead', 'judge', '', 'w', 0, 0 FROM generate_series(1, 11000);
         DELETE FROM octollm.lease WHERE tenant = 'dead';
         SELECT pg_stat_force_next_flush()",
    );
    let dead = "SELECT coalesce(sum(n_dead_tup), 0) > 20000 FROM pg_stat_user_tables WHERE relname IN ('ready', 'lease')";
    assert!(octollm_testkit::poll_until(std::time::Duration::from_secs(10), || database.sql(dead) == "t"));
    let size = "SELECT pg_total_relation_size('octollm.ready') + pg_total_relation_size('octollm.lease')";
    let before: i64 = database.sql(size).parse().unwrap();
    let claiming = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let mut steps = std::collections::BTreeSet::new();
            loop {
                let claims = store.claim(wanted(7)).await.unwrap();
                if claims.granted.is_empty() && claims.next.is_none() {
                    return steps;
                }
                for claimed in claims.granted {
                    assert!(steps.insert(claimed.step), "{} was handed out twice", claimed.step);
                }
            }
        }
    });
    store.sweep(10, None).await.unwrap();
    let after: i64 = database.sql(size).parse().unwrap();
    assert!(after * 4 < before, "{before} bytes became {after}");
    assert_eq!(claiming.await.unwrap().len() + held.len(), 500);
    let ends = held.iter().map(|claimed| complete(claimed.step, claimed.token)).collect();
    assert!(store.decide(ends).await.iter().all(Result::is_ok), "no lease was lost");
}

/// Retention waits for nobody: what somebody has locked stays for the next time, with all its rows.
#[tokio::test]
async fn a_prune_leaves_out_what_is_locked() {
    const TASKS: u32 = 300;
    let database = Database::new();
    let store = database.store().await;
    let orders = (0..TASKS).map(|n| store.accept(samples::order(samples::new(n))));
    assert!(futures_util::future::join_all(orders).await.iter().all(Result::is_ok));
    let cancel = |n| Directed { task: samples::id(n), scope: TenantScope::System, command: Command::Cancel };
    let cancelled = store.decide((0..TASKS).map(cancel).collect()).await;
    assert!(cancelled.iter().all(Result::is_ok));
    let (other, connection) =
        database.target().host(0, "other").connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let lock = "BEGIN; SELECT FROM octollm.task WHERE id = (SELECT min(id::text) FROM octollm.task)::uuid FOR UPDATE";
    other.batch_execute(lock).await.unwrap();
    let long_after = Timestamp::from_millis(1 << 50);
    assert_eq!(store.prune(long_after, 1000).await.unwrap(), TASKS as usize - 1);
    assert!(store.task(samples::id(0), &TenantScope::System).await.unwrap().is_some());
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(store.prune(long_after, 1000).await.unwrap(), 1);
    for table in ["task", "paper", "step", "event", "ready", "idempotency"] {
        assert_eq!(database.sql(&format!("SELECT count(*) FROM octollm.{table}")), "0", "{table}");
    }
}
