//! One request of a feed and what is stored of its answer, against a small server and a real store: answers that look
//! like the end and are none.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};

use super::account_tests::{NOW, World};
use super::decide::Outcome;
use super::places::Places;
use super::side::Side;
use super::steps::{Hand, Reach};
use crate::clock::Time;
use crate::cursor::{Cursor, FeedKey, Span, TimeSpan};
use crate::mimecast::catalogue::find;
use crate::mimecast::feed::Endpoint;
use crate::mimecast::links::FileKey;
use crate::mimecast::page::Leads;
use crate::mimecast::position::Position;
use crate::store::{Cause, Change, FeedRow, FileMark, Gap, Intake, Store};
use crate::supervisor::policy::judge;

const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);
const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

/// A feed that stands at `to` and was complete an hour ago.
pub(super) struct Feed {
    pub key: FeedKey,
    pub store: Store,
    pub hand: Hand,
}

impl Feed {
    pub async fn at(world: &World, feed: &'static str, to: Cursor, gaps: Vec<Gap>) -> Feed {
        let (account, store) = world.account_and_store("ZGVtbw==").await;
        let key = FeedKey { tenant: "acme".into(), feed };
        store.register_feed(&key).await.unwrap();
        let complete = Some(NOW.minus(HOUR));
        let side = Span { from: Cursor::unset(), to: Cursor::unset() };
        let change = Change { feed: key.clone(), from: Cursor::unset(), to, side, complete, gaps };
        assert!(store.set_position(&change).await.unwrap());
        let reach = Reach { overlap: HOUR, lookback: HOUR, endpoint: Endpoint::Batch, sweep_every: DAY };
        let (row, stored) = (find(feed).unwrap(), (store.clone(), world.clock.clone()));
        let hand = Hand::new(key.clone(), row, reach, Arc::clone(&account), stored, Places::new());
        Feed { key, store, hand }
    }

    async fn row(&self) -> FeedRow {
        self.store.feed(&self.key).await.unwrap()
    }

    /// Something was stored just now; the newest event is of that time.
    async fn news(&self, newest: Time) {
        let at = self.row().await.cursor;
        let stays = self.hand.intake(Span { from: at.clone(), to: at });
        self.store.commit(Intake { newest: Some(newest), ..stays }).await.unwrap();
    }
}

fn window(high: Time) -> Cursor {
    Position::Window { high, pass: 3, reading: None }.cursor()
}

fn skipped(from: Time, to: Time) -> Gap {
    let detail = "skipped".to_owned();
    Gap { span: TimeSpan { from, to }, cause: Cause::SkippedByHand, detail, records: 0, fetchable: true }
}

/// An answer that carries the time of day.
fn said(body: String) -> Response {
    ([("date", "Thu, 01 Jan 2026 09:30:00 GMT"), ("content-type", "application/json")], body).into_response()
}

fn rows(ids: std::ops::Range<u32>, paging: &str, failure: &str) -> Response {
    let row = |id| format!(r#"{{"id":"{id}","eventTime":"2025-12-30T10:00:00+0000"}}"#);
    let rows: Vec<String> = ids.map(row).collect();
    said(format!(r#"{{"meta":{{"status":200{paging}}},"data":[{}]{failure}}}"#, rows.join(",")))
}

const FAILURE: &str = r#","fail":[{"errors":[{"code":"err_some","message":"0006 no","retryable":true}]}]"#;

/// A page of a backfill that tells of a failure beside its records: they are kept, and the gap is read from its start.
#[tokio::test]
async fn a_failure_beside_the_records_of_a_gap_does_not_close_it() {
    let world = World::new(|_, number| match number {
        1 => rows(0..2, "", FAILURE),
        2 => rows(0..2, r#","pagination":{"next":"n"}"#, ""),
        _ => rows(2..5, "", ""),
    })
    .await;
    let span = (NOW.minus(DAY * 3), NOW.minus(DAY * 2));
    let mut feed = Feed::at(&world, "audit", window(NOW), vec![skipped(span.0, span.1)]).await;
    let gap = feed.store.gaps_list(0, 9).await.unwrap().remove(0);
    assert!(feed.store.want_gap(gap.id).await.unwrap());
    let fault = feed.hand.aside(500).await.unwrap_err();
    assert_eq!(fault.code_str(), "0006");
    let row = feed.row().await;
    assert_eq!(row.stored, 2, "what came is kept");
    assert!(Side::read(&row.side).filling().is_some());
    let at = Side::read(&row.side).position().unwrap();
    let at = Position::open(find("audit").unwrap(), &at, NOW, HOUR).unwrap();
    assert_eq!(at.window().unwrap().1, TimeSpan { from: span.0, to: span.1 }, "all of the gap, nothing else");
    for _ in 0..2 {
        assert_eq!(feed.store.gaps_open().await.unwrap().len(), 1, "it is not read to its end");
        feed.hand.aside(500).await.unwrap();
    }
    assert!(feed.store.gaps_open().await.unwrap().is_empty());
    let row = feed.row().await;
    assert_eq!((row.stored, row.duplicate), (5, 2), "read once more, and known");
}

/// A gap that nobody fetched in time stays in the ledger, and the next one is fetched.
#[tokio::test]
async fn a_gap_that_expired_does_not_stand_before_others() {
    let world = World::new(|_, _| rows(0..5, "", "")).await;
    let (old, new) = ((NOW.minus(DAY * 80), NOW.minus(DAY * 70)), (NOW.minus(DAY * 3), NOW.minus(DAY * 2)));
    let gaps = vec![skipped(old.0, old.1), skipped(new.0, new.1)];
    let mut feed = Feed::at(&world, "audit", window(NOW), gaps).await;
    for gap in feed.store.gaps_list(0, 9).await.unwrap() {
        assert!(feed.store.want_gap(gap.id).await.unwrap());
    }
    feed.hand.aside(500).await.unwrap();
    assert_eq!(feed.row().await.stored, 5);
    let gaps = feed.store.gaps_list(0, 9).await.unwrap();
    let open: Vec<_> = gaps.iter().filter(|gap| gap.closed.is_none()).map(|gap| gap.span.from).collect();
    assert_eq!(open, [old.0], "what nobody can fetch any more is not said to be fetched");
}

/// A listing of files that were read before, under the token that was sent, and there are said to be more: nothing is
/// complete, or what lies behind would age out without a word.
/// A run that was killed inside a window left its end behind: `run --once` would call what happened since caught up.
#[tokio::test]
async fn the_last_page_of_a_window_begun_long_ago_is_not_the_end() {
    let world = World::new(|_, number| {
        let (date, paging) = match number {
            1 => ("Thu, 01 Jan 2026 09:30:00 GMT", r#","pagination":{"next":"n"}"#),
            _ => ("Thu, 01 Jan 2026 09:40:00 GMT", ""),
        };
        let row = format!(r#"{{"id":"{number}","eventTime":"2026-01-01T09:00:00+0000"}}"#);
        let body = format!(r#"{{"meta":{{"status":200{paging}}},"data":[{row}]}}"#);
        ([("date", date), ("content-type", "application/json")], body).into_response()
    })
    .await;
    let mut feed = Feed::at(&world, "audit", window(NOW.minus(HOUR)), Vec::new()).await;
    let stored = |told| match told {
        Outcome::Stored { records: 1, leads: super::decide::Leads::Forward, caught_up } => caught_up,
        other => panic!("{other:?}"),
    };
    assert!(!stored(feed.hand.ask(100).await.unwrap()), "there is a second page");
    world.clock.advance(std::time::Duration::from_secs(600));
    assert!(!stored(feed.hand.ask(100).await.unwrap()), "its end is ten minutes old");
    assert!(stored(feed.hand.ask(100).await.unwrap()));
    let audit_settles = find("audit").unwrap().settle;
    assert_eq!((world.calls(), feed.row().await.complete), (3, Some(NOW.plus(HOUR / 6 - audit_settles))));
}

#[tokio::test]
async fn x11_a_listing_that_stands_still_leaves_the_feed_incomplete() {
    const LISTING: &str = r#"{"value":[{"url":"https://x/1"}],"@nextPage":"t","isCaughtUp":false}"#;
    let world = World::new(|_, number| match number {
        1 => said(LISTING.into()),
        _ => said(LISTING.replace("false", "true")),
    })
    .await;
    let row = find("siem.av").unwrap();
    let at = Position::first(row, NOW, HOUR).forward("t", false, NOW);
    let at = at.with_done(FileKey::of("https://x/1"));
    let mut feed = Feed::at(&world, "siem.av", at.cursor(), Vec::new()).await;
    let fault = feed.hand.ask(100).await.unwrap_err();
    assert_eq!(judge(&fault).id, "X11");
    assert_eq!(feed.row().await.complete, Some(NOW.minus(HOUR)), "it was complete then, and is not now");
    let end = feed.hand.ask(100).await.unwrap();
    assert!(matches!(end, Outcome::Listed { files: 0, caught_up: true, .. }), "{end:?}");
    assert_eq!(feed.row().await.complete, Some(NOW));
}

/// The same in a backfill: the gap stays open, and is gone on with later.
#[tokio::test]
async fn x11_a_listing_that_stands_still_closes_no_gap() {
    const MORE: &str = r#"{"value":[],"@nextPage":"t","isCaughtUp":false}"#;
    const LISTING: &str = r#"{"value":[{"url":"https://x/1"}],"@nextPage":"t","isCaughtUp":false}"#;
    let world = World::new(|_, number| said(if number == 1 { MORE } else { LISTING }.into())).await;
    let at = Position::first(find("siem.av").unwrap(), NOW, HOUR).forward("o", true, NOW).cursor();
    let gap = skipped(NOW.minus(DAY * 3), NOW.minus(DAY * 2));
    let mut feed = Feed::at(&world, "siem.av", at.clone(), vec![gap]).await;
    let gap = feed.store.gaps_list(0, 9).await.unwrap().remove(0);
    assert!(feed.store.want_gap(gap.id).await.unwrap());
    let mut read = feed.hand.intake(Span { from: at.clone(), to: at });
    read.file = Some(FileMark { name: FileKey::of("https://x/1").bytes(), size: None });
    feed.store.commit(read).await.unwrap();
    assert!(matches!(feed.hand.aside(100).await.unwrap(), Outcome::Listed { files: 0, .. }));
    feed.hand.turn().await.unwrap();
    let fault = feed.hand.aside(100).await.unwrap_err();
    assert_eq!(judge(&fault).id, "X11");
    let side = Side::read(&feed.row().await.side);
    assert_eq!(
        side.led_to(&Leads::Same, false).filling(),
        side.filling(),
        "nor does one with files still to read"
    );
    assert!(side.filling().is_some());
    assert_eq!(feed.store.gaps_open().await.unwrap().len(), 1);
}

/// "No results found" comes as a failure: a quiet threat feed is up to date all the same, or it would count as
/// unread since its last event, and be a gap one day.
#[tokio::test]
async fn m30_a_threat_feed_without_news_is_complete() {
    const EMPTY: &str = include_str!("../../tests/fixtures/dialect/v1-threat-feed-empty.json");
    let world = World::new(|_, _| said(EMPTY.into())).await;
    let at = Position::first(find("threat-feed.grid").unwrap(), NOW, HOUR).cursor();
    let mut feed = Feed::at(&world, "threat-feed.grid", at.clone(), Vec::new()).await;
    let told = feed.hand.ask(100).await.unwrap();
    assert!(matches!(told, Outcome::Stored { records: 0, caught_up: true, .. }), "{told:?}");
    let row = feed.row().await;
    assert_eq!((row.complete, row.last_success, row.cursor), (Some(NOW), Some(NOW), at));
}

/// Page after page.
fn endless(_: &axum::http::HeaderMap, number: usize) -> Response {
    rows(0..2, &format!(r#","pagination":{{"next":"n{number}"}}"#), "")
}

/// A feed that reads at the very edge of Mimecast's memory: what expired before an answer came is a gap, and one gap
/// however long it goes on; reading goes on where it stood. A feed that keeps up has none.
#[tokio::test]
async fn what_expires_while_it_is_read_is_one_gap() {
    let world = World::new(endless).await;
    let kept = NOW.minus(find("audit").unwrap().retention);
    let (moment, stood) = (HOUR / 180, kept.minus(HOUR / 2));
    let mut feed = Feed::at(&world, "audit", window(stood), Vec::new()).await;
    let (key, at) = (feed.key.clone(), window(stood));
    let (side, gaps) = (Span { from: Cursor::unset(), to: Cursor::unset() }, Vec::new());
    let old = Change { feed: key, from: at.clone(), to: at, side, complete: Some(stood), gaps };
    assert!(feed.store.set_position(&old).await.unwrap());
    feed.news(stood).await;
    for spent in [0, 1, 2] {
        feed.hand.ask(500).await.unwrap();
        let gaps = feed.store.gaps_list(0, 9).await.unwrap();
        let lost = TimeSpan { from: stood, to: kept.plus(moment * spent) };
        assert_eq!(gaps.iter().map(|gap| gap.span).collect::<Vec<_>>(), [lost]);
        assert!(feed.row().await.cursor.0.contains("\"reading\""), "page after page");
        world.clock.advance(moment);
    }
    let world = World::new(endless).await;
    let mut keeps_up = Feed::at(&world, "audit", window(NOW.minus(HOUR)), Vec::new()).await;
    keeps_up.news(NOW.minus(DAY * 90)).await;
    keeps_up.hand.ask(500).await.unwrap();
    assert!(keeps_up.store.gaps_open().await.unwrap().is_empty());
}

/// A file that is said to be damaged or gone is tried for the last time, alone or beside the stream.
async fn last_try(world: &World, beside: bool) -> Feed {
    let at = Position::first(find("siem.av").unwrap(), NOW, HOUR);
    let endpoint = if beside { Endpoint::Stream } else { Endpoint::Batch };
    let at = at.at_endpoint(endpoint, None, HOUR, NOW);
    let mut feed = Feed::at(world, "siem.av", at.cursor(), Vec::new()).await;
    feed.hand.reach = Reach { endpoint, lookback: DAY * 7, ..feed.hand.reach };
    assert!(matches!(feed.hand.ask(100).await.unwrap(), Outcome::Listed { files: 1, .. }));
    assert!(matches!(feed.hand.give_up(0).await.unwrap(), Outcome::GaveUp));
    feed.hand.turn().await.unwrap();
    feed
}

fn one_file(headers: &axum::http::HeaderMap) -> Response {
    let host = headers.get("host").unwrap().to_str().unwrap();
    said(format!(r#"{{"value":[{{"url":"http://{host}/f.gz"}}],"@nextPage":"t","isCaughtUp":false}}"#))
}

/// Gone for good: it is quarantined by name, and the files behind it are read.
#[tokio::test]
async fn a_file_that_is_gone_holds_no_feed_up() {
    for beside in [false, true] {
        let world = World::new(|headers, number| match number {
            1 => one_file(headers),
            _ => axum::http::StatusCode::NOT_FOUND.into_response(),
        })
        .await;
        let feed = last_try(&world, beside).await;
        let row = feed.row().await;
        assert_eq!((row.stored, row.quarantined), (0, 1), "beside the stream: {beside}");
        assert!(row.cursor.0.contains(r#""token":"t""#), "{:?}", row.cursor);
        let gap = feed.store.gaps_list(0, 9).await.unwrap().remove(0);
        assert_eq!(gap.cause, "file_given_up");
        assert_eq!(
            gap.span,
            TimeSpan { from: NOW.minus(HOUR), to: NOW },
            "what was read before is no part of it"
        );
    }
}

/// It comes whole in the end: nothing is lost, so nothing says so.
#[tokio::test]
async fn a_file_that_comes_whole_at_last_is_no_gap() {
    for beside in [false, true] {
        let world = World::new(|headers, number| match number {
            1 => one_file(headers),
            _ => "{\"aggregateId\":\"a\"}\n".into_response(),
        })
        .await;
        let feed = last_try(&world, beside).await;
        let row = feed.row().await;
        assert_eq!((row.stored, row.quarantined), (1, 0), "beside the stream: {beside}");
        assert!(feed.store.gaps_list(0, 9).await.unwrap().is_empty());
        let host = format!("{}/f.gz", world.base);
        let file = FileMark { name: FileKey::of(&host).bytes(), size: None };
        assert_eq!(
            feed.store.known_files(&feed.key, &[file]).await.unwrap(),
            [file],
            "it is not read once more"
        );
    }
}

/// Our clock is five days behind: what was read a moment ago is known all the same.
#[tokio::test]
async fn a_clock_that_is_days_behind_forgets_nothing() {
    let world = World::new(|_, _| rows(0..2, "", "")).await;
    world.clock.set(NOW.minus(DAY * 5));
    let mut feed = Feed::at(&world, "audit", window(NOW.minus(HOUR)), Vec::new()).await;
    for _ in 0..4 {
        let _ = feed.hand.ask(500).await.unwrap(); // the first answer only tells the time
        feed.store.sweep().await.unwrap();
    }
    let row = feed.row().await;
    assert_eq!(row.stored, 2, "{row:?}");
    assert!(row.duplicate >= 4, "{row:?}");
}

/// A backfill of a feed that is read from the stream: what has come in the other spelling is known by what it says.
#[tokio::test]
async fn a_backfill_beside_the_stream_brings_nothing_twice() {
    let world = World::new(|headers, number| match number {
        1 => one_file(headers),
        2 => "{\"aggregateId\":\"a\",\"subject\":\"s\"}\n{\"aggregateId\":\"b\"}\n".into_response(),
        3 => {
            let host = headers.get("host").unwrap().to_str().unwrap();
            let link = |n| format!(r#"{{"url":"http://{host}/{n}.gz"}}"#);
            said(format!(r#"{{"value":[{},{}],"@nextPage":"t","isCaughtUp":true}}"#, link(1), link(2)))
        }
        4 => "{\"subject\":\"s\",\"aggregateId\":\"a\"}\n{\"aggregateId\":\"c\"}\n".into_response(),
        _ => "{\"aggregateId\":\"c\"}\n{\"aggregateId\":\"b\" }\n".into_response(),
    })
    .await;
    let at =
        Position::first(find("siem.av").unwrap(), NOW, HOUR).at_endpoint(Endpoint::Stream, None, HOUR, NOW);
    let gap = skipped(NOW.minus(DAY * 3), NOW.minus(DAY * 2));
    let mut feed = Feed::at(&world, "siem.av", at.cursor(), vec![gap]).await;
    feed.hand.reach.endpoint = Endpoint::Stream;
    let gap = feed.store.gaps_list(0, 9).await.unwrap().remove(0);
    assert!(feed.store.want_gap(gap.id).await.unwrap());
    feed.hand.ask(100).await.unwrap();
    feed.hand.take(0).await.unwrap();
    feed.hand.turn().await.unwrap();
    assert!(matches!(feed.hand.aside(100).await.unwrap(), Outcome::Listed { files: 2, .. }));
    feed.hand.take(0).await.unwrap();
    feed.hand.take(1).await.unwrap();
    feed.hand.turn().await.unwrap();
    let row = feed.row().await;
    assert_eq!(
        (row.stored, row.duplicate),
        (3, 3),
        "a and b are known from the stream, c from the file before"
    );
    assert!(feed.store.gaps_open().await.unwrap().is_empty());
    assert!(Side::read(&row.side).is_idle());
}
