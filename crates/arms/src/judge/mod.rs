//! The judge, as far as rules go: checks the whole outputs that are its inputs against
//! structured criteria and says of each what it found.
//!
//! Promises: a verdict covers every criterion and carries its evidence; a criterion that
//! cannot be decided (a pattern or schema that is broken, too large or too costly) is refused
//! with the reason, never passed; nothing is fetched from anywhere for a schema; what is
//! judged is the whole text of an output, not its cut beginning.
//!
//! Must not know: who made the result, models.

mod check;
mod schema;
#[cfg(test)]
mod tests;

use crate::{Arm, Undone, Work};
use async_trait::async_trait;
use check::Subject;
use octollm_client::{Completion, Decision, VerdictReport};
use octollm_contract::{ArmName, Criterion};
use octollm_plan::{Body, InputValue, Instruction, StepOutput, compose};
use serde_json::json;

/// The arm that checks results by rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judge;

/// What was found of one criterion.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// The criterion in words.
    criterion: String,
    holds: bool,
    /// What was found, or why it cannot be decided.
    evidence: String,
}

#[async_trait]
impl Arm for Judge {
    fn name(&self) -> ArmName {
        ArmName::Judge
    }

    fn tools(&self) -> Vec<&'static str> {
        vec!["artefact_exists", "contains", "exit_code", "json_schema", "regex"]
    }

    async fn perform(&self, work: Work) -> Result<Completion, Undone> {
        let criteria = match &work.grant.spec.instruction {
            Instruction::Judge { criteria } if !criteria.is_empty() => criteria.clone(),
            Instruction::Judge { .. } => return Err(Undone::for_good("there is nothing to judge by")),
            Instruction::Tool(_) | Instruction::Think(_) => {
                return Err(Undone::for_good("the judge checks results and nothing else"));
            }
        };
        let mut outputs = Vec::new();
        for value in work.grant.inputs.values() {
            match value {
                InputValue::Whole(output) => outputs.push(whole(output, &work).await?),
                InputValue::Text(_)
                | InputValue::WholeText(_)
                | InputValue::Paths(_)
                | InputValue::Number(_)
                | InputValue::Data(_) => {
                    return Err(Undone::for_good("the judge takes whole outputs"));
                }
            }
        }
        let exit_code = outputs.iter().rev().find_map(|output| output.exit_code);
        let result = compose(&outputs.iter().collect::<Vec<_>>());
        let subject = std::sync::Arc::new(Subject { result, exit_code });
        let mut findings = Vec::new();
        for criterion in criteria {
            let Criterion::Structured(criterion) = criterion else {
                return Err(Undone::for_good("a sentence is judged by a model, and this judge has none"));
            };
            let found = tokio::select! {
                () = work.cancel.cancelled() => return Err(Undone::Stopped),
                found = check::check(criterion, &subject) => found,
            };
            findings.push(found?);
        }
        Ok(verdict(&findings, &work))
    }
}

/// The output with its whole text, where it was cut.
async fn whole(output: &StepOutput, work: &Work) -> Result<StepOutput, Undone> {
    let mut output = output.clone();
    if output.body == Some(Body::Partial) {
        return Err(Undone::for_good("nothing can be said of a result whose text was not kept whole"));
    }
    if let Some(whole) = output.whole_text {
        output.text = work.whole_text(whole).await?;
    }
    Ok(output)
}

fn verdict(findings: &[Finding], work: &Work) -> Completion {
    let line = |finding: &Finding| {
        let word = if finding.holds { "holds" } else { "does not hold" };
        format!("{} {word}: {}\n", finding.criterion, finding.evidence)
    };
    let failed: String = findings.iter().filter(|finding| !finding.holds).map(line).collect();
    let row = |finding: &Finding| json!({ "criterion": finding.criterion, "holds": finding.holds, "evidence": finding.evidence });
    let output = StepOutput {
        text: findings.iter().map(line).collect(),
        data: json!({
            "accepted": failed.is_empty(),
            "criteria": findings.iter().map(row).collect::<Vec<_>>(),
        }),
        provenance: Some(work.provenance("judge by rule")),
        ..StepOutput::default()
    };
    let verdict = if failed.is_empty() {
        VerdictReport::Accepted
    } else {
        VerdictReport::Refused(failed.trim_end().to_owned())
    };
    Completion { output, decision: Some(Decision::Verdict(verdict)) }
}
