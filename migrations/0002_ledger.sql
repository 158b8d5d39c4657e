-- What completeness needs beside the events: a second position for work that may wait, how far a feed is surely
-- read, which files were read, and which gaps somebody wants to have filled.

ALTER TABLE feed ADD COLUMN side TEXT NOT NULL DEFAULT ''; -- position of the daily sweep or a backfill: JSON, owned by the scheduler
ALTER TABLE feed ADD COLUMN complete INTEGER;              -- at that time Mimecast had nothing more: what it had listed before is read
ALTER TABLE gap ADD COLUMN wanted INTEGER;                 -- when an operator asked to fetch it
ALTER TABLE tenant ADD COLUMN quota TEXT;                  -- calls counted in the present window: JSON, owned by the scheduler

-- Files that were read as a whole, so that a listing read again from an earlier day costs no second download.
CREATE TABLE file (
    feed INTEGER NOT NULL REFERENCES feed (id), -- of which feed
    name BLOB NOT NULL CHECK (length(name) = 16), -- digest of its link without query
    size INTEGER,                               -- as the listing said, bytes
    read INTEGER NOT NULL,                      -- when it was stored; decides when the row may go
    PRIMARY KEY (feed, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX file_by_time ON file (read);
CREATE INDEX gap_open ON gap (feed) WHERE closed IS NULL;
