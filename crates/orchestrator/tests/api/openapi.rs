//! The documents: their routes, scopes and open pages, as text that a reviewer reads.

use crate::harness::{Octo, ask, request};
use octollm_client::wire::{CheckpointReport, FailReport, HeartbeatAsk};
use octollm_contract::Millis;
use octollm_orchestrator::http::Port;
use serde_json::Value;
use std::collections::BTreeSet;

#[tokio::test]
async fn the_documents_list_the_routes_of_each_port_with_their_scopes() {
    let octo = Octo::start().await;
    let public = routes(octo.document(Port::Public).await);
    insta::assert_snapshot!(public.join("\n"), @r"
    get /api/v1/arms arms:read
    get /api/v1/arms/usage arms:read
    get /api/v1/keys keys:manage
    post /api/v1/keys keys:manage
    delete /api/v1/keys/{id} keys:manage
    get /api/v1/scaling/{component} scaling:read
    get /api/v1/tasks tasks:read
    post /api/v1/tasks tasks:write
    get /api/v1/tasks/{id} tasks:read
    get /api/v1/tasks/{id}/artefacts/{path} tasks:read
    post /api/v1/tasks/{id}/cancel tasks:write
    get /api/v1/tasks/{id}/events tasks:read
    post /api/v1/tasks/{id}/input tasks:write
    get /api/v1/usage tasks:read
    get /healthz open
    get /openapi.json open
    get /problems/{slug} open
    get /readyz open
    ");
    let internal = routes(octo.document(Port::Internal).await);
    insta::assert_snapshot!(internal.join("\n"), @r"
    get /healthz open
    post /internal/v1/heartbeat lease
    post /internal/v1/lease lease
    post /internal/v1/leave lease
    post /internal/v1/step/artefacts step
    get /internal/v1/step/artefacts/{hash} step
    post /internal/v1/step/checkpoint step
    post /internal/v1/step/complete step
    post /internal/v1/step/fail step
    post /internal/v1/step/release step
    post /internal/v1/step/think step
    get /metrics metrics:read
    get /openapi.json open
    get /problems/{slug} open
    get /readyz open
    ");
    let both: BTreeSet<String> = public.into_iter().chain(internal).collect();
    let whole = octo.raw(&request("GET", "/openapi.json", None, "", b"")).await.json();
    assert_eq!(whole["openapi"], "3.1.0");
    assert_eq!(routes(whole).into_iter().collect::<BTreeSet<_>>(), both);
    octo.stop().await;
}

/// `method path scope`, by their paths.
fn routes(document: Value) -> Vec<String> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, operations): (&String, &Value)| {
        let one = |(method, operation): (&String, &Value)| {
            let security = &operation["security"][0];
            let scope = security["key"][0].as_str().unwrap_or("open");
            format!("{method} {path} {}", if security["step"].is_array() { "step" } else { scope })
        };
        operations.as_object().unwrap().iter().map(one).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// Whoever writes a worker of another language finds what it has to send: the shape has the fields that are sent.
#[tokio::test]
async fn the_document_shows_what_a_worker_sends() {
    let octo = Octo::start().await;
    let internal = octo.document(Port::Internal).await;
    let token: octollm_access::StepToken = serde_json::from_value("token".into()).unwrap();
    let beat = HeartbeatAsk { worker: "a".parse().unwrap(), tokens: vec![token] };
    let saved = CheckpointReport { state: Value::Null, artefacts: Vec::new() };
    let failed = FailReport { message: String::new(), retryable: true };
    for (path, sent) in [
        ("lease", serde_json::to_value(ask(Millis::ZERO)).unwrap()),
        ("heartbeat", serde_json::to_value(beat).unwrap()),
        ("step/checkpoint", serde_json::to_value(saved).unwrap()),
        ("step/fail", serde_json::to_value(failed).unwrap()),
    ] {
        let body = &internal["paths"][format!("/internal/v1/{path}")]["post"]["requestBody"];
        let name = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
        let shape = &internal["components"]["schemas"][name.rsplit('/').next().unwrap()];
        let shown: BTreeSet<&String> = shape["properties"].as_object().unwrap().keys().collect();
        assert_eq!(shown, sent.as_object().unwrap().keys().collect(), "{path}");
        for (field, value) in sent.as_object().unwrap() {
            let kind = match value {
                Value::Null => continue,
                Value::Bool(_) => "boolean",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            assert_eq!(shape["properties"][field]["type"], kind, "{path}: {field}");
        }
    }
    octo.stop().await;
}

#[tokio::test]
async fn every_kind_of_problem_has_its_page() {
    let octo = Octo::start().await;
    for kind in octollm_contract::ProblemKind::ALL {
        let page = octo.raw(&request("GET", &format!("/problems/{}", kind.slug()), None, "", b"")).await;
        assert_eq!(page.status, 200);
        assert!(String::from_utf8(page.body).unwrap().contains(kind.page()));
    }
    octo.stop().await;
}

#[tokio::test]
async fn metrics_are_exposed_to_operators() {
    let octo = Octo::start().await;
    octo.submit().await;
    let page = octo.raw(&request("GET", "/metrics", Some(&octo.operator.reveal()), "", b"")).await;
    let text = String::from_utf8(page.body).unwrap();
    assert!(text.contains("octollm_task_queue_depth{component=\"executor\"} 1"), "{text}");
    assert!(text.contains("octollm_api_latency_seconds_count{endpoint=\"submit\"} 1"), "{text}");
    octo.stop().await;
}
