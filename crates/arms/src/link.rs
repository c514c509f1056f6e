//! A step's line to the orchestrator: artefacts, checkpoints and models, bound to its token.

use crate::{
    arm::another_may_do,
    handed::{Handed, Room},
    worker::{
        pace::Pace,
        slots::{Loan, Slot},
    },
};
use bytes::Bytes;
use octollm_access::StepToken;
use octollm_client::{LeaseError, Leases, ThinkAsk, ThinkError, whole};
use octollm_contract::{
    ContentHash, Document, Millis, Problem,
    model::{Answer, Ask, WaitsFor},
};
use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// How long a call is repeated while the orchestrator is away.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for a question: it may have to wait for a restart of the orchestrator, and its step
/// cannot be handed back meanwhile.
const PATIENCE_WITHOUT_ORCHESTRATOR: Duration = Duration::from_secs(75);
/// How long a question that nobody takes is repeated in the step's slot; then the step is handed
/// back until somebody may.
const PATIENCE_WITH_MODELS: Duration = Duration::from_secs(2);
/// The same for a provider that failed: it has been asked twice by then. Waits that grow are the step's.
const PATIENCE_WITH_PROVIDERS: Duration = Duration::from_secs(1);
/// An answer that takes longer is waited for without a slot.
const QUICK: Duration = Duration::from_secs(2);

/// What an arm may ask for while it does a step.
#[derive(Clone)]
pub struct Link {
    leases: Arc<dyn Leases>,
    token: StepToken,
    slot: Option<Slot>,
    saved: Arc<Mutex<Option<serde_json::Value>>>,
    handed: Arc<Mutex<Handed>>,
}

/// How often a report may have what it names handed over again: each time an orchestrator has died.
#[derive(Default)]
pub(crate) struct Again(u32);

/// So often at most.
const AGAIN_MAX: u32 = 3;

impl Again {
    /// Whether what was `refused` may be taken once the bytes are known again.
    pub(crate) fn may(&mut self, refused: &Problem) -> bool {
        let may = another_may_do(refused) && self.0 < AGAIN_MAX;
        self.0 += u32::from(may);
        may
    }
}

/// Why a call through the link did nothing.
#[derive(Debug, thiserror::Error)]
pub enum NoLink {
    /// The lease is gone: stop.
    #[error("the lease is no longer held")]
    Lost,
    /// The orchestrator will not do this, however often it is asked.
    #[error("{0}")]
    Refused(Problem),
    /// The orchestrator was away for longer than it is waited for.
    #[error("the orchestrator cannot be reached, or cannot reach its artefacts")]
    Away,
}

/// Why a question brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The lease is gone: stop.
    #[error("the lease is no longer held")]
    Lost,
    /// The task's budget does not cover the question. Ask for less, or give up for good.
    #[error("{0}")]
    OverBudget(String),
    /// The question cannot be asked like this.
    #[error("{0}")]
    Refused(String),
    /// The model was asked and gave no whole answer. Another try takes the next number.
    #[error("{0}")]
    Failed(String),
    /// The question cannot be asked now; nothing was paid. Hand the step back until it may.
    #[error("{}: {why}", kept_by(*.waits_for))]
    Later {
        /// Not before this has passed.
        at_least: Millis,
        /// What keeps it.
        waits_for: WaitsFor,
        /// Who does not take it, and why.
        why: String,
    },
    /// The orchestrator was away for longer than it is waited for; nothing was paid.
    #[error("no model could be asked: {0}")]
    Away(String),
}

/// What is said of a question that waits, before the reason.
fn kept_by(waits_for: WaitsFor) -> &'static str {
    match waits_for {
        WaitsFor::Provider => "no model can be asked now",
        WaitsFor::Turn => "the question waits for its turn",
        WaitsFor::Siblings => "the question waits for others of its task",
        WaitsFor::Orchestrator => "the question waits for an orchestrator",
    }
}

impl Link {
    /// The line of the step that `token` opens.
    #[must_use]
    pub fn new(leases: Arc<dyn Leases>, token: StepToken) -> Self {
        Link { leases, token, slot: None, saved: Arc::default(), handed: Arc::default() }
    }

    /// The same, whose step lends its slot to others while it waits for a model.
    #[must_use]
    pub(crate) fn lending(self, slot: Slot) -> Self {
        Link { slot: Some(slot), ..self }
    }

    /// The same, whose step keeps what it hands over in the room of its worker.
    pub(crate) fn keeping_in(self, room: Arc<Room>) -> Self {
        Link { handed: Arc::new(Mutex::new(Handed::within(room))), ..self }
    }

    /// Keeps bytes. They live as long as an output or a checkpoint refers to them.
    pub async fn put(&self, bytes: Bytes) -> Result<ContentHash, NoLink> {
        let hash = patiently(|| self.leases.put_artefact(&self.token, bytes.clone())).await?;
        self.handed().keep(hash, bytes);
        Ok(hash)
    }

    /// Bytes that the step's task refers to.
    pub async fn get(&self, hash: ContentHash) -> Result<Bytes, NoLink> {
        patiently(|| self.leases.get_artefact(&self.token, hash)).await
    }

    /// Saves where the step is; the next attempt finds it in its grant.
    pub async fn checkpoint(&self, state: &Document, artefacts: &[ContentHash]) -> Result<(), NoLink> {
        let save = || self.leases.checkpoint(&self.token, state.clone(), artefacts.to_vec());
        let mut again = Again::default();
        loop {
            match patiently(save).await {
                Ok(()) => break,
                Err(NoLink::Refused(problem)) if again.may(&problem) && self.hand_over_again().await? => {}
                Err(error) => return Err(error),
            }
        }
        self.handed().saved(artefacts);
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = state.read().ok();
        Ok(())
    }

    /// Hands over again what nothing durable refers to yet, for the orchestrator that knew of it is gone;
    /// whether all of it is known again.
    pub(crate) async fn hand_over_again(&self) -> Result<bool, NoLink> {
        let Some(all) = self.handed().all() else { return Ok(false) };
        tracing::info!(
            artefacts = all.len(),
            "what the step has made is handed over to another orchestrator"
        );
        for bytes in all {
            patiently(|| self.leases.put_artefact(&self.token, bytes.clone())).await?;
        }
        Ok(true)
    }

    fn handed(&self) -> MutexGuard<'_, Handed> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was saved last through this line.
    pub(crate) fn saved(&self) -> Option<serde_json::Value> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Link {
    /// The whole answer to the step's question of this `number`. It is repeated while nobody can
    /// be asked for a moment; the gateway answers a repetition from its record.
    pub async fn think(&self, number: u32, ask: &Ask) -> Result<Answer, NoAnswer> {
        let (begun, mut pace) = (Instant::now(), Pace::new());
        loop {
            let question = ThinkAsk { number, ask: ask.clone() };
            let answer = async {
                match self.leases.think(&self.token, question).await {
                    Ok(thinking) => whole(thinking).await,
                    Err(error) => Err(error),
                }
            };
            let (answer, loan) = self.lending_slot(answer).await;
            // What hands its step back or drops it needs no slot for that, and may have no time to wait for one.
            if !matches!(answer, Err(ThinkError::Lost | ThinkError::Busy { .. })) {
                take_again(loan).await;
            }
            let wait = match answer {
                Ok(answer) => return Ok(answer),
                Err(ThinkError::Lost) => return Err(NoAnswer::Lost),
                Err(ThinkError::OverBudget(why)) => return Err(NoAnswer::OverBudget(why)),
                Err(ThinkError::Refused(why)) => return Err(NoAnswer::Refused(why)),
                Err(ThinkError::Failed(why)) => return Err(NoAnswer::Failed(why)),
                Err(ThinkError::Busy { retry_after, waits_for, why }) => {
                    let wait = pace.at_least(retry_after);
                    let patience =
                        if waits_for.is_provider() { PATIENCE_WITH_PROVIDERS } else { PATIENCE_WITH_MODELS };
                    if begun.elapsed() + wait > patience {
                        return Err(NoAnswer::Later { at_least: retry_after, waits_for, why });
                    }
                    wait
                }
                Err(error @ ThinkError::Unreachable(_)) => {
                    let wait = pace.next_wait();
                    if begun.elapsed() + wait > PATIENCE_WITHOUT_ORCHESTRATOR {
                        return Err(NoAnswer::Away(error.to_string()));
                    }
                    wait
                }
            };
            sleep(wait).await;
        }
    }

    /// How long the step has waited, with an answer, for a slot to go on in.
    pub(crate) fn waited(&self) -> Duration {
        self.slot.as_ref().map_or(Duration::ZERO, Slot::waited)
    }

    /// What comes of `answer`, which is waited for without the step's slot when it takes long: then the slot is
    /// lent.
    pub(crate) async fn lending_slot<T>(&self, answer: impl Future<Output = T>) -> (T, Option<Loan>) {
        let mut answer = pin!(answer);
        if let Ok(answer) = timeout(QUICK, &mut answer).await {
            return (answer, None);
        }
        let loan = self.slot.as_ref().and_then(Slot::lend);
        (answer.await, loan)
    }
}

/// The step goes on: in a slot, as soon as one is free.
pub(crate) async fn take_again(loan: Option<Loan>) {
    if let Some(loan) = loan {
        loan.end().await;
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// Every one of these calls may be repeated: bytes are named by their hash, and a later
/// checkpoint replaces an earlier one.
async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, NoLink>
where
    F: Future<Output = Result<T, LeaseError>>,
{
    let (until, mut pace) = (Instant::now() + PATIENCE, Pace::new());
    loop {
        let wait = match call().await {
            Ok(value) => return Ok(value),
            Err(LeaseError::Lost) => return Err(NoLink::Lost),
            Err(LeaseError::Refused(problem)) => return Err(NoLink::Refused(problem)),
            Err(LeaseError::Busy { retry_after }) => pace.at_least(retry_after),
            Err(LeaseError::Unreachable(_)) => pace.next_wait(),
        };
        if Instant::now() + wait > until {
            return Err(NoLink::Away);
        }
        sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::{
        slots::Slots,
        unreliable::{UnreliableLeases, grant},
    };
    use octollm_contract::{
        ArmName, Millis,
        model::{Chunk, Counted, Finish, Message, Usage},
    };
    use octollm_plan::Instruction;

    const USAGE: Usage =
        Usage { input: 1, output: 1, cache_read: 0, cache_write: 0, counted: Counted::Exact };

    fn busy(retry_after: Millis, why: &str) -> ThinkError {
        ThinkError::Busy { retry_after, waits_for: WaitsFor::Provider, why: why.into() }
    }

    fn answer(text: &str) -> Vec<Result<Chunk, ThinkError>> {
        let begun = Chunk::Begun { model: "m".into(), simulated: true };
        let said = Chunk::Text { text: text.into() };
        vec![Ok(begun), Ok(said), Ok(Chunk::Usage(USAGE)), Ok(Chunk::End { finish: Finish::Stop })]
    }

    /// P5: what may have been paid is asked again only under its own number.
    #[tokio::test(start_paused = true)]
    async fn a_question_is_repeated_under_its_number_until_it_is_answered() {
        let leases = UnreliableLeases::new();
        let mut half = answer("lost");
        half.truncate(2);
        leases.next_thought(Err(busy(Millis::new(500), "")));
        leases.next_thought(Ok(half));
        leases.next_thought(Ok(answer("yes")));
        let token = grant(0, ArmName::Coder, Instruction::Think("x".into())).token;
        let link = Link::new(leases.clone(), token);
        let ask = Ask::new("", vec![Message::user("?")], 10);
        assert_eq!(link.think(3, &ask).await.unwrap().text, "yes");
        let numbers: Vec<u32> = leases.asked().iter().map(|asked| asked.number).collect();
        assert_eq!(numbers, [3, 3, 3]);
        leases.next_thought(Err(ThinkError::Failed("cut".into())));
        assert!(matches!(link.think(4, &ask).await, Err(NoAnswer::Failed(_))));
        assert!(matches!(link.think(5, &ask).await, Err(NoAnswer::Away(_))));
    }

    /// Whose task has no time left is told so at the last moment: its step waits for no slot to say it.
    #[tokio::test(start_paused = true)]
    async fn who_hands_its_step_back_after_a_long_wait_needs_no_slot_for_it() {
        let leases = UnreliableLeases::new();
        let token = grant(0, ArmName::Coder, Instruction::Think("x".into())).token;
        let slots = Slots::new(1);
        let link = Link::new(leases.clone(), token).lending(slots.take().unwrap());
        leases.think_takes(Duration::from_secs(5));
        leases.next_thought(Err(busy(Millis::from_secs(5), "no time is left")));
        let ask = Ask::new("", vec![Message::user("?")], 10);
        let asks = link.think(1, &ask);
        let neighbour = async {
            slots.freed().await;
            let _taken_for_long = slots.take().unwrap();
            sleep(Duration::from_secs(3600)).await;
        };
        let begun = Instant::now();
        tokio::select! {
            said = asks => assert!(matches!(said, Err(NoAnswer::Later { .. }))),
            () = neighbour => panic!("it waited for its neighbour's slot"),
        }
        assert!(begun.elapsed() < Duration::from_secs(6));
    }

    /// P9: what a provider does not take for long is not waited for in the slot.
    #[tokio::test(start_paused = true)]
    async fn a_question_that_nobody_takes_hands_its_step_back() {
        let leases = UnreliableLeases::new();
        let token = grant(0, ArmName::Coder, Instruction::Think("x".into())).token;
        let link = Link::new(leases.clone(), token);
        let ask = Ask::new("", vec![Message::user("?")], 10);
        let begun = Instant::now();
        for wait in [1, 15].map(Millis::from_secs) {
            leases.next_thought(Err(busy(wait, "down")));
            let Err(NoAnswer::Later { at_least, why, .. }) = link.think(1, &ask).await else { panic!() };
            assert_eq!((at_least, why.as_str()), (wait, "down"));
        }
        assert!(begun.elapsed() < Duration::from_secs(1));
        // Nor one that says "soon" again and again.
        for _ in 0..100 {
            leases.next_thought(Err(busy(Millis::new(200), "soon")));
        }
        assert!(matches!(link.think(1, &ask).await, Err(NoAnswer::Later { .. })));
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
}
