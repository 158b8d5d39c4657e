//! What is sent for a feed at a position. Pure: the same arguments give the same bytes.

use std::fmt::Write;
use std::time::Duration;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::feed::{Ask, Feed, Method};
use super::live::Live;
use super::position::{Day, Place, Position, Reading};
use crate::clock::Time;
use crate::limits::{LISTING_PAGE_SIZE, RECORD_PAGE_SIZE, STREAM_PAGE_SIZE};
use crate::secret::Secret;

/// One call of a function, without host and credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub path_and_query: String,
    /// With its media type.
    pub body: Option<Body>,
}

/// What a call sends; the variant decides its media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Json(String),
    /// `application/x-www-form-urlencoded`; holds the client's secret.
    Form(Secret),
}

/// What a request depends on besides feed and position.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Files or records per page; see [`page_size`].
    pub page_size: u32,
    /// How much of the previous window is read again.
    pub overlap: Duration,
    /// The server's time: ours plus the measured difference.
    pub server_now: Time,
    /// A listing of files ends with this day; `None`: it goes on to the present.
    pub until: Option<Day>,
}

/// A request and the position its answer belongs to.
#[derive(Clone, Debug)]
pub struct Asked {
    pub request: Request,
    /// The position given, with its window fixed. Read the answer with this one.
    pub position: Position,
}

/// What is asked for in one page unless the server has complained.
pub fn page_size(feed: &Feed) -> u32 {
    match feed.ask {
        Ask::Batch { .. } => LISTING_PAGE_SIZE,
        // files that answer for themselves know no pages
        Ask::Window { .. } | Ask::Archive | Ask::Intel { .. } => RECORD_PAGE_SIZE,
    }
}

/// The request that goes on reading `feed` at `position`.
pub fn build(feed: &Feed, position: &Position, asking: &Asking) -> Asked {
    let position = position.with_window(feed, asking.overlap, asking.server_now);
    let json = |body: String| (feed.path.to_owned(), Some(Body::Json(body)));
    let (path_and_query, body) = match (feed.ask, &position) {
        (Ask::Batch { kind, stream }, Position::Stream(live)) => {
            (stream_query(stream, kind, live, asking), None)
        }
        (Ask::Batch { kind, .. }, _) => (listing_query(feed, kind, &position, asking), None),
        (Ask::Window { .. }, _) => json(window_body(feed, &position, asking)),
        (Ask::Archive, _) => json(archive_body(&position, true)),
        (Ask::Intel { kind }, _) => json(intel_body(feed, kind, &position, asking)),
    };
    let request = Request { method: feed.method(), path_and_query, body };
    Asked { request, position }
}

/// The token alone, or the date alone: without either the service would start where it likes.
fn listing_query(feed: &Feed, kind: &str, position: &Position, asking: &Asking) -> String {
    let mut out = format!("{}?type={}&pageSize={}", feed.path, percent(kind), asking.page_size);
    // Writing into a string cannot fail.
    let _ = match position {
        // inside a closed range the dates are said again with each page, so that none leads out of it
        Position::Batch { since, token: Some(token), .. } if asking.until.is_some() => {
            write!(out, "&dateRangeStartsAt={since}&nextPage={}", percent(token))
        }
        Position::Batch { token: Some(token), .. } => write!(out, "&nextPage={}", percent(token)),
        Position::Batch { since, token: None, .. } => write!(out, "&dateRangeStartsAt={since}"),
        _ => Ok(()),
    };
    if let Some(until) = asking.until {
        let _ = write!(out, "&dateRangeEndsAt={until}");
    }
    out
}

/// The events themselves: another function, which knows times of day.
fn stream_query(path: &str, kind: &str, live: &Live, asking: &Asking) -> String {
    let size = asking.page_size.min(STREAM_PAGE_SIZE);
    let mut out = format!("{path}?types={}&pageSize={size}", percent(kind));
    let _ = match &live.token {
        Some(token) => write!(out, "&nextPage={}", percent(token)),
        None => write!(out, "&dateRangeStartsAt={}", percent(&live.from.rfc3339())),
    };
    out
}

/// The same place asked for as one plain file instead of a zip of many: the way past an archive that cannot be read.
pub fn single_file(feed: &Feed, position: &Position) -> Request {
    Request {
        method: feed.method(),
        path_and_query: feed.path.to_owned(),
        body: Some(Body::Json(archive_body(position, false))),
    }
}

/// What every function that is posted to takes: one object in a list, and maybe where its pages go on.
#[derive(Serialize)]
struct Posted<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Meta<'a>>,
    data: [T; 1],
}

#[derive(Serialize)]
struct Meta<'a> {
    pagination: Pagination<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pagination<'a> {
    page_size: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_token: Option<PageToken<'a>>,
}

/// What a page gave us as JSON text is sent back as the same JSON value.
#[derive(Serialize)]
#[serde(untagged)]
enum PageToken<'a> {
    Value(&'a RawValue),
    Text(&'a str),
}

impl<'a> PageToken<'a> {
    fn of(page: &'a str) -> Self {
        serde_json::from_str(page).map_or(PageToken::Text(page), PageToken::Value)
    }
}

fn posted<T: Serialize>(meta: Option<Meta<'_>>, data: T) -> String {
    // Plain structs of text, numbers and flags always have a JSON form.
    serde_json::to_string(&Posted { meta, data: [data] }).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Archive<'a> {
    r#type: &'static str,
    file_format: &'static str,
    compress: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

fn archive_body(position: &Position, zipped: bool) -> String {
    let token = match position {
        Position::Token(place) => place.token.as_deref(),
        _ => None,
    };
    posted(None, Archive { r#type: "MTA", file_format: "json", compress: zipped, token })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Intel<'a> {
    feed_type: &'a str,
    file_type: &'static str,
    compress: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
}

/// The token alone, or the time alone.
fn intel_body(feed: &Feed, kind: &str, position: &Position, asking: &Asking) -> String {
    let (token, start) = match position {
        Position::Token(Place { token: Some(token), .. }) => (Some(token.as_str()), None),
        Position::Token(Place { since, .. }) => {
            let start = Time(*since).max(asking.server_now.minus(feed.retention));
            (None, Some(api_date(start)))
        }
        _ => (None, None),
    };
    posted(None, Intel { feed_type: kind, file_type: "stix", compress: false, token, start })
}

/// The bounds of a window, under the names that the feed's function has for them.
struct Window<'a> {
    feed: &'a Feed,
    reading: Option<&'a Reading>,
}

impl Serialize for Window<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let (Ask::Window { from_field, to_field, also }, Some(reading)) = (self.feed.ask, self.reading) {
            let span = reading.asked().0;
            map.serialize_entry(from_field, &api_date(span.from))?;
            map.serialize_entry(to_field, &api_date(span.to))?;
            for also in also {
                map.serialize_entry(also.field(), &true)?;
            }
        }
        map.end()
    }
}

fn window_body(feed: &Feed, position: &Position, asking: &Asking) -> String {
    let reading = match position {
        Position::Window { reading, .. } => reading.as_ref(),
        _ => None,
    };
    let page_token = reading.and_then(|reading| reading.asked().1).map(PageToken::of);
    let pagination = Pagination { page_size: asking.page_size, page_token };
    posted(Some(Meta { pagination }), Window { feed, reading })
}

/// `2026-01-01T00:00:00+0000`: the one form every generation of the API takes. Seconds only.
fn api_date(at: Time) -> String {
    let mut text = at.rfc3339();
    text.truncate(19);
    text.push_str("+0000");
    text
}

/// Percent-encodes everything but RFC 3986's unreserved characters; a space is `%20`.
pub(super) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::catalogue::find;
    use super::*;
    use crate::cursor::Cursor;

    const NOW: Time = Time(1_767_259_800_999); // 2026-01-01T09:30:00.999Z

    fn ask(feed: &str, cursor: &str) -> Asked {
        let feed = find(feed).unwrap();
        let position = Position::open(feed, &Cursor(cursor.into()), NOW, Duration::from_secs(3600)).unwrap();
        let asking =
            Asking { page_size: page_size(feed), overlap: feed.overlap, server_now: NOW, until: None };
        build(feed, &position, &asking)
    }

    #[test]
    fn a_listing_without_token_names_the_date() {
        let asked = ask("siem.url-protect", "");
        let expected =
            "/siem/v1/batch/events/cg?type=url%20protect&pageSize=100&dateRangeStartsAt=2026-01-01";
        assert_eq!(asked.request.path_and_query, expected);
        assert_eq!((asked.request.method, asked.request.body), (Method::Get, None));
    }

    #[test]
    fn a_listing_with_token_sends_the_token_alone_and_encoded() {
        let asked = ask("ci.entities", r#"{"v":1,"batch":{"since":"2026-01-01","token":"a+/b=="}}"#);
        let expected = "/siem/v1/batch/events/ci?type=entities&pageSize=100&nextPage=a%2B%2Fb%3D%3D";
        assert_eq!(asked.request.path_and_query, expected);
    }

    #[test]
    fn a_window_always_sends_both_bounds() {
        let Asked { request, position } = ask("ttp.url", "");
        let Some(Body::Json(body)) = &request.body else { panic!("{request:?}") };
        let expected = json!({
            "meta": {"pagination": {"pageSize": 500}},
            "data": [{"from": "2026-01-01T08:30:00+0000", "to": "2026-01-01T09:29:00+0000", "oldestFirst": true}],
        });
        assert_eq!(serde_json::from_str::<Value>(body).unwrap(), expected);
        assert_eq!(
            (request.method, request.path_and_query.as_str()),
            (Method::Post, "/api/ttp/url/get-logs")
        );
        assert!(position.window().is_some());
    }

    #[test]
    fn later_pages_send_the_same_data_with_the_token() {
        let cursor =
            |page: &str| format!(r#"{{"v":1,"window":{{"high":0,"pass":1,"reading":[0,60000,{page}]}}}}"#);
        let body = |page: &str| match ask("audit", &cursor(page)).request.body {
            Some(Body::Json(body)) => serde_json::from_str::<Value>(&body).unwrap(),
            other => panic!("{other:?}"),
        };
        let (first, text, object) = (body("null"), body(r#""\"eN-_1\"""#), body(r#""{\"a\":1}""#));
        assert_eq!(
            first["data"],
            json!([{"startDateTime": "1970-01-01T00:00:00+0000", "endDateTime": "1970-01-01T00:01:00+0000"}])
        );
        assert_eq!((&first["data"], &first["data"]), (&text["data"], &object["data"]));
        assert_eq!(text["meta"]["pagination"]["pageToken"], json!("eN-_1"));
        assert_eq!(object["meta"]["pagination"]["pageToken"], json!({"a": 1}));
    }
}
