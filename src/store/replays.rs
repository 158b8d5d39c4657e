//! Replays: stored events that a sink gets once more, because an operator asked. Each has its own position and leaves
//! the sink's, and its account, alone: `delivered` counts events, not copies. It ends where the sink stood when it
//! was asked for, since what lies behind is still to come.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::letters::bury;
use super::sql::{count, int, local, time};
use super::{DeadLetter, Position, Store};
use crate::clock::Time;
use crate::cursor::Scope;
use crate::fault::{Fault, Kind};
use crate::limits::{MAX_LISTED_ROWS, REPLAYS_KEPT};

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub sink: String,
    /// A [`Scope`].
    pub scope: String,
    /// Events of this time and later; those without a time count by when they were stored.
    pub since: Time,
    /// And before this one.
    pub until: Time,
}

/// A replay and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Number for people.
    pub id: i64,
    pub sink: String,
    /// A pattern over `tenant/feed`.
    pub scope: String,
    pub since: Time,
    pub until: Time,
    pub asked: Time,
    pub at: Position,
    /// The last chunk it goes through, and how many of its records.
    pub last: (i64, u32),
    /// Records to look at; those of another time are left out.
    pub total: u64,
    /// Of these, so far.
    pub looked_at: u64,
    /// Of these, acknowledged.
    pub sent: u64,
    /// Of these, refused for good; they lie among the dead letters.
    pub refused: u64,
    pub finished: Option<Time>,
    /// Why it ended before its end; empty where it did not.
    pub words: String,
}

impl Replay {
    /// How many records of a chunk belong to it.
    pub fn records_of(&self, seq: i64, records: u32) -> u32 {
        if seq == self.last.0 { records.min(self.last.1) } else { records }
    }

    /// Records it was to look at that were deleted before it came to them; counted at its end.
    pub fn gone(&self) -> u64 {
        self.total.saturating_sub(self.looked_at)
    }
}

/// What a step of a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    pub looked_at: u64,
    pub sent: u64,
}

/// The chunks of a replay, on `chunk AS c JOIN feed AS f`: they may hold an event of its time.
macro_rules! within {
    () => {
        "(f.tenant || '/' || f.feed) GLOB ?1 AND c.seq <= ?2 AND max(coalesce(c.newest, c.collected), c.collected) >= ?3 \
         AND min(coalesce(c.oldest, c.collected), c.collected) < ?4"
    };
}

impl Store {
    /// Notes a replay, to be carried out by the sink's courier.
    ///
    /// # Errors
    /// `Conflict` for a sink that is not registered; else the database cannot be written.
    pub async fn add_replay(&self, order: &Order) -> Result<Replay, Fault> {
        let now = self.inner.clock.now();
        let mut tx = self.begin("note a replay").await?;
        let done = add_in(tx.conn(), order, now).await;
        tx.finish(done).await
    }

    /// The newest replays, newest first, at most 1,000; `open`: only those that are not finished.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn replays(&self, open: bool) -> Result<Vec<Replay>, Fault> {
        let sql = "SELECT * FROM replay WHERE ?1 = 0 OR finished IS NULL ORDER BY id DESC LIMIT ?2";
        let mut conn = self.inner.sums.lock().await;
        let rows = sqlx::query(sql).bind(open).bind(MAX_LISTED_ROWS).fetch_all(&mut *conn).await?;
        rows.iter().map(replay).collect()
    }

    /// `None`: there is none of that number.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn replay(&self, id: i64) -> Result<Option<Replay>, Fault> {
        let mut conn = self.inner.status.lock().await;
        let row =
            sqlx::query("SELECT * FROM replay WHERE id = ?1").bind(id).fetch_optional(&mut *conn).await?;
        row.as_ref().map(replay).transpose()
    }

    /// The oldest replay of a sink that is not finished.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn next_replay(&self, sink: &str) -> Result<Option<Replay>, Fault> {
        let sql = "SELECT * FROM replay WHERE sink = ?1 AND finished IS NULL ORDER BY id LIMIT 1";
        let mut conn = self.inner.status.lock().await;
        let row = sqlx::query(sql).bind(sink).fetch_optional(&mut *conn).await?;
        row.as_ref().map(replay).transpose()
    }

    /// Number of the first chunk after `seq` that the replay has to look at.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn next_of_replay(&self, replay: &Replay, seq: i64) -> Result<Option<i64>, Fault> {
        let mut conn = self.inner.courier.lock().await;
        next_in(&mut conn, &replay.scope, (replay.since, replay.until), replay.last.0, seq).await
    }

    /// Moves a replay on; `dead` become dead letters that no account counts. Does nothing for one that was ended
    /// meanwhile, or stands at `to` already.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn advance_replay(
        &self,
        replay: &Replay,
        to: Position,
        walked: Walked,
        dead: &[DeadLetter],
    ) -> Result<(), Fault> {
        let now = self.inner.clock.now();
        let sql = "UPDATE replay SET seq = ?2, idx = ?3, looked_at = looked_at + ?4, sent = sent + ?5, \
                   refused = refused + ?6 WHERE id = ?1 AND finished IS NULL AND seq = ?7 AND idx = ?8";
        let mut tx = self.begin("move a replay on").await?;
        let done = async {
            let update = sqlx::query(sql).bind(replay.id).bind(to.seq).bind(to.index);
            let update = update.bind(int(walked.looked_at)).bind(int(walked.sent)).bind(int(dead.len()));
            let update = update.bind(replay.at.seq).bind(replay.at.index);
            if update.execute(tx.conn()).await?.rows_affected() == 1 {
                bury(tx.conn(), &replay.sink, dead, false, now).await?;
            }
            Ok(())
        }
        .await;
        tx.finish(done).await
    }

    /// Ends a replay; false when it had ended before, or there is none of that number.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn end_replay(&self, id: i64, words: &str) -> Result<bool, Fault> {
        let now = self.inner.clock.now();
        let sql = "UPDATE replay SET finished = ?2, words = ?3 WHERE id = ?1 AND finished IS NULL";
        let mut tx = self.begin("end a replay").await?;
        let done = sqlx::query(sql).bind(id).bind(now.0).bind(words).execute(tx.conn()).await;
        tx.finish(done.map(|done| done.rows_affected() == 1).map_err(Fault::from)).await
    }
}

async fn add_in(conn: &mut SqliteConnection, order: &Order, now: Time) -> Result<Replay, Fault> {
    let sql = "SELECT seq, idx FROM sink WHERE name = ?1";
    let found: Option<(i64, i64)> = sqlx::query_as(sql).bind(&order.sink).fetch_optional(&mut *conn).await?;
    let Some((mut last, index)) = found else {
        return Err(local(Kind::Conflict, format!("sink {} is not registered in the store", order.sink)));
    };
    let mut last_events = i64::from(u32::MAX);
    if index > 0 {
        let sql = "SELECT seq FROM chunk WHERE seq > ?1 ORDER BY seq LIMIT 1";
        last = sqlx::query_scalar(sql).bind(last).fetch_one(&mut *conn).await?;
        last_events = index;
    }
    let (scope, span) = (Scope::new(&order.scope).glob(), (order.since, order.until));
    let first = next_in(conn, &scope, span, last, 0).await?;
    const TOTAL: &str = concat!(
        "SELECT coalesce(sum(CASE WHEN c.seq = ?2 THEN min(c.events, ?5) ELSE c.events END), 0) \
         FROM chunk AS c JOIN feed AS f ON f.id = c.feed WHERE ",
        within!()
    );
    let total = sqlx::query_scalar(TOTAL).bind(&scope).bind(last).bind(span.0.0).bind(span.1.0);
    let total: i64 = total.bind(last_events).fetch_one(&mut *conn).await?;
    let sql = "INSERT INTO replay (sink, scope, since, until, asked, seq, idx, last_seq, last_events, total) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9) RETURNING *";
    let insert = sqlx::query(sql).bind(&order.sink).bind(&scope).bind(span.0.0).bind(span.1.0).bind(now.0);
    let insert = insert.bind(first.map_or(last, |first| first - 1)).bind(last).bind(last_events).bind(total);
    replay(&insert.fetch_one(conn).await?)
}

async fn next_in(
    conn: &mut SqliteConnection,
    scope: &str,
    (since, until): (Time, Time),
    last: i64,
    seq: i64,
) -> Result<Option<i64>, Fault> {
    const SQL: &str = concat!(
        "SELECT c.seq FROM chunk AS c JOIN feed AS f ON f.id = c.feed WHERE c.seq > ?5 AND ",
        within!(),
        " ORDER BY c.seq LIMIT 1"
    );
    let query = sqlx::query_scalar(SQL).bind(scope).bind(last).bind(since.0).bind(until.0).bind(seq);
    Ok(query.fetch_optional(conn).await?)
}

/// Forgets replays that ended long ago.
pub(super) async fn purge(conn: &mut SqliteConnection, now: Time) -> Result<(), Fault> {
    let sql = "DELETE FROM replay WHERE finished < ?1";
    sqlx::query(sql).bind(now.minus(REPLAYS_KEPT).0).execute(conn).await?;
    Ok(())
}

fn replay(row: &SqliteRow) -> Result<Replay, Fault> {
    let small = |name: &str| -> Result<u32, Fault> {
        Ok(u32::try_from(row.try_get::<i64, _>(name)?).unwrap_or(u32::MAX))
    };
    Ok(Replay {
        id: row.try_get("id")?,
        sink: row.try_get("sink")?,
        scope: row.try_get("scope")?,
        since: Time(row.try_get("since")?),
        until: Time(row.try_get("until")?),
        asked: Time(row.try_get("asked")?),
        at: Position { seq: row.try_get("seq")?, index: small("idx")? },
        last: (row.try_get("last_seq")?, small("last_events")?),
        total: count(row.try_get("total")?),
        looked_at: count(row.try_get("looked_at")?),
        sent: count(row.try_get("sent")?),
        refused: count(row.try_get("refused")?),
        finished: time(row.try_get("finished")?),
        words: row.try_get("words")?,
    })
}
