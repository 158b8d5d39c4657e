//! A chunk that rots in the store: what is sound goes out, the rest is told and booked, and can be fetched again.

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::fixture::*;
use super::*;
use crate::clock::{Clock, Time};

/// Changes the stored bytes behind the store's back, as a disk would.
async fn spoil(dir: &std::path::Path, sql: &'static str) {
    let file = SqliteConnectOptions::new().filename(dir.join("store.db"));
    let mut conn = file.connect().await.unwrap();
    sqlx::query(sql).execute(&mut conn).await.unwrap();
    sqlx::Connection::close(conn).await.unwrap();
}

/// One byte in the middle of every body, where nothing of gzip's own form lies.
const ONE_BYTE: &str = "UPDATE body SET gzip = CAST(substr(gzip, 1, length(gzip) / 2) || X'00' \
                        || substr(gzip, length(gzip) / 2 + 2) AS BLOB)";

fn lines() -> Vec<String> {
    // digits of no pattern, so that compression keeps them in order and damage hits few of them
    (0_u64..400)
        .map(|n| format!("{{\"n\":\"{:020}\"}}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n << 40)))
        .collect()
}

async fn spoiled(dir: &std::path::Path, sql: &'static str) -> Store {
    let store = open(dir).await;
    store.register_feed(&key("audit")).await.unwrap();
    for sink in ["early", "half", "late"] {
        store.register_sink(sink, Start::Oldest).await.unwrap();
    }
    let dedupe = Dedupe::Ids { pass: 1, horizon: Time(0) };
    let file = Some(FileMark { name: [7; 16], size: None });
    store.commit(Intake { dedupe, file, ..intake(&key("audit"), "", "c1", &lines()) }).await.unwrap();
    assert_eq!(deliver(&store, "early", usize::MAX >> 1).await.len(), 400);
    deliver(&store, "half", 10).await;
    drop(store);
    spoil(dir, sql).await;
    open(dir).await
}

/// What a courier does with what a chunk has for it.
async fn pass(store: &Store, sink: &str) -> (u64, u64, Option<Damage>) {
    let at = store.sink_position(sink).await.unwrap().unwrap();
    let stored = store.next_chunk(at.seq).await.unwrap().unwrap();
    let there = |n: &usize| stored.chunk.event(*n, "acme", "audit", 0);
    let all = at.index as usize..stored.chunk.records.len();
    for event in all.clone().filter_map(|n| there(&n)) {
        let text = std::str::from_utf8(event.raw).unwrap();
        assert!(lines().iter().any(|line| line == text), "{text}");
    }
    let delivered = all.clone().filter(|n| there(n).is_some()).count() as u64;
    let lost = all.len() as u64 - delivered;
    let tally = Tally { delivered, lost, ..Tally::default() };
    let to = Position { seq: stored.seq, index: 0 };
    store.advance(sink, at, to, &[(stored.key.clone(), tally)], &[]).await.unwrap();
    (delivered, lost, stored.damage.clone())
}

#[tokio::test]
async fn what_is_sound_goes_out_and_the_rest_is_a_gap_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = spoiled(dir.path(), ONE_BYTE).await;
    let (delivered, lost, damage) = pass(&store, "late").await;
    assert!(lost > 0 && delivered > 100, "{delivered} of 400 are before the damage, {lost} not");
    let damage = damage.unwrap();
    assert_eq!((damage.lost, damage.gap.is_some()), (lost, true));
    let (rest, more, again) = pass(&store, "half").await;
    assert_eq!((rest + 10, more), (delivered, lost), "the other sink gets the same, from where it stood");
    assert_eq!(again.unwrap().gap, None, "and tells nothing new");
    let gaps = store.gaps_list(0, 10).await.unwrap();
    let [gap] = gaps.as_slice() else { panic!("{gaps:?}") };
    assert_eq!((gap.cause.as_str(), gap.fetchable, gap.span.to), ("damaged_in_store", true, Time(5_000)));
    assert!(gap.span.from < Time(1_400) && gap.detail.contains("of 400 events of chunk 1 (file)"), "{gap:?}");
    assert_balanced(&store).await;
    let books = store.accounts().await.unwrap().remove(0);
    let late = books.sinks.iter().find(|sink| sink.sink == "late").unwrap();
    assert_eq!((late.delivered, late.dead_lettered, late.in_letters), (delivered, lost, (0, lost)));
}

#[tokio::test]
async fn what_was_lost_is_stored_again_when_it_is_read_again() {
    for sql in [ONE_BYTE, "UPDATE body SET idx = X'02'"] {
        let dir = tempfile::tempdir().unwrap();
        let store = spoiled(dir.path(), sql).await;
        let file = FileMark { name: [7; 16], size: None };
        assert_eq!(store.known_files(&key("audit"), &[file]).await.unwrap(), [file]);
        let (_, lost, _) = pass(&store, "late").await;
        assert_eq!(store.known_files(&key("audit"), &[file]).await.unwrap(), []);
        let dedupe = Dedupe::Ids { pass: 2, horizon: Time(0) };
        let again = Intake { dedupe, ..intake(&key("audit"), "c1", "c2", &lines()) };
        let committed = store.commit(again).await.unwrap();
        assert_eq!((committed.stored, committed.duplicate), (lost, 400 - lost), "{sql}");
        assert_balanced(&store).await;
    }
}

/// A rotten bit in the index cuts records where they do not end: the ids tell them from those that are sound.
#[tokio::test]
async fn a_rotten_length_in_the_index_is_found() {
    let dir = tempfile::tempdir().unwrap();
    // the second byte after the version is the first record's length; one less, and all after it begin elsewhere
    let flip = "UPDATE body SET idx = CAST(substr(idx, 1, 2) || X'1B' || substr(idx, 4) AS BLOB)";
    let store = spoiled(dir.path(), flip).await;
    let (delivered, lost, damage) = pass(&store, "late").await;
    assert_eq!(delivered + lost, 400);
    assert!(lost > 0);
    assert_eq!(damage.unwrap().why, "its index is damaged");
    assert_balanced(&store).await;
}

#[tokio::test]
async fn a_chunk_of_which_nothing_is_left_holds_nobody_up() {
    let spoils = [
        "UPDATE body SET idx = X'02'",
        "UPDATE body SET idx = X'0107'",
        "UPDATE body SET gzip = X''",
        "UPDATE chunk SET kinds = '?'",
        "UPDATE chunk SET raw_len = 3",
    ];
    for sql in spoils {
        let dir = tempfile::tempdir().unwrap();
        let store = spoiled(dir.path(), sql).await;
        let (delivered, lost, damage) = pass(&store, "late").await;
        assert_eq!((delivered, lost, damage.unwrap().lost), (0, 400, 400), "{sql}");
        store.commit(intake(&key("audit"), "c1", "c2", &["after"])).await.unwrap();
        assert_eq!(deliver_texts(&store, "late").await, ["after"], "{sql}");
        assert_balanced(&store).await;
    }
}

#[tokio::test]
async fn damage_that_costs_no_event_is_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = spoiled(dir.path(), "UPDATE chunk SET raw_len = 1 << 40").await;
    let (delivered, lost, damage) = pass(&store, "late").await;
    assert_eq!((delivered, lost, damage.unwrap().gap), (400, 0, None));
    assert_eq!(store.gaps_list(0, 10).await.unwrap(), []);
    assert_balanced(&store).await;
}

#[tokio::test]
async fn the_evidence_outlasts_what_was_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let store = spoiled(dir.path(), ONE_BYTE).await;
    store.commit(intake(&key("audit"), "c1", "c2", &["sound"])).await.unwrap();
    for sink in ["late", "half"] {
        pass(&store, sink).await;
    }
    for sink in ["early", "half", "late"] {
        deliver(&store, sink, 1).await;
    }
    drop(store);
    let at = |millis| options(&Clock::manual(Time(millis)));
    let swept = async |now| Store::open(dir.path(), &at(now)).await.unwrap().sweep().await.unwrap().chunks;
    assert_eq!(swept(10 * 86_400_000).await, 1, "the sound one");
    assert_eq!(swept(40 * 86_400_000).await, 1, "the damaged one, when nobody looks for it any more");
}

#[tokio::test]
async fn who_only_looks_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = spoiled(dir.path(), ONE_BYTE).await;
    let reader = Store::open_read_only(dir.path()).await.unwrap();
    assert!(reader.next_chunk(0).await.unwrap().unwrap().damage.is_some());
    assert_eq!(store.gaps_list(0, 10).await.unwrap(), []);
}
