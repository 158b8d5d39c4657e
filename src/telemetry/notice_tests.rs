//! One notice is one line, at its level, with the counters that belong to it.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::cursor::TimeSpan;
use crate::event::EventId;
use crate::fault::{Code, Kind, Origin};
use crate::telemetry::exporter;
use crate::telemetry::label::{Attempt, CredentialState};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;
    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

/// Log lines (JSON) and metrics after these notices.
fn heard(notices: &[Notice<'_>]) -> (Vec<serde_json::Value>, String) {
    let lines = Lines::default();
    let log = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    let (recorder, exporter) = exporter::build_recorder(Time(0)).unwrap();
    ::metrics::with_local_recorder(&recorder, || {
        tracing::subscriber::with_default(log, || notices.iter().for_each(Notice::emit));
    });
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), exporter.render(|| ()))
}

fn feed() -> FeedKey {
    FeedKey { tenant: "acme".into(), feed: "audit" }
}

fn locked() -> Fault {
    let mut fault = Fault::new(Origin::Api, Kind::Status(401), "account locked\u{1b}[2J\nforged line");
    fault.code = Code::new("0010");
    fault
}

fn incident(fault: &Fault, severity: Grade) -> Incident<'_> {
    let wait = Some(Duration::from_secs(1860));
    Incident {
        fault,
        rule: "M07",
        action: "pause",
        severity,
        wait,
        at_once: false,
        remedy: "Unlock the account.",
        clears: "`resume`",
    }
}

/// One of every kind of news.
fn all<'a>(key: &'a FeedKey, incident: Incident<'a>) -> Vec<Notice<'a>> {
    [
        process_news(),
        tenant_news(incident),
        feed_news(key, incident),
        sink_news(incident),
        store_news(incident),
    ]
    .concat()
}

const TOOK: Duration = Duration::from_millis(12);

fn process_news() -> Vec<Notice<'static>> {
    let took = TOOK;
    [
        Process::Started { version: "1", tenants: 1, feeds: 2, sinks: 3, admin: None, took },
        Process::Stopping { why: "SIGTERM" },
        Process::Stopped { took, waiting: 3 },
        Process::Reloaded { changes: "a sink more" },
        Process::ReloadRefused { why: "line 3" },
        Process::ConfigWarning { words: "literal secret" },
        Process::TaskFailed { task: "courier splunk", words: "panicked", wait: None },
        Process::AdminFailed { words: "broken pipe" },
        Process::ClockSkew { tenant: "acme", millis: -9000 },
        Process::ClockSetBack { by: Duration::from_secs(36_000) },
        Process::Unheard { words: "no socket" },
    ]
    .map(Notice::Process)
    .to_vec()
}

fn tenant_news(incident: Incident<'_>) -> Vec<Notice<'_>> {
    let took = TOOK;
    [
        Tenant::Answered { status: Some(200), code: "", took },
        Tenant::TokenObtained { expires: Time(9) },
        Tenant::CredentialClosed { state: CredentialState::LockedOut, incident, until: Some(Time(9)) },
        Tenant::CredentialOpened { closed_for: took },
        Tenant::SecretExpiring { expires: Time(9), days: 3 },
    ]
    .map(|news| Notice::Tenant("acme", news))
    .to_vec()
}

fn feed_news<'a>(key: &'a FeedKey, incident: Incident<'a>) -> Vec<Notice<'a>> {
    let took = TOOK;
    let span = TimeSpan { from: Time(0), to: Time(3_600_000) };
    [
        Feed::Answered { status: None, code: "", took },
        Feed::Committed { source: "f", events: 5, duplicate: 2, took },
        Feed::PageStored { events: 5, duplicate: 2, files: 1, bytes: 9, took, caught_up: true, newest: None },
        Feed::PollSkipped { why: Skip::Quota, wait: Duration::from_millis(1500) },
        Feed::FaultMet(incident),
        Feed::Throttled(incident),
        Feed::Halted { incident, clears: "the secret changes" },
        Feed::Resumed { halted_for: took, why: "secret changed" },
        Feed::FileQuarantined { file: "f", reason: "gzip", bytes: 8, detail: "cut short" },
        Feed::GapAccepted { span, by: "alice", why: "w" },
        Feed::Readmitted { source: "f", events: 2, duplicate: 1 },
        Feed::LinesQuarantined { file: "f", reason: "json", lines: 4, first: "{" },
        Feed::GapOpened { span, why: "link expired" },
        Feed::GapClosed { span, events: 1 },
        Feed::Rewound { to: "2026", why: "by hand" },
    ]
    .map(|news| Notice::Feed(key, news))
    .to_vec()
}

fn sink_news(incident: Incident<'_>) -> Vec<Notice<'_>> {
    let took = TOOK;
    let attempt = Attempt::Failed;
    let id = EventId([7; 16]);
    [
        Sink::AckLevel { level: 3, words: "peer answered close_notify" },
        Sink::BatchConfirmed { events: 10, refused: 0, bytes: 99, took },
        Sink::BatchConfirmed { events: 7, refused: 3, bytes: 99, took },
        Sink::BatchConfirmed { events: 0, refused: 4, bytes: 99, took },
        Sink::Down { incident, attempt, waiting: 7 },
        Sink::StillDown { incident, attempt, waiting: 7 },
        Sink::Up { down_for: took, waiting: 7 },
        Sink::Halted { incident, attempt, waiting: 7, clears: "the token changes" },
        Sink::DeadLettered { events: 2, first: id, words: "too long" },
        Sink::Truncated { events: 3 },
        Sink::Replaying { events: 10, words: "--since 10m" },
        Sink::AgainWaits { incident, attempt, first: true },
        Sink::AgainWaits { incident, attempt, first: false },
        Sink::ReplayRefused { replay: 3, incident, attempt },
    ]
    .map(|news| Notice::Sink("splunk", news))
    .to_vec()
}

fn store_news(incident: Incident<'_>) -> Vec<Notice<'_>> {
    let took = TOOK;
    [
        Store::Opened { events: 1, bytes: 1, leftovers: 0, took },
        Store::LimitReached { bytes: 1, limit: 1 },
        Store::LimitPassed { bytes: 1, limit: 1, paused_for: took },
        Store::DiskFull { words: "ENOSPC" },
        Store::DiskFreed { paused_for: took },
        Store::FaultMet(incident),
        Store::Swept { events: 1, bytes: 1, took },
    ]
    .map(Notice::Store)
    .to_vec()
}

#[test]
fn every_notice_is_exactly_one_line_and_nothing_forges_another() {
    let (key, fault) = (feed(), locked());
    let all = all(&key, incident(&fault, Grade::Error));
    let (lines, _) = heard(&all);
    assert_eq!(lines.len(), all.len());
    for line in &lines {
        let message = line["message"].as_str().unwrap();
        assert!(!message.contains(['\u{1b}', '\n']), "{message}");
        assert!(line["target"].as_str().unwrap().starts_with("mimecollectd"), "{line}");
    }
}

#[test]
fn counters_tell_the_same_story_as_the_lines() {
    crate::telemetry::label::know_codes(["0010", "token_expired"]);
    let (key, fault) = (feed(), locked());
    let (_, metrics) = heard(&all(&key, incident(&fault, Grade::Error)));
    for expected in [
        "events_collected_total{tenant=\"acme\",feed=\"audit\"} 7",
        "events_duplicate_total{tenant=\"acme\",feed=\"audit\"} 3",
        "events_quarantined_total{tenant=\"acme\",feed=\"audit\",reason=\"json\"} 4",
        "events_quarantined_total{tenant=\"acme\",feed=\"audit\",reason=\"gzip\"} 1",
        "api_requests_total{tenant=\"acme\",feed=\"audit\",status=\"\",code=\"\"} 1",
        "api_requests_total{tenant=\"acme\",feed=\"\",status=\"200\",code=\"\"} 1",
        "api_throttled_seconds_total{tenant=\"acme\"} 1862", // 1.5 s of quota, rounded up, and 1860 s asked for
        "gap_seconds_total{tenant=\"acme\",feed=\"audit\"} 3600",
        "recoveries_total{tenant=\"acme\",status=\"401\",code=\"0010\",action=\"pause\"} 4",
        "recoveries_total{tenant=\"\",status=\"401\",code=\"0010\",action=\"pause\"} 7",
        "events_delivered_total{sink=\"splunk\"} 17",
        "events_dead_lettered_total{sink=\"splunk\"} 2",
        "delivery_attempts_total{sink=\"splunk\",result=\"acknowledged\"} 1",
        "delivery_attempts_total{sink=\"splunk\",result=\"partial\"} 1",
        "delivery_attempts_total{sink=\"splunk\",result=\"refused\"} 1",
        "delivery_attempts_total{sink=\"splunk\",result=\"failed\"} 6",
        "sink_send_duration_seconds_count{sink=\"splunk\"} 3",
    ] {
        assert!(metrics.contains(&format!("mimecollectd_{expected}\n")), "{expected}\n{metrics}");
    }
}

#[test]
fn a_fault_is_said_at_its_severity_with_rule_code_and_remedy() {
    let (key, fault) = (feed(), locked());
    for (grade, level) in [(Grade::Info, "INFO"), (Grade::Warning, "WARN"), (Grade::Critical, "ERROR")] {
        let (lines, _) = heard(&[Notice::Feed(&key, Feed::FaultMet(incident(&fault, grade)))]);
        assert_eq!(lines[0]["level"], level);
        assert_eq!((&lines[0]["rule"], &lines[0]["code"]), (&"M07".into(), &"0010".into()));
        let message = lines[0]["message"].as_str().unwrap();
        assert!(
            message.contains("next attempt in 31m 0s") && message.contains("Unlock the account."),
            "{message}"
        );
    }
}

#[test]
fn an_empty_page_is_no_history() {
    let key = feed();
    let took = Duration::ZERO;
    let page = |events| Feed::PageStored {
        events,
        duplicate: 0,
        files: 0,
        bytes: 0,
        took,
        caught_up: true,
        newest: None,
    };
    let (lines, _) = heard(&[Notice::Feed(&key, page(0)), Notice::Feed(&key, page(1))]);
    assert_eq!((&lines[0]["level"], &lines[1]["level"]), (&"DEBUG".into(), &"INFO".into()));
}

#[test]
fn durations_read_well() {
    let said = |ms| Span(Duration::from_millis(ms)).to_string();
    assert_eq!(
        [said(45), said(12_345), said(65_000), said(3_900_000), said(100_000_000)],
        ["45ms", "12.3s", "1m 5s", "1h 5m", "1d 3h"]
    );
}

/// What goes on at once is not told as stopped, and what has stopped is not told as going on.
#[test]
fn a_fault_without_a_wait_says_whether_it_goes_on() {
    let key = feed();
    for (id, words) in [
        ("X17", "goes on at once"),
        ("M01", "goes on at once"),
        ("X18", "goes on at once"),
        ("M11", "stopped until the cause is removed"),
    ] {
        let fault = locked();
        let rule = crate::supervisor::policy::by_id(id).unwrap();
        let (lines, _) = heard(&[Notice::Feed(&key, Feed::FaultMet(Incident::of(&fault, rule, None)))]);
        assert!(lines[0]["message"].as_str().unwrap().contains(words), "{id}: {}", lines[0]["message"]);
        let wait = Some(Duration::from_secs(60));
        let (lines, _) = heard(&[Notice::Feed(&key, Feed::FaultMet(Incident::of(&fault, rule, wait)))]);
        assert!(lines[0]["message"].as_str().unwrap().contains("next attempt in 1m 0s"), "{id}");
    }
}
