//! The accept: tasks, their steps, their papers, their idempotency keys and their first events, many
//! in one transaction (P1, P3).
//!
//! Most keys are new: all rows and the commit go in one round trip, in the hope that all are. A key that
//! is taken ends that transaction, and the batch is done with care, as are the next ones for a while: keys
//! are claimed first, in the order of their names. Whose key is taken writes nothing of its task; it is
//! answered with the task that has the key, once that one's commit is as durable as this one.

use super::{
    fault::Fault,
    lane::{Done, Work},
    link::Link,
    news::News,
    rows,
    writes::Writes,
};
use crate::{AcceptError, Accepted, Order, StoreError};
use futures_util::FutureExt as _;
use octollm_contract::{ContentHash, TaskId, api::TaskStatus};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio_postgres::error::SqlState;

/// After a key was found taken, so many batches go with care: what is repeated is mostly repeated often.
const CAREFUL_FOR: u32 = 16;

#[derive(Default)]
pub(super) struct Accepts {
    /// So many batches still go with care.
    careful: AtomicU32,
}

/// What is thought of the keys of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// They are new; one that is not fails the transaction.
    Hoped,
    /// Each is claimed before anything else is written.
    Claimed,
}

impl Work for Accepts {
    type Ask = Order;
    type Answer = Result<Accepted, AcceptError>;

    fn units(&self, _order: &Order) -> usize {
        1
    }

    async fn run(&self, link: &Link, orders: &[&Order]) -> Result<Done<Self::Answer>, Fault> {
        let less_care = |left: u32| left.checked_sub(1);
        let careful = self.careful.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less_care).is_ok();
        if !careful {
            match accept(link, orders, Keys::Hoped).await {
                // Also what fails for another reason does so again below.
                Err(fault) if is_taken(&fault) && link.forget().await => {
                    self.careful.store(CAREFUL_FOR, Ordering::Relaxed);
                }
                done => return done,
            }
        }
        accept(link, orders, Keys::Claimed).await
    }

    fn failed(&self, _order: &Order, why: &dyn Fn() -> StoreError) -> Self::Answer {
        Err(why().into())
    }
}

/// Whether it may have failed for a key that another task has.
fn is_taken(fault: &Fault) -> bool {
    matches!(fault, Fault::Statement(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION))
}

/// What becomes of an order.
enum Fate {
    /// Its task is written.
    New,
    /// The order at this place of the batch has the same key and comes first.
    SameAs(usize),
    /// Another task had its key before.
    Taken(Holder),
}

/// Who has an idempotency key.
#[derive(Clone, Copy)]
struct Holder {
    hash: ContentHash,
    task: TaskId,
    status: TaskStatus,
}

async fn accept(
    link: &Link,
    orders: &[&Order],
    hope: Keys,
) -> Result<Done<Result<Accepted, AcceptError>>, Fault> {
    let (client, sql) = (&link.client, &link.sql);
    let mut fates: Vec<Fate> = Vec::with_capacity(orders.len());
    let mut first: HashMap<(&str, &str), usize> = HashMap::new();
    let (mut tenants, mut keys, mut hashes, mut ids) = (vec![], vec![], vec![], vec![]);
    for (at, order) in orders.iter().enumerate() {
        let Some((key, hash)) = &order.idempotency else {
            fates.push(Fate::New);
            continue;
        };
        let name = (order.new.tenant.as_str(), key.as_str());
        if let Some(earlier) = first.get(&name) {
            fates.push(Fate::SameAs(*earlier));
            continue;
        }
        first.insert(name, at);
        fates.push(Fate::New);
        tenants.push(name.0);
        keys.push(name.1);
        hashes.push(hash.to_bytes().to_vec());
        ids.push(rows::uuid(order.new.id));
    }
    let at_once = keys.is_empty() || hope == Keys::Hoped;
    if !at_once {
        let (_, won) = tokio::try_join!(
            biased;
            client.batch_execute("BEGIN"),
            async { client.query(&sql.claim_idempotency, &[&tenants, &keys, &hashes, &ids]).await },
        )
        .map_err(Fault::before)?;
        if won.len() < keys.len() {
            let won = won.iter().map(|row| rows::task_id(row, 0)).collect::<Result<HashSet<_>, _>>()?;
            let lost: Vec<usize> =
                first.values().copied().filter(|at| !won.contains(&orders[*at].new.id)).collect();
            find_holders(link, orders, &lost, &mut fates).await?;
        }
    }
    let tasks: Vec<_> = orders
        .iter()
        .zip(&fates)
        .map(|(order, fate)| match fate {
            Fate::New => Some(octollm_lifecycle::accept(order.new.clone())),
            Fate::SameAs(_) | Fate::Taken(_) => None,
        })
        .collect();
    let (mut news, mut writes) = (News::default(), Writes::default());
    for (order, accepted) in orders.iter().zip(&tasks) {
        if let Some((task, events)) = accepted {
            writes.accept(order, task, events, &mut news);
        }
    }
    let mut beside = Vec::new();
    if at_once {
        beside.push(async { client.batch_execute("BEGIN").await.map(|()| 0) }.boxed());
        if !keys.is_empty() {
            let new =
                async { client.execute(&sql.insert_idempotency, &[&tenants, &keys, &hashes, &ids]).await };
            beside.push(new.boxed());
        }
    }
    if fates.iter().any(|fate| matches!(fate, Fate::Taken(_))) {
        beside.push(client.execute(&sql.mark, &[]).boxed());
    }
    writes.commit(link, beside).await?;
    let answers = (0..orders.len()).map(|at| answer(orders, &fates, &tasks, at)).collect();
    Ok(Done { answers, news })
}

/// Finds who has the keys that the orders at these places did not get.
async fn find_holders(
    link: &Link,
    orders: &[&Order],
    lost: &[usize],
    fates: &mut [Fate],
) -> Result<(), Fault> {
    let mut tenants = Vec::with_capacity(lost.len());
    let mut keys = Vec::with_capacity(lost.len());
    let mut places = Vec::with_capacity(lost.len());
    for at in lost {
        if let Some((key, _)) = &orders[*at].idempotency {
            tenants.push(orders[*at].new.tenant.as_str());
            keys.push(key.as_str());
            places.push(i32::try_from(*at).unwrap_or(i32::MAX));
        }
    }
    // A statement of its own: it sees what was committed while the key's claim waited.
    let found = link.client.query(&link.sql.find_idempotency, &[&tenants, &keys, &places]).await;
    for row in &found.map_err(Fault::before)? {
        let at = usize::try_from(rows::get::<i32>(row, 0)?).unwrap_or(usize::MAX);
        let gone = rows::get::<Option<&str>>(row, 3)?.is_none();
        if gone {
            return Err(Fault::Corrupt(Arc::new(NoTask)));
        }
        let holder = Holder {
            hash: rows::content_hash(row, 1)?,
            task: rows::task_id(row, 2)?,
            status: rows::read_state(row, 3)?.status(),
        };
        if let Some(fate) = fates.get_mut(at) {
            *fate = Fate::Taken(holder);
        }
    }
    // A key that was there a moment ago and is not now went with the retention of its task.
    let unresolved = lost.iter().any(|at| matches!(fates[*at], Fate::New));
    if unresolved { Err(Fault::Again(Arc::new(Vanished))) } else { Ok(()) }
}

fn answer(
    orders: &[&Order],
    fates: &[Fate],
    tasks: &[Option<(octollm_lifecycle::Task, Vec<octollm_lifecycle::Event>)>],
    at: usize,
) -> Result<Accepted, AcceptError> {
    let own = |at: usize| {
        let task = tasks[at].as_ref().map(|(task, _)| (task.id, task.state.status()));
        task.expect("what is new has a task")
    };
    let order = orders[at];
    let (hash, task, status) = match &fates[at] {
        Fate::New => {
            let (task, status) = own(at);
            return Ok(Accepted { task, status, replayed: false });
        }
        Fate::Taken(holder) => (holder.hash, holder.task, holder.status),
        Fate::SameAs(first) => match (&fates[*first], &orders[*first].idempotency) {
            (Fate::Taken(holder), _) => (holder.hash, holder.task, holder.status),
            (Fate::New | Fate::SameAs(_), Some((_, hash))) => {
                let (task, status) = own(*first);
                (*hash, task, status)
            }
            (Fate::New | Fate::SameAs(_), None) => unreachable!("an order without a key has no follower"),
        },
    };
    match &order.idempotency {
        Some((key, own)) if *own != hash => Err(AcceptError::KeyReused { key: key.clone(), first: task }),
        Some(_) | None => Ok(Accepted { task, status, replayed: true }),
    }
}

/// A key without its task.
#[derive(Debug, thiserror::Error)]
#[error("an idempotency key names a task that is not there")]
struct NoTask;

/// A key that was taken when it was asked for, and free when it was looked for.
#[derive(Debug, thiserror::Error)]
#[error("an idempotency key went away while it was being read")]
struct Vanished;
