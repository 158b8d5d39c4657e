//! A gate as the store kept it: after a restart, under another configuration, by a clock that was set.

use std::time::Duration;

use super::{Gate, Hold};
use crate::clock::{Moment, Time};
use crate::supervisor::backoff::Pace;
use crate::supervisor::rule::Scope;

impl Gate {
    /// The gate as it was written down before a restart. Tokens are gone; a login that was never answered is
    /// counted (see the top of this file). `None` when the text is not a gate.
    pub fn restore(text: &str, at: Moment, pace: &Pace) -> Option<Self> {
        let mut gate: Gate = serde_json::from_str(text).ok()?;
        gate.settle_unanswered(at, pace);
        Some(gate)
    }

    /// The same gate, of a tenant that goes by this proxy, told by its fingerprint (empty without one): what an earlier
    /// proxy or its login was to blame for is over. A restart alone is no other proxy.
    pub fn by_way(mut self, way: String) -> Self {
        let held =
            self.holding().and_then(|closed| closed.rule).is_some_and(|rule| rule.scope == Scope::Process);
        if held && self.way != way {
            self.hold = Hold::Open;
        }
        self.way = way;
        self
    }

    /// What the gate knows was dated by a clock that was ahead by so much: a lock must not outlast the mistake.
    pub fn set_back(&mut self, by: Duration) {
        self.moved(i64::try_from(by.as_millis()).unwrap_or(i64::MAX).saturating_neg());
    }

    /// The clock was set, by so many milliseconds: every wait is as long as it was.
    pub fn moved(&mut self, millis: i64) {
        let along = |at: &mut Time| *at = at.moved(millis);
        match &mut self.hold {
            Hold::Until { until, .. } => along(until),
            Hold::Halted { probe: Some(probe), .. } => along(probe),
            Hold::Open | Hold::Halted { probe: None, .. } => {}
        }
        self.recent.iter_mut().chain(&mut self.earlier).for_each(along);
        for at in [&mut self.in_flight, &mut self.trial] {
            at.as_mut().map(along);
        }
        // a machine that slept looks like a clock set forward, and its token has aged: one more login is harmless
        self.token_until = self.token_until.map(|until| until.min(until.moved(millis)));
    }
}
