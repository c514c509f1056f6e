//! The call itself: the provider is asked, its answer passed on as it comes.
//!
//! Promises: what may have been paid is never asked again here, and what was not, once more at
//! most and only when that is soon: longer waits are the step's, which hands itself back meanwhile.
//! A call that nobody listens to goes on while its task does.

use crate::{
    Inner,
    call::Call,
    hold::Held,
    worth::{Charged, charged, charged_for_failure},
};
use futures_util::StreamExt as _;
use octollm_access::{StepClaims, TenantScope};
use octollm_client::ThinkLine;
use octollm_contract::{
    Millis, Timestamp,
    model::{Answer, Chunk, Gathering, WaitsFor},
};
use octollm_lifecycle::TaskState;
use octollm_llm::{
    CallError, Charge,
    breaker::{self, Pass},
    chain,
    retry::{Next, RetryPolicy},
};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// When a provider that failed is asked again, if it does not say, and the soonest if it does: each step
/// waits twice as long each time, from this on.
const SOONEST: Millis = Millis::from_secs(1);
/// What is said to whoever has no time left: longer than anybody waits for a model in a slot.
const TOO_LATE: Millis = Millis::from_secs(5);
/// So long before the task's deadline, or an eighth of the time that is left, whoever waits is told what for:
/// mostly enough to report it. Where it is not, the task fails for the deadline alone.
const BEFORE_THE_DEADLINE: Duration = Duration::from_millis(500);
/// What has come together is passed on together, up to so many pieces.
const AT_ONCE_MAX: usize = 64;
/// How often it is looked whether a call that nobody listens to is still wanted.
const LOOK: Duration = Duration::from_millis(500);

/// How a call ended, with what it is charged and told.
pub(crate) struct Ended {
    pub(crate) charged: Charged,
    pub(crate) answer: Option<Answer>,
    /// Nothing was done: the same question may be asked again.
    pub(crate) not_made: bool,
    /// Who answered, as the server names it.
    pub(crate) served: Option<String>,
    pub(crate) simulated: bool,
    pub(crate) at: Timestamp,
    pub(crate) first: Option<Duration>,
    pub(crate) took: Duration,
    pub(crate) tries: u32,
    pub(crate) last_word: ThinkLine,
}

/// Calls the provider, again when nothing was paid, and passes on what it says. All but the last
/// word: that waits for nothing, but is said by the settlement, which must be under way by then.
pub(crate) async fn ask(gateway: &Inner, claims: &StepClaims, held: &Held, call: &Call) -> Ended {
    let policy = RetryPolicy::default();
    let at = gateway.parts.clock.now();
    let began = Instant::now();
    let mut tries = 0;
    loop {
        let pass = match held.route.admit(gateway.parts.clock.now()) {
            Ok(pass) => pass,
            Err(busy) => {
                return held.unpaid(at, began.elapsed(), tries, busy.into());
            }
        };
        tries += 1;
        let mut heard = Heard::default();
        let how = listen(gateway, claims, held, call, pass, &mut heard).await;
        let health = match &how {
            Err(Broken::Call(error)) => Some((breaker::Outcome::of(error), Some(chain(error)))),
            // Of a provider that had said nothing yet, nothing is known.
            Err(Broken::Unwanted) if heard.first.is_none() => None,
            Ok(_) | Err(Broken::Unwanted) => Some((breaker::Outcome::Healthy, None)),
        };
        match health {
            Some((health, wrong)) => {
                held.route.record(pass, health, wrong.as_deref(), gateway.parts.clock.now());
            }
            None => held.route.give_back(pass),
        }
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
                if let Some(line) = later(held, &error) {
                    return held.unpaid(at, began.elapsed(), tries, line);
                }
                if let CallError::Refused { .. } | CallError::BadKey { .. } | CallError::OutOfCredit { .. } =
                    error
                {
                    let last_word = ThinkLine::Refused(held.route.said(&chain(&error)));
                    return held.unpaid(at, began.elapsed(), tries, last_word);
                }
                (error.charge(), held.route.said(&chain(&error)))
            }
        };
        let charged =
            charged_for_failure(charge, held.price.as_ref(), held.worst, held.question, heard.bytes);
        return Ended {
            charged,
            answer: None,
            not_made: false,
            served: heard.model,
            simulated: heard.simulated || held.route.is_simulated(),
            at,
            first: heard.first,
            took: began.elapsed(),
            tries,
            last_word: ThinkLine::Failed(why),
        };
    }
}

/// A failure that passes by itself: nothing was paid, and another time it may work.
fn later(held: &Held, error: &CallError) -> Option<ThinkLine> {
    let asked = match error {
        CallError::RateLimited { retry_after, .. } | CallError::Overloaded { retry_after, .. } => {
            *retry_after
        }
        CallError::Unreachable { .. } => None,
        CallError::Refused { .. }
        | CallError::BadKey { .. }
        | CallError::OutOfCredit { .. }
        | CallError::Unknown { .. }
        | CallError::TimedOut { .. }
        | CallError::Malformed { .. }
        | CallError::TooLarge { .. }
        | CallError::Cut { .. } => return None,
    };
    let (retry_after, why) = (asked.unwrap_or(SOONEST).max(SOONEST), held.route.said(&chain(error)));
    Some(ThinkLine::Busy { retry_after, waits_for: WaitsFor::Provider, why })
}

/// No whole answer came in the task's time: there is no other time at which to ask again.
fn out_of_time(held: &Held, waited: Duration) -> ThinkLine {
    let model = &held.ask.model;
    let (number, waited) = (held.number, waited.as_secs_f64());
    let why = format!(
        "no whole answer of {model} to question {number} came in {waited:.1} s, all that its task had left"
    );
    ThinkLine::Busy { retry_after: TOO_LATE, waits_for: WaitsFor::Provider, why: held.route.said(&why) }
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
    /// Takes in what the provider says next, and passes it on, but for the end; `Some` when it is over.
    fn take_in(
        &mut self,
        said: Result<Chunk, CallError>,
        lines: &mut Vec<ThinkLine>,
    ) -> Option<Result<(), CallError>> {
        let chunk = match said {
            Ok(chunk) => chunk,
            Err(error) => return Some(Err(error)),
        };
        match &chunk {
            Chunk::Begun { model, simulated } => {
                self.model = Some(model.clone());
                self.simulated = *simulated;
            }
            Chunk::Text { text } => self.bytes += text.len() as u64,
            Chunk::ToolCall(call) => self.bytes += (call.name.len() + call.arguments.len()) as u64,
            Chunk::Usage(_) | Chunk::End { .. } => {}
        }
        self.gathering.push(chunk.clone());
        if let Chunk::End { .. } = &chunk {
            return Some(Ok(()));
        }
        lines.push(ThinkLine::Chunk(chunk));
        None
    }

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
    pass: Pass,
    heard: &mut Heard,
) -> Result<Answer, Broken> {
    let began = Instant::now();
    let mut stream = held.route.call(held.ask.clone()).ready_chunks(AT_ONCE_MAX);
    let mut look = began + LOOK;
    // The moment of the task's deadline, as long as it is to come.
    let mut in_time = held.deadline.map(|deadline| {
        let left = deadline.since(gateway.parts.clock.now()).to_duration();
        began + left.saturating_sub(BEFORE_THE_DEADLINE.min(left / 8))
    });
    loop {
        let until = in_time.map_or(look, |over| look.min(over));
        let said = timeout_at(until, stream.next()).await;
        if said.is_err() && in_time.is_some_and(|over| over <= Instant::now()) {
            // Whoever listens fails the task for this, and not for the deadline alone. It is the last word, for
            // the call goes on only until it is seen that nobody wants it, which is a moment away: whoever waits
            // for settlements waits for this one, too.
            call.say(out_of_time(held, began.elapsed()));
            in_time = None;
            continue;
        }
        if look <= Instant::now() {
            if call.is_unheard() && !wanted(gateway, claims).await {
                return Err(Broken::Unwanted);
            }
            look = Instant::now() + LOOK;
        }
        let Ok(said) = said else { continue };
        let said = said.unwrap_or_else(|| vec![Err(broke_off())]);
        if said.first().is_some_and(Result::is_ok) {
            heard.first.get_or_insert_with(|| began.elapsed());
        }
        let mut lines = Vec::with_capacity(said.len());
        let silent = heard.bytes == 0;
        let over = said.into_iter().find_map(|chunk| heard.take_in(chunk, &mut lines));
        if silent && heard.bytes > 0 {
            held.route.answers(pass);
        }
        call.say_all(lines);
        match over {
            None => {}
            Some(Ok(())) => {
                let answer = std::mem::take(&mut heard.gathering).answer();
                return answer.ok_or_else(|| Broken::Call(broke_off()));
            }
            Some(Err(error)) => return Err(Broken::Call(error)),
        }
    }
}

fn broke_off() -> CallError {
    CallError::Unknown { why: "the answer has no end".into() }
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
            not_made: false,
            served: Some(answer.model.clone()),
            simulated: answer.simulated,
            answer: Some(answer),
            at,
            first: heard.first,
            took,
            tries,
            last_word,
        }
    }

    /// It is not asked, and must not be asked again under its number.
    pub(crate) fn given_up(&self, at: Timestamp, why: String) -> Ended {
        Ended { not_made: false, ..self.unpaid(at, Duration::ZERO, 0, ThinkLine::Failed(why)) }
    }

    pub(crate) fn unpaid(&self, at: Timestamp, took: Duration, tries: u32, last_word: ThinkLine) -> Ended {
        Ended {
            charged: charged_for_failure(Charge::Nothing, None, self.worst, self.question, 0),
            answer: None,
            not_made: true,
            served: None,
            simulated: self.route.is_simulated(),
            at,
            first: None,
            took,
            tries,
            last_word,
        }
    }
}
