//! Positions moved by hand, and the gaps they leave: each change is one transaction that moves the position from
//! where it was seen, so that a feed that reads at the same moment loses or wins as a whole.

use sqlx::SqliteConnection;

use super::feeds::{register, unregistered};
use super::ledger::{Accepted, gap_row};
use super::notes::Note;
use super::sql::{count, feed_key, int};
use super::{Cause, Gap, GapRow, Store};
use crate::clock::Time;
use crate::cursor::{Cursor, FeedKey, Span, TimeSpan};
use crate::fault::Fault;

/// A position set by an operator.
#[derive(Clone, Debug)]
pub struct Change {
    pub feed: FeedKey,
    /// Where the position was seen.
    pub from: Cursor,
    pub to: Cursor,
    /// The second position, which says what is still to be read again for late rows: where it was seen, and what stays of it.
    pub side: Span,
    /// Everything Mimecast had listed by then counts as read; `None`: nobody knows.
    pub complete: Option<Time>,
    /// Spans that are skipped.
    pub gaps: Vec<Gap>,
}

impl Store {
    /// Moves both positions of a feed. False when one of them has meanwhile left the place where it was seen: nothing was
    /// changed then.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn set_position(&self, change: &Change) -> Result<bool, Fault> {
        let now = self.inner.clock.now();
        let mut tx = self.begin("set a position").await?;
        let outcome = set_in(tx.conn(), change, now.0).await;
        tx.finish(outcome).await
    }

    /// Gives a store that has no feeds all of these, each where it is to go on: a start that breaks off half-way must
    /// not leave the rest to begin anew.
    ///
    /// # Errors
    /// The database cannot be written; no feed was registered then.
    pub async fn adopt(&self, places: &[Change]) -> Result<(), Fault> {
        let now = self.inner.clock.now();
        let mut tx = self.begin("take up the positions of an earlier store").await?;
        let outcome = async {
            for place in places {
                register(tx.conn(), &place.feed, now).await?;
                set_in(tx.conn(), place, now.0).await?;
            }
            Ok(())
        }
        .await;
        tx.finish(outcome).await
    }

    /// Notes that a feed was found up to date without anything to store, if it still stands at `cursor`.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn note_complete(&self, feed: &FeedKey, cursor: &Cursor, at: Time) -> Result<(), Fault> {
        self.note(Note::Complete { feed: feed.clone(), cursor: cursor.clone(), at }).await.map(drop)
    }

    /// Marks an open gap as one to be fetched; false when it is closed, unknown or cannot be fetched.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn want_gap(&self, id: i64) -> Result<bool, Fault> {
        let now = self.inner.clock.now();
        let sql = "UPDATE gap SET wanted = ?2 WHERE id = ?1 AND closed IS NULL AND fetchable = 1";
        let mut tx = self.begin("mark a gap").await?;
        self.inner.live().gaps_wanted = true; // before it is: who looks too early looks in vain, and again
        let done = sqlx::query(sql).bind(id).bind(now.0).execute(tx.conn()).await;
        tx.finish(done.map(|done| done.rows_affected() == 1).map_err(Fault::from)).await
    }

    /// Closes an open gap that stays, in somebody's name; false when it is closed or unknown.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn accept_gap(&self, id: i64, accepted: &Accepted) -> Result<bool, Fault> {
        let now = self.inner.clock.now();
        let sql = "UPDATE gap SET closed = ?2, accepted_by = ?3, accepted_why = ?4 WHERE id = ?1 AND closed IS NULL";
        let mut tx = self.begin("accept a gap").await?;
        let update = sqlx::query(sql).bind(id).bind(now.0).bind(&accepted.by).bind(&accepted.why);
        let done = update.execute(tx.conn()).await;
        tx.finish(done.map(|done| done.rows_affected() == 1).map_err(Fault::from)).await
    }

    /// The oldest open gap of a feed that somebody wants filled and that does not lie before `kept`, from which on
    /// there is something to fetch: one that has expired must not stand before those that can be had.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn wanted_gap(&self, feed: &FeedKey, kept: Time) -> Result<Option<GapRow>, Fault> {
        let sql = "SELECT g.*, f.tenant, f.feed AS name FROM gap AS g JOIN feed AS f ON f.id = g.feed \
                   WHERE f.tenant = ?1 AND f.feed = ?2 AND g.closed IS NULL AND g.wanted IS NOT NULL \
                   AND g.to_time > ?3 ORDER BY g.from_time LIMIT 1";
        let mut conn = self.inner.status.lock().await;
        let query = sqlx::query(sql).bind(&feed.tenant).bind(feed.feed).bind(kept.0);
        let row = query.fetch_optional(&mut *conn).await?;
        row.as_ref().map(gap_row).transpose()
    }

    /// The spans of a feed's gaps with that cause that end after `after`, closed ones too.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn gaps_after(
        &self,
        feed: &FeedKey,
        cause: Cause,
        after: Time,
    ) -> Result<Vec<TimeSpan>, Fault> {
        let sql = "SELECT g.from_time, g.to_time FROM gap AS g JOIN feed AS f ON f.id = g.feed \
                   WHERE f.tenant = ?1 AND f.feed = ?2 AND g.cause = ?3 AND g.to_time > ?4 ORDER BY g.from_time";
        let mut conn = self.inner.status.lock().await;
        let query = sqlx::query_as(sql).bind(&feed.tenant).bind(feed.feed).bind(cause.as_str()).bind(after.0);
        let rows: Vec<(i64, i64)> = query.fetch_all(&mut *conn).await?;
        Ok(rows.into_iter().map(|(from, to)| TimeSpan { from: Time(from), to: Time(to) }).collect())
    }

    /// How many gaps of each feed are open.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn gaps_open(&self) -> Result<Vec<(FeedKey, u64)>, Fault> {
        let sql = "SELECT f.tenant, f.feed, count(*) FROM gap AS g JOIN feed AS f ON f.id = g.feed \
                   WHERE g.closed IS NULL GROUP BY f.id ORDER BY f.tenant, f.feed";
        let mut conn = self.inner.sums.lock().await;
        let rows: Vec<(String, String, i64)> = sqlx::query_as(sql).fetch_all(&mut *conn).await?;
        rows.into_iter().map(|(tenant, feed, open)| Ok((feed_key(tenant, &feed)?, count(open)))).collect()
    }

    /// Feeds with events that some sink has not dealt with, and when the oldest of these happened, or was collected if
    /// that came first. What a backlog brings is far older than its collecting.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn waiting_since(&self) -> Result<Vec<(FeedKey, Time)>, Fault> {
        let sql = "SELECT f.tenant, f.feed, min(min(c.collected, coalesce(c.oldest, c.collected))) FROM chunk AS c JOIN feed AS f ON f.id = c.feed \
                   WHERE c.seq > (SELECT min(seq) FROM sink) GROUP BY f.id";
        let mut conn = self.inner.sums.lock().await;
        let rows: Vec<(String, String, i64)> = sqlx::query_as(sql).fetch_all(&mut *conn).await?;
        rows.into_iter().map(|(tenant, feed, at)| Ok((feed_key(tenant, &feed)?, Time(at)))).collect()
    }

    /// Keeps the calls a tenant's quota has counted; the text is the scheduler's.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn save_quota(&self, tenant: &str, text: &str) -> Result<(), Fault> {
        self.note(Note::Quota { tenant: tenant.to_owned(), text: text.to_owned() }).await.map(drop)
    }

    /// The text last kept by [`Store::save_quota`]; `None` for a tenant without one.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn load_quota(&self, tenant: &str) -> Result<Option<String>, Fault> {
        let sql = "SELECT quota FROM tenant WHERE name = ?1";
        let mut conn = self.inner.status.lock().await;
        let found: Option<Option<String>> =
            sqlx::query_scalar(sql).bind(tenant).fetch_optional(&mut *conn).await?;
        Ok(found.flatten())
    }
}

async fn set_in(conn: &mut SqliteConnection, change: &Change, now: i64) -> Result<bool, Fault> {
    let sql = "SELECT id, cursor, side FROM feed WHERE tenant = ?1 AND feed = ?2";
    let key = &change.feed;
    let found: Option<(i64, String, String)> =
        sqlx::query_as(sql).bind(&key.tenant).bind(key.feed).fetch_optional(&mut *conn).await?;
    let (feed, cursor, side) = found.ok_or_else(|| unregistered(key))?;
    if cursor != change.from.0 || side != change.side.from.0 {
        return Ok(false);
    }
    // the newest event tells how far reading has come, which is no longer true
    // and a feed that is to begin anew begins now
    let sql = "UPDATE feed SET cursor = ?2, cursor_updated = ?3, side = ?5, complete = ?4, last_event = NULL, \
               reached = NULL, turn = turn + 1, state = NULL, begun = CASE WHEN ?2 = '' THEN ?3 ELSE begun END WHERE id = ?1";
    let update = sqlx::query(sql).bind(feed).bind(&change.to.0).bind(now).bind(change.complete.map(|t| t.0));
    let update = update.bind(&change.side.to.0);
    update.execute(&mut *conn).await?;
    for gap in &change.gaps {
        insert_gap(conn, feed, gap, now).await?;
        let sql = "UPDATE feed SET gap = gap + ?2, listed = listed + ?2 WHERE id = ?1";
        sqlx::query(sql).bind(feed).bind(int(gap.records)).execute(&mut *conn).await?;
    }
    Ok(true)
}

pub(super) async fn insert_gap(
    conn: &mut SqliteConnection,
    feed: i64,
    gap: &Gap,
    at: i64,
) -> Result<(), Fault> {
    // a loss that goes on is one gap, unless somebody has seen to the first part of it
    let sql = "UPDATE gap SET to_time = ?3, records = records + ?6 WHERE feed = ?1 AND to_time = ?2 AND cause = ?4 \
               AND detail = ?5 AND NOT fetchable AND NOT ?7 AND closed IS NULL";
    let longer =
        sqlx::query(sql).bind(feed).bind(gap.span.from.0).bind(gap.span.to.0).bind(gap.cause.as_str());
    let longer = longer.bind(&gap.detail).bind(int(gap.records)).bind(gap.fetchable);
    if longer.execute(&mut *conn).await?.rows_affected() > 0 {
        return Ok(());
    }
    let sql = "INSERT INTO gap (feed, from_time, to_time, cause, detail, records, found, fetchable) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let insert =
        sqlx::query(sql).bind(feed).bind(gap.span.from.0).bind(gap.span.to.0).bind(gap.cause.as_str());
    let insert = insert.bind(&gap.detail).bind(int(gap.records)).bind(at).bind(gap.fetchable);
    insert.execute(conn).await?;
    Ok(())
}
