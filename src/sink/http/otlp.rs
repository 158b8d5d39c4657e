//! `otlp`: logs by the OpenTelemetry protocol over HTTP, as protobuf.
//!
//! Sources: OpenTelemetry, "OTLP Specification": OTLP/HTTP Request (`POST /v1/logs`, `application/x-protobuf`, gzip), Full Success, Partial
//! Success (`rejected_log_records`; the request must not be sent again), Failures (429, 502, 503, 504 may be sent again), Throttling
//! (`Retry-After`); `logs.proto`; semantic conventions, "General logs attributes" (`log.record.uid`: records of one uid are duplicates).
//!
//! The messages are those of the `opentelemetry-proto` crate. A record is written into the batch as it stands in its request, so that
//! the request is put together by copying bytes. A partial success does not say which records were rejected: all of them become dead
//! letters, for the protocol forbids to ask again. 200 says that the receiver accepted them: level 4.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use url::Url;

use super::Answer;
use super::preset::{Harmless, Item, Judged, Preset, Refusal, by_status, under};
use crate::event::{Event, Severity};
use crate::fault::{Code, Kind};
use crate::sink::batch::{Batch, Group};
use crate::sink::pack::Record;

/// Tags of length-delimited fields: number and wire type in one byte.
const FIELD_1: u8 = 1 << 3 | 2;
const FIELD_2: u8 = 2 << 3 | 2;
/// Nanoseconds of a millisecond.
const NANOS: u64 = 1_000_000;

/// One receiver.
#[derive(Debug)]
pub struct Otlp {
    /// `Resource` and `InstrumentationScope`, each with its tag and length.
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Otlp {
    /// `host` is this machine.
    pub fn new(host: &str) -> Self {
        let resource = Resource {
            attributes: vec![text("service.name", "mimecollectd"), text("host.name", host)],
            ..Resource::default()
        };
        let scope = InstrumentationScope {
            name: "mimecollectd".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        Otlp {
            resource: field(FIELD_1, &resource.encode_to_vec()),
            scope: field(FIELD_1, &scope.encode_to_vec()),
        }
    }
}

impl Preset for Otlp {
    fn write(&self, event: &Event<'_>, record: &mut Record, out: &mut Vec<u8>) {
        let nanos = |millis: i64| u64::try_from(millis).unwrap_or(0).saturating_mul(NANOS);
        let severity = match event.severity {
            Severity::Warning => SeverityNumber::Warn,
            Severity::Notice => SeverityNumber::Info2,
            Severity::Informational => SeverityNumber::Info,
        };
        let body = String::from_utf8_lossy(record.text(event)).into_owned();
        let message = LogRecord {
            time_unix_nano: event.time.map_or(0, nanos),
            observed_time_unix_nano: nanos(event.collected),
            severity_number: severity as i32,
            body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
            attributes: vec![
                text("log.record.uid", &event.id.to_string()),
                text("mimecast.tenant", event.tenant),
                text("mimecast.feed", event.feed),
                text("mimecast.type", event.kind),
            ],
            ..LogRecord::default()
        };
        out.extend_from_slice(&field(FIELD_2, &message.encode_to_vec()));
    }
    fn content_type(&self) -> &'static str {
        "application/x-protobuf"
    }
    fn body(&self, batch: &Batch, group: &Group<'_>) -> Bytes {
        if group.events.is_empty() {
            return Bytes::new(); // a request without resources is an empty message
        }
        let scope_logs = self.scope.len() + batch.size(&group.events);
        let resource_logs = self.resource.len() + 1 + prost::length_delimiter_len(scope_logs) + scope_logs;
        let mut body = Vec::with_capacity(resource_logs + 16);
        begin(FIELD_1, resource_logs, &mut body);
        body.extend_from_slice(&self.resource);
        begin(FIELD_2, scope_logs, &mut body);
        body.extend_from_slice(&self.scope);
        group.events.iter().for_each(|run| body.extend_from_slice(batch.wire(run)));
        body.into()
    }
    fn url(&self, base: &Url, _route: &str) -> Url {
        under(base, "/v1/logs")
    }
    fn harmless(&self) -> Option<Harmless> {
        Some(Harmless { body: Vec::new(), lets_in: |_| false })
    }
    fn judges_as_a_whole(&self) -> bool {
        true
    }
    fn judge(&self, answer: &Answer, events: usize) -> Judged {
        if !answer.status.is_success() {
            return by_status(answer);
        }
        // No answer of the protocol begins so in protobuf. Gateways answer in JSON whatever they were asked in.
        let json = answer.body.trim_ascii_start().starts_with(b"{");
        if json && let refused @ Judged::Refused(..) = by_status(answer) {
            return refused;
        }
        let Some((rejected, words)) = (if json { in_json(&answer.body) } else { in_protobuf(&answer.body) })
        else {
            return Judged::Refused(Kind::Malformed, None);
        };
        if rejected == 0 {
            return Judged::Taken; // with a message: a warning that asks for nothing
        }
        let said = format!("{rejected} of {events} records rejected: {words}");
        // where nothing was taken, nothing repeats
        let code = if rejected >= events { None } else { Code::new("otlp_rejected") };
        Judged::Items(vec![Item {
            events: 0..events,
            why: Some(Refusal { kind: Kind::Partial, code, said }),
        }])
    }
}

/// How many records were rejected, and why. An empty answer is a message without members: none.
fn in_protobuf(body: &[u8]) -> Option<(usize, String)> {
    let partial = ExportLogsServiceResponse::decode(body).ok()?.partial_success.unwrap_or_default();
    Some((usize::try_from(partial.rejected_log_records).unwrap_or(0), partial.error_message))
}

/// The same in the JSON form of the protocol, where a 64-bit number is a string, or a number.
fn in_json(body: &[u8]) -> Option<(usize, String)> {
    let said: serde_json::Value = serde_json::from_slice(body).ok()?;
    let partial = said.get("partialSuccess");
    let member = |name: &str| partial.and_then(|partial| partial.get(name));
    let text = |name: &str| member(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let number = member("rejectedLogRecords").and_then(serde_json::Value::as_u64);
    let rejected = number.or_else(|| text("rejectedLogRecords").parse().ok()).unwrap_or(0);
    Some((usize::try_from(rejected).ok()?, text("errorMessage").to_owned()))
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// Tag, length and bytes.
fn field(tag: u8, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 6);
    begin(tag, message.len(), &mut out);
    out.extend_from_slice(message);
    out
}

fn begin(tag: u8, length: usize, out: &mut Vec<u8>) {
    out.push(tag);
    // a `Vec` has room for everything
    let _ = prost::encode_length_delimiter(length, out);
}
