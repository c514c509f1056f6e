//! A provider that is away or stands still holds up nobody who does not need it (P9), and whoever
//! waits for it learns why.

use crate::{
    model_server::Sim,
    server::{Api, Octo, PATIENCE, Stand},
};
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

const SORT: &str = "Write a Python function to sort a list";
/// More than a worker has slots, and more than a provider is asked at once.
const WAITING: usize = 40;

/// A port on which nobody listens.
fn dead_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

/// A server that takes every connection and never says a word.
fn stalled() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            open.push(stream);
        }
    });
    address
}

/// Another tenant's client.
async fn neighbour(api: &Api) -> Api {
    let ask = json!({ "role": "user", "tenant": "neighbour", "label": "another tenant" });
    let (status, made) = api.post("/api/v1/keys", &ask, None).await.expect("an answer");
    assert_eq!(status, 201, "{made}");
    api.with_key(made["key"].as_str().expect("a key"))
}

async fn submit_all(api: &Api, body: &Value) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..WAITING {
        ids.push(api.submit(body).await);
    }
    ids
}

/// A task that needs no model is done while all that need one wait.
async fn is_not_held_up(api: &Api, waiting: &[String]) {
    let other = neighbour(api).await;
    for _ in 0..3 {
        let id = other.submit(&json!({ "goal": "List the files in /tmp" })).await;
        let task = other.ended(&id).await;
        assert_eq!(task["status"], "completed", "{task:#}");
    }
    for id in waiting {
        let (_, task) = api.get(&format!("/api/v1/tasks/{id}")).await.expect("an answer");
        assert!(matches!(task["status"].as_str(), Some("queued" | "planning")), "{task:#}");
    }
}

/// Waits until so many steps have been handed back to wait.
async fn handed_back(api: &Api, ids: &[String]) {
    let releases = async || {
        let mut sum = 0;
        for id in ids {
            let (_, task) = api.get(&format!("/api/v1/tasks/{id}")).await.expect("an answer");
            sum += task["steps"][0]["deliveries"]["releases"].as_u64().expect("a count");
        }
        sum
    };
    let all = tokio::time::timeout(PATIENCE, async {
        while releases().await < 16 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    all.await.expect("steps that wait are handed back");
}

/// P9: the provider is away when the server starts; what needs it waits outside the slots, and is
/// done once the provider is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_dead_provider_is_done_when_it_comes_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let address = dead_port();
    let url = format!("http://{address}/v1");
    let octo = Octo::start_with(&[], &[("OCTOLLM_MODEL_URL", &url)]);
    assert!(octo.log().contains("cannot list its models"), "{}", octo.log());
    let api = octo.client();
    assert_eq!(api.get("/readyz").await.expect("an answer").0, 200);
    let ids = submit_all(&api, &json!({ "goal": SORT })).await;
    handed_back(&api, &ids).await;
    is_not_held_up(&api, &ids).await;
    let _sim = Sim::start_at(&Stand::here(address.port()), &[], folder.path());
    for id in &ids {
        let task = api.ended(id).await;
        assert_eq!(task["status"], "completed", "{task:#}");
        let deliveries = &task["steps"][0]["deliveries"];
        assert_eq!((&deliveries["failures"], &deliveries["crashes"]), (&json!(0), &json!(0)), "{task:#}");
    }
}

/// Who waits in vain is told who did not answer, and how.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_vain_fails_with_the_providers_cause() {
    let address = dead_port();
    let url = format!("http://{address}/v1");
    let environment = [("OCTOLLM_MODEL_URL", url.as_str()), ("OCTOLLM_MODEL", "gpt-4o")];
    let octo = Octo::start_with(&[], &environment);
    let api = octo.client();
    let ids = submit_all(&api, &json!({ "goal": SORT, "budget": { "max_time_seconds": 6 } })).await;
    for id in &ids {
        let task = api.ended(id).await;
        assert_eq!(task["status"], "failed", "{task:#}");
        let message = task["error"]["message"].as_str().expect("a message");
        let names = ["provider default", &address.to_string(), "onnection refused"];
        assert!(names.iter().all(|name| message.contains(name)), "{message}");
        assert_eq!(task["usage"]["tokens"], 0, "{task:#}");
    }
}

/// P9: a provider that takes every question and answers none holds no slot either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_stands_still_holds_up_nobody_else() {
    let url = format!("http://{}/v1", stalled());
    let environment = [("OCTOLLM_MODEL_URL", url.as_str()), ("OCTOLLM_MODEL", "gpt-4o")];
    let octo = Octo::start_with(&[], &environment);
    let api = octo.client();
    let ids = submit_all(&api, &json!({ "goal": SORT })).await;
    is_not_held_up(&api, &ids).await;
    for id in &ids {
        let (status, answer) =
            api.post(&format!("/api/v1/tasks/{id}/cancel"), &json!({}), None).await.expect("an answer");
        assert!((200..300).contains(&status), "{status} {answer}");
    }
    for id in &ids {
        assert_eq!(api.ended(id).await["status"], "cancelled");
    }
}
