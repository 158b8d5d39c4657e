//! Everything the daemon measures (contract §7), as one table, and one typed function per metric, so that no
//! other file spells a metric's name or label. Counters are moved by [`super::notice`]; gauges are set from
//! the same `Status` that the status page shows, so that page and dashboard cannot disagree.

use std::time::Duration;

use metrics::{Counter, Histogram, Key, Label, Level, Metadata, with_recorder};

use super::label::{self, Attempt, CredentialState, FeedState, Grade};
use super::scrape;
use crate::clock::Time;
use crate::cursor::FeedKey;

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One row of the table.
#[derive(Debug)]
pub struct Metric {
    /// Full name, with prefix.
    pub name: &'static str,
    pub kind: Kind,
    /// Base unit of the value: `events`, `seconds`, `bytes`, `state` (0 or 1), …
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
    /// Upper bounds of a histogram's buckets, in the unit; empty for the others.
    pub buckets: &'static [f64],
}

const API_SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const SEND_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Seconds to a week: Mimecast itself publishes minutes late, and a SIEM may be down for days.
const LAG_SECONDS: &[f64] = &[
    1.0, 5.0, 15.0, 60.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0, 259_200.0, 604_800.0,
];

macro_rules! buckets {
    () => {
        &[]
    };
    ($buckets:expr) => {
        $buckets
    };
}
macro_rules! table {
    ($($id:ident = $kind:ident $name:literal $unit:literal [$($label:literal),*] $help:literal $(, $buckets:expr)?;)*) => {
        $(static $id: Metric = Metric {
            name: concat!("mimecollectd_", $name), kind: Kind::$kind, unit: $unit, labels: &[$($label),*],
            help: $help, buckets: buckets!($($buckets)?),
        };)*
        /// Every metric of the product but the conventional `process_*` (see [`super::process`]).
        pub static METRICS: &[&Metric] = &[$(&$id),*];
    };
}

table! {
    EVENTS_COLLECTED = Counter "events_collected_total" "events" ["tenant", "feed"] "Events stored.";
    EVENTS_DUPLICATE = Counter "events_duplicate_total" "events" ["tenant", "feed"] "Events read again in an overlap and not stored twice.";
    EVENTS_QUARANTINED = Counter "events_quarantined_total" "items" ["tenant", "feed", "reason"] "Records or files that could not be read and are kept with their bytes.";
    EVENTS_DELIVERED = Counter "events_delivered_total" "events" ["sink"] "Events the sink acknowledged.";
    EVENTS_DEAD_LETTERED = Counter "events_dead_lettered_total" "events" ["sink"] "Events the sink refused for good, which are kept, or that the disk did not keep.";
    EVENTS_TRUNCATED = Counter "events_truncated_total" "events" ["sink"] "Events longer than the sink takes (max_message_size, Azure's columns) that were shortened and delivered.";
    DELIVERY_ATTEMPTS = Counter "delivery_attempts_total" "attempts" ["sink", "result"] "Attempts to hand a batch to the sink, by how they ended.";
    API_REQUESTS = Counter "api_requests_total" "requests" ["tenant", "feed", "status", "code"] "Answers of the Mimecast API; status is empty when there was none, feed when it was for a token.";
    API_REQUEST_DURATION = Histogram "api_request_duration_seconds" "seconds" ["tenant", "feed"] "Time from sending an API request to the end of its answer.", API_SECONDS;
    API_QUOTA_REMAINING = Gauge "api_quota_remaining" "calls" ["tenant"] "Calls left in the present window of the tightest quota.";
    API_THROTTLED = Counter "api_throttled_seconds_total" "seconds" ["tenant"] "Time feeds were told to wait for a quota or rate limit.";
    FEED_STATE = Gauge "feed_state" "state" ["tenant", "feed", "state"] "1 for the state the feed is in, 0 for the others.";
    FEED_LAST_SUCCESS = Gauge "feed_last_success_timestamp_seconds" "seconds" ["tenant", "feed"] "When the feed last answered a poll; absent until it does.";
    FEED_CURSOR = Gauge "feed_cursor_timestamp_seconds" "seconds" ["tenant", "feed"] "Event time up to which the feed is stored; absent until known.";
    FEED_POLL_INTERVAL = Gauge "feed_poll_interval_seconds" "seconds" ["tenant", "feed"] "Time between two polls of the feed, as configured.";
    FEED_NEXT_POLL = Gauge "feed_next_poll_timestamp_seconds" "seconds" ["tenant", "feed"] "When the feed is asked next; absent when it is halted.";
    FEED_CAUGHT_UP = Gauge "feed_caught_up" "state" ["tenant", "feed"] "1 when the last page said there is no more.";
    CREDENTIAL_STATE = Gauge "credential_state" "state" ["tenant", "state"] "1 for the state the credential is in, 0 for the others.";
    CREDENTIAL_NEXT_ATTEMPT = Gauge "credential_next_attempt_timestamp_seconds" "seconds" ["tenant"] "When a closed credential is tried next; absent when it is open or waits for a person.";
    CREDENTIAL_EXPIRY = Gauge "credential_expiry_timestamp_seconds" "seconds" ["tenant"] "When the secret ends, as configured in secret_expires.";
    TOKEN_EXPIRY = Gauge "token_expiry_timestamp_seconds" "seconds" ["tenant"] "When the present access token ends.";
    HOST_NEXT_ATTEMPT = Gauge "host_next_attempt_timestamp_seconds" "seconds" ["host", "rule"] "When one request looks whether a host that answers nobody is back; absent while hosts answer.";
    RECOVERIES = Counter "recoveries_total" "recoveries" ["tenant", "status", "code", "action"] "Faults met, by what was done about them; tenant is empty for sinks and this machine.";
    ALERT_ACTIVE = Gauge "alert_active" "state" ["tenant", "alert", "severity"] "1 while the alert is active, 0 while it may still pass by itself, absent when it is over; alert is the recovery rule's id, or a word where no rule stands for it.";
    ALERT_DELIVERIES = Counter "alert_deliveries_total" "attempts" ["target", "result"] "Attempts to tell an alert target, by how they ended.";
    ALERT_TARGET_UP = Gauge "alert_target_up" "state" ["target"] "1 when the last attempt reached the alert target.";
    ALERTS_WAITING = Gauge "alerts_waiting" "alerts" ["target"] "Messages about alerts that the target has not confirmed.";
    GAPS_OPEN = Gauge "gaps_open" "gaps" ["tenant", "feed"] "Spans of time that were not collected.";
    GAP_SECONDS = Counter "gap_seconds_total" "seconds" ["tenant", "feed"] "Length of all spans that were not collected.";
    ACCOUNTS_UNBALANCED = Gauge "accounts_unbalanced" "accounts" [] "Equations of the books that do not hold; `reconcile` names them.";
    STORE_EVENTS = Gauge "store_events" "events" ["sink"] "Stored events that wait for the sink.";
    STORE_BYTES = Gauge "store_bytes" "bytes" [] "Size of undelivered events, dead letters and quarantine, which `store_limit_bytes` bounds; the file on disk also holds delivered events.";
    STORE_PUT_ASIDE = Gauge "store_put_aside_bytes" "bytes" ["shelf"] "Of `store_bytes`, what was put aside until somebody deals with it; shelf is dead_letters or quarantine.";
    STORE_LIMIT = Gauge "store_limit_bytes" "bytes" [] "Size at which collection pauses.";
    STORE_OLDEST = Gauge "store_oldest_event_timestamp_seconds" "seconds" ["sink"] "Time of the oldest event that waits for the sink (of its storing, for events that carry none); absent when none waits.";
    SINK_ACK_LEVEL = Gauge "sink_ack_level" "level" ["sink"] "What an acknowledgement of the sink proves: 0 sent, 1 kernel, 2 closed, 3 close_notify, 4 answered, 5 stored.";
    TIME_TO_DATA_LOSS = Gauge "time_to_data_loss_seconds" "seconds" [] "How long undelivered events can still pile up, here and at Mimecast, before any is lost.";
    SINK_UP = Gauge "sink_up" "state" ["sink"] "1 when the last attempt reached the sink.";
    SINK_SEND_DURATION = Histogram "sink_send_duration_seconds" "seconds" ["sink"] "Time from sending a batch to its acknowledgement.", SEND_SECONDS;
    DELIVERY_LAG = Histogram "delivery_lag_seconds" "seconds" ["sink"] "Event time to acknowledgement.", LAG_SECONDS;
    BUILD_INFO = Gauge "build_info" "info" ["version"] "Always 1; the version that runs.";
    CONFIG_LAST_RELOAD = Gauge "config_last_reload_successful" "state" [] "1 when the last reading of the configuration succeeded.";
}

/// The counters that every feed has from its start, labelled by tenant and feed: [`super::by_feed`] keeps them.
pub(super) static BY_FEED_COUNTERS: [&Metric; 3] = [&EVENTS_COLLECTED, &EVENTS_DUPLICATE, &GAP_SECONDS];
/// The counter that every feed has for each kind of answer, labelled by status and code as well.
pub(super) static BY_FEED_ANSWERS: &Metric = &API_REQUESTS;
/// The histogram that every feed has, labelled by tenant and feed.
pub(super) static BY_FEED_DURATION: &Metric = &API_REQUEST_DURATION;

static METADATA: Metadata<'static> = Metadata::new("mimecollectd", Level::INFO, None);

/// The key of `metric` with these label values, in the table's order.
fn key(metric: &Metric, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels: Vec<Label> = metric
        .labels
        .iter()
        .zip(values)
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(metric.name, labels)
}

fn counter(metric: &Metric, values: &[&str]) -> Counter {
    with_recorder(|recorder| recorder.register_counter(&key(metric, values), &METADATA))
}

fn histogram(metric: &Metric, values: &[&str]) -> Histogram {
    with_recorder(|recorder| recorder.register_histogram(&key(metric, values), &METADATA))
}

/// An absent time leaves the gauge alone: a feed that received nothing has no lag, not a lag of zero.
fn stamp(metric: &Metric, values: &[&str], at: Option<Time>) {
    if let Some(at) = at {
        scrape::set(metric, values, at.0 as f64 / 1000.0);
    }
}

/// Whole seconds, rounded up: counters are integers and a wait of half a second is still a wait.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// A feed's counters exist from the start: an increase from nothing would be invisible to `rate()`.
pub fn begin_feed(feed: &FeedKey, quarantine_reasons: &[&'static str]) {
    let (tenant, name) = (feed.tenant.as_str(), feed.feed);
    for metric in BY_FEED_COUNTERS {
        counter(metric, &[tenant, name]).increment(0);
    }
    for reason in quarantine_reasons {
        counter(&EVENTS_QUARANTINED, &[tenant, name, reason]).increment(0);
    }
    counter(&API_THROTTLED, &[tenant]).increment(0);
}

/// A sink's counters exist from the start.
pub fn begin_sink(sink: &str) {
    counter(&EVENTS_DELIVERED, &[sink]).increment(0);
    counter(&EVENTS_DEAD_LETTERED, &[sink]).increment(0);
    counter(&EVENTS_TRUNCATED, &[sink]).increment(0);
    for attempt in Attempt::ALL {
        counter(&DELIVERY_ATTEMPTS, &[sink, attempt.as_str()]).increment(0);
    }
}

pub(super) fn events_collected(feed: &FeedKey, events: u64) {
    counter(&EVENTS_COLLECTED, &[&feed.tenant, feed.feed]).increment(events);
}
pub(super) fn events_duplicate(feed: &FeedKey, events: u64) {
    counter(&EVENTS_DUPLICATE, &[&feed.tenant, feed.feed]).increment(events);
}
pub(super) fn events_quarantined(feed: &FeedKey, reason: &'static str, items: u64) {
    counter(&EVENTS_QUARANTINED, &[&feed.tenant, feed.feed, reason]).increment(items);
}
pub(super) fn events_delivered(sink: &str, events: u64) {
    counter(&EVENTS_DELIVERED, &[sink]).increment(events);
}
pub(super) fn events_dead_lettered(sink: &str, events: u64) {
    counter(&EVENTS_DEAD_LETTERED, &[sink]).increment(events);
}
pub(super) fn events_truncated(sink: &str, events: u64) {
    counter(&EVENTS_TRUNCATED, &[sink]).increment(events);
}
pub(super) fn delivery_attempt(sink: &str, result: Attempt) {
    counter(&DELIVERY_ATTEMPTS, &[sink, result.as_str()]).increment(1);
}
pub(super) fn api_request(tenant: &str, feed: &str, status: Option<u16>, code: &str, took: Duration) {
    let status = label::status(status);
    counter(&API_REQUESTS, &[tenant, feed, &status, label::code(code)]).increment(1);
    histogram(&API_REQUEST_DURATION, &[tenant, feed]).record(took.as_secs_f64());
}
pub(super) fn api_throttled(tenant: &str, wait: Duration) {
    counter(&API_THROTTLED, &[tenant]).increment(seconds(wait));
}
pub(super) fn recovery(tenant: &str, status: Option<u16>, code: &str, action: &'static str) {
    counter(&RECOVERIES, &[tenant, &label::status(status), label::code(code), action]).increment(1);
}
pub(super) fn gap(feed: &FeedKey, length: Duration) {
    counter(&GAP_SECONDS, &[&feed.tenant, feed.feed]).increment(seconds(length));
}
pub(super) fn sink_send_duration(sink: &str, took: Duration) {
    histogram(&SINK_SEND_DURATION, &[sink]).record(took.as_secs_f64());
}

/// Event time to acknowledgement. One figure a run of records, not one an event: a backlog of millions must not
/// cost a histogram entry each.
pub fn delivery_lag(sink: &str, acknowledged: Time, event_times: impl IntoIterator<Item = i64>) {
    let histogram = histogram(&DELIVERY_LAG, &[sink]);
    for time in event_times {
        histogram.record(acknowledged.since(Time(time)).as_secs_f64());
    }
}

/// 1 for `current`, 0 for the other states.
pub fn feed_state(tenant: &str, feed: &str, current: FeedState) {
    for state in FeedState::ALL {
        scrape::set(&FEED_STATE, &[tenant, feed, state.as_str()], f64::from(u8::from(*state == current)));
    }
}
/// When the feed last answered.
pub fn feed_last_success(tenant: &str, feed: &str, at: Option<Time>) {
    stamp(&FEED_LAST_SUCCESS, &[tenant, feed], at);
}
/// Event time up to which the feed is stored.
pub fn feed_cursor(tenant: &str, feed: &str, at: Option<Time>) {
    stamp(&FEED_CURSOR, &[tenant, feed], at);
}
/// Time between two polls of the feed.
pub fn feed_poll_interval(tenant: &str, feed: &str, interval: Duration) {
    scrape::set(&FEED_POLL_INTERVAL, &[tenant, feed], interval.as_secs_f64());
}
/// Equations of the books that do not hold.
pub fn accounts_unbalanced(equations: u64) {
    scrape::set(&ACCOUNTS_UNBALANCED, &[], equations as f64);
}
/// When the feed is asked next.
pub fn feed_next_poll(tenant: &str, feed: &str, at: Option<Time>) {
    stamp(&FEED_NEXT_POLL, &[tenant, feed], at);
}
/// Whether the last page said there is no more.
pub fn feed_caught_up(tenant: &str, feed: &str, caught_up: bool) {
    scrape::set(&FEED_CAUGHT_UP, &[tenant, feed], f64::from(u8::from(caught_up)));
}
/// Spans in the ledger that are not fetched.
pub fn gaps_open(tenant: &str, feed: &str, gaps: u64) {
    scrape::set(&GAPS_OPEN, &[tenant, feed], gaps as f64);
}
/// 1 for `current`, 0 for the other states.
pub fn credential_state(tenant: &str, current: CredentialState) {
    for state in CredentialState::ALL {
        scrape::set(&CREDENTIAL_STATE, &[tenant, state.as_str()], f64::from(u8::from(*state == current)));
    }
}
/// When a closed credential is tried next.
pub fn credential_next_attempt(tenant: &str, at: Option<Time>) {
    stamp(&CREDENTIAL_NEXT_ATTEMPT, &[tenant], at);
}
/// When the secret ends.
pub fn credential_expiry(tenant: &str, at: Option<Time>) {
    stamp(&CREDENTIAL_EXPIRY, &[tenant], at);
}
/// A host answers nobody by that rule, and is looked at next then.
pub fn host_held(host: &str, rule: &str, next: Time) {
    stamp(&HOST_NEXT_ATTEMPT, &[host, rule], Some(next));
}
/// When the access token ends.
pub fn token_expiry(tenant: &str, at: Option<Time>) {
    stamp(&TOKEN_EXPIRY, &[tenant], at);
}
/// Calls left in the present window.
pub fn api_quota_remaining(tenant: &str, calls: Option<u64>) {
    if let Some(calls) = calls {
        scrape::set(&API_QUOTA_REMAINING, &[tenant], calls as f64);
    }
}
/// `alert` is a rule's id, a closed set; `tenant` is empty for sinks and this machine.
pub fn alert_active(tenant: &str, alert: &str, severity: Grade, active: bool) {
    scrape::set(&ALERT_ACTIVE, &[tenant, alert, severity.as_str()], f64::from(u8::from(active)));
}
/// An alert target is there: its counters begin at nought.
pub fn begin_alert_target(target: &str) {
    for attempt in Attempt::ALL {
        counter(&ALERT_DELIVERIES, &[target, attempt.as_str()]).increment(0);
    }
}
/// An attempt to tell an alert target ended.
pub(super) fn alert_delivery(target: &str, result: Attempt) {
    counter(&ALERT_DELIVERIES, &[target, result.as_str()]).increment(1);
}
/// Whether the last attempt reached the target, and how many messages wait for it.
pub fn alert_target(target: &str, up: Option<bool>, waiting: u64) {
    if let Some(up) = up {
        scrape::set(&ALERT_TARGET_UP, &[target], f64::from(u8::from(up)));
    }
    scrape::set(&ALERTS_WAITING, &[target], waiting as f64);
}
/// Events that wait for `sink`, and the time of the oldest of them.
pub fn store_waiting(sink: &str, events: u64, oldest: Option<Time>) {
    scrape::set(&STORE_EVENTS, &[sink], events as f64);
    stamp(&STORE_OLDEST, &[sink], oldest);
}
/// Bytes of dead letters and of the quarantine.
pub fn put_aside(dead_letters: u64, quarantine: u64) {
    scrape::set(&STORE_PUT_ASIDE, &["dead_letters"], dead_letters as f64);
    scrape::set(&STORE_PUT_ASIDE, &["quarantine"], quarantine as f64);
}
/// Bytes of undelivered events and of what was put aside, and the size at which collection pauses.
pub fn store_size(bytes: u64, limit: u64) {
    scrape::set(&STORE_BYTES, &[], bytes as f64);
    scrape::set(&STORE_LIMIT, &[], limit as f64);
}
/// How long events can still pile up.
pub fn time_to_data_loss(left: Option<Duration>) {
    if let Some(left) = left {
        scrape::set(&TIME_TO_DATA_LOSS, &[], left.as_secs_f64());
    }
}
/// What an acknowledgement proves (contract §8).
pub fn sink_ack_level(sink: &str, level: u8) {
    scrape::set(&SINK_ACK_LEVEL, &[sink], f64::from(level));
}
/// Whether the last attempt reached the sink.
pub fn sink_up(sink: &str, up: bool) {
    scrape::set(&SINK_UP, &[sink], f64::from(u8::from(up)));
}
/// The version that runs.
pub fn build_info(version: &str) {
    scrape::set(&BUILD_INFO, &[version], 1.0);
}
/// Whether the last reading of the configuration succeeded.
pub fn config_last_reload(successful: bool) {
    scrape::set(&CONFIG_LAST_RELOAD, &[], f64::from(u8::from(successful)));
}

/// Touches every metric of these kinds once, so that tests see the whole exposition.
#[cfg(test)]
pub(super) fn exercise(kinds: &[Kind]) {
    for metric in METRICS.iter().filter(|metric| kinds.contains(&metric.kind)) {
        let values: Vec<String> = metric.labels.iter().map(|label| format!("{label}\"\\\n")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        match metric.kind {
            Kind::Counter => counter(metric, &values).increment(1),
            Kind::Gauge => scrape::set(metric, &values, 1.0),
            Kind::Histogram => histogram(metric, &values).record(1.0),
        }
    }
}
