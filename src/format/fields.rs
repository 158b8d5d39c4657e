//! What Mimecast's field names mean, as data: name → [`Field`], one word per thing whatever the API generation
//! calls it. Sources: the documented SIEM, `/api` and STIX schemas of API 1.0 and 2.0. A name that is not here
//! is carried under its own name where the format has room for it.

use super::kind::Type;

macro_rules! fields {
    ($($(#[doc = $meaning:literal])+ $name:ident,)+) => {
        /// One thing that a record can say.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field { $($(#[doc = $meaning])+ $name,)+ }

        impl Field {
            /// Every field, in order.
            pub const ALL: &[Field] = &[$(Field::$name,)+];

            /// Its bit in a set of fields.
            pub const fn bit(self) -> u64 {
                1 << self as u32
            }

            /// What it means, for the documentation.
            #[cfg(test)]
            pub const fn meaning(self) -> &'static str {
                match self { $(Field::$name => concat!($($meaning),+).trim_ascii(),)+ }
            }
        }
    };
}

fields! {
    /// Mimecast's code of the account
    Account,
    /// ties the events of one message together
    Correlation,
    /// one pass of a service over a message
    Processing,
    /// the record's own type; known from the feed as well
    RecordType,
    /// the record's own id
    RecordId,
    /// when it happened; the envelope's time is used instead
    Time,
    /// place in Mimecast's own queue; of no use outside
    Queue,
    /// sender of the SMTP envelope
    SenderEnvelope,
    /// sender in the message's `From:`
    SenderHeader,
    /// domain of the sender
    SenderDomain,
    /// recipients
    Recipients,
    /// subject
    Subject,
    /// `Message-ID:` of the message
    MessageId,
    /// address the message or request came from
    SourceIp,
    /// address the message was delivered to
    DestinationIp,
    /// host the message was delivered to
    DestinationHost,
    /// what was done
    Action,
    /// what the user answered to a warning
    UserAction,
    /// whether the delivery succeeded
    Delivered,
    /// inbound, outbound or internal
    Direction,
    /// route: a direction, or the name of a routing rule
    Route,
    /// why it was done
    Reason,
    /// kind of rejection
    RejectionType,
    /// SMTP or Mimecast code of a rejection
    RejectionCode,
    /// error of a receipt or delivery
    Error,
    /// what a scan found
    Verdict,
    /// malware found
    Virus,
    /// policy or definition that applied
    Policy,
    /// spam score
    SpamScore,
    /// verdicts of SPF, DKIM, DMARC and others; comes in four shapes
    SpamDetail,
    /// indicators hit
    Hits,
    /// names of the indicators hit
    Indicators,
    /// link
    Url,
    /// category of the link
    UrlCategory,
    /// name of a file
    FileName,
    /// names of all attachments
    Attachments,
    /// extension of a file
    FileExtension,
    /// MIME type of a file
    FileMime,
    /// size of a file, bytes
    FileSize,
    /// size of all attachments together, bytes
    AttachmentsSize,
    /// number of attachments
    AttachmentCount,
    /// SHA-256 of a file
    Sha256,
    /// SHA-1 of a file
    Sha1,
    /// MD5 of a file
    Md5,
    /// size of the message, bytes
    EmailSize,
    /// TLS version
    TlsVersion,
    /// TLS cipher
    TlsCipher,
    /// whether TLS was used
    TlsUsed,
    /// who did it
    User,
    /// type of an audit event
    AuditType,
    /// category of an audit event or of a log
    Category,
    /// free text about what happened
    Details,
    /// text somebody searched for
    SearchText,
    /// reason given for a search
    SearchReason,
    /// pattern of an indicator (STIX)
    Pattern,
}

/// Names and what they mean, in every feed that has no exception below.
pub const NAMES: &[(Field, &[&str])] = &[
    (Field::Account, &["accountId", "acc"]),
    (Field::Correlation, &["aggregateId", "aCode"]),
    (Field::Processing, &["processingId"]),
    (Field::RecordType, &["type", "eventType"]),
    (Field::RecordId, &["id"]),
    (
        Field::Time,
        &["timestamp", "datetime", "eventTime", "date", "created", "createTime", "viewed", "released"],
    ),
    (Field::Queue, &["_offset", "_partition"]),
    (
        Field::SenderEnvelope,
        &[
            "senderEnvelope",
            "Sender",
            "sender",
            "senderAddress",
            "fromUserEmailAddress",
            "fromEnv",
            "fromAddress",
        ],
    ),
    (Field::SenderHeader, &["senderHeader", "headerFrom", "fromHdr", "from"]),
    (Field::SenderDomain, &["senderDomain", "SenderDomain"]),
    (
        Field::Recipients,
        &[
            "recipients",
            "recipient",
            "Rcpt",
            "Recipient",
            "recipientAddress",
            "userEmailAddress",
            "to",
            "toAddress",
        ],
    ),
    (Field::Subject, &["subject", "Subject"]),
    (Field::MessageId, &["messageId", "MsgId", "msgid"]),
    (
        Field::SourceIp,
        &["senderIp", "sourceIp", "IP", "SourceIP", "sendingIp", "senderIpAddress", "ipAddress"],
    ),
    (Field::DestinationIp, &["destinationIp"]),
    (Field::DestinationHost, &["Hostname"]),
    (Field::Action, &["action", "Act", "Action", "actionTriggered", "status"]),
    (Field::UserAction, &["userAwarenessAction"]),
    (Field::Delivered, &["delivered", "Delivered"]),
    (Field::Direction, &["direction", "Dir"]),
    (Field::Route, &["route", "Route"]),
    (
        Field::Reason,
        &["rejectionInfo", "RejInfo", "holdReason", "Hld", "blockReason", "reason", "heldReason"],
    ),
    (Field::RejectionType, &["rejectionType", "RejType"]),
    (Field::RejectionCode, &["rejectionCode", "RejCode"]),
    (Field::Error, &["receiptErrors", "deliveryErrors", "Error", "Err"]),
    (Field::Verdict, &["scanResult", "scanResults", "ScanResultInfo", "result", "threatType"]),
    (Field::Virus, &["virusFound", "Virus"]),
    (
        Field::Policy,
        &["policyDefinition", "Definition", "definition", "ttpDefinition", "policy", "policiesApplied"],
    ),
    (Field::SpamScore, &["spamScore", "SpamScore"]),
    (Field::SpamDetail, &["spamProcessingDetail", "SpamProcessingDetail"]),
    (Field::Hits, &["itemsDetected", "Hits", "hits"]),
    (Field::Indicators, &["identifiers"]),
    (Field::Url, &["url", "URL"]),
    (Field::UrlCategory, &["urlCategory", "UrlCategory"]),
    (Field::FileName, &["fileName"]),
    (Field::Attachments, &["attachments", "AttNames"]),
    (Field::FileExtension, &["fileExtension", "fileExt"]),
    (Field::FileMime, &["fileMime", "fileType"]),
    (Field::FileSize, &["sizeAttachment", "Size"]),
    (Field::AttachmentsSize, &["totalSizeAttachments", "AttSize"]),
    (Field::AttachmentCount, &["numberAttachments", "AttCnt"]),
    (Field::Sha256, &["sha256", "fileHash"]),
    (Field::Sha1, &["sha1"]),
    (Field::Md5, &["md5"]),
    (Field::EmailSize, &["emailSize", "MsgSize", "Snt", "size"]),
    (Field::TlsVersion, &["tlsVersion", "TlsVer"]),
    (Field::TlsCipher, &["tlsCipher", "Cphr"]),
    (Field::TlsUsed, &["tlsUsed", "UseTls"]),
    (Field::User, &["user", "operator", "viewer", "emailAddr"]),
    (Field::AuditType, &["auditType"]),
    (Field::Category, &["category"]),
    (Field::Details, &["eventInfo", "details"]),
    (Field::SearchText, &["searchText"]),
    (Field::SearchReason, &["searchReason"]),
    (Field::Pattern, &["pattern"]),
];

/// Where a name means something else in one type of record. `None`: nothing that has a name here.
pub const EXCEPTIONS: &[(Type, &str, Option<Field>)] = &[
    (Type::Delivery, "IP", Some(Field::DestinationIp)),
    (Type::TtpUrl, "category", Some(Field::UrlCategory)),
    (Type::Rejection, "type", Some(Field::RejectionCode)),
    (Type::Rejection, "description", Some(Field::RejectionType)),
    (Type::Rejection, "info", Some(Field::Reason)),
    (Type::ArchiveSearch, "description", Some(Field::Details)),
    (Type::ArchiveSearch, "source", Some(Field::Category)),
    (Type::ArchiveView, "source", Some(Field::Category)),
    (Type::Entities, "attachments", Some(Field::Attachments)),
    (Type::HeldRelease, "attachments", None), // yes or no, not names
    (Type::ThreatFeed, "name", Some(Field::FileName)),
    (Type::ThreatFeedGrid, "name", Some(Field::FileName)),
    (Type::Collector, "type", None),
    (Type::Collector, "from", None), // a span of time, nobody's address
    (Type::Collector, "to", None),
    (Type::Collector, "title", Some(Field::AuditType)),
    (Type::Collector, "alert", Some(Field::Policy)), // the rule that raised it
    (Type::Collector, "incident", Some(Field::Correlation)),
    (Type::Collector, "state", Some(Field::Action)),
    (Type::Collector, "words", Some(Field::Details)),
    (Type::Collector, "detail", Some(Field::Details)),
    (Type::Collector, "cause", Some(Field::Reason)),
];

/// Finds a name's meaning with one hash and, nearly always, one comparison.
pub struct Index {
    /// Places in `entries`, plus one; 0 is free. A power of two, mostly empty.
    table: Vec<u16>,
    entries: Vec<(&'static [u8], Field)>,
}

const SLOTS: usize = 1024;

impl Default for Index {
    fn default() -> Self {
        let named =
            NAMES.iter().flat_map(|(field, names)| names.iter().map(|name| (name.as_bytes(), *field)));
        let entries: Vec<_> = named.collect();
        let mut table = vec![0; SLOTS];
        for (place, (name, _)) in (1..).zip(&entries) {
            let mut at = slot(name);
            while table.get(at).is_some_and(|taken| *taken != 0) {
                at = (at + 1) % SLOTS;
            }
            if let Some(free) = table.get_mut(at) {
                *free = place;
            }
        }
        Index { table, entries }
    }
}

impl Index {
    /// What `name` means in a record of `kind`.
    pub fn find(&self, kind: Type, name: &[u8]) -> Option<Field> {
        if kind.has_exceptions()
            && let Some((_, _, field)) =
                EXCEPTIONS.iter().find(|(of, known, _)| *of == kind && known.as_bytes() == name)
        {
            return *field;
        }
        let mut at = slot(name);
        loop {
            let place = usize::from(*self.table.get(at)?).checked_sub(1)?;
            let (known, field) = self.entries.get(place)?;
            if *known == name {
                return Some(*field);
            }
            at = (at + 1) % SLOTS;
        }
    }
}

/// Names differ in length, ends or middle; the factor was tried out to spread those above.
fn slot(name: &[u8]) -> usize {
    const FACTOR: u64 = 0x106e_e2ab_101e_75eb;
    let byte = |at: usize| u64::from(name.get(at).copied().unwrap_or(0));
    let len = name.len();
    let mixed = byte(0)
        | byte(len.wrapping_sub(1)) << 8
        | byte(len / 2) << 16
        | byte(1) << 24
        | (len as u64 & 0xff) << 32
        | byte(len / 3) << 40;
    (mixed.wrapping_mul(FACTOR) >> 54) as usize // the upper ten bits: below SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_none_is_ambiguous() {
        assert!(Field::ALL.len() <= 64, "a set of fields is 64 bits");
        let index = Index::default();
        let mut seen = Vec::new();
        for (field, names) in NAMES {
            for name in *names {
                assert_eq!(index.find(Type::Receipt, name.as_bytes()), Some(*field), "{name}");
                assert!(!seen.contains(name), "{name} twice");
                seen.push(*name);
            }
        }
        for field in Field::ALL {
            assert!(NAMES.iter().any(|(named, _)| named == field), "{field:?} has no name");
        }
        assert_eq!(index.find(Type::Receipt, b"somethingNew"), None);
        assert_eq!(index.find(Type::Receipt, b""), None);
        assert_eq!(index.find(Type::Delivery, b"IP"), Some(Field::DestinationIp));
        assert_eq!(index.find(Type::HeldRelease, b"attachments"), None);
        // the table stays sparse: few names need a second look
        let second = seen.iter().filter(|name| {
            seen.iter().any(|other| other < *name && slot(other.as_bytes()) == slot(name.as_bytes()))
        });
        assert!(second.count() <= 6);
    }
}
