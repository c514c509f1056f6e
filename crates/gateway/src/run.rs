//! The way of one call: what is kept of it, or hold, provider, settlement.

use crate::{
    Inner, Receipt,
    ask::ask,
    call::Call,
    hold::{Unheld, hold},
    receipt::{Outcome, is_presumed},
    settle::settle,
};
use octollm_access::StepClaims;
use octollm_artefacts::GetError;
use octollm_client::{ThinkAsk, ThinkLine};
use octollm_contract::{Millis, model::Answer};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// When to come back for what passes within moments.
pub(crate) const SOON: Millis = Millis::from_secs(1);
/// What was read of a question is true for so long: shorter than anybody is taken for dead in.
const BELIEVED_FOR: Duration = Duration::from_secs(1);

/// Answers `question`, which has so many `bytes`, of the step of `claims` to whoever listens to `call`.
pub(crate) async fn run(
    gateway: &Inner,
    claims: &StepClaims,
    question: ThinkAsk,
    bytes: usize,
    call: &Arc<Call>,
) {
    let (number, read_at) = (question.number, Instant::now());
    match kept(gateway, claims, number, call).await {
        Ok(Some(Kept::Answer(answer))) => return call.say_whole(&answer),
        // Whoever asks may not have heard it: it is for them to count it and to take the next number.
        Ok(Some(Kept::Failure(why))) => return call.say(ThinkLine::Failed(why)),
        Ok(None) => {}
        Err(line) => return call.say(line),
    }
    let held = match hold(gateway, claims, question, bytes).await {
        Ok(held) => held,
        Err(Unheld::No(line)) => return call.say(line),
        Err(Unheld::InDoubt(held, line)) => {
            let ended = held.unpaid(gateway.parts.clock.now(), Duration::ZERO, 0, line);
            return settle(gateway, claims, *held, call, ended).await;
        }
    };
    // What was held so late may have been ended before, with this process or another taken for dead, and
    // the question of this number counted as asked.
    if read_at.elapsed() > BELIEVED_FOR {
        let why = match kept(gateway, claims, number, call).await {
            Ok(None) => None,
            Ok(Some(Kept::Failure(why))) => Some(why),
            Ok(Some(Kept::Answer(_))) => Some(format!("question {number} was answered to somebody else")),
            Err(line) => Some(format!("whether question {number} was asked before is not known: {line:?}")),
        };
        if let Some(why) = why {
            let ended = held.given_up(gateway.parts.clock.now(), why);
            return settle(gateway, claims, held, call, ended).await;
        }
    }
    let ended = ask(gateway, claims, &held, call).await;
    settle(gateway, claims, held, call, ended).await;
}

/// What an earlier call with this number and this question has brought.
enum Kept {
    Answer(Answer),
    /// It was made, perhaps paid for, and brought no whole answer.
    Failure(String),
}

/// An answer that was paid for and that nobody will read again. It is not asked for anew under its
/// number, for that would be a second payment that nobody sees: whoever asks takes the next number, is
/// bounded in how often, and both calls have receipts.
fn lost(claims: &StepClaims, number: u32, error: &(dyn std::error::Error + 'static)) -> Kept {
    tracing::error!(step = %claims.step, number, error, "an answer that was paid for is lost");
    Kept::Failure(format!("the answer to question {number}, which was paid for, is lost: {error}"))
}

async fn kept(
    gateway: &Inner,
    claims: &StepClaims,
    number: u32,
    call: &Call,
) -> Result<Option<Kept>, ThinkLine> {
    let away = |why: &dyn std::fmt::Display| ThinkLine::Away(why.to_string());
    let last = gateway.parts.store.receipt(claims.step, number).await.map_err(|error| away(&error))?;
    if last.as_ref().is_some_and(is_presumed) {
        // Whoever asked it is gone: it may have been made and paid for.
        let why = "nobody knows what became of it, and all that was held for it counts as spent";
        let why = format!("question {number} was under way when its orchestrator ended: {why}");
        return Ok(Some(Kept::Failure(why)));
    }
    let receipt = match last.map(|document| document.read::<Receipt>()).transpose() {
        Ok(receipt) => receipt,
        // Written by another version: whatever it says, the question may have been paid.
        Err(error) => return Ok(Some(lost(claims, number, &error))),
    };
    match receipt.filter(|receipt| receipt.asked == call.asked).map(|receipt| receipt.outcome) {
        Some(Outcome::Answered { answer, .. }) => match gateway.parts.artefacts.get(answer).await {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes)
                    .map_or_else(|error| lost(claims, number, &error), Kept::Answer),
            )),
            Err(error @ GetError::Unreachable(_)) => Err(away(&error)),
            Err(error @ (GetError::NotFound(_) | GetError::Corrupt { .. } | GetError::TooLarge { .. })) => {
                Ok(Some(lost(claims, number, &error)))
            }
        },
        Some(Outcome::Failed(why)) => Ok(Some(Kept::Failure(why))),
        Some(Outcome::NotMade(_)) | None => Ok(None),
    }
}
