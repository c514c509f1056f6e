//! The simulated model server as a process: the witness of what was asked and what was paid.

use crate::server::{Stand, kill};
use octollm_tls::Trust;
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
};

/// `octollm llm-sim`, which keeps what it was asked.
pub(crate) struct Sim {
    process: Child,
    base: String,
}

impl Sim {
    /// With the built-in script, `changed` in the places of its first text.
    pub(crate) fn start(changed: &[(&str, &str)], folder: &Path) -> Self {
        Sim::start_at(&Stand::here(0), changed, folder)
    }

    /// The same, at a place of its own.
    pub(crate) fn start_at(stand: &Stand, changed: &[(&str, &str)], folder: &Path) -> Self {
        let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/llm/src/sim/default.toml");
        let mut script = std::fs::read_to_string(built_in).expect("the built-in script");
        for (from, to) in changed {
            assert!(script.contains(from), "{from} is not in the script");
            script = script.replacen(from, to, 1);
        }
        let path = folder.join("script.toml");
        std::fs::write(&path, script).expect("the script is written");
        let mut process = stand
            .program()
            .args(["llm-sim", "--listen", &stand.address, "--log-questions", "--script"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(process.stdout.take().expect("stdout is a pipe")).lines();
        let line = lines.next().expect("it says where it listens").expect("a line");
        // Keep the pipe open and empty.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let at = line.find("http://").expect("an address");
        Sim { process, base: line[at..].trim_end_matches("/v1").to_owned() }
    }

    pub(crate) fn model_url(&self) -> String {
        format!("{}/v1", self.base)
    }

    /// Every call so far.
    pub(crate) async fn log(&self) -> Vec<Value> {
        let answer = crate::server::http(&Trust::Nobody, None)
            .get(format!("{}/log", self.base))
            .send()
            .await
            .expect("the simulator answers");
        let log: Value = answer.json().await.expect("its log is JSON");
        log["calls"].as_array().expect("calls").clone()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        kill(self.process.id(), rustix::process::Signal::KILL);
        let _gone = self.process.wait();
    }
}

/// The receipts of a task's model calls.
pub(crate) fn receipts(task: &Value) -> Vec<Value> {
    let steps = task["steps"].as_array().expect("steps");
    steps.iter().filter_map(|step| step["provenance"]["calls"].as_array()).flatten().cloned().collect()
}

/// Tokens of a receipt or of a call in the log.
pub(crate) fn tokens(usage: &Value) -> u64 {
    let of = |name: &str| usage[name].as_u64().unwrap_or_default();
    of("input") + of("output") + of("cache_read") + of("cache_write")
}
