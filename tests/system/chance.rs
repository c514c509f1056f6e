//! Chance from a seed that is printed, so that a run can be repeated.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator (splitmix64, Steele et al. 2014): enough to choose moments and victims.
pub(crate) struct Chance(u64);

impl Chance {
    /// From `OCTOLLM_TEST_SEED`, else from the clock; prints how to repeat the run.
    pub(crate) fn for_test(test: &str) -> Self {
        let seed = match std::env::var("OCTOLLM_TEST_SEED") {
            Ok(text) => text.parse().expect("OCTOLLM_TEST_SEED is a number"),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64),
        };
        println!("repeat: OCTOLLM_TEST_SEED={seed} cargo test -p octollm-tests -- {test} --nocapture");
        Chance(seed)
    }

    /// Another generator that does not share this one's future.
    pub(crate) fn child(&mut self) -> Self {
        Chance(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
