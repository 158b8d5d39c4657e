//! The catalogue: one row per feed. Facts and their sources are in the API notes; a figure Mimecast does not
//! publish says so.

use std::time::Duration;

use super::feed::{
    Also, Api, Ask, FOREVER, Feed, Identity, Quota, Records, SeverityRule, SeverityTest, TimeField,
};
use crate::cursor::fits;
use crate::event::Severity::{Informational, Notice, Warning};

const DAY: Duration = Duration::from_secs(86_400);
const CLOUD_GATEWAY: &str = "/siem/v1/batch/events/cg";
const CLOUD_INTEGRATED: &str = "/siem/v1/batch/events/ci";
const CLOUD_GATEWAY_STREAM: &str = "/siem/v1/events/cg";
const CLOUD_INTEGRATED_STREAM: &str = "/siem/v1/events/ci";

/// Every feed this version reads.
pub static FEEDS: &[Feed] = &[
    Feed {
        contains: "mail accepted or refused at the gateway, with spam and authentication verdicts",
        severity: SeverityRule { otherwise: Informational, tests: REFUSED_OR_HELD },
        ..batch("siem.receipt", CLOUD_GATEWAY, "receipt")
    },
    Feed {
        contains: "what policies did with each accepted message: released, held, and why",
        severity: SeverityRule { otherwise: Informational, tests: REFUSED_OR_HELD },
        ..batch("siem.process", CLOUD_GATEWAY, "process")
    },
    Feed {
        contains: "delivery attempts to the next server, with its answers",
        ..batch("siem.delivery", CLOUD_GATEWAY, "delivery")
    },
    Feed {
        contains: "malware found in messages, with file hashes",
        severity: SeverityRule::always(Warning),
        ..batch("siem.av", CLOUD_GATEWAY, "av")
    },
    Feed { contains: "messages treated as spam", ..batch("siem.spam", CLOUD_GATEWAY, "spam") },
    Feed { contains: "messages received for journaling", ..batch("siem.journal", CLOUD_GATEWAY, "journal") },
    Feed {
        contains: "harmful links and files found in internal and outbound mail",
        severity: SeverityRule::always(Notice),
        ..batch("siem.internal-email-protect", CLOUD_GATEWAY, "internal email protect")
    },
    Feed {
        contains: "messages that look like somebody else's, with the indicators that were hit",
        severity: SeverityRule::always(Warning),
        ..batch("siem.impersonation-protect", CLOUD_GATEWAY, "impersonation protect")
    },
    Feed {
        contains: "links users clicked, with verdict and category",
        severity: SeverityRule { otherwise: Informational, tests: LINK_BLOCKED },
        ..batch("siem.url-protect", CLOUD_GATEWAY, "url protect")
    },
    Feed {
        contains: "attachments found unsafe, with file hashes",
        severity: SeverityRule::always(Warning),
        ..batch("siem.attachment-protect", CLOUD_GATEWAY, "attachment protect")
    },
    Feed {
        contains: "Cloud Integrated: threats found in mailboxes and what was done about them",
        severity: SeverityRule { otherwise: Informational, tests: THREAT_CONFIRMED },
        ..batch("ci.entities", CLOUD_INTEGRATED, "entities")
    },
    Feed {
        contains: "Cloud Integrated: every message seen, with authentication results",
        ..batch("ci.mailflow", CLOUD_INTEGRATED, "mailflow")
    },
    Feed {
        contains: "Cloud Integrated: clicks on links in messages",
        severity: SeverityRule { otherwise: Informational, tests: LINK_BLOCKED },
        ..batch("ci.urlclick", CLOUD_INTEGRATED, "urlclick")
    },
    Feed {
        retention: days(60), // documented; rows 44 days old were seen, none of 89
        identity: Identity::HasOwnId,
        permission: "Account | Logs | Read",
        contains: "what administrators and users did in the console, including log-ons",
        ..window("audit", "/api/audit/get-audit-events", ("startDateTime", "endDateTime"), "eventTime")
    },
    Feed {
        permission: "Monitoring | URL Protection | Read",
        severity: SeverityRule { otherwise: Informational, tests: SCAN_MALICIOUS },
        contains: "links users clicked, with verdict, overrides and user awareness answers",
        ..oldest_first("ttp.url", "/api/ttp/url/get-logs", "clickLogs", "date")
    },
    Feed {
        permission: "Monitoring | Attachment Protection | Read",
        severity: SeverityRule { otherwise: Informational, tests: FILE_UNSAFE },
        contains: "attachments that were opened in the sandbox, with verdict and file hash",
        ..oldest_first("ttp.attachment", "/api/ttp/attachment/get-logs", "attachmentLogs", "date")
    },
    Feed {
        permission: "Monitoring | Impersonation Protection | Read",
        severity: SeverityRule::always(Warning),
        identity: Identity::HasOwnId,
        contains: "messages that look like somebody else's, with each indicator that was hit and what was done",
        ..oldest_first(
            "ttp.impersonation",
            "/api/ttp/impersonation/get-logs",
            "impersonationLogs",
            "eventTime",
        )
    },
    Feed {
        retention: days(60), // Mimecast's own connector asks for as much
        permission: "Monitoring | Data Leak Prevention | Read",
        severity: SeverityRule { otherwise: Informational, tests: LEAK_STOPPED },
        contains: "messages that met a content policy, and whether they were held, bounced or let through",
        ..oldest_first("dlp", "/api/dlp/get-logs", "dlpLogs", "eventTime")
    },
    Feed {
        retention: days(92),
        records: Records::List("heldReleaseLogs"),
        identity: Identity::HasOwnId,
        permission: "Monitoring | Held | Read",
        contains: "held messages that somebody released or rejected, and who did it",
        ..window("held-release", "/api/gateway/get-held-release-logs", ("start", "end"), "released")
    },
    Feed {
        ask: Ask::Window { from_field: "start", to_field: "end", also: &[Also::Admin] },
        retention: days(7),
        records: Records::AnyList,
        identity: Identity::HasOwnId,
        permission: "Monitoring | Rejections | Read",
        severity: SeverityRule::always(Notice),
        contains: "messages refused at the gateway, with the reason and the remote server",
        ..window("rejections", "/api/gateway/get-rejections", ("start", "end"), "created")
    },
    Feed {
        // API 2.0 documents only `query` here, API 1.0 the dates too; both get them
        retention: FOREVER,
        records: Records::List("logs"),
        permission: "Archive | Search Logs | Read",
        contains: "searches in the archive: who looked for what, and the reason given",
        ..window("archive.search", "/api/archive/get-archive-search-logs", ("start", "end"), "createTime")
    },
    Feed {
        retention: FOREVER,
        permission: "Archive | View Logs | Read",
        contains: "archived messages that somebody opened, and whether the content was shown",
        ..window("archive.view", "/api/archive/get-view-logs", ("start", "end"), "viewed")
    },
    MTA,
    Feed {
        contains: "malware found in mail to this account, as STIX indicators",
        ..intel("threat-feed.customer", "malware_customer")
    },
    Feed {
        contains: "malware found in the whole region, as STIX indicators",
        ..intel("threat-feed.grid", "malware_grid")
    },
];

/// Events of all kinds of API 1.0, in files of one kind each; [`super::mta`] has a row for each kind.
pub(super) const MTA: Feed = Feed {
    name: "siem.mta",
    apis: &[Api::V1],
    path: "/api/audit/get-siem-logs",
    ask: Ask::Archive,
    records: Records::Files,
    time: TimeField("datetime"),
    kind: "unknown",
    retention: Duration::from_secs(7 * DAY.as_secs()),
    settle: Duration::ZERO,
    overlap: Duration::ZERO,
    permission: "Gateway | Tracking | Read, and Enhanced Logging in the account's settings",
    quota: Quota::PerFunction,
    severity: SeverityRule::always(Informational),
    identity: Identity::Bytes,
    contains: "mail accepted, processed, delivered, refused, and the threats found in it: all logs of API 1.0",
};

const REFUSED_OR_HELD: &[SeverityTest] =
    &[SeverityTest { field: "action", values: &["Rej", "Hld"], severity: Notice }];
const LINK_BLOCKED: &[SeverityTest] = &[
    SeverityTest { field: "action", values: &["Block"], severity: Warning },
    SeverityTest { field: "blockReason", values: &["malicious"], severity: Warning },
];
const THREAT_CONFIRMED: &[SeverityTest] =
    &[SeverityTest { field: "threatState", values: &["CONFIRMED"], severity: Warning }];
const SCAN_MALICIOUS: &[SeverityTest] =
    &[SeverityTest { field: "scanResult", values: &["malicious"], severity: Warning }];
const FILE_UNSAFE: &[SeverityTest] =
    &[SeverityTest { field: "result", values: &["malicious", "unsafe"], severity: Warning }];
/// "bouce" is how the documentation spells it.
const LEAK_STOPPED: &[SeverityTest] = &[SeverityTest {
    field: "action",
    values: &["hold", "bounce", "bouce", "delete", "block"],
    severity: Notice,
}];

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * DAY.as_secs())
}

const fn batch(name: &'static str, path: &'static str, kind: &'static str) -> Feed {
    Feed {
        name,
        apis: &[Api::V2],
        path,
        ask: Ask::Batch { kind, stream: stream_of(path) },
        records: Records::Lines,
        time: TimeField("timestamp"),
        kind,
        retention: days(7),
        settle: Duration::ZERO,
        overlap: Duration::ZERO,
        permission: "Security Events and Data Retrieval | Threat and Security Events (SIEM) | Read",
        quota: Quota::Batch,
        severity: SeverityRule::always(Informational),
        identity: Identity::Bytes,
        contains: "",
    }
}

/// The stream that belongs to a listing of files.
const fn stream_of(path: &str) -> &'static str {
    if path.len() == CLOUD_GATEWAY.len() && matches!(path.as_bytes(), [.., b'g']) {
        CLOUD_GATEWAY_STREAM
    } else {
        CLOUD_INTEGRATED_STREAM
    }
}

const fn intel(name: &'static str, kind: &'static str) -> Feed {
    Feed {
        name,
        apis: &[Api::V1, Api::V2],
        path: "/api/ttp/threat-intel/get-feed",
        ask: Ask::Intel { kind },
        records: Records::Objects,
        time: TimeField("modified"),
        kind: "stix",
        retention: Duration::from_secs(7 * DAY.as_secs()),
        settle: Duration::ZERO,
        overlap: Duration::ZERO,
        permission: "Services | Gateway | Tracking | Read, and the threat feed switched on for the account",
        quota: Quota::PerFunction,
        severity: SeverityRule::always(Informational),
        identity: Identity::HasOwnId,
        contains: "",
    }
}

const fn window(
    name: &'static str,
    path: &'static str,
    (from_field, to_field): (&'static str, &'static str),
    time: &'static str,
) -> Feed {
    Feed {
        name,
        // the same functions under the same paths in both generations
        apis: &[Api::V1, Api::V2],
        path,
        ask: Ask::Window { from_field, to_field, also: &[] },
        records: Records::Data,
        time: TimeField(time),
        kind: name,
        retention: days(30), // the console's figure; the API documents none
        settle: Duration::from_secs(60),
        overlap: Duration::from_secs(15 * 60), // Mimecast's own connector asks for no less than 15 minutes
        permission: "",
        quota: Quota::PerFunction,
        severity: SeverityRule::always(Informational),
        identity: Identity::Bytes,
        contains: "",
    }
}

/// A window function that can list its rows oldest first, in one named list.
const fn oldest_first(
    name: &'static str,
    path: &'static str,
    list: &'static str,
    time: &'static str,
) -> Feed {
    Feed {
        ask: Ask::Window { from_field: "from", to_field: "to", also: &[Also::OldestFirst] },
        records: Records::List(list),
        ..window(name, path, ("from", "to"), time)
    }
}

/// The feed of that name.
pub fn find(name: &str) -> Option<&'static Feed> {
    FEEDS.iter().find(|feed| feed.name == name)
}

/// The feeds of `api` whose name fits `glob`, in catalogue order. Empty when none does.
pub fn matching(glob: &str, api: &Api) -> Vec<&'static Feed> {
    FEEDS.iter().filter(|feed| feed.offered_by(*api) && fits(glob, feed.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_complete_and_unique() {
        for (n, feed) in FEEDS.iter().enumerate() {
            assert!(FEEDS.iter().skip(n + 1).all(|other| other.name != feed.name), "{} twice", feed.name);
            for text in [feed.permission, feed.contains, feed.kind, feed.time.0] {
                assert!(!text.is_empty(), "{} lacks a text", feed.name);
            }
            assert!(feed.severity.tests.len() <= SeverityRule::MAX_TESTS, "{}", feed.name);
            assert!(feed.endpoint().contains(" /"), "{}", feed.endpoint());
            assert_eq!(
                matches!(feed.ask, Ask::Batch { .. }),
                feed.records == Records::Lines,
                "{}",
                feed.name
            );
        }
        assert_eq!(FEEDS.len(), 25);
    }

    #[test]
    fn globs() {
        let names = |glob: &str| matching(glob, &Api::V2).iter().map(|feed| feed.name).collect::<Vec<_>>();
        assert_eq!(names("siem.*").len(), 10);
        assert_eq!(names("*").len(), FEEDS.len() - 1);
        assert_eq!(names("ttp.*"), ["ttp.url", "ttp.attachment", "ttp.impersonation"]);
        assert_eq!(names("ci.*"), ["ci.entities", "ci.mailflow", "ci.urlclick"]);
        assert_eq!(names("*.url"), ["ttp.url"]);
        assert_eq!(names("*.*-email-*"), ["siem.internal-email-protect"]);
        assert_eq!(names("audit"), ["audit"]);
        assert!(names("siem").is_empty());
        let of_1 = matching("*", &Api::V1);
        assert!(of_1.iter().all(|feed| feed.path.starts_with("/api/")));
        assert_eq!(of_1.len(), 12, "nine windows, the mail log, two threat feeds");
        assert!(!fits("a*a", "a"));
        assert!(fits("a*a", "aa"));
        assert_eq!(find("siem.av").map(|feed| feed.kind), Some("av"));
        assert!(find("siem.*").is_none());
    }
}
