//! What must never lose an event. One SQLite file holds the events that arrived, the position in every feed
//! and the position of every sink, so that no two of them can disagree after a crash:
//!
//! - [`Store::commit`] makes a page's events visible *and* moves the feed's cursor in one transaction;
//! - [`Store::advance`] moves a sink's position *and* books what became of the events in one transaction;
//! - both move from a known position to the next and can be repeated when an answer was lost.
//!
//! Bodies (compressed bytes) live apart from the slim rows that order them, are written once and never
//! rewritten. One connection writes, behind a mutex; couriers and status read on connections of their own.

mod accounts;
mod alerts;
mod ballast;
mod cause;
mod commit;
mod damage;
mod dedupe;
mod feeds;
mod files;
mod health;
mod history;
mod intake;
mod ledger;
mod letters;
mod notes;
mod open;
mod pick;
mod positions;
mod quarantine;
mod read;
mod recent;
mod replays;
mod sinks;
mod sql;
mod sweep;
mod writer;

#[cfg(test)]
mod alerts_tests;
#[cfg(test)]
mod commit_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod dedupe_tests;
#[cfg(test)]
mod disk_tests;
#[cfg(test)]
pub mod fixture;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod notes_tests;
#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod positions_tests;
#[cfg(test)]
mod repair_tests;
#[cfg(test)]
mod sink_tests;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::SqliteConnection;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::limits::STORE_RESUME_PERCENT;

pub use accounts::{Account, SinkAccount, SinkUsage, Usage};
pub use alerts::{AlertNews, Aside, DueRow, GapSum};
pub use cause::Cause;
pub use damage::Damage;
pub use feeds::{Begun, FeedRow, Saved};
pub use intake::{Committed, Dedupe, FileMark, Gap, Intake, Lane, Quarantined, StagedChunk};
pub use ledger::{Accepted, GapRow, Sum};
pub use letters::{DeadLetter, DeadLetterRow};
pub use open::Options;
pub use pick::{Pick, Shelf};
pub use positions::Change;
pub use quarantine::{QuarantineRow, Readmitted};
pub use read::StoredChunk;
pub use replays::{Order, Replay, Walked};
pub use sinks::{Position, Start, Tally};
pub use sweep::Swept;

/// The store, open. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    clock: Clock,
    /// Size of the ballast file, bytes.
    ballast: u64,
    /// `None` when opened for reading only.
    writer: Option<tokio::sync::Mutex<writer::Writer>>,
    /// Reads bodies for couriers.
    courier: tokio::sync::Mutex<SqliteConnection>,
    /// Reads what feeds and couriers ask for in passing.
    status: tokio::sync::Mutex<SqliteConnection>,
    /// Adds up and goes through long tables, for those who can wait: a scrape, a list, a repair.
    sums: tokio::sync::Mutex<SqliteConnection>,
    live: Mutex<Live>,
    /// Small writes that wait for the writer, oldest first.
    notes: Mutex<VecDeque<notes::Waiting>>,
    newest: watch::Sender<i64>,
    /// A courier has taken a chunk out of memory.
    taken: tokio::sync::Notify,
    salt: Vec<u8>,
    /// Held for as long as the store is open; the operating system lets go of it when the process dies.
    _lock: Option<File>,
}

/// What the writer knows without asking the database. Rebuilt from it by [`Store::resync`], but for the limits.
#[derive(Default)]
struct Live {
    /// Per sink, the newest chunk it has dealt with.
    claims: BTreeMap<String, i64>,
    /// Bytes, undelivered or put aside, at which collection pauses, and how long delivered events are kept.
    max_size: u64,
    retention: Duration,
    /// Bytes of chunks that some sink still needs.
    undelivered: u64,
    /// Bytes of dead letters and of the quarantine.
    put_aside: u64,
    /// The size limit was reached, and 80 % of it not yet again.
    paused: bool,
    /// A write found the disk full: so much must be free before collection goes on.
    disk_full: Option<u64>,
    recent: recent::Recent,
    /// Number of the newest chunk that a courier has taken.
    taken: i64,
    /// Some gap may be wanted. Stays so until the next start: feeds look then, and find out which.
    gaps_wanted: bool,
}

impl Live {
    /// Every sink has dealt with the chunks up to this one; `None` without sinks.
    fn passed_by_all(&self) -> Option<i64> {
        self.claims.values().copied().min()
    }

    /// What `max_size` limits, bytes.
    fn held(&self) -> u64 {
        self.undelivered.saturating_add(self.put_aside)
    }

    /// How far the foremost courier has come; `None` without sinks.
    fn leader(&self) -> Option<i64> {
        self.claims.values().copied().max().map(|claim| claim.max(self.taken))
    }
}

impl Store {
    /// The newest visible chunk's number, and every later one as it appears. 0 when there was never a chunk.
    pub fn newest(&self) -> watch::Receiver<i64> {
        self.inner.newest.subscribe()
    }

    /// The directory it lies in, where its owner may put what has to be set aside.
    pub fn dir(&self) -> &std::path::Path {
        &self.inner.dir
    }

    /// Random bytes of this installation, for [`crate::secret::Secret::fingerprint`].
    pub fn salt(&self) -> &[u8] {
        &self.inner.salt
    }

    /// Other limits from now on: `max_size` in bytes that wait or were put aside, `retention` of delivered events. A pause ends as
    /// soon as there is less than the new `max_size`.
    pub fn limit(&self, max_size: u64, retention: Duration) {
        let mut live = self.inner.live();
        let paused = live.paused && live.max_size == max_size;
        (live.max_size, live.retention, live.paused) = (max_size, retention, paused);
    }

    /// Whether some gap may be wanted; when not, no feed has to look for its own.
    pub fn gaps_wanted(&self) -> bool {
        self.inner.live().gaps_wanted
    }

    /// True while collection has to pause: undelivered events and what was put aside reached `max_size` and have not yet
    /// shrunk to 80 % of it, or a write found the disk full and [`Store::sweep`] has not yet found room again.
    pub fn over_limit(&self) -> bool {
        let mut live = self.inner.live();
        let (limit, held) = (live.max_size, live.held());
        live.paused = if live.paused {
            u128::from(held) * 100 > u128::from(limit) * u128::from(STORE_RESUME_PERCENT)
        } else {
            held >= limit
        };
        live.paused || live.disk_full.is_some()
    }

    /// Why collection has to pause, as it is at this moment: two causes with different remedies.
    pub fn why_full(&self) -> Option<String> {
        if self.inner.live().disk_full.is_some() {
            return Some(format!("the disk that holds {} is full", self.inner.dir.display()));
        }
        let over = self.over_limit();
        let (undelivered, put_aside) = {
            let live = self.inner.live();
            (live.undelivered >> 20, live.put_aside >> 20)
        };
        over.then(|| {
            format!(
                "the store is at [store] max_size: {undelivered} MiB of undelivered events, {put_aside} MiB of dead letters and \
                 quarantine"
            )
        })
    }
}

impl Inner {
    /// Held for a few instructions at a time, never across an `await`.
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells couriers about a new chunk; never goes back.
    fn announce(&self, seq: i64) {
        self.newest.send_if_modified(|newest| {
            let newer = seq > *newest;
            *newest = seq.max(*newest);
            newer
        });
    }
}
