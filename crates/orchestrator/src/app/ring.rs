//! The keys of step tokens, shared with the other orchestrators of the store.
//!
//! Promises: a step leased by one orchestrator is reported on at any other; a rotation fails no
//! step. A key that is not known here is looked for in the store before its token is refused: by one
//! caller at a time, whose look answers for all who wait, and at most once a second, whatever is
//! presented. What could not be looked for is not refused, but answered later.

use super::App;
use octollm_access::{InvalidToken, KeyRing, RingKey, StepClaims, StepToken};
use octollm_contract::Timestamp;
use octollm_store::StoreError;
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    sync::Mutex as AsyncMutex,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// The ring is read so often; a key is there an hour before it signs.
const RENEW_EVERY: Duration = Duration::from_secs(600);
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);
/// Tokens of unknown keys make the store be asked so often at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// No key has a longer id.
const ID_BYTES_MAX: usize = 32;
/// Of so many keys it is remembered that the store has none.
const ABSENT_MAX: usize = 256;

/// So many opened tokens are remembered.
const OPENED_MAX: usize = 16_384;

/// The keys at hand. It always has one.
pub(super) struct Ring {
    keys: RwLock<Arc<AtHand>>,
    /// Ids that were presented before a look that did not bring them. A key is in the store before it
    /// signs, so that no token of theirs was ever good, or none is any more.
    absent: Mutex<VecDeque<String>>,
    /// Held by who reads the store, so that no older reading replaces a newer one; when it was last
    /// read for an unknown key.
    looked: AsyncMutex<Option<Instant>>,
}

/// Keys, and tokens that they have opened. A signature takes as long to check as the rest of a small
/// request takes, and a step presents the same token with all that it says.
struct AtHand {
    ring: KeyRing,
    opened: Mutex<HashMap<StepToken, StepClaims>>,
}

impl AtHand {
    fn of(keys: Vec<RingKey>) -> Arc<Self> {
        Arc::new(AtHand { ring: KeyRing::of(keys), opened: Mutex::default() })
    }

    fn open(&self, token: &StepToken, now: Timestamp) -> Result<StepClaims, InvalidToken> {
        let opened = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = opened().get(token).cloned() {
            return if now < claims.expires { Ok(claims) } else { Err(InvalidToken::Expired) };
        }
        let claims = self.ring.open(token, now)?;
        let mut opened = opened();
        if opened.len() == OPENED_MAX {
            opened.retain(|_, claims| now < claims.expires);
        }
        if opened.len() == OPENED_MAX {
            // Mostly of steps that are over; the others are checked once more.
            opened.clear();
        }
        opened.insert(token.clone(), claims.clone());
        Ok(claims)
    }
}

/// Why a token opens nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// It is no good.
    Invalid(InvalidToken),
    /// Whether its key exists cannot be looked up now.
    Unknown,
}

impl Ring {
    /// A ring of one key that nobody else has.
    pub(super) fn own(key: RingKey) -> Self {
        let keys = RwLock::new(AtHand::of(vec![key]));
        Ring { keys, absent: Mutex::default(), looked: AsyncMutex::default() }
    }

    fn keys(&self) -> Arc<AtHand> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the keys; `false` when there are none, and those at hand stay.
    fn take(&self, keys: Vec<RingKey>) -> bool {
        let some = !keys.is_empty();
        if some {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = AtHand::of(keys);
        }
        some
    }

    fn is_absent(&self, id: &str) -> bool {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|absent| absent == id)
    }

    fn note_absent(&self, id: String) {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        if absent.len() == ABSENT_MAX {
            absent.pop_front();
        }
        absent.push_back(id);
    }
}

impl App {
    /// Takes the ring from the store, with a new key in it when one is missing. Until it was called
    /// step tokens are signed with a key of this process alone.
    pub async fn share_ring(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.ring.looked.lock().await;
        self.read_ring().await.map(|_| ())
    }

    /// Whether the store had keys. Its caller holds the lock.
    async fn read_ring(&self) -> Result<bool, StoreError> {
        let (store, now) = (&self.parts.store, self.now());
        let mut keys = store.ring().await?;
        if let Some(from) = KeyRing::of(keys.clone()).missing(now) {
            let mut seed = [0; 32];
            self.parts.entropy.fill(&mut seed);
            store.add_to_ring(RingKey::new(seed, from), now).await?;
            keys = store.ring().await?;
        }
        Ok(self.ring.take(keys))
    }

    pub(crate) fn sign(&self, claims: &StepClaims) -> StepToken {
        self.ring.keys().ring.sign(claims, self.now()).expect("the ring has a key")
    }

    /// The public keys of `token` and of those that are signed next, as texts.
    pub(crate) fn token_keys(&self, token: &StepToken) -> Vec<String> {
        self.ring.keys().ring.from_signer_on(token).into_iter().map(String::from).collect()
    }

    /// Opens a token with the keys at hand.
    pub(crate) fn open(&self, token: &StepToken) -> Result<StepClaims, InvalidToken> {
        self.ring.keys().open(token, self.now())
    }

    /// Opens a token, with a key that another orchestrator has just made, too.
    pub(crate) async fn open_any(&self, token: &StepToken) -> Result<StepClaims, NotOpened> {
        self.look_for(std::slice::from_ref(token)).await;
        self.opened(token)
    }

    /// The same for many, for which the store is asked once.
    pub(crate) async fn open_all(&self, tokens: &[StepToken]) -> Vec<Result<StepClaims, NotOpened>> {
        self.look_for(tokens).await;
        tokens.iter().map(|token| self.opened(token)).collect()
    }

    fn opened(&self, token: &StepToken) -> Result<StepClaims, NotOpened> {
        self.open(token).map_err(|error| match error {
            InvalidToken::UnknownKey
                if token.key_id().is_some_and(|id| id.len() <= ID_BYTES_MAX && !self.ring.is_absent(id)) =>
            {
                NotOpened::Unknown
            }
            InvalidToken::UnknownKey
            | InvalidToken::Malformed
            | InvalidToken::Forged
            | InvalidToken::Expired => NotOpened::Invalid(error),
        })
    }

    /// The ids of keys that nobody has looked for.
    fn unknown(&self, tokens: &[StepToken]) -> BTreeSet<String> {
        let unknown = tokens.iter().filter(|token| matches!(self.opened(token), Err(NotOpened::Unknown)));
        unknown.filter_map(|token| token.key_id().map(str::to_owned)).collect()
    }

    /// Reads the ring if keys of `tokens` are unknown, once whoever reads it already is done.
    async fn look_for(&self, tokens: &[StepToken]) {
        if self.unknown(tokens).is_empty() {
            return;
        }
        let mut looked = self.ring.looked.lock().await;
        let sought = self.unknown(tokens);
        if sought.is_empty() || looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        *looked = Some(Instant::now());
        match self.read_ring().await {
            Ok(true) => {
                let still = self.unknown(tokens);
                sought.intersection(&still).for_each(|id| self.ring.note_absent(id.clone()));
            }
            Ok(false) => tracing::warn!("the store has no keys of step tokens"),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the keys of step tokens cannot be read"
                );
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LocalLeases, Parts, Settings};
    use futures_util::future::join_all;
    use octollm_access::SigningKey;
    use octollm_artefacts::Artefacts;
    use octollm_client::{Beat, Leases as _};
    use octollm_contract::{LeaseToken, Millis, TaskId};
    use octollm_store::{
        OsEntropy, SystemClock,
        sqlite::{Options, SqliteStore},
    };

    fn app(folder: &std::path::Path) -> Arc<App> {
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let store = SqliteStore::open(&folder.join("db"), clock.clone(), entropy.clone(), Options::default())
            .unwrap();
        let artefacts = Artefacts::in_folder(&folder.join("artefacts"), 1 << 20).unwrap();
        App::new(Parts { store: Arc::new(store), artefacts, clock, entropy }, Settings::default())
    }

    fn token(app: &App, seed: u8) -> StepToken {
        let step = TaskId::from_bytes([7; 16]).step(0);
        let expires = app.now() + Millis::from_secs(600);
        let claims = StepClaims { step, lease: LeaseToken::from_bytes([1; 16]), expires };
        SigningKey::from_seed([seed; 32]).sign(&claims)
    }

    async fn made_elsewhere(app: &App, seed: u8) {
        let now = app.now();
        app.parts.store.add_to_ring(RingKey::new([seed; 32], now), now).await.unwrap();
    }

    /// P2: what was opened before is held to its time and to its signature all the same.
    #[test]
    fn a_remembered_token_expires_and_its_forgery_opens_nothing() {
        let at = Timestamp::from_millis;
        let keys = AtHand::of(vec![RingKey::new([1; 32], at(0))]);
        let step = TaskId::from_bytes([7; 16]).step(0);
        let claims = StepClaims { step, lease: LeaseToken::from_bytes([1; 16]), expires: at(1000) };
        let token = keys.ring.sign(&claims, at(0)).unwrap();
        for _ in 0..2 {
            assert_eq!(keys.open(&token, at(999)), Ok(claims.clone()));
        }
        assert_eq!(keys.open(&token, at(1000)), Err(InvalidToken::Expired));
        let altered = format!("{}A", token.reveal());
        assert!(keys.open(&StepToken::from_presented(&altered), at(999)).is_err());
    }

    /// P2: whoever waits for the look of another has its answer, and nobody is refused meanwhile.
    #[tokio::test]
    async fn all_who_present_a_new_key_at_once_are_served_by_one_look() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path());
        app.share_ring().await.unwrap();
        made_elsewhere(&app, 3).await;
        let token = token(&app, 3);
        assert_eq!(app.open(&token), Err(InvalidToken::UnknownKey));
        let opened = join_all((0..8).map(|_| app.open_any(&token))).await;
        assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    }

    /// P1: a step whose key cannot be looked for now is neither lost nor refused.
    #[tokio::test]
    async fn a_key_that_cannot_be_looked_for_leaves_its_step_unanswered() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path());
        app.share_ring().await.unwrap();
        made_elsewhere(&app, 3).await;
        // It was looked for another key a moment ago.
        *app.ring.looked.lock().await = Some(Instant::now() + Duration::from_secs(60));
        let (token, forged) = (token(&app, 3), token(&app, 4));
        assert_eq!(app.open_any(&token).await, Err(NotOpened::Unknown));
        let (leases, worker) = (LocalLeases::new(Arc::clone(&app)), "w1".parse().unwrap());
        let tokens = [token, forged];
        assert_eq!(leases.heartbeat(&worker, &tokens).await.unwrap(), [None, None]);
        // Once it may be looked for, what is there opens, and what is not is refused from then on.
        *app.ring.looked.lock().await = None;
        assert_eq!(leases.heartbeat(&worker, &tokens).await.unwrap(), [Some(Beat::Lost); 2]);
        assert!(app.open(&tokens[0]).is_ok());
        assert_eq!(app.open_any(&tokens[1]).await, Err(NotOpened::Invalid(InvalidToken::UnknownKey)));
    }

    #[test]
    fn a_reading_without_keys_leaves_those_at_hand() {
        let now = octollm_contract::Timestamp::from_millis(1_000);
        let ring = Ring::own(RingKey::new([1; 32], now));
        assert!(!ring.take(Vec::new()));
        assert_eq!(ring.keys().ring.missing(now), None);
    }
}
