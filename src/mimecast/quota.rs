//! The budget of calls of one credential: 50 listing calls in a fixed window of 15 minutes for all batch feeds
//! together, shared so that a feed with a backlog never takes what the others need for today's events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalogue::FEEDS;
use super::feed::{Feed, Quota as Rule};
use crate::clock::Time;
use crate::limits::{
    BATCH_QUOTA_CALLS, BATCH_QUOTA_FOLLOW_UPS, BATCH_QUOTA_OPEN_AFTER, BATCH_QUOTA_WINDOW, MIN_POLL_INTERVAL,
    STREAM_QUOTA_CALLS, STREAM_QUOTA_WINDOW,
};

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// The first page of a poll.
    Live,
    /// A further page.
    CatchUp,
}

/// The answer to a feed that wants to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// Now; the call is counted.
    Go,
    /// Not before this time. Ask again then.
    Wait(Time),
}

/// Whose blockade: all batch feeds share one, and so do all that are read from the stream; other functions have
/// their own.
type Scope = Option<&'static str>;
const STREAM: Scope = Some("the stream");

/// What outlives the process.
#[derive(Serialize, Deserialize)]
struct Counted {
    window: i64,
    used: u32,
    live: Vec<String>,
    follow_ups: BTreeMap<String, u32>,
    /// Until when, by the path of the function; nothing for the batch feeds.
    #[serde(default)]
    blocks: Vec<(Option<String>, Time)>,
    #[serde(default)]
    streamed: VecDeque<(Time, Call)>,
}

/// The budget of one credential.
#[derive(Clone, Debug)]
pub struct Quota {
    /// Off for an API on this machine, which counts nothing.
    counting: bool,
    /// Feeds that may want a live call in each window.
    batch_feeds: BTreeSet<&'static str>,
    window: i64,
    live: BTreeSet<&'static str>,
    used: u32,
    follow_ups: BTreeMap<&'static str, u32>,
    /// Feeds that wanted follow-up pages in this window and in the one before.
    wanting: BTreeSet<&'static str>,
    wanted: BTreeSet<&'static str>,
    blocked: BTreeMap<Scope, Time>,
    /// Calls of the stream in the last hour: when, and whether it was the first of a poll.
    streamed: VecDeque<(Time, Call)>,
}

impl Quota {
    /// For a credential that reads `feeds`. `counting`: false for an API on this machine.
    pub fn new(feeds: &[&'static Feed], counting: bool) -> Self {
        let batch = feeds.iter().filter(|feed| feed.quota == Rule::Batch);
        Quota {
            counting,
            batch_feeds: batch.map(|feed| feed.name).collect(),
            window: i64::MIN,
            live: BTreeSet::new(),
            used: 0,
            follow_ups: BTreeMap::new(),
            wanting: BTreeSet::new(),
            wanted: BTreeSet::new(),
            blocked: BTreeMap::new(),
            streamed: VecDeque::new(),
        }
    }

    /// May a feed call the stream at `now`? All feeds of the credential share 300 calls in an hour. Further pages
    /// leave room for a first one of every feed every 5 minutes. `Go` counts the call.
    pub fn may_stream(&mut self, call: Call, now: Time) -> May {
        if let Some(until) = self.blocked_until(STREAM, now) {
            return May::Wait(until);
        }
        if !self.counting {
            return May::Go;
        }
        let hour_ago = now.minus(STREAM_QUOTA_WINDOW);
        self.streamed.retain(|(at, _)| *at > hour_ago && *at <= now); // a clock set back forgets
        let first = self.streamed.iter().filter(|(_, call)| *call == Call::Live).count();
        let polls = (STREAM_QUOTA_WINDOW.as_secs() / MIN_POLL_INTERVAL.as_secs()) as usize;
        let reserved = match call {
            Call::Live => 0,
            Call::CatchUp => self.batch_feeds.len().saturating_mul(polls).saturating_sub(first),
        };
        if self.streamed.len() + reserved.min(STREAM_QUOTA_CALLS - 1) >= STREAM_QUOTA_CALLS {
            let frees = self.streamed.front().map_or(now, |(at, _)| at.plus(STREAM_QUOTA_WINDOW));
            return May::Wait(frees.max(now.plus(Duration::from_secs(1))));
        }
        self.streamed.push_back((now, call));
        May::Go
    }

    /// The server says that the stream's budget is used up until `reset` (without a time: for 15 minutes).
    pub fn stream_exhausted(&mut self, reset: Option<Time>, now: Time) {
        let until = reset.filter(|reset| *reset > now).unwrap_or_else(|| now.plus(BATCH_QUOTA_WINDOW));
        self.blocked.insert(STREAM, until.min(now.plus(STREAM_QUOTA_WINDOW)));
    }

    /// May `feed` call at `now`? `Go` counts the call, whatever comes of it.
    pub fn may(&mut self, feed: &Feed, call: Call, now: Time) -> May {
        self.turn(now);
        if let Some(until) = self.blocked_until(scope(feed), now) {
            return May::Wait(until);
        }
        if !self.counting || feed.quota != Rule::Batch {
            return May::Go;
        }
        if call == Call::CatchUp {
            self.wanting.insert(feed.name);
        }
        let first_calls_due = self.batch_feeds.iter().filter(|name| !self.live.contains(*name));
        let reserved = first_calls_due.filter(|name| **name != feed.name || call == Call::CatchUp).count();
        let reserved = u32::try_from(reserved).unwrap_or(u32::MAX);
        // A feed's own first call in a window is never held back for somebody else's.
        let first = call == Call::Live && !self.live.contains(feed.name);
        if self.used.saturating_add(if first { 0 } else { reserved }) >= BATCH_QUOTA_CALLS {
            return May::Wait(self.window_end());
        }
        if call == Call::CatchUp
            && let Some(until) = self.over_share(feed.name, now)
        {
            return May::Wait(until);
        }
        self.used += 1;
        match call {
            Call::Live => _ = self.live.insert(feed.name),
            Call::CatchUp => *self.follow_ups.entry(feed.name).or_insert(0) += 1,
        }
        May::Go
    }

    /// The server says that `feed`'s budget is used up until `reset` (without a time: until the window ends).
    pub fn exhausted(&mut self, feed: &Feed, reset: Option<Time>, now: Time) {
        self.turn(now);
        let until = reset.filter(|reset| *reset > now).unwrap_or_else(|| self.window_end());
        let until = until.min(now.plus(BATCH_QUOTA_WINDOW));
        let known = self.blocked.entry(scope(feed)).or_insert(until);
        *known = (*known).max(until);
    }

    /// Whether calls of `feed` are counted, so that a count has to be kept.
    pub fn counts(&self, feed: &Feed) -> bool {
        self.counting && feed.quota == Rule::Batch
    }

    /// Our clock was set back by so much: no wait outlasts the mistake, and no call is forgotten for it.
    pub fn set_back(&mut self, by: Duration) {
        self.blocked.values_mut().for_each(|until| *until = until.minus(by));
        self.streamed.iter_mut().for_each(|(at, _)| *at = at.minus(by));
    }

    /// What was counted in the current window and the stream's last hour, for the store.
    pub fn to_text(&self) -> String {
        let named = |names: &BTreeSet<&'static str>| names.iter().map(|name| (*name).to_owned()).collect();
        let counted = Counted {
            window: self.window,
            used: self.used,
            live: named(&self.live),
            follow_ups: self.follow_ups.iter().map(|(name, calls)| ((*name).to_owned(), *calls)).collect(),
            blocks: self.blocked.iter().map(|(scope, until)| (scope.map(str::to_owned), *until)).collect(),
            streamed: self.streamed.clone(),
        };
        serde_json::to_string(&counted).unwrap_or_default() // numbers and names always have a JSON form
    }

    /// Takes up the counts of a process before this one: of its window if that is still the current one, of the
    /// stream's last hour, and what the server said of either. A text that is none changes nothing.
    pub fn restore(&mut self, text: &str, now: Time) {
        let Ok(counted) = serde_json::from_str::<Counted>(text) else { return };
        self.turn(now);
        let paths = || FEEDS.iter().map(|feed| Some(feed.path)).chain([None, STREAM]);
        for (scope, until) in counted.blocks {
            let longest = if scope.as_deref() == STREAM { STREAM_QUOTA_WINDOW } else { BATCH_QUOTA_WINDOW };
            let until = until.min(now.plus(longest));
            if let Some(scope) = paths().find(|known| *known == scope.as_deref()).filter(|_| until > now) {
                self.blocked.insert(scope, until);
            }
        }
        self.streamed = counted.streamed; // what is older than an hour, or ahead, goes with the next call
        if counted.window != self.window {
            return; // over, or written by a clock that was ahead
        }
        let known = |name: &String| self.batch_feeds.get(name.as_str()).copied();
        let live = counted.live.iter().filter_map(known).collect();
        let follow_ups =
            counted.follow_ups.iter().filter_map(|(name, calls)| Some((known(name)?, *calls))).collect();
        (self.live, self.follow_ups, self.used) = (live, follow_ups, counted.used);
    }

    /// Listing calls counted in the current window.
    pub fn used(&self) -> u32 {
        self.used
    }

    /// Nothing is blocked for longer than an hour: what seems so is left over from before the clock was set back.
    fn blocked_until(&self, scope: Scope, now: Time) -> Option<Time> {
        let until = self.blocked.get(&scope).copied()?;
        (until > now && until <= now.plus(STREAM_QUOTA_WINDOW)).then_some(until)
    }

    /// When a feed that has had its share of follow-up pages may have more.
    fn over_share(&self, feed: &'static str, now: Time) -> Option<Time> {
        let all: u32 = self.follow_ups.values().sum();
        if all >= BATCH_QUOTA_FOLLOW_UPS {
            return Some(self.window_end());
        }
        let feeds = u32::try_from(self.wanting.union(&self.wanted).count()).unwrap_or(u32::MAX).max(1);
        let share = (BATCH_QUOTA_FOLLOW_UPS / feeds).max(1);
        let open_from = Time(self.start()).plus(BATCH_QUOTA_OPEN_AFTER);
        let own = self.follow_ups.get(feed).copied().unwrap_or(0);
        (own >= share && now < open_from).then_some(open_from)
    }

    fn turn(&mut self, now: Time) {
        let window = now.0.div_euclid(window_ms());
        if window == self.window {
            return;
        }
        let next = window == self.window.saturating_add(1);
        self.wanted = if next { std::mem::take(&mut self.wanting) } else { BTreeSet::new() };
        self.wanting.clear();
        self.window = window;
        self.live.clear();
        self.used = 0;
        self.follow_ups.clear();
        self.blocked.retain(|_, until| *until > now);
    }

    fn start(&self) -> i64 {
        self.window.saturating_mul(window_ms())
    }

    fn window_end(&self) -> Time {
        Time(self.start()).plus(BATCH_QUOTA_WINDOW)
    }
}

fn scope(feed: &Feed) -> Scope {
    match feed.quota {
        Rule::Batch => None,
        Rule::PerFunction => Some(feed.path),
    }
}

fn window_ms() -> i64 {
    i64::try_from(BATCH_QUOTA_WINDOW.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::catalogue::find;
    use super::*;

    const START: Time = Time(1_767_259_800_000); // a quarter of an hour begins

    fn all() -> Vec<&'static Feed> {
        FEEDS.iter().collect()
    }
    fn minute(n: u64) -> Time {
        START.plus(Duration::from_secs(60 * n))
    }

    #[test]
    fn a_backlog_leaves_room_for_every_first_page() {
        let mut quota = Quota::new(&all(), true);
        let greedy = find("siem.receipt").unwrap();
        let taken = (0..100).filter(|_| quota.may(greedy, Call::CatchUp, minute(11)) == May::Go).count();
        assert_eq!(taken, 37); // 50 less a first page for each of the 13 feeds
        for feed in all().iter().filter(|feed| feed.quota == Rule::Batch) {
            assert_eq!(quota.may(feed, Call::Live, minute(14)), May::Go, "{}", feed.name);
        }
        assert_eq!(quota.may(greedy, Call::Live, minute(14)), May::Wait(minute(15)));
        assert_eq!(quota.may(greedy, Call::Live, minute(15)), May::Go);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_leave_a_feed_waiting_for_the_old_time() {
        let feed = find("siem.receipt").unwrap();
        let mut quota = Quota::new(&all(), true);
        quota.exhausted(feed, Some(minute(9)), minute(1));
        quota.stream_exhausted(Some(minute(50)), minute(1));
        assert_eq!(quota.may(feed, Call::Live, minute(2)), May::Wait(minute(9)));
        assert_eq!(quota.may_stream(Call::Live, minute(2)), May::Wait(minute(50)));
        let before = minute(1).minus(Duration::from_secs(365 * 86_400));
        assert_eq!(quota.may(feed, Call::Live, before), May::Go);
        assert_eq!(quota.may_stream(Call::Live, before), May::Go);
    }

    #[test]
    fn one_feed_alone_still_leaves_ten_calls() {
        let feed = find("siem.receipt").unwrap();
        let mut quota = Quota::new(&[feed], true);
        let taken = (0..100).filter(|_| quota.may(feed, Call::CatchUp, minute(0)) == May::Go).count();
        assert_eq!(taken, 40);
        assert_eq!(quota.may(feed, Call::CatchUp, minute(1)), May::Wait(minute(15)));
        assert_eq!(quota.may(feed, Call::Live, minute(1)), May::Go);
    }

    #[test]
    fn two_backlogs_share_and_what_is_left_is_open_later() {
        let (one, two) = (find("siem.receipt").unwrap(), find("siem.process").unwrap());
        let mut quota = Quota::new(&[one, two], true);
        let mut take = |feed, at| (0..100).filter(|_| quota.may(feed, Call::CatchUp, at) == May::Go).count();
        assert_eq!(take(two, minute(0)), 40); // alone so far
        assert_eq!((take(one, minute(15)), take(two, minute(15))), (20, 20)); // the other wanted some just before
        assert_eq!((take(two, minute(30)), take(one, minute(39)), take(two, minute(41))), (20, 20, 0));
        assert_eq!((take(one, minute(45)), take(one, minute(55))), (20, 20)); // nobody else came
    }

    #[test]
    fn the_server_s_word_blocks_what_it_is_about() {
        let (receipt, av, audit) =
            (find("siem.receipt").unwrap(), find("siem.av").unwrap(), find("audit").unwrap());
        for counting in [true, false] {
            let mut quota = Quota::new(&all(), counting);
            quota.exhausted(receipt, Some(minute(3)), minute(1));
            assert_eq!(quota.may(av, Call::Live, minute(2)), May::Wait(minute(3)));
            assert_eq!(quota.may(audit, Call::Live, minute(2)), May::Go);
            assert_eq!(quota.may(av, Call::Live, minute(3)), May::Go);
            quota.exhausted(audit, None, minute(4));
            assert_eq!(quota.may(audit, Call::Live, minute(5)), May::Wait(minute(15)));
            quota.exhausted(audit, Some(minute(1000)), minute(5)); // absurd
            assert_eq!(quota.may(audit, Call::Live, minute(20)), May::Go);
        }
    }

    #[test]
    fn the_stream_has_an_hour_s_budget_of_its_own_and_leaves_room_for_every_poll() {
        let mut quota = Quota::new(&all(), true);
        let mut taken = |call, at| (0..400).filter(|_| quota.may_stream(call, at) == May::Go).count();
        assert_eq!(taken(Call::CatchUp, minute(0)), 144, "13 feeds are polled 12 times an hour");
        assert_eq!(taken(Call::Live, minute(1)), 156);
        assert_eq!(quota.may_stream(Call::Live, minute(59)), May::Wait(minute(60)));
        assert_eq!(quota.may_stream(Call::Live, minute(60)), May::Go);
        assert_eq!(quota.may(find("siem.av").unwrap(), Call::Live, minute(1)), May::Go, "not its matter");
        quota.stream_exhausted(Some(minute(70)), minute(61));
        assert_eq!(quota.may_stream(Call::Live, minute(69)), May::Wait(minute(70)));
        assert_eq!(quota.may(find("siem.av").unwrap(), Call::Live, minute(69)), May::Go);
        let mut free = Quota::new(&all(), false);
        assert!((0..1000).all(|_| free.may_stream(Call::CatchUp, minute(0)) == May::Go));
    }

    #[test]
    fn uncounted_is_unlimited() {
        let mut quota = Quota::new(&all(), false);
        assert!((0..1000).all(|_| quota.may(find("siem.av").unwrap(), Call::CatchUp, minute(0)) == May::Go));
    }

    #[test]
    fn a_count_is_taken_up_only_in_its_own_window() {
        let feed = find("siem.receipt").unwrap();
        let mut before = Quota::new(&[feed], true);
        assert!((0..40).all(|_| before.may(feed, Call::CatchUp, minute(1)) == May::Go));
        before.exhausted(feed, Some(minute(14)), minute(2));
        let after = |now| {
            let mut quota = Quota::new(&[feed], true);
            quota.restore(&before.to_text(), now);
            quota
        };
        assert_eq!(after(minute(3)).used(), 40);
        assert_eq!(after(minute(3)).may(feed, Call::Live, minute(3)), May::Wait(minute(14)));
        assert_eq!(after(minute(3)).may(feed, Call::CatchUp, minute(14)), May::Wait(minute(15)));
        assert_eq!(after(minute(16)).used(), 0);
        assert_eq!(after(minute(16)).may(feed, Call::CatchUp, minute(16)), May::Go);
        assert_eq!(
            after(minute(3)).may(find("siem.av").unwrap(), Call::Live, minute(3)),
            May::Wait(minute(14))
        );
        let mut odd = Quota::new(&[feed], true);
        odd.restore("{\"window\":\"x\"}", minute(1));
        assert_eq!(odd.used(), 0);
    }

    #[test]
    fn the_stream_and_what_the_server_said_outlive_the_process() {
        let audit = find("audit").unwrap();
        let mut before = Quota::new(&all(), true);
        assert!((0..300).all(|_| before.may_stream(Call::Live, minute(1)) == May::Go));
        before.exhausted(audit, Some(minute(16)), minute(14));
        let mut after = Quota::new(&all(), true);
        after.restore(&before.to_text(), minute(15)); // another window
        assert_eq!(after.may_stream(Call::Live, minute(15)), May::Wait(minute(61)));
        assert_eq!(after.may(audit, Call::Live, minute(15)), May::Wait(minute(16)));
        before.stream_exhausted(None, minute(14));
        after.restore(&before.to_text(), minute(15));
        assert_eq!(after.may_stream(Call::Live, minute(15)), May::Wait(minute(29)));
        after.set_back(Duration::from_secs(600));
        assert_eq!(after.may_stream(Call::Live, minute(5)), May::Wait(minute(19)));
    }

    proptest! {
        /// Restarts included: a count that is kept is gone on with.
        #[test]
        fn never_over_the_budget_and_every_wait_ends(
            asks in proptest::collection::vec((0_usize..FEEDS.len(), any::<bool>(), 0_u64..40, 0_u8..20), 1..400)
        ) {
            let mut quota = Quota::new(&all(), true);
            let (mut now, mut calls) = (START, BTreeMap::<i64, (u32, u32)>::new());
            for (feed, catch_up, secs, restart) in asks {
                now = now.plus(Duration::from_secs(secs));
                if restart == 0 {
                    let text = quota.to_text();
                    quota = Quota::new(&all(), true);
                    quota.restore(&text, now);
                }
                let feed = FEEDS.get(feed).unwrap();
                let call = if catch_up { Call::CatchUp } else { Call::Live };
                match quota.may(feed, call, now) {
                    May::Wait(until) => {
                        prop_assert!(until > now && until <= now.plus(BATCH_QUOTA_WINDOW));
                        prop_assert_eq!(feed.quota, Rule::Batch);
                    }
                    May::Go if feed.quota == Rule::Batch => {
                        let (all, further) = calls.entry(now.0 / window_ms()).or_default();
                        *all += 1;
                        *further += u32::from(catch_up);
                        prop_assert!(*all <= BATCH_QUOTA_CALLS && *further <= BATCH_QUOTA_FOLLOW_UPS);
                    }
                    May::Go => {}
                }
            }
        }

        #[test]
        fn the_first_poll_of_a_window_is_never_refused(
            before in proptest::collection::vec((0_usize..FEEDS.len(), any::<bool>()), 0..200), last in 0_usize..FEEDS.len()
        ) {
            let mut quota = Quota::new(&all(), true);
            let last = FEEDS.get(last).unwrap();
            for (feed, catch_up) in before {
                let feed = FEEDS.get(feed).unwrap();
                if feed.name != last.name || catch_up {
                    quota.may(feed, if catch_up { Call::CatchUp } else { Call::Live }, minute(12));
                }
            }
            prop_assert_eq!(quota.may(last, Call::Live, minute(13)), May::Go);
        }
    }
}
