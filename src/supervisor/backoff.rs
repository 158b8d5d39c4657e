//! From a row's timers to a wait: jitter, the service's own figure, what configuration chose, and the pace of a
//! tenant that is a simulator.

use std::time::Duration;

use super::overrides::SHORTEST;
pub use super::overrides::{Override, Overrides};
use super::rule::{Ladder, Rule};
use crate::clock::Moment;
use crate::fault::Fault;
use crate::limits::{
    FEEDS_AT_ONCE_ON_LOOPBACK, LEAST_ASKED_WAIT, MIN_POLL_INTERVAL, MIN_START_SPREAD, START_PACE,
};

/// How fast a tenant is dealt with.
#[derive(Clone, Debug)]
pub struct Pace {
    /// From the start of one poll to the start of the next.
    pub interval: Duration,
    /// The tenant is a simulator on this machine: every wait of the table shrinks by `interval` : 300 s, so that
    /// a day's behaviour takes minutes. Counts (of tries, of lock periods) stay as they are.
    pub loopback: bool,
    /// What configuration says about single rows.
    pub overrides: Overrides,
    /// First polls of feeds are spread over so much.
    pub spread: Duration,
}

/// A real tenant at the shortest interval, with the table as it stands.
impl Default for Pace {
    fn default() -> Self {
        Pace::new(MIN_POLL_INTERVAL, false, Overrides::default())
    }
}

impl Pace {
    pub fn new(interval: Duration, loopback: bool, overrides: Overrides) -> Self {
        let spread = if loopback { Duration::ZERO } else { MIN_START_SPREAD.min(interval) };
        Pace { interval, loopback, overrides, spread }
    }
    /// The pace of one of so many feeds of this process: many are spread over up to the whole interval, as their polls
    /// are later on. A few of a simulator need no spreading.
    #[must_use]
    pub fn among(self, feeds: usize) -> Self {
        let feeds = u32::try_from(feeds).unwrap_or(u32::MAX);
        if self.loopback && feeds <= FEEDS_AT_ONCE_ON_LOOPBACK {
            return self;
        }
        let spread = self.spread.max(START_PACE.saturating_mul(feeds)).min(self.interval);
        Pace { spread, ..self }
    }
    /// What is done about `fault` for this tenant: see [`Overrides::judge`].
    pub fn judge(&self, fault: &Fault) -> &'static Rule {
        self.overrides.judge(fault)
    }
    /// How long until a halt on `fault` is probed: what configuration chose, else the row's `probe`; `None` when
    /// only a person opens it.
    pub fn probe(&self, fault: &Fault, probe: Option<Duration>) -> Option<Duration> {
        self.overrides.pause(fault, self.loopback).or_else(|| probe.map(|every| self.scaled(every)))
    }
    /// A wait of the table at this tenant's pace.
    pub fn scaled(&self, wait: Duration) -> Duration {
        if !self.loopback || self.interval >= MIN_POLL_INTERVAL {
            return wait;
        }
        let scaled =
            wait.as_micros().saturating_mul(self.interval.as_micros()) / MIN_POLL_INTERVAL.as_micros();
        Duration::from_micros(u64::try_from(scaled).unwrap_or(u64::MAX)).max(SHORTEST)
    }
    /// The wait after the `nth` failure in a row (1 is the first): the service's own figure, else what
    /// configuration chose, else evenly from `[first, min(cap, first * 2^nth)]`.
    pub fn after_failure(&self, fault: &Fault, ladder: Ladder, nth: u8, at: Moment) -> Duration {
        if let Some(theirs) = fault.retry_after {
            return theirs.max(self.scaled(LEAST_ASKED_WAIT));
        }
        self.overrides.pause(fault, self.loopback).unwrap_or_else(|| self.after(ladder, nth, at))
    }
    /// As [`Pace::after_failure`] where there is no answer to look at.
    pub fn after(&self, ladder: Ladder, nth: u8, at: Moment) -> Duration {
        let doubled = ladder.first.saturating_mul(1_u32.checked_shl(u32::from(nth)).unwrap_or(u32::MAX));
        at.between(self.scaled(ladder.first), self.scaled(doubled.min(ladder.cap)))
    }
    /// The pause before the `nth` in-cycle try (1 or 2): 1–5 s, then 10–30 s.
    pub fn before_quick_try(&self, nth: u8, at: Moment) -> Duration {
        let (low, high) = if nth <= 1 { (1, 5) } else { (10, 30) };
        at.between(self.scaled(Duration::from_secs(low)), self.scaled(Duration::from_secs(high)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::fault::{Kind, Origin};
    use proptest::prelude::*;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }
    const CYCLES: Ladder = crate::supervisor::rule::CYCLES;

    proptest! {
        #[test]
        fn waits_lie_between_first_and_the_doubled_cap(nth in 1_u8..=255, dice: u64) {
            let pace = Pace::new(secs(300), false, Overrides::default());
            let wait = pace.after(CYCLES, nth, Moment { now: Time(0), dice });
            let top = if nth == 1 { 600 } else if nth == 2 { 1200 } else { 1800 };
            prop_assert!(wait >= secs(300) && wait <= secs(top), "{wait:?}");
        }

        #[test]
        fn a_simulator_keeps_the_proportions(nth in 1_u8..=255, dice: u64) {
            let pace = Pace::new(secs(1), true, Overrides::default());
            let wait = pace.after(CYCLES, nth, Moment { now: Time(0), dice });
            prop_assert!(wait >= secs(1) && wait <= secs(6), "{wait:?}");
        }
    }

    #[test]
    fn the_services_own_figure_wins() {
        let pace = Pace::new(secs(300), false, Overrides::default());
        let mut fault = Fault::new(Origin::Api, Kind::Status(429), "");
        fault.retry_after = Some(secs(7));
        assert_eq!(pace.after_failure(&fault, CYCLES, 1, Moment { now: Time(0), dice: 3 }), secs(7));
    }

    #[test]
    fn a_service_that_asks_for_no_wait_is_not_asked_without_end() {
        let at = Moment { now: Time(0), dice: 3 };
        let mut fault = Fault::new(Origin::Sink, Kind::Status(503), "");
        fault.retry_after = Some(Duration::ZERO);
        assert_eq!(Pace::default().after_failure(&fault, CYCLES, 1, at), secs(1));
        let simulator = Pace::new(secs(3), true, Overrides::default());
        assert_eq!(simulator.after_failure(&fault, CYCLES, 1, at), Duration::from_millis(10));
    }
}
