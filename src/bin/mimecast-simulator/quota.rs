//! Listing calls of one credential per fixed window of 15 minutes; `cg` and `ci` share them.

use crate::dates;

pub const WINDOW: i64 = 15 * dates::MINUTE;

#[derive(Default)]
pub struct Quota {
    window: i64,
    calls: u64,
    /// Most calls seen in one window, refused ones included.
    pub max_calls: u64,
    pub refused: u64,
}

impl Quota {
    /// Counts a call. `Err`: over the limit, with the milliseconds until the next window.
    pub fn call(&mut self, now: i64, limit: Option<u64>) -> Result<(), i64> {
        let window = now.div_euclid(WINDOW);
        if window != self.window {
            (self.window, self.calls) = (window, 0);
        }
        self.calls += 1;
        self.max_calls = self.max_calls.max(self.calls);
        if limit.is_some_and(|limit| self.calls > limit) {
            self.refused += 1;
            return Err((window + 1) * WINDOW - now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_calls_pass_and_the_next_window_starts_fresh() {
        let mut quota = Quota::default();
        let start = 1_767_225_600_000;
        assert!((0..50).all(|n| quota.call(start + n * 1_000, Some(50)).is_ok()));
        assert_eq!(quota.call(start + 60_000, Some(50)), Err(WINDOW - 60_000));
        assert_eq!((quota.max_calls, quota.refused), (51, 1));
        assert_eq!(quota.call(start + WINDOW, Some(50)), Ok(()));
        assert_eq!(quota.max_calls, 51);
    }

    #[test]
    fn without_a_limit_calls_are_still_counted() {
        let mut quota = Quota::default();
        assert!((0..80).all(|_| quota.call(1_000, None).is_ok()));
        assert_eq!((quota.max_calls, quota.refused), (80, 0));
    }
}
