//! Finds the members of a record without building anything: one pass over its bytes, values left where they
//! are. Two grammars: a JSON object, and the key-value line of API 1.0 (`key=value|key=value`). What does not
//! follow the grammar ends the walk; the caller is told.

use super::value::{Kind, Value};

/// Hands over each member of a JSON object, keys and strings not decoded. False when the text is no object to
/// its end; members before the fault were handed over.
pub fn members<'a>(json: &'a [u8], mut take: impl FnMut(&'a [u8], Value<'a>)) -> bool {
    let mut cursor = Cursor { bytes: json, at: 0 };
    let whole = walk(&mut cursor, &mut take);
    whole.is_some() && cursor.peek().is_none()
}

fn walk<'a>(cursor: &mut Cursor<'a>, take: &mut impl FnMut(&'a [u8], Value<'a>)) -> Option<()> {
    cursor.expect(b'{')?;
    if cursor.peek()? == b'}' {
        return cursor.expect(b'}');
    }
    loop {
        let key = cursor.string()?;
        cursor.expect(b':')?;
        let value = cursor.value()?;
        take(key.bytes, value);
        match cursor.peek()? {
            b',' => cursor.expect(b',')?,
            _ => return cursor.expect(b'}'),
        }
    }
}

/// Hands over each element of a JSON array.
pub fn elements<'a>(json: &'a [u8], mut take: impl FnMut(Value<'a>)) {
    let mut cursor = Cursor { bytes: json, at: 0 };
    if cursor.expect(b'[').is_none() || cursor.peek() == Some(b']') {
        return;
    }
    while let Some(value) = cursor.value() {
        take(value);
        if cursor.expect(b',').is_none() {
            return;
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next byte that is no white space, not consumed.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.bytes.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn string(&mut self) -> Option<Value<'a>> {
        self.expect(b'"')?;
        let rest = self.bytes.get(self.at..)?;
        let (len, escaped) = string_len(rest)?;
        self.at += len + 1;
        let kind = match len {
            0 => Kind::Absent,
            _ if escaped => Kind::Escaped,
            _ => Kind::Text,
        };
        Some(Value::of(kind, rest.get(..len)?))
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' | b'[' => {
                let rest = self.bytes.get(self.at..)?;
                let len = nested_len(rest)?;
                self.at += len;
                Some(Value::of(Kind::Nested, rest.get(..len)?))
            }
            _ => {
                let rest = self.bytes.get(self.at..)?;
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                let word = rest.get(..rest.iter().position(ends).unwrap_or(rest.len()))?;
                self.at += word.len();
                (!word.is_empty()).then(|| Value::of(bare(word), word))
            }
        }
    }
}

fn bare(word: &[u8]) -> Kind {
    match word {
        b"null" => Kind::Absent,
        b"true" | b"false" => Kind::Flag,
        _ if is_number(word) => Kind::Number,
        _ => Kind::Plain,
    }
}

/// The grammar of RFC 8259 §6.
fn is_number(word: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = word.strip_prefix(b"-").unwrap_or(word);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.first() == Some(&b'0')) {
        return false;
    }
    rest = rest.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = fraction.get(count..).unwrap_or_default();
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// Bytes up to the closing quote, and whether an escape is among them. `None` when there is no closing quote.
fn string_len(rest: &[u8]) -> Option<(usize, bool)> {
    let first = memchr::memchr2(b'"', b'\\', rest)?;
    if rest.get(first) == Some(&b'"') {
        return Some((first, false));
    }
    let mut at = first;
    loop {
        at += memchr::memchr2(b'"', b'\\', rest.get(at..)?)?;
        if rest.get(at) == Some(&b'"') {
            return Some((at, true));
        }
        at += 2;
    }
}

/// Bytes of an object or array up to its last bracket. Counts, so that depth costs nothing.
fn nested_len(rest: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match rest.get(at)? {
            b'"' => at += string_len(rest.get(at + 1..)?)?.0 + 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return Some(at + 1),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

/// Hands over each field of a key-value line. Free text stands between backslashes (`Subject=\a | b\`) and may
/// hold anything; a value that is JSON ends with its bracket; any other ends before the next `|name=`. False
/// when the line has no field.
pub fn pairs<'a>(line: &'a [u8], mut take: impl FnMut(&'a [u8], Value<'a>)) -> bool {
    let mut rest = line.trim_ascii();
    let mut any = false;
    while let Some(name) = name_len(rest) {
        any = true;
        let (key, value) = (rest.get(..name).unwrap_or_default(), rest.get(name + 1..).unwrap_or_default());
        let len = pair_len(value);
        let text = value.get(..len).unwrap_or_default();
        let free = text.strip_prefix(b"\\").and_then(|text| text.strip_suffix(b"\\"));
        let bytes = free.unwrap_or(text);
        let kind = match bytes.first() {
            None => Kind::Absent,
            Some(b'{' | b'[') if nested_len(bytes) == Some(bytes.len()) => Kind::Nested,
            Some(_) => Kind::Plain,
        };
        take(key, Value::of(kind, bytes));
        rest = value.get(len + 1..).unwrap_or_default();
    }
    any
}

/// Length of a field's name if one stands here: letters, digits, `_` and then `=`.
fn name_len(text: &[u8]) -> Option<usize> {
    let len = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    (len > 0 && text.get(len) == Some(&b'=')).then_some(len)
}

fn pair_len(value: &[u8]) -> usize {
    let ends = |at: usize| match value.get(at) {
        None => true,
        Some(b'|') => value.get(at + 1..).is_some_and(|next| name_len(next).is_some()),
        Some(_) => false,
    };
    if let Some(b'{' | b'[') = value.first()
        && let Some(len) = nested_len(value)
        && ends(len)
    {
        return len;
    }
    let free = value.first() == Some(&b'\\');
    let closed = |at: usize| !free || (at > 1 && value.get(at - 1) == Some(&b'\\'));
    let mut pipes = memchr::memchr_iter(b'|', value);
    pipes.find(|at| ends(*at) && closed(*at)).unwrap_or(value.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(json: &str) -> (Vec<(String, Kind, String)>, bool) {
        let mut found = Vec::new();
        let whole = members(json.as_bytes(), |key, value| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            found.push((text(key), value.kind, text(value.bytes)));
        });
        (found, whole)
    }

    #[test]
    fn members_of_every_kind() {
        let (found, whole) = all(
            r#" {"a" : "x","b":"\"y\\","c":null,"d":-1.5e3,"e":true,"f":{"g":["}"]},"h":[],"i":01,"j":""} "#,
        );
        assert!(whole);
        let kinds: Vec<_> = found.iter().map(|(_, kind, text)| (*kind, text.as_str())).collect();
        assert_eq!(
            kinds,
            [
                (Kind::Text, "x"),
                (Kind::Escaped, "\\\"y\\\\"),
                (Kind::Absent, "null"),
                (Kind::Number, "-1.5e3"),
                (Kind::Flag, "true"),
                (Kind::Nested, "{\"g\":[\"}\"]}"),
                (Kind::Nested, "[]"),
                (Kind::Plain, "01"),
                (Kind::Absent, ""),
            ]
        );
    }

    #[test]
    fn what_is_no_object_is_told() {
        for bad in [
            "",
            "{",
            "{}x",
            "[]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":\"",
            "{\"a\":[1}",
            "{\"a\":1 2}",
        ] {
            assert!(!all(bad).1, "{bad}");
        }
        assert!(all("{}").1);
    }

    #[test]
    fn free_text_of_a_key_value_line_cannot_begin_a_field() {
        let line = b"acc=C0|Subject=\\Offer a=b | now|Sender=evil@x \\|MsgId=|Sender=a=b@c|Info={\"x\":\"|y=1\"}|Error=1|2 | 3\\\r\n";
        let mut found = Vec::new();
        assert!(pairs(line, |key, value| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            found.push((text(key), text(value.bytes)));
        }));
        let found: Vec<_> = found.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(
            found,
            [
                ("acc", "C0"),
                ("Subject", "Offer a=b | now|Sender=evil@x "),
                ("MsgId", ""),
                ("Sender", "a=b@c"),
                ("Info", "{\"x\":\"|y=1\"}"),
                ("Error", "1|2 | 3\\"),
            ]
        );
        assert!(!pairs(b"no field here", |_, _| {}));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            members(&bytes, |_, value| value.each_text(|text| text.each_char(|_| {})));
            elements(&bytes, |value| value.each_char(|_| {}));
            pairs(&bytes, |_, _| {});
        }

        #[test]
        fn text_is_what_serde_reads(text in "\\PC{0,20}|[\\x00-\\x20\"\\\\]{0,9}", ascii in any::<bool>()) {
            let mut json = serde_json::to_string(&serde_json::json!({ "k": text })).unwrap();
            if ascii {
                let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>();
                json = format!("{{\"k\":\"{units}\"}}");
            }
            let mut read = String::new();
            prop_assert!(members(json.as_bytes(), |_, value| value.each_char(|c| read.push(c))));
            prop_assert_eq!(read, text);
        }
    }
}
