//! Small writes share a transaction, and nobody loses by it.

use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::fixture::{intake, open};
use super::*;
use crate::clock::Time;
use crate::cursor::{Cursor, FeedKey};
use crate::fault::{Fault, Kind};

const FEEDS: usize = 20;

fn key(n: usize) -> FeedKey {
    FeedKey { tenant: format!("t{n}"), feed: "audit" }
}

/// A store with so many feeds.
async fn store(dir: &Path) -> Store {
    let store = open(dir).await;
    store.begin_feeds(&(0..FEEDS).map(key).collect::<Vec<_>>()).await.unwrap();
    store
}

/// Transactions that lie in the WAL: frames that say how large the database is after them (sqlite.org/fileformat.html#walformat).
fn commits(dir: &Path) -> usize {
    let wal = std::fs::read(dir.join("store.db-wal")).unwrap();
    let page = u32::from_be_bytes(wal[8..12].try_into().unwrap()) as usize;
    wal[32..].chunks_exact(24 + page).filter(|frame| frame[4..8] != [0; 4]).count()
}

async fn complete(store: &Store, n: usize) -> Option<Time> {
    store.feed(&key(n)).await.unwrap().complete
}

#[tokio::test]
async fn what_waits_at_the_same_moment_is_one_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path()).await;
    let before = commits(dir.path());
    let busy = store.begin("be busy").await.unwrap();
    let mut notes = Box::pin(join_all((0..FEEDS).map(|n| {
        let store = &store;
        async move { store.note_complete(&key(n), &Cursor::unset(), Time(n as i64 + 1)).await }
    })));
    assert!((&mut notes).now_or_never().is_none(), "the writer is busy");
    drop(busy);
    assert!(notes.await.iter().all(Result::is_ok));
    for n in 0..FEEDS {
        assert_eq!(complete(&store, n).await, Some(Time(n as i64 + 1)));
    }
    assert_eq!(commits(dir.path()) - before, 1);
}

/// One that the store refuses is refused alone.
#[tokio::test]
async fn a_conflict_is_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path()).await;
    let busy = store.begin("be busy").await.unwrap();
    let (first, last, begin) = (key(0), key(FEEDS - 1), Cursor::unset());
    let stale = intake(&key(1), "elsewhere", "further", &[] as &[&str]);
    let unknown = FeedKey { tenant: "nobody".into(), feed: "audit" };
    let mut notes = Box::pin(async {
        tokio::join!(
            store.note_complete(&first, &begin, Time(1)),
            store.commit(stale),
            store.save_feed_state(&unknown, "text"),
            store.note_complete(&last, &begin, Time(2)),
        )
    });
    assert!((&mut notes).now_or_never().is_none(), "the writer is busy");
    drop(busy);
    let (one, moved, state, two) = notes.await;
    let kind = |fault: Fault| fault.kind;
    assert_eq!((one.is_ok(), two.is_ok()), (true, true));
    assert_eq!(moved.map(drop).map_err(kind), Err(Kind::Conflict));
    assert_eq!(state.map_err(kind), Err(Kind::Conflict));
    assert_eq!(complete(&store, 0).await, Some(Time(1)));
    assert_eq!(complete(&store, FEEDS - 1).await, Some(Time(2)));
    assert_eq!(store.feed(&key(1)).await.unwrap().cursor, Cursor::unset());
}

/// The one who writes for all may be dropped at any moment: the others write themselves.
#[tokio::test]
async fn who_is_dropped_takes_nobody_along() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path()).await;
    for polls in 1..60 {
        let at = Time(polls);
        let busy = store.begin("be busy").await.unwrap();
        let keys: Vec<FeedKey> = (0..FEEDS).map(key).collect();
        let begin = Cursor::unset();
        let mut all: Vec<_> = keys.iter().map(|key| Box::pin(store.note_complete(key, &begin, at))).collect();
        for note in &mut all {
            assert!(note.now_or_never().is_none(), "the writer is busy");
        }
        drop(busy);
        let mut first = all.remove(0);
        for _ in 0..polls {
            if (&mut first).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
            std::thread::yield_now();
        }
        drop(first);
        let rest = tokio::time::timeout(Duration::from_secs(60), join_all(all)).await;
        assert!(rest.expect("nobody waits for ever").iter().all(Result::is_ok));
        for n in 1..FEEDS {
            assert_eq!(complete(&store, n).await, Some(at), "after {polls} looks");
        }
    }
}
