//! `datadog`: Datadog's log intake.
//!
//! Source: Datadog API reference, "Logs: Send logs" (`POST /api/v2/logs`, `DD-API-KEY`, an array of at most 1,000 entries and 5 MB
//! before compression, 1 MB for one log, of which Datadog cuts what is longer and still answers 2xx; 202; 400, 401, 403, 408, 413,
//! 429, 500, 503), "Log configuration: reserved attributes" (`ddsource`, `ddtags`, `hostname`, `service`, `message`), "Log date
//! remapper" (`timestamp` and its like, also of a message that is JSON, date the log; up to 18 hours in the past and two in
//! the future; without one the time of receipt holds).
//!
//! An event that Datadog would cut is not sent: it becomes a dead letter, whole. What is older than Datadog takes disappears
//! there after a 202; it goes without a date of its own, which is looked at when a request is made, for batches wait. 202 says
//! that it was received: level 4.

use bytes::Bytes;
use url::Url;

use super::preset::{Caps, Preset, framed, under};
use crate::clock::{Clock, Time};
use crate::event::Event;
use crate::format::json_string;
use crate::format::template::{Place, Template};
use crate::limits;
use crate::sink::batch::{Batch, Group};
use crate::sink::pack::Record;

/// One organisation.
#[derive(Debug)]
pub struct Datadog {
    pub source: String,
    pub service: Template,
    /// Tags beside `tenant` and `feed`, comma between them.
    pub tags: String,
    pub host: String,
    /// What is too old, or too new.
    pub clock: Clock,
}

/// How a record with a time begins; the time and a comma follow.
const DATED: &[u8] = b",{\"timestamp\":";
/// What stands before the message. No other part of a record can hold it: within strings quotes are escaped.
const MESSAGE: &[u8] = b",\"message\":\"";
/// How a message begins that has no date outermost: the envelope, whose records lie one deeper.
const ENVELOPE: &[u8] = b"{\\\"event_id\\\":";

impl Preset for Datadog {
    fn write(&self, event: &Event<'_>, record: &mut Record, out: &mut Vec<u8>) {
        match event.time {
            Some(time) => out.extend_from_slice(format!(",{{\"timestamp\":{time},").as_bytes()),
            None => out.extend_from_slice(b",{"),
        }
        out.extend_from_slice(b"\"ddsource\":");
        json_string(out, self.source.as_bytes());
        let mut service = String::new();
        self.service.write(event, Place::Free, &mut service);
        out.extend_from_slice(b",\"service\":");
        json_string(out, service.as_bytes());
        out.extend_from_slice(b",\"hostname\":");
        json_string(out, self.host.as_bytes());
        let more = if self.tags.is_empty() { "" } else { "," };
        let tags = format!("tenant:{},feed:{}{more}{}", event.tenant, event.feed, self.tags);
        out.extend_from_slice(b",\"ddtags\":");
        json_string(out, tags.as_bytes());
        out.extend_from_slice(b",\"message\":");
        record.string(event, out);
        out.push(b'}');
    }
    fn content_type(&self) -> &'static str {
        "application/json"
    }
    fn body(&self, batch: &Batch, group: &Group<'_>) -> Bytes {
        let now = self.clock.now();
        let mut body = Vec::with_capacity(batch.size(&group.events) + 16);
        for record in group.events.iter().flat_map(Clone::clone).filter_map(|place| batch.record(place)) {
            match undated(record, now) {
                Some(late) => body.extend(late.concat()),
                None => body.extend_from_slice(record),
            }
        }
        framed(body)
    }
    fn url(&self, base: &Url, _route: &str) -> Url {
        under(base, "/api/v2/logs")
    }
    fn caps(&self) -> Caps {
        Caps {
            events: limits::DATADOG_REQUEST_EVENTS,
            bytes: limits::DATADOG_REQUEST_BYTES,
            event_bytes: limits::DATADOG_EVENT_BYTES,
        }
    }
}

/// The parts of a record that Datadog would not show for its date, without one. A message that is JSON may have one of its
/// own, so it is put one deeper; nothing of it is lost.
fn undated(record: &[u8], now: Time) -> Option<[&[u8]; 5]> {
    let rest = record.strip_prefix(DATED)?;
    let (time, rest) = rest.split_at(rest.iter().position(|byte| *byte == b',')?);
    let time = Time(std::str::from_utf8(time).ok()?.parse().ok()?);
    if now.since(time) < limits::DATADOG_OLDEST && time.since(now) < limits::DATADOG_NEWEST {
        return None;
    }
    let rest = rest.strip_prefix(b",")?;
    let at = rest.windows(MESSAGE.len()).position(|bytes| bytes == MESSAGE)? + MESSAGE.len();
    let (head, message) = rest.split_at(at);
    if !message.starts_with(b"{") || message.starts_with(ENVELOPE) {
        return Some([b",{", head, message, b"", b""]);
    }
    let message = message.strip_suffix(b"\"}")?;
    Some([b",{", head, b"{\\\"event\\\":", message, b"}\"}"])
}
