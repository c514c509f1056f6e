//! A gateway over the memory store, a provider in memory that does as it is told, and a step that asks.

use futures_util::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use octollm_access::{StepClaims, TenantScope};
use octollm_artefacts::Artefacts;
use octollm_client::{ThinkAsk, ThinkError, whole};
use octollm_contract::{
    ArmName, Document, MicroUsd, Millis, Priority, TaskId, Timestamp, WorkerId,
    model::{Ask, Chunk, Counted, Finish, Message, Usage},
};
use octollm_gateway::{Gateway, Parts, Receipt, Route, Upstream};
use octollm_lifecycle::{Awaits, Budget, Limit, NewStep, NewTask, Replans, Task, Terms};
use octollm_llm::{CallError, Catalogue};
use octollm_store::{
    Clock, MemoryStore, Order, OsEntropy, Store, SystemClock, TaskReads as _, TaskRecord, Wanted,
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};
use tokio::sync::Notify;

/// What the provider does with the next call.
pub(crate) enum Act {
    Say(&'static str),
    Report(&'static str, u64),
    Limit(u64),
    Cut(&'static str),
    /// Says something and then nothing until it is told to go on.
    Hang(&'static str),
    /// Says nothing at all.
    Mute,
    /// Loses the question.
    Unknown,
    /// The provider is there and can do nothing.
    Down,
}

/// A provider in memory that does as it is told.
#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) acts: Mutex<VecDeque<Act>>,
    pub(crate) asked: Mutex<Vec<Ask>>,
    pub(crate) closed: Arc<Mutex<u32>>,
    pub(crate) go_on: Arc<Notify>,
    /// The models that it lists; none: it cannot be reached for it.
    pub(crate) lists: Mutex<Vec<String>>,
    /// It has said so of itself, in another answer.
    pub(crate) simulated: AtomicBool,
}

/// Counts itself when it is dropped before its end.
struct Open {
    closed: Arc<Mutex<u32>>,
    ended: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.ended {
            *self.closed.lock().unwrap() += 1;
        }
    }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, cache_read: 0, cache_write: 0, counted: Counted::Exact }
}

impl Upstream for Scripted {
    fn call(self: Arc<Self>, ask: Ask) -> BoxStream<'static, Result<Chunk, CallError>> {
        self.asked.lock().unwrap().push(ask);
        let act = self.acts.lock().unwrap().pop_front().expect("no act is left: a call too many");
        let begun = Ok(Chunk::Begun { model: "sim".into(), simulated: true });
        let text = |text: &str| Ok(Chunk::Text { text: text.into() });
        let end = || Ok(Chunk::End { finish: Finish::Stop });
        let chunks = match act {
            Act::Say(said) => vec![begun, text(said), Ok(Chunk::Usage(usage(10, 5))), end()],
            Act::Report(said, output) => vec![begun, text(said), Ok(Chunk::Usage(usage(10, output))), end()],
            Act::Limit(seconds) => {
                let retry_after = Some(Millis::from_secs(seconds));
                vec![Err(CallError::RateLimited { retry_after, said: "slow down".into() })]
            }
            Act::Mute => return Box::pin(stream::pending()),
            Act::Unknown => vec![Err(CallError::Unknown { why: "reset".into() })],
            Act::Down => {
                let said = "no GPU is free".to_owned();
                vec![Err(CallError::Overloaded { status: 503, retry_after: None, said })]
            }
            Act::Cut(said) => {
                let cut = CallError::Cut { why: "reset".into(), usage: usage(10, 1) };
                vec![begun, text(said), Err(cut)]
            }
            Act::Hang(said) => {
                let go_on = Arc::clone(&self.go_on);
                let open = Open { closed: Arc::clone(&self.closed), ended: false };
                let rest = stream::once(async move {
                    // Whole: else only the field that is written below would be moved in here.
                    let mut open = open;
                    go_on.notified().await;
                    open.ended = true;
                    Ok(Chunk::Usage(usage(10, 5)))
                });
                let before = stream::iter(vec![begun, text(said), Ok(Chunk::Usage(usage(10, 2)))]);
                return Box::pin(before.chain(rest).chain(stream::iter(vec![end()])));
            }
        };
        Box::pin(stream::iter(chunks))
    }

    fn list(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<String>, CallError>> {
        let models = self.lists.lock().unwrap().clone();
        Box::pin(async move {
            if models.is_empty() {
                let said = "starting".to_owned();
                return Err(CallError::Overloaded { status: 503, retry_after: None, said });
            }
            Ok(models)
        })
    }

    fn is_simulated(&self) -> bool {
        self.simulated.load(Ordering::Relaxed)
    }
}

/// A gateway, its provider, and a task whose step is leased.
pub(crate) struct Bench {
    pub(crate) gateway: Gateway,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) provider: Arc<Scripted>,
    pub(crate) claims: StepClaims,
    pub(crate) clock: Arc<Hands>,
    pub(crate) folder: tempfile::TempDir,
}

/// One dollar a million tokens of input, two of output.
const PRICES: &str = r#"
version = "2026-01-01"
source = "the tests"
[[model]]
name = "priced"
input = 1_000_000
output = 2_000_000
context = 100_000
output_max = 100
source = "the tests"
"#;

/// A clock that is set forward by hand.
#[derive(Default)]
pub(crate) struct Hands(pub(crate) AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.now().as_millis() + self.0.load(Ordering::Relaxed))
    }
}

/// The `n`-th task, whose step is leased.
pub(crate) async fn leased(store: &MemoryStore, now: Timestamp, n: u8, budget: Budget) -> StepClaims {
    leased_until(store, now, n, budget, None).await
}

pub(crate) async fn leased_until(
    store: &MemoryStore,
    now: Timestamp,
    n: u8,
    budget: Budget,
    deadline: Option<Timestamp>,
) -> StepClaims {
    let terms = Terms { accepted_at: now, not_before: None, deadline, max_retries: 2, replans: Replans::No };
    let step = NewStep {
        arm: ArmName::Coder,
        needs: Vec::new(),
        awaits: Awaits::Nothing,
        time_limit: Millis::from_secs(600),
    };
    let new = NewTask {
        id: TaskId::new(now, [n; 10]),
        tenant: "ant".parse().unwrap(),
        priority: Priority::Medium,
        terms,
        budget,
        steps: vec![step],
    };
    let nothing = Document::from_json("null");
    let order = Order {
        new,
        goal: "think".into(),
        request: nothing.clone(),
        plan: nothing.clone(),
        specs: vec![nothing],
        idempotency: None,
        session: None,
    };
    use octollm_store::Tasks as _;
    store.accept(order).await.unwrap();
    let worker: WorkerId = "w".parse().unwrap();
    let wanted = Wanted { worker, arms: vec![ArmName::Coder], most: 1, ttl: Millis::from_secs(600) };
    let claimed = store.claim(wanted).await.unwrap().granted.pop().unwrap();
    StepClaims { step: claimed.step, lease: claimed.token, expires: Timestamp::from_millis(i64::MAX) }
}

impl Bench {
    pub(crate) async fn new(model: &str, budget: Budget, acts: Vec<Act>) -> Self {
        Bench::with(vec![model.to_owned()], budget, acts, 32).await
    }

    pub(crate) async fn with(models: Vec<String>, budget: Budget, acts: Vec<Act>, at_once: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, entropy) = (Arc::new(Hands::default()), Arc::new(OsEntropy));
        let store = Arc::new(MemoryStore::new(clock.clone(), entropy.clone()));
        let provider = Arc::new(Scripted { acts: Mutex::new(acts.into()), ..Scripted::default() });
        let upstream: Arc<dyn Upstream> = provider.clone();
        let parts = Parts {
            store: store.clone() as Arc<dyn Store>,
            artefacts: Artefacts::in_folder(folder.path(), 1 << 20).unwrap(),
            clock: clock.clone(),
            entropy,
            routes: vec![Route::new("test", models, upstream).at_once(at_once)],
            catalogue: Catalogue::parse(PRICES).unwrap(),
        };
        let claims = leased(&store, clock.now(), 1, budget).await;
        Bench { gateway: Gateway::new(parts), store, provider, claims, clock, folder }
    }

    pub(crate) fn ask(&self, number: u32, text: &str) -> octollm_client::Thinking {
        self.ask_for(number, text, 50)
    }

    pub(crate) fn ask_for(&self, number: u32, text: &str, tokens: u32) -> octollm_client::Thinking {
        let ask = Ask::new("", vec![Message::user(text)], tokens);
        self.gateway.think(&self.claims, ThinkAsk { number, ask })
    }

    pub(crate) async fn answer(&self, number: u32, text: &str) -> Result<String, ThinkError> {
        Ok(whole(self.ask(number, text)).await?.text)
    }

    pub(crate) async fn record(&self) -> TaskRecord {
        self.gateway.settled(self.claims.step.task).await;
        self.store.task(self.claims.step.task, &TenantScope::System).await.unwrap().unwrap()
    }

    pub(crate) async fn task(&self) -> Task {
        self.record().await.task
    }

    pub(crate) async fn receipts(&self) -> Vec<Receipt> {
        let record = self.record().await;
        record.steps[0].receipts.iter().map(|receipt| receipt.body.read().unwrap()).collect()
    }

    pub(crate) fn calls(&self) -> usize {
        self.provider.asked.lock().unwrap().len()
    }
}

pub(crate) fn dollars(micros: u64) -> Budget {
    Budget { money: Limit::Of(MicroUsd::new(micros)), tokens: Limit::Unlimited }
}
