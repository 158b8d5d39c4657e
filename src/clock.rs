//! Time and chance as arguments. This is the only file that reads the wall clock or rolls dice; pure code
//! receives a [`Moment`]. Timers elsewhere run on tokio's monotonic clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::limits::CLOCK_SKEW_TOLERATED;

/// A point in time: Unix milliseconds, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub i64);

impl Time {
    /// From Unix seconds; what does not fit is clamped.
    pub fn from_secs(secs: i64) -> Self {
        Time(secs.saturating_mul(1000))
    }
    /// Whole Unix seconds, rounded towards the past.
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }
    /// Later by whole milliseconds of `by`; stops at the end of the range instead of wrapping.
    pub fn plus(self, by: Duration) -> Self {
        Time(self.0.saturating_add(millis(by)))
    }
    /// Earlier by whole milliseconds of `by`; stops at the start of the range instead of wrapping.
    pub fn minus(self, by: Duration) -> Self {
        Time(self.0.saturating_sub(millis(by)))
    }
    /// Later by so many milliseconds, or earlier; stops at either end of the range.
    pub fn moved(self, millis: i64) -> Self {
        Time(self.0.saturating_add(millis))
    }
    /// How long after `earlier`; zero when it is not after.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
    /// `2026-01-01T09:30:00.123Z`.
    pub fn rfc3339(self) -> String {
        let mut out = Vec::with_capacity(24);
        self.rfc3339_into(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
    /// Appends the 24 bytes of [`Time::rfc3339`]; years outside 0000–9999 are clamped to that range.
    pub fn rfc3339_into(self, out: &mut Vec<u8>) {
        const FIRST: i64 = -62_167_219_200_000; // 0000-01-01T00:00:00.000Z
        const LAST: i64 = 253_402_300_799_999; // 9999-12-31T23:59:59.999Z
        let at = self.0.clamp(FIRST, LAST);
        let (secs, ms) = (at.div_euclid(1000), at.rem_euclid(1000));
        let (days, second) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let tens = |value: i64| b'0' + (value / 10 % 10) as u8; // one decimal digit always fits
        let ones = |value: i64| b'0' + (value % 10) as u8;
        let (hour, minute, century) = (second / 3600, second / 60 % 60, year / 100);
        let (second, hundredth) = (second % 60, ms / 10);
        out.extend_from_slice(&[
            tens(century),
            ones(century),
            tens(year),
            ones(year),
            b'-',
            tens(month),
            ones(month),
            b'-',
            tens(day),
            ones(day),
            b'T',
            tens(hour),
            ones(hour),
            b':',
            tens(minute),
            ones(minute),
            b':',
            tens(second),
            ones(second),
            b'.',
            tens(hundredth),
            ones(hundredth),
            ones(ms),
            b'Z',
        ]);
    }
}

/// Proleptic Gregorian date of a day number (1970-01-01 = 0), by counting 400-year eras of 146,097 days that
/// start on 1 March, so that the leap day is the last of its year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What a pure decision needs of the outside: the time and a random number.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Time,
    /// Uniform in the whole range; see [`Moment::between`].
    pub dice: u64,
}

impl Moment {
    /// A duration drawn evenly from `[low, high]` (full jitter).
    pub fn between(&self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_millis() as u64;
        low + Duration::from_millis(if span == 0 { 0 } else { self.dice % (span + 1) })
    }
}

/// Where moments come from: the machine, or a test's hand.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    Manual(Arc<ByHand>),
}

/// A clock that only a test moves.
#[derive(Debug, Default)]
pub struct ByHand {
    now: AtomicI64,
    /// How much of that no time has passed for.
    set: AtomicI64,
}

impl Clock {
    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn manual(start: Time) -> Self {
        Clock::Manual(Arc::new(ByHand { now: AtomicI64::new(start.0), ..ByHand::default() }))
    }
    /// Moves a manual clock; the system clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Clock::Manual(hand) = self {
            hand.now.fetch_add(millis(by), Ordering::SeqCst);
        }
    }
    /// Sets a manual clock to another time, without any time passing; the system clock is left alone.
    pub fn set(&self, to: Time) {
        if let Clock::Manual(hand) = self {
            let was = hand.now.swap(to.0, Ordering::SeqCst);
            hand.set.fetch_add(to.0.saturating_sub(was), Ordering::SeqCst);
        }
    }
    /// The wall clock, or where a manual clock was last put.
    #[expect(clippy::disallowed_methods, reason = "this is the file the ban points to")]
    pub fn now(&self) -> Time {
        match self {
            // A clock before 1970 reads as 1970: every comparison still works and `check` reports the skew.
            Clock::System => Time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)),
            Clock::Manual(hand) => Time(hand.now.load(Ordering::SeqCst)),
        }
    }
    /// How long some moment in the past is ago, by a clock that nobody sets.
    pub fn uptime(&self) -> Duration {
        match self {
            Clock::System => STARTED.elapsed(),
            Clock::Manual(hand) => self.now().since(Time(hand.set.load(Ordering::SeqCst))),
        }
    }
    /// The present and one fresh roll of the dice, for one decision of pure code.
    pub fn moment(&self) -> Moment {
        Moment { now: self.now(), dice: fastrand::u64(..) }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the file the ban points to")]
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Notices that the wall clock was set, by comparing it with [`Clock::uptime`]: times that were planned before lie too far
/// ahead, or too near, by as much. A machine that slept looks like one whose clock was set forward.
#[derive(Debug)]
pub struct StepWatch {
    /// What the wall clock showed when the uptime was zero.
    started: Time,
}

impl StepWatch {
    /// Compares from now on.
    pub fn new(clock: &Clock) -> Self {
        StepWatch { started: clock.now().minus(clock.uptime()) }
    }
    /// By how many milliseconds the wall clock was set since the last step; less than [`CLOCK_SKEW_TOLERATED`] is nothing.
    pub fn step(&mut self, clock: &Clock) -> Option<i64> {
        let started = clock.now().minus(clock.uptime());
        let step = started.0.saturating_sub(self.started.0);
        if u128::from(step.unsigned_abs()) < CLOCK_SKEW_TOLERATED.as_millis() {
            return None;
        }
        self.started = started;
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_agrees_with_an_independent_library() {
        let mut at = -62_167_219_200_000_i64;
        while at < 253_402_300_799_999 {
            let theirs = jiff::Timestamp::from_millisecond(at).map(|t| format!("{t:.3}"));
            if let Ok(theirs) = theirs {
                assert_eq!(Time(at).rfc3339(), theirs);
            }
            at += 86_400_000 * 13 + 12_345_678_901 % 97_777_123;
        }
        assert_eq!(Time(i64::MIN).rfc3339(), "0000-01-01T00:00:00.000Z");
        assert_eq!(Time(i64::MAX).rfc3339(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_once_and_one_that_drifts_is_not() {
        let clock = Clock::manual(Time(1_000));
        let mut watch = StepWatch::new(&clock);
        clock.advance(Duration::from_secs(60));
        assert_eq!(watch.step(&clock), None);
        clock.set(Time(61_000 - 59_999));
        assert_eq!(watch.step(&clock), None, "less than a minute");
        clock.set(Time(61_000 - 60_000));
        assert_eq!(watch.step(&clock), Some(-60_000), "in two steps");
        assert_eq!(watch.step(&clock), None, "told once");
        clock.set(Time(9_000_000));
        assert_eq!(watch.step(&clock), Some(8_999_000));
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        for dice in [0, 1, 999, 1000, 1001, u64::MAX] {
            let wait = Moment { now: Time(0), dice }.between(Duration::from_secs(1), Duration::from_secs(2));
            assert!((Duration::from_secs(1)..=Duration::from_secs(2)).contains(&wait));
        }
        let even = Moment { now: Time(0), dice: 7 }.between(Duration::from_secs(3), Duration::from_secs(3));
        assert_eq!(even, Duration::from_secs(3));
    }
}
