//! What ended and what it cost, by day (P5, P7).
//!
//! A key sees its own tenant. An admin or an operator of the home tenant, which runs the system, sees
//! all; an operator only what is summed over all of them.

use super::{App, Caller};
use octollm_access::{HOME_TENANT, TenantScope};
use octollm_contract::{
    ArmName, Cost, Day, Millis, TenantId,
    api::{ArmUsage, ArmsUsage, CallsSettled, TasksEnded, UsageDay, UsagePage},
};
use octollm_lifecycle::{Figures, Subject};
use octollm_store::{Counted, DayLine, DayListing, FIGURES_KEPT, Period, Seen, StoreError};
use std::{fmt, str::FromStr};

/// Without `from`, so many days are shown.
const DAYS_DEFAULT: u16 = 30;
/// On a page, at most; a day of a tenant is one.
pub(crate) const DAYS_MAX: usize = 1000;
/// A day of a tenant has at most so many lines in the store: one for its tasks and one for each arm.
const LINES_EACH: usize = 1 + ArmName::ALL.len();

/// Which days, and whose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageAsk {
    /// The first day; 30 days to the last one when absent.
    pub from: Option<Day>,
    /// The last day; today when absent.
    pub to: Option<Day>,
    /// Only this tenant; all that the caller sees when absent.
    pub tenant: Option<TenantId>,
    /// Only what lies behind this: the page before ended there.
    pub behind: Option<UsagePlace>,
    /// At most so many days on the page; 1,000 when absent, and never more.
    pub most: Option<usize>,
}

/// Where a page of days ends. Text form, which clients do not read: `2026-11-26.acme`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsagePlace {
    day: Day,
    tenant: TenantId,
}

impl fmt::Display for UsagePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.day, self.tenant)
    }
}

/// A text that is no [`UsagePlace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor of days")]
pub struct ParsePlaceError;

impl FromStr for UsagePlace {
    type Err = ParsePlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (day, tenant) = text.split_once('.').ok_or(ParsePlaceError)?;
        let day = day.parse().map_err(|_| ParsePlaceError)?;
        Ok(UsagePlace { day, tenant: tenant.parse().map_err(|_| ParsePlaceError)? })
    }
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// Correct the field.
    #[error("{field}: {detail}")]
    Invalid {
        /// The field at fault.
        field: &'static str,
        /// What is taken there.
        detail: String,
    },
    /// Ask for the key's own tenant.
    #[error("only a key of the tenant {HOME_TENANT} sees other tenants")]
    OtherTenant,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl App {
    /// How tasks ended and what model calls cost, by day and tenant, for a caller that says that it has
    /// seen `told`.
    pub async fn usage(&self, caller: &Caller, told: Seen, ask: UsageAsk) -> Result<UsagePage, UsageError> {
        let period = period(ask.from, ask.to, Day::of(self.now()))?;
        let scope = match (caller.figures(), ask.tenant) {
            (scope, None) => scope,
            (scope, Some(tenant)) if scope.allows(&tenant) => TenantScope::Only(tenant),
            (TenantScope::Only(_) | TenantScope::System, Some(_)) => return Err(UsageError::OtherTenant),
        };
        let fresh = self.sights.since(caller, told);
        let most = ask.most.unwrap_or(DAYS_MAX).clamp(1, DAYS_MAX);
        let (rest, behind) = rest(period, ask.behind)?;
        // Of the days on the page all lines, and one of those that follow if there are any.
        let wanted = DayListing { period: rest, behind, most: most * LINES_EACH + 1 };
        let (counted, seen) = self.parts.store.usage_days(fresh, &scope, &wanted).await?;
        self.sights.learn(caller, seen);
        let Counted { as_of, figures: lines } = counted;
        let mut days = days(&lines);
        let more = days.len() > most;
        days.truncate(most);
        let last = days.last().filter(|_| more);
        let last = last.map(|last| UsagePlace { day: last.day, tenant: last.tenant.clone() });
        let next_cursor = last.map(|last| last.to_string());
        Ok(UsagePage { from: period.from, to: period.to, as_of, days, next_cursor })
    }

    /// How the steps of each arm ended, over all that the caller sees.
    pub async fn arms_usage(
        &self,
        caller: &Caller,
        told: Seen,
        (from, to): (Option<Day>, Option<Day>),
    ) -> Result<ArmsUsage, UsageError> {
        let period = period(from, to, Day::of(self.now()))?;
        let fresh = self.sights.since(caller, told);
        let (counted, seen) = self.parts.store.usage_sums(fresh, &caller.figures(), period).await?;
        self.sights.learn(caller, seen);
        let Counted { as_of, figures: sums } = counted;
        let of = |name: &ArmName| sums.get(&Subject::Steps(*name)).map(|figures| arm(*name, figures));
        let arms = ArmName::ALL.iter().filter_map(of).collect();
        Ok(ArmsUsage { from: period.from, to: period.to, as_of, arms })
    }
}

fn period(from: Option<Day>, to: Option<Day>, today: Day) -> Result<Period, UsageError> {
    let to = to.unwrap_or(today);
    let from = from.unwrap_or_else(|| to.before(DAYS_DEFAULT - 1));
    let invalid = |detail: String| Err(UsageError::Invalid { field: "from", detail });
    if from > to {
        return invalid(format!("{from} lies after the last day, {to}"));
    }
    if from <= to.before(FIGURES_KEPT) {
        let (first, last) = (to.before(FIGURES_KEPT - 1), to);
        return invalid(format!(
            "of {FIGURES_KEPT} days at once, {first} is the first one up to {last}; as many are kept"
        ));
    }
    Ok(Period { from, to })
}

/// What of a period lies behind this: days, and of the first one the tenants behind this one.
fn rest(period: Period, behind: Option<UsagePlace>) -> Result<(Period, Option<TenantId>), UsageError> {
    match behind {
        Some(UsagePlace { day, .. }) if day > period.to => {
            let detail = format!("it is of days after the last one, {}", period.to);
            Err(UsageError::Invalid { field: "cursor", detail })
        }
        Some(UsagePlace { day, tenant }) if day >= period.from => {
            Ok((Period { from: day, ..period }, Some(tenant)))
        }
        // Since the page before, a day has begun: the period that is meant without `from` has moved on.
        Some(UsagePlace { .. }) | None => Ok((period, None)),
    }
}

/// One line for each day and tenant, of those that each have for tasks and for arms.
fn days(lines: &[DayLine]) -> Vec<UsageDay> {
    let same_day = |one: &DayLine, other: &DayLine| (one.day, &one.tenant) == (other.day, &other.tenant);
    let of = |lines: &[DayLine]| {
        let (mut tasks, mut steps) = (Figures::default(), Figures::default());
        for line in lines {
            match line.subject {
                Subject::Tasks => tasks.add(&line.figures),
                Subject::Steps(_) => steps.add(&line.figures),
            }
        }
        let first = lines.first()?;
        Some(UsageDay {
            day: first.day,
            tenant: first.tenant.clone(),
            tasks: TasksEnded { completed: tasks.done, failed: tasks.failed, cancelled: tasks.cancelled },
            calls: calls(&steps),
        })
    };
    lines.chunk_by(same_day).filter_map(of).collect()
}

fn arm(name: ArmName, figures: &Figures) -> ArmUsage {
    let seconds = |time: Millis| time.to_duration().as_secs_f64();
    let some_done = figures.done > 0;
    ArmUsage {
        name,
        done: figures.done,
        failed: figures.failed,
        cancelled: figures.cancelled,
        attempts: figures.attempts,
        mean_seconds: figures.took.get().checked_div(figures.done).map(|mean| seconds(Millis::new(mean))),
        worst_seconds: some_done.then(|| seconds(figures.worst)),
        calls: calls(figures),
    }
}

fn calls(figures: &Figures) -> CallsSettled {
    CallsSettled {
        settled: figures.calls,
        unpriced: figures.unpriced,
        cost_usd: if figures.unpriced == 0 { Cost::Known(figures.cost) } else { Cost::Unknown },
        known_cost_usd: figures.cost,
        tokens: figures.tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_access::{Policy, Role};
    use octollm_contract::MicroUsd;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_is_bounded_and_ends_today_unless_it_is_told() {
        let today = day("2026-11-26");
        let of = |from: Option<&str>, to: Option<&str>| {
            period(from.map(day), to.map(day), today)
                .map(|period| (period.from.to_string(), period.to.to_string()))
        };
        let days = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        assert_eq!(of(None, None).unwrap(), days("2026-10-28", "2026-11-26"));
        assert_eq!(of(None, Some("2026-03-01")).unwrap(), days("2026-01-31", "2026-03-01"));
        assert_eq!(of(Some("2026-11-26"), None).unwrap(), days("2026-11-26", "2026-11-26"));
        assert_eq!(of(Some("2025-10-23"), None).unwrap(), days("2025-10-23", "2026-11-26"));
        for (from, to) in [("2025-10-22", None), ("2026-11-27", None), ("2026-01-02", Some("2026-01-01"))] {
            let refused = of(Some(from), to);
            assert!(matches!(refused, Err(UsageError::Invalid { field: "from", .. })), "{from}");
        }
        let refused = of(Some("0001-01-01"), None).unwrap_err().to_string();
        assert!(refused.contains("2025-10-23 is the first one up to 2026-11-26"), "{refused}");
    }

    #[test]
    fn a_page_goes_on_behind_the_one_before() {
        let period = Period { from: day("2026-11-01"), to: day("2026-11-26") };
        let of = |cursor: &str| {
            let (rest, behind) = rest(period, Some(cursor.parse().unwrap()))?;
            Ok::<_, UsageError>((rest.from.to_string(), rest.to, behind.map(|tenant| tenant.to_string())))
        };
        let (to, acme) = (period.to, Some("acme".to_owned()));
        assert_eq!(of("2026-11-01.acme").unwrap(), ("2026-11-01".to_owned(), to, acme.clone()));
        assert_eq!(of("2026-11-26.acme").unwrap(), ("2026-11-26".to_owned(), to, acme));
        assert_eq!(of("2026-10-31.acme").unwrap(), ("2026-11-01".to_owned(), to, None));
        assert!(matches!(of("2026-11-27.acme"), Err(UsageError::Invalid { field: "cursor", .. })));
        for bad in ["", ".", "2026-11-01", "2026-11-01.", "2026-11-1.acme", ".acme", "2026-11-01.a.b"] {
            assert_eq!(bad.parse::<UsagePlace>(), Err(ParsePlaceError), "{bad}");
        }
    }

    /// P7: nobody but who runs the system sees more than its own tenant.
    #[test]
    fn only_the_operators_own_tenant_sees_all() {
        for (tenant, role, all) in [
            (HOME_TENANT, Role::Admin, true),
            (HOME_TENANT, Role::Operator, true),
            (HOME_TENANT, Role::User, false),
            ("elsewhere", Role::Admin, false),
            ("elsewhere", Role::Operator, false),
        ] {
            let tenant: TenantId = tenant.parse().unwrap();
            let caller = Caller { role, tenant: tenant.clone(), ..Caller::local(Policy::default()) };
            let wanted = if all { TenantScope::System } else { TenantScope::Only(tenant) };
            assert_eq!(caller.figures(), wanted, "{role}");
        }
    }

    /// P5: a day with a call of unknown price has no known cost, and what is known of it is shown apart.
    #[test]
    fn arms_of_a_day_add_up_and_an_unknown_price_stays_unknown() {
        let line = |day_: &str, tenant: &str, subject, figures| DayLine {
            day: day(day_),
            tenant: tenant.parse().unwrap(),
            subject,
            figures,
        };
        let coder = Figures { calls: 2, cost: MicroUsd::new(7), tokens: 70, ..Figures::default() };
        let judge = Figures { calls: 1, unpriced: 1, tokens: 5, ..Figures::default() };
        let tasks = Figures { done: 3, failed: 2, cancelled: 1, ..Figures::default() };
        let shown = days(&[
            line("2026-11-25", "ant", Subject::Steps(ArmName::Coder), coder),
            line("2026-11-25", "ant", Subject::Steps(ArmName::Judge), judge),
            line("2026-11-25", "ant", Subject::Tasks, tasks),
            line("2026-11-25", "bee", Subject::Steps(ArmName::Coder), coder),
            line("2026-11-26", "bee", Subject::Tasks, tasks),
        ]);
        let sums: Vec<_> = shown
            .iter()
            .map(|day| (day.tenant.as_str(), day.tasks.completed, day.calls.settled, day.calls.cost_usd))
            .collect();
        let known = |micros| Cost::Known(MicroUsd::new(micros));
        assert_eq!(sums, [("ant", 3, 3, Cost::Unknown), ("bee", 0, 2, known(7)), ("bee", 3, 0, known(0))]);
        assert_eq!((shown[0].calls.known_cost_usd, shown[0].calls.tokens), (MicroUsd::new(7), 75));
    }
}
