//! The book of alerts as a person sees it: what they are told, how often, and what a restart changes.

use proptest::prelude::*;

use super::*;

const START: Time = Time(1_767_260_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn finding(alert: &str) -> Finding {
    Finding {
        key: Key { tenant: "acme".into(), scope: "acme".into(), alert: alert.into() },
        severity: Severity::Critical,
        title: "locked_out".into(),
        words: "token answered 401/0010".into(),
        remedy: "Wait.".into(),
        clears: "one probe that succeeds".into(),
        since: None,
        patience: Duration::ZERO,
        stage: 0,
        waiting: 0,
    }
}

fn nobody() -> BTreeSet<String> {
    BTreeSet::new()
}

/// The book after its texts went through the store.
fn restarted(book: &Book) -> Book {
    let texts: Vec<String> =
        book.entries.values().map(|alert| serde_json::to_string(alert).unwrap()).collect();
    Book::restore(texts.iter().map(String::as_str))
}

#[test]
fn told_once_then_daily_then_cleared_with_its_length() {
    let (mut book, mut now) = (Book::default(), START);
    assert!(matches!(book.look(vec![finding("M10")], &nobody(), now)[..], [Change::Raised(_)]));
    let mut told = 0;
    for _ in 0..(3 * 24 * 60) {
        now = now.plus(Duration::from_secs(60));
        for change in book.look(vec![finding("M10")], &nobody(), now) {
            assert!(matches!(change, Change::Repeated(_)), "{change:?}");
            told += 1;
        }
    }
    assert_eq!(told, 3, "three days, three reminders");
    assert!(book.look(vec![], &nobody(), now).is_empty(), "it may only have blinked");
    let later = now.plus(ALERT_HOLD);
    let changes = book.look(vec![], &nobody(), later);
    let [Change::Cleared(alert, over)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(
        (alert.since, *over),
        (START, now),
        "what counts is when it was gone, not when that was believed"
    );
    assert_eq!(book.active().count(), 0);
}

#[test]
fn what_passes_by_itself_is_not_told_before_its_time() {
    let mut book = Book::default();
    let patient = || Finding { patience: Duration::from_secs(300), ..finding("S08") };
    assert!(book.look(vec![patient()], &nobody(), START).is_empty());
    assert!(book.look(vec![], &nobody(), START.plus(Duration::from_secs(200))).is_empty());
    assert!(
        book.look(vec![patient()], &nobody(), START.plus(Duration::from_secs(400))).is_empty(),
        "a new one"
    );
    assert_eq!(book.look(vec![patient()], &nobody(), START.plus(Duration::from_secs(700))).len(), 1);
}

#[test]
fn it_is_told_again_when_it_gets_worse_but_not_when_only_the_words_change() {
    let mut book = Book::default();
    let ends = |stage, severity| Finding { stage, severity, ..finding("secret_expiring") };
    assert_eq!(book.look(vec![ends(1, Severity::Warn)], &nobody(), START).len(), 1);
    let soon = START.plus(HOUR);
    let other = Finding { words: "other words".into(), ..ends(1, Severity::Warn) };
    assert!(book.look(vec![other], &nobody(), soon).is_empty());
    let changes = book.look(vec![ends(2, Severity::Error)], &nobody(), soon);
    assert!(
        matches!(&changes[..], [Change::Updated(alert)] if alert.severity == Severity::Error),
        "{changes:?}"
    );
    assert!(book.look(vec![ends(2, Severity::Error)], &nobody(), soon.plus(HOUR)).is_empty());
    let worse = book.look(vec![ends(3, Severity::Error)], &nobody(), soon.plus(HOUR));
    assert!(matches!(worse[..], [Change::Updated(_)]), "{worse:?}");
}

#[test]
fn a_restart_neither_repeats_what_is_active_nor_forgets_what_is_gone() {
    let mut book = Book::default();
    book.look(vec![finding("M10"), finding("M17")], &nobody(), START);
    let mut book = restarted(&book);
    let unsettled = BTreeSet::from(["acme".to_owned()]);
    let later = START.plus(HOUR);
    assert!(book.look(vec![], &unsettled, later).is_empty(), "just started: nobody knows yet");
    assert!(book.look(vec![finding("M10")], &nobody(), later).is_empty(), "M10 still holds, M17 is gone");
    let mut book = restarted(&book);
    let changes = book.look(vec![finding("M10")], &nobody(), later.plus(ALERT_HOLD));
    assert!(matches!(&changes[..], [Change::Cleared(alert, _)] if alert.key.alert == "M17"), "{changes:?}");
    assert_eq!(book.active().map(|alert| alert.key.alert.as_str()).collect::<Vec<_>>(), ["M10"]);
}

#[test]
fn the_store_hears_of_every_change_and_of_nothing_else() {
    let mut book = Book::default();
    book.look(vec![finding("M10")], &nobody(), START);
    assert!(matches!(&book.take_changed()[..], [(_, Some(_))]));
    book.look(vec![finding("M10")], &nobody(), START.plus(HOUR));
    assert!(book.take_changed().is_empty(), "nothing new: no write");
    book.look(vec![], &nobody(), START.plus(HOUR));
    assert_eq!(book.take_changed().len(), 1, "since when it is gone");
    book.look(vec![], &nobody(), START.plus(2 * HOUR));
    book.look(vec![], &nobody(), START.plus(3 * HOUR + ALERT_FLAP_MEMORY));
    assert!(matches!(&book.take_changed()[..], [(_, None)]), "forgotten");
    assert_eq!(book, Book::default());
}

#[test]
fn the_book_has_a_last_page() {
    let mut book = Book::default();
    let many = (0..MAX_ALERTS + 50).map(|n| finding(&format!("X{n}"))).collect();
    assert_eq!(book.look(many, &nobody(), START).len(), MAX_ALERTS);
}

proptest! {
    /// Whatever comes and goes, and however often the daemon restarts: each alert is raised and cleared in turns,
    /// nobody is told more than a few times an hour, and at the end the book knows what holds.
    #[test]
    fn telling_alternates_and_is_bounded(
        steps in proptest::collection::vec((1_u64..400, any::<bool>(), 0_u8..20), 1..600)
    ) {
        let (mut book, mut now, mut active) = (Book::default(), START, false);
        let mut told: Vec<Time> = Vec::new();
        let mut last = false;
        for (seconds, wrong, chance) in steps {
            now = now.plus(Duration::from_secs(seconds));
            if chance == 0 {
                book = restarted(&book);
            }
            let found = if wrong { vec![finding("M10")] } else { vec![] };
            for change in book.look(found, &nobody(), now) {
                match change {
                    Change::Raised(_) => { prop_assert!(!active); active = true; }
                    Change::Cleared(alert, over) => {
                        prop_assert!(active && over >= alert.since && over <= now);
                        active = false;
                    }
                    Change::Updated(_) | Change::Repeated(_) => prop_assert!(active),
                }
                told.push(now);
            }
            prop_assert_eq!(book.active().count() == 1, active);
            if wrong { prop_assert!(active, "what holds and is not waited for has been told") }
            last = wrong;
        }
        for start in &told {
            let within = told.iter().filter(|at| **at >= *start && at.since(*start) < HOUR).count();
            prop_assert!(within <= 14, "told {within} times in an hour");
        }
        if !last {
            book.look(vec![], &nobody(), now);
            book.look(vec![], &nobody(), now.plus(ALERT_MAX_HOLD));
            prop_assert_eq!(book.active().count(), 0, "it ends");
        }
    }
}
