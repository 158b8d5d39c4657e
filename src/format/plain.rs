//! Values as text, for CEF, LEEF and the strings of JSON formats: escaped as the format wants it, nothing hidden, never longer
//! than the receiver takes.

use super::value::{Kind, Value};
use super::visible::{hidden, named, suspicious};

/// What stands at the end of a text that was cut.
pub const CUT: &str = "…[truncated]";
/// Between the elements of a list.
const SEPARATOR: &str = ", ";

/// How a format protects a value.
pub struct Style {
    /// Bytes that cannot be copied without looking.
    special: [bool; 256],
    /// The ASCII ones among them that are no control bytes; twice the same where there is one.
    escaped: [u8; 2],
    /// Writes a character that is not hidden.
    put: fn(char, &mut Vec<u8>),
    /// Writes one that is.
    hide: fn(&mut Vec<u8>, char),
    /// Line feed and carriage return are written `\n` and `\r`; otherwise they are hidden characters.
    line_breaks: bool,
}

impl Style {
    #[expect(clippy::indexing_slicing, reason = "runs in the compiler; `get` on arrays is not const")]
    pub const fn new(escaped: [u8; 2], line_breaks: bool, put: fn(char, &mut Vec<u8>)) -> Self {
        let mut special = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            special[byte] = suspicious(byte as u8);
            byte += 1;
        }
        let [one, other] = escaped;
        special[one as usize] = true;
        special[other as usize] = true;
        Style { special, escaped, put, hide: named, line_breaks }
    }

    /// The same with another way to write hidden characters.
    pub const fn hiding(self, hide: fn(&mut Vec<u8>, char)) -> Self {
        Style { hide, ..self }
    }

    /// Nothing in it needs a look. Plain ASCII is found out sixteen bytes at a time, without a branch per byte.
    pub fn is_plain(&self, value: Value<'_>) -> bool {
        let [one, other] = self.escaped;
        let bytes = value.bytes;
        if value.ascii {
            return memchr::memchr2(one, other, bytes).is_none();
        }
        let odd =
            |any: bool, byte: &u8| any | (*byte < 0x20) | (*byte >= 0x7f) | (*byte == one) | (*byte == other);
        let (blocks, tail) = bytes.as_chunks::<16>();
        let odds = blocks.iter().fold(false, |any, block| any | block.iter().fold(false, odd));
        let special = |byte: &u8| self.special.get(usize::from(*byte)).copied().unwrap_or(true);
        !tail.iter().fold(odds, odd) || !bytes.iter().any(special)
    }

    fn character(&self, c: char, out: &mut Vec<u8>) {
        match c {
            '\n' if self.line_breaks => out.extend_from_slice(b"\\n"),
            '\r' if self.line_breaks => out.extend_from_slice(b"\\r"),
            _ if hidden(c) => (self.hide)(out, c),
            _ => (self.put)(c, out),
        }
    }

    /// Appends the value, lists joined, cut to `max` bytes of text (counted before escaping, mark included).
    pub fn write(&self, value: Value<'_>, max: usize, out: &mut Vec<u8>) {
        let mut text = Limited { max, ..Limited::default() };
        let mut first = true;
        value.each_text(|value| {
            if !std::mem::take(&mut first) {
                SEPARATOR.chars().for_each(|c| text.put(self, c, out));
            }
            if value.kind != Kind::Escaped && text.len + value.bytes.len() <= max && self.is_plain(value) {
                // no text after it can be cut inside this piece: the mark's place is found when it is needed
                text.whole(value.bytes, out);
            } else {
                value.each_char(|c| text.put(self, c, out));
            }
        });
        text.finish(out);
    }
}

/// A text as it is written, and where it would be cut.
#[derive(Default)]
struct Limited {
    max: usize,
    /// Bytes of text so far, before escaping.
    len: usize,
    /// Length of the output where text and mark together still fit.
    cut: Option<usize>,
}

impl Limited {
    fn room(&self) -> usize {
        self.max.saturating_sub(CUT.len())
    }

    fn put(&mut self, style: &Style, c: char, out: &mut Vec<u8>) {
        if self.len > self.max {
            return;
        }
        self.len += c.len_utf8();
        if self.len > self.room() {
            self.cut.get_or_insert(out.len());
        }
        if self.len <= self.max {
            style.character(c, out);
        }
    }

    /// `bytes` need no escape and fit.
    fn whole(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let fits = self.room().saturating_sub(self.len);
        if bytes.len() > fits && self.cut.is_none() {
            let boundary = (0..=fits).rev().find(|at| bytes.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80));
            self.cut = Some(out.len() + boundary.unwrap_or(0));
        }
        self.len += bytes.len();
        out.extend_from_slice(bytes);
    }

    fn finish(self, out: &mut Vec<u8>) {
        if self.len > self.max
            && let Some(cut) = self.cut
        {
            out.truncate(cut);
            out.extend_from_slice(CUT.as_bytes());
        }
    }
}

/// Appends the character itself.
pub fn push(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str, max: usize) -> String {
        let style = Style::new([0; 2], false, push);
        let mut out = b"<".to_vec();
        super::super::scan::members(format!("{{\"k\":{json}}}").as_bytes(), |_, value| {
            style.write(value, max, &mut out)
        });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn long_text_is_cut_between_characters_and_marked() {
        let long = format!("\"{}\"", "ä".repeat(50));
        assert_eq!(written(&long, 100), format!("<{}", "ä".repeat(50)));
        assert_eq!(written(&long, 99), format!("<{}{CUT}", "ä".repeat(42)));
        let escaped = format!("\"{}\"", "\\u00e4".repeat(50));
        assert_eq!(written(&escaped, 99), format!("<{}{CUT}", "ä".repeat(42)));
        let list = format!("[\"{}\",\"b\",\"c\"]", "a".repeat(26));
        assert_eq!(written(&list, 32), format!("<{}, b, c", "a".repeat(26)));
        assert_eq!(written(&list, 31), format!("<{}{CUT}", "a".repeat(17)));
    }

    #[test]
    fn lists_and_objects_give_their_texts() {
        assert_eq!(written(r#"["a",{"name":"n","emailAddress":"b@c"},null,[1]]"#, 99), "<a, b@c, [1]");
        assert_eq!(written(r#"{"emailAddress":"b@c"}"#, 99), "<b@c");
        assert_eq!(written(r#"{"x":1}"#, 99), "<{\"x\":1}");
    }
}
