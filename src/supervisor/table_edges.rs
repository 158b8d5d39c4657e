//! The edges around the table: what a row's columns come to, in time and in words.

use std::time::Duration;

use super::backoff::{Overrides, Pace};
use super::policy::{by_id, judge, parse_question};
use super::rule::{DAY, FieldClass, HOUR, Severity, Shows};
use super::spread::Spread;
use super::words::{answer_json, as_json, key, paragraph, span};
use crate::clock::{Moment, Time};
use crate::fault::{Fault, Kind, Origin};

const TICK: Duration = Duration::from_millis(1);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
fn simulator(interval: u64) -> Pace {
    Pace::new(secs(interval), true, Overrides::default())
}

#[test]
fn many_feeds_begin_spread_over_up_to_one_interval() {
    let real = || Pace::new(secs(400), false, Overrides::default());
    for (pace, feeds, spread) in [
        (real(), 1, secs(30)),
        (real(), 5_000, secs(150)),
        (real(), 100_000, secs(400)),
        (simulator(60), 100, Duration::ZERO),
        (simulator(60), 101, Duration::from_millis(3_030)),
        (simulator(2), 101, secs(2)),
    ] {
        let (interval, loopback) = (pace.interval, pace.loopback);
        let pace = pace.among(feeds);
        assert_eq!(pace.spread, spread, "{feeds} feeds every {interval:?}");
        assert_eq!((pace.interval, pace.loopback), (interval, loopback));
    }
}

#[test]
fn only_a_simulator_that_is_asked_more_often_shrinks_its_waits() {
    let real = Pace::new(secs(600), false, Overrides::default());
    for (pace, wait) in [(&real, 60), (&simulator(600), 60), (&simulator(300), 60), (&simulator(150), 30)] {
        assert_eq!(pace.scaled(secs(60)), secs(wait), "{:?}", pace.interval);
    }
}

#[test]
fn the_second_quick_try_waits_longer_than_the_first() {
    for (nth, dice, wait) in [(1, 0, 1), (1, 4_000, 5), (2, 0, 10), (2, 20_000, 30)] {
        let at = Moment { now: Time(0), dice };
        assert_eq!(Pace::default().before_quick_try(nth, at), secs(wait), "{nth} with {dice}");
    }
}

#[test]
fn a_question_begins_with_a_status_only_if_it_has_three_digits_from_100_on() {
    for (question, status, code) in [
        ("401", Some(401), ""),
        ("100/x", Some(100), "x"),
        ("HTTP 999", Some(999), ""),
        ("0010", None, "0010"),
        ("0403", None, "0403"),
        ("099", None, "099"),
        ("1000", None, "1000"),
        ("M10", None, "M10"),
    ] {
        let (found, word) = parse_question(question);
        assert_eq!((found, word.as_ref().map_or("", |code| code.as_str())), (status, code), "{question}");
    }
}

#[test]
fn a_fault_that_lasts_gets_louder_at_its_times() {
    let row = by_id("M29").unwrap();
    for (lasted, severity) in [
        (Duration::ZERO, Severity::Warn),
        (HOUR - TICK, Severity::Warn),
        (HOUR, Severity::Error),
        (DAY - TICK, Severity::Error),
        (DAY, Severity::Critical),
    ] {
        assert_eq!(row.severity_after(lasted), severity, "{lasted:?}");
    }
    let loud = by_id("M10").unwrap();
    assert_eq!(loud.severity_after(DAY * 30), Severity::Critical);
}

#[test]
fn a_field_is_known_by_the_last_part_of_its_name() {
    for (field, class) in [
        ("nextPage", Some(FieldClass::Cursor)),
        ("@nextPage", Some(FieldClass::Cursor)),
        ("meta.pagination.pageToken", Some(FieldClass::Cursor)),
        ("token", Some(FieldClass::Cursor)),
        ("/data/0/next", Some(FieldClass::Cursor)),
        ("meta.pagination.pageSize", Some(FieldClass::PageSize)),
        ("from", Some(FieldClass::Date)),
        ("data[0].to", Some(FieldClass::Date)),
        ("start", Some(FieldClass::Date)),
        ("end.", Some(FieldClass::Date)),
        ("data[0]startDateTime]", Some(FieldClass::Date)),
        ("color", None),
        ("nextPage.color", None),
        ("", None),
        ("./]", None),
    ] {
        assert_eq!(FieldClass::of(field), class, "{field}");
    }
}

#[test]
fn a_rows_words_are_looked_for_in_any_case() {
    for (words, row) in [
        ("The AUTHENTICATION TYPE is unknown", "M04"),
        ("Basic is Not Supported here", "M04"),
        ("the header is incomplete", "M05"),
    ] {
        let mut fault = Fault::new(Origin::Api, Kind::Status(401), words);
        (fault.code, fault.attributed) = (crate::fault::Code::new("0001"), true);
        assert_eq!(judge(&fault).id, row, "{words}");
    }
}

#[test]
fn what_a_fault_shows_of_the_host() {
    for (kind, attributed, shows) in [
        (Kind::Dns, false, Shows::Away),
        (Kind::Timeout, false, Shows::MayBeAway),
        (Kind::Status(503), false, Shows::MayBeAway),
        (Kind::Status(503), true, Shows::Works),
        (Kind::Html, true, Shows::MayBeAway),
        (Kind::NoProgress, false, Shows::Works),
        (Kind::Malformed, false, Shows::Nothing),
    ] {
        let fault = Fault { attributed, ..Fault::new(Origin::Api, kind, "") };
        let rule = judge(&fault);
        assert_eq!(rule.shows(&fault), shows, "{fault}");
        assert_eq!(rule.of_host(&fault), matches!(shows, Shows::Away | Shows::MayBeAway), "{fault}");
    }
}

#[test]
fn what_became_the_credentials_is_forgotten_and_nothing_else_is() {
    let mut spread = Spread::default();
    let (throttled, missing) = (by_id("M28").unwrap(), by_id("M21").unwrap());
    let mut met = |feed, rule, at| spread.met(feed, rule, 5, Time::from_secs(at));
    assert!(!met("a", missing, 0) && !met("b", missing, 0));
    assert!(!met("c", throttled, 1) && met("d", throttled, 2), "two within a minute");
    assert!(!met("e", throttled, 3), "it begins anew");
    assert!(met("c", missing, 4), "the third");
    assert!(!met("a", throttled, 100) && !met("b", throttled, 160), "a minute later is too late");
    assert!(met("c", throttled, 160 + 59), "the last moment");
}

#[test]
fn a_row_as_data() {
    let row = as_json(by_id("M29").unwrap());
    for (member, value) in [
        ("id", r#""M29""#),
        ("title", r#""server_error""#),
        ("surfaces", r#"["token","api"]"#),
        ("statuses", r#"["200","500"]"#),
        ("codes", r#"["0006"]"#),
        ("scope", r#""feed""#),
        ("action", r#""backoff""#),
        ("retry_is_harmful", "false"),
        ("severity", r#""warn""#),
        ("alert", "false"),
        ("when_it_lasts", r#"[{"after":"1 h","severity":"error"},{"after":"1 d","severity":"critical"}]"#),
        ("clears_when", r#""the next good answer""#),
    ] {
        assert_eq!(row[member].to_string(), value, "{member}");
    }
    let answer = answer_json(&[Origin::Api], by_id("M29").unwrap());
    assert_eq!((answer["from"].to_string(), &answer["id"]), (r#"["api"]"#.to_owned(), &row["id"]));
}

#[test]
fn a_row_for_people() {
    let (locked, busy) = (by_id("M10").unwrap(), by_id("M29").unwrap());
    assert_eq!(key(locked), "Ends with one attempt that succeeds, or `resume`.");
    let text = paragraph(locked, "> ");
    assert!(text.starts_with("> M10 locked_out (critical)\n>   Means     "), "{text}");
    assert!(text.contains("\n>   Careful   another attempt") && !text.contains("Lasting"), "{text}");
    let text = paragraph(busy, "");
    assert!(text.contains("\n  Lasting   error after 1 h, critical after 1 d\n"), "{text}");
    assert!(!text.contains("Careful"), "{text}");
}

#[test]
fn a_span_is_told_in_its_largest_whole_unit() {
    for (duration, text) in [
        (Duration::ZERO, "0 s"),
        (Duration::from_micros(1), "1 ms"),
        (Duration::from_millis(250), "250 ms"),
        (secs(1), "1 s"),
        (secs(60), "1 min"),
        (secs(90), "90 s"),
        (secs(31 * 60), "31 min"),
        (secs(3_600), "1 h"),
        (secs(5_400), "90 min"),
        (secs(86_400), "1 d"),
        (secs(90_000), "25 h"),
    ] {
        assert_eq!(span(duration), text);
    }
}
