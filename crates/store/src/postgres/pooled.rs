//! Whether a pooler stands between that gives each transaction whatever session is free.
//!
//! What a session is told, its prepared statements and what it listens to would be another's then: nothing of
//! that fails at once, and all of it later. Two connections that are open side by side have sessions of their own, or a
//! pooler lends them one in turn.

use super::{OpenError, target::Target};
use std::time::Duration;
use tokio_postgres::{Client, SimpleQueryMessage};

/// A pooler that has one session for both lets the second one wait: nothing is known then.
const WITHIN: Duration = Duration::from_secs(2);

/// Refuses a database that is reached through such a pooler. What cannot be found out is none.
pub(super) async fn by_transaction(target: &Target) -> Result<(), OpenError> {
    let both = tokio::time::timeout(WITHIN, async {
        let (one, other) = (connected(target).await?, connected(target).await?);
        Some((backend(&one).await?, backend(&other).await?))
    });
    match both.await {
        Ok(Some((one, other))) if one == other => Err(OpenError::Pooled),
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn connected(target: &Target) -> Option<Client> {
    let (client, connection) = target.host(0, "octollm start").connect(target.tls()).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// Which process of the server answers. Asked without a prepared statement, which a pooler may refuse.
async fn backend(client: &Client) -> Option<String> {
    let said = client.simple_query("SELECT pg_backend_pid()").await.ok()?;
    said.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}
