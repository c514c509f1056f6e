-- Which process makes a model call that is under way; NULL: one that is too old to say.
ALTER TABLE hold ADD COLUMN caller uuid;

-- The processes that make calls, and how often each has said that it is alive. Nobody's clock is in it
-- but for `at`, which only says when a row is old enough to be forgotten.
CREATE TABLE caller (
    id    uuid        NOT NULL PRIMARY KEY,
    beats bigint      NOT NULL,
    at    timestamptz NOT NULL
) WITH (fillfactor = 50);
