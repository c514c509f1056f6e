//! What can go wrong between this process and the server, and what follows from it.

use crate::{Backend, StoreError, columns::Unreadable};
use std::sync::Arc;
use tokio_postgres::error::{Severity, SqlState};

/// Why a transaction is not done, or not known to be done.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The server refused a statement for what is in it. Nothing was changed; what shares the
    /// transaction may be tried without it.
    Statement(Arc<tokio_postgres::Error>),
    /// Another transaction was in the way. Nothing was changed; try again.
    Again(Arc<dyn std::error::Error + Send + Sync>),
    /// The server cannot do this now, whatever is in it. Nothing was changed.
    Unable(Arc<tokio_postgres::Error>),
    /// The connection is of no use any more. Nothing was changed.
    Lost(Arc<dyn std::error::Error + Send + Sync>),
    /// It may be done or not.
    InDoubt(Arc<dyn std::error::Error + Send + Sync>),
    /// A row cannot be read. Nothing was changed.
    Corrupt(Arc<dyn std::error::Error + Send + Sync>),
}

/// Whether the commit was already asked for when something went wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was not: nothing can have been changed.
    Before,
    /// It was.
    Commit,
}

impl Fault {
    /// What `error` means for the transaction in which it came up.
    pub(super) fn of(error: tokio_postgres::Error, stage: Stage) -> Self {
        let Some(said) = error.as_db_error() else {
            let network =
                std::error::Error::source(&error).is_none_or(|source| source.is::<std::io::Error>());
            if !network {
                // A value that does not fit its column's type never left this process.
                return Fault::Statement(Arc::new(error));
            }
            return Fault::gone(error, stage);
        };
        let ends_connection = match said.parsed_severity() {
            Some(Severity::Fatal | Severity::Panic) => true,
            Some(
                Severity::Error
                | Severity::Warning
                | Severity::Notice
                | Severity::Debug
                | Severity::Info
                | Severity::Log,
            )
            | None => false,
        };
        if ends_connection {
            return Fault::gone(error, stage);
        }
        let code = said.code().clone();
        if code == SqlState::READ_ONLY_SQL_TRANSACTION {
            // The node has become a standby: what it says now is no answer of the primary's.
            return Fault::Lost(Arc::new(error));
        }
        let error = Arc::new(error);
        if code == SqlState::T_R_DEADLOCK_DETECTED || code == SqlState::T_R_SERIALIZATION_FAILURE {
            return Fault::Again(error);
        }
        match code.code().get(..2) {
            // Data exceptions and violated constraints are about the rows of the statement.
            Some("22" | "23" | "P0") => Fault::Statement(error),
            Some("54") => Fault::Statement(error),
            Some(_) | None => Fault::Unable(error),
        }
    }

    fn gone(error: tokio_postgres::Error, stage: Stage) -> Self {
        match stage {
            Stage::Before => Fault::Lost(Arc::new(error)),
            Stage::Commit => Fault::InDoubt(Arc::new(error)),
        }
    }

    /// The same of a read: there is nothing to be in doubt of.
    pub(super) fn of_a_read(self) -> Self {
        match self {
            Fault::InDoubt(error) => Fault::Lost(error),
            Fault::Statement(_) | Fault::Again(_) | Fault::Unable(_) | Fault::Lost(_) | Fault::Corrupt(_) => {
                self
            }
        }
    }

    /// The same, known to have come up before anything was sent.
    pub(super) fn before_anything(self) -> Self {
        match self {
            Fault::Statement(error) | Fault::Unable(error) => Fault::Lost(error),
            Fault::Again(error) | Fault::Lost(error) | Fault::InDoubt(error) | Fault::Corrupt(error) => {
                Fault::Lost(error)
            }
        }
    }

    /// A statement failed, and no commit was sent.
    pub(super) fn before(error: tokio_postgres::Error) -> Self {
        Fault::of(error, Stage::Before)
    }

    /// What happened, in the words of whoever said it.
    pub(super) fn said(&self) -> String {
        let said: &(dyn std::error::Error + 'static) = match self {
            Fault::Statement(error) | Fault::Unable(error) => error.as_ref(),
            Fault::Again(error) | Fault::Lost(error) | Fault::InDoubt(error) | Fault::Corrupt(error) => {
                error.as_ref()
            }
        };
        let chain = std::iter::successors(Some(said), |error| error.source());
        chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// Whether the same may be tried in smaller parts.
    pub(super) const fn is_about_the_rows(&self) -> bool {
        match self {
            Fault::Statement(_) | Fault::Corrupt(_) => true,
            Fault::Again(_) | Fault::Unable(_) | Fault::Lost(_) | Fault::InDoubt(_) => false,
        }
    }
}

impl From<Unreadable> for Fault {
    fn from(error: Unreadable) -> Self {
        Fault::Corrupt(Arc::new(error))
    }
}

impl From<&Fault> for StoreError {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::Statement(error) | Fault::Unable(error) => {
                StoreError::Unreachable(Backend::new(Shared(Arc::clone(error) as _)))
            }
            Fault::Again(error) | Fault::Lost(error) => {
                StoreError::Unreachable(Backend::new(Shared(Arc::clone(error))))
            }
            Fault::InDoubt(error) => StoreError::Unconfirmed(Backend::new(Shared(Arc::clone(error)))),
            Fault::Corrupt(error) => StoreError::Corrupt(Backend::new(Shared(Arc::clone(error)))),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        StoreError::from(&fault)
    }
}

/// An error that several callers are told.
#[derive(Debug)]
struct Shared(Arc<dyn std::error::Error + Send + Sync>);

impl std::fmt::Display for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// The server gave up waiting for its standby: the commit is on its own disk only (SQLSTATE 01000).
#[derive(Debug, thiserror::Error)]
#[error("the commit was not confirmed by the synchronous standby: {0}")]
pub(super) struct NotReplicated(pub(super) String);

/// Nobody answered in time.
#[derive(Debug, thiserror::Error)]
#[error("the database did not answer within {0:?}")]
pub(super) struct TooLate(pub(super) std::time::Duration);

/// The store is being closed, or the owner of a connection failed.
#[derive(Debug, thiserror::Error)]
#[error("the owner of the connection is gone")]
pub(super) struct OwnerGone;
