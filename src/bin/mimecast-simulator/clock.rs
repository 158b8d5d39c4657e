//! The simulator's time. Two clocks that start equal:
//!
//! * `now` decides: token life, locks, quota windows, link life, retention. `POST /_sim/advance` moves it alone:
//!   everything gets older.
//! * `wire` is written into answers and events, the header `Date` among them. It stays with the machine's clock, so
//!   that a collector which shares that clock is never told about a future it cannot see yet, unless
//!   `POST /_sim/clock` or `--clock-offset` moves it: then all of Mimecast lives in another time.
//!
//! All times are Unix milliseconds, UTC.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub struct Clock {
    /// `None`: the machine's clock. `Some`: stands still at this time (tests).
    held: Option<i64>,
    ahead: AtomicI64,
    /// What is added to the machine's clock.
    offset: AtomicI64,
}

impl Clock {
    pub fn system() -> Self {
        Clock { held: None, ahead: AtomicI64::new(0), offset: AtomicI64::new(0) }
    }

    #[cfg(test)]
    pub fn held_at(wire: i64) -> Self {
        Clock { held: Some(wire), ahead: AtomicI64::new(0), offset: AtomicI64::new(0) }
    }

    /// The time that is shown to clients.
    #[expect(clippy::disallowed_methods, reason = "the simulator's only reading of the machine's clock")]
    pub fn wire(&self) -> i64 {
        let machine = self.held.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_millis()).unwrap_or(0);
            i64::try_from(since).unwrap_or(i64::MAX)
        });
        machine.saturating_add(self.offset())
    }

    /// How far both clocks are ahead of the machine's, milliseconds; negative: behind.
    pub fn offset(&self) -> i64 {
        self.offset.load(Ordering::Relaxed)
    }

    pub fn set_offset(&self, ms: i64) {
        self.offset.store(ms, Ordering::Relaxed);
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
