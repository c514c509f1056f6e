//! The one source of chance: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).

/// A stream of numbers that follows from its seed.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of the `schedule`-th schedule under `seed`: independent of all others.
    #[must_use]
    pub fn of_schedule(seed: u64, schedule: u64) -> Self {
        let mut mixed = Rng(seed);
        let base = mixed.draw();
        let mut child = Rng(base ^ schedule.wrapping_mul(0xD134_2543_DE82_EF95));
        Rng(child.draw())
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly from `0..n`; `n` is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let drawn = (u128::from(self.draw()) * u128::from(n)) >> 64;
        u64::try_from(drawn).expect("the upper half of a 128-bit product fits")
    }

    /// Evenly from `low..=high`, in milliseconds mostly.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.below(high.abs_diff(low) + 1)).expect("the span is small")
    }

    /// An index into something of this length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("an index fits")
    }

    /// True in `percent` of a hundred draws.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes()[..chunk.len()]);
        }
    }
}
