//! One page of the stream of a SIEM feed (mimecast-api.md §2.6): the events themselves, in the answer.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

use super::content;
use super::failure::believable;
use super::feed::{Ask, Feed};
use super::live::Live;
use super::log_file::Gathering;
use super::page::{Loose, same_length_text};
use super::position::{Position, bounded_token};
use super::unreadable::Unreadable;
use crate::chunk::Chunk;
use crate::clock::Time;
use crate::cursor::Cursor;
use crate::event::EventId;
use crate::fault::{Fault, Kind, Origin};

/// One page of the stream.
#[derive(Debug)]
pub struct LivePage {
    /// `None` without readable records.
    pub chunk: Option<Chunk>,
    /// What each record of the chunk says, whatever it is written like.
    pub keys: Vec<EventId>,
    pub unreadable: Vec<Unreadable>,
    /// Readable and unreadable records.
    pub listed: u64,
    pub newest: Option<Time>,
    /// Number of this page.
    pub pass: u64,
    /// Where the feed stands when the page is stored.
    pub to: Cursor,
    /// The server's token is another one than that which was sent.
    pub forward: Option<bool>,
    /// Nothing more for now.
    pub caught_up: bool,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
    #[serde(borrow, rename = "@nextPage", default)]
    next: Option<Loose<'a>>,
    #[serde(borrow, rename = "isCaughtUp", default)]
    caught_up: Option<Loose<'a>>,
}

/// What each record of a chunk says, whatever it is written like.
pub fn keys(feed: &Feed, tenant: &str, chunk: &Chunk) -> Vec<EventId> {
    let of = |n: usize| {
        chunk.event(n, tenant, feed.name, 0).map(|event| content::key(tenant, feed.name, event.raw))
    };
    // a record outside of its chunk is refused by the store
    (0..chunk.records.len()).map(|n| of(n).unwrap_or(EventId([0; 16]))).collect()
}

/// Reads the body of a 200 answer to the request built for `live`. `now` is the server's time.
///
/// Faults: [`Kind::Html`], [`Kind::Malformed`] (not JSON, or its list is missing: recovery row X10), or what a
/// failure under the 200 says.
pub fn read(
    (feed, tenant): (&'static Feed, &str),
    live: &Live,
    body: &[u8],
    overlap: Duration,
    now: Time,
) -> Result<LivePage, Fault> {
    let text = same_length_text(body);
    believable(Origin::Api, text.as_bytes())?;
    let malformed =
        |error| Fault::new(Origin::Api, Kind::Malformed, format!("not a page of events: {error}"));
    let answer: Answer<'_> = serde_json::from_str(&text).map_err(malformed)?;
    let next = answer.next.and_then(|next| next.text()).map(bounded_token).transpose()?;
    let said = answer.caught_up.and_then(|flag| flag.flag());
    let caught_up = said.unwrap_or(false) || answer.value.is_empty();
    let mut out = Gathering::new(feed, tenant, live_path(feed));
    for (number, raw) in answer.value.iter().enumerate() {
        let start = (raw.get().as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
        out.add_element(body.get(start..start + raw.get().len()).unwrap_or_default(), number as u64 + 1);
    }
    let newest = out.newest.map(Time);
    let (chunks, unreadable) = out.finish();
    let chunk = chunks.into_iter().next(); // nothing is sealed before the end
    let listed = (chunk.as_ref().map_or(0, |chunk| chunk.records.len()) + unreadable.len()) as u64;
    let forward = next.as_ref().map(|next| Some(next) != live.token.as_ref());
    Ok(LivePage {
        keys: chunk.as_ref().map(|chunk| keys(feed, tenant, chunk)).unwrap_or_default(),
        chunk,
        unreadable,
        listed,
        newest,
        pass: live.pass,
        to: Position::Stream(live.after_page(next, caught_up, overlap, now)).cursor(),
        forward,
        caught_up,
    })
}

/// Path of the stream's function for a feed that has one.
pub fn live_path(feed: &Feed) -> &'static str {
    match feed.ask {
        Ask::Batch { stream, .. } => stream,
        _ => feed.path,
    }
}
