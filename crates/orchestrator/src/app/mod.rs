//! The application layer: what can be asked of the orchestrator, without HTTP.

mod caller;
mod criteria;
mod keys;
mod observe;
mod read;
mod ring;
mod sights;
mod steer;
mod submit;
mod usage;

pub use caller::Caller;
pub use keys::{CreatedKey, KeyError, NewKey};
pub use read::{ReadError, WholeResult};
pub(crate) use ring::NotOpened;
pub use ring::RingKeeper;
pub use steer::SteerError;
pub use submit::SubmitError;
pub(crate) use submit::only_looks;
pub(crate) use usage::DAYS_MAX;
pub use usage::{ParsePlaceError, UsageAsk, UsageError, UsagePlace};

pub use observe::NotReady;
pub(crate) use observe::{oldest_seconds, per_second};
pub(crate) use read::PAGE_MAX;

use crate::{hearing::Hearing, workers::Workers};
use octollm_access::RingKey;
use octollm_artefacts::Artefacts;
use octollm_contract::Millis;
use octollm_gateway::Gateway;
use octollm_plan::rules::Place;
use octollm_store::{Clock, Entropy, Store};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Whether what a person writes may hold it: lines and tabs, and nothing else that controls.
fn is_plain(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\t')
}

/// What the orchestrator stands on.
#[derive(Clone)]
pub struct Parts {
    /// Tasks, events and keys.
    pub store: Arc<dyn Store>,
    /// Artefacts.
    pub artefacts: Artefacts,
    /// Moments; the same that the store takes.
    pub clock: Arc<dyn Clock>,
    /// Entropy for ids and keys.
    pub entropy: Arc<dyn Entropy>,
}

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What `~` and relative paths in goals mean. The default refuses both.
    pub place: Place,
    /// How long a lease lasts without a heartbeat.
    pub lease_ttl: Millis,
    /// Accepts that may wait for the store at once; one more is refused as overload (P9).
    pub accepts_in_flight: usize,
    /// The way to models. Without one, goals that need thought are refused (P10).
    pub gateway: Option<Gateway>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            place: Place::default(),
            lease_ttl: Millis::from_secs(30),
            accepts_in_flight: 4096,
            gateway: None,
        }
    }
}

/// The application layer.
pub struct App {
    pub(crate) parts: Parts,
    pub(crate) settings: Settings,
    ring: ring::Ring,
    pub(crate) workers: Workers,
    /// Ended when the process is going away: whoever waits is answered at once.
    pub(crate) draining: CancellationToken,
    accepts: Semaphore,
    key_cache: keys::Cache,
    sights: sights::Sights,
    pub(crate) hearing: Hearing,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts, settings: Settings) -> Arc<Self> {
        let mut seed = [0; 32];
        parts.entropy.fill(&mut seed);
        let ring = ring::Ring::own(RingKey::new(seed, parts.clock.now()));
        let accepts = Semaphore::new(settings.accepts_in_flight);
        Arc::new(App {
            ring,
            workers: Workers::default(),
            draining: CancellationToken::new(),
            accepts,
            key_cache: keys::Cache::default(),
            sights: sights::Sights::new(parts.store.reached()),
            hearing: Hearing::new(parts.clock.now()),
            parts,
            settings,
        })
    }

    /// Answers whoever waits for a change or for work, now and from now on; leases that are held
    /// can still be reported on.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Waits for the model calls under way to end and to be settled, at most so long; none begins
    /// any more.
    pub async fn settle_calls(&self, within: std::time::Duration) {
        if let Some(gateway) = &self.settings.gateway {
            gateway.drain(within).await;
        }
    }

    /// Whether [`App::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    pub(crate) fn now(&self) -> octollm_contract::Timestamp {
        self.parts.clock.now()
    }
}
