//! Tasks under lock: what they were, and what a transaction makes of them.

use super::{fault::Fault, link::Link, rows};
use octollm_contract::{Document, TaskId, Timestamp};
use octollm_lifecycle::{Changes, Command, Dice, Event, Kept, Refusal, Tally, Task};
use std::collections::{BTreeMap, HashMap};
use tokio_postgres::Row;
use uuid::Uuid;

/// A task that this transaction has locked. Several commands may follow each other; what is
/// written is the difference between the first view and the last.
pub(super) struct Draft {
    pub(super) before: Task,
    /// It has a row of accounts.
    pub(super) counted: bool,
    /// What it has become; absent as long as nothing was decided.
    pub(super) after: Option<Task>,
    pub(super) events: Vec<Event>,
    pub(super) kept: Vec<Kept>,
    pub(super) plan: Option<Document>,
    /// What all decisions together add to the figures.
    pub(super) tally: Tally,
}

impl Draft {
    /// The task as it stands now.
    pub(super) fn view(&self) -> &Task {
        self.after.as_ref().unwrap_or(&self.before)
    }

    /// Asks the state machine and notes what it says.
    pub(super) fn decide(
        &mut self,
        command: &Command,
        now: Timestamp,
        dice: Dice,
    ) -> Result<Changes, Refusal> {
        let changes = octollm_lifecycle::decide(self.view(), command, now, dice)?;
        if !changes.is_empty() {
            let tally = Tally::of(self.view(), &changes, now);
            self.tally.add(&tally);
            self.after = Some(changes.after.clone());
            self.events.extend_from_slice(&changes.events);
            self.kept.extend_from_slice(&changes.kept);
            if let Some(plan) = &changes.plan {
                self.plan = Some(plan.clone());
            }
        }
        Ok(changes)
    }
}

/// What is done about tasks that another transaction has locked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    /// Wait for its end.
    Wait,
    /// Leave them out.
    Skip,
}

/// When the leases of tasks are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leases {
    /// With the tasks: most of them have some.
    AtOnce,
    /// After them, where a step has one: few do.
    WhereSome,
}

/// The tasks of a transaction by id; the error of one that cannot be read.
#[derive(Default)]
pub(super) struct Drafts {
    pub(super) tasks: BTreeMap<TaskId, Result<Draft, Fault>>,
}

impl Drafts {
    /// The draft of a task; `None` when there is no such task, or it was left out.
    pub(super) fn get(&mut self, id: TaskId) -> Option<Result<&mut Draft, &Fault>> {
        self.tasks.get_mut(&id).map(|found| found.as_mut().map_err(|fault| &*fault))
    }

    /// Those that have changed.
    pub(super) fn changed(&self) -> impl Iterator<Item = &Draft> {
        self.tasks.values().flatten().filter(|draft| draft.after.is_some())
    }
}

/// Locks tasks and reads them; one round trip, and a second for what few tasks have: accounts of model
/// calls, and leases where `leases` says so. The moment is read after the locks are held. `begin`: the
/// transaction begins with it.
pub(super) async fn load(
    link: &Link,
    ids: &[TaskId],
    busy: Busy,
    leases: Leases,
    begin: bool,
) -> Result<(Timestamp, Drafts), Fault> {
    let (client, sql) = (&link.client, &link.sql);
    let keys: Vec<Uuid> = ids.iter().copied().map(rows::uuid).collect();
    let lock = match busy {
        Busy::Wait => &sql.lock,
        Busy::Skip => &sql.lock_free,
    };
    let at_once = match leases {
        Leases::AtOnce => keys.as_slice(),
        Leases::WhereSome => &[],
    };
    let began = async { if begin { client.batch_execute("BEGIN").await } else { Ok(()) } };
    let rows_of = async |statement, of: &[Uuid]| {
        if of.is_empty() { Ok(Vec::new()) } else { client.query(statement, &[&of]).await }
    };
    let (_, tasks, told, steps, mut found) = tokio::try_join!(
        biased;
        began,
        async { client.query(lock, &[&keys]).await },
        async { client.query_one(&sql.moment, &[]).await },
        async { client.query(&sql.steps, &[&keys]).await },
        rows_of(&sql.leases, at_once),
    )
    .map_err(Fault::before)?;
    let now = link.clock.moment(rows::get(&told, 0)?);
    let steps = by_task(&steps)?;
    let (mut counted, mut leased) = (Vec::new(), Vec::new());
    for row in &tasks {
        let id = rows::task_id(row, 0)?;
        // What cannot be read is found out below, for its task alone.
        if rows::is_counted(row).unwrap_or(false) {
            counted.push(rows::uuid(id));
        }
        let any_leased = || rows_of_task(&steps, id).iter().any(|row| rows::is_leased(row, 1));
        if leases == Leases::WhereSome && any_leased() {
            leased.push(rows::uuid(id));
        }
    }
    let (ledgers, holds, more) = tokio::try_join!(
        biased;
        rows_of(&sql.ledgers, &counted),
        rows_of(&sql.holds, &counted),
        rows_of(&sql.leases, &leased),
    )
    .map_err(Fault::before)?;
    found.extend(more);
    let leases = by_task(&found)?;
    let mut drafts = Drafts::default();
    for row in &tasks {
        let id = rows::task_id(row, 0)?;
        let read =
            read(row, rows_of_task(&steps, id), rows_of_task(&leases, id)).map(|(task, counted)| Draft {
                before: task,
                counted,
                after: None,
                events: Vec::new(),
                kept: Vec::new(),
                plan: None,
                tally: Tally::default(),
            });
        drafts.tasks.insert(id, read);
    }
    count(&mut drafts, &ledgers, &holds)?;
    Ok((now, drafts))
}

fn by_task(found: &[Row]) -> Result<HashMap<TaskId, Vec<&Row>>, Fault> {
    let mut by_task: HashMap<TaskId, Vec<&Row>> = HashMap::new();
    for row in found {
        by_task.entry(rows::task_id(row, 0)?).or_default().push(row);
    }
    Ok(by_task)
}

fn rows_of_task<'m, 'r>(found: &'m HashMap<TaskId, Vec<&'r Row>>, id: TaskId) -> &'m [&'r Row] {
    found.get(&id).map_or(&[], Vec::as_slice)
}

fn read(row: &Row, steps: &[&Row], leases: &[&Row]) -> Result<(Task, bool), Fault> {
    let (mut task, counted) = rows::read_task(row)?;
    let leases = leases.iter().map(|row| rows::read_lease(row, 1)).collect::<Result<Vec<_>, _>>()?;
    let lease = |place| leases.iter().find(|(at, _)| *at == place).map(|(_, lease)| lease.clone());
    task.steps = steps
        .iter()
        .enumerate()
        .map(|(expected, row)| rows::read_step(row, 1, expected, lease))
        .collect::<Result<_, _>>()?;
    Ok((task, counted))
}

/// Adds the accounts and the calls under way.
fn count(drafts: &mut Drafts, ledgers: &[Row], holds: &[Row]) -> Result<(), Fault> {
    for row in ledgers {
        let id = rows::task_id(row, 0)?;
        let Some(found) = drafts.tasks.get_mut(&id) else { continue };
        match (rows::read_ledger(row, 1), &mut *found) {
            (Ok(ledger), Ok(draft)) => draft.before.ledger = ledger,
            (Err(fault), _) => *found = Err(fault),
            (Ok(_), Err(_)) => {}
        }
    }
    for row in holds {
        let id = rows::task_id(row, 0)?;
        let Some(found) = drafts.tasks.get_mut(&id) else { continue };
        match (rows::read_hold(row, 1), &mut *found) {
            (Ok(hold), Ok(draft)) => draft.before.holds.push(hold),
            (Err(fault), _) => *found = Err(fault),
            (Ok(_), Err(_)) => {}
        }
    }
    Ok(())
}
