//! The program under test, as processes: start, kill, terminate, start again.

use octollm_tls::{Identity, Trust};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, RwLock, mpsc},
    time::{Duration, Instant},
};

/// Nothing that is waited for here may take longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The admin key of every test server.
pub(crate) const ADMIN: &str = "octo_testadmin_0123456789abcdef0123456789abcdef";

/// The program, as `cargo xtask test` built it.
pub(crate) fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("OCTOLLM_TEST_PROGRAM") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    let path = test.parent().and_then(Path::parent).expect("target/<profile>/deps").join("octollm");
    assert!(path.exists(), "{} is not built; run `cargo build -p octollm` first", path.display());
    path
}

/// Where a process runs: the words that start it there, and the address at which it is seen.
#[derive(Clone, Debug)]
pub(crate) struct Stand {
    pub(crate) launcher: Vec<String>,
    pub(crate) address: String,
}

impl Stand {
    /// On this machine, at a port (0: any).
    pub(crate) fn here(port: u16) -> Self {
        Stand { launcher: Vec::new(), address: format!("127.0.0.1:{port}") }
    }

    /// The program, started there, in an environment that holds nothing but a path.
    pub(crate) fn program(&self) -> Command {
        let mut words = self.launcher.iter().map(Into::into).chain([program()]);
        let mut command = Command::new(words.next().expect("there is the program at least"));
        command.args(words).env_clear().env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/bin");
        command
    }
}

/// A data folder and the server on it, which may be killed and started again.
pub(crate) struct Octo {
    stand: Stand,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    process: Option<Child>,
    log: Arc<RwLock<String>>,
    base: Arc<RwLock<String>>,
}

impl Octo {
    /// A server with these further arguments, ready to answer.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// A server with these further arguments and variables.
    pub(crate) fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_at(Stand::here(0), arguments, environment)
    }

    /// A server at a place of its own.
    pub(crate) fn start_at(stand: Stand, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut octo = Octo {
            stand,
            folder: tempfile::tempdir().expect("a temporary folder"),
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            process: None,
            log: Arc::default(),
            base: Arc::default(),
        };
        octo.start_again();
        octo
    }

    /// Changes the environment of the next start.
    pub(crate) fn set_environment(&mut self, environment: &[(&str, &str)]) {
        self.environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    }

    /// Starts the server on the same data folder; panics if it does not answer.
    pub(crate) fn start_again(&mut self) {
        assert!(self.try_start_again(), "the server did not start: {}", self.log());
    }

    /// Starts the server; `false` when it ended before it listened (a failpoint may wish so).
    pub(crate) fn try_start_again(&mut self) -> bool {
        let mut child = self
            .stand
            .program()
            .args(["serve", "--listen", &self.stand.address, "--data"])
            .arg(self.folder.path().join("data"))
            .args(&self.arguments)
            .env("HOME", self.folder.path())
            .env("OCTOLLM_ADMIN_KEY", ADMIN)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("the program starts");
        let (told, listening) = mpsc::channel();
        let out = child.stdout.take().expect("stdout is a pipe");
        let err = child.stderr.take().expect("stderr is a pipe");
        for stream in [Box::new(out) as Box<dyn Read + Send>, Box::new(err)] {
            let (log, told) = (Arc::clone(&self.log), told.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    // A log line may name a model server.
                    if let Some((_, at)) = line.split_once("octollm listens on ") {
                        let url: String = at.chars().take_while(|c| !c.is_whitespace()).collect();
                        let _test_may_have_ended = told.send(url);
                    }
                    let mut log = log.write().expect("nobody panics with the log");
                    log.push_str(&line);
                    log.push('\n');
                }
            });
        }
        drop(told);
        self.process = Some(child);
        match listening.recv_timeout(PATIENCE) {
            Ok(url) => {
                *self.base.write().expect("nobody panics with the base") = url;
                true
            }
            Err(_) => false,
        }
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// Where the server is now; follows restarts.
    pub(crate) fn base(&self) -> Arc<RwLock<String>> {
        Arc::clone(&self.base)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The tests' own folder beside the data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn log(&self) -> String {
        self.log.read().expect("nobody panics with the log").clone()
    }

    /// The worker processes that the server has started.
    pub(crate) fn workers(&self) -> Vec<u32> {
        children(self.pid())
    }

    /// kill -9 of the server and of its workers, at the same moment.
    pub(crate) fn kill_all(&mut self) {
        let workers = self.workers();
        for pid in workers.into_iter().chain([self.pid()]) {
            kill(pid, rustix::process::Signal::KILL);
        }
        self.reap();
    }

    /// kill -9 of the server alone; its workers must end by themselves.
    pub(crate) fn kill_server(&mut self) {
        kill(self.pid(), rustix::process::Signal::KILL);
        self.reap();
    }

    /// Waits for a server that ends by itself; its exit code.
    pub(crate) fn reap(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("the server runs");
        let ended = wait_until("the server ends", || process.try_wait().expect("a child can be waited for"));
        ended.code()
    }

    /// Whether the server has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|p| p.try_wait().is_ok_and(|s| s.is_some()))
    }

    /// SIGTERM; the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        kill(self.pid(), rustix::process::Signal::TERM);
        self.reap()
    }

    pub(crate) fn client(&self) -> Api {
        Api::new(self.base(), ADMIN)
    }
}

impl Drop for Octo {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill_all();
        }
        if std::thread::panicking() {
            println!("--- the server's log\n{}", self.log());
        }
    }
}

pub(crate) fn kill(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _may_be_gone = rustix::process::kill_process(pid, signal);
    }
}

/// The processes whose parent is `pid`.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let parent = |stat: &str| -> Option<u32> { stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok() };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|child| {
            std::fs::read_to_string(format!("/proc/{child}/stat")).ok().as_deref().and_then(parent)
                == Some(pid)
        })
        .collect()
}

pub(crate) fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Polls until there is something; panics after [`PATIENCE`].
pub(crate) fn wait_until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A client of the public API that follows restarts. It is not the project's own client, so
/// that a fault in that one cannot hide a fault in the server.
#[derive(Clone)]
pub(crate) struct Api {
    base: Arc<RwLock<String>>,
    key: String,
    http: reqwest::Client,
}

impl Api {
    pub(crate) fn new(base: Arc<RwLock<String>>, key: &str) -> Self {
        Api { base, key: key.to_owned(), http: http(&Trust::Nobody, None) }
    }

    /// The same over connections of the test's own.
    pub(crate) fn through(self, http: reqwest::Client) -> Self {
        Api { http, ..self }
    }

    pub(crate) fn with_key(&self, key: &str) -> Self {
        Api { key: key.to_owned(), ..self.clone() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base.read().expect("nobody panics with the base"))
    }

    /// Status and body; an error when no whole answer came.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: &Value,
        idempotency: Option<&str>,
    ) -> Result<(u16, Value), reqwest::Error> {
        let mut request = self.http.post(self.url(path)).bearer_auth(&self.key).json(body);
        if let Some(key) = idempotency {
            request = request.header("Idempotency-Key", key);
        }
        answer(request.send().await?).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(u16, Value), reqwest::Error> {
        answer(self.http.get(self.url(path)).bearer_auth(&self.key).send().await?).await
    }

    /// Any request; without a body where it is null.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<reqwest::Response, reqwest::Error> {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, self.url(path)).bearer_auth(&self.key);
        if body.is_null() { request.send().await } else { request.json(body).send().await }
    }

    pub(crate) async fn get_text(&self, path: &str) -> Result<(u16, String), reqwest::Error> {
        let answer = self.http.get(self.url(path)).bearer_auth(&self.key).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Submits a task that must be accepted; its id.
    pub(crate) async fn submit(&self, body: &Value) -> String {
        let (status, answer) = self.post("/api/v1/tasks", body, None).await.expect("an answer");
        assert_eq!(status, 202, "{answer}");
        answer["task_id"].as_str().expect("a task id").to_owned()
    }

    /// The task once it has ended; waits across restarts.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let began = Instant::now();
        loop {
            if let Ok((200, task)) = self.get(&format!("/api/v1/tasks/{id}?wait=2s")).await {
                let status = task["status"].as_str().unwrap_or_default();
                if matches!(status, "completed" | "failed" | "cancelled") {
                    return task;
                }
            } else {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert!(began.elapsed() < 2 * PATIENCE, "{id} has not ended");
        }
    }

    /// The whole history of a task that has ended.
    pub(crate) async fn events(&self, id: &str) -> Vec<Value> {
        let (status, text) =
            self.get_text(&format!("/api/v1/tasks/{id}/events")).await.expect("the stream ends");
        assert_eq!(status, 200, "{text}");
        let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
        data.map(|json| serde_json::from_str(json.trim()).expect("an event is JSON")).collect()
    }
}

/// Connections to servers of `trust`, which are shown `identity`.
pub(crate) fn http(trust: &Trust, identity: Option<&Identity>) -> reqwest::Client {
    let tls = octollm_tls::http_client(trust, identity).expect("somebody to trust");
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(PATIENCE).no_proxy();
    builder.build().expect("a client")
}

async fn answer(response: reqwest::Response) -> Result<(u16, Value), reqwest::Error> {
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}
