-- What operators do about what went wrong: events that a sink is asked to take once more, input that is given up,
-- stored events that are sent again.

ALTER TABLE feed ADD COLUMN quarantine_dropped INTEGER NOT NULL DEFAULT 0; -- of the quarantined, given up by an operator: in `quarantine` no more
ALTER TABLE account ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;         -- of the dead-lettered, given up by an operator: in `dead_letter` no more

ALTER TABLE dead_letter ADD COLUMN booked INTEGER NOT NULL DEFAULT 1;   -- 1: counted in the account of the sink as it is registered now
ALTER TABLE dead_letter ADD COLUMN wanted INTEGER;                      -- when an operator asked to send it once more; NULL: nobody does
ALTER TABLE dead_letter ADD COLUMN refusals INTEGER NOT NULL DEFAULT 1; -- how often the sink refused it
ALTER TABLE dead_letter ADD COLUMN json INTEGER NOT NULL DEFAULT 1;     -- 1: a JSON text; 0: an API 1.0 key-value line
ALTER TABLE dead_letter ADD COLUMN severity INTEGER NOT NULL DEFAULT 6; -- syslog's number

UPDATE dead_letter SET json = (substr(record, 1, 1) = x'7b');
-- a sink that was removed and added anew has another account than the one they were counted in
UPDATE dead_letter SET booked = 0
WHERE NOT EXISTS (SELECT 1 FROM sink WHERE sink.name = dead_letter.sink AND sink.since <= dead_letter.refused);

CREATE INDEX dead_letter_wanted ON dead_letter (sink, id) WHERE wanted IS NOT NULL;

-- Stored events that an operator wants a sink to get once more.
CREATE TABLE replay (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- number for people
    sink        TEXT NOT NULL,                     -- who gets them
    scope       TEXT NOT NULL,                     -- of which feeds, as a GLOB over 'tenant/feed'
    since       INTEGER NOT NULL,                  -- events of this time and later (of their storing, without a time)
    until       INTEGER NOT NULL,                  -- and before this one
    asked       INTEGER NOT NULL,                  -- when
    seq         INTEGER NOT NULL,                  -- every chunk up to this one is dealt with
    idx         INTEGER NOT NULL,                  -- and so many records of the chunk after it
    last_seq    INTEGER NOT NULL,                  -- the last chunk: what lies behind it the sink had not got then
    last_events INTEGER NOT NULL,                  -- and so many of its records
    total       INTEGER NOT NULL,                  -- records to look at
    looked_at   INTEGER NOT NULL DEFAULT 0,        -- of these, so far
    sent        INTEGER NOT NULL DEFAULT 0,        -- of these, acknowledged
    refused     INTEGER NOT NULL DEFAULT 0,        -- of these, refused for good: dead letters that no account counts
    finished    INTEGER,                           -- when it ended
    words       TEXT NOT NULL DEFAULT ''           -- why it ended before its end
) STRICT;

CREATE INDEX replay_open ON replay (sink, id) WHERE finished IS NULL;
