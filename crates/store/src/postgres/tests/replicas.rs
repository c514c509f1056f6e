//! Reads from replicas: what a client sees when they are behind, busy, gone or another server.

use super::{complete, wanted};
use crate::{
    Freshness, OsEntropy, ReplicaView, Seen, TaskReads, Tasks,
    postgres::{Moments, PostgresStore, ReplicaTargets},
    samples,
};
use octollm_access::TenantScope;
use octollm_contract::api::TaskStatus;
use octollm_testkit::postgres::Server;
use std::{
    sync::Arc,
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

    async fn reads(&self) -> Vec<u64> {
        self.store.replicas().await.iter().map(|view| view.reads).collect()
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
    let views = fleet.until("it is out", |views| !views[0].serves && views[1].serves).await;
    assert!(views[0].lag.is_some_and(|lag| lag > Duration::from_secs(1)), "{views:?}");
    assert!(views[1].reads > 0, "{views:?}");
    fleet.standbys[0].sql("postgres", "SELECT pg_wal_replay_resume()").unwrap();
    let views = fleet.until("it is back", |views| views.iter().all(|view| view.serves)).await;
    assert!(views.iter().all(|view| view.lag == Some(Duration::ZERO)), "{views:?}");
    let before = fleet.reads().await;
    for _ in 0..20 {
        fleet.status(0, &mut Seen::NOTHING.clone()).await;
    }
    let after = fleet.reads().await;
    assert!(after[0] > before[0] && after[1] > before[1], "both answer: {before:?} {after:?}");
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
    let before = fleet.reads().await;
    fleet.status(0, &mut Seen::NOTHING.clone()).await;
    assert!(fleet.reads().await > before);
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
    let shows = |standby: &Server| {
        standby.sql("postgres", "SELECT count(*) FROM octollm.task").is_ok_and(|n| n == "1")
    };
    for standby in &fleet.standbys {
        assert!(octollm_testkit::poll_until(PATIENCE, || shows(standby)));
    }
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
    let before = fleet.reads().await;
    assert!(fleet.status(0, &mut seen).await.is_some());
    assert!(fleet.reads().await[1] > before[1]);
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
