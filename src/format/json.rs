//! Values as JSON: strings with every hidden character escaped, numbers as they came, objects and lists only
//! when they are sound.

use serde::de::IgnoredAny;

use super::plain::{Style, push};
use super::value::{Kind, Value};
use super::visible::{hidden, json_escape, suspicious};

/// The inside of a JSON string.
static STRING: Style = Style::new(*b"\"\\", false, |c, out| {
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
    let as_it_is = match value.kind {
        Kind::Escaped => is_escaped_well(value),
        Kind::Text if value.ascii => true, // a string's end and its escapes were looked for
        _ => STRING.is_plain(value),
    };
    if as_it_is {
        return quoted(value.bytes, out);
    }
    let kind = if value.kind == Kind::Nested { Kind::Plain } else { value.kind };
    limited(Value { kind, ..value }, usize::MAX, out);
}

/// Bytes that need no escape, between quotes.
pub fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
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

/// It can stay as it is: no character that must be escaped, and no escape but those of two characters. Those
/// with digits may be halves of pairs, which is looked at elsewhere.
fn is_escaped_well(value: Value<'_>) -> bool {
    let bytes = value.bytes;
    const BLOCK: usize = 32;
    let odd = |byte: u8| !(0x20..0x7f).contains(&byte);
    let clean = value.ascii
        || bytes.chunks(BLOCK).all(|block| {
            !block.iter().fold(false, |any, byte| any | odd(*byte))
                || !block.iter().any(|byte| suspicious(*byte))
        });
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        if !matches!(rest.get(at + 1), Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) {
            return false;
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    clean
}

/// A list of strings while it is written. Its first strings are not repeated.
#[derive(Default)]
pub struct List {
    first: [(usize, usize); 8],
    len: usize,
}

impl List {
    /// Nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends each text of the value.
    pub fn add(&mut self, value: Value<'_>, out: &mut Vec<u8>) {
        value.each_text(|value| {
            let start = out.len();
            if self.len > 0 {
                out.push(b',');
            }
            let from = out.len();
            string(value, out);
            let new = out.get(from..);
            if self.first.iter().take(self.len).any(|(a, b)| out.get(*a..*b) == new) {
                return out.truncate(start);
            }
            if let Some(place) = self.first.get_mut(self.len) {
                *place = (from, out.len());
            }
            self.len += 1;
        });
    }
}
