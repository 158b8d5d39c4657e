//! Re-read windows: every record exactly as often as it exists, whatever is read again in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::fixture::{Seen, assert_balanced, deliver, intake, key, open, scalar};
use super::{Change, Committed, Dedupe, Intake, Start, Store};
use crate::clock::Time;
use crate::cursor::{Cursor, Span};
use crate::event::EventId;

async fn ready(dir: &std::path::Path) -> Store {
    let store = open(dir).await;
    store.register_feed(&key("ttp.url")).await.unwrap();
    store.register_sink("siem", Start::Oldest).await.unwrap();
    store
}

/// Commits pages one after the other.
struct Reader {
    store: Store,
    steps: u64,
}

impl Reader {
    async fn page(&mut self, dedupe: Dedupe, lines: &[&str]) -> Committed {
        let name = |n: u64| if n == 0 { String::new() } else { format!("c{n}") };
        let (from, to) = (name(self.steps), name(self.steps + 1));
        self.steps += 1;
        let page = Intake { dedupe, ..intake(&key("ttp.url"), &from, &to, lines) };
        let done = self.store.commit(page.clone()).await.unwrap();
        assert!(
            self.store.commit(page).await.unwrap().already,
            "a repeated commit counts no occurrence twice"
        );
        done
    }
    async fn delivered(&self) -> Vec<Seen> {
        deliver(&self.store, "siem", usize::MAX >> 1).await
    }
}

fn ids(pass: u64) -> Dedupe {
    Dedupe::Ids { pass, horizon: Time(0) }
}

/// A position set by hand may begin with the numbers that earlier read-throughs had: what is known is no twin.
#[tokio::test]
async fn a_number_that_begins_anew_is_another_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = Reader { store: ready(dir.path()).await, steps: 0 };
    reader.page(ids(0), &["a", "b"]).await;
    let (from, to) = (Cursor("c1".into()), Cursor::unset());
    let side = Span { from: Cursor::unset(), to: Cursor::unset() };
    let change = Change { feed: key("ttp.url"), from, to, side, complete: None, gaps: Vec::new() };
    assert!(reader.store.set_position(&change).await.unwrap());
    reader.steps = 0;
    let done = reader.page(ids(0), &["a", "b"]).await;
    assert_eq!((done.stored, done.duplicate), (0, 2));
    assert_eq!(reader.page(ids(1), &["a", "a"]).await.stored, 1, "and a twin is one");
    assert_balanced(&reader.store).await;
}

#[tokio::test]
async fn repeats_go_and_twins_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = Reader { store: ready(dir.path()).await, steps: 0 };
    let done = reader.page(ids(1), &["a", "b", "a"]).await;
    assert_eq!((done.stored, done.duplicate), (3, 0), "twins on one page");
    let done = reader.page(ids(1), &["b", "c"]).await;
    assert_eq!((done.stored, done.duplicate), (2, 0), "a twin on the next page of the same read-through");
    let done = reader.page(ids(2), &["c", "b", "a", "d"]).await;
    assert_eq!((done.stored, done.duplicate), (1, 3), "read again in another order, with one late record");
    let done = reader.page(ids(2), &["a", "b"]).await;
    assert_eq!((done.stored, done.duplicate), (0, 2));
    let done = reader.page(ids(3), &["a", "a", "a"]).await;
    assert_eq!((done.stored, done.duplicate), (1, 2), "a third one is new");
    let seen = reader.delivered().await;
    let texts: Vec<&str> = seen.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts, ["a", "b", "a", "b", "c", "d", "a"]);
    let ordinals = [0, 0, 1, 1, 0, 0, 2];
    for ((text, id), ordinal) in seen.iter().zip(ordinals) {
        assert_eq!(*id, EventId::of("acme", "ttp.url", text.as_bytes(), ordinal), "{text}");
    }
    let row = reader.store.feed(&key("ttp.url")).await.unwrap();
    assert_eq!((row.listed, row.stored, row.duplicate), (7, 7, 7));
    assert_balanced(&reader.store).await;
}

#[tokio::test]
async fn numbered_twins_of_a_page_are_recognised_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    for (n, stored) in [(0_u64, 2), (1, 0)] {
        let (from, to) =
            if n == 0 { (String::new(), "c1".to_owned()) } else { ("c1".to_owned(), "c2".to_owned()) };
        let mut page = Intake { dedupe: ids(n), ..intake(&key("ttp.url"), &from, &to, &["a", "a"]) };
        page.chunks[0].records[1].id = EventId::of("acme", "ttp.url", b"a", 1);
        assert_eq!(store.commit(page).await.unwrap().stored, stored);
    }
}

#[tokio::test]
async fn records_with_an_id_of_their_own_are_stored_once_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = Reader { store: ready(dir.path()).await, steps: 0 };
    let exact = Dedupe::Exact { horizon: Time(0) };
    assert_eq!(reader.page(exact, &["a", "b", "a"]).await.stored, 2);
    assert_eq!(reader.page(exact, &["b", "a"]).await, Committed { duplicate: 2, ..Committed::default() });
    assert_eq!(reader.page(exact, &["b", "c"]).await.stored, 1);
    let texts: Vec<String> = reader.delivered().await.into_iter().map(|(text, _)| text).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    assert_balanced(&reader.store).await;
}

/// The stream and the files of a feed write the same event differently; what it says is told by a key.
#[tokio::test]
async fn an_event_in_other_bytes_is_known_by_its_key_and_keeps_the_id_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let key_of = |text: &str| EventId::of("", "", text.as_bytes(), 0);
    let page = |n: u64, lines: &[&str]| {
        let name = |n: u64| if n == 0 { String::new() } else { format!("c{n}") };
        Intake { dedupe: ids(n), ..intake(&key("ttp.url"), &name(n), &name(n + 1), lines) }
    };
    let keys = |texts: &[&str]| vec![texts.iter().map(|text| key_of(text)).collect::<Vec<_>>()];
    let done = store.commit_keyed(page(0, &["a", "b", "a"]), &keys(&["A", "B", "A"])).await.unwrap();
    assert_eq!((done.stored, done.duplicate), (3, 0), "twins of one page are both kept");
    let done = store.commit_keyed(page(1, &["a ", "c", "a"]), &keys(&["A", "C", "A"])).await.unwrap();
    assert_eq!((done.stored, done.duplicate), (1, 2));
    let seen = deliver(&store, "siem", usize::MAX >> 1).await;
    let expected = [("a", 0), ("b", 0), ("a", 1), ("c", 0)]
        .map(|(text, ordinal)| (text.to_owned(), EventId::of("acme", "ttp.url", text.as_bytes(), ordinal)));
    assert_eq!(seen, expected);
    store.commit_keyed(page(2, &["d", "e"]), &keys(&["D"])).await.unwrap_err();
    let none = Intake { dedupe: Dedupe::None, ..page(2, &["d"]) };
    store.commit_keyed(none, &keys(&["D"])).await.unwrap_err();
    assert_balanced(&store).await;
}

#[tokio::test]
async fn a_conflicting_page_leaves_no_trace_among_the_seen() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let mut page = Intake { dedupe: ids(1), ..intake(&key("ttp.url"), "", "c1", &["a"]) };
    page.chunks.push(super::fixture::chunk(&key("ttp.url"), &["b"]));
    page.gaps.clear();
    let elsewhere = Intake { span: super::fixture::span("c8", "c9"), ..page.clone() };
    store.commit(elsewhere).await.unwrap_err();
    assert_eq!(scalar(&store, "SELECT count(*) FROM seen").await, 0);
    assert_eq!(store.commit(page).await.unwrap().stored, 2);
}

#[tokio::test]
async fn a_page_larger_than_one_look_up_is_counted_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = Reader { store: ready(dir.path()).await, steps: 0 };
    let lines: Vec<String> = (0..2_500).map(|n| format!("r{}", n % 1_700)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(reader.page(ids(1), &lines).await.stored, 2_500);
    assert_eq!(reader.page(ids(2), &lines).await.duplicate, 2_500);
}

#[tokio::test]
async fn identities_beyond_the_horizon_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = Reader { store: ready(dir.path()).await, steps: 0 };
    reader.page(ids(1), &["a", "b"]).await; // seen at 5,000
    assert_eq!(reader.store.sweep().await.unwrap().seen, 0);
    reader.page(Dedupe::Ids { pass: 2, horizon: Time(5_000) }, &["a"]).await;
    assert_eq!(reader.store.sweep().await.unwrap().seen, 0, "seen at the horizon, not before it");
    reader.page(Dedupe::Ids { pass: 3, horizon: Time(5_001) }, &[]).await;
    assert_eq!(reader.store.sweep().await.unwrap().seen, 2);
    assert_eq!(scalar(&reader.store, "SELECT count(*) FROM seen").await, 0);
}

/// Read-throughs of a window; each is a list of pages of records out of a small alphabet.
fn passes() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let page = proptest::collection::vec(0_u8..5, 0..7);
    proptest::collection::vec(proptest::collection::vec(page, 1..4), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The model: a record is stored as often as the read-through that saw it most often.
    #[test]
    fn every_record_is_stored_as_often_as_it_was_ever_listed_at_once(passes in passes()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut reader = Reader { store: ready(dir.path()).await, steps: 0 };
            let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
            for (pass, pages) in passes.iter().enumerate() {
                let mut listed: BTreeMap<String, usize> = BTreeMap::new();
                for page in pages {
                    let lines: Vec<String> = page.iter().map(|letter| format!("record {letter}")).collect();
                    lines.iter().for_each(|line| *listed.entry(line.clone()).or_default() += 1);
                    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                    reader.page(ids(pass as u64), &lines).await;
                }
                for (line, times) in listed {
                    let most = wanted.entry(line).or_default();
                    *most = times.max(*most);
                }
            }
            let delivered = reader.delivered().await;
            let mut found: BTreeMap<String, usize> = BTreeMap::new();
            delivered.iter().for_each(|(text, _)| *found.entry(text.clone()).or_default() += 1);
            assert_eq!(found, wanted);
            let ids: BTreeSet<EventId> = delivered.iter().map(|(_, id)| *id).collect();
            assert_eq!(ids.len(), delivered.len(), "no two events share an id");
            assert_balanced(&reader.store).await;
        });
    }
}

/// Resident memory of this process, MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

/// Lets the store remember so many records that were seen before.
async fn remember(store: &Store, records: u64) {
    const AT_ONCE: u64 = 2_000; // as much of a transaction as a few pages are
    let sql = "INSERT INTO seen (feed, hash, pass, pass_count, total, time) \
               WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2) \
               SELECT 1, randomblob(16), 1, 1, 1, i FROM n";
    for first in (0..records).step_by(AT_ONCE as usize) {
        let mut tx = store.begin("remember").await.unwrap();
        let insert = sqlx::query(sql).bind(first as i64).bind((first + AT_ONCE).min(records) as i64);
        let done = insert.execute(tx.conn()).await.map_err(crate::fault::Fault::from);
        tx.finish(done).await.unwrap();
    }
}

/// The memory of repeats lies in the store, not in the process: whatever a window holds, a page of it costs the same
/// room, and is recognised as a whole when it is read again. The figures of docs/performance.md:
/// `SEEN=10000000 cargo test --release --lib dedupe_tests::a_window -- --nocapture`.
#[tokio::test]
async fn a_window_of_any_size_is_known_when_it_is_read_again() {
    const PAGES: u64 = 40;
    let asked = std::env::var("SEEN").ok().and_then(|text| text.parse::<u64>().ok());
    let dir = tempfile::tempdir().unwrap();
    let mut reader = Reader { store: ready(dir.path()).await, steps: 0 };
    let before = resident();
    remember(&reader.store, asked.unwrap_or(20_000)).await;
    println!("{before} MiB before, {} MiB with {asked:?} remembered", resident());
    for pass in 1..=2 {
        let start = tokio::time::Instant::now();
        for page in 0..PAGES {
            let lines: Vec<String> = (0..500).map(|n| format!("{{\"page\":{page},\"n\":{n}}}")).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let done = reader.page(ids(pass), &lines).await;
            let (stored, duplicate) = if pass == 1 { (500, 0) } else { (0, 500) };
            assert_eq!((done.stored, done.duplicate), (stored, duplicate), "page {page}");
        }
        println!(
            "read-through {pass}: {:?} a page of 500, {} MiB",
            start.elapsed() / PAGES as u32,
            resident()
        );
    }
    let size = |name: &str| std::fs::metadata(dir.path().join(name)).map_or(0, |file| file.len() >> 20);
    println!("store.db {} MiB, store.db-wal {} MiB", size("store.db"), size("store.db-wal"));
    assert!(asked.is_none() || resident() < before + 64, "{before} MiB before, {} MiB after", resident());
}
