//! The part of `[sinks.NAME]` that is the same for every HTTP destination: where, who we are, how much at once.

use std::time::Duration;

use super::diagnostic::Problem;
use super::pem_file::PemFile;
use super::settings::{FormatName, Http, Preset, TlsFiles};
use super::sink_presets::{Kind, read_preset};
use super::sink_syslog::read_tls;
use super::table::Table;
use super::tenant::{optional, read_proxy};
use super::value::{Value, is_loopback, quoted};
use crate::format::template::{NAMES, Template};
use crate::limits::{
    MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_BATCH_WAIT, MAX_CONCURRENCY, MAX_SINK_TIMEOUT, MIN_BATCH_BYTES,
    MIN_SINK_TIMEOUT,
};

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

/// What a destination's own content reads best.
pub(super) fn default_format(preset: &Preset) -> FormatName {
    match preset {
        Preset::Elasticsearch { .. } => FormatName::Ecs, // data streams require `@timestamp`
        _ => FormatName::Json,
    }
}

/// It takes JSON objects and nothing else.
pub(super) fn needs_json(preset: &Preset) -> bool {
    matches!(preset, Preset::Json | Preset::Elasticsearch { .. } | Preset::Sentinel { .. })
}

pub(super) fn read_http(table: &Table<'_>) -> Option<Http> {
    let kind = table.get("preset").map_or(Some(Kind::Ndjson), |v| v.choice(&Kind::ALL, &[]));
    let insecure = table.get("allow_insecure").map_or(Some(false), |v| v.flag());
    let url = table.require("url", "url = \"https://siem.example.com/ingest\"");
    let url = url.and_then(|v| {
        let url = read_url(&v, kind, insecure.unwrap_or(true))?;
        // its own form writes the braces of a path as `%7B` and `%7D`
        let text = url.as_str().replace("%7B", "{").replace("%7D", "}");
        let way = if text.contains('{') { Some(parsed(&v, &text)?) } else { None };
        Some((url, way))
    });
    let preset = kind.and_then(|kind| read_preset(table, kind));
    if let Some((keys, why)) = kind.and_then(Kind::without_effect) {
        table.has_no_effect(keys, why);
    }
    let shown = read_login(table, kind);
    let headers = table.get("headers").map_or(Some(Vec::new()), |v| read_headers(&v));
    let gzip =
        table.get("compression").map_or(Some(false), |v| v.choice(&[("none", false), ("gzip", true)], &[]));
    let batch = read_batch(table);
    // Loki refuses lines that come too far behind newer ones of their stream: our own, if several requests overtake each other
    let usual = if kind == Some(Kind::Loki) { 1 } else { 4 };
    let concurrency = table.get("concurrency").map_or(Some(usual), |v| count(&v, MAX_CONCURRENCY));
    let timeout = table.get("timeout");
    let timeout =
        timeout.map_or(Some(Duration::from_secs(30)), |v| v.duration(MIN_SINK_TIMEOUT, MAX_SINK_TIMEOUT));
    let tls = read_trust(table);
    let proxy = optional(table.get("proxy"), read_proxy);
    let (batch, login, (url, way)) = (batch?, shown?, url?);
    Some(Http {
        url,
        way,
        preset: preset?,
        token: login.token,
        token_header: login.token_header,
        login: login.login,
        headers: headers?,
        gzip: gzip?,
        batch_events: batch.events,
        batch_bytes: batch.bytes,
        batch_wait: batch.wait,
        concurrency: concurrency?,
        timeout: timeout?,
        tls: tls?,
        proxy: proxy?,
    })
}

/// Who we are.
struct Login {
    token: Option<super::SecretRef>,
    token_header: Option<String>,
    login: Option<(String, super::SecretRef)>,
}

fn read_login(table: &Table<'_>, kind: Option<Kind>) -> Option<Login> {
    let token_key = match kind.and_then(Kind::token_example) {
        Some(example) => table.require("token", example),
        None => table.get("token"),
    };
    if token_key.is_none() && kind.is_some_and(Kind::token_is_free) {
        table.has_no_effect(&["token_header"], "there is no `token` that it could carry");
    }
    let token = optional(token_key, |v| table.secret(v, &format!("token of {}", table.title)));
    let token_header = optional(table.get("token_header"), |v| {
        let text = v.text()?;
        let name = text.to_ascii_lowercase();
        if !is_token(&name) || (OWN_HEADERS.contains(&name.as_str()) && name != "authorization") {
            let help = "write the header's name: \"X-Api-Key\"";
            v.refuse(format!("`{}` cannot be {}", v.name, quoted(text)), "no header for a token", help);
            return None;
        }
        Some(name)
    });
    let user = optional(table.get("user"), |v| v.text().map(str::to_owned));
    let password_key = table.get("password");
    let one_too_many = match (&token, &password_key) {
        (Some(Some(_)), Some(value)) => Some(value.key_place()),
        _ => None,
    };
    let password = optional(password_key, |v| table.secret(v, &format!("password of {}", table.title)));
    if let Some(place) = one_too_many {
        let problem = Problem::new(format!("{} has a token and a password", table.title));
        table.book.report(problem.at(place, "one of them is enough").help("remove one"));
        return None;
    }
    let login = match (user?, password?) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        _ => {
            let problem = Problem::new(format!("{} needs both `user` and `password`", table.title));
            let problem = problem.at(table.here.clone(), "only one of them is here");
            table.book.report(problem.help("add the other one, or remove both"));
            return None;
        }
    };
    Some(Login { token: token?, token_header: token_header?, login })
}

/// `ca_file`, or a table for more.
fn read_trust(table: &Table<'_>) -> Option<TlsFiles> {
    let ca_file = optional(table.get("ca_file"), |v| v.path().map(PemFile::new));
    let tls_key = table.get("tls");
    let tls = optional(tls_key.clone(), read_tls)?.unwrap_or_default();
    let ca_file = ca_file?;
    if let (Some(value), Some(_), Some(_)) = (&tls_key, &tls.ca_file, &ca_file) {
        let problem = Problem::new(format!("{} names `ca_file` twice", table.title));
        table.book.report(problem.at(value.key_place(), "here and beside it").help("remove one"));
        return None;
    }
    Some(TlsFiles { ca_file: ca_file.or(tls.ca_file.clone()), ..tls })
}

/// A text in which events fill in places.
pub(super) fn read_template(value: &Value<'_>) -> Option<Template> {
    parsed(value, value.text()?)
}

/// Reports braces that mean nothing.
fn parsed(value: &Value<'_>, text: &str) -> Option<Template> {
    let refuse = |_| {
        let title = format!("`{}` has braces that mean nothing", value.name);
        value.refuse(title, "not one of the places", format!("the places are: {NAMES}"));
    };
    Template::new(text).map_err(refuse).ok()
}

/// How many events and bytes go into one request.
pub(super) struct BatchLimits {
    pub events: usize,
    pub bytes: usize,
    pub wait: Duration,
}

fn count(value: &Value<'_>, high: i64) -> Option<usize> {
    value.integer(1, high).and_then(|n| usize::try_from(n).ok())
}

fn read_url(value: &Value<'_>, kind: Option<Kind>, insecure: bool) -> Option<url::Url> {
    if kind.is_some_and(|kind| !kind.url_has_places()) && value.text()?.contains(['{', '}']) {
        let help = "write the address alone; the other keys of the preset may have places";
        value.refuse(format!("`{}` cannot be used", value.name), "has braces", help);
        return None;
    }
    parsed(value, value.text()?)?;
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
        value.refuse(title, "holds a user or password", "remove it; use `token`, or `user` and `password`");
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
        if !is_token(&name) {
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

/// RFC 9110's token.
fn is_token(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(fits)
}

pub(super) fn read_batch(table: &Table<'_>) -> Option<BatchLimits> {
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
