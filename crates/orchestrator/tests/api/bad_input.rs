//! P8: bad input gets a problem that names the field, nothing is stored, and the server goes on.

use crate::harness::{Octo, request};
use serde_json::json;

#[tokio::test]
async fn bad_input_is_refused_with_its_field_and_nothing_is_stored() {
    let octo = Octo::start().await;
    let key = octo.user.reveal();
    let goal = "List the files in /tmp directory";
    let with = |field: &str, value: serde_json::Value| {
        let mut body = json!({ "goal": goal });
        let mut at = &mut body;
        for part in field.split('.') {
            at = &mut at[part];
        }
        *at = value;
        body.to_string().into_bytes()
    };
    let deep = format!("{{\"goal\":\"a\",\"context\":{}", "[".repeat(20_000));
    let huge = format!("{{\"goal\":\"{}\"}}", "a".repeat(10 << 20));
    let cases: Vec<(&str, Vec<u8>, u16, &str, &str)> = vec![
        ("empty", b"".to_vec(), 400, "invalid-request", "body"),
        ("not JSON", b"goal".to_vec(), 400, "invalid-request", "body"),
        ("cut off", b"{\"goal\":\"a".to_vec(), 400, "invalid-request", "goal"),
        ("10 MB", huge.into_bytes(), 413, "too-large", "body"),
        ("not UTF-8", b"{\"goal\":\"\xff\xfe\"}".to_vec(), 400, "invalid-request", "body"),
        ("U+0000", br#"{"goal":"a\u0000b"}"#.to_vec(), 400, "invalid-request", "goal"),
        ("deep", deep.into_bytes(), 400, "invalid-request", "context[0][0]"),
        ("twice", br#"{"goal":"a","goal":"b"}"#.to_vec(), 400, "invalid-request", "goal"),
        ("no goal", b"{}".to_vec(), 400, "invalid-request", "goal"),
        ("blank goal", with("goal", json!(" \n ")), 400, "invalid-request", "goal"),
        ("long goal", with("goal", json!("a".repeat(20_001))), 400, "invalid-request", "goal"),
        ("bell", with("goal", json!("list \u{7} /tmp")), 400, "invalid-request", "goal"),
        ("unknown field", with("gaol", json!(1)), 400, "invalid-request", "gaol"),
        ("unknown enum", with("priority", json!("urgent")), 400, "invalid-request", "priority"),
        ("wrong type", with("goal", json!(7)), 400, "invalid-request", "goal"),
        (
            "1e400",
            br#"{"goal":"a","budget":{"max_retries":1e400}}"#.to_vec(),
            400,
            "invalid-request",
            "budget.max_retries",
        ),
        (
            "2^63",
            br#"{"goal":"a","budget":{"max_retries":9223372036854775808}}"#.to_vec(),
            400,
            "invalid-request",
            "budget.max_retries",
        ),
        ("retries", with("budget.max_retries", json!(21)), 400, "invalid-request", "budget.max_retries"),
        (
            "time",
            with("budget.max_time_seconds", json!(0)),
            400,
            "invalid-request",
            "budget.max_time_seconds",
        ),
        (
            "time",
            with("budget.max_time_seconds", json!(604_801)),
            400,
            "invalid-request",
            "budget.max_time_seconds",
        ),
        ("past", with("deadline", json!("2020-01-01T00:00:00Z")), 400, "invalid-request", "deadline"),
        ("no time", with("deadline", json!("soon")), 400, "invalid-request", "deadline"),
        ("money", with("budget.max_cost_usd", json!("1.00")), 422, "not-honoured", "budget.max_cost_usd"),
        ("tokens", with("budget.max_tokens", json!(10)), 422, "not-honoured", "budget.max_tokens"),
        ("session", with("session_id", json!("s")), 422, "not-honoured", "session_id"),
        ("constraints", with("constraints", json!(["be nice"])), 422, "not-honoured", "constraints"),
        (
            "blank constraint",
            with("constraints", json!(["a", " "])),
            400,
            "invalid-request",
            "constraints[1]",
        ),
        ("half a pair", br#"{"goal":"\ud800"}"#.to_vec(), 400, "invalid-request", "goal"),
        ("context", with("context", json!({ "a": 1 })), 422, "not-honoured", "context"),
        (
            "sentence",
            with("acceptance_criteria", json!(["is polite"])),
            422,
            "not-honoured",
            "acceptance_criteria[0]",
        ),
        (
            "unknown criterion",
            with("acceptance_criteria", json!([{ "type": "is_polite" }])),
            400,
            "invalid-request",
            "acceptance_criteria[0].type",
        ),
        (
            "no pattern",
            with("acceptance_criteria", json!([{ "type": "regex", "patern": "a" }])),
            400,
            "invalid-request",
            "acceptance_criteria[0].pattern",
        ),
        (
            "bad pattern",
            with("acceptance_criteria", json!([{ "type": "regex", "pattern": "(" }])),
            400,
            "invalid-request",
            "acceptance_criteria[0].pattern",
        ),
        (
            "huge pattern",
            with("acceptance_criteria", json!([{ "type": "regex", "pattern": "((a{1000}){1000}){1000}" }])),
            400,
            "invalid-request",
            "acceptance_criteria[0].pattern",
        ),
        (
            "bad schema",
            with("acceptance_criteria", json!([{ "type": "json_schema", "schema": { "type": 7 } }])),
            400,
            "invalid-request",
            "acceptance_criteria[0].schema",
        ),
        (
            "schema from elsewhere",
            with(
                "acceptance_criteria",
                json!([{ "type": "json_schema", "schema": { "$ref": "http://127.0.0.1/s.json" } }]),
            ),
            400,
            "invalid-request",
            "acceptance_criteria[0].schema",
        ),
        (
            "path out",
            with("acceptance_criteria", json!([{ "type": "artefact_exists", "path": "../x" }])),
            400,
            "invalid-request",
            "acceptance_criteria[0].path",
        ),
        ("needs a model", with("goal", json!("List the countries in Europe")), 422, "needs-model", "goal"),
        (
            "an array for the body",
            json!(["list /tmp"]).to_string().into_bytes(),
            400,
            "invalid-request",
            "body",
        ),
        (
            "an array for the budget",
            with("budget", json!([null, null, 60, 1])),
            400,
            "invalid-request",
            "budget",
        ),
        (
            "an array for a criterion",
            with("acceptance_criteria", json!([["contains", "x"]])),
            400,
            "invalid-request",
            "acceptance_criteria[0]",
        ),
        ("beyond the policy", with("goal", json!("List the files in /etc")), 403, "beyond-policy", "goal"),
    ];
    for (what, body, status, kind, field) in cases {
        let reply = octo.call("POST", "/api/v1/tasks", Some(&key), &body).await;
        assert_eq!((reply.status, reply.kind().as_str()), (status, kind), "{what}: {reply:?}");
        assert!(reply.field().starts_with(field), "{what}: {reply:?}");
    }
    let page = octo.client(&octo.user).list(None, false, None, None).await.unwrap();
    assert_eq!(page.tasks, []);
    octo.submit().await;
    octo.stop().await;
}

#[tokio::test]
async fn headers_and_parameters_are_refused_by_name() {
    let octo = Octo::start().await;
    let key = octo.user.reveal();
    let task = octo.submit().await;
    let post = |headers: &str| {
        request(
            "POST",
            "/api/v1/tasks",
            Some(&octo.user.reveal()),
            headers,
            br#"{"goal":"List the files in /tmp"}"#,
        )
    };
    let json = "Content-Type: application/json\r\n";
    for (headers, status, field) in [
        ("", 415, "Content-Type"),
        ("Content-Type: text/plain\r\n", 415, "Content-Type"),
        (&format!("{json}Content-Encoding: gzip\r\n"), 415, "Content-Encoding"),
        (&format!("{json}Content-Encoding: identity, br\r\n"), 415, "Content-Encoding"),
        (&format!("{json}Idempotency-Key: a b\r\n"), 400, "Idempotency-Key"),
        (&format!("{json}Idempotency-Key: {}\r\n", "k".repeat(256)), 400, "Idempotency-Key"),
        (&format!("{json}Idempotency-Key: a\r\nIdempotency-Key: b\r\n"), 400, "Idempotency-Key"),
    ] {
        let reply = octo.raw(&post(headers)).await;
        assert_eq!((reply.status, reply.field().as_str()), (status, field), "{headers}");
    }
    let reply = octo.raw(&post(&format!("{json}Idempotency-Key: ä\r\n"))).await;
    assert_eq!(reply.json()["detail"], "an idempotency key must be 1 to 255 visible ASCII characters");
    for (path, status, field) in [
        (format!("/api/v1/tasks/{task}?wait=soon"), 400, "wait"),
        (format!("/api/v1/tasks/{task}?wiat=1s"), 400, "wiat"),
        (format!("/api/v1/tasks/{task}?wait=5d"), 400, "wait"),
        (format!("/api/v1/tasks/{task}/events?after=5"), 400, "after"),
        (format!("/api/v1/tasks/{task}/artefacts/a?version=5"), 400, "version"),
        ("/api/v1/arms?name=judge".into(), 400, "name"),
        ("/api/v1/tasks?limit=0".into(), 400, "limit"),
        ("/api/v1/tasks?limit=few".into(), 400, "limit"),
        ("/api/v1/tasks?poison=yes".into(), 400, "poison"),
        ("/api/v1/tasks?=".into(), 400, "query"),
        ("/api/v1/tasks?limit=201".into(), 400, "limit"),
        ("/api/v1/tasks?limit=1&limit=2".into(), 400, "limit"),
        ("/api/v1/tasks?status=done".into(), 400, "status"),
        ("/api/v1/tasks?cursor=zz".into(), 400, "cursor"),
        ("/api/v1/usage?from=yesterday".into(), 400, "from"),
        ("/api/v1/usage?from=2026-02-30".into(), 400, "from"),
        ("/api/v1/usage?to=2026-1-1".into(), 400, "to"),
        ("/api/v1/usage?from=2026-01-02&to=2026-01-01".into(), 400, "from"),
        ("/api/v1/usage?from=0001-01-01&to=9999-01-01".into(), 400, "from"),
        ("/api/v1/usage?from=2026-01-01&from=2026-01-01".into(), 400, "from"),
        ("/api/v1/usage?day=2026-01-01".into(), 400, "day"),
        ("/api/v1/usage?tenant=a%20b".into(), 400, "tenant"),
        ("/api/v1/usage?tenant=elsewhere".into(), 403, "tenant"),
        ("/api/v1/usage?limit=0".into(), 400, "limit"),
        ("/api/v1/usage?limit=1001".into(), 400, "limit"),
        ("/api/v1/usage?cursor=2026-01-01".into(), 400, "cursor"),
        ("/api/v1/usage?to=2026-01-01&cursor=2026-01-02.default".into(), 400, "cursor"),
        ("/api/v1/arms/usage?to=0".into(), 400, "to"),
        ("/api/v1/arms/usage?tenant=elsewhere".into(), 400, "tenant"),
        ("/api/v1/tasks/7".into(), 404, ""),
        ("/api/v1/task".into(), 404, ""),
        ("/".into(), 404, ""),
    ] {
        let reply = octo.raw(&request("GET", &path, Some(&key), "", b"")).await;
        assert_eq!((reply.status, reply.field().as_str()), (status, field), "{path}");
        reply.kind();
    }
    let twice = "Last-Event-ID: 1\r\nLast-Event-ID: 2\r\n";
    let reply =
        octo.raw(&request("GET", &format!("/api/v1/tasks/{task}/events"), Some(&key), twice, b"")).await;
    assert_eq!((reply.status, reply.field().as_str()), (400, "Last-Event-ID"));
    let long = format!("{{\"goal\":\"a\",\"priority\":\"{}\"}}", "x".repeat(100_000));
    let reply = octo.call("POST", "/api/v1/tasks", Some(&key), long.as_bytes()).await;
    assert!(reply.field() == "priority" && reply.body.len() < 1000, "what was sent is not sent back whole");
    let reply = octo.raw(&request("PATCH", "/api/v1/tasks", Some(&key), "", b"")).await;
    assert_eq!((reply.status, reply.kind().as_str()), (405, "method-not-allowed"));
    octo.stop().await;
}

/// P3: the same key and body give the same task, another body is refused, also at once.
#[tokio::test]
async fn an_idempotency_key_names_one_task() {
    let octo = Octo::start().await;
    let (client, key) = (octo.client(&octo.user), "once".parse().unwrap());
    let wish = crate::harness::wish("List the files in /tmp directory");
    let all = futures_util::future::join_all((0..16).map(|_| client.submit(&wish, Some(&key)))).await;
    let ids: std::collections::BTreeSet<_> = all.into_iter().map(|a| a.unwrap().task_id).collect();
    assert_eq!(ids.len(), 1);
    let other = client.submit(&crate::harness::wish("Count the files in /tmp"), Some(&key)).await;
    let Err(octollm_client::http::ClientError::Problem { problem, .. }) = other else { panic!("{other:?}") };
    assert_eq!(problem.known_kind(), Some(octollm_contract::ProblemKind::KeyReused));
    assert_eq!(client.list(None, false, None, None).await.unwrap().tasks.len(), 1);
    octo.stop().await;
}

/// P3: a retry is answered as the first attempt was, even when the request would be refused by now.
#[tokio::test]
async fn a_retry_after_the_deadline_still_names_the_first_task() {
    use octollm_store::Clock as _;
    let octo = Octo::start().await;
    let (client, key) = (octo.client(&octo.user), "late".parse().unwrap());
    let mut wish = crate::harness::wish("List the files in /tmp directory");
    let deadline = octollm_store::SystemClock.now() + octollm_contract::Millis::new(200);
    wish.deadline = Some(deadline);
    let first = client.submit(&wish, Some(&key)).await.unwrap().task_id;
    while octollm_store::SystemClock.now() <= deadline {
        tokio::task::yield_now().await;
    }
    assert!(client.submit(&wish, None).await.is_err(), "without the key it is refused");
    assert_eq!(client.submit(&wish, Some(&key)).await.unwrap().task_id, first);
    octo.stop().await;
}
