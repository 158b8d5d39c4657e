//! Opening: who may, which file, which schema, which SQLite.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::fs::Access;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::watch;

use super::writer::Writer;
use super::{Inner, Live, Store, ballast, health};
use crate::clock::Clock;
use crate::fault::Fault;
use crate::limits::{
    BALLAST_BYTES, BUSY_TIMEOUT, LOCK_LOOK_EVERY, LOCK_LOOKS, STORE_CHECKPOINT_PAGES, STORE_JOURNAL_BYTES,
    STORE_PAGE_BYTES, STORE_PAGE_CACHE_KIB,
};
use crate::setup_error::{ExitCode, SetupError};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Older ones can damage a database that two connections checkpoint at once (reliability.md §0 finding 4).
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];

/// How the store is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Undelivered bytes at which collection pauses; [`Store::limit`] changes it.
    pub max_size: u64,
    /// How long delivered events are kept; [`Store::limit`] changes it.
    pub retention: Duration,
    pub clock: Clock,
    /// Size of the ballast file, bytes.
    pub ballast: u64,
}

impl Options {
    /// With the usual ballast.
    pub fn new(max_size: u64, retention: Duration, clock: Clock) -> Self {
        Options { max_size, retention, clock, ballast: BALLAST_BYTES }
    }
}

impl Store {
    /// Opens the store in `dir` for the daemon, creating what is missing and deleting staged left-overs.
    ///
    /// # Errors
    /// Exit 75: another process has it open (the message names it). Exit 78: its schema is newer than this
    /// program (nothing is touched). Exit 1: anything else.
    pub async fn open(dir: &Path, options: &Options) -> Result<Store, SetupError> {
        create_dir(dir)?;
        health::refuse_network(dir)?;
        let lock = lock(dir).await?;
        ballast::make_room(dir);
        let file = dir.join("store.db");
        create_file(&file)?;
        look_before_writing(&file, &options.clock).await?;
        let mut writer = connect(&file, writing(&file)).await?;
        MIGRATIONS.run(&mut writer).await.map_err(|error| migration_failed(&file, &error))?;
        sweep_staged(&mut writer).await.map_err(|fault| unusable(&file, &fault.detail))?;
        health::mark_open(&mut writer).await.map_err(|fault| unusable(&file, &fault.detail))?;
        let salt = salt(&mut writer, &file).await?;
        let store = assemble(dir, options, salt, Some(Writer::new(writer)), Some(lock)).await?;
        store.load_live().await.map_err(|fault| unusable(&file, &fault.detail))?;
        if ballast::was_released(dir) {
            store.inner.live().disk_full = Some(ballast::needed(dir, options.ballast));
        }
        Ok(store)
    }

    /// Opens the store for looking at it, beside a running daemon or without one. Everything that writes
    /// fails.
    ///
    /// # Errors
    /// Exit 78: its schema is not that of this program. Exit 1: there is no store, or it cannot be read.
    pub async fn open_read_only(dir: &Path) -> Result<Store, SetupError> {
        look(dir, Access::READ_OK)?;
        let file = dir.join("store.db");
        let mut conn = connect(&file, reading(&file)).await?;
        check_sqlite(&mut conn).await?;
        let version = schema_version(&mut conn).await.map_err(|error| unusable(&file, &error))?;
        if version != latest() {
            return Err(other_schema(&file, version));
        }
        let salt = salt(&mut conn, &file).await?;
        let options = Options { ballast: 0, ..Options::new(u64::MAX, Duration::MAX, Clock::System) };
        let store = assemble(dir, &options, salt, None, None).await?;
        store.load_live().await.map_err(|fault| unusable(&file, &fault.detail))?;
        Ok(store)
    }

    /// Whether there is a store in `dir`, which need not be one for us to read.
    ///
    /// # Errors
    /// There is none yet; exit 77: we may not even look.
    pub fn is_there(dir: &Path) -> Result<(), SetupError> {
        look(dir, Access::EXISTS)
    }

    async fn load_live(&self) -> Result<(), Fault> {
        let mut conn = self.inner.status.lock().await;
        self.resync(&mut conn).await
    }
}

fn look(dir: &Path, access: Access) -> Result<(), SetupError> {
    let file = dir.join("store.db");
    rustix::fs::access(&file, access).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => SetupError::failed(format!(
            "there is no {} yet; it is created when the daemon runs for the first time",
            file.display()
        )),
        _ => refused("read", &file, &error.into()),
    })
}

/// What somebody else's state directory says to us.
fn refused(what: &str, file: &Path, error: &io::Error) -> SetupError {
    let text = format!("failed to {what} {}: {error}", file.display());
    if error.kind() != io::ErrorKind::PermissionDenied {
        return SetupError::failed(text);
    }
    let advice = "run this as root or as the daemon's user (`sudo -u mimecollectd mimecollectd …`)";
    SetupError::new(ExitCode::Permission, format!("{text}; {advice}"))
}

async fn assemble(
    dir: &Path,
    options: &Options,
    salt: Vec<u8>,
    writer: Option<Writer>,
    lock: Option<File>,
) -> Result<Store, SetupError> {
    let file = dir.join("store.db");
    let live = Live { max_size: options.max_size, retention: options.retention, ..Live::default() };
    let inner = Inner {
        dir: dir.to_owned(),
        clock: options.clock.clone(),
        ballast: options.ballast,
        writer: writer.map(tokio::sync::Mutex::new),
        courier: tokio::sync::Mutex::new(connect(&file, reading(&file)).await?),
        status: tokio::sync::Mutex::new(connect(&file, reading(&file)).await?),
        sums: tokio::sync::Mutex::new(connect(&file, reading(&file)).await?),
        live: Mutex::new(live),
        notes: Mutex::default(),
        newest: watch::Sender::new(0),
        taken: tokio::sync::Notify::new(),
        salt,
        _lock: lock,
    };
    Ok(Store { inner: Arc::new(inner) })
}

/// As the unit's `StateDirectoryMode=`: the group may pass through to where requests are left, and read nothing.
fn create_dir(dir: &Path) -> Result<(), SetupError> {
    let made = DirBuilder::new().recursive(true).mode(0o710).create(dir);
    made.map_err(|error| refused("create the directory", dir, &error))
}

/// Created here rather than by SQLite for its mode; the WAL and its index take theirs from it.
fn create_file(file: &Path) -> Result<(), SetupError> {
    let made = OpenOptions::new().append(true).create(true).mode(0o600).open(file);
    made.map(|_| ()).map_err(|error| unusable(file, &error))
}

/// One daemon per store. The lock goes with the process, however it ends. A store that this very process has just
/// closed may still be locked for a moment, by a child that is being started and shares the lock until its own
/// program is loaded: it is waited for.
async fn lock(dir: &Path) -> Result<File, SetupError> {
    let ours = format!("process {};", std::process::id());
    for _ in 0..LOCK_LOOKS {
        match lock_once(dir) {
            Err(refused) if refused.message.contains(&ours) => tokio::time::sleep(LOCK_LOOK_EVERY).await,
            outcome => return outcome,
        }
    }
    lock_once(dir)
}

fn lock_once(dir: &Path) -> Result<File, SetupError> {
    let path = dir.join("store.lock");
    let failed = |error: io::Error| refused("lock", &path, &error);
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = open.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = Read::by_ref(&mut file).take(32).read_to_string(&mut pid); // unreadable: we still know enough to refuse
            let pid = pid.trim().parse::<u32>();
            let holder = pid.map_or("another process".into(), |pid| format!("process {pid}"));
            let text = format!(
                "{} is in use by {holder}; stop it or give this one its own state_dir",
                dir.display()
            );
            return Err(SetupError::new(ExitCode::TryLater, text));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{}", std::process::id())
    };
    match write(&mut file) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(file), // the number is for people only
        written => written.map(|()| file).map_err(failed),
    }
}

fn common(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("mmap_size", "0")
        .disable_statement_logging()
}

fn writing(file: &Path) -> SqliteConnectOptions {
    common(file)
        .thread_name(|_| "store-writer".into())
        .page_size(STORE_PAGE_BYTES) // this and the next count only while the file is empty
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", STORE_JOURNAL_BYTES.to_string())
        .pragma("wal_autocheckpoint", STORE_CHECKPOINT_PAGES.to_string())
        .pragma("cache_size", format!("-{STORE_PAGE_CACHE_KIB}"))
        .pragma("temp_store", "MEMORY")
}

fn reading(file: &Path) -> SqliteConnectOptions {
    common(file)
        .thread_name(|_| "store-reader".into())
        .read_only(true)
        .pragma("cache_size", format!("-{}", STORE_PAGE_CACHE_KIB / 8))
        .pragma("temp_store", "MEMORY")
}

async fn connect(file: &Path, options: SqliteConnectOptions) -> Result<SqliteConnection, SetupError> {
    options.connect().await.map_err(|error| unusable(file, &error))
}

fn unusable(file: &Path, why: &dyn std::fmt::Display) -> SetupError {
    let said = why.to_string();
    if said.contains("malformed") || said.contains("not a database") {
        return health::damaged(file, why);
    }
    let hint = match fs::metadata(file) {
        Err(_) => "check that the directory exists and belongs to this user",
        Ok(_) => {
            "check its owner, its mode and the disk; if the file is damaged, move it aside (never delete it)"
        }
    };
    SetupError::failed(format!("failed to use {}: {why}; {hint}", file.display()))
}

fn latest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// 0 for a database without our tables.
async fn schema_version(conn: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    if sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *conn).await? == 0 {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations").fetch_one(conn).await
}

/// Looks before anything is changed, on a connection that could not change it: one that writes would put into the file,
/// when it is closed, what lies in the WAL beside it.
async fn look_before_writing(file: &Path, clock: &Clock) -> Result<(), SetupError> {
    let mut conn = connect(file, reading(file)).await?;
    let version = schema_version(&mut conn).await.map_err(|error| unusable(file, &error))?;
    if version > latest() {
        return Err(other_schema(file, version));
    }
    check_sqlite(&mut conn).await?;
    health::check_after_crash(&mut conn, file, clock).await?;
    sqlx::Connection::close(conn).await.map_err(|error| unusable(file, &error))
}

fn other_schema(file: &Path, version: i64) -> SetupError {
    let (file, known) = (file.display(), latest());
    SetupError::config(if version > known {
        format!(
            "{file} has schema {version}, this program knows up to {known}; run the newer program (nothing was changed)"
        )
    } else {
        format!(
            "{file} has schema {version}, this program needs {known}; start the daemon once to bring it up to date"
        )
    })
}

fn migration_failed(file: &Path, error: &MigrateError) -> SetupError {
    match error {
        MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
            other_schema(file, *version)
        }
        MigrateError::VersionMismatch(version) => {
            let text = format!(
                "schema {version} of {} was made by a different build of this program",
                file.display()
            );
            SetupError::config(format!("{text}; use the build that made it (nothing was changed)"))
        }
        other => unusable(file, other),
    }
}

async fn check_sqlite(conn: &mut SqliteConnection) -> Result<(), SetupError> {
    let failed =
        |error: sqlx::Error| SetupError::failed(format!("failed to ask SQLite for its version: {error}"));
    let text: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(conn).await.map_err(failed)?;
    let version: Vec<u32> = text.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    if version.as_slice() < OLDEST_SQLITE.as_slice() {
        let text = format!("SQLite {text} can damage the store; build with 3.51.3 or later");
        return Err(SetupError::failed(text));
    }
    Ok(())
}

async fn salt(conn: &mut SqliteConnection, file: &Path) -> Result<Vec<u8>, SetupError> {
    let query = sqlx::query_scalar("SELECT value FROM meta WHERE name = 'salt'");
    query.fetch_one(conn).await.map_err(|error| unusable(file, &error))
}

/// Parts of files whose reading was cut off: the file will be read again from its start.
async fn sweep_staged(conn: &mut SqliteConnection) -> Result<(), Fault> {
    let bodies: Vec<i64> = sqlx::query_scalar("SELECT body FROM staged").fetch_all(&mut *conn).await?;
    for body in bodies {
        // one by one, so that a start that is cut off has done a part of it
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *conn).await?;
        sqlx::query("DELETE FROM staged WHERE body = ?1").bind(body).execute(&mut *conn).await?;
        sqlx::query("DELETE FROM body WHERE id = ?1").bind(body).execute(&mut *conn).await?;
        sqlx::query("COMMIT").execute(&mut *conn).await?;
    }
    Ok(())
}
