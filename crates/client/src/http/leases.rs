//! The lease protocol over HTTP.

use super::{
    think::thinking,
    transport::{ANSWER_WITHIN, BadBase, ClientError, Transport, answered, read},
};
use crate::{
    Beat, Completion, Grant, LeaseAsk, LeaseError, Leases, PROTOCOL_VERSION, ThinkAsk, ThinkError, Thinking,
    Wait,
    wire::{ArtefactPut, CheckpointReport, FailReport, HeartbeatAsk, PROTOCOL_HEADER, ReleaseReport},
};
use async_trait::async_trait;
use bytes::Bytes;
use octollm_access::{ApiKey, StepToken};
use octollm_contract::{ContentHash, Document, Millis, ProblemKind, WorkerId};
use reqwest::{Method, RequestBuilder, header};
use std::time::Duration;

/// Large artefacts take their time.
const ARTEFACT_WITHIN: Duration = Duration::from_secs(120);
/// No answer of a model takes longer than a step may.
const THINKING_MAX: Duration = Duration::from_secs(3600);
const BUSY: Millis = Millis::from_secs(1);

/// A worker's way to an orchestrator: its arm key for asking, a step's token for reporting.
#[derive(Clone)]
pub struct HttpLeases {
    transport: Transport,
    key: ApiKey,
}

impl HttpLeases {
    /// Talks to the orchestrator at `base` with an arm's key. Nothing is sent yet.
    pub fn new(base: &str, key: ApiKey) -> Result<Self, BadBase> {
        Ok(HttpLeases { transport: Transport::new(base)?, key })
    }

    fn asking(&self, path: &str) -> RequestBuilder {
        let request =
            self.transport.request(Method::POST, &["internal", "v1", path], &[], &self.key.reveal());
        request.header(PROTOCOL_HEADER, PROTOCOL_VERSION.to_string())
    }

    fn of_step(&self, method: Method, segments: &[&str], token: &StepToken) -> RequestBuilder {
        let whole: Vec<&str> =
            ["internal", "v1", "step"].into_iter().chain(segments.iter().copied()).collect();
        let request = self.transport.request(method, &whole, &[], token.reveal());
        request.header(PROTOCOL_HEADER, PROTOCOL_VERSION.to_string())
    }

    fn report(&self, path: &str, token: &StepToken) -> RequestBuilder {
        self.of_step(Method::POST, &[path], token)
    }
}

#[async_trait]
impl Leases for HttpLeases {
    async fn lease(&self, ask: LeaseAsk) -> Result<Vec<Grant>, LeaseError> {
        let request = self.asking("lease").timeout(ask.wait.to_duration() + ANSWER_WITHIN);
        read(request.json(&ask)).await.map_err(lease_error)
    }

    async fn heartbeat(&self, worker: &WorkerId, tokens: &[StepToken]) -> Result<Vec<Beat>, LeaseError> {
        let ask = HeartbeatAsk { worker: worker.clone(), tokens: tokens.to_vec() };
        read(self.asking("heartbeat").json(&ask)).await.map_err(lease_error)
    }

    async fn checkpoint(
        &self,
        token: &StepToken,
        state: Document,
        artefacts: Vec<ContentHash>,
    ) -> Result<(), LeaseError> {
        let state = state.read().map_err(|error| LeaseError::Unreachable(Box::new(error)))?;
        let report = CheckpointReport { state, artefacts };
        answered(self.report("checkpoint", token).json(&report)).await.map(drop).map_err(lease_error)
    }

    async fn complete(&self, token: &StepToken, done: Completion) -> Result<(), LeaseError> {
        answered(self.report("complete", token).json(&done)).await.map(drop).map_err(lease_error)
    }

    async fn fail(&self, token: &StepToken, message: String, retryable: bool) -> Result<(), LeaseError> {
        let report = FailReport { message, retryable };
        answered(self.report("fail", token).json(&report)).await.map(drop).map_err(lease_error)
    }

    async fn release(&self, token: &StepToken, wait: Option<Wait>) -> Result<(), LeaseError> {
        answered(self.report("release", token).json(&ReleaseReport { wait }))
            .await
            .map(drop)
            .map_err(lease_error)
    }

    async fn put_artefact(&self, token: &StepToken, bytes: Bytes) -> Result<ContentHash, LeaseError> {
        let request = self.report("artefacts", token).timeout(ARTEFACT_WITHIN);
        let request = request.header(header::CONTENT_TYPE, "application/octet-stream").body(bytes);
        let put: ArtefactPut = read(request).await.map_err(lease_error)?;
        Ok(put.sha256)
    }

    async fn think(&self, token: &StepToken, ask: ThinkAsk) -> Result<Thinking, ThinkError> {
        let request = self.report("think", token).timeout(THINKING_MAX).json(&ask);
        let response = answered(request).await.map_err(|error| match lease_error(error) {
            LeaseError::Lost => ThinkError::Lost,
            LeaseError::Busy { retry_after } => {
                ThinkError::Busy { retry_after, why: "the orchestrator takes no work now".to_owned() }
            }
            LeaseError::Refused(problem) => ThinkError::Refused(problem.to_string()),
            LeaseError::Unreachable(why) => ThinkError::Unreachable(why),
        })?;
        Ok(thinking(response))
    }

    async fn get_artefact(&self, token: &StepToken, hash: ContentHash) -> Result<Bytes, LeaseError> {
        let request = self.of_step(Method::GET, &["artefacts", &hash.to_string()], token);
        let response = answered(request.timeout(ARTEFACT_WITHIN)).await.map_err(lease_error)?;
        response.bytes().await.map_err(|error| LeaseError::Unreachable(Box::new(error)))
    }
}

fn lease_error(error: ClientError) -> LeaseError {
    match error {
        ClientError::Problem { problem, retry_after } => match problem.known_kind() {
            Some(ProblemKind::LeaseLost) => LeaseError::Lost,
            Some(ProblemKind::Unavailable | ProblemKind::Overloaded) => {
                LeaseError::Busy { retry_after: retry_after.unwrap_or(BUSY) }
            }
            Some(ProblemKind::Unconfirmed | ProblemKind::Internal) => {
                LeaseError::Unreachable(Box::new(ClientError::Problem { problem, retry_after }))
            }
            Some(
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
                | ProblemKind::TooLarge
                | ProblemKind::UnsupportedMediaType,
            )
            | None => LeaseError::Refused(problem),
        },
        ClientError::Unreachable(_) | ClientError::Unreadable { .. } => {
            LeaseError::Unreachable(Box::new(error))
        }
    }
}
