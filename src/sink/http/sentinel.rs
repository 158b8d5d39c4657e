//! `sentinel`: Microsoft Sentinel and every Log Analytics workspace, by the Logs Ingestion API of Azure Monitor.
//!
//! Sources: Azure Monitor, "Logs Ingestion API" (`POST {endpoint}/dataCollectionRules/{immutable id}/streams/{stream}
//! ?api-version=2023-01-01`, a JSON array, `Content-Encoding: gzip`, 204), "Service limits: Logs Ingestion API" (1 MB for
//! one call, compressed or not; "maximum size for field values: 64 KB, fields longer than 64 KB are truncated"; 429 with
//! `Retry-After`); Microsoft
//! identity platform for the token (see [`entra`](super::entra)).
//!
//! A column that Azure would cut is cut before, so that it stays JSON and says that it was; or the event becomes a dead letter.
//! Every outermost member of an event is a column.
//!
//! 204 says that the pipeline has the events, not that the table has them: level 4. There is no id that would tell a
//! repeat; `event_id` is in every event.

use bytes::Bytes;
use url::Url;

use super::preset::{Caps, Preset, array};
use crate::event::Event;
use crate::format::template::{Place, Template};
use crate::limits;
use crate::sink::batch::{Batch, Group};
use crate::sink::pack::Record;

const API_VERSION: &str = "2023-01-01";

/// One data collection rule.
#[derive(Debug)]
pub struct Sentinel {
    /// Its immutable id: `dcr-…`.
    pub rule: String,
    /// `Custom-…`, as the rule declares it.
    pub stream: Template,
}

impl Preset for Sentinel {
    fn route(&self, event: &Event<'_>, out: &mut String) -> bool {
        self.stream.write(event, Place::Word, out);
        true
    }
    fn write(&self, event: &Event<'_>, record: &mut Record, out: &mut Vec<u8>) {
        out.push(b',');
        record.json(event, out);
    }
    fn content_type(&self) -> &'static str {
        "application/json"
    }
    fn body(&self, batch: &Batch, group: &Group<'_>) -> Bytes {
        array(batch, &group.events)
    }
    fn url(&self, base: &Url, route: &str) -> Url {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["dataCollectionRules", &self.rule, "streams", route]);
        }
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        url
    }
    fn caps(&self) -> Caps {
        let bytes = limits::SENTINEL_REQUEST_BYTES;
        Caps { bytes, event_bytes: bytes, ..Caps::default() }
    }
}
