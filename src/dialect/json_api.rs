//! JSON:API 1.1 `errors[]`. Of several errors the mildest status is told, in the order of recovery row D03.

use serde_json::{Map, Value};

use super::object;
use super::said::{Form, Said, rank};
use crate::limits::MAX_ERRORS_READ;

pub(super) fn read(object: &Map<String, Value>) -> Option<Said> {
    let errors = object.get("errors")?.as_array().filter(|errors| !errors.is_empty())?;
    let read = errors.iter().take(MAX_ERRORS_READ).map(one);
    let mut said = read.min_by_key(|said| said.status.and_then(rank).unwrap_or(u8::MAX))?;
    said.more = errors.len().saturating_sub(1);
    Some(said)
}

fn one(error: &Value) -> Said {
    let Some(members) = error.as_object() else {
        return Said::new(Form::JsonApi, error.as_str().unwrap_or("the answer names no reason"));
    };
    let title = object::text(members, &["title", "message"]);
    let detail = object::text(members, &["detail"]);
    let message = match (title, detail) {
        (Some(title), Some(detail)) => format!("{title} {detail}"),
        (one, other) => one.or(other).unwrap_or_default().to_owned(),
    };
    let source = members.get("source").and_then(Value::as_object);
    Said {
        status: object::status(members.get("status")),
        code: object::code(members.get("code")),
        field: source
            .and_then(|source| object::text(source, &["pointer", "parameter", "header"]))
            .map(str::to_owned),
        ..Said::new(Form::JsonApi, message)
    }
}
