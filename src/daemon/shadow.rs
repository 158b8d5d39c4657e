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
use crate::cursor::{Cursor, FeedKey, Span};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{MAX_SHADOW_BYTES, SHADOW_EVERY};
use crate::mimecast::catalogue;
use crate::mimecast::position::Position;
use crate::scheduler::side::Side;
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
    /// What is still to be read again for late rows; older versions did not keep it.
    #[serde(default)]
    side: String,
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
    // positions first: of a page that is stored meanwhile the events count as waiting, and the position is before them
    let rows = store.feeds().await?;
    let waiting: BTreeMap<FeedKey, Time> = store.waiting_since().await?.into_iter().collect();
    let place = |row: crate::store::FeedRow| Place {
        waiting_since: waiting.get(&row.key).copied(),
        tenant: row.key.tenant,
        feed: row.key.feed.to_owned(),
        cursor: row.cursor.0,
        side: row.side.0,
        complete: row.complete,
    };
    let feeds = rows.into_iter().filter(|row| !row.cursor.is_unset()).map(place).collect();
    let failed = |error: std::io::Error| Fault::new(Origin::Local, Kind::DiskIo, error.to_string());
    let text = serde_json::to_string(&Shadow { written: now, feeds }).unwrap_or_default(); // plain fields
    let end = format!("\n{}\n", checksum(&text));
    if (text.len() + end.len()) as u64 > MAX_SHADOW_BYTES {
        let why =
            format!("{} bytes of positions; no more than {MAX_SHADOW_BYTES} could be read back", text.len());
        return Err(Fault::new(Origin::Local, Kind::DiskIo, why));
    }
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

/// `None`: there is none.
///
/// # Errors
/// It is there and cannot be used, in words: to begin as if it had never been would skip what happened meanwhile.
fn read(dir: &Path) -> Result<Option<Shadow>, String> {
    let file = dir.join(NAME);
    let length = match std::fs::metadata(&file) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if length > MAX_SHADOW_BYTES {
        return Err(format!("it has {length} bytes; the bound is {MAX_SHADOW_BYTES}"));
    }
    let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
    let sound = text.split_once('\n').filter(|(body, rest)| rest.trim() == checksum(body));
    let (body, _) = sound.ok_or("it is not as it was written: its checksum differs")?;
    serde_json::from_str(body).map(Some).map_err(|error| format!("this version cannot read it: {error}"))
}

/// Gives a store that is new the positions of the one before it. Says how many, for the log, and which it cannot read.
///
/// # Errors
/// The store's; or the file is there and cannot be used.
pub async fn take_up(store: &Store, dir: &Path, now: Time) -> Result<usize, Fault> {
    if !store.feeds().await?.is_empty() {
        return Ok(0);
    }
    let shadow = read(dir).map_err(|why| {
        let words = format!(
            "the store is new, and {} cannot be used: {why}. Put back a copy of the file; or move it away, and what \
             happened since one `lookback` before now is collected, nothing that is older",
            dir.join(NAME).display()
        );
        Fault::new(Origin::Local, Kind::Malformed, words)
    })?;
    let Some(shadow) = shadow else { return Ok(0) };
    let (mut places, mut unread) = (Vec::new(), Vec::new());
    for place in shadow.feeds {
        let cursor = Cursor(place.cursor);
        let known = catalogue::find(&place.feed).and_then(|feed| {
            let position = Position::open(feed, &cursor, now, feed.retention).ok()?;
            Some((feed, position))
        });
        let Some((feed, position)) = known else {
            unread.push(format!("{}/{}", place.tenant, place.feed));
            continue;
        };
        let (starts, to, complete) = match place.waiting_since {
            None => (position.starts_at(), cursor, place.complete),
            Some(since) => {
                // an event that does not say when it happened is older than its collecting, and pages come late
                let back = position.rewound(feed, since.minus(feed.overlap.max(LATE)), now);
                let complete = place.complete.map(|at| at.min(back.starts_at()));
                (back.starts_at(), back.cursor(), complete)
            }
        };
        let key = FeedKey { tenant: place.tenant, feed: feed.name };
        let side = Side::read(&Cursor(place.side)).set_by_hand(starts);
        let side = Span { from: Cursor::unset(), to: side.cursor() };
        places.push(Change { feed: key, from: Cursor::unset(), to, side, complete, gaps: Vec::new() });
    }
    if !unread.is_empty() {
        let words = format!(
            "{NAME} has positions that this version cannot read; these feeds begin one `lookback` back: {}",
            unread.join(", ")
        );
        Notice::Process(Process::ConfigWarning { words: &words }).emit();
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
            side: Span { from: Cursor::unset(), to: Cursor::unset() },
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
            side: String::new(),
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
            for place in read(dir.path()).unwrap().unwrap().feeds {
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
            side: String::new(),
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
    async fn a_file_that_is_not_as_it_was_written_is_neither_believed_nor_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let store = open(state.path()).await;
        assert_eq!(take_up(&store, dir.path(), NOW).await.unwrap(), 0, "there is none");
        let file = dir.path().join(NAME);
        let other = "{\"written\":1,\"places\":[]}";
        let other = format!("{other}\n{}\n", checksum(other));
        for text in ["", "{}\n", "{\"written\":1,\"feeds\":[]}\nabc\n", &other] {
            std::fs::write(&file, text).unwrap();
            let fault = take_up(&store, dir.path(), NOW).await.unwrap_err();
            assert!(fault.detail.contains("Put back a copy"), "{fault}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
        std::fs::File::create(&file).unwrap().set_len(MAX_SHADOW_BYTES + 1).unwrap();
        let fault = take_up(&store, dir.path(), NOW).await.unwrap_err();
        assert!(fault.detail.contains("the bound is"), "{fault}");
    }

    /// What the daily sweep has still to look at survives as the position does.
    #[tokio::test]
    async fn late_rows_are_looked_for_after_the_store_was_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let (old_dir, new_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let old = open(old_dir.path()).await;
        let key = FeedKey { tenant: "acme".into(), feed: "audit" };
        old.register_feed(&key).await.unwrap();
        let side = Side::read(&Cursor::unset()).set_by_hand(NOW.minus(HOUR * 40)).cursor();
        let to = Position::first(catalogue::find("audit").unwrap(), NOW, HOUR).cursor();
        let (from, side) = (Cursor::unset(), Span { from: Cursor::unset(), to: side });
        let change =
            Change { feed: key.clone(), from, to, side: side.clone(), complete: None, gaps: Vec::new() };
        assert!(old.set_position(&change).await.unwrap());
        write(&old, dir.path(), NOW).await.unwrap();
        let new = open(new_dir.path()).await;
        assert_eq!(take_up(&new, dir.path(), NOW).await.unwrap(), 1);
        assert_eq!(new.feed(&key).await.unwrap().side, side.to);
    }
}
