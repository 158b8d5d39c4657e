//! What the gate promises, against servers that keep count: however feeds, faults and restarts interleave, a
//! wrong secret is tried twice in a day and a locked account once per lock period.

use std::time::Duration;

use proptest::prelude::*;

use super::backoff::{Overrides, Pace};
use super::gate::{Closed, CredentialState, Gate, Permit};
use crate::clock::{Moment, Time};
use crate::fault::{Code, Fault, Kind, Origin};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn pace() -> Pace {
    Pace::new(Duration::from_secs(300), false, Overrides::default())
}
fn at(ms: i64) -> Moment {
    Moment { now: Time(ms), dice: 0 }
}
fn said(origin: Origin, status: u16, code: &str) -> Fault {
    let mut fault = Fault::new(origin, Kind::Status(status), "");
    fault.code = Code::new(code);
    fault.attributed = true;
    fault
}
fn login(gate: &mut Gate, ms: i64) -> Result<(), Closed> {
    gate.begin_login(at(ms), "f", &pace()).map(|_| ())
}
fn refused(gate: &mut Gate, ms: i64, code: &str) {
    login(gate, ms).unwrap();
    gate.login_fault(&said(Origin::Token, 401, code), at(ms), &pace());
}
/// Fresh gate, logged in at 0, first call good.
fn working() -> Gate {
    let mut gate = Gate::new("f");
    login(&mut gate, 0).unwrap();
    gate.login_ok(Time(0), Duration::from_secs(1800));
    gate
}
fn closed_until(gate: &mut Gate, ms: i64) -> Option<i64> {
    match gate.permit(Time(ms)) {
        Permit::Closed(closed) => closed.until.map(|until| until.0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_secret_is_used_until_four_fifths_of_the_tokens_life() {
    let mut gate = Gate::new("f");
    assert!(matches!(gate.permit(Time(0)), Permit::Login));
    login(&mut gate, 0).unwrap();
    assert_eq!(gate.state(Time(0)), CredentialState::Refreshing);
    assert!(login(&mut gate, 1).is_err(), "single flight");
    assert_eq!(gate.login_ok(Time(5), Duration::from_secs(1000)), 1);
    assert_eq!(gate.state(Time(5)), CredentialState::Ok);
    assert!(matches!(gate.permit(Time(800_004)), Permit::Go { generation: 1 }));
    assert!(matches!(gate.permit(Time(800_005)), Permit::Login));
}

#[test]
fn a_refused_secret_is_confirmed_once_probed_once_then_left_alone() {
    let mut gate = Gate::new("f");
    refused(&mut gate, 0, "invalid_client");
    assert_eq!(gate.state(Time(0)), CredentialState::Suspended);
    assert_eq!(closed_until(&mut gate, 0), Some(15 * MINUTE));
    refused(&mut gate, 15 * MINUTE, "invalid_client");
    assert_eq!(closed_until(&mut gate, 16 * MINUTE), Some(15 * MINUTE + DAY));
    refused(&mut gate, 15 * MINUTE + DAY, "invalid_client");
    assert_eq!(closed_until(&mut gate, 400 * DAY), None);
    assert_eq!(gate.state(Time(400 * DAY)), CredentialState::Denied);

    let mut resumed = gate.clone();
    resumed.resume();
    assert!(login(&mut resumed, 400 * DAY).is_ok());
    assert!(gate.begin_login(at(400 * DAY), "another secret", &pace()).is_ok());
}

#[test]
fn a_locked_account_gets_silence_one_probe_and_longer_silence() {
    let mut gate = Gate::new("f");
    let mut now = 0;
    for rung in [31, 61, 240] {
        refused(&mut gate, now, "0010");
        assert_eq!(gate.state(Time(now)), CredentialState::LockedOut);
        assert!(login(&mut gate, now + rung * MINUTE - 1).is_err());
        now += rung * MINUTE;
    }
    refused(&mut gate, now, "0010");
    assert_eq!(closed_until(&mut gate, now + 30 * DAY), None);
    assert_eq!(gate.state(Time(now)), CredentialState::LockedOut);
}

#[test]
fn a_new_secret_does_not_unlock_an_account() {
    let mut gate = Gate::new("f");
    refused(&mut gate, 0, "0010");
    assert!(gate.begin_login(at(MINUTE), "another secret", &pace()).is_err());
}

#[test]
fn after_a_lock_one_call_goes_first() {
    let mut gate = Gate::new("f");
    refused(&mut gate, 0, "0010");
    login(&mut gate, 40 * MINUTE).unwrap();
    let generation = gate.login_ok(Time(40 * MINUTE), Duration::from_secs(1800));
    assert!(matches!(gate.permit(Time(40 * MINUTE)), Permit::Go { .. }));
    assert!(
        closed_until(&mut gate, 40 * MINUTE).is_some(),
        "the second feed waits for the first one's answer"
    );
    // Locked after all: the API says so, and the next rung counts.
    gate.call_fault("audit", &said(Origin::Api, 401, "0010"), generation, at(40 * MINUTE), &pace());
    assert_eq!(closed_until(&mut gate, 41 * MINUTE), Some(101 * MINUTE));

    login(&mut gate, 101 * MINUTE).unwrap();
    let generation = gate.login_ok(Time(101 * MINUTE), Duration::from_secs(1800));
    assert!(gate.call_ok("audit", generation));
    assert!(matches!(gate.permit(Time(101 * MINUTE)), Permit::Go { .. }));
    assert!(matches!(gate.permit(Time(101 * MINUTE)), Permit::Go { .. }));
}

#[test]
fn a_trial_whose_task_died_does_not_block_for_good() {
    let mut gate = Gate::new("f");
    refused(&mut gate, 0, "invalid_client");
    login(&mut gate, HOUR).unwrap();
    gate.login_ok(Time(HOUR), Duration::from_secs(1800));
    assert!(matches!(gate.permit(Time(HOUR)), Permit::Go { .. }));
    let until = closed_until(&mut gate, HOUR).unwrap();
    assert!(matches!(gate.permit(Time(until)), Permit::Go { .. }));
}

#[test]
fn a_permit_that_was_not_used_is_given_back() {
    let mut gate = Gate::new("f");
    refused(&mut gate, 0, "invalid_client");
    login(&mut gate, HOUR).unwrap();
    gate.login_ok(Time(HOUR), Duration::from_secs(1800));
    assert!(matches!(gate.permit(Time(HOUR)), Permit::Go { .. }));
    gate.not_sent();
    assert!(matches!(gate.permit(Time(HOUR)), Permit::Go { .. }));
}

#[test]
fn a_401_counts_once_per_token() {
    let mut gate = working();
    let expired = said(Origin::Api, 401, "token_verification_failed");
    for _ in 0..32 {
        gate.call_fault("audit", &expired, 1, at(MINUTE), &pace());
    }
    assert!(
        matches!(gate.permit(Time(MINUTE)), Permit::Login),
        "one refresh at once, whatever the number of feeds"
    );
    login(&mut gate, MINUTE).unwrap();
    let second = gate.login_ok(Time(MINUTE), Duration::from_secs(1800));
    gate.call_fault("audit", &expired, 1, at(MINUTE), &pace());
    assert!(matches!(gate.permit(Time(MINUTE)), Permit::Go { .. }), "an answer to the old token is old news");
    gate.call_fault("audit", &expired, second, at(MINUTE), &pace());
    assert!(closed_until(&mut gate, MINUTE).unwrap() >= 6 * MINUTE, "the second token in a row waits");
    login(&mut gate, HOUR).unwrap();
    let third = gate.login_ok(Time(HOUR), Duration::from_secs(1800));
    gate.call_fault("audit", &expired, third, at(HOUR), &pace());
    assert_eq!(
        closed_until(&mut gate, HOUR),
        Some(HOUR + 15 * MINUTE),
        "the third is taken to be a bad secret"
    );
}

#[test]
fn permissions_and_proxies_do_not_close_it() {
    let mut gate = working();
    for fault in [
        said(Origin::Api, 403, "app_forbidden"),
        said(Origin::Api, 500, ""),
        said(Origin::Api, 429, ""),
        Fault::new(Origin::Api, Kind::Status(401), "from a proxy"),
        said(Origin::Download, 403, "AccessDenied"),
        said(Origin::Sink, 401, "0010"),
    ] {
        gate.call_fault("audit", &fault, 1, at(MINUTE), &pace());
        assert!(matches!(gate.permit(Time(MINUTE)), Permit::Go { .. }), "{fault}");
    }
}

#[test]
fn a_dead_token_endpoint_is_waited_for_and_never_counted_as_a_refusal() {
    let mut gate = Gate::new("f");
    let mut now = 0;
    for _ in 0..200 {
        login(&mut gate, now).unwrap();
        gate.login_fault(&Fault::new(Origin::Token, Kind::Status(503), ""), at(now), &pace());
        now = closed_until(&mut gate, now).unwrap();
    }
    assert!(now >= 199 * 300_000);
    login(&mut gate, now).unwrap();
    gate.login_ok(Time(now), Duration::ZERO);
    assert!(matches!(gate.permit(Time(now + 1_439_999)), Permit::Go { .. }), "1800 s are assumed");
}

#[test]
fn unanswered_logins_of_a_proven_secret_only_meet_the_hours_limit() {
    let mut gate = working();
    for n in 0..2 {
        login(&mut gate, HOUR + n).unwrap();
        gate = Gate::restore(&gate.to_text(), at(HOUR + n), &pace()).unwrap();
    }
    let closed = gate.begin_login(at(HOUR + 5), "f", &pace()).unwrap_err();
    assert_eq!(closed.until, Some(Time(2 * HOUR)));
    assert!(login(&mut gate, 2 * HOUR).is_ok());
}

#[test]
fn halts_have_their_names_and_keys() {
    for (status, code, state) in [
        (403, "0009", CredentialState::Expired),
        (401, "0012", CredentialState::Revoked),
        (401, "0011", CredentialState::Denied),
        (403, "0016", CredentialState::Denied),
    ] {
        let mut gate = working();
        gate.call_fault("audit", &said(Origin::Api, status, code), 1, at(MINUTE), &pace());
        let gate = Gate::restore(&gate.to_text(), at(MINUTE), &pace()).unwrap();
        assert_eq!(gate.state(Time(MINUTE)), state, "{code}");
        assert_eq!(gate.holding().unwrap().until.is_some(), code == "0016", "{code}");
        assert_eq!(gate.holding().unwrap().rule.unwrap().on.codes(), [code]);
    }
}

/// Each start that tried the proxy's password anew would bring its account nearer to a lock.
#[test]
fn a_refused_proxy_is_not_tried_by_a_restart_but_by_another_configuration() {
    let mut gate = Gate::new("f").by_way("proxy, old password".into());
    login(&mut gate, 0).unwrap();
    gate.login_fault(&Fault::new(Origin::Token, Kind::Status(407), ""), at(0), &pace());
    let again = |way: &str| Gate::restore(&gate.to_text(), at(MINUTE), &pace()).unwrap().by_way(way.into());
    assert_eq!(again("proxy, old password").holding().unwrap().rule.unwrap().id, "H04");
    assert!(again("proxy, new password").holding().is_none());
    let mut locked = Gate::new("f").by_way("proxy, old password".into());
    login(&mut locked, 0).unwrap();
    locked.login_fault(&said(Origin::Token, 401, "0010"), at(0), &pace());
    assert!(locked.by_way("no proxy".into()).holding().is_some(), "a lock is not the proxy's");
}

#[test]
fn what_two_feeds_meet_stops_all_and_one_goes_first() {
    let mut gate = working();
    assert!(matches!(gate.permit(Time(MINUTE)), Permit::Go { .. }), "a third feed's call, on its way");
    let mut limited = said(Origin::Api, 429, "0008");
    limited.retry_after = Some(Duration::from_secs(600));
    gate.widen(&limited, at(MINUTE), &pace());
    assert_eq!(closed_until(&mut gate, MINUTE), Some(11 * MINUTE));
    gate.call_ok("audit", 1);
    assert_eq!(closed_until(&mut gate, MINUTE), Some(11 * MINUTE), "an older call's success opens nothing");
    assert!(matches!(gate.permit(Time(11 * MINUTE)), Permit::Go { generation: 1 }), "with the token it has");
    assert!(closed_until(&mut gate, 11 * MINUTE).is_some(), "the others wait for what comes of it");
    assert!(gate.call_ok("audit", 1));
    assert!((0..9).all(|_| matches!(gate.permit(Time(11 * MINUTE)), Permit::Go { .. })));
    assert_eq!(gate.state(Time(11 * MINUTE)), CredentialState::Ok);
}

#[test]
fn a_missing_role_is_probed_by_one_feed_an_hour() {
    let mut gate = working();
    gate.widen(&said(Origin::Api, 403, "0002"), at(0), &pace());
    let gate_again = Gate::restore(&gate.to_text(), at(1), &pace()).unwrap();
    assert_eq!(gate_again.holding().unwrap().rule.unwrap().id, "M14");
    assert_eq!(closed_until(&mut gate, 0), Some(HOUR));
    // a lock is not loosened by it
    let mut locked = working();
    locked.call_fault("audit", &said(Origin::Api, 401, "0010"), 1, at(0), &pace());
    let before = locked.clone();
    locked.widen(&said(Origin::Api, 403, "0002"), at(1), &pace());
    assert_eq!(locked, before);
}

#[test]
fn a_probe_of_a_halt_is_one_call_not_one_per_feed() {
    let mut gate = working();
    gate.call_fault("audit", &said(Origin::Api, 403, "0016"), 1, at(0), &pace());
    login(&mut gate, HOUR).unwrap();
    gate.login_ok(Time(HOUR), Duration::from_secs(1800));
    assert!(matches!(gate.permit(Time(HOUR)), Permit::Go { .. }));
    assert!(closed_until(&mut gate, HOUR).is_some());
}

#[test]
fn not_a_gate() {
    for text in ["", "{}", "[]", "{\"hold\":7}"] {
        assert!(Gate::restore(text, at(0), &pace()).is_none(), "{text}");
    }
}

/// What happens next in a run: a feed wants to send, time passes, the process restarts.
#[derive(Clone, Debug)]
enum Event {
    /// A feed asks; if a login is due it is made, and this is what comes of it on the way.
    Feed(Fate),
    Pass(i64),
    Restart,
    /// The process dies between the request and its answer.
    DieInLogin,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    /// Nothing was sent.
    Unreachable,
    /// Somebody in front answered.
    Gateway,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let fate = prop_oneof![6 => Just(Fate::Answered), 1 => Just(Fate::Unreachable), 1 => Just(Fate::Gateway)];
    let event = prop_oneof![
        8 => fate.prop_map(Event::Feed),
        4 => (0..2 * HOUR).prop_map(Event::Pass),
        2 => Just(Event::Restart),
        1 => Just(Event::DieInLogin),
    ];
    prop::collection::vec(event, 1..200)
}

/// Runs the events against a token endpoint that says `answer` to everyone; returns when it was asked.
fn knocks(events: &[Event], answer: &Fault, dice: u64) -> Vec<i64> {
    let (pace, mut now, mut knocks) = (pace(), 0, Vec::new());
    let mut gate = Gate::new("f");
    for event in events {
        let at = Moment { now: Time(now), dice };
        match event {
            Event::Pass(by) => now += by,
            Event::Restart => gate = Gate::restore(&gate.to_text(), at, &pace).unwrap(),
            Event::Feed(_) | Event::DieInLogin if !matches!(gate.permit(Time(now)), Permit::Login) => {}
            Event::Feed(fate) => {
                if gate.begin_login(at, "f", &pace).is_err() {
                    continue;
                }
                // All 32 feeds want in while this one is on its way.
                assert!((0..31).all(|_| gate.begin_login(at, "f", &pace).is_err()));
                let fault = match fate {
                    Fate::Answered => answer.clone(),
                    Fate::Unreachable => Fault::new(Origin::Token, Kind::Connect, ""),
                    Fate::Gateway => Fault::new(Origin::Token, Kind::Html, ""),
                };
                knocks.extend(matches!(fate, Fate::Answered).then_some(now));
                gate.login_fault(&fault, at, &pace);
            }
            Event::DieInLogin => {
                if gate.begin_login(at, "f", &pace).is_ok() {
                    knocks.push(now);
                    gate = Gate::restore(&gate.to_text(), at, &pace).unwrap();
                }
            }
        }
    }
    knocks
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bad_secret_is_tried_twice_in_a_day(events in events(), dice: u64) {
        let knocks = knocks(&events, &said(Origin::Token, 401, "invalid_client"), dice);
        let first_day = knocks.iter().filter(|&&at| at < knocks[0] + DAY).count();
        prop_assert!(first_day <= 2, "{knocks:?}");
        prop_assert!(knocks.len() <= 3, "three in all: {knocks:?}");
    }

    #[test]
    fn a_locked_account_is_tried_once_per_lock_period(events in events(), dice: u64) {
        let knocks = knocks(&events, &said(Origin::Token, 401, "0010"), dice);
        // A death in the very first login leaves it unknown that there is a lock; from the second attempt on
        // every answer or silence is taken for the lock.
        for pair in knocks.windows(2).skip(1) {
            prop_assert!(pair[1] - pair[0] >= 31 * MINUTE, "{knocks:?}");
        }
        // At most two that died before anyone knew of a lock, then one per rung and the one that ends in a halt.
        prop_assert!(knocks.len() <= 6, "{knocks:?}");
    }
}
