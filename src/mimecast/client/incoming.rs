//! An answer of the API that is a file of any size, piece by piece.

use std::time::Duration;

use bytes::Bytes;

use super::failed::fault;
use crate::clock::Time;
use crate::dialect;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::DOWNLOAD_PIECE_BYTES;

/// An answer on its way that is a file.
#[derive(Debug)]
pub struct Incoming {
    headers: Vec<(String, String)>,
    sent_id: String,
    response: reqwest::Response,
    held: Bytes,
    silence: Duration,
}

impl Incoming {
    pub(super) fn new(
        (headers, sent_id): (Vec<(String, String)>, String),
        response: reqwest::Response,
        silence: Duration,
    ) -> Self {
        Incoming { headers, sent_id, response, held: Bytes::new(), silence }
    }

    /// A fault that was found in this answer at `now`; as [`super::Answer::blame`].
    pub fn blame(&self, fault: Fault, now: Time) -> Fault {
        let fault = dialect::with_headers(fault, &self.headers, now);
        Fault { sent_id: Some(self.sent_id.clone()), ..fault }
    }

    /// Name (lower case) and value.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The next bytes, at most [`DOWNLOAD_PIECE_BYTES`]; `None` at the end. An answer shorter than it announced
    /// ends in a fault, never in `None`.
    ///
    /// Faults: [`Kind::Interrupted`], [`Kind::Timeout`].
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, Fault> {
        let silent = |_| Fault::new(Origin::Api, Kind::Timeout, "the answer stopped in the middle");
        while self.held.is_empty() {
            let next = tokio::time::timeout(self.silence, self.response.chunk()).await.map_err(silent)?;
            match next.map_err(|error| fault(Origin::Api, error))? {
                Some(bytes) => self.held = bytes,
                None => return Ok(None),
            }
        }
        let size = self.held.len().min(DOWNLOAD_PIECE_BYTES);
        Ok(Some(self.held.split_to(size)))
    }
}
