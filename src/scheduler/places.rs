//! Where files are read: few places for the whole process, because reading one takes memory. Who waits long for the
//! other side gives the place up meanwhile, so that a host that hangs or drips holds up its own tenant and no other.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{FILE_WAITED_FOR_AFTER, FILES_AT_ONCE, FILES_WAITED_FOR};
use crate::telemetry::pulse;

/// The places of the process.
pub struct Places {
    reading: Arc<Semaphore>,
    /// Of those who wait for bytes of a file they have begun.
    waiting: Arc<Semaphore>,
}

impl Places {
    pub fn new() -> Arc<Self> {
        let of = |permits| Arc::new(Semaphore::new(permits));
        Arc::new(Places { reading: of(FILES_AT_ONCE), waiting: of(FILES_WAITED_FOR) })
    }

    /// Waits for a place. `own`: the tenant's, who reads one file at a time.
    pub async fn sit(self: &Arc<Self>, own: &Arc<Semaphore>) -> Seat {
        pulse::rest(); // whoever has the place gives signs of life
        let own = own.clone().acquire_owned().await.ok(); // never closed: an error cannot happen
        let place = self.reading.clone().acquire_owned().await.ok();
        pulse::beat();
        Seat { places: self.clone(), place, _own: own }
    }
}

/// One place, taken.
pub struct Seat {
    places: Arc<Places>,
    place: Option<OwnedSemaphorePermit>,
    _own: Option<OwnedSemaphorePermit>,
}

impl Seat {
    /// Waits for the beginning of an answer: nothing of it is held yet, so any number may wait while others read.
    pub async fn wait_to_begin<T>(&mut self, coming: impl Future<Output = T>) -> T {
        let mut coming = std::pin::pin!(coming);
        if let Ok(come) = tokio::time::timeout(FILE_WAITED_FOR_AFTER, &mut coming).await {
            return come;
        }
        self.place = None;
        self.back(coming.await).await
    }

    /// Waits for something that comes from outside. When that takes long, and not too many wait so already, others may
    /// read until it has come.
    pub async fn wait<T>(&mut self, coming: impl Future<Output = T>) -> T {
        let mut coming = std::pin::pin!(coming);
        if let Ok(come) = tokio::time::timeout(FILE_WAITED_FOR_AFTER, &mut coming).await {
            return come;
        }
        let Ok(_waits) = self.places.waiting.clone().try_acquire_owned() else { return coming.await };
        self.place = None;
        self.back(coming.await).await
    }

    async fn back<T>(&mut self, come: T) -> T {
        pulse::rest(); // whoever has the place gives signs of life
        self.place = self.places.reading.clone().acquire_owned().await.ok();
        pulse::beat();
        come
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_silent_host_holds_up_its_own_tenant_only() {
        let (places, mine, other) = (Places::new(), Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
        let mut hanging = places.sit(&mine).await;
        let (come, comes) = tokio::sync::oneshot::channel();
        let hangs = tokio::spawn(async move {
            hanging.wait(comes).await.unwrap();
            assert!(hanging.place.is_some(), "reads only in a place");
        });
        let begun = tokio::time::Instant::now();
        let quick = places.sit(&other).await;
        assert_eq!(begun.elapsed(), FILE_WAITED_FOR_AFTER);
        assert!(
            tokio::time::timeout(Duration::from_secs(5), places.sit(&mine)).await.is_err(),
            "one a tenant"
        );
        drop(quick);
        come.send(()).unwrap();
        hangs.await.unwrap();
        drop(places.sit(&mine).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_an_answer_to_begin_holds_up_nobody_else() {
        let places = Places::new();
        for _ in 0..3 * FILES_WAITED_FOR {
            let mut seat = places.sit(&Arc::new(Semaphore::new(1))).await;
            tokio::spawn(async move { seat.wait_to_begin(std::future::pending::<()>()).await });
        }
        let own = Arc::new(Semaphore::new(1));
        assert!(tokio::time::timeout(FILE_WAITED_FOR_AFTER * 2, places.sit(&own)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_may_wait_and_no_more() {
        let places = Places::new();
        for _ in 0..=FILES_WAITED_FOR {
            let mut seat = places.sit(&Arc::new(Semaphore::new(1))).await;
            tokio::spawn(async move { seat.wait(std::future::pending::<()>()).await });
        }
        let last = Arc::new(Semaphore::new(1));
        let one_more = places.sit(&last);
        assert!(tokio::time::timeout(Duration::from_secs(600), one_more).await.is_err(), "memory is bounded");
    }
}
