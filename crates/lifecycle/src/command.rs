//! What can be asked of a task, and why it may be refused.

use crate::NewStep;
use octollm_contract::{ContentHash, Document, LeaseToken, Millis, WorkerId};

/// A wish about an accepted task. The accept itself is [`crate::accept`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A worker takes a step.
    Claim {
        /// The step.
        place: u16,
        /// Who takes it.
        worker: WorkerId,
        /// What will prove the lease: fresh random bytes.
        token: LeaseToken,
        /// How long the lease lasts without a heartbeat.
        ttl: Millis,
    },
    /// The worker is alive.
    Heartbeat {
        /// The step.
        place: u16,
        /// The proof.
        token: LeaseToken,
        /// How long the lease lasts from now.
        ttl: Millis,
    },
    /// The worker saves where it is, so that the next attempt need not begin anew.
    Checkpoint {
        /// The step.
        place: u16,
        /// The proof.
        token: LeaseToken,
        /// What to keep; the next attempt is handed it.
        state: Document,
        /// Artefacts that `state` refers to.
        artefacts: Vec<ContentHash>,
    },
    /// The step has its result. A planner's result is a plan: see [`Command::Revise`].
    Complete {
        /// The step.
        place: u16,
        /// The proof.
        token: LeaseToken,
        /// The result.
        output: Document,
        /// Artefacts that `output` refers to.
        artefacts: Vec<ContentHash>,
        /// What a judge says of the result of others.
        verdict: Option<Verdict>,
    },
    /// A planner's step has its result: a plan. The first one, or the next version.
    Revise {
        /// The planner's step.
        place: u16,
        /// The proof.
        token: LeaseToken,
        /// The plan, as a document.
        output: Document,
        /// Its steps; the first gets the place after the last of the task's steps.
        steps: Vec<NewStep>,
    },
    /// The arm could not do the step.
    Fail {
        /// The step.
        place: u16,
        /// The proof.
        token: LeaseToken,
        /// What happened.
        message: String,
        /// Another attempt may succeed.
        retryable: bool,
    },
    /// The worker hands the step back, such as in a drain.
    Release {
        /// The step.
        place: u16,
        /// The proof.
        token: LeaseToken,
    },
    /// A client wants the task to end.
    Cancel,
    /// A person says whether the step that waits may start.
    Input {
        /// Yes or no.
        approve: bool,
    },
    /// Time has passed: leases may have run out, the deadline may have come. Changes nothing
    /// when none has.
    Expire,
    /// A worker is known to be gone: its leases need not be waited for.
    WorkerLost {
        /// Who.
        worker: WorkerId,
    },
}

/// What a judge says of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every criterion holds.
    Accepted,
    /// At least one does not.
    Refused {
        /// Which, and what was found instead.
        evidence: String,
    },
}

/// Why nothing was changed: one variant for each thing the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The lease belongs to someone else, ran out, or never was. Drop the work.
    #[error("the lease is no longer held")]
    LeaseLost,
    /// The step cannot be claimed now. Claim another.
    #[error("the step cannot be claimed now")]
    NotReady,
    /// The task has ended. Read its result.
    #[error("the task has ended")]
    Ended,
    /// The task is not waiting for an approval. Read its state.
    #[error("the task is not waiting for an approval")]
    NotWaiting,
    /// The plan adds no step, too many, refers to steps that will never be done, or does not
    /// come from a planner; or a planner gives a result without a plan. Send another.
    #[error("the plan does not fit the task")]
    BadPlan,
    /// Only a judge gives a verdict, and every judge must. Send another report.
    #[error("a verdict must come from a judge, and from every judge")]
    BadVerdict,
}
