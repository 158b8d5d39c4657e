//! What the operating system or TLS says about a peer, as a [`Fault`] for people and for the recovery table.

use std::error::Error;
use std::io;

use rustls::AlertDescription;

use crate::fault::{Fault, Kind, Origin};

/// `doing` completes "failed to …".
pub fn transport(peer: &str, doing: &str, err: &io::Error) -> Fault {
    match tls_error(err) {
        Some(tls) => {
            Fault::new(Origin::Sink, tls_kind(tls), format!("{peer}: failed to {doing}: {}", tls_text(tls)))
        }
        None => {
            Fault::new(Origin::Sink, io_kind(err), format!("{peer}: failed to {doing}: {}", io_text(err)))
        }
    }
}

/// The operating system's and our own words; rustls answers an early end with a link to its manual.
fn io_text(err: &io::Error) -> String {
    match err.to_string() {
        text if text.contains("https://") => {
            "the peer closed the connection without TLS close_notify".to_owned()
        }
        text => text,
    }
}

/// The fault of a peer that took longer than `limit`; `doing` completes "failed to …".
pub fn late(peer: &str, doing: &str, limit: std::time::Duration) -> Fault {
    Fault::new(Origin::Sink, Kind::Timeout, format!("{peer}: failed to {doing} within {limit:?}"))
}

fn io_kind(err: &io::Error) -> Kind {
    match err.kind() {
        io::ErrorKind::TimedOut => Kind::Timeout,
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Kind::Connect,
        io::ErrorKind::FileTooLarge => Kind::TooLarge,
        io::ErrorKind::InvalidData => Kind::Malformed,
        _ => Kind::Interrupted,
    }
}

/// A certificate that does not verify, told apart from every other quarrel about TLS.
pub fn tls_kind(err: &rustls::Error) -> Kind {
    match err {
        rustls::Error::InvalidCertificate(_) => Kind::TlsVerify,
        _ => Kind::TlsHandshake,
    }
}

/// What rustls says, and which setting to look at where the cause is known.
pub fn tls_text(err: &rustls::Error) -> String {
    let hint = match err {
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "; it wants a client certificate: set cert_file and key_file"
        }
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::AccessDenied,
        ) => "; it refuses our client certificate",
        rustls::Error::InvalidCertificate(_) => "; check ca_file and server_name",
        _ => "",
    };
    format!("{err}{hint}")
}

/// The TLS error at the bottom of an error of any wrapping. `io::Error` hides what it wraps from `source()`,
/// so each one is opened.
pub fn tls_error<'a>(err: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut at = Some(err);
    while let Some(err) = at {
        if let Some(found) = err.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        let inside = err.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        at = match inside {
            Some(inside) => Some(inside as &(dyn Error + 'static)),
            None => err.source(),
        };
    }
    None
}
