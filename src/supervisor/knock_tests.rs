//! What the gate promises of keys that sign: the first call goes alone, and its outcome is everybody's.

use std::time::Duration;

use proptest::prelude::*;

use super::backoff::{Override, Overrides, Pace};
use super::gate::{CredentialState, Gate, Permit};
use crate::clock::{Moment, Time};
use crate::fault::{Code, Fault, Kind, Origin};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const LIFE: Duration = Duration::from_secs(1_800);

fn pace() -> Pace {
    Pace::new(Duration::from_secs(300), false, Overrides::default())
}
fn at(ms: i64) -> Moment {
    Moment { now: Time(ms), dice: 0 }
}
fn said(status: u16, code: &str) -> Fault {
    let mut fault = Fault::new(Origin::Api, Kind::Status(status), "");
    fault.code = Code::new(code);
    fault.attributed = true;
    fault
}
fn gate() -> Gate {
    Gate::new("f").signing(true)
}
fn knock(gate: &mut Gate, ms: i64) {
    gate.begin_login(at(ms), "f", &pace()).unwrap();
}
fn refused(gate: &mut Gate, ms: i64, fault: &Fault) {
    knock(gate, ms);
    gate.knock_fault("audit", fault, LIFE, at(ms), &pace());
}
fn working() -> Gate {
    let mut gate = gate();
    knock(&mut gate, 0);
    gate.knock_ok("audit", Time(0), LIFE);
    gate
}
fn until(gate: &mut Gate, ms: i64) -> Option<i64> {
    match gate.permit(Time(ms)) {
        Permit::Closed(closed) => Some(closed.until.map_or(i64::MAX, |until| until.0)),
        Permit::Go { .. } | Permit::Login => None,
    }
}

#[test]
fn a_good_key_goes_on_and_is_read_again() {
    let mut gate = working();
    assert!(matches!(gate.permit(Time(30 * MINUTE - 1)), Permit::Go { generation: 1 }));
    assert!(matches!(gate.permit(Time(30 * MINUTE)), Permit::Login));
    assert!(!gate.go_on("another key", Time(30 * MINUTE), LIFE));
    assert!(gate.go_on("f", Time(30 * MINUTE), LIFE));
    assert!(matches!(gate.permit(Time(59 * MINUTE)), Permit::Go { generation: 1 }), "the same key");
    let mut restarted = Gate::restore(&gate.to_text(), at(HOUR), &pace()).unwrap();
    assert!(!restarted.go_on("f", Time(HOUR), LIFE), "after a restart one call goes first");
}

#[test]
fn a_bad_signature_under_a_good_clock_stops_at_once_and_a_new_key_opens() {
    let mut gate = gate();
    refused(&mut gate, 0, &said(401, "0004"));
    assert_eq!((until(&mut gate, 0), gate.state(Time(1))), (Some(i64::MAX), CredentialState::Denied));
    assert_eq!(gate.holding().unwrap().rule.unwrap().id, "M07");
    assert!(gate.begin_login(at(400 * DAY), "f", &pace()).is_err(), "no later attempt either");
    gate.begin_login(at(MINUTE), "another key", &pace()).unwrap();
    gate.knock_ok("audit", Time(MINUTE), LIFE);
    assert_eq!(until(&mut gate, MINUTE), None);
}

#[test]
fn a_clock_that_is_off_gets_one_corrected_attempt() {
    let mut skewed = said(401, "0004");
    skewed.skew_ms = Some(-600_000);
    let mut gate = gate();
    refused(&mut gate, 0, &skewed);
    assert!(matches!(gate.permit(Time(0)), Permit::Login), "at the next request, with the server's date");
    refused(&mut gate, 1, &skewed);
    assert_eq!(until(&mut gate, 2), Some(i64::MAX), "it was not the clock");
}

/// A key that worked until the clock ran away: the corrected attempt brings it back, and the next time is a first one.
#[test]
fn a_clock_that_runs_away_twice_is_corrected_twice() {
    let mut skewed = said(401, "0004");
    skewed.skew_ms = Some(61_000);
    let mut gate = working();
    for n in 1..=2 {
        gate.call_fault("audit", &skewed, u64::try_from(n).unwrap(), at(n * HOUR), &pace());
        assert!(matches!(gate.permit(Time(n * HOUR)), Permit::Login));
        knock(&mut gate, n * HOUR);
        gate.knock_ok("audit", Time(n * HOUR), LIFE);
    }
    let mut gate = working();
    (skewed.skew_ms, gate) = (Some(59_000), gate);
    gate.call_fault("audit", &skewed, 1, at(HOUR), &pace());
    assert_eq!(until(&mut gate, HOUR), Some(i64::MAX), "less than a minute is no excuse");
}

#[test]
fn a_dead_key_cannot_be_refreshed() {
    for code in ["0001", ""] {
        let mut gate = working();
        gate.call_fault("audit", &said(418, code), 1, at(MINUTE), &pace());
        assert_eq!(until(&mut gate, MINUTE), Some(i64::MAX), "no second attempt with the same key");
        assert_eq!(gate.state(Time(MINUTE)), CredentialState::Expired);
    }
}

/// What may have meant something else is asked once more, a quarter of an hour later, and never again.
#[test]
fn a_refusal_that_does_not_say_why_is_confirmed_once() {
    for code in ["", "9999"] {
        let mut gate = working();
        gate.call_fault("audit", &said(401, code), 1, at(MINUTE), &pace());
        assert_eq!(until(&mut gate, MINUTE), Some(16 * MINUTE), "{code}");
        refused(&mut gate, 16 * MINUTE, &said(401, code));
        assert_eq!(until(&mut gate, 400 * DAY), Some(i64::MAX), "{code}");
    }
}

/// Neither a halt of a wrong password nor one of a dead key gets an attempt from `[recovery]` unless it is asked for.
#[test]
fn a_pause_of_the_configuration_does_not_try_a_password_again() {
    let change = Override {
        status: 401,
        code: None,
        pause: Some(Duration::from_secs(1_200)),
        action: None,
        allow_harmful: false,
    };
    let pace = Pace::new(Duration::from_secs(300), false, Overrides::new(vec![change]));
    for code in ["0003", "0004"] {
        let mut gate = gate();
        knock(&mut gate, 0);
        gate.knock_fault("audit", &said(401, code), LIFE, at(0), &pace);
        assert_eq!(until(&mut gate, 400 * DAY), Some(i64::MAX), "{code}");
    }
}

#[test]
fn rights_and_fields_show_that_the_signature_was_good() {
    for fault in
        [said(403, "0002"), said(400, "validation_error"), said(404, ""), said(200, "err_validation_null")]
    {
        let mut gate = gate();
        refused(&mut gate, 0, &fault);
        assert!(matches!(gate.permit(Time(0)), Permit::Go { .. }), "{fault}");
    }
}

#[test]
fn nothing_is_learned_from_a_server_in_trouble() {
    for (fault, closed) in [
        (said(500, ""), false),
        (said(429, ""), false),
        (Fault::new(Origin::Api, Kind::Malformed, ""), false),
        (Fault::new(Origin::Api, Kind::Connect, ""), true),
        (Fault::new(Origin::Api, Kind::Timeout, ""), true),
        (Fault::new(Origin::Api, Kind::Html, ""), true),
    ] {
        let mut gate = gate();
        refused(&mut gate, 0, &fault);
        assert_eq!(until(&mut gate, 0).is_some(), closed, "{fault}");
        let later = until(&mut gate, 0).unwrap_or(0);
        assert!(matches!(gate.permit(Time(later)), Permit::Login), "{fault}: one call goes first, still");
        assert_eq!(
            gate.state(Time(later)),
            if closed { CredentialState::Suspended } else { CredentialState::Ok }
        );
    }
}

/// What happens next: feeds want to call, time passes, the process restarts or dies in a call.
#[derive(Clone, Debug)]
enum Event {
    Feed,
    Pass(i64),
    Restart,
    DieInCall,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => Just(Event::Feed),
        4 => (0..2 * HOUR).prop_map(Event::Pass),
        2 => Just(Event::Restart),
        1 => Just(Event::DieInCall),
    ];
    prop::collection::vec(event, 1..200)
}

/// When a server that answers every call with `answer` was called.
fn calls(events: &[Event], answer: &Fault, dice: u64) -> Vec<i64> {
    let (pace, mut now, mut calls) = (pace(), 0, Vec::new());
    let mut gate = gate();
    for event in events {
        let at = Moment { now: Time(now), dice };
        match event {
            Event::Pass(by) => now += by,
            Event::Restart => gate = Gate::restore(&gate.to_text(), at, &pace).unwrap(),
            Event::Feed | Event::DieInCall => {
                assert!(!matches!(gate.permit(Time(now)), Permit::Go { .. }), "no key is known to work");
                if gate.begin_login(at, "f", &pace).is_err() {
                    continue;
                }
                calls.push(now);
                if matches!(event, Event::Feed) {
                    gate.knock_fault("audit", answer, LIFE, at, &pace);
                } else {
                    gate = Gate::restore(&gate.to_text(), at, &pace).unwrap();
                }
            }
        }
    }
    calls
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Once; a death in the very first call, whose answer nobody saw, adds one.
    #[test]
    fn a_bad_password_is_sent_once(events in events(), dice: u64, code in prop_oneof![Just("0003"), Just("0004")]) {
        let calls = calls(&events, &said(401, code), dice);
        let died_first = events.iter().find(|event| matches!(event, Event::Feed | Event::DieInCall));
        let most = if matches!(died_first, Some(Event::DieInCall)) { 2 } else { 1 };
        prop_assert!(calls.len() <= most, "{calls:?}");
    }

    #[test]
    fn a_locked_account_is_called_once_per_lock_period(events in events(), dice: u64) {
        let calls = calls(&events, &said(401, "0010"), dice);
        for pair in calls.windows(2).skip(1) {
            prop_assert!(pair[1] - pair[0] >= 15 * MINUTE, "{calls:?}");
        }
        prop_assert!(calls.len() <= 6, "{calls:?}");
    }
}
