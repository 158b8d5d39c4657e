//! Where a reader stands in a feed, and the only reader and writer of a cursor's text. The text is compact JSON
//! with a version; a text this version does not know is a fault, never a fresh start.

use std::time::Duration;

use jiff::civil;
use serde::{Deserialize, Serialize};

use super::feed::{Ask, Feed};
use super::links::FileKey;
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
}

/// A window that is being read. Its bounds stay as they are until its last page, or pages would shift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub from: Time,
    pub to: Time,
    /// The next page's token, as JSON text; `None` for the first page.
    pub page: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<BatchText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<WindowText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchText {
    since: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    done: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowText {
    high: i64,
    pass: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reading: Option<(i64, i64, Option<String>)>,
}

impl Position {
    /// Where a feed that was never polled begins: `lookback` ago, but not before what Mimecast keeps.
    pub fn first(feed: &Feed, now: Time, lookback: Duration) -> Position {
        Position::starting(feed, now.minus(lookback.min(feed.retention)), 0)
    }

    pub(super) fn starting(feed: &Feed, at: Time, pass: u64) -> Position {
        match feed.ask {
            Ask::Batch { .. } => Position::Batch { since: Day::of(at), token: None, done: Vec::new() },
            Ask::Window { .. } => Position::Window { high: at, pass, reading: None },
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
            Text { v: VERSION, batch: Some(batch), window: None } => Position::Batch {
                since: Day::parse(&batch.since)?,
                token: batch.token,
                done: batch.done.iter().map(|key| FileKey::from_hex(key)).collect::<Option<_>>()?,
            },
            Text { v: VERSION, batch: None, window: Some(window) } => Position::Window {
                high: Time(window.high),
                pass: window.pass,
                reading: window.reading.map(|(from, to, page)| Reading {
                    from: Time(from),
                    to: Time(to),
                    page,
                }),
            },
            _ => return None,
        };
        let kind_fits = matches!(
            (&position, feed.ask),
            (Position::Batch { .. }, Ask::Batch { .. }) | (Position::Window { .. }, Ask::Window { .. })
        );
        kind_fits.then_some(position)
    }

    /// As a cursor's text. The same position always gives the same text.
    pub fn cursor(&self) -> Cursor {
        let (batch, window) = match self {
            Position::Batch { since, token, done } => {
                let done = done.iter().map(FileKey::to_string).collect();
                (Some(BatchText { since: since.to_string(), token: token.clone(), done }), None)
            }
            Position::Window { high, pass, reading } => {
                let reading = reading.as_ref().map(|r| (r.from.0, r.to.0, r.page.clone()));
                (None, Some(WindowText { high: high.0, pass: *pass, reading }))
            }
        };
        // Plain structs of text and numbers always have a JSON form.
        Cursor(serde_json::to_string(&Text { v: VERSION, batch, window }).unwrap_or_default())
    }

    /// The request would carry something the server gave us, so a refusal may be about that.
    pub fn has_token(&self) -> bool {
        match self {
            Position::Batch { token, .. } => token.is_some(),
            Position::Window { reading, .. } => {
                reading.as_ref().is_some_and(|reading| reading.page.is_some())
            }
        }
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
        let Position::Batch { since, done, .. } = self else { return self.clone() };
        let since = if caught_up { Day::of(now.minus(DAY)).max(*since) } else { *since };
        // page edges overlap in the field: what was just read is known one listing longer
        Position::Batch { since, token: Some(next.to_owned()), done: done.clone() }
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
        Position::Window { high: *high, pass: *pass, reading: Some(Reading { from, to, page: None }) }
    }

    /// After a page of the window: on to the next page, or with the window read to its end.
    #[must_use]
    pub(super) fn after_page(&self, next: Option<String>) -> Position {
        let Position::Window { high, pass, reading: Some(reading) } = self else { return self.clone() };
        match next {
            Some(page) => {
                let reading = Reading { page: Some(page), ..reading.clone() };
                Position::Window { high: *high, pass: *pass, reading: Some(reading) }
            }
            None => {
                Position::Window { high: reading.to.max(*high), pass: pass.saturating_add(1), reading: None }
            }
        }
    }

    /// The same feed read again from where no token is needed: after the server refused one. Nothing is
    /// skipped; what was read since then is read twice.
    #[must_use]
    pub fn without_token(&self) -> Position {
        match self {
            Position::Batch { since, .. } => Position::Batch { since: *since, token: None, done: Vec::new() },
            Position::Window { high, pass, .. } => {
                Position::Window { high: *high, pass: pass.saturating_add(1), reading: None }
            }
        }
    }

    /// The same feed read again from `at`, or from where Mimecast's memory begins if that is later.
    #[must_use]
    pub fn rewound(&self, feed: &Feed, at: Time, now: Time) -> Position {
        let at = at.max(now.minus(feed.retention));
        let pass = if let Position::Window { pass, .. } = self { pass.saturating_add(1) } else { 0 };
        Position::starting(feed, at, pass)
    }

    /// Number and bounds of the window being read: what the store needs to tell repeats from new records.
    pub fn window(&self) -> Option<(u64, TimeSpan)> {
        match self {
            Position::Window { pass, reading: Some(reading), .. } => {
                Some((*pass, TimeSpan { from: reading.from, to: reading.to }))
            }
            _ => None,
        }
    }

    /// For people: `cursor list`.
    pub fn describe(&self) -> String {
        match self {
            Position::Batch { since, token: None, done } => {
                format!("files since {since}, {} of the first listing read", done.len())
            }
            Position::Batch { since, token: Some(token), done } => {
                let start: String = token.chars().take(12).collect();
                format!(
                    "files after token {start}…, {} of this listing read; falls back to {since}",
                    done.len()
                )
            }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::catalogue::find;
    use super::*;

    const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
    const HOUR: Duration = Duration::from_secs(3600);

    fn open(feed: &str, text: &str) -> Result<Position, Fault> {
        Position::open(find(feed).unwrap(), &Cursor(text.into()), NOW, DAY)
    }

    fn position() -> impl Strategy<Value = (&'static str, Position)> {
        let day = (0_i64..80_000).prop_map(|days| Day::of(Time::from_secs(days * 86_400)));
        let key = "[a-z0-9/.]{0,12}".prop_map(|name| FileKey::of(&name));
        let batch = (day, any::<Option<String>>(), proptest::collection::vec(key, 0..5))
            .prop_map(|(since, token, done)| ("siem.av", Position::Batch { since, token, done }));
        let reading = (any::<i64>(), any::<i64>(), any::<Option<String>>())
            .prop_map(|(from, to, page)| Reading { from: Time(from), to: Time(to), page });
        let window =
            (any::<i64>(), any::<u64>(), proptest::option::of(reading)).prop_map(|(high, pass, reading)| {
                ("audit", Position::Window { high: Time(high), pass, reading })
            });
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
            Position::Batch { since, token: None, done } if done.is_empty() => since.to_string(),
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
        let later = first.after_page(Some("\"p\"".into())).with_window(feed, feed.overlap, NOW.plus(HOUR));
        assert_eq!(later.window(), first.window());
        let ended = later.after_page(None);
        assert_eq!(ended, Position::Window { high: settled, pass: 1, reading: None });
        let second = ended.with_window(feed, feed.overlap, NOW.plus(HOUR));
        let from = settled.minus(feed.overlap);
        assert_eq!(second.window(), Some((1, TimeSpan { from, to: NOW.plus(HOUR).minus(feed.settle) })));
        let clock_set_back = ended.with_window(feed, feed.overlap, NOW.minus(DAY));
        assert_eq!(clock_set_back.window(), Some((1, TimeSpan { from, to: from })));
        assert_eq!(
            clock_set_back.after_page(None),
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
        assert!(caught_up.has_token() && !start.has_token());
    }
}
