//! Bounds of HTTP destinations: their own, where their documentation names one, and ours.

use std::time::Duration;

/// What is read of an HTTP sink's 2xx answer, bytes: `_bulk` answers up to [`BULK_VERDICT_BYTES`] for each event, which
/// bounds the events of its requests. Of other answers it is [`MAX_ERROR_BODY_BYTES`].
pub const MAX_SINK_ANSWER_BYTES: usize = 16 << 20;
/// What `_bulk` says of an event that it refuses, bytes, with its type, reason and cause; 28 for one that it takes.
pub const BULK_VERDICT_BYTES: usize = 512;
/// Bytes of a request that a batch leaves unused where the destination's limit is hard: one event of usual size more.
pub const HTTP_REQUEST_SLACK_BYTES: usize = 32 << 10;
/// However often a receiver calls a batch too large, batches of this many bytes are tried.
pub const LEAST_ROOM_BYTES: usize = 16 << 10;
/// A receiver that called a batch too large is offered twice as much again after so long (recovery row S09): at most
/// one refused request an hour where its limit stays, and the full size within half a day where it was raised.
pub const ROOM_GROWS_EVERY: Duration = Duration::from_secs(3_600);
/// Body of one call of Azure's Logs Ingestion API, bytes: 1 MB, compressed or not ("Service limits").
pub const SENTINEL_REQUEST_BYTES: usize = 1_000_000;
/// One column of a table in Azure, bytes: what is longer than 64 KB is cut there without a word (the same). Azure does not
/// say which kilobytes: the smaller ones.
pub const SENTINEL_COLUMN_BYTES: usize = 64_000;
/// Body of one request to Datadog, bytes before compression: 5 MB ("Logs: Send logs").
pub const DATADOG_REQUEST_BYTES: usize = 5_000_000;
/// Entries of one request to Datadog (the same).
pub const DATADOG_REQUEST_EVENTS: usize = 1_000;
/// One log at Datadog, bytes: what is longer than 1 MB is cut there without a word (the same).
pub const DATADOG_EVENT_BYTES: usize = 1_000_000;
/// Events at Datadog from this age on go without a date: what is 18 hours old disappears there ("Log date remapper"); an
/// hour is for clocks and the way.
pub const DATADOG_OLDEST: Duration = Duration::from_secs(17 * 3_600);
/// The same for events from the future: Datadog takes two hours.
pub const DATADOG_NEWEST: Duration = Duration::from_secs(3_600);
/// Body of one request to Sumo Logic, bytes: 1 MB is the most that its documentation advises.
pub const SUMO_REQUEST_BYTES: usize = 1_000_000;
/// Body of one request to Google SecOps, bytes: 1 MB, what every way into it takes; webhook feeds take more.
pub const SECOPS_REQUEST_BYTES: usize = 1_000_000;
/// First wait before a later acknowledgement is asked for: Splunk's indexers need some seconds.
pub const LATER_ACK_FIRST: Duration = Duration::from_millis(500);
/// Longest wait between two questions for a later acknowledgement: the interval that Splunk's own clients use.
pub const LATER_ACK_EVERY: Duration = Duration::from_secs(10);
/// Shortest patience with a later acknowledgement that may be configured.
pub const MIN_LATER_ACK: Duration = Duration::from_secs(10);
/// Longest patience with a later acknowledgement that may be configured: Splunk forgets unclaimed ones after 10 min.
pub const MAX_LATER_ACK: Duration = Duration::from_secs(600);
/// Cookies of one answer that are shown again, bytes: what every server takes as one header field.
pub const MAX_COOKIE_BYTES: usize = 4 << 10;
/// A token of Entra that ends sooner is replaced: longer than any request takes.
pub const ENTRA_TOKEN_SPARE: Duration = Duration::from_secs(5 * 60);
/// A token that a refusal has cast doubt on is replaced when it is so old: most refusals have nothing to do with it.
pub const ENTRA_TOKEN_TRUST: Duration = Duration::from_secs(60);
/// Longest life of a token that is believed, seconds: a day.
pub const MAX_ENTRA_TOKEN_SECONDS: u64 = 86_400;
/// One exchange with Entra's token endpoint.
pub const ENTRA_TIMEOUT: Duration = Duration::from_secs(30);

/// Most events that may be configured for one HTTP batch, held in memory once per concurrent request.
pub const MAX_BATCH_EVENTS: i64 = 100_000;
/// Smallest batch that may be configured, bytes: one event of usual size (1 KiB).
pub const MIN_BATCH_BYTES: u64 = 1 << 10;
/// Largest batch that may be configured, bytes: it is held in memory once per concurrent request.
pub const MAX_BATCH_BYTES: u64 = 64 << 20;
/// Longest time an incomplete HTTP batch waits for more events.
pub const MAX_BATCH_WAIT: Duration = Duration::from_secs(300);
/// Concurrent requests of one HTTP sink.
pub const MAX_CONCURRENCY: i64 = 64;
/// Shortest time-out that may be configured for a request to a sink, answer included.
pub const MIN_SINK_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest time-out that may be configured for a request to a sink: 10 min, beyond which it is stuck.
pub const MAX_SINK_TIMEOUT: Duration = Duration::from_secs(600);
