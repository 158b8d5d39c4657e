//! Chunks whose bytes the disk did not give back as they were written: SQLite keeps no checksums, so a rotten sector in
//! the middle of a body shows only when the body is unpacked. One such chunk is not a damaged database. What of it can
//! be proven sound is delivered, for an event's id is a digest of its bytes; the rest is lost to the sinks that have not
//! got it, is booked as dead-lettered and given up, and is a gap that `gaps backfill` fetches while Mimecast has it.

use super::positions::insert_gap;
use super::read::StoredChunk;
use super::{Cause, Gap, Store};
use crate::chunk::{Chunk, Record};
use crate::clock::Time;
use crate::cursor::{FeedKey, TimeSpan};
use crate::event::{EventId, Severity};
use crate::fault::Fault;
use crate::limits::SALVAGE_TWINS;

/// What is wrong with a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// In words.
    pub why: String,
    /// Events that could not be read back.
    pub lost: u64,
    /// The gap that was written down for them, when this reading was the first to find out.
    pub gap: Option<Gap>,
}

/// A record that lies nowhere: [`Chunk::event`] finds no bytes for it.
fn nowhere(record: Record) -> Record {
    Record { offset: u32::MAX, len: u32::MAX, ..record }
}

fn is_nowhere(record: &Record) -> bool {
    record.len == u32::MAX
}

/// As many records as the chunk had, about which nothing is known.
pub(super) fn unknown(events: usize) -> Vec<Record> {
    let record = Record {
        offset: u32::MAX,
        len: u32::MAX,
        id: EventId([0; 16]),
        time: None,
        kind: 0,
        severity: Severity::Informational,
        repaired: false,
    };
    vec![record; events]
}

/// Leaves only those records where they lie whose bytes are proven by their ids; returns how many are lost.
pub(super) fn salvage(chunk: &mut Chunk, key: &FeedKey) -> u64 {
    let mut lost = 0;
    for record in &mut chunk.records {
        let start = record.offset as usize;
        let raw = start.checked_add(record.len as usize).and_then(|end| chunk.raw.get(start..end));
        let sound = |raw: &[u8]| {
            (0..SALVAGE_TWINS).any(|nth| EventId::of(&key.tenant, key.feed, raw, nth) == record.id)
        };
        if !raw.is_some_and(sound) {
            *record = nowhere(record.clone());
            lost += 1;
        }
    }
    lost
}

impl Store {
    /// Writes down, once, that a chunk is damaged: the gap, and that what is lost of it was not read, so that reading it
    /// again stores it again.
    pub(super) async fn note_damage(&self, stored: &mut StoredChunk) -> Result<(), Fault> {
        let Some(damage) = stored.damage.as_mut().filter(|damage| damage.lost > 0) else { return Ok(()) };
        let why = damage.why.as_str();
        let now = self.inner.clock.now();
        let lost = stored.chunk.records.iter().filter(|record| is_nowhere(record));
        let ids: Vec<String> = lost.clone().map(|record| format!("\"{}\"", record.id)).collect();
        let to = stored.collected;
        // an event's own time may be absurd, and it was listed before it was stored
        let first_lost = lost.filter_map(|record| record.time).min();
        let mut tx = self.begin("note that a stored chunk is damaged").await?;
        let outcome = async {
            let sql = "UPDATE chunk SET damaged = ?2 WHERE seq = ?1 AND damaged IS NULL RETURNING feed, oldest";
            let found = sqlx::query_as(sql).bind(stored.seq).bind(why).fetch_optional(tx.conn()).await?;
            let Some((feed, oldest)): Option<(i64, Option<i64>)> = found else { return Ok(None) };
            let sql = "DELETE FROM seen WHERE feed = ?1 AND hash IN (SELECT unhex(value) FROM json_each(?2))";
            let known = sqlx::query(sql).bind(feed).bind(format!("[{}]", ids.join(","))).execute(tx.conn()).await?;
            if known.rows_affected() < ids.len() as u64 {
                // some were remembered under another name, or nobody knows their ids: all that were seen since
                let sql = "DELETE FROM seen WHERE feed = ?1 AND time >= ?2";
                sqlx::query(sql).bind(feed).bind(to.0).execute(tx.conn()).await?;
            }
            let sql = "DELETE FROM file WHERE feed = ?1 AND read = ?2";
            sqlx::query(sql).bind(feed).bind(to.0).execute(tx.conn()).await?;
            let from = first_lost.or(oldest).map_or(to, Time).min(to).minus(MOMENT);
            let gap = Gap {
                span: TimeSpan { from, to },
                cause: Cause::DamagedInStore,
                detail: format!(
                    "{} of {} events of chunk {} ({}) could not be read back from the store: {why}. They stay counted \
                     as stored; look at the disk",
                    ids.len(),
                    stored.chunk.records.len(),
                    stored.seq,
                    stored.chunk.source
                ),
                records: 0, // they are counted as stored, and must not be counted twice
                fetchable: true,
            };
            insert_gap(tx.conn(), feed, &gap, now.0).await?;
            Ok(Some(gap))
        }
        .await;
        damage.gap = tx.finish(outcome).await?;
        Ok(())
    }
}

/// Spans leave their start out.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(1);
