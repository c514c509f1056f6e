//! The schema and how it grows: numbered migrations, forward only, each in one transaction
//! with the number it leads to. Running them again does nothing.

use super::folder::OpenError;
use rusqlite::Connection;

/// Marks a database file as ours (`PRAGMA application_id`): "OCTO".
pub(super) const APPLICATION_ID: i64 = 0x4f43_544f;

/// The migrations. What was released is never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_start.sql"),
    include_str!("migrations/0002_calls.sql"),
    include_str!("migrations/0003_ring.sql"),
    include_str!("migrations/0004_usage.sql"),
];

/// The number of the newest schema that this version knows (`PRAGMA user_version`).
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Brings the database to the newest schema.
///
/// Refuses a file that is not ours and one from a newer version.
pub(super) fn migrate(connection: &Connection, file: &str) -> Result<(), OpenError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if tables > 0 && application != APPLICATION_ID {
        return Err(OpenError::Foreign { file: file.to_owned() });
    }
    if version > newest() {
        return Err(OpenError::Newer { file: file.to_owned(), found: version, known: newest() });
    }
    for (number, migration) in (1i64..).zip(MIGRATIONS) {
        if number > version {
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {migration} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
            ))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
