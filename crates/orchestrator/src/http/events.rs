//! `GET /api/v1/tasks/{id}/events`: what happens to a task, as server-sent events (WHATWG HTML §9.2).
//!
//! Promises: every event once and in order, from the one after `Last-Event-ID`; the stream ends
//! after the terminal event, and who comes back after that is told that nothing will follow (204, on which
//! an `EventSource` stops coming back); a reader that does not read holds one small batch and nothing else,
//! for the next batch is read from the store when the last one is gone. With the terminal event comes,
//! as a comment, what the reader has seen then.

use super::{
    Serving,
    extract::{Authed, Carried, Id, NoParams, SeenBefore, TasksRead, Told},
    refusal::{Problems, Refused},
};
use crate::{App, Caller, ReadError};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use octollm_contract::{TaskId, api::EventView};
use octollm_store::{Seen, Watch};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Events that are read from the store at once.
const BATCH: usize = 32;
/// A comment is sent when nothing happens for so long, so that both sides see that the other lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The events of a task as they happen.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/events", tag = "tasks",
    params(
        SeenBefore,
        ("id" = TaskId, Path),
        ("Last-Event-ID" = Option<u64>, Header, description = "Events after this one; all when absent"),
    ),
    responses(
        (status = 200, description = "`event:` says what happened, `id:` is its number, `data:` an EventView. With the last event of a task may come a comment, `: Octollm-Seen: …`, of the shape and use of the header", body = EventView, content_type = "text/event-stream", headers(("Octollm-Seen" = String, description = "Send it with the next reads: they are no older than the beginning of this stream. Absent where the store has no positions"))),
        (status = 204, description = "The task has ended and has no event after this one: do not come back"),
        Problems,
    ),
    security(("key" = ["tasks:read"]))
)]
pub(super) async fn stream(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<TasksRead>,
    Id(id): Id<TaskId>,
    Told(seen): Told,
    _: NoParams,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let app = Arc::clone(&serving.app);
    let reading = Reading::begin(app, Arc::clone(&caller), seen, id, last_event(&headers)?).await?;
    let carried = Carried::of(&serving, &caller);
    let Some(reading) = reading else { return Ok((carried, StatusCode::NO_CONTENT).into_response()) };
    let events = stream::unfold(reading, |mut reading| async {
        let event = reading.next().await?;
        let seen = event.is_terminal().then(|| reading.app.carried(&reading.caller)).flatten();
        Some((written(&event, seen), reading))
    });
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok((carried, sse).into_response())
}

fn last_event(headers: &HeaderMap) -> Result<u64, Refused> {
    let mut values = headers.get_all("last-event-id").iter();
    let Some(value) = values.next() else { return Ok(0) };
    if values.next().is_some() {
        return Err(Refused::invalid("Last-Event-ID", "the header is there twice"));
    }
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Refused::invalid("Last-Event-ID", "the number of an event is taken"))
}

fn written(event: &EventView, seen: Option<Seen>) -> Result<Event, axum::Error> {
    let begun = match seen {
        Some(seen) => Event::default().comment(format!("Octollm-Seen: {seen}")),
        None => Event::default(),
    };
    begun.id(event.id.to_string()).event(&event.event).json_data(event)
}

/// One reader's place in a task's events.
struct Reading {
    app: Arc<App>,
    caller: Arc<Caller>,
    task: TaskId,
    after: u64,
    batch: VecDeque<EventView>,
    watch: Watch,
    /// All that had happened was read, from the newest there is: what comes next is told by a hint, and
    /// may not be on a replica yet.
    caught_up: bool,
    ended: bool,
}

impl Reading {
    async fn begin(
        app: Arc<App>,
        caller: Arc<Caller>,
        seen: Seen,
        task: TaskId,
        after: u64,
    ) -> Result<Option<Self>, ReadError> {
        let watch = app.watch_task(task);
        let mut batch: VecDeque<EventView> =
            app.events_since(&caller, seen, task, after, BATCH).await?.into();
        // Every stream begins with an event but that of a reader who has them all.
        if batch.is_empty() && app.task(&caller, task).await?.status.is_terminal() {
            batch = app.events(&caller, task, after, BATCH).await?.into();
            if batch.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(Reading { app, caller, task, after, batch, watch, caught_up: false, ended: false }))
    }

    /// The next event; `None` when the stream is over: the task has ended, the process drains, the key was
    /// revoked, or the store failed (the client comes back with its last id).
    async fn next(&mut self) -> Option<EventView> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(event) = self.batch.pop_front() {
                self.after = event.id;
                self.ended = event.is_terminal();
                return Some(event);
            }
            let (app, caller) = (&self.app, &self.caller);
            if !self.caught_up {
                let more = app.events_since(caller, Seen::NOTHING, self.task, self.after, BATCH).await;
                self.batch = more.ok()?.into();
                self.caught_up = self.batch.is_empty();
            }
            let mut has_ended = false;
            if self.caught_up {
                has_ended = app.task(caller, self.task).await.ok()?.status.is_terminal();
                self.batch = app.events(caller, self.task, self.after, BATCH).await.ok()?.into();
            }
            // Looked for after the events were read: what is told was there while the key was good.
            if !app.still_admits(caller).await {
                return None;
            }
            if !self.batch.is_empty() {
                continue;
            }
            if has_ended {
                return None;
            }
            tokio::select! {
                () = self.watch.changed() => {}
                () = self.app.draining.cancelled() => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    /// P4: after a stream, a client can be as fresh elsewhere.
    #[tokio::test]
    async fn the_last_event_carries_what_was_seen() {
        let event: EventView = serde_json::from_value(serde_json::json!({
            "id": 3, "event": "task.cancelled", "at": "2026-01-01T00:00:00Z",
            "task_id": "task_019b0000-0000-7000-8000-000000000000"
        }))
        .unwrap();
        let seen = Seen { timeline: 2, position: 16 };
        let sse = Sse::new(stream::iter([written(&event, Some(seen))]));
        let bytes = to_bytes(sse.into_response().into_body(), 10_000).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(
            text.starts_with(
                ": Octollm-Seen: 00000002-0000000000000010\nid: 3\nevent: task.cancelled\ndata: {"
            ),
            "{text}"
        );
    }
}
