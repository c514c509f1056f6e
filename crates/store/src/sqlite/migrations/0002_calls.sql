-- What a task's model calls may use and have used. A task without a row is without limits and has
-- made no call: an accept without limits writes none. NULL: no limit.
CREATE TABLE ledger (
    task           BLOB    NOT NULL PRIMARY KEY,
    money_granted  INTEGER,
    money_spent    INTEGER NOT NULL,
    money_held     INTEGER NOT NULL,
    tokens_granted INTEGER,
    tokens_spent   INTEGER NOT NULL,
    tokens_held    INTEGER NOT NULL,
    unpriced       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- No version up to here let a task spend, or let its client set a limit.
ALTER TABLE task DROP COLUMN granted;
ALTER TABLE task DROP COLUMN spent;
ALTER TABLE task DROP COLUMN held;
ALTER TABLE task ADD COLUMN questions INTEGER NOT NULL DEFAULT 0;

-- One row for each model call under way. Small and hot. `cost` NULL: unknown.
CREATE TABLE hold (
    task   BLOB    NOT NULL,
    call   BLOB    NOT NULL,
    place  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    cost   INTEGER,
    tokens INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (task, call)
) STRICT, WITHOUT ROWID;

-- What is to be known of each model call, in the order in which those of a number were settled.
CREATE TABLE receipt (
    task   BLOB    NOT NULL,
    place  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    turn   INTEGER NOT NULL,
    call   BLOB    NOT NULL,
    body   TEXT    NOT NULL,
    PRIMARY KEY (task, place, number, turn)
) STRICT, WITHOUT ROWID;

-- 0: nothing, 1: an approval, 2: an answer.
ALTER TABLE step RENAME COLUMN awaits_approval TO awaits;
ALTER TABLE step ADD COLUMN answer TEXT;

-- Which tasks belong to a conversation; only of tasks that do.
CREATE TABLE session (
    tenant TEXT NOT NULL,
    name   TEXT NOT NULL,
    task   BLOB NOT NULL,
    PRIMARY KEY (tenant, name, task)
) STRICT, WITHOUT ROWID;

ALTER TABLE paper ADD COLUMN session TEXT;
