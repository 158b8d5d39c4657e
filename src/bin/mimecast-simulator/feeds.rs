//! The feeds that are played: 13 batch feeds (listings of files), nine window feeds (pages of records), two threat
//! feeds, and the one log of API 1.0.

use crate::dates::DAY;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `GET /siem/v1/batch/events/cg`
    Cg,
    /// `GET /siem/v1/batch/events/ci`
    Ci,
    /// A function of `/api/…`, see `functions.rs`
    Window,
    /// `POST /api/audit/get-siem-logs`, API 1.0 only
    Mta,
    /// `POST /api/ttp/threat-intel/get-feed`
    Intel,
}

/// The generations of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    One,
    Two,
}

pub struct Feed {
    pub index: usize,
    /// The collector's name of the feed, used in the ledger and in scenarios.
    pub name: &'static str,
    pub kind: Kind,
    /// What the query parameter `type` says, and the field `type` of a record.
    pub label: &'static str,
    /// Share of all events, in thousandths.
    pub weight: u64,
    /// How long after it happened an event can be had, days.
    pub kept_days: i64,
}

const fn feed(index: usize, name: &'static str, kind: Kind, label: &'static str, weight: u64) -> Feed {
    Feed { index, name, kind, label, weight, kept_days: 7 }
}

/// A feed of a function: its records say nothing of their type.
const fn window(index: usize, name: &'static str, weight: u64, kept_days: i64) -> Feed {
    Feed { index, name, kind: Kind::Window, label: name, weight, kept_days }
}

/// What the console calls eternal.
const FOR_EVER: i64 = 3_650;

pub static FEEDS: [Feed; 25] = [
    feed(0, "siem.receipt", Kind::Cg, "receipt", 230),
    feed(1, "siem.process", Kind::Cg, "process", 190),
    feed(2, "siem.delivery", Kind::Cg, "delivery", 190),
    feed(3, "siem.av", Kind::Cg, "av", 5),
    feed(4, "siem.spam", Kind::Cg, "spam", 60),
    feed(5, "siem.journal", Kind::Cg, "journal", 40),
    feed(6, "siem.internal-email-protect", Kind::Cg, "internal email protect", 15),
    feed(7, "siem.impersonation-protect", Kind::Cg, "impersonation protect", 15),
    feed(8, "siem.url-protect", Kind::Cg, "url protect", 40),
    feed(9, "siem.attachment-protect", Kind::Cg, "attachment protect", 15),
    feed(10, "ci.entities", Kind::Ci, "entities", 15),
    feed(11, "ci.mailflow", Kind::Ci, "mailflow", 10),
    feed(12, "ci.urlclick", Kind::Ci, "urlclick", 5),
    window(13, "audit", 50, 60),
    window(14, "ttp.url", 50, 30),
    window(15, "ttp.attachment", 10, 30),
    window(16, "ttp.impersonation", 10, 30),
    window(17, "dlp", 10, 60),
    window(18, "held-release", 5, 92),
    window(19, "rejections", 10, 7),
    window(20, "archive.search", 5, FOR_EVER),
    window(21, "archive.view", 5, FOR_EVER),
    feed(22, "threat-feed.customer", Kind::Intel, "malware_customer", 6),
    feed(23, "threat-feed.grid", Kind::Intel, "malware_grid", 9),
    // The same mail as the first ten feeds, in the form of API 1.0.
    feed(24, MTA, Kind::Mta, "MTA", 0),
];

pub const MTA: &str = "siem.mta";

/// Every feed gets at least this many events, if there are that many at all.
const AT_LEAST: u64 = 3;

impl Feed {
    pub fn is_batch(&self) -> bool {
        matches!(self.kind, Kind::Cg | Kind::Ci)
    }

    /// Whether a client of this API can read it.
    pub fn is_of(&self, api: Api) -> bool {
        match self.kind {
            Kind::Mta => api == Api::One,
            Kind::Cg | Kind::Ci => api == Api::Two,
            Kind::Window | Kind::Intel => true,
        }
    }

    /// How long after it happened an event can be had, milliseconds.
    pub fn kept(&self) -> i64 {
        self.kept_days * DAY
    }

    /// What the other form of its records is called: see [`crate::records::Pen::second`].
    pub fn second_form(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Cg | Kind::Ci => Some("stream"),
            Kind::Mta => Some("key_value"),
            Kind::Intel => Some("csv"),
            Kind::Window => (self.name == "archive.search").then_some("get-search-logs"),
        }
    }

    /// The part of a file's path: `cg/internal-email-protect`.
    pub fn folder(&self) -> String {
        let product = if self.kind == Kind::Cg { "cg" } else { "ci" };
        format!("{product}/{}", self.label.replace(' ', "-"))
    }
}

pub fn named(name: &str) -> Option<&'static Feed> {
    FEEDS.iter().find(|f| f.name == name)
}

/// The batch feed behind `type=`; the plural that appears in descriptions is taken too.
pub fn of_type(kind: Kind, label: &str) -> Option<&'static Feed> {
    let label = if label == "urlclicks" { "urlclick" } else { label };
    FEEDS.iter().find(|f| f.is_batch() && f.kind == kind && f.label == label)
}

pub fn of_folder(folder: &str) -> Option<&'static Feed> {
    FEEDS.iter().find(|f| f.is_batch() && f.folder() == folder)
}

/// How many of `total` events each feed gets, in the order of [`FEEDS`]; the sum is `total`. The log of API 1.0
/// comes on top: it tells of the same mail as the ten `cg` feeds and has as many events as they together.
pub fn shares(total: u64) -> Vec<u64> {
    let feeds = FEEDS.iter().filter(|f| f.weight > 0).count() as u64;
    let base = AT_LEAST.min(total / feeds);
    let rest = total - base * feeds;
    let weights: u64 = FEEDS.iter().map(|f| f.weight).sum();
    let share = |f: &Feed| if f.weight > 0 { base + rest * f.weight / weights } else { 0 };
    let mut shares: Vec<u64> = FEEDS.iter().map(share).collect();
    let given: u64 = shares.iter().sum();
    if let Some(first) = shares.first_mut() {
        *first += total - given;
    }
    let mail = FEEDS.iter().zip(&shares).filter(|(f, _)| f.kind == Kind::Cg).map(|(_, share)| share).sum();
    for (feed, share) in FEEDS.iter().zip(&mut shares) {
        if feed.kind == Kind::Mta {
            *share = mail;
        }
    }
    shares
}

/// `*` stands for any run of characters.
pub fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter_map(|at| rest.get(at..)).any(|rest| glob(tail, rest))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_complete() {
        assert!(FEEDS.iter().enumerate().all(|(i, f)| f.index == i));
        assert_eq!(FEEDS.iter().map(|f| f.weight).sum::<u64>(), 1_000);
        assert_eq!(FEEDS.iter().filter(|f| f.is_batch()).count(), 13);
    }

    #[test]
    fn shares_add_up_and_nobody_goes_empty() {
        for total in [0, 1, 23, 24, 71, 72, 1_000, 100_000, 5_000_000] {
            let mut shares = shares(total);
            let mail: u64 = shares[..10].iter().sum();
            assert_eq!(shares.pop(), Some(mail), "API 1.0 tells of the same mail");
            assert_eq!(shares.iter().sum::<u64>(), total);
            assert!(shares.iter().all(|&s| s >= AT_LEAST.min(total / 24)), "{total}: {shares:?}");
        }
    }

    #[test]
    fn globs() {
        assert!(glob("siem.*", "siem.receipt") && glob("*", "audit") && glob("*url*", "siem.url-protect"));
        assert!(!glob("siem.*", "audit") && !glob("ttp", "ttp.url"));
    }
}
