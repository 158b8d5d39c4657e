//! Everything the daemon says. Whoever has news builds a [`Notice`] and emits it; that writes exactly one log
//! line with structured fields and moves the counters that belong to the news, so that log and metrics
//! cannot tell different stories. One notice per page or incident, never per event.
//!
//! Levels: *error* needs a person, *warn* may come to need one, *info* is the history of the daemon, *debug*
//! is every exchange with the outside. Text of outside origin passes through [`super::escape::clean`].

mod alert;
mod feed;
mod process;
mod sink;
mod store;
mod tenant;

use std::fmt;
use std::time::Duration;

pub use alert::Alert;
pub use feed::{Feed, Skip};
pub use process::Process;
pub use sink::Sink;
pub use store::Store;
pub use tenant::Tenant;

use super::label::Grade;
use super::metrics;
use crate::clock::Time;
use crate::cursor::FeedKey;
use crate::fault::Fault;
use crate::supervisor::rule::Rule;

/// One piece of news, by what it concerns.
#[derive(Clone, Debug)]
pub enum Notice<'a> {
    /// The daemon as a whole.
    Process(Process<'a>),
    /// One tenant's credential; the name of the tenant.
    Tenant(&'a str, Tenant<'a>),
    Feed(&'a FeedKey, Feed<'a>),
    /// One destination; its name.
    Sink(&'a str, Sink<'a>),
    Store(Store<'a>),
    Alert(Alert<'a>),
}

/// A fault together with what the supervisor decided.
#[derive(Clone, Copy, Debug)]
pub struct Incident<'a> {
    pub fault: &'a Fault,
    /// Id of the recovery rule.
    pub rule: &'a str,
    /// What is done about it: the rule's verdict, as metric label.
    pub action: &'static str,
    pub severity: Grade,
    /// Until the next attempt; `None` when nothing waits: it goes on at once, or only a person or a change of
    /// circumstances ends it.
    pub wait: Option<Duration>,
    /// What is done about it is done now, and the work goes on.
    pub at_once: bool,
    /// What the operator should do; empty when there is nothing to do.
    pub remedy: &'a str,
    /// What lifts it: the end of "Ends with …".
    pub clears: &'static str,
}

impl Notice<'_> {
    /// Writes the log line and moves the counters.
    pub fn emit(&self) {
        match self {
            Notice::Process(news) => news.say(),
            Notice::Tenant(tenant, news) => {
                news.count(tenant);
                news.say(tenant);
            }
            Notice::Feed(feed, news) => {
                news.count(feed);
                news.say(feed);
            }
            Notice::Sink(sink, news) => {
                news.count(sink);
                news.say(sink);
            }
            Notice::Store(news) => {
                news.count();
                news.say();
            }
            Notice::Alert(news) => {
                news.count();
                news.say();
            }
        }
    }
}

impl<'a> Incident<'a> {
    /// `fault` under the row that answers it.
    pub fn of(fault: &'a Fault, rule: &'static Rule, wait: Option<Duration>) -> Self {
        Incident {
            fault,
            rule: rule.id,
            action: rule.verdict.as_str(),
            severity: Grade::of(rule.severity),
            wait,
            at_once: wait.is_none() && rule.verdict.goes_on_at_once(),
            remedy: rule.remedy,
            clears: rule.clears.as_str(),
        }
    }

    fn next(&self) -> Next {
        Next { wait: self.wait, at_once: self.at_once }
    }

    /// `tenant` is empty where the fault concerns a sink or this machine.
    fn count(&self, tenant: &str) {
        metrics::recovery(tenant, self.fault.status(), self.fault.code_str(), self.action);
    }
}

/// Writes one line at the level a [`Grade`] stands for.
macro_rules! say_at {
    ($grade:expr, target: $target:literal, $($rest:tt)*) => {
        match $grade {
            $crate::telemetry::label::Grade::Info => tracing::info!(target: $target, $($rest)*),
            $crate::telemetry::label::Grade::Warning => tracing::warn!(target: $target, $($rest)*),
            $crate::telemetry::label::Grade::Error | $crate::telemetry::label::Grade::Critical => {
                tracing::error!(target: $target, $($rest)*)
            }
        }
    };
}
use say_at;

/// A duration for people: `1h 5m`, `12.3s`, `45ms`.
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        match (secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60) {
            (0, 0, 0, 0) => write!(f, "{}ms", self.0.as_millis()),
            (0, 0, 0, s) => write!(f, "{s}.{}s", self.0.subsec_millis() / 100),
            (0, 0, m, s) => write!(f, "{m}m {s}s"),
            (0, h, m, _) => write!(f, "{h}h {m}m"),
            (d, h, _, _) => write!(f, "{d}d {h}h"),
        }
    }
}

/// The next attempt for people: after how long, at once, or that somebody has to act first.
struct Next {
    wait: Option<Duration>,
    at_once: bool,
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wait {
            Some(wait) => write!(f, "next attempt in {}", Span(wait)),
            None if self.at_once => f.write_str("goes on at once"),
            None => f.write_str("stopped until the cause is removed"),
        }
    }
}

/// A moment as a field: RFC 3339, or empty.
fn at(time: Option<Time>) -> String {
    time.map(Time::rfc3339).unwrap_or_default()
}

#[cfg(test)]
#[path = "notice_tests.rs"]
mod tests;
