//! Plans and steps as they are written down: by the rules planner, by a model, in the store.

use crate::ToolCall;
use octollm_access::Capability;
use octollm_contract::{ArmName, Criterion, Edition, Millis};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};
use utoipa::ToSchema;

/// A plan as its author wrote it. Only [`Plan::check`] makes it one that may be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The steps; the order means nothing, `needs` and `inputs` do.
    pub steps: Vec<PlanStep>,
    /// The steps whose outputs, in this order, make the task's result.
    pub result: Vec<StepName>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// Its name, unique in the plan.
    pub name: StepName,
    /// The arm that does it.
    pub arm: ArmName,
    /// What it is to do, in words for people.
    pub summary: String,
    /// What it is to do.
    pub instruction: Instruction,
    /// Outputs of earlier steps that it uses. Each is a need, too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<InputName, Reference>,
    /// Steps that must be done before, beyond those of `inputs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<StepName>,
    /// What it may do.
    #[serde(default)]
    pub capability: Capability,
    /// How long one attempt may take, in milliseconds; the default is the arm's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<Millis>,
}

impl PlanStep {
    /// The edition of plans since which the step can be read: see [`ToolCall::since`].
    #[must_use]
    pub fn since(&self) -> Edition {
        match &self.instruction {
            Instruction::Tool(call) => call.since(),
            Instruction::Judge { .. } | Instruction::Think(_) => Edition::First,
        }
    }
}

/// What a step is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Instruction {
    /// One call of a tool.
    Tool(ToolCall),
    /// Check the whole outputs that are this step's inputs against all of these, by rule or,
    /// where one is a sentence, by a model.
    Judge {
        /// The conditions; at least one.
        criteria: Vec<Criterion>,
    },
    /// A sentence for an arm that thinks.
    Think(String),
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The step that makes it.
    pub step: StepName,
    /// Which of its outputs.
    pub output: ValueType,
}

/// The types of values that flow between steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// The text of an output.
    Text,
    /// Absolute paths.
    Paths,
    /// A whole number.
    Number,
    /// The data of an output, whatever its shape.
    Data,
    /// The whole output, for the judge.
    Whole,
}

/// A text that cannot name a step or an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is 1 to 40 of a-z, 0-9, '_' and '-', not {text:?}")]
pub struct BadPlanName {
    what: &'static str,
    text: String,
}

macro_rules! plan_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadPlanName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
                if (1..=40).contains(&text.len()) && text.bytes().all(fits) {
                    Ok($name(text.to_owned()))
                } else {
                    Err(BadPlanName { what: $what, text: text.chars().take(60).collect() })
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

plan_name!(
    /// What a step is called inside its plan.
    StepName, "a step's name"
);
plan_name!(
    /// What a step calls one of its inputs.
    InputName, "an input's name"
);

impl Instruction {
    /// The types of values that a step with this instruction gives to later ones.
    #[must_use]
    pub fn yields(&self) -> &'static [ValueType] {
        match self {
            Instruction::Tool(call) => call.yields(),
            Instruction::Judge { .. } | Instruction::Think(_) => {
                &[ValueType::Text, ValueType::Data, ValueType::Whole]
            }
        }
    }
}
