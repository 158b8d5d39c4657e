//! The simulator's time. Two clocks that start equal:
//!
//! * `now` decides: token life, locks, quota windows, link life, retention. `POST /_sim/advance` moves it.
//! * `wire` is written into answers and events. It stays with the real clock, so that a collector which
//!   shares the machine's clock is never told about a future it cannot see yet.
//!
//! All times are Unix milliseconds, UTC.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub struct Clock {
    /// `None`: the machine's clock. `Some`: stands still at this time (tests).
    held: Option<i64>,
    ahead: AtomicI64,
}

impl Clock {
    pub fn system() -> Self {
        Clock { held: None, ahead: AtomicI64::new(0) }
    }

    #[cfg(test)]
    pub fn held_at(wire: i64) -> Self {
        Clock { held: Some(wire), ahead: AtomicI64::new(0) }
    }

    /// The time that is shown to clients.
    #[expect(clippy::disallowed_methods, reason = "the simulator's only reading of the machine's clock")]
    pub fn wire(&self) -> i64 {
        if let Some(held) = self.held {
            return held;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_millis()).unwrap_or(0);
        i64::try_from(since).unwrap_or(i64::MAX)
    }

    /// The time that decides.
    pub fn now(&self) -> i64 {
        self.wire().saturating_add(self.ahead())
    }

    /// How far `now` has been moved ahead of `wire`.
    pub fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    pub fn advance(&self, by_ms: i64) {
        self.ahead.fetch_add(by_ms, Ordering::Relaxed);
    }
}
