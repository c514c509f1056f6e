//! What the network, the server and its standby do, and what is told of it (P1, P3).

use super::{Database, chance, soaks, wanted};
use crate::{
    AcceptError, Accepted, DecideError, Directed, Order, OsEntropy, StoreError, TaskReads, Tasks,
    postgres::{CONNECTIONS, Moments, OpenError, PostgresStore, ReplicaTargets},
    samples,
};
use octollm_access::TenantScope;
use octollm_contract::{ContentHash, TaskId};
use octollm_lifecycle::Command;
use octollm_testkit::{
    poll_until,
    postgres::{Server, shared},
    tcp_proxy::TcpProxy,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) const SOON: Duration = Duration::from_secs(60);

pub(super) fn keyed(n: u32) -> Order {
    Order {
        idempotency: Some((format!("key-{n}").parse().unwrap(), ContentHash::of(b"the same"))),
        ..samples::order(samples::new(n))
    }
}

pub(super) async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(url.parse().unwrap(), Moments::Database, Arc::new(OsEntropy)).await.unwrap()
}

fn is_unconfirmed(answer: &Result<Accepted, AcceptError>) -> bool {
    matches!(answer, Err(AcceptError::Store(StoreError::Unconfirmed(_))))
}

/// Asks again with the same key until there is an answer, as a client does.
pub(super) async fn until_accepted(store: &PostgresStore, order: &Order) -> Accepted {
    let began = Instant::now();
    loop {
        match store.accept(order.clone()).await {
            Ok(accepted) => return accepted,
            Err(error) => assert!(began.elapsed() < SOON, "{error:?}"),
        }
    }
}

/// P1, P3: the server has committed and its answer is lost. The caller is told that it is not known,
/// and the same key gives the task that is there.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_in_doubt_and_its_key_finds_it() {
    let database = Database::new();
    let proxy = TcpProxy::start(([127, 0, 0, 1], shared().port()).into()).await.unwrap();
    let url = format!("postgresql://octo@127.0.0.1:{}/{}", proxy.address().port(), database.name);
    let store = open(&url).await;
    proxy.swallow_the_answer_to(b"COMMIT");
    let answer = store.accept(keyed(1)).await;
    assert!(is_unconfirmed(&answer), "{answer:?}");
    proxy.happened().await;
    let again = until_accepted(&store, &keyed(1)).await;
    assert!(again.replayed);
    assert_eq!(database.sql("SELECT count(*) FROM octollm.task"), "1");
}

/// A network that is cut makes the answer late, not wrong, and is over when it heals.
#[tokio::test]
async fn a_cut_network_is_told_and_recovered_from() {
    let database = Database::new();
    let proxy = TcpProxy::start(([127, 0, 0, 1], shared().port()).into()).await.unwrap();
    let url = format!("postgresql://octo@127.0.0.1:{}/{}", proxy.address().port(), database.name);
    let store = open(&url).await;
    proxy.cut();
    let answer = store.accept(keyed(1)).await;
    assert!(matches!(answer, Err(AcceptError::Store(_))), "{answer:?}");
    let read = store.task(samples::id(1), &TenantScope::System).await;
    assert!(matches!(read, Err(StoreError::Unreachable(_))), "{read:?}");
    proxy.heal();
    until_accepted(&store, &keyed(1)).await;
    assert_eq!(store.claim(wanted(1)).await.unwrap().granted.len(), 1);
    assert_eq!(store.open_tasks().await.unwrap(), 1);
    assert!(store.sweep(10, None).await.is_ok());
}

/// A server with a synchronous standby that is not there.
fn standby_is_away(server: &Server, away: bool) {
    let names = if away { "one" } else { "" };
    server.sql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'")).unwrap();
    server.sql("postgres", "SELECT pg_reload_conf()").unwrap();
    let shown = || server.sql("postgres", "SHOW synchronous_standby_names").is_ok_and(|now| now == names);
    assert!(poll_until(SOON, shown));
}

/// Sends `signal` to whoever waits for the standby, once somebody does.
async fn in_the_sync_wait(server: &Server, signal: &str) {
    let sql = format!("SELECT count({signal}(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    let began = Instant::now();
    while server.sql("postgres", &sql).unwrap() == "0" {
        assert!(began.elapsed() < SOON, "nobody waits for the standby");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns once an accept has waited for the standby for so long.
async fn in_the_sync_wait_for(server: &Server, long: &str) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE wait_event = 'SyncRep' AND clock_timestamp() - state_change > '{long}'"
    );
    let began = Instant::now();
    while server.sql("postgres", &sql).unwrap() == "0" {
        assert!(began.elapsed() < SOON, "nobody waits for the standby");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// P1: with a synchronous standby configured nothing is answered before it has the row, not even a
/// repetition of what the primary alone has; and a wait that is ended is told as in doubt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_accept_is_answered_before_the_standby_has_it() {
    let server = Server::start(&[]).unwrap();
    let store = Arc::new(open(&server.url("postgres")).await);
    standby_is_away(&server, true);
    for (n, signal) in [(1, "pg_cancel_backend"), (2, "pg_terminate_backend")] {
        let accepting = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.accept(keyed(n)).await }
        });
        in_the_sync_wait(&server, signal).await;
        let answer = accepting.await.unwrap();
        assert!(is_unconfirmed(&answer), "{signal}: {answer:?}");
        let count = format!("SELECT count(*) FROM octollm.idempotency WHERE key = 'key-{n}'");
        assert_eq!(server.sql("postgres", &count).unwrap(), "1", "the primary has it");
        // The primary has the key, the standby does not: the repetition waits as well.
        let again = tokio::spawn({
            let store = Arc::clone(&store);
            async move { until_accepted(&store, &keyed(n)).await }
        });
        in_the_sync_wait(&server, "int4").await;
        assert!(!again.is_finished());
        let store_too = Arc::clone(&store);
        let looking = tokio::spawn(async move {
            store_too.accepted_under(&"acme".parse().unwrap(), &format!("key-{n}").parse().unwrap()).await
        });
        standby_is_away(&server, false);
        assert!(again.await.unwrap().replayed);
        assert_eq!(looking.await.unwrap().unwrap().unwrap().0, samples::id(n));
        standby_is_away(&server, true);
    }
    standby_is_away(&server, false);
    assert_eq!(store.open_tasks().await.unwrap(), 2);
}

/// A standby that stays away does not use up the server's sessions: what waits for it for too long is
/// ended, and in doubt.
#[tokio::test]
async fn what_is_stuck_at_the_server_is_ended_there() {
    let server = Server::start(&[]).unwrap();
    let target = server.url("postgres").parse().unwrap();
    let patience = Duration::from_millis(300);
    let entropy = Arc::new(OsEntropy);
    let store =
        PostgresStore::open_patient(target, ReplicaTargets::default(), Moments::Database, entropy, patience)
            .await
            .unwrap();
    standby_is_away(&server, true);
    let began = Instant::now();
    let answer = store.accept(keyed(1)).await;
    assert!(is_unconfirmed(&answer), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    assert_eq!(server.sql("postgres", waiting).unwrap(), "0");
    standby_is_away(&server, false);
    assert!(until_accepted(&store, &keyed(1)).await.replayed);
}

/// P1: the server is stopped and started again; nobody has to be.
#[tokio::test]
async fn a_restart_of_the_server_is_survived() {
    let mut server = Server::start(&[]).unwrap();
    let store = open(&server.url("postgres")).await;
    let first = store.accept(keyed(1)).await.unwrap();
    server.stop();
    let began = Instant::now();
    let down = store.accept(keyed(2)).await;
    assert!(matches!(down, Err(AcceptError::Store(_))), "{down:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    server.run().unwrap();
    until_accepted(&store, &keyed(2)).await;
    assert_eq!(until_accepted(&store, &keyed(1)).await.task, first.task);
    assert_eq!(store.claim(wanted(5)).await.unwrap().granted.len(), 2);
}

/// P1, P3: the primary is killed under load and its synchronous standby takes its place: every task
/// that was accepted is there, and every key has one task. The same when the standby had stopped to hear
/// its primary a while before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_loses_no_accepted_task() {
    for _ in 0..if soaks() { 10 } else { 1 } {
        fail_over(false).await;
        fail_over(true).await;
    }
}

async fn fail_over(deaf: bool) {
    const CLIENTS: u32 = 8;
    const AFTER: usize = 200;
    let mut primary = Server::start(&["fsync = on"]).unwrap();
    let standby = primary.standby("one").unwrap();
    let url = format!("postgresql://octo@127.0.0.1:{},127.0.0.1:{}/postgres", primary.port(), standby.port());
    let store = Arc::new(open(&url).await);
    standby_is_away(&primary, true);
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel::<(Instant, (u32, Option<TaskId>))>();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (store, told) = (Arc::clone(&store), told.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let (n, asked) = (client * 100_000 + n, Instant::now());
                    let answer = store.accept(keyed(n)).await.ok().map(|accepted| accepted.task);
                    if told.send((asked, (n, answer))).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    let (mut accepted, mut unknown) = (Vec::new(), Vec::new());
    let mut note = |(n, answer): (u32, Option<TaskId>)| match answer {
        Some(task) => {
            accepted.push((n, task));
            true
        }
        None => {
            unknown.push(n);
            false
        }
    };
    let mut acknowledged = 0;
    while acknowledged < AFTER {
        acknowledged += usize::from(note(heard.recv().await.unwrap().1));
    }
    if deaf {
        let deaf = standby.stop_hearing().unwrap();
        in_the_sync_wait_for(&primary, "300ms").await;
        while let Ok((_, before)) = heard.try_recv() {
            note(before);
        }
        in_the_sync_wait_for(&primary, "1s").await;
        while let Ok((_, meanwhile)) = heard.try_recv() {
            assert!(!note(meanwhile), "an accept was answered that the standby does not have");
        }
        primary.kill();
        drop(deaf);
    } else {
        primary.kill();
    }
    standby.promote().unwrap();
    let promoted = Instant::now();
    // Those that wait for a connection meanwhile may all be answered: a failure is none that can be waited for.
    loop {
        let (asked, answer) = heard.recv().await.unwrap();
        if note(answer) && asked > promoted {
            break;
        }
        assert!(promoted.elapsed() < SOON, "nobody follows the new primary");
    }
    println!("the new primary accepted {:?} after its promotion", promoted.elapsed());
    while let Ok((_, more)) = heard.try_recv() {
        note(more);
    }
    drop(heard);
    for client in clients {
        client.await.unwrap();
    }
    for (n, task) in &accepted {
        let found = store.task(*task, &TenantScope::System).await.unwrap();
        assert!(found.is_some(), "{n} was accepted and is lost");
    }
    for n in &unknown {
        until_accepted(&store, &keyed(*n)).await;
    }
    let twice =
        "SELECT count(*) FROM (SELECT idempotency_key FROM octollm.paper GROUP BY 1 HAVING count(*) > 1) x";
    assert_eq!(standby.sql("postgres", twice).unwrap(), "0");
    println!("{} accepted, {} unknown", accepted.len(), unknown.len());
}

/// A primary that stands still and answers nobody is left for the standby that was promoted, as one that is
/// gone; a minute is for commits that wait for a standby.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_stands_still_is_left_for_another() {
    let primary = Server::start(&[]).unwrap();
    let standby = primary.standby("one").unwrap();
    let url = format!("postgresql://octo@127.0.0.1:{},127.0.0.1:{}/postgres", primary.port(), standby.port());
    let store = open(&url).await;
    until_accepted(&store, &keyed(1)).await;
    let frozen = primary.freeze().unwrap();
    standby.promote().unwrap();
    // Reads leave it in the same time: each request begins with one, of its key.
    let read = tokio::time::timeout(Duration::from_secs(9), store.open_tasks()).await;
    assert_eq!(read.expect("no read waits its longest").unwrap(), 1);
    until_accepted(&store, &keyed(2)).await;
    assert_eq!(standby.sql("postgres", "SELECT count(*) FROM octollm.task").unwrap(), "2");
    drop(frozen);
    until_accepted(&store, &keyed(3)).await;
    assert_eq!(standby.sql("postgres", "SELECT count(*) FROM octollm.task").unwrap(), "3");
}

/// P1: a database that was told not to wait for its disk and its standby is waited for.
#[tokio::test]
async fn a_commit_waits_whatever_the_database_was_told() {
    let server = Server::start(&[]).unwrap();
    for (told, wanted) in
        [("off", "on"), ("local", "on"), ("remote_write", "on"), ("remote_apply", "remote_apply")]
    {
        server.sql("postgres", &format!("ALTER DATABASE postgres SET synchronous_commit = {told}")).unwrap();
        let store = open(&server.url("postgres")).await;
        let link = crate::postgres::link::<crate::postgres::statements::Statements>(&store.shared, "looks");
        let link = link.await.unwrap();
        let row = link.client.query_one("SHOW synchronous_commit", &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), wanted, "{told}");
    }
}

/// Sessions of clients that a network has swallowed do not fill the server: it finds out within seconds.
#[tokio::test]
async fn a_server_gives_up_who_is_not_there_any_more() {
    let server = Server::start(&[]).unwrap();
    // Over a Unix socket nobody is swallowed.
    let store = open(&format!("postgresql://octo@127.0.0.1:{}/postgres", server.port())).await;
    let link = crate::postgres::link::<crate::postgres::statements::Statements>(&store.shared, "looks");
    let link = link.await.unwrap();
    for (setting, wanted) in [
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "3"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "15000"),
    ] {
        let row = link.client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), wanted, "{setting}");
    }
}

/// What would have each request refused later is refused at the start, with what to do.
#[tokio::test]
async fn a_user_without_rights_and_a_database_without_letters_are_told_at_the_start() {
    let server = Server::start(&[]).unwrap();
    drop(open(&server.url("postgres")).await);
    let made = "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA octollm TO reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA octollm TO reader;";
    server.sql("postgres", made).unwrap();
    let refused = |url: String| async move {
        let opened = PostgresStore::open(url.parse().unwrap(), Moments::Database, Arc::new(OsEntropy)).await;
        opened.err().expect("it is refused").to_string()
    };
    let said = refused(server.url("postgres").replacen("octo@", "reader@", 1)).await;
    assert!(said.contains("reader may not DELETE the table octollm.") && said.contains("GRANT"), "{said}");
    server.sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0").unwrap();
    let said = refused(server.url("latin")).await;
    assert!(said.contains("LATIN1") && said.contains("UTF8"), "{said}");
    assert_eq!(
        server.sql("latin", "SELECT count(*) FROM pg_namespace WHERE nspname = 'octollm'").unwrap(),
        "0"
    );
}

/// Connections are counted before work is taken on.
#[tokio::test]
async fn too_few_connections_are_told_at_the_start() {
    let room = CONNECTIONS + 3 + CONNECTIONS / 2;
    let server = Server::start(&[&format!("max_connections = {room}"), "max_wal_senders = 0"]).unwrap();
    let one = open(&server.url("postgres")).await;
    let target = server.url("postgres").parse().unwrap();
    let Err(OpenError::TooFewConnections { most, needed, .. }) =
        PostgresStore::open(target, Moments::Database, Arc::new(OsEntropy)).await
    else {
        panic!("a second orchestrator was let in")
    };
    assert_eq!((most, needed), (i64::try_from(room - 3).unwrap(), CONNECTIONS));
    until_accepted(&one, &keyed(1)).await;
}

/// Whoever goes away in the middle, at whatever moment, leaves no transaction open, nobody else with an
/// error, and nothing half done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_harm_nobody() {
    let (database, mut chance) = (Database::new(), chance());
    let store = Arc::new(database.store().await);
    for n in 0..if soaks() { 2500u32 } else { 250 } {
        let mut after = || Duration::from_micros(chance() % 4000);
        let (order, cancel) = (keyed(n), samples::id(n.saturating_sub(3)));
        let cancel = Directed { task: cancel, scope: TenantScope::System, command: Command::Cancel };
        let accept = tokio::time::timeout(after(), store.accept(order));
        let read = tokio::time::timeout(after(), store.task(samples::id(n), &TenantScope::System));
        let claim = tokio::time::timeout(after(), store.claim(wanted(1)));
        let decide = tokio::time::timeout(after(), store.decide(vec![cancel]));
        let (accepted, read, claimed, decided) = tokio::join!(accept, read, claim, decide);
        assert!(accepted.is_err() || accepted.is_ok_and(|answer| answer.is_ok()));
        assert!(read.is_err() || read.is_ok_and(|answer| answer.is_ok()));
        assert!(claimed.is_err() || claimed.is_ok_and(|answer| answer.is_ok()));
        let refused = |answers: &Vec<_>| matches!(answers[0], Err(DecideError::Store(_)));
        assert!(decided.is_err() || decided.is_ok_and(|answers| !refused(&answers)));
        if n % 25 == 0 {
            store.accept(keyed(1_000_000 + n)).await.unwrap();
            store.claim(wanted(1)).await.unwrap();
        }
    }
    until_accepted(&store, &keyed(2_000_000)).await;
    let open =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    assert!(poll_until(SOON, || database.sql(open) == "0"));
    let half = "SELECT count(*) FROM octollm.idempotency i FULL JOIN octollm.task t ON t.id = i.task
        FULL JOIN octollm.paper p ON p.task = t.id WHERE i.task IS NULL OR t.id IS NULL OR p.task IS NULL";
    assert_eq!(database.sql(half), "0");
}
