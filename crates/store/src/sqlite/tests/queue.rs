use super::{Bench, complete, samples, wanted};
use crate::Tasks;
use futures_util::FutureExt as _;
use octollm_contract::{ArmName, Millis, Priority, Timestamp};

/// P7 as fairness: whoever queues ten thousand steps does not stand before one that queues one.
#[tokio::test]
async fn a_full_queue_of_one_tenant_does_not_delay_another() {
    let bench = Bench::new();
    let orders = (0..2000).map(|n| {
        let mut new = samples::new(n);
        new.priority = Priority::Critical;
        bench.store.accept(samples::order(new))
    });
    for order in orders {
        order.await.unwrap();
    }
    let mut quiet = samples::new(5000);
    quiet.tenant = "quiet".parse().unwrap();
    quiet.priority = Priority::Low;
    bench.store.accept(samples::order(quiet)).await.unwrap();
    let granted = bench.claim(2).await;
    assert!(granted.iter().any(|claimed| claimed.tenant.as_str() == "quiet"));
}

/// Those with fewer steps at work go first, also after the store was opened anew.
#[tokio::test]
async fn what_runs_is_counted_over_a_restart() {
    let bench = Bench::new();
    for n in 0..6 {
        let mut new = samples::new(n);
        new.tenant = if n < 3 { "a".parse().unwrap() } else { "b".parse().unwrap() };
        bench.store.accept(samples::order(new)).await.unwrap();
    }
    let first = bench.claim(2).await;
    let of = |granted: &[crate::Claimed], tenant: &str| {
        granted.iter().filter(|claimed| claimed.tenant.as_str() == tenant).count()
    };
    assert_eq!((of(&first, "a"), of(&first, "b")), (1, 1));
    let done = first.iter().find(|claimed| claimed.tenant.as_str() == "b").unwrap();
    bench.store.decide(vec![complete(done.step, done.token)]).await.remove(0).unwrap();
    let bench = bench.reopen();
    assert_eq!(of(&bench.claim(1).await, "b"), 1);
}

#[tokio::test]
async fn more_tenants_than_a_look_takes_are_all_served() {
    let bench = Bench::new();
    for n in 0..200 {
        let mut new = samples::new(n);
        new.tenant = format!("t{n}").parse().unwrap();
        bench.store.accept(samples::order(new)).await.unwrap();
    }
    let mut served = std::collections::BTreeSet::new();
    for _ in 0..20 {
        served.extend(bench.claim(10).await.into_iter().map(|claimed| claimed.tenant));
    }
    assert_eq!(served.len(), 200);
}

#[tokio::test]
async fn an_empty_answer_says_when_the_next_step_is_ready() {
    let bench = Bench::new();
    assert_eq!(bench.store.claim(wanted(3)).await.unwrap(), crate::Claims::default());
    let at = Timestamp::from_millis(50_000);
    let mut new = samples::new(1);
    new.terms.not_before = Some(at);
    bench.store.accept(samples::order(new)).await.unwrap();
    assert_eq!(bench.store.claim(wanted(3)).await.unwrap().next, Some(at));
    bench.advance(Millis::from_secs(40));
    let claims = bench.store.claim(wanted(3)).await.unwrap();
    assert_eq!((claims.granted.len(), claims.next), (1, None));
}

/// Who waits wakes at the moment that it was told: it hears of what starts before, and of nothing else.
#[tokio::test]
async fn a_hint_comes_for_a_step_that_starts_before_the_waiting_wake() {
    let bench = Bench::new();
    let accept = |n: u32, at: Option<i64>| {
        let mut new = samples::new(n);
        new.terms.not_before = at.map(Timestamp::from_millis);
        bench.store.accept(samples::order(new))
    };
    accept(1, Some(50_000)).await.unwrap();
    let mut watch = bench.store.hints().watch_arm(ArmName::Executor);
    assert!(bench.claim(1).await.is_empty());
    for (n, at, hinted) in [(2, Some(60_000), false), (3, Some(40_000), true), (4, None, true)] {
        accept(n, at).await.unwrap();
        assert_eq!(watch.changed().now_or_never().is_some(), hinted, "{at:?}");
    }
    assert_eq!(bench.claim(1).await.len(), 1);
    // Whoever was given a step was told of no start.
    accept(5, Some(90_000)).await.unwrap();
    assert!(watch.changed().now_or_never().is_some());
}

/// An idle worker sleeps until something can be ready, however many tenants wait.
#[tokio::test]
async fn many_tenants_that_wait_are_not_asked_again_before_the_first_is_ready() {
    let bench = Bench::new();
    for n in 0..200 {
        let mut new = samples::new(n);
        new.tenant = format!("t{n}").parse().unwrap();
        new.terms.not_before = Some(Timestamp::from_millis(50_000 + i64::from(n)));
        bench.store.accept(samples::order(new)).await.unwrap();
    }
    for _ in 0..2 {
        let claims = bench.store.claim(wanted(3)).await.unwrap();
        assert_eq!((claims.granted.len(), claims.next), (0, Some(Timestamp::from_millis(50_000))));
    }
    // A full claim leaves the rotation in the middle; the next one still goes all the way round.
    bench.advance(Millis::from_secs(60));
    let mut served = 0;
    for _ in 0..4 {
        served += bench.claim(3).await.len();
    }
    assert_eq!(served, 12);
    served += bench.claim(200).await.len();
    assert_eq!(served, 200);
}

/// More tenants than one claim looks at: a few claims go round all of them, and then nobody asks again
/// before the first is ready; a step that is there meanwhile is not missed.
#[tokio::test]
async fn a_crowd_that_waits_is_gone_round_once() {
    let bench = Bench::new();
    let accept = async |n: u32, at: Option<i64>| {
        let mut new = samples::new(n);
        new.tenant = format!("t{n}").parse().unwrap();
        new.terms.not_before = at.map(Timestamp::from_millis);
        bench.store.accept(samples::order(new)).await.unwrap();
    };
    let orders = (0..2_500).map(|n| accept(n, Some(100_000 - i64::from(n))));
    futures_util::future::join_all(orders).await;
    let first = Timestamp::from_millis(100_000 - 2_499);
    for _ in 0..2 {
        let mut claims = 1;
        while bench.store.claim(wanted(3)).await.unwrap().next != Some(first) {
            claims += 1;
            assert!(claims <= 3, "2,500 tenants are three claims");
        }
    }
    bench.store.claim(wanted(3)).await.unwrap();
    accept(3_000, None).await;
    let mut granted = Vec::new();
    for _ in 0..3 {
        granted.extend(bench.claim(3).await);
    }
    assert_eq!(granted.len(), 1, "what came while the tenants were gone round is found");
}

/// P1: what a crash could have left is put right and counted; a healthy store has nothing.
#[tokio::test]
async fn the_audit_puts_back_what_the_queue_lost() {
    let bench = Bench::new();
    for n in 0..600 {
        bench.store.accept(samples::order(samples::new(n))).await.unwrap();
    }
    let mut swept = bench.store.sweep(100, None).await.unwrap();
    assert_eq!((swept.repaired, swept.next.is_some()), (0, true), "more is to be looked at");
    while swept.next.is_some() {
        swept = bench.store.sweep(100, None).await.unwrap();
        assert_eq!(swept.repaired, 0);
    }
    let side = bench.side();
    side.execute("DELETE FROM ready WHERE task = ?1", [samples::id(500).to_bytes()]).unwrap();
    side.execute(
        "UPDATE step SET state = 'blocked', state_at = NULL WHERE task = ?1",
        [samples::id(20).to_bytes()],
    )
    .unwrap();
    side.execute("DELETE FROM ready WHERE task = ?1", [samples::id(20).to_bytes()]).unwrap();
    let bench = bench.reopen();
    let mut repaired = 0;
    loop {
        let swept = bench.store.sweep(100, None).await.unwrap();
        repaired += swept.repaired;
        if swept.next.is_none() {
            break;
        }
    }
    assert_eq!(repaired, 2);
    let mut claimed = 0;
    loop {
        let granted = bench.claim(256).await.len();
        claimed += granted;
        if granted == 0 {
            break;
        }
    }
    assert_eq!(claimed, 600);
}
