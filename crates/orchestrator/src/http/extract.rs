//! What handlers take from a request: an authenticated caller, a validated body, parameters
//! that are known. What does not fit is a [`Refused`] before the handler runs.

use super::{Serving, refusal::Refused, strict};
use crate::{Caller, app::NotOpened};
use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use octollm_access::{ApiKey, InvalidToken, Scope, StepToken};
use octollm_contract::{IdempotencyKey, KeyId, ProblemKind, TaskId};
use octollm_store::{NotSeen, Seen};
use serde::{Serialize, de::DeserializeOwned};
use std::{convert::Infallible, marker::PhantomData, str::FromStr, sync::Arc, time::Duration};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, schema::Type};

/// A JSON body has at most so many bytes.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;
/// What is over the limit is read and dropped up to here, so that the client has read the
/// refusal before its connection closes.
const DROPPED_BYTES_MAX: usize = 32 << 20;

/// The scope that a route needs, as a type.
pub(super) trait Needs: Send + Sync + 'static {
    const SCOPE: Scope;
}

macro_rules! needs {
    ($($name:ident),+) => {$(
        pub(super) struct $name;
        impl Needs for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )+};
}

needs!(TasksWrite, TasksRead, ArmsRead, KeysManage, ScalingRead, MetricsRead, Lease);

/// A caller whose key has the scope `N`.
pub(super) struct Authed<N>(pub(super) Arc<Caller>, pub(super) PhantomData<N>);

impl<N: Needs> FromRequestParts<Serving> for Authed<N> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, serving: &Serving) -> Result<Self, Refused> {
        let unknown = || Refused::new(ProblemKind::Unauthenticated, "the key opens nothing", "Authorization");
        let presented: ApiKey = bearer(&parts.headers)?.parse().map_err(|_| unknown())?;
        let caller = serving.app.admit(&presented).await?.ok_or_else(unknown)?;
        if !caller.scopes.contains(&N::SCOPE) {
            let detail = format!("the key lacks the scope {}", N::SCOPE);
            return Err(Refused::new(ProblemKind::Forbidden, detail, "Authorization"));
        }
        Ok(Authed(caller, PhantomData))
    }
}

/// Refuses a caller who has waited, and whose key was revoked meanwhile.
pub(super) async fn still(serving: &Serving, caller: &Caller) -> Result<(), Refused> {
    if serving.app.still_admits(caller).await {
        return Ok(());
    }
    Err(Refused::new(ProblemKind::Unauthenticated, "the key was revoked meanwhile", "Authorization"))
}

/// The token of a step. What it opens is decided where it is used.
pub(super) struct OfStep(pub(super) StepToken);

impl FromRequestParts<Serving> for OfStep {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, serving: &Serving) -> Result<Self, Refused> {
        let token = StepToken::from_presented(bearer(&parts.headers)?);
        match serving.app.open_any(&token).await {
            Ok(_) => Ok(OfStep(token)),
            Err(NotOpened::Unknown) => {
                Err(Refused::new(ProblemKind::Unavailable, "the token's key cannot be looked for now", None))
            }
            Err(NotOpened::Invalid(InvalidToken::Expired)) => {
                Err(Refused::new(ProblemKind::LeaseLost, "the step token has expired", None))
            }
            Err(NotOpened::Invalid(
                error @ (InvalidToken::Malformed | InvalidToken::Forged | InvalidToken::UnknownKey),
            )) => Err(Refused::new(ProblemKind::Unauthenticated, error.to_string(), "Authorization")),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let missing = || {
        let detail = "send Authorization: Bearer with a key";
        Refused::new(ProblemKind::Unauthenticated, detail, "Authorization")
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(missing()) };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(missing()) }
}

/// A JSON body of type `T`, read strictly.
pub(super) struct Json<T, const MOST: usize = BODY_BYTES_MAX>(pub(super) T);

impl<T: DeserializeOwned + Serialize, const MOST: usize> FromRequest<Serving> for Json<T, MOST> {
    type Rejection = Refused;

    async fn from_request(request: Request, serving: &Serving) -> Result<Self, Refused> {
        let is_json = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = is_json.map(|value| value.split(';').next().unwrap_or(value).trim());
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
            let detail = "the Content-Type must be application/json";
            return Err(Refused::new(ProblemKind::UnsupportedMediaType, detail, "Content-Type"));
        }
        let bytes = body(request, MOST, serving.body_within).await?;
        Ok(Json(strict::read(&bytes)?))
    }
}

/// The whole body, if it has at most `most` bytes and arrives in time.
async fn body(request: Request, most: usize, within: Duration) -> Result<Bytes, Refused> {
    let too_large =
        || Refused::new(ProblemKind::TooLarge, format!("a body has at most {most} bytes here"), "body");
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|length| length > DROPPED_BYTES_MAX.max(most)) {
        return Err(too_large());
    }
    let mut stream = request.into_body().into_data_stream();
    let whole = async {
        let (mut bytes, mut read) = (BytesMut::new(), 0);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| Refused::invalid("body", format!("it broke off: {error}")))?;
            read += chunk.len();
            if read <= most {
                bytes.extend_from_slice(&chunk);
            } else if read > DROPPED_BYTES_MAX.max(most) {
                break;
            } else {
                bytes = BytesMut::new();
            }
        }
        if read > most { Err(too_large()) } else { Ok(bytes.freeze()) }
    };
    tokio::time::timeout(within, whole).await.unwrap_or_else(|_| {
        Err(Refused::invalid("body", format!("the body did not arrive within {within:?}")))
    })
}

/// A JSON body of type `T`, read as strictly; or none, as no bytes at all or as `null`.
pub(super) struct OrNothing<T, const MOST: usize>(pub(super) Option<T>);

impl<T: DeserializeOwned + Serialize, const MOST: usize> FromRequest<Serving> for OrNothing<T, MOST> {
    type Rejection = Refused;

    async fn from_request(request: Request, serving: &Serving) -> Result<Self, Refused> {
        let bytes = body(request, MOST, serving.body_within).await?;
        if bytes.is_empty() { Ok(OrNothing(None)) } else { Ok(OrNothing(strict::read(&bytes)?)) }
    }
}

/// Bytes as they are, in the description of the API.
pub(super) struct Octets;

impl utoipa::ToSchema for Octets {}

impl utoipa::PartialSchema for Octets {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).content_media_type("application/octet-stream").into()
    }
}

/// Raw bytes, for artefacts.
pub(super) struct Raw<const MOST: usize>(pub(super) Bytes);

impl<const MOST: usize> FromRequest<Serving> for Raw<MOST> {
    type Rejection = Refused;

    async fn from_request(request: Request, serving: &Serving) -> Result<Self, Refused> {
        body(request, MOST, serving.body_within).await.map(Raw)
    }
}

/// An id in the path. One that is malformed names nothing.
pub(super) struct Id<T>(pub(super) T);

impl<T: FromStr + Send> FromRequestParts<Serving> for Id<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, serving: &Serving) -> Result<Self, Refused> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, serving).await.map_err(|_| Refused::nothing_here())?;
        text.parse().map(Id).map_err(|_| Refused::nothing_here())
    }
}

/// A task's id and a path in its workspace.
pub(super) struct FileOfTask {
    pub(super) task: TaskId,
    pub(super) path: String,
}

impl FromRequestParts<Serving> for FileOfTask {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, serving: &Serving) -> Result<Self, Refused> {
        let Path((task, path)) = Path::<(String, String)>::from_request_parts(parts, serving)
            .await
            .map_err(|_| Refused::nothing_here())?;
        let task = task.parse().map_err(|_| Refused::nothing_here())?;
        Ok(FileOfTask { task, path })
    }
}

/// What a client has seen of the store, as an earlier answer carried it; nothing when it does not say.
pub(super) struct Told(pub(super) Seen);

/// The header of [`Told`], in requests and in answers.
pub(super) const SEEN: HeaderName = HeaderName::from_static("octollm-seen");

impl FromRequestParts<Serving> for Told {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &Serving) -> Result<Self, Refused> {
        let mut values = parts.headers.get_all(SEEN).iter();
        let Some(value) = values.next() else { return Ok(Told(Seen::NOTHING)) };
        let read = value.to_str().ok().filter(|_| values.next().is_none()).map(str::parse);
        match read {
            Some(Ok(seen)) => Ok(Told(seen)),
            Some(Err(error)) => Err(Refused::invalid("Octollm-Seen", NotSeen::to_string(&error))),
            None => Err(Refused::invalid("Octollm-Seen", NotSeen.to_string())),
        }
    }
}

/// [`SEEN`] in a request, for the description of the API.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct SeenBefore {
    /// What an answer to this client carried in this header: the answer is no older. Without it, no older
    /// than what its key was shown here.
    #[param(rename = "Octollm-Seen")]
    #[expect(dead_code, reason = "it is read as `Told`")]
    seen: Option<String>,
}

/// What the client has seen with this answer; it may send it with its next reads.
pub(super) struct Carried(Option<Seen>);

impl Carried {
    pub(super) fn of(serving: &Serving, caller: &Caller) -> Self {
        Carried(serving.app.carried(caller))
    }
}

impl IntoResponseParts for Carried {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        if let Some(seen) = self.0 {
            let value = HeaderValue::try_from(seen.to_string()).expect("it is hexadecimal");
            parts.headers_mut().insert(SEEN, value);
        }
        Ok(parts)
    }
}

/// A refused write. It tells of a state that the client may not have been shown before: what it reads
/// next is no older than that (P4).
pub(super) struct Shown(Carried, Refused);

impl Shown {
    pub(super) fn to(serving: &Serving, caller: &Caller, why: impl Into<Refused>) -> Self {
        Shown(Carried::of(serving, caller), why.into())
    }
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

/// Query parameters: each one known, each one once.
pub(super) struct Params(Vec<(String, String)>);

impl FromRequestParts<Serving> for Params {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &Serving) -> Result<Self, Refused> {
        Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map(|Query(pairs)| Params(pairs))
            .map_err(|error| Refused::invalid("query", error.body_text()))
    }
}

impl Params {
    /// Takes the parameter `name`, if it is there.
    pub(super) fn take<T>(&mut self, name: &str) -> Result<Option<T>, Refused>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let value = self.value(name).map(|value| value.parse());
        value.transpose().map_err(|error: T::Err| Refused::invalid(name, error.to_string()))
    }

    /// The same of a type whose own words say nothing to a client: what is `wanted` does.
    pub(super) fn take_as<T: FromStr>(&mut self, name: &str, wanted: &str) -> Result<Option<T>, Refused> {
        let value = self.value(name).map(|value| value.parse());
        value.transpose().map_err(|_| Refused::invalid(name, format!("{wanted} is taken")))
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.remove(at).1)
    }

    /// Refuses what was not taken.
    pub(super) fn none_left(self) -> Result<(), Refused> {
        match self.0.first() {
            Some((name, _)) => {
                let name = if name.is_empty() { "query" } else { name };
                Err(Refused::invalid(name, "there is no such parameter here, or it is there twice"))
            }
            None => Ok(()),
        }
    }
}

/// No query parameters: this route knows none.
pub(super) struct NoParams;

impl FromRequestParts<Serving> for NoParams {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, serving: &Serving) -> Result<Self, Refused> {
        Params::from_request_parts(parts, serving).await?.none_left().map(|()| NoParams)
    }
}

/// No `Idempotency-Key`: this route does not keep what it has answered under one.
pub(super) struct NoIdempotency;

impl FromRequestParts<Serving> for NoIdempotency {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &Serving) -> Result<Self, Refused> {
        if parts.headers.contains_key("idempotency-key") {
            let detail = "the header is not honoured here; `step_id` says what is answered, and a second sending \
                          of it changes nothing (409)";
            return Err(Refused::invalid("Idempotency-Key", detail));
        }
        Ok(NoIdempotency)
    }
}

/// The `Idempotency-Key` header, if it is sent.
pub(super) struct Idempotency(pub(super) Option<IdempotencyKey>);

impl FromRequestParts<Serving> for Idempotency {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &Serving) -> Result<Self, Refused> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let refused = |detail: String| Refused::invalid("Idempotency-Key", detail);
        match (values.next(), values.next()) {
            (None, _) => Ok(Idempotency(None)),
            (Some(value), None) => {
                // What is no ASCII is as little a key as no text at all.
                let text = value.to_str().unwrap_or("");
                let key = text
                    .parse()
                    .map_err(|error: octollm_contract::InvalidName| refused(error.to_string()))?;
                Ok(Idempotency(Some(key)))
            }
            (Some(_), Some(_)) => Err(refused("the header is there twice".into())),
        }
    }
}

pub(super) type KeyInPath = Id<KeyId>;
