//! Common Event Format, version 0 (ArcSight's CEF implementation standard; Microsoft Sentinel and others read the
//! same). `CEF:0|Mimecast|Email Security|VERSION|SIGNATURE|NAME|SEVERITY|key=value …`.
//!
//! Escaping by the standard: `\` and `|` in the header, `\` and `=` in values, line breaks in values as `\n` and
//! `\r`. Field lengths are those of the standard's dictionary. What does not fit a standard key is in the six
//! custom strings, labelled; what fits none of them is left out: the JSON formats carry everything.

use std::net::IpAddr;

use super::fields::Field;
use super::plain::{Style, push};
use super::record::{Direction, Reader, Record};
use super::text;
use super::value::Value;
use crate::event::{Event, Severity};

/// Most bytes of a raw event in `rawEvent`, by the standard.
const RAW_EVENT: usize = 4000;
const HEADER_FIELD: usize = 255;

/// How a key's value is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    /// Only an IPv4 address.
    Ip4,
    /// Only an IPv6 address.
    Ip6,
    /// Only what is no address (`Internal IP`).
    NoIp,
    /// Only a whole number.
    Integer,
}

/// One extension key.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    /// Text of the key's label, for custom keys.
    pub label: &'static str,
    /// The first of these that the record has.
    pub from: &'static [Field],
    pub form: Form,
    /// Most bytes of its value.
    pub max: usize,
}

const fn key(name: &'static str, from: &'static [Field], form: Form, max: usize) -> Key {
    Key { name, label: "", from, form, max }
}

const fn custom(
    name: &'static str,
    label: &'static str,
    from: &'static [Field],
    form: Form,
    max: usize,
) -> Key {
    Key { name, label, from, form, max }
}

/// The extension, in the order it is written, after the keys that every event has.
pub static KEYS: &[Key] = &[
    key("act", &[Field::Action, Field::AuditType], Form::Text, 63),
    key("reason", &[Field::Reason, Field::RejectionType, Field::Error], Form::Text, 1023),
    key("src", &[Field::SourceIp], Form::Ip4, 15),
    custom("c6a2", "Source IPv6 Address", &[Field::SourceIp], Form::Ip6, 45),
    key("shost", &[Field::SourceIp], Form::NoIp, 1023),
    key("dst", &[Field::DestinationIp], Form::Ip4, 15),
    custom("c6a3", "Destination IPv6 Address", &[Field::DestinationIp], Form::Ip6, 45),
    key("dhost", &[Field::DestinationHost], Form::Text, 1023),
    key("suser", &[Field::SenderEnvelope, Field::SenderHeader, Field::User], Form::Text, 1023),
    key("duser", &[Field::Recipients], Form::Text, 1023),
    key("msg", &[Field::Subject, Field::Details, Field::SearchText, Field::Pattern], Form::Text, 1023),
    key("fname", &[Field::FileName, Field::Attachments], Form::Text, 1023),
    key("fileHash", &[Field::Sha256, Field::Sha1, Field::Md5], Form::Text, 255),
    key("fsize", &[Field::FileSize, Field::AttachmentsSize], Form::Integer, 18),
    key("fileType", &[Field::FileMime, Field::FileExtension], Form::Text, 1023),
    key("request", &[Field::Url], Form::Text, 1023),
    key("requestContext", &[Field::UrlCategory], Form::Text, 2048),
    key("in", &[Field::EmailSize], Form::Integer, 18),
    key("deviceExternalId", &[Field::Account], Form::Text, 255),
    custom("cs1", "MessageId", &[Field::MessageId], Form::Text, 4000),
    custom("cs2", "CorrelationId", &[Field::Correlation, Field::RecordId], Form::Text, 4000),
    custom("cs3", "Policy", &[Field::Policy], Form::Text, 4000),
    custom("cs4", "Verdict", &[Field::Virus, Field::Verdict, Field::Indicators], Form::Text, 4000),
    custom("cs5", "HeaderFrom", &[Field::SenderHeader], Form::Text, 4000),
    custom("cs6", "Route", &[Field::Route, Field::Direction, Field::Category], Form::Text, 4000),
    custom("cn1", "SpamScore", &[Field::SpamScore], Form::Integer, 18),
    custom("cn2", "AttachmentCount", &[Field::AttachmentCount], Form::Integer, 18),
    custom("cn3", "Hits", &[Field::Hits], Form::Integer, 18),
];

static HEADER: Style = Style::new(*b"\\|", false, |c, out| {
    if matches!(c, '\\' | '|') {
        out.push(b'\\');
    }
    push(c, out);
});
static VALUE: Style = Style::new(*b"\\=", true, |c, out| {
    if matches!(c, '\\' | '=') {
        out.push(b'\\');
    }
    push(c, out);
});

/// 0–10. CEF calls 0–3 low, 4–6 medium, 7–8 high; the same numbers serve LEEF (1–10) and ECS.
pub fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Warning => 7,
        Severity::Notice => 5,
        Severity::Informational => 2,
    }
}

/// The version that goes with the vendor and product: the generation of the API.
pub fn version(feed: &str) -> &'static str {
    if feed == "siem.mta" { "1.0" } else { "2.0" }
}

/// Writes events; `original` adds Mimecast's own bytes as `rawEvent`.
#[derive(Default)]
pub struct Writer {
    reader: Reader,
    pub original: bool,
}

impl Writer {
    /// Appends one event.
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let record = self.reader.read(event);
        let row = record.kind.row();
        for part in ["CEF:0|Mimecast|Email Security|", version(event.feed), "|", row.signature, "|"] {
            out.extend_from_slice(part.as_bytes());
        }
        match record.get(Field::AuditType) {
            Some(audit) => HEADER.write(audit, HEADER_FIELD, out),
            None => out.extend_from_slice(row.name.as_bytes()),
        }
        out.push(b'|');
        text::number(out, severity(event.severity).into());
        out.extend_from_slice(b"|externalId=");
        out.extend_from_slice(&event.id.hex());
        if let Some(time) = event.time {
            out.extend_from_slice(b" rt=");
            text::signed(out, time);
        }
        for (name, value) in [(" cat=", event.feed), (" deviceFacility=", event.tenant)] {
            out.extend_from_slice(name.as_bytes());
            VALUE.write(Value::plain(value), HEADER_FIELD, out);
        }
        if let Some(success) = record.success() {
            out.extend_from_slice(if success { b" outcome=success" } else { b" outcome=failure" });
        }
        match record.direction().map(|(direction, _)| direction) {
            Some(Direction::Inbound) => out.extend_from_slice(b" deviceDirection=0"),
            Some(Direction::Outbound) => out.extend_from_slice(b" deviceDirection=1"),
            _ => {}
        }
        KEYS.iter().for_each(|key| extension(key, &record, out));
        if self.original || !record.whole {
            out.extend_from_slice(b" rawEvent=");
            VALUE.write(Value::plain_bytes(record.bytes), RAW_EVENT, out);
        }
    }
}

fn extension(key: &Key, record: &Record<'_>, out: &mut Vec<u8>) {
    let from_text = || record.audit_ip().filter(|_| key.from == [Field::SourceIp]);
    let Some(value) = record.first(key.from).or_else(from_text) else { return };
    let fits = match key.form {
        Form::Text => true,
        Form::Integer => value.integer().is_some(),
        Form::Ip4 => matches!(value.ip(), Some(IpAddr::V4(_))),
        Form::Ip6 => matches!(value.ip(), Some(IpAddr::V6(_))),
        Form::NoIp => value.ip().is_none(),
    };
    if !fits {
        return;
    }
    let label = if key.label.is_empty() { [""; 5] } else { [" ", key.name, "Label=", key.label, ""] };
    for part in label.into_iter().chain([" ", key.name, "="]) {
        out.extend_from_slice(part.as_bytes());
    }
    VALUE.write(value, key.max, out);
}
