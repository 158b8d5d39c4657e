//! Random histories of a log that comes in files, against a small server and a real store: links that expire, the same
//! file twice on a page, pages that overlap, empty pages with a token, tokens that are refused, readings cut off at any
//! file, outages longer than the server's memory. In the end every event of every file is stored exactly as often as it
//! was published, or its file lies in a gap of the ledger; and a destination has what is stored.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use proptest::prelude::*;

use super::history_sink::{Sink, histories, stored};
use super::lost::{forgotten, known, mark};
use crate::clock::{Clock, Time};
use crate::cursor::{Cursor, FeedKey, Span, TimeSpan};
use crate::mimecast::catalogue::find;
use crate::mimecast::feed::Feed;
use crate::mimecast::links::FileLink;
use crate::mimecast::page::{self, Leads, Listing, Page};
use crate::mimecast::payload::FileParser;
use crate::mimecast::position::Position;
use crate::mimecast::request::{self, Asking};
use crate::store::{Dedupe, Intake, Lane, Options, Store};

const START: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const PAGE: usize = 3;

#[derive(Clone, Debug)]
enum Event {
    /// A file appears; `n` tells its lines apart, so equal ones are twins, in one file and over several.
    File { n: u8, lines: u8 },
    /// A poll, cut off after so many files.
    Poll { files: usize },
    /// Time passes, with a poll now and then.
    Hours(u32),
    /// Nobody reads.
    Outage { hours: u32 },
    /// The next so many downloads are refused: the links have expired.
    Expired(u8),
    /// The next token is refused.
    Refused,
    /// Pages repeat the last file of the page before, name a file twice, or come empty at first.
    Odd { overlap: bool, double: bool, empty: bool },
    /// The destination takes a batch; its acknowledgement may be lost.
    Taken { events: usize, heard: bool },
    /// The daemon starts again with what the store holds.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0_u8..3, 0_u8..5).prop_map(|(n, lines)| Event::File { n, lines }),
        4 => (0_usize..8).prop_map(|files| Event::Poll { files }),
        2 => (1_u32..30).prop_map(Event::Hours),
        1 => prop_oneof![1_u32..60, 150_u32..200].prop_map(|hours| Event::Outage { hours }),
        1 => (1_u8..4).prop_map(Event::Expired),
        1 => Just(Event::Refused),
        2 => any::<(bool, bool, bool)>().prop_map(|(overlap, double, empty)| Event::Odd { overlap, double, empty }),
        3 => (1_usize..6, any::<bool>()).prop_map(|(events, heard)| Event::Taken { events, heard }),
        1 => Just(Event::Restart),
    ]
}

struct File {
    at: Time,
    lines: Vec<String>,
}

/// The service: files in the order of their making, of the last seven days.
#[derive(Default)]
struct Server {
    files: Vec<File>,
    refusing: bool,
    expired: u8,
    odd: (bool, bool, bool),
}

impl Server {
    fn answer(&mut self, query: &str, now: Time) -> Option<String> {
        let value = |name: &str| {
            let rest = query.split(&format!("{name}=")).nth(1)?;
            Some(rest.split('&').next().unwrap_or(rest).to_owned())
        };
        let kept = now.minus(DAY * 7);
        let (overlap, double, empty) = self.odd;
        let token = value("nextPage");
        if token.is_some() && std::mem::take(&mut self.refusing) {
            return None;
        }
        let seen_empty = token.as_deref().is_some_and(|token| token.ends_with('e'));
        let start = match (token, value("dateRangeStartsAt")) {
            (Some(token), _) => token.trim_end_matches('e').parse().unwrap(),
            (None, Some(day)) => {
                let from: jiff::Timestamp = format!("{day}T00:00:00Z").parse().unwrap();
                self.files.partition_point(|file| file.at.0 < from.as_millisecond())
            }
            (None, None) => panic!("neither token nor date: {query}"),
        };
        let all = self.files.len();
        if empty && !seen_empty && start < all {
            return Some(format!("{{\"value\":[],\"@nextPage\":\"{start}e\",\"isCaughtUp\":false}}"));
        }
        let end = all.min(start + PAGE);
        let first = if overlap { start.saturating_sub(1) } else { start };
        let shown = (first..end).filter(|n| self.files[*n].at >= kept);
        let link = |n: usize| format!("{{\"url\":\"https://files.mimecast.com/{n}?sig={}\"}}", now.0);
        let mut links: Vec<String> = shown.map(link).collect();
        if double && let Some(first) = links.first() {
            links.push(first.replace("sig", "again"));
        }
        let (links, caught_up) = (links.join(","), end == all);
        Some(format!("{{\"value\":[{links}],\"@nextPage\":\"{end}\",\"isCaughtUp\":{caught_up}}}"))
    }

    fn file(&mut self, link: &FileLink, now: Time) -> Option<Vec<u8>> {
        if self.expired > 0 {
            self.expired -= 1;
            return None;
        }
        let n: usize = link.name.rsplit('/').next().unwrap().parse().unwrap();
        let file = Some(&self.files[n]).filter(|file| file.at >= now.minus(DAY * 7))?;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        file.lines.iter().for_each(|line| gzip.write_all(format!("{line}\n").as_bytes()).unwrap());
        Some(gzip.finish().unwrap())
    }
}

struct World {
    feed: &'static Feed,
    key: FeedKey,
    dir: tempfile::TempDir,
    clock: Clock,
    store: Store,
    server: Server,
    sink: Sink,
}

impl World {
    async fn new() -> World {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(START));
        let store = open(&dir, &clock).await;
        let key = FeedKey { tenant: "acme".into(), feed: "siem.receipt" };
        store.register_feed(&key).await.unwrap();
        let feed = find(key.feed).unwrap();
        let start = START.minus(DAY);
        store.begin_at(&key, &Position::first(feed, START, DAY).cursor(), start).await.unwrap();
        let sink = Sink::new(&store).await;
        World { feed, key, dir, clock, store, server: Server::default(), sink }
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn publish(&mut self, n: u8, lines: u8) {
        self.clock.advance(Duration::from_secs(60)); // files have times of their own
        let at = self.now();
        let line =
            |copy: u8| format!("{{\"timestamp\":{},\"n\":{}}}", at.0 - 500, if copy > 1 { n } else { copy });
        let mut lines: Vec<String> = (0..lines).map(line).collect();
        if n == 0
            && let Some(before) = self.server.files.last()
        {
            lines.extend(before.lines.first().cloned()); // published once more
        }
        self.server.files.push(File { at, lines });
    }

    fn intake(&self, span: Span) -> Intake {
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
            lane: Lane::Main,
            complete: None,
            file: None,
            closes: Vec::new(),
        }
    }

    async fn commit(&self, intake: Intake) {
        let again = intake.clone();
        self.store.commit(intake).await.unwrap();
        assert!(self.store.commit(again).await.unwrap().already, "an answer that was lost");
    }

    /// One listing; `None` when the position had to be moved.
    async fn list(&mut self) -> Option<(Listing, Cursor)> {
        let (now, row) = (self.now(), self.store.feed(&self.key).await.unwrap());
        let position = Position::open(self.feed, &row.cursor, now, DAY).unwrap();
        if let Some(lost) = position.beyond_retention(self.feed, now, known(&row)) {
            let to = position.rewound(self.feed, lost.to, now).cursor();
            let moved = self.intake(Span { from: row.cursor, to });
            let intake = Intake { gaps: vec![forgotten(lost)], complete: Some(lost.to), ..moved };
            self.store.commit(intake).await.unwrap();
            return None;
        }
        let asking = Asking { page_size: PAGE as u32, overlap: HOUR, server_now: now, until: None };
        let asked = request::build(self.feed, &position, &asking);
        let Some(body) = self.server.answer(&asked.request.path_and_query, now) else {
            let to = position.without_token().cursor();
            self.store.commit(self.intake(Span { from: row.cursor, to })).await.unwrap();
            return None;
        };
        if let Some(lost) = position.forgotten_unread(self.feed, now, known(&row)) {
            let stays = self.intake(Span { from: row.cursor.clone(), to: row.cursor.clone() });
            let intake = Intake { gaps: vec![forgotten(lost)], complete: Some(lost.to), ..stays };
            self.store.commit(intake).await.unwrap();
        }
        let page = page::read(self.feed, "acme", &asked.position, body.as_bytes(), now).unwrap();
        let Page::Files(mut listing) = page else { panic!("files") };
        let marks: Vec<_> = listing.files.iter().map(mark).collect();
        let known = self.store.known_files(&self.key, &marks).await.unwrap();
        listing.files.retain(|link| !known.contains(&mark(link)));
        if listing.caught_up && listing.files.is_empty() {
            self.store.note_complete(&self.key, &row.cursor, now).await.unwrap();
        }
        Some((listing, row.cursor))
    }

    /// One file of the listing; false when its link has expired.
    async fn take(&mut self, listing: &mut Listing, cursor: &mut Cursor, link: &FileLink) -> bool {
        let Some(bytes) = self.server.file(link, self.now()) else { return false };
        let mut parser = FileParser::new(self.feed, "acme", &link.name);
        parser.push(&bytes).unwrap();
        parser.close();
        let end = parser.finish().unwrap();
        let after = listing.position.with_done(link.mark());
        let moved = self.intake(Span { from: cursor.clone(), to: after.cursor() });
        let intake = Intake {
            listed: end.listed,
            newest: end.newest,
            chunks: end.chunk.into_iter().collect(),
            file: Some(mark(link)),
            ..moved
        };
        self.commit(intake).await;
        (listing.position, *cursor) = (after, self.store.feed(&self.key).await.unwrap().cursor);
        true
    }

    /// A poll that is cut off after so many files.
    async fn poll(&mut self, mut files: usize) {
        for _ in 0..1_000 {
            let Some((mut listing, mut cursor)) = self.list().await else { continue };
            let mut refused = false;
            for link in listing.files.clone() {
                if files == 0 {
                    return;
                }
                files -= 1;
                if !self.take(&mut listing, &mut cursor, &link).await {
                    refused = true;
                    break; // listed again from the same position
                }
            }
            if refused {
                continue;
            }
            if let Leads::Forward(to) = &listing.leads {
                let complete = listing.caught_up.then_some(self.now());
                let moved = self.intake(Span { from: cursor, to: to.clone() });
                self.store.commit(Intake { complete, ..moved }).await.unwrap();
            }
            if listing.caught_up {
                return;
            }
        }
        panic!("a poll without end");
    }

    async fn run(&mut self, event: Event) {
        match event {
            Event::File { n, lines } => self.publish(n, lines),
            Event::Poll { files } => self.poll(files).await,
            Event::Hours(hours) => {
                for _ in 0..hours.div_ceil(4) {
                    self.clock.advance(HOUR * 4);
                    self.poll(1_000).await;
                }
            }
            Event::Outage { hours } => self.clock.advance(HOUR * hours),
            Event::Expired(downloads) => self.server.expired = downloads,
            Event::Refused => self.server.refusing = true,
            Event::Odd { overlap, double, empty } => self.server.odd = (overlap, double, empty),
            Event::Taken { events, heard } => {
                self.sink.take(&self.store, events, heard).await;
            }
            Event::Restart => {
                let elsewhere = tempfile::tempdir().unwrap();
                let other = open(&elsewhere, &self.clock).await;
                drop(std::mem::replace(&mut self.store, other));
                self.store = open(&self.dir, &self.clock).await;
            }
        }
    }

    async fn prove(&mut self) {
        let gaps: Vec<TimeSpan> =
            self.store.gaps_list(0, 1_000).await.unwrap().into_iter().map(|gap| gap.span).collect();
        let lost = |at: Time| gaps.iter().any(|gap| gap.from < at && at <= gap.to);
        let (mut owed, mut most) = (BTreeMap::<&str, usize>::new(), BTreeMap::<&str, usize>::new());
        for file in &self.server.files {
            for line in &file.lines {
                *most.entry(line).or_default() += 1;
                *owed.entry(line).or_default() += usize::from(!lost(file.at));
            }
        }
        let mut found = BTreeMap::<String, usize>::new();
        for (_, text) in stored(&self.store).await {
            *found.entry(text).or_default() += 1;
        }
        for (text, most) in &most {
            let (found, owed) = (found.get(*text).copied().unwrap_or(0), owed[text]);
            assert!(
                owed <= found && found <= *most,
                "{text}: {owed} owed, {most} published, {found} stored, {gaps:?}"
            );
        }
        assert!(found.keys().all(|text| most.contains_key(text.as_str())), "nothing is invented");
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
        for event in events {
            world.run(event).await;
        }
        world.run(Event::Hours(8)).await;
        world.prove().await;
    });
}

#[test]
fn every_event_of_every_file_is_stored_once_or_in_the_ledger() {
    histories(proptest::collection::vec(event(), 1..40), 1, tell);
}

/// The same for histories nobody has seen before.
#[test]
fn every_event_of_a_new_history_of_files_is_stored_once_or_in_the_ledger() {
    histories(proptest::collection::vec(event(), 1..40), fastrand::u64(..), tell);
}
