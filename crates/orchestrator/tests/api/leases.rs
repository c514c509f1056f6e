//! The lease protocol over HTTP, as a worker uses it.

use crate::harness::{Octo, ask, within};
use bytes::Bytes;
use octollm_client::{Beat, Completion, LeaseError, Leases as _};
use octollm_contract::{
    ContentHash, Document, Millis,
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
    leases.release(&grant.token).await.unwrap();
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
    let task = octo.submit().await;
    let grants = within(waiting).await.unwrap().unwrap();
    assert_eq!(grants[0].step.task, task);
    octo.stop().await;
}
