//! Money of a task: granted = spent + held + free, always (P5).
//!
//! A call holds its worst case before it is made and settles what it really cost after.
//! The ledger knows no models and no prices; callers bring whole micro-dollars.

use octollm_contract::MicroUsd;

/// Granted, spent and held; free is what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    granted: MicroUsd,
    spent: MicroUsd,
    held: MicroUsd,
}

/// Why a ledger refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Less is free than is asked.
    #[error("{asked} is asked, {free} is free")]
    NotFree {
        /// What was to be held.
        asked: MicroUsd,
        /// What is free.
        free: MicroUsd,
    },
    /// More is settled than was held for it, or than is held at all.
    #[error("{spent} of a hold of {hold} is to be settled, {held} is held")]
    NotHeld {
        /// What was spent.
        spent: MicroUsd,
        /// The hold it was spent under.
        hold: MicroUsd,
        /// All that is held.
        held: MicroUsd,
    },
}

impl Ledger {
    /// A ledger with `granted` free.
    #[must_use]
    pub const fn granting(granted: MicroUsd) -> Self {
        Ledger { granted, spent: MicroUsd::ZERO, held: MicroUsd::ZERO }
    }

    /// Takes back what a store kept; refused when more is spent and held than granted.
    #[must_use]
    pub fn restored(granted: MicroUsd, spent: MicroUsd, held: MicroUsd) -> Option<Self> {
        let used = spent.checked_add(held)?;
        (used <= granted).then_some(Ledger { granted, spent, held })
    }

    /// All that was granted.
    #[must_use]
    pub const fn granted(&self) -> MicroUsd {
        self.granted
    }

    /// What calls have cost.
    #[must_use]
    pub const fn spent(&self) -> MicroUsd {
        self.spent
    }

    /// What calls under way may still cost.
    #[must_use]
    pub const fn held(&self) -> MicroUsd {
        self.held
    }

    /// What may still be held.
    #[must_use]
    pub fn free(&self) -> MicroUsd {
        let used = self.spent.checked_add(self.held);
        used.and_then(|used| self.granted.checked_sub(used)).expect("granted covers spent and held")
    }

    /// Holds `asked`.
    pub fn hold(self, asked: MicroUsd) -> Result<Self, LedgerError> {
        let refusal = LedgerError::NotFree { asked, free: self.free() };
        if asked > self.free() {
            return Err(refusal);
        }
        Ok(Ledger { held: self.held.checked_add(asked).ok_or(refusal)?, ..self })
    }

    /// Ends a hold: `spent` of it is spent, the rest is free again.
    pub fn settle(self, hold: MicroUsd, spent: MicroUsd) -> Result<Self, LedgerError> {
        let refusal = LedgerError::NotHeld { spent, hold, held: self.held };
        if spent > hold {
            return Err(refusal);
        }
        let held = self.held.checked_sub(hold).ok_or(refusal)?;
        Ok(Ledger { held, spent: self.spent.checked_add(spent).ok_or(refusal)?, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// P5: whatever is held and settled, granted = spent + held + free.
        #[test]
        fn no_money_is_made_or_lost(granted in 0u64..1000, acts in proptest::collection::vec((0u64..400, 0u64..400), 0..40)) {
            let mut ledger = Ledger::granting(MicroUsd::new(granted));
            let mut holds = Vec::new();
            for (hold, spent) in acts {
                if let Ok(next) = ledger.hold(MicroUsd::new(hold)) {
                    ledger = next;
                    holds.push(MicroUsd::new(hold));
                }
                if let Some(hold) = holds.pop()
                    && let Ok(next) = ledger.settle(hold, MicroUsd::new(spent)) {
                    ledger = next;
                }
                let sum = ledger.spent().get() + ledger.held().get() + ledger.free().get();
                prop_assert_eq!(sum, granted);
            }
        }
    }

    #[test]
    fn what_is_not_free_is_refused() {
        let ledger = Ledger::granting(MicroUsd::new(10)).hold(MicroUsd::new(7)).unwrap();
        assert!(matches!(ledger.hold(MicroUsd::new(4)), Err(LedgerError::NotFree { .. })));
        assert!(matches!(
            ledger.settle(MicroUsd::new(7), MicroUsd::new(8)),
            Err(LedgerError::NotHeld { .. })
        ));
    }
}
