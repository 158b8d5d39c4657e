//! The positions of all feeds in a small file beside the store, written every few minutes: when the store is damaged
//! and moved aside, collecting goes on from here. With the store went the events that were not delivered yet, so a
//! feed that had some begins before the oldest of them; what arrives twice has the same ids.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use crate::clock::Time;
use crate::cursor::{Cursor, FeedKey};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{MAX_SHADOW_BYTES, SHADOW_EVERY};
use crate::mimecast::catalogue;
use crate::mimecast::position::Position;
use crate::store::{Change, Store};
use crate::telemetry::notice::{Notice, Process};
use crate::telemetry::pulse;

const NAME: &str = "cursors.shadow";

/// What the file holds before its checksum.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shadow {
    written: Time,
    feeds: Vec<Place>,
}

/// One feed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    tenant: String,
    feed: String,
    cursor: String,
    complete: Option<Time>,
    /// When the oldest event happened (or was collected) that some sink has not got; `None`: all are delivered.
    waiting_since: Option<Time>,
}

/// Writes the file from time to time; the daemon writes it once more when it stops.
pub async fn keep(board: Arc<Board>, dir: PathBuf, stop: CancellationToken) {
    loop {
        pulse::promise(SHADOW_EVERY);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SHADOW_EVERY) => {}
        }
        if let Err(fault) = write(&board.store, &dir, board.clock.now()).await {
            let words =
                format!("failed to write {NAME}: {fault}; after a damage to the store more is read again");
            Notice::Process(Process::ConfigWarning { words: &words }).emit();
        }
    }
}

/// Writes the file, all or nothing.
///
/// # Errors
/// The store's, or the directory's.
pub async fn write(store: &Store, dir: &Path, now: Time) -> Result<(), Fault> {
    let waiting: BTreeMap<FeedKey, Time> = store.waiting_since().await?.into_iter().collect();
    let place = |row: crate::store::FeedRow| Place {
        waiting_since: waiting.get(&row.key).copied(),
        tenant: row.key.tenant,
        feed: row.key.feed.to_owned(),
        cursor: row.cursor.0,
        complete: row.complete,
    };
    let feeds = store.feeds().await?.into_iter().filter(|row| !row.cursor.is_unset()).map(place).collect();
    let failed = |error: std::io::Error| Fault::new(Origin::Local, Kind::DiskIo, error.to_string());
    let text = serde_json::to_string(&Shadow { written: now, feeds }).unwrap_or_default(); // plain fields
    let end = format!("\n{}\n", checksum(&text));
    let unfinished = dir.join(format!(".{NAME}"));
    let put = || {
        let open = std::fs::OpenOptions::new();
        let mut file = { open }.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.write_all(end.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, dir.join(NAME))
    };
    put().map_err(failed)
}

fn checksum(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `None`: there is none, or it is not as it was written.
fn read(dir: &Path) -> Option<Shadow> {
    let file = dir.join(NAME);
    let fits = std::fs::metadata(&file).is_ok_and(|meta| meta.len() <= MAX_SHADOW_BYTES);
    let text = fits.then(|| std::fs::read_to_string(&file).ok())??;
    let (body, rest) = text.split_once('\n')?;
    (rest.trim() == checksum(body)).then(|| serde_json::from_str(body).ok())?
}

/// Gives a store that is new the positions of the one before it. Says how many, for the log.
///
/// # Errors
/// The store's.
pub async fn take_up(store: &Store, dir: &Path, now: Time) -> Result<usize, Fault> {
    if !store.feeds().await?.is_empty() {
        return Ok(0);
    }
    let Some(shadow) = read(dir) else { return Ok(0) };
    let mut places = Vec::new();
    for place in shadow.feeds {
        let Some(feed) = catalogue::find(&place.feed) else { continue };
        let cursor = Cursor(place.cursor);
        let Ok(position) = Position::open(feed, &cursor, now, feed.retention) else { continue };
        let (to, complete) = match place.waiting_since {
            None => (cursor, place.complete),
            Some(since) => {
                // an event that does not say when it happened is older than its collecting, and pages come late
                let back = position.rewound(feed, since.minus(feed.overlap.max(LATE)), now);
                let complete = place.complete.map(|at| at.min(back.starts_at()));
                (back.cursor(), complete)
            }
        };
        let key = FeedKey { tenant: place.tenant, feed: feed.name };
        places.push(Change { feed: key, from: Cursor::unset(), to, complete, gaps: Vec::new() });
    }
    let taken = places.len();
    if taken > 0 {
        store.adopt(&places).await?;
        let words = format!(
            "the store is new; {taken} feeds go on at the positions that {NAME} kept at {}. Events that were not \
             delivered from the old store are collected again, as far as Mimecast keeps them",
            shadow.written.rfc3339()
        );
        Notice::Process(Process::ConfigWarning { words: &words }).emit();
    }
    Ok(taken)
}

/// Files appear about a quarter of an hour after their events (mimecast-api.md §2.5); four times that.
const LATE: std::time::Duration = std::time::Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;
    use crate::clock::Clock;
    use crate::store::{Options, Start};

    const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
    const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

    async fn open(dir: &Path) -> Store {
        let options = Options::new(1 << 30, HOUR, Clock::manual(NOW));
        Store::open(dir, &Options { ballast: 0, ..options }).await.unwrap()
    }

    async fn set(store: &Store, key: &FeedKey, position: &Position) {
        store.register_feed(key).await.unwrap();
        let change = Change {
            feed: key.clone(),
            from: Cursor::unset(),
            to: position.cursor(),
            complete: Some(NOW.minus(HOUR)),
            gaps: Vec::new(),
        };
        assert!(store.set_position(&change).await.unwrap());
    }

    #[tokio::test]
    async fn a_new_store_goes_on_where_the_old_one_was() {
        let (old_dir, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let old = open(old_dir.path()).await;
        let key = |feed: &'static str| FeedKey { tenant: "acme".into(), feed };
        let (audit, av) = (catalogue::find("audit").unwrap(), catalogue::find("siem.av").unwrap());
        set(&old, &key("audit"), &Position::first(audit, NOW, HOUR)).await;
        set(&old, &key("siem.av"), &Position::first(av, NOW, HOUR).forward("t", true, NOW)).await;
        old.register_sink("siem", Start::Oldest).await.unwrap();
        write(&old, dir.path(), NOW).await.unwrap();
        let new = open(dir.path()).await;
        assert_eq!(take_up(&new, dir.path(), NOW).await.unwrap(), 2);
        for row in old.feeds().await.unwrap() {
            let taken = new.feed(&row.key).await.unwrap();
            assert_eq!((taken.cursor, taken.complete), (row.cursor, row.complete));
        }
        assert_eq!(take_up(&new, dir.path(), NOW).await.unwrap(), 0, "a store with feeds keeps its own");
    }

    /// A start that is killed while it takes the positions up: the next one finds all of them or none.
    #[tokio::test]
    async fn a_start_that_breaks_off_leaves_no_feed_behind() {
        let dir = tempfile::tempdir().unwrap();
        let row = |feed: &str| Place {
            tenant: "acme".into(),
            feed: feed.into(),
            cursor: Position::first(catalogue::find(feed).unwrap(), NOW.minus(HOUR * 30), HOUR).cursor().0,
            complete: Some(NOW.minus(HOUR * 30)),
            waiting_since: None,
        };
        let feeds: Vec<Place> = ["audit", "dlp", "siem.av"].into_iter().map(row).collect();
        let text = serde_json::to_string(&Shadow { written: NOW, feeds }).unwrap();
        std::fs::write(dir.path().join(NAME), format!("{text}\n{}\n", checksum(&text))).unwrap();
        for polls in 1.. {
            let state = tempfile::tempdir().unwrap();
            let store = open(state.path()).await;
            let mut starting = Box::pin(take_up(&store, dir.path(), NOW));
            let mut left = polls;
            let done = std::future::poll_fn(|cx| match starting.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => {
                    left -= 1;
                    Poll::Pending
                }
            });
            let done = done.await;
            drop(starting);
            take_up(&store, dir.path(), NOW).await.unwrap();
            let kept = store.feeds().await.unwrap();
            assert_eq!(kept.len(), 3, "broken off after {polls} polls");
            for place in read(dir.path()).unwrap().feeds {
                let taken = kept.iter().find(|kept| kept.key.feed == place.feed).unwrap();
                assert_eq!((&taken.cursor.0, taken.complete), (&place.cursor, place.complete));
            }
            if let Some(done) = done {
                assert_eq!(done.unwrap(), 3);
                break;
            }
        }
    }

    #[tokio::test]
    async fn a_feed_with_undelivered_events_begins_before_the_oldest_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let feed = catalogue::find("audit").unwrap();
        let place = Place {
            tenant: "acme".into(),
            feed: "audit".into(),
            cursor: Position::first(feed, NOW, HOUR).cursor().0,
            complete: Some(NOW),
            waiting_since: Some(NOW.minus(HOUR * 30)),
        };
        let text = serde_json::to_string(&Shadow { written: NOW, feeds: vec![place] }).unwrap();
        let file = dir.path().join(NAME);
        std::fs::write(&file, format!("{text}\n{}\n", checksum(&text))).unwrap();
        let store = open(dir.path()).await;
        assert_eq!(take_up(&store, dir.path(), NOW).await.unwrap(), 1);
        let row = store.feeds().await.unwrap().remove(0);
        let position = Position::open(feed, &row.cursor, NOW, HOUR).unwrap();
        assert_eq!(position.starts_at(), NOW.minus(HOUR * 31));
    }

    #[tokio::test]
    async fn a_file_that_is_not_as_it_was_written_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(NAME);
        for text in ["", "{}\n", "{\"written\":1,\"feeds\":[]}\nabc\n"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read(dir.path()), None, "{text:?}");
        }
    }
}
