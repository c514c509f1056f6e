//! The shapes of the public API (`/api/v1`): what clients send and what they get.
//!
//! Unknown fields are refused where a client writes, and ignored where a client reads, so
//! that an older client can talk to a newer server.

mod criterion;
mod limits;
mod usage;

pub use criterion::{Criterion, StructuredCriterion};
pub use usage::{ArmUsage, ArmsUsage, CallsSettled, TasksEnded, UsageDay, UsagePage};

use crate::{ArmName, Component, Cost, MicroUsd, Priority, StepId, TaskId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// `POST /tasks`: a goal and the terms under which it is to be reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitTask {
    /// What is wanted, in plain English. 1 to 20,000 characters.
    #[schema(min_length = 1, max_length = 20_000)]
    pub goal: String,
    /// How urgent the task is against the tenant's other tasks.
    #[serde(default = "medium")]
    pub priority: Priority,
    /// What the plan must keep to; it takes a model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// Facts for the planner; they take a model.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub context: Map<String, Value>,
    /// How the result is judged; all must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acceptance_criteria: Vec<Criterion>,
    /// Limits on what the task may use.
    #[serde(default)]
    pub budget: Budget,
    /// The task fails if it has not ended by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// No step starts before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The conversation that the task belongs to: a planner is told of the earlier tasks of the same
    /// id. It takes a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub session_id: Option<String>,
}

const fn medium() -> Priority {
    Priority::Medium
}

/// Limits on what a task may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Money for model calls, in US dollars. It takes a model with a known price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = MicroUsd::taken, required = false)]
    pub max_cost_usd: Option<MicroUsd>,
    /// Tokens of model calls, of questions and answers together. It takes a model.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "limits::tokens")]
    pub max_tokens: Option<u64>,
    /// Seconds from the accept (or from `not_before`) until the task must have ended.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "limits::seconds")]
    #[schema(minimum = 1, maximum = 604_800)]
    pub max_time_seconds: Option<u32>,
    /// Handled failures that each step may have and still be tried again. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "limits::retries")]
    #[schema(maximum = 20)]
    pub max_retries: Option<u32>,
}

impl Budget {
    /// More tokens cannot be counted.
    pub const TOKENS_MAX: u64 = i64::MAX.unsigned_abs();
    /// A task lasts a week at most.
    pub const TIME_SECONDS_MAX: u32 = 604_800;
    /// No step is tried again more often.
    pub const RETRIES_MAX: u32 = 20;
}

/// Where a task stands, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Accepted; no step has started.
    Queued,
    /// A planner is at work.
    Planning,
    /// Steps are being done.
    Running,
    /// Waits for `POST /tasks/{id}/input`.
    Waiting,
    /// Was cancelled; a step is still being stopped.
    Cancelling,
    /// Ended with a result.
    Completed,
    /// Ended without; `error` says why.
    Failed,
    /// Ended because a client wished so.
    Cancelled,
}

impl TaskStatus {
    /// Every status, in the order of a task's way.
    pub const ALL: &'static [TaskStatus] = &[
        TaskStatus::Queued,
        TaskStatus::Planning,
        TaskStatus::Running,
        TaskStatus::Waiting,
        TaskStatus::Cancelling,
        TaskStatus::Completed,
        TaskStatus::Failed,
        TaskStatus::Cancelled,
    ];

    /// The status as it is written everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TaskStatus::Queued => "queued",
            TaskStatus::Planning => "planning",
            TaskStatus::Running => "running",
            TaskStatus::Waiting => "waiting",
            TaskStatus::Cancelling => "cancelling",
            TaskStatus::Completed => "completed",
            TaskStatus::Failed => "failed",
            TaskStatus::Cancelled => "cancelled",
        }
    }

    /// Nothing changes any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled)
    }
}

impl std::str::FromStr for TaskStatus {
    type Err = crate::UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|status| status.as_str() == text);
        known.ok_or_else(|| crate::UnknownName::new(text, STATUSES))
    }
}

const STATUSES: &[&str] =
    &["queued", "planning", "running", "waiting", "cancelling", "completed", "failed", "cancelled"];

/// Where a step stands, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Waits for other steps or for an approval.
    Blocked,
    /// Waits for a worker.
    Ready,
    /// A worker is at it.
    Leased,
    /// Has its result.
    Done,
    /// Failed for good.
    Failed,
    /// Was not done, or not to the end, because the task ended.
    Cancelled,
}

/// The 202 of `POST /tasks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskAccepted {
    /// The task's id, good for ever.
    pub task_id: TaskId,
    /// Where the task stood when the answer was written.
    pub status: TaskStatus,
}

/// `GET /tasks/{id}`: a task, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// The task's id.
    pub task_id: TaskId,
    /// Where it stands.
    pub status: TaskStatus,
    /// What was asked for.
    pub goal: String,
    /// How urgent it is.
    pub priority: Priority,
    /// What came out; only once `completed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<TaskResult>,
    /// Why it failed; only once `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// What the task waits for; only while `waiting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What kind of input that wants; only while `waiting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<Awaited>,
    /// Which step waits for it, for [`TaskInput::step_id`]; only while `waiting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits_step_id: Option<StepId>,
    /// What the judge found, for each acceptance criterion that it has looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<VerdictView>,
    /// The steps of all plan versions, in order.
    pub steps: Vec<StepView>,
    /// What it has used so far.
    pub usage: Usage,
    /// When things happened.
    pub timestamps: Timestamps,
}

/// The kind of input that a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// [`TaskInput::approve`]: whether a step may start.
    Approval,
    /// [`TaskInput::text`]: the answer to a planner's question.
    Answer,
}

/// What a judge found for one acceptance criterion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerdictView {
    /// The criterion, in words.
    pub criterion: String,
    /// The result meets it.
    pub holds: bool,
    /// What was found in the result.
    pub evidence: String,
    /// How sure the model is that judged, 0 to 100; by rule there is no doubt.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "percent")]
    #[schema(minimum = 0, maximum = 100)]
    pub confidence: Option<u8>,
}

/// Servers one version behind write a fraction.
fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    let written: Option<f64> = Option::deserialize(deserializer)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 100")]
    Ok(written.map(|percent| percent.clamp(0.0, 100.0).round() as u8))
}

/// What a completed task gives back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskResult {
    /// For people.
    pub text: String,
    /// For programs; its shape depends on the tools that made it.
    #[serde(default)]
    pub data: Value,
    /// Files that the task made.
    #[serde(default)]
    pub artefacts: Vec<ArtefactView>,
    /// Where facts in the text come from.
    #[serde(default)]
    pub citations: Vec<Citation>,
}

/// A file that a task made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtefactView {
    /// Its path in the task's workspace, for `GET /tasks/{id}/artefacts/{path}`.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: crate::ContentHash,
}

/// A source of a fact in a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Citation {
    /// Where it was read: a path or a URL.
    pub source: String,
    /// What was read there.
    pub quote: String,
}

/// Why a task failed, and what its owner can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskError {
    /// A closed set of short words: `step_failed`, `poison`, `deadline`, `refused`, …
    pub reason: String,
    /// What happened.
    pub message: String,
    /// The step at which it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<StepId>,
}

/// A step as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// The step's id.
    pub step_id: StepId,
    /// Its name in the plan.
    pub name: String,
    /// Which arm does it.
    pub arm: ArmName,
    /// What it is to do, in words.
    pub instruction: String,
    /// Where it stands.
    pub status: StepStatus,
    /// The plan version that brought it.
    pub plan_version: u32,
    /// How often it was handed out, and how that ended.
    pub deliveries: DeliveriesView,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Who made its result, from what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub provenance: Option<Value>,
}

/// How often a step was handed out: each way back is counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveriesView {
    /// Leases granted.
    pub attempts: u32,
    /// Failures that the arm reported.
    pub failures: u32,
    /// Leases that ran out or whose worker died.
    pub crashes: u32,
    /// Leases handed back, such as in a drain.
    pub releases: u32,
}

/// What a task has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Money spent on model calls, in US dollars; null when the price of one of them is not known.
    pub cost_usd: Cost,
    /// Tokens of model calls, of questions and answers together.
    pub tokens: u64,
    /// Model calls whose use is not counted yet: they are under way, or nobody knows yet what became of
    /// them. What an ended task has used is final once this is 0.
    #[serde(default)]
    pub unsettled_calls: u32,
}

/// When things happened to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Timestamps {
    /// The accept.
    pub accepted_at: Timestamp,
    /// The first lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// No step starts before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The task fails if it has not ended by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// A line of `GET /tasks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskSummary {
    /// The task's id.
    pub task_id: TaskId,
    /// Where it stands.
    pub status: TaskStatus,
    /// What was asked for.
    pub goal: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Why it failed, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When things happened.
    pub timestamps: Timestamps,
}

/// `GET /tasks`: newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskPage {
    /// The tasks of this page.
    pub tasks: Vec<TaskSummary>,
    /// For `?cursor=`; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// `POST /tasks/{id}/input`: `text` or `approve`, and the step that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskInput {
    /// The answer to a planner's question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether the step that waits may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<bool>,
    /// Which step this is for: `awaits_step_id` of the task whose `question` was read, or `step_id` of its
    /// `task.waiting`. With `approve` it must be there where the task has several steps; with `text` it may be
    /// left out for a task's first question. Where another step waits, nothing is changed (409).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<StepId>,
}

/// The `data:` of an event on `GET /tasks/{id}/events`; its `event:` is `event`, its `id:` is `id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// The event's number in its task, from 1, without gaps.
    pub id: u64,
    /// What happened, such as `step.started`.
    pub event: String,
    /// The task.
    pub task_id: TaskId,
    /// The step, if it happened to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<StepId>,
    /// When.
    pub at: Timestamp,
    /// What else there is to say; its shape depends on `event`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

impl EventView {
    /// Whether it is the last event of its task.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self.event.as_str(), "task.completed" | "task.failed" | "task.cancelled")
    }
}

/// `GET /arms`: an arm and the workers seen for it lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArmView {
    /// The arm.
    pub name: ArmName,
    /// What it can be asked to do: the names of its tools.
    pub tools: Vec<String>,
    /// Workers that leased or beat within the last minute.
    pub workers: u32,
    /// Steps at work now, of all tenants; only for keys that see them all: of admins and operators of the
    /// tenant `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u32>,
}

/// `GET /scaling/{component}`: one truth over all tenants, for autoscalers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScalingView {
    /// The component.
    pub component: Component,
    /// Steps that a worker could start now (for the orchestrator: 0).
    pub ready: u64,
    /// Steps at work now (for the orchestrator: requests in flight).
    pub leased: u64,
    /// Age of the oldest ready step, in seconds.
    pub oldest_seconds: f64,
    /// Steps that ended in the last minute, a second (for the orchestrator: requests).
    pub rate_per_second: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P4: a client reads what a server one version behind has written.
    #[test]
    fn a_confidence_of_an_older_server_is_read() {
        let verdict = |confidence: &str| -> VerdictView {
            let json =
                format!(r#"{{"criterion":"c","holds":true,"evidence":"e","confidence":{confidence}}}"#);
            serde_json::from_str(&json).unwrap()
        };
        assert_eq!(verdict("90.0").confidence, Some(90));
        assert_eq!(serde_json::to_value(verdict("90")).unwrap()["confidence"], 90);
        assert_eq!(verdict("null").confidence, None);
    }

    #[test]
    fn a_goal_alone_is_a_whole_request() {
        let submit: SubmitTask = serde_json::from_str(r#"{"goal":"list /tmp"}"#).unwrap();
        assert_eq!(submit.priority, Priority::Medium);
        assert_eq!(
            serde_json::to_string(&submit).unwrap(),
            r#"{"goal":"list /tmp","priority":"medium","budget":{}}"#
        );
    }
}
