//! From a row's timers to a wait: jitter, the service's own figure, what configuration chose, and the pace of a
//! tenant that is a simulator.

use std::time::Duration;

use super::policy::judge;
use super::rule::Ladder;
use crate::clock::Moment;
use crate::fault::Fault;
use crate::limits::MIN_POLL_INTERVAL;

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
}

impl Pace {
    pub fn new(interval: Duration, loopback: bool, overrides: Overrides) -> Self {
        Pace { interval, loopback, overrides }
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
            return theirs;
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

/// No wait is shorter: a loop without any pause would burn a core whatever the pace.
const SHORTEST: Duration = Duration::from_millis(1);

/// `[recovery."STATUS"]` and `[recovery."STATUS/CODE"]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides(Vec<Override>);

/// One such table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub status: u16,
    /// `None`: every code of that status that has no table of its own.
    pub code: Option<String>,
    /// How long to wait. Raised to the row's floor, unless the tenant is a simulator.
    pub pause: Duration,
}

impl Overrides {
    pub fn new(all: Vec<Override>) -> Self {
        Overrides(all)
    }
    /// `401/0010` or `429`, as a key of the configuration. `None` if it is neither.
    pub fn parse_key(key: &str) -> Option<(u16, Option<String>)> {
        let (status, code) = match key.split_once('/') {
            Some((status, code)) => (status, Some(code)),
            None => (key, None),
        };
        let number = status.parse().ok().filter(|n| status.len() == 3 && (100..=599).contains(n))?;
        match code {
            Some(code) if crate::fault::Code::new(code)?.as_str() == code => {
                Some((number, Some(code.to_owned())))
            }
            Some(_) => None,
            None => Some((number, None)),
        }
    }
    /// What configuration says about this fault, the table with a code before the one without; never below the
    /// row's floor, which does not apply to a simulator.
    pub fn pause(&self, fault: &Fault, loopback: bool) -> Option<Duration> {
        let status = fault.status()?;
        let of_status = || self.0.iter().filter(move |o| o.status == status);
        let exact =
            of_status().find(|o| o.code.as_deref().is_some_and(|c| c.eq_ignore_ascii_case(fault.code_str())));
        let chosen = exact.or_else(|| of_status().find(|o| o.code.is_none()))?.pause;
        let floor = if loopback { SHORTEST } else { judge(fault).pause_floor()? };
        Some(chosen.max(floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::fault::{Code, Kind, Origin};
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
    fn a_chosen_pause_never_falls_below_the_rows_floor() {
        let choose = |pause| Overrides::new(vec![Override { status: 401, code: Some("0010".into()), pause }]);
        let mut locked = Fault::new(Origin::Token, Kind::Status(401), "");
        locked.code = Code::new("0010");
        locked.attributed = true;
        assert_eq!(choose(secs(1)).pause(&locked, false), Some(secs(900)));
        assert_eq!(choose(secs(2700)).pause(&locked, false), Some(secs(2700)));
        assert_eq!(choose(secs(1)).pause(&locked, true), Some(secs(1)));
        locked.code = Code::new("0003");
        assert_eq!(choose(secs(2700)).pause(&locked, false), None);
    }

    #[test]
    fn keys_of_the_configuration() {
        assert_eq!(Overrides::parse_key("401/0010"), Some((401, Some("0010".into()))));
        assert_eq!(Overrides::parse_key("429"), Some((429, None)));
        for wrong in ["", "42", "4290", "abc", "401/", "700", "401/a b", "+29"] {
            assert_eq!(Overrides::parse_key(wrong), None, "{wrong}");
        }
    }
}
