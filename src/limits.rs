//! Every bound of the product: number, unit, reason. Rooms are in reading order.

mod alerts;
mod destinations;
pub mod kafka;
mod sinks;

use std::time::Duration;

pub use alerts::*;
pub use destinations::*;
pub use sinks::*;

// --- mimecast: requests and answers -----------------------------------------------------------------------

/// Shortest interval between two polls of a feed. Mimecast asks for 300 s or more.
pub const MIN_POLL_INTERVAL: Duration = Duration::from_secs(300);
/// One JSON answer (listing, record page, token): 500 records of 10 KiB fit three times over.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;
/// An error body is read this far and no further; every known form fits in a few KiB.
pub const MAX_ERROR_BODY_BYTES: usize = 64 << 10;
/// The body of a refusal may take so long: what came until then is what it says, and a drip holds nobody up.
pub const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Whole API call, from first byte sent to last byte read.
pub const API_TIMEOUT: Duration = Duration::from_secs(60);
/// A body from here on needs one of few places until it is stored; below, thousands of feeds may have one each.
pub const MIDDLING_FROM_BYTES: usize = 64 << 10;
/// Such bodies in hand at once, over all tenants, up to [`LARGE_FROM_BYTES`] each: full pages of usual records.
pub const MIDDLING_ANSWERS_AT_ONCE: usize = 24;
/// And from here on one of these places as well.
pub const LARGE_FROM_BYTES: usize = 1 << 20;
/// Bodies of up to [`MAX_ANSWER_BYTES`] in hand at once: each is there three times while it is read and stored, so that
/// these take 200 MiB at worst, of the 512 that the unit allows. With fewer, slow ones would hold up many tenants.
pub const LARGE_ANSWERS_AT_ONCE: usize = 4;
/// TCP and TLS set-up.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections to one host that are kept open between requests, by all tenants that leave this machine the same way:
/// each holds buffers of up to 400 KiB.
pub const IDLE_CONNECTIONS: usize = 4;
/// Longest silence inside a file download.
pub const DOWNLOAD_READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Files a listing may carry; Mimecast's own page size ends at 100.
pub const MAX_FILES_PER_LISTING: usize = 1_000;
/// Listing calls per window of 15 minutes and credential (mimecast-api.md §4).
pub const BATCH_QUOTA_CALLS: u32 = 50;
/// Length of the window that [`BATCH_QUOTA_CALLS`] counts in: Mimecast's own 15 minutes (mimecast-api.md §4).
pub const BATCH_QUOTA_WINDOW: Duration = Duration::from_secs(15 * 60);
/// Pages without records, or with those of a page before, in one cycle before the feed waits for its next poll (recovery
/// row X12).
pub const MAX_EMPTY_PAGES: u32 = 10;
/// Pages of one cycle that are known again when they come again, 8 bytes each.
pub const MAX_PAGES_REMEMBERED: usize = 64;
/// Pages in a row of which the store knew every record, before those that follow count as empty: half a million records
/// of [`RECORD_PAGE_SIZE`], which no overlap holds.
pub const MAX_PAGES_WITHOUT_NEWS: u32 = 1_000;

/// Files asked for in one listing; Mimecast takes no more.
pub const LISTING_PAGE_SIZE: u32 = 100;
/// Records asked for in one page; 500 is the largest size several clients use without trouble.
pub const RECORD_PAGE_SIZE: u32 = 500;
/// A page token kept in a cursor: real ones are a few hundred characters.
pub const MAX_PAGE_TOKEN_BYTES: usize = 8 << 10;
/// Records of the last time of a page that the next page is compared with, kept in the cursor at ten bytes each. A second
/// that has more is asked for again by itself.
pub const MAX_EDGE_RECORDS: usize = 64;
/// A link in a listing; S3 takes no longer ones.
pub const MAX_LINK_BYTES: usize = 8 << 10;
/// Of the listing calls of a window, how many may go to follow-up pages; the rest is for first pages, so that
/// a backlog never delays what happens now (reliability.md §1.5).
pub const BATCH_QUOTA_FOLLOW_UPS: u32 = 40;
/// In the last part of a window, calls nobody has claimed may go to whoever wants them.
pub const BATCH_QUOTA_OPEN_AFTER: Duration = Duration::from_secs(10 * 60);
/// Lifetime of an access token whose answer does not say (recovery row M35).
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(1800);
/// Shortest lifetime that is believed: a token said to end sooner is used until it is refused.
pub const MIN_TOKEN_LIFETIME: Duration = Duration::from_secs(60);
/// Longest lifetime that is believed.
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Names of members that a message repeats, so that a person can tell what came instead of a list.
pub const MAX_NAMES_SHOWN: usize = 8;
/// One piece of a download, handed to the parser at a time; bounds what the parser can produce at once.
pub const DOWNLOAD_PIECE_BYTES: usize = 64 << 10;
/// Events asked for in one page of the stream; Mimecast takes no more.
pub const STREAM_PAGE_SIZE: u32 = 100;
/// Stream calls per hour and credential (mimecast-api.md §2.6).
pub const STREAM_QUOTA_CALLS: usize = 300;
/// Length of the window that [`STREAM_QUOTA_CALLS`] counts in.
pub const STREAM_QUOTA_WINDOW: Duration = Duration::from_secs(3_600);
/// How far back the stream is asked: the 24 hours that Mimecast keeps, less what a request may take.
pub const STREAM_KEPT: Duration = Duration::from_secs(24 * 3_600 - 1_800);
/// How much of the stream is read again where it begins, and where its token is lost: events of a file appear
/// about every 15 minutes, so this is four times the usual lag.
pub const STREAM_OVERLAP: Duration = Duration::from_secs(3_600);
/// How long the contents of events are remembered while files and stream are both read: longer than the day a
/// listing without token begins with, and the longest overlap.
pub const STREAM_MEMORY: Duration = Duration::from_secs(3 * 86_400);
/// How long events of feeds that resume by token are remembered: what Mimecast keeps of them, and a day.
pub const TOKEN_MEMORY: Duration = Duration::from_secs(8 * 86_400);
// --- supervisor and scheduler -----------------------------------------------------------------------------

/// Logins without a success in an hour (reliability.md §2.2).
pub const LOGINS_PER_HOUR: usize = 2;
/// The same with whatever secret: a file that changes again and again (two programs that write it in turn, say) must not
/// make an attempt each time. One less than the fifth failure, with which accounts are locked at the earliest.
pub const LOGINS_PER_HOUR_OF_ALL: usize = 4;
/// How long one request blocks others that wait for its answer: twice what a request may take, so that a task
/// that died cannot block them for good.
pub const REQUEST_LEASE: Duration = Duration::from_secs(120);
/// Feeds in a row that find a host silent, or something else answering in its place, before that is taken to be true
/// for everybody: two may be a tenant's own trouble, and with more many feeds would wait for nothing.
pub const HOST_WITNESSES: usize = 3;
/// How long what one feed found counts: two cycles, so that the feeds of one small tenant can agree.
pub const HOST_WITNESS_MEMORY: Duration = Duration::from_secs(600);
/// Hosts that are remembered for trouble: a handful for Mimecast, one a region and bucket for files. With more, feeds
/// find out for themselves.
pub const MAX_TROUBLED_HOSTS: usize = 256;
/// Signed calls of one account that may be unanswered at a time. When keys are revoked, or the clock is set, all of
/// them are refused, and each counts as a failed login: Mimecast locks an account after a handful. One more than one,
/// so that a call that hangs leaves the way free.
pub const SIGNED_CALLS: usize = 2;
/// Keys that sign are read again after this time, so that a changed file is noticed while the old keys still work.
pub const SIGNING_KEYS_LIFE: Duration = Duration::from_secs(1_800);
/// From when on the end of a window is no longer now: reading one takes seconds, unless a wait or a restart came between.
pub const WINDOW_OLD: Duration = Duration::from_secs(60);
/// In-cycle tries after a fault of transport (reliability.md §2.1 rule 4).
pub const MAX_QUICK_TRIES: u8 = 2;
/// Halvings of the page size: 100 files or 500 records end near 10 (recovery row M02).
pub const MAX_HALVINGS: u8 = 5;
/// Smallest page asked for.
pub const MIN_PAGE_SIZE: u32 = 10;
/// Good pages at a reduced size before the next larger one is tried: a page that is too large must not cost a wait
/// every other time.
pub const PAGES_BEFORE_GROWING: u8 = 8;
/// First polls of feeds are spread over this, so that a start is not a burst; with many feeds over more.
pub const MIN_START_SPREAD: Duration = Duration::from_secs(30);
/// What each feed adds to that: ten thousand feeds begin within the 300 s in which they are asked later on.
pub const START_PACE: Duration = Duration::from_millis(30);
/// Feeds of simulators that begin at once: their counterpart is this machine.
pub const FEEDS_AT_ONCE_ON_LOOPBACK: u32 = 100;
/// Tenants whose feeds are registered in one transaction: one sync for each of them would make a start with a
/// thousand take a minute, and one for all would hold the store up.
pub const TENANTS_REGISTERED_AT_ONCE: usize = 100;
/// Shortest pause when a quota says no without a time: nobody may spin.
pub const MIN_QUOTA_WAIT: Duration = Duration::from_secs(1);

/// Slowest download that is waited for, and over how long it is measured: a file of usual size (600 KiB) takes
/// ten minutes at this rate, and one that drips is held up by nobody for longer than a minute.
pub const MIN_DOWNLOAD_BYTES: u64 = 64 << 10;
pub const DOWNLOAD_RATE_OVER: Duration = Duration::from_secs(60);
/// How often a log that is asked for by time is read again over [`SWEEP_SPAN`], for rows that appeared later than
/// its overlap reaches (reliability.md §1.6).
pub const WINDOW_SWEEP_EVERY: Duration = Duration::from_secs(24 * 3_600);
/// How far back such a sweep reaches.
pub const SWEEP_SPAN: Duration = Duration::from_secs(48 * 3_600);
/// How long a record of a window is known after it was last read, and one overlap longer: no sweep reaches further
/// back, less the day and more that one under way may take. Only a position set back by hand does, and an overlap that
/// was just made longer than this.
pub const WINDOW_MEMORY: Duration = SWEEP_SPAN.saturating_mul(2);
/// Requests of a sweep or a backfill in one cycle of a feed: 25,000 records in five minutes, and a poll of what
/// happens now is never more than a minute away.
pub const MAX_SIDE_REQUESTS: u8 = 50;
/// After a fault, a sweep or a backfill leaves the feed alone for so long.
pub const SIDE_WAIT: Duration = Duration::from_secs(3_600);
/// How often a feed that has nothing new writes down that it is up to date.
pub const COMPLETE_EVERY: Duration = Duration::from_secs(600);
/// An event may be ahead of Mimecast's clock by so much (recovery row X16).
pub const FUTURE_TOLERATED: Duration = Duration::from_secs(3_600);

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
/// Keys at the beginning of a record that are remembered to recognise those of the next; real records have about 30.
pub const LAYOUT_KEYS: usize = 64;
/// One of them with quotes, colon and blanks; the longest known has 32 bytes.
pub const LAYOUT_KEY_BYTES: usize = 40;
/// A record's own type; the longest known has 22 characters.
pub const MAX_KIND_BYTES: usize = 64;
/// Spare room made for the next piece of inflated bytes: 256 KiB is where inflating is fastest.
pub const INFLATE_BYTES: usize = 256 << 10;
/// A download up to this size waits until it is complete and is inflated in one go, at half the cost. Files of
/// 5,000 events are about 600 KiB.
pub const HELD_FILE_BYTES: usize = 1 << 20;
/// Where the expansion ratio begins to count.
pub const EXPANSION_FREE_BYTES: u64 = 1 << 20;

/// An answer that is a file, as it is sent: zips of half an hour's logs are a few MiB; 256 MiB is a week's
/// backlog of a large account. It lies in a nameless file on the disk while it is read.
pub const MAX_ARCHIVE_BYTES: u64 = 256 << 20;
/// Up to here such an answer stays in memory.
pub const HELD_ARCHIVE_BYTES: usize = 2 << 20;
/// What all members of one archive may expand to.
pub const MAX_ARCHIVE_EXPANDED_BYTES: u64 = 8 << 30;
/// Members of one archive: a week of ten kinds of files, one of each a second, would be fewer.
pub const MAX_ARCHIVE_MEMBERS: usize = 100_000;
/// Characters of a file's name that are shown; real ones have about 40.
pub const MAX_FILE_NAME_CHARS: usize = 200;
/// From a request to the beginning of an answer that is a file: it may have to be put together.
pub const ARCHIVE_BEGINS_WITHIN: Duration = Duration::from_secs(120);
/// A whole answer that is a file, from first byte sent to last byte read.
pub const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

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
/// A saved answer that `explain` decodes: a head of any size and more of a body than is ever looked at.
pub const MAX_SAVED_ANSWER_BYTES: u64 = 1 << 20;
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
/// Fewer bytes of records than these are kept uncompressed: a compressor would clear 128 KiB of tables for them, and
/// save less than a row of the store takes besides.
pub const UNCOMPRESSED_BELOW: u16 = 512;
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
/// How long collection waits, for each MiB it has just stored, until the foremost courier has taken it from memory:
/// collection of a backlog never falls below 40 MiB/s (50,000 events/s) because of a sink.
pub const COURIER_GRACE_PER_MIB: Duration = Duration::from_millis(25);
/// Looks at a lock of this very process that is just being let go, half a second in all.
pub const LOCK_LOOKS: u32 = 25;
pub const LOCK_LOOK_EVERY: Duration = Duration::from_millis(20);
/// Page cache of the writing connection: inner pages of the tables; blobs pass through. With half of it, giving
/// pages back on a nearly full disk spills changed pages into the WAL and finds no room.
pub const STORE_PAGE_CACHE_KIB: u32 = 2 << 10;
/// The WAL file is cut to this after a checkpoint that follows an unusually large transaction.
pub const STORE_JOURNAL_BYTES: u32 = 64 << 20;
/// Collection paused by the size limit resumes at this part of it (recovery row L01).
pub const STORE_RESUME_PERCENT: u64 = 80;
/// Small writes that share one transaction at most: some 50 µs each, for which a page waits.
pub const NOTES_AT_ONCE: usize = 200;
/// Chunks deleted in one transaction: about 10 MiB of pages, so commits of feeds wait milliseconds.
pub const SWEEP_CHUNKS: usize = 16;
/// Identities looked up, and rows of `seen` purged, in one statement.
pub const SEEN_ROWS: usize = 1_000;
/// Database page, bytes. Measured with files of 5,000 events: a commit costs 40 % less CPU than with 4 KiB.
pub const STORE_PAGE_BYTES: u32 = 16 << 10;
/// WAL pages after which they are copied into the database: 4 MiB. A long WAL saves no CPU (measured) and
/// needs its size in free space once more, which matters on a full disk.
pub const STORE_CHECKPOINT_PAGES: u32 = 256;
/// Database pages given back to the file system in one statement: 1 MiB of the write-ahead log, which a full disk
/// still has, and milliseconds that commits wait.
pub const VACUUM_PAGES: i64 = 64;
/// Such statements in one sweep.
pub const VACUUM_STEPS: usize = 256;
/// Free database pages kept for the next commits (16 MiB): giving all back would mean growing again at once.
pub const VACUUM_KEEP_PAGES: i64 = 1_024;
/// Free bytes below which the ballast is given back before the store is opened: its log's index, and a log of a few
/// hundred pages until the first checkpoint.
pub const ROOM_TO_OPEN: u64 = 8 << 20;
/// Dead letters or quarantined items that an operator's request changes in one transaction: with the usual 2 KiB each a
/// megabyte of pages, so commits of feeds and couriers wait milliseconds between two of them.
pub const REPAIRED_AT_ONCE: u32 = 500;
/// How long the identity of a record that the quarantine gave back is remembered where no window is read again: its
/// twins are read by the same request, or in the weeks after it.
pub const READMITTED_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Rows a listing of quarantine, gaps or dead letters returns at most.
pub const MAX_LISTED_ROWS: u32 = 1_000;
/// Rows `list` prints unless told otherwise: two screens.
pub const LISTED_USUALLY: u32 = 50;
/// Bytes of one event or item that `show` prints for people; `--raw` gives all.
pub const SHOWN_BYTES: usize = 8 << 10;
/// How often a verb that waits for the daemon looks how far it has come.
pub const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// Looks in a row without any progress before it stops waiting: 40 s, longer than one request to a sink takes.
pub const FOLLOW_PATIENCE: u32 = 160;
/// Feed names one process learns from a database; the catalogue has about thirty.
pub const MAX_FEED_NAMES: usize = 256;
/// How often equal records of one file are told apart when a damaged chunk is read: each costs a digest.
pub const SALVAGE_TWINS: u32 = 8;
/// How long a damaged chunk is kept as evidence once every sink has passed it: somebody has to find the disk's fault.
pub const DAMAGED_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How long a read file is remembered: longer than Mimecast lists it, so that no listing shows a forgotten one.
pub const FILES_KEPT: Duration = Duration::from_secs(9 * 86_400);
/// Files remembered of one feed: 9 days of 100 files in each quarter of an hour, 5 MiB. Beyond it the oldest go,
/// and would be read twice, under the same event ids.
pub const MAX_FILES_REMEMBERED: usize = 100_000;
/// Rows of remembered files deleted in one sweep, and identities forgotten in one statement on request.
pub const FILES_PER_SWEEP: usize = 5_000;
/// How long a start may look for damage after a process that did not end well: systemd allows 90 s in all.
pub const QUICK_CHECK_TIME: Duration = Duration::from_secs(20);
/// Steps of SQLite between two looks at that time, some milliseconds.
pub const QUICK_CHECK_STEPS: i32 = 100_000;
/// How long a replay that has ended is remembered: somebody may look next month at what was sent when.
pub const REPLAYS_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Words of a sink kept with a dead letter, bytes: a paragraph.
pub const MAX_SINK_WORDS_BYTES: usize = 2 << 10;

// --- daemon -----------------------------------------------------------------------------------------------

/// How far behind the edge of what Mimecast keeps the position of a feed that is being read may lie before it counts
/// as too old.
pub const RETENTION_SLACK: Duration = Duration::from_secs(3_600);
/// The same for a feed that was not read for longer than [`RETENTION_SLACK`]: a position that was just set to the very
/// edge must not be found too old at the next poll. As long may the first answer of a feed take that begins there.
pub const RETENTION_EDGE: Duration = Duration::from_secs(60);
/// A clock that differs from Mimecast's by less than this is a good clock (recovery row L06).
pub const CLOCK_SKEW_TOLERATED: Duration = Duration::from_secs(60);
/// A counterpart's certificate that ends within this is worth a word of `check`.
pub const CERTIFICATE_ENDS_SOON: Duration = Duration::from_secs(21 * 86_400);
/// Answers whose clock is remembered; the median counts, so that one odd answer moves nothing.
pub const CLOCK_SKEW_SAMPLES: usize = 5;
/// Files downloaded and inflated at once, over all tenants: bounds memory at about 8 MiB each.
pub const FILES_AT_ONCE: usize = 1;
/// Files that were begun and whose bytes do not come, over all tenants, one each: they hold what came so far, mostly
/// little, at worst as much as a file that is read. Beyond these, who waits keeps the place.
pub const FILES_WAITED_FOR: usize = 8;
/// How long the other side may take before others read meanwhile.
pub const FILE_WAITED_FOR_AFTER: Duration = Duration::from_secs(1);
/// Threads for work that must not hold up I/O and ends by itself: inflating, compressing, files in the state directory.
pub const BLOCKING_THREADS: usize = 2;
/// Names that are asked for at a time, of Mimecast's hosts and of receivers each: more than a machine sends to, and few
/// enough for the threads that a service may have (`TasksMax=256`), each of which asks for one name.
pub const MAX_NAMES_ASKED: usize = 64;
/// How often a feed at a closed gate looks whether the secret has changed.
pub const LOOK_AT_GATE_EVERY: Duration = Duration::from_secs(30);
/// Feeds that a single run names when it ends with work left: enough to see what is wrong, in one line.
pub const FEEDS_NAMED_UNFINISHED: usize = 5;
/// `run --once` does not wait longer than this for a fault to pass.
pub const ONCE_LONGEST_WAIT: Duration = Duration::from_secs(60);
/// `run --once` does not ask a feed again within this time, but waits: a script that starts it over and over must not log
/// in each time, and a person who starts it twice gets an answer.
pub const ONCE_POLL_FLOOR: Duration = Duration::from_secs(60);
/// Codes that no row of the recovery table names, remembered for each tenant: enough to report (recovery row H12).
pub const MAX_UNKNOWN_CODES: usize = 32;
/// Days before `secret_expires` from which the log reminds of it, once a day.
pub const SECRET_WARNING_DAYS: i64 = 30;
/// How often delivered events past their retention are deleted.
pub const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// The same while the store is full (recovery row L01: look every 10 s).
pub const SWEEP_WHEN_FULL_EVERY: Duration = Duration::from_secs(10);
/// Requests of operators that wait for their turn: more is a script that does not wait for answers.
pub const MAX_JOBS: usize = 32;
/// Names said when an operator's scope names nothing: a screen line or two.
pub const SCOPES_NAMED: usize = 20;
/// Looks for the answer to an operator's request, 250 ms apart: a minute, in which a store of any size is moved.
pub const ANSWER_LOOKS: u32 = 240;
/// How often a position is looked at to be set while its feed moves it.
pub const SET_LOOKS: u32 = 5;
/// What two generations of the API both read when one takes over from the other, at least.
pub const MIGRATION_OVERLAP: Duration = Duration::from_secs(3_600);
/// How often the positions are written beside the store, for the day it is damaged: what was read since is read
/// again then.
pub const SHADOW_EVERY: Duration = Duration::from_secs(300);
/// The file of positions: ten thousand feeds, each with a full listing of files read.
pub const MAX_SHADOW_BYTES: u64 = 64 << 20;
/// A request of an operator is a few names, or the numbers of a thousand dead letters; anything larger is none.
pub const MAX_REQUEST_BYTES: u64 = 32 << 10;
/// Why somebody accepts a loss: a sentence or two, and the number of a ticket.
pub const MAX_REASON_BYTES: usize = 500;
/// The answer to one: a line for each feed of a thousand tenants fits.
pub const MAX_REQUEST_ANSWER_BYTES: u64 = 16 << 20;
/// How often the daemon looks after its parts, and for what operators ask of it.
pub const WATCH_EVERY: Duration = Duration::from_secs(5);
/// Recorded durations are folded into buckets this often.
pub const TELEMETRY_UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Couriers of `run --once` give a sink up after so many failures in a row.
pub const ONCE_SINK_TRIES: u32 = 3;

/// SIGTERM to exit.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

// --- telemetry and admin ----------------------------------------------------------------------------------

/// Characters of one outside text in one log line: what a person still reads.
pub const MAX_SAID_CHARS: usize = 400;
/// Request head of the admin listener; a scraper's is about 200 bytes.
pub const ADMIN_HEAD_BYTES: usize = 4 << 10;
/// Connections the admin listener serves at once; the next waits in the kernel's queue.
pub const ADMIN_CONNECTIONS: usize = 8;
/// Life of one admin connection, from accept to the last byte of the answer.
pub const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);
/// A long answer of the admin listener is put together and sent in pieces of so many bytes.
pub const ADMIN_PIECE_BYTES: usize = 32 << 10;
/// Feeds whose series of one metric are written at a time: a histogram has 1.5 KiB a feed, so a piece has 100 KiB at most.
pub const METRICS_FEEDS_A_PIECE: usize = 64;
/// Tenants whose gauges of one kind are written at a time; one with ten feeds has up to 8 KiB.
pub const METRICS_TENANTS_A_PIECE: usize = 12;
/// Gathering the status for one answer; leaves time to send it within [`ADMIN_TIMEOUT`].
pub const ADMIN_STATUS_TIMEOUT: Duration = Duration::from_secs(3);
/// One point of the history that the status page draws.
pub const HISTORY_STEP: Duration = Duration::from_secs(300);
/// Points of the history: a day. 56 bytes each in memory, 140 in the store.
pub const HISTORY_POINTS: u32 = 288;
/// How often the daemon looks at itself for the history; rates and peaks of a step are made of these looks.
pub const HISTORY_LOOK_EVERY: Duration = Duration::from_secs(60);
/// Tenants on one view of the status page: with every feed there is, 27 rows each, about half a megabyte.
pub const PAGE_TENANTS: usize = 20;
/// Up to so many tenants the status page shows all their feeds unfolded; with more, those of tenants in trouble.
pub const PAGE_TENANTS_OPEN: usize = 3;
/// Alerts that the status page shows in full, worst first; the rest is a number.
pub const PAGE_ALERTS: usize = 20;
/// Sinks, and alert targets, on the status page, those in trouble first.
pub const PAGE_SINKS: usize = 50;
/// Characters of a search on the status page: as long as any name of a tenant.
pub const PAGE_SEARCH_CHARS: usize = 64;

// --- config -----------------------------------------------------------------------------------------------

/// One configuration file; thousands of tenants fit.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Files in `conf.d`; more is a wrong directory.
pub const MAX_CONFIG_FILES: usize = 512;
/// Lines of the journal in a support archive: about a day of a healthy daemon, an hour of a troubled one.
pub const SUPPORT_JOURNAL_LINES: usize = 5_000;
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
