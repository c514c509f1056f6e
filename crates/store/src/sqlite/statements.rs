//! The writer's SQL: one prepared statement a name, made once a connection. No decision is
//! in them; every one but those over the small `lease` table finds its rows by an index.

use rusqlite::{Connection, Statement};

macro_rules! statements {
    ($($name:ident = $sql:literal;)+) => {
        pub(super) struct Statements<'c> { $(pub(super) $name: Statement<'c>),+ }

        impl<'c> Statements<'c> {
            pub(super) fn prepare(connection: &'c Connection) -> Result<Self, rusqlite::Error> {
                Ok(Statements { $($name: connection.prepare($sql)?),+ })
            }
        }

        #[cfg(test)]
        impl Statements<'_> {
            /// How often each statement was run.
            pub(super) fn runs(&self) -> Vec<(&'static str, i32)> {
                vec![$((stringify!($name), self.$name.get_status(rusqlite::StatementStatus::Run))),+]
            }
        }

        /// Every statement with its name, for the test of the query plans.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$((stringify!($name), $sql)),+];
    };
}

statements! {
    begin = "BEGIN IMMEDIATE";
    commit = "COMMIT";

    // The view.
    task = "SELECT id, tenant, state, state_at, state_place, reason, message, priority, accepted_at,
        not_before, deadline, max_retries, replans, started_at, plan_version, revisions, questions, events,
        l.task IS NOT NULL, money_granted, money_spent, money_held, tokens_granted, tokens_spent, tokens_held,
        unpriced FROM task LEFT JOIN ledger l ON l.task = id WHERE id = ?1";
    holds = "SELECT call, place, number, cost, tokens, at FROM hold WHERE task = ?1 ORDER BY call";
    steps = "SELECT place, arm, plan_version, needs, awaits, time_limit, state, state_at, reason,
        message, failure_place, attempts, failures, crashes, releases FROM step WHERE task = ?1 ORDER BY place";
    leases = "SELECT place, token, worker, granted_at, expires_at FROM lease WHERE task = ?1";

    // Changes of a task.
    insert_task = "INSERT INTO task (id, tenant, state, state_at, state_place, reason, message, priority,
        accepted_at, not_before, deadline, max_retries, replans, started_at, plan_version, revisions, questions,
        events, ended_at, due, poison)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
        ?21)";
    // The three updates differ in the indexes that they touch.
    update_task_plain = "UPDATE task SET started_at = ?2, plan_version = ?3, revisions = ?4, questions = ?5,
        events = ?6, state_at = ?7, state_place = ?8, reason = ?9, message = ?10 WHERE id = ?1";
    update_task_state = "UPDATE task SET started_at = ?2, plan_version = ?3, revisions = ?4, questions = ?5,
        events = ?6, state_at = ?7, state_place = ?8, reason = ?9, message = ?10, state = ?11 WHERE id = ?1";
    update_task_whole = "UPDATE task SET started_at = ?2, plan_version = ?3, revisions = ?4, questions = ?5,
        events = ?6, state_at = ?7, state_place = ?8, reason = ?9, message = ?10, state = ?11, ended_at = ?12,
        due = ?13, poison = ?14 WHERE id = ?1";
    insert_paper = "INSERT INTO paper (task, idempotency_key, goal, request, plan, session)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    update_plan = "UPDATE paper SET plan = ?2 WHERE task = ?1";

    // Model calls.
    put_ledger = "INSERT INTO ledger (task, money_granted, money_spent, money_held, tokens_granted,
        tokens_spent, tokens_held, unpriced) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (task) DO UPDATE SET money_spent = excluded.money_spent, money_held = excluded.money_held,
        tokens_spent = excluded.tokens_spent, tokens_held = excluded.tokens_held,
        unpriced = excluded.unpriced";
    insert_hold = "INSERT INTO hold (task, call, place, number, cost, tokens, at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    delete_hold = "DELETE FROM hold WHERE task = ?1 AND call = ?2";
    insert_receipt = "INSERT INTO receipt (task, place, number, turn, call, body)
        SELECT ?1, ?2, ?3, coalesce(max(turn), 0) + 1, ?4, ?5 FROM receipt
        WHERE task = ?1 AND place = ?2 AND number = ?3";
    all_calling = "SELECT DISTINCT task FROM hold";

    // Changes of steps.
    insert_step = "INSERT INTO step (task, place, arm, plan_version, needs, awaits, time_limit, state,
        state_at, reason, message, failure_place, attempts, failures, crashes, releases, spec)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    update_step = "UPDATE step SET awaits = ?3, state = ?4, state_at = ?5, reason = ?6, message = ?7,
        failure_place = ?8, attempts = ?9, failures = ?10, crashes = ?11, releases = ?12
        WHERE task = ?1 AND place = ?2";
    update_step_output = "UPDATE step SET awaits = ?3, state = ?4, state_at = ?5, reason = ?6,
        message = ?7, failure_place = ?8, attempts = ?9, failures = ?10, crashes = ?11, releases = ?12,
        output = ?13 WHERE task = ?1 AND place = ?2";
    put_answer = "UPDATE step SET answer = ?3 WHERE task = ?1 AND place = ?2";
    put_checkpoint = "INSERT INTO checkpoint (task, place, body) VALUES (?1, ?2, ?3)
        ON CONFLICT (task, place) DO UPDATE SET body = excluded.body";
    put_artefact = "INSERT INTO artefact (task, hash) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    insert_ready = "INSERT INTO ready (arm, tenant, priority, since, task, place)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    delete_ready = "DELETE FROM ready
        WHERE arm = ?1 AND tenant = ?2 AND priority = ?3 AND since = ?4 AND task = ?5 AND place = ?6";
    is_ready = "SELECT 1 FROM ready
        WHERE arm = ?1 AND tenant = ?2 AND priority = ?3 AND since = ?4 AND task = ?5 AND place = ?6";
    insert_lease = "INSERT INTO lease (task, place, tenant, arm, token, worker, granted_at, expires_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    extend_lease = "UPDATE lease SET expires_at = ?3 WHERE task = ?1 AND place = ?2";
    delete_lease = "DELETE FROM lease WHERE task = ?1 AND place = ?2";
    insert_event = "INSERT INTO event (task, number, at, kind, place, count, moment, reason, text)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    add_finished = "INSERT INTO finished (arm, minute, steps) VALUES (?1, ?2, ?3)
        ON CONFLICT (arm, minute) DO UPDATE SET steps = steps + excluded.steps";
    forget_finished = "DELETE FROM finished WHERE arm = ?1 AND minute < ?2";

    // Figures. A sum that does not fit stops at the greatest number.
    add_usage = "INSERT INTO usage_day (tenant, day, subject, done, failed, cancelled, attempts, took, worst,
        calls, unpriced, cost, tokens) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
        ON CONFLICT (tenant, day, subject) DO UPDATE SET done = done + excluded.done,
        failed = failed + excluded.failed, cancelled = cancelled + excluded.cancelled,
        attempts = attempts + excluded.attempts,
        took = CASE WHEN took > 9223372036854775807 - excluded.took THEN 9223372036854775807
            ELSE took + excluded.took END,
        worst = max(worst, excluded.worst), calls = calls + excluded.calls,
        unpriced = unpriced + excluded.unpriced,
        cost = CASE WHEN cost > 9223372036854775807 - excluded.cost THEN 9223372036854775807
            ELSE cost + excluded.cost END,
        tokens = CASE WHEN tokens > 9223372036854775807 - excluded.tokens THEN 9223372036854775807
            ELSE tokens + excluded.tokens END";
    forget_usage = "DELETE FROM usage_day WHERE day < ?1";

    // The accept.
    find_idempotency = "SELECT hash, task FROM idempotency WHERE tenant = ?1 AND key = ?2";
    insert_idempotency = "INSERT INTO idempotency (tenant, key, hash, task) VALUES (?1, ?2, ?3, ?4)";
    insert_session = "INSERT INTO session (tenant, name, task) VALUES (?1, ?2, ?3)";

    // The claim.
    next_tenant = "SELECT tenant FROM ready WHERE arm = ?1 AND tenant > ?2 ORDER BY tenant LIMIT 1";
    heads = "SELECT since, task, place FROM ready WHERE arm = ?1 AND tenant = ?2 AND priority = ?3
        ORDER BY since, task, place LIMIT ?4";
    spec = "SELECT spec, answer FROM step WHERE task = ?1 AND place = ?2";
    output = "SELECT output FROM step WHERE task = ?1 AND place = ?2";
    checkpoint = "SELECT body FROM checkpoint WHERE task = ?1 AND place = ?2";
    lease_counts = "SELECT tenant, count(*) FROM lease GROUP BY tenant";

    // The sweep.
    lapsed = "SELECT task, min(expires_at) FROM lease WHERE expires_at <= ?1 GROUP BY task
        ORDER BY min(expires_at), task LIMIT ?2";
    overdue = "SELECT id, due FROM task WHERE due IS NOT NULL AND due <= ?1 ORDER BY due, id LIMIT ?2";
    next_lapse = "SELECT min(expires_at) FROM lease";
    next_due = "SELECT min(due) FROM task WHERE due IS NOT NULL";
    open_after = "SELECT tenant, id FROM task WHERE state = ?1 AND (tenant, id) > (?2, ?3)
        ORDER BY tenant, id LIMIT ?4";
    put_off_leases = "UPDATE lease SET expires_at = ?2 WHERE task = ?1 AND expires_at < ?2";
    put_off_deadline = "UPDATE task SET due = ?2 WHERE id = ?1 AND due < ?2";
    leases_named = "SELECT DISTINCT task FROM lease WHERE substr(worker, 1, length(?1)) = ?1";
    leases_of = "SELECT DISTINCT task FROM lease WHERE worker = ?1";

    // Retention.
    ended = "SELECT id, tenant FROM task WHERE ended_at IS NOT NULL AND ended_at < ?1 ORDER BY ended_at, id
        LIMIT ?2";
    names_of = "SELECT idempotency_key, session FROM paper WHERE task = ?1";
    drop_idempotency = "DELETE FROM idempotency WHERE tenant = ?1 AND key = ?2";
    drop_session = "DELETE FROM session WHERE tenant = ?1 AND name = ?2 AND task = ?3";
    drop_ledger = "DELETE FROM ledger WHERE task = ?1";
    drop_holds = "DELETE FROM hold WHERE task = ?1";
    drop_receipts = "DELETE FROM receipt WHERE task = ?1";
    drop_paper = "DELETE FROM paper WHERE task = ?1";
    drop_steps = "DELETE FROM step WHERE task = ?1";
    drop_checkpoints = "DELETE FROM checkpoint WHERE task = ?1";
    drop_events = "DELETE FROM event WHERE task = ?1";
    drop_artefacts = "DELETE FROM artefact WHERE task = ?1";
    drop_task = "DELETE FROM task WHERE id = ?1";

    // Keys.
    put_key = "INSERT INTO api_key (id, tenant, verifier, role, scopes, policy, label, created_at, revoked_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
        ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, verifier = excluded.verifier,
        role = excluded.role, scopes = excluded.scopes, policy = excluded.policy, label = excluded.label,
        created_at = excluded.created_at, revoked_at = excluded.revoked_at";
    any_key = "SELECT 1 FROM api_key LIMIT 1";
    key_and_admins = "SELECT id, tenant, verifier, role, scopes, policy, label, created_at, revoked_at
        FROM api_key WHERE id = ?1 OR (tenant = ?2 AND role = ?3 AND revoked_at IS NULL)";
    revoke_key = "UPDATE api_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
    put_ring_key = "INSERT OR REPLACE INTO ring_key (seed, signs_from, opens_until) VALUES (?1, ?2, ?3)";
    forget_ring_keys = "DELETE FROM ring_key WHERE opens_until <= ?1";
}
