//! Whose time counts: windows end and signatures are dated by Mimecast's clock, as far as its answers tell it.

use std::sync::{MutexGuard, PoisonError};

use super::{Access, Account};
use crate::clock::Time;
use crate::fault::Fault;
use crate::limits::CLOCK_SKEW_TOLERATED;
use crate::scheduler::server_clock::ServerClock;
use crate::telemetry::notice::{Notice, Process};

impl Account {
    /// Mimecast's time, as far as its answers tell: windows follow its clock, not this machine's.
    pub fn server_now(&self) -> Time {
        self.server_clock().at(self.clock.now(), self.clock.uptime())
    }

    /// Some answer has told Mimecast's time.
    pub fn knows_time(&self) -> bool {
        self.server_clock().is_known()
    }

    pub(super) fn server_clock(&self) -> MutexGuard<'_, ServerClock> {
        self.server_clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that some answer has told Mimecast's time, where a login can: keys that sign have none, and their
    /// first call tells it.
    ///
    /// # Errors
    /// As [`Account::access`].
    pub async fn learn_time(&self) -> Result<(), Fault> {
        if !self.signs
            && !self.server_clock().is_known()
            && self.closed().await.is_none()
            && let Access::Go { .. } = self.access().await?
        {
            self.credential.lock().await.gate.not_sent();
        }
        Ok(())
    }

    /// Whether `asked`, taken for Mimecast's time when a request was made, was in the future of the answer itself.
    /// The time of that answer is then what counts: a correction that our clock no longer needs would else send one
    /// window after the other there, with what happens meanwhile skipped.
    pub fn was_ahead(&self, asked: Time, answered: Time) -> bool {
        let ahead = asked.since(answered) >= CLOCK_SKEW_TOLERATED;
        if ahead {
            self.believe_skew(answered.0.saturating_sub(self.clock.now().0));
        }
        ahead
    }

    pub(super) fn note_skew(&self, skew: i64) {
        let first = self.server_clock().note(skew, self.clock.now(), self.clock.uptime());
        self.tell_skew(first, skew);
    }

    pub(super) fn believe_skew(&self, skew: i64) {
        let first = self.server_clock().believe(skew, self.clock.now(), self.clock.uptime());
        self.tell_skew(first, skew);
    }

    fn tell_skew(&self, first: bool, skew: i64) {
        if first {
            let news = Process::ClockSkew { tenant: &self.identity.tenant, millis: skew };
            Notice::Process(news).emit();
        }
        let skew = self.server_clock().correction(self.clock.now(), self.clock.uptime());
        if self.live.borrow().skew_ms.is_some() || skew.is_some() {
            self.live.send_modify(|live| live.skew_ms = skew);
        }
    }
}
