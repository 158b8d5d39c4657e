//! Where an answer lies that is a file: in memory while it is small, else in a nameless file in the state directory,
//! because an archive is read from its end. The file has no name from the moment it is open, so that it vanishes
//! with whoever held it.

use std::fs::{File, OpenOptions};
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use crate::fault::{Fault, Kind, Origin};
use crate::limits::{HELD_ARCHIVE_BYTES, MAX_ARCHIVE_BYTES};

const NAME: &str = "answer-";
const ENDING: &str = ".tmp";

/// An answer as it comes in.
pub struct Spool {
    dir: PathBuf,
    held: Vec<u8>,
    file: Option<tokio::fs::File>,
    len: u64,
}

/// An answer that has come in as a whole.
pub enum Body {
    Held(Cursor<Vec<u8>>),
    File(File),
}

impl Spool {
    /// `dir`: the state directory.
    pub fn new(dir: &Path) -> Self {
        Spool { dir: dir.to_owned(), held: Vec::new(), file: None, len: 0 }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// [`Kind::TooLarge`] of the answer; local `DiskFull`, `DiskIo`.
    pub async fn push(&mut self, piece: &[u8]) -> Result<(), Fault> {
        self.len += piece.len() as u64;
        if self.len > MAX_ARCHIVE_BYTES {
            let words = format!("an answer of more than {MAX_ARCHIVE_BYTES} bytes");
            return Err(Fault::new(Origin::Download, Kind::TooLarge, words));
        }
        if self.file.is_none() {
            if self.held.len() + piece.len() <= HELD_ARCHIVE_BYTES {
                self.held.extend_from_slice(piece);
                return Ok(());
            }
            let mut file = tokio::fs::File::from_std(nameless(&self.dir).map_err(disk)?);
            file.write_all(&std::mem::take(&mut self.held)).await.map_err(disk)?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(piece).await.map_err(disk),
            None => Ok(()),
        }
    }

    /// The whole answer, from its beginning.
    ///
    /// # Errors
    /// Local `DiskFull`, `DiskIo`.
    pub async fn finish(self) -> Result<Body, Fault> {
        let Some(mut file) = self.file else { return Ok(Body::Held(Cursor::new(self.held))) };
        file.flush().await.map_err(disk)?;
        file.seek(SeekFrom::Start(0)).await.map_err(disk)?;
        Ok(Body::File(file.into_std().await))
    }
}

impl Body {
    /// The bytes, if they are in memory.
    pub fn held(&self) -> Option<&[u8]> {
        match self {
            Body::Held(bytes) => Some(bytes.get_ref()),
            Body::File(_) => None,
        }
    }
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Body::Held(bytes) => bytes.read(into),
            Body::File(file) => file.read(into),
        }
    }
}

impl Seek for Body {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        match self {
            Body::Held(bytes) => Seek::seek(bytes, to),
            Body::File(file) => Seek::seek(file, to),
        }
    }
}

/// A file that only this process can reach.
fn nameless(dir: &Path) -> std::io::Result<File> {
    let path = dir.join(format!("{NAME}{}{ENDING}", uuid::Uuid::new_v4()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(file), // somebody who sweeps may have been faster
    }
}

/// Removes what a process left behind that died between making a file and taking its name away.
pub fn sweep(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(NAME) && name.ends_with(ENDING)) {
            let _ = std::fs::remove_file(entry.path()); // what cannot be removed now is met at the next start
        }
    }
}

fn disk(error: std::io::Error) -> Fault {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::DiskFull,
        _ => Kind::DiskIo,
    };
    Fault::new(Origin::Local, kind, format!("failed to set an answer aside in the state directory: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_large_answer_lies_in_a_file_nobody_else_can_open() {
        let dir = tempfile::tempdir().unwrap();
        let piece: Vec<u8> = (0..64 << 10).map(|n| n as u8).collect();
        for pieces in [1, 32, 33, 100] {
            let mut spool = Spool::new(dir.path());
            for _ in 0..pieces {
                spool.push(&piece).await.unwrap();
            }
            let mut body = spool.finish().await.unwrap();
            assert_eq!(matches!(body, Body::File(_)), pieces > 32);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "no name");
            let mut read = Vec::new();
            body.read_to_end(&mut read).unwrap();
            assert_eq!(read, piece.repeat(pieces));
            Seek::seek(&mut body, SeekFrom::End(-1)).unwrap();
            read.clear();
            body.read_to_end(&mut read).unwrap();
            assert_eq!(read, [0xff]);
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_refused_and_a_missing_directory_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool { len: MAX_ARCHIVE_BYTES, ..Spool::new(dir.path()) };
        assert_eq!(spool.push(b"x").await.unwrap_err().kind, Kind::TooLarge);
        let mut spool = Spool::new(&dir.path().join("gone"));
        let fault = spool.push(&vec![0; HELD_ARCHIVE_BYTES + 1]).await.unwrap_err();
        assert_eq!((fault.origin, fault.kind), (Origin::Local, Kind::DiskIo));
    }

    #[test]
    fn left_overs_are_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["answer-1.tmp", "answer.tmp", "store.db", "answer-2.txt"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        sweep(dir.path());
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["answer-2.txt", "answer.tmp", "store.db"]);
    }
}
