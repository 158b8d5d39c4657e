//! The admin surface over a real loopback socket, and the page and table on sample data.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::history::{History, Look};
use super::status::*;
use super::view::View;
use super::{Answer, Source, TextLook, listener, page, render_text, routes};
use crate::clock::Time;
use crate::telemetry::exporter;
use crate::telemetry::label::{CredentialState, FeedState, Grade};

const NOW: i64 = 1_767_260_000;

fn past(secs: i64) -> Option<Time> {
    Some(Time::from_secs(NOW - secs))
}

pub(super) fn feed(name: &str, state: FeedState, why: Option<&str>) -> Feed {
    let stands = matches!(state, FeedState::Halted | FeedState::Paused);
    Feed {
        name: name.into(),
        state,
        why: why.map(str::to_owned),
        rule: None,
        last_success: past(if stands { 5400 } else { 140 }),
        next_attempt: if state == FeedState::Halted { None } else { past(-160) },
        cursor_time: past(if stands { 6000 } else { 410 }),
        events_stored: 48_211 + 977 * name.len() as u64 * name.len() as u64,
        quarantined: u64::from(name == "siem.url-protect") * 4,
        gaps_open: u64::from(name == "siem.receipt"),
        poll_interval_seconds: 300.0,
        caught_up: state == FeedState::CaughtUp,
    }
}

fn sink(name: &str, kind: &str, address: &str, up: Option<bool>, waiting: u64) -> Sink {
    Sink {
        name: name.into(),
        kind: kind.into(),
        address: address.into(),
        ack_level: up.map(|_| match kind {
            "http" => 4,
            "file" => 1,
            _ => 3,
        }),
        up,
        waiting_events: waiting,
        oldest_waiting: (waiting > 0).then(|| Time::from_secs(NOW - 7_900)),
        delivered: 12_840_113,
        dead_lettered: u64::from(name == "splunk") * 3,
        last_ack: up.and(past(if up == Some(true) { 3 } else { 7_950 })),
        next_attempt: if up == Some(false) { past(-45) } else { None },
        why: (up == Some(false)).then(|| "sink answered 503/9: Server is busy".to_owned()),
        replays: Vec::new(),
    }
}

pub(super) fn tenant(name: &str, state: CredentialState, feeds: Vec<Feed>) -> Tenant {
    let ok = state == CredentialState::Ok;
    let words = "api answered 401/0010: the account is locked because of too many failed logins.";
    Tenant {
        name: name.into(),
        api: "2.0".into(),
        credential: Credential {
            state,
            until: if ok { None } else { past(-1_500) },
            rule: (!ok).then(|| "M07".to_owned()),
            words: (!ok).then(|| words.to_owned()),
            token_expires: ok.then(|| Time::from_secs(NOW + 1_200)),
            secret_expires: past(-86_400 * 40),
        },
        quota_remaining: Some(37),
        unknown_codes: Vec::new(),
        feeds,
    }
}

fn alerts() -> Vec<Alert> {
    let alert = |scope: &str, rule: &str, severity, words: &str, remedy: &str| Alert {
        scope: scope.into(),
        tenant: scope.split('/').next().unwrap().into(),
        rule: rule.into(),
        title: "a_word".into(),
        active: rule != "S04",
        clears: "the next good answer".into(),
        severity,
        since: past(5_400),
        words: words.into(),
        remedy: remedy.into(),
    };
    vec![
        alert(
            "acme/dlp",
            "M20",
            Grade::Error,
            "api answered 403 app_forbidden: the application may not read DLP logs.",
            "Add the permission “Data Leak Prevention | Read” to the role of the API application, then run `mimecollectd resume acme/dlp`.",
        ),
        alert(
            "globex",
            "M07",
            Grade::Critical,
            "Mimecast locked the service account after failed logins. It is tried again at 09:58, once.",
            "Unlock the account in the Administration Console, or wait. If it locks again, something else uses an old password.",
        ),
        alert(
            "sink:splunk",
            "S04",
            Grade::Warning,
            "sink answered 503/9: Server is busy",
            "Nothing yet: 182,334 events wait in the store and nothing is lost.",
        ),
    ]
}

/// A day with some trouble in it.
pub(super) fn sample() -> Status {
    let names = [
        "siem.receipt",
        "siem.process",
        "siem.delivery",
        "siem.url-protect",
        "siem.attachment-protect",
        "audit",
    ];
    let mut feeds: Vec<Feed> = names.iter().map(|name| feed(name, FeedState::CaughtUp, None)).collect();
    feeds.push(feed("siem.journal", FeedState::Collecting, None));
    feeds.push(feed("ttp.url", FeedState::BackingOff, Some("api answered 502: HTML from a gateway")));
    feeds.push(feed("dlp", FeedState::Halted, Some("api answered 403 app_forbidden: permission is missing")));
    let locked = ["audit", "siem.receipt", "ttp.impersonation"];
    let locked =
        locked.iter().map(|name| feed(name, FeedState::Paused, Some("the account is locked out"))).collect();
    Status {
        version: "0.1.0".into(),
        at: Time::from_secs(NOW),
        started: past(86_400 * 12),
        ready: Ready { ok: true, reasons: vec![] },
        config_ok: true,
        hosts: Vec::new(),
        alerts: alerts(),
        tenants: vec![
            tenant("acme", CredentialState::Ok, feeds),
            tenant("globex", CredentialState::LockedOut, locked),
        ],
        sinks: vec![
            sink("qradar", "syslog", "qradar.example.com:6514 tls", Some(true), 0),
            sink(
                "splunk",
                "http",
                "https://splunk.example.com:8088/services/collector",
                Some(false),
                182_334,
            ),
            sink("archive", "file", "/var/log/mimecast/events.ndjson", Some(true), 120),
        ],
        alert_targets: vec![AlertTarget {
            name: "ops".into(),
            kind: "slack".into(),
            address: "https://hooks.slack.com".into(),
            up: Some(false),
            waiting: 2,
            refused: 0,
            last_told: past(7_200),
            next_attempt: past(-60),
            why: Some("sink answered 503: busy".into()),
        }],
        store: Store {
            events: 201_922,
            bytes: 6_912 << 20,
            dead_letter_bytes: 12 << 20,
            quarantine_bytes: 0,
            limit_bytes: 10 << 30,
            time_to_data_loss_seconds: None,
            unbalanced: Vec::new(),
            paused: None,
        },
    }
}

/// A day with a busy morning.
pub(super) fn day() -> History {
    let mut history = History::default();
    let mut stored = 0;
    for minute in 0..1_440_u64 {
        stored += 100 + minute % 97 + if (600..700).contains(&minute) { 900 } else { 0 };
        history.note(Look {
            at: Time::from_secs(NOW - 86_400 + 60 * minute as i64),
            stored,
            delivered: stored - minute % 61,
            waiting: minute % 61,
            oldest_waiting: Duration::from_secs(minute % 113),
            longest_silence: Duration::from_secs(minute % 300),
        });
    }
    history
}

/// The page as it is without a query.
pub(super) fn rendered(status: &Status) -> String {
    page::render(status, &day(), &View::parse(None))
}

struct Fixed(Status);

impl Source for Fixed {
    fn status(&self) -> Answer<'_, Status> {
        Box::pin(async { self.0.clone() })
    }
    fn history(&self) -> History {
        day()
    }
    fn errors(&self) -> serde_json::Value {
        serde_json::json!([{"id": "M07"}])
    }
    fn error(&self, status: u16, code: &str) -> Option<serde_json::Value> {
        (status == 401).then(|| serde_json::json!([{"id": "M07", "code": code}]))
    }
}

/// Serves `status` on a free port with a short life per connection; gives the address.
async fn served(status: Status, life: Duration) -> std::net::SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let names = super::names::Names::of(address, Vec::new());
    let (_, exporter) = exporter::build_recorder(Time(0)).unwrap();
    let listener = listener::Bounded::new(socket, 8, 4096, life);
    let serving = axum::serve(listener, routes::router(Arc::new(Fixed(status)), exporter, names));
    tokio::spawn(async { serving.await });
    address
}

async fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(request.as_bytes()).await; // a refusal may close before everything is written
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await; // a reset is a refusal too
    String::from_utf8(answer).unwrap()
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn every_path_answers_in_its_own_type_and_closes() {
    let at = served(sample(), LONG).await;
    for (path, status, kind, content) in [
        ("/healthz", 200, "text/plain; charset=utf-8", "alive"),
        ("/readyz", 200, "text/plain; charset=utf-8", "ready"),
        ("/status", 200, "application/json; charset=utf-8", "\"locked_out\""),
        ("/status?verbose=1", 200, "application/json; charset=utf-8", "\"locked_out\""),
        (
            "/metrics",
            200,
            "text/plain; version=0.0.4; charset=utf-8",
            "mimecollectd_sink_up{sink=\"splunk\"} 0",
        ),
        ("/api/errors", 200, "application/json; charset=utf-8", "M07"),
        ("/api/errors/401", 200, "application/json; charset=utf-8", "\"code\": \"\""),
        ("/api/errors/401/0010", 200, "application/json; charset=utf-8", "\"code\": \"0010\""),
        ("/api/errors/999/0010", 404, "text/plain; charset=utf-8", "no rule"),
        ("/api/errors/x", 404, "text/plain; charset=utf-8", "no rule"),
        ("/", 200, "text/html; charset=utf-8", "What to do:"),
        ("/etc/passwd", 404, "text/plain; charset=utf-8", "nothing here"),
    ] {
        let answer = get(at, path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-type: {kind}\r\n")), "{path}: {head}");
        assert!(
            head.contains("connection: close")
                && head.contains("content-security-policy: default-src 'none'")
        );
        assert!(body.contains(content), "{path}: {body}");
    }
}

#[tokio::test]
async fn only_reading_is_possible() {
    let at = served(sample(), LONG).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/", "/status", "/metrics", "/api/errors", "/healthz"] {
            let answer =
                ask(at, &format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"))
                    .await;
            assert!(answer.starts_with("HTTP/1.1 405 "), "{method} {path}: {answer}");
        }
    }
}

#[tokio::test]
async fn heads_are_answered_without_a_body() {
    let at = served(sample(), LONG).await;
    for path in ["/", "/status", "/metrics", "/healthz", "/readyz", "/api/errors"] {
        let answer = ask(at, &format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{path}: {answer}");
        for header in [
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(answer.contains(header), "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn not_ready_says_why() {
    let mut status = sample();
    status.ready = Ready { ok: false, reasons: vec!["no feed works: the account is locked".into()] };
    let answer = get(served(status, LONG).await, "/readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("no feed works: the account is locked"),
        "{answer}"
    );
}

#[tokio::test]
async fn too_much_head_is_cut_off_unanswered() {
    let at = served(sample(), LONG).await;
    let head = format!("GET /status HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(4096));
    assert_eq!(ask(at, &head).await, "");
}

#[tokio::test]
async fn idle_connections_hold_a_place_only_until_their_time_is_up() {
    let at = served(sample(), Duration::from_millis(300)).await;
    let mut idle = Vec::new();
    for _ in 0..8 {
        idle.push(TcpStream::connect(at).await.unwrap());
    }
    assert!(get(at, "/healthz").await.starts_with("HTTP/1.1 200 "));
    let mut rest = Vec::new();
    let _ = idle[0].read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn whoever_is_led_here_by_another_name_is_told_nothing() {
    let at = served(sample(), LONG).await;
    for path in ["/", "/status", "/metrics", "/healthz", "/nowhere"] {
        let answer = ask(at, &format!("GET {path} HTTP/1.1\r\nHost: evil.example.com:9598\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{path}: {answer}");
        assert!(answer.contains("[admin] hosts") && !answer.contains("globex"), "{answer}");
    }
}

#[tokio::test]
async fn serving_ends_when_told() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_, exporter) = exporter::build_recorder(Time(0)).unwrap();
    let source = Arc::new(Fixed(sample()));
    super::serve((socket, Vec::new()), source, exporter, async {}).await.unwrap();
}

#[tokio::test]
async fn a_store_that_hangs_gives_an_answer_and_counters_still_scrape() {
    struct Hangs;
    impl Source for Hangs {
        fn status(&self) -> Answer<'_, Status> {
            Box::pin(pending())
        }
        fn history(&self) -> History {
            History::default()
        }
        fn errors(&self) -> serde_json::Value {
            serde_json::Value::Null
        }
        fn error(&self, _: u16, _: &str) -> Option<serde_json::Value> {
            None
        }
    }
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    let (_, exporter) = exporter::build_recorder(Time(0)).unwrap();
    tokio::spawn(super::serve((socket, Vec::new()), Arc::new(Hangs), exporter, pending()));
    let (ready, metrics) = tokio::join!(get(at, "/readyz"), get(at, "/metrics"));
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(metrics.contains("process_resident_memory_bytes"), "{metrics}");
}

#[test]
fn outside_text_stays_text() {
    let mut status = sample();
    let hostile = "<script>alert(1)</script>\"onload='x'&amp;\u{202e}\u{1b}[2J";
    status.tenants[0].name = hostile.into();
    status.tenants[0].feeds[0].why = Some(hostile.into());
    status.sinks[0].address = hostile.into();
    status.alerts[0].words = hostile.into();
    status.ready.reasons = vec![hostile.into()];
    let page = page::render(&status, &day(), &View::parse(Some("tenant=%3Cscript%3E&refresh=off")));
    assert!(!page.contains("<script") && !page.contains("onload='"));
    assert!(page.contains(
        "&lt;script&gt;alert(1)&lt;/script&gt;&quot;onload=&#39;x&#39;&amp;amp;\\u{202e}\\u{1b}[2J"
    ));
    assert!(!page.contains(" style=\"") && !page.contains("http://") && !page.contains("src="));
    let text = render_text(&status, TextLook::default());
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
}

#[test]
fn status_survives_json_and_always_has_the_same_keys() {
    let status = sample();
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["at"], "2026-01-01T09:33:20.000Z");
    assert_eq!(value["sinks"][0]["type"], "syslog");
    assert!(value["tenants"][0]["feeds"][0].as_object().unwrap().contains_key("why"));
}

#[test]
fn terminal_table_is_aligned() {
    let text = render_text(&sample(), TextLook::default());
    let lines: Vec<&str> = text.lines().collect();
    let head = lines.iter().position(|line| line.contains("FEED")).unwrap();
    let column = lines[head].find("NEXT POLL").unwrap();
    for line in &lines[head + 1..head + 9] {
        let cell: String = line.chars().skip(column).take(12).collect();
        assert!(cell.starts_with("in ") || cell.starts_with('–'), "{text}");
    }
    assert!(text.contains("! critical globex (for 90 min, M07): Mimecast locked"));
    assert!(text.contains("what to do: Unlock the account"));
}

/// At 80 and at 40 columns nothing is wider, and what a person has to know is still there, the worst first.
#[test]
fn a_narrow_terminal_gets_what_matters() {
    for width in [80, 40] {
        let text = render_text(&sample(), TextLook { colour: false, width: Some(width) });
        let wide = text
            .lines()
            .filter(|line| line.chars().count() > width && !line.trim_start().contains(' '))
            .count();
        assert_eq!(wide, 0, "{width}: {text}");
        for part in ["FEED", "STATE", "what to do: Unlock", "globex"] {
            assert!(text.contains(part), "{width}, {part}: {text}");
        }
        let (worst, other) =
            (text.find("critical").unwrap(), text.find("warning").or(text.find("warn ")).unwrap());
        assert!(worst < other, "{text}");
    }
    let coloured = render_text(&sample(), TextLook { colour: true, width: None });
    assert!(coloured.contains("\u{1b}[1;31mcritical\u{1b}[0m"), "{coloured}");
}

#[test]
fn health_is_the_worst_there_is() {
    let mut status = sample();
    assert_eq!(status.health(), Health::Failing);
    status.alerts.truncate(1);
    assert_eq!(status.health(), Health::Attention);
    status.alerts.clear();
    assert_eq!(status.health(), Health::Working);
    status.ready.ok = false;
    assert_eq!(status.health(), Health::Failing);
    status.started = None;
    assert_eq!(status.health(), Health::NotRunning, "a run that has ended fails at nothing");
    status.ready.reasons = vec!["no daemon runs".to_owned()];
    let text = render_text(&status, TextLook { colour: false, width: None });
    assert!(text.starts_with("mimecollectd 0.1.0: Not running\n  ! no daemon runs\n"), "{text}");
    status.alerts = sample().alerts;
    assert_eq!(status.health(), Health::Failing, "what it left needs a person");
}

#[test]
fn what_is_not_known_has_no_gauge() {
    let mut status = sample();
    status.tenants[0].feeds[0].last_success = None;
    status.tenants[0].feeds[0].cursor_time = None;
    let (_, exporter) = exporter::build_recorder(Time(0)).unwrap();
    let text: String = exporter
        .pieces(super::gauges::parts(&status), |part| super::gauges::publish(&status, part))
        .collect();
    assert!(!text.contains("feed_last_success_timestamp_seconds{tenant=\"acme\",feed=\"siem.receipt\"}"));
    assert!(
        text.contains("mimecollectd_alert_active{tenant=\"globex\",alert=\"M07\",severity=\"critical\"} 1")
    );
    assert!(text.contains("mimecollectd_store_events{sink=\"splunk\"} 182334"));
    assert!(text.contains("mimecollectd_credential_state{tenant=\"globex\",state=\"locked_out\"} 1"));
}
