//! Chance that depends on the seed and the request alone, not on time or order.

use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Requests whose repetitions are counted; beyond, each counts as the first.
const REQUESTS_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Dice {
    seed: u64,
    /// How often each request was seen, by the beginning of its hash.
    seen: Mutex<HashMap<u64, u64>>,
}

/// The chance of one request.
pub(super) struct Roll {
    state: [u8; 32],
    drawn: u64,
    seen_before: u64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Dice { seed, seen: Mutex::default() }
    }

    /// The chance of this request: repeated, it is another.
    pub(super) fn roll(&self, request: &[u8]) -> Roll {
        let hash: [u8; 32] = Sha256::digest(request).into();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let room = seen.len() < REQUESTS_MAX;
        let seen_before = match seen.get_mut(&first(hash)) {
            Some(times) => {
                *times += 1;
                *times
            }
            None => {
                if room {
                    seen.insert(first(hash), 0);
                }
                0
            }
        };
        drop(seen);
        let state = Sha256::new()
            .chain_update(self.seed.to_le_bytes())
            .chain_update(seen_before.to_le_bytes())
            .chain_update(hash)
            .finalize()
            .into();
        Roll { state, drawn: 0, seen_before }
    }
}

fn first(hash: [u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl Roll {
    /// How often the same request came before.
    pub(super) const fn seen_before(&self) -> u64 {
        self.seen_before
    }

    /// What the call is called; the same for the same request and seed.
    pub(super) fn id(&self) -> String {
        format!("{:016x}", first(self.state))
    }

    /// Evenly from 0 up to, not including, 1.
    pub(super) fn share(&mut self) -> f64 {
        self.drawn += 1;
        let hash = Sha256::new().chain_update(self.state).chain_update(self.drawn.to_le_bytes()).finalize();
        // 53 bits fill a float exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit in a float")]
        let share = (first(hash.into()) >> 11) as f64 / (1u64 << 53) as f64;
        share
    }

    /// From the standard normal distribution (Box and Muller).
    pub(super) fn normal(&mut self) -> f64 {
        let (radius, turn) = (1.0 - self.share(), self.share());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_depends_on_seed_request_and_repetition_alone() {
        let draw = |dice: &Dice, request: &[u8]| {
            let mut roll = dice.roll(request);
            (roll.id(), roll.share().to_bits(), roll.normal().to_bits())
        };
        let (one, two, other) = (Dice::new(1), Dice::new(1), Dice::new(2));
        let (a, b) = (draw(&one, b"a"), draw(&one, b"b"));
        assert_eq!((draw(&two, b"b"), draw(&two, b"a")), (b, a.clone()));
        assert_ne!(draw(&one, b"a"), a);
        assert_ne!(draw(&other, b"a"), a);
    }

    #[test]
    fn shares_are_even() {
        let mut roll = Dice::new(0).roll(b"");
        let low = (0..10_000).filter(|_| roll.share() < 0.25).count();
        assert!((2_300..2_700).contains(&low), "{low}");
    }
}
