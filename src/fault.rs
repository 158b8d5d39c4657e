//! What can go wrong while running, as plain facts: where it came from, what was answered, how long the other
//! side asks us to wait. What it *means* and what is done about it is the supervisor's alone.

use std::fmt;
use std::time::Duration;

/// Where a fault came from: the *surface* of the recovery table. The same status means different things on
/// different surfaces: a 403 of the API is a permission, of the download host an expired link, of a SIEM a dead token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The OAuth token endpoint (or the API 1.0 login).
    Token,
    /// An API function of Mimecast.
    Api,
    /// The host of pre-signed file links.
    Download,
    /// A destination.
    Sink,
    /// This machine: store, disk, clock, files.
    Local,
}

impl Origin {
    pub const ALL: [Origin; 5] = [Origin::Token, Origin::Api, Origin::Download, Origin::Sink, Origin::Local];
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Token => "token",
            Origin::Api => "api",
            Origin::Download => "download",
            Origin::Sink => "sink",
            Origin::Local => "local",
        }
    }
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The other side answered with this HTTP status (or with a 200 whose body carries this status).
    Status(u16),
    /// The name did not resolve.
    Dns,
    /// The name resolved to an address that is not public.
    PrivateAddress,
    /// No TCP connection: refused, unreachable, timed out.
    Connect,
    /// The certificate does not verify.
    TlsVerify,
    /// No common TLS version or cipher, or the peer broke off the handshake.
    TlsHandshake,
    /// The peer stopped, reset or closed inside an answer, or before confirming a batch.
    Interrupted,
    /// No answer in the time allowed.
    Timeout,
    /// HTML (or anything starting with `<`) where JSON is due.
    Html,
    /// Not the JSON, or not the shape, that was due.
    Malformed,
    /// An answer larger than its bound.
    TooLarge,
    /// Token answer without a token.
    TokenMissing,
    /// Gzip that is cut short, fails its checksum or carries trailing garbage.
    GzipCorrupt,
    /// A file that expands beyond every reason.
    Bomb,
    /// A file link to a host, scheme or port that is not allowed.
    LinkRefused,
    /// Records came but the cursor did not move, or the same page came again.
    NoProgress,
    /// Page after page without records.
    EmptyPages,
    /// Cursor older than what the service keeps.
    BeyondRetention,
    /// The peer refused part of a batch (per-item verdicts).
    Partial,
    /// A record exceeds what the sink takes.
    RecordTooLarge,
    /// Disk full, or the store's own limit is reached.
    DiskFull,
    /// The disk failed while writing.
    DiskIo,
    /// The store is damaged.
    Corrupt,
    /// Another program holds the store.
    Busy,
    /// The stored position is not the one this runner moved from.
    Conflict,
    /// A secret could not be read.
    SecretUnreadable,
}

impl Kind {
    /// For people, in a few words.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Status(_) => "an answer that says no",
            Kind::Dns => "a name that does not resolve",
            Kind::PrivateAddress => "a name that leads to a private address",
            Kind::Connect => "no TCP connection",
            Kind::TlsVerify => "a certificate that does not verify",
            Kind::TlsHandshake => "a failed TLS handshake",
            Kind::Interrupted => "a broken connection",
            Kind::Timeout => "no answer in time",
            Kind::Html => "a web page instead of data",
            Kind::Malformed => "an answer that cannot be read",
            Kind::TooLarge => "an answer that is too large",
            Kind::TokenMissing => "an answer without a token",
            Kind::GzipCorrupt => "a damaged archive",
            Kind::Bomb => "an archive that expands beyond reason",
            Kind::LinkRefused => "a link that is not allowed",
            Kind::NoProgress => "a position that does not move",
            Kind::EmptyPages => "page after page without records",
            Kind::BeyondRetention => "a position older than what is kept",
            Kind::Partial => "a batch taken in part",
            Kind::RecordTooLarge => "an event that is too large",
            Kind::DiskFull => "a full disk or store",
            Kind::DiskIo => "a failing disk",
            Kind::Corrupt => "a damaged store",
            Kind::Busy => "a store held by another program",
            Kind::Conflict => "a position that was moved",
            Kind::SecretUnreadable => "a secret that cannot be read",
        }
    }
}

/// How the other side named the fault: a four-digit Mimecast sub-code (`0010`) or a word (`token_expired`).
/// At most 64 characters of `[0-9A-Za-z_.-]`; the constructor drops the rest, so it is safe as a metric label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(String);

impl Code {
    pub const MAX_CHARS: usize = 64;
    /// `None` when nothing printable is left.
    pub fn new(text: &str) -> Option<Self> {
        let clean: String = text
            .trim()
            .chars()
            .map(|c| if c == ' ' { '_' } else { c })
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
            .take(Self::MAX_CHARS)
            .collect();
        (!clean.is_empty()).then_some(Code(clean))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One fault. Built by whoever met it, judged by `supervisor::policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub origin: Origin,
    pub kind: Kind,
    /// The most specific name the answer gave: numeric sub-code first, else the word code.
    pub code: Option<Code>,
    /// The body came from Mimecast (or OAuth) in a form of theirs. Only such an answer may trip a credential
    /// (reliability.md §2.1 rule 2); HTML from a proxy may not.
    pub attributed: bool,
    /// The service says that trying again may help (`retryable`), if it says anything.
    pub retryable: Option<bool>,
    /// The status of an answer whose body told us of the fault, where it is not the one in `kind`: a 200 that reports a
    /// failure.
    pub carried_by: Option<u16>,
    /// How long the other side asks us to wait, already read against its clock and clamped.
    pub retry_after: Option<Duration>,
    /// The field the service complains about (`pageSize`, `startDateTime`).
    pub field: Option<String>,
    /// Server minus local clock, when the answer had a `Date` header; milliseconds.
    pub skew_ms: Option<i64>,
    /// The service's own id of the request, for its support.
    pub request_id: Option<String>,
    /// Our own id of the request, as it was sent; support asks for both.
    pub sent_id: Option<String>,
    /// The request carried no position of the service's own: there is none to give up.
    pub from_start: bool,
    /// For people: what was said or seen. Redacted (no secrets, no URL queries), bounded, on one line.
    pub detail: String,
}

impl Fault {
    pub fn new(origin: Origin, kind: Kind, detail: impl Into<String>) -> Self {
        Fault {
            origin,
            kind,
            code: None,
            attributed: false,
            retryable: None,
            carried_by: None,
            retry_after: None,
            field: None,
            skew_ms: None,
            request_id: None,
            sent_id: None,
            from_start: false,
            detail: one_line(&detail.into()),
        }
    }
    /// The HTTP status that was answered; `None` when the fault is of another kind.
    pub fn status(&self) -> Option<u16> {
        match self.kind {
            Kind::Status(status) => Some(status),
            _ => None,
        }
    }
    /// The HTTP status that was on the wire, for people; it says less than [`Fault::status`], by which a fault is judged.
    pub fn answered(&self) -> Option<u16> {
        self.carried_by.or(self.status())
    }
    /// The code as text, for logs and labels; empty when the answer gave none.
    pub fn code_str(&self) -> &str {
        self.code.as_ref().map_or("", Code::as_str)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin.as_str())?;
        match (self.kind, self.carried_by) {
            (Kind::Status(_), Some(status)) => {
                write!(f, " answered {status}, but its body reports a failure")?;
            }
            (Kind::Status(status), None) => write!(f, " answered {status}")?,
            (kind, _) => write!(f, ": {kind:?}")?,
        }
        if let Some(code) = &self.code {
            write!(f, "/{}", code.as_str())?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        match (&self.sent_id, &self.request_id) {
            (Some(ours), Some(theirs)) => write!(f, " (request {ours}, answered as {theirs})"),
            (Some(ours), None) => write!(f, " (request {ours})"),
            (None, Some(_)) | (None, None) => Ok(()),
        }
    }
}

/// Control characters become spaces and the text is cut: outside text must not forge log lines.
pub fn one_line(text: &str) -> String {
    const MAX_CHARS: usize = 400; // one log line a person still reads
    let clean =
        text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c });
    let mut out: String = clean.clone().take(MAX_CHARS).collect();
    if clean.count() > MAX_CHARS {
        out.push('…');
    }
    out
}
