//! The lease protocol, as a worker sees it. The orchestrator serves it over HTTP and, for
//! `octollm run`, in the same process; the worker loop cannot tell which.

use crate::{ThinkAsk, ThinkError, Thinking};
use async_trait::async_trait;
use bytes::Bytes;
use octollm_access::StepToken;
use octollm_contract::{
    ArmName, ContentHash, Document, Edition, Millis, Problem, StepId, Timestamp, WorkerId, model::WaitsFor,
};
use octollm_plan::{Brief, InputName, InputValue, Plan, PlanStep, StepOutput};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The version of the lease protocol that this code speaks. A worker sends it with every call; the
/// orchestrator serves it and the one before ([`PROTOCOL_OLDEST`]), so that servers are brought to
/// the next version before their workers, and refuses every other with a message that names those
/// that it speaks.
///
/// A version changes when a message takes another form that one side would misread. What is only
/// added, such as a field that a reader may do without, changes no version.
///
/// What a step asks for is no matter of this number: a worker says apart which edition of plans it reads
/// ([`LeaseAsk::reads`]), and is handed nothing else.
///
/// The bodies that a worker sends refuse fields that they do not know: a server is never older than its
/// workers, so such a field is a mistake. A [`Plan`] in them is as strict, for who leaves a condition out does
/// something else. The answers that it gets, a grant or a line of an answer, take what they do not know, for they
/// may come from a newer server. So does the [`StepOutput`] in a report: it is stored as it came, and read again by
/// every later version, and by the one before after a downgrade.
///
/// | version | what it brought |
/// |---|---|
/// | 1 | leases, heartbeats, checkpoints, artefacts; a judge's report has a `verdict` |
/// | 2 | a report has a `decision`: a verdict, a plan or a question; a step may have a model think |
pub const PROTOCOL_VERSION: u32 = 2;

/// The oldest version that an orchestrator of this version serves.
pub const PROTOCOL_OLDEST: u32 = PROTOCOL_VERSION - 1;

/// What a worker can ask of the orchestrator.
///
/// Every report is safe to repeat: a second one under the same lease is [`LeaseError::Lost`].
#[async_trait]
pub trait Leases: Send + Sync + 'static {
    /// Waits up to `ask.wait` for ready steps; an empty answer means that none came.
    async fn lease(&self, ask: LeaseAsk) -> Result<Vec<Grant>, LeaseError>;

    /// Says that the worker goes away: a wish for steps of it that waits is answered now. Where nobody knows the
    /// word, as in a version before, it is answered in its time.
    async fn leave(&self, _worker: &WorkerId) -> Result<(), LeaseError> {
        Ok(())
    }

    /// Says that these steps are being worked on. The answers stand in the order of the tokens; `None`
    /// where nobody answered, which may be so for some steps and not for others.
    async fn heartbeat(
        &self,
        worker: &WorkerId,
        tokens: &[StepToken],
    ) -> Result<Vec<Option<Beat>>, LeaseError>;

    /// Saves where a step is; the next attempt is handed it.
    async fn checkpoint(
        &self,
        token: &StepToken,
        state: Document,
        artefacts: Vec<ContentHash>,
    ) -> Result<(), LeaseError>;

    /// Reports a result.
    async fn complete(&self, token: &StepToken, done: Completion) -> Result<(), LeaseError>;

    /// Reports a failure; `retryable` when another attempt may succeed.
    async fn fail(&self, token: &StepToken, message: String, retryable: bool) -> Result<(), LeaseError>;

    /// Hands the step back, to be taken again at once or after a wait.
    async fn release(&self, token: &StepToken, wait: Option<Wait>) -> Result<(), LeaseError>;

    /// Keeps bytes; they live as long as a document that refers to them.
    async fn put_artefact(&self, token: &StepToken, bytes: Bytes) -> Result<ContentHash, LeaseError>;

    /// Has a model think for the step. An error before the first piece is an error of the call,
    /// a later one the last item of the stream.
    async fn think(&self, token: &StepToken, ask: ThinkAsk) -> Result<Thinking, ThinkError>;

    /// Bytes that the step's task refers to.
    async fn get_artefact(&self, token: &StepToken, hash: ContentHash) -> Result<Bytes, LeaseError>;
}

/// A wish for steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseAsk {
    /// Who asks.
    #[schema(value_type = String)]
    pub worker: WorkerId,
    /// For which arms.
    pub arms: Vec<ArmName>,
    /// What each of them can be asked for on this worker's machine, for people to see.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    pub tools: BTreeMap<ArmName, Vec<String>>,
    /// At most so many.
    #[schema(minimum = 1, maximum = 65_535)]
    pub most: u16,
    /// How long to wait for the first, in milliseconds.
    #[schema(value_type = u64)]
    pub wait: Millis,
    /// What the worker can read of plans. Over HTTP it stands in a header
    /// ([`EDITION_HEADER`](crate::wire::EDITION_HEADER)), which a server that knows of no editions passes over.
    #[serde(skip, default = "Edition::unsaid")]
    pub reads: Edition,
}

/// A leased step, with all that is needed to do it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// The step.
    pub step: StepId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What opens it.
    #[schema(value_type = String)]
    pub token: StepToken,
    /// The public keys of the orchestrators, the one that signs now and those that will: with them anybody to
    /// whom the token is shown can check it, and one that is signed later, without asking. Each is the text of an
    /// [`octollm_access::VerifyingKey`]; of a later form it may be one that this version cannot read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub token_keys: Vec<String>,
    /// What to do.
    pub spec: PlanStep,
    /// The values of its inputs.
    pub inputs: BTreeMap<InputName, InputValue>,
    /// The manifest of the workspace to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<ContentHash>,
    /// Where an earlier attempt was, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<serde_json::Value>,
    /// The models that the step may ask, the default first; none when no provider is configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelTerms>,
    /// What the client wants, for a step that thinks or judges by sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub brief: Option<Box<Brief>>,
    /// When the lease lapses without a heartbeat, by the orchestrator's clock.
    pub expires_at: Timestamp,
    /// How often to beat. Cancels travel on the answers, within two seconds.
    pub heartbeat_every: Millis,
    /// How long the attempt may take.
    pub time_limit: Millis,
}

/// A model that may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelTerms {
    /// Its id, for [`octollm_contract::model::Ask::model`].
    pub model: String,
    /// Tokens that question and answer may have together.
    pub context_tokens: u64,
    /// Tokens that one answer may have.
    pub output_tokens_max: u32,
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Beat {
    /// Go on.
    Alive,
    /// Stop the work and hand the step back: its task is ending or its time is over.
    Stop,
    /// The lease is gone; stop the work and report nothing.
    Lost,
}

/// A result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// What the step gives back.
    pub output: StepOutput,
    /// What a judge or a planner has decided; nobody else decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

impl Completion {
    /// The result of an arm that decides nothing.
    #[must_use]
    pub const fn of(output: StepOutput) -> Self {
        Completion { output, decision: None }
    }
}

/// What an arm decides about its task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A judge's.
    Verdict(VerdictReport),
    /// A planner's. A plan that does not hold is refused with all its faults, and the step stays
    /// with its worker.
    Plan(Plan),
    /// A planner's: the client must answer what the output's text asks before there can be a plan.
    Question,
}

/// What a judge says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictReport {
    /// Every criterion holds.
    Accepted,
    /// At least one does not; the text says which, and what was found instead.
    Refused(String),
}

/// What a step that is handed back waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// It is not there before this has passed, in milliseconds.
    pub at_least: Millis,
    /// What it is. A provider is not written down: a reader that does not know the field takes it for one.
    #[serde(default, skip_serializing_if = "WaitsFor::is_provider")]
    pub waits_for: WaitsFor,
    /// Why it is not there, for the owner of the task.
    pub why: String,
}

/// Between two looks for somebody who can read a step, at most.
const LATER_VERSION: Millis = Millis::from_secs(15);

impl Wait {
    /// A step is written in a form that is not known here. A process of the version that wrote it knows it, and in an
    /// upgrade there is one, or soon will be. It is counted as a provider's wait is, so that it ends when there is none.
    ///
    /// The first looks come soon, a second and double that each time: in an upgrade who can read it often asks beside
    /// who cannot. `attempt` is which one could not be done.
    #[must_use]
    pub fn for_a_later_version(attempt: u32, why: String) -> Self {
        let at_least = Millis::from_secs(1 << attempt.saturating_sub(1).min(4)).min(LATER_VERSION);
        Wait { at_least, waits_for: WaitsFor::Provider, why }
    }
}

/// Why a call of the lease protocol did nothing.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Drop the work: someone else has the step, or nobody.
    #[error("the lease is no longer held")]
    Lost,
    /// The orchestrator is going away or overloaded. Ask again after the wait.
    #[error("the orchestrator takes no work now")]
    Busy {
        /// How long to wait.
        retry_after: Millis,
    },
    /// The request was wrong. Report it; repeating does not help.
    #[error("{0}")]
    Refused(Problem),
    /// The answer did not come. What was asked may have happened.
    #[error("the orchestrator cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// P8: what a worker has misspelled is refused, but in an output, which other versions read again.
    #[test]
    fn a_report_refuses_fields_that_it_does_not_know_and_the_output_in_it_takes_them() {
        let read = |report: Value| serde_json::from_value::<Completion>(report).is_ok();
        let plan = |more: Value| json!({"output": {"text": ""}, "decision": {"plan": more}});
        assert!(read(json!({"output": {"text": ""}})) && read(plan(json!({"steps": [], "result": []}))));
        assert!(!read(json!({"output": {"text": ""}, "more": 1})));
        assert!(!read(plan(json!({"steps": [], "result": [], "more": 1}))));
        assert!(read(json!({"output": {"text": "", "more": 1, "artefacts": [
            {"path": "a", "bytes": 1, "sha256": ContentHash::of(b"a"), "more": 1}
        ]}})));
    }
}
