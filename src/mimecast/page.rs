//! Reading answers: a listing of files, or a page of records. An answer is either understood completely or it is
//! a fault; nothing is guessed, because a list taken for empty is a loss nobody sees.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::edge::Edge;
use super::failure::{believable, within};
use super::feed::{Feed, Identity, Records};
use super::lines::{Kinds, gzip};
use super::links::{FileKey, FileLink, public_url};
use super::position::{Position, bounded_token};
use super::record;
use super::unreadable::{Unreadable, Unreadables};
use crate::chunk::{Chunk, Record};
use crate::clock::Time;
use crate::cursor::Cursor;
use crate::event::EventId;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{MAX_FILES_PER_LISTING, MAX_LINE_BYTES, MAX_LINK_BYTES, MAX_NAMES_SHOWN};
use crate::secret::Secret;

/// What an answer holds.
#[derive(Debug)]
pub enum Page {
    Files(Listing),
    Records(RecordPage),
    /// Records with a failure beside them (recovery row M30): they are worth keeping, and they are not all there
    /// is.
    Partial(RecordPage, Fault),
    Live(super::stream::LivePage),
}

impl Page {
    /// The same, with the fault told as `full` tells it.
    #[must_use]
    pub fn told(self, full: impl Fn(Fault) -> Fault) -> Self {
        match self {
            Page::Partial(records, fault) => Page::Partial(records, full(fault)),
            Page::Files(_) | Page::Records(_) | Page::Live(_) => self,
        }
    }
}

/// Where a page leads, once everything on it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To this position.
    Forward(Cursor),
    /// To where it was asked from: nothing new yet.
    Same,
    /// The server did not say; the old position stays good.
    Missing,
}

/// One answer of a listing function.
#[derive(Debug)]
pub struct Listing {
    /// Files to fetch: each once, without those read from this position before.
    pub files: Vec<FileLink>,
    /// The position asked from. After each file: `position = position.with_done(file.mark())`.
    pub position: Position,
    /// After the last file.
    pub leads: Leads,
    /// Nothing more for now, once these files are read.
    pub caught_up: bool,
}

/// One answer of a window function.
#[derive(Debug)]
pub struct RecordPage {
    /// `None` without readable records. The records' ids all have ordinal 0: equal records are numbered by the
    /// store, which sees the other pages of the window.
    pub chunk: Option<Chunk>,
    pub unreadable: Vec<Unreadable>,
    /// Readable and unreadable records.
    pub listed: u64,
    pub newest: Option<Time>,
    /// Always forward: to the next page, or past the window; after a failure, to reading the window once more.
    pub leads: Leads,
    /// The window is read to its end.
    pub caught_up: bool,
}

/// Reads the body of a 200 answer to the request built for `position`. `now` is the server's time.
///
/// Faults: [`Kind::Html`], [`Kind::Malformed`] (not JSON, or its list is missing: recovery row X10), or what
/// a failure under the 200 says.
pub fn read(feed: &Feed, tenant: &str, position: &Position, body: &[u8], now: Time) -> Result<Page, Fault> {
    let text = same_length_text(body);
    match feed.records {
        Records::Lines => {
            believable(Origin::Api, text.as_bytes())?;
            listing(position, &text, now).map(Page::Files)
        }
        _ => {
            let failure = within(Origin::Api, text.as_bytes())?;
            let page = records(feed, tenant, position, Body { exact: body, text: &text });
            match (failure, page) {
                (Some(failure), page) => beside(failure, page.map(|(page, _)| page), position),
                (None, Ok((page, true))) => beside(stands_still(), Ok(page), position),
                (None, page) => page.map(|(page, _)| Page::Records(page)),
            }
        }
    }
}

/// Records came, or files, and the way to the rest of them leads to where they were asked for (recovery row X11).
pub fn stands_still() -> Fault {
    Fault::new(Origin::Api, Kind::NoProgress, "there is more, and the token for it is the one that was sent")
}

/// What is left of a page whose answer tells of a failure: its records, if it has any. The window is read again
/// from its beginning and counted as another reading, so that what came with the failure is known by then.
fn beside(failure: Fault, page: Result<RecordPage, Fault>, position: &Position) -> Result<Page, Fault> {
    match page {
        Ok(page) if page.listed > 0 => {
            let leads = Leads::Forward(position.without_token().cursor());
            Ok(Page::Partial(RecordPage { leads, caught_up: false, ..page }, failure))
        }
        Ok(_) | Err(_) => Err(failure),
    }
}

/// An answer twice: as it came, and as text in which every place is the same.
#[derive(Clone, Copy)]
struct Body<'a> {
    exact: &'a [u8],
    text: &'a str,
}

fn malformed(detail: impl Into<String>) -> Fault {
    Fault::new(Origin::Api, Kind::Malformed, detail)
}

// --- listings ---------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct ListingAnswer<'a> {
    /// Missing or `null` where there is nothing, in some answers.
    #[serde(borrow, default)]
    value: Option<Vec<Item<'a>>>,
    #[serde(rename = "@nextPage", default)]
    next: Option<Loose<'a>>,
    #[serde(rename = "isCaughtUp", default)]
    caught_up: Option<Loose<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(default)]
    expiry: Option<Loose<'a>>,
    #[serde(default)]
    size: Option<Loose<'a>>,
}

/// A value that may come as itself or in a string.
pub(super) enum Loose<'a> {
    Flag(bool),
    Number(u64),
    Text(Cow<'a, str>),
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Loose<'de>, E> {
        Ok(Loose::Flag(flag))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Loose<'de>, E> {
        Ok(Loose::Number(number))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Loose<'de>, E> {
        Ok(Loose::Other)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Loose<'de>, E> {
        Ok(Loose::Other)
    }
    fn visit_unit<E>(self) -> Result<Loose<'de>, E> {
        Ok(Loose::Other)
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Loose<'de>, E> {
        Ok(Loose::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Loose<'de>, E> {
        Ok(Loose::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Loose<'de>, A::Error> {
        IgnoredAny.visit_seq(list).map(|_| Loose::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Loose<'de>, A::Error> {
        IgnoredAny.visit_map(object).map(|_| Loose::Other)
    }
}

impl Loose<'_> {
    pub fn text(&self) -> Option<String> {
        match self {
            Loose::Text(text) if !text.is_empty() => Some(text.to_string()),
            Loose::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
    pub fn flag(&self) -> Option<bool> {
        match self {
            Loose::Flag(flag) => Some(*flag),
            Loose::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Loose::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

fn listing(position: &Position, body: &str, now: Time) -> Result<Listing, Fault> {
    let answer: ListingAnswer<'_> =
        serde_json::from_str(body).map_err(|error| malformed(format!("not a file listing: {error}")))?;
    let said = answer.caught_up.and_then(|flag| flag.flag());
    let items = match answer.value {
        Some(items) => items,
        None if said == Some(true) => Vec::new(),
        None => return Err(malformed("not a file listing: it has no `value` and does not say `isCaughtUp`")),
    };
    if items.len() > MAX_FILES_PER_LISTING {
        return Err(malformed(format!("a listing of {} files", items.len())));
    }
    let empty = items.is_empty();
    let mut seen = HashSet::new();
    let mut listed = Vec::new();
    let mut files = Vec::new();
    for item in items {
        let file = link(item)?;
        if seen.insert(file.key) {
            listed.push(file.mark());
            files.push(file);
        }
    }
    files.retain(|file| !position.is_done(file.mark()));
    let next = answer.next.and_then(|next| next.text()).map(bounded_token).transpose()?;
    let old = if let Position::Batch { token, .. } = position { token.as_deref() } else { None };
    let (leads, ended) = match next {
        None => (Leads::Missing, true),
        // the usual sign of the end, unless the server shows files and says that there are more
        Some(next) if Some(next.as_str()) == old => (Leads::Same, empty || said.unwrap_or(true)),
        Some(next) => {
            let ended = said.unwrap_or(empty);
            // by the time the cursor moves there, every file of this listing is done
            let after = listed.iter().fold(position.pruned(&listed), |after, key| after.with_done(*key));
            (Leads::Forward(after.forward(&next, ended, now).cursor()), ended)
        }
    };
    Ok(Listing { files, position: position.pruned(&listed), leads, caught_up: ended })
}

fn link(item: Item<'_>) -> Result<FileLink, Fault> {
    if item.url.is_empty() || item.url.len() > MAX_LINK_BYTES {
        return Err(malformed(format!("a listed file has a link of {} bytes", item.url.len())));
    }
    let shown = public_url(&item.url);
    let expiry = item.expiry.and_then(|expiry| expiry.text());
    Ok(FileLink {
        key: FileKey::of(&item.url),
        name: shown.split_once("://").map_or(shown.as_str(), |(_, rest)| rest).to_owned(),
        url: Secret::new(item.url),
        size: item.size.and_then(|size| size.text()).and_then(|size| size.parse().ok()),
        expiry: expiry.as_deref().and_then(record::text_time).map(Time),
    })
}

// --- records ----------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct RecordAnswer<'a> {
    /// A list; one document shows the object that holds the records by itself.
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow, default)]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default)]
    pagination: Option<Pagination<'a>>,
}

#[derive(Deserialize)]
struct Pagination<'a> {
    #[serde(borrow, default)]
    next: Option<&'a RawValue>,
}

/// The page, and whether it leads to itself.
fn records(
    feed: &Feed,
    tenant: &str,
    position: &Position,
    body: Body<'_>,
) -> Result<(RecordPage, bool), Fault> {
    let answer: RecordAnswer<'_> = serde_json::from_str(body.text)
        .map_err(|error| malformed(format!("not a page of records: {error}")))?;
    let data = match feed.records {
        Records::List(_) | Records::AnyList if answer.data.get().starts_with('{') => vec![answer.data],
        _ => serde_json::from_str(answer.data.get())
            .map_err(|error| malformed(format!("`data` is not a list: {error}")))?,
    };
    let found = match feed.records {
        Records::List(name) => lists(&data, name)?,
        Records::AnyList => only_lists(feed, &data)?,
        _ => data,
    };
    let next = answer.meta.and_then(|meta| meta.pagination).and_then(|paging| paging.next);
    let next = next.and_then(|next| token(next.get())).map(bounded_token).transpose()?;
    let used = match position {
        Position::Window { reading: Some(reading), .. } => reading.asked().1,
        _ => None,
    };
    let next = next.filter(|_| !found.is_empty()); // it is often there on the last page, and leads to an empty one
    let looping = next.is_some() && next.as_deref() == used;
    let mut page = Gathered::new(feed);
    for (number, raw) in found.iter().enumerate() {
        let start = (raw.get().as_ptr() as usize).wrapping_sub(body.text.as_ptr() as usize);
        let exact = body.exact.get(start..start + raw.get().len()).unwrap_or_default();
        page.add(feed, tenant, raw.get(), exact, number as u64 + 1);
    }
    let edge = match (position, feed.identity) {
        (Position::Window { reading: Some(reading), .. }, Identity::Bytes) => {
            reading.edge.after(&page.records, page.unreadable.is_empty(), next.as_ref())
        }
        _ => Edge::default(), // repeats are known by their own ids
    };
    let ended = next.is_none();
    let after = position.after_page(next, edge);
    let caught_up = match &after {
        Position::Window { reading, .. } => reading.is_none(),
        _ => ended,
    };
    Ok((page.finish(feed, Leads::Forward(after.cursor()), caught_up), looping))
}

/// The body as text of the same length, so that places in one are places in the other: each byte that is not
/// UTF-8 becomes a question mark. The records keep the bytes as they came.
pub(super) fn same_length_text(body: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(body) {
        return text.into();
    }
    let mut out = String::with_capacity(body.len());
    for part in body.utf8_chunks() {
        out.push_str(part.valid());
        out.extend(std::iter::repeat_n('?', part.invalid().len()));
    }
    out.into()
}

/// The records of all lists of that name. An object without the list is no answer to what was asked.
fn lists<'a>(data: &[&'a RawValue], name: &str) -> Result<Vec<&'a RawValue>, Fault> {
    let mut out = Vec::new();
    for holder in data {
        let fields: std::collections::HashMap<String, &'a RawValue> = serde_json::from_str(holder.get())
            .map_err(|error| malformed(format!("`data` holds something else than an object: {error}")))?;
        let list = fields.get(name).ok_or_else(|| malformed(format!("`data` holds no `{name}`")))?;
        let records: Vec<&'a RawValue> = serde_json::from_str(list.get())
            .map_err(|error| malformed(format!("`{name}` is not a list: {error}")))?;
        out.extend(records);
    }
    Ok(out)
}

/// The records of the only list in each object, whatever its name. An object that carries the feed's time is a
/// record itself.
fn only_lists<'a>(feed: &Feed, data: &[&'a RawValue]) -> Result<Vec<&'a RawValue>, Fault> {
    let mut out = Vec::new();
    for holder in data {
        let fields: std::collections::HashMap<String, &'a RawValue> = serde_json::from_str(holder.get())
            .map_err(|error| malformed(format!("`data` holds something else than an object: {error}")))?;
        if fields.contains_key(feed.time.0) {
            out.push(*holder);
            continue;
        }
        let mut lists = fields.values().filter(|value| value.get().starts_with('['));
        let (Some(list), None) = (lists.next(), lists.next()) else {
            let names: Vec<&str> = fields.keys().map(String::as_str).take(MAX_NAMES_SHOWN).collect();
            let names = names.join(", ");
            return Err(malformed(format!("an object of `data` holds no list, or more than one: {names}")));
        };
        let records: Vec<&'a RawValue> = serde_json::from_str(list.get())
            .map_err(|error| malformed(format!("the list in `data` cannot be read: {error}")))?;
        out.extend(records);
    }
    Ok(out)
}

/// A page token as JSON text. It comes as a string, or as an object that holds the string or is the token.
fn token(next: &str) -> Option<String> {
    if next.starts_with('"') && !next.contains('\\') {
        return (next != "\"\"").then(|| next.to_owned()); // nothing in it has a second spelling
    }
    match serde_json::from_str(next).ok()? {
        serde_json::Value::String(text) if text.is_empty() => None,
        value @ serde_json::Value::String(_) => Some(value.to_string()),
        serde_json::Value::Object(fields) if fields.is_empty() => None,
        serde_json::Value::Object(fields) => match fields.get("pageToken") {
            Some(inner @ serde_json::Value::String(text)) if !text.is_empty() => Some(inner.to_string()),
            _ => Some(serde_json::Value::Object(fields).to_string()),
        },
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The records of a page on their way into a chunk: their own texts, one after the other.
struct Gathered {
    raw: Vec<u8>,
    records: Vec<Record>,
    kinds: Kinds,
    unreadable: Unreadables,
}

impl Gathered {
    fn new(feed: &Feed) -> Self {
        let (raw, records) = (Vec::new(), Vec::new());
        Gathered { raw, records, kinds: Kinds::new(feed), unreadable: Unreadables::default() }
    }

    fn add(&mut self, feed: &Feed, tenant: &str, text: &str, exact: &[u8], number: u64) {
        if exact.len() > MAX_LINE_BYTES {
            let detail = format!("a record of {} bytes; the bound is {MAX_LINE_BYTES}", exact.len());
            return self.unreadable.add("line_too_long", &detail, exact, number);
        }
        let facts = match record::read(feed, text) {
            Ok(facts) => facts,
            Err(bad) => return self.unreadable.add(bad.reason, &bad.detail, exact, number),
        };
        let kind = self.kinds.index(facts.kind.as_deref());
        self.records.push(Record {
            // An answer is far smaller than what 32 bits can count.
            offset: u32::try_from(self.raw.len()).unwrap_or(u32::MAX),
            len: u32::try_from(exact.len()).unwrap_or(u32::MAX),
            id: EventId::of(tenant, feed.name, exact, 0),
            time: facts.time,
            kind,
            severity: facts.severity,
            repaired: text.as_bytes() != exact,
        });
        self.raw.extend_from_slice(exact);
        self.raw.push(b'\n');
    }

    fn finish(self, feed: &Feed, leads: Leads, caught_up: bool) -> RecordPage {
        let unreadable = self.unreadable.finish();
        let listed = (self.records.len() + unreadable.len()) as u64;
        let newest = self.records.iter().filter_map(|record| record.time).max().map(Time);
        let chunk = (!self.records.is_empty()).then(|| Chunk {
            gzip: gzip(&self.raw),
            raw: self.raw.into(),
            records: self.records,
            kinds: self.kinds.names(),
            json: true,
            source: feed.path.to_owned(),
        });
        RecordPage { chunk, unreadable, listed, newest, leads, caught_up }
    }
}
