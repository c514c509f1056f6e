//! A provider as the gateway sees it: who answers, for which models, how many questions at once,
//! and whether it is well.

use crate::lock;
use futures_util::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use octollm_client::{ModelTerms, ThinkLine};
use octollm_contract::{
    Millis, Timestamp,
    model::{Ask, Chunk, WaitsFor},
};
use octollm_llm::{
    CallError, Catalogue, Provider,
    breaker::{Admission, Breaker, BreakerPolicy, Outcome, Pass},
    chain,
};
use octollm_store::Clock;
use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// What a model without a row in the catalogue is taken to bear.
const CONTEXT_UNKNOWN: u64 = 16_384;
const OUTPUT_UNKNOWN: u32 = 4_096;
/// A list of models that takes longer counts as not given: a step waits for it in its slot.
const LISTED_WITHIN: Duration = Duration::from_secs(3);
/// When a provider that cannot list its models is asked again.
const LIST_AGAIN: Millis = Millis::from_secs(5);
/// When a provider with all its calls under way is asked again.
const SEAT_AGAIN: Millis = Millis::from_secs(2);

/// Calls of one provider under way at once, unless it is said otherwise: more are told to come later.
pub const CALLS_AT_ONCE: usize = 32;

/// Who answers questions. Dropping the stream closes the call.
pub trait Upstream: Send + Sync + 'static {
    /// Asks.
    fn call(self: Arc<Self>, ask: Ask) -> BoxStream<'static, Result<Chunk, CallError>>;

    /// The ids of its models, in its order.
    fn list(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<String>, CallError>>;

    /// Whether it has said that it is a simulation: a call that brings nothing cannot say so itself (P10).
    fn is_simulated(&self) -> bool {
        false
    }
}

impl Upstream for Provider {
    fn call(self: Arc<Self>, ask: Ask) -> BoxStream<'static, Result<Chunk, CallError>> {
        let begun =
            stream::once(async move { Ok::<_, CallError>(Provider::call(&self, &ask).await?.into_stream()) });
        Box::pin(begun.flat_map(|begun| match begun {
            Ok(chunks) => chunks.left_stream(),
            Err(error) => stream::once(async { Err(error) }).right_stream(),
        }))
    }

    fn list(self: Arc<Self>) -> BoxFuture<'static, Result<Vec<String>, CallError>> {
        Box::pin(async move { self.models().await })
    }

    fn is_simulated(&self) -> bool {
        Provider::is_simulated(self)
    }
}

/// A provider and the models that it is asked for.
#[derive(Clone)]
pub struct Route {
    name: Arc<str>,
    /// The default first; unset until the provider has said which it has.
    models: Arc<OnceLock<Vec<String>>>,
    upstream: Arc<dyn Upstream>,
    health: Arc<Mutex<Health>>,
    seats: Arc<Semaphore>,
    at_once: usize,
}

struct Health {
    breaker: Breaker,
    /// What went wrong last.
    last: Option<Arc<str>>,
}

/// The right to be one of a provider's calls under way.
pub(crate) struct Seat(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl From<Busy> for ThinkLine {
    fn from(busy: Busy) -> Self {
        ThinkLine::Busy { retry_after: busy.for_, waits_for: busy.waits_for, why: busy.why }
    }
}

/// The provider takes no call now.
#[derive(Debug)]
pub(crate) struct Busy {
    /// Not before this has passed.
    pub(crate) for_: Millis,
    /// The provider, or our own bound.
    pub(crate) waits_for: WaitsFor,
    /// Who it is and what is wrong with it.
    pub(crate) why: String,
}

impl Route {
    /// `models`: the default first. Without any, the provider is asked for its list at the first
    /// need, and the first of it is the default.
    #[must_use]
    pub fn new(name: &str, models: Vec<String>, upstream: Arc<dyn Upstream>) -> Self {
        let named = OnceLock::new();
        if !models.is_empty() {
            named.get_or_init(|| models);
        }
        let health = Health { breaker: Breaker::new(BreakerPolicy::default()), last: None };
        Route {
            name: name.into(),
            models: Arc::new(named),
            upstream,
            health: Arc::new(Mutex::new(health)),
            seats: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            at_once: CALLS_AT_ONCE,
        }
    }

    /// With at most so many calls under way at once; at least one.
    #[must_use]
    pub fn at_once(self, calls: usize) -> Self {
        let at_once = calls.clamp(1, Semaphore::MAX_PERMITS);
        Route { seats: Arc::new(Semaphore::new(at_once)), at_once, ..self }
    }

    /// What the provider is called in receipts.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// None until they are known.
    pub(crate) fn models(&self) -> &[String] {
        self.models.get().map_or(&[], Vec::as_slice)
    }

    /// The default model; the provider is asked for its list when it is not known yet.
    pub(crate) async fn default_model(&self, clock: &dyn Clock) -> Result<String, Busy> {
        if let Some(first) = self.models().first() {
            return Ok(first.clone());
        }
        let pass = self.admit(clock.now())?;
        let listed = match timeout(LISTED_WITHIN, Arc::clone(&self.upstream).list()).await {
            Ok(Ok(models)) => models.into_iter().next().ok_or_else(|| "it has no models".to_owned()),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("nothing came within {LISTED_WITHIN:?}")),
        };
        match listed {
            Ok(first) => {
                self.record(pass, Outcome::Healthy, None, clock.now());
                tracing::info!(provider = &*self.name, model = first, "a model server has listed its models");
                Ok(self.models.get_or_init(|| vec![first]).first().cloned().unwrap_or_default())
            }
            Err(why) => {
                let why = format!("its models cannot be listed: {why}");
                self.record(pass, Outcome::Sick, Some(&why), clock.now());
                Err(Busy { for_: LIST_AGAIN, waits_for: WaitsFor::Provider, why: self.said(&why) })
            }
        }
    }

    /// What is told of the model called `model`; "" is one that is not known yet.
    pub(crate) fn terms(&self, model: &str, catalogue: &Catalogue) -> ModelTerms {
        let known = catalogue.find(model);
        ModelTerms {
            model: model.to_owned(),
            context_tokens: known.map_or(CONTEXT_UNKNOWN, |known| known.context),
            output_tokens_max: known
                .map_or(OUTPUT_UNKNOWN, |known| u32::try_from(known.output_max).unwrap_or(u32::MAX)),
        }
    }

    /// A place among the provider's calls, as far as can be told before one is made.
    pub(crate) fn seat(&self, now: Timestamp) -> Result<Seat, Busy> {
        let waits = lock(&self.health).breaker.waits(now);
        if let Some(wait) = waits {
            return Err(self.is_sick(wait));
        }
        let seat = Arc::clone(&self.seats).try_acquire_owned();
        seat.map(Seat).map_err(|_full| Busy {
            for_: SEAT_AGAIN,
            waits_for: WaitsFor::Turn,
            why: self.said(&format!(
                "{} calls are under way there, as many as its calls_at_once allows",
                self.at_once
            )),
        })
    }

    /// The right to call now.
    pub(crate) fn admit(&self, now: Timestamp) -> Result<Pass, Busy> {
        let admission = lock(&self.health).breaker.admit(now);
        match admission {
            Admission::Go(pass) => Ok(pass),
            Admission::Wait(wait) => Err(self.is_sick(wait)),
        }
    }

    /// Tells that a call is being answered.
    pub(crate) fn answers(&self, pass: Pass) {
        lock(&self.health).breaker.answers(pass);
    }

    /// Tells how a call went, and what was wrong.
    pub(crate) fn record(&self, pass: Pass, outcome: Outcome, why: Option<&str>, now: Timestamp) {
        let mut health = lock(&self.health);
        health.breaker.record(pass, outcome, now);
        if outcome == Outcome::Sick {
            health.last = why.map(Into::into);
        }
    }

    /// Takes back the right to a call that was given up before anything was heard.
    pub(crate) fn give_back(&self, pass: Pass) {
        lock(&self.health).breaker.give_back(pass);
    }

    fn is_sick(&self, wait: Millis) -> Busy {
        let last = lock(&self.health).last.clone();
        let last = last.as_deref().unwrap_or("nobody knows why");
        let why = self.said(&format!("it has failed too often lately, the last time: {last}"));
        Busy { for_: wait, waits_for: WaitsFor::Provider, why }
    }

    /// `why`, with the provider's name.
    pub(crate) fn said(&self, why: &str) -> String {
        format!("provider {}: {why}", self.name)
    }

    pub(crate) fn is_simulated(&self) -> bool {
        self.upstream.is_simulated()
    }

    pub(crate) fn call(&self, ask: Ask) -> BoxStream<'static, Result<Chunk, CallError>> {
        Arc::clone(&self.upstream).call(ask)
    }
}
