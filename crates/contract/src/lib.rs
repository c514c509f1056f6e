//! The words everyone uses: identifiers, money, time, and the shapes that cross the wire.
//!
//! Promises: a value of a type here is valid by construction, its text form and its
//! parser agree, and anything that grants a right ([`LeaseToken`]) neither prints itself
//! nor compares in variable time.
//!
//! Must not know: states, plans, policies, stores. Those live with the crate that decides
//! about them; what is here is what two processes, or a client and a server, must agree on.

pub mod api;
mod day;
mod edition;
mod hash;
mod id;
pub mod model;
mod money;
pub mod names;
pub mod problem;
mod said;
mod secret;
mod time;

pub use api::{Budget, Criterion};
pub use day::{Day, ParseDayError};
pub use edition::Edition;
pub use hash::{ContentHash, ParseHashError};
pub use id::{
    CallId, IdempotencyKey, InvalidName, KeyId, ParseIdError, SessionId, StepId, TaskId, TenantId, WorkerId,
};
pub use money::{Cost, MicroUsd, ParseMoneyError};
pub use names::{ArmName, Component, Priority, UnknownName};
pub use problem::{Problem, ProblemKind};
pub use said::in_words;
pub use secret::LeaseToken;
pub use time::{Millis, ParseMillisError, ParseTimestampError, Timestamp};

use std::sync::Arc;

/// A JSON document that this layer carries but does not look into.
///
/// Plans, results and checkpoints pass through the state machine and the stores as
/// documents: whoever wrote them knows their shape, the stores keep the bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Document(Arc<str>);

impl Document {
    /// Serialises `value`. Fails only when the value cannot be JSON (a map with keys that are
    /// not strings, a serializer that gives up).
    pub fn of<T: serde::Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Document(serde_json::to_string(value)?.into()))
    }

    /// Takes text that is already JSON, such as a column read back from a store.
    #[must_use]
    pub fn from_json(json: impl Into<Arc<str>>) -> Self {
        Document(json.into())
    }

    /// Reads the document as a `T`; the error names the place inside it.
    pub fn read<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({})", self.0)
    }
}
