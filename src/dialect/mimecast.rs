//! Error bodies of Mimecast, API 1.0 and 2.0 (mimecast-api.md §5.1, forms E1–E6):
//! `meta.status` with `fail[].errors[]`, flat `fail[]`, `error[]`, `error{}`. Every level may be missing.
//! `fail[].key` echoes the request, addresses included: it is never read.

use serde_json::{Map, Value};

use super::object;
use super::said::{Form, Said};
use crate::limits::MAX_ERRORS_READ;

pub(super) fn read(object: &Map<String, Value>) -> Option<Said> {
    let claimed = object::status(object.get("meta").and_then(|meta| meta.get("status")));
    let (errors, count) = match errors(object) {
        (errors, _) if errors.is_empty() => {
            let ours = claimed.is_some() || object.get("fail").is_some_and(Value::is_array);
            return ours.then(|| Said {
                status: claimed,
                ..Said::new(Form::Mimecast, "the answer names no reason")
            });
        }
        found => found,
    };
    let read: Vec<Said> = errors.into_iter().map(one).collect();
    let chosen = read.iter().position(|said| said.code.is_some()).unwrap_or(0);
    let mut said = read.into_iter().nth(chosen)?;
    said.status = claimed.or(said.status);
    said.more = count.saturating_sub(1);
    Some(said)
}

/// The first errors of an answer, and how many there are.
fn errors(object: &Map<String, Value>) -> (Vec<&Value>, usize) {
    let mut found = Vec::new();
    let mut count = 0;
    for item in list(object.get("fail")) {
        let nested = list(item.get("errors"));
        let these: &[Value] = if nested.is_empty() { std::slice::from_ref(item) } else { nested };
        count += these.len();
        found.extend(these.iter().take(MAX_ERRORS_READ.saturating_sub(found.len())));
    }
    // A bare word in `error` is OAuth's.
    if found.is_empty() && object.get("error").is_some_and(|error| error.is_array() || error.is_object()) {
        let these = list(object.get("error"));
        count = these.len();
        found.extend(these.iter().take(MAX_ERRORS_READ));
    }
    (found, count)
}

/// An array's items; anything else but nothing is a list of itself.
fn list(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(items)) => items,
        None | Some(Value::Null) => &[],
        Some(Value::Object(object)) if object.is_empty() => &[],
        Some(single) => std::slice::from_ref(single),
    }
}

fn one(error: &Value) -> Said {
    let Some(members) = error.as_object() else {
        let message = error.as_str().unwrap_or("the answer names no reason");
        return Said { code: code_of(message, None), ..Said::new(Form::Mimecast, message) };
    };
    let message = object::text(members, &["message", "reason", "description", "detail"]).unwrap_or_default();
    let word = object::code(members.get("code")).or_else(|| object::code(members.get("type")));
    Said {
        status: object::status(members.get("code"))
            .filter(|_| members.get("code").is_some_and(Value::is_number)),
        code: code_of(message, word),
        field: object::text(members, &["field"]).map(str::to_owned),
        retryable: object::flag(members.get("retryable")),
        ..Said::new(Form::Mimecast, message)
    }
}

/// The name of an error: the digits its message begins with, else the words that mean an empty result, whatever
/// word comes with them, else its word, else what a message without a word is known by.
pub(super) fn code_of(message: &str, word: Option<String>) -> Option<String> {
    if word.as_deref() == Some(SIEM_TOKEN_REFUSED) {
        return word; // says more than the digits that may come with it
    }
    sub_code(message, word.is_some())
        .or_else(|| phrase(message, &NOTHING_THERE))
        .or(word)
        .or_else(|| phrase(message, &REFUSALS))
}

/// API 1.0 no longer knows the place in its mail log.
const SIEM_TOKEN_REFUSED: &str = "err_audit_siem_invalid_token";
/// Threat intelligence feeds report an empty result as a failure (mimecast-api.md §5.2).
const NOTHING_THERE: [(&str, &str); 2] =
    [("no results found", "no_results"), ("unable to compress feeds", "no_results")];
/// Refusals met as a message alone.
const REFUSALS: [(&str, &str); 2] = [
    ("unauthorized request", "unauthorized_request"),
    ("invalidclientidentifier", "InvalidClientIdentifier"),
];

/// The code for a message that begins like one of these, in any case.
fn phrase(message: &str, known: &[(&str, &str)]) -> Option<String> {
    let begins = |start: &str| {
        message.trim_start().get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
    };
    known.iter().find(|(start, _)| begins(start)).map(|(_, code)| (*code).to_owned())
}

/// The four digits a message may begin with (`0004 Invalid Signature`). Beside a word only digits that begin with
/// 0 count, as all documented ones do: "1000 records is the maximum" is no code.
fn sub_code(message: &str, has_word: bool) -> Option<String> {
    let message = message.trim_start();
    let digits = message.get(..4).filter(|start| start.bytes().all(|byte| byte.is_ascii_digit()))?;
    let ends = message.get(4..)?.chars().next().is_none_or(|next| !next.is_alphanumeric() && next != '-');
    (ends && (digits.starts_with('0') || !has_word)).then(|| digits.to_owned())
}

/// Names only Mimecast uses, so that they tell the sender even outside its documented forms.
pub(super) fn is_own_word(code: &str) -> bool {
    const WORDS: [&str; 4] =
        ["token_expired", "token_verification_failed", "app_forbidden", "InvalidClientIdentifier"];
    let numeric = code.len() == 4 && code.starts_with('0') && code.bytes().all(|byte| byte.is_ascii_digit());
    numeric
        || code.starts_with("err_")
        || code.starts_with("xdk_")
        || WORDS.iter().any(|w| w.eq_ignore_ascii_case(code))
}
