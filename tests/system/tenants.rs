//! Two tenants that do everything at random, with the same keys, sessions and words: nothing of
//! one in what the other is told, nor in what a model is asked for the other (P7).
//!
//! The routes come from the OpenAPI document: one that is new fails the test until it is walked.

use crate::{
    chance::Chance,
    model_server::Sim,
    server::{Api, Octo},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Words that stand in everything that a tenant sends; the other must never see them.
const MARKS: [&str; 2] = ["mark-of-ant", "mark-of-bee"];
const TENANTS: [&str; 2] = ["ant", "bee"];
/// A stream that has nothing more to tell is left after so long.
const LISTENS: Duration = Duration::from_millis(250);

/// A model that says back what it is told: its answers belong to whoever asked.
const ECHO: &str = r#"[[rule]]
name = "echo-answered"
system = 'You plan how a goal is reached'
user = '(?s)ponder.*the client answered: (?<word>[\w-]+)'
[[rule.answer]]
json = '''{"kind": "plan", "result": ["say"], "steps": [
  {"name": "say", "arm": "executor", "summary": "say {{word}}", "instruction": "Say {{word}}."}]}'''

[[rule]]
name = "echo-said"
any = 'Say (?<word>mark-[\w-]+)\.'
[[rule.answer]]
tool_calls = [{ name = "finish", arguments = { result = "it is {{word}}" } }]

[[rule]]
name = "echo-asked"
system = 'You plan how a goal is reached'
user = 'ponder (?<word>mark-[\w-]+)'
[[rule.answer]]
json = '''{"kind": "question", "question": "What of {{word}}?"}'''

[[rule]]"#;

/// One tenant and what it knows.
struct Tenant {
    api: Api,
    mark: &'static str,
    tasks: Vec<String>,
    keys: Vec<String>,
    sent: usize,
}

impl Tenant {
    async fn new(admin: &Api, at: usize) -> Self {
        let ask = json!({ "role": "admin", "tenant": TENANTS[at], "label": MARKS[at] });
        let (status, made) = admin.post("/api/v1/keys", &ask, None).await.expect("an answer");
        assert_eq!(status, 201, "{made}");
        let api = admin.with_key(made["key"].as_str().expect("a key"));
        Tenant { api, mark: MARKS[at], tasks: Vec::new(), keys: Vec::new(), sent: 0 }
    }

    /// A task of one of several kinds; sessions and idempotency keys are those of the other, too.
    async fn submits(&mut self, chance: &mut Chance) -> Value {
        let mark = format!("{}-{}", self.mark, self.sent);
        self.sent += 1;
        let mut body = match chance.below(4) {
            0 => json!({ "goal": "List the files in /tmp" }),
            1 => json!({ "goal": format!("Write a Python function to sort a list. {mark}") }),
            2 => json!({ "goal": "Write a Python function to sort a list", "context": { "note": mark },
                         "constraints": [format!("heed {mark}")] }),
            _ => json!({ "goal": format!("ponder {mark}") }),
        };
        if chance.below(2) == 0 {
            body["session_id"] = json!("the-session");
        }
        let key = format!("key-{}", chance.below(6));
        let key = (chance.below(3) == 0).then_some(key.as_str());
        let (status, answer) = self.api.post("/api/v1/tasks", &body, key).await.expect("an answer");
        assert!(matches!(status, 202 | 409), "{status}: {answer}");
        if let Some(id) = answer["task_id"].as_str().filter(|_| status == 202)
            && !self.tasks.iter().any(|known| known == id)
        {
            self.tasks.push(id.to_owned());
        }
        answer
    }
}

/// What a request was answered with: the status and all text that came.
async fn told(api: &Api, method: &str, path: &str, body: &Value) -> (u16, String) {
    let response = api.send(method, path, body).await.expect("an answer");
    let status = response.status().as_u16();
    let mut text = String::new();
    let mut stream = response.bytes_stream();
    while let Ok(Some(Ok(bytes))) = tokio::time::timeout(LISTENS, stream.next()).await {
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    (status, text)
}

/// P7: random operations of two tenants over every route that there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_one_tenant_is_in_what_another_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sim = Sim::start(&[("[[rule]]", ECHO)], folder.path());
    let octo = Octo::start_with(&[], &[("OCTOLLM_MODEL_URL", &sim.model_url())]);
    let admin = octo.client();
    let mut chance = Chance::for_test("tenants::nothing_of_one_tenant_is_in_what_another_is_told");
    let mut tenants = [Tenant::new(&admin, 0).await, Tenant::new(&admin, 1).await];
    let (_, document) = admin.get("/openapi.json").await.expect("the document");
    let routes: Vec<(String, String)> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, operations)| {
            let methods = operations.as_object().expect("operations").keys();
            methods.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
        })
        .collect();
    let mut walked: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for tenant in &mut tenants {
        for _ in 0..6 {
            tenant.submits(&mut chance).await;
        }
    }
    let minutes: u64 = std::env::var("OCTOLLM_TEST_SOAK_MINUTES").map_or(0, |m| m.parse().expect("a number"));
    for round in 0..(12 + minutes * 200) {
        for (method, path) in &routes {
            let at = chance.below(2) as usize;
            let theirs = chance.below(2) == 0;
            let (status, text) = walk(&mut tenants, at, theirs, method, path, &mut chance).await;
            assert!(
                !text.contains(MARKS[1 - at]),
                "round {round}: {method} {path} tells {}: {text}",
                TENANTS[at]
            );
            if path.starts_with("/internal/") {
                assert!(matches!(status, 401 | 403), "a tenant's key opens {method} {path}: {status} {text}");
                continue;
            }
            if path == "/metrics" || path.starts_with("/api/v1/scaling/") {
                assert_eq!(status, 403, "{method} {path} counts over all tenants: {text}");
                continue;
            }
            let about_one = path.contains("/tasks/{id}") || path.contains("/keys/{id}");
            if about_one && theirs {
                assert_eq!(status, 404, "round {round}: {method} {path} as {}: {text}", TENANTS[at]);
            }
            let count = walked.entry(format!("{method} {path}")).or_default();
            if status < 400 { count.0 += 1 } else { count.1 += 1 }
        }
    }
    // A walk that is only ever refused proves nothing.
    for (route, (answered, refused)) in &walked {
        assert!(*answered > 0, "{route} was refused {refused} times and never answered");
    }
    let mut used = BTreeSet::new();
    for at in 0..2 {
        let tenant = &tenants[at];
        for id in &tenant.tasks {
            let cancel = format!("/api/v1/tasks/{id}/cancel");
            let (_, _) = told(&tenant.api, "POST", &cancel, &json!({})).await;
            let task = tenant.api.ended(id).await;
            let events = tenant.api.events(id).await;
            let all = format!("{task} {events:?}");
            assert!(!all.contains(MARKS[1 - at]), "{all}");
            assert!(used.insert(id.clone()), "{id} is a task of both");
        }
    }
    let mut seen = [0, 0];
    for call in sim.log().await {
        let question = call["question"].as_str().expect("the log keeps questions");
        let of: Vec<usize> = (0..2).filter(|at| question.contains(MARKS[*at])).collect();
        assert!(of.len() <= 1, "a model was asked with words of both tenants: {question}");
        of.into_iter().for_each(|at| seen[at] += 1);
    }
    assert!(seen.iter().all(|calls| *calls > 3), "too little was asked to prove anything: {seen:?}");
}

/// One request of the tenant `at` to a route, about its own things or `theirs`.
async fn walk(
    tenants: &mut [Tenant; 2],
    at: usize,
    theirs: bool,
    method: &str,
    path: &str,
    chance: &mut Chance,
) -> (u16, String) {
    let whose = if theirs { 1 - at } else { at };
    let task = tenants[whose].tasks[chance.below(tenants[whose].tasks.len() as u64) as usize].clone();
    let mark = tenants[at].mark;
    let concrete = path.replace("/tasks/{id}", &format!("/tasks/{task}"));
    let api = tenants[at].api.clone();
    let nothing = Value::Null;
    match (method, path) {
        ("POST", "/api/v1/tasks") => {
            let answer = tenants[at].submits(chance).await;
            (if answer["task_id"].is_string() { 202 } else { 409 }, answer.to_string())
        }
        ("GET", "/api/v1/tasks") => {
            let query = ["", "?limit=3", "?status=completed", "?status=waiting"][chance.below(4) as usize];
            told(&api, method, &format!("{concrete}{query}"), &nothing).await
        }
        ("GET", "/api/v1/tasks/{id}") => {
            let query = ["", "?wait=1s"][chance.below(2) as usize];
            let response = api.get_text(&format!("{concrete}{query}")).await;
            response.expect("an answer")
        }
        ("GET", "/api/v1/tasks/{id}/events") => told(&api, method, &concrete, &nothing).await,
        ("GET", "/api/v1/tasks/{id}/artefacts/{path}") => {
            // One that has files, where there is one.
            let owner = tenants[whose].api.clone();
            let mut path = concrete.replace("{path}", "sort_list.py");
            for id in &tenants[whose].tasks {
                let (_, task) = owner.get(&format!("/api/v1/tasks/{id}")).await.expect("an answer");
                if task["result"]["artefacts"].as_array().is_some_and(|files| !files.is_empty()) {
                    path = format!("/api/v1/tasks/{id}/artefacts/sort_list.py");
                }
            }
            told(&api, method, &path, &nothing).await
        }
        ("POST", "/api/v1/tasks/{id}/input") => {
            // One that waits, where there is one.
            let (_, waiting) =
                tenants[whose].api.get("/api/v1/tasks?status=waiting").await.expect("an answer");
            let waits = waiting["tasks"][0]["task_id"].as_str().map(str::to_owned).unwrap_or(task);
            let path = format!("/api/v1/tasks/{waits}/input");
            told(&api, method, &path, &json!({ "text": format!("{mark}-answer") })).await
        }
        ("POST", "/api/v1/tasks/{id}/cancel") => {
            if theirs {
                return told(&api, method, &concrete, &json!({})).await;
            }
            // The others are to come to something.
            let body = json!({ "goal": format!("ponder {mark}"), "not_before": "2099-01-01T00:00:00Z" });
            let id = api.submit(&body).await;
            tenants[at].tasks.push(id.clone());
            told(&api, method, &format!("/api/v1/tasks/{id}/cancel"), &json!({})).await
        }
        ("GET", "/api/v1/keys") => told(&api, method, path, &nothing).await,
        ("POST", "/api/v1/keys") => {
            let ask = json!({ "role": "user", "label": mark });
            let (status, text) = told(&api, method, path, &ask).await;
            let made: Value = serde_json::from_str(&text).unwrap_or_default();
            tenants[at].keys.extend(made["about"]["id"].as_str().map(str::to_owned));
            (status, text)
        }
        ("DELETE", "/api/v1/keys/{id}") => {
            let known = &tenants[whose].keys;
            let id = known.get(chance.below(known.len().max(1) as u64) as usize).cloned();
            let path = path.replace("{id}", &id.unwrap_or_else(|| "nobody".to_owned()));
            told(&api, method, &path, &nothing).await
        }
        ("GET", "/api/v1/arms" | "/metrics" | "/healthz" | "/readyz" | "/openapi.json") => {
            told(&api, method, path, &nothing).await
        }
        ("GET", "/api/v1/arms/usage") => told(&api, method, path, &nothing).await,
        ("GET", "/api/v1/usage") => {
            let query = if theirs { format!("?tenant={}", TENANTS[whose]) } else { String::new() };
            let (status, text) = told(&api, method, &format!("{path}{query}"), &nothing).await;
            assert_eq!(status, if theirs { 403 } else { 200 }, "{text}");
            let other = format!("\"{}\"", TENANTS[1 - at]);
            assert!(!text.contains(&other), "{} is told of {other}: {text}", TENANTS[at]);
            (status, text)
        }
        ("GET", "/api/v1/scaling/{component}") => {
            told(&api, method, &path.replace("{component}", "executor"), &nothing).await
        }
        // The lease protocol, which is for arms.
        (method, path) if path.starts_with("/internal/") => {
            told(&api, method, &path.replace("{hash}", &"0".repeat(64)), &json!({})).await
        }
        ("GET", "/problems/{slug}") => {
            told(&api, method, &path.replace("{slug}", "not-found"), &nothing).await
        }
        (method, path) => panic!("{method} {path} is new: say here how two tenants walk it"),
    }
}
