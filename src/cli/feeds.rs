//! `feeds`: the catalogue.

use serde_json::json;

use super::{Common, Printed, done};
use crate::mimecast::catalogue::FEEDS;
use crate::mimecast::feed::Feed;

/// Lists every feed with API, permission and retention (days), as text or JSON; reads no configuration.
pub fn feeds(common: &Common) -> Printed {
    if common.json {
        let rows: Vec<_> = FEEDS.iter().map(row).collect();
        return done(format!("{:#}\n", serde_json::Value::from(rows)));
    }
    let mut text = String::new();
    for feed in FEEDS {
        text.push_str(&format!(
            "{}\n  contains   {}\n  api        {}   {}\n  permission {}\n  kept       {} days by Mimecast\n  resumes by {}\n\n",
            feed.name,
            feed.contains,
            apis(feed).join(", "),
            feed.endpoint(),
            feed.permission,
            feed.retention.as_secs() / 86_400,
            feed.resumes(),
        ));
    }
    done(text)
}

fn apis(feed: &Feed) -> Vec<&'static str> {
    feed.apis.iter().map(|api| api.as_str()).collect()
}

fn row(feed: &Feed) -> serde_json::Value {
    json!({
        "feed": feed.name,
        "contains": feed.contains,
        "apis": apis(feed),
        "endpoint": feed.endpoint(),
        "permission": feed.permission,
        "retention_seconds": feed.retention.as_secs(),
        "resumes": feed.resumes(),
    })
}
