//! How long until the first event is lost, if nothing more were collected from now on: the feed that is furthest
//! behind, measured against what Mimecast keeps of it. While all is well this is about the shortest retention; a
//! feed that stands still, or a store that is full and has paused them all, makes it shrink second by second.

use std::time::Duration;

use crate::clock::Time;
use crate::mimecast::catalogue;
use crate::mimecast::position::Position;
use crate::mimecast::reach::Known;
use crate::store::FeedRow;

/// The least time of all feeds; `None` while no feed has been read.
pub fn time_to_loss<'a>(rows: impl Iterator<Item = &'a FeedRow>, now: Time) -> Option<Duration> {
    rows.filter_map(|row| of_feed(row, now)).min()
}

fn of_feed(row: &FeedRow, now: Time) -> Option<Duration> {
    let feed = catalogue::find(row.key.feed).filter(|_| !row.cursor.is_unset())?;
    let position = Position::open(feed, &row.cursor, now, feed.retention).ok()?;
    let known = Known { complete: row.complete, newest: row.last_event_time, last_success: row.last_success };
    Some(position.read_to(known)?.plus(feed.retention).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::{Cursor, FeedKey};

    const NOW: Time = Time(1_767_259_800_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn row(feed: &'static str, read_to: Time) -> FeedRow {
        let row = catalogue::find(feed).unwrap();
        let position = match Position::first(row, read_to, Duration::ZERO) {
            batch @ Position::Batch { .. } => batch.forward("t", true, read_to),
            window => window,
        };
        FeedRow {
            key: FeedKey { tenant: "acme".into(), feed },
            cursor: position.cursor(),
            cursor_updated: None,
            last_event_time: None,
            last_success: None,
            listed: 0,
            stored: 0,
            duplicate: 0,
            quarantined: 0,
            gap: 0,
            side: Cursor::unset(),
            complete: Some(read_to),
        }
    }

    #[test]
    fn the_feed_closest_to_the_edge_counts() {
        assert_eq!(time_to_loss([].iter(), NOW), None);
        let fresh = [row("siem.av", NOW), row("audit", NOW)];
        assert_eq!(time_to_loss(fresh.iter(), NOW), Some(DAY * 7), "the shortest retention");
        let behind = [row("siem.av", NOW.minus(DAY * 2)), row("audit", NOW.minus(DAY * 58))];
        assert_eq!(time_to_loss(behind.iter(), NOW), Some(DAY * 2), "audit is kept for 60 days");
        let late = [row("siem.av", NOW.minus(DAY * 9))];
        assert_eq!(time_to_loss(late.iter(), NOW), Some(Duration::ZERO));
        let unset = [FeedRow { cursor: Cursor::unset(), ..row("siem.av", NOW) }];
        assert_eq!(time_to_loss(unset.iter(), NOW), None);
    }
}
