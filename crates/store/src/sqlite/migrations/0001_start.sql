-- The view of a task, small and hot. `due` is its deadline as long as it can still end the task.
CREATE TABLE task (
    id             BLOB    NOT NULL PRIMARY KEY,
    tenant         TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    state_at       INTEGER,
    state_place    INTEGER,
    reason         TEXT,
    message        TEXT,
    priority       INTEGER NOT NULL,
    accepted_at    INTEGER NOT NULL,
    not_before     INTEGER,
    deadline       INTEGER,
    max_retries    INTEGER NOT NULL,
    replans        INTEGER,
    started_at     INTEGER,
    plan_version   INTEGER NOT NULL,
    revisions      INTEGER NOT NULL,
    granted        INTEGER NOT NULL,
    spent          INTEGER NOT NULL,
    held           INTEGER NOT NULL,
    events         INTEGER NOT NULL,
    ended_at       INTEGER,
    due            INTEGER,
    poison         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX task_by_state ON task (state, tenant, id);
CREATE INDEX task_due ON task (due) WHERE due IS NOT NULL;
CREATE INDEX task_ended ON task (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX task_poison ON task (tenant, id) WHERE poison = 1;

-- What a client wrote, written once.
CREATE TABLE paper (
    task            BLOB NOT NULL PRIMARY KEY,
    idempotency_key TEXT,
    goal            TEXT NOT NULL,
    request         TEXT NOT NULL,
    plan            TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A step and its documents. Its lease, if it has one, is in `lease`.
CREATE TABLE step (
    task            BLOB    NOT NULL,
    place           INTEGER NOT NULL,
    arm             TEXT    NOT NULL,
    plan_version    INTEGER NOT NULL,
    needs           TEXT    NOT NULL,
    awaits_approval INTEGER NOT NULL,
    time_limit      INTEGER NOT NULL,
    state           TEXT    NOT NULL,
    state_at        INTEGER,
    reason          TEXT,
    message         TEXT,
    failure_place   INTEGER,
    attempts        INTEGER NOT NULL,
    failures        INTEGER NOT NULL,
    crashes         INTEGER NOT NULL,
    releases        INTEGER NOT NULL,
    spec            TEXT,
    output          TEXT,
    PRIMARY KEY (task, place)
) STRICT, WITHOUT ROWID;

-- Where attempts are. Apart from `step`, so that a report of life does not rewrite them.
CREATE TABLE checkpoint (
    task  BLOB    NOT NULL,
    place INTEGER NOT NULL,
    body  TEXT    NOT NULL,
    PRIMARY KEY (task, place)
) STRICT, WITHOUT ROWID;

-- One row for each step that may be claimed, now or from `since` on. Small and hot.
CREATE TABLE ready (
    arm      TEXT    NOT NULL,
    tenant   TEXT    NOT NULL,
    priority INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    task     BLOB    NOT NULL,
    place    INTEGER NOT NULL,
    PRIMARY KEY (arm, tenant, priority, since, task, place)
) STRICT, WITHOUT ROWID;

-- One row for each lease alive. Small and hot.
CREATE TABLE lease (
    task       BLOB    NOT NULL,
    place      INTEGER NOT NULL,
    tenant     TEXT    NOT NULL,
    arm        TEXT    NOT NULL,
    token      BLOB    NOT NULL,
    worker     TEXT    NOT NULL,
    granted_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (task, place)
) STRICT, WITHOUT ROWID;

-- What there is to tell, written with the change that it tells of.
CREATE TABLE event (
    task   BLOB    NOT NULL,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    place  INTEGER,
    count  INTEGER,
    moment INTEGER,
    reason TEXT,
    text   TEXT,
    PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    key    TEXT NOT NULL,
    hash   BLOB NOT NULL,
    task   BLOB NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

-- Which bytes a task's documents refer to.
CREATE TABLE artefact (
    task BLOB NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (task, hash)
) STRICT, WITHOUT ROWID;

-- Steps that ended, by arm and minute since the epoch; the last hour only.
CREATE TABLE finished (
    arm    TEXT    NOT NULL,
    minute INTEGER NOT NULL,
    steps  INTEGER NOT NULL,
    PRIMARY KEY (arm, minute)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_key (
    id         TEXT    NOT NULL PRIMARY KEY,
    tenant     TEXT    NOT NULL,
    verifier   BLOB    NOT NULL,
    role       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    policy     TEXT    NOT NULL,
    label      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
