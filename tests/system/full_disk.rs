//! A data folder whose disk is full: accepts are refused, nothing is half done, and when there is
//! space again the server goes on by itself.

use crate::{
    poison::holds,
    server::{Api, Octo, PATIENCE, wait_until},
};
use serde_json::json;
use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

/// A small disk over a folder, for as long as this lives.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Nothing where this process may not mount one.
    pub(crate) fn over(folder: PathBuf) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m,mode=700", "tmpfs"])
            .arg(&folder)
            .output();
        mount.is_ok_and(|output| output.status.success()).then_some(SmallDisk(folder))
    }

    /// Fills the disk to the last byte; the file that does.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).expect("a file");
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server may still run there.
        let _best_effort = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// P1, P3: a refused accept has stored nothing, its key is free, and what was accepted ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_accepts_until_there_is_space() {
    let mut octo = Octo::start(&[]);
    octo.terminate();
    let Some(disk) = SmallDisk::over(octo.data()) else {
        println!("not tried: mounting a small disk takes root");
        return;
    };
    octo.start_again();
    let api = octo.client();
    let goal = json!({"goal": "List the files in /tmp"});
    let first = api.submit(&goal).await;
    api.ended(&first).await;
    let filler = disk.fill();
    // What SQLite has in its files already may take a few more.
    let mut accepted = vec![first];
    let mut refused = None;
    for n in 0..200 {
        let (status, answer) =
            api.post("/api/v1/tasks", &goal, Some(&format!("full-{n}"))).await.expect("an answer");
        match status {
            202 => accepted.push(answer["task_id"].as_str().expect("an id").to_owned()),
            _ => {
                assert_eq!(
                    (status, answer["type"].as_str()),
                    (503, Some("/problems/unavailable")),
                    "{answer}"
                );
                refused = Some(n);
                break;
            }
        }
    }
    let refused = refused.expect("a full disk refuses in the end");
    let (status, ready) = api.get_text("/readyz").await.expect("an answer");
    assert!(status == 503 && ready.contains("the store's disk is full"), "{status}: {ready}");
    let (_, page) = api.get("/api/v1/tasks?limit=200").await.expect("reads go on");
    assert_eq!(page["tasks"].as_array().map(Vec::len), Some(accepted.len()), "nothing is half done");
    fs::remove_file(filler).expect("a file");
    let (status, ready) = api.get_text("/readyz").await.expect("an answer");
    assert_eq!((status, ready.as_str()), (200, "ready\n"), "nobody has written since");
    let key = format!("full-{refused}");
    let began = Instant::now();
    let again = loop {
        match api.post("/api/v1/tasks", &goal, Some(&key)).await.expect("an answer") {
            (202, answer) => break answer["task_id"].as_str().expect("an id").to_owned(),
            (status, answer) => {
                assert!(began.elapsed() < PATIENCE, "there is space, and still {status}: {answer}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    accepted.push(again);
    for id in accepted {
        assert_eq!(api.ended(&id).await["status"], "completed", "{id}");
    }
    assert_eq!(octo.terminate(), Some(0));
}

/// P2: a worker lives and beats; what it says cannot be written for longer than its lease. That is no evidence
/// against its step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_no_crash_of_what_is_under_way() {
    let mut octo = Octo::start_with(&[], &[("OCTOLLM_LEASE_TTL", "3s")]);
    octo.terminate();
    let Some(disk) = SmallDisk::over(octo.data()) else {
        println!("not tried: mounting a small disk takes root");
        return;
    };
    octo.start_again();
    let key = crate::cancel::key_with_commands(&octo, &["sleep"]).await;
    let api = octo.client().with_key(&key);
    let slept = api.submit(&json!({"goal": "run `sleep 7654`"})).await;
    wait_until("the step is being done", || holds(octo.pid(), "7654").then_some(()));
    let filler = disk.fill();
    let (goal, began) = (json!({"goal": "List the files in /tmp"}), Instant::now());
    // Beats go into what SQLite has in its files already; accepts use that up.
    while !octo.log().contains("a sweep failed") {
        let _accepted_or_not = api.post("/api/v1/tasks", &goal, None).await.expect("an answer");
        assert!(began.elapsed() < PATIENCE, "the lease is still renewed: {}", octo.log());
    }
    fs::remove_file(filler).expect("a file");
    came_back_unblamed(&api, &slept).await;
}

/// The step of the task was handed back at least once, and nothing else.
pub(crate) async fn came_back_unblamed(api: &Api, task: &str) {
    let began = Instant::now();
    loop {
        let (_, view) = api.get(&format!("/api/v1/tasks/{task}")).await.expect("an answer");
        let deliveries = &view["steps"][0]["deliveries"];
        assert_eq!(deliveries["crashes"], 0, "{view:#}");
        if deliveries["releases"].as_u64() > Some(0) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "its lease does not end: {view:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
