//! One remote host and everyone who talks to it. That a name does not resolve, that nobody accepts a connection or
//! that a certificate is wrong is true for every feed of every tenant: one request looks whether it has passed, and
//! ten thousand feeds need not find it out each for themselves. Pure.
//!
//! Some faults say so for certain: nobody can have got through. Others (a gateway's page, silence) may be one
//! function's trouble, so that it takes [`HOST_WITNESSES`] feeds in a row, without one good answer to anybody in
//! between. What is held too widely in that way is held for no longer than the time between two polls. What a person
//! has to mend first (a proxy's login) is looked at once a day.

use std::sync::Arc;
use std::time::Duration;

use super::backoff::Pace;
use super::rule::{DAY, Rule, Verdict};
use crate::clock::{Moment, Time};
use crate::fault::Fault;
use crate::limits::{HOST_WITNESS_MEMORY, HOST_WITNESSES, MIN_POLL_INTERVAL, REQUEST_LEASE};

/// The state of one host. A host that nobody has trouble with needs none.
#[derive(Clone, Debug, Default)]
pub struct HostGate {
    held: Option<Held>,
    /// When the one request was let through that looks whether the host is back.
    probe: Option<Time>,
    /// Changes whenever the gate closes or opens: what began before says nothing about what is now.
    epoch: u64,
    /// When the host was last found back.
    opened: Option<Time>,
    /// Who met a fault that may be the host's, and when, since the last good answer.
    met: Vec<(String, Time)>,
}

/// Why requests to a host wait.
#[derive(Clone, Debug)]
pub struct Held {
    pub rule: &'static Rule,
    /// The fault, for people.
    pub words: Arc<str>,
    pub since: Time,
    /// The next look.
    pub until: Time,
    /// Looks in a row that failed.
    pub failures: u8,
}

/// Whether a request may go out to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Yes; say what came of it.
    Go(Ticket),
    /// Not before this time.
    Wait(Time),
}

/// Which request an outcome belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    epoch: u64,
    /// It is the one that looks.
    probe: bool,
}

/// What an outcome changed.
#[derive(Clone, Debug)]
pub enum Turn {
    Nothing,
    /// The gate closed; with `true` for the first time.
    Closed(bool),
    /// The host works again: what that ended.
    Opened(Held),
}

/// What the faults of a row show of the host: a column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Nothing.
    Nothing,
    /// It works: it has answered.
    Works,
    /// It may be away, if others find the same.
    MayBeAway,
    /// Nobody can get through.
    Away,
}

impl HostGate {
    /// Whether a request may go out at that moment.
    pub fn pass(&mut self, now: Time) -> Pass {
        let Some(held) = &self.held else { return Pass::Go(Ticket { epoch: self.epoch, probe: false }) };
        // what began in the future began before the clock was set back, and waits for nothing any more
        if held.since <= now && now < held.until {
            return Pass::Wait(held.until);
        }
        let looking = self.probe.filter(|began| *began <= now).map(|began| began.plus(REQUEST_LEASE));
        if let Some(end) = looking.filter(|end| now < *end) {
            return Pass::Wait(end);
        }
        self.probe = Some(now);
        Pass::Go(Ticket { epoch: self.epoch, probe: true })
    }

    /// Whether a request that was let through need not go out any more: the host was found away meanwhile.
    pub fn overtaken(&self, ticket: Ticket) -> Option<Time> {
        let held = self.held.as_ref().filter(|_| ticket.epoch != self.epoch)?;
        Some(held.until)
    }

    /// What was let through was not sent: the next one may look.
    pub fn not_sent(&mut self, ticket: Ticket) {
        if ticket.probe && ticket.epoch == self.epoch {
            self.probe = None;
        }
    }

    /// The host answered well.
    pub fn answered(&mut self, ticket: Ticket, now: Time) -> Turn {
        if ticket.epoch != self.epoch {
            return Turn::Nothing; // it was asked before the trouble began
        }
        self.met.clear();
        self.probe = None;
        let Some(ended) = self.held.take() else { return Turn::Nothing };
        self.epoch += 1;
        self.opened = Some(now);
        Turn::Opened(ended)
    }

    /// A request of `who` failed.
    pub fn fault(&mut self, ticket: Ticket, who: &str, fault: &Fault, at: Moment, pace: &Pace) -> Turn {
        let rule = pace.judge(fault);
        let shows = rule.shows(fault);
        match shows {
            Shows::Works => return self.answered(ticket, at.now),
            Shows::Nothing => {
                self.not_sent(ticket);
                return Turn::Nothing;
            }
            Shows::Away | Shows::MayBeAway => {}
        }
        if ticket.epoch != self.epoch {
            return Turn::Nothing; // the same trouble, counted already
        }
        self.met.retain(|(known, met)| known != who && met.plus(HOST_WITNESS_MEMORY) > at.now);
        self.met.push((who.to_owned(), at.now));
        if self.held.is_none() && shows == Shows::MayBeAway && self.met.len() < HOST_WITNESSES {
            return Turn::Nothing;
        }
        let first = self.held.is_none();
        // a host that fails now in this way and now in that is away all the same
        let before = self.held.take();
        let failures = before.as_ref().map_or(0, |held| held.failures).saturating_add(1);
        let until = at.now.plus(wait(rule, fault, failures, shows, at, pace));
        let since = before.map_or(at.now, |held| held.since.min(at.now));
        self.held = Some(Held { rule, words: fault.to_string().into(), since, until, failures });
        self.probe = None;
        self.met.clear();
        self.epoch += 1;
        Turn::Closed(first)
    }

    /// An operator says that the cause is gone: the next request looks at once. Says whether anything was held.
    pub fn resume(&mut self, now: Time) -> bool {
        if let Some(held) = &mut self.held {
            (held.until, held.failures) = (now, 0);
        }
        self.probe = None;
        self.held.is_some()
    }

    /// The clock was ahead by so much, and was set back: no wait outlasts the mistake.
    pub fn set_back(&mut self, by: Duration) {
        let back = |at: &mut Time| *at = at.minus(by);
        self.held.iter_mut().flat_map(|held| [&mut held.since, &mut held.until]).for_each(back);
        [&mut self.probe, &mut self.opened].into_iter().flatten().for_each(back);
        self.met.iter_mut().for_each(|(_, at)| back(at));
    }

    /// Why requests wait, if they do.
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// Whether the host was found back at that time or later, and is not away again.
    pub fn is_back_since(&self, since: Time) -> bool {
        self.held.is_none() && self.opened.is_some_and(|opened| opened >= since)
    }
}

/// How long until the next look, after so many that failed.
fn wait(rule: &Rule, fault: &Fault, failures: u8, shows: Shows, at: Moment, pace: &Pace) -> Duration {
    let cycle = pace.scaled(MIN_POLL_INTERVAL);
    let usual = match rule.verdict {
        Verdict::Halt { probe } => pace.probe(fault, Some(probe.unwrap_or(DAY))).unwrap_or(cycle),
        Verdict::Backoff { quick, .. } if failures <= quick => pace.before_quick_try(failures, at),
        Verdict::Backoff { wait, .. } | Verdict::BackoffThenShrink { wait, .. } | Verdict::PauseFor(wait) => {
            pace.after_failure(fault, wait, failures, at)
        }
        _ => cycle,
    };
    if shows == Shows::Away { usual } else { usual.min(cycle) }
}

#[cfg(test)]
#[path = "host_edges.rs"]
mod edges;
#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
