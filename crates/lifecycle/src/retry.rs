//! How long a step waits before it is tried again: exponential backoff with full jitter
//! (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

use octollm_contract::Millis;

/// Entropy for one decision, drawn by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dice(pub u64);

/// The wait before the second attempt is drawn from zero to this.
const BASE: Millis = Millis::new(500);
/// No wait is longer.
const CAP: Millis = Millis::from_secs(60);

/// The wait after the `bad`-th bad end (from 1): uniform in `0..=min(CAP, BASE × 2^(bad-1))`.
#[must_use]
pub fn wait_after(bad: u32, dice: Dice) -> Millis {
    let doublings = bad.saturating_sub(1).min(20);
    let ceiling = BASE.times(1 << doublings).min(CAP).get();
    // Multiply-shift maps the dice evenly without a modulo's bias (Lemire 2019).
    let drawn = (u128::from(dice.0) * u128::from(ceiling + 1)) >> 64;
    Millis::new(u64::try_from(drawn).unwrap_or(ceiling))
}

/// A step that waits for what no worker can bring about is not tried more often than this.
const WAIT_LEAST: Millis = Millis::new(500);
/// Nor does it wait longer without being tried, whatever was asked for, but for up to a quarter more. The one
/// bound of such waits: who hands a step back counts by it, too.
pub const WAIT_MOST: Millis = Millis::from_secs(120);

/// How long a step waits that was handed back for at least `asked`: not less within the bounds,
/// and up to a quarter more, so that those who were told the same moment do not all come back then.
#[must_use]
pub fn wait_for(asked: Millis, dice: Dice) -> Millis {
    let asked = asked.clamp(WAIT_LEAST, WAIT_MOST).get();
    let more = (u128::from(dice.0) * u128::from(asked / 4 + 1)) >> 64;
    Millis::new(asked + u64::try_from(more).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_stays_under_its_doubling_ceiling(bad in 1u32..100, dice: u64) {
            let wait = wait_after(bad, Dice(dice));
            prop_assert!(wait <= CAP);
            prop_assert!(wait.get() <= 500 << (bad - 1).min(20));
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_never_shorter_than_asked_and_bounded(asked: u64, dice: u64) {
            let wait = wait_for(Millis::new(asked), Dice(dice));
            prop_assert!(wait >= Millis::new(asked).min(WAIT_MOST) && wait >= WAIT_LEAST);
            prop_assert!(wait.get() <= WAIT_MOST.get() * 5 / 4);
        }
    }

    #[test]
    fn the_jitter_reaches_both_ends() {
        assert_eq!(wait_after(3, Dice(0)), Millis::ZERO);
        assert_eq!(wait_after(3, Dice(u64::MAX)), Millis::new(2000));
        assert_eq!(wait_after(40, Dice(u64::MAX)), CAP);
    }
}
