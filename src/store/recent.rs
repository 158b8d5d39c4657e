//! The last few chunks committed, inflated, for couriers that keep up.

use std::collections::VecDeque;
use std::sync::Arc;

use super::read::StoredChunk;
use crate::chunk::Record;
use crate::limits::STORE_RECENT_BYTES;

#[derive(Default)]
pub(super) struct Recent {
    chunks: VecDeque<Entry>,
    bytes: usize,
}

struct Entry {
    /// Number of the chunk before this one: proves that nothing lies between.
    after: i64,
    bytes: usize,
    chunk: Arc<StoredChunk>,
    /// A courier has it.
    taken: bool,
}

impl Recent {
    /// Adds the newest chunk, which follows chunk `after`, and lets the oldest go until all fit. `leader` is
    /// the number of the last chunk that the foremost courier took or its sink has dealt with: while even that one reads from disk, memory
    /// would be filled and emptied without being read.
    pub(super) fn add(&mut self, after: i64, chunk: Arc<StoredChunk>, leader: Option<i64>) {
        let start = self.chunks.front().map_or(after, |entry| entry.after);
        if leader.is_none_or(|seq| seq < start) {
            self.passed(i64::MAX);
            return;
        }
        let bytes = chunk.chunk.raw.len() + chunk.chunk.records.len() * size_of::<Record>();
        if bytes > STORE_RECENT_BYTES {
            return;
        }
        self.bytes += bytes;
        self.chunks.push_back(Entry { after, bytes, chunk, taken: false });
        while self.bytes > STORE_RECENT_BYTES && self.pop() {}
    }

    /// The chunk that comes next after `seq`, if it is here.
    pub(super) fn next(&mut self, seq: i64) -> Option<Arc<StoredChunk>> {
        let follows = |entry: &&mut Entry| entry.after <= seq && seq < entry.chunk.seq;
        self.chunks.iter_mut().find(follows).map(|entry| {
            entry.taken = true;
            Arc::clone(&entry.chunk)
        })
    }

    /// Bytes of the newest chunk while no courier has taken it, although the foremost has come as far as
    /// the one before it (`leader`).
    pub(super) fn awaited(&self, leader: i64) -> Option<usize> {
        self.chunks.back().filter(|entry| !entry.taken && entry.after <= leader).map(|entry| entry.bytes)
    }

    /// Every sink has passed `seq`: what lies before is wanted by nobody.
    pub(super) fn passed(&mut self, seq: i64) {
        while self.chunks.front().is_some_and(|entry| entry.chunk.seq <= seq) && self.pop() {}
    }

    fn pop(&mut self) -> bool {
        let gone = self.chunks.pop_front();
        self.bytes -= gone.as_ref().map_or(0, |entry| entry.bytes);
        gone.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::cursor::FeedKey;
    use crate::store::fixture;

    fn stored(seq: i64, raw_len: usize) -> Arc<StoredChunk> {
        let key = FeedKey { tenant: "acme".into(), feed: "audit" };
        let mut chunk = fixture::chunk(&key, &["x"]);
        chunk.raw = vec![b'x'; raw_len].into();
        Arc::new(StoredChunk { seq, key, collected: Time(0), chunk, damage: None })
    }

    #[test]
    fn answers_only_when_nothing_can_lie_between() {
        let mut recent = Recent::default();
        recent.add(4, stored(5, 10), Some(4));
        recent.add(7, stored(8, 10), Some(4)); // 6 and 7 were not kept here
        assert_eq!(recent.next(4).map(|c| c.seq), Some(5));
        assert!(recent.next(3).is_none(), "chunk 4 comes first");
        assert!(recent.next(5).is_none(), "chunk 6 comes first");
        assert_eq!(recent.next(7).map(|c| c.seq), Some(8));
        assert!(recent.next(8).is_none());
        recent.passed(5);
        assert!(recent.next(4).is_none());
        assert!(recent.next(7).is_some());
    }

    #[test]
    fn stays_within_its_bytes() {
        let mut recent = Recent::default();
        for seq in 1..100 {
            recent.add(seq - 1, stored(seq, 1 << 20), Some(seq - 1));
            assert!(recent.bytes <= STORE_RECENT_BYTES);
        }
        recent.add(99, stored(100, STORE_RECENT_BYTES + 1), Some(99));
        assert!(recent.next(99).is_none(), "too large to keep");
        assert!(recent.next(98).is_some());
        recent.passed(i64::MAX);
        assert_eq!((recent.bytes, recent.chunks.len()), (0, 0));
    }

    #[test]
    fn holds_nothing_while_every_sink_is_far_behind() {
        let mut recent = Recent::default();
        recent.add(0, stored(1, 1 << 20), None);
        assert_eq!(recent.bytes, 0, "nobody to read it");
        for seq in 1..20 {
            recent.add(seq - 1, stored(seq, 1 << 20), Some(0));
        }
        assert_eq!((recent.bytes, recent.chunks.len()), (0, 0), "the only reader fell behind");
        recent.add(19, stored(20, 1 << 20), Some(19));
        assert!(recent.next(19).is_some(), "and caught up");
    }
}
