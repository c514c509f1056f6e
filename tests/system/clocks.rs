//! Clocks that are an hour off, and arms that come back under their name: leases go by the database's
//! clock and by who holds them, whatever a machine believes the time or its own name to be (P1, P2).

use crate::{
    checker,
    fleet::{Arm, Fleet, here},
    roles::leased,
    server::{Api, Stand},
};
use octollm_testkit::postgres::shared;
use serde_json::{Value, json};
use std::{path::PathBuf, time::SystemTime};

const HOUR: i64 = 3600;

/// Where Debian's libfaketime is.
fn faketime() -> Option<String> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let libraries = folders.chain([PathBuf::from("/usr/lib")]);
    let found =
        libraries.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())?;
    Some(found.display().to_string())
}

/// How many seconds a server's clock is ahead of this test's: it dates its answers.
async fn ahead(api: &Api) -> i64 {
    let answer = api.send("GET", "/healthz", &Value::Null).await.expect("an answer");
    let date = answer.headers()["date"].to_str().expect("visible ASCII").to_owned();
    let seconds = std::process::Command::new("date").args(["-d", &date, "+%s"]).output().expect("date runs");
    let theirs: i64 = String::from_utf8_lossy(&seconds.stdout).trim().parse().expect("seconds");
    let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_secs();
    theirs - i64::try_from(ours).expect("seconds fit")
}

async fn checked(api: &Api, id: &str) -> Value {
    let task = tokio::time::timeout(crate::server::PATIENCE, api.ended(id)).await.expect("it ends in time");
    let faults = checker::faults(&task, &api.events(id).await);
    assert!(faults.is_empty() && task["status"] == "completed", "{faults:#?} {task:#}");
    task
}

fn deliveries(task: &Value) -> (u64, u64) {
    let of = |name: &str| task["steps"][0]["deliveries"][name].as_u64().expect("a number");
    (of("attempts"), of("crashes"))
}

/// P1, P2: one orchestrator and one arm are an hour ahead, the others an hour behind: no lease ends while
/// its arm lives, and each ends when its arm is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_are_an_hour_off_end_no_lease_early_and_none_late() {
    let Some(library) = faketime() else {
        println!("not tried: libfaketime is not here (apt-get install faketime)");
        return;
    };
    let shifted = |by: &'static str| {
        // What waits is to wait as long as ever: the steady clock stays as it is.
        [("LD_PRELOAD", library.as_str()), ("FAKETIME", by), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]
    };
    let (early, late) = (shifted("-3600"), shifted("+3600"));
    let url = shared().url(&shared().database().expect("a database"));
    let fleet = Fleet::start(&url, &[(here(), &early[..]), (here(), &late[..])]).await;
    let clients = fleet.clients_with(&["sleep"]).await;
    let off = [ahead(&clients[0]).await, ahead(&clients[1]).await];
    assert!(off[0] < 600 - HOUR && off[1] > HOUR - 600, "the clocks are not off: {off:?}");
    let mut arms =
        [&early, &late].map(|clock| fleet.arm_at(Stand::here(0), "arm:executor", clock.as_slice()));
    // Longer than a lease.
    let mut long = Vec::new();
    for n in 0..8 {
        long.push(clients[n % 2].submit(&json!({ "goal": "run `sleep 4`" })).await);
    }
    for id in &long {
        assert_eq!(deliveries(&checked(&clients[0], id).await), (1, 0), "its lease ended early");
    }
    // Dead arms' leases end all the same.
    loses_its_arms(&clients[0], &mut arms).await;
}

/// Kills the arms while one of them does a step, starts them again, and sees the step end with one crash.
async fn loses_its_arms(api: &Api, arms: &mut [Arm]) {
    for _ in 0..10 {
        let id = api.submit(&json!({ "goal": "run `sleep 2`" })).await;
        leased(api, &id).await;
        arms.iter_mut().for_each(Arm::kill);
        arms.iter_mut().for_each(Arm::start_again);
        match deliveries(&checked(api, &id).await) {
            // A slow machine killed them too late.
            (1, 0) => {}
            (2, 1) => return,
            other => panic!("{id} has had {other:?} attempts and crashes"),
        }
    }
    panic!("no step could be caught at work");
}

/// P1, P2: an arm's process beside an older one of the same name and folder takes nothing from it, and one
/// that follows a killed one waits until that one's leases are over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arm_that_comes_back_under_its_name_takes_over_nothing_and_loses_nothing() {
    let url = shared().url(&shared().database().expect("a database"));
    let fleet = Fleet::here(&url, 1).await;
    let api = fleet.clients_with(&["sleep"]).await.remove(0);
    let mut arm = fleet.arm("arm:executor", 1);
    let of_the_old = api.submit(&json!({ "goal": "run `sleep 5`" })).await;
    leased(&api, &of_the_old).await;
    let old = arm.twin();
    // The old one's only slot is taken: the new one does it.
    let of_the_new = api.submit(&json!({ "goal": "run `sleep 0`" })).await;
    assert_eq!(deliveries(&checked(&api, &of_the_new).await), (1, 0));
    assert_eq!(deliveries(&checked(&api, &of_the_old).await), (1, 0), "its namesake has cost it a lease");
    drop(old);
    loses_its_arms(&api, std::slice::from_mut(&mut arm)).await;
    assert_eq!(arm.places().len(), 2, "one arm's folder, and its lock");
}
