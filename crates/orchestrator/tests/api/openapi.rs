//! The documents: their routes, scopes and open pages, as text that a reviewer reads.

use crate::harness::{Octo, request};
use octollm_orchestrator::http::Port;
use serde_json::Value;

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
    let both: std::collections::BTreeSet<String> = public.into_iter().chain(internal).collect();
    let whole = octo.raw(&request("GET", "/openapi.json", None, "", b"")).await.json();
    assert_eq!(whole["openapi"], "3.1.0");
    assert_eq!(routes(whole).into_iter().collect::<std::collections::BTreeSet<_>>(), both);
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
