-- What ended on a day, and what the model calls settled on it used; only sums. `day` counts from 1970;
-- `subject` is `task`, or the arm whose steps and calls they are. They outlive the tasks.
CREATE TABLE usage_day (
    tenant    TEXT    NOT NULL,
    day       INTEGER NOT NULL,
    subject   TEXT    NOT NULL,
    done      INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    took      INTEGER NOT NULL,
    worst     INTEGER NOT NULL,
    calls     INTEGER NOT NULL,
    unpriced  INTEGER NOT NULL,
    cost      INTEGER NOT NULL,
    tokens    INTEGER NOT NULL,
    PRIMARY KEY (tenant, day, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_day_by_day ON usage_day (day, tenant, subject);
