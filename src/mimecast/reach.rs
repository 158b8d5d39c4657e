//! How far a feed is read, and how much of what is not read yet has left Mimecast's memory.

use std::time::Duration;

use super::edge::Edge;
use super::feed::Feed;
use super::position::{DAY, Position, Reading, whole_second};
use crate::clock::Time;
use crate::cursor::TimeSpan;
use crate::limits::{RETENTION_EDGE, RETENTION_SLACK};

/// What the store knows of how far a feed is read, beside its position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// At that time Mimecast had nothing more to list.
    pub complete: Option<Time>,
    /// Time of the events stored last, as most of them tell it.
    pub newest: Option<Time>,
    /// Last time anything was stored or found up to date.
    pub last_success: Option<Time>,
}

impl Known {
    /// Everything up to here is read, as far as a listing can tell: files are listed in the order of their making,
    /// so the events read last mark the place, but those from the future must not.
    fn read_to(self) -> Option<Time> {
        self.complete.max(self.plausible())
    }

    /// The newest event, unless it is from the future.
    fn plausible(self) -> Option<Time> {
        self.newest.zip(self.last_success).map(|(newest, seen)| newest.min(seen))
    }
}

impl Position {
    /// A position that reads one span of a feed and nothing after it. Files are listed by whole days.
    pub fn over(feed: &Feed, span: TimeSpan, pass: u64) -> Position {
        match Position::starting(feed, span.from, pass) {
            Position::Window { .. } => {
                let (from, to) = (whole_second(span.from), whole_second(span.to));
                Position::Window {
                    high: span.to,
                    pass,
                    reading: Some(Reading { from, to, page: None, edge: Edge::default() }),
                }
            }
            other => other,
        }
    }

    /// Everything before this time is read, but for late rows; `None` when nobody knows.
    pub fn read_to(&self, known: Known) -> Option<Time> {
        match self {
            Position::Batch { since, .. } => known.read_to().map(|to| to.max(since.start())),
            Position::Window { high, .. } => Some(*high),
            Position::Token(_) => known.read_to(),
            Position::Stream(live) => Some(live.high),
        }
    }

    /// Where reading begins when nothing is read yet: the window's lower end, or the first moment of the day.
    pub fn starts_at(&self) -> Time {
        match self {
            Position::Batch { since, .. } => since.start(),
            Position::Window { high, .. } => *high,
            Position::Token(place) => Time(place.since),
            Position::Stream(live) => live.from,
        }
    }

    /// What Mimecast no longer keeps of the time that is not read yet; `None` while all of it is still there. A
    /// page token does not help: the server may go on behind what it has forgotten without a word.
    pub fn beyond_retention(&self, feed: &Feed, now: Time, known: Known) -> Option<TimeSpan> {
        let kept = now.minus(feed.retention);
        let away = known.last_success.is_none_or(|last| last.plus(RETENTION_SLACK) < now);
        // a position moved to the very edge must not be found too old a moment later
        let slack = if away { RETENTION_EDGE } else { RETENTION_SLACK };
        let old = |at: Time| at.plus(slack) < kept;
        let from = match (self, self.read_to(known)) {
            (Position::Batch { .. }, Some(read_to)) => Some(read_to).filter(|to| old(*to)),
            (Position::Batch { token: Some(_), .. }, None) => None,
            // the day may be half gone, and is asked for
            (Position::Batch { since, .. }, None) => Some(since.start()).filter(|start| old(start.plus(DAY))),
            // A window being read goes on while its pages come. It is lost when all of it has expired, and where
            // it has expired while nobody read.
            (Position::Window { high, reading: Some(reading), .. }, _) => {
                let lost = old(reading.to) || (away && old(reading.from.max(*high)));
                lost.then_some(*high)
            }
            (Position::Window { high, .. }, _) => Some(*high).filter(|high| old(*high)),
            // the token's place is the server's to know, but what has left its memory has left it
            (Position::Token(_), read_to) => read_to.filter(|to| old(*to)),
            // what the stream has forgotten the files still have
            (Position::Stream(_), _) => None,
        };
        // what was told to be lost before is not told again
        let told = |from: Time| match self {
            Position::Window { .. } => from.max(known.complete.unwrap_or(from)).min(kept),
            _ => from,
        };
        from.map(|from| TimeSpan { from: told(from), to: kept })
    }

    /// What may have left Mimecast's memory unread while an answer was on its way to a feed that is still being read: it
    /// goes on where it stands, and what it did not find any more nobody tells it. `now` is when the answer was there.
    pub fn forgotten_unread(&self, feed: &Feed, now: Time, known: Known) -> Option<TimeSpan> {
        let kept = now.minus(feed.retention);
        let from = match self {
            Position::Batch { .. } | Position::Token(_) => known.read_to()?,
            Position::Window { high, reading: None, .. } => known.complete.map_or(*high, |to| to.max(*high)),
            // the oldest come last, unless they were asked for first
            Position::Window { high, reading: Some(_), .. } => {
                let newest = known.plausible().filter(|_| feed.is_oldest_first());
                known.complete.max(newest).map_or(*high, |to| to.max(*high))
            }
            // what the stream has forgotten the files still have
            Position::Stream(_) => return None,
        };
        // where a feed begins, for the first time or again after a gap, nobody counted on the very edge; a window stands
        // where it began until all of it is read, or something of it was told to be lost
        let begins = match self {
            Position::Window { high, .. } => known.complete.is_none_or(|to| to <= *high),
            _ => known.newest.is_none(),
        };
        let slack = if begins { RETENTION_EDGE } else { Duration::ZERO };
        (from.plus(slack) < kept).then_some(TimeSpan { from, to: kept })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::catalogue::find;
    use super::*;

    const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z

    #[test]
    fn what_is_no_longer_kept_is_a_span() {
        let feed = find("audit").unwrap();
        let old = Position::Window { high: NOW.minus(DAY * 90), pass: 3, reading: None };
        let span = TimeSpan { from: NOW.minus(DAY * 90), to: NOW.minus(feed.retention) };
        assert_eq!(old.beyond_retention(feed, NOW, Known::default()), Some(span));
        let first = Position::first(feed, NOW, DAY * 400);
        assert_eq!(first.beyond_retention(feed, NOW, Known::default()), None);
        let batch = find("siem.av").unwrap();
        let first = Position::first(batch, NOW, DAY * 400);
        assert_eq!(first.beyond_retention(batch, NOW, Known::default()), None);
        let old = Position::first(batch, NOW.minus(DAY * 9), DAY);
        assert!(old.beyond_retention(batch, NOW, Known::default()).is_some());
        let token = old.forward("t", false, NOW);
        assert!(
            token.beyond_retention(batch, NOW, Known::default()).is_none(),
            "nobody knows how far it came"
        );
        let known = Known { complete: Some(NOW.minus(DAY * 8)), ..Known::default() };
        let span = TimeSpan { from: NOW.minus(DAY * 8), to: NOW.minus(DAY * 7) };
        assert_eq!(token.beyond_retention(batch, NOW, known), Some(span), "a token does not bring it back");
        let behind = Known { newest: Some(NOW.minus(DAY * 6)), last_success: Some(NOW), ..known };
        assert_eq!(token.beyond_retention(batch, NOW, behind), None, "it came further since");
        let odd = Known { newest: Some(NOW.plus(DAY)), last_success: Some(NOW.minus(DAY * 8)), ..known };
        assert_eq!(
            token.beyond_retention(batch, NOW, odd),
            Some(span),
            "an event from the future proves nothing"
        );
    }

    proptest! {
        /// Whatever was read up to when, and whatever the outage: the gap begins exactly where reading stood and
        /// ends exactly where Mimecast's memory begins; without a gap nothing is missing but the slack.
        #[test]
        fn a_gap_is_exactly_what_was_lost(
            feed in prop_oneof![Just("siem.receipt"), Just("audit"), Just("ttp.url")],
            read_ms in 0_i64..5_000_000_000, away_ms in 0_i64..9_000_000_000, token in any::<bool>()
        ) {
            let feed = find(feed).unwrap();
            let read_to = NOW.plus(std::time::Duration::from_millis(read_ms as u64));
            let now = read_to.plus(std::time::Duration::from_millis(away_ms as u64));
            let kept = now.minus(feed.retention);
            let known = Known { complete: Some(read_to), newest: None, last_success: Some(read_to) };
            let position = match Position::starting(feed, read_to, 3) {
                batch @ Position::Batch { .. } if token => batch.forward("t", false, read_to),
                other => other,
            };
            match position.beyond_retention(feed, now, known) {
                Some(span) => prop_assert_eq!(span, TimeSpan { from: read_to, to: kept }),
                None => prop_assert!(kept <= read_to.plus(RETENTION_EDGE)),
            }
            let after = position.rewound(feed, kept, now);
            let known = Known { complete: Some(kept), last_success: Some(now), ..known };
            prop_assert!(after.beyond_retention(feed, now, known).is_none(), "moved once, not for ever");
        }
    }
}
