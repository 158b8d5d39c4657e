//! A quick look at a record. It takes what is plainly one JSON object and finds in it what intake must know;
//! whatever is out of the ordinary (an escape in a key or a wanted value, odd numbers, anything that is not
//! JSON) it leaves to [`super::record`], which also finds the words for what is wrong. So it may give up on any
//! text, but must never accept one that `serde_json` refuses, nor see other facts in it.

use std::borrow::Cow;

use super::feed::Feed;
use super::record::{Facts, Field, Reading, Scalar};
use crate::limits::{LAYOUT_KEY_BYTES, LAYOUT_KEYS, MAX_JSON_DEPTH, MAX_JSON_KEYS};

/// Digits of a wanted whole number: exact as a float, and epoch milliseconds have 13.
const MAX_DIGITS: usize = 15;

/// The keys of the last record of a file and what they mean to its feed, in order. Records of one type have the same
/// keys at the same places, and to see that a key is the expected one costs a third of finding its end and meaning.
#[derive(Debug, Default)]
pub(super) struct Layout(Vec<Known>);

/// A key with its quotes, the colon, and the blanks behind it, as a record had it.
#[derive(Debug)]
struct Known {
    bytes: [u8; LAYOUT_KEY_BYTES],
    len: usize,
    field: Field,
}

impl Layout {
    /// The `n`th key, when `rest` begins with it: its length and what it means.
    fn expected(&self, n: usize, rest: &[u8]) -> Option<(usize, Field)> {
        let known = self.0.get(n)?;
        rest.starts_with(known.bytes.get(..known.len)?).then_some((known.len, known.field))
    }

    /// Takes note of the `n`th key, unless it is too long.
    fn learn(&mut self, n: usize, key: &[u8], field: Field) {
        let mut bytes = [0; LAYOUT_KEY_BYTES];
        let Some(place) = bytes.get_mut(..key.len()) else { return };
        place.copy_from_slice(key);
        let known = Known { bytes, len: key.len(), field };
        if let Some(place) = self.0.get_mut(n) {
            *place = known;
        } else if n == self.0.len() && n < LAYOUT_KEYS {
            self.0.push(known);
        }
    }
}

/// The facts of the record `text`, or `None` if it deserves a closer look. `layout` is that of records of the same
/// feed.
pub(super) fn facts<'a>(feed: &Feed, text: &'a str, layout: Option<&mut Layout>) -> Option<Facts<'a>> {
    let mut scan = Scan { text, at: 0, keys: 0 };
    let (mut layout, mut n) = (layout, 0);
    let mut reading = Reading::new(feed);
    scan.blanks();
    scan.expect(b'{')?;
    scan.blanks();
    if scan.peek()? == b'}' {
        scan.at += 1;
    } else {
        while {
            let field = scan.member(&reading, layout.as_deref_mut(), n)?;
            n += 1;
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

    /// What the `n`th key of the record itself means, with the colon behind it; ends at its value.
    fn member(&mut self, reading: &Reading<'_, 'a>, layout: Option<&mut Layout>, n: usize) -> Option<Field> {
        let Some(layout) = layout else { return Some(reading.field(self.key()?.plain()?)) };
        let start = self.at;
        if let Some((len, field)) = layout.expected(n, self.text.as_bytes().get(start..)?) {
            self.at += len;
            return self.count().map(|()| field);
        }
        let field = reading.field(self.key()?.plain()?);
        layout.learn(n, self.text.as_bytes().get(start..self.at)?, field);
        Some(field)
    }

    /// A key, and the colon behind it; ends at its value.
    fn key(&mut self) -> Option<Quoted<'a>> {
        self.count()?;
        let key = self.string()?;
        self.blanks();
        self.expect(b':')?;
        self.blanks();
        Some(key)
    }

    fn count(&mut self) -> Option<()> {
        self.keys += 1;
        (self.keys <= MAX_JSON_KEYS).then_some(())
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
pub(super) fn special(word: [u8; 8]) -> u32 {
    const ONES: u64 = u64::MAX / 255; // 0x01 in each byte
    let word = u64::from_le_bytes(word);
    let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    ((control | quote | backslash) & (ONES * 0x80)).trailing_zeros()
}
