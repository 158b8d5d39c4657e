//! XML error bodies: S3 `<Error><Code>`, AWS `<ErrorResponse>`, Rackspace faults, RFC 7807 `<problem>`, SOAP.

use super::said::{Form, Said, header};
use super::xml::Xml;
use super::{problem_json, rackspace};

/// `None` when it is a web page, or no XML we take.
pub(super) fn read(headers: &[(String, String)], text: &str) -> Option<Said> {
    let xml = Xml::scan(text)?;
    let root = xml.root.as_str();
    let declared =
        text.starts_with("<?xml") || header(headers, "content-type").is_some_and(|kind| kind.contains("xml"));
    let known = matches!(root, "Error" | "ErrorResponse" | "Response" | "problem" | "Envelope")
        || rackspace::is_fault(root);
    if root.eq_ignore_ascii_case("html") || !(declared || known) {
        return None;
    }
    let status =
        |text: Option<&str>| text.and_then(|text| text.parse().ok()).filter(|s| (100..=599).contains(s));
    if root == "problem" {
        return Some(problem_json::of_parts(
            xml.text("type"),
            xml.text("title"),
            xml.text("detail"),
            status(xml.text("status")),
        ));
    }
    if rackspace::is_fault(root) {
        let code = xml.attribute("code").or_else(|| xml.text("code"));
        return Some(rackspace::of_parts(root, xml.text("message"), xml.text("resourceType"), status(code)));
    }
    let message = ["Message", "message", "faultstring", "Text"].into_iter().find_map(|name| xml.text(name));
    let code = ["Code", "code", "faultcode"].into_iter().find_map(|name| xml.text(name));
    let request_id = ["RequestId", "RequestID"].into_iter().find_map(|name| xml.text(name));
    let message = message.unwrap_or("the answer names no reason");
    Some(Said {
        code: code.map(|code| specific(code, message)),
        request_id: request_id.map(str::to_owned),
        ..Said::new(Form::Xml, message)
    })
}

/// S3 says `InvalidArgument` of every argument; only two kinds of authentication at once mean that a bearer token
/// went to the store (recovery row X20), so that case has a name of its own.
fn specific(code: &str, message: &str) -> String {
    let two = code == "InvalidArgument" && message.to_ascii_lowercase().contains("auth mechanism");
    if two { "OnlyOneAuthMechanism" } else { code }.to_owned()
}
