//! Open Cybersecurity Schema Framework 1.3.0 (schema.ocsf.io): Email Activity (4009), Email File Activity (4011),
//! Email URL Activity (4012), API Activity (6003), Authentication (3002); threat indicators and what has no class
//! are Base Events (0). A record that lacks what its class requires falls back to the next wider one. What has no
//! place is under `unmapped` in Mimecast's own names.

use std::cell::Cell;

use super::Stamp;
use super::fields::Field;
use super::json;
use super::kind::Type;
use super::record::{Direction, Reader, Record};
use super::text;
use super::tree::{self, Context, Fill, Leaf, Tree};
use super::value::Value;
use crate::event::{Event, Severity};

/// Of the schema.
pub const VERSION: &str = "1.3.0";
/// Known from elsewhere, or of no use to a reader.
const DROPPED: &[Field] = &[Field::Time, Field::RecordType];

/// Event classes; the order is that of the bits in [`Leaf::only`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Base,
    Authentication,
    Email,
    EmailFile,
    EmailUrl,
    Api,
}

impl Class {
    /// Category and class numbers.
    pub fn uids(self) -> (u64, u64) {
        match self {
            Class::Base => (0, 0),
            Class::Authentication => (3, 3002),
            Class::Email => (4, 4009),
            Class::EmailFile => (4, 4011),
            Class::EmailUrl => (4, 4012),
            Class::Api => (6, 6003),
        }
    }

    /// The class of a record.
    pub fn of(record: &Record<'_>) -> Class {
        let has = |field| record.get(field).is_some();
        match record.kind {
            Type::Av | Type::AttachmentProtect | Type::TtpAttachment
                if has(Field::MessageId) && has(Field::FileName) =>
            {
                Class::EmailFile
            }
            Type::UrlProtect | Type::TtpUrl | Type::UrlClick | Type::InternalEmail
                if has(Field::MessageId) && has(Field::Url) =>
            {
                Class::EmailUrl
            }
            Type::Audit if logon(record).is_some() => Class::Authentication,
            Type::Audit | Type::ArchiveSearch | Type::ArchiveView => Class::Api,
            Type::ThreatFeed | Type::ThreatFeedGrid | Type::Collector | Type::Other => Class::Base,
            _ => Class::Email,
        }
    }
}

/// 1 for an audit event that tells of a log-on, 2 of a log-off.
fn logon(record: &Record<'_>) -> Option<u64> {
    const WORDS: [(&[u8], u64); 6] =
        [(b"Logged On", 1), (b"Logon", 1), (b"Login", 1), (b"Logged Off", 2), (b"Logoff", 2), (b"Logout", 2)];
    let audit = record.get(Field::AuditType)?;
    let found = WORDS.iter().find(|(word, _)| memchr::memmem::find(audit.bytes, word).is_some());
    found.map(|(_, activity)| *activity)
}

/// The class's number for what was done.
fn activity(class: Class, record: &Record<'_>) -> u64 {
    const SEND: u64 = 1;
    const RECEIVE: u64 = 2;
    const SCAN: u64 = 3;
    const READ: u64 = 2;
    const OTHER: u64 = 99;
    match (class, record.kind) {
        (Class::Authentication, _) => logon(record).unwrap_or(OTHER),
        (Class::Api, Type::ArchiveSearch | Type::ArchiveView) => READ,
        (Class::Base | Class::Api, _) => OTHER,
        (_, Type::Delivery) => SEND,
        (_, Type::Receipt | Type::Journal | Type::Mailflow | Type::Rejection) => RECEIVE,
        _ => SCAN,
    }
}

const ALL: u64 = !0;
const EMAIL: u64 = 1 << Class::Email as u32;
const FILE: u64 = 1 << Class::EmailFile as u32;
const URL: u64 = 1 << Class::EmailUrl as u32;
const API: u64 = 1 << Class::Api as u32;
const AUTH: u64 = 1 << Class::Authentication as u32;

const fn leaf(only: u64, path: &'static [&'static str], from: &'static [Field], fill: Fill) -> Leaf {
    Leaf { path, from, only, always: false, fill }
}

const fn always(only: u64, path: &'static [&'static str], from: &'static [Field], fill: Fill) -> Leaf {
    Leaf { always: true, ..leaf(only, path, from, fill) }
}

/// Every attribute, objects together.
pub static LEAVES: &[Leaf] = &[
    leaf(ALL, &["activity_id"], &[], |_, c, out| number(activity(class(c), &c.record), out)),
    leaf(API, &["activity_name"], &[Field::AuditType], |l, c, out| {
        c.record.kind == Type::Audit && still(tree::text, l, c, out)
    }),
    always(API, &["actor", "user", "name"], &[Field::User], |l, c, out| {
        tree::text(l, c, out) || constant("unknown", out)
    }),
    always(API, &["api", "operation"], &[Field::AuditType], |l, c, out| {
        tree::text(l, c, out) || constant(c.record.kind.row().name, out)
    }),
    leaf(ALL, &["category_uid"], &[], |_, c, out| number(class(c).uids().0, out)),
    leaf(ALL, &["class_uid"], &[], |_, c, out| number(class(c).uids().1, out)),
    leaf(EMAIL, &["direction"], &[], tree::direction),
    always(EMAIL, &["direction_id"], &[Field::Direction, Field::Route], direction_id),
    leaf(EMAIL, &["dst_endpoint", "hostname"], &[Field::DestinationHost], tree::text),
    leaf(EMAIL, &["dst_endpoint", "ip"], &[Field::DestinationIp], tree::ip),
    always(EMAIL, &["email", "from"], &[Field::SenderHeader, Field::SenderEnvelope], |l, c, out| {
        tree::text(l, c, out) || constant("", out) // required, empty where nobody is named
    }),
    leaf(EMAIL, &["email", "message_uid"], &[Field::MessageId], tree::text),
    leaf(EMAIL, &["email", "size"], &[Field::EmailSize], tree::integer),
    leaf(EMAIL, &["email", "smtp_from"], &[Field::SenderEnvelope], tree::text),
    leaf(EMAIL, &["email", "smtp_to"], &[Field::Recipients], tree::texts),
    leaf(EMAIL, &["email", "subject"], &[Field::Subject], tree::text),
    always(EMAIL, &["email", "to"], &[Field::Recipients], |l, c, out| {
        tree::texts(l, c, out); // the list is required, an empty one where nobody is named
        true
    }),
    leaf(FILE | URL, &["email_uid"], &[Field::MessageId], tree::text),
    leaf(FILE, &["file", "ext"], &[Field::FileExtension], tree::text),
    leaf(FILE, &["file", "hashes"], &[Field::Md5, Field::Sha1, Field::Sha256], hashes),
    leaf(FILE, &["file", "mime_type"], &[Field::FileMime], tree::text),
    leaf(FILE, &["file", "name"], &[Field::FileName], tree::text),
    leaf(FILE, &["file", "size"], &[Field::FileSize], tree::integer),
    leaf(FILE, &["file", "type_id"], &[], |_, _, out| number(1, out)), // a regular file
    always(ALL, &["message"], &[Field::Details, Field::Subject, Field::AuditType], |l, c, out| {
        tree::text(l, c, out) || constant(c.record.kind.row().name, out)
    }),
    leaf(ALL, &["metadata", "correlation_uid"], &[Field::Correlation], tree::text),
    leaf(ALL, &["metadata", "log_name"], &[], |_, c, out| constant(c.event.feed, out)),
    leaf(ALL, &["metadata", "logged_time"], &[], |_, c, out| time(c.event.collected, out)),
    leaf(ALL, &["metadata", "original_time"], &[], |_, c, out| {
        c.event.time.is_some_and(|at| tree::moment(at, out))
    }),
    leaf(ALL, &["metadata", "product", "name"], &[], |_, _, out| constant("Email Security", out)),
    leaf(ALL, &["metadata", "product", "vendor_name"], &[], |_, _, out| constant("Mimecast", out)),
    leaf(ALL, &["metadata", "tenant_uid"], &[], |_, c, out| constant(c.event.tenant, out)),
    leaf(ALL, &["metadata", "uid"], &[], |_, c, out| {
        out.push(b'"');
        out.extend_from_slice(&c.event.id.hex());
        out.push(b'"');
        true
    }),
    leaf(ALL, &["metadata", "version"], &[], |_, _, out| constant(VERSION, out)),
    leaf(0, &["raw_data"], &[], |_, c, out| tree::original(&c.record, out)),
    leaf(AUTH, &["service", "name"], &[], |_, _, out| constant("Mimecast", out)),
    leaf(ALL, &["severity_id"], &[], |_, c, out| {
        number(
            match c.event.severity {
                Severity::Warning => 4,
                Severity::Notice => 3,
                Severity::Informational => 1,
            },
            out,
        )
    }),
    always(EMAIL | API | AUTH, &["src_endpoint", "ip"], &[Field::SourceIp], |l, c, out| {
        tree::ip(l, c, out) || c.record.audit_ip().is_some_and(|ip| string(ip, out))
    }),
    leaf(API, &["src_endpoint", "name"], &[], |_, c, out| {
        c.record.audit_ip().is_none() && constant("unknown", out)
    }),
    leaf(ALL, &["status_code"], &[Field::RejectionCode], tree::text),
    leaf(ALL, &["status_detail"], &[Field::Reason, Field::RejectionType, Field::Error], tree::text),
    always(ALL, &["status_id"], &[Field::Delivered], status),
    leaf(ALL, &["time"], &[], |_, c, out| time(c.event.time.unwrap_or(c.event.collected), out)),
    leaf(ALL, &["type_uid"], &[], |_, c, out| {
        number(class(c).uids().1 * 100 + activity(class(c), &c.record), out)
    }),
    leaf(URL, &["url", "categories"], &[Field::UrlCategory], tree::texts),
    leaf(URL, &["url", "url_string"], &[Field::Url], tree::text),
    always(AUTH, &["user", "name"], &[Field::User], |l, c, out| {
        tree::text(l, c, out) || constant("unknown", out)
    }),
];

const CLASSES: [Class; 6] =
    [Class::Base, Class::Authentication, Class::Email, Class::EmailFile, Class::EmailUrl, Class::Api];

fn class(context: &Context<'_>) -> Class {
    CLASSES.get(context.variant as usize).copied().unwrap_or(Class::Base)
}

fn number(value: u64, out: &mut Vec<u8>) -> bool {
    text::number(out, value);
    true
}

fn time(at: i64, out: &mut Vec<u8>) -> bool {
    text::signed(out, at);
    true
}

fn constant(text: &str, out: &mut Vec<u8>) -> bool {
    json::text(text, out);
    true
}

fn string(value: Value<'_>, out: &mut Vec<u8>) -> bool {
    json::string(value, out);
    true
}

/// Fills without counting the field as placed: its own place follows.
fn still(fill: Fill, leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    let used = context.used.get();
    let filled = fill(leaf, context, out);
    context.used.set(used);
    filled
}

fn direction_id(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    let direction = context.record.direction();
    if let Some((_, field)) = direction
        && leaf.from.contains(&field)
    {
        context.uses(field);
    }
    number(
        match direction.map(|(direction, _)| direction) {
            Some(Direction::Inbound) => 1,
            Some(Direction::Outbound) => 2,
            Some(Direction::Internal) => 3,
            Some(Direction::External) => 99,
            None => 0,
        },
        out,
    )
}

fn status(_: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    let success = match class(context) {
        Class::Authentication => {
            let failed = |field| {
                let value = context.record.get(field);
                value.is_some_and(|value| memchr::memmem::find(value.bytes, b"ail").is_some())
            };
            Some(!failed(Field::AuditType))
        }
        _ => context.record.success(),
    };
    if success.is_some() {
        context.uses(Field::Delivered);
    }
    number(
        match success {
            Some(true) => 1,
            Some(false) => 2,
            None => 0,
        },
        out,
    )
}

fn hashes(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    out.push(b'[');
    let start = out.len();
    for (algorithm, field) in (1..).zip(leaf.from) {
        let Some(value) = context.record.get(*field) else { continue };
        if out.len() > start {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"algorithm_id\":");
        text::number(out, algorithm);
        out.extend_from_slice(b",\"value\":");
        json::string(value, out);
        out.push(b'}');
        context.uses(*field);
    }
    out.push(b']');
    out.len() > start + 1
}

/// Writes events; `original` adds Mimecast's own bytes as `raw_data`.
pub struct Writer {
    reader: Reader,
    tree: Tree,
    stamp: Stamp,
    pub original: bool,
}

impl Default for Writer {
    fn default() -> Self {
        Writer {
            reader: Reader::default(),
            tree: Tree::new(LEAVES, "unmapped", DROPPED),
            stamp: Stamp::default(),
            original: false,
        }
    }
}

impl Writer {
    /// Appends one event.
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let record = self.reader.read(event);
        let class = Class::of(&record);
        let original = self.original || !record.whole;
        let (variant, used) = (class as u32, Cell::new(0));
        let context =
            Context { event, record, variant, collected: self.stamp.text(event.collected), original, used };
        self.tree.write(&context, out);
    }
}
