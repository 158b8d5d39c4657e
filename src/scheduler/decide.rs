//! What a feed does next. The runner performs a [`Step`], reports the [`Outcome`], and [`decide`] answers with
//! the next step: no clock, no network, no store, so that all of it can be exhausted by a model.
//!
//! A *cycle* is one visit: from the first request to the moment the feed is caught up or gives up for now; the
//! next cycle starts one polling interval after this one *started*. Within a cycle only three things are tried
//! again: faults of transport (twice), a fresh listing for expired links (three times), a fresh token (once).
//! Everything else waits for the next cycle. The cursor moves only in `Turn` (a listing whose files are all
//! stored), in `Ask` for feeds whose page is stored with it, and in `Rewind`; a page in hand is dropped and asked
//! for again whenever a cycle ends early, because the store remembers which of its files are done.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

pub use super::state::{By, Decision, Leads, Outcome, State, Step, Why};
use super::state::{Listing, Phase, Rest, Trouble};
use crate::clock::{Moment, Time};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{
    MAX_EMPTY_PAGES, MAX_HALVINGS, MAX_QUICK_TRIES, MAX_SIDE_REQUESTS, MIN_QUOTA_WAIT, PAGES_BEFORE_GROWING,
};
use crate::supervisor::backoff::Pace;
use crate::supervisor::policy::by_id;
use crate::supervisor::rule::{CYCLES, DAY, End, Ladder, Patience, Rule, Verdict};

/// The next step after `outcome`. Pure and total: an outcome that does not belong to the last step ends the
/// cycle, which is always safe.
pub fn decide(state: State, outcome: Outcome, at: Moment, pace: &Pace) -> Decision {
    // a clock that was set back since the cycle began: no wait may outlast that
    let ahead = state.cycle.map_or(Duration::ZERO, |began| began.since(at.now));
    let state = if ahead.is_zero() { state } else { state.set_back(ahead) };
    let d = Deciding { s: state, at, pace };
    match (outcome, d.s.phase) {
        (Outcome::Stopping, _) | (_, Phase::Stopped) => d.stop(None),
        (Outcome::Woken, _) => d.start_over(),
        (Outcome::Ready, phase) => d.ready(phase),
        (Outcome::Listed { files, leads, caught_up }, Phase::Asking) => d.listed(files, leads, caught_up),
        (Outcome::Stored { records, leads, caught_up }, Phase::Asking) => d.stored(records, leads, caught_up),
        (Outcome::Nothing, Phase::Asking) => d.finish(true, None),
        (Outcome::Took, Phase::Taking(file)) | (Outcome::GaveUp, Phase::GivingUp(file)) => d.file_done(file),
        (Outcome::Turned, Phase::Turning) => d.turned(),
        (Outcome::Refreshed, Phase::Refreshing) | (Outcome::Rewound, Phase::Rewinding) => d.ask(),
        (Outcome::Shut { until, by }, _) => d.shut(until, by),
        (Outcome::Fault(fault), _) => d.fault(&fault),
        _ => d.end_cycle(false, None),
    }
}

struct Deciding<'a> {
    s: State,
    at: Moment,
    pace: &'a Pace,
}

impl Deciding<'_> {
    fn decision(self, step: Step, rule: Option<&'static Rule>) -> Decision {
        Decision { state: self.s, step, rule }
    }
    fn go(mut self, phase: Phase, step: Step, rule: Option<&'static Rule>) -> Decision {
        self.s.phase = phase;
        self.s.rest = Rest::None;
        self.decision(step, rule)
    }
    fn stop(self, rule: Option<&'static Rule>) -> Decision {
        self.go(Phase::Stopped, Step::Stop, rule)
    }
    fn ask(self) -> Decision {
        self.ask_as(None)
    }
    fn ask_because(self, rule: &'static Rule) -> Decision {
        self.ask_as(Some(rule))
    }
    fn ask_as(mut self, rule: Option<&'static Rule>) -> Decision {
        self.s.page = None;
        let step = if self.s.aside > 0 { Step::Aside } else { Step::Ask };
        self.go(Phase::Asking, step, rule)
    }
    /// Waits and then goes on with the same phase.
    fn pause(mut self, until: Time, why: Why, rule: Option<&'static Rule>) -> Decision {
        self.s.rest = Rest::Wait { until, why };
        self.decision(Step::Wait { until, why }, rule)
    }

    // --- cycles -------------------------------------------------------------------------------------------

    fn begin_cycle(mut self) -> Decision {
        self.s.cycle = Some(self.at.now);
        (self.s.quick, self.s.relisted, self.s.empty, self.s.refreshed) = (0, 0, 0, false);
        self.s.aside = 0;
        self.ask()
    }
    fn start_over(mut self) -> Decision {
        (self.s.failures, self.s.halvings, self.s.rewound, self.s.trouble) = (0, 0, false, None);
        self.begin_cycle()
    }
    /// One interval after this cycle began, but never in the past, and never more than an interval away: the clock
    /// may have been set back since.
    fn next_poll(&self) -> Time {
        let (now, interval) = (self.at.now, self.pace.interval);
        self.s.cycle.map_or(now, |began| began.plus(interval)).max(now).min(now.plus(interval))
    }
    /// Once the main position has nothing more to read, the side has its turn.
    fn end_cycle(mut self, caught_up: bool, rule: Option<&'static Rule>) -> Decision {
        if !caught_up || self.s.aside > 0 || rule.is_some() {
            return self.finish(caught_up, rule);
        }
        self.s.caught_up = true;
        self.s.rewound = false;
        self.aside()
    }
    fn aside(mut self) -> Decision {
        if self.s.aside >= MAX_SIDE_REQUESTS {
            return self.finish(true, None);
        }
        self.s.aside += 1;
        self.ask()
    }
    fn finish(mut self, caught_up: bool, rule: Option<&'static Rule>) -> Decision {
        self.s.caught_up = caught_up;
        self.s.rewound &= !caught_up;
        self.s.page = None;
        self.s.phase = Phase::Idle;
        let until = self.next_poll();
        self.pause(until, Why::Poll, rule)
    }
    fn ready(mut self, phase: Phase) -> Decision {
        match (phase, self.s.rest) {
            (Phase::Start, Rest::Held { probe }) if probe.is_none_or(|probe| self.at.now < probe) => {
                self.s.phase = Phase::Idle;
                self.decision(Step::Hold { probe }, None)
            }
            (Phase::Start, Rest::Wait { until, why }) if self.at.now < until => {
                self.s.phase = Phase::Idle;
                self.decision(Step::Wait { until, why }, None)
            }
            (Phase::Start, Rest::None) if self.s.cycle.is_none() && !self.pace.spread.is_zero() => {
                let spread = self.at.between(Duration::ZERO, self.pace.spread);
                self.s.phase = Phase::Idle;
                let until = self.at.now.plus(spread);
                self.pause(until, Why::Spread, None)
            }
            // The credential was refused in this cycle: even when the gate opens at once, the next call is the
            // next cycle's, so that no gate can make us spin.
            (Phase::Idle, Rest::Gate { .. }) if self.at.now < self.next_poll() => {
                self.decision(Step::AwaitGate, None)
            }
            (_, Rest::Held { probe: None }) => self.decision(Step::Hold { probe: None }, None),
            (Phase::Start | Phase::Idle | Phase::Stopped, _) => self.begin_cycle(),
            (Phase::Asking | Phase::Refreshing, _) => self.ask(),
            (Phase::Taking(file), _) => self.go(phase, Step::Take { file }, None),
            (Phase::GivingUp(file), _) => self.go(phase, Step::GiveUp { file }, None),
            (Phase::Turning, _) => self.go(phase, Step::Turn, None),
            (Phase::Rewinding, _) => self.go(phase, Step::Rewind, None),
        }
    }

    // --- progress -----------------------------------------------------------------------------------------

    fn progress(&mut self) {
        self.s.failures = 0;
        // what is found up to date says nothing about a file that cannot be read beside it
        self.s.trouble = self.s.trouble.filter(|trouble| trouble.aside != (self.s.aside > 0));
        self.s.stumbling = None;
    }
    /// A whole page is stored. After so many at a reduced size the next larger one is tried again.
    fn good_page(&mut self) {
        self.progress();
        if self.s.halvings > 0 {
            self.s.good += 1;
            if self.s.good >= PAGES_BEFORE_GROWING {
                (self.s.good, self.s.halvings) = (0, self.s.halvings - 1);
            }
        }
    }
    fn listed(mut self, files: u16, leads: Leads, caught_up: bool) -> Decision {
        self.s.page = Some(Listing { files, leads, caught_up });
        if files > 0 {
            return self.go(Phase::Taking(0), Step::Take { file: 0 }, None);
        }
        self.progress();
        self.page_done()
    }
    fn file_done(mut self, file: u16) -> Decision {
        self.progress();
        let next = file.saturating_add(1);
        match self.s.page {
            Some(page) if next < page.files => self.go(Phase::Taking(next), Step::Take { file: next }, None),
            Some(_) => self.page_done(),
            None => self.end_cycle(false, None),
        }
    }
    /// All files of the listing are stored; its stop rules are those of mimecast-api.md §2.5.
    fn page_done(self) -> Decision {
        match self.s.page {
            Some(page) if self.s.aside > 0 && page.leads != Leads::Forward => self.aside(),
            Some(Listing { leads: Leads::Forward, .. }) => self.go(Phase::Turning, Step::Turn, None),
            Some(page) => self.page_leads_nowhere(page.files > 0, page.leads, page.caught_up),
            None => self.end_cycle(false, None),
        }
    }
    fn turned(mut self) -> Decision {
        self.good_page();
        match self.s.page {
            Some(page) => self.moved_on(page.files > 0, page.caught_up),
            None => self.end_cycle(false, None),
        }
    }
    fn stored(mut self, records: u64, leads: Leads, caught_up: bool) -> Decision {
        self.good_page();
        match leads {
            Leads::Forward => self.moved_on(records > 0, caught_up),
            Leads::Same | Leads::Missing => self.page_leads_nowhere(records > 0, leads, caught_up),
        }
    }
    /// The cursor moved: on to the next page, unless this was the last or the tenth empty one.
    fn moved_on(mut self, had_data: bool, caught_up: bool) -> Decision {
        if self.s.aside > 0 {
            return self.aside();
        }
        if caught_up {
            return self.end_cycle(true, None);
        }
        self.s.empty = self.s.empty.saturating_add(u8::from(!had_data));
        if u32::from(self.s.empty) >= MAX_EMPTY_PAGES {
            return self.end_cycle(false, by_id("X12"));
        }
        self.ask()
    }
    /// Nothing after this page: the end, unless there was data and the service insists on the same position.
    fn page_leads_nowhere(self, had_data: bool, leads: Leads, caught_up: bool) -> Decision {
        let looping = had_data && leads == Leads::Same && !caught_up;
        self.end_cycle(!looping, if looping { by_id("X11") } else { None })
    }

    // --- trouble ------------------------------------------------------------------------------------------

    fn shut(mut self, until: Option<Time>, by: By) -> Decision {
        if self.s.phase == Phase::Refreshing {
            self.s.phase = Phase::Asking;
        }
        match (by, until) {
            (By::Gate, until) => self.await_gate(until, None),
            (By::Quota | By::Host, until) => {
                let soonest = self.at.now.plus(self.pace.scaled(MIN_QUOTA_WAIT));
                let until = until.unwrap_or(soonest).max(soonest);
                let crowd = if by == By::Host { self.pace.spread } else { Duration::ZERO };
                let until = until.plus(self.at.between(Duration::ZERO, crowd)); // one of many may be first
                self.pause(until, if by == By::Quota { Why::Throttled } else { Why::Backoff }, None)
            }
        }
    }
    fn await_gate(mut self, until: Option<Time>, rule: Option<&'static Rule>) -> Decision {
        if matches!(self.s.phase, Phase::Refreshing | Phase::Start) {
            self.s.phase = Phase::Asking;
        }
        self.s.rest = Rest::Gate { until };
        self.decision(Step::AwaitGate, rule)
    }

    fn fault(mut self, fault: &Fault) -> Decision {
        let rule = self.pace.judge(fault);
        if rule.is_for_gate(fault.origin) {
            return self.credential_fault(fault, rule);
        }
        match rule.verdict {
            Verdict::Backoff { wait, quick, last } => {
                // a look at what was given up is one request, without another one at its heels
                match last.filter(|last| self.s.failures >= last.after).map(|last| last.end) {
                    Some(End::Halt { probe }) => self.hold(fault, probe, rule),
                    Some(End::Exit(_)) => self.stop(Some(rule)),
                    None if self.may_try_quickly(quick) => self.quickly(rule),
                    None => self.fail(fault, wait, rule),
                }
            }
            Verdict::BackoffThenShrink { wait, after } => self.stumble(fault, wait, after, rule),
            Verdict::PauseFor(wait) => self.fail(fault, wait, rule),
            Verdict::Relist { at_once, wait, patience } => self.relist(fault, rule, at_once, wait, patience),
            Verdict::Insist { quick, tries, over, wait } => {
                self.insist(fault, rule, (quick, tries, over, wait))
            }
            // what may wait must not keep the feed from what may not
            Verdict::Rewind { .. } | Verdict::Shrink { .. } if self.s.aside > 0 => {
                self.finish(true, Some(rule))
            }
            // a refused cursor is given up once; one that is too old may be moved once in every cycle
            Verdict::Rewind { .. } if self.s.rewound && fault.origin == Origin::Local => {
                self.s.rewound = false;
                self.fail(fault, CYCLES, rule)
            }
            Verdict::Rewind { probe } if self.s.rewound || fault.from_start => self.hold(fault, probe, rule),
            Verdict::Rewind { .. } => {
                self.s.rewound = true;
                self.go(Phase::Rewinding, Step::Rewind, Some(rule))
            }
            Verdict::Shrink { .. } if self.s.halvings >= MAX_HALVINGS => self.hold(fault, Some(DAY), rule),
            Verdict::Shrink { wait } => {
                (self.s.halvings, self.s.good) = (self.s.halvings + 1, 0);
                self.fail(fault, wait, rule)
            }
            Verdict::Halt { probe } => self.hold(fault, probe, rule),
            Verdict::Quarantine | Verdict::SkipWithGap => self.give_up(fault, rule),
            Verdict::StopPaging => {
                let read = rule.title == "nothing_there" || self.s.aside > 0;
                self.finish(read, Some(rule))
            }
            Verdict::PauseIntake { check } => {
                let until = self.at.now.plus(self.pace.scaled(check));
                if fault.sent_id.is_some() {
                    // found in an answer: to look again means to ask again, and that is the next poll's
                    (self.s.page, self.s.phase) = (None, Phase::Idle);
                    let until = until.max(self.next_poll());
                    return self.pause(until, Why::Paused, Some(rule));
                }
                self.pause(until, Why::Paused, Some(rule))
            }
            Verdict::Exit(_) => self.stop(Some(rule)),
            Verdict::Lockout { .. } | Verdict::ConfirmThenHalt(_) => self.await_gate(None, Some(rule)),
            Verdict::Refresh { wait, .. } => self.fail(fault, wait, rule),
            Verdict::Proceed | Verdict::Bisect { .. } | Verdict::DeadLetter => self.fail(fault, CYCLES, rule),
        }
    }
    /// The gate has already heard of it and says when to go on; only the fresh token is ours to ask for, once.
    fn credential_fault(mut self, fault: &Fault, rule: &'static Rule) -> Decision {
        match rule.verdict {
            Verdict::Refresh { .. } if fault.origin == Origin::Api && !self.s.refreshed => {
                self.s.refreshed = true;
                self.go(Phase::Refreshing, Step::Refresh, Some(rule))
            }
            Verdict::Refresh { wait, .. } => self.fail(fault, wait, rule),
            verdict => {
                self.s.page = None;
                self.s.phase = Phase::Idle;
                let until = (verdict != Verdict::Halt { probe: None }).then(|| self.next_poll());
                self.await_gate(until, Some(rule))
            }
        }
    }
    fn may_try_quickly(&self, quick: u8) -> bool {
        self.s.quick < quick.min(MAX_QUICK_TRIES)
    }
    fn quickly(mut self, rule: &'static Rule) -> Decision {
        self.s.quick += 1;
        let until = self.at.now.plus(self.pace.before_quick_try(self.s.quick, self.at));
        self.pause(until, Why::Backoff, Some(rule))
    }
    /// Not in this cycle. A local fault does not cost the page in hand: no request has to be made again.
    fn fail(mut self, fault: &Fault, wait: Ladder, rule: &'static Rule) -> Decision {
        self.s.failures = self.s.failures.saturating_add(1);
        let soonest = self.at.now.plus(self.pace.after_failure(fault, wait, self.s.failures, self.at));
        if fault.origin == Origin::Local && fault.kind != Kind::Conflict && self.s.phase != Phase::Asking {
            return self.pause(soonest, Why::Backoff, Some(rule));
        }
        let until = soonest.max(self.next_poll());
        let why = if let Verdict::PauseFor(_) = rule.verdict { Why::Throttled } else { Why::Backoff };
        self.s.page = None;
        self.s.phase = Phase::Idle;
        self.pause(until, why, Some(rule))
    }
    fn hold(mut self, fault: &Fault, probe: Option<Duration>, rule: &'static Rule) -> Decision {
        if self.s.aside > 0 {
            return self.finish(true, Some(rule)); // side work rests; what happens now goes on
        }
        let probe = self.pace.probe(fault, probe).map(|every| self.at.now.plus(every));
        self.s.page = None;
        self.s.phase = Phase::Idle;
        self.s.rest = Rest::Held { probe };
        self.decision(Step::Hold { probe }, Some(rule))
    }
    /// One position at which the service fails for hours may be one page it cannot make: a smaller one may pass.
    fn stumble(mut self, fault: &Fault, wait: Ladder, after: Duration, rule: &'static Rule) -> Decision {
        let since = *self.s.stumbling.get_or_insert(self.at.now);
        if self.at.now.since(since) >= self.pace.scaled(after) && self.s.halvings < MAX_HALVINGS {
            (self.s.halvings, self.s.good) = (self.s.halvings + 1, 0);
        }
        self.fail(fault, wait, rule)
    }
    /// A fresh listing brings fresh links. What is refused under all of them for long is given up: behind it wait
    /// files that would age out.
    fn relist(
        mut self,
        fault: &Fault,
        rule: &'static Rule,
        at_once: u8,
        wait: Ladder,
        patience: Option<Patience>,
    ) -> Decision {
        let mark = mark(&[rule.id]); // the words of such answers carry times and ids
        let known = self.troubled(mark);
        let lost = patience.is_some_and(|p| {
            known.count >= p.tries && self.at.now.since(known.since) >= self.pace.scaled(p.over)
        });
        if lost {
            self.give_up(fault, rule)
        } else if self.s.relisted < at_once {
            self.s.relisted += 1;
            self.ask_because(rule)
        } else {
            self.fail(fault, wait, rule)
        }
    }
    /// Counts one more failure of the same kind.
    fn troubled(&mut self, mark: u64) -> Trouble {
        let known = self.s.trouble.filter(|known| known.mark == mark);
        let aside = self.s.aside > 0;
        let known = known.unwrap_or(Trouble { mark, count: 0, since: self.at.now, aside });
        let known = Trouble { count: known.count.saturating_add(1), ..known };
        self.s.trouble = Some(known);
        known
    }
    fn insist(
        mut self,
        fault: &Fault,
        rule: &'static Rule,
        (quick, tries, over, wait): (u8, u8, Duration, Ladder),
    ) -> Decision {
        // the words name the file and the hash of its bytes
        let known =
            self.troubled(mark(&[rule.id, &format!("{:?}", fault.kind), fault.code_str(), &fault.detail]));
        if known.count >= tries && self.at.now.since(known.since) >= self.pace.scaled(over) {
            self.give_up(fault, rule)
        } else if self.may_try_quickly(quick) {
            self.quickly(rule)
        } else {
            self.fail(fault, wait, rule)
        }
    }
    fn give_up(self, fault: &Fault, rule: &'static Rule) -> Decision {
        match self.s.phase {
            Phase::Taking(file) => self.go(Phase::GivingUp(file), Step::GiveUp { file }, Some(rule)),
            // the answer itself is the file
            Phase::Asking if fault.origin == Origin::Download => {
                self.go(Phase::GivingUp(0), Step::GiveUp { file: 0 }, Some(rule))
            }
            _ => self.fail(fault, CYCLES, rule),
        }
    }
}

/// The same trouble leaves the same mark. Only compared, never shown; a changed hash function after an update only
/// starts the count again.
fn mark(parts: &[&str]) -> u64 {
    let mut hash = DefaultHasher::new();
    parts.hash(&mut hash);
    hash.finish()
}
