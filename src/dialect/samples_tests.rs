//! Every sample body, as a table in `tests/fixtures/dialect/cases.tsv`.

use std::path::PathBuf;

use super::*;
use crate::fault::Kind;

const NOW: Time = Time(1_767_259_800_000);

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dialect").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn origin(text: &str) -> Origin {
    Origin::ALL.into_iter().find(|origin| origin.as_str() == text).unwrap()
}

fn sample(name: &str, from: Origin, status: u16) -> Fault {
    read(from, status, &[], &fixture(name), NOW)
}

#[test]
fn every_sample_becomes_the_expected_fault() {
    let table = String::from_utf8(fixture("cases.tsv")).unwrap();
    let mut wrong = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [file, from, http, kind, code, attributed, _row] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            panic!("{line}");
        };
        let fault = sample(file, origin(from), http.parse().unwrap());
        let found_kind = match fault.kind {
            Kind::Status(status) => status.to_string(),
            kind => format!("{kind:?}").to_lowercase(),
        };
        let found_code = fault.code.as_ref().map_or("-", Code::as_str);
        let found_attributed = if fault.attributed { "yes" } else { "no" };
        if (found_kind.as_str(), found_code, found_attributed) != (kind, code, attributed) {
            wrong.push(format!("{line}\n   found {fault:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn good_answers_carry_no_failure() {
    for name in [
        "v1-siem-caught-up.json",
        "api-empty-data.json",
        "v2-batch-listing.json",
        "v2-batch-listing-empty.json",
        "v2-cg-stream-page.json",
        "v2-token.json",
        "api-audit-page.json",
    ] {
        for from in [Origin::Api, Origin::Token, Origin::Sink] {
            assert_eq!(failure_in_success(from, &fixture(name)), None, "{name}");
        }
    }
}

#[test]
fn a_fault_keeps_field_and_retryable_and_counts_the_rest() {
    let fault = sample("v2-200-with-fail.json", Origin::Api, 200);
    assert_eq!(fault.field.as_deref(), Some("startDateTime"));
    assert_eq!(fault.retryable, Some(false));
    assert_eq!(fault.detail, "Field can not be null (and 1 more)");
    assert_eq!(sample("v1-429.json", Origin::Api, 429).retryable, Some(true));
    assert_eq!(sample("json-api.json", Origin::Api, 400).field.as_deref(), Some("/data/pageSize"));
}

#[test]
fn the_echoed_key_of_a_request_is_never_shown() {
    let shown = format!("{:?}", sample("v1-key-echoed.json", Origin::Api, 200));
    assert!(!shown.contains("example.com") && !shown.contains("c2Vj"), "{shown}");
}

#[test]
fn a_bearer_token_quoted_by_the_file_store_is_not_shown() {
    let shown = format!("{:?}", sample("s3-two-mechanisms.xml", Origin::Download, 400));
    assert!(!shown.contains("c2VjcmV0"), "{shown}");
}

#[test]
fn contradictions_name_both_statuses() {
    let fault = sample("rackspace-404-doubled-quote.txt", Origin::Api, 404);
    assert_eq!(fault.detail, "read as 500, sent as HTTP 404: Something broke inside");
}

#[test]
fn messages_for_people() {
    let detail = |name: &str, status| sample(name, Origin::Api, status).detail;
    assert_eq!(detail("rackspace-404.xml", 404), "Domain: mail.example.com & others were not found");
    assert_eq!(detail("gateway.html", 403), "a web page came: Access denied by policy");
    assert_eq!(detail("problem.json", 429), "Quota used up: No calls are left in this window");
    assert_eq!(detail("empty.txt", 500), "the answer is empty");
    assert_eq!(
        sample("s3-expired.xml", Origin::Download, 403).request_id.as_deref(),
        Some("4442587FB7D0A2F9")
    );
}

#[test]
fn headers_are_read_in_any_case() {
    let headers: Vec<(String, String)> = [
        ("X-MC-Req-Id", "8578fcfc-a305"),
        ("x-request-id", "other"),
        ("RETRY-AFTER", "120"),
        ("Date", "Thu, 01 Jan 2026 09:31:00 GMT"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let fault = read(Origin::Api, 503, &headers, b"", NOW);
    assert_eq!(fault.request_id.as_deref(), Some("8578fcfc-a305"));
    assert_eq!(fault.retry_after, Some(std::time::Duration::from_secs(120)));
    assert_eq!(fault.skew_ms, Some(60_000));
}

#[test]
fn the_legacy_error_header_is_the_message_and_may_mean_throttling() {
    let with = |text: &str, status| {
        read(Origin::Api, status, &[("X-Error-Message".to_owned(), text.to_owned())], b"", NOW)
    };
    assert_eq!(with("No such domain", 404).detail, "No such domain");
    let slow = with("Exceeded request limits", 403);
    assert_eq!((slow.kind, slow.code_str()), (Kind::Status(429), "throttled"));
}

#[test]
fn the_reset_time_counts_only_when_the_quota_is_used_up() {
    let with = |status, left: &str| {
        let headers = [("X-RateLimit-Reset", "90000"), ("X-RateLimit-Remaining", left)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        read(Origin::Api, status, &headers, b"", NOW).retry_after.map(|wait| wait.as_secs())
    };
    assert_eq!(with(429, "3"), Some(90));
    assert_eq!(with(500, "3"), None);
    assert_eq!(with(500, "0"), Some(90));
}

#[test]
fn failures_in_a_200_are_seen_wherever_they_stand() {
    for body in [
        r#"{"fail":[{}],"data":[]}"#,
        r#"{"data":[{"a":[1,2]}],"meta":{"status":500}}"#,
        r#"{"meta":{"status":"403"}}"#,
        r#"{"meta":{"status":0}}"#,
        r#"{"error":"server_error"}"#,
        r#"{"errors":[{"status":"503"}]}"#,
        r#"{"status":"Error","message":"no"}"#,
        r#"{"ack":"failure"}"#,
        "\u{feff} {\"f\\u0061il\":[1]}",
        r#"{"fail":[],"fail":[{"code":"x"}]}"#,
        r#"{"fail":[{"code":"x"}],"fail":[]}"#,
        r#"{"fail":[{"code":"x"}],"data":[{"cut sho"#,
    ] {
        assert!(failure_in_success(Origin::Api, body.as_bytes()).is_some(), "{body}");
    }
    for body in [
        "",
        "[]",
        "null",
        "{}",
        "x",
        r#"{"fail":[ ],"error":null,"errors":{},"status":"success"}"#,
        r#"{"data":[{"fail":[1],"error":"x"}]}"#,
        r#"{"meta":{"status":204}}"#,
        r#"{"ack":"warning"}"#,
        r#"{"meta":null}"#,
    ] {
        assert_eq!(failure_in_success(Origin::Api, body.as_bytes()), None, "{body}");
    }
}

/// A receiver's 200 is not taken for an acknowledgement, and not for a failure because of a word that it uses otherwise.
#[test]
fn what_a_destination_says_in_a_2xx() {
    for fine in [
        "",
        "ok",
        "[1]",
        "<html>",
        "{}",
        r#"{"took":30,"errors":false,"items":[{"create":{"status":201}},{"create":{"status":400,"error":{"type":"x"}}}]}"#,
        r#"{"errors":[]}"#,
        r#"{"errors":null,"status":-1.5}"#,
        r#"{"status":"ok","code":0}"#,
        r#"{"text":"Success","code":0}"#,
        r#"{"text":"Success","code":0,"ackId":7}"#,
        r#"{"text":"Success","code":200}"#,
        r#"{"code":500}"#,
        r#"{"partialSuccess":{}}"#,
        r#"{"items":[{"errors":true}]}"#,
        r#"{"nested":{"status":"error"}}"#,
        r#"{"success":true,"status":202,"message":"queued","error":null}"#,
        r#"{"success":12,"fail":0,"error":""}"#,
        r#"{"meta":{"status":0,"fail":[1]}}"#,
        r#"{"meta":{"status":1},"status":0}"#,
    ] {
        assert_eq!(failure_in_success(Origin::Sink, fine.as_bytes()), None, "{fine}");
    }
    for (bad, kind) in [
        (r#"{"took":3,"errors":true,"items":[]}"#, Kind::Partial),
        (r#"{"took":3,"errors":true,"items":[{"index""#, Kind::Partial), // cut at the bound
        (r#"{"errors":[{"title":"no"}]}"#, Kind::Partial),
        (r#"{"fail":[{"errors":[{"code":"x","message":"no"}]}]}"#, Kind::Partial),
        (r#"{"success":9,"fail":1}"#, Kind::Partial),
        (r#"{"status":"Error"}"#, Kind::Status(500)),
        (r#"{"status":"error","code":429}"#, Kind::Status(429)),
        (r#"{"success":false,"status":403}"#, Kind::Status(403)),
        (r#"{"success":false}"#, Kind::Status(500)),
        (r#"{"error":"unknown source"}"#, Kind::Status(500)),
        (r#"{"error":{"code":401,"message":"no"}}"#, Kind::Status(401)),
        (r#"{"status":503,"title":"Busy"}"#, Kind::Status(503)),
        (r#"{"meta":{"status":429}}"#, Kind::Status(429)),
    ] {
        let fault = failure_in_success(Origin::Sink, bad.as_bytes()).expect(bad);
        assert_eq!((fault.kind, fault.attributed), (kind, false), "{bad}");
    }
}

#[test]
fn only_mimecasts_own_form_in_a_200_is_evidence() {
    let read = |body: &str| failure_in_success(Origin::Api, body.as_bytes()).unwrap();
    let own = read(r#"{"meta":{"status":401},"fail":[{"errors":[{"message":"0010 Locked out"}]}]}"#);
    assert_eq!((own.kind, own.code_str(), own.attributed), (Kind::Status(401), "0010", true));
    let proxy = read(r#"{"status":401,"message":"sign in"}"#);
    assert_eq!((proxy.kind, proxy.attributed), (Kind::Status(401), false));
}

#[test]
fn failures_known_by_their_message_alone() {
    for (error, code) in [
        (r#"{"message":"No results found for threat intel feed."}"#, "no_results"),
        (r#"{"code":"err_any","message":"Unable to compress feeds."}"#, "no_results"),
        (
            r#"{"code":"err_audit_siem_invalid_token","message":"0007 Invalid token"}"#,
            "err_audit_siem_invalid_token",
        ),
        (r#"{"message":"Unauthorized Request"}"#, "unauthorized_request"),
        (r#"{"message":"InvalidClientIdentifier"}"#, "InvalidClientIdentifier"),
        (r#"{"code":"err_any","message":"Unauthorized Request"}"#, "err_any"),
        (r#""Unauthorized Request""#, "unauthorized_request"),
    ] {
        for body in [format!(r#"{{"fail":[{{"errors":[{error}]}}]}}"#), format!(r#"{{"fail":[{error}]}}"#)] {
            assert_eq!(failure_in_success(Origin::Api, body.as_bytes()).unwrap().code_str(), code, "{body}");
        }
    }
}

#[test]
fn a_web_page_hides_an_answer_but_not_a_status_that_says_enough() {
    let page = |from, status| sample("gateway.html", from, status).kind;
    for from in [Origin::Api, Origin::Token, Origin::Download] {
        for status in [400, 404, 409, 410, 418, 422] {
            assert_eq!(page(from, status), Kind::Html, "{status}");
        }
        for status in [302, 401, 403, 407, 408, 429, 503] {
            assert_eq!(page(from, status), Kind::Status(status));
        }
    }
    assert_eq!(page(Origin::Sink, 404), Kind::Status(404));
}
