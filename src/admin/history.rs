//! The last day in figures, for the plots of the status page: one point for every [`HISTORY_STEP`], kept in memory
//! (56 bytes each, 16 KiB in all) and beside the positions in the store. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::limits::{HISTORY_POINTS, HISTORY_STEP};

/// What one look at the daemon saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub at: Time,
    /// Events stored since the store was created, all feeds together.
    pub stored: u64,
    /// Events acknowledged since the store was created, all sinks together.
    pub delivered: u64,
    /// Events that wait at the sink with most of them.
    pub waiting: u64,
    /// Age of the oldest event that waits for a sink; zero when none waits.
    pub oldest_waiting: Duration,
    /// How long ago the feed that is furthest behind answered; one that never did counts from the daemon's start.
    pub longest_silence: Duration,
}

/// One step of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// When the step begins.
    pub at: Time,
    /// How much of it was looked at, seconds; what a rate is divided by.
    pub seconds: u64,
    /// Events stored in it.
    pub collected: u64,
    /// Events acknowledged in it, all sinks together.
    pub delivered: u64,
    /// The largest of its looks.
    pub waiting: u64,
    /// The largest of its looks, seconds.
    pub oldest_waiting: u64,
    /// The largest of its looks, seconds.
    pub longest_silence: u64,
}

/// The last day; bounded by [`HISTORY_POINTS`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    points: VecDeque<Point>,
    last: Option<Look>,
}

impl History {
    /// The steps that were looked at, oldest first. Where the daemon did not run there is none.
    pub fn points(&self) -> impl Iterator<Item = &Point> {
        self.points.iter()
    }

    /// When the step begins that `at` lies in.
    pub fn step(at: Time) -> Time {
        let step = HISTORY_STEP.as_millis() as i64;
        Time(at.0.div_euclid(step).saturating_mul(step))
    }

    /// Takes one look in. Counters are compared with the look before, of the same run of the daemon.
    pub fn note(&mut self, look: Look) {
        let at = Self::step(look.at);
        // what a clock that was set back has left in the future is not believed
        self.points.retain(|point| point.at <= at && at.since(point.at) < HISTORY_STEP * HISTORY_POINTS);
        if self.points.back().is_none_or(|point| point.at != at) {
            let new = (0, 0, 0, 0, 0, 0);
            let (seconds, collected, delivered, waiting, oldest_waiting, longest_silence) = new;
            let point = Point { at, seconds, collected, delivered, waiting, oldest_waiting, longest_silence };
            self.points.push_back(point);
        }
        if let Some(point) = self.points.back_mut() {
            if let Some(last) = &self.last {
                point.seconds += look.at.since(last.at).as_secs();
                point.collected += look.stored.saturating_sub(last.stored);
                point.delivered += look.delivered.saturating_sub(last.delivered);
            }
            point.waiting = point.waiting.max(look.waiting);
            point.oldest_waiting = point.oldest_waiting.max(look.oldest_waiting.as_secs());
            point.longest_silence = point.longest_silence.max(look.longest_silence.as_secs());
        }
        self.last = Some(look);
    }

    /// For keeping it; see [`History::restore`].
    pub fn text(&self) -> String {
        serde_json::to_string(&self.points).unwrap_or_default() // plain numbers
    }

    /// What [`History::text`] gave before, as far as it is still of the last day; a text of another form is nothing.
    pub fn restore(text: &str, now: Time) -> Self {
        let mut points: VecDeque<Point> = serde_json::from_str(text).unwrap_or_default();
        let day = HISTORY_STEP * HISTORY_POINTS;
        points.retain(|point| point.at <= now && Self::step(now).since(point.at) < day);
        points.make_contiguous().sort_by_key(|point| point.at);
        points.truncate(HISTORY_POINTS as usize);
        History { points, last: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_767_261_600_000);

    fn look(minute: u64, stored: u64) -> Look {
        Look {
            at: START.plus(Duration::from_secs(60 * minute)),
            stored,
            delivered: stored / 2,
            waiting: stored % 7,
            oldest_waiting: Duration::from_secs(stored % 11),
            longest_silence: Duration::from_secs(minute),
        }
    }

    #[test]
    fn looks_of_one_step_are_one_point() {
        let mut history = History::default();
        for minute in 0..7 {
            history.note(look(minute, 1_000 + 60 * minute));
        }
        let points: Vec<_> = history.points().cloned().collect();
        assert_eq!(points.len(), 2);
        let seen = |point: &Point| (point.seconds, point.collected, point.delivered, point.longest_silence);
        // what was stored before the first look is nobody's
        assert_eq!((seen(&points[0]), seen(&points[1])), ((240, 240, 120, 4), (120, 120, 60, 6)));
        assert_eq!(points[0].waiting, 6);
    }

    #[test]
    fn a_day_is_kept_and_no_more() {
        let mut history = History::default();
        for minute in 0..3 * 1_440 {
            history.note(look(minute, minute));
        }
        assert_eq!(history.points().count(), HISTORY_POINTS as usize);
        let restored = History::restore(&history.text(), look(3 * 1_440 - 1, 0).at);
        assert!(restored.points == history.points);
        assert!(history.text().len() < 64 << 10, "{}", history.text().len());
    }

    #[test]
    fn what_was_kept_counts_as_far_as_it_is_of_this_day() {
        let mut history = History::default();
        (0..60).for_each(|minute| history.note(look(minute, minute)));
        let count = |minute| History::restore(&history.text(), look(minute, 0).at).points().count();
        assert_eq!((count(61), count(1_440 + 31), count(3 * 1_440)), (12, 5, 0));
        assert_eq!(History::restore("nonsense", START), History::default());
        let mut restored = History::restore(&history.text(), look(90, 0).at);
        restored.note(look(90, 1_000_000));
        assert_eq!(restored.points().last().map(|point| point.collected), Some(0), "counted in no look");
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_no_points_ahead() {
        let mut history = History::default();
        history.note(look(600, 5));
        history.note(look(0, 6));
        let at: Vec<_> = history.points().map(|point| point.at).collect();
        assert_eq!(at, [START]);
    }
}
