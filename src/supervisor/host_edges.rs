//! The edges of a host's gate: whose outcome counts, and how long the wait is.

use super::*;
use crate::fault::{Kind, Origin};

const START: Time = Time(1_767_259_800_000);
const TICK: Duration = Duration::from_millis(1);

fn at(now: Time) -> Moment {
    Moment { now, dice: 0 }
}
fn met(kind: Kind) -> Fault {
    Fault::new(Origin::Api, kind, "")
}
fn go(gate: &mut HostGate, now: Time) -> Ticket {
    match gate.pass(now) {
        Pass::Go(ticket) => ticket,
        Pass::Wait(until) => panic!("held until {}", until.rfc3339()),
    }
}
fn fails(gate: &mut HostGate, ticket: Ticket, who: &str, kind: Kind, now: Time) -> Turn {
    gate.fault(ticket, who, &met(kind), at(now), &Pace::default())
}
/// A gate that was closed at the start, and when its next look is due.
fn closed() -> (HostGate, Time) {
    let mut gate = HostGate::default();
    let ticket = go(&mut gate, START);
    assert!(matches!(fails(&mut gate, ticket, "acme/a", Kind::Connect, START), Turn::Closed(true)));
    let until = gate.held().unwrap().until;
    (gate, until)
}

#[test]
fn a_request_is_overtaken_once_another_found_the_host_away() {
    let mut gate = HostGate::default();
    let (first, second) = (go(&mut gate, START), go(&mut gate, START));
    assert_eq!(gate.overtaken(second), None);
    fails(&mut gate, first, "acme/a", Kind::Connect, START);
    let until = gate.held().unwrap().until;
    assert_eq!(gate.overtaken(second), Some(until));
    let look = go(&mut gate, until);
    assert_eq!(gate.overtaken(look), None, "the one that looks is sent");
    gate.answered(look, until);
    assert_eq!(gate.overtaken(second), None, "the host is back");
}

#[test]
fn a_clock_that_is_set_back_ends_the_wait_once() {
    let (mut gate, until) = closed();
    let look = go(&mut gate, until);
    let before = START.minus(Duration::from_secs(365 * 86_400));
    let again = go(&mut gate, before);
    assert!(again.probe && look.probe, "the look of the old time holds nobody up");
    fails(&mut gate, again, "acme/a", Kind::Connect, before);
    let until = gate.held().unwrap().until;
    assert!(until > before && until < before.plus(Duration::from_secs(3_600)));
    assert_eq!(gate.pass(before.plus(TICK)), Pass::Wait(until));
}

#[test]
fn two_requests_that_meet_one_outage_count_as_one_failure() {
    let mut gate = HostGate::default();
    let (first, second) = (go(&mut gate, START), go(&mut gate, START));
    fails(&mut gate, first, "acme/a", Kind::Connect, START);
    assert!(matches!(fails(&mut gate, second, "acme/b", Kind::Connect, START), Turn::Nothing));
    assert_eq!(gate.held().unwrap().failures, 1);
}

#[test]
fn what_was_asked_before_the_outage_says_nothing_after_it() {
    let mut gate = HostGate::default();
    let (first, old) = (go(&mut gate, START), go(&mut gate, START));
    fails(&mut gate, first, "acme/a", Kind::Connect, START);
    let due = gate.held().unwrap().until;
    let look = go(&mut gate, due);
    assert!(matches!(gate.answered(look, due), Turn::Opened(_)));
    assert!(matches!(fails(&mut gate, old, "acme/b", Kind::Connect, due), Turn::Nothing));
    assert!(gate.held().is_none());
}

#[test]
fn a_late_look_says_nothing_after_another_found_the_host_back() {
    let (mut gate, due) = closed();
    let late = go(&mut gate, due);
    let now = due.plus(REQUEST_LEASE);
    let look = go(&mut gate, now);
    gate.answered(look, now);
    assert!(matches!(fails(&mut gate, late, "acme/b", Kind::Connect, now), Turn::Nothing));
    assert!(gate.held().is_none());
}

#[test]
fn a_look_of_before_that_was_not_sent_lets_no_second_one_go() {
    let (mut gate, due) = closed();
    let old = go(&mut gate, due);
    let now = due.plus(REQUEST_LEASE);
    let look = go(&mut gate, now);
    fails(&mut gate, look, "acme/b", Kind::Connect, now);
    let due = gate.held().unwrap().until;
    let third = go(&mut gate, due);
    gate.not_sent(old);
    assert!(matches!(gate.pass(due), Pass::Wait(_)), "one looks already");
    fails(&mut gate, old, "acme/b", Kind::DiskFull, due);
    assert!(matches!(gate.pass(due), Pass::Wait(_)), "nor does what shows nothing of the host");
    gate.not_sent(third);
    go(&mut gate, due);
}

#[test]
fn what_a_feed_found_counts_for_ten_minutes() {
    for (after, held) in [(HOST_WITNESS_MEMORY - TICK, true), (HOST_WITNESS_MEMORY, false)] {
        let mut gate = HostGate::default();
        for (who, now) in [("acme/a", START), ("acme/b", START), ("acme/c", START.plus(after))] {
            let ticket = go(&mut gate, now);
            fails(&mut gate, ticket, who, Kind::Timeout, now);
        }
        assert_eq!(gate.held().is_some(), held, "{after:?}");
    }
}

/// What somebody in front of the host asks for is kept where it is shorter than a cycle.
#[test]
fn the_wait_is_what_was_asked_for_but_no_longer_than_a_cycle_where_the_host_may_be_well() {
    for (origin, status) in [(Origin::Api, 500), (Origin::Api, 503), (Origin::Download, 429)] {
        for (asked, waits) in [(60, 60), (3_000, 300)] {
            let mut gate = HostGate::default();
            let mut fault = Fault::new(origin, Kind::Status(status), "");
            fault.retry_after = Some(Duration::from_secs(asked));
            for who in ["acme/a", "acme/b", "acme/c"] {
                let ticket = go(&mut gate, START);
                gate.fault(ticket, who, &fault, at(START), &Pace::default());
            }
            let until = gate.held().expect("three found it away").until;
            assert_eq!(until.since(START), Duration::from_secs(waits), "{origin:?} {status} {asked}");
        }
    }
}

#[test]
fn looks_come_quickly_at_first_then_once_a_cycle() {
    for (kind, waits) in [
        (Kind::Connect, [1, 10, 300, 300]),
        (Kind::Dns, [1, 300, 300, 300]),
        (Kind::PrivateAddress, [300; 4]),
        (Kind::TlsVerify, [900; 4]),
        (Kind::TlsHandshake, [3_600; 4]),
    ] {
        let (mut gate, mut now) = (HostGate::default(), START);
        for (n, wait) in (1..).zip(waits) {
            let ticket = go(&mut gate, now);
            let turn = fails(&mut gate, ticket, "acme/a", kind, now);
            assert!(matches!(turn, Turn::Closed(first) if first == (n == 1)), "{kind:?}: {turn:?}");
            let held = gate.held().unwrap();
            assert_eq!((held.until.since(now), held.failures), (Duration::from_secs(wait), n), "{kind:?}");
            now = held.until;
        }
    }
}

/// Every further attempt with a wrong password counts at the proxy, whoever makes it.
#[test]
fn a_proxy_that_wants_another_login_is_asked_once_a_day() {
    let mut gate = HostGate::default();
    let first = go(&mut gate, START);
    assert!(matches!(fails(&mut gate, first, "acme/a", Kind::Status(407), START), Turn::Closed(true)));
    let tomorrow = START.plus(DAY);
    assert_eq!(gate.pass(START.plus(TICK)), Pass::Wait(tomorrow));
    let mut corrected = gate.clone();
    corrected.resume(START.plus(TICK));
    go(&mut corrected, START.plus(TICK));
    let look = go(&mut gate, tomorrow);
    fails(&mut gate, look, "acme/b", Kind::Status(407), tomorrow);
    assert_eq!(gate.held().unwrap().until, tomorrow.plus(DAY));
}

#[test]
fn a_clock_that_was_ahead_takes_the_next_look_back_with_it() {
    let (mut gate, until) = closed();
    let hour = Duration::from_secs(3_600);
    gate.set_back(hour);
    assert_eq!(gate.pass(START.minus(hour)), Pass::Wait(until.minus(hour)));
    go(&mut gate, until.minus(hour));
    gate.set_back(hour);
    assert_eq!(
        gate.pass(until.minus(hour * 2)),
        Pass::Wait(until.minus(hour * 2).plus(REQUEST_LEASE)),
        "the look"
    );
}
