//! The lists an operator reads: what could not be read, what was not collected, what a sink refused.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Store;
use super::sql::{count, event_id, feed_key, local, time};
use crate::clock::Time;
use crate::cursor::{FeedKey, TimeSpan};
use crate::event::EventId;
use crate::fault::{Fault, Kind};
use crate::limits::MAX_LISTED_ROWS;

/// A quarantined item, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineRow {
    pub id: i64,
    pub feed: FeedKey,
    pub found: Time,
    /// File name without query, or the endpoint's path.
    pub source: String,
    pub reason: String,
    pub detail: String,
    /// Of the whole item, 64 hex digits.
    pub sha256: String,
    /// Of the whole item, bytes.
    pub len: u64,
    /// What is kept of it, bytes.
    pub kept: u64,
}

/// A span of a feed that was not collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRow {
    pub id: i64,
    pub feed: FeedKey,
    pub span: TimeSpan,
    pub cause: String,
    pub detail: String,
    /// Records lost; 0 when nobody knows.
    pub records: u64,
    pub found: Time,
    /// When it was filled or acknowledged.
    pub closed: Option<Time>,
    /// Mimecast still had it when the gap was found.
    pub fetchable: bool,
    /// When an operator asked to fetch it.
    pub wanted: Option<Time>,
}

/// An event a sink refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterRow {
    pub id: i64,
    pub sink: String,
    pub feed: FeedKey,
    pub event_id: EventId,
    /// What the sink said.
    pub words: String,
    pub refused: Time,
    pub collected: Time,
    /// Event time.
    pub time: Option<Time>,
    pub kind: String,
    /// Size of the record, bytes.
    pub len: u64,
}

/// One page of a listing: the bound keeps a long list from filling the memory.
fn bounded(limit: u32) -> u32 {
    limit.min(MAX_LISTED_ROWS)
}

impl Store {
    /// Quarantined items with numbers above `after` (0: from the first), at most `limit` and never more than
    /// 1,000.
    pub async fn quarantine_list(&self, after: i64, limit: u32) -> Result<Vec<QuarantineRow>, Fault> {
        let sql = "SELECT q.id, f.tenant, f.feed, q.found, q.source, q.reason, q.detail, lower(hex(q.sha256)) AS sha256, \
                   q.length, length(q.bytes) AS kept FROM quarantine AS q JOIN feed AS f ON f.id = q.feed \
                   WHERE q.id > ?1 ORDER BY q.id LIMIT ?2";
        let mut conn = self.inner.status.lock().await;
        let rows = sqlx::query(sql).bind(after).bind(bounded(limit)).fetch_all(&mut *conn).await?;
        rows.iter().map(quarantine_row).collect()
    }

    /// The kept beginning of a quarantined item.
    pub async fn quarantine_bytes(&self, id: i64) -> Result<Option<Vec<u8>>, Fault> {
        let mut conn = self.inner.status.lock().await;
        let query = sqlx::query_scalar("SELECT bytes FROM quarantine WHERE id = ?1").bind(id);
        Ok(query.fetch_optional(&mut *conn).await?)
    }

    /// Gaps with numbers above `after` (0: from the first), at most `limit` and never more than 1,000.
    pub async fn gaps_list(&self, after: i64, limit: u32) -> Result<Vec<GapRow>, Fault> {
        let sql = "SELECT g.*, f.tenant, f.feed AS name FROM gap AS g JOIN feed AS f ON f.id = g.feed \
                   WHERE g.id > ?1 ORDER BY g.id LIMIT ?2";
        let mut conn = self.inner.status.lock().await;
        let rows = sqlx::query(sql).bind(after).bind(bounded(limit)).fetch_all(&mut *conn).await?;
        rows.iter().map(gap_row).collect()
    }

    /// Notes that a gap was filled or acknowledged; false when it was closed before or does not exist.
    pub async fn close_gap(&self, id: i64) -> Result<bool, Fault> {
        let now = self.inner.options.clock.now();
        let mut tx = self.begin("close a gap").await?;
        let update =
            sqlx::query("UPDATE gap SET closed = ?2 WHERE id = ?1 AND closed IS NULL").bind(id).bind(now.0);
        let done = update.execute(tx.conn()).await;
        tx.finish(done.map(|done| done.rows_affected() == 1).map_err(Fault::from)).await
    }

    /// Dead letters of one sink, or of all, with numbers above `after` (0: from the first), at most `limit`
    /// and never more than 1,000.
    pub async fn dead_letters_list(
        &self,
        sink: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetterRow>, Fault> {
        let sql = "SELECT d.id, d.sink, f.tenant, f.feed, d.event_id, d.words, d.refused, d.collected, d.time, d.kind, \
                   length(d.record) AS length FROM dead_letter AS d JOIN feed AS f ON f.id = d.feed \
                   WHERE d.id > ?1 AND (?2 IS NULL OR d.sink = ?2) ORDER BY d.id LIMIT ?3";
        let mut conn = self.inner.status.lock().await;
        let rows = sqlx::query(sql).bind(after).bind(sink).bind(bounded(limit)).fetch_all(&mut *conn).await?;
        rows.iter().map(dead_letter_row).collect()
    }

    /// The bytes of a dead letter's event.
    pub async fn dead_letter_bytes(&self, id: i64) -> Result<Option<Vec<u8>>, Fault> {
        let mut conn = self.inner.status.lock().await;
        let query = sqlx::query_scalar("SELECT record FROM dead_letter WHERE id = ?1").bind(id);
        Ok(query.fetch_optional(&mut *conn).await?)
    }
}

fn quarantine_row(row: &SqliteRow) -> Result<QuarantineRow, Fault> {
    Ok(QuarantineRow {
        id: row.try_get("id")?,
        feed: feed_key(row.try_get("tenant")?, row.try_get("feed")?)?,
        found: Time(row.try_get("found")?),
        source: row.try_get("source")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        sha256: row.try_get("sha256")?,
        len: count(row.try_get("length")?),
        kept: count(row.try_get("kept")?),
    })
}

pub(super) fn gap_row(row: &SqliteRow) -> Result<GapRow, Fault> {
    let fetchable: i64 = row.try_get("fetchable")?;
    if !matches!(fetchable, 0 | 1) {
        return Err(local(Kind::Corrupt, "store.db: a gap is neither fetchable nor not"));
    }
    Ok(GapRow {
        id: row.try_get("id")?,
        feed: feed_key(row.try_get("tenant")?, row.try_get("name")?)?,
        span: TimeSpan { from: Time(row.try_get("from_time")?), to: Time(row.try_get("to_time")?) },
        cause: row.try_get("cause")?,
        detail: row.try_get("detail")?,
        records: count(row.try_get("records")?),
        found: Time(row.try_get("found")?),
        closed: time(row.try_get("closed")?),
        fetchable: fetchable == 1,
        wanted: time(row.try_get("wanted")?),
    })
}

fn dead_letter_row(row: &SqliteRow) -> Result<DeadLetterRow, Fault> {
    Ok(DeadLetterRow {
        id: row.try_get("id")?,
        sink: row.try_get("sink")?,
        feed: feed_key(row.try_get("tenant")?, row.try_get("feed")?)?,
        event_id: event_id(row.try_get("event_id")?)?,
        words: row.try_get("words")?,
        refused: Time(row.try_get("refused")?),
        collected: Time(row.try_get("collected")?),
        time: time(row.try_get("time")?),
        kind: row.try_get("kind")?,
        len: count(row.try_get("length")?),
    })
}
