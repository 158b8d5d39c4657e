//! A run of encoded events, contiguous so that it leaves in large writes, and still divisible.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::event::EventId;

/// Encoded events of one send. `bytes` is what goes onto the wire; `ends` and `ids` have one entry per event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Shared with what is being sent; a batch that is changed meanwhile changes a copy.
    pub bytes: Arc<Vec<u8>>,
    /// Where each event ends in `bytes`.
    pub ends: Vec<u32>,
    pub ids: Vec<EventId>,
    /// Where runs of events that belong to one route begin, and its name. Empty: all events go the same way.
    routes: Vec<(u32, Arc<str>)>,
}

/// Events of one batch that go the same way, in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// As the sink named it when it wrote the events; empty where it names none.
    pub route: &'a str,
    /// Places in the batch.
    pub events: Vec<Range<usize>>,
}

impl Batch {
    /// What is pushed from now on goes by this route.
    pub fn route(&mut self, name: &str) {
        if self.routes.last().is_none_or(|(_, last)| **last != *name) {
            self.routes.push((self.ends.len() as u32, Arc::from(name))); // no more events than `ends` can hold
        }
    }

    /// The events by route, in the order in which each route appears first.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        if self.routes.first().is_none_or(|(start, _)| *start > 0) && !self.is_empty() {
            let end = self.routes.first().map_or(self.len(), |(start, _)| *start as usize);
            groups.push(Group { route: "", events: std::iter::once(0..end).collect() });
        }
        for (n, (start, route)) in self.routes.iter().enumerate() {
            let end = self.routes.get(n + 1).map_or(self.len(), |(next, _)| *next as usize);
            let run = *start as usize..end;
            match groups.iter_mut().find(|group| *group.route == **route) {
                _ if run.is_empty() => {}
                Some(group) => group.events.push(run),
                None => groups.push(Group { route, events: vec![run] }),
            }
        }
        groups
    }

    /// The wire bytes of neighbouring events; what lies outside the batch is left out.
    pub fn wire(&self, events: &Range<usize>) -> &[u8] {
        let to = events.end.min(self.len());
        self.bytes.get(self.start(events.start.min(to))..self.start(to)).unwrap_or_default()
    }

    /// The same, to be sent: no copy, for they stay where they are until the last holder lets go.
    pub fn shared(&self, events: &Range<usize>) -> Bytes {
        let to = events.end.min(self.len());
        let run = self.start(events.start.min(to))..self.start(to);
        Bytes::from_owner(Shared(self.bytes.clone())).slice(run)
    }

    /// Bytes of these events on the wire.
    pub fn size(&self, events: &[Range<usize>]) -> usize {
        events.iter().map(|run| self.wire(run).len()).sum()
    }

    /// Room for so many bytes at once: growing by doubling would take up to twice as much, and copy what is there.
    pub fn expect(&mut self, bytes: usize) {
        let taken = self.bytes.len();
        Arc::make_mut(&mut self.bytes).reserve_exact(bytes.saturating_sub(taken));
    }

    /// Adds the event that `encode` appends. Windows keep batches far below the 4 GiB that `ends` can address;
    /// returns false, and adds nothing, beyond.
    pub fn push(&mut self, id: EventId, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        let start = self.bytes.len();
        let bytes = Arc::make_mut(&mut self.bytes);
        encode(bytes);
        let Ok(end) = u32::try_from(bytes.len()) else {
            bytes.truncate(start);
            return false;
        };
        self.ends.push(end);
        self.ids.push(id);
        true
    }

    /// Takes the last event out again.
    pub fn pop(&mut self) {
        self.ends.pop();
        self.ids.pop();
        let end = self.start(self.ends.len());
        Arc::make_mut(&mut self.bytes).truncate(end);
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Empties it and keeps its memory, unless something is still sending it.
    pub fn clear(&mut self) {
        match Arc::get_mut(&mut self.bytes) {
            Some(bytes) => bytes.clear(),
            None => self.bytes = Arc::default(),
        }
        self.ends.clear();
        self.ids.clear();
        self.routes.clear();
    }

    /// The wire record of the `n`th event.
    pub fn record(&self, n: usize) -> Option<&[u8]> {
        self.bytes.get(self.start(n)..*self.ends.get(n)? as usize)
    }

    /// The events at these places as a batch of their own, for what was refused or has to be sent again. What lies
    /// outside the batch is left out.
    pub fn pick(&self, places: &[Range<usize>]) -> Batch {
        let mut part = Batch::default();
        let mut routes = self.routes.iter().peekable();
        let mut route = None;
        for place in places.iter().flat_map(Clone::clone) {
            let (Some(record), Some(id)) = (self.record(place), self.ids.get(place)) else { continue };
            while let Some((_, name)) = routes.next_if(|(start, _)| *start as usize <= place) {
                route = Some(name);
            }
            if let Some(name) = route {
                part.route(name);
            }
            part.push(*id, |out| out.extend_from_slice(record));
        }
        part
    }

    fn start(&self, n: usize) -> usize {
        n.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize)
    }
}

/// The bytes of a batch while they are sent.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
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
        fn what_is_picked_is_the_batch_of_those_records(
            records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..12),
            from in 0_usize..14, len in 0_usize..14,
        ) {
            let batch = of(&records);
            let to = (from + len).min(records.len());
            let part = batch.pick(std::slice::from_ref(&(from..from + len)));
            prop_assert_eq!(part.len(), to.saturating_sub(from));
            for n in 0..part.len() {
                prop_assert_eq!(part.record(n), Some(&*records[from + n]));
                prop_assert_eq!(part.ids[n], batch.ids[from + n]);
            }
            prop_assert_eq!(part.record(part.len()), None);
            let wire = records.get(from.min(to)..to).unwrap_or_default().concat();
            prop_assert_eq!(batch.wire(&(from..from + len)), &*wire);
            let shared = batch.shared(&(from..from + len));
            prop_assert_eq!(&*part.bytes, &wire);
            let mut shorter = part.clone();
            shorter.pop();
            prop_assert_eq!(&*shorter.bytes, part.wire(&(0..part.len().saturating_sub(1))));
            let mut next = batch;
            next.clear();
            next.push(EventId([0; 16]), |out| out.extend_from_slice(b"written while the last one is sent"));
            prop_assert_eq!(shared, wire);
        }

        #[test]
        fn routes_stay_with_their_events(routes in proptest::collection::vec(0_usize..3, 0..12), skip in 0_usize..4) {
            const NAMES: [&str; 3] = ["a", "b", ""];
            let mut batch = Batch::default();
            for (n, route) in routes.iter().enumerate() {
                batch.route(NAMES[*route]);
                batch.push(EventId([n as u8; 16]), |out| out.push(*route as u8));
            }
            let odd: Vec<_> = (skip..routes.len()).step_by(2).map(|n| n..n + 1).collect();
            for (batch, count) in [(batch.pick(&odd), odd.len()), (batch, routes.len())] {
                let mut seen = 0;
                for group in batch.groups() {
                    for place in group.events.into_iter().flatten() {
                        prop_assert_eq!(NAMES[batch.record(place).unwrap()[0] as usize], group.route);
                        seen += 1;
                    }
                }
                prop_assert_eq!(seen, count);
            }
        }
    }
}
