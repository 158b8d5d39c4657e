//! Positions, books, limits.

use std::time::Duration;

use super::fixture::{assert_balanced, chunk, deliver, deliver_texts, intake, key, open, options, scalar};
use super::{DeadLetter, Intake, Options, Pick, Position, Quarantined, Start, Store, Tally};
use crate::clock::{Clock, Time};
use crate::event::{EventId, Severity};
use crate::fault::Kind;

async fn ready(dir: &std::path::Path) -> Store {
    let store = open(dir).await;
    store.register_feed(&key("audit")).await.unwrap();
    store.register_feed(&key("dlp")).await.unwrap();
    store
}

fn letter() -> DeadLetter {
    DeadLetter {
        feed: key("audit"),
        id: EventId([7; 16]),
        record: b"b".to_vec(),
        words: "ä".repeat(2_000),
        collected: Time(5_000),
        time: Some(Time(1_001)),
        kind: "receipt".into(),
        severity: Severity::Notice,
        json: true,
    }
}

fn delivered(n: u64) -> Tally {
    Tally { delivered: n, ..Tally::default() }
}

#[tokio::test]
async fn a_position_moves_from_where_it_stands_and_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let start = store.register_sink("siem", Start::Oldest).await.unwrap();
    store.commit(intake(&key("audit"), "", "c1", &["a", "b", "c"])).await.unwrap();
    let middle = Position { seq: 0, index: 2 };
    let tally = [(key("audit"), delivered(2))];
    for _ in 0..2 {
        store.advance("siem", start, middle, &tally, &[]).await.unwrap();
    }
    assert_eq!(store.sink_position("siem").await.unwrap(), Some(middle));
    assert_eq!(store.accounts().await.unwrap()[0].sinks[0].delivered, 2, "booked once");
    assert_eq!(store.usage().await.unwrap().sinks[0].events_waiting, 1);
    assert_balanced(&store).await;
    let end = Position { seq: 1, index: 0 };
    for (sink, from, to) in [
        ("siem", start, end),                            // stands elsewhere
        ("siem", middle, start),                         // backwards
        ("siem", middle, middle),                        // nowhere
        ("siem", middle, Position { seq: 2, index: 0 }), // beyond the end
        ("siem", middle, Position { seq: 0, index: 4 }), // beyond the chunk
        ("siem", middle, Position { seq: 1, index: 1 }), // in a chunk to come
        ("nobody", start, end),
    ] {
        let refused = store.advance(sink, from, to, &tally, &[]).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Conflict, "{sink} {from:?} {to:?}");
    }
    store.advance("siem", middle, end, &[(key("audit"), delivered(1))], &[]).await.unwrap();
    assert_eq!(store.usage().await.unwrap().bytes_used, 0);
    assert_balanced(&store).await;
}

#[tokio::test]
async fn an_advance_that_fails_half_way_books_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let start = store.register_sink("siem", Start::Oldest).await.unwrap();
    store.commit(intake(&key("audit"), "", "c1", &["a"])).await.unwrap();
    let tally = [(key("audit"), delivered(1)), (key("unknown"), delivered(1))];
    let end = Position { seq: 1, index: 0 };
    assert_eq!(store.advance("siem", start, end, &tally, &[]).await.unwrap_err().kind, Kind::Conflict);
    assert_eq!(store.sink_position("siem").await.unwrap(), Some(start));
    assert_balanced(&store).await;
    assert_eq!(deliver_texts(&store, "siem").await, ["a"]);
}

#[tokio::test]
async fn a_mismatch_shows_in_the_books() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let start = store.register_sink("siem", Start::Oldest).await.unwrap();
    let mut page = intake(&key("audit"), "", "c1", &["a", "b"]);
    page.listed = 3; // one record fell under the table
    store.commit(page).await.unwrap();
    let tally = [(key("audit"), delivered(1))]; // and the courier skipped one
    store.advance("siem", start, Position { seq: 1, index: 0 }, &tally, &[]).await.unwrap();
    let accounts = store.accounts().await.unwrap();
    let found = accounts[0].differences();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("listed") && found[1].contains("sink siem"), "{found:?}");
    assert!(accounts[1].differences().is_empty());
}

#[tokio::test]
async fn refused_and_unwanted_events_are_booked_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let start = store.register_sink("siem", Start::Oldest).await.unwrap();
    store.commit(intake(&key("audit"), "", "c1", &["a", "b", "c"])).await.unwrap();
    let letter = letter();
    let tally = [(key("audit"), Tally { delivered: 1, filtered: 1, dead_lettered: 1, lost: 0 })];
    let end = Position { seq: 1, index: 0 };
    for _ in 0..2 {
        store.advance("siem", start, end, &tally, std::slice::from_ref(&letter)).await.unwrap();
    }
    assert_balanced(&store).await;
    let rows = store.dead_letters_list(&Pick::default(), 0, 10).await.unwrap();
    assert_eq!(rows.len(), 1, "buried once");
    assert_eq!((rows[0].event_id, rows[0].refused, rows[0].len), (letter.id, Time(10_000), 1));
    assert_eq!(rows[0].words.len(), 2_048, "cut at a character");
    assert_eq!(store.dead_letter_bytes(rows[0].id).await.unwrap().unwrap(), b"b");
    let others = Pick { sink: Some("other".into()), ..Pick::default() };
    assert!(store.dead_letters_list(&others, 0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn late_sinks_have_their_own_base_and_removed_ones_lose_their_claim() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Time(10_000));
    let store = Store::open(dir.path(), &options(&clock)).await.unwrap();
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("old", Start::Oldest).await.unwrap();
    store.commit(intake(&key("audit"), "", "c1", &["a", "b"])).await.unwrap();
    deliver(&store, "old", 2).await;
    clock.advance(Duration::from_secs(3600));
    assert_eq!(store.sweep().await.unwrap().events, 2);
    store.commit(intake(&key("audit"), "c1", "c2", &["c", "d"])).await.unwrap();
    deliver(&store, "old", 1).await;
    store.register_sink("late", Start::Now).await.unwrap();
    store.register_sink("oldest", Start::Oldest).await.unwrap();
    assert_balanced(&store).await;
    store.register_feed(&key("dlp")).await.unwrap(); // younger than the sinks
    store.commit(intake(&key("dlp"), "", "c1", &["e"])).await.unwrap();
    assert_balanced(&store).await;
    assert_eq!(
        store.register_sink("late", Start::Oldest).await.unwrap().seq,
        2,
        "known: start does not count"
    );
    assert_eq!(deliver_texts(&store, "late").await, ["e"]);
    assert_eq!(deliver_texts(&store, "oldest").await, ["c", "d", "e"]);
    assert!(store.usage().await.unwrap().bytes_used > 0);
    let gone = store.retain_sinks(&["late", "oldest"]).await.unwrap();
    assert_eq!(gone, [("old".to_owned(), 2)]);
    assert_eq!(store.sink_position("old").await.unwrap(), None);
    assert_eq!(store.usage().await.unwrap().bytes_used, 0);
    assert_balanced(&store).await;
}

#[tokio::test]
async fn couriers_are_told_and_read_the_same_from_memory_and_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    store.register_sink("siem", Start::Oldest).await.unwrap();
    let mut newest = store.newest();
    store.commit(intake(&key("audit"), "", "c1", &["a", "ü"])).await.unwrap();
    assert!(newest.has_changed().unwrap());
    assert_eq!(*newest.borrow_and_update(), 1);
    assert!(store.inner.live().recent.next(0).is_some(), "kept in memory");
    let hot = store.next_chunk(0).await.unwrap().unwrap();
    assert!(store.inner.live().recent.next(0).is_none(), "let go once its only reader has it");
    let cold = store.next_chunk(0).await.unwrap().unwrap();
    assert_eq!((hot.seq, &hot.key, hot.collected), (cold.seq, &cold.key, cold.collected));
    assert_eq!((&hot.chunk.raw, &hot.chunk.records), (&cold.chunk.raw, &cold.chunk.records));
    assert_eq!(
        (&hot.chunk.kinds, hot.chunk.json, &hot.chunk.source),
        (&cold.chunk.kinds, cold.chunk.json, &cold.chunk.source)
    );
    assert!(store.next_chunk(1).await.unwrap().is_none());
    deliver(&store, "siem", 2).await;
    store.register_sink("archive", Start::Now).await.unwrap();
    store.commit(intake(&key("audit"), "c1", "c2", &["b"])).await.unwrap();
    store.next_chunk(1).await.unwrap().unwrap();
    deliver(&store, "siem", 1).await;
    assert!(store.inner.live().recent.next(1).is_some(), "the other has not come as far");
    deliver(&store, "archive", 1).await;
    assert!(store.inner.live().recent.next(1).is_none(), "let go once every sink has it");
}

#[tokio::test]
async fn at_the_limit_collection_pauses_until_a_fifth_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Time(0));
    let max_size = 10 * chunk_bytes();
    let limited = Options { max_size, ..options(&clock) };
    let store = Store::open(dir.path(), &limited).await.unwrap();
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("slow", Start::Oldest).await.unwrap();
    store.register_sink("fast", Start::Oldest).await.unwrap();
    for n in 0..10 {
        assert!(!store.over_limit(), "{n} chunks");
        store.commit(intake(&key("audit"), &cursor(n), &cursor(n + 1), &["0123456789"])).await.unwrap();
        deliver(&store, "fast", 1).await; // the slowest sink decides
    }
    assert!(store.over_limit());
    assert!(store.why_full().unwrap().starts_with("the store is at [store] max_size: "));
    let usage = store.usage().await.unwrap();
    assert_eq!((usage.bytes_used, usage.limit, usage.over_limit), (max_size, max_size, true));
    let slow = &usage.sinks[1];
    assert_eq!((slow.sink.as_str(), slow.events_waiting, slow.bytes_waiting), ("slow", 10, max_size));
    assert_eq!(slow.oldest_waiting, Some(Time(1_000)));
    assert_eq!((usage.sinks[0].events_waiting, usage.sinks[0].oldest_waiting), (0, None));
    deliver(&store, "slow", 1).await;
    assert!(store.over_limit(), "nine tenths are still too much");
    deliver(&store, "slow", 1).await;
    assert!(!store.over_limit(), "four fifths will do");
    store.commit(intake(&key("audit"), &cursor(10), &cursor(11), &["0123456789"])).await.unwrap();
    assert!(!store.over_limit(), "and it goes on up to the limit");
    assert_balanced(&store).await;
    drop(store);
    let store = Store::open(dir.path(), &limited).await.unwrap();
    assert_eq!(store.inner.live().undelivered, 9 * chunk_bytes(), "counted anew at the start");
}

#[tokio::test]
async fn a_raised_limit_ends_the_pause_at_once_and_a_lowered_one_begins_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Time(0));
    let max_size = 10 * chunk_bytes();
    let store = Store::open(dir.path(), &Options { max_size, ..options(&clock) }).await.unwrap();
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("slow", Start::Oldest).await.unwrap();
    for n in 0..10 {
        store.commit(intake(&key("audit"), &cursor(n), &cursor(n + 1), &["0123456789"])).await.unwrap();
    }
    assert!(store.over_limit());
    store.limit(max_size, Duration::from_secs(7));
    assert!(store.over_limit(), "another retention makes no room");
    store.limit(max_size + 1, Duration::from_secs(7));
    assert!(!store.over_limit(), "ten of eleven would not have ended the pause, the operator's word does");
    assert_eq!(store.usage().await.unwrap().limit, max_size + 1);
    store.limit(max_size - 1, Duration::from_secs(7));
    assert!(store.over_limit());
    for _ in 0..10 {
        deliver(&store, "slow", 1).await;
    }
    clock.advance(Duration::from_secs(5 + 7));
    assert_eq!(store.sweep().await.unwrap().chunks, 0, "kept for the new retention");
    clock.advance(Duration::from_millis(1));
    assert_eq!(store.sweep().await.unwrap().chunks, 10, "and not longer");
}

fn cursor(n: u64) -> String {
    if n == 0 { String::new() } else { format!("c{n}") }
}

fn chunk_bytes() -> u64 {
    let one = chunk(&key("audit"), &["0123456789"]);
    (one.gzip.len() + crate::chunk::encode_index(&one.records).len()) as u64
}

#[tokio::test]
async fn a_sweep_deletes_what_all_have_and_keeps_the_balance() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Time(10_000));
    let store = Store::open(dir.path(), &options(&clock)).await.unwrap();
    store.register_feed(&key("audit")).await.unwrap();
    for n in 0..40 {
        store.commit(intake(&key("audit"), &cursor(n), &cursor(n + 1), &["a", "b"])).await.unwrap();
    }
    clock.advance(Duration::from_secs(3600));
    assert_eq!(store.sweep().await.unwrap().chunks, 0, "without a sink nothing was delivered");
    store.register_sink("siem", Start::Oldest).await.unwrap();
    deliver(&store, "siem", 75).await; // 37 chunks and a half
    let swept = store.sweep().await.unwrap();
    assert_eq!((swept.chunks, swept.events), (37, 74));
    assert!(swept.ballast_bytes >= 128 << 10);
    assert_eq!(scalar(&store, "SELECT count(*) FROM body").await, 3);
    assert_balanced(&store).await;
    assert_eq!(deliver_texts(&store, "siem").await, ["b", "a", "b", "a", "b"]);
    store.sweep().await.unwrap();
    assert_eq!(scalar(&store, "SELECT count(*) FROM chunk").await, 0);
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(*store.newest().borrow(), 40, "numbers go on after everything was deleted");
    store.commit(intake(&key("audit"), "c40", "c41", &["z"])).await.unwrap();
    assert_eq!(deliver_texts(&store, "siem").await, ["z"]);
    assert_balanced(&store).await;
}

#[tokio::test]
async fn delivered_events_stay_for_the_retention() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Time(5_000));
    let store = Store::open(dir.path(), &options(&clock)).await.unwrap();
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("siem", Start::Oldest).await.unwrap();
    store.commit(intake(&key("audit"), "", "c1", &["a"])).await.unwrap();
    deliver(&store, "siem", 1).await;
    clock.advance(Duration::from_secs(60));
    assert_eq!(store.sweep().await.unwrap().chunks, 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(store.sweep().await.unwrap().chunks, 1);
}

#[tokio::test]
async fn intake_waits_for_a_courier_that_keeps_up_and_for_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let at_once = || async {
        let wait = store.let_courier_take();
        tokio::pin!(wait);
        std::future::poll_fn(|cx| std::task::Poll::Ready(wait.as_mut().poll(cx).is_ready())).await
    };
    assert!(at_once().await, "nothing stored");
    store.commit(intake(&key("audit"), "", "c1", &["a"])).await.unwrap();
    assert!(at_once().await, "no sink");
    store.register_sink("siem", Start::Now).await.unwrap();
    store.commit(intake(&key("audit"), "c1", "c2", &["b"])).await.unwrap();
    assert!(!at_once().await, "the sink is next to it");
    let taken = store.next_chunk(1).await.unwrap().unwrap();
    assert_eq!(taken.seq, 2);
    assert!(at_once().await, "taken");
    store.commit(intake(&key("audit"), "c2", "c3", &["c"])).await.unwrap();
    assert!(!at_once().await, "taken before it was confirmed, and wanted next");
    let (_, next) = tokio::join!(store.let_courier_take(), store.next_chunk(2));
    assert_eq!(next.unwrap().unwrap().seq, 3);
    store.commit(intake(&key("audit"), "c3", "c4", &["d"])).await.unwrap();
    store.let_courier_take().await; // nobody comes: the grace ends the wait
    store.commit(intake(&key("audit"), "c4", "c5", &["e"])).await.unwrap();
    assert!(at_once().await, "whoever missed one chunk is not waited for at the next");
}

/// Events that were stored while the clock was years ahead are deleted with those that were stored after them.
#[tokio::test]
async fn what_a_wrong_clock_stored_does_not_stay_for_ever() {
    const DAY: i64 = 86_400_000;
    let dir = tempfile::tempdir().unwrap();
    let (now, ahead) = (Time(100 * DAY), Time(5_000 * DAY));
    let clock = Clock::manual(now);
    let store = Store::open(dir.path(), &options(&clock)).await.unwrap();
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("siem", Start::Oldest).await.unwrap();
    for (n, collected) in [ahead, now, ahead].into_iter().enumerate() {
        let page = intake(
            &key("audit"),
            &if n == 0 { String::new() } else { format!("c{n}") },
            &format!("c{}", n + 1),
            &["a"],
        );
        store.commit(Intake { collected, ..page }).await.unwrap();
    }
    deliver(&store, "siem", usize::MAX >> 1).await;
    assert_eq!(store.sweep().await.unwrap().chunks, 0, "nothing is known to be old");
    clock.set(Time(now.0 + 30 * DAY));
    assert_eq!(store.sweep().await.unwrap().chunks, 2, "but the last, behind which nothing is old");
    assert_balanced(&store).await;
}

/// A sink that refuses a part for months must not fill the disk: what was put aside counts, until it is dealt with.
#[tokio::test]
async fn what_was_put_aside_counts_against_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Time(0));
    let record = "r".repeat(10_000);
    let limited = Options { max_size: 25_000, ..options(&clock) };
    let store = Store::open(dir.path(), &limited).await.unwrap();
    store.register_feed(&key("audit")).await.unwrap();
    let mut at = store.register_sink("siem", Start::Oldest).await.unwrap();
    for n in 0..2 {
        assert!(!store.over_limit(), "{n} letters");
        let mut page = intake(&key("audit"), &cursor(n), &cursor(n + 1), &[n.to_string()]);
        page.quarantined = vec![Quarantined::whole("file", "not_json", "no", &[0; 3_000])];
        page.listed += 1;
        store.commit(page).await.unwrap();
        let dead = [DeadLetter { record: record.clone().into_bytes(), ..letter() }];
        let tally = [(key("audit"), Tally { dead_lettered: 1, ..Tally::default() })];
        let to = Position { seq: at.seq + 1, index: 0 };
        store.advance("siem", at, to, &tally, &dead).await.unwrap();
        at = to;
        assert_balanced(&store).await;
    }
    assert!(store.over_limit());
    let usage = store.usage().await.unwrap();
    assert!(usage.dead_letter_bytes > 20_000 && usage.quarantine_bytes > 6_000, "{usage:?}");
    assert_eq!(usage.bytes_used, usage.dead_letter_bytes + usage.quarantine_bytes);
    let why = store.why_full().unwrap();
    assert!(why.contains("dead letters") && why.contains("quarantine"), "{why}");

    let store = {
        drop(store);
        Store::open(dir.path(), &limited).await.unwrap()
    };
    assert!(store.over_limit(), "known at the start");
    assert_eq!(store.drop_dead_letters(&Pick::default()).await.unwrap(), 2);
    assert_eq!(store.usage().await.unwrap().dead_letter_bytes, 0);
    assert!(!store.over_limit(), "the quarantine alone is no reason");
    assert_eq!(store.drop_quarantined(&Pick::default()).await.unwrap(), 2);
    assert_eq!(store.usage().await.unwrap().bytes_used, 0);
    assert_balanced(&store).await;
}
