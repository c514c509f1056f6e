//! The model gateway: the one way from a step to a model.
//!
//! A step asks with its token; the gateway holds the worst case, masks secrets, calls a provider,
//! passes the answer on as it comes, and settles once. Provider keys exist only here.
//!
//! Promises: P5, nothing is asked of a provider before its worst case is held durably, and every
//! call is settled once, or presumed spent, also when its listener has gone, its task was cancelled
//! or its step went to another worker; a whole answer is kept, so that the same question of the
//! same step is never paid for twice; settling is off the caller's path; P10, what is simulated or estimated is said
//! so in the receipt; P7, what is kept is found by the step it belongs to and by nothing else.
//!
//! Must not know: prompts, plans, HTTP; how a ledger decides.

mod ask;
mod call;
mod hold;
mod receipt;
mod route;
mod run;
mod settle;
mod worth;

pub use receipt::{Outcome, Receipt};
pub use route::{CALLS_AT_ONCE, Route, Upstream};

use call::Call;
use octollm_access::StepClaims;
use octollm_artefacts::Artefacts;
use octollm_client::{ModelTerms, ThinkAsk, ThinkError, ThinkLine, Thinking};
use octollm_contract::{ContentHash, Cost, MicroUsd, StepId, TaskId, model::WaitsFor};
use octollm_lifecycle::Spent;
use octollm_llm::{Catalogue, Price};
use octollm_store::{Clock, Entropy, Store};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::timeout};
use worth::worst_case;

/// Nobody waits longer for a settlement.
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(5);

/// Calls under way at once, over all tasks; one more is told to come back.
const CALLS_MAX: usize = 1024;

/// No step's question has fewer tokens: what it is to do stands in it.
const QUESTION_TOKENS_LEAST: u64 = 256;

/// What a gateway stands on.
#[derive(Clone)]
pub struct Parts {
    /// Where holds and receipts are kept.
    pub store: Arc<dyn Store>,
    /// Where answers are kept.
    pub artefacts: Artefacts,
    /// Moments; the same that the store takes.
    pub clock: Arc<dyn Clock>,
    /// Entropy for the names of calls and for jitter.
    pub entropy: Arc<dyn Entropy>,
    /// The providers, the preferred one first.
    pub routes: Vec<Route>,
    /// Prices.
    pub catalogue: Catalogue,
}

/// The gateway. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    parts: Parts,
    under_way: Mutex<HashMap<(StepId, u32), Arc<Call>>>,
    /// Told whenever a call has been settled.
    settled: watch::Sender<u64>,
    figures: Mutex<BTreeMap<String, ModelFigures>>,
    /// Models whose tokenizer, if they have one, was read.
    tokenized: Mutex<BTreeSet<String>>,
    draining: AtomicBool,
}

/// What the calls of one model have used since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelFigures {
    /// Tokens read at the full price.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens read from the provider's cache.
    pub cache_read: u64,
    /// Tokens written to the provider's cache.
    pub cache_write: u64,
    /// What is known to have been spent.
    pub cost: MicroUsd,
    /// Calls whose cost nobody knows.
    pub unpriced: u64,
}

impl Gateway {
    /// A gateway over `parts`. Nothing is called yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Gateway(Arc::new(Inner {
            parts,
            under_way: Mutex::default(),
            settled: watch::Sender::new(0),
            figures: Mutex::default(),
            tokenized: Mutex::default(),
            draining: AtomicBool::new(false),
        }))
    }

    /// The models that a step may ask, the default first.
    #[must_use]
    pub fn models(&self) -> Vec<ModelTerms> {
        let of = |(at, route): (usize, &Route)| {
            let terms = |model: &String| route.terms(model, &self.0.parts.catalogue);
            let mut models: Vec<ModelTerms> = route.models().iter().map(terms).collect();
            if at == 0 && models.is_empty() {
                // The default, whose name its provider has not said yet.
                models.push(terms(&String::new()));
            }
            models
        };
        self.0.parts.routes.iter().enumerate().flat_map(of).collect()
    }

    /// Whether every model that may be asked has a price: only then can money be limited (P5).
    /// The error names one that has none.
    pub fn all_priced(&self) -> Result<(), String> {
        let Parts { routes, catalogue, .. } = &self.0.parts;
        if let Some(route) = routes.iter().find(|route| route.models().is_empty()) {
            return Err(format!("that {} has not named yet", route.name()));
        }
        let unpriced = routes.iter().flat_map(Route::models).find(|model| catalogue.find(model).is_none());
        unpriced.map_or(Ok(()), |model| Err(model.clone()))
    }

    /// What the smallest question that makes sense may use at most, of the cheapest model.
    #[must_use]
    pub fn least(&self) -> Spent {
        let Parts { routes, catalogue, .. } = &self.0.parts;
        let models = routes.iter().flat_map(Route::models);
        let prices = models.filter_map(|model| catalogue.find(model)).map(|row| row.price);
        let worst =
            |price: Price| worst_case(Some(&price), QUESTION_TOKENS_LEAST, hold::OUTPUT_TOKENS_LEAST.into());
        let cheapest = prices.map(worst).min_by_key(|worst| match worst.cost {
            Cost::Known(cost) => cost,
            Cost::Unknown => MicroUsd::new(u64::MAX),
        });
        cheapest.unwrap_or_else(|| worst_case(None, QUESTION_TOKENS_LEAST, hold::OUTPUT_TOKENS_LEAST.into()))
    }

    /// Has a model think for the step of `claims`, whose lease the caller has checked.
    ///
    /// The same number with the same question joins the call that is under way, or gets the
    /// answer that is kept.
    #[must_use]
    pub fn think(&self, claims: &StepClaims, question: ThinkAsk) -> Thinking {
        let Ok(text) = serde_json::to_vec(&question.ask) else {
            return call::refused(ThinkError::Refused("the question cannot be written down".into()));
        };
        let (asked, bytes) = (ContentHash::of(&text), text.len());
        let key = (claims.step, question.number);
        let mut under_way = self.0.under_way();
        let joins = under_way.contains_key(&key);
        if question.number == 0 {
            return call::refused(ThinkError::Refused("questions are numbered from 1".into()));
        }
        let draining = self.0.draining.load(Ordering::Acquire);
        if !joins && (under_way.len() >= CALLS_MAX || draining) {
            let why = if draining {
                "the orchestrator is going away".to_owned()
            } else {
                format!("{CALLS_MAX} calls are under way at the orchestrator, as many as may be")
            };
            let waits_for = if draining { WaitsFor::Orchestrator } else { WaitsFor::Turn };
            return call::refused(ThinkError::Busy { retry_after: run::SOON, waits_for, why });
        }
        match under_way.entry(key) {
            Entry::Occupied(found) if found.get().asked == asked => found.get().listen(),
            Entry::Occupied(_) => call::refused(ThinkError::Busy {
                retry_after: run::SOON,
                waits_for: WaitsFor::Siblings,
                why: "another question of this number is under way".into(),
            }),
            Entry::Vacant(place) => {
                let call = Arc::clone(place.insert(Call::begin(asked)));
                let listening = call.listen();
                let (gateway, claims) = (self.clone(), claims.clone());
                tokio::spawn(async move {
                    let leaves = Leaves { gateway: gateway.clone(), key, call: Arc::clone(&call) };
                    run::run(&gateway.0, &claims, question, bytes, &call).await;
                    drop(leaves);
                });
                listening
            }
        }
    }

    /// Returns once no call of `task` that is over waits for its settlement here, or after five
    /// seconds: what it cost is told late then.
    pub async fn settled(&self, task: TaskId) {
        if timeout(SETTLED_WITHIN, self.0.settled(task)).await.is_err() {
            tracing::warn!(%task, "a call has not been settled yet");
        }
    }

    /// Begins no call any more, and waits for those under way to end and to be settled; after
    /// `within` the process may go, and what is left counts as spent, at the next start or once this process
    /// is known to be dead.
    pub async fn drain(&self, within: Duration) {
        self.0.draining.store(true, Ordering::Release);
        let mut settled = self.0.settled.subscribe();
        let over = async {
            while !self.0.under_way().is_empty() {
                if settled.changed().await.is_err() {
                    return;
                }
            }
        };
        if timeout(within, over).await.is_err() {
            tracing::warn!(calls = self.0.under_way().len(), "model calls were cut at the end of the grace");
        }
    }

    /// What models have used, by the model's name as it was asked for.
    #[must_use]
    pub fn figures(&self) -> BTreeMap<String, ModelFigures> {
        lock(&self.0.figures).clone()
    }
}

impl Inner {
    async fn settled(&self, task: TaskId) {
        let mut settled = self.settled.subscribe();
        while self.is_settling(task) {
            if settled.changed().await.is_err() {
                return;
            }
        }
    }

    /// A call of `task` is over and not settled yet.
    fn is_settling(&self, task: TaskId) -> bool {
        self.under_way().iter().any(|((step, _), call)| step.task == task && call.is_over())
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<(StepId, u32), Arc<Call>>> {
        lock(&self.under_way)
    }
}

/// Takes a call out of those under way, however it ended.
struct Leaves {
    gateway: Gateway,
    key: (StepId, u32),
    call: Arc<Call>,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        // After a panic nobody else says the last word.
        self.call.say(ThinkLine::Away("the gateway failed; its log says why".into()));
        self.gateway.0.under_way().remove(&self.key);
        self.gateway.0.settled.send_modify(|count| *count += 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.0.parts.routes.iter().map(Route::name).collect();
        f.debug_struct("Gateway").field("routes", &names).finish_non_exhaustive()
    }
}
