//! Model calls and their rows in `ledger`, `hold` and `receipt`.

use super::{AccountRow, LedgerRow, RowError, moment, read_cost};
use crate::Receipt;
use octollm_contract::{CallId, Document};
use octollm_lifecycle::Hold;
use rusqlite::Row;

fn account(row: &Row<'_>, first: usize) -> Result<AccountRow, rusqlite::Error> {
    Ok(AccountRow { granted: row.get(first)?, spent: row.get(first + 1)?, held: row.get(first + 2)? })
}

/// The columns of a ledger from a row, `first` saying whether the task has one.
pub(crate) fn ledger(row: &Row<'_>, first: usize) -> Result<Option<LedgerRow>, rusqlite::Error> {
    if !row.get::<_, bool>(first)? {
        return Ok(None);
    }
    Ok(Some(LedgerRow {
        money: account(row, first + 1)?,
        tokens: account(row, first + 4)?,
        unpriced: row.get(first + 7)?,
    }))
}

/// Reads the columns call, place, number, cost, tokens, at.
pub(crate) fn read_hold(row: &Row<'_>) -> Result<Hold, RowError> {
    Ok(Hold {
        call: CallId::from_bytes(row.get(0)?),
        place: row.get(1)?,
        number: row.get(2)?,
        cost: read_cost(row.get(3)?),
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
