-- Every timeline that was written on, marked before anything else was written on it; `began` is a position
-- on it at that moment (bytes of the log). Who reads a row has what survived of all timelines before.
CREATE TABLE timeline (
    number bigint NOT NULL PRIMARY KEY,
    began  bigint NOT NULL
);
