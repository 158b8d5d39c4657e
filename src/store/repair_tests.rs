//! Dead letters, quarantine, replays: what moves where, and that the books balance after each.

use std::time::Duration;

use super::fixture::{assert_balanced, chunk, deliver, deliver_texts, intake, key, open, options, span};
use super::{
    Account, DeadLetter, Dedupe, Order, Pick, Position, Quarantined, Readmitted, Start, Store, Tally, Walked,
};
use crate::clock::{Clock, Time};
use crate::event::{EventId, Severity};

fn letter(record: &str) -> DeadLetter {
    DeadLetter {
        feed: key("audit"),
        id: EventId::of("acme", "audit", record.as_bytes(), 0),
        record: record.as_bytes().to_vec(),
        words: "no".into(),
        collected: Time(5_000),
        time: Some(Time(1_001)),
        kind: "audit".into(),
        severity: Severity::Warning,
        json: true,
    }
}

/// A sink that refused b, c and d of five.
async fn with_letters(dir: &std::path::Path) -> Store {
    let store = open(dir).await;
    store.register_feed(&key("audit")).await.unwrap();
    let start = store.register_sink("siem", Start::Oldest).await.unwrap();
    store.commit(intake(&key("audit"), "", "c1", &["a", "b", "c", "d", "e"])).await.unwrap();
    let tally = [(key("audit"), Tally { delivered: 2, filtered: 0, dead_lettered: 3 })];
    let dead = [letter("b"), letter("c"), letter("d")];
    store.advance("siem", start, Position { seq: 1, index: 0 }, &tally, &dead).await.unwrap();
    store
}

async fn books(store: &Store) -> Account {
    assert_balanced(store).await;
    store.accounts().await.unwrap().remove(0)
}

fn of(sink: &str) -> Pick {
    Pick { sink: Some(sink.into()), ..Pick::default() }
}

#[tokio::test]
async fn a_letter_that_is_taken_after_all_is_delivered_and_one_given_up_stays_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_letters(dir.path()).await;
    let rows = store.dead_letters_list(&of("siem"), 0, 10).await.unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    assert!(store.wanted_dead_letters("siem", 10, 1 << 20).await.unwrap().is_empty(), "nobody asked");
    let marked = store.want_dead_letters(&Pick::ids(&ids[..2])).await.unwrap();
    assert_eq!(marked, [("siem".to_owned(), 2)]);
    let wanted = store.wanted_dead_letters("siem", 10, 1 << 20).await.unwrap();
    assert_eq!(wanted.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids[..2]);
    assert_eq!(wanted[0].1, letter("b"));
    assert_eq!(wanted[0].1.event().severity, Severity::Warning);
    assert_eq!(store.wanted_dead_letters("siem", 10, 0).await.unwrap().len(), 0);
    assert_eq!(store.wanted_dead_letters("siem", 10, 1).await.unwrap().len(), 1, "one of any size");

    for _ in 0..2 {
        store.settle_dead_letters("siem", &ids[..1], &[(ids[1], "still no".into())]).await.unwrap();
    }
    let account = books(&store).await;
    assert_eq!((account.sinks[0].delivered, account.sinks[0].dead_lettered), (3, 2));
    let left = store.dead_letters_list(&of("siem"), 0, 10).await.unwrap();
    assert_eq!(left.len(), 2);
    assert_eq!((left[0].words.as_str(), left[0].wanted), ("still no", None));
    assert_eq!(store.dead_letters_wanted("siem").await.unwrap(), 0);

    assert_eq!(store.drop_dead_letters(&of("siem")).await.unwrap(), 2);
    let account = books(&store).await;
    assert_eq!((account.sinks[0].dead_lettered, account.sinks[0].in_letters), (2, (0, 2)));
}

#[tokio::test]
async fn letters_of_a_sink_that_was_removed_are_kept_and_counted_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_letters(dir.path()).await;
    store.want_dead_letters(&Pick::default()).await.unwrap();
    store.retain_sinks(&[]).await.unwrap();
    assert_eq!(store.dead_letters_wanted("siem").await.unwrap(), 0);
    assert!(store.want_dead_letters(&Pick::default()).await.unwrap().is_empty(), "nobody to send them to");
    store.register_sink("siem", Start::Now).await.unwrap();
    books(&store).await;
    assert_eq!(store.want_dead_letters(&Pick::default()).await.unwrap(), [("siem".to_owned(), 3)]);
    let ids: Vec<i64> =
        store.wanted_dead_letters("siem", 9, 9).await.unwrap().iter().map(|(id, _)| *id).collect();
    store.settle_dead_letters("siem", &ids[..2], &[]).await.unwrap();
    store.drop_dead_letters(&Pick::default()).await.unwrap();
    let account = books(&store).await;
    assert_eq!((account.sinks[0].delivered, account.sinks[0].in_letters), (0, (0, 0)));
}

#[tokio::test]
async fn a_list_can_be_narrowed_down_by_everything_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_letters(dir.path()).await;
    let count = async |pick: Pick| store.dead_letters_count(&pick).await.unwrap();
    let scope = |scope: &str| Pick { scope: scope.into(), ..Pick::default() };
    assert_eq!(count(Pick::default()).await, 3);
    for yes in ["acme", "acme/audit", "acme/a*", "*/audit"] {
        assert_eq!(count(scope(yes)).await, 3, "{yes}");
    }
    for no in ["bcme", "acme/dlp", "audit"] {
        assert_eq!(count(scope(no)).await, 0, "{no}");
    }
    assert_eq!(count(Pick { since: Some(Time(10_000)), ..Pick::default() }).await, 3);
    assert_eq!(count(Pick { since: Some(Time(10_001)), ..Pick::default() }).await, 0);
    assert_eq!(count(Pick { until: Some(Time(10_000)), ..Pick::default() }).await, 0);
    assert_eq!(count(Pick::ids([2, 77])).await, 1);
    let page = store.dead_letters_list(&Pick::default(), 1, 1).await.unwrap();
    assert_eq!(page.iter().map(|row| row.id).collect::<Vec<_>>(), [2]);
}

fn unreadable(line: &str) -> Quarantined {
    Quarantined::whole("file.gz, line 3", "not_json", "not JSON", line.as_bytes())
}

#[tokio::test]
async fn what_became_readable_becomes_events_and_what_is_given_up_stays_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("siem", Start::Oldest).await.unwrap();
    let mut page = intake(&key("audit"), "", "c1", &["a"]);
    page.quarantined = vec![unreadable("x"), unreadable("x"), unreadable("y"), unreadable("z")];
    page.listed = 5;
    store.commit(page).await.unwrap();
    // twins: each is an event of its own, in one go or one after the other
    let done = store.readmit(&key("audit"), chunk(&key("audit"), &["x"]), &[1]).await.unwrap();
    assert_eq!(done, Readmitted { stored: 1, duplicate: 0 });
    let done = store.readmit(&key("audit"), chunk(&key("audit"), &["x", "y"]), &[2, 3]).await.unwrap();
    assert_eq!(done, Readmitted { stored: 2, duplicate: 0 });
    // once more: nothing is there any more
    let done = store.readmit(&key("audit"), chunk(&key("audit"), &["x", "y"]), &[2, 3]).await.unwrap();
    assert_eq!(done, Readmitted::default());
    let account = books(&store).await;
    assert_eq!((account.listed, account.stored, account.quarantined), (5, 4, 1));
    assert_eq!(store.drop_quarantined(&Pick::ids([4])).await.unwrap(), 1);
    assert_eq!(books(&store).await.in_quarantine, (0, 1));
    let got = deliver(&store, "siem", 10).await;
    let expected: Vec<_> = [("a", 0), ("x", 0), ("x", 1), ("y", 0)]
        .iter()
        .map(|(text, twin)| ((*text).to_owned(), EventId::of("acme", "audit", text.as_bytes(), *twin)))
        .collect();
    assert_eq!(got, expected);
    assert_balanced(&store).await;
}

#[tokio::test]
async fn what_a_window_brought_in_readable_meanwhile_is_not_stored_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("siem", Start::Oldest).await.unwrap();
    let ids = Dedupe::Ids { pass: 1, horizon: Time(0) };
    let mut page = intake(&key("audit"), "", "c1", &["a"]);
    (page.quarantined, page.listed, page.dedupe) = (vec![unreadable("x"), unreadable("y")], 3, ids);
    store.commit(page).await.unwrap();
    let mut again = intake(&key("audit"), "c1", "c2", &["a", "x"]); // a newer version reads the window again
    (again.span, again.dedupe) = (span("c1", "c2"), Dedupe::Ids { pass: 2, horizon: Time(0) });
    store.commit(again).await.unwrap();
    let done = store.readmit(&key("audit"), chunk(&key("audit"), &["x", "y"]), &[1, 2]).await.unwrap();
    assert_eq!(done, Readmitted { stored: 1, duplicate: 1 });
    let account = books(&store).await;
    assert_eq!((account.stored, account.quarantined), (3, 0));
    assert_eq!(deliver_texts(&store, "siem").await, ["a", "x", "y"]);
}

fn order(scope: &str, since: i64, until: i64) -> Order {
    Order { sink: "siem".into(), scope: scope.into(), since: Time(since), until: Time(until) }
}

#[tokio::test]
async fn a_replay_goes_as_far_as_the_sink_stood_and_through_chunks_of_its_time_and_feeds() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for feed in ["audit", "dlp"] {
        store.register_feed(&key(feed)).await.unwrap();
    }
    store.register_sink("siem", Start::Oldest).await.unwrap();
    // events of 1,000 and 1,001 ms, collected at 5,000
    store.commit(intake(&key("audit"), "", "c1", &["a", "b"])).await.unwrap();
    store.commit(intake(&key("dlp"), "", "c1", &["c", "d"])).await.unwrap();
    store.commit(intake(&key("audit"), "c1", "c2", &["e", "f", "g"])).await.unwrap();
    deliver(&store, "siem", 5).await; // stands behind e
    let all = store.add_replay(&order("", 0, i64::MAX)).await.unwrap();
    assert_eq!((all.total, all.last), (5, (3, 1)));
    assert_eq!((all.records_of(1, 2), all.records_of(3, 3)), (2, 1));
    let audit = store.add_replay(&order("acme/audit", 0, i64::MAX)).await.unwrap();
    assert_eq!((audit.total, audit.at.seq), (3, 0));
    assert_eq!(store.next_of_replay(&audit, 1).await.unwrap(), Some(3));
    assert_eq!(store.next_of_replay(&audit, 3).await.unwrap(), None);
    assert_eq!(store.add_replay(&order("acme/dlp", 0, i64::MAX)).await.unwrap().at.seq, 1);
    for (since, until) in [(5_001, 9_000), (0, 1_000)] {
        assert_eq!(store.add_replay(&order("", since, until)).await.unwrap().total, 0, "{since} {until}");
    }
    let nobody = Order { sink: "nobody".into(), ..order("", 0, 1) };
    assert!(store.add_replay(&nobody).await.is_err());
}

#[tokio::test]
async fn a_replay_moves_once_holds_its_chunks_and_leaves_the_account_alone() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Time(10_000));
    let store = Store::open(dir.path(), &options(&clock)).await.unwrap();
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("siem", Start::Oldest).await.unwrap();
    store.commit(intake(&key("audit"), "", "c1", &["a", "b"])).await.unwrap();
    store.commit(intake(&key("audit"), "c1", "c2", &["c"])).await.unwrap();
    deliver_texts(&store, "siem").await;
    let before = books(&store).await;
    let replay = store.add_replay(&order("", 0, i64::MAX)).await.unwrap();
    clock.advance(Duration::from_secs(3_600));
    store.sweep().await.unwrap();
    assert_eq!(books(&store).await.kept, 3, "a replay waits for them");
    let to = Position { seq: 1, index: 0 };
    for _ in 0..2 {
        let walked = Walked { looked_at: 2, sent: 1 };
        store.advance_replay(&replay, to, walked, &[letter("b")]).await.unwrap();
    }
    let now = store.next_replay("siem").await.unwrap().unwrap();
    assert_eq!((now.at, now.looked_at, now.sent, now.refused), (to, 2, 1, 1));
    assert_eq!(store.dead_letters_count(&Pick::default()).await.unwrap(), 1);
    store.sweep().await.unwrap();
    let after = books(&store).await;
    assert_eq!(after.kept, 1, "what it has passed may go");
    assert_eq!(after.sinks, before.sinks, "the sink's account is of events, not of copies");
    assert!(store.end_replay(replay.id, "").await.unwrap());
    assert!(!store.end_replay(replay.id, "").await.unwrap());
    assert_eq!(store.replays(true).await.unwrap(), []);
    assert_eq!(store.replays(false).await.unwrap()[0].gone(), 1);
    clock.advance(Duration::from_secs(31 * 86_400));
    store.sweep().await.unwrap();
    assert_eq!(store.replays(false).await.unwrap(), [], "forgotten after a month");
}
