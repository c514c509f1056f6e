//! The sweep: what has run out, and what a crash may have left between states. And workers
//! that are gone.
//!
//! What is due is found by its moment. Beside that, each sweep of an audit reads a slice of the
//! open tasks anew from their rows, once after the start and then from time to time.

use crate::{
    Lost, StoreError, Swept,
    sqlite::{
        fault::Fault,
        rows,
        writer::{Request, Writer},
    },
};
use octollm_contract::{Millis, TaskId, Timestamp};
use octollm_lifecycle::{Changes, Command, LostCalls, StepState, Task, Unheard};
use std::collections::{BTreeMap, BTreeSet};

/// A sweep looks at so many open tasks of an audit.
const AUDIT_SLICE: usize = 256;
/// Between the end of an audit and the begin of the next.
const AUDIT_EVERY: Millis = Millis::from_secs(600);
/// A task that cannot be read is looked at again after this.
const PUT_OFF: Millis = Millis::from_secs(3600);
/// One request never sweeps more tasks.
const SWEEP_MAX: usize = 256;

/// [`crate::Tasks::sweep`].
pub(crate) struct Sweep {
    pub(crate) most: usize,
    pub(crate) unheard: Option<Unheard>,
}

/// Ends every model call that is under way.
pub(crate) struct LoseCallers;

/// [`crate::Tasks::lose`].
pub(crate) struct Lose(pub(crate) Lost);

/// Where the audit of the open tasks stands.
#[derive(Clone, Debug, Default)]
pub(crate) enum Audit {
    /// Begins with the next sweep.
    #[default]
    Due,
    /// Goes on behind this task.
    At { state: usize, tenant: String, task: [u8; 16] },
    /// Begins anew then.
    Rests { until: Timestamp },
}

impl Request for Sweep {
    type Answer = Result<Swept, StoreError>;

    fn run(&self, writer: &mut Writer<'_>) -> Result<Self::Answer, Fault> {
        let most = self.most.min(SWEEP_MAX);
        let now = writer.now();
        let mut swept = Swept::default();
        let asked = (now.as_millis(), rows::limit(most));
        let mut due = BTreeMap::new();
        earliest(writer.sql.lapsed.query(asked)?, &mut due)?;
        earliest(writer.sql.overdue.query(asked)?, &mut due)?;
        let due: BTreeSet<_> = due.into_iter().map(|(id, at)| (at, id)).collect();
        for (_, id) in due.into_iter().take(most) {
            let ran_out = writer.shared.space.ran_out_so_often();
            let done = writer.unit(|writer| expire(writer, id, (now, self.unheard), &mut swept))?;
            if let Err(error) = done {
                if writer.shared.space.ran_out_so_often() > ran_out {
                    // It is not the task's fault, and the others would fare no better.
                    return Ok(Err(error));
                }
                tracing::error!(task = %id, error = &error as &dyn std::error::Error, "a task cannot be swept; it is put off");
                // When this fails too, the next sweep meets the task again.
                let _met_again = writer.unit(|writer| put_off(writer, id, now))?;
            }
        }
        if most > 0 {
            audit(writer, now, &mut swept)?;
        }
        swept.next = next(writer)?;
        writer.told_expiry = swept.next;
        if matches!(writer.audit, Audit::At { .. }) {
            swept.next = Some(now);
        }
        Ok(Ok(swept))
    }

    fn failed(&self, why: &mut dyn FnMut() -> StoreError) -> Self::Answer {
        Err(why())
    }

    fn units(&self) -> usize {
        self.most.min(SWEEP_MAX)
    }
}

impl Request for Lose {
    type Answer = Result<Swept, StoreError>;

    fn run(&self, writer: &mut Writer<'_>) -> Result<Self::Answer, Fault> {
        let Lose(lost) = self;
        let command = lost.command();
        let mut held = match lost {
            Lost::Worker(worker) => writer.sql.leases_of.query([worker.as_str()])?,
            Lost::WorkersOf { label } => writer.sql.leases_named.query([label.as_str()])?,
            Lost::Everyone => writer.sql.leases_named.query([""])?,
        };
        let mut tasks = BTreeSet::new();
        while let Some(row) = held.next()? {
            tasks.insert(rows::task_id(row, 0)?);
        }
        drop(held);
        let mut swept = Swept::default();
        let mut touched = BTreeSet::new();
        for task in tasks {
            let done = writer.unit(|writer| writer.command(task, &command))?;
            match done {
                Ok(Some((before, changes))) => {
                    swept.lapsed += lapsed(&before, &changes);
                    touched.insert(task);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%task, error = &error as &dyn std::error::Error, "a lost lease cannot be taken back");
                }
            }
        }
        if *lost == Lost::Everyone {
            lose_callers(writer, &mut touched, &mut swept)?;
        }
        swept.tasks = touched.len();
        swept.next = next(writer)?;
        Ok(Ok(swept))
    }

    fn failed(&self, why: &mut dyn FnMut() -> StoreError) -> Self::Answer {
        Err(why())
    }
}

impl Request for LoseCallers {
    type Answer = Result<Swept, StoreError>;

    fn run(&self, writer: &mut Writer<'_>) -> Result<Self::Answer, Fault> {
        let (mut touched, mut swept) = (BTreeSet::new(), Swept::default());
        lose_callers(writer, &mut touched, &mut swept)?;
        swept.tasks = touched.len();
        swept.next = next(writer)?;
        Ok(Ok(swept))
    }

    fn failed(&self, why: &mut dyn FnMut() -> StoreError) -> Self::Answer {
        Err(why())
    }
}

/// What is under way was called by nobody that is alive.
fn lose_callers(
    writer: &mut Writer<'_>,
    touched: &mut BTreeSet<TaskId>,
    swept: &mut Swept,
) -> Result<(), Fault> {
    let mut calling = Vec::new();
    let mut found = writer.sql.all_calling.query([])?;
    while let Some(row) = found.next()? {
        calling.push(rows::task_id(row, 0)?);
    }
    drop(found);
    for task in calling {
        match writer.unit(|writer| writer.command(task, &Command::CallerLost(LostCalls::All)))? {
            Ok(Some((_, changes))) => {
                swept.presume(task, changes.settled());
                touched.insert(task);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%task, error = &error as &dyn std::error::Error, "a lost call cannot be settled");
            }
        }
    }
    Ok(())
}

/// Notes for each task the earliest moment that is due.
fn earliest(mut found: rusqlite::Rows<'_>, due: &mut BTreeMap<TaskId, Timestamp>) -> Result<(), Fault> {
    while let Some(row) = found.next()? {
        let at = rows::moment(row, 1)?;
        due.entry(rows::task_id(row, 0)?).and_modify(|known| *known = at.min(*known)).or_insert(at);
    }
    Ok(())
}

fn expire(
    writer: &mut Writer<'_>,
    id: TaskId,
    (now, unheard): (Timestamp, Option<Unheard>),
    swept: &mut Swept,
) -> Result<(), Fault> {
    let Some((before, changes)) = writer.command(id, &Command::Expire { unheard })? else { return Ok(()) };
    let overdue = before.next_deadline().is_some_and(|deadline| deadline <= now);
    swept.overdue += usize::from(overdue);
    swept.repaired += usize::from(changes.repaired);
    swept.lapsed += lapsed(&before, &changes);
    swept.presume(id, changes.settled());
    swept.tasks += 1;
    Ok(())
}

/// How many leases ended.
fn lapsed(before: &Task, changes: &Changes) -> usize {
    let leased = |step: &octollm_lifecycle::Step| matches!(step.state, StepState::Leased(_));
    before.steps.iter().zip(&changes.after.steps).filter(|(was, is)| leased(was) && !leased(is)).count()
}

fn put_off(writer: &mut Writer<'_>, id: TaskId, now: Timestamp) -> Result<(), Fault> {
    let later = (now + PUT_OFF).as_millis();
    writer.sql.put_off_leases.execute((id.to_bytes(), later))?;
    writer.sql.put_off_deadline.execute((id.to_bytes(), later))?;
    Ok(())
}

/// The next lease or deadline that runs out.
fn next(writer: &mut Writer<'_>) -> Result<Option<Timestamp>, Fault> {
    let lapse = writer.sql.next_lapse.query_row([], |row| rows::moment_if(row, 0))?;
    let due = writer.sql.next_due.query_row([], |row| rows::moment_if(row, 0))?;
    Ok(lapse.into_iter().chain(due).min())
}

/// Looks at the next open tasks, from their rows.
fn audit(writer: &mut Writer<'_>, now: Timestamp, swept: &mut Swept) -> Result<(), Fault> {
    let (mut state, mut tenant, mut task) = match &writer.audit {
        Audit::Rests { until } if now < *until => return Ok(()),
        Audit::Rests { .. } | Audit::Due => (0, String::new(), [0; 16]),
        Audit::At { state, tenant, task } => (*state, tenant.clone(), *task),
    };
    let mut left = AUDIT_SLICE;
    while let Some(name) = rows::OPEN_STATES.get(state) {
        let mut found = Vec::new();
        let mut open = writer.sql.open_after.query((name, &tenant, task, rows::limit(left)))?;
        while let Some(row) = open.next()? {
            found.push((row.get::<_, String>(0)?, rows::task_id(row, 1)?));
        }
        drop(open);
        for (_, id) in &found {
            let done = writer.unit(|writer| inspect(writer, *id, now, swept))?;
            if let Err(error) = done {
                tracing::error!(task = %id, error = &error as &dyn std::error::Error, "a task cannot be audited");
            }
        }
        left = left.saturating_sub(found.len());
        match found.pop().filter(|_| left == 0) {
            Some((last_tenant, last)) => {
                writer.audit = Audit::At { state, tenant: last_tenant, task: last.to_bytes() };
                return Ok(());
            }
            None => (state, tenant, task) = (state + 1, String::new(), [0; 16]),
        }
    }
    writer.audit = Audit::Rests { until: now + AUDIT_EVERY };
    Ok(())
}

fn inspect(writer: &mut Writer<'_>, id: TaskId, now: Timestamp, swept: &mut Swept) -> Result<(), Fault> {
    writer.views.distrust(id);
    // What is due is swept as such, and counts against what a sweep may do.
    if writer.view(id)?.is_none_or(|task| task.next_expiry().is_some_and(|at| at <= now)) {
        return Ok(());
    }
    expire(writer, id, (now, None), swept)?;
    let Some(task) = writer.view(id)? else { return Ok(()) };
    if writer.restore_queue(&task)? > 0 {
        tracing::error!(task = %id, "a ready step was missing in the queue; it is put back");
        swept.repaired += 1;
    }
    Ok(())
}
