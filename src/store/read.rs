//! Reading chunks back, with every size known before memory is taken.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Store;
use super::damage::{self, Damage};
use super::intake::fits;
use super::sql::{feed_key, local};
use crate::chunk::{Chunk, decode_index};
use crate::clock::Time;
use crate::cursor::FeedKey;
use crate::fault::{Fault, Kind};
use crate::gzip;
use crate::limits::{COURIER_GRACE_PER_MIB, STORE_MAX_CHUNK_BYTES};

/// A chunk in its place. `chunk.gzip` is empty: couriers need the raw bytes.
#[derive(Clone, Debug)]
pub struct StoredChunk {
    /// Its number; chunks come out in this order.
    pub seq: i64,
    pub key: FeedKey,
    /// When it was stored.
    pub collected: Time,
    /// A record that is lost to `damage` is there, and [`Chunk::event`] finds no bytes for it.
    pub chunk: Chunk,
    pub damage: Option<Damage>,
}

impl Store {
    /// The first chunk after number `after` (a [`super::Position::seq`]), or `None` when there is none yet;
    /// [`Store::newest`] tells when to ask again.
    ///
    /// # Errors
    /// `Corrupt` when the database is; bytes that do not inflate to what was stored are [`StoredChunk::damage`].
    pub async fn next_chunk(&self, after: i64) -> Result<Option<Arc<StoredChunk>>, Fault> {
        if self.inner.writer.is_some() {
            if let Some(chunk) = self.take_recent(after) {
                return Ok(Some(chunk));
            }
            if after >= *self.inner.newest.borrow() {
                return Ok(None);
            }
        }
        let sql = "SELECT c.seq, f.tenant, f.feed, c.collected, c.events, c.raw_len, c.json, c.kinds, c.source, \
                   b.idx, b.gzip FROM chunk AS c JOIN feed AS f ON f.id = c.feed LEFT JOIN body AS b ON b.id = c.body \
                   WHERE c.seq > ?1 ORDER BY c.seq LIMIT 1";
        let row = {
            let mut conn = self.inner.courier.lock().await;
            sqlx::query(sql).bind(after).fetch_optional(&mut *conn).await?
        };
        let Some(row) = row else { return Ok(None) };
        let unpacked = tokio::task::spawn_blocking(move || unpack(&row)).await;
        let mut chunk =
            unpacked.map_err(|_| local(Kind::Corrupt, "a stored chunk could not be unpacked"))??;
        if chunk.damage.is_some() && self.inner.writer.is_some() {
            self.note_damage(&mut chunk).await?;
        }
        let mut live = self.inner.live();
        live.taken = live.taken.max(chunk.seq);
        drop(live);
        Ok(Some(Arc::new(chunk)))
    }

    fn take_recent(&self, after: i64) -> Option<Arc<StoredChunk>> {
        let mut live = self.inner.live();
        let chunk = live.recent.next(after)?;
        live.taken = live.taken.max(chunk.seq);
        if live.claims.len() == 1 {
            live.recent.passed(chunk.seq); // its only reader has it; after a fault it is read from disk
        }
        drop(live);
        self.inner.taken.notify_waiters();
        Some(chunk)
    }

    /// Waits while the newest chunk is still in memory for the foremost courier, which has come as far as the
    /// chunk before it: one more chunk, and it would have to inflate this one again. The wait is bounded by
    /// [`COURIER_GRACE_PER_MIB`]; a courier that has fallen behind, or stands still, is not waited for.
    pub async fn let_courier_take(&self) {
        let taken = self.inner.taken.notified();
        let awaited = {
            let live = self.inner.live();
            live.leader().and_then(|leader| live.recent.awaited(leader))
        };
        let Some(bytes) = awaited else { return };
        let grace = COURIER_GRACE_PER_MIB.mul_f64(bytes as f64 / f64::from(1 << 20));
        let _ = tokio::time::timeout(grace, taken).await; // late is as good as taken
    }
}

fn unpack(row: &SqliteRow) -> Result<StoredChunk, Fault> {
    let key = feed_key(row.try_get("tenant")?, row.try_get("feed")?)?;
    let len = usize::try_from(row.try_get::<i64, _>("raw_len")?).unwrap_or(usize::MAX);
    let events = usize::try_from(row.try_get::<i64, _>("events")?).unwrap_or_default();
    let gzip: &[u8] = row.try_get::<Option<_>, _>("gzip")?.unwrap_or_default();
    let (raw, mut wrong) = match inflate(gzip, len) {
        Ok(raw) => (raw, None),
        Err(why) => (beginning(gzip, len), Some(why)),
    };
    let kinds: Option<Vec<String>> = serde_json::from_str(row.try_get("kinds")?).ok();
    let records = decode_index(row.try_get::<Option<_>, _>("idx")?.unwrap_or_default());
    let records = records.filter(|(records, _)| records.len() == events && kinds.is_some());
    let (records, as_written) = records.unwrap_or_default();
    let mut chunk = Chunk {
        raw,
        gzip: Bytes::new(),
        records,
        kinds: kinds.unwrap_or_default(),
        json: row.try_get("json")?,
        source: row.try_get("source")?,
    };
    if chunk.records.len() != events {
        chunk.records = damage::unknown(events);
        wrong = Some("its index is damaged".to_owned());
    } else if !as_written {
        wrong = wrong.or_else(|| Some("its index is damaged".to_owned()));
    } else if !chunk.records.iter().all(|record| fits(record, &chunk)) {
        wrong = wrong.or_else(|| Some("its index points outside of it".to_owned()));
    }
    let damage = wrong.map(|why| Damage { why, lost: damage::salvage(&mut chunk, &key), gap: None });
    let (seq, collected) = (row.try_get("seq")?, Time(row.try_get("collected")?));
    Ok(StoredChunk { seq, key, collected, chunk, damage })
}

/// What can be inflated of a damaged gzip stream, at most `len` bytes; it need not be what was packed.
fn beginning(packed: &[u8], len: usize) -> Bytes {
    let mut raw = Vec::new();
    let room = len.min(STORE_MAX_CHUNK_BYTES) as u64;
    let _ = MultiGzDecoder::new(packed).take(room).read_to_end(&mut raw); // what came before the fault is in `raw`
    raw.into()
}

/// Inflates a gzip stream (of any number of members) that must be exactly `len` bytes long.
fn inflate(packed: &[u8], len: usize) -> Result<Bytes, String> {
    if len > STORE_MAX_CHUNK_BYTES {
        return Err(format!("its size of {len} bytes exceeds {STORE_MAX_CHUNK_BYTES}"));
    }
    if let Some(raw) = gzip::inflate_whole(packed, len).filter(|raw| raw.len() == len) {
        return Ok(gzip::lend(raw));
    }
    let mut raw = vec![0; len];
    let mut decoder = MultiGzDecoder::new(packed);
    decoder.read_exact(&mut raw).map_err(|error| format!("its gzip stream is damaged: {error}"))?;
    // Reading to the end is what verifies the checksum.
    match decoder.read(&mut [0]) {
        Ok(0) => Ok(raw.into()),
        Ok(_) => Err(format!("its gzip stream is longer than {len} bytes")),
        Err(error) => Err(format!("its gzip stream is damaged: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::gzip;

    #[test]
    fn inflates_exactly_what_was_stored_and_nothing_else() {
        let text = b"one line\nanother line\n".repeat(1000);
        let packed = gzip(&text);
        assert_eq!(inflate(&packed, text.len()).unwrap(), text);
        let two = [gzip(b"first"), gzip(b" second")].concat();
        assert_eq!(inflate(&two, 12).unwrap(), b"first second".as_slice());
        assert!(inflate(&packed, text.len() - 1).is_err(), "longer than announced");
        assert!(inflate(&packed, text.len() + 1).is_err(), "shorter than announced");
        assert!(inflate(&packed[..packed.len() - 9], text.len()).is_err(), "cut short");
        assert!(inflate(&packed, STORE_MAX_CHUNK_BYTES + 1).is_err(), "refused before memory is taken");
        let mut checksum = packed.clone();
        let at = checksum.len() - 6;
        checksum[at] ^= 1;
        assert!(inflate(&checksum, text.len()).is_err(), "checksum differs");
    }
}
