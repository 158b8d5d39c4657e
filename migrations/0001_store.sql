-- The store: events that arrived, positions in feeds and in sinks, and the books that prove nothing is missing.
-- All times are Unix milliseconds, UTC. All sizes are bytes.

-- Facts about this installation.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY NOT NULL, -- 'salt': random, keys the fingerprints of secrets
    value BLOB NOT NULL              -- the fact
) STRICT, WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('salt', randomblob(32));

-- One Mimecast account.
CREATE TABLE tenant (
    name         TEXT PRIMARY KEY NOT NULL, -- as in the configuration
    gate         TEXT,                      -- state of its credential: JSON, owned by the supervisor
    gate_updated INTEGER                    -- when `gate` was saved
) STRICT, WITHOUT ROWID;

-- One feed of one tenant: its position and its half of the books.
CREATE TABLE feed (
    id             INTEGER PRIMARY KEY,                    -- short name of the row
    tenant         TEXT NOT NULL REFERENCES tenant (name), -- whose feed
    feed           TEXT NOT NULL,                          -- catalogue name, as 'siem.receipt'
    cursor         TEXT NOT NULL DEFAULT '',               -- position, opaque; '' before the first poll
    cursor_updated INTEGER,                                -- when the cursor last moved
    last_event     INTEGER,                                -- newest event time seen
    last_success   INTEGER,                                -- last commit, with or without events
    listed         INTEGER NOT NULL DEFAULT 0,             -- records Mimecast listed, repeats of re-read windows not counted
    stored         INTEGER NOT NULL DEFAULT 0,             -- of these, stored as events
    duplicate      INTEGER NOT NULL DEFAULT 0,             -- repeats recognised and left out
    quarantined    INTEGER NOT NULL DEFAULT 0,             -- of the listed, unreadable and kept in `quarantine`
    gap            INTEGER NOT NULL DEFAULT 0,             -- of the listed, known to be lost (see table `gap`)
    swept          INTEGER NOT NULL DEFAULT 0,             -- of the stored, deleted after delivery and retention
    horizon        INTEGER,                                -- no later read reaches records seen before this time
    state          TEXT,                                   -- state of its runner: JSON, owned by the scheduler
    state_updated  INTEGER,                                -- when `state` was saved
    UNIQUE (tenant, feed)
) STRICT;

-- The bytes of a chunk. Written once, never updated: making a staged body visible must not rewrite it.
CREATE TABLE body (
    id   INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused, so that a stale handle cannot name another body
    idx  BLOB NOT NULL,                     -- record index (chunk::encode_index)
    gzip BLOB NOT NULL                      -- raw bytes as one gzip stream
) STRICT;

-- Bodies of a file that is still being read: durable, invisible, deleted when the store is opened.
CREATE TABLE staged (
    body      INTEGER PRIMARY KEY REFERENCES body (id), -- the body
    feed      INTEGER NOT NULL REFERENCES feed (id),    -- who is reading
    staged_at INTEGER NOT NULL                          -- since when
) STRICT;

-- Events in the order couriers read them. Slim rows, so that sums over a long backlog stay cheap.
CREATE TABLE chunk (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,           -- order of commit; never reused, positions rely on it
    feed      INTEGER NOT NULL REFERENCES feed (id),       -- where the events came from
    body      INTEGER NOT NULL UNIQUE REFERENCES body (id),-- their bytes
    events    INTEGER NOT NULL CHECK (events > 0),         -- records in the index
    bytes     INTEGER NOT NULL,                            -- size of the body: gzip and index
    raw_len   INTEGER NOT NULL,                            -- size of the gzip stream when inflated
    collected INTEGER NOT NULL,                            -- when it was stored
    oldest    INTEGER,                                     -- oldest event time in it
    newest    INTEGER,                                     -- newest event time in it
    json      INTEGER NOT NULL,                            -- 1: records are JSON texts; 0: API 1.0 key-value lines
    kinds     TEXT NOT NULL,                               -- record types that occur: JSON array of strings
    source    TEXT NOT NULL                                -- file name without query, or the endpoint's path
) STRICT;

-- One destination and how far it has come.
CREATE TABLE sink (
    id    INTEGER PRIMARY KEY,  -- short name of the row
    name  TEXT NOT NULL UNIQUE, -- as in the configuration
    seq   INTEGER NOT NULL,     -- every chunk up to this one is dealt with
    idx   INTEGER NOT NULL,     -- and so many records of the chunk after it
    since INTEGER NOT NULL      -- when it was registered
) STRICT;

-- The sink's half of the books. A missing row means zeros.
CREATE TABLE account (
    sink          INTEGER NOT NULL REFERENCES sink (id), -- who
    feed          INTEGER NOT NULL REFERENCES feed (id), -- of which feed
    base          INTEGER NOT NULL DEFAULT 0,            -- events stored before the sink's start, never owed to it
    delivered     INTEGER NOT NULL DEFAULT 0,            -- acknowledged by the sink
    dead_lettered INTEGER NOT NULL DEFAULT 0,            -- refused by the sink for good, kept in `dead_letter`
    filtered      INTEGER NOT NULL DEFAULT 0,            -- not wanted by the sink's configuration
    PRIMARY KEY (sink, feed)
) STRICT, WITHOUT ROWID;

-- Input that could not be read.
CREATE TABLE quarantine (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,       -- number for people
    feed   INTEGER NOT NULL REFERENCES feed (id),   -- where it came from
    found  INTEGER NOT NULL,                        -- when
    source TEXT NOT NULL,                           -- file name without query, or the endpoint's path
    reason TEXT NOT NULL,                           -- short code, as 'not_json'
    detail TEXT NOT NULL,                           -- what was wrong, for people
    bytes  BLOB NOT NULL,                           -- its beginning, at most 64 KiB
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32), -- of all of it
    length INTEGER NOT NULL                         -- of all of it
) STRICT;

-- Spans of time that were not collected.
CREATE TABLE gap (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,     -- number for people
    feed      INTEGER NOT NULL REFERENCES feed (id), -- of which feed
    from_time INTEGER NOT NULL,                      -- start, exclusive
    to_time   INTEGER NOT NULL,                      -- end, inclusive
    cause     TEXT NOT NULL,                         -- short code, as 'beyond_retention'
    detail    TEXT NOT NULL,                         -- for people
    records   INTEGER NOT NULL,                      -- how many records were lost; 0 when nobody knows
    found     INTEGER NOT NULL,                      -- when it was noticed
    closed    INTEGER,                               -- when it was filled or acknowledged
    fetchable INTEGER NOT NULL                       -- 1: Mimecast still has it
) STRICT;

-- Events a sink refused for good.
CREATE TABLE dead_letter (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,     -- number for people
    sink      TEXT NOT NULL,                         -- who refused; the row outlives the sink
    feed      INTEGER NOT NULL REFERENCES feed (id), -- whose event
    event_id  BLOB NOT NULL CHECK (length(event_id) = 16), -- identity of the event
    record    BLOB NOT NULL,                         -- its bytes as Mimecast sent them
    words     TEXT NOT NULL,                         -- what the sink said
    refused   INTEGER NOT NULL,                      -- when it said so
    collected INTEGER NOT NULL,                      -- when the event was stored
    time      INTEGER,                               -- event time
    kind      TEXT NOT NULL                          -- record type
) STRICT;

-- Records of feeds whose windows are read more than once, so that repeats are recognised.
CREATE TABLE seen (
    feed       INTEGER NOT NULL REFERENCES feed (id), -- of which feed
    hash       BLOB NOT NULL,                         -- the record's id with ordinal 0, or its own id
    pass       INTEGER NOT NULL,                      -- the read-through that saw it last
    pass_count INTEGER NOT NULL,                      -- how often that read-through saw it
    total      INTEGER NOT NULL,                      -- how often it is stored
    time       INTEGER NOT NULL,                      -- when it was last seen; decides when the row may go
    PRIMARY KEY (feed, hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX seen_by_time ON seen (feed, time);
