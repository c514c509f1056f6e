//! Identifiers: typed by what they name, so that a task's id cannot be passed for a step's.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

/// Names a task: `task_` and a UUIDv7 (RFC 9562), so that ids sort by the time of the accept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(uuid::Uuid);

/// Names a step: its task and its place in it. Places only grow, over all plan versions.
///
/// Text form: `step_<uuid of the task>.<place>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId {
    /// The task the step belongs to.
    pub task: TaskId,
    /// The step's place in the task, from 0.
    pub place: u16,
}

/// Names one call of a model: 16 random bytes, drawn before the call is held.
///
/// Text form: `call_<uuid>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(uuid::Uuid);

impl CallId {
    /// Takes the caller's random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        CallId(uuid::Uuid::from_bytes(bytes))
    }

    /// The sixteen bytes that stores keep.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }
}

impl TaskId {
    /// Makes an id for a task accepted at `now`; `entropy` is drawn by the caller.
    #[must_use]
    pub fn new(now: Timestamp, entropy: [u8; 10]) -> Self {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        TaskId(uuid::Builder::from_unix_timestamp_millis(millis, &entropy).into_uuid())
    }

    /// The sixteen bytes that stores keep.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// Reads back what [`TaskId::to_bytes`] gave.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        TaskId(uuid::Uuid::from_bytes(bytes))
    }

    /// The step at `place` of this task.
    #[must_use]
    pub fn step(self, place: u16) -> StepId {
        StepId { task: self, place }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task_{}", self.0.hyphenated())
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step_{}.{}", self.task.0.hyphenated(), self.place)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call_{}", self.0.hyphenated())
    }
}

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct ParseIdError {
    text: String,
    wanted: &'static str,
}

fn uuid_after(text: &str, rest: Option<&str>, wanted: &'static str) -> Result<uuid::Uuid, ParseIdError> {
    let refusal = || ParseIdError { text: text.chars().take(80).collect(), wanted };
    let rest = rest.ok_or_else(refusal)?;
    // Only the hyphenated lower-case form: an id has one spelling.
    let uuid = uuid::Uuid::try_parse(rest).map_err(|_| refusal())?;
    if uuid.hyphenated().to_string() == rest { Ok(uuid) } else { Err(refusal()) }
}

impl FromStr for TaskId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid_after(text, text.strip_prefix("task_"), "a task id (task_ and a UUID)").map(TaskId)
    }
}

impl FromStr for CallId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid_after(text, text.strip_prefix("call_"), "a call's id (call_ and a UUID)").map(CallId)
    }
}

impl FromStr for StepId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "a step id (step_, a UUID, a dot and the step's place)";
        let refusal = || ParseIdError { text: text.chars().take(80).collect(), wanted };
        let (uuid, place) = text.strip_prefix("step_").and_then(|r| r.split_once('.')).ok_or_else(refusal)?;
        let task = TaskId(uuid_after(text, Some(uuid), wanted)?);
        let number: u16 = place.parse().map_err(|_| refusal())?;
        if number.to_string() == place { Ok(task.step(number)) } else { Err(refusal()) }
    }
}

/// A name that breaks the rule of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct InvalidName {
    what: &'static str,
    rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $rule:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let allowed: fn(char) -> bool = $allowed;
                if !text.is_empty() && text.chars().all(allowed) && text.chars().count() <= $max {
                    Ok($name(text.into()))
                } else {
                    Err(InvalidName { what: $what, rule: $rule })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The owner of keys, tasks, knowledge and money.
    TenantId, "a tenant", 64, "1 to 64 of a-z, 0-9, '-' and '_'",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
);
name!(
    /// The public part of an API key: what `octo_<id>_<secret>` calls id.
    KeyId, "a key id", 32, "1 to 32 of a-z and 0-9",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit()
);
name!(
    /// One run of one worker process. A restarted worker is another worker.
    WorkerId, "a worker id", 96, "1 to 96 of a-z, A-Z, 0-9, '-', '_', '.' and ':'",
    |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')
);
name!(
    /// What a client sends in `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header),
    /// scoped to its tenant.
    IdempotencyKey, "an idempotency key", 255, "1 to 255 visible ASCII characters",
    |c| c.is_ascii_graphic()
);
name!(
    /// A conversation that tasks belong to, as its client calls it; scoped to its tenant.
    SessionId, "a session id", 200, "1 to 200 characters without control characters",
    |c| !c.is_control()
);

macro_rules! as_text {
    ($($name:ident: $about:literal, $pattern:expr;)+ $(,)?) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some($about));
                text.pattern(Some($pattern)).into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

macro_rules! uuid {
    ($before:literal, $behind:literal) => {
        concat!("^", $before, "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", $behind, "$")
    };
}

as_text! {
    TaskId: "`task_` and a UUIDv7", uuid!("task_", "");
    StepId: "`step_`, the UUID of its task, a dot and its place in the task", uuid!("step_", r"\.(0|[1-9][0-9]{0,4})");
    TenantId: "1 to 64 of a-z, 0-9, '-' and '_'", "^[a-z0-9_-]{1,64}$";
    KeyId: "1 to 32 of a-z and 0-9", "^[a-z0-9]{1,32}$";
    WorkerId: "one run of one worker process", "^[A-Za-z0-9_.:-]{1,96}$";
    IdempotencyKey: "1 to 255 visible ASCII characters", "^[!-~]{1,255}$";
    SessionId: "1 to 200 characters without control characters", r"^[^\x00-\x1f\x7f-\x9f]{1,200}$";
    CallId: "`call_` and a UUID", uuid!("call_", "");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_reads_back_as_itself(bytes: [u8; 16], place: u16) {
            let task = TaskId::from_bytes(bytes);
            prop_assert_eq!(task.to_string().parse::<TaskId>(), Ok(task));
            let step = task.step(place);
            prop_assert_eq!(step.to_string().parse::<StepId>(), Ok(step));
            prop_assert!(step.to_string().parse::<TaskId>().is_err());
            let call = CallId::from_bytes(bytes);
            prop_assert_eq!(call.to_string().parse::<CallId>(), Ok(call));
            prop_assert!(call.to_string().parse::<TaskId>().is_err());
        }

        #[test]
        fn ids_sort_by_the_time_of_the_accept(a in 0i64..1 << 47, b in 0i64..1 << 47, x: [u8; 10], y: [u8; 10]) {
            prop_assume!(a < b);
            let id = |millis, entropy| TaskId::new(Timestamp::from_millis(millis), entropy);
            prop_assert!(id(a, x) < id(b, y));
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id = "task_0197d1e8-7c1a-7000-8000-00000000002a";
        assert_eq!(id.parse::<TaskId>().map(|i| i.to_string()).as_deref(), Ok(id));
        for other in [
            "task_0197D1E8-7C1A-7000-8000-00000000002A",
            "task_0197d1e87c1a7000800000000000002a",
            "task_",
            "",
        ] {
            assert!(other.parse::<TaskId>().is_err(), "{other}");
        }
        assert!("step_0197d1e8-7c1a-7000-8000-00000000002a.007".parse::<StepId>().is_err());
    }

    #[test]
    fn a_name_keeps_to_its_alphabet_and_length() {
        assert!("team-a".parse::<TenantId>().is_ok());
        for bad in ["", "Team", "a b", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
        assert!("Gespräch 1".parse::<SessionId>().is_ok() && "ä".repeat(200).parse::<SessionId>().is_ok());
        for bad in ["", "a\nb", &"ä".repeat(201)] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }
}
