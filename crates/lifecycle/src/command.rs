//! What can be asked of a task, and why it may be refused.

use crate::{NewStep, OverBudget, Spent};
use octollm_contract::{
    CallId, ContentHash, Document, LeaseToken, Millis, Timestamp, WorkerId, model::WaitsFor,
};
use std::collections::BTreeSet;

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
        /// The step's result.
        output: Document,
        /// What belongs to the plan as a whole; it takes the place of the task's.
        plan: Document,
        /// Its steps; the first gets the place after the last of the task's steps.
        steps: Vec<NewStep>,
        /// For each of `steps` what it is to do.
        specs: Vec<Document>,
    },
    /// A planner must know something of its client first. Its step is done; a planner that
    /// needs it is added and waits for the answer.
    Ask {
        /// The planner's step.
        place: u16,
        /// The proof.
        token: LeaseToken,
        /// The step's result: the question.
        output: Document,
        /// The planner that goes on with the answer: it needs `place` and awaits an answer.
        next: NewStep,
        /// What that one is to do.
        spec: Document,
    },
    /// The step is about to call a model: what the call may use at most is held.
    Hold {
        /// The step.
        place: u16,
        /// The proof.
        token: LeaseToken,
        /// The call. The same hold of the same call again changes nothing.
        call: CallId,
        /// Which of the step's calls it is, from 1.
        number: u32,
        /// What it may use at most.
        worst: Spent,
    },
    /// A call is over: what it used is spent, the rest of its hold is free again. Whoever holds
    /// the step by now, the call was made: the open hold is the fence, not the lease.
    Settle {
        /// The call.
        call: CallId,
        /// What it used; at most what is held for it.
        spent: Spent,
        /// What is to be known of the call.
        receipt: Document,
        /// Artefacts that `receipt` refers to.
        artefacts: Vec<ContentHash>,
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
        /// Another plan may do without the step. Where none can, no planner is asked for one.
        mendable: bool,
    },
    /// The worker hands the step back: in a drain, or because what the step needs is not there now.
    Release {
        /// The step.
        place: u16,
        /// The proof.
        token: LeaseToken,
        /// What the step waits for; `None`: it may be taken again at once.
        wait: Option<Wait>,
    },
    /// A client wants the task to end.
    Cancel,
    /// A person gives what the step that waits needs.
    Input(Given),
    /// Time has passed: leases may have run out, the deadline may have come. Changes nothing
    /// when none has.
    Expire {
        /// Leases that ran out in this time are no evidence against their steps.
        unheard: Option<Unheard>,
    },
    /// A worker is known to be gone: its leases need not be waited for.
    WorkerLost {
        /// Who.
        worker: WorkerId,
    },
    /// A server is gone, and with it the workers that it had as processes of its own: their leases need
    /// not be waited for, and how it ended is no evidence against the steps.
    ServerLost(ItsWorkers),
    /// Whoever made these model calls is known to be gone: nobody will say what they used. Each that
    /// is under way counts as having used all that is held for it.
    CallerLost(LostCalls),
}

/// A time in which leases ran out whose workers could not be heard: what they said could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unheard {
    /// Its first moment.
    pub from: Timestamp,
    /// Its last moment.
    pub to: Timestamp,
}

impl Unheard {
    /// Whether a lease that ran out `at` this moment did so unheard.
    #[must_use]
    pub fn has(&self, at: Timestamp) -> bool {
        self.from <= at && at <= self.to
    }
}

/// Whose leases a lost server takes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItsWorkers {
    /// Everybody's: there was no other server.
    All,
    /// Those of the workers whose names begin like this.
    Labelled(String),
}

impl ItsWorkers {
    /// Whether the worker of this name is one of them.
    #[must_use]
    pub fn has(&self, worker: &WorkerId) -> bool {
        match self {
            ItsWorkers::All => true,
            ItsWorkers::Labelled(label) => worker.as_str().starts_with(label.as_str()),
        }
    }
}

/// Model calls of a task that nobody will settle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LostCalls {
    /// All that are under way.
    All,
    /// Those of one process of several.
    These(BTreeSet<CallId>),
}

/// What a step that is handed back waits for: something that no worker can bring about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// It is not there before this has passed.
    pub at_least: Millis,
    /// What it is.
    pub waits_for: WaitsFor,
    /// Why it is not there, for the owner of the task.
    pub why: String,
}

/// What a person gives to a task that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// The step at this place may start.
    Approve {
        /// Whose question was read: a person approves nothing else.
        place: u16,
    },
    /// It may not.
    Refuse {
        /// The same.
        place: u16,
    },
    /// The answer to a planner's question.
    Answer {
        /// The planner that goes on with it. `None` where only one was ever asked.
        place: Option<u16>,
        /// The answer.
        answer: Document,
    },
}

impl Given {
    /// The step it is meant for, where that is said.
    #[must_use]
    pub const fn place(&self) -> Option<u16> {
        match self {
            Given::Approve { place } | Given::Refuse { place } => Some(*place),
            Given::Answer { place, .. } => *place,
        }
    }
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
    /// The task is not waiting for anybody. Read its state.
    #[error("the task is not waiting for an input")]
    NotWaiting,
    /// The task waits for an approval and was given an answer, or the other way round. Read
    /// which, and send that.
    #[error("the task is waiting for an input of another kind")]
    OtherInput,
    /// What was given is for a step that does not wait, or not any more. Read what the one that waits asks.
    #[error("another step of the task is waiting")]
    OtherStep {
        /// The one that waits.
        waits: u16,
    },
    /// An answer that names no step, of a task that has asked more than once. Name it.
    #[error("the task has asked more than once, and the answer does not say to which question")]
    WhichQuestion {
        /// The step that waits.
        waits: u16,
    },
    /// The plan adds no step, too many, refers to steps that will never be done, lacks what a
    /// step is to do, asks too often, or does not come from a planner; or a planner gives a
    /// result without a plan. Send another.
    #[error("the plan does not fit the task")]
    BadPlan,
    /// Only a judge gives a verdict, and every judge must. Send another report.
    #[error("a verdict must come from a judge, and from every judge")]
    BadVerdict,
    /// The step is to stop: its task is ending, or its attempt has taken too long. Stop.
    #[error("the step is to stop and begins no new call")]
    MustStop,
    /// Less is free than the call may use. Ask for less, or give up.
    #[error(transparent)]
    OverBudget(OverBudget),
    /// Money is limited and the call has no known price. Call a model that has one.
    #[error("money is limited, and the call has no known price")]
    Unpriced,
    /// As many calls are under way as a task may have. Settle one first.
    #[error("too many calls are under way")]
    TooManyHolds,
    /// The call is under way on other terms. Draw another name for a new call.
    #[error("the call is already under way, on other terms")]
    CallReused,
    /// Another call of this number of the step is under way. Wait until it is settled.
    #[error("this question of the step is under way, or whoever asked it has died; its end is waited for")]
    NumberUnderWay,
    /// The call is not under way: it was settled, or never held. What was settled stays.
    #[error("the call is not under way")]
    NoSuchHold,
    /// More is settled than is held for the call. Settle at most what is held.
    #[error("more is settled than is held for the call")]
    MoreThanHeld,
}
