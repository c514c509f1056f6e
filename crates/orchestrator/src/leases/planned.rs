//! What a planner's decision does to its task.

use super::{LocalLeases, masked, refused, store_failed};
use crate::{
    planning::{self, NotPlanned, Revision},
    problem::problem,
};
use octollm_access::{StepClaims, TenantScope};
use octollm_client::{Completion, Decision, LeaseError};
use octollm_contract::{Document, Edition, ProblemKind};
use octollm_gateway::{Outcome, Receipt};
use octollm_lifecycle::{Command, Refusal};
use octollm_plan::Plan;
use octollm_store::TaskRecord;

/// Off the threads that serve others: the patterns of the plan's judges are compiled.
async fn revision(
    record: TaskRecord,
    plan: Plan,
    readers: Edition,
) -> Result<Result<Revision, NotPlanned>, LeaseError> {
    let checking = tokio::task::spawn_blocking(move || planning::revision(&record, plan, readers));
    checking.await.map_err(|ended| LeaseError::Unreachable(Box::new(ended)))
}

/// Whether a provider took none of the questions of the step at `place`: for want of credit, for a wrong key, or
/// because it knows no such model. What another plan asks would fare no better.
fn turned_away(record: &TaskRecord, place: u16) -> bool {
    let Some(kept) = record.steps.get(usize::from(place)) else { return false };
    let not_made = |receipt: &octollm_store::Receipt| {
        let receipt = receipt.body.read::<Receipt>();
        receipt.is_ok_and(|receipt| matches!(receipt.outcome, Outcome::NotMade(_)))
    };
    !kept.receipts.is_empty() && kept.receipts.iter().all(not_made)
}

impl LocalLeases {
    /// Whether a planner may be paid to do without the step of `claims`, should it fail.
    pub(super) async fn mendable(&self, claims: &StepClaims) -> Result<bool, LeaseError> {
        let Some(gateway) = &self.app.settings.gateway else {
            return Ok(false); // there is no planner
        };
        // What became of its last question is known then.
        gateway.settled(claims.step.task).await;
        let record = self.app.parts.store.task(claims.step.task, &TenantScope::System).await;
        let record = record.map_err(store_failed)?.ok_or(LeaseError::Lost)?;
        if turned_away(&record, claims.step.place) {
            return Ok(false);
        }
        planning::may_be_mended(&record, claims.step.place)
            .map_err(|error| LeaseError::Unreachable(Box::new(error)))
    }

    /// What a planner's decision does to its task.
    pub(super) async fn planned(&self, claims: &StepClaims, done: Completion) -> Result<Command, LeaseError> {
        let (place, token) = (claims.step.place, claims.lease);
        let record = self.app.parts.store.task(claims.step.task, &TenantScope::System).await;
        let record = record.map_err(store_failed)?.ok_or(LeaseError::Lost)?;
        let mut output = done.output;
        if let Some(Decision::Question) = done.decision {
            // It goes to people and into events, as what an arm says of a failure does.
            output.text = masked(output.text);
            if let Some(serde_json::Value::String(question)) = output.data.get_mut("question") {
                *question = masked(std::mem::take(question));
            }
        }
        let output = Document::of(&output).map_err(|error| {
            LeaseError::Refused(problem(ProblemKind::InvalidRequest, error.to_string(), "output"))
        })?;
        let unreadable = |error: serde_json::Error| LeaseError::Unreachable(Box::new(error));
        match done.decision {
            Some(Decision::Plan(plan)) => match revision(record, plan, self.app.read_by_all()).await? {
                Ok(Revision { plan, steps, specs }) => {
                    Ok(Command::Revise { place, token, output, plan, steps, specs })
                }
                Err(faults @ NotPlanned::Faults(_)) => Err(LeaseError::Refused(problem(
                    ProblemKind::InvalidRequest,
                    faults.to_string(),
                    "decision.plan",
                ))),
                Err(NotPlanned::Unreadable(error)) => Err(unreadable(error)),
            },
            Some(Decision::Question) => {
                let (next, spec) = planning::after_the_answer(&record, place).map_err(unreadable)?;
                Ok(Command::Ask { place, token, output, next, spec })
            }
            Some(Decision::Verdict(_)) | None => Err(refused(Refusal::BadPlan)),
        }
    }
}
