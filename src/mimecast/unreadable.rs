//! Input that is no record: what is kept of it, and how much of it one file may keep.

use sha2::{Digest, Sha256};

use crate::fault::one_line;
use crate::limits::{MAX_QUARANTINE_BYTES, MAX_QUARANTINE_BYTES_PER_FILE, MAX_QUARANTINED_PER_FILE};

/// One piece of input that could not be read, with the evidence; for the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Short code (`not_json`), safe as a metric label.
    pub reason: &'static str,
    /// For people; no secrets.
    pub detail: String,
    /// The beginning; at most [`MAX_QUARANTINE_BYTES`].
    pub bytes: Vec<u8>,
    /// Of the whole piece.
    pub sha256: [u8; 32],
    /// Of the whole piece, bytes.
    pub len: u64,
    /// Line in the file, or number of the record in the page, from 1; 0 for a whole file.
    pub line: u64,
}

/// A piece that passes by in parts and is not kept as a whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Passing {
    hash: Sha256,
    head: Vec<u8>,
    pub len: u64,
}

impl Passing {
    /// The next part; of all of them together the first `keep` bytes stay.
    pub fn take(&mut self, part: &[u8], keep: usize) {
        self.hash.update(part);
        self.len += part.len() as u64;
        let room = keep.saturating_sub(self.head.len());
        self.head.extend_from_slice(part.get(..room).unwrap_or(part));
    }
    /// Of all parts taken so far, kept or not.
    pub fn sha256(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }
    /// Ends the piece: hash and length are of all of it, bytes only of its kept beginning.
    pub fn into_unreadable(self, reason: &'static str, detail: &str, line: u64) -> Unreadable {
        let (sha256, len) = (self.sha256(), self.len);
        Unreadable { reason, detail: one_line(detail), bytes: self.head, sha256, len, line }
    }
}

/// The unreadable pieces of one file or page. What is over the bounds of number is gathered into one last
/// piece; what is over the bound of bytes keeps only hash and length. The lines themselves stay between the
/// records of the stored chunk.
#[derive(Debug, Default)]
pub(super) struct Unreadables {
    items: Vec<Unreadable>,
    kept: usize,
    rest: Passing,
    rest_lines: u64,
}

impl Unreadables {
    /// Everything could be read.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
    /// Adds a piece that is at hand as a whole; `line` counts from 1.
    pub fn add(&mut self, reason: &'static str, detail: &str, bytes: &[u8], line: u64) {
        let mut piece = Passing::default();
        piece.take(bytes, MAX_QUARANTINE_BYTES);
        self.push(piece.into_unreadable(reason, detail, line), bytes);
    }
    /// `bytes`: as much of the piece as is at hand.
    pub fn push(&mut self, mut item: Unreadable, bytes: &[u8]) {
        // Two places stay free: for what is gathered, and for the file itself when it is damaged.
        if self.items.len() + 2 >= MAX_QUARANTINED_PER_FILE {
            self.rest.take(bytes, MAX_QUARANTINE_BYTES);
            self.rest_lines += 1;
            return;
        }
        if self.kept + item.bytes.len() > MAX_QUARANTINE_BYTES_PER_FILE {
            item.bytes = Vec::new();
        }
        self.kept += item.bytes.len();
        self.items.push(item);
    }
    /// All pieces in order of appearance; what was over the bound of number comes last, as one `too_many`.
    pub fn finish(mut self) -> Vec<Unreadable> {
        if self.rest_lines > 0 {
            let detail = format!("{} more lines of this file could not be read", self.rest_lines);
            self.items.push(self.rest.into_unreadable("too_many", &detail, 0));
        }
        self.items
    }
}
