//! Who is gone: workers and callers of models, and what they leave under way.
//!
//! Each process that shares the database counts up a row of its own for as long as it lives. Whoever
//! sweeps looks at the counts of those that have calls under way: one that stands still over several looks
//! belongs to a process that is dead, and its calls count as spent. A look is one that the database
//! answered, so a time in which nobody reached it makes nobody dead; and counts are compared, not clocks.
//!
//! A process that only stood still is taken for dead as well. What it settles later is refused: the charge
//! is then too high, never too low.

use super::{
    decide::commit,
    draft::{Busy, load},
    fault::Fault,
    lane::Shared,
    link::Link,
    news::News,
    rows,
    upkeep::ended_leases,
};
use crate::{Swept, columns::word};
use octollm_contract::{CallId, Millis, TaskId, Timestamp, WorkerId};
use octollm_lifecycle::{Command, LostCalls};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Tasks in one transaction.
const SLICE: usize = 256;
/// Between two looks: longer than a process that lives takes between two counts.
const LOOK_EVERY: Millis = Millis::from_secs(4);
/// Whose count was the same in so many looks after the first is dead: 12 s at least.
const STILL_MAX: u32 = 3;

/// Who has calls under way, and since when their counts stand still. A function of what was seen.
#[derive(Debug, Default)]
pub(super) struct Watch {
    looked_at: Option<Timestamp>,
    seen: BTreeMap<Uuid, Standing>,
}

#[derive(Debug)]
struct Standing {
    /// `None`: it has not counted yet, or was forgotten.
    beats: Option<i64>,
    /// Looks since, with the same count.
    still: u32,
}

impl Watch {
    /// Whether it is time to look. A clock that was set back does not put it off.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.looked_at.is_none_or(|at| now < at || at + LOOK_EVERY <= now)
    }

    /// Who of those that were `found` is dead.
    pub(super) fn look(
        &mut self,
        now: Timestamp,
        found: impl IntoIterator<Item = (Uuid, Option<i64>)>,
    ) -> Vec<Uuid> {
        self.looked_at = Some(now);
        let mut before = std::mem::take(&mut self.seen);
        let seen = found.into_iter().map(|(caller, beats)| {
            let still = match before.remove(&caller) {
                Some(was) if was.beats == beats => was.still.saturating_add(1),
                Some(_) | None => 0,
            };
            (caller, Standing { beats, still })
        });
        self.seen = seen.collect();
        self.seen
            .iter()
            .filter(|(_, standing)| standing.still >= STILL_MAX)
            .map(|(caller, _)| *caller)
            .collect()
    }
}

/// What of a task has nobody any more.
#[derive(Default)]
struct Left {
    workers: BTreeSet<WorkerId>,
    calls: Option<LostCalls>,
}

/// [`crate::Tasks::lose`].
pub(super) async fn lose(
    link: &Link,
    worker: Option<&WorkerId>,
    shared: &Shared,
    news: &mut News,
) -> Result<Swept, Fault> {
    let (client, sql) = (&link.client, &link.sql);
    let mut left: BTreeMap<TaskId, Left> = BTreeMap::new();
    match worker {
        Some(worker) => {
            for row in client.query(&sql.leases_of, &[&worker.as_str()]).await.map_err(Fault::before)? {
                left.entry(rows::task_id(&row, 0)?).or_default().workers.insert(worker.clone());
            }
        }
        None => {
            for row in client.query(&sql.all_leases, &[]).await.map_err(Fault::before)? {
                let worker = word("worker", rows::get(&row, 1)?)?;
                left.entry(rows::task_id(&row, 0)?).or_default().workers.insert(worker);
            }
            for row in client.query(&sql.all_calling, &[]).await.map_err(Fault::before)? {
                left.entry(rows::task_id(&row, 0)?).or_default().calls = Some(LostCalls::All);
            }
        }
    }
    let mut swept = Swept::default();
    end(link, &left, shared, &mut swept, news).await?;
    let next = client.query_one(&sql.next_expiry, &[&false]).await.map_err(Fault::before)?;
    swept.next = rows::moment_if(&next, 0)?;
    Ok(swept)
}

/// Counts this process, which lives, up.
pub(super) async fn beat(link: &Link) -> Result<(), tokio_postgres::Error> {
    link.client.execute(&link.sql.beat, &[&link.process]).await.map(|_| ())
}

/// Looks whose calls are under way, if it is time, and ends those of the dead.
pub(super) async fn bury(
    link: &Link,
    watch: &std::sync::Mutex<Watch>,
    now: Timestamp,
    shared: &Shared,
    swept: &mut Swept,
    news: &mut News,
) -> Result<(), Fault> {
    let watch = || watch.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !watch().is_due(now) {
        return Ok(());
    }
    let (client, sql) = (&link.client, &link.sql);
    let (found, _) = tokio::try_join!(
        biased;
        async { client.query(&sql.callers, &[&link.process]).await },
        async { client.execute(&sql.forget_callers, &[]).await },
    )
    .map_err(Fault::before)?;
    let found = found.iter().map(|row| Ok((rows::get(row, 0)?, rows::get(row, 1)?)));
    let found: Vec<(Uuid, Option<i64>)> = found.collect::<Result<_, Fault>>()?;
    let dead = watch().look(now, found);
    if dead.is_empty() {
        return Ok(());
    }
    let mut calls: BTreeMap<TaskId, BTreeSet<CallId>> = BTreeMap::new();
    for row in client.query(&sql.calls_of, &[&dead]).await.map_err(Fault::before)? {
        let call = CallId::from_bytes(rows::get::<Uuid>(&row, 1)?.into_bytes());
        calls.entry(rows::task_id(&row, 0)?).or_default().insert(call);
    }
    tracing::warn!(processes = dead.len(), tasks = calls.len(), "who made these tasks' model calls is gone");
    let left = calls
        .into_iter()
        .map(|(task, calls)| (task, Left { workers: BTreeSet::new(), calls: Some(LostCalls::These(calls)) }));
    end(link, &left.collect(), shared, swept, news).await
}

/// Tells the tasks, a transaction for each slice of them.
async fn end(
    link: &Link,
    left: &BTreeMap<TaskId, Left>,
    shared: &Shared,
    swept: &mut Swept,
    news: &mut News,
) -> Result<(), Fault> {
    let ids: Vec<TaskId> = left.keys().copied().collect();
    for slice in ids.chunks(SLICE) {
        let (now, mut drafts) = load(link, slice, Busy::Wait, true).await?;
        for (id, found) in &mut drafts.tasks {
            let Some(left) = left.get(id) else { continue };
            let draft = match found {
                Ok(draft) => draft,
                Err(fault) => {
                    tracing::error!(task = %id, ?fault, "what is left under way cannot be ended");
                    continue;
                }
            };
            let mut touched = false;
            for worker in &left.workers {
                let was = draft.view().clone();
                let command = Command::WorkerLost { worker: worker.clone() };
                if let Ok(changes) = draft.decide(&command, now, shared.dice())
                    && !changes.is_empty()
                {
                    swept.lapsed += ended_leases(&was, &changes);
                    touched = true;
                }
            }
            if let Some(calls) = &left.calls
                && let Ok(changes) = draft.decide(&Command::CallerLost(calls.clone()), now, shared.dice())
                && !changes.is_empty()
            {
                swept.presume(*id, changes.settled());
                touched = true;
            }
            swept.tasks += usize::from(touched);
        }
        news.add(commit(link, &drafts).await?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(n: u8) -> Uuid {
        Uuid::from_bytes([n; 16])
    }

    fn at(looks: i64) -> Timestamp {
        Timestamp::from_millis(looks * 4_000)
    }

    /// P1: a dead caller is known as such; one that counts, however slowly, never is.
    #[test]
    fn whose_count_stands_still_is_dead_and_nobody_else() {
        let mut watch = Watch::default();
        for look in 0..20 {
            assert!(watch.is_due(at(look)));
            let dead =
                watch.look(at(look), [(caller(1), Some(look / 3)), (caller(2), Some(7)), (caller(3), None)]);
            let expected: &[Uuid] = if look < 3 { &[] } else { &[caller(2), caller(3)] };
            assert_eq!(dead, expected, "look {look}");
        }
    }

    /// A time without a look is no time in which somebody stood still.
    #[test]
    fn an_outage_makes_nobody_dead() {
        let mut watch = Watch::default();
        assert!(watch.look(at(0), [(caller(1), Some(7))]).is_empty());
        assert!(watch.look(at(100), [(caller(1), Some(7))]).is_empty());
        assert!(watch.look(at(101), [(caller(1), Some(8))]).is_empty());
        assert!(watch.look(at(102), [(caller(1), Some(8))]).is_empty());
    }

    #[test]
    fn who_counts_again_after_standing_still_is_alive() {
        let mut watch = Watch::default();
        for look in 0..4 {
            watch.look(at(look), [(caller(1), Some(7))]);
        }
        assert!(watch.look(at(4), [(caller(1), Some(8))]).is_empty());
        assert!(watch.look(at(5), []).is_empty(), "it has nothing under way");
        assert!(
            watch.look(at(6), [(caller(1), Some(8))]).is_empty(),
            "what was seen of it before is forgotten"
        );
    }

    #[test]
    fn looks_are_apart() {
        let mut watch = Watch::default();
        watch.look(at(1), []);
        assert!(!watch.is_due(at(1) + Millis::new(3_999)));
        assert!(watch.is_due(at(2)));
        assert!(watch.is_due(at(0)), "a clock that was set back");
    }
}
