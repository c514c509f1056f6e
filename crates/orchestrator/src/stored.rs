//! The documents that the orchestrator keeps with a task: written at the accept, read when a
//! step is handed out and when a client looks. Their form is for ever: fields are only added.

use octollm_access::Policy;
use octollm_contract::{ArmName, Criterion, Document, Millis};
use octollm_lifecycle::{Awaits, NewStep};
use octollm_plan::{CheckedPlan, CheckedStep, DoneStep, Instruction, PlanStep, StepName};
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

/// What whoever planned wrote of a step, for people: without hidden characters, and without secrets that it
/// may have read.
fn masked(summary: &str) -> String {
    octollm_screen::secrets::mask(&octollm_screen::text::neutralise(summary)).text.into_owned()
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
    /// `done`: the steps of earlier plans that the plan may refer to.
    pub(crate) fn of(plan: &CheckedPlan, checked: &CheckedStep, done: &[DoneStep]) -> Self {
        let place_of = |name: &StepName| {
            let own = (plan.first()..).zip(plan.steps()).find(|(_, other)| other.step.name == *name);
            let earlier = || done.iter().find(|other| other.name == *name).map(|other| other.place);
            let place = own.map(|(place, _)| place).or_else(earlier)?;
            Some((name.clone(), place))
        };
        let places = checked.step.inputs.values().filter_map(|from| place_of(&from.step)).collect();
        // A place only ever leads to a smaller one, and one of an earlier plan to none.
        let before = |place: &u16| plan.at(*place).and_then(|step| step.workspace_from).filter(|p| p < place);
        let workspace_from = std::iter::successors(checked.workspace_from, before).collect();
        // Once, and not for each look at it. Of the rest of it, the arm that does the step needs every word.
        let step = PlanStep { summary: masked(&checked.step.summary), ..checked.step.clone() };
        StepDocument { step, places, workspace_from }
    }

    /// The places of the steps whose outputs the step is handed.
    pub(crate) fn needs(&self, checked: &CheckedStep) -> Vec<u16> {
        let needs: BTreeSet<u16> = checked.needs.iter().chain(&self.workspace_from).copied().collect();
        needs.into_iter().collect()
    }
}

/// The steps of a plan as they go into a task, each with its document.
pub(crate) fn written(plan: &CheckedPlan, done: &[DoneStep]) -> (Vec<NewStep>, Vec<Document>) {
    let steps = plan.steps().iter().map(|checked| {
        let document = StepDocument::of(plan, checked, done);
        let new = NewStep {
            arm: checked.step.arm,
            needs: document.needs(checked),
            awaits: if checked.needs_approval { Awaits::Approval } else { Awaits::Nothing },
            time_limit: checked.step.time_limit.unwrap_or_else(|| time_limit(&checked.step)),
        };
        (new, Document::of(&document).expect("a step document is JSON"))
    });
    steps.unzip()
}

/// Whether a step with this instruction may ask a model.
pub(crate) fn thinks(instruction: &Instruction) -> bool {
    match instruction {
        Instruction::Think(_) => true,
        Instruction::Judge { criteria } => criteria.iter().any(|c| matches!(c, Criterion::FreeText(_))),
        Instruction::Tool(_) => false,
    }
}

/// How long one attempt may take when the plan does not say.
fn time_limit(step: &PlanStep) -> Millis {
    match step.arm {
        // A model takes its time.
        ArmName::Judge if thinks(&step.instruction) => Millis::from_secs(300),
        ArmName::Judge | ArmName::Guardian | ArmName::Retriever => Millis::from_secs(60),
        ArmName::Executor | ArmName::Planner => Millis::from_secs(300),
        ArmName::Coder => Millis::from_secs(1800),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_access::Capability;
    use octollm_plan::{Plan, ValueType};

    fn coder(name: &str, needs: &[&str]) -> PlanStep {
        PlanStep {
            name: name.parse().unwrap(),
            arm: ArmName::Coder,
            summary: String::new(),
            instruction: Instruction::Think("write".into()),
            inputs: BTreeMap::new(),
            needs: needs.iter().map(|need| need.parse().unwrap()).collect(),
            capability: Capability { writes_workspace: true, ..Capability::default() },
            time_limit: None,
        }
    }

    /// Whoever looks at the step is shown neither; what the arm is told is as it was planned.
    #[test]
    fn a_summary_is_kept_without_secrets_and_hidden_characters() {
        let secret = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
        let said = format!("use {}\u{200b}{} \u{202e}now", &secret[..9], &secret[9..]);
        let step = PlanStep {
            summary: said.clone(),
            instruction: Instruction::Think(said.clone()),
            ..coder("a", &[])
        };
        let plan = Plan { steps: vec![step], result: vec!["a".parse().unwrap()] };
        let (_, documents) = written(&plan.check_after(&Policy::default(), &[], 0).unwrap(), &[]);
        let kept: StepDocument = documents[0].read().unwrap();
        assert_eq!(kept.step.summary, "use [masked github] <U+202E>now");
        assert_eq!(kept.step.instruction, Instruction::Think(said));
    }

    /// A plan that goes on after others starts from their workspace, and its places are the task's.
    #[test]
    fn documents_of_a_later_plan_speak_of_the_tasks_places() {
        let done =
            DoneStep { name: "old".parse().unwrap(), place: 1, yields: vec![ValueType::Text], wrote: true };
        let mut second = coder("b", &["a"]);
        let from = octollm_plan::Reference { step: "old".parse().unwrap(), output: ValueType::Text };
        second.inputs.insert("x".parse().unwrap(), from);
        let plan = Plan { steps: vec![coder("a", &[]), second], result: vec!["b".parse().unwrap()] };
        let checked = plan.check_after(&Policy::default(), std::slice::from_ref(&done), 3).unwrap();
        let (steps, documents) = written(&checked, std::slice::from_ref(&done));
        let read: Vec<StepDocument> = documents.iter().map(|document| document.read().unwrap()).collect();
        assert_eq!(read[0].workspace_from, [1]);
        assert_eq!(read[1].workspace_from, [3, 1]);
        assert_eq!(read[1].places.values().copied().collect::<Vec<_>>(), [1]);
        assert_eq!((steps[0].needs.clone(), steps[1].needs.clone()), (vec![1], vec![1, 3]));
        assert_eq!(checked.result(), [4]);
    }
}
