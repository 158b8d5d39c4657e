//! An answer of the API that is a file of any size, piece by piece.

use bytes::Bytes;

use super::pieces::Pieces;
use crate::clock::Time;
use crate::dialect;
use crate::fault::Fault;

/// An answer on its way that is a file.
#[derive(Debug)]
pub struct Incoming {
    headers: Vec<(String, String)>,
    sent_id: String,
    pieces: Pieces,
}

impl Incoming {
    pub(super) fn new((headers, sent_id): (Vec<(String, String)>, String), pieces: Pieces) -> Self {
        Incoming { headers, sent_id, pieces }
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

    /// The next bytes, as of a [`super::Download`].
    ///
    /// Faults: as there.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, Fault> {
        self.pieces.next().await
    }
}
