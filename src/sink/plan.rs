//! What a sink is made from: checked, complete, and independent of how the configuration spells it.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::limits;
use crate::secret::Secret;

/// One destination.
#[derive(Clone, Debug)]
pub enum Plan {
    Syslog(SyslogPlan),
    Relp(RelpPlan),
    Http(HttpPlan),
    File { path: PathBuf },
    Stdout,
}

/// A syslog receiver over TCP or TLS.
#[derive(Clone, Debug)]
pub struct SyslogPlan {
    pub host: String,
    pub port: u16,
    /// `None`: plain TCP.
    pub tls: Option<TlsFiles>,
    /// Events per confirmed batch.
    pub confirm_every: u32,
    pub connect_timeout: Duration,
    /// For one write of [`limits::WRITE_BYTES`].
    pub write_timeout: Duration,
    pub confirm_timeout: Duration,
}

impl SyslogPlan {
    /// Plain TCP with the product's time limits.
    pub fn tcp(host: impl Into<String>, port: u16, confirm_every: u32) -> Self {
        SyslogPlan {
            host: host.into(),
            port,
            tls: None,
            confirm_every,
            connect_timeout: limits::CONNECT_TIMEOUT,
            write_timeout: limits::SINK_WRITE_TIMEOUT,
            confirm_timeout: limits::CONFIRM_TIMEOUT,
        }
    }
    /// The same over TLS.
    pub fn with_tls(self, files: TlsFiles) -> Self {
        SyslogPlan { tls: Some(files), ..self }
    }
}

/// A syslog receiver over RELP.
#[derive(Clone, Debug)]
pub struct RelpPlan {
    pub host: String,
    pub port: u16,
    /// `None`: unencrypted.
    pub tls: Option<TlsFiles>,
    pub connect_timeout: Duration,
    /// Without an answer for this long the receiver counts as gone.
    pub answer_timeout: Duration,
}

impl RelpPlan {
    /// Unencrypted, with the product's time limits.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        RelpPlan {
            host: host.into(),
            port,
            tls: None,
            connect_timeout: limits::CONNECT_TIMEOUT,
            answer_timeout: limits::RELP_ANSWER_TIMEOUT,
        }
    }
}

/// Certificates of a TLS connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The only authorities that are trusted; `None`: those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate chain, and its key.
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// The name the peer's certificate must carry; `None`: the host's.
    pub server_name: Option<String>,
}

/// An HTTP receiver of NDJSON.
#[derive(Clone, Debug)]
pub struct HttpPlan {
    /// Whether plain `http` is allowed here is the configuration's decision.
    pub url: Url,
    /// Sent as they are, and treated as secrets.
    pub headers: Vec<(String, Secret)>,
    /// `Authorization: Bearer …`
    pub token: Option<Secret>,
    pub gzip: bool,
    pub batch_events: usize,
    pub batch_bytes: usize,
    pub batch_wait: Duration,
    pub concurrency: usize,
    /// From the first byte sent to the last byte of the answer.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// The only authorities that are trusted; `None`: those of the operating system.
    pub ca_file: Option<PathBuf>,
}

impl HttpPlan {
    /// No authentication, no compression, contract §4's numbers.
    pub fn new(url: Url) -> Self {
        HttpPlan {
            url,
            headers: Vec::new(),
            token: None,
            gzip: false,
            batch_events: 1000,
            batch_bytes: 1 << 20,
            batch_wait: Duration::from_secs(1),
            concurrency: 4,
            timeout: Duration::from_secs(30),
            connect_timeout: limits::CONNECT_TIMEOUT,
            ca_file: None,
        }
    }
}
