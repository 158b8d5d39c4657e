//! The state of everything, as data. One value feeds `/status`, `status --json`, the status page, the gauges
//! of `/metrics` and the terminal table, so that no two of them can disagree.
//!
//! In JSON every key is always present; what is not known is `null`. Times are RFC 3339 in UTC.

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::telemetry::label::{CredentialState, FeedState, Grade};

/// Everything an operator may ask about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    /// When this was read.
    #[serde(with = "stamp")]
    pub at: Time,
    /// When the daemon started; `None` when no daemon runs and the store was read.
    #[serde(with = "maybe_stamp")]
    pub started: Option<Time>,
    pub ready: Ready,
    /// The last reading of the configuration succeeded.
    pub config_ok: bool,
    pub alerts: Vec<Alert>,
    /// Hosts that answer nobody; requests to them wait.
    #[serde(default)]
    pub hosts: Vec<Host>,
    pub tenants: Vec<Tenant>,
    pub sinks: Vec<Sink>,
    /// Who is told about alerts.
    pub alert_targets: Vec<AlertTarget>,
    pub store: Store,
}

/// A host that answers nobody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// As `resume host:NAME` takes it; with the proxy it is reached by, if by one.
    pub name: String,
    /// Id of the recovery rule.
    pub rule: String,
    /// What happened.
    pub why: String,
    /// What the rule says: meaning, what the daemon does, what to do, what ends it.
    pub words: String,
    #[serde(with = "stamp")]
    pub since: Time,
    /// When one request looks whether it is back.
    #[serde(with = "stamp")]
    pub next_attempt: Time,
}

/// Whether the daemon does its work; `/readyz` in data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    pub ok: bool,
    /// Sentences: what does not work. Empty when `ok`.
    pub reasons: Vec<String>,
}

/// Somebody who is told about alerts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertTarget {
    pub name: String,
    /// `webhook`, `slack`, `teams`, `alertmanager`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Scheme, host and port; the rest may be a secret.
    pub address: String,
    /// The last attempt reached it; `None` before the first.
    pub up: Option<bool>,
    /// Messages it has not confirmed.
    pub waiting: u64,
    /// Of these, refused: they are tried again at `next_attempt`.
    #[serde(default)]
    pub refused: u64,
    #[serde(with = "maybe_stamp")]
    pub last_told: Option<Time>,
    #[serde(with = "maybe_stamp")]
    pub next_attempt: Option<Time>,
    pub why: Option<String>,
}

/// Something that needs attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What `resume` takes: `acme`, `acme/audit`, `sink:splunk`, or `store`.
    pub scope: String,
    /// Empty for sinks and this machine.
    pub tenant: String,
    /// Id of the recovery rule, or a word where no rule stands for it.
    pub rule: String,
    /// One word: `locked_out`.
    pub title: String,
    pub severity: Grade,
    /// Told to people; false while it may still pass by itself.
    pub active: bool,
    #[serde(with = "maybe_stamp")]
    pub since: Option<Time>,
    /// What happened, in the other side's words where it had any.
    pub words: String,
    /// What to do about it.
    pub remedy: String,
    /// What ends it.
    pub clears: String,
}

/// One tenant with its credential and feeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    pub name: String,
    /// API generation: `1.0` or `2.0`.
    pub api: String,
    pub credential: Credential,
    /// Calls left in the present quota window.
    pub quota_remaining: Option<u64>,
    /// Codes of Mimecast that the recovery table does not know, since the daemon started.
    pub unknown_codes: Vec<UnknownCode>,
    pub feeds: Vec<Feed>,
}

/// A code that the recovery table does not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnknownCode {
    /// `token` or `api`.
    pub from: String,
    pub status: u16,
    pub code: String,
    #[serde(with = "stamp")]
    pub first: Time,
    #[serde(with = "stamp")]
    pub last: Time,
    pub count: u64,
}

/// What is known of a credential; never the secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    pub state: CredentialState,
    /// When a closed credential is tried next; `None` when it is open or waits for a person.
    #[serde(with = "maybe_stamp")]
    pub until: Option<Time>,
    /// Id of the recovery rule that closed it.
    pub rule: Option<String>,
    pub words: Option<String>,
    #[serde(with = "maybe_stamp")]
    pub token_expires: Option<Time>,
    /// As configured in `secret_expires`.
    #[serde(with = "maybe_stamp")]
    pub secret_expires: Option<Time>,
}

/// One feed of one tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feed {
    pub name: String,
    pub state: FeedState,
    /// Why it is in this state, where that is not plain.
    pub why: Option<String>,
    /// Id of the recovery rule behind it.
    pub rule: Option<String>,
    #[serde(with = "maybe_stamp")]
    pub last_success: Option<Time>,
    #[serde(with = "maybe_stamp")]
    pub next_attempt: Option<Time>,
    /// Event time up to which the feed is stored.
    #[serde(with = "maybe_stamp")]
    pub cursor_time: Option<Time>,
    /// Since the store was created.
    pub events_stored: u64,
    /// Items in quarantine now.
    pub quarantined: u64,
    pub gaps_open: u64,
    /// Time between two polls.
    pub poll_interval_seconds: f64,
    pub caught_up: bool,
}

/// One destination and its progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sink {
    pub name: String,
    /// `syslog`, `http`, `file`, `stdout`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Host and port, URL without query, or path.
    pub address: String,
    /// What an acknowledgement proves (contract §8); `None` before the first contact.
    pub ack_level: Option<u8>,
    /// The last attempt reached it; `None` before the first.
    pub up: Option<bool>,
    pub waiting_events: u64,
    /// When the oldest event that waits was stored.
    #[serde(with = "maybe_stamp")]
    pub oldest_waiting: Option<Time>,
    pub delivered: u64,
    /// Events kept because the sink refused them for good.
    pub dead_lettered: u64,
    #[serde(with = "maybe_stamp")]
    pub last_ack: Option<Time>,
    #[serde(with = "maybe_stamp")]
    pub next_attempt: Option<Time>,
    pub why: Option<String>,
    /// Stored events on their way to it once more, oldest order first.
    pub replays: Vec<Replay>,
}

/// A replay that is not finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Number for people.
    pub replay: i64,
    /// Pattern of feeds: `acme/siem.*`.
    pub scope: String,
    #[serde(with = "stamp")]
    pub asked: Time,
    /// Events to look through.
    pub events: u64,
    /// Of these, so far.
    pub looked_at: u64,
    /// Of these, acknowledged.
    pub sent: u64,
    /// Of these, refused for good.
    pub refused: u64,
}

/// What is kept on disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// Events kept, delivered or not.
    pub events: u64,
    /// What counts against the limit: undelivered events and what was put aside.
    pub bytes: u64,
    /// Of these, dead letters.
    pub dead_letter_bytes: u64,
    /// Of these, the quarantine.
    pub quarantine_bytes: u64,
    /// Size at which collection pauses.
    pub limit_bytes: u64,
    /// How long undelivered events can still pile up before any is lost; `None` when nothing piles up.
    pub time_to_data_loss_seconds: Option<u64>,
    /// Equations of the books that do not hold, as sentences.
    pub unbalanced: Vec<String>,
    /// Collection pauses, and why.
    pub paused: Option<String>,
}

/// The one word for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    Working,
    /// No daemon runs, and what the last one left needs nobody.
    NotRunning,
    /// Works, but something needs a look.
    Attention,
    /// Running and not ready, or a critical alert.
    Failing,
}

impl Status {
    /// What the top of the page says.
    pub fn health(&self) -> Health {
        let worst = self.alerts.iter().map(|alert| alert.severity).max();
        match worst {
            Some(Grade::Critical) => Health::Failing,
            _ if !self.ready.ok && self.started.is_some() => Health::Failing,
            Some(Grade::Warning | Grade::Error) => Health::Attention,
            Some(Grade::Info) | None if self.started.is_none() => Health::NotRunning,
            Some(Grade::Info) | None => Health::Working,
        }
    }
    /// Every feed of every tenant.
    pub fn feeds(&self) -> impl Iterator<Item = &Feed> {
        self.tenants.iter().flat_map(|tenant| &tenant.feeds)
    }
}

mod stamp {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::clock::Time;

    pub fn serialize<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&time.rfc3339())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        parse(&String::deserialize(from)?).ok_or_else(|| D::Error::custom("not an RFC 3339 time"))
    }

    /// An RFC 3339 time of any offset, cut to milliseconds; `None` for any other text.
    pub fn parse(text: &str) -> Option<Time> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Time(at.as_millisecond()))
    }
}

mod maybe_stamp {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::clock::Time;

    pub fn serialize<S: Serializer>(time: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
        time.map(Time::rfc3339).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let parse =
            |text: String| super::stamp::parse(&text).ok_or_else(|| D::Error::custom("not an RFC 3339 time"));
        text.map(parse).transpose()
    }
}
