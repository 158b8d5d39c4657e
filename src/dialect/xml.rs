//! Errors in XML, by a scanner for three things only: the root element, its `code` attribute, and the text of a
//! few elements. No entities but the five of XML, no DTD, no nesting to keep: nothing that could grow.

use super::Said;

/// S3 (`<Error><Code>`), AWS (`<ErrorResponse><Error><Code>`), and faults named by their root element. `None`:
/// no element at all.
pub(super) fn read(body: &[u8]) -> Option<Said> {
    let text = String::from_utf8_lossy(body);
    let (root, attributes) = root_element(&text)?;
    let message = element(&text, "Message").or_else(|| element(&text, "message")).unwrap_or_default();
    if root.ends_with("Fault") {
        let status = if speaks_of_limits(&message) {
            Some(429)
        } else {
            attribute(attributes, "code").and_then(|code| code.parse().ok())
        };
        return Some(Said { code: Some(root.to_owned()), message, status, ..Said::default() });
    }
    let code = element(&text, "Code").or_else(|| element(&text, "code"));
    // S3 says "AccessDenied" both for an expired link and for a missing right; only the message tells.
    let expired = code.as_deref() == Some("AccessDenied") && message.to_ascii_lowercase().contains("expired");
    let code = if expired { Some("RequestExpired".to_owned()) } else { code };
    // S3's answer to two ways of signing in at once has a general code; only the message names the case.
    let two = message.contains("Only one auth mechanism allowed");
    let code = if two { Some("OnlyOneAuthMechanism".to_owned()) } else { code };
    Some(Said { code, message, ..Said::default() })
}

/// Throttling that comes as a 403 with words (recovery row D01).
pub(super) fn speaks_of_limits(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["exceeded", "throttl", "too many", "quota", "rate limit"].iter().any(|word| message.contains(word))
}

/// A document or fragment of HTML, told from XML by its first bytes.
pub(super) fn looks_like_html(body: &[u8]) -> bool {
    let start = body.get(..1024).unwrap_or(body).to_ascii_lowercase();
    let starts = |prefix: &[u8]| start.starts_with(prefix);
    starts(b"<!doctype html")
        || ["<html", "<head", "<body", "<title", "<center", "<h1", "<p>"]
            .iter()
            .any(|tag| starts(tag.as_bytes()))
        || start.windows(5).any(|window| window == b"<html")
}

/// What an HTML page is called.
pub(super) fn html_title(body: &[u8]) -> String {
    let start = body.get(..8192).unwrap_or(body);
    let text = String::from_utf8_lossy(start);
    let title = ["title", "TITLE", "Title", "h1"].iter().find_map(|name| element(&text, name));
    title.map(|title| format!("web page \"{}\"", title.trim())).unwrap_or_else(|| "a web page".into())
}

/// Name (without prefix) and attributes of the first element that is neither declaration nor comment.
fn root_element(text: &str) -> Option<(&str, &str)> {
    let mut rest = text;
    for _ in 0..MAX_PREAMBLE {
        rest = rest.get(rest.find('<')? + 1..)?;
        if rest.starts_with(['?', '!']) {
            continue;
        }
        let inside = rest.get(..rest.find('>')?)?;
        let end = inside.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(inside.len());
        let (name, attributes) = inside.split_at_checked(end)?;
        let name = name.rsplit(':').next().unwrap_or(name);
        return (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
            .then_some((name, attributes));
    }
    None
}

/// Declarations and comments before the root.
const MAX_PREAMBLE: usize = 16;

/// The text of the first element of that name, up to the next tag.
fn element(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        rest = rest.get(rest.find('<')? + 1..)?;
        let Some(after) = rest.strip_prefix(name) else { continue };
        if !after.starts_with(['>', ' ', '\t', '\r', '\n']) {
            continue;
        }
        let content = after.get(after.find('>')? + 1..)?;
        let content = content.strip_prefix("<![CDATA[").unwrap_or(content);
        let end = content.find(['<', ']']).unwrap_or(content.len());
        return Some(unescape(content.get(..end)?.trim()));
    }
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    attributes.split_whitespace().find_map(|pair| {
        let value = pair.strip_prefix(name)?.strip_prefix('=')?;
        Some(value.trim_end_matches('/').trim_matches(['"', '\'']))
    })
}

fn unescape(text: &str) -> String {
    const ENTITIES: [(&str, &str); 5] =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    ENTITIES.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}
