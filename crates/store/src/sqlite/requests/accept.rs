//! The accept: a task, its steps, its papers, its idempotency key and its first events (P1, P3).

use crate::{
    AcceptError, Accepted, Order, StoreError,
    sqlite::{
        fault::Fault,
        writer::{Request, Writer},
    },
};
use octollm_contract::{ContentHash, SessionId, TaskId};
use rusqlite::OptionalExtension;
use std::sync::Arc;

impl Request for Order {
    type Answer = Result<Accepted, AcceptError>;

    fn run(&self, writer: &mut Writer<'_>) -> Result<Self::Answer, Fault> {
        Ok(writer.unit(|writer| accept(writer, self))?.unwrap_or_else(|error| Err(error.into())))
    }

    fn failed(&self, why: &mut dyn FnMut() -> StoreError) -> Self::Answer {
        Err(why().into())
    }
}

fn accept(writer: &mut Writer<'_>, order: &Order) -> Result<Result<Accepted, AcceptError>, Fault> {
    let tenant = &order.new.tenant;
    if let Some((key, hash)) = &order.idempotency {
        let known = writer
            .sql
            .find_idempotency
            .query_row((tenant.as_str(), key.as_str()), |row| {
                Ok((ContentHash::from_bytes(row.get(0)?), TaskId::from_bytes(row.get(1)?)))
            })
            .optional()?;
        if let Some((first_hash, first)) = known {
            if first_hash != *hash {
                return Ok(Err(AcceptError::KeyReused { key: key.clone(), first }));
            }
            let task = writer.view(first)?.ok_or_else(|| {
                Fault::Corrupt(crate::Backend::new("an idempotency key names a task that is not there"))
            })?;
            return Ok(Ok(Accepted { task: first, status: task.state.status(), replayed: true }));
        }
    }
    let (task, events) = octollm_lifecycle::accept(order.new.clone());
    let id = task.id.to_bytes();
    writer.insert(&task, &order.specs)?;
    let key = order.idempotency.as_ref().map(|(key, _)| key.as_str());
    writer.sql.insert_paper.execute((
        id,
        key,
        &order.goal,
        order.request.as_str(),
        order.plan.as_str(),
        order.session.as_ref().map(SessionId::as_str),
    ))?;
    if let Some(session) = &order.session {
        writer.sql.insert_session.execute((tenant.as_str(), session.as_str(), id))?;
    }
    if let Some((key, hash)) = &order.idempotency {
        writer.sql.insert_idempotency.execute((tenant.as_str(), key.as_str(), hash.to_bytes(), id))?;
    }
    writer.tell(task.id, &events)?;
    let accepted = Accepted { task: task.id, status: task.state.status(), replayed: false };
    writer.views.change(Arc::new(task));
    Ok(Ok(accepted))
}
