//! Before a call: who is asked, what the call may cost at most, and the hold of that (P5).
//!
//! A worst case that does not fit what is free is made smaller, down to [`OUTPUT_TOKENS_LEAST`],
//! before the question is refused; while other calls of the task hold what is missing, it is not
//! refused at all, but comes later.

use crate::{
    Inner, SETTLED_WITHIN, lock,
    receipt::is_presumed,
    route::{Route, Seat},
    run::SOON,
    worth::{fits_without_holds, what_would_do, worst_case},
};
use octollm_access::{StepClaims, TenantScope};
use octollm_client::{ThinkAsk, ThinkLine};
use octollm_contract::{
    CallId, Timestamp,
    model::{Ask, Message, WaitsFor},
};
use octollm_lifecycle::{Command, Refusal, Spent};
use octollm_llm::Price;
use octollm_store::{DecideError, Directed};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A hold whose commit is not known is repeated so often, and after so long.
const HOLD_AGAIN_MAX: u32 = 10;
const HOLD_AGAIN: Duration = Duration::from_millis(200);
/// A question of so many bytes is counted in less time than another thread takes to begin with it.
const COUNTED_HERE_BYTES: usize = 4096;
/// An answer of fewer tokens is seldom one: where the budget covers no more, the question is refused.
pub(crate) const OUTPUT_TOKENS_LEAST: u32 = 256;

/// A call whose worst case is held.
pub(crate) struct Held {
    pub(crate) id: CallId,
    pub(crate) route: Route,
    /// The place among the provider's calls.
    pub(crate) seat: Seat,
    pub(crate) ask: Ask,
    pub(crate) price: Option<Price>,
    pub(crate) worst: Spent,
    /// Which question of its step it is.
    pub(crate) number: u32,
    /// When the task's time is over.
    pub(crate) deadline: Option<Timestamp>,
    /// Tokens that the question has at most.
    pub(crate) question: u64,
    pub(crate) masked: u32,
}

/// Why nothing is held.
pub(crate) enum Unheld {
    /// Nothing is.
    No(ThinkLine),
    /// It may be, for the store did not say and is away: whoever asks is told this, and what may be held
    /// must be given back.
    InDoubt(Box<Held>, ThinkLine),
}

impl From<ThinkLine> for Unheld {
    fn from(line: ThinkLine) -> Self {
        Unheld::No(line)
    }
}

/// Chooses who answers the question, which has so many `bytes`, and holds what that may cost.
pub(crate) async fn hold(
    gateway: &Inner,
    claims: &StepClaims,
    question: ThinkAsk,
    bytes: usize,
) -> Result<Held, Unheld> {
    let ThinkAsk { number, mut ask } = question;
    let masked = mask(&mut ask);
    let route = choose(gateway, &mut ask).await?;
    // Before anything is held: a provider that is away costs its waiting steps no commit.
    let seat = route.seat(gateway.parts.clock.now()).map_err(ThinkLine::from)?;
    let terms = route.terms(&ask.model, &gateway.parts.catalogue);
    ask.max_output_tokens = ask.max_output_tokens.clamp(1, terms.output_tokens_max);
    let counted = count(gateway, &ask, bytes).await?;
    let price = gateway.parts.catalogue.find(&ask.model).map(|row| row.price);
    let worst_of = |tokens: u32| worst_case(price.as_ref(), counted, u64::from(tokens));
    let least = ask.max_output_tokens.min(OUTPUT_TOKENS_LEAST);
    let mut id = [0; 16];
    gateway.parts.entropy.fill(&mut id);
    let id = CallId::from_bytes(id);
    let mut waited = false;
    loop {
        let worst = worst_of(ask.max_output_tokens);
        let over = match held(gateway, claims, id, number, worst).await {
            Ok(deadline) => {
                let question = counted;
                return Ok(Held { id, route, seat, ask, price, worst, number, deadline, question, masked });
            }
            Err(NotHeld::Surely(ThinkLine::OverBudget(over))) => over,
            Err(NotHeld::Perhaps(line)) => {
                let (question, deadline) = (counted, None);
                let held = Held { id, route, seat, ask, price, worst, number, deadline, question, masked };
                return Err(Unheld::InDoubt(Box::new(held), line));
            }
            Err(NotHeld::Surely(line)) => return Err(line.into()),
        };
        match others(gateway, claims, worst_of(least)).await? {
            // What an earlier call has not used is about to become free.
            Others::Settle if !waited => {
                waited = true;
                let _in_time = timeout(SETTLED_WITHIN, gateway.settled(claims.step.task)).await;
            }
            Others::Settle | Others::Hold => {
                let why = format!("other calls of the task hold what is left of its budget ({over})");
                return Err(ThinkLine::Busy { retry_after: SOON, waits_for: WaitsFor::Siblings, why }.into());
            }
            Others::No { .. } if ask.max_output_tokens > least => {
                ask.max_output_tokens = (ask.max_output_tokens / 2).max(least);
            }
            Others::No { presumed, mend } => {
                let counted = match presumed {
                    0 => String::new(),
                    presumed => {
                        let calls = if presumed == 1 { "one call counts" } else { "some calls count" };
                        let why = "for whoever made it is gone and nobody knows what it used";
                        format!("; {calls} as spent whole, {why}")
                    }
                };
                return Err(ThinkLine::OverBudget(format!("{over}{counted}{mend}")).into());
            }
        }
    }
}

/// The tokens of a question at most. A large one takes a tokenizer's time, the first one of a model that
/// of reading its table.
async fn count(gateway: &Inner, ask: &Ask, bytes: usize) -> Result<u64, ThinkLine> {
    if bytes <= COUNTED_HERE_BYTES && lock(&gateway.tokenized).contains(&ask.model) {
        return Ok(octollm_llm::count(ask).tokens);
    }
    let counting = ask.clone();
    let counted = tokio::task::spawn_blocking(move || octollm_llm::count(&counting)).await;
    let counted = counted.map_err(|error| ThinkLine::Away(error.to_string()))?;
    lock(&gateway.tokenized).insert(ask.model.clone());
    Ok(counted.tokens)
}

/// Whether other calls of the task keep this one from its hold.
enum Others {
    /// They are over and about to be settled.
    Settle,
    /// They are under way, and without them the question would fit.
    Hold,
    /// They do not; so many were never settled and count as spent. What the budget would have to be.
    No { presumed: usize, mend: String },
}

async fn others(gateway: &Inner, claims: &StepClaims, least: Spent) -> Result<Others, ThinkLine> {
    if gateway.is_settling(claims.step.task) {
        return Ok(Others::Settle);
    }
    let record = gateway.parts.store.task(claims.step.task, &TenantScope::System).await;
    let record = record.map_err(|error| ThinkLine::Away(error.to_string()))?.ok_or(ThinkLine::Lost)?;
    let hold = !record.task.holds.is_empty() && fits_without_holds(&record.task.ledger, least);
    let receipts = record.steps.iter().flat_map(|step| &step.receipts);
    let presumed = receipts.filter(|receipt| is_presumed(&receipt.body)).count();
    let mend = what_would_do(&record.task.ledger, least);
    Ok(if hold { Others::Hold } else { Others::No { presumed, mend } })
}

/// Why a call is not known to be held, and what whoever asks is told.
enum NotHeld {
    Surely(ThinkLine),
    /// An earlier try was in doubt, and what the last one says is true of a hold that is there, too: the
    /// lease may have been lost in between.
    Perhaps(ThinkLine),
}

/// Holds durably, and says when the task's time is over. The same hold again changes nothing, so a
/// commit of unknown fate is repeated.
async fn held(
    gateway: &Inner,
    claims: &StepClaims,
    call: CallId,
    number: u32,
    worst: Spent,
) -> Result<Option<Timestamp>, NotHeld> {
    let command = Command::Hold { place: claims.step.place, token: claims.lease, call, number, worst };
    let mut decided = decide(gateway, claims, command.clone()).await;
    let mut in_doubt = false;
    for _ in 0..HOLD_AGAIN_MAX {
        if !matches!(decided, Err(ThinkLine::Away(_))) {
            break;
        }
        in_doubt = true;
        sleep(HOLD_AGAIN).await;
        decided = decide(gateway, claims, command.clone()).await;
    }
    decided.map_err(|line| match line {
        // What is held is not asked for its price again.
        ThinkLine::OverBudget(_) | ThinkLine::Refused(_) => NotHeld::Surely(line),
        line if in_doubt => NotHeld::Perhaps(line),
        line => NotHeld::Surely(line),
    })
}

async fn decide(
    gateway: &Inner,
    claims: &StepClaims,
    command: Command,
) -> Result<Option<Timestamp>, ThinkLine> {
    let directed = Directed { task: claims.step.task, scope: TenantScope::System, command };
    match gateway.parts.store.decide(vec![directed]).await.pop() {
        Some(Ok(changes)) => Ok(changes.after.terms.deadline),
        Some(Err(DecideError::Refused(refusal))) => Err(match refusal {
            Refusal::OverBudget(_) => ThinkLine::OverBudget(refusal.to_string()),
            // Less of it has no price either.
            Refusal::Unpriced => ThinkLine::Refused(refusal.to_string()),
            // Who made the other call of this number is gone, or about to settle it.
            Refusal::TooManyHolds | Refusal::NumberUnderWay => {
                let why = refusal.to_string();
                ThinkLine::Busy { retry_after: SOON, waits_for: WaitsFor::Siblings, why }
            }
            Refusal::LeaseLost
            | Refusal::MustStop
            | Refusal::Ended
            | Refusal::NotReady
            | Refusal::NotWaiting
            | Refusal::OtherInput
            | Refusal::OtherStep { .. }
            | Refusal::WhichQuestion { .. }
            | Refusal::BadPlan
            | Refusal::BadVerdict
            | Refusal::CallReused
            | Refusal::NoSuchHold
            | Refusal::MoreThanHeld => ThinkLine::Lost,
        }),
        Some(Err(DecideError::Store(error))) => Err(ThinkLine::Away(error.to_string())),
        Some(Err(DecideError::NotFound)) | None => Err(ThinkLine::Lost),
    }
}

/// The provider for the model that is asked for; the default model when none is.
async fn choose(gateway: &Inner, ask: &mut Ask) -> Result<Route, ThinkLine> {
    let routes = &gateway.parts.routes;
    let route = match ask.model.as_str() {
        "" => routes.first(),
        model => routes.iter().find(|route| route.models().iter().any(|own| own == model)),
    };
    let Some(route) = route else {
        let known: Vec<&str> = routes.iter().flat_map(Route::models).map(String::as_str).collect();
        let known = known.join(", ");
        return Err(ThinkLine::Refused(format!("{:?} is none of the models here: {known}", ask.model)));
    };
    if ask.model.is_empty() {
        let default = route.default_model(gateway.parts.clock.as_ref()).await;
        ask.model = default?;
    }
    Ok(route.clone())
}

fn mask(ask: &mut Ask) -> u32 {
    let mut masked = 0;
    for message in &mut ask.messages {
        match message {
            Message::System { text } | Message::User { text } | Message::Tool { text, .. } => {
                masked += mask_text(text);
            }
            Message::Assistant { text, tool_calls } => {
                masked += mask_text(text);
                masked += tool_calls.iter_mut().map(|call| mask_text(&mut call.arguments)).sum::<u32>();
            }
        }
    }
    masked
}

fn mask_text(text: &mut String) -> u32 {
    let masked = octollm_screen::secrets::mask(text);
    let found = masked.found.values().sum();
    if found > 0 {
        *text = masked.text.into_owned();
    }
    found
}
