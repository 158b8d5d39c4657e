//! Signs of life (recovery row L10). Every task of the daemon promises when it will give the next one; a promise that
//! is broken means that the task hangs, and the service manager is no longer told that all is well.
//!
//! A task's own promise travels with it, so that whatever it calls can renew it without knowing who it is. Outside of
//! such a task, promising does nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::TASK_STALLED;

tokio::task_local! {
    static PULSE: Arc<Inner>;
}

/// The task waits for others, who have promised on their own.
const RESTING: u64 = u64::MAX;

#[derive(Debug)]
struct Inner {
    name: String,
    /// The clock is the monotonic one, which no time server moves.
    born: Instant,
    /// Milliseconds since its birth by which the next sign is due.
    due: AtomicU64,
}

impl Inner {
    fn promise(&self, within: Duration) {
        let due = self.born.elapsed().saturating_add(within).saturating_add(TASK_STALLED);
        self.due.store(u64::try_from(due.as_millis()).unwrap_or(RESTING), Ordering::Relaxed);
    }
}

/// Watches a task; it does not keep it alive.
#[derive(Clone, Debug)]
pub struct Watched(Weak<Inner>);

impl Watched {
    /// The task's name, if it has broken its promise by now. A task that has ended breaks none.
    pub fn stalled(&self) -> Option<String> {
        let inner = self.0.upgrade()?;
        let now = u64::try_from(inner.born.elapsed().as_millis()).unwrap_or(0);
        (inner.due.load(Ordering::Relaxed) < now).then(|| inner.name.clone())
    }
    /// The task has ended.
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// Runs a task that gives signs of life; it is watched from its first promise on.
pub fn living<F: Future>(name: impl Into<String>, task: F) -> (Watched, impl Future<Output = F::Output>) {
    let inner = Arc::new(Inner { name: name.into(), born: Instant::now(), due: AtomicU64::new(RESTING) });
    (Watched(Arc::downgrade(&inner)), PULSE.scope(inner, task))
}

/// The present task will give its next sign of life when it has waited for `wait`, or shortly after
/// ([`TASK_STALLED`]).
pub fn promise(wait: Duration) {
    let _ = PULSE.try_with(|pulse| pulse.promise(wait)); // outside of a watched task nobody waits for it
}

/// The present task is at work.
pub fn beat() {
    promise(Duration::ZERO);
}

/// The present task waits for something that has no time of its own.
pub fn rest() {
    let _ = PULSE.try_with(|pulse| pulse.due.store(RESTING, Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_hangs_is_found_and_one_that_waits_as_promised_is_not() {
        let (hanging, hangs) = living("hangs", async {
            beat();
            std::future::pending::<()>().await;
        });
        let (waiting, waits) = living("waits", async {
            promise(3 * TASK_STALLED);
            std::future::pending::<()>().await;
        });
        let (resting, rests) = living("rests", async {
            rest();
            std::future::pending::<()>().await;
        });
        let tasks = tokio::spawn(async { tokio::join!(hangs, waits, rests) });
        tokio::time::advance(Duration::from_millis(1)).await;
        let stalled = || [&hanging, &waiting, &resting].map(Watched::stalled);
        assert_eq!(stalled(), [None, None, None]);
        tokio::time::advance(TASK_STALLED + Duration::from_secs(1)).await;
        assert_eq!(stalled(), [Some("hangs".to_owned()), None, None]);
        tokio::time::advance(3 * TASK_STALLED + Duration::from_secs(1)).await;
        assert_eq!(stalled(), [Some("hangs".to_owned()), Some("waits".to_owned()), None]);
        tasks.abort();
        assert!(tasks.await.is_err());
        assert_eq!(stalled(), [None, None, None], "who has ended breaks no promise");
        assert!(hanging.is_gone());
    }
}
