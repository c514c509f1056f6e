//! A provider as the gateway sees it: who answers, for which models, and whether it is well.

use crate::lock;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use octollm_client::ModelTerms;
use octollm_contract::{
    Timestamp,
    model::{Ask, Chunk},
};
use octollm_llm::{
    CallError, Catalogue, Provider,
    breaker::{Admission, Breaker, BreakerPolicy, Outcome, Pass},
};
use std::sync::{Arc, Mutex};

/// What a model without a row in the catalogue is taken to bear.
const CONTEXT_UNKNOWN: u64 = 16_384;
const OUTPUT_UNKNOWN: u32 = 4_096;

/// Who answers questions. Dropping the stream closes the call.
pub trait Upstream: Send + Sync + 'static {
    /// Asks.
    fn call(self: Arc<Self>, ask: Ask) -> BoxStream<'static, Result<Chunk, CallError>>;
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
}

/// A provider and the models that it is asked for.
#[derive(Clone)]
pub struct Route {
    name: Arc<str>,
    models: Arc<[String]>,
    upstream: Arc<dyn Upstream>,
    breaker: Arc<Mutex<Breaker>>,
}

impl Route {
    /// `models`: the default first; at least one.
    #[must_use]
    pub fn new(name: &str, models: Vec<String>, upstream: Arc<dyn Upstream>) -> Self {
        let breaker = Arc::new(Mutex::new(Breaker::new(BreakerPolicy::default())));
        Route { name: name.into(), models: models.into(), upstream, breaker }
    }

    /// What the provider is called in receipts.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn models(&self) -> &[String] {
        &self.models
    }

    pub(crate) fn terms(&self, model: &str, catalogue: &Catalogue) -> ModelTerms {
        let known = catalogue.find(model);
        ModelTerms {
            model: model.to_owned(),
            context_tokens: known.map_or(CONTEXT_UNKNOWN, |known| known.context),
            output_tokens_max: known
                .map_or(OUTPUT_UNKNOWN, |known| u32::try_from(known.output_max).unwrap_or(u32::MAX)),
        }
    }

    pub(crate) fn admit(&self, now: Timestamp) -> Admission {
        lock(&self.breaker).admit(now)
    }

    pub(crate) fn record(&self, pass: Pass, outcome: Outcome, now: Timestamp) {
        lock(&self.breaker).record(pass, outcome, now);
    }

    pub(crate) fn call(&self, ask: Ask) -> BoxStream<'static, Result<Chunk, CallError>> {
        Arc::clone(&self.upstream).call(ask)
    }
}
