//! Sinks: how far each has come, and what became of every event on the way.

use sqlx::SqliteConnection;

use super::Store;
use super::letters::{DeadLetter, bury};
use super::sql::{count, int, local};
use super::writer::{newest, snapshot};
use crate::clock::Time;
use crate::cursor::FeedKey;
use crate::fault::{Fault, Kind};
use crate::limits::REPAIRED_AT_ONCE;

/// How far a sink has come: every chunk up to number `seq` is dealt with, and the first `index` records of
/// the chunk after it, which is `next_chunk(seq)`. When that chunk is finished the position is its own
/// number and index 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub seq: i64,
    /// Records.
    pub index: u32,
}

/// Where a new sink begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the next chunk that is stored.
    Now,
    /// With the oldest chunk that is still there.
    Oldest,
}

/// What became of a feed's events between two positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acknowledged by the sink.
    pub delivered: u64,
    /// Not wanted by the sink's configuration.
    pub filtered: u64,
    /// Refused for good and handed over as [`DeadLetter`]s.
    pub dead_lettered: u64,
    /// Damaged in the store ([`super::Damage`]): the sink cannot have them. The account counts them as dead-lettered and
    /// given up.
    pub lost: u64,
}

impl Store {
    /// Makes sure that the sink has a position, and returns it. `start` counts only for a new sink.
    pub async fn register_sink(&self, name: &str, start: Start) -> Result<Position, Fault> {
        let now = self.inner.clock.now();
        let mut tx = self.begin("register a sink").await?;
        let outcome = async {
            let position = register_in(tx.conn(), name, start, now).await?;
            Ok((position, snapshot(tx.conn()).await?))
        }
        .await;
        let (position, snapshot) = tx.finish(outcome).await?;
        self.install(snapshot);
        drop(tx);
        Ok(position)
    }

    /// `None` for a sink that was never registered.
    pub async fn sink_position(&self, name: &str) -> Result<Option<Position>, Fault> {
        Ok(find(&mut *self.inner.status.lock().await, name).await?.map(|(_, position)| position))
    }

    /// Names of the registered sinks, ascending.
    pub fn sinks(&self) -> Vec<String> {
        self.inner.live().claims.keys().cloned().collect()
    }

    /// How many events of a sink in a row became dead letters, none taken in between; 0 for one that was never
    /// registered.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn refused_in_a_row(&self, sink: &str) -> Result<u64, Fault> {
        let sql = "SELECT refused FROM sink WHERE name = ?1";
        let mut conn = self.inner.status.lock().await;
        Ok(sqlx::query_scalar(sql).bind(sink).fetch_optional(&mut *conn).await?.map_or(0, count))
    }

    /// Forgets every sink that is not named: its position, its claim on chunks and its account. Returns the
    /// names forgotten and how many events each still had to get.
    pub async fn retain_sinks(&self, names: &[&str]) -> Result<Vec<(String, u64)>, Fault> {
        let now = self.inner.clock.now();
        let mut tx = self.begin("forget removed sinks").await?;
        let outcome = async {
            let gone = retain_in(tx.conn(), names, now).await?;
            Ok((gone, snapshot(tx.conn()).await?))
        }
        .await;
        let (gone, snapshot) = tx.finish(outcome).await?;
        self.install(snapshot);
        drop(tx);
        self.unbook_letters().await?;
        Ok(gone)
    }

    /// Letters of sinks that are gone are counted in no account: should such a sink come back one day, its account
    /// begins anew. In pieces; what breaking off leaves is done when sinks are retained next, which is before one comes
    /// back.
    async fn unbook_letters(&self) -> Result<(), Fault> {
        // two statements, so that each has an index of its rows alone
        let booked = "UPDATE dead_letter SET booked = 0, wanted = NULL WHERE id IN (SELECT id FROM dead_letter \
                      WHERE booked = 1 AND sink NOT IN (SELECT name FROM sink) LIMIT ?1)";
        let wanted = "UPDATE dead_letter SET wanted = NULL WHERE id IN (SELECT id FROM dead_letter \
                      WHERE wanted IS NOT NULL AND sink NOT IN (SELECT name FROM sink) LIMIT ?1)";
        for sql in [booked, wanted] {
            loop {
                let mut tx = self.begin("forget the account of a removed sink").await?;
                let done = sqlx::query(sql).bind(REPAIRED_AT_ONCE).execute(tx.conn()).await;
                if tx.finish(done.map_err(Fault::from)).await?.rows_affected() < u64::from(REPAIRED_AT_ONCE) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Moves a sink from one position to a later one and books what became of the events between them, all
    /// or nothing, on stable storage when this returns. Repeating it after a lost answer changes nothing.
    ///
    /// # Errors
    /// `Conflict`: the sink stands neither at `from` nor at `to`, or `to` is no later place in the store.
    pub async fn advance(
        &self,
        sink: &str,
        from: Position,
        to: Position,
        tally: &[(FeedKey, Tally)],
        dead: &[DeadLetter],
    ) -> Result<(), Fault> {
        if to <= from {
            return Err(local(Kind::Conflict, format!("sink {sink}: {to:?} does not follow {from:?}")));
        }
        let now = self.inner.clock.now();
        let mut tx = self.begin("move a sink's position").await?;
        let outcome = async {
            if !move_position(tx.conn(), sink, from, to).await? {
                return Ok(None);
            }
            let taken = tally.iter().any(|(_, tally)| tally.delivered > 0);
            count_refused(tx.conn(), sink, taken, dead.len()).await?;
            book(tx.conn(), sink, tally).await?;
            bury(tx.conn(), sink, dead, true, now).await?;
            self.freed(tx.conn(), sink, to.seq).await.map(Some)
        }
        .await;
        let freed = tx.finish(outcome).await?;
        if let Some(freed) = freed {
            let mut live = self.inner.live();
            live.undelivered = live.undelivered.saturating_sub(freed);
            live.claims.insert(sink.to_owned(), to.seq);
            if let Some(seq) = live.passed_by_all() {
                live.recent.passed(seq);
            }
        }
        drop(tx); // not before: the numbers above must follow the order of commits
        Ok(())
    }

    /// Bytes of the chunks that nobody needs any more once `sink` stands at `seq`.
    async fn freed(&self, conn: &mut SqliteConnection, sink: &str, seq: i64) -> Result<u64, Fault> {
        let (before, after) = {
            let live = self.inner.live();
            let others = live.claims.iter().filter(|(name, _)| *name != sink).map(|(_, seq)| *seq).min();
            (live.passed_by_all().unwrap_or(seq), others.unwrap_or(seq).min(seq))
        };
        if after <= before {
            return Ok(0);
        }
        let sql = "SELECT coalesce(sum(bytes), 0) FROM chunk WHERE seq > ?1 AND seq <= ?2";
        Ok(count(sqlx::query_scalar(sql).bind(before).bind(after).fetch_one(conn).await?))
    }
}

async fn find(conn: &mut SqliteConnection, name: &str) -> Result<Option<(i64, Position)>, Fault> {
    let sql = "SELECT id, seq, idx FROM sink WHERE name = ?1";
    let row: Option<(i64, i64, i64)> = sqlx::query_as(sql).bind(name).fetch_optional(conn).await?;
    Ok(row.map(|(id, seq, index)| (id, Position { seq, index: u32::try_from(index).unwrap_or(u32::MAX) })))
}

async fn register_in(
    conn: &mut SqliteConnection,
    name: &str,
    start: Start,
    now: Time,
) -> Result<Position, Fault> {
    if let Some((_, position)) = find(conn, name).await? {
        return Ok(position);
    }
    // Events stored before the sink's start are never owed to it: its base.
    let (seq, base) = match start {
        Start::Now => {
            (newest(conn).await?, "INSERT INTO account (sink, feed, base) SELECT ?1, id, stored FROM feed")
        }
        Start::Oldest => (0, "INSERT INTO account (sink, feed, base) SELECT ?1, id, swept FROM feed"),
    };
    let insert = sqlx::query("INSERT INTO sink (name, seq, idx, since) VALUES (?1, ?2, 0, ?3)");
    let id = insert.bind(name).bind(seq).bind(now.0).execute(&mut *conn).await?.last_insert_rowid();
    sqlx::query(base).bind(id).execute(conn).await?;
    Ok(Position { seq, index: 0 })
}

async fn retain_in(
    conn: &mut SqliteConnection,
    names: &[&str],
    now: Time,
) -> Result<Vec<(String, u64)>, Fault> {
    let sql = "SELECT id, name, coalesce((SELECT sum(events) FROM chunk WHERE chunk.seq > sink.seq), 0) - idx FROM sink";
    let sinks: Vec<(i64, String, i64)> = sqlx::query_as(sql).fetch_all(&mut *conn).await?;
    let mut gone = Vec::new();
    for (id, name, waiting) in sinks {
        if !names.contains(&name.as_str()) {
            let replays = "UPDATE replay SET finished = ?2, words = 'the sink was removed from the configuration' \
                           WHERE sink = ?1 AND finished IS NULL";
            sqlx::query(replays).bind(&name).bind(now.0).execute(&mut *conn).await?;
            sqlx::query("DELETE FROM account WHERE sink = ?1").bind(id).execute(&mut *conn).await?;
            sqlx::query("DELETE FROM sink WHERE id = ?1").bind(id).execute(&mut *conn).await?;
            gone.push((name, count(waiting)));
        }
    }
    Ok(gone)
}

/// False when the sink stood at `to` already.
async fn move_position(
    conn: &mut SqliteConnection,
    sink: &str,
    from: Position,
    to: Position,
) -> Result<bool, Fault> {
    let conflict = |why: String| Err(local(Kind::Conflict, format!("sink {sink}: {why}")));
    let Some((id, stands)) = find(conn, sink).await? else {
        return conflict("it is not registered in the store".into());
    };
    if stands == to {
        return Ok(false);
    }
    if stands != from {
        return conflict(format!("it stands at {stands:?}, not at {from:?}"));
    }
    let sql = "SELECT coalesce((SELECT events FROM chunk WHERE seq > ?1 ORDER BY seq LIMIT 1), 0)";
    let next: i64 = sqlx::query_scalar(sql).bind(to.seq).fetch_one(&mut *conn).await?;
    if to.seq > newest(conn).await? || i64::from(to.index) > next {
        return conflict(format!("{to:?} is beyond what is stored"));
    }
    let update = sqlx::query("UPDATE sink SET seq = ?2, idx = ?3 WHERE id = ?1");
    update.bind(id).bind(to.seq).bind(to.index).execute(conn).await?;
    Ok(true)
}

/// Writes only when the number changes: a sink that takes everything costs nothing.
async fn count_refused(
    conn: &mut SqliteConnection,
    sink: &str,
    taken: bool,
    dead: usize,
) -> Result<(), Fault> {
    let sql = match (taken, dead) {
        (true, _) => "UPDATE sink SET refused = 0 * ?2 WHERE name = ?1 AND refused > 0",
        (false, 0) => return Ok(()),
        (false, _) => "UPDATE sink SET refused = refused + ?2 WHERE name = ?1",
    };
    sqlx::query(sql).bind(sink).bind(int(dead as u64)).execute(conn).await?;
    Ok(())
}

async fn book(conn: &mut SqliteConnection, sink: &str, tally: &[(FeedKey, Tally)]) -> Result<(), Fault> {
    let sql = "INSERT INTO account (sink, feed, delivered, dead_lettered, filtered, dropped) SELECT s.id, f.id, ?4, ?5, ?6, ?7 \
               FROM sink AS s CROSS JOIN feed AS f WHERE s.name = ?1 AND f.tenant = ?2 AND f.feed = ?3 \
               ON CONFLICT (sink, feed) DO UPDATE SET delivered = delivered + excluded.delivered, \
               dead_lettered = dead_lettered + excluded.dead_lettered, filtered = filtered + excluded.filtered, \
               dropped = dropped + excluded.dropped";
    for (feed, tally) in tally {
        let insert =
            sqlx::query(sql).bind(sink).bind(&feed.tenant).bind(feed.feed).bind(int(tally.delivered));
        let insert = insert.bind(int(tally.dead_lettered + tally.lost)).bind(int(tally.filtered));
        let insert = insert.bind(int(tally.lost));
        expect_one(insert.execute(&mut *conn).await?.rows_affected(), feed)?;
    }
    Ok(())
}

pub(super) fn expect_one(rows: u64, feed: &FeedKey) -> Result<(), Fault> {
    match rows {
        1 => Ok(()),
        _ => Err(local(Kind::Conflict, format!("{feed} is not registered in the store"))),
    }
}
