//! The way of one call: what is kept of it, or hold, provider, settlement.

use crate::{Inner, Receipt, ask::ask, call::Call, hold::hold, receipt::Outcome, settle::settle};
use octollm_access::StepClaims;
use octollm_client::{ThinkAsk, ThinkLine};
use octollm_contract::{Millis, model::Answer};
use std::sync::Arc;

/// When to come back for what passes within moments.
pub(crate) const SOON: Millis = Millis::from_secs(1);

/// Answers `question` of the step of `claims` to whoever listens to `call`.
pub(crate) async fn run(gateway: &Inner, claims: &StepClaims, question: ThinkAsk, call: &Arc<Call>) {
    match kept(gateway, claims, question.number, call).await {
        Ok(Kept::Answer(answer)) => return call.say_whole(&answer),
        // Whoever asks may not have heard it: it is for them to count it and to take the next number.
        Ok(Kept::Failure(why)) => return call.say(ThinkLine::Failed(why)),
        Ok(Kept::Nothing) => {}
        Err(line) => return call.say(line),
    }
    let held = match hold(gateway, claims, question).await {
        Ok(held) => held,
        Err(line) => return call.say(line),
    };
    let ended = ask(gateway, claims, &held, call).await;
    settle(gateway, claims, held, call, ended).await;
}

/// What an earlier call with this number and this question has brought.
enum Kept {
    Answer(Answer),
    /// It was made, perhaps paid for, and brought no whole answer.
    Failure(String),
    Nothing,
}

async fn kept(gateway: &Inner, claims: &StepClaims, number: u32, call: &Call) -> Result<Kept, ThinkLine> {
    let away = |why: &dyn std::fmt::Display| ThinkLine::Away(why.to_string());
    let last = gateway.parts.store.receipt(claims.step, number).await.map_err(|error| away(&error))?;
    let receipt = last.and_then(|document| document.read::<Receipt>().ok());
    match receipt.filter(|receipt| receipt.asked == call.asked).map(|receipt| receipt.outcome) {
        Some(Outcome::Answered { answer, .. }) => {
            let bytes = gateway.parts.artefacts.get(answer).await.map_err(|error| away(&error))?;
            serde_json::from_slice(&bytes).map(Kept::Answer).map_err(|error| away(&error))
        }
        Some(Outcome::Failed(why)) => Ok(Kept::Failure(why)),
        Some(Outcome::NotMade(_)) | None => Ok(Kept::Nothing),
    }
}
