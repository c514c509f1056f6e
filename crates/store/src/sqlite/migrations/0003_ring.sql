-- The keys that step tokens are signed with.
CREATE TABLE ring_key (
    seed        BLOB    NOT NULL PRIMARY KEY,
    signs_from  INTEGER NOT NULL,
    opens_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
