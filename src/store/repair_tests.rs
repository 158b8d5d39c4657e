//! Dead letters, quarantine, replays: what moves where, and that the books balance after each.

use std::time::Duration;

use super::fixture::{
    assert_balanced, chunk, deliver, deliver_texts, intake, key, open, options, scalar, span,
};
use super::{
    Account, DeadLetter, Dedupe, Intake, Order, Pick, Position, Quarantined, Readmitted, Shelf, Start, Store,
    Sum, Tally, Walked,
};
use crate::clock::{Clock, Time};
use crate::cursor::{FeedKey, Scope};
use crate::event::{EventId, Severity};
use crate::limits::{READMITTED_KEPT, REPAIRED_AT_ONCE};

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
    let tally = [(key("audit"), Tally { delivered: 2, filtered: 0, dead_lettered: 3, lost: 0 })];
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
async fn a_removal_that_broke_off_between_two_pieces_is_finished_before_the_sink_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_letters(dir.path()).await;
    let crash = "INSERT INTO dead_letter (sink, feed, event_id, record, words, refused, collected, kind, wanted) \
                 WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 700) \
                 SELECT d.sink, d.feed, d.event_id, d.record, d.words, d.refused, d.collected, d.kind, \
                 iif(n.value % 2, 1, NULL) FROM dead_letter AS d, n; DELETE FROM account; DELETE FROM sink";
    let mut tx = store.begin("stop half-way").await.unwrap();
    let done = sqlx::raw_sql(crash).execute(tx.conn()).await.map_err(Into::into);
    tx.finish(done).await.unwrap();
    drop(tx);
    assert_eq!(scalar(&store, "SELECT count(*) FROM dead_letter WHERE booked = 1").await, 2_103);
    assert!(store.retain_sinks(&[]).await.unwrap().is_empty(), "it is gone already");
    assert_eq!(
        scalar(&store, "SELECT count(*) FROM dead_letter WHERE booked = 1 OR wanted NOT NULL").await,
        0
    );
    store.register_sink("siem", Start::Now).await.unwrap();
    assert_eq!(books(&store).await.sinks[0].in_letters, (0, 0));
}

#[tokio::test]
async fn a_list_can_be_narrowed_down_by_everything_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_letters(dir.path()).await;
    let count = async |pick: Pick| store.count_on(Shelf::DeadLetters, &pick).await.unwrap();
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

#[tokio::test]
async fn what_lies_there_is_summed_up_by_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_letters(dir.path()).await;
    store.register_feed(&key("dlp")).await.unwrap();
    let mut page = intake(&key("dlp"), "", "c1", &["a"]);
    page.quarantined = vec![
        unreadable("xxxx"),
        unreadable("yy"),
        Quarantined { reason: "too_long".into(), ..unreadable("z") },
    ];
    page.listed = 4;
    store.commit(page).await.unwrap();
    let sum = |a: &str, b: &str, rows, bytes| Sum { of: [a.to_owned(), b.to_owned()], rows, bytes };
    let found = store.quarantine_sums().await.unwrap();
    assert_eq!(found, [sum("acme/dlp", "not_json", 2, 6), sum("acme/dlp", "too_long", 1, 1)]);
    assert_eq!(store.dead_letters_sums().await.unwrap(), [sum("siem", "acme/audit", 3, 3)]);
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

/// A window that holds these unreadable lines.
fn window(from: &str, to: &str, pass: u64, lines: &[&str]) -> Intake {
    let mut page = intake(&key("audit"), from, to, &[] as &[&str]);
    page.quarantined = lines.iter().map(|line| unreadable(line)).collect();
    (page.listed, page.dedupe) = (lines.len() as u64, Dedupe::Ids { pass, horizon: Time(0) });
    page
}

#[tokio::test]
async fn what_cannot_be_read_is_quarantined_once_however_often_its_window_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.register_feed(&key("audit")).await.unwrap();
    let first = store.commit(window("", "c1", 1, &["x", "x", "y"])).await.unwrap();
    assert_eq!((first.quarantined, first.duplicate), (3, 0), "twins are two");
    let again = store.commit(window("c1", "c2", 2, &["y", "x", "x"])).await.unwrap();
    assert_eq!((again.quarantined, again.duplicate), (0, 3));
    assert_eq!(again.known, ["not_json"; 3]);
    let third = store.commit(window("c2", "c3", 3, &["x", "x", "x"])).await.unwrap();
    assert_eq!((third.quarantined, third.duplicate), (1, 2), "a third one is new");
    let account = books(&store).await;
    assert_eq!((account.listed, account.quarantined, account.duplicate), (4, 4, 5));
    // given up is not forgotten
    store.drop_quarantined(&Pick::default()).await.unwrap();
    assert_eq!(store.commit(window("c3", "c4", 4, &["x", "y"])).await.unwrap().quarantined, 0);
    // what has an id of its own where it can be read has none where it cannot
    let mut page = window("c4", "c5", 0, &["z", "z"]);
    page.dedupe = Dedupe::Exact { horizon: Time(0) };
    assert_eq!(store.commit(page.clone()).await.unwrap().quarantined, 2);
    (page.span, page.collected) = (span("c5", "c6"), Time(6_000));
    assert_eq!(store.commit(page).await.unwrap().quarantined, 0);
    books(&store).await;
}

#[tokio::test]
async fn twins_of_a_window_are_both_read_out_of_the_quarantine_and_none_is_stored_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.register_feed(&key("audit")).await.unwrap();
    store.register_sink("siem", Start::Oldest).await.unwrap();
    store.commit(window("", "c1", 1, &["x", "x", "y", "y", "z", "z"])).await.unwrap();
    let twins = chunk(&key("audit"), &["x", "x"]);
    let done = store.readmit(&key("audit"), twins, &[1, 2]).await.unwrap();
    assert_eq!(done, Readmitted { stored: 2, duplicate: 0 });
    // one of two before, and one after the window was read again by a version that can read it
    let done = store.readmit(&key("audit"), chunk(&key("audit"), &["y"]), &[3]).await.unwrap();
    assert_eq!(done, Readmitted { stored: 1, duplicate: 0 });
    let mut page = intake(&key("audit"), "c1", "c2", &["x", "x", "y", "y", "z", "z"]);
    page.dedupe = Dedupe::Ids { pass: 2, horizon: Time(0) };
    let committed = store.commit(page).await.unwrap();
    assert_eq!((committed.stored, committed.duplicate), (3, 3));
    let rest = chunk(&key("audit"), &["y", "z", "z"]);
    let done = store.readmit(&key("audit"), rest, &[4, 5, 6]).await.unwrap();
    assert_eq!(done, Readmitted { stored: 0, duplicate: 3 });
    let account = books(&store).await;
    assert_eq!((account.listed, account.stored, account.quarantined), (6, 6, 0));
    let got = deliver(&store, "siem", 10).await;
    let ids: std::collections::BTreeSet<_> = got.iter().map(|(_, id)| id.to_string()).collect();
    assert_eq!((got.len(), ids.len()), (6, 6), "six events, six ids");
}

#[tokio::test]
async fn identities_out_of_the_quarantine_are_forgotten_where_no_window_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Time(10_000));
    let store = Store::open(dir.path(), &options(&clock)).await.unwrap();
    store.register_feed(&key("siem.av")).await.unwrap();
    let mut page = intake(&key("siem.av"), "", "c1", &["a"]);
    (page.quarantined, page.listed) = (vec![unreadable("x")], 2);
    store.commit(page).await.unwrap();
    store.readmit(&key("siem.av"), chunk(&key("siem.av"), &["x"]), &[1]).await.unwrap();
    assert_eq!(store.sweep().await.unwrap().seen, 0);
    clock.advance(READMITTED_KEPT + Duration::from_millis(1));
    assert_eq!(store.sweep().await.unwrap().seen, 1);
}

#[tokio::test]
async fn many_are_changed_in_pieces_and_others_are_seen_to_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let all = u64::from(REPAIRED_AT_ONCE) * 3 + 7;
    store.register_feed(&key("audit")).await.unwrap();
    let start = store.register_sink("siem", Start::Oldest).await.unwrap();
    let lines: Vec<String> = (0..all).map(|n| n.to_string()).collect();
    store.commit(intake(&key("audit"), "", "c1", &lines)).await.unwrap();
    let dead: Vec<DeadLetter> = lines.iter().map(|line| letter(line)).collect();
    let tally = [(key("audit"), Tally { dead_lettered: all, ..Tally::default() })];
    store.advance("siem", start, Position { seq: 1, index: 0 }, &tally, &dead).await.unwrap();
    assert_eq!(store.want_dead_letters(&of("siem")).await.unwrap(), [("siem".to_owned(), all)]);

    let beside = Store::open_read_only(dir.path()).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let pick = of("siem");
    let mut dropping = std::pin::pin!(store.drop_dead_letters(&pick));
    let dropped = loop {
        tokio::select! {
            biased;
            done = &mut dropping => break done.unwrap(),
            () = tokio::task::yield_now() => {
                seen.insert(beside.count_on(Shelf::DeadLetters, &Pick::default()).await.unwrap());
            }
        }
    };
    assert_eq!(dropped, all);
    assert!(seen.iter().any(|left| (1..all).contains(left)), "never in between: {seen:?}");
    let whole = |left: &u64| *left == 0 || (all - left).is_multiple_of(u64::from(REPAIRED_AT_ONCE));
    assert!(seen.iter().all(whole), "{seen:?}");
    let account = books(&store).await;
    assert_eq!(account.sinks[0].in_letters, (0, all));
}

#[tokio::test]
async fn a_scope_means_the_same_to_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (keys, mut from) =
        ([("acme", "siem.av"), ("acme", "audit"), ("ac[m]e", "a?dit"), ("", "collector")], 0);
    let keys = keys.map(|(tenant, feed)| FeedKey { tenant: tenant.into(), feed });
    for key in &keys {
        store.register_feed(key).await.unwrap();
        let mut page = intake(key, "", "c1", &[] as &[&str]);
        (page.quarantined, page.listed) = (vec![unreadable("x")], 1);
        store.commit(page).await.unwrap();
        from += 1;
    }
    assert_eq!(from, 4);
    for scope in [
        "",
        "*",
        "acme",
        "a*",
        "acme/siem.*",
        "*/*dit",
        "acme/a?dit",
        "ac[m]e",
        "ac[m]e/a?dit",
        "/collector",
        "a/b/c",
        "x",
    ] {
        let covered = keys.iter().filter(|key| Scope::new(scope).covers(key)).count() as u64;
        let pick = Pick { scope: scope.into(), ..Pick::default() };
        assert_eq!(store.count_on(Shelf::Quarantine, &pick).await.unwrap(), covered, "{scope:?}");
    }
}

#[tokio::test]
async fn a_look_at_the_books_walks_through_no_letter_and_stands_in_nobody_s_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_letters(dir.path()).await;
    let plan: Vec<(i64, i64, i64, String)> = {
        let mut conn = store.inner.sums.lock().await;
        sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", super::accounts::ACCOUNTS)))
            .fetch_all(&mut *conn)
            .await
            .unwrap()
    };
    let steps: Vec<&str> = plan.iter().map(|(.., step)| step.as_str()).collect();
    for index in ["dead_letter_booked", "quarantine_recent"] {
        assert!(steps.iter().any(|step| step.contains(&format!("COVERING INDEX {index}"))), "{steps:#?}");
    }
    for table in ["dead_letter", "quarantine"] {
        assert!(!steps.contains(&format!("SCAN {table}").as_str()), "{steps:#?}");
    }
    let long_sum = store.inner.sums.lock().await;
    store.feed(&key("audit")).await.unwrap();
    assert_eq!(store.next_replay("siem").await.unwrap(), None);
    assert!(store.wanted_dead_letters("siem", 9, 9).await.unwrap().is_empty());
    drop(long_sum);
    let passing = store.inner.status.lock().await;
    store.accounts().await.unwrap();
    store.usage().await.unwrap();
    drop(passing);
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
    assert_eq!(store.count_on(Shelf::DeadLetters, &Pick::default()).await.unwrap(), 1);
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
