//! Lists, reads and submit-to-completed beside 100,000 finished tasks, against none.

use crate::{
    figures::Sample,
    http::{Connection, get, submit},
    idle,
    server::{NOW, Server},
};
use anyhow::Context;
use std::time::Instant;

const FINISHED: usize = 100_000;
const CALLS: usize = 1000;

pub(crate) fn run() -> anyhow::Result<()> {
    let server = Server::start()?;
    idle::finish(&server, 200, 0)?;
    let before = measure(&server, "before")?;
    idle::finish(&server, FINISHED, 1)?;
    let after = measure(&server, "after")?;
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        let ratio = after.at(500).as_secs_f64() / before.at(500).as_secs_f64();
        println!(
            "{name}: with 200 finished {}; with {FINISHED} {}; P50 ratio {ratio:.2}",
            before.line(),
            after.line()
        );
    }
    Ok(())
}

fn measure(server: &Server, when: &str) -> anyhow::Result<Vec<(&'static str, Sample)>> {
    let mut connection = Connection::open(&server.address)?;
    let mut listed = Vec::new();
    let mut read = Vec::new();
    let mut done = Vec::new();
    for call in 0..CALLS {
        let began = Instant::now();
        let (status, body) = connection.call(&get("/api/v1/tasks?limit=50"))?;
        listed.push(began.elapsed());
        anyhow::ensure!(status == 200, "{status}: {body}");
        let page: serde_json::Value = serde_json::from_str(&body)?;
        let id = page["tasks"][49]["task_id"].as_str().context("fifty tasks")?.to_owned();
        let began = Instant::now();
        let (status, body) = connection.call(&get(&format!("/api/v1/tasks/{id}")))?;
        read.push(began.elapsed());
        anyhow::ensure!(status == 200, "{status}: {body}");
        if call % 5 == 0 {
            let began = Instant::now();
            let (_, body) = connection.call(&submit(NOW, &format!("bench-grown-{when}-{call}")))?;
            let task: serde_json::Value = serde_json::from_str(&body)?;
            let id = task["task_id"].as_str().context("a task id")?;
            let (_, body) = connection.call(&get(&format!("/api/v1/tasks/{id}?wait=10s")))?;
            anyhow::ensure!(body.contains("\"completed\""), "{body}");
            done.push(began.elapsed());
        }
    }
    Ok(vec![
        ("list of 50", Sample::of(listed)),
        ("read", Sample::of(read)),
        ("submit, claim, complete", Sample::of(done)),
    ])
}
