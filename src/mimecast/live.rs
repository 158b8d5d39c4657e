//! The stream of a SIEM feed, and the seams between it and the files: the same events, at two functions, in two
//! spellings, under tokens that mean nothing to each other.
//!
//! A feed crosses from the files to the stream only when the files are read to their end, and begins the stream one
//! overlap back; it goes back to the files at the day on which, less the overlap, its reading of the stream ended.
//! So each side is asked for everything the other may not have given. While a crossing is near, every event is
//! remembered by what it says ([`super::content`]), and one that comes again in the other spelling is a repeat; files
//! that were read before are known by name. A feed stays with the files until the overlap lies wholly in the time
//! since it began to remember.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::feed::Endpoint;
use super::links::FileKey;
use super::position::{Day, Position};
use crate::clock::Time;
use crate::limits::STREAM_KEPT;

/// Room for the files of one reading in the numbers they are counted by: more than Mimecast lists in a week.
const FILES_BITS: u32 = 16;

/// Where a reader stands among the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPlace {
    pub since: Day,
    pub token: Option<String>,
    pub done: Vec<FileKey>,
}

impl BatchPlace {
    /// The first listing of the day `at` falls on.
    pub fn from_day(at: Time) -> Self {
        BatchPlace { since: Day::of(at), token: None, done: Vec::new() }
    }
    /// The position at this place.
    pub fn position(self, seam: Option<Seam>) -> Position {
        let BatchPlace { since, token, done } = self;
        Position::Batch { since, token, done, seam }
    }
}

/// What makes files and stream one log while both are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seam {
    /// Everything stored since then is remembered by content; Unix milliseconds, 0: everything there is.
    known: i64,
    /// How far the stream was read; 0: not yet.
    high: i64,
    /// Number of the file being read.
    pass: u64,
    /// How many parts of that file are stored.
    #[serde(default, skip_serializing_if = "super::position::is_zero")]
    part: u32,
}

impl Seam {
    /// For reading one more file, or the same one again.
    #[must_use]
    pub fn afresh(self) -> Seam {
        Seam { pass: self.pass.saturating_add(1), part: 0, ..self }
    }
    /// After one more part of the file.
    #[must_use]
    pub fn after_part(self) -> Seam {
        Seam { part: self.part.saturating_add(1), ..self }
    }
    /// After the whole file.
    #[must_use]
    pub fn after_file(self) -> Seam {
        Seam { part: 0, ..self }
    }
    /// Number of the file being read.
    pub fn pass(self) -> u64 {
        self.pass
    }
    /// How far the stream was read, if it was.
    pub fn high(self) -> Option<Time> {
        (self.high > 0).then_some(Time(self.high))
    }
}

/// Where a reader stands in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Where the server says the next page begins.
    pub token: Option<String>,
    /// Where reading begins without token: one overlap before the last time it was caught up.
    pub from: Time,
    /// Up to then everything was read.
    pub high: Time,
    /// Everything stored since then is remembered by content.
    pub known: Time,
    /// Number of the page being read.
    pub pass: u64,
}

impl Live {
    fn begin(from: Time, seam: Seam) -> Live {
        Live { token: None, from, high: from, known: Time(seam.known), pass: seam.pass.saturating_add(1) }
    }

    /// After one page.
    #[must_use]
    pub fn after_page(&self, token: Option<String>, caught_up: bool, overlap: Duration, now: Time) -> Live {
        let pass = self.pass.saturating_add(1);
        let token = token.or_else(|| self.token.clone());
        let (high, from) = if caught_up {
            (now.max(self.high), now.minus(overlap).max(self.from))
        } else {
            (self.high, self.from)
        };
        Live { token, from, high, pass, ..self.clone() }
    }

    /// Whether it goes by a token.
    pub fn carries_token(&self) -> bool {
        self.token.is_some()
    }

    /// From the time that needs no token.
    #[must_use]
    pub fn without_token(&self) -> Live {
        Live { token: None, pass: self.pass.saturating_add(1), ..self.clone() }
    }

    /// From `at`; from the files, when the stream does not reach so far back.
    #[must_use]
    pub fn rewound(&self, at: Time, now: Time) -> Position {
        if at >= now.minus(STREAM_KEPT) {
            return Position::Stream(Live { from: at, high: at, ..self.without_token() });
        }
        BatchPlace::from_day(at).position(Some(self.seam(at)))
    }

    /// The oldest that the next request asks for: where the token stands, or the overlap before it without one.
    fn asks_from(&self) -> Time {
        if self.token.is_some() { self.high } else { self.from }
    }

    fn seam(&self, high: Time) -> Seam {
        Seam { known: self.known.0, high: high.0, pass: self.pass, part: 0 }
    }

    /// Back to the files.
    fn to_files(&self, overlap: Duration) -> Position {
        BatchPlace::from_day(self.high.minus(overlap)).position(Some(self.seam(self.high)))
    }
}

impl Position {
    /// The same place for a tenant that reads from `endpoint`. `fresh`: the feed was never polled.
    #[must_use]
    pub fn at_endpoint(
        self,
        endpoint: Endpoint,
        fresh: Option<Time>,
        overlap: Duration,
        now: Time,
    ) -> Position {
        match (self, endpoint) {
            (Position::Batch { since, token, done, seam: None }, Endpoint::Stream) => {
                let place = BatchPlace { since, token, done };
                let known = if fresh.is_some() { 0 } else { now.0 };
                let seam = Seam { known, high: 0, pass: 0, part: 0 };
                match fresh.filter(|from| *from >= now.minus(STREAM_KEPT)) {
                    Some(from) => Position::Stream(Live::begin(from, seam)),
                    None => place.position(Some(seam)),
                }
            }
            (Position::Stream(live), Endpoint::Stream) if live.asks_from() < now.minus(STREAM_KEPT) => {
                live.to_files(overlap)
            }
            (Position::Stream(live), Endpoint::Batch) => live.to_files(overlap),
            (position, _) => position,
        }
    }

    /// Where a feed goes on that has read all files there are, if that is elsewhere: to the stream as soon as it
    /// knows all that the overlap can bring again; to files without memory once no file can bring again what the
    /// stream has brought.
    #[must_use]
    pub fn crossed(&self, endpoint: Endpoint, overlap: Duration, now: Time) -> Option<Position> {
        let Position::Batch { since, token, done, seam: Some(seam) } = self else { return None };
        let place = BatchPlace { since: *since, token: token.clone(), done: done.clone() };
        match endpoint {
            Endpoint::Stream => {
                let from = now.minus(overlap);
                (from.0 >= seam.known).then(|| Position::Stream(Live::begin(from, *seam)))
            }
            Endpoint::Batch => (now >= Time(seam.high).plus(overlap)).then(|| place.position(None)),
        }
    }

    /// The function that goes on reading here, for a feed that has two.
    pub fn endpoint(&self) -> Endpoint {
        if let Position::Stream(_) = self { Endpoint::Stream } else { Endpoint::Batch }
    }

    /// While files are read beside the stream: the number of the file being read.
    pub fn seam(&self) -> Option<Seam> {
        match self {
            Position::Batch { seam, .. } => *seam,
            _ => None,
        }
    }

    /// A span of files, read beside the stream if `main` is: what the stream has brought is known by content then. Its
    /// files are counted from `reading` on, which no other reading has.
    #[must_use]
    pub fn beside(self, main: &Position, reading: u64) -> Position {
        let high = match main {
            Position::Stream(live) => Some(live.high.0),
            Position::Batch { seam: Some(seam), .. } => Some(seam.high),
            _ => None,
        };
        match (self, high) {
            (Position::Batch { since, token, done, seam: None }, Some(high)) => {
                let seam = Seam { known: 0, high, pass: reading << FILES_BITS, part: 0 };
                Position::Batch { since, token, done, seam: Some(seam) }
            }
            (position, _) => position,
        }
    }

    /// The same place with another count of the file being read.
    #[must_use]
    pub fn with_seam(&self, seam: Seam) -> Position {
        match self.clone() {
            Position::Batch { since, token, done, seam: Some(_) } => {
                Position::Batch { since, token, done, seam: Some(seam) }
            }
            other => other,
        }
    }
}
