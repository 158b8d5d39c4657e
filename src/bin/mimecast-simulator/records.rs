//! The JSON text of one batch record: what API 2.0 writes into the files of `cg` and `ci`.

use crate::feeds::{Feed, Kind};
use crate::json::Object;
use crate::message::{Hostility, Message, mix, pick, push_hex, push_token};
use crate::{mta_records, threat_records, window_records};
use fastrand::Rng;

/// Writes records; keeps its buffers from one to the next.
pub struct Pen {
    pub account: String,
    pub hostility: Hostility,
    pub message: Message,
    pub scratch: String,
    /// Writes the records in the other form in which they can be had: as objects of the stream, as lines of keys
    /// and values, as rows of a table. What it is called per feed: [`Feed::second_form`].
    pub second: bool,
    /// Of the record written last.
    pub subtype: Option<&'static str>,
}

/// Which record: everything that decides its bytes.
#[derive(Clone, Copy)]
pub struct Nth {
    /// Seed of the run of events it belongs to.
    pub seed: u64,
    /// Number inside the run.
    pub number: u64,
    /// Number of the message it is about.
    pub message: u64,
    /// Event time, Unix milliseconds.
    pub at: i64,
    /// Number of its file in the run.
    pub file: u64,
}

/// What the writer of one record type works with.
struct Draft<'a> {
    o: Object<'a>,
    m: &'a Message,
    rng: Rng,
    dice: u64,
    at: u64,
    stream: bool,
    subtype: Option<&'static str>,
    scratch: &'a mut String,
}

const ACTIONS: [&str; 8] = ["Acc", "Acc", "Acc", "Acc", "Acc", "Acc", "Allow", "Rej"];
const DIRECTIONS: [&str; 6] = ["Inbound", "Inbound", "inbound", "Outbound", "internal", "Internal"];
const CATEGORIES: [&str; 6] =
    ["Phishing & Fraud", "Business", "Dangerous file extension", "Blocked", "Computers & Technology", "Spam"];

impl Pen {
    pub fn new(account: &str, hostility: Hostility) -> Self {
        Pen {
            account: account.to_owned(),
            hostility,
            message: Message::default(),
            scratch: String::new(),
            second: false,
            subtype: None,
        }
    }

    /// Appends the record's text, without a line end.
    pub fn write(&mut self, feed: &Feed, nth: &Nth, out: &mut Vec<u8>) {
        self.message.become_nth(mix(nth.seed, 0x6d73_6773), nth.message, self.hostility);
        match feed.kind {
            Kind::Cg | Kind::Ci => {}
            Kind::Window => return window_records::write(self, feed, nth, out),
            Kind::Intel => return threat_records::write(self, feed, nth, out),
            Kind::Mta => return mta_records::write(self, nth, out),
        }
        let mut rng = Rng::with_seed(mix(nth.seed, mix(nth.number, feed.index as u64)));
        let dice = rng.u64(..);
        let mut draft = Draft {
            o: Object::new(out, nth.number % 4 == 3),
            m: &self.message,
            rng,
            dice,
            at: u64::try_from(nth.at).unwrap_or(0),
            stream: self.second,
            subtype: None,
            scratch: &mut self.scratch,
        };
        if feed.kind == Kind::Ci {
            draft.cloud_integrated(feed.label, &self.account);
        } else {
            draft.gateway(feed.label, &self.account, nth);
        }
        draft.o.end();
        self.subtype = draft.subtype;
    }
}

impl Draft<'_> {
    fn gateway(&mut self, label: &str, account: &str, nth: &Nth) {
        let rejected = label == "receipt" && pick(&ACTIONS, self.dice) == "Rej";
        self.o.text("aggregateId", &self.m.aggregate);
        self.processing_id(rejected && self.dice & 0x100 == 0);
        self.o.text("accountId", account).number("timestamp", self.at);
        match label {
            "receipt" => self.receipt(rejected),
            "process" => self.process(),
            "delivery" => self.delivery(),
            "av" => self.av(),
            "spam" => self.spam(),
            "journal" => self.journal(),
            "internal email protect" => self.internal(),
            "impersonation protect" => self.impersonation(),
            "url protect" => self.url(),
            _ => self.attachment(),
        }
        if self.dice & 0x3000 != 0 && !self.stream {
            self.o.number("_offset", 400_000 + nth.number).number("_partition", self.dice % 200);
        }
    }

    fn processing_id(&mut self, null: bool) {
        if null {
            self.o.null("processingId");
            return;
        }
        self.scratch.clear();
        if self.dice & 0x400 == 0 {
            push_token(self.scratch, &mut self.rng, 43);
            self.scratch.push('_');
            self.scratch.push_str(&(self.at / 1000).to_string());
        } else {
            self.scratch.push_str("req-");
            push_hex(self.scratch, &mut self.rng, 32);
        }
        self.o.escaped("processingId", self.scratch);
    }

    fn ends(&mut self, label: &str, subtype: Option<&'static str>) {
        self.subtype = subtype;
        let (kind, sub) = if self.stream { ("eventType", "subType") } else { ("type", "subtype") };
        self.o.text(kind, label);
        match subtype {
            Some(subtype) => self.o.text(sub, subtype),
            None => self.o.null(sub),
        };
    }

    fn hashes(&mut self) {
        for (key, length) in [("sha256", 64), ("sha1", 40), ("md5", 32)] {
            self.scratch.clear();
            push_hex(self.scratch, &mut self.rng, length);
            self.o.escaped(key, self.scratch);
        }
    }

    fn envelope(&mut self) {
        self.o
            .text("messageId", &self.m.id)
            .text("senderEnvelope", &self.m.sender)
            .escaped("subject", &self.m.subject)
            .text("recipients", &self.m.recipient);
    }

    fn route(&mut self) -> &'static str {
        pick(&DIRECTIONS, self.m.direction)
    }

    fn receipt(&mut self, rejected: bool) {
        let action = pick(&ACTIONS, self.dice);
        let route = self.route();
        let m = self.m;
        self.o.text("action", action);
        if rejected {
            self.o.null("senderEnvelope").null("messageId").null("subject");
        } else {
            self.o.text("senderEnvelope", &m.sender).text("messageId", &m.id).escaped("subject", &m.subject);
        }
        self.o.text("recipients", &m.recipient).text("senderIp", &m.ip);
        if rejected {
            self.o.text("rejectionType", "IP Found in RBL").text("rejectionCode", "550");
        } else {
            self.o.null("rejectionType").null("rejectionCode");
        }
        self.o.text("direction", route).quoted_number("numberAttachments", m.attachments);
        if rejected {
            self.scratch.clear();
            self.scratch.push_str("rbl.example.org Blocked - see https://rbl.example.org/?ip=");
            self.scratch.push_str(&m.ip);
            self.o.null("senderHeader").text("rejectionInfo", self.scratch);
            self.o.text("tlsVersion", "").text("tlsCipher", "").null("spamInfo");
        } else {
            self.o.text("senderHeader", &m.sender).null("rejectionInfo");
            self.o
                .text("tlsVersion", "TLSv1.3")
                .text("tlsCipher", "TLS_AES_256_GCM_SHA384")
                .text("spamInfo", "[]");
        }
        self.spam_detail();
        self.o.null("virusFound").quoted_number("spamScore", self.dice >> 60).null("spamDetectionLevel");
        self.o.null("receiptErrors");
        self.ends("receipt", Some(action));
    }

    /// The four encodings met in the field: string, string in a string, object, null.
    fn spam_detail(&mut self) {
        let key = "spamProcessingDetail";
        match (self.dice >> 20) % 8 {
            0 => self.o.null(key),
            1 => self.o.escaped(
                key,
                r#"\"{\\\"rbl\\\": {\\\"allow\\\": false, \\\"info\\\": \\\"rbl.example.org Blocked\\\"}}\""#,
            ),
            2 => self.o.raw(
                key,
                r#"{"spf":{"info":"ALLOW","allow":true},"greyEmail":false,"verdict":{"categories":[{"name":"bulk","score":3,"risk":"low","subcategories":[]}],"decision":"allow","description":"","risk":"low"}}"#,
            ),
            _ => self.o.escaped(
                key,
                r#"{\"spf\":{\"info\":\"ALLOW\",\"allow\":true},\"dkim\":{\"info\":\"UNKNOWN\",\"allow\":true},\"dmarc\":{\"info\":\"ALLOW\",\"allow\":true},\"greyEmail\":false,\"permittedSender\":{\"info\":\"NONE\",\"allow\":true}}"#,
            ),
        };
    }

    fn process(&mut self) {
        let held = self.dice.is_multiple_of(12);
        let action = if held { "Hld" } else { "Acc" };
        let m = self.m;
        self.o.text("action", action).text("senderEnvelope", &m.sender).text("messageId", &m.id);
        self.o.escaped("subject", &m.subject);
        match held {
            true => self.o.text("holdReason", pick(&["Spm", "Oth", "Att"], self.dice >> 8)),
            false => self.o.null("holdReason"),
        };
        self.o.quoted_number("totalSizeAttachments", m.size / 2);
        self.o.quoted_number("numberAttachments", m.attachments);
        self.scratch.clear();
        match m.attachments {
            0 => self.o.null("attachments"),
            1 => self.o.text("attachments", m.file),
            _ => {
                for part in ["\"", m.file, "\", \"b.png\""] {
                    self.scratch.push_str(part);
                }
                self.o.text("attachments", self.scratch)
            }
        };
        self.o.quoted_number("emailSize", m.size);
        self.ends("process", Some(action));
    }

    fn delivery(&mut self) {
        let delivered = if self.dice.is_multiple_of(20) { "false" } else { "true" };
        let failed = delivered == "false";
        let route = self.route();
        let m = self.m;
        self.envelope();
        self.o.text("delivered", delivered).text("destinationIp", "192.0.2.40");
        self.o.text("Hostname", "mx.corp.example.com").quoted_number("numberAttachments", m.attachments);
        self.o.text("direction", route).quoted_number("totalSizeAttachments", m.size / 2);
        self.o.quoted_number("deliveryAttempts", 1 + u64::from(failed) * (self.dice >> 61));
        self.o.text("tlsVersion", "TLSv1.3").text("tlsCipher", "TLS_AES_256_GCM_SHA384");
        self.o
            .quoted_number("emailSize", m.size)
            .text("tlsUsed", pick(&["Yes", "Yes", "true"], self.dice >> 9));
        self.o.text("route", "Inbound Routing Definition");
        if failed {
            self.o
                .text("deliveryErrors", "451 4.7.1 Greylisted, try again")
                .text("rejectionType", "Greylisted");
            self.o.text("rejectionCode", "451").null("rejectionInfo");
        } else {
            self.o.null("deliveryErrors").null("rejectionType").null("rejectionCode").null("rejectionInfo");
        }
        self.o.quoted_number("deliveryTime", 200 + (self.dice >> 40) % 60_000);
        self.ends("delivery", Some(delivered));
    }

    fn av(&mut self) {
        let m = self.m;
        self.o.text("fileName", m.file).text("fileExtension", "exe");
        self.hashes();
        self.o.text("virusFound", pick(&["Win32/Example.Test", "Eicar-Test-Signature"], self.dice >> 8));
        self.envelope();
        self.o.text("senderIp", &m.ip).text("senderDomain", m.domain).text("senderDomainInternal", "false");
        self.o.quoted_number("emailSize", m.size).text("route", "Inbound");
        self.ends("av", None);
    }

    fn spam(&mut self) {
        let m = self.m;
        self.envelope();
        self.o.text("senderHeader", &m.sender).text("senderIp", &m.ip);
        self.o.text("senderDomain", m.domain).text("route", "Inbound");
        self.ends("spam", None);
    }

    fn journal(&mut self) {
        let route = self.route();
        self.o.text("senderEnvelope", &self.m.sender).text("recipients", &self.m.recipient);
        self.o.text("direction", route);
        self.ends("journal", None);
    }

    fn internal(&mut self) {
        self.envelope();
        self.o.text("urlCategory", pick(&CATEGORIES, self.dice));
        self.o.text("scanResults", "Restricted File Type - Found executable extension: dll");
        self.o.text("route", "Internal").null("monitoredDomainSource").null("similarDomain");
        self.ends("internal email protect", None);
    }

    fn impersonation(&mut self) {
        let action = pick(&["Hold", "None", "Bounce"], self.dice);
        self.o.text("action", action).quoted_number("itemsDetected", 1 + (self.dice >> 8) % 4);
        self.o.text("policyDefinition", "Default Impersonation Definition");
        for (bit, key) in [
            "taggedMalicious",
            "taggedExternal",
            "internalUserName",
            "newDomain",
            "replyMismatch",
            "customNameMatch",
            "customThreatDictionary",
            "mimecastThreatDictionary",
            "similarInternalDomain",
            "similarCustomExternalDomain",
            "similarMimecastExternalDomain",
        ]
        .into_iter()
        .enumerate()
        {
            self.o.text(key, if self.dice >> (bit + 16) & 1 == 1 { "true" } else { "false" });
        }
        self.envelope();
        self.o.text("senderIp", &self.m.ip).text("route", "Inbound");
        self.ends("impersonation protect", Some(action));
    }

    fn url(&mut self) {
        let action = pick(&["Block", "Allow", "Warn"], self.dice);
        self.o.text("urlCategory", pick(&CATEGORIES, self.dice >> 8)).text("action", action);
        self.link();
        self.envelope();
        self.o.text("sourceIp", &self.m.ip).text("senderDomain", self.m.domain).text("route", "inbound");
        self.o.text("blockReason", if action == "Block" { "malicious" } else { "clean" });
        match self.dice & 0x10_0000 {
            0 => self.o.text("analysis", "null"),
            _ => self
                .o
                .text("analysis", r#"{"Status":["VerdictBlock"],"CredentialTheftTags":["NO_CERTIFICATE"]}"#),
        };
        self.ends("url protect", Some(action));
    }

    fn link(&mut self) {
        self.scratch.clear();
        self.scratch.push_str("http://login.example.net/a?x=1|2&t=");
        push_token(self.scratch, &mut self.rng, 16);
        self.o.text("url", self.scratch);
    }

    fn attachment(&mut self) {
        let m = self.m;
        if self.dice & 0x4000 == 0 {
            self.o.text("fileName", m.file).text("fileExtension", "pdf"); // the older, shorter form
            self.hashes();
        } else {
            self.o.text("senderEnvelope", &m.sender).text("messageId", &m.id).escaped("subject", &m.subject);
            self.o.text("recipient", &m.recipient).text("fileName", m.file);
            self.hashes();
            self.o.quoted_number("sizeAttachment", m.size / 3).text("senderIp", &m.ip);
            self.o.text("senderDomain", m.domain).text("fileExtension", "pdf");
            self.o.text("fileMime", "application/pdf").text("route", "inbound");
        }
        self.ends("attachment protect", None);
    }

    /// Cloud Integrated: real arrays and booleans. The shape of `urlclick` is published nowhere; this one is
    /// a guess from the others.
    fn cloud_integrated(&mut self, label: &str, account: &str) {
        let m = self.m;
        self.scratch.clear();
        push_hex(self.scratch, &mut self.rng, 16);
        self.scratch.push_str("-0");
        self.o
            .text("accountId", account)
            .text("aggregateId", &m.aggregate)
            .escaped("processingId", self.scratch);
        self.o.number("timestamp", self.at).text("messageId", &m.id).escaped("subject", &m.subject);
        self.o.text("senderEnvelope", &m.sender).text("senderHeader", &m.sender).text("senderIp", &m.ip);
        self.scratch.clear();
        for part in ["[\"", &m.recipient, "\",\"raul@corp.example.com\"]"] {
            self.scratch.push_str(part);
        }
        self.o.raw("recipients", self.scratch).text("direction", pick(&["INBOUND", "Inbound"], self.dice));
        match label {
            "entities" => {
                self.o.text("source", "EMAIL_SECURITY").text("threatState", "CONFIRMED");
                self.o.text("threatType", "PHISHING").raw("attachments", "[]").null("tags");
                self.o.raw(
                    "policiesApplied",
                    r#"[{"action":"quarantine","mode":"protect","name":"Default Phishing Policy"}]"#,
                );
            }
            "mailflow" => {
                self.o.raw(
                    "authResults",
                    r#"[{"type":"SPF","result":"pass","aligned":true},{"type":"DMARC","result":"fail","aligned":false}]"#,
                );
            }
            _ => {
                self.link();
                self.o.text("action", pick(&["blocked", "allowed"], self.dice >> 8));
            }
        }
        self.o.raw("historicalMail", if self.dice & 0xf0 == 0 { "true" } else { "false" });
        self.ends(label, None);
    }
}
