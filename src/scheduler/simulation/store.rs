//! The store's contract without SQLite: a commit is one transaction that moves a cursor from where it stands, may
//! fail before or after it is done, and outlives the process. `store::commit_tests`, `store::dedupe_tests` and
//! `store::model_tests` hold the real store to the same sentences.

use std::collections::HashSet;

use super::ids::ById;
use super::planted::Planted;
use crate::clock::Time;
use crate::cursor::Cursor;
use crate::event::EventId;
use crate::fault::{Fault, Kind, Origin};
use crate::mimecast::quota::Quota;
use crate::mimecast::reach::Known;
use crate::scheduler::decide::State;
use crate::store::{Dedupe, Gap};
use crate::supervisor::gate::Gate;

/// What is kept of one feed.
#[derive(Clone, Default)]
pub struct Row {
    pub cursor: String,
    pub known: Known,
    /// And when, by our clock. Its text is made when it is read again.
    pub state: Option<(State, Time)>,
    pub listed: u64,
    pub stored: u64,
    pub duplicate: u64,
    pub quarantined: u64,
    pub gaps: Vec<Gap>,
}

/// One transaction.
#[derive(Clone)]
pub struct Commit {
    pub feed: usize,
    pub from: Cursor,
    pub to: Cursor,
    pub ids: Vec<EventId>,
    pub dedupe: Dedupe,
    pub quarantined: u64,
    pub listed: u64,
    pub gaps: Vec<Gap>,
    pub newest: Option<Time>,
    pub complete: Option<Time>,
    pub file: Option<[u8; 16]>,
}

/// When a transaction goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    None,
    Before(Kind),
    After(Kind),
}

/// Everything that outlives the process.
pub struct Store {
    pub rows: Vec<Row>,
    /// In the order of their commits: feed and id.
    pub log: Vec<(usize, EventId)>,
    /// Of each sink.
    pub positions: Vec<usize>,
    pub dead: Vec<Vec<EventId>>,
    /// And when, by our clock. As above, the texts are made when they are read again.
    pub gate: Option<(Gate, Time)>,
    pub quota: Option<Quota>,
    files: HashSet<(usize, [u8; 16])>,
    /// Read-through, occurrences in it, occurrences stored.
    seen: Vec<ById<(u64, u32, u32)>>,
    commits: u64,
    limit: usize,
}

impl Store {
    pub fn new(feeds: usize, sinks: usize, limit: usize) -> Self {
        Store {
            rows: vec![Row::default(); feeds],
            log: Vec::new(),
            positions: vec![0; sinks],
            dead: vec![Vec::new(); sinks],
            gate: None,
            quota: None,
            files: HashSet::new(),
            seen: vec![ById::default(); feeds],
            commits: 0,
            limit,
        }
    }

    /// Events that some sink has yet to get.
    pub fn waiting(&self) -> usize {
        self.log.len() - self.positions.iter().copied().min().unwrap_or(self.log.len())
    }
    pub fn over_limit(&self) -> bool {
        self.waiting() >= self.limit
    }
    pub fn limit(&self) -> usize {
        self.limit
    }
    pub fn knows_file(&self, feed: usize, name: [u8; 16]) -> bool {
        self.files.contains(&(feed, name))
    }

    /// How many events are new.
    pub fn commit(
        &mut self,
        commit: Commit,
        now: Time,
        trouble: Trouble,
        planted: Option<Planted>,
    ) -> Result<u64, Fault> {
        let broken = |kind| Fault::new(Origin::Local, kind, "same words");
        if let Trouble::Before(kind) = trouble {
            return Err(broken(kind));
        }
        let done = self.transaction(commit, now, planted).map_err(broken)?;
        if let Trouble::After(kind) = trouble { Err(broken(kind)) } else { Ok(done) }
    }

    fn transaction(&mut self, commit: Commit, now: Time, planted: Option<Planted>) -> Result<u64, Kind> {
        self.commits += 1;
        let ninth = self.commits.is_multiple_of(9);
        let row = &mut self.rows[commit.feed];
        let stands = row.cursor == commit.from.0;
        let already = !stands && row.cursor == commit.to.0;
        if already && planted != Some(Planted::CommitDoneTwice) {
            return Ok(0);
        }
        if !stands && !already && planted != Some(Planted::NoCompareAndSwap) {
            return Err(Kind::Conflict);
        }
        if !(ninth && planted == Some(Planted::EventsWithoutCursor)) {
            row.cursor = commit.to.0;
        }
        row.known.complete = row.known.complete.max(commit.complete);
        row.known.newest = row.known.newest.max(commit.newest);
        row.known.last_success = Some(now);
        row.listed += commit.listed;
        row.quarantined += commit.quarantined;
        row.gaps.extend(commit.gaps);
        if let Some(file) = commit.file {
            self.files.insert((commit.feed, file));
        }
        if ninth && planted == Some(Planted::CursorWithoutEvents) {
            return Ok(0);
        }
        let mut new = 0;
        for id in commit.ids {
            let Some(id) = self.sighted(commit.feed, id, &commit.dedupe, planted) else {
                self.rows[commit.feed].duplicate += 1;
                continue;
            };
            self.log.push((commit.feed, id));
            new += 1;
        }
        self.rows[commit.feed].stored += new;
        Ok(new)
    }

    /// The id under which a record is stored, unless it is a repeat.
    fn sighted(
        &mut self,
        feed: usize,
        id: EventId,
        dedupe: &Dedupe,
        planted: Option<Planted>,
    ) -> Option<EventId> {
        let pass = match dedupe {
            Dedupe::None => return Some(id),
            _ if planted == Some(Planted::RepeatsStored) => return Some(id),
            Dedupe::Ids { pass, .. } if planted != Some(Planted::TwinsDropped) => *pass,
            Dedupe::Ids { .. } | Dedupe::Exact { .. } => {
                return (self.seen[feed].insert(id, (0, 0, 1)).is_none()).then_some(id);
            }
        };
        let seen = self.seen[feed].entry(id).or_default();
        if seen.0 != pass {
            (seen.0, seen.1) = (pass, 0);
        }
        seen.1 += 1;
        if seen.1 <= seen.2 {
            return None;
        }
        seen.2 = seen.1;
        // the n-th twin, by any injective rule: the ledger knows the same one
        let mut twin = id;
        twin.0[15] ^= u8::try_from(seen.2 - 1).unwrap_or(u8::MAX);
        Some(twin)
    }
}
