//! The quarantine: input that could not be read, kept until it can be, or until an operator gives it up.
//!
//! The account of the feed counts an item from the day it was found. One that has become readable moves from
//! `quarantined` to `stored`; one that is given up stays `quarantined` and is counted as dropped, so that
//! `quarantined` is always what lies here and what was given up.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::commit::{Fresh, insert_visible};
use super::intake::check_chunk;
use super::ledger::{Sum, bounded};
use super::pick::{bind, numbers, picked};
use super::sql::{count, feed_key, int, local};
use super::{Pick, Shelf, Store, dedupe};
use crate::chunk::Chunk;
use crate::clock::Time;
use crate::cursor::FeedKey;
use crate::fault::{Fault, Kind};

/// A quarantined item, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineRow {
    pub id: i64,
    pub feed: FeedKey,
    pub found: Time,
    /// File name without query, or the endpoint's path; with the line, where it is one.
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

/// What came of items that have become readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readmitted {
    /// Now events of the store.
    pub stored: u64,
    /// Had come in readable meanwhile, when their window was read again.
    pub duplicate: u64,
}

impl Store {
    /// Quarantined items with numbers above `after` (0: from the first), at most `limit` and never more than
    /// 1,000.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn quarantine_list(
        &self,
        pick: &Pick,
        after: i64,
        limit: u32,
    ) -> Result<Vec<QuarantineRow>, Fault> {
        const SQL: &str = picked!(
            quarantine: "r.id, f.tenant, f.feed, r.found, r.source, r.reason, r.detail, lower(hex(r.sha256)) AS sha256, \
             r.length, length(r.bytes) AS kept",
            " ORDER BY r.id LIMIT ?8"
        );
        let mut conn = self.inner.sums.lock().await;
        let query = bind(SQL, Shelf::Quarantine, pick, after).bind(bounded(limit));
        query.fetch_all(&mut *conn).await?.iter().map(row).collect()
    }

    /// How many items lie there and how large they were, by feed and reason.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn quarantine_sums(&self) -> Result<Vec<Sum>, Fault> {
        self.summed(
            "SELECT f.tenant || '/' || f.feed, q.reason, count(*), sum(q.length) FROM quarantine AS q \
             JOIN feed AS f ON f.id = q.feed GROUP BY 1, 2 ORDER BY 1, 2",
        )
        .await
    }

    /// The kept beginning of a quarantined item.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn quarantine_bytes(&self, id: i64) -> Result<Option<Vec<u8>>, Fault> {
        let mut conn = self.inner.status.lock().await;
        let query = sqlx::query_scalar("SELECT bytes FROM quarantine WHERE id = ?1").bind(id);
        Ok(query.fetch_optional(&mut *conn).await?)
    }

    /// Gives items up: their bytes are deleted, the accounts keep counting them. Returns how many. A piece in each
    /// transaction: breaking off leaves the rest as it was.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn drop_quarantined(&self, pick: &Pick) -> Result<u64, Fault> {
        let book = "UPDATE feed SET quarantine_dropped = quarantine_dropped + n.items FROM (SELECT feed, count(*) AS items \
                    FROM quarantine WHERE id IN (SELECT value FROM json_each(?1)) GROUP BY feed) AS n WHERE n.feed = feed.id";
        let delete = "DELETE FROM quarantine WHERE id IN (SELECT value FROM json_each(?1))";
        self.drop_from(Shelf::Quarantine, pick, (book, delete)).await
    }

    /// Turns items of a feed that have become readable into events: `items` has the number of the item that each
    /// record of the chunk was read from. Items that are gone are left out. The cursor stays.
    ///
    /// # Errors
    /// `Conflict` when items and records differ in number; else the database cannot be written.
    pub async fn readmit(&self, feed: &FeedKey, chunk: Chunk, items: &[i64]) -> Result<Readmitted, Fault> {
        check_chunk(&chunk)?;
        if chunk.records.len() != items.len() {
            return Err(local(Kind::Conflict, "each record has to come from one quarantined item"));
        }
        self.refuse_while_full("store what was quarantined")?;
        let now = self.inner.clock.now();
        let mut tx = self.begin("store what was quarantined").await?;
        let outcome = readmit_in(tx.conn(), feed, (chunk, items), now).await;
        let (readmitted, fresh) = tx.finish(outcome).await?;
        self.publish(feed, now, fresh.into_iter().collect());
        drop(tx);
        Ok(readmitted)
    }
}

async fn readmit_in(
    conn: &mut SqliteConnection,
    key: &FeedKey,
    (mut chunk, items): (Chunk, &[i64]),
    now: Time,
) -> Result<(Readmitted, Option<Fresh>), Fault> {
    let sql = "SELECT id, horizon IS NOT NULL FROM feed WHERE tenant = ?1 AND feed = ?2";
    let found = sqlx::query_as(sql).bind(&key.tenant).bind(key.feed).fetch_optional(&mut *conn);
    let (feed, again): (i64, bool) = found.await?.ok_or_else(|| super::feeds::unregistered(key))?;
    let ids = numbers(items);
    let sql =
        "DELETE FROM quarantine WHERE feed = ?1 AND id IN (SELECT value FROM json_each(?2)) RETURNING id";
    let there: Vec<i64> = sqlx::query_scalar(sql).bind(feed).bind(ids).fetch_all(&mut *conn).await?;
    let records = std::mem::take(&mut chunk.records);
    chunk.records =
        records.into_iter().zip(items).filter(|(_, item)| there.contains(item)).map(|(r, _)| r).collect();
    dedupe::admit(conn, feed, key, (again, now), &mut chunk).await?;
    let stored = chunk.records.len() as u64;
    let readmitted = Readmitted { stored, duplicate: there.len() as u64 - stored };
    let newest = chunk.newest();
    let fresh = match stored {
        0 => None,
        _ => Some(insert_visible(conn, feed, now, chunk).await?),
    };
    // as in a commit, a repeat is not among the listed
    let sql = "UPDATE feed SET stored = stored + ?2, quarantined = quarantined - ?2 - ?3, listed = listed - ?3, \
               duplicate = duplicate + ?3, last_event = nullif(max(coalesce(last_event, ?5), coalesce(?4, ?5)), ?5) \
               WHERE id = ?1";
    let update = sqlx::query(sql).bind(feed).bind(int(stored)).bind(int(readmitted.duplicate));
    update.bind(newest).bind(i64::MIN).execute(conn).await?;
    Ok((readmitted, fresh))
}

fn row(row: &SqliteRow) -> Result<QuarantineRow, Fault> {
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
