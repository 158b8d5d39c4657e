//! Mimecast's clock, as far as the `Date` headers of its answers tell: windows end by it, and API 1.0 signs with
//! it. The median of the last few answers counts, so that one odd answer moves nothing. In between it goes by a clock
//! that nobody sets: when ours is set, by years maybe, no window must follow it, not even the next one.

use std::time::Duration;

use crate::clock::Time;
use crate::limits::{CLOCK_SKEW_SAMPLES, CLOCK_SKEW_TOLERATED};

/// How far Mimecast's clock is from ours.
#[derive(Debug, Default)]
pub struct ServerClock {
    /// Theirs when [`uptime`](crate::clock::Clock::uptime) was zero, Unix milliseconds, sorted.
    starts: Vec<i64>,
}

impl ServerClock {
    /// Mimecast's time at our `now`. A difference below [`CLOCK_SKEW_TOLERATED`] is none.
    pub fn at(&self, now: Time, uptime: Duration) -> Time {
        now.moved(self.correction(now, uptime).unwrap_or(0))
    }

    /// Whether any answer has told the time yet.
    pub fn is_known(&self) -> bool {
        !self.starts.is_empty()
    }

    /// Takes in what one answer showed: theirs minus ours, milliseconds. Says whether it is this answer that made a
    /// correction necessary.
    pub fn note(&mut self, skew: i64, now: Time, uptime: Duration) -> bool {
        let known = self.correction(now, uptime).is_some();
        if known && skew.unsigned_abs() < tolerated() {
            self.starts.clear(); // two clocks that know nothing of each other agree: one of them was set right
        }
        let start = now.moved(skew).minus(uptime).0;
        if self.starts.len() >= CLOCK_SKEW_SAMPLES {
            // the sample furthest from the new one makes room
            let samples = self.starts.iter().enumerate();
            let far = samples.max_by_key(|(_, old)| old.abs_diff(start)).map(|(at, _)| at);
            far.map(|at| self.starts.remove(at));
        }
        let at = self.starts.partition_point(|old| *old < start);
        self.starts.insert(at, start);
        !known && self.correction(now, uptime).is_some()
    }

    /// What was dated by our clock as it was corrected proved wrong, and it is off by this much: from now on nothing
    /// else counts. Says the same as [`ServerClock::note`].
    pub fn believe(&mut self, skew: i64, now: Time, uptime: Duration) -> bool {
        let known = self.correction(now, uptime).is_some();
        self.starts = vec![now.moved(skew).minus(uptime).0];
        !known && self.correction(now, uptime).is_some()
    }

    /// By how much ours is corrected, milliseconds; `None`: it is good.
    pub fn correction(&self, now: Time, uptime: Duration) -> Option<i64> {
        let start = self.starts.get(self.starts.len() / 2).copied()?;
        let skew = Time(start).plus(uptime).0.saturating_sub(now.0);
        (skew.unsigned_abs() >= tolerated()).then_some(skew)
    }
}

fn tolerated() -> u64 {
    u64::try_from(CLOCK_SKEW_TOLERATED.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000);
    const UP: Duration = Duration::from_secs(500);

    #[test]
    fn one_odd_answer_moves_nothing_and_a_refusal_moves_everything() {
        let mut clock = ServerClock::default();
        assert!([10, -20, 59_999, 30, 0].into_iter().all(|skew| !clock.note(skew, NOW, UP)));
        assert!(!clock.note(600_000, NOW, UP));
        assert_eq!(clock.at(NOW, UP), NOW);
        assert!(clock.believe(600_000, NOW, UP));
        assert_eq!(clock.at(NOW, UP), Time(1_600_000));
        assert!(!clock.note(600_010, NOW, UP), "it is known already");
        assert!(![-1, 0, 1].into_iter().any(|skew| clock.note(skew, NOW, UP)));
        assert_eq!(clock.at(NOW, UP), NOW, "the clock was set right");
        assert!(ServerClock::default().note(-60_000, NOW, UP), "from here on");
    }

    /// A machine without a clock of its own begins in 1970 and is set right, or wrong, while the daemon runs.
    #[test]
    fn a_step_of_our_clock_moves_nothing_even_before_the_next_answer() {
        const YEARS: i64 = 56 * 365 * 86_400_000;
        for step in [-YEARS, -3_600_000, 3_600_000, YEARS] {
            for begins in [0, YEARS] {
                let mut clock = ServerClock::default();
                (0..5).for_each(|_| _ = clock.note(begins, NOW, UP));
                let (later, up) = (NOW.moved(step + 2_000), UP + Duration::from_secs(2));
                assert_eq!(clock.at(later, up), NOW.moved(begins + 2_000), "{step} after {begins}");
                let agreed = clock.note(begins - step, later, up);
                assert!(!agreed, "it was known without the answer");
                assert_eq!(clock.at(later, up), NOW.moved(begins + 2_000));
            }
        }
    }

    /// The clock that nobody sets stands still while the machine sleeps.
    #[test]
    fn after_a_sleep_the_first_answer_that_agrees_with_our_clock_counts() {
        let mut clock = ServerClock::default();
        (0..5).for_each(|_| _ = clock.note(0, NOW, UP));
        let morning = NOW.moved(8 * 3_600_000);
        assert_eq!(clock.at(morning, UP), NOW, "windows end too early, which costs nothing");
        clock.note(500, morning, UP);
        assert_eq!(clock.at(morning, UP), morning);
    }
}
