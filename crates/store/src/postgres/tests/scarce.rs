//! A server that has run out of something: refused while it lasts, over when it ends, nothing lost (P1, P9).

use super::{
    complete,
    faults::{SOON, keyed, open, until_accepted},
    wanted,
};
use crate::{
    AcceptError, Accepted, StoreError, TaskReads, Tasks,
    postgres::{CONNECTIONS, Target},
};
use octollm_access::TenantScope;
use octollm_testkit::postgres::Server;
use std::{fs, time::Instant};
use tokio_postgres::{Client, NoTls};

/// The answer that the HTTP layer makes a 503 with `Retry-After`, for what changed nothing.
fn is_unreachable(answer: &Result<Accepted, AcceptError>) -> bool {
    matches!(answer, Err(AcceptError::Store(StoreError::Unreachable(_))))
}

/// Takes every connection that is left.
async fn take_the_rest(target: &Target, taken: &mut Vec<Client>) {
    while let Ok((client, connection)) = target.host(0, "others").connect(NoTls).await {
        tokio::spawn(connection);
        taken.push(client);
    }
}

/// P1: others have taken every connection and the store has lost its own: accepts are refused and have
/// stored nothing; when there is room again the store goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_others_exhaust_are_told_and_recovered_from() {
    let most = format!("max_connections = {}", CONNECTIONS + 8);
    let server = Server::start(&[&most, "max_wal_senders = 0"]).unwrap();
    let store = open(&server.url("postgres")).await;
    until_accepted(&store, &keyed(1)).await;
    let (target, mut others): (Target, _) = (server.url("postgres").parse().unwrap(), Vec::new());
    take_the_rest(&target, &mut others).await;
    let began = Instant::now();
    loop {
        let ours = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'octollm %'";
        let count: i64 = others[0].query_one(ours, &[]).await.unwrap().get(0);
        if count == 0 {
            break;
        }
        assert!(began.elapsed() < SOON, "the store has {count} connections");
        take_the_rest(&target, &mut others).await;
    }
    let refused = store.accept(keyed(2)).await;
    assert!(is_unreachable(&refused), "{refused:?}");
    assert!(store.claim(wanted(1)).await.is_err());
    assert!(store.sweep(1, None).await.is_err());
    assert!(store.open_tasks().await.is_err());
    let tasks: i64 = others[0].query_one("SELECT count(*) FROM octollm.task", &[]).await.unwrap().get(0);
    assert_eq!(tasks, 1, "a refused accept has stored nothing");
    drop(others);
    assert!(!until_accepted(&store, &keyed(2)).await.replayed, "its key was free");
    let claimed = store.claim(wanted(5)).await.unwrap().granted;
    assert_eq!(claimed.len(), 2);
    let ends = claimed.iter().map(|claimed| complete(claimed.step, claimed.token)).collect();
    assert!(store.decide(ends).await.iter().all(Result::is_ok));
    assert!(store.sweep(10, None).await.is_ok());
    assert_eq!(store.open_tasks().await.unwrap(), 0);
}

/// P1, P3: the database's disk is full: accepts are refused and have stored nothing, reads go on; when
/// there is space again everything goes on, and what was accepted ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_the_database_refuses_accepts_until_there_is_space() {
    // A server of its own: what a full disk does to its housekeeping is no other test's business.
    let server = Server::start(&[]).unwrap();
    let Some(disk) = server.on_a_small_disk(40).unwrap() else {
        println!("not tried: mounting a small disk takes root");
        return;
    };
    let store = open(&server.url(&disk.database)).await;
    let mut accepted = vec![until_accepted(&store, &keyed(0)).await.task];
    let filler = disk.fill().unwrap();
    // What is free in the files that are there still takes some.
    let mut refused = None;
    for n in 1..2000 {
        match store.accept(keyed(n)).await {
            Ok(answer) => accepted.push(answer.task),
            Err(error) => {
                assert!(is_unreachable(&Err(error)));
                refused = Some(n);
                break;
            }
        }
    }
    let refused = refused.expect("a full disk refuses in the end");
    assert!(!store.is_full(), "no server over the database would be ready, and none would answer reads");
    for task in &accepted {
        assert!(store.task(*task, &TenantScope::System).await.unwrap().is_some(), "{task} was accepted");
    }
    assert_eq!(store.open_tasks().await.unwrap(), accepted.len() as u64, "nothing is half done");
    fs::remove_file(filler).unwrap();
    let again = until_accepted(&store, &keyed(refused)).await;
    assert!(!again.replayed, "its key was free");
    accepted.push(again.task);
    let mut ended = 0;
    while ended < accepted.len() {
        let claimed = store.claim(wanted(256)).await.unwrap().granted;
        assert!(!claimed.is_empty(), "{ended} of {} ended", accepted.len());
        let ends = claimed.iter().map(|claimed| complete(claimed.step, claimed.token)).collect();
        let answers = store.decide(ends).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        ended += answers.len();
    }
    assert_eq!(store.open_tasks().await.unwrap(), 0);
}
