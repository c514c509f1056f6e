//! How long to wait before a worker that died is replaced.

use octollm_contract::Millis;

/// The first wait.
const FIRST: Millis = Millis::new(50);
/// No wait is longer.
const LONGEST: Millis = Millis::from_secs(10);
/// A worker that lived this long was healthy: its death starts a new count.
const HEALTHY: Millis = Millis::from_secs(10);

/// Doubles the wait with every early death, and forgets them after a healthy life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    early_deaths: u32,
}

impl Backoff {
    /// The wait after a worker that lived so long.
    pub fn after(&mut self, lived: Millis) -> Millis {
        if lived >= HEALTHY {
            self.early_deaths = 0;
        }
        let wait = FIRST.times(1 << self.early_deaths.min(20)).min(LONGEST);
        self.early_deaths = self.early_deaths.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_deaths_double_the_wait_up_to_a_bound() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..10).map(|_| backoff.after(Millis::ZERO).get()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn a_healthy_life_is_replaced_at_once() {
        let mut backoff = Backoff::default();
        let _early = (0..5).map(|_| backoff.after(Millis::ZERO)).last();
        assert_eq!(backoff.after(HEALTHY), FIRST);
    }
}
