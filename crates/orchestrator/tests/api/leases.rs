//! The lease protocol over HTTP, as a worker uses it.

use crate::harness::{Octo, ask, request, wish, within};
use bytes::Bytes;
use octollm_access::{Policy, TenantScope, VerifyingKey};
use octollm_artefacts::Artefacts;
use octollm_client::{
    Beat, Completion, LeaseError, Leases as _, PROTOCOL_OLDEST, PROTOCOL_VERSION,
    wire::{PROTOCOL_HEADER, UNKNOWN_ARTEFACTS},
};
use octollm_contract::{
    ArmName, ContentHash, Document, Millis, Timestamp,
    api::{ArtefactView, TaskStatus},
};
use octollm_lifecycle::StepState;
use octollm_orchestrator::{App, Caller, LocalLeases, Parts, Settings, Sweeper};
use octollm_plan::StepOutput;
use octollm_store::{Clock, MemoryStore, OsEntropy, TaskReads as _};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

fn says(text: &str) -> Completion {
    Completion::of(StepOutput { text: text.into(), ..StepOutput::default() })
}

#[tokio::test]
async fn a_task_is_done_through_leases_and_its_result_is_read() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let (leases, grant) = (octo.leases(), octo.lease().await);
    // Whoever the token is shown to can check it with what came with it.
    let keys = grant.token_keys.iter().map(|key| VerifyingKey::try_from(key.clone()).unwrap());
    let opened = keys.into_iter().find_map(|key| key.open(&grant.token, grant.expires_at).ok());
    assert_eq!(opened.map(|claims| claims.step), Some(grant.step));
    assert_eq!((grant.step.task, grant.attempt), (task, 1));
    let worker = "worker-1".parse().unwrap();
    assert_eq!(
        leases.heartbeat(&worker, std::slice::from_ref(&grant.token)).await.unwrap(),
        [Some(Beat::Alive)]
    );
    leases.checkpoint(&grant.token, Document::from_json("{\"at\":1}"), vec![]).await.unwrap();
    let bytes = Bytes::from_static(b"made by a step");
    let hash = leases.put_artefact(&grant.token, bytes.clone()).await.unwrap();
    assert_eq!(leases.get_artefact(&grant.token, hash).await.unwrap(), bytes);
    let mut done = says("a\nb");
    done.output.artefacts = vec![ArtefactView { path: "out/made file.txt".into(), bytes: 14, sha256: hash }];
    leases.complete(&grant.token, done.clone()).await.unwrap();
    assert!(matches!(leases.complete(&grant.token, done).await, Err(LeaseError::Lost)));
    let client = octo.client(&octo.user);
    let view = client.wait(task, Millis::from_secs(10)).await.unwrap();
    assert_eq!(view.status, TaskStatus::Completed);
    assert_eq!(view.result.unwrap().text, "a\nb");
    assert_eq!(client.artefact(task, "out/made file.txt").await.unwrap(), bytes);
    octo.stop().await;
}

/// The bytes of every file below `folder` that are `was` become others.
fn tamper(folder: &std::path::Path, was: &[u8]) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut tampered = 0;
    for path in entries {
        if path.is_dir() {
            tampered += tamper(&path, was);
        } else if std::fs::read(&path).unwrap() == was {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, b"made by a thief").unwrap();
            tampered += 1;
        }
    }
    tampered
}

/// P10: bytes that were changed on the disk are an error that says so, and never the answer.
#[tokio::test]
async fn a_tampered_artefact_is_an_error_and_not_an_answer() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let (leases, grant) = (octo.leases(), octo.lease().await);
    let hash = leases.put_artefact(&grant.token, Bytes::from_static(b"made by a step")).await.unwrap();
    let mut done = says("");
    done.output.artefacts = vec![ArtefactView { path: "made".into(), bytes: 14, sha256: hash }];
    leases.complete(&grant.token, done).await.unwrap();
    octo.client(&octo.user).wait(task, Millis::from_secs(10)).await.unwrap();
    assert_eq!(tamper(&octo.artefacts(), b"made by a step"), 1);
    let path = format!("/api/v1/tasks/{task}/artefacts/made");
    let reply = octo.call("GET", &path, Some(&octo.user.reveal()), b"").await;
    assert_eq!((reply.status, reply.kind().as_str()), (500, "internal"));
    assert!(reply.json()["detail"].as_str().unwrap().contains("not those that were kept"), "{reply:?}");
    octo.stop().await;
}

/// P7: a step can neither read nor adopt an artefact of another task.
#[tokio::test]
async fn a_foreign_artefact_is_neither_read_nor_adopted() {
    let octo = Octo::start().await;
    octo.submit().await;
    octo.submit().await;
    let leases = octo.leases();
    let (one, other) = (octo.lease().await, octo.lease().await);
    let hash = leases.put_artefact(&one.token, Bytes::from_static(b"secret")).await.unwrap();
    assert!(matches!(leases.get_artefact(&other.token, hash).await, Err(LeaseError::Refused(_))));
    let mut stolen = says("");
    stolen.output.artefacts = vec![ArtefactView { path: "x".into(), bytes: 6, sha256: hash }];
    assert!(matches!(leases.complete(&other.token, stolen).await, Err(LeaseError::Refused(_))));
    let adopted = leases.checkpoint(&other.token, Document::from_json("{}"), vec![hash]).await;
    assert!(matches!(adopted, Err(LeaseError::Refused(_))));
    let none = ContentHash::of(b"never put");
    assert!(matches!(leases.get_artefact(&one.token, none).await, Err(LeaseError::Refused(_))));
    octo.stop().await;
}

/// P10: a result that names bytes which nobody has is refused, wherever in it they stand.
#[tokio::test]
async fn an_artefact_that_was_never_put_is_refused_in_every_place_of_a_result() {
    let octo = Octo::start().await;
    octo.submit().await;
    let (leases, token) = (octo.leases(), octo.lease().await.token);
    let none = ContentHash::of(b"never put");
    for named in [
        json!({"text": "", "whole_text": none}),
        json!({"text": "", "body": {"whole": none}}),
        json!({"text": "", "workspace": none}),
        json!({"text": "", "artefacts": [{"path": "a", "bytes": 1, "sha256": none}]}),
    ] {
        let done = serde_json::from_value(json!({"output": named})).unwrap();
        match leases.complete(&token, done).await.unwrap_err() {
            LeaseError::Refused(problem) => assert_eq!(problem.field.as_deref(), Some(UNKNOWN_ARTEFACTS)),
            other => panic!("{named}: {other:?}"),
        }
    }
    leases.complete(&token, says("")).await.unwrap();
    octo.stop().await;
}

/// P8: the field that is at fault is the one that is named.
#[tokio::test]
async fn a_wish_for_no_step_names_its_field() {
    let octo = Octo::start().await;
    for (wish, at_fault) in [
        (octollm_client::LeaseAsk { most: 0, ..ask(Millis::ZERO) }, "most"),
        (octollm_client::LeaseAsk { arms: Vec::new(), ..ask(Millis::ZERO) }, "arms"),
    ] {
        match octo.leases().lease(wish).await.unwrap_err() {
            LeaseError::Refused(problem) => assert_eq!(problem.field.as_deref(), Some(at_fault)),
            other => panic!("{other:?}"),
        }
    }
    octo.stop().await;
}

/// P1: what a dead orchestrator alone knew is refused so that the worker can tell, and taken under the same
/// lease once it was put again: it costs no attempt.
#[tokio::test]
async fn a_file_that_another_orchestrator_took_is_put_again_under_the_same_lease() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let (leases, grant) = (octo.leases(), octo.lease().await);
    let bytes = Bytes::from_static(b"made by a step");
    let sha256 = leases.put_artefact(&grant.token, bytes.clone()).await.unwrap();
    let mut done = says("");
    done.output.artefacts = vec![ArtefactView { path: "made".into(), bytes: 14, sha256 }];
    // The next process over the same store.
    let next = LocalLeases::new(Arc::clone(&octo.app));
    let refused = next.complete(&grant.token, done.clone()).await;
    let Err(LeaseError::Refused(problem)) = refused else { panic!("{refused:?}") };
    assert_eq!(problem.field.as_deref(), Some(UNKNOWN_ARTEFACTS), "the worker tells it from a wrong result");
    let state = Document::from_json("{}");
    let refused = next.checkpoint(&grant.token, state.clone(), vec![sha256]).await;
    assert!(
        matches!(refused, Err(LeaseError::Refused(problem)) if problem.field.as_deref() == Some(UNKNOWN_ARTEFACTS))
    );
    next.put_artefact(&grant.token, bytes).await.unwrap();
    next.checkpoint(&grant.token, state, vec![sha256]).await.unwrap();
    next.complete(&grant.token, done).await.unwrap();
    let view = octo.client(&octo.user).wait(task, Millis::from_secs(10)).await.unwrap();
    assert_eq!((view.status, view.steps[0].deliveries.attempts), (TaskStatus::Completed, 1));
    octo.stop().await;
}

#[tokio::test]
async fn a_cancel_reaches_the_worker_on_its_next_beat() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let (leases, grant) = (octo.leases(), octo.lease().await);
    let view = octo.client(&octo.user).cancel(task).await.unwrap();
    assert_eq!(view.status, TaskStatus::Cancelling);
    let worker = "worker-1".parse().unwrap();
    assert_eq!(
        leases.heartbeat(&worker, std::slice::from_ref(&grant.token)).await.unwrap(),
        [Some(Beat::Stop)]
    );
    leases.release(&grant.token, None).await.unwrap();
    let ended = octo.client(&octo.user).wait(task, Millis::from_secs(10)).await.unwrap();
    assert_eq!(ended.status, TaskStatus::Cancelled);
    assert_eq!(leases.heartbeat(&worker, &[grant.token]).await.unwrap(), [Some(Beat::Lost)]);
    octo.stop().await;
}

#[tokio::test]
async fn a_waiting_worker_gets_the_step_when_it_comes() {
    let octo = Octo::start().await;
    let leases = octo.leases();
    let waiting = tokio::spawn(async move { leases.lease(ask(Millis::from_secs(30))).await });
    let arms = async || {
        let arms = octo.client(&octo.user).arms().await.unwrap();
        arms.iter().map(|arm| arm.workers).max()
    };
    within(async {
        while arms().await != Some(1) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // What it said it can do is what people are told.
    let views = octo.client(&octo.user).arms().await.unwrap();
    let told: Vec<_> = views.iter().filter(|arm| !arm.tools.is_empty()).collect();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].name, told[0].tools.as_slice()), (ArmName::Executor, &["list".to_owned()][..]));
    let task = octo.submit().await;
    let grants = within(waiting).await.unwrap().unwrap();
    assert_eq!(grants[0].step.task, task);
    octo.stop().await;
}

/// A worker one version behind is served, in its own form; any other is told what is spoken here.
#[tokio::test]
async fn a_worker_one_version_behind_keeps_working() {
    let octo = Octo::start().await;
    let path = |name: &str| format!("/internal/v1/{name}");
    let send = async |version: &str, path: String, token: &str, body: Value| {
        let headers = format!("octollm-protocol: {version}\r\nContent-Type: application/json\r\n");
        octo.raw(&request("POST", &path, Some(token), &headers, body.to_string().as_bytes())).await
    };
    let arm = octo.arm.reveal().to_string();
    let wants = json!({ "worker": "old", "arms": ["executor", "judge"], "most": 1, "wait": 10_000 });
    for version in ["0", "3", "x", "", "-1", "4294967296"] {
        let reply = send(version, path("lease"), &arm, wants.clone()).await;
        assert_eq!((reply.status, reply.field()), (400, PROTOCOL_HEADER.to_owned()), "{version}");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("the versions 1 and 2") && detail.contains("of the one before"), "{detail}");
    }
    assert_eq!((PROTOCOL_OLDEST, PROTOCOL_VERSION), (1, 2), "a new version needs a case here");
    let criteria = json!([{ "type": "contains", "text": "a" }]);
    let wish = json!({ "goal": "List the files in /tmp directory", "acceptance_criteria": criteria });
    let client = octo.client(&octo.user);
    for (verdict, status) in
        [(json!("accepted"), TaskStatus::Completed), (json!({ "refused": "no" }), TaskStatus::Failed)]
    {
        let task = client.submit(&serde_json::from_value(wish.clone()).unwrap(), None).await.unwrap().task_id;
        for body in
            [json!({ "output": { "text": "a" } }), json!({ "output": { "text": "" }, "verdict": verdict })]
        {
            let granted = send("1", path("lease"), &arm, wants.clone()).await;
            let token = granted.json()[0]["token"].as_str().unwrap().to_owned();
            let reply = send("1", path("step/complete"), &token, body).await;
            assert_eq!(reply.status, 204, "{reply:?}");
        }
        assert_eq!(client.wait(task, Millis::from_secs(10)).await.unwrap().status, status);
    }
    octo.submit().await;
    let token = octo.lease().await.token.reveal().to_owned();
    let body = json!({ "output": { "text": "" }, "decision": "question" });
    let new = send("1", path("step/complete"), &token, body).await;
    assert_eq!(new.status, 400, "a new form under an old number: {new:?}");
    octo.stop().await;
}

/// A worker that says nothing of editions, as those of the version before, is handed what it can read and
/// nothing else; one that says a later one is handed all.
#[tokio::test]
async fn a_worker_says_in_a_header_what_it_reads_of_plans() {
    let octo = Octo::start().await;
    let client = octo.client(&octo.user);
    let newer = client.submit(&wish("wc -l /tmp/notes.txt"), None).await.unwrap().task_id;
    let older = octo.submit().await;
    let arm = octo.arm.reveal().to_string();
    let lease = async |says: &str| {
        let wants = json!({ "worker": "old", "arms": ["executor"], "most": 2, "wait": 10_000 }).to_string();
        let headers = format!("octollm-protocol: 2\r\n{says}Content-Type: application/json\r\n");
        octo.raw(&request("POST", "/internal/v1/lease", Some(&arm), &headers, wants.as_bytes())).await
    };
    let granted = lease("").await.json();
    let spec = &granted[0]["spec"]["instruction"]["tool"];
    assert_eq!((granted.as_array().unwrap().len(), &spec["tool"]), (1, &json!("list")), "{granted}");
    assert!(granted[0]["step"].as_str().unwrap().contains(&older.to_string()["task_".len()..]), "{granted}");
    let waits = client.task(newer).await.unwrap().steps[0].deliveries;
    assert_eq!((waits.attempts, waits.failures, waits.releases), (1, 0, 1));
    let wrong = lease("octollm-edition: newest\r\n").await;
    assert_eq!((wrong.status, wrong.field()), (400, "octollm-edition".to_owned()));
    octo.stop().await;
}

/// P8: what an arm says that a file is called is what clients save it by.
#[tokio::test]
async fn a_file_that_leads_out_of_the_workspace_is_refused() {
    let octo = Octo::start().await;
    octo.submit().await;
    let (leases, token) = (octo.leases(), octo.lease().await.token);
    let sha256 = leases.put_artefact(&token, "bytes".into()).await.unwrap();
    let long = "a/".repeat(3000);
    for paths in [
        vec!["../a"],
        vec!["/a"],
        vec![""],
        vec!["a\nb"],
        vec!["a/../../b"],
        vec![long.as_str()],
        vec!["a", "a"],
    ] {
        let artefacts: Vec<_> =
            paths.iter().map(|path| json!({ "path": path, "sha256": sha256, "bytes": 5 })).collect();
        let done = json!({ "output": { "text": "x", "artefacts": artefacts } });
        let refused = leases.complete(&token, serde_json::from_value(done).unwrap()).await.unwrap_err();
        let LeaseError::Refused(problem) = refused else { panic!("{paths:?}: {refused:?}") };
        assert_eq!(problem.field.as_deref(), Some("output.artefacts"), "{paths:?}");
    }
    let done =
        json!({ "output": { "text": "x", "artefacts": [{ "path": "a/b", "sha256": sha256, "bytes": 5 }] } });
    leases.complete(&token, serde_json::from_value(done).unwrap()).await.unwrap();
    octo.stop().await;
}

/// P2: an idle worker that goes away is answered at once, with nothing that it could lose.
#[tokio::test]
async fn a_worker_that_leaves_is_answered_at_once() {
    let octo = Octo::start().await;
    let (leases, asking) = (octo.leases(), octo.leases());
    let asked = tokio::spawn(async move { asking.lease(ask(Millis::from_secs(60))).await });
    let worker = "worker-1".parse().unwrap();
    within(async {
        while !asked.is_finished() {
            // It may not have asked yet.
            leases.leave(&worker).await.unwrap();
        }
    })
    .await;
    assert!(asked.await.unwrap().unwrap().is_empty());
    octo.submit().await;
    octo.lease().await;
    octo.stop().await;
}

/// A clock that stands still until it is told to go on.
#[derive(Default)]
struct Hands(AtomicI64);

impl Hands {
    fn pass(&self, time: Millis) {
        self.0.fetch_add(i64::try_from(time.get()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// P2: who beats, and is not heard because the store does not write, has not crashed.
#[tokio::test]
async fn a_beat_that_cannot_be_written_makes_no_crash() {
    let clock = Arc::new(Hands::default());
    let store = Arc::new(MemoryStore::new(clock.clone(), Arc::new(OsEntropy)));
    let folder = tempfile::tempdir().unwrap();
    let parts = Parts {
        store: store.clone(),
        artefacts: Artefacts::in_folder(folder.path(), 64 << 20).unwrap(),
        clock: clock.clone(),
        entropy: Arc::new(OsEntropy),
    };
    let app = App::new(parts, Settings::default());
    let caller = Caller::local(Policy::default_admin());
    let task = app.submit(&caller, wish("List the files in /tmp directory"), None).await.unwrap().task;
    let leases = LocalLeases::new(Arc::clone(&app));
    for (heard, counted) in [(true, (1, 0)), (false, (1, 1))] {
        let grant = leases.lease(ask(Millis::from_secs(10))).await.unwrap().remove(0);
        store.leave_unconfirmed(u32::from(!heard));
        let beaten = leases.heartbeat(&"worker-1".parse().unwrap(), &[grant.token]).await;
        assert_eq!(beaten.is_ok(), heard, "{beaten:?}");
        clock.pass(Settings::default().lease_ttl);
        let sweeper = Sweeper::start(Arc::clone(&app));
        let deliveries = within(async {
            loop {
                let step =
                    store.task(task, &TenantScope::System).await.unwrap().unwrap().task.steps.remove(0);
                if !matches!(step.state, StepState::Leased(_)) {
                    return step.deliveries;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        sweeper.stop().await;
        assert_eq!((deliveries.crashes, deliveries.releases), counted);
        clock.pass(Millis::from_secs(60));
    }
}
