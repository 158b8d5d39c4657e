//! One batch file, as it comes in: bytes are pushed, chunks of records come out, memory stays bounded whatever
//! the file holds. A small file is inflated in one go when it is complete, and becomes one chunk that keeps
//! Mimecast's own gzip bytes. A large one, and one that is not plain, is inflated piece by piece; what is large
//! when inflated becomes chunks of our own making, sealed as they fill.

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use sha2::{Digest, Sha256};

use super::feed::Feed;
use super::lines::{Lines, WINDOW_BITS};
use super::unreadable::Passing;
pub use super::unreadable::Unreadable;
use crate::chunk::Chunk;
use crate::clock::Time;
use crate::fault::{Fault, Kind, Origin};
use crate::gzip;
use crate::limits::{
    CHUNK_MAX_BYTES, DOWNLOAD_PIECE_BYTES, EXPANSION_FREE_BYTES, HELD_FILE_BYTES, INFLATE_BYTES,
    MAX_EXPANSION_RATIO, MAX_FILE_EXPANDED_BYTES, MAX_QUARANTINE_BYTES,
};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What a file turned out to hold, beyond the chunks already taken.
#[derive(Debug, Default)]
pub struct FileEnd {
    /// The last chunk, or the only one. `None` when no record is left.
    pub chunk: Option<Chunk>,
    pub unreadable: Vec<Unreadable>,
    /// Records seen in the whole file: readable and unreadable, a damaged rest counting as one.
    pub listed: u64,
    /// Newest event time in the whole file.
    pub newest: Option<Time>,
    /// Bytes that came from the server.
    pub bytes: u64,
    /// It could not be read to its end; only when salvaging.
    pub damaged: bool,
}

/// Parser of one file. Push the pieces in order and take sealed chunks after each; when the last has come, close
/// it, take sealed chunks once more, and finish.
pub struct FileParser {
    name: String,
    salvage: bool,
    lines: Lines,
    form: Form,
    /// What came from the server: its hash, its length, and (salvaging) its beginning.
    packed: Passing,
    /// Everything that came lies in `vendor`, and `packed` has not seen it: few files are ever asked for their hash.
    unhashed: bool,
    /// The same bytes, while the file may still become one chunk around them.
    vendor: Vec<u8>,
    /// Bytes that were held and are now read piece by piece.
    unread: Bytes,
    inflated: u64,
    consumed: u64,
    damage: Option<Fault>,
}

/// What the bytes are.
enum Form {
    /// Not enough of them yet.
    Unknown(Vec<u8>),
    /// Gzip, small so far: kept in `vendor`, to be inflated in one go.
    Held,
    /// Gzip that was inflated in one go.
    Whole,
    Gzip {
        inflate: Box<Decompress>,
        /// A member has ended; another may follow.
        between: bool,
    },
    /// Something on the way has undone the gzip already.
    Text,
}

impl FileParser {
    /// `name`: the file's name without query, for people and as the events' source.
    pub fn new(feed: &'static Feed, tenant: &str, name: &str) -> Self {
        FileParser {
            name: name.to_owned(),
            salvage: false,
            lines: Lines::new(feed, tenant, name),
            form: Form::Unknown(Vec::new()),
            packed: Passing::default(),
            unhashed: true,
            vendor: Vec::new(),
            unread: Bytes::new(),
            inflated: 0,
            consumed: 0,
            damage: None,
        }
    }

    /// A parser for a file that was given up: it never fails, keeps the whole lines before the damage and
    /// reports the file's own bytes as one unreadable piece.
    pub fn salvaging(feed: &'static Feed, tenant: &str, name: &str) -> Self {
        FileParser { salvage: true, unhashed: false, ..FileParser::new(feed, tenant, name) }
    }

    /// The next bytes of the file. Pieces of at most [`crate::limits::DOWNLOAD_PIECE_BYTES`] keep memory small.
    ///
    /// Faults, which end the file: [`Kind::Bomb`], [`Kind::Html`]. Damage is told by [`FileParser::finish`],
    /// so that [`FileParser::sha256`] is the whole file's.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Fault> {
        self.count(piece);
        while self.read_held() {} // nothing is left when sealed chunks were taken
        if self.damage.is_none() {
            if matches!(self.form, Form::Held) && self.vendor.len() + piece.len() > HELD_FILE_BYTES {
                self.let_go();
                while self.lines.sealed.is_empty() && self.read_held() {}
            }
            self.keep(piece);
            self.damage = self.take_in(piece).err();
        }
        match &self.damage {
            Some(fault) if !self.salvage && fault.kind != Kind::GzipCorrupt => Err(fault.clone()),
            _ => Ok(()),
        }
    }

    /// A chunk that is complete; call until `None` after each push, and after [`FileParser::close`].
    pub fn take_sealed(&mut self) -> Option<Chunk> {
        while self.lines.sealed.is_empty() && self.read_held() {}
        self.lines.sealed.pop_front()
    }

    /// No more bytes will come. A file that was held is read now, in one go if it is plain; if it is not, or
    /// is large when inflated, then piece by piece as sealed chunks are taken.
    pub fn close(&mut self) {
        if !matches!(self.form, Form::Held) {
            return;
        }
        let Some(raw) = gzip::inflate_whole(&self.vendor, CHUNK_MAX_BYTES) else { return self.let_go() };
        self.form = Form::Whole;
        (self.consumed, self.inflated) = (self.vendor.len() as u64, raw.len() as u64);
        self.damage = self.check_size().err();
        if self.damage.is_none() {
            self.lines.raw = raw;
            self.lines.split();
        }
    }

    /// SHA-256 of everything pushed: tells whether a damaged file is damaged the same way each time. Of no use once a
    /// file was finished without a fault.
    pub fn sha256(&self) -> [u8; 32] {
        if self.unhashed { Sha256::digest(&self.vendor).into() } else { self.packed.sha256() }
    }

    /// The file has ended. Close it and take what is sealed first.
    ///
    /// Faults: [`Kind::GzipCorrupt`] (cut short, bad checksum, trailing garbage), [`Kind::Bomb`],
    /// [`Kind::Html`]; never when salvaging.
    pub fn finish(&mut self) -> Result<FileEnd, Fault> {
        self.close();
        while self.read_held() {}
        let late = self.form_at_end();
        self.damage = self.damage.take().or(late);
        if let (Some(fault), false) = (&self.damage, self.salvage) {
            return Err(fault.clone());
        }
        self.lines.end(self.damage.is_some());
        let mut unreadable = std::mem::take(&mut self.lines.unreadable).finish();
        if let Some(fault) = &self.damage {
            let piece = std::mem::take(&mut self.packed);
            unreadable.push(piece.clone().into_unreadable(reason(fault.kind), &fault.detail, 0));
            self.packed = piece;
        }
        let (listed, bytes) = (self.lines.readable + unreadable.len() as u64, self.received());
        let as_sent =
            self.damage.is_none() && self.lines.whole && matches!(self.form, Form::Gzip { .. } | Form::Whole);
        let vendor = as_sent.then(|| Bytes::from(std::mem::take(&mut self.vendor)));
        Ok(FileEnd {
            chunk: self.lines.rest(vendor),
            unreadable,
            listed,
            newest: self.lines.newest.map(Time),
            bytes,
            damaged: self.damage.is_some(),
        })
    }

    /// Notes the bytes of the file, whose hash is worked out only when they cannot all be kept.
    fn count(&mut self, piece: &[u8]) {
        if self.unhashed && (self.damage.is_some() || self.vendor.len() + piece.len() > HELD_FILE_BYTES) {
            self.packed.take(&self.vendor, 0);
            self.unhashed = false;
        }
        if !self.unhashed {
            self.packed.take(piece, if self.salvage { MAX_QUARANTINE_BYTES } else { 0 });
        }
    }

    /// Bytes that came from the server.
    fn received(&self) -> u64 {
        if self.unhashed { self.vendor.len() as u64 } else { self.packed.len }
    }

    /// Keeps the bytes as they came, as long as the file may become one chunk.
    fn keep(&mut self, piece: &[u8]) {
        self.lines.whole &= self.vendor.len() + piece.len() <= CHUNK_MAX_BYTES;
        if self.lines.whole {
            self.vendor.extend_from_slice(piece);
        } else {
            self.vendor = Vec::new();
        }
    }

    /// The file is not to be inflated in one go: what was held is read piece by piece.
    fn let_go(&mut self) {
        self.unread = Bytes::copy_from_slice(&self.vendor);
        self.lines.raw = gzip::spare_room();
        self.form = Form::Gzip { inflate: Box::new(Decompress::new_gzip(WINDOW_BITS)), between: false };
    }

    /// Reads the next piece of what was held; false when there is none.
    fn read_held(&mut self) -> bool {
        if self.unread.is_empty() || self.damage.is_some() {
            return false;
        }
        let piece = self.unread.split_to(self.unread.remaining().min(DOWNLOAD_PIECE_BYTES));
        self.damage = self.read(&piece).err();
        true
    }

    fn take_in(&mut self, piece: &[u8]) -> Result<(), Fault> {
        if let Form::Unknown(start) = &mut self.form {
            start.extend_from_slice(piece);
            let [first, second, ..] = start.as_slice() else { return Ok(()) };
            let form = recognise([*first, *second], start).map_err(|kind| self.unexpected(kind))?;
            let Form::Unknown(start) = std::mem::replace(&mut self.form, form) else { return Ok(()) };
            return self.read(&start);
        }
        self.read(piece)
    }

    fn read(&mut self, piece: &[u8]) -> Result<(), Fault> {
        match self.form {
            Form::Held | Form::Whole => Ok(()),
            Form::Gzip { .. } => self.inflate(piece),
            Form::Text | Form::Unknown(_) => {
                self.lines.raw.extend_from_slice(piece);
                self.consumed += piece.len() as u64;
                self.inflated += piece.len() as u64;
                self.check_size()?;
                self.lines.split();
                Ok(())
            }
        }
    }

    fn inflate(&mut self, mut input: &[u8]) -> Result<(), Fault> {
        loop {
            let Form::Gzip { inflate, between } = &mut self.form else { return Ok(()) };
            if *between {
                if input.is_empty() {
                    return Ok(());
                }
                **inflate = Decompress::new_gzip(WINDOW_BITS);
                *between = false;
            }
            let raw = &mut self.lines.raw;
            if raw.capacity() - raw.len() < INFLATE_BYTES / 4 {
                raw.reserve_exact(INFLATE_BYTES);
            }
            let (read_before, length_before) = (inflate.total_in(), raw.len());
            let status = inflate.decompress_vec(input, raw, FlushDecompress::None);
            let (read, written) = (inflate.total_in() - read_before, raw.len() - length_before);
            let full = raw.len() == raw.capacity();
            *between = matches!(status, Ok(Status::StreamEnd));
            let stuck = read == 0 && written == 0 && !*between;
            input = input.get(usize::try_from(read).unwrap_or(usize::MAX)..).unwrap_or_default();
            self.consumed += read;
            self.inflated += written as u64;
            self.check_size()?;
            self.lines.split();
            if status.is_err() || (stuck && !input.is_empty()) {
                return Err(self.corrupt());
            }
            if input.is_empty() && (!full || stuck) {
                return Ok(());
            }
        }
    }

    fn check_size(&mut self) -> Result<(), Fault> {
        let (inflated, consumed) = (self.inflated, self.consumed.max(1));
        let ratio = inflated / consumed;
        let why = if inflated > MAX_FILE_EXPANDED_BYTES {
            format!("{inflated} bytes; the bound is {MAX_FILE_EXPANDED_BYTES}")
        } else if inflated > EXPANSION_FREE_BYTES && ratio > MAX_EXPANSION_RATIO {
            format!("{ratio} times its size; the bound is {MAX_EXPANSION_RATIO}")
        } else {
            return Ok(());
        };
        Err(Fault::new(Origin::Download, Kind::Bomb, format!("file {} expands to {why}", self.name)))
    }

    fn corrupt(&self) -> Fault {
        let what = match (self.consumed, self.inflated) {
            (0, _) => "does not begin like gzip".to_owned(),
            (consumed, inflated) => format!("is damaged after {consumed} bytes ({inflated} inflated)"),
        };
        Fault::new(Origin::Download, Kind::GzipCorrupt, format!("file {} {what}", self.name))
    }

    fn unexpected(&self, kind: Kind) -> Fault {
        let what = if kind == Kind::Html { "is a web page" } else { "is neither gzip nor text" };
        Fault::new(Origin::Download, kind, format!("file {} {what}", self.name))
    }

    /// What the form of the bytes says at their end.
    fn form_at_end(&mut self) -> Option<Fault> {
        match &self.form {
            Form::Gzip { between: true, .. } | Form::Whole | Form::Text => None,
            Form::Unknown(start) if start.iter().all(u8::is_ascii_whitespace) => None,
            Form::Gzip { .. } | Form::Held | Form::Unknown(_) => {
                let text = format!("file {} is cut short after {} bytes", self.name, self.received());
                Some(Fault::new(Origin::Download, Kind::GzipCorrupt, text))
            }
        }
    }
}

/// What a file is by its beginning. Text is believed only if it begins like text: a gzip file with one broken
/// byte must be fetched again, not read as one unreadable line.
fn recognise(magic: [u8; 2], start: &[u8]) -> Result<Form, Kind> {
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    if magic == GZIP_MAGIC {
        return Ok(Form::Held);
    }
    match start.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'<') => Err(Kind::Html),
        _ if magic.iter().all(is_text) || magic == [0xef, 0xbb] => Ok(Form::Text),
        _ => Err(Kind::GzipCorrupt),
    }
}

fn reason(kind: Kind) -> &'static str {
    match kind {
        Kind::Bomb => "bomb",
        Kind::Html => "html",
        _ => "gzip_corrupt",
    }
}
