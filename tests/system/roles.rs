//! Arms as processes of their own, over the network: what an orchestrator's death, an arm's death and
//! an arm that comes back too late do to the steps (P1, P2).

use crate::{
    fleet::{Arm, arm_key},
    server::{ADMIN, Api, Octo, Stand, program, wait_until},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

/// An orchestrator with a port for arms, and a key for them.
struct Parts {
    octo: Octo,
    internal: String,
    arm_key: String,
}

impl Parts {
    async fn start() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let internal = free.local_addr().expect("it is bound").to_string();
        drop(free);
        let arguments = ["--role", "orchestrator", "--internal-listen", &internal];
        let octo = Octo::start_with(&arguments, &[("OCTOLLM_LEASE_TTL", "3s")]);
        let arm_key = arm_key(&octo.client()).await;
        Parts { octo, internal: format!("http://{internal}"), arm_key }
    }

    fn arm(&self, role: &str) -> Arm {
        // The first of them is nobody.
        let orchestrators = format!("http://127.0.0.1:9,{}", self.internal);
        let variables = [("OCTOLLM_ARM_KEY", &*self.arm_key), ("OCTOLLM_ORCHESTRATORS", &orchestrators)];
        Arm::start(Stand::here(0), role, &variables)
    }

    /// A client whose tasks may run `sleep`.
    async fn sleeper(&self) -> Api {
        let key = crate::cancel::key_with_commands(&self.octo, &["sleep"]).await;
        self.octo.client().with_key(&key)
    }
}

async fn task_when(api: &Api, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let began = std::time::Instant::now();
    loop {
        let (status, task) = api.get(&format!("/api/v1/tasks/{id}")).await.expect("an answer");
        assert_eq!(status, 200, "{task}");
        if holds(&task) {
            return task;
        }
        assert!(began.elapsed() < crate::server::PATIENCE, "in vain until {what}: {task:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn leased(api: &Api, id: &str) {
    task_when(api, id, "the step is leased", |task| task["steps"][0]["status"] == "leased").await;
}

/// P1, P2: the orchestrator dies while an arm works. The arm goes on, and its report is taken by the
/// orchestrator that follows, under the lease and the token that the first one gave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_outlives_the_orchestrator_that_leased_it() {
    let mut parts = Parts::start().await;
    let mut arms = [parts.arm("arm:executor"), parts.arm("arm:judge")];
    let api = parts.sleeper().await;
    let body = json!({
        "goal": "run `sleep 2`",
        "acceptance_criteria": [{ "type": "exit_code", "equals": 0 }],
    });
    let id = api.submit(&body).await;
    leased(&api, &id).await;
    parts.octo.kill_server();
    parts.octo.start_again();
    let task = api.ended(&id).await;
    assert_eq!(task["status"], "completed", "{task:#}");
    for step in task["steps"].as_array().expect("steps") {
        let deliveries = &step["deliveries"];
        assert_eq!((&deliveries["attempts"], &deliveries["crashes"]), (&json!(1), &json!(0)), "{task:#}");
    }
    assert_eq!(parts.octo.terminate(), Some(0));
    for arm in &mut arms {
        arm.signal(Signal::TERM);
        assert_eq!(arm.exit_code(), Some(0));
        assert_eq!(arm.places(), [""; 0], "an arm that was told to go leaves nothing");
    }
}

/// P2: an arm is stopped past its lease, another finishes the step, the first goes on: what it reports
/// changes nothing. And an arm that is killed costs its step one crash, no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_arm_reports_after_its_lease_changes_nothing() {
    let parts = Parts::start().await;
    let frozen = parts.arm("arm:executor");
    let api = parts.sleeper().await;
    let id = api.submit(&json!({ "goal": "run `sleep 1`" })).await;
    leased(&api, &id).await;
    frozen.signal(Signal::STOP);
    let killed = parts.arm("arm:executor");
    task_when(&api, &id, "another has the step", |task| {
        task["steps"][0]["deliveries"]["attempts"] == 2 && task["steps"][0]["status"] == "leased"
    })
    .await;
    killed.signal(Signal::KILL);
    let third = parts.arm("arm:executor");
    let task = api.ended(&id).await;
    assert_eq!(task["status"], "completed", "{task:#}");
    assert_eq!(task["steps"][0]["deliveries"]["crashes"], 2, "{task:#}");
    let history = api.events(&id).await;
    frozen.signal(Signal::CONT);
    // Whoever was frozen beats, hears that its leases are lost, and asks for work: it does some.
    third.signal(Signal::KILL);
    let next = api.submit(&json!({ "goal": "run `sleep 0`" })).await;
    assert_eq!(api.ended(&next).await["status"], "completed");
    assert_eq!(api.events(&id).await, history, "the ended task tells nothing new");
    let (_, again) = api.get(&format!("/api/v1/tasks/{id}")).await.expect("an answer");
    assert_eq!(again, task);
}

/// P7: each port has its own routes and no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ports_are_apart() {
    let parts = Parts::start().await;
    let internal = Api::new(std::sync::Arc::new(std::sync::RwLock::new(parts.internal.clone())), ADMIN);
    let public = parts.octo.client();
    let ask = json!({ "worker": "w", "arms": ["executor"], "most": 1, "wait": 0 });
    for (api, path, wanted) in [
        (&public, "/internal/v1/lease", 404),
        (&internal, "/internal/v1/lease", 403),
        (&public, "/api/v1/tasks", 400),
        (&internal, "/api/v1/tasks", 404),
    ] {
        assert_eq!(api.post(path, &ask, None).await.expect("an answer").0, wanted, "{path}");
    }
    assert_eq!(public.get("/metrics").await.expect("an answer").0, 404);
    assert_eq!(internal.get_text("/metrics").await.expect("an answer").0, 200);
}

/// P8: what an arm lacks is said, with the setting to make.
#[test]
fn an_arm_without_its_settings_says_what_it_needs() {
    let run = |variables: &[(&str, &str)], role: &str| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(program());
        command.args(["serve", "--role", role, "--data"]).arg(folder.path()).env_clear();
        let out = command.envs(variables.iter().copied()).output().expect("the program runs");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let key = ("OCTOLLM_ARM_KEY", "octo_a_0123456789abcdef0123456789abcdef");
    let at = ("OCTOLLM_ORCHESTRATORS", "http://127.0.0.1:9");
    for (variables, role, said) in [
        (vec![key], "arm:executor", "OCTOLLM_ORCHESTRATORS"),
        (vec![at], "arm:executor", "OCTOLLM_ARM_KEY"),
        (vec![key, at], "arm:guardian", "\"guardian\" is not one of planner, executor, coder, judge"),
        (vec![key, at], "arm:boss", "\"boss\" is not one of"),
        (vec![key, ("OCTOLLM_ORCHESTRATORS", "10.0.0.1:8412")], "arm:executor", "orchestrators"),
    ] {
        let (code, stderr) = run(&variables, role);
        assert!(code == Some(2) && stderr.contains(said), "{variables:?} {role}: {code:?} {stderr}");
    }
}

/// Who runs an arm that reaches no orchestrator finds out why; and an arm whose log nobody reads any more goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arm_without_an_orchestrator_says_so_and_outlives_its_log() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", nobody.local_addr().expect("it is bound"));
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    let _answers_nobody = std::thread::spawn(move || {
        for connection in nobody.incoming() {
            drop(connection);
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut process = Command::new(program())
        .args(["serve", "--role", "arm:executor", "--data"])
        .arg(folder.path())
        .env_clear()
        .env("OCTOLLM_ARM_KEY", ADMIN)
        .env("OCTOLLM_ORCHESTRATORS", &address)
        .env("OCTOLLM_LOG", "octollm_arms=debug")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let log = process.stderr.take().expect("it is piped");
    let mut arm = Arm::adopt(process, folder);
    let told = tokio::task::spawn_blocking(move || {
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(log)).map_while(Result::ok);
        lines.find(|line| line.contains("no orchestrator can be reached"))
    });
    let told = told.await.expect("it reads").expect("the arm says so before its log ends");
    assert!(told.contains(&address) && told.contains("OCTOLLM_ORCHESTRATORS"), "{told}");
    // The reader is gone; each try from now on writes a line that nobody takes.
    let tries = asked.load(std::sync::atomic::Ordering::Relaxed);
    wait_until("two tries more", || {
        (asked.load(std::sync::atomic::Ordering::Relaxed) >= tries + 3).then_some(())
    });
    arm.signal(Signal::TERM);
    assert_eq!(arm.exit_code(), Some(0), "it drains, and did not die of its log");
}
