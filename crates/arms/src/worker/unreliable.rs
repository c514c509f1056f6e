//! An orchestrator in memory that can misbehave: it loses replies, is busy, takes leases away,
//! wants steps back and hands things out twice. It keeps a log of what it was told.

use async_trait::async_trait;
use bytes::Bytes;
use octollm_access::{SigningKey, StepClaims, StepToken};
use octollm_client::{
    Beat, Completion, Decision, Grant, LeaseAsk, LeaseError, Leases, ThinkAsk, ThinkError, Thinking, Wait,
    wire::UNKNOWN_ARTEFACTS,
};
use octollm_contract::{
    ArmName, ContentHash, Document, LeaseToken, Millis, Problem, ProblemKind, TaskId, Timestamp, WorkerId,
    model::Chunk,
};
use octollm_plan::{Instruction, PlanStep};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// What a worker told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Completed(u16),
    Failed(u16, String, bool),
    Released(u16),
    /// Handed back until what it waits for is there.
    Waits(u16, Millis),
}

/// What happens to the next report or lease instead of what should.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Busy(Millis),
    /// It does not arrive.
    RequestLost,
    /// It arrives and its answer does not.
    ReplyLost,
    /// The answer of a lease comes twice.
    Duplicate,
    /// A lease brings all that is ready.
    TooMany,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Grant>,
    leased: BTreeMap<u16, Grant>,
    beats: BTreeMap<u16, Beat>,
    told: Vec<Told>,
    artefacts: BTreeMap<ContentHash, Bytes>,
    /// What the lease has put, or documents refer to: all that a step may read and name.
    named: BTreeSet<ContentHash>,
    referred: BTreeSet<ContentHash>,
    checkpoints: Vec<Document>,
    think_takes: Duration,
    thoughts: VecDeque<Result<Vec<Result<Chunk, ThinkError>>, ThinkError>>,
    asked: Vec<ThinkAsk>,
    answered: Vec<(ThinkAsk, Vec<Chunk>)>,
    plan_faults: VecDeque<String>,
    lease_faults: VecDeque<Fault>,
    report_faults: VecDeque<Fault>,
    lease_calls: usize,
    most_asked: u16,
    heartbeats: usize,
    hears_leaving: bool,
}

#[derive(Default)]
pub(crate) struct UnreliableLeases {
    state: Mutex<State>,
    changed: Notify,
    left: CancellationToken,
}

/// A grant of the step at `place`.
pub(crate) fn grant(place: u16, arm: ArmName, instruction: Instruction) -> Grant {
    let step = TaskId::from_bytes([7; 16]).step(place);
    let claims =
        StepClaims { step, lease: LeaseToken::from_bytes([1; 16]), expires: Timestamp::from_millis(0) };
    Grant {
        step,
        attempt: 1,
        token: SigningKey::from_seed([3; 32]).sign(&claims),
        token_keys: Vec::new(),
        spec: PlanStep {
            name: format!("s{place}").parse().unwrap(),
            arm,
            summary: String::new(),
            instruction,
            inputs: BTreeMap::new(),
            needs: Vec::new(),
            capability: octollm_access::Capability::default(),
            time_limit: None,
        },
        inputs: BTreeMap::new(),
        workspace: None,
        checkpoint: None,
        models: Vec::new(),
        brief: None,
        expires_at: Timestamp::from_millis(0),
        heartbeat_every: Millis::new(800),
        time_limit: Millis::from_secs(60),
    }
}

impl UnreliableLeases {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ready(&self, grant: Grant) {
        self.state().ready.push_back(grant);
        self.changed.notify_waiters();
    }

    /// A worker that says that it leaves is answered, as the version before did not.
    pub(crate) fn hear_leaving(&self) {
        self.state().hears_leaving = true;
    }

    pub(crate) fn next_lease(&self, fault: Fault) {
        self.state().lease_faults.push_back(fault);
    }

    pub(crate) fn next_report(&self, fault: Fault) {
        self.state().report_faults.push_back(fault);
    }

    /// The next plan is refused with this reason.
    pub(crate) fn next_plan(&self, refused: &str) {
        self.state().plan_faults.push_back(refused.to_owned());
    }

    /// What the model says next. When nothing is left, nobody can be asked.
    pub(crate) fn next_thought(&self, thought: Result<Vec<Result<Chunk, ThinkError>>, ThinkError>) {
        self.state().thoughts.push_back(thought);
    }

    /// How long it takes until an answer begins to come.
    pub(crate) fn think_takes(&self, duration: Duration) {
        self.state().think_takes = duration;
    }

    /// Every question so far.
    pub(crate) fn asked(&self) -> Vec<ThinkAsk> {
        self.state().asked.clone()
    }

    pub(crate) fn answer_beats_of(&self, place: u16, beat: Beat) {
        self.state().beats.insert(place, beat);
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.state().told.clone()
    }

    pub(crate) fn counts(&self) -> (usize, usize, u16) {
        let state = self.state();
        (state.lease_calls, state.heartbeats, state.most_asked)
    }

    pub(crate) fn checkpoints(&self) -> usize {
        self.state().checkpoints.len()
    }

    /// The checkpoint of this place in the order in which they came.
    pub(crate) fn checkpoint_at(&self, at: usize) -> Document {
        self.state().checkpoints[at].clone()
    }

    /// The lease is over: what it has put and no document refers to cannot be read any more.
    pub(crate) fn next_attempt(&self) {
        let mut state = self.state();
        state.named = state.referred.clone();
    }

    pub(crate) fn artefact(&self, hash: ContentHash) -> Option<Bytes> {
        self.state().artefacts.get(&hash).cloned()
    }

    /// Waits until `enough` holds of what was told; the tests' runtime bounds the wait.
    pub(crate) async fn until(&self, enough: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        loop {
            let changed = self.changed.notified();
            let told = self.told();
            if enough(&told) {
                return told;
            }
            changed.await;
        }
    }

    fn place(&self, token: &StepToken) -> Option<u16> {
        self.state().leased.iter().find(|(_, grant)| grant.token == *token).map(|(place, _)| *place)
    }

    fn report(&self, token: &StepToken, told: impl FnOnce(u16) -> Told) -> Result<(), LeaseError> {
        let fault = self.state().report_faults.pop_front();
        match fault {
            Some(Fault::Busy(retry_after)) => return Err(LeaseError::Busy { retry_after }),
            Some(Fault::RequestLost) => return Err(unreachable()),
            Some(Fault::ReplyLost | Fault::Duplicate | Fault::TooMany) | None => {}
        }
        let place = self.place(token).ok_or(LeaseError::Lost)?;
        let mut state = self.state();
        state.leased.remove(&place);
        state.told.push(told(place));
        drop(state);
        self.changed.notify_waiters();
        if matches!(fault, Some(Fault::ReplyLost)) { Err(unreachable()) } else { Ok(()) }
    }
}

fn refused(detail: String, field: Option<&str>) -> LeaseError {
    LeaseError::Refused(Problem {
        kind: format!("/problems/{}", ProblemKind::InvalidRequest.slug()),
        title: ProblemKind::InvalidRequest.title().to_owned(),
        status: 400,
        detail,
        field: field.map(str::to_owned),
    })
}

fn unreachable() -> LeaseError {
    LeaseError::Unreachable("the connection broke".into())
}

#[async_trait]
impl Leases for UnreliableLeases {
    async fn lease(&self, ask: LeaseAsk) -> Result<Vec<Grant>, LeaseError> {
        let fault = {
            let mut state = self.state();
            state.lease_calls += 1;
            state.most_asked = state.most_asked.max(ask.most);
            state.lease_faults.pop_front()
        };
        match fault {
            Some(Fault::Busy(retry_after)) => return Err(LeaseError::Busy { retry_after }),
            Some(Fault::RequestLost) => return Err(unreachable()),
            Some(Fault::ReplyLost | Fault::Duplicate | Fault::TooMany) | None => {}
        }
        let some = async {
            loop {
                let changed = self.changed.notified();
                if !self.state().ready.is_empty() {
                    return;
                }
                changed.await;
            }
        };
        tokio::select! {
            waited = timeout(ask.wait.to_duration(), some) => {
                if waited.is_err() {
                    return Ok(Vec::new());
                }
            }
            () = self.left.cancelled() => return Ok(Vec::new()),
        }
        let mut state = self.state();
        let most = match fault {
            Some(Fault::TooMany) => state.ready.len(),
            Some(Fault::Busy(_) | Fault::RequestLost | Fault::ReplyLost | Fault::Duplicate) | None => {
                usize::from(ask.most).min(state.ready.len())
            }
        };
        let mut grants: Vec<Grant> = state.ready.drain(..most).collect();
        state.leased.extend(grants.iter().map(|grant| (grant.step.place, grant.clone())));
        match fault {
            Some(Fault::ReplyLost) => Err(unreachable()),
            Some(Fault::Duplicate) => {
                grants.extend(grants.clone());
                Ok(grants)
            }
            Some(Fault::Busy(_) | Fault::RequestLost | Fault::TooMany) | None => Ok(grants),
        }
    }

    async fn leave(&self, _: &WorkerId) -> Result<(), LeaseError> {
        if self.state().hears_leaving {
            self.left.cancel();
        }
        Ok(())
    }

    async fn heartbeat(&self, _: &WorkerId, tokens: &[StepToken]) -> Result<Vec<Option<Beat>>, LeaseError> {
        self.state().heartbeats += 1;
        let beat = |token| {
            let place = self.place(token)?;
            Some(self.state().beats.get(&place).copied().unwrap_or(Beat::Alive))
        };
        Ok(tokens.iter().map(|token| Some(beat(token).unwrap_or(Beat::Lost))).collect())
    }

    async fn checkpoint(
        &self,
        _: &StepToken,
        state: Document,
        artefacts: Vec<ContentHash>,
    ) -> Result<(), LeaseError> {
        let mut own = self.state();
        if let Some(foreign) = artefacts.iter().find(|hash| !own.named.contains(hash)) {
            return Err(refused(format!("the step has put no artefact {foreign}"), Some(UNKNOWN_ARTEFACTS)));
        }
        own.referred.extend(artefacts);
        own.checkpoints.push(state);
        Ok(())
    }

    async fn complete(&self, token: &StepToken, done: Completion) -> Result<(), LeaseError> {
        if let (Some(Decision::Plan(plan)), Some(why)) =
            (&done.decision, self.state().plan_faults.pop_front())
        {
            return Err(refused(format!("{why} ({} steps)", plan.steps.len()), None));
        }
        let files: Vec<ContentHash> = done.output.artefacts.iter().map(|made| made.sha256).collect();
        if let Some(foreign) = files.iter().find(|hash| !self.state().named.contains(hash)) {
            return Err(refused(format!("the step has put no artefact {foreign}"), Some(UNKNOWN_ARTEFACTS)));
        }
        self.report(token, Told::Completed)
    }

    async fn fail(&self, token: &StepToken, message: String, retryable: bool) -> Result<(), LeaseError> {
        self.report(token, |place| Told::Failed(place, message, retryable))
    }

    async fn release(&self, token: &StepToken, wait: Option<Wait>) -> Result<(), LeaseError> {
        self.report(token, |place| match wait {
            Some(wait) => Told::Waits(place, wait.at_least),
            None => Told::Released(place),
        })
    }

    async fn put_artefact(&self, _: &StepToken, bytes: Bytes) -> Result<ContentHash, LeaseError> {
        let hash = ContentHash::of(&bytes);
        let mut state = self.state();
        state.artefacts.insert(hash, bytes);
        state.named.insert(hash);
        Ok(hash)
    }

    async fn get_artefact(&self, _: &StepToken, hash: ContentHash) -> Result<Bytes, LeaseError> {
        let readable = self.state().named.contains(&hash);
        let missing = || refused(format!("the step's task refers to no artefact {hash}"), None);
        self.artefact(hash).filter(|_| readable).ok_or_else(missing)
    }

    async fn think(&self, _: &StepToken, ask: ThinkAsk) -> Result<Thinking, ThinkError> {
        let takes = self.state().think_takes;
        sleep(takes).await;
        let mut state = self.state();
        state.asked.push(ask.clone());
        // As the gateway does: the same question of a number is answered from the record.
        let kept = state.answered.iter().find(|(asked, _)| *asked == ask).map(|(_, pieces)| pieces.clone());
        if let Some(pieces) = kept {
            return Ok(Box::pin(futures_util::stream::iter(pieces.into_iter().map(Ok))));
        }
        let next = state.thoughts.pop_front();
        let pieces = next.unwrap_or_else(|| Err(ThinkError::Unreachable("no thought is left".into())))?;
        let whole: Option<Vec<Chunk>> = pieces.iter().map(|piece| piece.as_ref().ok().cloned()).collect();
        let whole = whole.filter(|pieces| matches!(pieces.last(), Some(Chunk::End { .. })));
        state.answered.extend(whole.map(|pieces| (ask, pieces)));
        Ok(Box::pin(futures_util::stream::iter(pieces)))
    }
}
