//! What the daemon would do with these settings, in plain words: the output of `validate`. Shows no secret.

use std::fmt::Write;
use std::time::Duration;

use bytesize::ByteSize;
use humantime::format_duration;

use super::admin::Admin;
use super::describe_http::of_http;
use super::secret_ref::SecretRef;
use super::settings::{
    AlertForm, AlertSeverity, AlertTarget, COLLECTOR_FEED, Credential, FileSink, Framing, Kafka, LogFormat,
    Oversize, Protocol, Settings, Sink, SinkKind, Start, Syslog, Tenant, TlsFiles, Transport, shown,
};
use super::sink_syslog::facility_name;
use crate::mimecast::feed::Endpoint;
use crate::supervisor::overrides::{Action, Override};

/// One block for the daemon, one per tenant and sink, columns aligned, each line ended.
pub fn describe(settings: &Settings) -> String {
    let mut text = block("mimecollectd", &of_daemon(settings));
    for tenant in &settings.tenants {
        text.push('\n');
        text.push_str(&block(&format!("tenant {}", tenant.name), &of_tenant(tenant, &settings.sinks)));
    }
    for sink in &settings.sinks {
        text.push('\n');
        text.push_str(&block(&format!("sink {}", sink.name), &of_sink(sink)));
    }
    for target in &settings.alerts {
        text.push('\n');
        text.push_str(&block(&format!("alerts {}", target.name), &of_target(target)));
    }
    text
}

pub(super) type Rows = Vec<(&'static str, String)>;

/// A title and its rows; a row with an empty name continues the one before.
fn block(title: &str, rows: &Rows) -> String {
    let mut text = format!("{title}\n");
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:width$}  {value}"); // writing to a String cannot fail
    }
    text
}

fn of_daemon(settings: &Settings) -> Rows {
    let format = match settings.log.format {
        LogFormat::Auto => "to the journal under systemd, else as text",
        LogFormat::Text => "as text",
        LogFormat::Json => "as JSON",
    };
    let store = settings.store;
    let mut rows = vec![
        ("state", settings.state_dir.display().to_string()),
        (
            "store",
            format!(
                "collection pauses at {} of undelivered events, dead letters and quarantine",
                ByteSize(store.max_size)
            ),
        ),
        (
            "replay",
            match store.retention {
                Duration::ZERO => "not possible, delivered events are dropped at once".to_owned(),
                kept => format!("delivered events are kept for {}", format_duration(kept)),
            },
        ),
        ("log", format!("{}, {format}", settings.log.filter)),
        ("admin", settings.admin.as_ref().map_or("off".to_owned(), of_admin)),
    ];
    if let Some(every) = settings.heartbeat {
        let takers: Vec<&str> =
            settings.sinks.iter().filter(|s| s.wants("", COLLECTOR_FEED)).map(|s| s.name.as_str()).collect();
        let takers = if takers.is_empty() { "nobody".to_owned() } else { takers.join(", ") };
        rows.push(("heartbeat", format!("every {}, for {takers}", format_duration(every))));
    }
    rows.extend(settings.recovery.iter().map(|change| ("recovery", of_recovery(change))));
    rows
}

fn of_admin(admin: &Admin) -> String {
    let names =
        if admin.hosts.is_empty() { String::new() } else { format!(", also as {}", admin.hosts.join(", ")) };
    format!("http://{}/{names}", admin.listen)
}

fn of_recovery(change: &Override) -> String {
    let code = change.code.as_ref().map(|code| format!("/{code}")).unwrap_or_default();
    let pause = change.pause.map(|pause| format_duration(pause).to_string());
    let does = match (change.action, pause) {
        (Some(Action::Halt), Some(pause)) => format!("halt, look again every {pause},"),
        (Some(Action::Halt), None) => "halt".to_owned(),
        (Some(Action::Pause) | None, pause) => format!("pause {}", pause.unwrap_or_default()),
    };
    let harm = if change.allow_harmful { " (harmful attempts allowed)" } else { "" };
    format!("{does} after {}{code}{harm}", change.status)
}

fn of_tenant(tenant: &Tenant, sinks: &[Sink]) -> Rows {
    let expires = tenant.secret_expires.map(|at| {
        let date = at.rfc3339();
        format!(", expires {}", date.split('T').next().unwrap_or_default())
    });
    let mut rows = vec![
        ("api", format!("{} at {}", tenant.api().as_str(), shown(&tenant.base_url))),
        ("secret", format!("{}{}", keys(&tenant.credential), expires.unwrap_or_default())),
        ("first poll", format!("reaches back {}", format_duration(tenant.lookback))),
    ];
    if tenant.siem_endpoint == Endpoint::Stream {
        rows.push(("siem feeds", "from the stream; what is older than a day from files".to_owned()));
    }
    if tenant.loopback {
        rows.push(("floors", "off, base_url is this machine".to_owned()));
    }
    if let Some(proxy) = &tenant.proxy {
        rows.push(("proxy", shown(proxy)));
    }
    if let Some(file) = &tenant.ca_file {
        rows.push(("trusts", format!("the certificates in {}", file.display())));
    }
    if !tenant.download_hosts.is_empty() {
        rows.push(("file links", format!("also to {}", tenant.download_hosts.join(", "))));
    }
    let width = tenant.feeds.iter().map(|feed| feed.name.len()).max().unwrap_or(0);
    for (at, feed) in tenant.feeds.iter().enumerate() {
        let every = format_duration(feed.poll_interval).to_string();
        let again = match feed.overlap {
            Duration::ZERO => String::new(),
            overlap => format!(", reads the last {} again", format_duration(overlap)),
        };
        let takers: Vec<&str> =
            sinks.iter().filter(|s| s.wants(&tenant.name, feed.name)).map(|s| s.name.as_str()).collect();
        let takers = if takers.is_empty() { "nobody".to_owned() } else { takers.join(", ") };
        let name = if at == 0 { "feeds" } else { "" };
        rows.push((name, format!("{:width$}  every {every}{again}, for {takers}", feed.name)));
    }
    rows
}

/// Where the keys come from.
fn keys(credential: &Credential) -> String {
    match credential {
        Credential::OAuth { client_secret, .. } => format!("from {client_secret}"),
        Credential::Signed { app_key, access_key, secret_key, .. } => {
            format!(
                "application key from {app_key}, access key from {access_key}, secret key from {secret_key}"
            )
        }
    }
}

fn of_sink(sink: &Sink) -> Rows {
    let format = sink.format.words();
    let original = if sink.original { ", Mimecast's own bytes with them" } else { "" };
    let feeds: Vec<&str> = sink.feeds.iter().map(|glob| glob.as_str()).collect();
    let tenants = if sink.tenants.is_empty() { "all tenants".to_owned() } else { sink.tenants.join(", ") };
    let mut rows = match &sink.kind {
        SinkKind::Syslog(syslog) => of_syslog(syslog),
        SinkKind::Http(http) => of_http(http),
        SinkKind::Kafka(kafka) => of_kafka(kafka),
        SinkKind::File(file) => of_file(file),
        SinkKind::Stdout => vec![("stdout", "one line per event".to_owned())],
    };
    rows.push(("events", format!("{} of {tenants}, as {format}{original}", feeds.join(", "))));
    if !sink.types.is_empty() {
        let types: Vec<&str> = sink.types.iter().map(|glob| glob.as_str()).collect();
        rows.push(("types", types.join(", ")));
    }
    if sink.start == Start::Now {
        rows.push(("start", "where it is new, with the next event that is stored".to_owned()));
    }
    rows
}

fn of_file(file: &FileSink) -> Rows {
    let mut rows = vec![("file", format!("appends to {}, mode {:04o}", file.path.display(), file.mode))];
    if !file.fsync {
        rows.push(("confirmed", "by the kernel, not by the disk (fsync = false)".to_owned()));
    }
    let size = file.rotate_size.map(|size| format!("when it would grow over {}", ByteSize(size)));
    let every = file.rotate_every.map(|every| format!("every {}", format_duration(every)));
    let when: Vec<String> = size.into_iter().chain(every).collect();
    if !when.is_empty() {
        rows.push(("rotated", format!("{}; {} files are kept beside it", when.join(" and "), file.keep)));
    }
    rows
}

fn of_syslog(syslog: &Syslog) -> Rows {
    let transport = match syslog.transport {
        Transport::Tcp => "TCP, unencrypted",
        Transport::Tls => "TLS",
        Transport::Relp if syslog.tls.is_some() => "RELP and TLS",
        Transport::Relp => "RELP, unencrypted",
        Transport::Udp => "UDP, unencrypted",
    };
    let protocol = match syslog.protocol {
        Protocol::Rfc5424 => "RFC 5424",
        Protocol::Rfc3164 => "RFC 3164",
    };
    let framing = match syslog.framing {
        Framing::OctetCounting => "octet counting",
        Framing::Newline => "one event per line",
    };
    let host = if syslog.host.contains(':') { format!("[{}]", syslog.host) } else { syslog.host.clone() };
    let facility = facility_name(syslog.facility);
    let (protocol, confirmed) = match syslog.transport {
        Transport::Tcp | Transport::Tls => {
            (format!("{protocol}, {framing}"), format!("every {} events", syslog.confirm_every))
        }
        Transport::Relp => (protocol.to_owned(), "every event, by the receiver's answer".to_owned()),
        Transport::Udp => {
            (protocol.to_owned(), "by nobody: events can get lost unnoticed (accept_loss)".to_owned())
        }
    };
    let longer = of_oversize(syslog.oversize);
    let mut rows = vec![
        ("syslog", format!("{host}:{} over {transport}", syslog.port)),
        ("protocol", format!("{protocol}, facility {facility}")),
        ("confirmed", confirmed),
        ("messages", format!("up to {}; what is longer {longer}", ByteSize(syslog.max_message_size as u64))),
    ];
    if let Some(tls) = &syslog.tls {
        rows.push(("tls", of_tls(tls)));
    }
    rows
}

pub(super) fn of_oversize(oversize: Oversize) -> &'static str {
    match oversize {
        Oversize::Truncate => "is truncated",
        Oversize::DeadLetter => "becomes a dead letter",
    }
}

/// How much goes into one request.
pub(super) fn of_batches(events: usize, bytes: usize, wait: Duration) -> (&'static str, String) {
    let bytes = ByteSize(bytes as u64);
    ("batches", format!("up to {events} events or {bytes}, after {} at the latest", format_duration(wait)))
}

fn of_kafka(kafka: &Kafka) -> Rows {
    let clear = if kafka.tls.is_none() { ", unencrypted" } else { "" };
    let mut rows = vec![
        ("kafka", format!("topic {} at {}{clear}", kafka.topic, kafka.brokers.join(", "))),
        ("compressed", kafka.compression.as_str().to_owned()),
        of_batches(kafka.batch_events, kafka.batch_bytes, kafka.batch_wait),
        (
            "confirmed",
            format!(
                "every event, by every replica in sync (acks=all), within {}",
                format_duration(kafka.timeout)
            ),
        ),
    ];
    rows.extend(kafka.tls.as_ref().map(|tls| ("tls", of_tls(tls))));
    if let Some(sasl) = &kafka.sasl {
        let user = &sasl.user;
        rows.push((
            "sasl",
            format!("{} as {user}, password from {}", sasl.mechanism.as_str(), sasl.password),
        ));
    }
    rows
}

/// Whom it trusts, and what it shows.
pub(super) fn of_tls(tls: &TlsFiles) -> String {
    let trust =
        tls.ca_file.as_ref().map_or("what the system trusts".to_owned(), |file| file.display().to_string());
    let name = tls.server_name.as_ref().map(|name| format!(", the server is {name}")).unwrap_or_default();
    let own = tls.cert_file.as_ref().map(|file| format!(", shows {}", file.display())).unwrap_or_default();
    format!("trusts {trust}{name}{own}")
}

fn of_target(target: &AlertTarget) -> Rows {
    let what = match target.form {
        AlertForm::Json => "a JSON document",
        AlertForm::Slack => "a Slack message",
        AlertForm::Teams => "an Adaptive Card for Teams",
        AlertForm::Alertmanager => "Alertmanager's API v2",
    };
    let to = match &target.url {
        SecretRef::Literal(url) => url::Url::parse(url.expose()).map_or(String::new(), |url| host_of(&url)),
        elsewhere => format!("the address in {elsewhere}"),
    };
    let least = match target.at_least {
        AlertSeverity::Info => "every alert",
        AlertSeverity::Warn => "alerts from warn upwards",
        AlertSeverity::Error => "alerts from error upwards",
        AlertSeverity::Critical => "critical alerts",
    };
    let whose = match target.tenants.as_slice() {
        [] => "about everything".to_owned(),
        names => format!("about {}", names.join(", ")),
    };
    let mut rows = vec![("posts", format!("{what} to {to}")), ("tells", format!("{least} {whose}"))];
    if let Some(token) = &target.token {
        rows.push(("token", format!("from {token}")));
    }
    if !target.headers.is_empty() {
        let names: Vec<&str> = target.headers.iter().map(|(name, _)| name.as_str()).collect();
        rows.push(("headers", format!("{} (values not shown)", names.join(", "))));
    }
    if let Some(proxy) = &target.proxy {
        rows.push(("proxy", shown(proxy)));
    }
    if let Some(file) = &target.ca_file {
        rows.push(("trusts", format!("the certificates in {}", file.display())));
    }
    rows
}

/// Scheme, host and port: the path of a webhook may be its secret.
fn host_of(url: &url::Url) -> String {
    let mut bare = url.clone();
    bare.set_path("/");
    shown(&bare)
}
