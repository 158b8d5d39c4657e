//! Every form of mimecast-api.md §5.1 and what surrounds it; nothing hostile may panic or blow up.

use std::time::Duration;

use proptest::prelude::*;

use super::{failure_in_success, read};
use crate::clock::Time;
use crate::fault::{Fault, Kind, Origin};
use crate::supervisor::policy::judge;

const NOW: Time = Time(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT

fn api(status: u16, body: &str) -> Fault {
    read(Origin::Api, status, &[], body.as_bytes(), NOW)
}
fn with(status: u16, headers: &[(&str, &str)]) -> Fault {
    let headers: Vec<(String, String)> =
        headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    read(Origin::Api, status, &headers, b"{\"fail\":[{\"message\":\"x\"}]}", NOW)
}
fn summary(fault: &Fault) -> (Kind, &str, bool, &str) {
    (fault.kind, fault.code_str(), fault.attributed, &fault.detail)
}

#[test]
fn e1_nested_fail() {
    let body = r#"{"meta":{"isLastToken":false,"status":401},"data":[],"fail":[{"key":{"user":"ana@corp.example.com"},
        "errors":[{"code":"err_xdk_invalid_signature","message":"0004 Invalid Signature","retryable":false}]}]}"#;
    let fault = api(401, body);
    assert_eq!(
        summary(&fault),
        (Kind::Status(401), "0004", true, "err_xdk_invalid_signature: Invalid Signature")
    );
    assert_eq!(fault.retryable, Some(false));
    assert!(!fault.detail.contains("ana@"));
}

#[test]
fn e2_status_only() {
    let fault = api(401, r#"{"meta":{"status":401},"data":[],"fail":[]}"#);
    assert_eq!(summary(&fault), (Kind::Status(401), "", true, ""));
    assert_eq!(judge(&fault).id, "M36");
}

#[test]
fn e3_e4_flat_fail() {
    let fault = api(401, r#"{"fail":[{"code":"token_expired","message":"Access token has expired"}]}"#);
    assert_eq!(
        summary(&fault),
        (Kind::Status(401), "token_expired", true, "token_expired: Access token has expired")
    );
    let fault = api(401, r#"{"fail":[{"code":"unauthorized"}]}"#);
    assert_eq!(summary(&fault), (Kind::Status(401), "unauthorized", true, "unauthorized"));
    let fault = api(401, r#"{"fail":[{"message":"Unauthorized Request"}]}"#);
    assert_eq!(judge(&fault).id, "M33");
}

#[test]
fn e5_e6_error_list_and_object() {
    let fault = api(
        400,
        r#"{"error":[{"code":"validation_error","message":"must match","field":"dateRangeStartsAt"}]}"#,
    );
    assert_eq!(fault.field.as_deref(), Some("dateRangeStartsAt"));
    assert_eq!((fault.code_str(), judge(&fault).verdict.as_str()), ("validation_error", "rewind"));
    let fault = api(400, r#"{"error":{"message":"no"}}"#);
    assert_eq!(summary(&fault), (Kind::Status(400), "", true, "no"));
}

#[test]
fn e7_empty_bodies_are_nobodys() {
    for body in ["", " \r\n "] {
        let fault = api(401, body);
        assert_eq!(summary(&fault), (Kind::Status(401), "", false, ""));
        assert_eq!(judge(&fault).id, "X09");
    }
}

#[test]
fn e8_web_pages_are_nobodys() {
    let page = "<!DOCTYPE html><html><head><title>Sign in to Corp Net</title></head></html>";
    let fault = api(401, page);
    assert_eq!(summary(&fault), (Kind::Status(401), "", false, "web page \"Sign in to Corp Net\""));
    assert_eq!(judge(&fault).id, "X09");
    assert_eq!(api(200, page).kind, Kind::Html);
    assert_eq!(api(404, page).kind, Kind::Html);
    assert_eq!(api(502, page).kind, Kind::Status(502));
    assert_eq!(read(Origin::Sink, 404, &[], page.as_bytes(), NOW).kind, Kind::Status(404));
}

#[test]
fn e9_s3() {
    let s3 = |status, code: &str, message: &str| {
        let body = format!(
            "<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
             <RequestId>77E2</RequestId><HostId>aGVsbG8=</HostId></Error>"
        );
        read(Origin::Download, status, &[], body.as_bytes(), NOW)
    };
    let expired = s3(403, "AccessDenied", "Request has expired");
    assert_eq!(
        summary(&expired),
        (Kind::Status(403), "RequestExpired", false, "RequestExpired: Request has expired")
    );
    assert_eq!(judge(&expired).id, "X17");
    assert_eq!(judge(&s3(403, "AccessDenied", "Access Denied")).id, "X17");
    assert_eq!(judge(&s3(404, "NoSuchKey", "The specified key does not exist.")).id, "X18");
    assert_eq!(judge(&s3(403, "SignatureDoesNotMatch", "x")).id, "X19");
    let two = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter...";
    assert_eq!(judge(&s3(400, "InvalidArgument", two)).id, "X20");
    assert_eq!(judge(&s3(400, "InvalidArgument", "part number")).id, "H08");
    assert_eq!(judge(&s3(503, "SlowDown", "Please reduce your request rate.")).id, "X21");
}

#[test]
fn oauth_errors_are_attributed() {
    let body = br#"{"error":"invalid_client","error_description":"Client authentication failed"}"#;
    let fault = read(Origin::Token, 401, &[], body, NOW);
    assert_eq!(
        summary(&fault),
        (Kind::Status(401), "invalid_client", true, "invalid_client: Client authentication failed")
    );
    assert_eq!(judge(&fault).id, "M34");
}

#[test]
fn other_dialects() {
    let problem = api(
        403,
        r#"{"type":"https://example.com/probs/out-of-credit","title":"No credit","status":429,"detail":"balance 30"}"#,
    );
    assert_eq!(
        summary(&problem),
        (Kind::Status(429), "out-of-credit", false, "out-of-credit: No credit: balance 30")
    );
    let json_api =
        api(422, r#"{"errors":[{"status":"422","title":"Invalid","source":{"pointer":"/data/pageSize"}}]}"#);
    assert_eq!(summary(&json_api), (Kind::Status(422), "", false, "Invalid"));
    let throttled = api(403, r#"{"unauthorizedFault":{"message":"Exceeded request limits","code":403}}"#);
    assert_eq!(throttled.kind, Kind::Status(429));
    let both = api(404, r#"{"appsFault":{"message":"Internal Server Error","code":500}}"#);
    assert_eq!(both.kind, Kind::Status(500));
    let xml = api(
        404,
        r#"<?xml version="1.0"?><itemNotFoundFault xmlns:a="b" code="404"><message>x not found</message></itemNotFoundFault>"#,
    );
    assert_eq!(
        summary(&xml),
        (Kind::Status(404), "itemNotFoundFault", false, "itemNotFoundFault: x not found")
    );
    let bare = api(500, r#"{"code":"oops","message":"went wrong"}"#);
    assert_eq!(summary(&bare), (Kind::Status(500), "oops", false, "oops: went wrong"));
    let text = api(503, "upstream connect error");
    assert_eq!(summary(&text), (Kind::Status(503), "", false, "upstream connect error"));
}

#[test]
fn a_yes_that_means_no() {
    let validation = r#"{"meta":{"status":200},"data":[],"fail":[{"key":{},"errors":[
        {"field":"startDateTime","code":"err_validation_null","message":"Field can not be null","retryable":false}]}]}"#;
    let fault = failure_in_success(validation.as_bytes()).unwrap();
    assert_eq!(
        (fault.kind, fault.code_str(), fault.attributed),
        (Kind::Status(200), "err_validation_null", true)
    );
    assert_eq!(judge(&fault).id, "M02");

    let status_only = failure_in_success(br#"{"meta":{"status":403},"data":[1],"fail":[]}"#).unwrap();
    assert_eq!((status_only.kind, judge(&status_only).id), (Kind::Status(403), "M21"));
    let token = failure_in_success(
        br#"{"meta":{"status":200},"data":[],"fail":[{"errors":[{"code":"err_audit_siem_invalid_token","message":"Invalid Token"}]}]}"#,
    );
    assert_eq!(judge(&token.unwrap()).verdict.as_str(), "rewind");
    let locked =
        failure_in_success(br#"{"fail":[{"errors":[{"message":"0010 Locked out"}]}],"data":[]}"#).unwrap();
    assert_eq!(judge(&locked).id, "M10");
    let empty = failure_in_success(
        br#"{"fail":[{"errors":[{"message":"No results found for threat intel feed."}]}]}"#,
    );
    assert_eq!(judge(&empty.unwrap()).title, "nothing_there");
    let later =
        failure_in_success(br#"{"fail":[{"errors":[{"code":"odd","message":"busy","retryable":true}]}]}"#)
            .unwrap();
    assert_eq!(judge(&later).title, "fail_in_200");

    for good in [
        r#"{"meta":{"status":200},"data":[{"fail":[1]}],"fail":[]}"#,
        r#"{"value":[],"@nextPage":"NTI6bnVsbA==","isCaughtUp":true}"#,
        r#"{"data":[],"fail":[ ],"error":null}"#,
        r#"{"access_token":"x","expires_in":1799}"#,
        "",
        "[]",
        "\u{1f}\u{8b}",
        "{\"fail\":[",
    ] {
        assert_eq!(failure_in_success(good.as_bytes()), None, "{good}");
    }
}

#[test]
fn retry_after_and_reset() {
    let secs = |n| Some(Duration::from_secs(n));
    assert_eq!(with(429, &[("Retry-After", "120")]).retry_after, secs(120));
    assert_eq!(with(503, &[("retry-after", "0")]).retry_after, secs(1));
    assert_eq!(with(503, &[("retry-after", "86400")]).retry_after, secs(86_400));
    for absurd in ["86401", "99999999999999999999999999", "soon", "-5", "1.5", ""] {
        assert_eq!(with(503, &[("retry-after", absurd)]).retry_after, secs(3600), "{absurd}");
    }
    let date = ("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT");
    assert_eq!(with(503, &[date]).retry_after, secs(60));
    // Our clock is 10 minutes fast: only the server's own Date counts.
    let server = ("date", "Sun, 06 Nov 1994 08:50:07 GMT");
    assert_eq!(with(503, &[date, server]).retry_after, secs(30));
    assert_eq!(with(503, &[date, server]).skew_ms, Some(30_000));
    assert_eq!(with(503, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]).retry_after, None);

    let reset = |value| with(429, &[("X-RateLimit-Reset", value)]).retry_after;
    assert_eq!(reset("1500"), Some(Duration::from_millis(1500)));
    assert_eq!(reset("0"), secs(1));
    assert_eq!(reset("784111807"), Some(Duration::from_secs(3600))); // below 1e9: a delta
    let later = Time::from_secs(1_784_111_777);
    let headers = [("x-ratelimit-reset".to_owned(), "1784111807".to_owned())];
    assert_eq!(super::wait::asked_for(429, &headers, later), secs(30));
    let headers = [("x-ratelimit-reset".to_owned(), "1784111807000".to_owned())];
    assert_eq!(super::wait::asked_for(429, &headers, later), secs(30));
    assert_eq!(reset("-1"), None);
    assert_eq!(reset("NaN"), None);
    assert_eq!(with(500, &[("x-ratelimit-reset", "5000")]).retry_after, None);
    assert_eq!(
        with(500, &[("x-ratelimit-reset", "5000"), ("x-ratelimit-remaining", "0")]).retry_after,
        secs(5)
    );
    assert_eq!(with(429, &[("retry-after", "7"), ("x-ratelimit-reset", "5000")]).retry_after, secs(7));
}

#[test]
fn the_request_id_is_kept() {
    assert_eq!(with(500, &[("X-Mc-Req-Id", "abc-123")]).request_id.as_deref(), Some("abc-123"));
}

#[test]
fn secrets_are_taken_out() {
    let signature = "a".repeat(64);
    let jwt = format!("eyJhbGciOiJIUzI1NiJ9.{}.{}", "e30", "x".repeat(20));
    for (said, secret) in [
        ("Authorization: Bearer abc.def".to_owned(), "abc.def"),
        (format!("token {jwt} refused"), "eyJ"),
        (format!("see https://b.s3.amazonaws.com/f.gz?X-Amz-Signature={signature}"), "aaaa"),
        (format!("sig {signature}"), "aaaa"),
        ("client_secret=hunter2&x=1".to_owned(), "hunter2"),
        ("MC key:c2ln".to_owned(), "c2ln"),
    ] {
        let body = serde_json::json!({"fail": [{"code": "odd", "message": said}]}).to_string();
        let fault = api(400, &body);
        assert!(!fault.to_string().contains(secret), "{fault}");
        let fault = api(400, &said);
        assert!(!fault.to_string().contains(secret), "{fault}");
    }
    assert_eq!(
        api(400, "path /siem/v1/batch/events/cg of 3f2504e0-4f89-41d3-9a0c-0305e82c3301").detail,
        "path /siem/v1/batch/events/cg of 3f2504e0-4f89-41d3-9a0c-0305e82c3301"
    );
}

#[test]
fn large_and_deep_bodies_are_bounded() {
    let deep = format!("{{\"fail\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(api(401, &deep).detail.len() < 2_000);
    assert!(failure_in_success(deep.as_bytes()).is_some()); // not empty, whatever it is
    let long = format!("{{\"fail\":[{{\"code\":\"c\",\"message\":\"{}\"}}]}}", "x ".repeat(1 << 20));
    assert!(api(401, &long).detail.len() < 2_000);
    assert!(failure_in_success(long.as_bytes()).is_some());
    let tags = "<a>".repeat(100_000);
    assert!(read(Origin::Download, 403, &[], tags.as_bytes(), NOW).detail.len() < 2_000);
}

proptest! {
    #[test]
    fn total(origin in 0..5_usize, status: u16, body in proptest::collection::vec(any::<u8>(), 0..400), header in ".{0,40}") {
        let headers = ["retry-after", "x-ratelimit-reset", "date", "x-request-id", "x-error-message"].map(|name| (name.to_owned(), header.clone()));
        let fault = read(Origin::ALL[origin], status, &headers, &body, NOW);
        prop_assert!(!fault.to_string().contains('\n'));
        prop_assert!(fault.retry_after.is_none_or(|wait| wait >= Duration::from_secs(1) && wait <= Duration::from_secs(86_400)));
        let _ = failure_in_success(&body);
    }

    #[test]
    fn total_on_what_looks_right(body in "[{}\\[\\]\":,<>/=a-zEFC0-9 ?!&;]{0,200}", start in prop::sample::select(vec!["{", "[", "<", "<?xml ?><Error>", "{\"fail\":[", "{\"error\":"])) {
        let body = format!("{start}{body}");
        let _ = read(Origin::Download, 403, &[], body.as_bytes(), NOW);
        let _ = failure_in_success(body.as_bytes());
    }
}
