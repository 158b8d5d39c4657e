//! The stream, and the way between it and the files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::catalogue::find;
use super::feed::{Endpoint, Feed};
use super::links::FileKey;
use super::live::{BatchPlace, Live};
use super::position::{Day, Position};
use super::request::{Asking, build, page_size};
use super::stream::{LivePage, read};
use crate::clock::Time;
use crate::cursor::Cursor;
use crate::fault::{Fault, Kind};
use crate::limits::{STREAM_KEPT, STREAM_OVERLAP};

const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);

fn receipt() -> &'static Feed {
    find("siem.receipt").unwrap()
}

/// A feed that was never polled, on the stream.
fn first(lookback: Duration) -> Position {
    let fresh = NOW.minus(lookback);
    Position::first(receipt(), NOW, lookback).at_endpoint(Endpoint::Stream, Some(fresh), STREAM_OVERLAP, NOW)
}

fn live(position: &Position) -> &Live {
    match position {
        Position::Stream(live) => live,
        other => panic!("{other:?}"),
    }
}

fn page(live: &Live, body: &str) -> Result<LivePage, Fault> {
    read((receipt(), "acme"), live, body.as_bytes(), STREAM_OVERLAP, NOW)
}

fn asked(position: &Position) -> String {
    let asking = Asking { page_size: page_size(receipt()), overlap: HOUR, server_now: NOW, until: None };
    build(receipt(), position, &asking).request.path_and_query
}

#[test]
fn the_stream_is_asked_in_plural_and_to_the_millisecond() {
    let start = first(HOUR);
    let path = "/siem/v1/events/cg?types=receipt&pageSize=100";
    assert_eq!(asked(&start), format!("{path}&dateRangeStartsAt=2026-01-01T08%3A30%3A00.000Z"));
    let next = page(live(&start), r#"{"value":[{}],"@nextPage":"a+/=","isCaughtUp":false}"#).unwrap();
    let then = Position::open(receipt(), &next.to, NOW, HOUR).unwrap();
    assert_eq!(asked(&then), format!("{path}&nextPage=a%2B%2F%3D"), "the token alone");
    assert_eq!((next.forward, next.caught_up), (Some(true), false));
}

#[test]
fn a_page_gives_each_event_its_own_bytes_and_type() {
    let body = include_str!("../../tests/fixtures/stream/v2-cg-stream-page.json");
    let found = page(live(&first(HOUR)), body).unwrap();
    let chunk = found.chunk.unwrap();
    let events: Vec<_> =
        (0..chunk.records.len()).map(|n| chunk.event(n, "acme", "siem.receipt", 0).unwrap()).collect();
    assert_eq!(events.iter().map(|event| event.kind).collect::<Vec<_>>(), ["receipt", "process"]);
    assert!(events.iter().all(|event| body.contains(std::str::from_utf8(event.raw).unwrap())));
    assert_eq!((found.listed, found.keys.len(), found.caught_up), (2, 2, false));
    assert_eq!(found.newest.unwrap().0, 1_767_259_801_025);
    // invalid UTF-8 stays as it came, what is no event is set aside
    let odd = b"{\"value\":[{\"subject\":\"caf\xe9\"},7,{\"b\":2}],\"@nextPage\":\"x\"}";
    let found = read((receipt(), "acme"), live(&first(HOUR)), odd, STREAM_OVERLAP, NOW).unwrap();
    assert_eq!((found.listed, found.unreadable.len()), (3, 1));
    assert!(found.chunk.unwrap().records[0].repaired);
}

/// XSIAM's collector keeps the old token when a page yields nothing, and stops on a short page (PR #45802).
#[test]
fn demisto_45802_an_empty_page_still_moves_the_token_and_a_short_one_is_not_the_end() {
    let start = first(HOUR);
    let empty = page(live(&start), r#"{"value":[],"@nextPage":"t1","isCaughtUp":true}"#).unwrap();
    assert!(empty.caught_up && empty.forward == Some(true));
    let there = Position::open(receipt(), &empty.to, NOW, HOUR).unwrap();
    assert!(asked(&there).ends_with("nextPage=t1"));
    let same = page(live(&there), r#"{"value":[],"@nextPage":"t1"}"#).unwrap();
    assert_eq!((same.caught_up, same.forward), (true, Some(false)));
    let gone = page(live(&there), r#"{"value":[],"isCaughtUp":"true"}"#).unwrap();
    assert_eq!((gone.caught_up, gone.forward), (true, None));
    assert!(asked(&Position::open(receipt(), &gone.to, NOW, HOUR).unwrap()).ends_with("nextPage=t1"));
    let short = page(live(&there), r#"{"value":[{}],"@nextPage":"t2","isCaughtUp":false}"#).unwrap();
    assert!(!short.caught_up);
    assert_ne!(short.to, same.to);
}

#[test]
fn what_is_no_page_is_a_fault() {
    let start = first(HOUR);
    for (body, kind) in [
        ("", Kind::Malformed),
        ("<html>", Kind::Html),
        ("{}", Kind::Malformed),
        (r#"{"value":{}}"#, Kind::Malformed),
        (r#"{"@nextPage":"x","isCaughtUp":true}"#, Kind::Malformed),
    ] {
        assert_eq!(page(live(&start), body).unwrap_err().kind, kind, "{body}");
    }
    let failure = r#"{"value":[],"fail":[{"code":"app_forbidden","message":"no"}]}"#;
    assert_eq!(page(live(&start), failure).unwrap_err().code_str(), "app_forbidden");
}

#[test]
fn what_is_older_than_a_day_comes_from_files_first() {
    let back = |lookback| matches!(first(lookback), Position::Stream(_));
    assert!(back(HOUR) && back(STREAM_KEPT) && !back(STREAM_KEPT + MINUTE) && !back(DAY * 7));
    let files = first(DAY * 3);
    let caught_up = files.forward("t", true, NOW);
    let there = caught_up.crossed(Endpoint::Stream, STREAM_OVERLAP, NOW).unwrap();
    assert_eq!(live(&there).from, NOW.minus(STREAM_OVERLAP), "everything is remembered since the beginning");
    // after an outage of more than a day the stream cannot help
    let later = NOW.plus(STREAM_KEPT + MINUTE);
    let kept = there.clone().at_endpoint(Endpoint::Stream, None, STREAM_OVERLAP, later.minus(HOUR * 2));
    assert_eq!(kept, there);
    let back = there.at_endpoint(Endpoint::Stream, None, STREAM_OVERLAP, later);
    let Position::Batch { since, token: None, seam: Some(_), .. } = &back else { panic!("{back:?}") };
    assert_eq!(*since, Day::of(NOW.minus(STREAM_OVERLAP * 2)));
}

/// Nearly a day behind, with a token that is refused: without it, the overlap would be asked for, which the stream
/// no longer has, so that every request would be refused.
#[test]
fn a_token_refused_nearly_a_day_behind_leads_to_the_files() {
    let high = NOW.minus(STREAM_KEPT - MINUTE);
    let from = high.minus(STREAM_OVERLAP);
    let behind = Live { token: Some("t".into()), from, high, known: Time(0), pass: 7 };
    let place = |live: Live| Position::Stream(live).at_endpoint(Endpoint::Stream, None, STREAM_OVERLAP, NOW);
    assert_eq!(place(behind.clone()), Position::Stream(behind.clone()), "with its token it goes on");
    let files = place(behind.without_token());
    let Position::Batch { since, token: None, seam: Some(_), .. } = files else { panic!("{files:?}") };
    assert_eq!(since, Day::of(from));
}

#[test]
fn the_text_of_the_new_positions_never_changes() {
    for text in [
        r#"{"v":1,"stream":{"token":"dA==","from":1767256200000,"high":1767259800000,"known":0,"pass":7}}"#,
        r#"{"v":1,"batch":{"since":"2026-01-01","token":"x","seam":{"known":5,"high":6,"pass":7,"part":8}}}"#,
    ] {
        assert_eq!(Position::open(receipt(), &Cursor(text.into()), NOW, HOUR).unwrap().cursor().0, text);
    }
    let text = r#"{"v":1,"token":{"token":"x","since":5,"pass":6,"part":7}}"#;
    assert_eq!(
        Position::open(find("siem.mta").unwrap(), &Cursor(text.into()), NOW, HOUR).unwrap().cursor().0,
        text
    );
    assert!(Position::open(receipt(), &Cursor(text.into()), NOW, HOUR).is_err());
}

// --- crossing, as a model ---------------------------------------------------------------------------------

/// When an event happened, and how much later stream and files have it.
#[derive(Clone, Debug)]
struct Happened {
    at: Time,
    streamed: Time,
    filed: Time,
}

/// Mimecast's two functions over the same events, and a store that keeps what it is given.
struct World {
    events: Vec<Happened>,
    now: Time,
    cursor: Option<Cursor>,
    /// Pass that saw a content last, how often, and how often it is stored: as the store counts.
    seen: BTreeMap<usize, (u64, u32, u32)>,
    files: BTreeSet<usize>,
    delivered: Vec<u32>,
}

impl World {
    fn keyed(&mut self, event: usize, pass: u64) {
        let (last, count, total) = self.seen.entry(event).or_default();
        *count = if *last == pass { *count + 1 } else { 1 };
        *last = pass;
        if *count > *total {
            *total = *count;
            self.delivered[event] += 1;
        }
    }

    /// One poll, to the end.
    fn poll(&mut self, endpoint: Endpoint) {
        let first = NOW.minus(HOUR * 2);
        let (position, fresh) = match &self.cursor {
            Some(cursor) => (Position::open(receipt(), cursor, self.now, HOUR).unwrap(), None),
            None => (Position::first(receipt(), self.now, self.now.since(first)), Some(first)),
        };
        let position = position.at_endpoint(endpoint, fresh, STREAM_OVERLAP, self.now);
        let after = match &position {
            Position::Stream(live) => self.stream(live),
            _ => self.list(&position, endpoint),
        };
        self.cursor = Some(after.cursor());
    }

    fn stream(&mut self, live: &Live) -> Position {
        // the token stands for a moment; without one the range does
        let token: Option<i64> = live.token.as_ref().map(|token| token.parse().unwrap());
        let due: Vec<usize> = (0..self.events.len())
            .filter(|n| {
                let event = &self.events[*n];
                event.streamed <= self.now
                    && event.at >= self.now.minus(DAY)
                    && token.map_or(event.at >= live.from, |token| event.streamed.0 > token)
            })
            .collect();
        due.into_iter().for_each(|event| self.keyed(event, live.pass));
        Position::Stream(live.after_page(Some(self.now.0.to_string()), true, STREAM_OVERLAP, self.now))
    }

    fn list(&mut self, position: &Position, endpoint: Endpoint) -> Position {
        let Position::Batch { since, token, .. } = position else { panic!("{position:?}") };
        let token: Option<i64> = token.as_ref().map(|token| token.parse().unwrap());
        let due: Vec<usize> = (0..self.events.len())
            .filter(|n| {
                let filed = self.events[*n].filed;
                filed <= self.now && token.map_or(filed >= since.start(), |token| filed.0 > token)
            })
            .collect();
        let mut position = position.clone();
        for event in due {
            if !self.files.insert(event) {
                continue; // known by name
            }
            match position.seam() {
                Some(seam) => {
                    let seam = seam.afresh();
                    self.keyed(event, seam.pass());
                    position = position.with_seam(seam.after_part()).with_seam(seam.after_file());
                }
                None => self.delivered[event] += 1,
            }
            position = position.with_done(FileKey::of(&event.to_string()));
        }
        let after = position.forward(&self.now.0.to_string(), true, self.now);
        after.crossed(endpoint, STREAM_OVERLAP, self.now).unwrap_or(after)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Whenever the configuration is changed, and however long nobody polls (less than files are kept): every event
    /// once, as long as files and stream have it within the overlap.
    #[test]
    fn crossing_back_and_forth_loses_nothing_and_repeats_nothing(
        events in proptest::collection::vec((0_u64..5_000, 0_u64..30, 1_u64..60), 1..60),
        polls in proptest::collection::vec((1_u64..240, prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)]), 1..50),
        outage in proptest::option::of((0_usize..50, 1_500_u64..4_000)),
    ) {
        let minutes = |n: u64| MINUTE * u32::try_from(n).unwrap();
        let events: Vec<Happened> = events.into_iter().map(|(at, late, filed)| {
            let at = NOW.plus(minutes(at));
            Happened { at, streamed: at.plus(minutes(late)), filed: at.plus(minutes(filed)) }
        }).collect();
        let mut world = World {
            delivered: vec![0; events.len()],
            events, now: NOW, cursor: None, seen: BTreeMap::new(), files: BTreeSet::new(),
        };
        let mut endpoint = Endpoint::Batch;
        for (n, (pause, change)) in polls.into_iter().enumerate() {
            if let Some(stream) = change {
                endpoint = if stream { Endpoint::Stream } else { Endpoint::Batch };
            }
            let away = outage.filter(|(at, _)| *at == n).map_or(0, |(_, away)| away);
            world.now = world.now.plus(minutes(pause + away));
            world.poll(endpoint);
        }
        // on to the end, often enough for every crossing, a day's retention of the stream never missed
        for _ in 0..60 {
            world.now = world.now.plus(minutes(120));
            world.poll(endpoint);
        }
        prop_assert!(world.delivered.iter().all(|times| *times == 1), "{:?}", world.delivered);
    }

    #[test]
    fn any_body_is_read_or_refused(body in "[\\[\\]{}\",:a-z@1 ]{0,80}") {
        let start = first(HOUR);
        let _ = page(live(&start), &body);
        let _ = page(live(&start), &format!("{{\"value\":[{body}],\"@nextPage\":\"x\"}}"));
    }
}

#[test]
fn a_page_that_repeats_the_edge_of_the_one_before_has_another_number() {
    let start = first(HOUR);
    let event = json!({"aggregateId": "a", "timestamp": 1_767_259_800_123_i64}).to_string();
    let one = page(live(&start), &format!(r#"{{"value":[{event}],"@nextPage":"t1"}}"#)).unwrap();
    let then = Position::open(receipt(), &one.to, NOW, HOUR).unwrap();
    let two = page(live(&then), &format!(r#"{{"value":[{event}],"@nextPage":"t2"}}"#)).unwrap();
    assert_eq!(one.keys, two.keys);
    assert_ne!(one.pass, two.pass, "so the store counts it as the same event");
    let place = BatchPlace::from_day(NOW).position(None);
    assert_eq!(place.endpoint(), Endpoint::Batch);
}
