//! What a Kafka sink is told, checked and complete.

use std::time::Duration;

use super::secret_ref::SecretRef;
use super::settings::TlsFiles;

/// A Kafka cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Kafka {
    /// `HOST:PORT`, at least one.
    pub brokers: Vec<String>,
    /// Fit for a topic; `{tenant}` and `{feed}` stand for the event's.
    pub topic: String,
    pub compression: Compression,
    /// `None`: unencrypted.
    pub tls: Option<TlsFiles>,
    pub sasl: Option<Sasl>,
    pub batch_events: usize,
    pub batch_bytes: usize,
    pub batch_wait: Duration,
    pub timeout: Duration,
}

/// How Kafka's batches are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
}

impl Compression {
    pub const ALL: [Compression; 4] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4];

    /// Kafka's own word.
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
        }
    }
}

/// How a Kafka broker learns who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    pub mechanism: Mechanism,
    /// Never empty.
    pub user: String,
    pub password: SecretRef,
}

/// SASL's mechanisms with a name and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Mechanism {
    pub const ALL: [Mechanism; 3] = [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512];

    /// As the protocol names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    /// As it is written in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Mechanism::Plain => "plain",
            Mechanism::ScramSha256 => "scram-sha-256",
            Mechanism::ScramSha512 => "scram-sha-512",
        }
    }
}
