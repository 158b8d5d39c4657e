//! The JSON text of one record of the `/api/…` functions.

use crate::dates;
use crate::feeds::Feed;
use crate::json::Object;
use crate::message::{Message, mix, pick, push_hex, push_ip, push_token};
use crate::records::{Nth, Pen};
use fastrand::Rng;

const AUDIT: [(&str, &str, &str); 5] = [
    ("User Logged On", "authentication_logs", "Successful authentication for "),
    ("Logon Authentication Failed", "authentication_logs", "Failed authentication for "),
    ("Existing Policy Changed", "policy_logs", "Policy <Default Spam Scanning> changed by "),
    ("Folder Log Entry", "account_logs", "Folder \"Gruppen|Größe=XL\" edited by "),
    ("Report Downloaded", "reporting_logs", "Report downloaded by "),
];
const ADMINS: [&str; 3] = ["admin@corp.example.com", "ops@corp.example.com", "jürgen@corp.example.com"];

struct Row<'a> {
    o: Object<'a>,
    m: &'a Message,
    rng: Rng,
    dice: u64,
    at: i64,
    number: u64,
    second: bool,
    scratch: &'a mut String,
}

pub fn write(pen: &mut Pen, feed: &Feed, nth: &Nth, out: &mut Vec<u8>) {
    let mut rng = Rng::with_seed(mix(nth.seed, mix(nth.number, feed.index as u64)));
    let dice = rng.u64(..);
    pen.scratch.clear();
    let mut row = Row {
        // Both spellings of the same JSON occur, and "exactly the record's own text" must survive both.
        o: Object::new(out, nth.number % 4 == 1),
        m: &pen.message,
        rng,
        dice,
        at: nth.at,
        number: nth.number,
        second: pen.second,
        scratch: &mut pen.scratch,
    };
    match feed.name {
        "audit" => row.audit(),
        "ttp.url" => row.url(),
        "ttp.attachment" => row.attachment(),
        "ttp.impersonation" => row.impersonation(),
        "dlp" => row.leak(),
        "held-release" => row.release(),
        "rejections" => row.rejection(),
        "archive.search" => row.search(),
        _ => row.view(),
    }
    row.o.end();
}

impl Row<'_> {
    fn id(&mut self, prefix: &str) {
        self.scratch.clear();
        self.scratch.push_str(prefix);
        push_token(self.scratch, &mut self.rng, 60);
        self.o.escaped("id", self.scratch);
    }

    fn time(&mut self, key: &str) {
        self.o.text(key, &dates::api(self.at));
    }

    fn admin(&self) -> &'static str {
        pick(&ADMINS, self.dice >> 32)
    }

    fn audit(&mut self) {
        let at = usize::try_from(self.dice % 5).unwrap_or(0);
        let (kind, category, info) = AUDIT.get(at).copied().unwrap_or_default();
        self.id("eNo");
        self.o.text("auditType", kind).text("user", "admin@corp.example.com");
        self.time("eventTime");
        self.scratch.clear();
        self.scratch.push_str(info);
        for part in [&self.m.recipient, " <Ana Admin>, Date: ", &dates::day(self.at), ", IP: "] {
            self.scratch.push_str(part);
        }
        push_ip(self.scratch, self.dice >> 8);
        self.scratch.push_str(", Application: Administration Console, Method: Cloud");
        self.o.text("eventInfo", self.scratch).text("category", category);
    }

    fn url(&mut self) {
        let m = self.m;
        let action = pick(&["allow", "block", "warn"], self.dice);
        self.o.text("userEmailAddress", &m.recipient).text("fromUserEmailAddress", &m.sender);
        self.scratch.push_str("http://login.example.net/a?x=1|2&t=");
        push_token(self.scratch, &mut self.rng, 16);
        self.o.text("url", self.scratch).text("ttpDefinition", "Default URL Definition");
        self.o.escaped("subject", &m.subject).text("action", action);
        self.o.text("adminOverride", "N/A").text("userOverride", "None");
        self.o.text("scanResult", if action == "block" { "malicious" } else { "clean" });
        self.o.text("category", "Phishing & Fraud");
        self.o.text("sendingIp", if self.dice & 0x700 == 0 { "Internal IP" } else { &m.ip });
        self.o.text("userAwarenessAction", "N/A");
        self.time("date");
        self.o.text("actions", "Block").text("route", "inbound").text("creationMethod", "User Click");
        // An array by the reference, a plain string in the field.
        let parts = if self.dice & 0x3800 == 0 { "\"Body\"" } else { "[\"Body\"]" };
        self.o.raw("emailPartsDescription", parts).text("messageId", &m.id).raw("tagMap", "{}");
        if self.dice & 0xc000 == 0 {
            self.o.raw("advancedPhishingResult", "{\"CredentialTheftTags\":[\"NO_CERTIFICATE\"]}");
        }
    }

    fn attachment(&mut self) {
        let m = self.m;
        let result = pick(&["safe", "malicious", "timeout", "error", "unsafe"], self.dice);
        self.o.text("senderAddress", if self.dice & 0x700 == 0 { "<>" } else { &m.sender });
        self.o.text("recipientAddress", &m.recipient).text("fileName", m.file);
        self.o.text("fileType", pick(&["application/pdf", "application/vnd.ms-excel"], self.dice >> 11));
        self.o.text("result", result);
        self.o.text("actionTriggered", pick(&["none", "user release", "quarantined"], self.dice >> 13));
        self.time("date");
        // The service pads this text.
        self.o.text("details", "Malicious   \r\nTime taken: 0 hrs, 0 min, 7 sec");
        self.o.text("route", pick(&["inbound", "outbound", "internal"], self.dice >> 17));
        self.o.text("messageId", &m.id).escaped("subject", &m.subject);
        self.scratch.clear();
        push_hex(self.scratch, &mut self.rng, 64);
        self.o.escaped("fileHash", self.scratch).text("definition", "Default Attachment Definition");
    }

    fn impersonation(&mut self) {
        let m = self.m;
        let flag = |dice: u64| if dice & 1 == 1 { "true" } else { "false" };
        self.id("MTOKEN:eNqr");
        self.o.text("senderAddress", &m.sender).text("recipientAddress", &m.recipient);
        self.o.escaped("subject", &m.subject).text("definition", "Default Impersonation Definition");
        self.o.number("hits", 1 + self.dice % 4);
        self.o.raw("identifiers", "[\"similar_internal_domain\", \"newly_observed_domain\"]");
        self.o.text("action", pick(&["hold", "bounce", "none"], self.dice >> 4));
        self.o.raw("taggedExternal", flag(self.dice >> 8)).raw("taggedMalicious", flag(self.dice >> 9));
        self.o.text("senderIpAddress", &m.ip);
        self.time("eventTime");
        self.o.raw(
            "impersonationResults",
            r#"[{"impersonationDomainSource":"internal_domain","similarDomain":"c0rp-example.com","stringSimilarToDomain":"corp.example.com","checkerResult":"hit"}]"#,
        );
        self.o.text("messageId", &m.id);
    }

    fn leak(&mut self) {
        let m = self.m;
        self.o.text("senderAddress", &m.recipient).text("recipientAddress", &m.sender);
        self.o.escaped("subject", &m.subject);
        self.time("eventTime");
        self.o.text("route", pick(&["outbound", "outbound", "internal"], self.dice));
        self.o.text(
            "policy",
            pick(&["PCI - card numbers", "Vertraulich|intern", "HR=private"], self.dice >> 4),
        );
        // One of these is spelled as the vendor's reference spells it.
        let action = pick(&["hold", "notification", "delete", "bouce", "smart_folder"], self.dice >> 8);
        self.o.text("action", action).text("messageId", &m.id);
    }

    fn address(&mut self, key: &str, address: &str, name: &str) {
        self.scratch.clear();
        for part in ["{\"emailAddress\":\"", address, "\",\"displayableName\":\"", name, "\"}"] {
            self.scratch.push_str(part);
        }
        self.o.raw(key, self.scratch);
    }

    fn release(&mut self) {
        let m = self.m;
        let rejected = self.dice.is_multiple_of(5);
        self.id("eNoHeldRelease");
        if rejected {
            self.o.text("status", "rejected").text("rejectReason", "Not wanted here");
        } else {
            self.o.text("status", "released").null("rejectReason");
        }
        self.o.text("heldReason", "Spam Signature policy").text("heldGroup", "").text("messageInfo", "spam");
        let offset = if self.dice & 0x100 == 0 { "+00:00" } else { "+0000" };
        if self.dice & 0x3e00 != 0 {
            // Missing now and then, and with an offset of its own.
            let time = dates::api(self.at);
            self.o.text("released", &format!("{}{offset}", time.trim_end_matches("+0000")));
        }
        let operator = self.admin();
        match self.dice & 0x4000 {
            0 => self.o.text("operator", operator),
            _ => self.o.raw("operator", &format!("{{\"emailAddress\":\"{operator}\"}}")),
        };
        self.address("fromEnv", &m.sender, "");
        self.address("fromHdr", &m.sender, "Billing");
        self.scratch.clear();
        for part in ["[{\"emailAddress\":\"", &m.recipient, "\",\"displayableName\":\"Ana\"}]"] {
            self.scratch.push_str(part);
        }
        self.o.raw("to", self.scratch).escaped("subject", &m.subject);
        self.o.raw("attachments", if m.attachments > 0 { "true" } else { "false" }).text("route", "inbound");
        self.o.number("size", m.size).text("policy", "Default Spam Scanning");
        self.o.number("spamScore", self.dice >> 60).text("detectionLevel", "relaxed");
    }

    fn rejection(&mut self) {
        let m = self.m;
        self.id("eNoRejection");
        self.o.text("fromAddress", &m.sender).text("toAddress", &m.recipient);
        self.o.text("description", pick(&["IP Found in RBL", "Virus Signature Detected"], self.dice));
        self.o.number("type", 14_030 + self.dice % 7).text("info", "rbl.example.org Blocked");
        self.time("created");
        self.o.text("toAddressPreCheck", &m.recipient).text("toAddressPostCheck", &m.recipient);
        self.o.text("ipAddress", &m.ip).text("remoteName", m.domain).text("remoteEhlo", m.domain);
        self.o.text("manageRecipient", "false").number("spamScore", self.dice >> 60);
        self.o.text("detectionLevel", "");
    }

    fn search(&mut self) {
        let admin = self.admin();
        self.time("createTime");
        self.o.text("emailAddr", if self.dice & 0xf00 == 0 { "<>" } else { admin });
        self.o.text("source", "archive");
        self.scratch.push_str("invoice OR \"Größe = 5|6\" ");
        self.scratch.push_str(&self.number.to_string());
        self.o.text("searchText", self.scratch);
        self.o.text("searchReason", pick(&["case 12", "", "DSGVO-Auskunft"], self.dice >> 16));
        self.o.text("description", pick(&["Message Tracking Search", "Archive Search"], self.dice >> 20));
        if self.second {
            self.o.text("searchPath", "/archive").null("museQuery");
            // Documented as a boolean, seen as a string.
            self.o.text("isAdmin", "true");
        }
    }

    fn view(&mut self) {
        let (admin, m) = (self.admin(), self.m);
        self.o.text("viewer", admin).text("source", pick(&["archive", "message center"], self.dice));
        self.time("viewed");
        self.o.text("from", &m.sender).text("to", &m.recipient).escaped("subject", &m.subject);
        self.o.text("messageDate", &dates::api(self.at - dates::DAY));
        let flag = |dice: u64| if dice & 1 == 1 { "true" } else { "false" };
        self.o.raw("contentViewed", flag(self.dice >> 4)).raw("discoveryCase", flag(self.dice >> 5));
    }
}
