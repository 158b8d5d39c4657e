//! What a sink is made from: checked, complete, and independent of how the configuration spells it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::http::{Lines, Preset};
use crate::clock::Clock;
use crate::limits;
use crate::secret::Secret;
use crate::setup_error::SetupError;

/// One destination.
#[derive(Clone, Debug)]
pub enum Plan {
    Syslog(SyslogPlan),
    Relp(RelpPlan),
    Udp(UdpPlan),
    Http(HttpPlan),
    Kafka(KafkaPlan),
    File(FilePlan),
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

/// A syslog receiver over UDP.
#[derive(Clone, Debug)]
pub struct UdpPlan {
    pub host: String,
    pub port: u16,
    /// For looking up the name.
    pub connect_timeout: Duration,
}

/// A file of lines.
#[derive(Clone, Debug)]
pub struct FilePlan {
    pub path: PathBuf,
    /// Bytes above which it is rotated; `None`: it may grow.
    pub max_size: Option<u64>,
    /// Rotated when a new period of this length, counted in UTC, has begun; `None`: it is not.
    pub every: Option<Duration>,
    /// Rotated files that are kept, at least 1.
    pub keep: u32,
    /// Permissions of a new file.
    pub mode: u32,
    /// A confirmation is an fsync.
    pub sync: bool,
    pub clock: Clock,
}

impl FilePlan {
    /// Never rotated, readable by owner and group, synced.
    pub fn new(path: PathBuf) -> Self {
        FilePlan { path, max_size: None, every: None, keep: 1, mode: 0o640, sync: true, clock: Clock::System }
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

/// Where a secret is kept: asked anew after every refusal, for it may have been replaced.
#[derive(Clone)]
pub struct Keeper(Arc<dyn Fn() -> Result<Secret, SetupError> + Send + Sync>);

impl Keeper {
    /// `read` fetches the secret as it is now.
    pub fn new(read: impl Fn() -> Result<Secret, SetupError> + Send + Sync + 'static) -> Self {
        Keeper(Arc::new(read))
    }
    /// The secret as it is now.
    ///
    /// # Errors
    /// The place cannot be read; the text names it.
    pub fn read(&self) -> Result<Secret, SetupError> {
        (self.0)()
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}

impl From<Secret> for Keeper {
    fn from(secret: Secret) -> Self {
        Keeper::new(move || Ok(secret.clone()))
    }
}

/// How a request shows who we are.
#[derive(Clone, Debug)]
pub enum Auth {
    /// The secret in a header, after a word such as `Bearer`.
    Header { name: &'static str, scheme: &'static str, secret: Keeper },
    /// The same in a header of the operator's choice, alone.
    Named { name: String, secret: Keeper },
    /// RFC 7617.
    Basic { user: String, password: Keeper },
    /// The last part of the path is the secret.
    Path { secret: Keeper },
    /// A token that Microsoft Entra hands out.
    Entra(Entra),
}

/// An application that Microsoft Entra knows (OAuth 2.0 client credentials).
#[derive(Clone, Debug)]
pub struct Entra {
    /// The token endpoint.
    pub url: Url,
    pub client_id: String,
    pub secret: Keeper,
    pub scope: String,
}

/// An HTTP receiver.
#[derive(Clone, Debug)]
pub struct HttpPlan {
    /// Whether plain `http` is allowed here is the configuration's decision.
    pub url: Url,
    /// What the destination wants to see, and what its answers mean.
    pub preset: Arc<dyn Preset>,
    /// Sent as they are, and treated as secrets.
    pub headers: Vec<(String, Secret)>,
    pub auth: Vec<Auth>,
    pub gzip: bool,
    pub batch_events: usize,
    pub batch_bytes: usize,
    pub batch_wait: Duration,
    pub concurrency: usize,
    /// From the first byte sent to the last byte of the answer.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub tls: TlsFiles,
    /// A proxy, perhaps with user and password.
    pub proxy: Option<Url>,
}

impl HttpPlan {
    /// NDJSON without authentication and compression, contract §4's numbers.
    pub fn new(url: Url) -> Self {
        HttpPlan {
            url,
            preset: Arc::new(Lines::default()),
            headers: Vec::new(),
            auth: Vec::new(),
            gzip: false,
            batch_events: 1000,
            batch_bytes: 1 << 20,
            batch_wait: Duration::from_secs(1),
            concurrency: 4,
            timeout: Duration::from_secs(30),
            connect_timeout: limits::CONNECT_TIMEOUT,
            tls: TlsFiles::default(),
            proxy: None,
        }
    }
}

/// Topics of a Kafka cluster.
#[derive(Clone, Debug)]
pub struct KafkaPlan {
    /// `HOST:PORT` of brokers to begin with; the cluster names the others.
    pub brokers: Vec<String>,
    /// `{tenant}` and `{feed}` are replaced by the event's.
    pub topic: String,
    /// As the client library names it.
    pub compression: &'static str,
    /// `None`: unencrypted.
    pub tls: Option<TlsFiles>,
    /// `None`: brokers ask nobody for a name, or for a certificate only.
    pub sasl: Option<Sasl>,
    pub batch_events: usize,
    pub batch_bytes: usize,
    pub batch_wait: Duration,
    /// From handing a batch over until every replica in sync has it; the client library goes on by itself until then.
    pub timeout: Duration,
}

/// How we say to a broker who we are.
#[derive(Clone, Debug)]
pub struct Sasl {
    /// As the protocol names it: `SCRAM-SHA-512`.
    pub mechanism: &'static str,
    pub user: String,
    /// Read whenever a client is made, which follows every fault.
    pub password: Keeper,
}

impl KafkaPlan {
    /// Whether every event goes to one topic.
    pub fn one_topic(&self) -> Option<&str> {
        (!self.topic.contains('{')).then_some(&self.topic)
    }

    /// The topic of an event.
    pub fn topic_of(&self, tenant: &str, feed: &str) -> String {
        self.topic.replace("{tenant}", tenant).replace("{feed}", feed)
    }
}
