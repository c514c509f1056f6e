//! A step's line to the orchestrator: artefacts and checkpoints, bound to its token.

use crate::worker::pace::Pace;
use bytes::Bytes;
use octollm_access::StepToken;
use octollm_client::{LeaseError, Leases};
use octollm_contract::{ContentHash, Document, Problem};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// How long a call is repeated while the orchestrator is away.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an arm may ask for while it does a step.
#[derive(Clone)]
pub struct Link {
    leases: Arc<dyn Leases>,
    token: StepToken,
}

/// Why a call through the link did nothing.
#[derive(Debug, thiserror::Error)]
pub enum NoLink {
    /// The lease is gone: stop.
    #[error("the lease is no longer held")]
    Lost,
    /// The orchestrator will not do this, however often it is asked.
    #[error("{0}")]
    Refused(Problem),
    /// The orchestrator was away for longer than it is waited for.
    #[error("the orchestrator cannot be reached")]
    Away,
}

impl Link {
    /// The line of the step that `token` opens.
    #[must_use]
    pub fn new(leases: Arc<dyn Leases>, token: StepToken) -> Self {
        Link { leases, token }
    }

    /// Keeps bytes. They live as long as an output or a checkpoint refers to them.
    pub async fn put(&self, bytes: Bytes) -> Result<ContentHash, NoLink> {
        patiently(|| self.leases.put_artefact(&self.token, bytes.clone())).await
    }

    /// Bytes that the step's task refers to.
    pub async fn get(&self, hash: ContentHash) -> Result<Bytes, NoLink> {
        patiently(|| self.leases.get_artefact(&self.token, hash)).await
    }

    /// Saves where the step is; the next attempt finds it in its grant.
    pub async fn checkpoint(&self, state: &Document, artefacts: &[ContentHash]) -> Result<(), NoLink> {
        patiently(|| self.leases.checkpoint(&self.token, state.clone(), artefacts.to_vec())).await
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// Every one of these calls may be repeated: bytes are named by their hash, and a later
/// checkpoint replaces an earlier one.
async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, NoLink>
where
    F: Future<Output = Result<T, LeaseError>>,
{
    let (until, mut pace) = (Instant::now() + PATIENCE, Pace::new());
    loop {
        let wait = match call().await {
            Ok(value) => return Ok(value),
            Err(LeaseError::Lost) => return Err(NoLink::Lost),
            Err(LeaseError::Refused(problem)) => return Err(NoLink::Refused(problem)),
            Err(LeaseError::Busy { retry_after }) => pace.at_least(retry_after),
            Err(LeaseError::Unreachable(_)) => pace.next_wait(),
        };
        if Instant::now() + wait > until {
            return Err(NoLink::Away);
        }
        sleep(wait).await;
    }
}
