//! Between SQLite and the vocabulary: its errors as faults, its signed integers as counts, its text as names.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::clock::Time;
use crate::cursor::FeedKey;
use crate::event::EventId;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::MAX_FEED_NAMES;

/// A fault of this machine.
pub(super) fn local(kind: Kind, detail: impl Into<String>) -> Fault {
    Fault::new(Origin::Local, kind, detail)
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        let kind = match &error {
            sqlx::Error::Database(inner) => {
                kind_of(inner.code().and_then(|code| code.parse().ok()).unwrap_or(0))
            }
            sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => Kind::DiskIo,
            // A row of another shape than the one we wrote.
            _ => Kind::Corrupt,
        };
        local(kind, format!("store.db: {error}"))
    }
}

/// SQLite's extended result codes (sqlite.org/rescode.html) as kinds.
pub(super) fn kind_of(code: u32) -> Kind {
    const IOERR_SHMSIZE: u32 = 4874; // the WAL index could not grow: what a full disk looks like there
    const IOERR_DATA: u32 = 8202; // a page's checksum is wrong
    const IOERR_CORRUPTFS: u32 = 8458; // the file system says that it is damaged
    match (code, code & 0xff) {
        (IOERR_SHMSIZE, _) | (_, 13) => Kind::DiskFull,
        (IOERR_DATA | IOERR_CORRUPTFS, _) => Kind::Corrupt,
        (_, 5 | 6) => Kind::Busy,                 // BUSY, LOCKED
        (_, 3 | 7 | 8 | 10 | 14) => Kind::DiskIo, // PERM, NOMEM, READONLY, IOERR, CANTOPEN
        _ => Kind::Corrupt,                       // CORRUPT, NOTADB, and rows that contradict each other
    }
}

/// SQLite integers are signed; nothing here reaches 2^63.
pub(super) fn int(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// The inverse of [`int`]; a negative count in a damaged row reads as zero and shows in the books.
pub(super) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(super) fn time(value: Option<i64>) -> Option<Time> {
    value.map(Time)
}

pub(super) fn event_id(bytes: &[u8]) -> Result<EventId, Fault> {
    let id =
        bytes.try_into().map_err(|_| local(Kind::Corrupt, "store.db: an event id is not 16 bytes long"))?;
    Ok(EventId(id))
}

/// A key from the database. Feed names are `'static` in the vocabulary because they come from the catalogue;
/// those that this process has not met are kept for its life, of which there can be only so many.
pub(super) fn feed_key(tenant: String, feed: &str) -> Result<FeedKey, Fault> {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(feed) {
        return Ok(FeedKey { tenant, feed: known });
    }
    if names.len() >= MAX_FEED_NAMES {
        return Err(local(Kind::Corrupt, format!("store.db: more than {MAX_FEED_NAMES} feed names")));
    }
    let name: &'static str = Box::leak(feed.to_owned().into_boxed_str());
    names.insert(name);
    Ok(FeedKey { tenant, feed: name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_need_different_actions_are_told_apart() {
        for (code, kind) in [
            (13, Kind::DiskFull),
            (4874, Kind::DiskFull),
            (10, Kind::DiskIo),
            (1034, Kind::DiskIo), // IOERR_FSYNC
            (5, Kind::Busy),
            (517, Kind::Busy), // BUSY_SNAPSHOT
            (11, Kind::Corrupt),
            (26, Kind::Corrupt),
            (8202, Kind::Corrupt),
            (787, Kind::Corrupt), // CONSTRAINT_FOREIGNKEY
        ] {
            assert_eq!(kind_of(code), kind, "{code}");
        }
    }

    #[test]
    fn a_feed_name_is_kept_once() {
        let one = feed_key("acme".into(), "interned.once").unwrap();
        let two = feed_key("bcme".into(), "interned.once").unwrap();
        assert!(std::ptr::eq(one.feed, two.feed));
    }
}
