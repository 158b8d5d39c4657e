//! Errors in JSON: Mimecast 1.0 and 2.0, OAuth, problem+json, JSON:API, faults named by their root key, and a
//! bare `{code, message}`. Every level of every form is optional.

use serde_json::{Map, Value};

use super::Said;

type Object = Map<String, Value>;

/// `None`: not JSON, or in no known form.
pub(super) fn read(body: &[u8]) -> Option<Said> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    read_value(&serde_json::from_slice(body).ok()?)
}

pub(super) fn read_value(value: &Value) -> Option<Said> {
    let top = match value {
        Value::Object(top) => top,
        Value::Array(list) => list.first()?.as_object()?,
        _ => return None,
    };
    let readers = [mimecast_fail, mimecast_error, oauth, json_api, problem, named_fault, bare, mimecast_meta];
    readers.iter().find_map(|reader| reader(top))
}

/// `meta.status` of a Mimecast answer, given the value of `meta`.
pub(super) fn status_of(meta: &Value) -> Option<u16> {
    number(meta.as_object()?.get("status")?).filter(|status| (100..600).contains(status))
}

/// Forms E1, E3, E4, E10: `fail[].errors[].{code,message,retryable,field}` or `fail[].{code,message}`.
fn mimecast_fail(top: &Object) -> Option<Said> {
    let fail = top.get("fail")?.as_array()?;
    let errors = fail.iter().filter_map(Value::as_object).flat_map(|item| match item.get("errors") {
        Some(Value::Array(inner)) => inner.iter().filter_map(Value::as_object).collect(),
        _ => vec![item],
    });
    let said = most_telling(errors)?;
    Some(Said { status: top.get("meta").and_then(status_of), attributed: true, ..said })
}

/// Forms E5, E6: `error[].{code,message,field}` or `error.{code,message}`.
fn mimecast_error(top: &Object) -> Option<Said> {
    let said = match top.get("error")? {
        Value::Array(list) => most_telling(list.iter().filter_map(Value::as_object))?,
        Value::Object(one) => item(one),
        _ => return None,
    };
    Some(Said { status: top.get("meta").and_then(status_of), attributed: true, ..said })
}

/// RFC 6749 §5.2: `error`, `error_description`.
fn oauth(top: &Object) -> Option<Said> {
    let code = top.get("error")?.as_str()?;
    Some(Said {
        code: Some(code.to_owned()),
        message: text(top, &["error_description", "message"]),
        attributed: true,
        ..Said::default()
    })
}

/// Form E2: nothing but `meta.status`.
fn mimecast_meta(top: &Object) -> Option<Said> {
    let status = status_of(top.get("meta")?)?;
    Some(Said { status: Some(status), attributed: true, ..Said::default() })
}

/// RFC 9457; `status` in the body is advice.
fn problem(top: &Object) -> Option<Said> {
    if !["type", "title"].iter().any(|key| top.get(*key).is_some_and(Value::is_string)) {
        return None;
    }
    let (title, detail) = (text(top, &["title"]), text(top, &["detail"]));
    let kind = text(top, &["type"]);
    let code = kind.rsplit(['/', ':', '#']).next().filter(|last| !last.is_empty() && *last != "blank");
    let message = if detail.is_empty() { title } else { format!("{title}: {detail}") };
    Some(Said {
        code: code.map(str::to_owned),
        message,
        status: top.get("status").and_then(number),
        ..Said::default()
    })
}

/// JSON:API 1.1: `errors[].{status,code,title,detail,source}`.
fn json_api(top: &Object) -> Option<Said> {
    let first = top.get("errors")?.as_array()?.iter().find_map(Value::as_object)?;
    let source = first.get("source").and_then(Value::as_object);
    let said = item(first);
    let message = if said.message.is_empty() { text(first, &["detail", "title"]) } else { said.message };
    Some(Said {
        message,
        status: first.get("status").and_then(number),
        field: source.map(|source| text(source, &["pointer", "parameter"])).filter(|field| !field.is_empty()),
        ..said
    })
}

/// `{"itemNotFoundFault": {"message", "code"}}`: the root key names the fault.
fn named_fault(top: &Object) -> Option<Said> {
    let (name, inner) = top.iter().find(|(name, _)| name.ends_with("Fault"))?;
    let inner = inner.as_object()?;
    let message = text(inner, &["message"]);
    let throttled = super::xml::speaks_of_limits(&message);
    Some(Said {
        code: Some(name.clone()),
        status: if throttled { Some(429) } else { inner.get("code").and_then(number) },
        message,
        ..Said::default()
    })
}

/// `{"code", "message"}` at the top; `{"message"}` and `{"detail"}` of gateways.
fn bare(top: &Object) -> Option<Said> {
    let said = item(top);
    let message = if said.message.is_empty() { text(top, &["detail"]) } else { said.message.clone() };
    (said.code.is_some() || !message.is_empty()).then_some(Said { message, ..said })
}

/// Of several errors the one with a four-digit sub-code, else one that names a field, else the first.
fn most_telling<'a>(errors: impl Iterator<Item = &'a Object>) -> Option<Said> {
    const MOST: usize = 32; // more of them say no more
    let all: Vec<Said> = errors.take(MOST).map(item).collect();
    let with_sub_code = all.iter().find(|said| super::split_sub_code(&said.message).0.is_some());
    with_sub_code.or_else(|| all.iter().find(|said| said.field.is_some())).or_else(|| all.first()).cloned()
}

fn item(from: &Object) -> Said {
    let code = match from.get("code") {
        Some(Value::String(code)) if !code.is_empty() => Some(code.clone()),
        Some(Value::Number(code)) => Some(code.to_string()),
        _ => None,
    };
    Said {
        code,
        message: text(from, &["message"]),
        field: from.get("field").and_then(Value::as_str).filter(|field| !field.is_empty()).map(str::to_owned),
        retryable: from.get("retryable").and_then(truth),
        ..Said::default()
    }
}

fn text(from: &Object, keys: &[&str]) -> String {
    keys.iter()
        .filter_map(|key| from.get(*key).and_then(Value::as_str))
        .find(|text| !text.is_empty())
        .unwrap_or_default()
        .to_owned()
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Number(number) => number.as_u64().and_then(|n| u16::try_from(n).ok()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
