//! RFC 6749 §5.2: `error`, `error_description`.

use serde_json::{Map, Value};

use super::object;
use super::said::{Form, Said, name};

/// Words registered for `error` by RFC 6749, 6750 and 8628.
const REGISTERED: [&str; 13] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "server_error",
    "temporarily_unavailable",
    "slow_down",
    "invalid_token",
    "insufficient_scope",
    "unsupported_response_type",
];

pub(super) fn is_registered(code: &str) -> bool {
    REGISTERED.contains(&code)
}

/// `None` as well when `error` is a sentence: that is somebody else's form.
pub(super) fn read(object: &Map<String, Value>) -> Option<Said> {
    let word = object::text(object, &["error"])?.trim();
    if !word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')) {
        return None;
    }
    // Web frameworks write {"status":404,"error":"NotFound","path":...}.
    if !is_registered(word) && (object.contains_key("path") || object.contains_key("timestamp")) {
        return None;
    }
    let message = object::text(object, &["error_description", "message"]).unwrap_or(word);
    Some(Said { code: name(word), ..Said::new(Form::OAuth, message) })
}
