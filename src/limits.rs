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

// --- sinks ------------------------------------------------------------------------------------------------

/// One write to a stream socket: 64–256 KiB is where loopback throughput is flat.
pub const WRITE_BYTES: usize = 128 << 10;
/// How long a peer may take to confirm a batch.
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

// --- daemon -----------------------------------------------------------------------------------------------

/// SIGTERM to exit.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

// --- config -----------------------------------------------------------------------------------------------

/// One configuration file; thousands of tenants fit.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Files in `conf.d`; more is a wrong directory.
pub const MAX_CONFIG_FILES: usize = 512;
/// Errors shown at once; what follows is mostly the echo of the first.
pub const MAX_PROBLEMS_SHOWN: usize = 50;
/// A secret, or a private key in PEM.
pub const MAX_SECRET_BYTES: u64 = 64 << 10;
/// Floor of a polling interval against a loopback `base_url`: fast, and still not a busy loop.
pub const MIN_LOOPBACK_POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Longest polling interval: Mimecast's shortest retention is 24 hours.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// Longest overlap and lookback: a year of 365.25 days, longer than Mimecast keeps any log.
pub const MAX_LOOKBACK: Duration = Duration::from_secs(31_557_600);
/// Longest pause a `[recovery]` table may ask for: after 7 days Mimecast has dropped what was waiting.
pub const MAX_RECOVERY_PAUSE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Smallest store: two of the largest chunks and SQLite's own pages.
pub const MIN_STORE_BYTES: u64 = 16 << 20;
/// Longest time that delivered events are kept for `replay`: a year; this is a buffer, not an archive.
pub const MAX_RETENTION: Duration = Duration::from_secs(31_557_600);
/// Events in one confirmed syslog batch: what is sent again when the confirmation is lost.
pub const MAX_CONFIRM_EVERY: i64 = 1_000_000;
/// Events and bytes of one HTTP batch, held in memory once per concurrent request.
pub const MAX_BATCH_EVENTS: i64 = 100_000;
pub const MIN_BATCH_BYTES: u64 = 1 << 10;
pub const MAX_BATCH_BYTES: u64 = 64 << 20;
/// Longest time an incomplete HTTP batch waits for more events.
pub const MAX_BATCH_WAIT: Duration = Duration::from_secs(300);
/// Concurrent requests of one HTTP sink.
pub const MAX_CONCURRENCY: i64 = 64;
/// Time-out of one HTTP request to a sink.
pub const MIN_SINK_TIMEOUT: Duration = Duration::from_secs(1);
pub const MAX_SINK_TIMEOUT: Duration = Duration::from_secs(600);
