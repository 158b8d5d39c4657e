//! Log Event Extended Format, versions 1.0 and 2.0 (IBM QRadar's LEEF guide).
//! `LEEF:2.0|Mimecast|Email Security|VERSION|EVENTID|^|key=value^key=value…`; 1.0 has no delimiter field and
//! separates by tab.
//!
//! LEEF has no escapes. A delimiter inside a value is therefore named like a hidden character (`<U+005E>`), and
//! so is `|` in the header. Version 2.0 uses `^`, so that no control byte is on the wire at all.

use std::net::IpAddr;

use super::Stamp;
use super::cef::{severity, version};
use super::fields::Field;
use super::plain::{Style, push};
use super::record::Reader;
use super::rfc3164::month;
use super::text;
use super::value::Value;
use super::visible::named;
use crate::event::Event;

/// Most bytes of one value. QRadar's default for a whole event over TCP is 4096; longer values are indexed
/// badly anyway.
const TEXT: usize = 1024;
/// Longer, for links: their end matters.
const LINK: usize = 2048;
/// Mimecast's own bytes, where they are wanted.
const RAW_EVENT: usize = 4000;

/// Which version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

/// One attribute: QRadar's predefined names first, then our own.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    /// The first of these that the record has.
    pub from: &'static [Field],
    /// Only an address will do.
    pub ip: bool,
    /// Most bytes of its value.
    pub max: usize,
}

const fn key(name: &'static str, from: &'static [Field]) -> Key {
    Key { name, from, ip: false, max: TEXT }
}

/// The attributes, in the order they are written, after those that every event has.
pub static KEYS: &[Key] = &[
    Key { ip: true, ..key("src", &[Field::SourceIp]) },
    Key { ip: true, ..key("dst", &[Field::DestinationIp]) },
    key("usrName", &[Field::User, Field::Recipients]),
    key("policy", &[Field::Policy]),
    Key { max: LINK, ..key("url", &[Field::Url]) },
    key("action", &[Field::Action, Field::AuditType]),
    key("reason", &[Field::Reason, Field::Error]),
    key("rejectionType", &[Field::RejectionType]),
    key("rejectionCode", &[Field::RejectionCode]),
    key("sender", &[Field::SenderEnvelope]),
    key("headerFrom", &[Field::SenderHeader]),
    key("recipient", &[Field::Recipients]),
    key("subject", &[Field::Subject]),
    key("messageId", &[Field::MessageId]),
    key("correlationId", &[Field::Correlation, Field::RecordId]),
    key("direction", &[Field::Direction, Field::Route]),
    key("details", &[Field::Details, Field::SearchText, Field::Pattern]),
    key("verdict", &[Field::Verdict, Field::Indicators]),
    key("virus", &[Field::Virus]),
    key("urlCategory", &[Field::UrlCategory]),
    key("spamScore", &[Field::SpamScore]),
    key("hits", &[Field::Hits]),
    key("fileName", &[Field::FileName, Field::Attachments]),
    key("fileHash", &[Field::Sha256, Field::Sha1, Field::Md5]),
    key("fileSize", &[Field::FileSize, Field::AttachmentsSize]),
    key("destinationHost", &[Field::DestinationHost]),
    key("emailSize", &[Field::EmailSize]),
    key("accountId", &[Field::Account]),
];

/// One of the patterns that the guide suggests, in Java's words.
const TIME_FORMAT: &[u8] = b"MMM dd yyyy HH:mm:ss.SSS z";
const CARET: char = '^';

static HEADER: Style =
    Style::new(*b"||", false, |c, out| if c == '|' { named(out, c) } else { push(c, out) });
/// Tab is a control character and so never in a value.
static TABBED: Style = Style::new([0; 2], false, push);
static CARETED: Style =
    Style::new(*b"^^", false, |c, out| if c == CARET { named(out, c) } else { push(c, out) });

/// Writes events; `original` adds Mimecast's own bytes as `rawEvent`.
pub struct Writer {
    reader: Reader,
    stamp: Stamp,
    version: Version,
    pub original: bool,
}

impl Writer {
    pub fn new(version: Version) -> Self {
        Writer { reader: Reader::default(), stamp: Stamp::default(), version, original: false }
    }

    /// What stands between two attributes, and in none of them.
    pub fn separator(&self) -> u8 {
        if self.version == Version::One { b'\t' } else { b'^' }
    }

    /// Appends one event.
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let delimiter = self.separator();
        let record = self.reader.read(event);
        let row = record.kind.row();
        let (begin, style): (&[u8], _) = match self.version {
            Version::One => (b"LEEF:1.0|Mimecast|Email Security|", &TABBED),
            Version::Two => (b"LEEF:2.0|Mimecast|Email Security|", &CARETED),
        };
        out.extend_from_slice(begin);
        for part in [version(event.feed), "|", row.signature] {
            out.extend_from_slice(part.as_bytes());
        }
        if let Some(audit) = record.get(Field::AuditType) {
            out.push(b' '); // QRadar maps by event id: each audit type is its own
            HEADER.write(audit, 255, out);
        }
        out.extend_from_slice(if self.version == Version::One { b"|" } else { b"|^|" });
        out.extend_from_slice(b"cat=");
        style.write(Value::plain(event.feed), TEXT, out);
        let begin = |name: &str, out: &mut Vec<u8>| {
            out.push(delimiter);
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
        };
        begin("sev", out);
        text::number(out, severity(event.severity).into());
        if let Some(time) = event.time {
            begin("devTime", out);
            moment(self.stamp.text(time), out);
            begin("devTimeFormat", out);
            out.extend_from_slice(TIME_FORMAT);
        }
        begin("eventId", out);
        out.extend_from_slice(&event.id.hex());
        begin("tenant", out);
        style.write(Value::plain(event.tenant), TEXT, out);
        if let Some(success) = record.success() {
            begin("outcome", out);
            out.extend_from_slice(if success { b"success" } else { b"failure" });
        }
        for key in KEYS {
            let value = record.first(key.from).or_else(|| record.audit_ip().filter(|_| key.name == "src"));
            let Some(value) = value.filter(|value| !key.ip || value.ip().is_some_and(|ip| !multicast(ip)))
            else {
                continue;
            };
            begin(key.name, out);
            style.write(value, key.max, out);
        }
        if self.original || !record.whole {
            begin("rawEvent", out);
            style.write(Value::plain_bytes(record.bytes), RAW_EVENT, out);
        }
    }
}

/// `Jan 01 2026 09:30:00.123 GMT` of `2026-01-01T09:30:00.123Z`.
fn moment(stamp: &[u8], out: &mut Vec<u8>) {
    let part = |from: usize, len: usize| stamp.get(from..from + len).unwrap_or_default();
    for piece in [month(part(5, 2)), b" ", part(8, 2), b" ", part(0, 4), b" ", part(11, 12), b" GMT"] {
        out.extend_from_slice(piece);
    }
}

/// QRadar takes no event whose source or destination cannot be one.
fn multicast(ip: IpAddr) -> bool {
    ip.is_multicast() || ip.is_unspecified()
}
