//! Files: whole, large, damaged, hostile, and cut anywhere.

use std::collections::HashSet;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::catalogue::find;
use super::payload::{FileEnd, FileParser, Unreadable};
use crate::chunk::Chunk;
use crate::event::{EventId, Severity};
use crate::fault::{Fault, Kind};
use crate::limits::{
    CHUNK_MAX_BYTES, CHUNK_TARGET_BYTES, DOWNLOAD_PIECE_BYTES, HELD_FILE_BYTES, MAX_LINE_BYTES,
    MAX_QUARANTINE_BYTES, MAX_QUARANTINED_PER_FILE,
};

fn packed(raw: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(raw).unwrap();
    encoder.finish().unwrap()
}

fn parser() -> FileParser {
    FileParser::new(find("siem.receipt").unwrap(), "acme", "b/f.gz")
}

/// Everything a parser gave: what it sealed, and its end.
struct Read1 {
    chunks: Vec<Chunk>,
    end: FileEnd,
}

impl Read1 {
    fn events(&self) -> Vec<(Vec<u8>, EventId)> {
        let events = |chunk: &Chunk| -> Vec<_> {
            let event = |n| chunk.event(n, "acme", "siem.receipt", 0).unwrap();
            (0..chunk.records.len()).map(|n| (event(n).raw.to_vec(), event(n).id)).collect()
        };
        self.chunks.iter().flat_map(events).collect()
    }
    fn lines(&self) -> Vec<String> {
        self.events().into_iter().map(|(raw, _)| String::from_utf8_lossy(&raw).into_owned()).collect()
    }
    fn reasons(&self) -> Vec<(u64, &'static str)> {
        self.end.unreadable.iter().map(|item| (item.line, item.reason)).collect()
    }
}

fn drive<'a>(mut parser: FileParser, pieces: impl Iterator<Item = &'a [u8]>) -> Result<Read1, Fault> {
    let mut chunks = Vec::new();
    for piece in pieces {
        parser.push(piece)?;
        chunks.extend(std::iter::from_fn(|| parser.take_sealed()));
    }
    parser.close();
    chunks.extend(std::iter::from_fn(|| parser.take_sealed()));
    let mut end = parser.finish()?;
    chunks.extend(end.chunk.take());
    for chunk in &chunks {
        let mut raw = Vec::new();
        MultiGzDecoder::new(&chunk.gzip[..]).read_to_end(&mut raw).unwrap();
        assert!(raw == chunk.raw, "a chunk's two forms differ");
        assert!(chunk.raw.len() <= CHUNK_MAX_BYTES + MAX_LINE_BYTES);
    }
    let records: usize = chunks.iter().map(|chunk| chunk.records.len()).sum();
    assert_eq!(end.listed, (records + end.unreadable.len()) as u64);
    Ok(Read1 { chunks, end })
}

fn read_in(file: &[u8], piece: usize) -> Result<Read1, Fault> {
    drive(parser(), file.chunks(piece))
}

fn read(file: &[u8]) -> Result<Read1, Fault> {
    read_in(file, DOWNLOAD_PIECE_BYTES)
}

fn salvage(file: &[u8]) -> Read1 {
    let parser = FileParser::salvaging(find("siem.receipt").unwrap(), "acme", "b/f.gz");
    drive(parser, file.chunks(DOWNLOAD_PIECE_BYTES)).unwrap()
}

/// `count` different lines that compress badly enough to be no bomb.
fn log(count: usize) -> Vec<u8> {
    let line = |n: usize| {
        let noise: String =
            Sha256::digest(n.to_be_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{\"aggregateId\":\"{n}\",\"timestamp\":{},\"x\":\"{noise}\"}}\n", 1_767_259_800_000 + n)
    };
    (0..count).map(line).collect::<String>().into_bytes()
}

fn whole_lines(raw: &[u8]) -> Vec<String> {
    raw.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect()
}

#[test]
fn samples_of_all_types_are_read() {
    let cg = include_bytes!("../../tests/fixtures/mimecast/v2-cg-batch.ndjson");
    let done = read(&packed(cg, 6)).unwrap();
    assert_eq!((done.lines(), done.end.unreadable.len()), (whole_lines(cg), 0));
    let chunk = &done.chunks[0];
    let kinds: HashSet<_> = (0..11).map(|n| chunk.event(n, "", "", 0).unwrap().kind).collect();
    assert_eq!(kinds.len(), 10, "{kinds:?}");
    assert!(chunk.records.iter().all(|record| record.time.is_some()));
    assert_eq!(chunk.event(1, "", "", 0).unwrap().severity, Severity::Notice);
    assert_eq!(done.end.newest.map(|time| time.0), chunk.newest());
    let ci = include_bytes!("../../tests/fixtures/mimecast/v2-ci-batch.ndjson");
    let parser = FileParser::new(find("ci.entities").unwrap(), "acme", "f");
    let done = drive(parser, std::iter::once(&packed(ci, 6)[..])).unwrap();
    assert_eq!((done.lines(), done.end.unreadable.len()), (whole_lines(ci), 0));
    assert_eq!(done.chunks[0].event(0, "", "", 0).unwrap().severity, Severity::Warning);
}

#[test]
fn a_small_file_keeps_the_very_bytes_mimecast_sent() {
    let file = packed(&log(100), 9);
    let done = read_in(&file, 7).unwrap();
    assert_eq!(done.chunks.len(), 1);
    assert_eq!(done.chunks[0].gzip, file);
    assert_eq!(done.chunks[0].source, "b/f.gz");
    assert_eq!(done.end.bytes, file.len() as u64);
    let members: Vec<u8> = log(50).chunks(501).flat_map(|part| packed(part, 6)).collect();
    let done = read(&members).unwrap();
    assert_eq!((done.lines(), &done.chunks[0].gzip[..]), (whole_lines(&log(50)), &members[..]));
}

#[test]
fn a_large_file_is_cut_into_chunks_at_line_ends() {
    let raw = log(80_000);
    assert!(raw.len() > CHUNK_MAX_BYTES + 3 * CHUNK_TARGET_BYTES);
    for file in [packed(&raw, 6), raw.clone()] {
        let done = read(&file).unwrap();
        assert!(done.lines() == whole_lines(&raw));
        assert!(done.chunks.len() > 6);
        let (last, sealed) = done.chunks.split_last().unwrap();
        assert!(sealed.iter().all(|chunk| chunk.raw.len() >= CHUNK_TARGET_BYTES));
        assert!(last.raw.len() < 2 * CHUNK_TARGET_BYTES);
        assert_eq!(done.end.newest.map(|time| time.0), Some(1_767_259_800_000 + 79_999));
    }
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let file = packed(&log(80_000), 6);
    let mut parser = parser();
    let mut most = 0;
    for piece in file.chunks(DOWNLOAD_PIECE_BYTES) {
        parser.push(piece).unwrap();
        let waiting: usize = std::iter::from_fn(|| parser.take_sealed()).map(|chunk| chunk.raw.len()).sum();
        most = most.max(waiting);
    }
    assert!(most <= CHUNK_MAX_BYTES + 2 * CHUNK_TARGET_BYTES, "{most}");
}

#[test]
fn an_already_inflated_file_is_read_as_it_is() {
    let raw = log(10);
    for file in
        [raw.clone(), [b"\xef\xbb\xbf".as_slice(), &raw].concat(), [b"\r\n \n".as_slice(), &raw].concat()]
    {
        let done = read_in(&file, 1).unwrap();
        assert_eq!((done.lines(), done.end.unreadable.len()), (whole_lines(&raw), 0));
        assert_eq!(done.chunks[0].raw, file);
    }
}

#[test]
fn an_empty_file_is_fine() {
    for file in [vec![], b"\n".to_vec(), packed(b"", 6), packed(b"\r\n\n  \n", 6)] {
        let done = read(&file).unwrap();
        assert_eq!((done.chunks.len(), done.end.listed, done.end.bytes), (0, 0, file.len() as u64));
    }
}

#[test]
fn lines_end_at_line_feeds_only() {
    let raw = "{\"a\":\"x\u{2028}y\u{85}z\"}\r\n{\"b\":\"\\n\"}\n\n{\"c\":1}".as_bytes();
    let done = read(&packed(raw, 6)).unwrap();
    assert_eq!(done.lines(), ["{\"a\":\"x\u{2028}y\u{85}z\"}", "{\"b\":\"\\n\"}", "{\"c\":1}"]);
}

#[test]
fn fact_10_a_bad_line_is_set_aside_and_the_rest_stays() {
    let raw = b"{\"a\":1}\nThis is not JSON\n[1]\n{\"b\":2}\n{\"c\":";
    let done = read(&packed(raw, 6)).unwrap();
    assert_eq!(done.lines(), ["{\"a\":1}", "{\"b\":2}"]);
    assert_eq!(done.reasons(), [(2, "not_json"), (3, "not_an_object"), (5, "not_json")]);
    let item: &Unreadable = &done.end.unreadable[0];
    assert_eq!((item.bytes.as_slice(), item.len), (&b"This is not JSON"[..], 16));
    assert_eq!(item.sha256, <[u8; 32]>::from(Sha256::digest(b"This is not JSON")));
}

#[test]
fn x13_an_overlong_line_is_set_aside_wherever_it_comes() {
    let one_line =
        |lines| log(lines).iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect::<Vec<_>>();
    let (long, longer) = (one_line(10_000), one_line(40_000));
    assert!(long.len() > MAX_LINE_BYTES && longer.len() > 4 * MAX_LINE_BYTES);
    for (before, line) in [(log(3), &long), (log(70_000), &longer)] {
        let raw = [before.as_slice(), line, b"\n", &log(4)].concat();
        for file in [packed(&raw, 6), packed(raw.strip_suffix(b"\n").unwrap(), 1)] {
            let done = read(&file).unwrap();
            assert!(done.lines() == [whole_lines(&before), whole_lines(&log(4))].concat());
            let [item] = done.end.unreadable.as_slice() else { panic!("{:?}", done.reasons()) };
            assert_eq!((item.reason, item.len), ("line_too_long", line.len() as u64));
            assert_eq!(item.sha256, <[u8; 32]>::from(Sha256::digest(line)));
            assert_eq!(item.bytes, line[..MAX_QUARANTINE_BYTES]);
        }
    }
    let endless = [log(70_000).as_slice(), &longer].concat();
    let done = read(&packed(&endless, 6)).unwrap();
    assert_eq!((done.reasons(), done.lines().len()), (vec![(70_001, "line_too_long")], 70_000));
}

#[test]
fn too_many_bad_lines_are_gathered() {
    let raw: String = (0..5000).map(|n| format!("bad {n}\n{{\"n\":{n}}}\n")).collect();
    let done = read(&packed(raw.as_bytes(), 6)).unwrap();
    assert_eq!((done.lines().len(), done.end.unreadable.len()), (5000, MAX_QUARANTINED_PER_FILE - 1));
    let last = done.end.unreadable.last().unwrap();
    assert_eq!((last.reason, last.line), ("too_many", 0));
    assert!(last.detail.contains("4002"), "{}", last.detail);
    assert!(last.bytes.starts_with(b"bad 998bad 999"));
}

#[test]
fn x15_bytes_that_are_not_utf8_are_marked_and_kept() {
    let raw = b"{\"subject\":\"\xff\xfe\",\"timestamp\":1767259800123,\"type\":\"receipt\"}\n{\"a\":1}\n";
    let done = read(&packed(raw, 6)).unwrap();
    let event = done.chunks[0].event(0, "", "", 0).unwrap();
    assert_eq!(
        (event.repaired, event.time, event.raw),
        (true, Some(1_767_259_800_123), &raw[..raw.len() - 9])
    );
    assert!(!done.chunks[0].event(1, "", "", 0).unwrap().repaired);
}

#[test]
fn twins_differ_and_are_the_same_each_time() {
    let raw = b"{\"a\":1}\n{\"a\":2}\n{\"a\":1}\n{\"a\":1}\n";
    let ids: Vec<_> = read(&packed(raw, 6)).unwrap().events().into_iter().map(|(_, id)| id).collect();
    let of = |n| EventId::of("acme", "siem.receipt", b"{\"a\":1}", n);
    assert_eq!((ids[0], ids[2], ids[3]), (of(0), of(1), of(2)));
    let again: Vec<_> = read(&packed(raw, 1)).unwrap().events().into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, again);
}

#[test]
fn x07_damage_is_told_at_the_end_with_the_file_s_own_hash() {
    let good = packed(&log(2000), 6);
    let mut checksum = good.clone();
    let place = checksum.len() - 6;
    checksum[place] ^= 1;
    let mut large = packed(&log(15_000), 0);
    large.pop();
    assert!(large.len() > HELD_FILE_BYTES);
    for (name, file) in [
        ("cut", good[..good.len() / 2].to_vec()),
        ("no trailer", good[..good.len() - 8].to_vec()),
        ("one byte", good[..1].to_vec()),
        ("checksum", checksum),
        ("garbage", [good.as_slice(), b"garbage"].concat()),
        ("zeros", [good.as_slice(), &[0; 16]].concat()),
        ("second member cut", [good.as_slice(), &good[..20]].concat()),
        ("magic", [&[0x1e], &good[1..]].concat()),
        ("binary", vec![0; 4000]),
        ("large", large),
    ] {
        let mut parser = parser();
        for piece in file.chunks(100) {
            parser.push(piece).unwrap();
        }
        let fault = parser.finish().unwrap_err();
        assert_eq!(fault.kind, Kind::GzipCorrupt, "{name}");
        assert_eq!(parser.sha256(), <[u8; 32]>::from(Sha256::digest(&file)), "{name}");
        let saved = salvage(&file);
        let [.., blob] = saved.end.unreadable.as_slice() else { panic!("{name}") };
        assert_eq!((blob.reason, blob.len, blob.line), ("gzip_corrupt", file.len() as u64, 0), "{name}");
        assert_eq!(blob.bytes, file[..file.len().min(MAX_QUARANTINE_BYTES)], "{name}");
        assert_eq!(blob.sha256, parser.sha256(), "{name}");
    }
    assert!(salvage(&[good.as_slice(), b"garbage"].concat()).lines() == whole_lines(&log(2000)));
    let half = salvage(&good[..good.len() / 2]).lines();
    assert!(half.len() > 800 && half == whole_lines(&log(2000))[..half.len()]);
    assert_eq!(salvage(&good).lines(), whole_lines(&log(2000)), "a good file loses nothing to salvage");
}

#[test]
fn x14_a_bomb_ends_the_file() {
    let bomb = packed(&vec![b' '; 40 << 20], 9);
    assert_eq!(read(&bomb).err().map(|fault| fault.kind), Some(Kind::Bomb));
    assert_eq!(salvage(&bomb).reasons(), [(0, "bomb")]);
    let honest: Vec<u8> = b"{\"timestamp\":1767259800123}\n".repeat(30_000);
    assert_eq!(
        read(&packed(&honest, 9)).unwrap().events().len(),
        30_000,
        "below the first MiB any ratio is fine"
    );
}

#[test]
fn html_where_gzip_is_due() {
    for page in [&b"<html><body>Log in</body></html>"[..], b"\r\n<!DOCTYPE html>"] {
        assert_eq!(read(page).err().map(|fault| fault.kind), Some(Kind::Html));
        assert_eq!(salvage(page).reasons(), [(0, "html")]);
    }
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => "\\{\"timestamp\":[0-9]{13},\"type\":\"[a-z ]{1,9}\",\"x\":\"[a-zà-ü]{0,30}\"\\}".prop_map(String::into_bytes),
        1 => Just(b"{\"twin\":1}".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => Just(Vec::new()),
    ];
    (proptest::collection::vec((line, any::<bool>()), 0..40), any::<bool>()).prop_map(|(lines, ended)| {
        let mut raw = Vec::new();
        for (line, windows) in lines {
            raw.extend_from_slice(&line);
            raw.extend_from_slice(if windows { b"\r\n" } else { b"\n" });
        }
        if !ended {
            raw.pop();
        }
        raw
    })
}

fn pieces<'a>(file: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> =
        cuts.iter().map(|cut| cut.index(file.len() + 1)).chain([0, file.len()]).collect();
    places.sort_unstable();
    places.windows(2).map(|pair| &file[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same(
        raw in lines(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12), member in 1_usize..500, gz in any::<bool>()
    ) {
        let file: Vec<u8> =
            if gz { raw.chunks(member).flat_map(|part| packed(part, 6)).collect() } else { raw };
        let (one, many) = (drive(parser(), std::iter::once(&file[..])), drive(parser(), pieces(&file, &cuts).into_iter()));
        match (one, many) {
            (Ok(one), Ok(many)) => {
                prop_assert_eq!(one.events(), many.events());
                prop_assert_eq!(one.end.unreadable, many.end.unreadable);
                prop_assert_eq!((one.end.listed, one.end.newest, one.end.bytes), (many.end.listed, many.end.newest, many.end.bytes));
                let gzips = |read: &[Chunk]| read.iter().map(|chunk| chunk.gzip.clone()).collect::<Vec<_>>();
                prop_assert_eq!(gzips(&one.chunks), gzips(&many.chunks));
            }
            // Unpacked bytes that begin with rubbish: which rubbish is seen first may depend on the cut.
            (Err(one), Err(many)) => prop_assert!(!gz && one.origin == many.origin),
            (one, many) => prop_assert!(!gz, "{:?} {:?}", one.err(), many.err()),
        }
    }

    #[test]
    fn salvage_never_loses_a_whole_line_before_the_damage(
        count in 1_usize..400, place in any::<prop::sample::Index>(), mask in 1_u8.., cut in any::<bool>(), level in 0_u32..9
    ) {
        let raw = log(count);
        let good = packed(&raw, level);
        let place = place.index(good.len());
        let mut file = good.clone();
        if cut { file.truncate(place) } else { file[place] ^= mask }
        // What an independent inflater gets out of the bytes before the damage is what must not be lost.
        let mut before = Vec::new();
        let _ = MultiGzDecoder::new(&good[..place]).read_to_end(&mut before);
        before.truncate(before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        let saved = salvage(&file);
        let due = whole_lines(&before);
        prop_assert!(saved.lines().len() >= due.len(), "{} of {}", saved.lines().len(), due.len());
        prop_assert_eq!(&saved.lines()[..due.len()], &due[..]);
        prop_assert!(cut && file.is_empty() || !saved.end.unreadable.is_empty() || saved.lines() == whole_lines(&raw));
    }

    #[test]
    fn any_bytes_are_read_or_refused(file in proptest::collection::vec(any::<u8>(), 0..400), as_gzip in any::<bool>()) {
        let file = if as_gzip { [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], &file[..]].concat() } else { file };
        let _ = read_in(&file, 13);
        let _ = salvage(&file);
    }
}
