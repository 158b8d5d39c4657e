//! The bodies of answers that are read as a whole. Few of the larger ones are in hand at a time, over all tenants: a
//! page is there as it came and once more as it is stored, and each feed of each tenant may have one.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::failed::fault;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{
    LARGE_ANSWERS_AT_ONCE, LARGE_FROM_BYTES, MAX_ANSWER_BYTES, MIDDLING_ANSWERS_AT_ONCE, MIDDLING_FROM_BYTES,
};

/// Memory is the process's, so these are, too. Whoever has one of the large places waits for nothing any more, and
/// everybody takes a middling one first: nobody can wait for each other.
static MIDDLING: Semaphore = Semaphore::const_new(MIDDLING_ANSWERS_AT_ONCE);
static LARGE: Semaphore = Semaphore::const_new(LARGE_ANSWERS_AT_ONCE);

/// The place of an answer; to be held until what came of the answer is stored.
#[derive(Debug, Default)]
pub struct Place {
    middling: Option<SemaphorePermit<'static>>,
    large: Option<SemaphorePermit<'static>>,
}

impl Place {
    /// Waits until there is room for so many bytes.
    async fn grow(&mut self, bytes: usize) {
        // never closed: an error cannot happen
        if self.middling.is_none() && bytes > MIDDLING_FROM_BYTES {
            self.middling = MIDDLING.acquire().await.ok();
        }
        if self.large.is_none() && bytes > LARGE_FROM_BYTES {
            self.large = LARGE.acquire().await.ok();
        }
    }
}

/// The body, and its place. `limit` is the other side's time; what is spent on waiting for a place is not counted.
///
/// Faults: [`Kind::TooLarge`], [`Kind::Timeout`], [`Kind::Interrupted`].
pub(super) async fn read(
    origin: Origin,
    mut response: reqwest::Response,
    limit: Duration,
) -> Result<(Bytes, Place), Fault> {
    let bounded = |size: usize| match size > MAX_ANSWER_BYTES {
        true => {
            let detail = format!("an answer of at least {size} bytes; the bound is {MAX_ANSWER_BYTES}");
            Err(Fault::new(origin, Kind::TooLarge, detail))
        }
        false => Ok(size),
    };
    let late = |_| Fault::new(origin, Kind::Timeout, "the answer did not come to its end in time");
    let announced = response.content_length().unwrap_or_default();
    let mut place = Place::default();
    place.grow(bounded(usize::try_from(announced).unwrap_or(usize::MAX))?).await;
    let (mut body, mut left) = (Vec::new(), limit);
    loop {
        let begun = Instant::now();
        let piece = timeout(left, response.chunk()).await.map_err(late)?;
        left = left.saturating_sub(begun.elapsed());
        let Some(piece) = piece.map_err(|error| fault(origin, error))? else {
            return Ok((body.into(), place));
        };
        place.grow(bounded(body.len() + piece.len())?).await;
        body.extend_from_slice(&piece);
    }
}
