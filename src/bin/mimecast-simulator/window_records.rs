//! The JSON text of one record of the `/api/…` functions.

use crate::dates;
use crate::feeds::{Feed, Kind};
use crate::json::Object;
use crate::message::{mix, pick, push_ip, push_token};
use crate::records::{Nth, Pen};
use fastrand::Rng;

const AUDIT: [(&str, &str, &str); 5] = [
    ("User Logged On", "authentication_logs", "Successful authentication for "),
    ("Logon Authentication Failed", "authentication_logs", "Failed authentication for "),
    ("Existing Policy Changed", "policy_logs", "Policy <Default Spam Scanning> changed by "),
    ("Folder Log Entry", "account_logs", "Folder \"Gruppen|Größe=XL\" edited by "),
    ("Report Downloaded", "reporting_logs", "Report downloaded by "),
];

pub fn write(pen: &mut Pen, feed: &Feed, nth: &Nth, out: &mut Vec<u8>) {
    let mut rng = Rng::with_seed(mix(nth.seed, mix(nth.number, feed.index as u64)));
    let dice = rng.u64(..);
    // Both spellings of the same JSON occur, and "exactly the record's own text" must survive both.
    let mut o = Object::new(out, nth.number % 4 == 1);
    let time = dates::api(nth.at);
    pen.scratch.clear();
    if feed.kind == Kind::Audit {
        let at = usize::try_from(dice % 5).unwrap_or(0);
        let (kind, category, info) = AUDIT.get(at).copied().unwrap_or_default();
        pen.scratch.push_str("eNo");
        push_token(&mut pen.scratch, &mut rng, 60);
        o.escaped("id", &pen.scratch).text("auditType", kind).text("user", "admin@corp.example.com");
        o.text("eventTime", &time);
        pen.scratch.clear();
        pen.scratch.push_str(info);
        for part in [&pen.message.recipient, " <Ana Admin>, Date: ", &dates::day(nth.at), ", IP: "] {
            pen.scratch.push_str(part);
        }
        push_ip(&mut pen.scratch, dice >> 8);
        pen.scratch.push_str(", Application: Administration Console, Method: Cloud");
        o.text("eventInfo", &pen.scratch).text("category", category).end();
        return;
    }
    let m = &pen.message;
    let action = pick(&["allow", "block", "warn"], dice);
    o.text("userEmailAddress", &m.recipient).text("fromUserEmailAddress", &m.sender);
    pen.scratch.push_str("http://login.example.net/a?x=1|2&t=");
    push_token(&mut pen.scratch, &mut rng, 16);
    o.text("url", &pen.scratch)
        .text("ttpDefinition", "Default URL Definition")
        .escaped("subject", &m.subject);
    o.text("action", action).text("adminOverride", "N/A").text("userOverride", "None");
    o.text("scanResult", if action == "block" { "malicious" } else { "clean" });
    o.text("category", "Phishing & Fraud");
    o.text("sendingIp", if dice & 0x700 == 0 { "Internal IP" } else { &m.ip });
    o.text("userAwarenessAction", "N/A")
        .text("date", &time)
        .text("actions", "Block")
        .text("route", "inbound");
    o.text("creationMethod", "User Click").raw("emailPartsDescription", "[\"Body\"]");
    o.text("messageId", &m.id).raw("tagMap", "{}").end();
}
