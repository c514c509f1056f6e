//! What can go wrong under a request, and what its caller is told.

use super::rows::RowError;
use crate::{Backend, StoreError};
use std::sync::Arc;

/// Why a request was not done.
#[derive(Debug)]
pub(super) enum Fault {
    /// A row cannot be read. Nothing has been written for this request: others in the same
    /// transaction go on.
    Corrupt(Backend),
    /// SQLite refused: the transaction cannot go on.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match RowError::from(error) {
            RowError::Column(error) if is_about_a_value(&error) => Fault::Corrupt(Backend::new(error)),
            RowError::Column(error) => Fault::Sql(error),
            RowError::Value(value) => Fault::Corrupt(Backend::new(value)),
        }
    }
}

impl From<RowError> for Fault {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Value(value) => Fault::Corrupt(Backend::new(value)),
            RowError::Column(error) => Fault::from(error),
        }
    }
}

fn is_about_a_value(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Corrupt(backend) => StoreError::Corrupt(backend),
            Fault::Sql(error) => Outage::of_statement(error).into(),
        }
    }
}

/// A failure that may be told to several callers.
#[derive(Clone, Debug)]
pub(super) enum Outage {
    /// Nothing was changed.
    Unreachable(Arc<rusqlite::Error>),
    /// The disk did not say whether the commit is on it.
    Unconfirmed(Arc<rusqlite::Error>),
    /// The disk did not take the log.
    Unsynced(Arc<std::io::Error>),
    /// The file is damaged.
    Damaged(Arc<rusqlite::Error>),
}

impl Outage {
    /// A statement failed: its transaction is rolled back.
    pub(super) fn of_statement(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Outage::Damaged(Arc::new(error))
            }
            _ => Outage::Unreachable(Arc::new(error)),
        }
    }

    /// A commit failed. After an error of the disk itself the frames may or may not be there
    /// after a crash; any other error left nothing behind.
    pub(super) fn of_commit(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::SystemIoFailure) => Outage::Unconfirmed(Arc::new(error)),
            _ => Outage::of_statement(error),
        }
    }

    /// A sync failed: what was committed may be lost with the power.
    pub(super) fn of_sync(error: std::io::Error) -> Self {
        Outage::Unsynced(Arc::new(error))
    }
}

impl From<Outage> for StoreError {
    fn from(outage: Outage) -> Self {
        match outage {
            Outage::Unreachable(error) => StoreError::Unreachable(Backend::new(error)),
            Outage::Unconfirmed(error) => StoreError::Unconfirmed(Backend::new(error)),
            Outage::Unsynced(error) => StoreError::Unconfirmed(Backend::new(error)),
            Outage::Damaged(error) => StoreError::Corrupt(Backend::new(error)),
        }
    }
}

/// The writer's thread is gone; the request never reached it.
#[derive(Debug, thiserror::Error)]
#[error("the store's writer has stopped")]
pub(super) struct WriterStopped;

/// The writer's thread dropped the request while it was at it.
#[derive(Debug, thiserror::Error)]
#[error("the store's writer gave no answer")]
pub(super) struct NoAnswer;
