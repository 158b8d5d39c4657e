//! What the configuration says of an HTTP destination, checked and complete.

use std::fmt;
use std::time::Duration;

use url::Url;

use super::secret_ref::SecretRef;
use super::settings::{TlsFiles, shown};

/// An HTTP endpoint that takes batches of events by POST.
#[derive(Clone, PartialEq)]
pub struct Http {
    /// https unless loopback or `allow_insecure`; its query may be secret, print it only with [`shown`]. Of `ndjson`
    /// and `json` its path and query may hold places of a template.
    pub url: Url,
    pub preset: Preset,
    pub token: Option<SecretRef>,
    /// The header that carries the token alone, instead of the destination's own form.
    pub token_header: Option<String>,
    /// User and password.
    pub login: Option<(String, SecretRef)>,
    /// Names in lower case, names and values fit for HTTP; values may be secret.
    pub headers: Vec<(String, String)>,
    pub gzip: bool,
    pub batch_events: usize,
    pub batch_bytes: usize,
    pub batch_wait: Duration,
    pub concurrency: usize,
    pub timeout: Duration,
    pub tls: TlsFiles,
    /// May hold a user and password: print it only with [`shown`].
    pub proxy: Option<Url>,
}

/// Shows no query and no header value.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("url", &shown(&self.url))
            .field("preset", &self.preset)
            .field("token", &self.token)
            .field("token_header", &self.token_header)
            .field("login", &self.login.as_ref().map(|(_, password)| password))
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("gzip", &self.gzip)
            .field("batch", &(self.batch_events, self.batch_bytes, self.batch_wait))
            .field("concurrency", &self.concurrency)
            .field("timeout", &self.timeout)
            .field("tls", &self.tls)
            .field("proxy", &self.proxy.as_ref().map(shown))
            .finish()
    }
}

/// Whose documentation an HTTP sink follows. Texts in which `{tenant}`, `{feed}`, `{type}` and `{date}` stand for what
/// the event says have been checked for other places.
#[derive(Clone, Debug, PartialEq)]
pub enum Preset {
    /// One event on each line.
    Ndjson,
    /// A JSON array.
    Json,
    /// `_bulk` of Elasticsearch and OpenSearch.
    Elasticsearch {
        /// Index or data stream, a template.
        index: String,
        pipeline: Option<String>,
    },
    /// Splunk's HTTP Event Collector.
    SplunkHec {
        /// `/raw` instead of `/event`.
        raw: bool,
        /// Templates all three; no index: the token's own.
        sourcetype: String,
        source: String,
        index: Option<String>,
        /// How long to wait for the indexers; `None`: not at all.
        acknowledge: Option<Duration>,
    },
    /// Azure Monitor's Logs Ingestion API.
    Sentinel {
        /// Immutable id of the data collection rule.
        rule: String,
        /// A template.
        stream: String,
        /// Entra's token endpoint.
        token_url: Url,
        client_id: String,
        client_secret: SecretRef,
        scope: String,
    },
    /// Grafana Loki.
    Loki {
        /// Labels beside `tenant` and `feed`.
        labels: Vec<(String, String)>,
        /// Loki's tenant.
        org_id: Option<String>,
        /// The event's id as structured metadata.
        structured_metadata: bool,
    },
    /// OpenTelemetry logs as protobuf.
    Otlp,
    /// Datadog's log intake.
    Datadog {
        source: String,
        /// A template.
        service: String,
        tags: Vec<String>,
    },
    /// An HTTP source of Sumo Logic; the token is the last part of its address.
    SumoLogic {
        /// Templates both.
        category: String,
        source_name: String,
    },
    /// A webhook feed of Google SecOps; the token is the API key.
    GoogleSecops { access_key: SecretRef },
}

impl Preset {
    /// As it is written in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Preset::Ndjson => "ndjson",
            Preset::Json => "json",
            Preset::Elasticsearch { .. } => "elasticsearch",
            Preset::SplunkHec { .. } => "splunk-hec",
            Preset::Sentinel { .. } => "sentinel",
            Preset::Loki { .. } => "loki",
            Preset::Otlp => "otlp",
            Preset::Datadog { .. } => "datadog",
            Preset::SumoLogic { .. } => "sumologic",
            Preset::GoogleSecops { .. } => "google-secops",
        }
    }

    /// The sink's probe shows whether the keys are good, without an event.
    pub fn proves_keys(&self) -> bool {
        !matches!(
            self,
            Preset::Ndjson
                | Preset::Json
                | Preset::Datadog { .. }
                | Preset::SumoLogic { .. }
                | Preset::GoogleSecops { .. }
        )
    }
}
