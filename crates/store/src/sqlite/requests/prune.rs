//! Retention: tasks that ended long ago, with all that belongs to them.

use crate::{
    StoreError,
    sqlite::{
        fault::Fault,
        rows,
        writer::{Request, Writer},
    },
};
use octollm_contract::{TaskId, Timestamp};
use rusqlite::OptionalExtension;

/// Removes at most `most` tasks that ended before `ended_before`.
pub(crate) struct Prune {
    pub(crate) ended_before: Timestamp,
    pub(crate) most: usize,
}

impl Request for Prune {
    type Answer = Result<usize, StoreError>;

    fn run(&self, writer: &mut Writer<'_>) -> Result<Self::Answer, Fault> {
        let mut ended = Vec::new();
        let mut found = writer.sql.ended.query((self.ended_before.as_millis(), rows::limit(self.most)))?;
        while let Some(row) = found.next()? {
            ended.push((rows::task_id(row, 0)?, row.get::<_, String>(1)?));
        }
        drop(found);
        let mut removed = 0;
        let mut failure = None;
        for (task, tenant) in ended {
            match writer.unit(|writer| remove(writer, task, &tenant))? {
                Ok(()) => removed += 1,
                Err(error) => failure = Some(error),
            }
        }
        Ok(match failure {
            Some(error) if removed == 0 => Err(error),
            Some(_) | None => Ok(removed),
        })
    }

    fn failed(&self, why: &mut dyn FnMut() -> StoreError) -> Self::Answer {
        Err(why())
    }

    fn units(&self) -> usize {
        self.most
    }
}

fn remove(writer: &mut Writer<'_>, task: TaskId, tenant: &str) -> Result<(), Fault> {
    let id = task.to_bytes();
    writer.views.forget(task);
    let statements = &mut writer.sql;
    let names = statements.names_of.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (key, session): (Option<String>, Option<String>) = names.unwrap_or_default();
    if let Some(key) = key {
        statements.drop_idempotency.execute((tenant, key))?;
    }
    if let Some(session) = session {
        statements.drop_session.execute((tenant, session, id))?;
    }
    for statement in [
        &mut statements.drop_paper,
        &mut statements.drop_steps,
        &mut statements.drop_checkpoints,
        &mut statements.drop_events,
        &mut statements.drop_artefacts,
        &mut statements.drop_ledger,
        &mut statements.drop_holds,
        &mut statements.drop_receipts,
        &mut statements.drop_task,
    ] {
        statement.execute([id])?;
    }
    Ok(())
}
