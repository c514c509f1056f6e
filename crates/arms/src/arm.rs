//! The seam between the worker loop and what does the steps.

use crate::{Link, NoLink, clock};
use async_trait::async_trait;
use octollm_client::{Completion, Grant, wire::UNKNOWN_ARTEFACTS};
use octollm_contract::{ArmName, ContentHash, Millis, Problem, Timestamp, WorkerId, model::WaitsFor};
use octollm_plan::Provenance;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What does the steps of one queue.
#[async_trait]
pub trait Arm: Send + Sync + 'static {
    /// Which queue it takes from.
    fn name(&self) -> ArmName;

    /// The tools that it has, for `GET /arms`.
    fn tools(&self) -> Vec<&'static str>;

    /// Does one step. When [`Work::cancel`] fires it stops soon and says [`Undone::Stopped`],
    /// after a checkpoint if it has anything to keep. The future may also be dropped: what
    /// it started must end with it.
    async fn perform(&self, work: Work) -> Result<Completion, Undone>;
}

/// A step to do, and all that is needed to do it.
#[derive(Clone, Debug)]
pub struct Work {
    /// What to do.
    pub grant: Arc<Grant>,
    /// Fires when the step is to stop: its task ends, its time is over, the worker drains.
    pub cancel: CancellationToken,
    /// Artefacts and checkpoints, under the step's lease.
    pub link: Link,
    /// Who does it.
    pub worker: WorkerId,
    /// When the attempt began.
    pub started: Timestamp,
    /// Why the orchestrator did not take the plans that this attempt has handed over, in order.
    pub refused: Vec<String>,
}

/// Why a step has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undone {
    /// It failed.
    #[error("{message}")]
    Failed {
        /// What happened, for the owner of the task.
        message: String,
        /// Another attempt may succeed.
        retryable: bool,
    },
    /// What it needs is not there now, and no worker can bring it about: another attempt goes on
    /// from the checkpoint later. Neither a failure nor a crash.
    #[error("the step waits: {why}")]
    Later {
        /// Not before this has passed.
        at_least: Millis,
        /// What it is.
        waits_for: WaitsFor,
        /// What it waits for, for the owner of the task.
        why: String,
    },
    /// It was told to stop, or its lease is gone.
    #[error("the step was stopped")]
    Stopped,
}

impl Undone {
    /// A failure that another attempt would meet again.
    #[must_use]
    pub fn for_good(message: impl Into<String>) -> Self {
        Undone::Failed { message: message.into(), retryable: false }
    }

    /// A failure that another attempt may not meet.
    #[must_use]
    pub fn for_now(message: impl Into<String>) -> Self {
        Undone::Failed { message: message.into(), retryable: true }
    }
}

impl From<NoLink> for Undone {
    fn from(error: NoLink) -> Self {
        match error {
            NoLink::Lost => Undone::Stopped,
            NoLink::Refused(problem) => {
                Undone::Failed { message: problem.to_string(), retryable: another_may_do(&problem) }
            }
            // Nor is what it keeps: an orchestrator whose artefacts are away cannot take a file. No fault
            // of the step's.
            NoLink::Away => {
                Undone::Later { at_least: AWAY, waits_for: WaitsFor::Orchestrator, why: error.to_string() }
            }
        }
    }
}

/// How long a step waits at least, when it was waited long enough for its orchestrator.
const AWAY: Millis = Millis::from_secs(2);

/// Whether another report may be taken where this one was refused: the orchestrator that knew what the
/// step had put is gone, and it can be put again, by this attempt or by the next one.
pub(crate) fn another_may_do(refused: &Problem) -> bool {
    refused.field.as_deref() == Some(UNKNOWN_ARTEFACTS)
}

/// A whole text is loaded into memory up to this size.
const WHOLE_TEXT_BYTES: usize = 32 << 20;

impl Work {
    /// Where the step was: by this attempt's own word, or by an earlier one's.
    pub(crate) fn checkpoint(&self) -> Option<serde_json::Value> {
        self.link.saved().or_else(|| self.grant.checkpoint.clone())
    }

    /// A text that an earlier step kept whole as an artefact.
    pub(crate) async fn whole_text(&self, kept: ContentHash) -> Result<String, Undone> {
        let bytes = self.link.get(kept).await?;
        if bytes.len() > WHOLE_TEXT_BYTES {
            return Err(Undone::for_good("the text of an earlier step is too large to work on"));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Who makes the result of this step, from what; finished now.
    #[must_use]
    pub fn provenance(&self, made_by: &str) -> Provenance {
        let hash = |value| serde_json::to_vec(value).map(|bytes| ContentHash::of(&bytes));
        let seen = self.grant.inputs.iter();
        Provenance {
            worker: self.worker.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            made_by: made_by.to_owned(),
            started: self.started,
            finished: clock::now(),
            inputs: seen.filter_map(|(name, value)| Some((name.clone(), hash(value).ok()?))).collect(),
            cost_usd: None,
        }
    }
}
