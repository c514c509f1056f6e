//! What a step gives back, and how outputs make a task's result.

use crate::{InputName, PlanStep, Reference, StepName, ValueType};
use octollm_contract::{
    ContentHash, MicroUsd, Timestamp,
    api::{ArtefactView, Citation, TaskResult},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a done step gives back. Stored once, under the lease, and never changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepOutput {
    /// For people. Capped; `artefacts` holds the whole when it was cut.
    pub text: String,
    /// Where the whole text lies when `text` is only its beginning; one of `artefacts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_text: Option<ContentHash>,
    /// What later steps work on, when that is not the text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// For programs.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// Absolute paths, of steps that yield [`ValueType::Paths`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Of steps that yield [`ValueType::Number`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Of steps that ran a program: how it ended (128 + signal when a signal ended it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The workspace after the step, when the step changed it: the hash of its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<ContentHash>,
    /// Files that the step made: those of the workspace, and whole outputs that were cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artefacts: Vec<ArtefactView>,
    /// Where facts in the text come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub citations: Vec<Citation>,
    /// Who made this, from what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}

/// What a step made, where its text for people holds more: remarks, and what a program said of
/// itself. A later step must not count or search those (P10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// All of it.
    Text(String),
    /// All of it, kept as one of the output's artefacts.
    Whole(ContentHash),
    /// Some of it was not kept: no later step can work on it.
    Partial,
}

/// Who made a result, from what, and at what cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Provenance {
    /// The worker that did the step.
    pub worker: String,
    /// The version of the program that did it.
    pub version: String,
    /// The tool or model that made the result.
    pub made_by: String,
    /// When the attempt began and ended, by the worker's clock.
    pub started: Timestamp,
    /// See `started`.
    pub finished: Timestamp,
    /// What the step saw: for each input the hash of its value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<InputName, ContentHash>,
    /// What it cost, when models were called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<MicroUsd>,
}

/// The value of one input of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputValue {
    /// A text.
    Text(String),
    /// A text that an artefact holds.
    WholeText(ContentHash),
    /// Absolute paths.
    Paths(Vec<String>),
    /// A whole number.
    Number(u64),
    /// Data of any shape.
    Data(Value),
    /// A whole output, for the judge.
    Whole(Box<StepOutput>),
}

impl StepOutput {
    /// Every artefact that it names, some perhaps twice.
    pub fn named(&self) -> impl Iterator<Item = ContentHash> {
        let body = match &self.body {
            Some(Body::Whole(kept)) => Some(*kept),
            Some(Body::Text(_) | Body::Partial) | None => None,
        };
        let files = self.artefacts.iter().map(|made| made.sha256);
        files.chain(self.workspace).chain(self.whole_text).chain(body)
    }

    /// The value of type `wanted`, if this output has one.
    #[must_use]
    pub fn value(&self, wanted: ValueType) -> Option<InputValue> {
        match wanted {
            // A later step that saw only a part would give a wrong answer (P10).
            ValueType::Text => match &self.body {
                None => Some(match self.whole_text {
                    Some(kept) => InputValue::WholeText(kept),
                    None => InputValue::Text(self.text.clone()),
                }),
                Some(Body::Text(body)) => Some(InputValue::Text(body.clone())),
                Some(Body::Whole(kept)) => Some(InputValue::WholeText(*kept)),
                Some(Body::Partial) => None,
            },
            ValueType::Paths => self.paths.clone().map(InputValue::Paths),
            ValueType::Number => self.number.map(InputValue::Number),
            ValueType::Data => Some(InputValue::Data(self.data.clone())),
            ValueType::Whole => Some(InputValue::Whole(Box::new(self.clone()))),
        }
    }
}

impl PlanStep {
    /// The values of this step's inputs, from the outputs of the steps that it needs.
    /// The error is the first reference without a value.
    pub fn resolve<'a>(
        &self,
        output_of: impl Fn(&StepName) -> Option<&'a StepOutput>,
    ) -> Result<BTreeMap<InputName, InputValue>, NoValue> {
        let resolved = self.inputs.iter().map(|(name, from)| {
            let value = output_of(&from.step).and_then(|output| output.value(from.output));
            value.map(|value| (name.clone(), value)).ok_or_else(|| NoValue(from.clone()))
        });
        resolved.collect()
    }
}

/// A step did its work, and what it gave is not what another one needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be worked on: {}", .0.step, why(.0.output))]
pub struct NoValue(pub Reference);

fn why(lacking: ValueType) -> &'static str {
    match lacking {
        ValueType::Text => "some of its text was not kept",
        ValueType::Paths => {
            "it has no list of paths, because there were too many or one has a name that is not UTF-8 text"
        }
        ValueType::Number => "it has no number",
        ValueType::Data | ValueType::Whole => "it has no result",
    }
}

/// The result of a task from the outputs of its result steps, in the plan's order: one
/// output is the result; of several, texts follow one another and data becomes a list.
#[must_use]
pub fn compose(outputs: &[&StepOutput]) -> TaskResult {
    let artefacts = outputs.iter().flat_map(|o| o.artefacts.clone()).collect();
    let citations = outputs.iter().flat_map(|o| o.citations.clone()).collect();
    let (text, data) = match outputs {
        [one] => (one.text.clone(), one.data.clone()),
        several => {
            let texts: Vec<&str> = several.iter().map(|o| o.text.trim_end_matches('\n')).collect();
            (texts.join("\n\n"), Value::Array(several.iter().map(|o| o.data.clone()).collect()))
        }
    };
    TaskResult { text, data, artefacts, citations }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instruction;
    use octollm_contract::{ArmName, api::StructuredCriterion};
    use serde_json::json;

    fn output(text: &str, data: Value) -> StepOutput {
        StepOutput { text: text.into(), data, ..StepOutput::default() }
    }

    fn cited(text: &str) -> StepOutput {
        let citation = Citation { source: format!("of {text}"), quote: text.into() };
        StepOutput { citations: vec![citation], ..output(text, Value::Null) }
    }

    #[test]
    fn one_output_is_the_result_as_it_stands() {
        let result = compose(&[&output("a\n", json!({"n": 1}))]);
        assert_eq!((result.text.as_str(), result.data), ("a\n", json!({"n": 1})));
    }

    #[test]
    fn several_outputs_follow_one_another_in_the_plan_s_order() {
        let result = compose(&[&output("a\n\n", json!(1)), &output("b", Value::Null)]);
        assert_eq!((result.text.as_str(), result.data), ("a\n\nb", json!([1, null])));
        let cited = compose(&[&cited("a"), &cited("b")]);
        assert_eq!(cited.citations.iter().map(|c| c.source.as_str()).collect::<Vec<_>>(), ["of a", "of b"]);
        assert_eq!(compose(&[]).data, json!([]));
    }

    #[test]
    fn an_output_has_the_values_that_it_was_given_and_no_others() {
        let bare = output("a", json!(1));
        assert_eq!(bare.value(ValueType::Text), Some(InputValue::Text("a".into())));
        assert_eq!(bare.value(ValueType::Data), Some(InputValue::Data(json!(1))));
        assert_eq!(bare.value(ValueType::Whole), Some(InputValue::Whole(Box::new(bare.clone()))));
        assert_eq!((bare.value(ValueType::Paths), bare.value(ValueType::Number)), (None, None));
        let found = StepOutput { paths: Some(vec!["/a".into()]), number: Some(1), ..StepOutput::default() };
        assert_eq!(found.value(ValueType::Paths), Some(InputValue::Paths(vec!["/a".into()])));
        assert_eq!(found.value(ValueType::Number), Some(InputValue::Number(1)));
    }

    #[test]
    fn inputs_resolve_all_or_name_the_one_that_does_not() {
        let refer = |step: &str, output| Reference { step: step.parse().unwrap(), output };
        let step = |inputs: &[(&str, Reference)]| PlanStep {
            name: "s".parse().unwrap(),
            arm: ArmName::Judge,
            summary: String::new(),
            instruction: Instruction::Judge {
                criteria: vec![StructuredCriterion::Contains { text: "x".into() }.into()],
            },
            inputs: inputs.iter().map(|(name, from)| (name.parse().unwrap(), from.clone())).collect(),
            needs: Vec::new(),
            capability: octollm_access::Capability::default(),
            time_limit: None,
        };
        let done = output("a", json!(1));
        let output_of = |name: &StepName| (name.as_str() == "done").then_some(&done);
        let text = refer("done", ValueType::Text);
        let resolved = step(&[("x", text.clone())]).resolve(output_of).unwrap();
        assert_eq!(resolved.into_values().collect::<Vec<_>>(), [InputValue::Text("a".into())]);
        for lacking in [refer("done", ValueType::Paths), refer("other", ValueType::Text)] {
            let both = step(&[("x", text.clone()), ("y", lacking.clone())]);
            assert_eq!(both.resolve(output_of), Err(NoValue(lacking)));
        }
    }
}
