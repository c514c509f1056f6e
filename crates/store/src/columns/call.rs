//! What model calls may use and have used, as columns.

use super::{Unreadable, unreadable};
use octollm_contract::{Cost, MicroUsd};
use octollm_lifecycle::{Account, Amount, Ledger, Limit};

/// The columns of an account; `granted` is absent where there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountRow {
    pub(crate) granted: Option<i64>,
    pub(crate) spent: i64,
    pub(crate) held: i64,
}

/// The columns of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LedgerRow {
    pub(crate) money: AccountRow,
    pub(crate) tokens: AccountRow,
    pub(crate) unpriced: u32,
}

impl From<&Ledger> for LedgerRow {
    fn from(ledger: &Ledger) -> Self {
        LedgerRow {
            money: AccountRow::written(ledger.money(), |amount| amount.get().cast_signed()),
            tokens: AccountRow::written(ledger.tokens(), u64::cast_signed),
            unpriced: ledger.unpriced(),
        }
    }
}

impl AccountRow {
    fn written<A: Amount>(account: Account<A>, number: impl Fn(A) -> i64) -> Self {
        let granted = match account.granted() {
            Limit::Of(granted) => Some(number(granted)),
            Limit::Unlimited => None,
        };
        AccountRow { granted, spent: number(account.spent()), held: number(account.held()) }
    }

    fn read<A: Amount>(self, amount: impl Fn(u64) -> A) -> Result<Account<A>, Unreadable> {
        let amount = |number: i64| amount(number.cast_unsigned());
        let granted = self.granted.map_or(Limit::Unlimited, |granted| Limit::Of(amount(granted)));
        Account::restored(granted, amount(self.spent), amount(self.held))
            .ok_or_else(|| unreadable("ledger", "more spent and held than granted"))
    }
}

impl LedgerRow {
    pub(crate) fn read(self) -> Result<Ledger, Unreadable> {
        Ok(Ledger::restored(self.money.read(MicroUsd::new)?, self.tokens.read(|n| n)?, self.unpriced))
    }
}

/// A cost as it is kept; absent when it is unknown.
pub(crate) const fn cost_number(cost: Cost) -> Option<i64> {
    match cost {
        Cost::Known(cost) => Some(cost.get().cast_signed()),
        Cost::Unknown => None,
    }
}

/// The cost that is kept as `number`.
pub(crate) fn read_cost(number: Option<i64>) -> Cost {
    number.map(|cost| MicroUsd::new(cost.cast_unsigned())).into()
}
