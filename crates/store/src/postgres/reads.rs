//! Reads. One that needs several statements sees one snapshot; it is sent in one round trip. What is
//! read at the primary was committed before the call (P4); every read of tenants' data goes through its
//! scope (P7).
//!
//! All that is sent is sent when a read is first polled (but for a session's), so that others may be put
//! before and behind it in the same round trip.

use super::{fault::Fault, link::Link, place::unsigned, rotation::Report, rows, statements::ReadStatements};
use crate::{
    Backlog, Clock as _, DayLine, DayListing, Listing, Period, Seen, StepRecord, Sums, TaskLine, TaskRecord,
    columns::{OPEN_STATES, list_states, unreadable, word},
};
use octollm_access::{KeyRecord, RingKey, TenantScope};
use octollm_contract::{
    ArmName, ContentHash, Document, IdempotencyKey, KeyId, LeaseToken, SessionId, StepId, TaskId, TenantId,
    Timestamp,
};
use octollm_lifecycle::{Event, Task};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use tokio_postgres::Row;
use uuid::Uuid;

/// A list never has more lines.
const LINES_MAX: usize = 1000;

/// A connection that reads.
pub(super) type Reader = Link<ReadStatements>;

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The tasks of these ids that there are and `scope` allows, in no order.
async fn records(link: &Reader, ids: &[Uuid], scope: &TenantScope) -> Result<Vec<TaskRecord>, Fault> {
    let (client, sql) = (&link.client, &link.sql);
    let (tasks, steps, leases, checkpoints, papers, ledgers, holds, receipts) = tokio::try_join!(
        biased;
        async { client.query(&sql.tasks, &[&ids]).await },
        async { client.query(&sql.steps, &[&ids]).await },
        async { client.query(&sql.leases, &[&ids]).await },
        async { client.query(&sql.checkpoints, &[&ids]).await },
        async { client.query(&sql.papers, &[&ids]).await },
        async { client.query(&sql.ledgers, &[&ids]).await },
        async { client.query(&sql.holds, &[&ids]).await },
        async { client.query(&sql.receipts, &[&ids]).await },
    )
    .map_err(Fault::before)?;
    let (steps, leases) = (by_task(&steps)?, by_task(&leases)?);
    let (checkpoints, papers) = (by_task(&checkpoints)?, by_task(&papers)?);
    let (ledgers, holds, receipts) = (by_task(&ledgers)?, by_task(&holds)?, by_task(&receipts)?);
    let mut records = Vec::with_capacity(tasks.len());
    for row in &tasks {
        let (mut task, _counted) = rows::read_task(row)?;
        if !scope.allows(&task.tenant) {
            continue;
        }
        let id = task.id;
        let leases = of(&leases, id).map(|row| rows::read_lease(row, 1)).collect::<Result<Vec<_>, _>>()?;
        let lease = |place| leases.iter().find(|(at, _)| *at == place).map(|(_, lease)| lease.clone());
        let mut documents = Vec::new();
        for (expected, row) in of(&steps, id).enumerate() {
            task.steps.push(rows::read_step(row, 1, expected, lease)?);
            documents.push(StepRecord {
                output: rows::document_if(row, 17)?,
                answer: rows::document_if(row, 18)?,
                ..StepRecord::new(rows::document_if(row, 16)?)
            });
        }
        for row in of(&checkpoints, id) {
            if let Some(step) = documents.get_mut(usize::from(rows::place(row, 1)?)) {
                step.checkpoint = rows::document_if(row, 2)?;
            }
        }
        for row in of(&receipts, id) {
            let (place, receipt) = rows::read_receipt(row, 1)?;
            if let Some(step) = documents.get_mut(usize::from(place)) {
                step.receipts.push(receipt);
            }
        }
        for row in of(&ledgers, id) {
            task.ledger = rows::read_ledger(row, 1)?;
        }
        task.holds = of(&holds, id).map(|row| rows::read_hold(row, 1)).collect::<Result<_, _>>()?;
        let paper = of(&papers, id).next().ok_or_else(|| unreadable("paper of a task", "nothing"))?;
        records.push(record(task, paper, documents)?);
    }
    Ok(records)
}

fn record(task: Task, paper: &Row, steps: Vec<StepRecord>) -> Result<TaskRecord, Fault> {
    let session: Option<&str> = rows::get(paper, 4)?;
    Ok(TaskRecord {
        task,
        goal: rows::get(paper, 1)?,
        request: Document::from_json(rows::get::<&str>(paper, 2)?),
        plan: Document::from_json(rows::get::<&str>(paper, 3)?),
        session: session.map(|name| word("session", name)).transpose()?,
        steps,
    })
}

type ByTask<'r> = HashMap<TaskId, Vec<&'r Row>>;

fn by_task(found: &[Row]) -> Result<ByTask<'_>, Fault> {
    let mut by_task: ByTask<'_> = HashMap::new();
    for row in found {
        by_task.entry(rows::task_id(row, 0)?).or_default().push(row);
    }
    Ok(by_task)
}

fn of<'a, 'r>(by_task: &'a ByTask<'r>, id: TaskId) -> impl Iterator<Item = &'r Row> + 'a {
    by_task.get(&id).into_iter().flatten().copied()
}

pub(super) async fn task(link: &Reader, id: TaskId, scope: TenantScope) -> Result<Option<TaskRecord>, Fault> {
    let ids = [rows::uuid(id)];
    let (_, found, _) = snapshot(link, records(link, &ids, &scope)).await?;
    Ok(found.into_iter().next())
}

/// Sends `reading` between the begin and the end of a snapshot. It must ask all it asks when it is
/// first polled.
async fn snapshot<T>(
    link: &Reader,
    reading: impl Future<Output = Result<T, Fault>>,
) -> Result<((), T, ()), Fault> {
    tokio::try_join!(
        biased;
        async { link.client.batch_execute(SNAPSHOT).await.map_err(Fault::before) },
        reading,
        async { link.client.batch_execute("COMMIT").await.map_err(Fault::before) },
    )
}

pub(super) async fn session(
    link: &Reader,
    scope: TenantScope,
    (tenant, name): (TenantId, SessionId),
    upto: TaskId,
    most: usize,
) -> Result<Vec<TaskRecord>, Fault> {
    if !scope.allows(&tenant) {
        return Ok(Vec::new());
    }
    link.client.batch_execute(SNAPSHOT).await.map_err(Fault::before)?;
    let limit = rows::limit(most);
    let asked = async {
        link.client
            .query(&link.sql.session, &[&tenant.as_str(), &name.as_str(), &rows::uuid(upto), &limit])
            .await
    };
    let ids = asked
        .await
        .map_err(Fault::before)?
        .iter()
        .map(|row| rows::get(row, 0))
        .collect::<Result<Vec<Uuid>, _>>()?;
    let mut found = records(link, &ids, &scope).await?;
    link.client.batch_execute("COMMIT").await.map_err(Fault::before)?;
    found.sort_by_key(|record| std::cmp::Reverse(record.task.id));
    Ok(found)
}

/// The newest ids of each state and tenant that are wanted, merged: the cost is that of the page, not
/// of what is stored.
pub(super) async fn list(link: &Reader, scope: TenantScope, wanted: Listing) -> Result<Vec<TaskLine>, Fault> {
    let upto = wanted.before.map_or(Uuid::max(), rows::uuid);
    let most = rows::limit(wanted.most.min(LINES_MAX));
    let states = list_states(wanted.status);
    let (client, sql) = (&link.client, &link.sql);
    let found = match (&scope, wanted.poison) {
        (TenantScope::Only(tenant), false) => {
            client.query(&sql.list_of, &[&states, &upto, &most, &tenant.as_str()]).await
        }
        (TenantScope::Only(tenant), true) => {
            client.query(&sql.list_poisoned_of, &[&states, &upto, &most, &tenant.as_str()]).await
        }
        (TenantScope::System, false) => client.query(&sql.list, &[&states, &upto, &most]).await,
        (TenantScope::System, true) => client.query(&sql.list_poisoned, &[&states, &upto, &most]).await,
    };
    found.map_err(Fault::before)?.iter().map(rows::read_line).collect()
}

pub(super) async fn events(
    link: &Reader,
    id: TaskId,
    scope: TenantScope,
    after: u64,
    most: usize,
) -> Result<Option<Vec<Event>>, Fault> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let (id, limit) = (rows::uuid(id), rows::limit(most));
    let (tenants, events) = tokio::try_join!(
        biased;
        async { link.client.query(&link.sql.tenant, &[&id]).await },
        async { link.client.query(&link.sql.events, &[&id, &after, &limit]).await },
    )
    .map_err(Fault::before)?;
    let Some(owner) = tenants.first() else { return Ok(None) };
    if !scope.allows(&word("tenant", rows::get(owner, 0)?)?) {
        return Ok(None);
    }
    Ok(Some(events.iter().map(rows::read_event).collect::<Result<_, _>>()?))
}

pub(super) async fn backlog(link: &Reader, arm: ArmName) -> Result<Backlog, Fault> {
    let now = link.clock.now();
    let last_minute = now.as_millis().div_euclid(60_000) - 1;
    let asked = async {
        link.client.query_one(&link.sql.backlog, &[&arm.as_str(), &now.as_millis(), &last_minute]).await
    };
    let row = asked.await.map_err(Fault::before)?;
    let count = |column| Ok::<_, Fault>(u64::try_from(rows::get::<i64>(&row, column)?).unwrap_or(0));
    Ok(Backlog {
        ready: count(0)?,
        oldest: rows::moment_if(&row, 1)?,
        leased: count(2)?,
        ended_last_minute: count(3)?,
    })
}

pub(super) async fn holds(link: &Reader, step: StepId, token: LeaseToken) -> Result<bool, Fault> {
    let (id, place) = (rows::uuid(step.task), i32::from(step.place));
    let found = link.client.query_opt(&link.sql.lease, &[&id, &place]).await.map_err(Fault::before)?;
    let Some(row) = found else { return Ok(false) };
    let now: Timestamp = link.clock.moment(rows::get(&row, 5)?);
    let (_, lease) = rows::read_lease(&row, 0)?;
    Ok(lease.token == token && now < lease.expires_at)
}

pub(super) async fn receipt(link: &Reader, step: StepId, number: u32) -> Result<Option<Document>, Fault> {
    let (id, place) = (rows::uuid(step.task), i32::from(step.place));
    let asked = async { link.client.query_opt(&link.sql.receipt, &[&id, &place, &i64::from(number)]).await };
    match asked.await.map_err(Fault::before)? {
        Some(row) => rows::document_if(&row, 0),
        None => Ok(None),
    }
}

pub(super) async fn refers(link: &Reader, task: TaskId, artefact: ContentHash) -> Result<bool, Fault> {
    let (id, hash) = (rows::uuid(task), artefact.to_bytes());
    let asked = async { link.client.query_opt(&link.sql.refers, &[&id, &hash.as_slice()]).await };
    Ok(asked.await.map_err(Fault::before)?.is_some())
}

/// What is found is as durable, when this returns, as a new accept would be: whoever is told of the
/// task is promised it (P1).
pub(super) async fn accepted_under(
    link: &Reader,
    tenant: TenantId,
    key: IdempotencyKey,
) -> Result<Option<(TaskId, ContentHash)>, Fault> {
    let asked =
        async { link.client.query_opt(&link.sql.accepted_under, &[&tenant.as_str(), &key.as_str()]).await };
    let Some(row) = asked.await.map_err(Fault::before)? else { return Ok(None) };
    link.client.execute(&link.sql.mark, &[]).await.map_err(Fault::before)?;
    link.confirmed()?;
    Ok(Some((rows::task_id(&row, 0)?, rows::content_hash(&row, 1)?)))
}

pub(super) async fn artefacts(link: &Reader) -> Result<BTreeSet<ContentHash>, Fault> {
    let found = link.client.query(&link.sql.artefacts, &[]).await.map_err(Fault::before)?;
    found.iter().map(|row| rows::content_hash(row, 0)).collect()
}

pub(super) async fn open_tasks(link: &Reader) -> Result<u64, Fault> {
    let row = link.client.query_one(&link.sql.open_tasks, &[&OPEN_STATES]).await.map_err(Fault::before)?;
    Ok(u64::try_from(rows::get::<i64>(&row, 0)?).unwrap_or(0))
}

pub(super) async fn key(link: &Reader, id: KeyId) -> Result<Option<KeyRecord>, Fault> {
    let found = link.client.query_opt(&link.sql.key, &[&id.as_str()]).await.map_err(Fault::before)?;
    found.as_ref().map(rows::read_key).transpose()
}

pub(super) async fn keys(link: &Reader, scope: TenantScope) -> Result<Vec<KeyRecord>, Fault> {
    let found = link.client.query(&link.sql.keys, &[]).await.map_err(Fault::before)?;
    let keys = found.iter().map(rows::read_key).collect::<Result<Vec<_>, _>>()?;
    Ok(keys.into_iter().filter(|key| scope.allows(&key.tenant)).collect())
}

/// `as_of` is missing where the server cannot say it: at a standby that has replayed nothing yet.
pub(super) type Usage<T> = (Option<Timestamp>, T);

pub(super) async fn usage_days(
    link: &Reader,
    scope: TenantScope,
    wanted: DayListing,
) -> Result<Usage<Vec<DayLine>>, Fault> {
    let DayListing { period, behind, most } = wanted;
    let (from, to, limit) = (period.from.number(), period.to.number(), rows::limit(most));
    // Each tenant has a name, so that it lies behind none.
    let behind = behind.as_ref().map_or("", TenantId::as_str);
    let (client, sql) = (&link.client, &link.sql);
    let lines = async {
        match &scope {
            TenantScope::Only(tenant) => {
                client.query(&sql.usage_days_of, &[&from, &to, &limit, &behind, &tenant.as_str()]).await
            }
            TenantScope::System => client.query(&sql.usage_days, &[&from, &to, &limit, &behind]).await,
        }
    };
    let (as_of, lines) = counted(link, lines).await?;
    Ok((as_of, lines.iter().map(rows::read_day_line).collect::<Result<_, _>>()?))
}

pub(super) async fn usage_sums(
    link: &Reader,
    scope: TenantScope,
    period: Period,
) -> Result<Usage<Sums>, Fault> {
    let (from, to) = (period.from.number(), period.to.number());
    let (client, sql) = (&link.client, &link.sql);
    let sums = async {
        match &scope {
            TenantScope::Only(tenant) => {
                client.query(&sql.usage_sums_of, &[&from, &to, &tenant.as_str()]).await
            }
            TenantScope::System => client.query(&sql.usage_sums, &[&from, &to]).await,
        }
    };
    let (as_of, sums) = counted(link, sums).await?;
    Ok((as_of, sums.iter().map(rows::read_sum).collect::<Result<_, _>>()?))
}

/// Rows, and up to when they show everything: that is asked first.
async fn counted(
    link: &Reader,
    rows: impl Future<Output = Result<Vec<Row>, tokio_postgres::Error>>,
) -> Result<Usage<Vec<Row>>, Fault> {
    let told = async { link.client.query_one(&link.sql.counted_to, &[]).await };
    let (told, rows) = tokio::try_join!(biased; told, rows).map_err(Fault::before)?;
    Ok((rows::get::<Option<i64>>(&told, 0)?.map(|told| link.clock.past(told)), rows))
}

pub(super) async fn ring(link: &Reader) -> Result<Vec<RingKey>, Fault> {
    let found = link.client.query(&link.sql.ring, &[]).await.map_err(Fault::before)?;
    found.iter().map(rows::read_ring_key).collect()
}

/// Where the server is and how it is. What is asked of it later shows no less.
pub(super) async fn report(link: &Reader) -> Result<Report, Fault> {
    let asked = async { link.client.query_one(&link.sql.report, &[]).await };
    let row = asked.await.map_err(Fault::before)?;
    let last_change: Option<i64> = rows::get(&row, 4)?;
    Ok(Report {
        is_standby: rows::get(&row, 0)?,
        is_fed: rows::get(&row, 1)?,
        received: rows::get::<Option<i64>>(&row, 2)?.map(unsigned),
        replayed: rows::get::<Option<i64>>(&row, 3)?.map(unsigned),
        // Two clocks: what was committed in this one's future was committed just now.
        last_change: last_change.map(|millis| Duration::from_millis(unsigned(millis))),
        timeline: timeline(&row, 5)?,
        began: unsigned(rows::get(&row, 6)?),
    })
}

/// Where the server is. What was asked of it before showed no more.
pub(super) async fn place(link: &Reader) -> Result<Seen, Fault> {
    let asked = async { link.client.query_one(&link.sql.stand, &[]).await };
    let row = asked.await.map_err(Fault::before)?;
    let marked = timeline(&row, 0)?;
    Ok(Seen { timeline: link.timeline().unwrap_or(marked), position: unsigned(rows::get(&row, 1)?) })
}

fn timeline(row: &Row, column: usize) -> Result<u32, Fault> {
    let number: i64 = rows::get(row, column)?;
    Ok(u32::try_from(number).map_err(|_| unreadable("timeline", number))?)
}
