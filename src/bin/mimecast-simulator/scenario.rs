//! What a scenario is, and when one of its rules strikes. The text form is in `scenario_text.rs`.

use crate::answers::Reply;
use crate::dates;
use crate::feeds::{Feed, glob};
use crate::files::Spoil;
use crate::message::{Hostility, mix};
use std::collections::HashMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    Token,
    Listing,
    Stream,
    File,
    /// A function of `/api/…` that answers with pages.
    Window,
    /// The log of API 1.0.
    Mta,
    ThreatFeed,
}

/// Where a rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Any,
    /// All but tokens and files.
    Data,
    /// All window functions.
    Records,
    One(Surface),
    /// The functions that give one feed.
    Named(&'static str),
    /// The inside of files, by file number instead of by call.
    Content,
}

/// Special behaviour that is more than a finished answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    // token
    NoToken,
    // listing
    NoValue,
    NoNextPage,
    SameToken,
    CaughtUp,
    // window functions
    NextObject,
    NextNull,
    NextAlways,
    NextNever,
    SameNext,
    EmptyPage,
    EmptyList,
    NoMeta,
    NoPagination,
    NoData,
    Partial,
    // the log of API 1.0
    NotAZip,
    Traversal,
    UnknownPrefix,
    ZeroBytes,
    BrokenJson,
    NoSiemToken,
    // listing
    SameFileTwice,
    ForeignLink,
    ListBomb,
    ListEmpty,
    ListZeroBytes,
    // file
    Truncate,
    WrongCrc,
    TrailingGarbage,
    Cut,
    Expired,
    Missing,
    Redirect,
    ContentEncoding,
    // content
    BadLine,
    LongLine,
    InvalidUtf8,
}

/// The names used in scenario text.
pub const EFFECTS: [(&str, Effect); 38] = [
    ("not-a-zip", Effect::NotAZip),
    ("traversal", Effect::Traversal),
    ("unknown-prefix", Effect::UnknownPrefix),
    ("zero-bytes-member", Effect::ZeroBytes),
    ("broken-member", Effect::BrokenJson),
    ("no-siem-token", Effect::NoSiemToken),
    ("next-object", Effect::NextObject),
    ("next-null", Effect::NextNull),
    ("next-always", Effect::NextAlways),
    ("next-never", Effect::NextNever),
    ("same-next", Effect::SameNext),
    ("empty-page", Effect::EmptyPage),
    ("empty-list", Effect::EmptyList),
    ("no-meta", Effect::NoMeta),
    ("no-pagination", Effect::NoPagination),
    ("no-data", Effect::NoData),
    ("partial", Effect::Partial),
    ("no-token", Effect::NoToken),
    ("no-value", Effect::NoValue),
    ("no-next-page", Effect::NoNextPage),
    ("same-token", Effect::SameToken),
    ("caught-up", Effect::CaughtUp),
    ("same-file-twice", Effect::SameFileTwice),
    ("foreign-link", Effect::ForeignLink),
    ("list-bomb", Effect::ListBomb),
    ("list-empty", Effect::ListEmpty),
    ("list-zero-bytes", Effect::ListZeroBytes),
    ("truncate", Effect::Truncate),
    ("wrong-crc", Effect::WrongCrc),
    ("trailing-garbage", Effect::TrailingGarbage),
    ("cut", Effect::Cut),
    ("expired", Effect::Expired),
    ("missing", Effect::Missing),
    ("redirect", Effect::Redirect),
    ("content-encoding", Effect::ContentEncoding),
    ("bad-line", Effect::BadLine),
    ("long-line", Effect::LongLine),
    ("invalid-utf8", Effect::InvalidUtf8),
];

#[derive(Clone, Debug, PartialEq)]
pub enum Play {
    Reply(Reply),
    Effect(Effect),
}

/// What counts as "the n-th": calls of a tenant, of one of its feeds, or for one of its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Per {
    #[default]
    Tenant,
    Feed,
    File,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub place: Place,
    /// Globs; `None` is everything.
    pub feed: Option<String>,
    pub tenant: Option<String>,
    pub file: Option<u64>,
    pub per: Per,
    pub when: When,
    pub play: Play,
    /// Waits this long before it answers, milliseconds.
    pub delay: i64,
}

/// All conditions that are given must hold. Calls are counted from 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    pub nth: Option<u64>,
    pub first: Option<u64>,
    pub after: Option<u64>,
    pub every: Option<u64>,
    pub chance: Option<f64>,
    /// Only this long after the scenario began (simulator's clock), milliseconds.
    pub lasts: Option<i64>,
}

impl When {
    fn strikes(&self, call: u64, age: i64, dice: u64) -> bool {
        let roll = (dice >> 11) as f64 / (1_u64 << 53) as f64; // 53 bits are exact in f64
        self.nth.is_none_or(|n| call == n)
            && self.first.is_none_or(|n| call <= n)
            && self.after.is_none_or(|n| call > n)
            && self.every.is_none_or(|n| call.is_multiple_of(n.max(1)))
            && self.chance.is_none_or(|p| roll < p)
            && self.lasts.is_none_or(|ms| age < ms)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What `expires_in` says and tokens live for, seconds.
    pub token_life: i64,
    /// A token dies after so many requests.
    pub token_uses: Option<u64>,
    /// Listing calls per window; `None`: no limit.
    pub quota: Option<u64>,
    /// Calls of the stream per hour.
    pub stream_quota: Option<u64>,
    /// Calls of each function of `/api/…` per 15 minutes.
    pub api_quota: Option<u64>,
    /// How far the date of a signed request may be from our clock, milliseconds.
    pub skew_tolerance: i64,
    /// Bad logins within `lock_period` that lock the account, and for how long it is locked.
    pub lock_after: usize,
    pub lock_period: i64,
    /// All accounts are locked from the scenario's start for this long, milliseconds.
    pub lock: i64,
    /// Life of a file link, milliseconds.
    pub link_life: i64,
    /// The links of a file's first listing are dead on arrival.
    pub first_links_dead: bool,
    pub quiet: bool,
    /// Window feeds: young rows of what is published from now on appear up to this much later.
    pub late: i64,
    /// Window feeds: every third row of what is published from now on appears this long after its event time.
    pub behind: i64,
    /// With everything that is published from now on comes one event that is dated so far ahead.
    pub future: i64,
    pub hostility: Hostility,
    /// A listing never has more files than this.
    pub page_cap: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            token_life: 1_799,
            token_uses: None,
            quota: Some(50),
            stream_quota: Some(300),
            api_quota: None,
            skew_tolerance: 5 * dates::MINUTE,
            lock_after: 5,
            lock_period: 30 * dates::MINUTE,
            lock: 0,
            link_life: 15 * dates::MINUTE,
            first_links_dead: false,
            quiet: false,
            late: 0,
            behind: 0,
            future: 0,
            hostility: Hostility::Some,
            page_cap: 100,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scenario {
    /// What it was made of, for the ledger.
    pub names: Vec<String>,
    pub options: Options,
    /// Options of some tenants, by glob; the last that fits counts.
    pub special: Vec<(String, Options)>,
    pub rules: Vec<Rule>,
}

impl Scenario {
    pub fn options_of(&self, tenant: &str) -> &Options {
        let special = self.special.iter().rev().find(|(pattern, _)| glob(pattern, tenant));
        special.map_or(&self.options, |(_, options)| options)
    }

    /// What is put between the lines of a file.
    pub fn spoil(&self, tenant: &str, feed: &Feed, file: u64) -> Spoil {
        let mut spoil = Spoil::default();
        for rule in self.rules.iter().filter(|r| r.place == Place::Content) {
            let call = Call { surface: Surface::File, tenant, feed: Some(feed), file: Some(file) };
            if !rule.concerns(&call) || rule.when.every.is_some_and(|n| !file.is_multiple_of(n.max(1))) {
                continue;
            }
            match rule.play {
                Play::Effect(Effect::BadLine) => spoil.bad_line = true,
                Play::Effect(Effect::LongLine) => spoil.long_line = true,
                Play::Effect(Effect::InvalidUtf8) => spoil.invalid_utf8 = true,
                _ => {}
            }
        }
        spoil
    }
}

/// A request, as far as rules can ask about it.
pub struct Call<'a> {
    pub surface: Surface,
    /// `-` when the caller could not be identified.
    pub tenant: &'a str,
    pub feed: Option<&'a Feed>,
    pub file: Option<u64>,
}

impl Rule {
    fn concerns(&self, call: &Call) -> bool {
        let feed = call.feed.map_or("", |f| f.name);
        self.feed.as_ref().is_none_or(|pattern| glob(pattern, feed))
            && self.tenant.as_ref().is_none_or(|pattern| glob(pattern, call.tenant))
            && self.file.is_none_or(|file| call.file == Some(file))
    }

    fn is_at(&self, surface: Surface, feed: Option<&Feed>) -> bool {
        match self.place {
            Place::Any => true,
            Place::Data => !matches!(surface, Surface::Token | Surface::File),
            Place::Records => surface == Surface::Window,
            Place::One(place) => place == surface,
            Place::Named(name) => {
                matches!(surface, Surface::Window | Surface::Mta | Surface::ThreatFeed)
                    && feed.is_some_and(|f| f.name == name)
            }
            Place::Content => false,
        }
    }

    fn counter(&self, call: &Call) -> String {
        let feed = call.feed.map_or("", |f| f.name);
        match self.per {
            Per::Tenant => call.tenant.to_owned(),
            Per::Feed => format!("{}/{feed}", call.tenant),
            Per::File => format!("{}/{feed}/{:?}", call.tenant, call.file),
        }
    }
}

/// What the rules make of one call.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The first reply that struck, and how often its rule has struck for this counter (from 0).
    pub reply: Option<(Reply, u64)>,
    pub effects: Vec<(Effect, u64)>,
    pub delay: i64,
}

impl Verdict {
    pub fn has(&self, effect: Effect) -> bool {
        self.effects.iter().any(|(e, _)| *e == effect)
    }
}

/// A scenario that is being played: knows since when, and counts calls.
pub struct Stage {
    pub scenario: Scenario,
    /// Simulator's clock.
    pub since: i64,
    seed: u64,
    /// Rule number and counter name → calls, strikes.
    counters: HashMap<(usize, String), (u64, u64)>,
}

impl Stage {
    pub fn new(scenario: Scenario, since: i64, seed: u64) -> Self {
        Stage { scenario, since, seed, counters: HashMap::new() }
    }

    /// Counts the call with every rule that concerns it, and says what strikes.
    pub fn judge(&mut self, call: &Call, now: i64) -> Verdict {
        let mut verdict = Verdict::default();
        for (index, rule) in self.scenario.rules.iter().enumerate() {
            if !rule.is_at(call.surface, call.feed) || !rule.concerns(call) {
                continue;
            }
            let name = rule.counter(call);
            let dice = name.bytes().fold(self.seed, |seed, b| mix(seed, u64::from(b)));
            let (calls, strikes) = self.counters.entry((index, name)).or_default();
            *calls += 1;
            if !rule.when.strikes(*calls, now - self.since, mix(dice, mix(index as u64, *calls))) {
                continue;
            }
            match &rule.play {
                Play::Reply(reply) if verdict.reply.is_none() => {
                    verdict.reply = Some((reply.clone(), *strikes));
                }
                Play::Reply(_) => continue,
                Play::Effect(effect) => verdict.effects.push((*effect, *strikes)),
            }
            *strikes += 1;
            verdict.delay = verdict.delay.max(rule.delay);
        }
        verdict
    }

    /// Until when (simulator's clock) the scenario locks a tenant's account.
    pub fn locked_until(&self, tenant: &str) -> i64 {
        self.since + self.scenario.options_of(tenant).lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::named;
    use crate::scenario_text::parse;

    fn stage(text: &str) -> Stage {
        Stage::new(parse(text).unwrap(), 1_000, 1)
    }

    fn strikes(stage: &mut Stage, calls: usize, feed: &str, file: Option<u64>) -> Vec<bool> {
        let feed = named(feed);
        (0..calls)
            .map(|_| {
                let surface = if file.is_some() { Surface::File } else { Surface::Listing };
                let verdict = stage.judge(&Call { surface, tenant: "demo", feed, file }, 1_500);
                verdict.reply.is_some() || !verdict.effects.is_empty()
            })
            .collect()
    }

    #[test]
    fn nth_first_every_and_after() {
        let f = |text: &str| strikes(&mut stage(text), 6, "siem.receipt", None);
        assert_eq!(f("on listing nth=2 status=503"), [false, true, false, false, false, false]);
        assert_eq!(f("on listing first=2 status=503"), [true, true, false, false, false, false]);
        assert_eq!(f("on listing every=3 status=503"), [false, false, true, false, false, true]);
        assert_eq!(f("on listing after=4 status=503"), [false, false, false, false, true, true]);
        assert_eq!(f("on token status=503"), [false; 6]);
        assert_eq!(f("on listing feed=siem.av status=503"), [false; 6]);
        assert_eq!(f("on any feed=siem.* for=500ms status=503"), [false; 6]);
        assert_eq!(f("on any feed=siem.* for=501ms status=503"), [true; 6]);
    }

    #[test]
    fn counters_are_kept_per_feed_and_per_file() {
        let mut s = stage("on any per=feed first=1 status=503; on file per=file first=1 effect=truncate");
        assert_eq!(strikes(&mut s, 2, "siem.receipt", None), [true, false]);
        assert_eq!(strikes(&mut s, 2, "siem.av", None), [true, false]);
        assert_eq!(strikes(&mut s, 2, "siem.av", Some(1)), [true, false]);
        assert_eq!(strikes(&mut s, 2, "siem.av", Some(2)), [true, false]);
    }

    #[test]
    fn chance_is_about_right_and_repeatable() {
        let count = |s: &mut Stage| strikes(s, 2_000, "siem.av", None).iter().filter(|&&b| b).count();
        let first = count(&mut stage("on listing p=0.1 status=503"));
        assert!((120..280).contains(&first), "{first}");
        assert_eq!(first, count(&mut stage("on listing p=0.1 status=503")));
    }

    #[test]
    fn content_goes_by_file_number() {
        let s = parse("on content every=2 effect=bad-line; on content feed=siem.av file=3 effect=long-line")
            .unwrap();
        let spoil = |feed: &str, file| s.spoil("demo", named(feed).unwrap(), file);
        assert!(spoil("siem.receipt", 4).bad_line && !spoil("siem.receipt", 5).bad_line);
        assert!(spoil("siem.av", 3).long_line && !spoil("siem.receipt", 3).long_line);
    }
}
