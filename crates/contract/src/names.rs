//! The closed sets of names that the API, the metrics and the plans share.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// The files that mark a data folder of `serve`: its owner's lock, and its database or a word that the
/// tasks are in another one. Tools go into no folder with such marks, whatever they may read: it
/// holds what is every tenant's (P7).
pub const DATA_FOLDER_LOCK: &str = "owner.lock";
/// See [`DATA_FOLDER_LOCK`].
pub const DATA_FOLDER_DATABASE: &str = "tasks.sqlite3";
/// See [`DATA_FOLDER_LOCK`].
pub const DATA_FOLDER_WITHOUT_DATABASE: &str = "tasks.elsewhere";

/// Marks any other folder of that kind, wherever it lies: artefacts, workspaces of steps that are at work.
pub const PRIVATE_FOLDER: &str = ".octollm-private";

/// The folder among a task's artefacts that holds what was cut in an output's text. No file of a step may take its name.
pub const OUTPUTS_FOLDER: &str = "octollm-output";

/// All names by which [`marks_a_private_folder`] may tell one.
pub const MARKS: [&str; 4] =
    [PRIVATE_FOLDER, DATA_FOLDER_LOCK, DATA_FOLDER_DATABASE, DATA_FOLDER_WITHOUT_DATABASE];

/// Whether the folder of which `holds` tells is a server's or an arm's own.
pub fn marks_a_private_folder(holds: impl Fn(&str) -> bool) -> bool {
    let [private, lock, database, elsewhere] = MARKS;
    holds(private) || holds(lock) && (holds(database) || holds(elsewhere))
}

/// A text that is not one of a closed set of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not one of {}", known.join(", "))]
pub struct UnknownName {
    text: String,
    known: &'static [&'static str],
}

impl UnknownName {
    pub(crate) fn new(text: &str, known: &'static [&'static str]) -> Self {
        UnknownName { text: text.chars().take(80).collect(), known }
    }
}

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every name there is, in the order of the design.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The name as it is written everywhere.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => Err(UnknownName::new(text, &[$($text),+])),
                }
            }
        }
    };
}

names! {
    /// A kind of arm: what takes steps from a queue of its own and does them.
    ArmName {
        /// Turns a goal into a plan and revises it.
        Planner = "planner",
        /// Runs tools.
        Executor = "executor",
        /// Writes and tests code.
        Coder = "coder",
        /// Checks a result against acceptance criteria.
        Judge = "judge",
        /// Screens text for what must not pass.
        Guardian = "guardian",
        /// Searches the knowledge base.
        Retriever = "retriever",
    }
}

names! {
    /// A part that scales on its own.
    Component {
        /// The front door.
        Reflex = "reflex",
        /// The owner of the tasks' state.
        Orchestrator = "orchestrator",
        /// The planner arm.
        Planner = "planner",
        /// The executor arm.
        Executor = "executor",
        /// The coder arm.
        Coder = "coder",
        /// The judge arm.
        Judge = "judge",
        /// The guardian arm.
        Guardian = "guardian",
        /// The retriever arm.
        Retriever = "retriever",
    }
}

names! {
    /// How urgent a task is against the other tasks of its tenant; the order is by urgency.
    Priority {
        /// Waits for everything else.
        Low = "low",
        /// The default.
        Medium = "medium",
        /// Before medium.
        High = "high",
        /// Before everything else of its tenant.
        Critical = "critical",
    }
}

impl From<ArmName> for Component {
    fn from(arm: ArmName) -> Self {
        match arm {
            ArmName::Planner => Component::Planner,
            ArmName::Executor => Component::Executor,
            ArmName::Coder => Component::Coder,
            ArmName::Judge => Component::Judge,
            ArmName::Guardian => Component::Guardian,
            ArmName::Retriever => Component::Retriever,
        }
    }
}

impl Component {
    /// The arm behind this component, if it is one.
    #[must_use]
    pub const fn arm(self) -> Option<ArmName> {
        match self {
            Component::Reflex | Component::Orchestrator => None,
            Component::Planner => Some(ArmName::Planner),
            Component::Executor => Some(ArmName::Executor),
            Component::Coder => Some(ArmName::Coder),
            Component::Judge => Some(ArmName::Judge),
            Component::Guardian => Some(ArmName::Guardian),
            Component::Retriever => Some(ArmName::Retriever),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_itself_and_every_arm_is_a_component() {
        for arm in ArmName::ALL {
            assert_eq!(arm.as_str().parse(), Ok(*arm));
            assert_eq!(Component::from(*arm).arm(), Some(*arm));
            assert_eq!(Component::from(*arm).as_str(), arm.as_str());
        }
        assert_eq!(
            "boss".parse::<Priority>().unwrap_err().to_string(),
            r#""boss" is not one of low, medium, high, critical"#
        );
    }
}
