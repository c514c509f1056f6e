//! The bodies of the lease protocol and of `/api/v1/keys`: what client and orchestrator must
//! agree on beyond `octollm_contract::api`.

use crate::{Completion, Decision, VerdictReport, Wait};
use octollm_access::{Policy, PolicyAsk, Role, Scope, StepToken};
use octollm_contract::{ContentHash, KeyId, TenantId, Timestamp, WorkerId};
use octollm_plan::StepOutput;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// The field that the refusal of a report is about which names artefacts that the step is not known to
/// have put. The orchestrator that took them knows of them until the step reports; once it has died, they
/// have to be put again, under the same lease or by another attempt.
pub const UNKNOWN_ARTEFACTS: &str = "artefacts";

/// The header that names the protocol's version.
pub const PROTOCOL_HEADER: &str = "octollm-protocol";

/// The header that names the newest [`Edition`](octollm_contract::Edition) of plans that a worker reads. A worker
/// that sends none reads the first.
pub const EDITION_HEADER: &str = "octollm-edition";

/// `POST /internal/v1/heartbeat`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatAsk {
    /// Who beats.
    #[schema(value_type = String)]
    pub worker: WorkerId,
    /// For which leases.
    #[schema(value_type = Vec<String>)]
    pub tokens: Vec<StepToken>,
}

/// `POST /internal/v1/leave`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveAsk {
    /// Who goes away.
    #[schema(value_type = String)]
    pub worker: WorkerId,
}

/// `POST /internal/v1/step/checkpoint`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointReport {
    /// Where the step is.
    pub state: Value,
    /// Artefacts that `state` refers to.
    #[serde(default)]
    pub artefacts: Vec<ContentHash>,
}

/// `POST /internal/v1/step/complete` as version 1 of the protocol has it; later ones send a
/// [`Completion`] as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompletionV1 {
    /// What the step gives back.
    pub output: StepOutput,
    /// From a judge, and only from one: what it says of the result of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictReport>,
}

impl From<CompletionV1> for Completion {
    fn from(done: CompletionV1) -> Self {
        Completion { output: done.output, decision: done.verdict.map(Decision::Verdict) }
    }
}

/// `POST /internal/v1/step/fail`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailReport {
    /// What happened.
    pub message: String,
    /// Another attempt may succeed.
    pub retryable: bool,
}

/// `POST /internal/v1/step/release`; no body at all means the same as no wait.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseReport {
    /// What the step waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
}

/// The answer to `POST /internal/v1/step/artefacts`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ArtefactPut {
    /// The name of the bytes.
    pub sha256: ContentHash,
}

/// `POST /api/v1/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyAsk {
    /// What kind of caller it is for.
    pub role: Role,
    /// Whose data it touches; the maker's tenant when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// What it may do; all that its role and its maker may when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Scope>>)]
    pub scopes: Option<BTreeSet<Scope>>,
    /// What its tasks may do; the maker's policy when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyAsk>,
    /// A word for people: at most 100 characters.
    #[serde(default)]
    #[schema(max_length = 100)]
    pub label: String,
}

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// The public part.
    pub id: KeyId,
    /// What kind of caller it is for.
    pub role: Role,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// Whose data it touches.
    pub tenant: TenantId,
    /// What its tasks may do.
    pub policy: Policy,
    /// A word for people.
    pub label: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// The answer to `POST /api/v1/keys`. It prints no secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyMade {
    /// The key, secret and all. It is shown this once.
    pub key: String,
    /// The key without its secret.
    pub about: KeyView,
}

impl std::fmt::Debug for KeyMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyMade").field("about", &self.about).finish_non_exhaustive()
    }
}

/// The answer to `GET /api/v1/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyList {
    /// By the time they were made.
    pub keys: Vec<KeyView>,
}
