//! `[sinks.NAME]`: what may be written and what it means. The type is read first; then only the keys of that type
//! are known, so that a mistake is shown where it stands.

use std::time::Duration;

use rustls::pki_types::ServerName;

use super::diagnostic::Problem;
use super::glob::Glob;
use super::nearest::nearest;
use super::settings::{
    FormatName, Framing, Http, KnownFeed, Preset, Protocol, Sink, SinkKind, Syslog, TlsFiles, Transport,
};
use super::table::Table;
use super::tenant::{Whose, name_fits, optional, read_globs};
use super::value::{Value, is_loopback, quoted};
use crate::limits::{
    MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_BATCH_WAIT, MAX_CONCURRENCY, MAX_CONFIRM_EVERY, MAX_SINK_TIMEOUT,
    MIN_BATCH_BYTES, MIN_SINK_TIMEOUT,
};

/// Syslog's facilities; the place in the list is the number.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const MAIL: u8 = 2;
const CONFIRM_EVERY: u32 = 5000;
/// Headers that the HTTP client writes itself, or that have a key of their own.
const OWN_HEADERS: [&str; 8] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
];

/// The name of syslog's facility of this number.
pub(super) fn facility_name(number: u8) -> &'static str {
    FACILITIES.get(usize::from(number)).copied().unwrap_or("unknown")
}

#[derive(Clone, Copy)]
enum Type {
    Syslog,
    Http,
    File,
    Stdout,
}

pub(super) fn read(value: &Value<'_>, tenants: &[&str], known: &[KnownFeed]) -> Option<Sink> {
    const TYPES: [(&str, Type); 4] =
        [("syslog", Type::Syslog), ("http", Type::Http), ("file", Type::File), ("stdout", Type::Stdout)];
    let table = value.table(format!("[sinks.{}]", value.name))?;
    let name = name_fits(value, "sink");
    let Some(kind) = table.get("type") else {
        let problem = Problem::new(format!("`type` is missing in {}", table.title));
        let problem = problem.at(value.key_place(), "in this table");
        table.book.report(problem.help("add type = \"syslog\", \"http\", \"file\" or \"stdout\""));
        return None;
    };
    let kind = kind.choice(&TYPES, &[])?;
    let formats = FormatName::ALL.map(|(name, format, _)| (name, format));
    let format = table.get("format").map_or(Some(FormatName::Json), |v| v.choice(&formats, &[]));
    let original = read_original(&table, format);
    let feeds = table.get("feeds").map_or(Some(vec![Glob::new("*")]), |v| read_globs(&v, known, Whose::Sink));
    let tenants = table.get("tenants").map_or(Some(Vec::new()), |v| read_tenants(&v, tenants));
    let (kind, a_kind) = match kind {
        Type::Syslog => (read_syslog(&table).map(SinkKind::Syslog), "a syslog sink"),
        Type::Http => (read_http(&table).map(SinkKind::Http), "an http sink"),
        Type::File => {
            let path = table.require("path", "path = \"/var/log/mimecast/events.ndjson\"");
            (path.and_then(|v| v.path()).map(|path| SinkKind::File { path }), "a file sink")
        }
        Type::Stdout => (Some(SinkKind::Stdout), "a stdout sink"),
    };
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
fn read_address(value: &Value<'_>) -> Option<(String, u16)> {
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

fn read_tls(value: &Value<'_>) -> Option<TlsFiles> {
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

/// How many events and bytes go into one request.
struct BatchLimits {
    events: usize,
    bytes: usize,
    wait: Duration,
}

fn read_http(table: &Table<'_>) -> Option<Http> {
    const PRESETS_TO_COME: [&str; 6] = ["json", "splunk-hec", "elasticsearch", "loki", "sentinel", "otlp"];
    let preset = table.get("preset");
    let preset =
        preset.map_or(Some(Preset::Ndjson), |v| v.choice(&[("ndjson", Preset::Ndjson)], &PRESETS_TO_COME));
    let insecure = table.get("allow_insecure").map_or(Some(false), |v| v.flag());
    let url = table.require("url", "url = \"https://siem.example.com/ingest\"");
    let url = url.and_then(|v| read_url(&v, insecure.unwrap_or(true)));
    let token = optional(table.get("token"), |v| table.secret(v, &format!("token of {}", table.title)));
    let headers = table.get("headers").map_or(Some(Vec::new()), |v| read_headers(&v));
    let gzip =
        table.get("compression").map_or(Some(false), |v| v.choice(&[("none", false), ("gzip", true)], &[]));
    let batch = read_batch(table);
    let concurrency = table.get("concurrency").map_or(Some(4), |v| count(&v, MAX_CONCURRENCY));
    let timeout = table.get("timeout");
    let timeout =
        timeout.map_or(Some(Duration::from_secs(30)), |v| v.duration(MIN_SINK_TIMEOUT, MAX_SINK_TIMEOUT));
    let ca_file = optional(table.get("ca_file"), |v| v.path());
    let batch = batch?;
    Some(Http {
        url: url?,
        preset: preset?,
        token: token?,
        headers: headers?,
        gzip: gzip?,
        batch_events: batch.events,
        batch_bytes: batch.bytes,
        batch_wait: batch.wait,
        concurrency: concurrency?,
        timeout: timeout?,
        ca_file: ca_file?,
    })
}

fn count(value: &Value<'_>, high: i64) -> Option<usize> {
    value.integer(1, high).and_then(|n| usize::try_from(n).ok())
}

fn read_url(value: &Value<'_>, insecure: bool) -> Option<url::Url> {
    let url = value.url(&["https", "http"], "https://siem.example.com/ingest")?;
    let title = format!("`{}` cannot be used", value.name);
    if url.scheme() != "https" && !is_loopback(&url) {
        if !insecure {
            let help = "write https://, or accept it with allow_insecure = true";
            value.refuse(title, "would send mail data and the token unencrypted", help);
            return None;
        }
        value.book.warn(&value.place(), "events go to this sink unencrypted (allow_insecure = true)");
    }
    if !url.username().is_empty() || url.password().is_some() {
        value.refuse(title, "holds a user or password", "remove it; use `token`");
        return None;
    }
    Some(url)
}

pub(super) fn read_headers(value: &Value<'_>) -> Option<Vec<(String, String)>> {
    value.hide_if_secret("headers");
    let table = value.table(format!("`{}`", value.name))?;
    let mut headers = Vec::new();
    for header in table.all() {
        header.book.mark_secret(header.place());
        let refuse = |title: String, why: &str, help: &str| {
            value.book.report(Problem::new(title).at(header.key_place(), why).help(help));
        };
        let name = header.name.to_ascii_lowercase();
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            let title = format!("{} is not the name of a header", quoted(&header.name));
            refuse(title, "holds characters HTTP does not allow", "use letters, digits and `-`");
            return None;
        }
        if OWN_HEADERS.contains(&name.as_str()) {
            let help = if name == "authorization" { "use `token`" } else { "remove it" };
            refuse(
                format!("header {} cannot be set", quoted(&header.name)),
                "written by the daemon itself",
                help,
            );
            return None;
        }
        let text = header.text()?;
        if !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            let title = format!("the value of header {} cannot be sent", quoted(&header.name));
            refuse(title, "holds line breaks or letters beyond ASCII", "use printable ASCII characters");
            return None;
        }
        headers.push((name, text.to_owned()));
    }
    Some(headers)
}

fn read_batch(table: &Table<'_>) -> Option<BatchLimits> {
    let mut limits = BatchLimits { events: 1000, bytes: 1 << 20, wait: Duration::from_secs(1) };
    let Some(value) = table.get("batch") else { return Some(limits) };
    let batch = value.table(format!("`{}`", value.name))?;
    if let Some(events) = batch.get("events").and_then(|v| count(&v, MAX_BATCH_EVENTS)) {
        limits.events = events;
    }
    if let Some(bytes) = batch.get("bytes").and_then(|v| v.size(MIN_BATCH_BYTES, MAX_BATCH_BYTES)) {
        limits.bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(wait) = batch.get("wait").and_then(|v| v.duration(Duration::ZERO, MAX_BATCH_WAIT)) {
        limits.wait = wait;
    }
    batch.finish("a batch");
    Some(limits)
}
