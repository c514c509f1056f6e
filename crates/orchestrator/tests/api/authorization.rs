//! Every route of the OpenAPI documents, with every kind of key (P7).

use crate::harness::{Octo, request};
use octollm_access::{KeyRecord, Policy, Role, Scope, SigningKey, StepClaims};
use octollm_client::{Leases as _, PROTOCOL_VERSION, wire::PROTOCOL_HEADER};
use octollm_orchestrator::{Caller, NewKey};
use serde_json::{Value, json};
use std::collections::BTreeSet;

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
                .replace("{path}", "a")
                .replace("{hash}", &"0".repeat(64));
            assert!(!concrete.contains('{'), "the walk does not know how to fill {path}");
            match scope(operation, path) {
                Opens::Everyone => check_open(&octo, method, &concrete).await,
                Opens::Key(scope) => check(&octo, method, &concrete, scope).await,
                Opens::StepToken => check_step(&octo, method, &concrete).await,
            }
        }
    }
    assert!(visited.len() >= 24, "{visited:?}");
    octo.stop().await;
}

/// What an operation says that it is opened by.
enum Opens {
    Everyone,
    Key(Scope),
    StepToken,
}

fn scope(operation: &Value, path: &str) -> Opens {
    let named: Vec<&Value> = operation["security"].as_array().into_iter().flatten().collect();
    if named.iter().any(|s| s["step"].is_array()) {
        assert_eq!(named.len(), 1, "{path}");
        return Opens::StepToken;
    }
    let scopes: Vec<&Value> = named.iter().filter_map(|s| s["key"].as_array()).flatten().collect();
    match scopes.as_slice() {
        [] => {
            assert!(OPEN.contains(&path), "{path} names no scope");
            Opens::Everyone
        }
        [scope] => Opens::Key(scope.as_str().unwrap().parse().unwrap()),
        several => panic!("{path}: {several:?}"),
    }
}

async fn check_open(octo: &Octo, method: &str, path: &str) {
    let method = method.to_ascii_uppercase();
    assert_eq!(octo.call(&method, path, None, b"{}").await.status, 200, "{method} {path}");
}

/// The status with each kind of key. A key with the scope gets past the door, whatever it finds.
async fn check(octo: &Octo, method: &str, path: &str, scope: Scope) {
    let body = b"{}";
    let call = async |key: Option<String>| {
        let method = method.to_ascii_uppercase();
        octo.call(&method, path, key.as_deref(), body).await.status
    };
    let malformed = Some("octo_x_y".to_owned());
    let forged = Some(format!("octo_{}_{}", octo.admin.id(), "0".repeat(64)));
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

/// No key opens what a step's token opens; nor does a token that was tampered with, that another key
/// signed, or whose lease is over (P2, P7).
async fn check_step(octo: &Octo, method: &str, path: &str) {
    let method = method.to_ascii_uppercase();
    let headers = format!(
        "{PROTOCOL_HEADER}: {PROTOCOL_VERSION}\r\nContent-Type: {}\r\n",
        if path.ends_with("/artefacts") { "application/octet-stream" } else { "application/json" }
    );
    let body = match path.rsplit('/').next().unwrap() {
        "checkpoint" => json!({ "state": {} }),
        "complete" => json!({ "output": { "text": "late" } }),
        "fail" => json!({ "message": "late", "retryable": false }),
        "think" => json!({ "number": 1, "ask": { "messages": [], "max_output_tokens": 1 } }),
        _ => json!({}),
    };
    let body = body.to_string();
    let call = async |secret: Option<&str>| {
        octo.raw(&request(&method, path, secret, &headers, body.as_bytes())).await
    };
    for key in [&octo.admin, &octo.user, &octo.operator, &octo.arm, &octo.stranger, &octo.revoked] {
        assert_eq!(call(Some(&key.reveal())).await.status, 401, "{method} {path}");
    }
    assert_eq!(call(None).await.status, 401, "{method} {path}");
    octo.submit().await;
    let grant = octo.lease().await;
    let token = grant.token;
    let (signed, signature) = token.reveal().rsplit_once('.').unwrap();
    let mut other = signature.to_owned();
    other.replace_range(..1, if other.starts_with('A') { "B" } else { "A" });
    assert_eq!(call(Some(&format!("{signed}.{other}"))).await.status, 401, "{method} {path}");
    let claims = StepClaims {
        step: grant.step,
        lease: octollm_contract::LeaseToken::from_bytes([0; 16]),
        expires: grant.expires_at,
    };
    let strange = SigningKey::from_seed([7; 32]).sign(&claims);
    assert_eq!(call(Some(strange.reveal())).await.status, 401, "{method} {path}");
    octo.leases().fail(&token, "enough".into(), false).await.unwrap();
    let counted = async || {
        let page = octo.raw(&request("GET", "/metrics", Some(&octo.operator.reveal()), "", b"")).await;
        let text = String::from_utf8(page.body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("octollm_lease_writes_refused_total "));
        line.and_then(|count| count.parse::<u64>().ok()).expect("a count")
    };
    let before = counted().await;
    let over = call(Some(token.reveal())).await;
    assert_eq!((over.status, over.kind().as_str()), (409, "lease-lost"), "{method} {path} after its lease");
    assert_eq!(counted().await, before + 1, "{method} {path}: each is counted");
}

/// P7: what is counted over all tenants is shown to no key of another tenant than the operator's own, also
/// not to one that was stored with the scope for it; and none is made that says it had it.
#[tokio::test]
async fn what_is_counted_over_all_tenants_is_shown_to_no_tenant() {
    let octo = Octo::start().await;
    let new = NewKey {
        role: Role::Operator,
        tenant: Some("elsewhere".parse().unwrap()),
        scopes: None,
        policy: None,
        label: String::new(),
    };
    let made = octo.app.create_key(&Caller::local(Policy::default()), new).await.unwrap();
    assert_eq!(made.record.scopes, [Scope::ArmsRead].into());
    let before = KeyRecord { scopes: Role::Operator.scopes(), ..made.record };
    assert_eq!(Caller::from(&before).scopes, [Scope::ArmsRead].into());
    for path in ["/metrics", "/api/v1/scaling/executor"] {
        for (key, status) in
            [(&octo.stranger, 403), (&made.key, 403), (&octo.operator, 200), (&octo.admin, 200)]
        {
            assert_eq!(octo.call("GET", path, Some(&key.reveal()), b"").await.status, status, "{path}");
        }
    }
    let body = br#"{"role":"operator","tenant":"elsewhere","scopes":["metrics:read"]}"#;
    let reply = octo.call("POST", "/api/v1/keys", Some(&octo.admin.reveal()), body).await;
    assert_eq!((reply.status, reply.field().as_str()), (400, "scopes"), "{reply:?}");
    octo.stop().await;
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
        ("POST", "/input", r#"{"text":"yes"}"#),
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
