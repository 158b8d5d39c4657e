//! What the configuration says of an HTTP destination, checked and complete.

use std::fmt;
use std::time::Duration;

use url::Url;

use super::secret_ref::SecretRef;
use super::settings::{Oversize, TlsFiles, place, shown};
use crate::format::template::Template;

/// An HTTP endpoint that takes batches of events by POST.
#[derive(Clone, PartialEq)]
pub struct Http {
    /// https unless loopback or `allow_insecure`; its query may be secret, print it only with [`shown`].
    pub url: Url,
    /// The same whole, where events fill in places of its path and query: of `ndjson` and `json`.
    pub way: Option<Template>,
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

impl Http {
    /// Every secret that is kept somewhere, with what it is.
    pub fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        let own = match &self.preset {
            Preset::Sentinel { client_secret, .. } => Some(("client secret", client_secret)),
            Preset::GoogleSecops { access_key } => Some(("access key", access_key)),
            Preset::Ndjson
            | Preset::Json
            | Preset::Elasticsearch { .. }
            | Preset::SplunkHec { .. }
            | Preset::Loki { .. }
            | Preset::Otlp
            | Preset::Datadog { .. }
            | Preset::SumoLogic { .. } => None,
        };
        let token = self.token.iter().map(|place| ("token", place));
        let password = self.login.iter().map(|(_, place)| ("password", place));
        token.chain(password).chain(own).collect()
    }
}

/// Shows no path, no query and no header value.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("url", &place(&self.url))
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

/// Whose documentation an HTTP sink follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Preset {
    /// One event on each line.
    Ndjson,
    /// A JSON array.
    Json,
    /// `_bulk` of Elasticsearch and OpenSearch.
    Elasticsearch {
        /// Index or data stream.
        index: Template,
        pipeline: Option<String>,
    },
    /// Splunk's HTTP Event Collector.
    SplunkHec {
        /// `/raw` instead of `/event`.
        raw: bool,
        sourcetype: Template,
        source: Template,
        /// `None`: the token's own.
        index: Option<Template>,
        /// How long to wait for the indexers; `None`: not at all.
        acknowledge: Option<Duration>,
    },
    /// Azure Monitor's Logs Ingestion API.
    Sentinel {
        /// Immutable id of the data collection rule.
        rule: String,
        stream: Template,
        /// Entra's token endpoint.
        token_url: Url,
        client_id: String,
        client_secret: SecretRef,
        scope: String,
        /// What becomes of an event with a column that Azure would cut.
        oversize: Oversize,
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
    Datadog { source: String, service: Template, tags: Vec<String> },
    /// An HTTP source of Sumo Logic; the token is the last part of its address.
    SumoLogic { category: Template, source_name: Template },
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
