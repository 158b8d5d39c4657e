//! Answers: the good ones' small helpers, and every form of failure that has been met in the field.

use crate::dates;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

/// The shape of a failure's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `{"meta":{"status":…},"data":[],"fail":[{"errors":[{…}]}]}`
    Meta,
    /// `{"meta":{"status":…},"data":[],"fail":[]}`
    MetaStatus,
    /// `{"fail":[{"code":…,"message":…}]}`
    #[default]
    Flat,
    /// `{"fail":[{"code":…}]}`
    FlatCode,
    /// `{"error":[{"code":…,"message":…,"field":…}]}`
    ErrorList,
    /// `{"error":{"message":…}}`
    ErrorObject,
    /// RFC 9457
    Problem,
    JsonApi,
    RackspaceJson,
    RackspaceXml,
    /// Nothing but `x-error-message`.
    Header,
    S3,
    AwsXml,
    /// RFC 6749 §5.2
    OAuth,
    Html,
    Text,
    Empty,
    BrokenJson,
    /// `{"status":"error","message":…}`
    StatusError,
}

const FORMS: [(&str, Form); 19] = [
    ("status-error", Form::StatusError),
    ("meta", Form::Meta),
    ("meta-status", Form::MetaStatus),
    ("flat", Form::Flat),
    ("flat-code", Form::FlatCode),
    ("error-list", Form::ErrorList),
    ("error-object", Form::ErrorObject),
    ("problem", Form::Problem),
    ("json-api", Form::JsonApi),
    ("rackspace-json", Form::RackspaceJson),
    ("rackspace-xml", Form::RackspaceXml),
    ("header", Form::Header),
    ("s3", Form::S3),
    ("aws-xml", Form::AwsXml),
    ("oauth", Form::OAuth),
    ("html", Form::Html),
    ("text", Form::Text),
    ("empty", Form::Empty),
    ("broken-json", Form::BrokenJson),
];

impl Form {
    pub fn named(name: &str) -> Option<Form> {
        FORMS.iter().find(|(n, _)| *n == name).map(|(_, form)| *form)
    }

    fn media_type(self) -> Option<&'static str> {
        match self {
            Form::Problem => Some("application/problem+json"),
            Form::JsonApi => Some("application/vnd.api+json"),
            Form::RackspaceXml | Form::S3 | Form::AwsXml => Some("application/xml"),
            Form::Html => Some("text/html; charset=utf-8"),
            Form::Text => Some("text/plain; charset=utf-8"),
            Form::Header | Form::Empty => None,
            _ => Some("application/json"),
        }
    }
}

/// How a wait is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitAs {
    /// `Retry-After: 2`
    #[default]
    Seconds,
    /// `Retry-After: Thu, 01 Jan 2026 09:30:00 GMT`
    Date,
    /// `X-RateLimit-Reset: 2000`, milliseconds, as documented
    ResetMs,
    /// `X-RateLimit-Reset: 1767259802`
    ResetEpoch,
    /// `X-RateLimit-Reset: 1767259802000`
    ResetEpochMs,
    None,
    /// Each of these after the other.
    Turn,
}

const WAITS: [(&str, WaitAs); 7] = [
    ("seconds", WaitAs::Seconds),
    ("date", WaitAs::Date),
    ("reset-ms", WaitAs::ResetMs),
    ("reset-epoch", WaitAs::ResetEpoch),
    ("reset-epoch-ms", WaitAs::ResetEpochMs),
    ("none", WaitAs::None),
    ("turn", WaitAs::Turn),
];

impl WaitAs {
    pub fn named(name: &str) -> Option<WaitAs> {
        WAITS.iter().find(|(n, _)| *n == name).map(|(_, wait)| *wait)
    }

    /// The headers that tell a client to wait `ms`; `wire` is the time on the client's clock.
    pub fn headers(self, ms: i64, wire: i64, turn: u64) -> Vec<(&'static str, String)> {
        let seconds = ms.div_euclid(1000) + i64::from(ms.rem_euclid(1000) > 0);
        let until = wire + ms;
        let reset = |text: String| {
            vec![
                ("X-RateLimit-Limit", "50".to_owned()),
                ("X-RateLimit-Remaining", "0".to_owned()),
                ("X-RateLimit-Reset", text),
            ]
        };
        match self {
            WaitAs::Seconds => vec![("Retry-After", seconds.to_string())],
            WaitAs::Date => vec![("Retry-After", dates::http(until + 999))],
            WaitAs::ResetMs => reset(ms.to_string()),
            WaitAs::ResetEpoch => reset(((until + 999) / 1000).to_string()),
            WaitAs::ResetEpochMs => reset(until.to_string()),
            WaitAs::None => Vec::new(),
            WaitAs::Turn => {
                let at = usize::try_from(turn % 6).unwrap_or(0);
                WAITS.get(at).map_or(Vec::new(), |(_, wait)| wait.headers(ms, wire, 0))
            }
        }
    }
}

/// A failure to answer with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    pub status: u16,
    /// Four digits are a sub-code and lead the message; anything else is the `code` field.
    pub code: Option<String>,
    pub message: Option<String>,
    /// `meta.status` where it differs from the HTTP status.
    pub meta: Option<u16>,
    pub field: Option<String>,
    pub form: Form,
    pub headers: Vec<(String, String)>,
    /// Instead of the form's body.
    pub body: Option<String>,
    /// Milliseconds; 0: nothing is said about waiting.
    pub wait: i64,
    pub wait_as: WaitAs,
}

/// What Mimecast calls its sub-codes; the field `code` is not what identifies them, the leading digits are.
const SUB_CODES: [(&str, &str, &str); 14] = [
    ("0001", "err_xdk_binding_expired", "Binding Expired"),
    ("0002", "err_xdk_forbidden_operation", "Forbidden Operation"),
    ("0003", "err_xdk_invalid_credentials", "Invalid Credentials"),
    ("0004", "err_xdk_invalid_signature", "Invalid Signature"),
    ("0005", "err_xdk_realm_not_found", "MC Realm Not Found"),
    ("0006", "err_xdk_network_problem", "Network Problem To External Resource"),
    ("0007", "err_xdk_forbidden_message", "Message May Not Be Loaded"),
    ("0008", "err_xdk_key_not_refreshable", "Access Key Cannot Be Refreshed"),
    ("0009", "err_xdk_password_expired", "Password Expired"),
    ("0010", "err_xdk_account_locked", "Account Locked Out"),
    ("0011", "err_xdk_account_disabled", "Account Disabled"),
    ("0012", "err_xdk_keys_revoked", "Keys Revoked"),
    ("0013", "err_xdk_binding_not_found", "Binding Not Found"),
    ("0016", "err_xdk_forbidden_source_ip", "Forbidden Source IP"),
];

impl Reply {
    pub fn new(status: u16, form: Form, code: &str, message: &str) -> Self {
        let text = |t: &str| (!t.is_empty()).then(|| t.to_owned());
        Reply { status, form, code: text(code), message: text(message), ..Reply::default() }
    }

    /// As a refusal: boxed, because good answers should not pay for its size.
    pub fn refusal(self) -> Box<Self> {
        Box::new(self)
    }

    /// `code` and `message` as a body shows them.
    fn words(&self) -> (String, String) {
        let code = self.code.clone().unwrap_or_else(|| "service_error".to_owned());
        let said = self.message.as_deref();
        if code.len() == 4 && code.bytes().all(|b| b.is_ascii_digit()) {
            let (_, name, text) = SUB_CODES.iter().find(|(c, ..)| *c == code).copied().unwrap_or((
                "",
                "err_xdk_failure",
                "Failure",
            ));
            return (name.to_owned(), format!("{code} {}", said.unwrap_or(text)));
        }
        let message = said.map_or_else(|| default_message(&code), str::to_owned);
        (code, message)
    }

    /// The body's text.
    pub fn text(&self) -> String {
        if let Some(body) = &self.body {
            return body.clone();
        }
        let (code, message) = self.words();
        let status = self.status;
        match self.form {
            Form::Meta
            | Form::MetaStatus
            | Form::Flat
            | Form::FlatCode
            | Form::ErrorList
            | Form::ErrorObject => self.mimecast(&code, &message).to_string(),
            Form::Problem => json!({"type": format!("https://errors.example/{code}"), "title": message,
                "status": status, "detail": message})
            .to_string(),
            Form::JsonApi => {
                json!({"errors": [{"status": status.to_string(), "code": code, "title": message}]})
                    .to_string()
            }
            Form::StatusError => json!({"status": "error", "message": message}).to_string(),
            Form::RackspaceJson => {
                json!({code: {"code": self.meta.unwrap_or(status), "message": message}}).to_string()
            }
            Form::RackspaceXml => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{code} code=\"{status}\" \
                 xmlns=\"http://docs.rackspacecloud.com/apps\"><message>{message}</message></{code}>"
            ),
            Form::S3 => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}\
                 </Message><RequestId>SIM0000000000000</RequestId><HostId>c2ltdWxhdG9y</HostId></Error>"
            ),
            Form::AwsXml => format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
                 <RequestId>sim-0000</RequestId></ErrorResponse>"
            ),
            Form::OAuth => json!({"error": code, "error_description": message}).to_string(),
            Form::Html => format!(
                "<!DOCTYPE html>\n<html><head><title>{status}</title></head><body><h1>{message}</h1>\
                 <p>The gateway could not serve this page.</p></body></html>"
            ),
            Form::Text => format!("{message}\n"),
            Form::Header | Form::Empty => String::new(),
            Form::BrokenJson => format!("{{\"fail\":[{{\"code\":\"{code}\",\"message\":\"{message}\",}}"),
        }
    }

    fn mimecast(&self, code: &str, message: &str) -> Value {
        let meta = self.meta.unwrap_or(self.status);
        match self.form {
            Form::Meta => {
                let mut error = json!({"code": code, "message": message, "retryable": meta >= 429});
                if let (Some(field), Some(error)) = (&self.field, error.as_object_mut()) {
                    error.insert("field".into(), field.as_str().into());
                }
                json!({"meta": {"status": meta, "isLastToken": false}, "data": [], "fail": [{"errors": [error]}]})
            }
            Form::MetaStatus => json!({"meta": {"status": meta}, "data": [], "fail": []}),
            Form::FlatCode => json!({"fail": [{"code": code}]}),
            Form::ErrorList => {
                json!({"error": [{"code": code, "message": message, "field": self.field.as_deref().unwrap_or("")}]})
            }
            Form::ErrorObject => json!({"error": {"message": message}}),
            _ => json!({"fail": [{"code": code, "message": message}]}),
        }
    }

    /// The whole answer. `wire`: time on the client's clock; `turn`: see [`WaitAs::Turn`].
    pub fn response(&self, wire: i64, turn: u64) -> Response {
        let mut response = respond(self.status, self.form.media_type(), self.text());
        let mut add = |name: &str, value: &str| {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                response.headers_mut().insert(name, value);
            }
        };
        if self.form == Form::Header {
            add("x-error-message", &self.words().1);
        }
        if self.wait > 0 {
            for (name, value) in self.wait_as.headers(self.wait, wire, turn) {
                add(name, &value);
            }
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        response
    }
}

fn default_message(code: &str) -> String {
    match code {
        "token_expired" => "Access token has expired",
        "token_verification_failed" => "Access token could not be verified",
        "InvalidClientIdentifier" => "Client credentials are invalid",
        "app_forbidden" => "Forbidden to perform the requested operation",
        "too_many_requests" => "Too many requests",
        "AccessDenied" => "Request has expired",
        "NoSuchKey" => "The specified key does not exist.",
        "SlowDown" => "Please reduce your request rate.",
        _ => "The Mimecast service you're trying to access is temporarily busy.",
    }
    .to_owned()
}

/// Any answer with a finished body.
pub fn respond(status: u16, media_type: Option<&'static str>, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(media_type) = media_type {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    response
}

pub fn json_answer(status: u16, body: impl Into<Body>) -> Response {
    respond(status, Some("application/json"), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_codes_lead_the_message_and_names_stay_codes() {
        let text = Reply::new(401, Form::Flat, "0010", "").text();
        assert_eq!(
            text,
            r#"{"fail":[{"code":"err_xdk_account_locked","message":"0010 Account Locked Out"}]}"#
        );
        let text = Reply::new(401, Form::Flat, "token_expired", "").text();
        assert_eq!(text, r#"{"fail":[{"code":"token_expired","message":"Access token has expired"}]}"#);
        let reply = Reply {
            field: Some("type".into()),
            ..Reply::new(400, Form::ErrorList, "validation_error", "must match")
        };
        let text = reply.text();
        assert_eq!(text, r#"{"error":[{"code":"validation_error","field":"type","message":"must match"}]}"#);
    }

    #[test]
    fn every_form_has_a_name_and_json_forms_are_json() {
        for (name, form) in FORMS {
            assert_eq!(Form::named(name), Some(form));
            let text = Reply::new(500, form, "0006", "").text();
            let is_json = serde_json::from_str::<Value>(&text).is_ok();
            let should = form.media_type().is_some_and(|m| m.contains("json")) && form != Form::BrokenJson;
            assert_eq!(is_json, should, "{name}: {text}");
        }
    }

    #[test]
    fn a_wait_is_told_in_six_ways_in_turn() {
        let wire = 1_767_259_800_123;
        let told: Vec<String> = (0..7)
            .map(|turn| {
                WaitAs::Turn
                    .headers(2_000, wire, turn)
                    .pop()
                    .map_or(String::new(), |(n, v)| format!("{n}: {v}"))
            })
            .collect();
        assert_eq!(
            told,
            [
                "Retry-After: 2",
                "Retry-After: Thu, 01 Jan 2026 09:30:03 GMT",
                "X-RateLimit-Reset: 2000",
                "X-RateLimit-Reset: 1767259803",
                "X-RateLimit-Reset: 1767259802123",
                "",
                "Retry-After: 2",
            ]
        );
    }
}
