//! The SIEM logs of API 1.0 (`siem.mta`): files of many kinds, zipped, in the answer itself. A record does not say
//! what kind it is, only its file's name does; and an answer that carries no file says either that there is none, or
//! that something went wrong, both as JSON (mimecast-api.md §2.1).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::catalogue::MTA;
use super::failure::believable;
use super::feed::{Feed, SeverityRule, SeverityTest};
use crate::event::Severity::{Informational, Notice, Warning};
use crate::fault::{Fault, Kind, Origin};
use crate::limits::MAX_FILE_NAME_CHARS;

/// Header that carries the place after an answer.
pub const TOKEN_HEADER: &str = "mc-siem-token";
/// The same of the threat intelligence feeds.
pub const INTEL_TOKEN_HEADER: &str = "x-mc-threat-feed-next-token";

/// The kinds of files: what their names begin with, and a row that reads their records. Longest names first.
static KINDS: [(&str, Feed); 11] = [
    ("spameventthread", kind("spameventthread", SeverityRule::always(Informational))),
    ("impersonation", kind("impersonation", SeverityRule::always(Warning))),
    ("delivery", kind("delivery", SeverityRule::always(Informational))),
    ("ttp_url", kind("ttp_url", SeverityRule { otherwise: Informational, tests: LINK_BLOCKED })),
    ("process", kind("process", SeverityRule { otherwise: Informational, tests: REFUSED_OR_HELD })),
    ("receipt", kind("receipt", SeverityRule { otherwise: Informational, tests: REFUSED_OR_HELD })),
    ("av_tse", kind("av", SeverityRule::always(Warning))),
    ("ttp_ap", kind("ttp_ap", SeverityRule::always(Warning))),
    ("jrnl", kind("jrnl", SeverityRule::always(Informational))),
    ("iep", kind("iep", SeverityRule::always(Notice))),
    ("av", kind("av", SeverityRule::always(Warning))),
];
static UNKNOWN: Feed = MTA;

const REFUSED_OR_HELD: &[SeverityTest] =
    &[SeverityTest { field: "Act", values: &["Rej", "Hld"], severity: Notice }];
const LINK_BLOCKED: &[SeverityTest] = &[
    SeverityTest { field: "action", values: &["Block"], severity: Warning },
    SeverityTest { field: "reason", values: &["malicious"], severity: Warning },
];

const fn kind(kind: &'static str, severity: SeverityRule) -> Feed {
    Feed { kind, severity, ..MTA }
}

/// The row that reads the records of a file of this name; a name that tells nothing gives type `unknown`.
pub(super) fn row_of(name: &str) -> &'static Feed {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name).to_ascii_lowercase();
    let begins = KINDS.iter().find(|(start, _)| name.starts_with(start));
    // a short name could stand inside of any word
    let holds = |start: &str| match start.len() {
        ..=4 => name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == start),
        _ => name.contains(start),
    };
    begins.or_else(|| KINDS.iter().find(|(start, _)| holds(start))).map_or(&UNKNOWN, |(_, row)| row)
}

/// What an answer is, by its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The media type is JSON: no file, as a rule.
    pub json: bool,
    /// Name of the file, without any folder; for people and for the kind, never a path.
    pub name: Option<String>,
    /// The place after it.
    pub token: Option<String>,
}

impl Head {
    /// Reads headers, whose names are lower-case; `token` is the name of the one that carries the token.
    pub fn read(headers: &[(String, String)], token: &str) -> Head {
        let value = |name: &str| {
            let found = headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
        };
        let media = value("content-type").and_then(|text| text.split(';').next()).unwrap_or_default().trim();
        Head {
            json: media.eq_ignore_ascii_case("application/json"),
            name: value("content-disposition").and_then(file_name),
            token: value(token).map(str::to_owned),
        }
    }
}

/// `attachment; filename="process_20211018093329655.json"`.
fn file_name(disposition: &str) -> Option<String> {
    let named = disposition.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case("filename").then(|| value.trim().trim_matches('"'))
    })?;
    let base = named.rsplit(['/', '\\']).next().unwrap_or(named);
    let clean: String = base.chars().filter(|c| !c.is_control()).take(MAX_FILE_NAME_CHARS).collect();
    (!clean.is_empty()).then_some(clean)
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

/// What was taken for a file may be a failure all the same.
///
/// Faults: what it says.
pub fn believe(body: &[u8]) -> Result<(), Fault> {
    believable(Origin::Api, body)
}

/// Whether an answer in JSON holds a file's records all the same. False: nothing new for now.
///
/// Faults: what a failure in it says, which may stand under HTTP 200; [`Kind::Malformed`] when it has no `data`.
pub fn holds_records(body: &[u8]) -> Result<bool, Fault> {
    believable(Origin::Api, body)?;
    let said: Result<Said<'_>, _> = serde_json::from_slice(body);
    match said {
        Ok(said) => Ok(!said.data.is_empty()),
        Err(error) => Err(Fault::new(
            Origin::Api,
            Kind::Malformed,
            format!("neither a file nor the end of files: {error}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_kind_and_the_longest_name_wins() {
        for (name, kind) in [
            ("receipt_20211018093329655.json", "receipt"),
            ("process_20211018093329655.siem", "process"),
            ("delivery_1.json", "delivery"),
            ("av_tse_1.json", "av"),
            ("av_1.json", "av"),
            ("jrnl_1.json", "jrnl"),
            ("ttp_url_1.json", "ttp_url"),
            ("ttp_ap_1.json", "ttp_ap"),
            ("impersonation_1.json", "impersonation"),
            ("spameventthread_1.json", "spameventthread"),
            ("IEP_1.json", "iep"),
            ("iep1.json", "iep"),
            ("C0A0-ttp_url_1.json", "ttp_url"),
            ("C0A0-av-1.json", "av"),
            ("../../etc/receipt_1.json", "receipt"),
            ("..\\..\\receipt_1.json", "receipt"),
            ("available.json", "av"), // begins so: better a wrong type than none
            ("slave.json", "unknown"),
            ("receipts/unheard_of.json", "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(row_of(name).kind, kind, "{name}");
        }
        assert!(KINDS.windows(2).all(|pair| pair[0].0.len() >= pair[1].0.len()), "longest first");
        assert!(KINDS.iter().all(|(_, row)| row.severity.tests.len() <= SeverityRule::MAX_TESTS));
    }

    #[test]
    fn headers_tell_what_an_answer_is_in_any_spelling() {
        let headers = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let head = Head::read(
            &headers(&[
                ("Content-Type", "APPLICATION/JSON; charset=UTF-8"),
                ("Mc-Siem-Token", " tok "),
                ("content-disposition", "attachment; FileName=\"../a/process_1.json\""),
            ]),
            TOKEN_HEADER,
        );
        let token = Some("tok".to_owned());
        assert_eq!(head, Head { json: true, name: Some("process_1.json".to_owned()), token });
        let head = Head::read(&headers(&[("content-type", "application/octet-stream")]), TOKEN_HEADER);
        assert_eq!(head, Head { json: false, name: None, token: None });
        assert!(!Head::read(&headers(&[("content-type", "application/jsonish")]), TOKEN_HEADER).json);
    }

    #[test]
    fn json_is_the_end_of_files_a_failure_or_records() {
        let end = include_bytes!("../../tests/fixtures/mta/v1-siem-caught-up.json");
        assert_eq!(holds_records(end), Ok(false));
        let refused = include_bytes!("../../tests/fixtures/mta/v1-siem-invalid-token.json");
        assert_eq!(holds_records(refused).unwrap_err().code_str(), "err_audit_siem_invalid_token");
        let records = include_bytes!("../../tests/fixtures/mta/receipt_20260101083000123.json");
        assert_eq!(holds_records(records), Ok(true));
        for body in ["{}", "[]", "", "<html>", "{\"data\":null}"] {
            assert!(holds_records(body.as_bytes()).is_err(), "{body}");
        }
    }
}
