//! The settings everybody else works with: checked and complete. No `Option` here means "default": it means that
//! there is none.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::admin::Admin;
use super::glob::Glob;
pub use super::http_settings::{Http, Preset};
pub use super::kafka_settings::{Compression, Kafka, Mechanism, Sasl};
use super::pem_file::PemFile;
use super::secret_ref::SecretRef;
pub use super::sink_file::FileSink;
use crate::clock::Time;
use crate::mimecast::feed::Endpoint;
use crate::secret::Secret;
use crate::setup_error::SetupError;
use crate::supervisor::overrides::Override;

/// Name of the daemon's own feed; a sink gets it only where its `feeds` name it without a `*`.
pub const COLLECTOR_FEED: &str = "collector";

/// What the configuration has to know of a feed of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct KnownFeed {
    pub name: &'static str,
    pub api1: bool,
    pub api2: bool,
    /// Read by windows of time, so that an overlap makes sense.
    pub window: bool,
    /// The overlap when the configuration names none.
    pub overlap: Duration,
}

/// Everything `run` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub state_dir: PathBuf,
    pub log: Log,
    /// `None`: no admin listener.
    pub admin: Option<Admin>,
    pub store: StoreLimits,
    /// Each shared with everybody who runs it.
    pub tenants: Vec<Arc<Tenant>>,
    pub sinks: Vec<Sink>,
    /// Changed durations of the recovery table; the supervisor checks them against its floors.
    pub recovery: Vec<Override>,
    /// Who is told when something is wrong.
    pub alerts: Vec<AlertTarget>,
    /// How often the daemon says that it lives, to sinks that name [`COLLECTOR_FEED`]; `None`: never.
    pub heartbeat: Option<Duration>,
    /// What is allowed but not wise (literal secrets, an open admin port), for people; no secrets in it.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Every secret with what it is for (`client secret of tenant acme`), so that `validate` and `check` can try
    /// to read each.
    pub fn secrets(&self) -> Vec<NamedSecret<'_>> {
        let tenants = self.tenants.iter().flat_map(|tenant| {
            let named = |what: &str, place, form| NamedSecret {
                what: format!("{what} of tenant {}", tenant.name),
                place,
                form,
            };
            match &tenant.credential {
                Credential::OAuth { client_secret, .. } => {
                    vec![named("client secret", client_secret, SecretForm::Text)]
                }
                Credential::Signed { app_key, access_key, secret_key, .. } => vec![
                    named("application key", app_key, SecretForm::Text),
                    named("access key", access_key, SecretForm::Text),
                    named("secret key", secret_key, SecretForm::Base64),
                ],
            }
        });
        let text = |what: String, place| NamedSecret { what, place, form: SecretForm::Text };
        let sinks = self.sinks.iter().flat_map(move |s| {
            let secrets = match &s.kind {
                SinkKind::Http(http) => http.secrets(),
                SinkKind::Kafka(kafka) => {
                    kafka.sasl.iter().map(|sasl| ("password", &sasl.password)).collect()
                }
                SinkKind::Syslog(_) | SinkKind::File(_) | SinkKind::Stdout => Vec::new(),
            };
            secrets.into_iter().map(move |(what, place)| text(format!("{what} of sink {}", s.name), place))
        });
        let alerts = self.alerts.iter().flat_map(move |target| {
            let name = &target.name;
            let token =
                target.token.iter().map(move |place| text(format!("token of alert target {name}"), place));
            std::iter::once(text(format!("address of alert target {name}"), &target.url)).chain(token)
        });
        tenants.chain(sinks).chain(alerts).collect()
    }
}

/// A secret and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSecret<'s> {
    pub what: String,
    pub place: &'s SecretRef,
    form: SecretForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SecretForm {
    Text,
    Base64,
}

impl NamedSecret<'_> {
    /// The secret as it is now, in the form that is due; see [`SecretRef::read`].
    ///
    /// # Errors
    /// It cannot be read, or it is not base64 where that is due.
    pub fn read(&self) -> Result<Secret, SetupError> {
        match self.form {
            SecretForm::Text => self.place.read(),
            SecretForm::Base64 => self.place.read_base64(),
        }
    }
}

/// What the daemon says about itself, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level or a tracing filter, already parsed once.
    pub filter: String,
    pub format: LogFormat,
}

/// Form of the daemon's own log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// The journal under systemd, else text.
    Auto,
    Text,
    Json,
}

/// How much the store may hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Bytes of undelivered events at which collection pauses.
    pub max_size: u64,
    /// How long delivered events are kept for `replay`.
    pub retention: Duration,
}

/// Which API of Mimecast a tenant uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    V1,
    V2,
}

impl Api {
    /// As written in the configuration: `1.0`, `2.0`.
    pub fn as_str(self) -> &'static str {
        match self {
            Api::V1 => "1.0",
            Api::V2 => "2.0",
        }
    }
}

/// One Mimecast account with its credential.
#[derive(Clone, PartialEq)]
pub struct Tenant {
    pub name: String,
    /// Scheme, host and port only; https unless `loopback`.
    pub base_url: Url,
    /// `base_url` is this machine (the simulator): floors on intervals and pauses are off.
    pub loopback: bool,
    pub credential: Credential,
    pub secret_expires: Option<Time>,
    /// Never empty, in the order of the catalogue.
    pub feeds: Vec<FeedSettings>,
    /// How far back the first poll reaches; the feeds clamp it to what Mimecast keeps. Never zero.
    pub lookback: Duration,
    /// Which function of API 2.0 the feeds `siem.*` and `ci.*` are read from.
    pub siem_endpoint: Endpoint,
    /// May hold a user and password: print it only with [`shown`].
    pub proxy: Option<Url>,
    pub ca_file: Option<PemFile>,
    /// Patterns (`files.example.net`, `*.example.net`; lower case) added to the allow-list for file links.
    pub download_hosts: Vec<String>,
}

impl Tenant {
    /// The generation its credential belongs to.
    pub fn api(&self) -> Api {
        match self.credential {
            Credential::OAuth { .. } => Api::V2,
            Credential::Signed { .. } => Api::V1,
        }
    }
}

/// Who a tenant is to Mimecast.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// API 2.0.
    OAuth { client_id: String, client_secret: SecretRef },
    /// API 1.0; the secret key is base64.
    Signed { app_id: String, app_key: SecretRef, access_key: SecretRef, secret_key: SecretRef },
}

/// Shows where the secrets are, and no id.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::OAuth { client_secret, .. } => {
                f.debug_struct("OAuth").field("client_secret", client_secret).finish_non_exhaustive()
            }
            Credential::Signed { app_key, access_key, secret_key, .. } => f
                .debug_struct("Signed")
                .field("app_key", app_key)
                .field("access_key", access_key)
                .field("secret_key", secret_key)
                .finish_non_exhaustive(),
        }
    }
}

/// Shows no client id, no secret and no password of the proxy.
impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("name", &self.name)
            .field("base_url", &self.base_url.as_str())
            .field("credential", &self.credential)
            .field("feeds", &self.feeds)
            .field("lookback", &self.lookback)
            .field("proxy", &self.proxy.as_ref().map(shown))
            .field("ca_file", &self.ca_file)
            .field("download_hosts", &self.download_hosts)
            .finish_non_exhaustive()
    }
}

/// One feed of a tenant, with its defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedSettings {
    pub name: &'static str,
    pub poll_interval: Duration,
    /// How much of a window feed is read again for late rows; zero for feeds without windows.
    pub overlap: Duration,
}

/// One destination.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    pub name: String,
    pub kind: SinkKind,
    pub format: FormatName,
    /// Mimecast's own bytes go along as one more field.
    pub original: bool,
    /// Never empty.
    pub feeds: Vec<Glob>,
    /// Empty: all tenants.
    pub tenants: Vec<String>,
    /// Of these types of records; empty: all types.
    pub types: Vec<Glob>,
    /// Where it begins when it is new.
    pub start: Start,
}

/// Where a new sink begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest event that is still stored.
    Oldest,
    /// With the next event that is stored.
    Now,
}

impl Sink {
    /// Whether this sink gets events of this tenant and feed. [`COLLECTOR_FEED`] has to be named literally, and is
    /// nobody's tenant, so that the `tenants` filter does not apply to it.
    pub fn wants(&self, tenant: &str, feed: &str) -> bool {
        if feed == COLLECTOR_FEED {
            return self.feeds.iter().any(|glob| glob.as_str() == COLLECTOR_FEED);
        }
        (self.tenants.is_empty() || self.tenants.iter().any(|name| name == tenant))
            && self.feeds.iter().any(|glob| glob.matches(feed))
    }

    /// Whether this sink gets records of this type, of the feeds it gets at all.
    pub fn wants_type(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|glob| glob.matches(kind))
    }
}

/// Where a sink's events go, and by which protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkKind {
    Syslog(Syslog),
    Http(Box<Http>),
    Kafka(Kafka),
    /// One event a line, appended.
    File(FileSink),
    /// One event a line.
    Stdout,
}

/// A syslog receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
    pub transport: Transport,
    pub protocol: Protocol,
    pub framing: Framing,
    /// Events per confirmed batch, at least 1.
    pub confirm_every: u32,
    /// Syslog's number, 0–23; `mail` is 2.
    pub facility: u8,
    /// Bytes of one message, without what frames it.
    pub max_message_size: usize,
    pub oversize: Oversize,
    /// `Some` when the transport is TLS, or RELP over TLS.
    pub tls: Option<TlsFiles>,
}

/// What carries the syslog messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Tls,
    /// In clear or, where `tls` is set, encrypted.
    Relp,
    /// Datagrams, which nobody confirms: `accept_loss` was written.
    Udp,
}

/// What becomes of a message that is larger than the receiver takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// It is shortened, and says so.
    Truncate,
    /// It is kept as a dead letter.
    DeadLetter,
}

/// Which syslog header precedes each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Rfc5424,
    Rfc3164,
}

/// How a syslog receiver tells where a message ends: by a length before it, or a newline after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    OctetCounting,
    Newline,
}

/// PEM files and the name that decide whom a TLS connection trusts and who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Trust only what this file holds; `None`: what the system trusts.
    pub ca_file: Option<PemFile>,
    /// Client certificate; present exactly when `key_file` is.
    pub cert_file: Option<PemFile>,
    pub key_file: Option<PemFile>,
    /// Name the certificate has to carry; `None`: the host of the address.
    pub server_name: Option<String>,
}

/// What the bytes of one event look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatName {
    /// The envelope.
    Json,
    /// Mimecast's bytes alone.
    Raw,
    /// Common Event Format 0.
    Cef,
    /// Log Event Extended Format 1.0.
    Leef1,
    /// Log Event Extended Format 2.0.
    Leef2,
    /// Elastic Common Schema 8.
    Ecs,
    /// Open Cybersecurity Schema Framework 1.3.
    Ocsf,
    /// Graylog Extended Log Format 1.1.
    Gelf,
}

impl FormatName {
    /// As it is written in the configuration, and in words.
    pub const ALL: [(&str, FormatName, &str); 8] = [
        ("json", FormatName::Json, "JSON envelopes"),
        ("raw", FormatName::Raw, "Mimecast's bytes alone"),
        ("cef", FormatName::Cef, "CEF 0"),
        ("leef", FormatName::Leef2, "LEEF 2.0"),
        ("leef1", FormatName::Leef1, "LEEF 1.0"),
        ("ecs", FormatName::Ecs, "ECS 8"),
        ("ocsf", FormatName::Ocsf, "OCSF 1.3"),
        ("gelf", FormatName::Gelf, "GELF 1.1"),
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        Self::ALL.iter().find(|(_, format, _)| *format == self).map_or("", |(_, _, words)| words)
    }

    /// It makes a JSON object of every event.
    pub fn is_json(self) -> bool {
        matches!(self, FormatName::Json | FormatName::Ecs | FormatName::Ocsf | FormatName::Gelf)
    }

    /// It carries Mimecast's own bytes in any case.
    pub fn has_original(self) -> bool {
        matches!(self, FormatName::Json | FormatName::Raw)
    }
}

/// A URL fit for people: no user, password, query or fragment.
pub fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = if url.path() == "/" { "" } else { url.path() };
    format!("{}://{host}{port}{path}", url.scheme())
}

/// The URL of a destination, fit for people: no path either, which for many receivers is the secret.
pub fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Somebody who is told when something is wrong.
#[derive(Clone, PartialEq)]
pub struct AlertTarget {
    pub name: String,
    pub form: AlertForm,
    /// For many receivers the address is the secret. One from elsewhere than the configuration is checked when it
    /// is read.
    pub url: SecretRef,
    /// Plain http to other machines is allowed.
    pub allow_insecure: bool,
    pub token: Option<SecretRef>,
    /// Names in lower case, names and values fit for HTTP; values may be secret.
    pub headers: Vec<(String, String)>,
    /// Empty: everything. Else only what concerns these tenants.
    pub tenants: Vec<String>,
    pub at_least: AlertSeverity,
    /// May hold a user and password: print it only with [`shown`].
    pub proxy: Option<Url>,
    pub ca_file: Option<PemFile>,
}

/// Shows no address and no header value.
impl fmt::Debug for AlertTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertTarget")
            .field("name", &self.name)
            .field("form", &self.form)
            .field("url", &self.url)
            .field("token", &self.token)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("tenants", &self.tenants)
            .field("at_least", &self.at_least)
            .field("proxy", &self.proxy.as_ref().map(shown))
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// How an alert is written for its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertForm {
    /// A JSON document of our own, by POST.
    Json,
    /// Slack's incoming webhooks.
    Slack,
    /// Workflows of Microsoft Teams: an Adaptive Card.
    Teams,
    /// Prometheus Alertmanager, API v2.
    Alertmanager,
}

/// How much an alert has to matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertSeverity {
    Info,
    Warn,
    Error,
    Critical,
}
