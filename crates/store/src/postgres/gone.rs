//! Who is gone: workers and callers of models, and what they leave under way.
//!
//! Each process that shares the database counts up a row of its own for as long as it lives. Whoever
//! sweeps looks at the counts of those that have calls under way: one that stands still over several looks,
//! while no further call begins, belongs to a process that is dead, and its calls count as spent. A look is
//! one that the database answered, so a time in which nobody reached it makes nobody dead; and counts are
//! compared, not clocks.
//!
//! A process that only stood still is taken for dead as well. What it settles later is refused: the charge
//! is then too high, never too low.

use super::{
    decide::commit,
    draft::{Busy, Leases, load},
    editions,
    fault::Fault,
    lane::Shared,
    link::Link,
    news::News,
    rows,
};
use crate::{Clock as _, Lost, Swept};
use octollm_contract::{CallId, Millis, TaskId, Timestamp};
use octollm_lifecycle::{Changes, Command, LostCalls, StepState, Task};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};
use uuid::Uuid;

/// Tasks in one transaction.
const SLICE: usize = 256;
/// Between two looks, about as long as between two counts of a process that lives.
const LOOK_EVERY: Millis = Millis::from_secs(3);
/// Who gave the same sign in so many looks after the first is dead: 15 s at least, the time of a lease.
const STILL_MAX: u32 = 5;

/// Who has calls under way, and since when they give no other sign. A function of what was seen.
#[derive(Debug, Default)]
pub(super) struct Watch {
    looked_at: Option<Timestamp>,
    seen: BTreeMap<Uuid, Standing>,
}

/// What a process shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sign {
    /// How often it has counted; `None`: it has not yet, or was forgotten.
    beats: Option<i64>,
    /// When it began its newest call.
    began: i64,
}

#[derive(Debug)]
struct Standing {
    sign: Sign,
    /// Looks since, with the same sign.
    still: u32,
}

impl Watch {
    /// Whether it is time to look. A clock that was set back does not put it off.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.looked_at.is_none_or(|at| now < at || at + LOOK_EVERY <= now)
    }

    /// Who of those that were `found` is dead, with the last sign of each.
    fn look(&mut self, now: Timestamp, found: impl IntoIterator<Item = (Uuid, Sign)>) -> Vec<(Uuid, Sign)> {
        self.looked_at = Some(now);
        let mut before = std::mem::take(&mut self.seen);
        let seen = found.into_iter().map(|(caller, sign)| {
            let still = match before.remove(&caller) {
                Some(was) if was.sign == sign => was.still.saturating_add(1),
                Some(_) | None => 0,
            };
            (caller, Standing { sign, still })
        });
        self.seen = seen.collect();
        let dead = self.seen.iter().filter(|(_, standing)| standing.still >= STILL_MAX);
        dead.map(|(caller, standing)| (*caller, standing.sign)).collect()
    }
}

/// What a task is to be told.
#[derive(Default)]
struct Left {
    leases: Option<Command>,
    calls: Option<LostCalls>,
}

/// [`crate::Tasks::lose`].
pub(super) async fn lose(link: &Link, lost: &Lost, shared: &Shared, news: &mut News) -> Result<Swept, Fault> {
    let (client, sql) = (&link.client, &link.sql);
    let mut left: BTreeMap<TaskId, Left> = BTreeMap::new();
    let (leases, named) = match lost {
        Lost::Worker(worker) => (&sql.leases_of, worker.as_str()),
        Lost::WorkersOf { label } => (&sql.leases_named, label.as_str()),
        Lost::Everyone => (&sql.leases_named, ""),
    };
    for row in client.query(leases, &[&named]).await.map_err(Fault::before)? {
        left.entry(rows::task_id(&row, 0)?).or_default().leases = Some(lost.command());
    }
    if *lost == Lost::Everyone {
        for row in client.query(&sql.all_calling, &[]).await.map_err(Fault::before)? {
            left.entry(rows::task_id(&row, 0)?).or_default().calls = Some(LostCalls::All);
        }
    }
    let mut swept = Swept::default();
    end(link, &left, Busy::Wait, shared, &mut swept, news).await?;
    let next = client.query_one(&sql.next_expiry, &[&false]).await.map_err(Fault::before)?;
    swept.next = rows::moment_if(&next, 0)?;
    Ok(swept)
}

/// Counts this process, which lives, up, and says what it reads of plans.
pub(super) async fn beat(link: &Link) -> Result<(), tokio_postgres::Error> {
    link.client.execute(&link.sql.beat, &[&link.process, &editions::own()]).await.map(|_| ())
}

/// [`crate::Tasks::bury`].
pub(super) async fn bury(
    link: &Link,
    watch: &Mutex<Watch>,
    shared: &Shared,
    news: &mut News,
) -> Result<Swept, Fault> {
    let watch = || watch.lock().unwrap_or_else(PoisonError::into_inner);
    let (client, sql) = (&link.client, &link.sql);
    let mut swept = Swept::default();
    let now = link.clock.now();
    if !watch().is_due(now) {
        return Ok(swept);
    }
    let (found, _) = tokio::try_join!(
        biased;
        async { client.query(&sql.callers, &[&link.process]).await },
        async { client.execute(&sql.forget_callers, &[]).await },
    )
    .map_err(Fault::before)?;
    let sign = |row| Ok((rows::get(row, 0)?, Sign { beats: rows::get(row, 1)?, began: rows::get(row, 2)? }));
    let found: Vec<(Uuid, Sign)> = found.iter().map(sign).collect::<Result<_, Fault>>()?;
    let dead = watch().look(now, found);
    if dead.is_empty() {
        return Ok(swept);
    }
    // Whoever has given a sign since is not dead, however long this process stood still meanwhile.
    let callers: Vec<Uuid> = dead.iter().map(|(caller, _)| *caller).collect();
    let beats: Vec<Option<i64>> = dead.iter().map(|(_, sign)| sign.beats).collect();
    let began: Vec<i64> = dead.iter().map(|(_, sign)| sign.began).collect();
    let mut calls: BTreeMap<TaskId, BTreeSet<CallId>> = BTreeMap::new();
    for row in client.query(&sql.calls_of, &[&callers, &beats, &began]).await.map_err(Fault::before)? {
        let call = CallId::from_bytes(rows::get::<Uuid>(&row, 1)?.into_bytes());
        calls.entry(rows::task_id(&row, 0)?).or_default().insert(call);
    }
    tracing::warn!(?callers, tasks = calls.len(), "processes have died with model calls under way");
    let left = calls
        .into_iter()
        .map(|(task, calls)| (task, Left { leases: None, calls: Some(LostCalls::These(calls)) }));
    // The next look finds what somebody works on now.
    end(link, &left.collect(), Busy::Skip, shared, &mut swept, news).await?;
    Ok(swept)
}

/// Tells the tasks, a transaction for each slice of them.
async fn end(
    link: &Link,
    left: &BTreeMap<TaskId, Left>,
    busy: Busy,
    shared: &Shared,
    swept: &mut Swept,
    news: &mut News,
) -> Result<(), Fault> {
    let ids: Vec<TaskId> = left.keys().copied().collect();
    for slice in ids.chunks(SLICE) {
        let (now, mut drafts) = load(link, slice, busy, Leases::AtOnce, true).await?;
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
            if let Some(command) = &left.leases {
                let was = draft.view().clone();
                if let Ok(changes) = draft.decide(command, now, shared.dice())
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

/// How many leases ended.
pub(super) fn ended_leases(before: &Task, changes: &Changes) -> usize {
    let leased = |step: &octollm_lifecycle::Step| matches!(step.state, StepState::Leased(_));
    before.steps.iter().zip(&changes.after.steps).filter(|(was, is)| leased(was) && !leased(is)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(n: u8) -> Uuid {
        Uuid::from_bytes([n; 16])
    }

    fn at(looks: i64) -> Timestamp {
        Timestamp::from_millis(looks * 3_000)
    }

    const fn sign(beats: Option<i64>, began: i64) -> Sign {
        Sign { beats, began }
    }

    fn who(dead: &[(Uuid, Sign)]) -> Vec<Uuid> {
        dead.iter().map(|(caller, _)| *caller).collect()
    }

    /// P1: a dead caller is known as such; one that counts, however slowly, or begins a call is not.
    #[test]
    fn who_gives_no_other_sign_is_dead_and_nobody_else() {
        let mut watch = Watch::default();
        for look in 0..30 {
            assert!(watch.is_due(at(look)));
            let found = [
                (caller(1), sign(Some(look / 5), 0)),
                (caller(2), sign(Some(7), 0)),
                (caller(3), sign(None, 0)),
                (caller(4), sign(Some(7), look / 5)),
            ];
            let expected: &[Uuid] = if look < 5 { &[] } else { &[caller(2), caller(3)] };
            assert_eq!(who(&watch.look(at(look), found)), expected, "look {look}");
        }
    }

    /// A time without a look is no time in which somebody stood still.
    #[test]
    fn an_outage_makes_nobody_dead() {
        let mut watch = Watch::default();
        for now in [0, 1, 100, 101] {
            assert!(watch.look(at(now), [(caller(1), sign(Some(7), 0))]).is_empty());
        }
        assert!(watch.look(at(102), [(caller(1), sign(Some(8), 0))]).is_empty());
        assert!(watch.look(at(103), [(caller(1), sign(Some(8), 0))]).is_empty());
    }

    #[test]
    fn who_counts_again_after_standing_still_is_alive() {
        let mut watch = Watch::default();
        for look in 0..6 {
            watch.look(at(look), [(caller(1), sign(Some(7), 0))]);
        }
        assert!(watch.look(at(6), [(caller(1), sign(Some(8), 0))]).is_empty());
        assert!(watch.look(at(7), []).is_empty(), "it has nothing under way");
        let again = watch.look(at(8), [(caller(1), sign(Some(8), 0))]);
        assert!(again.is_empty(), "what was seen of it before is forgotten");
    }

    #[test]
    fn looks_are_apart() {
        let mut watch = Watch::default();
        watch.look(at(1), []);
        assert!(!watch.is_due(at(1) + Millis::new(2_999)));
        assert!(watch.is_due(at(2)));
        assert!(watch.is_due(at(0)), "a clock that was set back");
    }
}
