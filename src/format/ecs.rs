//! Elastic Common Schema 8, in the fields that Elastic's own Mimecast integration publishes for the same logs
//! (package `mimecast`, its field lists and sample events), so that dashboards and rules made for it work.
//! What ECS has no place for is under `mimecast.*` in Mimecast's own names, as there. Differences: the event id
//! is ours, `event.created` is when it was collected, tenant and feed are in `organization.name` and
//! `event.provider`.

use std::cell::Cell;

use super::Stamp;
use super::cef;
use super::fields::Field;
use super::json;
use super::kind::Type;
use super::record::Reader;
use super::text;
use super::tree::{self, Context, Fill, Leaf, Tree};
use super::value::{Kind, Value};
use crate::event::{Event, Severity};

const VERSION: &str = "8.11.0";
/// Known from elsewhere: the feed, `@timestamp`; or of no use to a reader.
const DROPPED: &[Field] = &[Field::Time, Field::RecordType];

const ALL: u64 = !0;

const fn just(kinds: &[Type]) -> u64 {
    let mut bits = 0;
    let mut rest = kinds;
    while let [kind, others @ ..] = rest {
        bits |= 1 << *kind as u32;
        rest = others;
    }
    bits
}

const fn leaf(path: &'static [&'static str], from: &'static [Field], fill: Fill) -> Leaf {
    Leaf { path, from, only: ALL, always: false, fill }
}

const fn always(path: &'static [&'static str], from: &'static [Field], fill: Fill) -> Leaf {
    Leaf { always: true, ..leaf(path, from, fill) }
}

const THREATS: u64 = just(&[Type::ThreatFeed, Type::ThreatFeedGrid]);

/// Every ECS field, groups together.
pub static LEAVES: &[Leaf] = &[
    always(&["@timestamp"], &[Field::Time], |_, c, out| {
        tree::moment(c.event.time.unwrap_or(c.event.collected), out)
    }),
    leaf(&["ecs", "version"], &[], |_, _, out| constant(VERSION, out)),
    leaf(&["client", "ip"], &[Field::Details], audit_ip),
    leaf(&["destination", "ip"], &[Field::DestinationIp], tree::ip),
    Leaf {
        only: !just(&[Type::Process, Type::HeldRelease]),
        ..leaf(&["email", "attachments[]", "file", "extension"], &[Field::FileExtension], tree::text)
    },
    leaf(&["email", "attachments[]", "file", "hash", "md5"], &[Field::Md5], tree::text),
    leaf(&["email", "attachments[]", "file", "hash", "sha1"], &[Field::Sha1], tree::text),
    leaf(&["email", "attachments[]", "file", "hash", "sha256"], &[Field::Sha256], tree::text),
    leaf(&["email", "attachments[]", "file", "mime_type"], &[Field::FileMime], tree::text),
    Leaf {
        only: !THREATS,
        ..leaf(
            &["email", "attachments[]", "file", "name"],
            &[Field::FileName, Field::Attachments],
            tree::text,
        )
    },
    leaf(
        &["email", "attachments[]", "file", "size"],
        &[Field::FileSize, Field::AttachmentsSize],
        tree::integer,
    ),
    leaf(&["email", "direction"], &[Field::Direction, Field::Route], tree::direction),
    leaf(&["email", "from", "address"], &[Field::SenderHeader, Field::SenderEnvelope], tree::texts),
    leaf(&["email", "local_id"], &[Field::Correlation], local_id),
    leaf(&["email", "message_id"], &[Field::MessageId], tree::text),
    leaf(&["email", "sender", "address"], &[Field::SenderEnvelope], tree::text),
    leaf(&["email", "subject"], &[Field::Subject], tree::text),
    leaf(&["email", "to", "address"], &[Field::Recipients], tree::texts),
    leaf(&["error", "code"], &[Field::RejectionCode], tree::text),
    leaf(&["error", "message"], &[Field::Error], tree::text),
    leaf(&["error", "type"], &[Field::RejectionType], tree::text),
    Leaf {
        only: !just(&[Type::TtpUrl, Type::TtpAttachment, Type::Audit]),
        ..leaf(&["event", "action"], &[Field::Action], tree::text)
    },
    Leaf { only: just(&[Type::TtpUrl]), ..leaf(&["event", "action"], &[Field::UserAction], tree::text) },
    Leaf {
        only: just(&[Type::TtpAttachment]),
        ..leaf(&["event", "action"], &[Field::Action], |l, c, out| slug(b'_', l, c, out))
    },
    Leaf {
        only: just(&[Type::Audit]),
        ..leaf(&["event", "action"], &[Field::AuditType], |l, c, out| slug(b'-', l, c, out))
    },
    leaf(&["event", "category"], &[], category),
    leaf(&["event", "created"], &[], |_, c, out| {
        json::quoted(c.collected, out);
        true
    }),
    leaf(&["event", "dataset"], &[], |_, c, out| {
        out.extend_from_slice(b"\"mimecast.");
        out.extend_from_slice(c.record.kind.row().dataset.as_bytes());
        out.push(b'"');
        true
    }),
    leaf(&["event", "id"], &[], |_, c, out| {
        out.push(b'"');
        out.extend_from_slice(&c.event.id.hex());
        out.push(b'"');
        true
    }),
    leaf(&["event", "kind"], &[], kind),
    leaf(&["event", "module"], &[], |_, _, out| constant("mimecast", out)),
    Leaf { only: 0, ..leaf(&["event", "original"], &[], |_, c, out| tree::original(&c.record, out)) },
    always(&["event", "outcome"], &[Field::Delivered], outcome),
    leaf(&["event", "provider"], &[], |_, c, out| given(c.event.feed, out)),
    leaf(&["event", "reason"], &[Field::Reason], tree::text),
    leaf(&["event", "severity"], &[], |_, c, out| {
        text::number(out, cef::severity(c.event.severity).into());
        true
    }),
    leaf(&["event", "type"], &[], event_type),
    leaf(&["organization", "name"], &[], |_, c, out| given(c.event.tenant, out)),
    leaf(&["related", "hash"], &[Field::Sha256, Field::Sha1, Field::Md5], tree::texts),
    leaf(&["related", "hosts"], &[Field::DestinationHost], related),
    leaf(&["related", "ip"], &[Field::SourceIp, Field::DestinationIp, Field::Details], related_ip),
    leaf(
        &["related", "user"],
        &[Field::SenderHeader, Field::SenderEnvelope, Field::Recipients, Field::User],
        tree::texts,
    ),
    leaf(&["rule", "name"], &[Field::Policy], tree::text),
    leaf(&["source", "domain"], &[Field::SenderDomain], tree::text),
    leaf(&["source", "ip"], &[Field::SourceIp], tree::ip),
    Leaf {
        only: THREATS,
        ..leaf(&["threat", "indicator", "file", "hash", "sha256"], &[Field::Pattern], |_, c, out| {
            c.record.pattern_sha256().is_some_and(|hash| {
                json::string(hash, out);
                true
            })
        })
    },
    Leaf { only: THREATS, ..leaf(&["threat", "indicator", "file", "name"], &[Field::FileName], tree::text) },
    leaf(&["tls", "cipher"], &[Field::TlsCipher], tree::text),
    leaf(&["tls", "established"], &[Field::TlsUsed], tree::flag),
    leaf(&["tls", "version"], &[Field::TlsVersion], tree::text),
    Leaf { only: !just(&[Type::TtpUrl]), ..leaf(&["url", "full"], &[Field::Url], tree::text) },
    Leaf { only: just(&[Type::TtpUrl]), ..leaf(&["url", "original"], &[Field::Url], tree::text) },
    Leaf { only: just(&[Type::TtpUrl]), ..leaf(&["user", "email"], &[Field::Recipients], tree::texts) },
    Leaf { only: !just(&[Type::TtpUrl]), ..leaf(&["user", "email"], &[Field::User], user_email) },
    Leaf { only: !just(&[Type::TtpUrl]), ..leaf(&["user", "name"], &[Field::User], user_name) },
    leaf(&["mimecast", "log_type"], &[], |_, c, out| constant(c.record.kind.row().log_type, out)),
    Leaf {
        only: just(&[Type::ArchiveSearch]),
        ..leaf(&["mimecast", "search_details", "description"], &[Field::Details], tree::text)
    },
    Leaf {
        only: just(&[Type::ArchiveSearch]),
        ..leaf(&["mimecast", "search_details", "reason"], &[Field::SearchReason], tree::text)
    },
    Leaf {
        only: just(&[Type::ArchiveSearch]),
        ..leaf(&["mimecast", "search_details", "source"], &[Field::Category], tree::text)
    },
    Leaf {
        only: just(&[Type::ArchiveSearch]),
        ..leaf(&["mimecast", "search_details", "text"], &[Field::SearchText], tree::text)
    },
];

/// Text of ours: it needs no escape.
fn constant(text: &str, out: &mut Vec<u8>) -> bool {
    json::quoted(text.as_bytes(), out);
    true
}

/// Text from a record or a configuration.
fn given(text: &str, out: &mut Vec<u8>) -> bool {
    json::text(text, out);
    true
}

fn audit_ip(_: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    context.record.audit_ip().is_some_and(|ip| {
        json::string(ip, out);
        true
    })
}

/// API 1.0 has one id of a message; of the three of API 2.0 none is published there.
fn local_id(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    context.record.name(Field::Correlation) == Some(b"aCode") && tree::text(leaf, context, out)
}

/// Lower case, with everything else than letters and digits as `joint`.
fn slug(joint: u8, leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    out.push(b'"');
    let start = out.len();
    let found = context.take(leaf, |value| {
        let mut gap = false;
        value.each_char(|c| {
            if !c.is_alphanumeric() {
                gap = true;
                return;
            }
            if std::mem::take(&mut gap) && out.len() > start {
                out.push(joint);
            }
            c.to_lowercase().for_each(|c| super::plain::push(c, out));
        });
        Some(())
    });
    out.push(b'"');
    found.is_some()
}

fn category(_: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    let list: &[u8] = match context.record.kind {
        Type::Av => b"[\"email\",\"malware\"]",
        Type::Audit if context.record.get(Field::Category).is_some_and(|c| c.is("authentication_logs")) => {
            b"[\"authentication\"]"
        }
        Type::Audit => b"[\"configuration\"]",
        Type::ArchiveSearch | Type::ArchiveView => b"[\"api\"]",
        Type::ThreatFeed | Type::ThreatFeedGrid => b"[\"threat\"]",
        Type::Collector | Type::Other => return false,
        _ => b"[\"email\"]",
    };
    out.extend_from_slice(list);
    true
}

fn kind(_: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    let refused = || context.record.get(Field::RejectionType).is_some();
    constant(
        match context.record.kind {
            Type::ThreatFeed | Type::ThreatFeedGrid => "enrichment",
            _ if context.event.severity != Severity::Informational || refused() => "alert",
            _ => "event",
        },
        out,
    )
}

fn event_type(_: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    let list: &[u8] = match context.record.kind {
        Type::ThreatFeed | Type::ThreatFeedGrid => b"[\"indicator\"]",
        Type::ArchiveSearch | Type::ArchiveView => b"[\"admin\"]",
        _ if context.record.success() == Some(false) => b"[\"denied\"]",
        _ => b"[\"info\"]",
    };
    out.extend_from_slice(list);
    true
}

fn outcome(_: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    let success = context.record.success();
    if success.is_some() {
        context.uses(Field::Delivered);
    }
    constant(
        match success {
            Some(true) => "success",
            Some(false) => "failure",
            None => "unknown",
        },
        out,
    )
}

/// Not a place of its own: the field stays under its name as well.
fn related(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    let used = context.used.get();
    let any = tree::texts(leaf, context, out);
    context.used.set(used);
    any
}

fn related_ip(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    out.push(b'[');
    let mut list = json::List::default();
    for field in leaf.from {
        if let Some(ip) = context.record.get(*field).filter(|value| value.is_ip()) {
            list.add(ip, out);
        }
    }
    if let Some(ip) = context.record.audit_ip() {
        list.add(ip, out);
    }
    out.push(b']');
    !list.is_empty()
}

fn is_address(value: &Value<'_>) -> bool {
    value.kind == Kind::Nested || value.bytes.contains(&b'@')
}

fn user_email(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    context.take(leaf, |value| is_address(&value).then(|| json::limited(value, usize::MAX, out))).is_some()
}

fn user_name(leaf: &Leaf, context: &Context<'_>, out: &mut Vec<u8>) -> bool {
    context.take(leaf, |value| (!is_address(&value)).then(|| json::limited(value, usize::MAX, out))).is_some()
}

/// Writes events; `original` adds Mimecast's own bytes as `event.original`.
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
            tree: Tree::new(LEAVES, "mimecast", DROPPED),
            stamp: Stamp::default(),
            original: false,
        }
    }
}

impl Writer {
    /// Appends one event.
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let record = self.reader.read(event);
        let original = self.original || !record.whole;
        let (variant, used) = (record.kind as u32, Cell::new(0));
        let context =
            Context { event, record, variant, collected: self.stamp.text(event.collected), original, used };
        self.tree.write(&context, out);
    }
}
