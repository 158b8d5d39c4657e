//! The edges of a credential's gate: what each change keeps, and the last moment of each of its waits.

use std::time::Duration;

use super::backoff::{Override, Overrides, Pace};
use super::gate::{CredentialState, Gate, Permit};
use crate::clock::{Moment, Time};
use crate::fault::{Code, Fault, Kind, Origin};
use crate::limits::REQUEST_LEASE;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const LIFE: Duration = Duration::from_secs(1_800);
const LEASE: i64 = REQUEST_LEASE.as_millis() as i64;

fn at(ms: i64) -> Moment {
    Moment { now: Time(ms), dice: 0 }
}
fn said(origin: Origin, status: u16, code: &str) -> Fault {
    let mut fault = Fault::new(origin, Kind::Status(status), "");
    (fault.code, fault.attributed) = (Code::new(code), true);
    fault
}
fn token(status: u16, code: &str) -> Fault {
    said(Origin::Token, status, code)
}
fn met(kind: Kind) -> Fault {
    Fault::new(Origin::Token, kind, "")
}
fn login(gate: &mut Gate, ms: i64) -> bool {
    gate.begin_login(at(ms), "f", &Pace::default()).is_ok()
}
fn fails(gate: &mut Gate, ms: i64, fault: &Fault) {
    assert!(login(gate, ms), "at {ms}");
    gate.login_fault(fault, at(ms), &Pace::default());
}
/// Logs in at `ms`; the token's generation.
fn works(gate: &mut Gate, ms: i64) -> u64 {
    assert!(login(gate, ms), "at {ms}");
    gate.login_ok(Time(ms), LIFE)
}
fn working() -> Gate {
    let mut gate = Gate::new("f");
    works(&mut gate, 0);
    gate
}
fn goes(gate: &mut Gate, ms: i64) -> bool {
    matches!(gate.permit(Time(ms)), Permit::Go { .. })
}
/// The process died at `ms` and began anew.
fn restarted(gate: &Gate, ms: i64) -> Gate {
    Gate::restore(&gate.to_text(), at(ms), &Pace::default()).expect("a gate")
}
/// The row that holds the gate, and until when.
fn held(gate: &Gate) -> Option<(&'static str, Option<i64>)> {
    let closed = gate.holding()?;
    Some((closed.rule.map_or("", |rule| rule.id), closed.until.map(|until| until.0)))
}
/// How many logins count against the hour, as it is written down.
fn counted(gate: &Gate) -> usize {
    let text: serde_json::Value = serde_json::from_str(&gate.to_text()).unwrap();
    text["recent"].as_array().unwrap().len()
}

#[test]
fn each_state_has_its_word() {
    let words = ["ok", "refreshing", "suspended", "locked_out", "expired", "revoked", "denied"];
    assert_eq!(CredentialState::ALL.map(CredentialState::as_str), words);
}

#[test]
fn a_clock_that_was_ahead_takes_every_time_back_with_it() {
    let by = Duration::from_secs(3_600);
    for (fault, until) in [(token(401, "0010"), HOUR + 31 * MINUTE), (token(403, "0016"), 2 * HOUR)] {
        let mut gate = Gate::new("f");
        fails(&mut gate, HOUR, &fault);
        assert_eq!(held(&gate).unwrap().1, Some(until), "{fault}");
        gate.set_back(by);
        assert_eq!(held(&gate).unwrap().1, Some(until - HOUR), "{fault}");
    }
    let mut gate = Gate::new("f");
    assert!(login(&mut gate, HOUR) && !login(&mut gate, LEASE));
    gate.set_back(by);
    assert!(!login(&mut gate, LEASE - 1), "the login under way");
    assert!(login(&mut gate, LEASE));
    let mut gate = working();
    for ms in [HOUR, HOUR + LEASE] {
        assert!(login(&mut gate, ms));
    }
    gate.set_back(by);
    assert!(!login(&mut gate, HOUR - 1) && login(&mut gate, HOUR), "the logins of the hour");
}

#[test]
fn a_clock_that_is_set_leaves_every_wait_as_long_as_it_was() {
    for step in [-400 * 24 * HOUR, -HOUR, HOUR, 400 * 24 * HOUR] {
        let mut gate = Gate::new("f");
        fails(&mut gate, HOUR, &token(401, "0010"));
        gate.moved(step);
        assert_eq!(held(&gate), Some(("M10", Some(HOUR + 31 * MINUTE + step))), "{step}");
        let mut gate = working();
        let until = LIFE.as_millis() as i64 * 4 / 5;
        gate.moved(step);
        let until = until + step.min(0);
        assert!(goes(&mut gate, until - 1) && !goes(&mut gate, until), "{step}: the token");
    }
}

/// Of a hold that ends by itself only the lock has a word of its own: an expired binding is renewed at once or halts.
#[test]
fn no_hold_that_ends_by_itself_is_called_expired() {
    for (status, code) in [(418, "0001"), (418, "0007"), (418, "")] {
        let (mut gate, mut now) = (working(), 1);
        for generation in 1..4 {
            gate.call_fault("audit", &said(Origin::Api, status, code), generation, at(now), &Pace::default());
            if let Some((_, until)) = held(&gate) {
                assert_eq!(until, None, "{status}/{code}");
                assert_eq!(gate.state(Time(now)), CredentialState::Expired);
            } else {
                now += MINUTE;
                works(&mut gate, now);
            }
        }
        assert!(held(&gate).is_some());
    }
}

#[test]
fn another_secret_keeps_the_count_of_tokens_and_the_way_of_signing() {
    for signs in [false, true] {
        let mut gate = working().signing(signs);
        assert!(gate.offer("another secret") && !gate.offer("another secret"));
        assert_eq!(gate.can_be_renewed(&met(Kind::Timeout)), !signs);
        gate.begin_login(at(1), "another secret", &Pace::default()).unwrap();
        assert_eq!(gate.login_ok(Time(1), LIFE), 2, "an answer to the old token is old news");
    }
}

#[test]
fn resume_forgets_what_went_wrong_and_nothing_else() {
    for signs in [false, true] {
        let mut gate = working().signing(signs);
        let before = gate.clone();
        gate.resume();
        assert_eq!(gate, before, "nothing went wrong");
        gate.call_fault("audit", &said(Origin::Api, 403, "0016"), 1, at(1), &Pace::default());
        assert!(held(&gate).is_some());
        gate.resume();
        assert!(held(&gate).is_none() && login(&mut gate, 2));
        gate.resume();
        assert!(!login(&mut gate, 3), "one login is under way");
        assert!(!gate.offer("f"), "the same secret");
        assert_eq!(gate.can_be_renewed(&met(Kind::Timeout)), !signs);
        assert_eq!(gate.login_ok(Time(4), LIFE), 2);
    }
}

#[test]
fn a_login_blocks_others_for_its_lease_and_no_longer() {
    let mut gate = working();
    assert!(login(&mut gate, HOUR));
    assert_eq!(gate.state(Time(HOUR + LEASE - 1)), CredentialState::Refreshing);
    assert_eq!(gate.state(Time(HOUR + LEASE)), CredentialState::Ok);
    assert!(!login(&mut gate, HOUR + LEASE - 1));
    assert!(login(&mut gate, HOUR + LEASE));
}

/// Whether the secret was looked at decides whether a login counts against the two of an hour.
#[test]
fn only_logins_that_may_have_been_judged_count() {
    for (fault, proven, count) in [
        (token(401, "0010"), false, 1),
        (token(401, "0010"), true, 1),
        (token(401, "invalid_client"), false, 1),
        (met(Kind::Timeout), false, 1),
        (met(Kind::Interrupted), true, 1),
        (met(Kind::Connect), false, 0),
        (token(503, ""), true, 0),
    ] {
        let mut gate = if proven { working() } else { Gate::new("f") };
        fails(&mut gate, HOUR, &fault);
        assert_eq!(counted(&gate), count, "{fault}, proven: {proven}");
    }
}

/// Of a key that signs a call whose answer never came counts only where the key never worked yet.
#[test]
fn only_first_calls_that_may_have_been_refused_count() {
    let api = |kind| Fault::new(Origin::Api, kind, "");
    for (fault, proven, count) in [
        (said(Origin::Api, 401, "0010"), false, 1),
        (said(Origin::Api, 401, "0010"), true, 1),
        (api(Kind::Timeout), false, 1),
        (api(Kind::Interrupted), true, 0),
        (api(Kind::Connect), false, 0),
        (api(Kind::Connect), true, 0),
        (said(Origin::Api, 500, ""), false, 0),
    ] {
        let mut gate = if proven { working() } else { Gate::new("f") }.signing(true);
        assert!(login(&mut gate, HOUR));
        gate.knock_fault("audit", &fault, LIFE, at(HOUR), &Pace::default());
        assert_eq!(counted(&gate), count, "{fault}, proven: {proven}");
    }
}

#[test]
fn a_good_answer_counts_once_and_only_to_the_token_in_use() {
    let mut gate = working();
    let before = gate.clone();
    assert!(!gate.call_ok("audit", 1), "nobody is on trial");
    assert_eq!(gate, before);
    let mut gate = Gate::new("f");
    fails(&mut gate, 0, &token(401, "invalid_client"));
    let generation = works(&mut gate, HOUR);
    assert!(!gate.call_ok("audit", generation - 1), "an answer to an older token");
    assert!(goes(&mut gate, HOUR) && !goes(&mut gate, HOUR), "one is on trial, still");
    assert!(gate.call_ok("audit", generation) && !gate.call_ok("audit", generation));
}

#[test]
fn each_doubt_alone_lets_one_call_go_first() {
    // refused, as far as anybody knows: it never worked, and no answer came
    let mut unanswered = Gate::new("f");
    assert!(login(&mut unanswered, 0));
    let mut unanswered = restarted(&unanswered, 1);
    assert!(held(&unanswered).is_none(), "once is no reason to wait");
    works(&mut unanswered, 2);
    assert!(goes(&mut unanswered, 2) && !goes(&mut unanswered, 2));
    // the account was locked under another secret
    let mut locked = Gate::new("old");
    locked.begin_login(at(0), "old", &Pace::default()).unwrap();
    locked.login_fault(&token(401, "0010"), at(0), &Pace::default());
    assert!(locked.offer("f"));
    works(&mut locked, HOUR);
    assert!(goes(&mut locked, HOUR) && !goes(&mut locked, HOUR));
}

#[test]
fn an_unanswered_login_counts_from_its_own_beginning() {
    let mut gate = Gate::new("f");
    fails(&mut gate, 0, &token(401, "0010"));
    assert!(login(&mut gate, 31 * MINUTE));
    let gate = restarted(&gate, 80 * MINUTE);
    assert_eq!(held(&gate), Some(("M10", Some((31 + 61) * MINUTE))));
    let mut gate = Gate::new("f");
    for ms in [0, MINUTE] {
        assert!(login(&mut gate, ms));
        gate = restarted(&gate, 5 * MINUTE);
    }
    assert_eq!(held(&gate).map(|(id, _)| id), Some("M34"));
    assert!(held(&gate).unwrap().1.is_some_and(|until| until < 25 * HOUR + MINUTE));
}

#[test]
fn the_host_that_is_back_opens_only_what_was_closed_for_its_sake() {
    let mut gate = working();
    assert!(!gate.host_back(), "nothing is held");
    for (fault, hosts) in [
        (met(Kind::Html), true),
        (met(Kind::Connect), true),
        (token(429, ""), false),
        (token(401, "0010"), false),
        (token(401, "0011"), false),
    ] {
        let mut gate = Gate::new("f");
        fails(&mut gate, 0, &fault);
        let before = held(&gate);
        assert_eq!(gate.host_back(), hosts, "{fault}");
        assert_eq!(held(&gate), before.filter(|_| !hosts), "{fault}");
    }
}

#[test]
fn a_hold_that_ends_by_itself_is_called_locked_or_suspended() {
    let mut gate = Gate::new("f");
    fails(&mut gate, 0, &token(401, "9999"));
    assert_eq!(
        (held(&gate).map(|(id, _)| id), gate.state(Time(1))),
        (Some("H12"), CredentialState::Suspended)
    );
    for (row, state) in
        [("M36/unauthorized", CredentialState::Suspended), ("M10/locked_out", CredentialState::LockedOut)]
    {
        let text = gate.to_text().replace("H12/unknown_subcode", row);
        assert_eq!(Gate::restore(&text, at(1), &Pace::default()).unwrap().state(Time(1)), state, "{row}");
    }
}

/// What a token endpoint's failures cost, one after the other: seconds until the next login with these dice, and
/// whether it ended in a halt that is probed.
fn waits(fault: &Fault, dice: u64, times: usize) -> Vec<(i64, bool)> {
    let (mut gate, mut now) = (working(), HOUR);
    let mut waits = Vec::new();
    for _ in 0..times {
        let at = Moment { now: Time(now), dice };
        gate.begin_login(at, "f", &Pace::default()).unwrap();
        gate.login_fault(fault, at, &Pace::default());
        let until = held(&gate).unwrap().1.unwrap();
        let halted = gate.state(Time(until)) != CredentialState::Suspended;
        waits.push(((until - now) / SECOND, halted));
        now = until.max(now + HOUR); // the hour's limit is another story
    }
    waits
}

#[test]
fn each_verdict_on_a_login_has_its_own_wait() {
    for (fault, dice, expected) in [
        // twice within seconds, then as in any cycle
        (met(Kind::Timeout), 0, vec![(1, false), (10, false), (300, false), (300, false)]),
        (met(Kind::Timeout), 1_500_000, vec![(4, false), (29, false), (599, false)]),
        // three times, then once an hour
        (met(Kind::TokenMissing), 0, vec![(300, false), (300, false), (300, false), (3_600, true)]),
        (token(421, ""), 0, vec![(1, false), (300, false), (300, false), (21_600, true)]),
        // a patient row's own ladder, but no login sooner than a poll
        (token(429, "throttled"), 0, vec![(300, false)]),
        (token(429, "throttled"), 300_000, vec![(300, false)]),
        (token(429, ""), 300_000, vec![(600, false)]),
    ] {
        assert_eq!(waits(&fault, dice, expected.len()), expected, "{fault} with {dice}");
    }
}

#[test]
fn what_several_feeds_met_waits_as_its_row_says() {
    for (fault, dice, seconds) in [
        (said(Origin::Api, 429, "throttled"), 300_000, 300),
        (said(Origin::Api, 429, ""), 300_000, 600),
        (said(Origin::Api, 403, "0002"), 300_000, 3_600),
    ] {
        let mut gate = working();
        gate.widen(&fault, Moment { now: Time(0), dice }, &Pace::default());
        assert_eq!(held(&gate).unwrap().1, Some(seconds * SECOND), "{fault}");
    }
}

/// The last rung is more than seven times the first: a chosen pause grows likewise.
#[test]
fn a_chosen_pause_of_a_locked_account_grows_as_the_rows_own() {
    let change = Override {
        status: 401,
        code: Some("0010".to_owned()),
        pause: Some(Duration::from_secs(45 * 60)),
        action: None,
        allow_harmful: false,
    };
    let chosen = Pace::new(Duration::from_secs(300), false, Overrides::new(vec![change]));
    for (pace, dice, rungs) in [
        (&chosen, 0, [45, 45, 7 * 45]),
        (&Pace::default(), 0, [31, 61, 240]),
        (&Pace::default(), 60_000, [32, 62, 241]), // up to a minute later
    ] {
        let (mut gate, mut now) = (Gate::new("f"), 0);
        for rung in rungs {
            let at = Moment { now: Time(now), dice };
            gate.begin_login(at, "f", pace).unwrap();
            gate.login_fault(&token(401, "0010"), at, pace);
            let until = held(&gate).unwrap().1.unwrap();
            assert_eq!((until - now) / MINUTE, rung, "with {dice}");
            now = until;
        }
    }
}

/// Two programs that write the secret's file in turn, each a wrong one: every change is a new secret, and all of them
/// are attempts at one account.
#[test]
fn secrets_that_change_again_and_again_get_four_attempts_an_hour_in_all() {
    for (signs, refusal) in [(false, token(401, "invalid_client")), (true, said(Origin::Api, 401, "0004"))] {
        let (mut gate, mut made) = (Gate::new("0").signing(signs), Vec::new());
        for n in 0..3 * 60 {
            let now = n * MINUTE;
            if gate.begin_login(at(now), &n.to_string(), &Pace::default()).is_err() {
                assert_eq!(held(&gate), Some(("M37", Some(made[made.len() - 4] + HOUR))), "minute {n}");
                assert_eq!(gate.state(Time(now)), CredentialState::Suspended);
            } else if signs {
                made.push(now);
                gate.knock_fault("audit", &refusal, LIFE, at(now), &Pace::default());
            } else {
                made.push(now);
                gate.login_fault(&refusal, at(now), &Pace::default());
            }
            gate = restarted(&gate, now);
        }
        assert_eq!(made.len(), 12, "{made:?}");
    }
}

#[test]
fn attempts_with_earlier_secrets_are_forgotten_by_a_good_login_and_by_a_person() {
    let tried = || {
        let mut gate = Gate::new("f");
        for (n, secret) in ["a", "b", "c"].into_iter().enumerate() {
            gate.begin_login(at(n as i64), secret, &Pace::default()).unwrap();
            gate.login_fault(&token(401, "invalid_client"), at(n as i64), &Pace::default());
        }
        gate
    };
    let another = |gate: &mut Gate, ms| gate.begin_login(at(ms), "another", &Pace::default()).is_ok();
    let mut gate = tried();
    works(&mut gate, MINUTE);
    assert!(another(&mut gate, 2 * MINUTE), "the account took a login: its count is at nought");
    let mut gate = tried();
    fails(&mut gate, MINUTE, &token(401, "invalid_client"));
    assert!(!another(&mut gate, 2 * MINUTE) && !another(&mut gate, HOUR - 1) && another(&mut gate, HOUR));
    let mut gate = tried();
    fails(&mut gate, MINUTE, &token(401, "invalid_client"));
    gate.resume();
    assert!(another(&mut gate, 2 * MINUTE));
    let mut gate = tried();
    gate.set_back(Duration::from_secs(60));
    assert!(
        login(&mut gate, 3) && !another(&mut gate, HOUR - MINUTE - 1) && another(&mut gate, HOUR - MINUTE)
    );
}

/// What ends in a halt at once is a failed login as well, and the next secret's attempt is one more.
#[test]
fn what_halts_at_once_counts_against_the_hour() {
    let cases = [
        (token(401, "0011"), 1),
        (token(403, "0009"), 1),
        (token(401, "0010"), 1),
        (token(401, "invalid_client"), 1),
        (token(403, "0016"), 0),
        (token(429, ""), 0),
        (met(Kind::Connect), 0),
        (met(Kind::Timeout), 1),
    ];
    for (fault, counts) in cases {
        let mut gate = Gate::new("f");
        fails(&mut gate, 0, &fault);
        assert_eq!(counted(&gate), counts, "{fault}");
    }
}

/// Asked with the gate's leave by the function `by`, which is refused with that code. Returns until when the gate is closed.
fn only_it_is_refused(gate: &mut Gate, code: &str, now: &mut i64) -> Option<Time> {
    let pace = Pace::default();
    gate.begin_login(at(*now), "f", &pace).unwrap();
    let generation = gate.login_ok(Time(*now), Duration::from_secs(1800));
    gate.call_ok("url", generation);
    assert!(matches!(gate.permit(Time(*now)), Permit::Go { .. }), "and the others need not go one by one");
    assert!(matches!(gate.permit(Time(*now)), Permit::Go { .. }));
    gate.call_fault("audit", &said(Origin::Api, 401, code), generation, at(*now), &pace);
    let until = gate.holding().unwrap().until;
    *now = until.map_or(*now, |until| until.0);
    until
}

/// A 401 that one function alone is told is confirmed, or climbs the ladder of the lock, and ends.
#[test]
fn what_another_function_is_told_does_not_start_the_count_again() {
    for (code, waits) in [("0099", 1), ("0003", 2), ("0010", 3)] {
        let (mut gate, mut now, mut waited) = (Gate::new("f"), 0, 0);
        while only_it_is_refused(&mut gate, code, &mut now).is_some() {
            waited += 1;
            gate = Gate::restore(&gate.to_text(), at(now), &Pace::default()).unwrap();
            assert!(waited < 10, "{code}: asked for ever");
        }
        assert_eq!(waited, waits, "{code}");
    }
}

/// Once the refused function itself is answered well, nothing is left of it.
#[test]
fn the_refused_function_ends_its_count_by_a_good_answer() {
    let (mut gate, mut now) = (Gate::new("f"), 0);
    for _ in 0..5 {
        assert!(only_it_is_refused(&mut gate, "0099", &mut now).is_some());
        gate.begin_login(at(now), "f", &Pace::default()).unwrap();
        let generation = gate.login_ok(Time(now), Duration::from_secs(1800));
        assert!(gate.call_ok("url", generation) && !gate.call_ok("url", generation));
        assert!(gate.call_ok("audit", generation) && !gate.call_ok("audit", generation));
        assert!(!gate.on_trial(), "nothing is left to show");
        now += 1_800_000;
    }
}

/// 418 on one function: one fresh key or token, then no more, whatever the others are told in between.
#[test]
fn a_key_that_one_function_calls_expired_is_renewed_once() {
    let (mut gate, pace) = (Gate::new("f"), Pace::default());
    for tries in 1..=2 {
        gate.begin_login(at(0), "f", &pace).unwrap();
        let generation = gate.login_ok(Time(0), Duration::from_secs(1800));
        gate.call_ok("url", generation);
        gate.call_fault("audit", &said(Origin::Api, 418, "0001"), generation, at(0), &pace);
        assert_eq!(gate.holding().is_some(), tries == 2, "try {tries}");
    }
    assert_eq!(gate.holding().unwrap().until, None);
}
