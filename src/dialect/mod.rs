//! An error answer of any origin becomes one [`Fault`]. Nothing here knows what is done about it.
//!
//! Every reader is total: any bytes give a fault, never a panic, and of a body no more than
//! [`MAX_ERROR_BODY_BYTES`] are looked at. The readers are asked in this order and the first that recognises its
//! form wins: Mimecast, OAuth, problem+json, JSON:API, Rackspace fault, any JSON object, XML (S3, AWS, Rackspace),
//! broken JSON, the header `x-error-message`, HTML, text, nothing.
//!
//! Only the forms of Mimecast and OAuth make a fault `attributed`, a well-formed Rackspace fault that refuses the
//! credential, and a 401 or 403 that Mimecast's headers or the token endpoint vouch for: what a proxy, a web filter or
//! the file store says is no verdict on one.

mod http_date;
mod json_api;
mod lenient;
mod mimecast;
mod oauth;
mod object;
mod plain;
mod problem_json;
mod rackspace;
mod redact;
mod said;
mod success;
mod wait;
mod xml;
mod xml_fault;

#[cfg(test)]
mod codes_tests;
#[cfg(test)]
mod edges_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod samples_tests;

pub use success::failure_in_success;
pub use wait::{quota_pause, retry_after_said, skew_ms};

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::clock::Time;
use crate::fault::{Code, Fault, Kind, Origin};
use crate::limits::MAX_ERROR_BODY_BYTES;
pub use redact::redacted;
use said::{Form, Said};

/// The fault an answer stands for. `headers` in any case; of `body` at most [`MAX_ERROR_BODY_BYTES`] are read.
///
/// A 2xx answer comes here when it was not what was due: it is searched for a failure it may carry, else it is
/// [`Kind::Html`] or [`Kind::Malformed`].
pub fn read(origin: Origin, status: u16, headers: &[(String, String)], body: &[u8], now: Time) -> Fault {
    let fault = match status {
        200..=299 => read_success(origin, status, headers, body),
        _ => refusal(origin, status, headers, said(headers, cut(body))),
    };
    with_headers(fault, headers, now)
}

/// A fault that was found in an answer's body, with what the answer's headers add: how long to wait, the other
/// side's clock, its id of the request.
pub fn with_headers(mut fault: Fault, headers: &[(String, String)], now: Time) -> Fault {
    fault.retry_after = wait::asked_for(headers, fault.status() == Some(429), now);
    fault.skew_ms = wait::skew_ms(headers, now);
    if let Some(id) = said::request_id(headers) {
        fault.request_id = Some(id);
    }
    fault
}

/// The status that an answer's body gives for itself, for an answer that was saved without its status line.
pub fn status_in_body(headers: &[(String, String)], body: &[u8]) -> Option<u16> {
    said(headers, cut(body)).status.filter(|status| (100..=999).contains(status))
}

fn read_success(origin: Origin, status: u16, headers: &[(String, String)], body: &[u8]) -> Fault {
    if let Some(fault) = failure_in_success(origin, body) {
        return fault;
    }
    let said = said(headers, cut(body));
    let kind = match (origin, said.form) {
        (Origin::Sink | Origin::Local, _) => Kind::Status(status),
        (_, Form::Html) => Kind::Html,
        _ => Kind::Malformed,
    };
    Fault { kind, attributed: false, code: None, ..fault_of(origin, status, said) }
}

/// A refusal in no known form is Mimecast's own all the same where its headers say so, and at the token endpoint
/// whatever is no web page: what counts there as a failed login must not be tried on as a proxy's whim.
fn refusal(origin: Origin, status: u16, headers: &[(String, String)], mut said: Said) -> Fault {
    let foreign = matches!(said.form, Form::Html | Form::RackspaceFault);
    let theirs = match origin {
        Origin::Token => !foreign,
        Origin::Api => !foreign && said::is_from_mimecast(headers),
        Origin::Download | Origin::Sink | Origin::Local => false,
    };
    if theirs && matches!(status, 401 | 403) && said.form != Form::Mimecast {
        said.code = mimecast::code_of(&said.message, said.code.take());
    }
    let mut fault = fault_of(origin, status, said);
    fault.attributed |= theirs && matches!(fault.kind, Kind::Status(401 | 403));
    fault
}

fn cut(body: &[u8]) -> &[u8] {
    body.get(..MAX_ERROR_BODY_BYTES).unwrap_or(body)
}

/// What the answer says, in whatever form.
fn said(headers: &[(String, String)], body: &[u8]) -> Said {
    let text: Cow<'_, str> = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => return of_object(headers, &object),
        Ok(Value::Array(list)) => {
            if let Some(object) = list.iter().find_map(Value::as_object) {
                return of_object(headers, object);
            }
        }
        Ok(Value::String(line)) => return Said::new(Form::Text, line),
        Ok(_) | Err(_) => {}
    }
    if text.starts_with('<')
        && let Some(said) = xml_fault::read(headers, text)
    {
        return said;
    }
    if text.starts_with(['{', '['])
        && let Some(said) = rackspace::read_broken(text)
    {
        return said;
    }
    plain::read(headers, text)
}

/// What a JSON object says. `headers` tell problem+json apart, and whether Mimecast itself answered.
fn of_object(headers: &[(String, String)], object: &Map<String, Value>) -> Said {
    mimecast::read(object)
        .or_else(|| oauth::read(object))
        .or_else(|| problem_json::read(headers, object))
        .or_else(|| json_api::read(object))
        .or_else(|| rackspace::read(object))
        .unwrap_or_else(|| plain::read_object(headers, object))
}

/// The common end of all forms: which status holds, what may be shown.
fn fault_of(origin: Origin, http: u16, said: Said) -> Fault {
    let ours = matches!(origin, Origin::Api | Origin::Token);
    let mut status = said.status.map_or(http, |body| said::milder(http, body));
    let mut code = said.code.as_deref().and_then(Code::new);
    let throttled = said.is_throttling(status);
    if throttled {
        status = 429;
        if said.form != Form::Xml {
            code = Code::new("throttled");
        }
    }
    let mut detail = redacted(&said.message);
    if said.more > 0 {
        detail = format!("{detail} (and {} more)", said.more);
    }
    if status != http {
        detail = format!("read as {status}, sent as HTTP {http}: {detail}");
    }
    let hidden = said.form == Form::Html && hides_the_answer(origin, status);
    let kind = if hidden { Kind::Html } else { Kind::Status(status) };
    let mut fault = Fault::new(origin, kind, detail);
    fault.code = code;
    fault.attributed = ours && said.is_attributed(origin) && !throttled;
    fault.retryable = said.retryable;
    fault.field = said.field.as_deref().and_then(said::name);
    fault.request_id = said.request_id.as_deref().and_then(said::name);
    fault
}

/// A web page instead of an answer says no more than that someone stands in between (recovery row X08), except
/// under these statuses, which mean the same whoever says them. Destinations may speak HTML as they like.
fn hides_the_answer(origin: Origin, status: u16) -> bool {
    let says_enough = matches!(status, 300..=399 | 401 | 403 | 407 | 408 | 425 | 429 | 500..);
    !matches!(origin, Origin::Sink | Origin::Local) && !says_enough
}
