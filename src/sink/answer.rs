//! Reads what an HTTP receiver answered: how long are we asked to wait, what is to be shown next time, and what of the body
//! may be shown to a person. Pure, but for the reading.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, SET_COOKIE};

use crate::dialect::retry_after_said;
use crate::fault::one_line;
use crate::limits;
use crate::secret::Secret;

/// The body, up to so many bytes; the rest is dropped with the connection.
///
/// # Errors
/// The answer broke off or did not come in time.
pub async fn bounded(response: &mut reqwest::Response, most: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        let room = most.saturating_sub(body.len());
        body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if piece.len() >= room {
            break;
        }
    }
    Ok(body)
}

/// What an answer asks to be shown next time, as one `Cookie` header: names and values only, for whoever keeps them keeps
/// them for one question. `None`: nothing, or more than [`limits::MAX_COOKIE_BYTES`] and thus nobody's balancer.
pub fn cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let pairs =
        headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    let all = pairs.map(str::trim).filter(|pair| pair.contains('=')).collect::<Vec<_>>().join("; ");
    let mut value = HeaderValue::from_str(&all).ok()?;
    value.set_sensitive(true);
    Some(value).filter(|_| !all.is_empty() && all.len() <= limits::MAX_COOKIE_BYTES)
}

/// `Retry-After`, in seconds or as an HTTP date. A date is read against the answer's own `Date`, so that
/// neither clock matters; without one it says nothing. At most [`limits::SINK_MAX_WAIT`].
pub fn wait_asked(value: Option<&str>, date: Option<&str>) -> Option<Duration> {
    retry_after_said(value?, date).map(|wait| wait.min(limits::SINK_MAX_WAIT))
}

/// The start of a body as one line, without our secrets (some receivers quote the request) and without the
/// queries of URLs.
pub fn excerpt(body: &[u8], secrets: &[Secret]) -> String {
    const SHORTEST: usize = 4; // bytes; anything shorter is no secret, and replacing it would garble the text
    let mut text = String::from_utf8_lossy(body).into_owned();
    for secret in secrets.iter().filter(|secret| secret.expose().len() >= SHORTEST) {
        text = text.replace(secret.expose(), "<secret>");
    }
    let shown: String =
        without_queries(&text, "").trim().chars().take(limits::ANSWER_EXCERPT_CHARS).collect();
    one_line(&shown)
}

/// Puts `mark` in the place of what follows the path, from `?` or `#` on, in every URL of a text.
pub fn without_queries(text: &str, mark: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at);
        let ends =
            |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '\\' | ')' | ']' | '}');
        let (url, after) = url.split_at(url.find(ends).unwrap_or(url.len()));
        out.push_str(before);
        match url.split_once(['?', '#']) {
            Some((place, _)) => out.extend([place, mark]),
            None => out.push_str(url),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cookies_are_names_and_values_within_bounds() {
        let shown = |set: &[&str]| {
            let headers = set.iter().map(|text| (SET_COOKIE, HeaderValue::from_str(text).unwrap())).collect();
            cookies(&headers).map(|value| value.to_str().unwrap().to_owned())
        };
        let both = [
            "AWSALB=a/b+c==; Expires=Thu, 01 Jan 2026 09:30:00 GMT; Path=/",
            "nonsense",
            " route = 2 ;HttpOnly",
        ];
        assert_eq!(shown(&both).as_deref(), Some("AWSALB=a/b+c==; route = 2"));
        assert_eq!((shown(&[]), shown(&["; Path=/"])), (None, None));
        assert_eq!(shown(&[&format!("a={}", "x".repeat(limits::MAX_COOKIE_BYTES))]), None);
    }

    #[test]
    fn both_forms_of_the_wait() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let secs = |s| Some(Duration::from_secs(s));
        assert_eq!(wait_asked(Some("120"), None), secs(120));
        assert_eq!(wait_asked(Some(" 0 "), date), secs(0));
        assert_eq!(wait_asked(Some("99999999999999999999999"), None), Some(limits::SINK_MAX_WAIT));
        assert_eq!(wait_asked(Some("Sun, 06 Nov 1994 08:51:37 GMT"), date), secs(120));
        assert_eq!(wait_asked(Some("Sun, 06 Nov 1994 08:40:37 GMT"), date), secs(0));
        assert_eq!(wait_asked(Some("Sun, 06 Nov 1994 08:51:37 GMT"), None), None);
        assert_eq!(wait_asked(Some("1.5"), date), secs(2));
        for nonsense in ["", "-5", "soon", "Sun, 06 Nov"] {
            assert_eq!(wait_asked(Some(nonsense), date), None, "{nonsense}");
        }
        assert_eq!(wait_asked(None, date), None);
    }

    #[test]
    fn an_excerpt_holds_no_secret_and_no_query() {
        let secrets = [Secret::new("tok-123456"), Secret::new("x")];
        let body = "bad\ntoken tok-123456 for https://siem.example/in?sig=abc\" and https://a/b?c=d x";
        assert_eq!(
            excerpt(body.as_bytes(), &secrets),
            "bad token <secret> for https://siem.example/in\" and https://a/b x"
        );
        assert_eq!(excerpt("é".repeat(500).as_bytes(), &[]).chars().count(), limits::ANSWER_EXCERPT_CHARS);
    }

    proptest! {
        #[test]
        fn hostile_answers_only_yield_values(body in proptest::collection::vec(any::<u8>(), 0..200), a in ".{0,40}", b in ".{0,40}") {
            prop_assert!(wait_asked(Some(&a), Some(&b)).is_none_or(|wait| wait <= limits::SINK_MAX_WAIT));
            let shown = excerpt(&body, &[Secret::new("secret")]);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
