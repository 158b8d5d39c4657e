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
const TELLING: [&str; 11] = [
    "meta",
    "fail",
    "error",
    "errors",
    "status",
    "ack",
    "code",
    "message",
    "error_description",
    "title",
    "detail",
];

/// The failure that a 2xx answer carries, if it does: a non-empty `fail`, a `meta.status` that is not 2xx,
/// `error`, `errors`, `status: "error"` or `ack: "failure"`. `None` as well for what is no JSON object.
///
/// The status is that of `meta` when it is an error, else 200. A sink's failure is [`Kind::Partial`].
pub fn failure_in_success(origin: Origin, body: &[u8]) -> Option<Fault> {
    let mut shell = Shell::default();
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    // An answer that breaks off has still said what it said before.
    let _cut_short = serde_json::Deserializer::from_slice(body).deserialize_map(&mut shell);
    let members = shell.0;
    if !is_failure(&members) {
        return None;
    }
    let mut fault = fault_of(origin, 200, of_object(&[], &members));
    if origin == Origin::Sink {
        fault.kind = Kind::Partial;
    }
    Some(fault)
}

fn is_failure(members: &Map<String, Value>) -> bool {
    let word = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_ascii_lowercase);
    let failed = |name: &str| {
        word(name).is_some_and(|word| matches!(word.as_str(), "error" | "fail" | "failed" | "failure"))
    };
    let meta = members.get("meta").and_then(|meta| meta.get("status"));
    let meta_fails = match meta {
        Some(Value::Number(number)) => !number.as_u64().is_some_and(|status| (200..=299).contains(&status)),
        other => object::status(other).is_some_and(|status| !(200..=299).contains(&status)),
    };
    let status = members.get("status").filter(|status| status.is_number());
    ["fail", "error", "errors"].iter().any(|name| members.get(*name).is_some_and(is_something))
        || meta_fails
        || object::status(status).is_some_and(|status| status >= 400)
        || failed("status")
        || failed("ack")
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

/// The telling members of the outermost object; of two with one name the one that says something.
#[derive(Default)]
struct Shell(Map<String, Value>);

impl<'de> Visitor<'de> for &mut Shell {
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
            let value = bounded(map.next_value::<&RawValue>()?.get());
            if !self.0.get(name).is_some_and(is_something) {
                self.0.insert(name.to_owned(), value);
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
