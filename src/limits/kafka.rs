//! Bounds of the Kafka client, each a setting of the library it is made with.

use std::time::Duration;

use super::{MAX_BATCH_BYTES, MAX_BATCH_EVENTS};

/// Messages that the Kafka client holds at most, KiB: one batch of the largest size that may be configured, and what its
/// last event is over it.
pub const QUEUE_KIB: u64 = (MAX_BATCH_BYTES + 2 * MESSAGE_BYTES) >> 10;
/// The same in messages: a batch of the largest size that may be configured.
pub const QUEUE_MESSAGES: i64 = MAX_BATCH_EVENTS;
/// One message for Kafka, bytes: as much as an event can have. What the cluster takes is the cluster's to say, and it
/// says it per message.
pub const MESSAGE_BYTES: u64 = 64 << 20;
/// What the Kafka client puts into one request of its own making, bytes: the default of Kafka's own producers, and below
/// what a cluster takes unless told otherwise (1 MiB).
pub const REQUEST_BYTES: u64 = 1_000_000;
/// How long the Kafka client waits for more before it sends a request, ms: the default of Kafka's own producers.
pub const LINGER_MS: u64 = 5;
/// How long a topic may be unknown to the cluster before its events are refused: one that is created when it is first
/// written to is there within a second.
pub const TOPIC_PATIENCE: Duration = Duration::from_secs(5);
/// Shortest pause of the Kafka client between two connections to one broker: a wrong password must not be tried in a hurry.
pub const RECONNECT: Duration = Duration::from_secs(1);
/// Longest such pause.
pub const RECONNECT_MAX: Duration = Duration::from_secs(10);
/// One look at what the Kafka client has to tell; reports are seen this late at worst.
pub const LOOK: Duration = Duration::from_millis(5);
/// One question of the probe; between two, what the client met is looked at.
pub const PROBE_LOOK: Duration = Duration::from_millis(500);
/// The Kafka client reports every message within the sink's `timeout`; one that is silent for this much longer is broken.
pub const SILENCE: Duration = Duration::from_secs(10);
/// What Kafka allows for the name of a topic, bytes.
pub const MAX_TOPIC_BYTES: usize = 249;
