//! Files that were read as a whole. A listing that has to be read again from an earlier day (a refused page token,
//! a backfill) shows files that are stored already; these are told from new ones by name and size. A row is written
//! in the transaction that stores the file, so a remembered file is a stored file. Forgetting costs a second
//! download, under the same event ids, and never an event.

use sqlx::SqliteConnection;

use super::sql::{count, int};
use super::{FileMark, Store};
use crate::cursor::FeedKey;
use crate::fault::Fault;
use crate::limits::{FILES_PER_SWEEP, MAX_FILES_REMEMBERED};

impl Store {
    /// Those of `files` that were read before. A file whose size is known to differ is another file.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn known_files(&self, feed: &FeedKey, files: &[FileMark]) -> Result<Vec<FileMark>, Fault> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT f.name, f.size FROM json_each(?3) AS wanted CROSS JOIN file AS f \
                   ON f.feed = (SELECT id FROM feed WHERE tenant = ?1 AND feed = ?2) AND f.name = unhex(wanted.value)";
        let names: Vec<String> =
            files.iter().map(|file| format!("\"{:032x}\"", u128::from_be_bytes(file.name))).collect();
        let mut conn = self.inner.status.lock().await;
        let query = sqlx::query_as(sql).bind(&feed.tenant).bind(feed.feed);
        let rows: Vec<(Vec<u8>, Option<i64>)> =
            query.bind(format!("[{}]", names.join(","))).fetch_all(&mut *conn).await?;
        let same = |file: &&FileMark| {
            rows.iter().any(|(name, size)| {
                let sizes = size.map(count).zip(file.size);
                *name == file.name && sizes.is_none_or(|(known, listed)| known == listed)
            })
        };
        Ok(files.iter().filter(same).copied().collect())
    }

    /// Forgets which files and records of a feed were read, so that what is read again is stored again, under the
    /// same event ids. In small transactions.
    ///
    /// # Errors
    /// The database cannot be written; part of it may be forgotten then.
    pub async fn forget(&self, feed: &FeedKey) -> Result<(), Fault> {
        let records = "DELETE FROM seen WHERE (feed, hash) IN (SELECT s.feed, s.hash FROM seen AS s WHERE s.feed = \
                       (SELECT id FROM feed WHERE tenant = ?1 AND feed = ?2) LIMIT ?3)";
        let files = "DELETE FROM file WHERE (feed, name) IN (SELECT r.feed, r.name FROM file AS r WHERE r.feed = \
                     (SELECT id FROM feed WHERE tenant = ?1 AND feed = ?2) LIMIT ?3)";
        for sql in [records, files] {
            loop {
                let mut tx = self.begin("forget what was read").await?;
                let query = sqlx::query(sql).bind(&feed.tenant).bind(feed.feed).bind(int(FILES_PER_SWEEP));
                let done = query.execute(tx.conn()).await.map_err(Fault::from);
                if tx.finish(done).await?.rows_affected() < FILES_PER_SWEEP as u64 {
                    break;
                }
            }
        }
        Ok(())
    }
}

pub(super) async fn remember(
    conn: &mut SqliteConnection,
    feed: i64,
    file: FileMark,
    at: i64,
) -> Result<(), Fault> {
    let sql = "INSERT INTO file (feed, name, size, read) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (feed, name) DO UPDATE SET size = excluded.size, read = excluded.read";
    let insert = sqlx::query(sql).bind(feed).bind(file.name.as_slice()).bind(file.size.map(int)).bind(at);
    insert.execute(conn).await?;
    Ok(())
}

/// Deletes files no listing shows any more, and the oldest of a feed that has more than its share.
pub(super) async fn purge(conn: &mut SqliteConnection, before: i64) -> Result<(), Fault> {
    let sql = "DELETE FROM file WHERE (feed, name) IN (SELECT feed, name FROM file WHERE read < ?1 LIMIT ?2)";
    sqlx::query(sql).bind(before).bind(int(FILES_PER_SWEEP)).execute(&mut *conn).await?;
    let sql = "SELECT feed, count(*) AS files FROM file GROUP BY feed HAVING files > ?1";
    let over: Vec<(i64, i64)> =
        sqlx::query_as(sql).bind(int(MAX_FILES_REMEMBERED)).fetch_all(&mut *conn).await?;
    for (feed, files) in over {
        let sql = "DELETE FROM file WHERE feed = ?1 AND name IN \
                   (SELECT name FROM file WHERE feed = ?1 ORDER BY read LIMIT ?2)";
        let spare = (files - int(MAX_FILES_REMEMBERED)).min(int(FILES_PER_SWEEP));
        sqlx::query(sql).bind(feed).bind(spare).execute(&mut *conn).await?;
    }
    Ok(())
}
