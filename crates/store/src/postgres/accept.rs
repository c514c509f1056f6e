//! The accept: tasks, their steps, their papers, their idempotency keys and their first events, many
//! in one transaction (P1, P3).
//!
//! Keys are claimed first, in the order of their names. Whose key is taken writes nothing of its task;
//! it is answered with the task that has the key, once that one's commit is as durable as this one.

use super::{
    fault::{Fault, Stage},
    lane::{Done, Work},
    link::Link,
    news::News,
    rows,
    writes::Writes,
};
use crate::{AcceptError, Accepted, Order, StoreError};
use futures_util::FutureExt as _;
use octollm_contract::{ContentHash, TaskId, api::TaskStatus};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub(super) struct Accepts;

impl Work for Accepts {
    type Ask = Order;
    type Answer = Result<Accepted, AcceptError>;

    fn units(&self, _order: &Order) -> usize {
        1
    }

    async fn run(&self, link: &Link, orders: &[&Order]) -> Result<Done<Self::Answer>, Fault> {
        accept(link, orders).await
    }

    fn failed(&self, _order: &Order, why: &dyn Fn() -> StoreError) -> Self::Answer {
        Err(why().into())
    }
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

async fn accept(link: &Link, orders: &[&Order]) -> Result<Done<Result<Accepted, AcceptError>>, Fault> {
    let (client, sql) = (&link.client, &link.sql);
    let before = |error| Fault::of(error, Stage::Before);
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
    if keys.is_empty() {
        // Sent along with the rows.
    } else {
        let (_, won) = tokio::try_join!(
            biased;
            client.batch_execute("BEGIN"),
            async { client.query(&sql.claim_idempotency, &[&tenants, &keys, &hashes, &ids]).await },
        )
        .map_err(before)?;
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
    if keys.is_empty() {
        beside.push(async { client.batch_execute("BEGIN").await.map(|()| 0) }.boxed());
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
    for row in &found.map_err(|error| Fault::of(error, Stage::Before))? {
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
