//! Two positions of one feed, positions set by hand, files and gaps that are remembered.

use std::time::Duration;

use super::fixture::{assert_balanced, intake, key, open, options, scalar};
use super::{Cause, Change, FileMark, Gap, Intake, Lane, Store};
use crate::clock::{Clock, Time};
use crate::cursor::{Cursor, Span, TimeSpan};
use crate::limits::FILES_KEPT;

const NONE: [&str; 0] = [];

fn gap(from: i64, to: i64) -> Gap {
    Gap {
        span: TimeSpan { from: Time(from), to: Time(to) },
        cause: Cause::SkippedByHand,
        detail: "cursor set".into(),
        records: 0,
        fetchable: true,
    }
}

async fn ready(dir: &std::path::Path) -> Store {
    let store = open(dir).await;
    store.register_feed(&key("audit")).await.unwrap();
    store
}

#[tokio::test]
async fn the_two_positions_of_a_feed_move_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    store.commit(intake(&key("audit"), "", "m1", &["a"])).await.unwrap();
    let side = Intake { lane: Lane::Side, ..intake(&key("audit"), "", "s1", &["late"]) };
    store.commit(side.clone()).await.unwrap();
    assert!(store.commit(side).await.unwrap().already, "a lost answer is no second event");
    let astray = Intake { lane: Lane::Side, ..intake(&key("audit"), "m1", "s2", &NONE) };
    store.commit(astray).await.unwrap_err();
    store.commit(intake(&key("audit"), "m1", "m2", &["b"])).await.unwrap();
    let row = store.feed(&key("audit")).await.unwrap();
    assert_eq!((row.cursor.0.as_str(), row.side.0.as_str(), row.stored), ("m2", "s1", 3));
    assert_balanced(&store).await;
}

#[tokio::test]
async fn a_position_is_set_only_from_where_it_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let page = Intake { complete: Some(Time(900)), ..intake(&key("audit"), "", "c1", &["a"]) };
    store.commit(page).await.unwrap();
    store.commit(Intake { lane: Lane::Side, ..intake(&key("audit"), "", "s1", &NONE) }).await.unwrap();
    let change = Change {
        feed: key("audit"),
        from: Cursor("c0".into()),
        to: Cursor("c9".into()),
        side: Span { from: Cursor("s0".into()), to: Cursor("s9".into()) },
        complete: Some(Time(7_000)),
        gaps: vec![gap(900, 7_000)],
    };
    assert!(!store.set_position(&change).await.unwrap());
    let change = Change { from: Cursor("c1".into()), ..change };
    assert!(!store.set_position(&change).await.unwrap(), "the sweep has gone on meanwhile");
    let change = Change { side: Span { from: Cursor("s1".into()), ..change.side }, ..change };
    assert_eq!(store.feed(&key("audit")).await.unwrap().complete, Some(Time(900)));
    assert!(store.gaps_list(0, 10).await.unwrap().is_empty(), "a change that lost leaves no gap behind");
    assert!(store.set_position(&change).await.unwrap());
    let row = store.feed(&key("audit")).await.unwrap();
    assert_eq!((row.cursor.0.as_str(), row.side.0.as_str()), ("c9", "s9"), "a sweep begun before is void");
    assert_eq!((row.complete, row.last_event_time), (Some(Time(7_000)), None));
    // a page that was in flight belongs to the old position
    store.commit(intake(&key("audit"), "c1", "c2", &["b"])).await.unwrap_err();
    assert_balanced(&store).await;
}

#[tokio::test]
async fn a_gap_is_wanted_fetched_and_closed_with_its_last_page() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let lost = Gap { fetchable: false, ..gap(5, 6) };
    let page =
        Intake { gaps: vec![gap(30, 40), gap(10, 20), lost], ..intake(&key("audit"), "", "c1", &NONE) };
    store.commit(page).await.unwrap();
    assert_eq!(store.gaps_open().await.unwrap(), [(key("audit"), 3)]);
    assert_eq!(store.wanted_gap(&key("audit"), Time(15)).await.unwrap(), None);
    assert!(!store.gaps_wanted(), "nobody has to look");
    assert!(store.want_gap(1).await.unwrap() && store.want_gap(2).await.unwrap());
    assert!(!store.want_gap(3).await.unwrap(), "Mimecast no longer has it");
    assert!(!store.want_gap(99).await.unwrap());
    let wanted = store.wanted_gap(&key("audit"), Time(15)).await.unwrap().unwrap();
    assert_eq!((wanted.id, wanted.span.from), (2, Time(10)), "the oldest first");
    let kept = store.wanted_gap(&key("audit"), Time(20)).await.unwrap().unwrap();
    assert_eq!(kept.id, 1, "what has expired stands before nothing that can still be had");
    let last = Intake { lane: Lane::Side, closes: vec![2], ..intake(&key("audit"), "", "s1", &["x"]) };
    store.commit(last).await.unwrap();
    assert_eq!(store.wanted_gap(&key("audit"), Time(15)).await.unwrap().unwrap().id, 1);
    assert_eq!(store.gaps_open().await.unwrap(), [(key("audit"), 2)]);
    assert!(!store.want_gap(2).await.unwrap(), "closed is closed");
    assert!(store.gaps_wanted());
    drop(store);
    let store = open(dir.path()).await;
    assert!(store.gaps_wanted(), "one is wanted still");
    let last = Intake { lane: Lane::Side, closes: vec![1], ..intake(&key("audit"), "s1", "s2", &["y"]) };
    store.commit(last).await.unwrap();
    drop(store);
    assert!(!open(dir.path()).await.gaps_wanted(), "both are filled");
}

#[tokio::test]
async fn a_stored_file_is_known_until_no_listing_can_show_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Time(10_000));
    let store = Store::open(dir.path(), &options(&clock)).await.unwrap();
    for feed in ["audit", "dlp"] {
        store.register_feed(&key(feed)).await.unwrap();
    }
    let mark = |n: u8, size| FileMark { name: [n; 16], size };
    for (n, size) in [(1, Some(10)), (2, None)] {
        let (from, to) = (if n == 1 { String::new() } else { "c1".into() }, format!("c{n}"));
        let page = Intake { file: Some(mark(n, size)), ..intake(&key("audit"), &from, &to, &["a"]) };
        store.commit(page).await.unwrap();
    }
    let listed = [mark(1, Some(10)), mark(1, Some(11)), mark(1, None), mark(2, Some(7)), mark(3, Some(10))];
    let known = store.known_files(&key("audit"), &listed).await.unwrap();
    assert_eq!(known, [mark(1, Some(10)), mark(1, None), mark(2, Some(7))], "another size is another file");
    assert!(store.known_files(&key("dlp"), &[mark(1, Some(10))]).await.unwrap().is_empty());
    store.sweep().await.unwrap();
    assert_eq!(scalar(&store, "SELECT count(*) FROM file").await, 2);
    clock.advance(FILES_KEPT + Duration::from_secs(1));
    store.sweep().await.unwrap();
    assert_eq!(scalar(&store, "SELECT count(*) FROM file").await, 0);
}

#[tokio::test]
async fn what_is_forgotten_is_new_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let dedupe = super::Dedupe::Exact { horizon: Time(0) };
    let file = FileMark { name: [7; 16], size: None };
    store
        .commit(Intake { dedupe, file: Some(file), ..intake(&key("audit"), "", "c1", &["a"]) })
        .await
        .unwrap();
    let again = Intake { dedupe, ..intake(&key("audit"), "c1", "c2", &["a"]) };
    assert_eq!(store.commit(again).await.unwrap().stored, 0);
    store.forget(&key("audit")).await.unwrap();
    assert!(store.known_files(&key("audit"), &[file]).await.unwrap().is_empty());
    let again = Intake { dedupe, ..intake(&key("audit"), "c2", "c3", &["a"]) };
    assert_eq!(store.commit(again).await.unwrap().stored, 1);
    assert_balanced(&store).await;
}

#[tokio::test]
async fn counted_calls_and_completeness_survive() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    assert_eq!(store.load_quota("acme").await.unwrap(), None);
    store.save_quota("acme", "{}").await.unwrap();
    store.save_quota("acme", "{\"used\":3}").await.unwrap();
    store.note_complete(&key("audit"), &Cursor::unset(), Time(77)).await.unwrap();
    // the answer of a poll that was under way when the position was set
    store.note_complete(&key("audit"), &Cursor("c1".into()), Time(99)).await.unwrap();
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(store.load_quota("acme").await.unwrap().as_deref(), Some("{\"used\":3}"));
    let row = store.feed(&key("audit")).await.unwrap();
    assert_eq!((row.complete, row.last_success), (Some(Time(77)), Some(Time(77))));
}
