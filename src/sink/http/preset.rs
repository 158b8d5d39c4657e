//! What a destination's documentation says, as far as it concerns us: how a batch is written, how large it may be,
//! and what an answer means. One file per preset; the [client](super::Http) does the rest.

use std::fmt::Debug;
use std::ops::Range;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use url::Url;

use super::Answer;
use crate::dialect::failure_in_success;
use crate::event::Event;
use crate::fault::{Code, Kind, Origin};
use crate::sink::batch::{Batch, Group};
use crate::sink::pack::Record;

/// The program that received the events answered for them.
pub const ANSWERED: u8 = 4;
/// The destination says that they are stored.
pub const STORED: u8 = 5;

/// A number that no acknowledgement has: asking for it takes none away, and shows whether there are any.
pub const NO_NUMBER: u64 = 4_294_967_295;

/// One kind of HTTP destination. Writes, reads and decides nothing: what a refusal means is the recovery table's.
pub trait Preset: Debug + Send + Sync {
    /// Names the way this event goes, if not all events go the same one: they are sent in requests of their own.
    fn route(&self, _event: &Event<'_>, _out: &mut String) -> bool {
        false
    }
    /// Events of all ways go in one request, whose body tells them apart. Only where one request takes a whole batch.
    fn all_in_one(&self) -> bool {
        false
    }
    /// Appends the event as it stands in a request's body.
    fn write(&self, event: &Event<'_>, record: &mut Record, out: &mut Vec<u8>) {
        record.line(event, out);
    }
    /// The body's media type.
    fn content_type(&self) -> &'static str;
    /// The whole body of one request.
    fn body(&self, batch: &Batch, group: &Group<'_>) -> Bytes {
        match group.events.as_slice() {
            [run] => batch.shared(run),
            runs => joined(batch, runs).into(),
        }
    }
    /// Where this request goes.
    fn url(&self, base: &Url, _route: &str) -> Url {
        base.clone()
    }
    /// Headers of its own.
    fn headers(&self, _route: &str, _headers: &mut HeaderMap) {}
    /// What the destination takes at once.
    fn caps(&self) -> Caps {
        Caps::default()
    }
    /// What an answer says about a request of so many events.
    fn judge(&self, answer: &Answer, _events: usize) -> Judged {
        by_status(answer)
    }
    /// It may refuse a part of a request without a word about which: who wants to know what becomes of an event sends it alone.
    fn judges_as_a_whole(&self) -> bool {
        false
    }
    /// What an acknowledgement is worth (contract §8).
    fn level(&self) -> u8 {
        ANSWERED
    }
    /// A request that changes nothing and shows whether a batch would be let in.
    fn harmless(&self) -> Option<Harmless> {
        None
    }
    /// How to ask later for what [`Judged::Later`] promised under this number; with the headers of the request it is about.
    fn question(&self, _base: &Url, _number: u64) -> Option<Question> {
        None
    }
}

/// Limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    pub events: usize,
    /// The whole body before compression, bytes.
    pub bytes: usize,
    /// One event, bytes.
    pub event_bytes: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Caps { events: usize::MAX, bytes: usize::MAX, event_bytes: usize::MAX }
    }
}

/// What became of the events of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    Taken,
    /// Taken, but not stored yet; to be asked for under this number.
    Later(u64),
    /// Taken, and the destination will not tell whether it was stored: worth [`ANSWERED`].
    Unconfirmed,
    /// All taken but these.
    Items(Vec<Item>),
    /// None taken.
    Refused(Kind, Option<Code>),
}

/// Events of a request with one verdict: places in it, in the order they were sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    pub events: Range<usize>,
    /// `None`: not looked at, to be sent again at once.
    pub why: Option<Refusal>,
}

/// Why an event was not taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub kind: Kind,
    pub code: Option<Code>,
    /// The destination's words.
    pub said: String,
}

/// A request that changes nothing.
pub struct Harmless {
    pub body: Vec<u8>,
    /// Whether this refusal is about the emptiness alone: then everything that is asked of who sends was in order.
    pub lets_in: fn(&Answer) -> bool,
}

/// A question after an acknowledgement that comes later.
pub struct Question {
    pub url: Url,
    pub body: Vec<u8>,
    /// Whether the answer confirms this number.
    pub confirms: fn(&[u8], u64) -> bool,
    /// Whether the answer says that nothing will ever be confirmed.
    pub is_idle: fn(&Answer) -> bool,
    /// How long to go on asking.
    pub patience: std::time::Duration,
}

/// By status alone: 2xx, if its body does not contradict, but for 207, which says that some of it was refused. A web page
/// is a portal's or a proxy's, whatever its status.
pub fn by_status(answer: &Answer) -> Judged {
    if !answer.status.is_success() || answer.status == StatusCode::MULTI_STATUS {
        return Judged::Refused(Kind::Status(answer.status.as_u16()), None);
    }
    if answer.body.trim_ascii_start().starts_with(b"<") {
        return Judged::Refused(Kind::Html, None);
    }
    failure_in_success(Origin::Sink, &answer.body)
        .map_or(Judged::Taken, |fault| Judged::Refused(fault.kind, None))
}

/// The records of these events one after another.
pub fn joined(batch: &Batch, events: &[Range<usize>]) -> Vec<u8> {
    let mut body = Vec::with_capacity(batch.size(events) + 16);
    events.iter().for_each(|run| body.extend_from_slice(batch.wire(run)));
    body
}

/// A JSON array of records that begin with a comma each.
pub fn array(batch: &Batch, events: &[Range<usize>]) -> Bytes {
    framed(joined(batch, events))
}

/// The same, of their bytes.
pub fn framed(mut body: Vec<u8>) -> Bytes {
    match body.first_mut() {
        Some(comma) => *comma = b'[',
        None => body.push(b'['),
    }
    body.push(b']');
    body.into()
}

/// A base URL with this path behind its own, unless it ends in it already.
pub fn under(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let own = base.path().trim_end_matches('/');
    if !own.ends_with(path) {
        url.set_path(&format!("{own}{path}"));
    }
    url
}
