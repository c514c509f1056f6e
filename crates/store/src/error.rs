//! Why a store did not do what it was asked: one variant for each thing the caller can do.

use octollm_contract::{IdempotencyKey, TaskId};
use octollm_lifecycle::Refusal;

/// What a back end said. Kept for the log; nobody decides by it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Backend(Box<dyn std::error::Error + Send + Sync>);

impl Backend {
    /// Wraps a back end's own error.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Backend(error.into())
    }
}

/// Why a call failed for reasons that are not the caller's.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was changed. Repeat later.
    #[error("the store cannot be reached")]
    Unreachable(#[source] Backend),
    /// It may have been done or not. Read, or repeat what is idempotent.
    #[error("the commit was not confirmed")]
    Unconfirmed(#[source] Backend),
    /// What is stored cannot be read. A person must look.
    #[error("the store holds what this version cannot read")]
    Corrupt(#[source] Backend),
}

/// Why a task was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Use another key for another task.
    #[error("idempotency key {key} already belongs to another request")]
    KeyReused {
        /// The key.
        key: IdempotencyKey,
        /// The task that was accepted under it.
        first: TaskId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// There is no such task in the caller's scope.
    #[error("there is no such task")]
    NotFound,
    /// The task's state does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
