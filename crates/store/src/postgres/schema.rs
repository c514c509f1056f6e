//! The schema and how it grows: numbered migrations, forward only, each in one transaction with the
//! number it leads to, one process at a time. Running them again does nothing.
//!
//! Orchestrators of two versions share a database while one replaces the other. Each migration says the
//! oldest version of the schema whose programs still run on what it leaves; a program that is older
//! than that refuses to start, a program that is newer migrates.

use super::{
    OpenError,
    fault::{Fault, Stage},
    target::Target,
};
use crate::Backend;
use std::time::Duration;
use tokio_postgres::{Client, error::SqlState};

/// A step of the schema. What was released is never edited.
struct Migration {
    sql: &'static str,
    /// Programs that know the schema up to this number still run on it.
    runs_since: i32,
}

const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("migrations/0001_start.sql"), runs_since: 1 },
    Migration { sql: include_str!("migrations/0002_timelines.sql"), runs_since: 1 },
    Migration { sql: include_str!("migrations/0003_usage.sql"), runs_since: 1 },
    Migration { sql: include_str!("migrations/0004_callers.sql"), runs_since: 1 },
    Migration { sql: include_str!("migrations/0005_editions.sql"), runs_since: 1 },
];

/// One process migrates at a time, up to the last migration (`pg_advisory_lock`): "OCTO".
const LOCK: i64 = 0x4f43_544f;
/// A migration that must have a table for itself waits so long for who has it, and others behind it; then
/// they go first, and it tries again.
const TABLE_WITHIN: &str = "SET LOCAL lock_timeout = '500ms'";
const TABLE_ATTEMPTS: u32 = if cfg!(test) { 5 } else { 120 };
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);

/// Where the schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its number.
    pub version: i32,
    /// How many migrations were done just now.
    pub migrated: i32,
}

/// The number of the newest schema that this program knows.
pub(super) fn newest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Brings the database to the newest schema that this program knows.
pub(super) async fn migrate(target: &Target) -> Result<Schema, OpenError> {
    let mut why = None;
    for at in 0..target.hosts() {
        let host = target.host(at, "octollm schema");
        match tokio::time::timeout(Target::within(), host.connect(target.tls())).await {
            Ok(Ok((mut client, connection))) => {
                let driver = tokio::spawn(connection);
                let migrated = migrate_on(&mut client).await;
                drop(client);
                if let Ok(Err(error)) = driver.await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended badly");
                }
                return migrated;
            }
            Ok(Err(error)) => why = Some(Fault::of(error, Stage::Before)),
            Err(_elapsed) => {}
        }
    }
    Err(OpenError::unreachable(target, why))
}

async fn migrate_on(client: &mut Client) -> Result<Schema, OpenError> {
    let encoding: String =
        client.query_one("SELECT current_setting('server_encoding')", &[]).await?.try_get(0)?;
    // SQL_ASCII takes whatever bytes come.
    if !matches!(encoding.as_str(), "UTF8" | "SQL_ASCII") {
        return Err(OpenError::Encoding { encoding });
    }
    if let Some((version, runs_since)) = version(client).await?
        && version >= newest()
    {
        return known(version, runs_since, 0);
    }
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    let migrated = migrate_alone(client).await;
    // It goes with the connection, too.
    if !client.is_closed() {
        client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    }
    migrated
}

async fn migrate_alone(client: &mut Client) -> Result<Schema, OpenError> {
    let (mut migrated, mut waits) = (0, 0);
    loop {
        let transaction = client.transaction().await?;
        transaction
            .batch_execute(
                "CREATE SCHEMA IF NOT EXISTS octollm;
                 SET LOCAL search_path = octollm;
                 CREATE TABLE IF NOT EXISTS migration (
                     version    integer     NOT NULL PRIMARY KEY,
                     runs_since integer     NOT NULL,
                     done_at    timestamptz NOT NULL DEFAULT now()
                 );",
            )
            .await?;
        let row = transaction
            .query_one("SELECT coalesce(max(version), 0), coalesce(max(runs_since), 0) FROM migration", &[])
            .await?;
        let (version, runs_since): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
        let next = usize::try_from(version).ok().and_then(|done| MIGRATIONS.get(done));
        let Some(next) = next else {
            transaction.commit().await?;
            return known(version, runs_since, migrated);
        };
        transaction.batch_execute(TABLE_WITHIN).await?;
        match transaction.batch_execute(next.sql).await {
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                waits += 1;
                transaction.rollback().await?;
                if waits == 4 {
                    tracing::warn!(
                        schema = version + 1,
                        "a session keeps a table that must change; waiting for it"
                    );
                }
                if waits >= TABLE_ATTEMPTS {
                    return Err(OpenError::Kept { migration: version + 1, error: Backend::new(error) });
                }
                tokio::time::sleep(BETWEEN_ATTEMPTS).await;
                continue;
            }
            done => done?,
        }
        transaction
            .execute(
                "INSERT INTO migration (version, runs_since) VALUES ($1, $2)",
                &[&(version + 1), &next.runs_since],
            )
            .await?;
        transaction.commit().await?;
        migrated += 1;
    }
}

/// The number of the schema and the oldest that still runs on it; `None` before the first migration.
async fn version(client: &Client) -> Result<Option<(i32, i32)>, OpenError> {
    let row = client.query_one("SELECT to_regclass('octollm.migration') IS NOT NULL", &[]).await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let row = client.query_one("SELECT max(version), max(runs_since) FROM octollm.migration", &[]).await?;
    let found: (Option<i32>, Option<i32>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(found.0.zip(found.1))
}

fn known(version: i32, runs_since: i32, migrated: i32) -> Result<Schema, OpenError> {
    if runs_since > newest() {
        return Err(OpenError::Newer { found: version, known: newest(), needs: runs_since });
    }
    Ok(Schema { version, migrated })
}
