//! When the trouble of single feeds is really the credential's: a quota belongs to the credential, and a role that
//! may read nothing is one missing role. Also the codes that no row knows, for people to report. Pure.

use std::time::Duration;

use super::rule::{MINUTE, Rule, Scope};
use crate::clock::Time;
use crate::fault::Fault;
use crate::limits::MAX_UNKNOWN_CODES;

/// From how many feeds on a row's verdict reaches the whole credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Feeds(usize),
    All,
}

/// Rows that widen, how many feeds it takes, and within what time (recovery rows M14, M15, M21, M24, M28, D01). That a
/// feed is forbidden says nothing about another one (mimecast-api.md §1.2): a role that may read one of five still
/// reads that one, so that it takes all of them to show that the role is the trouble.
static WIDEN: [(&[&str], Share, Duration); 4] = [
    (&["M14", "M15"], Share::All, Duration::from_secs(600)),
    (&["M21"], Share::Feeds(3), Duration::from_secs(600)),
    (&["M24"], Share::All, Duration::from_secs(600)),
    (&["M28", "D01"], Share::Feeds(2), MINUTE),
];

/// Who has to meet `rule` for it to be the whole credential's, and within what time; `None` when it stays the feed's.
pub(super) fn from(rule: &Rule) -> Option<(String, Duration)> {
    let (_, share, within) = WIDEN.iter().find(|(ids, ..)| ids.contains(&rule.id))?;
    let who = match share {
        Share::Feeds(least) => format!("{least} of them"),
        Share::All => "all of them".to_owned(),
    };
    // M24 is also the row of a wrong region, which is the credential's from the start
    (rule.scope == Scope::Feed).then_some((who, *within))
}

/// What the feeds of one credential met lately.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    /// The last of each feed.
    met: Vec<(&'static str, &'static str, Time)>,
    unknown: Vec<UnknownCode>,
}

/// A code that no row names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCode {
    /// `token` or `api`.
    pub from: &'static str,
    pub status: u16,
    pub code: String,
    pub first: Time,
    pub last: Time,
    pub count: u64,
}

impl Spread {
    /// One of `feeds` feeds met `rule`. Says whether from now on it is the credential's: true once, until it was
    /// forgotten in between.
    pub fn met(&mut self, feed: &'static str, rule: &Rule, feeds: usize, now: Time) -> bool {
        let Some((ids, share, within)) = WIDEN.iter().find(|(ids, ..)| ids.contains(&rule.id)) else {
            return false;
        };
        self.met.retain(|(known, ..)| *known != feed);
        self.met.push((feed, rule.id, now));
        let alike = |(_, id, at): &&(&str, &str, Time)| ids.contains(id) && at.plus(*within) > now;
        let count = self.met.iter().filter(alike).count();
        let wide = count >= 2
            && match share {
                Share::Feeds(least) => count >= *least,
                Share::All => count >= feeds,
            };
        if wide {
            self.met.retain(|(_, id, _)| !ids.contains(id));
        }
        wide
    }

    /// Remembers a code of Mimecast that `rule` does not name; says whether it is new. Beyond
    /// [`MAX_UNKNOWN_CODES`] nothing new is remembered.
    pub fn note_code(&mut self, fault: &Fault, rule: &Rule, now: Time) -> bool {
        let code = fault.code_str();
        let (Some(status), false) = (fault.status(), code.is_empty() || rule.knows(code)) else {
            return false;
        };
        if !fault.attributed {
            return false; // somebody in between may say anything
        }
        if status == 429 || status >= 500 {
            return false; // "not now" needs no word: the status decides, whatever it is called
        }
        let from = fault.origin.as_str();
        let same = |known: &&mut UnknownCode| {
            (known.from, known.status, known.code.as_str()) == (from, status, code)
        };
        if let Some(known) = self.unknown.iter_mut().find(same) {
            (known.last, known.count) = (now, known.count + 1);
            return false;
        }
        let room = self.unknown.len() < MAX_UNKNOWN_CODES;
        if room {
            let code = code.to_owned();
            self.unknown.push(UnknownCode { from, status, code, first: now, last: now, count: 1 });
        }
        room
    }

    /// The codes met so far, in the order in which they came.
    pub fn unknown(&self) -> &[UnknownCode] {
        &self.unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Code, Kind, Origin};
    use crate::supervisor::policy::{by_id, judge};

    const FEEDS: [&str; 5] = ["a", "b", "c", "d", "e"];

    fn at(secs: i64) -> Time {
        Time::from_secs(secs)
    }
    /// How many feeds it takes, one after the other with `apart` seconds between.
    fn takes(id: &str, apart: i64) -> Option<usize> {
        let mut spread = Spread::default();
        let rule = by_id(id).unwrap();
        (1..=5).find(|&n| spread.met(FEEDS[n - 1], rule, 5, at(n as i64 * apart)))
    }

    #[test]
    fn what_several_feeds_meet_is_the_credentials() {
        assert_eq!((takes("M28", 20), takes("D01", 20), takes("M28", 61)), (Some(2), Some(2), None));
        assert_eq!((takes("M14", 60), takes("M15", 60), takes("M14", 300)), (Some(5), Some(5), None));
        assert_eq!((takes("M21", 60), takes("M24", 60), takes("M29", 1)), (Some(3), Some(5), None));
    }

    #[test]
    fn one_feed_is_never_several() {
        let mut spread = Spread::default();
        let rule = by_id("M28").unwrap();
        assert!((0..50).all(|n| !spread.met("a", rule, 1, at(n))), "however often it meets it");
        let missing = by_id("M14").unwrap();
        assert!(!spread.met("a", missing, 1, at(60)), "a tenant with one feed");
    }

    #[test]
    fn unknown_codes_are_counted_and_bounded() {
        let mut spread = Spread::default();
        let said = |code: &str| {
            let mut fault = Fault::new(Origin::Api, Kind::Status(403), "");
            (fault.code, fault.attributed) = (Code::new(code), true);
            fault
        };
        let mut note = |fault: &Fault, secs| spread.note_code(fault, judge(fault), at(secs));
        assert!(note(&said("brand_new"), 1) && !note(&said("brand_new"), 2));
        assert!(!note(&said("0002"), 3) && !note(&said(""), 3), "known, and none");
        assert!(!note(&Fault { attributed: false, ..said("of_a_proxy") }, 3));
        for field in ["startDateTime", "pageSize", "foo"] {
            let status = Fault { kind: Kind::Status(400), ..said("validation_error") };
            assert!(
                !note(&Fault { field: Some(field.into()), ..status }, 3),
                "documented, whatever the {field}"
            );
        }
        for status in [429, 500, 503] {
            let busy = Fault { kind: Kind::Status(status), ..said("too_many") };
            assert!(!note(&busy, 3), "{status} is decided by its row");
        }
        for n in 0..100 {
            note(&said(&format!("code_{n}")), 4);
        }
        let known = spread.unknown();
        assert_eq!(known.len(), MAX_UNKNOWN_CODES);
        assert_eq!((known[0].first, known[0].last, known[0].count), (at(1), at(2), 2));
    }
}
