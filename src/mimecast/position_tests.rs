//! Positions and their text: what they remember, what they forget, where they go next.

use proptest::prelude::*;

use super::catalogue::find;
use super::edge::Edge;
use super::links::FileKey;
use super::position::*;
use crate::clock::Time;
use crate::cursor::{Cursor, TimeSpan};
use crate::fault::{Fault, Kind, Origin};
use std::time::Duration;

const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);

fn open(feed: &str, text: &str) -> Result<Position, Fault> {
    Position::open(find(feed).unwrap(), &Cursor(text.into()), NOW, DAY)
}

fn position() -> impl Strategy<Value = (&'static str, Position)> {
    let day = (0_i64..80_000).prop_map(|days| Day::of(Time::from_secs(days * 86_400)));
    let key = "[a-z0-9/.]{0,12}".prop_map(|name| FileKey::of(&name));
    let batch = (day, any::<Option<String>>(), proptest::collection::vec(key, 0..5))
        .prop_map(|(since, token, done)| ("siem.av", Position::Batch { since, token, done, seam: None }));
    let reading = (any::<i64>(), any::<i64>(), any::<Option<String>>())
        .prop_map(|(from, to, page)| Reading { from: Time(from), to: Time(to), page, edge: Edge::default() });
    let window = (any::<i64>(), any::<u64>(), proptest::option::of(reading))
        .prop_map(|(high, pass, reading)| ("audit", Position::Window { high: Time(high), pass, reading }));
    prop_oneof![batch, window]
}

proptest! {
    #[test]
    fn survives_the_round_trip((feed, position) in position()) {
        let cursor = position.cursor();
        prop_assert!(!cursor.is_unset());
        prop_assert_eq!(open(feed, &cursor.0).unwrap().cursor(), cursor.clone());
        prop_assert_eq!(open(feed, &cursor.0).unwrap(), position);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), json in "\\{\"v\":[0-9],\"(batch|window)\":[{}\":0-9a-z,]{0,40}\\}") {
        let _ = open("audit", &text);
        let _ = open("siem.av", &json);
    }
}

#[test]
fn the_text_of_version_1_never_changes() {
    let batch = r#"{"v":1,"batch":{"since":"2026-01-01","token":"NTI6bnVsbA==","done":["000102030405060708090a0b0c0d0e0f"]}}"#;
    assert_eq!(open("siem.av", batch).unwrap().cursor().0, batch);
    let window = r#"{"v":1,"window":{"high":1767259800000,"pass":7,"reading":[1767258900000,1767259800000,"\"eN\""]}}"#;
    assert_eq!(open("audit", window).unwrap().cursor().0, window);
}

#[test]
fn a_cursor_that_cannot_be_read_is_a_fault() {
    let batch = Position::first(find("siem.av").unwrap(), NOW, DAY).cursor().0;
    for (feed, text) in [
        ("siem.av", "{}".to_owned()),
        ("siem.av", batch.replace("\"v\":1", "\"v\":2")),
        ("siem.av", batch.replace("since", "from")),
        ("siem.av", batch.replace("2025-12-31", "2025-13-31")),
        ("siem.av", batch.replace("}}", ",\"done\":[\"xyz\"]}}")),
        ("audit", batch),
        ("audit", "p12".to_owned()),
    ] {
        let fault = open(feed, &text).unwrap_err();
        assert_eq!((fault.origin, fault.kind), (Origin::Local, Kind::Malformed), "{text}");
    }
}

#[test]
fn the_first_position_is_clamped_to_what_is_kept() {
    let since = |lookback| match Position::first(find("siem.av").unwrap(), NOW, lookback) {
        Position::Batch { since, token: None, done, seam: None } if done.is_empty() => since.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(since(DAY), "2025-12-31");
    assert_eq!(since(DAY * 400), "2025-12-25");
    let high = |lookback| match Position::first(find("ttp.url").unwrap(), NOW, lookback) {
        Position::Window { high, pass: 0, reading: None } => high,
        other => panic!("{other:?}"),
    };
    assert_eq!(high(HOUR), NOW.minus(HOUR));
    assert_eq!(high(DAY * 400), NOW.minus(DAY * 30));
}

#[test]
fn a_window_is_frozen_until_its_end_and_never_goes_back() {
    let feed = find("ttp.url").unwrap();
    let first = Position::first(feed, NOW, HOUR).with_window(feed, feed.overlap, NOW);
    let settled = NOW.minus(feed.settle);
    assert_eq!(first.window(), Some((0, TimeSpan { from: NOW.minus(HOUR), to: settled })));
    let later = first.after_page(Some("\"p\"".into()), Edge::default()).with_window(
        feed,
        feed.overlap,
        NOW.plus(HOUR),
    );
    assert_eq!(later.window(), first.window());
    let ended = later.after_page(None, Edge::default());
    assert_eq!(ended, Position::Window { high: settled, pass: 1, reading: None });
    let second = ended.with_window(feed, feed.overlap, NOW.plus(HOUR));
    let from = settled.minus(feed.overlap);
    assert_eq!(second.window(), Some((1 << 16, TimeSpan { from, to: NOW.plus(HOUR).minus(feed.settle) })));
    let clock_set_back = ended.with_window(feed, feed.overlap, NOW.minus(DAY));
    assert_eq!(clock_set_back.window(), Some((1 << 16, TimeSpan { from, to: from })));
    assert_eq!(
        clock_set_back.after_page(None, Edge::default()),
        Position::Window { high: settled, pass: 2, reading: None }
    );
}

#[test]
fn refused_token_goes_back_to_what_is_surely_read() {
    let feed = find("siem.av").unwrap();
    let start = Position::first(feed, NOW, DAY * 3).with_done(FileKey::of("a"));
    let behind = start.forward("t1", false, NOW);
    assert_eq!(behind.without_token(), Position::first(feed, NOW, DAY * 3));
    let caught_up = behind.forward("t2", true, NOW);
    assert_eq!(caught_up.without_token(), Position::first(feed, NOW, DAY));
}
