//! What the model calls of a task may use: two accounts, money and tokens, of one law:
//! granted = spent + held + free, always (P5).
//!
//! A call holds its worst case before it is made and settles what it really used after. An
//! account without a limit counts as well, but has no "free" that could be taken for 0. The
//! ledger knows no models and no prices; callers bring whole micro-dollars.

use octollm_contract::{Cost, MicroUsd};
use std::fmt::Debug;

/// How much an account is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit<A> {
    /// At most so much.
    Of(A),
    /// As much as is asked.
    Unlimited,
}

/// What a task is granted at its accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Money for its model calls.
    pub money: Limit<MicroUsd>,
    /// Tokens of its model calls.
    pub tokens: Limit<u64>,
}

impl Budget {
    /// No limits: calls are counted, none is refused for what it uses.
    pub const UNLIMITED: Budget = Budget { money: Limit::Unlimited, tokens: Limit::Unlimited };
}

/// What an account counts: it adds and subtracts checked.
pub trait Amount: Copy + Ord + Debug {
    /// Nothing.
    const ZERO: Self;
    /// The greatest amount that can be counted.
    const MAX: Self;
    /// The sum, unless it does not fit.
    fn plus(self, more: Self) -> Option<Self>;
    /// The difference, unless it would be negative.
    fn minus(self, less: Self) -> Option<Self>;
}

impl Amount for MicroUsd {
    const ZERO: Self = MicroUsd::ZERO;
    const MAX: Self = MicroUsd::new(u64::MAX);

    fn plus(self, more: Self) -> Option<Self> {
        self.checked_add(more)
    }

    fn minus(self, less: Self) -> Option<Self> {
        self.checked_sub(less)
    }
}

impl Amount for u64 {
    const ZERO: Self = 0;
    const MAX: Self = u64::MAX;

    fn plus(self, more: Self) -> Option<Self> {
        self.checked_add(more)
    }

    fn minus(self, less: Self) -> Option<Self> {
        self.checked_sub(less)
    }
}

/// One account: granted, spent and held; free is what is left. Spent and held together are
/// never more than granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<A> {
    granted: Limit<A>,
    spent: A,
    held: A,
}

/// Less is free than is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{asked:?} is asked, {free:?} is free")]
pub struct NotFree<A: Debug> {
    /// What was to be held.
    pub asked: A,
    /// What may be held at most; without a limit, what can still be counted.
    pub free: A,
}

/// More is settled than was held for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more is settled than is held for it")]
pub struct NotHeld;

impl<A: Amount> Account<A> {
    /// An account of which nothing is used.
    #[must_use]
    pub const fn granting(granted: Limit<A>) -> Self {
        Account { granted, spent: A::ZERO, held: A::ZERO }
    }

    /// Takes back what a store kept; refused when more is spent and held than granted.
    #[must_use]
    pub fn restored(granted: Limit<A>, spent: A, held: A) -> Option<Self> {
        let account = Account { granted, spent, held };
        account.room().map(|_| account)
    }

    /// All that was granted.
    #[must_use]
    pub const fn granted(&self) -> Limit<A> {
        self.granted
    }

    /// What calls have used.
    #[must_use]
    pub const fn spent(&self) -> A {
        self.spent
    }

    /// What calls under way may still use.
    #[must_use]
    pub const fn held(&self) -> A {
        self.held
    }

    /// What may still be held.
    #[must_use]
    pub fn free(&self) -> Limit<A> {
        match self.granted {
            Limit::Of(_) => Limit::Of(self.room().expect("granted covers spent and held")),
            Limit::Unlimited => Limit::Unlimited,
        }
    }

    /// How much would have to be granted for `asked` to be held as well; `None` when that cannot be counted.
    #[must_use]
    pub fn least_to_hold(&self, asked: A) -> Option<A> {
        self.spent.plus(self.held)?.plus(asked)
    }

    /// What may still be held, as an amount; `None` when the law does not hold.
    fn room(&self) -> Option<A> {
        let most = match self.granted {
            Limit::Of(granted) => granted,
            Limit::Unlimited => A::MAX,
        };
        self.spent.plus(self.held).and_then(|used| most.minus(used))
    }

    /// Holds `asked`.
    pub fn hold(self, asked: A) -> Result<Self, NotFree<A>> {
        let free = self.room().expect("granted covers spent and held");
        if asked > free {
            return Err(NotFree { asked, free });
        }
        let held = self.held.plus(asked).expect("what is free can be counted");
        Ok(Account { held, ..self })
    }

    /// Ends a hold: `spent` of it is spent, the rest is free again.
    pub fn settle(self, hold: A, spent: A) -> Result<Self, NotHeld> {
        if spent > hold {
            return Err(NotHeld);
        }
        let held = self.held.minus(hold).ok_or(NotHeld)?;
        let spent = self.spent.plus(spent).expect("what was held can be counted");
        Ok(Account { held, spent, ..self })
    }
}

/// The accounts of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    money: Account<MicroUsd>,
    tokens: Account<u64>,
    unpriced: u32,
}

/// What a call used, or may use at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Money.
    pub cost: Cost,
    /// Tokens, of prompt and answer together.
    pub tokens: u64,
}

/// Why nothing is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// Ask for less, or give up.
    #[error(transparent)]
    OverBudget(OverBudget),
    /// Money is limited and the call has no price: call a model that has one.
    #[error("money is limited, and the call has no known price")]
    Unpriced,
}

/// The account that has less free than is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverBudget {
    /// Money, in US dollars.
    #[error("the call may cost {} US dollars, {} are free", .0.asked, .0.free)]
    Money(NotFree<MicroUsd>),
    /// Tokens.
    #[error("the call may take {} tokens, {} are free", .0.asked, .0.free)]
    Tokens(NotFree<u64>),
}

impl Ledger {
    /// A ledger of which nothing is used.
    #[must_use]
    pub const fn granting(budget: Budget) -> Self {
        Ledger {
            money: Account::granting(budget.money),
            tokens: Account::granting(budget.tokens),
            unpriced: 0,
        }
    }

    /// Takes back what a store kept.
    #[must_use]
    pub const fn restored(money: Account<MicroUsd>, tokens: Account<u64>, unpriced: u32) -> Self {
        Ledger { money, tokens, unpriced }
    }

    /// Money.
    #[must_use]
    pub const fn money(&self) -> Account<MicroUsd> {
        self.money
    }

    /// Tokens.
    #[must_use]
    pub const fn tokens(&self) -> Account<u64> {
        self.tokens
    }

    /// How many calls were settled whose cost nobody knows: it is not in the money spent.
    #[must_use]
    pub const fn unpriced(&self) -> u32 {
        self.unpriced
    }

    /// What the calls have cost: unknown as soon as one of them is.
    #[must_use]
    pub const fn cost(&self) -> Cost {
        if self.unpriced == 0 { Cost::Known(self.money.spent) } else { Cost::Unknown }
    }

    /// Holds a call's worst case in both accounts, or in none.
    pub fn hold(self, worst: Spent) -> Result<Self, HoldError> {
        let money = match (worst.cost, self.money.granted) {
            (Cost::Known(cost), _) => {
                self.money.hold(cost).map_err(|short| HoldError::OverBudget(OverBudget::Money(short)))?
            }
            (Cost::Unknown, Limit::Unlimited) => self.money,
            (Cost::Unknown, Limit::Of(_)) => return Err(HoldError::Unpriced),
        };
        let tokens = self
            .tokens
            .hold(worst.tokens)
            .map_err(|short| HoldError::OverBudget(OverBudget::Tokens(short)))?;
        Ok(Ledger { money, tokens, ..self })
    }

    /// Ends the hold of a call: `spent` is spent, the rest is free again.
    ///
    /// Who held a price settles a price. A call without one may settle that it was never made,
    /// at no cost; any other amount was not held.
    pub fn settle(self, hold: Spent, spent: Spent) -> Result<Self, NotHeld> {
        let tokens = self.tokens.settle(hold.tokens, spent.tokens)?;
        let (money, unpriced) = match (hold.cost, spent.cost) {
            (Cost::Known(held), Cost::Known(cost)) => (self.money.settle(held, cost)?, self.unpriced),
            (Cost::Known(_), Cost::Unknown) => return Err(NotHeld),
            (Cost::Unknown, Cost::Known(cost)) => (self.money.settle(MicroUsd::ZERO, cost)?, self.unpriced),
            (Cost::Unknown, Cost::Unknown) => (self.money, self.unpriced.saturating_add(1)),
        };
        Ok(Ledger { money, tokens, unpriced })
    }
}

#[cfg(test)]
mod tests;
