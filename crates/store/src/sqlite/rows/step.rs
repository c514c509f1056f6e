//! A step and its rows in `step` and `lease`.

use super::{RowError, StepRow, moment, moment_if, read_awaits, read_needs, text, text_if, unreadable, word};
use octollm_contract::{LeaseToken, Millis};
use octollm_lifecycle::{Deliveries, Lease, Step};
use rusqlite::Row;

/// Reads the columns of the statement `steps`, in its order; `lease` gives the lease of a place.
pub(crate) fn read_step(
    row: &Row<'_>,
    expected: u16,
    lease: impl FnOnce(u16) -> Option<Lease>,
) -> Result<Step, RowError> {
    let place: u16 = row.get(0)?;
    if place != expected {
        return Err(unreadable("place of a step", place).into());
    }
    let state = StepRow {
        state: text(row, 6)?,
        at: moment_if(row, 7)?,
        reason: text_if(row, 8)?,
        message: text_if(row, 9)?,
        failure_place: row.get(10)?,
    };
    Ok(Step {
        arm: word("arm", text(row, 1)?)?,
        plan_version: row.get(2)?,
        needs: read_needs(text(row, 3)?)?,
        awaits: read_awaits(row.get(4)?)?,
        time_limit: Millis::new(row.get::<_, i64>(5)?.cast_unsigned()),
        state: state.read(lease(place))?,
        deliveries: Deliveries {
            attempts: row.get(11)?,
            failures: row.get(12)?,
            crashes: row.get(13)?,
            releases: row.get(14)?,
        },
    })
}

/// Reads the columns of the statement `leases`, in its order: the place and its lease.
pub(crate) fn read_lease(row: &Row<'_>) -> Result<(u16, Lease), RowError> {
    let lease = Lease {
        token: LeaseToken::from_bytes(row.get(1)?),
        worker: word("worker", text(row, 2)?)?,
        granted_at: moment(row, 3)?,
        expires_at: moment(row, 4)?,
    };
    Ok((row.get(0)?, lease))
}
