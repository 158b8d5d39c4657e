//! A run: events of one feed that are published together. Everything about its records and files follows from
//! these few numbers, so nothing large is ever kept.

use crate::dates;
use crate::message::{Hostility, mix};
use crate::records::Nth;
use std::ops::Range;

/// Only rows this young can be late: real services are minutes late, not hours.
const LATE_WINDOW: i64 = 20 * dates::MINUTE;
/// How long the events of the batch feeds can be listed and fetched.
pub const RETENTION: i64 = 7 * dates::DAY;

#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub seed: u64,
    pub events: u64,
    /// Messages that the events are about.
    pub messages: u64,
    /// Number of its first event in the feed.
    pub first_event: u64,
    /// Number of its first file in the feed; window feeds have none.
    pub first_file: u64,
    pub files: u64,
    pub per_file: u64,
    /// Event times lie in `from..until` (client's clock).
    pub from: i64,
    pub until: i64,
    /// When it was published (simulator's clock).
    pub published: i64,
    /// Simulator's clock minus client's clock at that moment.
    pub shift: i64,
    /// Window feeds: some young rows appear up to this much after the others. Zero: none.
    pub late_by: i64,
    /// Window feeds: every third row appears this long after its event time. Zero: none.
    pub behind: i64,
    pub hostility: Hostility,
}

impl Run {
    /// Event time of an event; never decreases with the number.
    pub fn at(&self, number: u64) -> i64 {
        let width = u64::try_from(self.until - self.from).unwrap_or(0);
        let slot = |n: u64| width.saturating_mul(n) / self.events.max(1);
        let (start, end) = (slot(number), slot(number + 1));
        let jitter = mix(self.seed, number) % (end - start).max(1);
        self.from + i64::try_from(start + jitter).unwrap_or(0)
    }

    pub fn nth(&self, number: u64) -> Nth {
        let message = number * self.messages / self.events.max(1);
        let file = number / self.per_file.max(1);
        Nth { seed: self.seed, number, message, at: self.at(number), file }
    }

    /// From when on (simulator's clock) a row of a window feed can be seen.
    pub fn visible_from(&self, number: u64) -> i64 {
        let dice = mix(self.seed ^ 0x6c61_7465, number);
        if self.behind > 0 && dice.is_multiple_of(3) {
            return self.published.max(self.at(number) + self.shift + self.behind);
        }
        if self.late_by == 0 || !dice.is_multiple_of(3) || self.at(number) < self.until - LATE_WINDOW {
            return self.published;
        }
        self.published + 1 + i64::try_from((dice >> 8) % self.late_by.unsigned_abs()).unwrap_or(0)
    }

    /// The events of the file that is number `file` in this run.
    pub fn events_of(&self, file: u64) -> Range<u64> {
        let start = (file * self.per_file).min(self.events);
        start..(start + self.per_file).min(self.events)
    }

    /// When the last event of a file happened (client's clock): its date, and its age.
    pub fn file_time(&self, file: u64) -> i64 {
        self.events_of(file).last().map_or(self.until, |last| self.at(last))
    }

    /// Whether a file is past retention at `now` (simulator's clock).
    pub fn file_expired(&self, file: u64, now: i64) -> bool {
        self.file_time(file) + self.shift + RETENTION < now
    }

    /// The first event that is not past its feed's retention at `now` (simulator's clock).
    pub fn first_kept(&self, now: i64, kept: i64) -> u64 {
        self.first_at(now.saturating_sub(self.shift).saturating_sub(kept))
    }

    /// The first event that happened at `at` or later.
    pub fn first_at(&self, at: i64) -> u64 {
        let (mut low, mut high) = (0, self.events);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(middle) < at { low = middle + 1 } else { high = middle }
        }
        low
    }
}

#[cfg(test)]
pub fn sample(events: u64) -> Run {
    Run {
        seed: 7,
        events,
        messages: events,
        first_event: 0,
        first_file: 0,
        files: events.div_ceil(1_000),
        per_file: 1_000,
        from: 1_767_225_600_000,
        until: 1_767_225_600_000 + 6 * dates::HOUR,
        published: 1_767_225_600_000 + 6 * dates::HOUR,
        shift: 0,
        late_by: 0,
        behind: 0,
        hostility: Hostility::Some,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_ascend_inside_the_span_and_can_be_searched() {
        for events in [1, 3, 2_345, 100_000] {
            let run = sample(events);
            let times: Vec<i64> = (0..events).map(|n| run.at(n)).collect();
            assert!(times.is_sorted());
            assert!(times.iter().all(|&t| (run.from..run.until).contains(&t)));
            let middle = times[times.len() / 2];
            assert_eq!(run.first_at(middle), times.iter().position(|&t| t >= middle).unwrap() as u64);
            assert_eq!((run.first_at(0), run.first_at(i64::MAX)), (0, events));
        }
    }

    #[test]
    fn files_cover_every_event_once() {
        let run = sample(2_345);
        let all: Vec<u64> = (0..run.files).flat_map(|f| run.events_of(f)).collect();
        assert_eq!(all, (0..2_345).collect::<Vec<_>>());
    }

    #[test]
    fn rows_that_are_behind_appear_a_fixed_time_after_their_event() {
        let run = Run { behind: 20 * dates::MINUTE, ..sample(3_000) };
        let late: Vec<u64> = (0..3_000).filter(|&n| run.visible_from(n) > run.published).collect();
        assert!(late.len() > 20, "{}", late.len());
        assert!(late.iter().all(|&n| run.visible_from(n) == run.at(n) + 20 * dates::MINUTE));
    }

    #[test]
    fn only_young_rows_are_late_and_all_appear() {
        let run = Run { late_by: 60_000, ..sample(10_000) };
        let late: Vec<u64> = (0..10_000).filter(|&n| run.visible_from(n) > run.published).collect();
        assert!(late.len() > 50 && late.len() < 400, "{}", late.len());
        assert!(late.iter().all(|&n| run.at(n) >= run.until - LATE_WINDOW));
        assert!(late.iter().all(|&n| run.visible_from(n) <= run.published + 60_000));
    }
}
