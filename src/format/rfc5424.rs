//! The header of RFC 5424:
//! `<PRI>1 TIMESTAMP HOSTNAME mimecollectd - MSGID [mimecast@32473 tenant="…" feed="…" id="…"] `.
//! No BOM before the message: rsyslog keeps it, and JSON behind it no longer parses. 32473 is the enterprise
//! number RFC 5612 reserves for examples.

use super::{SyslogHeader, event_time, text};
use crate::event::Event;

const MAX_HOSTNAME: usize = 255; // octets, RFC 5424 §6
const MAX_MSGID: usize = 32; // octets, RFC 5424 §6

/// Writes headers; keeps the part that names tenant and feed between events.
pub struct Header {
    facility: u16,
    /// ` HOSTNAME mimecollectd - `
    host: Vec<u8>,
    tenant: String,
    feed: String,
    /// ` HOSTNAME … id="` for that tenant and feed.
    middle: Vec<u8>,
}

impl Header {
    pub fn new(syslog: &SyslogHeader) -> Self {
        let mut host = vec![b' '];
        host.extend_from_slice(&text::header_field(&syslog.host, MAX_HOSTNAME));
        host.extend_from_slice(b" mimecollectd - ");
        Header {
            facility: u16::from(syslog.facility),
            host,
            tenant: String::new(),
            feed: String::new(),
            middle: Vec::new(),
        }
    }

    /// Appends the header up to and including the space before the message.
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.learn(event);
        out.push(b'<');
        text::number(out, u64::from(self.facility * 8 + event.severity as u16));
        out.extend_from_slice(b">1 ");
        event_time(event).rfc3339_into(out);
        out.extend_from_slice(&self.middle);
        out.extend_from_slice(&event.id.hex());
        out.extend_from_slice(b"\"] ");
    }

    fn learn(&mut self, event: &Event<'_>) {
        if self.feed == event.feed && self.tenant == event.tenant && !self.middle.is_empty() {
            return;
        }
        self.tenant.clear();
        self.tenant.push_str(event.tenant);
        self.feed.clear();
        self.feed.push_str(event.feed);
        self.middle.clear();
        self.middle.extend_from_slice(&self.host);
        self.middle.extend_from_slice(&text::header_field(event.feed, MAX_MSGID));
        self.middle.extend_from_slice(b" [mimecast@32473 tenant=\"");
        text::param_value(&mut self.middle, event.tenant);
        self.middle.extend_from_slice(b"\" feed=\"");
        text::param_value(&mut self.middle, event.feed);
        self.middle.extend_from_slice(b"\" id=\"");
    }
}
