//! The judge: checks the whole outputs that are its inputs against criteria and says of each what
//! it found. Rules are checked first; sentences are judged by a model (see [`model`]).
//!
//! Promises: a verdict covers every criterion and carries its evidence; a criterion that
//! cannot be decided (a pattern or schema that is broken, too large or too costly) is refused
//! with the reason, never passed; nothing is fetched from anywhere for a schema; what is
//! judged is the whole of what a step made, not its cut beginning and not what is remarked
//! beside it for people; what was not kept whole is judged by what needs no text. Checks run
//! off the async threads.
//!
//! Must not know: who made the result.

mod check;
mod model;
#[cfg(test)]
mod tests;

use crate::{Arm, Undone, Work};
use async_trait::async_trait;
use check::Subject;
use octollm_client::{Completion, Decision, VerdictReport};
use octollm_contract::{ArmName, Criterion, api::StructuredCriterion};
use octollm_plan::{Body, InputValue, Instruction, StepOutput, compose};
use octollm_yardstick::Allowance;
use serde_json::json;
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};

/// A check takes at most so long; what takes longer is left behind on its thread.
const TIME: Duration = Duration::from_secs(5);
/// How deep a thread's stack must be for a schema of the greatest height on data of the
/// greatest depth; of what is not used nothing is taken.
const STACK_BYTES: usize = 256 << 20;

/// So many checks run at once, those left behind included.
static THREADS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));

/// The arm that checks results: by rule, and by a model where a criterion is a sentence.
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
    /// Of a model's verdict: how sure it says it is, 0 to 100.
    confidence: Option<u8>,
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
        let (mut outputs, mut partial) = (Vec::new(), false);
        for value in work.grant.inputs.values() {
            match value {
                InputValue::Whole(output) => {
                    partial |= output.body == Some(Body::Partial);
                    outputs.push(made(output, &work).await?);
                }
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
        let subject = Arc::new(Subject { result, partial, exit_code });
        let (mut findings, mut allowance) = (Vec::new(), Allowance::default());
        let mut sentences = Vec::new();
        for criterion in criteria {
            let criterion = match criterion {
                Criterion::FreeText(sentence) => {
                    sentences.push((findings.len(), sentence));
                    findings.push(None);
                    continue;
                }
                Criterion::Structured(criterion) => criterion,
            };
            let found = tokio::select! {
                () = work.cancel.cancelled() => return Err(Undone::Stopped),
                found = apart(criterion, allowance.clone(), &subject) => found,
            };
            let (finding, left) = found?;
            allowance = left;
            findings.push(Some(finding));
        }
        let mut made_by = "judge by rule".to_owned();
        if !sentences.is_empty() {
            let (places, texts): (Vec<usize>, Vec<String>) = sentences.into_iter().unzip();
            let (judged, by) = model::judge(&texts, &subject, &work).await?;
            places.into_iter().zip(judged).for_each(|(place, finding)| findings[place] = Some(finding));
            made_by = by;
        }
        let findings: Vec<Finding> = findings.into_iter().flatten().collect();
        Ok(verdict(&findings, &made_by, &work))
    }
}

/// The output with the whole of what its step made as its text.
async fn made(output: &StepOutput, work: &Work) -> Result<StepOutput, Undone> {
    let mut made = output.clone();
    made.text = match (output.body.as_ref(), output.whole_text.as_ref()) {
        (Some(Body::Text(body)), _) => body.clone(),
        (Some(Body::Whole(kept)), _) | (None, Some(kept)) => work.whole_text(*kept).await?,
        (Some(Body::Partial), _) => String::new(),
        (None, None) => return Ok(made),
    };
    Ok(made)
}

/// Has one criterion checked on a thread of its own.
async fn apart(
    criterion: StructuredCriterion,
    mut allowance: Allowance,
    subject: &Arc<Subject>,
) -> Result<(Finding, Allowance), Undone> {
    let busy = || Undone::for_now("other results are still being checked");
    let permit = match timeout(TIME, Arc::clone(&THREADS).acquire_owned()).await {
        Ok(Ok(permit)) => permit,
        Ok(Err(_)) | Err(_) => return Err(busy()),
    };
    let (subject, checked, before) = (Arc::clone(subject), criterion.clone(), allowance.clone());
    let (said, hears) = tokio::sync::oneshot::channel();
    let begun = std::thread::Builder::new().name("judge".into()).stack_size(STACK_BYTES).spawn(move || {
        let _held = permit;
        let finding = check::check(&checked, &mut allowance, &subject);
        // Nobody hears it when it took too long.
        drop(said.send((finding, allowance)));
    });
    begun.map_err(|error| Undone::for_now(format!("no thread can be had to check on: {error}")))?;
    match timeout(TIME, hears).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(_)) => Err(Undone::for_good("checking a criterion panicked")),
        Err(_) => Ok((check::endless(&criterion, TIME.as_secs()), before)),
    }
}

fn verdict(findings: &[Finding], made_by: &str, work: &Work) -> Completion {
    let line = |finding: &Finding| {
        let word = if finding.holds { "holds" } else { "does not hold" };
        format!("{} {word}: {}\n", finding.criterion, finding.evidence)
    };
    let failed: String = findings.iter().filter(|finding| !finding.holds).map(line).collect();
    let row = |finding: &Finding| {
        let mut row =
            json!({ "criterion": finding.criterion, "holds": finding.holds, "evidence": finding.evidence });
        if let Some(confidence) = finding.confidence {
            row["confidence"] = json!(confidence);
        }
        row
    };
    let output = StepOutput {
        text: findings.iter().map(line).collect(),
        data: json!({
            "accepted": failed.is_empty(),
            "criteria": findings.iter().map(row).collect::<Vec<_>>(),
        }),
        provenance: Some(work.provenance(made_by)),
        ..StepOutput::default()
    };
    let verdict = if failed.is_empty() {
        VerdictReport::Accepted
    } else {
        VerdictReport::Refused(failed.trim_end().to_owned())
    };
    Completion { output, decision: Some(Decision::Verdict(verdict)) }
}
