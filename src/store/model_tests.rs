//! The store against a model of a few lines: whatever is committed, delivered, swept, cut off and reopened in
//! whatever order, the books balance and every record comes out once per sink, in order.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::fixture::{assert_balanced, chunk, deliver, intake, key, options};
use super::{Intake, Start, Store};
use crate::clock::{Clock, Time};
use crate::cursor::FeedKey;

#[derive(Clone, Debug)]
enum Step {
    /// A page of so many records; the answer is lost and the page sent again if the flag says so.
    Commit {
        feed: usize,
        records: usize,
        again: bool,
    },
    /// A file staged in parts, then committed.
    File {
        feed: usize,
        parts: usize,
    },
    /// A part staged and forgotten.
    Abandon {
        feed: usize,
    },
    Deliver {
        sink: usize,
        limit: usize,
    },
    Late {
        sink: usize,
    },
    Remove {
        sink: usize,
    },
    Wait,
    Sweep,
    Reopen,
}

const FEEDS: [&str; 2] = ["audit", "dlp"];
const SINKS: [&str; 3] = ["first", "second", "late"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..2_usize, 0..6_usize, any::<bool>())
            .prop_map(|(feed, records, again)| Step::Commit { feed, records, again }),
        2 => (0..2_usize, 1..4_usize).prop_map(|(feed, parts)| Step::File { feed, parts }),
        1 => (0..2_usize).prop_map(|feed| Step::Abandon { feed }),
        6 => (0..3_usize, 1..12_usize).prop_map(|(sink, limit)| Step::Deliver { sink, limit }),
        1 => (0..3_usize).prop_map(|sink| Step::Late { sink }),
        1 => (0..3_usize).prop_map(|sink| Step::Remove { sink }),
        1 => Just(Step::Wait),
        1 => Just(Step::Sweep),
        1 => Just(Step::Reopen),
    ]
}

struct Model {
    dir: tempfile::TempDir,
    clock: Clock,
    store: Store,
    /// Pages committed per feed.
    pages: [usize; 2],
    records: usize,
    /// What each registered sink has yet to get.
    due: BTreeMap<usize, Vec<String>>,
}

impl Model {
    async fn new() -> Model {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Time(5_000));
        let store = Store::open(dir.path(), &options(&clock)).await.unwrap();
        for feed in FEEDS {
            store.register_feed(&key(feed)).await.unwrap();
        }
        let mut model = Model { dir, clock, store, pages: [0; 2], records: 0, due: BTreeMap::new() };
        for sink in [0, 1] {
            model.store.register_sink(SINKS[sink], Start::Oldest).await.unwrap();
            model.due.insert(sink, Vec::new());
        }
        model
    }

    fn lines(&mut self, count: usize) -> Vec<String> {
        self.records += count;
        (self.records - count..self.records).map(|n| format!("record {n}")).collect()
    }

    fn page(&mut self, feed: usize, lines: &[String]) -> Intake {
        let name = |n: usize| if n == 0 { String::new() } else { format!("c{n}") };
        let (from, to) = (name(self.pages[feed]), name(self.pages[feed] + 1));
        self.pages[feed] += 1;
        Intake { collected: self.clock.now(), ..intake(&key(FEEDS[feed]), &from, &to, lines) }
    }

    fn stored(&mut self, lines: &[String]) {
        self.due.values_mut().for_each(|due| due.extend_from_slice(lines));
    }

    async fn file(&mut self, feed: usize, parts: usize) {
        let key: FeedKey = key(FEEDS[feed]);
        let (mut staged, mut all) = (Vec::new(), Vec::new());
        for _ in 0..parts {
            let lines = self.lines(2);
            staged.push(self.store.stage(&key, chunk(&key, &lines)).await.unwrap());
            all.extend(lines);
        }
        let last = self.lines(1);
        let page = self.page(feed, &last);
        all.extend(last);
        let page = Intake { staged, listed: all.len() as u64, ..page };
        self.store.commit(page).await.unwrap();
        self.stored(&all);
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Commit { feed, records, again } => {
                let lines = self.lines(records);
                let page = self.page(feed, &lines);
                assert_eq!(self.store.commit(page.clone()).await.unwrap().stored, records as u64);
                if again {
                    assert!(self.store.commit(page).await.unwrap().already);
                }
                self.stored(&lines);
            }
            Step::File { feed, parts } => self.file(feed, parts).await,
            Step::Abandon { feed } => {
                let key = key(FEEDS[feed]);
                self.store.stage(&key, chunk(&key, &["never seen"])).await.unwrap();
            }
            Step::Deliver { sink, limit } => {
                let Some(due) = self.due.get_mut(&sink) else { return };
                let got = deliver(&self.store, SINKS[sink], limit).await;
                let wanted: Vec<String> = due.drain(..limit.min(due.len())).collect();
                assert_eq!(got.into_iter().map(|(text, _)| text).collect::<Vec<_>>(), wanted);
            }
            Step::Late { sink } => {
                self.store.register_sink(SINKS[sink], Start::Now).await.unwrap();
                self.due.entry(sink).or_default();
            }
            Step::Remove { sink } => {
                self.due.remove(&sink);
                let names: Vec<&str> = self.due.keys().map(|sink| SINKS[*sink]).collect();
                self.store.retain_sinks(&names).await.unwrap();
            }
            Step::Wait => self.clock.advance(Duration::from_secs(61)),
            Step::Sweep => drop(self.store.sweep().await.unwrap()),
            Step::Reopen => self.reopen().await,
        }
    }

    async fn reopen(&mut self) {
        let elsewhere = tempfile::tempdir().unwrap();
        let other = Store::open(elsewhere.path(), &options(&self.clock)).await.unwrap();
        drop(std::mem::replace(&mut self.store, other)); // the lock is free now
        self.store = Store::open(self.dir.path(), &options(&self.clock)).await.unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_record_comes_out_once_per_sink_and_in_order(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new().await;
            for step in steps {
                model.run(step).await;
                assert_balanced(&model.store).await;
            }
            model.reopen().await;
            for sink in model.due.keys().copied().collect::<Vec<_>>() {
                model.run(Step::Deliver { sink, limit: 100_000 }).await;
                assert_eq!(model.due[&sink], Vec::<String>::new());
            }
            assert_balanced(&model.store).await;
        });
    }
}
