//! Every bound of the product: number, unit, reason. Rooms are in reading order.

use std::time::Duration;

// --- mimecast: requests and answers -----------------------------------------------------------------------

/// Shortest interval between two polls of a feed. Mimecast asks for 300 s or more.
pub const MIN_POLL_INTERVAL: Duration = Duration::from_secs(300);
/// One JSON answer (listing, record page, token): 500 records of 10 KiB fit three times over.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;
/// An error body is read this far and no further; every known form fits in a few KiB.
pub const MAX_ERROR_BODY_BYTES: usize = 64 << 10;
/// Whole API call, from first byte sent to last byte read.
pub const API_TIMEOUT: Duration = Duration::from_secs(60);
/// TCP and TLS set-up.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest silence inside a file download.
pub const DOWNLOAD_READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Files a listing may carry; Mimecast's own page size ends at 100.
pub const MAX_FILES_PER_LISTING: usize = 1_000;
/// Listing calls per window of 15 minutes and credential (mimecast-api.md §4).
pub const BATCH_QUOTA_CALLS: u32 = 50;
pub const BATCH_QUOTA_WINDOW: Duration = Duration::from_secs(15 * 60);
/// Pages without records in one cycle before the feed waits for its next poll (recovery row X12).
pub const MAX_EMPTY_PAGES: u32 = 10;

// --- mimecast: file contents ------------------------------------------------------------------------------

/// A line longer than this is quarantined (recovery row X13): real events are about 1 KiB.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// What is kept of a quarantined item.
pub const MAX_QUARANTINE_BYTES: usize = 64 << 10;
/// Expansion ratio that no honest log reaches, tested after the first MiB (recovery row X14).
pub const MAX_EXPANSION_RATIO: u64 = 200;
/// Expanded size of one file (recovery row X14).
pub const MAX_FILE_EXPANDED_BYTES: u64 = 2 << 30;
/// Records among which equal ones are numbered: bounds memory at 8 bytes each, far above any real file.
pub const TWIN_WINDOW_RECORDS: usize = 1 << 17;

// --- store ------------------------------------------------------------------------------------------------

/// Raw bytes a chunk of our own making aims at.
pub const CHUNK_TARGET_BYTES: usize = 1 << 20;
/// A file that expands to no more than this is stored as the gzip bytes Mimecast sent; bounds what a courier
/// holds in memory. Files of 5,000 events are about 4 MiB.
pub const CHUNK_MAX_BYTES: usize = 6 << 20;
/// Quarantined items one transaction may carry before the whole file is quarantined instead.
pub const MAX_QUARANTINED_PER_FILE: usize = 1_000;
/// Given back when the disk is full, so that SQLite can still delete (reliability.md §0 finding 5).
pub const BALLAST_BYTES: u64 = 64 << 20;
/// How long a statement waits for another process's lock before it is an error.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Raw bytes the store accepts in one chunk, and will inflate: the largest record page.
pub const STORE_MAX_CHUNK_BYTES: usize = MAX_ANSWER_BYTES;
/// Chunks just committed that stay in memory, so that couriers that keep up need not inflate them again. One
/// file of 5,000 events and the one before it.
pub const STORE_RECENT_BYTES: usize = 8 << 20;
/// Page cache of the writing connection: inner pages of the tables; blobs pass through.
pub const STORE_PAGE_CACHE_KIB: u32 = 2 << 10;
/// The WAL file is cut to this after a checkpoint that follows an unusually large transaction.
pub const STORE_JOURNAL_BYTES: u32 = 64 << 20;
/// Collection paused by the size limit resumes at this part of it (recovery row L01).
pub const STORE_RESUME_PERCENT: u64 = 80;
/// Chunks deleted in one transaction: about 10 MiB of pages, so commits of feeds wait milliseconds.
pub const SWEEP_CHUNKS: usize = 16;
/// Identities looked up, and rows of `seen` purged, in one statement.
pub const SEEN_ROWS: usize = 1_000;
/// Database page, bytes. Measured with files of 5,000 events: a commit costs 40 % less CPU than with 4 KiB.
pub const STORE_PAGE_BYTES: u32 = 16 << 10;
/// WAL pages after which they are copied into the database: 4 MiB. A long WAL saves no CPU (measured) and
/// needs its size in free space once more, which matters on a full disk.
pub const STORE_CHECKPOINT_PAGES: u32 = 256;
/// Database pages given back to the file system in one statement: 4 MiB, so that commits wait milliseconds.
pub const VACUUM_PAGES: i64 = 256;
/// Such statements in one sweep.
pub const VACUUM_STEPS: usize = 64;
/// Free database pages kept for the next commits (16 MiB): giving all back would mean growing again at once.
pub const VACUUM_KEEP_PAGES: i64 = 1_024;
/// Rows a listing of quarantine, gaps or dead letters returns at most.
pub const MAX_LISTED_ROWS: u32 = 1_000;
/// Feed names one process learns from a database; the catalogue has about thirty.
pub const MAX_FEED_NAMES: usize = 256;
/// Words of a sink kept with a dead letter, bytes: a paragraph.
pub const MAX_SINK_WORDS_BYTES: usize = 2 << 10;

// --- sinks ------------------------------------------------------------------------------------------------

/// One write to a stream socket: 64–256 KiB is where loopback throughput is flat.
pub const WRITE_BYTES: usize = 128 << 10;
/// How long a peer may take to confirm a batch.
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

// --- daemon -----------------------------------------------------------------------------------------------

/// SIGTERM to exit.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
