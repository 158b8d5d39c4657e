//! Makes the bytes of one file: gzip over one JSON object per line. Made when asked for; a bounded cache keeps
//! the latest.

use crate::feeds::Feed;
use crate::json;
use crate::records::Pen;
use crate::runs::Run;
use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{self, Write};

/// Plain text is handed to the compressor in pieces of this size.
const PIECE: usize = 256 << 10;
/// A collector has to set lines above 1 MiB aside; this one is just above.
const LONG_LINE: usize = (1 << 20) + (64 << 10);
/// The speed of making files matters more than their size.
const LEVEL: Compression = Compression::new(1);

/// Lines that no collector can read, put between the good ones. They are never part of the published truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spoil {
    pub bad_line: bool,
    pub long_line: bool,
    pub invalid_utf8: bool,
}

impl Spoil {
    /// Unreadable lines in each file that carries this.
    pub fn lines(self) -> u64 {
        u64::from(self.bad_line) + u64::from(self.long_line) + u64::from(self.invalid_utf8)
    }
}

/// What to make.
pub struct Order {
    pub feed: &'static Feed,
    pub run: Run,
    /// Number of the file in its run.
    pub file: u64,
    pub account: String,
    pub spoil: Spoil,
    /// In the records' second form.
    pub second: bool,
}

#[derive(Clone)]
pub struct Made {
    pub gzip: Bytes,
    /// [`digest`] summed over the records.
    pub digest: u128,
}

/// First 16 bytes of SHA-256 as a big-endian number; sums of these (mod 2^128) do not depend on order.
pub fn digest(record: &[u8]) -> u128 {
    let hash = Sha256::digest(record);
    hash.iter().take(16).fold(0, |sum, &byte| sum << 8 | u128::from(byte))
}

impl Order {
    /// Calls `each` with the text of every record, in order.
    pub fn records(&self, mut each: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut pen = Pen::new(&self.account, self.run.hostility);
        pen.second = self.second;
        let mut line = Vec::with_capacity(2_048);
        for number in self.run.events_of(self.file) {
            line.clear();
            pen.write(self.feed, &self.run.nth(number), &mut line);
            each(number, &line)?;
        }
        Ok(())
    }

    /// [`digest`] summed over the records.
    pub fn digest(&self) -> io::Result<u128> {
        let mut sum = 0_u128;
        self.records(|_, record| {
            sum = sum.wrapping_add(digest(record));
            Ok(())
        })?;
        Ok(sum)
    }

    /// The compressed file. Every eighth is written as two gzip members, every second has no final line end:
    /// both are legal and both have stopped collectors.
    pub fn make(&self) -> io::Result<Made> {
        let range = self.run.events_of(self.file);
        let middle = range.start + (range.end - range.start) / 2;
        let split = self.file % 8 == 5;
        let mut sum = 0_u128;
        let mut text = Vec::with_capacity(PIECE + LONG_LINE);
        let mut gzip = GzEncoder::new(Vec::new(), LEVEL);
        self.records(|number, line| {
            if number > range.start {
                text.push(b'\n');
            }
            if number == middle {
                self.spoil_into(&mut text);
                if split {
                    gzip.write_all(&text)?;
                    text.clear();
                    let done = std::mem::replace(&mut gzip, GzEncoder::new(Vec::new(), LEVEL)).finish()?;
                    gzip = GzEncoder::new(done, LEVEL);
                }
            }
            sum = sum.wrapping_add(digest(line));
            text.extend_from_slice(line);
            if text.len() >= PIECE {
                gzip.write_all(&text)?;
                text.clear();
            }
            Ok(())
        })?;
        if self.file.is_multiple_of(2) {
            text.push(b'\n');
        }
        gzip.write_all(&text)?;
        Ok(Made { gzip: Bytes::from(gzip.finish()?), digest: sum })
    }

    fn spoil_into(&self, text: &mut Vec<u8>) {
        if self.spoil.bad_line {
            text.extend_from_slice(b"{\"type\":\"");
            text.extend_from_slice(self.feed.label.as_bytes());
            text.extend_from_slice(b"\",\"subject\":\"cut in the midd\n");
        }
        if self.spoil.long_line {
            text.extend_from_slice(b"{\"type\":");
            json::quoted(text, self.feed.label);
            text.extend_from_slice(b",\"subject\":\"");
            text.resize(text.len() + LONG_LINE, b'x');
            text.extend_from_slice(b"\"}\n");
        }
        if self.spoil.invalid_utf8 {
            text.extend_from_slice(b"{\"type\":");
            json::quoted(text, self.feed.label);
            text.extend_from_slice(b",\"subject\":\"caf\xe9 \xff\xfe \xc3\x28\"}\n");
        }
    }
}

/// A file in the cache: tenant, feed, number in the feed, what was put into it.
pub type Key = (u64, usize, u64, Spoil);

/// Keeps the files used last, up to a number of bytes.
pub struct Cache {
    files: HashMap<Key, (Made, u64)>,
    bytes: usize,
    limit: usize,
    tick: u64,
}

impl Cache {
    pub fn new(limit: usize) -> Self {
        Cache { files: HashMap::new(), bytes: 0, limit, tick: 0 }
    }

    pub fn get(&mut self, key: &Key) -> Option<Made> {
        self.tick += 1;
        let (made, used) = self.files.get_mut(key)?;
        *used = self.tick;
        Some(made.clone())
    }

    pub fn put(&mut self, key: Key, made: Made) {
        self.tick += 1;
        self.bytes += made.gzip.len();
        if let Some((old, _)) = self.files.insert(key, (made, self.tick)) {
            self.bytes -= old.gzip.len();
        }
        while self.bytes > self.limit {
            let Some(oldest) = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key)
            else {
                break;
            };
            if let Some((made, _)) = self.files.remove(&oldest) {
                self.bytes -= made.gzip.len();
            }
        }
    }
}

/// A gzip member of 64 MiB of zeros, and how often it is repeated to be 10 GiB.
pub fn bomb() -> io::Result<(Bytes, usize)> {
    const MEMBER: usize = 64 << 20;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0_u8; 1 << 20];
    for _ in 0..MEMBER / zeros.len() {
        gzip.write_all(&zeros)?;
    }
    Ok((Bytes::from(gzip.finish()?), 160))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::FEEDS;
    use crate::runs::sample;
    use flate2::read::MultiGzDecoder;
    use std::collections::HashSet;
    use std::io::Read;

    fn order(feed: usize, file: u64, spoil: Spoil) -> Order {
        Order {
            feed: &FEEDS[feed],
            run: sample(10_000),
            file,
            account: "CSIM00000".into(),
            spoil,
            second: false,
        }
    }

    fn text(made: &Made) -> Vec<u8> {
        let mut text = Vec::new();
        MultiGzDecoder::new(&made.gzip[..]).read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        for feed in 0..FEEDS.len() {
            let a = order(feed, 3, Spoil::default()).make().unwrap();
            let b = order(feed, 3, Spoil::default()).make().unwrap();
            assert_eq!(a.gzip, b.gzip);
            let mut other = order(feed, 3, Spoil::default());
            other.run.seed = 8;
            assert_ne!(a.digest, other.make().unwrap().digest);
        }
    }

    #[test]
    fn every_record_is_json_of_its_type_distinct_and_in_the_digest() {
        for feed in &FEEDS {
            let order = order(feed.index, 5, Spoil::default());
            let made = order.make().unwrap();
            let text = text(&made);
            let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').filter(|l| !l.is_empty()).collect();
            assert_eq!(lines.len(), 1_000, "{}", feed.name);
            assert_eq!(lines.iter().collect::<HashSet<_>>().len(), 1_000, "{}", feed.name);
            let sum = lines.iter().fold(0_u128, |sum, line| sum.wrapping_add(digest(line)));
            assert_eq!(sum, made.digest);
            let mut timed = 0;
            for line in lines {
                let value: serde_json::Value = serde_json::from_slice(line).unwrap();
                if feed.is_batch() {
                    assert_eq!(value["type"], feed.label);
                    assert!(value["timestamp"].as_i64().unwrap() >= order.run.from);
                } else {
                    let times =
                        ["eventTime", "date", "created", "createTime", "viewed", "released", "datetime"];
                    timed += usize::from(times.iter().any(|name| value[*name].is_string()));
                }
            }
            assert!(feed.is_batch() || timed > 900, "{}: only {timed} records have a time", feed.name);
        }
    }

    #[test]
    fn unreadable_lines_stand_between_the_good_ones() {
        let clean = order(0, 5, Spoil::default()).make().unwrap();
        let spoil = Spoil { bad_line: true, long_line: true, invalid_utf8: true };
        let made = order(0, 5, spoil).make().unwrap();
        assert_eq!(made.digest, clean.digest);
        let text = text(&made);
        let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').filter(|l| !l.is_empty()).collect();
        assert_eq!(lines.len() as u64, 1_000 + spoil.lines());
        assert_eq!(lines.iter().filter(|l| l.len() > 1 << 20).count(), 1);
        assert_eq!(lines.iter().filter(|l| std::str::from_utf8(l).is_err()).count(), 1);
        let bad = |l: &&&[u8]| serde_json::from_slice::<serde_json::Value>(l).is_err();
        assert_eq!(lines.iter().filter(bad).count(), 2);
    }

    #[test]
    fn the_cache_forgets_the_longest_unused_first() {
        let made = |n: usize| Made { gzip: Bytes::from(vec![0; n]), digest: n as u128 };
        let key = |n: u64| (0, 0, n, Spoil::default());
        let mut cache = Cache::new(100);
        cache.put(key(1), made(40));
        cache.put(key(2), made(40));
        assert!(cache.get(&key(1)).is_some());
        cache.put(key(3), made(40));
        assert!(cache.get(&key(2)).is_none() && cache.get(&key(1)).is_some() && cache.get(&key(3)).is_some());
        cache.put(key(3), made(10));
        assert_eq!(cache.bytes, 50);
    }

    #[test]
    fn the_bomb_is_small_on_the_wire_and_ten_gibibytes_inside() {
        let (member, times) = bomb().unwrap();
        assert!(member.len() * times < 16 << 20);
        let inside = io::copy(&mut MultiGzDecoder::new(&member[..]), &mut io::sink()).unwrap();
        assert_eq!(inside * times as u64, 10 << 30);
    }
}
