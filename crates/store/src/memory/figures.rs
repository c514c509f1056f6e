//! Figures in memory: what ended on a day, of whom.

use super::Memory;
use crate::{DayLine, DayListing, FIGURES_KEPT, Period, Sums, columns::subject_word};
use octollm_access::TenantScope;
use octollm_contract::{Day, TenantId};
use octollm_lifecycle::{Figures, Subject, Tally};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(super) struct FiguresByDay(BTreeMap<(Day, TenantId, Subject), Figures>);

impl FiguresByDay {
    pub(super) fn add(&mut self, tenant: &TenantId, tally: &Tally) {
        for ((day, subject), figures) in &tally.0 {
            self.0.entry((*day, tenant.clone(), *subject)).or_default().add(figures);
            self.0.retain(|(old, _, _), _| *old >= day.before(FIGURES_KEPT));
        }
    }
}

impl Memory {
    /// See [`crate::TaskReads::usage_days`].
    #[must_use]
    pub fn usage_days(&self, scope: &TenantScope, wanted: &DayListing) -> Vec<DayLine> {
        let DayListing { period, behind, most } = wanted;
        let lines = self.figures.0.iter().map(|((day, tenant, subject), figures)| DayLine {
            day: *day,
            tenant: tenant.clone(),
            subject: *subject,
            figures: *figures,
        });
        let behind = |line: &DayLine| line.day > period.from || Some(&line.tenant) > behind.as_ref();
        let mut lines: Vec<DayLine> =
            lines.filter(|line| period.has(line.day) && behind(line) && scope.allows(&line.tenant)).collect();
        let name = |line: &DayLine| (line.day, line.tenant.clone(), subject_word(line.subject));
        lines.sort_by_key(name);
        lines.truncate(*most);
        lines
    }

    /// See [`crate::TaskReads::usage_sums`].
    #[must_use]
    pub fn usage_sums(&self, scope: &TenantScope, period: Period) -> Sums {
        let mut sums = Sums::new();
        for line in self.usage_days(scope, &DayListing { period, behind: None, most: usize::MAX }) {
            sums.entry(line.subject).or_default().add(&line.figures);
        }
        sums
    }
}
