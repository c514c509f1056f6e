//! The documents: their routes, scopes and open pages, as text that a reviewer reads.

use crate::harness::{Octo, ask, request};
use octollm_client::PROTOCOL_VERSION;
use octollm_client::wire::{
    CheckpointReport, EDITION_HEADER, FailReport, HeartbeatAsk, KeyAsk, PROTOCOL_HEADER,
};
use octollm_contract::{
    KeyId, Millis, TaskId, TenantId,
    api::{StructuredCriterion, SubmitTask},
};
use octollm_orchestrator::http::Port;
use octollm_yardstick::{Allowance, Yardstick};
use serde_json::{Value, json};
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

/// Whoever writes a worker of another language finds the headers that are asked for, and what comes back.
#[tokio::test]
async fn the_document_of_the_internal_port_is_enough_to_call_it() {
    let octo = Octo::start().await;
    let internal = octo.document(Port::Internal).await;
    let paths = internal["paths"].as_object().unwrap();
    for (path, operations) in paths.iter().filter(|(path, _)| path.starts_with("/internal/")) {
        for operation in operations.as_object().unwrap().values() {
            let headers: Vec<(&Value, &Value)> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "header")
                .map(|parameter| (&parameter["name"], &parameter["required"]))
                .collect();
            let (protocol, edition) = (json!(PROTOCOL_HEADER), json!(EDITION_HEADER));
            let mut wanted = vec![(&protocol, &Value::Bool(true))];
            wanted.extend(path.ends_with("/lease").then_some((&edition, &Value::Bool(false))));
            assert_eq!(headers, wanted, "{path}");
            let Some(content) = operation["responses"].get("200").map(|ok| &ok["content"]) else { continue };
            let shapes: Vec<&Value> =
                content.as_object().unwrap().values().map(|kind| &kind["schema"]).collect();
            assert!(shapes.len() == 1 && shapes[0].is_object(), "{path}: {content}");
        }
    }
    let put =
        &paths["/internal/v1/step/artefacts"]["post"]["requestBody"]["content"]["application/octet-stream"];
    assert_eq!(put["schema"]["type"], "string");
    assert_eq!(internal["components"]["schemas"]["LeaseAsk"]["properties"]["most"]["maximum"], u16::MAX);
    octo.stop().await;
}

#[tokio::test]
async fn every_route_that_takes_a_key_or_a_token_says_how_it_refuses_and_fails() {
    let octo = Octo::start().await;
    let whole = octo.document(Port::Whole).await;
    for (path, operations) in whole["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let guarded = ["key", "step"].iter().any(|scheme| operation["security"][0][scheme].is_array());
            for status in ["4XX", "5XX"].iter().filter(|_| guarded) {
                let response = &operation["responses"][status];
                let shape = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(shape, "#/components/schemas/Problem", "{method} {path} {status}");
                assert_ne!(response["description"], "", "{method} {path} {status}");
            }
        }
    }
    octo.stop().await;
}

#[tokio::test]
async fn every_reference_of_a_document_leads_to_something() {
    fn look(part: &Value, whole: &Value) {
        match part {
            Value::Object(members) => {
                if let Some(to) = members.get("$ref").and_then(Value::as_str) {
                    assert!(whole.pointer(to.trim_start_matches('#')).is_some(), "{to}");
                }
                members.values().for_each(|member| look(member, whole));
            }
            Value::Array(items) => items.iter().for_each(|item| look(item, whole)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let octo = Octo::start().await;
    for port in [Port::Public, Port::Internal, Port::Whole] {
        let document = octo.document(port).await;
        look(&document, &document);
    }
    octo.stop().await;
}

/// P8: what the document takes is what the server reads, and the other way round.
#[tokio::test]
async fn a_body_fits_the_document_if_it_is_read() {
    fn reads<T: serde::de::DeserializeOwned>(value: &Value) -> bool {
        serde_json::from_value::<T>(value.clone()).is_ok()
    }
    let octo = Octo::start().await;
    let public = octo.document(Port::Public).await;
    let fits = |name: &str, value: &Value| {
        let schema = json!({
            "$ref": format!("#/components/schemas/{name}"), "components": public["components"],
        });
        let criterion = StructuredCriterion::JsonSchema { schema };
        match Allowance::default().yardstick(&criterion).unwrap() {
            Yardstick::JsonSchema(schema) => schema.check(value).is_ok(),
            other => panic!("{other:?}"),
        }
    };
    let task = |field: &str, value: Value| json!({"goal": "a", field: value});
    for (value, taken) in [
        (task("budget", json!({"max_cost_usd": 0.5})), true),
        (task("budget", json!({"max_cost_usd": "0.5"})), true),
        (task("budget", json!({"max_cost_usd": true})), false),
        (task("acceptance_criteria", json!([{"type": "exit_code", "equals": 0}, "is polite"])), true),
        (task("acceptance_criteria", json!([{"type": "exit_code", "equals": 0, "more": 1}])), false),
        (task("more", json!(1)), false),
    ] {
        assert_eq!((fits("SubmitTask", &value), reads::<SubmitTask>(&value)), (taken, taken), "{value}");
    }
    for (value, taken) in [
        (json!({"role": "arm", "scopes": ["lease", "lease"]}), true),
        (json!({"role": "arm", "tenant": "team-a"}), true),
        (json!({"role": "arm", "tenant": "Team A"}), false),
    ] {
        assert_eq!((fits("KeyAsk", &value), reads::<KeyAsk>(&value)), (taken, taken), "{value}");
    }
    for text in
        ["task_0197d1e8-7c1a-7000-8000-00000000002a", "task_0197D1E8-7c1a-7000-8000-00000000002a", "a", ""]
    {
        let value = json!(text);
        assert_eq!(fits("TaskId", &value), reads::<TaskId>(&value), "{text:?}");
        assert_eq!(fits("TenantId", &value), reads::<TenantId>(&value), "{text:?}");
        assert_eq!(fits("KeyId", &value), reads::<KeyId>(&value), "{text:?}");
    }
    octo.stop().await;
}

/// Both bodies of a release that mean no wait, and none that is not an object: it is read as every other.
#[tokio::test]
async fn a_release_is_read_as_its_document_says() {
    let octo = Octo::start().await;
    octo.submit().await;
    let release = |body: &[u8], token: &str| {
        let headers = format!("{PROTOCOL_HEADER}: {PROTOCOL_VERSION}\r\nContent-Type: application/json\r\n");
        request("POST", "/internal/v1/step/release", Some(token), &headers, body)
    };
    let token = |grant: octollm_client::Grant| {
        serde_json::to_value(grant.token).unwrap().as_str().unwrap().to_owned()
    };
    let held = token(octo.lease().await);
    for (body, field, told) in [
        ("[]", "body", "an object is wanted, not an array"),
        (r#""x""#, "body", "an object is wanted, not the text"),
        (r#"{"wait":"x"}"#, "wait", "an object is wanted, not the text"),
        (r#"{"more":1}"#, "more", "unknown field"),
    ] {
        let refused = octo.raw(&release(body.as_bytes(), &held)).await;
        assert_eq!((refused.status, refused.field().as_str()), (400, field), "{body}");
        let detail = refused.json()["detail"].clone();
        assert!(detail.as_str().unwrap().starts_with(told), "{body}: {detail}");
    }
    let mut held = Some(held);
    for body in ["null", "", "{}"] {
        let held = match held.take() {
            Some(held) => held,
            None => token(octo.lease().await),
        };
        assert_eq!(octo.raw(&release(body.as_bytes(), &held)).await.status, 204, "{body}");
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
