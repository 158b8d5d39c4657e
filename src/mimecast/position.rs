//! Where a reader stands in a feed, and the only reader and writer of a cursor's text. The text is compact JSON
//! with a version; a text this version does not know is a fault, never a fresh start.

use std::time::Duration;

use jiff::civil;
use serde::{Deserialize, Serialize};

use super::edge::Edge;
use super::feed::{Ask, Feed};
use super::links::FileKey;
use super::live::{BatchPlace, Live, Seam};
use crate::clock::Time;
use crate::cursor::{Cursor, TimeSpan};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{MAX_FILES_PER_LISTING, MAX_PAGE_TOKEN_BYTES};

const VERSION: u32 = 1;
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// A calendar day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(civil::Date);

impl Day {
    /// The day `at` falls on. Times no calendar has are taken as the epoch's day.
    pub fn of(at: Time) -> Self {
        let stamp = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Day(jiff::tz::TimeZone::UTC.to_datetime(stamp).date())
    }
    /// Its first moment.
    pub fn start(self) -> Time {
        let midnight = jiff::tz::TimeZone::UTC.to_timestamp(self.0.at(0, 0, 0, 0));
        Time(midnight.map_or(0, jiff::Timestamp::as_millisecond))
    }
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Day)
    }
}

/// `2026-01-01`.
impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

/// A position in a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// In a listing of files.
    Batch {
        /// Everything before this day is read; where a listing without token begins.
        since: Day,
        /// Where the server says the next listing begins.
        token: Option<String>,
        /// Files of the listing at this position that are read.
        done: Vec<FileKey>,
        /// What is read here was or will be read from the stream as well.
        seam: Option<Seam>,
    },
    /// In a log that is asked for by time.
    Window {
        /// Everything up to here is read, but for late rows.
        high: Time,
        /// How many windows were read to their end.
        pass: u64,
        /// The window being read.
        reading: Option<Reading>,
    },
    /// In a log whose answers end with a token for the next one.
    Token(Place),
    /// In the stream of a SIEM feed.
    Stream(Live),
}

/// A place that the server's token stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// As the last answer's header said; `None`: from the oldest that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Where an answer without token begins, as far as the function can be told; Unix milliseconds.
    pub since: i64,
    /// Number of the answer being read; another one for each reading, so that repeats are counted right.
    pub pass: u64,
    /// How many parts of the next answer are stored: the token moves with the last one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub part: u32,
}

pub(super) fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Place {
    /// For a new reading of the answer at this place: what an earlier one stored of it is known by content.
    #[must_use]
    pub fn afresh(&self) -> Place {
        Place { pass: self.pass.saturating_add(1), part: 0, ..self.clone() }
    }
    /// After one more part of the answer.
    #[must_use]
    pub fn after_part(&self) -> Place {
        Place { part: self.part.saturating_add(1), ..self.clone() }
    }
    /// After the whole answer. Without a new token the old one stays good.
    #[must_use]
    pub fn after_answer(&self, token: Option<String>) -> Place {
        Place { token: token.or_else(|| self.token.clone()), part: 0, ..self.clone() }
    }
}

/// A window that is being read. Its bounds stay as they are until its last page, or pages would shift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub from: Time,
    pub to: Time,
    /// The next page's token, as JSON text; `None` for the first page, and when only a look at an edge is left.
    pub page: Option<String>,
    /// What the next page is compared with.
    pub edge: Edge,
}

impl Reading {
    /// What is asked for next: a span, and the token of a page of it.
    pub(super) fn asked(&self) -> (TimeSpan, Option<&str>) {
        let window = (TimeSpan { from: self.from, to: self.to }, self.page.as_deref());
        self.edge.look().unwrap_or(window)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<BatchText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<WindowText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<StreamText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchText {
    since: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    done: Vec<FileKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seam: Option<Seam>,
}

impl BatchText {
    fn new(since: Day, token: Option<&String>, done: &[FileKey], seam: Option<Seam>) -> Self {
        BatchText { since: since.to_string(), token: token.cloned(), done: done.to_vec(), seam }
    }
    fn place(self) -> Option<(BatchPlace, Option<Seam>)> {
        let since = Day::parse(&self.since)?;
        Some((BatchPlace { since, token: self.token, done: self.done }, self.seam))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    from: i64,
    high: i64,
    known: i64,
    pass: u64,
}

impl StreamText {
    fn live(self) -> Live {
        let StreamText { token, from, high, known, pass } = self;
        Live { token, from: Time(from), high: Time(high), known: Time(known), pass }
    }
    fn of(live: &Live) -> Self {
        let (from, high, known) = (live.from.0, live.high.0, live.known.0);
        StreamText { token: live.token.clone(), from, high, known, pass: live.pass }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowText {
    high: i64,
    pass: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reading: Option<(i64, i64, Option<String>)>,
    #[serde(default, skip_serializing_if = "Edge::is_new")]
    edge: Edge,
}

impl Position {
    /// Where a feed begins that was to be collected from `begun` on: `lookback` before, but not before what Mimecast
    /// kept then.
    pub fn first(feed: &Feed, begun: Time, lookback: Duration) -> Position {
        Position::starting(feed, begun.minus(lookback.min(feed.retention)), 0)
    }

    pub(super) fn starting(feed: &Feed, at: Time, pass: u64) -> Position {
        match feed.ask {
            Ask::Batch { .. } => BatchPlace::from_day(at).position(None),
            Ask::Window { .. } => Position::Window { high: at, pass, reading: None },
            Ask::Archive | Ask::Intel { .. } => {
                Position::Token(Place { token: None, since: at.0, pass, part: 0 })
            }
        }
    }

    /// The position a cursor tells. An unset cursor is [`Position::first`].
    ///
    /// Faults: local [`Kind::Malformed`] when the text is not of this version or not of this kind of feed.
    pub fn open(feed: &Feed, cursor: &Cursor, now: Time, lookback: Duration) -> Result<Position, Fault> {
        if cursor.is_unset() {
            return Ok(Position::first(feed, now, lookback));
        }
        Position::read(feed, cursor).ok_or_else(|| {
            let detail = format!(
                "the stored position of {} is in a form this version cannot read; it was left as it is. Run the \
                 version that wrote it, or set the position with `cursor set` or `cursor reset`",
                feed.name
            );
            Fault::new(Origin::Local, Kind::Malformed, detail)
        })
    }

    fn read(feed: &Feed, cursor: &Cursor) -> Option<Position> {
        let text: Text = serde_json::from_str(&cursor.0).ok()?;
        let position = match text {
            Text { v: VERSION, batch: Some(batch), window: None, token: None, stream: None } => {
                let (place, seam) = batch.place()?;
                place.position(seam)
            }
            Text { v: VERSION, batch: None, window: Some(window), token: None, stream: None } => {
                let WindowText { reading, edge, .. } = window;
                let reading =
                    reading.map(|(from, to, page)| Reading { from: Time(from), to: Time(to), page, edge });
                Position::Window { high: Time(window.high), pass: window.pass, reading }
            }
            Text { v: VERSION, batch: None, window: None, token: Some(place), stream: None } => {
                Position::Token(place)
            }
            Text { v: VERSION, batch: None, window: None, token: None, stream: Some(stream) } => {
                Position::Stream(stream.live())
            }
            _ => return None,
        };
        let kind_fits = matches!(
            (&position, feed.ask),
            (Position::Batch { .. } | Position::Stream(_), Ask::Batch { .. })
                | (Position::Window { .. }, Ask::Window { .. })
                | (Position::Token(_), Ask::Archive | Ask::Intel { .. })
        );
        kind_fits.then_some(position)
    }

    /// As a cursor's text. The same position always gives the same text.
    pub fn cursor(&self) -> Cursor {
        let mut text = Text { v: VERSION, batch: None, window: None, token: None, stream: None };
        match self {
            Position::Batch { since, token, done, seam } => {
                text.batch = Some(BatchText::new(*since, token.as_ref(), done, *seam));
            }
            Position::Window { high, pass, reading } => {
                let edge = reading.as_ref().map(|r| r.edge.clone()).unwrap_or_default();
                let reading = reading.as_ref().map(|r| (r.from.0, r.to.0, r.page.clone()));
                text.window = Some(WindowText { high: high.0, pass: *pass, reading, edge });
            }
            Position::Token(place) => text.token = Some(place.clone()),
            Position::Stream(live) => text.stream = Some(StreamText::of(live)),
        }
        // Plain structs of text and numbers always have a JSON form.
        Cursor(serde_json::to_string(&text).unwrap_or_default())
    }

    /// The file was read from this position before.
    pub fn is_done(&self, key: FileKey) -> bool {
        matches!(self, Position::Batch { done, .. } if done.contains(&key))
    }

    /// After this file of the listing has been read. Other kinds of feed stay where they are.
    #[must_use]
    pub fn with_done(&self, key: FileKey) -> Position {
        let mut after = self.clone();
        if let Position::Batch { done, .. } = &mut after
            && !done.contains(&key)
        {
            done.push(key);
        }
        after
    }

    /// The same place, remembering only files the listing still shows.
    #[must_use]
    pub(super) fn pruned(&self, listed: &[FileKey]) -> Position {
        let mut after = self.clone();
        if let Position::Batch { done, .. } = &mut after {
            done.retain(|key| listed.contains(key));
            done.truncate(MAX_FILES_PER_LISTING);
        }
        after
    }

    /// After all files of a listing: the server's new token. The files are remembered until the next listing
    /// shows that they are not on it. Once caught up, all but the last day is behind us.
    #[must_use]
    pub(crate) fn forward(&self, next: &str, caught_up: bool, now: Time) -> Position {
        let Position::Batch { since, done, seam, .. } = self else { return self.clone() };
        let since = if caught_up { Day::of(now.minus(DAY)).max(*since) } else { *since };
        // page edges overlap in the field: what was just read is known one listing longer
        Position::Batch { since, token: Some(next.to_owned()), done: done.clone(), seam: *seam }
    }

    /// With a window to read: the one begun, or a new one from the overlap to `server_now` less the feed's
    /// settling time. Other kinds of feed stay where they are.
    #[must_use]
    pub(super) fn with_window(&self, feed: &Feed, overlap: Duration, server_now: Time) -> Position {
        let Position::Window { high, pass, reading: None } = self else { return self.clone() };
        // Nothing lies before the first window, so it has nothing to overlap.
        let from = if *pass == 0 { *high } else { high.minus(overlap) };
        // requests carry whole seconds: a window that ended within one would leave its rest to nobody
        let from = whole_second(from.max(server_now.minus(feed.retention)));
        let to = whole_second(server_now.minus(feed.settle)).max(from); // a clock set back must not ask backwards
        Position::Window {
            high: *high,
            pass: *pass,
            reading: Some(Reading { from, to, page: None, edge: Edge::default() }),
        }
    }

    /// After an answer of the window: on to the next page or to a look at an edge, or with the window read to its end.
    #[must_use]
    pub(super) fn after_page(&self, next: Option<String>, edge: Edge) -> Position {
        let Position::Window { high, pass, reading: Some(reading) } = self else { return self.clone() };
        let page = if reading.edge.look().is_some() { reading.page.clone() } else { next };
        if page.is_none() && edge.look().is_none() {
            return Position::Window {
                high: reading.to.max(*high),
                pass: pass.saturating_add(1),
                reading: None,
            };
        }
        let reading = Reading { page, edge, ..reading.clone() };
        Position::Window { high: *high, pass: *pass, reading: Some(reading) }
    }

    /// The same feed read again from where no token is needed: after the server refused one. Nothing is
    /// skipped; what was read since then is read twice.
    #[must_use]
    pub fn without_token(&self) -> Position {
        match self {
            Position::Batch { since, seam, .. } => {
                BatchPlace { since: *since, token: None, done: Vec::new() }.position(*seam)
            }
            Position::Window { high, pass, .. } => {
                Position::Window { high: *high, pass: pass.saturating_add(1), reading: None }
            }
            Position::Token(place) => Position::Token(Place { token: None, ..place.afresh() }),
            Position::Stream(live) => Position::Stream(live.without_token()),
        }
    }

    /// Whether what is asked for here goes by a token of Mimecast's, which it may refuse.
    pub fn carries_token(&self) -> bool {
        match self {
            Position::Batch { token, .. } => token.is_some(),
            Position::Window { reading, .. } => {
                reading.as_ref().is_some_and(|reading| reading.asked().1.is_some())
            }
            Position::Token(place) => place.token.is_some(),
            Position::Stream(live) => live.carries_token(),
        }
    }

    /// The same feed read again from `at`, or from where Mimecast's memory begins if that is later.
    #[must_use]
    pub fn rewound(&self, feed: &Feed, at: Time, now: Time) -> Position {
        let at = at.max(now.minus(feed.retention));
        match self {
            Position::Window { pass, .. } => Position::starting(feed, at, pass.saturating_add(1)),
            Position::Token(place) => Position::starting(feed, at, place.pass.saturating_add(1)),
            Position::Stream(live) => live.rewound(at, now),
            Position::Batch { seam, .. } => BatchPlace::from_day(at).position(*seam),
        }
    }

    /// Bounds of the window being read and the number under which its next answer is counted: what the store needs to
    /// tell repeats from new records.
    pub fn window(&self) -> Option<(u64, TimeSpan)> {
        match self {
            Position::Window { pass, reading: Some(reading), .. } => {
                Some((reading.edge.pass(*pass), TimeSpan { from: reading.from, to: reading.to }))
            }
            _ => None,
        }
    }

    /// For people: `cursor list`.
    pub fn describe(&self) -> String {
        match self {
            Position::Batch { since, token: None, done, .. } => {
                format!("files since {since}, {} of the first listing read", done.len())
            }
            Position::Batch { since, token: Some(token), done, .. } => {
                let (token, done) = (start(token), done.len());
                format!("files after token {token}…, {done} of this listing read; falls back to {since}")
            }
            Position::Token(Place { token: None, .. }) => "the oldest that Mimecast keeps".to_owned(),
            Position::Token(Place { token: Some(token), .. }) => {
                format!("what comes after token {}…", start(token))
            }
            Position::Stream(live) => match &live.token {
                None => format!("the stream since {}", live.from.rfc3339()),
                Some(token) => {
                    let (token, from) = (start(token), live.from.rfc3339());
                    format!("the stream after token {token}…; falls back to {from}")
                }
            },
            Position::Window { high, reading: None, .. } => format!("read up to {}", high.rfc3339()),
            Position::Window { high, reading: Some(reading), .. } => {
                let (from, to) = (reading.from.rfc3339(), reading.to.rfc3339());
                format!("read up to {}, reading {from} to {to}", high.rfc3339())
            }
        }
    }
}

pub(super) fn whole_second(at: Time) -> Time {
    Time::from_secs(at.secs())
}

/// As much of a token as people need to tell it from another.
fn start(token: &str) -> String {
    token.chars().take(12).collect()
}

/// A page token fit to be kept.
///
/// Faults: [`Kind::Malformed`] when it is longer than any real one.
pub(super) fn bounded_token(token: String) -> Result<String, Fault> {
    if token.len() <= MAX_PAGE_TOKEN_BYTES {
        return Ok(token);
    }
    let detail = format!("a page token of {} bytes; the bound is {MAX_PAGE_TOKEN_BYTES}", token.len());
    Err(Fault::new(Origin::Api, Kind::Malformed, detail))
}
