//! HTTP 200 does not mean success (mimecast-api.md §0 fact 2; recovery rows M30, M31, D12): a failure may stand
//! beside, before or after 16 MiB of records. The records are skipped without being built.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::lenient::Glimpse;
use super::{fault_of, object, of_object};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::MAX_ERROR_BODY_BYTES;

/// Members that tell of failure, or explain one.
const TELLING: [&str; 12] = [
    "meta",
    "fail",
    "error",
    "errors",
    "status",
    "ack",
    "success",
    "code",
    "message",
    "error_description",
    "title",
    "detail",
];

/// The failure that a 2xx answer carries, if it does: a non-empty `fail`, a `meta.status` that is not 2xx,
/// `error`, `errors`, `status: "error"` or `ack: "failure"`. `None` as well for what is no JSON object.
///
/// The status is that of `meta` when it is an error, else 200. Destinations say what they like, so that their `meta.status`
/// and `status` count from 400 on, and `success: false` as well; [`Kind::Partial`] is what speaks of parts (`errors`,
/// `fail`), and a failure without a status is taken for one that passes: waiting loses nothing.
pub fn failure_in_success(origin: Origin, body: &[u8]) -> Option<Fault> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let shell = Shell::of(body);
    let sink = origin == Origin::Sink;
    if !shell.is_failure(sink) {
        return None; // nearly every answer: nothing of it was built
    }
    let mut fault = fault_of(origin, 200, of_object(&[], &shell.members()));
    if sink {
        let parts = ["fail", "errors"].iter().any(|name| shell.get(name).is_some_and(says_something));
        let code = shell.get("code").map(bounded);
        let told =
            fault.status().into_iter().chain(object::status(code.as_ref())).find(|status| *status >= 400);
        fault.kind = if parts { Kind::Partial } else { Kind::Status(told.unwrap_or(500)) };
    }
    Some(fault)
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// The telling members of an object as they stand there; of two with one name the one that says something.
#[derive(Default)]
struct Shell<'a>(Vec<(&'static str, &'a str)>);

impl<'a> Shell<'a> {
    fn of(object: &'a [u8]) -> Self {
        let mut shell = Shell::default();
        // An answer that breaks off has still said what it said before.
        let _cut_short = serde_json::Deserializer::from_slice(object).deserialize_map(&mut shell);
        shell
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, raw)| *raw)
    }

    fn is_failure(&self, sink: bool) -> bool {
        let value = |name: &str| self.get(name).map(bounded);
        let failed = |name: &str| {
            let word = value(name).and_then(|value| value.as_str().map(str::to_ascii_lowercase));
            word.is_some_and(|word| matches!(word.as_str(), "error" | "fail" | "failed" | "failure"))
        };
        let meta = self.get("meta").and_then(|meta| Shell::of(meta.as_bytes()).get("status")).map(bounded);
        let is_error = |value| object::status(value).is_some_and(|status| status >= 400);
        let meta_fails = match &meta {
            meta if sink => is_error(meta.as_ref()),
            Some(Value::Number(number)) => {
                !number.as_u64().is_some_and(|status| (200..=299).contains(&status))
            }
            other => object::status(other.as_ref()).is_some_and(|status| !(200..=299).contains(&status)),
        };
        let status = value("status").filter(Value::is_number);
        ["fail", "error", "errors"].iter().any(|name| self.get(name).is_some_and(says_something))
            || meta_fails
            || is_error(status.as_ref())
            || failed("status")
            || failed("ack")
            || (sink && self.get("success") == Some("false"))
    }

    fn members(&self) -> Map<String, Value> {
        self.0.iter().map(|(name, raw)| ((*name).to_owned(), bounded(raw))).collect()
    }
}

fn says_something(raw: &str) -> bool {
    !matches!(raw, "[]" | "{}" | "null" | "false") && is_something(&bounded(raw))
}

impl<'de> Visitor<'de> for &mut Shell<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            let Some(name) = name else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&RawValue>()?.get();
            match self.0.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) if says_something(known) => {}
                Some((_, known)) => *known = value,
                None => self.0.push((name, value)),
            }
        }
        Ok(())
    }
}

/// The value, or as much of it as an error body of the usual size would tell.
fn bounded(raw: &str) -> Value {
    if raw.len() <= MAX_ERROR_BODY_BYTES
        && let Ok(value) = serde_json::from_str(raw)
    {
        return value;
    }
    let glimpse = Glimpse::of(raw);
    let member = |name: &str| glimpse.value(name).map_or(Value::Null, |text| Value::String(text.to_owned()));
    let found = json!({
        "code": member("code"), "message": member("message"), "field": member("field"),
        "retryable": member("retryable"), "status": member("status"),
    });
    if raw.starts_with('[') { Value::Array(vec![found]) } else { found }
}

/// A member's name, if it is one of [`TELLING`].
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(TELLING.into_iter().find(|telling| *telling == name))
    }
}
