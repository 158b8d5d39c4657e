//! The classic header of RFC 3164: `<PRI>Mmm dd hh:mm:ss HOSTNAME mimecollectd: `. It has neither year nor
//! zone nor room for tenant, feed and id: the time is UTC, and the envelope carries the rest. For receivers
//! that know nothing newer.

use super::{Stamp, SyslogHeader, event_time, text};
use crate::event::Event;

const MAX_HOSTNAME: usize = 255;
const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Writes headers; keeps facility, host and the text of the last time between events.
pub struct Header {
    facility: u16,
    /// ` HOSTNAME mimecollectd: `
    host: Vec<u8>,
    stamp: Stamp,
}

impl Header {
    pub fn new(syslog: &SyslogHeader) -> Self {
        let mut host = vec![b' '];
        host.extend_from_slice(&text::header_field(&syslog.host, MAX_HOSTNAME));
        host.extend_from_slice(b" mimecollectd: ");
        Header { facility: u16::from(syslog.facility), host, stamp: Stamp::default() }
    }

    /// Appends the header up to and including the space before the message.
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        out.push(b'<');
        text::number(out, u64::from(self.facility * 8 + event.severity as u16));
        out.push(b'>');
        // 2026-01-02T09:30:00.123Z: month at 5, day at 8, time of day at 11
        let at = self.stamp.text(event_time(event).0);
        let field = |from: usize, len: usize| at.get(from..from + len).unwrap_or_default();
        out.extend_from_slice(month(field(5, 2)));
        out.push(b' ');
        match field(8, 2) {
            [b'0', day] => out.extend_from_slice(&[b' ', *day]), // a space, not a zero, before days 1 to 9
            day => out.extend_from_slice(day),
        }
        out.push(b' ');
        out.extend_from_slice(field(11, 8));
        out.extend_from_slice(&self.host);
    }
}

/// The English abbreviation of a month of two digits.
pub fn month(digits: &[u8]) -> &'static [u8] {
    let number = digits.iter().fold(0_usize, |n, digit| n * 10 + usize::from(digit.wrapping_sub(b'0')));
    MONTHS.get(number.wrapping_sub(1)).copied().unwrap_or(b"Jan")
}
