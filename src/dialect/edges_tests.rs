//! The edges of what each form is known by: one body on either side of every condition.

use serde_json::{Map, Value, json};

use super::lenient::Glimpse;
use super::said::{Form, Said, milder};
use super::xml::Xml;
use super::*;
use crate::limits::{MAX_LENIENT_BYTES, MAX_XML_ATTRIBUTES, MAX_XML_DEPTH, MAX_XML_TEXTS};

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { panic!("{value} is no object") };
    members
}

#[test]
fn only_mimecasts_own_names_tell_the_sender() {
    for word in ["0012", "err_x", "xdk_x", "token_expired", "APP_FORBIDDEN"] {
        assert!(mimecast::is_own_word(word), "{word}");
    }
    for word in ["1012", "00123", "00a2", "a012", "NotFound", "my_err_x", ""] {
        assert!(!mimecast::is_own_word(word), "{word}");
    }
}

#[test]
fn mimecasts_form_is_known_by_either_half() {
    for (body, status) in [
        (json!({"meta": {"status": 401}}), Some(401)),
        (json!({"fail": []}), None),
        (json!({"fail": [{"code": 503, "message": "x"}]}), Some(503)),
        (json!({"fail": [{"code": "503", "message": "x"}]}), None),
    ] {
        let said = mimecast::read(&object(body.clone())).unwrap_or_else(|| panic!("{body}"));
        assert_eq!((said.form, said.status), (Form::Mimecast, status), "{body}");
    }
    for body in [json!({"error": {}}), json!({"fail": null}), json!({})] {
        assert!(mimecast::read(&object(body.clone())).is_none(), "{body}");
    }
}

#[test]
fn a_word_beside_a_path_is_a_web_frameworks() {
    for (body, ours) in [
        (json!({"error": "NotFound"}), true),
        (json!({"error": "NotFound", "path": "/x"}), false),
        (json!({"error": "NotFound", "timestamp": 1}), false),
        (json!({"error": "invalid_client", "path": "/x"}), true),
        (json!({"error": "Not found"}), false),
    ] {
        assert_eq!(oauth::read(&object(body.clone())).is_some(), ours, "{body}");
    }
}

#[test]
fn a_problem_has_a_title_and_one_thing_more() {
    for (body, ours) in [
        (json!({"title": "t", "type": "https://example.com/x"}), true),
        (json!({"title": "t", "status": 403}), true),
        (json!({"title": "t"}), false),
        (json!({"type": "https://example.com/x", "status": 403}), false),
    ] {
        assert_eq!(problem_json::read(&[], &object(body.clone())).is_some(), ours, "{body}");
    }
}

#[test]
fn a_number_that_is_a_status_names_nothing() {
    assert_eq!(object::code(Some(&json!(404))), None);
    assert_eq!(object::code(Some(&json!(1234))).as_deref(), Some("1234"));
    for (value, flag) in
        [(json!(" True "), Some(true)), (json!("false"), Some(false)), (json!("no"), None), (json!(1), None)]
    {
        assert_eq!(object::flag(Some(&value)), flag, "{value}");
    }
}

#[test]
fn what_is_said_of_a_credential_and_of_haste() {
    let said = |form, code: &str| Said { code: Some(code.to_owned()), ..Said::new(form, "") };
    assert!(said(Form::RackspaceFault, "unauthorizedFault").is_attributed(Origin::Api));
    assert!(!said(Form::RackspaceFault, "badRequest").is_attributed(Origin::Api));
    assert!(said(Form::Xml, "SlowDown").is_throttling(403) && said(Form::Xml, "SlowDown").is_throttling(400));
    assert!(!said(Form::Xml, "SlowDown").is_throttling(401) && !said(Form::Xml, "quota").is_throttling(403));
    assert_eq!(
        [milder(500, 503), milder(503, 500), milder(500, 429), milder(429, 500)],
        [500, 503, 429, 429]
    );
}

#[test]
fn the_bounds_of_xml() {
    let nested = |depth: usize| format!("{}x{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(Xml::scan(&nested(MAX_XML_DEPTH)).is_some() && Xml::scan(&nested(MAX_XML_DEPTH + 1)).is_none());
    let attributes = |count: usize| {
        let all: String = (0..count).map(|n| format!(" a{n}=\"v\"")).collect();
        Xml::scan(&format!("<a{all}/>"))
    };
    assert!(attributes(MAX_XML_ATTRIBUTES).is_some() && attributes(MAX_XML_ATTRIBUTES + 1).is_none());
    let texts: String = (0..=MAX_XML_TEXTS).map(|n| format!("<t{n}>v</t{n}>")).collect();
    let xml = Xml::scan(&format!("<a>{texts}</a>")).unwrap();
    assert_eq!(xml.text(&format!("t{}", MAX_XML_TEXTS - 1)), Some("v"));
    assert_eq!(xml.text(&format!("t{MAX_XML_TEXTS}")), None);
    let xml = Xml::scan("<fault code=\"401\" x:lang='en'><message no=\"1\">m</message></fault>").unwrap();
    assert_eq!(
        [xml.attribute("code"), xml.attribute("lang"), xml.attribute("no")],
        [Some("401"), Some("en"), None]
    );
    for (name, taken) in [("_a", true), ("é", true), ("1a", false), ("-a", false)] {
        assert_eq!(Xml::scan(&format!("<{name}>m</{name}>")).is_some(), taken, "{name}");
    }
}

#[test]
fn unknown_xml_is_taken_when_it_is_declared() {
    let declared = [("content-type".to_owned(), "text/xml".to_owned())];
    let body = "<oops><message>m</message></oops>";
    assert!(xml_fault::read(&[], &format!("<?xml version='1.0'?>{body}")).is_some());
    assert!(xml_fault::read(&declared, body).is_some());
    assert!(xml_fault::read(&[], body).is_none());
}

#[test]
fn a_number_beside_success_tells_of_failure_unless_it_is_nought() {
    for (body, fails) in [
        ("{\"error\":0}", false),
        ("{\"error\":1}", true),
        ("{\"error\":\" \"}", false),
        ("{\"error\":{}}", false),
        ("{\"error\":false}", false),
        ("{\"error\":true}", true),
    ] {
        assert_eq!(failure_in_success(Origin::Api, body.as_bytes()).is_some(), fails, "{body}");
    }
}

#[test]
fn a_look_into_broken_text() {
    let value = |text: &str, name: &str| Glimpse::of(text).value(name).map(str::to_owned);
    let long = |pad: &str| format!("{{\"code\":\"x\",{pad}{}", "é".repeat(MAX_LENIENT_BYTES));
    for pad in ["", " "] {
        assert_eq!(value(&long(pad), "code").as_deref(), Some("x"), "cut within a letter or beside it");
    }
    assert_eq!(value("{\"code\":\"\",\"message\":\"m\"}", "code"), None);
    assert_eq!(value("{\"code\":\"\"x\",\"m\":1}", "code").as_deref(), Some("x"));
    assert_eq!(value("{\"m\":\"a\\\"b\",}", "m").as_deref(), Some("a\\\"b"));
    assert_eq!(value("{\"m\":\"a\\\\\",\"n\":\"b\"}", "m").as_deref(), Some("a\\\\"));
}

#[test]
fn a_long_run_is_kept_only_as_words_with_something_between_them() {
    let run = "abcdefghij".repeat(5);
    assert_eq!(redacted(&run), "[removed]");
    assert_eq!(redacted(&run.replace('j', "_")), run.replace('j', "_"));
}

/// Whether or not it has names and values, what follows a link's path may be a secret.
#[test]
fn a_link_loses_what_follows_its_path() {
    for (text, shown) in [
        ("see https://host.example/a?s3cr3t now", "see https://host.example/a?… now"),
        ("see https://host.example/a#s3cr3t now", "see https://host.example/a?… now"),
        ("https://user:pass@host.example/a?s3cr3t", "https://host.example/a?…"),
        ("see /a?s3cr3t now", "see /a?s3cr3t now"),
        ("item #5 of a#b", "item #5 of a#b"),
    ] {
        assert_eq!(redacted(text), shown, "{text}");
    }
}
