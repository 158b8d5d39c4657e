//! The JSON envelope (contract §8), the default everywhere:
//! `{"event_id":…,"tenant":…,"feed":…,"type":…,"time":…,"collected":…,"event":…}`.
//!
//! The event is copied, never parsed: what a SIEM sees under `event` is what Mimecast sent. `time` is absent
//! when the event has none. A key-value line is carried as a JSON string. Where the bytes are not UTF-8 they
//! are repaired with U+FFFD and `"utf8_repaired":true` says so (recovery row X15); the store keeps the bytes.

use super::{Stamp, text};
use crate::event::Event;

/// Writes envelopes; keeps the part that names tenant, feed and type between events.
#[derive(Default)]
pub struct Writer {
    tenant: String,
    feed: String,
    kind: String,
    /// `","tenant":…,"feed":…,"type":…` of those three.
    names: Vec<u8>,
    collected: Stamp,
}

impl Writer {
    /// Appends one envelope without a line end; `one_line` keeps line breaks inside the event out of it.
    pub fn write(&mut self, event: &Event<'_>, one_line: bool, out: &mut Vec<u8>) {
        self.learn(event);
        out.extend_from_slice(b"{\"event_id\":\"");
        out.extend_from_slice(&event.id.hex());
        out.extend_from_slice(&self.names);
        if let Some(time) = event.time {
            out.extend_from_slice(b",\"time\":\"");
            crate::clock::Time(time).rfc3339_into(out);
            out.push(b'"');
        }
        out.extend_from_slice(b",\"collected\":\"");
        out.extend_from_slice(self.collected.text(event.collected));
        if event.repaired {
            out.extend_from_slice(b"\",\"utf8_repaired\":true,\"event\":");
        } else {
            out.extend_from_slice(b"\",\"event\":");
        }
        match (event.json, event.repaired) {
            (false, _) => text::json_string(out, event.raw),
            (true, true) => text::repaired(out, event.raw, one_line),
            (true, false) if one_line => text::json_on_one_line(out, event.raw),
            (true, false) => out.extend_from_slice(event.raw),
        }
        out.push(b'}');
    }

    fn learn(&mut self, event: &Event<'_>) {
        let known = self.kind == event.kind && self.feed == event.feed && self.tenant == event.tenant;
        if known && !self.names.is_empty() {
            return;
        }
        for (kept, new) in
            [(&mut self.tenant, event.tenant), (&mut self.feed, event.feed), (&mut self.kind, event.kind)]
        {
            kept.clear();
            kept.push_str(new);
        }
        self.names.clear();
        for (key, value) in
            [(&b"\",\"tenant\":"[..], event.tenant), (b",\"feed\":", event.feed), (b",\"type\":", event.kind)]
        {
            self.names.extend_from_slice(key);
            text::json_string(&mut self.names, value.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;
    use crate::event::{EventId, Severity};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Envelope<'a> {
        event_id: String,
        tenant: String,
        feed: String,
        r#type: String,
        time: Option<String>,
        collected: String,
        utf8_repaired: Option<bool>,
        #[serde(borrow)]
        event: &'a RawValue,
    }

    fn event(raw: &[u8]) -> Event<'_> {
        Event {
            id: EventId([0xab; 16]),
            tenant: "acme",
            feed: "siem.receipt",
            kind: "receipt",
            time: Some(1_767_259_800_123),
            collected: 1_767_259_801_000,
            severity: Severity::Informational,
            repaired: false,
            json: true,
            raw,
        }
    }

    fn written(event: &Event<'_>, one_line: bool) -> String {
        let mut out = Vec::new();
        Writer::default().write(event, one_line, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_whole_form() {
        assert_eq!(
            written(&event(b"{\"a\":1}"), true),
            "{\"event_id\":\"abababababababababababababababab\",\"tenant\":\"acme\",\"feed\":\"siem.receipt\",\
             \"type\":\"receipt\",\"time\":\"2026-01-01T09:30:00.123Z\",\"collected\":\"2026-01-01T09:30:01.000Z\",\
             \"event\":{\"a\":1}}"
        );
        let timeless = Event { time: None, ..event(b"{}") };
        assert!(!written(&timeless, true).contains("\"time\""));
    }

    #[test]
    fn names_change_with_the_event() {
        let (mut writer, mut out) = (Writer::default(), Vec::new());
        writer.write(&event(b"1"), true, &mut out);
        for other in [
            Event { tenant: "b\"c", ..event(b"1") },
            Event { feed: "audit", ..event(b"1") },
            Event { kind: "held", ..event(b"1") },
            Event { kind: "", ..event(b"1") },
            Event { collected: 0, ..event(b"1") },
        ] {
            out.clear();
            writer.write(&other, true, &mut out);
            let parsed: Envelope<'_> = serde_json::from_slice(&out).unwrap();
            assert_eq!(
                (&*parsed.tenant, &*parsed.feed, &*parsed.r#type),
                (other.tenant, other.feed, other.kind)
            );
            assert_eq!(parsed.collected, crate::clock::Time(other.collected).rfc3339());
        }
    }

    #[test]
    fn line_breaks_between_tokens_become_spaces_only_where_a_line_ends_a_record() {
        let raw = "{\r\n\t\"a\": \"x\\n\u{2028}y\"\n}";
        assert!(written(&event(raw.as_bytes()), false).contains(raw));
        let line = written(&event(raw.as_bytes()), true);
        assert!(line.contains("{   \"a\": \"x\\n\u{2028}y\" }"), "{line}");
    }

    #[test]
    fn broken_utf8_is_replaced_and_said() {
        let broken = Event { repaired: true, ..event(b"{\"s\":\"caf\xe9\"}") };
        let text = written(&broken, true);
        let parsed: Envelope<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed.utf8_repaired, Some(true));
        assert_eq!(parsed.event.get(), "{\"s\":\"caf\u{FFFD}\"}");
    }

    proptest! {
        #[test]
        fn event_is_exactly_the_bytes_sent(
            value in "\\PC{0,40}", time in any::<Option<i64>>(), collected in any::<i64>(), kind in "\\PC{0,12}",
            id in any::<[u8; 16]>(), tenant in ".{0,12}",
        ) {
            let raw = serde_json::to_string(&serde_json::json!({ "v": value, "n": [1.50, null, "é"] })).unwrap();
            let event = Event { id: EventId(id), time, collected, kind: &kind, tenant: &tenant, ..event(raw.as_bytes()) };
            let text = written(&event, true);
            prop_assert!(!text.bytes().any(|byte| byte < 0x20));
            let parsed: Envelope<'_> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(parsed.event.get(), &raw);
            prop_assert_eq!(parsed.event_id, EventId(id).to_string());
            prop_assert_eq!(parsed.tenant, tenant);
            prop_assert_eq!(parsed.r#type, kind);
            prop_assert_eq!(parsed.time.is_some(), time.is_some());
            prop_assert_eq!(parsed.utf8_repaired, None);
        }

        #[test]
        fn any_line_survives_as_a_string(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let repaired = std::str::from_utf8(&line).is_err();
            let event = Event { json: false, repaired, ..event(&line) };
            let text = written(&event, true);
            prop_assert!(!text.bytes().any(|byte| byte < 0x20));
            let parsed: Envelope<'_> = serde_json::from_str(&text).unwrap();
            let carried: String = serde_json::from_str(parsed.event.get()).unwrap();
            prop_assert_eq!(carried, String::from_utf8_lossy(&line));
            prop_assert_eq!(parsed.utf8_repaired.unwrap_or(false), repaired);
        }
    }
}
