//! A quick look at a record. It takes what is plainly one JSON object and finds in it what intake must know;
//! whatever is out of the ordinary (an escape in a key or a wanted value, odd numbers, anything that is not
//! JSON) it leaves to [`super::record`], which also finds the words for what is wrong. So it may give up on any
//! text, but must never accept one that `serde_json` refuses, nor see other facts in it.

use std::borrow::Cow;

use super::feed::Feed;
use super::record::{Facts, Field, Reading, Scalar};
use crate::limits::{MAX_JSON_DEPTH, MAX_JSON_KEYS};

/// Digits of a wanted whole number: exact as a float, and epoch milliseconds have 13.
const MAX_DIGITS: usize = 15;

/// The facts of the record `text`, or `None` if it deserves a closer look.
pub(super) fn facts<'a>(feed: &Feed, text: &'a str) -> Option<Facts<'a>> {
    let mut scan = Scan { text, at: 0, keys: 0 };
    let mut reading = Reading::new(feed);
    scan.blanks();
    scan.expect(b'{')?;
    scan.blanks();
    if scan.peek()? == b'}' {
        scan.at += 1;
    } else {
        while {
            let field = reading.field(scan.key()?.plain()?);
            match field {
                Field::Other => scan.skip(1)?,
                _ => reading.learn(field, scan.scalar()?),
            }
            scan.more(b'}')?
        } {}
    }
    scan.blanks();
    (scan.at == text.len()).then(|| reading.facts())
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    keys: usize,
}

/// The inside of a string as it is written.
struct Quoted<'a> {
    text: &'a str,
    escapes: bool,
}

impl<'a> Quoted<'a> {
    fn plain(self) -> Option<&'a str> {
        (!self.escapes).then_some(self.text)
    }
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let found = self.text.as_bytes().get(self.at..)?.starts_with(word);
        found.then(|| self.at += word.len())
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// A key, and the colon behind it; ends at its value.
    fn key(&mut self) -> Option<Quoted<'a>> {
        self.keys += 1;
        if self.keys > MAX_JSON_KEYS {
            return None;
        }
        let key = self.string()?;
        self.blanks();
        self.expect(b':')?;
        self.blanks();
        Some(key)
    }

    /// After a value: true at the next one, false behind the end of the list or object.
    fn more(&mut self, end: u8) -> Option<bool> {
        self.blanks();
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => {
                self.blanks();
                Some(true)
            }
            _ if byte == end => Some(false),
            _ => None,
        }
    }

    fn string(&mut self) -> Option<Quoted<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escapes = false;
        loop {
            self.find_special();
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escapes = true;
                    self.escape()?;
                }
                _ => return None, // a control character
            }
        }
        let text = self.text.get(start..self.at)?;
        self.at += 1;
        Some(Quoted { text, escapes })
    }

    /// On to the next quote, backslash or control character, or to the end.
    fn find_special(&mut self) {
        while let Some((words, _)) =
            self.text.as_bytes().get(self.at..).and_then(<[u8]>::split_first_chunk::<16>)
        {
            let [first, second] = words.as_chunks::<8>().0 else { break };
            let (first, second) = (special(*first), special(*second));
            // One step where two would be guessed wrong by the processor: most strings end within 16 bytes.
            let plain = first + if first == 64 { second } else { 0 };
            self.at += plain as usize / 8;
            if plain < 128 {
                return;
            }
        }
        while self.peek().is_some_and(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Option<()> {
        let (kind, rest) = self.text.as_bytes().get(self.at + 1..)?.split_first()?;
        self.at += match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' if rest.get(..4)?.iter().all(u8::is_ascii_hexdigit) => 6,
            _ => return None,
        };
        Some(())
    }

    /// A wanted value, if it is of a plain kind.
    fn scalar(&mut self) -> Option<Scalar<'a>> {
        match self.peek()? {
            b'"' => Some(Scalar::Text(Cow::Borrowed(self.string()?.plain()?))),
            b'0'..=b'9' => self.whole_number().map(Scalar::Number),
            b't' => self.word(b"true").map(|()| Scalar::Flag(true)),
            b'f' => self.word(b"false").map(|()| Scalar::Flag(false)),
            b'n' => self.word(b"null").map(|()| Scalar::Nothing),
            _ => None,
        }
    }

    fn whole_number(&mut self) -> Option<f64> {
        let start = self.at;
        self.number()?;
        let digits = self.text.get(start..self.at).filter(|digits| digits.len() <= MAX_DIGITS)?;
        digits.parse::<u64>().ok().map(|number| number as f64)
    }

    /// Past a value; `depth` is that of what it lies in.
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            b'{' | b'[' if depth >= MAX_JSON_DEPTH => None,
            b'{' => self.skip_members(b'}', depth + 1),
            b'[' => self.skip_members(b']', depth + 1),
            _ => None,
        }
    }

    fn skip_members(&mut self, end: u8, depth: usize) -> Option<()> {
        self.at += 1;
        self.blanks();
        if self.peek()? == end {
            self.at += 1;
            return Some(());
        }
        while {
            if end == b'}' {
                self.key()?;
            }
            self.skip(depth)?;
            self.more(end)?
        } {}
        Some(())
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

/// Where the first byte of a word is that ends the plain part of a string: its number times eight, and 64 when
/// there is none. All eight bytes are looked at together: subtracting borrows into a byte's highest bit where
/// it was too small. A borrow can spoil the bytes after a find, never those before it.
fn special(word: [u8; 8]) -> u32 {
    const ONES: u64 = u64::MAX / 255; // 0x01 in each byte
    let word = u64::from_le_bytes(word);
    let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    ((control | quote | backslash) & (ONES * 0x80)).trailing_zeros()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::catalogue::find;
    use super::super::record::closely;
    use super::*;

    /// What is seen at a glance is what is seen when looking closely. True when the glance was enough.
    fn agrees(text: &str) -> bool {
        let mut glanced = false;
        for name in ["siem.receipt", "siem.url-protect", "audit"] {
            let feed = find(name).unwrap();
            if let Some(facts) = facts(feed, text) {
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
            if let Some((at, byte)) = bend {
                let at = usize::from(at) % text.len();
                text[at] = byte;
            }
            agrees(&String::from_utf8_lossy(&text));
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
}
