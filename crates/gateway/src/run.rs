//! The way of one call: kept answer, or choice, hold, provider, settlement.

use crate::{
    Inner, ModelFigures, Receipt,
    call::Call,
    lock,
    receipt::Outcome,
    route::Route,
    worth::{Charged, charged, charged_for_failure, worst_case},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use octollm_access::{StepClaims, TenantScope};
use octollm_client::{ThinkAsk, ThinkLine};
use octollm_contract::{
    CallId, Cost, Document, MicroUsd, Millis, Timestamp,
    model::{Answer, Ask, Chunk, Gathering, Message},
};
use octollm_lifecycle::{Command, Refusal, Spent, TaskState};
use octollm_llm::{
    CallError, Charge, Price, breaker, chain,
    retry::{Next, RetryPolicy},
};
use octollm_store::{DecideError, Directed};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

pub(crate) const SOON: Millis = Millis::from_secs(1);
/// When a provider that failed is asked again, if it does not say.
const LATER: Millis = Millis::from_secs(10);
/// How often it is looked whether a call that nobody listens to is still wanted.
const LOOK: Duration = Duration::from_millis(500);
/// A settlement is tried again after so long, for as long as the process lives.
const SETTLE_AGAIN: Duration = Duration::from_millis(200);
const SETTLE_AGAIN_MAX: Duration = Duration::from_secs(10);
/// A hold whose commit is not known is repeated so often.
const HOLD_AGAIN_MAX: u32 = 10;

/// Answers `question` of the step of `claims` to whoever listens to `call`.
pub(crate) async fn run(gateway: &Inner, claims: &StepClaims, question: ThinkAsk, call: &Arc<Call>) {
    match kept_answer(gateway, claims, question.number, call).await {
        Ok(Some(answer)) => return call.say_whole(&answer),
        Ok(None) => {}
        Err(line) => return call.say(line),
    }
    let held = match hold(gateway, claims, question).await {
        Ok(held) => held,
        Err(line) => return call.say(line),
    };
    let ended = ask(gateway, claims, &held, call).await;
    settle(gateway, claims, &held, call, ended).await;
}

/// The answer that an earlier call with this number and this question has brought.
async fn kept_answer(
    gateway: &Inner,
    claims: &StepClaims,
    number: u32,
    call: &Call,
) -> Result<Option<Answer>, ThinkLine> {
    let away = |why: &dyn std::fmt::Display| ThinkLine::Away(why.to_string());
    let last = gateway.parts.store.receipt(claims.step, number).await.map_err(|error| away(&error))?;
    let receipt = last.and_then(|document| document.read::<Receipt>().ok());
    if let Some(Receipt { outcome: Outcome::Answered { answer, .. }, asked, .. }) = receipt
        && asked == call.asked
    {
        let bytes = gateway.parts.artefacts.get(answer).await.map_err(|error| away(&error))?;
        return serde_json::from_slice(&bytes).map(Some).map_err(|error| away(&error));
    }
    Ok(None)
}

/// A call whose worst case is held.
struct Held {
    id: CallId,
    route: Route,
    ask: Ask,
    price: Option<Price>,
    worst: Spent,
    /// Tokens that the question has at most.
    question: u64,
    masked: u32,
}

async fn hold(gateway: &Inner, claims: &StepClaims, question: ThinkAsk) -> Result<Held, ThinkLine> {
    let ThinkAsk { number, mut ask } = question;
    let masked = mask(&mut ask);
    let route = choose(gateway, &mut ask)?;
    let terms = route.terms(&ask.model, &gateway.parts.catalogue);
    ask.max_output_tokens = ask.max_output_tokens.clamp(1, terms.output_tokens_max);
    // Counting may take a tokenizer's time.
    let counting = ask.clone();
    let counted = tokio::task::spawn_blocking(move || octollm_llm::count(&counting)).await;
    let counted = counted.map_err(|error| ThinkLine::Away(error.to_string()))?.tokens;
    let price = gateway.parts.catalogue.find(&ask.model).map(|row| row.price);
    let worst = worst_case(price.as_ref(), counted, u64::from(ask.max_output_tokens));
    let mut id = [0; 16];
    gateway.parts.entropy.fill(&mut id);
    let id = CallId::from_bytes(id);
    let command = Command::Hold { place: claims.step.place, token: claims.lease, call: id, number, worst };
    // The same hold again changes nothing, so a commit of unknown fate is repeated.
    let mut decided = decide(gateway, claims, command.clone()).await;
    for _ in 0..HOLD_AGAIN_MAX {
        if !matches!(decided, Err(ThinkLine::Away(_))) {
            break;
        }
        sleep(SETTLE_AGAIN).await;
        decided = decide(gateway, claims, command.clone()).await;
    }
    match decided {
        // What an earlier call has not used may be about to become free.
        Err(ThinkLine::OverBudget(_)) if gateway.is_settling(claims.step.task) => {
            gateway.settled(claims.step.task).await;
            decide(gateway, claims, command).await?;
        }
        decided => decided?,
    }
    Ok(Held { id, route, ask, price, worst, question: counted, masked })
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

/// The provider for the model that is asked for; the default model when none is.
fn choose(gateway: &Inner, ask: &mut Ask) -> Result<Route, ThinkLine> {
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
    if ask.model.is_empty()
        && let Some(default) = route.models().first()
    {
        ask.model.clone_from(default);
    }
    Ok(route.clone())
}

async fn decide(gateway: &Inner, claims: &StepClaims, command: Command) -> Result<(), ThinkLine> {
    let directed = Directed { task: claims.step.task, scope: TenantScope::System, command };
    match gateway.parts.store.decide(vec![directed]).await.pop() {
        Some(Ok(_)) => Ok(()),
        Some(Err(DecideError::Refused(refusal))) => Err(match refusal {
            Refusal::OverBudget(_) | Refusal::Unpriced => ThinkLine::OverBudget(refusal.to_string()),
            Refusal::TooManyHolds => ThinkLine::Busy { retry_after: SOON, why: refusal.to_string() },
            Refusal::LeaseLost
            | Refusal::MustStop
            | Refusal::Ended
            | Refusal::NotReady
            | Refusal::NotWaiting
            | Refusal::OtherInput
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

/// How a call ended, with what it is charged and told.
struct Ended {
    charged: Charged,
    answer: Option<Answer>,
    model: String,
    simulated: bool,
    at: Timestamp,
    first: Option<Duration>,
    took: Duration,
    tries: u32,
    last_word: ThinkLine,
}

/// Calls the provider, again when nothing was paid, and passes on what it says. All but the last
/// word: that waits for nothing, but is said by the settlement, which must be under way by then.
async fn ask(gateway: &Inner, claims: &StepClaims, held: &Held, call: &Call) -> Ended {
    let policy = RetryPolicy::default();
    let at = gateway.parts.clock.now();
    let began = Instant::now();
    let mut tries = 0;
    loop {
        let pass = match held.route.admit(gateway.parts.clock.now()) {
            breaker::Admission::Go(pass) => pass,
            breaker::Admission::Wait(retry_after) => {
                let why = format!("{} has failed too often lately", held.route.name());
                let last_word = ThinkLine::Busy { retry_after, why };
                return held.unpaid(at, began.elapsed(), tries, last_word);
            }
        };
        tries += 1;
        let mut heard = Heard::default();
        let how = listen(gateway, claims, held, call, &mut heard).await;
        let health = match &how {
            Err(Broken::Call(error)) => breaker::Outcome::of(error),
            Ok(_) | Err(Broken::Unwanted) => breaker::Outcome::Healthy,
        };
        held.route.record(pass, health, gateway.parts.clock.now());
        let (charge, why) = match how {
            Ok(answer) => return held.answered(at, began.elapsed(), tries, heard, answer),
            Err(Broken::Unwanted) => (heard.charge(), "nobody wants the answer any more".to_owned()),
            Err(Broken::Call(error)) => {
                let mut dice = [0; 8];
                gateway.parts.entropy.fill(&mut dice);
                match policy.after(tries, &error, u64::from_le_bytes(dice)) {
                    Next::Wait(wait) if heard.bytes == 0 => {
                        tracing::debug!(%error, tries, "a model is asked again");
                        sleep(wait.to_duration()).await;
                        if !call.is_unheard() || wanted(gateway, claims).await {
                            continue;
                        }
                    }
                    Next::Wait(_) | Next::Stop(_) => {}
                }
                if let Some(line) = later(&error) {
                    return held.unpaid(at, began.elapsed(), tries, line);
                }
                if let CallError::Refused { .. } | CallError::BadKey { .. } | CallError::OutOfCredit { .. } =
                    error
                {
                    let last_word = ThinkLine::Refused(chain(&error));
                    return held.unpaid(at, began.elapsed(), tries, last_word);
                }
                (error.charge(), chain(&error))
            }
        };
        let charged =
            charged_for_failure(charge, held.price.as_ref(), held.worst, held.question, heard.bytes);
        return Ended {
            charged,
            answer: None,
            model: heard.model.unwrap_or_else(|| held.ask.model.clone()),
            simulated: heard.simulated,
            at,
            first: heard.first,
            took: began.elapsed(),
            tries,
            last_word: ThinkLine::Failed(why),
        };
    }
}

/// A failure that passes by itself: nothing was paid, and another time it may work.
fn later(error: &CallError) -> Option<ThinkLine> {
    let asked = match error {
        CallError::RateLimited { retry_after, .. } | CallError::Overloaded { retry_after, .. } => {
            *retry_after
        }
        CallError::Unreachable(_) => None,
        CallError::Refused { .. }
        | CallError::BadKey { .. }
        | CallError::OutOfCredit { .. }
        | CallError::Unknown { .. }
        | CallError::TimedOut { .. }
        | CallError::Malformed { .. }
        | CallError::TooLarge { .. }
        | CallError::Cut { .. } => return None,
    };
    Some(ThinkLine::Busy { retry_after: asked.unwrap_or(LATER), why: chain(error) })
}

/// What came of one try.
#[derive(Default)]
struct Heard {
    gathering: Gathering,
    model: Option<String>,
    simulated: bool,
    bytes: u64,
    first: Option<Duration>,
}

impl Heard {
    /// What a call that was broken off on purpose may cost.
    fn charge(&self) -> Charge {
        self.gathering.usage().map_or(Charge::Unknown, Charge::AtLeast)
    }
}

enum Broken {
    Call(CallError),
    /// The task is being stopped and nobody listens.
    Unwanted,
}

async fn listen(
    gateway: &Inner,
    claims: &StepClaims,
    held: &Held,
    call: &Call,
    heard: &mut Heard,
) -> Result<Answer, Broken> {
    let began = Instant::now();
    let mut stream = held.route.call(held.ask.clone());
    let mut look = began + LOOK;
    loop {
        let said = timeout_at(look, stream.next()).await;
        if look <= Instant::now() {
            if call.is_unheard() && !wanted(gateway, claims).await {
                return Err(Broken::Unwanted);
            }
            look = Instant::now() + LOOK;
        }
        let Ok(said) = said else { continue };
        let broke_off = || CallError::Unknown { why: "the answer has no end".into() };
        let chunk = said.unwrap_or_else(|| Err(broke_off())).map_err(Broken::Call)?;
        match &chunk {
            Chunk::Begun { model, simulated } => {
                heard.model = Some(model.clone());
                heard.simulated = *simulated;
            }
            Chunk::Text { text } => heard.bytes += text.len() as u64,
            Chunk::ToolCall(call) => heard.bytes += (call.name.len() + call.arguments.len()) as u64,
            Chunk::Usage(_) | Chunk::End { .. } => {}
        }
        heard.first.get_or_insert_with(|| began.elapsed());
        heard.gathering.push(chunk.clone());
        if let Chunk::End { .. } = &chunk {
            let answer = std::mem::take(&mut heard.gathering).answer();
            return answer.ok_or_else(|| Broken::Call(broke_off()));
        }
        call.say(ThinkLine::Chunk(chunk));
    }
}

/// Whether somebody will come back for the answer: another attempt of the step will, unless its
/// task is being stopped.
async fn wanted(gateway: &Inner, claims: &StepClaims) -> bool {
    match gateway.parts.store.task(claims.step.task, &TenantScope::System).await {
        Ok(Some(record)) => match record.task.state {
            TaskState::Queued | TaskState::Planning | TaskState::Running | TaskState::Waiting { .. } => true,
            TaskState::Stopping { .. }
            | TaskState::Completed { .. }
            | TaskState::Failed { .. }
            | TaskState::Cancelled { .. } => false,
        },
        Ok(None) => false,
        Err(_) => true,
    }
}

impl Held {
    fn answered(&self, at: Timestamp, took: Duration, tries: u32, heard: Heard, answer: Answer) -> Ended {
        let last_word = ThinkLine::Chunk(Chunk::End { finish: answer.finish });
        Ended {
            charged: charged(self.price.as_ref(), self.worst, answer.usage),
            model: answer.model.clone(),
            simulated: answer.simulated,
            answer: Some(answer),
            at,
            first: heard.first,
            took,
            tries,
            last_word,
        }
    }

    fn unpaid(&self, at: Timestamp, took: Duration, tries: u32, last_word: ThinkLine) -> Ended {
        Ended {
            charged: charged_for_failure(Charge::Nothing, None, self.worst, self.question, 0),
            answer: None,
            model: self.ask.model.clone(),
            simulated: false,
            at,
            first: None,
            took,
            tries,
            last_word,
        }
    }
}

/// Says the last word and settles. Settling goes on until the store has taken it.
async fn settle(gateway: &Inner, claims: &StepClaims, held: &Held, call: &Call, ended: Ended) {
    call.say(ended.last_word.clone());
    let answer = match &ended.answer {
        Some(answer) => keep(gateway, answer).await,
        None => None,
    };
    let outcome = match (&ended.answer, answer) {
        (Some(answer), Some(kept)) => Outcome::Answered { answer: kept, finish: answer.finish },
        (Some(_), None) => Outcome::Failed("the answer could not be kept".into()),
        (None, _) => Outcome::Failed(match &ended.last_word {
            ThinkLine::Failed(why) | ThinkLine::Refused(why) | ThinkLine::Busy { why, .. } => why.clone(),
            other => format!("{other:?}"),
        }),
    };
    gateway.count(&held.ask.model, &ended.charged);
    let receipt = Receipt {
        model: ended.model,
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
            Some(Err(DecideError::Refused(Refusal::NoSuchHold))) => return,
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

async fn keep(gateway: &Inner, answer: &Answer) -> Option<octollm_contract::ContentHash> {
    let bytes = serde_json::to_vec(answer).expect("an answer is JSON");
    match gateway.parts.artefacts.put(Bytes::from(bytes)).await {
        Ok(hash) => Some(hash),
        Err(error) => {
            // It was heard; only another attempt would have to ask again.
            tracing::warn!(error = &error as &dyn std::error::Error, "an answer cannot be kept");
            None
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
