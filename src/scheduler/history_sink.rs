//! The end of a history: a destination that takes events from the store as a courier does, and whose acknowledgement
//! may be lost. What it got is compared with what the store says it has.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use crate::event::EventId;
use crate::store::{Position, Start, Store, Tally};

const SINK: &str = "siem";
/// Histories of one test: seconds, on a loaded machine.
const CASES: u32 = 8;

/// One event, as a destination sees it.
pub(super) type Seen = (EventId, String);

/// A destination.
#[derive(Default)]
pub(super) struct Sink {
    got: Vec<Seen>,
    /// Events whose acknowledgement was lost, so that they come once more.
    unheard: usize,
}

impl Sink {
    pub async fn new(store: &Store) -> Sink {
        store.register_sink(SINK, Start::Oldest).await.unwrap();
        Sink::default()
    }

    /// A batch of at most so many events of one chunk; false when none waits. Without its acknowledgement the position
    /// stays where it is.
    pub async fn take(&mut self, store: &Store, most: usize, heard: bool) -> bool {
        let at = store.sink_position(SINK).await.unwrap().unwrap();
        let Some(stored) = store.next_chunk(at.seq).await.unwrap() else { return false };
        let (start, total) = (at.index as usize, stored.chunk.records.len());
        let end = total.min(start + most);
        for n in start..end {
            let event = stored.chunk.event(n, &stored.key.tenant, stored.key.feed, 0).unwrap();
            self.got.push((event.id, String::from_utf8(event.raw.to_vec()).unwrap()));
        }
        if !heard {
            self.unheard += end - start;
            return true;
        }
        let to = match end == total {
            true => Position { seq: stored.seq, index: 0 },
            false => Position { seq: at.seq, index: end as u32 },
        };
        let tally = Tally { delivered: (end - start) as u64, ..Tally::default() };
        store.advance(SINK, at, to, &[(stored.key.clone(), tally)], &[]).await.unwrap();
        true
    }

    /// Takes the rest, and proves that it got exactly what is stored, and nothing twice but what was not heard.
    pub async fn prove(&mut self, store: &Store) {
        while self.take(store, 7, true).await {}
        let (stored, got) = (counted(&stored(store).await), counted(&self.got));
        for (event, copies) in &stored {
            let found = got.get(event).copied().unwrap_or(0);
            assert!(found >= *copies, "{event:?} is stored {copies} times and arrived {found} times");
        }
        let sum = |events: &BTreeMap<Seen, usize>| events.values().sum::<usize>();
        assert_eq!(sum(&got), sum(&stored) + self.unheard, "repeats are those that were not heard");
        for account in store.accounts().await.unwrap() {
            assert_eq!(account.differences(), Vec::<String>::new());
        }
    }
}

fn counted(events: &[Seen]) -> BTreeMap<Seen, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event.clone()).or_default() += 1;
    }
    counts
}

/// Everything the store holds, in its order.
pub(super) async fn stored(store: &Store) -> Vec<Seen> {
    let (mut found, mut after) = (Vec::new(), 0);
    while let Some(stored) = store.next_chunk(after).await.unwrap() {
        after = stored.seq;
        for n in 0..stored.chunk.records.len() {
            let event = stored.chunk.event(n, &stored.key.tenant, stored.key.feed, 0).unwrap();
            found.push((event.id, String::from_utf8(event.raw.to_vec()).unwrap()));
        }
    }
    found
}

/// Tells histories of one seed. `HISTORY_SEED=… cargo test --lib histor` tells them again, `HISTORIES=1000` more of them.
pub(super) fn histories<S: Strategy>(strategy: S, seed: u64, tell: impl Fn(S::Value)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("HISTORY_SEED").unwrap_or(seed);
    let cases = number("HISTORIES").and_then(|cases| u32::try_from(cases).ok()).unwrap_or(CASES);
    println!("HISTORY_SEED={seed} tells these {cases} histories again");
    let config = ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let told = TestRunner::new(config).run(&strategy, |events| {
        tell(events);
        Ok(())
    });
    if let Err(error) = told {
        panic!("HISTORY_SEED={seed}: {error}");
    }
}
