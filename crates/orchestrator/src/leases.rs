//! The lease protocol in the same process; the HTTP layer serves it to others.
//!
//! Promises: a long poll waits for hints and for the moment that the store names, and asks the
//! store for nothing in between; who asks and goes away before the answer has its steps handed
//! back; a step reads artefacts that its task refers to or that it put under this lease, and
//! can refer to no others (P7).
//!
//! Must not know: what a step is about.

use crate::{
    App,
    planning::{self, NotPlanned, Revision},
    problem::problem,
    stored::StepDocument,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::select_all;
use octollm_access::{StepClaims, StepToken, TenantScope};
use octollm_artefacts::{GetError, PutError};
use octollm_client::{
    Beat, Completion, Decision, Grant, LeaseAsk, LeaseError, Leases, ThinkAsk, ThinkError, Thinking,
    VerdictReport, Wait,
};
use octollm_contract::{ArmName, ContentHash, Criterion, Document, Millis, ProblemKind, Timestamp, WorkerId};
use octollm_lifecycle::{Command, Refusal, STOP_GRACE, Verdict};
use octollm_plan::{Brief, Instruction, NoValue, StepOutput};
use octollm_store::{Claimed, DecideError, Directed, StoreError, Wanted};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
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

/// What steps have put under leases that are alive.
#[derive(Default)]
struct Put {
    by_lease: Mutex<HashMap<[u8; 16], PutUnder>>,
}

struct PutUnder {
    hashes: BTreeSet<ContentHash>,
    until: Timestamp,
}

/// Grants that nobody has taken yet. Dropped untaken, wherever that happens, they are released.
struct Offered {
    leases: LocalLeases,
    grants: Vec<Grant>,
}

impl Offered {
    fn take(mut self) -> Vec<Grant> {
        std::mem::take(&mut self.grants)
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        let grants = std::mem::take(&mut self.grants);
        if grants.is_empty() {
            return;
        }
        let leases = self.leases.clone();
        // Without a runtime the process is ending, and the leases of its workers end with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            for grant in grants {
                if let Err(error) = leases.release(&grant.token, None).await {
                    tracing::debug!(step = %grant.step, %error, "a step lapses instead of being handed back");
                }
            }
        });
    }
}

/// Why a claimed step is not handed out.
#[derive(Debug, thiserror::Error)]
enum Ungrantable {
    #[error("the step's documents cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    NoValue(#[from] NoValue),
    #[error("the step's task is not there any more")]
    Gone,
    /// For another attempt: what it must be told cannot be read now.
    #[error("the step's task cannot be read now")]
    NoBrief(#[source] StoreError),
}

impl LocalLeases {
    /// Serves the leases of `app`.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        LocalLeases { app, put: Arc::default() }
    }

    async fn claim(&self, wanted: Wanted) -> Result<(Offered, Option<Timestamp>), LeaseError> {
        let claims = self.app.parts.store.claim(wanted).await.map_err(store_failed)?;
        let mut offered = Offered { leases: self.clone(), grants: Vec::with_capacity(claims.granted.len()) };
        for claimed in claims.granted {
            let (token, step) = (self.token(&claimed), claimed.step);
            match self.grant(claimed, token.clone()).await {
                Ok(grant) => offered.grants.push(grant),
                Err(why) => {
                    let told = match &why {
                        // What an earlier step found is no fault of this server.
                        Ungrantable::NoValue(_) | Ungrantable::Gone => {
                            tracing::info!(%step, %why, "a step cannot be done");
                            self.fail(&token, why.to_string(), false).await
                        }
                        // Not for another attempt: it would read the same.
                        Ungrantable::Unreadable(_) => {
                            tracing::error!(%step, %why, "a step cannot be handed out");
                            self.fail(&token, why.to_string(), false).await
                        }
                        Ungrantable::NoBrief(error) => {
                            tracing::warn!(%step, error = error as &dyn std::error::Error, "a step waits");
                            self.fail(&token, why.to_string(), true).await
                        }
                    };
                    if let Err(error) = told {
                        // It lapses. The other steps of this claim are not to lapse with it.
                        tracing::error!(%step, %error, "nor can that be noted");
                    }
                }
            }
        }
        Ok((offered, claims.next))
    }

    fn token(&self, claimed: &Claimed) -> StepToken {
        // Heartbeats move the lease's end, the token stays: it lasts as long as they can.
        let expires = claimed.granted_at + claimed.time_limit + STOP_GRACE + self.app.settings.lease_ttl;
        self.app.signing.sign(&StepClaims { step: claimed.step, lease: claimed.token, expires })
    }

    async fn grant(&self, claimed: Claimed, token: StepToken) -> Result<Grant, Ungrantable> {
        let unreadable = Ungrantable::Unreadable;
        let spec: Option<StepDocument> = claimed.spec.read().map_err(unreadable)?;
        let spec = spec.unwrap_or_else(|| planning::planner_step(claimed.step.place));
        let brief =
            if thinks(&spec.step.instruction) { Some(Box::new(self.brief(&claimed).await?)) } else { None };
        let read = |(place, document): &(u16, Document)| Ok((*place, document.read::<StepOutput>()?));
        let outputs: Result<BTreeMap<u16, StepOutput>, _> = claimed.inputs.iter().map(read).collect();
        let outputs = outputs.map_err(unreadable)?;
        let inputs = spec.step.resolve(|name| spec.places.get(name).and_then(|place| outputs.get(place)))?;
        let workspace =
            spec.workspace_from.iter().find_map(|place| outputs.get(place).and_then(|o| o.workspace));
        Ok(Grant {
            step: claimed.step,
            attempt: claimed.attempt,
            token,
            spec: spec.step,
            inputs,
            workspace,
            checkpoint: claimed.checkpoint.as_ref().map(Document::read).transpose().map_err(unreadable)?,
            models: match &self.app.settings.gateway {
                Some(gateway) if brief.is_some() => gateway.models(),
                Some(_) | None => Vec::new(),
            },
            brief,
            expires_at: claimed.expires_at,
            heartbeat_every: heartbeat_every(self.app.settings.lease_ttl),
            time_limit: claimed.time_limit,
        })
    }

    /// What the step is told of its task and of the session that the task belongs to.
    async fn brief(&self, claimed: &Claimed) -> Result<Brief, Ungrantable> {
        let failed = Ungrantable::NoBrief;
        let store = &self.app.parts.store;
        let record = store.task(claimed.step.task, &TenantScope::System).await.map_err(failed)?;
        let record = record.ok_or(Ungrantable::Gone)?;
        let unreadable = Ungrantable::Unreadable;
        let session = match planning::session(&record).map_err(unreadable)? {
            Some(session) if claimed.arm == ArmName::Planner => {
                // The tenant's own tasks, and no other's of the same session id (P7).
                let (tenant, before) = (&claimed.tenant, claimed.step.task);
                let scope = TenantScope::Only(tenant.clone());
                let earlier = store.session(&scope, tenant, &session, before, planning::SESSION_TASKS);
                earlier.await.map_err(failed)?
            }
            Some(_) | None => Vec::new(),
        };
        planning::brief(&record, claimed.step.place, &session).map_err(unreadable)
    }

    /// What a planner's decision does to its task.
    async fn planned(&self, claims: &StepClaims, done: Completion) -> Result<Command, LeaseError> {
        let (place, token) = (claims.step.place, claims.lease);
        let record = self.app.parts.store.task(claims.step.task, &TenantScope::System).await;
        let record = record.map_err(store_failed)?.ok_or(LeaseError::Lost)?;
        let output = Document::of(&done.output).map_err(|error| {
            LeaseError::Refused(problem(ProblemKind::InvalidRequest, error.to_string(), "output"))
        })?;
        let unreadable = |error: serde_json::Error| LeaseError::Unreachable(Box::new(error));
        match done.decision {
            Some(Decision::Plan(plan)) => match planning::revision(&record, plan) {
                Ok(Revision { plan, steps, specs }) => {
                    Ok(Command::Revise { place, token, output, plan, steps, specs })
                }
                Err(faults @ NotPlanned::Faults(_)) => Err(LeaseError::Refused(problem(
                    ProblemKind::InvalidRequest,
                    faults.to_string(),
                    "decision.plan",
                ))),
                Err(NotPlanned::Unreadable(error)) => Err(unreadable(error)),
            },
            Some(Decision::Question(_)) => {
                let (next, spec) = planning::after_the_answer(&record, place).map_err(unreadable)?;
                Ok(Command::Ask { place, token, output, next, spec })
            }
            Some(Decision::Verdict(_)) | None => Err(refused(Refusal::BadPlan)),
        }
    }

    /// Claims in a task of its own: a claim that was committed is never forgotten because
    /// whoever asked has gone away.
    async fn claim_or_hand_back(
        &self,
        wanted: Wanted,
    ) -> Result<(Vec<Grant>, Option<Timestamp>), LeaseError> {
        let (answer, asker) = tokio::sync::oneshot::channel();
        let own = self.clone();
        tokio::spawn(async move {
            // Nobody may be there to receive it, now or later: what is offered hands itself back.
            drop(answer.send(own.claim(wanted).await));
        });
        let (offered, next) = asker.await.unwrap_or(Err(LeaseError::Busy { retry_after: BUSY }))?;
        Ok((offered.take(), next))
    }

    fn open(&self, token: &StepToken) -> Result<StepClaims, LeaseError> {
        self.app.verifying.open(token, self.app.now()).map_err(|_| LeaseError::Lost)
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
            Some(Err(DecideError::Store(error))) => Err(store_failed(error)),
            Some(Err(DecideError::NotFound)) | None => Err(LeaseError::Lost),
        }
    }

    /// Only what the task refers to or this lease has put: else a report would make another
    /// tenant's artefact readable (P7).
    async fn own_artefacts(&self, claims: &StepClaims, named: &[ContentHash]) -> Result<(), LeaseError> {
        for hash in named {
            if !self.may_read(claims, *hash).await? {
                let detail = format!("the step has put no artefact {hash}");
                return Err(LeaseError::Refused(problem(ProblemKind::InvalidRequest, detail, "artefacts")));
            }
        }
        Ok(())
    }

    async fn may_read(&self, claims: &StepClaims, hash: ContentHash) -> Result<bool, LeaseError> {
        if self.put.has(claims, hash) {
            return Ok(true);
        }
        self.app.parts.store.refers(claims.step.task, hash).await.map_err(store_failed)
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
        if ask.arms.is_empty() || ask.most == 0 {
            let detail = "at least one arm and one step must be asked for".to_owned();
            return Err(LeaseError::Refused(problem(ProblemKind::InvalidRequest, detail, "arms")));
        }
        let hints = self.app.parts.store.hints();
        let mut watches: Vec<_> = ask.arms.iter().map(|arm| hints.watch_arm(*arm)).collect();
        loop {
            if self.app.is_draining() {
                return Err(LeaseError::Busy { retry_after: BUSY });
            }
            self.app.workers.asked(&ask.worker, &ask.arms, &ask.tools, self.app.now());
            let wanted = Wanted {
                worker: ask.worker.clone(),
                arms: ask.arms.clone(),
                most: usize::from(ask.most.min(GRANTS_MAX)),
                ttl: self.app.settings.lease_ttl,
            };
            let (grants, next) = self.claim_or_hand_back(wanted).await?;
            if !grants.is_empty() {
                return Ok(grants);
            }
            // A step that others are taking may be named as ready; asking again at once helps nobody.
            let next = next.map(|at| Instant::now() + at.since(self.app.now()).max(ASK_AGAIN).to_duration());
            let ready = select_all(watches.iter_mut().map(|watch| Box::pin(watch.changed())));
            tokio::select! {
                _ = ready => {}
                () = tokio::time::sleep_until(next.unwrap_or(until)), if next.is_some_and(|at| at < until) => {}
                () = tokio::time::sleep_until(until) => return Ok(Vec::new()),
                () = self.app.draining.cancelled() => {}
            }
        }
    }

    async fn heartbeat(&self, worker: &WorkerId, tokens: &[StepToken]) -> Result<Vec<Beat>, LeaseError> {
        if tokens.len() > BEATS_MAX {
            let detail = format!("at most {BEATS_MAX} steps beat at once");
            return Err(LeaseError::Refused(problem(ProblemKind::InvalidRequest, detail, "tokens")));
        }
        let now = self.app.now();
        self.app.workers.beat(worker, now);
        let opened: Vec<Option<StepClaims>> = tokens.iter().map(|token| self.open(token).ok()).collect();
        let ttl = self.app.settings.lease_ttl;
        let commands = opened.iter().flatten().map(|claims| Directed {
            task: claims.step.task,
            scope: TenantScope::System,
            command: Command::Heartbeat { place: claims.step.place, token: claims.lease, ttl },
        });
        let mut decided = self.app.parts.store.decide(commands.collect()).await.into_iter();
        let beats = opened.iter().map(|claims| {
            let Some(claims) = claims else { return Ok(Beat::Lost) };
            match decided.next() {
                Some(Ok(changes)) if changes.after.must_stop(claims.step.place, now) => Ok(Beat::Stop),
                Some(Ok(_)) => Ok(Beat::Alive),
                Some(Err(DecideError::Refused(_) | DecideError::NotFound)) | None => Ok(Beat::Lost),
                Some(Err(DecideError::Store(error))) => Err(store_failed(error)),
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
        let files = done.output.artefacts.iter().map(|made| made.sha256);
        let named: BTreeSet<ContentHash> = files.chain(done.output.workspace).collect();
        let artefacts: Vec<ContentHash> = named.into_iter().collect();
        self.own_artefacts(&claims, &artefacts).await?;
        if let Some(Decision::Plan(_) | Decision::Question(_)) = done.decision {
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
            Some(Decision::Plan(_) | Decision::Question(_)) => None, // done with above
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
        self.report(token, |claims| Command::Fail {
            place: claims.step.place,
            token: claims.lease,
            message,
            retryable,
        })
        .await
    }

    async fn release(&self, token: &StepToken, wait: Option<Wait>) -> Result<(), LeaseError> {
        let wait = wait.map(|Wait { at_least, why }| {
            let why = masked(why.chars().take(MESSAGE_CHARACTERS_MAX).collect());
            octollm_lifecycle::Wait { at_least, why }
        });
        self.report(token, |claims| Command::Release { place: claims.step.place, token: claims.lease, wait })
            .await
    }

    async fn put_artefact(&self, token: &StepToken, bytes: Bytes) -> Result<ContentHash, LeaseError> {
        let claims = self.held(token).await?;
        let hash = self.app.parts.artefacts.put(bytes).await.map_err(not_kept)?;
        self.put.note(&claims, hash, self.app.now());
        Ok(hash)
    }

    async fn think(&self, token: &StepToken, question: ThinkAsk) -> Result<Thinking, ThinkError> {
        let claims = self.held(token).await.map_err(|error| match error {
            LeaseError::Lost | LeaseError::Refused(_) => ThinkError::Lost,
            LeaseError::Busy { retry_after } => {
                ThinkError::Busy { retry_after, why: "the store is away".into() }
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

impl Put {
    fn note(&self, claims: &StepClaims, hash: ContentHash, now: Timestamp) {
        let mut all = self.lock();
        all.retain(|_, under| now < under.until);
        let under = all
            .entry(claims.lease.to_bytes())
            .or_insert_with(|| PutUnder { hashes: BTreeSet::new(), until: claims.expires });
        under.hashes.insert(hash);
    }

    fn has(&self, claims: &StepClaims, hash: ContentHash) -> bool {
        self.lock().get(&claims.lease.to_bytes()).is_some_and(|under| under.hashes.contains(&hash))
    }

    fn forget(&self, claims: &StepClaims) {
        self.lock().remove(&claims.lease.to_bytes());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 16], PutUnder>> {
        self.by_lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A third of the lease, and often enough that a cancel arrives within two seconds.
fn heartbeat_every(ttl: Millis) -> Millis {
    Millis::new(ttl.get() / 3).min(Millis::new(1000))
}

fn refused(refusal: Refusal) -> LeaseError {
    match refusal {
        Refusal::LeaseLost
        | Refusal::NotReady
        | Refusal::Ended
        | Refusal::NotWaiting
        | Refusal::OtherInput
        | Refusal::MustStop => LeaseError::Lost,
        Refusal::OverBudget(_)
        | Refusal::Unpriced
        | Refusal::TooManyHolds
        | Refusal::CallReused
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

/// Whether a step with this instruction may ask a model.
pub(crate) fn thinks(instruction: &Instruction) -> bool {
    match instruction {
        Instruction::Think(_) => true,
        Instruction::Judge { criteria } => criteria.iter().any(|c| matches!(c, Criterion::FreeText(_))),
        Instruction::Tool(_) => false,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Caller, Parts, Settings};
    use octollm_access::Policy;
    use octollm_contract::ArmName;
    use octollm_store::{OsEntropy, SystemClock, memory::MemoryStore};

    /// P1: an answer that was sent but not received does not cost the step an attempt's time.
    #[tokio::test]
    async fn what_is_offered_and_not_taken_is_handed_back() {
        let folder = tempfile::tempdir().unwrap();
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let parts = Parts {
            store: Arc::new(MemoryStore::new(clock.clone(), entropy.clone())),
            artefacts: octollm_artefacts::Artefacts::in_folder(folder.path(), 1).unwrap(),
            clock,
            entropy,
        };
        let app = App::new(parts, Settings { lease_ttl: Millis::from_secs(600), ..Settings::default() });
        let wish = serde_json::from_str(r#"{"goal": "List the files in /tmp"}"#).unwrap();
        app.submit(&Caller::local(Policy::default_admin()), wish, None).await.unwrap();
        let leases = LocalLeases::new(app);
        let worker: WorkerId = "worker-1".parse().unwrap();
        let arms = vec![ArmName::Executor];
        let wanted =
            Wanted { worker: worker.clone(), arms: arms.clone(), most: 1, ttl: Millis::from_secs(600) };
        let (offered, _) = leases.claim(wanted).await.unwrap();
        assert_eq!(offered.grants.len(), 1);
        drop(offered);
        let again = leases
            .lease(LeaseAsk { worker, arms, tools: [].into(), most: 1, wait: Millis::from_secs(10) })
            .await;
        assert_eq!(again.unwrap().len(), 1);
    }
}
