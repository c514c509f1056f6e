//! The same rows by bare SQL: prepared statements on one connection, one thread, no decisions,
//! no callers, no answers.

use super::{OUTPUT, now, order};
use rusqlite::{Connection, Statement, params};
use std::{
    path::Path,
    time::{Duration, Instant},
};

fn open(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join("tasks.sqlite3")).expect("the database opens");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000;
             PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;",
        )
        .expect("pragmas");
    connection
}

/// How long each of `count` commits of one small row takes, sorted.
pub(crate) fn commits(folder: &Path, count: usize) -> Vec<Duration> {
    let connection = open(folder);
    let mut insert = connection
        .prepare("INSERT INTO finished (arm, minute, steps) VALUES ('x', ?1, 1)")
        .expect("a statement");
    let mut took: Vec<Duration> = (0..count)
        .map(|n| {
            let start = Instant::now();
            insert.execute([i64::try_from(n).expect("a small number")]).expect("a commit");
            start.elapsed()
        })
        .collect();
    took.sort_unstable();
    took
}

struct Sql<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    task: Statement<'c>,
    paper: Statement<'c>,
    step: Statement<'c>,
    ready: Statement<'c>,
    event: Statement<'c>,
    known: Statement<'c>,
    idempotency: Statement<'c>,
    heads: Statement<'c>,
    start_task: Statement<'c>,
    start_step: Statement<'c>,
    unqueue: Statement<'c>,
    lease: Statement<'c>,
    spec: Statement<'c>,
    end_task: Statement<'c>,
    end_step: Statement<'c>,
    unlease: Statement<'c>,
}

impl<'c> Sql<'c> {
    fn prepare(connection: &'c Connection) -> Self {
        let prepare = |sql| connection.prepare(sql).expect("a statement");
        Sql {
            begin: prepare("BEGIN IMMEDIATE"),
            commit: prepare("COMMIT"),
            task: prepare(
                "INSERT INTO task (id, tenant, state, priority, accepted_at, max_retries, plan_version, revisions,
                 events, poison) VALUES (?1, 'default', 'queued', 1, ?2, 2, 1, 0, 1, 0)",
            ),
            paper: prepare(
                "INSERT INTO paper (task, idempotency_key, goal, request, plan) VALUES (?1, ?2, ?3, ?4, ?5)",
            ),
            step: prepare(
                "INSERT INTO step (task, place, arm, plan_version, needs, awaits, time_limit, state, state_at,
                 attempts, failures, crashes, releases, spec)
                 VALUES (?1, 0, 'executor', 1, '', 0, 300000, 'ready', ?2, 0, 0, 0, 0, ?3)",
            ),
            ready: prepare(
                "INSERT INTO ready (arm, tenant, priority, since, task, place)
                 VALUES ('executor', 'default', 1, ?1, ?2, 0)",
            ),
            event: prepare(
                "INSERT INTO event (task, number, at, kind, place, count, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            ),
            known: prepare("SELECT hash, task FROM idempotency WHERE tenant = 'default' AND key = ?1"),
            idempotency: prepare(
                "INSERT INTO idempotency (tenant, key, hash, task) VALUES ('default', ?1, ?2, ?3)",
            ),
            heads: prepare(
                "SELECT since, task FROM ready WHERE arm = 'executor' AND tenant = 'default' AND priority = 1
                 ORDER BY since, task, place LIMIT ?1",
            ),
            start_task: prepare(
                "UPDATE task SET state = 'running', started_at = ?2, events = 2 WHERE id = ?1",
            ),
            start_step: prepare(
                "UPDATE step SET state = 'leased', state_at = NULL, attempts = 1 WHERE task = ?1 AND place = 0",
            ),
            unqueue: prepare(
                "DELETE FROM ready WHERE arm = 'executor' AND tenant = 'default' AND priority = 1 AND since = ?1
                 AND task = ?2 AND place = 0",
            ),
            lease: prepare(
                "INSERT INTO lease (task, place, tenant, arm, token, worker, granted_at, expires_at)
                 VALUES (?1, 0, 'default', 'executor', ?2, 'worker-1', ?3, ?4)",
            ),
            spec: prepare("SELECT spec FROM step WHERE task = ?1 AND place = 0"),
            end_task: prepare(
                "UPDATE task SET state = 'completed', state_at = ?2, ended_at = ?2, due = NULL, poison = 0, events = 4
                 WHERE id = ?1",
            ),
            end_step: prepare(
                "UPDATE step SET state = 'done', output = ?2 WHERE task = ?1 AND place = 0",
            ),
            unlease: prepare("DELETE FROM lease WHERE task = ?1 AND place = 0"),
        }
    }

    fn accept(&mut self, n: u32) -> Result<(), rusqlite::Error> {
        let order = order(n, 0);
        let id = order.new.id.to_bytes();
        let at = order.new.terms.accepted_at.as_millis();
        let (key, hash) = order.idempotency.as_ref().expect("every order has a key");
        assert!(!self.known.exists([key.as_str()])?, "the key is new");
        self.task.execute((id, at))?;
        self.step.execute((id, at, order.specs[0].as_str()))?;
        self.ready.execute((at, id))?;
        let (request, plan) = (order.request.as_str(), order.plan.as_str());
        self.paper.execute((id, key.as_str(), &order.goal, request, plan))?;
        self.idempotency.execute((key.as_str(), hash.to_bytes(), id))?;
        self.event(id, 1, at, "task.accepted", None)
    }

    fn event(
        &mut self,
        id: [u8; 16],
        number: i64,
        at: i64,
        kind: &str,
        started: Option<(i64, &str)>,
    ) -> Result<(), rusqlite::Error> {
        let place = kind.starts_with("step").then_some(0);
        let (attempt, worker) = started.unzip();
        self.event.execute(params![id, number, at, kind, place, attempt, worker]).map(drop)
    }

    fn claim(&mut self, most: u32) -> Result<Vec<[u8; 16]>, rusqlite::Error> {
        let heads: Vec<(i64, [u8; 16])> =
            self.heads.query_map([most], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        for (since, id) in &heads {
            let at = now().as_millis();
            self.start_task.execute((id, at))?;
            self.start_step.execute([id])?;
            self.unqueue.execute((since, id))?;
            self.lease.execute((id, id, at, at + 30_000))?;
            self.event(*id, 2, at, "step.started", Some((1, "worker-1")))?;
            let _spec: String = self.spec.query_row([id], |row| row.get(0))?;
        }
        Ok(heads.into_iter().map(|(_, id)| id).collect())
    }

    fn complete(&mut self, id: [u8; 16]) -> Result<(), rusqlite::Error> {
        let at = now().as_millis();
        self.end_task.execute((id, at))?;
        self.end_step.execute((id, OUTPUT))?;
        self.unlease.execute([id])?;
        self.event(id, 3, at, "step.completed", None)?;
        self.event(id, 4, at, "task.completed", None)
    }

    fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, rusqlite::Error>,
    ) -> Result<T, rusqlite::Error> {
        self.begin.execute([])?;
        let done = work(self)?;
        self.commit.execute([])?;
        Ok(done)
    }
}

/// Commits `count` accepts, `batch` at a time.
pub(crate) fn accepts(folder: &Path, count: u32, batch: u32) -> (u32, Duration) {
    let connection = open(folder);
    let mut sql = Sql::prepare(&connection);
    let start = Instant::now();
    for first in (0..count).step_by(batch as usize) {
        sql.transaction(|sql| (first..first + batch).try_for_each(|n| sql.accept(n))).expect("a transaction");
    }
    (count, start.elapsed())
}

/// Does `count` life cycles, three transactions for each `batch`.
pub(crate) fn cycles(folder: &Path, count: u32, batch: u32) -> (u32, Duration) {
    let connection = open(folder);
    let mut sql = Sql::prepare(&connection);
    let start = Instant::now();
    for first in (0..count).step_by(batch as usize) {
        sql.transaction(|sql| (first..first + batch).try_for_each(|n| sql.accept(n))).expect("a transaction");
        let claimed = sql.transaction(|sql| sql.claim(batch)).expect("a transaction");
        sql.transaction(|sql| claimed.into_iter().try_for_each(|id| sql.complete(id)))
            .expect("a transaction");
    }
    (count, start.elapsed())
}

/// Puts `count` finished tasks into the database, without waiting for the disk.
pub(crate) fn fill(folder: &Path, count: u32) {
    let connection = open(folder);
    connection.execute_batch("PRAGMA synchronous = OFF").expect("a pragma");
    let mut sql = Sql::prepare(&connection);
    let batch = 1000;
    for first in (0..count).step_by(batch as usize) {
        sql.transaction(|sql| {
            (first..first + batch).try_for_each(|n| sql.accept(n))?;
            sql.claim(batch)?.into_iter().try_for_each(|id| sql.complete(id))
        })
        .expect("a transaction");
    }
}
