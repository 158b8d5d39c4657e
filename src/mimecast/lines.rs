//! From inflated bytes to chunks of records: splitting at line ends, one look at each line, numbering of twins,
//! sealing of chunks as they fill.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::feed::Feed;
use super::record::{self, Bad};
use super::scan::Layout;
use super::unreadable::{Passing, Unreadable, Unreadables};
use crate::chunk::{Chunk, Record};
use crate::event::EventId;
use crate::gzip::lend;
use crate::limits::{
    CHUNK_MAX_BYTES, CHUNK_TARGET_BYTES, MAX_LINE_BYTES, MAX_QUARANTINE_BYTES, TWIN_WINDOW_RECORDS,
    UNCOMPRESSED_BELOW,
};

/// The types that occur in a chunk. The feed's own is always the first.
#[derive(Debug)]
pub(super) struct Kinds(Vec<String>);

impl Kinds {
    pub fn new(feed: &Feed) -> Self {
        Kinds(vec![feed.kind.to_owned()])
    }
    /// Index of `name`; the feed's own type when there is none, or when there are too many to number.
    pub fn index(&mut self, name: Option<&str>) -> u8 {
        let Some(name) = name else { return 0 };
        let known = self.0.iter().position(|kind| kind == name);
        let at = known.unwrap_or(self.0.len());
        let Ok(index) = u8::try_from(at) else { return 0 };
        if known.is_none() {
            self.0.push(name.to_owned());
        }
        index
    }
    /// All type names so far; the position of each is the number [`Kinds::index`] gave out.
    pub fn names(&self) -> Vec<String> {
        self.0.clone()
    }
}

/// Bytes that are already evenly spread need no second hash.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

type BySpread = BuildHasherDefault<Spread>;

/// Numbers equal records of one file. Remembers half of each identity; a window of
/// [`TWIN_WINDOW_RECORDS`] records bounds the memory.
#[derive(Default)]
pub(super) struct Twins {
    seen: HashSet<u64, BySpread>,
    /// How often those that came more than once have come.
    again: HashMap<u64, u32, BySpread>,
}

impl Twins {
    /// Identity of a record; equal records of one file get different ones, in order of their appearance.
    pub fn identify(&mut self, tenant: &str, feed: &str, raw: &[u8]) -> EventId {
        let first = EventId::of(tenant, feed, raw, 0);
        let [half, ..] = first.0.as_chunks::<8>().0 else { return first };
        let half = u64::from_ne_bytes(*half);
        if self.seen.len() >= TWIN_WINDOW_RECORDS {
            self.seen.clear();
            self.again.clear();
        }
        if self.seen.insert(half) {
            return first;
        }
        let ordinal = self.again.entry(half).or_insert(0);
        *ordinal += 1;
        EventId::of(tenant, feed, raw, *ordinal)
    }
}

/// Largest window of the format; smaller ones are read too.
pub(super) const WINDOW_BITS: u8 = 15;
/// Room for header and footer of a gzip member, and for a few records.
const SMALL: usize = 256;

/// The compressor that was used last: a new one clears 300 KiB, far more than most pages of records have.
static COMPRESSOR: Mutex<Option<Compress>> = Mutex::new(None);

/// One gzip member with our own compression: fast, because it is done while events wait. A page of a few records is
/// kept as it is: clearing the compressor's tables would cost more than all that is done with it besides.
pub(super) fn gzip(raw: &[u8]) -> Bytes {
    if let Some(length) = u16::try_from(raw.len()).ok().filter(|length| *length < UNCOMPRESSED_BELOW) {
        return stored(raw, length);
    }
    let kept = COMPRESSOR.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut compressor = kept.unwrap_or_else(|| Compress::new_gzip(Compression::fast(), WINDOW_BITS));
    let mut out = Vec::with_capacity(raw.len() / 4);
    loop {
        out.reserve(raw.len() / 4 + SMALL);
        let rest =
            raw.get(usize::try_from(compressor.total_in()).unwrap_or(usize::MAX)..).unwrap_or_default();
        // Into memory that has room there is no way to fail.
        match compressor.compress_vec(rest, &mut out, FlushCompress::Finish) {
            Ok(Status::Ok | Status::BufError) => {}
            Ok(Status::StreamEnd) | Err(_) => break,
        }
    }
    compressor.reset();
    *COMPRESSOR.lock().unwrap_or_else(PoisonError::into_inner) = Some(compressor);
    Bytes::from(out)
}

/// A member whose one block is not compressed (RFC 1951 §3.2.4, RFC 1952 §2.3).
fn stored(raw: &[u8], length: u16) -> Bytes {
    const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    const LAST_STORED: u8 = 1;
    let mut crc = Crc::new();
    crc.update(raw);
    let mut out = Vec::with_capacity(raw.len() + SMALL);
    out.extend_from_slice(&HEAD);
    out.push(LAST_STORED);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(raw);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&u32::from(length).to_le_bytes());
    Bytes::from(out)
}

/// The lines of one file.
pub(super) struct Lines {
    feed: &'static Feed,
    tenant: String,
    source: String,
    /// Inflated bytes: what is not sealed yet. The inflater appends, then calls [`Lines::split`].
    pub raw: Vec<u8>,
    /// Where the line that has no end yet begins.
    line_start: usize,
    /// How far its end was looked for.
    scanned: usize,
    /// The file is small so far, and is kept in one piece.
    pub whole: bool,
    /// A line that is too long to be kept is passing by.
    overlong: Option<Passing>,
    records: Vec<Record>,
    kinds: Kinds,
    layout: Layout,
    twins: Twins,
    pub sealed: VecDeque<Chunk>,
    pub unreadable: Unreadables,
    line: u64,
    /// Records read so far, sealed ones included.
    pub readable: u64,
    pub newest: Option<i64>,
}

impl Lines {
    pub fn new(feed: &'static Feed, tenant: &str, source: &str) -> Self {
        Lines {
            feed,
            tenant: tenant.to_owned(),
            source: source.to_owned(),
            raw: Vec::new(),
            line_start: 0,
            scanned: 0,
            whole: true,
            overlong: None,
            records: Vec::new(),
            kinds: Kinds::new(feed),
            layout: Layout::default(),
            twins: Twins::default(),
            sealed: VecDeque::new(),
            unreadable: Unreadables::default(),
            line: 0,
            readable: 0,
            newest: None,
        }
    }

    /// Reads the lines that have become complete, and seals chunks if the file is large.
    pub fn split(&mut self) {
        self.drop_overlong();
        while let Some(at) = memchr::memchr(b'\n', self.raw.get(self.scanned..).unwrap_or_default()) {
            let end = self.scanned + at;
            self.read_line(self.line_start, end);
            self.line_start = end + 1;
            self.scanned = self.line_start;
        }
        self.scanned = self.raw.len();
        self.whole &= self.raw.len() <= CHUNK_MAX_BYTES;
        if self.whole {
            return;
        }
        while self.line_start >= CHUNK_TARGET_BYTES {
            self.seal_front();
        }
        if self.overlong.is_none() && self.raw.len() - self.line_start > MAX_LINE_BYTES {
            self.overlong = Some(Passing::default());
            self.drop_overlong();
        }
    }

    /// The file has ended. `damaged`: what comes after the last line end may be half a line, and is then part
    /// of the damage.
    pub fn end(&mut self, damaged: bool) {
        if let Some(passing) = self.overlong.take() {
            self.too_long(passing);
        }
        let (start, end) = (self.line_start, self.raw.len());
        let rest = self.raw.get(start..).unwrap_or_default();
        if !damaged || std::str::from_utf8(rest).is_ok_and(|text| record::read(self.feed, text).is_ok()) {
            self.read_line(start, end);
        }
        self.line_start = end;
        self.scanned = end;
    }

    /// Everything that is left, as one chunk around the given gzip bytes, or ours. `None` without records.
    pub fn rest(&mut self, vendor: Option<Bytes>) -> Option<Chunk> {
        let raw = std::mem::take(&mut self.raw);
        let records = std::mem::take(&mut self.records);
        (self.line_start, self.scanned) = (0, 0);
        if records.is_empty() {
            return None;
        }
        let gzip = vendor.unwrap_or_else(|| gzip(&raw));
        Some(self.chunk(lend(raw), gzip, records))
    }

    fn chunk(&self, raw: Bytes, gzip: Bytes, records: Vec<Record>) -> Chunk {
        Chunk { raw, gzip, records, kinds: self.kinds.names(), json: true, source: self.source.clone() }
    }

    /// Seals complete lines from the front: up to the first record that begins beyond the target size.
    fn seal_front(&mut self) {
        let count = self.records.partition_point(|record| (record.offset as usize) < CHUNK_TARGET_BYTES);
        let cut = self.records.get(count).map_or(self.line_start, |record| record.offset as usize);
        let mut records = self.records.split_off(count);
        std::mem::swap(&mut records, &mut self.records);
        let cut_u32 = u32::try_from(cut).unwrap_or(u32::MAX); // bounded by CHUNK_MAX_BYTES and one inflate step
        for record in &mut self.records {
            record.offset = record.offset.saturating_sub(cut_u32);
        }
        let mut left = Vec::with_capacity(CHUNK_TARGET_BYTES + CHUNK_TARGET_BYTES / 2);
        left.extend_from_slice(self.raw.get(cut..).unwrap_or_default());
        let mut raw = std::mem::replace(&mut self.raw, left);
        raw.truncate(cut);
        self.line_start -= cut;
        self.scanned = self.scanned.saturating_sub(cut);
        if !records.is_empty() {
            let gzip = gzip(&raw);
            let chunk = self.chunk(raw.into(), gzip, records);
            self.sealed.push_back(chunk);
        }
    }

    /// While an overlong line passes, its bytes are hashed and dropped.
    fn drop_overlong(&mut self) {
        let Some(mut passing) = self.overlong.take() else { return };
        let new = self.raw.get(self.line_start..).unwrap_or_default();
        let end = memchr::memchr(b'\n', new);
        passing.take(new.get(..end.unwrap_or(new.len())).unwrap_or_default(), MAX_QUARANTINE_BYTES);
        match end {
            Some(at) => {
                self.raw.drain(self.line_start..=self.line_start + at);
                self.too_long(passing);
            }
            None => {
                self.raw.truncate(self.line_start);
                self.overlong = Some(passing);
            }
        }
        self.scanned = self.line_start;
    }

    fn too_long(&mut self, passing: Passing) {
        self.line += 1;
        let detail = format!("a line of {} bytes; the bound is {MAX_LINE_BYTES}", passing.len);
        let item: Unreadable = passing.into_unreadable("line_too_long", &detail, self.line);
        let head = item.bytes.clone();
        self.unreadable.push(item, &head);
    }

    fn read_line(&mut self, mut start: usize, mut end: usize) {
        self.line += 1;
        let mut line = self.raw.get(start..end).unwrap_or_default();
        if let (1, Some(after)) = (self.line, line.strip_prefix(b"\xef\xbb\xbf")) {
            line = after; // byte order mark
            start += 3;
        }
        if let Some(before) = line.strip_suffix(b"\r") {
            line = before;
            end -= 1;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match read(self.feed, line, &mut self.kinds, &mut self.layout) {
            Ok(mut record) => {
                record.id = self.twins.identify(&self.tenant, self.feed.name, line);
                record.offset = u32::try_from(start).unwrap_or(u32::MAX);
                record.len = u32::try_from(end - start).unwrap_or(u32::MAX);
                self.newest = self.newest.max(record.time);
                self.readable += 1;
                self.records.push(record);
            }
            Err(bad) => self.unreadable.add(bad.reason, &bad.detail, line, self.line),
        }
    }
}

/// What one line says, without its place and identity.
fn read(feed: &Feed, line: &[u8], kinds: &mut Kinds, layout: &mut Layout) -> Result<Record, Bad> {
    if line.len() > MAX_LINE_BYTES {
        let detail = format!("a line of {} bytes; the bound is {MAX_LINE_BYTES}", line.len());
        return Err(Bad { reason: "line_too_long", detail });
    }
    let (text, repaired) = match std::str::from_utf8(line) {
        Ok(text) => (std::borrow::Cow::Borrowed(text), false),
        Err(_) => (String::from_utf8_lossy(line), true),
    };
    let facts = record::read_like(feed, &text, layout)?;
    Ok(Record {
        offset: 0,
        len: 0,
        id: EventId([0; 16]),
        time: facts.time,
        kind: kinds.index(facts.kind.as_deref()),
        severity: facts.severity,
        repaired,
    })
}
