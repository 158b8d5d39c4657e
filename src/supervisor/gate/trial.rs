//! What calls of API functions show of the credential, and which of them still has to show it. Where one function alone is
//! refused and the others are answered, each answer of theirs would end the count of its refusals, and it would be asked
//! for ever: so the count stays until that function is answered well, while the others go on.

use super::{Gate, Hold};
use crate::clock::Moment;
use crate::fault::Fault;
use crate::supervisor::backoff::Pace;
use crate::supervisor::rule::Rule;

impl Gate {
    /// The API function `by` answered well: the credential works. Says whether the gate changed.
    pub fn call_ok(&mut self, by: &str, generation: u64) -> bool {
        let cleared = self.suspects.iter().any(|suspect| suspect == by);
        if generation != self.generation || !(self.on_trial() || cleared) {
            return false;
        }
        // an answer to a call from before the gate closed proves nothing: neither hold nor counts end by it
        if self.trial.take().is_none() && (self.hold != Hold::Open || self.token_until.is_none()) {
            return false;
        }
        self.suspects.retain(|suspect| suspect != by);
        self.vouched = !self.suspects.is_empty();
        if !self.vouched {
            (self.refusals, self.tokens_refused, self.lockouts) = (0, 0, 0);
        }
        (self.on_probe, self.hold) = (false, Hold::Open);
        true
    }

    /// The API function `by` failed. What it says about the credential counts once per token generation; all else
    /// only ends the trial. Returns the row.
    pub fn call_fault(
        &mut self,
        by: &str,
        fault: &Fault,
        generation: u64,
        at: Moment,
        pace: &Pace,
    ) -> &'static Rule {
        let rule = pace.judge(fault);
        if generation == self.generation && self.token_until.is_some() {
            self.trial = None;
            if rule.is_for_gate(fault.origin) {
                self.apply(rule, fault, at, pace);
                self.suspect(by);
            }
        }
        rule
    }

    /// The next call has to show that the credential works.
    pub fn on_trial(&self) -> bool {
        self.on_probe || (self.is_counting() && !self.vouched)
    }

    pub(super) fn is_counting(&self) -> bool {
        self.refusals > 0 || self.tokens_refused > 0 || self.lockouts > 0
    }

    /// What the function `by` was told is counted until it is answered well.
    pub(super) fn suspect(&mut self, by: &str) {
        if self.is_counting() && !self.suspects.iter().any(|suspect| suspect == by) {
            self.suspects.push(by.to_owned());
        }
    }
}
