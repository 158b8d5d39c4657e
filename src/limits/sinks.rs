//! Bounds of sinks and of what is handed to them.

use std::time::Duration;

/// Datagrams sent between two transactions of the store: what a receiver's usual buffer of 208 KiB holds.
pub const UDP_BATCH_EVENTS: usize = 64;
/// How long a receiver's address is believed: no error tells that a name has moved.
pub const UDP_RESOLVE_EVERY: Duration = Duration::from_secs(300);
/// Least that may be configured as the size of a syslog message: every receiver takes 480 bytes (RFC 5424 §6.1).
pub const MIN_MESSAGE_BYTES: u64 = 480;
/// Largest syslog message over TCP, TLS and RELP unless configured: syslog-ng's `log-msg-size()`.
pub const MESSAGE_BYTES: u64 = 64 << 10;
/// Largest over UDP unless configured: what every receiver should take (RFC 5424 §6.1).
pub const UDP_MESSAGE_BYTES: u64 = 2048;
/// Largest that may be configured: an event of the largest line, escaped once more.
pub const MAX_MESSAGE_BYTES: u64 = 4 << 20;
/// Largest that may be configured for UDP: what fits into a datagram over IPv4.
pub const MAX_DATAGRAM_BYTES: u64 = 65_507;
/// Sizes at which a file may be rotated: smaller ones would be more files than events.
pub const MIN_ROTATE_BYTES: u64 = 64 << 10;
/// And 1 TiB, beyond which a file is not handled by anything.
pub const MAX_ROTATE_BYTES: u64 = 1 << 40;
/// Rotated files that may be kept: each rotation renames all of them.
pub const MAX_ROTATED_FILES: i64 = 1000;
/// One write to a stream socket: 64–256 KiB is where loopback throughput is flat.
pub const WRITE_BYTES: usize = 128 << 10;
/// How long a peer may take to confirm a batch.
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one write of [`WRITE_BYTES`] may make no way: a receiver slower than 4 KiB/s is stuck.
pub const SINK_WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// After a TLS peer confirmed, how long its reset (bytes it never read) may still arrive. Its FIN ends the wait.
pub const FAREWELL_GRACE: Duration = Duration::from_millis(500);
/// What a syslog receiver may say to us on one connection; it has nothing to say, and greetings are short.
pub const MAX_CHATTER_BYTES: usize = 64 << 10;
/// Addresses of one receiver that are tried in turn; they share the time of [`CONNECT_TIMEOUT`].
pub const MAX_SINK_ADDRESSES: usize = 4;
/// Events confirmed at once by a receiver that timed out again and again: small enough for the slowest.
pub const MIN_CONFIRM_EVERY: u32 = 50;
/// Bytes of one hand-over to a sink without limits of its own (syslog, file, stdout): what a courier holds, and
/// small enough to be still in the processor's cache when it is written.
pub const SINK_BATCH_BYTES: usize = 256 << 10;
/// Events of one hand-over to a file or stdout, and events a file syncs at once: a sync every 5,000 events
/// costs less than writing them.
pub const FILE_BATCH_EVENTS: usize = 5_000;
/// What is quoted of a sink's answer, characters: one line a person reads.
pub const ANSWER_EXCERPT_CHARS: usize = 200;
/// The shortest wait that is believed: a service that answers `Retry-After: 0` again and again must not be asked without end.
pub const LEAST_ASKED_WAIT: Duration = Duration::from_secs(1);
/// The longest wait a sink may ask for; an absurd `Retry-After` must not silence it for days.
pub const SINK_MAX_WAIT: Duration = Duration::from_secs(3600);

/// RELP messages without an answer at a time: what receivers of the protocol use as well. Bounds what is sent again
/// after a reset.
pub const RELP_WINDOW: usize = 128;
/// Data of one RELP answer: a code, 80 characters for people, and what `open` negotiates.
pub const MAX_RELP_ANSWER_BYTES: usize = 4 << 10;
/// A RELP receiver that neither answers nor reads for this long is gone (recovery row S15).
pub const RELP_ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
/// A RELP session that stood idle for longer is opened anew: firewalls forget silent connections after minutes.
pub const RELP_IDLE: Duration = Duration::from_secs(60);
/// Bytes of events whose answers are booked in one transaction of the store.
pub const RELP_BATCH_BYTES: usize = 1 << 20;
/// Dead letters sent once more at a time: they are read and booked one by one.
pub const LETTERS_AT_ONCE: u32 = 500;
/// The same where each takes a request of its own: new events wait for them.
pub const LETTERS_ALONE: u32 = 50;
/// Chunks a sink's filter leaves out before its position is stored: a long way through others' events must not
/// be lost to a restart.
pub const FILTERED_CHUNKS_PER_LOAD: usize = 64;
/// Chunks that the events of one load lie in, bytes inflated, beyond twice the load's own size: a sink with a narrow
/// filter takes one event of each, and must not wait until a thousand of them were read.
pub const CHUNK_BYTES_PER_LOAD: usize = 8 << 20;
/// Memory of a batch that a sink without anything to do keeps for the next one: twice the usual 1 MiB, because vectors
/// double.
pub const SPARE_BATCH_BYTES: usize = 2 << 20;
/// How often a halted sink is looked at (recovery rows S06, S07).
pub const SINK_PROBE_EVERY: Duration = Duration::from_secs(15 * 60);
/// How often the worth of an acknowledgement is looked at again (recovery row S13).
pub const ACK_PROBE_EVERY: Duration = Duration::from_secs(24 * 3_600);
/// Single events refused, and none taken, after which the sink, not the events, is taken to be wrong (recovery row S05).
pub const REFUSED_IN_A_ROW: usize = 8;
/// Events of one load refused, and more than half of it, after which that is so even though it takes some: a person
/// should look before there are thousands of dead letters. More than one feed's share of a load in quiet times.
pub const REFUSED_FLOOD: usize = 50;

/// Fields of one record that have no name of ours and are carried under their own; real records have about 20.
/// Beyond it they are counted in the event itself.
pub const MAX_OTHER_FIELDS: usize = 256;
