//! `ndjson` and `json`: events for anybody who takes them by POST, one on each line or as a JSON array. A 2xx whose
//! body does not report a failure acknowledges all of them.

use bytes::Bytes;
use url::Url;

use super::preset::{Preset, array};
use crate::event::Event;
use crate::format::template::{Place, Template};
use crate::sink::batch::{Batch, Group};
use crate::sink::pack::Record;

/// One event on each line.
#[derive(Debug, Default)]
pub struct Lines {
    way: Way,
}

impl Lines {
    /// `path` is the whole URL as a template; `None`: the same for every event.
    pub fn new(path: Option<Template>) -> Self {
        Lines { way: Way(path) }
    }
}

impl Preset for Lines {
    fn route(&self, event: &Event<'_>, out: &mut String) -> bool {
        self.way.of(event, out)
    }
    fn content_type(&self) -> &'static str {
        "application/x-ndjson"
    }
    fn url(&self, base: &Url, route: &str) -> Url {
        self.way.url(base, route)
    }
}

/// One JSON array.
#[derive(Debug, Default)]
pub struct Array {
    way: Way,
}

impl Array {
    /// As [`Lines::new`].
    pub fn new(path: Option<Template>) -> Self {
        Array { way: Way(path) }
    }
}

impl Preset for Array {
    fn route(&self, event: &Event<'_>, out: &mut String) -> bool {
        self.way.of(event, out)
    }
    fn write(&self, event: &Event<'_>, record: &mut Record, out: &mut Vec<u8>) {
        out.push(b',');
        record.json(event, out);
    }
    fn content_type(&self) -> &'static str {
        "application/json"
    }
    fn body(&self, batch: &Batch, group: &Group<'_>) -> Bytes {
        array(batch, &group.events)
    }
    fn url(&self, base: &Url, route: &str) -> Url {
        self.way.url(base, route)
    }
}

/// A URL that depends on the event, where it does.
#[derive(Debug, Default)]
struct Way(Option<Template>);

impl Way {
    fn of(&self, event: &Event<'_>, out: &mut String) -> bool {
        let Some(template) = &self.0 else { return false };
        template.write(event, Place::Url, out);
        true
    }
    fn url(&self, base: &Url, route: &str) -> Url {
        if route.is_empty() { base.clone() } else { route.parse().unwrap_or_else(|_| base.clone()) }
    }
}
