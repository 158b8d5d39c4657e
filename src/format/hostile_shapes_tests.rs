//! Hostile in shape rather than in letters: half surrogate pairs, broken UTF-8, names twice, lists and objects where a text
//! is due, values of 64 KiB. Each format still gives one record, with the same text or an honest beginning of it.

use proptest::prelude::*;

use super::hostile_tests::{Strict, assert_shows_everything, event, made, read_cef, read_leef, shown};
use super::*;

/// How a text is written inside a JSON string, and what it says.
const PIECES: [(&[u8], &str); 24] = [
    (b"\\ud800", "\u{fffd}"),
    (b"\\udfff", "\u{fffd}"),
    (b"\\ude00\\ud83d", "\u{fffd}\u{fffd}"),
    (b"\\ud83d\\ude00", "\u{1f600}"),
    (b"\\ud83dx", "\u{fffd}x"),
    (b"\xff", "\u{fffd}"),
    (b"\xc3", "\u{fffd}"),
    (b"\xf0\x9f\x98", "\u{fffd}"),
    (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
    (b"\\u0000", "\u{0}"),
    (b"\\n", "\n"),
    (b"\\r\\n", "\r\n"),
    (b"\\t", "\t"),
    (b"\\\\", "\\"),
    (b"\\\"", "\""),
    (b"\\/", "/"),
    (b"\\u202e", "\u{202e}"),
    ("\u{202e}\u{200b}".as_bytes(), "\u{202e}\u{200b}"),
    (b"\\u2028", "\u{2028}"),
    (b"|", "|"),
    (b"=", "="),
    (b" src=6.6.6.6", " src=6.6.6.6"),
    ("ä日🎉".as_bytes(), "ä日🎉"),
    (b"a", "a"),
];
const MARK: &str = plain::CUT;

/// Both forms of a text, with dots between the pieces so that none of them joins the next.
fn text() -> impl Strategy<Value = (Vec<u8>, String)> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES.to_vec()), 1..7);
    let long = prop_oneof![40 => Just(1_usize), 1 => Just(64 << 10)];
    (pieces, long).prop_map(|(pieces, long)| {
        let (mut raw, mut said) = (Vec::new(), String::new());
        while raw.is_empty() || said.len() < long {
            for (written, means) in &pieces {
                raw.extend_from_slice(written);
                said.push_str(means);
                raw.push(b'.');
                said.push('.');
            }
        }
        (raw, said)
    })
}

/// What stands beside the text under attack.
#[derive(Clone, Copy, Debug)]
enum Beside {
    Nothing,
    /// The same name once more, with another value.
    Twice,
    /// Names that mean the same thing in the other generation of the API.
    Synonym,
    /// The value is a list, or an object, or deep.
    List,
    Object,
    Deep,
}

const BESIDES: [Beside; 6] =
    [Beside::Nothing, Beside::Twice, Beside::Synonym, Beside::List, Beside::Object, Beside::Deep];

fn record(text: &[u8], beside: Beside) -> Vec<u8> {
    let quoted = [b"\"", text, b"\""].concat();
    let value = match beside {
        Beside::List => [b"[", &quoted[..], b",", &quoted, b"]"].concat(),
        Beside::Object => [b"{\"emailAddress\":", &quoted[..], b",\"x|y=z\":1}"].concat(),
        Beside::Deep => [&b"[".repeat(300)[..], &quoted, &b"]".repeat(300)].concat(),
        _ => quoted,
    };
    let more: &[u8] = match beside {
        Beside::Twice => b",\"subject\":\"second\",\"s\\u0075bject\":\"third\"",
        Beside::Synonym => b",\"Subject\":\"second\",\"recipients\":[\"a@b\"],\"Rcpt\":\"c@d\"",
        _ => b"",
    };
    [b"{\"subject\":", &value[..], more, b"}"].concat()
}

/// The text, or a beginning of it and the mark.
fn is_or_begins(found: Option<&str>, text: &str) -> bool {
    found.is_some_and(|found| {
        found == text || found.strip_suffix(MARK).is_some_and(|start| text.starts_with(start))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_600))]

    #[test]
    fn odd_shapes_make_one_record((written, said) in text(), beside in prop::sample::select(BESIDES.to_vec())) {
        let raw = record(&written, beside);
        let repaired = std::str::from_utf8(&raw).is_err();
        let event = Event { repaired, ..event(("siem.receipt", "receipt"), true, &raw) };
        let simple = matches!(beside, Beside::Nothing | Beside::Twice | Beside::Synonym);

        let cef = made(Body::Cef, Wire::Line, &event);
        assert_shows_everything(&cef, None)?;
        let (_, keys) = read_cef(&cef).ok_or_else(|| TestCaseError::fail(cef.clone()))?;
        prop_assert!(!keys.contains_key("src"));
        prop_assert!(!simple || is_or_begins(keys.get("msg").map(String::as_str), &shown(&said, &['\n', '\r'])), "{cef}");

        for (body, alive, tab) in [(Body::Leef2, '^', None), (Body::Leef1, ' ', Some('\t'))] {
            let leef = made(body, Wire::Line, &event);
            assert_shows_everything(&leef, tab)?;
            let keys = read_leef(&leef).ok_or_else(|| TestCaseError::fail(leef.clone()))?.1;
            prop_assert!(!keys.contains_key("src"));
            prop_assert!(!simple || is_or_begins(keys.get("subject").map(String::as_str), &shown(&said, &[alive])), "{leef}");
        }

        for (body, place) in [(Body::Ecs, "/email/subject"), (Body::Ocsf, "/message"), (Body::Gelf, "/_subject")] {
            let line = made(body, Wire::Line, &event);
            assert_shows_everything(&line, None)?;
            let Strict(read) = serde_json::from_str(&line).map_err(|error| TestCaseError::fail(format!("{error}: {line}")))?;
            let found = read.pointer(place).and_then(serde_json::Value::as_str);
            prop_assert!(!simple || is_or_begins(found, &said), "{line}");
        }
    }

    /// Around Mimecast's own bytes as well: the envelope names what it adds once, and the record inside is the record.
    #[test]
    fn the_envelope_holds_the_record_itself((written, _) in text(), beside in prop::sample::select(BESIDES.to_vec())) {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Envelope<'a> {
            tenant: String,
            feed: String,
            #[serde(rename = "type")]
            kind: String,
            time: String,
            collected: String,
            event_id: String,
            /// Says that broken UTF-8 was replaced.
            #[serde(default)]
            utf8_repaired: bool,
            #[serde(borrow)]
            event: &'a serde_json::value::RawValue,
        }
        let raw = record(&written, beside);
        let repaired = std::str::from_utf8(&raw).is_err();
        let event = Event { repaired, ..event(("siem.receipt", "receipt"), true, &raw) };
        let line = made(Body::Envelope, Wire::Line, &event);
        prop_assert_eq!(line.matches('\n').count(), 1);
        let line = line.trim_end_matches('\n');
        let read: Envelope<'_> = serde_json::from_str(line).map_err(|error| TestCaseError::fail(format!("{error}: {line}")))?;
        prop_assert_eq!(read.event.get(), String::from_utf8_lossy(&raw));
        prop_assert_eq!((read.tenant.as_str(), read.feed.as_str(), read.kind.as_str()), (event.tenant, event.feed, event.kind));
        prop_assert_eq!(read.utf8_repaired, repaired);
        prop_assert_eq!(read.event_id, event.id.to_string());
        prop_assert!(read.time.ends_with('Z') && read.collected.ends_with('Z'));
    }

    /// RFC 3164 §4.1: `<PRI>`, `Mmm dd hh:mm:ss`, a host, a tag of at most 32 letters, a colon; and no line end inside.
    #[test]
    fn the_old_protocol_keeps_its_frame((written, _) in text(), counted in any::<bool>(), host in "(?s).{0,40}", time in any::<Option<i64>>()) {
        let raw = record(&written, Beside::Nothing);
        let repaired = std::str::from_utf8(&raw).is_err();
        let event = Event { repaired, time, ..event(("siem.receipt", "receipt"), true, &raw) };
        let framing = if counted { Framing::OctetCounting } else { Framing::Newline };
        let shape = Shape { body: Body::Cef, wire: Wire::Syslog3164(SyslogHeader { facility: 2, host, framing }) };
        let mut wire = Vec::new();
        Encoder::new(&shape).encode(&event, &mut wire);
        let message = if counted { super::wire_tests::read_octets(&wire).unwrap()[0] } else { wire.strip_suffix(b"\n").unwrap() };
        let message = std::str::from_utf8(message).unwrap();
        prop_assert!(!message.contains(|c: char| c.is_control()), "{message:?}");
        let rest = message.strip_prefix("<20>").unwrap();
        let (stamp, rest) = rest.split_at(15);
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        prop_assert!(months.contains(&&stamp[..3]), "{stamp}");
        let day = stamp[4..6].trim_start();
        prop_assert!(stamp.as_bytes()[3] == b' ' && (1..=31).contains(&day.parse::<u32>().unwrap()), "{stamp}");
        prop_assert!(stamp[6..].chars().zip(" 00:00:00".chars()).all(|(c, form)| if form == '0' { c.is_ascii_digit() } else { c == form }), "{stamp}");
        let (host, rest) = rest[1..].split_once(' ').unwrap();
        prop_assert!(!host.is_empty() && host.bytes().all(|byte| (33..=126).contains(&byte)), "{host}");
        let (tag, body) = rest.split_once(": ").unwrap();
        prop_assert_eq!(tag, "mimecollectd");
        prop_assert!(read_cef(body).is_some());
    }
}
