//! Long polls and event streams: they come when something happens, resume, and end.

use crate::harness::{Octo, request, within};
use octollm_client::{Completion, Leases as _, http::Events};
use octollm_contract::{Millis, api::TaskStatus};
use octollm_plan::StepOutput;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

async fn names(events: &mut Events) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    while let Some(event) = within(events.next()).await.unwrap() {
        all.push((event.id, event.event));
    }
    all
}

#[tokio::test]
async fn a_stream_tells_everything_once_and_ends_with_the_task() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let client = octo.client(&octo.user);
    let mut events = client.events(task, 0).await.unwrap();
    assert_eq!(within(events.next()).await.unwrap().unwrap().event, "task.accepted");
    let grant = octo.lease().await;
    octo.leases().complete(&grant.token, Completion::of(StepOutput::default())).await.unwrap();
    let rest = names(&mut events).await;
    assert_eq!(rest.last().unwrap().1, "task.completed");
    let whole: Vec<u64> = rest.iter().map(|(id, _)| *id).collect();
    assert_eq!(whole, (2..2 + whole.len() as u64).collect::<Vec<_>>());
    let resumed = names(&mut client.events(task, whole[0]).await.unwrap()).await;
    assert_eq!(resumed, rest[1..]);
    let after_the_end = names(&mut client.events(task, *whole.last().unwrap()).await.unwrap()).await;
    assert_eq!(after_the_end, []);
    // Nobody who has it all comes back again and again for nothing.
    let key = octo.user.reveal();
    for last in [*whole.last().unwrap(), 1_000_000] {
        let from = format!("Last-Event-ID: {last}\r\n");
        let path = format!("/api/v1/tasks/{task}/events");
        let reply = octo.raw(&request("GET", &path, Some(&key), &from, b"")).await;
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{last}");
    }
    octo.stop().await;
}

#[tokio::test]
async fn a_long_poll_ends_with_the_task_and_with_its_time() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let client = octo.client(&octo.user);
    let short = within(client.wait(task, Millis::new(50))).await.unwrap();
    assert_eq!(short.status, TaskStatus::Queued);
    let waiting = tokio::spawn(async move { client.wait(task, Millis::from_secs(60)).await });
    octo.client(&octo.user).cancel(task).await.unwrap();
    assert_eq!(within(waiting).await.unwrap().unwrap().status, TaskStatus::Cancelled);
    octo.stop().await;
}

/// A drain ends streams, long polls and waiting workers at once, and the server returns.
#[tokio::test]
async fn a_drain_ends_whoever_waits() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let _held = octo.lease().await;
    let client = octo.client(&octo.user);
    let mut events = client.events(task, 0).await.unwrap();
    let first = within(events.next()).await.unwrap().unwrap();
    assert_eq!(first.event, "task.accepted");
    let waiting = tokio::spawn(async move { client.wait(task, Millis::from_secs(60)).await });
    octo.begin_shutdown();
    within(names(&mut events)).await;
    let waited = within(waiting).await.unwrap();
    // The poll may have begun before the drain, or have come too late for it.
    assert!(waited.is_err() || waited.is_ok_and(|task| task.status == TaskStatus::Running));
    octo.stop().await;
}

/// P9: while the process drains, what is read is answered, new work is told to come later, and nobody who
/// connects is cut off.
#[tokio::test]
async fn a_drain_answers_who_comes_meanwhile() {
    let octo = Octo::start().await;
    let task = octo.submit().await;
    let key = octo.user.reveal();
    let read = request("GET", &format!("/api/v1/tasks/{task}"), Some(&key), "", b"");
    let mut early = TcpStream::connect(octo.address).await.unwrap();
    octo.app.drain();
    assert_eq!(octo.raw(&read).await.status, 200);
    let (ready, alive) =
        (request("GET", "/readyz", None, "", b""), request("GET", "/healthz", None, "", b""));
    let reply = octo.raw(&ready).await;
    assert_eq!((reply.status, reply.kind().as_str()), (503, "unavailable"));
    assert_eq!(octo.raw(&alive).await.status, 200);
    let reply = octo.call("POST", "/api/v1/tasks", Some(&key), br#"{"goal":"List the files in /tmp"}"#).await;
    assert_eq!((reply.status, reply.kind().as_str()), (503, "unavailable"));
    assert!(reply.head.contains("retry-after: "), "{reply:?}");
    early.write_all(&read).await.unwrap();
    let mut answer = Vec::new();
    within(early.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    octo.stop().await;
}
