//! Writes zip archives: as few parts of the format as its readers have to understand, and on wish the ones that
//! confuse them.

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use std::io::{self, Write};

#[derive(Default)]
pub struct Zip {
    out: Vec<u8>,
    directory: Vec<u8>,
    members: u16,
}

const DEFLATED: u16 = 8;
/// The lengths stand behind the member, in a descriptor: what a service writes that makes the archive while it sends.
const STREAMED: u16 = 1 << 3;
const UTF8: u16 = 1 << 11;
/// 1 January 2026, midnight, in the form of MS-DOS.
const DATE: [u8; 4] = [0, 0, 0x21, 0x5c];

fn short(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Archives above 4 GiB are never made here; lengths fit into four bytes.
fn long(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

impl Zip {
    /// Adds a member. Every second one is written as a service writes that does not know the length beforehand.
    pub fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(content)?;
        let packed = packed.finish()?;
        let mut sum = Crc::new();
        sum.update(content);
        let streamed = self.members % 2 == 1;
        let flags = UTF8 | if streamed { STREAMED } else { 0 };
        let start = self.out.len();
        let lengths = |out: &mut Vec<u8>, known: bool| {
            out.extend_from_slice(&if known { sum.sum() } else { 0 }.to_le_bytes());
            long(out, if known { packed.len() } else { 0 });
            long(out, if known { content.len() } else { 0 });
        };
        let head = |out: &mut Vec<u8>| {
            short(out, 20);
            short(out, flags);
            short(out, DEFLATED);
            out.extend_from_slice(&DATE);
        };
        let name_length = u16::try_from(name.len()).map_err(io::Error::other)?;
        self.out.extend_from_slice(b"PK\x03\x04");
        head(&mut self.out);
        lengths(&mut self.out, !streamed);
        short(&mut self.out, name_length);
        short(&mut self.out, 0);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(&packed);
        if streamed {
            self.out.extend_from_slice(b"PK\x07\x08");
            lengths(&mut self.out, true);
        }
        self.directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        head(&mut self.directory);
        lengths(&mut self.directory, true);
        short(&mut self.directory, name_length);
        self.directory.extend_from_slice(&[0; 12]);
        long(&mut self.directory, start);
        self.directory.extend_from_slice(name.as_bytes());
        self.members += 1;
        Ok(())
    }

    pub fn finish(mut self) -> Vec<u8> {
        let start = self.out.len();
        self.out.extend_from_slice(&self.directory);
        self.out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        short(&mut self.out, self.members);
        short(&mut self.out, self.members);
        long(&mut self.out, self.directory.len());
        long(&mut self.out, start);
        short(&mut self.out, 0);
        self.out
    }
}

/// The members of an archive made here: names and contents.
#[cfg(test)]
pub fn read(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    use std::io::Read;
    let short = |at: usize| usize::from(u16::from_le_bytes([archive[at], archive[at + 1]]));
    let long = |at: usize| short(at) | short(at + 2) << 16;
    let end = archive.len() - 22;
    assert_eq!(&archive[end..end + 4], b"PK\x05\x06");
    let (count, mut at) = (short(end + 10), long(end + 16));
    (0..count)
        .map(|_| {
            assert_eq!(&archive[at..at + 4], b"PK\x01\x02");
            let (sum, packed, plain) = (long(at + 16), long(at + 20), long(at + 24));
            let (length, local) = (short(at + 28), long(at + 42));
            let name = String::from_utf8(archive[at + 46..at + 46 + length].to_vec()).unwrap();
            let start = local + 30 + short(local + 26);
            let mut content = Vec::new();
            let inside = &archive[start..start + packed];
            flate2::read::DeflateDecoder::new(inside).read_to_end(&mut content).unwrap();
            let mut crc = Crc::new();
            crc.update(&content);
            assert_eq!((content.len(), crc.sum() as usize), (plain, sum));
            at += 46 + length;
            (name, content)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let members = [("a.json", b"{}".to_vec()), ("../ü.siem", vec![b'x'; 100_000]), ("empty", Vec::new())];
        let mut zip = Zip::default();
        for (name, content) in &members {
            zip.add(name, content).unwrap();
        }
        let found = read(&zip.finish());
        assert!(found.iter().map(|(n, c)| (n.as_str(), c.clone())).eq(members));
    }

    #[test]
    fn other_programs_can_read_it() {
        let mut zip = Zip::default();
        zip.add("receipt_20260101000000000.json", b"{\"type\":\"MTA\",\"data\":[]}").unwrap();
        zip.add("process_20260101000000000.json", b"second").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("logs.zip");
        std::fs::write(&file, zip.finish()).unwrap();
        let script = "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; \
                      print(','.join(z.namelist()))";
        let Ok(told) = std::process::Command::new("python3").args(["-c", script]).arg(&file).output() else {
            return; // no other program here
        };
        let names = String::from_utf8_lossy(&told.stdout).trim().to_owned();
        assert_eq!(names, "receipt_20260101000000000.json,process_20260101000000000.json");
    }
}
