//! The types of record, one row each: by which feed they come, what the destinations call them.

use crate::event::Event;

/// A type of record. Two feeds of different API generations that log the same thing share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Receipt,
    Process,
    Delivery,
    Av,
    Spam,
    Journal,
    InternalEmail,
    Impersonation,
    UrlProtect,
    AttachmentProtect,
    Entities,
    Mailflow,
    UrlClick,
    Audit,
    TtpUrl,
    TtpAttachment,
    TtpImpersonation,
    Dlp,
    HeldRelease,
    Rejection,
    ArchiveSearch,
    ArchiveView,
    ThreatFeed,
    ThreatFeedGrid,
    Collector,
    /// Something this version does not know; carried with what can be read from it.
    Other,
}

/// What is true of every record of a type.
#[derive(Debug)]
pub struct Row {
    pub kind: Type,
    /// The feed it comes by.
    pub feed: &'static str,
    /// The name of its files in API 1.0 (`siem.mta`), where it has any.
    pub mta: &'static [&'static str],
    /// Signature id of CEF and event id of LEEF; where Mimecast's own products for other SIEMs have a name for
    /// the type (`mcType`), it is that.
    pub signature: &'static str,
    /// In words.
    pub name: &'static str,
    /// `event.dataset` of ECS without `mimecast.`.
    pub dataset: &'static str,
    /// `mimecast.log_type` of ECS.
    pub log_type: &'static str,
}

const fn row(kind: Type, feed: &'static str, names: [&'static str; 4]) -> Row {
    let [signature, name, dataset, log_type] = names;
    Row { kind, feed, mta: &[], signature, name, dataset, log_type }
}

const fn siem(kind: Type, feed: &'static str, mta: &'static [&'static str], names: [&'static str; 3]) -> Row {
    let [signature, name, log_type] = names;
    Row { mta, ..row(kind, feed, [signature, name, "siem_logs", log_type]) }
}

/// One row per type; [`Type::Other`] is the last and catches what is left.
pub static ROWS: &[Row] = &[
    siem(Type::Receipt, "siem.receipt", &["receipt"], ["email_receipt", "Email received", "receipt"]),
    siem(Type::Process, "siem.process", &["process"], ["email_process", "Email processed", "process"]),
    siem(Type::Delivery, "siem.delivery", &["delivery"], ["email_delivery", "Email delivery", "delivery"]),
    siem(Type::Av, "siem.av", &["av", "av_tse"], ["email_antivirus", "Malware found in email", "avlog"]),
    siem(Type::Spam, "siem.spam", &["spameventthread"], ["email_spam", "Spam", "spam"]),
    siem(Type::Journal, "siem.journal", &["jrnl"], ["email_journal", "Email journaled", "jrnl"]),
    siem(
        Type::InternalEmail,
        "siem.internal-email-protect",
        &["iep"],
        ["email_iep", "Threat in internal email", "internal-email-protect"],
    ),
    siem(
        Type::Impersonation,
        "siem.impersonation-protect",
        &["impersonation"],
        ["email_ttp_impersonation", "Impersonation found", "impersonation-protect"],
    ),
    siem(
        Type::UrlProtect,
        "siem.url-protect",
        &["ttp_url"],
        ["email_ttp_url", "Link clicked", "url-protect"],
    ),
    siem(
        Type::AttachmentProtect,
        "siem.attachment-protect",
        &["ttp_ap"],
        ["email_ttp_ap", "Unsafe attachment found", "attachment-protect"],
    ),
    row(
        Type::Entities,
        "ci.entities",
        ["ci_entities", "Threat in mailbox", "cloud_integrated_logs", "entities"],
    ),
    row(Type::Mailflow, "ci.mailflow", ["ci_mailflow", "Email seen", "cloud_integrated_logs", "mailflow"]),
    row(Type::UrlClick, "ci.urlclick", ["ci_urlclick", "Link clicked", "cloud_integrated_logs", "urlclick"]),
    row(Type::Audit, "audit", ["audit", "Audit event", "audit_events", "audit"]),
    row(Type::TtpUrl, "ttp.url", ["ttp_url", "Link clicked", "ttp_url_logs", "ttp_url"]),
    row(Type::TtpAttachment, "ttp.attachment", ["ttp_ap", "Attachment scanned", "ttp_ap_logs", "ttp_ap"]),
    row(
        Type::TtpImpersonation,
        "ttp.impersonation",
        ["ttp_ip", "Impersonation found", "ttp_ip_logs", "ttp_ip"],
    ),
    row(Type::Dlp, "dlp", ["dlp", "Data leak prevention", "dlp_logs", "dlp"]),
    row(
        Type::HeldRelease,
        "held-release",
        ["held_release", "Held email released", "message_release_logs", "held_release"],
    ),
    row(Type::Rejection, "rejections", ["rejection", "Email rejected", "rejection_logs", "rejection"]),
    row(
        Type::ArchiveSearch,
        "archive.search",
        ["archive_search", "Archive searched", "archive_search_logs", "archive_search"],
    ),
    row(
        Type::ArchiveView,
        "archive.view",
        ["archive_view", "Archived email viewed", "archive_view_logs", "archive_view"],
    ),
    row(
        Type::ThreatFeed,
        "threat-feed.customer",
        ["threat_feed_customer", "Threat indicator", "threat_intel_malware_customer", "threat_feed"],
    ),
    row(
        Type::ThreatFeedGrid,
        "threat-feed.grid",
        ["threat_feed_grid", "Threat indicator", "threat_intel_malware_grid", "threat_feed"],
    ),
    row(Type::Collector, "collector", ["collector", "Collector event", "collector", "collector"]),
    OTHER,
];

const OTHER: Row = row(Type::Other, "", ["event", "Event", "siem_logs", "unknown"]);

impl Type {
    /// Its row.
    pub fn row(self) -> &'static Row {
        ROWS.get(self as usize).unwrap_or(&OTHER)
    }

    /// Some names mean something else in it.
    pub fn has_exceptions(self) -> bool {
        !matches!(
            self,
            Type::Receipt
                | Type::Process
                | Type::Av
                | Type::Spam
                | Type::Journal
                | Type::InternalEmail
                | Type::Impersonation
                | Type::UrlProtect
                | Type::AttachmentProtect
        )
    }

    /// Feeds outside the catalogue's SIEM logs: `/api` functions, the archive, threat feeds.
    pub fn of(event: &Event<'_>) -> Type {
        let rows = ROWS.iter();
        let found = if event.feed == "siem.mta" {
            // a file name may carry more than the type (`av_tse`, `iep_`)
            rows.filter(|row| row.mta.contains(&event.kind)).map(|row| row.kind).next()
        } else {
            rows.filter(|row| row.feed == event.feed).map(|row| row.kind).next()
        };
        found.unwrap_or(Type::Other)
    }
}

/// Remembers the type of the last event: those of a chunk share it.
#[derive(Default)]
pub struct Known {
    feed: String,
    kind: String,
    row: Option<Type>,
}

impl Known {
    /// The type of this event.
    pub fn of(&mut self, event: &Event<'_>) -> Type {
        if let Some(known) = self.row
            && self.feed == event.feed
            && self.kind == event.kind
        {
            return known;
        }
        self.feed.clear();
        self.feed.push_str(event.feed);
        self.kind.clear();
        self.kind.push_str(event.kind);
        *self.row.insert(Type::of(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::fields::EXCEPTIONS;

    #[test]
    fn rows_stand_where_their_type_points() {
        for (n, row) in ROWS.iter().enumerate() {
            assert_eq!(row.kind as usize, n);
            assert_eq!(row.kind.row().kind, row.kind);
            assert!(
                row.kind.has_exceptions() || EXCEPTIONS.iter().all(|(kind, ..)| *kind != row.kind),
                "{row:?}"
            );
        }
    }
}
