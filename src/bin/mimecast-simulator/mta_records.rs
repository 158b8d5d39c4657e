//! The records of the log of API 1.0: the same mail as API 2.0 tells of, in the older names. A file has records of
//! one type, which stands in its name and nowhere else. Second form: `key=value` between bars.

use crate::dates::{self, HOUR};
use crate::json::Object;
use crate::message::{Message, mix, pick, push_hex, push_token};
use crate::records::{Nth, Pen};
use fastrand::Rng;

/// Prefix of the file's name, and how many of a hundred files are of this type.
const FILE_TYPES: [(&str, u64); 11] = [
    ("receipt", 28),
    ("process", 22),
    ("delivery", 22),
    ("av_tse", 2),
    ("av", 2),
    ("jrnl", 5),
    ("ttp_url", 6),
    ("ttp_ap", 3),
    ("impersonation", 3),
    ("spameventthread", 5),
    ("iep", 2),
];

/// The type of file `file` of a run. The first files are one of each.
pub fn file_type(seed: u64, file: u64) -> &'static str {
    let at = usize::try_from(file).unwrap_or(usize::MAX);
    if let Some((name, _)) = FILE_TYPES.get(at) {
        return name;
    }
    let mut roll = mix(seed ^ 0x6d74_6174, file) % 100;
    for (name, share) in FILE_TYPES {
        if roll < share {
            return name;
        }
        roll -= share;
    }
    "receipt"
}

/// Where a record's fields go: a JSON object, or a line of keys and values.
enum Sheet<'a> {
    Json(Object<'a>),
    Line(&'a mut Vec<u8>, bool),
}

impl Sheet<'_> {
    fn pair(&mut self, key: &str, value: &str) {
        if let Sheet::Line(out, first) = self {
            if !*first {
                out.push(b'|');
            }
            *first = false;
            for part in [key, "=", value] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        match self {
            Sheet::Json(o) => {
                o.text(key, value);
            }
            Sheet::Line(..) => self.pair(key, value),
        }
        self
    }

    /// Free text, given as the inside of a JSON string. A line wraps it in backslashes; what would end the line
    /// does not occur in it.
    fn free(&mut self, key: &str, inside: &str) -> &mut Self {
        match self {
            Sheet::Json(o) => {
                o.escaped(key, inside);
            }
            Sheet::Line(..) => {
                let plain: String = serde_json::from_str(&format!("\"{inside}\"")).unwrap_or_default();
                let plain = plain.replace(['\r', '\n'], " ");
                self.pair(key, &format!("\\{plain}\\"));
            }
        }
        self
    }

    fn number(&mut self, key: &str, value: u64) -> &mut Self {
        self.raw(key, &value.to_string())
    }

    /// JSON text; a line takes it as it is.
    fn raw(&mut self, key: &str, json: &str) -> &mut Self {
        match self {
            Sheet::Json(o) => {
                o.raw(key, json);
            }
            Sheet::Line(..) => self.pair(key, json),
        }
        self
    }

    /// Null in JSON; a line leaves it out.
    fn null(&mut self, key: &str) -> &mut Self {
        if let Sheet::Json(o) = self {
            o.null(key);
        }
        self
    }
}

struct Entry<'a> {
    s: Sheet<'a>,
    m: &'a Message,
    rng: Rng,
    dice: u64,
    scratch: &'a mut String,
}

/// `2026-01-01T09:30:00+0100`: in the local time of the region.
fn local(ms: i64) -> String {
    format!("{}+0100", dates::api(ms + HOUR).trim_end_matches("+0000"))
}

pub fn write(pen: &mut Pen, nth: &Nth, out: &mut Vec<u8>) {
    let mut rng = Rng::with_seed(mix(nth.seed, mix(nth.number, 0x6d74_6172)));
    let dice = rng.u64(..);
    let s =
        if pen.second { Sheet::Line(out, true) } else { Sheet::Json(Object::new(out, nth.number % 4 == 2)) };
    let mut entry = Entry { s, m: &pen.message, rng, dice, scratch: &mut pen.scratch };
    if pen.second || dice & 0x3f00_0000 != 0 {
        // Some records have no time.
        entry.s.text("datetime", &local(nth.at));
    }
    entry.s.text("aCode", &pen.message.aggregate).text("acc", &pen.account);
    match file_type(nth.seed, nth.file) {
        "receipt" => entry.receipt(),
        "process" => entry.process(),
        "delivery" => entry.delivery(),
        "jrnl" => entry.journal(),
        "ttp_url" => entry.url(),
        "ttp_ap" => entry.file(false),
        "impersonation" => entry.impersonation(),
        "spameventthread" => entry.spam(),
        "iep" => entry.internal(),
        _ => entry.file(true),
    }
    if let Sheet::Json(o) = &mut entry.s {
        o.end();
    }
}

const DIRECTIONS: [&str; 4] = ["Inbound", "Outbound", "Internal", "External"];

impl Entry<'_> {
    fn direction(&self) -> &'static str {
        pick(&DIRECTIONS, self.m.direction)
    }

    fn subject(&mut self) {
        self.s.text("MsgId", &self.m.id).free("Subject", &self.m.subject);
    }

    fn tls(&mut self) {
        if self.dice & 0x700 != 0 {
            self.s.text("TlsVer", "TLSv1.3").text("Cphr", "TLS_AES_256_GCM_SHA384");
        }
    }

    fn receipt(&mut self) {
        let (m, direction) = (self.m, self.direction());
        if self.dice.is_multiple_of(8) {
            self.s.text("IP", &m.ip).text("RejType", "Invalid Recipient Address").number("RejCode", 550);
            self.s.text("Dir", direction).null("MsgId").null("Subject").null("headerFrom");
            self.s.text("Sender", &m.sender).text("Rcpt", &m.recipient).text("Act", "Rej");
            self.s
                .text("RejInfo", "[nobody@corp.example.com]")
                .text("Error", "Failed Known address verification");
            // Rejections have nothing else that tells two of them apart.
            self.s.number("SpamLimit", 28);
            return;
        }
        self.s.number("SpamLimit", 28).text("IP", &m.ip).text("Dir", direction);
        self.subject();
        self.s.text("headerFrom", &m.sender).text("Sender", &m.sender).text("Rcpt", &m.recipient);
        self.s.text("SpamInfo", "[]").text("Act", "Acc");
        self.tls();
        self.s.raw(
            "SpamProcessingDetail",
            r#"{"spf":{"info":"ALLOW","allow":true},"dkim":{"info":"a|b=DKIM_UNKNOWN","allow":true}}"#,
        );
        self.s.number("SpamScore", self.dice >> 60);
    }

    fn process(&mut self) {
        let m = self.m;
        let held = self.dice.is_multiple_of(12);
        if held {
            self.s.text("Hld", "Spm");
        }
        self.s.number("AttSize", m.size / 2).text("Act", if held { "Hld" } else { "Acc" });
        self.s.number("AttCnt", m.attachments);
        match m.attachments {
            0 => self.s.null("AttNames"),
            _ => self.s.text("AttNames", &format!("\"{}\"", m.file.replace('"', "'"))),
        };
        self.s.number("MsgSize", m.size).text("Sender", &m.sender);
        self.subject();
        for (bit, key) in
            ["IPInternalName", "IPNewDomain", "IPReplyMismatch", "IPSimilarDomain"].into_iter().enumerate()
        {
            self.flag(key, bit + 20);
        }
    }

    fn flag(&mut self, key: &str, bit: usize) {
        self.s.text(key, if self.dice >> bit & 1 == 1 { "true" } else { "false" });
    }

    fn delivery(&mut self) {
        let (m, direction) = (self.m, self.direction());
        let failed = self.dice.is_multiple_of(20);
        self.s.raw("Delivered", if failed { "false" } else { "true" }).text("IP", "192.0.2.40");
        self.s.number("AttCnt", m.attachments).text("Dir", direction);
        if failed {
            self.s.text("Err", "451 4.7.1 Greylisted, try again").text("RejType", "Greylisted");
            self.s.number("RejCode", 451).null("MsgId").null("Subject");
        } else {
            self.s.text("ReceiptAck", "250 2.6.0 Queued mail for delivery");
            self.subject();
        }
        self.s.number("Latency", 200 + (self.dice >> 40) % 60_000).text("Sender", &m.sender);
        self.s.text("Rcpt", &m.recipient).number("AttSize", m.size / 2).number("Attempt", 1 + self.dice % 3);
        self.tls();
        self.s.number("Snt", m.size).text("UseTls", pick(&["Yes", "No"], self.dice >> 9));
        self.s.text("Route", "Inbound Routing Definition");
    }

    fn journal(&mut self) {
        let m = self.m;
        self.s.text("Sender", &m.sender).text("Rcpt", &m.recipient).text("RcptActType", "Jnl");
        self.s.text("RcptHdrType", "Unknown").text("Dir", "Internal");
    }

    fn url(&mut self) {
        let m = self.m;
        self.scratch.clear();
        self.scratch.push_str("http://login.example.net/a?x=1&t=");
        push_token(self.scratch, &mut self.rng, 16);
        let action = pick(&["Block", "Allow"], self.dice);
        self.s
            .text("reason", if action == "Block" { "malicious" } else { "clean" })
            .text("url", self.scratch);
        self.s.text("route", "inbound").text("sourceIp", &m.ip).text("sender", &m.sender);
        self.s.text("recipient", &m.recipient).text("urlCategory", "Phishing & Fraud");
        self.s.text("senderDomain", m.domain).free("subject", &m.subject).text("msgid", &m.id);
        self.s.text("action", action).null("credentialTheft");
    }

    fn file(&mut self, virus: bool) {
        let m = self.m;
        if virus {
            // JSON has booleans here, the line has the same words.
            self.s.raw("MimecastIP", "false").raw("CustomerIP", "false").raw("SenderDomainInternal", "true");
            self.s.text("Virus", "Win32/Example.Test");
        }
        self.s.text("fileName", m.file).text("fileExt", "exe").text("fileMime", "application/x-msdownload");
        for (key, length) in [("sha256", 64), ("sha1", 40), ("md5", 32)] {
            self.scratch.clear();
            push_hex(self.scratch, &mut self.rng, length);
            self.s.text(key, self.scratch);
        }
        self.s.number("Size", m.size).text("IP", &m.ip).text("Recipient", &m.recipient);
        self.s.text("SenderDomain", m.domain).text("Sender", &m.sender).text("Route", "Inbound");
        self.subject();
    }

    fn impersonation(&mut self) {
        let m = self.m;
        self.s
            .text("Action", "Hold")
            .text("Hits", "3")
            .text("Definition", "Default Impersonation Definition");
        for (bit, key) in [
            "NewDomain",
            "InternalName",
            "ReplyMismatch",
            "CustomName",
            "CustomThreatDictionary",
            "ThreatDictionary",
            "SimilarInternalDomain",
            "SimilarMimecastExternalDomain",
            "SimilarCustomExternalDomain",
            "TaggedExternal",
            "TaggedMalicious",
        ]
        .into_iter()
        .enumerate()
        {
            self.flag(key, bit + 16);
        }
        self.s.text("IP", &m.ip).text("Sender", &m.sender).text("Recipient", &m.recipient);
        self.subject();
        self.s.text("Route", "Inbound");
    }

    fn spam(&mut self) {
        let m = self.m;
        self.s.text("SourceIP", &m.ip).text("Recipient", &m.recipient).text("SenderDomain", m.domain);
        self.s.text("headerFrom", &m.sender).text("Sender", &m.sender);
        self.subject();
        self.s.text("Route", "Inbound");
    }

    fn internal(&mut self) {
        let m = self.m;
        self.s.text("ScanResultInfo", "Blocked URL Category").text("URL", "http://bad.example.net/x");
        self.s.text("UrlCategory", "Blocked").text("Recipient", &m.recipient).text("Sender", &m.sender);
        self.subject();
        self.s.text("Route", "Internal");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::{MTA, named};
    use crate::runs::{Run, sample};
    use std::collections::HashSet;

    fn run() -> Run {
        Run { per_file: 10, ..sample(1_000) }
    }

    fn text(pen: &mut Pen, number: u64) -> String {
        let mut out = Vec::new();
        pen.write(named(MTA).unwrap(), &run().nth(number), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_type_is_among_the_first_files_and_none_stands_in_a_record() {
        let types: HashSet<&str> = (0..11).map(|file| file_type(7, file)).collect();
        assert_eq!(types.len(), FILE_TYPES.len());
        assert_eq!(FILE_TYPES.iter().map(|(_, share)| share).sum::<u64>(), 100);
        let mut pen = Pen::new("CSIM00000", Default::default());
        for number in (0..1_000).step_by(7) {
            let record: serde_json::Value = serde_json::from_str(&text(&mut pen, number)).unwrap();
            assert!(record.get("type").is_none() && record["acc"] == "CSIM00000");
        }
    }

    #[test]
    fn the_lines_say_the_same_as_the_objects() {
        let mut pen = Pen::new("CSIM00000", Default::default());
        for number in 0..1_000 {
            pen.second = false;
            let record: serde_json::Value = serde_json::from_str(&text(&mut pen, number)).unwrap();
            pen.second = true;
            let line = text(&mut pen, number);
            assert!(line.starts_with("datetime=20") && line.contains("+0100|aCode="), "{line}");
            assert!(!line.contains(['\r', '\n']), "{line}");
            for key in ["aCode", "Sender", "Rcpt", "MsgId", "IP"] {
                if let Some(value) = record[key].as_str() {
                    assert!(line.split('|').any(|pair| pair == format!("{key}={value}")), "{key} in {line}");
                }
            }
        }
    }
}
