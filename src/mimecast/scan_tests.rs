//! A quick look at a record sees what the closer look sees, or leaves it to that one.

use proptest::prelude::*;

use super::catalogue::find;
use super::record::closely;
use super::scan::*;
use crate::limits::{LAYOUT_KEY_BYTES, LAYOUT_KEYS, MAX_JSON_DEPTH, MAX_JSON_KEYS};

/// What is seen at a glance is what is seen when looking closely. True when the glance was enough.
fn agrees(text: &str) -> bool {
    let mut glanced = false;
    for name in ["siem.receipt", "siem.url-protect", "audit"] {
        let feed = find(name).unwrap();
        let mut layout = Layout::default();
        let fresh = facts(feed, text, None);
        for _ in 0..2 {
            assert_eq!(facts(feed, text, Some(&mut layout)), fresh, "{text}");
        }
        if let Some(facts) = fresh {
            assert_eq!(Ok(facts), closely(feed, text), "{text}");
            glanced = true;
        }
    }
    glanced
}

#[test]
fn ordinary_records_are_seen_at_a_glance() {
    let samples = [
        include_str!("../../tests/fixtures/mimecast/v2-cg-batch.ndjson"),
        include_str!("../../tests/fixtures/mimecast/v2-ci-batch.ndjson"),
    ];
    for line in samples.iter().flat_map(|sample| sample.lines()).filter(|line| !line.is_empty()) {
        assert!(agrees(line), "{line}");
    }
}

#[test]
fn odd_texts_are_left_or_seen_alike() {
    for text in [
        "{}",
        " { } ",
        "",
        "{",
        "}",
        "[]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":1.}",
        "{\"a\":1e}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":-0.0e-7}",
        "{\"a\":1e999}",
        "{\"timestamp\":1e999}",
        "{\"timestamp\":-5}",
        "{\"timestamp\":12345678901234567890}",
        "{\"timestamp\":00}",
        "{\"timestamp\":7}",
        "{\"timestamp\":1,\"timestamp\":null}",
        "{\"a\":tru}",
        "{\"a\":nulll}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\u{7f}\"}",
        "{\"type\":\"\\ud800\"}",
        "{\"t\\u0079pe\":\"x\"}",
        "{\"type\":[1]}",
        "{\"a\":[1,]}",
        "{\"a\":[,]}",
        "{\"a\":{\"b\"}}",
        "{\"a\":[[{}],{\"type\":[\"x\"]}]}",
        "{} {}",
        "{}x",
        "\u{feff}{}",
        "{\"a\":1\u{a0}}",
        "{\"action\":\"REJ\",\"action\":\"Acc\"}",
        "{\"action\":true,\"blockReason\":\"malicious\"}",
    ] {
        agrees(text);
    }
    for depth in [MAX_JSON_DEPTH - 1, MAX_JSON_DEPTH, 5_000] {
        agrees(&format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)));
    }
    agrees(&format!("{{{}}}", vec!["\"\":0"; MAX_JSON_KEYS + 1].join(",")));
}

/// What another record has taught changes nothing but that more may be left to the closer look.
fn agrees_after(other: &str, text: &str) {
    let (feed, mut layout) = (find("siem.receipt").unwrap(), Layout::default());
    let _ = facts(feed, other, Some(&mut layout));
    if let Some(facts) = facts(feed, text, Some(&mut layout)) {
        assert_eq!(Ok(facts), closely(feed, text), "{text} after {other}");
    }
}

#[test]
fn records_of_another_layout_are_seen_alike() {
    let long = format!("{{\"{}\":1,\"type\":\"a\"}}", "k".repeat(LAYOUT_KEY_BYTES));
    let many: Vec<String> = (0..LAYOUT_KEYS + 3).map(|n| format!("\"k{n}\":{n}")).collect();
    let many = format!("{{{},\"type\":\"a\"}}", many.join(","));
    let texts = [
        "{\"type\":\"receipt\",\"timestamp\":1}",
        "{\"timestamp\":1,\"type\":\"receipt\"}",
        "{\"type\": \"receipt\",\"timestamp\":1}",
        "{\"type\":   \"receipt\",\"timestamp\":1}",
        "{\"typ\":\"receipt\",\"timestampp\":1}",
        "{\"type\":{\"type\":\"inner\"},\"timestamp\":1}",
        "{\"a\":{\"type\":\"inner\"},\"type\":\"outer\"}",
        "{}",
        "{\"type\"",
        "{\"type\":",
        &long,
        &many,
    ];
    for other in texts {
        texts.iter().for_each(|text| agrees_after(other, text));
    }
}

/// Texts that are nearly JSON.
fn nearly() -> impl Strategy<Value = String> {
    let tokens = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        " ",
        "\n",
        "\"",
        "\\",
        "\\u00e9",
        "\\ud83d",
        "\\n",
        "true",
        "false",
        "null",
        "0",
        "-",
        "12",
        "1767259800123",
        "1.5",
        "e3",
        "E+",
        "\"type\"",
        "\"eventType\"",
        "\"timestamp\"",
        "\"eventTime\"",
        "\"action\"",
        "\"Rej\"",
        "\"blockReason\"",
        "\"malicious\"",
        "{}",
        "[]",
        "\"\"",
        "\"abcdefghijklmnopqrstuvwxyz\"",
        "é",
        "\u{1}",
        "x",
        "{\"a\":",
        "{\"type\":\"",
        "\"2026-01-01T09:30:00Z\"",
    ];
    proptest::collection::vec(proptest::sample::select(tokens.to_vec()), 0..24)
        .prop_map(|parts| parts.concat())
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,40}".prop_map(Into::into),
        "[a-zA-Z]{0,40}".prop_map(Into::into),
    ];
    let key = prop_oneof![
        4 => proptest::sample::select(vec!["type", "eventType", "timestamp", "eventTime", "action", "blockReason"])
            .prop_map(str::to_owned),
        1 => ".{0,20}",
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nearly_json_is_left_or_seen_alike(text in nearly()) {
        agrees(&text);
        agrees(&format!("{{\"a\":{text}}}"));
        agrees(&format!("{{\"timestamp\":1767259800123,{text}}}"));
    }

    #[test]
    fn json_is_left_or_seen_alike(value in value(), pretty in any::<bool>(), bend in any::<Option<(u16, u8)>>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let mut text = text.unwrap().into_bytes();
        let straight = String::from_utf8_lossy(&text).into_owned();
        if let Some((at, byte)) = bend {
            let at = usize::from(at) % text.len();
            text[at] = byte;
        }
        agrees(&String::from_utf8_lossy(&text));
        agrees_after(&straight, &String::from_utf8_lossy(&text));
    }

    #[test]
    fn the_first_special_byte_of_a_word_is_found(bytes in proptest::collection::vec(
        prop_oneof![any::<u8>(), 0x1e_u8..0x24, 0x5b_u8..0x5e], 8,
    )) {
        let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
        let first = bytes.iter().position(|byte| !plain(byte)).unwrap_or(8);
        let found = special(bytes.try_into().unwrap());
        prop_assert_eq!(found as usize / 8, first);
    }
}
