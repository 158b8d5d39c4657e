//! News of the store.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::{Incident, Span, say_at};
use crate::telemetry::escape::clean;

/// What happened to the store.
#[derive(Clone, Debug)]
pub enum Store<'a> {
    /// Opened and found sound; what a crash left behind was swept.
    Opened { events: u64, bytes: u64, leftovers: u64, took: Duration },
    /// Undelivered events reached the limit: collection pauses, delivery goes on.
    LimitReached { bytes: u64, limit: u64 },
    /// There is room again: collection goes on.
    LimitPassed { bytes: u64, limit: u64, paused_for: Duration },
    /// The disk is full: the reserve was given back, collection pauses, delivery goes on.
    DiskFull { words: &'a str },
    /// The disk has room again and the reserve was rebuilt.
    DiskFreed { paused_for: Duration },
    /// A statement failed for another reason.
    FaultMet(Incident<'a>),
    /// Delivered events past their retention were deleted.
    Swept { events: u64, bytes: u64, took: Duration },
}

impl Store<'_> {
    pub(super) fn count(&self) {
        if let Store::FaultMet(incident) = self {
            incident.count("");
        }
    }

    pub(super) fn say(&self) {
        match self {
            Store::Opened { events, bytes, leftovers, took } => {
                info!(target: "mimecollectd::store", events, bytes, leftovers, took_ms = took.as_millis() as u64,
                    "store opened: {events} events, {} MiB", bytes >> 20);
            }
            Store::LimitReached { bytes, limit } => {
                warn!(target: "mimecollectd::store", bytes, limit,
                    "the store holds {} of {} MiB: collection pauses until sinks have taken events, or dead letters and \
                     quarantine are dealt with. Nothing is dropped; raise [store] max_size if the disk allows", bytes >> 20, limit >> 20);
            }
            Store::LimitPassed { bytes, limit, paused_for } => {
                info!(target: "mimecollectd::store", bytes, limit, paused_for_ms = paused_for.as_millis() as u64,
                    "the store has room again after {}: collection goes on", Span(*paused_for));
            }
            Store::DiskFull { words } => {
                tracing::error!(target: "mimecollectd::store",
                    "the disk is full: collection pauses, delivery goes on. Free space on the disk that holds \
                     state_dir. {}", clean(words));
            }
            Store::DiskFreed { paused_for } => {
                info!(target: "mimecollectd::store", paused_for_ms = paused_for.as_millis() as u64,
                    "the disk has room again after {}: collection goes on", Span(*paused_for));
            }
            Store::FaultMet(incident) => {
                say_at!(incident.severity, target: "mimecollectd::store", rule = incident.rule,
                    action = incident.action, remedy = incident.remedy,
                    "store: {} ({}). {}", clean(&incident.fault.to_string()), incident.rule, incident.remedy);
            }
            Store::Swept { events, bytes, took } => {
                debug!(target: "mimecollectd::store", events, bytes, took_ms = took.as_millis() as u64,
                    "{events} delivered events past their retention deleted");
            }
        }
    }
}
