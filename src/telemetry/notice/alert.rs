//! News of alerts and of those who are told about them.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::{Incident, Span};
use crate::telemetry::escape::clean;
use crate::telemetry::label::{Attempt, Grade};
use crate::telemetry::metrics;

/// What happened to an alert or a target.
#[derive(Clone, Debug)]
pub enum Alert<'a> {
    /// An alert was raised; it is told to those who want it. What is wrong was said by whoever met it.
    Raised { scope: &'a str, alert: &'a str, severity: Grade, words: &'a str },
    /// It got worse, or has lasted for another day.
    Again { scope: &'a str, alert: &'a str, severity: Grade, words: &'a str },
    /// It is over; `cost` says what was missed.
    Cleared { scope: &'a str, alert: &'a str, lasted: Duration, cost: &'a str },
    /// A target confirmed messages.
    Told { target: &'a str, messages: usize },
    /// First failed attempt to tell a target after success.
    TargetDown { target: &'a str, incident: Incident<'a>, waiting: usize },
    /// A further failed attempt.
    TargetStillDown { target: &'a str, incident: Incident<'a>, waiting: usize },
    /// A target refused a message: it is tried again much later.
    Refused { target: &'a str, alert: &'a str, words: &'a str },
    /// First success after failure.
    TargetUp { target: &'a str, down_for: Duration },
    /// The store could not take note of alerts; they are told all the same.
    NotKept { words: &'a str },
}

/// Logs at the level that belongs to the severity of an alert: a journal filtered for errors shows what people are told.
macro_rules! at_severity {
    ($severity:expr, $($line:tt)*) => {
        match $severity {
            Grade::Info => info!(target: "mimecollectd::alert", $($line)*),
            Grade::Warning => warn!(target: "mimecollectd::alert", $($line)*),
            Grade::Error | Grade::Critical => error!(target: "mimecollectd::alert", $($line)*),
        }
    };
}

impl Alert<'_> {
    pub(super) fn count(&self) {
        match self {
            Alert::Told { target, .. } => metrics::alert_delivery(target, Attempt::Acknowledged),
            Alert::TargetDown { target, incident, .. } | Alert::TargetStillDown { target, incident, .. } => {
                let answered = incident.fault.status().is_some();
                metrics::alert_delivery(target, if answered { Attempt::Refused } else { Attempt::Failed });
            }
            Alert::Refused { target, .. } => metrics::alert_delivery(target, Attempt::Refused),
            Alert::Raised { .. }
            | Alert::Again { .. }
            | Alert::Cleared { .. }
            | Alert::TargetUp { .. }
            | Alert::NotKept { .. } => {}
        }
    }

    pub(super) fn say(&self) {
        match self {
            Alert::Raised { scope, alert, severity, words } => {
                at_severity!(severity, scope = %clean(scope), alert, severity = severity.as_str(),
                    "alert raised: {} {}: {}", clean(scope), alert, clean(words));
            }
            Alert::Again { scope, alert, severity, words } => {
                at_severity!(severity, scope = %clean(scope), alert, severity = severity.as_str(),
                    "alert told again: {} {}: {}", clean(scope), alert, clean(words));
            }
            Alert::Cleared { scope, alert, lasted, cost } => {
                info!(target: "mimecollectd::alert", scope = %clean(scope), alert, lasted_ms = lasted.as_millis() as u64,
                    "alert over after {}: {} {}; {}", Span(*lasted), clean(scope), alert, clean(cost));
            }
            Alert::Told { target, messages } => {
                debug!(target: "mimecollectd::alert", alert_target = target, messages, "alerts told");
            }
            Alert::NotKept { words } => {
                warn!(target: "mimecollectd::alert", "alerts could not be written down: {}", clean(words));
            }
            _ => self.say_target(),
        }
    }

    fn say_target(&self) {
        match self {
            Alert::TargetDown { target, incident, waiting } => {
                warn!(target: "mimecollectd::alert", alert_target = target, waiting, rule = incident.rule,
                    status = incident.fault.status(), wait_ms = incident.wait.map(|wait| wait.as_millis() as u64),
                    "alert target {target} cannot be told, {waiting} alerts wait: {}; {} ({})",
                    clean(&incident.fault.to_string()), incident.next(), incident.rule);
            }
            Alert::TargetStillDown { target, incident, waiting } => {
                debug!(target: "mimecollectd::alert", alert_target = target, waiting, rule = incident.rule,
                    "alert target {target} still cannot be told: {}; {}", clean(&incident.fault.to_string()),
                    incident.next());
            }
            Alert::Refused { target, alert, words } => {
                warn!(target: "mimecollectd::alert", alert_target = target, alert,
                    "alert target {target} refuses the message about {alert}, which waits and is tried again in an \
                     hour, after a reload and after `resume alerts:{target}`: {}. Look at `type` and `url` of [alerts.{target}]", clean(words));
            }
            Alert::TargetUp { target, down_for } => {
                info!(target: "mimecollectd::alert", alert_target = target,
                    down_for_ms = down_for.as_millis() as u64, "alert target {target} can be told again after {}",
                    Span(*down_for));
            }
            _ => {}
        }
    }
}
