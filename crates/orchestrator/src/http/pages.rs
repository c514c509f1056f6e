//! What is open to everyone: health, the OpenAPI document, the pages of problems; and what is
//! not there.

use super::{Serving, refusal::Refused};
use axum::{
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use octollm_contract::{Problem, ProblemKind};

/// This process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "`ok`")), security(()))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The store answers, and this process is not shutting down. After a write for which the disk of the embedded
/// store had no space the answer is 503 and says so, until there is space again; what is read goes on meanwhile.
/// Over a database that many servers share it stays 200 when the database's disk is full: each accept is answered
/// 503 with `Retry-After`, and reads go on, which no server would answer if none were ready.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "`ready`"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
    security(())
)]
pub(super) async fn readyz(State(serving): State<Serving>) -> Result<&'static str, Refused> {
    serving.app.ready().await?;
    Ok("ready\n")
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "health", responses((status = 200, content_type = "application/json")), security(()))]
pub(super) async fn openapi(State(serving): State<Serving>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], serving.openapi.to_string()).into_response()
}

/// What a kind of problem means: cause, what was not lost, remedy.
#[utoipa::path(
    get, path = "/problems/{slug}", tag = "health",
    params(("slug" = String, Path)),
    responses((status = 200, content_type = "text/plain"), (status = 404, body = Problem, content_type = "application/problem+json")),
    security(())
)]
pub(super) async fn problem_page(Path(slug): Path<String>) -> Result<Response, Refused> {
    let kind = ProblemKind::ALL.iter().find(|kind| kind.slug() == slug).ok_or_else(Refused::nothing_here)?;
    let text = format!("{}\n\n{}\n", kind.title(), kind.page());
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// No route has this path.
pub(super) async fn nothing_here() -> Refused {
    Refused::nothing_here()
}

/// A route has this path, with other methods.
pub(super) async fn other_method() -> Refused {
    Refused::new(ProblemKind::MethodNotAllowed, "/openapi.json lists the methods of this path", None)
}
