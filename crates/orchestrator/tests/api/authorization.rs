//! Every route of the OpenAPI document and of the lease protocol, with every kind of key (P7).

use crate::harness::{Octo, request};
use octollm_access::Scope;
use serde_json::Value;
use std::collections::BTreeSet;

/// Routes of the lease protocol, which the public document leaves out, and whether an arm's key
/// opens them.
const INTERNAL: &[(&str, &str, bool)] = &[
    ("post", "/internal/v1/lease", true),
    ("post", "/internal/v1/heartbeat", true),
    ("post", "/internal/v1/step/checkpoint", false),
    ("post", "/internal/v1/step/complete", false),
    ("post", "/internal/v1/step/fail", false),
    ("post", "/internal/v1/step/release", false),
    ("post", "/internal/v1/step/artefacts", false),
    (
        "get",
        "/internal/v1/step/artefacts/0000000000000000000000000000000000000000000000000000000000000000",
        false,
    ),
];
/// What everyone may read.
const OPEN: &[&str] = &["/healthz", "/readyz", "/openapi.json", "/problems/{slug}"];

#[tokio::test]
async fn every_route_opens_to_its_scope_and_to_nothing_else() {
    let octo = Octo::start().await;
    let document = octo.raw(&request("GET", "/openapi.json", None, "", b"")).await.json();
    let task = octo.submit().await.to_string();
    let mut visited = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            visited.insert(path.as_str());
            let concrete = path
                .replace("/keys/{id}", "/keys/nobody")
                .replace("{id}", &task)
                .replace("{component}", "executor")
                .replace("{slug}", "not-found")
                .replace("{path}", "a");
            assert!(!concrete.contains('{'), "the walk does not know how to fill {path}");
            check(&octo, method, &concrete, scope(operation, path)).await;
        }
    }
    assert!(visited.len() >= 12, "{visited:?}");
    for (method, path, by_arm) in INTERNAL {
        check_internal(&octo, method, path, *by_arm).await;
    }
    octo.stop().await;
}

fn scope(operation: &Value, path: &str) -> Option<Scope> {
    let named = operation["security"].as_array().into_iter().flatten();
    let scopes: Vec<&Value> = named.filter_map(|s| s["key"].as_array()).flatten().collect();
    match scopes.as_slice() {
        [] => {
            assert!(OPEN.contains(&path), "{path} names no scope");
            None
        }
        [scope] => Some(scope.as_str().unwrap().parse().unwrap()),
        several => panic!("{path}: {several:?}"),
    }
}

/// The status with each kind of key. A key with the scope gets past the door, whatever it finds.
async fn check(octo: &Octo, method: &str, path: &str, scope: Option<Scope>) {
    let body = b"{}";
    let call = async |key: Option<String>| {
        let method = method.to_ascii_uppercase();
        octo.call(&method, path, key.as_deref(), body).await.status
    };
    let malformed = Some("octo_x_y".to_owned());
    let forged = Some(format!("octo_{}_{}", octo.admin.id(), "0".repeat(64)));
    let Some(scope) = scope else {
        assert_eq!(call(None).await, 200, "{method} {path}");
        return;
    };
    for key in [None, malformed, forged, Some(octo.revoked.reveal())] {
        assert_eq!(call(key).await, 401, "{method} {path}");
    }
    for (key, role) in [
        (&octo.admin, octollm_access::Role::Admin),
        (&octo.user, octollm_access::Role::User),
        (&octo.operator, octollm_access::Role::Operator),
        (&octo.arm, octollm_access::Role::Arm),
    ] {
        let status = call(Some(key.reveal())).await;
        let may = role.scopes().contains(&scope);
        assert!(status != 401 && (status == 403) != may, "{method} {path} as {role}: {status}");
    }
    if path.contains("task_") {
        assert_eq!(call(Some(octo.stranger.reveal())).await, stranger_gets(method, path), "{method} {path}");
    }
}

/// Another tenant's task looks like none (P7); a body that is not valid is refused before.
fn stranger_gets(method: &str, path: &str) -> u16 {
    if method == "post" && path.ends_with("/input") { 400 } else { 404 }
}

async fn check_internal(octo: &Octo, method: &str, path: &str, by_arm: bool) {
    let method = method.to_ascii_uppercase();
    for key in [&octo.admin, &octo.user, &octo.operator, &octo.stranger, &octo.revoked] {
        let status = octo.call(&method, path, Some(&key.reveal()), b"{}").await.status;
        assert!(matches!(status, 401 | 403), "{method} {path}: {status}");
    }
    assert_eq!(octo.call(&method, path, None, b"{}").await.status, 401, "{method} {path}");
    let status = octo.call(&method, path, Some(&octo.arm.reveal()), b"{}").await.status;
    assert_eq!(status, if by_arm { 400 } else { 401 }, "{method} {path} with an arm's key");
}

/// P7: another tenant's task is not seen, not steered, and looks like one that never was.
#[tokio::test]
async fn another_tenants_task_looks_like_none() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let (key, never) = (octo.stranger.reveal(), "task_00000000-0000-7000-8000-000000000000");
    for (method, rest, body) in [
        ("GET", "", ""),
        ("GET", "/events", ""),
        ("GET", "/artefacts/a", ""),
        ("POST", "/cancel", ""),
        ("POST", "/input", r#"{"approve":true}"#),
    ] {
        let of = async |id: &str| {
            octo.call(method, &format!("/api/v1/tasks/{id}{rest}"), Some(&key), body.as_bytes()).await
        };
        let (theirs, none) = (of(&task.to_string()).await, of(never).await);
        assert_eq!((theirs.status, theirs.json()), (404, none.json()), "{method} {rest}");
    }
    assert_eq!(octo.client(&octo.stranger).list(None, false, None, None).await.unwrap().tasks, []);
    octo.stop().await;
}
