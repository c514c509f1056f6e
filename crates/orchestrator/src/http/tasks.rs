//! `/api/v1/tasks`.

use super::{
    Serving,
    extract::{
        Authed, Carried, FileOfTask, Id, Idempotency, Json, NoIdempotency, NoParams, Octets, Params,
        SeenBefore, Shown, TasksRead, TasksWrite, Told, still,
    },
    refusal::{Problems, Refused},
};
use crate::view;
use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use octollm_contract::{
    Problem, TaskId,
    api::{SubmitTask, TaskAccepted, TaskInput, TaskPage, TaskStatus, TaskView},
};
use octollm_store::Listing;

/// Accept a task. It is durable before the answer is sent.
#[utoipa::path(
    post, path = "/api/v1/tasks", tag = "tasks",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]*$", description = "The same key and body give the same task; 1 to 255 visible ASCII characters")),
    request_body = SubmitTask,
    responses(
        (status = 202, description = "Accepted; `Location` leads to the task", body = TaskAccepted, headers(("Octollm-Seen" = String, description = "Send it with the next reads: they are no older than this answer. Absent where the store has no positions"))),
        (status = "4XX", description = "Refused; nothing was stored", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "Not now; repeat with the same key after Retry-After", body = Problem, content_type = "application/problem+json"),
    ),
    security(("key" = ["tasks:write"]))
)]
pub(super) async fn submit(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<TasksWrite>,
    Idempotency(key): Idempotency,
    _: NoParams,
    Json(request): Json<SubmitTask>,
) -> Result<Response, Shown> {
    let accepted =
        serving.app.submit(&caller, request, key).await.map_err(|why| Shown::to(&serving, &caller, why))?;
    let answer = Answer(TaskAccepted { task_id: accepted.task, status: accepted.status });
    let location =
        HeaderValue::try_from(format!("/api/v1/tasks/{}", accepted.task)).expect("an id is visible ASCII");
    let carried = Carried::of(&serving, &caller);
    Ok((StatusCode::ACCEPTED, carried, [(header::LOCATION, location)], answer).into_response())
}

/// A task, whole. With `wait`, the answer comes when the task has ended, or after that time.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", tag = "tasks",
    params(
        ("id" = TaskId, Path),
        SeenBefore,
        ("wait" = Option<String>, Query, description = "Such as 30s, or a number of seconds; at most 60s count"),
    ),
    responses(
        (status = 200, body = TaskView, headers(("Octollm-Seen" = String, description = "Send it with the next reads: they are no older than this answer. Absent where the store has no positions"))),
        Problems,
    ),
    security(("key" = ["tasks:read"]))
)]
pub(super) async fn get(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<TasksRead>,
    Id(id): Id<TaskId>,
    Told(seen): Told,
    mut params: Params,
) -> Result<(Carried, Answer<TaskView>), Refused> {
    let wait = params.take("wait")?;
    params.none_left()?;
    let task = serving.app.task_after(&caller, seen, id, wait.unwrap_or_default()).await?;
    if wait.is_some() {
        still(&serving, &caller).await?;
    }
    Ok((Carried::of(&serving, &caller), Answer(task)))
}

/// Tasks, newest first.
#[utoipa::path(
    get, path = "/api/v1/tasks", tag = "tasks",
    params(
        SeenBefore,
        ("status" = Option<TaskStatus>, Query, description = "Only tasks with this status"),
        ("poison" = Option<bool>, Query, description = "Only tasks with a step that failed as poison"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 200, description = "Tasks on a page; 50 when absent"),
    ),
    responses(
        (status = 200, body = TaskPage, headers(("Octollm-Seen" = String, description = "Send it with the next reads: they are no older than this answer. Absent where the store has no positions"))),
        Problems,
    ),
    security(("key" = ["tasks:read"]))
)]
pub(super) async fn list(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<TasksRead>,
    Told(seen): Told,
    mut params: Params,
) -> Result<(Carried, Answer<TaskPage>), Refused> {
    let wanted = listing(&mut params)?;
    params.none_left()?;
    let page = serving.app.list(&caller, seen, wanted).await?;
    Ok((Carried::of(&serving, &caller), Answer(page)))
}

fn listing(params: &mut Params) -> Result<Listing, Refused> {
    let cursor: Option<String> = params.take("cursor")?;
    let before = cursor.map(|text| {
        view::read_cursor(&text).ok_or_else(|| Refused::invalid("cursor", "this is not a cursor of a list"))
    });
    let most: usize = params.take_as("limit", "a whole number")?.unwrap_or(50);
    if most == 0 || most > crate::app::PAGE_MAX {
        return Err(Refused::invalid("limit", format!("1 to {} are taken", crate::app::PAGE_MAX)));
    }
    Ok(Listing {
        status: params.take("status")?,
        poison: params.take_as("poison", "true or false")?.unwrap_or(false),
        before: before.transpose()?,
        most,
    })
}

/// Wish that a task ends; 409 when it has ended. Its running step is told within two seconds.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}/cancel", tag = "tasks",
    params(("id" = TaskId, Path)),
    responses(
        (status = 200, description = "The task as it is now: `cancelled`, or `cancelling` while a step is being stopped", body = TaskView, headers(("Octollm-Seen" = String, description = "Send it with the next reads: they are no older than this answer. Absent where the store has no positions"))),
        Problems,
    ),
    security(("key" = ["tasks:write"]))
)]
pub(super) async fn cancel(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<TasksWrite>,
    Id(id): Id<TaskId>,
    _: NoParams,
) -> Result<(Carried, Answer<TaskView>), Shown> {
    let task = serving.app.cancel(&caller, id).await.map_err(|why| Shown::to(&serving, &caller, why))?;
    Ok((Carried::of(&serving, &caller), Answer(task)))
}

/// Give what a waiting task waits for; 409 when it is not waiting, or waits for an input of another kind or to
/// another step.
///
/// `step_id` says what is answered, so that sending it again does nothing twice: 409. An `Idempotency-Key` is
/// refused (400), for it would promise the first answer again.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}/input", tag = "tasks",
    params(("id" = TaskId, Path)),
    request_body = TaskInput,
    responses(
        (status = 200, description = "The task as it is now", body = TaskView, headers(("Octollm-Seen" = String, description = "Send it with the next reads: they are no older than this answer. Absent where the store has no positions"))),
        Problems,
    ),
    security(("key" = ["tasks:write"]))
)]
pub(super) async fn input(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<TasksWrite>,
    Id(id): Id<TaskId>,
    _: NoParams,
    _: NoIdempotency,
    Json(input): Json<TaskInput>,
) -> Result<(Carried, Answer<TaskView>), Shown> {
    let task =
        serving.app.input(&caller, id, input).await.map_err(|why| Shown::to(&serving, &caller, why))?;
    Ok((Carried::of(&serving, &caller), Answer(task)))
}

/// A file that a task made. It is always a download: what a task wrote is nobody's page.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/artefacts/{*path}", tag = "tasks",
    params(
        ("id" = TaskId, Path),
        ("path" = String, Path, description = "As in `result.artefacts[].path`; may hold slashes"),
        SeenBefore,
    ),
    responses(
        (status = 200, body = inline(Octets), content_type = "application/octet-stream", headers(("Octollm-Seen" = String, description = "Send it with the next reads: they are no older than this answer. Absent where the store has no positions"))),
        Problems,
    ),
    security(("key" = ["tasks:read"]))
)]
pub(super) async fn artefact(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<TasksRead>,
    FileOfTask { task, path }: FileOfTask,
    Told(seen): Told,
    _: NoParams,
) -> Result<Response, Refused> {
    let bytes = serving.app.artefact(&caller, seen, task, &path).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((Carried::of(&serving, &caller), headers, bytes).into_response())
}
