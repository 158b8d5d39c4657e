//! The files in one answer: a zip of many, or a single one. Whatever it holds, memory stays bounded: members are
//! inflated one after the other, records leave in chunks as they fill, and a member that cannot be read goes to the
//! quarantine while the others are read. Only an archive whose directory cannot be read is a fault as a whole: then
//! nobody can tell what is in it, and nothing of it is used. Member names are shown and looked up, never opened.

use std::io::{Read, Seek, SeekFrom};

use zip::ZipReadOptions;
use zip::read::{ArchiveOffset, Config};
use zip::unstable::read::ZipIterable;

use super::feed::{Feed, Records};
use super::log_file::{Gathering, LogFile};
use super::mta::row_of;
use super::unreadable::{Passing, Unreadable};
use crate::chunk::Chunk;
use crate::clock::Time;
use crate::fault::{Fault, Kind, Origin, one_line};
use crate::limits::{
    DOWNLOAD_PIECE_BYTES, EXPANSION_FREE_BYTES, MAX_ARCHIVE_EXPANDED_BYTES, MAX_ARCHIVE_MEMBERS,
    MAX_EXPANSION_RATIO, MAX_FILE_EXPANDED_BYTES, MAX_FILE_NAME_CHARS, MAX_QUARANTINE_BYTES,
};

const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// What an answer held, beyond the chunks given away.
#[derive(Debug, Default)]
pub struct ArchiveEnd {
    /// The last chunks, two at most.
    pub chunks: Vec<Chunk>,
    pub unreadable: Vec<Unreadable>,
    /// Records read, those of chunks given away included.
    pub readable: u64,
    /// Newest event time.
    pub newest: Option<Time>,
    /// Files in it.
    pub files: u64,
    /// When salvaging: why the answer could not be read to its end.
    pub damage: Option<Fault>,
}

/// How strictly an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Damage of the whole is a fault: another copy may be better.
    Strict,
    /// The last attempt: what is no file goes to the quarantine.
    Salvage,
}

/// Reads the answer in `body`, whose file is called `name`. `give` takes each full chunk; when it says false nobody
/// wants more, and reading ends with [`Kind::Interrupted`].
///
/// Faults: [`Kind::GzipCorrupt`] (no archive and no text), [`Kind::Bomb`], [`Kind::Html`], [`Kind::Malformed`]
/// (nothing at all); local [`Kind::DiskIo`]. When salvaging only the last one.
pub fn read<R: Read + Seek>(
    mut body: R,
    name: &str,
    (feed, tenant): (&'static Feed, &str),
    how: Reading,
    give: &mut dyn FnMut(Chunk) -> bool,
) -> Result<ArchiveEnd, Fault> {
    let mut reader = Reader { feed, out: Gathering::new(feed, tenant, name), give, files: 0, expanded: 0 };
    let damage = reader.whole(&mut body, name).err();
    if let Some(fault) = &damage {
        if how == Reading::Strict || fault.origin == Origin::Local || fault.kind == Kind::Interrupted {
            return Err(fault.clone());
        }
        let piece = evidence(&mut body, 0, u64::MAX)?;
        reader.out.quarantine(piece.into_unreadable(reason(fault.kind), &fault.detail, 0));
    }
    let (readable, newest, files) = (reader.out.readable, reader.out.newest.map(Time), reader.files);
    let (chunks, unreadable) = reader.out.finish();
    Ok(ArchiveEnd { chunks, unreadable, readable, newest, files, damage })
}

struct Reader<'g> {
    feed: &'static Feed,
    out: Gathering,
    give: &'g mut dyn FnMut(Chunk) -> bool,
    files: u64,
    expanded: u64,
}

/// How a member ended that could not be read to its end.
struct Damage {
    reason: &'static str,
    detail: String,
}

impl Reader<'_> {
    fn whole<R: Read + Seek>(&mut self, body: &mut R, name: &str) -> Result<(), Fault> {
        let mut start = [0; 512];
        let len = fill(body, &mut start).map_err(disk)?;
        let start = start.get(..len).unwrap_or_default();
        body.seek(SeekFrom::Start(0)).map_err(disk)?;
        if ZIP.iter().any(|magic| start.starts_with(magic)) || ends_as_archive(body)? {
            return self.members(body);
        }
        match start.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'<') => {
                return Err(Fault::new(Origin::Api, Kind::Html, "a web page came where a log file is due"));
            }
            Some(byte) if !is_text(*byte) || name.to_ascii_lowercase().ends_with(".zip") => {
                return Err(broken(Kind::GzipCorrupt, "the answer is neither an archive nor a log file"));
            }
            Some(_) => {}
            None => return Err(broken(Kind::Malformed, "the answer is an empty file")),
        }
        self.files = 1;
        match self.file(body, name, self.row(name), u64::MAX)? {
            None => Ok(()),
            Some(Damage { detail, .. }) => Err(disk_words(&detail)),
        }
    }

    /// What reads the records of a file of this name.
    fn row(&self, name: &str) -> &'static Feed {
        if self.feed.records == Records::Files { row_of(name) } else { self.feed }
    }

    fn members<R: Read + Seek>(&mut self, body: &mut R) -> Result<(), Fault> {
        let unreadable = |error: zip::result::ZipError| {
            broken(Kind::GzipCorrupt, &format!("the archive cannot be read: {error}"))
        };
        let mut archive = ZipIterable::try_new(body, begins_at_its_start()).map_err(unreadable)?;
        // once through the directory first: damage in it must show before anything is given away
        let mut count = 0_usize;
        for entry in archive.files().map_err(unreadable)? {
            entry.map_err(unreadable)?;
            count += 1;
            if count > MAX_ARCHIVE_MEMBERS {
                let words = format!("an archive of more than {MAX_ARCHIVE_MEMBERS} files");
                return Err(broken(Kind::Bomb, &words));
            }
        }
        let files = archive.files().map_err(unreadable)?;
        while let Some(entry) = files.next() {
            let entry = entry.map_err(unreadable)?;
            if entry.is_dir() {
                continue;
            }
            self.files += 1;
            let name = shown(&String::from_utf8_lossy(entry.name_raw()));
            let (at, packed) = (entry.header_start(), entry.compressed_size());
            let row = self.row(&name);
            let damage = {
                let opened = entry.with_reader(files.reader_mut(), ZipReadOptions::default());
                match opened {
                    Ok(mut member) => self.file(&mut member, &name, row, packed)?,
                    Err(error) => Some(Damage { reason: "member_damaged", detail: error.to_string() }),
                }
            };
            if let Some(Damage { reason, detail }) = damage {
                let piece = evidence(files.reader_mut(), at, packed)?;
                self.out.quarantine(piece.into_unreadable(reason, &format!("{name}: {detail}"), 0));
            }
        }
        Ok(())
    }

    /// Reads one file to its end. What is wrong with its content goes to the quarantine here; `Some`: the bytes
    /// themselves could not be had.
    fn file(
        &mut self,
        member: &mut dyn Read,
        name: &str,
        row: &'static Feed,
        packed: u64,
    ) -> Result<Option<Damage>, Fault> {
        let mut file = LogFile::new(row, name);
        let mut piece = vec![0; DOWNLOAD_PIECE_BYTES];
        let mut len = 0_u64;
        let damage = loop {
            let read = match member.read(&mut piece) {
                Ok(0) => break None,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => break Some(Damage { reason: "member_damaged", detail: error.to_string() }),
            };
            len += read as u64;
            self.expanded += read as u64;
            if self.expanded > MAX_ARCHIVE_EXPANDED_BYTES {
                let words = format!("an answer that expands to more than {MAX_ARCHIVE_EXPANDED_BYTES} bytes");
                return Err(broken(Kind::Bomb, &words));
            }
            if let Some(detail) = too_much(len, packed) {
                break Some(Damage { reason: "bomb", detail });
            }
            file.push(piece.get(..read).unwrap_or_default(), &mut self.out);
            while let Some(chunk) = self.out.take_sealed() {
                if !(self.give)(chunk) {
                    return Err(Fault::new(
                        Origin::Local,
                        Kind::Interrupted,
                        "nobody takes the records any more",
                    ));
                }
            }
        };
        file.finish(damage.is_some(), &mut self.out);
        Ok(damage)
    }
}

fn too_much(len: u64, packed: u64) -> Option<String> {
    let ratio = len / packed.max(1);
    if len > MAX_FILE_EXPANDED_BYTES {
        Some(format!("expands to more than {MAX_FILE_EXPANDED_BYTES} bytes"))
    } else if len > EXPANSION_FREE_BYTES && ratio > MAX_EXPANSION_RATIO {
        Some(format!("expands to {ratio} times its size; the bound is {MAX_EXPANSION_RATIO}"))
    } else {
        None
    }
}

fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0xef)
}

/// A member's name fit for a log line: the end of a long one, which tells most.
fn shown(name: &str) -> String {
    let skip = name.chars().count().saturating_sub(MAX_FILE_NAME_CHARS);
    one_line(&name.chars().skip(skip).collect::<String>())
}

/// The packed bytes of a member, for the quarantine: hash and length of all, and the beginning.
fn evidence<R: Read + Seek>(body: &mut R, at: u64, len: u64) -> Result<Passing, Fault> {
    let mut passing = Passing::default();
    body.seek(SeekFrom::Start(at)).map_err(disk)?;
    let mut left = len.saturating_add(if len == u64::MAX { 0 } else { LOCAL_HEADER });
    let mut piece = vec![0; DOWNLOAD_PIECE_BYTES];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        let read = body.read(piece.get_mut(..most).unwrap_or_default()).map_err(disk)?;
        if read == 0 {
            break;
        }
        passing.take(piece.get(..read).unwrap_or_default(), MAX_QUARANTINE_BYTES);
        left -= read as u64;
    }
    Ok(passing)
}

/// Fixed part of what stands before a member's bytes.
const LOCAL_HEADER: u64 = 30;

fn fill(body: &mut impl Read, into: &mut [u8]) -> std::io::Result<usize> {
    let mut len = 0;
    while len < into.len() {
        match body.read(into.get_mut(len..).unwrap_or_default())? {
            0 => break,
            read => len += read,
        }
    }
    Ok(len)
}

fn broken(kind: Kind, words: &str) -> Fault {
    Fault::new(Origin::Download, kind, words)
}

fn disk(error: std::io::Error) -> Fault {
    disk_words(&error.to_string())
}

fn disk_words(words: &str) -> Fault {
    Fault::new(Origin::Local, Kind::DiskIo, format!("failed to read an answer that was set aside: {words}"))
}

fn reason(kind: Kind) -> &'static str {
    match kind {
        Kind::Bomb => "bomb",
        Kind::Html => "html",
        Kind::Malformed => "empty",
        _ => "archive_damaged",
    }
}

/// The body is the archive and nothing stands before it. Guessing where an archive begins would let one damaged byte
/// of the first member hide all the others.
fn begins_at_its_start() -> Config {
    Config { archive_offset: ArchiveOffset::Known(0) }
}

/// Whether the body ends like an archive without a comment. The first member's head may be damaged, and the others must
/// not pay for it.
fn ends_as_archive<R: Read + Seek>(body: &mut R) -> Result<bool, Fault> {
    const END_RECORD_BYTES: i64 = 22; // APPNOTE 4.3.16, without a comment
    let len = body.seek(SeekFrom::End(0)).map_err(disk)?;
    let mut end = [0; 4];
    if len >= END_RECORD_BYTES as u64 {
        body.seek(SeekFrom::End(-END_RECORD_BYTES)).map_err(disk)?;
        body.read_exact(&mut end).map_err(disk)?;
    }
    body.seek(SeekFrom::Start(0)).map_err(disk)?;
    Ok(end.as_slice() == b"PK\x05\x06")
}
