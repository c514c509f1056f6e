//! Model calls and their rows in `ledger`, `hold` and `receipt`.

use super::{RowError, Unreadable, moment, unreadable};
use crate::Receipt;
use octollm_contract::{CallId, Cost, Document, MicroUsd};
use octollm_lifecycle::{Account, Amount, Hold, Ledger, Limit};
use rusqlite::Row;

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

    fn of(row: &Row<'_>, first: usize) -> Result<Self, rusqlite::Error> {
        Ok(AccountRow { granted: row.get(first)?, spent: row.get(first + 1)?, held: row.get(first + 2)? })
    }
}

impl LedgerRow {
    pub(crate) fn read(self) -> Result<Ledger, Unreadable> {
        Ok(Ledger::restored(self.money.read(MicroUsd::new)?, self.tokens.read(|n| n)?, self.unpriced))
    }

    /// The columns of a ledger from a row, `first` saying whether the task has one.
    pub(crate) fn of(row: &Row<'_>, first: usize) -> Result<Option<Self>, rusqlite::Error> {
        if !row.get::<_, bool>(first)? {
            return Ok(None);
        }
        Ok(Some(LedgerRow {
            money: AccountRow::of(row, first + 1)?,
            tokens: AccountRow::of(row, first + 4)?,
            unpriced: row.get(first + 7)?,
        }))
    }
}

/// A cost as it is kept; absent when it is unknown.
pub(crate) const fn cost_number(cost: Cost) -> Option<i64> {
    match cost {
        Cost::Known(cost) => Some(cost.get().cast_signed()),
        Cost::Unknown => None,
    }
}

/// Reads the columns call, place, number, cost, tokens, at.
pub(crate) fn read_hold(row: &Row<'_>) -> Result<Hold, RowError> {
    let cost: Option<i64> = row.get(3)?;
    Ok(Hold {
        call: CallId::from_bytes(row.get(0)?),
        place: row.get(1)?,
        number: row.get(2)?,
        cost: cost.map(|cost| MicroUsd::new(cost.cast_unsigned())).into(),
        tokens: row.get::<_, i64>(4)?.cast_unsigned(),
        at: moment(row, 5)?,
    })
}

/// Reads the columns place, number, call, body: the place and its receipt.
pub(crate) fn read_receipt(row: &Row<'_>) -> Result<(u16, Receipt), rusqlite::Error> {
    let body: String = row.get(3)?;
    let receipt = Receipt {
        number: row.get(1)?,
        call: CallId::from_bytes(row.get(2)?),
        body: Document::from_json(body),
    };
    Ok((row.get(0)?, receipt))
}
