//! Values as JSON: strings with every hidden character escaped, numbers as they came, objects and lists only
//! when they are sound.

use serde::de::IgnoredAny;

use super::plain::{Style, push};
use super::value::{Kind, Value};
use super::visible::{hidden, json_escape, suspicious};

/// The inside of a JSON string.
static STRING: Style = Style::new(b"\"\\", false, |c, out| {
    if matches!(c, '"' | '\\') {
        out.push(b'\\');
    }
    push(c, out);
})
.hiding(json_escape);

/// A string of the value's text, lists joined, cut to `max` bytes.
pub fn limited(value: Value<'_>, max: usize, out: &mut Vec<u8>) {
    out.push(b'"');
    inside(value, max, out);
    out.push(b'"');
}

/// The same without its quotes.
pub fn inside(value: Value<'_>, max: usize, out: &mut Vec<u8>) {
    STRING.write(value, max, out);
}

/// A string of the value's text; of an object or a list, of its JSON.
pub fn string(value: Value<'_>, out: &mut Vec<u8>) {
    let kind = if value.kind == Kind::Nested { Kind::Plain } else { value.kind };
    limited(Value { kind, ..value }, usize::MAX, out);
}

/// A string.
pub fn text(text: &str, out: &mut Vec<u8>) {
    string(Value::plain(text), out);
}

/// The value as what it is.
pub fn any(value: Value<'_>, out: &mut Vec<u8>) {
    match value.kind {
        Kind::Number | Kind::Flag => out.extend_from_slice(value.bytes),
        Kind::Nested if is_sound(value.bytes) => nested(value.bytes, out),
        _ => string(value, out),
    }
}

/// What is inside a value that comes as JSON, as JSON in a string or as JSON in a string in a string: the JSON
/// itself, so that a receiver sees it in one form. What is no JSON stays as it is.
pub fn unwrapped(value: Value<'_>) -> String {
    let mut inner = String::new();
    value.each_char(|c| inner.push(c));
    serde_json::from_str::<String>(&inner).unwrap_or(inner)
}

/// One JSON text and nothing behind it, no deeper than serde goes.
pub fn is_sound(json: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(json).is_ok()
}

/// Sound JSON, with white space other than blanks made blank and hidden characters, which only strings can hold,
/// escaped.
pub fn nested(json: &[u8], out: &mut Vec<u8>) {
    if !json.iter().any(|byte| suspicious(*byte)) {
        return out.extend_from_slice(json);
    }
    for chunk in json.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' | '\r' | '\t' => out.push(b' '),
                _ if hidden(c) => json_escape(out, c),
                _ => push(c, out),
            }
        }
    }
}

/// Each text of the value as an element of a list that is open; `first` is false once there is one. What is in
/// the list already is not added again.
pub fn elements(value: Value<'_>, list: usize, first: &mut bool, out: &mut Vec<u8>) {
    value.each_text(|value| {
        let start = out.len();
        if !*first {
            out.push(b',');
        }
        let begin = out.len();
        string(value, out);
        let (before, new) = out.split_at(begin);
        let known = before.get(list..start).unwrap_or_default();
        if contains(known, new) {
            out.truncate(start);
        } else {
            *first = false;
        }
    });
}

/// `list` is `"a","b"`; a string in it, quotes included, cannot be part of another.
fn contains(list: &[u8], string: &[u8]) -> bool {
    list.len() >= string.len()
        && memchr::memmem::find_iter(list, string).any(|at| at == 0 || list.get(at - 1) == Some(&b','))
}
