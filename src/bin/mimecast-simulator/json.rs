//! Writes the JSON text of records by hand: the exact bytes are the evidence, so the writer decides on blanks,
//! escapes and key order, as different services of the real thing do.

pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    /// `", "` and `": "` instead of `","` and `":"`.
    roomy: bool,
    first: bool,
}

impl<'a> Object<'a> {
    pub fn new(out: &'a mut Vec<u8>, roomy: bool) -> Self {
        out.push(b'{');
        Object { out, roomy, first: true }
    }

    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.first {
            self.out.extend_from_slice(if self.roomy { b", " } else { b"," });
        }
        self.first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(if self.roomy { b"\": " } else { b"\":" });
        self.out
    }

    /// A string that is escaped as far as JSON demands.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        quoted(self.key(key), value);
        self
    }

    /// A string whose inside is JSON text already.
    pub fn escaped(&mut self, key: &str, inside: &str) -> &mut Self {
        let out = self.key(key);
        out.push(b'"');
        out.extend_from_slice(inside.as_bytes());
        out.push(b'"');
        self
    }

    /// Any JSON text: object, array, `true`.
    pub fn raw(&mut self, key: &str, json: &str) -> &mut Self {
        self.key(key).extend_from_slice(json.as_bytes());
        self
    }

    pub fn null(&mut self, key: &str) -> &mut Self {
        self.raw(key, "null")
    }

    pub fn number(&mut self, key: &str, value: u64) -> &mut Self {
        decimal(self.key(key), value);
        self
    }

    /// A number in quotes, as nearly all values of API 2.0 are.
    pub fn quoted_number(&mut self, key: &str, value: u64) -> &mut Self {
        let out = self.key(key);
        out.push(b'"');
        decimal(out, value);
        out.push(b'"');
        self
    }

    pub fn end(&mut self) {
        self.out.push(b'}');
    }
}

pub fn decimal(out: &mut Vec<u8>, value: u64) {
    if value >= 10 {
        decimal(out, value / 10);
    }
    out.push(b'0' + (value % 10) as u8); // one decimal digit always fits
}

pub fn quoted(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    if value.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.extend_from_slice(value.as_bytes());
    } else {
        for byte in value.bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => out.push(byte),
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let nasty = "a\"b\\c\n\r\t\u{1}\u{2028}ü";
        let mut out = Vec::new();
        for roomy in [false, true] {
            out.clear();
            Object::new(&mut out, roomy)
                .text("t", nasty)
                .number("n", 1_767_259_800_123)
                .quoted_number("q", 0)
                .null("z")
                .escaped("e", "\\u00e9\\/")
                .raw("a", "[1]")
                .end();
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(value["t"], nasty);
            assert_eq!(value["n"], 1_767_259_800_123_u64);
            assert_eq!(value["q"], "0");
            assert_eq!(value["e"], "é/");
            assert_eq!(roomy, out.windows(2).any(|w| w == b": "));
        }
    }
}
