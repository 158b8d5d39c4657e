//! One log file of API 1.0 on its way into chunks: a JSON object whose `data[]` are the records, or one record a line.
//! Which of the two, its first byte says. Records of many small files share a chunk; texts and lines never do.

use super::elements::{Elements, Found};
use super::feed::{Feed, Records};
use super::key_value;
use super::lines::{Kinds, gzip};
use super::record::{self, Bad, Facts};
use super::unreadable::{Passing, Unreadable, Unreadables};
use crate::chunk::{Chunk, Record};
use crate::event::EventId;
use crate::fault::one_line;
use crate::limits::{CHUNK_TARGET_BYTES, MAX_LINE_BYTES, MAX_QUARANTINE_BYTES};

/// The records of one answer as they gather.
pub(super) struct Gathering {
    feed: &'static Feed,
    tenant: String,
    source: String,
    raw: Vec<u8>,
    records: Vec<Record>,
    kinds: Kinds,
    json: bool,
    /// Records name their own type, not their file.
    typed: bool,
    sealed: Vec<Chunk>,
    unreadable: Unreadables,
    /// Records read so far, those of chunks given away included.
    pub readable: u64,
    pub newest: Option<i64>,
}

impl Gathering {
    pub fn new(feed: &'static Feed, tenant: &str, source: &str) -> Self {
        Gathering {
            feed,
            tenant: tenant.to_owned(),
            source: source.to_owned(),
            raw: Vec::new(),
            records: Vec::new(),
            kinds: Kinds::new(feed),
            json: true,
            typed: feed.records != Records::Files,
            sealed: Vec::new(),
            unreadable: Unreadables::default(),
            readable: 0,
            newest: None,
        }
    }

    /// A chunk that is full; call until `None` after each push.
    pub fn take_sealed(&mut self) -> Option<Chunk> {
        if self.raw.len() >= CHUNK_TARGET_BYTES {
            self.seal();
        }
        (!self.sealed.is_empty()).then(|| self.sealed.remove(0))
    }

    /// Something that cannot be read, with its evidence.
    pub fn quarantine(&mut self, item: Unreadable) {
        let head = item.bytes.clone();
        self.unreadable.push(item, &head);
    }

    /// One record of a page.
    pub fn add_element(&mut self, bytes: &[u8], number: u64) {
        let feed = self.feed;
        self.add(feed, bytes, number, "");
    }

    /// One record by itself, whose form its first byte says; `row` reads it. Says whether it could be read.
    pub fn add_alone(&mut self, row: &'static Feed, bytes: &[u8], number: u64) -> bool {
        let before = self.readable;
        self.turn(self.typed || bytes.first() == Some(&b'{'));
        self.add(row, bytes, number, "");
        self.readable > before
    }

    /// What is left, and what could not be read.
    pub fn finish(mut self) -> (Vec<Chunk>, Vec<Unreadable>) {
        self.seal();
        (self.sealed, self.unreadable.finish())
    }

    fn seal(&mut self) {
        let (raw, records) = (std::mem::take(&mut self.raw), std::mem::take(&mut self.records));
        let kinds = std::mem::replace(&mut self.kinds, Kinds::new(self.feed)).names();
        if !records.is_empty() {
            let (json, source) = (self.json, self.source.clone());
            self.sealed.push(Chunk { gzip: gzip(&raw), raw: raw.into(), records, kinds, json, source });
        }
    }

    /// The form of what comes next; a chunk has one form only.
    fn turn(&mut self, json: bool) {
        if self.json != json {
            self.seal();
            self.json = json;
        }
    }

    /// An object where one with a list of records was expected.
    fn add_listless(&mut self, row: &Feed, bytes: &[u8], number: u64, name: &str) {
        match listless(row, bytes) {
            Listless::Record => self.add(row, bytes, number, name),
            Listless::Empty => {}
            Listless::Unknown => {
                let detail = one_line(&format!("{name}: {}", words("no_records")));
                self.unreadable.add("no_records", &detail, bytes, number);
            }
        }
    }

    fn add(&mut self, row: &Feed, bytes: &[u8], number: u64, name: &str) {
        let (text, repaired) = match std::str::from_utf8(bytes) {
            Ok(text) => (std::borrow::Cow::Borrowed(text), false),
            Err(_) => (String::from_utf8_lossy(bytes), true),
        };
        match facts(row, &text, self.json) {
            Ok(Facts { time, severity, kind }) => {
                let kind = kind.as_deref().filter(|_| self.typed).unwrap_or(row.kind);
                let record = Record {
                    // a chunk is sealed at a MiB and no record is longer
                    offset: u32::try_from(self.raw.len()).unwrap_or(u32::MAX),
                    len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                    id: EventId::of(&self.tenant, self.feed.name, bytes, 0),
                    time,
                    kind: self.kinds.index(Some(kind)),
                    severity,
                    repaired,
                };
                self.records.push(record);
                self.raw.extend_from_slice(bytes);
                self.raw.push(b'\n');
                self.readable += 1;
                self.newest = self.newest.max(time);
            }
            Err(bad) if name.is_empty() => self.unreadable.add(bad.reason, &bad.detail, bytes, number),
            Err(bad) => self.unreadable.add(bad.reason, &format!("{name}: {}", bad.detail), bytes, number),
        }
    }
}

fn facts<'a>(row: &Feed, text: &'a str, json: bool) -> Result<Facts<'a>, Bad> {
    if text.len() > MAX_LINE_BYTES {
        let detail = format!("a record of {} bytes; the bound is {MAX_LINE_BYTES}", text.len());
        return Err(Bad { reason: "line_too_long", detail });
    }
    if json { record::read(row, text) } else { key_value::facts(row, text) }
}

/// One file; push its pieces, then finish it.
pub(super) struct LogFile {
    row: &'static Feed,
    name: String,
    form: Form,
}

enum Form {
    /// Nothing but blanks so far.
    Unknown(Passing),
    Json(Box<Elements>),
    Lines(Lines),
    /// Neither: kept as evidence.
    Foreign(Passing, &'static str),
}

impl LogFile {
    /// `row` reads its records, `name` is for people.
    pub fn new(row: &'static Feed, name: &str) -> Self {
        LogFile { row, name: name.to_owned(), form: Form::Unknown(Passing::default()) }
    }

    pub fn push(&mut self, piece: &[u8], out: &mut Gathering) {
        if let Form::Unknown(blanks) = &mut self.form {
            let first = piece.iter().find(|byte| !byte.is_ascii_whitespace() && !BOM.contains(byte));
            let is_json_name = self.name.to_ascii_lowercase().ends_with(".json");
            self.form = match first {
                None => return blanks.take(piece, MAX_QUARANTINE_BYTES),
                Some(b'{' | b'[') => Form::Json(Box::new(Elements::of(list(self.row)))),
                Some(b'<') => Form::Foreign(Passing::default(), "html"),
                Some(b' '..=b'~') if !is_json_name => Form::Lines(Lines::default()),
                Some(_) => {
                    Form::Foreign(Passing::default(), if is_json_name { "not_json" } else { "not_text" })
                }
            };
        }
        let (row, name) = (self.row, self.name.as_str());
        match &mut self.form {
            Form::Unknown(_) => {}
            Form::Json(elements) => {
                out.turn(true);
                elements.push(piece, |number, found| match found {
                    Found::Element(bytes) => out.add(row, bytes, number, name),
                    Found::Alone(bytes) => out.add_listless(row, bytes, number, name),
                    Found::TooLong(item) => out.quarantine(item),
                });
            }
            Form::Lines(lines) => {
                out.turn(false);
                lines.push(piece, |number, line| match line {
                    Ok(bytes) => out.add(row, bytes, number, name),
                    Err(item) => out.quarantine(item),
                });
            }
            Form::Foreign(passing, _) => passing.take(piece, MAX_QUARANTINE_BYTES),
        }
    }

    /// The file has ended; `damaged`: not where it should, which its reader has put down already.
    pub fn finish(self, damaged: bool, out: &mut Gathering) {
        let (row, name) = (self.row, self.name.as_str());
        let mut put = |reason, passing: Passing, why: &str| {
            out.quarantine(passing.into_unreadable(reason, &one_line(&format!("{name}: {why}")), 0));
        };
        match self.form {
            _ if damaged && !matches!(self.form, Form::Lines(_)) => {}
            Form::Unknown(blanks) => put("empty", blanks, "a file without content"),
            Form::Foreign(passing, reason) => put(reason, passing, "this is no log file"),
            Form::Json(elements) => match elements.finish() {
                None => {}
                Some((reason, passing)) => put(reason, passing, words(reason)),
            },
            // what comes after the last line end of a damaged file may be half a line
            Form::Lines(lines) => lines.finish(damaged, |number, line| match line {
                Ok(bytes) => out.add(row, bytes, number, name),
                Err(item) => out.quarantine(item),
            }),
        }
    }
}

const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The member of a file's object that holds the records.
fn list(row: &Feed) -> &'static str {
    if row.records == Records::Objects { "objects" } else { "data" }
}

/// What an object is that has no list of records.
enum Listless {
    /// One record, without anything around it.
    Record,
    /// The frame of no records.
    Empty,
    /// Anything else: records under another name perhaps.
    Unknown,
}

fn listless(row: &Feed, bytes: &[u8]) -> Listless {
    let Ok(object) = serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(bytes) else {
        return Listless::Unknown;
    };
    let flat = || object.values().all(|value| !value.is_array() && !value.is_object());
    let framed = object.contains_key(list(row)) || object.keys().all(|name| name == "type");
    match object.get("type").and_then(serde_json::Value::as_str) {
        // a bundle without objects leaves the member out
        Some("bundle") if row.records == Records::Objects => Listless::Empty,
        Some(_) if row.records == Records::Objects => Listless::Record,
        _ if row.records != Records::Objects && !framed && flat() => Listless::Record,
        _ => Listless::Unknown,
    }
}

fn words(reason: &str) -> &'static str {
    match reason {
        "no_records" => "there are no records in it",
        "cut_short" => "it ends in the middle of its records",
        _ => "it is not the JSON it begins as",
    }
}

/// Lines of a text that passes by in pieces. CR, LF and CR LF end one.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
    overlong: Option<Passing>,
    number: u64,
}

impl Lines {
    fn push(&mut self, piece: &[u8], mut found: impl FnMut(u64, Result<&[u8], Unreadable>)) {
        let mut rest = piece;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            let (line, after) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            self.take(line);
            self.end(&mut found);
            rest = after.get(1..).unwrap_or_default();
        }
        self.take(rest);
    }

    fn finish(mut self, damaged: bool, mut found: impl FnMut(u64, Result<&[u8], Unreadable>)) {
        if !damaged {
            self.end(&mut found);
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        if let Some(passing) = &mut self.overlong {
            return passing.take(bytes, MAX_QUARANTINE_BYTES);
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() > MAX_LINE_BYTES {
            let mut passing = Passing::default();
            passing.take(&self.line, MAX_QUARANTINE_BYTES);
            self.line = Vec::new();
            self.overlong = Some(passing);
        }
    }

    fn end(&mut self, found: &mut impl FnMut(u64, Result<&[u8], Unreadable>)) {
        if let Some(passing) = self.overlong.take() {
            self.number += 1;
            let detail = format!("a line of {} bytes; the bound is {MAX_LINE_BYTES}", passing.len);
            return found(self.number, Err(passing.into_unreadable("line_too_long", &detail, self.number)));
        }
        let line = match self.number {
            0 => self.line.strip_prefix(&BOM).unwrap_or(&self.line),
            _ => &self.line,
        };
        if !line.iter().all(u8::is_ascii_whitespace) {
            self.number += 1;
            found(self.number, Ok(line));
        }
        self.line.clear();
    }
}
