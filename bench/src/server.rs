//! The program as it is built, started as its users start it.

use crate::http::Connection;
use anyhow::Context;
use octollm_access::ApiKey;
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

pub(crate) const KEY: &str = "octo_bench_0123456789abcdef0123456789abcdef";

/// A task that is accepted and not begun while a bench runs: what is measured is the accept.
pub(crate) const LATER: &str = r#"{"goal":"Count the files in /tmp","not_before":"2099-01-01T00:00:00Z"}"#;
/// A task that is done at once.
pub(crate) const NOW: &str = r#"{"goal":"Count the files in /tmp"}"#;

pub(crate) struct Server {
    child: Child,
    folder: Option<tempfile::TempDir>,
    pub(crate) address: String,
}

pub(crate) fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.parent().context("target/<profile>")?.join("octollm");
    anyhow::ensure!(program.exists(), "{} is not built; run this by `cargo xtask bench`", program.display());
    Ok(program)
}

impl Server {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// With more variables in its environment.
    pub(crate) fn start_with(environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("octollm-bench-").tempdir_in(".")?;
        let mut child = Command::new(program()?)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .env("OCTOLLM_ADMIN_KEY", KEY)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("stdout is a pipe")?).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("http://").map(|(_, rest)| rest.to_owned()))
            .context("the server says where it listens")?;
        // Keep the pipe open and empty.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(Server { child, folder: Some(folder), address })
    }

    /// A key that can lease.
    pub(crate) fn arm_key(&self) -> anyhow::Result<ApiKey> {
        let body = r#"{"role":"arm"}"#;
        let request = format!(
            "POST /api/v1/keys HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let (status, answer) = Connection::open(&self.address)?.call(request.as_bytes())?;
        anyhow::ensure!(status == 201, "{status}: {answer}");
        let made: serde_json::Value = serde_json::from_str(&answer)?;
        Ok(made["key"].as_str().context("a key")?.parse()?)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server by SIGTERM and keeps its folder.
    pub(crate) fn stop_and_keep(&mut self) -> anyhow::Result<tempfile::TempDir> {
        self.stop();
        self.folder.take().context("a server is stopped once")
    }

    fn stop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _may_be_gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ended = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The database in a data folder.
pub(crate) fn database(data: &Path) -> anyhow::Result<PathBuf> {
    let found = std::fs::read_dir(data)?.flatten().map(|e| e.path());
    found
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "db" || e == "sqlite" || e == "sqlite3"))
        .with_context(|| format!("there is no database in {}", data.display()))
}
