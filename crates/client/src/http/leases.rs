//! The lease protocol over HTTP, with any of several orchestrators.
//!
//! Promises: steps are asked for at one orchestrator, and at the next one when it cannot be reached
//! or is going away; a step is reported on where it was leased, and elsewhere only when nothing
//! was sent because no connection could be made, so that a report is never sent twice by this layer.
//! A heartbeat, which may be sent twice, is sent to the next orchestrator when one does not answer
//! soon: one that is away costs no step its lease (P1). So is an artefact. Who answers is reported to from
//! then on.

use super::{
    homes::Homes,
    think::thinking,
    transport::{BadBase, ClientError, Tls, Transport, body, unreadable},
};
use crate::{
    Beat, Completion, Grant, LeaseAsk, LeaseError, Leases, PROTOCOL_VERSION, ThinkAsk, ThinkError, Thinking,
    Wait,
    wire::{
        ArtefactPut, CheckpointReport, EDITION_HEADER, FailReport, HeartbeatAsk, LeaveAsk, PROTOCOL_HEADER,
        ReleaseReport,
    },
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use octollm_access::{ApiKey, StepToken};
use octollm_contract::{ContentHash, Document, Edition, Millis, ProblemKind, WorkerId, model::WaitsFor};
use reqwest::{Method, RequestBuilder, Response, header};
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// An orchestrator from which nothing of an artefact comes for so long is passed over: artefacts may be
/// sent and asked for twice.
const ARTEFACT_SILENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// A large one takes its time on its way there, of which nothing is heard.
const UPLOAD_BYTES_PER_SECOND: u32 = 1 << 20;
/// No answer of a model takes longer than a step may.
const THINKING_MAX: Duration = Duration::from_secs(3600);
/// The gateway begins to answer at once; what it says may take long.
const THINKING_BEGINS_WITHIN: Duration = Duration::from_secs(15);
/// An orchestrator that has not answered a heartbeat by then, the connection included, is passed over.
const BEAT_WITHIN: Duration = Duration::from_millis(900);
/// One heartbeat is sent to so many orchestrators at most, the next one to those after them.
const BEAT_TURNS_MAX: usize = 3;
/// An orchestrator that has not answered a wish for steps so long after its wait stands still: it asks its
/// store once, and waits ten seconds for it at most.
const REPLY_WITHIN: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 12 });
/// The same of a report, which takes longer to send, to settle the calls of and to store. It is repeated
/// where the step is beaten by then.
const REPORTED_WITHIN: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 25 });
const BUSY: Millis = Millis::from_secs(1);

/// A worker's way to its orchestrators: its arm key for asking, a step's token for reporting.
#[derive(Clone)]
pub struct HttpLeases {
    key: ApiKey,
    orchestrators: Arc<Orchestrators>,
}

struct Orchestrators {
    /// At least one.
    all: Vec<Transport>,
    /// Where steps are asked for.
    asking: AtomicUsize,
    homes: Homes,
}

impl Orchestrators {
    fn home(&self, token: &StepToken) -> usize {
        self.homes.of(token).unwrap_or_else(|| self.asking.load(Ordering::Relaxed))
    }

    fn ask_elsewhere(&self, not_at: usize) {
        let next = (not_at + 1) % self.all.len();
        // Whoever saw it first has moved on already.
        let _moved = self.asking.compare_exchange(not_at, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Sends what `build` makes of a step to where it was leased, or to the first orchestrator after it
    /// that lets a connection in.
    async fn send(
        &self,
        token: &StepToken,
        build: impl Fn(&Transport) -> RequestBuilder,
    ) -> Result<Response, ClientError> {
        let (home, mut refused) = (self.home(token), None);
        for turn in 0..self.all.len() {
            let at = (home + turn) % self.all.len();
            let transport = &self.all[at];
            match transport.answered(build(transport)).await {
                // It has heard nothing.
                Err(error) if error.was_never_sent() => refused = Some(error),
                answer => {
                    if turn > 0 {
                        self.homes.heard(token, at, Instant::now());
                    }
                    return answer;
                }
            }
        }
        Err(refused.expect("there is at least one orchestrator"))
    }
}

impl HttpLeases {
    /// Talks to the orchestrators at `bases` with an arm's key; `first` says which of them is asked
    /// first, by its remainder, so that many workers spread. Nothing is sent yet.
    ///
    /// An empty list is no address.
    pub fn new(bases: &[String], key: ApiKey, first: usize) -> Result<Self, BadBase> {
        HttpLeases::over(bases, key, first, &Tls::default())
    }

    /// The same, with a say in whom to trust and what to show.
    pub fn over(bases: &[String], key: ApiKey, first: usize, tls: &Tls) -> Result<Self, BadBase> {
        let all = bases.iter().map(|base| Transport::new(base, tls)).collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() {
            return Err(BadBase::NoneGiven);
        }
        let asking = AtomicUsize::new(first % all.len());
        Ok(HttpLeases {
            key,
            orchestrators: Arc::new(Orchestrators { all, asking, homes: Homes::default() }),
        })
    }

    /// A call with the arm's key, at one place.
    async fn asked(
        &self,
        at: usize,
        path: &str,
        within: Duration,
        body: &(impl Serialize + Sync),
    ) -> Result<Response, ClientError> {
        let transport = &self.orchestrators.all[at];
        let request = transport.request(Method::POST, &["internal", "v1", path], &[], &self.key.reveal());
        let request = request
            .header(PROTOCOL_HEADER, PROTOCOL_VERSION.to_string())
            .header(EDITION_HEADER, Edition::NEWEST.number())
            .timeout(within)
            .json(body);
        transport.answered(request).await
    }

    /// A call with a step's token.
    async fn of_step(
        &self,
        method: Method,
        segments: &[&str],
        token: &StepToken,
        with: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, ClientError> {
        let whole: Vec<&str> =
            ["internal", "v1", "step"].into_iter().chain(segments.iter().copied()).collect();
        let build = |transport: &Transport| {
            let request =
                transport.request(method.clone(), &whole, &[], token.reveal()).timeout(REPORTED_WITHIN);
            with(request.header(PROTOCOL_HEADER, PROTOCOL_VERSION.to_string()))
        };
        self.orchestrators.send(token, build).await
    }

    /// What is asked of a step goes to the next orchestrator from now on.
    fn pass_over(&self, token: &StepToken) {
        let Orchestrators { all, homes, .. } = self.orchestrators.as_ref();
        homes.heard(token, (self.orchestrators.home(token) + 1) % all.len(), Instant::now());
    }

    /// An artefact from where the step is at home; how long nothing was heard, if that was too long.
    async fn fetched(
        &self,
        token: &StepToken,
        hash: &str,
    ) -> Result<Result<Bytes, ClientError>, tokio::time::error::Elapsed> {
        let way = ["artefacts", hash];
        let asked = self.of_step(Method::GET, &way, token, |request| request.timeout(THINKING_MAX));
        let mut response = match timeout(ARTEFACT_SILENCE, asked).await? {
            Ok(response) => response,
            Err(error) => return Ok(Err(error)),
        };
        let mut whole = BytesMut::new();
        loop {
            match timeout(ARTEFACT_SILENCE, response.chunk()).await? {
                Ok(Some(chunk)) => whole.extend_from_slice(&chunk),
                Ok(None) => return Ok(Ok(whole.freeze())),
                Err(error) => return Ok(Err(ClientError::Unreachable(error))),
            }
        }
    }

    /// A report that ends the lease, if it is heard.
    async fn end(
        &self,
        path: &str,
        token: &StepToken,
        with: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<(), LeaseError> {
        let said = self.of_step(Method::POST, &[path], token, with).await.map(drop).map_err(lease_error);
        let over = match &said {
            Ok(()) | Err(LeaseError::Lost) => true,
            // After a refused result comes a failure, or another plan.
            Err(LeaseError::Refused(_)) => path != "complete",
            Err(LeaseError::Busy { .. } | LeaseError::Unreachable(_)) => false,
        };
        if over {
            self.orchestrators.homes.leave(token);
        }
        said
    }

    /// One heartbeat at one orchestrator.
    async fn beat_at(&self, at: usize, ask: &HeartbeatAsk) -> Result<Vec<Beat>, LeaseError> {
        let answer = self.asked(at, "heartbeat", BEAT_WITHIN, ask).await.map_err(lease_error)?;
        let beats: Vec<Beat> = body(answer).await.map_err(lease_error)?;
        if beats.len() == ask.tokens.len() {
            Ok(beats)
        } else {
            let wrong =
                std::io::Error::other("a heartbeat was answered for other steps than it was sent for");
            Err(LeaseError::Unreachable(Box::new(wrong)))
        }
    }

    /// The heartbeat of steps that are at home at `home`: there, or at the next that answers.
    async fn beat_from(&self, home: usize, ask: HeartbeatAsk) -> Result<Vec<Beat>, LeaseError> {
        let Orchestrators { all, homes, .. } = self.orchestrators.as_ref();
        let turns = all.len().min(BEAT_TURNS_MAX);
        let mut failed = None;
        for at in (home..home + turns).map(|at| at % all.len()) {
            match self.beat_at(at, &ask).await {
                Ok(beats) => {
                    for (token, beat) in ask.tokens.iter().zip(&beats) {
                        match beat {
                            Beat::Alive | Beat::Stop => homes.heard(token, at, Instant::now()),
                            Beat::Lost => homes.leave(token),
                        }
                    }
                    return Ok(beats);
                }
                Err(error) => {
                    self.orchestrators.ask_elsewhere(at);
                    failed = Some(error);
                }
            }
        }
        let next = (home + turns) % all.len();
        ask.tokens.iter().for_each(|token| homes.heard(token, next, Instant::now()));
        Err(failed.expect("there is at least one orchestrator"))
    }
}

/// What an answer grants.
struct Granted {
    grants: Vec<Grant>,
    /// What stands in no form that this version knows, and why not.
    strange: Vec<Strange>,
}

/// What of a grant that cannot be read is needed to hand it back.
struct Strange {
    token: StepToken,
    attempt: u32,
    why: String,
}

/// Reads grants one by one where they cannot be read together: one that a newer server has written in another
/// form is not to cost the others their leases.
async fn granted(answer: Response) -> Result<Granted, ClientError> {
    let status = answer.status();
    let bytes = answer.bytes().await.map_err(ClientError::Unreachable)?;
    if let Ok(grants) = serde_json::from_slice(&bytes) {
        return Ok(Granted { grants, strange: Vec::new() });
    }
    let values: Vec<Value> = serde_json::from_slice(&bytes).map_err(|_| unreadable(status, &bytes))?;
    let (mut grants, mut strange) = (Vec::new(), Vec::new());
    for value in values {
        match Grant::deserialize(&value) {
            Ok(grant) => grants.push(grant),
            Err(error) => {
                let token =
                    StepToken::deserialize(&value["token"]).map_err(|_| unreadable(status, &bytes))?;
                let attempt =
                    value["attempt"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
                strange.push(Strange { token, attempt, why: error.to_string() });
            }
        }
    }
    Ok(Granted { grants, strange })
}

#[async_trait]
impl Leases for HttpLeases {
    async fn lease(&self, ask: LeaseAsk) -> Result<Vec<Grant>, LeaseError> {
        let at = self.orchestrators.asking.load(Ordering::Relaxed);
        // Asked at one place only: a wish for steps that two heard would bring twice as many.
        let within = ask.wait.to_duration() + REPLY_WITHIN;
        let asked = async {
            let answer = self.asked(at, "lease", within, &ask).await.map_err(lease_error)?;
            granted(answer).await.map_err(lease_error)
        };
        match asked.await {
            Ok(Granted { grants, strange }) => {
                let tokens = grants
                    .iter()
                    .map(|grant| &grant.token)
                    .chain(strange.iter().map(|strange| &strange.token));
                self.orchestrators.homes.settle(tokens, at, Instant::now());
                for Strange { token, attempt, why } in strange {
                    let why = format!("a worker of an older version cannot read what is to be done: {why}");
                    let _it_lapses_instead =
                        self.release(&token, Some(Wait::for_a_later_version(attempt, why))).await;
                }
                Ok(grants)
            }
            Err(error) => {
                if matches!(error, LeaseError::Busy { .. } | LeaseError::Unreachable(_)) {
                    self.orchestrators.ask_elsewhere(at);
                }
                Err(error)
            }
        }
    }

    /// Where it asks for steps.
    async fn leave(&self, worker: &WorkerId) -> Result<(), LeaseError> {
        let at = self.orchestrators.asking.load(Ordering::Relaxed);
        let ask = LeaveAsk { worker: worker.clone() };
        self.asked(at, "leave", BEAT_WITHIN, &ask).await.map(drop).map_err(lease_error)
    }

    /// One call for each orchestrator that leased some of the steps, side by side.
    async fn heartbeat(
        &self,
        worker: &WorkerId,
        tokens: &[StepToken],
    ) -> Result<Vec<Option<Beat>>, LeaseError> {
        let mut by_home: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, token) in tokens.iter().enumerate() {
            by_home.entry(self.orchestrators.home(token)).or_default().push(place);
        }
        let calls = by_home.into_iter().map(|(home, places)| async move {
            let of_home = places.iter().map(|place| tokens[*place].clone()).collect();
            let ask = HeartbeatAsk { worker: worker.clone(), tokens: of_home };
            (places, self.beat_from(home, ask).await)
        });
        let (mut beats, mut failed) = (vec![None; tokens.len()], None);
        for (places, answer) in join_all(calls).await {
            match answer {
                Ok(answer) => {
                    for (place, beat) in places.into_iter().zip(answer) {
                        beats[place] = Some(beat);
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if beats.iter().all(Option::is_none) => Err(error),
            Some(_) | None => Ok(beats),
        }
    }

    async fn checkpoint(
        &self,
        token: &StepToken,
        state: Document,
        artefacts: Vec<ContentHash>,
    ) -> Result<(), LeaseError> {
        let state = state.read().map_err(|error| LeaseError::Unreachable(Box::new(error)))?;
        let report = CheckpointReport { state, artefacts };
        let with = |request: RequestBuilder| request.json(&report);
        self.of_step(Method::POST, &["checkpoint"], token, with).await.map(drop).map_err(lease_error)
    }

    async fn complete(&self, token: &StepToken, done: Completion) -> Result<(), LeaseError> {
        self.end("complete", token, |request| request.json(&done)).await
    }

    async fn fail(&self, token: &StepToken, message: String, retryable: bool) -> Result<(), LeaseError> {
        let report = FailReport { message, retryable };
        self.end("fail", token, |request| request.json(&report)).await
    }

    async fn release(&self, token: &StepToken, wait: Option<Wait>) -> Result<(), LeaseError> {
        let report = ReleaseReport { wait };
        self.end("release", token, |request| request.json(&report)).await
    }

    async fn put_artefact(&self, token: &StepToken, bytes: Bytes) -> Result<ContentHash, LeaseError> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let within = ARTEFACT_SILENCE + Duration::from_secs((length / UPLOAD_BYTES_PER_SECOND).into());
        let with = |request: RequestBuilder| {
            let request = request.timeout(within);
            request.header(header::CONTENT_TYPE, "application/octet-stream").body(bytes.clone())
        };
        let mut turns = self.orchestrators.all.len();
        loop {
            turns -= 1;
            match self.of_step(Method::POST, &["artefacts"], token, with).await {
                Err(ClientError::Unreachable(error)) if error.is_timeout() && turns > 0 => {
                    self.pass_over(token)
                }
                answer => {
                    let put: ArtefactPut = body(answer.map_err(lease_error)?).await.map_err(lease_error)?;
                    return Ok(put.sha256);
                }
            }
        }
    }

    async fn think(&self, token: &StepToken, ask: ThinkAsk) -> Result<Thinking, ThinkError> {
        let with = |request: RequestBuilder| request.timeout(THINKING_MAX).json(&ask);
        let response = self.of_step(Method::POST, &["think"], token, with);
        let response = timeout(THINKING_BEGINS_WITHIN, response)
            .await
            .map_err(|silence| ThinkError::Unreachable(Box::new(silence)))?;
        let response = response.map_err(|error| match lease_error(error) {
            LeaseError::Lost => ThinkError::Lost,
            LeaseError::Busy { retry_after } => {
                let why = "the orchestrator takes no work now".to_owned();
                ThinkError::Busy { retry_after, waits_for: WaitsFor::Orchestrator, why }
            }
            LeaseError::Refused(problem) => ThinkError::Refused(problem.to_string()),
            LeaseError::Unreachable(why) => ThinkError::Unreachable(why),
        })?;
        Ok(thinking(response))
    }

    async fn get_artefact(&self, token: &StepToken, hash: ContentHash) -> Result<Bytes, LeaseError> {
        let hash = hash.to_string();
        let mut turns = self.orchestrators.all.len();
        loop {
            turns -= 1;
            match self.fetched(token, &hash).await {
                Ok(answer) => return answer.map_err(lease_error),
                Err(silence) if turns == 0 => return Err(LeaseError::Unreachable(Box::new(silence))),
                Err(_silence) => self.pass_over(token),
            }
        }
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
        ClientError::Unreachable(_)
        | ClientError::OtherScheme { .. }
        | ClientError::TurnedAway(_)
        | ClientError::NoneShown(_)
        | ClientError::Unreadable { .. } => LeaseError::Unreachable(Box::new(error)),
    }
}

#[cfg(test)]
#[path = "leases_tests.rs"]
mod tests;
