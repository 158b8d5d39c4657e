//! The table as a whole: every row can be reached, every fault has an answer, and the answers that would do
//! harm if they were wrong are spelled out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::policy::{RULES, by_id, by_name, explain, judge, parse_question};
use super::rule::{CONFIRM_ONCE, LOCKOUT, Verdict};
use crate::clock::Time;
use crate::dialect;
use crate::fault::{Code, Fault, Kind, Origin};

pub(super) const KINDS: &[Kind] = &[
    Kind::Dns,
    Kind::PrivateAddress,
    Kind::Connect,
    Kind::TlsVerify,
    Kind::TlsHandshake,
    Kind::Interrupted,
    Kind::Timeout,
    Kind::Html,
    Kind::Malformed,
    Kind::TooLarge,
    Kind::TokenMissing,
    Kind::GzipCorrupt,
    Kind::Bomb,
    Kind::LinkRefused,
    Kind::NoProgress,
    Kind::EmptyPages,
    Kind::BeyondRetention,
    Kind::Partial,
    Kind::RecordTooLarge,
    Kind::DiskFull,
    Kind::DiskIo,
    Kind::Corrupt,
    Kind::Busy,
    Kind::Conflict,
    Kind::SecretUnreadable,
];

/// Every origin with every kind and all statuses that exist, with every code the table names, one it does not
/// name, and none.
fn all_faults() -> impl Iterator<Item = Fault> {
    let statuses =
        (100..=103).chain(200..=207).chain(300..=308).chain(400..=431).chain(500..=511).chain([599, 600]);
    let kinds: Vec<Kind> = statuses.map(Kind::Status).chain(KINDS.iter().copied()).collect();
    let codes: BTreeSet<&str> =
        RULES.iter().flat_map(|rule| rule.on.codes()).copied().chain(["", "never_seen", "9999"]).collect();
    let fields = [None, Some("nextPage"), Some("data[0].startDateTime"), Some("pageSize"), Some("color")];
    Origin::ALL.into_iter().flat_map(move |origin| {
        let (kinds, codes) = (kinds.clone(), codes.clone());
        kinds.into_iter().flat_map(move |kind| {
            codes.clone().into_iter().flat_map(move |code| {
                fields.into_iter().flat_map(move |field| {
                    [(true, None, ""), (false, None, ""), (true, Some(true), "Authentication type")]
                        .into_iter()
                        .map(move |(attributed, retryable, words)| {
                            let mut fault = Fault::new(origin, kind, words);
                            fault.code = Code::new(code);
                            fault.field = field.map(str::to_owned);
                            fault.attributed = attributed;
                            fault.retryable = retryable;
                            fault
                        })
                })
            })
        })
    })
}

fn api(status: u16, code: &str) -> Fault {
    at(Origin::Api, status, code)
}
fn at(origin: Origin, status: u16, code: &str) -> Fault {
    let mut fault = Fault::new(origin, Kind::Status(status), "");
    fault.code = Code::new(code);
    fault.attributed = true;
    fault
}

#[test]
fn no_row_is_shadowed_and_no_fault_is_without_a_row() {
    let mut reached = vec![false; RULES.len()];
    for fault in all_faults() {
        let rule = judge(&fault);
        assert!(rule.surfaces.contains(&fault.origin), "{fault} fell through to a row of another surface");
        let at = RULES.iter().position(|other| std::ptr::eq(other, rule)).unwrap();
        reached[at] = true;
    }
    let dead: Vec<_> =
        RULES.iter().zip(&reached).filter(|(_, r)| !**r).map(|(rule, _)| (rule.id, rule.title)).collect();
    assert!(dead.is_empty(), "no fault reaches {dead:?}");
}

#[test]
fn every_surface_ends_in_a_catch_all() {
    for origin in Origin::ALL {
        let last = RULES.iter().rev().find(|rule| rule.surfaces.contains(&origin)).unwrap();
        assert!(last.on.is_catch_all(), "{}: {}", origin.as_str(), last.id);
    }
}

#[test]
fn the_rows_that_must_exist_do() {
    let ids = "M01 M02 M03 M04 M05 M06 M07 M08 M09 M10 M11 M12 M13 M14 M15 M16 M17 M18 M19 M20 M21 M22 M23 M24 M25 M26 M27 M28 M29 M30 M31 M32 M33 \
               M34 M35 M36 H01 H02 H03 H04 H05 H06 H07 H08 H09 H12 X01 X02 X03 X04 X05 X06 X07 X08 X09 X10 X11 X12 X13 \
               X14 X15 X16 X17 X18 X19 X20 X21 X22 S01 S02 S03 S05 S06 S07 S08 S09 S12 S13 S04 S10 S11 S14 S15 D01 D02 D04 D11 X23 L10 L01 L02 L03 L04 L05 L06 L07 \
               L08 L09";
    for id in ids.split_whitespace() {
        assert!(by_id(id).is_some(), "{id}");
    }
}

#[test]
fn texts_are_sentences() {
    for rule in RULES {
        for text in [rule.meaning, rule.remedy] {
            assert!(text.ends_with('.') && text.len() > 10, "{}: {text}", rule.id);
            assert!(!text.contains("  ") && !text.contains('{'), "{}: {text}", rule.id);
        }
        assert!(
            rule.title.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
            "{}",
            rule.title
        );
    }
}

#[test]
fn a_row_that_closes_the_gate_is_found_again_by_its_name() {
    // The gate stores names across restarts.
    for rule in RULES.iter().filter(|rule| rule.is_for_gate(rule.surfaces[0])) {
        let found = by_name(&rule.name()).unwrap();
        assert_eq!((found.severity, found.remedy), (rule.severity, rule.remedy), "{}", rule.name());
    }
}

#[test]
fn what_would_do_harm_if_it_were_wrong() {
    let expected = [
        (api(401, "0010"), "M10"),
        (at(Origin::Token, 401, "0010"), "M10"),
        (api(200, "0010"), "M10"),
        (api(401, "0003"), "M06"),
        (at(Origin::Token, 401, "invalid_client"), "M34"),
        (at(Origin::Token, 400, "INVALID_CLIENT"), "M34"),
        (at(Origin::Token, 401, "InvalidClientIdentifier"), "M34"),
        (api(401, "InvalidClientIdentifier"), "M33"),
        (api(401, "token_expired"), "M32"),
        (api(401, ""), "M36"),
        (api(401, "0004"), "M07"),
        (api(401, "0001"), "M05"),
        (api(401, "0005"), "M08"),
        (api(401, "0008"), "M09"),
        (at(Origin::Token, 403, "0012"), "M19"),
        (api(403, "0012"), "H12"),
        (api(418, "0001"), "M26"),
        (api(418, "0007"), "M27"),
        (api(403, "unauthorizedFault"), "D02"),
        (api(429, "throttled"), "D01"),
        (api(409, "appsFault"), "D04"),
        (api(422, ""), "M02"),
        (api(421, ""), "H08"),
        (api(403, "0003"), "M15"),
        (api(404, "0003"), "M23"),
        (api(404, ""), "M24"),
        (api(403, "app_forbidden"), "M14"),
        (api(403, "0016"), "M20"),
        (api(403, "something_new"), "H12"),
        (api(429, "0008"), "M28"),
        (at(Origin::Download, 403, "AccessDenied"), "X17"),
        (at(Origin::Download, 400, "ExpiredToken"), "X17"),
        (at(Origin::Download, 404, "NoSuchKey"), "X18"),
        (at(Origin::Download, 403, "SignatureDoesNotMatch"), "X19"),
        (at(Origin::Download, 400, "OnlyOneAuthMechanism"), "X20"),
        (at(Origin::Sink, 401, "0010"), "S06"),
        (at(Origin::Sink, 400, ""), "S05"),
        (at(Origin::Sink, 503, ""), "S08"),
        (Fault::new(Origin::Api, Kind::Status(401), "from a proxy"), "X09"),
        (Fault::new(Origin::Token, Kind::Status(403), "from a proxy"), "X09"),
        (Fault::new(Origin::Download, Kind::LinkRefused, ""), "X22"),
        (Fault::new(Origin::Local, Kind::DiskFull, ""), "L01"),
    ];
    for (fault, id) in expected {
        assert_eq!(judge(&fault).id, id, "{fault}");
    }
}

/// The samples of `dialect`, judged: what a body says and what is done about it belong together.
#[test]
fn every_sample_of_an_answer_gets_its_row() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dialect");
    let table = fs::read_to_string(folder.join("cases.tsv")).unwrap();
    let mut wrong = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [file, origin, http, _kind, _code, _attributed, row] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            panic!("{line}");
        };
        let origin = Origin::ALL.into_iter().find(|known| known.as_str() == origin).unwrap();
        let body = fs::read(folder.join(file)).unwrap();
        let fault = dialect::read(origin, http.parse().unwrap(), &[], &body, Time(1_767_259_800_000));
        let found = judge(&fault).id;
        if found != row {
            wrong.push(format!("{line}\n   found {found}: {fault:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A documented code is no news, whichever status it comes with.
#[test]
fn the_code_of_a_server_fault_is_known() {
    for (origin, status) in [(Origin::Api, 200), (Origin::Api, 500), (Origin::Token, 500)] {
        let rule = judge(&at(origin, status, "0006"));
        assert!(rule.id == "M29" && rule.knows("0006"), "{origin:?} {status}: {}", rule.name());
    }
}

#[test]
fn an_unknown_401_is_taken_to_be_a_refused_secret() {
    for origin in [Origin::Api, Origin::Token] {
        let rule = judge(&at(origin, 401, "brand_new"));
        assert_eq!((rule.id, rule.verdict, rule.harmful), ("H12", CONFIRM_ONCE, true));
    }
}

#[test]
fn only_token_and_api_answers_in_a_form_of_theirs_touch_the_credential() {
    for fault in all_faults() {
        let rule = judge(&fault);
        let touches = matches!(rule.verdict, Verdict::Lockout { .. } | Verdict::ConfirmThenHalt(_));
        if touches {
            assert!(matches!(fault.origin, Origin::Token | Origin::Api), "{fault}");
            assert!(fault.attributed, "{fault}");
        }
    }
}

#[test]
fn timers_of_the_lockout() {
    let Verdict::Lockout { rungs, jitter } = LOCKOUT else { panic!() };
    assert_eq!(rungs.map(|rung| rung.as_secs() / 60), [31, 61, 240]);
    assert_eq!(jitter, Duration::from_secs(60));
    assert_eq!(super::overrides::floor(by_id("M10").unwrap()), Some(Duration::from_secs(900)));
}

#[test]
fn explain_understands_the_forms_people_type() {
    let ask = |text: &str| {
        let (status, code) = parse_question(text);
        explain(status, code.as_ref()).into_iter().map(|(_, rule)| rule.id).collect::<Vec<_>>()
    };
    assert_eq!(ask("401/0010"), ["M10", "X17", "S06"]);
    assert!(ask("403 app_forbidden").starts_with(&["M14"]));
    assert!(ask("429").contains(&"M28"));
    assert_eq!(ask("HTTP 429"), ask("429"));
    assert_eq!(ask(" http 401/0010 "), ask("401/0010"));
    assert_eq!(ask("locked_out"), ["M10"]);
    assert_eq!(ask("m10"), ["M10"]);
    assert_eq!(ask("NoSuchThing"), Vec::<&str>::new());
    assert_eq!(ask(""), Vec::<&str>::new());
}
