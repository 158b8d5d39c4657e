//! One credential and everyone who uses it. Five feeds with one wrong secret must not make five failed logins,
//! and a restart must not make a sixth: the gate is asked before every request, counts every attempt before it
//! is made, and is written down in between.
//!
//! In short: `recent` holds the logins of the last hour that nobody confirmed, `earlier` those of secrets that were
//! replaced (an account that was tried with four wrong ones is as near its lock as with one), `refusals` how often the
//! secret was refused, `lockouts` how often the account was found locked, `tokens_refused` how many fresh tokens were
//! turned down. A good answer of an API function wipes all four, but where one function was refused the other three
//! stay until that one is answered well: what only one function is told would else be asked again for ever. Until a good
//! answer comes, one call at a time is on trial.
//! After a restart a login without an answer counts as locked if the account was locked, as refused if the
//! secret never worked yet, and against the hour's two logins in any case.

mod kept;
mod knock;
mod trial;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff::Pace;
use super::policy::{by_id, by_name};
use super::rule::{CYCLES, Confirm, End, HOUR, Ladder, Refused, Rule, TWICE_MORE, Verdict};
use crate::clock::{Moment, Time};
use crate::fault::{Fault, Kind};
use crate::limits::{
    LOGINS_PER_HOUR, LOGINS_PER_HOUR_OF_ALL, MIN_POLL_INTERVAL, REQUEST_LEASE, TOKEN_LIFETIME,
};

/// The state of one credential. Serialise it into the store after every change that returns from a method, and
/// always between [`Gate::begin_login`] and the token request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Which secret this state is about.
    fingerprint: String,
    /// That secret was accepted at least once.
    proven: bool,
    /// Tokens received with this gate; names the newest one.
    generation: u64,
    hold: Hold,
    refusals: u8,
    tokens_refused: u8,
    lockouts: u8,
    /// Other failures of the token endpoint in a row.
    failures: u8,
    recent: Vec<Time>,
    #[serde(default)]
    earlier: Vec<Time>,
    in_flight: Option<Time>,
    /// The gate was closed, and no call has shown since that it may stay open.
    #[serde(default)]
    on_probe: bool,
    /// When the token in use should be replaced; tokens do not survive a restart. Of a key that signs: when it
    /// is read again.
    #[serde(skip)]
    token_until: Option<Time>,
    /// The secret signs each call (API 1.0); there are no tokens. Kept, because what a login without an answer
    /// counts for depends on it.
    #[serde(default)]
    signs: bool,
    /// The functions whose refusal is counted and which were not answered well since.
    #[serde(default)]
    suspects: Vec<String>,
    /// Another function was answered well since: the credential works, but not for the suspects.
    #[serde(default)]
    vouched: bool,
    /// The one call on trial.
    #[serde(skip)]
    trial: Option<Time>,
    /// By which proxy, with which login, requests went; see [`Gate::by_way`].
    #[serde(default)]
    way: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Hold {
    #[default]
    Open,
    /// Nothing before that time.
    Until { until: Time, rule: String },
    /// Nothing without a new secret or `resume`, but one probe from that time on.
    Halted { probe: Option<Time>, rule: String },
}

type Row = Option<&'static Rule>;

/// Whether a request may go out now.
#[derive(Clone, Debug)]
pub enum Permit {
    /// Yes, with the token (or the key) of this generation. Report what came of it: [`Gate::call_ok`], [`Gate::call_fault`].
    Go { generation: u64 },
    /// Only after a login, or as the first call of a key that signs; see [`Gate::begin_login`].
    Login,
    /// No.
    Closed(Closed),
}

/// Why nothing may be sent, and what changes that.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    /// Ask again then; `None`: only a new secret or `resume` opens the gate.
    pub until: Option<Time>,
    /// The row that closed it; `None` while another feed's request is awaited.
    pub rule: Option<&'static Rule>,
}

/// `credential_state` of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialState {
    Ok,
    Refreshing,
    Suspended,
    LockedOut,
    Expired,
    Revoked,
    Denied,
}

impl CredentialState {
    pub const ALL: [CredentialState; 7] = [
        CredentialState::Ok,
        CredentialState::Refreshing,
        CredentialState::Suspended,
        CredentialState::LockedOut,
        CredentialState::Expired,
        CredentialState::Revoked,
        CredentialState::Denied,
    ];
    pub fn as_str(self) -> &'static str {
        match self {
            CredentialState::Ok => "ok",
            CredentialState::Refreshing => "refreshing",
            CredentialState::Suspended => "suspended",
            CredentialState::LockedOut => "locked_out",
            CredentialState::Expired => "expired",
            CredentialState::Revoked => "revoked",
            CredentialState::Denied => "denied",
        }
    }
}

impl Gate {
    /// The gate of a secret that was never used.
    pub fn new(fingerprint: impl Into<String>) -> Self {
        Gate { fingerprint: fingerprint.into(), ..Gate::default() }
    }

    /// For the store.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // plain fields and string-keyed: cannot fail
    }

    /// Another secret is in use from now on: what the old one did is forgotten, but a locked account stays
    /// locked, and an attempt made. Says whether it is another one.
    pub fn offer(&mut self, fingerprint: &str) -> bool {
        if self.fingerprint == fingerprint {
            return false;
        }
        let lock = (self.lockouts, self.hold.clone());
        let way = std::mem::take(&mut self.way);
        let mut earlier = std::mem::take(&mut self.earlier);
        earlier.append(&mut self.recent);
        *self =
            Gate { earlier, generation: self.generation, signs: self.signs, way, ..Gate::new(fingerprint) };
        if lock.0 > 0 {
            (self.lockouts, self.hold) = lock;
        }
        true
    }

    /// An operator says that the cause is gone.
    pub fn resume(&mut self) {
        *self = Gate {
            fingerprint: std::mem::take(&mut self.fingerprint),
            proven: self.proven,
            generation: self.generation,
            in_flight: self.in_flight,
            token_until: self.token_until,
            signs: self.signs,
            way: std::mem::take(&mut self.way),
            ..Gate::default()
        };
    }

    /// Whether an API request may go out at that moment.
    pub fn permit(&mut self, at: Time) -> Permit {
        if let Some(closed) = self.closed(at) {
            return Permit::Closed(closed);
        }
        if self.token_until.is_none_or(|until| at >= until) {
            return Permit::Login;
        }
        if self.on_trial() {
            if let Some(end) = self.trial.map(|began| began.plus(REQUEST_LEASE)).filter(|&end| at < end) {
                return Permit::Closed(Closed { until: Some(end), rule: None });
            }
            self.trial = Some(at);
        }
        Permit::Go { generation: self.generation }
    }

    /// Counts a login that is about to be made with the secret of that fingerprint. Write the gate down before
    /// the request is sent.
    ///
    /// # Errors
    /// [`Closed`] when no login may be made now.
    pub fn begin_login(&mut self, at: Moment, fingerprint: &str, pace: &Pace) -> Result<(), Closed> {
        self.offer(fingerprint);
        if let Some(end) = self.in_flight.map(|began| began.plus(REQUEST_LEASE)) {
            if at.now < end {
                return Err(Closed { until: Some(end), rule: None });
            }
            self.settle_unanswered(at, pace);
        }
        if let Some(closed) = self.closed(at.now) {
            return Err(closed);
        }
        if let Some(until) = self.spent(at.now, pace.scaled(HOUR)) {
            let rule = by_id("M37");
            self.hold = Hold::Until { until, rule: rule.map(Rule::name).unwrap_or_default() };
            return Err(Closed { until: Some(until), rule });
        }
        self.recent.push(at.now);
        self.in_flight = Some(at.now);
        Ok(())
    }

    /// The login brought a token that is good for `life` (zero: not said). It is replaced after four fifths of
    /// that. Returns its generation.
    pub fn login_ok(&mut self, at: Time, life: Duration) -> u64 {
        let life = if life.is_zero() { TOKEN_LIFETIME } else { life };
        self.in_flight = None;
        self.recent.clear();
        self.earlier.clear();
        self.failures = 0;
        self.proven = true;
        self.hold = Hold::Open;
        self.trial = None;
        self.generation += 1;
        self.token_until = Some(at.plus(life * 4 / 5));
        self.generation
    }

    /// The login failed. Returns the row that says so.
    pub fn login_fault(&mut self, fault: &Fault, at: Moment, pace: &Pace) -> &'static Rule {
        let rule = pace.judge(fault);
        self.in_flight = None;
        let unknown = matches!(fault.kind, Kind::Timeout | Kind::Interrupted);
        if !rule.counts_as_failed_login() && !unknown {
            self.recent.pop(); // the secret was not looked at
        }
        self.apply(rule, fault, at, pace);
        rule
    }

    /// What was permitted was not sent: the next one may go first.
    pub fn not_sent(&mut self) {
        self.trial = None;
    }

    /// What several feeds met is the credential's: all of them wait as the row says, then one call goes first. The
    /// token stays. Does nothing while the gate is closed for another reason.
    pub fn widen(&mut self, fault: &Fault, at: Moment, pace: &Pace) {
        if self.closed(at.now).is_some() {
            return;
        }
        let rule = pace.judge(fault);
        match rule.verdict {
            Verdict::Halt { probe } => self.halt(Some(rule), pace.probe(fault, probe), at),
            Verdict::PauseFor(wait) => self.back_off(rule, fault, wait, at, pace),
            _ => self.back_off(rule, fault, CYCLES, at, pace),
        }
        self.trial = None;
    }

    /// The host of the API is back: what was held for its sake alone is so no longer. Says whether anything was.
    pub fn host_back(&mut self) -> bool {
        let hosts = self.holding().and_then(|closed| closed.rule).is_some_and(Rule::is_in_between);
        if hosts {
            (self.hold, self.failures) = (Hold::Open, 0);
        }
        hosts
    }

    /// The state's name for metrics and `status`.
    pub fn state(&self, at: Time) -> CredentialState {
        let rule = match &self.hold {
            _ if self.in_flight.is_some_and(|began| at < began.plus(REQUEST_LEASE)) => {
                return CredentialState::Refreshing;
            }
            Hold::Open => return CredentialState::Ok,
            Hold::Until { rule, .. } | Hold::Halted { rule, .. } if rule.starts_with("M10/") => {
                return CredentialState::LockedOut;
            }
            Hold::Until { .. } => return CredentialState::Suspended,
            Hold::Halted { rule, .. } => rule.as_str(),
        };
        match rule.split_once('/').map(|(id, _)| id) {
            Some("M17" | "M26" | "M27") => CredentialState::Expired,
            Some("M12" | "M13") => CredentialState::Revoked,
            _ => CredentialState::Denied,
        }
    }

    /// Why the gate is closed, whether or not its time has come; `None` while it is open.
    pub fn holding(&self) -> Option<Closed> {
        match &self.hold {
            Hold::Open => None,
            Hold::Until { until, rule } => Some(Closed { until: Some(*until), rule: by_name(rule) }),
            Hold::Halted { probe, rule } => Some(Closed { until: *probe, rule: by_name(rule) }),
        }
    }

    fn closed(&self, at: Time) -> Option<Closed> {
        let until = match &self.hold {
            Hold::Open => return None,
            Hold::Until { until, .. } => Some(*until),
            Hold::Halted { probe, .. } => *probe,
        };
        until.is_none_or(|until| at < until).then(|| self.holding()).flatten()
    }

    /// Until when the attempts of the last hour are as many as there may be, with this secret or with any.
    fn spent(&mut self, now: Time, hour: Duration) -> Option<Time> {
        for attempts in [&mut self.recent, &mut self.earlier] {
            attempts.retain(|&begun| begun.plus(hour) > now);
        }
        let of_all = self.earlier.iter().chain(&self.recent);
        let (this, all) = (self.recent.len(), of_all.clone().count());
        // each is over when so many of the oldest have left the hour that there is room for one
        let this = this.checked_sub(LOGINS_PER_HOUR).and_then(|over| self.recent.get(over));
        let all = all.checked_sub(LOGINS_PER_HOUR_OF_ALL).and_then(|over| of_all.clone().nth(over));
        this.max(all).map(|begun| begun.plus(hour))
    }

    fn settle_unanswered(&mut self, at: Moment, pace: &Pace) {
        let Some(begun) = self.in_flight.take() else { return };
        let then = Moment { now: begun, ..at };
        if self.lockouts > 0 {
            self.lock(by_id("M10"), Duration::ZERO, None, then, pace);
        } else if !self.proven {
            self.refusals = self.refusals.saturating_add(1);
            if self.refusals > 1 {
                self.wait_to_confirm(
                    by_id(if self.signs { "M06" } else { "M34" }),
                    TWICE_MORE,
                    None,
                    then,
                    pace,
                );
            }
        }
    }

    fn apply(&mut self, rule: &'static Rule, fault: &Fault, at: Moment, pace: &Pace) {
        self.token_until = None;
        self.vouched = false;
        match rule.verdict {
            Verdict::ConfirmThenHalt(confirm) => self.refuse(rule, confirm, fault, at, pace),
            Verdict::Lockout { .. } => {
                let chosen = pace.overrides.pause(fault, pace.loopback);
                self.lock(Some(rule), fault.retry_after.unwrap_or_default(), chosen, at, pace);
            }
            Verdict::Refresh { wait, spent } => {
                self.tokens_refused = self.tokens_refused.saturating_add(1);
                let over = |generations| self.tokens_refused >= generations || !self.can_be_renewed(fault);
                match spent.filter(|spent| over(spent.generations)).map(|spent| spent.end) {
                    Some(Refused::Confirm(confirm)) => self.refuse(rule, confirm, fault, at, pace),
                    Some(Refused::Halt) => self.halt(Some(rule), None, at),
                    None => self.renew_later(rule, fault, wait, at, pace),
                }
            }
            Verdict::Halt { probe } => self.halt(Some(rule), pace.probe(fault, probe), at),
            Verdict::Backoff { wait, quick, last } => {
                self.failures = self.failures.saturating_add(1);
                match last.filter(|last| self.failures > last.after).map(|last| last.end) {
                    Some(End::Halt { probe }) => self.halt(Some(rule), pace.probe(fault, probe), at),
                    Some(End::Exit(_)) | None if self.failures <= quick => {
                        self.hold_for(Some(rule), pace.before_quick_try(self.failures, at), at);
                    }
                    Some(End::Exit(_)) | None => {
                        let nth = self.failures - quick.min(self.failures);
                        let wait = pace.after_failure(fault, wait, nth, at);
                        self.hold_for(Some(rule), wait.max(floor(pace)), at);
                    }
                }
            }
            Verdict::PauseFor(wait) => self.back_off(rule, fault, wait, at, pace),
            _ => self.back_off(rule, fault, CYCLES, at, pace),
        }
    }

    fn back_off(&mut self, rule: &'static Rule, fault: &Fault, wait: Ladder, at: Moment, pace: &Pace) {
        self.failures = self.failures.saturating_add(1);
        let wait = pace.after_failure(fault, wait, self.failures, at);
        self.hold_for(Some(rule), wait.max(floor(pace)), at);
    }

    /// The first token is renewed at once, later ones after a wait.
    fn renew_later(&mut self, rule: &'static Rule, fault: &Fault, wait: Ladder, at: Moment, pace: &Pace) {
        if self.tokens_refused > 1 || !self.can_be_renewed(fault) {
            let wait = pace.after_failure(fault, wait, self.tokens_refused.saturating_sub(1).max(1), at);
            self.hold_for(Some(rule), wait.max(floor(pace)), at);
        }
    }

    /// The secret was refused once more.
    fn refuse(&mut self, rule: &'static Rule, confirm: Confirm, fault: &Fault, at: Moment, pace: &Pace) {
        self.refusals = self.refusals.saturating_add(1);
        let chosen = pace.overrides.pause(fault, pace.loopback);
        self.wait_to_confirm(Some(rule), confirm, chosen, at, pace);
    }

    /// The secret was refused `refusals` times: what is left of its attempts, then nothing for good.
    fn wait_to_confirm(
        &mut self,
        rule: Row,
        confirm: Confirm,
        chosen: Option<Duration>,
        at: Moment,
        pace: &Pace,
    ) {
        let confirms = confirm.keys || !self.signs;
        let wait = match self.refusals {
            0 | 1 => Some(chosen.unwrap_or_else(|| pace.scaled(confirm.after))),
            2 => confirm.last.map(|last| pace.scaled(last)),
            _ => None,
        };
        match wait.filter(|_| confirms) {
            Some(wait) => self.hold_for(rule, wait, at),
            None => self.halt(rule, None, at),
        }
    }

    /// The account was found locked once more.
    fn lock(&mut self, rule: Row, theirs: Duration, chosen: Option<Duration>, at: Moment, pace: &Pace) {
        let Verdict::Lockout { rungs, jitter } = super::rule::LOCKOUT else { return };
        match rungs.get(usize::from(self.lockouts)) {
            Some(&rung) => {
                let first = rungs.first().map_or(1, Duration::as_secs).max(1);
                let times = u32::try_from(rung.as_secs() / first).unwrap_or(1).max(1);
                let wait = chosen.map_or_else(|| pace.scaled(rung), |chosen| chosen.saturating_mul(times));
                let wait = wait.max(theirs) + at.between(Duration::ZERO, pace.scaled(jitter));
                self.hold_for(rule, wait, at);
            }
            None => self.halt(rule, None, at),
        }
        self.lockouts = self.lockouts.saturating_add(1);
    }

    fn hold_for(&mut self, rule: Row, wait: Duration, at: Moment) {
        self.on_probe = true;
        self.hold = Hold::Until { until: at.now.plus(wait), rule: rule.map(Rule::name).unwrap_or_default() };
    }

    fn halt(&mut self, rule: Row, probe: Option<Duration>, at: Moment) {
        self.on_probe = true;
        let probe = probe.map(|every| at.now.plus(every));
        self.hold = Hold::Halted { probe, rule: rule.map(Rule::name).unwrap_or_default() };
    }
}

/// A service that says "again in one second" for a whole day must not get 80,000 logins for it.
fn floor(pace: &Pace) -> Duration {
    pace.scaled(MIN_POLL_INTERVAL)
}
