//! The lease protocol over HTTP, as a worker uses it.

use crate::harness::{Octo, ask, within};
use bytes::Bytes;
use octollm_client::{Beat, Completion, LeaseError, Leases as _};
use octollm_contract::{
    ArmName, ContentHash, Document, Millis,
    api::{ArtefactView, TaskStatus},
};
use octollm_plan::StepOutput;

fn says(text: &str) -> Completion {
    Completion::of(StepOutput { text: text.into(), ..StepOutput::default() })
}

#[tokio::test]
async fn a_task_is_done_through_leases_and_its_result_is_read() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let (leases, grant) = (octo.leases(), octo.lease().await);
    assert_eq!((grant.step.task, grant.attempt), (task, 1));
    let worker = "worker-1".parse().unwrap();
    assert_eq!(leases.heartbeat(&worker, std::slice::from_ref(&grant.token)).await.unwrap(), [Beat::Alive]);
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

#[tokio::test]
async fn a_cancel_reaches_the_worker_on_its_next_beat() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let (leases, grant) = (octo.leases(), octo.lease().await);
    let view = octo.client(&octo.user).cancel(task).await.unwrap();
    assert_eq!(view.status, TaskStatus::Cancelling);
    let worker = "worker-1".parse().unwrap();
    assert_eq!(leases.heartbeat(&worker, std::slice::from_ref(&grant.token)).await.unwrap(), [Beat::Stop]);
    leases.release(&grant.token, None).await.unwrap();
    let ended = octo.client(&octo.user).wait(task, Millis::from_secs(10)).await.unwrap();
    assert_eq!(ended.status, TaskStatus::Cancelled);
    assert_eq!(leases.heartbeat(&worker, &[grant.token]).await.unwrap(), [Beat::Lost]);
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
