//! What must hold whatever happens, judged by what reaches the other side and by what the store holds, never by
//! what the daemon says of itself.

use std::time::Duration;

use super::ids::Ids;
use super::mimecast::LATEST;
use super::world::World;
use crate::clock::Time;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{BATCH_QUOTA_CALLS, LOGINS_PER_HOUR};
use crate::store::Cause;
use crate::supervisor::policy::judge;
use crate::supervisor::rule::{End, Verdict};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// A day, and what a lock or an interval may add to it.
const LONGEST: Duration = Duration::from_secs(30 * 3_600);
/// Failed requests of one feed in one cycle: three fresh listings, two quick tries, one fresh token, and each of
/// them may end one more way.
const MOST_FAILURES: u32 = 12;

/// What reaches the other side.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Knock {
    Login,
    Call,
    Download,
}

/// The other side's memory of us.
#[derive(Default)]
pub struct Audit {
    /// The first rule that was broken.
    pub broken: Option<String>,
    /// Nobody may knock before this time, and why.
    quiet: Option<(Time, String)>,
    quiet_feed: Vec<Option<(Time, String)>>,
    /// Logins since one succeeded, and passwords refused.
    logins: Vec<Time>,
    refused: Vec<Time>,
    failures: Vec<u32>,
    in_a_row: Vec<Option<(&'static str, &'static str, u32)>>,
    /// Something the store could not take: after a restart we may not know it.
    amnesty: bool,
    /// Our clock was set: after a restart nobody can tell by how much.
    clock_set: bool,
    newest_token: u64,
    faulted_token: u64,
    /// Tokens up to this one were refused, in words that say so.
    refused_token: u64,
    /// When something last put the credential on trial, and whether a later call has cleared it.
    tried_at: Time,
    cleared: bool,
    pub stored: usize,
    twice: Ids,
    /// Files that were given up may come back, so their events may be stored again.
    pub given_up: Ids,
    pub quarantined: Vec<u64>,
    /// Which feeds had an answer stored. Each owes everything since the story began.
    pub collected: Vec<bool>,
    pub listings: u64,
    pub logins_made: u64,
}

impl Audit {
    pub fn of(feeds: usize) -> Self {
        Audit {
            quiet_feed: vec![None; feeds],
            failures: vec![0; feeds],
            in_a_row: vec![None; feeds],
            quarantined: vec![0; feeds],
            collected: vec![false; feeds],
            ..Audit::default()
        }
    }
    pub fn forgotten(&mut self) {
        self.amnesty = true;
    }
    pub fn clock_set(&mut self) {
        self.clock_set = true;
    }
    /// Another configuration ends what holds a feed back.
    pub fn reconfigured(&mut self) {
        self.quiet_feed.fill(None);
        self.in_a_row.fill(None);
    }
    /// From now on one call has to go first.
    pub fn on_trial(&mut self, now: Time) {
        (self.tried_at, self.cleared) = (now, false);
    }
    pub fn restarted(&mut self, now: Time) {
        self.on_trial(now);
        // a death in the middle of a cycle lets its quick try be made again
        self.in_a_row.iter_mut().flatten().for_each(|row| row.2 = row.2.saturating_sub(1));
        if std::mem::take(&mut self.amnesty) | std::mem::take(&mut self.clock_set) {
            self.a_person_acted();
        }
    }
    pub fn a_person_acted(&mut self) {
        (self.quiet, self.logins, self.refused) = (None, Vec::new(), Vec::new());
        self.quiet_feed.fill(None);
        self.in_a_row.fill(None);
    }
    pub fn logged_in(&mut self) {
        self.logins.clear();
        // what was refused between two tokens was not the password's fault
        self.refused.clear();
        self.newest_token += 1;
    }
    pub fn cycle(&mut self, feed: usize) {
        self.failures[feed] = 0;
    }
    pub fn went_well(&mut self, feed: usize) {
        (self.in_a_row[feed], self.quiet_feed[feed]) = (None, None);
    }
    fn breach(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }
}

impl World {
    pub(super) fn breach(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.tell(|| format!("BROKEN: {what}"));
        self.audit.breach(what);
    }

    pub(super) fn audit_knock(&mut self, knock: Knock, feed: usize, what: &str) {
        let now = self.now;
        let name = self.feeds[feed].feed.name;
        self.tell(|| format!("{name}: {what}"));
        if self.off[feed] {
            self.breach(format!("{name}: a {what} although no configuration names the feed any more"));
        }
        if let (true, Some((until, why))) = (knock != Knock::Download, &self.audit.quiet)
            && now < *until
        {
            self.breach(format!("{name}: a {what} although the credential was told to be silent: {why}"));
        }
        if let Some((until, why)) = &self.audit.quiet_feed[feed]
            && now < *until
            && knock == Knock::Call
        {
            self.breach(format!("{name}: a {what} although the feed was told to be silent: {why}"));
        }
        if knock == Knock::Login {
            self.audit.logins_made += 1;
            self.audit.logins.retain(|at| at.plus(HOUR) > now);
            self.audit.logins.push(now);
        }
    }

    /// No row and no service asks for a longer wait than a day, whatever our clock shows.
    pub(super) fn audit_wait(&mut self, feed: usize, wait: Duration) {
        if wait > LONGEST {
            let (name, hours) = (self.feeds[feed].feed.name, wait.as_secs() / 3_600);
            self.breach(format!("{name}: waits for {hours} hours"));
        }
    }

    pub(super) fn audit_call(&mut self, feed: usize) {
        self.audit.listings += 1;
        if self.account.quota.counts(self.feeds[feed].feed) {
            let calls = self.server.count_call(self.clock());
            if calls > BATCH_QUOTA_CALLS {
                self.breach(format!("{calls} listing calls in a quarter of an hour"));
            }
        }
    }

    /// A call sent at that time, with that token, was answered well: nobody has to wait for a trial any more.
    pub(super) fn audit_call_ok(&mut self, token: u64, sent: Time) {
        let audit = &mut self.audit;
        audit.cleared |= token == audit.newest_token && sent > audit.tried_at;
    }

    /// A feed is told to wait for the outcome of another one's call.
    pub(super) fn audit_trial(&mut self, feed: usize) {
        if self.audit.cleared {
            let name = self.feeds[feed].feed.name;
            self.breach(format!("{name}: waits for a trial although the credential was shown to work"));
        }
    }

    /// A call goes out with that token.
    pub(super) fn audit_token(&mut self, feed: usize, token: u64) {
        if token <= self.audit.refused_token {
            let name = self.feeds[feed].feed.name;
            self.breach(format!("{name}: a token that was refused is used again"));
        }
    }

    /// A login was refused or came to nothing.
    pub(super) fn audit_refused_login(&mut self, fault: &Fault) {
        let (rule, now) = (judge(fault), self.now);
        self.audit.on_trial(now);
        self.audit.refused.retain(|at| at.plus(DAY) > now);
        let judged = matches!(rule.verdict, Verdict::ConfirmThenHalt(_) | Verdict::Lockout { .. });
        if !judged && !matches!(fault.kind, Kind::Timeout | Kind::Interrupted) {
            self.audit.logins.pop(); // an answer that did not look at the password
        }
        if self.audit.logins.len() > LOGINS_PER_HOUR && judged {
            self.breach(format!("{} refused logins in an hour", self.audit.logins.len()));
        }
        if matches!(rule.verdict, Verdict::ConfirmThenHalt(_)) {
            self.audit.refused.push(now);
            if self.audit.refused.len() > 2 {
                self.breach(format!("a password refused {} times in a day", self.audit.refused.len()));
            }
        }
        self.hush(fault);
    }

    /// How long the whole credential has to be silent after this.
    fn hush(&mut self, fault: &Fault) {
        let rule = judge(fault);
        let quiet = match rule.verdict {
            Verdict::Lockout { .. } => Some(Duration::from_secs(1_860)),
            Verdict::ConfirmThenHalt(_) => Some(Duration::from_secs(900)),
            Verdict::Halt { probe: Some(probe) } => Some(probe),
            Verdict::Halt { probe: None } => Some(DAY * 10_000),
            Verdict::PauseFor(_) => fault.retry_after,
            _ => None,
        };
        if let Some(quiet) = quiet {
            let until = self.now.plus(quiet.min(DAY * 10_000));
            self.audit.quiet = Some((until, format!("{fault} ({}) at {}", rule.name(), self.now.rfc3339())));
        }
    }

    /// A function answered with a fault, to a call made with that token.
    pub(super) fn audit_call_fault(&mut self, fault: &Fault, token: u64) {
        let rule = judge(fault);
        let first = token == self.server_token() && self.audit.faulted_token != token;
        self.audit.on_trial(self.now);
        if rule.is_for_gate(fault.origin) && matches!(rule.verdict, Verdict::Refresh { .. }) {
            self.audit.refused_token = self.audit.refused_token.max(token);
        }
        if rule.is_for_gate(fault.origin) && first {
            self.audit.faulted_token = token;
            self.hush(fault);
        }
    }

    /// What the feed is told by a fault it hears of.
    pub(super) fn audit_feed_fault(&mut self, feed: usize, fault: &Fault) {
        let (rule, now) = (judge(fault), self.now);
        let name = self.feeds[feed].feed.name;
        let failures = &mut self.audit.failures[feed];
        *failures += u32::from(fault.origin != Origin::Local);
        if *failures > MOST_FAILURES {
            let failures = *failures;
            self.breach(format!("{name}: {failures} failed requests in one cycle, the last: {fault}"));
        }
        if rule.is_for_gate(fault.origin) || fault.origin != Origin::Api {
            return;
        }
        let row = self.audit.in_a_row[feed].get_or_insert((rule.id, rule.title, 0));
        let same = (row.0, row.1) == (rule.id, rule.title);
        *row = (rule.id, rule.title, if same { row.2 + 1 } else { 1 });
        let times = row.2;
        let quiet = match rule.verdict {
            Verdict::Halt { probe } => Some(probe.unwrap_or(DAY * 10_000)),
            Verdict::PauseFor(_) => fault.retry_after,
            Verdict::Backoff { quick, last: Some(last), .. } => {
                let most = u32::from(last.after) * (1 + u32::from(quick)) + 1;
                match last.end {
                    End::Halt { probe } if times >= most => Some(probe.unwrap_or(DAY * 10_000)),
                    _ => None,
                }
            }
            _ => None,
        };
        if let Some(quiet) = quiet {
            let until = now.plus(quiet);
            let why = format!("{fault} ({}) at {}", rule.name(), now.rfc3339());
            self.audit.quiet_feed[feed] = Some((until, why));
        }
    }

    fn server_token(&self) -> u64 {
        self.audit.newest_token
    }

    /// After each transaction: nothing invented, nothing twice, the books balance, the store keeps its limit.
    pub(super) fn audit_store(&mut self, added: usize) {
        for at in self.audit.stored..self.store.log.len() {
            let (feed, id) = self.store.log[at];
            if !self.server.logs[feed].owed.contains_key(&id) {
                self.breach(format!("event {id} is stored, and was never offered"));
            }
            if !self.audit.twice.insert(id) && !self.audit.given_up.contains(&id) {
                self.breach(format!("event {id} is stored twice"));
            }
        }
        self.audit.stored = self.store.log.len();
        for feed in 0..self.store.rows.len() {
            let row = &self.store.rows[feed];
            let sum = row.stored + row.duplicate + row.quarantined;
            if row.listed != sum {
                let (listed, name) = (row.listed, self.feeds[feed].feed.name);
                self.breach(format!("{name}: {listed} listed, {sum} accounted for"));
            }
        }
        if self.store.waiting() > self.store.limit() + added.max(20) {
            self.breach(format!("{} events wait in a store of {}", self.store.waiting(), self.store.limit()));
        }
    }

    /// At the end, long after the last fault: everything offered is stored or accounted for as lost, and every sink
    /// has what is stored.
    pub(super) fn audit_end(&mut self) {
        let settled = self.now.minus(DAY);
        for feed in 0..self.feeds.len() {
            let name = self.feeds[feed].feed.name;
            let begins = self.plan.start;
            if !self.audit.collected[feed] {
                self.breach(format!("{name}: nothing was ever collected"));
                return;
            }
            let gaps = &self.store.rows[feed].gaps;
            let covered = |at: Time| {
                gaps.iter()
                    .filter(|gap| gap.cause == Cause::BeyondRetention)
                    .any(|gap| gap.span.from <= at && at <= gap.span.to.plus(LATEST))
            };
            // a row may show up later than it happened, and what happened before the first window is not asked for
            let begins = begins.plus(LATEST);
            let owed = self.server.logs[feed].owed.iter().filter(|(id, at)| {
                **at < settled
                    && **at >= begins
                    && !self.audit.twice.contains(*id)
                    && !self.audit.given_up.contains(*id)
                    && !covered(**at)
            });
            let missing = owed.min_by_key(|(id, at)| (**at, **id));
            if let Some((id, at)) = missing {
                let (id, at, step) = (*id, at.rfc3339(), self.feeds[feed].step);
                let cursor = self.store.rows[feed].cursor.clone();
                self.breach(format!("{name}: event {id} of {at} is lost; cursor {cursor}, step {step:?}"));
                return;
            }
            let owed: u64 = self.server.logs[feed]
                .files
                .iter()
                .filter(|file| file.at < settled && file.ids.iter().all(|id| self.audit.twice.contains(id)))
                .filter(|file| !file.ids.is_empty() && file.at >= begins)
                .map(|file| file.broken_lines)
                .sum();
            if self.audit.quarantined[feed] < owed {
                let kept = self.audit.quarantined[feed];
                self.breach(format!("{name}: {kept} unreadable lines kept of {owed}"));
            }
        }
        self.audit_sinks();
    }

    fn audit_sinks(&mut self) {
        for sink in 0..self.sinks.len() {
            let waiting = self.store.log.len() - self.store.positions[sink];
            let letters: Ids = self.store.dead[sink].iter().copied().collect();
            let got = &self.sinks[sink].got;
            let lost = self.store.log.iter().take(self.store.positions[sink]);
            let lost = lost.map(|(_, id)| *id).find(|id| !got.contains(id) && !letters.contains(id));
            if let Some(id) = lost {
                self.breach(format!("sink {sink} never got event {id}, and no dead letter tells of it"));
            }
            if waiting > 20 {
                self.breach(format!("sink {sink} is stuck: {waiting} events wait"));
            }
            if let Some(id) = self.sinks[sink].got.iter().find(|id| !self.audit.twice.contains(*id)).copied()
            {
                self.breach(format!("sink {sink} got event {id}, which is not in the store"));
            }
        }
    }
}
