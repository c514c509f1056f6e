//! Two servers over one PostgreSQL database, as processes: what one accepts the other shows, and what
//! one loses the other finishes (P1–P4).

use crate::{
    replicas::plain_http,
    server::{ADMIN, Api, Octo, PATIENCE, wait_until},
};
use octollm_testkit::postgres::{Server, shared};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

const GOAL: &str = "Count the files in /tmp";

fn over(url: &str) -> Octo {
    Octo::start_with(&[], &[("OCTOLLM_DATABASE_URL", url), ("OCTOLLM_LEASE_TTL", "3s")])
}

async fn accepted(api: &Api, key: &str) -> String {
    let began = Instant::now();
    loop {
        match api.post("/api/v1/tasks", &json!({"goal": GOAL}), Some(key)).await {
            Ok((202, answer)) => return answer["task_id"].as_str().expect("an id").to_owned(),
            Ok((503 | 429, _)) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok((status, answer)) => panic!("a valid task was answered {status}: {answer}"),
        }
        assert!(began.elapsed() < Duration::from_secs(60), "nobody accepts");
    }
}

async fn ended(api: &Api, task: &str) -> Value {
    let began = Instant::now();
    loop {
        if let Ok((200, task)) = api.get(&format!("/api/v1/tasks/{task}?wait=10s")).await
            && task["status"].as_str().is_some_and(|s| matches!(s, "completed" | "failed" | "cancelled"))
        {
            return task;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{task} does not end");
    }
}

/// P1: two servers over one database and one folder of artefacts: a file that a step made at one is
/// there at the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_artefacts() {
    let url = shared().url(&shared().database().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let artefacts = folder.path().join("artefacts").display().to_string();
    let variables = [("OCTOLLM_DATABASE_URL", url.as_str()), ("OCTOLLM_ARTEFACTS", &artefacts)];
    let servers = [Octo::start_with(&[], &variables), Octo::start_with(&[], &variables)];
    let key = crate::cancel::key_with_commands(&servers[0], &["touch"]).await;
    for n in 0..4 {
        let api = servers[n % 2].client().with_key(&key);
        let task = api.submit(&json!({"goal": format!("run `touch made{n}.txt`")})).await;
        assert_eq!(ended(&api, &task).await["status"], "completed");
        for server in &servers {
            let path = format!("/api/v1/tasks/{task}/artefacts/made{n}.txt");
            let (status, body) = server.client().with_key(&key).get_text(&path).await.unwrap();
            assert_eq!((status, body.as_str()), (200, ""), "{path}");
        }
    }
}

/// P1, P3, P4: one database, two servers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_one_database() {
    let database = shared().database().unwrap();
    let url = shared().url(&database);
    let (mut one, other) = (over(&url), over(&url));
    assert!(one.log().contains("tasks in postgresql://"), "{}", one.log());
    let (first, second) = (one.client(), other.client());
    let mut tasks = Vec::new();
    for n in 0..20 {
        let (api, twin) = if n % 2 == 0 { (&first, &second) } else { (&second, &first) };
        let task = accepted(api, &format!("key-{n}")).await;
        let (status, _) = twin.get(&format!("/api/v1/tasks/{task}")).await.unwrap();
        assert_eq!(status, 200, "what one has accepted the other shows");
        assert_eq!(accepted(twin, &format!("key-{n}")).await, task);
        tasks.push(task);
    }
    for task in &tasks {
        assert_eq!(ended(&second, task).await["status"], "completed");
    }
    // P4: a refusal says what was seen for it, so that nothing older is read after it, wherever.
    let refused = async |path: &str, body: Value| {
        let mut request = plain_http().post(second.url(path)).bearer_auth(ADMIN);
        if path == "/api/v1/tasks" {
            request = request.header("Idempotency-Key", "key-0");
        }
        let answer = request.json(&body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 409, "{path}");
        assert!(answer.headers().contains_key("octollm-seen"), "{path}: {:?}", answer.headers());
    };
    refused(&format!("/api/v1/tasks/{}/cancel", tasks[0]), Value::Null).await;
    refused(&format!("/api/v1/tasks/{}/input", tasks[0]), json!({"text": "yes"})).await;
    refused("/api/v1/tasks", json!({"goal": "List the files in /tmp"})).await;
    // A server that is killed with its workers leaves its leases to run out; the other goes on.
    let late: Vec<_> = futures_util::future::join_all((20..40).map(|n| {
        let first = first.clone();
        async move { accepted(&first, &format!("key-{n}")).await }
    }))
    .await;
    one.kill_all();
    for task in &late {
        assert_eq!(ended(&second, task).await["status"], "completed");
    }
    // Each end is counted once, before it is summed up and after, by whichever server leads then.
    assert_eq!(completed(&second).await, 40);
    let began = Instant::now();
    while shared().sql(&database, "SELECT count(*) FROM octollm.usage_note").unwrap() != "0" {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody sums up what has ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(completed(&second).await, 40);
}

/// Tasks that were completed, over all days.
async fn completed(api: &Api) -> u64 {
    let (status, usage) = api.get("/api/v1/usage").await.expect("an answer");
    assert_eq!(status, 200, "{usage}");
    let days = usage["days"].as_array().expect("days").iter();
    days.map(|day| day["tasks"]["completed"].as_u64().expect("a number")).sum()
}

/// P1: the database is gone: 503, no lost task; it is back: everything goes on, nobody restarts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_is_told_and_comes_back() {
    let mut server = Server::start(&[]).unwrap();
    let octo = over(&server.url("postgres"));
    let api = octo.client();
    let before = accepted(&api, "before").await;
    server.stop();
    let (status, problem) =
        api.post("/api/v1/tasks", &json!({"goal": GOAL}), Some("meanwhile")).await.unwrap();
    assert_eq!(status, 503, "{problem}");
    server.run().unwrap();
    let meanwhile = accepted(&api, "meanwhile").await;
    for task in [before, meanwhile] {
        assert_eq!(ended(&api, &task).await["status"], "completed");
    }
}

/// Servers that start at once on an empty database make one admin key between them, and no database of
/// their own.
#[test]
fn servers_that_start_at_once_show_one_admin_key() {
    let url = shared().url(&shared().database().unwrap());
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut servers: Vec<Child> = folders
        .iter()
        .map(|folder| {
            Command::new(crate::server::program())
                .args(["serve", "--role", "orchestrator", "--listen", "127.0.0.1:0", "--data"])
                .arg(folder.path())
                .env_clear()
                .env("OCTOLLM_DATABASE_URL", &url)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let (told, heard) = mpsc::channel();
    for server in &mut servers {
        let (told, output) = (told.clone(), BufReader::new(server.stdout.take().unwrap()));
        std::thread::spawn(move || {
            let mut said = String::new();
            // The last line of a start; a server that fails closes its output.
            for line in output.lines().map_while(Result::ok) {
                said.push_str(&format!("{line}\n"));
                if line.starts_with("data folder:") {
                    break;
                }
            }
            told.send(said).unwrap();
        });
    }
    let said: Vec<String> = servers.iter().filter_map(|_| heard.recv_timeout(PATIENCE).ok()).collect();
    for server in &mut servers {
        server.kill().unwrap();
        server.wait().unwrap();
    }
    assert!(said.len() == 3 && said.iter().all(|said| said.contains("data folder:")), "{said:?}");
    let shown = said.iter().filter(|said| said.contains("the first start on this database; its admin key"));
    assert_eq!(shown.count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|said| said.contains("admin key")).count(), 1, "{said:?}");
    for folder in &folders {
        assert!(folder.path().join("owner.lock").exists() && !folder.path().join("tasks.sqlite3").exists());
    }
}

/// What is shown of a database has no password in it.
#[test]
fn a_password_is_shown_nowhere() {
    let url = "postgresql://octo:hunter2@127.0.0.1:1/tasks";
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(crate::server::program())
            .args(arguments)
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("OCTOLLM_ADMIN_KEY", ADMIN)
            .env("OCTOLLM_DATABASE_URL", url)
            .output()
            .unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let shown = run(&["config", "show"]);
    assert!(shown.contains("database_url = postgresql://127.0.0.1:1/tasks"), "{shown}");
    let failed = run(&["db", "migrate"]);
    assert!(failed.contains("cannot be reached"), "{failed}");
    assert!(!shown.contains("hunter2") && !failed.contains("hunter2"), "{shown}{failed}");
}

/// P2: the database is away for longer than a lease, the server and its worker are not: no evidence against the
/// step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_no_crash_of_what_is_under_way() {
    let mut database = Server::start(&[]).unwrap();
    let octo = over(&database.url(&database.database().unwrap()));
    let key = crate::cancel::key_with_commands(&octo, &["sleep"]).await;
    let api = octo.client().with_key(&key);
    let slept = api.submit(&json!({"goal": "run `sleep 6543`"})).await;
    wait_until("the step is being done", || crate::poison::holds(octo.pid(), "6543").then_some(()));
    database.stop();
    let stopped = Instant::now();
    wait_until("the lease has run out", || (stopped.elapsed() > Duration::from_secs(5)).then_some(()));
    database.run().unwrap();
    crate::full_disk::came_back_unblamed(&api, &slept).await;
}
