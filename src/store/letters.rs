//! Dead letters: events a sink refused for good, kept until an operator has them sent once more or gives them up.
//!
//! The account of the sink counts a letter from the refusal on. One that the sink takes after all moves from
//! `dead_lettered` to `delivered`; one that is given up stays `dead_lettered` and is counted as `dropped`, so that
//! `dead_lettered` is always what lies here and what was given up. A letter that no account counts (refused in a
//! replay, or left by a sink that was removed) moves nothing.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::Store;
use super::ledger::bounded;
use super::sql::{count, event_id, feed_key, int, time};
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

/// Which rows of a list are meant. What is empty or `None` leaves nothing out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pick {
    /// Numbers of rows.
    pub ids: Vec<i64>,
    /// `acme`, `acme/audit` or `acme/siem.*`.
    pub scope: String,
    /// Of dead letters only.
    pub sink: Option<String>,
    /// Short code; of the quarantine only.
    pub reason: Option<String>,
    /// Found or refused then or later.
    pub since: Option<Time>,
    /// Found or refused before then.
    pub until: Option<Time>,
}

impl Pick {
    /// Rows by their numbers.
    pub fn ids(ids: impl Into<Vec<i64>>) -> Self {
        Pick { ids: ids.into(), ..Pick::default() }
    }

    /// Leaves nothing out.
    pub fn is_all(&self) -> bool {
        *self == Pick::default()
    }

    pub(super) fn json_ids(&self) -> Option<String> {
        (!self.ids.is_empty()).then(|| serde_json::Value::from(self.ids.clone()).to_string())
    }
}

/// A scope as a pattern over `tenant/feed`.
pub(super) fn glob(scope: &str) -> String {
    match scope {
        "" => "*".to_owned(),
        scope if scope.contains('/') => scope.to_owned(),
        tenant => format!("{tenant}/*"),
    }
}

/// Conditions of a [`Pick`] on `dead_letter AS d JOIN feed AS f`, in the order of [`bind`].
macro_rules! picked {
    () => {
        "(?1 IS NULL OR d.id IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR d.sink = ?2) \
         AND (f.tenant || '/' || f.feed) GLOB ?3 AND d.refused >= ?4 AND d.refused < ?5"
    };
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn bind<'q>(query: Query<'q>, pick: &'q Pick) -> Query<'q> {
    let query = query.bind(pick.json_ids()).bind(pick.sink.as_deref()).bind(glob(&pick.scope));
    query.bind(pick.since.map_or(i64::MIN, |t| t.0)).bind(pick.until.map_or(i64::MAX, |t| t.0))
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
        const SQL: &str = concat!(
            "SELECT d.id, d.sink, f.tenant, f.feed, d.event_id, d.words, d.refused, d.refusals, d.collected, d.time, \
             d.kind, d.wanted, length(d.record) AS length FROM dead_letter AS d JOIN feed AS f ON f.id = d.feed WHERE ",
            picked!(),
            " AND d.id > ?6 ORDER BY d.id LIMIT ?7"
        );
        let mut conn = self.inner.status.lock().await;
        let query = bind(sqlx::query(SQL), pick).bind(after).bind(bounded(limit));
        query.fetch_all(&mut *conn).await?.iter().map(row).collect()
    }

    /// How many there are.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn dead_letters_count(&self, pick: &Pick) -> Result<u64, Fault> {
        const SQL: &str = concat!(
            "SELECT count(*) FROM dead_letter AS d JOIN feed AS f ON f.id = d.feed WHERE ",
            picked!()
        );
        let mut conn = self.inner.status.lock().await;
        Ok(count(bind(sqlx::query(SQL), pick).fetch_one(&mut *conn).await?.try_get(0)?))
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
        const SQL: &str = concat!(
            "SELECT count(*) FROM dead_letter AS d JOIN feed AS f ON f.id = d.feed WHERE d.refusals > 1 AND ",
            picked!()
        );
        let mut conn = self.inner.status.lock().await;
        Ok(count(bind(sqlx::query(SQL), pick).fetch_one(&mut *conn).await?.try_get(0)?))
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
    /// Those of other sinks stay as they are.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn want_dead_letters(&self, pick: &Pick) -> Result<Vec<(String, u64)>, Fault> {
        const SQL: &str = concat!(
            "UPDATE dead_letter SET wanted = ?6 WHERE id IN (SELECT d.id FROM dead_letter AS d \
             JOIN feed AS f ON f.id = d.feed WHERE d.sink IN (SELECT name FROM sink) AND ",
            picked!(),
            ") RETURNING sink"
        );
        let now = self.inner.options.clock.now();
        let mut tx = self.begin("mark dead letters").await?;
        let done = bind(sqlx::query(SQL), pick).bind(now.0).fetch_all(tx.conn()).await;
        let done = done.map_err(Fault::from).and_then(|rows| {
            let mut sinks: Vec<(String, u64)> = Vec::new();
            for row in &rows {
                add(&mut sinks, row.try_get("sink")?);
            }
            Ok(sinks)
        });
        tx.finish(done).await
    }

    /// Gives letters up: their bytes are deleted, the accounts keep counting them. Returns how many.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn drop_dead_letters(&self, pick: &Pick) -> Result<u64, Fault> {
        const BOOK: &str = concat!(
            "INSERT INTO account (sink, feed, dropped) SELECT s.id, f.id, count(*) FROM dead_letter AS d \
             JOIN feed AS f ON f.id = d.feed JOIN sink AS s ON s.name = d.sink WHERE d.booked = 1 AND ",
            picked!(),
            " GROUP BY s.id, f.id ON CONFLICT (sink, feed) DO UPDATE SET dropped = dropped + excluded.dropped"
        );
        const DELETE: &str = concat!(
            "DELETE FROM dead_letter WHERE id IN (SELECT d.id FROM dead_letter AS d \
             JOIN feed AS f ON f.id = d.feed WHERE ",
            picked!(),
            ")"
        );
        let mut tx = self.begin("drop dead letters").await?;
        let done = async {
            bind(sqlx::query(BOOK), pick).execute(tx.conn()).await?;
            Ok(bind(sqlx::query(DELETE), pick).execute(tx.conn()).await?.rows_affected())
        }
        .await;
        tx.finish(done).await
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
        let now = self.inner.options.clock.now();
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
    let ids = serde_json::Value::from(taken.to_vec()).to_string();
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

fn add(sinks: &mut Vec<(String, u64)>, sink: String) {
    match sinks.iter_mut().find(|(known, _)| *known == sink) {
        Some((_, letters)) => *letters += 1,
        None => sinks.push((sink, 1)),
    }
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
