//! What is left: a JSON object of no known form, the header `x-error-message`, a web page, a line of text, nothing.

use serde_json::{Map, Value};

use super::said::{Form, Said, header};
use super::{mimecast, object};

const MESSAGES: [&str; 10] = [
    "message",
    "Message",
    "error_description",
    "detail",
    "title",
    "reason",
    "text",
    "description",
    "msg",
    "error",
];

/// A JSON object of no known form. It is Mimecast's when it uses Mimecast's words, or when the answer carries
/// Mimecast's own request id.
pub(super) fn read_object(headers: &[(String, String)], object: &Map<String, Value>) -> Said {
    let message = object::text(object, &MESSAGES).unwrap_or("the answer names no reason");
    let hec = object.get("code").and_then(Value::as_u64).filter(|_| object.contains_key("text"));
    let word = match hec {
        Some(number) => Some(format!("hec_{number}")),
        None => ["code", "errorCode", "error_code"].iter().find_map(|name| object::code(object.get(*name))),
    };
    let own = header(headers, "x-mc-req-id").is_some() || word.as_deref().is_some_and(mimecast::is_own_word);
    Said {
        status: object::status(object.get("status")),
        code: if own { mimecast::code_of(message, word) } else { word },
        ..Said::new(if own { Form::Mimecast } else { Form::Json }, message)
    }
}

/// `text` is trimmed and neither JSON nor an XML fault.
pub(super) fn read(headers: &[(String, String)], text: &str) -> Said {
    let html = text.starts_with('<');
    if let Some(message) = header(headers, "x-error-message").filter(|message| !message.is_empty())
        && (text.is_empty() || html)
    {
        return Said::new(Form::Text, message);
    }
    if html {
        return Said::new(Form::Html, page_title(text));
    }
    if text.is_empty() {
        return Said::new(Form::Nothing, "the answer is empty");
    }
    Said::new(Form::Text, text)
}

/// What a person would see in the browser's title: it mostly names the proxy.
fn page_title(page: &str) -> String {
    const SEARCHED: usize = 4096; // a title stands at the top
    let head: String = page.chars().take(SEARCHED).collect();
    let lower = head.to_ascii_lowercase(); // same length: only ASCII changes
    let title = lower.find("<title").and_then(|at| {
        let start = at + lower.get(at..)?.find('>')? + 1;
        let end = start + lower.get(start..)?.find('<')?;
        head.get(start..end).map(str::trim).filter(|title| !title.is_empty())
    });
    match title {
        Some(title) => format!("a web page came: {title}"),
        None => "a web page came".to_owned(),
    }
}
