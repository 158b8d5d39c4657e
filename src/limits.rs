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

// --- dialect: error answers -------------------------------------------------------------------------------

/// Malformed bodies are searched this far for a name, a code and a message (recovery row D06).
pub const MAX_LENIENT_BYTES: usize = 8 << 10;
/// Errors looked at of one answer; the rest is only counted. The first ones name the cause.
pub const MAX_ERRORS_READ: usize = 8;
/// Elements within elements of an XML fault; honest ones end at 3 (recovery row D07).
pub const MAX_XML_DEPTH: usize = 8;
/// Attributes of all elements of an XML fault together (recovery row D07).
pub const MAX_XML_ATTRIBUTES: usize = 64;
/// Elements of an XML fault whose text is kept; S3 sends about 10.
pub const MAX_XML_TEXTS: usize = 32;
/// Characters of outside text that are searched for secrets; [`crate::fault::one_line`] shows fewer.
pub const MAX_REDACTED_CHARS: usize = 2_000;
/// A run of base64 characters this long is taken to be a secret: 24 bytes, the shortest key in use.
pub const SECRET_RUN_CHARS: usize = 32;
/// Characters of a request id or a field name; UUIDs have 36, S3's second id 76.
pub const MAX_NAME_CHARS: usize = 128;
/// Headers of an answer that are looked at.
pub const MAX_HEADERS_READ: usize = 256;
/// Shortest wait a server can ask for: 0 would make a loop without rest (recovery rows H10, H11).
pub const MIN_SERVER_WAIT: Duration = Duration::from_secs(1);
/// Longest `Retry-After` that is believed (recovery row H10).
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// Longest `X-RateLimit-Reset` that is believed, and what stands for an absurd `Retry-After` (rows H10, H11).
pub const MAX_RESET: Duration = Duration::from_secs(3_600);

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
