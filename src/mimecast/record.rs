//! What intake must know of one record: its time, its type, how grave it is. One pass over the JSON text that
//! skips every value it does not need.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::feed::Feed;
use super::scan;
use crate::event::Severity;
use crate::limits::{MAX_JSON_DEPTH, MAX_JSON_KEYS, MAX_KIND_BYTES};

/// The facts of one record.
#[derive(Debug, PartialEq)]
pub(super) struct Facts<'a> {
    /// Unix milliseconds.
    pub time: Option<i64>,
    /// The record's own type.
    pub kind: Option<Cow<'a, str>>,
    pub severity: Severity,
}

/// Why a text is no record.
#[derive(Debug, PartialEq)]
pub(super) struct Bad {
    /// Short code, safe as a metric label.
    pub reason: &'static str,
    pub detail: String,
}

/// Reads one record of `feed`, which must be one JSON object and nothing else.
pub(super) fn read<'a>(feed: &Feed, text: &'a str) -> Result<Facts<'a>, Bad> {
    scan::facts(feed, text, None).map_or_else(|| closely(feed, text), Ok)
}

/// The same for one of many records, whose keys `layout` keeps from one to the next.
pub(super) fn read_like<'a>(feed: &Feed, text: &'a str, layout: &mut scan::Layout) -> Result<Facts<'a>, Bad> {
    scan::facts(feed, text, Some(layout)).map_or_else(|| closely(feed, text), Ok)
}

/// The same by the book: decides what a text is, and says what is wrong with it.
pub(super) fn closely<'a>(feed: &Feed, text: &'a str) -> Result<Facts<'a>, Bad> {
    shape(text.as_bytes())?;
    let mut json = serde_json::Deserializer::from_str(text);
    let facts = json.deserialize_map(RecordVisitor { feed }).and_then(|facts| json.end().map(|()| facts));
    facts.map_err(|error| Bad {
        reason: if error.is_data() { "not_an_object" } else { "not_json" },
        detail: error.to_string(),
    })
}

/// Depth and number of keys are within bounds. Exact counting is done only where cheap upper bounds do not
/// already prove it: a text with few openers is not deep, a short one has few keys (`"":0,` is five bytes).
fn shape(text: &[u8]) -> Result<(), Bad> {
    let openers: usize = text.chunks(u8::MAX.into()).map(|part| usize::from(openers(part))).sum();
    if openers <= MAX_JSON_DEPTH && text.len() < 5 * MAX_JSON_KEYS {
        return Ok(());
    }
    let (mut depth, mut deepest, mut keys) = (0_usize, 0, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' => keys += 1,
            _ => {}
        }
    }
    let bad = |reason, detail| Err(Bad { reason, detail });
    if deepest > MAX_JSON_DEPTH {
        return bad("too_deep", format!("nested {deepest} levels deep; the bound is {MAX_JSON_DEPTH}"));
    }
    if keys > MAX_JSON_KEYS {
        return bad("too_many_keys", format!("{keys} keys; the bound is {MAX_JSON_KEYS}"));
    }
    Ok(())
}

/// Of at most 255 bytes: a sum of bytes is added sixteen at a time, one of words only two.
fn openers(part: &[u8]) -> u8 {
    part.iter().map(|byte| u8::from(matches!(byte, b'{' | b'['))).fold(0, u8::wrapping_add)
}

struct RecordVisitor<'f> {
    feed: &'f Feed,
}

impl<'de> Visitor<'de> for RecordVisitor<'_> {
    type Value = Facts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Facts<'de>, M::Error> {
        let mut reading = Reading::new(self.feed);
        while let Some(field) = map.next_key_seed(FieldSeed { reading: &reading })? {
            match field {
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => reading.learn(field, map.next_value_seed(ScalarSeed)?),
            }
        }
        Ok(reading.facts())
    }
}

/// What is known of a record after some of its fields.
pub(super) struct Reading<'f, 'a> {
    feed: &'f Feed,
    facts: Facts<'a>,
    event_type: Option<Cow<'a, str>>,
}

impl<'f, 'a> Reading<'f, 'a> {
    pub fn new(feed: &'f Feed) -> Self {
        let facts = Facts { time: None, kind: None, severity: feed.severity.otherwise };
        Reading { feed, facts, event_type: None }
    }

    /// What this feed reads `key` as; most keys are [`Field::Other`] and their values are skipped.
    pub fn field(&self, key: &str) -> Field {
        if key == self.feed.time.0 {
            return Field::Time;
        }
        if let Some(test) = self.feed.severity.tests.iter().find(|test| test.field == key) {
            return Field::Tested(test.field);
        }
        match key {
            "type" => Field::Type,
            "eventType" => Field::EventType,
            _ => Field::Other,
        }
    }

    /// Takes in one value; of several tested fields the gravest severity stays.
    pub fn learn(&mut self, field: Field, value: Scalar<'a>) {
        match field {
            Field::Other => {}
            Field::Time => self.facts.time = value.time(),
            Field::Type => self.facts.kind = value.name(),
            Field::EventType => self.event_type = value.name(),
            Field::Tested(name) => {
                let tests = self.feed.severity.tests.iter();
                let hits = tests.filter(|test| test.field == name && value.is_one_of(test.values));
                // The numbers are syslog's: the gravest is the smallest.
                self.facts.severity = hits.map(|test| test.severity).fold(self.facts.severity, Severity::min);
            }
        }
    }

    /// The result once all fields were seen; `type` takes precedence over `eventType`.
    pub fn facts(self) -> Facts<'a> {
        Facts { kind: self.facts.kind.or(self.event_type), ..self.facts }
    }
}

/// What a key means to us.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Time,
    Type,
    /// Older batch files and the stream name the type so.
    EventType,
    Tested(&'static str),
    Other,
}

struct FieldSeed<'r, 'f, 'a> {
    reading: &'r Reading<'f, 'a>,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_, '_, '_> {
    type Value = Field;
    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Field, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldSeed<'_, '_, '_> {
    type Value = Field;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: Error>(self, key: &str) -> Result<Field, E> {
        Ok(self.reading.field(key))
    }
}

/// A value that is neither list nor object; those are skipped.
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Flag(bool),
    Nothing,
}

impl<'a> Scalar<'a> {
    fn name(self) -> Option<Cow<'a, str>> {
        match self {
            Scalar::Text(text) if !text.is_empty() && text.len() <= MAX_KIND_BYTES => Some(text),
            _ => None,
        }
    }
    fn time(self) -> Option<i64> {
        match self {
            Scalar::Number(number) => epoch(number),
            Scalar::Text(text) => text_time(&text),
            Scalar::Flag(_) | Scalar::Nothing => None,
        }
    }
    fn is_one_of(&self, values: &[&str]) -> bool {
        let is = |own: &str| values.iter().any(|value| value.eq_ignore_ascii_case(own));
        match self {
            Scalar::Text(text) => is(text),
            Scalar::Flag(flag) => is(if *flag { "true" } else { "false" }),
            Scalar::Number(_) | Scalar::Nothing => false,
        }
    }
}

/// Epoch milliseconds of a number: below 10¹¹ (the year 1973 in milliseconds) it can only be seconds.
fn epoch(number: f64) -> Option<i64> {
    match number {
        n if !n.is_finite() || n <= 0.0 => None,
        n if n < 1e11 => Some((n * 1000.0) as i64),
        n => Some(n as i64), // exact below 2^53 ms, which is the year 287396
    }
}

/// A date with offset (`+0000`, `+00:00` or `Z`), or a number in a string.
pub(super) fn text_time(text: &str) -> Option<i64> {
    match text.parse::<f64>() {
        Ok(number) => epoch(number),
        Err(_) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
    }
}

struct ScalarSeed;

impl<'de> DeserializeSeed<'de> for ScalarSeed {
    type Value = Scalar<'de>;
    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Scalar<'de>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScalarSeed {
    type Value = Scalar<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number as f64))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number as f64))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Flag(flag))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Nothing)
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::find;
    use super::*;

    fn receipt(text: &str) -> Result<Facts<'_>, Bad> {
        read(find("siem.receipt").unwrap(), text)
    }

    #[test]
    fn timestamp_is_milliseconds_seconds_or_text() {
        for (value, time) in [
            ("1767259800123", Some(1_767_259_800_123)),
            ("\"1767259800123\"", Some(1_767_259_800_123)),
            ("946684800", Some(946_684_800_000)),
            ("\"946684800\"", Some(946_684_800_000)),
            ("1767259800123.0", Some(1_767_259_800_123)),
            ("\"2026-01-01T09:30:00+0100\"", Some(1_767_256_200_000)),
            ("\"2026-01-01T09:30:00.5Z\"", Some(1_767_259_800_500)),
            ("0", None),
            ("null", None),
            ("[1]", None),
            ("{\"a\":[{}]}", None),
            ("\"\"", None),
            ("\"NaN\"", None),
            ("\"inf\"", None),
        ] {
            let text = format!("{{\"timestamp\":{value}}}");
            assert_eq!(receipt(&text).unwrap().time, time, "{value}");
        }
    }

    #[test]
    fn type_wins_over_event_type_and_only_texts_count() {
        assert_eq!(receipt(r#"{"eventType":"a","type":"b"}"#).unwrap().kind.as_deref(), Some("b"));
        assert_eq!(receipt(r#"{"eventType":"a","type":null}"#).unwrap().kind.as_deref(), Some("a"));
        assert_eq!(receipt(r#"{"type":14030}"#).unwrap().kind, None);
        assert_eq!(
            receipt(r#"{"ty\u0070e":"url\u0020protect"}"#).unwrap().kind.as_deref(),
            Some("url protect")
        );
        assert_eq!(receipt(&format!("{{\"type\":\"{}\"}}", "x".repeat(65))).unwrap().kind, None);
    }

    #[test]
    fn severity_comes_from_the_row() {
        let grade = |feed: &str, text: &str| read(find(feed).unwrap(), text).unwrap().severity;
        assert_eq!(grade("siem.receipt", r#"{"action":"Rej"}"#), Severity::Notice);
        assert_eq!(grade("siem.process", r#"{"action":"hld"}"#), Severity::Notice);
        assert_eq!(grade("siem.receipt", r#"{"action":"Acc"}"#), Severity::Informational);
        assert_eq!(grade("siem.av", "{}"), Severity::Warning);
        assert_eq!(
            grade("siem.url-protect", r#"{"action":"Allow","blockReason":"malicious"}"#),
            Severity::Warning
        );
        assert_eq!(grade("siem.url-protect", r#"{"blockReason":null,"action":"Block"}"#), Severity::Warning);
        assert_eq!(grade("ttp.url", r#"{"scanResult":"Malicious"}"#), Severity::Warning);
        assert_eq!(grade("ttp.url", r#"{"scanResult":"clean"}"#), Severity::Informational);
    }

    #[test]
    fn x13_what_is_not_one_bounded_object_is_refused() {
        let reason = |text: &str| receipt(text).unwrap_err().reason;
        assert_eq!(reason("[1]"), "not_an_object");
        assert_eq!(reason("\"x\""), "not_an_object");
        assert_eq!(reason("This is not JSON"), "not_json");
        assert_eq!(reason("{\"a\":1"), "not_json");
        assert_eq!(reason("{} {}"), "not_json");
        let nested =
            |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(receipt(&nested(MAX_JSON_DEPTH)).is_ok());
        assert_eq!(reason(&nested(MAX_JSON_DEPTH + 1)), "too_deep");
        assert_eq!(reason(&nested(100_000)), "too_deep");
        let braces_in_text = format!("{{\"a\":\"{}\\\"{{\"}}", "{[".repeat(100));
        assert!(receipt(&braces_in_text).is_ok());
        let wide = |keys: usize| format!("{{{}}}", vec!["\"\":0"; keys].join(","));
        assert!(receipt(&wide(MAX_JSON_KEYS)).is_ok());
        assert_eq!(reason(&wide(MAX_JSON_KEYS + 1)), "too_many_keys");
    }
}
