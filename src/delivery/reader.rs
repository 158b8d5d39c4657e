//! From the store to batches: walks chunks behind a sink's position, leaves out what the sink's filter does not
//! want, formats the rest, and remembers where each event came from until it is acknowledged.

use std::sync::Arc;

use crate::clock::Time;
use crate::cursor::FeedKey;
use crate::event::Event;
use crate::fault::Fault;
use crate::limits::FILTERED_CHUNKS_PER_LOAD;
use crate::sink::{Batch, Packer};
use crate::store::{DeadLetter, Position, Store, StoredChunk, Tally};

/// Which events a sink wants, by tenant and feed.
pub type Filter = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// Walks the store for one sink.
pub struct Reader {
    store: Store,
    wants: Filter,
    packer: Packer,
    at: Position,
    open: Option<Arc<StoredChunk>>,
    /// An empty batch whose memory is used again.
    spare: Batch,
}

/// A run of events on its way to the sink, and the accounts it settles once acknowledged.
#[derive(Default)]
pub struct Load {
    pub batch: Batch,
    pub from: Position,
    pub to: Position,
    /// Events the filter left out, per feed.
    filtered: Vec<(FeedKey, u64)>,
    origins: Vec<Origin>,
}

/// A run of a chunk's records inside a load.
struct Origin {
    chunk: Arc<StoredChunk>,
    first: u32,
    count: u32,
}

impl Reader {
    pub fn new(store: Store, wants: Filter, packer: Packer, at: Position) -> Self {
        Reader { store, wants, packer, at, open: None, spare: Batch::default() }
    }

    /// Goes back to a position that was confirmed; free of cost when it stands there.
    pub fn rewind_to(&mut self, to: Position) {
        if self.at != to {
            self.at = to;
            self.open = None;
        }
    }

    pub fn at(&self) -> Position {
        self.at
    }

    /// The next events, at most `max_events` and about `max_bytes` of wire bytes; `None` when the store has
    /// nothing behind the position. A load without events still moves the position (all filtered out).
    pub async fn next(&mut self, max_events: usize, max_bytes: usize) -> Result<Option<Load>, Fault> {
        let batch = std::mem::take(&mut self.spare);
        let mut load = Load { batch, from: self.at, to: self.at, ..Load::default() };
        let room = |load: &Load| load.batch.len() < max_events && load.batch.bytes.len() < max_bytes;
        while room(&load) && load.filtered.len() < FILTERED_CHUNKS_PER_LOAD {
            match self.current().await {
                Ok(Some(chunk)) => self.fill(&mut load, &chunk, max_events, max_bytes),
                Ok(None) => break,
                Err(fault) => {
                    self.rewind_to(load.from); // what this load had taken must be read again
                    return Err(fault);
                }
            }
        }
        if load.to == load.from {
            self.reuse(load.batch);
            return Ok(None);
        }
        Ok(Some(load))
    }

    /// Takes back the memory of a batch that is on its way.
    pub fn reuse(&mut self, mut batch: Batch) {
        batch.clear();
        self.spare = batch;
    }

    /// The chunk behind the position.
    async fn current(&mut self) -> Result<Option<Arc<StoredChunk>>, Fault> {
        if self.open.is_none() {
            self.open = self.store.next_chunk(self.at.seq).await?;
        }
        Ok(self.open.clone())
    }

    fn fill(&mut self, load: &mut Load, chunk: &Arc<StoredChunk>, max_events: usize, max_bytes: usize) {
        let total = chunk.chunk.records.len() as u32; // offsets are 32 bits, so counts are
        let first = self.at.index;
        let mut next = first;
        if (self.wants)(&chunk.key.tenant, chunk.key.feed) {
            while next < total && load.batch.len() < max_events && load.batch.bytes.len() < max_bytes {
                if let Some(event) = event(chunk, next) {
                    self.packer.pack(&event, &mut load.batch);
                }
                next += 1;
            }
            load.origins.push(Origin { chunk: chunk.clone(), first, count: next - first });
        } else {
            next = total;
            load.filtered.push((chunk.key.clone(), u64::from(total.saturating_sub(first))));
        }
        if next >= total {
            self.at = Position { seq: chunk.seq, index: 0 };
            self.open = None;
        } else {
            self.at.index = next;
        }
        load.to = self.at;
    }
}

/// The `n`th event of a stored chunk. The store has checked the index against the bytes, so every `n` below the
/// number of records is there.
fn event(chunk: &StoredChunk, n: u32) -> Option<Event<'_>> {
    chunk.chunk.event(n as usize, &chunk.key.tenant, chunk.key.feed, chunk.collected.0)
}

/// What remains of loads while their confirmation is awaited: constant in size whatever the batch holds.
pub struct Accounts {
    pub to: Position,
    pub tally: Vec<(FeedKey, Tally)>,
    /// One event time a run of records, for the delivery lag.
    pub times: Vec<Time>,
}

impl Accounts {
    /// Adds the load that followed.
    pub fn add(&mut self, next: Accounts) {
        self.to = next.to;
        self.times.extend(next.times);
        add_tally(&mut self.tally, next.tally);
    }
}

impl Load {
    /// What the accounts become when all events of the load but the `dead` ones were delivered.
    pub fn tally(&self, dead: &[DeadLetter]) -> Vec<(FeedKey, Tally)> {
        let mut tallies: Vec<(FeedKey, Tally)> = Vec::new();
        for origin in &self.origins {
            add(&mut tallies, &origin.chunk.key, |tally| tally.delivered += u64::from(origin.count));
        }
        for (key, count) in &self.filtered {
            add(&mut tallies, key, |tally| tally.filtered += count);
        }
        for letter in dead {
            add(&mut tallies, &letter.feed, |tally| {
                tally.delivered = tally.delivered.saturating_sub(1);
                tally.dead_lettered += 1;
            });
        }
        tallies
    }

    /// The `n`th event of the batch as it lies in the store.
    pub fn event(&self, n: usize) -> Option<(&StoredChunk, Event<'_>)> {
        let mut left = n;
        for origin in &self.origins {
            if left < origin.count as usize {
                return event(&origin.chunk, origin.first + left as u32).map(|event| (&*origin.chunk, event));
            }
            left -= origin.count as usize;
        }
        None
    }

    /// Newest event time of each run of records, for the delivery lag: one figure a chunk, never one an event.
    pub fn times(&self) -> impl Iterator<Item = Time> {
        self.origins.iter().filter_map(|origin| {
            let last = (origin.first + origin.count).checked_sub(1)?;
            event(&origin.chunk, last)?.time.map(Time)
        })
    }

    /// Lets go of everything but the accounts, once the events are on their way to a sink that confirms many
    /// loads at once.
    pub fn account(self) -> Accounts {
        Accounts { to: self.to, times: self.times().collect(), tally: self.tally(&[]) }
    }
}

/// Adds the accounts of what follows.
pub fn add_tally(tallies: &mut Vec<(FeedKey, Tally)>, next: Vec<(FeedKey, Tally)>) {
    for (key, more) in next {
        add(tallies, &key, |tally| {
            tally.delivered += more.delivered;
            tally.filtered += more.filtered;
            tally.dead_lettered += more.dead_lettered;
        });
    }
}

fn add(tallies: &mut Vec<(FeedKey, Tally)>, key: &FeedKey, change: impl FnOnce(&mut Tally)) {
    if let Some((_, tally)) = tallies.iter_mut().find(|(known, _)| known == key) {
        change(tally);
    } else {
        let mut tally = Tally::default();
        change(&mut tally);
        tallies.push((key.clone(), tally));
    }
}
