//! The keys of step tokens, shared with the other orchestrators of the store.
//!
//! Promises: a step leased by one orchestrator is reported on at any other; a rotation fails no
//! step. A key that is not known here is looked for in the store before its token is refused, and
//! the store is asked at most once a second for that, whatever is presented.

use super::App;
use octollm_access::{InvalidToken, KeyRing, RingKey, StepClaims, StepToken};
use octollm_store::StoreError;
use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// The ring is read so often; `access::KNOWN_BEFORE` is longer.
const RENEW_EVERY: Duration = Duration::from_secs(600);
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);
/// Tokens of unknown keys make the store be asked so often at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The keys at hand. It always has one.
pub(super) struct Ring {
    keys: RwLock<Arc<KeyRing>>,
    looked: Mutex<Option<Instant>>,
}

impl Ring {
    /// A ring of one key that nobody else has.
    pub(super) fn own(key: RingKey) -> Self {
        Ring { keys: RwLock::new(Arc::new(KeyRing::of(vec![key]))), looked: Mutex::default() }
    }

    fn keys(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn may_look(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let may = looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if may {
            *looked = Some(Instant::now());
        }
        may
    }
}

impl App {
    /// Takes the ring from the store, with a new key in it when one is missing. Until it was called
    /// step tokens are signed with a key of this process alone.
    pub async fn share_ring(&self) -> Result<(), StoreError> {
        let (store, now) = (&self.parts.store, self.now());
        let mut keys = store.ring().await?;
        if let Some(from) = KeyRing::of(keys.clone()).missing(now) {
            let mut seed = [0; 32];
            self.parts.entropy.fill(&mut seed);
            store.add_to_ring(RingKey::new(seed, from), now).await?;
            keys = store.ring().await?;
        }
        *self.ring.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(KeyRing::of(keys));
        Ok(())
    }

    pub(crate) fn sign(&self, claims: &StepClaims) -> StepToken {
        self.ring.keys().sign(claims, self.now()).expect("the ring has a key")
    }

    /// Opens a token with the keys at hand.
    pub(crate) fn open(&self, token: &StepToken) -> Result<StepClaims, InvalidToken> {
        self.ring.keys().open(token, self.now())
    }

    /// Opens a token, with a key that another orchestrator has just made, too.
    pub(crate) async fn open_any(&self, token: &StepToken) -> Result<StepClaims, InvalidToken> {
        match self.open(token) {
            Err(InvalidToken::UnknownKey) if self.ring.may_look() => {
                if let Err(error) = self.share_ring().await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the keys of step tokens cannot be read"
                    );
                }
                self.open(token)
            }
            opened => opened,
        }
    }
}

/// Keeps the ring of an [`App`] up to date.
pub struct RingKeeper {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RingKeeper {
    /// Begins with what [`App::share_ring`] has read.
    #[must_use]
    pub fn start(app: Arc<App>) -> Self {
        let stop = CancellationToken::new();
        let until = stop.clone();
        let task = tokio::spawn(async move {
            let mut wait = RENEW_EVERY;
            loop {
                tokio::select! {
                    () = sleep(wait) => {}
                    () = until.cancelled() => return,
                }
                wait = match app.share_ring().await {
                    Ok(()) => RENEW_EVERY,
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the keys of step tokens cannot be renewed"
                        );
                        AFTER_A_FAILURE
                    }
                };
            }
        });
        RingKeeper { stop, task }
    }

    /// Ends.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the keeper of step keys had failed");
        }
    }
}
