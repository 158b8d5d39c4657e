//! A run of encoded events, contiguous so that it leaves in large writes, and still divisible.

use std::ops::Range;

use crate::event::EventId;

/// Encoded events of one send. `bytes` is what goes onto the wire; `ends` and `ids` have one entry per event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub bytes: Vec<u8>,
    /// Where each event ends in `bytes`.
    pub ends: Vec<u32>,
    pub ids: Vec<EventId>,
}

impl Batch {
    /// Adds the event that `encode` appends. Windows keep batches far below the 4 GiB that `ends` can address;
    /// returns false, and adds nothing, beyond.
    pub fn push(&mut self, id: EventId, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        let start = self.bytes.len();
        encode(&mut self.bytes);
        let Ok(end) = u32::try_from(self.bytes.len()) else {
            self.bytes.truncate(start);
            return false;
        };
        self.ends.push(end);
        self.ids.push(id);
        true
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.ids.clear();
    }

    /// The wire record of the `n`th event.
    pub fn record(&self, n: usize) -> Option<&[u8]> {
        self.bytes.get(self.start(n)..*self.ends.get(n)? as usize)
    }

    /// The events of `range` as a batch of their own, for isolating one that is refused. What lies outside the
    /// batch is left out.
    pub fn slice(&self, range: Range<usize>) -> Batch {
        let to = range.end.min(self.len());
        let from = range.start.min(to);
        let (first, last) = (self.start(from), self.start(to));
        Batch {
            bytes: self.bytes.get(first..last).unwrap_or_default().to_vec(),
            ends: self
                .ends
                .get(from..to)
                .unwrap_or_default()
                .iter()
                .map(|end| end.saturating_sub(first as u32)) // `first` is itself an entry of `ends`, or 0
                .collect(),
            ids: self.ids.get(from..to).unwrap_or_default().to_vec(),
        }
    }

    fn start(&self, n: usize) -> usize {
        n.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(records: &[Vec<u8>]) -> Batch {
        let mut batch = Batch::default();
        for (n, record) in records.iter().enumerate() {
            assert!(batch.push(EventId([n as u8; 16]), |out| out.extend_from_slice(record)));
        }
        batch
    }

    proptest! {
        #[test]
        fn a_slice_is_the_batch_of_those_records(
            records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..12),
            from in 0_usize..14, len in 0_usize..14,
        ) {
            let batch = of(&records);
            let to = (from + len).min(records.len());
            let part = batch.slice(from..from + len);
            prop_assert_eq!(part.len(), to.saturating_sub(from));
            for n in 0..part.len() {
                prop_assert_eq!(part.record(n), Some(&*records[from + n]));
                prop_assert_eq!(part.ids[n], batch.ids[from + n]);
            }
            prop_assert_eq!(part.record(part.len()), None);
            let wire = records.get(from.min(to)..to).unwrap_or_default().concat();
            prop_assert_eq!(part.bytes, wire);
        }
    }
}
