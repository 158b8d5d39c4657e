//! Who may open what.

use std::fs;
use std::os::unix::fs::MetadataExt;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::fixture::{assert_balanced, deliver_texts, intake, key, open, options, scalar};
use super::{Start, Store};
use crate::clock::{Clock, Time};
use crate::fault::Kind;
use crate::setup_error::ExitCode;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[tokio::test]
async fn files_are_for_the_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("new/state");
    let store = open(&state).await;
    store.register_feed(&key("audit")).await.unwrap();
    store.sweep().await.unwrap();
    assert_eq!(mode(&state) & 0o767, 0o700, "the group may pass, nobody else may do anything");
    for name in ["store.db", "store.db-wal", "store.db-shm", "store.lock", "ballast"] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn one_daemon_per_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let Err(refused) = Store::open(dir.path(), &options(&Clock::System)).await else {
        panic!("opened twice")
    };
    assert_eq!(refused.exit, ExitCode::TryLater);
    assert!(refused.message.contains(&format!("process {}", std::process::id())), "{refused}");
    drop(store);
    open(dir.path()).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).await);
    let file = dir.path().join("store.db");
    let mut conn = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    let sql = "INSERT INTO _sqlx_migrations SELECT 9999, 'later', installed_on, true, checksum, 0 FROM _sqlx_migrations LIMIT 1";
    sqlx::query(sql).execute(&mut conn).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let before = fs::read(&file).unwrap();
    let Err(refused) = Store::open(dir.path(), &options(&Clock::System)).await else { panic!("opened") };
    assert_eq!(refused.exit, ExitCode::Configuration);
    assert!(refused.message.contains("9999"), "{refused}");
    let Err(refused) = Store::open_read_only(dir.path()).await else { panic!("opened") };
    assert_eq!(refused.exit, ExitCode::Configuration);
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn something_else_under_that_name_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store.db");
    let text = b"these are somebody's notes, and no database at all\n".repeat(100);
    fs::write(&file, &text).unwrap();
    let Err(refused) = Store::open(dir.path(), &options(&Clock::System)).await else { panic!("opened") };
    assert_eq!(refused.exit, ExitCode::Failed);
    assert!(refused.message.contains("store.db") && refused.message.contains("move it aside"), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), text);
}

#[tokio::test]
async fn status_reads_beside_the_daemon_and_after_it() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Store::open_read_only(dir.path()).await.err().unwrap().exit, ExitCode::Failed);
    let store = open(dir.path()).await;
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("siem", Start::Oldest).await.unwrap();
    store.commit(intake(&key("audit"), "", "c1", &["a", "b"])).await.unwrap();
    let mut keep = Some(store);
    for running in [true, false] {
        if !running {
            keep = None;
        }
        let look = Store::open_read_only(dir.path()).await.unwrap();
        assert_balanced(&look).await;
        assert_eq!(look.feeds().await.unwrap()[0].stored, 2);
        assert_eq!(look.usage().await.unwrap().sinks[0].events_waiting, 2);
        assert_eq!(look.next_chunk(0).await.unwrap().unwrap().chunk.records.len(), 2);
        assert_eq!(*look.newest().borrow(), 1);
        let refused = look.commit(intake(&key("audit"), "c1", "c2", &["c"])).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Busy, "{refused}");
    }
    assert!(keep.is_none());
    let store = open(dir.path()).await;
    assert_eq!(deliver_texts(&store, "siem").await, ["a", "b"]);
}

#[tokio::test]
async fn settings_that_promises_rest_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut tx = store.begin("look").await.unwrap();
    for (pragma, wanted) in [
        ("PRAGMA synchronous", 2),
        ("PRAGMA foreign_keys", 1),
        ("PRAGMA trusted_schema", 0),
        ("PRAGMA cell_size_check", 1),
        ("PRAGMA auto_vacuum", 2),
        ("PRAGMA mmap_size", 0),
        ("PRAGMA journal_size_limit", 64 << 20),
        ("PRAGMA busy_timeout", 5_000),
        ("PRAGMA page_size", 16 << 10),
        ("PRAGMA wal_autocheckpoint", 256),
    ] {
        let value: i64 = sqlx::query_scalar(pragma).fetch_one(tx.conn()).await.unwrap();
        assert_eq!(value, wanted, "{pragma}");
    }
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(tx.conn()).await.unwrap();
    assert_eq!(journal, "wal");
}

#[tokio::test]
async fn the_salt_and_the_states_of_others_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let salt = store.salt().to_vec();
    assert_eq!(salt.len(), 32);
    assert_ne!(salt, open(other.path()).await.salt());
    let feeds = [key("audit"), key("ttp.url")];
    let begun = store.begin_feeds(&feeds).await.unwrap();
    assert!(begun.iter().all(|(row, state)| row.cursor.is_unset() && state.is_none()));
    assert_eq!(begun.iter().map(|(row, _)| row.key.clone()).collect::<Vec<_>>(), feeds);
    assert_eq!(store.load_gate("acme").await.unwrap(), None);
    store.save_gate("acme", "{\"locked\":1}").await.unwrap();
    store.save_gate("unmet", "{}").await.unwrap();
    store.save_feed_state(&key("audit"), "{\"halted\":true}").await.unwrap();
    assert_eq!(store.save_feed_state(&key("dlp"), "{}").await.unwrap_err().kind, Kind::Conflict);
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(store.salt(), salt);
    assert_eq!(store.load_gate("acme").await.unwrap().unwrap().text, "{\"locked\":1}");
    assert_eq!(store.load_gate("unmet").await.unwrap().unwrap().text, "{}");
    let begun = store.begin_feeds(&feeds).await.unwrap();
    let states = begun.into_iter().map(|(_, state)| state.map(|saved| saved.text)).collect::<Vec<_>>();
    assert_eq!(states, [Some("{\"halted\":true}".to_owned()), None]);
}

#[tokio::test]
async fn registering_a_feed_again_leaves_it_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    assert!(store.register_feed(&key("audit")).await.unwrap().cursor.is_unset());
    store.commit(intake(&key("audit"), "", "c1", &["a"])).await.unwrap();
    let again = store.register_feed(&key("audit")).await.unwrap();
    assert_eq!((again.cursor.0.as_str(), again.stored, again.cursor_updated), ("c1", 1, Some(Time(5_000))));
    assert_eq!(store.feed(&key("dlp")).await.unwrap_err().kind, Kind::Conflict);
    assert_eq!(store.feeds().await.unwrap(), [again]);
    assert_eq!(scalar(&store, "SELECT count(*) FROM tenant").await, 1);
}
