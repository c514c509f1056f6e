//! Figures by tenant and day: what is asked of them and what is answered. What counts, and on which day,
//! is decided by [`octollm_lifecycle::Tally`]; it is written with the change that it counts.

use octollm_contract::{Day, TenantId, Timestamp};
use octollm_lifecycle::{Figures, Subject};
use std::collections::BTreeMap;

/// Figures are kept for so many days; what is older goes when something new is counted.
pub const FIGURES_KEPT: u16 = 400;

/// Days in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first.
    pub from: Day,
    /// The last.
    pub to: Day,
}

impl Period {
    /// Whether it has the day.
    #[must_use]
    pub fn has(&self, day: Day) -> bool {
        (self.from..=self.to).contains(&day)
    }
}

/// Which figures by day to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayListing {
    /// Of which days.
    pub period: Period,
    /// Of the first day, only tenants behind this one: the page before ended with it.
    pub behind: Option<TenantId>,
    /// At most so many lines.
    pub most: usize,
}

/// The figures of a tenant on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayLine {
    /// The day.
    pub day: Day,
    /// Whose.
    pub tenant: TenantId,
    /// Of what.
    pub subject: Subject,
    /// The figures.
    pub figures: Figures,
}

/// Figures, and up to when they are whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted<T> {
    /// Whatever was answered by then is counted; of what came later some may be.
    pub as_of: Timestamp,
    /// The figures.
    pub figures: T,
}

/// Sums over days and tenants.
pub type Sums = BTreeMap<Subject, Figures>;
