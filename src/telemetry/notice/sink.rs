//! News of one destination.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::{Incident, Span, say_at};
use crate::event::EventId;
use crate::fault::{Fault, Origin};
use crate::telemetry::escape::clean;
use crate::telemetry::label::Attempt;
use crate::telemetry::metrics;

/// What happened to a sink.
#[derive(Clone, Debug)]
pub enum Sink<'a> {
    /// What an acknowledgement of this sink proves (contract §8), known at start or after a probe.
    AckLevel { level: u8, words: &'a str },
    /// The sink acknowledged `events` of a batch and refused the others for good; the store knows.
    BatchConfirmed { events: u64, refused: u64, bytes: u64, took: Duration },
    /// First failed attempt after success: the sink counts as down.
    Down { incident: Incident<'a>, attempt: Attempt, waiting: u64 },
    /// A further failed attempt while the sink is down.
    StillDown { incident: Incident<'a>, attempt: Attempt, waiting: u64 },
    /// First success after failure.
    Up { down_for: Duration, waiting: u64 },
    /// Delivery stands still until the cause is removed.
    Halted { incident: Incident<'a>, attempt: Attempt, waiting: u64, clears: &'a str },
    /// Events the sink refused for good; kept, one notice for all of a batch.
    DeadLettered { events: u64, first: EventId, words: &'a str },
    /// Events that the disk did not keep: the store cannot give them back, and the account counts them as dead-lettered.
    Lost { events: u64 },
    /// Events longer than the sink takes were shortened; one notice for all of a batch.
    Truncated { events: u64 },
    /// Stored events are sent again by order of an operator.
    Replaying { events: u64, words: &'a str },
    /// What an operator wants to be sent once more was not taken and waits; new events go on. `first`: in a row.
    AgainWaits { incident: Incident<'a>, attempt: Attempt, first: bool },
    /// A replay was ended because the sink refuses its events one after the other.
    ReplayRefused { replay: i64, incident: Incident<'a>, attempt: Attempt },
}

impl Sink<'_> {
    pub(super) fn count(&self, sink: &str) {
        match self {
            Sink::BatchConfirmed { events, refused, took, .. } => {
                let attempt = match (*events, *refused) {
                    (_, 0) => Attempt::Acknowledged,
                    (0, _) => Attempt::Refused,
                    _ => Attempt::Partial,
                };
                metrics::delivery_attempt(sink, attempt);
                metrics::events_delivered(sink, *events);
                metrics::sink_send_duration(sink, *took);
            }
            Sink::Down { incident, attempt, .. }
            | Sink::StillDown { incident, attempt, .. }
            | Sink::Halted { incident, attempt, .. }
            | Sink::AgainWaits { incident, attempt, .. }
            | Sink::ReplayRefused { incident, attempt, .. } => {
                metrics::delivery_attempt(sink, *attempt);
                incident.count("");
            }
            Sink::DeadLettered { events, .. } | Sink::Lost { events } => {
                metrics::events_dead_lettered(sink, *events)
            }
            Sink::Truncated { events } => metrics::events_truncated(sink, *events),
            Sink::AckLevel { .. } | Sink::Up { .. } | Sink::Replaying { .. } => {}
        }
    }

    pub(super) fn say(&self, sink: &str) {
        match self {
            Sink::AckLevel { level, words } => {
                info!(target: "mimecollectd::sink", sink, level,
                    "sink {sink}: an acknowledgement means level {level}, {}", clean(words));
            }
            Sink::BatchConfirmed { events, refused, bytes, took } => {
                debug!(target: "mimecollectd::sink", sink, events, refused, bytes, took_ms = took.as_millis() as u64,
                    "batch acknowledged");
            }
            Sink::Up { down_for, waiting } => {
                info!(target: "mimecollectd::sink", sink, waiting, down_for_ms = down_for.as_millis() as u64,
                    "sink {sink} takes events again after {}; {waiting} wait", Span(*down_for));
            }
            Sink::DeadLettered { events, first, words } => {
                warn!(target: "mimecollectd::sink", sink, events, first = %first,
                    "sink {sink} refused {events} events for good; they are kept, see `mimecollectd dead-letters`. \
                     Its words: {}", clean(words));
            }
            Sink::Lost { events } => {
                tracing::error!(target: "mimecollectd::sink", sink, events,
                    "sink {sink} does not get {events} events: the disk did not keep them. `mimecollectd gaps backfill` \
                     fetches them again while Mimecast has them. Look at the disk that holds the store");
            }
            Sink::Truncated { events } => {
                debug!(target: "mimecollectd::sink", sink, events,
                    "sink {sink}: {events} events were longer than it takes and were shortened");
            }
            Sink::Replaying { events, words } => {
                info!(target: "mimecollectd::sink", sink, events,
                    "sink {sink}: {events} stored events are sent again: {}", clean(words));
            }
            Sink::AgainWaits { first: false, incident, .. } => {
                debug!(target: "mimecollectd::sink", sink, rule = incident.rule,
                    wait_ms = incident.wait.map(|wait| wait.as_millis() as u64),
                    "sink {sink} still does not take what is to be sent once more: {}; {}",
                    clean(&incident.fault.to_string()), incident.next());
            }
            Sink::Down { .. }
            | Sink::StillDown { .. }
            | Sink::Halted { .. }
            | Sink::AgainWaits { .. }
            | Sink::ReplayRefused { .. } => self.say_down(sink),
        }
    }

    fn say_down(&self, sink: &str) {
        match self {
            Sink::Down { incident, waiting, .. } => {
                say_at!(incident.severity, target: "mimecollectd::sink", sink, waiting, rule = incident.rule,
                    action = incident.action, status = incident.fault.answered(), code = incident.fault.code_str(),
                    wait_ms = incident.wait.map(|wait| wait.as_millis() as u64), remedy = incident.remedy,
                    "{}, {waiting} wait in the store: {}; {} ({}). {}", stands_still(sink, incident.fault),
                    clean(&incident.fault.to_string()), incident.next(), incident.rule, incident.remedy);
            }
            Sink::StillDown { incident, waiting, .. } => {
                debug!(target: "mimecollectd::sink", sink, waiting, rule = incident.rule,
                    wait_ms = incident.wait.map(|wait| wait.as_millis() as u64),
                    "sink {sink} is still down: {}; {}", clean(&incident.fault.to_string()), incident.next());
            }
            Sink::Halted { incident, waiting, clears, .. } => {
                say_at!(incident.severity, target: "mimecollectd::sink", sink, waiting, rule = incident.rule,
                    action = incident.action, status = incident.fault.answered(), code = incident.fault.code_str(),
                    remedy = incident.remedy,
                    "delivery to {sink} is halted, {waiting} events wait in the store: {} ({}). {} Ends with {clears}.",
                    clean(&incident.fault.to_string()), incident.rule, incident.remedy);
            }
            Sink::AgainWaits { incident, .. } => {
                say_at!(incident.severity, target: "mimecollectd::sink", sink, rule = incident.rule,
                    status = incident.fault.answered(), code = incident.fault.code_str(),
                    wait_ms = incident.wait.map(|wait| wait.as_millis() as u64), remedy = incident.remedy,
                    "sink {sink} does not take what is to be sent once more (dead letters, replays), new events go on: \
                     {}; {} ({}). {}",
                    clean(&incident.fault.to_string()), incident.next(), incident.rule, incident.remedy);
            }
            Sink::ReplayRefused { replay, incident, .. } => {
                say_at!(incident.severity, target: "mimecollectd::sink", sink, replay, rule = incident.rule,
                    status = incident.fault.answered(), code = incident.fault.code_str(), remedy = incident.remedy,
                    "sink {sink} refuses the events of replay {replay} one after the other, so it was ended; new events \
                     go on: {} ({}). {}",
                    clean(&incident.fault.to_string()), incident.rule, incident.remedy);
            }
            _ => {}
        }
    }
}

/// Who holds delivery up: what a sink has taken cannot be booked while the disk of the store is full.
fn stands_still(sink: &str, fault: &Fault) -> String {
    match fault.origin {
        Origin::Sink => format!("sink {sink} does not take events"),
        _ => format!("delivery to {sink} waits for this machine, the sink is not at fault"),
    }
}
