//! The bare loop that the accepts are compared with: the same rows into the same tables with
//! the same indexes, in batches, with no HTTP and no decisions. The rows are those that one
//! accept left behind, written again under new ids.

use crate::load::scattered;
use anyhow::Context;
use rusqlite::{Connection, types::Value};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// The rows of one accepted task.
struct Template {
    inserts: Vec<(String, Vec<Value>)>,
    task: Vec<u8>,
}

/// Commits the rows of `tasks` accepts in batches of `batch`; how long it took.
pub(crate) fn accepts(
    database: &Path,
    task: &[u8; 16],
    tasks: usize,
    batch: usize,
) -> anyhow::Result<Duration> {
    let connection = open(database)?;
    let template = template(&connection, task)?;
    let began = Instant::now();
    let mut number = 0u64;
    while number < tasks as u64 {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..batch {
            number += 1;
            insert(&connection, &template, number)?;
        }
        connection.execute_batch("COMMIT")?;
    }
    Ok(began.elapsed())
}

/// The latency of single commits of the same rows, fsync and all.
pub(crate) fn commits(database: &Path, task: &[u8; 16], count: usize) -> anyhow::Result<Vec<Duration>> {
    let connection = open(database)?;
    let template = template(&connection, task)?;
    let mut all = Vec::with_capacity(count);
    for number in 0..count as u64 {
        let began = Instant::now();
        connection.execute_batch("BEGIN IMMEDIATE")?;
        insert(&connection, &template, (1 << 40) + number)?;
        connection.execute_batch("COMMIT")?;
        all.push(began.elapsed());
    }
    Ok(all)
}

/// As the store opens it.
fn open(database: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(database)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000;
         PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

fn template(connection: &Connection, task: &[u8; 16]) -> anyhow::Result<Template> {
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
    let tables: Vec<String> = tables.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut inserts = Vec::new();
    for table in tables {
        let mut rows = connection.prepare(&format!("SELECT * FROM \"{table}\""))?;
        let columns: Vec<String> = rows.column_names().into_iter().map(str::to_owned).collect();
        let marks = vec!["?"; columns.len()].join(", ");
        let names = columns.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(", ");
        let insert = format!("INSERT INTO \"{table}\" ({names}) VALUES ({marks})");
        let mut found = rows.query([])?;
        while let Some(row) = found.next()? {
            let values: Vec<Value> = (0..columns.len()).map(|c| row.get(c)).collect::<Result<_, _>>()?;
            if values.iter().any(|v| matches!(v, Value::Blob(bytes) if bytes == task)) {
                inserts.push((insert.clone(), values));
            }
        }
    }
    anyhow::ensure!(inserts.len() >= 3, "one accept leaves more than {} rows", inserts.len());
    Ok(Template { inserts, task: task.to_vec() })
}

fn insert(connection: &Connection, template: &Template, number: u64) -> anyhow::Result<()> {
    let mut id = template.task.clone();
    // A later UUIDv7: the same place in every index as a real one.
    id[8..].copy_from_slice(&number.to_be_bytes());
    id[5] = id[5].wrapping_add(1);
    for (sql, values) in &template.inserts {
        let values = values.iter().map(|value| match value {
            Value::Blob(bytes) if *bytes == template.task => Value::Blob(id.clone()),
            // The idempotency key, which is unique in its tenant.
            Value::Text(text) if text.starts_with("bench-") => {
                Value::Text(format!("bench-{:010}", scattered(number)))
            }
            Value::Null | Value::Integer(_) | Value::Real(_) | Value::Text(_) | Value::Blob(_) => {
                value.clone()
            }
        });
        let mut statement = connection.prepare_cached(sql)?;
        statement.execute(rusqlite::params_from_iter(values)).with_context(|| sql.clone())?;
    }
    Ok(())
}

/// The sixteen bytes behind `task_<uuid>`.
pub(crate) fn id_bytes(task: &str) -> anyhow::Result<[u8; 16]> {
    Ok(task.parse::<octollm_contract::TaskId>()?.to_bytes())
}
