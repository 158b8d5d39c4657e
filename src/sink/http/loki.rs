//! `loki`: Grafana Loki's push API, as JSON.
//!
//! Sources: Grafana Loki, "Loki HTTP API: Ingest logs" (`POST /loki/api/v1/push`, `streams` of labels and `values`, the time in
//! nanoseconds as a string, structured metadata as a third part of a value, gzip, 204, 400 for what it refuses), "Label best
//! practices" (few labels of few values), "Multi-tenancy" (`X-Scope-OrgID`), "Request validation and rate limits" (429 when the
//! rate is exceeded; 400 `entry too far behind`, `greater_than_max_sample_age` and others), "Accept out-of-order writes".
//!
//! A 400 names some of the lines it refuses, in words for people, and Loki has taken the others; what it has, it knows again by
//! time, labels and text, so that halving the batch repeats nothing there.

use std::collections::BTreeMap;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::Answer;
use super::preset::{Harmless, Preset, array, under};
use crate::event::Event;
use crate::format::json_string;
use crate::sink::batch::{Batch, Group};
use crate::sink::pack::Record;

/// What Loki says to a push without streams, after it has looked at who sends.
const NO_STREAM: &str = "at least one valid stream is required";
const ORGANISATION: HeaderName = HeaderName::from_static("x-scope-orgid");

/// One Loki, for one of its tenants.
#[derive(Debug)]
pub struct Loki {
    /// Labels beside `tenant` and `feed`.
    pub labels: BTreeMap<String, String>,
    pub organisation: Option<HeaderValue>,
    /// The event's id goes along as structured metadata.
    pub metadata: bool,
}

impl Preset for Loki {
    /// The labels of the event's stream.
    fn route(&self, event: &Event<'_>, out: &mut String) -> bool {
        let mut json = Vec::with_capacity(64);
        let known = [("feed", event.feed), ("tenant", event.tenant)];
        let own = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(known) {
            json.push(if json.is_empty() { b'{' } else { b',' });
            json_string(&mut json, name.as_bytes());
            json.push(b':');
            json_string(&mut json, value.as_bytes());
        }
        json.push(b'}');
        out.push_str(&String::from_utf8_lossy(&json));
        true
    }
    fn write(&self, event: &Event<'_>, record: &mut Record, out: &mut Vec<u8>) {
        let millis = event.time.unwrap_or(event.collected).max(0);
        out.extend_from_slice(format!(",[\"{millis}000000\",").as_bytes());
        record.string(event, out);
        if self.metadata {
            out.extend_from_slice(b",{\"event_id\":\"");
            out.extend_from_slice(&event.id.hex());
            out.extend_from_slice(b"\"}");
        }
        out.push(b']');
    }
    fn content_type(&self) -> &'static str {
        "application/json"
    }
    fn all_in_one(&self) -> bool {
        true
    }
    fn body(&self, batch: &Batch, _all: &Group<'_>) -> Bytes {
        let groups = batch.groups();
        let labels: usize = groups.iter().map(|group| group.route.len() + 32).sum();
        let mut body = Vec::with_capacity(batch.bytes.len() + labels + 16);
        body.extend_from_slice(b"{\"streams\":[");
        for (n, group) in groups.iter().enumerate() {
            body.extend_from_slice(if n == 0 { b"{\"stream\":" } else { b",{\"stream\":" });
            body.extend_from_slice(group.route.as_bytes());
            body.extend_from_slice(b",\"values\":");
            body.extend_from_slice(&array(batch, &group.events));
            body.push(b'}');
        }
        body.extend_from_slice(b"]}");
        body.into()
    }
    fn url(&self, base: &Url, _route: &str) -> Url {
        under(base, "/loki/api/v1/push")
    }
    fn headers(&self, _route: &str, headers: &mut HeaderMap) {
        if let Some(organisation) = &self.organisation {
            headers.insert(ORGANISATION, organisation.clone());
        }
    }
    fn harmless(&self) -> Option<Harmless> {
        let lets_in = |answer: &Answer| String::from_utf8_lossy(&answer.body).contains(NO_STREAM);
        Some(Harmless { body: b"{\"streams\":[]}".to_vec(), lets_in })
    }
}
