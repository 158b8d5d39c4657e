//! An HTTP answer as people save it: `curl -i` with its status line and headers (also several heads, one after the
//! other, of a proxy or a redirect), `curl -v` with `< ` before them, or the body alone. Pure.

use crate::limits::MAX_HEADERS_READ;

/// What a file held.
#[derive(Debug, PartialEq, Eq)]
pub struct SavedAnswer<'a> {
    /// `None` without a status line.
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
    pub body: &'a [u8],
}

impl<'a> SavedAnswer<'a> {
    /// The last answer in `bytes`. Total: what is no head is body.
    pub fn parse(bytes: &'a [u8]) -> Self {
        let mut answer = SavedAnswer { status: None, headers: Vec::new(), body: bytes };
        while let Some((status, headers, body)) = head(answer.body) {
            answer = SavedAnswer { status: Some(status), headers, body };
        }
        answer
    }
}

type Head<'a> = (u16, Vec<(String, String)>, &'a [u8]);

/// One status line with its headers, and what follows; `None` when `bytes` do not begin with one.
fn head(bytes: &[u8]) -> Option<Head<'_>> {
    let (first, mut rest) = line(bytes)?;
    let mut words = first.strip_prefix("HTTP/")?.split_ascii_whitespace();
    let version = words.next()?;
    let status = words.next()?.parse().ok().filter(|status| (100..=999).contains(status))?;
    if !version.starts_with(['1', '2', '3']) {
        return None;
    }
    let mut headers = Vec::new();
    while let Some((text, after)) = line(rest) {
        rest = after;
        if text.is_empty() {
            break;
        }
        if let Some((name, value)) = text.split_once(':').filter(|_| headers.len() < MAX_HEADERS_READ) {
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    Some((status, headers, rest))
}

/// The first line without its end and without curl's `< `, and what follows it.
fn line(bytes: &[u8]) -> Option<(String, &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at(end);
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\r');
    let text = text.strip_prefix("< ").unwrap_or(if text == "<" { "" } else { text });
    Some((text.to_owned(), rest.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<u16>, usize, String) {
        let answer = SavedAnswer::parse(text.as_bytes());
        (answer.status, answer.headers.len(), String::from_utf8_lossy(answer.body).into_owned())
    }

    #[test]
    fn with_a_head_with_several_and_with_none() {
        let body = "{\"fail\":[]}";
        assert_eq!(parsed(body), (None, 0, body.into()));
        let plain = format!("HTTP/1.1 403 Forbidden\r\nA: b\r\nRetry-After:  5 \r\n\r\n{body}");
        assert_eq!(parsed(&plain), (Some(403), 2, body.into()));
        assert_eq!(SavedAnswer::parse(plain.as_bytes()).headers[1], ("Retry-After".into(), "5".into()));
        let proxied =
            format!("HTTP/1.1 200 Connection established\n\nHTTP/2 429 \nX-RateLimit-Reset: 9000\n\n{body}");
        assert_eq!(parsed(&proxied), (Some(429), 1, body.into()));
        assert_eq!(parsed("< HTTP/2 401\n< date: x\n< \nno"), (Some(401), 1, "no".into()));
        assert_eq!(parsed("HTTP/1.1 503 Service Unavailable"), (Some(503), 0, String::new()));
        for no_head in ["", "HTTP/", "HTTP/1.1", "HTTP/1.1 abc", "HTTP/9 200", "http"] {
            assert_eq!(parsed(no_head), (None, 0, no_head.into()));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let answer = SavedAnswer::parse(&bytes);
            proptest::prop_assert!(answer.body.len() <= bytes.len());
        }
    }
}
