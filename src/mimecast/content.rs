//! What a SIEM event says, whatever it is written like. Files and stream give the same event in different bytes:
//! other names for its type, other order, blanks, places in a log; nested details as an object or as text.

use serde_json::Value;

use crate::event::EventId;
use crate::limits::MAX_JSON_DEPTH;

/// Members that one of the two functions writes and the other does not, or names otherwise. The type needs no
/// telling: a feed has one.
const NOT_CONTENT: [&str; 6] = ["type", "eventType", "subtype", "subType", "_offset", "_partition"];
/// How often JSON may be wrapped in text: twice was met, and one more costs nothing.
const LAYERS: u8 = 3;

/// Equal for records of one feed that say the same. A record that is no JSON object counts by its bytes.
pub(super) fn key(tenant: &str, feed: &str, raw: &[u8]) -> EventId {
    let mut said = Vec::with_capacity(raw.len());
    match serde_json::from_slice(raw) {
        Ok(Value::Object(mut members)) => {
            NOT_CONTENT.iter().for_each(|name| _ = members.remove(*name));
            write(&Value::Object(members), 0, LAYERS, &mut said);
        }
        _ => said.extend_from_slice(raw),
    }
    EventId::of(tenant, feed, &said, 0)
}

/// Members in order of their names, those that say nothing left out; every scalar as its text.
fn write(value: &Value, depth: usize, layers: u8, out: &mut Vec<u8>) {
    if depth > MAX_JSON_DEPTH {
        return; // records are refused before they are so deep; what is in their texts may be
    }
    match value {
        Value::Null => {}
        Value::Bool(flag) => text(if *flag { "true" } else { "false" }, out),
        Value::Number(number) => text(&number.to_string(), out),
        Value::String(string) => match unwrapped(string).filter(|_| layers > 0) {
            Some(inner) => write(&inner, depth + 1, layers - 1, out),
            None => text(string, out),
        },
        Value::Array(items) => {
            out.push(b'[');
            items.iter().for_each(|item| {
                write(item, depth + 1, layers, out);
                out.push(b',');
            });
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|(_, value)| !value.is_null()).collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push(b'{');
            for (name, value) in members {
                text(name, out);
                write(value, depth + 1, layers, out);
            }
            out.push(b'}');
        }
    }
}

/// With its length, so that nothing can be taken for the end of it.
fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u64).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// JSON in a text.
fn unwrapped(string: &str) -> Option<Value> {
    let first = string.trim_start().bytes().next()?;
    matches!(first, b'{' | b'[' | b'"').then(|| serde_json::from_str(string).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(text: &str) -> EventId {
        key("acme", "siem.receipt", text.as_bytes())
    }

    #[test]
    fn the_stream_s_spelling_of_a_file_s_line_is_the_same_event() {
        let line = include_str!("../../tests/fixtures/mimecast/v2-cg-batch.ndjson").lines().next().unwrap();
        let page: Value =
            serde_json::from_str(include_str!("../../tests/fixtures/stream/v2-cg-stream-page.json")).unwrap();
        let streamed = serde_json::to_string_pretty(&page["value"][0]).unwrap();
        assert_ne!(line, streamed);
        assert_eq!(of(line), of(&streamed));
        assert_ne!(of(line), of(&page["value"][1].to_string()));
    }

    #[test]
    fn details_say_the_same_in_every_wrapping() {
        let detail = json!({"spf": {"info": "ALLOW", "allow": true}, "dkim": null});
        let once = detail.to_string();
        let twice = Value::from(once.clone()).to_string();
        let ids: Vec<EventId> =
            [detail, json!({"spf": {"allow": "true", "info": "ALLOW"}}), json!(once), json!(twice)]
                .into_iter()
                .map(|detail| of(&json!({ "aggregateId": "x", "spamProcessingDetail": detail }).to_string()))
                .collect();
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    }

    #[test]
    fn what_differs_in_any_word_is_another_event() {
        let event = |recipients: Value, message: Value| {
            of(&json!({"aggregateId": "a", "processingId": "p", "recipients": recipients, "messageId": message}).to_string())
        };
        let one = event(json!("ana@corp.example.com"), json!("<1@x>"));
        assert_eq!(one, event(json!("ana@corp.example.com"), json!("<1@x>")));
        for other in [
            event(json!("raul@corp.example.com"), json!("<1@x>")), // peers' fingerprints leave recipients out
            event(json!("ana@corp.example.com"), json!("<2@x>")),  // bounces differ in nothing else
            event(json!("ana@corp.example.com"), Value::Null),
            event(json!(["ana@corp.example.com"]), json!("<1@x>")),
            event(json!("ana@corp.example.com<1@x>"), json!("")),
        ] {
            assert_ne!(one, other);
        }
        assert_ne!(of("not JSON"), of("not JSON either"));
    }

    proptest! {
        #[test]
        fn any_text_has_a_key(text in "\\PC{0,60}") {
            prop_assert_eq!(of(&text), of(&text));
            prop_assert_ne!(of(&json!({ "a": text }).to_string()), of(&json!({ "a": format!("{text}x") }).to_string()));
        }

        #[test]
        fn order_and_blanks_say_nothing(members in proptest::collection::btree_map("[a-z]{1,6}", ".{0,8}", 0..6)) {
            let value = json!(members);
            let reversed: Vec<String> = members.iter().rev()
                .map(|(name, value)| format!("{} : {}", json!(name), json!(value))).collect();
            let reversed = format!("{{ \"_offset\": 7, {} }}", reversed.join(" , ")).replace(",  }", "}");
            prop_assert_eq!(of(&value.to_string()), of(&reversed));
        }
    }
}
