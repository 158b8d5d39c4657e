//! The truth table: every line of `tests/fixtures/recovery.tsv` on every surface, with every status and code, in
//! every form that can carry it, goes through the readers of answers and the table, and has to come out as the
//! line says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::policy::{RULES, judge};
use super::rule::{End, Ladder, Rule, Verdict};
use crate::clock::Time;
use crate::dialect;
use crate::fault::{Code, Fault, Kind, Origin};

const NOW: Time = Time(1_767_259_800_000);

pub(super) struct Line {
    text: String,
    id: String,
    surfaces: Vec<Origin>,
    kinds: Vec<Kind>,
    codes: Vec<String>,
    forms: Vec<String>,
    /// action, scope, first, cap, probe, harmful, severity
    expected: Vec<String>,
}

pub(super) fn lines() -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/recovery.tsv");
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

fn line(text: &str) -> Line {
    let cells: Vec<&str> = text.split('\t').collect();
    assert_eq!(cells.len(), 12, "{text}");
    let list = |at: usize| cells[at].split(',').map(str::to_owned).collect::<Vec<_>>();
    let mut codes = Vec::new();
    for code in list(3) {
        match code.as_str() {
            "-" => codes.push(String::new()),
            "*" => codes.push("never_seen".into()),
            "~" => codes.extend([String::new(), "never_seen".into()]),
            _ => codes.push(code),
        }
    }
    let origin = |name: &String| Origin::ALL.into_iter().find(|origin| origin.as_str() == name).unwrap();
    Line {
        text: text.to_owned(),
        id: cells[0].to_owned(),
        surfaces: list(1).iter().map(origin).collect(),
        kinds: list(2).iter().flat_map(|word| kinds(word)).collect(),
        codes,
        forms: list(4),
        expected: cells[5..].iter().map(|cell| (*cell).to_owned()).collect(),
    }
}

fn kinds(word: &str) -> Vec<Kind> {
    if let Some((low, high)) = word.split_once('-') {
        return (low.parse().unwrap()..=high.parse::<u16>().unwrap()).map(Kind::Status).collect();
    }
    if let Ok(status) = word.parse() {
        return vec![Kind::Status(status)];
    }
    let known = super::policy_tests::KINDS.iter();
    vec![
        *known
            .clone()
            .find(|kind| format!("{kind:?}").to_lowercase() == word)
            .unwrap_or_else(|| panic!("{word}")),
    ]
}

/// One answer: HTTP status, headers, body.
type Sent = (u16, Vec<(String, String)>, String);

/// The four forms of Mimecast: nested and flat `fail`, `error`, and a failure inside a 200.
fn mimecasts(status: u16, word: &str, message: &str) -> Vec<Sent> {
    let plain = |body: String| (status, Vec::new(), body);
    let error = format!("{{{word}\"message\":\"{message}\"}}");
    let nested = format!(
        "{{\"meta\":{{\"status\":{status}}},\"data\":[],\"fail\":[{{\"key\":{{}},\"errors\":[{error}]}}]}}"
    );
    let mut all = vec![
        plain(nested.clone()),
        plain(format!("{{\"fail\":[{error}]}}")),
        plain(format!("{{\"error\":[{error}]}}")),
    ];
    if status >= 400 {
        all.push((200, Vec::new(), nested));
    }
    all
}

/// Four forms that are neither Mimecast's nor OAuth's.
fn foreigners(status: u16, code: &str) -> Vec<Sent> {
    let plain = |body: String| (status, Vec::new(), body);
    let typed = |kind: &str, body: String| (status, vec![("Content-Type".to_owned(), kind.to_owned())], body);
    let named = |name: &str| if code.is_empty() { String::new() } else { format!("\"{name}\":\"{code}\",") };
    let kind = if code.is_empty() { "about:blank".to_owned() } else { format!("https://example.com/{code}") };
    let mut all = vec![
        typed(
            "application/problem+json",
            format!("{{\"type\":\"{kind}\",\"title\":\"Words\",\"status\":{status}}}"),
        ),
        typed(
            "application/vnd.api+json",
            format!("{{\"errors\":[{{{}\"status\":\"{status}\",\"title\":\"Words\"}}]}}", named("code")),
        ),
        plain(format!("{{{}\"message\":\"words\"}}", named("errorCode"))),
    ];
    if code.is_empty() {
        all.push(typed("text/plain", "plain words".to_owned())); // a line of text carries no code
    }
    all
}

/// Answers of that form which say `status` and `code`; a form that cannot say it gives none.
fn answers(form: &str, status: u16, code: &str) -> Vec<Sent> {
    if let Some(form) = form.strip_suffix("+id") {
        let mut all = answers(form, status, code);
        all.iter_mut().for_each(|(_, headers, _)| headers.push(("X-Request-Id".into(), "a1".into())));
        return all;
    }
    let plain = |body: String| (status, Vec::new(), body);
    let typed = |kind: &str, body: String| (status, vec![("Content-Type".to_owned(), kind.to_owned())], body);
    let digits = code.len() == 4 && code.bytes().all(|byte| byte.is_ascii_digit());
    let message = if digits { format!("{code} Words for people") } else { "Words for people".to_owned() };
    let word = if digits || code.is_empty() { String::new() } else { format!("\"code\":\"{code}\",") };
    match form {
        "mimecast" => mimecasts(status, &word, &message),
        "oauth" => vec![
            plain(format!("{{\"error\":\"{code}\"}}")),
            plain(format!("{{\"error\":\"{code}\",\"error_description\":\"words\"}}")),
        ],
        "foreign" => foreigners(status, code),
        "rackspace" => {
            let root = match (code, status) {
                ("", 400) => "badRequestFault",
                ("", 404) => "itemNotFoundFault",
                ("", 500) => "appsFault",
                (known, _) if known.ends_with("Fault") => known,
                _ => return Vec::new(),
            };
            vec![
                plain(format!("{{\"{root}\":{{\"code\":{status},\"message\":\"words\"}}}}")),
                typed(
                    "application/xml",
                    format!("<{root} code=\"{status}\"><message>words</message></{root}>"),
                ),
            ]
        }
        "s3" => {
            let (code, words) = match code {
                "OnlyOneAuthMechanism" => ("InvalidArgument", "Only one auth mechanism allowed"),
                "" => ("AccessDenied", "Access Denied"),
                other => (other, "words"),
            };
            let body = format!(
                "<Error><Code>{code}</Code><Message>{words}</Message><RequestId>1</RequestId></Error>"
            );
            vec![typed("application/xml", format!("<?xml version=\"1.0\"?>{body}")), plain(body)]
        }
        "html" if code.is_empty() => vec![
            typed("text/html", "<!DOCTYPE html><html><head><title>Gateway</title></head></html>".to_owned()),
            plain("<html><body>sign in</body></html>".to_owned()),
        ],
        "empty" if code.is_empty() => vec![plain(String::new()), plain("  \n".to_owned())],
        _ => Vec::new(),
    }
}

/// Every fault of a line, with what it was made from.
pub(super) fn faults(line: &Line) -> Vec<(Fault, String)> {
    let mut all = Vec::new();
    for &origin in &line.surfaces {
        for &kind in &line.kinds {
            for code in &line.codes {
                for form in &line.forms {
                    let story = format!("{} {kind:?} {code:?} as {form}", origin.as_str());
                    if form == "bare" {
                        let mut fault = Fault::new(origin, kind, "");
                        fault.code = Code::new(code);
                        all.push((fault, story));
                        continue;
                    }
                    let Kind::Status(status) = kind else { panic!("{story}: not an answer") };
                    for (http, headers, body) in answers(form, status, code) {
                        let fault = dialect::read(origin, http, &headers, body.as_bytes(), NOW);
                        all.push((fault, format!("{story}: HTTP {http} {body}")));
                    }
                }
            }
        }
    }
    all
}

/// first, cap and probe of a verdict, in seconds.
fn timers(verdict: Verdict) -> [String; 3] {
    let ladder = |wait: Ladder| (wait.first.as_secs().to_string(), wait.cap.as_secs().to_string());
    let none = || (String::new(), String::new());
    let probe = |probe: Option<std::time::Duration>| {
        probe.map_or("-".to_owned(), |every| every.as_secs().to_string())
    };
    let ((first, cap), looks) = match verdict {
        Verdict::Backoff { wait, last, .. } => {
            let looks = match last.map(|last| last.end) {
                Some(End::Halt { probe: every }) => probe(every),
                _ => String::new(),
            };
            (ladder(wait), looks)
        }
        Verdict::BackoffThenShrink { wait, .. }
        | Verdict::PauseFor(wait)
        | Verdict::Refresh { wait, .. }
        | Verdict::Relist { wait, .. }
        | Verdict::Insist { wait, .. }
        | Verdict::Shrink { wait } => (ladder(wait), String::new()),
        Verdict::Lockout { rungs: [first, _, last], .. } => {
            ((first.as_secs().to_string(), last.as_secs().to_string()), String::new())
        }
        Verdict::ConfirmThenHalt(confirm) => {
            let last = confirm.last.map_or("-".to_owned(), |last| last.as_secs().to_string());
            ((confirm.after.as_secs().to_string(), last), String::new())
        }
        Verdict::Halt { probe: every } => (none(), probe(every)),
        Verdict::Rewind { probe: every } => (none(), probe(every)),
        _ => (none(), String::new()),
    };
    [first, cap, looks]
}

fn found(rule: &Rule) -> Vec<String> {
    let [first, cap, probe] = timers(rule.verdict);
    let harmful = if rule.harmful { "yes" } else { "no" };
    let words =
        [rule.verdict.as_str(), rule.scope.as_str(), &first, &cap, &probe, harmful, rule.severity.as_str()];
    words.map(str::to_owned).to_vec()
}

#[test]
fn every_row_answers_as_it_was_meant_on_every_surface_in_every_form() {
    let (mut cases, mut wrong, mut reached) = (0, Vec::new(), BTreeSet::new());
    for line in lines() {
        let faults = faults(&line);
        assert!(!faults.is_empty(), "nothing can carry {}", line.text);
        for (fault, story) in faults {
            cases += 1;
            let rule = judge(&fault);
            reached.insert(rule.name());
            if rule.id != line.id || found(rule) != line.expected {
                wrong.push(format!(
                    "{story}\n   {}\n   found {} {:?} for {fault:?}",
                    line.text,
                    rule.name(),
                    found(rule)
                ));
            }
        }
    }
    wrong.truncate(20);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases >= 1_200, "only {cases} cases");
    let silent: Vec<_> = RULES.iter().map(Rule::name).filter(|name| !reached.contains(name)).collect();
    let told_elsewhere = [
        "M04/auth_type_unsupported",
        "M02/validation_error",
        "M30/nothing_there",
        "M01/cursor_refused",
        "M24/wrong_region",
        "M31/fail_in_200",
    ];
    let silent: Vec<_> = silent.iter().filter(|name| !told_elsewhere.contains(&name.as_str())).collect();
    assert!(silent.is_empty(), "no line is about {silent:?}");
}

/// The rows of the specification, all of them: those with a row of their own here, and those that are conduct of
/// the readers or of a timer and have their tests there.
#[test]
fn no_row_of_the_specification_is_missing() {
    let numbered = [("M", 36), ("H", 12), ("X", 22), ("D", 12), ("S", 15), ("L", 10)];
    let elsewhere = [
        "H10", "H11", // waiting times: dialect/wait
        "D03", "D05", "D06", "D07", "D08", "D09", "D10",
        "D12", // forms of answers: dialect, and the cases of its samples
    ];
    for (letter, last) in numbered {
        for n in 1..=last {
            let id = format!("{letter}{n:02}");
            let row = RULES.iter().any(|rule| rule.id == id);
            assert!(row != elsewhere.contains(&id.as_str()), "{id}");
        }
    }
}

/// What no line is about: an answer nobody has described gets a row that neither guesses nor gives up.
#[test]
fn what_nobody_described_is_waited_for_and_not_guessed_at() {
    for status in (100..=599).chain([600, 700, 999]) {
        for origin in [Origin::Token, Origin::Api, Origin::Download] {
            let mut fault = Fault::new(origin, Kind::Status(status), "");
            fault.code = Code::new("not_in_any_document");
            fault.attributed = true;
            let rule = judge(&fault);
            let gives_up =
                matches!(rule.verdict, Verdict::Exit(_) | Verdict::Quarantine | Verdict::SkipWithGap);
            assert!(!gives_up, "{fault}: {}", rule.id);
            assert!(!rule.knows("not_in_any_document"));
        }
    }
}
