//! Random histories of a log that is asked for by time, against a small server and a real store: rows that appear
//! hours late, twins, pages that shift while they are read, readings cut off at any page, outages longer than the
//! server's memory. In the end every row the server ever showed is stored, or lies in a gap of the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::history_sink::{Sink, histories, stored};
use super::lost::{forgotten, horizon, known};
use super::side::{Side, Sight, late_rows_gaps};
use crate::clock::{Clock, Time};
use crate::cursor::{Cursor, FeedKey, Span, TimeSpan};
use crate::mimecast::catalogue::find;
use crate::mimecast::feed::Feed;
use crate::mimecast::page::{self, Leads, Page, RecordPage};
use crate::mimecast::position::Position;
use crate::mimecast::request::{self, Asking, Body};
use crate::store::{Cause, Change, Dedupe, Gap, Intake, Lane, Options, Store};

const START: Time = Time(1_767_259_800_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const PAGE: usize = 3;
/// As late as rows may be and still be found by a sweep that runs once a day and reaches back for two.
const LATEST: u32 = 20;

#[derive(Clone, Debug)]
enum Event {
    /// Rows of that many minutes ago that can be seen from now on; `n` tells them apart, so equal ones are twins.
    Rows { minutes: u32, n: u8, copies: u8 },
    /// A poll, cut off after so many pages.
    Poll { pages: usize },
    /// A busy hour is read; after so many pages one more row of it appears, and the later pages shift.
    Shift { rows: Vec<(u32, u8)>, pages: usize, late: (u32, u8) },
    /// Time passes, with a poll now and then.
    Hours(u32),
    /// Nobody reads.
    Outage { hours: u32 },
    /// The destination takes a batch; its acknowledgement may be lost.
    Taken { events: usize, heard: bool },
    /// The daemon starts again with what the store holds.
    Restart,
    /// An operator sets the position to so many minutes ago.
    Set { minutes: u32 },
    /// An operator has it begin anew, one lookback ago.
    Reset,
}

/// A row of that many minutes ago.
fn row() -> impl Strategy<Value = (u32, u8)> {
    (2_u32..58, 0_u8..2)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..LATEST * 60, 0_u8..4, 1_u8..4).prop_map(|(minutes, n, copies)| Event::Rows { minutes, n, copies }),
        4 => (1_usize..8).prop_map(|pages| Event::Poll { pages }),
        2 => (proptest::collection::vec(row(), 2..9), 1_usize..3, row())
            .prop_map(|(rows, pages, late)| Event::Shift { rows, pages, late }),
        2 => (1_u32..30).prop_map(Event::Hours),
        1 => prop_oneof![1_u32..100, 700_u32..900].prop_map(|hours| Event::Outage { hours }),
        2 => (1_usize..6, any::<bool>()).prop_map(|(events, heard)| Event::Taken { events, heard }),
        1 => Just(Event::Restart),
        1 => (0_u32..48 * 60).prop_map(|minutes| Event::Set { minutes }),
        1 => Just(Event::Reset),
    ]
}

struct Row {
    at: Time,
    text: String,
}

struct World {
    feed: &'static Feed,
    key: FeedKey,
    dir: tempfile::TempDir,
    clock: Clock,
    store: Store,
    rows: Vec<Row>,
    sink: Sink,
}

impl World {
    async fn new() -> World {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(START));
        let store = open(&dir, &clock).await;
        let key = FeedKey { tenant: "acme".into(), feed: "ttp.url" };
        store.register_feed(&key).await.unwrap();
        let sink = Sink::new(&store).await;
        let feed = find("ttp.url").unwrap();
        World { feed, key, dir, clock, store, rows: Vec::new(), sink }
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn publish(&mut self, minutes: u32, n: u8, copies: u8) {
        let at = Time::from_secs(self.now().minus(MINUTE * minutes).secs());
        for _ in 0..copies {
            let date = at.rfc3339();
            let text = format!("{{\"date\":\"{}+0000\",\"n\":{n}}}", &date[..19]);
            self.rows.push(Row { at, text });
        }
    }

    /// The server: rows of the span, oldest first, both ends included, by an offset that shifts when rows appear.
    fn answer(&self, body: &str) -> String {
        let asked: serde_json::Value = serde_json::from_str(body).unwrap();
        let time = |name: &str| {
            let text = asked["data"][0][name].as_str().unwrap().replace("+0000", "Z");
            Time(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
        };
        let (from, to, kept) = (time("from"), time("to"), self.now().minus(self.feed.retention));
        assert!(to <= self.now(), "nobody asks for the future");
        let offset =
            asked["meta"]["pagination"]["pageToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let mut rows: Vec<&Row> =
            self.rows.iter().filter(|row| from <= row.at && row.at <= to && row.at >= kept).collect();
        rows.sort_by_key(|row| row.at);
        let page: Vec<&str> = rows.iter().skip(offset).take(PAGE).map(|row| row.text.as_str()).collect();
        let next = if rows.len() > offset + PAGE {
            format!(",\"next\":\"{}\"", offset + PAGE)
        } else {
            String::new()
        };
        let lists =
            if page.is_empty() { String::new() } else { format!("{{\"clickLogs\":[{}]}}", page.join(",")) };
        format!(
            "{{\"meta\":{{\"status\":200,\"pagination\":{{\"pageSize\":{PAGE}{next}}}}},\"data\":[{lists}]}}"
        )
    }

    fn asking(&self) -> Asking {
        Asking { page_size: PAGE as u32, overlap: self.feed.overlap, server_now: self.now(), until: None }
    }

    fn ask(&self, position: &Position) -> (RecordPage, Position) {
        let asked = request::build(self.feed, position, &self.asking());
        let Some(Body::Json(body)) = &asked.request.body else { panic!("a window is asked for by a body") };
        let answer = self.answer(body);
        let page = page::read(self.feed, "acme", &asked.position, answer.as_bytes(), self.now()).unwrap();
        let Page::Records(page) = page else { panic!("records") };
        (page, asked.position)
    }

    fn intake(&self, span: Span, lane: Lane) -> Intake {
        Intake {
            feed: self.key.clone(),
            span,
            chunks: Vec::new(),
            staged: Vec::new(),
            quarantined: Vec::new(),
            gaps: Vec::new(),
            listed: 0,
            dedupe: Dedupe::None,
            collected: self.now(),
            newest: None,
            lane,
            complete: None,
            file: None,
            closes: Vec::new(),
        }
    }

    async fn store(&self, page: RecordPage, asked: &Position, span: Span, lane: Lane, side: &Side) {
        let (pass, window) = asked.window().unwrap();
        let horizon = horizon(window.from, self.now(), side.reaches_back_to(), self.feed.overlap);
        let intake = Intake {
            listed: page.listed,
            dedupe: Dedupe::Ids { pass, horizon },
            newest: page.newest,
            chunks: page.chunk.into_iter().collect(),
            ..self.intake(span, lane)
        };
        let again = intake.clone();
        self.store.commit(intake).await.unwrap();
        assert!(self.store.commit(again).await.unwrap().already, "an answer that was lost");
    }

    /// One page of the main position; true when there is no more.
    async fn main(&mut self) -> bool {
        let row = self.store.feed(&self.key).await.unwrap();
        let position = Position::open(self.feed, &row.cursor, self.now(), DAY).unwrap();
        if let Some(span) = position.beyond_retention(self.feed, self.now(), known(&row)) {
            let to = position.rewound(self.feed, span.to, self.now()).cursor();
            let gaps = vec![forgotten(span)];
            let span = Span { from: row.cursor, to };
            let moved = Intake { gaps, ..self.intake(span, Lane::Main) };
            self.store.commit(moved).await.unwrap();
            return false;
        }
        let (page, asked) = self.ask(&position);
        if let Some(span) = position.forgotten_unread(self.feed, self.now(), known(&row)) {
            let stays = Span { from: row.cursor.clone(), to: row.cursor.clone() };
            let (gaps, complete) = (vec![forgotten(span)], Some(span.to));
            self.store.commit(Intake { gaps, complete, ..self.intake(stays, Lane::Main) }).await.unwrap();
        }
        let Leads::Forward(to) = page.leads.clone() else { panic!("a window always leads on") };
        let ended = page.caught_up;
        let span = Span { from: row.cursor, to };
        self.store(page, &asked, span, Lane::Main, &Side::read(&row.side)).await;
        ended
    }

    /// One page of the side; true when there is no work.
    async fn side(&mut self) -> bool {
        let row = self.store.feed(&self.key).await.unwrap();
        let main = Position::open(self.feed, &row.cursor, self.now(), DAY).unwrap();
        let sight = Sight {
            feed: self.feed,
            main: &main,
            overlap: self.feed.overlap,
            lookback: DAY,
            every: DAY,
            wanted: None,
            faltered: false,
            now: self.now(),
        };
        let kept = Side::read(&row.side);
        let Some(due) = kept.due(&sight) else { return true };
        let text = due.cursor();
        if text != row.side {
            let gaps = match kept.unverified(&sight) {
                None => Vec::new(),
                Some(span) => {
                    let since = span.from.minus(self.feed.retention);
                    let lost = self.store.gaps_after(&self.key, Cause::BeyondRetention, since).await.unwrap();
                    late_rows_gaps(self.feed, span, &lost)
                }
            };
            let begun = self.intake(Span { from: row.side, to: text.clone() }, Lane::Side);
            self.store.commit(Intake { gaps, ..begun }).await.unwrap();
        }
        let Some(at) = due.position() else { return true };
        let position = Position::open(self.feed, &at, self.now(), DAY).unwrap();
        let (page, asked) = self.ask(&position);
        let after = due.led_to(&page.leads, page.caught_up).read_on(page.listed);
        self.store(page, &asked, Span { from: text, to: after.cursor() }, Lane::Side, &due).await;
        false
    }

    /// A poll and the side work after it, cut off after so many pages of both.
    async fn poll(&mut self, mut pages: usize) {
        let mut up_to_date = false;
        while !up_to_date && pages > 0 {
            (up_to_date, pages) = (self.main().await, pages - 1);
        }
        let mut idle = false;
        while up_to_date && !idle && pages > 0 {
            (idle, pages) = (self.side().await, pages - 1);
        }
        self.store.sweep().await.unwrap(); // forgets identities beyond the horizon
    }

    async fn run(&mut self, event: Event) {
        match event {
            Event::Rows { minutes, n, copies } => self.publish(minutes, n, copies),
            Event::Poll { pages } => self.poll(pages).await,
            Event::Shift { rows, pages, late } => {
                self.clock.advance(HOUR);
                rows.into_iter().for_each(|(minutes, n)| self.publish(minutes, n, 1));
                self.poll(pages).await;
                self.publish(late.0, late.1, 1);
                self.poll(1_000).await;
            }
            Event::Hours(hours) => {
                for _ in 0..hours.div_ceil(4) {
                    self.clock.advance(HOUR * 4);
                    self.poll(1_000).await;
                }
            }
            Event::Outage { hours } => self.clock.advance(HOUR * hours),
            Event::Taken { events, heard } => {
                self.sink.take(&self.store, events, heard).await;
            }
            Event::Restart => {
                let elsewhere = tempfile::tempdir().unwrap();
                let other = open(&elsewhere, &self.clock).await;
                drop(std::mem::replace(&mut self.store, other));
                self.store = open(&self.dir, &self.clock).await;
            }
            Event::Set { minutes } => self.set(Some(MINUTE * minutes)).await,
            Event::Reset => self.set(None).await,
        }
    }

    /// The position set by hand; `None`: as if there had never been one.
    async fn set(&mut self, back: Option<Duration>) {
        let row = self.store.feed(&self.key).await.unwrap();
        let position = Position::open(self.feed, &row.cursor, self.now(), DAY).unwrap();
        let read_to = position.read_to(known(&row)).unwrap();
        let starts = self.now().minus(back.unwrap_or(DAY));
        let to = match back {
            Some(_) => position.rewound(self.feed, starts, self.now()).cursor(),
            None => Cursor::unset(),
        };
        let side = Side::read(&row.side);
        let late = side.looks_back_to(self.now()).unwrap_or(read_to);
        let skipped = TimeSpan { from: late.min(read_to), to: starts };
        let (cause, detail) = (Cause::SkippedByHand, String::new());
        let gap = Gap { span: skipped, cause, detail, records: 0, fetchable: true };
        let side = if read_to < starts { side.set_past(starts) } else { side.set_by_hand(starts) };
        let change = Change {
            feed: self.key.clone(),
            from: row.cursor,
            to,
            side: Span { from: row.side, to: side.cursor() },
            complete: None,
            gaps: Some(gap).filter(|_| read_to < starts).into_iter().collect(),
        };
        assert!(self.store.set_position(&change).await.unwrap());
    }

    async fn prove(&mut self) {
        let gaps: Vec<TimeSpan> =
            self.store.gaps_list(0, 1_000).await.unwrap().into_iter().map(|gap| gap.span).collect();
        let lost = |at: Time| gaps.iter().any(|gap| gap.from < at && at <= gap.to);
        let mut wanted = BTreeMap::<&str, (usize, Time)>::new();
        let events = stored(&self.store).await;
        let ids: BTreeSet<_> = events.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids.len(), events.len(), "twins have ids of their own");
        let mut stored = BTreeMap::<String, usize>::new();
        events.into_iter().for_each(|(_, text)| *stored.entry(text).or_default() += 1);
        for row in &self.rows {
            wanted.entry(&row.text).or_insert((0, row.at)).0 += 1;
        }
        for (text, (copies, at)) in &wanted {
            let found = stored.get(*text).copied().unwrap_or(0);
            assert!(
                found >= *copies || lost(*at),
                "{text}: {copies} published, {found} stored, gaps {gaps:?}"
            );
            assert!(found <= *copies, "{text}: {copies} published, {found} stored");
        }
        let sum: usize = stored.values().sum();
        assert_eq!(self.store.feed(&self.key).await.unwrap().stored, sum as u64);
        self.sink.prove(&self.store).await;
    }
}

async fn open(dir: &tempfile::TempDir, clock: &Clock) -> Store {
    let options = Options::new(1 << 30, DAY * 400, clock.clone());
    Store::open(dir.path(), &Options { ballast: 0, ..options }).await.unwrap()
}

fn tell(events: Vec<Event>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new().await;
        world.poll(1_000).await; // the log begins here
        for event in events {
            world.run(event).await;
        }
        world.run(Event::Hours(72)).await; // a sweep has seen what came last
        world.prove().await;
        assert!(!world.store.feed(&world.key).await.unwrap().cursor.eq(&Cursor::unset()));
    });
}

#[test]
fn every_row_is_stored_or_in_the_ledger() {
    histories(proptest::collection::vec(event(), 1..30), 1, tell);
}

/// The same for histories nobody has seen before.
#[test]
fn every_row_of_a_new_history_is_stored_or_in_the_ledger() {
    histories(proptest::collection::vec(event(), 1..30), fastrand::u64(..), tell);
}
