//! News of the daemon as a whole.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::{Incident, Span, say_at};
use crate::telemetry::escape::clean;

/// What happened to the daemon.
#[derive(Clone, Debug)]
pub enum Process<'a> {
    /// Bound, migrated and running.
    Started {
        version: &'a str,
        tenants: usize,
        feeds: usize,
        sinks: usize,
        admin: Option<SocketAddr>,
        took: Duration,
    },
    /// Draining begins.
    Stopping { why: &'a str },
    /// Drained; `waiting` events stay in the store for the next start.
    Stopped { took: Duration, waiting: u64 },
    /// `run --once` ends although something is left to do.
    Unfinished { words: &'a str },
    /// An operator asked for something; `words` say what was done, or why not.
    CarriedOut { words: &'a str },
    /// A new configuration is in force; `changes` says what is different.
    Reloaded { changes: &'a str },
    /// The new configuration is not used; the old one stays in force.
    ReloadRefused { why: &'a str },
    /// A configuration that works but should be changed.
    ConfigWarning { words: &'a str },
    /// A task ended that should not have; it is started again after `wait`, or not at all.
    TaskFailed { task: &'a str, words: &'a str, wait: Option<Duration> },
    /// A task gives no sign of life: the daemon will be ended and started afresh.
    TaskStalled { task: &'a str },
    /// An admin connection or its listener failed.
    AdminFailed { words: &'a str },
    /// A host does not answer anybody: requests of all tenants wait, and one looks from time to time.
    HostHeld { host: &'a str, incident: Incident<'a> },
    /// It answers again.
    HostBack { host: &'a str, held_for: Duration },
    /// This machine's clock differs from Mimecast's; positive when theirs is ahead.
    ClockSkew { tenant: &'a str, millis: i64 },
    /// This machine's clock was set back; what was planned by it is due earlier by as much.
    ClockSetBack { by: Duration },
    /// The service manager could not be told something.
    Unheard { words: &'a str },
}

impl Process<'_> {
    pub(super) fn say(&self) {
        match self {
            Process::Started { version, tenants, feeds, sinks, admin, took } => {
                let listen = admin.map(|address| address.to_string()).unwrap_or_default();
                let page =
                    admin.map(|address| format!("; status page http://{address}/")).unwrap_or_default();
                let many = |n: usize, what| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
                info!(target: "mimecollectd", version, tenants, feeds, sinks, admin = listen,
                    took_ms = took.as_millis() as u64, "mimecollectd {version} runs: {} of {} into {}{page}",
                    many(*feeds, "feed"), many(*tenants, "tenant"), many(*sinks, "sink"));
            }
            Process::CarriedOut { words } => {
                for line in words.lines() {
                    info!(target: "mimecollectd", "asked for by an operator: {}", clean(line));
                }
            }
            Process::Stopping { why } => info!(target: "mimecollectd", "stopping: {}", clean(why)),
            Process::Stopped { took, waiting } => {
                info!(target: "mimecollectd", waiting, took_ms = took.as_millis() as u64,
                    "stopped after {}; {waiting} events wait in the store for the next start", Span(*took));
            }
            Process::Unfinished { words } => error!(target: "mimecollectd", "{}", clean(words)),
            Process::Reloaded { changes } => {
                info!(target: "mimecollectd::config", "configuration reloaded: {}", clean(changes));
            }
            Process::ReloadRefused { why } => {
                error!(target: "mimecollectd::config",
                    "new configuration refused, the old one stays in force: {}", clean(why));
            }
            Process::ConfigWarning { words } => warn!(target: "mimecollectd::config", "{}", clean(words)),
            Process::TaskFailed { task, words, wait } => {
                error!(target: "mimecollectd", task, wait_ms = wait.map(|wait| wait.as_millis() as u64),
                    "{task} broke off and {}: {}", if wait.is_some() { "will be started again" } else { "stays down" },
                    clean(words));
            }
            Process::TaskStalled { task } => {
                error!(target: "mimecollectd", task, rule = "L10",
                    "{task} gives no sign of life: the daemon ends within two minutes, so that the service manager \
                     starts it afresh. Nothing is lost; report this with the log of what went before");
            }
            Process::AdminFailed { words } => {
                warn!(target: "mimecollectd::admin", "admin listener: {}", clean(words))
            }
            Process::HostHeld { host, incident } => {
                let Incident { fault, rule, severity, wait, remedy, clears, .. } = incident;
                say_at!(*severity, target: "mimecollectd", host = %clean(host), rule,
                    wait_ms = wait.map(|wait| wait.as_millis() as u64),
                    "{}: requests of all tenants wait, one looks; {}; {}. {remedy} Ends with {clears}",
                    clean(host), clean(&fault.to_string()), incident.next());
            }
            Process::HostBack { host, held_for } => {
                info!(target: "mimecollectd", host = %clean(host),
                    "{} answers again after {}; feeds go on", clean(host), Span(*held_for));
            }
            Process::ClockSkew { tenant, millis } => {
                warn!(target: "mimecollectd", tenant, skew_ms = millis,
                    "the clock of this machine differs from Mimecast's by {:.1} s; check time synchronisation",
                    *millis as f64 / 1000.0);
            }
            Process::ClockSetBack { by } => {
                warn!(target: "mimecollectd", back_ms = by.as_millis() as u64,
                    "the clock of this machine was set back by {}; all waits are shortened by as much", Span(*by));
            }
            Process::Unheard { words } => debug!(target: "mimecollectd", "service manager: {}", clean(words)),
        }
    }
}
