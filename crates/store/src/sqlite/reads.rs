//! Reads, each on a snapshot of its own: a few read-only connections, used from the runtime's
//! threads for blocking work. An answer that the writer gave came after its commit, so that a
//! caller reads its own writes (P4), and a read is answered when what it saw is on disk (P1). Every read of tenants' data goes through its scope (P7).

use super::{
    disk::Shown,
    fault::{Fault, NoAnswer},
    folder::Folder,
    rows,
};
use crate::{Backend, Backlog, Listing, StepRecord, StoreError, TaskLine, TaskRecord};
use octollm_access::TenantScope;
use octollm_contract::{
    ArmName, ContentHash, Document, IdempotencyKey, LeaseToken, SessionId, StepId, TaskId, TenantId,
    Timestamp,
};
use octollm_lifecycle::{Event, Hold};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;

/// So many reads run at once; others wait.
const READERS: usize = 4;

/// The reading connections.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
    shown: Shown,
}

/// A connection on loan; it goes back however the read ends.
struct Loan {
    connection: Option<Connection>,
    readers: Arc<Readers>,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut idle = self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.connection.take());
    }
}

impl Readers {
    pub(super) fn open(folder: &Folder, shown: Shown) -> Result<Self, rusqlite::Error> {
        let idle = (0..READERS).map(|_| folder.reader()).collect::<Result<_, _>>()?;
        Ok(Readers { idle: Mutex::new(idle), free: Arc::new(Semaphore::new(READERS)), shown })
    }

    /// Closes the connections that nobody uses now; later reads fail.
    pub(super) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Runs `read` on one snapshot, and answers when all of that is on disk.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let unanswered = || StoreError::Unreachable(Backend::new(NoAnswer));
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| unanswered())?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let loan = Loan { connection, readers: Arc::clone(self), _permit: permit };
        let read = tokio::task::spawn_blocking(move || {
            let Some(connection) = &loan.connection else { return Err(unanswered()) };
            snapshot(connection, read).map_err(StoreError::from)
        });
        let answer = read.await.map_err(|_| unanswered())?;
        self.shown.on_disk().await?;
        answer
    }
}

fn snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let transaction = connection.unchecked_transaction()?;
    read(&transaction)
    // Dropping the transaction rolls it back; it has written nothing.
}

/// The reading SQL. Names as in the writer's.
pub(super) mod sql {
    pub(crate) const TENANT: &str = "SELECT tenant FROM task WHERE id = ?1";
    pub(crate) const TASK: &str =
        "SELECT id, tenant, state, state_at, state_place, reason, message, priority, accepted_at, not_before,
         deadline, max_retries, replans, started_at, plan_version, revisions, questions, events,
         l.task IS NOT NULL AS counted, money_granted, money_spent, money_held, tokens_granted, tokens_spent, tokens_held,
         unpriced FROM task LEFT JOIN ledger l ON l.task = id WHERE id = ?1";
    pub(crate) const HOLDS: &str =
        "SELECT call, place, number, cost, tokens, at FROM hold WHERE task = ?1 ORDER BY call";
    pub(crate) const RECEIPTS: &str =
        "SELECT place, number, call, body FROM receipt WHERE task = ?1 ORDER BY place, number, turn";
    pub(crate) const RECEIPT: &str =
        "SELECT body FROM receipt WHERE task = ?1 AND place = ?2 AND number = ?3 ORDER BY turn DESC LIMIT 1";
    pub(crate) const SESSION: &str =
        "SELECT s.task FROM session s JOIN task t ON t.id = s.task WHERE s.tenant = ?1 AND s.name = ?2
         AND s.task < ?3 AND t.ended_at IS NOT NULL ORDER BY s.task DESC LIMIT ?4";
    pub(crate) const STEPS: &str =
        "SELECT place, arm, plan_version, needs, awaits, time_limit, state, state_at, reason, message,
         failure_place, attempts, failures, crashes, releases, spec, output, answer FROM step WHERE task = ?1 ORDER BY place";
    pub(crate) const LEASES: &str =
        "SELECT place, token, worker, granted_at, expires_at FROM lease WHERE task = ?1";
    pub(crate) const CHECKPOINTS: &str = "SELECT place, body FROM checkpoint WHERE task = ?1";
    pub(crate) const PAPER: &str = "SELECT goal, request, plan, session FROM paper WHERE task = ?1";
    pub(crate) const EVENTS: &str = "SELECT number, at, kind, place, count, moment, reason, text FROM event
         WHERE task = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
    pub(crate) const NEXT_TENANT: &str =
        "SELECT tenant FROM task WHERE state = ?1 AND tenant > ?2 ORDER BY tenant LIMIT 1";
    pub(crate) const NEXT_POISONED_TENANT: &str =
        "SELECT tenant FROM task WHERE poison = 1 AND tenant > ?1 ORDER BY tenant LIMIT 1";
    pub(crate) const NEWEST: &str =
        "SELECT id FROM task WHERE state = ?1 AND tenant = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4";
    pub(crate) const NEWEST_POISONED: &str =
        "SELECT id, state FROM task WHERE poison = 1 AND tenant = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";
    pub(crate) const LINE: &str =
        "SELECT t.id, t.state, t.state_at, t.state_place, t.reason, t.message, t.priority, t.accepted_at,
         t.started_at, t.not_before, t.deadline, p.goal FROM task t JOIN paper p ON p.task = t.id WHERE t.id = ?1";
    pub(crate) const READY: &str = "SELECT count(*), min(since) FROM ready WHERE arm = ?1 AND since <= ?2";
    pub(crate) const LEASED: &str = "SELECT count(*) FROM lease WHERE arm = ?1";
    pub(crate) const FINISHED: &str = "SELECT steps FROM finished WHERE arm = ?1 AND minute = ?2";
    pub(crate) const LEASE: &str = "SELECT token, expires_at FROM lease WHERE task = ?1 AND place = ?2";
    pub(crate) const ACCEPTED_UNDER: &str =
        "SELECT task, hash FROM idempotency WHERE tenant = ?1 AND key = ?2";
    pub(crate) const REFERS: &str = "SELECT 1 FROM artefact WHERE task = ?1 AND hash = ?2";
    pub(crate) const ARTEFACTS: &str = "SELECT DISTINCT hash FROM artefact";
    pub(crate) const OPEN_TASKS: &str = "SELECT count(*) FROM task WHERE state = ?1";
    pub(crate) const USAGE_OF: &str =
        "SELECT day, tenant, subject, done, failed, cancelled, attempts, took, worst, calls, unpriced, cost, tokens
         FROM usage_day WHERE tenant = ?4 AND day BETWEEN ?1 AND ?2 AND (day > ?1 OR tenant > ?3) ORDER BY day, subject";
    pub(crate) const USAGE: &str =
        "SELECT day, tenant, subject, done, failed, cancelled, attempts, took, worst, calls, unpriced, cost, tokens
         FROM usage_day WHERE day BETWEEN ?1 AND ?2 AND (day > ?1 OR tenant > ?3) ORDER BY day, tenant, subject";
    pub(crate) const KEYS: &str =
        "SELECT id, tenant, verifier, role, scopes, policy, label, created_at, revoked_at FROM api_key";

    pub(crate) const RING: &str =
        "SELECT seed, signs_from, opens_until FROM ring_key ORDER BY signs_from, seed";

    #[cfg(test)]
    pub(crate) const ALL: &[(&str, &str)] = &[
        ("TENANT", TENANT),
        ("TASK", TASK),
        ("HOLDS", HOLDS),
        ("RECEIPTS", RECEIPTS),
        ("RECEIPT", RECEIPT),
        ("SESSION", SESSION),
        ("STEPS", STEPS),
        ("LEASES", LEASES),
        ("CHECKPOINTS", CHECKPOINTS),
        ("PAPER", PAPER),
        ("EVENTS", EVENTS),
        ("NEXT_TENANT", NEXT_TENANT),
        ("NEXT_POISONED_TENANT", NEXT_POISONED_TENANT),
        ("NEWEST", NEWEST),
        ("NEWEST_POISONED", NEWEST_POISONED),
        ("LINE", LINE),
        ("READY", READY),
        ("LEASED", LEASED),
        ("FINISHED", FINISHED),
        ("LEASE", LEASE),
        ("ACCEPTED_UNDER", ACCEPTED_UNDER),
        ("REFERS", REFERS),
        ("ARTEFACTS", ARTEFACTS),
        ("OPEN_TASKS", OPEN_TASKS),
        ("USAGE_OF", USAGE_OF),
        ("USAGE", USAGE),
        ("KEYS", KEYS),
        ("RING", RING),
    ];
}

fn allowed(connection: &Connection, id: TaskId, scope: &TenantScope) -> Result<bool, Fault> {
    let mut statement = connection.prepare_cached(sql::TENANT)?;
    let tenant: Option<String> = statement.query_row([id.to_bytes()], |row| row.get(0)).optional()?;
    let Some(tenant) = tenant else { return Ok(false) };
    let tenant = rows::word("tenant", &tenant).map_err(rows::RowError::from)?;
    Ok(scope.allows(&tenant))
}

fn document(text: Option<String>) -> Option<Document> {
    text.map(Document::from_json)
}

pub(super) fn task(
    connection: &Connection,
    id: TaskId,
    scope: &TenantScope,
) -> Result<Option<TaskRecord>, Fault> {
    if !allowed(connection, id, scope)? {
        return Ok(None);
    }
    let key = [id.to_bytes()];
    let mut leases = Vec::new();
    let mut statement = connection.prepare_cached(sql::LEASES)?;
    let mut found = statement.query(key)?;
    while let Some(row) = found.next()? {
        leases.push(rows::read_lease(row)?);
    }
    let (mut steps, mut records) = (Vec::new(), Vec::new());
    let mut statement = connection.prepare_cached(sql::STEPS)?;
    let mut found = statement.query(key)?;
    for expected in 0u16.. {
        let Some(row) = found.next()? else { break };
        let lease = |place| leases.iter().find(|(at, _)| *at == place).map(|(_, lease)| lease.clone());
        steps.push(rows::read_step(row, expected, lease)?);
        records.push(StepRecord {
            output: document(row.get(16)?),
            answer: document(row.get(17)?),
            ..StepRecord::new(document(row.get(15)?))
        });
    }
    let mut statement = connection.prepare_cached(sql::CHECKPOINTS)?;
    let mut found = statement.query(key)?;
    while let Some(row) = found.next()? {
        if let Some(record) = records.get_mut(usize::from(row.get::<_, u16>(0)?)) {
            record.checkpoint = document(row.get(1)?);
        }
    }
    let mut statement = connection.prepare_cached(sql::PAPER)?;
    let (goal, request, plan, session): (String, String, String, Option<String>) =
        statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let session = session.map(|name| rows::word("session", &name)).transpose();
    let mut statement = connection.prepare_cached(sql::TASK)?;
    let mut found = statement.query(key)?;
    let Some(row) = found.next()? else { return Ok(None) };
    // A task that has made a call has a row of its accounts, also when none of its calls cost anything.
    let counted: bool = row.get("counted")?;
    let task = rows::read_task(row, steps, || open_holds(connection, id))?;
    if counted {
        let mut statement = connection.prepare_cached(sql::RECEIPTS)?;
        let mut found = statement.query(key)?;
        while let Some(row) = found.next()? {
            let (place, receipt) = rows::read_receipt(row)?;
            if let Some(record) = records.get_mut(usize::from(place)) {
                record.receipts.push(receipt);
            }
        }
    }
    Ok(Some(TaskRecord {
        task,
        session: session.map_err(rows::RowError::from)?,
        goal,
        request: Document::from_json(request),
        plan: Document::from_json(plan),
        steps: records,
    }))
}

fn open_holds(connection: &Connection, id: TaskId) -> Result<Vec<Hold>, rows::RowError> {
    let mut statement = connection.prepare_cached(sql::HOLDS)?;
    let mut found = statement.query([id.to_bytes()])?;
    let mut holds = Vec::new();
    while let Some(row) = found.next()? {
        holds.push(rows::read_hold(row)?);
    }
    Ok(holds)
}

pub(super) fn receipt(connection: &Connection, step: StepId, number: u32) -> Result<Option<Document>, Fault> {
    let mut statement = connection.prepare_cached(sql::RECEIPT)?;
    let key = (step.task.to_bytes(), step.place, number);
    Ok(document(statement.query_row(key, |row| row.get(0)).optional()?))
}

pub(super) fn session(
    connection: &Connection,
    scope: &TenantScope,
    (tenant, name): (&TenantId, &SessionId),
    before: TaskId,
    most: usize,
) -> Result<Vec<TaskRecord>, Fault> {
    if !scope.allows(tenant) {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(sql::SESSION)?;
    let key = (tenant.as_str(), name.as_str(), before.to_bytes(), rows::limit(most));
    let mut found = statement.query(key)?;
    let mut records = Vec::new();
    while let Some(row) = found.next()? {
        records.extend(task(connection, rows::task_id(row, 0)?, scope)?);
    }
    Ok(records)
}

/// The newest ids of each state and tenant that are wanted, merged: the cost is that of the
/// page, not of what is stored.
pub(super) fn list(
    connection: &Connection,
    scope: &TenantScope,
    wanted: &Listing,
) -> Result<Vec<TaskLine>, Fault> {
    let before = wanted.before.map_or([0xff; 16], TaskId::to_bytes);
    let most = wanted.most.min(LINES_MAX);
    let states = rows::list_states(wanted.status);
    let mut ids = BTreeSet::new();
    if wanted.poison {
        let next = connection.prepare_cached(sql::NEXT_POISONED_TENANT)?;
        for tenant in tenants(scope, next, None)? {
            let mut statement = connection.prepare_cached(sql::NEWEST_POISONED)?;
            let mut found = statement.query(params![tenant, before, POISONED_MAX])?;
            let mut taken = 0;
            while taken < most
                && let Some(row) = found.next()?
            {
                if states.contains(&rows::text(row, 1)?) {
                    ids.insert(rows::task_id(row, 0)?);
                    taken += 1;
                }
            }
        }
    } else {
        for state in states {
            let next = connection.prepare_cached(sql::NEXT_TENANT)?;
            for tenant in tenants(scope, next, Some(state))? {
                let mut statement = connection.prepare_cached(sql::NEWEST)?;
                let mut found = statement.query(params![state, tenant, before, rows::limit(most)])?;
                while let Some(row) = found.next()? {
                    ids.insert(rows::task_id(row, 0)?);
                }
            }
        }
    }
    let mut line = connection.prepare_cached(sql::LINE)?;
    let mut lines = Vec::with_capacity(ids.len().min(most));
    for id in ids.iter().rev().take(most) {
        let mut found = line.query([id.to_bytes()])?;
        if let Some(row) = found.next()? {
            lines.push(rows::read_line(row)?);
        }
    }
    Ok(lines)
}

/// A list never has more lines.
const LINES_MAX: usize = 1000;
/// A list looks at so many poisoned tasks of a tenant for those of the wanted status.
const POISONED_MAX: i64 = 100_000;

/// The tenants of `scope`; for the system's scope those that have tasks, one jump each.
fn tenants(
    scope: &TenantScope,
    mut next: CachedStatement<'_>,
    state: Option<&str>,
) -> Result<Vec<String>, Fault> {
    match scope {
        TenantScope::Only(tenant) => Ok(vec![tenant.as_str().to_owned()]),
        TenantScope::System => {
            let mut tenants: Vec<String> = Vec::new();
            loop {
                let after = tenants.last().map_or("", String::as_str);
                let tenant = match state {
                    Some(state) => next.query_row([state, after], |row| row.get(0)),
                    None => next.query_row([after], |row| row.get(0)),
                };
                match tenant.optional()? {
                    Some(tenant) => tenants.push(tenant),
                    None => return Ok(tenants),
                }
            }
        }
    }
}

pub(super) fn events(
    connection: &Connection,
    id: TaskId,
    scope: &TenantScope,
    after: u64,
    most: usize,
) -> Result<Option<Vec<Event>>, Fault> {
    if !allowed(connection, id, scope)? {
        return Ok(None);
    }
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql::EVENTS)?;
    let mut found = statement.query(params![id.to_bytes(), after, rows::limit(most)])?;
    let mut events = Vec::new();
    while let Some(row) = found.next()? {
        events.push(rows::read_event(row)?);
    }
    Ok(Some(events))
}

pub(super) fn backlog(connection: &Connection, arm: ArmName, now: Timestamp) -> Result<Backlog, Fault> {
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let (ready, oldest) = connection
        .prepare_cached(sql::READY)?
        .query_row((arm.as_str(), now.as_millis()), |row| Ok((row.get(0)?, rows::moment_if(row, 1)?)))?;
    let leased = connection.prepare_cached(sql::LEASED)?.query_row([arm.as_str()], |row| row.get(0))?;
    let last_minute = now.as_millis().div_euclid(60_000) - 1;
    let ended: Option<i64> = connection
        .prepare_cached(sql::FINISHED)?
        .query_row((arm.as_str(), last_minute), |row| row.get(0))
        .optional()?;
    Ok(Backlog {
        ready: count(ready),
        leased: count(leased),
        oldest,
        ended_last_minute: count(ended.unwrap_or(0)),
    })
}

pub(super) fn holds(
    connection: &Connection,
    step: StepId,
    token: LeaseToken,
    now: Timestamp,
) -> Result<bool, Fault> {
    let lease = connection
        .prepare_cached(sql::LEASE)?
        .query_row((step.task.to_bytes(), step.place), |row| {
            Ok((LeaseToken::from_bytes(row.get(0)?), rows::moment(row, 1)?))
        })
        .optional()?;
    Ok(lease.is_some_and(|(own, expires_at)| own == token && now < expires_at))
}

pub(super) fn refers(connection: &Connection, task: TaskId, artefact: ContentHash) -> Result<bool, Fault> {
    Ok(connection.prepare_cached(sql::REFERS)?.exists((task.to_bytes(), artefact.to_bytes()))?)
}

pub(super) fn accepted_under(
    connection: &Connection,
    tenant: &TenantId,
    key: &IdempotencyKey,
) -> Result<Option<(TaskId, ContentHash)>, Fault> {
    let mut statement = connection.prepare_cached(sql::ACCEPTED_UNDER)?;
    let found = statement.query_row((tenant.as_str(), key.as_str()), |row| {
        Ok((rows::task_id(row, 0)?, rows::content_hash(row, 1)?))
    });
    Ok(found.optional()?)
}

pub(super) fn artefacts(connection: &Connection) -> Result<BTreeSet<ContentHash>, Fault> {
    let mut statement = connection.prepare_cached(sql::ARTEFACTS)?;
    let found = statement.query_map([], |row| rows::content_hash(row, 0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn open_tasks(connection: &Connection) -> Result<u64, Fault> {
    let mut statement = connection.prepare_cached(sql::OPEN_TASKS)?;
    let mut open = 0;
    for state in rows::OPEN_STATES {
        open += statement.query_row([state], |row| row.get::<_, i64>(0))?.cast_unsigned();
    }
    Ok(open)
}

pub(super) fn keys(connection: &Connection) -> Result<Vec<octollm_access::KeyRecord>, Fault> {
    let mut statement = connection.prepare(sql::KEYS)?;
    let mut found = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = found.next()? {
        keys.push(rows::read_key(row)?);
    }
    Ok(keys)
}

pub(super) fn ring(connection: &Connection) -> Result<Vec<octollm_access::RingKey>, Fault> {
    let mut statement = connection.prepare(sql::RING)?;
    let mut found = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = found.next()? {
        keys.push(octollm_access::RingKey {
            seed: row.get(0)?,
            signs_from: rows::moment(row, 1)?,
            opens_until: rows::moment(row, 2)?,
        });
    }
    Ok(keys)
}
