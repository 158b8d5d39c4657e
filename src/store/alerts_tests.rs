//! Alerts in the store: they survive, newer messages replace older ones, and events come with them or not at all.

use super::fixture::{chunk, intake, key, open, span};
use super::*;
use crate::clock::Time;
use crate::cursor::FeedKey;
use crate::event::{EventId, Severity};
use crate::limits::ALERT_COUNTED_ROWS;

fn collector() -> FeedKey {
    FeedKey { tenant: String::new(), feed: "collector" }
}

fn due(target: &str, number: i64, message: &str) -> DueRow {
    DueRow { target: target.into(), name: "acme\nacme\nM10".into(), number, message: message.into() }
}

#[tokio::test]
async fn book_messages_and_events_are_one_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    assert_eq!(store.collector_cursor(&collector()).await.unwrap().0, "");
    let events = || intake(&collector(), "", "1", &["{\"kind\":\"alert\"}"]);
    let news = |events| AlertNews {
        book: vec![("acme\nacme\nM10".into(), Some("{}".into()))],
        due: vec![due("ops", 1, "raised"), due("chat", 1, "raised")],
        events: Some(events),
    };
    assert!(store.note_alerts(news(events())).await.unwrap());
    assert!(store.note_alerts(news(events())).await.unwrap(), "a lost answer can be repeated");
    let wrong = intake(&collector(), "7", "8", &["{}"]);
    let refused =
        AlertNews { book: vec![("other".into(), Some("{}".into()))], due: vec![], events: Some(wrong) };
    store.note_alerts(refused).await.unwrap_err();
    assert_eq!(store.alert_book().await.unwrap(), ["{}"], "what came with refused events is not kept");
    assert_eq!(store.alerts_due().await.unwrap().len(), 2);
    let accounts = store.accounts().await.unwrap();
    let mine = accounts.iter().find(|account| account.feed == collector()).unwrap();
    assert_eq!((mine.listed, mine.stored), (1, 1));
    assert_eq!(mine.feed.to_string(), "collector");
}

#[tokio::test]
async fn a_newer_message_replaces_an_older_one_and_outlives_its_confirmation() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let write = async |number, text: &str| {
        let news = AlertNews { due: vec![due("ops", number, text)], ..AlertNews::default() };
        store.note_alerts(news).await.unwrap();
    };
    write(1, "raised").await;
    write(2, "cleared").await;
    let told = |number| [("acme\nacme\nM10".to_owned(), number)];
    store.alerts_told("ops", &told(1)).await.unwrap();
    assert_eq!(store.alerts_due().await.unwrap(), [due("ops", 2, "cleared")]);
    store.alerts_told("chat", &told(9)).await.unwrap();
    assert_eq!(store.alerts_due().await.unwrap().len(), 1, "another target's");
    store.alerts_told("ops", &told(2)).await.unwrap();
    assert_eq!(store.alerts_due().await.unwrap(), []);
    write(3, "raised").await;
    store.retain_alert_targets(&["ops"]).await.unwrap();
    assert_eq!(store.alerts_due().await.unwrap().len(), 1);
    store.retain_alert_targets(&[]).await.unwrap();
    assert_eq!(store.alerts_due().await.unwrap(), []);
}

/// A noisy feed once ended the alerts of all others, whose rows were no longer among the newest thousand.
#[tokio::test]
async fn what_one_feed_or_sink_puts_aside_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let many = u64::from(ALERT_COUNTED_ROWS) + 200;
    let letter = |feed: &FeedKey, n: u64| DeadLetter {
        feed: feed.clone(),
        id: EventId([7; 16]),
        record: b"b".to_vec(),
        words: format!("no {n}"),
        collected: Time(5_000),
        time: None,
        kind: "receipt".into(),
        severity: Severity::Notice,
        json: true,
    };
    for (feed, quiet) in [("audit", true), ("dlp", false)] {
        let feed = key(feed);
        store.register_feed(&feed).await.unwrap();
        let items = if quiet { 3 } else { many };
        let page = Intake {
            quarantined: (0..items)
                .map(|n| Quarantined::whole("f.gz", "not_json", "no", &n.to_be_bytes()))
                .collect(),
            listed: items + 1,
            chunks: vec![chunk(&feed, &["{}"])],
            collected: Time(5_000),
            ..intake(&feed, "", "1", &[] as &[&str])
        };
        store.commit(page).await.unwrap();
    }
    let (audit, dlp) = (key("audit"), key("dlp"));
    let mut at = store.register_sink("a", Start::Oldest).await.unwrap();
    let mut dead = vec![letter(&audit, 1), letter(&audit, 2)];
    for (sink, letters) in
        [("a", std::mem::take(&mut dead)), ("b", (0..many).map(|n| letter(&dlp, n)).collect())]
    {
        if sink == "b" {
            at = store.register_sink("b", Start::Oldest).await.unwrap();
        }
        let to = Position { seq: at.seq + 1, index: 0 };
        let count = letters.len() as u64;
        let feed = letters[0].feed.clone();
        let tally = [(feed, Tally { dead_lettered: count, ..Tally::default() })];
        store.advance(sink, at, to, &tally, &letters).await.unwrap();
    }
    let aside = store.put_aside_since(Time(0)).await.unwrap();
    let seen: Vec<_> =
        aside.iter().map(|a| (a.feed.feed, a.sink.clone().unwrap_or_default(), a.items)).collect();
    let cap = u64::from(ALERT_COUNTED_ROWS);
    let wanted = [("audit", "", 3), ("dlp", "", cap), ("audit", "a", 2), ("dlp", "b", cap)];
    assert_eq!(seen, wanted.map(|(feed, sink, items)| (feed, sink.to_owned(), items)));
}

#[tokio::test]
async fn what_was_put_aside_and_not_collected_is_counted_by_feed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let feed = key("audit");
    store.register_feed(&feed).await.unwrap();
    let whole = |line: &[u8]| Quarantined::whole("file.gz", "not_json", "no", line);
    let gap = Gap {
        span: crate::cursor::TimeSpan { from: Time(1_000), to: Time(61_000) },
        cause: Cause::BeyondRetention,
        detail: "late".into(),
        records: 0,
        fetchable: false,
    };
    let page = Intake {
        quarantined: vec![whole(b"a"), whole(b"b")],
        gaps: vec![gap.clone(), gap],
        listed: 3,
        chunks: vec![chunk(&feed, &["{}"])],
        span: span("", "1"),
        collected: Time(5_000),
        ..intake(&feed, "", "1", &[] as &[&str])
    };
    store.commit(page).await.unwrap();
    let aside = store.put_aside_since(Time(4_999)).await.unwrap();
    assert_eq!((aside.len(), aside[0].items, aside[0].sink.clone()), (1, 2, None));
    assert!(aside[0].words.contains("not_json"), "{aside:?}");
    assert_eq!(store.put_aside_since(Time(5_000)).await.unwrap(), []);
    let sum = store.gaps_found_since(Time(0), Some("acme"), Some("audit")).await.unwrap();
    assert_eq!(sum, GapSum { gaps: 2, seconds: 120 });
    assert_eq!(store.gaps_found_since(Time(0), Some("globex"), None).await.unwrap(), GapSum::default());
    let newest = store.newest_gaps().await.unwrap();
    let [(2, newest)] = newest.as_slice() else { panic!("{newest:?}") };
    assert_eq!((&newest.feed, newest.id, newest.found), (&feed, 2, Time(5_000)));
}
