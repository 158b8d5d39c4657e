//! Feeds and tenants: rows, cursors, and the state that others keep here as text they alone understand.

use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::Store;
use super::commit::unstage_in;
use super::notes::Note;
use super::sql::{count, feed_key, local, time};
use crate::clock::Time;
use crate::cursor::{Cursor, FeedKey};
use crate::fault::{Fault, Kind};

/// A feed as the store knows it. Counts are records since the feed was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    pub key: FeedKey,
    pub cursor: Cursor,
    /// When the cursor last moved.
    pub cursor_updated: Option<Time>,
    /// Newest event time seen.
    pub last_event_time: Option<Time>,
    /// Time of the events read last, as most of them tell it.
    pub reached: Option<Time>,
    /// Last commit, with or without events.
    pub last_success: Option<Time>,
    /// Records listed; repeats of re-read windows are not counted.
    pub listed: u64,
    pub stored: u64,
    /// Repeats left out.
    pub duplicate: u64,
    pub quarantined: u64,
    /// Listed records known to be lost.
    pub gap: u64,
    /// The second position: daily sweep and backfill. Unset while there was neither.
    pub side: Cursor,
    /// At that time Mimecast had nothing more: all it had listed before is read, or was never to be read.
    pub complete: Option<Time>,
    /// When it was first to be collected, by this machine's clock; `None` where an older version began.
    pub begun: Option<Time>,
}

/// A text somebody keeps here, and when it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub text: String,
    /// By this machine's clock, which may have been wrong.
    pub at: Time,
}

impl Saved {
    fn of(row: Option<(Option<String>, Option<i64>)>) -> Option<Saved> {
        let (text, at) = row?;
        Some(Saved { text: text?, at: Time(at.unwrap_or(i64::MIN)) })
    }
    /// How far the clock was ahead of `now` when this was written: times in the text are too late by as much.
    pub fn ahead_of(&self, now: Time) -> std::time::Duration {
        self.at.since(now)
    }
}

/// A feed whose runner begins: its row, and the text last kept by [`Store::save_feed_state`].
pub type Begun = (FeedRow, Option<Saved>);

impl Store {
    /// Makes sure that every feed has a row, deletes what runners before these have staged and not committed, and
    /// returns each feed in the order given. One transaction: a thousand tenants must not be ten thousand syncs.
    ///
    /// # Errors
    /// The database cannot be written; nothing was done then.
    pub async fn begin_feeds(&self, feeds: &[FeedKey]) -> Result<Vec<Begun>, Fault> {
        let now = self.inner.clock.now();
        let mut tx = self.begin("register feeds").await?;
        let outcome = async {
            let staged: bool =
                sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM staged)").fetch_one(tx.conn()).await?;
            let mut begun = Vec::with_capacity(feeds.len());
            for feed in feeds {
                register(tx.conn(), feed, now).await?;
                if staged {
                    unstage_in(tx.conn(), feed).await?;
                }
                let sql = "SELECT * FROM feed WHERE tenant = ?1 AND feed = ?2";
                let row = sqlx::query(sql).bind(&feed.tenant).bind(feed.feed).fetch_one(tx.conn()).await?;
                let state = Some((row.try_get("state")?, row.try_get("state_updated")?));
                begun.push((feed_row(&row)?, Saved::of(state)));
            }
            Ok(begun)
        }
        .await;
        tx.finish(outcome).await
    }

    /// Makes sure that the feed has a row, and returns it; a new one has an unset cursor and begins now.
    pub async fn register_feed(&self, feed: &FeedKey) -> Result<FeedRow, Fault> {
        let now = self.inner.clock.now();
        let mut tx = self.begin("register a feed").await?;
        let outcome = async {
            register(tx.conn(), feed, now).await?;
            find(tx.conn(), feed).await
        }
        .await;
        tx.finish(outcome).await
    }

    /// Gives a feed that has no position its first one, before anything was asked there. What lies before `complete`
    /// is not to be read. A feed that has a position keeps it.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn begin_at(&self, feed: &FeedKey, first: &Cursor, complete: Time) -> Result<(), Fault> {
        let note = Note::First { feed: feed.clone(), cursor: first.clone(), complete };
        self.note(note).await.map(drop)
    }

    /// The feed's row.
    ///
    /// # Errors
    /// `Conflict` when it was never registered.
    pub async fn feed(&self, feed: &FeedKey) -> Result<FeedRow, Fault> {
        find(&mut *self.inner.status.lock().await, feed).await
    }

    /// Every feed there ever was, in order of tenant and name.
    pub async fn feeds(&self) -> Result<Vec<FeedRow>, Fault> {
        self.all_feeds("SELECT * FROM feed ORDER BY tenant, feed").await
    }

    /// The same with both cursors unset, for those who look at everything often: they are most of a row.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn feeds_without_positions(&self) -> Result<Vec<FeedRow>, Fault> {
        let sql = "SELECT tenant, feed, '' AS cursor, '' AS side, cursor_updated, last_event, last_success, listed, \
                   stored, duplicate, quarantined, gap, complete, begun, reached FROM feed ORDER BY tenant, feed";
        self.all_feeds(sql).await
    }

    async fn all_feeds(&self, sql: &'static str) -> Result<Vec<FeedRow>, Fault> {
        let mut conn = self.inner.status.lock().await;
        // row by row: ten thousand rows as SQLite has them are many times what is kept of them
        let mut rows = sqlx::query(sql).fetch(&mut *conn);
        let mut feeds = Vec::new();
        while let Some(row) = rows.try_next().await? {
            feeds.push(feed_row(&row)?);
        }
        drop(rows);
        Ok(feeds)
    }

    /// Keeps the state of a tenant's credential; the text is the supervisor's.
    pub async fn save_gate(&self, tenant: &str, state: &str) -> Result<(), Fault> {
        self.note(Note::Gate { tenant: tenant.to_owned(), text: state.to_owned() }).await.map(drop)
    }

    /// The text last kept by [`Store::save_gate`]; `None` for a tenant without one.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn load_gate(&self, tenant: &str) -> Result<Option<Saved>, Fault> {
        let sql = "SELECT gate, gate_updated FROM tenant WHERE name = ?1";
        let mut conn = self.inner.status.lock().await;
        Ok(Saved::of(sqlx::query_as(sql).bind(tenant).fetch_optional(&mut *conn).await?))
    }

    /// The latest text of [`Store::save_gate`] that another tenant kept and that holds `mark`, and which tenant.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn find_gate(&self, tenant: &str, mark: &str) -> Result<Option<(String, Saved)>, Fault> {
        let sql = "SELECT name, gate, gate_updated FROM tenant WHERE name <> ?1 AND instr(gate, ?2) > 0 \
                   ORDER BY gate_updated DESC LIMIT 1";
        let mut conn = self.inner.status.lock().await;
        let found: Option<(String, Option<String>, Option<i64>)> =
            sqlx::query_as(sql).bind(tenant).bind(mark).fetch_optional(&mut *conn).await?;
        Ok(found.and_then(|(name, text, at)| Some((name, Saved::of(Some((text, at)))?))))
    }

    /// Keeps the state of a registered feed's runner; the text is the scheduler's.
    pub async fn save_feed_state(&self, feed: &FeedKey, state: &str) -> Result<(), Fault> {
        self.note(Note::State { feed: feed.clone(), text: state.to_owned() }).await.map(drop)
    }
}

pub(super) fn unregistered(feed: &FeedKey) -> Fault {
    local(Kind::Conflict, format!("{feed} is not registered in the store"))
}

pub(super) async fn register(conn: &mut SqliteConnection, feed: &FeedKey, now: Time) -> Result<(), Fault> {
    let sql = "INSERT INTO tenant (name) VALUES (?1) ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(&feed.tenant).execute(&mut *conn).await?;
    let sql = "INSERT INTO feed (tenant, feed, begun) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(&feed.tenant).bind(feed.feed).bind(now.0).execute(conn).await?;
    Ok(())
}

async fn find(conn: &mut SqliteConnection, feed: &FeedKey) -> Result<FeedRow, Fault> {
    let sql = "SELECT * FROM feed WHERE tenant = ?1 AND feed = ?2";
    let row = sqlx::query(sql).bind(&feed.tenant).bind(feed.feed).fetch_optional(conn).await?;
    feed_row(&row.ok_or_else(|| unregistered(feed))?)
}

fn feed_row(row: &SqliteRow) -> Result<FeedRow, Fault> {
    Ok(FeedRow {
        key: feed_key(row.try_get("tenant")?, row.try_get("feed")?)?,
        cursor: Cursor(row.try_get("cursor")?),
        cursor_updated: time(row.try_get("cursor_updated")?),
        last_event_time: time(row.try_get("last_event")?),
        reached: time(row.try_get("reached")?),
        last_success: time(row.try_get("last_success")?),
        listed: count(row.try_get("listed")?),
        stored: count(row.try_get("stored")?),
        duplicate: count(row.try_get("duplicate")?),
        quarantined: count(row.try_get("quarantined")?),
        gap: count(row.try_get("gap")?),
        side: Cursor(row.try_get("side")?),
        complete: time(row.try_get("complete")?),
        begun: time(row.try_get("begun")?),
    })
}
