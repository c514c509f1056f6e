//! What a person gives to a task that waits: it reaches the step that was read, and no other.

use crate::harness::{Octo, request, wish, within};
use octollm_access::{Policy, Role};
use octollm_client::{Completion, Leases as _, http::Client};
use octollm_contract::api::TaskStatus;
use octollm_orchestrator::{Caller, NewKey};
use octollm_plan::StepOutput;
use serde_json::json;

/// A client whose programs want an approval.
async fn careful(octo: &Octo) -> (octollm_access::ApiKey, Client) {
    let policy = Policy {
        any_command: true,
        approvals: [octollm_access::Approval::Command].into(),
        ..Policy::default_admin()
    };
    let new = NewKey {
        role: Role::User,
        tenant: Some("default".parse().unwrap()),
        scopes: None,
        policy: Some(policy),
        label: String::new(),
    };
    let key = octo.app.create_key(&Caller::local(Policy::default()), new).await.unwrap().key;
    let client = octo.client(&key);
    (key, client)
}

/// P6: an approval is for the step whose question was read. What is sent twice approves nothing unseen.
#[tokio::test]
async fn an_approval_names_its_step_and_approves_no_other() {
    let octo = Octo::start().await;
    let (key, client) = careful(&octo).await;
    let task = client.submit(&wish("run `uname -a`, then run `id`"), None).await.unwrap().task_id;
    let first = client.task(task).await.unwrap().awaits_step_id.expect("it waits for an approval");
    let path = format!("/api/v1/tasks/{task}/input");
    let send = async |body: serde_json::Value| {
        octo.call("POST", &path, Some(&key.reveal()), body.to_string().as_bytes()).await
    };
    for bare in [true, false] {
        let reply = send(json!({ "approve": bare })).await;
        assert_eq!((reply.status, reply.field().as_str()), (400, "step_id"), "{reply:?}");
        assert!(reply.json()["detail"].as_str().unwrap().contains("awaits_step_id"), "{reply:?}");
    }
    let reply =
        send(json!({ "approve": true, "step_id": "step_00000000-0000-7000-8000-000000000000.0" })).await;
    assert_eq!((reply.status, reply.field().as_str()), (400, "step_id"), "{reply:?}");
    let approve = json!({ "approve": true, "step_id": first });
    assert_eq!(send(approve.clone()).await.status, 200);
    let grant = octo.lease().await;
    octo.leases().complete(&grant.token, Completion::of(StepOutput::default())).await.unwrap();
    let mut events = client.events(task, 0).await.unwrap();
    let second = loop {
        let event = within(events.next()).await.unwrap().unwrap();
        if event.event == "task.waiting" && event.step_id != Some(first) {
            break event.step_id.unwrap();
        }
    };
    for stale in [approve, json!({ "approve": false, "step_id": first })] {
        let reply = send(stale).await;
        assert_eq!((reply.status, reply.field().as_str()), (409, "step_id"), "{reply:?}");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!([first, second].iter().all(|step| detail.contains(&step.to_string())), "{detail}");
    }
    let view = client.task(task).await.unwrap();
    assert_eq!((view.status, view.awaits_step_id), (TaskStatus::Waiting, Some(second)));
    assert_eq!(send(json!({ "approve": true, "step_id": second })).await.status, 200);
    octo.stop().await;
}

/// Where there is one step, there is nothing else to approve; a second click finds it approved.
#[tokio::test]
async fn an_approval_of_the_only_step_need_not_name_it() {
    let octo = Octo::start().await;
    let (key, client) = careful(&octo).await;
    let task = client.submit(&wish("run `uname -a`"), None).await.unwrap().task_id;
    let path = format!("/api/v1/tasks/{task}/input");
    for status in [200, 409] {
        let reply = octo.call("POST", &path, Some(&key.reveal()), br#"{"approve":true}"#).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
    let missing = "/api/v1/tasks/task_00000000-0000-7000-8000-000000000000/input";
    let reply = octo.call("POST", missing, Some(&key.reveal()), br#"{"approve":true}"#).await;
    assert_eq!(reply.status, 404, "{reply:?}");
    octo.stop().await;
}

/// A promise that is not kept is not made: the header would promise the first answer again.
#[tokio::test]
async fn an_idempotency_key_of_an_input_is_refused() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let headers = "Content-Type: application/json\r\nIdempotency-Key: one\r\n";
    let path = format!("/api/v1/tasks/{task}/input");
    let key = octo.user.reveal();
    let reply = octo.raw(&request("POST", &path, Some(&key), headers, br#"{"text":"yes"}"#)).await;
    assert_eq!((reply.status, reply.field().as_str()), (400, "Idempotency-Key"), "{reply:?}");
    octo.stop().await;
}

/// P6: whoever approves is shown what will run, in the task and in its event.
#[tokio::test]
async fn an_approval_shows_the_program_and_its_arguments() {
    let octo = Octo::start().await;
    let (key, client) = careful(&octo).await;
    let task = client.submit(&wish("run `uname -a`"), None).await.unwrap().task_id;
    let view = client.task(task).await.unwrap();
    let question = view.question.expect("it waits for an approval");
    assert!(question.contains(r#"calls shell {"argv":["uname","-a"]}"#), "{question}");
    let path = format!("/api/v1/tasks/{task}/input");
    let reply = octo.call("POST", &path, Some(&key.reveal()), br#"{"text":"yes"}"#).await;
    assert_eq!((reply.status, reply.field().as_str()), (409, "text"), "{reply:?}");
    assert!(reply.json()["detail"].as_str().unwrap().contains("waits for approve"), "{reply:?}");
    let mut events = client.events(task, 0).await.unwrap();
    let asked = loop {
        let event = within(events.next()).await.unwrap().unwrap();
        if event.event == "task.waiting" {
            break event;
        }
    };
    assert_eq!(asked.data, json!({ "awaits": "approval", "question": question }));
    octo.stop().await;
}
