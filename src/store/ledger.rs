//! The ledger of gaps: what was not collected.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Store;
use super::sql::{count, feed_key, local, time};
use crate::clock::Time;
use crate::cursor::{FeedKey, TimeSpan};
use crate::fault::{Fault, Kind};
use crate::limits::MAX_LISTED_ROWS;

/// A span of a feed that was not collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRow {
    pub id: i64,
    pub feed: FeedKey,
    pub span: TimeSpan,
    /// Code of a [`super::Cause`], or of one that only a later version knows.
    pub cause: String,
    pub detail: String,
    /// Records lost; 0 when nobody knows.
    pub records: u64,
    pub found: Time,
    /// When it was filled or accepted.
    pub closed: Option<Time>,
    /// Mimecast still had it when the gap was found.
    pub fetchable: bool,
    /// When an operator asked to fetch it.
    pub wanted: Option<Time>,
    /// Who closed it without anything having been fetched.
    pub accepted: Option<Accepted>,
}

/// A person's word that a gap stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// As they called themselves.
    pub by: String,
    pub why: String,
}

/// How much there is of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The two words that make the kind.
    pub of: [String; 2],
    pub rows: u64,
    pub bytes: u64,
}

/// One page of a listing: the bound keeps a long list from filling the memory.
pub(super) fn bounded(limit: u32) -> u32 {
    limit.min(MAX_LISTED_ROWS)
}

impl Store {
    /// What a query adds up: two words, rows, bytes.
    pub(super) async fn summed(&self, sql: &'static str) -> Result<Vec<Sum>, Fault> {
        let mut conn = self.inner.status.lock().await;
        let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(sql).fetch_all(&mut *conn).await?;
        let sum = |(a, b, rows, bytes)| Sum { of: [a, b], rows: count(rows), bytes: count(bytes) };
        Ok(rows.into_iter().map(sum).collect())
    }

    /// Gaps with numbers above `after` (0: from the first), at most `limit` and never more than 1,000.
    pub async fn gaps_list(&self, after: i64, limit: u32) -> Result<Vec<GapRow>, Fault> {
        let sql = "SELECT g.*, f.tenant, f.feed AS name FROM gap AS g JOIN feed AS f ON f.id = g.feed \
                   WHERE g.id > ?1 ORDER BY g.id LIMIT ?2";
        let mut conn = self.inner.sums.lock().await;
        let rows = sqlx::query(sql).bind(after).bind(bounded(limit)).fetch_all(&mut *conn).await?;
        rows.iter().map(gap_row).collect()
    }
}

pub(super) fn gap_row(row: &SqliteRow) -> Result<GapRow, Fault> {
    let fetchable: i64 = row.try_get("fetchable")?;
    if !matches!(fetchable, 0 | 1) {
        return Err(local(Kind::Corrupt, "store.db: a gap is neither fetchable nor not"));
    }
    let by: Option<String> = row.try_get("accepted_by")?;
    let why: Option<String> = row.try_get("accepted_why")?;
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
        accepted: by.map(|by| Accepted { by, why: why.unwrap_or_default() }),
    })
}
