//! The end of parts that were told to stop: all of one kind have one common while to come to it, however many they
//! are, because the daemon hears nothing meanwhile.

use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::limits::DRAIN_TIMEOUT;
use crate::scheduler::runner::Ended;

/// Waits for the runners of tenants. A download that takes too long is read again.
pub async fn runners(gone: impl IntoIterator<Item = JoinSet<Ended>>) {
    let last = Instant::now() + DRAIN_TIMEOUT;
    for mut runners in gone {
        let ended = async { while runners.join_next().await.is_some() {} };
        if timeout_at(last, ended).await.is_err() {
            runners.shutdown().await;
        }
    }
}

/// Waits for couriers, each with what breaks it off. What one had not confirmed goes out again, under the same ids.
pub async fn couriers(gone: impl IntoIterator<Item = (JoinHandle<()>, AbortHandle)>) {
    let last = Instant::now() + DRAIN_TIMEOUT;
    for (mut courier, abort) in gone {
        if timeout_at(last, &mut courier).await.is_err() {
            abort.abort();
            let _ = courier.await; // the wrapper reports a panic and ends well
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hundred_tenants_that_do_not_end_take_no_longer_than_one() {
        let begun = Instant::now();
        let busy = |_| JoinSet::from_iter([pending::<Ended>(), pending()]);
        let done = || JoinSet::from_iter([std::future::ready(Ended::Stopped)]);
        runners((0..100).map(busy)).await;
        assert_eq!(begun.elapsed(), DRAIN_TIMEOUT);
        runners((0..100).map(|_| done())).await;
        couriers((0..100).map(|_| {
            let courier = tokio::spawn(pending::<()>());
            let abort = courier.abort_handle();
            (courier, abort)
        }))
        .await;
        assert_eq!(begun.elapsed(), DRAIN_TIMEOUT * 2);
    }
}
