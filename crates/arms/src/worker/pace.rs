//! How long to wait before asking again: exponential, with full jitter, so that many workers
//! that lost one orchestrator do not come back at once (Brooker 2015, "Exponential Backoff
//! and Jitter").

use octollm_contract::Millis;
use std::time::Duration;

/// The first wait is at most this long.
const FIRST: Duration = Duration::from_millis(100);
/// Later ones are at most this long.
const LONGEST: Duration = Duration::from_secs(5);
/// No wait is shorter, so that nothing spins whatever the dice say.
const SHORTEST: Duration = Duration::from_millis(10);

/// Waits in a row of failures. A success makes a new one.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    failures: u32,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Pace::default()
    }

    /// The wait after one more failure.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let most = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        SHORTEST + scaled(most, dice())
    }

    /// The wait when the other side named one: not less, and spread by a quarter above.
    pub(crate) fn at_least(&mut self, asked: Millis) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let asked = Duration::from_millis(asked.get().min(60_000));
        SHORTEST + asked + scaled(asked / 4, dice())
    }
}

/// `of` × `dice` / 2^16.
fn scaled(of: Duration, dice: u16) -> Duration {
    of * u32::from(dice) / (1 << 16)
}

fn dice() -> u16 {
    let mut bytes = [0; 2];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u16::from_le_bytes(bytes),
        // Without entropy the waits are still there, only not spread.
        Err(_) => u16::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_are_never_nothing() {
        let mut pace = Pace::new();
        for _ in 0..100 {
            let wait = pace.next_wait();
            assert!(wait >= SHORTEST && wait <= SHORTEST + LONGEST);
        }
        assert!(Pace::new().at_least(Millis::from_secs(3)) >= Duration::from_secs(3));
        assert!(Pace::new().at_least(Millis::new(u64::MAX)) <= Duration::from_secs(76));
    }
}
