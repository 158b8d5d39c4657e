//! An exchange that did not come to an answer → [`Fault`].

use std::error::Error;

use super::resolver::NameFault;
use crate::fault::{Fault, Kind, Origin};

/// What went wrong, by the innermost cause that is known. The URL is left out: its query is a secret.
pub(super) fn fault(origin: Origin, error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let mut innermost = error.to_string();
    let mut known = None;
    let mut next = error.source();
    while let Some(cause) = next {
        innermost = cause.to_string();
        known = known.or_else(|| kind_of(cause));
        next = cause.source();
    }
    let kind = known.unwrap_or(match () {
        () if error.is_connect() => Kind::Connect,
        () if error.is_timeout() => Kind::Timeout,
        () => Kind::Interrupted,
    });
    Fault::new(origin, kind, innermost)
}

fn kind_of(cause: &(dyn Error + 'static)) -> Option<Kind> {
    if let Some(name) = cause.downcast_ref::<NameFault>() {
        return Some(match name {
            NameFault::Unresolved { .. } => Kind::Dns,
            NameFault::Private { .. } => Kind::PrivateAddress,
        });
    }
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(match tls {
            rustls::Error::InvalidCertificate(_) => Kind::TlsVerify,
            _ => Kind::TlsHandshake,
        });
    }
    // An I/O error carries its cause inside and does not name it as its source.
    if let Some(inside) = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        return kind_of(inside);
    }
    // The type is private to the HTTP library; its text is all there is.
    cause.to_string().contains("proxy authorization required").then_some(Kind::Status(407))
}
