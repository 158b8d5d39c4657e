//! The rules of the house as data, and one test that reads every file and names each breach with its line.
//! A rule that turns out wrong is changed here, in the open, and not worked around.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

#[path = "tidy/reading.rs"]
mod reading;
#[path = "tidy/rules.rs"]
mod rules;

use reading::{parse, read_all, tracked};
use rules::{Breaches, breaches, machine_text};

/// Used by all, uses nobody but itself.
pub const VOCABULARY: &[&str] = &[
    "apart",
    "chunk",
    "clock",
    "cursor",
    "event",
    "fault",
    "gzip",
    "limits",
    "names",
    "secret",
    "setup_error",
];

/// Which rooms a room may use: `room` or `room::module`. The vocabulary is open to all.
pub const ARROWS: &[(&str, &[&str])] = &[
    ("vocabulary", &[]),
    ("format", &[]),
    // whether a 2xx carries a failure is read in one place, whoever answered; only a sink sees that a long send makes progress
    ("sink", &["format", "dialect", "telemetry::pulse"]),
    ("dialect", &[]),
    ("mimecast", &["dialect"]),
    ("supervisor", &[]),
    ("store", &[]),
    ("telemetry", &["supervisor"]),
    ("scheduler", &["mimecast", "dialect", "supervisor", "store", "telemetry"]),
    ("delivery", &["sink", "format", "store", "supervisor", "telemetry"]),
    ("admin", &["telemetry"]),
    // tells people over HTTP: the book's changes, the sinks' TLS and reading of answers, what is due in the store
    ("alerting", &["supervisor", "sink", "store", "telemetry"]),
    // what `[recovery]` may change is the recovery table's own business; a name with places is read once
    ("config", &["mimecast::catalogue", "mimecast::feed", "supervisor::overrides", "format::template"]),
    ("signals", &[]),
    ("daemon", &["*"]),
    ("cli", &["*"]),
    ("root", &["*"]),
    // A second opinion on Mimecast shares no code with the first.
    ("simulator", &["limits", "clock"]),
];

/// Files and folders without `async` and without a clock, and what inside them is excepted.
pub const PURE: &[&str] = &["supervisor/", "format/", "dialect/", "scheduler/decide", "mimecast/"];
pub const NOT_PURE: &[&str] = &["mimecast/client"];
/// Statuses that mean a reaction, by number and by name in the `http` crate.
pub const STATUSES: &[&str] = &[
    "401",
    "403",
    "418",
    "422",
    "429",
    "BAD_REQUEST",
    "UNAUTHORIZED",
    "FORBIDDEN",
    "IM_A_TEAPOT",
    "UNPROCESSABLE_ENTITY",
    "TOO_MANY_REQUESTS",
];
pub const STATUSES_ALLOWED: &[&str] = &["supervisor/", "dialect/", "bin/"];
/// The supervisor owns the word; these are others' words for what they tell us.
pub const THEIR_WORDS: &[&str] = &["retry_after", "retryafter", "retryable", "retry-after", "is_retryable"];
pub const RETRY_ALLOWED: &[&str] = &["supervisor/", "dialect/", "cli/", "cli.rs", "bin/"];
// a thread for one piece of work that may hang is no task: it has an end, or the process's
pub const SPAWN_ALLOWED: &[&str] = &["daemon.rs", "daemon/", "bin/", "main.rs", "apart.rs"];
pub const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "types", "helpers", "helper", "misc"];

pub const MAX_FILE_LINES: usize = 500;
pub const MAX_FN_LINES: usize = 70;
pub const USUAL_FN_LINES: usize = 40;
/// Share of functions that must keep to [`USUAL_FN_LINES`], in percent.
pub const USUAL_SHARE: usize = 95;
/// Share of public items with a doc comment, in percent.
pub const DOCUMENTED_SHARE: usize = 90;
/// Names that every reader of Rust knows the meaning of.
pub const SELF_EXPLAINING: &[&str] = &["new", "as_str", "len", "is_empty", "serialize", "deserialize"];

/// Text that belongs to one machine, in pieces so that this file does not contain it.
pub const MACHINE_TEXT: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!(".carg", "o/registry"),
    concat!("index.crates", ".io"),
    concat!("deb.debi", "an.org"),
    concat!("pypi", ".org"),
    concat!("registry.npm", "js.org"),
];

#[test]
fn the_house_is_tidy() {
    let paths = tracked();
    let mut out = Breaches(breaches(&read_all(&paths)));
    for path in &paths {
        // what is not text has no lines to look at
        if let Ok(text) = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)) {
            machine_text(path, &text, &mut out);
        }
    }
    let mut said = String::new();
    for breach in &out.0 {
        writeln!(said, "  {breach}").expect("a String takes every write");
    }
    assert!(out.0.is_empty(), "{} breaches:\n{said}", out.0.len());
}

/// Each rule sees a breach planted for it, and nothing in the same code where it is allowed.
#[test]
fn every_rule_bites() {
    let planted: &[(&str, &str, &str)] = &[
        ("src/format/a.rs", "use crate::store::Store;", "format may not use store"),
        ("src/sink/a.rs", "use crate::{clock::Time, format::{x, y}, mimecast};", "sink may not use mimecast"),
        ("src/sink/http/a.rs", "use super::super::super::store;", "sink may not use store"),
        ("src/config/a.rs", "fn f() { m!(crate::mimecast::client::go()) }", "config may not use mimecast"),
        ("src/bin/mimecast-simulator/a.rs", "use mimecollectd::dialect;", "simulator may not use dialect"),
        ("src/attic/a.rs", "fn f() {}", "no row in ARROWS"),
        ("src/supervisor/a.rs", "async fn f() {}", "async in a pure room"),
        ("src/mimecast/page.rs", "fn f() { tokio::time::now() }", "`tokio` in a pure room"),
        ("src/cli/a.rs", "fn f() { sqlx::query(\"select\") }", "only store speaks SQL"),
        ("src/sink/a.rs", "fn f() { tokio::spawn(x); }", "only the daemon spawns"),
        ("src/sink/a.rs", "fn f(s: u16) -> bool { s == 429_u16 }", "status 429 named"),
        ("src/sink/a.rs", "fn f() { let retry_count = 0; }", "supervisor's to say"),
        ("src/sink/a.rs", "fn f() { say(\"will retry\") }", "supervisor's to say"),
        ("src/sink/a.rs", "#[test] #[ignore] fn f() {}", "ignored test"),
        ("tests/it/a.rs", "fn f() { std::thread::sleep(x) }", "a test that sleeps"),
        ("src/sink/utils.rs", "fn f() {}", "says nothing"),
        ("src/sink/a.rs", "pub fn f() {}", "no doc comment"),
    ];
    for (path, code, expected) in planted {
        let found = breaches(&[parse(path, (*code).to_owned())]);
        assert!(found.iter().any(|breach| breach.contains(expected)), "{path}: {code}: {found:?}");
    }
    let long = |lines| format!("fn f() {{\n{}}}\n", "g();\n".repeat(lines));
    assert!(
        breaches(&[parse("src/sink/a.rs", long(71))]).iter().any(|b| b.contains("73 lines, 70 are allowed"))
    );
    assert!(breaches(&[parse("src/sink/a.rs", long(501))]).iter().any(|b| b.contains("lines in one file")));
    assert!(breaches(&[parse("src/sink/a.rs", long(45))]).iter().any(|b| b.contains("exceed 40 lines")));
    let mut out = Breaches::default();
    machine_text(
        "a.md",
        &format!("see {}x\nhttps://example.com{}x", MACHINE_TEXT[0], MACHINE_TEXT[0]),
        &mut out,
    );
    assert_eq!(out.0.len(), 1, "{:?}", out.0);

    let allowed = "//! We retry.\n/// Retry.\nfn f(fault: &crate::fault::Fault) { g(fault.retry_after, crate::format::x); c.retry(reqwest::retry::never()); }\n\
                   #[cfg(test)] mod tests { use crate::store; #[tokio::test] async fn t() { tokio::spawn(x); } }";
    assert_eq!(breaches(&[parse("src/sink/a.rs", allowed.to_owned())]), Vec::<String>::new());
}
