//! Alerts: the book of what was told and the messages that still have to be, changed together with the events about
//! them; and the questions about the store that alerts are made from. The texts are their owners'.

use sqlx::{Row, SqliteConnection};

use super::commit::commit_in;
use super::intake::check;
use super::ledger::{GapRow, gap_row};
use super::sql::{count, feed_key, local};
use super::{Intake, Store};
use crate::clock::Time;
use crate::cursor::{Cursor, FeedKey};
use crate::fault::{Fault, Kind};
use crate::limits::{ALERT_COUNTED_ROWS, MAX_ALERTS_DUE};

/// A message that a target has not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRow {
    pub target: String,
    /// Of the alert.
    pub name: String,
    pub number: i64,
    /// JSON, owned by alerting.
    pub message: String,
}

/// What one look at the daemon changed.
#[derive(Debug, Default)]
pub struct AlertNews {
    /// Entries of the book by name; `None`: forgotten.
    pub book: Vec<(String, Option<String>)>,
    pub due: Vec<DueRow>,
    /// Events of the daemon's own feed.
    pub events: Option<Intake>,
}

/// Things put aside of one feed or sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    pub feed: FeedKey,
    /// The sink that refused them; `None`: quarantined.
    pub sink: Option<String>,
    pub items: u64,
    pub newest: Time,
    /// The words that belong to the newest one.
    pub words: String,
}

/// Gaps found in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GapSum {
    pub gaps: u64,
    /// Length of all of them, seconds.
    pub seconds: u64,
}

impl Store {
    /// Every entry of the book, as it was kept.
    pub async fn alert_book(&self) -> Result<Vec<String>, Fault> {
        let mut conn = self.inner.status.lock().await;
        Ok(sqlx::query_scalar("SELECT state FROM alert ORDER BY name").fetch_all(&mut *conn).await?)
    }

    /// The messages that are due, oldest first; at most [`MAX_ALERTS_DUE`].
    pub async fn alerts_due(&self) -> Result<Vec<DueRow>, Fault> {
        let sql = "SELECT target, name, number, message FROM alert_due ORDER BY number LIMIT ?1";
        let mut conn = self.inner.status.lock().await;
        let rows: Vec<(String, String, i64, String)> =
            sqlx::query_as(sql).bind(MAX_ALERTS_DUE as i64).fetch_all(&mut *conn).await?;
        let row = |(target, name, number, message)| DueRow { target, name, number, message };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Writes down what a look changed: book, messages and events in one transaction. Events are left out of it when
    /// collection pauses for want of room, and `Ok(false)` says so: they come again with the next look.
    pub async fn note_alerts(&self, news: AlertNews) -> Result<bool, Fault> {
        let AlertNews { book, due, events } = news;
        let room = !self.over_limit();
        let events = events.filter(|_| room);
        if let Some(intake) = &events {
            check(intake)?;
        }
        let fresh = events.as_ref().map(|intake| (intake.feed.clone(), intake.collected));
        let mut tx = self.begin("write down alerts").await?;
        let outcome = async {
            write_book(tx.conn(), &book).await?;
            write_due(tx.conn(), &due).await?;
            match events {
                Some(intake) => Ok(commit_in(tx.conn(), intake, &[]).await?.1),
                None => Ok(Vec::new()),
            }
        }
        .await;
        let committed = tx.finish(outcome).await?;
        if let Some((feed, collected)) = fresh {
            self.publish(&feed, collected, committed); // the transaction's lock is still held: in order
        }
        drop(tx);
        Ok(room)
    }

    /// A target confirmed these messages; newer ones of the same alerts stay.
    pub async fn alerts_told(&self, target: &str, told: &[(String, i64)]) -> Result<(), Fault> {
        let mut tx = self.begin("note that alerts were told").await?;
        let outcome = async {
            let sql = "DELETE FROM alert_due WHERE target = ?1 AND name = ?2 AND number <= ?3";
            for (name, number) in told {
                sqlx::query(sql).bind(target).bind(name).bind(number).execute(tx.conn()).await?;
            }
            Ok(())
        }
        .await;
        tx.finish(outcome).await
    }

    /// Forgets the messages of every target that is not named.
    pub async fn retain_alert_targets(&self, names: &[&str]) -> Result<(), Fault> {
        let mut tx = self.begin("forget removed alert targets").await?;
        let outcome = async {
            let known: Vec<String> =
                sqlx::query_scalar("SELECT DISTINCT target FROM alert_due").fetch_all(tx.conn()).await?;
            for gone in known.iter().filter(|target| !names.contains(&target.as_str())) {
                sqlx::query("DELETE FROM alert_due WHERE target = ?1").bind(gone).execute(tx.conn()).await?;
            }
            Ok(())
        }
        .await;
        tx.finish(outcome).await
    }

    /// What was quarantined or refused by a sink since then, by feed and sink; counts no more than the newest
    /// [`ALERT_COUNTED_ROWS`] of each, so that what one brings hides no other.
    pub async fn put_aside_since(&self, since: Time) -> Result<Vec<Aside>, Fault> {
        const QUARANTINED: &str = "
            SELECT f.tenant, f.feed, NULL AS sink, q.found AS newest, q.reason || ': ' || q.source AS words,
                   (SELECT count(*) FROM (SELECT 1 FROM quarantine AS n WHERE n.feed = f.id AND n.found > ?1 LIMIT ?2)) AS items
            FROM feed AS f JOIN quarantine AS q ON q.id =
                   (SELECT id FROM quarantine AS n WHERE n.feed = f.id ORDER BY n.found DESC, n.id DESC LIMIT 1)
            WHERE q.found > ?1";
        // pairs of sink and feed, from one to the next along the index
        const REFUSED: &str = "
            WITH RECURSIVE pair (sink, feed) AS (
                SELECT * FROM (SELECT sink, feed FROM dead_letter ORDER BY sink, feed LIMIT 1)
                UNION ALL
                SELECT d.sink, d.feed FROM pair JOIN dead_letter AS d ON d.id =
                    (SELECT id FROM dead_letter AS n WHERE (n.sink, n.feed) > (pair.sink, pair.feed)
                     ORDER BY n.sink, n.feed LIMIT 1))
            SELECT f.tenant, f.feed, d.sink, d.refused AS newest, d.words,
                   (SELECT count(*) FROM (SELECT 1 FROM dead_letter AS n
                    WHERE n.sink = pair.sink AND n.feed = pair.feed AND n.refused > ?1 LIMIT ?2)) AS items
            FROM pair JOIN feed AS f ON f.id = pair.feed JOIN dead_letter AS d ON d.id =
                   (SELECT id FROM dead_letter AS n WHERE n.sink = pair.sink AND n.feed = pair.feed
                    ORDER BY n.refused DESC, n.id DESC LIMIT 1)
            WHERE d.refused > ?1";
        let mut found = Vec::new();
        let mut conn = self.inner.sums.lock().await;
        for sql in [QUARANTINED, REFUSED] {
            let query = sqlx::query(sql).bind(since.0).bind(ALERT_COUNTED_ROWS);
            for row in query.fetch_all(&mut *conn).await? {
                found.push(Aside {
                    feed: feed_key(row.try_get("tenant")?, row.try_get("feed")?)?,
                    sink: row.try_get("sink")?,
                    items: count(row.try_get("items")?),
                    newest: Time(row.try_get("newest")?),
                    words: row.try_get("words")?,
                });
            }
        }
        Ok(found)
    }

    /// Gaps noticed since then, of a tenant and feed or (`None`) of any.
    pub async fn gaps_found_since(
        &self,
        since: Time,
        tenant: Option<&str>,
        feed: Option<&str>,
    ) -> Result<GapSum, Fault> {
        let sql = "SELECT count(*), coalesce(sum(g.to_time - g.from_time), 0) / 1000 FROM gap AS g \
                   JOIN feed AS f ON f.id = g.feed WHERE g.found >= ?1 AND f.tenant = coalesce(?2, f.tenant) \
                   AND f.feed = coalesce(?3, f.feed)";
        let mut conn = self.inner.sums.lock().await;
        let query = sqlx::query_as(sql).bind(since.0).bind(tenant).bind(feed);
        let (gaps, seconds): (i64, i64) = query.fetch_one(&mut *conn).await?;
        Ok(GapSum { gaps: count(gaps), seconds: count(seconds) })
    }

    /// Open gaps of each feed that has any: how many, and the newest.
    pub async fn newest_gaps(&self) -> Result<Vec<(u64, GapRow)>, Fault> {
        let sql = "SELECT g.*, f.tenant, f.feed AS name, n.gaps FROM \
                   (SELECT count(*) AS gaps, max(id) AS newest FROM gap WHERE closed IS NULL GROUP BY feed) AS n \
                   JOIN gap AS g ON g.id = n.newest JOIN feed AS f ON f.id = g.feed";
        let mut conn = self.inner.sums.lock().await;
        let rows = sqlx::query(sql).fetch_all(&mut *conn).await?;
        rows.iter().map(|row| Ok((count(row.try_get("gaps")?), gap_row(row)?))).collect()
    }

    /// The cursor of the daemon's own feed, which is registered by this.
    pub async fn collector_cursor(&self, feed: &FeedKey) -> Result<Cursor, Fault> {
        Ok(self.register_feed(feed).await?.cursor)
    }
}

async fn write_book(conn: &mut SqliteConnection, book: &[(String, Option<String>)]) -> Result<(), Fault> {
    for (name, state) in book {
        let done = match state {
            Some(state) => {
                let sql = "INSERT INTO alert (name, state) VALUES (?1, ?2) \
                           ON CONFLICT (name) DO UPDATE SET state = excluded.state";
                sqlx::query(sql).bind(name).bind(state).execute(&mut *conn).await
            }
            None => sqlx::query("DELETE FROM alert WHERE name = ?1").bind(name).execute(&mut *conn).await,
        };
        done?;
    }
    Ok(())
}

async fn write_due(conn: &mut SqliteConnection, due: &[DueRow]) -> Result<(), Fault> {
    let sql = "INSERT INTO alert_due (target, name, number, message) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (target, name) DO UPDATE SET number = excluded.number, message = excluded.message";
    if due.len() > MAX_ALERTS_DUE {
        return Err(local(Kind::TooLarge, "more alerts at once than can be kept"));
    }
    for row in due {
        let insert = sqlx::query(sql).bind(&row.target).bind(&row.name).bind(row.number).bind(&row.message);
        insert.execute(&mut *conn).await?;
    }
    Ok(())
}
