//! RFC 9457 problem details. The key is the type; `status` is advisory, `detail` is shown and never parsed.

use serde_json::{Map, Value};

use super::object;
use super::said::{Form, Said, header, name};

pub(super) fn read(headers: &[(String, String)], object: &Map<String, Value>) -> Option<Said> {
    let declared = header(headers, "content-type")
        .and_then(|kind| kind.get(..24))
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/problem+json"));
    let title = object::text(object, &["title"]);
    let kind = object::text(object, &["type"]);
    let shaped = title.is_some() && (kind.is_some() || object::status(object.get("status")).is_some());
    if !declared && !shaped {
        return None;
    }
    Some(of_parts(kind, title, object::text(object, &["detail"]), object::status(object.get("status"))))
}

/// Also for the XML form of RFC 7807.
pub(super) fn of_parts(
    kind: Option<&str>,
    title: Option<&str>,
    detail: Option<&str>,
    status: Option<u16>,
) -> Said {
    let message = match (title, detail) {
        (Some(title), Some(detail)) => format!("{title}: {detail}"),
        (one, other) => one.or(other).unwrap_or("the problem names no reason").to_owned(),
    };
    Said { status, code: kind.and_then(last_segment), ..Said::new(Form::Problem, message) }
}

/// `https://example.com/problems/out-of-quota` → `out-of-quota`; `about:blank` says nothing.
fn last_segment(uri: &str) -> Option<String> {
    if uri.trim().eq_ignore_ascii_case("about:blank") {
        return None;
    }
    let path = uri.split('?').next().unwrap_or(uri);
    path.rsplit(['/', '#', ':']).find(|part| !part.is_empty()).and_then(name)
}
