//! `sumologic`: an HTTP Logs and Metrics Source of Sumo Logic.
//!
//! Sources: Sumo Logic, "Upload logs to an HTTP source" (`POST /receiver/v1/http/{code}`, one message on each line, gzip, payloads of
//! 100 KB to 1 MB, headers `X-Sumo-Name`, `X-Sumo-Host`, `X-Sumo-Category`), "Troubleshooting HTTP sources" (200; 401 for a wrong code;
//! 408, 429, 503, 504). The code in the URL is the whole key, and is kept apart from it.
//!
//! 200 says that it was received: level 4.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::preset::{Caps, Preset};
use crate::event::Event;
use crate::format::template::{Place, Template};
use crate::limits;

const CATEGORY: HeaderName = HeaderName::from_static("x-sumo-category");
const NAME: HeaderName = HeaderName::from_static("x-sumo-name");
const HOST: HeaderName = HeaderName::from_static("x-sumo-host");

/// One source.
#[derive(Debug)]
pub struct SumoLogic {
    pub category: Template,
    pub name: Template,
    pub host: String,
}

impl Preset for SumoLogic {
    /// Category and name, a line each.
    fn route(&self, event: &Event<'_>, out: &mut String) -> bool {
        self.category.write(event, Place::Header, out);
        out.push('\n');
        self.name.write(event, Place::Header, out);
        true
    }
    fn content_type(&self) -> &'static str {
        "text/plain; charset=utf-8"
    }
    fn headers(&self, route: &str, headers: &mut HeaderMap) {
        let (category, name) = route.split_once('\n').unwrap_or((route, ""));
        for (header, text) in [(CATEGORY, category), (NAME, name), (HOST, &self.host)] {
            if let Ok(value) = HeaderValue::from_str(text)
                && !text.is_empty()
            {
                headers.insert(header, value);
            }
        }
    }
    fn caps(&self) -> Caps {
        Caps { bytes: limits::SUMO_REQUEST_BYTES, event_bytes: limits::SUMO_REQUEST_BYTES, ..Caps::default() }
    }
}
