//! The SQL: one prepared statement a name, made once a connection. No decision is in
//! them. Rows are written many at a time, from arrays of their columns.

use tokio_postgres::{Client, Statement};

/// The statements of a connection.
pub(super) trait Prepared: Sized + Send + Sync + 'static {
    /// Every statement with its name.
    const ALL: &'static [(&'static str, &'static str)];

    /// Prepares all of them in one round trip.
    fn prepare(client: &Client) -> impl Future<Output = Result<Self, tokio_postgres::Error>> + Send;
}

macro_rules! statements {
    ($all:ident: $($name:ident = $sql:literal;)+) => {
        pub(super) struct $all { $(pub(super) $name: Statement),+ }

        impl Prepared for $all {
            const ALL: &'static [(&'static str, &'static str)] = &[$((stringify!($name), $sql)),+];

            async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
                let prepared = Self::ALL.iter().map(|(_, sql)| client.prepare(sql));
                let prepared = futures_util::future::join_all(prepared).await;
                let mut prepared = prepared.into_iter();
                let mut next = || prepared.next().expect("there is one for each name");
                Ok($all { $($name: next()?),+ })
            }
        }
    };
}

statements! {
    Statements:

    moment = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    place = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint";

    // The view. Locks are taken in the order of the ids, so that nobody waits in a circle.
    lock = "SELECT id, tenant, state, state_at, state_place, reason, message, priority, accepted_at,
        not_before, deadline, max_retries, replans, started_at, plan_version, revisions, questions, events,
        counted FROM task WHERE id = ANY($1) ORDER BY id FOR UPDATE";
    lock_free = "SELECT id, tenant, state, state_at, state_place, reason, message, priority, accepted_at,
        not_before, deadline, max_retries, replans, started_at, plan_version, revisions, questions, events,
        counted FROM task WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED";
    steps = "SELECT task, place, arm, plan_version, needs, awaits, time_limit, state, state_at, reason,
        message, failure_place, attempts, failures, crashes, releases FROM step WHERE task = ANY($1)
        ORDER BY task, place";
    leases = "SELECT task, place, token, worker, granted_at, expires_at FROM lease WHERE task = ANY($1)";
    ledgers = "SELECT task, money_granted, money_spent, money_held, tokens_granted, tokens_spent, tokens_held,
        unpriced FROM ledger WHERE task = ANY($1)";
    holds = "SELECT task, call, place, number, cost, tokens, at FROM hold WHERE task = ANY($1)
        ORDER BY task, call";

    // Changes of tasks.
    insert_task = "INSERT INTO task (id, tenant, state, state_at, state_place, reason, message, priority,
        accepted_at, not_before, deadline, max_retries, replans, plan_version, events, ended_at, due, counted,
        started_at, revisions, questions, poison)
        SELECT *, NULL::bigint, 0, 0, false FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::int[],
        $6::text[], $7::text[], $8::int[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
        $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bool[])";
    update_task = "UPDATE task SET state = u.state, state_at = u.state_at, state_place = u.state_place,
        reason = u.reason, message = u.message, started_at = u.started_at, plan_version = u.plan_version,
        revisions = u.revisions, questions = u.questions, events = u.events, ended_at = u.ended_at,
        due = u.due, poison = u.poison, counted = u.counted
        FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::int[], $5::text[], $6::text[], $7::bigint[],
        $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bool[],
        $15::bool[]) AS u(id, state, state_at, state_place, reason, message, started_at, plan_version,
        revisions, questions, events, ended_at, due, poison, counted) WHERE task.id = u.id";
    insert_paper = "INSERT INTO paper (task, idempotency_key, session, goal, request, plan)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])";
    update_plan = "UPDATE paper SET plan = u.plan FROM unnest($1::uuid[], $2::text[]) AS u(task, plan)
        WHERE paper.task = u.task";
    insert_session = "INSERT INTO session (tenant, name, task)
        SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[])";
    // In the order of the keys, so that two that have some in common do not wait for each other in a circle.
    insert_idempotency = "INSERT INTO idempotency (tenant, key, hash, task)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[]) AS u(tenant, key, hash, task)
        ORDER BY u.tenant, u.key";
    claim_idempotency = "INSERT INTO idempotency (tenant, key, hash, task)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[]) AS u(tenant, key, hash, task)
        ORDER BY u.tenant, u.key ON CONFLICT DO NOTHING RETURNING task";
    find_idempotency = "SELECT u.at, i.hash, i.task, t.state, t.state_at, t.state_place, t.reason, t.message
        FROM unnest($1::text[], $2::text[], $3::int[]) AS u(tenant, key, at)
        JOIN idempotency i ON i.tenant = u.tenant AND i.key = u.key LEFT JOIN task t ON t.id = i.task";
    // Makes the commit wait for whatever was committed before it to be as durable as itself.
    mark = "SELECT pg_logical_emit_message(true, 'octollm', '')";
    insert_event = "INSERT INTO event (task, number, at, kind, place, count, moment, reason, text)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::int[], $6::bigint[],
        $7::bigint[], $8::text[], $9::text[])";

    // Changes of steps.
    insert_step = "INSERT INTO step (task, place, arm, plan_version, needs, awaits, time_limit, state,
        state_at, reason, message, failure_place, attempts, failures, crashes, releases, spec)
        SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::int[],
        $7::bigint[], $8::text[], $9::bigint[], $10::text[], $11::text[], $12::int[], $13::bigint[],
        $14::bigint[], $15::bigint[], $16::bigint[], $17::text[])";
    update_step = "UPDATE step SET awaits = u.awaits, state = u.state, state_at = u.state_at,
        reason = u.reason, message = u.message, failure_place = u.failure_place, attempts = u.attempts,
        failures = u.failures, crashes = u.crashes, releases = u.releases,
        output = coalesce(u.output, step.output)
        FROM unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::bigint[], $6::text[], $7::text[],
        $8::int[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[])
        AS u(task, place, awaits, state, state_at, reason, message, failure_place, attempts, failures,
        crashes, releases, output) WHERE step.task = u.task AND step.place = u.place";
    put_answer = "UPDATE step SET answer = u.body FROM unnest($1::uuid[], $2::int[], $3::text[])
        AS u(task, place, body) WHERE step.task = u.task AND step.place = u.place";
    put_checkpoint = "INSERT INTO checkpoint (task, place, body)
        SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[])
        ON CONFLICT (task, place) DO UPDATE SET body = excluded.body";
    put_artefact = "INSERT INTO artefact (task, hash) SELECT * FROM unnest($1::uuid[], $2::bytea[])
        ON CONFLICT DO NOTHING";
    insert_ready = "INSERT INTO ready (arm, tenant, priority, since, task, place)
        SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::uuid[], $6::int[])";
    delete_ready = "DELETE FROM ready r USING unnest($1::text[], $2::text[], $3::int[], $4::bigint[],
        $5::uuid[], $6::int[]) AS u(arm, tenant, priority, since, task, place) WHERE r.arm = u.arm
        AND r.tenant = u.tenant AND r.priority = u.priority AND r.since = u.since AND r.task = u.task
        AND r.place = u.place";
    insert_lease = "INSERT INTO lease (task, place, tenant, arm, token, worker, granted_at, expires_at)
        SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::bytea[], $6::text[],
        $7::bigint[], $8::bigint[])";
    update_lease = "UPDATE lease SET token = u.token, worker = u.worker, granted_at = u.granted_at,
        expires_at = u.expires_at FROM unnest($1::uuid[], $2::int[], $3::bytea[], $4::text[], $5::bigint[],
        $6::bigint[]) AS u(task, place, token, worker, granted_at, expires_at)
        WHERE lease.task = u.task AND lease.place = u.place";
    delete_lease = "DELETE FROM lease USING unnest($1::uuid[], $2::int[]) AS u(task, place)
        WHERE lease.task = u.task AND lease.place = u.place";

    // Model calls.
    put_ledger = "INSERT INTO ledger (task, money_granted, money_spent, money_held, tokens_granted,
        tokens_spent, tokens_held, unpriced) SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[],
        $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
        ON CONFLICT (task) DO UPDATE SET money_spent = excluded.money_spent, money_held = excluded.money_held,
        tokens_spent = excluded.tokens_spent, tokens_held = excluded.tokens_held,
        unpriced = excluded.unpriced";
    insert_hold = "INSERT INTO hold (task, call, place, number, cost, tokens, at, caller)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::bigint[], $8::uuid[])";
    delete_hold = "DELETE FROM hold USING unnest($1::uuid[], $2::uuid[]) AS u(task, call)
        WHERE hold.task = u.task AND hold.call = u.call";
    insert_receipt = "INSERT INTO receipt (task, place, number, call, body)
        SELECT u.task, u.place, u.number, u.call, u.body FROM unnest($1::uuid[], $2::int[], $3::bigint[],
        $4::uuid[], $5::text[]) WITH ORDINALITY AS u(task, place, number, call, body, at) ORDER BY u.at";

    // Steps that ended.
    add_finished = "INSERT INTO finished (arm, minute, counter, steps)
        SELECT u.arm, u.minute, $4::uuid, u.steps FROM unnest($1::text[], $2::bigint[], $3::bigint[])
        AS u(arm, minute, steps) ORDER BY u.arm, u.minute
        ON CONFLICT (arm, minute, counter) DO UPDATE SET steps = finished.steps + excluded.steps";
    forget_finished = "DELETE FROM finished WHERE minute < $1";

    // Figures. A sum that does not fit stops at the greatest number. Whoever comes second to a note finds it
    // gone.
    add_notes = "INSERT INTO usage_note (tenant, day, subject, done, failed, cancelled, attempts, took, worst,
        calls, unpriced, cost, tokens) SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[],
        $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],
        $12::bigint[], $13::bigint[])";
    take_notes = "DELETE FROM usage_note WHERE ctid = ANY(ARRAY(SELECT ctid FROM usage_note ORDER BY day
        LIMIT $1))
        RETURNING tenant, day, subject, done, failed, cancelled, attempts, took, worst, calls, unpriced, cost,
        tokens";
    add_usage = "INSERT INTO usage_day AS d (tenant, day, subject, done, failed, cancelled, attempts, took, worst,
        calls, unpriced, cost, tokens) SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[],
        $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],
        $12::bigint[], $13::bigint[])
        ON CONFLICT (tenant, day, subject) DO UPDATE SET done = d.done + excluded.done,
        failed = d.failed + excluded.failed, cancelled = d.cancelled + excluded.cancelled,
        attempts = d.attempts + excluded.attempts,
        took = least(d.took::numeric + excluded.took, 9223372036854775807)::bigint,
        worst = greatest(d.worst, excluded.worst), calls = d.calls + excluded.calls,
        unpriced = d.unpriced + excluded.unpriced,
        cost = least(d.cost::numeric + excluded.cost, 9223372036854775807)::bigint,
        tokens = least(d.tokens::numeric + excluded.tokens, 9223372036854775807)::bigint";
    forget_usage = "DELETE FROM usage_day WHERE ctid = ANY(ARRAY(SELECT ctid FROM usage_day WHERE day < $1
        ORDER BY day LIMIT $2))";

    // The claim: the heads of the queues of an arm, for so many tenants after one.
    heads = "WITH RECURSIVE turn(tenant, number) AS (
            (SELECT r.tenant, 1 FROM ready r WHERE r.arm = $1 AND r.tenant > $2 ORDER BY r.tenant LIMIT 1)
            UNION ALL
            SELECT n.tenant, t.number + 1 FROM turn t CROSS JOIN LATERAL
                (SELECT r.tenant FROM ready r WHERE r.arm = $1 AND r.tenant > t.tenant
                 ORDER BY r.tenant LIMIT 1) n
            WHERE t.number < $3
        ) SELECT t.tenant, p.priority, h.since, h.task, h.place FROM turn t
        CROSS JOIN (VALUES (0), (1), (2), (3)) AS p(priority) CROSS JOIN LATERAL
            (SELECT r.since, r.task, r.place FROM ready r WHERE r.arm = $1 AND r.tenant = t.tenant
             AND r.priority = p.priority ORDER BY r.since, r.task, r.place LIMIT $4) h
        ORDER BY t.number, p.priority, h.since, h.task, h.place";
    running = "SELECT tenant, count(*) FROM lease GROUP BY tenant";
    specs = "SELECT s.task, s.place, s.spec, s.answer, c.body
        FROM unnest($1::uuid[], $2::int[]) AS u(task, place)
        JOIN step s ON s.task = u.task AND s.place = u.place
        LEFT JOIN checkpoint c ON c.task = u.task AND c.place = u.place";
    outputs = "SELECT s.task, s.place, s.output FROM unnest($1::uuid[], $2::int[]) AS u(task, place)
        JOIN step s ON s.task = u.task AND s.place = u.place WHERE s.output IS NOT NULL";

    // The sweep.
    lapsed = "SELECT task, min(expires_at) AS at FROM lease WHERE expires_at <= $1 GROUP BY task
        ORDER BY at, task LIMIT $2";
    overdue = "SELECT id, due FROM task WHERE due IS NOT NULL AND due <= $1 ORDER BY due, id LIMIT $2";
    // `$1`: look whether there are notes to roll up.
    next_expiry = "SELECT least((SELECT min(expires_at) FROM lease),
        (SELECT due FROM task WHERE due IS NOT NULL ORDER BY due LIMIT 1)),
        CASE WHEN $1 THEN (SELECT day FROM usage_note ORDER BY day LIMIT 1) IS NOT NULL ELSE false END";
    open_after = "SELECT tenant, id FROM task WHERE state = $1 AND (tenant, id) > ($2, $3)
        ORDER BY tenant, id LIMIT $4";
    put_off_leases = "UPDATE lease SET expires_at = $2 WHERE task = ANY($1) AND expires_at < $2";
    put_off_due = "UPDATE task SET due = $2 WHERE id = ANY($1) AND due < $2";
    not_queued = "SELECT u.at FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::uuid[],
        $6::int[], $7::int[]) AS u(arm, tenant, priority, since, task, place, at)
        WHERE NOT EXISTS (SELECT FROM ready r WHERE r.arm = u.arm AND r.tenant = u.tenant
        AND r.priority = u.priority AND r.since = u.since AND r.task = u.task AND r.place = u.place)";
    leases_named = "SELECT DISTINCT task FROM lease WHERE starts_with(worker, $1)";
    leases_of = "SELECT DISTINCT task FROM lease WHERE worker = $1";
    all_calling = "SELECT DISTINCT task FROM hold";
    beat = "INSERT INTO caller AS c (id, beats, at, edition) VALUES ($1, 1, clock_timestamp(), $2)
        ON CONFLICT (id) DO UPDATE SET beats = c.beats + 1, at = excluded.at, edition = excluded.edition";
    oldest_edition = "SELECT min(coalesce(edition, 1)) FROM caller
        WHERE at > clock_timestamp() - interval '30 seconds'";
    callers = "SELECT h.caller, c.beats, h.began FROM (SELECT caller, max(at) AS began FROM hold
        WHERE caller IS NOT NULL AND caller <> $1 GROUP BY caller) AS h LEFT JOIN caller AS c ON c.id = h.caller";
    calls_of = "SELECT h.task, h.call FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS u(caller, beats, began)
        JOIN hold AS h ON h.caller = u.caller AND h.at <= u.began
        LEFT JOIN caller AS c ON c.id = u.caller WHERE c.beats IS NOT DISTINCT FROM u.beats";
    forget_callers = "DELETE FROM caller WHERE at < clock_timestamp() - interval '1 hour'";

    worn = "SELECT relname::text FROM pg_stat_user_tables WHERE schemaname = 'octollm'
        AND relname IN ('ready', 'lease', 'hold') AND n_dead_tup > $1 AND n_live_tup <= $2";

    // Retention.
    ended = "SELECT t.id, t.tenant, p.idempotency_key, p.session FROM task t LEFT JOIN paper p ON p.task = t.id
        WHERE t.ended_at IS NOT NULL AND t.ended_at < $1 ORDER BY t.ended_at, t.id LIMIT $2
        FOR UPDATE OF t SKIP LOCKED";
    drop_idempotency = "DELETE FROM idempotency i USING unnest($1::text[], $2::text[]) AS u(tenant, key)
        WHERE i.tenant = u.tenant AND i.key = u.key";
    drop_session = "DELETE FROM session s USING unnest($1::text[], $2::text[], $3::uuid[])
        AS u(tenant, name, task) WHERE s.tenant = u.tenant AND s.name = u.name AND s.task = u.task";
    drop_ledger = "DELETE FROM ledger WHERE task = ANY($1)";
    drop_holds = "DELETE FROM hold WHERE task = ANY($1)";
    drop_receipts = "DELETE FROM receipt WHERE task = ANY($1)";
    drop_paper = "DELETE FROM paper WHERE task = ANY($1)";
    drop_steps = "DELETE FROM step WHERE task = ANY($1)";
    drop_checkpoints = "DELETE FROM checkpoint WHERE task = ANY($1)";
    drop_events = "DELETE FROM event WHERE task = ANY($1)";
    drop_artefacts = "DELETE FROM artefact WHERE task = ANY($1)";
    drop_task = "DELETE FROM task WHERE id = ANY($1)";

    // Keys.
    put_key = "INSERT INTO api_key (id, tenant, verifier, role, scopes, policy, label, created_at, revoked_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, verifier = excluded.verifier,
        role = excluded.role, scopes = excluded.scopes, policy = excluded.policy, label = excluded.label,
        created_at = excluded.created_at, revoked_at = excluded.revoked_at";
    any_key = "SELECT EXISTS (SELECT FROM api_key)";
    // In the order of the keys, so that two that revoke each other's do not wait in a circle. Who waited for a key
    // that was revoked meanwhile does not find it among the others.
    lock_key_and_admins = "SELECT id, tenant, verifier, role, scopes, policy, label, created_at, revoked_at
        FROM api_key WHERE id = $1 OR (tenant = $2 AND role = $3 AND revoked_at IS NULL)
        ORDER BY id FOR UPDATE";
    revoke_key = "UPDATE api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    add_to_ring = "WITH over AS (DELETE FROM ring_key WHERE opens_until <= $4)
        INSERT INTO ring_key (seed, signs_from, opens_until) VALUES ($1, $2, $3)
        ON CONFLICT (seed) DO UPDATE SET signs_from = excluded.signs_from, opens_until = excluded.opens_until";

    // Offices.
    lead = "INSERT INTO leader AS l (office, holder, expires_at)
        SELECT $1, $2, n.now + $3 FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS n(now)
        ON CONFLICT (office) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
        WHERE l.holder = excluded.holder OR l.expires_at <= excluded.expires_at - $3
        RETURNING l.office";
}

statements! {
    ReadStatements:

    // Where this server is, a primary or a standby, and how it is. What came over the network is looked
    // at before what of it was replayed.
    report = "SELECT pg_is_in_recovery(), EXISTS (SELECT FROM pg_stat_wal_receiver),
        (pg_last_wal_receive_lsn() - '0/0'::pg_lsn)::bigint,
        (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint,
        (extract(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::bigint,
        t.number, t.began FROM (SELECT number, began FROM timeline ORDER BY number DESC LIMIT 1) AS t";
    stand = "SELECT (SELECT number FROM timeline ORDER BY number DESC LIMIT 1),
        ((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END)
            - '0/0'::pg_lsn)::bigint";

    tenant = "SELECT tenant FROM task WHERE id = $1";
    tasks = "SELECT id, tenant, state, state_at, state_place, reason, message, priority, accepted_at,
        not_before, deadline, max_retries, replans, started_at, plan_version, revisions, questions, events,
        counted FROM task WHERE id = ANY($1)";
    steps = "SELECT task, place, arm, plan_version, needs, awaits, time_limit, state, state_at, reason,
        message, failure_place, attempts, failures, crashes, releases, spec, output, answer FROM step
        WHERE task = ANY($1) ORDER BY task, place";
    leases = "SELECT task, place, token, worker, granted_at, expires_at FROM lease WHERE task = ANY($1)";
    checkpoints = "SELECT task, place, body FROM checkpoint WHERE task = ANY($1)";
    papers = "SELECT task, goal, request, plan, session FROM paper WHERE task = ANY($1)";
    ledgers = "SELECT task, money_granted, money_spent, money_held, tokens_granted, tokens_spent, tokens_held,
        unpriced FROM ledger WHERE task = ANY($1)";
    holds = "SELECT task, call, place, number, cost, tokens, at FROM hold WHERE task = ANY($1)
        ORDER BY task, call";
    receipts = "SELECT task, place, number, call, body FROM receipt WHERE task = ANY($1)
        ORDER BY task, place, number, turn";
    receipt = "SELECT body FROM receipt WHERE task = $1 AND place = $2 AND number = $3
        ORDER BY turn DESC LIMIT 1";
    // Asked for by `IS NOT NULL` alone, those that have ended may be walked through by `task_ended`.
    session = "SELECT s.task FROM session s JOIN task t ON t.id = s.task WHERE s.tenant = $1 AND s.name = $2
        AND s.task < $3 AND coalesce(t.ended_at, -1) >= 0 ORDER BY s.task DESC LIMIT $4";
    events = "SELECT number, at, kind, place, count, moment, reason, text FROM event
        WHERE task = $1 AND number > $2 ORDER BY number LIMIT $3";
    list_of = "SELECT t.id, t.state, t.state_at, t.state_place, t.reason, t.message, t.priority,
        t.accepted_at, t.started_at, t.not_before, t.deadline, p.goal FROM
        (SELECT h.id FROM unnest($1::text[]) AS s(state) CROSS JOIN LATERAL
            (SELECT k.id FROM task k WHERE k.state = s.state AND k.tenant = $4 AND k.id < $2
             ORDER BY k.id DESC LIMIT $3) h
         ORDER BY h.id DESC LIMIT $3) AS n
        JOIN task t ON t.id = n.id JOIN paper p ON p.task = n.id ORDER BY t.id DESC";
    list = "WITH RECURSIVE turn(state, tenant) AS (
            SELECT s.state, (SELECT k.tenant FROM task k WHERE k.state = s.state ORDER BY k.tenant LIMIT 1)
            FROM unnest($1::text[]) AS s(state)
            UNION ALL
            SELECT u.state, (SELECT k.tenant FROM task k WHERE k.state = u.state AND k.tenant > u.tenant
                ORDER BY k.tenant LIMIT 1)
            FROM turn u WHERE u.tenant IS NOT NULL
        ) SELECT t.id, t.state, t.state_at, t.state_place, t.reason, t.message, t.priority,
        t.accepted_at, t.started_at, t.not_before, t.deadline, p.goal FROM
        (SELECT h.id FROM turn s CROSS JOIN LATERAL
            (SELECT k.id FROM task k WHERE k.state = s.state AND k.tenant = s.tenant AND k.id < $2
             ORDER BY k.id DESC LIMIT $3) h
         WHERE s.tenant IS NOT NULL ORDER BY h.id DESC LIMIT $3) AS n
        JOIN task t ON t.id = n.id JOIN paper p ON p.task = n.id ORDER BY t.id DESC";
    list_poisoned_of = "SELECT t.id, t.state, t.state_at, t.state_place, t.reason, t.message, t.priority,
        t.accepted_at, t.started_at, t.not_before, t.deadline, p.goal
        FROM task t JOIN paper p ON p.task = t.id
        WHERE t.poison AND t.tenant = $4 AND t.id < $2 AND t.state = ANY($1) ORDER BY t.id DESC LIMIT $3";
    list_poisoned = "SELECT t.id, t.state, t.state_at, t.state_place, t.reason, t.message, t.priority,
        t.accepted_at, t.started_at, t.not_before, t.deadline, p.goal
        FROM task t JOIN paper p ON p.task = t.id
        WHERE t.poison AND t.id < $2 AND t.state = ANY($1) ORDER BY t.id DESC LIMIT $3";
    backlog = "SELECT (SELECT count(*) FROM ready WHERE arm = $1 AND since <= $2),
        (SELECT min(since) FROM ready WHERE arm = $1 AND since <= $2),
        (SELECT count(*) FROM lease WHERE arm = $1),
        (SELECT coalesce(sum(steps), 0)::bigint FROM finished WHERE arm = $1 AND minute = $3)";
    lease = "SELECT place, token, worker, granted_at, expires_at,
        floor(extract(EPOCH FROM clock_timestamp()) * 1000)::bigint
        FROM lease WHERE task = $1 AND place = $2";
    accepted_under = "SELECT task, hash FROM idempotency WHERE tenant = $1 AND key = $2";
    mark = "SELECT pg_logical_emit_message(true, 'octollm', '')";
    refers = "SELECT 1 FROM artefact WHERE task = $1 AND hash = $2";
    artefacts = "SELECT DISTINCT hash FROM artefact";
    open_tasks = "SELECT count(*) FROM task WHERE state = ANY($1)";

    // Up to when everything that was committed is shown; NULL at a standby that has replayed nothing yet.
    counted_to = "SELECT floor(extract(EPOCH FROM CASE WHEN pg_is_in_recovery()
        THEN pg_last_xact_replay_timestamp() ELSE clock_timestamp() END) * 1000)::bigint";
    usage_days_of = "SELECT day, tenant, subject, sum(done)::bigint, sum(failed)::bigint, sum(cancelled)::bigint,
        sum(attempts)::bigint, least(sum(took), 9223372036854775807)::bigint, max(worst), sum(calls)::bigint,
        sum(unpriced)::bigint, least(sum(cost), 9223372036854775807)::bigint,
        least(sum(tokens), 9223372036854775807)::bigint FROM usage
        WHERE tenant = $5 AND day BETWEEN $1 AND $2 AND (day > $1 OR tenant > $4) GROUP BY day, tenant, subject
        ORDER BY day, tenant, subject LIMIT $3";
    usage_days = "SELECT day, tenant, subject, sum(done)::bigint, sum(failed)::bigint, sum(cancelled)::bigint,
        sum(attempts)::bigint, least(sum(took), 9223372036854775807)::bigint, max(worst), sum(calls)::bigint,
        sum(unpriced)::bigint, least(sum(cost), 9223372036854775807)::bigint,
        least(sum(tokens), 9223372036854775807)::bigint FROM usage
        WHERE day BETWEEN $1 AND $2 AND (day > $1 OR tenant > $4) GROUP BY day, tenant, subject
        ORDER BY day, tenant, subject LIMIT $3";
    usage_sums_of = "SELECT subject, sum(done)::bigint, sum(failed)::bigint, sum(cancelled)::bigint,
        sum(attempts)::bigint, least(sum(took), 9223372036854775807)::bigint, max(worst), sum(calls)::bigint,
        sum(unpriced)::bigint, least(sum(cost), 9223372036854775807)::bigint,
        least(sum(tokens), 9223372036854775807)::bigint FROM usage
        WHERE tenant = $3 AND day BETWEEN $1 AND $2 GROUP BY subject";
    usage_sums = "SELECT subject, sum(done)::bigint, sum(failed)::bigint, sum(cancelled)::bigint,
        sum(attempts)::bigint, least(sum(took), 9223372036854775807)::bigint, max(worst), sum(calls)::bigint,
        sum(unpriced)::bigint, least(sum(cost), 9223372036854775807)::bigint,
        least(sum(tokens), 9223372036854775807)::bigint FROM usage
        WHERE day BETWEEN $1 AND $2 GROUP BY subject";

    key = "SELECT id, tenant, verifier, role, scopes, policy, label, created_at, revoked_at
        FROM api_key WHERE id = $1";
    keys = "SELECT id, tenant, verifier, role, scopes, policy, label, created_at, revoked_at
        FROM api_key ORDER BY created_at, id";
    ring = "SELECT seed, signs_from, opens_until FROM ring_key ORDER BY signs_from, seed";
}
