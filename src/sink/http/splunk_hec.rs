//! `splunk-hec`: Splunk's HTTP Event Collector.
//!
//! Sources: Splunk, Getting Data In, "Format events for HTTP Event Collector" (the keys around an event, `time` in
//! seconds with milliseconds), "Set up and use HTTP Event Collector" (endpoints `/services/collector/event` and
//! `/raw`, header `Authorization: Splunk TOKEN`), "About HTTP Event Collector Indexer Acknowledgment" (channel,
//! `ackId`, `/services/collector/ack`; a `true` is told once), "Troubleshoot HTTP Event Collector" (the codes);
//! limits.conf `[http_input] max_content_length`.
//!
//! A code is carried as `hec_N`, and the recovery table has a row for each. Where Splunk names the event it refuses
//! (`invalid-event-number`), none of the request counts as taken: that event is put aside and the others are sent
//! again at once. Without indexer acknowledgement a 200 comes before Splunk's pipeline: level 4. With it, level 5. Where it is asked
//! for and the token does not have it, what Splunk took counts as level 4, and the probe says so.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::Answer;
use super::preset::{ANSWERED, Harmless, Item, Judged, Preset, Question, Refusal, STORED, by_status, under};
use crate::event::Event;
use crate::fault::{Code, Kind};
use crate::format::json_string;
use crate::format::template::{Place, Template};
use crate::sink::pack::Record;

const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");
/// "No data": what a valid token gets for an empty request.
const NO_DATA: u64 = 5;
/// "ACK is disabled": the token does not have indexer acknowledgement.
const ACK_DISABLED: u64 = 14;

/// What Splunk is told about the events.
#[derive(Debug)]
pub struct SplunkHec {
    pub raw: bool,
    pub sourcetype: Template,
    pub source: Template,
    pub host: String,
    /// `None`: the token's own.
    pub index: Option<Template>,
    /// How long to wait for the indexers; `None`: their acknowledgement is not asked for.
    pub acknowledge: Option<Duration>,
}

impl Preset for SplunkHec {
    fn route(&self, event: &Event<'_>, out: &mut String) -> bool {
        if !self.raw {
            return false;
        }
        let mut add = |name: &str, template: &Template| {
            let mut value = String::new();
            template.write(event, Place::Free, &mut value);
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(name);
            out.push('=');
            out.extend(url::form_urlencoded::byte_serialize(value.as_bytes()));
        };
        add("sourcetype", &self.sourcetype);
        add("source", &self.source);
        if let Some(index) = &self.index {
            add("index", index);
        }
        true
    }

    fn write(&self, event: &Event<'_>, record: &mut Record, out: &mut Vec<u8>) {
        if self.raw {
            return record.line(event, out);
        }
        out.push(b'{');
        if let Some(time) = event.time {
            let sign = if time < 0 { "-" } else { "" };
            let (seconds, millis) = (time.unsigned_abs() / 1000, time.unsigned_abs() % 1000);
            out.extend_from_slice(format!("\"time\":{sign}{seconds}.{millis:03},").as_bytes());
        }
        let mut text = String::new();
        let mut key = |name: &str, template: &Template, out: &mut Vec<u8>| {
            text.clear();
            template.write(event, Place::Free, &mut text);
            out.extend_from_slice(name.as_bytes());
            json_string(out, text.as_bytes());
        };
        out.extend_from_slice(b"\"host\":");
        json_string(out, self.host.as_bytes());
        key(",\"source\":", &self.source, out);
        key(",\"sourcetype\":", &self.sourcetype, out);
        if let Some(index) = &self.index {
            key(",\"index\":", index, out);
        }
        out.extend_from_slice(b",\"event\":");
        record.json(event, out);
        out.extend_from_slice(b"}\n");
    }

    fn content_type(&self) -> &'static str {
        if self.raw { "text/plain; charset=utf-8" } else { "application/json" }
    }

    fn url(&self, base: &Url, route: &str) -> Url {
        let mut url = endpoint(base, if self.raw { "raw" } else { "event" });
        if self.raw {
            let host: String = url::form_urlencoded::byte_serialize(self.host.as_bytes()).collect();
            url.set_query(Some(&format!("{route}&host={host}")));
        }
        url
    }

    /// A channel of its own for every request: each indexer behind an address counts the requests of a channel from 0, so
    /// that on a shared one another indexer could answer for a request that it never saw. A token with indexer
    /// acknowledgement wants one even if nobody asks for it.
    fn headers(&self, _route: &str, headers: &mut HeaderMap) {
        if let Ok(channel) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
            headers.insert(CHANNEL, channel);
        }
    }

    fn level(&self) -> u8 {
        if self.acknowledge.is_some() { STORED } else { ANSWERED }
    }

    fn harmless(&self) -> Option<Harmless> {
        let lets_in = |answer: &Answer| said(&answer.body).is_some_and(|said| said.code == NO_DATA);
        Some(Harmless { body: Vec::new(), lets_in })
    }

    fn judge(&self, answer: &Answer, events: usize) -> Judged {
        let Some(said) = said(&answer.body) else {
            return match by_status(answer) {
                // a success that does not speak HEC is somebody else's
                Judged::Taken => Judged::Refused(Kind::Malformed, None),
                refused => refused,
            };
        };
        if said.code == 0 && answer.status.is_success() {
            return match (self.acknowledge, said.ack_id) {
                (None, _) => Judged::Taken,
                (Some(_), Some(id)) => Judged::Later(id),
                (Some(_), None) => Judged::Unconfirmed, // the token does not have it; sent again it would be stored twice
            };
        }
        let (kind, code) = (Kind::Status(answer.status.as_u16()), Code::new(&format!("hec_{}", said.code)));
        match said.invalid_event.and_then(|n| usize::try_from(n).ok()).filter(|n| *n < events && !self.raw) {
            Some(bad) => {
                let words = format!("{} (code {})", said.text, said.code);
                let mut items =
                    vec![Item { events: bad..bad + 1, why: Some(Refusal { kind, code, said: words }) }];
                items.extend([0..bad, bad + 1..events].map(|events| Item { events, why: None }));
                items.retain(|item| !item.events.is_empty());
                Judged::Items(items)
            }
            None => Judged::Refused(kind, code),
        }
    }

    fn question(&self, base: &Url, number: u64) -> Option<Question> {
        Some(Question {
            url: endpoint(base, "ack"),
            body: format!("{{\"acks\":[{number}]}}").into_bytes(),
            confirms: |body, number| {
                let acks = serde_json::from_slice::<Acks>(body).map(|said| said.acks).unwrap_or_default();
                acks.get(&number.to_string()).copied().unwrap_or(false)
            },
            is_idle: |answer| said(&answer.body).is_some_and(|said| said.code == ACK_DISABLED),
            patience: self.acknowledge?,
        })
    }
}

/// `…/services/collector/WHAT`, from however much of it the configuration holds.
fn endpoint(base: &Url, what: &str) -> Url {
    let mut bare = base.clone();
    let path = base.path().trim_end_matches('/');
    let path = path.strip_suffix("/event").or(path.strip_suffix("/raw")).unwrap_or(path).to_owned();
    bare.set_path(&path);
    under(&under(&bare, "/services/collector"), &format!("/{what}"))
}

#[derive(Deserialize)]
struct Said {
    code: u64,
    #[serde(default)]
    text: String,
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
    #[serde(rename = "invalid-event-number")]
    invalid_event: Option<u64>,
}

#[derive(Deserialize)]
struct Acks {
    acks: BTreeMap<String, bool>,
}

fn said(body: &[u8]) -> Option<Said> {
    serde_json::from_slice(body).ok()
}
