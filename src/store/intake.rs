//! What one step of a feed hands to the store, and what it gets back.

use sha2::{Digest, Sha256};

use super::Cause;
use super::sql::{int, local};
use crate::chunk::{Chunk, Record, encode_index};
use crate::clock::Time;
use crate::cursor::{FeedKey, Span, TimeSpan};
use crate::event::EventId;
use crate::fault::{Fault, Kind};
use crate::limits::{MAX_QUARANTINE_BYTES, STORE_MAX_CHUNK_BYTES};

/// One page, or one file, of one feed: everything that is stored in one transaction.
#[derive(Clone, Debug)]
pub struct Intake {
    pub feed: FeedKey,
    /// How the cursor moves. `from == to` is for news without movement (one quarantined file, a gap) and is
    /// refused together with chunks, because such a commit could not be told from its repetition.
    pub span: Span,
    /// Events, after those of `staged`.
    pub chunks: Vec<Chunk>,
    /// Earlier parts of a large file, in order.
    pub staged: Vec<StagedChunk>,
    pub quarantined: Vec<Quarantined>,
    pub gaps: Vec<Gap>,
    /// Records seen: readable, unreadable and known to be lost.
    pub listed: u64,
    pub dedupe: Dedupe,
    /// When the page was read; becomes the events' `collected`.
    pub collected: Time,
    /// Newest event time of the page, if it had any.
    pub newest: Option<Time>,
    /// Which of the feed's two positions `span` is about.
    pub lane: Lane,
    /// With this commit everything is read that Mimecast had listed by then.
    pub complete: Option<Time>,
    /// The file this is the whole of.
    pub file: Option<FileMark>,
    /// Gaps that this commit fills to their end.
    pub closes: Vec<i64>,
}

/// A feed has two positions that move apart from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// What happens now.
    #[default]
    Main,
    /// What may wait: the daily sweep, a backfill.
    Side,
}

/// A file by which it is recognised in a later listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMark {
    /// Digest of its link without query.
    pub name: [u8; 16],
    /// As the listing said, bytes.
    pub size: Option<u64>,
}

/// How repeats are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dedupe {
    /// Nothing is read twice.
    None,
    /// Windows overlap and records carry no id of their own: the n-th occurrence of equal bytes in one
    /// read-through (`pass`) of a page or of several is new if fewer than n are stored.
    Ids {
        /// Number of the read-through; another number for every one of a feed.
        pass: u64,
        /// No later read-through reaches records that were last seen before.
        horizon: Time,
    },
    /// Windows overlap and records carry their own id, which [`Record::id`] stands for: seen once is enough.
    Exact {
        /// As above.
        horizon: Time,
    },
}

/// Answer to a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Events that are now in the store because of this commit.
    pub stored: u64,
    /// Records left out because they were stored, or quarantined, before.
    pub duplicate: u64,
    pub quarantined: u64,
    /// Reasons of the unreadable records left out because they were quarantined before.
    pub known: Vec<String>,
    /// The store stood at `span.to` before: an earlier commit had done it, this one wrote nothing.
    pub already: bool,
}

/// Input that could not be read, with the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// File name without query, or the endpoint's path.
    pub source: String,
    /// Short code (`not_json`), safe as a metric label.
    pub reason: String,
    /// For people; no secrets.
    pub detail: String,
    /// The beginning, at most [`MAX_QUARANTINE_BYTES`]; the store cuts what is longer.
    pub bytes: Vec<u8>,
    /// Of the whole item.
    pub sha256: [u8; 32],
    /// Of the whole item, bytes.
    pub len: u64,
}

impl Quarantined {
    /// An item that is in memory as a whole.
    pub fn whole(
        source: impl Into<String>,
        reason: impl Into<String>,
        detail: impl Into<String>,
        bytes: &[u8],
    ) -> Self {
        let kept = bytes.get(..MAX_QUARANTINE_BYTES).unwrap_or(bytes).to_vec();
        Quarantined {
            source: source.into(),
            reason: reason.into(),
            detail: detail.into(),
            bytes: kept,
            sha256: Sha256::digest(bytes).into(),
            len: bytes.len() as u64,
        }
    }
}

/// A span of a feed that was not collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub span: TimeSpan,
    pub cause: Cause,
    /// For people; no secrets.
    pub detail: String,
    /// How many listed records were lost; 0 when nobody knows.
    pub records: u64,
    /// Mimecast still has it.
    pub fetchable: bool,
}

/// A chunk whose bytes are on disk, invisible until the commit that carries this handle.
#[derive(Clone, Debug)]
pub struct StagedChunk {
    pub(super) body: i64,
    pub(super) facts: Facts,
}

impl StagedChunk {
    /// Events in it.
    pub fn events(&self) -> u64 {
        self.facts.events.unsigned_abs()
    }
}

/// A row of `chunk` but for its place.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub events: i64,
    pub bytes: i64,
    pub raw_len: i64,
    pub oldest: Option<i64>,
    pub newest: Option<i64>,
    pub json: bool,
    pub kinds: String,
    pub source: String,
}

/// The facts of a chunk and the bytes of its index.
pub(super) fn facts(chunk: &Chunk) -> (Facts, Vec<u8>) {
    let idx = encode_index(&chunk.records);
    let times = || chunk.records.iter().filter_map(|record| record.time);
    let facts = Facts {
        events: int(chunk.records.len()),
        bytes: int(chunk.gzip.len() + idx.len()),
        raw_len: int(chunk.raw.len()),
        oldest: times().min(),
        newest: times().max(),
        json: chunk.json,
        kinds: serde_json::Value::from(chunk.kinds.clone()).to_string(),
        source: chunk.source.clone(),
    };
    (facts, idx)
}

/// Refuses what could never be read back. Only a defect of ours gets here; storing it would block every sink.
pub(super) fn check_chunk(chunk: &Chunk) -> Result<(), Fault> {
    if chunk.raw.len() > STORE_MAX_CHUNK_BYTES {
        let size = chunk.raw.len();
        return Err(local(
            Kind::Conflict,
            format!("a chunk of {size} bytes exceeds {STORE_MAX_CHUNK_BYTES}"),
        ));
    }
    match chunk.records.iter().all(|record| fits(record, chunk)) {
        true => Ok(()),
        false => Err(local(Kind::Conflict, "a record lies outside of its chunk or has no kind")),
    }
}

/// The record's bytes and its kind exist.
pub(super) fn fits(record: &Record, chunk: &Chunk) -> bool {
    let end = u64::from(record.offset) + u64::from(record.len);
    let kind = usize::from(record.kind) < chunk.kinds.len() || (record.kind == 0 && chunk.kinds.is_empty());
    end <= chunk.raw.len() as u64 && kind
}

/// One key for each record, or none at all.
pub(super) fn check_keys(intake: &Intake, keys: &[Vec<EventId>]) -> Result<(), Fault> {
    let fit = keys.len() == intake.chunks.len()
        && intake.chunks.iter().zip(keys).all(|(chunk, keys)| chunk.records.len() == keys.len());
    if keys.is_empty() || (fit && matches!(intake.dedupe, Dedupe::Ids { .. })) {
        return Ok(());
    }
    Err(local(Kind::Conflict, "the keys of a page do not fit its records"))
}

pub(super) fn check(intake: &Intake) -> Result<(), Fault> {
    if intake.span.from == intake.span.to && !(intake.chunks.is_empty() && intake.staged.is_empty()) {
        return Err(local(
            Kind::Conflict,
            "events without movement of the cursor cannot be stored exactly once",
        ));
    }
    if intake.dedupe != Dedupe::None && !intake.staged.is_empty() {
        return Err(local(Kind::Conflict, "staged chunks cannot be searched for repeats"));
    }
    intake.chunks.iter().try_for_each(check_chunk)
}
