//! The lease protocol in the same process; the HTTP layer serves it to others.
//!
//! Promises: a long poll waits for hints and for the moment that the store names, and asks the
//! store for nothing in between; who asks and goes away before the answer has its steps handed
//! back; a step reads artefacts that its task refers to or that it put under this lease, and
//! can refer to no others (P7).
//!
//! Must not know: what a step is about.

mod grants;
mod planned;
mod put;

use crate::{App, app::NotOpened, problem::problem};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::select_all;
use octollm_access::{StepClaims, StepToken, TenantScope};
use octollm_artefacts::{GetError, PutError, WorkspacePath};
use octollm_client::{
    Beat, Completion, Decision, Grant, LeaseAsk, LeaseError, Leases, ThinkAsk, ThinkError, Thinking,
    VerdictReport, Wait, wire::UNKNOWN_ARTEFACTS,
};
use octollm_contract::{
    ContentHash, Document, Millis, ProblemKind, WorkerId, api::ArtefactView, model::WaitsFor,
};
use octollm_lifecycle::{Command, Refusal, Verdict};
use octollm_store::{DecideError, Directed, StoreError, Wanted};
use put::Put;
use std::{collections::BTreeSet, sync::Arc};
use tokio::time::Instant;

/// One poll lasts at most this long.
const WAIT_MAX: Millis = Millis::from_secs(60);
/// One poll brings at most so many steps.
const GRANTS_MAX: u16 = 64;
/// One heartbeat is for at most so many.
const BEATS_MAX: usize = 1024;
const ASK_AGAIN: Millis = Millis::new(10);
const BUSY: Millis = Millis::from_secs(1);

/// The lease protocol over an [`App`].
#[derive(Clone)]
pub struct LocalLeases {
    app: Arc<App>,
    put: Arc<Put>,
}

impl LocalLeases {
    /// Serves the leases of `app`.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        LocalLeases { app, put: Arc::default() }
    }

    fn open(&self, token: &StepToken) -> Result<StepClaims, LeaseError> {
        self.app.open(token).map_err(|_| LeaseError::Lost)
    }

    async fn report(
        &self,
        token: &StepToken,
        command: impl FnOnce(&StepClaims) -> Command,
    ) -> Result<(), LeaseError> {
        let claims = self.open(token)?;
        let directed =
            Directed { task: claims.step.task, scope: TenantScope::System, command: command(&claims) };
        match self.app.parts.store.decide(vec![directed]).await.pop() {
            Some(Ok(_)) => Ok(()),
            Some(Err(DecideError::Refused(refusal))) => Err(refused(refusal)),
            Some(Err(DecideError::Store(error))) => Err(self.unwritten(error)),
            Some(Err(DecideError::NotFound)) | None => Err(LeaseError::Lost),
        }
    }

    /// What a worker says cannot be written.
    fn unwritten(&self, error: StoreError) -> LeaseError {
        if !matches!(error, StoreError::Corrupt(_)) {
            self.app.hearing.failed(self.app.now());
        }
        store_failed(error)
    }

    /// Only what the task refers to or this lease has put: else a report would make another
    /// tenant's artefact readable (P7).
    async fn own_artefacts(&self, claims: &StepClaims, named: &[ContentHash]) -> Result<(), LeaseError> {
        for hash in named {
            if !self.may_read(claims, *hash).await? {
                let detail = format!("the step is not known to have put the artefact {hash}");
                return Err(LeaseError::Refused(problem(
                    ProblemKind::InvalidRequest,
                    detail,
                    UNKNOWN_ARTEFACTS,
                )));
            }
        }
        Ok(())
    }

    async fn may_read(&self, claims: &StepClaims, hash: ContentHash) -> Result<bool, LeaseError> {
        if self.put.has(claims, hash) {
            return Ok(true);
        }
        let refers = self.app.parts.store.refers(claims.step.task, hash).await.map_err(store_failed)?;
        if refers {
            // A conversation names all its messages with each checkpoint.
            self.put.note(claims, hash, self.app.now());
        }
        Ok(refers)
    }

    async fn held(&self, token: &StepToken) -> Result<StepClaims, LeaseError> {
        let claims = self.open(token)?;
        let held = self.app.parts.store.holds(claims.step, claims.lease).await.map_err(store_failed)?;
        if held { Ok(claims) } else { Err(LeaseError::Lost) }
    }
}

#[async_trait]
impl Leases for LocalLeases {
    async fn lease(&self, ask: LeaseAsk) -> Result<Vec<Grant>, LeaseError> {
        let until = Instant::now() + ask.wait.min(WAIT_MAX).to_duration();
        let too_few = [("arms", ask.arms.is_empty(), "arm"), ("most", ask.most == 0, "step")];
        if let Some((field, _, what)) = too_few.into_iter().find(|(_, none, _)| *none) {
            let detail = format!("at least one {what} must be asked for");
            return Err(LeaseError::Refused(problem(ProblemKind::InvalidRequest, detail, field)));
        }
        let hints = self.app.parts.store.hints();
        let mut watches: Vec<_> = ask.arms.iter().map(|arm| hints.watch_arm(*arm)).collect();
        loop {
            if self.app.is_draining() {
                return Err(LeaseError::Busy { retry_after: BUSY });
            }
            let leaving = self.app.workers.asked(&ask, self.app.now());
            let wanted = Wanted {
                worker: ask.worker.clone(),
                arms: ask.arms.clone(),
                most: usize::from(ask.most.min(GRANTS_MAX)),
                ttl: self.app.settings.lease_ttl,
            };
            let (grants, next) = self.claim_or_hand_back(wanted, ask.reads).await?;
            if !grants.is_empty() {
                return Ok(grants);
            }
            // A step that others are taking may be named as ready; asking again at once helps nobody.
            let next = next.map(|at| Instant::now() + at.since(self.app.now()).max(ASK_AGAIN).to_duration());
            let ready = select_all(watches.iter_mut().map(|watch| Box::pin(watch.changed())));
            tokio::select! {
                biased;
                () = leaving.cancelled() => return Ok(Vec::new()),
                _ = ready => {}
                () = tokio::time::sleep_until(next.unwrap_or(until)), if next.is_some_and(|at| at < until) => {}
                () = tokio::time::sleep_until(until) => return Ok(Vec::new()),
                () = self.app.draining.cancelled() => {}
            }
        }
    }

    async fn leave(&self, worker: &WorkerId) -> Result<(), LeaseError> {
        self.app.workers.left(worker);
        Ok(())
    }

    async fn heartbeat(
        &self,
        worker: &WorkerId,
        tokens: &[StepToken],
    ) -> Result<Vec<Option<Beat>>, LeaseError> {
        if tokens.len() > BEATS_MAX {
            let detail = format!("at most {BEATS_MAX} steps beat at once");
            return Err(LeaseError::Refused(problem(ProblemKind::InvalidRequest, detail, "tokens")));
        }
        let now = self.app.now();
        self.app.workers.beat(worker, now);
        let opened = self.app.open_all(tokens).await;
        let ttl = self.app.settings.lease_ttl;
        let commands = opened.iter().flatten().map(|claims| Directed {
            task: claims.step.task,
            scope: TenantScope::System,
            command: Command::Heartbeat { place: claims.step.place, token: claims.lease, ttl },
        });
        let mut decided = self.app.parts.store.decide(commands.collect()).await.into_iter();
        let beats = opened.iter().map(|claims| {
            let claims = match claims {
                Ok(claims) => claims,
                Err(NotOpened::Invalid(_)) => return Ok(Some(Beat::Lost)),
                Err(NotOpened::Unknown) => return Ok(None),
            };
            match decided.next() {
                Some(Ok(changes)) if changes.after.must_stop(claims.step.place, now) => Ok(Some(Beat::Stop)),
                Some(Ok(_)) => Ok(Some(Beat::Alive)),
                Some(Err(DecideError::Refused(_) | DecideError::NotFound)) | None => Ok(Some(Beat::Lost)),
                Some(Err(DecideError::Store(error))) => Err(self.unwritten(error)),
            }
        });
        beats.collect()
    }

    async fn checkpoint(
        &self,
        token: &StepToken,
        state: Document,
        artefacts: Vec<ContentHash>,
    ) -> Result<(), LeaseError> {
        self.own_artefacts(&self.open(token)?, &artefacts).await?;
        self.report(token, |claims| Command::Checkpoint {
            place: claims.step.place,
            token: claims.lease,
            state,
            artefacts,
        })
        .await
    }

    async fn complete(&self, token: &StepToken, done: Completion) -> Result<(), LeaseError> {
        let claims = self.open(token)?;
        if let Some(gateway) = &self.app.settings.gateway {
            // What its calls have cost is told with the result, not after it.
            gateway.settled(claims.step.task).await;
        }
        well_named(&done.output.artefacts)?;
        let named: BTreeSet<ContentHash> = done.output.named().collect();
        let artefacts: Vec<ContentHash> = named.into_iter().collect();
        self.own_artefacts(&claims, &artefacts).await?;
        if let Some(Decision::Plan(_) | Decision::Question) = done.decision {
            let command = self.planned(&claims, done).await?;
            return self.report(token, |_| command).await.inspect(|()| self.put.forget(&claims));
        }
        let output = Document::of(&done.output).map_err(|error| {
            LeaseError::Refused(problem(ProblemKind::InvalidRequest, error.to_string(), "output"))
        })?;
        let verdict = match done.decision {
            None => None,
            Some(Decision::Verdict(VerdictReport::Accepted)) => Some(Verdict::Accepted),
            Some(Decision::Verdict(VerdictReport::Refused(evidence))) => {
                Some(Verdict::Refused { evidence: masked(evidence) })
            }
            Some(Decision::Plan(_) | Decision::Question) => None, // done with above
        };
        let command = |claims: &StepClaims| Command::Complete {
            place: claims.step.place,
            token: claims.lease,
            output,
            artefacts,
            verdict,
        };
        self.report(token, command).await.inspect(|()| self.put.forget(&claims))
    }

    async fn fail(&self, token: &StepToken, message: String, retryable: bool) -> Result<(), LeaseError> {
        let message = masked(message.chars().take(MESSAGE_CHARACTERS_MAX).collect());
        let mendable = self.mendable(&self.open(token)?).await?;
        self.report(token, |claims| Command::Fail {
            place: claims.step.place,
            token: claims.lease,
            message,
            retryable,
            mendable,
        })
        .await
    }

    async fn release(&self, token: &StepToken, wait: Option<Wait>) -> Result<(), LeaseError> {
        let wait = wait.map(|Wait { at_least, waits_for, why }| {
            let why = masked(why.chars().take(MESSAGE_CHARACTERS_MAX).collect());
            octollm_lifecycle::Wait { at_least, waits_for, why }
        });
        self.report(token, |claims| Command::Release { place: claims.step.place, token: claims.lease, wait })
            .await
    }

    async fn put_artefact(&self, token: &StepToken, bytes: Bytes) -> Result<ContentHash, LeaseError> {
        let claims = self.held(token).await?;
        let size = bytes.len() as u64;
        self.put
            .room(&claims, size)
            .map_err(|over| LeaseError::Refused(problem(ProblemKind::TooLarge, over.to_string(), None)))?;
        let hash = self.app.parts.artefacts.put(bytes).await.map_err(not_kept)?;
        self.put.put(&claims, hash, size, self.app.now());
        Ok(hash)
    }

    async fn think(&self, token: &StepToken, question: ThinkAsk) -> Result<Thinking, ThinkError> {
        let claims = self.held(token).await.map_err(|error| match error {
            LeaseError::Lost | LeaseError::Refused(_) => ThinkError::Lost,
            LeaseError::Busy { retry_after } => {
                let why = "the store is away".to_owned();
                ThinkError::Busy { retry_after, waits_for: WaitsFor::Orchestrator, why }
            }
            LeaseError::Unreachable(why) => ThinkError::Unreachable(why),
        })?;
        match &self.app.settings.gateway {
            Some(gateway) => Ok(gateway.think(&claims, question)),
            None => Err(ThinkError::Refused("no model is configured".to_owned())),
        }
    }

    async fn get_artefact(&self, token: &StepToken, hash: ContentHash) -> Result<Bytes, LeaseError> {
        let claims = self.held(token).await?;
        let missing = || {
            let detail = format!("the step's task refers to no artefact {hash}");
            LeaseError::Refused(problem(ProblemKind::NotFound, detail, None))
        };
        if !self.may_read(&claims, hash).await? {
            return Err(missing());
        }
        self.app.parts.artefacts.get(hash).await.map_err(|error| match error {
            GetError::NotFound(_) => missing(),
            GetError::Corrupt { .. } | GetError::TooLarge { .. } | GetError::Unreachable(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an artefact cannot be read");
                LeaseError::Unreachable(Box::new(error))
            }
        })
    }
}

/// What an arm says of a failure is kept to so many characters.
const MESSAGE_CHARACTERS_MAX: usize = 20_000;

fn refused(refusal: Refusal) -> LeaseError {
    match refusal {
        Refusal::LeaseLost
        | Refusal::NotReady
        | Refusal::Ended
        | Refusal::NotWaiting
        | Refusal::OtherInput
        | Refusal::OtherStep { .. }
        | Refusal::WhichQuestion { .. }
        | Refusal::MustStop => LeaseError::Lost,
        Refusal::OverBudget(_)
        | Refusal::Unpriced
        | Refusal::TooManyHolds
        | Refusal::CallReused
        | Refusal::NumberUnderWay
        | Refusal::NoSuchHold
        | Refusal::MoreThanHeld => {
            LeaseError::Refused(problem(ProblemKind::Conflict, refusal.to_string(), None))
        }
        Refusal::BadPlan => {
            LeaseError::Refused(problem(ProblemKind::InvalidRequest, refusal.to_string(), "output"))
        }
        Refusal::BadVerdict => {
            LeaseError::Refused(problem(ProblemKind::InvalidRequest, refusal.to_string(), "verdict"))
        }
    }
}

/// Without the secrets that a tool's output or a model may have brought into it: it goes into
/// events and logs.
fn masked(text: String) -> String {
    let found = octollm_screen::secrets::mask(&text);
    if found.found.is_empty() { text } else { found.text.into_owned() }
}

fn store_failed(error: StoreError) -> LeaseError {
    tracing::warn!(error = &error as &dyn std::error::Error, "the store failed under a lease");
    match error {
        StoreError::Unreachable(_) => LeaseError::Busy { retry_after: BUSY },
        StoreError::Unconfirmed(_) | StoreError::Corrupt(_) => LeaseError::Unreachable(Box::new(error)),
    }
}

fn not_kept(error: PutError) -> LeaseError {
    match error {
        PutError::TooLarge { .. } => {
            LeaseError::Refused(problem(ProblemKind::TooLarge, error.to_string(), None))
        }
        PutError::Unconfirmed(_) => LeaseError::Unreachable(Box::new(error)),
    }
}

/// Paths are what clients save files by: each lies in the workspace, and no two are the same.
fn well_named(made: &[ArtefactView]) -> Result<(), LeaseError> {
    let mut seen = BTreeSet::new();
    let bad = made.iter().find_map(|made| match made.path.parse::<WorkspacePath>() {
        Ok(path) if seen.insert(path.clone()) => None,
        Ok(path) => Some(format!("{path} is there twice")),
        Err(error) => Some(format!("{:?}: {error}", made.path)),
    });
    match bad {
        None => Ok(()),
        Some(detail) => {
            let detail = problem(ProblemKind::InvalidRequest, detail, "output.artefacts");
            Err(LeaseError::Refused(detail))
        }
    }
}
