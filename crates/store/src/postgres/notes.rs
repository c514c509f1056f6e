//! Notes of what has ended, and how the leader sums them up.
//!
//! Promises: a note is written in the transaction of what it counts and taken in the transaction that adds
//! it to the sums, so that each counts once, whoever dies when and however many sum at a time. Nobody who
//! ends something waits for whoever sums, and nothing here takes a lock that keeps readers out.
//!
//! Must not know: what counts, and on which day.

use super::{
    fault::{Fault, Stage},
    link::Link,
    rows,
};
use crate::{
    FIGURES_KEPT,
    columns::{FiguresRow, subject_word},
};
use futures_util::future::{BoxFuture, FutureExt as _};
use octollm_contract::Day;
use octollm_lifecycle::{Figures, Subject};
use std::collections::BTreeMap;

/// So many old rows are forgotten with a slice.
const FORGET_MAX: i64 = 1000;

/// Figures, column by column.
#[derive(Default)]
struct Columns<'a> {
    tenant: Vec<&'a str>,
    day: Vec<i32>,
    subject: Vec<&'a str>,
    numbers: [Vec<i64>; 10],
}

impl<'a> Columns<'a> {
    fn push(&mut self, tenant: &'a str, day: i32, subject: &'a str, figures: &Figures) {
        self.tenant.push(tenant);
        self.day.push(day);
        self.subject.push(subject);
        for (column, number) in self.numbers.iter_mut().zip(FiguresRow::from(figures).0) {
            column.push(number);
        }
    }

    async fn execute(
        &self,
        link: &Link,
        statement: &tokio_postgres::Statement,
    ) -> Result<u64, tokio_postgres::Error> {
        let [a, b, c, d, e, f, g, h, i, j] = &self.numbers;
        let (tenant, day, subject) = (&self.tenant, &self.day, &self.subject);
        link.client.execute(statement, &[tenant, day, subject, a, b, c, d, e, f, g, h, i, j]).await
    }
}

/// What a transaction adds to the figures.
#[derive(Default)]
pub(super) struct Notes<'a>(BTreeMap<(&'a str, Day, Subject), Figures>);

impl<'a> Notes<'a> {
    pub(super) fn add(&mut self, of: (&'a str, Day, Subject), figures: &Figures) {
        self.0.entry(of).or_default().add(figures);
    }

    /// The statement that writes them, if there are any.
    pub(super) fn send<'w>(&self, link: &'w Link) -> Option<BoxFuture<'w, Result<u64, tokio_postgres::Error>>>
    where
        'a: 'w,
    {
        if self.0.is_empty() {
            return None;
        }
        let mut columns = Columns::default();
        for ((tenant, day, subject), figures) in &self.0 {
            columns.push(tenant, day.number(), subject_word(*subject), figures);
        }
        Some(async move { columns.execute(link, &link.sql.add_notes).await }.boxed())
    }
}

/// Adds at most `most` notes to the sums, in one transaction, and forgets what is too old. Returns how many.
pub(super) async fn roll_up(link: &Link, most: usize) -> Result<usize, Fault> {
    let (client, sql) = (&link.client, &link.sql);
    let (_, told, taken) = tokio::try_join!(
        biased;
        client.batch_execute("BEGIN"),
        async { client.query_one(&sql.moment, &[]).await },
        async { client.query(&sql.take_notes, &[&rows::limit(most)]).await },
    )
    .map_err(Fault::before)?;
    // What a newer version counts is summed as well: as it is spelled.
    let mut sums: BTreeMap<(&str, i32, &str), Figures> = BTreeMap::new();
    for row in &taken {
        let key = (rows::get(row, 0)?, rows::get(row, 1)?, rows::get(row, 2)?);
        sums.entry(key).or_default().add(&rows::read_figures(row, 3)?);
    }
    // In the order of the keys, so that two that sum at a time do not wait for each other in a circle.
    let mut columns = Columns::default();
    for ((tenant, day, subject), figures) in &sums {
        columns.push(tenant, *day, subject, figures);
    }
    let today = Day::of(link.clock.moment(rows::get(&told, 0)?));
    let oldest = today.before(FIGURES_KEPT).number();
    tokio::try_join!(
        biased;
        columns.execute(link, &sql.add_usage),
        async { client.execute(&sql.forget_usage, &[&oldest, &FORGET_MAX]).await },
        client.batch_execute("COMMIT"),
    )
    .map_err(|error| Fault::of(error, Stage::Commit))?;
    link.confirmed()?;
    Ok(taken.len())
}
