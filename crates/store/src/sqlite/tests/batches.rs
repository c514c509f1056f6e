use super::{Bench, complete, samples, wanted};
use crate::{DecideError, StoreError, TaskReads, Tasks};
use octollm_access::TenantScope;
use octollm_contract::Millis;
use std::sync::Arc;

/// P1: a bad row in a shared transaction fails alone, for accepts and for commands.
#[tokio::test]
async fn a_bad_row_never_fails_its_neighbours() {
    let bench = Bench::new();
    bench
        .side()
        .execute_batch(
            "CREATE TRIGGER bad BEFORE INSERT ON paper WHEN new.goal LIKE 'bad%'
                 BEGIN SELECT raise(ABORT, 'bad goal'); END;
             CREATE TRIGGER bad_output BEFORE UPDATE OF output ON step WHEN new.output LIKE '%bad%'
                 BEGIN SELECT raise(ABORT, 'bad output'); END;",
        )
        .unwrap();
    let bench = bench.reopen();
    let store = Arc::new(bench.store);
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
        assert_eq!((answer.is_ok(), stored), (n % 7 != 0, n % 7 != 0), "{n}");
    }
    let cancel = crate::Directed {
        task: samples::id(7),
        scope: TenantScope::System,
        command: octollm_lifecycle::Command::Cancel,
    };
    let answers = store.decide(vec![cancel]).await;
    assert!(matches!(answers[0], Err(DecideError::NotFound)), "the writer forgot what was rolled back");
    let claimed = store.claim(wanted(100)).await.unwrap().granted;
    assert_eq!(claimed.len(), 51);
    let mut commands: Vec<_> = claimed.iter().map(|c| complete(c.step, c.token)).collect();
    if let octollm_lifecycle::Command::Complete { output, .. } = &mut commands[20].command {
        *output = octollm_contract::Document::from_json(r#""bad""#);
    }
    let answers = store.decide(commands).await;
    let failed: Vec<_> = answers.iter().enumerate().filter(|(_, a)| a.is_err()).map(|(n, _)| n).collect();
    assert_eq!(failed, [20]);
    assert!(matches!(&answers[20], Err(DecideError::Store(StoreError::Unreachable(_)))));
    assert_eq!(store.open_tasks().await.unwrap(), 1);
    assert!(store.holds(claimed[20].step, claimed[20].token).await.unwrap());
}

/// A full disk is told, loses nothing, and is over when there is room again.
#[tokio::test]
async fn a_full_disk_is_told_and_recovered_from() {
    let bench = Bench::new();
    bench.store.accept(samples::order(samples::new(0))).await.unwrap();
    // The trigger fails as a full disk does for whoever watches the writer: in a statement.
    let path = bench.folder.path().join("tasks.sqlite3");
    let store = &bench.store;
    store.limit_pages(40).await;
    let big = |n| {
        let mut order = samples::order(samples::new(n));
        order.goal = "x".repeat(300_000);
        order
    };
    let refused = store.accept(big(1)).await;
    let Err(crate::AcceptError::Store(StoreError::Unreachable(why))) = refused else { panic!("{refused:?}") };
    assert_eq!(why.to_string(), "database or disk is full");
    assert!(!store.is_full(), "the disk itself has space");
    let small = store.accept(samples::order(samples::new(2))).await;
    assert!(small.is_ok(), "what fits is still accepted: {small:?}");
    store.limit_pages(1 << 20).await;
    assert!(store.accept(big(1)).await.is_ok());
    assert_eq!(store.open_tasks().await.unwrap(), 3);
    assert!(path.exists());
}

/// A sweep that finds no space says so: a lease is not put off for it, and ends with the next that finds some.
#[tokio::test]
async fn a_sweep_that_finds_no_space_is_done_again() {
    let bench = Bench::new();
    bench.store.accept(samples::order(samples::new(0))).await.unwrap();
    assert_eq!(bench.claim(1).await.len(), 1);
    let large = "CREATE TABLE ballast (bytes BLOB);
         CREATE TRIGGER large BEFORE INSERT ON event
             BEGIN INSERT INTO ballast VALUES (zeroblob(1000000)); END;";
    bench.side().execute_batch(large).unwrap();
    let bench = bench.reopen();
    bench.advance(Millis::from_secs(31));
    bench.store.limit_pages(100).await;
    let swept = bench.store.sweep(10, None).await;
    assert!(matches!(swept, Err(StoreError::Unreachable(_))), "{swept:?}");
    bench.store.limit_pages(1 << 20).await;
    assert_eq!(bench.store.sweep(10, None).await.unwrap().lapsed, 1);
}

/// A panic inside the writer's thread reaches its caller as a lost answer, nobody else.
#[tokio::test]
async fn a_panic_of_the_writer_hangs_nobody() {
    let bench = Bench::new();
    let lost = bench.store.panic_inside().await;
    assert!(matches!(lost, Err(StoreError::Unconfirmed(_))), "{lost:?}");
    assert!(bench.store.accept(samples::order(samples::new(1))).await.is_ok());
    assert_eq!(bench.claim(2).await.len(), 1);
}

/// A row that cannot be read is told to whoever asks for it, and stands in nobody's way.
#[tokio::test]
async fn a_corrupt_row_is_told_and_passed_by() {
    let bench = Bench::new();
    for n in 0..5 {
        bench.store.accept(samples::order(samples::new(n))).await.unwrap();
    }
    let broken = samples::id(0);
    bench
        .side()
        .execute("UPDATE task SET state = 'asleep', due = 1 WHERE id = ?1", [broken.to_bytes()])
        .unwrap();
    let bench = bench.reopen();
    let read = bench.store.task(broken, &TenantScope::System).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))));
    assert_eq!(bench.claim(5).await.len(), 4, "the queue goes on behind it");
    let cancel = crate::Directed {
        task: broken,
        scope: TenantScope::System,
        command: octollm_lifecycle::Command::Cancel,
    };
    let answers = bench.store.decide(vec![cancel]).await;
    assert!(matches!(&answers[0], Err(DecideError::Store(StoreError::Corrupt(_)))));
    let swept = bench.store.sweep(10, None).await.unwrap();
    assert!(swept.next.unwrap() > octollm_contract::Timestamp::from_millis(10_000), "it is not met at once");
}
