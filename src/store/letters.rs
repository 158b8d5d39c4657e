//! Dead letters: events a sink refused for good, kept until an operator has them sent once more or gives them up.
//!
//! The account of the sink counts a letter from the refusal on. One that the sink takes after all moves from
//! `dead_lettered` to `delivered`; one that is given up stays `dead_lettered` and is counted as `dropped`, so that
//! `dead_lettered` is always what lies here and what was given up. A letter that no account counts (refused in a
//! replay, or left by a sink that was removed) moves nothing.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::ledger::{Sum, bounded};
use super::pick::{bind, numbers, picked};
use super::sql::{count, event_id, feed_key, int, time};
use super::{Pick, Shelf, Store};
use crate::clock::Time;
use crate::cursor::FeedKey;
use crate::event::{Event, EventId, Severity};
use crate::fault::Fault;
use crate::limits::MAX_SINK_WORDS_BYTES;

/// An event a sink refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub feed: FeedKey,
    pub id: EventId,
    /// Its bytes as Mimecast sent them.
    pub record: Vec<u8>,
    /// What the sink said; cut to 2 KiB.
    pub words: String,
    /// When the event was stored.
    pub collected: Time,
    /// Event time.
    pub time: Option<Time>,
    pub kind: String,
    pub severity: Severity,
    /// A JSON text; false: an API 1.0 key-value line.
    pub json: bool,
}

impl DeadLetter {
    /// The letter of an event.
    pub fn of(event: &Event<'_>, feed: FeedKey, words: String) -> Self {
        DeadLetter {
            feed,
            id: event.id,
            record: event.raw.to_vec(),
            words,
            collected: Time(event.collected),
            time: event.time.map(Time),
            kind: event.kind.to_owned(),
            severity: event.severity,
            json: event.json,
        }
    }

    /// The event, as formats want it.
    pub fn event(&self) -> Event<'_> {
        Event {
            id: self.id,
            tenant: &self.feed.tenant,
            feed: self.feed.feed,
            kind: &self.kind,
            time: self.time.map(|at| at.0),
            collected: self.collected.0,
            severity: self.severity,
            repaired: std::str::from_utf8(&self.record).is_err(),
            json: self.json,
            raw: &self.record,
        }
    }
}

/// A dead letter, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterRow {
    pub id: i64,
    pub sink: String,
    pub feed: FeedKey,
    pub event_id: EventId,
    /// What the sink said last.
    pub words: String,
    /// When it said so.
    pub refused: Time,
    pub refusals: u64,
    pub collected: Time,
    /// Event time.
    pub time: Option<Time>,
    pub kind: String,
    /// Size of the record, bytes.
    pub len: u64,
    /// When an operator asked to send it once more.
    pub wanted: Option<Time>,
}

impl Store {
    /// Dead letters with numbers above `after` (0: from the first), at most `limit` and never more than 1,000.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn dead_letters_list(
        &self,
        pick: &Pick,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetterRow>, Fault> {
        const SQL: &str = picked!(
            letters: "r.id, r.sink, f.tenant, f.feed, r.event_id, r.words, r.refused, r.refusals, r.collected, r.time, \
             r.kind, r.wanted, length(r.record) AS length",
            " ORDER BY r.id LIMIT ?8"
        );
        let mut conn = self.inner.sums.lock().await;
        let query = bind(SQL, Shelf::DeadLetters, pick, after).bind(bounded(limit));
        query.fetch_all(&mut *conn).await?.iter().map(row).collect()
    }

    /// How many letters lie there and how large they are, by sink and feed.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn dead_letters_sums(&self) -> Result<Vec<Sum>, Fault> {
        self.summed(
            "SELECT d.sink, f.tenant || '/' || f.feed, count(*), sum(length(d.record)) FROM dead_letter AS d \
             JOIN feed AS f ON f.id = d.feed GROUP BY 1, 2 ORDER BY 1, 2",
        )
        .await
    }

    /// How many of a sink's are on their way to it once more.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn dead_letters_wanted(&self, sink: &str) -> Result<u64, Fault> {
        let sql = "SELECT count(*) FROM dead_letter WHERE sink = ?1 AND wanted IS NOT NULL";
        let mut conn = self.inner.status.lock().await;
        Ok(count(sqlx::query_scalar(sql).bind(sink).fetch_one(&mut *conn).await?))
    }

    /// How many were refused more than once, the last time as `pick` says.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn dead_letters_refused_again(&self, pick: &Pick) -> Result<u64, Fault> {
        const SQL: &str = picked!(letters: "count(*)", " AND r.refusals > 1");
        let mut conn = self.inner.sums.lock().await;
        Ok(count(bind(SQL, Shelf::DeadLetters, pick, 0).fetch_one(&mut *conn).await?.try_get(0)?))
    }

    /// The bytes of a dead letter's event.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn dead_letter_bytes(&self, id: i64) -> Result<Option<Vec<u8>>, Fault> {
        let mut conn = self.inner.status.lock().await;
        let query = sqlx::query_scalar("SELECT record FROM dead_letter WHERE id = ?1").bind(id);
        Ok(query.fetch_optional(&mut *conn).await?)
    }

    /// Marks letters as wanted: their sinks get them once more. Returns how many, of each sink that is registered.
    /// Those of other sinks stay as they are. A piece in each transaction: breaking off leaves the rest as it was.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn want_dead_letters(&self, pick: &Pick) -> Result<Vec<(String, u64)>, Fault> {
        let sql = "UPDATE dead_letter SET wanted = ?2 WHERE id IN (SELECT value FROM json_each(?1)) \
                   AND sink IN (SELECT name FROM sink) RETURNING sink";
        let now = self.inner.clock.now();
        let newest = self.newest_on(Shelf::DeadLetters).await?;
        let (mut after, mut sinks) = (0, BTreeMap::<String, u64>::new());
        while let Some((ids, last)) = self.next_on(Shelf::DeadLetters, pick, (after, newest)).await? {
            after = last;
            let mut tx = self.begin("mark dead letters").await?;
            let done = sqlx::query_scalar(sql).bind(ids).bind(now.0).fetch_all(tx.conn()).await;
            let of: Vec<String> = tx.finish(done.map_err(Fault::from)).await?;
            of.into_iter().for_each(|sink| *sinks.entry(sink).or_default() += 1);
        }
        Ok(sinks.into_iter().collect())
    }

    /// Gives letters up: their bytes are deleted, the accounts keep counting them. Returns how many. In pieces, as
    /// [`Store::want_dead_letters`].
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn drop_dead_letters(&self, pick: &Pick) -> Result<u64, Fault> {
        let book = "INSERT INTO account (sink, feed, dropped) SELECT s.id, d.feed, count(*) FROM dead_letter AS d \
                    JOIN sink AS s ON s.name = d.sink WHERE d.booked = 1 AND d.id IN (SELECT value FROM json_each(?1)) \
                    GROUP BY s.id, d.feed ON CONFLICT (sink, feed) DO UPDATE SET dropped = dropped + excluded.dropped";
        let delete = "DELETE FROM dead_letter WHERE id IN (SELECT value FROM json_each(?1))";
        self.drop_from(Shelf::DeadLetters, pick, (book, delete)).await
    }

    /// Letters that a sink is to get once more, oldest first, with their numbers: at most `events`, and no more than
    /// about `bytes`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn wanted_dead_letters(
        &self,
        sink: &str,
        events: u32,
        bytes: u64,
    ) -> Result<Vec<(i64, DeadLetter)>, Fault> {
        // the running sum is of what comes before: one letter of any size is always there
        let sql = "SELECT d.*, f.tenant, f.feed AS name FROM (SELECT id, sum(size) OVER (ORDER BY id) - size AS before \
                   FROM (SELECT id, length(record) AS size FROM dead_letter WHERE sink = ?1 AND wanted IS NOT NULL \
                   ORDER BY id LIMIT ?2)) AS w JOIN dead_letter AS d ON d.id = w.id JOIN feed AS f ON f.id = d.feed \
                   WHERE w.before < ?3 ORDER BY d.id";
        let mut conn = self.inner.status.lock().await;
        let rows = sqlx::query(sql).bind(sink).bind(bounded(events)).bind(int(bytes));
        rows.fetch_all(&mut *conn).await?.iter().map(whole).collect()
    }

    /// Books what became of letters that were sent once more: those `taken` are delivered and gone, those `refused`
    /// stay, with the sink's words of now. Repeating it changes nothing for those that are gone.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn settle_dead_letters(
        &self,
        sink: &str,
        taken: &[i64],
        refused: &[(i64, String)],
    ) -> Result<(), Fault> {
        let now = self.inner.clock.now();
        let mut tx = self.begin("book dead letters").await?;
        let done = async {
            take(tx.conn(), sink, taken).await?;
            let sql = "UPDATE dead_letter SET wanted = NULL, words = ?2, refused = ?3, refusals = refusals + 1 WHERE id = ?1";
            for (id, words) in refused {
                sqlx::query(sql).bind(id).bind(cut(words)).bind(now.0).execute(tx.conn()).await?;
            }
            Ok(())
        }
        .await;
        tx.finish(done).await
    }
}

async fn take(conn: &mut SqliteConnection, sink: &str, taken: &[i64]) -> Result<(), Fault> {
    let ids = numbers(taken);
    let sql = "UPDATE account SET delivered = delivered + n.letters, dead_lettered = dead_lettered - n.letters \
               FROM (SELECT feed, count(*) AS letters FROM dead_letter WHERE booked = 1 AND sink = ?1 \
               AND id IN (SELECT value FROM json_each(?2)) GROUP BY feed) AS n \
               WHERE account.feed = n.feed AND account.sink = (SELECT id FROM sink WHERE name = ?1)";
    sqlx::query(sql).bind(sink).bind(&ids).execute(&mut *conn).await?;
    let sql = "DELETE FROM dead_letter WHERE sink = ?1 AND id IN (SELECT value FROM json_each(?2))";
    sqlx::query(sql).bind(sink).bind(&ids).execute(conn).await?;
    Ok(())
}

/// Keeps letters; `booked`: the account of the sink counts them.
pub(super) async fn bury(
    conn: &mut SqliteConnection,
    sink: &str,
    dead: &[DeadLetter],
    booked: bool,
    now: Time,
) -> Result<(), Fault> {
    let sql = "INSERT INTO dead_letter (sink, feed, event_id, record, words, refused, collected, time, kind, json, \
               severity, booked) SELECT ?1, id, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 FROM feed \
               WHERE tenant = ?2 AND feed = ?3";
    for letter in dead {
        let insert = sqlx::query(sql).bind(sink).bind(&letter.feed.tenant).bind(letter.feed.feed);
        let insert = insert.bind(letter.id.0.as_slice()).bind(letter.record.as_slice());
        let insert = insert.bind(cut(&letter.words)).bind(now.0).bind(letter.collected.0);
        let insert = insert.bind(letter.time.map(|at| at.0)).bind(&letter.kind).bind(letter.json);
        let insert = insert.bind(i64::from(letter.severity as u8)).bind(booked);
        super::sinks::expect_one(insert.execute(&mut *conn).await?.rows_affected(), &letter.feed)?;
    }
    Ok(())
}

fn cut(words: &str) -> &str {
    words.get(..words.floor_char_boundary(MAX_SINK_WORDS_BYTES)).unwrap_or_default()
}

fn row(row: &SqliteRow) -> Result<DeadLetterRow, Fault> {
    Ok(DeadLetterRow {
        id: row.try_get("id")?,
        sink: row.try_get("sink")?,
        feed: feed_key(row.try_get("tenant")?, row.try_get("feed")?)?,
        event_id: event_id(row.try_get("event_id")?)?,
        words: row.try_get("words")?,
        refused: Time(row.try_get("refused")?),
        refusals: count(row.try_get("refusals")?),
        collected: Time(row.try_get("collected")?),
        time: time(row.try_get("time")?),
        kind: row.try_get("kind")?,
        len: count(row.try_get("length")?),
        wanted: time(row.try_get("wanted")?),
    })
}

fn whole(row: &SqliteRow) -> Result<(i64, DeadLetter), Fault> {
    let severity: i64 = row.try_get("severity")?;
    let letter = DeadLetter {
        feed: feed_key(row.try_get("tenant")?, row.try_get("name")?)?,
        id: event_id(row.try_get("event_id")?)?,
        record: row.try_get("record")?,
        words: row.try_get("words")?,
        collected: Time(row.try_get("collected")?),
        time: time(row.try_get("time")?),
        kind: row.try_get("kind")?,
        severity: Severity::from_number(u8::try_from(severity).unwrap_or_default()),
        json: row.try_get("json")?,
    };
    Ok((row.try_get("id")?, letter))
}
