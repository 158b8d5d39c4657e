//! What operators choose from what was put aside. Dead letters and quarantined items are narrowed down, counted and
//! gone through in the same way: read first, on a connection of its own, then changed by number, a piece in each
//! transaction, so that no choice, however large, holds up feeds and couriers.

use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::Store;
use super::sql::count;
use crate::clock::Time;
use crate::cursor::Scope;
use crate::fault::Fault;
use crate::limits::REPAIRED_AT_ONCE;

/// Which rows of a list are meant. What is empty or `None` leaves nothing out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pick {
    /// Numbers of rows.
    pub ids: Vec<i64>,
    /// A [`Scope`].
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
}

/// Where things lie that were put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    DeadLetters,
    Quarantine,
}

/// `SELECT $what` from a shelf, `r`, and the rows' feeds, `f`, narrowed down by a [`Pick`]: parameters 1 to 7 as
/// [`bind`] gives them.
macro_rules! picked {
    (letters: $what:literal, $rest:literal) => {
        picked!("dead_letter", "sink", "refused", $what, $rest)
    };
    (quarantine: $what:literal, $rest:literal) => {
        picked!("quarantine", "reason", "found", $what, $rest)
    };
    ($table:literal, $class:literal, $at:literal, $what:literal, $rest:literal) => {
        concat!(
            "SELECT ", $what, " FROM ", $table, " AS r JOIN feed AS f ON f.id = r.feed \
             WHERE r.id > ?6 AND r.id <= ?7 AND (?1 IS NULL OR r.id IN (SELECT value FROM json_each(?1))) \
             AND (?2 IS NULL OR r.", $class, " = ?2) AND (f.tenant || '/' || f.feed) GLOB ?3 \
             AND r.", $at, " >= ?4 AND r.", $at, " < ?5", $rest
        )
    };
}
pub(super) use picked;

pub(super) type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// The parameters of `picked!`, for rows with numbers above `after`.
pub(super) fn bind(sql: &'static str, shelf: Shelf, pick: &Pick, after: i64) -> Query<'static> {
    let class = match shelf {
        Shelf::DeadLetters => pick.sink.clone(),
        Shelf::Quarantine => pick.reason.clone(),
    };
    let query = sqlx::query(sql).bind((!pick.ids.is_empty()).then(|| numbers(&pick.ids)));
    let query = query.bind(class).bind(Scope::new(&pick.scope).glob());
    let query = query.bind(pick.since.map_or(i64::MIN, |t| t.0)).bind(pick.until.map_or(i64::MAX, |t| t.0));
    // the numbers' bounds spare a walk through the whole table
    let first = pick.ids.iter().copied().min().map_or(after, |first| after.max(first.saturating_sub(1)));
    query.bind(first).bind(pick.ids.iter().copied().max().unwrap_or(i64::MAX))
}

/// Numbers of rows, as `json_each` takes them.
pub(super) fn numbers(ids: &[i64]) -> String {
    serde_json::Value::from(ids).to_string()
}

impl Store {
    /// How many things on the shelf are meant.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn count_on(&self, shelf: Shelf, pick: &Pick) -> Result<u64, Fault> {
        let sql = match shelf {
            Shelf::DeadLetters => picked!(letters: "count(*)", ""),
            Shelf::Quarantine => picked!(quarantine: "count(*)", ""),
        };
        let mut conn = self.inner.sums.lock().await;
        Ok(count(bind(sql, shelf, pick, 0).fetch_one(&mut *conn).await?.try_get(0)?))
    }

    /// Number of the newest thing on the shelf; who goes through it stops there, or would run after what is added.
    pub(super) async fn newest_on(&self, shelf: Shelf) -> Result<i64, Fault> {
        let sql = match shelf {
            Shelf::DeadLetters => "SELECT coalesce(max(id), 0) FROM dead_letter",
            Shelf::Quarantine => "SELECT coalesce(max(id), 0) FROM quarantine",
        };
        Ok(sqlx::query_scalar(sql).fetch_one(&mut *self.inner.sums.lock().await).await?)
    }

    /// Numbers of things that are meant, from above `after` up to `newest`: as many as are changed at once, as JSON,
    /// and the last of them.
    pub(super) async fn next_on(
        &self,
        shelf: Shelf,
        pick: &Pick,
        (after, newest): (i64, i64),
    ) -> Result<Option<(String, i64)>, Fault> {
        let sql = match shelf {
            Shelf::DeadLetters => picked!(letters: "r.id", " AND r.id <= ?8 ORDER BY r.id LIMIT ?9"),
            Shelf::Quarantine => picked!(quarantine: "r.id", " AND r.id <= ?8 ORDER BY r.id LIMIT ?9"),
        };
        let mut conn = self.inner.sums.lock().await;
        let rows = bind(sql, shelf, pick, after).bind(newest).bind(REPAIRED_AT_ONCE).fetch_all(&mut *conn);
        let ids = rows.await?.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        Ok(ids.last().map(|last| (numbers(&ids), *last)))
    }

    /// Deletes what is meant, in pieces; `book` is run before `delete`, both with the piece's numbers.
    pub(super) async fn drop_from(
        &self,
        shelf: Shelf,
        pick: &Pick,
        (book, delete): (&'static str, &'static str),
    ) -> Result<u64, Fault> {
        let newest = self.newest_on(shelf).await?;
        let (mut after, mut dropped) = (0, 0);
        while let Some((ids, last)) = self.next_on(shelf, pick, (after, newest)).await? {
            after = last;
            let mut tx = self.begin("drop what was put aside").await?;
            let done = async {
                sqlx::query(book).bind(&ids).execute(tx.conn()).await?;
                Ok(sqlx::query(delete).bind(&ids).execute(tx.conn()).await?.rows_affected())
            }
            .await;
            dropped += tx.finish(done).await?;
        }
        Ok(dropped)
    }
}
