//! The one connection that writes, and its transactions. `BEGIN` and `COMMIT` are sent by hand, because
//! SQLite ends a transaction by itself on some errors and a counter of open ones would then be wrong; and
//! because a future dropped half-way must not leave a transaction behind for the next caller to join.

use std::collections::BTreeMap;

use sqlx::{Executor, SqliteConnection};
use tokio::sync::MutexGuard;

use super::sql::{count, local};
use super::{Inner, Store, ballast};
use crate::fault::{Fault, Kind};

pub(super) struct Writer {
    pub conn: SqliteConnection,
    /// A transaction was begun and nobody saw it end.
    unfinished: bool,
    /// The disk failed under this connection. What it holds in memory may differ from what is on disk, and a
    /// second fsync would claim success (recovery row L02): nothing more is written until the next start.
    broken: bool,
}

impl Writer {
    pub(super) fn new(conn: SqliteConnection) -> Self {
        Writer { conn, unfinished: false, broken: false }
    }
}

/// A transaction. Dropped without [`Tx::finish`], it is undone before the next one begins.
pub(super) struct Tx<'a> {
    store: &'a Inner,
    writer: MutexGuard<'a, Writer>,
    /// Completes "failed to …".
    doing: &'static str,
}

impl Store {
    pub(super) async fn begin(&self, doing: &'static str) -> Result<Tx<'_>, Fault> {
        let Some(writer) = &self.inner.writer else {
            return Err(local(
                Kind::Busy,
                format!("failed to {doing}: the store was opened for reading only"),
            ));
        };
        let mut writer = writer.lock().await;
        if writer.broken {
            let why = "the disk failed earlier; nothing more is written until the daemon starts again";
            return Err(local(Kind::DiskIo, format!("failed to {doing}: {why}")));
        }
        let abandoned = writer.unfinished;
        if abandoned {
            // Fails when the transaction did end after all, which is as good.
            let _ = writer.conn.execute("ROLLBACK").await;
            writer.unfinished = false;
        }
        let mut tx = Tx { store: &self.inner, writer, doing };
        let begun = async {
            if abandoned {
                self.resync(&mut tx.writer.conn).await?; // it may have been committed unseen
            }
            tx.writer.unfinished = true;
            tx.writer.conn.execute("BEGIN IMMEDIATE").await?;
            Ok(())
        }
        .await;
        match begun {
            Ok(()) => Ok(tx),
            Err(fault) => Err(tx.fail(fault).await),
        }
    }

    /// Reads again what the writer keeps in memory.
    pub(super) async fn resync(&self, conn: &mut SqliteConnection) -> Result<(), Fault> {
        let snapshot = snapshot(conn).await?;
        self.install(snapshot);
        Ok(())
    }

    /// Replaces what the writer keeps in memory. Not `async`, so that a caller cannot be dropped between its
    /// commit and this.
    pub(super) fn install(&self, snapshot: Snapshot) {
        let mut live = self.inner.live();
        live.claims = snapshot.claims;
        (live.undelivered, live.put_aside) = (snapshot.undelivered, snapshot.put_aside);
        live.gaps_wanted |= snapshot.gaps_wanted;
        let passed = live.passed_by_all().unwrap_or(i64::MAX);
        live.recent.passed(passed);
        drop(live);
        self.inner.announce(snapshot.newest);
    }
}

/// What the database says about what [`super::Live`] keeps.
pub(super) struct Snapshot {
    newest: i64,
    claims: BTreeMap<String, i64>,
    undelivered: u64,
    put_aside: u64,
    gaps_wanted: bool,
}

pub(super) async fn snapshot(conn: &mut SqliteConnection) -> Result<Snapshot, Fault> {
    let claims: Vec<(String, i64)> =
        sqlx::query_as("SELECT name, seq FROM sink").fetch_all(&mut *conn).await?;
    let undelivered = undelivered(conn).await?;
    let put_aside = put_aside(conn).await?.iter().sum();
    let sql = "SELECT EXISTS (SELECT 1 FROM gap WHERE closed IS NULL AND wanted IS NOT NULL)";
    let gaps_wanted = sqlx::query_scalar(sql).fetch_one(&mut *conn).await?;
    let claims = claims.into_iter().collect();
    Ok(Snapshot { newest: newest(conn).await?, claims, undelivered, put_aside, gaps_wanted })
}

impl Tx<'_> {
    pub(super) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.writer.conn
    }

    /// Commits what went well and undoes what did not. The lock is held until `self` is dropped, so that the
    /// caller can publish the outcome in the order of commits.
    pub(super) async fn finish<T>(&mut self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        let committed = match outcome {
            Ok(value) => self.commit().await.map(|()| value),
            Err(fault) => Err(fault),
        };
        match committed {
            Ok(value) => {
                self.writer.unfinished = false;
                Ok(value)
            }
            Err(fault) => Err(self.fail(fault).await),
        }
    }

    /// What was put aside may have changed in any of them.
    async fn commit(&mut self) -> Result<(), Fault> {
        let [letters, quarantine] = put_aside(&mut self.writer.conn).await?;
        self.writer.conn.execute("COMMIT").await?;
        self.store.live().put_aside = letters.saturating_add(quarantine);
        Ok(())
    }

    async fn fail(&mut self, mut fault: Fault) -> Fault {
        let _ = self.writer.conn.execute("ROLLBACK").await; // fails when SQLite has done so already
        self.writer.unfinished = false;
        match fault.kind {
            Kind::DiskFull => ballast::release(self.store),
            Kind::DiskIo => self.writer.broken = true,
            _ => {}
        }
        fault.detail = crate::fault::one_line(&format!("failed to {}: {}", self.doing, fault.detail));
        fault
    }
}

/// Number of the newest chunk there ever was, deleted or not.
pub(super) async fn newest(conn: &mut SqliteConnection) -> Result<i64, Fault> {
    let sql = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'chunk'), 0)";
    Ok(sqlx::query_scalar(sql).fetch_one(conn).await?)
}

/// Bytes of chunks that some sink has not passed; zero without sinks.
pub(super) async fn undelivered(conn: &mut SqliteConnection) -> Result<u64, Fault> {
    let sql = "SELECT coalesce(sum(bytes), 0) FROM chunk WHERE seq > (SELECT min(seq) FROM sink)";
    Ok(count(sqlx::query_scalar(sql).fetch_one(conn).await?))
}

/// Bytes of dead letters and of the quarantine.
pub(super) async fn put_aside(conn: &mut SqliteConnection) -> Result<[u64; 2], Fault> {
    let sql = "SELECT (SELECT bytes FROM put_aside WHERE shelf = 'dead_letter'), \
               (SELECT bytes FROM put_aside WHERE shelf = 'quarantine')";
    let (letters, quarantine): (i64, i64) = sqlx::query_as(sql).fetch_one(conn).await?;
    Ok([count(letters), count(quarantine)])
}
