//! Answers that are no answers: HTML where JSON is due, nothing at all, and a failure under HTTP 200. The one
//! place that is asked before an answer is believed.

use crate::dialect;
use crate::fault::{Fault, Kind, Origin};

/// The body of a 200 answer may be read as the JSON that is due.
///
/// Faults: [`Kind::Html`], [`Kind::Malformed`] (empty), or what the failure in the body says.
pub(super) fn believable(origin: Origin, body: &[u8]) -> Result<(), Fault> {
    within(origin, body)?.map_or(Ok(()), Err)
}

/// The failure that stands in the body of a 200 answer, beside whatever else it holds.
///
/// Faults: [`Kind::Html`], [`Kind::Malformed`]: there is nothing else in it.
pub(super) fn within(origin: Origin, body: &[u8]) -> Result<Option<Fault>, Fault> {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Err(Fault::new(origin, Kind::Malformed, "the answer is empty")),
        Some(b'<') => Err(Fault::new(origin, Kind::Html, "a web page came where JSON is due")),
        Some(b'{') => Ok(dialect::failure_in_success(origin, body)),
        Some(_) => Err(Fault::new(origin, Kind::Malformed, "the answer is not a JSON object")),
    }
}
