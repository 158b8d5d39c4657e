//! The vocabulary of a catalogue row. A difference between two feeds is a value of one of these types.

use std::time::Duration;

use crate::event::Severity;

/// Generation of Mimecast's API. A credential belongs to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Api {
    /// Signed requests on `xx-api.mimecast.com`.
    V1,
    /// OAuth on `api.services.mimecast.com`.
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

/// The retention of a log that Mimecast says it keeps for ever: 100 years.
pub const FOREVER: Duration = Duration::from_secs(36_525 * 86_400);

/// One log that Mimecast offers and that has its own cursor. A row of [`super::catalogue::FEEDS`].
#[derive(Debug)]
pub struct Feed {
    /// `siem.receipt`. The name users write.
    pub name: &'static str,
    /// The generations that serve it.
    pub apis: &'static [Api],
    /// Path of the function, without host.
    pub path: &'static str,
    pub ask: Ask,
    pub records: Records,
    pub time: TimeField,
    /// Envelope `type` of a record that does not name its own.
    pub kind: &'static str,
    /// How far back Mimecast keeps it.
    pub retention: Duration,
    /// Distance kept from the present, because rows appear late; zero for listings, which have their own order.
    pub settle: Duration,
    /// How much of the previous window is read again, for rows that appear later still.
    pub overlap: Duration,
    /// The right the credential needs, as the administration console names it.
    pub permission: &'static str,
    pub quota: Quota,
    pub severity: SeverityRule,
    pub identity: Identity,
    /// For people: what one record tells.
    pub contains: &'static str,
}

impl Feed {
    /// For people: how reading goes on after a restart.
    pub fn resumes(&self) -> &'static str {
        match self.ask {
            Ask::Batch { .. } => "page token and the names of the files already read",
            Ask::Window { .. } => "time window read to its end, page token inside it, overlap for late rows",
            Ask::Archive => "token of the last answer; what is read again is recognised by content",
            Ask::Intel { .. } => "token of the last answer; what is read again is recognised by content",
        }
    }
    /// HTTP method of the function.
    pub fn method(&self) -> Method {
        match self.ask {
            Ask::Batch { .. } => Method::Get,
            Ask::Window { .. } | Ask::Archive | Ask::Intel { .. } => Method::Post,
        }
    }
    /// For people: how long Mimecast keeps it.
    pub fn kept(&self) -> String {
        match self.retention {
            FOREVER => "without end".to_owned(),
            kept => format!("{} days", kept.as_secs() / 86_400),
        }
    }
    /// For people: method and path.
    pub fn endpoint(&self) -> String {
        format!("{} {}", self.method().as_str(), self.path)
    }
    /// For people: the other function that has the same events, of the last 24 hours.
    pub fn stream_endpoint(&self) -> Option<String> {
        match self.ask {
            Ask::Batch { stream, .. } => Some(format!("{} {stream}", self.method().as_str())),
            Ask::Window { .. } | Ask::Archive | Ask::Intel { .. } => None,
        }
    }
    /// For people: what takes its place once API 1.0 is gone; empty for a feed that API 2.0 has.
    pub fn succeeded_by(&self) -> &'static str {
        if self.offered_by(Api::V2) {
            ""
        } else {
            "the ten siem.* feeds of API 2.0; `cursor migrate` begins them where it stopped"
        }
    }
    /// Its pages come in the order of time, as they were asked to.
    pub fn is_oldest_first(&self) -> bool {
        matches!(self.ask, Ask::Window { also, .. } if also.contains(&Also::OldestFirst))
    }
    /// One span of time can be asked for; a token only leads on.
    pub fn reads_spans(&self) -> bool {
        matches!(self.ask, Ask::Batch { .. } | Ask::Window { .. })
    }
    /// Whether a tenant that uses `api` can have this feed.
    pub fn offered_by(&self, api: Api) -> bool {
        self.apis.contains(&api)
    }
}

/// The HTTP methods that Mimecast's functions take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
        }
    }
}

/// How a feed is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A listing of gzip files behind pre-signed links, resumed by page token.
    Batch {
        /// Value of the query parameter `type`; of `types` on the stream.
        kind: &'static str,
        /// Path of the function that has the same events of the last 24 hours without files.
        stream: &'static str,
    },
    /// Records between two times, page by page.
    Window {
        from_field: &'static str,
        to_field: &'static str,
        /// What the function has to be told besides.
        also: &'static [Also],
    },
    /// Log files of all types, zipped, in the answer itself; resumed by a token in the answer's header.
    Archive,
    /// Threat intelligence as one document, resumed by a token in the answer's header.
    Intel {
        /// Value of `feedType`.
        kind: &'static str,
    },
}

/// Which function of API 2.0 a tenant reads its SIEM feeds from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Files, about every 15 minutes, of the last 7 days.
    #[default]
    Batch,
    /// Events as they come, of the last 24 hours.
    Stream,
}

/// A switch of a function that has to be on, or events are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Also {
    /// Oldest first: rows that appear while we read come at the end, and shift no page.
    OldestFirst,
    /// Everybody's rows; without it the function shows our own mailbox, which is empty.
    Admin,
}

impl Also {
    /// The field that is set to `true`.
    pub fn field(self) -> &'static str {
        match self {
            Also::OldestFirst => "oldestFirst",
            Also::Admin => "admin",
        }
    }
}

/// Where the records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// One JSON object per line of a file.
    Lines,
    /// `data[]` itself.
    Data,
    /// The named list in the objects of `data[]`.
    List(&'static str),
    /// The one list in each object of `data[]`, whatever its name: Mimecast's documents do not agree on it.
    AnyList,
    /// The files of an answer: `data[]` of JSON objects, or lines of `key=value`.
    Files,
    /// `objects[]` of a STIX bundle.
    Objects,
}

/// The field with the event's time. Numbers (and strings of digits) are epoch milliseconds, or seconds when
/// they are too small for that; other strings are dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeField(pub &'static str);

/// Whose calls are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// 50 listing calls in 15 minutes for all batch feeds of a credential together.
    Batch,
    /// An own, unpublished figure for this function.
    PerFunction,
}

/// What makes two records the same event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Each record carries an id of its own: equal bytes are the same event, however often they are read.
    HasOwnId,
    /// Records carry none: equal bytes may be two events.
    Bytes,
}

/// How much an analyst should care, by the record's own words.
#[derive(Clone, Copy, Debug)]
pub struct SeverityRule {
    /// When no test below matches.
    pub otherwise: Severity,
    /// All are tried, the gravest match wins. At most [`SeverityRule::MAX_TESTS`].
    pub tests: &'static [SeverityTest],
}

impl SeverityRule {
    /// A record reader has room for the values of this many fields.
    pub const MAX_TESTS: usize = 2;

    /// The same severity for every record, whatever its fields say.
    pub const fn always(severity: Severity) -> Self {
        SeverityRule { otherwise: severity, tests: &[] }
    }
}

/// `field` has one of `values` (compared without case).
#[derive(Clone, Copy, Debug)]
pub struct SeverityTest {
    pub field: &'static str,
    pub values: &'static [&'static str],
    pub severity: Severity,
}
