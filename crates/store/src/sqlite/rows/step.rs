//! A step and its rows in `step` and `lease`.

use super::{RowError, Unreadable, failure, moment, moment_if, text, text_if, unreadable, word};
use octollm_contract::{LeaseToken, Millis, Timestamp};
use octollm_lifecycle::{Awaits, Deliveries, Lease, Step, StepState};
use rusqlite::Row;
use std::{fmt::Write as _, sync::Arc};

/// The columns that say where a step stands; a lease is a row of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepRow<'a> {
    pub(crate) state: &'a str,
    pub(crate) at: Option<Timestamp>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) message: Option<&'a str>,
    pub(crate) failure_place: Option<u16>,
}

impl<'a> From<&'a StepState> for StepRow<'a> {
    fn from(state: &'a StepState) -> Self {
        let plain = |state| StepRow { state, ..StepRow::default() };
        match state {
            StepState::Blocked => plain("blocked"),
            StepState::Ready { from } => StepRow { at: Some(*from), ..plain("ready") },
            StepState::Leased(_) => plain("leased"),
            StepState::Done => plain("done"),
            StepState::Failed(failure) => StepRow {
                reason: Some(failure.reason.as_str()),
                message: Some(&failure.message),
                failure_place: failure.place,
                ..plain("failed")
            },
            StepState::Cancelled => plain("cancelled"),
        }
    }
}

impl StepRow<'_> {
    /// The state; `lease` is the step's row in `lease`, if there is one.
    pub(crate) fn read(self, lease: Option<Lease>) -> Result<StepState, Unreadable> {
        let state = match self.state {
            "blocked" => StepState::Blocked,
            "ready" => StepState::Ready {
                from: self.at.ok_or_else(|| unreadable("moment of a ready step", "nothing"))?,
            },
            "leased" => {
                let lease = lease.ok_or_else(|| unreadable("lease of a leased step", "nothing"))?;
                return Ok(StepState::Leased(lease));
            }
            "done" => StepState::Done,
            "failed" => StepState::Failed(failure(self.reason, self.message, self.failure_place)?),
            "cancelled" => StepState::Cancelled,
            other => return Err(unreadable("state of a step", other)),
        };
        match lease {
            None => Ok(state),
            Some(_) => Err(unreadable("lease of a step that is not leased", self.state)),
        }
    }
}

/// Places as they are kept: `0 2 5`.
pub(crate) fn needs_text(needs: &[u16]) -> String {
    let mut text = String::new();
    for need in needs {
        let gap = if text.is_empty() { "" } else { " " };
        write!(text, "{gap}{need}").expect("writing to a string does not fail");
    }
    text
}

fn read_needs(text: &str) -> Result<Arc<[u16]>, Unreadable> {
    text.split_ascii_whitespace().map(|place| word("place of a needed step", place)).collect()
}

/// What a step awaits, as a number.
pub(crate) const fn awaits_number(awaits: Awaits) -> i64 {
    match awaits {
        Awaits::Nothing => 0,
        Awaits::Approval => 1,
        Awaits::Answer => 2,
    }
}

fn read_awaits(number: i64) -> Result<Awaits, Unreadable> {
    let known = [Awaits::Nothing, Awaits::Approval, Awaits::Answer];
    let known = known.into_iter().find(|awaits| awaits_number(*awaits) == number);
    known.ok_or_else(|| unreadable("what a step awaits", number))
}

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
