//! How long it takes until an event could be lost: a store that fills up, a feed that stands still while Mimecast
//! forgets. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Time;
use crate::limits::{GROWTH_SAMPLES, GROWTH_SHORTEST, STANDS_STILL_AFTER};
use crate::mimecast::feed::Feed;
use crate::mimecast::position::Position;
use crate::scheduler::live::FeedLive;
use crate::scheduler::lost;
use crate::store::FeedRow;
use crate::telemetry::label::FeedState;

/// Undelivered bytes over the last hour.
#[derive(Clone, Debug, Default)]
pub struct Growth(VecDeque<(Time, u64)>);

impl Growth {
    /// One look, at most one a minute.
    pub fn note(&mut self, now: Time, bytes: u64) {
        self.0.push_back((now, bytes));
        while self.0.len() > GROWTH_SAMPLES {
            self.0.pop_front();
        }
    }

    /// How long until `room` bytes are filled at the pace of the last hour; `None` while nothing piles up, or nobody
    /// has looked for long enough.
    pub fn fills_in(&self, room: u64) -> Option<Duration> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let (span, grown) = (last.0.since(first.0), last.1.saturating_sub(first.1));
        if span < GROWTH_SHORTEST || grown == 0 {
            return None;
        }
        Duration::try_from_secs_f64(room as f64 / grown as f64 * span.as_secs_f64()).ok()
    }
}

/// A feed as far as losing events is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// How long Mimecast keeps its events.
    pub retention: Duration,
    /// Everything before is read, or was never to be read; `None`: nobody knows.
    pub read_to: Option<Time>,
    /// It is asked and answers.
    pub works: bool,
}

impl Standing {
    /// `row`: what the store has of it; when it last answered is known across restarts. `lookback`: how far back the
    /// very first poll reaches. How far it is read counts, not when it last answered: one that is catching up may
    /// stand days behind.
    pub fn of(
        live: &FeedLive,
        row: Option<&FeedRow>,
        (feed, lookback): (&Feed, Duration),
        now: Time,
    ) -> Standing {
        let retention = feed.retention;
        let begun = row.and_then(|row| row.begun);
        let answered = live.last_success.or(row.and_then(|row| row.last_success));
        // one that never answered has everything from its fixed start before it
        let start = || row?.complete.or_else(|| Some(begun?.minus(lookback.min(retention))));
        let read_to = row.filter(|row| !row.cursor.is_unset()).and_then(|row| {
            let known = lost::known(row);
            Position::open(feed, &row.cursor, now, lookback).ok()?.read_to(known)
        });
        let stands = matches!(live.state, FeedState::Halted | FeedState::Paused | FeedState::BackingOff);
        let works = !stands || answered.or(begun).is_some_and(|at| now.since(at) < STANDS_STILL_AFTER);
        Standing { retention, read_to: read_to.or_else(start).or(answered), works }
    }
}

/// How long until the first event could be lost; `None` when nothing piles up anywhere. A store that fills up only
/// stops collection: from then on Mimecast keeps the events for its retention. A feed that stands still has what is
/// left of its retention.
pub fn time_to_loss(fills_in: Option<Duration>, feeds: &[Standing], now: Time) -> Option<Duration> {
    let shortest = feeds.iter().map(|feed| feed.retention).min();
    let filling = fills_in.map(|left| left.saturating_add(shortest.unwrap_or_default()));
    let still = feeds.iter().filter(|feed| !feed.works);
    let left = |feed: &Standing| Some(feed.retention.saturating_sub(now.since(feed.read_to?)));
    still.filter_map(left).chain(filling).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::{Cursor, FeedKey};
    use crate::mimecast::catalogue::find;

    const DAY: Duration = Duration::from_secs(86_400);
    const START: Time = Time(1_767_260_000_000);

    fn feed(works: bool, hours: u64) -> Standing {
        let read_to = Some(START.minus(Duration::from_secs(hours * 3_600)));
        Standing { retention: 7 * DAY, read_to, works }
    }

    #[test]
    fn a_store_that_grows_has_the_rest_of_its_room_and_then_mimecasts_retention() {
        let mut growth = Growth::default();
        for minute in 0..60_u64 {
            growth.note(START.plus(Duration::from_secs(minute * 60)), minute * 1_000);
        }
        let left = growth.fills_in(1_000 * 60 * 24).unwrap();
        assert!(left.abs_diff(DAY) < Duration::from_secs(60), "{left:?}");
        let loss = time_to_loss(Some(left), &[feed(true, 0)], START).unwrap();
        assert!(loss.abs_diff(8 * DAY) < Duration::from_secs(60), "{loss:?}");
    }

    #[test]
    fn one_look_or_a_store_that_shrinks_tells_nothing() {
        let mut growth = Growth::default();
        growth.note(START, 9_000);
        assert_eq!(growth.fills_in(1), None);
        growth.note(START.plus(Duration::from_secs(3_600)), 8_000);
        assert_eq!(growth.fills_in(1), None);
    }

    #[test]
    fn a_feed_that_never_answered_has_what_is_left_from_its_fixed_start() {
        let row = FeedRow {
            key: FeedKey { tenant: "acme".into(), feed: "siem.receipt" },
            cursor: Cursor::unset(),
            cursor_updated: None,
            last_event_time: None,
            reached: None,
            last_success: None,
            listed: 0,
            stored: 0,
            duplicate: 0,
            quarantined: 0,
            gap: 0,
            side: Cursor::unset(),
            complete: None,
            begun: Some(START),
        };
        let halted = FeedLive { state: FeedState::Halted, ..FeedLive::default() };
        let left = |row: &FeedRow, lookback, hours: u32| {
            let now = START.plus(DAY / 24 * hours);
            time_to_loss(
                None,
                &[Standing::of(&halted, Some(row), (find("siem.receipt").unwrap(), lookback), now)],
                now,
            )
        };
        assert_eq!(left(&row, DAY, 0), None, "it may answer in a moment");
        assert_eq!(left(&row, DAY, 24), Some(5 * DAY));
        assert_eq!(left(&row, 30 * DAY, 1), Some(Duration::ZERO), "it was to read all that is kept");
        let known = FeedRow { complete: Some(START.minus(2 * DAY)), ..row };
        assert_eq!(left(&known, DAY, 24), Some(4 * DAY), "where it begins was written down");
        let answered =
            FeedRow { last_success: Some(START.plus(DAY)), complete: Some(START.plus(DAY)), ..known };
        assert_eq!(left(&answered, DAY, 48), Some(6 * DAY));
        // it answered a day ago, and stood five days back in what it was reading
        let cursor = Cursor(r#"{"v":1,"batch":{"since":"2025-12-28","token":"t"}}"#.into());
        let reached = Some(START.minus(4 * DAY));
        let behind = FeedRow { cursor, complete: Some(START.minus(6 * DAY)), reached, ..answered };
        assert_eq!(left(&behind, DAY, 48), Some(DAY), "not six days from its last answer");
    }

    #[test]
    fn a_feed_that_stands_still_has_what_is_left_of_its_retention() {
        assert_eq!(
            time_to_loss(None, &[feed(true, 200), feed(false, 150)], START),
            Some(DAY * 7 - DAY * 150 / 24)
        );
        assert_eq!(time_to_loss(None, &[feed(false, 1_000)], START), Some(Duration::ZERO), "it is happening");
        assert_eq!(time_to_loss(None, &[feed(true, 1)], START), None);
        let unknown = Standing { read_to: None, ..feed(false, 0) };
        assert_eq!(time_to_loss(None, &[unknown], START), None);
    }
}
