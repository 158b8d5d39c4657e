//! One value of a record, as it stands in the record's bytes, and the ways to read it: as text, as a list of
//! texts, as an address, a number, a flag. Total: whatever the bytes are, there is an answer and no panic.

use std::net::IpAddr;

use super::scan;

/// What a value looks like. Nothing is decoded until somebody writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// No value: missing, `null` or empty.
    #[default]
    Absent,
    /// A JSON string without an escape; its bytes, without quotes.
    Text,
    /// A JSON string with escapes; its bytes, without quotes, not decoded.
    Escaped,
    /// A JSON number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A JSON object or array, brackets included.
    Nested,
    /// Text that was never JSON: a value of a key-value line, or a bare word where JSON allows none.
    Plain,
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    pub kind: Kind,
    pub bytes: &'a [u8],
    /// Known to be printable ASCII throughout, because the whole record is.
    pub ascii: bool,
}

/// Names under which an object inside a list keeps what it is about (`fromHdr`, `to`, `policiesApplied`, …).
const TELLING_KEYS: [&[u8]; 4] = [b"emailAddress", b"name", b"value", b"fileName"];

impl<'a> Value<'a> {
    /// A value of which nothing more is known.
    pub const fn of(kind: Kind, bytes: &'a [u8]) -> Self {
        Value { kind, bytes, ascii: false }
    }

    /// Text made by us or taken from elsewhere than a record.
    pub fn plain(text: &'a str) -> Self {
        Value::plain_bytes(text.as_bytes())
    }

    /// The same of bytes, taken as they are.
    pub fn plain_bytes(bytes: &'a [u8]) -> Self {
        Value::of(Kind::Plain, bytes)
    }

    /// Hands over each character of the text, escapes decoded; what is no UTF-8 becomes U+FFFD, so does half a
    /// surrogate pair.
    pub fn each_char(&self, mut take: impl FnMut(char)) {
        let mut decoder = Decoder::default();
        for chunk in self.bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                if self.kind == Kind::Escaped { decoder.take(c, &mut take) } else { take(c) }
            }
            if !chunk.invalid().is_empty() {
                decoder.end(&mut take);
                take(char::REPLACEMENT_CHARACTER);
            }
        }
        decoder.end(&mut take);
    }

    /// Hands over every text of the value: itself, the elements of a list, and of an object its address or name.
    /// An object that has neither, or a list of such, is handed over whole.
    pub fn each_text(&self, mut take: impl FnMut(Value<'a>)) {
        if self.kind != Kind::Nested {
            return take(*self);
        }
        if self.bytes.first() == Some(&b'{') {
            return take(self.telling().unwrap_or(*self));
        }
        scan::elements(self.bytes, |element| match element.kind {
            Kind::Absent => {}
            Kind::Nested if element.bytes.first() == Some(&b'{') => {
                take(element.telling().unwrap_or(element))
            }
            _ => take(element),
        });
    }

    fn telling(&self) -> Option<Value<'a>> {
        let mut best = None;
        scan::members(self.bytes, |key, value| {
            let place = TELLING_KEYS.iter().position(|telling| *telling == key);
            if let Some(place) = place
                && !matches!(value.kind, Kind::Absent | Kind::Nested)
                && best.as_ref().is_none_or(|(held, _)| place < *held)
            {
                best = Some((place, value));
            }
        });
        best.map(|(_, value)| value)
    }

    /// The address, if the text is one.
    pub fn ip(&self) -> Option<IpAddr> {
        const LONGEST: usize = 45; // an IPv4 address mapped into IPv6, written out
        if self.bytes.len() > LONGEST || !matches!(self.kind, Kind::Text | Kind::Plain) {
            return None;
        }
        std::str::from_utf8(self.bytes).ok()?.parse().ok()
    }

    /// The text is an address.
    pub fn is_ip(&self) -> bool {
        is_ipv4(self.bytes) || self.ip().is_some()
    }

    /// The bytes of a whole decimal number of at most 18 digits, written as a number or as text.
    pub fn integer(&self) -> Option<&'a [u8]> {
        const DIGITS: usize = 18; // fits i64
        let digits = self.bytes.strip_prefix(b"-").unwrap_or(self.bytes);
        let fits = matches!(digits.len(), 1..=DIGITS)
            && digits.iter().all(u8::is_ascii_digit)
            && (digits.len() == 1 || digits.first() != Some(&b'0'));
        fits.then_some(self.bytes)
    }

    /// Yes or no in the words Mimecast uses.
    pub fn flag(&self) -> Option<bool> {
        if self.is("true") || self.is("yes") {
            Some(true)
        } else if self.is("false") || self.is("no") {
            Some(false)
        } else {
            None
        }
    }

    /// The text is this word, whatever the case.
    pub fn is(&self, word: &str) -> bool {
        self.bytes.eq_ignore_ascii_case(word.as_bytes())
    }

    /// The first of `words` that the text is, whatever the case.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        words.iter().find(|(word, _)| self.is(word)).map(|(_, meaning)| *meaning)
    }
}

/// Four numbers below 256 without leading zeros: what nearly every address is, read in one go.
fn is_ipv4(text: &[u8]) -> bool {
    let (mut dots, mut digits, mut number) = (0, 0, 0_u16);
    for byte in text {
        match byte {
            b'0'..=b'9' if digits < 3 && (digits == 0 || number > 0) => {
                number = number * 10 + u16::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && dots < 3 && number < 256 => {
                dots += 1;
                (digits, number) = (0, 0);
            }
            _ => return false,
        }
    }
    dots == 3 && digits > 0 && number < 256
}

/// Decodes the escapes of a JSON string, one character at a time.
#[derive(Default)]
struct Decoder {
    state: State,
    /// The first half of a surrogate pair that waits for its second.
    high: Option<u16>,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Outside,
    Backslash,
    /// Inside `\uXXXX`: digits seen and their value.
    Unicode(u8, u16),
}

impl Decoder {
    fn take(&mut self, c: char, take: &mut impl FnMut(char)) {
        match self.state {
            State::Outside if c == '\\' => self.state = State::Backslash,
            State::Outside => self.put(c, take),
            State::Backslash if c == 'u' => self.state = State::Unicode(0, 0),
            State::Backslash => {
                self.state = State::Outside;
                let meant = match c {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    other => other,
                };
                self.put(meant, take);
            }
            State::Unicode(seen, value) => match c.to_digit(16) {
                Some(digit) => {
                    let value = (value << 4) | digit as u16; // a hex digit fits
                    self.state = if seen == 3 { State::Outside } else { State::Unicode(seen + 1, value) };
                    if seen == 3 {
                        self.unit(value, take);
                    }
                }
                None => {
                    self.state = State::Outside;
                    self.put(char::REPLACEMENT_CHARACTER, take);
                    self.take(c, take);
                }
            },
        }
    }

    fn put(&mut self, c: char, take: &mut impl FnMut(char)) {
        if self.high.take().is_some() {
            take(char::REPLACEMENT_CHARACTER);
        }
        take(c);
    }

    fn unit(&mut self, unit: u16, take: &mut impl FnMut(char)) {
        match (self.high.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                let code = 0x1_0000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(unit) - 0xdc00);
                take(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            (lone, _) => {
                if lone.is_some() {
                    take(char::REPLACEMENT_CHARACTER);
                }
                match unit {
                    0xd800..=0xdbff => self.high = Some(unit),
                    _ => take(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)),
                }
            }
        }
    }

    fn end(&mut self, take: &mut impl FnMut(char)) {
        let unfinished = !matches!(self.state, State::Outside) || self.high.is_some();
        *self = Decoder::default();
        if unfinished {
            take(char::REPLACEMENT_CHARACTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_quick_look_at_addresses_is_right(text in "[0-9]{0,3}(\\.[0-9]{1,3}){2,4}|[0-9.:a]{0,12}") {
            prop_assert_eq!(is_ipv4(text.as_bytes()), text.parse::<std::net::Ipv4Addr>().is_ok());
        }
    }
}
