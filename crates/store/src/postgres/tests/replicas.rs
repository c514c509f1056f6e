//! Reads from replicas: what a client sees when they are behind, busy, gone or another server.

use super::{
    super::{fault::Fault, place},
    Database, complete, wanted,
};
use crate::{
    Freshness, OsEntropy, Period, ReplicaView, Seen, TaskReads, Tasks,
    postgres::{Moments, PostgresStore, ReplicaTargets},
    samples,
};
use octollm_access::TenantScope;
use octollm_contract::{Day, api::TaskStatus};
use octollm_lifecycle::Subject;
use octollm_testkit::postgres::{Server, shared};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A primary, its replicas, and a store over both.
struct Fleet {
    primary: Server,
    standbys: Vec<Server>,
    store: Arc<PostgresStore>,
}

impl Fleet {
    async fn start(standbys: usize) -> Self {
        let primary = Server::start(&[]).unwrap();
        let standbys: Vec<_> = (0..standbys).map(|n| primary.standby(&format!("s{n}")).unwrap()).collect();
        let urls: Vec<_> = standbys.iter().map(|standby| standby.tcp_url("postgres")).collect();
        let store = open(&primary.tcp_url("postgres"), &urls).await;
        let fleet = Fleet { primary, standbys, store };
        fleet.until("all replicas serve", |views| views.iter().all(|view| view.serves)).await;
        fleet
    }

    /// Reads until the replicas are as wanted; reads are what keeps them watched.
    async fn until(&self, what: &str, ready: impl Fn(&[ReplicaView]) -> bool) -> Vec<ReplicaView> {
        let began = Instant::now();
        loop {
            let views = self.store.replicas().await;
            if ready(&views) {
                return views;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain until {what}: {views:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn status(&self, n: u32, seen: &mut Seen) -> Option<TaskStatus> {
        let read = self.store.task_for(Freshness::Since(*seen), samples::id(n), &TenantScope::System).await;
        let (task, now) = read.unwrap();
        assert!(now >= *seen, "a client has seen less: {now:?} after {seen:?}");
        *seen = now;
        task.map(|record| record.task.state.status())
    }

    /// Reads the first task, as somebody who has seen nothing, until this replica has answered once more.
    async fn until_it_answers(&self, replica: usize) {
        let (began, before) = (Instant::now(), self.store.replicas().await[replica].reads);
        loop {
            assert!(self.status(0, &mut Seen::NOTHING.clone()).await.is_some());
            let views = self.store.replicas().await;
            if views[replica].reads > before {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{replica} never answers: {views:?}");
        }
    }
}

async fn open(primary: &str, replicas: &[String]) -> Arc<PostgresStore> {
    let replicas = match replicas {
        [] => ReplicaTargets::default(),
        urls => urls.join(",").parse().unwrap(),
    };
    let target = primary.parse().unwrap();
    Arc::new(
        PostgresStore::open_reading(target, replicas, Moments::Database, Arc::new(OsEntropy)).await.unwrap(),
    )
}

/// P4: one replica stands still. Whoever has written reads what was written, nobody is shown anything
/// older than before, and the one that stands still is out until it has caught up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_reads_its_own_writes_while_a_replica_stands_still() {
    let fleet = Fleet::start(2).await;
    fleet.standbys[0].sql("postgres", "SELECT pg_wal_replay_pause()").unwrap();
    let (mut seen, mut n) = (Seen::NOTHING, 0);
    let began = Instant::now();
    // Long enough for it to be found behind.
    while began.elapsed() < Duration::from_secs(4) {
        fleet.store.accept(samples::order(samples::new(n))).await.unwrap();
        seen = seen.and(fleet.store.reached());
        assert_eq!(fleet.status(n, &mut seen).await, Some(TaskStatus::Queued), "it was accepted");
        let claimed = fleet.store.claim(wanted(1)).await.unwrap().granted.remove(0);
        fleet.store.decide(vec![complete(claimed.step, claimed.token)]).await.remove(0).unwrap();
        seen = seen.and(fleet.store.reached());
        assert_eq!(fleet.status(n, &mut seen).await, Some(TaskStatus::Completed), "it was ended");
        // And so it stays, whoever answers.
        for _ in 0..5 {
            assert_eq!(fleet.status(n, &mut seen).await, Some(TaskStatus::Completed));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        n += 1;
    }
    fleet
        .until("it is out, and the other one answers", |views| {
            let out = !views[0].serves && views[0].lag.is_some_and(|lag| lag > Duration::from_secs(1));
            out && views[1].serves
        })
        .await;
    fleet.until_it_answers(1).await;
    fleet.standbys[0].sql("postgres", "SELECT pg_wal_replay_resume()").unwrap();
    let is_back = |view: &ReplicaView| view.serves && view.lag == Some(Duration::ZERO);
    fleet.until("it is back", |views| views.iter().all(is_back)).await;
    fleet.until_it_answers(0).await;
    fleet.until_it_answers(1).await;
}

/// A replica that dies, comes back, or cannot be reached at the start costs no read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_gone_costs_no_read() {
    let mut fleet = Fleet::start(1).await;
    fleet.store.accept(samples::order(samples::new(0))).await.unwrap();
    let mut seen = fleet.store.reached();
    fleet.standbys[0].kill();
    for _ in 0..10 {
        assert!(fleet.status(0, &mut seen).await.is_some());
    }
    let views = fleet.until("it is out", |views| !views[0].serves).await;
    assert_eq!(views[0].lag, None, "nobody says how far it is");
    // Another orchestrator starts meanwhile.
    let url = fleet.standbys[0].tcp_url("postgres");
    let other = open(&fleet.primary.tcp_url("postgres"), &[url]).await;
    assert!(
        other.task_for(Freshness::Latest, samples::id(0), &TenantScope::System).await.unwrap().0.is_some()
    );
    fleet.standbys[0].run().unwrap();
    fleet.until("it is back", |views| views[0].serves).await;
    fleet.until_it_answers(0).await;
    let began = Instant::now();
    while !other.replicas().await[0].serves {
        assert!(began.elapsed() < PATIENCE, "the other one never finds it");
    }
}

/// What a replica does not know of yet is asked of the primary: a task that another orchestrator
/// accepted is there for whoever names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_never_a_replicas_answer() {
    let fleet = Fleet::start(1).await;
    let other = open(&fleet.primary.tcp_url("postgres"), &[]).await;
    fleet.standbys[0].sql("postgres", "SELECT pg_wal_replay_pause()").unwrap();
    other.accept(samples::order(samples::new(0))).await.unwrap();
    assert!(fleet.status(0, &mut Seen::NOTHING.clone()).await.is_some());
    let events =
        fleet.store.events_for(Freshness::Since(Seen::NOTHING), samples::id(0), &TenantScope::System, 0, 9);
    assert!(events.await.unwrap().0.is_some());
}

/// A read that the replica gives up for the sake of its replay is answered by the primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_conflict_is_nobodys_failure() {
    let fleet = Fleet::start(1).await;
    fleet.store.accept(samples::order(samples::new(0))).await.unwrap();
    let mut seen = fleet.store.reached();
    // Nobody who reads is waited for, and what is read is locked again and again.
    fleet.standbys[0]
        .sql("postgres", "ALTER SYSTEM SET max_standby_streaming_delay = 0")
        .and_then(|_| fleet.standbys[0].sql("postgres", "SELECT pg_reload_conf()"))
        .unwrap();
    let began = Instant::now();
    let conflicts = || {
        let sql = "SELECT confl_lock + confl_snapshot + confl_bufferpin FROM pg_stat_database_conflicts
                   WHERE datname = 'postgres'";
        fleet.standbys[0].sql("postgres", sql).unwrap().parse::<u64>().unwrap()
    };
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let store = Arc::clone(&fleet.store);
            tokio::spawn(async move {
                let mut reads = 0;
                while reads < 20_000 {
                    let fresh = Freshness::Since(Seen::NOTHING);
                    let read = store.task_for(fresh, samples::id(0), &TenantScope::System).await;
                    assert!(read.unwrap().0.is_some());
                    reads += 1;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    while conflicts() == 0 && began.elapsed() < PATIENCE {
        fleet
            .primary
            .sql("postgres", "BEGIN; LOCK octollm.step; LOCK octollm.task; SELECT pg_sleep(0.02); COMMIT")
            .unwrap();
    }
    for reader in readers {
        reader.abort();
        if let Err(ended) = reader.await {
            assert!(ended.is_cancelled(), "a read failed: {ended}");
        }
    }
    assert!(conflicts() > 0, "no read was in the replay's way: nothing is proved");
    assert!(fleet.status(0, &mut seen).await.is_some());
}

/// Who reads figures at a replica is in nobody's way: what ends meanwhile, is summed up and cleared away
/// ends no read there, not even one that lasts, of a standby that waits for none (`hot_standby_feedback`
/// keeps the rows that it still sees). And no client sees figures go back (P4).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn summing_up_ends_no_read_of_a_replica() {
    let fleet = Fleet::start(1).await;
    let standby = &fleet.standbys[0];
    for setting in [
        "ALTER SYSTEM SET hot_standby_feedback = on",
        "ALTER SYSTEM SET wal_receiver_status_interval = 1",
        "ALTER SYSTEM SET max_standby_streaming_delay = 0",
        "SELECT pg_reload_conf()",
    ] {
        standby.sql("postgres", setting).unwrap();
    }
    let kept = "SELECT count(*) FROM pg_replication_slots WHERE xmin IS NOT NULL";
    assert!(octollm_testkit::poll_until(PATIENCE, || fleet
        .primary
        .sql("postgres", kept)
        .is_ok_and(|n| n == "1")));
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (store, over) = (Arc::clone(&fleet.store), Arc::clone(&over));
            tokio::spawn(async move {
                let (mut seen, mut last, mut reads) = (Seen::NOTHING, 0, 0u64);
                let always = Period { from: Day::from_number(i32::MIN), to: Day::from_number(i32::MAX) };
                while !over.load(Ordering::Relaxed) {
                    let fresh = Freshness::Since(seen);
                    let read = store.usage_sums(fresh, &TenantScope::System, always).await;
                    let (counted, now) = read.unwrap();
                    let done = counted.figures.get(&Subject::Tasks).map_or(0, |figures| figures.done);
                    assert!(done >= last, "it has gone back from {last} to {done}");
                    (seen, last, reads) = (seen.and(now), done, reads + 1);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                reads
            })
        })
        .collect();
    // What somebody computes at the replica beside all that, in one snapshot.
    let analyst = std::thread::spawn({
        let (url, over) = (standby.tcp_url("postgres"), Arc::clone(&over));
        move || {
            let (mut done, mut ended) = (0, Vec::new());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (client, connection) =
                    tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                while !over.load(Ordering::Relaxed) {
                    let sums = "SELECT count(*), sum(done) FROM octollm.usage";
                    let whole = format!(
                        "BEGIN ISOLATION LEVEL REPEATABLE READ; {sums}; SELECT pg_sleep(0.3); {sums}; COMMIT"
                    );
                    match client.batch_execute(&whole).await {
                        Ok(()) => done += 1,
                        Err(error) => {
                            ended.push(format!("{:?}", error.as_db_error()));
                            client.batch_execute("ROLLBACK").await.unwrap();
                        }
                    }
                }
            });
            (done, ended)
        }
    });
    let soak = super::soaks();
    let (began, length) = (Instant::now(), Duration::from_secs(if soak { 60 } else { 5 }));
    let (mut n, mut rolled) = (0, 0);
    while began.elapsed() < length {
        let orders = (n..n + 20).map(|n| fleet.store.accept(samples::order(samples::new(n))));
        assert!(futures_util::future::join_all(orders).await.iter().all(Result::is_ok));
        n += 20;
        for claimed in fleet.store.claim(wanted(20)).await.unwrap().granted {
            fleet.store.decide(vec![complete(claimed.step, claimed.token)]).await.remove(0).unwrap();
        }
        rolled += fleet.store.roll_up(1000).await.unwrap();
        fleet.primary.sql("postgres", "VACUUM octollm.usage_note, octollm.usage_day").unwrap();
    }
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    let (done, ended) = analyst.join().unwrap();
    let answered = fleet.store.replicas().await[0].reads;
    assert!(
        rolled > 0 && done > 0 && answered > 0,
        "nothing is proved: {rolled} {done} {answered} {ended:?}"
    );
    let conflicts =
        "SELECT confl_lock + confl_snapshot FROM pg_stat_database_conflicts WHERE datname = 'postgres'";
    assert_eq!(standby.sql("postgres", conflicts).unwrap(), "0", "{ended:?}");
}

/// A promoted replica is the primary's business, one that follows another primary is nobody's; positions
/// of the old timeline count on the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_followed() {
    let mut fleet = Fleet::start(2).await;
    fleet.store.accept(samples::order(samples::new(0))).await.unwrap();
    let mut seen = fleet.store.reached();
    let urls: Vec<_> = fleet.standbys.iter().map(|standby| standby.tcp_url("postgres")).collect();
    let ports = [fleet.primary.port(), fleet.standbys[0].port()];
    let both = format!("postgresql://octo@127.0.0.1:{},127.0.0.1:{}/postgres", ports[0], ports[1]);
    let store = open(&both, &urls).await;
    fleet.until("both replicas are there", |views| views.iter().all(|view| view.serves)).await;
    fleet.store = store;
    // What the standbys do not have would be lost, and the one that has more could not follow the other.
    let written = || fleet.primary.sql("postgres", "SELECT pg_current_wal_flush_lsn()").ok();
    let has = |standby: &Server| standby.sql("postgres", "SELECT pg_last_wal_receive_lsn()").ok();
    assert!(octollm_testkit::poll_until(PATIENCE, || {
        let written = written();
        written.is_some() && fleet.standbys.iter().all(|standby| has(standby) == written)
    }));
    fleet.primary.kill();
    fleet.standbys[0].promote().unwrap();
    // The other one follows the new primary.
    let follow = format!(
        "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port={} user=octo'",
        fleet.standbys[0].port()
    );
    let second = &fleet.standbys[1];
    for sql in [follow.as_str(), "ALTER SYSTEM SET primary_slot_name = ''", "SELECT pg_reload_conf()"] {
        second.sql("postgres", sql).unwrap();
    }
    let began = Instant::now();
    let mut n = 1;
    while fleet.store.accept(samples::order(samples::new(n))).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "nobody accepts");
        n += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let after = fleet.store.reached();
    assert_eq!((seen.timeline, after.timeline), (1, 2));
    let views = fleet.until("the one that follows serves", |views| views[1].serves).await;
    assert!(!views[0].serves, "it is the primary: {views:?}");
    // Who has seen something of the old timeline is answered by who follows the new one.
    let (began, old) = (Instant::now(), seen);
    let answered = |views: Vec<ReplicaView>| views[1].reads;
    let before = answered(fleet.store.replicas().await);
    while answered(fleet.store.replicas().await) == before {
        assert!(began.elapsed() < PATIENCE, "the one that follows never answers");
        seen = old;
        assert!(fleet.status(0, &mut seen).await.is_some());
    }
    assert_eq!(seen.timeline, 2);
    seen = seen.and(after);
    assert!(fleet.status(n, &mut seen).await.is_some());
}

/// Another database, or a server that follows another primary, is no replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_another_cluster_is_no_replica() {
    let one = Server::start(&[]).unwrap();
    let stranger = Server::start(&[]).unwrap();
    let of_its_own = open(&stranger.tcp_url("postgres"), &[]).await;
    of_its_own.accept(samples::order(samples::new(7))).await.unwrap();
    let standby = stranger.standby("of_stranger").unwrap();
    let store = open(&one.tcp_url("postgres"), &[standby.tcp_url("postgres")]).await;
    for _ in 0..10 {
        let (task, _) = store
            .task_for(Freshness::Since(Seen::NOTHING), samples::id(7), &TenantScope::System)
            .await
            .unwrap();
        assert_eq!(task, None);
        assert!(!store.replicas().await[0].serves);
    }
}

/// A primary that was passed over and lives on, closed to writers: nobody stays with it, not even to read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_stays_with_an_old_primary() {
    let old = Server::start(&[]).unwrap();
    let new = old.standby("next").unwrap();
    let both = format!("postgresql://octo@127.0.0.1:{},127.0.0.1:{}/postgres", old.port(), new.port());
    let store = open(&both, &[]).await;
    store.accept(samples::order(samples::new(0))).await.unwrap();
    let sql = "SELECT count(*) FROM octollm.task";
    assert!(octollm_testkit::poll_until(PATIENCE, || new
        .sql("postgres", sql)
        .is_ok_and(|count| count == "1")));
    new.promote().unwrap();
    let close = ["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"];
    for sql in close {
        old.sql("postgres", sql).unwrap();
    }
    let closed = "SHOW default_transaction_read_only";
    assert!(octollm_testkit::poll_until(PATIENCE, || old.sql("postgres", closed).is_ok_and(|is| is == "on")));
    let (began, mut n) = (Instant::now(), 1);
    while store.accept(samples::order(samples::new(n))).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "nobody accepts");
        n += 1;
    }
    assert_eq!(new.sql("postgres", sql).unwrap(), "2");
    // Those that read and those that claim have not written anything since.
    for _ in 0..3 {
        assert!(store.task(samples::id(n), &TenantScope::System).await.unwrap().is_some());
    }
    assert_eq!(store.claim(wanted(9)).await.unwrap().granted.len(), 2);
}

/// A database that was given the data of one that had failed over (`pg_upgrade`, a dump) shows marks of
/// timelines that it has never been on: nobody takes them for a later primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_of_another_clusters_history_stop_nobody() {
    let database = Database::new();
    let nobody = "postgresql://octo@127.0.0.1:1/postgres";
    let open = async || {
        let (target, replicas) = (database.target(), nobody.parse().unwrap());
        PostgresStore::open_reading(target, replicas, Moments::Database, Arc::new(OsEntropy)).await.unwrap()
    };
    let marks = "SELECT string_agg(number::text, ',' ORDER BY number) FROM octollm.timeline";
    let store = open().await;
    let own = database.sql(marks);
    for n in 0..2 {
        // The first time beside a store that is open, the second time before one is opened.
        database.sql("INSERT INTO octollm.timeline VALUES (7, 0)");
        let store = if n == 0 { &store } else { &open().await };
        let read = store.task_for(Freshness::Latest, samples::id(n), &TenantScope::System).await;
        assert_eq!(read.unwrap().0, None);
        store.accept(samples::order(samples::new(n))).await.unwrap();
        let (task, seen) = store
            .task_for(Freshness::Since(store.reached()), samples::id(n), &TenantScope::System)
            .await
            .unwrap();
        assert!(task.is_some());
        assert!(seen.timeline < 7, "{seen:?}");
        if n == 0 {
            database.sql("DELETE FROM octollm.timeline WHERE number = 7");
        }
    }
    assert_eq!(database.sql(marks), own, "the false ones are gone");
}

/// What the log says of a replica that refuses is the server's own word.
#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words() {
    let nowhere = shared().url("there_is_no_such_database");
    let Err(error) = tokio_postgres::connect(&nowhere, tokio_postgres::NoTls).await else { panic!() };
    let said = Fault::before(error).said();
    assert!(said.contains("database \"there_is_no_such_database\" does not exist"), "{said}");
}

/// A server that names its log in no way that is known is an error, and ends nothing here.
#[tokio::test]
async fn a_timeline_that_cannot_be_read_is_an_error() {
    let database = Database::new();
    let url = shared().url(&database.name);
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    assert!(place::timeline(&client).await.is_ok_and(|timeline| timeline > 0));
    for name in ["'no digits'", "NULL"] {
        let odd = format!(
            "CREATE SCHEMA IF NOT EXISTS odd; SET search_path = odd, pg_catalog;
             CREATE OR REPLACE FUNCTION odd.pg_walfile_name(pg_lsn) RETURNS text LANGUAGE sql AS $$ SELECT {name} $$"
        );
        client.batch_execute(&odd).await.unwrap();
        assert!(place::timeline(&client).await.is_err(), "{name}");
    }
    drop(client);
    connection.await.unwrap().unwrap();
}
