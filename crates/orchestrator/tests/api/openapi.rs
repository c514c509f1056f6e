//! The public document: its routes, scopes and open pages, as text that a reviewer reads.

use crate::harness::{Octo, request};

#[tokio::test]
async fn the_document_lists_every_route_with_its_scope() {
    let octo = Octo::start().await;
    let document = octo.raw(&request("GET", "/openapi.json", None, "", b"")).await.json();
    let mut lines = vec![format!("openapi {}", document["openapi"].as_str().unwrap())];
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let scopes = operation["security"][0]["key"].as_array();
            let scope = scopes.and_then(|s| s[0].as_str()).unwrap_or("open");
            lines.push(format!("{method} {path} {scope}"));
        }
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    openapi 3.1.0
    get /api/v1/arms arms:read
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
    get /healthz open
    get /metrics metrics:read
    get /openapi.json open
    get /problems/{slug} open
    get /readyz open
    ");
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
