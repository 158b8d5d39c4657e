//! The logs that are asked for by time: what is sent for each, own samples of each, and the ways in which other
//! collectors are known to lose rows of theirs. Such a test is named after the program, and the thread or release
//! that shows the loss.

use std::time::Duration;

use serde_json::{Value, json};

use super::catalogue::{FEEDS, find};
use super::feed::{Api, Ask, Feed};
use super::page::{Leads, Page, RecordPage, read};
use super::position::Position;
use super::request::{Asked, Asking, Body, build, page_size};
use crate::clock::Time;
use crate::cursor::{Cursor, TimeSpan};
use crate::event::Severity;
use crate::fault::{Fault, Kind};

const NOW: Time = Time(1_767_259_800_000); // 2026-01-01T09:30:00Z
const HOUR: Duration = Duration::from_secs(3_600);

const SAMPLES: [(&str, &str); 9] = [
    ("audit", include_str!("../../tests/fixtures/mimecast/api-audit-page.json")),
    ("ttp.url", include_str!("../../tests/fixtures/mimecast/api-ttp-url-page.json")),
    ("ttp.attachment", include_str!("../../tests/fixtures/mimecast/api-ttp-attachment-page.json")),
    ("ttp.impersonation", include_str!("../../tests/fixtures/mimecast/api-ttp-impersonation-page.json")),
    ("dlp", include_str!("../../tests/fixtures/mimecast/api-dlp-page.json")),
    ("held-release", include_str!("../../tests/fixtures/mimecast/api-held-release-page.json")),
    ("rejections", include_str!("../../tests/fixtures/mimecast/api-rejections-page.json")),
    ("archive.search", include_str!("../../tests/fixtures/mimecast/api-archive-search-page.json")),
    ("archive.view", include_str!("../../tests/fixtures/mimecast/api-view-logs-page.json")),
];

fn feed(name: &str) -> &'static Feed {
    find(name).unwrap()
}

fn at(name: &str, cursor: &str) -> Position {
    Position::open(feed(name), &Cursor(cursor.into()), NOW, HOUR).unwrap()
}

/// A request at this position, and the position its answer belongs to.
fn ask(name: &str, position: &Position, now: Time) -> Asked {
    let feed = feed(name);
    let asking = Asking { page_size: page_size(feed), overlap: feed.overlap, server_now: now, until: None };
    build(feed, position, &asking)
}

fn body(asked: &Asked) -> Value {
    match &asked.request.body {
        Some(Body::Json(body)) => serde_json::from_str(body).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn page_at(name: &str, asked: &Asked, body: &str) -> RecordPage {
    match read(feed(name), "acme", &asked.position, body.as_bytes(), NOW).unwrap() {
        Page::Records(page) => page,
        other => panic!("{other:?}"),
    }
}

fn page(name: &str, body: &str) -> Result<Page, Fault> {
    let asked = ask(name, &at(name, ""), NOW);
    read(feed(name), "acme", &asked.position, body.as_bytes(), NOW)
}

fn after(name: &str, page: &RecordPage) -> Position {
    match &page.leads {
        Leads::Forward(cursor) => at(name, &cursor.0),
        other => panic!("{other:?}"),
    }
}

fn window(asked: &Asked) -> TimeSpan {
    asked.position.window().unwrap().1
}

#[test]
fn each_function_is_asked_in_its_own_words() {
    for (name, path, data) in [
        (
            "audit",
            "/api/audit/get-audit-events",
            json!({"startDateTime": "2026-01-01T08:30:00+0000", "endDateTime": "2026-01-01T09:29:00+0000"}),
        ),
        (
            "ttp.attachment",
            "/api/ttp/attachment/get-logs",
            json!({"from": "2026-01-01T08:30:00+0000", "to": "2026-01-01T09:29:00+0000", "oldestFirst": true}),
        ),
        (
            "ttp.impersonation",
            "/api/ttp/impersonation/get-logs",
            json!({"from": "2026-01-01T08:30:00+0000", "to": "2026-01-01T09:29:00+0000", "oldestFirst": true}),
        ),
        (
            "dlp",
            "/api/dlp/get-logs",
            json!({"from": "2026-01-01T08:30:00+0000", "to": "2026-01-01T09:29:00+0000", "oldestFirst": true}),
        ),
        (
            "held-release",
            "/api/gateway/get-held-release-logs",
            json!({"start": "2026-01-01T08:30:00+0000", "end": "2026-01-01T09:29:00+0000"}),
        ),
        (
            "rejections",
            "/api/gateway/get-rejections",
            json!({"start": "2026-01-01T08:30:00+0000", "end": "2026-01-01T09:29:00+0000", "admin": true}),
        ),
        (
            "archive.search",
            "/api/archive/get-archive-search-logs",
            json!({"start": "2026-01-01T08:30:00+0000", "end": "2026-01-01T09:29:00+0000"}),
        ),
        (
            "archive.view",
            "/api/archive/get-view-logs",
            json!({"start": "2026-01-01T08:30:00+0000", "end": "2026-01-01T09:29:00+0000"}),
        ),
    ] {
        let asked = ask(name, &at(name, ""), NOW);
        assert_eq!(asked.request.path_and_query, path);
        assert_eq!(
            body(&asked),
            json!({"meta": {"pagination": {"pageSize": 500}}, "data": [data]}),
            "{name}"
        );
    }
}

#[test]
fn every_window_feed_has_a_sample_whose_records_keep_every_byte() {
    let windows: Vec<_> =
        FEEDS.iter().filter(|feed| matches!(feed.ask, Ask::Window { .. })).map(|feed| feed.name).collect();
    assert_eq!(windows, SAMPLES.map(|(name, _)| name));
    for (name, sample) in SAMPLES {
        let page = page_at(name, &ask(name, &at(name, ""), NOW), sample);
        assert_eq!((page.listed, page.unreadable.len()), (1, 0), "{name}");
        let chunk = page.chunk.unwrap();
        let event = chunk.event(0, "acme", name, 0).unwrap();
        assert!(sample.contains(std::str::from_utf8(event.raw).unwrap()), "{name}: the record's own text");
        assert!(event.time.is_some(), "{name}: {} is its time", feed(name).time.0);
        assert_eq!(event.kind, name);
        assert!(feed(name).offered_by(Api::V1) && feed(name).offered_by(Api::V2), "{name}");
    }
}

#[test]
fn what_is_bad_is_grave() {
    let grade = |name: &str, record: &str| {
        let list = match feed(name).records {
            super::feed::Records::List(list) => format!(r#"[{{"{list}":[{record}]}}]"#),
            _ => format!("[{record}]"),
        };
        let page = page_at(name, &ask(name, &at(name, ""), NOW), &format!(r#"{{"data":{list}}}"#));
        page.chunk.unwrap().records[0].severity
    };
    for (name, record, severity) in [
        ("ttp.attachment", r#"{"result":"malicious"}"#, Severity::Warning),
        ("ttp.attachment", r#"{"result":"safe"}"#, Severity::Informational),
        ("ttp.impersonation", r#"{"taggedMalicious":false}"#, Severity::Warning),
        ("dlp", r#"{"action":"hold"}"#, Severity::Notice),
        ("dlp", r#"{"action":"bouce"}"#, Severity::Notice),
        ("dlp", r#"{"action":"smart_folder"}"#, Severity::Informational),
        ("rejections", r#"{"created":"2026-01-01T08:30:02+0000"}"#, Severity::Notice),
        ("held-release", r#"{"status":"released"}"#, Severity::Informational),
    ] {
        assert_eq!(grade(name, record), severity, "{name} {record}");
    }
}

#[test]
fn rejections_come_in_a_list_of_any_name() {
    let record = r#"{"id":"1","created":"2026-01-01T08:30:02+0000","toAddress":["a"]}"#;
    for data in [
        format!(r#"[{{"rejections":[{record}]}}]"#),
        format!(r#"[{{"resultCount":1,"rejectedMessages":[{record}],"more":false}}]"#),
        format!(r#"[{record}]"#),
        format!(r#"{{"rejections":[{record}]}}"#),
    ] {
        let Ok(Page::Records(page)) = page("rejections", &format!(r#"{{"data":{data}}}"#)) else {
            panic!("{data}")
        };
        assert_eq!(page.listed, 1, "{data}");
        let chunk = page.chunk.unwrap();
        assert_eq!(chunk.event(0, "acme", "rejections", 0).unwrap().raw, record.as_bytes(), "{data}");
    }
    for nothing in ["[]", r#"[{"rejections":[]}]"#] {
        let Ok(Page::Records(page)) = page("rejections", &format!(r#"{{"data":{nothing}}}"#)) else {
            panic!("{nothing}")
        };
        assert!(page.chunk.is_none() && page.caught_up);
    }
    for unclear in [r#"[{"a":[],"b":[]}]"#, r#"[{"resultCount":0}]"#, r#"["x"]"#, "null", "7"] {
        let fault = page("rejections", &format!(r#"{{"data":{unclear}}}"#)).unwrap_err();
        assert_eq!(fault.kind, Kind::Malformed, "{unclear}");
    }
}

#[test]
fn m30_records_beside_a_failure_are_kept_and_the_window_is_read_again() {
    let body = r#"{"meta":{"status":200,"pagination":{"next":"n"}},"data":[{"id":"1"},{"id":"2"}],
        "fail":[{"errors":[{"code":"err_some","message":"0006 no","retryable":true}]}]}"#;
    let asked = ask("audit", &at("audit", r#"{"v":1,"window":{"high":1767250000000,"pass":3}}"#), NOW);
    let Page::Partial(records, fault) =
        read(feed("audit"), "acme", &asked.position, body.as_bytes(), NOW).unwrap()
    else {
        panic!("both are told")
    };
    assert_eq!((records.listed, fault.code_str(), fault.retryable), (2, "0006", Some(true)));
    let again = ask("audit", &after("audit", &records), NOW);
    let ((pass, before), (next, now)) = (asked.position.window().unwrap(), again.position.window().unwrap());
    assert_eq!(before, now, "not a second of the window is skipped");
    assert_eq!(
        (pass >> 16, next >> 16),
        (3, 4),
        "another reading, so that the two records are known by then"
    );
    assert_eq!(super::window_tests::body(&again)["meta"]["pagination"].get("pageToken"), None);
    for without in [
        r#"{"data":[],"fail":[{"code":"app_forbidden"}]}"#,
        r#"{"data":7,"fail":[{"code":"app_forbidden"}]}"#,
        r#"{"fail":[{"code":"app_forbidden"}]}"#,
    ] {
        assert_eq!(page("audit", without).unwrap_err().code_str(), "app_forbidden", "{without}");
    }
    let status_only = r#"{"meta":{"status":403},"data":[{"clickLogs":[{"a":1}]}],"fail":[]}"#;
    let Page::Partial(records, fault) = page("ttp.url", status_only).unwrap() else { panic!("m31") };
    assert_eq!((records.listed, fault.status()), (1, Some(403)));
}

#[test]
fn what_the_answer_says_of_its_own_size_means_nothing() {
    for pagination in [
        r#"{"pageSize":0,"totalCount":0,"next":"n"}"#,
        r#"{"pageSize":"many","next":"n","previous":null}"#,
        r#"{"next":"n"}"#,
    ] {
        let body = format!(
            r#"{{"data":[{{"id":"1"}}],"meta":{{"pagination":{pagination},"isLastToken":"x"}},"other":1}}"#
        );
        let asked = ask("audit", &at("audit", ""), NOW);
        let page = page_at("audit", &asked, &body);
        assert_eq!((page.listed, page.caught_up), (1, false), "{pagination}");
    }
}

/// A search in the archive `second`s after nine.
fn search(second: u32) -> String {
    format!(r#"{{"createTime":"2026-01-01T09:00:{second:02}+0000","source":"archive"}}"#)
}

/// Answers to a window of the archive's searches, newest first: what each question asked for, the numbers under which
/// the answers are counted, and whether the last one ended the window.
fn searches(answers: &[(&[u32], &str)]) -> (Vec<Value>, Vec<u64>, bool) {
    let (mut position, mut ended) = (at("archive.search", ""), false);
    let (mut questions, mut passes) = (Vec::new(), Vec::new());
    for (seconds, paging) in answers {
        assert!(!ended, "nothing is asked for after the end");
        let asked = ask("archive.search", &position, NOW);
        let rows: Vec<String> = seconds.iter().map(|second| search(*second)).collect();
        let answer =
            format!(r#"{{"meta":{{"pagination":{{{paging}}}}},"data":[{{"logs":[{}]}}]}}"#, rows.join(","));
        let page = page_at("archive.search", &asked, &answer);
        (position, ended) = (after("archive.search", &page), page.caught_up);
        questions.push(body(&asked));
        passes.push(asked.position.window().unwrap().0);
    }
    (questions, passes, ended)
}

/// Searches that appear while pages are read push the end of a page to the next one, where it looks like a twin.
#[test]
fn a_second_that_two_pages_share_is_asked_for_by_itself() {
    let next = r#""next":"n""#;
    let (asked, passes, ended) = searches(&[(&[30, 20], next), (&[20, 10], ""), (&[20], "")]);
    assert!(ended);
    assert_eq!(asked[1]["meta"]["pagination"]["pageToken"], json!("n"));
    assert_eq!(asked[2]["meta"]["pagination"], json!({"pageSize": 500}));
    let (start, end) = ("2026-01-01T09:00:19+0000", "2026-01-01T09:00:22+0000");
    assert_eq!(asked[2]["data"][0], json!({"start": start, "end": end}));
    assert!(passes.is_sorted_by(|a, b| a < b), "each answer is counted by itself: {passes:?}");
    // between two pages: the window goes on with the page it had come to
    let more = r#""next":"m""#;
    let (asked, _, ended) = searches(&[(&[30, 20], next), (&[20, 10], more), (&[20, 20], ""), (&[5], "")]);
    assert!(ended);
    assert_eq!(asked[3]["meta"]["pagination"]["pageToken"], json!("m"));
    assert_eq!(asked[3]["data"], asked[0]["data"]);
    assert!(searches(&[(&[30, 20], next), (&[10], "")]).2, "nothing in common, nothing to ask for");
    // a second that fills more than a page: its pages are counted together
    let (asked, passes, ended) =
        searches(&[(&[30, 20], next), (&[20, 10], ""), (&[20, 20], next), (&[20], "")]);
    assert!(ended);
    assert_eq!(
        (&asked[3]["data"], &asked[3]["meta"]["pagination"]["pageToken"]),
        (&asked[2]["data"], &json!("n"))
    );
    assert_eq!(passes[2], passes[3]);
    // a service that answers with other times than it was asked for is not asked on
    assert!(searches(&[(&[30, 20], next), (&[20, 10], ""), (&[30, 20], next)]).2);
}

/// Without the order of time nobody knows where twins stand: a repeat is better than a loss.
#[test]
fn pages_out_of_order_are_counted_together() {
    let (_, passes, ended) = searches(&[(&[20, 30, 10], r#""next":"n""#), (&[10, 30], "")]);
    assert!(ended);
    assert_eq!(passes[0], passes[1]);
}

// --- losses of others -------------------------------------------------------------------------------------

/// The cursor of the CEL program holds the newest time after page 1 of a newest-first log: a restart then skips the
/// older pages.
#[test]
fn elastic_ttp_cel_a_restart_between_two_pages_goes_on_with_the_second() {
    let first = ask("ttp.url", &at("ttp.url", ""), NOW);
    let page = page_at("ttp.url", &first, SAMPLES[1].1);
    assert!(!page.caught_up);
    let second = ask("ttp.url", &after("ttp.url", &page), NOW.plus(HOUR * 5)); // five hours later
    assert_eq!(window(&second), window(&first));
    let (first, second) = (body(&first), body(&second));
    assert_eq!(first["data"], second["data"]);
    assert_eq!(second["meta"]["pagination"]["pageToken"], json!("eNoExamplePageToken-_01"));
    assert_eq!(first["data"][0]["oldestFirst"], json!(true));
}

/// Pull request 12770: a used page token went into the request of the next window.
#[test]
fn elastic_12770_a_used_page_token_ends_with_its_window() {
    let last = at("audit", r#"{"v":1,"window":{"high":5,"pass":3,"reading":[10,20,"\"used\""]}}"#);
    let asked = ask("audit", &last, NOW);
    let page = page_at("audit", &asked, r#"{"data":[{"id":"1"}],"meta":{"status":200,"pagination":{}}}"#);
    assert!(page.caught_up);
    let next = ask("audit", &after("audit", &page), NOW);
    assert_eq!(body(&next)["meta"]["pagination"], json!({"pageSize": 500}));
}

/// Pull request 12518: the position became the later of the newest event and now, so that late rows were never
/// asked for. Here it is the end of what was asked for, and what lies before it is read again.
#[test]
fn elastic_12518_a_row_that_appears_late_is_asked_for_again() {
    for (name, _) in SAMPLES {
        let first = ask(name, &at(name, ""), NOW);
        let page = page_at(name, &first, r#"{"data":[]}"#);
        let second = ask(name, &after(name, &page), NOW.plus(HOUR));
        assert!(window(&first).to <= NOW.minus(feed(name).settle), "{name}");
        let overlap = window(&first).to.minus(feed(name).overlap);
        assert_eq!(window(&second).from, overlap, "{name}");
        assert!(feed(name).overlap >= Duration::from_secs(15 * 60), "{name}");
    }
}

/// The task of rapid7's plugin ends a window at now less a second and begins the next one at now: a second of each
/// poll is never asked for.
#[test]
fn rapid7_mimecast_v2_task_no_second_lies_between_two_windows() {
    let (mut position, mut now) = (at("dlp", ""), NOW);
    let mut last: Option<TimeSpan> = None;
    for _ in 0..50 {
        let asked = ask("dlp", &position, now);
        let span = window(&asked);
        assert!(last.is_none_or(|last| span.from <= last.to), "{last:?} {span:?}");
        position = after("dlp", &page_at("dlp", &asked, r#"{"data":[{"dlpLogs":[]}]}"#));
        (last, now) = (Some(span), now.plus(Duration::from_millis(307_777)));
    }
}

/// Pull request 45802: a page that was not full was taken for the last one.
#[test]
fn demisto_45802_a_short_page_with_a_next_is_not_the_last() {
    let body = r#"{"data":[{"id":"1"}],"meta":{"status":200,"pagination":{"pageSize":500,"next":"n"}}}"#;
    let page = page_at("audit", &ask("audit", &at("audit", ""), NOW), body);
    assert!(!page.caught_up);
}

/// Release 1.4.3: API 1.0 refuses an offset with a colon.
#[test]
fn elastic_1_4_3_dates_carry_no_colon_in_their_offset() {
    for (name, _) in SAMPLES {
        let body = body(&ask(name, &at(name, ""), NOW));
        let dates: Vec<&str> =
            body["data"][0].as_object().unwrap().values().filter_map(Value::as_str).collect();
        assert_eq!(dates.len(), 2, "{name}");
        assert!(dates.iter().all(|date| date.len() == 24 && date.ends_with("+0000")), "{name}: {dates:?}");
    }
}

/// Pull request 13298: a failure under HTTP 200 passed for an empty page.
#[test]
fn elastic_13298_a_failure_under_200_is_not_an_empty_page() {
    let body = include_str!("../../tests/fixtures/mimecast/v1-401-invalid-signature.json");
    let fault = page("ttp.impersonation", body).unwrap_err();
    assert_eq!((fault.status(), fault.code_str()), (Some(401), "0004"));
}

/// Pull request 5325: an answer without rows became a document without content.
#[test]
fn elastic_5325_an_empty_page_makes_no_event() {
    for (name, _) in SAMPLES {
        for body in [r#"{"data":[]}"#, r#"{"meta":{"status":200},"data":[],"fail":[]}"#] {
            assert!(page_at(name, &ask(name, &at(name, ""), NOW), body).chunk.is_none(), "{name}");
        }
    }
}

/// mimecast_log_collector replaces quotes in a printed dictionary to make "JSON" of it: a subject with an
/// apostrophe is lost. Here a record's bytes are never made anew.
#[test]
fn mimecast_log_collector_quotes_and_apostrophes_stay_as_they_came() {
    let record =
        r#"{ "subject" : "Bob's \"offer\" \u00fc é \/", "n":1.0, "n":2, "big":12345678901234567890123 }"#;
    let body = format!(r#"{{"data":[{{"dlpLogs":[{record}]}}]}}"#);
    let page = page_at("dlp", &ask("dlp", &at("dlp", ""), NOW), &body);
    let chunk = page.chunk.unwrap();
    assert_eq!(chunk.event(0, "acme", "dlp", 0).unwrap().raw, record.as_bytes());
}
