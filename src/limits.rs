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

/// Files asked for in one listing; Mimecast takes no more.
pub const LISTING_PAGE_SIZE: u32 = 100;
/// Records asked for in one page; 500 is the largest size several clients use without trouble.
pub const RECORD_PAGE_SIZE: u32 = 500;
/// A page token kept in a cursor: real ones are a few hundred characters.
pub const MAX_PAGE_TOKEN_BYTES: usize = 8 << 10;
/// A link in a listing; S3 takes no longer ones.
pub const MAX_LINK_BYTES: usize = 8 << 10;
/// Of the listing calls of a window, how many may go to follow-up pages; the rest is for first pages, so that
/// a backlog never delays what happens now (reliability.md §1.5).
pub const BATCH_QUOTA_FOLLOW_UPS: u32 = 40;
/// In the last part of a window, calls nobody has claimed may go to whoever wants them.
pub const BATCH_QUOTA_OPEN_AFTER: Duration = Duration::from_secs(10 * 60);
/// Lifetime of an access token whose answer does not say (recovery row M35).
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(1800);
/// Longest lifetime that is believed.
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// A token is renewed this long before it ends, if it lives long enough for that: longer than any one call.
pub const TOKEN_MARGIN: Duration = Duration::from_secs(300);
/// One piece of a download, handed to the parser at a time; bounds what the parser can produce at once.
pub const DOWNLOAD_PIECE_BYTES: usize = 64 << 10;

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

/// What all quarantined lines of one file may keep together; the line's hash and length are kept beyond it.
pub const MAX_QUARANTINE_BYTES_PER_FILE: usize = 4 << 20;
/// Nesting of one record (recovery row X13).
pub const MAX_JSON_DEPTH: usize = 32;
/// Keys of one record, nested ones included (recovery row X13).
pub const MAX_JSON_KEYS: usize = 4_096;
/// A record's own type; the longest known has 22 characters.
pub const MAX_KIND_BYTES: usize = 64;
/// Spare room made for the next piece of inflated bytes: 256 KiB is where inflating is fastest.
pub const INFLATE_BYTES: usize = 256 << 10;
/// Where the expansion ratio begins to count.
pub const EXPANSION_FREE_BYTES: u64 = 1 << 20;

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
