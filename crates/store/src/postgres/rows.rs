//! From PostgreSQL's rows. How a state is spelled in a column stands in [`crate::columns`].

use super::fault::Fault;
use crate::{
    DayLine, Receipt, TaskLine,
    columns::{
        AccountRow, EventRow, FiguresRow, LedgerRow, StateRow, StepRow, read_awaits, read_cost, read_needs,
        read_priority, read_subject, unreadable, word,
    },
};
use octollm_access::{KeyRecord, RingKey, Verifier};
use octollm_contract::{CallId, ContentHash, Day, Document, LeaseToken, Millis, TaskId, Timestamp};
use octollm_lifecycle::{
    Budget, Deliveries, Event, Figures, Hold, Lease, Ledger, Replans, Step, Subject, Task, TaskState, Terms,
};
use std::sync::Arc;
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

/// A column.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T, Fault> {
    row.try_get(column).map_err(|error| Fault::Corrupt(Arc::new(error)))
}

pub(super) fn task_id(row: &Row, column: usize) -> Result<TaskId, Fault> {
    Ok(TaskId::from_bytes(get::<Uuid>(row, column)?.into_bytes()))
}

pub(super) fn uuid(id: TaskId) -> Uuid {
    Uuid::from_bytes(id.to_bytes())
}

pub(super) fn moment(row: &Row, column: usize) -> Result<Timestamp, Fault> {
    Ok(Timestamp::from_millis(get(row, column)?))
}

pub(super) fn moment_if(row: &Row, column: usize) -> Result<Option<Timestamp>, Fault> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_millis))
}

/// A count as it is kept.
pub(super) fn count(row: &Row, column: usize) -> Result<u32, Fault> {
    let number: i64 = get(row, column)?;
    u32::try_from(number).map_err(|_| unreadable("count", number).into())
}

fn count_if(row: &Row, column: usize) -> Result<Option<u32>, Fault> {
    match get::<Option<i64>>(row, column)? {
        Some(number) => Ok(Some(u32::try_from(number).map_err(|_| unreadable("count", number))?)),
        None => Ok(None),
    }
}

pub(super) fn place(row: &Row, column: usize) -> Result<u16, Fault> {
    let number: i32 = get(row, column)?;
    u16::try_from(number).map_err(|_| unreadable("place", number).into())
}

fn place_if(row: &Row, column: usize) -> Result<Option<u16>, Fault> {
    match get::<Option<i32>>(row, column)? {
        Some(number) => Ok(Some(u16::try_from(number).map_err(|_| unreadable("place", number))?)),
        None => Ok(None),
    }
}

fn sixteen(row: &Row, column: usize) -> Result<[u8; 16], Fault> {
    let bytes: &[u8] = get(row, column)?;
    bytes.try_into().map_err(|_| unreadable("token", bytes.len()).into())
}

pub(super) fn content_hash(row: &Row, column: usize) -> Result<ContentHash, Fault> {
    let bytes: &[u8] = get(row, column)?;
    let bytes = bytes.try_into().map_err(|_| unreadable("hash", bytes.len()))?;
    Ok(ContentHash::from_bytes(bytes))
}

pub(super) fn document_if(row: &Row, column: usize) -> Result<Option<Document>, Fault> {
    Ok(get::<Option<&str>>(row, column)?.map(Document::from_json))
}

/// A `LIMIT`.
pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

/// The columns of a task's state from a row, `first` being that of `state`.
pub(super) fn read_state(row: &Row, first: usize) -> Result<TaskState, Fault> {
    let columns = StateRow {
        state: get(row, first)?,
        at: moment_if(row, first + 1)?,
        place: place_if(row, first + 2)?,
        reason: get(row, first + 3)?,
        message: get(row, first + 4)?,
    };
    Ok(columns.read()?)
}

/// Reads the columns of the statement `lock`, in its order: a task without its steps and calls, and
/// whether it has a ledger.
pub(super) fn read_task(row: &Row) -> Result<(Task, bool), Fault> {
    let task = Task {
        id: task_id(row, 0)?,
        tenant: word("tenant", get(row, 1)?)?,
        state: read_state(row, 2)?,
        priority: read_priority(i64::from(get::<i32>(row, 7)?))?,
        terms: Terms {
            accepted_at: moment(row, 8)?,
            not_before: moment_if(row, 9)?,
            deadline: moment_if(row, 10)?,
            max_retries: count(row, 11)?,
            replans: count_if(row, 12)?.map_or(Replans::No, Replans::UpTo),
        },
        started_at: moment_if(row, 13)?,
        plan_version: count(row, 14)?,
        revisions: count(row, 15)?,
        questions: count(row, 16)?,
        events: get::<i64>(row, 17)?.cast_unsigned(),
        steps: Vec::new(),
        holds: Vec::new(),
        ledger: Ledger::granting(Budget::UNLIMITED),
    };
    Ok((task, is_counted(row)?))
}

/// Whether a task, read as for [`read_task`], has a row of its accounts.
pub(super) fn is_counted(row: &Row) -> Result<bool, Fault> {
    get(row, 18)
}

/// Whether a step, read as for [`read_step`], has a row of its lease; not where that cannot be read.
pub(super) fn is_leased(row: &Row, first: usize) -> bool {
    get::<&str>(row, first + 6).is_ok_and(|state| state == StepRow::LEASED)
}

/// Reads the columns of a ledger, `first` being the money granted.
pub(super) fn read_ledger(row: &Row, first: usize) -> Result<Ledger, Fault> {
    let account = |first: usize| -> Result<AccountRow, Fault> {
        Ok(AccountRow { granted: get(row, first)?, spent: get(row, first + 1)?, held: get(row, first + 2)? })
    };
    let columns =
        LedgerRow { money: account(first)?, tokens: account(first + 3)?, unpriced: count(row, first + 6)? };
    Ok(columns.read()?)
}

/// Reads the columns call, place, number, cost, tokens, at, `first` being the call.
pub(super) fn read_hold(row: &Row, first: usize) -> Result<Hold, Fault> {
    Ok(Hold {
        call: CallId::from_bytes(get::<Uuid>(row, first)?.into_bytes()),
        place: place(row, first + 1)?,
        number: count(row, first + 2)?,
        cost: read_cost(get(row, first + 3)?),
        tokens: get::<i64>(row, first + 4)?.cast_unsigned(),
        at: moment(row, first + 5)?,
    })
}

/// Reads the columns of the statement `steps` from `first` (the place) on; `lease` gives the lease
/// of a place.
pub(super) fn read_step(
    row: &Row,
    first: usize,
    expected: usize,
    lease: impl FnOnce(u16) -> Option<Lease>,
) -> Result<Step, Fault> {
    let at = place(row, first)?;
    if usize::from(at) != expected {
        return Err(unreadable("place of a step", at).into());
    }
    let state = StepRow {
        state: get(row, first + 6)?,
        at: moment_if(row, first + 7)?,
        reason: get(row, first + 8)?,
        message: get(row, first + 9)?,
        failure_place: place_if(row, first + 10)?,
    };
    Ok(Step {
        arm: word("arm", get(row, first + 1)?)?,
        plan_version: count(row, first + 2)?,
        needs: read_needs(get(row, first + 3)?)?,
        awaits: read_awaits(i64::from(get::<i32>(row, first + 4)?))?,
        time_limit: Millis::new(get::<i64>(row, first + 5)?.cast_unsigned()),
        state: state.read(lease(at))?,
        deliveries: Deliveries {
            attempts: count(row, first + 11)?,
            failures: count(row, first + 12)?,
            crashes: count(row, first + 13)?,
            releases: count(row, first + 14)?,
        },
    })
}

/// Reads the columns place, token, worker, granted_at, expires_at, `first` being the place.
pub(super) fn read_lease(row: &Row, first: usize) -> Result<(u16, Lease), Fault> {
    let lease = Lease {
        token: LeaseToken::from_bytes(sixteen(row, first + 1)?),
        worker: word("worker", get(row, first + 2)?)?,
        granted_at: moment(row, first + 3)?,
        expires_at: moment(row, first + 4)?,
    };
    Ok((place(row, first)?, lease))
}

/// Reads the columns number, at, kind, place, count, moment, reason, text.
pub(super) fn read_event(row: &Row) -> Result<Event, Fault> {
    let kind = EventRow {
        kind: get(row, 2)?,
        place: place_if(row, 3)?,
        count: count_if(row, 4)?,
        moment: moment_if(row, 5)?,
        reason: get(row, 6)?,
        text: get(row, 7)?,
    };
    Ok(Event { number: get::<i64>(row, 0)?.cast_unsigned(), at: moment(row, 1)?, kind: kind.read()? })
}

/// Reads the columns place, number, call, body, `first` being the place: it and its receipt.
pub(super) fn read_receipt(row: &Row, first: usize) -> Result<(u16, Receipt), Fault> {
    let receipt = Receipt {
        number: count(row, first + 1)?,
        call: CallId::from_bytes(get::<Uuid>(row, first + 2)?.into_bytes()),
        body: Document::from_json(get::<&str>(row, first + 3)?),
    };
    Ok((place(row, first)?, receipt))
}

/// Reads the columns of a line of a list: id, the state, priority, accepted_at, started_at,
/// not_before, deadline, goal.
pub(super) fn read_line(row: &Row) -> Result<TaskLine, Fault> {
    let state = read_state(row, 1)?;
    let failure = match &state {
        TaskState::Failed { failure, .. } => Some(failure.clone()),
        TaskState::Queued
        | TaskState::Planning
        | TaskState::Running
        | TaskState::Waiting { .. }
        | TaskState::Stopping { .. }
        | TaskState::Completed { .. }
        | TaskState::Cancelled { .. } => None,
    };
    Ok(TaskLine {
        id: task_id(row, 0)?,
        status: state.status(),
        failure,
        priority: read_priority(i64::from(get::<i32>(row, 6)?))?,
        accepted_at: moment(row, 7)?,
        started_at: moment_if(row, 8)?,
        ended_at: state.ended_at(),
        not_before: moment_if(row, 9)?,
        deadline: moment_if(row, 10)?,
        goal: get(row, 11)?,
    })
}

/// Reads the columns of figures, `first` being `done`.
pub(super) fn read_figures(row: &Row, first: usize) -> Result<Figures, Fault> {
    let mut numbers = [0; 10];
    for (at, number) in (first..).zip(&mut numbers) {
        *number = get(row, at)?;
    }
    Ok(FiguresRow(numbers).read()?)
}

/// Reads the columns day, tenant, subject and those of figures.
pub(super) fn read_day_line(row: &Row) -> Result<DayLine, Fault> {
    Ok(DayLine {
        day: Day::from_number(get(row, 0)?),
        tenant: word("tenant", get(row, 1)?)?,
        subject: read_subject(get(row, 2)?)?,
        figures: read_figures(row, 3)?,
    })
}

/// Reads the columns subject and those of figures.
pub(super) fn read_sum(row: &Row) -> Result<(Subject, Figures), Fault> {
    Ok((read_subject(get(row, 0)?)?, read_figures(row, 1)?))
}

/// Reads the columns id, tenant, verifier, role, scopes, policy, label, created_at, revoked_at.
pub(super) fn read_key(row: &Row) -> Result<KeyRecord, Fault> {
    let verifier: &[u8] = get(row, 2)?;
    let verifier = verifier.try_into().map_err(|_| unreadable("verifier", verifier.len()))?;
    let scopes = get::<&str>(row, 4)?.split_ascii_whitespace().map(|scope| word("scope", scope));
    Ok(KeyRecord {
        id: word("key id", get(row, 0)?)?,
        tenant: word("tenant", get(row, 1)?)?,
        verifier: Verifier::from_bytes(verifier),
        role: word("role", get(row, 3)?)?,
        scopes: scopes.collect::<Result<_, _>>()?,
        policy: serde_json::from_str(get(row, 5)?).map_err(|error| unreadable("policy", error))?,
        label: get(row, 6)?,
        created_at: moment(row, 7)?,
        revoked_at: moment_if(row, 8)?,
    })
}

/// Reads the columns seed, signs_from, opens_until.
pub(super) fn read_ring_key(row: &Row) -> Result<RingKey, Fault> {
    let seed: &[u8] = get(row, 0)?;
    let seed = seed.try_into().map_err(|_| unreadable("key of step tokens", seed.len()))?;
    Ok(RingKey { seed, signs_from: moment(row, 1)?, opens_until: moment(row, 2)? })
}
