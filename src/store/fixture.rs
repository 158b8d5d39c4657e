//! What the tests of the store, and of those who read it, are written with.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Dedupe, Intake, Lane, Options, Position, Store, Tally};
use crate::chunk::{Chunk, Record};
use crate::clock::{Clock, Time};
use crate::cursor::{Cursor, FeedKey, Span};
use crate::event::{EventId, Severity};

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn key(feed: &'static str) -> FeedKey {
    FeedKey { tenant: "acme".into(), feed }
}

/// One record a line, ids of ordinal 0.
pub fn chunk(key: &FeedKey, lines: &[impl AsRef<str>]) -> Chunk {
    let (mut raw, mut records) = (Vec::new(), Vec::new());
    for (n, line) in lines.iter().enumerate() {
        let line = line.as_ref().as_bytes();
        records.push(Record {
            offset: raw.len() as u32,
            len: line.len() as u32,
            id: EventId::of(&key.tenant, key.feed, line, 0),
            time: Some(1_000 + n as i64),
            kind: 0,
            severity: Severity::Notice,
            repaired: false,
        });
        raw.extend_from_slice(line);
        raw.push(b'\n');
    }
    let gzip = gzip(&raw).into();
    Chunk { raw: raw.into(), gzip, records, kinds: vec!["receipt".into()], json: true, source: "file".into() }
}

pub(super) fn span(from: &str, to: &str) -> Span {
    Span { from: Cursor(from.into()), to: Cursor(to.into()) }
}

pub fn intake(key: &FeedKey, from: &str, to: &str, lines: &[impl AsRef<str>]) -> Intake {
    let chunks = if lines.is_empty() { Vec::new() } else { vec![chunk(key, lines)] };
    Intake {
        feed: key.clone(),
        span: span(from, to),
        chunks,
        staged: Vec::new(),
        quarantined: Vec::new(),
        gaps: Vec::new(),
        listed: lines.len() as u64,
        dedupe: Dedupe::None,
        collected: Time(5_000),
        newest: Some(Time(2_000)),
        lane: Lane::Main,
        complete: None,
        file: None,
        closes: Vec::new(),
    }
}

pub(super) fn options(clock: &Clock) -> Options {
    Options {
        max_size: 1 << 30,
        retention: Duration::from_secs(60),
        clock: clock.clone(),
        ballast: 128 << 10,
    }
}

pub async fn open(dir: &Path) -> Store {
    Store::open(dir, &options(&Clock::manual(Time(10_000)))).await.unwrap()
}

/// Text and id of an event.
pub(super) type Seen = (String, EventId);

/// Delivers up to `limit` events to a sink, at most one chunk a call to `advance`; returns them in order.
pub(super) async fn deliver(store: &Store, sink: &str, limit: usize) -> Vec<Seen> {
    let mut out = Vec::new();
    let mut at = store.sink_position(sink).await.unwrap().unwrap();
    while out.len() < limit {
        let Some(stored) = store.next_chunk(at.seq).await.unwrap() else { break };
        let total = stored.chunk.records.len();
        let start = at.index as usize;
        let end = total.min(start + limit - out.len());
        for n in start..end {
            let event =
                stored.chunk.event(n, &stored.key.tenant, stored.key.feed, stored.collected.0).unwrap();
            out.push((String::from_utf8(event.raw.to_vec()).unwrap(), event.id));
        }
        let to = match end == total {
            true => Position { seq: stored.seq, index: 0 },
            false => Position { seq: at.seq, index: end as u32 },
        };
        let tally = Tally { delivered: (end - start) as u64, ..Tally::default() };
        store.advance(sink, at, to, &[(stored.key.clone(), tally)], &[]).await.unwrap();
        at = to;
    }
    out
}

pub(super) async fn deliver_texts(store: &Store, sink: &str) -> Vec<String> {
    deliver(store, sink, usize::MAX >> 1).await.into_iter().map(|(text, _)| text).collect()
}

/// Every identity of the contract, and the sums in memory against the database's.
pub async fn assert_balanced(store: &Store) {
    for account in store.accounts().await.unwrap() {
        assert_eq!(account.differences(), Vec::<String>::new(), "{account:#?}");
    }
    let used = store.usage().await.unwrap().bytes_used;
    assert_eq!(store.inner.live().held(), used, "bytes counted in memory and in the database");
    let sql = "SELECT coalesce((SELECT sum(length(record) + octet_length(words)) FROM dead_letter), 0) + \
               coalesce((SELECT sum(length(bytes) + octet_length(detail)) FROM quarantine), 0)";
    let lies = scalar(store, sql).await as u64;
    assert_eq!(store.inner.live().put_aside, lies, "bytes put aside, counted anew");
}

/// Asks the file itself, past the store.
pub(super) async fn scalar(store: &Store, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut *store.inner.status.lock().await).await.unwrap()
}
