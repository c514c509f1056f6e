//! Retention: tasks that ended long ago are removed whole, a bounded number in one transaction. Why no
//! partition is dropped instead: `docs/decisions/0020`.

use super::{
    fault::{Fault, Stage},
    link::Link,
    rows,
};
use octollm_contract::Timestamp;
use uuid::Uuid;

/// Removes tasks that ended long ago, with all that belongs to them.
pub(super) async fn prune(link: &Link, ended_before: Timestamp, most: usize) -> Result<usize, Fault> {
    let (client, sql) = (&link.client, &link.sql);
    let (at, limit) = (ended_before.as_millis(), rows::limit(most));
    let (_, ended) = tokio::try_join!(
        biased;
        client.batch_execute("BEGIN"),
        async { client.query(&sql.ended, &[&at, &limit]).await },
    )
    .map_err(Fault::before)?;
    let mut ids: Vec<Uuid> = Vec::with_capacity(ended.len());
    let (mut key_tenants, mut keys) = (Vec::new(), Vec::new());
    let (mut talk_tenants, mut talks, mut talk_tasks) = (Vec::new(), Vec::new(), Vec::new());
    for row in &ended {
        let (id, tenant): (Uuid, &str) = (rows::get(row, 0)?, rows::get(row, 1)?);
        ids.push(id);
        if let Some(key) = rows::get::<Option<&str>>(row, 2)? {
            key_tenants.push(tenant);
            keys.push(key);
        }
        if let Some(talk) = rows::get::<Option<&str>>(row, 3)? {
            talk_tenants.push(tenant);
            talks.push(talk);
            talk_tasks.push(id);
        }
    }
    let drop = async |statement| client.execute(statement, &[&ids]).await;
    tokio::try_join!(
        biased;
        async { client.execute(&sql.drop_idempotency, &[&key_tenants, &keys]).await },
        async { client.execute(&sql.drop_session, &[&talk_tenants, &talks, &talk_tasks]).await },
        drop(&sql.drop_paper),
        drop(&sql.drop_steps),
        drop(&sql.drop_checkpoints),
        drop(&sql.drop_events),
        drop(&sql.drop_artefacts),
        drop(&sql.drop_ledger),
        drop(&sql.drop_holds),
        drop(&sql.drop_receipts),
        drop(&sql.drop_task),
        client.batch_execute("COMMIT"),
    )
    .map_err(|error| Fault::of(error, Stage::Commit))?;
    link.confirmed()?;
    Ok(ids.len())
}
