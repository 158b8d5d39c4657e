//! Is the file sound, and does it lie where SQLite can keep its promises? Looked at when the store is opened.

use std::path::Path;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::Store;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::limits::{QUICK_CHECK_STEPS, QUICK_CHECK_TIME};
use crate::setup_error::SetupError;

/// File systems on which locks, shared memory or syncs are somebody else's promise (statfs(2), linux/magic.h).
const NETWORK: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x5346_414F, "AFS"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x7375_7245, "Coda"),
    (0x564C, "NCP"),
];

/// Refuses a state directory on another machine's disk.
///
/// # Errors
/// Exit 78, with the name of the file system.
pub(super) fn refuse_network(dir: &Path) -> Result<(), SetupError> {
    let Ok(found) = rustix::fs::statfs(dir) else { return Ok(()) }; // opening the file will say what is wrong
    match network(found.f_type as u32) {
        None => Ok(()),
        Some(name) => Err(SetupError::config(format!(
            "{} is on {name}, a network file system: a lock or a sync there is not what it says, and the store could \
             be damaged; choose a state_dir on a local disk",
            dir.display()
        ))),
    }
}

fn network(magic: u32) -> Option<&'static str> {
    NETWORK.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

/// After a process that did not close the store: looks whether the database is sound, for at most
/// [`QUICK_CHECK_TIME`].
///
/// # Errors
/// It is damaged; says what to do.
pub(super) async fn check_after_crash(
    conn: &mut SqliteConnection,
    file: &Path,
    clock: &Clock,
) -> Result<(), SetupError> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'";
    let made: i64 = sqlx::query_scalar(sql).fetch_one(&mut *conn).await.map_err(|e| damaged(file, &e))?;
    if made == 0 {
        return Ok(());
    }
    let sql = "SELECT count(*) FROM meta WHERE name = 'open'";
    let open: i64 = sqlx::query_scalar(sql).fetch_one(&mut *conn).await.map_err(|e| damaged(file, &e))?;
    if open == 0 {
        return Ok(());
    }
    let (clock, end) = (clock.clone(), clock.now().plus(QUICK_CHECK_TIME));
    let mut handle = conn.lock_handle().await.map_err(|e| damaged(file, &e))?;
    handle.set_progress_handler(QUICK_CHECK_STEPS, move || clock.now() < end);
    drop(handle);
    let found: Result<Vec<String>, sqlx::Error> =
        sqlx::query_scalar(AssertSqlSafe("PRAGMA quick_check(1)")).fetch_all(&mut *conn).await;
    conn.lock_handle().await.map_err(|e| damaged(file, &e))?.remove_progress_handler();
    match found {
        Ok(lines) if lines.iter().all(|line| line == "ok") => Ok(()),
        Ok(lines) => Err(damaged(file, &lines.join("; "))),
        // the time is over: what was seen is sound, and every page is checked again when it is read
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("9") => Ok(()),
        Err(error) => Err(damaged(file, &error)),
    }
}

/// What to do about a damaged database.
pub(super) fn damaged(file: &Path, why: &dyn std::fmt::Display) -> SetupError {
    let shown = file.display();
    SetupError::failed(format!(
        "{shown} is damaged: {why}. Nothing was changed. Look for the cause first (dmesg, SMART, a full or failing \
         disk). Then move it aside, with {shown}-wal and {shown}-shm (never delete it: undelivered events may be \
         saved from it), and start again: collecting goes on at the positions kept in cursors.shadow beside it, from \
         before the oldest undelivered event, so nothing that Mimecast still keeps is lost; events may arrive twice, \
         under the same ids"
    ))
}

/// From now on the store is in use; a process that ends without [`Store::close`] leaves the mark.
pub(super) async fn mark_open(conn: &mut SqliteConnection) -> Result<(), Fault> {
    let sql = "INSERT INTO meta (name, value) VALUES ('open', X'01') ON CONFLICT DO NOTHING";
    sqlx::query(sql).execute(conn).await?;
    Ok(())
}

impl Store {
    /// Notes that the store is left in good order, so that the next start need not check it. Nothing may be written
    /// afterwards.
    ///
    /// # Errors
    /// The database cannot be written: the next start will check it.
    pub async fn close(&self) -> Result<(), Fault> {
        let mut tx = self.begin("close the store").await?;
        let done = sqlx::query("DELETE FROM meta WHERE name = 'open'").execute(tx.conn()).await;
        tx.finish(done.map(|_| ()).map_err(Fault::from)).await
    }

    /// Whether the last process that used the store has ended in good order: then none uses it now.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn is_closed(&self) -> Result<bool, Fault> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM meta WHERE name = 'open')";
        let mut conn = self.inner.status.lock().await;
        Ok(sqlx::query_scalar(sql).fetch_one(&mut *conn).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;
    use crate::store::fixture::{intake, key, open, options};

    #[test]
    fn disks_of_other_machines_are_known() {
        assert_eq!((network(0x6969), network(0xFF53_4D42)), (Some("NFS"), Some("CIFS")));
        for local in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994] {
            assert_eq!(network(local), None, "ext4, xfs, btrfs, tmpfs");
        }
    }

    /// Overwrites the middle of a store of some size, as a failing disk would.
    fn spoil(file: &Path) {
        let mut file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
        let len = file.metadata().unwrap().len();
        assert!(len > 8 * 16_384, "{len}");
        for page in 2..(len / 16_384) {
            file.seek(SeekFrom::Start(page * 16_384)).unwrap();
            file.write_all(&[0xA5; 4_096]).unwrap();
        }
    }

    #[tokio::test]
    async fn a_store_left_open_is_checked_and_damage_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        store.register_feed(&key("audit")).await.unwrap();
        store.commit(intake(&key("audit"), "", "c1", &["a"])).await.unwrap();
        store.sweep().await.unwrap();
        drop(store); // not closed
        let store = open(dir.path()).await;
        assert!(!store.is_closed().await.unwrap());
        store.close().await.unwrap();
        assert!(store.is_closed().await.unwrap());
        drop(store);
        let store = open(dir.path()).await; // closed well: nothing to check
        drop(store);
        let file = dir.path().join("store.db");
        let mut conn =
            sqlx::ConnectOptions::connect(&sqlx::sqlite::SqliteConnectOptions::new().filename(&file))
                .await
                .unwrap();
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut conn).await.unwrap();
        sqlx::Connection::close(conn).await.unwrap();
        spoil(&file);
        let before = std::fs::read(&file).unwrap();
        let Err(refused) = Store::open(dir.path(), &options(&Clock::System)).await else { panic!("opened") };
        for word in ["damaged", "move it aside", "cursors.shadow"] {
            assert!(refused.message.contains(word), "{word}: {refused}");
        }
        assert_eq!(std::fs::read(&file).unwrap(), before, "evidence is not touched");
    }
}
