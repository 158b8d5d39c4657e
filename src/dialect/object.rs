//! Reading members of a JSON object whose every level is optional and may be of the wrong type.

use serde_json::{Map, Value};

use super::said;

/// The first of these members that is a non-empty string.
pub(super) fn text<'a>(object: &'a Map<String, Value>, names: &[&str]) -> Option<&'a str> {
    names
        .iter()
        .find_map(|name| object.get(*name).and_then(Value::as_str).filter(|text| !text.trim().is_empty()))
}

/// An HTTP status: a number or a string of one, 100–599.
pub(super) fn status(value: Option<&Value>) -> Option<u16> {
    let number = match value? {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    u16::try_from(number).ok().filter(|status| (100..=599).contains(status))
}

/// A word or number that names an error; a number that is an HTTP status names nothing.
pub(super) fn code(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => said::name(&text.trim().replace(' ', "_")),
        Value::Number(number) if status(value).is_none() => Some(number.to_string()),
        _ => None,
    }
}

/// `true`, `false` or one of them as a string.
pub(super) fn flag(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}
