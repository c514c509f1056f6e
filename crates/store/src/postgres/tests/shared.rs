//! Several orchestrators over one database.

use super::{Database, complete, soaks, wanted};
use crate::{AcceptError, Keys, Order, TaskReads, Tasks, Wanted, postgres::PostgresStore, samples};
use octollm_access::{HOME_TENANT, KeyRecord, Policy, Revocation, Role, TenantScope, Verifier};
use octollm_contract::{ArmName, ContentHash, Edition, Millis, Priority, TaskId, Timestamp};
use octollm_lifecycle::TaskState;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

fn keyed(n: u32, key: &str, body: &[u8]) -> Order {
    Order {
        idempotency: Some((key.parse().unwrap(), ContentHash::of(body))),
        ..samples::order(samples::new(n))
    }
}

/// P3: whoever sends the same key, wherever and at the same moment, gets the one task; the others
/// leave no row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_gives_one_task_over_several_orchestrators() {
    let database = Database::new();
    let stores = [
        Arc::new(database.store().await),
        Arc::new(database.store().await),
        Arc::new(database.store().await),
    ];
    let mut calls = Vec::new();
    for round in 0..40u32 {
        for (at, store) in (0u32..).zip(&stores) {
            for twice in 0..2u32 {
                let (store, n) = (Arc::clone(store), round * 100 + at * 10 + twice);
                let order = keyed(n, &format!("key-{round}"), b"the same");
                calls.push((round, tokio::spawn(async move { store.accept(order).await.unwrap() })));
            }
        }
    }
    let mut tasks: Vec<BTreeSet<TaskId>> = vec![BTreeSet::new(); 40];
    let mut new = 0;
    for (round, call) in calls {
        let accepted = call.await.unwrap();
        tasks[round as usize].insert(accepted.task);
        new += u32::from(!accepted.replayed);
    }
    assert!(tasks.iter().all(|tasks| tasks.len() == 1), "{tasks:?}");
    assert_eq!(new, 40);
    for table in ["task", "paper", "step", "ready", "event", "idempotency"] {
        assert_eq!(database.sql(&format!("SELECT count(*) FROM octollm.{table}")), "40", "{table}");
    }
    let other = stores[1].accept(keyed(9999, "key-0", b"another")).await;
    assert!(matches!(other, Err(AcceptError::KeyReused { first, .. }) if tasks[0].contains(&first)));
}

/// P1, P2: the last two steps of a join end at the same moment at two orchestrators; one of them sees
/// that the join may start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_two_orchestrators_finish_at_once_goes_on() {
    let joins: u32 = if soaks() { 1000 } else { 200 };
    let database = Database::new();
    let (one, other) = (Arc::new(database.store().await), Arc::new(database.store().await));
    for n in 0..joins {
        let mut new = samples::new(n);
        new.steps = vec![samples::step(&[]), samples::step(&[]), samples::step(&[0, 1])];
        one.accept(samples::order(new)).await.unwrap();
    }
    let mut claimed = Vec::new();
    while claimed.len() < 2 * joins as usize {
        claimed.extend(one.claim(wanted(256)).await.unwrap().granted);
    }
    let mut ends = Vec::new();
    for claimed in claimed {
        let store = Arc::clone(if claimed.step.place == 0 { &one } else { &other });
        let command = complete(claimed.step, claimed.token);
        ends.push(tokio::spawn(async move { store.decide(vec![command]).await.remove(0) }));
    }
    for end in ends {
        end.await.unwrap().unwrap();
    }
    let mut last = Vec::new();
    while last.len() < joins as usize {
        let more = other.claim(wanted(256)).await.unwrap().granted;
        assert!(!more.is_empty(), "{} joins do not go on", joins as usize - last.len());
        last.extend(more);
    }
    let commands = last.iter().map(|claimed| complete(claimed.step, claimed.token)).collect();
    assert!(other.decide(commands).await.iter().all(Result::is_ok));
    assert_eq!(one.open_tasks().await.unwrap(), 0);
    let mut swept = one.sweep(256, None).await.unwrap();
    assert_eq!((swept.tasks, swept.repaired), (0, 0));
    swept = other.sweep(256, None).await.unwrap();
    assert_eq!((swept.tasks, swept.repaired), (0, 0));
}

/// P2: three sweep at once, as when two believe that they lead: each lease that has run out counts as one
/// crash, each overdue task ends once, and nobody fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_sweepers_at_once_take_each_lease_back_once() {
    const LEASED: u32 = 300;
    const OVERDUE: u32 = 100;
    let database = Database::new();
    let stores = [database.store().await, database.store().await, database.store().await];
    for n in 0..LEASED {
        stores[0].accept(samples::order(samples::new(n))).await.unwrap();
    }
    let mut leased = 0;
    while leased < LEASED as usize {
        let brief = Wanted { ttl: Millis::new(1), ..wanted(256) };
        leased += stores[0].claim(brief).await.unwrap().granted.len();
    }
    for n in LEASED..LEASED + OVERDUE {
        let mut new = samples::new(n);
        new.terms.deadline = Some(Timestamp::from_millis(2000));
        stores[0].accept(samples::order(new)).await.unwrap();
    }
    let (mut lapsed, mut overdue, began) = (0, 0, Instant::now());
    while lapsed < leased || overdue < OVERDUE as usize {
        let swept =
            tokio::join!(stores[0].sweep(50, None), stores[1].sweep(50, None), stores[2].sweep(50, None));
        for swept in [swept.0, swept.1, swept.2] {
            let swept = swept.unwrap();
            (lapsed, overdue) = (lapsed + swept.lapsed, overdue + swept.overdue);
            assert_eq!(swept.repaired, 0);
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{lapsed} lapsed, {overdue} overdue");
    }
    assert_eq!((lapsed, overdue), (leased, OVERDUE as usize));
    let asked = [
        ("SELECT count(*) FROM octollm.step WHERE crashes = 1", LEASED),
        ("SELECT sum(crashes) FROM octollm.step", LEASED),
        ("SELECT count(*) FROM octollm.ready", LEASED),
        ("SELECT count(*) FROM octollm.lease", 0),
        ("SELECT count(*) FROM octollm.event WHERE kind = 'task.failed'", OVERDUE),
    ];
    for (sql, count) in asked {
        assert_eq!(database.sql(sql), count.to_string(), "{sql}");
    }
}

/// No step is handed out twice, and none is left, however many claim at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_is_leased_to_one_worker_only() {
    const STEPS: u32 = 300;
    let database = Database::new();
    let stores = [Arc::new(database.store().await), Arc::new(database.store().await)];
    for n in 0..STEPS {
        stores[0].accept(samples::order(samples::new(n))).await.unwrap();
    }
    let claims: Vec<_> = (0..8)
        .map(|n| {
            let store = Arc::clone(&stores[n % 2]);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let claims = store.claim(wanted(7)).await.unwrap();
                    if claims.granted.is_empty() && claims.next.is_none() {
                        return mine;
                    }
                    mine.extend(claims.granted.into_iter().map(|claimed| claimed.step));
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for claim in claims {
        all.extend(claim.await.unwrap());
    }
    assert_eq!(all.len(), STEPS as usize);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), STEPS as usize);
    assert_eq!(database.sql("SELECT count(*) FROM octollm.ready"), "0", "the hot table is empty");
}

/// P7 as fairness: whoever queues ten thousand steps does not stand before one that queues one.
#[tokio::test]
async fn one_task_beside_ten_thousand_is_in_the_first_round() {
    let database = Database::new();
    let store = database.store().await;
    let orders = (0..10_000).map(|n| {
        let mut new = samples::new(n);
        new.priority = Priority::Critical;
        store.accept(samples::order(new))
    });
    assert!(futures_util::future::join_all(orders).await.iter().all(Result::is_ok));
    let mut quiet = samples::new(20_000);
    quiet.tenant = "quiet".parse().unwrap();
    quiet.priority = Priority::Low;
    store.accept(samples::order(quiet)).await.unwrap();
    let granted = store.claim(wanted(2)).await.unwrap().granted;
    assert!(granted.iter().any(|claimed| claimed.tenant.as_str() == "quiet"));
}

/// Ten orchestrators start at once on an empty database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_migrate_at_once_and_again() {
    let database = Database::new();
    let target = database.target();
    let starts: Vec<_> = (0..10)
        .map(|_| {
            let target = target.clone();
            tokio::spawn(async move { crate::postgres::migrate(&target).await })
        })
        .collect();
    let mut migrated = 0;
    for start in starts {
        migrated += start.await.unwrap().unwrap().migrated;
    }
    assert_eq!(migrated, crate::postgres::schema::newest());
    assert_eq!(crate::postgres::migrate(&target).await.unwrap().migrated, 0);
}

/// An older program goes on over a migration that only adds; one that cannot is told so.
#[tokio::test]
async fn an_older_program_runs_on_what_only_adds() {
    let database = Database::new();
    let store = database.store().await;
    database.sql(
        "ALTER TABLE octollm.task ADD COLUMN later text;
         INSERT INTO octollm.migration (version, runs_since) VALUES (900, 1)",
    );
    store.accept(samples::order(samples::new(1))).await.unwrap();
    let again = database.store().await;
    assert!(again.task(samples::id(1), &TenantScope::System).await.unwrap().is_some());
    database.sql("INSERT INTO octollm.migration (version, runs_since) VALUES (901, 901)");
    let refused =
        super::PostgresStore::open(database.target(), super::Moments::Database, Arc::new(crate::OsEntropy));
    let Err(error) = refused.await else { panic!("an older program was let in") };
    assert!(error.to_string().contains("newer version (schema 901"), "{error}");
}

/// What is stored is written for the oldest of those who may read it: whoever says nothing of editions, as programs of
/// the version before, reads the first. One that has gone counts no longer.
#[tokio::test]
async fn the_editions_of_all_who_share_a_database_are_known() {
    let database = Database::new();
    let old = "INSERT INTO octollm.caller (id, beats, at) VALUES (gen_random_uuid(), 1, clock_timestamp())";
    let gone = "UPDATE octollm.caller SET at = at - interval '31 seconds' WHERE edition IS NULL";
    let store = database.store().await;
    assert_eq!(store.read_by_all(), Edition::NEWEST);
    database.sql(old);
    let beside = database.store().await;
    assert_eq!(beside.read_by_all(), Edition::First, "known from the start");
    store.leads().await.unwrap();
    assert_eq!(store.read_by_all(), Edition::First, "known with the sign of life");
    database.sql(gone);
    assert_eq!(database.store().await.read_by_all(), Edition::NEWEST);
    let own = database.sql("SELECT edition FROM octollm.caller WHERE edition IS NOT NULL");
    assert_eq!(own, Edition::NEWEST.number().to_string());
}

/// P4: what happens at one orchestrator is heard at another, without anybody asking.
#[tokio::test]
async fn a_hint_crosses_over_to_other_orchestrators() {
    let database = Database::new();
    let (one, other) = (database.store().await, database.store().await);
    let mut arm = other.hints().watch_arm(ArmName::Executor);
    let mut task = other.hints().watch_task(samples::id(1));
    one.accept(samples::order(samples::new(1))).await.unwrap();
    let heard = async {
        arm.changed().await;
        task.changed().await;
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), heard).await.unwrap();
    assert_eq!(other.claim(wanted(1)).await.unwrap().granted.len(), 1);
}

/// Polls that come together share a claim: each gets what it asked for, no step is given out twice, and
/// the turns of tenants count over all of them.
#[tokio::test]
async fn polls_that_come_together_are_given_different_steps() {
    let database = Database::new();
    let store = database.store().await;
    let tenants = ["acme", "beta", "gamma"];
    for n in 0..48 {
        let mut new = samples::new(n);
        new.tenant = tenants[usize::from(n >= 16) + usize::from(n >= 44)].parse().unwrap();
        if n % 4 == 3 {
            new.steps[0].arm = ArmName::Coder;
        }
        store.accept(samples::order(new)).await.unwrap();
    }
    let (executor, coder) = (vec![ArmName::Executor], vec![ArmName::Coder]);
    let both = vec![ArmName::Executor, ArmName::Coder];
    let polls: Vec<(&[ArmName], usize)> = vec![
        (&executor, 5),
        (&coder, 1),
        (&both, 3),
        (&executor, 0),
        (&coder, 2),
        (&executor, 4),
        (&both, 6),
    ];
    // The first is under way while the others come.
    let claims =
        polls.iter().map(|(arms, most)| store.claim(Wanted { arms: arms.to_vec(), ..wanted(*most) }));
    let claims = futures_util::future::try_join_all(claims).await.unwrap();
    let (mut steps, mut moments, mut of) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for ((arms, most), claims) in polls.iter().zip(&claims) {
        assert_eq!(claims.granted.len(), *most, "{arms:?}");
        for claimed in &claims.granted {
            assert!(arms.contains(&claimed.arm), "{:?} was not asked for", claimed.arm);
            assert!(steps.insert(claimed.step), "{} is given out twice", claimed.step);
            moments.insert(claimed.granted_at);
            *of.entry(claimed.tenant.to_string()).or_insert(0_u32) += 1;
        }
    }
    assert!(moments.len() <= 2, "{} claims were made", moments.len());
    // 21 steps for three tenants, of whom one has only four.
    assert_eq!(of["gamma"], 4, "{of:?}");
    assert!(of["acme"].abs_diff(of["beta"]) <= 1, "{of:?}");
}

/// A second orchestrator that starts takes nothing from the first.
#[tokio::test]
async fn who_starts_takes_no_lease_away() {
    let database = Database::new();
    let one = database.store().await;
    one.accept(samples::order(samples::new(1))).await.unwrap();
    let claimed = one.claim(wanted(1)).await.unwrap().granted.remove(0);
    let other = database.store().await;
    assert_eq!(other.take_over(crate::Gone::All).await.unwrap(), crate::Swept::default());
    assert!(other.holds(claimed.step, claimed.token).await.unwrap());
    other.decide(vec![complete(claimed.step, claimed.token)]).await.remove(0).unwrap();
    let record = one.task(samples::id(1), &TenantScope::System).await.unwrap().unwrap();
    assert!(matches!(record.task.state, TaskState::Completed { .. }));
}

/// Of all that ask, one sweeps; when it is gone another one does, after a while.
#[tokio::test]
async fn one_leads_and_another_follows_when_it_is_gone() {
    let database = Database::new();
    let (one, other) = (database.store().await, database.store().await);
    assert!(one.leads().await.unwrap());
    assert!(!other.leads().await.unwrap());
    assert!(one.leads().await.unwrap());
    drop(one);
    database.sql("UPDATE octollm.leader SET expires_at = 0");
    assert!(other.leads().await.unwrap());
}

/// P1: what a lease's holder may take is measured by the database's clock, and what is accepted at a
/// machine whose clock is wrong may be claimed at once.
#[tokio::test]
async fn moments_are_the_databases() {
    let database = Database::new();
    let store = database.store().await;
    let at: i64 = database.sql("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)").parse().unwrap();
    let off = store.clock().now().as_millis() - at;
    assert!((-1_000..=1_000).contains(&off), "{off}");
    let mut new = samples::new(1);
    new.terms.accepted_at = store.clock().now();
    store.accept(samples::order(new)).await.unwrap();
    let claimed = store.claim(wanted(1)).await.unwrap().granted.remove(0);
    assert_eq!(claimed.granted_at + Millis::from_secs(30), claimed.expires_at);
}

/// Of servers that start at once on an empty database one makes the first key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_first_keys_one_is_kept() {
    for _ in 0..3 {
        let database = Database::new();
        let mut stores = Vec::new();
        for _ in 0..4 {
            stores.push(Arc::new(database.store().await));
        }
        let begin = Arc::new(tokio::sync::Barrier::new(stores.len()));
        let keep = |(n, store): (u8, &Arc<PostgresStore>)| {
            let (store, begin) = (Arc::clone(store), Arc::clone(&begin));
            tokio::spawn(async move {
                begin.wait().await;
                store.put_first_key(admin(n)).await.unwrap()
            })
        };
        let kept: Vec<_> = (0u8..).zip(&stores).map(keep).collect();
        let mut firsts = 0;
        for kept in kept {
            firsts += u32::from(kept.await.unwrap());
        }
        assert_eq!(firsts, 1);
        assert_eq!(stores[0].keys(&TenantScope::System).await.unwrap().len(), 1);
        assert!(!stores[1].put_first_key(admin(9)).await.unwrap());
    }
}

fn admin(n: u8) -> KeyRecord {
    KeyRecord {
        id: format!("{n:010x}").parse().unwrap(),
        verifier: Verifier::from_bytes([n; 32]),
        role: Role::Admin,
        scopes: Role::Admin.scopes(),
        tenant: "acme".parse().unwrap(),
        policy: Policy::default_admin(),
        label: String::new(),
        created_at: Timestamp::from_millis(0),
        revoked_at: None,
    }
}

/// Two admins revoke each other's key at the same moment at two orchestrators: one of the two keys stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_two_admins_cannot_revoke_each_other() {
    let database = Database::new();
    let (here, there) = (database.store().await, database.store().await);
    let all = TenantScope::System;
    for round in 0..100i64 {
        let key = |name: &str| KeyRecord {
            id: format!("{name}{round}").parse().unwrap(),
            verifier: Verifier::from_bytes([3; 32]),
            role: Role::Admin,
            scopes: Role::Admin.scopes(),
            tenant: HOME_TENANT.parse().unwrap(),
            policy: Policy::default_admin(),
            label: String::new(),
            created_at: Timestamp::from_millis(round),
            revoked_at: None,
        };
        let (a, b, at) = (key("a"), key("b"), Timestamp::from_millis(round));
        here.put_key(a.clone()).await.unwrap();
        here.put_key(b.clone()).await.unwrap();
        // The one that stayed of the round before is no way out.
        for old in here.keys(&all).await.unwrap().iter().filter(|key| key.makes_all()) {
            if ![&a.id, &b.id].contains(&&old.id) {
                assert_eq!(here.revoke_key(&old.id, &all, at).await.unwrap(), Revocation::Revoked);
            }
        }
        let (first, second) =
            tokio::join!(here.revoke_key(&b.id, &all, at), there.revoke_key(&a.id, &all, at));
        let mut came = [first.unwrap(), second.unwrap()];
        came.sort_by_key(|came| *came == Revocation::LastMaker);
        assert_eq!(came, [Revocation::Revoked, Revocation::LastMaker], "round {round}");
        let left = there.keys(&all).await.unwrap().iter().filter(|key| key.makes_all()).count();
        assert_eq!(left, 1, "round {round}");
    }
}
