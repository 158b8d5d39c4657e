//! Housekeeping, in transactions small enough that feeds and couriers do not notice.

use sqlx::SqliteConnection;

use super::sql::{int, local};
use super::{Store, ballast, dedupe, files, replays};
use crate::clock::Time;
use crate::fault::{Fault, Kind};
use crate::limits::{
    CLOCK_SKEW_TOLERATED, DAMAGED_KEPT, FILES_KEPT, SEEN_ROWS, SWEEP_CHUNKS, VACUUM_KEEP_PAGES, VACUUM_PAGES,
    VACUUM_STEPS,
};

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Chunks deleted, and the events and bytes in them.
    pub chunks: u64,
    pub events: u64,
    pub bytes: u64,
    /// Identities forgotten.
    pub seen: u64,
    /// Present size of the ballast, bytes.
    pub ballast_bytes: u64,
}

impl Store {
    /// Deletes chunks that every sink has passed, no replay waits for and that are older than the retention (on a full
    /// disk: all that every sink has passed; never one that is damaged, before [`DAMAGED_KEPT`]), forgets identities
    /// beyond their feed's horizon, gives unused pages back to the file system, and builds the ballast. To be
    /// called soon after the start (the ballast is not built by `open`) and every minute or so.
    ///
    /// Without any sink nothing is deleted.
    pub async fn sweep(&self) -> Result<Swept, Fault> {
        let mut swept = Swept::default();
        let now = self.inner.clock.now();
        // on a full disk what every sink has is worth less than what Mimecast is about to forget
        let (full, retention) = {
            let live = self.inner.live();
            (live.disk_full.is_some(), live.retention)
        };
        let before = if full { now } else { now.minus(retention) };
        loop {
            let mut tx = self.begin("delete delivered events").await?;
            let outcome = delete_chunks(tx.conn(), (now, before, now.minus(DAMAGED_KEPT)), full).await;
            let done = tx.finish(outcome).await?;
            drop(tx);
            swept.chunks += done.chunks;
            swept.events += done.events;
            swept.bytes += done.bytes;
            if done.chunks < SWEEP_CHUNKS as u64 {
                break;
            }
        }
        loop {
            let mut tx = self.begin("forget old identities").await?;
            let outcome = dedupe::purge(tx.conn(), now).await;
            let rows = tx.finish(outcome).await?;
            drop(tx);
            swept.seen += rows;
            if rows < SEEN_ROWS as u64 {
                break;
            }
        }
        let mut tx = self.begin("forget old files").await?;
        let outcome = async {
            replays::purge(tx.conn(), now).await?;
            files::purge(tx.conn(), now.minus(FILES_KEPT).0).await
        }
        .await;
        tx.finish(outcome).await?;
        drop(tx);
        self.vacuum().await?;
        swept.ballast_bytes = self.build_ballast().await?;
        Ok(swept)
    }

    /// Shortens the file. While the disk is full everything is given back, else a reserve is kept.
    async fn vacuum(&self) -> Result<(), Fault> {
        let disk_full = self.inner.live().disk_full.is_some();
        let keep = if disk_full { 0 } else { VACUUM_KEEP_PAGES };
        for _ in 0..VACUUM_STEPS {
            let mut tx = self.begin("give unused pages back").await?;
            let outcome = vacuum_step(tx.conn(), keep).await;
            let more = tx.finish(outcome).await?;
            drop(tx);
            if disk_full {
                self.shorten().await?; // each step's WAL takes room that the next one needs
            }
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Outside of a transaction: the file shrinks only when the WAL has been copied into it.
    async fn shorten(&self) -> Result<(), Fault> {
        let mut tx = self.begin("shorten the store").await?;
        tx.finish(Ok(())).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(tx.conn()).await?;
        Ok(())
    }

    /// Builds the ballast or leaves it; after a full disk it waits until there is room for twice its size,
    /// and then lets collection go on.
    async fn build_ballast(&self) -> Result<u64, Fault> {
        let needed = self.inner.live().disk_full;
        let (dir, wanted) = (self.inner.dir.clone(), self.inner.ballast);
        let work = move || match needed {
            Some(needed) if ballast::free(&dir)? < needed => Ok((ballast::size(&dir), false)),
            _ => ballast::build(&dir, wanted).map(|size| (size, true)),
        };
        let built: Result<std::io::Result<(u64, bool)>, _> = tokio::task::spawn_blocking(work).await;
        match built {
            Ok(Ok((size, enough))) => {
                if enough {
                    self.inner.live().disk_full = None;
                }
                Ok(size)
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::StorageFull => Ok(0),
            Ok(Err(error)) => Err(local(Kind::DiskIo, format!("failed to build the ballast file: {error}"))),
            Err(_) => Err(local(Kind::DiskIo, "failed to build the ballast file")),
        }
    }
}

async fn delete_chunks(
    conn: &mut SqliteConnection,
    (now, before, damaged_before): (Time, Time, Time),
    full: bool,
) -> Result<Swept, Fault> {
    let sql = "SELECT seq, feed, body, events, bytes FROM chunk \
               WHERE seq <= (SELECT min(seq) FROM sink) AND (collected < ?1 OR (collected > ?5 AND seq < \
               (SELECT max(seq) FROM chunk WHERE collected < ?1))) AND (damaged IS NULL OR collected < ?4) \
               AND (?3 OR seq <= coalesce((SELECT min(seq) FROM replay WHERE finished IS NULL), seq)) \
               ORDER BY seq LIMIT ?2";
    let query = sqlx::query_as(sql).bind(before.0).bind(int(SWEEP_CHUNKS)).bind(full);
    // what a clock wrote that was ahead is older than the chunks behind it
    let query = query.bind(damaged_before.0).bind(now.plus(CLOCK_SKEW_TOLERATED).0);
    let rows: Vec<(i64, i64, i64, i64, i64)> = query.fetch_all(&mut *conn).await?;
    let mut swept = Swept::default();
    for (seq, feed, body, events, bytes) in rows {
        sqlx::query("DELETE FROM chunk WHERE seq = ?1").bind(seq).execute(&mut *conn).await?;
        sqlx::query("DELETE FROM body WHERE id = ?1").bind(body).execute(&mut *conn).await?;
        let update = sqlx::query("UPDATE feed SET swept = swept + ?2 WHERE id = ?1").bind(feed).bind(events);
        update.execute(&mut *conn).await?;
        swept.chunks += 1;
        swept.events += events.unsigned_abs();
        swept.bytes += bytes.unsigned_abs();
    }
    Ok(swept)
}

/// True when there is more to do.
async fn vacuum_step(conn: &mut SqliteConnection, keep: i64) -> Result<bool, Fault> {
    let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *conn).await?;
    if free <= keep {
        return Ok(false);
    }
    // PRAGMA takes no parameters; the bound is VACUUM_PAGES.
    const { assert!(VACUUM_PAGES == 64) };
    sqlx::query("PRAGMA incremental_vacuum(64)").execute(conn).await?;
    Ok(free - VACUUM_PAGES > keep)
}
