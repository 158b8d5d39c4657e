//! What leaves the encoder, read back by a parser written from RFC 5424 and RFC 6587 and sharing nothing with
//! the writers.

use proptest::prelude::*;

use super::*;
use crate::event::{EventId, Severity};

fn event(raw: &[u8]) -> Event<'_> {
    Event {
        id: EventId([0x0f; 16]),
        tenant: "acme",
        feed: "siem.receipt",
        kind: "receipt",
        time: Some(1_767_259_800_123),
        collected: 1_767_259_801_000,
        severity: Severity::Warning,
        repaired: false,
        json: true,
        raw,
    }
}

fn syslog(framing: Framing) -> SyslogHeader {
    SyslogHeader { facility: 2, host: "collector-1".into(), framing }
}

fn encoded(shape: Shape, events: &[Event<'_>]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(&shape), Vec::new());
    events.iter().for_each(|event| assert_eq!(encoder.encode(event, &mut out), Fit::Whole));
    out
}

#[test]
fn rfc5424_octet_counted() {
    let shape = Shape { body: Body::Raw, wire: Wire::Syslog5424(syslog(Framing::OctetCounting)) };
    let message = "<20>1 2026-01-01T09:30:00.123Z collector-1 mimecollectd - siem.receipt \
                   [mimecast@32473 tenant=\"acme\" feed=\"siem.receipt\" id=\"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f\"] {\"a\":1}";
    let expected = format!("{} {message}", message.len());
    assert_eq!(String::from_utf8(encoded(shape, &[event(b"{\"a\":1}")])).unwrap(), expected);
}

#[test]
fn rfc3164_pads_the_day_and_falls_back_to_the_time_of_collection() {
    let shape = Shape { body: Body::Raw, wire: Wire::Syslog3164(syslog(Framing::Newline)) };
    let late = Event { time: Some(1_798_675_199_000), severity: Severity::Notice, ..event(b"x") };
    let timeless = Event { time: None, ..event(b"{}") };
    assert_eq!(
        String::from_utf8(encoded(shape, &[timeless, late])).unwrap(),
        "<20>Jan  1 09:30:01 collector-1 mimecollectd: {}\n<21>Dec 30 23:59:59 collector-1 mimecollectd: x\n"
    );
}

#[test]
fn ndjson_is_a_line_an_event() {
    let shape = Shape { body: Body::Raw, wire: Wire::Line };
    let kv = Event { json: false, ..event(b"datetime=2026|x=a\rb\0c\x1b#") };
    assert_eq!(
        encoded(shape, &[event(b"{\n\"a\":1}"), kv]),
        b"{ \"a\":1}\ndatetime=2026|x=a#015b#000c#033#\n"
    );
}

#[test]
fn header_fields_hold_only_what_they_may() {
    let header = SyslogHeader { host: "h\u{e9} ]\n\"".repeat(100), ..syslog(Framing::OctetCounting) };
    let nameless = SyslogHeader { host: String::new(), ..header.clone() };
    let feed = "x".repeat(50) + " \n";
    let hostile = Event { feed: &feed, tenant: "a\"]\\\nb", ..event(b"{}") };
    for (header, host_len) in [(header, 255), (nameless, 1)] {
        let out = encoded(Shape { body: Body::Raw, wire: Wire::Syslog5424(header) }, &[hostile]);
        let read = read_5424(read_octets(&out).unwrap()[0]).unwrap();
        assert_eq!((read.host.len(), read.msgid.len(), &*read.tenant), (host_len, 32, "a\"]\\ b"));
    }
}

// --- an independent reader --------------------------------------------------------------------------------

pub(super) fn read_octets(mut wire: &[u8]) -> Option<Vec<&[u8]>> {
    let mut messages = Vec::new();
    while !wire.is_empty() {
        let space = wire.iter().position(|byte| *byte == b' ')?;
        let digits = std::str::from_utf8(&wire[..space]).ok()?;
        if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let end = space + 1 + digits.parse::<usize>().ok()?;
        messages.push(wire.get(space + 1..end)?);
        wire = &wire[end..];
    }
    Some(messages)
}

pub(super) struct Read {
    pri: u16,
    time: String,
    host: String,
    msgid: String,
    tenant: String,
    feed: String,
    id: String,
    pub(super) message: Vec<u8>,
}

pub(super) fn read_5424(bytes: &[u8]) -> Option<Read> {
    let mut fields = bytes.splitn(7, |byte| *byte == b' ');
    let mut field = || {
        let text = std::str::from_utf8(fields.next()?).ok()?;
        (!text.is_empty() && text.bytes().all(|byte| (33..=126).contains(&byte))).then(|| text.to_owned())
    };
    let pri = field()?.strip_prefix('<')?.strip_suffix(">1")?.parse().ok()?;
    let (time, host, app, procid, msgid) = (field()?, field()?, field()?, field()?, field()?);
    let rest = fields.next()?;
    let mut rest = rest.strip_prefix(b"[mimecast@32473")?;
    let mut params = Vec::new();
    while let Some(after) = rest.strip_prefix(b" ") {
        let equals = after.iter().position(|byte| *byte == b'=')?;
        let name = String::from_utf8(after[..equals].to_vec()).ok()?;
        let mut chars = after[equals + 1..].strip_prefix(b"\"")?.iter().enumerate();
        let mut value = Vec::new();
        let end = loop {
            match chars.next()? {
                (at, b'"') => break at,
                (_, b'\\') => value.push(*chars.next()?.1),
                (_, b']') => return None, // must have been escaped
                (_, byte) => value.push(*byte),
            }
        };
        params.push((name, String::from_utf8(value).ok()?));
        rest = &after[equals + 2 + end + 1..];
    }
    let message = rest.strip_prefix(b"] ")?.to_vec();
    let [(a, tenant), (b, feed), (c, id)] = <[_; 3]>::try_from(params).ok()?;
    let names = [&*a, &*b, &*c, &*app, &*procid];
    (names == ["tenant", "feed", "id", "mimecollectd", "-"]).then_some(())?;
    Some(Read { pri, time, host, msgid, tenant, feed, id, message })
}

fn controls_as_spaces(text: &str) -> String {
    text.chars().map(|c| if c < ' ' || c == '\u{7f}' { ' ' } else { c }).collect()
}

proptest! {
    #[test]
    fn hostile_events_survive_octet_counting(
        raws in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 1..6),
        tenant in "(?s).{0,20}", feed in "(?s).{0,40}", host in "(?s).{0,300}",
        facility in 0_u8..24, id in any::<[u8; 16]>(), time in any::<Option<i64>>(),
    ) {
        let header = SyslogHeader { facility, host, framing: Framing::OctetCounting };
        let events: Vec<_> = raws.iter()
            .map(|raw| Event { tenant: &tenant, feed: &feed, id: EventId(id), time, json: false, ..event(raw) })
            .collect();
        let wire = encoded(Shape { body: Body::Raw, wire: Wire::Syslog5424(header) }, &events);
        let messages = read_octets(&wire).unwrap();
        prop_assert_eq!(messages.len(), raws.len());
        for (message, raw) in messages.iter().zip(&raws) {
            let read = read_5424(message).unwrap();
            prop_assert_eq!(read.pri, u16::from(facility) * 8 + 4);
            prop_assert_eq!(read.time, Time(time.unwrap_or(1_767_259_801_000)).rfc3339());
            prop_assert!(read.host.len() <= 255 && read.msgid.len() <= 32);
            prop_assert_eq!(read.tenant, controls_as_spaces(&tenant));
            prop_assert_eq!(read.feed, controls_as_spaces(&feed));
            prop_assert_eq!(read.id, EventId(id).to_string());
            prop_assert_eq!(&read.message, raw);
        }
    }

    #[test]
    fn one_event_is_one_line_whatever_it_holds(
        raw in proptest::collection::vec(any::<u8>(), 0..200), json in any::<bool>(), envelope in any::<bool>(),
        which in 0..3, tenant in "(?s).{0,20}", feed in "(?s).{0,40}", kind in "(?s).{0,20}", repaired in any::<bool>(),
    ) {
        let header = SyslogHeader { host: "h\n".into(), ..syslog(Framing::Newline) };
        let wire = match which { 0 => Wire::Line, 1 => Wire::Syslog3164(header), _ => Wire::Syslog5424(header) };
        let body = if envelope { Body::Envelope } else { Body::Raw };
        let hostile = Event { tenant: &tenant, feed: &feed, kind: &kind, json, repaired, ..event(&raw) };
        let out = encoded(Shape { body, wire }, &[hostile]);
        let (last, message) = out.split_last().unwrap();
        prop_assert_eq!(*last, b'\n');
        prop_assert!(!message.iter().any(|byte| *byte < 0x20), "{:?}", String::from_utf8_lossy(message));
    }
}

/// Every body over every wire, each far longer than it may be.
#[test]
fn what_is_too_long_is_cut_within_its_bound_and_stays_what_it_is() {
    let long = serde_json::json!({ "type": "receipt", "subject": "ü".repeat(900), "senderEnvelope": "a\\b".repeat(300),
        "messageId": "<x@y>", "processingId": "p", "timestamp": 1_767_259_800_123_i64, "direction": "Inbound" });
    let long = long.to_string();
    let line = format!("datetime=2026-01-01T09:30:00+0000|Subject={}", "ü".repeat(2000));
    let bodies =
        [Body::Envelope, Body::Raw, Body::Cef, Body::Leef1, Body::Leef2, Body::Ecs, Body::Ocsf, Body::Gelf];
    let (mut cut, mut left_out) = (0, 0);
    for body in bodies {
        for framing in [Framing::OctetCounting, Framing::Newline, Framing::Bare] {
            for (raw, json) in [(long.as_bytes(), true), (line.as_bytes(), false)] {
                let event = Event { json, ..event(raw) };
                let shape = Shape { body, wire: Wire::Syslog5424(syslog(framing)) };
                for bytes in [700, 1200] {
                    let limit = |cut| Encoder::new(&shape).within(Some(Limit { bytes, cut, columns: false }));
                    let mut out = b"before".to_vec();
                    match limit(true).encode(&event, &mut out) {
                        Fit::Whole => continue,
                        Fit::TooLong(_) => {
                            left_out += 1;
                            assert_eq!(out, b"before");
                        }
                        Fit::Cut => {
                            cut += 1;
                            check_cut(&out["before".len()..], (framing, body, json), bytes);
                        }
                    }
                    let mut out = Vec::new();
                    assert!(matches!(limit(false).encode(&event, &mut out), Fit::TooLong(n) if n > bytes));
                    assert!(out.is_empty());
                }
            }
        }
    }
    assert!(cut > 60 && left_out <= 24, "{cut} cut, {left_out} left out");
}

fn check_cut(wire: &[u8], (framing, body, json): (Framing, Body, bool), bytes: usize) {
    let text = std::str::from_utf8(wire).unwrap();
    let message = match framing {
        Framing::Bare => text,
        Framing::Newline => text.strip_suffix('\n').unwrap(),
        Framing::OctetCounting => {
            let (count, message) = text.split_once(' ').unwrap();
            assert_eq!(count.parse(), Ok(message.len()));
            message
        }
    };
    assert!(message.len() <= bytes && message.len() + 120 > bytes, "{body:?}: {} of {bytes}", message.len());
    let (header, said) = message.split_once("] ").unwrap();
    assert!(header.ends_with("id=\"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f\""), "{header}");
    assert!(said.contains("...[truncated]"), "{said}");
    if matches!(body, Body::Envelope | Body::Ecs | Body::Ocsf | Body::Gelf) || (body == Body::Raw && json) {
        serde_json::from_str::<serde_json::Value>(said).unwrap();
    } else {
        assert!(said.ends_with("...[truncated]"), "{said}");
    }
}
