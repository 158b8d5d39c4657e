//! What the store's tests are written with.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Dedupe, Intake, Options, Store};
use crate::chunk::{Chunk, Record};
use crate::clock::{Clock, Time};
use crate::cursor::{Cursor, FeedKey, Span};
use crate::event::{EventId, Severity};

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn key(feed: &'static str) -> FeedKey {
    FeedKey { tenant: "acme".into(), feed }
}

/// One record a line, ids of ordinal 0.
pub(super) fn chunk(key: &FeedKey, lines: &[impl AsRef<str>]) -> Chunk {
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

pub(super) fn intake(key: &FeedKey, from: &str, to: &str, lines: &[impl AsRef<str>]) -> Intake {
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

pub(super) async fn open(dir: &Path) -> Store {
    Store::open(dir, &options(&Clock::manual(Time(10_000)))).await.unwrap()
}
