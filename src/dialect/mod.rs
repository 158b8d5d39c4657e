//! An error answer in any dialect → [`Fault`]. [`read`] is for answers that failed, [`failure_in_success`] for
//! an HTTP 200 whose body says no. Both are total: no input makes them fail, panic, or read without a bound.
//!
//! Only an answer in a form of Mimecast or OAuth is *attributed*: a web page from a proxy must not be able to
//! trip a credential.

mod json;
mod redact;
pub mod wait;
mod xml;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::clock::Time;
use crate::fault::{Code, Fault, Kind, Origin};
use crate::limits::MAX_ERROR_BODY_BYTES;
use redact::redact;

/// What a body says, in whatever form it says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    code: Option<String>,
    message: String,
    field: Option<String>,
    retryable: Option<bool>,
    /// The status the body claims.
    status: Option<u16>,
    /// In a form of Mimecast or OAuth.
    attributed: bool,
}

/// Reads an error answer. `headers` are name and value in any case; of the body the first 64 KiB count.
pub fn read(origin: Origin, status: u16, headers: &[(String, String)], body: &[u8], now: Time) -> Fault {
    let body = body.get(..MAX_ERROR_BODY_BYTES).unwrap_or(body);
    let (said, html) = match form(body) {
        Form::Json => (json::read(body).unwrap_or_else(|| plain(body)), false),
        Form::Html => (Said { message: xml::html_title(body), ..Said::default() }, true),
        Form::Xml => (xml::read(body).unwrap_or_else(|| plain(body)), false),
        Form::Text => (plain(body), false),
    };
    let kind = if html && hides_the_answer(origin, status) {
        Kind::Html
    } else {
        Kind::Status(said.status.map_or(status, |inner| milder(status, inner)))
    };
    let mut fault = build(origin, kind, said);
    if fault.detail.is_empty() {
        fault.detail = header(headers, "x-error-message").map(redact).unwrap_or_default();
    }
    fault.skew_ms = wait::skew_ms(headers, now);
    fault.retry_after = wait::asked_for(status, headers, now);
    fault.request_id = ["x-request-id", "x-mc-req-id"]
        .iter()
        .find_map(|name| header(headers, name))
        .and_then(Code::new)
        .map(|id| id.as_str().to_owned());
    fault
}

/// Whether an HTTP 200 of an API function is a failure after all: `fail[]` not empty, `meta.status` not 2xx, or
/// `error`. Looks at top-level keys only, without copying, so that a good page of many MiB costs one scan.
pub fn failure_in_success(body: &[u8]) -> Option<Fault> {
    #[derive(Deserialize)]
    struct Top<'a> {
        #[serde(borrow)]
        fail: Option<&'a RawValue>,
        #[serde(borrow)]
        error: Option<&'a RawValue>,
        #[serde(borrow)]
        errors: Option<&'a RawValue>,
        #[serde(borrow)]
        meta: Option<&'a RawValue>,
    }
    if form(body) != Form::Json {
        return None;
    }
    // Not JSON, or a key twice: the reader of the page says so in its own words.
    let top: Top<'_> = serde_json::from_slice(body).ok()?;
    let status = top.meta.and_then(|meta| json::status_of(&value(meta)));
    let says_no = [top.fail, top.error, top.errors].into_iter().flatten().any(|part| !is_nothing(part));
    if !says_no && status.is_none_or(|status| (200..300).contains(&status)) {
        return None;
    }
    let parts = [("fail", top.fail), ("error", top.error), ("errors", top.errors), ("meta", top.meta)];
    let object = parts.into_iter().filter_map(|(key, part)| Some((key.to_owned(), value(part?)))).collect();
    let said = json::read_value(&Value::Object(object)).unwrap_or_else(|| Said {
        attributed: true,
        status,
        ..Said::default()
    });
    let inner = said.status.filter(|inner| !(200..300).contains(inner)).unwrap_or(200);
    Some(build(Origin::Api, Kind::Status(inner), said))
}

/// A part of the answer as a value; one that is larger than any error counts as absent.
fn value(raw: &RawValue) -> Value {
    let text = raw.get();
    if text.len() > MAX_ERROR_BODY_BYTES {
        return Value::String("(too long)".into());
    }
    serde_json::from_str(text).unwrap_or(Value::Null)
}

fn is_nothing(raw: &RawValue) -> bool {
    let mut rest = raw.get().bytes().filter(|byte| !byte.is_ascii_whitespace());
    let start: [Option<u8>; 2] = [rest.next(), rest.next()];
    raw.get() == "null" || matches!(start, [Some(b'['), Some(b']')] | [Some(b'{'), Some(b'}')])
}

fn build(origin: Origin, kind: Kind, said: Said) -> Fault {
    let (sub_code, words) = split_sub_code(&said.message);
    let word = said.code.as_deref().filter(|code| !code.is_empty());
    let code = sub_code.or(word).or_else(|| known_phrase(words)).and_then(Code::new);
    let detail = match word {
        Some(word) if Some(word) != sub_code && !words.is_empty() => Cow::Owned(format!("{word}: {words}")),
        Some(word) if words.is_empty() => Cow::Borrowed(word),
        _ => Cow::Borrowed(words),
    };
    let mut fault = Fault::new(origin, kind, redact(&detail));
    fault.code = code;
    fault.attributed = said.attributed;
    fault.retryable = said.retryable;
    fault.field = said.field.as_deref().and_then(Code::new).map(|field| field.as_str().to_owned());
    fault
}

/// `0004 Invalid Signature` → (`0004`, `Invalid Signature`).
fn split_sub_code(message: &str) -> (Option<&str>, &str) {
    let message = message.trim();
    match message.split_at_checked(4) {
        Some((digits, rest))
            if digits.bytes().all(|b| b.is_ascii_digit())
                && !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') =>
        {
            (Some(digits), rest.trim_start_matches([' ', ':', '-']))
        }
        _ => (None, message),
    }
}

/// Failures that have no code, only these words (mimecast-api.md §5.2).
fn known_phrase(message: &str) -> Option<&'static str> {
    const PHRASES: [(&str, &str); 4] = [
        ("unauthorized request", "unauthorized_request"),
        ("invalidclientidentifier", "InvalidClientIdentifier"),
        ("no results found", "no_results"),
        ("unable to compress feeds", "no_results"),
    ];
    let start: String = message.chars().take(40).collect::<String>().to_ascii_lowercase();
    PHRASES.iter().find(|(phrase, _)| start.starts_with(phrase)).map(|&(_, code)| code)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Html,
    Xml,
    Text,
}

fn form(body: &[u8]) -> Form {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    match body.first() {
        Some(b'{' | b'[') => Form::Json,
        Some(b'<') if xml::looks_like_html(body) => Form::Html,
        Some(b'<') => Form::Xml,
        _ => Form::Text,
    }
}

/// A web page instead of an answer says nothing but that someone stands in between, except under these
/// statuses, which have a row of their own whoever says them. Destinations may speak HTML as they like.
fn hides_the_answer(origin: Origin, status: u16) -> bool {
    let says_enough = matches!(status, 300..=399 | 401 | 403 | 407 | 408 | 425 | 429 | 500..);
    origin != Origin::Sink && !says_enough
}

/// When status and body disagree, the milder reading that allows another try wins (recovery row D03).
fn milder(status: u16, inner: u16) -> u16 {
    let rank = |status: u16| match status {
        429 => 0,
        500..=599 => 1,
        409 => 2,
        404 => 3,
        400 => 4,
        403 => 5,
        401 => 6,
        _ => 7,
    };
    match ((200..300).contains(&status), (400..600).contains(&inner)) {
        (true, true) => inner,
        (false, true) if rank(inner) < rank(status) && rank(status) < 7 => inner,
        _ => status,
    }
}

fn plain(body: &[u8]) -> Said {
    let start = body.get(..PLAIN_BYTES).unwrap_or(body);
    let text = String::from_utf8_lossy(start);
    let printable = !text.chars().take(64).any(|c| c == '\u{0}' || c == '\u{fffd}');
    let message = if printable { text.trim().to_owned() } else { String::new() };
    Said { message, ..Said::default() }
}

/// What a person reads of a plain text answer.
const PLAIN_BYTES: usize = 300;

/// The first header of that name (given in lower case).
fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
