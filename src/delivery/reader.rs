//! From the store to batches: walks chunks behind a sink's position, leaves out what the sink's filter does not
//! want, formats the rest, and remembers where each event came from until it is acknowledged. A replay is walked the
//! same way, chunk by chunk of those that it names.

use std::sync::Arc;

use super::refusal::Refused;
use crate::clock::Time;
use crate::cursor::FeedKey;
use crate::event::Event;
use crate::fault::Fault;
use crate::limits::{
    CHUNK_BYTES_PER_LOAD, FILTERED_CHUNKS_PER_LOAD, HTTP_REQUEST_SLACK_BYTES, SPARE_BATCH_BYTES,
};
use crate::sink::{Batch, Packer};
use crate::store::{DeadLetter, Position, Replay, Store, StoredChunk, Tally};
use crate::telemetry::notice::{Feed as News, Notice};

/// Whether events of a tenant and feed are wanted.
pub type WantsFeed = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;
/// Whether records of a type are wanted.
pub type WantsKind = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Which events a sink wants.
#[derive(Clone)]
pub struct Filter {
    pub feeds: WantsFeed,
    /// `None`: all types.
    pub kinds: Option<WantsKind>,
}

/// Walks the store for one sink.
pub struct Reader {
    store: Store,
    wants: Filter,
    packer: Packer,
    at: Position,
    /// Only what it names is read.
    replay: Option<Replay>,
    open: Option<Arc<StoredChunk>>,
    /// Empty batches whose memory is used again.
    spare: Vec<Batch>,
}

/// A run of events on its way to the sink, and the accounts it settles once acknowledged.
#[derive(Default)]
pub struct Load {
    pub batch: Batch,
    pub from: Position,
    pub to: Position,
    /// Events the filter left out, per feed.
    filtered: Vec<(FeedKey, u64)>,
    /// Events that the store could not give back, per feed.
    lost: Vec<(FeedKey, u64)>,
    /// Chunks that had nothing for the sink.
    pub fruitless: usize,
    /// The store has nothing behind it.
    pub last: bool,
    origins: Vec<Origin>,
    /// Bytes of the chunks that the events lie in.
    walked: usize,
    /// Events that are too long for the sink, and not to be shortened.
    too_long: Vec<DeadLetter>,
    /// Bytes of their records.
    too_long_bytes: usize,
    /// Events that were shortened.
    pub cut: u64,
}

/// A run of a chunk's records inside a load. The chunk itself stays in the store: many megabytes would otherwise lie in
/// memory for as long as a slow receiver takes, for the sake of the few events that it may refuse.
struct Origin {
    seq: i64,
    key: FeedKey,
    first: u32,
    count: u32,
    /// Time of the last one.
    time: Option<Time>,
}

impl Reader {
    pub fn new(store: Store, wants: Filter, packer: Packer, at: Position) -> Self {
        Reader { store, wants, packer, at, replay: None, open: None, spare: Vec::new() }
    }

    /// Goes back to a position that was confirmed; free of cost when it stands there.
    pub fn rewind_to(&mut self, to: Position) {
        if self.at != to {
            self.at = to;
            self.open = None;
        }
    }

    /// From now on reads what is left of a replay.
    pub fn follow(&mut self, replay: &Replay) {
        if self.replay.as_ref().is_none_or(|known| known.id != replay.id) {
            self.open = None;
        }
        self.rewind_to(replay.at);
        self.replay = Some(replay.clone());
    }

    pub fn at(&self) -> Position {
        self.at
    }

    /// The next events, at most `max_events` and about `max_bytes` of wire bytes, and fewer of them the more of the store
    /// lies in between; `None` when the store has
    /// nothing behind the position. A load without events still moves the position (all filtered out).
    pub async fn next(&mut self, max_events: usize, max_bytes: usize) -> Result<Option<Load>, Fault> {
        let mut batch = self.spare.pop().unwrap_or_default();
        batch.expect(max_bytes.saturating_add(HTTP_REQUEST_SLACK_BYTES).min(SPARE_BATCH_BYTES));
        let mut load = Load { batch, from: self.at, to: self.at, ..Load::default() };
        let chunk_bytes = max_bytes.saturating_mul(2).saturating_add(CHUNK_BYTES_PER_LOAD);
        while load.has_room(max_events, max_bytes)
            && load.fruitless < FILTERED_CHUNKS_PER_LOAD
            && load.walked < chunk_bytes
        {
            match self.current().await {
                Ok(Some(chunk)) => self.fill(&mut load, &chunk, max_events, max_bytes),
                Ok(None) => {
                    load.last = true;
                    break;
                }
                Err(fault) => {
                    self.rewind_to(load.from); // what this load had taken must be read again
                    return Err(fault);
                }
            }
        }
        if load.to == load.from {
            self.reuse(load.batch, 1);
            return Ok(None);
        }
        Ok(Some(load))
    }

    /// Adds an event to a batch, and says whether it had to be shortened.
    ///
    /// # Errors
    /// It is too long for the sink, in words; the batch is as it was.
    pub fn encode(&mut self, event: &Event<'_>, batch: &mut Batch) -> Result<bool, String> {
        self.packer.pack(event, batch)
    }

    /// Takes back the memory of a batch that nobody needs any more, for as many as are read at once.
    pub fn reuse(&mut self, mut batch: Batch, at_once: usize) {
        batch.clear();
        if self.spare.len() < at_once {
            self.spare.push(batch);
        }
    }

    /// Nothing is left to be read for now: gives memory back, all but that of one batch of usual size.
    pub fn rest(&mut self) {
        self.spare.retain(|batch| batch.bytes.capacity() <= SPARE_BATCH_BYTES);
        self.spare.truncate(1);
    }

    /// The chunk behind the position.
    async fn current(&mut self) -> Result<Option<Arc<StoredChunk>>, Fault> {
        if self.open.is_some() {
            return Ok(self.open.clone());
        }
        if let Some(replay) = &self.replay {
            let Some(seq) = self.store.next_of_replay(replay, self.at.seq).await? else { return Ok(None) };
            if seq != self.at.seq + 1 {
                self.at = Position { seq: seq - 1, index: 0 }; // what lay between does not belong to it, or is gone
            }
        }
        self.open = self.store.next_chunk(self.at.seq).await?;
        if let Some(chunk) = &self.open
            && let Some(gap) = chunk.damage.as_ref().and_then(|damage| damage.gap.as_ref())
        {
            Notice::Feed(&chunk.key, News::GapOpened { span: gap.span, why: &gap.detail }).emit();
        }
        Ok(self.open.clone())
    }

    fn fill(&mut self, load: &mut Load, chunk: &Arc<StoredChunk>, max_events: usize, max_bytes: usize) {
        let mut total = chunk.chunk.records.len() as u32; // offsets are 32 bits, so counts are
        if let Some(replay) = &self.replay {
            total = replay.records_of(chunk.seq, total);
        }
        let mut next = self.at.index;
        let before = load.batch.len();
        if (self.wants.feeds)(&chunk.key.tenant, chunk.key.feed) {
            let kinds = self.kinds(chunk);
            while next < total && load.has_room(max_events, max_bytes) {
                if !self.takes(kinds.as_deref(), chunk, next) {
                    count(&mut load.filtered, &chunk.key, 1);
                } else if let Some(event) = event(chunk, next) {
                    match self.encode(&event, &mut load.batch) {
                        Ok(cut) => {
                            load.take(chunk, next, event.time);
                            load.cut += u64::from(cut);
                        }
                        Err(words) => load.put_aside(DeadLetter::of(&event, chunk.key.clone(), words)),
                    }
                } else {
                    count(&mut load.lost, &chunk.key, 1);
                }
                next += 1;
            }
        } else {
            count(&mut load.filtered, &chunk.key, u64::from(total.saturating_sub(next)));
            next = total;
        }
        if load.batch.len() == before {
            load.fruitless += 1;
        } else {
            load.walked += chunk.chunk.raw.len();
        }
        if next >= total {
            self.at = Position { seq: chunk.seq, index: 0 };
            self.open = None;
        } else {
            self.at.index = next;
        }
        load.to = self.at;
    }

    /// Which of the chunk's types are wanted; `None`: all of them.
    fn kinds(&self, chunk: &StoredChunk) -> Option<Vec<bool>> {
        let wants = self.wants.kinds.as_ref()?;
        let wanted: Vec<bool> = chunk.chunk.kinds.iter().map(|kind| wants(kind)).collect();
        (!wanted.iter().all(|wanted| *wanted)).then_some(wanted)
    }

    fn takes(&self, kinds: Option<&[bool]>, chunk: &StoredChunk, n: u32) -> bool {
        let Some(record) = chunk.chunk.records.get(n as usize) else { return false };
        let kind = kinds.is_none_or(|kinds| kinds.get(usize::from(record.kind)).is_none_or(|wanted| *wanted));
        let at = record.time.map_or(chunk.collected, Time);
        kind && self.replay.as_ref().is_none_or(|replay| replay.since <= at && at < replay.until)
    }
}

/// The `n`th event of a stored chunk; `None` for one that is lost to damage.
fn event(chunk: &StoredChunk, n: u32) -> Option<Event<'_>> {
    chunk.chunk.event(n as usize, &chunk.key.tenant, chunk.key.feed, chunk.collected.0)
}

/// What remains of loads while their confirmation is awaited: constant in size whatever the batch holds.
pub struct Accounts {
    pub to: Position,
    pub tally: Vec<(FeedKey, Tally)>,
    /// One event time a chunk, for the delivery lag.
    pub times: Vec<Time>,
    /// Events that are too long for the sink.
    pub dead: Vec<DeadLetter>,
    /// Bytes of their records.
    pub dead_bytes: usize,
    /// Chunks that had nothing for the sink.
    pub fruitless: usize,
    /// Events that were shortened.
    pub cut: u64,
}

impl Accounts {
    /// Adds the load that followed.
    pub fn add(&mut self, next: Accounts) {
        self.to = next.to;
        self.times.extend(next.times);
        self.dead.extend(next.dead);
        self.dead_bytes += next.dead_bytes;
        self.fruitless += next.fruitless;
        self.cut += next.cut;
        add_tally(&mut self.tally, next.tally);
    }
}

impl Load {
    /// Events that are too long count as well: they are held, and have to be booked.
    fn has_room(&self, max_events: usize, max_bytes: usize) -> bool {
        self.batch.len() + self.too_long.len() < max_events
            && self.batch.bytes.len() + self.too_long_bytes < max_bytes
    }

    fn put_aside(&mut self, letter: DeadLetter) {
        self.too_long_bytes += letter.record.len();
        self.too_long.push(letter);
    }

    fn take(&mut self, chunk: &StoredChunk, n: u32, time: Option<i64>) {
        let time = time.map(Time);
        match self.origins.last_mut() {
            Some(run) if run.first + run.count == n && run.seq == chunk.seq => {
                (run.count, run.time) = (run.count + 1, time);
            }
            _ => {
                self.origins.push(Origin { seq: chunk.seq, key: chunk.key.clone(), first: n, count: 1, time })
            }
        }
    }

    /// What the accounts become when all events of the batch but the `refused` ones were delivered.
    pub fn tally(&self, refused: &[Refused]) -> Vec<(FeedKey, Tally)> {
        let mut tallies: Vec<(FeedKey, Tally)> = Vec::new();
        for origin in &self.origins {
            add(&mut tallies, &origin.key, |tally| tally.delivered += u64::from(origin.count));
        }
        for (key, count) in &self.filtered {
            add(&mut tallies, key, |tally| tally.filtered += count);
        }
        for (key, count) in &self.lost {
            add(&mut tallies, key, |tally| tally.lost += count);
        }
        for letter in &self.too_long {
            add(&mut tallies, &letter.feed, |tally| tally.dead_lettered += 1);
        }
        for (origin, _) in refused.iter().filter_map(|(place, _)| self.origin(*place)) {
            add(&mut tallies, &origin.key, |tally| {
                tally.delivered = tally.delivered.saturating_sub(1);
                tally.dead_lettered += 1;
            });
        }
        tallies
    }

    /// The letters of events that were refused, read from the store once more, and of those that are too long. An event
    /// that is not in the store any more has none: only a replay can meet that, on a full disk, and what it sends are
    /// copies.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn letters(&self, store: &Store, refused: &[Refused]) -> Result<Vec<DeadLetter>, Fault> {
        let (mut letters, mut open) = (Vec::with_capacity(refused.len()), None::<Arc<StoredChunk>>);
        for (place, words) in refused {
            let Some((origin, n)) = self.origin(*place) else { continue };
            if open.as_ref().is_none_or(|chunk| chunk.seq != origin.seq) {
                open = store.next_chunk(origin.seq - 1).await?;
            }
            let Some(chunk) = open.as_ref().filter(|chunk| chunk.seq == origin.seq) else { continue };
            letters.extend(
                event(chunk, n).map(|event| DeadLetter::of(&event, origin.key.clone(), words.clone())),
            );
        }
        letters.extend(self.too_long.iter().cloned());
        Ok(letters)
    }

    /// Where the `n`th event of the batch lies in the store: in which run, and as which record of its chunk.
    fn origin(&self, n: usize) -> Option<(&Origin, u32)> {
        let mut left = n;
        for origin in &self.origins {
            if left < origin.count as usize {
                return Some((origin, origin.first + left as u32));
            }
            left -= origin.count as usize;
        }
        None
    }

    /// Time of the last event of each chunk, for the delivery lag: one figure a chunk, never one an event.
    pub fn times(&self) -> Vec<Time> {
        let last_of_chunk = |(n, origin): (usize, &Origin)| {
            self.origins.get(n + 1).is_none_or(|next| next.seq != origin.seq).then_some(origin.time)?
        };
        self.origins.iter().enumerate().filter_map(last_of_chunk).collect()
    }

    /// Lets go of everything but the accounts, once the events are on their way to a sink that confirms many
    /// loads at once.
    pub fn account(self) -> Accounts {
        Accounts {
            to: self.to,
            times: self.times(),
            tally: self.tally(&[]),
            dead: self.too_long,
            dead_bytes: self.too_long_bytes,
            fruitless: self.fruitless,
            cut: self.cut,
        }
    }
}

/// Adds the accounts of what follows.
pub fn add_tally(tallies: &mut Vec<(FeedKey, Tally)>, next: Vec<(FeedKey, Tally)>) {
    for (key, more) in next {
        add(tallies, &key, |tally| {
            tally.delivered += more.delivered;
            tally.filtered += more.filtered;
            tally.dead_lettered += more.dead_lettered;
            tally.lost += more.lost;
        });
    }
}

fn count(counts: &mut Vec<(FeedKey, u64)>, key: &FeedKey, events: u64) {
    match counts.iter_mut().find(|(known, _)| known == key) {
        Some((_, count)) => *count += events,
        None => counts.push((key.clone(), events)),
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
