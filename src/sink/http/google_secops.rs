//! `google-secops`: Google Security Operations, where it is plain HTTP: a feed of the source type "Webhook".
//!
//! Sources: Google Security Operations, "Collect … logs" with webhook feeds and "Feed management" (the feed's endpoint URL with
//! `X-goog-api-key` and `X-Webhook-Access-Key`; a split delimiter of `\n` makes every line an event; 4 MB for one request).
//!
//! The Ingestion API and the Chronicle API ask for OAuth tokens signed with a service account's key; they are not offered here.
//! 200 says that it was received: level 4.

use super::preset::{Caps, Preset};
use crate::limits;

/// One webhook feed. The URL and both keys belong to it.
#[derive(Debug)]
pub struct GoogleSecops;

impl Preset for GoogleSecops {
    fn content_type(&self) -> &'static str {
        "application/x-ndjson"
    }
    fn caps(&self) -> Caps {
        let bytes = limits::SECOPS_REQUEST_BYTES;
        Caps { bytes, event_bytes: bytes, ..Caps::default() }
    }
}
