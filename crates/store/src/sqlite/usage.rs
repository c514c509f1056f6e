//! Reads of figures: sums of sums, on one snapshot. The writer adds to them with what they count.

use super::{fault::Fault, reads::sql, rows};
use crate::{DayLine, DayListing, Period, Sums};
use octollm_access::TenantScope;
use octollm_contract::TenantId;
use rusqlite::Connection;
use std::ops::ControlFlow;

/// The figures of a period by day, tenant and subject, one after the other, until `take` wants no more; of
/// the first day those of tenants behind this one.
fn each(
    connection: &Connection,
    scope: &TenantScope,
    period: Period,
    behind: Option<&TenantId>,
    mut take: impl FnMut(DayLine) -> ControlFlow<()>,
) -> Result<(), Fault> {
    let (from, to) = (period.from.number(), period.to.number());
    // Each tenant has a name, so that it lies behind none.
    let behind = behind.map_or("", TenantId::as_str);
    let mut statement = match scope {
        TenantScope::Only(_) => connection.prepare_cached(sql::USAGE_OF)?,
        TenantScope::System => connection.prepare_cached(sql::USAGE)?,
    };
    let mut found = match scope {
        TenantScope::Only(tenant) => statement.query((from, to, behind, tenant.as_str()))?,
        TenantScope::System => statement.query((from, to, behind))?,
    };
    while let Some(row) = found.next()? {
        if take(rows::read_usage(row)?).is_break() {
            break;
        }
    }
    Ok(())
}

pub(super) fn days(
    connection: &Connection,
    scope: &TenantScope,
    wanted: &DayListing,
) -> Result<Vec<DayLine>, Fault> {
    let mut lines = Vec::new();
    each(connection, scope, wanted.period, wanted.behind.as_ref(), |line| {
        if lines.len() >= wanted.most {
            return ControlFlow::Break(());
        }
        lines.push(line);
        ControlFlow::Continue(())
    })?;
    Ok(lines)
}

pub(super) fn sums(connection: &Connection, scope: &TenantScope, period: Period) -> Result<Sums, Fault> {
    let mut sums = Sums::new();
    each(connection, scope, period, None, |line| {
        sums.entry(line.subject).or_default().add(&line.figures);
        ControlFlow::Continue(())
    })?;
    Ok(sums)
}
