//! Records for logs of keyed messages (Kafka): what stands beside the value, in front of it. The sink takes the parts
//! apart again with [`read`]; these bytes never leave the program.
//!
//! The key is `TENANT/MESSAGE`: a message's `Message-ID` where the event has one, so that all that happened to one
//! mail lies in one partition and in order; else the event's own id.

use super::fields::Field;
use super::record::Reader;
use crate::event::Event;

/// Bytes of a key's message part; RFC 5322 allows a line of 998.
const MAX_KEY: usize = 998;
/// Bytes of each part's length.
const LENGTH: usize = 4;

/// One message, in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed<'a> {
    pub tenant: &'a str,
    pub feed: &'a str,
    /// The record's own type.
    pub kind: &'a str,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// Takes a record apart; `None` when this room did not make it.
pub fn read(record: &[u8]) -> Option<Keyed<'_>> {
    let (tenant, rest) = part(record)?;
    let (feed, rest) = part(rest)?;
    let (kind, rest) = part(rest)?;
    let (key, value) = part(rest)?;
    let text = |bytes| std::str::from_utf8(bytes).ok();
    Some(Keyed { tenant: text(tenant)?, feed: text(feed)?, kind: text(kind)?, key, value })
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// Writes what stands in front of the value.
#[derive(Default)]
pub struct Header {
    reader: Reader,
}

impl Header {
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        for text in [event.tenant, event.feed, event.kind] {
            put(out, |out| out.extend_from_slice(text.as_bytes()));
        }
        let record = self.reader.read(event);
        put(out, |out| {
            out.extend_from_slice(event.tenant.as_bytes());
            out.push(b'/');
            let start = out.len();
            if let Some(id) = record.get(Field::MessageId) {
                message_id(id, out);
            }
            if out.len() == start {
                out.extend_from_slice(&event.id.hex());
            }
        });
    }
}

/// Feeds write the same id with and without angle brackets; the key has none.
fn message_id(id: super::value::Value<'_>, out: &mut Vec<u8>) {
    let mut text = String::new();
    id.each_char(|c| {
        if text.len() < MAX_KEY {
            text.push(c);
        }
    });
    let bare = text.trim();
    let bare = bare.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(bare);
    out.extend_from_slice(bare.as_bytes());
}

/// A part behind its length.
fn put(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    write(out);
    let length = (out.len() - start - LENGTH) as u32; // names and keys are short
    if let Some(room) = out.get_mut(start..start + LENGTH) {
        room.copy_from_slice(&length.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Body, Encoder, Shape, Wire};
    use super::*;
    use crate::event::{EventId, Severity};

    fn keyed(raw: &str, seen: impl FnOnce(Keyed<'_>)) {
        let event = Event {
            id: EventId([7; 16]),
            tenant: "acme",
            feed: "siem.receipt",
            kind: "receipt",
            time: None,
            collected: 0,
            severity: Severity::Informational,
            repaired: false,
            json: true,
            raw: raw.as_bytes(),
        };
        let mut out = Vec::new();
        Encoder::new(&Shape { body: Body::Raw, wire: Wire::Keyed }).encode(&event, &mut out);
        seen(read(&out).unwrap());
    }

    #[test]
    fn all_that_happened_to_one_mail_has_one_key() {
        for raw in [
            r#"{"messageId":"<a@b>","subject":"x"}"#,
            r#"{"messageId":"a@b"}"#,
            r#"{"MsgId":" <a\u0040b> "}"#,
        ] {
            keyed(raw, |parts| {
                assert_eq!((parts.tenant, parts.feed, parts.kind), ("acme", "siem.receipt", "receipt"));
                assert_eq!(parts.key, b"acme/a@b");
                assert_eq!(parts.value, raw.as_bytes());
            });
        }
    }

    #[test]
    fn an_event_without_a_message_is_its_own_key() {
        for raw in [r#"{"auditType":"Logon"}"#, r#"{"messageId":""}"#, r#"{"messageId":" <> "}"#, "no json"] {
            keyed(raw, |parts| assert_eq!(parts.key, b"acme/07070707070707070707070707070707", "{raw}"));
        }
        let long = format!(r#"{{"messageId":"{}"}}"#, "ü".repeat(5000));
        keyed(&long, |parts| assert_eq!(parts.key.len(), "acme/".len() + MAX_KEY));
    }

    #[test]
    fn what_is_no_record_is_none() {
        for bytes in [&b""[..], b"abc", b"\xff\xff\xff\xffabcd", b"\x01\0\0\0a\0\0\0\0\0\0\0\0\x02\0\0\0a"] {
            assert_eq!(read(bytes), None);
        }
    }
}
