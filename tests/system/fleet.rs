//! Orchestrators over one database and arms, each a process of its own that may be killed and started
//! again at its address, in its folder.

use crate::server::{Api, Octo, Stand, alive, children, kill, wait_until};
use rustix::process::Signal;
use serde_json::json;
use std::{
    fs::File,
    process::{Child, Stdio},
    time::Duration,
};

/// How long a lease lasts here: short, so that what a dead arm held goes on soon.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// How long faults go on: so many seconds, or the minutes that were asked for.
pub(crate) fn faults_for(seconds: u64) -> Duration {
    let minutes: u64 = std::env::var("OCTOLLM_TEST_SOAK_MINUTES").map_or(0, |m| m.parse().expect("a number"));
    Duration::from_secs(if minutes > 0 { minutes * 60 } else { seconds })
}

/// A key that can lease, and do nothing else.
pub(crate) async fn arm_key(admin: &Api) -> String {
    let (status, made) =
        admin.post("/api/v1/keys", &json!({ "role": "arm" }), None).await.expect("an answer");
    assert_eq!(status, 201, "{made}");
    made["key"].as_str().expect("a key").to_owned()
}

/// Orchestrators that share a database and a folder of artefacts, and what an arm needs to reach them.
pub(crate) struct Fleet {
    pub(crate) orchestrators: Vec<Octo>,
    addresses: String,
    arm_key: String,
    _artefacts: tempfile::TempDir,
}

impl Fleet {
    /// Orchestrators at these places; each with further variables of its own.
    pub(crate) async fn start(url: &str, places: &[(Stand, &[(&str, &str)])]) -> Self {
        let shared = tempfile::tempdir().expect("a temporary folder");
        let artefacts = shared.path().join("artefacts").display().to_string();
        let lease = format!("{}s", LEASE.as_secs());
        let orchestrators: Vec<Octo> = places
            .iter()
            .map(|(stand, own)| {
                let common = [
                    ("OCTOLLM_DATABASE_URL", url),
                    ("OCTOLLM_LEASE_TTL", &*lease),
                    ("OCTOLLM_ARTEFACTS", &*artefacts),
                ];
                let variables: Vec<_> = common.into_iter().chain(own.iter().copied()).collect();
                Octo::start_at(stand.clone(), &["--role", "orchestrator"], &variables)
            })
            .collect();
        let addresses: Vec<_> = places.iter().map(|(stand, _)| format!("http://{}", stand.address)).collect();
        let arm_key = arm_key(&orchestrators[0].client()).await;
        Fleet { orchestrators, addresses: addresses.join(","), arm_key, _artefacts: shared }
    }

    /// So many on this machine, each at a port that stays its own.
    pub(crate) async fn here(url: &str, count: usize) -> Self {
        let none: &[(&str, &str)] = &[];
        let places: Vec<_> = (0..count).map(|_| (here(), none)).collect();
        Self::start(url, &places).await
    }

    /// The public API at each orchestrator.
    pub(crate) fn clients(&self) -> Vec<Api> {
        self.orchestrators.iter().map(Octo::client).collect()
    }

    /// The public API at each orchestrator, for a key whose tasks may run these programs.
    pub(crate) async fn clients_with(&self, commands: &[&str]) -> Vec<Api> {
        let key = crate::cancel::key_with_commands(&self.orchestrators[0], commands).await;
        self.clients().iter().map(|api| api.with_key(&key)).collect()
    }

    /// An arm on this machine, with so many slots.
    pub(crate) fn arm(&self, role: &str, slots: u32) -> Arm {
        self.arm_at(Stand::here(0), role, &[("OCTOLLM_SLOTS", &slots.to_string())])
    }

    /// An arm at a place of its own, with further variables.
    pub(crate) fn arm_at(&self, stand: Stand, role: &str, variables: &[(&str, &str)]) -> Arm {
        let known = [("OCTOLLM_ARM_KEY", &*self.arm_key), ("OCTOLLM_ORCHESTRATORS", &*self.addresses)];
        let variables: Vec<_> = known.into_iter().chain(variables.iter().copied()).collect();
        Arm::start(stand, role, &variables)
    }
}

/// A place on this machine for a server that comes back to it.
pub(crate) fn here() -> Stand {
    Stand::here(octollm_testkit::lasting_port().expect("a free port"))
}

/// An arm's process, and the folder in which it may be started again.
pub(crate) struct Arm {
    stand: Stand,
    role: String,
    variables: Vec<(String, String)>,
    process: Child,
    folder: tempfile::TempDir,
}

impl Arm {
    pub(crate) fn start(stand: Stand, role: &str, variables: &[(&str, &str)]) -> Self {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (variables, folder) =
            (owned.collect::<Vec<_>>(), tempfile::tempdir().expect("a temporary folder"));
        let process = run(&stand, role, &variables, &folder);
        Arm { stand, role: role.to_owned(), variables, process, folder }
    }

    /// One that the test has started by itself.
    pub(crate) fn adopt(process: Child, folder: tempfile::TempDir) -> Self {
        Arm { stand: Stand::here(0), role: "arm".to_owned(), variables: Vec::new(), process, folder }
    }

    /// Starts it again in its folder: it is dead, or is not waited for any more.
    pub(crate) fn start_again(&mut self) {
        self.process = run(&self.stand, &self.role, &self.variables, &self.folder);
    }

    /// A second process of the same name in the same folder, as a pod that comes before the old one is gone.
    pub(crate) fn twin(&mut self) -> Twin {
        let old =
            std::mem::replace(&mut self.process, run(&self.stand, &self.role, &self.variables, &self.folder));
        Twin(old)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What lies where arms of its data folder work, but for the mark that no tool goes there.
    pub(crate) fn places(&self) -> Vec<String> {
        let all = std::fs::read_dir(self.folder.path().join("data/arms")).expect("its folder").flatten();
        let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name != ".octollm-private").collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// kill -9, of it and of what it runs, as when a pod's machine goes.
    pub(crate) fn kill(&mut self) {
        end(&mut self.process);
    }

    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let process = &mut self.process;
        wait_until("the arm ends", || process.try_wait().expect("a child can be waited for")).code()
    }
}

impl Drop for Arm {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            println!("--- the log of {} {}\n{log}", self.role, self.pid());
        }
    }
}

/// The process that an arm was before.
pub(crate) struct Twin(Child);

impl Drop for Twin {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

fn end(process: &mut Child) {
    let of_steps = children(process.id());
    kill(process.id(), Signal::KILL);
    let _reaped = process.wait();
    // They were told to die with it; a test that goes on must not meet them.
    wait_until("its programs are gone", || of_steps.iter().all(|pid| !alive(*pid)).then_some(()));
}

fn run(stand: &Stand, role: &str, variables: &[(String, String)], folder: &tempfile::TempDir) -> Child {
    let log = File::options().create(true).append(true).open(folder.path().join("log")).expect("a log");
    stand
        .program()
        .args(["serve", "--role", role, "--data"])
        .arg(folder.path().join("data"))
        .envs(variables.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the program starts")
}
