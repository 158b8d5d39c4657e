//! `elasticsearch`, for Elasticsearch and OpenSearch: the `_bulk` API.
//!
//! Sources: Elasticsearch Guide, "Bulk API" (newline-delimited actions, `items` in the order of the request, one
//! status each; `create` fails with 409 where the id exists, and is the only action of data streams), "Data streams"
//! (`@timestamp` is required), "HTTP" (`http.max_content_length` is 100 MB, 413 beyond; no batch of ours is as large), "Response filtering"
//! (`filter_path`); OpenSearch documentation, "Bulk" (the same form).
//!
//! The id is the event's, so that a batch that is sent again after a lost answer is stored once: 409 says that the
//! event is there. A per-item 2xx means that the item is in the translog of the primary and of all its active
//! copies: level 5.

use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::Answer;
use super::preset::{Caps, Harmless, Item, Judged, Preset, Refusal, STORED, by_status, under};
use crate::event::Event;
use crate::fault::{Code, Kind};
use crate::format::json_string;
use crate::format::template::{Place, Template};
use crate::limits;
use crate::sink::pack::Record;

/// Version conflict of `create`: an event of this id is there already.
const THERE_ALREADY: u16 = 409;
/// What `_bulk` calls a request without actions, after it has looked at who sends.
const EMPTY: [&str; 2] = ["parse_exception", "action_request_validation_exception"];

/// `_bulk` of one cluster.
#[derive(Debug)]
pub struct Elasticsearch {
    index: Template,
    /// An ingest pipeline instead of the index's own.
    pipeline: Option<String>,
}

impl Elasticsearch {
    /// `index` names the index or data stream.
    pub fn new(index: Template, pipeline: Option<String>) -> Self {
        Elasticsearch { index, pipeline }
    }
}

impl Preset for Elasticsearch {
    fn write(&self, event: &Event<'_>, record: &mut Record, out: &mut Vec<u8>) {
        let mut index = String::new();
        self.index.write(event, Place::Index, &mut index);
        out.extend_from_slice(b"{\"create\":{\"_index\":");
        json_string(out, index.as_bytes());
        out.extend_from_slice(b",\"_id\":\"");
        out.extend_from_slice(&event.id.hex());
        out.extend_from_slice(b"\"}}\n");
        record.line(event, out);
    }
    fn content_type(&self) -> &'static str {
        "application/x-ndjson"
    }
    fn url(&self, base: &Url, _route: &str) -> Url {
        let mut url = under(base, "/_bulk");
        url.query_pairs_mut().append_pair("filter_path", "errors,error,status,items.*.status,items.*.error");
        if let Some(pipeline) = &self.pipeline {
            url.query_pairs_mut().append_pair("pipeline", pipeline);
        }
        url
    }
    fn level(&self) -> u8 {
        STORED
    }
    fn harmless(&self) -> Option<Harmless> {
        let lets_in = |answer: &Answer| {
            let whole = serde_json::from_slice::<Whole<'_>>(&answer.body);
            whole.is_ok_and(|said| EMPTY.contains(&&*said.error.kind))
        };
        Some(Harmless { body: Vec::new(), lets_in })
    }
    /// As many as have their verdicts within the bytes that are read of an answer, even if all are refused.
    fn caps(&self) -> Caps {
        Caps { events: limits::MAX_SINK_ANSWER_BYTES / limits::BULK_VERDICT_BYTES, ..Caps::default() }
    }
    fn judge(&self, answer: &Answer, events: usize) -> Judged {
        if !answer.status.is_success() {
            return by_status(answer);
        }
        let Ok(said) = serde_json::from_slice::<Said<'_>>(&answer.body) else {
            return Judged::Refused(Kind::Malformed, None);
        };
        if said.items.len() != events {
            return Judged::Refused(Kind::Malformed, Code::new("bulk_items"));
        }
        let refused: Vec<Item> =
            said.items.iter().enumerate().filter_map(|(n, item)| item.refused(n)).collect();
        if refused.is_empty() { Judged::Taken } else { Judged::Items(refused) }
    }
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    items: Vec<Action<'a>>,
}

/// One item under the name of its action; OpenSearch and proxies may say `index`.
#[derive(Deserialize)]
struct Action<'a> {
    #[serde(borrow, alias = "index")]
    create: Outcome<'a>,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    status: u16,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl Action<'_> {
    fn refused(&self, n: usize) -> Option<Item> {
        let status = self.create.status;
        if (200..300).contains(&status) || status == THERE_ALREADY {
            return None;
        }
        let said = self.create.error.map(RawValue::get).unwrap_or_default();
        let error: Error<'_> = serde_json::from_str(said).unwrap_or_default();
        let words = match (&*error.kind, &*error.reason) {
            ("", "") => said.to_owned(),
            (kind, reason) => match error.caused_by {
                Some(cause) if !cause.reason.is_empty() => format!("{kind}: {reason}: {}", cause.reason),
                _ => format!("{kind}: {reason}"),
            },
        };
        let why = Refusal { kind: Kind::Status(status), code: Code::new(&error.kind), said: words };
        Some(Item { events: n..n + 1, why: Some(why) })
    }
}

/// A request that was refused as a whole.
#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    error: Error<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Error<'a> {
    #[serde(borrow, rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    reason: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    caused_by: Option<Box<Error<'a>>>,
}
