//! An API key and its row in `api_key`.

use super::{RowError, moment, moment_if, text, unreadable, word};
use octollm_access::{KeyRecord, Verifier};
use rusqlite::Row;

/// Reads the columns of the statement `api_keys`, in its order.
pub(crate) fn read_key(row: &Row<'_>) -> Result<KeyRecord, RowError> {
    let scopes = text(row, 4)?.split_ascii_whitespace().map(|scope| word("scope", scope));
    Ok(KeyRecord {
        id: word("key id", text(row, 0)?)?,
        tenant: word("tenant", text(row, 1)?)?,
        verifier: Verifier::from_bytes(row.get(2)?),
        role: word("role", text(row, 3)?)?,
        scopes: scopes.collect::<Result<_, _>>()?,
        policy: serde_json::from_str(text(row, 5)?).map_err(|error| unreadable("policy", error))?,
        label: row.get(6)?,
        created_at: moment(row, 7)?,
        revoked_at: moment_if(row, 8)?,
    })
}
