//! Where a step stands, as columns; a lease is a row of its own.

use super::{Unreadable, failure, unreadable, word};
use octollm_contract::Timestamp;
use octollm_lifecycle::{Awaits, Lease, StepState};
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
            StepState::Leased(_) => plain(StepRow::LEASED),
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
    /// The state of a step that has a row in `lease`.
    pub(crate) const LEASED: &'static str = "leased";

    /// The state; `lease` is the step's row in `lease`, if there is one.
    pub(crate) fn read(self, lease: Option<Lease>) -> Result<StepState, Unreadable> {
        let state = match self.state {
            "blocked" => StepState::Blocked,
            "ready" => StepState::Ready {
                from: self.at.ok_or_else(|| unreadable("moment of a ready step", "nothing"))?,
            },
            Self::LEASED => {
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

pub(crate) fn read_needs(text: &str) -> Result<Arc<[u16]>, Unreadable> {
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

pub(crate) fn read_awaits(number: i64) -> Result<Awaits, Unreadable> {
    let known = [Awaits::Nothing, Awaits::Approval, Awaits::Answer];
    let known = known.into_iter().find(|awaits| awaits_number(*awaits) == number);
    known.ok_or_else(|| unreadable("what a step awaits", number))
}
