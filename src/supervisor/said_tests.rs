//! What people are told of a row is what happens: how a hold ends, who finds it, and how the gate carries it out.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::backoff::Pace;
use super::gate::Gate;
use super::overrides::CONFIGURED;
use super::policy::{RULES, found_by, judge};
use super::rule::{Clears, Refused, Rule, Verdict};
use super::truth_tests::{faults, lines};
use crate::clock::{Moment, Time};
use crate::fault::{Fault, Origin};

const NOW: Moment = Moment { now: Time(1_767_259_800_000), dice: 0 };

/// The keys that can turn, by what the verdict does.
fn keys(rule: &Rule) -> &'static [Clears] {
    match rule.verdict {
        Verdict::Halt { probe: Some(_) } | Verdict::Lockout { .. } => &[Clears::Probe],
        Verdict::Halt { probe: None } => &[Clears::Secret, Clears::Config],
        Verdict::ConfirmThenHalt(_) => &[Clears::Attempt],
        Verdict::Refresh { spent, .. } => match spent.map(|spent| spent.end) {
            Some(Refused::Confirm(_)) => &[Clears::Attempt],
            Some(Refused::Halt) => &[Clears::Secret],
            None => &[Clears::Success],
        },
        Verdict::Exit(_) => &[Clears::Restart],
        Verdict::Backoff { last: Some(_), .. } => &[Clears::Success, Clears::Probe],
        Verdict::Proceed => &[Clears::Itself, Clears::Success, Clears::Review, Clears::File],
        Verdict::StopPaging => &[Clears::Itself, Clears::Success],
        Verdict::Quarantine | Verdict::DeadLetter => &[Clears::Review],
        Verdict::SkipWithGap => &[Clears::Itself],
        Verdict::Bisect { .. } | Verdict::Insist { .. } => &[Clears::Success, Clears::Review],
        Verdict::Backoff { last: None, .. }
        | Verdict::BackoffThenShrink { .. }
        | Verdict::PauseFor(_)
        | Verdict::Relist { .. }
        | Verdict::Rewind { .. }
        | Verdict::Shrink { .. }
        | Verdict::PauseIntake { .. } => &[Clears::Success],
    }
}

#[test]
fn what_ends_a_hold_is_what_its_verdict_waits_for() {
    let all = RULES.iter().chain(CONFIGURED);
    let wrong: Vec<_> = all.filter(|rule| !keys(rule).contains(&rule.clears)).map(Rule::name).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The gate after one fault of the row, of a credential that works.
fn held(fault: &Fault, signs: bool) -> Gate {
    let (mut gate, pace) = (Gate::new("f").signing(signs), Pace::default());
    let before = Moment { now: NOW.now.minus(Duration::from_secs(60)), ..NOW };
    gate.begin_login(before, "f", &pace).unwrap();
    let generation = gate.login_ok(before.now, Duration::from_secs(1_800));
    match fault.origin {
        Origin::Token => {
            gate.begin_login(NOW, "f", &pace).unwrap();
            gate.login_fault(fault, NOW, &pace);
        }
        _ => {
            gate.call_fault("audit", fault, generation, NOW, &pace);
        }
    }
    gate
}

#[test]
fn the_gate_is_opened_by_what_the_row_says() {
    let mut tried = 0;
    for fault in lines().iter().flat_map(faults).map(|(fault, _)| fault) {
        let rule = judge(&fault);
        if !rule.is_for_gate(fault.origin) {
            continue;
        }
        let gate = held(&fault, false);
        let Some(closed) = gate.holding() else {
            assert!(
                matches!(rule.verdict, Verdict::Refresh { .. }),
                "{fault}: {} holds nothing",
                rule.name()
            );
            continue;
        };
        tried += 1;
        assert_eq!(closed.rule.map(Rule::name), Some(rule.name()), "{fault}");
        let only_people = matches!(rule.clears, Clears::Secret | Clears::Config);
        assert_eq!(closed.until.is_none(), only_people, "{fault}: {} ends by itself or not", rule.name());
        let (mut changed, mut resumed) = (gate.clone(), gate);
        changed.offer("another secret");
        let lock = matches!(rule.verdict, Verdict::Lockout { .. });
        assert_eq!(changed.holding().is_some(), lock, "{fault}: {} and another secret", rule.name());
        resumed.resume();
        assert!(resumed.holding().is_none(), "{fault}: {} and `resume`", rule.name());
    }
    assert!(tried > 100, "only {tried}");
}

/// A code that only the table knows is no witness: such rows say who finds what they are about.
#[test]
fn rows_that_no_fault_leads_to_say_so() {
    let mut sources = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    assert!(sources.len() > 100, "{} files", sources.len());
    // Splunk's numbers are put together where they are read; the name of a member (`"code":`) makes no fault
    let made = |code: &&str| {
        let word = format!("\"{code}\"");
        let whole = |text: &String| text.split(&word).skip(1).any(|rest| !rest.starts_with(':'));
        code.starts_with("hec_") || sources.iter().any(whole)
    };
    for rule in RULES {
        let named = rule.on.codes();
        let of_ours = rule.on.statuses().is_empty() && rule.on.other_kinds().is_empty() && !named.is_empty();
        let acknowledges = rule.on.statuses().iter().any(|(low, _)| (200..300).contains(low))
            && rule.surfaces == [Origin::Sink]
            && rule.verdict == Verdict::Proceed;
        let nobody = of_ours && !named.iter().any(made) || acknowledges;
        assert_eq!(found_by(rule).is_some(), nobody, "{}", rule.name());
    }
}

/// Everything but the table, its tests and what is generated from it.
fn read(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            if !entry.ends_with("supervisor") && !entry.ends_with("bin") {
                read(&entry, into);
            }
        } else if !entry.to_string_lossy().ends_with("_tests.rs") {
            into.push(fs::read_to_string(&entry).unwrap());
        }
    }
}
