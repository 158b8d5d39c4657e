//! Calls of one credential to one endpoint per fixed window of time.

use crate::dates;

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    pub name: &'static str,
    /// Length of the window, milliseconds.
    pub window: i64,
}

/// `cg` and `ci` share them.
pub const LISTINGS: Counted = Counted { name: "listing", window: 15 * dates::MINUTE };
pub const STREAM: Counted = Counted { name: "stream", window: dates::HOUR };

impl Counted {
    /// The functions of `/api/…` are counted one by one; their figures are published nowhere.
    pub fn function(name: &'static str) -> Counted {
        Counted { name, window: 15 * dates::MINUTE }
    }
}

#[derive(Default)]
pub struct Quota {
    window: i64,
    pub calls: u64,
    /// Most calls seen in one window, refused ones included.
    pub max_calls: u64,
    pub refused: u64,
}

impl Quota {
    /// Counts a call in a window of `length` milliseconds. `Err`: over the limit, with the milliseconds until the next
    /// window.
    pub fn call(&mut self, now: i64, length: i64, limit: Option<u64>) -> Result<(), i64> {
        let window = now.div_euclid(length);
        if window != self.window {
            (self.window, self.calls) = (window, 0);
        }
        self.calls += 1;
        self.max_calls = self.max_calls.max(self.calls);
        if limit.is_some_and(|limit| self.calls > limit) {
            self.refused += 1;
            return Err((window + 1) * length - now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: i64 = LISTINGS.window;

    #[test]
    fn fifty_calls_pass_and_the_next_window_starts_fresh() {
        let mut quota = Quota::default();
        let start = 1_767_225_600_000;
        assert!((0..50).all(|n| quota.call(start + n * 1_000, WINDOW, Some(50)).is_ok()));
        assert_eq!(quota.call(start + 60_000, WINDOW, Some(50)), Err(WINDOW - 60_000));
        assert_eq!((quota.max_calls, quota.refused), (51, 1));
        assert_eq!(quota.call(start + WINDOW, WINDOW, Some(50)), Ok(()));
        assert_eq!(quota.max_calls, 51);
    }

    #[test]
    fn without_a_limit_calls_are_still_counted() {
        let mut quota = Quota::default();
        assert!((0..80).all(|_| quota.call(1_000, WINDOW, None).is_ok()));
        assert_eq!((quota.max_calls, quota.refused), (80, 0));
    }
}
