//! `datadog`: Datadog's log intake.
//!
//! Source: Datadog API reference, "Logs: Send logs" (`POST /api/v2/logs`, `DD-API-KEY`, an array of at most 1,000 entries and 5 MB
//! before compression, 1 MB for one log, of which Datadog cuts what is longer and still answers 2xx; 202; 400, 401, 403, 408, 413,
//! 429, 500, 503; timestamps up to 18 hours in the past), "Log configuration: reserved attributes" (`ddsource`, `ddtags`,
//! `hostname`, `service`, `message`, `timestamp`).
//!
//! An event that Datadog would cut is not sent: it becomes a dead letter, whole. 202 says that it was received: level 4.

use url::Url;

use super::preset::{Caps, Preset, array, under};
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
}

impl Preset for Datadog {
    fn write(&self, event: &Event<'_>, record: &mut Record, out: &mut Vec<u8>) {
        out.extend_from_slice(b",{\"ddsource\":");
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
        if let Some(time) = event.time {
            out.extend_from_slice(format!(",\"timestamp\":{time}").as_bytes());
        }
        out.extend_from_slice(b",\"message\":");
        record.string(event, out);
        out.push(b'}');
    }
    fn content_type(&self) -> &'static str {
        "application/json"
    }
    fn body(&self, batch: &Batch, group: &Group<'_>) -> Vec<u8> {
        array(batch, &group.events)
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
