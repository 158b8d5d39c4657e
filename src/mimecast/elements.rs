//! The elements of one named list in a JSON text that passes by in pieces: `data[]` of a log file, `objects[]` of a
//! bundle. Only the structure around the elements is understood here; what an element is, its reader says. A text
//! that breaks off or goes astray has still given the elements before.

use super::unreadable::{Passing, Unreadable};
use crate::limits::{MAX_LINE_BYTES, MAX_QUARANTINE_BYTES};

/// What a text gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// The bytes of one element, without the blanks around it.
    Element(&'a [u8]),
    /// An outermost object that has no such list.
    Alone(&'a [u8]),
    /// One that is too long to be kept.
    TooLong(Unreadable),
}

/// Takes the pieces of one text in order.
#[derive(Debug)]
pub(super) struct Elements {
    list: &'static str,
    place: Place,
    /// Openers without closers, inside an element or a value that is skipped.
    depth: u64,
    string: Quote,
    /// The member's name being read, or the last one; longer ones than any wanted are cut.
    name: Vec<u8>,
    /// The element being read, or the outermost object for as long as its list has not begun.
    element: Vec<u8>,
    overlong: Option<Passing>,
    /// The list of the outermost object that is being read has not begun.
    listless: bool,
    /// From where the structure was lost.
    stray: Option<Passing>,
    number: u64,
    lists: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quote {
    Outside,
    Inside,
    Escaped,
}

/// Where in the structure the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a whole value.
    Top,
    /// In the outermost object, before a name or its end.
    BeforeName,
    InName,
    AfterName,
    BeforeValue,
    /// In a member that is not the list.
    Skipping,
    /// In the list of an object (`true`), or in one that stands alone.
    BeforeElement(bool),
    InElement(bool),
}

impl Elements {
    /// `list`: the name of the member that holds the elements.
    pub fn of(list: &'static str) -> Self {
        Elements {
            list,
            place: Place::Top,
            depth: 0,
            string: Quote::Outside,
            name: Vec::new(),
            element: Vec::new(),
            overlong: None,
            listless: false,
            stray: None,
            number: 0,
            lists: 0,
        }
    }

    /// The next piece; calls `found` for each element that ends in it.
    pub fn push(&mut self, piece: &[u8], mut found: impl FnMut(u64, Found<'_>)) {
        for (at, byte) in piece.iter().enumerate() {
            if let Some(stray) = &mut self.stray {
                stray.take(piece.get(at..).unwrap_or_default(), MAX_QUARANTINE_BYTES);
                return;
            }
            let outside = self.place == Place::Top;
            self.step(*byte, &mut found);
            if outside && self.place == Place::BeforeName {
                self.listless = true;
                self.element.clear();
            }
            if self.listless {
                self.keep(*byte);
                if self.place == Place::Top {
                    self.listless = false;
                    self.end_element(|bytes| Found::Alone(bytes), &mut found);
                }
            }
        }
    }

    /// The text has ended. What of it is no element and no part of the structure, with a reason; `None` when all
    /// was understood.
    pub fn finish(mut self) -> Option<(&'static str, Passing)> {
        if let Some(stray) = self.stray.take() {
            return Some(("not_json", stray));
        }
        match self.place {
            Place::Top if self.lists > 0 || self.number > 0 => None,
            Place::Top => Some(("no_records", Passing::default())),
            _ => {
                let mut rest = self.overlong.take().unwrap_or_default();
                if rest.len == 0 {
                    rest.take(&self.element, MAX_QUARANTINE_BYTES);
                }
                Some(("cut_short", rest))
            }
        }
    }

    fn step(&mut self, byte: u8, found: &mut impl FnMut(u64, Found<'_>)) {
        let blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.place {
            Place::InElement(inner) => self.in_element(byte, inner, found),
            Place::InName => self.in_name(byte),
            Place::Skipping => self.skip(byte),
            _ if blank => {}
            Place::Top => match byte {
                b'{' => self.place = Place::BeforeName,
                b'[' => self.begin_list(false),
                // a byte order mark
                0xef | 0xbb | 0xbf if self.lists == 0 => {}
                _ => self.lose(byte),
            },
            Place::BeforeName => match byte {
                b'"' => {
                    self.name.clear();
                    (self.place, self.string) = (Place::InName, Quote::Inside);
                }
                b',' => {}
                b'}' => self.place = Place::Top,
                _ => self.lose(byte),
            },
            Place::AfterName if byte == b':' => self.place = Place::BeforeValue,
            Place::AfterName => self.lose(byte),
            Place::BeforeValue if byte == b'[' && self.name == self.list.as_bytes() => self.begin_list(true),
            Place::BeforeValue => {
                (self.place, self.depth) = (Place::Skipping, 0);
                self.skip(byte);
            }
            Place::BeforeElement(inner) => match byte {
                b',' => {}
                b']' => self.end_list(inner),
                b'}' | b':' => self.lose(byte),
                _ => {
                    (self.place, self.depth, self.string) = (Place::InElement(inner), 0, Quote::Outside);
                    self.element.clear();
                    self.in_element(byte, inner, found);
                }
            },
        }
    }

    fn begin_list(&mut self, inner: bool) {
        self.lists += 1;
        self.place = Place::BeforeElement(inner);
        (self.listless, self.overlong) = (false, None);
        self.element.clear();
    }

    fn end_list(&mut self, inner: bool) {
        self.place = if inner { Place::BeforeName } else { Place::Top };
    }

    fn lose(&mut self, byte: u8) {
        let mut stray = Passing::default();
        stray.take(&[byte], MAX_QUARANTINE_BYTES);
        self.stray = Some(stray);
    }

    /// Whether the byte lies inside a string or is one of its quotes.
    fn quoted(&mut self, byte: u8) -> bool {
        let before = self.string;
        self.string = match (before, byte) {
            (Quote::Outside, b'"') | (Quote::Escaped, _) => Quote::Inside,
            (Quote::Inside, b'"') => Quote::Outside,
            (Quote::Inside, b'\\') => Quote::Escaped,
            (same, _) => same,
        };
        before != Quote::Outside || self.string != Quote::Outside
    }

    fn in_name(&mut self, byte: u8) {
        self.quoted(byte);
        if self.string == Quote::Outside {
            self.place = Place::AfterName;
        } else if self.name.len() <= self.list.len() {
            self.name.push(byte);
        }
    }

    fn skip(&mut self, byte: u8) {
        if self.quoted(byte) {
            return;
        }
        match byte {
            b'{' | b'[' => self.depth += 1,
            b'}' if self.depth == 0 => self.place = Place::Top,
            b']' if self.depth == 0 => self.lose(byte),
            b'}' | b']' => self.depth -= 1,
            b',' if self.depth == 0 => self.place = Place::BeforeName,
            _ => {}
        }
    }

    fn in_element(&mut self, byte: u8, inner: bool, found: &mut impl FnMut(u64, Found<'_>)) {
        if !self.quoted(byte) {
            match byte {
                b'{' | b'[' => self.depth += 1,
                b']' if self.depth == 0 => {
                    self.end_element(|bytes| Found::Element(bytes), found);
                    return self.end_list(inner);
                }
                b',' if self.depth == 0 => {
                    self.end_element(|bytes| Found::Element(bytes), found);
                    self.place = Place::BeforeElement(inner);
                    return;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.keep(byte);
    }

    fn keep(&mut self, byte: u8) {
        if let Some(passing) = &mut self.overlong {
            passing.take(&[byte], MAX_QUARANTINE_BYTES);
            return;
        }
        self.element.push(byte);
        if self.element.len() > MAX_LINE_BYTES {
            let mut passing = Passing::default();
            passing.take(&self.element, MAX_QUARANTINE_BYTES);
            self.element = Vec::new();
            self.overlong = Some(passing);
        }
    }

    fn end_element(
        &mut self,
        what: impl for<'b> FnOnce(&'b [u8]) -> Found<'b>,
        found: &mut impl FnMut(u64, Found<'_>),
    ) {
        self.number += 1;
        if let Some(passing) = self.overlong.take() {
            let detail = format!("a record of {} bytes; the bound is {MAX_LINE_BYTES}", passing.len);
            let item = passing.into_unreadable("line_too_long", &detail, self.number);
            return found(self.number, Found::TooLong(item));
        }
        let end = self.element.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |at| at + 1);
        found(self.number, what(self.element.get(..end).unwrap_or_default()));
        self.element.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8], cut: usize) -> (Vec<String>, Option<&'static str>) {
        let mut elements = Elements::of("data");
        let mut out = Vec::new();
        for piece in text.chunks(cut.max(1)) {
            elements.push(piece, |_, found| {
                out.push(match found {
                    Found::Element(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Found::Alone(bytes) => format!("alone: {}", String::from_utf8_lossy(bytes)),
                    Found::TooLong(item) => format!("too long: {}", item.len),
                });
            });
        }
        (out, elements.finish().map(|(reason, _)| reason))
    }

    #[test]
    fn elements_are_the_list_s_own_bytes_wherever_it_stands() {
        let wanted =
            vec!["{\"a\":[1,{\"data\":[2]}]}".to_owned(), "null".to_owned(), "\"x,]}\\\"\"".to_owned()];
        for text in [
            r#"{"type":"MTA","data":[ {"a":[1,{"data":[2]}]} , null,"x,]}\""]}"#,
            r#"{"data":[{"a":[1,{"data":[2]}]},null,"x,]}\"" ],"type":"MTA"}"#,
            r#"[{"a":[1,{"data":[2]}]},null,"x,]}\""]"#,
            "\u{feff}{\"x\":{\"data\":[9]},\"data2\":[7],\"dat\":[8],\"data\":[{\"a\":[1,{\"data\":[2]}]}\n,null\n,\"x,]}\\\"\"]}\n",
            r#"{"data":[{"a":[1,{"data":[2]}]}]} {"data":[null,"x,]}\""]}"#,
        ] {
            assert_eq!(read(text.as_bytes(), 1000), (wanted.clone(), None), "{text}");
        }
        for (text, reason) in [
            (r#"{"type":"MTA","data":[]}"#, None),
            ("", Some("no_records")),
            ("This is not JSON", Some("not_json")),
            (r#"{"type" "MTA"}"#, Some("not_json")),
        ] {
            assert_eq!(read(text.as_bytes(), 1000), (Vec::new(), reason), "{text}");
        }
    }

    /// One record a line, a list under another name, none at all: whatever it means, its bytes are told.
    #[test]
    fn an_object_without_the_list_is_given_whole() {
        for text in [
            r#"{"type":"MTA"}"#,
            r#"{"data":null}"#,
            r#"{"a":"}","records":[{"data":[1]}]}"#,
            "{ }",
            r#"{"a":{"data":[1]}}"#,
        ] {
            for cut in [1, 3, 1000] {
                assert_eq!(read(text.as_bytes(), cut), (vec![format!("alone: {text}")], None), "{text}");
            }
        }
        let mixed = "{\"a\":1}\r\n{\"data\":[2],\"b\":[3]}{\"c\":4}\n";
        let wanted = [r#"alone: {"a":1}"#, "2", r#"alone: {"c":4}"#].map(str::to_owned).to_vec();
        assert_eq!(read(mixed.as_bytes(), 2), (wanted, None));
        let long = format!(r#"{{"a":"{}"}}{{"b":1}}"#, "x".repeat(MAX_LINE_BYTES));
        let wanted = [format!("too long: {}", MAX_LINE_BYTES + 8), r#"alone: {"b":1}"#.to_owned()].to_vec();
        assert_eq!(read(long.as_bytes(), 4096), (wanted, None));
        let mut elements = Elements::of("data");
        elements.push(br#"{"records":[{"a":1}"#, |_, _| {});
        let (reason, rest) = elements.finish().unwrap();
        assert_eq!((reason, rest.len), ("cut_short", 19));
    }

    #[test]
    fn what_breaks_off_has_given_what_came_before() {
        let text = br#"{"type":"MTA","data":[{"a":1},{"a":2},{"a":3}]}"#;
        for end in 0..text.len() {
            let (found, reason) = read(&text[..end], 7);
            let whole = text[..end].iter().filter(|byte| matches!(byte, b'}')).count();
            // an element ends at the comma behind it
            assert!(found.len() == whole || found.len() + 1 == whole, "{end}: {found:?}");
            assert!(reason.is_some(), "{end}");
        }
        let mut elements = Elements::of("data");
        elements.push(&text[..37], |_, _| {});
        let (reason, rest) = elements.finish().unwrap();
        assert_eq!((reason, rest.into_unreadable("", "", 0).bytes), ("cut_short", br#"{"a":2}"#.to_vec()));
    }

    #[test]
    fn an_element_too_long_to_keep_does_not_hide_the_next() {
        let text = format!(r#"{{"data":[{{"a":"{}"}},{{"b":1}}]}}"#, "x".repeat(MAX_LINE_BYTES));
        let (found, reason) = read(text.as_bytes(), 4096);
        assert_eq!(found, [format!("too long: {}", MAX_LINE_BYTES + 8), "{\"b\":1}".to_owned()]);
        assert_eq!(reason, None);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "[\\[\\]{}\",:\\\\a1 ]{0,60}", cut in 1_usize..9) {
            let text = format!("{{\"data\":[{text}");
            prop_assert_eq!(read(text.as_bytes(), cut), read(text.as_bytes(), 1000));
        }

        #[test]
        fn every_list_is_taken_apart_as_a_json_reader_would(
            values in proptest::collection::vec(".{0,12}", 0..6), cut in 1_usize..9, pretty in any::<bool>(),
        ) {
            let records: Vec<serde_json::Value> =
                values.iter().map(|v| serde_json::json!({ "k": v, "n": [v, { "m": v }] })).collect();
            let whole = serde_json::json!({ "a": "data", "data": records, "z": { "data": [1] } });
            let text = if pretty { serde_json::to_string_pretty(&whole) } else { serde_json::to_string(&whole) };
            let (found, reason) = read(text.unwrap().as_bytes(), cut);
            let parsed: Vec<serde_json::Value> = found.iter().map(|f| serde_json::from_str(f).unwrap()).collect();
            prop_assert_eq!((parsed, reason), (records, None));
        }
    }
}
