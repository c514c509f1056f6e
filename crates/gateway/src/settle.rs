//! After a call: its answer is kept and its hold settled, off the caller's path.

use crate::{
    Inner, ModelFigures, Receipt,
    ask::Ended,
    call::Call,
    hold::Held,
    lock,
    receipt::{Outcome, is_presumed},
    worth::Charged,
};
use bytes::Bytes;
use octollm_access::{StepClaims, TenantScope};
use octollm_artefacts::PutError;
use octollm_client::ThinkLine;
use octollm_contract::{CallId, ContentHash, Cost, Document, MicroUsd, Millis, model::Answer};
use octollm_lifecycle::{Command, Refusal};
use octollm_store::{DecideError, Directed};
use std::time::Duration;
use tokio::time::sleep;

/// A settlement is tried again after so long, for as long as the process lives.
const SETTLE_AGAIN: Duration = Duration::from_millis(200);
const SETTLE_AGAIN_MAX: Duration = Duration::from_secs(10);
/// An answer is tried to be kept so often: its hold stands meanwhile.
const KEEP_TRIES_MAX: u32 = 5;

/// Says the last word and settles. Settling goes on until the store has taken it.
pub(crate) async fn settle(gateway: &Inner, claims: &StepClaims, held: Held, call: &Call, ended: Ended) {
    // The next question need not wait for this one's bookkeeping.
    drop(held.seat);
    call.say(ended.last_word.clone());
    let answer = match &ended.answer {
        Some(answer) => keep(gateway, answer).await,
        None => None,
    };
    let outcome = match (&ended.answer, answer) {
        (Some(answer), Some(kept)) => Outcome::Answered { answer: kept, finish: answer.finish },
        (Some(_), None) => Outcome::Failed("the answer could not be kept".into()),
        (None, _) if ended.not_made => Outcome::NotMade(why(&ended.last_word)),
        (None, _) => Outcome::Failed(why(&ended.last_word)),
    };
    gateway.count(&held.ask.model, &ended.charged);
    let receipt = Receipt {
        model: held.ask.model.clone(),
        served: ended.served.filter(|served| *served != held.ask.model),
        provider: held.route.name().to_owned(),
        simulated: ended.simulated,
        usage: ended.charged.usage,
        cost_usd: ended.charged.spent.cost,
        catalogue: gateway.parts.catalogue.version().to_owned(),
        disputed: ended.charged.disputed,
        at: ended.at,
        first_token_ms: ended.first.map(millis),
        took_ms: millis(ended.took),
        tries: ended.tries,
        masked: held.masked,
        asked: call.asked,
        outcome,
    };
    let command = Command::Settle {
        call: held.id,
        spent: ended.charged.spent,
        receipt: Document::of(&receipt).expect("a receipt is JSON"),
        artefacts: answer.into_iter().collect(),
    };
    let mut wait = SETTLE_AGAIN;
    loop {
        let directed =
            Directed { task: claims.step.task, scope: TenantScope::System, command: command.clone() };
        match gateway.parts.store.decide(vec![directed]).await.pop() {
            Some(Ok(_)) | Some(Err(DecideError::NotFound)) | None => return,
            // Settled before, such as by a commit whose answer was lost.
            Some(Err(DecideError::Refused(Refusal::NoSuchHold))) => {
                return warn_if_presumed(gateway, claims, held.id, held.number).await;
            }
            Some(Err(DecideError::Refused(refusal))) => {
                return tracing::error!(%refusal, call = %held.id, "a call cannot be settled; its hold will be presumed spent");
            }
            Some(Err(DecideError::Store(error))) => {
                tracing::warn!(error = &error as &dyn std::error::Error, call = %held.id, "a call cannot be settled now");
                sleep(wait).await;
                wait = (wait * 2).min(SETTLE_AGAIN_MAX);
            }
        }
    }
}

/// Who stood still for so long that it was taken for dead is told so: its figures come too late.
async fn warn_if_presumed(gateway: &Inner, claims: &StepClaims, call: CallId, number: u32) {
    let receipt = gateway.parts.store.receipt(claims.step, number).await;
    if let Ok(Some(receipt)) = receipt
        && is_presumed(&receipt)
    {
        tracing::warn!(%call, step = %claims.step, "a call is settled too late: this process was taken for dead meanwhile, and all that was held counts as spent");
    }
}

fn why(last_word: &ThinkLine) -> String {
    match last_word {
        ThinkLine::Failed(why)
        | ThinkLine::Refused(why)
        | ThinkLine::OverBudget(why)
        | ThinkLine::Away(why)
        | ThinkLine::Busy { why, .. } => why.clone(),
        ThinkLine::Lost => "the lease was lost".to_owned(),
        ThinkLine::Chunk(_) => "it ended without a whole answer".to_owned(),
    }
}

/// Keeps an answer for other attempts of the step, which else would take the next number and pay again.
async fn keep(gateway: &Inner, answer: &Answer) -> Option<ContentHash> {
    let bytes = Bytes::from(serde_json::to_vec(answer).expect("an answer is JSON"));
    let mut tries = 1;
    loop {
        match gateway.parts.artefacts.put(bytes.clone()).await {
            Ok(hash) => return Some(hash),
            Err(PutError::Unconfirmed(error)) if tries < KEEP_TRIES_MAX => {
                tracing::warn!(error = &error as &dyn std::error::Error, "an answer cannot be kept now");
                sleep(SETTLE_AGAIN * tries).await;
                tries += 1;
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an answer is not kept");
                return None;
            }
        }
    }
}

impl Inner {
    fn count(&self, model: &str, charged: &Charged) {
        let mut figures = lock(&self.figures);
        let of: &mut ModelFigures = figures.entry(model.to_owned()).or_default();
        of.input = of.input.saturating_add(charged.usage.input);
        of.output = of.output.saturating_add(charged.usage.output);
        of.cache_read = of.cache_read.saturating_add(charged.usage.cache_read);
        of.cache_write = of.cache_write.saturating_add(charged.usage.cache_write);
        match charged.spent.cost {
            Cost::Known(cost) => of.cost = of.cost.checked_add(cost).unwrap_or(MicroUsd::new(u64::MAX)),
            Cost::Unknown => of.unpriced += 1,
        }
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::new(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
