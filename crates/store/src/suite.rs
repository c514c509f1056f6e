//! The model-based suite: drives any store and the memory model with the same random commands
//! and compares every view after every command.
//!
//! A store is plugged in by one call:
//!
//! ```text
//! let hands = Arc::new(suite::Hands::default());
//! let store = SqliteStore::open(folder, hands.clone(), Arc::new(suite::Pips::default()), options)?;
//! suite::compare(&store, &hands, suite::seed(), suite::length()).await?;
//! ```
//!
//! Tokens are drawn by the store and handed to the model, in the order of the grants. Waits
//! are the same because the high half of every eight bytes of [`Pips`] is constant, and the low
//! half moves no wait by a millisecond. Not compared, because stores may know a bound only:
//! `next` and `notes` of a sweep.
//!
//! Must not know: any store but the model.

mod calls;
mod commands;
mod views;

use crate::{Clock, Entropy, Store, memory::Memory};
use octollm_contract::{CallId, StepId, TaskId, Timestamp};
use octollm_lifecycle::Dice;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

/// A clock that the suite moves.
#[derive(Debug)]
pub struct Hands(AtomicI64);

impl Default for Hands {
    fn default() -> Self {
        Hands(AtomicI64::new(1_700_000_000_000))
    }
}

impl Hands {
    /// Lets time pass.
    pub(crate) fn step(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// What the high half of every eight bytes is. Times any ceiling of a wait it lies far enough
/// from a whole millisecond that the low half cannot matter.
const HIGH: u32 = 0x8000_0001;

/// Entropy whose tokens are all different and whose dice all fall the same.
#[derive(Debug, Default)]
pub struct Pips(AtomicU32);

impl Entropy for Pips {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let low = self.0.fetch_add(1, Ordering::Relaxed);
            let pips = (u64::from(HIGH) << 32 | u64::from(low)).to_le_bytes();
            chunk.copy_from_slice(&pips[..chunk.len()]);
        }
    }
}

/// The dice of the model.
const DICE: Dice = Dice((HIGH as u64) << 32);

/// The seed of `OCTOLLM_SUITE_SEED`, or one.
#[must_use]
pub fn seed() -> u64 {
    number("OCTOLLM_SUITE_SEED").unwrap_or(1)
}

/// The number of commands of `OCTOLLM_SUITE_LENGTH`, or a few hundred.
#[must_use]
pub fn length() -> usize {
    number("OCTOLLM_SUITE_LENGTH").and_then(|length| usize::try_from(length).ok()).unwrap_or(250)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A view or an answer in which a store and the model differ.
#[derive(Debug, thiserror::Error)]
#[error(
    "{what} differs after command {command} ({last})\n  model: {model}\n  store: {store}\n\
     repeat: OCTOLLM_SUITE_SEED={seed} OCTOLLM_SUITE_LENGTH={length}"
)]
pub struct Divergence {
    what: String,
    command: usize,
    last: String,
    model: String,
    store: String,
    seed: u64,
    length: usize,
}

/// Drives `store` and a new model with `length` commands that follow from `seed`.
///
/// The store must be empty, take its moments from `hands` and its entropy from a [`Pips`].
pub async fn compare<S: Store>(store: &S, hands: &Hands, seed: u64, length: usize) -> Result<(), Divergence> {
    let mut pair = Pair {
        store,
        hands,
        model: Memory::default(),
        chance: Chance(seed),
        tasks: Vec::new(),
        grants: Vec::new(),
        calls: Vec::new(),
        last: String::new(),
        seed,
        length,
        command: 0,
    };
    for command in 0..length {
        pair.command = command;
        pair.one_command().await?;
        pair.compare_views().await?;
    }
    Ok(())
}

/// A store and its model.
struct Pair<'a, S> {
    store: &'a S,
    hands: &'a Hands,
    model: Memory,
    chance: Chance,
    tasks: Vec<TaskId>,
    /// Every lease that was ever granted.
    grants: Vec<(StepId, octollm_contract::LeaseToken)>,
    /// Every call that was ever held.
    calls: Vec<(StepId, CallId)>,
    last: String,
    seed: u64,
    length: usize,
    command: usize,
}

impl<S> Pair<'_, S> {
    fn now(&self) -> Timestamp {
        self.hands.now()
    }

    fn same<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        model: &T,
        store: &T,
    ) -> Result<(), Divergence> {
        if model == store {
            return Ok(());
        }
        Err(Divergence {
            what: what.to_owned(),
            command: self.command,
            last: self.last.clone(),
            model: format!("{model:?}"),
            store: format!("{store:?}"),
            seed: self.seed,
            length: self.length,
        })
    }
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let drawn = (u128::from(z ^ (z >> 31)) * n as u128) >> 64;
        usize::try_from(drawn).expect("it is below n")
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())].clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryStore, sqlite::SqliteStore};
    use std::sync::Arc;

    #[tokio::test]
    async fn the_memory_store_is_the_model() {
        let hands = Arc::new(Hands::default());
        let store = MemoryStore::new(hands.clone(), Arc::new(Pips::default()));
        compare(&store, &hands, seed(), length()).await.unwrap_or_else(|divergence| panic!("{divergence}"));
    }

    /// P1–P4, P7: the store in a data folder does what the model does.
    #[tokio::test]
    async fn sqlite_does_what_the_model_does() {
        for seed in seed()..seed() + 3 {
            let folder = tempfile::tempdir().unwrap();
            let hands = Arc::new(Hands::default());
            let pips = Arc::new(Pips::default());
            let store =
                SqliteStore::open(folder.path(), hands.clone(), pips, crate::sqlite::Options::default());
            let compared = compare(&store.unwrap(), &hands, seed, length()).await;
            compared.unwrap_or_else(|divergence| panic!("{divergence}"));
        }
    }

    /// The suite must be able to fail: a store that forgets a command is found.
    #[tokio::test]
    async fn a_store_whose_clock_runs_apart_is_found() {
        let (hands, other) = (Arc::new(Hands::default()), Arc::new(Hands::default()));
        other.step(-60_000);
        let store = MemoryStore::new(other, Arc::new(Pips::default()));
        assert!(compare(&store, &hands, seed(), length()).await.is_err());
    }
}
