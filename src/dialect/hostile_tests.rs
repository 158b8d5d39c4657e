//! Bodies and headers made to hurt: nothing panics, nothing grows, nothing forges a log line.

use proptest::prelude::*;

use super::*;

const NOW: Time = Time(1_767_259_800_000);

fn assert_bounded(fault: &Fault) {
    assert!(fault.detail.chars().count() <= 401, "{}", fault.detail.len());
    assert!(!fault.to_string().contains(char::is_control));
    for name in [&fault.field, &fault.request_id].into_iter().flatten() {
        assert!(name.len() <= 128 && name.chars().all(|c| c.is_ascii_graphic()), "{name}");
    }
    if let Some(wait) = fault.retry_after {
        assert!((1..=86_400).contains(&wait.as_secs()));
    }
}

fn everything(body: &[u8]) {
    for origin in Origin::ALL {
        for status in [0, 200, 302, 401, 403, 503, 999] {
            assert_bounded(&read(origin, status, &[], body, NOW));
        }
        if let Some(fault) = failure_in_success(origin, body) {
            assert_bounded(&fault);
        }
    }
}

#[test]
fn deep_nesting() {
    for (open, close) in [
        ("[", "]"),
        (r#"{"fail":"#, "}"),
        (r#"{"a":["#, "]}"),
        ("<a>", "</a>"),
        ("<Error>", ""),
        ("{\"meta\":[", ""),
    ] {
        everything(format!("{}1{}", open.repeat(100_000), close.repeat(100_000)).as_bytes());
    }
}

#[test]
fn large_bodies() {
    let words = "x".repeat(4 << 20);
    everything(words.as_bytes());
    everything(format!(r#"{{"fail":[{{"code":"{words}","message":"{words}"}}]}}"#).as_bytes());
    everything(format!("<Error><Code>{words}</Code>").as_bytes());
    everything(format!("<html><title>{words}").as_bytes());
    everything(format!("<Error {}>", r#"a="b" "#.repeat(100_000)).as_bytes());
}

#[test]
fn a_huge_list_of_failures_still_tells_the_first() {
    let item = r#"{"errors":[{"code":"err_first","message":"0010 Locked","field":"x"}]}"#;
    let body = format!(r#"{{"data":[],"fail":[{item}{}]}}"#, r#",{"code":"other"}"#.repeat(300_000));
    let fault = failure_in_success(Origin::Api, body.as_bytes()).unwrap();
    assert_eq!((fault.code_str(), fault.field.as_deref()), ("0010", Some("x")));
}

#[test]
fn a_million_keys() {
    let keys: String = (0..1_000_000).map(|n| format!(r#""k{n}":0,"#)).collect();
    let body = format!(r#"{{{keys}"fail":[{{"code":"late"}}]}}"#);
    assert_eq!(failure_in_success(Origin::Api, body.as_bytes()).unwrap().code_str(), "late");
    everything(body.as_bytes());
}

#[test]
fn no_log_line_can_be_forged() {
    let body = "{\"fail\":[{\"code\":\"a\\nb c\",\"message\":\"one\\r\\ntwo\\u001b[2J\\u2028three\",\"field\":\"f\\ng\"}]}";
    let fault =
        read(Origin::Api, 400, &[("x-request-id".to_owned(), "id\r\nX: y".to_owned())], body.as_bytes(), NOW);
    assert_bounded(&fault);
    assert!(!fault.to_string().contains('\u{2028}'));
    assert_eq!(fault.request_id.as_deref(), Some("idX:y"));
}

#[test]
fn xml_that_asks_for_more_is_a_web_page() {
    for body in [
        r#"<?xml version="1.0"?><!DOCTYPE Error [<!ENTITY a SYSTEM "file:///etc/passwd">]><Error><Code>&a;</Code></Error>"#.to_owned(),
        format!("<Error>{}", "<a>".repeat(9)),
        format!("<Error {}/>", (0..65).map(|n| format!(r#"a{n}="" "#)).collect::<String>()),
        "<Error><Code>x</Message></Error>".to_owned(),
        "<Error a=b><Code>x</Code></Error>".to_owned(),
    ] {
        assert_eq!(read(Origin::Download, 403, &[], body.as_bytes(), NOW).code, None, "{body}");
    }
    let kept = read(
        Origin::Download,
        403,
        &[],
        b"<Error><Code>a&b;</Code><Message>&amp;lt; <![CDATA[<x>]]></Message></Error>",
        NOW,
    );
    assert_eq!((kept.code_str(), kept.detail.as_str()), ("ab", "&lt;"));
}

fn header() -> impl Strategy<Value = (String, String)> {
    let names = prop::sample::select(vec![
        "Retry-After",
        "date",
        "X-RateLimit-Reset",
        "x-ratelimit-remaining",
        "x-request-id",
        "content-type",
        "x-error-message",
    ]);
    (
        names.prop_map(str::to_owned),
        ".{0,60}|[0-9]{0,25}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT",
    )
}

proptest! {
    #[test]
    fn any_answer_gives_a_bounded_fault(
        origin in prop::sample::select(Origin::ALL.to_vec()),
        status in any::<u16>(),
        headers in prop::collection::vec(header(), 0..6),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..2000),
            "[\\[\\]{}:,\"\\\\<>/=&;!?a-c0-9 -]{0,300}".prop_map(String::into_bytes),
            "<(Error|appsFault|a:b) ?[a-z=\"' /]{0,20}>[<>/a-z!\\[\\]&;-]{0,100}".prop_map(String::into_bytes),
        ],
        now in any::<i64>(),
    ) {
        let fault = read(origin, status, &headers, &body, Time(now));
        assert_bounded(&fault);
        let _ = (failure_in_success(origin, &body), quota_pause(&headers, Time(now)));
    }

    #[test]
    fn any_json_under_the_telling_names_is_read(
        name in prop::sample::select(vec!["meta", "fail", "error", "errors", "status", "code", "appsFault"]),
        inner in prop::sample::select(vec!["errors", "status", "code", "message", "field", "source"]),
        leaf in prop::sample::select(vec!["null", "1", "-1.5e300", "\"x\"", "[]", "{}", "[null]", "true", "18446744073709551616"]),
        listed in any::<bool>(),
    ) {
        let value = format!(r#"{{"{inner}":{leaf}}}"#);
        let value = if listed { format!("[{value}]") } else { value };
        everything(format!(r#"{{"{name}":{value}}}"#).as_bytes());
    }

    #[test]
    fn a_proxy_can_never_open_a_credential_case(status in prop::sample::select(vec![401_u16, 403]), page in "[a-z <>/]{0,80}") {
        let body = format!("<html>{page}</html>");
        prop_assert!(!read(Origin::Api, status, &[], body.as_bytes(), NOW).attributed);
    }
}
