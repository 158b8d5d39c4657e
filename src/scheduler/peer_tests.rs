//! What other collectors of Mimecast's events lost, doubled or locked, one test each, named after the thread or the
//! function that shows it. `tests/fixtures/peers.tsv` lists every such loss with the tests that cover it here.

use std::io::Write;
use std::time::Duration;

use super::decide::{By, Leads, Outcome, State, Step, decide};
use crate::chunk::{Chunk, Record};
use crate::clock::{Clock, Moment, Time};
use crate::cursor::{Cursor, FeedKey, Span};
use crate::event::{EventId, Severity};
use crate::fault::{Code, Fault, Kind, Origin};
use crate::mimecast::catalogue::find;
use crate::mimecast::page::{self, Leads as PageLeads, Listing, Page};
use crate::mimecast::payload::{FileEnd, FileParser};
use crate::mimecast::position::Position;
use crate::store::{Committed, Dedupe, Intake, Lane, Options, Store};
use crate::supervisor::backoff::{Overrides, Pace};
use crate::supervisor::gate::{Gate, Permit};

const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
const FEED: &str = "siem.url-protect";

fn pace() -> Pace {
    Pace::new(Duration::from_secs(300), false, Overrides::default())
}

fn said(origin: Origin, status: u16, code: &str) -> Fault {
    let mut fault = Fault::new(origin, Kind::Status(status), "same words");
    (fault.code, fault.attributed) = (Code::new(code), true);
    fault
}

// --- a page of files --------------------------------------------------------------------------------------

/// A feed with a page of three files in hand.
struct Reader {
    state: State,
    now: Time,
}

impl Reader {
    fn new() -> Reader {
        let mut reader = Reader { state: State::default(), now: Time(0) };
        reader.hears(Outcome::Ready);
        assert_eq!(reader.hears(Outcome::Ready), Step::Ask);
        reader
    }
    fn hears(&mut self, outcome: Outcome) -> Step {
        let decision = decide(self.state.clone(), outcome, Moment { now: self.now, dice: 0 }, &pace());
        self.state = decision.state;
        decision.step
    }
    fn listed(&mut self, files: u16) -> Step {
        self.hears(Outcome::Listed { files, leads: Leads::Forward, caught_up: false })
    }
    /// A day in which the second of three files fails with `fault` each time; whether the page was ever left.
    fn a_day_of(&mut self, fault: &Fault) -> bool {
        let mut step = self.listed(3);
        while self.now < Time::from_secs(86_400) {
            self.now = self.now.plus(Duration::from_millis(50));
            step = match step {
                // one was read, and the store knows it
                Step::Ask => self.listed(2),
                Step::Take { .. } if self.now < Time(150) => self.hears(Outcome::Took),
                Step::Take { .. } => self.hears(Outcome::Fault(fault.clone())),
                Step::Wait { until, .. } => {
                    self.now = self.now.max(until);
                    self.hears(Outcome::Ready)
                }
                Step::Aside => self.hears(Outcome::Nothing),
                Step::AwaitGate => self.hears(Outcome::Shut { until: None, by: By::Gate }),
                Step::GiveUp { .. } => return false, // with a gap, in the open
                Step::Turn => return true,
                Step::Refresh => self.hears(Outcome::Refreshed),
                Step::Rewind => self.hears(Outcome::Rewound),
                Step::Hold { .. } | Step::Stop => return false,
            };
        }
        false
    }
}

/// The CEL program leaves a file out whose link answers 403 or 404.
#[test]
fn elastic_siem_cel_a_refused_link_is_never_skipped() {
    for status in [403, 404] {
        assert!(!Reader::new().a_day_of(&said(Origin::Download, status, "RequestExpired")), "{status}");
    }
}

/// `mimecast_cg_to_sentinel.py` keeps a page as done when at least one of its files was delivered.
#[test]
fn sentinel_cg_one_good_file_does_not_settle_its_page() {
    for kind in [Kind::Connect, Kind::Status(500), Kind::Interrupted, Kind::GzipCorrupt, Kind::Html] {
        let fault = Fault::new(Origin::Download, kind, "same words");
        assert!(!Reader::new().a_day_of(&fault), "{fault}");
    }
}

/// `mimecast.go` logs a failed file and moves on: here the same file is next, whatever failed.
#[test]
fn gravwell_mc_a_failed_file_is_not_skipped() {
    let mut reader = Reader::new();
    assert_eq!(reader.listed(3), Step::Take { file: 0 });
    assert_eq!(reader.hears(Outcome::Took), Step::Take { file: 1 });
    let mut step = reader.hears(Outcome::Fault(Fault::new(Origin::Download, Kind::Timeout, "same words")));
    while let Step::Wait { until, .. } = step {
        reader.now = until;
        step = reader.hears(Outcome::Ready);
    }
    assert_eq!(step, Step::Take { file: 1 });
}

/// Pull requests 9721 and 9722: the position was kept at the end of a run, so a run cut short kept nothing. Here each
/// file moves it.
#[test]
fn sentinel_9721_each_file_moves_the_position() {
    let listing =
        listing(&at(""), r#"{"value":[{"url":"https://x/1"},{"url":"https://x/2"}],"@nextPage":"n"}"#);
    let after_one = listing.position.with_done(listing.files[0].mark());
    let again = open(&after_one.cursor());
    assert!(again.is_done(listing.files[0].mark()) && !again.is_done(listing.files[1].mark()));
}

fn open(cursor: &Cursor) -> Position {
    Position::open(find(FEED).unwrap(), cursor, NOW, Duration::from_secs(3_600)).unwrap()
}
fn at(token: &str) -> Position {
    let token = if token.is_empty() { String::new() } else { format!(r#","token":"{token}""#) };
    open(&Cursor(format!(r#"{{"v":1,"batch":{{"since":"2026-01-01"{token}}}}}"#)))
}
fn listing(position: &Position, body: &str) -> Listing {
    match page::read(find(FEED).unwrap(), "acme", position, body.as_bytes(), NOW).unwrap() {
        Page::Files(listing) => listing,
        other => panic!("{other:?}"),
    }
}
fn token(listing: &Listing) -> Option<String> {
    match &listing.leads {
        PageLeads::Forward(to) => Some(to.0.clone()),
        PageLeads::Same | PageLeads::Missing => None,
    }
}

/// Pull request 45802: an empty answer's new token was thrown away, and after a quiet night the old one was no good.
/// The CEL program of Elastic drops the token altogether then, and starts without token or date.
#[test]
fn xsiam_45802_quiet_period_keeps_token() {
    let mut position = at("evening");
    for hour in 0..8 {
        let said = format!(r#"{{"value":[],"@nextPage":"hour {hour}","isCaughtUp":true}}"#);
        let empty = listing(&position, &said);
        assert!(empty.caught_up && empty.files.is_empty());
        position = open(&Cursor(token(&empty).expect("the new token is kept")));
        let same = listing(&position, &said);
        assert_eq!((token(&same), same.position.cursor()), (None, position.cursor()), "unchanged: stay");
        let none = listing(&position, r#"{"value":[],"isCaughtUp":true}"#);
        assert_eq!((token(&none), none.position.cursor()), (None, position.cursor()), "none given: stay");
    }
    assert!(position.cursor().0.contains(r#""token":"hour 7""#));
    let burst = listing(&position, r#"{"value":[{"url":"https://x/1"}],"@nextPage":"burst"}"#);
    assert_eq!((burst.files.len(), burst.caught_up), (1, false));
}

/// Version 5.3.10 of the plugin: the token stuck at a page that had no file.
#[test]
fn rapid7_5_3_10_a_page_without_a_file_leads_on() {
    let page = listing(&at("stuck"), r#"{"value":[],"@nextPage":"beyond","isCaughtUp":false}"#);
    assert!(!page.caught_up, "a page without files is not the end");
    assert!(token(&page).unwrap().contains("beyond"));
    let mut reader = Reader::new();
    assert_eq!(reader.listed(0), Step::Turn);
    assert_eq!(reader.hears(Outcome::Turned), Step::Ask);
}

// --- a file -----------------------------------------------------------------------------------------------

fn read(lines: &str) -> (Vec<String>, FileEnd) {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines.as_bytes()).unwrap();
    let mut parser = FileParser::new(find(FEED).unwrap(), "acme", "b/f.gz");
    parser.push(&gzip.finish().unwrap()).unwrap();
    parser.close();
    let mut chunks: Vec<Chunk> = std::iter::from_fn(|| parser.take_sealed()).collect();
    let mut end = parser.finish().unwrap();
    chunks.extend(end.chunk.take());
    let text =
        |chunk: &Chunk, n| String::from_utf8(chunk.event(n, "acme", FEED, 0).unwrap().raw.to_vec()).unwrap();
    let all = chunks.iter().flat_map(|chunk| (0..chunk.records.len()).map(move |n| text(chunk, n)));
    (all.collect(), end)
}

/// The scanner of `mimecast.go` takes lines of 64 KiB and does not say when one was longer: the file ends there.
#[test]
fn gravwell_scanner_a_line_over_64_kib_does_not_end_its_file() {
    let long = format!(r#"{{"n":1,"subject":"{}"}}"#, "x".repeat(70 << 10));
    let (read, end) = read(&format!("{{\"n\":0}}\n{long}\n{{\"n\":2}}\n"));
    assert_eq!((read.len(), end.unreadable.len()), (3, 0));
    assert_eq!((read[1].as_str(), read[2].as_str()), (long.as_str(), r#"{"n":2}"#));
}

/// `api.py`: a line that is no JSON abandons the rest of its file, and the page counts as read.
#[test]
fn rapid7_api_a_bad_line_costs_only_itself() {
    let (read, end) = read("{\"n\":0}\n{\"n\":1,\n{\"n\":2}\n");
    assert_eq!(read, [r#"{"n":0}"#, r#"{"n":2}"#]);
    assert_eq!(end.unreadable.iter().map(|item| item.line).collect::<Vec<_>>(), [2], "kept, and said where");
}

/// `mimecast_cg_to_sentinel.py` counts an empty file as failed, and asks for a page of empty files for ever.
#[test]
fn sentinel_cg_an_empty_file_is_read() {
    let (lines, end) = read("");
    assert_eq!((lines.len(), end.unreadable.len(), end.listed), (0, 0, 0));
    let mut reader = Reader::new();
    reader.listed(1);
    assert_eq!(reader.hears(Outcome::Took), Step::Turn);
}

/// The bundled helper of the connector: an event without `aggregateId` raises KeyError and blocks its type.
#[test]
fn sekoia_helpers_an_event_without_aggregate_id_blocks_nothing() {
    let (read, end) = read("{\"type\":\"url protect\"}\n{}\n{\"aggregateId\":\"a\"}\n");
    assert_eq!((read.len(), end.unreadable.len()), (3, 0));
}

// --- repeats ----------------------------------------------------------------------------------------------

/// A store that pages are committed to, one after the other.
struct Book {
    dir: tempfile::TempDir,
    store: Store,
    steps: u64,
}

impl Book {
    async fn new() -> Book {
        let dir = tempfile::tempdir().unwrap();
        let store = Book::open(dir.path()).await;
        store.register_feed(&Book::key()).await.unwrap();
        Book { dir, store, steps: 0 }
    }
    fn key() -> FeedKey {
        FeedKey { tenant: "acme".into(), feed: "ttp.url" }
    }
    async fn open(dir: &std::path::Path) -> Store {
        let options = Options::new(1 << 30, Duration::from_secs(60), Clock::manual(NOW));
        Store::open(dir, &Options { ballast: 0, ..options }).await.unwrap()
    }
    async fn restarts(&mut self) {
        let elsewhere = tempfile::tempdir().unwrap();
        let other = Book::open(elsewhere.path()).await;
        drop(std::mem::replace(&mut self.store, other));
        self.store = Book::open(self.dir.path()).await;
    }
    async fn page(&mut self, pass: u64, lines: &[&str]) -> Committed {
        let name = |n: u64| if n == 0 { String::new() } else { format!("c{n}") };
        let span = Span { from: Cursor(name(self.steps)), to: Cursor(name(self.steps + 1)) };
        self.steps += 1;
        let intake = Intake {
            feed: Book::key(),
            span,
            chunks: vec![Book::chunk(lines)],
            staged: Vec::new(),
            quarantined: Vec::new(),
            gaps: Vec::new(),
            listed: lines.len() as u64,
            dedupe: Dedupe::Ids { pass, horizon: Time(0) },
            collected: NOW,
            newest: None,
            lane: Lane::Main,
            complete: None,
            file: None,
            closes: Vec::new(),
        };
        self.store.commit(intake).await.unwrap()
    }
    fn chunk(lines: &[&str]) -> Chunk {
        let (mut raw, mut records) = (Vec::new(), Vec::new());
        for line in lines {
            records.push(Record {
                offset: raw.len() as u32,
                len: line.len() as u32,
                id: EventId::of("acme", "ttp.url", line.as_bytes(), 0),
                time: None,
                kind: 0,
                severity: Severity::Notice,
                repaired: false,
            });
            raw.extend_from_slice(line.as_bytes());
            raw.push(b'\n');
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&raw).unwrap();
        let (gzip, kinds) = (gzip.finish().unwrap().into(), vec!["ttp_url".into()]);
        Chunk { raw: raw.into(), gzip, records, kinds, json: true, source: "page".into() }
    }
}

/// Six fields decide there, and two clicks on two links of one mail are one event.
#[tokio::test]
async fn sekoia_helpers_two_clicks_on_one_mail_are_two_events() {
    let mut book = Book::new().await;
    let click =
        |url: &str| format!(r#"{{"messageId":"<m@x>","userEmailAddress":"a@x","date":"d","url":"{url}"}}"#);
    let (one, two) = (click("https://one"), click("https://two"));
    let done = book.page(1, &[&one, &two]).await;
    assert_eq!((done.stored, done.duplicate), (2, 0));
}

/// The hashes of what was recognised are thrown away there: the same page four times gave 5, 0, 5 and 0 events.
#[tokio::test]
async fn rapid7_task_the_same_page_four_times_is_five_events() {
    let mut book = Book::new().await;
    let lines = ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}", "{\"n\":4}", "{\"n\":5}"];
    let mut stored = Vec::new();
    for pass in 1..=4 {
        stored.push(book.page(pass, &lines).await.stored);
    }
    assert_eq!(stored, [5, 0, 0, 0]);
}

/// Issue 9048, and the same design in the present pipeline: events that agree in message and time but not in the
/// recipient collide, and the second is rejected.
#[tokio::test]
async fn elastic_9048_one_mail_to_two_recipients_is_two_events() {
    let mut book = Book::new().await;
    let to = |who: &str| format!(r#"{{"messageId":"<m@x>","timestamp":1767259800000,"recipients":"{who}"}}"#);
    let (a, b) = (to("a@x"), to("b@x"));
    assert_eq!(book.page(1, &[&a, &b, &a]).await.stored, 3, "and a true twin is an event too");
    assert_eq!(book.page(2, &[&a, &b, &a]).await.stored, 0);
}

/// Pull requests 1323 to 1360: the memory of repeats held a thousand entries and was written when the connector
/// stopped cleanly.
#[tokio::test]
async fn sekoia_1347_what_was_seen_is_known_after_a_restart_however_much_it_is() {
    let mut book = Book::new().await;
    let lines: Vec<String> = (0..3_000).map(|n| format!("{{\"n\":{n}}}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(book.page(1, &lines).await.stored, 3_000);
    book.restarts().await;
    let again = book.page(2, &lines).await;
    assert_eq!((again.stored, again.duplicate), (0, 3_000));
}

/// Issues 5010 and 5293: while nothing new happens, the newest event comes again every five minutes.
#[tokio::test]
async fn elastic_5010_while_nothing_happens_nothing_comes_again() {
    let mut book = Book::new().await;
    book.page(1, &["{\"newest\":true}"]).await;
    for poll in 2..20 {
        assert_eq!(book.page(poll, &["{\"newest\":true}"]).await.stored, 0, "poll {poll}");
    }
}

// --- tokens, waits ----------------------------------------------------------------------------------------

fn moment(secs: i64) -> Moment {
    Moment { now: Time::from_secs(secs), dice: 0 }
}
/// A gate that lets calls through.
fn open_gate() -> Gate {
    let mut gate = Gate::new("f");
    gate.begin_login(moment(0), "f", &pace()).unwrap();
    gate.login_ok(Time(0), Duration::from_secs(1_800));
    gate
}

/// The lock around the token was never given back after a 503: the second call hung for good.
#[test]
fn sekoia_token_lock_after_one_503() {
    let mut gate = Gate::new("f");
    gate.begin_login(moment(0), "f", &pace()).unwrap();
    gate.login_fault(&said(Origin::Token, 503, ""), moment(1), &pace());
    let Permit::Closed(closed) = gate.permit(Time::from_secs(2)) else { panic!("it waits first") };
    let until = closed.until.expect("it goes on by itself");
    assert!(until <= Time::from_secs(1_800), "{until:?}");
    assert!(matches!(gate.permit(until), Permit::Login));
    gate.begin_login(Moment { now: until, dice: 0 }, "f", &pace()).unwrap();
    gate.login_ok(until, Duration::from_secs(1_800));
    assert!(matches!(gate.permit(until), Permit::Go { .. }));
}

/// `reauthenticate` of one, the CEL program and `client.go` of others go on with the token that was just refused.
#[test]
fn sekoia_reauthenticate_a_refused_token_is_thrown_away() {
    for code in ["token_expired", "unauthorized", "InvalidClientIdentifier"] {
        let mut gate = open_gate();
        let Permit::Go { generation } = gate.permit(Time(5)) else { panic!("a good token") };
        gate.call_fault("audit", &said(Origin::Api, 401, code), generation, moment(10), &pace());
        assert!(
            matches!(gate.permit(Time::from_secs(10)), Permit::Login),
            "{code}: another token is asked for"
        );
    }
}

/// Version 1.0.5: a passing 401 marked the connector dead.
#[test]
fn rapid7_1_0_5_a_passing_401_does_not_kill_the_feeds() {
    for code in ["token_verification_failed", "Unauthorized Request"] {
        let mut gate = open_gate();
        let Permit::Go { generation } = gate.permit(Time(5)) else { panic!("a good token") };
        gate.call_fault("audit", &said(Origin::Api, 401, code), generation, moment(10), &pace());
        gate.begin_login(moment(11), "f", &pace()).unwrap();
        gate.login_ok(Time::from_secs(11), Duration::from_secs(1_800));
        let Permit::Go { generation } = gate.permit(Time::from_secs(12)) else { panic!("{code}: halted") };
        gate.call_ok("audit", generation);
        assert!(matches!(gate.permit(Time::from_secs(13)), Permit::Go { .. }), "{code}");
    }
}

fn wait(header: &str, value: &str) -> Option<Duration> {
    let headers = [(header.to_owned(), value.to_owned())];
    crate::dialect::read(Origin::Api, 429, &headers, b"{}", NOW).retry_after
}

/// `client/retry.py` reads the reset header as a point in time, which gives no wait at all; the sample script of
/// Mimecast multiplies it by a thousand, or breaks on it because it is text; `mimecast_log_collector` takes it modulo.
#[test]
fn sekoia_retry_the_reset_header_is_milliseconds_to_wait() {
    assert_eq!(wait("X-RateLimit-Reset", "90000"), Some(Duration::from_secs(90)));
    assert_eq!(wait("X-RateLimit-Reset", "12"), Some(Duration::from_secs(1)), "never at once");
    assert_eq!(wait("X-RateLimit-Reset", "-4"), None, "nonsense: our own pace");
    assert_eq!(wait("Retry-After", "120"), Some(Duration::from_secs(120)));
}

/// The table is kept by hand; a test that is renamed or removed must not stay in it.
#[test]
fn every_loss_has_a_test() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut source = String::new();
    let mut rooms = vec![root.join("src"), root.join("tests")];
    while let Some(room) = rooms.pop() {
        for entry in std::fs::read_dir(room).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|end| end.to_str()) {
                Some("rs") => source.push_str(&std::fs::read_to_string(path).unwrap()),
                _ if path.is_dir() => rooms.push(path),
                _ => {}
            }
        }
    }
    let table = include_str!("../../tests/fixtures/peers.tsv");
    let mut missing = Vec::new();
    for row in table.lines().skip(1) {
        let (what, tests) = row.split_once('\t').unwrap_or_else(|| panic!("two columns: {row}"));
        assert!(!tests.trim().is_empty(), "{what}");
        missing.extend(tests.split(' ').filter(|test| !source.contains(&format!("fn {test}("))));
    }
    assert_eq!(missing, Vec::<&str>::new());
    assert_eq!(table.lines().filter(|row| row.starts_with("test ")).count(), 15, "what a sceptic would run");
}
