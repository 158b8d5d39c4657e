//! Every documented sub-code (responses page and support article) and every word met in the wild
//! (mimecast-api.md §5.2), in each form of body that carries it.

use super::*;
use crate::fault::Kind;

const NOW: Time = Time(1_767_259_800_000);

const SUB_CODES: [(u16, &str); 21] = [
    (400, "0001"),
    (401, "0001"),
    (401, "0003"),
    (401, "0004"),
    (401, "0005"),
    (401, "0008"),
    (401, "0010"),
    (401, "0011"),
    (401, "0012"),
    (401, "0013"),
    (403, "0002"),
    (403, "0003"),
    (403, "0007"),
    (403, "0009"),
    (403, "0011"),
    (403, "0012"),
    (403, "0016"),
    (404, "0003"),
    (418, "0001"),
    (429, "0008"),
    (500, "0006"),
];

const WORDS: [(u16, &str); 20] = [
    (401, "err_xdk_invalid_signature"),
    (418, "err_xdk_binding_expired"),
    (401, "err_developer_key"),
    (200, "err_audit_siem_invalid_token"),
    (200, "err_audit_log_incorrect_region"),
    (400, "err_validation_null"),
    (400, "err_validation_blank"),
    (200, "err_validation_invalid_email_address"),
    (200, "err_validation_value_not_allowed"),
    (200, "err_validation_at_least_one_not_null"),
    (200, "err_xdk_operation_forbidden_for_address"),
    (200, "xdk_failure"),
    (200, "err_track_and_trace_invalid_start_date"),
    (200, "err_invalid_search_xml"),
    (401, "token_expired"),
    (401, "InvalidClientIdentifier"),
    (401, "token_verification_failed"),
    (401, "unauthorized"),
    (403, "app_forbidden"),
    (400, "validation_error"),
];

fn api(status: u16, body: &str) -> (Kind, String, bool) {
    let fault = read(Origin::Api, status, &[], body.as_bytes(), NOW);
    (fault.kind, fault.code_str().to_owned(), fault.attributed)
}

#[test]
fn sub_codes_win_over_words_in_every_form() {
    for (status, code) in SUB_CODES {
        let expected = (Kind::Status(status), code.to_owned(), true);
        let error = format!(r#"{{"code":"err_word","message":"{code} In plain words","retryable":false}}"#);
        for body in [
            format!(
                r#"{{"meta":{{"status":{status}}},"data":[],"fail":[{{"key":{{}},"errors":[{error}]}}]}}"#
            ),
            format!(r#"{{"fail":[{error}]}}"#),
            format!(r#"{{"fail":{error}}}"#),
            format!(r#"{{"error":[{error}]}}"#),
            format!(r#"{{"error":{error}}}"#),
            format!(r#"{{"code":"{code}","message":"In plain words"}}"#),
            format!(r#"{{"fail":[{{"code":"{code}"}}]}}"#),
            format!(r#"{{"fail":[{{"message":"{code}"}}]}}"#),
        ] {
            assert_eq!(api(status, &body), expected, "{body}");
        }
        let hidden = format!(r#"{{"meta":{{"status":{status}}},"fail":[{{"errors":[{error}]}}]}}"#);
        assert_eq!(api(200, &hidden), expected, "under HTTP 200: {hidden}");
    }
}

#[test]
fn words_are_kept_as_they_are() {
    for (status, word) in WORDS {
        let expected = (Kind::Status(status), word.to_owned(), true);
        for body in [
            format!(r#"{{"fail":[{{"code":"{word}","message":"In plain words"}}]}}"#),
            format!(r#"{{"fail":[{{"errors":[{{"code":"{word}"}}]}}]}}"#),
            format!(r#"{{"error":[{{"code":"{word}","field":"x"}}]}}"#),
        ] {
            assert_eq!(api(status, &body), expected, "{body}");
        }
    }
}

#[test]
fn oauth_words() {
    for word in [
        "invalid_client",
        "unauthorized_client",
        "invalid_grant",
        "access_denied",
        "invalid_scope",
        "unsupported_grant_type",
        "invalid_request",
        "temporarily_unavailable",
        "server_error",
        "slow_down",
    ] {
        for origin in [Origin::Token, Origin::Api] {
            let body = format!(r#"{{"error":"{word}","error_description":"why"}}"#);
            let fault = read(origin, 400, &[], body.as_bytes(), NOW);
            assert_eq!((fault.code_str(), fault.attributed, fault.detail.as_str()), (word, true, "why"));
        }
    }
    let proxy = read(Origin::Api, 403, &[], br#"{"error":"blocked"}"#, NOW);
    assert!(!proxy.attributed, "a proxy's own word is no evidence against a credential");
}

#[test]
fn numbers_that_only_look_like_sub_codes() {
    let code = |body: &str| api(400, body).1;
    assert_eq!(code(r#"{"fail":[{"code":"too_many","message":"1000 records is the maximum"}]}"#), "too_many");
    assert_eq!(code(r#"{"fail":[{"code":"bad_date","message":"0026-01-01 is no date"}]}"#), "bad_date");
    assert_eq!(code(r#"{"fail":[{"code":"x","message":"00041 things"}]}"#), "x");
    assert_eq!(code(r#"{"fail":[{"code":400,"message":"no"}]}"#), "", "an HTTP status names nothing");
    assert_eq!(code(r#"{"fail":[{"message":"0099 New"}]}"#), "0099");
}

#[test]
fn the_first_error_with_a_code_is_told() {
    let body = r#"{"fail":[{"message":"vague"},{"errors":[{"code":"app_forbidden","message":"no"}]}]}"#;
    assert_eq!(api(403, body), (Kind::Status(403), "app_forbidden".to_owned(), true));
}

#[test]
fn contradictions_take_the_milder_reading() {
    use super::said::milder;
    let order = [429, 503, 409, 404, 400, 403, 401];
    for (place, mild) in order.into_iter().enumerate() {
        for harsh in &order[place..] {
            assert_eq!(milder(mild, *harsh), mild);
            assert_eq!(milder(*harsh, mild), mild);
        }
    }
    assert_eq!(milder(200, 401), 401, "a 200 contradicts nothing");
    assert_eq!(milder(200, 302), 200);
    assert_eq!(milder(418, 500), 418, "outside the order HTTP holds");
    assert_eq!(milder(401, 200), 401);
}

#[test]
fn mimecasts_own_refusal_is_never_taken_for_throttling() {
    let body =
        r#"{"fail":[{"code":"err_x","message":"0012 Too Many Application Bindings, limit exceeded"}]}"#;
    assert_eq!(api(403, body), (Kind::Status(403), "0012".to_owned(), true));
}

#[test]
fn only_api_and_token_answers_are_attributed() {
    let body = br#"{"fail":[{"code":"token_expired"}]}"#;
    for origin in [Origin::Download, Origin::Sink, Origin::Local] {
        assert!(!read(origin, 401, &[], body, NOW).attributed);
    }
}

#[test]
fn mimecasts_request_id_tells_its_json_from_a_proxys() {
    let own = [("x-mc-req-id".to_owned(), "1".to_owned())];
    let body = br#"{"message":"0010 Login Locked Out"}"#;
    let fault = read(Origin::Api, 401, &own, body, NOW);
    assert_eq!((fault.code_str(), fault.attributed), ("0010", true));
    let fault = read(Origin::Api, 401, &[], body, NOW);
    assert_eq!((fault.code_str(), fault.attributed), ("", false));
}

/// A 200 that is neither what was due nor a failure is not understood, whatever codes stand in it: it must not lock a
/// credential.
#[test]
fn a_good_status_with_something_else_says_nothing_of_the_credential() {
    let page = "<html><body>0010 Account Locked Out</body></html>";
    for (body, kind) in [
        (r#"{"code":"0010","message":"0010 Account Locked Out"}"#, Kind::Malformed),
        (r#"{"meta":{"status":200},"fail":[],"code":"0010"}"#, Kind::Malformed),
        (r#"[{"meta":{"status":401},"fail":[{"code":"0010"}]}]"#, Kind::Malformed),
        (page, Kind::Html),
    ] {
        let fault = super::read(Origin::Api, 200, &[], body.as_bytes(), Time(0));
        assert_eq!((fault.kind, fault.code_str(), fault.attributed), (kind, "", false), "{body}");
    }
    let sink = super::read(Origin::Sink, 200, &[], page.as_bytes(), Time(0));
    assert_eq!(sink.kind, Kind::Status(200), "a destination may speak HTML");
}

#[test]
fn a_saved_body_may_name_its_own_status() {
    let of = |body: &str| super::status_in_body(&[], body.as_bytes());
    assert_eq!(of(r#"{"meta":{"status":418},"fail":[{"errors":[{"code":"0001"}]}]}"#), Some(418));
    assert_eq!(of(r#"{"type":"about:blank","title":"Forbidden","status":403}"#), Some(403));
    assert_eq!(of(r#"{"meta":{"status":7},"fail":[]}"#), None, "no status of HTTP");
    assert_eq!(of("plain words"), None);
}
