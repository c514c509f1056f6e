-- What a process reads of plans; NULL: one that is too old to say.
ALTER TABLE caller ADD COLUMN edition integer;
