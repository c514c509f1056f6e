//! What planner and coder cost beside their model: a goal that is planned and coded against the simulated
//! model with no delays. Each step's time is that between its events, less that of its calls.

use crate::{
    figures::Sample,
    http::{self, Connection},
    server::{self, Server},
};
use anyhow::Context;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const TASKS: usize = 100;
/// Without a program that may be run the coder writes two files and is done: no room is opened.
const GOAL: &str = r#"{"goal":"Write a Python function to sort a list"}"#;
const SCRIPT: &str = include_str!("../../crates/llm/src/sim/default.toml");

/// The simulated model, without delays.
struct Sim {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Sim {
    fn start() -> anyhow::Result<Self> {
        let slow = "first_token_ms = { fixed = 20 }\ntokens_per_second = { fixed = 2000 }";
        anyhow::ensure!(SCRIPT.contains(slow), "the built-in script has other delays");
        let fast = "first_token_ms = { fixed = 0 }\ntokens_per_second = { fixed = 1000000 }";
        let folder = tempfile::Builder::new().prefix("octollm-bench-").tempdir_in(".")?;
        let script = folder.path().join("script.toml");
        std::fs::write(&script, SCRIPT.replace(slow, fast))?;
        let mut child = Command::new(server::program()?)
            .args(["llm-sim", "--listen", "127.0.0.1:0", "--script"])
            .arg(script)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("stdout is a pipe")?).lines();
        let line = lines.next().context("it says where it listens")??;
        let url = line[line.find("http://").context("an address")?..].trim().to_owned();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(Sim { child, url, _folder: folder })
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        let _may_be_gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    let sim = Sim::start()?;
    let server = Server::start_with(&[("OCTOLLM_MODEL_URL", &sim.url)])?;
    let mut connection = Connection::open(&server.address)?;
    let (mut whole, mut planner, mut coder, mut model) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for n in 0..TASKS {
        let began = Instant::now();
        let (status, body) = connection.call(&http::submit(GOAL, &format!("thinking-{n}")))?;
        anyhow::ensure!(status == 202, "{status}: {body}");
        let accepted: Value = serde_json::from_str(&body)?;
        let path = format!("/api/v1/tasks/{}", accepted["task_id"].as_str().context("an id")?);
        let (_, body) = connection.call(&http::get(&format!("{path}?wait=30s")))?;
        let took = began.elapsed();
        let task: Value = serde_json::from_str(&body)?;
        anyhow::ensure!(task["status"] == "completed", "{task:#}");
        let mut of_calls = Duration::ZERO;
        for step in task["steps"].as_array().context("steps")? {
            let provenance = &step["provenance"];
            let calls = provenance["calls"].as_array().context("calls")?;
            let asked: u64 = calls.iter().filter_map(|call| call["took_ms"].as_u64()).sum();
            of_calls += Duration::from_millis(asked);
            let between = at(&provenance["finished"])?.saturating_sub(at(&provenance["started"])?);
            let own = between.saturating_sub(Duration::from_millis(asked));
            match step["arm"].as_str() {
                Some("planner") => planner.push(own),
                Some("coder") => coder.push(own),
                other => anyhow::bail!("a step of {other:?}"),
            }
        }
        model.push(of_calls);
        whole.push(took.saturating_sub(of_calls));
    }
    println!("submit to completed, less the model calls: {}", Sample::of(whole).line());
    println!("planner's step, one question, less its call:  {}", Sample::of(planner).line());
    println!("coder's step, two questions, two files:       {}", Sample::of(coder).line());
    println!("all three model calls:                        {}", Sample::of(model).line());
    Ok(())
}

/// A moment of RFC 3339 in UTC, within its day.
fn at(moment: &Value) -> anyhow::Result<Duration> {
    let text = moment.as_str().context("a moment")?;
    let time = text.split_once('T').context("a time of day")?.1.trim_end_matches('Z');
    let mut parts = time.split(':');
    let mut next = || parts.next().context("hours, minutes, seconds");
    let (hours, minutes, seconds): (u64, u64, f64) = (next()?.parse()?, next()?.parse()?, next()?.parse()?);
    Ok(Duration::from_secs(hours * 3600 + minutes * 60) + Duration::from_secs_f64(seconds))
}
