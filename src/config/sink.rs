//! `[sinks.NAME]`: what may be written and what it means. The type is read first; then only the keys of that type
//! are known, so that a mistake is shown where it stands.

use rustls::pki_types::ServerName;

use super::diagnostic::Problem;
use super::glob::Glob;
use super::kafka;
use super::nearest::nearest;
use super::settings::{
    FormatName, Framing, KnownFeed, Protocol, Sink, SinkKind, Syslog, TlsFiles, Transport,
};
use super::sink_http::{default_format, needs_json, read_http};
use super::table::Table;
use super::tenant::{Whose, name_fits, optional, read_globs};
use super::value::{Value, quoted};
use crate::limits::MAX_CONFIRM_EVERY;

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

#[derive(Clone, Copy)]
enum Type {
    Syslog,
    Http,
    Kafka,
    File,
    Stdout,
}

pub(super) fn read(value: &Value<'_>, tenants: &[&str], known: &[KnownFeed]) -> Option<Sink> {
    const TYPES: [(&str, Type); 5] = [
        ("syslog", Type::Syslog),
        ("http", Type::Http),
        ("kafka", Type::Kafka),
        ("file", Type::File),
        ("stdout", Type::Stdout),
    ];
    let table = value.table(format!("[sinks.{}]", value.name))?;
    let name = name_fits(value, "sink");
    let Some(kind) = table.get("type") else {
        let problem = Problem::new(format!("`type` is missing in {}", table.title));
        let problem = problem.at(value.key_place(), "in this table");
        table.book.report(problem.help("add type = \"syslog\", \"http\", \"kafka\", \"file\" or \"stdout\""));
        return None;
    };
    let type_key = kind;
    let kind = type_key.choice(&TYPES, &[])?;
    let feeds = table.get("feeds").map_or(Some(vec![Glob::new("*")]), |v| read_globs(&v, known, Whose::Sink));
    let tenants = table.get("tenants").map_or(Some(Vec::new()), |v| read_tenants(&v, tenants));
    let (kind, a_kind) = match kind {
        Type::Syslog => (read_syslog(&table).map(SinkKind::Syslog), "a syslog sink"),
        Type::Http => (read_http(&table).map(|http| SinkKind::Http(Box::new(http))), "an http sink"),
        Type::Kafka => {
            kafka::refuse_without(&type_key);
            (kafka::read(&table).map(SinkKind::Kafka), "a kafka sink")
        }
        Type::File => {
            let path = table.require("path", "path = \"/var/log/mimecast/events.ndjson\"");
            (path.and_then(|v| v.path()).map(|path| SinkKind::File { path }), "a file sink")
        }
        Type::Stdout => (Some(SinkKind::Stdout), "a stdout sink"),
    };
    let format = read_format(&table, kind.as_ref());
    let original = read_original(&table, format);
    table.finish(a_kind);
    Some(Sink {
        name: name?,
        kind: kind?,
        format: format?,
        original: original?,
        feeds: feeds?,
        tenants: tenants?,
    })
}

/// The envelope, unless the destination wants something else; and what it can take.
fn read_format(table: &Table<'_>, kind: Option<&SinkKind>) -> Option<FormatName> {
    let formats = FormatName::ALL.map(|(name, format, _)| (name, format));
    let preset = if let Some(SinkKind::Http(http)) = kind { Some(&http.preset) } else { None };
    let default = preset.map_or(FormatName::Json, default_format);
    let Some(value) = table.get("format") else { return Some(default) };
    let format = value.choice(&formats, &[])?;
    if let Some(preset) = preset.filter(|preset| needs_json(preset))
        && !format.is_json()
    {
        let title = format!("`{}` cannot be sent this way", value.name);
        let why = format!("{} {} no JSON objects", format.words(), "are");
        value.refuse(title, why, format!("preset = \"{}\" takes json, ecs, ocsf, gelf", preset.as_str()));
        return None;
    }
    Some(format)
}

/// `original = true`, which only formats that leave Mimecast's own bytes out have a use for.
fn read_original(table: &Table<'_>, format: Option<FormatName>) -> Option<bool> {
    let Some(value) = table.get("original") else { return Some(false) };
    let original = value.flag()?;
    if original && let Some(format) = format.filter(|format| format.has_original()) {
        let title = format!("`{}` is of no use here", value.name);
        let why = format!("{} hold Mimecast's own bytes anyway", format.words());
        value.refuse(title, &why, "remove it");
        return None;
    }
    Some(original)
}

pub(super) fn read_tenants(value: &Value<'_>, tenants: &[&str]) -> Option<Vec<String>> {
    let items = value.list()?;
    if items.is_empty() {
        let title = format!("`{}` is empty", value.name);
        value.refuse(title, "names no tenant", "name tenants, or remove the key to take all of them");
        return None;
    }
    let mut names = Vec::new();
    for item in &items {
        let name = item.text()?;
        if !tenants.contains(&name) {
            let near = nearest(name, tenants.iter().copied());
            let help = match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("the tenants are: {}", tenants.join(", ")),
            };
            item.refuse(
                format!("there is no tenant {}", quoted(name)),
                "not the name of a [tenants] table",
                help,
            );
            return None;
        }
        names.push(name.to_owned());
    }
    Some(names)
}

fn read_syslog(table: &Table<'_>) -> Option<Syslog> {
    let transports = [("tcp", Transport::Tcp), ("tls", Transport::Tls), ("relp", Transport::Relp)];
    let protocols = [("rfc5424", Protocol::Rfc5424), ("rfc3164", Protocol::Rfc3164)];
    let framings = [("octet-counting", Framing::OctetCounting), ("newline", Framing::Newline)];
    let address =
        table.require("address", "address = \"siem.example.com:6514\"").and_then(|v| read_address(&v));
    let transport = table.get("transport").map_or(Some(Transport::Tls), |v| v.choice(&transports, &["udp"]));
    let protocol = table.get("protocol").map_or(Some(Protocol::Rfc5424), |v| v.choice(&protocols, &[]));
    let framing = table.get("framing").map_or(Some(Framing::OctetCounting), |v| v.choice(&framings, &[]));
    let confirm_every = table
        .get("confirm_every")
        .map_or(Some(CONFIRM_EVERY), |v| v.integer(1, MAX_CONFIRM_EVERY).and_then(|n| u32::try_from(n).ok()));
    if transport == Some(Transport::Relp) {
        let why = "RELP counts octets and answers every message by itself";
        table.has_no_effect(&["framing", "confirm_every"], why);
    }
    let facility = table.get("facility").map_or(Some(MAIL), |v| read_facility(&v));
    let tls_key = table.get("tls");
    let tls = match (&tls_key, transport) {
        (Some(value), Some(Transport::Tcp)) => {
            let problem = Problem::new(format!("{} has `tls` but does not use TLS", table.title));
            let problem = problem.at(value.key_place(), "would be ignored");
            table.book.report(problem.help("write transport = \"tls\", or remove `tls`"));
            None
        }
        (Some(value), _) => read_tls(value).map(Some),
        (None, Some(Transport::Tls)) => Some(Some(TlsFiles::default())),
        (None, _) => Some(None),
    };
    table.not_yet("accept_loss", "it belongs to transport = \"udp\"; use \"tcp\" or \"tls\"");
    let (host, port) = address?;
    Some(Syslog {
        host,
        port,
        transport: transport?,
        protocol: protocol?,
        framing: framing?,
        confirm_every: confirm_every?,
        facility: facility?,
        tls: tls?,
    })
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
    let ca_file = optional(table.get("ca_file"), |v| v.path());
    let cert_file = optional(table.get("cert_file"), |v| v.path());
    let key_file = optional(table.get("key_file"), |v| v.path());
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
