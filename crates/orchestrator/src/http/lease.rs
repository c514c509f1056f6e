//! `/internal/v1`: the lease protocol. Asking for work and heartbeats take an arm's key; all
//! else takes the token of the step and nothing else.

use super::{
    Serving,
    extract::{Authed, Id, Json, Lease, Octets, OfStep, OrNothing, Raw, still},
    refusal::{Problems, Refused},
};
use axum::{
    Json as Answer,
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, future::ready, stream};
use octollm_client::{
    Beat, Completion, Grant, LeaseAsk, LeaseError, Leases as _, PROTOCOL_OLDEST, PROTOCOL_VERSION, ThinkAsk,
    ThinkError, ThinkLine,
    wire::{
        ArtefactPut, CheckpointReport, CompletionV1, EDITION_HEADER, FailReport, HeartbeatAsk, LeaveAsk,
        PROTOCOL_HEADER, ReleaseReport,
    },
};
use octollm_contract::{ContentHash, Document, Edition, ProblemKind};
use std::{convert::Infallible, time::Duration};
use tokio::time::Instant;
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

/// A report has at most so many bytes; what is larger is an artefact.
const REPORT_BYTES_MAX: usize = 8 << 20;
/// Why a step is handed back has at most so many bytes.
const RELEASE_BYTES_MAX: usize = 64 << 10;
/// An artefact has at most so many bytes over HTTP.
const ARTEFACT_BYTES_MAX: usize = 64 << 20;
/// How often an answer that has nothing to tell shows that it is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// So many pieces of an answer share a frame at most.
const LINES_AT_ONCE_MAX: usize = 64;

/// Which version of the protocol the worker speaks: see [`PROTOCOL_VERSION`].
pub(super) struct Spoken;

impl FromRequestParts<Serving> for Spoken {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &Serving) -> Result<Self, Refused> {
        spoken(&parts.headers).map(|_| Spoken)
    }
}

impl IntoParams for Spoken {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let what = "The version of the lease protocol that is spoken";
        vec![number_header(PROTOCOL_HEADER, what, Required::True, PROTOCOL_OLDEST, Some(PROTOCOL_VERSION))]
    }
}

/// The description of a header that holds a whole number.
fn number_header(name: &str, what: &str, required: Required, least: u32, most: Option<u32>) -> Parameter {
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(most);
    let header = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header);
    header.required(required).description(Some(what)).schema(Some(number)).build()
}

/// What the worker reads of plans.
pub(super) struct Reads(Edition);

impl FromRequestParts<Serving> for Reads {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &Serving) -> Result<Self, Refused> {
        let Some(said) = parts.headers.get(EDITION_HEADER) else { return Ok(Reads(Edition::unsaid())) };
        let number: Option<u32> = said.to_str().ok().and_then(|text| text.parse().ok());
        let wrong = || Refused::invalid(EDITION_HEADER, format!("{said:?} is no number of an edition"));
        Ok(Reads(number.ok_or_else(wrong)?.into()))
    }
}

impl IntoParams for Reads {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let what = "The newest edition of plans that the worker reads; 1 when absent";
        vec![number_header(EDITION_HEADER, what, Required::False, 0, Some(u32::MAX))]
    }
}

fn spoken(headers: &HeaderMap) -> Result<u32, Refused> {
    let said = headers.get(PROTOCOL_HEADER).and_then(|value| value.to_str().ok());
    let version = said.and_then(|text| text.parse().ok());
    version.filter(|version| (PROTOCOL_OLDEST..=PROTOCOL_VERSION).contains(version)).ok_or_else(|| {
        let said = said.map_or("none is named".to_owned(), |said| format!("{said:?} is named"));
        let detail = format!(
            "the versions {PROTOCOL_OLDEST} and {PROTOCOL_VERSION} of the lease protocol are spoken here, and {said}: \
             run workers of the server's own version, or of the one before"
        );
        Refused::invalid(PROTOCOL_HEADER, detail)
    })
}

/// A result, in the form of the version that is spoken.
pub(super) struct Done(Completion);

impl FromRequest<Serving> for Done {
    type Rejection = Refused;

    async fn from_request(request: Request, serving: &Serving) -> Result<Self, Refused> {
        if spoken(request.headers())? == 1 {
            let Json(done) = Json::<CompletionV1, REPORT_BYTES_MAX>::from_request(request, serving).await?;
            return Ok(Done(done.into()));
        }
        let Json(done) = Json::<Completion, REPORT_BYTES_MAX>::from_request(request, serving).await?;
        Ok(Done(done))
    }
}

/// Ask for steps; the answer comes when there is one, or after the wait.
#[utoipa::path(
    post, path = "/internal/v1/lease", tag = "leases",
    params(Spoken, Reads),
    request_body = LeaseAsk,
    responses(
        (status = 200, description = "Steps, each with the token that opens it; none when none came", body = Vec<Grant>),
        Problems,
    ),
    security(("key" = ["lease"]))
)]
pub(super) async fn lease(
    State(serving): State<Serving>,
    Authed(caller, _): Authed<Lease>,
    _: Spoken,
    Reads(reads): Reads,
    Json(ask): Json<LeaseAsk>,
) -> Result<Answer<Vec<Grant>>, Refused> {
    let grants = serving.leases.lease(LeaseAsk { reads, ..ask }).await?;
    if let Err(revoked) = still(&serving, &caller).await {
        for grant in grants {
            // What cannot be handed back lapses.
            let _handed_back = serving.leases.release(&grant.token, None).await;
        }
        return Err(revoked);
    }
    Ok(Answer(grants))
}

/// Say that a worker goes away: its wish for steps that waits is answered now.
#[utoipa::path(
    post, path = "/internal/v1/leave", tag = "leases",
    params(Spoken),
    request_body = LeaveAsk,
    responses(
        (status = 204, description = "It asks for nothing any more"),
        Problems,
    ),
    security(("key" = ["lease"]))
)]
pub(super) async fn leave(
    State(serving): State<Serving>,
    _: Authed<Lease>,
    _: Spoken,
    Json(ask): Json<LeaveAsk>,
) -> Result<StatusCode, Refused> {
    serving.leases.leave(&ask.worker).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Say that steps are being worked on; what is to be done with each stands in the answer.
#[utoipa::path(
    post, path = "/internal/v1/heartbeat", tag = "leases",
    params(Spoken),
    request_body = HeartbeatAsk,
    responses(
        (status = 200, description = "One answer for each token, in their order", body = Vec<Beat>),
        Problems,
    ),
    security(("key" = ["lease"]))
)]
pub(super) async fn heartbeat(
    State(serving): State<Serving>,
    _: Authed<Lease>,
    _: Spoken,
    Json(ask): Json<HeartbeatAsk>,
) -> Result<Answer<Vec<Beat>>, Refused> {
    let beats = serving.leases.heartbeat(&ask.worker, &ask.tokens).await?;
    // The worker asks elsewhere for all of them: a heartbeat may be sent twice.
    let all: Option<Vec<Beat>> = beats.into_iter().collect();
    let lost = all.iter().flatten().filter(|beat| **beat == Beat::Lost).count();
    serving.metrics.came_too_late(lost);
    let unanswered = || Refused::new(ProblemKind::Unavailable, "not every step can be looked for now", None);
    all.map(Answer).ok_or_else(unanswered)
}

/// Save where a step is.
#[utoipa::path(
    post, path = "/internal/v1/step/checkpoint", tag = "leases",
    params(Spoken),
    request_body = CheckpointReport,
    responses(
        (status = 204, description = "Saved"),
        Problems,
    ),
    security(("step" = []))
)]
pub(super) async fn checkpoint(
    State(serving): State<Serving>,
    OfStep(token): OfStep,
    _: Spoken,
    Json(report): Json<CheckpointReport, REPORT_BYTES_MAX>,
) -> Result<StatusCode, Refused> {
    let state = Document::of(&report.state).map_err(|error| Refused::invalid("state", error.to_string()))?;
    serving.leases.checkpoint(&token, state, report.artefacts).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Report a result.
#[utoipa::path(
    post, path = "/internal/v1/step/complete", tag = "leases",
    params(Spoken),
    request_body = Completion,
    responses(
        (status = 204, description = "Recorded, once"),
        Problems,
    ),
    security(("step" = []))
)]
pub(super) async fn complete(
    State(serving): State<Serving>,
    OfStep(token): OfStep,
    Done(done): Done,
) -> Result<StatusCode, Refused> {
    serving.leases.complete(&token, done).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Report a failure.
#[utoipa::path(
    post, path = "/internal/v1/step/fail", tag = "leases",
    params(Spoken),
    request_body = FailReport,
    responses(
        (status = 204, description = "Recorded, once"),
        Problems,
    ),
    security(("step" = []))
)]
pub(super) async fn fail(
    State(serving): State<Serving>,
    OfStep(token): OfStep,
    _: Spoken,
    Json(report): Json<FailReport, REPORT_BYTES_MAX>,
) -> Result<StatusCode, Refused> {
    serving.leases.fail(&token, report.message, report.retryable).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hand a step back.
#[utoipa::path(
    post, path = "/internal/v1/step/release", tag = "leases",
    params(Spoken),
    request_body(content = Option<ReleaseReport>, description = "None at all, or null: it may be taken again at once"),
    responses(
        (status = 204, description = "Somebody else may have it"),
        Problems,
    ),
    security(("step" = []))
)]
pub(super) async fn release(
    State(serving): State<Serving>,
    OfStep(token): OfStep,
    _: Spoken,
    OrNothing(report): OrNothing<ReleaseReport, RELEASE_BYTES_MAX>,
) -> Result<StatusCode, Refused> {
    serving.leases.release(&token, report.and_then(|report| report.wait)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One JSON value a line, as it comes; an empty line every so often, so that silence means loss.
#[utoipa::path(
    post, path = "/internal/v1/step/think", tag = "leases",
    params(Spoken),
    request_body = ThinkAsk,
    responses(
        (status = 200, description = "The answer as it comes: one such object a line", body = ThinkLine, content_type = "application/x-ndjson"),
        Problems,
    ),
    security(("step" = []))
)]
pub(super) async fn think(
    State(serving): State<Serving>,
    OfStep(token): OfStep,
    _: Spoken,
    Json(ask): Json<ThinkAsk, REPORT_BYTES_MAX>,
) -> Result<Response, Refused> {
    let thinking = match serving.leases.think(&token, ask).await {
        Ok(thinking) => thinking,
        Err(ThinkError::Lost) => return Err(LeaseError::Lost.into()),
        Err(error) => Box::pin(stream::once(async { Err(error) })),
    };
    // What has come together is one frame: each of its own would be written, sent and woken for alone.
    let lines = thinking.ready_chunks(LINES_AT_ONCE_MAX).map(|said| {
        let mut lines = Vec::new();
        for said in said {
            lines.extend(serde_json::to_vec(&ThinkLine::from(said)).expect("a line is JSON"));
            lines.push(b'\n');
        }
        Bytes::from(lines)
    });
    let mut alive = tokio::time::interval_at(Instant::now() + ALIVE_EVERY, ALIVE_EVERY);
    let alive =
        stream::poll_fn(move |context| alive.poll_tick(context).map(|_| Some(Bytes::from_static(b"\n"))));
    let over = lines.map(Some).chain(stream::once(async { None }));
    let body = stream::select(over, alive.map(Some)).take_while(|line| ready(line.is_some()));
    let body = Body::from_stream(body.map(|line| Ok::<_, Infallible>(line.unwrap_or_default())));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Keep bytes.
#[utoipa::path(
    post, path = "/internal/v1/step/artefacts", tag = "leases",
    params(Spoken),
    request_body(content = inline(Octets), content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "Their name", body = ArtefactPut),
        Problems,
    ),
    security(("step" = []))
)]
pub(super) async fn put_artefact(
    State(serving): State<Serving>,
    OfStep(token): OfStep,
    _: Spoken,
    Raw(bytes): Raw<ARTEFACT_BYTES_MAX>,
) -> Result<Answer<ArtefactPut>, Refused> {
    Ok(Answer(ArtefactPut { sha256: serving.leases.put_artefact(&token, bytes).await? }))
}

/// Bytes that the step may read.
#[utoipa::path(
    get, path = "/internal/v1/step/artefacts/{hash}", tag = "leases",
    params(Spoken, ("hash" = ContentHash, Path)),
    responses(
        (status = 200, description = "The bytes", body = inline(Octets), content_type = "application/octet-stream"),
        Problems,
    ),
    security(("step" = []))
)]
pub(super) async fn get_artefact(
    State(serving): State<Serving>,
    OfStep(token): OfStep,
    _: Spoken,
    Id(hash): Id<ContentHash>,
) -> Result<Response, Refused> {
    let bytes = serving.leases.get_artefact(&token, hash).await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}
