//! Events written by an attacker: whatever stands in a subject, an address, a file name or a link, each format
//! gives back one record with the same fields and the same texts, and hides nothing. The readers here are written
//! from the formats' own documents and share nothing with the writers.

use std::collections::BTreeMap;
use std::fmt;

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::wire_tests::{read_5424, read_octets};
use super::*;
use crate::event::{EventId, Severity};

/// Keys of API 2.0 and 1.0 that an attacker writes, and what CEF and LEEF call them.
const ATTACKED: [[&str; 4]; 7] = [
    ["subject", "Subject", "msg", "subject"],
    ["senderEnvelope", "Sender", "suser", "sender"],
    ["senderHeader", "headerFrom", "cs5", "headerFrom"],
    ["recipients", "Rcpt", "duser", "recipient"],
    ["fileName", "fileName", "fname", "fileName"],
    ["url", "URL", "request", "url"],
    ["messageId", "MsgId", "cs1", "messageId"],
];
/// Written by nobody but Mimecast, so that nothing else may appear.
const FEEDS: [(&str, &str); 6] = [
    ("siem.receipt", "receipt"),
    ("siem.av", "av"),
    ("siem.url-protect", "url protect"),
    ("ci.mailflow", "mailflow"),
    ("siem.mta", "receipt"),
    ("future.feed", "new"),
];

fn hostile_text() -> impl Strategy<Value = String> {
    let weapon = prop::sample::select(vec![
        "|",
        "=",
        "\\",
        "\n",
        "\r\n",
        "\r",
        "\t",
        "^",
        "\"",
        "'",
        " ",
        ",",
        "CEF:0|",
        " src=6.6.6.6",
        "^src=6.6.6.6",
        "\tsrc=6.6.6.6",
        "\\|",
        "\\=",
        "\\n",
        "\\\\",
        "LEEF:2.0|a|b|c|d|^|",
        "\u{202e}",
        "\u{2066}",
        "\u{200b}",
        "\u{feff}",
        "\u{ad}",
        "\u{e0041}",
        "\u{0}",
        "\u{1b}[2J",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "<13>1 ",
        "] ",
        "ä",
        "日",
        "🎉",
        "\u{fffd}",
        "\\u202e",
        "\"}",
        "\",\"x\":\"",
        "{",
        "}",
        "rt=0 ",
        "cs1Label=",
        "|Sender=",
        "null",
    ]);
    let piece = prop_oneof![3 => weapon.prop_map(str::to_owned), 1 => "[a-z]{1,6}", 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

pub(super) fn event<'a>((feed, kind): (&'a str, &'a str), json: bool, raw: &'a [u8]) -> Event<'a> {
    Event {
        id: EventId([7; 16]),
        tenant: "ac\"me|=\\\n\u{202e}",
        feed,
        kind,
        time: Some(-1),
        collected: 1_767_259_801_000,
        severity: Severity::Warning,
        repaired: false,
        json,
        raw,
    }
}

pub(super) fn made(body: Body, wire: Wire, event: &Event<'_>) -> String {
    let mut out = Vec::new();
    Encoder::new(&Shape { body, wire }).on_host("h\n\"").encode(event, &mut out);
    String::from_utf8(out).unwrap()
}

/// What a text format shows of a text.
pub(super) fn shown(text: &str, alive: &[char]) -> String {
    let show = |c: char| {
        let hide = (visible::hidden(c) && !alive.contains(&c)) || (c == '^' && alive == ['^']);
        if hide { format!("<U+{:04X}>", c as u32) } else { c.to_string() }
    };
    text.chars().map(show).collect()
}

/// No control character, none that turns the direction of writing and none without width, on one line.
pub(super) fn assert_shows_everything(line: &str, except: Option<char>) -> Result<(), TestCaseError> {
    let message = line.strip_suffix('\n').unwrap_or(line);
    let bad = |c: char| {
        c.is_control()
            || matches!(c as u32, 0x61c | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x2069 | 0xfeff | 0xad | 0xe0000..=0xe007f)
    };
    let found = message.chars().find(|c| bad(*c) && Some(*c) != except);
    prop_assert!(found.is_none(), "{:?} in {message:?}", found);
    Ok(())
}

// --- CEF: "Common Event Format", header of seven fields, then key=value ------------------------------------------

pub(super) fn read_cef(line: &str) -> Option<([String; 7], BTreeMap<String, String>)> {
    let mut chars = line.strip_suffix('\n').unwrap_or(line).chars();
    let mut header = Vec::new();
    let mut field = String::new();
    while header.len() < 7 {
        match chars.next()? {
            '\\' => field.push(chars.next().filter(|c| matches!(c, '\\' | '|'))?),
            '|' => header.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    let extension: Vec<char> = chars.collect();
    // an equals sign that is not escaped ends a key, which begins behind the last space
    let mut keys = Vec::new();
    let (mut at, mut space) = (0, 0);
    while at < extension.len() {
        match extension[at] {
            '\\' => at += 1,
            ' ' => space = at + 1,
            '=' => keys.push((space, at)),
            _ => {}
        }
        at += 1;
    }
    let mut found = BTreeMap::new();
    for (n, (from, equals)) in keys.iter().enumerate() {
        let end = keys.get(n + 1).map_or(extension.len(), |(next, _)| next - 1);
        let mut value = String::new();
        let mut rest = extension[equals + 1..end].iter();
        while let Some(c) = rest.next() {
            match c {
                '\\' => value.push(match rest.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    c @ ('\\' | '=') => *c,
                    _ => return None,
                }),
                c => value.push(*c),
            }
        }
        let key: String = extension[*from..*equals].iter().collect();
        if found.insert(key, value).is_some() {
            return None; // a key twice
        }
    }
    Some((header.try_into().ok()?, found))
}

// --- LEEF: five or six header fields, then key=value between delimiters ------------------------------------------

pub(super) fn read_leef(line: &str) -> Option<(Vec<String>, BTreeMap<String, String>)> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let fields = if line.starts_with("LEEF:2.0|") { 6 } else { 5 };
    let mut parts: Vec<&str> = line.splitn(fields + 1, '|').collect();
    let attributes = parts.pop()?;
    let delimiter = if fields == 6 { parts.last()?.chars().next()? } else { '\t' };
    let mut found = BTreeMap::new();
    for attribute in attributes.split(delimiter) {
        let (key, value) = attribute.split_once('=')?;
        if found.insert(key.to_owned(), value.to_owned()).is_some() {
            return None;
        }
    }
    Some((parts.into_iter().map(str::to_owned).collect(), found))
}

// --- JSON in which no object has a key twice ----------------------------------------------------------------------

pub(super) struct Strict(pub Json);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Strict;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }
            fn visit_unit<E>(self) -> Result<Strict, E> {
                Ok(Strict(Json::Null))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strict, A::Error> {
                let mut read = Vec::new();
                while let Some(Strict(value)) = list.next_element()? {
                    read.push(value);
                }
                Ok(Strict(read.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                let mut read = serde_json::Map::new();
                while let Some((key, Strict(value))) = map.next_entry::<String, Strict>()? {
                    if read.insert(key.clone(), value).is_some() {
                        return Err(serde::de::Error::custom(format!("{key} twice")));
                    }
                }
                Ok(Strict(read.into()))
            }
        }
        from.deserialize_any(Read)
    }
}

/// The record as JSON, with the words of API 1.0 for `siem.mta`; some strings written in escapes only.
fn record(feed: &str, texts: &[String], extra: &[(String, String)], escape: bool) -> String {
    let string = |text: &str| {
        if !escape {
            return serde_json::to_string(text).unwrap();
        }
        format!("\"{}\"", text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>())
    };
    let column = usize::from(feed == "siem.mta");
    let attacked = ATTACKED.iter().zip(texts).map(|(row, text)| (row[column].to_owned(), text.clone()));
    let members: Vec<_> = attacked
        .chain(extra.iter().cloned())
        .map(|(key, text)| format!("{}:{}", string(&key), string(&text)))
        .collect();
    format!("{{{}}}", members.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_600))]

    #[test]
    fn what_goes_in_comes_out(
        texts in prop::collection::vec(hostile_text(), 7), feed in prop::sample::select(FEEDS.to_vec()),
        extra in prop::collection::vec((hostile_text(), hostile_text()), 0..4), escape in any::<bool>(),
    ) {
        let raw = record(feed.0, &texts, &extra, escape);
        let event = event(feed, true, raw.as_bytes());

        let cef = made(Body::Cef, Wire::Line, &event);
        assert_shows_everything(&cef, None)?;
        let (header, keys) = read_cef(&cef).unwrap_or_else(|| panic!("{cef}"));
        prop_assert_eq!(&header[..3], ["CEF:0", "Mimecast", "Email Security"]);
        prop_assert_eq!(&header[6], "7");
        let leef = made(Body::Leef2, Wire::Line, &event);
        assert_shows_everything(&leef, None)?;
        let leef1 = made(Body::Leef1, Wire::Line, &event);
        assert_shows_everything(&leef1, Some('\t'))?;
        let (attributes, attributes1) = (read_leef(&leef).unwrap().1, read_leef(&leef1).unwrap().1);
        for (row, text) in ATTACKED.iter().zip(&texts) {
            prop_assert_eq!(keys.get(row[2]), Some(&shown(text, &['\n', '\r'])), "{}", row[2]);
            prop_assert_eq!(attributes.get(row[3]), Some(&shown(text, &['^'])), "{}", row[3]);
            prop_assert_eq!(attributes1.get(row[3]), Some(&shown(text, &[])), "{}", row[3]);
        }
        prop_assert!(!keys.contains_key("src") && !attributes.contains_key("src") && !attributes1.contains_key("src"));
        prop_assert_eq!(keys.get("rt").map(String::as_str), Some("-1"));

        for body in [Body::Ecs, Body::Ocsf, Body::Gelf] {
            let line = made(body, Wire::Line, &event);
            assert_shows_everything(&line, None)?;
            let Strict(read) = serde_json::from_str(&line).map_err(|error| TestCaseError::fail(format!("{error}: {line}")))?;
            let at = |pointer: &str| read.pointer(pointer).and_then(Json::as_str).map(str::to_owned);
            let subject = match body {
                Body::Ecs => at("/email/subject"),
                Body::Ocsf => at("/message"),
                _ => at("/_subject"),
            };
            prop_assert_eq!(subject.as_ref(), texts.first());
            prop_assert!(read.pointer("/source/ip").is_none() && read.pointer("/src_endpoint").is_none());
        }
    }

    #[test]
    fn a_syslog_message_around_it_stays_one_message(
        text in hostile_text(), body in prop::sample::select(vec![Body::Cef, Body::Leef2, Body::Leef1, Body::Ecs, Body::Ocsf, Body::Gelf]),
        counted in any::<bool>(),
    ) {
        let raw = record("siem.receipt", &[text], &[], false);
        let event = event(FEEDS[0], true, raw.as_bytes());
        let framing = if counted { Framing::OctetCounting } else { Framing::Newline };
        let header = SyslogHeader { facility: 2, host: "h".into(), framing };
        let wire = made(body, Wire::Syslog5424(header), &event);
        let alone = made(body, Wire::Line, &event);
        let message = if counted { read_octets(wire.as_bytes()).unwrap()[0] } else { wire.trim_end_matches('\n').as_bytes() };
        let read = read_5424(message).unwrap();
        prop_assert_eq!(String::from_utf8(read.message).unwrap(), alone.trim_end_matches('\n'));
    }

    /// Not even JSON: the bytes go along as they are, and nothing breaks.
    #[test]
    fn any_bytes_make_one_record(
        raw in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            "[{}\\[\\]\":,\\\\ a1]{0,60}".prop_map(String::into_bytes),
            "(Subject|Sender|x)=[\\\\|=a{}\n]{0,30}".prop_map(String::into_bytes),
        ],
        json in any::<bool>(), body in prop::sample::select(golden_tests::FORMATS.to_vec()),
    ) {
        let repaired = std::str::from_utf8(&raw).is_err();
        let event = Event { repaired, ..event(FEEDS[0], json, &raw) };
        let line = made(body.1, Wire::Line, &event);
        assert_shows_everything(&line, (body.1 == Body::Leef1).then_some('\t'))?;
        match body.1 {
            Body::Cef => prop_assert!(read_cef(&line).is_some(), "{line}"),
            Body::Leef1 | Body::Leef2 => prop_assert!(read_leef(&line).is_some(), "{line}"),
            _ => prop_assert!(serde_json::from_str::<Strict>(&line).is_ok(), "{line}"),
        }
    }

    /// The free text of a key-value line cannot become another field of it.
    #[test]
    fn key_value_lines(subject in "[a-zA-Z0-9=|^ \u{202e}\"]{1,40}") {
        let raw = format!("datetime=x|acc=C0|Subject=\\{subject}\\|Sender=a@b|Act=Acc");
        let event = event(("siem.mta", "receipt"), false, raw.as_bytes());
        let keys = read_cef(&made(Body::Cef, Wire::Line, &event)).unwrap().1;
        prop_assert_eq!(&keys["msg"], &shown(&subject, &[]));
        prop_assert_eq!(&keys["suser"], "a@b");
        prop_assert_eq!(&keys["act"], "Acc");
    }
}

#[test]
fn too_many_fields_are_counted() {
    let members: Vec<_> = (0..300).map(|n| format!("\"k{n}\":{n}")).collect();
    let raw = format!("{{{}}}", members.join(","));
    for body in [Body::Ecs, Body::Ocsf, Body::Gelf] {
        let line = made(body, Wire::Line, &event(FEEDS[0], true, raw.as_bytes()));
        let Strict(read) = serde_json::from_str(&line).unwrap();
        let at = |pointer: &str| read.pointer(pointer).and_then(Json::as_u64);
        assert_eq!(
            at("/mimecast/fields_left_out").or(at("/unmapped/fields_left_out")).or(at("/_fields_left_out")),
            Some(44)
        );
    }
}

#[test]
fn the_original_goes_along_where_it_is_wanted() {
    let raw = b"{\"subject\":\"a\\u202e\"}";
    for (body, place) in
        [(Body::Ecs, "/event/original"), (Body::Ocsf, "/raw_data"), (Body::Gelf, "/full_message")]
    {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&Shape { body, wire: Wire::Line }).with_original(true);
        encoder.encode(&event(FEEDS[0], true, raw), &mut out);
        let Strict(read) = serde_json::from_slice(&out).unwrap();
        assert_eq!(read.pointer(place).and_then(Json::as_str).unwrap().as_bytes(), raw);
        assert!(
            !made(body, Wire::Line, &event(FEEDS[0], true, raw)).contains("u202e\\\""),
            "only where it is wanted"
        );
    }
    let mut out = Vec::new();
    Encoder::new(&Shape { body: Body::Cef, wire: Wire::Line })
        .with_original(true)
        .encode(&event(FEEDS[0], true, raw), &mut out);
    let keys = read_cef(std::str::from_utf8(&out).unwrap()).unwrap().1;
    assert_eq!(keys["rawEvent"].as_bytes(), raw);
}
