use super::*;
use crate::fault::{Code, Kind, Origin};

const START: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
const MINUTE: Duration = Duration::from_secs(60);
const HALF_AN_HOUR: Duration = Duration::from_secs(1_800);

fn at(now: Time) -> Moment {
    Moment { now, dice: u64::MAX } // the longest wait of each range
}

fn fault(kind: Kind) -> Fault {
    Fault::new(Origin::Api, kind, "")
}

fn said(origin: Origin, status: u16, code: &str) -> Fault {
    let mut fault = Fault::new(origin, Kind::Status(status), "");
    (fault.code, fault.attributed) = (Code::new(code), !code.is_empty());
    fault
}

fn go(gate: &mut HostGate, now: Time) -> Ticket {
    match gate.pass(now) {
        Pass::Go(ticket) => ticket,
        Pass::Wait(until) => panic!("held until {}", until.rfc3339()),
    }
}

/// How many feeds in a row have to meet it before everybody waits; `None`: four do not suffice.
fn witnesses(fault: &Fault) -> Option<usize> {
    let mut gate = HostGate::default();
    (1..=4).find(|n| {
        let ticket = go(&mut gate, START);
        gate.fault(ticket, &format!("acme/{n}"), fault, at(START), &Pace::default());
        gate.held().is_some()
    })
}

#[test]
fn what_nobody_can_get_through_needs_one_witness_and_what_may_be_one_feeds_trouble_three() {
    for kind in [Kind::Dns, Kind::Connect, Kind::PrivateAddress, Kind::TlsVerify, Kind::TlsHandshake] {
        assert_eq!(witnesses(&fault(kind)), Some(1), "{kind:?}");
    }
    for kind in [Kind::Timeout, Kind::Interrupted, Kind::Html] {
        assert_eq!(witnesses(&fault(kind)), Some(3), "{kind:?}");
    }
    for (origin, status) in [
        (Origin::Api, 503),
        (Origin::Token, 502),
        (Origin::Api, 511),
        (Origin::Api, 302),
        (Origin::Api, 403), // in nobody's form
        (Origin::Download, 500),
        (Origin::Download, 429),
    ] {
        assert_eq!(witnesses(&said(origin, status, "")), Some(3), "{origin:?} {status}");
    }
    for (origin, status, code) in [
        (Origin::Api, 500, "err_internal"),
        (Origin::Api, 403, "app_forbidden"),
        (Origin::Api, 403, "0016"),
        (Origin::Token, 401, "0010"),
        (Origin::Api, 429, "err_xdk_rate_limit"),
        (Origin::Download, 403, ""),
        (Origin::Download, 404, ""),
    ] {
        assert_eq!(witnesses(&said(origin, status, code)), None, "{origin:?} {status}/{code}");
    }
    assert_eq!(witnesses(&Fault::new(Origin::Local, Kind::DiskFull, "")), None);
}

#[test]
fn one_feed_is_no_three_and_a_good_answer_in_between_starts_the_count_again() {
    let (mut gate, pace) = (HostGate::default(), Pace::default());
    for n in 0..20 {
        let now = START.plus(MINUTE * n);
        let ticket = go(&mut gate, now);
        gate.fault(ticket, "acme/audit", &fault(Kind::Timeout), at(now), &pace);
    }
    assert!(gate.held().is_none(), "however often one feed meets it");
    for who in ["acme/a", "acme/b", "bolt/c", "bolt/d"] {
        let ticket = go(&mut gate, START.plus(HALF_AN_HOUR));
        gate.answered(ticket, START.plus(HALF_AN_HOUR));
        gate.fault(ticket, who, &fault(Kind::Timeout), at(START.plus(HALF_AN_HOUR)), &pace);
    }
    assert!(gate.held().is_none(), "others get answers");
}

/// Ten thousand feeds, each asking every five minutes, and a host that is away for a day.
#[test]
fn a_host_that_is_away_for_a_day_is_looked_at_by_one_request_at_a_time() {
    for (kind, most) in
        [(Kind::Connect, 300), (Kind::Dns, 300), (Kind::TlsVerify, 97), (Kind::TlsHandshake, 25)]
    {
        let (mut gate, pace) = (HostGate::default(), Pace::default());
        let mut looks = 0;
        for tick in 0..24 * 60 * 60 / 10 {
            let now = START.plus(Duration::from_secs(10) * tick);
            for feed in 0..334 {
                if let Pass::Go(ticket) = gate.pass(now) {
                    looks += 1;
                    gate.fault(ticket, &format!("t/{feed}"), &fault(kind), at(now), &pace);
                }
            }
        }
        assert!((20..=most).contains(&looks), "{kind:?}: {looks} looks in a day");
        let back = gate.held().map(|held| held.until).unwrap();
        let ticket = go(&mut gate, back);
        assert!(matches!(gate.pass(back), Pass::Wait(_)), "one looks, the others wait for what it finds");
        assert!(matches!(gate.answered(ticket, back), Turn::Opened(held) if held.since == START));
        assert!(gate.is_back_since(back) && !gate.is_back_since(back.plus(MINUTE)));
        go(&mut gate, back);
        go(&mut gate, back);
    }
}

#[test]
fn what_may_be_held_too_widely_is_held_for_a_cycle_at_most() {
    let (mut gate, pace) = (HostGate::default(), Pace::default());
    let mut now = START;
    for round in 0..20 {
        for who in 0..3 {
            if let Pass::Go(ticket) = gate.pass(now) {
                gate.fault(ticket, &format!("t/{who}"), &said(Origin::Api, 503, ""), at(now), &pace);
            }
        }
        let until = gate.held().expect("three found it away").until;
        assert!(until.since(now) <= MIN_POLL_INTERVAL, "round {round}");
        now = until;
    }
}

/// Behind a resolver that fails now and then the same outage looks now like one fault and now like another.
#[test]
fn a_host_that_fails_in_two_ways_by_turns_is_one_outage() {
    let (mut gate, pace) = (HostGate::default(), Pace::default());
    let (mut now, mut looks) = (START, 0_u32);
    while now < START.plus(HALF_AN_HOUR * 2) {
        let kind = if looks % 2 == 0 { Kind::Dns } else { Kind::Connect };
        let ticket = go(&mut gate, now);
        gate.fault(ticket, "acme/audit", &fault(kind), at(now), &pace);
        looks += 1;
        let held = gate.held().unwrap();
        assert_eq!((held.since, u32::from(held.failures)), (START, looks));
        now = held.until;
    }
    assert!(looks <= 15, "{looks} looks in an hour");
}

#[test]
fn that_a_host_is_back_is_noticed_within_a_cycle() {
    for kind in [Kind::Dns, Kind::Connect] {
        let (mut gate, pace, mut now) = (HostGate::default(), Pace::default(), START);
        for _ in 0..300 {
            let ticket = go(&mut gate, now);
            gate.fault(ticket, "acme/audit", &fault(kind), at(now), &pace);
            let until = gate.held().unwrap().until;
            assert!(until.since(now) <= MIN_POLL_INTERVAL, "{kind:?}: {:?}", until.since(now));
            let rule = pace.judge(&fault(kind));
            let Verdict::Backoff { wait, .. } = rule.verdict else { panic!("{rule:?}") };
            assert!(
                pace.after(wait, 200, at(now)) <= MIN_POLL_INTERVAL,
                "a feed that is alone with its host"
            );
            now = until;
        }
    }
}

#[test]
fn resume_lets_one_look_at_once() {
    let (mut gate, pace) = (HostGate::default(), Pace::default());
    assert!(!gate.resume(START), "nothing is held");
    let ticket = go(&mut gate, START);
    gate.fault(ticket, "acme/audit", &fault(Kind::TlsHandshake), at(START), &pace);
    assert!(matches!(gate.pass(START.plus(MINUTE)), Pass::Wait(_)));
    assert!(gate.resume(START.plus(MINUTE)));
    go(&mut gate, START.plus(MINUTE));
    assert!(matches!(gate.pass(START.plus(MINUTE)), Pass::Wait(_)), "one, not all");
}

#[test]
fn a_look_whose_outcome_never_comes_does_not_close_the_gate_for_good() {
    let (mut gate, pace) = (HostGate::default(), Pace::default());
    let ticket = go(&mut gate, START);
    gate.fault(ticket, "acme/audit", &fault(Kind::TlsVerify), at(START), &pace);
    let due = gate.held().unwrap().until;
    go(&mut gate, due); // its task dies
    assert_eq!(gate.pass(due.plus(MINUTE)), Pass::Wait(due.plus(REQUEST_LEASE)));
    let second = go(&mut gate, due.plus(REQUEST_LEASE));
    gate.not_sent(second); // its credential was closed
    go(&mut gate, due.plus(REQUEST_LEASE));
}

// --- every order of events up to a depth --------------------------------------------------------------------

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Some feed wants to ask.
    Ask,
    /// What came of the oldest, or of the newest, request under way.
    Good {
        newest: bool,
    },
    Away {
        newest: bool,
    },
    Perhaps {
        newest: bool,
        who: u8,
    },
    Unsent,
    Later,
    Resume,
}

const EVENTS: [Event; 11] = [
    Event::Ask,
    Event::Good { newest: false },
    Event::Good { newest: true },
    Event::Away { newest: false },
    Event::Away { newest: true },
    Event::Perhaps { newest: true, who: 0 },
    Event::Perhaps { newest: true, who: 1 },
    Event::Perhaps { newest: true, who: 2 },
    Event::Unsent,
    Event::Later,
    Event::Resume,
];

#[derive(Clone, Default)]
struct World {
    gate: HostGate,
    now: Time,
    under_way: Vec<Ticket>,
    story: Vec<Event>,
}

impl World {
    fn take(&mut self, newest: bool) -> Option<Ticket> {
        if newest {
            self.under_way.pop()
        } else {
            (!self.under_way.is_empty()).then(|| self.under_way.remove(0))
        }
    }

    /// `false`: nothing of the kind can happen now.
    fn happens(&mut self, event: Event) -> bool {
        let (held, epoch) = (self.gate.held().cloned(), self.gate.epoch);
        let (story, pace) = (self.story.clone(), Pace::default());
        let ticket = match event {
            Event::Ask => {
                match self.gate.pass(self.now) {
                    Pass::Go(ticket) => {
                        assert!(held.is_none() != ticket.probe, "{story:?}");
                        assert!(held.is_none_or(|held| held.until <= self.now), "too early: {story:?}");
                        let looking =
                            self.under_way.iter().filter(|known| known.probe && known.epoch == epoch);
                        assert!(!ticket.probe || looking.count() == 0, "two look: {story:?}");
                        self.under_way.push(ticket);
                    }
                    Pass::Wait(until) => {
                        assert!(until > self.now && held.is_some(), "waits for nothing: {story:?}");
                    }
                }
                return self.under_way.len() < 4;
            }
            Event::Later => {
                self.now = self.gate.held().map_or(self.now.plus(MINUTE), |held| held.until.max(self.now));
                return true;
            }
            Event::Resume => {
                // a second look by an operator's wish is one he asked for
                self.under_way.retain(|ticket| !ticket.probe);
                return self.gate.resume(self.now);
            }
            Event::Good { newest } | Event::Away { newest } | Event::Perhaps { newest, .. } => {
                self.take(newest)
            }
            Event::Unsent => self.take(true),
        };
        let Some(ticket) = ticket else { return false };
        let (before, stale) = (format!("{:?}", self.gate), ticket.epoch != epoch);
        match event {
            Event::Good { .. } => {
                self.gate.answered(ticket, self.now);
                assert!(stale || self.gate.held().is_none(), "it answered: {story:?}");
            }
            Event::Away { .. } => {
                self.gate.fault(ticket, "a/x", &fault(Kind::Connect), at(self.now), &pace);
                assert!(self.gate.held().is_some() || stale, "it is away: {story:?}");
            }
            Event::Perhaps { who, .. } => {
                let turn =
                    self.gate.fault(ticket, &format!("t/{who}"), &fault(Kind::Timeout), at(self.now), &pace);
                assert!(
                    held.is_some() || !matches!(turn, Turn::Closed(_)) || self.seen_by_three(),
                    "{story:?}"
                );
            }
            _ => self.gate.not_sent(ticket),
        }
        assert!(!stale || format!("{:?}", self.gate) == before, "an old outcome changed it: {story:?}");
        true
    }

    fn seen_by_three(&self) -> bool {
        let seen =
            |n| self.story.iter().any(|event| matches!(event, Event::Perhaps { who, .. } if *who == n));
        (0..3).filter(|n| seen(*n)).count() >= 2 // the third is happening now
    }

    /// Wherever it stands: a host that answers from now on is asked by everybody before long.
    fn recovers(&self) {
        let mut world = self.clone();
        world.now = world.gate.held().map_or(world.now, |held| held.until.max(world.now)).plus(REQUEST_LEASE);
        let ticket = go(&mut world.gate, world.now);
        world.gate.answered(ticket, world.now);
        assert!(world.gate.held().is_none(), "stuck after {:?}", self.story);
        go(&mut world.gate, world.now);
        go(&mut world.gate, world.now);
    }

    fn explore(&self, depth: u8, visited: &mut u64) {
        *visited += 1;
        self.recovers();
        for event in EVENTS.iter().filter(|_| depth > 0) {
            let mut next = self.clone();
            next.story.push(*event);
            if next.happens(*event) {
                next.explore(depth - 1, visited);
            }
        }
    }
}

#[test]
fn no_order_of_events_lets_two_look_or_gets_it_stuck() {
    let mut visited = 0;
    World { now: START, ..World::default() }.explore(7, &mut visited);
    assert!(visited > 20_000, "{visited} states");
}
