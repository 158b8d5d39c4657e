//! The body of an answer that is a file, piece by piece, from either client.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::Timeouts;
use super::failed::fault;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{DOWNLOAD_PIECE_BYTES, MIN_DOWNLOAD_BYTES};

/// A body on its way.
#[derive(Debug)]
pub(super) struct Pieces {
    origin: Origin,
    response: reqwest::Response,
    held: Bytes,
    silence: Duration,
    over: Duration,
    /// Time spent waiting, and bytes that came in it, since the rate was looked at last.
    waited: Duration,
    came: u64,
}

impl Pieces {
    pub fn new(origin: Origin, response: reqwest::Response, timeouts: Timeouts) -> Self {
        let Timeouts { silence, measured: over, .. } = timeouts;
        Pieces { origin, response, held: Bytes::new(), silence, over, waited: Duration::ZERO, came: 0 }
    }

    /// The next bytes, at most [`DOWNLOAD_PIECE_BYTES`]; `None` at the end. An answer shorter than it announced
    /// ends in a fault, never in `None`.
    ///
    /// Faults: [`Kind::Interrupted`]; [`Kind::Timeout`], also when fewer than [`MIN_DOWNLOAD_BYTES`] come in
    /// [`DOWNLOAD_RATE_OVER`](crate::limits::DOWNLOAD_RATE_OVER).
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let origin = self.origin;
        let silent = |_| Fault::new(origin, Kind::Timeout, "the answer stopped in the middle");
        while self.held.is_empty() {
            let start = Instant::now();
            let next = timeout(self.silence, self.response.chunk()).await.map_err(silent)?;
            match next.map_err(|error| fault(origin, error))? {
                Some(bytes) => self.held = bytes,
                None => return Ok(None),
            }
            self.measure(start.elapsed())?;
        }
        let size = self.held.len().min(DOWNLOAD_PIECE_BYTES);
        Ok(Some(self.held.split_to(size)))
    }

    /// A drip keeps every time-out from striking; only its rate gives it away. What this side takes to work is not
    /// counted.
    fn measure(&mut self, waited: Duration) -> Result<(), Fault> {
        self.waited += waited;
        self.came += self.held.len() as u64;
        if self.waited < self.over {
            return Ok(());
        }
        if self.came < MIN_DOWNLOAD_BYTES {
            let detail = format!("only {} bytes came in {} s", self.came, self.waited.as_secs());
            return Err(Fault::new(self.origin, Kind::Timeout, detail));
        }
        (self.waited, self.came) = (Duration::ZERO, 0);
        Ok(())
    }
}
