//! How often we knock: each fault lasts a simulated day against one feed behind a real gate, and the requests
//! that reach the other side are counted; then twenty feeds share one locked account, across restarts.

use std::time::Duration;

use super::decide::{By, Leads, Outcome, State, Step, decide};
use crate::clock::{Moment, Time};
use crate::fault::{Code, Fault, Kind, Origin};
use crate::supervisor::backoff::{Overrides, Pace};
use crate::supervisor::gate::{Gate, Permit};
use crate::supervisor::policy::{RULES, judge};
use crate::supervisor::rule::{End, Refused, Verdict};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// Polls of a day at the floor of 300 s, the first one included.
const POLLS: u32 = 289;

fn pace() -> Pace {
    Pace::new(Duration::from_secs(300), false, Overrides::default())
}

/// One feed and the credential it uses; all answers but those of `fault`'s origin are good.
struct Day {
    fault: Fault,
    gate: Gate,
    state: State,
    step: Step,
    now: Time,
    dice: u64,
    logins: u32,
    asks: u32,
    takes: u32,
}

impl Day {
    fn live(fault: Fault, dice: u64) -> Day {
        let mut day = Day {
            fault,
            gate: Gate::new("f"),
            state: State::default(),
            step: Step::Stop,
            now: Time(0),
            dice,
            logins: 0,
            asks: 0,
            takes: 0,
        };
        day.answer(Outcome::Ready);
        for _ in 0..1_000_000 {
            if day.now.0 >= DAY || day.step == Step::Stop || !day.perform() {
                return day;
            }
        }
        panic!("{}: a million steps in a day", day.fault);
    }
    fn moment(&self) -> Moment {
        Moment { now: self.now, dice: self.dice }
    }
    fn answer(&mut self, outcome: Outcome) {
        let decision = decide(self.state.clone(), outcome, self.moment(), &pace());
        (self.state, self.step) = (decision.state, decision.step);
    }
    /// `false` when nothing more happens without a person.
    fn perform(&mut self) -> bool {
        self.now = self.now.plus(Duration::from_millis(50)); // nothing is free
        let outcome = match self.step {
            Step::Wait { until, .. } => self.pass_time(Some(until)),
            Step::Hold { probe } => self.pass_time(probe),
            Step::AwaitGate => match self.gate.permit(self.now) {
                Permit::Closed(closed) => match self.pass_time(closed.until) {
                    Some(_) => return true, // asks the gate again
                    None => None,
                },
                Permit::Go { .. } | Permit::Login => {
                    Some(self.pass_time(self.state.next()).unwrap_or(Outcome::Ready))
                }
            },
            Step::Refresh => match self.token() {
                Ok(_) => Some(Outcome::Refreshed),
                Err(outcome) => Some(outcome),
            },
            Step::Ask => Some(self.ask()),
            Step::Take { .. } => Some(self.take()),
            Step::Aside => Some(Outcome::Nothing),
            Step::Turn => Some(self.local(Outcome::Turned)),
            Step::GiveUp { .. } => Some(self.local(Outcome::GaveUp)),
            Step::Rewind => Some(self.local(Outcome::Rewound)),
            Step::Stop => None,
        };
        outcome.map(|outcome| self.answer(outcome)).is_some()
    }
    fn pass_time(&mut self, until: Option<Time>) -> Option<Outcome> {
        self.now = self.now.max(until?);
        Some(Outcome::Ready)
    }
    fn is(&self, origin: Origin) -> bool {
        self.fault.origin == origin
    }
    /// A runner looks for room before it asks for more; other local faults strike when something is stored.
    fn local(&self, good: Outcome) -> Outcome {
        if self.is(Origin::Local) { Outcome::Fault(self.fault.clone()) } else { good }
    }
    fn token(&mut self) -> Result<u64, Outcome> {
        let shut = |until| Outcome::Shut { until, by: By::Gate };
        match self.gate.permit(self.now) {
            Permit::Go { generation } => return Ok(generation),
            Permit::Closed(closed) => return Err(shut(closed.until)),
            Permit::Login => {}
        }
        let at = self.moment();
        self.gate.begin_login(at, "f", &pace()).map_err(|closed| shut(closed.until))?;
        self.logins += 1;
        if self.is(Origin::Token) {
            self.gate.login_fault(&self.fault, at, &pace());
            return Err(shut(self.gate.holding().and_then(|closed| closed.until)));
        }
        self.gate.login_ok(self.now, Duration::from_secs(1800));
        match self.gate.permit(self.now) {
            Permit::Go { generation } => Ok(generation),
            _ => panic!("a fresh token and no way in"),
        }
    }
    fn ask(&mut self) -> Outcome {
        if self.is(Origin::Local) && self.fault.kind == Kind::DiskFull {
            return Outcome::Fault(self.fault.clone());
        }
        let generation = match self.token() {
            Ok(generation) => generation,
            Err(outcome) => return outcome,
        };
        self.asks += 1;
        if self.is(Origin::Api) {
            self.gate.call_fault("audit", &self.fault, generation, self.moment(), &pace());
            return Outcome::Fault(self.fault.clone());
        }
        self.gate.call_ok("audit", generation);
        Outcome::Listed { files: 2, leads: Leads::Forward, caught_up: true }
    }
    fn take(&mut self) -> Outcome {
        self.takes += 1;
        let faulty = self.is(Origin::Download) || self.is(Origin::Local);
        if faulty { Outcome::Fault(self.fault.clone()) } else { Outcome::Took }
    }
}

fn faults() -> Vec<Fault> {
    let codes = ["", "0001", "0002", "0003", "0009", "0010", "0011", "0012", "0013", "0016", "token_expired"];
    let more =
        ["unauthorized", "invalid_client", "app_forbidden", "validation_error", "server_error", "odd_code"];
    let statuses = [200, 204, 301, 304, 400, 401, 403, 404, 405, 407, 408, 409, 410, 413, 418, 422, 429];
    let later = [500, 501, 502, 503, 505, 511, 599];
    let kinds = [
        Kind::Dns,
        Kind::PrivateAddress,
        Kind::Connect,
        Kind::TlsVerify,
        Kind::TlsHandshake,
        Kind::Interrupted,
        Kind::Timeout,
        Kind::Html,
        Kind::Malformed,
        Kind::TooLarge,
        Kind::TokenMissing,
        Kind::GzipCorrupt,
        Kind::Bomb,
        Kind::LinkRefused,
        Kind::NoProgress,
        Kind::EmptyPages,
        Kind::BeyondRetention,
        Kind::DiskFull,
        Kind::DiskIo,
        Kind::Busy,
        Kind::Conflict,
        Kind::SecretUnreadable,
    ];
    let mut all = Vec::new();
    for origin in [Origin::Token, Origin::Api, Origin::Download, Origin::Local] {
        all.extend(kinds.iter().map(|&kind| Fault::new(origin, kind, "same words")));
        if origin == Origin::Local {
            continue;
        }
        for status in statuses.into_iter().chain(later) {
            for code in codes.into_iter().chain(more) {
                let mut fault = Fault::new(origin, Kind::Status(status), "same words");
                fault.code = Code::new(code);
                fault.attributed = true;
                all.push(fault.clone());
                fault.attributed = false;
                fault.retry_after = Some(Duration::from_secs(1));
                all.push(fault);
            }
        }
    }
    all.extend(of_the_table());
    all
}

/// Each row's own statuses and codes, on each of its surfaces.
fn of_the_table() -> Vec<Fault> {
    let mut all = Vec::new();
    for rule in RULES {
        let statuses = rule.on.statuses().iter().flat_map(|&(low, high)| [low, high]).map(Kind::Status);
        let codes = rule.on.codes().iter().copied().chain([""]);
        for kind in statuses.chain(rule.on.other_kinds().iter().copied()) {
            for code in codes.clone() {
                for &origin in rule.surfaces.iter().filter(|&&origin| origin != Origin::Sink) {
                    let mut fault = Fault::new(origin, kind, "same words");
                    (fault.code, fault.attributed) = (Code::new(code), true);
                    if !all.contains(&fault) {
                        all.push(fault);
                    }
                }
            }
        }
    }
    all
}

/// Requests a day that the row allows to the surface the fault is on. `gated`: the gate paces it, not the feed.
fn allowance(fault: &Fault) -> u32 {
    let probes = |probe: Option<Duration>| probe.map_or(1, |every| 2 + DAY as u32 / every.as_millis() as u32);
    match judge(fault).verdict {
        Verdict::Lockout { .. } => 4,
        // A day and a quarter of an hour pass between the first and the third.
        Verdict::ConfirmThenHalt(_) => 2,
        Verdict::Halt { probe } => probes(probe),
        Verdict::Rewind { probe } => 1 + probes(probe),
        Verdict::Shrink { .. } => 8,
        Verdict::Backoff { last: Some(last), quick, .. } => match last.end {
            End::Halt { probe } => u32::from(last.after) * (1 + u32::from(quick)) + probes(probe),
            End::Exit(_) => u32::from(last.after) + 1,
        },
        Verdict::Backoff { quick, .. } => POLLS * (1 + u32::from(quick)),
        Verdict::Insist { quick, .. } => POLLS * (2 + u32::from(quick)),
        Verdict::Relist { at_once, .. } => POLLS * (1 + u32::from(at_once)),
        Verdict::BackoffThenShrink { .. } => POLLS,
        // A fresh token and the same call with it.
        Verdict::Refresh { spent: None, .. } => POLLS * 2,
        Verdict::Refresh { spent: Some(spent), .. } => match spent.end {
            Refused::Halt => u32::from(spent.generations),
            Refused::Confirm(_) => u32::from(spent.generations) + 1,
        },
        // Two files an ask.
        Verdict::Quarantine | Verdict::SkipWithGap => POLLS * 2,
        _ => POLLS,
    }
}

#[test]
fn a_day_of_every_fault() {
    let mut wrong = Vec::new();
    for fault in faults() {
        for dice in [0, u64::MAX / 3] {
            let day = Day::live(fault.clone(), dice);
            let knocks = match fault.origin {
                Origin::Token => day.logins,
                Origin::Api => day.asks,
                Origin::Download => day.takes,
                Origin::Sink | Origin::Local => 0,
            };
            let rule = judge(&fault);
            let context = format!(
                "{fault} ({}, {:?}): {} logins, {} asks, {} takes",
                rule.name(),
                rule.verdict,
                day.logins,
                day.asks,
                day.takes
            );
            if knocks > allowance(&fault) {
                wrong.push(format!("{context}, allowed {}", allowance(&fault)));
            }
            if day.asks > POLLS * 4 {
                wrong.push(format!("{context}: too many listings"));
            }
            if knocks == 0 && fault.origin != Origin::Local {
                wrong.push(format!("{context}: never tried"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// What twenty feeds do to an account that is locked for good.
#[test]
fn twenty_feeds_on_one_locked_account() {
    const FEEDS: usize = 20;
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut locked = Fault::new(Origin::Token, Kind::Status(401), "");
        (locked.code, locked.attributed) = (Code::new("0010"), true);
        let mut gate = Gate::new("f");
        let mut feeds: Vec<(State, Step)> = (0..FEEDS).map(|_| (State::default(), Step::Stop)).collect();
        let mut knocks: Vec<i64> = Vec::new();
        let mut now = Time(0);
        for (state, step) in &mut feeds {
            let decision =
                decide(state.clone(), Outcome::Ready, Moment { now, dice: random.u64(..) }, &pace());
            (*state, *step) = (decision.state, decision.step);
        }
        while now.0 < DAY {
            now = now.plus(Duration::from_secs(random.u64(1..90)));
            let moment = Moment { now, dice: random.u64(..) };
            if random.u32(0..40) == 0 {
                gate = Gate::restore(&gate.to_text(), moment, &pace()).unwrap();
                for (state, step) in &mut feeds {
                    let state_now = State::restore(&state.to_text()).unwrap();
                    let decision = decide(state_now, Outcome::Ready, moment, &pace());
                    (*state, *step) = (decision.state, decision.step);
                }
            }
            for (state, step) in &mut feeds {
                let outcome = match *step {
                    Step::Wait { until, .. } if now < until => continue,
                    Step::AwaitGate => match gate.permit(now) {
                        Permit::Closed(_) => continue,
                        Permit::Go { .. } | Permit::Login => Outcome::Ready,
                    },
                    Step::Ask => match gate.begin_login(moment, "f", &pace()) {
                        Err(closed) => Outcome::Shut { until: closed.until, by: By::Gate },
                        Ok(_) => {
                            knocks.push(now.0);
                            gate.login_fault(&locked, moment, &pace());
                            let until = gate.holding().and_then(|closed| closed.until);
                            Outcome::Shut { until, by: By::Gate }
                        }
                    },
                    Step::Wait { .. } => Outcome::Ready,
                    other => panic!("{other:?}"),
                };
                let decision = decide(state.clone(), outcome, moment, &pace());
                (*state, *step) = (decision.state, decision.step);
            }
        }
        let gaps: Vec<i64> = knocks.windows(2).map(|pair| (pair[1] - pair[0]) / MINUTE).collect();
        assert_eq!(knocks.len(), 4, "seed {seed}: {gaps:?}");
        assert!(gaps[0] >= 31 && gaps[1] >= 61 && gaps[2] >= 240, "seed {seed}: {gaps:?}");
        assert!(
            feeds.iter().all(|(state, _)| state.name() == "halted" || state.name() == "paused"),
            "seed {seed}"
        );
    }
}
