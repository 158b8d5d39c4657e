//! The hosts that all tenants of the process talk to, each behind its gate (`supervisor/host`): who may send, who waits,
//! and what is told about it, once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use url::Url;

use crate::clock::{Clock, StepWatch, Time};
use crate::cursor::FeedKey;
use crate::fault::Fault;
use crate::limits::MAX_TROUBLED_HOSTS;
use crate::supervisor::backoff::Pace;
use crate::supervisor::host::{Held, HostGate, Pass, Ticket, Turn};
use crate::telemetry::notice::{Incident, Notice, Process};

/// A host as it is named to people: `api.services.mimecast.com`, and by which proxy it is reached if by one.
pub type HostName = Arc<str>;

/// All of them.
pub struct Hosts {
    clock: Clock,
    gates: Mutex<BTreeMap<HostName, HostGate>>,
    steps: Mutex<StepWatch>,
    /// Bumped whenever who waits may go on.
    changed: watch::Sender<u64>,
}

/// The leave to send one request to a host; report what came of it.
#[derive(Clone, Debug)]
pub struct Leave {
    pub host: HostName,
    ticket: Ticket,
}

impl Hosts {
    pub fn new(clock: Clock) -> Arc<Self> {
        let steps = Mutex::new(StepWatch::new(&clock));
        Arc::new(Hosts { clock, gates: Mutex::default(), steps, changed: watch::Sender::new(0) })
    }

    fn gates(&self) -> MutexGuard<'_, BTreeMap<HostName, HostGate>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request may go out to the host.
    ///
    /// # Errors
    /// When to ask again.
    pub fn leave(&self, host: &HostName) -> Result<Leave, Time> {
        let now = self.clock.now();
        let step = self.steps.lock().unwrap_or_else(PoisonError::into_inner).step(&self.clock);
        if let Some(step) = step.filter(|step| *step < 0) {
            let by = Duration::from_millis(step.unsigned_abs());
            self.gates().values_mut().for_each(|gate| gate.set_back(by));
            Notice::Process(Process::ClockSetBack { by }).emit();
        }
        let pass = self.gates().get_mut(host).map_or(Pass::Go(Ticket::default()), |gate| gate.pass(now));
        match pass {
            Pass::Go(ticket) => Ok(Leave { host: host.clone(), ticket }),
            Pass::Wait(until) => Err(until),
        }
    }

    /// When to ask again, if the host was found away since that leave was given.
    pub fn overtaken(&self, leave: &Leave) -> Option<Time> {
        self.gates().get(&leave.host)?.overtaken(leave.ticket)
    }

    /// What was allowed was not sent.
    pub fn not_sent(&self, leave: &Leave) {
        if let Some(gate) = self.gates().get_mut(&leave.host) {
            gate.not_sent(leave.ticket);
        }
    }

    /// The host answered well.
    pub fn answered(&self, leave: &Leave) {
        let turn = match self.gates().get_mut(&leave.host) {
            Some(gate) => gate.answered(leave.ticket, self.clock.now()),
            None => return, // nobody ever had trouble with it
        };
        self.tell(&leave.host, turn, None);
    }

    /// A request of that feed failed. Says whether that may be the host's fault.
    pub fn fault(&self, leave: &Leave, feed: &FeedKey, fault: &Fault, pace: &Pace) -> bool {
        let of_host = pace.judge(fault).of_host(fault);

        let mut gates = self.gates();
        if !gates.contains_key(&leave.host) && gates.len() >= MAX_TROUBLED_HOSTS {
            return of_host;
        }
        let gate = gates.entry(leave.host.clone()).or_default();
        let turn = gate.fault(leave.ticket, &feed.to_string(), fault, self.clock.moment(), pace);
        let until = gate.held().map(|held| (held.rule, held.until));
        drop(gates);
        let incident =
            until.map(|(rule, until)| Incident::of(fault, rule, Some(until.since(self.clock.now()))));
        self.tell(&leave.host, turn, incident);
        of_host
    }

    fn tell(&self, host: &HostName, turn: Turn, incident: Option<Incident<'_>>) {
        match (turn, incident) {
            (Turn::Closed(true), Some(incident)) => {
                Notice::Process(Process::HostHeld { host, incident }).emit();
            }
            (Turn::Opened(held), _) => {
                let held_for = self.clock.now().since(held.since);
                Notice::Process(Process::HostBack { host, held_for }).emit();
                self.changed.send_modify(|count| *count += 1);
            }
            _ => {}
        }
    }

    /// An operator says that the cause is gone: the next request looks at once. `name`: with or without its proxy, or
    /// the proxy. Says whether such a host was ever in trouble: one that has come back meanwhile is no mistake.
    pub fn resume(&self, name: &str) -> bool {
        let now = self.clock.now();
        let mut gates = self.gates();
        let parts =
            |host: &str| host.split_once(" via ").is_some_and(|(end, via)| end == name || via == name);
        let named = gates.iter_mut().filter(|(host, _)| ***host == *name || parts(host));
        let lifted: Vec<bool> = named.map(|(_, gate)| gate.resume(now)).collect();
        drop(gates);
        if lifted.contains(&true) {
            self.changed.send_modify(|count| *count += 1);
        }
        !lifted.is_empty()
    }

    /// Why requests to that host wait, if they do.
    pub fn held(&self, host: &HostName) -> Option<Held> {
        self.gates().get(host)?.held().cloned()
    }

    /// Every host whose requests wait.
    pub fn all_held(&self) -> Vec<(HostName, Held)> {
        let gates = self.gates();
        gates.iter().filter_map(|(host, gate)| Some((host.clone(), gate.held()?.clone()))).collect()
    }

    /// Whether the host was away and was found back at that time or later.
    pub fn is_back_since(&self, host: &HostName, since: Time) -> bool {
        self.gates().get(host).is_some_and(|gate| gate.is_back_since(since))
    }

    /// Completes when the host is back, or an operator wants it looked at. That it is only time for the next look is
    /// for those to find who wait for that time.
    pub async fn back(&self, host: &HostName) {
        let mut changes = self.changed.subscribe();
        while self.held(host).is_some() {
            if changes.changed().await.is_err()
                || self.held(host).is_some_and(|held| held.until <= self.clock.now())
            {
                return; // an error cannot be: `self` has the sender
            }
        }
    }
}

/// What a host is called.
pub fn host_name(url: &Url, proxy: Option<&str>) -> HostName {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let via = proxy.map(|proxy| format!(" via {proxy}")).unwrap_or_default();
    format!("{host}{port}{via}").into()
}
