//! The one function from error to problem: status, kind, field, Retry-After.

use crate::{
    KeyError, NotReady, ReadError, SteerError, SubmitError, UsageError,
    problem::{problem, status},
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use octollm_access::InvalidPolicy;
use octollm_artefacts::GetError;
use octollm_client::LeaseError;
use octollm_contract::{Millis, Problem, ProblemKind};
use octollm_lifecycle::Refusal;
use octollm_store::StoreError;
use std::collections::BTreeMap;
use utoipa::{
    IntoResponses, ToSchema as _,
    openapi::{self, Content, Ref, RefOr},
};

/// What any call may be answered in place of what it asked for, as the API's description says it.
pub(super) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let problem = |what: &str| {
            let body = Content::new(Some(Ref::from_schema_name(Problem::name())));
            let response = openapi::ResponseBuilder::new().description(what);
            response.content("application/problem+json", body).build().into()
        };
        let refused = "Refused: the problem says why and names the field";
        let failed = "Not now, or it is not known whether: the problem says which; repeat after `Retry-After`, if it is there";
        [("4XX", refused), ("5XX", failed)].map(|(status, what)| (status.to_owned(), problem(what))).into()
    }
}

/// A refusal on its way to the client.
#[derive(Debug)]
pub(super) struct Refused {
    problem: Problem,
    retry_after: Option<Millis>,
}

/// Marks the answer to what a step has sent whose lease is over.
#[derive(Clone, Copy)]
pub(super) struct TooLate;

const SOON: Millis = Millis::from_secs(1);

impl Refused {
    pub(super) fn new<'a>(
        kind: ProblemKind,
        detail: impl Into<String>,
        field: impl Into<Option<&'a str>>,
    ) -> Self {
        let retry_after = match kind {
            ProblemKind::Overloaded | ProblemKind::Unavailable | ProblemKind::Unconfirmed => Some(SOON),
            ProblemKind::InvalidRequest
            | ProblemKind::NotHonoured
            | ProblemKind::InvalidPolicy
            | ProblemKind::NeedsModel
            | ProblemKind::BeyondPolicy
            | ProblemKind::Unauthenticated
            | ProblemKind::Forbidden
            | ProblemKind::NotFound
            | ProblemKind::MethodNotAllowed
            | ProblemKind::KeyReused
            | ProblemKind::Conflict
            | ProblemKind::LeaseLost
            | ProblemKind::TooLarge
            | ProblemKind::UnsupportedMediaType
            | ProblemKind::Internal => None,
        };
        Refused { problem: problem(kind, detail, field), retry_after }
    }

    pub(super) fn invalid(field: &str, detail: impl Into<String>) -> Self {
        Refused::new(ProblemKind::InvalidRequest, detail, field)
    }

    pub(super) fn nothing_here() -> Self {
        Refused::new(ProblemKind::NotFound, "there is nothing at this path", None)
    }

    /// A defect: logged here, once, with its chain.
    fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a request met a defect");
        Refused::new(ProblemKind::Internal, "the server failed; its log says why", None)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Refused { problem, retry_after: None }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unreachable(_) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the store failed");
                Refused::new(ProblemKind::Unavailable, "the store cannot be reached or written now", None)
            }
            StoreError::Unconfirmed(_) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the store failed");
                let detail = "the commit was not confirmed; repeat with the same Idempotency-Key";
                Refused::new(ProblemKind::Unconfirmed, detail, None)
            }
            StoreError::Corrupt(_) => Refused::internal(&error),
        }
    }
}

impl From<NotReady> for Refused {
    fn from(error: NotReady) -> Self {
        match error {
            NotReady::Draining | NotReady::Full => {
                Refused::new(ProblemKind::Unavailable, error.to_string(), None)
            }
            NotReady::Store(error) => error.into(),
        }
    }
}

impl From<SubmitError> for Refused {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Invalid { field, detail } => Refused::invalid(&field, detail),
            SubmitError::NotHonoured { field, detail } => {
                Refused::new(ProblemKind::NotHonoured, detail, field.as_str())
            }
            SubmitError::NeedsModel(why) => Refused::new(ProblemKind::NeedsModel, why.to_string(), "goal"),
            SubmitError::BeyondPolicy { detail } => Refused::new(ProblemKind::BeyondPolicy, detail, "goal"),
            SubmitError::KeyReused { first } => {
                let detail = format!("{first} was accepted under this key with another body");
                Refused::new(ProblemKind::KeyReused, detail, "Idempotency-Key")
            }
            SubmitError::Overloaded => {
                Refused::new(ProblemKind::Overloaded, "more accepts wait than are taken at once", None)
            }
            SubmitError::Draining | SubmitError::NotReadByAll(_) => {
                Refused::new(ProblemKind::Unavailable, error.to_string(), None)
            }
            SubmitError::BadPlan(_) => Refused::internal(&error),
            SubmitError::Store(error) => error.into(),
        }
    }
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => Refused::nothing_here(),
            ReadError::Store(error) => error.into(),
            // The task says that there is one: another server has kept it elsewhere, or it was taken away.
            ReadError::Artefact(GetError::NotFound(_)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an artefact of a task is not where this server keeps them; servers of one database must share the place"
                );
                let detail =
                    "the task has this artefact, and this server does not find it; its log says more";
                Refused::new(ProblemKind::Unavailable, detail, None)
            }
            ReadError::Artefact(GetError::Unreachable(_)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the artefacts failed");
                Refused::new(ProblemKind::Unavailable, "the artefacts cannot be reached now", None)
            }
            ReadError::Artefact(GetError::Corrupt { .. }) => Refused {
                problem: problem(
                    ProblemKind::Internal,
                    "the artefact's bytes are not those that were kept; the server's log names it",
                    None,
                ),
                ..Refused::internal(&error)
            },
            ReadError::Artefact(GetError::TooLarge { .. }) | ReadError::Unreadable(_) => {
                Refused::internal(&error)
            }
        }
    }
}

impl From<UsageError> for Refused {
    fn from(error: UsageError) -> Self {
        match error {
            UsageError::Invalid { field, detail } => Refused::invalid(field, detail),
            UsageError::OtherTenant => Refused::new(ProblemKind::Forbidden, error.to_string(), "tenant"),
            UsageError::Store(error) => error.into(),
        }
    }
}

impl From<SteerError> for Refused {
    fn from(error: SteerError) -> Self {
        match error {
            SteerError::NotFound => Refused::nothing_here(),
            SteerError::Refused(refusal) => match refusal {
                Refusal::LeaseLost => Refused::new(ProblemKind::LeaseLost, refusal.to_string(), None),
                Refusal::Ended
                | Refusal::NotWaiting
                | Refusal::NotReady
                | Refusal::BadPlan
                | Refusal::BadVerdict
                | Refusal::OtherInput
                | Refusal::OtherStep { .. }
                | Refusal::WhichQuestion { .. }
                | Refusal::MustStop
                | Refusal::OverBudget(_)
                | Refusal::Unpriced
                | Refusal::TooManyHolds
                | Refusal::CallReused
                | Refusal::NumberUnderWay
                | Refusal::NoSuchHold
                | Refusal::MoreThanHeld => Refused::new(ProblemKind::Conflict, refusal.to_string(), None),
            },
            SteerError::OtherInput { given, .. } => {
                Refused::new(ProblemKind::Conflict, error.to_string(), given)
            }
            SteerError::OtherStep { .. } | SteerError::WhichQuestion { .. } => {
                Refused::new(ProblemKind::Conflict, error.to_string(), "step_id")
            }
            SteerError::NoStep | SteerError::NotItsStep(_) => Refused::invalid("step_id", error.to_string()),
            SteerError::NotOneInput => Refused::invalid("approve", error.to_string()),
            SteerError::NoAnswer => Refused::invalid("text", error.to_string()),
            SteerError::Store(error @ StoreError::Unconfirmed(_)) => {
                let detail = "the commit was not confirmed; the task shows what was done";
                Refused { problem: problem(ProblemKind::Unconfirmed, detail, None), ..error.into() }
            }
            SteerError::Store(error) => error.into(),
            SteerError::Read(error) => error.into(),
        }
    }
}

impl From<KeyError> for Refused {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Invalid { field, detail } => Refused::invalid(field, detail),
            KeyError::BeyondMaker { field, detail } => Refused::new(ProblemKind::Forbidden, detail, field),
            KeyError::Taken(_) | KeyError::LastAdmin => {
                Refused::new(ProblemKind::Conflict, error.to_string(), "id")
            }
            KeyError::NotFound => Refused::nothing_here(),
            KeyError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidPolicy> for Refused {
    fn from(error: InvalidPolicy) -> Self {
        Refused::new(ProblemKind::InvalidPolicy, error.detail, format!("policy.{}", error.field).as_str())
    }
}

impl From<LeaseError> for Refused {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Lost => Refused::new(ProblemKind::LeaseLost, "the lease is no longer held", None),
            LeaseError::Busy { retry_after } => {
                let refused = Refused::new(ProblemKind::Unavailable, "no work is handed out now", None);
                Refused { retry_after: Some(retry_after), ..refused }
            }
            LeaseError::Refused(problem) => problem.into(),
            LeaseError::Unreachable(_) => {
                Refused::new(ProblemKind::Unconfirmed, "it is not known whether this was recorded", None)
            }
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.problem).expect("a problem is JSON");
        let mut response = (code, body).into_response();
        if self.problem.kind.ends_with(ProblemKind::LeaseLost.slug()) {
            response.extensions_mut().insert(TooLate);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.problem.status == status(ProblemKind::Unauthenticated) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"octollm\""));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.get().div_ceil(1000)));
        }
        response
    }
}
