//! Reads what an HTTP receiver answered: does a 2xx mean what it says, how long are we asked to wait, and what
//! of the body may be shown to a person. Pure, but for the reading.

use std::time::Duration;

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use crate::clock::Time;
use crate::fault::{Kind, one_line};
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

/// A failure inside a 2xx answer: a JSON object with top-level `"errors": true` (or a list of errors), with
/// `"success": false`, or with a `status` of `error`, `failed` or `failure`. `None`: nothing contradicts.
///
/// The body may be cut at its bound; what was readable of it counts, for receivers put the verdict first.
pub fn contradiction(body: &[u8]) -> Option<Kind> {
    let mut seen = Seen::default();
    // A body that is no JSON object contradicts nothing, and one that is cut has been read as far as it goes.
    let _ = serde_json::Deserializer::from_slice(body).deserialize_map(Reader(&mut seen));
    if seen.errors {
        return Some(Kind::Partial);
    }
    // A failure without a number is taken for one that passes: waiting loses nothing, dropping would.
    seen.failed.then(|| Kind::Status(seen.code.unwrap_or(500)))
}

#[derive(Default)]
struct Seen {
    errors: bool,
    failed: bool,
    /// `code` or a numeric `status` that is an HTTP error.
    code: Option<u16>,
}

struct Reader<'a>(&'a mut Seen);

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match &*key {
                "errors" => self.0.errors |= matches!(map.next_value()?, Word::True | Word::SomeItems),
                "success" => self.0.failed |= map.next_value::<Word>()? == Word::False,
                "status" | "code" => match map.next_value()? {
                    Word::Failure => self.0.failed = true,
                    Word::HttpError(code) => self.0.code = Some(code),
                    _ => {}
                },
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// As much of a value as the verdict needs.
#[derive(PartialEq, Eq)]
enum Word {
    True,
    False,
    Failure,
    HttpError(u16),
    SomeItems,
    Other,
}

impl<'de> serde::Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordReader)
    }
}

struct WordReader;

impl<'de> Visitor<'de> for WordReader {
    type Value = Word;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Word, E> {
        Ok(if value { Word::True } else { Word::False })
    }
    fn visit_u64<E>(self, value: u64) -> Result<Word, E> {
        let code = u16::try_from(value).ok().filter(|code| (400..600).contains(code));
        Ok(code.map_or(Word::Other, Word::HttpError))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Word, E> {
        Ok(Word::Other)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Word, E> {
        Ok(Word::Other)
    }
    fn visit_str<E>(self, value: &str) -> Result<Word, E> {
        let failure = ["error", "failed", "failure"].iter().any(|word| value.eq_ignore_ascii_case(word));
        Ok(if failure { Word::Failure } else { Word::Other })
    }
    fn visit_unit<E>(self) -> Result<Word, E> {
        Ok(Word::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Word, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Word::Other)
    }
    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Word, A::Error> {
        let mut items = Word::Other;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            items = Word::SomeItems;
        }
        Ok(items)
    }
}

/// `Retry-After`, in seconds or as an HTTP date. A date is read against the answer's own `Date`, so that
/// neither clock matters; without one it says nothing. At most [`limits::SINK_MAX_WAIT`].
pub fn wait_asked(value: Option<&str>, date: Option<&str>) -> Option<Duration> {
    let value = value?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(value.parse().unwrap_or(u64::MAX)) // more digits than fit: very long
    } else {
        http_date(value)?.since(http_date(date?)?)
    };
    Some(wait.min(limits::SINK_MAX_WAIT))
}

fn http_date(text: &str) -> Option<Time> {
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(Time(at.as_millisecond()))
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
    fn a_2xx_body_is_read_before_it_is_believed() {
        for fine in [
            "",
            "ok",
            "[1]",
            "<html>",
            "{}",
            "{\"errors\":false}",
            "{\"errors\":[]}",
            "{\"status\":\"ok\",\"code\":0}",
            "{\"items\":[{\"errors\":true}]}",
            "{\"text\":\"Success\",\"code\":200}",
            "{\"errors\":null,\"status\":-1.5}",
            "{\"nested\":{\"status\":\"error\"}}",
            "{\"success\":true}",
        ] {
            assert_eq!(contradiction(fine.as_bytes()), None, "{fine}");
        }
        for (bad, kind) in [
            ("{\"took\":3,\"errors\":true,\"items\":[]}", Kind::Partial),
            ("{\"took\":3,\"errors\":true,\"items\":[{\"index\"", Kind::Partial), // cut at the bound
            ("{\"errors\":[{\"title\":\"no\"}]}", Kind::Partial),
            ("{\"status\":\"Error\"}", Kind::Status(500)),
            ("{\"status\":\"error\",\"code\":429}", Kind::Status(429)),
            ("{\"success\":false,\"status\":403}", Kind::Status(403)),
        ] {
            assert_eq!(contradiction(bad.as_bytes()), Some(kind), "{bad}");
        }
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
        for nonsense in ["", "-5", "1.5", "soon", "Sun, 06 Nov"] {
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
            let _ = contradiction(&body);
            prop_assert!(wait_asked(Some(&a), Some(&b)).is_none_or(|wait| wait <= limits::SINK_MAX_WAIT));
            let shown = excerpt(&body, &[Secret::new("secret")]);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
