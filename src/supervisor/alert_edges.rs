//! The edges of the book of alerts: what an entry remembers, and the last moment of each of its spans.

use super::*;
use crate::supervisor::policy::by_id;

const START: Time = Time(1_767_260_000_000);
const TICK: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn finding() -> Finding {
    Finding {
        key: Key { tenant: "acme".into(), scope: "acme/audit".into(), alert: "M10".into() },
        severity: Severity::Error,
        title: "locked_out".into(),
        words: "the first words".into(),
        remedy: "Wait.".into(),
        clears: "a probe".into(),
        since: None,
        patience: Duration::ZERO,
        stage: 1,
        waiting: 5,
    }
}

/// A book, and one look after another at one scope.
#[derive(Default)]
struct Looks(Book);

impl Looks {
    fn wrong(&mut self, found: Finding, now: Time) -> Vec<Change> {
        self.0.look(vec![found], &BTreeSet::new(), now)
    }
    fn well(&mut self, now: Time) -> Vec<Change> {
        self.0.look(vec![], &BTreeSet::new(), now)
    }
    /// Nobody can say yet how the scope is.
    fn unsettled(&mut self, now: Time) -> Vec<Change> {
        self.0.look(vec![], &BTreeSet::from(["acme/audit".to_owned()]), now)
    }
    /// Raised and gone at `now`, and over in the end; since when it is gone.
    fn blink(&mut self, now: Time) -> Time {
        assert!(matches!(self.wrong(finding(), now)[..], [Change::Raised(_)]));
        self.well(now);
        let over = now.plus(ALERT_MAX_HOLD);
        assert!(matches!(self.well(over)[..], [Change::Cleared(_, _)]));
        now
    }
    fn entry(&self) -> &Alert {
        self.0.get(&finding().key).expect("the entry")
    }
    /// How long it has to be gone to be over, when it is gone from `now` on.
    fn hold(&mut self, now: Time) -> Duration {
        self.well(now);
        let mut hold = ALERT_HOLD;
        while self.well(now.plus(hold)).is_empty() {
            hold *= 2;
        }
        hold
    }
}

#[test]
fn the_store_knows_an_entry_by_tenant_scope_and_alert() {
    let mut looks = Looks::default();
    looks.wrong(finding(), START);
    let names: Vec<String> = looks.0.take_changed().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["acme\nacme/audit\nM10"]);
}

#[test]
fn how_long_a_fault_lasts_before_anybody_is_told() {
    for (id, told) in [
        ("M10", Some(Duration::ZERO)),
        ("X08", Some(Duration::from_secs(900))),
        ("M29", Some(HOUR)), // an error after an hour, critical after a day: the first of them
        ("M32", None),
    ] {
        assert_eq!(patience(by_id(id).unwrap()), told, "{id}");
    }
}

#[test]
fn an_entry_is_over_only_after_it_was_cleared() {
    let mut looks = Looks::default();
    looks.wrong(finding(), START);
    assert!(looks.entry().is_active() && !looks.entry().is_over());
    looks.well(START.plus(TICK));
    assert!(!looks.entry().is_over(), "it may have blinked");
    looks.well(START.plus(TICK).plus(ALERT_HOLD));
    assert!(looks.entry().is_over() && !looks.entry().is_active());
    assert_eq!((looks.0.over().count(), looks.0.active().count()), (1, 0));
    let unknown = Key { alert: "M17".into(), ..finding().key };
    assert_eq!(looks.0.get(&unknown), None);
}

#[test]
fn an_entry_says_what_is_so_now_and_the_most_that_waited() {
    let mut looks = Looks::default();
    looks.wrong(finding(), START);
    let milder = Finding {
        severity: Severity::Warn,
        words: "other words".into(),
        remedy: "Act.".into(),
        clears: "an answer".into(),
        waiting: 3,
        ..finding()
    };
    assert!(looks.wrong(milder, START.plus(HOUR)).is_empty(), "what gets milder is not told");
    let entry = looks.entry();
    assert_eq!((entry.words.as_str(), entry.remedy.as_str()), ("other words", "Act."));
    assert_eq!((entry.clears.as_str(), entry.waited), ("an answer", 5));
    assert_eq!((entry.severity, entry.since), (Severity::Error, START));
    looks.wrong(Finding { waiting: 9, ..finding() }, START.plus(HOUR));
    assert_eq!(looks.entry().waited, 9);
}

#[test]
fn what_gets_worse_is_told_anew_at_most_every_five_minutes() {
    let critical = || Finding { severity: Severity::Critical, ..finding() };
    for (after, told) in [(ALERT_UPDATE_EVERY - TICK, 0), (ALERT_UPDATE_EVERY, 1)] {
        let mut looks = Looks::default();
        looks.wrong(finding(), START);
        let changes = looks.wrong(critical(), START.plus(after));
        assert_eq!(changes.len(), told, "{after:?}: {changes:?}");
        assert!(changes.iter().all(|change| matches!(change, Change::Updated(_))));
    }
}

#[test]
fn what_was_gone_for_a_moment_starts_its_time_of_being_gone_anew() {
    let mut looks = Looks::default();
    looks.wrong(finding(), START);
    looks.well(START.plus(TICK));
    looks.wrong(finding(), START.plus(TICK * 2));
    let gone = START.plus(ALERT_HOLD);
    assert!(looks.well(gone).is_empty() && looks.well(gone.plus(ALERT_HOLD - TICK)).is_empty());
    let changes = looks.well(gone.plus(ALERT_HOLD));
    assert!(matches!(changes[..], [Change::Cleared(_, since)] if since == gone), "{changes:?}");
}

#[test]
fn what_comes_back_soon_is_held_longer_and_what_comes_back_late_is_not() {
    let again = |pause: Duration| {
        let mut looks = Looks::default();
        let gone = looks.blink(START);
        looks.wrong(finding(), gone.plus(pause));
        looks.hold(gone.plus(pause))
    };
    assert_eq!(again(ALERT_MAX_HOLD + TICK), ALERT_HOLD * 2);
    assert_eq!(again(ALERT_FLAP_MEMORY), ALERT_HOLD * 2, "the last moment");
    assert_eq!(again(ALERT_FLAP_MEMORY + TICK), ALERT_HOLD);
}

#[test]
fn what_is_over_is_remembered_to_the_last_moment_of_its_time() {
    let mut looks = Looks::default();
    let gone = looks.blink(START);
    looks.well(gone.plus(ALERT_FLAP_MEMORY));
    assert_eq!(looks.0.over().count(), 1);
    looks.well(gone.plus(ALERT_FLAP_MEMORY + TICK));
    assert_eq!(looks.0.get(&finding().key), None);
}

#[test]
fn an_unsettled_scope_keeps_what_holds_and_forgets_what_is_over() {
    let mut looks = Looks::default();
    looks.wrong(finding(), START);
    for hours in 1..4 {
        assert!(looks.unsettled(START.plus(HOUR * hours)).is_empty());
        assert!(looks.entry().is_active());
    }
    let mut looks = Looks::default();
    let gone = looks.blink(START);
    looks.unsettled(gone.plus(ALERT_FLAP_MEMORY + TICK));
    assert_eq!(looks.0.over().count(), 0);
}
