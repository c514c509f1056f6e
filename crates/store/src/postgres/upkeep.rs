//! What keeps the store in order: the sweep of what has run out, the audit of what a crash may have
//! left, and who leads. Its lane also does what is asked rarely: retention and keys.

use super::{
    decide::commit,
    draft::{Busy, Draft, Drafts, Leases, load},
    editions,
    fault::{Fault, Stage},
    gone::{self, ended_leases},
    keys,
    lane::{Done, Shared, Work},
    link::Link,
    news::News,
    notes, retention, rows,
    writes::Writes,
};
use crate::{
    Lost, StoreError, Swept,
    columns::{OPEN_STATES, priority_number},
};
use octollm_access::{KeyRecord, Revocation, RingKey, TenantScope};
use octollm_contract::{KeyId, Millis, TaskId, Timestamp};
use octollm_lifecycle::{Command, StepState, Task, Unheard};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// A sweep looks at so many open tasks of an audit.
const AUDIT_SLICE: usize = 256;
/// Between the end of an audit and the begin of the next.
const AUDIT_EVERY: Millis = Millis::from_secs(600);
/// A task that cannot be read is looked at again after this.
const PUT_OFF: Millis = Millis::from_secs(3600);
/// One transaction never sweeps more tasks.
const SWEEP_MAX: usize = 256;
/// The figures of finished steps are kept for so many minutes.
const MINUTES_KEPT: i64 = 60;
/// Whether there are notes to roll up is looked at so often at most, so that each time takes many.
const NOTES_EVERY: Duration = Duration::from_secs(5);
/// A hot table with so many dead rows is written anew.
const DEAD_MAX: i64 = 10_000;
/// One with more rows than this that live is left to the server: writing it would hold others up.
const LIVE_MAX: i64 = 20_000;

/// A process shows that it lives so often at most.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// Who leads leads for so long, unless it says so again.
const LEADS_FOR: Millis = Millis::from_secs(10);

macro_rules! renew {
    ($table:literal) => {
        concat!(
            "BEGIN; SET LOCAL lock_timeout = '300ms'; LOCK TABLE ",
            $table,
            " IN ACCESS EXCLUSIVE MODE; CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM ",
            $table,
            "; TRUNCATE ",
            $table,
            "; INSERT INTO ",
            $table,
            " SELECT * FROM kept; COMMIT"
        )
    };
}

/// Nobody else sees anything of it but a short wait.
const RENEW_READY: &str = renew!("ready");
const RENEW_LEASE: &str = renew!("lease");
const RENEW_HOLD: &str = renew!("hold");

/// What can be asked for.
#[derive(Debug)]
pub(super) enum Chore {
    /// [`crate::Tasks::sweep`].
    Sweep { most: usize, unheard: Option<Unheard> },
    /// [`crate::Tasks::bury`].
    Bury,
    /// [`crate::Tasks::lose`].
    Lose(Lost),
    /// A slice of [`crate::Tasks::prune`].
    Prune { ended_before: Timestamp, most: usize },
    /// [`crate::Tasks::roll_up`].
    RollUp { most: usize },
    /// [`crate::Keys::put_key`].
    PutKey(Box<KeyRecord>),
    /// [`crate::Keys::put_first_key`].
    PutFirstKey(Box<KeyRecord>),
    /// [`crate::Keys::revoke_key`].
    RevokeKey { id: KeyId, scope: TenantScope, at: Timestamp },
    /// [`crate::Keys::add_to_ring`].
    AddToRing { key: RingKey, now: Timestamp },
    /// [`crate::Tasks::leads`].
    Lead { office: &'static str },
}

/// What was done.
pub(super) enum Outcome {
    Swept(Swept),
    /// So many were removed, or rolled up.
    Many(usize),
    Was(bool),
    Revocation(Revocation),
}

/// Where the audit of the open tasks stands.
#[derive(Clone, Debug, Default)]
enum Audit {
    /// Begins with the next sweep.
    #[default]
    Due,
    /// Goes on behind this task.
    At { state: usize, tenant: String, task: Uuid },
    /// Begins anew then.
    Rests { until: Timestamp },
}

pub(super) struct Upkeep {
    shared: Arc<Shared>,
    audit: Mutex<Audit>,
    /// When to look whether there are notes to roll up.
    look_for_notes: Mutex<Instant>,
    /// Whose model calls are under way.
    callers: Mutex<gone::Watch>,
    /// When this process has last shown that it lives.
    beat_at: Mutex<Option<Instant>>,
}

impl Upkeep {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Upkeep {
            shared,
            audit: Mutex::default(),
            look_for_notes: Mutex::new(Instant::now()),
            callers: Mutex::default(),
            beat_at: Mutex::default(),
        }
    }
}

impl Work for Upkeep {
    type Ask = Chore;
    type Answer = Result<Outcome, StoreError>;

    /// Chores go one by one.
    fn units(&self, _chore: &Chore) -> usize {
        super::lane::BATCH_MAX
    }

    async fn run(&self, link: &Link, chores: &[&Chore]) -> Result<Done<Self::Answer>, Fault> {
        let mut answers = Vec::with_capacity(chores.len());
        let mut news = News::default();
        for chore in chores {
            let outcome = match chore {
                Chore::Sweep { most, unheard } => {
                    Outcome::Swept(self.sweep(link, (*most, *unheard), &mut news).await?)
                }
                Chore::Bury => {
                    Outcome::Swept(gone::bury(link, &self.callers, &self.shared, &mut news).await?)
                }
                Chore::Lose(lost) => Outcome::Swept(gone::lose(link, lost, &self.shared, &mut news).await?),
                Chore::Prune { ended_before, most } => {
                    Outcome::Many(retention::prune(link, *ended_before, *most).await?)
                }
                Chore::RollUp { most } => Outcome::Many(self.roll_up(link, *most).await?),
                Chore::PutKey(key) => {
                    keys::put(link, key).await?;
                    Outcome::Was(true)
                }
                Chore::PutFirstKey(key) => Outcome::Was(keys::put_first(link, key).await?),
                Chore::RevokeKey { id, scope, at } => {
                    Outcome::Revocation(keys::revoke(link, id, scope, *at).await?)
                }
                Chore::AddToRing { key, now } => {
                    keys::add_to_ring(link, key, *now).await?;
                    Outcome::Was(true)
                }
                Chore::Lead { office } => Outcome::Was(self.lead(link, office).await?),
            };
            answers.push(Ok(outcome));
        }
        Ok(Done { answers, news })
    }

    fn failed(&self, _chore: &Chore, why: &dyn Fn() -> StoreError) -> Self::Answer {
        Err(why())
    }
}

/// The outcome of a statement that is a transaction of its own.
pub(super) fn done<T>(link: &Link, outcome: Result<T, tokio_postgres::Error>) -> Result<T, Fault> {
    let outcome = outcome.map_err(|error| Fault::of(error, Stage::Commit))?;
    link.confirmed()?;
    Ok(outcome)
}

impl Upkeep {
    async fn sweep(
        &self,
        link: &Link,
        (most, unheard): (usize, Option<Unheard>),
        news: &mut News,
    ) -> Result<Swept, Fault> {
        let most = most.min(SWEEP_MAX);
        let (client, sql) = (&link.client, &link.sql);
        let told = client.query_one(&sql.moment, &[]).await.map_err(Fault::before)?;
        let now = link.clock.moment(rows::get(&told, 0)?);
        let mut swept = Swept::default();
        let (at, limit) = (now.as_millis(), rows::limit(most));
        let (lapsed, overdue) = tokio::try_join!(
            biased;
            async { client.query(&sql.lapsed, &[&at, &limit]).await },
            async { client.query(&sql.overdue, &[&at, &limit]).await },
        )
        .map_err(Fault::before)?;
        let mut due: BTreeMap<TaskId, Timestamp> = BTreeMap::new();
        for row in lapsed.iter().chain(&overdue) {
            let at = rows::moment(row, 1)?;
            due.entry(rows::task_id(row, 0)?).and_modify(|known| *known = at.min(*known)).or_insert(at);
        }
        let due: BTreeSet<(Timestamp, TaskId)> = due.into_iter().map(|(id, at)| (at, id)).collect();
        let due: Vec<TaskId> = due.into_iter().take(most).map(|(_, id)| id).collect();
        if !due.is_empty() {
            let (now, mut drafts) = load(link, &due, Busy::Wait, Leases::AtOnce, true).await?;
            let unreadable = self.expire(&due, &mut drafts, (now, unheard), &mut swept);
            news.add(self.commit(link, &drafts, &unreadable, now).await?);
        }
        if most > 0 {
            self.audit(link, now, &mut swept, news).await?;
        }
        self.renew(link).await;
        let minute = now.as_millis().div_euclid(60_000) - MINUTES_KEPT;
        let looks = self.looks_for_notes();
        let (_, next) = tokio::try_join!(
            biased;
            async { client.execute(&sql.forget_finished, &[&minute]).await },
            async { client.query_one(&sql.next_expiry, &[&looks]).await },
        )
        .map_err(Fault::before)?;
        swept.next = rows::moment_if(&next, 0)?;
        swept.notes = rows::get(&next, 1)?;
        if looks && !swept.notes {
            self.look_for_notes_at(Instant::now() + NOTES_EVERY);
        }
        self.shared.told.expects(swept.next);
        if matches!(*self.audit.lock().unwrap_or_else(PoisonError::into_inner), Audit::At { .. }) {
            swept.next = Some(now);
        }
        Ok(swept)
    }

    fn looks_for_notes(&self) -> bool {
        *self.look_for_notes.lock().unwrap_or_else(PoisonError::into_inner) <= Instant::now()
    }

    fn look_for_notes_at(&self, at: Instant) {
        *self.look_for_notes.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    async fn roll_up(&self, link: &Link, most: usize) -> Result<usize, Fault> {
        // A slice that is cut off is not tried again with each sweep, and one that fails neither.
        self.look_for_notes_at(Instant::now() + NOTES_EVERY);
        let rolled = notes::roll_up(link, most).await;
        // When all that was asked for was there, there is more.
        let more = rolled.as_ref().is_ok_and(|rolled| *rolled >= most);
        let again = if more { Duration::ZERO } else { NOTES_EVERY };
        self.look_for_notes_at(Instant::now() + again);
        rolled
    }

    /// Writes hot tables anew that are full of dead rows. The server can clear none away that a
    /// transaction could still see which somebody holds open; each claim would walk over all of them.
    async fn renew(&self, link: &Link) {
        let found = match link.client.query(&link.sql.worn, &[&DEAD_MAX, &LIVE_MAX]).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the hot tables cannot be looked at"
                );
                return;
            }
        };
        for row in &found {
            let table = match row.try_get::<_, &str>(0) {
                Ok("ready") => RENEW_READY,
                Ok("lease") => RENEW_LEASE,
                Ok("hold") => RENEW_HOLD,
                Ok(_) | Err(_) => continue,
            };
            // Somebody may use the table for long: then another time.
            if let Err(error) = link.client.batch_execute(table).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a hot table could not be written anew"
                );
                link.forget().await;
            }
        }
    }

    /// Tells the due tasks that time has passed. Those that cannot be read are given back.
    fn expire(
        &self,
        due: &[TaskId],
        drafts: &mut Drafts,
        (now, unheard): (Timestamp, Option<Unheard>),
        swept: &mut Swept,
    ) -> Vec<TaskId> {
        let mut unreadable = Vec::new();
        for id in due {
            match drafts.get(*id) {
                Some(Ok(draft)) => self.expire_one(draft, (now, unheard), swept),
                Some(Err(fault)) => {
                    tracing::error!(task = %id, ?fault, "a task cannot be swept; it is put off");
                    unreadable.push(*id);
                }
                None => {}
            }
        }
        unreadable
    }

    fn expire_one(&self, draft: &mut Draft, (now, unheard): (Timestamp, Option<Unheard>), swept: &mut Swept) {
        let overdue = draft.before.next_deadline().is_some_and(|deadline| deadline <= now);
        let expire = Command::Expire { unheard };
        let Ok(changes) = draft.decide(&expire, now, self.shared.dice()) else { return };
        if changes.is_empty() {
            return;
        }
        swept.overdue += usize::from(overdue);
        swept.repaired += usize::from(changes.repaired);
        swept.lapsed += ended_leases(&draft.before, &changes);
        swept.presume(draft.before.id, changes.settled());
        swept.tasks += 1;
    }

    /// Writes, puts off what cannot be read, and ends the transaction.
    async fn commit(
        &self,
        link: &Link,
        drafts: &Drafts,
        unreadable: &[TaskId],
        now: Timestamp,
    ) -> Result<News, Fault> {
        if !unreadable.is_empty() {
            let later = (now + PUT_OFF).as_millis();
            let keys: Vec<Uuid> = unreadable.iter().copied().map(rows::uuid).collect();
            tokio::try_join!(
                biased;
                async { link.client.execute(&link.sql.put_off_leases, &[&keys, &later]).await },
                async { link.client.execute(&link.sql.put_off_due, &[&keys, &later]).await },
            )
            .map_err(Fault::before)?;
        }
        commit(link, drafts).await
    }

    /// Looks at the next open tasks, from their rows. A transaction for each slice.
    async fn audit(
        &self,
        link: &Link,
        now: Timestamp,
        swept: &mut Swept,
        news: &mut News,
    ) -> Result<(), Fault> {
        let stands = self.audit.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut state, mut tenant, mut task) = match stands {
            Audit::Rests { until } if now < until => return Ok(()),
            Audit::Rests { .. } | Audit::Due => (0, String::new(), Uuid::nil()),
            Audit::At { state, tenant, task } => (state, tenant, task),
        };
        let mut left = AUDIT_SLICE;
        let mut ids = BTreeSet::new();
        let mut next = Audit::Rests { until: now + AUDIT_EVERY };
        while let Some(name) = OPEN_STATES.get(state) {
            let limit = rows::limit(left);
            let open = link.client.query(&link.sql.open_after, &[name, &tenant, &task, &limit]).await;
            let open = open.map_err(Fault::before)?;
            for row in &open {
                ids.insert(rows::task_id(row, 1)?);
            }
            left = left.saturating_sub(open.len());
            if left == 0
                && let Some(last) = open.last()
            {
                next = Audit::At { state, tenant: rows::get(last, 0)?, task: rows::get(last, 1)? };
                break;
            }
            (state, tenant, task) = (state + 1, String::new(), Uuid::nil());
        }
        if !ids.is_empty() {
            let ids: Vec<TaskId> = ids.into_iter().collect();
            news.add(self.inspect(link, &ids, swept).await?);
        }
        *self.audit.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    async fn inspect(&self, link: &Link, ids: &[TaskId], swept: &mut Swept) -> Result<News, Fault> {
        // Whoever works on a task now keeps it in order.
        let (now, mut drafts) = load(link, ids, Busy::Skip, Leases::AtOnce, true).await?;
        for (id, found) in &mut drafts.tasks {
            match found {
                // What is due is swept as such, and counts against what a sweep may do.
                Ok(draft) if draft.before.next_expiry().is_some_and(|at| at <= now) => {}
                Ok(draft) => self.expire_one(draft, (now, None), swept),
                Err(fault) => tracing::error!(task = %id, ?fault, "a task cannot be audited"),
            }
        }
        let missing = missing(link, &drafts).await?;
        let mut news = News::default();
        let mut writes = Writes::of(&drafts, link.process, &mut news);
        let mut touched = BTreeSet::new();
        for (task, place) in missing {
            let Some(step) = task.step(place) else { continue };
            if let StepState::Ready { from } = step.state {
                tracing::error!(task = %task.id, place, "a ready step was missing in the queue; it is put back");
                writes.enqueue(task, place, step.arm, from, &mut news);
                touched.insert(task.id);
            }
        }
        writes.commit(link, Vec::new()).await?;
        swept.repaired += touched.len();
        Ok(news)
    }

    async fn lead(&self, link: &Link, office: &str) -> Result<bool, Fault> {
        let length = i64::try_from(LEADS_FOR.get()).unwrap_or(i64::MAX);
        // Who asks is alive, and may ask often.
        let beat_at = || self.beat_at.lock().unwrap_or_else(PoisonError::into_inner);
        let beats = beat_at().is_none_or(|at| at.elapsed() >= BEAT_EVERY);
        let asked = tokio::try_join!(
            biased;
            async { link.client.query_opt(&link.sql.lead, &[&office, &link.process, &length]).await },
            async { if beats { gone::beat(link).await } else { Ok(()) } },
            async { if beats { editions::look(link, &self.shared.readers).await } else { Ok(()) } },
        );
        let (leads, (), ()) = done(link, asked)?;
        if beats {
            *beat_at() = Some(Instant::now());
        }
        Ok(leads.is_some())
    }
}

/// Ready steps, in tasks that have not changed, whose row is missing in the queue.
async fn missing<'d>(link: &Link, drafts: &'d Drafts) -> Result<Vec<(&'d Task, u16)>, Fault> {
    let mut asked: Vec<(&Task, u16)> = Vec::new();
    let (mut arms, mut tenants, mut priorities, mut sinces) = (vec![], vec![], vec![], vec![]);
    let (mut tasks, mut places, mut numbers) = (vec![], vec![], vec![]);
    for draft in drafts.tasks.values().flatten().filter(|draft| draft.after.is_none()) {
        for (place, step) in draft.before.places() {
            if let StepState::Ready { from } = step.state {
                arms.push(step.arm.as_str());
                tenants.push(draft.before.tenant.as_str());
                priorities.push(i32::try_from(priority_number(draft.before.priority)).unwrap_or(0));
                sinces.push(from.as_millis());
                tasks.push(rows::uuid(draft.before.id));
                places.push(i32::from(place));
                numbers.push(i32::try_from(asked.len()).unwrap_or(i32::MAX));
                asked.push((&draft.before, place));
            }
        }
    }
    if asked.is_empty() {
        return Ok(asked);
    }
    let found = link
        .client
        .query(&link.sql.not_queued, &[&arms, &tenants, &priorities, &sinces, &tasks, &places, &numbers])
        .await
        .map_err(Fault::before)?;
    let mut missing = Vec::new();
    for row in &found {
        let at = usize::try_from(rows::get::<i32>(row, 0)?).unwrap_or(usize::MAX);
        missing.extend(asked.get(at).copied());
    }
    Ok(missing)
}
