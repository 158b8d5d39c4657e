//! `feeds`: the catalogue.

use serde_json::json;

use super::{Common, Printed, done};
use crate::mimecast::catalogue::FEEDS;
use crate::mimecast::feed::{FOREVER, Feed};

/// Lists every feed with APIs, endpoint, permission, retention and how it resumes, as text or JSON (retention in
/// seconds, null where Mimecast keeps the log without end); reads no configuration.
pub fn feeds(common: &Common) -> Printed {
    done(common.either(text, FEEDS.iter().map(row).collect()))
}

fn text() -> String {
    let mut text = String::new();
    for feed in FEEDS {
        text.push_str(&format!(
            "{}\n  contains   {}\n  api        {}   {}\n{}  permission {}\n  kept       {} by Mimecast\n  resumes by {}\n{}\n",
            feed.name,
            feed.contains,
            apis(feed).join(", "),
            feed.endpoint(),
            feed.stream_endpoint().map_or_else(String::new, |stream| format!("  or         {stream}   {OF_STREAM}\n")),
            feed.permission,
            feed.kept(),
            feed.resumes(),
            match feed.succeeded_by() {
                "" => String::new(),
                next => format!("  replaced   by {next}\n"),
            },
        ));
    }
    text
}

/// What the stream is, and how it is chosen.
const OF_STREAM: &str = "the last 24 hours, with siem_endpoint = \"stream\"";

fn apis(feed: &Feed) -> Vec<&'static str> {
    feed.apis.iter().map(|api| api.as_str()).collect()
}

fn row(feed: &Feed) -> serde_json::Value {
    json!({
        "feed": feed.name,
        "contains": feed.contains,
        "apis": apis(feed),
        "endpoint": feed.endpoint(),
        "stream_endpoint": feed.stream_endpoint(),
        "replaced_by": Some(feed.succeeded_by()).filter(|next| !next.is_empty()),
        "permission": feed.permission,
        "retention_seconds": (feed.retention != FOREVER).then_some(feed.retention.as_secs()),
        "resumes": feed.resumes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/feeds.md`, as the catalogue has it.
    fn document() -> String {
        let mut text = String::from(
            "# Feeds\n\nWhat Mimecast offers and this version reads; `mimecollectd feeds` prints the same. Names and patterns such as \
             `ttp.*` go\ninto `feeds` of a tenant. A log that is asked for by time is read again for an overlap, so that rows which\n\
             appear late are found; repeats are removed.\n\n\
             | feed | API | contains |\n|---|---|---|\n",
        );
        for feed in FEEDS {
            text.push_str(&format!("| `{}` | {} | {} |\n", feed.name, apis(feed).join(", "), feed.contains));
        }
        text.push_str(
            "\n## What each needs\n\nThe permission is that of the role (API 2.0) or of the service account (API 1.0), as Mimecast's \
             console names it.\n\n| feed | endpoint | permission | kept by Mimecast | goes on after a restart by |\n|---|---|---|---|---|\n",
        );
        for feed in FEEDS {
            let (name, endpoint, kept) = (feed.name, feed.endpoint(), feed.kept());
            let permission = feed.permission.replace('|', "›");
            text.push_str(&format!(
                "| `{name}` | `{endpoint}` | {permission} | {kept} | {} |\n",
                feed.resumes()
            ));
        }
        text.push_str(
            "\n`siem.*` and `ci.*` of API 2.0 can be read from the stream instead of from files (`siem_endpoint = \"stream\"`): within moments, \
             of the\nlast 24 hours, by `GET /siem/v1/events/cg` and `GET /siem/v1/events/ci`, with the same permission. What is older comes from files.\n\n\
             `siem.mta` goes with API 1.0, which Mimecast is retiring. Its events are those of the ten `siem.*` feeds of API 2.0;\n\
             `mimecollectd cursor migrate` begins them where it stopped.\n",
        );
        text
    }

    /// Run with `UPDATE_EXPECT=1` to write the document anew, and read the difference.
    #[test]
    fn the_document_is_the_catalogue() {
        const DOCUMENT: &str = "docs/feeds.md";
        let document = document();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(DOCUMENT, &document).unwrap();
        }
        let committed = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
        assert!(committed == document, "{DOCUMENT} is not what the catalogue says; set UPDATE_EXPECT=1");
    }

    #[test]
    fn the_verb_tells_everything_a_person_needs_to_choose() {
        let common = |json| Common { place: super::super::Place { config: std::path::PathBuf::new() }, json };
        let (text, _) = feeds(&common(false)).unwrap();
        for part in [
            "rejections\n",
            "1.0, 2.0   POST /api/gateway/get-rejections",
            "permission Monitoring | Rejections | Read",
            "kept       7 days by Mimecast",
            "kept       without end by Mimecast",
            "resumes by time window",
            "or         GET /siem/v1/events/cg   the last 24 hours, with siem_endpoint",
            "replaced   by the ten siem.* feeds of API 2.0; `cursor migrate`",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let (json, _) = feeds(&common(true)).unwrap();
        let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        let row = |name: &str| rows.iter().find(|row| row["feed"] == name).unwrap().clone();
        assert_eq!(row("dlp")["apis"], json!(["1.0", "2.0"]));
        assert_eq!(row("dlp")["retention_seconds"], json!(60 * 86_400));
        assert_eq!(row("archive.view")["retention_seconds"], json!(null));
    }
}
