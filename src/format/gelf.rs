//! GELF 1.1 (Graylog's payload specification): `version`, `host`, `short_message`, `timestamp` in seconds, `level`
//! (syslog's), and everything else as `_name` in our words, strings or numbers. `_id` is not allowed there: the
//! event's id is `_event_id`. A value of more than 32,000 bytes is cut: Elasticsearch's index below Graylog
//! refuses the whole message otherwise.

use super::fields::Field;
use super::json;
use super::plain::CUT;
use super::record::Reader;
use super::text;
use super::value::{Kind, Value};
use crate::event::Event;

/// Most bytes of one value; the index takes 32,766 after encoding.
const MAX_VALUE: usize = 32_000;
const MAX_SHORT_MESSAGE: usize = 1_024;
/// Known from elsewhere, or of no use to a reader.
const DROPPED: &[Field] = &[Field::Time, Field::RecordType];
/// What tells an event from its neighbours at a glance.
const TELLING: &[Field] =
    &[Field::Subject, Field::Url, Field::FileName, Field::Details, Field::Recipients, Field::Pattern];
/// Written before the record's own, which may not repeat them.
const OURS: [&[u8]; 5] = [b"_event_id", b"_tenant", b"_feed", b"_type", b"_id"];

/// Writes events; `original` adds Mimecast's own bytes as `full_message`.
pub struct Writer {
    reader: Reader,
    /// This host's name, as a JSON string.
    host: Vec<u8>,
    /// `_name` of each field.
    names: Vec<Vec<u8>>,
    /// The last key of a record's own, made fit.
    clean: Vec<u8>,
    /// Keys written so far, as places in the output.
    keys: Vec<(usize, usize)>,
    pub original: bool,
}

/// `SenderEnvelope` → `_sender_envelope`.
pub fn name(field: Field) -> String {
    let mut name = String::new();
    for c in format!("{field:?}").chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

impl Default for Writer {
    fn default() -> Self {
        let names = Field::ALL.iter().map(|field| name(*field).into_bytes()).collect();
        let (reader, clean, keys) = (Reader::default(), Vec::new(), Vec::new());
        Writer { reader, host: b"\"mimecollectd\"".to_vec(), names, clean, keys, original: false }
    }
}

impl Writer {
    /// What stands under `host`, which may not be empty.
    pub fn set_host(&mut self, host: &str) {
        if !host.is_empty() {
            self.host.clear();
            json::text(host, &mut self.host);
        }
    }

    /// Appends one event.
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let record = self.reader.read(event);
        let row = record.kind.row();
        out.extend_from_slice(b"{\"version\":\"1.1\",\"host\":");
        out.extend_from_slice(&self.host);
        out.extend_from_slice(b",\"short_message\":\"");
        out.extend_from_slice(row.name.as_bytes());
        if let Some(value) = record.first(TELLING) {
            out.extend_from_slice(b": ");
            json::inside(value, MAX_SHORT_MESSAGE, out);
        }
        out.extend_from_slice(b"\",\"timestamp\":");
        seconds(event.time.unwrap_or(event.collected), out);
        out.extend_from_slice(b",\"level\":");
        text::number(out, event.severity as u64);
        out.extend_from_slice(b",\"_event_id\":\"");
        out.extend_from_slice(&event.id.hex());
        out.push(b'"');
        for (key, value) in [("tenant", event.tenant), ("feed", event.feed), ("type", event.kind)] {
            for part in [",\"_", key, "\":"] {
                out.extend_from_slice(part.as_bytes());
            }
            json::limited(Value::plain(value), MAX_VALUE, out);
        }
        self.keys.clear();
        for (field, name) in Field::ALL.iter().zip(&self.names) {
            if !DROPPED.contains(field)
                && let Some(value) = record.get(*field)
            {
                member(name, value, &mut self.keys, out);
            }
        }
        for (key, value) in record.others() {
            self.clean.clear();
            self.clean.push(b'_');
            let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
            self.clean.extend(key.iter().take(MAX_KEY).map(|byte| if allowed(byte) { *byte } else { b'_' }));
            member(&self.clean, value, &mut self.keys, out);
        }
        if record.left_out > 0 {
            out.extend_from_slice(b",\"_fields_left_out\":");
            text::number(out, record.left_out as u64);
        }
        if self.original || !record.whole {
            out.extend_from_slice(b",\"full_message\":");
            json::limited(Value::plain_bytes(record.bytes), MAX_VALUE, out);
        }
        out.push(b'}');
    }
}

/// Bytes of a key that are kept.
const MAX_KEY: usize = 255 - CUT.len();

/// `1767259800.123`, exact.
fn seconds(at: i64, out: &mut Vec<u8>) {
    if at < 0 {
        out.push(b'-');
    }
    let (whole, thousandths) = (at.unsigned_abs() / 1000, at.unsigned_abs() % 1000);
    text::number(out, whole);
    out.push(b'.');
    for digit in [thousandths / 100, thousandths / 10 % 10, thousandths % 10] {
        text::number(out, digit);
    }
}

fn member(name: &[u8], value: Value<'_>, keys: &mut Vec<(usize, usize)>, out: &mut Vec<u8>) {
    if OURS.contains(&name) || keys.iter().any(|(a, b)| out.get(*a..*b) == Some(name)) {
        return;
    }
    out.extend_from_slice(b",\"");
    keys.push((out.len(), out.len() + name.len()));
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
    match value.kind {
        Kind::Number => out.extend_from_slice(value.bytes),
        _ if name == b"_spam_detail" => json::limited(Value::plain(&json::unwrapped(value)), MAX_VALUE, out),
        _ => json::limited(value, MAX_VALUE, out),
    }
}
