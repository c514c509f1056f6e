-- Moments are milliseconds since 1970; ids are the sixteen bytes of a UUID; whole numbers of 64 bits
-- keep the bits of unsigned ones. Names collate by their bytes, as the program sorts them.

-- The view of a task, small and hot. `due` is the moment at which it is due to expire by itself.
-- `counted`: it has a row in `ledger`. Its row is the lock of all its other rows.
CREATE TABLE task (
    id           uuid    NOT NULL PRIMARY KEY,
    tenant       text    COLLATE "C" NOT NULL,
    state        text    COLLATE "C" NOT NULL,
    state_at     bigint,
    state_place  integer,
    reason       text    COLLATE "C",
    message      text,
    priority     integer NOT NULL,
    accepted_at  bigint  NOT NULL,
    not_before   bigint,
    deadline     bigint,
    max_retries  bigint  NOT NULL,
    replans      bigint,
    started_at   bigint,
    plan_version bigint  NOT NULL,
    revisions    bigint  NOT NULL,
    questions    bigint  NOT NULL,
    events       bigint  NOT NULL,
    ended_at     bigint,
    due          bigint,
    poison       boolean NOT NULL,
    counted      boolean NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX task_by_state ON task (state, tenant, id);
CREATE INDEX task_due ON task (due) WHERE due IS NOT NULL;
CREATE INDEX task_ended ON task (ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX task_poison ON task (tenant, id) WHERE poison;

-- What a client wrote, written once; `plan` once more for each revision.
CREATE TABLE paper (
    task            uuid NOT NULL PRIMARY KEY,
    idempotency_key text COLLATE "C",
    session         text COLLATE "C",
    goal            text NOT NULL,
    request         text NOT NULL,
    plan            text NOT NULL
);

-- A step and its documents. Its lease, if it has one, is in `lease`.
-- `awaits`: 0 nothing, 1 an approval, 2 an answer.
CREATE TABLE step (
    task          uuid    NOT NULL,
    place         integer NOT NULL,
    arm           text    COLLATE "C" NOT NULL,
    plan_version  bigint  NOT NULL,
    needs         text    COLLATE "C" NOT NULL,
    awaits        integer NOT NULL,
    time_limit    bigint  NOT NULL,
    state         text    COLLATE "C" NOT NULL,
    state_at      bigint,
    reason        text    COLLATE "C",
    message       text,
    failure_place integer,
    attempts      bigint  NOT NULL,
    failures      bigint  NOT NULL,
    crashes       bigint  NOT NULL,
    releases      bigint  NOT NULL,
    spec          text,
    output        text,
    answer        text,
    PRIMARY KEY (task, place)
) WITH (fillfactor = 70);

-- Where attempts are. Apart from `step`, so that a report of life does not rewrite them.
CREATE TABLE checkpoint (
    task  uuid    NOT NULL,
    place integer NOT NULL,
    body  text    NOT NULL,
    PRIMARY KEY (task, place)
);

-- One row for each step that may be claimed, now or from `since` on. Small and hot: what is
-- claimed leaves it.
CREATE TABLE ready (
    arm      text    COLLATE "C" NOT NULL,
    tenant   text    COLLATE "C" NOT NULL,
    priority integer NOT NULL,
    since    bigint  NOT NULL,
    task     uuid    NOT NULL,
    place    integer NOT NULL,
    PRIMARY KEY (arm, tenant, priority, since, task, place)
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- One row for each lease alive. Small and hot. No index on what a heartbeat changes.
CREATE TABLE lease (
    task       uuid    NOT NULL,
    place      integer NOT NULL,
    tenant     text    COLLATE "C" NOT NULL,
    arm        text    COLLATE "C" NOT NULL,
    token      bytea   NOT NULL,
    worker     text    COLLATE "C" NOT NULL,
    granted_at bigint  NOT NULL,
    expires_at bigint  NOT NULL,
    PRIMARY KEY (task, place)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- What there is to tell, written with the change that it tells of.
CREATE TABLE event (
    task   uuid    NOT NULL,
    number bigint  NOT NULL,
    at     bigint  NOT NULL,
    kind   text    COLLATE "C" NOT NULL,
    place  integer,
    count  bigint,
    moment bigint,
    reason text    COLLATE "C",
    text   text,
    PRIMARY KEY (task, number)
);

CREATE TABLE idempotency (
    tenant text  COLLATE "C" NOT NULL,
    key    text  COLLATE "C" NOT NULL,
    hash   bytea NOT NULL,
    task   uuid  NOT NULL,
    PRIMARY KEY (tenant, key)
);

-- What a task's model calls may use and have used. A task without a row is without limits and has
-- made no call. NULL: no limit.
CREATE TABLE ledger (
    task           uuid   NOT NULL PRIMARY KEY,
    money_granted  bigint,
    money_spent    bigint NOT NULL,
    money_held     bigint NOT NULL,
    tokens_granted bigint,
    tokens_spent   bigint NOT NULL,
    tokens_held    bigint NOT NULL,
    unpriced       bigint NOT NULL
) WITH (fillfactor = 70);

-- One row for each model call under way. Small and hot. `cost` NULL: unknown.
CREATE TABLE hold (
    task   uuid    NOT NULL,
    call   uuid    NOT NULL,
    place  integer NOT NULL,
    number bigint  NOT NULL,
    cost   bigint,
    tokens bigint  NOT NULL,
    at     bigint  NOT NULL,
    PRIMARY KEY (task, call)
);

-- What is to be known of each model call, in the order in which those of a number were settled.
CREATE TABLE receipt (
    task   uuid    NOT NULL,
    place  integer NOT NULL,
    number bigint  NOT NULL,
    turn   bigint  GENERATED ALWAYS AS IDENTITY,
    call   uuid    NOT NULL,
    body   text    NOT NULL,
    PRIMARY KEY (task, place, number, turn)
);

-- Which tasks belong to a conversation; only of tasks that do.
CREATE TABLE session (
    tenant text COLLATE "C" NOT NULL,
    name   text COLLATE "C" NOT NULL,
    task   uuid NOT NULL,
    PRIMARY KEY (tenant, name, task)
);

-- Which bytes a task's documents refer to.
CREATE TABLE artefact (
    task uuid  NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (task, hash)
);

-- Steps that ended, by arm and minute since 1970; the last hour only. Each process counts in rows of
-- its own, so that none waits for another's commit.
CREATE TABLE finished (
    arm     text    COLLATE "C" NOT NULL,
    minute  bigint  NOT NULL,
    counter uuid    NOT NULL,
    steps   bigint  NOT NULL,
    PRIMARY KEY (arm, minute, counter)
) WITH (fillfactor = 50);

CREATE TABLE api_key (
    id         text   COLLATE "C" NOT NULL PRIMARY KEY,
    tenant     text   COLLATE "C" NOT NULL,
    verifier   bytea  NOT NULL,
    role       text   COLLATE "C" NOT NULL,
    scopes     text   COLLATE "C" NOT NULL,
    policy     text   NOT NULL,
    label      text   NOT NULL,
    created_at bigint NOT NULL,
    revoked_at bigint
);

-- The keys that step tokens are signed with.
CREATE TABLE ring_key (
    seed        bytea  NOT NULL PRIMARY KEY,
    signs_from  bigint NOT NULL,
    opens_until bigint NOT NULL
);

-- Who does what only one may do, and until when unless it says so again.
CREATE TABLE leader (
    office     text   COLLATE "C" NOT NULL PRIMARY KEY,
    holder     uuid   NOT NULL,
    expires_at bigint NOT NULL
);
