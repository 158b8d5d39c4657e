//! Mimecast's clock, as far as the `Date` headers of its answers tell: windows end by it, and API 1.0 signs with
//! it. The median of the last few answers counts, so that one odd answer moves nothing.

use crate::clock::Time;
use crate::limits::{CLOCK_SKEW_SAMPLES, CLOCK_SKEW_TOLERATED};

/// How far Mimecast's clock is from ours.
#[derive(Debug, Default)]
pub struct ServerClock {
    /// Theirs minus ours, milliseconds, sorted.
    skews: Vec<i64>,
}

impl ServerClock {
    /// Mimecast's time at our `now`. A difference below [`CLOCK_SKEW_TOLERATED`] is none.
    pub fn at(&self, now: Time) -> Time {
        Time(now.0.saturating_add(self.correction().unwrap_or(0)))
    }

    /// Whether any answer has told the time yet.
    pub fn is_known(&self) -> bool {
        !self.skews.is_empty()
    }

    /// Takes in what one answer showed. Says whether it is this answer that made a correction necessary.
    pub fn note(&mut self, skew: i64) -> bool {
        let known = self.correction().is_some();
        if self.skews.len() >= CLOCK_SKEW_SAMPLES {
            // the sample furthest from the new one makes room
            let samples = self.skews.iter().enumerate();
            let far = samples.max_by_key(|(_, old)| old.abs_diff(skew)).map(|(at, _)| at);
            far.map(|at| self.skews.remove(at));
        }
        let at = self.skews.partition_point(|old| *old < skew);
        self.skews.insert(at, skew);
        !known && self.correction().is_some()
    }

    /// A signature was refused and our clock is off by this much: from now on nothing else counts. Says the same
    /// as [`ServerClock::note`].
    pub fn believe(&mut self, skew: i64) -> bool {
        let known = self.correction().is_some();
        self.skews = vec![skew];
        !known && self.correction().is_some()
    }

    /// By how much ours is corrected, milliseconds; `None`: it is good.
    pub fn correction(&self) -> Option<i64> {
        let median = self.skews.get(self.skews.len() / 2).copied()?;
        (u128::from(median.unsigned_abs()) >= CLOCK_SKEW_TOLERATED.as_millis()).then_some(median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_answer_moves_nothing_and_a_refusal_moves_everything() {
        let (mut clock, now) = (ServerClock::default(), Time(1_000_000));
        assert!([10, -20, 59_999, 30, 0].into_iter().all(|skew| !clock.note(skew)));
        assert!(!clock.note(600_000));
        assert_eq!(clock.at(now), now);
        assert!(clock.believe(600_000));
        assert_eq!(clock.at(now), Time(1_600_000));
        assert!(!clock.note(600_010), "it is known already");
        assert!(![-1, 0, 1].into_iter().any(|skew| clock.note(skew)));
        assert_eq!(clock.at(now), now, "the clock was set right");
        assert!(ServerClock::default().note(-60_000), "from here on");
    }
}
