//! What an operator may change in the table, and what not.

use std::time::Duration;

use super::overrides::{Action, Override, Overrides};
use crate::fault::{Code, Fault, Kind, Origin};
use crate::supervisor::policy::{RULES, judge};
use crate::supervisor::rule::Verdict;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
fn table(status: u16, code: &str, pause: Option<u64>) -> Override {
    let code = (!code.is_empty()).then(|| code.to_owned());
    Override { status, code, pause: pause.map(secs), action: None, allow_harmful: false }
}
fn said(origin: Origin, status: u16, code: &str) -> Fault {
    let mut fault = Fault::new(origin, Kind::Status(status), "");
    (fault.code, fault.attributed) = (Code::new(code), true);
    fault
}

#[test]
fn a_chosen_pause_never_falls_below_the_rows_floor() {
    let choose = |pause| Overrides::new(vec![table(401, "0010", Some(pause))]);
    let locked = said(Origin::Token, 401, "0010");
    assert_eq!(choose(1).pause(&locked, false), Some(secs(900)));
    assert_eq!(choose(2700).pause(&locked, false), Some(secs(2700)));
    assert_eq!(choose(1).pause(&locked, true), Some(secs(1)));
    assert_eq!(choose(2700).pause(&said(Origin::Token, 401, "0003"), false), None);
    assert_eq!(
        choose(2700).pause(&said(Origin::Sink, 401, "0010"), false),
        None,
        "not a destination's business"
    );
}

#[test]
fn the_table_with_a_code_wins() {
    let both = Overrides::new(vec![table(429, "", Some(600)), table(429, "0008", Some(900))]);
    assert_eq!(both.pause(&said(Origin::Api, 429, "0008"), false), Some(secs(900)));
    assert_eq!(both.pause(&said(Origin::Api, 429, ""), false), Some(secs(600)));
}

#[test]
fn what_is_refused_and_why() {
    let with = |action, allow_harmful, table| Override { action: Some(action), allow_harmful, ..table };
    for (change, key, words) in [
        (table(401, "0010", Some(60)), "pause", "15m or more"),
        (table(429, "", Some(60)), "pause", "5m or more"),
        (table(403, "0009", Some(3600)), "", "makes it worse"),
        (table(401, "0011", Some(3600)), "", "makes it worse"),
        (table(400, "", Some(3600)), "pause", "no pause to choose"),
        (with(Action::Pause, false, table(409, "", Some(600))), "action", "answers for this status"),
        (with(Action::Pause, false, table(401, "0010", Some(3600))), "action", "knows this code"),
        (with(Action::Pause, false, table(401, "brand_new", Some(3600))), "", "makes it worse"),
        (with(Action::Pause, false, table(409, "foo", None)), "action", "needs a duration"),
        (with(Action::Pause, false, table(409, "foo", Some(60))), "pause", "5m or more"),
    ] {
        let refusal = change.check(true).expect_err(&format!("{change:?}"));
        assert_eq!(refusal.key, key, "{change:?}: {refusal:?}");
        assert!(refusal.why.contains(words), "{change:?}: {refusal:?}");
        assert!(!refusal.help.is_empty());
    }
    for fine in [
        table(401, "0010", Some(900)),
        table(429, "", Some(300)),
        table(401, "0003", Some(3600)),
        table(403, "0002", Some(600)),
        Override { allow_harmful: true, ..table(403, "0009", Some(3600)) },
        with(Action::Pause, false, table(409, "foo", Some(600))),
        with(Action::Halt, false, table(401, "brand_new", None)),
        with(Action::Pause, true, table(401, "brand_new", Some(3600))),
    ] {
        assert_eq!(fine.check(true), Ok(()), "{fine:?}");
    }
    assert_eq!(table(401, "0010", Some(1)).check(false), Ok(()), "a simulator has no floors");
}

/// Whatever is written, no attempt that the table calls harmful comes without `allow_harmful`.
#[test]
fn a_harmful_attempt_is_never_turned_on_by_the_way() {
    for rule in RULES {
        for &(low, _) in rule.on.statuses() {
            for code in rule.on.codes().iter().copied().chain(["", "brand_new"]) {
                for action in [None, Some(Action::Pause), Some(Action::Halt)] {
                    let change = Override { action, ..table(low, code, Some(60)) };
                    let change = Overrides::new(vec![change]);
                    for origin in [Origin::Api, Origin::Token] {
                        let fault = said(origin, low, code);
                        let (before, after) = (judge(&fault), change.judge(&fault));
                        let tries_again = matches!(after.verdict, Verdict::PauseFor(_));
                        assert!(
                            !before.harmful || before.id == after.id || !tries_again,
                            "{fault}: {}",
                            after.id
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn an_unknown_code_follows_the_rule_it_was_given() {
    let pause = Override { action: Some(Action::Pause), ..table(409, "foo", Some(600)) };
    let halt = Override { action: Some(Action::Halt), ..table(500, "bar", None) };
    let allowed =
        Override { action: Some(Action::Pause), allow_harmful: true, ..table(401, "odd", Some(600)) };
    let all = Overrides::new(vec![pause, halt, allowed]);
    let of = |status, code| all.judge(&said(Origin::Api, status, code)).id;
    assert_eq!((of(409, "foo"), of(409, "FOO"), of(409, "other")), ("C01", "C01", "M25"));
    assert_eq!((of(500, "bar"), of(401, "odd"), of(401, "0010")), ("C03", "C02", "M10"));
    assert_eq!(all.pause(&said(Origin::Api, 409, "foo"), false), Some(secs(600)));
    let of_a_proxy = Fault { attributed: false, ..said(Origin::Api, 401, "odd") };
    assert_eq!(judge(&of_a_proxy).id, "X09");
}

#[test]
fn a_harmful_attempt_can_be_turned_on_knowingly() {
    let change = Override { allow_harmful: true, ..table(403, "0009", Some(3600)) };
    let expired = said(Origin::Token, 403, "0009");
    assert_eq!(Overrides::new(vec![change.clone()]).judge(&expired).id, "C02");
    assert_eq!(Overrides::new(vec![Override { allow_harmful: false, ..change }]).judge(&expired).id, "M17");
}
