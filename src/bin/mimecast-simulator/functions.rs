//! The functions of `/api/…` that answer with pages of records, as the vendor's reference describes them: the names
//! of their fields, what a missing field means, where the records stand. Both generations of the API have them.

use crate::dates::{self, DAY};
use crate::feeds::Api;

/// What the span is when a client names none. All but the first lose data in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// `err_validation_null` for each of the two fields.
    Refused,
    /// From the start of the current day until now.
    Today,
    /// One month back until now.
    Month,
}

pub struct Function {
    pub path: &'static str,
    /// Name of the feed whose records it gives.
    pub feed: &'static str,
    /// Fields of the span.
    pub from: &'static str,
    pub to: &'static str,
    pub unsaid: Unsaid,
    /// Name of the list inside `data[0]`; `None`: `data` is the list.
    pub list: Option<&'static str>,
    /// Takes `oldestFirst`.
    pub oldest_first: bool,
    /// Without `"admin": true` only the caller's own mailbox is searched, which has nothing.
    pub admin: bool,
    /// API 2.0 knows no span here: every record there is, newest first.
    pub no_span_in_two: bool,
    /// Writes the records in their other form.
    pub second: bool,
}

const PLAIN: Function = Function {
    path: "",
    feed: "",
    from: "from",
    to: "to",
    unsaid: Unsaid::Today,
    list: None,
    oldest_first: false,
    admin: false,
    no_span_in_two: false,
    second: false,
};

/// A log of Targeted Threat Protection or of data leak prevention.
const fn protection(path: &'static str, feed: &'static str, list: &'static str) -> Function {
    Function { path, feed, list: Some(list), oldest_first: true, ..PLAIN }
}

const fn span(path: &'static str, feed: &'static str, list: Option<&'static str>) -> Function {
    Function { path, feed, from: "start", to: "end", list, ..PLAIN }
}

pub static FUNCTIONS: [Function; 10] = [
    Function {
        from: "startDateTime",
        to: "endDateTime",
        unsaid: Unsaid::Refused,
        ..span("/api/audit/get-audit-events", "audit", None)
    },
    protection("/api/ttp/url/get-logs", "ttp.url", "clickLogs"),
    protection("/api/ttp/attachment/get-logs", "ttp.attachment", "attachmentLogs"),
    protection("/api/ttp/impersonation/get-logs", "ttp.impersonation", "impersonationLogs"),
    protection("/api/dlp/get-logs", "dlp", "dlpLogs"),
    Function {
        unsaid: Unsaid::Month,
        ..span("/api/gateway/get-held-release-logs", "held-release", Some("heldReleaseLogs"))
    },
    Function { admin: true, ..span("/api/gateway/get-rejections", "rejections", Some("rejections")) },
    Function {
        no_span_in_two: true,
        ..span("/api/archive/get-archive-search-logs", "archive.search", Some("logs"))
    },
    Function { second: true, ..span("/api/archive/get-search-logs", "archive.search", Some("logs")) },
    span("/api/archive/get-view-logs", "archive.view", None),
];

pub fn at(path: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.path == path)
}

impl Unsaid {
    /// Where the span begins that nobody named; `None`: it has to be named.
    pub fn start(self, now: i64) -> Option<i64> {
        match self {
            Unsaid::Refused => None,
            Unsaid::Today => Some(now - now.rem_euclid(DAY)),
            Unsaid::Month => Some(now - 30 * DAY),
        }
    }
}

/// A date-time in a request: seconds, with an offset of zero. API 1.0 takes no colon in the offset, 2.0 also takes
/// `+00:00` and `Z`.
pub fn parse_time(text: &str, api: Api) -> Option<i64> {
    let plain = dates::parse_api(text);
    if api == Api::One {
        return plain;
    }
    let base = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"));
    plain.or_else(|| dates::parse_api(&format!("{}+0000", base?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::{FEEDS, Kind};

    #[test]
    fn every_window_feed_has_a_function() {
        for feed in FEEDS.iter().filter(|f| f.kind == Kind::Window) {
            assert!(FUNCTIONS.iter().any(|f| f.feed == feed.name), "{}", feed.name);
        }
        assert!(FUNCTIONS.iter().all(|f| crate::feeds::named(f.feed).is_some()));
    }

    #[test]
    fn only_api_2_takes_a_colon_in_the_offset() {
        let at = Some(1_767_225_600_000);
        assert_eq!(parse_time("2026-01-01T00:00:00+0000", Api::One), at);
        for text in ["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00Z"] {
            assert_eq!((parse_time(text, Api::One), parse_time(text, Api::Two)), (None, at), "{text}");
        }
        for text in ["2026-01-01T00:00:00.000Z", "2026-01-01", "", "Z"] {
            assert_eq!((parse_time(text, Api::One), parse_time(text, Api::Two)), (None, None), "{text}");
        }
    }
}
