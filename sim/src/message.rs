//! What travels: requests to orchestrators and their answers.

use octollm_contract::{
    Document, LeaseToken, StepId, TaskId, TenantId, WorkerId, api::TaskStatus, model::WaitsFor,
};
use octollm_lifecycle::{Awaits, Given};
use octollm_store::Claimed;

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The client that owns the order at this place.
    Client(usize),
    /// A worker's run.
    Worker { worker: usize, run: u32 },
    /// Nobody: the supervisor tells and forgets.
    Nobody,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) asker: Asker,
    pub(crate) ask: Ask,
}

#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// The order at this place; `other`: another body under the same key.
    Submit {
        order: usize,
        other: bool,
    },
    /// `floor`: what its client has seen when it sent this.
    Read {
        task: TaskId,
        tenant: TenantId,
        floor: Floor,
    },
    Cancel {
        task: TaskId,
        tenant: TenantId,
    },
    Input {
        task: TaskId,
        tenant: TenantId,
        given: Given,
    },
    Lease {
        worker: WorkerId,
        most: usize,
    },
    Beat {
        step: StepId,
        token: LeaseToken,
    },
    Checkpoint {
        step: StepId,
        token: LeaseToken,
    },
    Report {
        step: StepId,
        token: LeaseToken,
        report: Report,
    },
    /// The step's model call of this number.
    Think {
        step: StepId,
        token: LeaseToken,
        number: u32,
    },
    WorkerGone {
        worker: WorkerId,
    },
}

/// What a client had seen of its task when it asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// The number of the last event.
    pub events: u64,
    /// The terminal status, if it had ended.
    pub ended: Option<TaskStatus>,
    /// A cancel of its own was confirmed.
    pub cancelled: bool,
}

/// How an attempt ended, by its worker's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// With a result.
    Complete {
        /// The result; it names the worker and the attempt.
        output: Document,
        /// From a judge: whether the result of others is accepted.
        accepted: Option<bool>,
    },
    /// With a plan.
    Revise {
        /// The result; it names the worker and the attempt.
        output: Document,
        /// The shape of the plan.
        shape: u64,
    },
    /// With a question to the client.
    Ask {
        /// The result; it names the worker and the attempt.
        output: Document,
    },
    /// Without a result.
    Fail {
        /// Another attempt may succeed.
        retryable: bool,
        /// Another plan may help.
        mendable: bool,
    },
    /// Handed back.
    Release {
        /// What it needs is not there for a while.
        waits: Option<WaitsFor>,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Accepted {
        task: TaskId,
        other: bool,
    },
    KeyReused {
        first: TaskId,
        other: bool,
    },
    View {
        task: TaskId,
        tenant: TenantId,
        floor: Floor,
        status: TaskStatus,
        events: u64,
        awaits: (u16, Awaits),
    },
    NoSuchTask {
        task: TaskId,
        tenant: TenantId,
    },
    Cancelled {
        task: TaskId,
        done: bool,
    },
    InputTaken,
    Granted(Vec<Claimed>),
    Beat {
        step: StepId,
        token: LeaseToken,
        beat: Beat,
    },
    Reported {
        step: StepId,
        token: LeaseToken,
        report: Report,
        taken: Taken,
    },
    Thought {
        step: StepId,
        token: LeaseToken,
        number: u32,
        thought: Thought,
    },
}

/// What became of a model call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thought {
    Answered,
    /// There is no budget for it, or the step is to stop.
    Refused,
    /// The lease is lost.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Alive,
    Stop,
    Lost,
}

/// What the orchestrator said to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It counts.
    Yes,
    /// The lease is lost.
    Lost,
    /// It does not fit; another report may.
    Wrong,
}
