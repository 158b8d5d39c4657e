//! Storing: once, whole, in order, whatever is lost on the way.

use super::fixture::{assert_balanced, chunk, deliver_texts, intake, key, open, scalar, span};
use super::{Cause, Committed, Dedupe, Gap, Intake, Lane, Quarantined, Start, Store};
use crate::clock::Time;
use crate::cursor::{Cursor, TimeSpan};
use crate::fault::Kind;
use crate::limits::{MAX_QUARANTINE_BYTES, STORE_MAX_CHUNK_BYTES};

async fn ready(dir: &std::path::Path) -> Store {
    let store = open(dir).await;
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("siem", Start::Oldest).await.unwrap();
    store
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_can_be_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let page = intake(&key("audit"), "", "c1", &["a", "b"]);
    let first = store.commit(page.clone()).await.unwrap();
    assert_eq!(first, Committed { stored: 2, ..Committed::default() });
    let second = store.commit(page).await.unwrap();
    assert_eq!(second, Committed { already: true, ..Committed::default() });
    assert_eq!(deliver_texts(&store, "siem").await, ["a", "b"]);
    let row = store.feed(&key("audit")).await.unwrap();
    assert_eq!((row.cursor, row.listed, row.stored), (Cursor("c1".into()), 2, 2));
    assert_eq!((row.last_success, row.last_event_time), (Some(Time(5_000)), Some(Time(2_000))));
    assert_balanced(&store).await;
}

#[tokio::test]
async fn a_commit_from_elsewhere_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    store.commit(intake(&key("audit"), "", "c1", &["a"])).await.unwrap();
    let mut page = intake(&key("audit"), "c7", "c8", &["b"]);
    page.quarantined.push(Quarantined::whole("file", "not_json", "", b"x"));
    assert_eq!(store.commit(page).await.unwrap_err().kind, Kind::Conflict);
    assert_eq!(store.commit(intake(&key("dlp"), "", "c1", &["x"])).await.unwrap_err().kind, Kind::Conflict);
    assert_eq!(deliver_texts(&store, "siem").await, ["a"]);
    assert_eq!(scalar(&store, "SELECT count(*) FROM quarantine").await, 0);
    assert_eq!(store.feed(&key("audit")).await.unwrap().cursor.0, "c1");
    assert_balanced(&store).await;
}

#[tokio::test]
async fn what_was_not_committed_is_gone_after_a_restart_and_what_was_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    store.commit(intake(&key("audit"), "", "c1", &["a"])).await.unwrap();
    store.stage(&key("audit"), chunk(&key("audit"), &["lost"])).await.unwrap();
    assert_eq!(scalar(&store, "SELECT count(*) FROM body").await, 2);
    assert_eq!(*store.newest().borrow(), 1, "staged bytes are invisible");
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(scalar(&store, "SELECT count(*) FROM body").await, 1);
    assert_eq!(scalar(&store, "SELECT count(*) FROM staged").await, 0);
    assert_eq!(*store.newest().borrow(), 1);
    assert_eq!(deliver_texts(&store, "siem").await, ["a"]);
    assert_eq!(store.feed(&key("audit")).await.unwrap().cursor.0, "c1");
}

#[tokio::test]
async fn a_large_file_appears_at_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let part = |line: &str| chunk(&key("audit"), &[line.to_owned()]);
    let staged = vec![
        store.stage(&key("audit"), part("one")).await.unwrap(),
        store.stage(&key("audit"), part("two")).await.unwrap(),
    ];
    assert!(store.next_chunk(0).await.unwrap().is_none());
    let page = Intake { staged, listed: 3, ..intake(&key("audit"), "", "c1", &["three"]) };
    assert_eq!(store.commit(page).await.unwrap().stored, 3);
    assert_eq!(deliver_texts(&store, "siem").await, ["one", "two", "three"]);
    assert_balanced(&store).await;
}

#[tokio::test]
async fn the_second_copy_of_a_file_leaves_no_bytes_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let none: [&str; 0] = [];
    for already in [false, true] {
        let staged = vec![store.stage(&key("audit"), chunk(&key("audit"), &["one"])).await.unwrap()];
        let page = Intake { staged, listed: 1, ..intake(&key("audit"), "", "c1", &none) };
        assert_eq!(store.commit(page.clone()).await.unwrap().already, already);
        assert!(store.commit(page).await.unwrap().already, "the same handles again");
    }
    assert_eq!(scalar(&store, "SELECT count(*) FROM body").await, 1);
    assert_eq!(deliver_texts(&store, "siem").await, ["one"]);
    assert_balanced(&store).await;
}

#[tokio::test]
async fn abandoned_parts_can_be_deleted_and_their_handles_are_void() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    store.register_feed(&key("dlp")).await.unwrap();
    let staged = store.stage(&key("audit"), chunk(&key("audit"), &["one"])).await.unwrap();
    store.stage(&key("dlp"), chunk(&key("dlp"), &["other"])).await.unwrap();
    assert_eq!(store.unstage(&key("audit")).await.unwrap(), 1);
    assert_eq!(scalar(&store, "SELECT count(*) FROM body").await, 1, "another feed's part stays");
    let page = Intake { staged: vec![staged], ..intake(&key("audit"), "", "c1", &["two"]) };
    assert_eq!(store.commit(page).await.unwrap_err().kind, Kind::Conflict);
    assert!(store.feed(&key("audit")).await.unwrap().cursor.is_unset());
}

#[tokio::test]
async fn findings_are_kept_with_the_page_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let long = vec![b'x'; MAX_QUARANTINE_BYTES + 1];
    let mut page = intake(&key("audit"), "", "c1", &["a"]);
    page.quarantined.push(Quarantined::whole("file", "too_long", "a line without end", &long));
    let gap = Gap {
        span: TimeSpan { from: Time(1), to: Time(9) },
        cause: Cause::BeyondRetention,
        detail: "7 days".into(),
        records: 3,
        fetchable: true,
    };
    page.gaps.push(gap);
    page.listed = 5;
    assert_eq!(store.commit(page).await.unwrap().quarantined, 1);
    assert_balanced(&store).await;
    let listed = store.quarantine_list(&super::Pick::default(), 0, 10).await.unwrap();
    assert_eq!((listed[0].len, listed[0].kept), (long.len() as u64, MAX_QUARANTINE_BYTES as u64));
    assert_eq!((listed[0].reason.as_str(), listed[0].found), ("too_long", Time(5_000)));
    assert_eq!(store.quarantine_bytes(listed[0].id).await.unwrap().unwrap(), long[..MAX_QUARANTINE_BYTES]);
    let gaps = store.gaps_list(0, 10).await.unwrap();
    assert_eq!((gaps[0].span.to, gaps[0].closed, gaps[0].fetchable), (Time(9), None, true));
    assert!(store.gaps_list(gaps[0].id, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn without_movement_findings_are_taken_and_events_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let refused = store.commit(intake(&key("audit"), "", "", &["a"])).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Conflict);
    let none: [&str; 0] = [];
    let mut page = Intake { listed: 1, ..intake(&key("audit"), "", "", &none) };
    page.quarantined.push(Quarantined::whole("file", "not_json", "", b"{"));
    assert_eq!(store.commit(page).await.unwrap().quarantined, 1);
    let row = store.feed(&key("audit")).await.unwrap();
    assert_eq!((row.quarantined, row.cursor_updated), (1, None));
    assert_balanced(&store).await;
}

#[tokio::test]
async fn what_could_not_be_read_back_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let mut outside = intake(&key("audit"), "", "c1", &["a"]);
    outside.chunks[0].records[0].len = 3;
    assert_eq!(store.commit(outside).await.unwrap_err().kind, Kind::Conflict);
    let mut large = intake(&key("audit"), "", "c1", &["a"]);
    large.chunks[0].raw = vec![0; STORE_MAX_CHUNK_BYTES + 1].into();
    assert_eq!(store.commit(large).await.unwrap_err().kind, Kind::Conflict);
    let staged = vec![store.stage(&key("audit"), chunk(&key("audit"), &["one"])).await.unwrap()];
    let dedupe = Dedupe::Ids { pass: 1, horizon: Time(0) };
    let page = Intake { staged, dedupe, ..intake(&key("audit"), "", "c1", &["a"]) };
    assert_eq!(store.commit(page).await.unwrap_err().kind, Kind::Conflict);
}

#[tokio::test]
async fn a_page_without_events_moves_the_cursor_and_stores_no_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let mut page = intake(&key("audit"), "", "c1", &["a"]);
    page.chunks[0].records.clear();
    (page.listed, page.newest) = (0, None);
    assert_eq!(store.commit(page).await.unwrap(), Committed::default());
    let row = store.feed(&key("audit")).await.unwrap();
    assert_eq!((row.cursor.0.as_str(), row.last_event_time), ("c1", None));
    assert_eq!(row.last_success, Some(Time(5_000)));
    assert_eq!(scalar(&store, "SELECT count(*) FROM body").await, 0);
}

#[tokio::test]
async fn a_commit_dropped_half_way_leaves_no_transaction_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = ready(dir.path()).await;
    let (mut cursor, mut cut) = (String::new(), 0);
    for polls in 1..40 {
        let next = format!("c{polls}");
        let page = intake(&key("audit"), &cursor, &next, std::slice::from_ref(&next));
        // Polled a few times and dropped: cut off at another statement each time.
        let mut commit = Box::pin(store.commit(page.clone()));
        for _ in 0..polls {
            let done = tokio::select! {
                biased;
                _ = &mut commit => true,
                () = tokio::task::yield_now() => false,
            };
            if done {
                break;
            }
            cut += 1;
        }
        drop(commit);
        store.commit(page).await.unwrap();
        cursor = next;
    }
    assert!(cut >= 40, "most of them were cut off");
    let wanted: Vec<String> = (1..40).map(|n| format!("c{n}")).collect();
    assert_eq!(deliver_texts(&store, "siem").await, wanted);
    assert_balanced(&store).await;
}

#[test]
fn futures_can_move_between_threads() {
    fn send<T: Send>(_: impl Fn(&'static Store) -> T) {}
    send(|store| store.commit(intake(&key("audit"), "", "c1", &["a"])));
    send(|store| store.advance("siem", Default::default(), Default::default(), &[], &[]));
    send(|store| store.next_chunk(0));
    send(|store| store.sweep());
    send(|store| store.accounts());
    assert_eq!(span("a", "b").to.0, "b");
}

/// One event that claims to be of now does not tell that a file six days old is read to now.
#[tokio::test]
async fn most_events_of_a_page_tell_how_far_reading_has_come() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.register_feed(&key("audit")).await.unwrap();
    let timed = |times: &[i64]| {
        let mut page = intake(&key("audit"), "", "c1", &vec!["a"; times.len()]);
        let records = page.chunks.iter_mut().flat_map(|chunk| &mut chunk.records);
        records.zip(times).for_each(|(record, time)| record.time = Some(*time));
        page
    };
    store.commit(timed(&[100, 110, 900_000, 120, 5])).await.unwrap();
    let row = store.feed(&key("audit")).await.unwrap();
    assert_eq!(row.reached, Some(Time(110)));
    let side = Intake { lane: Lane::Side, ..timed(&[7]) };
    store.commit(side).await.unwrap();
    assert_eq!(
        store.feed(&key("audit")).await.unwrap().reached,
        Some(Time(110)),
        "a backfill tells nothing of it"
    );
}
