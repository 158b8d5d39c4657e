//! The feeds that are played: 13 batch feeds (listings of files) and two window feeds (pages of records).

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `GET /siem/v1/batch/events/cg`
    Cg,
    /// `GET /siem/v1/batch/events/ci`
    Ci,
    /// `POST /api/audit/get-audit-events`
    Audit,
    /// `POST /api/ttp/url/get-logs`
    TtpUrl,
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
}

const fn feed(index: usize, name: &'static str, kind: Kind, label: &'static str, weight: u64) -> Feed {
    Feed { index, name, kind, label, weight }
}

pub static FEEDS: [Feed; 15] = [
    feed(0, "siem.receipt", Kind::Cg, "receipt", 260),
    feed(1, "siem.process", Kind::Cg, "process", 210),
    feed(2, "siem.delivery", Kind::Cg, "delivery", 210),
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
    feed(13, "audit", Kind::Audit, "audit", 50),
    feed(14, "ttp.url", Kind::TtpUrl, "ttp.url", 50),
];

/// Every feed gets at least this many events, if there are that many at all.
const AT_LEAST: u64 = 3;

impl Feed {
    pub fn is_batch(&self) -> bool {
        matches!(self.kind, Kind::Cg | Kind::Ci)
    }

    /// The part of a file's path: `cg/internal-email-protect`.
    pub fn folder(&self) -> String {
        let product = if self.kind == Kind::Cg { "cg" } else { "ci" };
        format!("{product}/{}", self.label.replace(' ', "-"))
    }
}

#[cfg(test)]
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

/// How many of `total` events each feed gets, in the order of [`FEEDS`]; the sum is `total`.
pub fn shares(total: u64) -> Vec<u64> {
    let feeds = FEEDS.len() as u64;
    let base = AT_LEAST.min(total / feeds);
    let rest = total - base * feeds;
    let weights: u64 = FEEDS.iter().map(|f| f.weight).sum();
    let mut shares: Vec<u64> = FEEDS.iter().map(|f| base + rest * f.weight / weights).collect();
    let given: u64 = shares.iter().sum();
    if let Some(first) = shares.first_mut() {
        *first += total - given;
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
        for total in [0, 1, 14, 15, 44, 45, 1_000, 100_000, 5_000_000] {
            let shares = shares(total);
            assert_eq!(shares.iter().sum::<u64>(), total);
            assert!(shares.iter().all(|&s| s >= AT_LEAST.min(total / 15)), "{total}: {shares:?}");
        }
    }

    #[test]
    fn globs() {
        assert!(glob("siem.*", "siem.receipt") && glob("*", "audit") && glob("*url*", "siem.url-protect"));
        assert!(!glob("siem.*", "audit") && !glob("ttp", "ttp.url"));
    }
}
