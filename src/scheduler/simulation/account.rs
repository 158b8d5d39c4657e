//! The credential in the simulation: the real gate, quota and spread, put together in the order in which
//! `scheduler::account` puts them, with every write-down visible to the store's troubles.

use std::time::Duration;

use super::audit::Knock;
use super::planted::Planted;
use super::weather::Answer;
use super::world::World;
use crate::clock::Time;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::CLOCK_SKEW_TOLERATED;
use crate::mimecast::quota::{Call, May, Quota};
use crate::scheduler::decide::{By, Outcome};
use crate::scheduler::server_clock::ServerClock;
use crate::supervisor::gate::{Closed, Gate, Permit};
use crate::supervisor::spread::Spread;

const TOKEN_LIFE: Duration = Duration::from_secs(1_800);

/// What the feeds of the tenant share.
pub struct Account {
    pub gate: Gate,
    pub token: Option<u64>,
    pub quota: Quota,
    pub spread: Spread,
    pub server_clock: ServerClock,
    /// By how much our clock was wrong when the gate was last looked at.
    pub skew: i64,
    /// The password in our configuration, by number.
    pub secret: u32,
}

impl Account {
    pub fn fingerprint(&self) -> String {
        format!("secret {}", self.secret)
    }
}

/// Whether a request may go out.
pub enum Pass {
    Go { token: u64, generation: u64 },
    Shut(Outcome),
}

impl World {
    /// The process starts: what the store has kept is taken up.
    pub(super) fn open_account(&mut self) {
        let moment = self.moment();
        let kept = self.store.gate.clone().filter(|_| !self.is(Planted::GateForgotten));
        let pace = self.pace.clone();
        let ahead = |at: Time| {
            if self.is(Planted::AheadTakenAtItsWord) { Duration::ZERO } else { at.since(moment.now) }
        };
        let gate = kept.and_then(|(kept, at)| {
            let mut gate = Gate::restore(&kept.to_text(), moment, &pace)?;
            gate.set_back(ahead(at));
            Some(gate)
        });
        let fingerprint = self.account.fingerprint();
        self.account.gate = gate.unwrap_or_else(|| Gate::new(fingerprint));
        self.account.token = None;
        self.account.quota = Quota::new(&self.feeds_of_plan(), true);
        self.account.spread = Spread::default();
        (self.account.server_clock, self.account.skew) = (ServerClock::default(), self.skew);
        if let Some(kept) = self.store.quota.clone().filter(|_| !self.is(Planted::QuotaForgotten)) {
            self.account.quota.restore(&kept.to_text(), self.clock());
        }
    }

    fn save_gate(&mut self) -> Result<(), Fault> {
        self.writable()?;
        self.store.gate = Some((self.account.gate.clone(), self.clock()));
        Ok(())
    }

    /// Somebody has set our clock: what the gate waits for is as far away as it was.
    fn follow_clock(&mut self) -> Result<(), Fault> {
        let step = self.skew - self.account.skew;
        if u128::from(step.unsigned_abs()) < CLOCK_SKEW_TOLERATED.as_millis() {
            return Ok(());
        }
        self.account.skew = self.skew;
        if !self.is(Planted::LockMovesWithTheClock) {
            self.account.gate.moved(step);
        }
        self.save_gate()
    }

    /// Mimecast's time, as far as its answers tell.
    pub(super) fn server_now(&self) -> Time {
        if self.is(Planted::ClockTakenForMimecasts) {
            return self.clock();
        }
        self.account.server_clock.at(self.clock(), self.uptime())
    }
    /// An answer was dated.
    pub(super) fn note_date(&mut self) {
        let (now, uptime) = (self.clock(), self.uptime());
        self.account.server_clock.note(-self.skew, now, uptime);
    }
    pub(super) fn closed(&mut self) -> Option<Closed> {
        let _ = self.follow_clock();
        let now = self.clock();
        let closed =
            self.account.gate.holding().filter(|closed| closed.until.is_none_or(|until| now < until));
        if let Some(until) = closed.and_then(|closed| closed.until) {
            self.audit_wait(0, until.since(now));
        }
        closed
    }
    /// Sees to it that some answer has told the time, where a login can.
    pub(super) fn learn_time(&mut self, feed: usize) -> Result<(), Fault> {
        if !self.account.server_clock.is_known()
            && self.closed().is_none()
            && let Pass::Go { .. } = self.access(feed)?
        {
            self.account.gate.not_sent();
        }
        Ok(())
    }

    /// Small writes of the store fail while the disk does.
    pub(super) fn writable(&mut self) -> Result<(), Fault> {
        match self.local_trouble() {
            Some(kind) => {
                self.audit.forgotten();
                Err(Fault::new(Origin::Local, kind, "same words"))
            }
            None => Ok(()),
        }
    }

    pub(super) fn may_ask(&mut self, feed: usize, call: Call) -> Result<Pass, Fault> {
        let row = self.feeds[feed].feed;
        if self.is(Planted::GatePerFeed) {
            self.account.gate = Gate::new(self.account.fingerprint());
            self.account.token = None;
        }
        if self.account.gate.holding().is_some() && !self.is(Planted::GateIgnored) {
            self.offer_secret()?;
            if let Some(closed) = self.closed() {
                return Ok(Pass::Shut(Outcome::Shut { until: closed.until, by: By::Gate }));
            }
        }
        if self.is(Planted::QuotaPerFeed) {
            self.account.quota = Quota::new(&[row], true);
        }
        if let (May::Wait(until), false) =
            (self.account.quota.may(row, call, self.clock()), self.is(Planted::QuotaNotCounted))
        {
            return Ok(Pass::Shut(Outcome::Shut { until: Some(until), by: By::Quota }));
        }
        if self.account.quota.counts(row) {
            self.writable()?;
            self.store.quota = Some(self.account.quota.clone());
        }
        self.access(feed)
    }

    fn offer_secret(&mut self) -> Result<(), Fault> {
        let fingerprint = self.account.fingerprint();
        if self.account.gate.offer(&fingerprint) {
            self.save_gate()?;
        }
        Ok(())
    }

    fn access(&mut self, feed: usize) -> Result<Pass, Fault> {
        let shut = |until| Ok(Pass::Shut(Outcome::Shut { until, by: By::Gate }));
        if self.is(Planted::GateIgnored) {
            self.account.gate.resume();
        }
        self.follow_clock()?;
        match self.account.gate.permit(self.clock()) {
            Permit::Closed(closed) => {
                if closed.rule.is_none() {
                    self.audit_trial(feed);
                }
                return shut(closed.until);
            }
            Permit::Go { generation } => {
                if let Some(token) = self.account.token {
                    return Ok(Pass::Go { token, generation });
                }
            }
            Permit::Login => {}
        }
        let moment = self.moment();
        let (fingerprint, pace) = (self.account.fingerprint(), self.pace.clone());
        let before = self.account.gate.clone();
        let began = self.account.gate.begin_login(moment, &fingerprint, &pace);
        if !self.is(Planted::GateWrittenLate)
            && let Err(fault) = self.save_gate()
        {
            self.account.gate = before;
            return Err(fault);
        }
        if let Err(closed) = began {
            return shut(closed.until);
        }
        self.log_in(feed)?;
        match (self.account.gate.permit(self.clock()), self.account.token) {
            (Permit::Go { generation }, Some(token)) => Ok(Pass::Go { token, generation }),
            (Permit::Closed(closed), _) => shut(closed.until),
            _ => shut(Some(self.clock().plus(Duration::from_secs(1)))),
        }
    }

    /// The request itself. The process may die while it is under way.
    fn log_in(&mut self, feed: usize) -> Result<(), Fault> {
        self.audit_knock(Knock::Login, feed, "login");
        let answer = self.login_answer(feed);
        if self.now < self.plan.calm && self.dice.u32(0..1_000) < self.plan.death_in_login {
            self.die("the process dies while it logs in");
            return Err(Fault::new(Origin::Local, Kind::Interrupted, "dead"));
        }
        let (moment, pace) = (self.moment(), self.pace.clone());
        match answer {
            None => {
                self.note_date();
                self.account.gate.login_ok(self.clock(), TOKEN_LIFE);
                self.account.token = Some(self.server.token());
                // one in eight dies before its time
                let life =
                    if self.dice.u8(0..8) == 0 { self.dice.u64(30..1_400) } else { TOKEN_LIFE.as_secs() };
                self.server.token_until = self.now.plus(Duration::from_secs(life));
                self.audit.logged_in();
                self.save_gate()
            }
            Some(fault) => {
                let heard = self.as_heard(fault.clone());
                let rule = self.account.gate.login_fault(&heard, moment, &pace);
                if self.is(Planted::LockTooShort) {
                    self.account.gate.set_back(Duration::from_secs(1_800));
                }
                self.account.token = None;
                self.tell(|| format!("login: {fault} ({})", rule.name()));
                self.audit_refused_login(&fault);
                self.save_gate()?;
                Err(heard)
            }
        }
    }

    fn login_answer(&mut self, feed: usize) -> Option<Fault> {
        if let Some(answer) = self.weather(Origin::Token, feed) {
            return answer.fault(Origin::Token, self.clock());
        }
        (self.account.secret != self.server.secret).then(|| {
            let body = r#"{"error":"invalid_client","error_description":"same words"}"#.to_owned();
            let wrong = Answer::Http { status: 401, headers: Vec::new(), body };
            wrong.fault(Origin::Token, self.clock())
        })?
    }

    /// A fault as the mistakes under test let it be heard.
    pub(super) fn as_heard(&self, mut fault: Fault) -> Fault {
        if self.is(Planted::CodeNotRead) {
            fault.code = None;
        }
        if self.is(Planted::RetryAfterNotRead) {
            fault.retry_after = None;
        }
        fault
    }

    pub(super) fn call_ok(&mut self, feed: usize, generation: u64) -> Result<(), Fault> {
        if !self.is(Planted::SuccessNotTold) && self.account.gate.call_ok(&feed.to_string(), generation) {
            self.save_gate()?;
        }
        Ok(())
    }

    pub(super) fn call_fault(&mut self, feed: usize, fault: &Fault, generation: u64) -> Result<(), Fault> {
        if self.is(Planted::GateNotTold) {
            return Ok(());
        }
        let (moment, pace) = (self.moment(), self.pace.clone());
        let before = self.account.gate.clone();
        let rule = self.account.gate.call_fault(&feed.to_string(), fault, generation, moment, &pace);
        if self.account.gate != before {
            if rule.is_for_gate(fault.origin) && self.is(Planted::LateTokenKept) {
                self.account.gate = before;
            } else if rule.is_for_gate(fault.origin) {
                self.account.token = None;
            }
            self.save_gate()?;
        }
        self.met(feed, fault)
    }

    fn met(&mut self, feed: usize, fault: &Fault) -> Result<(), Fault> {
        let (rule, moment, pace) = (self.pace.judge(fault), self.moment(), self.pace.clone());
        let (name, feeds) = (self.feeds[feed].feed.name, self.feeds.len());
        if self.account.spread.met(name, rule, feeds, self.clock()) {
            self.account.gate.widen(fault, moment, &pace);
            self.save_gate()?;
        }
        Ok(())
    }
}
