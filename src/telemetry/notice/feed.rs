//! News of one feed.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::{Incident, Span, at, say_at};
use crate::clock::Time;
use crate::cursor::{FeedKey, TimeSpan};
use crate::telemetry::escape::clean;
use crate::telemetry::metrics;

/// Why a feed that was due was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The credential is closed.
    CredentialClosed,
    /// Our share of Mimecast's quota is used up for this window.
    Quota,
    /// Mimecast asked for a pause.
    Throttled,
    /// The host answers nobody.
    HostAway,
    /// The store is at its limit, or the disk is full.
    StoreFull,
    /// It was asked moments before this start.
    JustAsked,
}

impl Skip {
    /// The reason in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Skip::CredentialClosed => "the credential is closed",
            Skip::Quota => "the share of the call quota is used up",
            Skip::Throttled => "Mimecast asked for a pause",
            Skip::HostAway => "the host answers nobody",
            Skip::StoreFull => "the store is full",
            Skip::JustAsked => "it was asked just before this start; polls keep their distance",
        }
    }
}

/// What happened to a feed.
#[derive(Clone, Debug)]
pub enum Feed<'a> {
    /// An API function answered, with whatever status; `status` is `None` when there was no answer.
    Answered {
        status: Option<u16>,
        code: &'a str,
        took: Duration,
    },
    /// A file, or a page of records, is stored and the position moved past it.
    Committed {
        source: &'a str,
        events: u64,
        duplicate: u64,
        took: Duration,
    },
    /// A page is done: everything it listed was committed.
    PageStored {
        events: u64,
        duplicate: u64,
        files: u64,
        /// Raw bytes of the stored events.
        bytes: u64,
        took: Duration,
        caught_up: bool,
        newest: Option<Time>,
    },
    /// The feed was due and was not asked. `wait` is how long it will wait from now.
    PollSkipped {
        why: Skip,
        wait: Duration,
    },
    FaultMet(Incident<'a>),
    /// As [`Feed::FaultMet`] where the wait is a rate limit's: also counted as throttled time.
    Throttled(Incident<'a>),
    /// The feed stands still until the cause is removed; `clears` says what removes it.
    Halted {
        incident: Incident<'a>,
        clears: &'a str,
    },
    Resumed {
        halted_for: Duration,
        why: &'a str,
    },
    /// A whole file could not be read and is kept.
    FileQuarantined {
        file: &'a str,
        reason: &'static str,
        bytes: u64,
        detail: &'a str,
    },
    /// Lines of one file (or records of one page) could not be read and are kept; one notice for all of a kind.
    LinesQuarantined {
        file: &'a str,
        reason: &'static str,
        lines: u64,
        first: &'a str,
    },
    /// What was quarantined could be read when an operator asked for it, and is stored.
    Readmitted {
        source: &'a str,
        events: u64,
        duplicate: u64,
    },
    /// A span that was not collected; a row in the ledger.
    GapOpened {
        span: TimeSpan,
        why: &'a str,
    },
    /// A person closed a gap that stays.
    GapAccepted {
        span: TimeSpan,
        by: &'a str,
        why: &'a str,
    },
    /// A span of the ledger was fetched after all.
    GapClosed {
        span: TimeSpan,
        events: u64,
    },
    /// The position was set by hand, or moved back by a recovery.
    Rewound {
        to: &'a str,
        why: &'a str,
    },
}

impl Feed<'_> {
    pub(super) fn count(&self, feed: &FeedKey) {
        match self {
            Feed::Answered { status, code, took } => {
                metrics::api_request(&feed.tenant, feed.feed, *status, code, *took);
            }
            Feed::Committed { events, duplicate, .. } | Feed::Readmitted { events, duplicate, .. } => {
                metrics::events_collected(feed, *events);
                metrics::events_duplicate(feed, *duplicate);
            }
            Feed::PollSkipped { why: Skip::Quota | Skip::Throttled, wait } => {
                metrics::api_throttled(&feed.tenant, *wait);
            }
            Feed::FaultMet(incident) | Feed::Halted { incident, .. } => incident.count(&feed.tenant),
            Feed::Throttled(incident) => {
                incident.count(&feed.tenant);
                metrics::api_throttled(&feed.tenant, incident.wait.unwrap_or_default());
            }
            Feed::FileQuarantined { reason, .. } => metrics::events_quarantined(feed, reason, 1),
            Feed::LinesQuarantined { reason, lines, .. } => metrics::events_quarantined(feed, reason, *lines),
            Feed::GapOpened { span, .. } => metrics::gap(feed, span.to.since(span.from)),
            Feed::PageStored { .. }
            | Feed::PollSkipped { .. }
            | Feed::Resumed { .. }
            | Feed::GapClosed { .. }
            | Feed::GapAccepted { .. }
            | Feed::Rewound { .. } => {}
        }
    }

    pub(super) fn say(&self, key: &FeedKey) {
        let (tenant, feed) = (key.tenant.as_str(), key.feed);
        match self {
            Feed::Answered { status, code, took } => {
                debug!(target: "mimecollectd::feed", tenant, feed, status, code,
                    took_ms = took.as_millis() as u64, "API answered");
            }
            Feed::Committed { source, events, duplicate, took } => {
                debug!(target: "mimecollectd::feed", tenant, feed, source = %clean(source), events, duplicate,
                    took_ms = took.as_millis() as u64, "committed");
            }
            Feed::Readmitted { source, events, duplicate } => {
                info!(target: "mimecollectd::feed", tenant, feed, source = %clean(source), events, duplicate,
                    "{key}: {events} events of {} were read out of the quarantine", clean(source));
            }
            Feed::PageStored { .. } => self.say_stored(key),
            Feed::PollSkipped { why, wait } => {
                debug!(target: "mimecollectd::feed", tenant, feed, wait_ms = wait.as_millis() as u64,
                    "{key} not asked, {}; looks again in {}", why.as_str(), Span(*wait));
            }
            Feed::FaultMet(incident) | Feed::Throttled(incident) => {
                say_fault(key, incident, if incident.wait.is_some() { incident.clears } else { "" });
            }
            Feed::Halted { incident, clears } => say_fault(key, incident, clears),
            Feed::Resumed { halted_for, why } => {
                info!(target: "mimecollectd::feed", tenant, feed, halted_for_ms = halted_for.as_millis() as u64,
                    "{key} runs again after {}: {}", Span(*halted_for), clean(why));
            }
            Feed::Rewound { to, why } => {
                warn!(target: "mimecollectd::feed", tenant, feed, to = %clean(to),
                    "{key} reads again from {}: {}", clean(to), clean(why));
            }
            Feed::FileQuarantined { .. } | Feed::LinesQuarantined { .. } => self.say_quarantined(key),
            Feed::GapOpened { .. } | Feed::GapClosed { .. } | Feed::GapAccepted { .. } => self.say_gap(key),
        }
    }

    /// A page with something in it is history; an empty one is only an exchange.
    fn say_stored(&self, key: &FeedKey) {
        let Feed::PageStored { events, duplicate, files, bytes, took, caught_up, newest } = self else {
            return;
        };
        let (tenant, feed, took_ms) = (key.tenant.as_str(), key.feed, took.as_millis() as u64);
        if *events == 0 {
            debug!(target: "mimecollectd::feed", tenant, feed, took_ms, caught_up, "{key}: nothing new");
            return;
        }
        info!(target: "mimecollectd::feed", tenant, feed, events, duplicate, files, bytes, took_ms, caught_up,
            newest = at(*newest), "{key}: {events} events stored{}",
            if *caught_up { ", caught up" } else { ", more to come" });
    }

    fn say_quarantined(&self, key: &FeedKey) {
        let (tenant, feed) = (key.tenant.as_str(), key.feed);
        match self {
            Feed::FileQuarantined { file, reason, bytes, detail } => {
                warn!(target: "mimecollectd::feed", tenant, feed, file = %clean(file), reason, bytes,
                    "{key}: file {} could not be read and is kept in quarantine: {}", clean(file), clean(detail));
            }
            Feed::LinesQuarantined { file, reason, lines, first } => {
                warn!(target: "mimecollectd::feed", tenant, feed, file = %clean(file), reason, lines,
                    "{key}: {lines} lines of {} could not be read and are kept in quarantine; the first: {}",
                    clean(file), clean(first));
            }
            _ => {}
        }
    }

    fn say_gap(&self, key: &FeedKey) {
        let (tenant, feed) = (key.tenant.as_str(), key.feed);
        match self {
            Feed::GapOpened { span, why } => {
                warn!(target: "mimecollectd::feed", tenant, feed, from = span.from.rfc3339(), to = span.to.rfc3339(),
                    "{key}: {} until {} was not collected: {}. `mimecollectd gaps` tells whether it can still be \
                     fetched", Span(span.to.since(span.from)), span.to.rfc3339(), clean(why));
            }
            Feed::GapClosed { span, events } => {
                info!(target: "mimecollectd::feed", tenant, feed, from = span.from.rfc3339(), to = span.to.rfc3339(),
                    events, "{key}: a gap of {} was fetched after all, {events} events",
                    Span(span.to.since(span.from)));
            }
            Feed::GapAccepted { span, by, why } => {
                info!(target: "mimecollectd::feed", tenant, feed, from = span.from.rfc3339(), to = span.to.rfc3339(),
                    by = %clean(by), "{key}: {} accepted a gap of {} as lost: {}", clean(by),
                    Span(span.to.since(span.from)), clean(why));
            }
            _ => {}
        }
    }
}

fn say_fault(key: &FeedKey, incident: &Incident<'_>, clears: &str) {
    let fault = incident.fault;
    let clears_words = if clears.is_empty() { String::new() } else { format!(" Ends with {clears}.") };
    say_at!(incident.severity, target: "mimecollectd::feed", tenant = key.tenant, feed = key.feed,
        rule = incident.rule, action = incident.action, status = fault.status(), code = fault.code_str(),
        request_id = fault.request_id.as_deref().map(|id| clean(id).into_owned()),
        wait_ms = incident.wait.map(|wait| wait.as_millis() as u64), remedy = incident.remedy,
        "{key}: {}; {} ({}). {}{clears_words}", clean(&fault.to_string()), incident.next(), incident.rule,
        incident.remedy);
}
