//! What one Mimecast event is once it has been read: its bytes, untouched, and the few facts intake learnt
//! about it. Everything downstream (store, formats, sinks) sees events only through these types.

use std::fmt;

use sha2::{Digest, Sha256};

/// Identity of one event: the first 128 bits of SHA-256 over tenant, feed, the event's exact bytes and the
/// ordinal among identical records of one unit (file, or window of a paged log). The same event always has
/// the same id; true twins differ. Shown as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// `ordinal` counts identical records of one unit from 0.
    pub fn of(tenant: &str, feed: &str, raw: &[u8], ordinal: u32) -> Self {
        let mut hash = Sha256::new();
        for part in [tenant.as_bytes(), feed.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes()); // lengths keep ("ab","c") apart from ("a","bc")
            hash.update(part);
        }
        hash.update(ordinal.to_be_bytes());
        hash.update(raw);
        let mut id = [0; 16];
        for (byte, digest) in id.iter_mut().zip(hash.finalize()) {
            *byte = digest;
        }
        EventId(id)
    }

    /// The 32 hex digits, without allocating.
    pub fn hex(&self) -> [u8; 32] {
        let mut out = [0; 32];
        for (pair, byte) in out.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [hex_digit(byte >> 4), hex_digit(byte & 15)];
        }
        out
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hex().iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How much an analyst should care, read from the event itself (contract §8). The numbers are syslog's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Malware, malicious URL, impersonation.
    Warning = 4,
    /// Rejected or held mail.
    Notice = 5,
    /// Everything else.
    Informational = 6,
}

impl Severity {
    /// The inverse of `as u8`; an unknown number reads as informational.
    pub fn from_number(number: u8) -> Self {
        match number {
            4 => Severity::Warning,
            5 => Severity::Notice,
            _ => Severity::Informational,
        }
    }
}

/// One event as formats and sinks see it. Borrowed from a chunk; nothing here owns memory.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub id: EventId,
    pub tenant: &'a str,
    pub feed: &'a str,
    /// The record's own type (`receipt`, `internal email protect`), or the feed's where records carry none.
    pub kind: &'a str,
    /// When it happened, Unix milliseconds; `None` when the event does not say.
    pub time: Option<i64>,
    /// When this daemon stored it, Unix milliseconds.
    pub collected: i64,
    pub severity: Severity,
    /// `raw` is not valid UTF-8: text formats replace what is broken by U+FFFD and say so (recovery row X15).
    pub repaired: bool,
    /// True for a JSON text; false for an API 1.0 key-value line.
    pub json: bool,
    /// Exactly the bytes Mimecast sent for this record.
    pub raw: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_depends_on_every_part_and_on_nothing_else() {
        let id = EventId::of("acme", "audit", b"{}", 0);
        assert_eq!(id, EventId::of("acme", "audit", b"{}", 0));
        for other in [
            EventId::of("acm", "eaudit", b"{}", 0),
            EventId::of("acme", "audit", b"{} ", 0),
            EventId::of("acme", "audit", b"{}", 1),
            EventId::of("acme", "audi", b"t{}", 0),
        ] {
            assert_ne!(id, other);
        }
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(id.to_string().as_bytes(), id.hex());
    }
}
