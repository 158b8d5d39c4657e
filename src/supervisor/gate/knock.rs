//! Keys that sign (API 1.0). They have no login, so the first call takes its place: it goes alone, is counted and
//! written down before it is made, and what comes of it is the verdict on the key for everybody.

use std::time::Duration;

use super::Gate;
use crate::clock::{Moment, Time};
use crate::fault::{Fault, Kind};
use crate::limits::CLOCK_SKEW_TOLERATED;
use crate::supervisor::backoff::Pace;
use crate::supervisor::rule::Rule;

impl Gate {
    /// The same gate, of a secret that signs each call, or of one that is exchanged for tokens.
    #[must_use]
    pub fn signing(mut self, signs: bool) -> Self {
        self.signs = signs;
        self
    }

    /// The key was read again, at `at`, and is the one that works: it goes on for `life` without a first call.
    /// Says whether it does.
    pub fn go_on(&mut self, fingerprint: &str, at: Time, life: Duration) -> bool {
        let works = self.signs
            && self.proven
            && self.token_until.is_some()
            && self.fingerprint == fingerprint
            && self.in_flight.is_none()
            && !self.on_trial()
            && self.holding().is_none();
        if works {
            self.token_until = Some(at.plus(life));
        }
        works
    }

    /// The first call, of the function `by`, was answered well: the key works, and is read again after `life`.
    pub fn knock_ok(&mut self, by: &str, at: Time, life: Duration) {
        let generation = self.login_ok(at, life);
        self.token_until = Some(at.plus(life)); // to its very end: no token runs out
        self.call_ok(by, generation);
    }

    /// The first call, of the function `by`, failed. A fault that shows that the signature was accepted opens the gate; one about the
    /// credential, or about everything between us and Mimecast, closes it. After any other the next call is a
    /// first call again. Returns the row.
    pub fn knock_fault(
        &mut self,
        by: &str,
        fault: &Fault,
        life: Duration,
        at: Moment,
        pace: &Pace,
    ) -> &'static Rule {
        let rule = pace.judge(fault);
        self.in_flight = None;
        let unknown = matches!(fault.kind, Kind::Timeout | Kind::Interrupted);
        if !rule.counts_as_failed_login() && (!unknown || self.proven) {
            self.recent.pop(); // the signature was not refused
        }
        if rule.is_for_gate(fault.origin) || rule.is_in_between() || unknown {
            self.apply(rule, fault, at, pace);
            self.suspect(by);
        } else if was_let_in(fault) {
            self.knock_ok(by, at.now, life);
        }
        rule
    }

    /// Another token can be had, or another date: a key that signs stays what it is. The fault's skew is here the
    /// date that was signed against theirs.
    pub fn can_be_renewed(&self, fault: &Fault) -> bool {
        !self.signs || is_skewed(fault)
    }
}

/// The date that was signed and theirs differ by more than is tolerated.
fn is_skewed(fault: &Fault) -> bool {
    fault.skew_ms.is_some_and(|skew| Duration::from_millis(skew.unsigned_abs()) >= CLOCK_SKEW_TOLERATED)
}

/// Mimecast looked beyond the signature: it speaks of rights, fields or things, in its own form.
fn was_let_in(fault: &Fault) -> bool {
    fault.attributed && matches!(fault.status(), Some(200 | 400 | 403 | 404 | 409))
}
