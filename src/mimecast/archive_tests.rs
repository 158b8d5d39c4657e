//! Answers that are files: every kind of log is read, what is damaged is set aside, and nothing beside it is lost.

use std::io::{Cursor, Write};

use proptest::prelude::*;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::archive::{ArchiveEnd, Reading, read};
use super::catalogue::find;
use super::unreadable::Unreadable;
use crate::chunk::Chunk;
use crate::event::Severity;
use crate::fault::{Fault, Kind};
use crate::limits::MAX_ARCHIVE_MEMBERS;

macro_rules! fixture {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../tests/fixtures/mta/", $name)).as_slice())
    };
}

const FILES: [(&str, &[u8]); 11] = [
    fixture!("av_20260101083000123.json"),
    fixture!("delivery_20260101083000123.json"),
    fixture!("iep_20260101083000123.json"),
    fixture!("impersonation_20260101083000123.json"),
    fixture!("jrnl_20260101083000123.json"),
    fixture!("process_20260101083000123.json"),
    fixture!("receipt_20260101083000123.json"),
    fixture!("spameventthread_20260101083000123.json"),
    fixture!("ttp_ap_20260101083000123.json"),
    fixture!("ttp_url_20260101083000123.json"),
    fixture!("receipt_20260101083000123.siem"),
];

/// An event as it came out: type, whether it is JSON, text.
type Seen = (String, bool, String);

struct Out {
    chunks: Vec<Chunk>,
    end: ArchiveEnd,
}

impl Out {
    fn events(&self) -> Vec<Seen> {
        let each = |chunk: &Chunk| -> Vec<Seen> {
            (0..chunk.records.len())
                .map(|n| {
                    let event = chunk.event(n, "acme", "siem.mta", 0).unwrap();
                    (event.kind.to_owned(), event.json, String::from_utf8_lossy(event.raw).into_owned())
                })
                .collect()
        };
        self.chunks.iter().flat_map(each).collect()
    }
    fn reasons(&self) -> Vec<&'static str> {
        self.end.unreadable.iter().map(|item| item.reason).collect()
    }
}

fn open(body: &[u8], name: &str, how: Reading) -> Result<Out, Fault> {
    let mut chunks = Vec::new();
    let mut give = |chunk| {
        chunks.push(chunk);
        true
    };
    let end = read(Cursor::new(body), name, (find("siem.mta").unwrap(), "acme"), how, &mut give)?;
    chunks.extend(end.chunks.iter().cloned());
    assert_eq!(chunks.iter().map(|chunk| chunk.records.len() as u64).sum::<u64>(), end.readable);
    Ok(Out { chunks, end })
}

fn strict(body: &[u8]) -> Result<Out, Fault> {
    open(body, "", Reading::Strict)
}

fn zip(files: &[(impl AsRef<str>, impl AsRef<[u8]>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(name.as_ref(), SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_ref()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn member(records: &[String]) -> String {
    format!("{{\"type\":\"MTA\",\"data\":[{}]}}", records.join(","))
}

fn record(n: usize) -> String {
    format!("{{\"acc\":\"C0A0\",\"aCode\":\"{n}\",\"datetime\":\"2026-01-01T09:30:00+0100\"}}")
}

#[test]
fn a_zip_of_all_kinds_gives_every_record_its_own_bytes_and_the_type_of_its_file() {
    let out = strict(&zip(&FILES)).unwrap();
    let events = out.events();
    assert_eq!((events.len(), out.end.files, out.end.readable), (13, 11, 13));
    assert_eq!(out.reasons(), Vec::<&str>::new());
    let mut kinds: Vec<&str> = events.iter().map(|event| event.0.as_str()).collect();
    kinds.dedup();
    let all = [
        "av",
        "delivery",
        "iep",
        "impersonation",
        "jrnl",
        "process",
        "receipt",
        "spameventthread",
        "ttp_ap",
        "ttp_url",
        "receipt",
    ];
    assert_eq!(kinds, all);
    for (kind, json, text) in &events {
        let source = FILES.iter().filter(|(name, _)| name.starts_with(kind.as_str()));
        assert!(
            source.clone().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(text.as_str())),
            "{text}"
        );
        assert_eq!(*json, text.starts_with('{'), "{text}");
    }
    assert_eq!(out.chunks.len(), 2, "texts and lines never share a chunk");
    // the offset has no colon, and is the region's
    assert_eq!(out.end.newest.unwrap().rfc3339(), "2026-01-01T08:37:00.000Z");
    let grade = |kind: &str| {
        let chunk = &out.chunks[0];
        let at = (0..chunk.records.len()).find(|n| chunk.event(*n, "", "", 0).unwrap().kind == kind).unwrap();
        chunk.records[at].severity
    };
    assert_eq!(grade("av"), Severity::Warning);
    assert_eq!(grade("ttp_url"), Severity::Warning);
    assert_eq!(grade("process"), Severity::Notice);
    assert_eq!(grade("delivery"), Severity::Informational);
}

#[test]
fn a_single_file_is_read_by_the_name_it_is_sent_under() {
    for (name, bytes) in FILES {
        let out = open(bytes, name, Reading::Strict).unwrap();
        let kind = &out.events()[0].0;
        assert!(name.starts_with(kind.as_str()), "{name} {kind}");
        assert_eq!(out.reasons(), Vec::<&str>::new(), "{name}");
    }
    assert_eq!(open(FILES[0].1, "", Reading::Strict).unwrap().events()[0].0, "unknown");
    assert_eq!(open(FILES[10].1, "x.siem", Reading::Strict).unwrap().events().len(), 2);
}

/// Alert Logic's collector swallows what it cannot unzip and moves on; Mimecast's sample stops at it.
#[test]
fn elastic_5053_a_malformed_file_neither_stops_the_feed_nor_vanishes() {
    let good = member(&[record(1), record(2)]);
    let cut = &good.as_bytes()[..good.len() - 20];
    let out = strict(&zip(&[
        ("receipt_1.json", good.as_bytes()),
        ("receipt_2.json", b"".as_slice()),
        ("receipt_3.json", b"This is not JSON"),
        ("receipt_4.json", cut),
        ("receipt_5.json", b"<html>busy</html>"),
        ("receipt_6.json", b"{\"type\":\"MTA\"}"),
        ("receipt_7.json", b"{\"type\":\"MTA\",\"data\":[{\"a\":1},7,{\"b\":},{\"c\":3}]}"),
        ("receipt_8.json", good.as_bytes()),
    ]))
    .unwrap();
    let texts: Vec<String> = out.events().into_iter().map(|event| event.2).collect();
    let expected = [
        record(1),
        record(2),
        record(1),
        "{\"a\":1}".to_owned(),
        "{\"c\":3}".to_owned(),
        record(1),
        record(2),
    ];
    assert_eq!(texts, expected);
    let reasons = ["empty", "not_json", "cut_short", "html", "no_records", "not_an_object", "not_json"];
    assert_eq!(out.reasons(), reasons);
    let of = |reason: &str| out.end.unreadable.iter().find(|item| item.reason == reason).unwrap();
    let Unreadable { bytes, len, detail, .. } = of("not_json");
    assert_eq!((bytes.as_slice(), *len), (b"This is not JSON".as_slice(), 16));
    assert!(detail.contains("receipt_3.json"), "{detail}");
    assert!(record(2).as_bytes().starts_with(&of("cut_short").bytes) && !of("cut_short").bytes.is_empty());
}

/// The frame around the records is another one than documented, or missing: nothing of it is thrown away.
#[test]
fn records_without_their_frame_are_read_and_a_strange_frame_is_kept() {
    let lines = format!("{}\r\n{}\n", record(1), record(2));
    let renamed = br#"{"type":"MTA","records":[{"acc":"C1"}]}"#;
    let out = strict(&zip(&[
        ("receipt_1.json", lines.as_bytes()),
        ("receipt_2.json", renamed.as_slice()),
        ("receipt_3.json", br#"{"data":null}"#),
    ]))
    .unwrap();
    let texts: Vec<String> = out.events().into_iter().map(|event| event.2).collect();
    assert_eq!(texts, [record(1), record(2)]);
    assert_eq!(out.reasons(), ["no_records"; 2]);
    assert_eq!(out.end.unreadable[0].bytes, renamed);
    assert_eq!(out.end.unreadable[1].bytes, br#"{"data":null}"#);
}

/// Sentinel's 1.0 connector stopped for good at one bad member, and lost its memory over a backlog.
#[test]
fn total_griff_lock_a_damaged_member_costs_only_itself() {
    let packed =
        zip(&(0..20).map(|n| (format!("process_{n}.json"), member(&[record(n)]))).collect::<Vec<_>>());
    let at = packed.windows(14).position(|w| w == b"process_7.json").unwrap() + 20;
    let mut bent = packed.clone();
    bent[at] ^= 0xff;
    let out = strict(&bent).unwrap();
    assert_eq!(out.reasons(), ["member_damaged"]);
    let item = &out.end.unreadable[0];
    assert!(item.bytes.starts_with(b"PK\x03\x04") && item.detail.contains("process_7.json"), "{item:?}");
    let texts: Vec<String> = out.events().into_iter().map(|event| event.2).collect();
    assert!((0..20).filter(|n| *n != 7).all(|n| texts.contains(&record(n))), "{texts:?}");
}

#[test]
fn names_that_climb_or_repeat_are_only_names() {
    let out = strict(&zip(&[
        ("../../../../etc/cron.d/receipt_1.json", member(&[record(1)])),
        ("/etc/passwd", "acc=C0A0|a=1\r\nacc=C0A0|a=2\rno field\n".to_owned()),
        ("empty folder/", String::new()),
    ]))
    .unwrap();
    let kinds: Vec<String> = out.events().into_iter().map(|event| event.0).collect();
    assert_eq!(kinds, ["receipt", "unknown", "unknown"]);
    assert_eq!(out.reasons(), ["not_key_value"]);
    // the library's own index keeps the last of two members with one name
    let mut twice =
        zip(&[("receipt_1.json", member(&[record(1)])), ("receipt_2.json", member(&[record(2)]))]);
    while let Some(at) = twice.windows(9).position(|w| w == b"receipt_2") {
        twice[at + 8] = b'1';
    }
    assert_eq!(strict(&twice).unwrap().events().len(), 2);
}

/// Rapid7's tests call it a negative seek value: the reader is led to before the file.
#[test]
fn rapid7_negative_seek_an_archive_nobody_can_read_is_a_fault_and_gives_nothing() {
    let packed = zip(&[("receipt_1.json", member(&[record(1)])), ("receipt_2.json", member(&[record(2)]))]);
    let end = packed.len() - 22;
    let mut bad = Vec::new();
    bad.push(packed[..packed.len() - 30].to_vec());
    bad.push(packed[30..].to_vec());
    bad.push(b"PK\x03\x04 and then nothing of the kind".to_vec());
    let mut led_astray = packed.clone();
    led_astray[end + 16..end + 20].copy_from_slice(&[0xff; 4]);
    bad.push(led_astray);
    let mut second_entry_bent = packed.clone();
    let central: Vec<usize> =
        (0..packed.len()).filter(|at| packed[*at..].starts_with(b"PK\x01\x02")).collect();
    second_entry_bent[central[1]] = b'X';
    bad.push(second_entry_bent);
    bad.push(vec![0x00, 0x01, 0x02]);
    for (n, body) in bad.iter().enumerate() {
        let fault = match open(body, "logs.zip", Reading::Strict) {
            Err(fault) => fault,
            Ok(out) => panic!("{n}: {:?}", out.events()),
        };
        assert_eq!(fault.kind, Kind::GzipCorrupt, "{n}: {fault}");
        let again = open(body, "logs.zip", Reading::Strict).err().unwrap();
        assert_eq!(fault.detail, again.detail, "the supervisor counts the same words");
        let salvaged = open(body, "logs.zip", Reading::Salvage).unwrap();
        assert!(salvaged.end.damage.is_some());
        let item = salvaged.end.unreadable.last().unwrap();
        assert_eq!((item.reason, &item.bytes, item.len), ("archive_damaged", body, body.len() as u64), "{n}");
    }
    assert_eq!(open(b"<html>", "", Reading::Strict).err().unwrap().kind, Kind::Html);
    assert_eq!(open(b"", "", Reading::Strict).err().unwrap().kind, Kind::Malformed);
    assert_eq!(open(b"{\"data\":[]}", "logs.zip", Reading::Strict).err().unwrap().kind, Kind::GzipCorrupt);
    assert_eq!(strict(&zip(&[("", ""); 0])).unwrap().end.files, 0);
}

#[test]
fn bombs_are_cut_off() {
    let zeros = vec![b' '; 8 << 20];
    let out =
        strict(&zip(&[("receipt_1.json", zeros), ("receipt_2.json", member(&[record(1)]).into_bytes())]))
            .unwrap();
    assert_eq!((out.reasons(), out.events().len()), (vec!["bomb"], 1));
    assert!(out.end.unreadable[0].len < 64 << 10, "the packed bytes are the evidence");
    let many: Vec<(String, &str)> = (0..=MAX_ARCHIVE_MEMBERS).map(|n| (n.to_string(), "")).collect();
    let one = zip(&many);
    assert_eq!(strict(&one).err().unwrap().kind, Kind::Bomb);
}

#[test]
fn a_large_answer_leaves_in_chunks_and_stops_when_nobody_takes_them() {
    let records: Vec<String> = (0..40_000).map(record).collect();
    let body = zip(&[("receipt_1.json", member(&records)), ("receipt_2.siem", "acc=C0A0|a=1\n".repeat(9))]);
    let out = strict(&body).unwrap();
    assert_eq!(out.end.readable, 40_009);
    assert!(out.chunks.len() > 2 && out.chunks.iter().all(|chunk| chunk.raw.len() < 3 << 20));
    let mut given = 0;
    let mut give = |_| {
        given += 1;
        false
    };
    let feed = find("siem.mta").unwrap();
    let fault = read(Cursor::new(&body), "", (feed, "acme"), Reading::Salvage, &mut give).unwrap_err();
    assert_eq!((fault.kind, given), (Kind::Interrupted, 1));
}

#[test]
fn a_bundle_gives_its_objects() {
    let bundle = include_bytes!("../../tests/fixtures/mta/threat-feed-stix.json");
    let feed = find("threat-feed.grid").unwrap();
    let end = read(Cursor::new(bundle), "", (feed, "acme"), Reading::Strict, &mut |_| true).unwrap();
    let chunk = &end.chunks[0];
    let kinds: Vec<&str> = (0..3).map(|n| chunk.event(n, "acme", feed.name, 0).unwrap().kind).collect();
    assert_eq!((end.readable, kinds), (3, vec!["indicator", "malware", "relationship"]));
    assert_eq!(end.newest.unwrap().rfc3339(), "2026-01-01T08:00:00.000Z");
    let alone = br#"{"type":"indicator","id":"indicator--1","labels":["a"]} {"indicators":[1]}"#;
    let end = read(Cursor::new(alone), "", (feed, "acme"), Reading::Strict, &mut |_| true).unwrap();
    assert_eq!((end.readable, end.unreadable.len()), (1, 1), "nothing is thrown away");
    assert_eq!(end.unreadable[0].bytes, br#"{"indicators":[1]}"#);
    let empty = br#"{"type":"bundle","id":"bundle--1","spec_version":"2.0"}"#;
    let end = read(Cursor::new(empty), "", (feed, "acme"), Reading::Strict, &mut |_| true).unwrap();
    assert_eq!((end.readable, end.unreadable.len()), (0, 0), "a bundle may have none");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Either the directory is damaged and nothing is given, or every member that is whole is.
    #[test]
    fn corruption_never_costs_a_member_it_did_not_touch(
        sizes in proptest::collection::vec(1_usize..40, 1..8),
        bends in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let mut next = 0;
        let files: Vec<(String, Vec<String>)> = sizes.iter().enumerate().map(|(n, size)| {
            next += size;
            (format!("receipt_{n}.json"), (next - size..next).map(record).collect())
        }).collect();
        let packed = zip(&files.iter().map(|(name, records)| (name.clone(), member(records))).collect::<Vec<_>>());
        let starts: Vec<usize> = (0..packed.len()).filter(|at| packed[*at..].starts_with(b"PK\x03\x04")).collect();
        prop_assume!(starts.len() == files.len());
        let central = (0..packed.len()).find(|at| packed[*at..].starts_with(b"PK\x01\x02")).unwrap();
        let mut bent = packed.clone();
        let mut touched = vec![false; files.len()];
        for (at, by) in bends {
            let at = at % bent.len();
            bent[at] ^= by;
            if at < central {
                touched[starts.partition_point(|start| *start <= at) - 1] = true;
            } else {
                touched.fill(true); // any directory entry may mean any member
            }
        }
        if let Ok(out) = strict(&bent) {
            let texts: std::collections::HashSet<String> = out.events().into_iter().map(|event| event.2).collect();
            for ((name, records), touched) in files.iter().zip(&touched) {
                if !touched {
                    prop_assert!(records.iter().all(|record| texts.contains(record)), "{name}");
                }
            }
            prop_assert!(out.end.readable + out.end.unreadable.len() as u64 > 0);
        }
        prop_assert!(open(&bent, "", Reading::Salvage).is_ok());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400), zipped in any::<bool>()) {
        let body = if zipped { zip(&[("receipt_1.json", &bytes)]) } else { bytes };
        let _ = strict(&body);
        prop_assert!(open(&body, "", Reading::Salvage).is_ok());
    }
}
