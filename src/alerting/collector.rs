//! The daemon's own feed: gaps, alerts and heartbeats as events, stored like any other and delivered to the sinks
//! that name `collector`. The forms are described in `docs/collector-feed.md`.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::message::{Message, Told};
use crate::chunk::{Chunk, Record};
use crate::clock::Time;
use crate::cursor::{Cursor, FeedKey, Span};
use crate::event::{EventId, Severity};
use crate::store::{Dedupe, GapRow, Intake, Lane};
use crate::telemetry::label::Grade;

/// How many events there were, and the last gap among them: the feed's position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub events: u64,
    /// Number of the gap in the ledger.
    pub gap: i64,
}

impl Position {
    /// As the store has it; anything unreadable is the beginning.
    pub fn of(cursor: &Cursor) -> Self {
        serde_json::from_str(&cursor.0).unwrap_or_default()
    }
    fn cursor(self) -> Cursor {
        match self {
            Position { events: 0, gap: 0 } => Cursor::unset(),
            position => Cursor(json!(position).to_string()),
        }
    }
}

/// One event on its way into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    kind: &'static str,
    severity: Severity,
    at: Time,
    body: Value,
    gap: i64,
}

impl Event {
    /// An alert was raised, told again, or is over.
    pub fn alert(message: &Message) -> Self {
        let severity = match (message.told, message.severity) {
            (Told::Cleared, _) | (_, Grade::Info) => Severity::Informational,
            (_, Grade::Warning) => Severity::Notice,
            (_, Grade::Error | Grade::Critical) => Severity::Warning,
        };
        Event { kind: "alert", severity, at: message.at, body: message.as_json(), gap: 0 }
    }

    /// A span of a feed was not collected.
    pub fn gap(gap: &GapRow) -> Self {
        let body = json!({
            "tenant": gap.feed.tenant, "feed": gap.feed.feed, "gap": gap.id, "from": gap.span.from.rfc3339(),
            "to": gap.span.to.rfc3339(), "seconds": gap.span.to.since(gap.span.from).as_secs(), "cause": gap.cause,
            "detail": gap.detail, "records": gap.records, "fetchable": gap.fetchable,
        });
        Event { kind: "gap", severity: Severity::Warning, at: gap.found, body, gap: gap.id }
    }

    /// The daemon lives; `body` says how it is.
    pub fn heartbeat(at: Time, body: Value) -> Self {
        Event { kind: "heartbeat", severity: Severity::Informational, at, body, gap: 0 }
    }

    /// Number of the gap it tells of; 0 for others.
    pub fn gap_number(&self) -> i64 {
        self.gap
    }
    /// It says only that the daemon lives.
    pub fn is_heartbeat(&self) -> bool {
        self.kind == "heartbeat"
    }

    fn record(&self, number: u64) -> String {
        let mut record = json!({ "kind": self.kind, "number": number, "at": self.at.rfc3339() });
        if let (Some(record), Some(body)) = (record.as_object_mut(), self.body.as_object()) {
            for (name, value) in body.iter().filter(|(name, _)| *name != "at") {
                record.insert(name.clone(), value.clone());
            }
        }
        record.to_string()
    }
}

const KINDS: [&str; 3] = ["alert", "gap", "heartbeat"];

/// The transaction that stores these events behind `from`; `None` without events. Every event has a number of its
/// own, so that no two are alike.
pub fn intake(feed: &FeedKey, from: Position, events: &[Event], now: Time) -> Option<(Intake, Position)> {
    if events.is_empty() {
        return None;
    }
    let (mut raw, mut records, mut to) = (Vec::new(), Vec::new(), from);
    for event in events {
        to = Position { events: to.events + 1, gap: to.gap.max(event.gap) };
        let text = event.record(to.events);
        records.push(Record {
            offset: u32::try_from(raw.len()).unwrap_or(u32::MAX), // a look has a few hundred events at most
            len: u32::try_from(text.len()).unwrap_or(u32::MAX),
            id: EventId::of(&feed.tenant, feed.feed, text.as_bytes(), 0),
            time: Some(event.at.0),
            kind: KINDS.iter().position(|kind| *kind == event.kind).unwrap_or(0) as u8,
            severity: event.severity,
            repaired: false,
        });
        raw.extend_from_slice(text.as_bytes());
        raw.push(b'\n');
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let gzip = gzip.write_all(&raw).and_then(|()| gzip.finish()).unwrap_or_default(); // memory takes every write
    let listed = records.len() as u64;
    let chunk = Chunk {
        raw: raw.into(),
        gzip: gzip.into(),
        records,
        kinds: KINDS.iter().map(|kind| (*kind).to_owned()).collect(),
        json: true,
        source: "mimecollectd".to_owned(),
    };
    let intake = Intake {
        feed: feed.clone(),
        span: Span { from: from.cursor(), to: to.cursor() },
        newest: chunk.newest().map(Time),
        chunks: vec![chunk],
        staged: Vec::new(),
        quarantined: Vec::new(),
        gaps: Vec::new(),
        listed,
        dedupe: Dedupe::None,
        collected: now,
        lane: Lane::Main,
        complete: None,
        file: None,
        closes: Vec::new(),
    };
    Some((intake, to))
}
