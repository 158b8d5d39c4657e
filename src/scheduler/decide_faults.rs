//! One fault for every verdict, for the models of [`super::decide`].

use std::time::Duration;

use crate::fault::{Code, Fault, Kind, Origin};

pub(super) fn fault(origin: Origin, kind: Kind, code: &str) -> Fault {
    let mut fault = Fault::new(origin, kind, "same words");
    fault.code = Code::new(code);
    fault.attributed = true;
    fault
}

/// One fault for every verdict that an API request can meet.
pub(super) fn api_faults() -> Vec<Fault> {
    let status = |status, code| fault(Origin::Api, Kind::Status(status), code);
    let mut size = status(400, "validation_error");
    size.field = Some("pageSize".into());
    let mut limited = status(429, "");
    limited.retry_after = Some(Duration::from_secs(900));
    vec![
        status(500, ""),
        status(400, ""),
        status(401, "token_expired"),
        status(401, "0003"),
        status(401, "0010"),
        status(401, "0012"),
        status(403, "app_forbidden"),
        status(403, "0007"),
        status(407, ""),
        status(408, ""),
        status(416, ""),
        status(200, "no_results"),
        size,
        limited,
        fault(Origin::Api, Kind::Connect, ""),
        fault(Origin::Api, Kind::Malformed, ""),
        fault(Origin::Api, Kind::NoProgress, ""),
        fault(Origin::Api, Kind::BeyondRetention, ""),
        fault(Origin::Token, Kind::Status(401), "invalid_client"),
    ]
}
pub(super) fn download_faults() -> Vec<Fault> {
    let status = |status, code| fault(Origin::Download, Kind::Status(status), code);
    vec![
        status(403, "RequestExpired"),
        status(404, "NoSuchKey"),
        status(403, "SignatureDoesNotMatch"),
        status(400, "OnlyOneAuthMechanism"),
        status(302, ""),
        status(503, ""),
        status(429, ""),
        fault(Origin::Download, Kind::GzipCorrupt, ""),
        fault(Origin::Download, Kind::Bomb, ""),
        fault(Origin::Download, Kind::LinkRefused, ""),
    ]
}
pub(super) fn local_faults() -> Vec<Fault> {
    let kinds = [Kind::DiskFull, Kind::Busy, Kind::DiskIo, Kind::Conflict, Kind::Malformed];
    kinds.into_iter().map(|kind| fault(Origin::Local, kind, "")).collect()
}
