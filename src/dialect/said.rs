//! What an answer says about itself, before it is a fault: the common ground of all forms.

use crate::fault::Origin;
use crate::limits::{MAX_HEADERS_READ, MAX_NAME_CHARS};

/// In which form an answer was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Mimecast,
    OAuth,
    /// RFC 9457.
    Problem,
    JsonApi,
    /// Rackspace Email & Apps, in JSON or XML.
    RackspaceFault,
    /// S3 and AWS.
    Xml,
    /// A JSON object of no known form.
    Json,
    Html,
    Text,
    Nothing,
}

#[derive(Clone, Debug)]
pub(super) struct Said {
    pub form: Form,
    /// The status the body claims.
    pub status: Option<u16>,
    pub code: Option<String>,
    pub message: String,
    pub field: Option<String>,
    pub retryable: Option<bool>,
    pub request_id: Option<String>,
    /// Errors beside the one that is told.
    pub more: usize,
}

impl Said {
    pub(super) fn new(form: Form, message: impl Into<String>) -> Self {
        Said {
            form,
            status: None,
            code: None,
            message: message.into(),
            field: None,
            retryable: None,
            request_id: None,
            more: 0,
        }
    }

    /// OAuth's form is a bare `error` word; outside the token endpoint other services use it too, so there only
    /// the registered words count as evidence.
    pub(super) fn is_attributed(&self, origin: Origin) -> bool {
        match self.form {
            Form::Mimecast => true,
            Form::OAuth => {
                origin == Origin::Token || self.code.as_deref().is_some_and(super::oauth::is_registered)
            }
            // A well-formed fault that says who was refused is a verdict on the credential (recovery row D02); read
            // out of a broken body it is not (D06).
            Form::RackspaceFault => self.code.as_deref() == Some("unauthorizedFault"),
            _ => false,
        }
    }

    /// A refusal that means "slow down" (recovery row D01). Mimecast's own 403 is never one: its 0012 says
    /// "too many" of bindings.
    pub(super) fn is_throttling(&self, status: u16) -> bool {
        let text = match self.form {
            Form::Problem | Form::JsonApi | Form::RackspaceFault | Form::Json | Form::Text
                if status == 403 =>
            {
                &self.message
            }
            // AWS says it with the code, under 400 as well as 403.
            Form::Xml if matches!(status, 400 | 403) => match &self.code {
                Some(code) => code,
                None => return false,
            },
            _ => return false,
        };
        let text = text.to_ascii_lowercase();
        let words: &[&str] = match self.form {
            Form::Xml => &["throttl", "requestlimitexceeded", "toomanyrequests", "slowdown"],
            _ => &["exceeded", "throttl", "too many", "quota", "rate limit"],
        };
        words.iter().any(|word| text.contains(word))
    }
}

/// Of two contradicting statuses the one that asks for less: 429, 5xx, 409, 404, 400, 403, 401 (recovery row
/// D03). Under a 2xx or for a status outside that list there is nothing to weigh.
pub(super) fn milder(http: u16, body: u16) -> u16 {
    if (200..=299).contains(&http) && (400..=599).contains(&body) {
        return body;
    }
    match (rank(http), rank(body)) {
        (Some(ours), Some(theirs)) if theirs < ours => body,
        _ => http,
    }
}

/// Place in the order of row D03; lower is milder.
pub(super) fn rank(status: u16) -> Option<u8> {
    match status {
        429 => Some(0),
        500..=599 => Some(1),
        409 => Some(2),
        404 => Some(3),
        400 => Some(4),
        403 => Some(5),
        401 => Some(6),
        _ => None,
    }
}

/// The first header of this name, in any case, without spaces around.
pub(super) fn header<'a>(headers: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    let known = headers.iter().take(MAX_HEADERS_READ);
    known.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim()).next()
}

/// The id support asks for: Mimecast's own, else the gateway's, else the file store's.
pub(super) fn request_id(headers: &[(String, String)]) -> Option<String> {
    ["x-mc-req-id", "x-request-id", "x-amz-request-id"]
        .into_iter()
        .find_map(|wanted| header(headers, wanted).and_then(name))
}

/// Whether the headers are those of Mimecast or its gateway (mimecast-api.md §2.1): a proxy's page has neither.
pub(super) fn is_from_mimecast(headers: &[(String, String)]) -> bool {
    headers.iter().take(MAX_HEADERS_READ).any(|(name, _)| {
        let name = name.to_ascii_lowercase();
        name == "x-request-id" || name.starts_with("x-mc-")
    })
}

/// A short name safe to show: printable ASCII without spaces, quotes and angle brackets.
pub(super) fn name(text: &str) -> Option<String> {
    let shown = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '\\');
    let clean: String = text.chars().filter(shown).take(MAX_NAME_CHARS).collect();
    (!clean.is_empty()).then_some(clean)
}
