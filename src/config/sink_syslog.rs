//! `[sinks.NAME]` with `type = "syslog"`.

use rustls::pki_types::ServerName;

use super::diagnostic::Problem;
use super::pem_file::PemFile;
use super::settings::{Framing, Oversize, Protocol, Syslog, TlsFiles, Transport};
use super::table::Table;
use super::tenant::optional;
use super::value::Value;
use crate::limits::{
    MAX_CONFIRM_EVERY, MAX_DATAGRAM_BYTES, MAX_MESSAGE_BYTES, MESSAGE_BYTES, MIN_MESSAGE_BYTES,
    UDP_MESSAGE_BYTES,
};

/// Syslog's facilities; the place in the list is the number.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const MAIL: u8 = 2;
const CONFIRM_EVERY: u32 = 5000;

/// The name of syslog's facility of this number.
pub(super) fn facility_name(number: u8) -> &'static str {
    FACILITIES.get(usize::from(number)).copied().unwrap_or("unknown")
}

/// What may be written of a syslog receiver.
pub(super) fn read_syslog(table: &Table<'_>) -> Option<Syslog> {
    let transports = [
        ("tcp", Transport::Tcp),
        ("tls", Transport::Tls),
        ("relp", Transport::Relp),
        ("udp", Transport::Udp),
    ];
    let protocols = [("rfc5424", Protocol::Rfc5424), ("rfc3164", Protocol::Rfc3164)];
    let framings = [("octet-counting", Framing::OctetCounting), ("newline", Framing::Newline)];
    let address =
        table.require("address", "address = \"siem.example.com:6514\"").and_then(|v| read_address(&v));
    let transport = table.get("transport").map_or(Some(Transport::Tls), |v| v.choice(&transports, &[]));
    let protocol = table.get("protocol").map_or(Some(Protocol::Rfc5424), |v| v.choice(&protocols, &[]));
    let framing = table.get("framing").map_or(Some(Framing::OctetCounting), |v| v.choice(&framings, &[]));
    let confirm_every = table
        .get("confirm_every")
        .map_or(Some(CONFIRM_EVERY), |v| v.integer(1, MAX_CONFIRM_EVERY).and_then(|n| u32::try_from(n).ok()));
    let why = match transport {
        Some(Transport::Relp) => Some("RELP counts octets and answers every message by itself"),
        Some(Transport::Udp) => Some("a datagram is one message, and nobody confirms it"),
        _ => None,
    };
    if let Some(why) = why {
        table.has_no_effect(&["framing", "confirm_every"], why);
    }
    read_accept_loss(table, transport);
    let (max_message_size, oversize) = read_limit(table, transport);
    let facility = table.get("facility").map_or(Some(MAIL), |v| read_facility(&v));
    let tls_key = table.get("tls");
    let tls = match (&tls_key, transport) {
        (Some(value), Some(Transport::Tcp | Transport::Udp)) => {
            let problem = Problem::new(format!("{} has `tls` but does not use TLS", table.title));
            let problem = problem.at(value.key_place(), "would be ignored");
            table.book.report(problem.help("write transport = \"tls\", or remove `tls`"));
            None
        }
        (Some(value), _) => read_tls(value).map(Some),
        (None, Some(Transport::Tls)) => Some(Some(TlsFiles::default())),
        (None, _) => Some(None),
    };
    let (host, port) = address?;
    Some(Syslog {
        host,
        port,
        transport: transport?,
        protocol: protocol?,
        framing: framing?,
        confirm_every: confirm_every?,
        facility: facility?,
        max_message_size: max_message_size?,
        oversize: oversize?,
        tls: tls?,
    })
}

/// Datagrams get lost, and nobody can tell: whoever wants them has to say so.
fn read_accept_loss(table: &Table<'_>, transport: Option<Transport>) {
    let value = table.get("accept_loss");
    let accepted = value.as_ref().and_then(|value| value.flag());
    match (transport, value) {
        (Some(Transport::Udp), Some(_)) if accepted == Some(true) => {}
        (Some(Transport::Udp), at) => {
            let place = at.or_else(|| table.get("transport")).map(|value| value.place());
            let problem =
                Problem::new(format!("{} would send events that may get lost unnoticed", table.title));
            let problem =
                place.into_iter().fold(problem, |problem, at| problem.at(at, "nobody confirms a datagram"));
            let help = "write transport = \"tls\", \"tcp\" or \"relp\", or accept it with accept_loss = true";
            table.book.report(problem.help(help));
        }
        (Some(_), Some(_)) => {
            table.has_no_effect(&["accept_loss"], "only datagrams (transport = \"udp\") get lost unnoticed");
        }
        _ => {}
    }
}

/// How large a message may be, and what becomes of a larger one.
fn read_limit(table: &Table<'_>, transport: Option<Transport>) -> (Option<usize>, Option<Oversize>) {
    let (usual, most) = match transport {
        Some(Transport::Udp) => (UDP_MESSAGE_BYTES, MAX_DATAGRAM_BYTES),
        _ => (MESSAGE_BYTES, MAX_MESSAGE_BYTES),
    };
    let size = table.get("max_message_size").map_or(Some(usual), |v| v.size(MIN_MESSAGE_BYTES, most));
    (size.and_then(|size| usize::try_from(size).ok()), read_oversize(table))
}

/// What becomes of an event that is longer than its receiver takes.
pub(super) fn read_oversize(table: &Table<'_>) -> Option<Oversize> {
    let choices = [("truncate", Oversize::Truncate), ("dead-letter", Oversize::DeadLetter)];
    table.get("oversize").map_or(Some(Oversize::Truncate), |v| v.choice(&choices, &[]))
}

/// `host:port`, `192.0.2.1:514` or `[2001:db8::1]:514`.
pub(super) fn read_address(value: &Value<'_>) -> Option<(String, u16)> {
    let text = value.text()?;
    let split = text.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse::<u16>().ok().filter(|port| *port != 0)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let fits = match bare {
            Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
            None => ServerName::try_from(host).is_ok() && !host.contains(':'),
        };
        fits.then(|| (bare.unwrap_or(host).to_owned(), port))
    });
    if split.is_none() {
        let help = "write \"siem.example.com:6514\", \"192.0.2.1:514\" or \"[2001:db8::1]:514\"";
        value.refuse(format!("`{}` is not an address", value.name), "must be HOST:PORT", help);
    }
    split
}

/// A facility's name or number.
fn read_facility(value: &Value<'_>) -> Option<u8> {
    if value.peek_text().is_none() {
        return value.integer(0, 23).and_then(|n| u8::try_from(n).ok());
    }
    let named: Vec<(&str, u8)> = FACILITIES.into_iter().zip(0..).collect();
    value.choice(&named, &[])
}

pub(super) fn read_tls(value: &Value<'_>) -> Option<TlsFiles> {
    let table = value.table(format!("`{}`", value.name))?;
    let ca_file = optional(table.get("ca_file"), |v| v.path().map(PemFile::new));
    let cert_file = optional(table.get("cert_file"), |v| v.path().map(PemFile::new));
    let key_file = optional(table.get("key_file"), |v| v.path().map(PemFile::new));
    let server_name = optional(table.get("server_name"), |v| {
        let text = v.text()?;
        if ServerName::try_from(text).is_err() {
            let help = "write the name that the server's certificate carries: \"siem.example.com\"";
            v.refuse(format!("`{}` is not a server name", v.name), "not a host name or address", help);
            return None;
        }
        Some(text.to_owned())
    });
    if let (Some(cert), Some(key)) = (&cert_file, &key_file)
        && cert.is_some() != key.is_some()
    {
        let problem = Problem::new("a client certificate needs both `cert_file` and `key_file`");
        let problem = problem.at(value.key_place(), "only one of them is here");
        table
            .book
            .report(problem.help("add the other one, or remove both if the server asks for no certificate"));
    }
    table.finish("`tls`");
    Some(TlsFiles {
        ca_file: ca_file?,
        cert_file: cert_file?,
        key_file: key_file?,
        server_name: server_name?,
    })
}
