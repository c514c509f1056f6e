//! The documents that the orchestrator keeps with a task: written at the accept, read when a
//! step is handed out and when a client looks. Their form is for ever: fields are only added.

use octollm_access::Policy;
use octollm_contract::{ArmName, Document, Millis};
use octollm_lifecycle::{Awaits, NewStep};
use octollm_plan::{CheckedPlan, CheckedStep, PlanStep, StepName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What belongs to a plan as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanDocument {
    /// The places of the steps whose outputs make the result, in order.
    pub result: Vec<u16>,
    /// The most that steps of later plans may do: the policy of the key that the task was
    /// accepted under. Absent where no model can plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

/// What a step is to do, and where in the task the steps are that it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepDocument {
    /// The step as it was planned.
    pub step: PlanStep,
    /// The places of the steps that its inputs name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<StepName, u16>,
    /// The steps whose workspace it may start from, the last writer first: the first of them
    /// that changed the workspace counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspace_from: Vec<u16>,
}

impl PlanDocument {
    pub(crate) fn of(plan: &CheckedPlan) -> Self {
        PlanDocument { result: plan.result().to_vec(), policy: None }
    }
}

impl StepDocument {
    pub(crate) fn of(plan: &CheckedPlan, checked: &CheckedStep) -> Self {
        let place_of = |name: &StepName| {
            let place = (0u16..).zip(plan.steps()).find(|(_, other)| other.step.name == *name);
            place.map(|(place, _)| (name.clone(), place))
        };
        let places = checked.step.inputs.values().filter_map(|from| place_of(&from.step)).collect();
        let before = |place: u16| plan.steps().get(usize::from(place)).and_then(|s| s.workspace_from);
        let workspace_from = std::iter::successors(checked.workspace_from, |place| before(*place)).collect();
        StepDocument { step: checked.step.clone(), places, workspace_from }
    }

    /// The places of the steps whose outputs the step is handed.
    pub(crate) fn needs(&self, checked: &CheckedStep) -> Vec<u16> {
        let needs: BTreeSet<u16> = checked.needs.iter().chain(&self.workspace_from).copied().collect();
        needs.into_iter().collect()
    }
}

/// The steps of a plan as they go into a task, each with its document.
pub(crate) fn written(plan: &CheckedPlan) -> (Vec<NewStep>, Vec<Document>) {
    let steps = plan.steps().iter().map(|checked| {
        let document = StepDocument::of(plan, checked);
        let new = NewStep {
            arm: checked.step.arm,
            needs: document.needs(checked),
            awaits: if checked.needs_approval { Awaits::Approval } else { Awaits::Nothing },
            time_limit: checked.step.time_limit.unwrap_or_else(|| time_limit(checked.step.arm)),
        };
        (new, Document::of(&document).expect("a step document is JSON"))
    });
    steps.unzip()
}

/// How long one attempt may take when the plan does not say.
fn time_limit(arm: ArmName) -> Millis {
    match arm {
        ArmName::Judge | ArmName::Guardian | ArmName::Retriever => Millis::from_secs(60),
        ArmName::Executor | ArmName::Planner => Millis::from_secs(300),
        ArmName::Coder => Millis::from_secs(1800),
    }
}
