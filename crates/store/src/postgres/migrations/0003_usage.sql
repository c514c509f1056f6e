-- What ended on a day, and what the model calls settled on it used; only sums. `day` counts from 1970;
-- `subject` is `task`, or the arm whose steps and calls they are. They outlive the tasks.
--
-- Whoever ends something notes it in the transaction of that change, in a row of its own that nobody else
-- waits for (`usage_note`); the leader moves notes into the sums, a bounded number in one transaction.
-- What is read is both together (`usage`). No vacuum cuts these tables short: that takes a lock that a
-- standby would end its reads for.
CREATE TABLE usage_day (
    tenant    text    COLLATE "C" NOT NULL,
    day       integer NOT NULL,
    subject   text    COLLATE "C" NOT NULL,
    done      bigint  NOT NULL,
    failed    bigint  NOT NULL,
    cancelled bigint  NOT NULL,
    attempts  bigint  NOT NULL,
    took      bigint  NOT NULL,
    worst     bigint  NOT NULL,
    calls     bigint  NOT NULL,
    unpriced  bigint  NOT NULL,
    cost      bigint  NOT NULL,
    tokens    bigint  NOT NULL,
    PRIMARY KEY (tenant, day, subject)
) WITH (fillfactor = 50, vacuum_truncate = off);

CREATE INDEX usage_day_by_day ON usage_day (day);

CREATE TABLE usage_note (
    tenant    text    COLLATE "C" NOT NULL,
    day       integer NOT NULL,
    subject   text    COLLATE "C" NOT NULL,
    done      bigint  NOT NULL,
    failed    bigint  NOT NULL,
    cancelled bigint  NOT NULL,
    attempts  bigint  NOT NULL,
    took      bigint  NOT NULL,
    worst     bigint  NOT NULL,
    calls     bigint  NOT NULL,
    unpriced  bigint  NOT NULL,
    cost      bigint  NOT NULL,
    tokens    bigint  NOT NULL
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, vacuum_truncate = off);

-- Empty pages of a burst stay: they are not to be walked through by every read.
CREATE INDEX usage_note_by_day ON usage_note (day);

CREATE VIEW usage AS SELECT * FROM usage_day UNION ALL SELECT * FROM usage_note;
