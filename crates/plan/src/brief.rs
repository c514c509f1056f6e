//! What a step that thinks is told about its task: pure data that travels with the lease.
//!
//! Promises: every list and text in a brief is bounded by whoever makes it; nothing in it is a
//! permission: the policy is told so that a planner need not guess, and is checked again when
//! its plan comes back.
//!
//! Must not know: prompts, models, stores.

use crate::{StepName, ValueType};
use octollm_access::Policy;
use octollm_contract::{ArmName, Criterion, Edition};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the client wants, and for a planner what there is to plan with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Brief {
    /// The goal, as the client wrote it.
    pub goal: String,
    /// What everything that is done must keep to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// Facts from the client.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
    /// How the task's result will be judged. The judge's step is added to every plan; a planner
    /// need not write it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub criteria: Vec<Criterion>,
    /// Of planner steps, and only of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planning: Option<Box<Planning>>,
}

/// What a planner needs to know beyond the goal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Planning {
    /// The most that the plan's steps may do.
    pub policy: Policy,
    /// Which arms there are, and their tools.
    pub arms: Vec<ArmOffer>,
    /// Which revision of the plan is wanted: 0 is the first plan.
    #[serde(default)]
    pub revision: u32,
    /// The place in the task that the first of the plan's steps gets.
    #[serde(default)]
    pub first: u16,
    /// What every orchestrator that may meet the plan can read; one that does not say reads no later edition.
    #[serde(default = "Edition::unsaid")]
    pub readers: Edition,
    /// How often the plan may still be revised after this.
    #[serde(default)]
    pub revisions_left: u32,
    /// How many questions may still be put to the client.
    #[serde(default)]
    pub questions_left: u32,
    /// Steps of earlier plans that are done. The new plan may refer to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<Finished>,
    /// Why the plan is to be revised: the steps that failed or were refused by a judge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// What the client was asked, and answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answered>,
    /// Earlier tasks of the same session, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub session: Vec<Earlier>,
}

/// An arm that takes steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmOffer {
    /// Its name.
    pub arm: ArmName,
    /// Its tools; empty where not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// It takes instructions in words.
    #[serde(default)]
    pub thinks: bool,
}

/// A step that is done: what a revised plan is checked against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneStep {
    /// What it is called.
    pub name: StepName,
    /// Its place in the task.
    pub place: u16,
    /// Which values it has for later steps.
    pub yields: Vec<ValueType>,
    /// It left a workspace.
    #[serde(default)]
    pub wrote: bool,
}

/// A step that is done, told to a planner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// What it gives.
    pub step: DoneStep,
    /// The arm that did it.
    pub arm: ArmName,
    /// What it was to do.
    pub summary: String,
    /// The beginning of what it gave back.
    pub text: String,
}

/// A step that failed, or whose result a judge refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it is called.
    pub step: StepName,
    /// The arm that did it.
    pub arm: ArmName,
    /// What it was to do.
    pub summary: String,
    /// What happened, or what the judge found.
    pub message: String,
}

/// A question of a planner to the client, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// What was asked.
    pub question: String,
    /// What the client wrote.
    pub answer: String,
}

/// An earlier task of the same session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// Its goal.
    pub goal: String,
    /// How it ended: the text of its result, or its error.
    pub outcome: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A brief with nothing but a goal, as the first version wrote it.
    #[test]
    fn a_brief_is_read_with_nothing_but_a_goal() {
        let brief: Brief = serde_json::from_str(r#"{"goal":"x"}"#).unwrap();
        assert_eq!(brief, Brief { goal: "x".into(), ..Brief::default() });
        assert_eq!(serde_json::to_string(&brief).unwrap(), r#"{"goal":"x"}"#);
        let planning = r#"{"goal":"x","planning":{"policy":{},"arms":[{"arm":"coder","thinks":true}]}}"#;
        let brief: Brief = serde_json::from_str(planning).unwrap();
        assert_eq!(brief.planning.map(|p| p.arms.len()), Some(1));
    }
}
