//! One event in, one framed wire record out. Pure: no clock, no I/O, and in the steady state no allocation, for
//! every event passes here once per sink.
//!
//! Bytes and framing. `event` is the evidence and goes out as it came, with one exception: where a line break
//! ends a record (NDJSON, newline framing), control bytes inside a JSON text become spaces. A valid JSON text
//! has them only *between* tokens (a pretty-printed page record), so its meaning is unchanged. Octet counting
//! needs no such thing and keeps every byte.

mod cef;
mod ecs;
mod envelope;
mod fields;
mod fit;
mod gelf;
mod json;
pub mod keyed;
mod kind;
mod leef;
mod ocsf;
mod plain;
mod record;
mod rfc3164;
mod rfc5424;
mod scan;
pub mod template;
mod text;
mod tree;
mod value;
mod visible;

#[cfg(test)]
mod docs_tests;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod hostile_shapes_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod wire_tests;

pub use text::json_string;

use crate::clock::Time;
use crate::event::Event;

/// What of the event is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The JSON envelope of contract §8.
    Envelope,
    /// The event's bytes alone.
    Raw,
    /// Common Event Format 0.
    Cef,
    /// Log Event Extended Format 1.0.
    Leef1,
    /// Log Event Extended Format 2.0.
    Leef2,
    /// Elastic Common Schema 8.
    Ecs,
    /// Open Cybersecurity Schema Framework 1.3.
    Ocsf,
    /// Graylog Extended Log Format 1.1.
    Gelf,
}

/// How a receiver of syslog finds the end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `LENGTH SP MESSAGE` (RFC 5425 §4.3, RFC 6587 §3.4.1): any byte may occur in a message.
    OctetCounting,
    /// A line feed ends the message, so none may occur inside.
    Newline,
    /// The transport keeps messages apart (RELP, UDP): the message alone, any byte may occur in it.
    Bare,
}

/// The constant part of every syslog message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogHeader {
    /// 0–23; `mail` is 2.
    pub facility: u8,
    /// This host's name; what the protocol does not allow in it is replaced.
    pub host: String,
    pub framing: Framing,
}

/// The protocol around the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    Syslog5424(SyslogHeader),
    Syslog3164(SyslogHeader),
    /// The body and a line feed (NDJSON).
    Line,
    /// The body behind what a keyed message needs beside it; see [`keyed`].
    Keyed,
}

/// What a receiver takes of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes of a message (header and body, without what frames it), or of a column.
    pub bytes: usize,
    /// It is about each member of the outermost JSON object, as destinations have it that make columns of them.
    pub columns: bool,
    /// Shorten what is longer; false: leave it out.
    pub cut: bool,
}

/// What became of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Whole,
    /// It was too long and is shortened.
    Cut,
    /// It, or a column of it, would have so many bytes, and was left out.
    TooLong(usize),
}

/// Everything an [`Encoder`] is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub body: Body,
    pub wire: Wire,
}

enum Header {
    Rfc5424(rfc5424::Header),
    Rfc3164(rfc3164::Header),
    Keyed(Box<keyed::Header>),
    None,
}

enum Writer {
    Envelope(envelope::Writer),
    Raw,
    Cef(Box<cef::Writer>),
    Leef(Box<leef::Writer>),
    Ecs(Box<ecs::Writer>),
    Ocsf(Box<ocsf::Writer>),
    Gelf(Box<gelf::Writer>),
}

impl Writer {
    fn new(body: Body) -> Self {
        match body {
            Body::Envelope => Writer::Envelope(envelope::Writer::default()),
            Body::Raw => Writer::Raw,
            Body::Cef => Writer::Cef(Box::default()),
            Body::Leef1 => Writer::Leef(Box::new(leef::Writer::new(leef::Version::One))),
            Body::Leef2 => Writer::Leef(Box::new(leef::Writer::new(leef::Version::Two))),
            Body::Ecs => Writer::Ecs(Box::default()),
            Body::Ocsf => Writer::Ocsf(Box::default()),
            Body::Gelf => Writer::Gelf(Box::default()),
        }
    }

    /// Appends the event; `one_line` keeps line breaks out of the formats that carry Mimecast's own bytes. The
    /// others have none.
    fn write(&mut self, event: &Event<'_>, one_line: bool, out: &mut Vec<u8>) {
        match self {
            Writer::Envelope(envelope) => envelope.write(event, one_line, out),
            Writer::Raw if !one_line => out.extend_from_slice(event.raw),
            Writer::Raw if event.json => text::json_on_one_line(out, event.raw),
            Writer::Raw => text::line(out, event.raw),
            Writer::Cef(cef) => cef.write(event, out),
            Writer::Leef(leef) => leef.write(event, out),
            Writer::Ecs(ecs) => ecs.write(event, out),
            Writer::Ocsf(ocsf) => ocsf.write(event, out),
            Writer::Gelf(gelf) => gelf.write(event, out),
        }
    }
}

/// Turns events into records of one sink. Keeps what is equal from event to event (names, the time of
/// collection), so it should be kept as long as the sink.
pub struct Encoder {
    body: Writer,
    header: Header,
    framing: Framing,
    limit: Option<Limit>,
    /// The last octet count as it went out, with its space.
    count: Vec<u8>,
}

impl Encoder {
    pub fn new(shape: &Shape) -> Self {
        let (header, framing) = match &shape.wire {
            Wire::Syslog5424(syslog) => (Header::Rfc5424(rfc5424::Header::new(syslog)), syslog.framing),
            Wire::Syslog3164(syslog) => (Header::Rfc3164(rfc3164::Header::new(syslog)), syslog.framing),
            Wire::Line => (Header::None, Framing::Newline),
            Wire::Keyed => (Header::Keyed(Box::default()), Framing::Bare),
        };
        Encoder { body: Writer::new(shape.body), header, framing, limit: None, count: Vec::new() }
    }

    /// Mimecast's own bytes go along as one more field of those formats that do not carry them anyway.
    #[must_use]
    pub fn with_original(mut self, original: bool) -> Self {
        match &mut self.body {
            Writer::Envelope(_) | Writer::Raw => {}
            Writer::Cef(cef) => cef.original = original,
            Writer::Leef(leef) => leef.original = original,
            Writer::Ecs(ecs) => ecs.original = original,
            Writer::Ocsf(ocsf) => ocsf.original = original,
            Writer::Gelf(gelf) => gelf.original = original,
        }
        self
    }

    /// This host's name, for the formats that name the host themselves.
    #[must_use]
    pub fn on_host(mut self, host: &str) -> Self {
        if let Writer::Gelf(gelf) = &mut self.body {
            gelf.set_host(host);
        }
        self
    }

    /// Messages are no longer than this.
    #[must_use]
    pub fn within(mut self, limit: Option<Limit>) -> Self {
        self.limit = limit;
        self
    }

    /// What the receiver takes of one event.
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Appends exactly one record to `out`, or none if it is too long for the receiver. Cannot fail otherwise: every
    /// event has a form.
    pub fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Fit {
        let start = out.len();
        let fit = match self.framing {
            Framing::OctetCounting => self.counted(event, out),
            Framing::Bare => self.message(event, false, out),
            Framing::Newline => {
                let fit = self.message(event, true, out);
                out.push(b'\n');
                fit
            }
        };
        if let Fit::TooLong(_) = fit {
            out.truncate(start);
        }
        fit
    }

    /// The count stands before what it counts. Room is made for as many digits as the last one had, which is
    /// nearly always right; where not, the message is moved.
    fn counted(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Fit {
        let start = out.len();
        out.extend_from_slice(&self.count);
        let message = out.len();
        let fit = self.message(event, false, out);
        let octets = out.len() - message;
        self.count.clear();
        text::number(&mut self.count, octets as u64);
        self.count.push(b' ');
        match out.get_mut(start..message) {
            Some(room) if room.len() == self.count.len() => room.copy_from_slice(&self.count),
            _ => drop(out.splice(start..message, self.count.iter().copied())),
        }
        fit
    }

    fn message(&mut self, event: &Event<'_>, one_line: bool, out: &mut Vec<u8>) -> Fit {
        out.reserve(event.raw.len() + 512);
        let start = out.len();
        match &mut self.header {
            Header::Rfc5424(header) => header.write(event, out),
            Header::Rfc3164(header) => header.write(event, out),
            Header::Keyed(header) => header.write(event, out),
            Header::None => {}
        }
        let body = out.len();
        self.body.write(event, one_line, out);
        match self.limit {
            Some(limit) if out.len() - start > limit.bytes => self.shorten(event, limit, (start, body), out),
            _ => Fit::Whole,
        }
    }

    /// Makes a message fit, if that is wanted and can be done.
    fn shorten(
        &self,
        event: &Event<'_>,
        limit: Limit,
        (start, body): (usize, usize),
        out: &mut Vec<u8>,
    ) -> Fit {
        if limit.columns {
            return fit::columns(out, body, limit);
        }
        let size = out.len() - start;
        let Some(room) = limit.bytes.checked_sub(body - start).filter(|_| limit.cut) else {
            return Fit::TooLong(size);
        };
        let fits = match &self.body {
            Writer::Leef(leef) => fit::line(out, body, room, Some(leef.separator())),
            Writer::Cef(_) => fit::line(out, body, room, None),
            Writer::Raw if !event.json => fit::line(out, body, room, None),
            _ => fit::json(out, body, room),
        };
        if fits { Fit::Cut } else { Fit::TooLong(size) }
    }
}

/// The event's own time; where it has none, the time it was collected.
fn event_time(event: &Event<'_>) -> Time {
    Time(event.time.unwrap_or(event.collected))
}

/// Remembers the text of the last timestamp: events of a chunk share the time of collection.
#[derive(Default)]
struct Stamp {
    at: Option<i64>,
    text: Vec<u8>,
}

impl Stamp {
    fn text(&mut self, at: i64) -> &[u8] {
        if self.at != Some(at) {
            self.text.clear();
            Time(at).rfc3339_into(&mut self.text);
            self.at = Some(at);
        }
        &self.text
    }
}
