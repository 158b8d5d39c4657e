//! Faults of the Rackspace Email & Apps API: the root member names the fault, `code` may contradict the HTTP
//! status, and throttling arrives as a 403. `details` may be a stack trace and is not shown.

use serde_json::{Map, Value};

use super::lenient::Glimpse;
use super::object;
use super::said::{Form, Said};

pub(super) fn read(object: &Map<String, Value>) -> Option<Said> {
    let (root, fault) = object
        .iter()
        .find_map(|(name, value)| Some((name, value.as_object()?)).filter(|_| is_fault(name)))?;
    Some(of_parts(
        root,
        object::text(fault, &["message"]),
        object::text(fault, &["resourceType"]),
        object::status(fault.get("code")),
    ))
}

pub(super) fn is_fault(root: &str) -> bool {
    root.ends_with("Fault") || matches!(root, "itemNotFound" | "unauthorized" | "badRequest")
}

/// The documentation's table leaves the ending out, its samples do not: `unauthorized` is `unauthorizedFault`.
pub(super) fn of_parts(
    root: &str,
    message: Option<&str>,
    resource: Option<&str>,
    status: Option<u16>,
) -> Said {
    let code = if root.ends_with("Fault") { root.to_owned() } else { format!("{root}Fault") };
    let message = message.unwrap_or(&code);
    let message = resource.map_or_else(|| message.to_owned(), |resource| format!("{resource}: {message}"));
    Said { status, code: Some(code), ..Said::new(Form::RackspaceFault, message) }
}

/// For text that is no JSON. Only a fault's name becomes the code: any other word out of a broken body could
/// bring a verdict that its status alone would not.
pub(super) fn read_broken(text: &str) -> Option<Said> {
    let glimpse = Glimpse::of(text);
    let message = glimpse.value("message");
    let root = glimpse.root()?;
    if is_fault(root) {
        let status = glimpse.value("code").and_then(|code| code.parse().ok());
        let said = of_parts(root, message, glimpse.value("resourceType"), status);
        return Some(Said { form: Form::Json, ..said });
    }
    message.map(|message| Said::new(Form::Json, format!("(broken JSON) {message}")))
}
