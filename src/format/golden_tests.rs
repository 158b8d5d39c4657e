//! Every type of record in every format, as files to be read: `tests/fixtures/format/FEED/events.tsv` holds
//! records (type, severity, record), beside it stands what each format makes of them. `BLESS=1` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::event::{EventId, Severity};

/// Every mapped format: file name, body.
pub const FORMATS: [(&str, Body); 6] = [
    ("cef.txt", Body::Cef),
    ("leef1.txt", Body::Leef1),
    ("leef.txt", Body::Leef2),
    ("ecs.ndjson", Body::Ecs),
    ("ocsf.ndjson", Body::Ocsf),
    ("gelf.ndjson", Body::Gelf),
];

/// Feeds that have samples, with their folder.
pub fn feeds() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format");
    let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut feeds: Vec<_> =
        entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path)).collect();
    feeds.sort();
    feeds
}

/// Hands over each sample of `feed`.
pub fn each_event(feed: &str, folder: &Path, mut take: impl FnMut(&Event<'_>)) {
    let samples = fs::read_to_string(folder.join("events.tsv")).unwrap();
    for (ordinal, line) in (0..).zip(samples.lines()) {
        let mut columns = line.splitn(3, '\t');
        let (kind, severity, raw) =
            (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
        take(&Event {
            id: EventId::of("acme", feed, raw.as_bytes(), ordinal),
            tenant: "acme",
            feed,
            kind,
            time: Some(1_767_259_800_123 + i64::from(ordinal)),
            collected: 1_767_259_890_000,
            severity: match severity {
                "warning" => Severity::Warning,
                "notice" => Severity::Notice,
                _ => Severity::Informational,
            },
            repaired: false,
            json: raw.starts_with('{'),
            raw: raw.as_bytes(),
        });
    }
}

/// What `body` makes of the samples of a feed, one line each.
pub fn made(body: Body, feed: &str, folder: &Path) -> String {
    let mut encoder = Encoder::new(&Shape { body, wire: Wire::Line }).on_host("collector-1");
    let mut out = Vec::new();
    each_event(feed, folder, |event| _ = encoder.encode(event, &mut out));
    String::from_utf8(out).unwrap()
}

#[test]
fn every_feed_in_every_format_is_as_it_was() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut changed = Vec::new();
    for (feed, folder) in feeds() {
        for (name, body) in FORMATS {
            let (path, now) = (folder.join(name), made(body, &feed, &folder));
            if bless {
                fs::write(&path, &now).unwrap();
            } else if fs::read_to_string(&path).unwrap_or_default() != now {
                changed.push(path.display().to_string());
            }
        }
    }
    assert!(
        changed.is_empty(),
        "differ; read the change, then set BLESS=1 to accept it:\n{}",
        changed.join("\n")
    );
}

#[test]
fn every_type_has_a_sample() {
    let mut seen = Vec::new();
    for (feed, folder) in feeds() {
        each_event(&feed, &folder, |event| seen.push((kind::Type::of(event), event.feed == "siem.mta")));
    }
    for row in kind::ROWS {
        assert!(seen.contains(&(row.kind, row.kind == kind::Type::Other)), "{row:?} has no sample");
        assert!(row.mta.is_empty() || seen.contains(&(row.kind, true)), "{row:?} has no sample of API 1.0");
    }
}

#[test]
fn every_feed_of_the_catalogue_is_a_type() {
    for feed in crate::mimecast::catalogue::FEEDS {
        let known = feed.name == "siem.mta" || kind::ROWS.iter().any(|row| row.feed == feed.name);
        assert!(known, "{} would go out as an event of no type", feed.name);
    }
}

/// A second event of another type leaves nothing of the first behind.
#[test]
fn nothing_stays_from_one_event_to_the_next() {
    for (_, body) in FORMATS {
        let shape = Shape { body, wire: Wire::Line };
        let mut kept = Encoder::new(&shape);
        for (feed, folder) in feeds() {
            each_event(&feed, &folder, |event| {
                let (mut again, mut fresh) = (Vec::new(), Vec::new());
                kept.encode(event, &mut again);
                Encoder::new(&shape).encode(event, &mut fresh);
                assert_eq!(again, fresh);
            });
        }
    }
}
